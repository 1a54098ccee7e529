"""The map page in a real browser with the network cut: it asks for nothing, raises nothing, and says what is true."""

from __future__ import annotations

import filecmp
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from browser import DESK, PHONE, Visit
from illegalmining.hotspots import hotspots
from illegalmining.publish.content import MapContent
from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.page import RemoteReferenceError, publish_page, refuse_remote
from illegalmining.publish.text import words
from illegalmining.tables import CASES, DETECTIONS
from sample_results import AS_OF, BOUNDS, CRS, HOSTILE, page_arguments

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def arguments() -> dict[str, Any]:
    return page_arguments("en")


@pytest.fixture(scope="module")
def english(arguments: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_page(tmp_path_factory.mktemp("en") / "hotspots.html", MapContent(**arguments))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_page(tmp_path_factory.mktemp("zh") / "hotspots.html", MapContent(**page_arguments("zh")))


@pytest.fixture(scope="module")
def cases(arguments: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(arguments["cases"].drop(columns="geometry"))


# --- the file ---


class Addresses(HTMLParser):
    """Every attribute of a page that could make a browser fetch something, and the tags there are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        fetching = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "ping"}
        self.found += [value or "" for name, value in attrs if name in fetching]


def test_the_file_names_nothing_outside_itself(english: Path) -> None:
    text = english.read_text("utf-8")
    addresses = Addresses()
    addresses.feed(text)
    assert addresses.found == ["#case-list"]
    assert not {"link", "iframe", "object", "embed", "base", "img", "form-action"} & set(addresses.tags)
    assert addresses.tags.count("script") == 3
    assert not re.search(r"@import|sourceMappingURL|\burl\((?!data:|#)", text)
    # the only addresses in it are names of XML vocabularies and the text of a hostile register, broken up
    assert set(re.findall(r"https?://[\w.]+", text)) == {"http://www.w3.org"}


def test_the_policy_lets_nothing_be_fetched(english: Path, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto(english.as_uri())
    page.wait_for_selector("html[data-ready]")
    refused = page.evaluate("fetch('file:///etc/hostname').then(() => 'fetched', () => 'refused')")
    assert refused == "refused"
    page.evaluate(
        """() => { const added = document.createElement('script'); added.textContent = 'window.ran = 1';
        document.body.append(added); }"""
    )
    assert page.evaluate("window.ran") is None
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    page.close()


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/leaflet.js">',
        "<img src='//cdn.example/a.png'>",
        "@import 'theme.css'",
        "background: url(images/layers.png)",
        "L.tileLayer('https://{s}.tile.example/{z}/{x}/{y}.png')",
        "fetch ('x')",
        "new WebSocket(y)",
        "eval(z)",
    ],
)
def test_a_page_with_anything_remote_is_refused(text: str) -> None:
    with pytest.raises(RemoteReferenceError, match="self-contained"):
        refuse_remote(text)


def test_the_same_run_gives_the_same_bytes(arguments: dict[str, Any], english: Path, tmp_path: Path) -> None:
    assert filecmp.cmp(publish_page(tmp_path / "again.html", MapContent(**arguments)), english, shallow=False)


# --- what it shows ---


@pytest.mark.parametrize(("language", "title"), [("en", "Suspected illegal mining"), ("zh", "疑似违法采矿分布图")])
def test_it_opens_in_the_districts_language(
    language: str, title: str, english: Path, chinese: Path, visit: Callable[..., Visit], cases: pd.DataFrame
) -> None:
    seen = visit(english if language == "en" else chinese)
    assert title in seen.page.inner_text("h1")
    assert title in seen.page.title()
    assert seen.ids() == cases.sort_values("probability", ascending=False)["case_id"].tolist()
    assert "2026" in seen.page.inner_text("#as-of")
    assert seen.page.is_visible(".leaflet-control-scale-line")


def test_the_other_language_is_one_click_away(english: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(english)
    seen.page.click("#language")
    assert seen.page.get_attribute("html", "lang") == "zh-CN"
    for one in seen.page.query_selector_all("[data-word]"):
        key = one.get_attribute("data-word")
        assert one.text_content() == words()[key]["zh"], key
    assert "隐蔽工作面" in seen.page.inner_text("#case-list")
    assert "Hidden" not in seen.page.inner_text("body")
    seen.page.click("#language")
    assert "Hidden working face" in seen.page.inner_text("#case-list")


def test_a_case_tells_its_facts_and_evidence(
    english: Path, visit: Callable[..., Visit], arguments: dict[str, Any]
) -> None:
    seen = visit(english)
    case = arguments["cases"].iloc[1]
    seen.page.click(f"#case-list button[data-case='{case.case_id}']")
    card = seen.page.inner_text("#card")
    place = arguments["cases"].geometry.iloc[[1]].representative_point().to_crs("EPSG:4326").iloc[0]
    for said in (
        case.case_id,
        "Beyond boundary",
        "91%",
        "C1400002010051",
        f"{place.x:.6f}, {place.y:.6f}",
        "West county",
    ):
        assert said in card
    terms = json.loads(case.evidence)
    assert all(term["says"] in card for term in terms)
    assert len(terms) == seen.page.locator("#card .term").count()
    series = json.loads(arguments["detections"].set_index("detection_id").loc[terms[0]["detection_id"], "attributes"])
    observed = [value for value in series["series"]["observed"] if value is not None]
    assert seen.page.locator("#card .plot").first.locator("circle").count() == len(observed)


def test_a_mark_on_the_map_opens_its_case(english: Path, visit: Callable[..., Visit], cases: pd.DataFrame) -> None:
    seen = visit(english)
    seen.page.click("#case-list button >> nth=9")
    seen.page.keyboard.press("Escape")
    # the map was centred on the case beside the card; its mark lies where the card left room
    size = seen.page.locator("#map").bounding_box()
    hidden = min(490, size["width"] * 0.5)
    seen.page.mouse.click(size["x"] + (size["width"] + hidden) / 2, size["y"] + size["height"] / 2)
    assert seen.page.is_visible("#card")
    assert seen.page.inner_text("#card .id") == cases.sort_values("probability", ascending=False)["case_id"].iloc[9]


def test_the_keyboard_is_enough(english: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(english)
    seen.page.focus("#case-list button >> nth=2")
    seen.page.keyboard.press("Enter")
    assert seen.page.is_visible("#card")
    assert seen.page.evaluate("document.getElementById('card').contains(document.activeElement)")
    seen.page.keyboard.press("Escape")
    assert seen.page.is_hidden("#card")
    assert seen.page.evaluate("document.activeElement.dataset.case") == seen.ids()[2]


def test_every_control_has_a_name(english: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(english)
    seen.page.click("#filter-box summary")
    nameless = seen.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [role=dialog]')].filter((one) =>
        !(one.getAttribute('aria-label') || one.textContent.trim() || one.title || (one.labels && one.labels.length)))
        .filter((one) => one.id !== 'card').map((one) => one.outerHTML.slice(0, 90))"""
    )
    assert nameless == []


def test_a_screen_reader_is_told_what_it_needs(english: Path, visit: Callable[..., Visit]) -> None:
    """Headings in order, landmarks, live counts, a dialog that names itself, no position without words."""
    seen = visit(english)
    levels = seen.page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert seen.page.locator("main").count() == 1
    assert seen.page.get_attribute("#count", "aria-live") == "polite"
    assert seen.page.get_attribute("#map", "aria-label") == "Map of the district"
    seen.page.fill("#time", seen.page.get_attribute("#time", "min"))
    assert re.match(r"\d+ \w+ 20\d\d", seen.page.get_attribute("#time", "aria-valuetext"))
    seen.page.fill("#time", seen.page.get_attribute("#time", "max"))
    seen.page.click("#case-list button >> nth=0")
    assert seen.page.get_attribute("#card", "role") == "dialog"
    assert seen.page.get_attribute("#card", "aria-label").startswith("Case ")
    assert all(
        label for label in seen.page.eval_on_selector_all("svg[role=img]", "all => all.map(one => one.ariaLabel)")
    )
    tabbed = []
    for _ in range(4):
        seen.page.keyboard.press("Tab")
        tabbed.append(seen.page.evaluate("document.activeElement.tagName"))
    assert set(tabbed) <= {"BUTTON", "A", "INPUT", "SUMMARY", "DIV"}


def test_text_stands_out_from_its_ground(english: Path, visit: Callable[..., Visit]) -> None:
    """WCAG AA: 4.5 to 1 for every text of the panel, the card and the legend."""
    seen = visit(english)
    seen.page.click("#case-list button >> nth=0")
    weak = seen.page.evaluate(
        """() => {
        const channel = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
        const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const ground = (one) => {
          for (let at = one; at; at = at.parentElement) {
            const found = rgb(getComputedStyle(at).backgroundColor);
            if (found.length < 4 || found[3] > 0.9) return found;
          }
          return [255, 255, 255];
        };
        const said = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        return [...document.querySelectorAll('header *, .panel *, .card *, .legend *')]
          .filter((one) => one.offsetParent && said(one)).map((one) => {
            const pair = [light(rgb(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
            return [(pair[0] + 0.05) / (pair[1] + 0.05), one.textContent.slice(0, 40)];
          }).filter(([ratio]) => ratio < 4.5); }"""
    )
    assert weak == []


def test_ways_there_in_both_datums_with_a_caution(
    english: Path, visit: Callable[..., Visit], arguments: dict[str, Any]
) -> None:
    seen = visit(english)
    seen.page.click("#case-list button >> nth=0")
    case = arguments["cases"].sort_values("probability", ascending=False).iloc[[0]]
    place = case.geometry.representative_point().to_crs("EPSG:4326").iloc[0]
    links = seen.page.eval_on_selector_all("#card a", "all => all.map(one => [one.href, one.rel])")
    assert links[0][0] == f"geo:{place.y:.6f},{place.x:.6f}"
    lon, lat = to_gcj02(place.x, place.y)
    position = re.search(r"^https://uri\.amap\.com/marker\?position=([\d.]+),([\d.]+)&coordinate=gaode", links[1][0])
    assert (float(position[1]), float(position[2])) == pytest.approx((lon, lat), abs=2e-6)
    assert links[1][1] == "noreferrer noopener"
    card = seen.page.inner_text("#card")
    assert "enter GCJ-02 there, never WGS 84" in card
    assert f"{lon:.6f}, {lat:.6f}" in card or f"{float(position[1]):.6f}, {float(position[2]):.6f}" in card


# --- filters and time ---


def expect(seen: Visit, kept: pd.Series, cases: pd.DataFrame) -> None:
    """The list shows exactly these cases."""
    assert 0 < kept.sum() < len(cases)
    assert set(seen.ids()) == set(cases.loc[kept, "case_id"])
    assert seen.count() == f"{kept.sum()} of {len(cases)} cases"


def test_filters_keep_what_they_say(english: Path, visit: Callable[..., Visit], cases: pd.DataFrame) -> None:
    seen = visit(english)
    page = seen.page
    page.click("#filter-box summary")

    page.uncheck("#kinds input[value=unlicensed]")
    expect(seen, cases["kind"] != "unlicensed", cases)
    page.click("button[type=reset]")
    assert seen.count() == f"{len(cases)} cases"

    page.uncheck("#statuses input[value=open]")
    expect(seen, cases["status"] != "open", cases)
    page.click("button[type=reset]")

    page.fill("#least", "60")
    expect(seen, cases["probability"] >= 0.6, cases)
    page.click("button[type=reset]")

    page.fill("#to", "2026-04-30")
    expect(seen, cases["first_seen"] <= "2026-04-30", cases)
    page.click("button[type=reset]")

    page.select_option("#where", "141001")
    expect(seen, cases["jurisdiction"] == "141001", cases)
    page.click("button[type=reset]")

    page.check("#only-new")
    expect(seen, cases["first_reported"] == pd.Timestamp(AS_OF), cases)
    page.click("button[type=reset]")

    page.fill("#search", cases["case_id"][3].upper())
    expect(seen, cases["case_id"] == cases["case_id"][3], cases)
    page.fill("#search", "no such case")
    assert seen.ids() == []
    assert seen.count() == "No case here matches the filter."


def test_the_slider_goes_back_in_time(english: Path, visit: Callable[..., Visit], cases: pd.DataFrame) -> None:
    seen = visit(english)
    day = pd.Timestamp("2026-05-15")
    seen.page.fill("#time", str((day - pd.Timestamp(0)).days))
    expect(seen, cases["first_seen"] <= day, cases)
    assert "15 May 2026" in seen.page.inner_text("#time-out")
    seen.page.click("#play")
    playwright.expect(seen.page.locator("#play")).to_have_text("Play", timeout=20_000)
    assert seen.page.input_value("#time") == seen.page.get_attribute("#time", "max")
    assert seen.count() == f"{len(cases)} cases"


# --- what could not be seen ---


def shades(seen: Visit, x: float, y: float) -> set[tuple[int, ...]]:
    """The colours the canvas has in a square of 24 pixels round a place of the working CRS."""
    west, south, east, north = BOUNDS
    share = ((x - west) / (east - west), (north - y) / (north - south))
    return {
        tuple(colour)
        for colour in seen.page.evaluate(
            """([right, down]) => {
            const image = document.querySelector('.leaflet-image-layer').getBoundingClientRect();
            const canvas = document.querySelector('canvas');
            const box = canvas.getBoundingClientRect();
            const x = image.x + image.width * right - box.x, y = image.y + image.height * down - box.y;
            const pixels = canvas.getContext('2d').getImageData(x - 12, y - 12, 24, 24).data;
            return Array.from({length: 576}, (_, i) => [...pixels.slice(4 * i, 4 * i + 4)]); }""",
            share,
        )
    }


def test_blind_ground_is_hatched_and_clean_ground_is_not(english: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(english)
    seen.page.wait_for_timeout(200)
    assert len(shades(seen, 507300, 4107700)) > 5
    assert shades(seen, 503500, 4101000) == {(0, 0, 0, 0)}
    assert seen.page.is_disabled("[data-layer=blind]")
    assert seen.page.is_checked("[data-layer=blind]")


def test_it_says_what_could_not_be_seen(english: Path, visit: Callable[..., Visit], arguments: dict[str, Any]) -> None:
    seen = visit(english)
    seen.page.click("#tab-about")
    about = seen.page.inner_text("#pane-about")
    share = np.isnan(arguments["coverage"].values).mean()
    assert f"{share:.0%} of the district is blind" in about
    assert arguments["remarks"][0] in about
    assert "What a case is not" in about
    assert "EPSG:4546" in about
    for source in arguments["sources"]:
        assert source["name"] in about
        assert source["first"] in about


def test_a_bare_run_is_shown_as_blind_and_not_as_clean(
    arguments: dict[str, Any], tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    """No case, no register, no image, no coverage."""
    empty = CASES.frame([], CRS)
    bare = {
        **arguments,
        "cases": empty,
        "detections": DETECTIONS.frame([], CRS),
        "hotspots": hotspots(empty, None, BOUNDS, CRS, AS_OF),
        **dict.fromkeys(("concessions", "mines", "jurisdictions", "coverage", "background")),
        "sources": [],
        "remarks": [],
        "run": {},
    }
    seen = visit(publish_page(tmp_path / "bare.html", MapContent(**bare)))
    assert "No case was found in what could be seen" in seen.count()
    seen.page.click("#tab-about")
    assert "the whole district is shown as blind" in seen.page.inner_text("#pane-about")
    seen.page.wait_for_timeout(200)
    drawn = seen.page.evaluate(
        """() => { const canvas = document.querySelector('canvas');
        const pixels = canvas.getContext('2d').getImageData(canvas.width / 2 - 10, canvas.height / 2 - 10, 20, 20).data;
        return new Set(Array.from({length: 400}, (_, i) => pixels.slice(4 * i, 4 * i + 4).join())).size; }"""
    )
    assert drawn > 5


# --- hostile text ---


def test_hostile_text_is_only_text(english: Path, visit: Callable[..., Visit], cases: pd.DataFrame) -> None:
    seen = visit(english)
    row = cases.index[cases["mine_id"] == HOSTILE][0]
    seen.page.click(f"#case-list button[data-case='{cases['case_id'][row]}']")
    card = seen.page.inner_text("#card")
    assert "</script><img src=x onerror=" in card
    assert "\u202e" not in card
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.locator("img:not(.leaflet-image-layer)").count() == 0


def test_a_name_without_end_leaves_the_map_its_room(
    arguments: dict[str, Any], tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    long = MapContent(**{**arguments, "district_name": "深" * 5000 + "W" * 5000, "remarks": ["W" * 10_000]})
    seen = visit(publish_page(tmp_path / "long.html", long))
    assert seen.page.locator("#map").bounding_box()["height"] > 500
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= DESK["width"]
    seen.page.click("#tab-about")
    assert seen.page.evaluate("document.getElementById('pane-about').scrollWidth") <= 392


# --- phone, paper, size ---


@pytest.mark.parametrize("path", ["english", "chinese"])
def test_it_fits_a_phone(path: str, request: pytest.FixtureRequest, visit: Callable[..., Visit]) -> None:
    seen = visit(request.getfixturevalue(path), PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    map_box = seen.page.locator("#map").bounding_box()
    assert map_box["width"] == PHONE["width"]
    assert map_box["height"] > 250
    seen.page.tap("#case-list button >> nth=0")
    card = seen.page.locator("#card").bounding_box()
    assert card["width"] == PHONE["width"]
    assert card["y"] > 200
    assert card["y"] + card["height"] == pytest.approx(PHONE["height"], abs=1)


def test_paper_shows_the_cases_that_are_shown(english: Path, visit: Callable[..., Visit], cases: pd.DataFrame) -> None:
    seen = visit(english)
    seen.page.click("#filter-box summary")
    seen.page.fill("#least", "60")
    pdf = seen.page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
    rows = seen.page.locator("#paper > table tbody tr")
    assert rows.count() == (cases["probability"] >= 0.6).sum()
    # the screen is as it was before
    assert seen.page.is_visible("#panel")
    assert seen.page.is_hidden("#paper")
    assert seen.page.locator("img.pressed").count() == 0


def test_five_thousand_cases_open_at_once(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    path = publish_page(tmp_path / "many.html", MapContent(**page_arguments("zh", 5000)))
    assert path.stat().st_size <= 5_000_000
    seen = visit(path)
    assert seen.seconds() < 2.0
    assert seen.page.is_hidden("#left-out")
    assert len(seen.ids()) == 100
    seen.page.click("#more")
    assert len(seen.ids()) == 200
