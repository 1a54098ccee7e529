"""Judging by place, depth and time: overlaps, shared borders, likely operators, elevations, accuracy, shafts, terms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from shapely.geometry import Point, Polygon, box

from illegalmining.cases.boundary import Position, areas_outside, outside_elevations
from illegalmining.cases.judge import judge
from illegalmining.cases.verdict import Judgement
from illegalmining.detect.findings import detection, detections
from illegalmining.registers.read import Registers
from sample_registers import CRS, cases_of, licence, mine, pit, registers, stamp

A, B = box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)
NEIGHBOURS = [mine("a", "A", Point(500, 500)), mine("b", "B", Point(1500, 500))]


def verdicts(known: Registers, *rows: dict) -> list[Judgement]:
    return judge(detections(list(rows), CRS), known, "en")


def kinds(known: Registers, *rows: dict) -> list[str]:
    return [verdict.kind for verdict in verdicts(known, *rows) if verdict.p_against > 0.5]


def face(outline: Polygon, **more: float) -> dict:
    attributes = {"question": "undeclared_face", "peak_mm": 300.0, **more}
    return detection(
        "subsidence", "2026-03-01", "2026-06-01", 8.0, outline, area_m2=outline.area, attributes=attributes
    )


def test_a_shared_border_is_no_boundary() -> None:
    known = registers([licence("A", A), licence("B", B)], NEIGHBOURS)
    across = pit(box(900, 400, 1040, 500))
    assert kinds(known, across) == ["paper_output"]
    assert verdicts(known, across)[0].mine_id == "a"  # most of it
    alone = registers([licence("A", A), licence("B", B, valid_to="2020-01-01")], NEIGHBOURS)
    assert kinds(alone, across) == ["beyond_boundary"]


def test_on_overlapping_licences_the_larger_share_decides_and_both_are_named() -> None:
    known = registers([licence("A", box(0, 0, 1200, 1000)), licence("B", B)], NEIGHBOURS)
    found = verdicts(known, pit(box(1100, 950, 1300, 1150)))
    assert [(one.kind, one.licence_no) for one in found] == [("beyond_boundary", "B")]
    assert "licence B + A" in found[0].says


def test_the_operator_within_500_m_is_likely_and_no_more(tmp_path) -> None:
    known = registers([licence("A", A)], [mine("a", "A", Point(100, 100))])
    near, far = pit(box(1400, 0, 1480, 80)), pit(box(1600, 0, 1680, 80))
    assert {(one.mine_id, one.attribution) for one in verdicts(known, near)} == {("a", "near")}
    assert {(one.mine_id, one.attribution) for one in verdicts(known, far)} == {(None, None)}
    cases = cases_of(known, near)
    assert cases[["mine_id", "licence_no", "attribution"]].to_numpy().tolist() == [["a", None, "near"]]


def test_a_coarse_register_leaves_room_for_doubt() -> None:
    over = pit(box(960, 400, 1060, 500))
    exact = registers([licence("A", A, accuracy_m=1.0)], NEIGHBOURS[:1])
    coarse = registers([licence("A", A, accuracy_m=80.0)], NEIGHBOURS[:1])
    sure, doubtful = (verdicts(known, over)[0] for known in (exact, coarse))
    assert sure.p_against > 0.99
    assert 0.5 < doubtful.p_against < 0.9
    assert doubtful.outside is not None
    assert sure.outside is not None
    assert doubtful.outside.high_m2 - doubtful.outside.low_m2 > sure.outside.high_m2 - sure.outside.low_m2
    assert dict(doubtful.rivals)["inside_licence"] == pytest.approx(1 - doubtful.p_against)


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
    for outline, spread, one in zip(outlines, sd, found, strict=True):
        areas = [outline.difference(ground.buffer(position.blur_m + spread * q)).area for q in quantiles]
        assert one.area_m2 == pytest.approx(np.median(areas), abs=1e-6)
        assert one.probability == pytest.approx(np.mean([area >= 300 for area in areas]))


def test_probability_outside_the_elevations_is_bayes_theorem_over_two_ranges() -> None:
    """Against a sum over depths, one metre apart."""
    depths = np.arange(0.5, 1500.0)
    for depth, sd, top, bottom in (
        (300, 50, 950, 750),
        (300, 50, 1000, 850),
        (640, 90, 950, np.nan),
        (90, 30, np.nan, 700),
    ):
        elevation = 1200 - depths
        within = ~(elevation > top) & ~(elevation < bottom)
        seen = norm.pdf(depths, depth, sd)
        inside, outside = seen[within].mean(), seen[~within].mean()
        expected = outside / (inside + outside)
        assert outside_elevations(1200, depth, sd, top, bottom, 0, 1500) == pytest.approx(expected, abs=2e-3)
    assert outside_elevations(np.nan, 300, 50, 800, 600, 0, 1500) == 0.0
    assert outside_elevations(1200, 300, 50, np.nan, np.nan, 0, 1500) == 0.0
    assert outside_elevations(1200, 300, 1e5, 950, 750, 0, 1500) == pytest.approx(0.5, abs=1e-3)  # nothing is known


@pytest.mark.parametrize(
    ("depth", "kind"), [(300.0, "hidden_working_face"), (180.0, "beyond_boundary"), (520.0, "beyond_boundary")]
)
def test_a_face_out_of_its_elevations_leaves_its_licence(depth: float, kind: str) -> None:
    plot = licence("U", A, "underground", depth_top_m=950.0, depth_bottom_m=750.0, ground_m=1200.0)
    known = registers([plot], [mine("u", "U", Point(500, 900))])
    found = verdicts(
        known, face(box(300, 300, 500, 420), depth_m=depth, depth_low_m=depth - 20, depth_high_m=depth + 20)
    )
    assert [one.kind for one in found] == [kind]
    unsure = verdicts(known, face(box(300, 300, 500, 420), depth_m=350.0, depth_low_m=10.0, depth_high_m=2000.0))
    assert [one.kind for one in unsure] == ["hidden_working_face"]  # it may well lie within


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


def test_order_of_detections_does_not_change_what_is_said_of_each() -> None:
    known = registers([licence("A", A), licence("B", B)], NEIGHBOURS)
    rows = [pit(box(x, y, x + 90, y + 80)) for x in range(-300, 2300, 170) for y in (100, 950)]
    together = {(one.detection_id, one.kind): (one.says, one.p_against) for one in verdicts(known, *rows)}
    apart = {(one.detection_id, one.kind): (one.says, one.p_against) for row in rows for one in verdicts(known, row)}
    assert together == apart
