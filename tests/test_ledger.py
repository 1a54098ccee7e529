"""The ledger on both servers: identity, decisions, the audit's chain, registers as known, deadlines and offenders."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import sqlalchemy as sa
from shapely.geometry import Point, Polygon, box

from illegalmining.cases.answers import answers, candidates, offenders
from illegalmining.cases.identity import identify
from illegalmining.cases.known import changes, latest_version, registers_as_known, remember_registers, worded
from illegalmining.cases.ledger import AUDIT, CASES, RUNS, broken_link, open_ledger
from illegalmining.cases.outcomes import attach, lessons, record
from illegalmining.decisions import OUTCOMES as OUTCOMES_TABLE
from illegalmining.district import Configuration
from illegalmining.errors import InputError
from illegalmining.pipelines.casework import begin_run, operated
from postgres import lacking, server
from sample_registers import CRS, cases_of, licence, mine, pit, registers

NOTHING = registers([licence("L", box(20000, 0, 21000, 1000))], [mine("m", "L", Point(20500, 500))])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A ledger nobody has used, on each kind of server."""
    if request.param == "sqlite":
        return tmp_path / "ledger.sqlite"
    if lacking():
        pytest.skip(lacking())
    url = str(request.getfixturevalue("database"))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in ("cases", "runs", "sightings", "register_rows", "outcomes", "audit"):
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {table} CASCADE"))
    engine.dispose()
    return url


@pytest.fixture
def night(where: Path | str) -> Callable[..., gpd.GeoDataFrame]:
    """One run over pits: `night("2026-07-01", outline, ...)`."""

    def run(as_of: str, *outlines: Polygon, known: Any = NOTHING, **more: Any) -> gpd.GeoDataFrame:
        cases = operated(cases_of(known, *(pit(outline, **more) for outline in outlines)), known)
        cases["jurisdiction"] = "E"
        with open_ledger(where, "d") as ledger:
            number = begin_run(ledger, date.fromisoformat(as_of), remember_registers(ledger, known))
            return identify(ledger, cases, date.fromisoformat(as_of), number)

    return run


def visit(case_id: str | None, outcome: str, visited: str = "2026-07-10", **more: Any) -> dict[str, Any]:
    return {"case_id": case_id, "outcome": outcome, "visited": pd.Timestamp(visited), "reason": "seen", **more}


def visited(where: Path | str, *rows: dict[str, Any]) -> int:
    table = OUTCOMES_TABLE.typed([{k: v for k, v in row.items() if k != "place"} for row in rows])
    frame = gpd.GeoDataFrame(table, geometry=[row.get("place") for row in rows], crs=CRS)
    with open_ledger(where, "d") as ledger:
        found, faults = attach(ledger, frame)
        assert faults == []
        return record(ledger, frame, found)


def ids(cases: gpd.GeoDataFrame) -> list[str]:
    return cases.sort_values("area_m2", ascending=False)["case_id"].tolist()


def test_two_sites_that_grow_together_are_one_case_with_one_of_their_ids(where, night) -> None:
    before = night("2026-07-01", box(0, 0, 100, 100), box(150, 0, 200, 100))
    large, small = ids(before)
    after = night("2026-08-01", box(0, 0, 200, 100))
    assert ids(after) == [large]
    assert after["merged_from"].tolist() == [small]
    assert after["first_reported"].tolist() == [pd.Timestamp("2026-07-01")]
    with open_ledger(where, "d") as ledger:
        assert ledger.rows(CASES, CASES.c.case_id == small)[0]["merged_into"] == large
        found, _ = attach(ledger, gpd.GeoDataFrame(OUTCOMES_TABLE.typed([visit(small, "confirmed")]), geometry=[None]))
        assert list(found.values()) == [large]  # an inspector who still holds the old id
    assert night("2026-09-01", box(0, 0, 210, 100))["case_id"].tolist() == [large]


def test_a_site_that_falls_apart_leaves_its_id_to_the_largest_part(night) -> None:
    whole = night("2026-07-01", box(0, 0, 300, 100))["case_id"][0]
    parts = night("2026-08-01", box(0, 0, 180, 100), box(230, 0, 300, 100))
    large, small = ids(parts)
    assert large == whole
    assert parts.set_index("case_id")["split_from"].to_dict() == {large: None, small: whole}
    again = night("2026-09-01", box(0, 0, 180, 100), box(230, 0, 300, 100))
    assert ids(again) == [large, small]
    assert again.set_index("case_id")["split_from"][small] == whole


