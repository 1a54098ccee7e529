"""The printed map: what the yearly satellite check asks of it is on it, in place, at its scale, in both languages."""

from __future__ import annotations

import filecmp
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import Point

from illegalmining.hotspots import hotspots
from illegalmining.publish.casefile import by_rank
from illegalmining.publish.content import MapContent
from illegalmining.publish.sheet import breakable, publish_sheet
from illegalmining.publish.sheetmap import SheetLimits, frame_of, grid_step, round_up, spots
from illegalmining.publish.text import word
from illegalmining.tables import CASES, DETECTIONS
from sample_results import AS_OF, BOUNDS, CRS, page_arguments

A3_POINTS = (1190.55, 841.89)
POINTS_PER_MM = 72 / 25.4


def content(language: str = "en", count: int = 14) -> MapContent:
    return MapContent(**page_arguments(language, count))


@pytest.fixture(scope="module", params=["en", "zh"])
def sheet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(language, PDF)."""
    path = tmp_path_factory.mktemp("sheet") / "hotspots.pdf"
    return request.param, publish_sheet(path, content(request.param))


def told(path: Path, *options: str) -> str:
    """The PDF's text."""
    found = subprocess.run(["pdftotext", *options, path, "-"], capture_output=True, check=True).stdout.decode()
    return found.replace("\u200b", "")


def run(*command: Any) -> str:
    return subprocess.run(list(command), capture_output=True, check=True, text=True).stdout


