"""Meter readings, outcomes and `district.toml` that are broken: said, and what is good goes on."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bad_input import (
    MIB,
    Said,
    assert_clear,
    bounded,
    check,
    command,
    flipped,
    registers_of,
    sparse,
    write_district,
)
from illegalmining.district import read_district
from illegalmining.errors import ConfigurationError
from illegalmining.power.readings import read_profiles

Row = dict[str, Any]


def readings(meters: tuple[str, ...] = ("E1", "E2", "E3", "E4"), minutes: int = 15, days: int = 20) -> pd.DataFrame:
    """Quarter-hourly energy of meters that draw about 400 kW."""
    times = pd.date_range("2026-05-01", periods=days * 1440 // minutes, freq=f"{minutes}min")
    kwh = (400 + 60 * np.sin(2 * np.pi * times.hour / 24)) * minutes / 60
    frames = [pd.DataFrame({"meter_id": meter, "time": times, "kwh": kwh.to_numpy() + 0.1}) for meter in meters]
    return pd.concat(frames, ignore_index=True)


def powered(folder: Path, capacity: float = 630.0, zone: str = "Asia/Shanghai") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"E{n},mine,{capacity},111.00{n},37.04" for n in range(1, 5)]
    (folder / "meters.csv").write_text("\n".join(["meter_id,category,capacity_kva,lon,lat", *rows]) + "\n")
    (folder / "power").mkdir(exist_ok=True)
    return write_district(folder, f'[power]\nreadings = "power/*"\ntimezone = "{zone}"\n', meters="meters.csv")


def profiles_of(path: Path) -> tuple[pd.DataFrame, list[Row]]:
    district, rows = read_district(path), []
    section, power = district.configuration.district, district.configuration.power
    assert power is not None
    return (
        read_profiles(
            district.pattern(power.readings),
            power.timezone,
            section.history_from,
            section.as_of,
            rows,
            registers_of(path).meters,
            root=district.root,
        ),
        rows,
    )


def write(frame: pd.DataFrame, folder: Path, kind: str, name: str = "r") -> Path:
    file = folder / "power" / f"{name}.{kind}"
    frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    return file


FILES: dict[str, Any] = {
    "empty": lambda c: b"",
    "half": lambda c: c[: len(c) // 2],
    "noise": lambda c: np.random.default_rng(0).bytes(5000),
    "error page": lambda c: b"<!DOCTYPE html><html><body>404</body></html>\n",
    "zeros": lambda c: bytes(5000),
    "flipped": lambda c: flipped(c, 2, 400),
}


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz"])
@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_said_and_the_others_are_read(name: str, kind: str, tmp_path: Path) -> None:
    path = powered(tmp_path)
    write(readings(("E1", "E2")), tmp_path, "parquet", "good")
    file = write(readings(("E3", "E4")), tmp_path, kind, "bad")
    file.write_bytes(FILES[name](file.read_bytes()))
    said = check(path)
    assert_clear(said)
    if name not in ("half", "flipped"):  # whole rows before a cut are good, and what a flip makes may be a number
        assert said.code == 3
        assert said.of(f"power/{file.name}")
    profiles, _ = profiles_of(path)
    assert {"E1", "E2"} <= set(profiles["meter_id"])
    good = profiles[profiles["meter_id"] == "E1"]
    assert len(good) == 20
    assert good["total"].to_numpy() == pytest.approx(24 * 400 + 96 * 0.1, rel=0.01)


LINES: list[tuple[str, str, str]] = [
    ("not a number", "E1,2026-05-03 04:00:00,lots", "kwh"),
    ("NaN", "E1,2026-05-03 04:00:00,nan", "kwh"),
    ("infinite", "E1,2026-05-03 04:00:00,inf", "kwh"),
    ("overflowing", "E1,2026-05-03 04:00:00,1e999", "kwh"),
    ("negative", "E1,2026-05-03 04:00:00,-40", "kwh"),
    ("empty", "E1,2026-05-03 04:00:00,", "kwh"),
    ("no time", "E1,,100", "time"),
    ("no such day", "E1,2026-02-30 04:00:00,100", "time"),
    ("no such hour", "E1,2026-05-03 25:00:00,100", "time"),
    ("words", "E1,yesterday,100", "time"),
    ("twice", "E1,2026-05-03 04:15:00,999", "time"),
    ("strange meter", "ZZ,2026-05-03 04:00:00,100", "meter_id"),
]


@pytest.mark.parametrize(("line", "field"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_a_bad_reading_is_said_and_costs_its_hour(line: str, field: str, tmp_path: Path) -> None:
    path = powered(tmp_path)
    good = readings()
    gap = (good["meter_id"] == "E1") & (good["time"] == pd.Timestamp("2026-05-03 04:00"))
    file = write(good[~gap], tmp_path, "csv")
    file.write_text(file.read_text() + line + "\n")
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert [(row["file"], row["field"]) for row in said.rows] == [("power/r.csv", field)]
    profiles, _ = profiles_of(path)
    assert len(profiles) == 80
    assert profiles["total"].to_numpy() == pytest.approx(24 * 400 + 96 * 0.1, rel=0.01)


def test_readings_of_the_future_and_of_long_ago_are_not_looked_at(tmp_path: Path) -> None:
    path = powered(tmp_path)
    file = write(readings(), tmp_path, "csv")
    file.write_text(file.read_text() + "E1,2031-01-01 00:00:00,9\nE1,0001-01-01 00:00:00,9\nE1,9999-12-31 00:00:00,9\n")
    said = check(path)
    assert_clear(said)
    assert len(profiles_of(path)[0]) == 80


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_kilowatts_for_kilowatt_hours_are_seen_said_and_put_right(minutes: int, tmp_path: Path) -> None:
    """The same load, written as energy and as power, gives the same profiles; the second is said."""
    energy, power = readings(minutes=minutes), readings(minutes=minutes)
    power["kwh"] *= 60 / minutes
    write(energy, tmp_path / "a" if powered(tmp_path / "a") else tmp_path, "parquet")
    write(power, tmp_path / "b" if powered(tmp_path / "b", 250.0 if minutes == 30 else 630.0) else tmp_path, "parquet")
    first, silent = profiles_of(tmp_path / "a" / "district.toml")
    said = check(tmp_path / "b" / "district.toml")
    assert_clear(said)
    if minutes == 30:  # 800 kW at 250 kVA, and 400 kW too: the capacity is wrong, not the unit
        assert not [row for row in said.rows if row["rule"] == "energy in kWh"]
        return
    assert silent == []
    assert [(row["file"], row["field"], row["rule"]) for row in said.rows] == [
        ("power/r.parquet", "kwh", "energy in kWh")
    ]
    second, _ = profiles_of(tmp_path / "b" / "district.toml")
    np.testing.assert_allclose(second["total"], first["total"], rtol=1e-5)
    np.testing.assert_allclose(second["h04"], first["h04"], rtol=1e-5)


def test_one_meter_beyond_its_transformer_is_no_wrong_unit(tmp_path: Path) -> None:
    path = powered(tmp_path)
    frame = readings()
    frame.loc[frame["meter_id"] == "E1", "kwh"] *= 4
    write(frame, tmp_path, "parquet")
    assert not [row for row in check(path).rows if row["rule"] == "energy in kWh"]


@pytest.mark.parametrize("zone", ["Europe/Bucharest", "America/New_York", "Asia/Kathmandu", "UTC"])
def test_the_same_instants_with_offsets_are_the_same_hours(zone: str, tmp_path: Path) -> None:
    path = powered(tmp_path, zone=zone)
    frame = readings()
    frame["time"] = frame["time"].dt.tz_localize("UTC").map(lambda t: t.isoformat())
    write(frame, tmp_path, "csv")
    said = check(path)
    assert_clear(said)
    assert said.rows == []
    profiles, _ = profiles_of(path)
    local = pd.Timestamp("2026-05-10 12:00", tz="UTC").tz_convert(zone)
    mine = profiles[(profiles["meter_id"] == "E1") & (profiles["day"] == pd.Timestamp(local.date()))]
    assert float(mine[f"h{local.hour:02d}"].iloc[0]) == pytest.approx(400.4, abs=20)


def test_columns_that_are_absent_are_named(tmp_path: Path) -> None:
    path = powered(tmp_path)
    write(readings(("E1",)), tmp_path, "parquet", "good")
    write(readings(("E2",)).rename(columns={"kwh": "kw"}), tmp_path, "csv", "bad")
    said = check(path)
    assert_clear(said)
    assert [(row["file"], row["field"]) for row in said.rows] == [("power/bad.csv", "kwh")]


def test_ten_gigabytes_in_one_reading_are_passed_over(tmp_path: Path) -> None:
    path = powered(tmp_path)
    write(readings(("E1",)), tmp_path, "parquet", "good")
    sparse(tmp_path / "power" / "bad.csv", b"meter_id,time,kwh\nE2,2026-05-03 04:00:00,1")
    said = bounded(lambda: check(path), most=2600 * MIB)
    assert_clear(said)
    assert said.code == 3
    assert said.of("power/bad.csv")


def test_a_packed_quarter_of_a_gigabyte_in_one_line_is_passed_over(tmp_path: Path) -> None:
    path = powered(tmp_path)
    write(readings(("E1",)), tmp_path, "parquet", "good")
    with gzip.open(tmp_path / "power" / "bad.csv.gz", "wb", compresslevel=1) as stream:
        stream.write(b"meter_id,time,kwh\nE2,2026-05-03 04:00:00,1")
        for _ in range(256):
            stream.write(b"1" * MIB)
    said = bounded(lambda: check(path), most=2600 * MIB)
    assert_clear(said)
    assert said.code == 3
    assert said.of("power/bad.csv.gz")


def test_a_hundred_million_equal_readings_stay_small(tmp_path: Path) -> None:
    path = powered(tmp_path)
    write(readings(("E1",)), tmp_path, "parquet", "good")
    many = 10_000_000
    piece = pa.table(
        {
            "meter_id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(many, np.int32)), pa.array(["E2"])),
            "time": pa.array(np.full(many, 1_777_000_000_000_000), pa.timestamp("us")),
            "kwh": pa.array(np.ones(many)),
        }
    )
    with pq.ParquetWriter(tmp_path / "power" / "bad.parquet", piece.schema) as writer:
        for _ in range(4):
            writer.write_table(piece)
    del piece
    said = bounded(lambda: check(path), most=2600 * MIB)
    assert_clear(said)
    assert "read twice" in said.text()


# --- district.toml -----------------------------------------------------------------------------------------------

LINES_OF_TOML: list[tuple[str, str, str]] = [
    ("bounds = [500000.0, 4100000.0, 501500.0, 4101500.0]", "bounds = [nan, 0, 1, 1]", "district.bounds"),
    ("bounds = [500000.0, 4100000.0, 501500.0, 4101500.0]", "bounds = [-inf, -inf, inf, inf]", "district.bounds"),
    ("bounds = [500000.0, 4100000.0, 501500.0, 4101500.0]", "bounds = [1, 1, 1, 1]", "min < max"),
    ("bounds = [500000.0, 4100000.0, 501500.0, 4101500.0]", "bounds = [1, 2, 3]", "district.bounds"),
    ("bounds = [500000.0, 4100000.0, 501500.0, 4101500.0]", 'bounds = "all"', "district.bounds"),
    ("history_from = 2025-01-01", "history_from = 0001-01-01", "between 1970 and 2200"),
    ("as_of = 2026-06-30", "as_of = 9999-12-31", "between 1970 and 2200"),
    ("as_of = 2026-06-30", 'as_of = "soon"', "district.as_of"),
    ("as_of = 2026-06-30", "as_of = 2025-06-30", "must hold"),
    ('name = "d"', 'name = ""', "district.name"),
    ('name = "d"', 'name = "a\\u001b[31mb"', "control character"),
    ('name = "d"', "name = 7", "district.name"),
    ('crs = "EPSG:4546"', 'crs = "EPSG:4326"', "projected"),
    ('crs = "EPSG:4546"', 'crs = "/etc/passwd"', "not a coordinate reference system"),
    ('crs = "EPSG:4546"', 'crs = "EPSG:2263"', "metres"),
    ("[registers]", "[registers]\nmine = 'x'", "unknown key"),
    ("[registers]", "[regsters]", "registers: missing"),
    ("[registers]", "[registers]\n[registers]", "not valid TOML"),
    ("[registers]", "[compute]\nworkers = 0\n[registers]", "compute.workers"),
    ("[registers]", "[compute]\nmemory = 'lots'\n[registers]", "compute.memory"),
    ("[registers]", "[power]\nreadings = 'x'\ntimezone = '../../etc/passwd'\n[registers]", "IANA time zone"),
    ("[registers]", "[ledger]\nurl = 'postgresql://u:secret@h/d'\n[registers]", "must hold no password"),
    ("[registers]", "[[imagery]]\nname = 'a/../b'\nsensor='optical'\nsource='cube'\nhref='x'\n[registers]", "name"),
    (
        "[registers]",
        "[[imagery]]\nname = 'a'\nsensor='optical'\nsource='cube'\nhref='x'\nresolution = inf\n[registers]",
        "resolution",
    ),
    (
        "[registers]",
        "[[imagery]]\nname = 'a'\nsensor='optical'\nsource='cube'\nhref='x'\nresolution = 0\n[registers]",
        "resolution",
    ),
    ("[registers]", "\0[registers]", "not valid TOML"),
    ('jurisdictions = "counties.parquet"', 'jurisdictions = "none.gpkg"', "no such file"),
    ('jurisdictions = "counties.parquet"', 'jurisdictions = "a\\u0000b"', "no such file"),
]


@pytest.mark.parametrize(("old", "new", "why"), LINES_OF_TOML)
def test_a_wrong_line_of_the_configuration_is_named(old: str, new: str, why: str, tmp_path: Path) -> None:
    path = write_district(tmp_path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    for verb in ("check", "run"):
        said = command(verb, str(path), "--quiet")
        assert_clear(said)
        assert said.code == (1 if why == "no such file" else 2)
        assert why in said.error
        assert "secret" not in said.error


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x89PNG\r\n", "name = 乱".encode("gb18030")])
def test_a_configuration_that_is_none(content: bytes, tmp_path: Path) -> None:
    path = write_district(tmp_path)
    path.write_bytes(content)
    said = command("check", str(path))
    assert_clear(said)
    assert said.code == 2
    assert str(path) in said.error


def test_a_configuration_of_ten_gigabytes_is_refused(tmp_path: Path) -> None:
    path = sparse(write_district(tmp_path), b"[district]\n")
    said = bounded(lambda: command("check", str(path)))
    assert_clear(said)
    assert said.code == 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.integers(0, 400))
def test_any_text_in_the_configuration_is_a_district_or_a_refusal(tmp_path: Path, text: str, at: int) -> None:
    path = write_district(tmp_path)
    known = path.read_text("utf-8")
    path.write_text(known[:at] + text + known[at:], "utf-8", errors="replace")
    try:
        read_district(path)
    except ConfigurationError as error:
        assert str(path) in str(error)  # noqa: PT017  (either is right)


# --- outcomes ------------------------------------------------------------------------------------------------------

OUTCOMES = "case_id,outcome,visited,reason,lon,lat\n"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("c1,maybe,2026-06-01,why,,", "outcome"),
        ("c1,refuted,2026-06-01,,,", "reason"),
        ("c1,confirmed,2026-06-31,,,", "visited"),
        ("c1,confirmed,2099-06-01,,,", "visited"),
        (",confirmed,2026-06-01,,,", "case_id"),
        (",confirmed,2026-06-01,,37.0,111.0", "lat"),
        (",confirmed,2026-06-01,,11.0,37.0", "geometry"),
        (",confirmed,2026-06-01,,nan,inf", "lat"),
        ("c1,confirmed,2026-06-01,,,", "case_id"),
    ],
)
def test_a_bad_outcome_is_named_and_nothing_is_recorded(line: str, field: str, tmp_path: Path) -> None:
    path = write_district(tmp_path)
    (tmp_path / "o.csv").write_text(OUTCOMES + line + "\n")
    said = command("verify", str(path), str(tmp_path / "o.csv"))
    assert_clear(said)
    assert said.code == 3, said
    rows = outcome_rows(path, tmp_path / "o.csv")
    assert field in {row["field"] for row in rows}
    assert {(row["file"], row["row"]) for row in rows} == {("o.csv", "1")}


def outcome_rows(path: Path, outcomes: Path) -> list[Row]:
    from illegalmining.pipelines.verify import verify

    done = verify(read_district(path), outcomes)
    assert done.recorded == 0
    return done.set_aside


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"<html>", bytes(range(256)), OUTCOMES.encode()])
def test_outcomes_that_are_no_table(content: bytes, tmp_path: Path) -> None:
    path = write_district(tmp_path)
    (tmp_path / "o.csv").write_bytes(content)
    said: Said = command("verify", str(path), str(tmp_path / "o.csv"))
    assert_clear(said)
    assert said.code == (0 if content == OUTCOMES.encode() else 1)
    assert said.code == 0 or "o.csv" in said.error
