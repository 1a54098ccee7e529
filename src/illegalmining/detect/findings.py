"""What every detector returns: detections in nats, what it could have seen, and what it could not judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import geopandas as gpd
import pandas as pd
import xarray as xr
from shapely.geometry.base import BaseGeometry

from illegalmining.errors import InputError
from illegalmining.tables import DETECTIONS


class Remark(NamedTuple):
    """What a detector could not judge, and why: a sentence known by its key, put in words where they are read."""

    key: str
    values: dict[str, Any]


class Unjudged(InputError):
    """A source that a detector cannot judge; `remark` says why, where a report is read."""

    def __init__(self, remark: Remark, why: str) -> None:
        super().__init__(why)
        self.remark = remark


@dataclass(frozen=True)
class Findings:
    """The result of one detector over one source.

    detections: `tables.DETECTIONS`, working CRS. smallest_site_m2: dims (y, x), float32, the smallest site in m2 that
    would have been seen at each place in the monitored time, NaN where blind; None for detectors without a raster.
    remarks: what could not be judged and why.
    """

    detections: gpd.GeoDataFrame
    smallest_site_m2: xr.DataArray | None = None
    remarks: tuple[Remark, ...] = field(default=())


def detection(
    detector: str,
    first_seen: Any,
    last_seen: Any,
    log_lr: float,
    geometry: BaseGeometry,
    *,
    area_m2: float = 0.0,
    mine_id: str | None = None,
    attributes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One row of `tables.DETECTIONS`; the id is a digest of what was found, so it is the same in every run."""
    attributes = attributes or {}
    what = (detector, str(pd.Timestamp(first_seen).date()), str(mine_id), geometry.wkt, str(attributes.get("question")))
    digest = hashlib.sha256("|".join(what).encode()).hexdigest()[:12]
    return {
        "detection_id": f"{detector}-{digest}",
        "detector": detector,
        "first_seen": pd.Timestamp(first_seen).normalize(),
        "last_seen": pd.Timestamp(last_seen).normalize(),
        "log_lr": float(log_lr),
        "area_m2": float(area_m2),
        "mine_id": mine_id,
        "attributes": json.dumps(attributes, ensure_ascii=False, sort_keys=True, allow_nan=False),
        "geometry": geometry,
    }


def detections(rows: list[dict[str, Any]], crs: Any) -> gpd.GeoDataFrame:
    """The checked table of detections, strongest first, ties broken by id."""
    ordered = sorted(rows, key=lambda row: (-row["log_lr"], row["detection_id"]))
    return DETECTIONS.frame(ordered, crs)


def gather(findings: Iterable[Findings], crs: Any) -> gpd.GeoDataFrame:
    """The detections of all detectors in one table, strongest first.

    Returns
    -------
    `tables.DETECTIONS` in `crs`: one row a detection, `log_lr` in nats for undeclared activity (negative: against it),
    `area_m2`, first and last day, and the detector's own facts as JSON in `attributes`.

    Raises
    ------
    TableError
        A detection breaks the contract: a bug.

    Examples
    --------
    >>> im.gather([], district.crs).columns[:5].tolist()
    ['detection_id', 'detector', 'first_seen', 'last_seen', 'log_lr']
    """
    tables = [found.detections for found in findings if len(found.detections)]
    if not tables:
        return detections([], crs)
    together = gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), crs=crs)
    return detections(together.to_dict("records"), crs)
