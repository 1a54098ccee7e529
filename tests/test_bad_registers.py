"""Registers that are broken, hostile or in the wrong unit: one clear message or rows set aside, good rows go on."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from bad_input import (
    CRS,
    PARCELS,
    assert_clear,
    bounded,
    check,
    corners,
    flipped,
    licences,
    registers_of,
    sparse,
    with_third,
    write_district,
    write_licences,
)
from illegalmining.registers.plain import read_csv
from illegalmining.registers.values import as_day, as_end, as_month, as_number, as_text

KINDS = ("gpkg", "geojson", "shp", "kml", "csv", "xlsx", "fgb", "parquet")
PAGE = b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>\n"


def kept(path: Path) -> list[str]:
    """Numbers of the licences that are left."""
    table = registers_of(path).concessions
    return [] if table is None else table["licence_no"].tolist()


# --- whole files ------------------------------------------------------------------------------------------------


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(3).bytes(5000))


def error_page(path: Path) -> None:
    path.write_bytes(PAGE)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def zeros(path: Path) -> None:
    path.write_bytes(bytes(4096))


SPOILERS: dict[str, Callable[[Path], None]] = {
    "empty": emptied,
    "noise": noise,
    "error page": error_page,
    "folder": folder,
    "zeros": zeros,
}


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_none_is_said_and_the_rest_goes_on(kind: str, spoiler: str, tmp_path: Path) -> None:
    file = write_licences(kind, licences(), tmp_path)
    SPOILERS[spoiler](file)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    rows = said.of(file.name)
    assert rows
    assert rows[-1]["rule"] == "a register of concessions"
    assert "treated as absent" in rows[-1]["why"]
    left = registers_of(path)
    assert left.concessions is None
    assert left.mines is not None
    assert left.mines["mine_id"].tolist() == ["M1", "M2"]


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_is_said_or_its_whole_rows_are_kept(kind: str, tmp_path: Path) -> None:
    file = write_licences(kind, licences(), tmp_path)
    halved(file)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert said.of(file.name)
    assert set(kept(path)) < {"L1", "L2"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_end_in_no_traceback(kind: str, seed: int, tmp_path: Path) -> None:
    file = write_licences(kind, licences(), tmp_path)
    file.write_bytes(flipped(file.read_bytes(), seed))
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code in (0, 3)
    assert len(kept(path)) == 2 or said.of(file.name)


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "csv", "xlsx", "parquet"])
def test_jurisdictions_that_are_none_end_the_run_with_one_message(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"counties.{kind}").write_bytes(np.random.default_rng(1).bytes(900))
    said = check(write_district(tmp_path, jurisdictions=f"counties.{kind}"))
    assert_clear(said)
    assert said.code == 1
    assert f"counties.{kind} (registers.jurisdictions)" in said.error


@pytest.mark.parametrize("part", ["dbf", "shx", "prj"])
def test_a_shapefile_without_one_of_its_parts(part: str, tmp_path: Path) -> None:
    file = write_licences("shp", licences(), tmp_path)
    file.with_suffix(f".{part}").unlink()
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert {"dbf": "missing", "prj": "declares no CRS", "shx": "licences.shx"}[part] in said.of(file.name)[0]["why"]


# --- bombs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ten_gigabytes_in_one_row_are_refused_without_being_read(kind: str, tmp_path: Path) -> None:
    file = write_licences(kind, licences(), tmp_path)
    start = file.read_bytes()
    if kind == "csv":
        start = start.rstrip(b"\r\n") + b"0"
    sparse(file, start)
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    if said.code == 0:  # zeros after a database's end are nothing to it
        assert kind == "gpkg"
    else:
        assert said.code == 3
        assert said.of(file.name)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "{"lol" * 10}">{LAUGHS}]>'


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """A zip with its parts changed."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name, change(name, content))


