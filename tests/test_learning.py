"""What outcomes teach: calibration with shrinkage, reliability, verify on files, re-judging by registers known late."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from shapely.geometry import Point, box
from typer.testing import CliRunner

from illegalmining.cases.calibrate import Lesson, calibrate, cross_validated, foretold, learned_rivals, reliability
from illegalmining.cases.fuse import UNCALIBRATED, FusionParameters, Term, bounded
from illegalmining.cases.ledger import CASES, OUTCOMES, open_ledger
from illegalmining.cases.rejudge import ACCUSED, EXPLAINED
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.cli import app
from illegalmining.detect.findings import detections
from illegalmining.district import read_district
from illegalmining.pipelines.casework import decide, publish_casework
from illegalmining.publish.tables import publish_cases
from illegalmining.tables import JURISDICTIONS
from sample_registers import CRS, EAST, cases_of, licence, mine, pit, registers

# --- calibration ---------------------------------------------------------------------------------------------------


def lessons_from(rng: np.random.Generator, count: int, true_scale: float, shift: float) -> list[Lesson]:
    """Outcomes of a world in which radar's nats are worth `true_scale` of what it says, and pits are rarer."""
    prior = FusionParameters()
    found = []
    for _ in range(count):
        terms = (Term("surface", float(rng.normal(1, 3)), 1.0), Term("radar", float(rng.normal(1, 3)), 0.8))
        nats = sum(t.weight * (true_scale if t.detector == "radar" else 1) * bounded(t.log_lr, 0.02) for t in terms)
        truth = rng.random() < expit(prior.prior("unlicensed") + shift + nats)
        found.append(Lesson("unlicensed", terms, 1.0, 0.5, bool(truth)))
    return found


def test_no_outcome_corrects_nothing_and_says_so() -> None:
    parameters = calibrate([])
    assert parameters == FusionParameters()
    assert parameters.calibration == UNCALIBRATED == "uncalibrated: prior only"


def test_many_outcomes_find_the_planted_corrections() -> None:
    parameters = calibrate(lessons_from(np.random.default_rng(3), 4000, true_scale=0.4, shift=-1.0))
    assert parameters.scale["radar"] == pytest.approx(0.4, abs=0.1)
    assert parameters.scale["surface"] == pytest.approx(1.0, abs=0.12)
    assert parameters.shift["unlicensed"] == pytest.approx(-1.0, abs=0.2)
    assert parameters.calibration == "calibrated on 4000 outcome(s)"


def test_one_outcome_does_not_overturn_a_detector() -> None:
    """Shrinkage: a sure case refuted lowers the next one like it, and leaves it a case."""
    sure = Lesson("unlicensed", (Term("surface", 8.0, 1.0),), 1.0, 0.97, False)
    one, ten = (foretold(sure, calibrate([sure] * count)) for count in (1, 10))
    assert ten < 0.5 < 0.7 < one < foretold(sure, FusionParameters())


def test_what_is_learned_of_one_kind_leans_on_the_others_but_is_its_own() -> None:
    false = Lesson("paper_output", (Term("power", 3.0, 1.0),), 1.0, 0.7, False)
    shift = calibrate([false] * 30).shift
    assert shift["paper_output"] < shift["unlicensed"] < 0


def test_calibration_lowers_the_brier_score_on_outcomes_it_has_not_seen() -> None:
    """50 outcomes of an overconfident world, judged on 2,000 others, over unseen seeds: better every time."""
    for seed in range(20, 25):
        rng = np.random.default_rng(seed)
        taught, others = lessons_from(rng, 50, 0.3, -1.5), lessons_from(rng, 2000, 0.3, -1.5)
        truth = np.array([one.confirmed for one in others])
        before = np.mean((np.array([foretold(one, FusionParameters()) for one in others]) - truth) ** 2)
        corrected = calibrate(taught)
        after = np.mean((np.array([foretold(one, corrected) for one in others]) - truth) ** 2)
        assert after < before


