"""Coordinate reference systems of registers: named, checked against the numbers, and never shifted by guesswork.

Coordinates are always x (east), y (north), whatever the axis order of the authority.
"""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.transformer import AreaOfInterest, TransformerGroup

from illegalmining.errors import InputError

log = logging.getLogger(__name__)

Coordinates = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
WGS84 = pyproj.CRS.from_epsg(4326)

EARTH_CENTRED_AXIS_M = 6_378_137.0
"""Semi-major axis of GRS 80, WGS 84 and CGCS2000."""
AXIS_TOLERANCE_M = 1.0
"""IAG 75 (Xi'an 1980) differs by 3 m, Krassowsky (Beijing 1954) by 108 m."""
COARSE_M = 5.0
"""A transformation less exact than this is said in the log."""
ZONE_M = 1e6
"""The zone prefix of a Gauss-Krueger easting counts millions of metres."""
CENTRAL_EASTING_M = 500_000.0
THREE_DEGREE_ZONES = range(25, 46)
SIX_DEGREE_ZONES = range(13, 24)
CGCS2000_NAME = re.compile(r"cgcs\s*2000|(国家)?2000\s*(国家)?(大地)?坐标系?|国家2000|2000国家")
OLD_DATUM_NAME = re.compile(r"西安|北京|xi'?an|beijing")
ZONE_NAME = re.compile(r"(?:zone|第)\s*(\d{2})|(?<!\d)(\d{2})\s*(?:号?带|zone)")
MERIDIAN_NAME = re.compile(r"(?:cm|中央(?:经线|子午线)|meridian)\D{0,3}(\d{2,3})|(?<!\d)(\d{2,3})\s*°?\s*e\b")

SEVEN_PARAMETERS = (
    "PROJ knows no transformation there but a ballpark one, tens of metres wrong: declare a CRS that brings the seven "
    "parameters your survey office gives (+towgs84=dx,dy,dz,rx,ry,rz,ds), or reproject the data with them"
)


def identity(points: Coordinates) -> Coordinates:
    """Coordinates that are already where they belong."""
    return points


def bridge(source: pyproj.CRS, target: pyproj.CRS, bounds: Bounds) -> Callable[[Coordinates], Coordinates]:
    """A function from coordinates (n, 2) in `source` to the same in `target`, exact enough to judge a boundary.

    A datum shift must be one that is published for the area of `bounds` (in `target`, m). None is needed between
    systems centred on the Earth (WGS 84, CGCS2000, ETRS89 and the like): they agree within a metre or two, which
    is why PROJ's missing entry for them does no harm.

    Raises
    ------
    InputError
        Only a ballpark transformation exists (Beijing 1954, Xi'an 1980 and other old datums), or none at all.
    """
    source, target = level(source), level(target)
    if source.equals(target, ignore_axis_order=True):
        return identity
    if source.geodetic_crs is None:
        raise InputError(f"its CRS {source.name} is tied to no place on the Earth: declare the CRS the numbers are in")
    direct = exact(source, target, target, bounds)
    if direct is not None:
        return partial(chained, chain=(direct,))
    if source.is_bound:  # it brings its own parameters, to WGS 84
        to_wgs84 = exact(source, WGS84, target, bounds)
        onward = exact(WGS84, target, target, bounds)
        if to_wgs84 is not None and onward is not None:
            return partial(chained, chain=(to_wgs84, onward))
    raise InputError(f"its CRS is {source.name}, the district's {target.name}: {SEVEN_PARAMETERS}")


def level(crs: pyproj.CRS) -> pyproj.CRS:
    """The horizontal part of a CRS."""
    return crs.sub_crs_list[0] if crs.is_compound else crs.to_2d()


