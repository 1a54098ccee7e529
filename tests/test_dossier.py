"""The dossier: it says and shows what an inspector needs, in both languages, truly, and nothing that is not there."""

from __future__ import annotations

import filecmp
import hashlib
import json
import re
import subprocess
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import segno
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from PIL import Image
from shapely.geometry import Point, box

from illegalmining.detect.pim import Panel, look_vector, outline, sight
from illegalmining.district import read_district
from illegalmining.errors import InputError
from illegalmining.imagery import cube as cube_module
from illegalmining.imagery.beforeafter import Pair, PairParameters, optical_pairs, radar_pairs
from illegalmining.imagery.movedground import MovedGround, moved_ground
from illegalmining.imagery.window import opened
from illegalmining.pipelines.dossiers import write_dossiers
from illegalmining.publish.content import MapContent
from illegalmining.publish.dossier import publish_dossiers
from illegalmining.publish.dossiercase import CaseMatter, Origin
from illegalmining.publish.dossierevidence import CHECKS, odds
from illegalmining.publish.dossierfacts import road_class
from illegalmining.publish.dossiermovement import MovementLimits, levelled, modelled, profile_line
from illegalmining.publish.dossierplots import ABOVE, SHUT, PlotLimits, series_figures
from illegalmining.publish.text import dossier_words, say, words
from illegalmining.tables import JURISDICTIONS, KINDS, MINE_STATUS, WORKING_FACES
from sample_results import AS_OF, BOUNDS, CRS, HOSTILE, page_arguments

DAY0 = pd.Timestamp("2026-01-01")
PANEL = Panel(502000.0, 4105900.0, 30.0, 240.0, 120.0, 120.0, 1.5)
DATES = [f"{DAY0 + pd.Timedelta(days=12 * i):%Y-%m-%d}" for i in range(20)]


def settled_mm(at_x: Any, at_y: Any) -> Any:
    """What the planted face moves the ground by in the line of sight, mm."""
    return 1000 * sight(PANEL, np.asarray(at_x, float), np.asarray(at_y, float), look_vector(39.0, 281.0))


def planted_ground(share: float = 1.0, offset: float = 7.0) -> MovedGround:
    """The movement of the planted face on a grid, with an offset of the whole scene."""
    x, y = np.arange(501400.0, 502630.0, 30.0), np.arange(4106500.0, 4105270.0, -30.0)
    moved = share * settled_mm(*np.meshgrid(x, y)) + offset
    return MovedGround("insar", moved, x, y, 30.0, date(2026, 1, 1), date(2026, 8, 17), 3, 39.0, 281.0)


def load_series() -> dict[str, Any]:
    """Two hundred days of a mine shut on 2026-03-02 that works on 40 of them."""
    days = pd.date_range("2026-01-01", periods=200)
    observed = np.full(200, 6000.0)
    observed[100:140] = 12000.0
    bands = {"expected": 6000.0, "low": 5500.0, "high": 6500.0}
    told = {name: [value] * 200 for name, value in bands.items()}
    return {"dates": [f"{one:%Y-%m-%d}" for one in days], "observed": observed.tolist(), **told, "unit": "kWh/day"}


def statuses() -> pd.DataFrame:
    rows = [
        {
            "mine_id": "M001",
            "status": "producing",
            "from": pd.Timestamp("2020-05-01"),
            "to": pd.Timestamp("2026-03-02"),
        },
        {"mine_id": "M001", "status": "suspended", "from": pd.Timestamp("2026-03-02"), "order_no": "KJ-2026-17"},
    ]
    return MINE_STATUS.frame([{"to": pd.NaT, "shaft_id": None, "order_no": None, **row} for row in rows])


def faces() -> Any:
    about = {"mine_id": "M001", "seam": "No. 3", "start": DAY0, "stop": pd.NaT, "depth_m": 240.0, "thickness_m": 2.1}
    return WORKING_FACES.frame([{"face_id": "F-101", **about, "geometry": box(502300, 4105800, 502420, 4105900)}], CRS)


def detection(detector: str, number: int, attributes: dict[str, Any], log_lr: float = 3.0) -> dict[str, Any]:
    return {
        "detection_id": f"{detector}-{number:012x}",
        "detector": detector,
        "first_seen": pd.Timestamp("2026-04-11"),
        "last_seen": pd.Timestamp("2026-08-17"),
        "log_lr": log_lr,
        "geometry": outline(PANEL),
        "attributes": attributes,
    }


