"""Optical scenes: seasons that differ from year to year, haze, clouds, what their mask misses, snow, jitter, pits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from illegalmining.simulate.plan import Plan
from illegalmining.simulate.preset import Preset
from illegalmining.simulate.scene import BARE, CROPS, FOREST, GRASS, VILLAGE, WATER, Ground, dug_day, smooth

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
# Typical surface reflectance of pure covers in the six bands (Sentinel-2 B2 B3 B4 B8 B11 B12), rounded from spectral
# libraries' shapes: vegetation, loess or soil, coal, limestone, concrete, water, snow, cloud, ash.
SPECTRA = {
    "leaf": (0.03, 0.06, 0.03, 0.40, 0.18, 0.08),
    "needle": (0.02, 0.04, 0.025, 0.26, 0.11, 0.05),
    "soil": (0.09, 0.13, 0.18, 0.26, 0.34, 0.30),
    "litter": (0.06, 0.08, 0.11, 0.20, 0.27, 0.19),
    "coal": (0.035, 0.04, 0.045, 0.06, 0.075, 0.07),
    "limestone": (0.26, 0.31, 0.35, 0.40, 0.43, 0.37),
    "concrete": (0.17, 0.20, 0.23, 0.27, 0.30, 0.28),
    "roof": (0.28, 0.30, 0.33, 0.36, 0.33, 0.30),
    "water": (0.05, 0.05, 0.035, 0.02, 0.01, 0.008),
    "snow": (0.80, 0.80, 0.78, 0.72, 0.12, 0.09),
    "cloud": (0.55, 0.54, 0.54, 0.58, 0.45, 0.36),
    "ash": (0.04, 0.045, 0.055, 0.09, 0.14, 0.15),
}
SOIL_OF = {FOREST: "litter", GRASS: "soil", CROPS: "soil", BARE: "soil", VILLAGE: "concrete", WATER: "water"}
VEGETATION, BARE_CLASS, WATER_CLASS, SHADOW, CLOUD, CIRRUS, SNOW = 4, 5, 6, 3, 9, 10, 11


def spectrum(name: str) -> npt.NDArray[np.float32]:
    return np.array(SPECTRA[name], np.float32)[:, None, None]


@dataclass(frozen=True)
class Season:
    """How one year's growth departs from the mean: shift of the season in days, factor of its height."""

    shift: float
    height: float


def seasons(preset: Preset, rng: np.random.Generator) -> dict[int, Season]:
    """One season a year, drawn apart."""
    years = range(preset.history_from.year, preset.as_of.year + 1)
    return {year: Season(float(rng.normal(0, 9)), float(np.clip(rng.normal(1, 0.08), 0.75, 1.2))) for year in years}


def growth(day: date, season: Season, begin: float, end: float) -> float:
    """Share of full green on a day: a double logistic between green-up and leaf fall (days of the year)."""
    t = day.timetuple().tm_yday - season.shift
    return float(season.height / (1 + np.exp(-(t - begin) / 10)) / (1 + np.exp((t - end) / 12)))


def green_cover(preset: Preset, ground: Ground, day: date, season: Season, crops: npt.NDArray) -> npt.NDArray:
    """Fraction of green vegetation of each pixel on a day."""
    cover = ground.cover
    green = np.zeros(cover.shape, np.float32)
    forest, grass, field = preset.green
    green[cover == FOREST] = 0.35 * forest + 0.65 * forest * growth(day, season, 115, 295)
    green[cover == GRASS] = 0.08 + grass * growth(day, season, 125, 275)
    sown = cover == CROPS
    shift = crops[ground.parcel[sown] % len(crops), day.year % 4]
    t = day.timetuple().tm_yday - season.shift - shift
    height = season.height * (0.85 + 0.15 * np.sin(ground.parcel[sown] + day.year))
    green[sown] = field * height / (1 + np.exp(-(t - 150) / 9)) / (1 + np.exp((t - 262) / 4))
    green *= 1 + 0.08 * ground.grain
    return np.clip(green, 0, 0.97)


@dataclass(frozen=True)
class Clouds:
    """cloud: opacity 0-1. shadow: mask. scl: what the mask says."""

    cloud: npt.NDArray
    shadow: npt.NDArray
    missed: npt.NDArray


def make_clouds(preset: Preset, shape: tuple[int, int], rng: np.random.Generator) -> Clouds:
    """A scene's clouds; the mask misses some of their thin rims and whole small clouds."""
    share = float(np.clip(rng.beta(0.7, 0.7 * (1 - preset.cloud) / preset.cloud), 0, 1))
    field = smooth(rng, shape, 35) + 0.35 * smooth(rng, shape, 8)
    edge = np.quantile(field, 1 - share) if share > 0.01 else np.inf
    opacity = np.clip((field - edge) / 0.35 + 0.25, 0, 1) * (field > edge)
    shadow = np.roll(opacity > 0.5, (12, 9), axis=(0, 1)) & (opacity < 0.1)
    missed = (opacity > 0) & (smooth(rng, shape, 12) > np.float32(2.2 - 12 * preset.leak))
    return Clouds(opacity.astype(np.float32), shadow, missed)


