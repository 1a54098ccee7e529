"""Judging, fusing, identity and scoring on registers written by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from shapely import union_all
from shapely.geometry import Point, Polygon, box

from illegalmining.cases.boundary import Position, areas_outside
from illegalmining.cases.evaluate import score
from illegalmining.cases.fuse import FusionParameters, bounded, fuse
from illegalmining.cases.identity import identify
from illegalmining.cases.judge import judge
from illegalmining.cases.ledger import CASES as KNOWN
from illegalmining.cases.ledger import open_ledger
from illegalmining.cases.sites import sites
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.detect.findings import detection, detections
from illegalmining.errors import InputError
from illegalmining.registers.read import Registers
from illegalmining.tables import CASES, CONCESSIONS, JUDGEMENTS, KINDS, MINE_STATUS, MINES, PRODUCTION, REGISTERS, SITES

CRS = "EPSG:4546"
OPENCAST = box(0, 0, 1000, 1000)
UNDERGROUND = box(5000, 0, 7000, 2000)


def stamp(text: str | None) -> pd.Timestamp:
    return pd.NaT if text is None else pd.Timestamp(text)


def licence(number: str, method: str, outline: Polygon, until: str | None = None, renewal: str | None = None) -> dict:
    return {
        "licence_no": number,
        "holder": "holder",
        "mineral": "coal",
        "method": method,
        "valid_from": stamp("2015-01-01"),
        "valid_to": stamp(until),
        "renewal_applied": stamp(renewal),
        "geometry": outline,
    }


def mine(mine_id: str, licence_no: str, method: str, place: Point) -> dict:
    names = {"name": mine_id, "operator": "operator"}
    return {"mine_id": mine_id, **names, "licence_no": licence_no, "method": method, "geometry": place}


def status(mine_id: str, word: str, since: str, until: str | None = None) -> dict:
    return {"mine_id": mine_id, "status": word, "from": stamp(since), "to": stamp(until), "order_no": "No. 7"}


@pytest.fixture
def registers() -> Registers:
    tables = dict.fromkeys(REGISTERS)
    tables["concessions"] = CONCESSIONS.frame(
        [
            licence("OC", "opencast", OPENCAST),
            licence("UG", "underground", UNDERGROUND),
            licence("OLD", "opencast", box(0, 3000, 1000, 4000), until="2026-01-01"),
            licence("PENDING", "opencast", box(2000, 3000, 3000, 4000), until="2026-01-01", renewal="2025-11-01"),
        ],
        CRS,
    )
    tables["mines"] = MINES.frame(
        [
            mine("pit", "OC", "opencast", Point(500, 500)),
            mine("deep", "UG", "underground", Point(6000, 1900)),
            mine("shut", "OLD", "opencast", Point(500, 3500)),
        ],
        CRS,
    )
    tables["mine_status"] = MINE_STATUS.frame([status("deep", "suspended", "2026-05-01")])
    tables["production"] = PRODUCTION.frame([{"mine_id": "deep", "month": "2026-03", "tonnes": 5000.0}])
    return Registers(**tables, files={})


def seen(detector: str, outline: Polygon, log_lr: float = 8.0, first: str = "2026-03-01", **more: object) -> dict:
    attributes = {"question": more["question"]} if "question" in more else {}
    area = outline.area
    mine_id = more.get("mine_id")
    return detection(
        detector, first, "2026-06-01", log_lr, outline, area_m2=area, mine_id=mine_id, attributes=attributes
    )


def judged(registers: Registers, *rows: dict, language: str = "en") -> gpd.GeoDataFrame:
    return judge(detections(list(rows), CRS), registers, language)


@pytest.mark.parametrize(
    ("outline", "kinds"),
    [
        (box(3500, 500, 3600, 600), ["unlicensed"]),
        (box(400, 100, 500, 200), ["paper_output"]),  # lawful: it only speaks against output on paper
        (box(950, 400, 1100, 500), ["beyond_boundary"]),
        (box(1030, 400, 1130, 500), ["beyond_boundary"]),  # a step outside: still that licence's
        (box(200, 3200, 300, 3300), ["unlicensed"]),  # the licence had run out
        (box(2200, 3200, 2300, 3300), []),  # renewal pending: lawful, and no mine to speak of
        (box(5200, 200, 5300, 300), ["unlicensed"]),  # the licence there is for underground mining
    ],
)
def test_excavations_are_judged_by_the_licences_of_their_dates(registers, outline, kinds) -> None:
    verdicts = judged(registers, seen("surface", outline))
    assert verdicts["kind"][verdicts["p_against"] > 0.5].tolist() == kinds


def test_an_excavation_before_expiry_is_lawful_then(registers) -> None:
    row = detection("surface", "2025-06-01", "2025-12-01", 8.0, box(200, 3200, 300, 3300), area_m2=1e4)
    assert judged(registers, row)["kind"].tolist() == ["paper_output"]


def test_a_pit_that_stays_after_its_licence_ran_out_was_dug_lawfully(registers) -> None:
    def pit(last_dug: str) -> dict:
        attributes = {
            "onset_quantiles": {"0.9": last_dug},
            "growth": {"dates": ["2025-06-01", last_dug], "area_m2": [5e3, 1e4]},
        }
        outline = box(200, 3200, 300, 3300)
        return detection("surface", "2025-06-01", "2026-09-01", 8.0, outline, area_m2=1e4, attributes=attributes)

    assert judged(registers, pit("2025-11-01"))["kind"].tolist() == ["paper_output"]
    assert judged(registers, pit("2026-04-01"))["kind"].tolist() == ["unlicensed"]


@pytest.mark.parametrize(
    ("grown", "kind"),
    [
        ({"dates": ["2026-03-01"], "area_m2": [1e4]}, "paper_output"),  # before the order
        ({"dates": ["2026-03-01", "2026-05-05"], "area_m2": [4e3, 1e4]}, "paper_output"),  # seen late, dug before
        ({"dates": ["2026-03-01", "2026-06-20"], "area_m2": [4e3, 1e4]}, "active_while_shut"),
        ({"dates": ["2026-03-01", "2026-06-20"], "area_m2": [9.8e3, 1e4]}, "paper_output"),  # two pixels: noise
    ],
)
def test_growth_of_a_pit_while_its_mine_is_shut_is_work(registers, grown, kind) -> None:
    order = MINE_STATUS.frame([status("pit", "suspended", "2026-05-01")])
    row = detection(
        "surface", "2026-03-01", "2026-09-01", 8.0, box(400, 100, 500, 200), area_m2=1e4, attributes={"growth": grown}
    )
    assert judged(replace(registers, mine_status=order), row)["kind"].tolist() == [kind]


def test_without_a_register_of_licences_every_excavation_is_unlicensed() -> None:
    empty = Registers(**dict.fromkeys(REGISTERS), files={})
    assert judged(empty, seen("radar", OPENCAST))["kind"].tolist() == ["unlicensed"]


def test_area_outside_matches_the_normal_distribution_of_the_offset() -> None:
    """A 100 m wide strip beyond a straight edge by 20 m counts when the boundary moves out by less than 20 - 5 m."""
    position = Position(blur_m=0.0, outside_m2=500.0, steps=2001)
    outlines, grounds = (np.array([one], dtype=object) for one in (box(-50, 0, 20, 100), box(-1000, -1000, 0, 1000)))
    sd, least = np.hypot([8.0], 6.0), np.array([position.outside_m2])
    outside = areas_outside(outlines, np.zeros(1, dtype=int), grounds, sd, least, position)
    assert outside.probability == pytest.approx(norm.cdf(15 / 10), abs=1e-3)
    assert outside.area_m2 == pytest.approx(2000, rel=0.01)
    assert outside.low_m2 == pytest.approx(max(0, 20 - 10 * 1.645) * 100, abs=15)


def test_faces_hidden_leaving_and_unlicensed(registers) -> None:
    ask = {"question": "undeclared_face"}
    inside = judged(registers, seen("subsidence", box(5500, 500, 5700, 600), **ask)).iloc[0]
    leaving = judged(registers, seen("subsidence", box(6900, 500, 7100, 600), **ask)).iloc[0]
    outside = judged(registers, seen("subsidence", box(9500, 500, 9700, 600), **ask)).iloc[0]
    assert (inside.kind, inside.mine_id, inside.licence_no) == ("hidden_working_face", "deep", "UG")
    assert (leaving.kind, leaving.licence_no) == ("beyond_boundary", "UG")
    assert leaving.area_outside_m2 == pytest.approx(10_000, rel=0.05)
    assert outside.kind == "unlicensed"


def test_output_on_paper_needs_declared_tonnes(registers) -> None:
    ask = {"question": "declared_but_idle"}
    declared = judged(registers, seen("power", Point(6000, 1900), mine_id="deep", **ask))
    silent = judged(registers, seen("power", Point(500, 500), mine_id="pit", **ask))
    assert declared["kind"].tolist() == ["paper_output"]
    assert silent.empty


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sentences_name_status_and_order_in_the_readers_language(registers, language) -> None:
    row = seen("power", Point(6000, 1900), mine_id="deep", question="worked_while_forbidden", first="2026-05-10")
    text = judged(registers, row, language=language)["says"][0]
    assert ("停产" if language == "zh" else "suspended") in text
    assert "No. 7" in text


def test_bounded_evidence_is_the_contaminated_likelihood_ratio() -> None:
    for log_lr in (-30.0, -2.0, 0.0, 0.7, 5.0, 40.0):
        size = math.exp(abs(log_lr))
        expected = math.copysign(math.log(size / (0.98 + 0.02 * size)), log_lr)
        assert bounded(log_lr, 0.02) == pytest.approx(expected, abs=1e-9)
    assert bounded(1e6, 0.02) == pytest.approx(math.log(50))


def test_one_term_gives_bayes_theorem(registers) -> None:
    prior = FusionParameters()
    pit = fuse(judged(registers, seen("surface", box(3500, 500, 3600, 600), log_lr=2.0)))
    idle = seen("power", Point(6000, 1900), 2.0, mine_id="deep", question="declared_but_idle")
    mine = fuse(judged(registers, idle))
    mining = 1 - JudgingParameters().construction - JudgingParameters().nature
    laid_bare = expit(logit(prior.place_base_rate) + bounded(2.0, 0.02))
    assert pit["probability"][0] == pytest.approx(laid_bare * mining, abs=1e-6)
    assert mine["probability"][0] == pytest.approx(expit(logit(prior.mine_base_rate) + bounded(2.0, 0.02)), abs=1e-6)


def test_two_sensors_on_one_pit_make_one_surer_case(registers) -> None:
    pit, shifted = box(3500, 500, 3600, 600), box(3520, 500, 3640, 620)
    one = fuse(judged(registers, seen("surface", pit, 4.0)))
    both = fuse(judged(registers, seen("surface", pit, 4.0), seen("radar", shifted, 3.0)))
    twice = fuse(judged(registers, seen("surface", pit, 4.0), seen("surface", shifted, 3.9)))
    assert len(one) == len(both) == len(twice) == 1
    assert both["probability"][0] > one["probability"][0]
    assert twice["probability"][0] == one["probability"][0]  # one detector's detections share their errors


def test_a_sensor_that_sees_buildings_speaks_against_one_that_sees_only_change(registers) -> None:
    here = box(3500, 500, 3600, 600)
    change = seen("radar", here, log_lr=3.9)
    building = seen("surface", box(3510, 500, 3610, 600), log_lr=-3.9, question="building")
    (alone,) = fuse(judged(registers, change)).to_dict("records")
    (doubted,) = fuse(judged(registers, change, building)).to_dict("records")
    assert alone["probability"] > 0.9
    # equal nats for and against leave even odds, less what else bare ground may be
    assert doubted["probability"] == pytest.approx(
        0.5 * alone["probability"] / (1 / (1 + math.exp(-bounded(3.9, 0.02))))
    )
    assert doubted["geometry"].equals(here)
    assert "buildings" in doubted["evidence"]


def test_buildings_alone_are_no_case(registers) -> None:
    unsure = seen("surface", box(3500, 500, 3600, 600), log_lr=-0.1, question="building")
    assert fuse(judged(registers, unsure)).empty


def test_evidence_against_lowers_output_on_paper(registers) -> None:
    place = Point(6000, 1900)
    idle = seen("power", place, 6.0, mine_id="deep", question="declared_but_idle")
    moved = seen("subsidence", place.buffer(50), -6.0, mine_id="deep", question="declared_face")
    alone = fuse(judged(registers, idle))
    contradicted = fuse(judged(registers, idle, moved))
    assert alone["probability"][0] > 0.8
    assert len(contradicted) == 0 or contradicted["probability"][0] < 0.5


def test_ground_that_moves_in_a_shut_mine_joins_the_case_of_its_meter(registers) -> None:
    power = seen("power", Point(6000, 1900), 6.0, "2026-05-10", mine_id="deep", question="worked_while_forbidden")
    face = seen("subsidence", box(5500, 500, 5700, 600), 6.0, "2026-05-20", question="undeclared_face")
    assert fuse(judged(registers, power, face))["kind"].tolist() == ["active_while_shut"]
    assert fuse(judged(registers, face))["kind"].tolist() == ["hidden_working_face"]


def test_a_site_keeps_its_id_while_it_grows_and_others_get_their_own(registers, tmp_path: Path) -> None:
    def run(as_of: str, *outlines: Polygon) -> gpd.GeoDataFrame:
        cases = fuse(judged(registers, *(seen("surface", outline) for outline in outlines)))
        with open_ledger(tmp_path / "ledger.sqlite", "d") as ledger:
            return identify(ledger, cases, pd.Timestamp(as_of).date())

    before = run("2026-07-01", box(3500, 500, 3600, 600))
    after = run("2026-08-01", box(3480, 480, 3700, 640), box(9000, 9000, 9100, 9100))
    grown = after.loc[after["area_m2"].idxmax()]
    fresh = after.loc[after["area_m2"].idxmin()]
    assert grown["case_id"] == before["case_id"][0]
    assert grown["first_reported"] == pd.Timestamp("2026-07-01")
    assert fresh["case_id"] != grown["case_id"]
    assert fresh["first_reported"] == pd.Timestamp("2026-08-01")
    assert run("2026-08-01", box(3480, 480, 3700, 640))["case_id"].tolist() == [grown["case_id"]]


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match="not a ledger"), open_ledger(tmp_path / "ledger.sqlite", "d"):
        pass


def test_a_failed_run_leaves_the_ledger_as_it_was(registers, tmp_path: Path) -> None:
    cases = fuse(judged(registers, seen("surface", box(3500, 500, 3600, 600))))
    with pytest.raises(RuntimeError), open_ledger(tmp_path / "l.sqlite", "d") as ledger:
        identify(ledger, cases, pd.Timestamp("2026-07-01").date())
        raise RuntimeError
    with open_ledger(tmp_path / "l.sqlite", "d") as ledger:
        assert ledger.rows(KNOWN) == []


def test_scores_count_by_hand(registers) -> None:
    found = fuse(
        judged(
            registers,
            seen("surface", box(3500, 500, 3600, 600), 9.0),
            seen("surface", box(8000, 8000, 8100, 8100), 8.0),
        )
    )
    found["case_id"] = [f"c{i}" for i in range(len(found))]
    truth = SITES.frame(
        [
            {"site_id": "a", "kind": "unlicensed", "start": stamp("2026-02-20"), "geometry": box(3500, 500, 3590, 590)},
            {"site_id": "b", "kind": "paper_output", "start": stamp("2026-02-01"), "geometry": Point(6000, 1900)},
        ],
        CRS,
    )
    scores = score(found, truth)
    assert (scores.sites, scores.found, scores.alarms, scores.false_alarms) == (2, 1, 2, 1)
    assert scores.missed == ["b"]
    assert scores.precision == 0.5
    assert scores.kind_right == 1.0
    assert scores.median_delay_days == 9
    p = found["probability"].to_numpy()
    assert scores.brier == pytest.approx(np.mean((p - [1, 0]) ** 2))


def test_no_case_is_a_table_too(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.sqlite", "d") as ledger:
        none = identify(ledger, fuse(JUDGEMENTS.typed([], CRS)), pd.Timestamp("2026-07-01").date())
    assert len(none) == 0
    assert none.crs == CRS


def many(seed: int) -> gpd.GeoDataFrame:
    """Judgements of every kind about mines and places, some of them on one another, many of them equal."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(300):
        detector = str(rng.choice(["surface", "radar", "subsidence", "power"]))
        of_mine = detector == "power" or rng.random() < 0.2
        place = Point(*rng.uniform(0, 3000, 2)).buffer(float(rng.uniform(20, 90)), quad_segs=4)
        outside = float(rng.uniform(0, 9000)) if rng.random() < 0.3 else np.nan
        day = pd.Timestamp("2026-03-01") + pd.Timedelta(days=int(rng.integers(90)))
        row = {
            "detection_id": f"d{i % 250:03d}",
            "detector": detector,
            "kind": str(rng.choice(["active_while_shut", "paper_output"] if of_mine else KINDS[0:1] + KINDS[2:4])),
            "log_lr": float(rng.choice([-6.0, -1.0, 0.0, 0.5, 3.0, 7.0])),
            "p_against": float(rng.choice([0.2, 0.97, 1.0])),
            "first_seen": day,
            "last_seen": day + pd.Timedelta(days=int(rng.integers(60))),
            "area_m2": place.area,
            "says": f'"{i}" \n 矿',
            "mine_id": [None, "a", "b", "c"][rng.integers(of_mine, 4)],
            "licence_no": [None, "", "A", "B"][rng.integers(4)],
            "p_outside": float(outside > 500) if np.isfinite(outside) else np.nan,
            **dict.fromkeys(("area_outside_m2", "area_outside_low_m2", "area_outside_high_m2"), outside),
            "depth_m": float(rng.uniform(90, 500)) if rng.random() < 0.3 else np.nan,
            "mine_is_shut": bool(rng.random() < 0.5),
            "attribution": "licence",
            "rivals": json.dumps({} if of_mine else {"nature": 0.01, "construction": 0.02}),
            "geometry": place.centroid if detector == "power" else place,
        }
        rows.append(row)
    return JUDGEMENTS.frame(rows, CRS)