def face_found() -> dict[str, Any]:
    names = ("x", "y", "azimuth_deg", "length_m", "width_m", "radius_m", "w0_m")
    middle = float(settled_mm(PANEL.x, PANEL.y))
    expected = (middle * np.clip(np.arange(20) / 10, 0, 1)).tolist()
    return {name: getattr(PANEL, name) for name in names} | {
        "volume_m3": 43200.0,
        "depth_m": 240.0,
        "depth_low_m": 170.0,
        "depth_high_m": 300.0,
        "middle_seen": 1.0,
        "intervals_90": {"volume_m3": [39000.0, 48000.0], "start": ["2026-01-02", "2026-01-20"]},
        "series": {"dates": DATES, "observed": expected, "expected": expected, "unit": "mm"},
    }


def picture(kind: str = "true") -> Pair:
    """A pit of bright ground that was not there before."""
    before = np.full((60, 60, 3), 0.08)
    after = before.copy()
    after[25:35, 25:35] = 0.3
    days = (date(2026, 3, 30),), (date(2026, 8, 12),)
    bounds = (501700.0, 4105600.0, 502300.0, 4106200.0)
    return Pair("sentinel-2", kind, before, after, *days, (1.0, 0.97), bounds, 10.0, (3, 9))


def full_case(language: str = "en", kind: str = "active_while_shut", **more: Any) -> CaseMatter:
    """A case with everything: power, movement, images, registers, hashes."""
    found = [
        detection("power", 1, {"nights": 40, "excess_kwh": 240000.0, "unread_days": [], "series": load_series()}, 4.0),
        detection("subsidence", 2, face_found(), -1.5),
    ]
    evidence = [
        {"detector": one["detector"], "detection_id": one["detection_id"], "log_lr": one["log_lr"], "weight": 1.0,
         "counted": one["log_lr"], "says": f"{one['detector']} says so"}
        for one in found
    ]  # fmt: skip
    row = {
        "case_id": "2604-ABCDEF", "kind": kind, "probability": 0.71, "mine_id": "M001",
        "licence_no": "C1400002010051", "jurisdiction": "141001", "first_seen": pd.Timestamp("2026-04-11"),
        "last_seen": pd.Timestamp("2026-08-17"), "first_reported": pd.Timestamp("2026-08-31"), "area_m2": 28800.0,
        "area_outside_m2": np.nan, "depth_m": 240.0, "status": "open", "attribution": "named",
        "evidence": json.dumps(evidence), "rivals": json.dumps({"no_activity": 0.29, "construction": 0.0}),
        "operator": "Jinshan Coal Co.", "answer_due": pd.Timestamp("2026-09-30"),
        "calibration": "uncalibrated: prior only", "geometry": outline(PANEL),
    }  # fmt: skip
    whole = MapContent(**page_arguments(language))
    given: dict[str, Any] = {
        "detections": found,
        "statuses": statuses(),
        "faces": faces(),
        "origins": {"mine_status": Origin("mine_status", "registers/mine_status.csv", "ab" * 32, True)},
        "pairs": [picture(), picture("false_swir")],
        "moved": planted_ground(),
        "inputs": [("registers/mine_status.csv", 1, "cd" * 32), ("imagery/s2", 833, "ef" * 32)],
        "shown": [("imagery/s2/red.tif", "12" * 32)],
        "made_by": "illegalmining 0.1.0",
    }
    return CaseMatter(**{"case": row, "whole": whole, **given, **more})


def bare_case() -> CaseMatter:
    """A case of a district that has nothing but the evidence itself."""
    matter = full_case(kind="unlicensed")
    empty = {"concessions": None, "mines": None, "roads": None, "background": None, "coverage": None, "remarks": []}
    row = {**matter.case, "mine_id": None, "licence_no": None, "operator": None, "attribution": None, "evidence": "[]"}
    said = [("no_sources_configured", {})], [("no_movement_source", {})]
    return CaseMatter(
        row, replace(matter.whole, sources=[], **empty), [], said_of_images=said[0], said_of_movement=said[1]
    )


def pdf(folder: Path, matter: CaseMatter) -> Path:
    return publish_dossiers(folder, [matter])[0]