def test_order_of_outcomes_does_not_matter() -> None:
    lessons = lessons_from(np.random.default_rng(5), 40, 0.5, -1.0)
    a, b = calibrate(lessons), calibrate(lessons[::-1])
    for name, scale in a.scale.items():
        assert b.scale[name] == pytest.approx(scale, abs=2e-3)


def test_reliability_by_hand() -> None:
    given = np.array([0.15, 0.15, 0.95, 0.95, 0.95, 0.95])
    confirmed = np.array([False, True, True, True, True, False])
    found = reliability(given, confirmed)
    assert found.brier == pytest.approx((0.15**2 + 0.85**2 + 3 * 0.05**2 + 0.95**2) / 6)
    assert found.error == pytest.approx((2 * abs(0.15 - 0.5) + 4 * abs(0.95 - 0.75)) / 6)
    assert [(mean, share, count) for mean, share, _, _, count in found.curve] == [(0.15, 0.5, 2), (0.95, 0.75, 4)]
    assert all(low < share < high for _, share, low, high, _ in found.curve)


def test_cross_validation_keeps_an_outcome_from_its_own_calibration() -> None:
    lessons = [Lesson("unlicensed", (Term("surface", 2.0, 1.0),), 1.0, 0.8, i > 0) for i in range(12)]
    given = cross_validated(lessons)
    assert given[0] > foretold(lessons[0], calibrate(lessons))  # without the refuted one all were confirmed


def test_rivals_are_learned_from_what_inspectors_write() -> None:
    false = Lesson("unlicensed", (Term("surface", 5.0, 1.0),), 0.97, 0.9, False, "construction")
    true = replace(false, confirmed=True, found=None)
    prior = JudgingParameters()
    taught = learned_rivals([false] * 10 + [true] * 40)
    assert taught.construction == pytest.approx((prior.construction * 50 + 10) / 100, abs=1e-4)
    assert taught.nature == pytest.approx(prior.nature / 2, abs=1e-4)
    assert learned_rivals([]) == prior


# --- a district on disk --------------------------------------------------------------------------------------------

PLOT = box(1000, 1000, 2000, 2000)
TOML = """
[district]
name = "Test"
crs = "EPSG:4546"
bounds = [500000, 4100000, 508000, 4108000]
history_from = 2024-01-01
monitor_from = 2026-01-01
as_of = 2026-07-01
language = "{language}"
[registers]
jurisdictions = "jurisdictions.gpkg"
concessions = "concessions.gpkg"
mines = "mines.gpkg"
"""
ORIGIN = (500000, 4100000)


def moved(outline):
    from shapely.affinity import translate

    return translate(outline, *ORIGIN)


@pytest.fixture(params=["en", "zh"])
def district(request: pytest.FixtureRequest, tmp_path: Path):
    """A district whose registers lie in files; nothing is detected there."""
    return district_at(tmp_path, request.param)


def district_at(folder: Path, language: str = "en"):
    (folder / "district.toml").write_text(TOML.format(language=language), "utf-8")
    unit = {"code": "E", "name": "East", "parent_code": None, "level": "county", "geometry": moved(EAST)}
    JURISDICTIONS.frame([unit], CRS).to_file(folder / "jurisdictions.gpkg")
    known = plots()
    known.concessions.to_file(folder / "concessions.gpkg")
    known.mines.to_file(folder / "mines.gpkg")
    return read_district(folder / "district.toml")


def plots(**more: str):
    known = registers([licence("L", moved(PLOT), **more)], [mine("m", "L", moved(Point(1500, 1500)))])
    return replace(
        known, jurisdictions=known.jurisdictions.assign(geometry=known.jurisdictions.geometry.translate(*ORIGIN))
    )


SEEN = detections([pit(moved(box(1200, 1200, 1320, 1300))), pit(moved(box(3000, 3000, 3100, 3080)), 3.0)], CRS)


def finished(district, known=None, found=SEEN):
    """A run's casework published, with the record a run leaves."""
    work = decide(found, known or plots(), district)
    publish_cases(work.cases, district.out)
    publish_casework(work, district)
    record = {"version": "x", "inputs": {"mines.gpkg": "0" * 64}, "sources": []}
    (district.out / "run.json").write_text(json.dumps(record), "utf-8")
    return work