def by_hand(group: list[dict], given: FusionParameters) -> dict:
    """One site's case, row after row as the method page has it: no columns, no shortcuts."""

    def nats(row: dict) -> float:
        size = math.exp(abs(row["log_lr"]))
        size = math.log(size / (1 - given.artefact + given.artefact * size))
        return given.scale.get(row["detector"], 1.0) * math.copysign(size, row["log_lr"])

    weight = dict.fromkeys(KINDS, 0.0)
    for row in group:
        weight[row["kind"]] += row["p_against"] * max(nats(row), 0) + 1e-9
    kind = max((k for k in KINDS if weight[k]), key=lambda k: (k in ("active_while_shut", "paper_output"), weight[k]))
    best: dict[tuple, dict] = {}
    for row in group:
        side = row["detector"], row["log_lr"] > 0
        if side not in best or abs(row["log_lr"]) * row["p_against"] > (
            abs(best[side]["log_lr"]) * best[side]["p_against"]
        ):
            best[side] = row
    heard = sorted(best.values(), key=lambda row: (-nats(row) * row["p_against"], row["detector"], row["detection_id"]))
    weights = [1.0 if not rank or row["log_lr"] < 0 else given.further_weight for rank, row in enumerate(heard)]
    total = given.prior(kind) + sum(w * nats(row) for w, row in zip(weights, heard, strict=True))
    took_place = 1 / (1 + math.exp(-total))
    spoken = [row for row in heard if row["log_lr"] > 0]
    surest = max(spoken, key=lambda row: row["p_against"])
    beyond = [row["area_outside_m2"] for row in spoken if np.isfinite(row["area_outside_m2"])]
    depths = [row["depth_m"] for row in spoken if np.isfinite(row["depth_m"])]
    seen_for = [row for row in group if row["log_lr"] > 0]

    def seen_there(row: dict, lead: dict) -> bool:
        moved = lead["kind"] == "active_while_shut" and row["detector"] == "subsidence"
        return row["geometry"].area > 0 and (row["detector"] == lead["detector"] or moved)

    others = {name: took_place * share for name, share in json.loads(surest["rivals"]).items()}
    return {
        "kind": kind,
        "probability": took_place * surest["p_against"],
        "mine_id": spoken[0]["mine_id"],
        "licence_no": next((row["licence_no"] for row in spoken if row["licence_no"]), None),
        "first_seen": min(row["first_seen"] for row in seen_for),
        "last_seen": max(row["last_seen"] for row in seen_for),
        "area_m2": max(row["area_m2"] for row in seen_for if row["detector"] == spoken[0]["detector"]),
        "area_outside_m2": max(beyond, default=np.nan),
        "depth_m": depths[0] if depths else np.nan,
        "geometry": union_all(
            [row["geometry"] for row in seen_for if seen_there(row, spoken[0])] or spoken[0]["geometry"]
        ),
        "heard": [(row["detection_id"], row["says"], w) for row, w in zip(heard, weights, strict=True)],
        "rivals": {"no_activity": 1 - took_place} | others,
    }