def test_a_sliver_that_is_surer_than_the_main_part_does_not_take_its_id(where, night) -> None:
    main, sliver = box(0, 0, 180, 100), box(230, 0, 300, 100)
    whole = night("2026-07-01", box(0, 0, 300, 100))["case_id"][0]
    cases = cases_of(NOTHING, pit(main, 1.0), pit(sliver, 9.0))
    assert cases["area_m2"].is_monotonic_increasing  # the sliver comes first
    with open_ledger(where, "d") as ledger:
        after = identify(ledger, operated(cases, NOTHING), date(2026, 8, 1), 2)
    assert ids(after)[0] == whole


@pytest.mark.parametrize("outcome", ["refuted", "closed"])
def test_what_was_settled_does_not_come_back_as_new(where, night, outcome: str) -> None:
    site = box(0, 0, 100, 100)
    case_id = night("2026-07-01", site)["case_id"][0]
    assert visited(where, visit(case_id, outcome)) == 1
    after = night("2026-08-01", box(-20, 0, 110, 100))
    assert after[["case_id", "status"]].to_numpy().tolist() == [[case_id, outcome]]
    assert after["first_reported"][0] == pd.Timestamp("2026-07-01")
    later = night("2026-12-01", site, first="2026-08-15")  # all of it dug after the visit
    assert later[["case_id", "status"]].to_numpy().tolist() == [[case_id, "open"]]


def test_an_inspectors_word_counts_for_more_than_any_sensor(where, night) -> None:
    a, b = ids(night("2026-07-01", box(0, 0, 100, 100), box(900, 0, 980, 80)))
    visited(where, visit(a, "refuted"), visit(b, "confirmed"))
    after = night("2026-08-01", box(0, 0, 100, 100), box(900, 0, 980, 80)).set_index("case_id")
    assert after["probability"].to_dict() == {a: 0.01, b: 0.99}
    assert list(after.index) == [b, a]
    with open_ledger(where, "d") as ledger:
        taught = {one.confirmed: one for one in lessons(ledger)}
    assert min(taught[False].reported, taught[True].reported) > 0.9  # what was said before the visit


def test_an_inconclusive_visit_leaves_the_case_open_and_a_later_one_decides(where, night) -> None:
    case_id = night("2026-07-01", box(0, 0, 100, 100))["case_id"][0]
    visited(where, visit(case_id, "inconclusive"))
    assert night("2026-07-12", box(0, 0, 100, 100))["status"].tolist() == ["open"]
    visited(where, visit(case_id, "confirmed", "2026-07-20"), visit(case_id, "refuted", "2026-07-15"))
    assert night("2026-08-01", box(0, 0, 100, 100))["status"].tolist() == ["confirmed"]
    assert visited(where, visit(case_id, "refuted", "2026-07-15")) == 0  # the same outcome twice adds nothing


def test_a_visit_without_an_id_belongs_to_the_case_at_its_place(where, night) -> None:
    case_id = night("2026-07-01", box(0, 0, 100, 100))["case_id"][0]
    frame = gpd.GeoDataFrame(
        OUTCOMES_TABLE.typed([visit(None, "confirmed"), visit(None, "confirmed"), visit(None, "refuted")]),
        geometry=[Point(120, 50), Point(700, 700), Point(700, 700)],
        crs=CRS,
    )
    with open_ledger(where, "d") as ledger:
        found, faults = attach(ledger, frame)
    assert found == {0: case_id, 1: None}  # a find that no case was made of is kept too
    assert [(fault.row, fault.field) for fault in faults] == [(2, "case_id")]


def test_the_audit_cannot_be_altered_and_tells_when_it_was(where, night) -> None:
    case_id = night("2026-07-01", box(0, 0, 100, 100))["case_id"][0]
    visited(where, visit(case_id, "refuted"))
    with open_ledger(where, "d") as ledger:
        assert broken_link(ledger) is None
        assert [row["what"] for row in ledger.rows(AUDIT)] == ["registers", "opened", "outcome"]
    for forbidden in (sa.update(AUDIT).values(what="nothing"), sa.delete(AUDIT)):
        with pytest.raises(InputError, match="append-only"), open_ledger(where, "d") as ledger:
            ledger.connection.execute(forbidden)
    with open_ledger(where, "d") as ledger:  # someone with the keys to the server
        guard = "DROP TRIGGER audit_keeps_update" if isinstance(where, Path) else "DROP TRIGGER audit_keeps ON audit"
        ledger.connection.execute(sa.text(guard))
        ledger.change(AUDIT, AUDIT.c.number == 2, content=json.dumps({"kind": "nothing"}))
    with open_ledger(where, "d") as ledger:
        assert broken_link(ledger) == 2
    with open_ledger(where, "other") as ledger:
        assert ledger.rows(CASES) == []  # districts do not see each other's cases


