"""Registers from their files to checked tables in the district's CRS; what cannot be used is set aside and said."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.contracts import Table
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.registers.bulk import refuse_bulk
from illegalmining.registers.corners import completed, is_bare, is_corner_table, licences
from illegalmining.registers.crs import WGS84
from illegalmining.registers.links import decisions_of, with_closures
from illegalmining.registers.plain import read_csv, read_xlsx
from illegalmining.registers.quarantine import Fault, SetAside, relative_name
from illegalmining.registers.raw import Raw, contract_cells
from illegalmining.registers.shapes import Place, settled
from illegalmining.registers.values import typed
from illegalmining.registers.vectors import column_names, read_vector
from illegalmining.tables import CONCESSIONS, JURISDICTIONS, METERS, REGISTERS

log = logging.getLogger(__name__)

CSV_SUFFIXES = (".csv", ".txt", ".tsv")
DECLARE_CRS = "declare it: save the layer with its CRS (ogr2ogr -a_srs EPSG:…), or put the .prj beside a Shapefile"
BARE_CORNERS = (
    "the corner table states corners alone: holder and method are taken from the mine that works under the licence, "
    "and every licence counts as in force on all days; add the columns, repeated on every row of a licence"
)


@dataclass(frozen=True)
class Registers:
    """The registers of a district, as `tables.REGISTERS` types them; None where one is absent.

    Tables with a place are GeoDataFrames in the district's CRS. Every column of the contract is there; the index
    counts from 0. `mine_status` includes the closures that a person has linked to a mine. `files`: where each
    configured register lies, and the decisions on links.
    """

    jurisdictions: gpd.GeoDataFrame
    concessions: gpd.GeoDataFrame | None
    mines: gpd.GeoDataFrame | None
    mine_status: pd.DataFrame | None
    working_faces: gpd.GeoDataFrame | None
    meters: pd.DataFrame | None
    production: pd.DataFrame | None
    closure_list: pd.DataFrame | None
    recipients: pd.DataFrame | None
    roads: gpd.GeoDataFrame | None
    files: dict[str, Path]

    def in_order(self) -> Registers:
        """The same registers with rows in an order of their own, so that results do not depend on that of the files."""
        tables: dict[str, Any] = {name: ordered(getattr(self, name)) for name in REGISTERS}
        return replace(self, **tables)


def read_registers(district: District, quarantine: list[dict[str, Any]] | None = None) -> Registers:
    """Read every configured register; add what cannot be used to `quarantine`, one dict a fault.

    Returns
    -------
    The registers as checked tables; those with a place as GeoDataFrames in the district's CRS, m. None where one is
    not configured. The batch takes them `in_order()`, so that the order of rows in a file changes nothing.

    Raises
    ------
    InputError
        A configured file is missing, or `jurisdictions` cannot be used at all.

    Examples
    --------
    >>> aside = []
    >>> registers = im.read_registers(district, aside).in_order()
    >>> sorted(registers.mines["method"].unique())
    ['opencast', 'underground']
    >>> registers.concessions.crs == district.crs
    True
    >>> len(aside)  # nothing had to be set aside
    0
    """
    quarantine = [] if quarantine is None else quarantine
    configured = {name: href for name in REGISTERS if (href := getattr(district.configuration.registers, name))}
    files = {name: Path(district.resolve(href)) for name, href in configured.items()}
    for name, path in files.items():
        if not path.exists():
            raise InputError(
                f"{configured[name]}: no such file; district.toml names it as registers.{name}: "
                "put the file there, correct the path, or remove the key"
            )
    place = Place(district.crs, district.configuration.district.bounds)
    tables: dict[str, Any] = dict.fromkeys(REGISTERS)
    for name in sorted(files, key=lambda name: name != "mines"):  # bare corner tables lean on the mines
        path = files[name]
        aside = SetAside(quarantine, relative_name(district, configured[name]))
        try:
            tables[name] = read_table(REGISTERS[name], path, place, aside, tables["mines"])
        except InputError as error:
            if name == "jurisdictions":
                raise InputError(f"{aside.file} (registers.jurisdictions): {error}") from error
            aside.whole_file(f"a register of {name}", f"{error}; the register is treated as absent")
            log.warning("%s set aside: %s", aside.file, error)
    decisions = Path(district.resolve(district.configuration.registers.link_decisions))
    aside = SetAside(quarantine, relative_name(district, district.configuration.registers.link_decisions))
    tables["mine_status"] = with_closures(tables, decisions_of(decisions, opened), aside)
    if decisions.is_file():
        files["link_decisions"] = decisions
    return Registers(**tables, files=files)


def ordered(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """Rows sorted by all they hold, the outline last; numbered anew from 0."""
    if table is None:
        return None
    keys = pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
    if "geometry" in table:
        keys = keys.assign(outline=table["geometry"].to_wkb(hex=True))
    order = keys.reset_index(drop=True).sort_values(list(keys.columns), kind="stable").index
    return table.iloc[order].reset_index(drop=True)


def read_table(
    table: Table, path: Path, place: Place, aside: SetAside, mines: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One register: read, typed, checked, placed; rows at fault are noted in `aside` and left out.

    Raises
    ------
    InputError
        The file as a whole cannot be used.
    """
    raw, faults = opened(table, path)
    if table is CONCESSIONS and raw.geometry is None and is_corner_table(raw):
        bare = is_bare(raw)
        raw, undrawn = licences(raw, place)
        faults += undrawn
        if bare:
            raw = completed(raw, mines)
            aside.whole_file(f"the columns {', '.join(table.required)}", BARE_CORNERS)
    cells, missing = contract_cells(table, raw)
    nameless = not len(raw.cells.columns)
    if not len(raw.cells) and not faults and (nameless or not missing) and table is not JURISDICTIONS:
        return table.frame([], place.crs)  # a register may say that there is nothing, such as no order
    if missing:
        raise InputError(
            f"the column(s) {', '.join(missing)} are missing, found {column_names(raw.cells)}: "
            "rename the file's columns to the contract's"
        )
    frame, unreadable = typed(table, cells)
    faults += unreadable
    if table.shapes and len(frame):
        geometry, misplaced = placed(table, raw, place)
        frame = gpd.GeoDataFrame(frame, geometry=geometry, crs=place.crs)
        faults += misplaced
    elif table is METERS:
        faults += strays(frame, place)
    faults += backward(table, frame)
    frame = frame.drop(index={fault.row for fault in faults if not fault.spares} & set(frame.index))
    repeats = repeated(table, frame)
    frame = frame.drop(index=[fault.row for fault in repeats])
    faults += repeats
    aside.faults(faults)
    if not len(frame):
        first = min(faults, key=lambda fault: fault.row, default=None)
        raise InputError(
            f"no row can be used; row {first.row}: {first.why}"
            if first
            else "it holds no rows: fill it or remove its key"
        )
    return frame.reset_index(drop=True)


