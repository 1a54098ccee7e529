"""`cases.pmtiles`, and the page that opens it in a real browser with the network cut: no case and no column is lost."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest

from browser import PHONE, Visit
from illegalmining.publish.casefile import PageLimits, by_rank
from illegalmining.publish.casetiles import NAME, publish_tiles, write_tiles
from illegalmining.publish.content import MapContent
from illegalmining.publish.page import publish_page
from illegalmining.publish.text import harmless
from sample_results import CRS, HOSTILE, page_arguments, sample

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
TEXT = "隐蔽工作面 𠮷野 é"
MANY = 12_000


@pytest.fixture(scope="module")
def few() -> gpd.GeoDataFrame:
    """A hundred cases, hostile and Chinese texts, a column of the reader's own and one that is empty."""
    found = sample("zh", 120)["cases"]
    return found.assign(extra=HOSTILE, operator=TEXT, nothing=None)


@pytest.fixture(scope="module")
def read(few: gpd.GeoDataFrame, tmp_path_factory: pytest.TempPathFactory) -> gpd.GeoDataFrame:
    """What GDAL reads of the tiles at their one zoom, with the edges of a tile's neighbours."""
    return pyogrio.read_dataframe(write_tiles(few, tmp_path_factory.mktemp("few") / NAME), CLIP="NO")


# --- the archive ---


def test_no_case_and_no_column_is_lost(few: gpd.GeoDataFrame, read: gpd.GeoDataFrame) -> None:
    assert set(few.columns) | {"rank", "lon", "lat", "gcj02_lon", "gcj02_lat", "crs"} <= set(read.columns)
    back = read.drop_duplicates("case_id").set_index("case_id")
    ranked = by_rank(few)
    assert back["rank"].sort_values().index.tolist() == ranked["case_id"].tolist()
    back = back.loc[ranked["case_id"]]
    assert back["evidence"].tolist() == ranked["evidence"].tolist()
    for name in ("probability", "area_m2", "area_outside_m2", "depth_m"):
        np.testing.assert_array_equal(back[name].astype(float), ranked[name].astype(float))
    for name in ("first_seen", "last_seen", "first_reported"):
        assert back[name].tolist() == ranked[name].dt.strftime("%Y-%m-%d").tolist()
    assert set(back["operator"]) == {TEXT}
    assert set(back["extra"]) == {harmless(HOSTILE)}
    at = ranked.geometry.representative_point().to_crs("EPSG:4326")
    np.testing.assert_allclose(back["lon"], at.x, atol=1e-7)


def test_outlines_lie_where_they_do(few: gpd.GeoDataFrame, read: gpd.GeoDataFrame) -> None:
    """The pieces of a case together are its outline, to the step of a tile that rounding costs."""
    pieces = read.to_crs(CRS).dissolve("case_id").geometry
    for case_id, outline in zip(few["case_id"], few.geometry, strict=True):
        if outline.area:
            assert pieces[case_id].hausdorff_distance(outline) < 1.5
        else:
            assert pieces[case_id].distance(outline) < 1.5


def test_the_same_cases_give_the_same_bytes_on_any_machine(few: gpd.GeoDataFrame, tmp_path: Path) -> None:
    """GDAL's threads would fill tiles in the order in which they end."""
    before = pyogrio.get_gdal_config_option("GDAL_NUM_THREADS")
    made = []
    for threads in ("1", "4"):
        pyogrio.set_gdal_config_options({"GDAL_NUM_THREADS": threads})
        made.append(write_tiles(few, tmp_path / threads / NAME))
        assert pyogrio.get_gdal_config_option("GDAL_NUM_THREADS") == int(threads)
    pyogrio.set_gdal_config_options({"GDAL_NUM_THREADS": before})
    assert filecmp.cmp(*made, shallow=False)


def test_a_page_that_holds_all_has_no_tiles_beside_it(few: gpd.GeoDataFrame, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"of an earlier run")
    assert publish_tiles(few, tmp_path) == []
    assert not (tmp_path / NAME).exists()