def scene_dates(preset: Preset, every: int, offset: int = 2) -> list[date]:
    """The days a sensor passes."""
    days = (preset.as_of - preset.history_from).days
    return [preset.history_from + timedelta(days=d) for d in range(offset, days + 1, every)]


def optical_scenes(
    preset: Preset, plan: Plan, ground: Ground, seed: int
) -> Iterator[tuple[date, npt.NDArray, npt.NDArray]]:
    """(day, reflectance (6, Y, X) float32, scl (Y, X) uint8) of every pass, in order."""
    rng = np.random.default_rng([seed, 21])
    yearly = seasons(preset, rng)
    crops = rng.normal(0, 14, (64, 4))
    since = preset.history_from
    dug, number = dug_day(ground.grid, plan.pits, since, rng)
    soils = np.stack([spectrum(SOIL_OF[c])[:, 0, 0] for c in range(6)])
    leaves = np.where((ground.cover == FOREST)[None], spectrum("needle"), spectrum("leaf"))
    bare = np.moveaxis(soils[ground.cover], -1, 0) * preset.geology * (1 + 0.07 * ground.grain)
    for day in scene_dates(preset, preset.optical_days):
        green = green_cover(preset, ground, day, yearly[day.year], crops)
        image = green * leaves + (1 - green) * bare * (1 + 0.05 * rng.standard_normal())
        image *= np.where(ground.cover == WATER, 1, ground.shade)
        happen(image, green, plan, ground, day)
        excavate(image, green, plan, dug, number, (day - since).days, ground)
        yield observe(preset, ground, day, image, green, rng)


def happen(image: npt.NDArray, green: npt.NDArray, plan: Plan, ground: Ground, day: date) -> None:
    """Fires, buildings and falling water levels change the image in place."""
    for event in plan.events:
        age = (day - event.start).days
        inside = None if event.kind == "groundwater" else ground.grid.inside(event.outline)
        if event.kind == "fire" and age >= 0:
            left = np.exp(-age / 70.0)
            image[:, inside] = left * spectrum("ash")[:, 0] + (1 - left) * image[:, inside]
        elif event.kind == "construction" and age >= 0:
            name = "soil" if age < 60 else "roof"
            image[:, inside] = spectrum(name)[:, 0] * (1 + 0.1 * ground.grain[inside])
            green[inside] = 0
        elif event.kind == "reservoir":
            low = 0.5 + 0.5 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 150) / 365)
            rim = inside & ~ndimage.binary_erosion(inside, iterations=1 + int(4 * low))
            image[:, rim] = 0.8 * spectrum("soil")[:, 0]


def excavate(
    image: npt.NDArray, green: npt.NDArray, plan: Plan, dug: npt.NDArray, number: npt.NDArray, day: int, ground: Ground
) -> None:
    """Pits as far as they are dug; a coal pit's rim is bright spoil."""
    for k, pit in enumerate(plan.pits):
        done = (number == k) & (dug <= day)
        if not done.any():
            continue
        material = spectrum(pit.material)[:, 0]
        image[:, done] = material * (1 + 0.10 * ground.grain[done]) * ground.shade[done]
        if pit.material == "coal":
            rim = done & ~ndimage.binary_erosion(done, iterations=2)
            image[:, rim] = spectrum("soil")[:, 0] * (1 + 0.1 * ground.grain[rim])
        green[done] = 0


def observe(
    preset: Preset, ground: Ground, day: date, image: npt.NDArray, green: npt.NDArray, rng: np.random.Generator
) -> tuple[date, npt.NDArray, npt.NDArray]:
    """What the sensor and its scene classification make of the ground."""
    scl = np.where(green > 0.25, VEGETATION, BARE_CLASS).astype(np.uint8)
    scl[ground.cover == WATER] = WATER_CLASS
    if day.month in (12, 1, 2) and rng.random() < preset.snow:
        white = smooth(rng, ground.grid.shape, 20) > -0.8
        image = np.where(white, 0.85 * spectrum("snow") + 0.15 * image, image)
        scl[white] = SNOW
    clouds = make_clouds(preset, ground.grid.shape, rng)
    image = np.where(clouds.shadow, 0.45 * image, image)
    image = image * (1 - clouds.cloud) + clouds.cloud * spectrum("cloud")
    scl[clouds.shadow & ~clouds.missed] = SHADOW
    scl[(clouds.cloud > 0) & ~clouds.missed] = CIRRUS
    scl[(clouds.cloud > 0.5) & ~clouds.missed] = CLOUD
    haze = np.exp(rng.normal(0, 0.4)) * 0.008 * np.array([1.6, 1.2, 1.0, 0.6, 0.3, 0.2], np.float32)[:, None, None]
    gain = 1 + rng.normal(0, 0.02)
    shifted = ndimage.shift(image, (0, *rng.uniform(-0.5, 0.5, 2)), order=1, mode="nearest")
    noise = 0.004 * rng.standard_normal(image.shape, dtype=np.float32)
    return day, np.clip(gain * shifted + haze + noise, 0.0001, 1.2).astype(np.float32), scl
