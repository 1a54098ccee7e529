"""Meters: files to profiles, and mines that work when they must rest, on planted loads and on a real meter."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import Point

import real_data
from illegalmining.detect.load import HOUR_COLUMNS, MeterTable, mine_load
from illegalmining.detect.power import detect_power
from illegalmining.errors import InputError
from illegalmining.power.readings import read_profiles

HISTORY, MONITOR, AS_OF = date(2025, 1, 1), date(2026, 1, 1), date(2026, 6, 30)
DAYS = pd.date_range(HISTORY, AS_OF, freq="D")
ALARM = 1.65  # nats from which the cases' base rate makes a probability of one half
CRS = "EPSG:32649"


def meters_table(*meter_ids: str, mine_ids: list[str] | None = None, capacity: float = 1000.0) -> pd.DataFrame:
    rows = {"meter_id": list(meter_ids), "mine_id": mine_ids or list(meter_ids), "category": "mine"}
    return pd.DataFrame(rows).assign(capacity_kva=capacity, lon=111.0, lat=37.0)


def read(path: Path, meters: pd.DataFrame, zone: str = "Asia/Shanghai") -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    quarantine: list[dict[str, Any]] = []
    return read_profiles(str(path), zone, HISTORY, AS_OF, quarantine, meters), quarantine


def readings(days: int = 3, minutes: int = 15, meter: str = "a", zone: str | None = None) -> pd.DataFrame:
    """One kWh an hour, spread over the interval."""
    times = pd.date_range("2026-03-01", periods=days * 1440 // minutes, freq=f"{minutes}min", tz=zone)
    return pd.DataFrame({"meter_id": meter, "time": times, "kwh": minutes / 60})


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_any_interval_gives_the_same_hours(tmp_path: Path, minutes: int) -> None:
    readings(minutes=minutes).to_parquet(tmp_path / "r.parquet")
    profiles, quarantine = read(tmp_path / "*.parquet", meters_table("a"))
    assert len(profiles) == 3
    assert quarantine == []
    np.testing.assert_allclose(profiles[HOUR_COLUMNS], 1.0, rtol=1e-5)
    np.testing.assert_allclose(profiles["total"], 24.0, rtol=1e-5)


def test_daily_readings_have_a_total_only(tmp_path: Path) -> None:
    readings(days=20, minutes=1440).to_csv(tmp_path / "r.csv", index=False)
    profiles, _ = read(tmp_path / "r.csv", meters_table("a"))
    np.testing.assert_allclose(profiles["total"], 24.0, rtol=1e-5)
    assert profiles[HOUR_COLUMNS].isna().all(axis=None)


@pytest.mark.parametrize("text", [False, True])
def test_times_with_an_offset_become_local_days(tmp_path: Path, text: bool) -> None:
    """20:00 UTC is 04:00 of the next morning in Shanghai."""
    frame = readings(days=4, minutes=60, zone="UTC")
    frame.loc[frame["time"] == pd.Timestamp("2026-03-01T20:00Z"), "kwh"] = 3.0
    if text:
        frame["time"] = [f"{time:%Y-%m-%dT%H:%M:%S}+00:00" for time in frame["time"]]
        frame.to_csv(tmp_path / "r.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "r.parquet")
    profiles, _ = read(tmp_path / "r.*", meters_table("a"))
    hours = profiles.set_index("day")[HOUR_COLUMNS].stack()
    assert hours[hours > 2].index.tolist() == [(pd.Timestamp("2026-03-02"), "h04")]


def test_faulty_readings_are_set_aside_and_said(tmp_path: Path) -> None:
    frame = readings(minutes=60)
    conflicting = frame.iloc[[12]].assign(kwh=0.5)
    frame = pd.concat([frame, frame.iloc[:4], conflicting], ignore_index=True)
    frame.loc[30, "kwh"] = -1.0
    frame.loc[31, "kwh"] = np.inf
    strange = readings(meter="stranger", minutes=60)
    pd.concat([frame, strange]).to_parquet(tmp_path / "r.parquet")
    profiles, quarantine = read(tmp_path / "r.parquet", meters_table("a"))
    assert set(profiles["meter_id"]) == {"a"}
    hours = profiles.set_index("day")[HOUR_COLUMNS]
    assert hours.iloc[0, :12].tolist() == [1.0] * 12
    assert np.isnan(hours.iloc[0, 12])
    assert hours.iloc[1, [6, 7]].isna().all()
    np.testing.assert_allclose(profiles["total"], 24.0, rtol=1e-5)
    whys = " ".join(row["why"] for row in quarantine)
    for part in ("same value", "differing values", "reset register", "a gap", "register them"):
        assert part in whys


def test_a_gap_is_unknown_and_no_zero(tmp_path: Path) -> None:
    frame = readings(minutes=15)
    frame[~frame["time"].between("2026-03-02 03:00", "2026-03-02 12:59")].to_parquet(tmp_path / "r.parquet")
    profiles, _ = read(tmp_path / "r.parquet", meters_table("a"))
    second = profiles[profiles["day"] == "2026-03-02"].iloc[0]
    assert np.isnan(second[HOUR_COLUMNS[3:13]].to_numpy(float)).all()
    assert np.isnan(second["total"]), "ten unknown hours leave no total"


@pytest.mark.parametrize("hours", [1, 2])
def test_a_gap_too_short_for_a_dead_register_is_unknown_and_no_zero(tmp_path: Path, hours: int) -> None:
    """Three zeros in a row are a dead register and would be unknown anyway; one or two would be load of nothing."""
    frame = readings(minutes=15)
    end = f"2026-03-02 0{2 + hours}:59"
    frame[~frame["time"].between("2026-03-02 03:00", end)].to_parquet(tmp_path / "r.parquet")
    profiles, _ = read(tmp_path / "r.parquet", meters_table("a"))
    second = profiles[profiles["day"] == "2026-03-02"].iloc[0]
    unknown = np.isnan(second[HOUR_COLUMNS].to_numpy(float))
    assert np.flatnonzero(unknown).tolist() == list(range(3, 3 + hours))
    assert second["total"] == pytest.approx(24.0), "the day's mean stands for the gap"
    assert second["faults"] == "gap"


def test_a_broken_file_leaves_the_others(tmp_path: Path) -> None:
    readings().to_parquet(tmp_path / "good.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing of the kind")
    readings().rename(columns={"kwh": "energy"}).to_parquet(tmp_path / "odd.parquet")
    profiles, quarantine = read(tmp_path / "*.parquet", meters_table("a"))
    assert len(profiles) == 3
    assert len(quarantine) == 2
    assert {row["field"] for row in quarantine} == {None, "kwh"}


def test_no_usable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        read(tmp_path / "*.parquet", meters_table("a"))
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="can be used"):
        read(tmp_path / "*.parquet", meters_table("a"))


def test_swapped_meters_follow_each_other() -> None:
    """Until 2025-06-30 one meter, then another: the mine's load goes on; a hole inside a meter's life is unknown."""
    flat = np.full((len(DAYS), 24), 10.0)
    frame = profile("old", flat)
    old, new = frame[frame["day"] < "2025-07-01"], frame[frame["day"] >= "2025-07-01"].assign(meter_id="new")
    new = new[new["day"] != "2025-09-09"]
    load = mine_load(MeterTable(pd.concat([new, old]), DAYS[-1]), ["new", "old"])
    assert load is not None
    known = pd.Series(load.mean_kw, load.days)
    assert known.isna().sum() == 1
    np.testing.assert_allclose(known.dropna(), 10.0)


def test_a_day_that_one_of_two_meters_misses_is_unknown_and_not_half() -> None:
    one, other = profile("one", np.full((len(DAYS), 24), 10.0)), profile("other", np.full((len(DAYS), 24), 5.0))
    other = other[other["day"] != "2025-09-09"]
    load = mine_load(MeterTable(pd.concat([one, other]), DAYS[-1]), ["one", "other"])
    assert load is not None
    known = pd.Series(load.mean_kw, load.days)
    assert list(known.index[known.isna()]) == [pd.Timestamp("2025-09-09")]
    np.testing.assert_allclose(known.dropna(), 15.0)


def test_days_of_zeros_say_nothing_unless_most_days_are_zero() -> None:
    """A cut or a dead register at a mine that always draws something; the rest of a mine that is dark."""
    load = np.full((len(DAYS), 24), 10.0)
    load[100:103] = 0.0
    cut = mine_load(MeterTable(profile("one", load), DAYS[-1]), ["one"])
    assert cut is not None
    assert np.flatnonzero(np.isnan(cut.mean_kw)).tolist() == [100, 101, 102]
    assert np.isnan(cut.hours[100:103]).all()
    dark = np.zeros_like(load)
    dark[100:103] = 10.0
    shut = mine_load(MeterTable(profile("one", dark), DAYS[-1]), ["one"])
    assert shut is not None
    assert np.isfinite(shut.mean_kw).all()
    assert shut.mean_kw.sum() == pytest.approx(30.0)


def profile(meter: str, hours: np.ndarray) -> pd.DataFrame:
    """A profile table from hourly energy, (D, 24)."""
    frame = pd.DataFrame(hours, columns=HOUR_COLUMNS)
    frame.insert(0, "meter_id", meter)
    frame.insert(1, "day", DAYS)
    frame["total"] = hours.sum(axis=1)
    return frame


def resting(rng: np.random.Generator, rest_kw: float) -> np.ndarray:
    """A shut mine: season, rain that decays, a weekly service, a night tariff for half of the mines."""
    count = len(DAYS)
    season = 1 + 0.06 * np.sin(2 * np.pi * np.arange(count) / 365 + rng.uniform(0, 6))
    rain = np.zeros(count)
    for day in range(1, count):
        rain[day] = 0.7 * rain[day - 1] + (rng.exponential(0.15) if rng.random() < 0.12 else 0.0)
    load = rest_kw * (season + np.minimum(rain, 0.6))[:, None] * np.ones(24)
    if rng.random() < 0.5:
        shift = rng.uniform(0.2, 0.4) * load[:, :1]
        load[:, :6] += 3 * shift
        load[:, 6:] -= shift
    service = int(rng.integers(7))
    load[service::7, 9:13] += rng.uniform(0.3, 0.7) * rest_kw
    load *= 1 + 0.05 * rng.standard_t(5, size=load.shape)
    return np.maximum(load, 0.02 * rest_kw)


def working(rng: np.random.Generator, step_kw: float) -> np.ndarray:
    """Work of two shifts on six days a week, none for two weeks of the Spring Festival."""
    level = step_kw * rng.uniform(0.75, 1.1, len(DAYS))
    level[DAYS.dayofweek == 6] = 0.0
    level[((DAYS.month == 2) & (DAYS.day < 15))] = 0.0
    load = np.zeros((len(DAYS), 24))
    load[:, 6:22] = level[:, None] * rng.uniform(0.85, 1.15, (len(DAYS), 16))
    return load


def judge(
    loads: dict[str, np.ndarray],
    order: dict[str, str],
    tonnes: dict[str, float] | None = None,
    safety: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Detections over mines with these loads; order: mine -> first day of its suspension."""
    names = list(loads)
    mines = gpd.GeoDataFrame({"mine_id": names}, geometry=[Point(i, 0) for i in range(len(names))], crs=CRS)
    mines["capacity_t"] = np.nan
    mines["safety_load_kw"] = [(safety or {}).get(name, np.nan) for name in names]
    rows = [(mine, None, "suspended", pd.Timestamp(first), pd.NaT) for mine, first in order.items()]
    status = pd.DataFrame(rows, columns=["mine_id", "shaft_id", "status", "from", "to"])
    months = [f"{month:%Y-%m}" for month in pd.date_range(HISTORY, AS_OF, freq="MS")]
    declared = [(mine, month, amount) for mine, amount in (tonnes or {}).items() for month in months]
    production = pd.DataFrame(declared, columns=["mine_id", "month", "tonnes"]) if tonnes else None
    profiles = pd.concat([profile(name, load) for name, load in loads.items()], ignore_index=True)
    found = detect_power(profiles, meters_table(*names), mines, status, production, MONITOR, AS_OF).detections
    found["question"] = [json.loads(text)["question"] for text in found["attributes"]]
    return found


