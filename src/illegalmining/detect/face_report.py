"""What is told of a face that was found: its measures with their intervals, and the course of the ground over it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.detect.bowls import Search, mean_look
from illegalmining.detect.face_draws import Drawn
from illegalmining.detect.inversion import Inverted
from illegalmining.detect.pim import Floats, Panel, sight
from illegalmining.detect.track import Track

SIZES = ("advance_m_day", "length_m", "width_m", "radius_m", "w0_m", "volume_m3")
"""Measures whose interval is told to three digits."""


def middling(drawn: Drawn, found: Inverted) -> Panel:
    """The panel of what is dug whose every measure has half of the draws on either side."""
    names = ("x", "y", "azimuth_deg", "length_m", "width_m", "radius_m", "w0_m")
    return replace(found.panel, **{name: float(drawn.quantiles(name)[1]) for name in names})


def attributes_of(
    track: Track,
    found: Inverted,
    drawn: Drawn,
    peak_mm: float,
    tan_betas: tuple[float, float, float],
) -> dict[str, Any]:
    """What is said of a face, with its 90 % intervals, as the first source that it was fitted to sees it.

    Place, length and volume are of what was dug until the last pass of any source that it was fitted to (`dug_until`).
    `tan_betas`: lowest, usual and highest, the prior of depth.
    """
    panel, (low, usual, high) = middling(drawn, found), tan_betas
    until = track.first + pd.Timedelta(days=found.face.optima[0].problem.last_day)
    radius, start = drawn.quantiles("radius_m"), drawn.quantiles("start")
    return {
        "question": "undeclared_face",
        "azimuth_deg": round(panel.azimuth_deg % 180, 1),
        "length_m": round(panel.length_m, 1),
        "width_m": round(panel.width_m, 1),
        "radius_m": round(panel.radius_m, 1),
        "w0_m": round(panel.w0_m, 3),
        "volume_m3": round(float(drawn.quantiles("volume_m3")[1]), 0),
        "peak_mm": round(peak_mm, 1),
        "depth_m": round(float(radius[1]) * usual, 0),
        "depth_low_m": round(float(radius[0]) * low, 0),
        "depth_high_m": round(float(radius[2]) * high, 0),
        "depth_is_prior": True,
        "position_sd_m": round(float(np.sqrt((drawn.sd("x") ** 2 + drawn.sd("y") ** 2) / 2)), 1),
        "start_sd_days": round(drawn.sd("start"), 0),
        "dug_until": str(until.date()),
        "x": round(panel.x, 1),
        "y": round(panel.y, 1),
        "per_year": round(found.face.per_year, 2),
        "extraction_days": round(found.face.advance.duration, 0),
        "advance_m_day": round(float(drawn.quantiles("advance_m_day")[1]), 2),
        "middle_seen": round(middle_seen(track.search, panel), 2),
        "lost_pixels": found.lost.pixels,
        "lost_core_nats": round(found.lost.nats, 2),
        "unexplained": round(found.face.unexplained, 3),
        "intervals_90": {
            **{name: tenths(drawn.quantiles(name)) for name in ("x", "y", "azimuth_deg")},
            "start": [str((track.first + pd.Timedelta(days=float(day))).date()) for day in start[[0, -1]]],
            **{name: digits(drawn.quantiles(name)) for name in SIZES},
        },
        "z": round(found.course.z, 2),
        "series": series_of(track.search, found, track.epochs),
        **heard_of(found),
    }


def heard_of(found: Inverted) -> dict[str, list[str]]:
    """Whose ground it was fitted to, where that is not the only source, and which sources contradict it."""
    sources = {"sources": sorted(found.sources)} if len(found.sources) > 1 else {}
    return sources | ({"contradicted_by": sorted(found.against)} if found.against else {})


def middle_seen(search: Search, panel: Panel) -> float:
    """Share of the pixels over the middle of a panel that were seen to the end."""
    ground = search.movement
    reach = max(panel.radius_m / 2, 1.5 * ground.pixel_m)
    near = np.hypot(ground.x - panel.x, ground.y - panel.y) < reach
    return float(np.isfinite(ground.values[-3:, near]).any(axis=0).mean()) if near.any() else 0.0


def tenths(quantiles: Floats) -> list[float]:
    """The first and the last, to a tenth."""
    return [round(float(value), 1) for value in quantiles[[0, -1]]]


def digits(quantiles: Floats) -> list[float]:
    """The first and the last, three digits."""
    return [float(f"{value:.3g}") for value in quantiles[[0, -1]]]


def series_of(search: Search, found: Inverted, epochs: pd.DatetimeIndex) -> dict[str, Any]:
    """Observed and expected movement in the line of sight next to the panel's centre, mm; at most 120 points."""
    ground, panel = search.movement, found.panel
    distance = np.hypot(ground.x - panel.x, ground.y - panel.y)
    row, column = np.unravel_index(int(distance.argmin()), distance.shape)
    block = np.s_[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    seen = np.isfinite(ground.values[block])
    count = seen.sum(axis=(1, 2))
    mean = np.where(seen, search.values[block], 0.0).sum(axis=(1, 2)) / np.maximum(count, 1)
    settled = float(sight(found.face.panel, np.array(panel.x), np.array(panel.y), mean_look(ground.look)))
    expected = 1000 * settled * found.expected
    observed = 1000 * mean
    used = count > 0
    observed = observed - np.median((observed - expected)[used]) if used.any() else observed
    noise = 1.4826 * float(np.median(np.abs((observed - expected)[used]))) if used.any() else 0.0
    keep = range(0, len(epochs), int(np.ceil(len(epochs) / 120)))
    return {
        "dates": [str(epochs[t].date()) for t in keep],
        "observed": [float(f"{observed[t]:.4g}") if used[t] else None for t in keep],
        "expected": [float(f"{expected[t]:.4g}") for t in keep],
        "low": [float(f"{expected[t] - 2 * noise:.4g}") for t in keep],
        "high": [float(f"{expected[t] + 2 * noise:.4g}") for t in keep],
        "unit": "mm",
    }