@pytest.mark.parametrize(
    "given", [FusionParameters(), FusionParameters(scale={"radar": 0.5}, shift={"unlicensed": -1.0}, join_m=90.0)]
)
def test_many_sites_are_fused_as_each_by_hand(given) -> None:
    judgements = many(3)
    site = sites(judgements, given.join_m, given.touch_m)
    groups = [judgements[site == one].to_dict("records") for one in range(site.max() + 1)]
    assert {len(group) for group in groups} > {1, 2, 3}
    expected = [by_hand(group, given) for group in groups if any(row["log_lr"] > 0 for row in group)]
    expected = [case for case in expected if case["probability"] >= given.least]
    cases = fuse(judgements, given)
    assert cases["probability"].is_monotonic_decreasing
    assert len(cases) == len(expected)
    found = {tuple(line["says"] for line in json.loads(case.evidence)): case for case in cases.itertuples()}
    for case in expected:
        one = found.pop(tuple(text for _, text, _ in case["heard"]))
        for name in ("kind", "mine_id", "licence_no", "first_seen", "last_seen"):
            assert getattr(one, name) == case[name], name
        for name in ("probability", "area_m2", "area_outside_m2", "depth_m"):
            assert getattr(one, name) == pytest.approx(case[name], abs=1e-6, nan_ok=True), name
        assert one.geometry.normalize() == case["geometry"].normalize()
        lines = json.loads(one.evidence)
        assert [(line["detection_id"], line["says"], line["weight"]) for line in lines] == case["heard"]
        assert json.loads(one.rivals) == pytest.approx(case["rivals"], abs=1e-8)


