"""Displacement in the line of sight: advancing panels, groundwater, turbulent and stratified air, lost coherence.

The panels' movement is the probability integral method of science.md, written here independently of the detector's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from illegalmining.simulate.optical import scene_dates
from illegalmining.simulate.plan import Panel, Plan
from illegalmining.simulate.preset import Preset
from illegalmining.simulate.scene import FOREST, WATER, Ground

HORIZONTAL = 0.3  # b of science.md
STRIPS = 10
KNOTHE_PER_YEAR = 6.0
QUARTER_WAVE = 0.0139  # m, C band
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Orbit:
    """From where a satellite looks, and when. incidence: degrees. azimuth: from ground to satellite, degrees clockwise
    from north. first_day: of its first pass in the history. stream: of its random numbers."""

    incidence: float
    azimuth: float
    first_day: int
    stream: int


ORBITS = (Orbit(39.0, 281.0, 1, 41), Orbit(35.0, 101.0, 6, 42))
"""Two passes that look at the ground from the west and from the east."""


def influence(s: Floats, length: float, radius: float) -> tuple[Floats, Floats]:
    """C(s; l) and its derivative, 1/m."""
    near, far = np.sqrt(np.pi) * s / radius, np.sqrt(np.pi) * (s - length) / radius
    return 0.5 * (erf(near) - erf(far)), (np.exp(-(near**2)) - np.exp(-(far**2))) / radius


@dataclass(frozen=True)
class Movement:
    """Final movement over a panel part, m: east, north, down."""

    east: Floats
    north: Floats
    down: Floats


def strip_movement(panel: Panel, begin: float, end: float, x: Floats, y: Floats) -> Movement:
    """The part of a panel between two fractions of its length, fully settled."""
    angle = np.deg2rad(panel.azimuth)
    along = (x - panel.centre[0]) * np.sin(angle) + (y - panel.centre[1]) * np.cos(angle)
    across = (x - panel.centre[0]) * np.cos(angle) - (y - panel.centre[1]) * np.sin(angle)
    radius = panel.depth / panel.tan_beta
    s = along + panel.length / 2 - begin * panel.length
    c_s, d_s = influence(s, (end - begin) * panel.length, radius)
    c_t, d_t = influence(across + panel.width / 2, panel.width, radius)
    full = panel.thickness * panel.q
    u_along, u_across = (HORIZONTAL * radius * full * part for part in (d_s * c_t, c_s * d_t))
    return Movement(
        u_along * np.sin(angle) + u_across * np.cos(angle),
        u_along * np.cos(angle) - u_across * np.sin(angle),
        full * c_s * c_t,
    )


def panel_series(
    panel: Panel, days: npt.NDArray, since: date, x: Floats, y: Floats, orbit: Orbit
) -> npt.NDArray[np.float32]:
    """Line-of-sight displacement (T, Y, X), m towards the satellite, of an advancing panel."""
    incidence, azimuth = np.deg2rad(orbit.incidence), np.deg2rad(orbit.azimuth)
    series = np.zeros((len(days), *x.shape), np.float32)
    first = (panel.start - since).days
    for k in range(STRIPS):
        part = strip_movement(panel, k / STRIPS, (k + 1) / STRIPS, x, y)
        sight = np.sin(incidence) * (part.east * np.sin(azimuth) + part.north * np.cos(azimuth))
        sight -= np.cos(incidence) * part.down
        dug = first + (k + 0.5) / STRIPS * panel.length / panel.advance_m_day
        settled = 1 - np.exp(-KNOTHE_PER_YEAR / 365 * np.clip(days - dug, 0, None))
        series += settled[:, None, None].astype(np.float32) * sight.astype(np.float32)
    return series


def turbulence(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> npt.NDArray[np.float32]:
    """One epoch's turbulent delay of standard deviation `sigma`: isotropic, spectrum k^-8/3 (Hanssen 2001)."""
    rows, columns = 2 * shape[0], 2 * shape[1]  # twice the scene, so that its edges do not wrap
    k = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    k[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((rows, columns))) * k ** (-8 / 6)
    field = np.fft.irfft2(spectrum, (rows, columns))[: shape[0], : shape[1]]
    return (sigma * (field - field.mean()) / field.std()).astype(np.float32)


@dataclass(frozen=True)
class Displacement:
    """days: dates. series: (T, Y, X) m. coherence: (Y, X) 0-1."""

    days: list[date]
    series: npt.NDArray[np.float32]
    coherence: npt.NDArray[np.float32]


def displacement(preset: Preset, plan: Plan, ground: Ground, seed: int, orbit: Orbit = ORBITS[0]) -> Displacement:
    """The time series a processor would deliver of one orbit's passes, zero on its first date."""
    rng = np.random.default_rng([seed, orbit.stream])
    days = scene_dates(preset, preset.insar_days, orbit.first_day)
    age = np.array([(day - preset.history_from).days for day in days])
    x, y = np.meshgrid(ground.grid.x, ground.grid.y)
    moved = np.zeros((len(days), *x.shape), np.float32)
    for panel in plan.panels:
        moved += panel_series(panel, age, preset.history_from, x, y, orbit)
    for event in plan.events:
        if event.kind == "groundwater":
            centre, scale = event.outline.centroid, np.sqrt(event.outline.area / np.pi) / 1.5
            bowl = np.exp(-((x - centre.x) ** 2 + (y - centre.y) ** 2) / (2 * scale**2))
            moved -= ((age / 365) * 0.03)[:, None, None].astype(np.float32) * bowl.astype(np.float32)
    coherence = np.select([ground.cover == WATER, ground.cover == FOREST], [0.2, 0.55], 0.85)
    coherence = np.clip(coherence + 0.05 * ground.grain, 0.05, 0.98)
    lost = (coherence < 0.3)[None] | lost_after(moved)
    height = (ground.relief - ground.relief.mean()) / 100
    for k in range(len(days)):
        moved[k] += turbulence(rng, x.shape, preset.atmosphere_m * rng.uniform(0.6, 1.4))
        moved[k] += rng.normal(0, 0.004) * height
        moved[k] += (0.002 / coherence * rng.standard_normal(x.shape)).astype(np.float32)
    moved -= moved[:1].copy()
    moved[lost] = np.nan
    return Displacement(days, moved, np.where(lost[-1], np.minimum(coherence, 0.3), coherence).astype(np.float32))


def lost_after(moved: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Pixels whose neighbours drew apart by more than a quarter wave between passes: unwrapping fails from then on."""
    steps = np.diff(moved, axis=0, prepend=moved[:1])
    apart = np.maximum(
        np.abs(np.diff(steps, axis=1, append=steps[:, -1:])), np.abs(np.diff(steps, axis=2, append=steps[..., -1:]))
    )
    return np.logical_or.accumulate(apart > QUARTER_WAVE, axis=0)
