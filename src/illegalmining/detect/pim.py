"""Movement of the ground over an extracted panel: the probability integral method, and Knothe's law in time.

Formulas: shared/science.md (Liu Baochen; Knothe). Subsidence is positive down; movement in the line of sight is
positive towards the satellite, as in the displacement cube.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import erf
from shapely.geometry import Polygon

Floats = npt.NDArray[np.floating]

DAYS_PER_YEAR = 365.25

MOST_SKEW = 0.8
"""Largest skew of a radius: a seam that crops out has none left at its upper edge."""


@dataclass(frozen=True)
class Panel:
    """A rectangular panel, by its effective sides; level unless it is said to be inclined (`over_dip`).

    x, y: centre, m. azimuth_deg: direction of the long side, degrees clockwise from north. length_m, width_m:
    effective sides, m. radius_m: main influence radius r = H / tan(beta), m (60 to 500). w0_m: W0 = m q cos(alpha), m.
    horizontal: b, horizontal movement over tilt and radius (0.1 to 0.5, mostly 0.3). skew: share by which the radius is
    larger at the right edge and smaller at the left one, as the seam lies deeper there. drift_east, drift_north:
    horizontal movement over subsidence that an inclined seam adds.
    """

    x: float
    y: float
    azimuth_deg: float
    length_m: float
    width_m: float
    radius_m: float
    w0_m: float
    horizontal: float = 0.3
    skew: float = 0.0
    drift_east: float = 0.0
    drift_north: float = 0.0


@dataclass(frozen=True)
class Movement:
    """Movement at points: east and north in m, down in m (subsidence, positive down); arrays of one shape."""

    east: Floats
    north: Floats
    down: Floats


@dataclass(frozen=True)
class Look:
    """Direction to the satellite: unit vector components east, north and up; scalars or (Y, X)."""

    east: Floats
    north: Floats
    up: Floats


def look_vector(incidence_deg: npt.ArrayLike, azimuth_deg: npt.ArrayLike) -> Look:
    """The look from the incidence angle and the azimuth from ground to satellite, degrees clockwise from north."""
    incidence, azimuth = np.deg2rad(incidence_deg), np.deg2rad(azimuth_deg)
    return Look(np.sin(incidence) * np.sin(azimuth), np.sin(incidence) * np.cos(azimuth), np.cos(incidence))


def influence(s: Floats, side_m: float, radius_m: float, skew: float = 0.0) -> tuple[Floats, Floats]:
    """C(s; l) without unit, and its derivative in 1/m, for s in m from the near edge of a side of `side_m`.

    With a skew the radius is r (1 - skew) at the near edge and r (1 + skew) at the far one.
    """
    near_m, far_m = radius_m * (1 - skew), radius_m * (1 + skew)
    near, far = np.sqrt(np.pi) * s / near_m, np.sqrt(np.pi) * (s - side_m) / far_m
    return 0.5 * (erf(near) - erf(far)), np.exp(-(near**2)) / near_m - np.exp(-(far**2)) / far_m


def along_across(panel: Panel, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coordinates of points along and across (to the right of) the panel's azimuth, m from its centre."""
    angle = np.deg2rad(panel.azimuth_deg)
    east, north = x - panel.x, y - panel.y
    return east * np.sin(angle) + north * np.cos(angle), east * np.cos(angle) - north * np.sin(angle)


