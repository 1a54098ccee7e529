"""Pixel evidence to regions: neighbours strengthen each other, noise shared by neighbours is counted once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
from affine import Affine
from scipy import ndimage
from scipy.special import logsumexp
from shapely import MultiPolygon, Polygon, union_all
from shapely.geometry import shape as as_shape

from illegalmining.detect.baseline import Floats, nan_median
from illegalmining.detect.change import Days, Histories, Maps, Remembered
from illegalmining.detect.findings import detection
from illegalmining.detect.joined_pixels import joined_kernel
from illegalmining.detect.moved_seasons import MovedSeasonParameters, moved_season_nats

EIGHT = np.ones((3, 3), bool)
KM2_100 = 1e8

LEAST_OF_A_THIRD = 2
"""Pixels of a third of a region below which it is not asked by itself."""


@dataclass(frozen=True)
class RegionParameters:
    """How regions are drawn and weighed.

    seed: evidence, averaged over 3 x 3 pixels, that starts a region, nats. grow: evidence of a pixel that joins, nats.
    most: cap of one pixel's evidence, nats, so that one odd pixel does not carry a region. quiet: what an unchanged
    neighbour takes off the average, nats. fewest_dates: clear dates that must support a pixel's change. smallest_m2:
    minimum mapping unit. shared_m2: area over which noise and the sensor's blur make one independent measurement of
    many pixels. false_per_100_km2: regions made by chance that are borne with, per 100 km2 (the correction for looking
    everywhere). leak: nats that a date is worth against a cloud that leaked through the mask, -ln of their share of
    dates. leak_m2: size of such a cloud. core: quantile of the pixels' dates that
    speaks for a region.
    transient: nats taken off where the ground has gone back. brief_days: a change gone within this time is weather,
    fire or water. brief: nats taken off for one gone at once, fewer the longer it stood. seasons: how far they move;
    None where the sensor does not see them. dug_m2: what may be dug in dig_days. wide: nats taken off for each e-fold
    beyond it. artefact: probability that something no model knows of mimics a change; bounds a region to
    ln(1/artefact). recent_dates: clear dates from which the present level is taken. newest_dates: the fewest of them
    that tell what stands there since it was built on; both odd. series_dates: most dates of the evidence series.
    """

    seed: float = 4.0
    grow: float = 3.0
    most: float = 30.0
    quiet: float = 1.0
    fewest_dates: int = 3
    smallest_m2: float = 500.0
    shared_m2: float = 400.0
    false_per_100_km2: float = 1.0
    leak: float = 3.5
    leak_m2: float = 1e4
    core: float = 0.8
    transient: float = 3.0
    brief_days: int = 180
    brief: float = 6.0
    seasons: MovedSeasonParameters | None = field(default_factory=MovedSeasonParameters)
    dig_days: int = 20
    dug_m2: float = 2e4
    wide: float = 2.0
    artefact: float = 0.02
    recent_dates: int = 7
    newest_dates: int = 5
    series_dates: int = 120


def search_nats(pixel_m2: float, parameters: RegionParameters) -> float:
    """Nats that looking everywhere costs: the log of the independent places in 100 km2 per false region allowed."""
    return math.log(KM2_100 / max(parameters.smallest_m2, pixel_m2) / parameters.false_per_100_km2)


def labelled(maps: Maps, pixel_m2: float, parameters: RegionParameters) -> tuple[npt.NDArray[np.int32], int]:
    """Regions (Y, X) numbered from 1: grown from seeds, smoothed, no smaller than the minimum mapping unit."""
    joining, member, seeds = (np.zeros(maps.evidence.shape, bool) for _ in range(3))
    bounds = parameters.grow, parameters.seed, parameters.most, parameters.quiet, parameters.fewest_dates
    joined_kernel(maps.evidence, maps.dates, *bounds, joining, member, seeds)
    label, _ = ndimage.label(member, EIGHT)
    where = np.flatnonzero(member)
    numbers = label.ravel()[where]
    size = np.bincount(numbers, minlength=1)
    fewest = max(1, round(parameters.smallest_m2 / pixel_m2))
    kept = [number for number in np.unique(numbers[seeds.ravel()[where]]) if size[number] >= fewest]
    lookup = np.zeros(len(size), np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    label.ravel()[where] = lookup[numbers]
    return label, len(kept)


Roi = tuple[slice, slice]
"""Rows and columns of a part of the maps."""


def rimmed(roi: Roi, shape: tuple[int, ...]) -> Roi:
    """A part of the maps and the pixels that touch it."""
    rows, columns = (slice(max(0, part.start - 1), min(n, part.stop + 1)) for part, n in zip(roi, shape, strict=True))
    return rows, columns


def part_of(maps: Maps, roi: Roi) -> Maps:
    """The maps of a part."""
    return Maps(**{name: values[..., *roi] for name, values in vars(maps).items()})


def outline(inside: npt.NDArray[np.bool_], roi: Roi, transform: Affine) -> Polygon | MultiPolygon:
    """The region's outline along pixel edges, in the cube's CRS; `inside` covers the part `roi` of the grid."""
    rows, columns = roi
    left, top = transform.c + columns.start * transform.a, transform.f + rows.start * transform.e
    moved = Affine(transform.a, 0.0, left, 0.0, transform.e, top)
    part = inside.astype(np.uint8)
    return union_all([as_shape(shape) for shape, _ in rasterio.features.shapes(part, mask=part == 1, transform=moved)])


def weight(evidence: npt.NDArray, pixel_m2: float, parameters: RegionParameters) -> float:
    """Nats of a region: the mean of its pixels times the independent measurements in it."""
    independent = max(1.0, len(evidence) * pixel_m2 / parameters.shared_m2)
    return float(np.clip(evidence, 0, parameters.most).mean() * independent)


def bounded(nats: float, artefact: float) -> float:
    """Nats when a share of everything mimics a change: ln[LR / (1 - e + e LR)] for nats in favour."""
    return nats if nats <= 0 else float(nats - np.logaddexp(np.log1p(-artefact), np.log(artefact) + nats))


def iso(day: float) -> str:
    """An ISO date from days since 1970."""
    return str(np.datetime64(int(day), "D"))


@dataclass(frozen=True)
class Standing:
    """What stands in a region now.

    inside: mask (Y, X) of its pixels. level, usual: what those that tell show, and what the baseline expects of them,
    (N, K).
    """

    inside: npt.NDArray[np.bool_]
    level: Floats
    usual: Floats


@dataclass(frozen=True)
class Telling:
    """What a detector says of its features: names, unit, how to bring a feature back to its unit, and `unlike`: nats
    against a mine, from what stands in a region."""

    names: tuple[str, ...]
    unit: str
    natural: Callable[[Any], Any]
    unlike: Callable[[Standing], float]


def region_rows(
    detector: str,
    maps: Maps,
    histories: Histories | Remembered,
    when: Days,
    transform: Affine,
    telling: Telling,
    parameters: RegionParameters,
) -> list[dict[str, Any]]:
    """One row of `tables.DETECTIONS` per region whose evidence outweighs looking everywhere.

    A change that looks less like a mine than like something else has nats against (question `building`): another
    sensor may see only that the ground has changed. Of the maps only a region's own part is looked at, so that the
    work grows with the regions and not with the area once more for each.
    """
    pixel_m2 = abs(transform.a * transform.e)
    label, _ = labelled(maps, pixel_m2, parameters)
    everywhere = maps
    rows = []
    for number, place in enumerate(ndimage.find_objects(label), 1):
        roi = rimmed(place, label.shape)
        maps, inside = part_of(everywhere, roi), label[roi] == number
        nats, lasting = region_nats(maps, inside, pixel_m2, parameters)
        if nats <= 0:
            continue
        told = inside & (np.nan_to_num(maps.evidence) >= parameters.grow)
        observed, expected = histories.of(told, (roi[0].start, roi[1].start))
        changed = min(nats, novelty(observed, expected, maps, inside, when, parameters))
        if changed <= 0:
            continue
        unlike = built_nats(observed, expected, maps, inside, when, telling, parameters)
        nats = max(changed - unlike, math.log(parameters.artefact))
        geometry = outline(inside, roi, transform)
        onsets = maps.onset[told]
        attributes = described(maps, inside, onsets, lasting, pixel_m2, telling, parameters)
        attributes["series"] = series(observed, expected, inside, maps, when, telling, parameters)
        if nats <= 0:
            attributes["question"] = "building"
        last = np.quantile(maps.last[inside & (maps.evidence > 0)], 0.9, method="higher")
        first = np.quantile(onsets, 0.1, method="lower")
        rows.append(
            detection(
                detector,
                iso(first),
                iso(max(first, last)),
                round(nats, 4),
                geometry,
                area_m2=float(inside.sum() * pixel_m2),
                attributes=attributes,
            )
        )
    return rows


def region_nats(
    maps: Maps, inside: npt.NDArray[np.bool_], pixel_m2: float, parameters: RegionParameters
) -> tuple[float, float]:
    """Nats of a region, and the share of it that lasts, 0-1.

    Noise is independent from place to place, so pixels add up; a cloud that leaked through the mask is not, so however
    many pixels agree, a region is worth no more than the clear dates behind it. What has gone back speaks against a
    pit, which stays; what came all at once over a wide area is more likely a fire or a harvest.
    """
    evidence = np.nan_to_num(maps.evidence[inside])
    dates = float(np.quantile(maps.dates[inside & (maps.evidence > 0)], parameters.core))
    leaks = dates * parameters.leak - math.log(KM2_100 / max(parameters.leak_m2, pixel_m2))
    nats = min(weight(evidence, pixel_m2, parameters) - search_nats(pixel_m2, parameters), leaks)
    lasting = float(np.clip(maps.now[inside] / np.maximum(evidence, 1e-6), 0, 1) @ evidence / max(evidence.sum(), 1e-6))
    stood = float(np.quantile(maps.stood[inside & (maps.evidence > 0)], parameters.core))
    back = (1.0 - lasting) * (parameters.transient + parameters.brief * max(0.0, 1.0 - stood / parameters.brief_days))
    onsets = np.sort(maps.onset[inside & (maps.evidence > 0)])
    at_once = (np.searchsorted(onsets, onsets + parameters.dig_days) - np.arange(len(onsets))).max() * pixel_m2
    wide = parameters.wide * max(0.0, math.log(at_once / parameters.dug_m2))
    return bounded(nats, parameters.artefact) - back - wide, lasting


def described(
    maps: Maps,
    inside: npt.NDArray[np.bool_],
    onsets: npt.NDArray[np.int32],
    lasting: float,
    pixel_m2: float,
    telling: Telling,
    parameters: RegionParameters,
) -> dict[str, Any]:
    """Attributes of a region: when it began, how it grew, which way it went, how sure its extent is."""
    evidence = np.nan_to_num(maps.evidence)
    days, pixels = np.unique(onsets, return_counts=True)
    shift = np.median(maps.shift[:, inside], axis=1)
    strong = (inside & (evidence >= 2 * parameters.seed)).sum() * pixel_m2
    rim = ndimage.binary_dilation(inside, EIGHT) & ~inside
    weak = (inside.sum() + 0.5 * rim.sum()) * pixel_m2
    return {
        "area_m2_low": float(strong),
        "area_m2_high": float(weak),
        "onset_quantiles": {q: iso(np.quantile(onsets, float(q), method="lower")) for q in ("0.1", "0.5", "0.9")},
        "growth": {
            "dates": [iso(d) for d in days[:40]],
            "area_m2": [float(a) for a in pixels.cumsum()[:40] * pixel_m2],
        },
        "change": {name: rounded(value) for name, value in zip(telling.names, shift, strict=True)},
        "share_lasting": rounded(lasting),
        "clear_dates": int(np.median(maps.clear[inside])),
        "dates_supporting": int(np.median(maps.dates[inside])),
    }


def novelty(
    observed: Floats,
    expected: Floats,
    maps: Maps,
    inside: npt.NDArray[np.bool_],
    when: Days,
    parameters: RegionParameters,
) -> float:
    """Most nats that a region can have: what its own season, in a year that ran early or late, does not tell.

    A season must tell all of it. The thirds that have departed most to either side are asked too, at the price of
    three looks: coal and the spoil on its rim have the median of a bare field.
    """
    if parameters.seasons is None:
        return math.inf
    onsets = maps.onset[inside & (maps.evidence > 0)]
    stands = float(np.quantile(onsets, 0.5, method="lower")), float(maps.last[inside].max())
    noise = np.nanmedian(maps.noise[:, inside], axis=1) ** 2
    during = (when.days >= stands[0]) & (when.days <= stands[1])
    departed = nan_median((observed[:, during] - expected[:, during]).mean(axis=2), axis=1)
    order = np.argsort(departed, kind="stable")
    third = len(order) // 3
    parts = [order, *([order[:third], order[-third:]] if third >= LEAST_OF_A_THIRD else [])]
    told = [
        moved_season_nats(
            nan_median(observed[part], axis=0),
            np.median(expected[part], axis=0),
            when,
            stands,
            noise,
            KM2_100 * (1 if part is order else len(parts)),
            parameters.seasons,
        )
        for part in parts
    ]
    return max(told)


def built_nats(
    observed: Floats,
    expected: Floats,
    maps: Maps,
    inside: npt.NDArray[np.bool_],
    when: Days,
    telling: Telling,
    parameters: RegionParameters,
) -> float:
    """Nats by which what stands there now is unlike a mine; never below 0.

    A building site is bare ground first and roofs later; a pit does not turn into roofs. So the latest few dates are
    asked as well as more of them, each as probable as the others to be the time since then. However unlike a mine they
    look, most of them may be clouds that leaked through the mask.
    """
    clear = recent(observed, maps, inside, when, parameters)
    unlike = []
    for span in range(parameters.newest_dates, parameters.recent_dates + 1, 2):
        dates = clear[-span:]
        clouds = parameters.leak * ((len(dates) + 1) // 2)
        unlike.append(min(telling.unlike(standing(observed, expected, inside, dates)), clouds))
    return max(0.0, float(logsumexp(unlike)) - math.log(len(unlike)))


def recent(
    observed: Floats, maps: Maps, inside: npt.NDArray[np.bool_], when: Days, parameters: RegionParameters
) -> npt.NDArray[np.intp]:
    """The latest dates on which most of the region was clear: what is left of it under a cloud's edge shows the
    cloud."""
    first, last = maps.onset[inside].min(), maps.last[inside].max()
    clear = (np.isfinite(observed[:, :, 0]).mean(axis=0) >= 0.5) & (when.days >= first) & (when.days <= last)
    return np.flatnonzero(clear)[-parameters.recent_dates :]


def standing(
    observed: Floats, expected: Floats, inside: npt.NDArray[np.bool_], dates: npt.NDArray[np.intp]
) -> Standing:
    """What stands there: each pixel's median over the dates."""
    level = nan_median(observed[:, dates], axis=1)
    there = np.isfinite(level[:, 0])
    return Standing(inside, np.asarray(level[there]), np.median(expected[there][:, dates], axis=1))