def swollen_zip(path: Path, member: str, start: bytes, size: int) -> None:
    """Add a member of zeros (blanks) that packs to a thousandth."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist() if name != member}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for name, content in parts.items():
            book.writestr(name, content)
        with book.open(member, "w", force_zip64=True) as stream:
            stream.write(start)
            piece = b" " * (1 << 20)
            for _ in range(size >> 20):
                stream.write(piece)


def test_a_workbook_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    file = write_licences("xlsx", licences(), tmp_path)
    swollen_zip(file, "xl/worksheets/sheet1.xml", b'<?xml version="1.0"?><worksheet>', 1 << 30)
    assert file.stat().st_size < 10 << 20
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert "unpacks to" in said.of(file.name)[0]["why"]


def test_a_workbook_of_laughing_entities_is_refused(tmp_path: Path) -> None:
    file = write_licences("xlsx", licences(), tmp_path)

    def laugh(name: str, content: bytes) -> bytes:
        if name != "xl/worksheets/sheet1.xml":
            return content
        body = content.split(b"?>", 1)[1] if content.startswith(b"<?xml") else content
        return BILLION.replace(" x [", " worksheet [").encode() + body.replace(b"<sheetData>", b"<sheetData>&l9;")

    repacked(file, laugh)
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert said.of(file.name)


def test_a_map_of_laughing_entities_is_refused(tmp_path: Path) -> None:
    file = write_licences("kml", licences(), tmp_path)
    text = file.read_text("utf-8").split("?>", 1)[1].replace("晋城煤业", "&l9;")
    assert "&l9;" in text
    file.write_text(BILLION.replace(" x [", " kml [") + text, "utf-8")
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert said.of(file.name)


@pytest.mark.parametrize("kind", ["kml", "xlsx"])
def test_a_file_of_this_machine_is_never_drawn_into_a_register(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    file = write_licences(kind, licences(), tmp_path)
    entity = f'<!DOCTYPE k [<!ENTITY x SYSTEM "file://{secret}">]>'

    def draw(name: str, content: bytes) -> bytes:
        if "晋城煤业".encode() not in content:
            return content
        head, sep, rest = content.partition(b"?>")
        body = (rest if sep and head.startswith(b"<?xml") else content).replace("晋城煤业".encode(), b"&x;")
        return b'<?xml version="1.0" encoding="UTF-8"?>' + entity.encode() + body

    if kind == "kml":
        file.write_bytes(draw("", file.read_bytes()))
    else:
        repacked(file, draw)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert "TOPSECRET" not in said.text()
    table = registers_of(path).concessions
    assert table is None or "TOPSECRET" not in table.to_csv()


def test_a_table_of_a_billion_rows_is_refused(tmp_path: Path) -> None:
    """Run lengths pack a thousand million equal rows into a few kilobytes."""
    columns = ["licence_no", "holder", "mineral", "method", "valid_from", "valid_to"]
    piece = pa.table({name: pa.array(["x"] * 1_000_000).dictionary_encode() for name in columns})
    file = tmp_path / "licences.parquet"
    with pq.ParquetWriter(file, piece.schema) as writer:
        for _ in range(20):
            writer.write_table(piece)
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert "20000000 rows" in said.of(file.name)[0]["why"]


def test_a_long_text_repeated_in_every_row_is_refused(tmp_path: Path) -> None:
    columns = ["licence_no", "holder", "mineral", "method", "valid_from", "valid_to"]
    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["y" * 1_000_000]))
    file = tmp_path / "licences.parquet"
    pq.write_table(pa.table(dict.fromkeys(columns, one)), file, compression="zstd")
    assert file.stat().st_size < 8 << 20
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert "unpacks to" in said.of(file.name)[0]["why"]


@pytest.mark.parametrize("suffix", ["kmz", "zip"])
def test_an_archive_that_unpacks_to_gigabytes_is_refused(suffix: str, tmp_path: Path) -> None:
    inner = write_licences("kml" if suffix == "kmz" else "geojson", licences(), tmp_path)
    file = tmp_path / f"packed.{suffix}"
    with zipfile.ZipFile(file, "w") as book:
        book.write(inner, "doc.kml" if suffix == "kmz" else inner.name)
    name = "doc.kml" if suffix == "kmz" else inner.name
    swollen_zip(file, name, inner.read_bytes()[:-20], 1 << 30)
    path = write_district(tmp_path, concessions=file.name)
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert "unpacks to" in said.of(file.name)[0]["why"]


def test_a_deeply_nested_geojson_is_refused(tmp_path: Path) -> None:
    depth = 200_000
    (tmp_path / "licences.geojson").write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"licence_no":'
        + "[" * depth
        + "]" * depth
        + '},"geometry":null}]}'
    )
    said = bounded(lambda: check(write_district(tmp_path, concessions="licences.geojson")))
    assert_clear(said)
    assert said.code == 3
    assert said.of("licences.geojson")


# --- rows -------------------------------------------------------------------------------------------------------

BOW_TIE = Polygon([(500800, 4100100), (501300, 4100600), (501300, 4100100), (500800, 4100600)])
SWAPPED = shapely.transform(PARCELS[1], lambda xy: xy[:, ::-1])
NAN = shapely.transform(PARCELS[1], lambda xy: np.where(np.arange(len(xy))[:, None] == 2, np.nan, xy))
INF = shapely.transform(PARCELS[1], lambda xy: np.where(xy == 501300, np.inf, xy))
LINE = Polygon([(500800, 4100100), (501000, 4100300), (501200, 4100500)])
DEGREES = box(111.001, 37.03, 111.005, 37.04)
ELSEWHERE = shapely.transform(PARCELS[1], lambda xy: xy + np.array([0.0, 9e5]))
ZONED = shapely.transform(PARCELS[1], lambda xy: xy + np.array([37e6, 0.0]))

SPOILED_ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no number", {"licence_no": None}, "licence_no", "fill it in"),
    ("blank number", {"licence_no": "  "}, "licence_no", "fill it in"),
    ("number twice", {"licence_no": "L2"}, "licence_no", "earlier row has the same"),
    ("no holder", {"holder": ""}, "holder", "fill it in"),
    ("unknown method", {"method": "strip"}, "method", "one of underground, opencast"),
    ("no date", {"valid_from": ""}, "valid_from", "fill it in"),
    ("no such day", {"valid_from": "2021-02-30"}, "valid_from", "no such day"),
    ("year nought", {"valid_from": "0000-01-01"}, "valid_from", "YYYY-MM-DD|no such day"),
    ("year of the Buddha", {"valid_from": "2568-01-01"}, "valid_from", "between 1900 and 2200"),
    ("month first", {"valid_from": "13/02/2021"}, "valid_from", "YYYY-MM-DD"),
    ("words", {"valid_from": "next year"}, "valid_from", "YYYY-MM-DD"),
    ("ends before it begins", {"valid_to": "2010-01-01"}, "valid_to", "ends on or before"),
    ("ends as it begins", {"valid_to": "2018-01-01"}, "valid_to", "ends on or before"),
    ("no place", {"geometry": None}, "geometry", "no place"),
    ("empty place", {"geometry": Polygon()}, "geometry", "no place"),
    ("axes exchanged", {"geometry": SWAPPED}, "geometry", "exchanged"),
    ("degrees for metres", {"geometry": DEGREES}, "geometry", "degrees"),
    ("another place", {"geometry": ELSEWHERE}, "geometry", "km away"),
    ("zone prefix", {"geometry": ZONED}, "geometry", "contradicts"),
    ("not a number", {"geometry": NAN}, "geometry", "missing or infinite"),
    ("infinite", {"geometry": INF}, "geometry", "missing or infinite"),
    ("no extent", {"geometry": LINE}, "geometry", "lie on a line"),
    ("a line", {"geometry": PARCELS[1].exterior}, "geometry", "found a Line|lie on a line"),
    ("a point", {"geometry": PARCELS[1].centroid}, "geometry", "found a Point"),
    ("a sliver", {"geometry": box(500800, 4100100, 500800 + 1e-9, 4100600)}, "geometry", "extent|sliver"),
]


@pytest.mark.parametrize("kind", ["parquet", "gpkg"])
@pytest.mark.parametrize(
    ("change", "field", "why"), [row[1:] for row in SPOILED_ROWS], ids=[r[0] for r in SPOILED_ROWS]
)
def test_a_spoiled_row_is_named_and_the_good_ones_go_on(
    kind: str, change: dict[str, Any], field: str, why: str, tmp_path: Path
) -> None:
    import re

    file = write_licences(kind, with_third(**change), tmp_path)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code == 3, said
    assert [(row["file"], row["row"], row["field"]) for row in said.rows] == [(file.name, "3", field)]
    assert re.search(why, f"{said.rows[0]['rule']} {said.rows[0]['why']}")
    assert "left out" in said.rows[0]["why"]
    assert kept(path) == ["L1", "L2"]


def test_a_bow_tie_is_put_right(tmp_path: Path) -> None:
    file = write_licences("parquet", with_third(geometry=BOW_TIE), tmp_path)
    path = write_district(tmp_path, concessions=file.name)
    assert check(path).code == 0
    table = registers_of(path).concessions
    assert table is not None
    assert table.geometry.is_valid.all()
    assert table.geometry[2].area == pytest.approx(2 * 0.25 * 500**2)


NUMBERS: list[tuple[str, Any, str]] = [
    ("NaN as a word", "NaN", ""),
    ("infinity as a word", "inf", "digits only"),
    ("infinity", float("inf"), "finite"),
    ("with its unit", "420 m", "digits only"),
    ("decimal comma", "420,5", "digits only"),
    ("hexadecimal", "0x1f", "digits only"),
    ("a formula", "=1+1", "digits only"),
    ("too many digits", "1e400", "finite"),
    ("centimetres", 42_000.0, "at most 9000"),
]


@pytest.mark.parametrize(("value", "why"), [row[1:] for row in NUMBERS], ids=[row[0] for row in NUMBERS])
def test_a_number_that_is_none_costs_the_value_alone(value: Any, why: str, tmp_path: Path) -> None:
    frame = with_third().assign(depth_top_m=pd.Series(["420", "420", str(value)], dtype=object))
    if isinstance(value, float):
        frame = frame.assign(depth_top_m=[420.0, 420.0, value])
    file = write_licences("parquet", frame, tmp_path)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert kept(path) == ["L1", "L2", "L3"]
    assert [row["field"] for row in said.rows] == (["depth_top_m"] if why else [])
    assert not why or (why in said.text() and "the row is kept without this value" in said.text())


FACES = {"face_id": "F1", "mine_id": "M1", "start": "2026-01-01", "depth_m": 300.0, "thickness_m": 2.5}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("thickness_m", 250.0, "at most 50"),  # centimetres
        ("depth_m", 30_000.0, "at most 3000"),  # centimetres
        ("depth_m", 0.3, "at least 1"),  # kilometres
        ("depth_m", float("nan"), "fill it in"),
        ("depth_m", float("inf"), "finite"),
        ("thickness_m", -2.0, "at least 0.1"),
    ],
)
def test_a_face_in_another_unit_is_set_aside_and_said(field: str, value: float, why: str, tmp_path: Path) -> None:
    rows = [FACES, {**FACES, "face_id": "F2", field: value}]
    gpd.GeoDataFrame(rows, geometry=list(PARCELS), crs=CRS).to_parquet(tmp_path / "faces.parquet")
    path = write_district(tmp_path, working_faces="faces.parquet")
    said = check(path)
    assert_clear(said)
    assert [(row["file"], row["row"], row["field"]) for row in said.rows] == [("faces.parquet", "2", field)]
    assert why in said.text()
    left = registers_of(path).working_faces
    assert left is not None
    assert left["face_id"].tolist() == ["F1"]


TABLES: list[tuple[str, str, str, str, str]] = [
    ("mine_status", "mine_id,status,from,to", "M1,closed,2024-01-01,", "M2,resting,2024-01-01,", "status"),
    ("mine_status", "mine_id,status,from,to", "M1,closed,2024-01-01,", "M2,closed,2024-13-01,", "from"),
    ("mine_status", "mine_id,status,from,to", "M1,closed,2024-01-01,", "M2,closed,2024-05-01,2024-04-01", "to"),
    ("mine_status", "mine_id,status,from,to", "M1,closed,2024-01-01,", ",closed,2024-05-01,", "mine_id"),
    ("production", "mine_id,month,tonnes", "M1,2024-05,900", "M1,2024-05,800", "mine_id, month"),
    ("production", "mine_id,month,tonnes", "M1,2024-05,900", "M1,2024-13,800", "month"),
    ("production", "mine_id,month,tonnes", "M1,2024-05,900", "M1,2024-06,-5", "tonnes"),
    ("production", "mine_id,month,tonnes", "M1,2024-05,900", "M1,2024-06,many", "tonnes"),
    ("meters", "meter_id,category,lon,lat", "E1,mine,111.005,37.04", "E2,mine,37.04,111.005", "lat"),
    ("meters", "meter_id,category,lon,lat", "E1,mine,111.005,37.04", "E2,mine,37.04,11.5", "lon"),
    ("meters", "meter_id,category,lon,lat", "E1,mine,111.005,37.04", "E1,mine,111.006,37.04", "meter_id"),
    ("meters", "meter_id,category,lon,lat", "E1,mine,111.005,37.04", "E2,shop,111.006,37.04", "category"),
    ("closure_list", "name,decided", "红星,2024-05-01", "红旗,soon", "decided"),
    ("recipients", "code,name,public_key", "E,东,", "E,again,", "code"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize(("table", "header", "good", "bad", "field"), TABLES)
def test_a_bad_line_of_a_table_costs_that_line(
    table: str, header: str, good: str, bad: str, field: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_bytes(f"{header}\n{good}\n{bad}\n".encode(encoding))
    path = write_district(tmp_path, **{table: "table.csv"})
    said = check(path)
    assert_clear(said)
    assert {row["row"] for row in said.of("table.csv")} == {"2"}
    assert field in {row["field"] for row in said.of("table.csv")}
    left = getattr(registers_of(path), table)
    assert left is not None
    assert len(left) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"mine_id,status,from\nM1,closed,2024-01-01\nM2,clo\0sed,2024-01-01\n", "NUL"),
        (b"\xff\xfem\0i\0n\0e\0", "missing|rows"),
        (b"\xff\xfe\x00", "encoding|decode|rows|missing"),
        (b'mine_id,status,from\n"M1,closed,2024-01-01\nM2,closed,2024-01-01\n', "quotation"),
        (b"mine_id;status;from\nM1;closed;2024-01-01;;;more\n", "cells under"),
        (b"mine_id,status\nM1,closed\n", "missing"),
        (b"mine_id,mine_id,status,from\nM1,M2,closed,2024-01-01\n", ""),
        (b"\xef\xbb\xbfmine_id,status,from\r\nM1,closed,2024-01-01\r\n", ""),
        (b"mine_id,status,from\rM1,closed,2024-01-01\r", ""),
        (b"\n\n\nmine_id,status,from\nM1,closed,2024-01-01\n", ""),
        ("mine_id,status,from\n\u202eM1,closed,2024-01-01\n".encode(), ""),
        (b"mine_id,status,from\n=cmd|'/c calc'!A1,closed,2024-01-01\n", ""),
    ],
)
def test_texts_that_are_hardly_tables(content: bytes, why: str, tmp_path: Path) -> None:
    import re

    (tmp_path / "status.csv").write_bytes(content)
    path = write_district(tmp_path, mine_status="status.csv")
    said = check(path)
    assert_clear(said)
    assert said.code == (3 if why else 0), said.text()
    assert re.search(why, said.text())
    if not why:
        assert len(registers_of(path).mine_status) == 1


def test_a_status_of_next_year_is_no_status_today(tmp_path: Path) -> None:
    from illegalmining.registers.allowed import status_by_day

    (tmp_path / "s.csv").write_text("mine_id,status,from,to\nM1,closed,2031-01-01,\nM1,producing,2020-01-01,\n")
    path = write_district(tmp_path, mine_status="s.csv")
    assert check(path).code == 0
    days = pd.date_range("2026-06-30", "2026-06-30")
    assert status_by_day(registers_of(path).mine_status, "M1", days).tolist() == ["producing"]


CORNER_CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("exchanged", {"x": 37500800.0, "y": 4100100.0}, "prefixes"),
    ("infinite", {"x": "inf"}, "cannot be read"),
    ("no number", {"x": "?"}, "cannot be read"),
    ("empty", {"y": None}, "cannot be read"),
    ("wrong zone", {"y": 38500800.0}, "prefix"),
    ("old datum", {"crs": "EPSG:2361"}, "crs"),
    ("no such crs", {"crs": "EPSG:1"}, "crs"),
    ("hostile crs", {"crs": "+proj=pipeline +step +init=/etc/passwd"}, "crs"),
    ("point twice", {"point": 2}, "same number"),
]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize(("change", "why"), [row[1:] for row in CORNER_CHANGES], ids=[row[0] for row in CORNER_CHANGES])
def test_a_bad_corner_costs_its_licence_alone(kind: str, change: dict[str, Any], why: str, tmp_path: Path) -> None:
    rows = corners(licences())
    rows[4].update(change)  # the first corner of the second licence
    table = pd.DataFrame(rows)
    file = tmp_path / f"corners.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_excel(file, index=False)
    path = write_district(tmp_path, concessions=file.name)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert kept(path) == ["L1"]
    assert why in said.text()
    assert all(row["file"] == file.name for row in said.rows)


@pytest.mark.parametrize("name", ["[2026] licences.gpkg", "licences (1).gpkg", "执照*.gpkg", "a'b\"c.gpkg"])
def test_names_that_mean_something_to_a_shell_mean_nothing_here(name: str, tmp_path: Path) -> None:
    """Also where the district's own folder has such a name; and the record has the digest of what was read."""
    from illegalmining.pipelines.watching import register_digests

    folder = tmp_path / "[a]*b"
    folder.mkdir()
    shutil.move(write_licences("gpkg", licences(), tmp_path), folder / name)
    path = write_district(folder, concessions=name)
    assert check(path).code == 0
    left = registers_of(path)
    assert len(left.concessions) == 2
    from illegalmining.district import read_district

    assert name in register_digests(read_district(path), left, ("concessions",))


# --- parsers of text ---------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    for read in (as_day, as_end, as_number, as_month, as_text):
        try:
            read(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  (either is right)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    from illegalmining.errors import InputError

    file = tmp_path / "any.csv"
    file.write_bytes(content)
    try:
        raw, faults = read_csv(file, ("mine_id", "status", "from"))
    except InputError as error:
        assert "any.csv" in str(error)  # noqa: PT017  (either is right)
    else:
        assert len(set(raw.cells.index)) == len(raw.cells)
        assert all(fault.row >= 1 for fault in faults)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(max_size=8), max_size=5), max_size=6))
def test_rows_written_as_csv_come_back_or_are_faults(tmp_path: Path, rows: list[list[str]]) -> None:
    """No row is lost in silence: each is blank, kept, or a fault."""
    import csv

    file = tmp_path / "any.csv"
    with file.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        csv.writer(stream).writerows([["mine_id", "status", "from"], *rows])
    content = file.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return
    if b"\0" in content:
        return
    raw, faults = read_csv(file, ("mine_id", "status", "from"))
    blank = sum(1 for row in rows if not any(cell.strip() for cell in row))
    assert len(raw.cells) + len(faults) + blank == len(rows)
