"""Field outcomes from their file: a CSV or XLSX from an office, a GeoPackage from a tablet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from illegalmining.decisions import OUTCOMES
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.registers.crs import WGS84
from illegalmining.registers.quarantine import Fault, SetAside
from illegalmining.registers.raw import Raw, contract_cells
from illegalmining.registers.read import DECLARE_CRS, opened
from illegalmining.registers.shapes import Place, settled
from illegalmining.registers.values import typed
from illegalmining.registers.vectors import column_names

WHERE = ("Point", "Polygon", "MultiPolygon")
REASON = (
    "a visit that did not confirm the case needs its reason in writing: an answer without one cannot be weighed or "
    "defended; fill in reason"
)


def read_outcomes(path: Path, district: District, quarantine: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """Field outcomes as `tables.OUTCOMES`, with the place of the visit where the file gives one.

    Rows at fault are added to `quarantine` and left out. The index is the row as a person counts, from 1.

    Raises
    ------
    InputError
        The file cannot be used as a whole.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected field outcomes as CSV, XLSX or GeoPackage")
    raw, faults = opened(OUTCOMES, path)
    cells, missing = contract_cells(OUTCOMES, raw)
    if missing:
        raise InputError(
            f"{path.name}: the column(s) {', '.join(missing)} are missing, found {column_names(raw.cells)}: "
            "name them as the data dictionary does"
        )
    frame, unreadable = typed(OUTCOMES, cells)
    geometry, misplaced = places(raw, frame, Place(district.crs, district.configuration.district.bounds), path)
    found = gpd.GeoDataFrame(frame, geometry=geometry, crs=district.crs)
    faults += unreadable + misplaced
    silent = found["reason"].isna() & found["outcome"].isin(["refuted", "inconclusive", "closed"])
    faults += [Fault(int(row), "reason", None, "a written reason", REASON) for row in found.index[silent]]
    nowhere = found["case_id"].isna() & found.geometry.isna()
    why = "neither a case nor a place is given: fill in case_id, or lon and lat"
    faults += [Fault(int(row), "case_id", None, "a case or a place", why) for row in found.index[nowhere]]
    SetAside(quarantine, path.name).faults(faults)
    return found.drop(index={fault.row for fault in faults if not fault.spares} & set(found.index))


def places(raw: Raw, frame: Any, place: Place, path: Path) -> tuple[np.ndarray[Any, Any], list[Fault]]:
    """Where the visits were, None where the file does not say, and the faults of those that cannot be."""
    shapes = np.full(len(frame), None, dtype=object)
    crs = raw.crs
    if raw.geometry is not None and any(shape is not None for shape in raw.geometry):
        if crs is None:
            raise InputError(f"{path.name}: it declares no CRS: {DECLARE_CRS}")
        shapes = raw.geometry
    else:
        crs = WGS84
        known = frame[["lon", "lat"]].notna().all(axis=1).to_numpy()
        shapes[known] = gpd.points_from_xy(frame.loc[known, "lon"], frame.loc[known, "lat"])
    given = np.flatnonzero([shape is not None for shape in shapes])
    if not len(given):
        return shapes, []
    moved, faults = settled(shapes[given], frame.index.to_numpy()[given], crs, WHERE, place)
    shapes = np.full(len(frame), None, dtype=object)
    shapes[given] = moved
    return shapes, faults