def published(district) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(district.out.iterdir()) if path.suffix != ".gpkg"}


def invoke(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, list(arguments))
    return outcome.exit_code, outcome.output


def test_a_second_run_with_nothing_new_gives_the_same_bytes(district) -> None:
    finished(district)
    first = published(district)
    finished(district)
    assert published(district) == first
    assert {"answers.csv", "rejudged.csv", "calibration.json", "reliability.svg"} <= set(first)
    assert "uncalibrated: prior only" in first["calibration.json"].decode()


def test_what_the_ledger_remembers_does_not_change_another_districts_bytes(tmp_path: Path) -> None:
    """An empty ledger and one with a longer past give the same outputs where nothing was decided."""
    one, two = (district_at(tmp_path / name) for name in ("a", "b") if (tmp_path / name).mkdir() is None)
    finished(two.at(date(2026, 7, 1)), found=SEEN.iloc[:0])
    finished(one)
    finished(two)
    assert published(one) == published(two)


def test_a_renewal_entered_late_re_judges_the_past_and_says_so(district) -> None:
    expired = plots(valid_to="2026-01-01")
    before = finished(district, expired)
    case_id = before.cases.loc[before.cases["licence_no"] == "L", "case_id"].item()
    later = district.at(date(2026, 7, 8))
    after = finished(later, plots(valid_to="2026-01-01", renewal_applied="2025-11-01"))
    assert case_id not in set(after.cases["case_id"])
    row = after.tables["rejudged"].iloc[0]
    assert (row["case_id"], row["verdict_now"]) == (case_id, EXPLAINED)
    assert row["probability_then"] > 0.9
    assert "renewal_applied empty -> 2025-11-01" in row["changed"]
    repeated = finished(later, plots(valid_to="2026-01-01", renewal_applied="2025-11-01"))
    assert repeated.tables["rejudged"].equals(after.tables["rejudged"])
    code, told = invoke("explain", str(later.path), case_id, "--as-of", "2026-07-08")
    assert code == 0
    assert "not among the cases of this run" in told
    assert "renewal_applied empty -> 2025-11-01" in told
    back = finished(district.at(date(2026, 7, 15)), expired)  # the entry was a mistake: the same case, open again
    again = back.cases.set_index("case_id").loc[case_id]
    assert (again["status"], again["first_reported"]) == ("open", pd.Timestamp("2026-07-01"))