def exact(source: pyproj.CRS, target: pyproj.CRS, local: pyproj.CRS, bounds: Bounds) -> pyproj.Transformer | None:
    """The best published transformation around `bounds` (in `local`), or None where there is only a guess."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a better one would need a grid that is not installed
            group = TransformerGroup(
                source, target, always_xy=True, allow_ballpark=False, area_of_interest=area_of(local, bounds)
            )
        if group.transformers:
            best = group.transformers[0]
            if best.accuracy > COARSE_M:
                log.warning("%s to %s is exact to %g m only: %s", source.name, target.name, best.accuracy, best)
            return best
        if is_earth_centred(source) and is_earth_centred(target):
            return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise InputError(f"no way leads from its CRS {source.name} to {target.name}: {error}") from error
    return None


def is_earth_centred(crs: pyproj.CRS) -> bool:
    """Whether a CRS rests on an Earth-centred datum, told by its ellipsoid."""
    ellipsoid = None if crs.is_bound else crs.ellipsoid
    return ellipsoid is not None and abs(ellipsoid.semi_major_metre - EARTH_CENTRED_AXIS_M) < AXIS_TOLERANCE_M


def area_of(crs: pyproj.CRS, bounds: Bounds) -> AreaOfInterest | None:
    """Bounds as degrees, or None where they lie outside what the CRS can show."""
    geodetic = crs.geodetic_crs
    if geodetic is None:
        return None
    west, south, east, north = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True).transform_bounds(*bounds)
    if not np.isfinite([west, south, east, north]).all():
        return None
    return AreaOfInterest(west, south, east, north)


def chained(points: Coordinates, chain: tuple[Any, ...]) -> Coordinates:
    """Coordinates through transformers, one after the other; infinite where a projection ends."""
    x, y = points[:, 0], points[:, 1]
    for transformer in chain:
        x, y = transformer.transform(x, y)
    return np.column_stack([x, y])


def named_crs(name: str) -> pyproj.CRS | None:
    """The CRS a record names: a code (EPSG:4525, 4525), a PROJ or ESRI name, or words as licences print them.

    Returns
    -------
    None where the name says CGCS2000 alone: the zone prefix of the numbers then decides (`zone_crs`).

    Raises
    ------
    InputError
        The name is not understood, or names an old datum (Beijing 1954, Xi'an 1980) in words.
    """
    name = unicodedata.normalize("NFKC", name).strip()
    words = name.casefold()
    try:
        found = pyproj.CRS.from_user_input(name)
    except pyproj.exceptions.CRSError:
        found = None
    if found is not None and not (found.is_geographic and CGCS2000_NAME.search(words)):
        return found
    if OLD_DATUM_NAME.search(words):
        raise InputError(f"its CRS is {name}: {SEVEN_PARAMETERS}")
    if not CGCS2000_NAME.search(words):
        raise InputError("the CRS is not understood; write an EPSG code such as EPSG:4525")
    zone, meridian = ZONE_NAME.search(words), MERIDIAN_NAME.search(words)
    if zone:
        return zone_crs(int(zone[1] or zone[2]))
    if meridian and int(meridian[1] or meridian[2]) % 3 == 0:
        return unprefixed_crs(int(meridian[1] or meridian[2]))
    return None


def zone_crs(zone: int) -> pyproj.CRS:
    """The CGCS2000 Gauss-Krueger CRS of a zone prefix: 25 to 45 are 3-degree zones, 13 to 23 6-degree zones."""
    if zone in THREE_DEGREE_ZONES:
        return pyproj.CRS.from_epsg(4513 + zone - THREE_DEGREE_ZONES[0])
    if zone in SIX_DEGREE_ZONES:
        return pyproj.CRS.from_epsg(4491 + zone - SIX_DEGREE_ZONES[0])
    raise InputError(f"{zone} is not a Gauss-Krueger zone of China (25 to 45, or 13 to 23): check the zone prefix of y")


def unprefixed_crs(meridian: int) -> pyproj.CRS:
    """The CGCS2000 3-degree Gauss-Krueger CRS of a central meridian, without zone prefix."""
    if meridian // 3 not in THREE_DEGREE_ZONES:
        raise InputError(f"{meridian} degrees east is not a central meridian of China (75 to 135): check the CRS")
    return pyproj.CRS.from_epsg(4534 + meridian // 3 - THREE_DEGREE_ZONES[0])


@dataclass(frozen=True)
class Grid:
    """A Gauss-Krueger grid. `meridian`: degrees east. `prefix`: millions of metres before its eastings, 0 for none."""

    meridian: float
    prefix: int


def grid_of(crs: pyproj.CRS) -> Grid | None:
    """The grid behind a CRS; None where it is no Gauss-Krueger grid."""
    operation = crs.coordinate_operation if crs.is_projected else None
    if operation is None or operation.method_name != "Transverse Mercator":
        return None
    values = {parameter.name: float(parameter.value) for parameter in operation.params}
    easting = values.get("False easting", 0.0)
    if easting % ZONE_M != CENTRAL_EASTING_M:
        return None
    return Grid(values.get("Longitude of natural origin", 0.0), int(easting // ZONE_M))


def meridian_of_zone(zone: int) -> float | None:
    """Central meridian of a zone prefix, degrees east."""
    if zone in THREE_DEGREE_ZONES:
        return 3.0 * zone
    return 6.0 * zone - 3.0 if zone in SIX_DEGREE_ZONES else None


def eastings_in(crs: pyproj.CRS, eastings: Coordinates) -> Coordinates:
    """Eastings as a CRS wants them, their zone prefix put right where it names the CRS's own meridian.

    Raises
    ------
    InputError
        The prefix names another zone than the CRS, or differs within the record.
    """
    grid = grid_of(crs)
    if grid is None:
        return eastings
    prefixes = np.unique(np.floor(eastings / ZONE_M)).astype(int)
    if len(prefixes) > 1:
        listed = ", ".join(str(prefix) for prefix in prefixes)
        raise InputError(f"the eastings carry different zone prefixes ({listed}): give all corners in one zone")
    prefix = int(prefixes[0])
    if prefix not in (0, grid.prefix) and meridian_of_zone(prefix) != grid.meridian:
        raise InputError(
            f"the easting's prefix {prefix} is not the zone of {crs.name}, whose meridian is {grid.meridian:g} "
            "degrees east: correct the CRS or the easting"
        )
    return eastings + (grid.prefix - prefix) * ZONE_M


def contradiction(crs: pyproj.CRS, x: float, y: float) -> str:
    """Why a point that lies far from the district may do so: what its numbers say against its CRS; '' if nothing."""
    degrees = abs(x) <= 180 and abs(y) <= 180
    if crs.is_geographic:
        return (
            ""
            if degrees and abs(y) <= 90
            else (
                "latitude and longitude seem exchanged: write longitude first"
                if degrees
                else "its numbers are no degrees: declare the CRS they are in"
            )
        )
    if degrees:
        return f"its numbers are degrees but {crs.name} is in metres: declare the CRS they are in"
    grid = grid_of(crs)
    if grid is None:
        return ""
    if 2e6 <= x <= 6e6 and (1e5 <= y <= 9e5 or y >= 13 * ZONE_M):
        return "northing and easting seem exchanged: x must be the easting"
    prefix = int(x // ZONE_M)
    if prefix != grid.prefix and (meridian_of_zone(prefix) is not None or prefix == 0):
        wanted = f"with the prefix {grid.prefix}" if grid.prefix else "without a zone prefix"
        return f"its easting {x:.0f} contradicts {crs.name}, whose eastings come {wanted}: declare the right CRS"
    return ""