def told(path: Path) -> str:
    """The PDF's text, without blanks: lines break where they like."""
    out = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=True).stdout.decode()
    return re.sub(r"[\s\u200b]+", "", out)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.fixture(scope="module", params=["en", "zh"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(language, PDF) of a case with everything."""
    return request.param, pdf(tmp_path_factory.mktemp("dossier"), full_case(request.param))


def test_every_word_is_there_in_both_languages() -> None:
    for key, said in {**words(), **dossier_words()}.items():
        assert set(said) == {"en", "zh"}, key
        assert sorted(re.findall(r"{(\w+)}", said["en"])) == sorted(re.findall(r"{(\w+)}", said["zh"])), key
    assert not set(words()) & set(dossier_words())
    assert set(CHECKS) == set(KINDS)


def test_it_is_a4_and_says_all_that_is_asked(full: tuple[str, Path]) -> None:
    language, path = full
    about = subprocess.run(["pdfinfo", path], capture_output=True, check=True, text=True).stdout
    width, height = map(float, re.search(r"Page size:\s+([\d.]+) x ([\d.]+)", about).groups())
    assert (width, height) == pytest.approx((595.28, 841.89), abs=0.1)
    asked = [
        "2604-ABCDEF", "北沟煤矿", "Jinshan Coal Co.", "C1400002010051", "KJ-2026-17", "2026-03-02", "F-101",
        "X4105900.0,Y37502000.0", "registers/mine_status.csv", "ab" * 32, "cd" * 32, "12" * 32,
        "2026-03-30", "2026-08-12", "240,000", "2026-04-11",
        say("changed_since_run", language), say("mine_suspended", language),
        say("true_colour", language), say("plot_power", language), say("movement_profile", language),
        say("rival_no_activity", language), say("rival_construction", language), say("safety_1", language),
        say("check_seal", language), say("check_fan", language), say("check_belt", language),
        say("outcome_inconclusive", language), say("custody_title", language), say("custody_note", language),
        say("counter_term", language, nats="-1.5", says="subsidence says so"), "833",
    ]  # fmt: skip
    text = told(path)
    assert [one for one in asked if squeezed(one) not in text] == []


def test_a_chinese_dossier_has_chinese_words_for_roads_detectors_and_what_was_learned(tmp_path: Path) -> None:
    matter = full_case("zh")
    road = matter.whole.roads.assign(**{"class": ["tertiary_link", "Track"]})
    row = {**matter.case, "calibration": "calibrated on 31 outcome(s)"}
    text = told(pdf(tmp_path, replace(matter, whole=replace(matter.whole, roads=road), case=row)))
    assert "便道，" in text or "支线公路，" in text
    assert "已按31次核查结果校准" in text
    assert re.search("去掉(用电|光学影像|地表形变)（", text)
    assert not re.search("track|tertiary|calibrated|去掉[a-z]", text, re.IGNORECASE)


def test_a_road_of_no_known_class_keeps_its_register_s_word() -> None:
    assert road_class("村道", "zh") == "村道"
    assert road_class("service", "en") == "service road"


def gauss_krueger(lon: float, lat: float, middle: float = 111.0) -> tuple[float, float]:
    """Easting and northing near the central meridian: the textbook's series on CGCS2000's ellipsoid."""
    a, f = 6378137.0, 1 / 298.257222101
    e2 = f * (2 - f)
    phi, away = np.deg2rad(lat), np.deg2rad(lon - middle)
    steps = np.linspace(0, phi, 20001)
    arc = np.trapezoid(a * (1 - e2) / (1 - e2 * np.sin(steps) ** 2) ** 1.5, steps)
    across, eta2, t2 = a / np.sqrt(1 - e2 * np.sin(phi) ** 2), e2 / (1 - e2) * np.cos(phi) ** 2, np.tan(phi) ** 2
    north = arc + across * np.sin(phi) * np.cos(phi) * away**2 / 2
    side = away * np.cos(phi)
    return 500000 + across * (side + side**3 / 6 * (1 - t2 + eta2)), float(north)


def test_its_coordinates_are_those_of_the_place(full: tuple[str, Path]) -> None:
    """WGS 84 against a formula of its own; GCJ-02 lies a few hundred metres off; CGCS2000 is WGS 84 to the eye."""
    pairs = re.findall(r"(111\.0\d{5}),(37\.0\d{5})", told(full[1]))
    wgs, cgcs, gcj = (tuple(map(float, pair)) for pair in pairs[:3])
    assert gauss_krueger(*wgs) == pytest.approx((502000.0, 4105900.0), abs=0.15)
    assert cgcs == pytest.approx(wgs, abs=2e-6)
    metres = np.hypot((gcj[0] - wgs[0]) * 89_000, (gcj[1] - wgs[1]) * 111_000)
    assert 300 < metres < 800


def test_what_is_not_there_is_said_and_leaves_no_empty_frame(tmp_path: Path) -> None:
    text = told(pdf(tmp_path, bare_case()))
    absent = (
        "no_mine", "road_none", "no_concessions", "no_sources_configured", "no_power_source", "no_movement_source",
        "no_visits", "coverage_unknown",
    )  # fmt: skip
    assert [key for key in absent if squeezed(say(key, "en")) not in text] == []
    assert squeezed(say("before", "en", date="")) not in text
    assert squeezed(say("plot_key_band", "en")) not in text


def test_the_same_matter_gives_the_same_bytes_and_no_clock(tmp_path: Path) -> None:
    one = pdf(tmp_path / "1", full_case())
    time.sleep(1.1)
    two = pdf(tmp_path / "2", full_case())
    assert filecmp.cmp(one, two, shallow=False)
    assert b"CreationDate" not in one.read_bytes()
    assert b"ModDate" not in one.read_bytes()


def test_its_manifest_can_be_taken_out_and_bears_the_printed_hash(full: tuple[str, Path], tmp_path: Path) -> None:
    subprocess.run(["pdfdetach", "-saveall", "-o", tmp_path, full[1]], check=True, capture_output=True)
    manifest = (tmp_path / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() in told(full[1])
    held = json.loads(manifest)
    assert held["says"]["id"] == "2604-ABCDEF"
    assert {"before0.jpg", "after1.jpg", "map.svg", "profile.svg", "moved.png", "qr.svg"} <= set(held["shows"])


def test_its_code_is_that_of_the_case(full: tuple[str, Path], tmp_path: Path) -> None:
    """The printed modules, read from the page, are those of the case's id."""
    subprocess.run(["pdftoppm", "-r", "300", "-f", "1", "-l", "1", "-gray", "-singlefile", full[1], tmp_path / "p"])
    page = np.asarray(Image.open(tmp_path / "p.pgm"))
    corner = page[: int(45 / 25.4 * 300), int(165 / 25.4 * 300) :] < 128
    # the symbol is the highest block of rows with dark pixels in that corner; words stand below it
    rows = np.flatnonzero(corner.any(axis=1))
    bottom = rows[np.flatnonzero(np.diff(rows) > 4)[0]] if (np.diff(rows) > 4).any() else rows[-1]
    dark = corner[rows[0] : bottom + 1]
    columns = np.flatnonzero(dark.any(axis=0))
    dark = dark[:, columns[0] : columns[-1] + 1]
    wanted = np.array([list(row) for row in segno.make("2604-ABCDEF", error="q", micro=False).matrix], bool)
    middles = [((np.arange(len(wanted)) + 0.5) * side / len(wanted)).astype(int) for side in dark.shape]
    assert (dark[np.ix_(*middles)] == wanted).all()


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        '#import "/etc/passwd" $x^2$ @ref \\ #{sys.inputs} *b* _i_ `raw` <label> = head',
        "\u202e" + "长" * 10_000,
        "W" * 10_000,
        "</svg><script>alert(1)</script>",
        "{date} {id} %s",
    ],
)
def test_hostile_text_is_text(text: str, tmp_path: Path) -> None:
    matter = full_case()
    mines = matter.whole.mines.assign(name=text, operator=text)
    roads = matter.whole.roads.assign(**{"class": text})
    licences = matter.whole.concessions.assign(holder=text, mineral=text)
    evidence = json.loads(matter.case["evidence"])
    evidence[0]["says"] = text
    row = {**matter.case, "evidence": json.dumps(evidence), "calibration": text}
    whole = replace(matter.whole, mines=mines, roads=roads, concessions=licences, district_name=text, remarks=[text])
    states = matter.statuses.assign(order_no=text)
    visits = [{"visited": "2026-09-01", "outcome": "refuted", "reason": text, "inspector": text,
               "photos": [{"name": text, "sha256": "00" * 32}]}]  # fmt: skip
    path = pdf(tmp_path, replace(matter, case=row, whole=whole, statuses=states, visits=visits))
    shown = told(path)
    assert squeezed(text.replace("\u202e", "").replace("\x07", ""))[:100] in shown
    assert "\u202e" not in shown
    assert path.name == "2604-ABCDEF.pdf"
    assert path.stat().st_size < 3_000_000
    pages = subprocess.run(["pdfinfo", path], capture_output=True, check=True, text=True).stdout
    assert int(re.search(r"Pages:\s+(\d+)", pages)[1]) <= 12


