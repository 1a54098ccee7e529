"""A face that advances: its panel dug strip by strip from one end, each strip settling by Knothe's law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erf

from illegalmining.detect.pim import (
    DAYS_PER_YEAR,
    Floats,
    Look,
    Panel,
    along_across,
    influence,
    knothe,
    settled_share,
    sight,
    sight_gradient,
)

LEAST_DAYS = 1e-3
"""Shortest time in which a strip is dug: none takes no time."""


@dataclass(frozen=True)
class Advance:
    """How a face is dug.

    direction: +1 along the panel's azimuth, -1 against it, 0 everywhere at once. start: day of the first strip.
    duration: days from the first to the last.
    """

    direction: int
    start: float
    duration: float


def strips(panel: Panel, direction: int, count: int) -> list[Panel]:
    """The panel cut across its azimuth, in the order in which it is dug; they sum to the panel."""
    angle = np.deg2rad(panel.azimuth_deg)
    off = direction * strip_places(count) * panel.length_m
    return [
        replace(panel, x=panel.x + o * np.sin(angle), y=panel.y + o * np.cos(angle), length_m=panel.length_m / count)
        for o in off
    ]


def strip_places(count: int) -> Floats:
    """Middles of `count` equal strips of a side of length one, from its middle, in order."""
    return (np.arange(count) + 0.5) / count - 0.5


def strip_sights(panel: Panel, direction: int, x: Floats, y: Floats, look: Look, count: int) -> Floats:
    """Settled movement (count, ...) of every strip in the line of sight, m, in the order in which they are dug.

    Strips share their edges: one error function an edge gives them all.
    """
    angle = np.deg2rad(panel.azimuth_deg)
    strike = look.east * np.sin(angle) + look.north * np.cos(angle)
    dip = look.east * np.cos(angle) - look.north * np.sin(angle)
    along, across = along_across(panel, x, y)
    edges = np.stack([along + share * panel.length_m for share in np.linspace(0.5, -0.5, count + 1)])
    edges *= np.sqrt(np.pi) / panel.radius_m
    c_s, d_s = -np.diff(erf(edges), axis=0) / 2, -np.diff(np.exp(-(edges**2)), axis=0) / panel.radius_m
    c_t, d_t = influence(across + panel.width_m / 2, panel.width_m, panel.radius_m, panel.skew)
    reach = panel.horizontal * panel.radius_m
    down = look.up - panel.drift_east * look.east - panel.drift_north * look.north
    seen = panel.w0_m * (d_s * (reach * c_t * strike) + c_s * (reach * d_t * dip - down * c_t))
    return np.asarray(seen[::direction])


def strip_shares(days: Floats, advance: Advance, per_year: float, count: int) -> Floats:
    """Settled share (count, T) of every strip, each dug evenly from its first metre to its last."""
    if advance.direction == 0:
        return np.tile(settled_share(days - advance.start, advance.duration, per_year), (count, 1))
    return settled_share(since_begun(days, advance, count), max(advance.duration / count, LEAST_DAYS), per_year)


def since_begun(days: Floats, advance: Advance, count: int) -> Floats:
    """Days (count, T) since each strip's first metre was dug, negative before."""
    return np.asarray(days[None] - advance.start - np.arange(count)[:, None] * advance.duration / count)


def strip_share_gradient(days: Floats, advance: Advance, per_year: float, count: int) -> Floats:
    """Derivatives (3, count, T) of `strip_shares` by start and duration (1/day) and by ln of c; direction +1 or -1."""
    dug, rate = max(advance.duration / count, LEAST_DAYS), per_year / DAYS_PER_YEAR
    order, first = np.arange(count)[:, None], since_begun(days, advance, count)
    last = first - dug
    begin, end = (knothe(part, per_year) / dug for part in (first, last))
    share = settled_share(first, dug, per_year)
    by_duration = ((order + 1) * end - order * begin - share / dug) / count
    slow = [part.clip(0) * np.exp(-rate * part.clip(0)) / dug for part in (first, last)]
    by_rate = (begin - end) / rate - slow[0] + slow[1]
    return np.stack([end - begin, by_duration, by_rate])


def advancing(
    panel: Panel, advance: Advance, per_year: float, days: Floats, x: Floats, y: Floats, look: Look, count: int
) -> Floats:
    """Movement in the line of sight (T, ...), m, of a panel dug in `count` strips."""
    if advance.direction == 0:
        share = settled_share(days - advance.start, advance.duration, per_year)
        return np.multiply.outer(share, sight(panel, x, y, look))
    shares = strip_shares(days, advance, per_year, count)
    return np.tensordot(shares.T, strip_sights(panel, advance.direction, x, y, look, count), axes=1)


def strip_gradients(
    panel: Panel, direction: int, x: Floats, y: Floats, look: Look, count: int
) -> tuple[Floats, Floats]:
    """Settled movement of every strip (count, P) in m, and its derivatives (count, 7, P) by the panel's fields.

    Order and units as `sight_gradient`; the strips move and turn with the panel.
    """
    angle = np.deg2rad(panel.azimuth_deg)
    sin, cos = np.sin(angle), np.cos(angle)
    values, gradients = [], []
    for place, strip in zip(direction * strip_places(count), strips(panel, direction, count), strict=True):
        value, by = sight_gradient(strip, x, y, look)
        off = place * panel.length_m
        by[2] += off * (cos * by[0] - sin * by[1])
        by[3] = by[3] / count + place * (sin * by[0] + cos * by[1])
        values.append(value)
        gradients.append(by)
    return np.stack(values), np.stack(gradients)


def dug_by(panel: Panel, advance: Advance, day: float) -> Panel:
    """The part of the panel that is dug on `day`, at least a hundredth of it."""
    share = float(np.clip((day - advance.start) / max(advance.duration, 1e-9), 0.01, 1.0))
    if advance.direction == 0 or share == 1.0:
        return panel
    angle, off = np.deg2rad(panel.azimuth_deg), -advance.direction * (1 - share) * panel.length_m / 2
    return replace(
        panel, x=panel.x + off * np.sin(angle), y=panel.y + off * np.cos(angle), length_m=panel.length_m * share
    )