def test_a_second_process_reads_and_writes_while_a_run_is_open(where, night) -> None:
    night("2026-07-01", box(0, 0, 100, 100))
    done: list[str] = []

    def other() -> None:
        with open_ledger(where, "e") as ledger:
            ledger.note("other", "x", {})
        done.append("written")

    with open_ledger(where, "d") as ledger:
        ledger.note("mine", "x", {})
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert done == []  # writers take turns
        with open_ledger(where, "d", writing=False) as reader:  # who reads does not wait, and sees what was whole
            assert [row["what"] for row in reader.rows(AUDIT)] == ["registers", "opened"]
    thread.join(30)
    assert done == ["written"]
    with open_ledger(where, "d") as ledger:
        assert [row["what"] for row in ledger.rows(AUDIT)] == ["registers", "opened", "mine"]


def test_the_same_nights_give_the_same_cases_on_both_servers(tmp_path, request) -> None:
    if lacking():
        pytest.skip(lacking())
    frames = []
    for where in (tmp_path / "l.sqlite", str(request.getfixturevalue("database"))):
        with open_ledger(where, "twin") as ledger:
            for as_of in (date(2026, 7, 1), date(2026, 8, 1)):
                run = begin_run(ledger, as_of, remember_registers(ledger, NOTHING))
                found = operated(cases_of(NOTHING, pit(box(0, 0, 100, 100))), NOTHING)
                cases = identify(ledger, found, as_of, run)
        frames.append(cases)
    pd.testing.assert_frame_equal(pd.DataFrame(frames[0]), pd.DataFrame(frames[1]))


def test_a_shared_database_shows_cases_as_a_layer(where, night) -> None:
    if isinstance(where, Path):
        pytest.skip("a view for GIS exists in PostGIS alone")
    night("2026-07-01", box(0, 0, 100, 100))
    with open_ledger(where, "d") as ledger:
        area, srid = ledger.connection.execute(
            sa.text("SELECT ST_Area(outline), ST_SRID(outline) FROM cases_map")
        ).one()
    assert (area, srid) == (10_000.0, 4546)


def test_registers_are_kept_as_known_then_and_as_known_now(where) -> None:
    plot = box(0, 0, 1000, 1000)
    expired = registers([licence("L", plot, valid_to="2026-01-01")], [mine("m", "L", Point(5, 5))])
    renewed = registers(
        [licence("L", plot, valid_to="2026-01-01", renewal_applied="2025-11-01")], [mine("m", "L", Point(5, 5))]
    )
    with open_ledger(where, "d") as ledger:
        for known in (expired, expired, renewed):
            begin_run(ledger, date(2026, 7, 1), remember_registers(ledger, known))
        assert [row["register_version"] for row in ledger.rows(RUNS)] == [1, 2]
        assert latest_version(ledger) == 2
        then = registers_as_known(ledger, 1, renewed, CRS)
        now = registers_as_known(ledger, 2, renewed, CRS)
        told = [worded(change) for change in changes(ledger, 1, 2)]
    for found, expected in ((then, expired), (now, renewed)):
        pd.testing.assert_frame_equal(pd.DataFrame(found.concessions), pd.DataFrame(expected.concessions))
        pd.testing.assert_frame_equal(pd.DataFrame(found.mines), pd.DataFrame(expected.mines))
    assert told == ["concessions L|2015-01-01: renewal_applied empty -> 2025-11-01"]