@pytest.mark.parametrize("case_id", ["../../etc/cron", "a/b", "..", "x" * 300, ""])
def test_a_case_whose_id_names_another_place_is_refused(case_id: str, tmp_path: Path) -> None:
    matter = full_case()
    with pytest.raises(InputError, match="cannot name"):
        publish_dossiers(tmp_path, [replace(matter, case={**matter.case, "case_id": case_id})])
    assert not list(tmp_path.iterdir())


def test_a_dossier_takes_less_than_two_seconds(tmp_path: Path) -> None:
    """Of one core, once the fonts are read; five kinds of case."""
    matters = [full_case("zh", kind) for kind in KINDS]
    publish_dossiers(tmp_path, matters[:1])
    begun = time.process_time()
    publish_dossiers(tmp_path, [replace(one, case={**one.case, "case_id": f"c-{i}"}) for i, one in enumerate(matters)])
    assert (time.process_time() - begun) / len(matters) < 2.0


# --- load and movement ---------------------------------------------------------------------------------------------


def test_load_outside_the_band_is_marked_and_the_order_shaded_from_its_day() -> None:
    told_plots, files = series_figures(full_case())
    svg = files[told_plots[0]["file"]].decode()
    assert told_plots[0]["shut"]
    assert svg.count(f'fill="{ABOVE}"') == 40  # days of work planted
    limits = PlotLimits()
    left = float(re.search(rf'<rect x="([\d.]+)"[^>]*fill="{SHUT}"', svg)[1])
    day = (pd.Timestamp("2026-03-02") - DAY0).days
    across = limits.width - limits.left - 2.0
    assert left == pytest.approx(limits.left + (day + 1) / 201 * across, abs=0.05)
    assert any("KJ-2026-17" in one["text"] and "2026-03-02" in one["text"] for one in told_plots[0]["texts"])