def shut_mines(seed: int, fraction: float, nights: int = 0, registered: bool = True) -> float:
    """Share of ten shut mines with an alarm; work by night at a share of full load."""
    rng = np.random.default_rng(seed)
    loads, order, safety = {}, {}, {}
    for k in range(10):
        rest = float(np.exp(rng.normal(np.log(400), 0.4)))
        step = rest * rng.uniform(1.5, 3.0)
        load, work = resting(rng, rest), working(rng, step)
        stop = int(rng.integers(250, 340))
        load[:stop] += work[:stop]
        begin = 365 + int(rng.integers(20, 90))
        chosen = np.sort(rng.choice(np.arange(begin, begin + 2 * max(nights, 1)), nights, replace=False))
        load[chosen, 22:] += fraction * step
        load[chosen + 1, :6] += fraction * step
        load[int(rng.integers(len(DAYS) - 10)) :][:4] = np.nan
        loads[f"m{k}"], order[f"m{k}"] = load, f"{DAYS[stop]:%Y-%m-%d}"
        if registered:
            safety[f"m{k}"] = rest * float(np.exp(rng.normal(0, 0.15)))
    found = judge(loads, order, safety=safety)
    alarms = found[(found["question"] == "worked_while_forbidden") & (found["log_lr"] > ALARM)]
    return len(alarms) / 10


