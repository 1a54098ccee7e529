"""Field outcomes from their file: a CSV or XLSX from an office, a GeoPackage from a tablet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.decisions import OUTCOMES
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.journal import digest
from illegalmining.registers.crs import WGS84
from illegalmining.registers.quarantine import Fault, SetAside
from illegalmining.registers.raw import Raw, contract_cells
from illegalmining.registers.read import DECLARE_CRS, opened
from illegalmining.registers.shapes import Place, settled
from illegalmining.registers.values import typed
from illegalmining.registers.vectors import column_names

PHOTOS = ("photos", "photo_1", "photo_2", "photo_3")
GIVEN_OUT = ("case_id", "lon", "lat")
"""Columns an outcome form goes out with: a row that says nothing else was not visited."""
LATEST = pd.Timedelta(days=366)
"""A case is visited at most so long after the run that reported it last."""
WHERE = ("Point", "Polygon", "MultiPolygon")
REASON = (
    "a visit that did not confirm the case needs its reason in writing: an answer without one cannot be weighed or "
    "defended; fill in reason"
)


def read_outcomes(path: Path, district: District, quarantine: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """Field outcomes as `decisions.OUTCOMES`, with the place of the visit where the file gives one.

    Rows at fault are added to `quarantine` and left out; rows of a form that nobody filled in are left out alone, and
    counted in `attrs["unvisited"]`. The index is the row as a person counts, from 1. `photos` holds a list of
    {name, sha256}, or None.

    Raises
    ------
    InputError
        The file cannot be used as a whole.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected field outcomes as CSV, XLSX or GeoPackage")
    raw, faults = opened(OUTCOMES, path)
    cells, missing = contract_cells(OUTCOMES, raw)
    said = [name for name in cells.columns if name not in GIVEN_OUT]
    blank = ~cells[said].map(holds_something).any(axis=1) if said else pd.Series(True, cells.index)
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
    faults += too_late(found["visited"], district)
    photos, missing_photos = hashed(found, path.parent)
    found["photos"] = photos
    found = found.drop(columns=list(PHOTOS[1:]))
    untouched = set(found.index[blank]) if "case_id" in cells else set()
    faults = [fault for fault in faults + missing_photos if fault.row not in untouched]
    SetAside(quarantine, path.name).faults(faults)
    kept = found.drop(index=({fault.row for fault in faults if not fault.spares} | untouched) & set(found.index))
    kept.attrs["unvisited"] = len(untouched)
    return kept


def too_late(visited: pd.Series, district: District) -> list[Fault]:
    """Visits that cannot have been: long after the day of the run whose cases they answer, whatever the clock says."""
    last = pd.Timestamp(district.configuration.district.as_of) + LATEST
    why = f"no visit of this run's cases can be later than {last.date()}: correct the date, or as_of in district.toml"
    late = visited.notna() & (visited > last)
    return [
        Fault(int(row), "visited", str(visited[row].date()), "a day that has been", why) for row in visited.index[late]
    ]


def holds_something(cell: Any) -> bool:
    """Whether a cell is not empty."""
    return cell is not None and not pd.isna(cell) and str(cell).strip() != ""


def hashed(visits: gpd.GeoDataFrame, folder: Path) -> tuple[pd.Series, list[Fault]]:
    """The photos each row names with their SHA-256, in the order named, and the faults of those that cannot be read.

    Only files in the folder of the outcomes, or below it, are looked at.
    """
    photos, faults = pd.Series(None, visits.index, dtype=object), []
    for row, cells in zip(visits.index, visits[list(PHOTOS)].to_numpy(), strict=True):
        names = [name.strip() for cell in cells if isinstance(cell, str) for name in SEPARATORS.split(cell)]
        kept = []
        for name in dict.fromkeys(name.replace("\\", "/") for name in names if name):
            file = photo_in(folder, name)
            if isinstance(file, str):
                faults.append(Fault(int(row), "photos", name, "a photo beside the outcomes", file))
            else:
                kept.append({"name": name, "sha256": digest(file)})
        photos[row] = kept or None
    return photos, faults


SEPARATORS = re.compile(r"[;；\r\n]")


def photo_in(folder: Path, name: str) -> Path | str:
    """The photo of that name; else what is wrong with it and the way out."""
    if "\0" in name or Path(name).is_absolute() or DRIVE.match(name) or ".." in Path(name).parts:
        return "it names a place outside the folder of the outcomes: copy the photo beside the file, name it alone"
    try:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()):
            return "it leads outside the folder of the outcomes: copy the photo itself beside the file"
        if file.is_file():
            return file
    except OSError:
        return "it is no name of a file: correct it"
    return "no such photo: put it there under this name, or take the name out, and verify the file again"


DRIVE = re.compile(r"[A-Za-z]:")


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
