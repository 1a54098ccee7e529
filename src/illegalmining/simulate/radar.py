"""Radar scenes: gamma nought by cover, moisture of the day, season, speckle, and pits that are rougher or smoother."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import numpy.typing as npt

from illegalmining.simulate.optical import growth, scene_dates, seasons
from illegalmining.simulate.plan import Plan
from illegalmining.simulate.preset import Preset
from illegalmining.simulate.scene import CROPS, GRASS, Ground, dug_day

# Mean gamma nought, dB, of forest, grass, crops, bare, village, water (C band, order of magnitude of published means)
VV_DB = np.array([-8.5, -11.5, -11.0, -12.5, -3.0, -19.0], np.float32)
VH_DB = np.array([-14.5, -18.5, -18.0, -20.5, -10.5, -27.0], np.float32)
PIT_DB = {"coal": (-3.5, -5.0), "limestone": (3.0, 3.5), "soil": (-2.5, -4.5)}


def radar_scenes(
    preset: Preset, plan: Plan, ground: Ground, seed: int
) -> Iterator[tuple[date, npt.NDArray, npt.NDArray]]:
    """(day, vv, vh), linear power, of every pass, in order."""
    rng = np.random.default_rng([seed, 31])
    yearly = seasons(preset, rng)
    dug, number = dug_day(ground.grid, plan.pits, preset.history_from, rng)
    lasting = 0.8 * ground.grain
    for day in scene_dates(preset, preset.radar_days, 4):
        age = (day - preset.history_from).days
        green = growth(day, yearly[day.year], 125, 275)
        moisture = rng.normal(0, 0.7)
        season = np.where(ground.cover == CROPS, 2.5, np.where(ground.cover == GRASS, 1.0, 0.4)) * green
        bands = []
        for mean, channel in ((VV_DB, 0), (VH_DB, 1)):
            level = mean[ground.cover] + lasting + season + moisture
            for k, pit in enumerate(plan.pits):
                level[(number == k) & (dug <= age)] += PIT_DB[pit.material][channel]
            for event in plan.events:
                if event.kind == "construction" and day >= event.start:
                    level[ground.grid.inside(event.outline)] = -2.0 if channel == 0 else -9.0
                if event.kind == "fire" and day >= event.start:
                    level[ground.grid.inside(event.outline)] -= 1.5 * np.exp(-(day - event.start).days / 90)
            speckle = rng.gamma(preset.looks, 1 / preset.looks, level.shape)
            bands.append((10 ** (level / 10) * speckle).astype(np.float32))
        yield day, bands[0], bands[1]
