"""The outcome form goes out, is filled in by people who do not agree, and comes back with its photos."""

from __future__ import annotations

import filecmp
import hashlib
import json
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest

from illegalmining.cases.ledger import AUDIT, CASES, OUTCOMES, open_ledger
from illegalmining.cases.outcomes import contradict, lessons
from illegalmining.decisions import FOUND_INSTEAD, OUTCOMES_OF_VISITS
from illegalmining.decisions import OUTCOMES as OUTCOMES_TABLE
from illegalmining.pipelines.dossiers import write_forms
from illegalmining.publish.outcomeform import LAYER, form_style
from test_learning import district_at, finished, invoke


@pytest.fixture
def sent(tmp_path: Path) -> tuple[Any, list[str], Path]:
    """(district, ids of its cases, the folder the form went out in)."""
    district = district_at(tmp_path)
    ids = finished(district).cases["case_id"].tolist()
    folder = tmp_path / "tablet"
    write_forms(district, district.out, ids, folder)
    return district, ids, folder


def fill_in(folder: Path, case_id: str, **cells: Any) -> Path:
    """Fill in a row of the form as a tablet does, and return the form."""
    form = folder / "outcomes.gpkg"
    rows = gpd.read_file(form, layer=LAYER)
    for name, value in cells.items():
        rows[name] = rows[name].astype(object)
        rows.loc[rows["case_id"] == case_id, name] = value
    rows.to_file(form, layer=LAYER, driver="GPKG")
    return form


def csv_of(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / f"office{len(list(folder.iterdir()))}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def photo(folder: Path, name: str, content: bytes) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_the_form_goes_out_with_a_row_a_case_and_choices(sent: Any, tmp_path: Path) -> None:
    district, ids, folder = sent
    rows = gpd.read_file(folder / "outcomes.gpkg", layer=LAYER)
    assert rows["case_id"].tolist() == ids
    assert set(rows.columns) >= set(OUTCOMES_TABLE.columns) - {"lon", "lat"}
    cases = gpd.read_parquet(district.out / "cases.parquet").set_index("case_id").loc[ids]
    assert rows.to_crs(cases.crs).within(cases.geometry.buffer(1).reset_index(drop=True)).all()
    about = pyogrio.read_info(folder / "outcomes.gpkg", layer=LAYER)
    assert dict(zip(about["fields"], about["ogr_types"], strict=True))["visited"] == "OFTDate"
    with sqlite3.connect(folder / "outcomes.gpkg") as database:
        (style, default) = database.execute(
            "SELECT styleQML, useAsDefault FROM layer_styles WHERE f_table_name = ?", (LAYER,)
        ).fetchone()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert default
    tree = ElementTree.fromstring(style.split("\n", 1)[1])
    choices = {
        field.get("name"): [one.get("value") for one in field.iterfind(".//Option[@type='QString']")]
        for field in tree.iterfind("fieldConfiguration/field")
        if field.find("editWidget").get("type") == "ValueMap"
    }
    assert choices == {
        "outcome": list(OUTCOMES_OF_VISITS), "found": list(FOUND_INSTEAD), "settles": ["yes", "no"]
    }  # fmt: skip
    written = pd.read_csv(folder / "outcomes.csv", dtype=str)
    assert written["case_id"].tolist() == ids
    write_forms(district, district.out, ids, tmp_path / "again")
    for name in ("outcomes.gpkg", "outcomes.csv"):
        assert filecmp.cmp(folder / name, tmp_path / "again" / name, shallow=False)
    assert "结论" in form_style("zh")


def test_what_nobody_filled_in_is_no_outcome(sent: Any) -> None:
    district, ids, folder = sent
    for name in ("outcomes.gpkg", "outcomes.csv"):
        code, told = invoke("verify", str(district.path), str(folder / name))
        assert code == 0
        assert f"0 outcome(s) recorded, 0 known already, 0 set aside\n{len(ids)} row(s) of the form are blank" in told


def test_photos_come_back_with_their_hashes_and_are_shown(sent: Any) -> None:
    district, ids, folder = sent
    first, second = photo(folder, "DCIM/a b.jpg", b"one"), photo(folder, "坑.jpg", b"two")
    day = date(2026, 7, 3)
    form = fill_in(folder, ids[0], outcome="confirmed", visited=day, photos="坑.jpg", photo_1="DCIM/a b.jpg")
    code, told = invoke("verify", str(district.path), str(form))
    assert code == 0
    assert "1 outcome(s) recorded" in told
    assert "2 photo(s) hashed" in told
    code, told = invoke("verify", str(district.path), str(form))
    assert "0 outcome(s) recorded, 1 known already" in told
    code, told = invoke("explain", str(district.path), ids[0])
    assert first in told
    assert second in told
    with open_ledger(district.ledger, "Test") as ledger:
        held = json.loads(ledger.rows(OUTCOMES)[0]["content"])
    assert held["photos"] == [{"name": "坑.jpg", "sha256": second}, {"name": "DCIM/a b.jpg", "sha256": first}]
    assert "photo_1" not in held


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone.jpg", "no such photo"),
        ("../secret.jpg", "outside the folder"),
        ("DCIM/../../secret.jpg", "outside the folder"),
        ("..\\secret.jpg", "outside the folder"),
        ("C:\\photos\\a.jpg", "outside the folder"),
        ("/etc/hostname", "outside the folder"),
        ("link.jpg", "leads outside"),
        ("x" * 5000, "no name of a file"),
        ("ok.jpg; gone.jpg", "no such photo"),
        (".", "no such photo"),
    ],
)
def test_a_photo_that_is_missing_or_elsewhere_sets_the_row_aside(sent: Any, name: str, why: str) -> None:
    district, ids, folder = sent
    photo(folder.parent, "secret.jpg", b"secret")
    photo(folder, "ok.jpg", b"ok")
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    path = csv_of(folder, {"case_id": ids[0], "outcome": "confirmed", "visited": "2026-07-03", "photos": name})
    code, told = invoke("verify", str(district.path), str(path), "--json")
    assert code == 3
    found = json.loads(told)
    assert found["recorded"] == 0
    row = found["set_aside"][0]
    assert (row["row"], row["field"]) == ("1", "photos")
    assert why in row["why"]
    assert hashlib.sha256(b"secret").hexdigest() not in told