def series(
    observed: Floats,
    expected: Floats,
    inside: npt.NDArray[np.bool_],
    maps: Maps,
    when: Days,
    telling: Telling,
    parameters: RegionParameters,
) -> dict[str, Any]:
    """Observed against expected of the region's most telling feature, the latest clear dates."""
    ratio = np.abs(np.median(maps.shift[:, inside] / maps.noise[:, inside], axis=1))
    k = int(np.nanargmax(ratio))
    clear = np.flatnonzero(np.isfinite(observed[:, :, k]).any(axis=0))[-parameters.series_dates :]
    seen = nan_median(observed[:, clear, k], axis=0)
    usual = np.median(expected[:, clear, k], axis=0)
    band = 2.0 * float(np.nanmedian(maps.noise[k][inside]))
    bring = telling.natural
    return {
        "feature": telling.names[k],
        "unit": telling.unit,
        "dates": [iso(day) for day in when.days[clear]],
        "observed": [rounded(v) for v in bring(seen)],
        "expected": [rounded(v) for v in bring(usual)],
        "low": [rounded(v) for v in bring(usual - band)],
        "high": [rounded(v) for v in bring(usual + band)],
    }


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def smallest_site(
    maps: Maps, contrast: npt.NDArray[np.float64], pixel_m2: float, parameters: RegionParameters
) -> npt.NDArray[np.float32]:
    """Smallest site (Y, X), m2, that would have been reported, from noise and clear dates; NaN where blind.

    contrast: (K,), a typical change in each feature's unit.
    """
    worth = maps.clear * maps.temper
    signal = np.mean((contrast[:, None, None] / maps.noise) ** 2, axis=0)
    nats = 0.5 * worth * np.minimum(signal, 9.0) - 0.5 * np.log1p(worth * signal)
    nats = np.clip(nats, 0.0, parameters.most)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = search_nats(pixel_m2, parameters) / nats * parameters.shared_m2
    area = np.where(nats >= parameters.grow, np.maximum(area, max(parameters.smallest_m2, pixel_m2)), np.nan)
    return np.where((maps.clear >= 2) & np.isfinite(maps.evidence), area, np.nan).astype(np.float32)