def words_at(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Word -> its middles on the first page, points from the upper left corner."""
    markup = run("pdftotext", "-bbox", "-f", "1", "-l", "1", path, "-")
    found: dict[str, list[tuple[float, float]]] = {}
    box = r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>'
    for left, top, right, bottom, text in re.findall(box, markup):
        found.setdefault(text, []).append(((float(left) + float(right)) / 2, (float(top) + float(bottom)) / 2))
    return found


def test_it_is_a3_and_every_page_has_its_mark_and_number(sheet: tuple[str, Path]) -> None:
    language, path = sheet
    about = run("pdfinfo", path)
    pages = int(re.search(r"Pages:\s+(\d+)", about)[1])
    size = re.search(r"Page size:\s+([\d.]+) x ([\d.]+)", about)
    assert (float(size[1]), float(size[2])) == pytest.approx(A3_POINTS, abs=0.1)
    assert pages >= 2
    for page in range(1, pages + 1):
        text = told(path, "-f", str(page), "-l", str(page))
        assert word("official", language) in text
        assert word("page_of", language, page=page, pages=pages) in text


def test_the_sheet_says_all_that_is_asked_of_it(sheet: tuple[str, Path]) -> None:
    language, path = sheet
    first = re.sub(r"\s+", "", told(path, "-f", "1", "-l", "1"))
    asked = [
        word("title", language),
        word("legend_print", language),
        word("unseen_title", language),
        word("sources_title", language),
        word("as_of", language, date="2026-10-31"),
        word("imagery_dates", language, first="2023-01-03", last="2026-10-28"),
        "CGCS2000 / 3-degree Gauss-Kruger CM 111E (EPSG:4546)",
        f"{word('version', language)} 0.1.0",
        "1 : 35 000",
        "C1400002010051",
        "C1400002015112",
        "sentinel-2",
        word("unseen_share", language, share="10%"),
        word("layer_blind", language),
        word("layer_roads", language),
    ]
    assert [one for one in asked if one.replace(" ", "") not in first] == []
    assert "N" in words_at(path)


def test_the_table_gives_every_spot_its_centre_and_licence(sheet: tuple[str, Path]) -> None:
    language, path = sheet
    text = told(path, "-f", "2", "-layout")
    cases = by_rank(content(language).cases)
    degrees = cases.geometry.representative_point().to_crs("EPSG:4326")
    for row, place, metres in zip(cases.itertuples(), degrees, cases.geometry.representative_point(), strict=True):
        for one in (row.case_id, f"{place.x:.6f}", f"{place.y:.6f}", f"{metres.x:.1f}", f"{metres.y:.1f}"):
            assert one in text, one
        assert word(f"kind_{row.kind}", language) in text
    assert "501200.0, 4104600.0" in text
    assert "2010-05-01" in text


def test_chinese_is_embedded_and_reads_back(tmp_path: Path) -> None:
    path = publish_sheet(tmp_path / "zh.pdf", content("zh"))
    fonts = run("pdffonts", path).splitlines()[2:]
    assert fonts
    assert all(re.search(r"\s(yes)\s+(yes|no)\s+(yes|no)\s", line) for line in fonts)
    assert any("SheetSansSC" in line for line in fonts)
    text = told(path)
    for one in ("疑似违法采矿分布图", "内部资料", "北沟煤矿", "红旗石料厂", "金山示范区", "东山县"):
        assert one in text


def two_places(path: Path, cases: gpd.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(ground, paper) of two spots that stand at their place: metres, and mm from the upper left corner."""
    placed = spots(cases, frame_of(BOUNDS, SheetLimits()), SheetLimits())
    found = words_at(path)
    sure = [spot for spot in placed if not spot["moved"] and len(found.get(str(spot["rank"]), ())) == 1]
    sure = [spot for spot in sure if spot["kind"] != "unlicensed"]  # a triangle's number stands below its middle
    ends = [max(sure, key=lambda spot: spot["y"] + sign * spot["x"] * 0.3) for sign in (1, -1)]
    ends[1] = min(sure, key=lambda spot: spot["y"])
    at = cases.geometry.representative_point()
    ground = np.array([(at.iloc[spot["rank"] - 1].x, at.iloc[spot["rank"] - 1].y) for spot in ends])
    paper = np.array([found[str(spot["rank"])][0] for spot in ends]) / POINTS_PER_MM
    return ground, paper


def test_distances_on_paper_are_those_on_the_ground_at_its_scale(tmp_path: Path) -> None:
    """Measured with a ruler on the PDF, not asked of the code that drew it."""
    made = content("en")
    path = publish_sheet(tmp_path / "a.pdf", made)
    ground, paper = two_places(path, by_rank(made.cases))
    metres = np.diff(ground, axis=0)[0]
    mm = np.diff(paper, axis=0)[0] * np.array([1, -1])
    assert np.hypot(*metres) > 2000
    np.testing.assert_allclose(mm * 35.0, metres, atol=0.4 * 35)  # 0.4 mm
    # the scale bar's labels: 1 km and 2 km
    one, two = sorted(words_at(path)["km"])
    assert (two[0] - one[0]) / POINTS_PER_MM * 35 == pytest.approx(1000, rel=0.01)


def test_blind_ground_is_hatched_and_clean_ground_is_not(tmp_path: Path) -> None:
    made = replace(content("en"), background=None)
    path = publish_sheet(tmp_path / "a.pdf", made)
    ground, paper = two_places(path, by_rank(made.cases))
    run("pdftoppm", "-r", "100", "-singlefile", "-f", "1", "-png", path, tmp_path / "sheet")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"), dtype=float)

    def contrast(x: float, y: float) -> float:
        mm = paper[0] + (np.array([x, y]) - ground[0]) / 35 * np.array([1, -1])
        column, row = (mm / 25.4 * 100).astype(int)
        return float(pixels[row - 9 : row + 9, column - 9 : column + 9].std())

    assert contrast(507300, 4107500) > 15
    assert contrast(503300, 4101200) < 1


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (publish_sheet(tmp_path / name, content("zh")) for name in ("1.pdf", "2.pdf"))
    assert filecmp.cmp(one, two, shallow=False)


def test_an_empty_map_is_blind_and_not_clean(tmp_path: Path) -> None:
    empty = CASES.frame([], CRS)
    bare = MapContent(
        district_name="x",
        language="en",
        as_of=AS_OF,
        bounds=BOUNDS,
        crs=CRS,
        cases=empty,
        detections=DETECTIONS.frame([], CRS),
        hotspots=hotspots(empty, None, BOUNDS, CRS, AS_OF),
    )
    text = re.sub(r"\s+", " ", told(publish_sheet(tmp_path / "bare.pdf", bare)))
    assert "No case was found in what could be seen" in text
    assert "the whole district is shown as blind" in text
    assert "No source was used" in text


def test_more_cases_than_the_table_takes_are_said(tmp_path: Path) -> None:
    path = publish_sheet(tmp_path / "many.pdf", content("en", 90), SheetLimits(cases=60))
    text = re.sub(r"\s+", " ", told(path))
    assert "The 60 most probable of 90; all are in cases.csv." in text
    assert "2026-0060-" in text
    assert "2026-0061-" not in text


def test_symbols_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(9)
    at = rng.normal((504000, 4104000), 150, (24, 2))
    cases = gpd.GeoDataFrame({"kind": ["unlicensed"] * 24}, geometry=[Point(*one) for one in at], crs=CRS)
    frame, limits = frame_of(BOUNDS, SheetLimits()), SheetLimits()
    placed = spots(cases, frame, limits)
    assert any(spot["moved"] for spot in placed)
    for i, one in enumerate(placed):
        right, down = frame.at(*at[i])
        assert (one["at_x"], one["at_y"]) == pytest.approx((right, down))
        for other in placed[:i]:
            assert math.hypot(one["x"] - other["x"], one["y"] - other["y"]) > limits.spot_mm * 0.85


@given(st.floats(500, 2e6), st.floats(500, 2e6))
def test_bounds_of_any_size_fit_the_sheet_at_a_round_scale(width: float, height: float) -> None:
    limits = SheetLimits()
    frame = frame_of((0.0, 0.0, width, height), limits)
    assert frame.width <= limits.width_mm + 1e-6
    assert frame.height <= limits.height_mm + 1e-6
    # not a scale too small: the next larger one would not fit
    larger = frame.scale * 0.7
    assert (
        frame.width * frame.scale / larger > limits.width_mm or frame.height * frame.scale / larger > limits.height_mm
    )
    digits = f"{frame.scale:.0f}".rstrip("0")
    assert len(digits) <= 3


@pytest.mark.parametrize(
    ("value", "scale"), [(33334, 35000), (25000, 25000), (8100, 9000), (9500, 10000), (1.01e6, 1.25e6)]
)
def test_scales_are_round(value: float, scale: float) -> None:
    assert round_up(value) == pytest.approx(scale)


def test_grid_lines_are_round_and_not_too_dense() -> None:
    assert grid_step(32, 25000) == 1000
    assert grid_step(32, 35000) == 2000
    assert grid_step(32, 1_000_000) == 50_000


def test_long_text_is_cut_and_can_break() -> None:
    assert breakable(None) == ""
    assert breakable(pd.NaT) == ""
    assert len(breakable("x" * 10_000)) < 200
    assert all(len(run) <= 18 for run in breakable("W" * 100).split("\u200b"))
    assert breakable("a\u202eb") == "ab"