def test_each_site_is_fused_alone_as_among_others() -> None:
    judgements = many(5)
    site = sites(judgements, 40.0, 5.0)
    apart = pd.concat([fuse(judgements[site == one]) for one in range(site.max() + 1)])
    together = fuse(judgements)
    assert len(together) > 40
    order = ["probability", "kind", "evidence"]
    apart, sorted_ = (one.sort_values(order, ignore_index=True) for one in (apart, together))
    pd.testing.assert_frame_equal(apart, sorted_, check_exact=True)
    for cases in (together, fuse(judgements.iloc[:0])):
        CASES.checked(cases.assign(first_reported=pd.Timestamp("2026-07-01")))


def test_outlines_that_belong_together_agree_with_every_pair_measured() -> None:
    judgements = many(7)
    judgements = judgements[~judgements["kind"].isin(["active_while_shut", "paper_output"])].assign(mine_is_shut=False)
    site = sites(judgements, 40.0, 5.0)
    rows = judgements[["detector", "geometry"]].to_numpy().tolist()
    label = list(range(len(rows)))
    for i, (detector, outline) in enumerate(rows):
        for j, (other, second) in enumerate(rows[:i]):
            alike = ("subsidence" in (detector, other)) == (detector == other == "subsidence")
            if alike and outline.distance(second) <= (5.0 if detector == other else 40.0):
                label = [label[j] if one == label[i] else one for one in label]
    assert len(set(label)) == len(set(site)) == len(set(zip(label, site.tolist(), strict=True)))
    assert len(set(label)) < len(rows)