def test_the_profile_shows_the_planted_face_where_it_lies() -> None:
    """Levelled movement along the line is that of the planted face, and so is the model, at any share of settling."""
    for share, days in ((1.0, (date(2026, 1, 1), date(2026, 8, 17))), (0.5, (date(2026, 1, 1), date(2026, 3, 2)))):
        moved = replace(planted_ground(share), first=days[0], last=days[1])
        ground = outline(PANEL)
        values, beyond = levelled(moved, ground, PANEL.radius_m, MovementLimits())
        assert beyond > 0
        np.testing.assert_allclose(values, moved.moved_mm - 7.0, atol=1.0)  # the scene's offset is gone
        line = profile_line(ground, PANEL, PANEL.radius_m)
        (x0, y0), (x1, y1) = line.coords
        assert np.rad2deg(np.arctan2(x1 - x0, y1 - y0)) == pytest.approx(30.0)
        at = np.array([line.interpolate(value).coords[0] for value in np.linspace(0, line.length, 60)])
        model = modelled(moved, at, detection("subsidence", 2, face_found()), PANEL)
        np.testing.assert_allclose(model, share * settled_mm(at[:, 0], at[:, 1]), rtol=0.02, atol=0.5)


@pytest.mark.parametrize(
    ("nats", "words_said"),
    [
        (2.303, "10 times better"),
        (-0.6932, "about 2 times better than an offence"),
        (0.0, "equally"),
        (9, "over 1,000"),
    ],
)
def test_nats_in_words(nats: float, words_said: str) -> None:
    assert words_said in odds(nats, "en")


# --- what the sources show -----------------------------------------------------------------------------------------

