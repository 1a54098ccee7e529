"""Licences given as corner tables: `licence_no, ring, point, x, y, crs`, one row a corner.

As licences print them x is the northing and y the easting with its zone prefix, and each licence has its own CRS.
Attributes (holder, method, valid_from, ...) may stand in further columns, repeated on every row of a licence.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely
from shapely.geometry import MultiPolygon, Polygon

from illegalmining.errors import InputError
from illegalmining.registers.crs import Coordinates, bridge, eastings_in, grid_of, named_crs, zone_crs
from illegalmining.registers.quarantine import Fault
from illegalmining.registers.raw import Raw, matched
from illegalmining.registers.shapes import Place
from illegalmining.registers.values import FIRST_YEAR, as_number, as_text, is_empty
from illegalmining.tables import CONCESSIONS

log = logging.getLogger(__name__)

CORNER_COLUMNS = ("licence_no", "ring", "point", "x", "y", "crs")
ATTRIBUTES = tuple(name for name in CONCESSIONS.columns if name != "licence_no")
NOT_STATED = "not stated"
SINCE_EVER = f"{FIRST_YEAR}-01-01"
NEEDED = ("licence_no", "x", "y", "crs")
NORTHINGS_M = (1.5e6, 6.5e6)
"""Northings of China, with a margin."""
EASTINGS_M = (1e5, 9e5)
"""Eastings within a zone, without prefix."""
LEAST_PREFIXED_M = 13e6
FEWEST_CORNERS = 3
FARTHEST_CORNER_M = 200_000.0
"""From the middle of a licence, m: the largest there are span some tens of kilometres."""
LAST_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True)
class Corner:
    """One row of the table, read."""

    row: int
    ring: str
    point: str
    northing: float
    easting: float


def is_corner_table(raw: Raw) -> bool:
    """Whether a table has a corner table's columns."""
    return set(NEEDED) <= set(matched([str(name) for name in raw.cells.columns], CORNER_COLUMNS))


def licences(raw: Raw, place: Place) -> tuple[Raw, list[Fault]]:
    """Corner rows as one row a licence, in the district's CRS.

    Returns
    -------
    Raw with one row a licence (index: its first row in the file), the attribute columns found, and polygons; and the
    faults of the licences that cannot be drawn. One bad corner leaves out its licence: a boundary without it
    would be another boundary.
    """
    names = [str(name) for name in raw.cells.columns]
    found = matched(names, tuple(dict.fromkeys((*CORNER_COLUMNS, *CONCESSIONS.columns))))
    cells = raw.cells[list(found.values())].set_axis(list(found), axis=1)
    numbers = cells["licence_no"].map(lambda value: None if is_empty(value) else as_text(value))
    why = "a corner without a licence: fill it in"
    faults = [Fault(int(row), "licence_no", None, "a value", why) for row in cells.index[numbers.isna()]]
    drawings: dict[int, tuple[dict[str, Any], Polygon | MultiPolygon]] = {}
    for _, group in cells.groupby(numbers, sort=False):
        try:
            drawings[int(group.index[0])] = (described(group), boundary(group, place))
        except CornerError as error:
            faults.append(error.fault)
    columns = list(CONCESSIONS.columns)
    frame = pd.DataFrame([stated for stated, _ in drawings.values()], columns=columns, dtype=object)
    frame = frame.set_index(pd.Index(list(drawings), dtype=int))
    return Raw(frame, np.array([shape for _, shape in drawings.values()], dtype=object), place.crs), faults


def is_bare(raw: Raw) -> bool:
    """Whether a corner table states nothing but corners."""
    return not set(ATTRIBUTES) & set(matched([str(name) for name in raw.cells.columns], ATTRIBUTES))


def completed(bare: Raw, mines: pd.DataFrame | None) -> Raw:
    """Licences of a bare corner table with what else is known: holder and method from the mine that works under it.

    The dates are unknown. So that nobody is accused for want of a column, each counts as in force on all days;
    the caller says so. A licence no mine works under keeps an empty method (and is then set aside).
    """
    cells = bare.cells.copy()
    known = None if mines is None else mines.dropna(subset="licence_no").drop_duplicates("licence_no")
    numbers = cells["licence_no"].map(as_text)
    for column, source in (("holder", "operator"), ("method", "method")):
        if known is not None:
            cells[column] = numbers.map(known.set_index("licence_no")[source]).astype(object)
    return replace(bare, cells=cells.assign(mineral=NOT_STATED, valid_from=SINCE_EVER))


class CornerError(InputError):
    """A licence that cannot be drawn."""

    def __init__(self, row: Any, field: str, value: Any, rule: str, why: str) -> None:
        super().__init__(why)
        self.fault = Fault(int(row), field, value, rule, why)


def described(group: pd.DataFrame) -> dict[str, Any]:
    """The attributes of a licence, which its rows must not contradict; the first row that states one counts."""
    stated = {}
    for column in group.columns:
        if column not in CONCESSIONS.columns:
            continue
        values = {as_text(value): row for row, value in group[column].items() if not is_empty(value)}
        if len(values) > 1:
            other, row = list(values.items())[1]
            why = f"the rows of one licence state different values ({', '.join(values)}): make them agree"
            raise CornerError(row, column, other, "one value a licence", why)
        stated[column] = next((value for value in group[column] if not is_empty(value)), None)
    return stated


