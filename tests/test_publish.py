"""Every format holds every column, no text does harm, the same table gives the same bytes."""

from __future__ import annotations

import csv
import filecmp
import io
import json
import re
import sqlite3
import subprocess
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyogrio
import pytest
import rasterio

from illegalmining.hotspots import hotspots
from illegalmining.publish.content import MapContent
from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.page import publish_page
from illegalmining.publish.sheet import publish_sheet
from illegalmining.publish.tables import (
    publish_cases,
    publish_coverage,
    publish_detections,
    publish_hotspots,
    publish_quarantine,
)
from illegalmining.publish.text import defused, harmless, word, words
from illegalmining.tables import CASES, KINDS
from sample_results import AS_OF, BOUNDS, CRS, HOSTILE, coverage, page_arguments, registers, sample

DATES = ("first_seen", "last_seen", "first_reported")


@pytest.fixture(scope="module")
def cases() -> gpd.GeoDataFrame:
    return sample("zh")["cases"].assign(extra=HOSTILE)


@pytest.fixture(scope="module")
def out(cases: gpd.GeoDataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    publish_cases(cases, folder, "zh")
    return folder


def read_layer(path: Path, layer: str) -> gpd.GeoDataFrame:
    return pyogrio.read_dataframe(path, layer=layer)


def test_geoparquet_is_the_table_itself(cases: gpd.GeoDataFrame, out: Path) -> None:
    back = gpd.read_parquet(out / "cases.parquet")
    assert back.crs.to_epsg() == 4546
    pd.testing.assert_frame_equal(pd.DataFrame(back), pd.DataFrame(cases))


def test_geopackage_holds_every_column_and_its_style(cases: gpd.GeoDataFrame, out: Path) -> None:
    back = read_layer(out / "cases.gpkg", "cases")
    assert set(back.columns) == set(cases.columns)
    assert back.crs.to_epsg() == 4546
    assert back.geometry.geom_equals(cases.geometry).all()
    np.testing.assert_allclose(back["probability"], cases["probability"])
    assert back["evidence"].tolist() == cases["evidence"].tolist()
    for name in DATES:
        assert (back[name].astype("datetime64[ns]") == cases[name]).all()
    with closing(sqlite3.connect(out / "cases.gpkg")) as database:
        style, default = database.execute("SELECT styleQML, useAsDefault FROM layer_styles").fetchone()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert default
    categories = {one.get("value") for one in ElementTree.fromstring(style).iter("category")}
    assert categories == set(KINDS)
    assert "{" not in style


def test_geopackage_opens_in_gdal_without_a_complaint_about_its_fields(out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pyogrio.list_layers(out / "cases.gpkg")


def test_csv_holds_every_column(cases: gpd.GeoDataFrame, out: Path) -> None:
    with (out / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[: len(cases.columns) - 1] == [name for name in cases.columns if name != "geometry"]
    assert [row["case_id"] for row in rows] == cases["case_id"].tolist()
    assert [float(row["probability"]) for row in rows] == cases["probability"].tolist()
    assert [json.loads(row["evidence"]) for row in rows] == [json.loads(text) for text in cases["evidence"]]
    assert [row["first_seen"] for row in rows] == [f"{day:%Y-%m-%d}" for day in cases["first_seen"]]
    shapes = gpd.GeoSeries.from_wkt([row["geometry"] for row in rows], crs=rows[0]["crs"])
    assert shapes.geom_equals(cases.geometry).all()
    places = gpd.GeoSeries.from_xy([float(row["lon"]) for row in rows], [float(row["lat"]) for row in rows], crs=4326)
    assert (places.to_crs(CRS).distance(cases.geometry) < 0.02).all()


def test_xlsx_holds_every_column_with_types(cases: gpd.GeoDataFrame, out: Path) -> None:
    book = openpyxl.load_workbook(out / "cases.xlsx")
    rows = list(book["cases"].iter_rows(values_only=True))
    assert {*cases.columns, "lon", "lat", "gcj02_lon", "gcj02_lat", "crs"} == set(rows[0])
    back = pd.DataFrame(rows[1:], columns=rows[0])
    assert back["case_id"].tolist() == cases["case_id"].tolist()
    np.testing.assert_allclose(back["probability"], cases["probability"])
    assert back["evidence"].tolist() == cases["evidence"].tolist()
    assert (pd.to_datetime(back["first_seen"]) == cases["first_seen"]).all()


def test_kml_holds_every_column_in_place(cases: gpd.GeoDataFrame, out: Path) -> None:
    back = pyogrio.read_dataframe(out / "cases.kml")
    assert set(cases.columns) - {"geometry"} <= set(back.columns)
    assert back["Name"].tolist() == cases["case_id"].tolist()
    np.testing.assert_allclose(back["probability"].astype(float), cases["probability"])
    assert back["evidence"].tolist() == cases["evidence"].tolist()
    moved = back.geometry.to_crs(CRS).centroid.distance(cases.geometry.centroid)
    assert (moved < 0.05).all()
    styles = ElementTree.parse(out / "cases.kml").getroot().iter("{http://www.opengis.net/kml/2.2}Style")
    assert {style.get("id") for style in styles} == set(KINDS)


def test_gpx_holds_every_column_in_place(cases: gpd.GeoDataFrame, out: Path) -> None:
    back = pyogrio.read_dataframe(out / "cases.gpx", layer="waypoints")
    assert back["name"].tolist() == cases["case_id"].tolist()
    assert (back.geometry.to_crs(CRS).distance(cases.geometry) < 0.05).all()
    assert all("隐蔽工作面" in cmt for cmt, kind in zip(back["cmt"], cases["kind"], strict=True) if kind[0] == "h")
    space = {"g": "http://www.topografix.com/GPX/1/1", "c": "https://illegalmining.invalid/cases/1"}
    for point, row in zip(
        ElementTree.parse(out / "cases.gpx").getroot().findall("g:wpt", space), cases.to_dict("records"), strict=True
    ):
        told = {one.get("name"): one.text for one in point.findall("g:extensions/c:column", space)}
        assert set(told) >= {name for name in cases.columns if row[name] is not None and row[name] == row[name]}
        assert float(told["probability"]) == row["probability"]
        assert told["first_seen"] == f"{row['first_seen']:%Y-%m-%d}"


def test_tables_give_gcj02_beside_wgs84(out: Path) -> None:
    table = pd.read_csv(out / "cases.csv")
    for row in table.itertuples():
        assert (row.gcj02_lon, row.gcj02_lat) == pytest.approx(to_gcj02(row.lon, row.lat), abs=1e-6)
    assert ((table["gcj02_lon"] - table["lon"]).abs() > 0.004).all()


HOSTILE_TEXTS = {
    "markup": "</script><svg onload=alert(1)>]]></kml><!--{{data}}",
    "formula": "=cmd|' /C calc'!A0",
    "formula behind a space": " \t+1+1",
    "path": "../../../etc/passwd\\..\\x",
    "reversed": "\u202egnp.exe\u2066\u200f",
    "long": "深" * 5000 + "W" * 5000,
    "quotes": '"\'`»\\";--',
    "template": '#eval("1") $x$ *b* @ref <lab> #let {{title}} {words} %s',
    "controls": "a\x00b\x07\x1b[31m\uffff",
    "lines": "one\r\ntwo\n\n=three",
}


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_text_from_any_field_is_harmless_in_every_format(name: str, tmp_path: Path) -> None:
    """Every text of every table is hostile at once; every product is written, read back, and says it as plain text."""
    text = HOSTILE_TEXTS[name]
    content = MapContent(**hostile_arguments(text))
    publish_cases(content.cases.assign(extra=text), tmp_path)
    publish_sheet(tmp_path / "hotspots.pdf", content)
    publish_page(tmp_path / "hotspots.html", content)
    plain = harmless(text)
    for suffix in ("gpkg", "kml", "gpx"):
        assert len(pyogrio.read_dataframe(tmp_path / f"cases.{suffix}")) == len(content.cases)
    assert read_layer(tmp_path / "cases.gpkg", "cases")["extra"][0] == plain
    told = pd.read_csv(tmp_path / "cases.csv", dtype=str, lineterminator="\n" if "\n" not in plain else None)
    assert told["extra"][0] == defused(text)
    assert not re.match(r"\s*[=+@|%＝＋]|\s*-(?![\d.])", told["extra"][0])
    for row in openpyxl.load_workbook(tmp_path / "cases.xlsx")["cases"].iter_rows():
        assert all(cell.data_type != "f" for cell in row)
    page = (tmp_path / "hotspots.html").read_text("utf-8")
    data = page[page.index('id="data">') : page.index("</script>", page.index('id="data">'))]
    assert "<" not in data[len('id="data">') :]
    assert page.count("<script") == 3
    # the map's sheet stays one sheet, its tables follow
    assert word("cases", "en") in page_text(tmp_path / "hotspots.pdf", 2)
    told_pdf = subprocess.run(["pdftotext", "-raw", tmp_path / "hotspots.pdf", "-"], capture_output=True, check=True)
    words = told_pdf.stdout.decode().replace("\u200b", "").replace("\n", "")
    assert plain.replace("\n", "").strip()[:12].strip() in words
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"cases.{suffix}" for suffix in ("parquet", "gpkg", "csv", "xlsx", "kml", "gpx")),
        "hotspots.pdf",
        "hotspots.html",
    }
    for path in tmp_path.iterdir():
        if path.suffix != ".parquet":
            assert not set("\u202e\u2066\u200f\x07\x1b") & set(path.read_bytes().decode("utf-8", "ignore")) or (
                path.suffix in (".gpkg", ".xlsx", ".pdf")
            )


def page_text(path: Path, page: int) -> str:
    """One page of a PDF as text."""
    command = ["pdftotext", "-f", str(page), "-l", str(page), path, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def hostile_arguments(text: str) -> dict[str, Any]:
    """A map's content in which every register's and every detector's text is the same hostile one."""
    found = page_arguments("en", 6)
    cases = found["cases"]
    evidence = [
        json.dumps([{**term, "says": text} for term in json.loads(row)], ensure_ascii=False)
        for row in cases["evidence"]
    ]
    cases = cases.assign(mine_id=text, licence_no=text, jurisdiction=text, evidence=evidence)
    mines = found["mines"].iloc[:1].assign(mine_id=text, name=text, operator=text)
    return {
        **found,
        "cases": cases,
        "mines": mines,
        "concessions": found["concessions"].iloc[:1].assign(licence_no=text, holder=text, mineral=text),
        "jurisdictions": found["jurisdictions"].iloc[:1].assign(code=text, name=text),
        "district_name": text,
        "sources": [{**found["sources"][0], "name": text}],
        "remarks": [text],
    }


def test_no_text_is_ever_a_formula(out: Path) -> None:
    for row in csv.reader(io.StringIO((out / "cases.csv").read_text("utf-8"))):
        for value in row:
            assert not re.match(r"\s*[=+@|%]|\s*-(?![\d.])", value), value
    for sheet in openpyxl.load_workbook(out / "cases.xlsx"):
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" for cell in row)


def test_hostile_text_stays_readable_and_loses_what_hides(out: Path) -> None:
    text = pd.read_csv(out / "cases.csv")["extra"][0]
    assert "onerror" in text
    assert "gnp.exe" in text
    for name in ("cases.csv", "cases.kml"):
        content = (out / name).read_text("utf-8")
        assert "\u202e" not in content
        assert "\x07" not in content
    ElementTree.parse(out / "cases.kml")
    assert read_layer(out / "cases.gpkg", "cases")["extra"][0] == harmless(HOSTILE)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r\n=1", " =1", "＝1", "|x", "%x"])
def test_a_formula_is_defused(text: str) -> None:
    assert defused(text).startswith("'")


@pytest.mark.parametrize("text", ["晋-001", "a=b", "2026-10-31", "", "[{}]"])
def test_plain_text_is_left_alone(text: str) -> None:
    assert defused(text) == text


def test_ten_thousand_characters_fit(cases: gpd.GeoDataFrame, tmp_path: Path) -> None:
    long = cases.assign(mine_id="长" * 40_000)
    publish_cases(long, tmp_path)
    assert read_layer(tmp_path / "cases.gpkg", "cases")["mine_id"].str.len().tolist() == [40_000] * len(cases)
    assert len(pd.read_excel(tmp_path / "cases.xlsx")["mine_id"][0]) == 32_767


def test_the_same_table_gives_the_same_bytes(cases: gpd.GeoDataFrame, tmp_path: Path) -> None:
    cells = hotspots(cases, None, BOUNDS, CRS, AS_OF)
    first, second = tmp_path / "a", tmp_path / "b"
    written = []
    for folder in (first, second):
        written = publish_cases(cases, folder) + publish_hotspots(cells, folder) + publish_coverage(coverage(), folder)
        time.sleep(1.1)  # a clock in a file shows after a second
    assert len(written) == 10
    for path in written:
        assert filecmp.cmp(path, first / path.name, shallow=False), path.name


def test_a_run_without_cases_publishes_empty_tables(tmp_path: Path) -> None:
    empty = CASES.frame([], CRS)
    publish_cases(empty, tmp_path)
    assert list(pd.read_csv(tmp_path / "cases.csv").columns)[:3] == ["case_id", "kind", "probability"]
    assert gpd.read_parquet(tmp_path / "cases.parquet").empty
    assert read_layer(tmp_path / "cases.gpkg", "cases").empty
    assert pd.read_excel(tmp_path / "cases.xlsx").empty
    ElementTree.parse(tmp_path / "cases.kml")


def test_nothing_half_written_is_left(cases: gpd.GeoDataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_cases(cases, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("pyogrio.write_dataframe", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        publish_cases(cases, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_hotspots_as_table_and_raster(cases: gpd.GeoDataFrame, tmp_path: Path) -> None:
    cells = hotspots(cases, registers()["jurisdictions"], BOUNDS, CRS, AS_OF)
    publish_hotspots(cells, tmp_path)
    back = read_layer(tmp_path / "hotspots.gpkg", "hotspots")
    assert back["significant"].dtype == bool
    assert back["cell_id"].tolist() == cells["cell_id"].tolist()
    with rasterio.open(tmp_path / "hotspots.tif") as raster:
        assert raster.crs.to_epsg() == 4546
        centres = cells.geometry.centroid
        sampled = [value[0] for value in raster.sample(zip(centres.x, centres.y, strict=True))]
    np.testing.assert_allclose(sampled, cells["gi_z"], rtol=1e-5)


def test_coverage_keeps_its_blind_ground(tmp_path: Path) -> None:
    publish_coverage(coverage(), tmp_path)
    with rasterio.open(tmp_path / "coverage.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), coverage().values)
        assert raster.bounds == pytest.approx(BOUNDS)
        assert np.isnan(raster.nodata)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_detections_and_quarantine(tmp_path: Path) -> None:
    found = sample()["detections"]
    publish_detections(found, tmp_path)
    pd.testing.assert_frame_equal(pd.DataFrame(gpd.read_parquet(tmp_path / "detections.parquet")), pd.DataFrame(found))
    rows = [{"file": "mines.csv", "row": "7", "field": "name", "value": HOSTILE, "rule": "text", "why": "–"}]
    publish_quarantine(rows, tmp_path)
    back = pd.read_csv(tmp_path / "quarantine.csv")
    assert list(back.columns) == ["file", "row", "field", "value", "rule", "why"]
    assert back["value"][0].startswith("'=cmd")
    publish_quarantine([], tmp_path)
    assert (tmp_path / "quarantine.csv").read_text("utf-8") == "file,row,field,value,rule,why\n"


def test_gcj02_has_the_published_vectors(shared_data: Path) -> None:
    vectors = pd.read_csv(shared_data / "coordinates" / "gcj02_vectors.csv")
    assert len(vectors) > 2
    for row in vectors.itertuples():
        assert to_gcj02(row.wgs_lon, row.wgs_lat) == pytest.approx((row.gcj_lon, row.gcj_lat), abs=1.5e-6)


def test_gcj02_shifts_nothing_outside_china() -> None:
    assert to_gcj02(26.0, 45.0) is None


def test_every_word_has_both_languages_and_the_same_blanks() -> None:
    for key, text in words().items():
        assert set(text) == {"en", "zh"}, key
        blanks = [sorted(re.findall(r"\{\w+\}", text[language])) for language in ("en", "zh")]
        assert blanks[0] == blanks[1], key