TOML = """
[district]
name = "Test"
crs = "EPSG:4546"
bounds = [500000, 4100000, 508000, 4108000]
history_from = 2025-01-01
monitor_from = 2026-01-01
as_of = 2026-10-31
[registers]
jurisdictions = "jurisdictions.gpkg"
"""
SOURCE = """
[[imagery]]
name = "{name}"
sensor = "{sensor}"
source = "cube"
href = "{name}.nc"
"""
WINDOW = (503000.0, 4103000.0, 503600.0, 4103600.0)
FIRST, LAST = date(2026, 4, 11), date(2026, 8, 17)


def district_with(folder: Path, **sensors: str) -> Any:
    """A district of the sources given, name -> sensor, their files written before."""
    unit = {"code": "141001", "name": "East", "parent_code": None, "level": "county", "geometry": box(*BOUNDS)}
    JURISDICTIONS.frame([unit], CRS).to_file(folder / "jurisdictions.gpkg")
    parts = [SOURCE.format(name=name, sensor=sensor) for name, sensor in sensors.items()]
    (folder / "district.toml").write_text(TOML + "".join(parts), "utf-8")
    return read_district(folder / "district.toml")


def cube_file(path: Path, bands: dict[str, Any], days: pd.DatetimeIndex, pixel: float = 20.0) -> None:
    """A cube over the whole district; a band is a function of (day's number, x, y)."""
    side = round(8000 / pixel)
    grid = GeoBox((side, side), Affine(pixel, 0, BOUNDS[0], 0, -pixel, BOUNDS[3]), CRS)
    made = xr.Dataset(coords={"time": days, **xr_coords(grid)})
    x, y = np.meshgrid(made["x"].values, made["y"].values)
    for name, band in bands.items():
        values = np.stack([np.broadcast_to(band(i, x, y), x.shape) for i in range(len(days))]).astype("float32")
        made[name] = (("time", "y", "x"), values, {"grid_mapping": "spatial_ref"})
    made.to_netcdf(path, engine="h5netcdf")


OPTICAL_DAYS = pd.date_range("2026-03-02", "2026-10-28", freq="10D")


def write_optical(folder: Path, cloudy: set[str]) -> None:
    bad = {i for i, day in enumerate(OPTICAL_DAYS) if f"{day:%Y-%m-%d}" in cloudy}
    colours = {name: (lambda i, x, y: 0.05 + 0.001 * i) for name in ("red", "green", "blue", "nir")}
    cube_file(folder / "s2.nc", {**colours, "scl": lambda i, x, y: 9.0 if i in bad else 4.0}, OPTICAL_DAYS)


def test_the_clearest_dates_before_and_near_the_end_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_optical(tmp_path, {"2026-04-01", "2026-08-19", "2026-08-09"})
    seen = opened(
        district_with(tmp_path, s2="optical").configuration.imagery[0], read_district(tmp_path / "district.toml")
    )
    read: list[tuple[int, int]] = []
    plain = cube_module.read

    def counted(plan: Any, wanted: Any, window: Any) -> Any:
        read.append(tuple(window.shape.yx))
        return plain(plan, wanted, window)

    monkeypatch.setattr(cube_module, "read", counted)
    pairs = optical_pairs(seen, WINDOW, FIRST, LAST, PairParameters())
    assert [pair.kind for pair in pairs] == ["true", "false_nir"]
    assert {pair.before_days for pair in pairs} == {(date(2026, 3, 22),)}  # 04-01 was cloudy, 04-11 is too late
    assert {pair.after_days for pair in pairs} == {(date(2026, 8, 29),)}  # nearest clear one, on either side
    assert pairs[0].before.shape == (30, 30, 3)
    np.testing.assert_allclose(pairs[0].before, 0.052, atol=1e-6)
    assert set(read) == {(30, 30)}  # a window and never the whole


def test_radar_where_no_optical_date_serves_and_a_line_where_nothing_does(tmp_path: Path) -> None:
    write_optical(tmp_path, {f"{day:%Y-%m-%d}" for day in OPTICAL_DAYS})
    days = pd.date_range("2026-02-01", "2026-10-20", freq="12D")

    def dug(i: int, x: Any, y: Any) -> Any:
        there = (np.hypot(x - 503300, y - 4103300) < 100) & (days[i] >= pd.Timestamp(FIRST))
        return np.where(there, 0.01, 0.1)

    cube_file(tmp_path / "s1.nc", {"vv": dug}, days)
    district = district_with(tmp_path, s2="optical", s1="radar")
    optical, radar = (opened(source, district) for source in district.configuration.imagery)
    assert optical_pairs(optical, WINDOW, FIRST, LAST, PairParameters()) == []
    pair = radar_pairs(radar, WINDOW, FIRST, LAST, PairParameters())[0]
    assert max(pair.before_days) < FIRST <= min(pair.after_days)
    assert pair.before[15, 15] == pytest.approx(-10, abs=0.01)
    assert pair.after[15, 15] == pytest.approx(-20, abs=0.01)
    assert radar_pairs(radar, WINDOW, date(2026, 1, 1), LAST, PairParameters()) == []


