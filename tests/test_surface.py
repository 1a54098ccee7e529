"""The optical detector against planted truth, real images, and its own invariances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import shapely.affinity
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from scipy import ndimage

import real_data
from illegalmining.detect import regions as detect_regions
from illegalmining.detect.baseline import BaselineParameters, doubled, fit, fit_with, pairs_of, season
from illegalmining.detect.candidates import PEAK
from illegalmining.detect.change import ChangeParameters, Days, Histories, Maps
from illegalmining.detect.findings import Findings
from illegalmining.detect.monitor import MonitorParameters, update
from illegalmining.detect.noise import noise, weather
from illegalmining.detect.regions import Standing, Telling, region_rows
from illegalmining.detect.surface import SurfaceParameters, detect_surface, roofed
from illegalmining.detect.watch import Watch, unwatched

HISTORY, MONITOR, AS_OF = "2023-01-01", "2026-01-01", "2026-10-31"
BANDS = ("green", "red", "nir", "swir16", "swir22")
SOIL = np.array([0.11, 0.15, 0.24, 0.30, 0.26])
GREEN = np.array([0.06, 0.035, 0.38, 0.17, 0.08])
STRAW = np.array([0.09, 0.10, 0.26, 0.27, 0.19])
COAL = np.array([0.035, 0.04, 0.055, 0.07, 0.07])
LIMESTONE = np.array([0.33, 0.37, 0.42, 0.45, 0.40])
CLOUD = np.array([0.45, 0.45, 0.5, 0.35, 0.28])
ASH = np.array([0.04, 0.045, 0.09, 0.16, 0.15])
# white coated sheet metal: brighter in the visible than at 1.6 um (USGS spectral library, kind of material)
PAINT = np.array([0.42, 0.45, 0.48, 0.40, 0.33])


@dataclass(frozen=True)
class Ground:
    """A made-up district: the cube and the planted pits (name, first day, boolean mask at the end)."""

    cube: xr.Dataset
    pits: dict[str, tuple[pd.Timestamp, np.ndarray]]


def smooth(generator: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """A smooth random field with unit variance."""
    field = ndimage.gaussian_filter(generator.standard_normal(shape), sigma)
    return field / field.std()


def greenness(generator: np.random.Generator, size: int, days: pd.DatetimeIndex) -> np.ndarray:
    """Green cover 0-1 (T, size, size): forest, grass, and fields whose crop and calendar differ from year to year."""
    doy, year = days.dayofyear.to_numpy()[:, None], days.year.to_numpy() - days.year.min()
    patch = ndimage.zoom(generator.permutation((size // 10) ** 2).reshape(size // 10, -1), 10, order=0)[:size, :size]
    owner = patch.ravel()
    kind = generator.choice(3, owner.max() + 1, p=[0.35, 0.25, 0.4])[owner]
    kind = np.where(np.arange(size * size) % size < size // 3, 0, kind)
    late = generator.normal(0, 8, year.max() + 1)[year][:, None]
    tree = 0.45 + 0.5 / (1 + np.exp(-(doy - 120 - late) / 8)) / (1 + np.exp((doy - 290 - late) / 10))
    grass = (
        0.25
        + 0.5 * np.exp(-(((doy - 200 - late) / 60) ** 2)) * generator.uniform(0.7, 1.2, year.max() + 1)[year][:, None]
    )
    sown = generator.normal(0, 15, (year.max() + 1, owner.max() + 1))[year][:, owner]
    winter = generator.random((year.max() + 1, owner.max() + 1))[year][:, owner] < 0.4
    fallow = generator.random((year.max() + 1, owner.max() + 1))[year][:, owner] < 0.1
    peak = np.where(winter, 130, 210) + sown
    crop = 0.05 + 0.9 * np.exp(-(((doy - peak) / 38) ** 2)) * ~fallow
    cover = np.where(kind == 0, tree, np.where(kind == 1, grass, crop))
    return cover.reshape(-1, size, size)


def planted(generator: np.random.Generator, size: int) -> dict[str, tuple[pd.Timestamp, np.ndarray, np.ndarray]]:
    """Round pits of 0.2 to 2 ha, dark and bright, on a coarse lattice so that they do not touch."""
    rows, columns = np.mgrid[:size, :size]
    pits = {}
    for at in range(6):
        y, x = 15 + (size - 55) * (at // 3), 25 + size // 3 * (at % 3)
        y, x = y + generator.integers(0, 20), x + generator.integers(-8, 8)
        radius = np.sqrt(generator.uniform(0.2, 2.0) * 100 / np.pi)
        squeezed = generator.uniform(0.7, 1.3)
        mask = ((rows - y) / squeezed) ** 2 + ((columns - x) * squeezed) ** 2 <= radius**2
        start = pd.Timestamp(MONITOR) + pd.Timedelta(days=int(generator.integers(20, 200)))
        pits[f"{'coal' if at % 2 else 'limestone'}{at}"] = (start, mask, COAL if at % 2 else LIMESTONE)
    return pits


def made_ground(seed: int, size: int = 150, pits: bool = True) -> Ground:
    """A district seen every 5 days through cloud, with a leaking cloud mask, haze, snow, jitter and a fire."""
    generator = np.random.default_rng(seed)
    days = pd.date_range(HISTORY, AS_OF, freq="5D")
    cover = greenness(generator, size, days)[..., None]
    dead = np.where(cover > 0.4, STRAW, SOIL)
    ground = cover * GREEN + (1 - cover) * dead
    ground = ground * np.exp(0.15 * smooth(generator, (size, size), 3))[None, :, :, None]
    burnt = np.zeros((size, size), bool)
    burnt[size // 2 - 12 : size // 2 + 8, 2:37] = True
    since = np.asarray((days - pd.Timestamp("2026-04-01")).days)[:, None, None, None]
    char = np.where(since >= 0, np.exp(-since / 60.0), 0.0) * burnt[None, :, :, None]
    ground = ground * (1 - char) + ASH * char
    known = planted(generator, size) if pits else {}
    for start, mask, colour in known.values():
        after = np.flatnonzero(days >= start)
        texture = np.exp(0.1 * generator.standard_normal((len(after), int(mask.sum()), 1)))
        ground[after[0] :, mask] = colour * texture
    values, classes = seen_through_air(generator, ground, days)
    coordinates = {
        "time": days,
        "y": 4_100_000.0 - 10 * np.arange(size) - 5,
        "x": 500_000.0 + 10 * np.arange(size) + 5,
    }
    data = {name: (("time", "y", "x"), values[..., k].astype(np.float32)) for k, name in enumerate(BANDS)}
    cube = xr.Dataset({**data, "scl": (("time", "y", "x"), classes)}, coordinates).rio.write_crs("EPSG:4546")
    return Ground(cube, {name: (start, mask) for name, (start, mask, _) in known.items()})


def seen_through_air(
    generator: np.random.Generator, ground: np.ndarray, days: pd.DatetimeIndex
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (T, Y, X, K) and scene classes (T, Y, X): cloud, shadow, leaks, snow, haze, blur, jitter, noise."""
    values = np.empty_like(ground)
    classes = np.full(ground.shape[:3], 4, np.uint8)
    size = ground.shape[1]
    for t, day in enumerate(days):
        shift = generator.normal(0, 0.3, 2)
        scene = ndimage.shift(ndimage.gaussian_filter(ground[t], (0.5, 0.5, 0)), (*shift, 0), order=1, mode="nearest")
        scene = scene * np.exp(generator.normal(0, 0.03, 5)) + generator.gamma(1.0, 0.006) * np.array(
            [1, 0.8, 0.4, 0.1, 0.1]
        )
        scene = scene * np.exp(generator.normal(0, 0.03, scene.shape))
        if day.month in (12, 1, 2) and generator.random() < 0.4:
            scene = np.broadcast_to(np.array([0.7, 0.7, 0.65, 0.1, 0.08]), scene.shape).copy()
            classes[t] = 11
        thick = smooth(generator, (size, size), 12) + generator.normal(0.2, 1.5)
        opacity = np.clip(thick, 0, 1)[..., None]
        shade = np.roll(np.clip(thick, 0, 1), (6, 6), (0, 1))[..., None]
        values[t] = scene * (1 - 0.6 * shade) * (1 - opacity) + CLOUD * opacity
        masked = ndimage.binary_dilation((opacity[..., 0] > 0.3) | (shade[..., 0] > 0.5), iterations=1)
        leak = ndimage.zoom(generator.random((size // 10, size // 10)), 10, order=0)[:size, :size] < 0.05
        classes[t][masked & ~leak] = 9
    return values, classes


def found(findings: Findings, cube: xr.Dataset, mask: np.ndarray) -> tuple[pd.Series | None, float]:
    """The detection that overlaps a pit best, and its intersection over union."""
    top, left = float(cube.y[0]) + 5, float(cube.x[0]) - 5
    rows, columns = np.nonzero(mask)
    truth = shapely.union_all(
        shapely.box(left + 10 * columns, top - 10 * rows - 10, left + 10 * columns + 10, top - 10 * rows)
    )
    best, overlap = None, 0.0
    for _, row in findings.detections.iterrows():
        share = row.geometry.intersection(truth).area / row.geometry.union(truth).area
        if share > overlap:
            best, overlap = row, share
    return best, overlap


@pytest.fixture(scope="module")
def grounds() -> list[tuple[Ground, Findings]]:
    """Two districts on seeds the detector was not tuned on, judged."""
    made = [made_ground(seed) for seed in (11, 12)]
    return [(ground, detect_surface(ground.cube, HISTORY, MONITOR, AS_OF)) for ground in made]


def clear_dates(cube: xr.Dataset, mask: np.ndarray, start: pd.Timestamp, end: pd.Timestamp) -> int:
    """Dates in [start, end) on which most of a pit was clear."""
    clear = np.isin(cube.scl.values[:, mask], (4, 5, 6, 7)).mean(axis=1) > 0.5
    days = pd.DatetimeIndex(cube.time.values[clear])
    return int(((days >= start) & (days < end)).sum())


def test_dark_and_bright_pits_are_found_dated_and_outlined(grounds):
    for ground, findings in grounds:
        overlaps = []
        for name, (start, mask) in ground.pits.items():
            row, overlap = found(findings, ground.cube, mask)
            assert row is not None, name
            assert row.log_lr > 2, name
            assert clear_dates(ground.cube, mask, start, row.first_seen) <= 3, name
            assert row.first_seen > start - pd.Timedelta(days=60), name
            overlaps.append(overlap)
        assert np.median(overlaps) >= 0.7


def test_fields_haze_and_leaked_clouds_stay_below_even_odds(grounds):
    even = np.log((1 - 48 / 296) / (48 / 296))
    hectares = sum(ground.cube.sizes["y"] * ground.cube.sizes["x"] / 100 for ground, _ in grounds)
    wrong = 0
    for ground, findings in grounds:
        pits = [found(findings, ground.cube, mask)[0].detection_id for _, mask in ground.pits.values()]
        wrong += (~findings.detections.detection_id.isin(pits) & (findings.detections.log_lr > even)).sum()
    assert wrong <= 2, f"{wrong} false regions on {hectares} ha of cloudy fields with a fire each"


def test_series_growth_and_uncertainty_are_told(grounds):
    _, findings = grounds[0]
    row = findings.detections.iloc[0]
    told = json.loads(row.attributes)
    series = told["series"]
    assert len(series["dates"]) == len(series["observed"]) == len(series["expected"]) <= 120
    changed = np.array(series["dates"]) >= str(row.first_seen.date())
    outside = (np.array(series["observed"]) < series["low"]) | (np.array(series["observed"]) > series["high"])
    assert outside[changed].mean() > 0.5 > 0.2 > outside[~changed].mean()
    assert told["area_m2_low"] <= row.area_m2 <= told["area_m2_high"]
    assert told["growth"]["area_m2"] == sorted(told["growth"]["area_m2"])


@pytest.fixture(scope="module")
def whole() -> tuple[xr.Dataset, Findings]:
    """A small cube in memory and what is found in it, in tiles of 32 pixels."""
    cube = made_ground(13, size=100).cube
    findings = in_tiles(cube, 64)
    assert len(findings.detections)
    return cube, findings


def in_tiles(cube: xr.Dataset, block: int) -> Findings:
    parameters = SurfaceParameters(change=ChangeParameters(tile=32, block=block))
    return detect_surface(cube, HISTORY, MONITOR, AS_OF, parameters)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(time=integers(20, 200), y=integers(25, 100), x=integers(25, 100), block=sampled_from([32, 64, 96, 128]))
def test_chunks_and_dask_change_nothing(whole: tuple[xr.Dataset, Findings], time: int, y: int, x: int, block: int):
    cube, eager = whole
    lazy = in_tiles(cube.chunk({"time": time, "y": y, "x": x}), block)
    xr.testing.assert_identical(eager.smallest_site_m2, lazy.smallest_site_m2)
    pd.testing.assert_frame_equal(pd.DataFrame(eager.detections), pd.DataFrame(lazy.detections))


def test_blind_where_nothing_is_clear_and_sharper_with_more_dates():
    cube = made_ground(14, size=60, pits=False).cube
    cube.scl[:, :10] = 9
    whole = detect_surface(cube, HISTORY, MONITOR, AS_OF).smallest_site_m2
    early = detect_surface(cube, HISTORY, MONITOR, "2026-02-28").smallest_site_m2
    assert np.isnan(whole[:10]).all()
    assert np.isfinite(whole[12:]).mean() > 0.99
    both = np.isfinite(early) & np.isfinite(whole)
    assert (whole.values[both] <= early.values[both]).all()


@pytest.mark.parametrize("cube", [xr.Dataset(), "short"])
def test_what_cannot_be_judged_is_said(cube):
    good = made_ground(15, size=30, pits=False).cube
    given = good.isel(time=slice(-60, None)) if cube == "short" else good[["scl"]]
    findings = detect_surface(given, HISTORY, MONITOR, AS_OF)
    assert len(findings.detections) == 0
    assert findings.remarks


@pytest.fixture(scope="module")
def romania(shared_data: Path) -> tuple[xr.Dataset, Findings]:
    """The Romanian cube, judged from 2018."""
    cube = real_data.romania(shared_data)
    return cube, detect_surface(cube, "2015-08-01", "2018-01-01", "2021-01-01")


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_romanian_clearings_are_found_in_their_year(romania):
    cube, findings = romania
    hits, truth, overlaps = 0, 0, []
    for year in (2018, 2019):
        for mask in real_data.clearings(cube, year):
            row, overlap = found(findings, cube, mask)
            truth += 1
            hits += row is not None and row.first_seen.year == year
            overlaps.append(overlap)
    assert truth >= 10
    assert hits / truth >= 0.8
    assert np.median(overlaps) >= 0.7


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_romanian_forest_is_silent(romania):
    cube, findings = romania
    near = ndimage.binary_dilation(
        np.any([m for y in (2018, 2019) for m in real_data.clearings(cube, y)], axis=0), iterations=3
    )
    strangers = [row for row in findings.detections.itertuples() if not touches(row.geometry, cube, near)]
    assert len(strangers) <= 1


def touches(geometry: shapely.Geometry, cube: xr.Dataset, mask: np.ndarray) -> bool:
    """Whether a region's centre lies in the mask."""
    column = round((geometry.centroid.x - float(cube.x[0])) / 10)
    row = round((float(cube.y[0]) - geometry.centroid.y) / 10)
    return bool(mask[row, column])


def test_steady_forest_raises_no_alarm(shared_data):
    findings = detect_surface(real_data.steady_forest(shared_data), "2017-01-01", "2018-07-01", "2020-01-01")
    assert len(findings.detections) == 0


def test_slovenian_fields_raise_no_alarm(shared_data):
    cube = real_data.slovenia(shared_data)
    for monitor_from in ("2017-01-01", "2017-04-01"):
        findings = detect_surface(cube, "2015-07-01", monitor_from, "2018-01-01")
        assert findings.detections.area_m2.sum() / 100 < 0.001 * cube.sizes["y"] * cube.sizes["x"]


def test_amazon_forest_and_pasture_are_silent(shared_data):
    series = real_data.rondonia(shared_data)
    alarmed = {label: np.mean([single_pixel_alarm(one) for one in series[label]]) for label in ("Forest", "Pasture")}
    assert alarmed["Forest"] < 0.05
    assert alarmed["Pasture"] < 0.05


def single_pixel_alarm(series: pd.Series) -> bool:
    """Whether one Landsat pixel on its own makes a detection in the second half of its series."""
    middle = series.index[len(series) // 2]
    cube = real_data.one_pixel(series, "ndvi")
    return len(detect_surface(cube, series.index[0], middle, series.index[-1]).detections) > 0


def north_up(pixel: float) -> Affine:
    """A grid of `pixel` m whose corner is the origin."""
    return Affine(pixel, 0, 0, 0, -pixel, 0)


def test_pixel_of_bolivia_is_found_from_ndvi_within_three_dates(shared_data):
    series = real_data.bayts("Landsat_NDVI", shared_data)
    seen = [date for date in series.index if date >= pd.Timestamp("2016-01-10")]
    found_by = next(d for d in seen if bayts_found(series[:d]))
    assert seen.index(found_by) + 1 <= 3


def bayts_found(series: pd.Series) -> bool:
    """Whether the NDVI of one pixel so far makes a detection."""
    cube = real_data.one_pixel(series, "ndvi")
    return len(detect_surface(cube, "2014-08-01", "2015-09-01", series.index[-1]).detections) > 0


def test_dates_one_by_one_or_together_give_the_same_state():
    generator = np.random.default_rng(3)
    days = np.arange(160) * 8.0
    design = season(days, 2)
    values = generator.standard_normal((160, 3, 70)).astype(np.float32) * 0.1
    values[np.broadcast_to(generator.random((160, 1, 70)) < 0.3, values.shape)] = np.nan
    values[130:, :, :20] += 1.0
    parameters, watched = BaselineParameters(), MonitorParameters()
    fitted = fit(values[:110], design[:110], parameters)
    offset, noisier = weather(values, design, fitted[0], fitted[2], parameters)
    baseline = noise(values[:110], design[:110], offset[:110], fitted, parameters)

    def feed(watch: Watch, part: slice) -> None:
        shared = offset[part], noisier[part]
        update(watch, values[part], design[part], days[part].astype(np.int32), shared, baseline, 2.4, watched)

    together, single = unwatched(70, 3), unwatched(70, 3)
    feed(together, slice(110, 160))
    for t in range(110, 160):
        feed(single, slice(t, t + 1))
    for name, one, other in zip(Watch._fields, together, single, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    peak = together.candidates[:, :, PEAK].max(axis=1)
    assert (peak[:20] > 10).all()
    assert (peak[20:] < 5).all()


def test_one_round_of_the_fit_is_least_squares():
    generator = np.random.default_rng(4)
    design = season(np.arange(60) * 11.0, 2)
    values = generator.standard_normal((60, 2, 5)).astype(np.float32)
    values[np.broadcast_to(generator.random((60, 1, 5)) < 0.2, values.shape)] = np.nan
    nothing = np.zeros((2, 5), np.float32)
    parameters = BaselineParameters(rounds=1)
    coefficients, errors, _, clear = fit_with(values, design, np.zeros(5, np.float32), nothing, parameters)
    for pixel in range(5):
        there = np.isfinite(values[:, 0, pixel])
        expected = np.linalg.lstsq(design[there].astype(float), values[there, :, pixel].astype(float), rcond=None)[0]
        np.testing.assert_allclose(coefficients[:, :, pixel], expected.T, atol=1e-4)
        inverse = np.linalg.inv(design[there].T @ design[there])
        np.testing.assert_allclose(doubled(design) @ errors[:, pixel], np.sum(design @ inverse * design, 1), atol=1e-4)
        assert clear[pixel] == there.sum()


@pytest.mark.parametrize("order", [1, 2])
def test_products_of_waves_are_sums_of_waves_of_twice_the_order(order: int) -> None:
    days = np.arange(0, 900, 7.0)
    design, twice = season(days, order), season(days, 2 * order)
    np.testing.assert_allclose(doubled(design), twice, atol=1e-5)
    pairs = iter(pairs_of(order))
    for c in range(2 * order + 1):
        for e in range(c + 1):
            one, two, sign = next(pairs)
            np.testing.assert_allclose(
                design[:, c] * design[:, e], (twice[:, one] + sign * twice[:, two]) / 2, atol=1e-5
            )


def test_leaked_clouds_hardly_move_the_baseline():
    generator = np.random.default_rng(5)
    design = season(np.arange(110) * 10.0, 2)
    truth = np.array([-2.0, 0.3, 0.2, 0.1, 0.05], np.float32)
    values = (design @ truth)[:, None, None] + 0.05 * generator.standard_normal((110, 1, 200))
    cloudy = values + 2.0 * (generator.random((110, 1, 200)) < 0.12)
    fitted = [fit(v.astype(np.float32), design, BaselineParameters())[0] for v in (values, cloudy)]
    least = np.linalg.lstsq(design.astype(float), cloudy[:, 0], rcond=None)[0][0]
    moved = np.abs(fitted[1] - fitted[0])[0, 0]
    assert np.median(moved) < 0.02
    assert np.median(moved) < 0.1 * np.median(np.abs(least - truth[0]))


def region_maps(onset: int, last: int, dates: int) -> Maps:
    """Maps of 20 x 20 pixels whose middle 8 x 8 changed strongly, from `onset` to `last`."""
    inside = np.zeros((20, 20), bool)
    inside[6:14, 6:14] = True

    def whole(value: float, dtype: type) -> np.ndarray:
        return np.where(inside, value, 0).astype(dtype)

    return Maps(
        evidence=whole(40.0, np.float32),
        now=whole(40.0, np.float32),
        onset=whole(onset, np.int32),
        last=whole(last, np.int32),
        stood=whole(last - onset, np.int32),
        dates=whole(dates, np.int32),
        shift=np.repeat(whole(0.8, np.float32)[None], 5, axis=0),
        noise=np.full((5, 20, 20), 0.05, np.float32),
        temper=np.ones((20, 20), np.float32),
        clear=np.full((20, 20), 12, np.int32),
    )


def test_a_region_is_worked_out_where_it_lies_and_costs_no_look_at_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    days = np.arange(20000, 20400, 10, dtype=np.int32)
    course = np.log(np.repeat(GREEN[None], 40, axis=0))
    level = np.where((days >= 20200)[:, None], np.log(SOIL), course)
    small = region_maps(20200, 20390, 15)
    (alone,) = rows_of(level, course, Days(days, 15), small)
    wide = Maps(
        **{
            name: np.tile(values, (*(1,) * (values.ndim - 2), 6, 5))  # the same ground thirty times over
            for name, values in vars(small).items()
        }
    )
    looked_at: list[int] = []
    described = detect_regions.described

    def watched(maps: Maps, *more: Any) -> dict[str, Any]:
        looked_at.append(maps.evidence.size)
        return described(maps, *more)

    monkeypatch.setattr(detect_regions, "described", watched)
    rows = rows_of(level, course, Days(days, 15), wide)
    assert looked_at == [10 * 10] * 30  # 8 x 8 pixels and their rim
    places = [(across, down) for down in range(6) for across in range(5)]
    for row, (across, down) in zip(rows, places, strict=True):
        moved = shapely.affinity.translate(alone["geometry"], 200.0 * across, -200.0 * down)
        assert row["geometry"].equals(moved)
        assert {**row, "geometry": 0, "detection_id": 0} == {**alone, "geometry": 0, "detection_id": 0}


def rows_of(level: np.ndarray, course: np.ndarray, when: Days, maps: Maps) -> list[dict]:
    """Regions where pixels were seen at `level`, (T, K) of all or (N, T, K), and expected at `course` (T, K)."""
    where = np.argwhere(maps.evidence > 0)
    series = (np.broadcast_to(values, (len(where), *course.shape)) for values in (level, course))
    parameters = SurfaceParameters()
    telling = Telling(BANDS, "reflectance", np.exp, partial(roofed, names=BANDS, parameters=parameters))
    histories = Histories(where, *(np.ascontiguousarray(part, np.float32) for part in series))
    return region_rows("surface", maps, histories, when, north_up(10.0), telling, parameters.regions)


@pytest.mark.parametrize(("material", "is_pit"), [(SOIL, True), (COAL, True), (LIMESTONE, True), ("paint", False)])
def test_what_stands_there_now_decides_between_a_pit_and_a_roof(material: np.ndarray | str, is_pit: bool) -> None:
    ground = PAINT if isinstance(material, str) else material
    days = np.arange(20000, 20400, 10, dtype=np.int32)
    course = np.log(np.repeat(GREEN[None], 40, axis=0))
    level = np.where((days >= 20200)[:, None], np.log(ground), course)
    (row,) = rows_of(level, course, Days(days, 15), region_maps(20200, 20390, 15))
    assert (row["log_lr"] > 0) == is_pit
    assert (json.loads(row["attributes"]).get("question") == "building") != is_pit


@pytest.mark.parametrize(("ground", "is_roof"), [(LIMESTONE, False), (PAINT, True)])
def test_leaves_on_the_rim_of_a_small_pit_are_no_roof(ground: np.ndarray, is_roof: bool) -> None:
    leaves = np.repeat([0.0, 0.3, 0.5], 6)[:, None]
    level = np.log(leaves * GREEN + (1 - leaves) * ground)
    standing = Standing(np.ones((3, 6), bool), level, np.log(np.repeat(GREEN[None], 18, axis=0)))
    assert (roofed(standing, BANDS, SurfaceParameters()) > 0) == is_roof


@pytest.mark.parametrize(
    ("first", "then", "dates", "is_pit"),
    [
        (SOIL, PAINT, 3, False),  # a building site under its roof
        (SOIL, PAINT, 1, True),  # may be a cloud
        (LIMESTONE, CLOUD, 2, True),
        (SOIL, COAL, 3, True),  # a pit that has come down to the seam
        (SOIL, LIMESTONE, 3, True),
        (PAINT, SOIL, 6, True),  # torn down and dug up
    ],
)
def test_soil_that_turns_into_roofs_was_a_building_site_and_a_pit_does_not(
    first: np.ndarray, then: np.ndarray, dates: int, is_pit: bool
) -> None:
    days = np.arange(20000, 20400, 10, dtype=np.int32)
    course = np.log(np.repeat(GREEN[None], 40, axis=0))
    level = np.where((days >= 20200)[:, None], np.log(first), course)
    level[-dates:] = np.log(then)
    (row,) = rows_of(level, course, Days(days, 15), region_maps(20200, 20390, 15))
    assert (row["log_lr"] > 0) == is_pit


@pytest.mark.parametrize(("dates", "most"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_few_dates_speak_for_roofs_no_louder_than_they_do_against_clouds(dates: int, most: int) -> None:
    days = np.arange(20000, 20400, 10, dtype=np.int32)
    course = np.log(np.repeat(GREEN[None], 40, axis=0))
    level = np.where((days >= 20400 - 10 * dates)[:, None], np.log(PAINT), course)
    maps = region_maps(20400 - 10 * dates, 20390, 15)
    (row,) = rows_of(level, course, Days(days, 15), maps)
    (bare,) = rows_of(np.where(level == np.log(PAINT), np.log(SOIL), level), course, Days(days, 15), maps)
    assert bare["log_lr"] - row["log_lr"] <= most * SurfaceParameters().regions.leak + 1e-4


@pytest.mark.parametrize(("dates", "is_pit"), [(4, False), (28, True)])
def test_a_harvest_weeks_early_is_no_pit_until_it_outlasts_the_season(dates: int, is_pit: bool) -> None:
    # from its onset on the field is 30 days ahead, and when it is bare it stays so while it ought to grow again
    onset, barest = 20190, 20110 + 182
    usual = wave(np.arange(19600, 20600, 10), greenest=20110)
    ahead = wave(usual.days + 30, greenest=20110).now
    now = np.where(usual.days < onset, usual.now, np.where(usual.days < barest - 30, ahead, 0.0))
    assert len(rows_of_field(usual, now, onset, dates)) == is_pit


@pytest.mark.parametrize(("lead", "is_pit"), [(70, False), (0, True)])
def test_a_field_is_reaped_as_early_as_it_greened(lead: int, is_pit: bool) -> None:
    # bare 70 days before its day; in the one year it greened 70 days early too, in the other at its time
    onset = 20160
    usual = wave(np.arange(19600, 20600, 10), greenest=20110)
    now = np.where(usual.days < 20000, usual.now, wave(usual.days + lead, greenest=20110).now)
    early = wave(usual.days + 70, greenest=20110).now
    rows = rows_of_field(usual, np.where(usual.days >= onset, early, now), onset, 9)
    assert len(rows) == is_pit


@pytest.mark.parametrize(("reaped", "is_pit"), [("within days", False), ("slowly", True)])
def test_a_field_that_was_reaped_within_days_before_is_reaped_so_again(reaped: str, is_pit: bool) -> None:
    # bare at once, a month before its day: so it was in the history, for which waves are too slow, or it never was
    usual = wave(np.arange(19600, 20600, 10), greenest=20110)
    at_once = (usual.now > 0.5).astype(float)
    history = at_once if reaped == "within days" else usual.now
    now = np.where(usual.days < 20000, history, np.where(usual.days < 20170, np.fmax(history, at_once), 0.0))
    assert len(rows_of_field(usual, now, 20170, 7)) == is_pit


@pytest.mark.parametrize("spring", [4, 18])
def test_dates_before_the_change_do_not_thin_out_those_that_speak_for_it(spring: int) -> None:
    # a field in its season, then coal for four dates, which no season brings: however many dates there were before
    onset, dates = 20000 + 10 * spring, 4
    usual = wave(np.arange(19600, onset + 10 * dates, 10), greenest=20110)
    course = usual.now[:, None] * np.log(GREEN) + (1 - usual.now[:, None]) * np.log(SOIL)
    level = np.where((usual.days >= onset)[:, None], np.log(COAL), course)
    assert len(rows_of(level, course, Days(usual.days, 40), region_maps(onset, onset + 30, dates))) == 1


@pytest.mark.parametrize(("third", "is_pit"), [(COAL, True), (SOIL, False)])
def test_a_season_must_tell_the_coal_and_the_spoil_apart_and_not_their_median(third: np.ndarray, is_pit: bool) -> None:
    # a third of the pixels is dark, a third bright, and the rest as bare as a field that ran a month ahead
    usual = wave(np.arange(19600, 20600, 10), greenest=20110)
    ahead = np.where(usual.days < 20000, usual.now, wave(usual.days + 30, greenest=20110).now)
    course, field = (
        cover[:, None] * np.log(GREEN) + (1 - cover[:, None]) * np.log(SOIL) for cover in (usual.now, ahead)
    )
    level, maps = np.repeat(field[None], 64, axis=0), region_maps(20190, 20250, 7)
    stands = usual.days >= 20190
    for part, ground in ((slice(0, 21), third), (slice(21, 42), SOIL + (SOIL - third))):
        level[part, stands] = np.where((ground == SOIL).all(), level[part, stands], np.log(ground))
    when = Days(usual.days[usual.days <= 20250], 40)
    assert len(rows_of(level[:, : len(when.days)], course[: len(when.days)], when, maps)) == is_pit


@dataclass(frozen=True)
class Wave:
    """Green cover 0-1 (T,) of a field on days since 1970 (T,)."""

    days: np.ndarray
    now: np.ndarray


def wave(days: np.ndarray, greenest: float) -> Wave:
    """A field green and bare once a year."""
    return Wave(days.astype(np.int32), 0.5 + 0.5 * np.cos(2 * np.pi * (days - greenest) / 365.2425))


def rows_of_field(usual: Wave, now: np.ndarray, onset: int, dates: int) -> list[dict]:
    """Regions of a field of 1 ha that was expected at one green cover and seen at another, `dates` from an onset."""
    end = onset + 10 * (dates - 1)
    course, level = (cover[:, None] * np.log(GREEN) + (1 - cover[:, None]) * np.log(SOIL) for cover in (usual.now, now))
    seen = usual.days <= end
    return rows_of(level[seen], course[seen], Days(usual.days[seen], 40), region_maps(onset, end, dates))


def test_a_cloud_over_the_whole_tile_is_no_haze() -> None:
    generator = np.random.default_rng(8)
    design = season(np.arange(60) * 12.0, 2)
    values = (0.05 * generator.standard_normal((60, 2, 900)) - 2.0).astype(np.float32)
    values[40] += 0.1  # haze
    values[50] = -0.6  # cloud that the mask missed
    parameters = BaselineParameters()
    fitted = fit(values, design, parameters)
    offset, _ = weather(values, design, fitted[0], fitted[2], parameters)
    assert np.isnan(offset[50]).all()
    assert np.isfinite(np.delete(offset, 50, axis=0)).all()
    np.testing.assert_allclose(offset[40], 0.1, atol=0.03)