# --- the page that opens it ---


@pytest.fixture(scope="module")
def thousands() -> dict[str, Any]:
    return page_arguments("en", MANY)


@pytest.fixture(scope="module")
def folder(thousands: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of thousands and its tiles."""
    made = tmp_path_factory.mktemp("many")
    publish_page(made / "hotspots.html", MapContent(**thousands))
    assert publish_tiles(thousands["cases"], made) == [made / NAME]
    return made


@pytest.fixture(scope="module")
def small(thousands: dict[str, Any], folder: Path) -> Path:
    """The same, in a page that knows of few."""
    return publish_page(
        folder / "small.html", MapContent(**thousands), PageLimits(cases=100, full_of_more=50, points=200)
    )


def open_tiles(seen: Visit, folder: Path) -> None:
    """Choose the archive and wait until all of it is read."""
    seen.page.set_input_files("#tiles-file", folder / NAME)
    playwright.expect(seen.page.locator("#tiles-state")).to_contain_text(f"all {MANY:,} cases are here", timeout=60_000)


def last_of(cases: gpd.GeoDataFrame, kind: str) -> pd.Series:
    """The least probable case of a kind."""
    return by_rank(cases[cases["kind"] == kind]).iloc[-1]


def click_the_middle(seen: Visit) -> None:
    """Click the place where a case chosen from the list stands, beside the card."""
    seen.page.keyboard.press("Escape")
    size = seen.page.locator("#map").bounding_box()
    hidden = min(490, size["width"] * 0.5)
    seen.page.mouse.click(size["x"] + (size["width"] + hidden) / 2, size["y"] + size["height"] / 2)


def test_every_case_is_there_as_a_point_without_the_tiles(
    thousands: dict[str, Any], folder: Path, visit: Callable[..., Visit]
) -> None:
    """Every case is counted, filtered, found by its id and by a tap; the most probable keep their evidence."""
    cases = thousands["cases"]
    assert (folder / "hotspots.html").stat().st_size <= 5_000_000
    seen = visit(folder / "hotspots.html")
    assert seen.seconds() < 2.0
    assert seen.count() == f"{MANY:,} cases"
    assert f"All {MANY:,} cases are here" in seen.page.inner_text("#left-out")
    seen.page.click("#filter-box summary")
    seen.page.fill("#least", "30")
    assert seen.count() == f"{(cases['probability'] >= 0.3).sum():,} of {MANY:,} cases"
    seen.page.fill("#least", "0")
    last = last_of(cases, "beyond_boundary")
    seen.page.fill("#search", last["case_id"])
    assert seen.ids() == [last["case_id"]]
    seen.page.click("#case-list button")
    assert "This file holds the evidence of the 1,500 most probable cases" in seen.page.inner_text("#card")
    click_the_middle(seen)
    assert seen.page.inner_text("#card .id") == last["case_id"]


def test_the_tiles_bring_outline_and_evidence(
    thousands: dict[str, Any], folder: Path, visit: Callable[..., Visit]
) -> None:
    seen = visit(folder / "hotspots.html")
    open_tiles(seen, folder)
    assert seen.count() == f"{MANY:,} cases"
    assert seen.page.is_hidden("#left-out")
    last = last_of(thousands["cases"], "beyond_boundary")
    seen.page.fill("#search", last["case_id"])
    seen.page.click("#case-list button")
    seen.page.wait_for_selector("#card .term")
    card = seen.page.inner_text("#card")
    terms = json.loads(last["evidence"])
    assert seen.page.locator("#card .term").count() == len(terms)
    assert all(term["says"] in card for term in terms)
    assert "0.31 ha" in card  # outside the licence, which a bare point does not say
    assert "GCJ-02" in card
    seen.page.click("#card .row-actions button >> nth=2")
    assert outline_colours(seen) > 20


def outline_colours(seen: Visit) -> int:
    """How many different colours lie along the map's middle: a bare symbol on clean ground has few."""
    seen.page.wait_for_timeout(300)
    return seen.page.evaluate(
        """() => { const canvas = document.querySelector('canvas');
        const pen = canvas.getContext('2d');
        const row = pen.getImageData(0, canvas.height / 2, canvas.width, 1).data;
        return new Set(Array.from({length: canvas.width}, (_, i) => row.slice(4 * i, 4 * i + 4).join())).size; }"""
    )


def test_cases_that_no_page_can_hold_come_from_the_tiles(
    thousands: dict[str, Any], folder: Path, small: Path, visit: Callable[..., Visit]
) -> None:
    """Counted and said before; listed, filtered, dated, found and clicked as any other after."""
    cases = thousands["cases"]
    seen = visit(small)
    assert seen.count() == "250 cases"
    assert f"shows the 250 most probable of {MANY:,} cases" in seen.page.inner_text("#left-out")
    open_tiles(seen, folder)
    assert seen.count() == f"{MANY:,} cases"
    assert seen.ids() == by_rank(cases)["case_id"].head(100).tolist()
    seen.page.click("#filter-box summary")
    for kept, change, value in (
        (cases["kind"] != "unlicensed", "uncheck", "#kinds input[value=unlicensed]"),
        (cases["status"] != "open", "uncheck", "#statuses input[value=open]"),
        (cases["probability"] >= 0.4, "least", "40"),
        (cases["first_seen"] <= "2026-03-31", "to", "2026-03-31"),
        (cases["first_seen"] <= "2026-02-01", "time", str((pd.Timestamp("2026-02-01") - pd.Timestamp(0)).days)),
    ):
        if change == "uncheck":
            seen.page.uncheck(value)
        else:
            seen.page.fill(f"#{change}", value)
        assert 0 < kept.sum() < MANY
        assert seen.count() == f"{kept.sum():,} of {MANY:,} cases"
        seen.page.click("button[type=reset]")
    last = last_of(cases, "hidden_working_face")
    seen.page.fill("#search", last["case_id"])
    assert seen.ids() == [last["case_id"]]
    seen.page.click("#case-list button")
    click_the_middle(seen)
    assert seen.page.inner_text("#card .id") == last["case_id"]
    seen.page.wait_for_selector("#card .term")
    assert "310 m" in seen.page.inner_text("#card")


def test_it_is_asked_for_in_chinese_and_on_a_phone(folder: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(folder / "hotspots.html", PHONE, has_touch=True, is_mobile=True)
    seen.page.click("#language")
    assert seen.page.inner_text("#tiles-open") == "打开 cases.pmtiles"
    seen.page.evaluate(
        """document.getElementById('tiles-file').addEventListener('click', (asked) => {
        window.asked = true; asked.preventDefault(); })"""
    )
    seen.page.locator("#tiles-open").press("Enter")
    assert seen.page.evaluate("window.asked")
    assert "不向外发送" in seen.page.inner_text("#tiles-state")
    seen.page.set_input_files("#tiles-file", folder / NAME)
    playwright.expect(seen.page.locator("#tiles-state")).to_contain_text("均已载入", timeout=60_000)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_file_that_is_not_its_archive_is_refused(
    few: gpd.GeoDataFrame, folder: Path, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    other = write_tiles(few, tmp_path / "other.pmtiles")
    whole = (folder / NAME).read_bytes()
    seen = visit(folder / "hotspots.html")
    for content, said in (
        (b"", "not the cases.pmtiles"),
        (b"%PDF-1.7" + bytes(500), "not the cases.pmtiles"),
        (whole[:2000], "not the cases.pmtiles"),
        (other.read_bytes(), "belongs to another map"),
        (whole[: len(whole) // 2], "cannot be read further"),
        (whole, "are here"),
    ):
        path = tmp_path / "chosen.pmtiles"
        path.write_bytes(content)
        seen.page.set_input_files("#tiles-file", path)
        playwright.expect(seen.page.locator("#tiles-state")).to_contain_text(said, timeout=60_000)