def opened(table: Table, path: Path) -> tuple[Raw, list[Fault]]:
    """A file's cells by its format, and the rows that cannot even be parsed."""
    suffix = path.suffix.lower()
    wanted = (*table.columns, "ring", "point", "x", "y", "crs") if table is CONCESSIONS else table.columns
    try:
        refuse_bulk(path)
        if suffix in CSV_SUFFIXES:
            return read_csv(path, wanted)
        if suffix in (".xlsx", ".xlsm"):
            return read_xlsx(path, wanted)
        return read_vector(path, table), []
    except (InputError, MemoryError):
        raise
    except Exception as error:  # GDAL, Arrow, GEOS and openpyxl raise unlike things for a broken file
        raise InputError(
            f"it cannot be read ({error}): check that it is whole and of the format its name says"
        ) from error


def placed(table: Table, raw: Raw, place: Place) -> tuple[np.ndarray[Any, Any], list[Fault]]:
    """The geometries of a table in the district's CRS."""
    if raw.geometry is None:
        raise InputError(f"it holds no geometry: give {table.name} as GeoPackage, GeoParquet or another vector format")
    if raw.crs is None:
        raise InputError(f"it declares no CRS: {DECLARE_CRS}")
    return settled(raw.geometry, raw.cells.index.to_numpy(), raw.crs, table.shapes, place)


def strays(meters: pd.DataFrame, place: Place) -> list[Fault]:
    """Meters whose longitude and latitude lie far away from the district; exchanged ones do."""
    known = meters[meters[["lon", "lat"]].notna().all(axis=1)]
    points = gpd.points_from_xy(known["lon"], known["lat"])
    _, faults = settled(np.asarray(points, dtype=object), known.index.to_numpy(), WGS84, ("Point",), place)
    return [Fault(fault.row, "lon", fault.value, fault.rule, fault.why) for fault in faults]


def backward(table: Table, frame: pd.DataFrame) -> list[Fault]:
    """Periods that end before they begin, or on the same day (ends are exclusive)."""
    if table.period is None:
        return []
    start, end = table.period
    wrong = frame[frame[end] <= frame[start]]
    why = f"it ends on or before {{:%Y-%m-%d}}, its {start}: correct one of them"
    return [
        Fault(int(row), end, f"{last:%Y-%m-%d}", f"{end} after {start}", why.format(first))
        for row, first, last in zip(wrong.index, wrong[start], wrong[end], strict=True)
    ]


def repeated(table: Table, frame: pd.DataFrame) -> list[Fault]:
    """Rows whose key an earlier row has; of a table of terms, only where the periods meet."""
    if not table.key:
        return []
    keys = list(table.key)
    again = frame[frame.duplicated(keys)]
    named = ", ".join(keys)
    why = f"an earlier row has the same {named} and is kept: give each row its own, or merge them into one multi-part"
    if table.terms and table.period:
        again = again[meeting(frame, keys, table.period)[again.index]]
        why += f"; rows of one {named} that follow each other in time must not overlap"
    return [
        Fault(int(row), named, ", ".join(str(value) for value in values), "unique", why)
        for row, values in zip(again.index, again[keys].itertuples(index=False, name=None), strict=True)
    ]


def meeting(frame: pd.DataFrame, keys: list[str], period: tuple[str, str]) -> pd.Series:
    """Whether each row's period meets that of an earlier row with the same key that is kept."""
    start, end = (frame[name].tolist() for name in period)
    meets = pd.Series(False, index=frame.index)
    places = {label: place for place, label in enumerate(frame.index)}
    for labels in frame[frame.duplicated(keys, keep=False)].groupby(keys).groups.values():
        kept: list[int] = []
        for label in labels:
            one = places[label]
            ends = [pd.Timestamp.max if pd.isna(end[k]) else end[k] for k in kept]
            mine = pd.Timestamp.max if pd.isna(end[one]) else end[one]
            if any(start[one] < until and start[k] < mine for k, until in zip(kept, ends, strict=True)):
                meets[label] = True
            else:
                kept.append(one)
    return meets