def test_deadlines_are_counted_by_jurisdiction(where, night) -> None:
    a, b, _ = ids(night("2026-07-01", box(0, 0, 120, 100), box(900, 0, 1000, 100), box(2000, 0, 2080, 100)))
    night("2026-08-10", box(0, 0, 120, 100), box(900, 0, 1000, 100), box(2000, 0, 2080, 100), box(3000, 0, 3070, 90))
    visited(where, visit(a, "confirmed"), visit(b, "inconclusive"))
    with open_ledger(where, "d") as ledger:
        owed = answers(ledger, NOTHING.jurisdictions, date(2026, 8, 10), 30).iloc[0]
    assert owed[["jurisdiction", "cases", "open", "confirmed", "inconclusive_visits"]].tolist() == ["E", 4, 3, 1, 1]
    assert owed[["overdue", "oldest_overdue", "days_overdue"]].tolist() == [2, "2026-07-31", 10]
    assert owed["next_due"] == date(2026, 9, 9)


def test_offenders_are_named_by_confirmed_cases_and_never_by_nearness(where, night) -> None:
    known = registers(
        [licence("A", box(0, 0, 500, 500)), licence("B", box(2000, 0, 2500, 500))],
        [mine("a", "A", Point(250, 250)), mine("b", "B", Point(2250, 250))],
    )
    beyond, second, beside, other = (
        box(450, 0, 600, 100),
        box(450, 300, 590, 400),
        box(800, 0, 900, 90),
        box(2450, 0, 2600, 80),
    )
    cases = night("2026-07-01", beyond, second, beside, other, known=known)
    by_place = {shape.bounds[:2]: case_id for case_id, shape in zip(cases["case_id"], cases.geometry, strict=True)}
    assert cases.set_index("case_id")["attribution"][by_place[800, 0]] == "near"
    visited(where, *(visit(by_place[one], "confirmed") for one in ((450, 0), (450, 300), (800, 0))))
    with open_ledger(where, "d") as ledger:
        found, proposed = offenders(ledger), candidates(ledger)
    assert found[["operator_id", "confirmed", "repeat_offender"]].to_numpy().tolist() == [["ID-a", 2, "yes"]]
    assert proposed["operator_id"].tolist() == ["ID-a"]  # B has an open case, which proves nothing
    visited(
        where, visit(by_place[800, 0], "confirmed", "2026-07-20", operator="C Ltd", operator_id="ID-c", volume_m3=9e3)
    )
    with open_ledger(where, "d") as ledger:
        assert candidates(ledger)[["operator_id", "volume_m3"]].to_numpy().tolist()[1] == ["ID-c", 9e3]


def test_an_offence_stays_with_the_operator_of_its_time(where, night) -> None:
    plot, site = licence("A", box(0, 0, 500, 500)), box(450, 0, 600, 100)
    night("2026-07-01", site, known=registers([plot], [mine("a", "A", Point(250, 250))]))
    sold = registers([plot], [mine("a", "A", Point(250, 250), operator="New Ltd", operator_id="ID-new")])
    assert night("2026-08-01", site, known=sold)["operator_id"].tolist() == ["ID-a"]


def test_a_ledger_of_another_make_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.sqlite") as other:
        other.execute("CREATE TABLE cases (case_id TEXT)")
    with (
        pytest.raises(InputError, match="not a ledger this version can read"),
        open_ledger(tmp_path / "l.sqlite", "d") as ledger,
    ):
        ledger.rows(CASES)


def test_a_server_that_is_not_there_is_said_without_a_password() -> None:
    url = "postgresql+psycopg://monitor:secret@127.0.0.1:1/none"
    with pytest.raises(InputError) as raised, open_ledger(url, "d"):
        pass
    assert "127.0.0.1" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql+psycopg://u:secret@host/db", "mysql://host/db"])
def test_the_configuration_takes_no_password_and_no_other_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"PGPASSWORD|PostgreSQL"):
        Configuration.model_validate({"district": {}, "registers": {}, "ledger": {"url": url}})


def test_a_blind_visit_that_found_nothing_counts_where_it_was_drawn_and_nowhere_else(where, night) -> None:
    night("2026-07-01", box(0, 0, 100, 100))
    table = OUTCOMES_TABLE.typed([visit(None, "refuted"), visit(None, "refuted")])
    frame = gpd.GeoDataFrame(table, geometry=[Point(2000, 0), Point(5000, 0)], crs=CRS)
    with open_ledger(where, "d") as ledger:
        found, faults = attach(ledger, frame, [Point(2300, 0)], 500.0)
        assert (found, [fault.row for fault in faults]) == ({0: None}, [1])
        assert record(ledger, frame, found) == 1
        assert lessons(ledger) == []
