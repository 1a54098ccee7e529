"""Detections by column: their days as numbers, their attributes read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from illegalmining.registers.allowed import day_numbers


@dataclass(frozen=True)
class Evidence:
    """Detections by column; days count from 1970, `worked` is the last day work is seen.

    first_day, last_day: the same as ISO dates, for a reader.
    """

    rows: list[dict[str, Any]]
    outlines: NDArray[Any]
    first_day: NDArray[np.str_]
    last_day: NDArray[np.str_]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    worked: NDArray[np.int64]

    def taken(self, positions: NDArray[np.int64]) -> Evidence:
        """Only the detections at `positions`."""
        return Evidence(
            [self.rows[i] for i in positions],
            self.outlines[positions],
            self.first_day[positions],
            self.last_day[positions],
            self.first[positions],
            self.last[positions],
            self.worked[positions],
        )


def unpacked(detections: gpd.GeoDataFrame) -> Evidence:
    """Detections as columns, their attributes read."""
    names = ["detection_id", "detector", "first_seen", "last_seen", "log_lr", "area_m2", "mine_id"]
    columns = [detections[name].tolist() for name in names]
    attributes = json.loads(f"[{','.join(detections['attributes'])}]")  # one call, not one a row
    rows = [dict(zip((*names, "attributes"), values, strict=True)) for values in zip(*columns, attributes, strict=True)]
    quantiles = [one.get("onset_quantiles") for one in attributes]
    first, last = day_numbers(detections["first_seen"]), day_numbers(detections["last_seen"])
    worked = last.copy()
    dated = np.flatnonzero([bool(one) for one in quantiles])
    if len(dated):
        most_dug = np.array([quantiles[i]["0.9"][:10] for i in dated], dtype="datetime64[D]").astype(np.int64)
        worked[dated] = np.maximum(most_dug, first[dated])  # a pit stays when its digging has ended
    words = [np.datetime_as_string(days.astype("datetime64[D]")) for days in (first, last)]
    return Evidence(rows, detections.geometry.to_numpy(), words[0], words[1], first, last, worked)


@dataclass(frozen=True)
class Growth:
    """Parts of excavations: `of` the excavation's position, the `days` each was first seen, and its `areas`, m2."""

    of: NDArray[np.int64]
    days: NDArray[np.int64]
    areas: NDArray[np.float64]


def growth(evidence: Evidence) -> Growth:
    """How excavations grew; one that does not say was dug on its first day."""
    grown = [row["attributes"].get("growth") or {} for row in evidence.rows]
    dates = [one.get("dates") or [day] for one, day in zip(grown, evidence.first_day, strict=True)]
    areas = [
        one["area_m2"] if one.get("dates") else [row["area_m2"]] for one, row in zip(grown, evidence.rows, strict=True)
    ]
    of = np.repeat(np.arange(len(grown)), [len(one) for one in dates])
    days = np.array([day[:10] for one in dates for day in one], dtype="datetime64[D]").astype(np.int64)
    reached = np.array([area for one in areas for area in one], dtype=float)
    before = np.concatenate([[0.0], reached[:-1]])
    before[np.concatenate([[True], of[1:] != of[:-1]])[: len(of)]] = 0.0
    return Growth(of, days, reached - before)