def test_movement_is_between_the_ends_of_the_evidence(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-05", "2026-10-20", freq="12D")

    def sinks(i: int, x: Any, y: Any) -> Any:
        return np.where(np.hypot(x - 503300, y - 4103300) < 120, -0.004 * i, 0.0)

    cube_file(tmp_path / "insar.nc", {"displacement": sinks}, days, 40.0)
    district = district_with(tmp_path, insar="displacement")
    moved = moved_ground(opened(district.configuration.imagery[0], district), WINDOW, FIRST, LAST)
    before = [i for i, day in enumerate(days) if day < pd.Timestamp(FIRST)][-3:]
    after = [i for i, day in enumerate(days) if day <= pd.Timestamp(LAST)][-3:]
    assert moved.moved_mm.min() == pytest.approx(-4.0 * (np.mean(after) - np.mean(before)), abs=0.01)
    assert moved.moved_mm[0, 0] == 0
    assert (moved.first, moved.last) == (days[before[-1]].date(), days[after[-1]].date())
    assert moved.incidence_deg == 0  # nobody stated the look: it is read as vertical


# --- from a finished run -------------------------------------------------------------------------------------------


def finished(folder: Path, district: Any) -> Path:
    """The results of a run: the sample's cases and detections as files."""
    arguments = page_arguments()
    out = district.out
    out.mkdir(parents=True)
    for name in ("cases", "detections", "hotspots"):
        arguments[name].to_parquet(out / f"{name}.parquet")
    record = {"version": "0.1.0", "inputs": {"s2.nc": "00" * 32, "jurisdictions.gpkg": "11" * 32},
              "sources": arguments["sources"], "remarks": []}  # fmt: skip
    (out / "run.json").write_text(json.dumps(record), "utf-8")
    return out


def test_dossiers_of_a_finished_run(tmp_path: Path) -> None:
    write_optical(tmp_path, {"2026-04-01"})
    district = district_with(tmp_path, s2="optical", gone="radar")
    out = finished(tmp_path, district)
    ids = page_arguments()["cases"]["case_id"].tolist()[:4]
    folder = out / "plan" / "dossiers"
    written = write_dossiers(district, out, ids, folder)
    assert [path.name for path in written] == [f"{one}.pdf" for one in ids]
    assert [path.name for path in sorted(folder.iterdir())] == sorted(path.name for path in written)
    text = told(written[0])
    sha = hashlib.sha256((tmp_path / "s2.nc").read_bytes()).hexdigest()
    assert sha in text  # of the file behind the pictures, as it is
    assert "11" * 32 in text  # of the register, as the run read it
    assert AS_OF.isoformat() in text
    again = write_dossiers(district, out, ids, tmp_path / "again")
    assert all(filecmp.cmp(*pair, shallow=False) for pair in zip(written, again, strict=True))
    assert not district.ledger.exists()  # reading leaves nothing behind
    with pytest.raises(InputError, match="no case nobody; name cases of this run"):
        write_dossiers(district, out, ["nobody"], folder)
    with pytest.raises(InputError, match="no finished run"):
        write_dossiers(district, tmp_path / "elsewhere", ids, folder)


def test_a_case_at_a_point_outside_every_source_gets_a_line(tmp_path: Path) -> None:
    write_optical(tmp_path, set())
    district = district_with(tmp_path, s2="optical")
    matter = full_case(kind="paper_output")
    from illegalmining.pipelines.dossiers import Shelf

    far = replace(matter, case={**matter.case, "geometry": Point(600000, 4200000)}, pairs=[], moved=None)
    seen = Shelf(district).seen(far)
    assert (seen.pairs, seen.moved) == ([], None)
    assert [key for key, _ in seen.said_of_images] == ["no_optical_pair", "no_imagery"]
    assert [key for key, _ in seen.said_of_movement] == ["no_movement_source"]
