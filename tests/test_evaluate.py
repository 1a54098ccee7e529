"""The accuracy report: baselines find what is plain to see, limits are chosen by score, figures are counted rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401
import pandas as pd
import pytest
import xarray as xr
from shapely.geometry import Point, box

import accuracy_tasks
from accuracy_baselines import LIMITS, Days, days_above, every_limit, fallen, ndvi_fall, sinking, subsidence_rate
from accuracy_page import OFFENDING, REAL, Run, Seeds, Size, page
from accuracy_real import MEASURED, nothing
from accuracy_report import chosen_limits, main_table, probabilities, rows_at, share, taught_elsewhere
from accuracy_tasks import Task, code_digest, meaning, result
from evaluate import tasks

CRS = "EPSG:32649"
DAYS = Days(pd.Timestamp("2024-01-01"), pd.Timestamp("2025-01-01"), pd.Timestamp("2025-12-31"))


def gridded(values: np.ndarray, dates: pd.DatetimeIndex, name: str, pixel: float) -> xr.Dataset:
    """A cube of one band, north up."""
    y = 4_000_000.0 - pixel * (np.arange(values.shape[1]) + 0.5)
    x = 500_000.0 + pixel * (np.arange(values.shape[2]) + 0.5)
    cube = xr.Dataset({name: (("time", "y", "x"), values)}, {"time": dates, "y": y, "x": x})
    return cube.rio.write_crs(CRS)


def green(dug: slice, since: str) -> xr.Dataset:
    """A meadow of NDVI 0.7 in which a patch is laid bare."""
    dates = pd.date_range("2024-01-01", "2025-12-31", freq="10D")
    values = np.full((len(dates), 40, 40), 0.7, np.float32)
    values[np.ix_(dates >= since, np.arange(40)[dug], np.arange(40)[dug])] = 0.15
    return gridded(values, dates, "ndvi", 10.0)


def test_ndvi_difference_outlines_and_dates_a_pit() -> None:
    cube = green(slice(10, 16), "2025-05-20")
    fall, months = ndvi_fall(cube, DAYS)
    found = fallen(cube, fall, months, (0.3, 0.1, 3), DAYS, CRS)
    assert len(found) == 1
    assert found.area_m2.iloc[0] == 3600
    assert found.first_seen.iloc[0] == pd.Timestamp("2025-05-01") or found.first_seen.iloc[0].month == 6
    assert not len(fallen(cube, fall, months, (0.6, 0.1, 3), DAYS, CRS))
    assert not len(fallen(cube, fall, months, (0.3, 0.5, 3), DAYS, CRS))


def test_ndvi_difference_forgets_what_grows_again() -> None:
    cube = green(slice(10, 16), "2025-05-20")
    cube["ndvi"] = cube["ndvi"].where(cube.time < np.datetime64("2025-09-01"), 0.7)
    fall, months = ndvi_fall(cube, DAYS)
    assert not len(fallen(cube, fall, months, (0.3, 0.1, 3), DAYS, CRS))


def sinking_ground(mm_a_year: float) -> xr.Dataset:
    """Ground seen from straight above, of which a part sinks in the second year and the air moves all alike."""
    dates = pd.date_range("2024-01-01", "2025-12-31", freq="12D")
    years = np.clip((dates - pd.Timestamp("2025-01-01")).days / 365.25, 0, None)
    values = np.zeros((len(dates), 30, 30)) + np.random.default_rng(1).normal(0, 0.01, len(dates))[:, None, None]
    values[:, 10:14, 10:14] -= (mm_a_year / 1000 * years.to_numpy())[:, None, None]
    cube = gridded(values, dates, "displacement", 30.0)
    cube.attrs["incidence_angle"] = 0.0
    return cube


def test_the_rate_of_a_bowl_is_what_was_planted_and_declared_faces_are_left_out() -> None:
    cube = sinking_ground(90.0)
    rate, down = subsidence_rate(cube, DAYS)
    assert rate[12, 12] * 1000 == pytest.approx(90, rel=0.03)
    assert abs(rate[25, 25]) * 1000 < 1
    assert len(sinking(cube, rate, down, (60.0, 1.0), nothing(), DAYS, CRS)) == 1
    assert not len(sinking(cube, rate, down, (120.0, 1.0), nothing(), DAYS, CRS))
    bowl = gpd.GeoSeries([box(500_290, 3_999_560, 500_430, 3_999_710)], crs=CRS)
    faces = gpd.GeoDataFrame({"depth_m": [200.0]}, geometry=bowl, crs=CRS)
    assert not len(sinking(cube, rate, down, (60.0, 1.0), nothing(working_faces=faces), DAYS, CRS))


def test_three_sigma_counts_the_days_above_a_mines_own_rest() -> None:
    days = pd.date_range("2024-11-01", "2025-06-30")
    load = pd.Series(100.0 + np.random.default_rng(2).normal(0, 2.0, len(days)), index=days)
    load["2025-03-01":"2025-03-10"] += 30
    found = days_above(load, 4.0, pd.Timestamp("2025-01-01"))
    assert found[0] == pd.Timestamp("2025-03-01")
    assert len(found) == 10


def test_a_shut_mine_at_work_is_told_and_one_that_may_work_is_not() -> None:
    days = pd.date_range(DAYS.history_from, DAYS.as_of)
    load = np.where((days >= "2025-04-01"), 150.0, 100.0) + np.random.default_rng(3).normal(0, 2, len(days))
    profiles = pd.DataFrame({"meter_id": "m", "quantity": "power", "day": days, "total": load})
    mines = gpd.GeoDataFrame({"mine_id": ["M"]}, geometry=[Point(0, 0)], crs=CRS)
    meters = pd.DataFrame({"meter_id": ["m"], "mine_id": ["M"]})
    row = {"mine_id": "M", "shaft_id": None, "status": "suspended", "from": pd.Timestamp("2024-06-01"), "to": pd.NaT}
    status = pd.DataFrame([row]).astype({"to": "datetime64[ns]"})
    for table, told in ((status, 1), (status.assign(status="producing"), 0)):
        given = nothing(mines=mines, meters=meters, mine_status=table)
        found = dict(every_limit("k-sigma power", profiles, given, DAYS, CRS))
        assert len(found[(4.0, 10)]) == told


def district(climate: str, whole: list[tuple[float, str | None]], at_limits: dict[Any, int]) -> dict[str, Any]:
    """A made-up result: the whole's cases as (probability, site), and how many alarms each baseline's limit raises, of
    which the first is the site."""
    sites = [{"site_id": "S1", "kind": "unlicensed"}, {"site_id": "S2", "kind": "hidden_working_face"}]

    def row(probability: float, site: str | None) -> dict[str, Any]:
        kind = next((one["kind"] for one in sites if one["site_id"] == site), "unlicensed")
        odds = float(np.log(probability / (1 - probability)))
        seen = json.dumps([{"detector": "surface", "log_lr": odds, "weight": 1.0}])
        told = {"probability": probability, "site_id": site, "kind": kind, "late_days": 7 if site else None}
        return told | {"terms": seen, "against": 1.0}

    def raised(limit: Any) -> list[dict[str, Any]]:
        return [row(0.9, "S1" if k == 0 else None) for k in range(at_limits.get(limit, 3))]

    return {
        "climate": climate,
        "seed": 1,
        "km2": 50.0,
        "years": 1.0,
        "simulate_s": 1.0,
        "run_s": 1.0,
        "sites": sites,
        "whole": [row(*one) for one in whole],
        "alone": {"surface alone": [row(0.9, "S1")]},
        "baselines": {name: [{"limit": list(one), "rows": raised(one)} for one in LIMITS[name]] for name in LIMITS},
    }


def test_limits_are_those_of_the_best_score_and_not_of_the_first() -> None:
    best = {name: limits[-2] for name, limits in LIMITS.items()}
    training = [district("plateau", [], dict.fromkeys(best.values(), 1))]
    assert chosen_limits(training) == best
    assert len(rows_at(training[0], "k-sigma power", best["k-sigma power"])) == 1


def test_the_table_counts_sites_once_and_false_cases_by_area_and_time() -> None:
    told = [(0.9, "S1"), (0.8, None), (0.4, "S2"), (0.3, None)]
    districts = [district("plateau", told, {}), district("humid", [(0.9, "S1"), (0.9, "S2")], {})]
    limits = {name: limits[0] for name, limits in LIMITS.items()}
    line = next(line for line in main_table(districts, limits).splitlines() if "the whole" in line)
    assert "3 of 4 = 75%" in line  # S2 of the first district is below one half
    assert "3 of 4 = 75%" in line.split("|")[3]  # of four alarms three are sites
    assert line.split("|")[4].strip().startswith("1.0 (")  # one false in 100 km2 and a year
    assert line.split("|")[5].strip() == "7 (7–7)"
    alone = next(line for line in main_table(districts, limits).splitlines() if "surface alone" in line)
    assert "2 of 2" in alone.split("|")[2], "a face is nothing that images can find"


def test_outcomes_of_one_half_of_the_districts_teach_what_is_told_of_the_other() -> None:
    sure = [(0.9, "S1")] * 3 + [(0.9, None)] * 7
    districts = [district("plateau", sure, {}) for _ in range(10)]
    taught = taught_elsewhere(districts)
    assert taught is not None
    assert all(0.2 < p < 0.5 for one in taught for p in one), "three in ten are sites"
    here, there = districts[::2], [district("plateau", [(0.9, "S1")] * 10, {}) for _ in range(5)]
    mixed = [one for pair in zip(here, there, strict=True) for one in pair]
    told = taught_elsewhere(mixed)
    assert told is not None
    assert min(told[0]) > 0.9, "learned where every case was a site"
    assert told[1] == taught[1], "what is told of a district rests on the other half alone"
    assert taught_elsewhere(districts[:4]) is None, "too few to visit fifty"


def test_the_first_n_are_as_many_as_the_sites() -> None:
    districts = [district("plateau", [(0.9, "S1"), (0.8, None), (0.7, "S2"), (0.6, None)], {}) for _ in range(3)]
    line = next(line for line in probabilities(districts).splitlines() if "nothing learned" in line)
    assert "3 of 6 = 50%" in line


def test_shares_have_jeffreys_intervals() -> None:
    """Brown, Cai and DasGupta 2001: the middle 90 % of the beta distribution of x + 1/2 and n - x + 1/2."""
    drawn = np.random.default_rng(1).beta(9.5, 1.5, 400_000)
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert share(9, 10) == f"9 of 10 = 90% ({100 * low:.0f}–{high:.0%})"


def test_the_page_says_what_was_run_and_with_which_seeds() -> None:
    size = Size(districts=1, quiet=0, training=1, grounds=0, movements=0, mines=0, quiet_mines=0)
    done = {}
    for task in tasks(size):
        done[task] = {"seconds": 60.0, "value": district(task.arguments[0], [(0.9, "S1")], {})}
    told = page(Run(["--districts", "1", "--peer", "/home/someone/bin/python"], 2, 1.0, done))
    assert "`python benchmarks/evaluate.py --districts 1 --peer python`" in told
    assert "/home/someone" not in told
    assert f"{len(OFFENDING)} districts, {50 * len(OFFENDING)} km²" in told
    assert f"district: {', '.join(f'{climate} {Seeds().districts}' for climate in sorted(OFFENDING))}" in told
    assert "**not installed**" in told


def test_seeds_of_training_and_test_are_apart() -> None:
    size = Size(districts=20, training=20)
    used = {what: {task.arguments for task in tasks(size) if task.what == what} for what in ("district", "training")}
    assert not used["district"] & used["training"]


def test_every_real_measurement_has_a_place_on_the_page() -> None:
    assert set(REAL) == set(MEASURED)


def test_a_killed_run_goes_on_and_changed_code_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def work(number: int) -> dict[str, int]:
        calls.append(number)
        return {"number": number}

    monkeypatch.setattr(accuracy_tasks, "CACHE", tmp_path)
    monkeypatch.setitem(accuracy_tasks.WORK, "made up", (work, ("accuracy_report",)))
    first, second = Task("made up", (1,)), Task("made up", (2,))
    assert result(first)["value"] == {"number": 1}
    assert result(first)["value"] == {"number": 1}
    assert result(second)["value"] == {"number": 2}
    assert calls == [1, 2]
    monkeypatch.setitem(accuracy_tasks._digests, ("accuracy_report",), "other code")
    result(first)
    assert calls == [1, 2, 1]
    assert len(list(tmp_path.iterdir())) == 3
    assert all(json.loads(path.read_text())["value"] for path in tmp_path.iterdir())


def test_a_comment_is_no_change_of_code_and_a_number_is(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text('"""Says."""\nA = 1  # one\n')
    before = meaning(path)
    path.write_text('"""Says more."""\n\nA = 1\n')
    assert meaning(path) == before
    path.write_text('"""Says."""\nA = 2\n')
    assert meaning(path) != before
    assert code_digest(("accuracy_report",)) != code_digest(("accuracy_page",))
