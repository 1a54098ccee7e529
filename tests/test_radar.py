"""The radar detector against planted truth, a real pixel, and its own invariances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from affine import Affine
from scipy import ndimage

import real_data
from illegalmining.detect.baseline import BaselineParameters, fit, season
from illegalmining.detect.candidates import PEAK
from illegalmining.detect.change import Days, Histories, Maps
from illegalmining.detect.monitor import update
from illegalmining.detect.noise import lingering, noise
from illegalmining.detect.radar import Backscatter, RadarParameters, built_up, detect_radar
from illegalmining.detect.regions import Standing, Telling, region_rows
from illegalmining.detect.watch import unwatched

HISTORY, MONITOR, AS_OF = "2023-01-01", "2026-01-01", "2026-10-31"
LOOKS = 4.4  # equivalent number of looks of a Sentinel-1 ground-range image


def echoes(seed: int, size: int = 80, steps: dict[str, float] | None = None) -> tuple[xr.Dataset, dict]:
    """Fields with rain and season under speckle every 6 days; pits of 0.5 ha that change backscatter by some dB."""
    generator = np.random.default_rng(seed)
    days = pd.date_range(HISTORY, AS_OF, freq="6D")
    doy = days.dayofyear.to_numpy()
    field = np.kron(generator.normal(0, 1.5, (size // 10, size // 10)), np.ones((10, 10)))
    swing = np.kron(generator.uniform(0, 2, (size // 10, size // 10)), np.ones((10, 10)))
    rain = generator.gamma(1.0, 0.4, len(days))
    wave = np.sin(2 * np.pi * doy / 365.25 + generator.normal(0, 0.3))
    decibels = -12 + field + swing * wave[:, None, None] + rain[:, None, None]
    rows, columns = np.mgrid[:size, :size]
    pits = {}
    for number, (name, step) in enumerate((steps or {}).items()):
        start = pd.Timestamp("2026-03-01") + pd.Timedelta(days=int(generator.integers(0, 120)))
        mask = (rows - 20 - 40 * (number // 2)) ** 2 + (columns - 20 - 40 * (number % 2)) ** 2 <= 16
        decibels[np.ix_(days >= start, *map(np.arange, mask.shape))] += step * mask
        pits[name] = (start, mask)
    data = {}
    for name, offset in (("vv", 0.0), ("vh", -7.0)):
        power = 10 ** ((decibels + offset) / 10) * generator.gamma(LOOKS, 1 / LOOKS, decibels.shape)
        data[name] = (("time", "y", "x"), power.astype(np.float32))
    grid = {"y": 4_100_000.0 - 10 * np.arange(size) - 5, "x": 500_000.0 + 10 * np.arange(size) + 5}
    return xr.Dataset(data, coords={"time": days, **grid}).rio.write_crs("EPSG:4546"), pits


def outline(cube: xr.Dataset, mask: np.ndarray) -> shapely.Geometry:
    """A mask as a polygon."""
    cells = [
        shapely.box(
            float(cube.x[column]) - 5, float(cube.y[row]) - 5, float(cube.x[column]) + 5, float(cube.y[row]) + 5
        )
        for row, column in np.argwhere(mask)
    ]
    return shapely.union_all(cells)


@pytest.mark.parametrize("seed", [21, 22])
def test_changes_of_either_sign_are_found_dated_and_placed(seed):
    cube, pits = echoes(seed, steps={"felled": -3.5, "faced": 3.5, "flooded": -6.0, "heaped": 5.0})
    findings = detect_radar(cube, HISTORY, MONITOR, AS_OF)
    assert (findings.detections.detector == "radar").all()
    for name, (start, mask) in pits.items():
        truth = outline(cube, mask)
        hits = findings.detections[findings.detections.intersects(truth)]
        assert len(hits) == 1, name
        assert hits.log_lr.iloc[0] > 2, name
        assert abs((hits.first_seen.iloc[0] - start).days) <= 30, name
        assert hits.geometry.iloc[0].intersection(truth).area / truth.area > 0.6, name
    everywhere = shapely.union_all([outline(cube, mask) for _, mask in pits.values()])
    assert findings.detections.intersects(everywhere).all()


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_speckle_rain_and_season_alone_raise_no_alarm(seed):
    cube, _ = echoes(seed)
    assert len(detect_radar(cube, HISTORY, MONITOR, AS_OF).detections) == 0


def test_one_polarisation_is_enough():
    cube, pits = echoes(23, steps={"flooded": -6.0})
    findings = detect_radar(cube[["vv"]].rio.write_crs("EPSG:4546"), HISTORY, MONITOR, AS_OF)
    assert findings.detections.intersects(outline(cube, pits["flooded"][1])).any()


def test_chunks_and_dask_change_nothing():
    cube, _ = echoes(24, size=140, steps={"flooded": -6.0})
    lazy = cube.chunk({"time": 50, "y": 33, "x": 61})
    eager, chunked = (detect_radar(c, HISTORY, MONITOR, AS_OF) for c in (cube, lazy))
    xr.testing.assert_identical(eager.smallest_site_m2, chunked.smallest_site_m2)
    assert len(eager.detections)
    pd.testing.assert_frame_equal(pd.DataFrame(eager.detections), pd.DataFrame(chunked.detections))


def test_averaging_is_in_power_and_leaves_out_what_is_missing():
    generator = np.random.default_rng(1)
    power = generator.gamma(LOOKS, 0.1 / LOOKS, (2, 7, 9)).astype(np.float32)
    power[0, 3, 4] = np.nan
    decibels = Backscatter(3, 1e-6)(power)[:, 0]
    assert np.isnan(decibels[0, 3, 4])
    around = np.delete(power[0, 2:5, 3:6].ravel(), 4)
    inner = 10 * np.log10(np.nanmean(power[0, 2:5, 4:7]))
    np.testing.assert_allclose(decibels[0, 3, 5], inner, rtol=1e-5)
    assert len(around) == 8
    np.testing.assert_allclose(decibels[1, 0, 0], 10 * np.log10(power[1, :2, :2].mean()), rtol=1e-5)


def test_a_source_without_backscatter_is_said():
    cube, _ = echoes(25, size=20)
    findings = detect_radar(cube.rename(vv="hh", vh="hv"), HISTORY, MONITOR, AS_OF)
    assert len(findings.detections) == 0
    assert findings.remarks[0].key == "no_band"
    assert "vv" in findings.remarks[0].values["bands"]


def test_four_pixels_that_outweigh_looking_everywhere_are_a_region():
    spot = np.zeros((12, 12), bool)
    spot[5:7, 5:7] = True
    (row,) = rows_of(spot, evidence=10.0, left=1.0, dates=8)
    assert row["area_m2"] == 1600


@pytest.mark.parametrize(("left", "is_pit"), [(1.0, True), (0.75, False)])
def test_a_scar_of_which_a_quarter_has_gone_within_five_months_is_no_pit(left: float, is_pit: bool) -> None:
    spot = np.zeros((12, 12), bool)
    spot[3:10, 3:10] = True
    assert len(rows_of(spot, evidence=15.0, left=left, dates=13)) == is_pit


def rows_of(spot: np.ndarray, evidence: float, left: float, dates: int) -> list[dict]:
    """Regions of pixels of 20 m in `spot` with as much evidence, of which a share is left, on dates 12 days apart."""
    strong, when = np.where(spot, evidence, 0.0), np.where(spot, 20200, 0)
    days = Days(np.arange(19000, 20400, 12, dtype=np.int32), 100)
    level = np.full((2, *spot.shape), 0.6)
    stood = when * 0 + 12 * (dates - 1)
    seen = when + stood, stood, when * 0 + dates
    maps = Maps(strong, left * strong, when, *seen, 3 * level, level, level[0], level[0] + 20)
    series = np.full((2, int(spot.sum()), len(days.days), 2), -11.0)
    telling = Telling(("vv", "vh"), "dB", np.asarray, lambda level: 0.0)
    histories = Histories(np.argwhere(spot), *series)
    transform, parameters = Affine(20, 0, 0, 0, -20, 0), RadarParameters().regions
    return region_rows("radar", maps, histories, days, transform, telling, parameters)


WALLS, ROCK, FIELD, SLOPE = -2.0, -8.0, -11.0, -6.0


@pytest.mark.parametrize(
    ("width", "height", "now", "before", "is_building"),
    [
        (6, 6, WALLS, FIELD, True),
        (2, 2, WALLS, FIELD, True),  # fills less than half of the window
        (3, 2, WALLS, FIELD, True),
        (6, 6, ROCK, FIELD, False),
        (3, 3, ROCK, FIELD, False),
        (1, 1, ROCK, FIELD, False),
        (6, 6, -20.0, FIELD, False),  # smooth spoil, water
        (6, 6, SLOPE + 2, SLOPE, False),  # rock on a slope that faces the sensor
        (6, 6, WALLS + 1, SLOPE, True),
    ],
)
def test_walls_are_told_from_rock_even_where_they_fill_a_part_of_a_pixel(
    width: int, height: int, now: float, before: float, is_building: bool
) -> None:
    power = np.full((14, 14), 10 ** (before / 10))
    power[4 : 4 + height, 4 : 4 + width] = 10 ** (now / 10)
    seen = 10 * np.log10(ndimage.uniform_filter(power, 3))
    assert (speaks_for_buildings(seen, before, np.abs(seen - before) > 1.0) > 2.0) == is_building


def test_walls_are_told_where_what_lies_around_them_was_not_judged() -> None:
    inside = np.zeros((14, 14), bool)
    inside[4:7, 4:7] = True
    assert speaks_for_buildings(np.full((14, 14), WALLS), FIELD, inside) > 2.0


def test_a_dark_strip_narrower_than_the_window_is_no_wall() -> None:
    inside = np.zeros((14, 14), bool)
    inside[4:6, 4:8] = True
    assert speaks_for_buildings(np.full((14, 14), -16.0), FIELD, inside) == 0.0


def speaks_for_buildings(seen: np.ndarray, before: float, inside: np.ndarray) -> float:
    """Nats for buildings in a region of a map (Y, X), dB, of which `before` was expected."""
    level = seen[inside][:, None]
    return built_up(Standing(inside, level, np.full_like(level, before)), ("vv",), RadarParameters())


def test_smallest_site_shrinks_with_more_dates():
    cube, _ = echoes(26, size=30)
    early = detect_radar(cube, HISTORY, MONITOR, "2026-01-31").smallest_site_m2
    late = detect_radar(cube, HISTORY, MONITOR, AS_OF).smallest_site_m2
    seen = np.isfinite(early) & np.isfinite(late)
    assert np.isfinite(late).mean() > 0.9
    assert (late.values[seen] <= early.values[seen]).all()


@pytest.mark.parametrize("season_db", [1.0, 3.0])
def test_ground_that_turns_with_the_season_must_change_by_more_than_ground_that_does_not(season_db: float) -> None:
    # half of the pixels have a season, which the baseline knows; every fifth of either half falls by 3 dB on one day
    generator = np.random.default_rng(41)
    days = np.arange(120) * 10.0
    turning, falling = np.arange(400) < 200, np.arange(400) % 5 == 0
    swing = season_db * turning * np.where(np.arange(400) % 2, 1, -1)  # some bright in winter, some in summer
    values = -10 + swing * np.cos(2 * np.pi * days / 365.2425)[:, None]
    values = values - 3.0 * falling * (days >= 1100)[:, None] + generator.normal(0, 0.6, (120, 400))
    values = values[:, None].astype(np.float32)
    design, past = season(days, 1), slice(0, 100)
    parameters = RadarParameters().change
    fitted = fit(values[past], design[past], parameters.baseline)
    shared = np.zeros((120, 1), np.float32), np.ones(120, np.float32)
    baseline = noise(values[past], design[past], shared[0][past], fitted, parameters.baseline)
    watch, new = unwatched(400, 1), slice(100, 120)
    fed = values[new], design[new], days[new].astype(np.int32), (shared[0][new], shared[1][new])
    update(watch, *fed, baseline, 2.7, parameters.monitor)
    evidence = watch.candidates[:, :, PEAK].max(axis=1)
    steady, field = (np.median(evidence[falling & half]) for half in (~turning, turning))
    assert steady > (1.2 if season_db < 2 else 1.8) * field
    assert field > 5


@pytest.mark.parametrize(("fades_days", "is_pit"), [(90, False), (np.inf, True)])
def test_a_burnt_slope_that_recovers_within_months_is_no_pit(fades_days: float, is_pit: bool) -> None:
    cube, _ = echoes(42, size=60)
    since = np.maximum((pd.DatetimeIndex(cube.time.values) - pd.Timestamp("2026-05-15")).days.to_numpy(), 0)
    rows, columns = np.mgrid[:60, :60]
    scar = ((rows - 30) ** 2 + (columns - 30) ** 2 <= 100) * (since > 0)[:, None, None]
    fallen = 10 ** (-0.3 * np.exp(-since / fades_days)[:, None, None] * scar).astype(np.float32)
    findings = detect_radar(cube * xr.DataArray(fallen, dims=("time", "y", "x")), HISTORY, MONITOR, AS_OF)
    assert (findings.detections.log_lr > 0).any() == is_pit


def test_a_pixel_alone_has_its_own_noise_and_no_surroundings() -> None:
    generator = np.random.default_rng(43)
    design = season(np.arange(80) * 12.0, 1)
    parameters = BaselineParameters(harmonics=1, smallest_noise=0.3)
    variances = []
    for _ in range(300):
        values = generator.normal(-7.0, 0.5, (80, 1, 1)).astype(np.float32)
        fitted = fit(values, design, parameters)
        alone = noise(values, design, np.zeros((80, 1), np.float32), fitted, parameters)
        variances.append(float(alone.whitening[0, 0, 0]) ** -2)
    assert np.mean(variances) == pytest.approx(0.5**2 + 0.3**2, rel=0.05)


def test_a_dozen_dates_of_a_pixel_alone_tell_half_of_how_long_its_noise_lingers() -> None:
    lagged = np.array([[6.0], [12.0]], np.float32)  # products of one date with the next, and squares
    told = lingering(lagged, np.array([12]), np.array([True]), BaselineParameters(neighbours_dates=12.0))
    np.testing.assert_allclose(told, 0.25)


def test_pixel_of_bolivia_is_found_from_radar_and_dated_within_three_dates(shared_data: Path):
    series = real_data.bayts("S1_VV_dB", shared_data)
    seen = [date for date in series.index if date >= pd.Timestamp("2016-01-01")]
    before = series[: seen[0] - pd.Timedelta(days=1)]
    assert not len(bayts_found(before))
    found_by = next(date for date in seen if len(bayts_found(series[:date])))
    assert seen.index(found_by) + 1 <= 3, "one pixel alone, among all in 100 km2, with three decibels"
    assert bayts_found(series[:found_by]).first_seen.iloc[0] == seen[0]


def bayts_found(series: pd.Series) -> pd.DataFrame:
    """Detections from the backscatter of one pixel so far."""
    return detect_radar(real_data.one_pixel(series, "vv"), "2014-10-01", "2015-10-01", series.index[-1]).detections
