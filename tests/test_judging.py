"""Judging by place, depth and time: overlaps, shared borders, likely operators, elevations, accuracy, shafts, terms."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from shapely.geometry import Point, Polygon, box

from illegalmining.cases.boundary import Position, areas_outside, outside_elevations
from illegalmining.cases.judge import judge
from illegalmining.cases.minequestions import MINE_QUESTIONS
from illegalmining.detect.findings import detection, detections
from illegalmining.registers.read import Registers
from illegalmining.tables import JUDGEMENTS, KINDS
from sample_registers import CRS, cases_of, licence, mine, pit, registers, stamp

A, B = box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)
NEIGHBOURS = [mine("a", "A", Point(500, 500)), mine("b", "B", Point(1500, 500))]


def verdicts(known: Registers, *rows: dict) -> gpd.GeoDataFrame:
    return judge(detections(list(rows), CRS), known, "en")


def kinds(known: Registers, *rows: dict) -> list[str]:
    found = verdicts(known, *rows)
    return found["kind"][found["p_against"] > 0.5].tolist()


def face(outline: Polygon, **more: float) -> dict:
    attributes = {"question": "undeclared_face", "peak_mm": 300.0, **more}
    return detection(
        "subsidence", "2026-03-01", "2026-06-01", 8.0, outline, area_m2=outline.area, attributes=attributes
    )


def test_a_shared_border_is_no_boundary() -> None:
    known = registers([licence("A", A), licence("B", B)], NEIGHBOURS)
    across = pit(box(900, 400, 1040, 500))
    assert kinds(known, across) == ["paper_output"]
    assert verdicts(known, across)["mine_id"].tolist() == ["a"]  # most of it
    alone = registers([licence("A", A), licence("B", B, valid_to="2020-01-01")], NEIGHBOURS)
    assert kinds(alone, across) == ["beyond_boundary"]


def test_on_overlapping_licences_the_larger_share_decides_and_both_are_named() -> None:
    known = registers([licence("A", box(0, 0, 1200, 1000)), licence("B", B)], NEIGHBOURS)
    found = verdicts(known, pit(box(1100, 950, 1300, 1150)))
    assert found[["kind", "licence_no"]].to_numpy().tolist() == [["beyond_boundary", "B"]]
    assert "licence B + A" in found["says"][0]


def test_the_operator_within_500_m_is_likely_and_no_more(tmp_path) -> None:
    known = registers([licence("A", A)], [mine("a", "A", Point(100, 100))])
    near, far = pit(box(1400, 0, 1480, 80)), pit(box(1600, 0, 1680, 80))
    whose = ["mine_id", "attribution"]
    assert verdicts(known, near)[whose].to_numpy().tolist() == [["a", "near"]]
    assert verdicts(known, far)[whose].to_numpy().tolist() == [[None, None]]
    cases = cases_of(known, near)
    assert cases[["mine_id", "licence_no", "attribution"]].to_numpy().tolist() == [["a", None, "near"]]


def test_a_coarse_register_leaves_room_for_doubt() -> None:
    over = pit(box(960, 400, 1060, 500))
    exact = registers([licence("A", A, accuracy_m=1.0)], NEIGHBOURS[:1])
    coarse = registers([licence("A", A, accuracy_m=80.0)], NEIGHBOURS[:1])
    sure, doubtful = (verdicts(known, over).iloc[0] for known in (exact, coarse))
    assert sure.p_against > 0.99
    assert 0.5 < doubtful.p_against < 0.9
    assert doubtful.p_outside == doubtful.p_against
    wide, narrow = (one.area_outside_high_m2 - one.area_outside_low_m2 for one in (doubtful, sure))
    assert wide > narrow > 0
    assert json.loads(doubtful.rivals) == {"inside_licence": pytest.approx(1 - doubtful.p_against)}


def test_many_outlines_agree_with_integrating_each_by_hand() -> None:
    """Shortcuts for outlines deep inside or far outside change nothing."""
    rng = np.random.default_rng(4)
    position = Position(outside_m2=300.0)
    ground = box(0, 0, 400, 300)
    outlines = [Point(x, y).buffer(r) for x, y, r in rng.uniform((-150, -150, 10), (550, 450, 70), (60, 3))]
    sd = rng.uniform(2, 25, 60)
    found = areas_outside(
        np.array(outlines, dtype=object),
        np.zeros(60, dtype=int),
        np.array([ground], dtype=object),
        sd,
        np.full(60, position.outside_m2),
        position,
    )
    quantiles = norm.ppf((np.arange(position.steps) + 0.5) / position.steps)
    moved = [[ground.buffer(position.blur_m + spread * q) for q in quantiles] for spread in sd]
    areas = np.array([[one.difference(by).area for by in row] for one, row in zip(outlines, moved, strict=True)])
    np.testing.assert_allclose(found.area_m2, np.median(areas, axis=1), atol=1e-6)
    np.testing.assert_allclose(found.probability, (areas >= 300).mean(axis=1))


def test_probability_outside_the_elevations_is_bayes_theorem_over_two_ranges() -> None:
    """Against a sum over depths, one metre apart."""
    asked = np.array(
        [(300, 50, 950, 750), (300, 50, 1000, 850), (640, 90, 950, np.nan), (90, 30, np.nan, 700)], dtype=float
    )
    depths, expected = np.arange(0.5, 1500.0), []
    for depth, sd, top, bottom in asked:
        elevation = 1200 - depths
        within = ~(elevation > top) & ~(elevation < bottom)
        seen = norm.pdf(depths, depth, sd)
        inside, outside = seen[within].mean(), seen[~within].mean()
        expected.append(outside / (inside + outside))
    found = outside_elevations(np.full(4, 1200.0), *asked.T, 0, 1500)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    nothing = np.array([(np.nan, 300, 50, 800, 600), (1200, 300, 50, np.nan, np.nan), (1200, np.nan, 50, 950, 750)])
    assert outside_elevations(*nothing.T, 0, 1500).tolist() == [0, 0, 0]
    hardly_known = np.array([[1200, 300, 1e5, 950, 750]])
    assert outside_elevations(*hardly_known.T, 0, 1500) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("depth", "kind"), [(300.0, "hidden_working_face"), (180.0, "beyond_boundary"), (520.0, "beyond_boundary")]
)
def test_a_face_out_of_its_elevations_leaves_its_licence(depth: float, kind: str) -> None:
    plot = licence("U", A, "underground", depth_top_m=950.0, depth_bottom_m=750.0, ground_m=1200.0)
    known = registers([plot], [mine("u", "U", Point(500, 900))])
    found = verdicts(
        known, face(box(300, 300, 500, 420), depth_m=depth, depth_low_m=depth - 20, depth_high_m=depth + 20)
    )
    assert found["kind"].tolist() == [kind]
    unsure = verdicts(known, face(box(300, 300, 500, 420), depth_m=350.0, depth_low_m=10.0, depth_high_m=2000.0))
    assert unsure["kind"].tolist() == ["hidden_working_face"]  # it may well lie within


def test_renewed_and_redrawn_licences_hold_for_their_own_days() -> None:
    terms = [
        licence("A", A, valid_from="2015-01-01", valid_to="2026-04-01"),
        licence("A", box(0, 0, 600, 1000), valid_from="2026-04-01"),
    ]
    known = registers(terms, NEIGHBOURS[:1])

    def dug(first: str, last: str) -> dict:
        return detection("surface", first, last, 8.0, box(800, 400, 880, 480), area_m2=6400.0)

    assert kinds(known, dug("2026-02-01", "2026-03-15")) == ["paper_output"]
    assert kinds(known, dug("2026-03-01", "2026-05-01")) == ["paper_output"]  # begun under the old boundary
    assert kinds(known, dug("2026-04-10", "2026-06-01")) == ["unlicensed"]  # given back before it was dug


def test_a_stopped_shaft_beside_a_working_one_forbids_nothing() -> None:
    def status(word: str, shaft: str | None) -> dict:
        return {"mine_id": "a", "shaft_id": shaft, "status": word, "from": stamp("2020-01-01"), "to": stamp(None)}

    inside = pit(box(400, 400, 500, 500))
    one = registers([licence("A", A)], NEIGHBOURS, mine_status=[status("producing", "old"), status("suspended", "new")])
    both = registers(
        [licence("A", A)], NEIGHBOURS, mine_status=[status("suspended", "old"), status("suspended", "new")]
    )
    assert kinds(one, inside) == ["paper_output"]
    assert kinds(both, inside) == ["active_while_shut"]


def test_each_detection_is_judged_alone_as_among_others() -> None:
    """Every question, every place: the table of many is the tables of one below each other, to the last bit."""
    orders = [
        {"mine_id": "a", "status": "suspended", "from": stamp("2026-04-01"), "to": stamp(None), "order_no": "No. 7"}
    ]
    limits = {"depth_top_m": 950.0, "depth_bottom_m": 750.0, "ground_m": 1200.0}
    known = registers(
        [
            licence("A", A),
            licence("B", B, accuracy_m=30.0),
            licence("U", box(0, -2000, 1000, -1000), "underground", **limits),
            licence("O", box(0, 1500, 900, 2400), valid_to="2026-01-01"),
        ],
        [*NEIGHBOURS, mine("u", "U", Point(500, -1100))],
        mine_status=orders,
        production=[{"mine_id": "b", "month": "2026-04", "tonnes": 500.0}],
    )
    grown = {"growth": {"dates": ["2026-03-01", "2026-05-20"], "area_m2": [2000.0, 7200.0]}}
    places = [(x, y) for x in range(-700, 2600, 275) for y in (100, 950, 1600)]
    rows = [pit(box(x, y, x + 90, y + 80), attributes=[{}, grown][i % 2]) for i, (x, y) in enumerate(places)]
    deep = [(x, depth) for x in range(-500, 1500, 190) for depth in (180.0, 350.0)]
    rows += [face(box(x, -1300, x + 120, -1200), depth_m=depth) for x, depth in deep]
    rows += [pit(box(x, 100, x + 90, 180), -3.0, attributes={"question": "building"}) for x in (0, 5000)]
    for asked in MINE_QUESTIONS:
        told = {"attributes": {"question": asked, "nights": 9}}
        rows += [
            detection("power", "2026-03-01", "2026-06-01", 4.0, Point(1, 1), mine_id=m, **told)
            for m in ("a", "b", None)
        ]
    table = detections(rows, CRS)
    together = judge(table, known, "en")
    apart = [judge(table.iloc[[i]], known, "en") for i in range(len(table))]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True), check_exact=True)
    JUDGEMENTS.checked(together)
    assert set(together["kind"]) == set(KINDS)
    assert together["detection_id"].duplicated().any()  # some speak for one offence and against another
    assert together.crs == CRS


def test_nothing_judged_is_a_table_too() -> None:
    known = registers([licence("A", A)], NEIGHBOURS)
    none = verdicts(known)
    pd.testing.assert_frame_equal(none, JUDGEMENTS.typed([], CRS))
    assert none.crs == CRS


def test_attributes_that_are_no_json_are_refused() -> None:
    table = detections([pit(box(0, 0, 90, 90))], CRS)
    known = registers([licence("A", A)], NEIGHBOURS)
    for broken in ("{", '{"depth_m": "deep"}'):
        with pytest.raises(ValueError, match="JSON"):
            judge(table.assign(attributes=broken), known, "en")
    folded = json.dumps(json.loads(pit(A)["attributes"]) | {"question": "building"}, indent=2)
    assert judge(table.assign(attributes=folded), known, "en")["kind"].tolist() == ["unlicensed"]