def test_a_licence_taken_back_accuses_and_says_so(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    assert len(finished(district).cases) == 1
    revoked = finished(district.at(date(2026, 7, 8)), plots(valid_to="2026-02-01"))
    row = revoked.tables["rejudged"].iloc[0]
    assert row["verdict_now"] == ACCUSED
    assert "valid_to empty -> 2026-02-01" in row["changed"]


def test_evidence_that_is_gone_is_not_blamed_on_the_registers(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    finished(district)
    changed = finished(district.at(date(2026, 7, 8)), plots(valid_to="2030-01-01"), found=SEEN.iloc[:0])
    assert changed.tables["rejudged"].empty
    with open_ledger(district.ledger, "Test") as ledger:
        assert {row["status"] for row in ledger.rows(CASES)} == {"open"}


# --- verify, explain -----------------------------------------------------------------------------------------------


def test_verify_records_recalibrates_and_sets_aside(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    case_id = finished(district).cases["case_id"][0]
    (tmp_path / "outcomes.csv").write_text(
        "case_id,outcome,visited,reason,inspector\n"
        f'{case_id},confirmed,2026-07-03,,"=HYPERLINK(1)"\n'
        f"{case_id},refuted,2026-07-02,,no reason given\n"
        "0000-NOBODY,confirmed,2026-07-02,,\n"
        f"{case_id},perhaps,2026-07-02,x,\n",
        "utf-8",
    )
    code, told = invoke("verify", str(district.path), str(tmp_path / "outcomes.csv"))
    assert code == 3
    assert "1 outcome(s) recorded, 0 known already, 3 set aside" in told
    assert "row 2: reason" in told
    assert "row 3: case_id" in told
    assert "row 4: outcome" in told
    assert "calibrated on 1 outcome(s)" in told
    assert "calibrated on 1 outcome(s)" in (district.out / "reliability.svg").read_text("utf-8")
    code, told = invoke("verify", str(district.path), str(tmp_path / "outcomes.csv"), "--json")
    assert json.loads(told)["known"] == 1
    after = finished(district.at(date(2026, 7, 8)))
    assert after.cases["status"].tolist() == ["confirmed"]
    assert after.cases["calibration"].tolist() == ["calibrated on 1 outcome(s)"]
    with open_ledger(district.ledger, "Test") as ledger:
        assert json.loads(ledger.rows(OUTCOMES)[0]["content"])["inspector"] == "=HYPERLINK(1)"


def test_outcomes_from_a_field_tablet(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    finished(district)
    visits = gpd.GeoDataFrame(
        {
            "outcome": ["refuted"],
            "visited": [pd.Timestamp("2026-07-03")],
            "reason": ["工地"],
            "found": ["construction"],
        },
        geometry=[moved(Point(3050, 3040))],
        crs=CRS,
    ).to_crs(4326)
    visits.to_file(tmp_path / "tablet.gpkg")
    code, told = invoke("verify", str(district.path), str(tmp_path / "tablet.gpkg"))
    assert (code, told.splitlines()[0]) == (0, "1 outcome(s) recorded, 0 known already, 0 set aside")
    assert finished(district.at(date(2026, 7, 8))).cases["status"].tolist() == ["refuted"]


def test_verify_without_its_file_or_its_columns_says_what_to_do(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    finished(district)
    (tmp_path / "bad.csv").write_text("case,result\n1,yes\n", "utf-8")
    for name, says in (("none.csv", "no such file"), ("bad.csv", "outcome, visited are missing")):
        outcome = CliRunner().invoke(app, ["verify", str(district.path), str(tmp_path / name)])
        assert says in str(outcome.exception)


def test_explain_adds_up_and_names_what_would_change_the_verdict(district) -> None:
    cases = finished(district).cases
    case = cases.iloc[0]
    code, told = invoke("explain", str(district.path), case["case_id"], "--json")
    assert code == 0
    sums = json.loads(told)["reckoning"]
    total = sums["prior_log_odds"] + sum(term["counted"] for term in sums["terms"])
    assert total == pytest.approx(sums["sum_log_odds"], abs=2e-3)
    assert sums["probability_by_evidence"] == pytest.approx(case["probability"], abs=1e-3)
    assert sums["rivals"].keys() == {"no_activity", "construction", "nature"}
    assert sum(sums["rivals"].values()) + case["probability"] == pytest.approx(1, abs=1e-5)
    assert sums["prior_log_odds"] == pytest.approx(FusionParameters().prior("unlicensed"), abs=2e-3)
    code, text = invoke("explain", str(district.path), case["case_id"])
    assert f"illegalmining run {district.path} --as-of 2026-07-01" in text
    assert "CHANGED SINCE: mines.gpkg" in text  # the record's hash is not the file's
    assert ("登记变化" if district.configuration.district.language == "zh" else "in the registers:") in text


def test_explain_of_a_case_that_never_was_says_where_to_look(tmp_path: Path) -> None:
    district = district_at(tmp_path)
    finished(district)
    outcome = CliRunner().invoke(app, ["explain", str(district.path), "nobody"])
    assert "knows no such case" in str(outcome.exception)


def test_evidence_of_one_kind_alone_is_bounded_by_the_artefact_rate() -> None:
    known = registers([licence("L", box(20000, 0, 21000, 1000))], [mine("m", "L", Point(20500, 500))])
    case = cases_of(known, pit(box(0, 0, 100, 100), log_lr=500.0)).iloc[0]
    assert json.loads(case["evidence"])[0]["counted"] == pytest.approx(np.log(50), abs=1e-3)