def test_offices_that_disagree_are_both_kept_and_the_case_stays_open(sent: Any) -> None:
    district, ids, folder = sent
    one = {"case_id": ids[0], "outcome": "confirmed", "visited": "2026-07-03", "inspector": "Li, county", "reason": ""}
    two = {**one, "outcome": "refuted", "visited": "2026-07-05", "inspector": "Wang, city", "reason": "a road"}
    invoke("verify", str(district.path), str(csv_of(folder, one)))
    code, told = invoke("verify", str(district.path), str(csv_of(folder, two)))
    assert code == 0
    assert f"CONFLICT in case {ids[0]}, which stays open" in told
    assert "confirmed on 2026-07-03 by Li, county; refuted on 2026-07-05 by Wang, city" in told
    with open_ledger(district.ledger, "Test") as ledger:
        assert [row["outcome"] for row in ledger.rows(OUTCOMES, OUTCOMES.c.case_id == ids[0])] != []
        assert len(ledger.rows(OUTCOMES)) == 2
        assert ledger.rows(CASES, CASES.c.case_id == ids[0])[0]["status"] == "open"
        assert lessons(ledger) == []
        assert [line["what"] for line in ledger.rows(AUDIT)][-1] == "conflict"
    code, told = invoke("explain", str(district.path), ids[0])
    assert "CONFLICT" in told
    assert "Wang, city" in told
    listed = pd.read_csv(district.out / "conflicts.csv", dtype=str)
    assert listed["outcome"].tolist() == ["confirmed", "refuted"]
    assert listed["inspector"].tolist() == ["Li, county", "Wang, city"]
    later = finished(district.at(date(2026, 7, 8)))
    assert later.cases.set_index("case_id").loc[ids[0], "status"] == "open"

    ruling = {**two, "visited": "2026-07-09", "inspector": "Zhao, province", "settles": "yes"}
    code, told = invoke("verify", str(district.path), str(csv_of(folder, ruling)))
    assert "CONFLICT" not in told
    with open_ledger(district.ledger, "Test") as ledger:
        assert len(ledger.rows(OUTCOMES)) == 3
        assert ledger.rows(CASES, CASES.c.case_id == ids[0])[0]["status"] == "refuted"
        assert [lesson.confirmed for lesson in lessons(ledger)] == [False]
    assert pd.read_csv(district.out / "conflicts.csv").empty


def said(outcome: str, visited: str, inspector: str | None = None, settles: str | None = None) -> dict[str, Any]:
    return {"outcome": outcome, "visited": visited, "inspector": inspector, "settles": settles}


YES, NO = said("confirmed", "2026-07-03", "Li"), said("refuted", "2026-07-05", "Wang")


@pytest.mark.parametrize(
    ("visits", "conflict"),
    [
        ([YES, NO], True),
        ([NO, YES], True),
        ([YES], False),
        ([YES, {**NO, "outcome": "confirmed"}], False),
        ([YES, {**NO, "outcome": "inconclusive"}], False),
        ([YES, {**NO, "outcome": "closed"}], False),
        ([YES, {**NO, "inspector": " LI "}], False),  # one who comes again corrects himself ...
        ([YES, {**NO, "inspector": "Li", "visited": "2026-07-03"}], True),  # ... but not on the same day
        ([YES, {**NO, "visited": "2026-09-30"}], False),  # the site has changed since
        ([YES, {**NO, "visited": "2026-08-02"}], True),
        ([YES, NO, said("confirmed", "2026-07-08", "Zhao", "yes")], False),
        ([YES, NO, said("confirmed", "2026-07-08", "Zhao", "no")], True),
        ([YES, NO, said("confirmed", "2026-07-08", "Zhao", "yes"), said("refuted", "2026-07-20", "Sun")], True),
        ([said("confirmed", "2026-07-03"), said("refuted", "2026-07-03")], True),
    ],
)
def test_what_contradicts(visits: list[dict[str, Any]], conflict: bool) -> None:
    assert contradict(visits) is conflict