def test_quiet_shut_mines_raise_few_alarms() -> None:
    """Rain, night tariffs, services, gaps: 60 mines that only rest, half of them without a registered safety load."""
    rates = [shut_mines(seed, 0.0, registered=seed % 2 == 0) for seed in range(1000, 1006)]
    assert np.mean(rates) <= 0.02


def test_work_by_night_in_shut_mines_is_found() -> None:
    """Half of full load on 30 of 60 nights, full load on 12 of 24, and 15 % of it on 10 of 20."""
    assert np.mean([shut_mines(seed, 0.5, 30) for seed in range(2000, 2002)]) >= 0.9
    assert np.mean([shut_mines(seed, 1.0, 12) for seed in range(2100, 2102)]) >= 0.9
    assert np.mean([shut_mines(seed, 0.15, 10) for seed in range(2200, 2203)]) >= 0.85


def test_paper_output_and_honest_output_are_told_apart() -> None:
    """Eight honest mines at 14 to 26 kWh a tonne, two that rest and declare as much."""
    wrong = hit = 0
    for seed in range(3000, 3006):
        rng = np.random.default_rng(seed)
        loads, tonnes, safety = {}, {}, {}
        for k in range(10):
            rest = float(np.exp(rng.normal(np.log(400), 0.3)))
            work = working(rng, 2 * rest)
            loads[f"m{k}"] = resting(rng, rest) + (work if k < 8 else 0.0)
            tonnes[f"m{k}"] = float(work.sum() / len(DAYS) * 30 / rng.uniform(14, 26))
            safety[f"m{k}"] = rest
        found = judge(loads, {}, tonnes, safety).set_index("mine_id")
        said = found["log_lr"].where(found["question"] == "declared_but_idle", 0.0)
        hit += int((said.reindex(["m8", "m9"]).fillna(0.0) > ALARM).sum())
        wrong += int((said.reindex([f"m{k}" for k in range(8)]).fillna(0.0) > ALARM).sum())
    assert hit >= 11, f"{hit} of 12 found"
    assert wrong <= 2, f"{wrong} of 48 accused"