def tilt(panel: Panel, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Subsidence W in m and its gradient along and across the panel (no unit), where the ground has settled."""
    along, across = along_across(panel, x, y)
    c_s, d_s = influence(along + panel.length_m / 2, panel.length_m, panel.radius_m)
    c_t, d_t = influence(across + panel.width_m / 2, panel.width_m, panel.radius_m, panel.skew)
    return panel.w0_m * c_s * c_t, panel.w0_m * d_s * c_t, panel.w0_m * c_s * d_t


def movement(panel: Panel, x: Floats, y: Floats) -> Movement:
    """Settled movement at points x, y (m, one shape): U = b r T towards the centre, W down, W drift sideways."""
    down, along, across = tilt(panel, x, y)
    angle = np.deg2rad(panel.azimuth_deg)
    reach = panel.horizontal * panel.radius_m
    east = reach * (along * np.sin(angle) + across * np.cos(angle))
    north = reach * (along * np.cos(angle) - across * np.sin(angle))
    return Movement(east + panel.drift_east * down, north + panel.drift_north * down, down)


def over_dip(panel: Panel, dip_deg: float, towards_deg: float, depth_m: float, propagation: float) -> Panel:
    """What a panel moves whose seam dips by `dip_deg` towards a direction (degrees clockwise from north).

    `panel`: its outline in plan, its radius and m q. `depth_m`: at its middle. `propagation`: k of the angle of
    propagation, theta = 90 - k dip (0.6 to 0.8; He Guoqing, Mining Subsidence). The bowl lies H cot(theta) down the
    dip, as overburden moves at right angles to its beds; for the same reason the ground also moves up the dip, by W
    cot(theta). W0 = m q cos(dip), and a side along the dip is L = D sin(theta + dip) / sin(theta), D in the seam.
    """
    dip, slant = np.deg2rad(dip_deg), np.tan(np.deg2rad(propagation * dip_deg))  # cot(theta)
    towards, turned = np.deg2rad(towards_deg), np.deg2rad(towards_deg - panel.azimuth_deg)
    along, across = np.cos(turned), np.sin(turned)
    longer = slant * np.tan(dip)
    return replace(
        panel,
        x=float(panel.x + depth_m * slant * np.sin(towards)),
        y=float(panel.y + depth_m * slant * np.cos(towards)),
        length_m=float(panel.length_m * (1 + longer * along**2)),
        width_m=float(panel.width_m * (1 + longer * across**2)),
        w0_m=float(panel.w0_m * np.cos(dip)),
        skew=float(np.clip(panel.width_m / 2 * np.tan(dip) * across / depth_m, -MOST_SKEW, MOST_SKEW)),
        drift_east=float(-slant * np.sin(towards)),
        drift_north=float(-slant * np.cos(towards)),
    )


def line_of_sight(moved: Movement, look: Look) -> Floats:
    """Movement towards the satellite, m: d = U_E sin(i) sin(phi) + U_N sin(i) cos(phi) - W cos(i)."""
    return moved.east * look.east + moved.north * look.north - moved.down * look.up


def sight(panel: Panel, x: Floats, y: Floats, look: Look) -> Floats:
    """Settled movement of a panel in the line of sight, m towards the satellite."""
    return line_of_sight(movement(panel, x, y), look)


def sight_gradient(panel: Panel, x: Floats, y: Floats, look: Look) -> tuple[Floats, Floats]:
    """`sight` (...) of a level panel for one look, and its derivatives (7, ...) by x, y (1), azimuth (m a radian),
    length, width, radius and W0 (1), in the order of `Panel`'s fields.
    """
    angle = np.deg2rad(panel.azimuth_deg)
    sin, cos = np.sin(angle), np.cos(angle)
    along, across = along_across(panel, x, y)
    c_s, d_s, by_s = influence_gradient(along, panel.length_m, panel.radius_m)
    c_t, d_t, by_t = influence_gradient(across, panel.width_m, panel.radius_m)
    strike, dip = look.east * sin + look.north * cos, look.east * cos - look.north * sin
    reach, w0 = panel.horizontal * panel.radius_m, panel.w0_m

    def seen(s: tuple[Floats, Floats], t: tuple[Floats, Floats]) -> Floats:
        return w0 * (reach * (s[1] * t[0] * strike + s[0] * t[1] * dip) - look.up * s[0] * t[0])

    s, t = (c_s, d_s), (c_t, d_t)
    value = seen(s, t)
    by_along, by_across = seen(by_s[0], t), seen(s, by_t[0])
    turned = by_along * across - by_across * along + w0 * reach * (d_s * c_t * dip - c_s * d_t * strike)
    pull = w0 * panel.horizontal * (d_s * c_t * strike + c_s * d_t * dip)
    by_radius = seen(by_s[2], t) + seen(s, by_t[2]) + pull
    parts = [-by_along * sin - by_across * cos, -by_along * cos + by_across * sin, turned]
    return value, np.stack([*parts, seen(by_s[1], t), seen(s, by_t[1]), by_radius, value / w0])


def influence_gradient(
    at: Floats, side_m: float, radius_m: float
) -> tuple[Floats, Floats, tuple[tuple[Floats, Floats], ...]]:
    """C and C' at `at` m from the middle of a side, and the pairs of their derivatives by place, side and radius."""
    near, far = at + side_m / 2, at - side_m / 2
    c, d = influence(near, side_m, radius_m)
    first, last = (np.exp(-np.pi * (edge / radius_m) ** 2) for edge in (near, far))
    square = radius_m**2
    by_place = (d, 2 * np.pi * (far * last - near * first) / (radius_m * square))
    by_side = ((first + last) / (2 * radius_m), -np.pi * (near * first + far * last) / (radius_m * square))
    bend = 2 * np.pi * (near**2 * first - far**2 * last) / square**2
    by_radius = ((far * last - near * first) / square, bend - d / radius_m)
    return c, d, (by_place, by_side, by_radius)


def knothe(days: Floats, per_year: float) -> Floats:
    """Settled share 0 to 1, `days` after extraction at a point: 1 - exp(-c t); 0 before."""
    return 1.0 - np.exp(-per_year * np.clip(days, 0.0, None) / DAYS_PER_YEAR)


def settled_share(days: Floats, extraction_days: float, per_year: float) -> Floats:
    """Settled share 0 to 1 of ground over an extraction that runs evenly for `extraction_days` from day 0.

    The mean of Knothe's law over the extraction: (n - (exp(-c (t - n)) - exp(-c t)) / c) / T, n = min(t, T).
    """
    if extraction_days <= 0:
        return knothe(days, per_year)
    after = np.clip(days, 0.0, None)
    worked = np.minimum(after, extraction_days)
    rate = per_year / DAYS_PER_YEAR
    lag = (np.exp(-rate * (after - worked)) - np.exp(-rate * after)) / rate
    return (worked - lag) / extraction_days


def outline(panel: Panel) -> Polygon:
    """The panel's rectangle, in the CRS of its centre."""
    angle = np.deg2rad(panel.azimuth_deg)
    strike, dip = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    corners = []
    for a, c in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        point = np.array([panel.x, panel.y]) + a * panel.length_m / 2 * strike + c * panel.width_m / 2 * dip
        corners.append((float(point[0]), float(point[1])))
    return Polygon(corners)
