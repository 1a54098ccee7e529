"""What is told of a face that was found: its measures with their intervals, and the course of the ground over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from illegalmining.detect.bowls import Search, mean_look
from illegalmining.detect.inversion import Inverted
from illegalmining.detect.pim import Panel, sight


def attributes_of(
    search: Search, found: Inverted, peak_mm: float, epochs: pd.DatetimeIndex, tan_betas: tuple[float, float, float]
) -> dict[str, Any]:
    """What is said of a face, with its 90 % intervals. `tan_betas`: lowest, usual and highest, the prior of depth."""
    panel, sd, (rate, rate_ln_sd) = found.panel, np.sqrt(np.diag(found.covariance)), found.advance_m_day
    spread = float(np.exp(1.64 * found.ln_sd(5)))
    volume = panel.w0_m * panel.length_m * panel.width_m
    azimuth_sd = float(min(np.rad2deg(sd[2]), 90.0))
    start, (low, usual, high) = found.face.advance.start, tan_betas
    return {
        "question": "undeclared_face",
        "azimuth_deg": round(panel.azimuth_deg, 1),
        "length_m": round(panel.length_m, 1),
        "width_m": round(panel.width_m, 1),
        "radius_m": round(panel.radius_m, 1),
        "w0_m": round(panel.w0_m, 3),
        "volume_m3": round(volume, 0),
        "peak_mm": round(peak_mm, 1),
        "depth_m": round(panel.radius_m * usual, 0),
        "depth_low_m": round(panel.radius_m * low / spread, 0),
        "depth_high_m": round(panel.radius_m * high * spread, 0),
        "depth_is_prior": True,
        "position_sd_m": round(found.position_sd_m, 1),
        "start_sd_days": round(float(sd[7]), 0),
        "x": round(panel.x, 1),
        "y": round(panel.y, 1),
        "per_year": round(found.face.per_year, 2),
        "extraction_days": round(found.face.advance.duration, 0),
        "advance_m_day": round(rate, 2),
        "middle_seen": round(middle_seen(search, panel), 2),
        "unexplained": round(found.face.unexplained, 3),
        "intervals_90": {
            "x": evenly(panel.x, float(sd[0])),
            "y": evenly(panel.y, float(sd[1])),
            "azimuth_deg": evenly(panel.azimuth_deg, azimuth_sd),
            "start": [str((epochs[0] + pd.Timedelta(days=day)).date()) for day in evenly(start, float(sd[7]))],
            "advance_m_day": interval(rate, rate_ln_sd),
            "length_m": interval(panel.length_m, found.ln_sd(3)),
            "width_m": interval(panel.width_m, found.ln_sd(4)),
            "radius_m": interval(panel.radius_m, found.ln_sd(5)),
            "w0_m": interval(panel.w0_m, found.ln_sd(6)),
            "volume_m3": interval(volume, found.ln_sd(3, 4, 6)),
        },
        "z": round(found.course.z, 2),
        "series": series_of(search, found, epochs),
    }


def middle_seen(search: Search, panel: Panel) -> float:
    """Share of the pixels over the middle of a panel that were seen to the end."""
    ground = search.movement
    reach = max(panel.radius_m / 2, 1.5 * ground.pixel_m)
    near = np.hypot(ground.x - panel.x, ground.y - panel.y) < reach
    return float(np.isfinite(ground.values[-3:, near]).any(axis=0).mean()) if near.any() else 0.0


def evenly(value: float, sd: float) -> list[float]:
    """90 % interval of a value with standard deviation `sd`, to a tenth."""
    return [round(value + side * 1.645 * sd, 1) for side in (-1, 1)]


def interval(value: float, ln_sd: float) -> list[float]:
    """90 % interval of a value whose logarithm has standard deviation `ln_sd`, three digits."""
    return [float(f"{value * np.exp(side * 1.645 * min(ln_sd, 3.0)):.3g}") for side in (-1, 1)]


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
