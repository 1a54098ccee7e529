"""The plan's files: legible without a network, harmless whatever the registers say, silent on draws and on the seed."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner

from illegalmining.cli import app
from illegalmining.errors import ConfigurationError, InputError
from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.raid_plan import PlanContent, publish_raid_plan
from illegalmining.publish.raid_plan_page import publish_plan_page
from illegalmining.raid.audit import precision
from illegalmining.raid.planning import make_plan
from illegalmining.raid.rules import Rules
from sample_results import HOSTILE
from test_raid import REQUEST, quiet_mines, sites

SECRET = 987654321987654321
DISTRICT = """
[district]
name = "d"
crs = "EPSG:4546"
bounds = [500000, 4100000, 508000, 4108000]
history_from = 2023-01-01
monitor_from = 2026-01-01
as_of = 2026-10-31
[registers]
jurisdictions = "jurisdictions.gpkg"
"""


def content(secret: int = SECRET) -> PlanContent:
    rng = np.random.default_rng(5)
    base = np.array([504_000.0, 4_104_000.0])
    moved = [
        type(site)(**{**vars(site), "x": site.x + base[0], "y": site.y + base[1], "mine_id": "M0"})
        for site in [*sites(rng, 12), *quiet_mines(rng, 5)]
    ]
    request = type(REQUEST)(2, 1, 2, REQUEST.first_day, (base[0], base[1]), 111.045, 37.067, "Asia/Shanghai")
    made = make_plan(request, moved[:12], moved[12:], None, secret, Rules(audit_share=0.3))
    mines = {"M0": (HOSTILE, HOSTILE)}
    strata = precision(made.drawn, made.frame)
    estimate = {"estimate": None, "low": None, "high": None, "drawn": 0, "answered": 0}
    return PlanContent(made, request, Rules(), HOSTILE, "zh", "EPSG:4546", "2026-10-31", mines, strata, estimate)


@pytest.fixture(scope="module")
def told() -> PlanContent:
    return content()


@pytest.fixture(scope="module")
def folder(told: PlanContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plan")
    publish_raid_plan(told, made)
    publish_plan_page(told, made)
    return made


def test_hostile_text_stays_text(folder: Path) -> None:
    page = (folder / "plan.html").read_text("utf-8")
    scripts = re.findall(r"<script[^>]*>(.*?)</script", page, re.DOTALL | re.IGNORECASE)
    assert scripts == [(files("illegalmining.maps") / "plan.js").read_text("utf-8")]
    assert page.lower().count("<script") == 1
    assert "<img" not in page.lower()
    assert "\u202e" not in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    ET.parse(folder / "plan.gpx")


def test_coordinates_are_in_three_systems(folder: Path, told: PlanContent) -> None:
    record = json.loads((folder / "plan.json").read_text("utf-8"))
    call = told.plan.tours[0].calls[0]
    place = gpd.GeoSeries(gpd.points_from_xy([call.site.x], [call.site.y]), crs="EPSG:4546").to_crs("EPSG:4326")[0]
    stop = record["tours"][0]["stops"][0]
    assert stop["wgs84"] == pytest.approx([place.x, place.y], abs=1e-6)
    assert stop["cgcs2000"] == pytest.approx([place.x, place.y], abs=1e-5)
    assert stop["gcj02"] == pytest.approx(list(to_gcj02(place.x, place.y) or ()), abs=1e-5)
    page = (folder / "plan.html").read_text("utf-8")
    assert f"{stop['gcj02'][0]:.6f}, {stop['gcj02'][1]:.6f}" in page


def test_only_the_office_learns_what_was_drawn_and_nobody_the_seed(folder: Path, told: PlanContent) -> None:
    record = json.loads((folder / "plan.json").read_text("utf-8"))
    assert any(stop["drawn_blind"] for tour in record["tours"] for stop in tour["stops"])
    stops = gpd.read_file(folder / "plan.gpkg", layer="stops")
    assert not {"drawn_blind", "chance", "probability", "value"} & set(stops.columns)
    assert {"outcome", "visited", "reason", "inspector"} <= set(stops.columns)
    for name in ("plan.html", "plan.gpx", "plan.json", "plan.gpkg"):
        assert str(SECRET).encode() not in (folder / name).read_bytes()


def test_the_geopackage_has_its_styles(folder: Path) -> None:
    assert {name for name, _ in pyogrio.list_layers(folder / "plan.gpkg")} >= {"stops", "legs", "layer_styles"}


def test_a_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = content()
    publish_raid_plan(again, tmp_path)
    publish_plan_page(again, tmp_path)
    for name in ("plan.html", "plan.gpx", "plan.json", "plan.gpkg"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (["--teams", "0", "--days", "1", "--from", "111.04,37.07"], ConfigurationError, "--teams 0: expected 1 to 100"),
        (["--teams", "1", "--days", "0", "--from", "111.04,37.07"], ConfigurationError, "--days 0"),
        (["--teams", "1", "--days", "1", "--from", "37.07,111.04"], ConfigurationError, "the two are swapped"),
        (["--teams", "1", "--days", "1", "--from", "10,50"], ConfigurationError, "outside the district"),
        (["--teams", "1", "--days", "1", "--from", "here"], ConfigurationError, "expected LON,LAT"),
        (["--teams", "1", "--days", "1", "--from", "111.04,37.07"], InputError, "holds no finished run"),
    ],
)
def test_what_cannot_be_planned_is_said(options: list[str], error: type[Exception], says: str, tmp_path: Path) -> None:
    (tmp_path / "district.toml").write_text(DISTRICT)
    done = CliRunner().invoke(app, ["plan", str(tmp_path / "district.toml"), *options])
    assert isinstance(done.exception, error)
    assert says in str(done.exception)
