"""Geometries of a register: brought to the district's CRS, repaired where that is certain, refused where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from illegalmining.registers.crs import Bounds, Coordinates, bridge, contradiction
from illegalmining.registers.quarantine import Fault

log = logging.getLogger(__name__)

Geometries = NDArray[Any]

NARROW_M = 0.1
"""A polygon narrower than this on average (twice its area by its outline) is what an overlay left behind, m."""
FAR_M = 500_000.0
"""A register's place farther than this from the district's bounds is taken for a mistake."""


@dataclass(frozen=True)
class Place:
    """Where the district lies: its CRS and bounds (xmin, ymin, xmax, ymax, m)."""

    crs: pyproj.CRS
    bounds: Bounds

    def distance(self, geometries: Geometries) -> NDArray[np.float64]:
        """Distance of geometries (in the district's CRS) from its bounds, m; NaN for none."""
        return np.asarray(shapely.distance(geometries, shapely.box(*self.bounds)), dtype=float)


def settled(
    geometries: Geometries, rows: NDArray[np.int64], crs: pyproj.CRS, shapes: tuple[str, ...], place: Place
) -> tuple[Geometries, list[Fault]]:
    """Geometries in the district's CRS, flat, valid and of the allowed types; faults for those that cannot be.

    Parameters
    ----------
    geometries : (n,) shapely geometries or None, in `crs`.
    rows : (n,) row numbers for the faults.
    shapes : geometry types the table allows.

    Returns
    -------
    (n,) geometries, None where at fault, and the faults.

    Raises
    ------
    InputError
        The CRS cannot be transformed exactly.
    """
    across = bridge(crs, place.crs, place.bounds)
    flat = np.array([gathered(geometry) for geometry in geometries], dtype=object)
    moved = moved_by(flat, across)
    repaired = valid(moved, rows)
    faults: list[Fault] = []
    far = place.distance(repaired)
    for index, row in enumerate(rows):
        given = flat[index]
        rule, why = complaint(given, shapes)
        if not rule and moved[index] is None:
            rule, why = f"a place {crs.name} can show", far_reason(given, crs, across, place)
        if not rule and repaired[index] is None:
            rule, why = "a geometry with an extent", "its corners coincide or lie on a line: draw its outline"
        if not rule and far[index] > FAR_M:
            rule = f"at most {FAR_M / 1000:.0f} km away from the district"
            why = f"it lies {far[index] / 1000:.0f} km away; {far_reason(given, crs, across, place)}"
        if not rule and is_sliver(repaired[index]):
            rule, why = (
                "a geometry with an extent",
                f"a sliver, less than {NARROW_M:g} m wide: remove it or draw it anew",
            )
        if rule:
            found = None if given is None else shapely.to_wkt(given, rounding_precision=3)
            faults.append(Fault(int(row), "geometry", found, rule, why))
            repaired[index] = None
    return repaired, faults


def gathered(geometry: Any) -> Any:
    """A geometry without wrapping: a collection of polygons (or of lines) as one multi-part, a single part bare."""
    if geometry is None or geometry.geom_type not in ("GeometryCollection", "MultiPoint"):
        return geometry
    parts = shapely.get_parts(geometry)
    if len(parts) == 1:
        return gathered(parts[0])
    kinds = {part.geom_type for part in parts}
    if kinds and kinds <= {"Polygon", "MultiPolygon"}:
        return shapely.multipolygons(shapely.get_parts(parts))
    if kinds and kinds <= {"LineString", "MultiLineString"}:
        return shapely.multilinestrings(shapely.get_parts(parts))
    return geometry


def moved_by(geometries: Geometries, across: Callable[[Coordinates], Coordinates]) -> Geometries:
    """Geometries transformed and without heights; None where a coordinate is not finite before or after."""
    finite = np.array([is_finite(geometry) for geometry in geometries], dtype=bool)
    moved = np.full(len(geometries), None, dtype=object)
    moved[finite] = shapely.transform(geometries[finite], lambda points: bounded(across(points)))
    return np.array([geometry if is_finite(geometry) else None for geometry in moved], dtype=object)


def bounded(points: Coordinates) -> Coordinates:
    """Coordinates with NaN as infinity, so that a ring that is lost stays a closed ring."""
    return np.where(np.isnan(points), np.inf, points)


def is_finite(geometry: Any) -> bool:
    """Whether there is a geometry with coordinates, all finite."""
    return geometry is not None and not geometry.is_empty and bool(np.isfinite(shapely.get_coordinates(geometry)).all())


def valid(geometries: Geometries, rows: NDArray[np.int64]) -> Geometries:
    """Geometries with crossing rings put right, only parts of the same dimension kept; None where nothing is left."""
    repaired = geometries.copy()
    for index in np.flatnonzero(~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)):
        reason = shapely.is_valid_reason(geometries[index])
        made = shapely.make_valid(geometries[index], method="structure", keep_collapsed=False)
        dimension = shapely.get_dimensions(geometries[index])
        parts = [part for part in shapely.get_parts(made) if shapely.get_dimensions(part) == dimension]
        whole = shapely.union_all(parts)
        repaired[index] = None if whole.is_empty else whole
        log.warning("row %d: geometry repaired (%s)", rows[index], reason)
    return repaired


def is_sliver(geometry: Any) -> bool:
    """Whether a polygon is all edge."""
    return bool(shapely.get_dimensions(geometry) == 2 and 2 * geometry.area < NARROW_M * geometry.length)


def complaint(geometry: Any, shapes: tuple[str, ...]) -> tuple[str, str]:
    """What is wrong with a geometry as given: the rule and the way out, both '' if nothing."""
    allowed = " or ".join(shapes)
    if geometry is None or geometry.is_empty:
        return "a geometry", f"the row has no place: draw it as {allowed}"
    if geometry.geom_type not in shapes:
        return f"geometry of type {allowed}", f"found a {geometry.geom_type}: draw it as {allowed}"
    if not is_finite(geometry):
        return "finite coordinates", "a coordinate is missing or infinite: correct it"
    return "", ""


def far_reason(geometry: Any, crs: pyproj.CRS, across: Callable[[Coordinates], Coordinates], place: Place) -> str:
    """Why a geometry may lie far away, with the way out."""
    corner = shapely.get_coordinates(geometry)[:1]
    swapped = across(corner[:, ::-1])
    if np.isfinite(swapped).all() and place.distance(shapely.points(swapped))[0] <= FAR_M:
        return "x and y seem exchanged (axis order): write east first, then north"
    reason = contradiction(crs, float(corner[0, 0]), float(corner[0, 1]))
    return reason or f"check the coordinates, and that they are in {crs.name}"