@pytest.mark.parametrize(
    ("first", "end", "worked"), [("2018-02-14", "2018-02-19", False), ("2018-03-05", "2018-04-02", True)]
)
def test_real_meter_against_an_order(shared_data: Path, first: str, end: str, worked: bool) -> None:
    """The plant stood still on the first days and worked through the second."""
    profiles = real_data.steel_profiles(meters_table("m", capacity=np.nan), shared_data)
    mines = gpd.GeoDataFrame({"mine_id": ["m"]}, geometry=[Point(0, 0)], crs=CRS)
    status = pd.DataFrame(
        {
            "mine_id": "m",
            "shaft_id": None,
            "status": ["suspended"],
            "from": pd.Timestamp(first),
            "to": pd.Timestamp(end),
        }
    )
    found = detect_power(
        profiles, meters_table("m"), mines, status, None, date(2018, 2, 1), date(2018, 6, 30)
    ).detections
    assert (found["log_lr"] > ALARM).tolist() == ([True] if worked else [])


def test_without_a_register_of_mines_nothing_is_judged() -> None:
    flat = profile("a", np.ones((len(DAYS), 24)))
    findings = detect_power(flat, meters_table("a"), None, None, None, MONITOR, AS_OF)
    assert len(findings.detections) == 0
    assert findings.remarks[0].key == "meters_without_mines"
