"""Meter readings to daily profiles: against a plain pandas reading, and every fault the contract and meters know."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from illegalmining.errors import InputError
from illegalmining.power.readings import HOUR_COLUMNS, ReadingParameters, read_profiles
from illegalmining.tables import QUARANTINE

ZONE = "Asia/Shanghai"
FIRST, LAST = date(2025, 3, 1), date(2025, 3, 14)


def series(minutes: int, *, seed: int = 1, first: str = "2025-03-01", days: int = 14) -> pd.DataFrame:
    """One meter's readings with a daily course and noise, never zero."""
    times = pd.date_range(first, periods=days * 1440 // minutes, freq=f"{minutes}min")
    noise = np.random.default_rng(seed).uniform(0.8, 1.2, len(times))
    kwh = (200 + 80 * np.sin(2 * np.pi * times.hour / 24)) * noise * minutes / 60
    return pd.DataFrame({"meter_id": "A1", "time": times, "kwh": kwh.round(3)})


def read(folder: Path, *, zone: str = ZONE, meters: pd.DataFrame | None = None, pattern: str = "*", **kw: Any):
    """Profiles and the quarantine of all files in a folder."""
    quarantine: list[dict[str, Any]] = []
    first, last = kw.pop("first", FIRST), kw.pop("last", LAST)
    profiles = read_profiles(str(folder / pattern), zone, first, last, quarantine, meters, **kw)
    QUARANTINE.frame(quarantine)
    return profiles, quarantine


def hourly(profiles: pd.DataFrame) -> np.ndarray:
    return profiles[list(HOUR_COLUMNS)].to_numpy(float)


def expected_hours(readings: pd.DataFrame) -> np.ndarray:
    """Plain pandas: energy by local hour, (days, 24)."""
    sums = readings.groupby([readings["time"].dt.normalize(), readings["time"].dt.hour])["kwh"].sum().unstack()
    return sums.reindex(columns=range(24)).to_numpy()


@pytest.mark.parametrize("minutes", [5, 10, 15, 20, 30, 60])
def test_hours_agree_with_pandas(tmp_path: Path, minutes: int) -> None:
    readings = series(minutes)
    readings.sample(frac=1, random_state=0).to_parquet(tmp_path / "a.parquet")
    profiles, quarantine = read(tmp_path)
    np.testing.assert_allclose(hourly(profiles), expected_hours(readings), rtol=1e-5)
    np.testing.assert_allclose(profiles["total"], expected_hours(readings).sum(axis=1), rtol=1e-5)
    assert profiles["interval_min"].unique().tolist() == [minutes]
    assert quarantine == []


@pytest.mark.parametrize("minutes", [120, 180, 240, 360, 480, 720])
def test_long_intervals_keep_their_energy(tmp_path: Path, minutes: int) -> None:
    readings = series(minutes)
    readings.to_parquet(tmp_path / "a.parquet")
    profiles, _ = read(tmp_path)
    by_day = readings.groupby(readings["time"].dt.normalize())["kwh"].sum()
    np.testing.assert_allclose(profiles["total"], by_day, rtol=1e-5)
    first = hourly(profiles)[0]
    assert np.unique(first[: minutes // 60].round(3)).size == 1, "a reading lies evenly over the hours it covers"


def test_daily_readings_have_a_total_and_no_hours(tmp_path: Path) -> None:
    readings = series(1440)
    readings.to_parquet(tmp_path / "a.parquet")
    profiles, _ = read(tmp_path)
    np.testing.assert_allclose(profiles["total"], readings["kwh"], rtol=1e-5)
    assert np.isnan(hourly(profiles)).all()
    assert profiles["interval_min"].unique().tolist() == [1440]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%M:%S+08:00"])
def test_csv_times_in_the_forms_offices_write(tmp_path: Path, form: str) -> None:
    readings = series(60)
    text = readings.assign(time=readings["time"].dt.strftime(form))
    text.to_csv(tmp_path / "a.csv", index=False, encoding="utf-8-sig")
    profiles, quarantine = read(tmp_path)
    np.testing.assert_allclose(hourly(profiles), expected_hours(readings), rtol=1e-5)
    assert quarantine == []


def test_offsets_are_brought_to_the_districts_clock(tmp_path: Path) -> None:
    readings = series(60)
    aware = readings.assign(time=readings["time"].dt.tz_localize(ZONE).dt.tz_convert("UTC"))
    aware.to_parquet(tmp_path / "a.parquet")
    text = aware.assign(meter_id="B2", time=aware["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    text.to_csv(tmp_path / "b.csv", index=False)
    profiles, _ = read(tmp_path)
    for meter in ("A1", "B2"):
        np.testing.assert_allclose(hourly(profiles[profiles["meter_id"] == meter]), expected_hours(readings), rtol=1e-5)


@pytest.mark.parametrize("zone", ["Europe/Bucharest", "America/Santiago"])
@pytest.mark.parametrize("month", ["2025-03-25", "2025-10-20", "2025-04-01", "2025-09-01"])
def test_clock_changes_neither_make_nor_lose_load(tmp_path: Path, zone: str, month: str) -> None:
    """A constant load stays constant on days of 23 and 25 hours, whether times carry offsets or not."""
    times = pd.date_range(month, periods=14 * 24, freq="h", tz=zone)
    constant = pd.DataFrame({"meter_id": "A1", "time": times, "kwh": 100.0})
    constant.to_parquet(tmp_path / "aware.parquet")
    naive = constant.assign(meter_id="B2", time=times.tz_localize(None))
    naive.to_parquet(tmp_path / "naive.parquet")
    span = {"first": times[0].date(), "last": times[-2].date()}
    profiles, _ = read(tmp_path, zone=zone, **span)
    hours = hourly(profiles)
    np.testing.assert_allclose(hours[np.isfinite(hours)], 100.0, rtol=1e-5)
    assert np.isfinite(hours).mean() > 0.99


def test_repeated_clock_hour_without_offsets_is_no_contradiction(tmp_path: Path) -> None:
    times = pd.date_range("2025-10-20", periods=14 * 24, freq="h", tz="Europe/Bucharest")
    kwh = np.random.default_rng(2).uniform(90, 110, len(times))
    pd.DataFrame({"meter_id": "A1", "time": times.tz_localize(None), "kwh": kwh}).to_parquet(tmp_path / "a.parquet")
    profiles, quarantine = read(tmp_path, zone="Europe/Bucharest", first=date(2025, 10, 20), last=date(2025, 11, 1))
    assert quarantine == []
    assert np.isfinite(hourly(profiles)).all()


def test_duplicates_identical_and_contradicting(tmp_path: Path) -> None:
    readings = series(15)
    again = readings.iloc[96:192]
    lie = readings.iloc[[400, 401]].assign(kwh=9.0)
    readings.to_parquet(tmp_path / "a.parquet")
    pd.concat([again, lie]).to_parquet(tmp_path / "b.parquet")
    profiles, quarantine = read(tmp_path)
    truth = expected_hours(readings)
    hours = hourly(profiles)
    untouched = np.ones(truth.shape, dtype=bool)
    untouched[400 // 96, (400 % 96) // 4] = False
    np.testing.assert_allclose(hours[untouched], truth[untouched], rtol=1e-5)
    assert hours[~untouched] == pytest.approx(4 * readings["kwh"].iloc[[402, 403]].mean(), rel=1e-5)
    said = " | ".join(f"{row['value']} {row['why']}" for row in quarantine)
    assert "96 reading(s)" in said
    assert "4 reading(s)" in said
    assert "differing" in said


def test_gap_and_duplicate_in_one_hour_are_both_seen(tmp_path: Path) -> None:
    """As many readings as there should be, yet one is missing and one is there twice."""
    readings = series(15)
    broken = pd.concat([readings.drop(index=1), readings.iloc[[2]]])
    broken.to_parquet(tmp_path / "a.parquet")
    profiles, quarantine = read(tmp_path)
    kept = readings["kwh"].iloc[[0, 2, 3]].mean() * 4
    assert hourly(profiles)[0, 0] == pytest.approx(kept, rel=1e-5)
    assert len(quarantine) == 1


def test_resets_words_and_unknown_times_are_set_aside_once_a_fault(tmp_path: Path) -> None:
    readings = series(60).astype({"time": str, "kwh": object})
    readings.loc[[5, 6, 7], "kwh"] = -1234.5
    readings.loc[[50, 51], "kwh"] = "n/a"
    readings.loc[[99], "time"] = "yesterday"
    readings.astype(str).to_csv(tmp_path / "a.csv", index=False)
    profiles, quarantine = read(tmp_path)
    hours = hourly(profiles).reshape(-1)
    assert np.flatnonzero(np.isnan(hours)).tolist() == [5, 6, 7, 50, 51, 99]
    assert sorted((row["field"], row["value"].split()[0]) for row in quarantine) == [
        ("kwh", "2"),
        ("kwh", "3"),
        ("time", "1"),
    ]


def test_zeros_of_a_dead_register_are_unknown_and_of_a_closed_mine_are_zero(tmp_path: Path) -> None:
    alive = series(60)
    alive.loc[100:140, "kwh"] = 0.0
    closed = series(60).assign(meter_id="B2", kwh=0.0)
    closed.loc[100:105, "kwh"] = 300.0
    pd.concat([alive, closed]).to_parquet(tmp_path / "a.parquet")
    profiles, quarantine = read(tmp_path)
    first = hourly(profiles[profiles["meter_id"] == "A1"]).reshape(-1)
    assert np.flatnonzero(np.isnan(first)).tolist() == list(range(100, 141))
    second = hourly(profiles[profiles["meter_id"] == "B2"]).reshape(-1)
    assert np.isfinite(second).all()
    assert second[100:106] == pytest.approx(300.0)
    assert [row["why"].split(":")[0] for row in quarantine] == ["meter A1"]


def test_energy_of_a_gap_booked_at_once_is_no_peak(tmp_path: Path) -> None:
    readings = series(60)
    readings.loc[100, "kwh"] = readings.loc[80:100, "kwh"].sum()
    readings.drop(index=range(80, 100)).to_parquet(tmp_path / "a.parquet")
    profiles, _ = read(tmp_path)
    hours = hourly(profiles).reshape(-1)
    assert np.flatnonzero(np.isnan(hours)).tolist() == list(range(80, 101))


def test_load_beyond_the_transformer_is_a_fault_unless_it_is_the_rule(tmp_path: Path) -> None:
    readings = series(60)
    readings.loc[[10, 11], "kwh"] = 5000.0
    readings.to_parquet(tmp_path / "a.parquet")
    register = pd.DataFrame({"meter_id": ["A1"], "capacity_kva": [400.0]})
    hours = hourly(read(tmp_path, meters=register)[0]).reshape(-1)
    assert np.flatnonzero(np.isnan(hours)).tolist() == [10, 11]
    small = pd.DataFrame({"meter_id": ["A1"], "capacity_kva": [50.0]})
    assert np.isfinite(hourly(read(tmp_path, meters=small)[0])).all()


def test_bad_files_are_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    readings = series(60)
    readings.to_parquet(tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "footer.parquet").write_bytes(whole[:-20])
    middle = bytearray(whole)
    middle[len(whole) // 3 : len(whole) // 3 + 400] = bytes(400)
    (tmp_path / "middle.parquet").write_bytes(bytes(middle))
    readings.rename(columns={"kwh": "value"}).to_parquet(tmp_path / "names.parquet")
    (tmp_path / "notes.docx").write_text("not a table")
    (tmp_path / "empty.csv").write_text("")
    profiles, quarantine = read(tmp_path, root=tmp_path)
    np.testing.assert_allclose(hourly(profiles), expected_hours(readings), rtol=1e-5)
    assert {row["file"] for row in quarantine} == {
        "footer.parquet",
        "middle.parquet",
        "names.parquet",
        "notes.docx",
        "empty.csv",
    }


def test_nothing_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        read(tmp_path, pattern="*.parquet")
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(InputError, match="none of 1 file"):
        read(tmp_path, pattern="*.parquet")


def test_unknown_meters_are_left_out_and_said(tmp_path: Path) -> None:
    pd.concat([series(60), series(60).assign(meter_id="Z9")]).to_parquet(tmp_path / "a.parquet")
    register = pd.DataFrame({"meter_id": ["A1", "none"], "capacity_kva": [np.nan, np.nan]})
    profiles, quarantine = read(tmp_path, meters=register)
    assert profiles["meter_id"].astype(str).unique().tolist() == ["A1"]
    assert [row["value"] for row in quarantine] == ["Z9"]


def test_only_the_asked_days_are_read(tmp_path: Path) -> None:
    series(60, first="2025-02-01", days=60).to_parquet(tmp_path / "a.parquet")
    profiles, _ = read(tmp_path)
    assert profiles["day"].min() == pd.Timestamp(FIRST)
    assert profiles["day"].max() == pd.Timestamp(LAST)
    assert profiles["day"].dtype == "datetime64[ns]"


def test_no_wanted_meter_gives_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    series(60).to_parquet(tmp_path / "a.parquet")
    profiles, _ = read(tmp_path, meters=pd.DataFrame({"meter_id": ["other"], "capacity_kva": [np.nan]}))
    assert len(profiles) == 0
    assert [c for c in ("meter_id", "day", "h00", "h23", "total", "interval_min", "faults") if c in profiles] != []


def test_same_result_whatever_the_files_threads_and_chunks(tmp_path: Path) -> None:
    parts = [series(15, seed=k).assign(meter_id=f"M{k}") for k in range(7)]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    whole = pd.concat(parts)
    whole.to_parquet(tmp_path / "one" / "a.parquet")
    for k, (_, part) in enumerate(whole.groupby(whole["time"].dt.dayofyear % 5)):
        part.sample(frac=1, random_state=k).to_parquet(tmp_path / "many" / f"{k}.parquet")
    one, _ = read(tmp_path / "one", parameters=ReadingParameters(threads=1))
    many, _ = read(tmp_path / "many", parameters=ReadingParameters(threads=2, meters_at_once=2))
    pd.testing.assert_frame_equal(one, many)