def boundary(group: pd.DataFrame, place: Place) -> Polygon | MultiPolygon:
    """The polygon of a licence in the district's CRS."""
    first = group.index[0]
    corners = [corner_of(row, cells) for row, cells in zip(group.index, group.to_dict("records"), strict=True)]
    northings = np.array([corner.northing for corner in corners])
    eastings = np.array([corner.easting for corner in corners])
    try:
        crs = crs_of(group, eastings)
        refuse_exchanged(crs, first, northings, eastings)
        points = np.column_stack([eastings_in(crs, eastings), northings])
        moved = bridge(crs, place.crs, place.bounds)(points)
    except CornerError:
        raise
    except InputError as error:
        raise CornerError(first, "crs", group["crs"].iloc[0], "a CRS that fits the numbers", str(error)) from error
    if not np.isfinite(moved).all():
        why = f"a corner lies where {crs.name} ends: check x (northing), y (easting) and crs"
        raise CornerError(first, "y", eastings[0], "coordinates inside the CRS", why)
    refuse_stray(corners, moved)
    return drawn(corners, moved)


def corner_of(row: Any, cells: dict[str, Any]) -> Corner:
    """One corner from its cells."""
    values = {}
    for column in ("x", "y"):
        try:
            values[column] = as_number(cells[column])
        except ValueError as error:
            why = f"a corner's {column} cannot be read: {error}; the whole licence {cells['licence_no']} is left out"
            found = None if is_empty(cells[column]) else cells[column]
            raise CornerError(row, column, found, "a number (metres)", why) from error
    ring, point = (("" if is_empty(cells.get(name)) else as_text(cells[name])) for name in ("ring", "point"))
    return Corner(int(row), ring, point, values["x"], values["y"])


def crs_of(group: pd.DataFrame, eastings: Coordinates) -> pyproj.CRS:
    """The CRS the rows of a licence name; where they say CGCS2000 alone, the eastings' zone prefix decides."""
    names = list(dict.fromkeys(as_text(value) for value in group["crs"] if not is_empty(value)))
    if len(names) != 1:
        raise InputError(f"a licence needs one crs on its rows, found {', '.join(names) or 'none'}: write one")
    return named_crs(names[0]) or zone_crs(int(eastings[0] // 1e6))


def refuse_exchanged(crs: pyproj.CRS, row: Any, northings: Coordinates, eastings: Coordinates) -> None:
    """Raise where the numbers say that x and y changed places."""
    if grid_of(crs) is None:
        return
    low, high = EASTINGS_M
    north_in_y = ((eastings >= NORTHINGS_M[0]) & (eastings <= NORTHINGS_M[1])).all()
    east_in_x = ((northings >= LEAST_PREFIXED_M) | ((northings >= low) & (northings <= high))).all()
    if north_in_y and east_in_x:
        why = "x and y are exchanged: x is the northing, y the easting with its zone prefix; exchange the two columns"
        raise CornerError(row, "x", northings[0], "x = northing, y = easting", why)


def refuse_stray(corners: list[Corner], points: Coordinates) -> None:
    """Raise where one corner lies nowhere near the others: a digit is missing or has slipped."""
    away = np.hypot(*(points - np.median(points, axis=0)).T)
    if away.max() > FARTHEST_CORNER_M:
        stray = corners[int(away.argmax())]
        why = (
            f"the corner lies {away.max() / 1000:.0f} km from the middle of its licence: correct x (northing) or "
            "y (easting); the licence is left out"
        )
        raise CornerError(stray.row, "x", stray.northing, "a corner near the others of its licence", why)


def drawn(corners: list[Corner], points: Coordinates) -> Polygon | MultiPolygon:
    """Rings to a polygon: rings in their order; one that lies in a part drawn before is a hole, else a further part."""
    parts: list[tuple[Polygon, list[Polygon]]] = []
    for ring in sorted({corner.ring for corner in corners}, key=in_order):
        outline = ring_of([(corner, xy) for corner, xy in zip(corners, points, strict=True) if corner.ring == ring])
        around = [holes for shell, holes in parts if shell.is_valid and outline.is_valid and shell.covers(outline)]
        if around:
            around[-1].append(outline)
        else:
            parts.append((outline, []))
    polygons = [Polygon(shell.exterior, [hole.exterior for hole in holes]) for shell, holes in parts]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def ring_of(members: list[tuple[Corner, Any]]) -> Polygon:
    """The corners of one ring, by their point numbers, closed; a repeated closing corner is dropped."""
    if all(LAST_NUMBER.search(corner.point) for corner, _ in members):
        closing = len(members) > FEWEST_CORNERS and bool(np.allclose(members[0][1], members[-1][1], atol=1e-6))
        members = sorted(members[:-1] if closing else members, key=lambda member: in_order(member[0].point))
    row = members[0][0].row
    seen: dict[str, Any] = {}
    outline = []
    for corner, xy in members:
        if corner.point and corner.point in seen:
            if np.allclose(seen[corner.point], xy, atol=1e-6):
                continue
            why = "two corners of one ring have the same number: number them 1, 2, 3 ... or give each ring its own ring"
            raise CornerError(corner.row, "point", corner.point, "a number of its own", why)
        seen[corner.point] = xy
        outline.append(xy)
    if len(shapely.get_coordinates(shapely.multipoints(np.unique(np.array(outline), axis=0)))) < FEWEST_CORNERS:
        raise CornerError(row, "point", len(outline), "at least 3 corners", "too few corners: add the missing rows")
    return Polygon(outline)


def in_order(label: str) -> tuple[int, str]:
    """Sorts labels by the number they end with: J2 before J10."""
    number = LAST_NUMBER.search(label)
    return (int(number[1]) if number else 0, label)
