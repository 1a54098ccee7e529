"""Mines known by name only: candidates on a real two-script register, and a person's decisions obeyed for ever."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import Point, box
from typer.testing import CliRunner

from illegalmining.cli import app
from illegalmining.district import read_district
from illegalmining.registers.linking import LinkParameters, alike, candidates, number_of, value_of
from illegalmining.registers.read import read_registers
from illegalmining.tables import JURISDICTIONS
from sample_registers import CRS, EAST, licence, mine, registers

P = LinkParameters()


@pytest.mark.parametrize(
    ("digits", "value"),
    [("四", 4), ("十", 10), ("十三", 13), ("二十", 20), ("一百零五", 105), ("二一三〇", 2130), ("12", 12)],
)
def test_chinese_numbers(digits: str, value: int) -> None:
    assert value_of(digits) == value


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("天安煤业四矿", 4),
        ("十三矿", 13),
        ("赵庄二号井", 2),
        ("潘集第三煤矿", 3),
        ("大同煤矿", None),
        ("三元煤业", None),
    ],
)
def test_numbers_of_mines(name: str, number: int | None) -> None:
    assert number_of(name, chinese=True) == number


def test_writing_sound_and_number() -> None:
    assert alike("红崖煤矿", "红崖煤矿", P) == 100
    assert alike("红崖煤矿", "贵州红崖煤业有限责任公司", P) > 85
    assert 85 < alike("红崖煤矿", "洪崖煤矿", P) <= 95  # a homophone
    assert alike("水峪煤矿", "Shuiyu Coal Mine", P) > 90
    assert alike("平煤四矿", "平煤五矿", P) < 40  # neighbours of one company
    assert alike("平煤四矿", "Pingmei No. 4 Mine", P) > 90
    assert alike("红崖煤矿", "青石煤矿", P) < 65
    for one, other in (("红崖煤矿", "Hongya Mine"), ("平煤四矿", "平煤五矿")):
        assert alike(one, other, P) == alike(other, one, P)


def gem(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame, gpd.GeoDataFrame]:
    """Chinese names to look up, the register in English, and the register as it lies there (one row a shaft)."""
    register = gpd.read_file(shared_data / "registers" / "gem_china_coal.geojson")
    once = register.drop_duplicates("GEM Mine ID")
    chinese = [
        urllib.parse.unquote(str(page)).split("/")[-1].replace("_", " ") for page in once["GEM Wiki Page (Non-ENG)"]
    ]
    wanted = pd.DataFrame({"name": chinese}, index=once["GEM Mine ID"])
    return wanted, pd.DataFrame({"mine_id": once["GEM Mine ID"], "name": once["Mine Name"]}), register


def test_real_register_of_two_scripts(shared_data: Path) -> None:
    """94 mines looked up by their Chinese names among the English ones; truth is the register's own pairing."""
    wanted, mines, _ = gem(shared_data)
    found = candidates(wanted, mines)
    best = found.drop_duplicates("row").set_index("row")
    assert (best["mine_id"] == best.index).sum() >= 88
    sure = best[best["score"] >= 90]
    assert len(sure) >= 50
    assert (sure["mine_id"] == sure.index).all()
    among = found[found["row"] == found["mine_id"]]
    assert len(among) >= 92


def test_real_register_with_a_row_a_shaft_gives_each_mine_once_a_row(shared_data: Path) -> None:
    """The register's duplicates (a row for every boundary, shaft and vent) do not crowd out other mines."""
    wanted, _, register = gem(shared_data)
    every = pd.DataFrame({"mine_id": register["GEM Mine ID"], "name": register["Mine Name"]})
    found = candidates(wanted, every)
    assert not found.duplicated(["row", "mine_id"]).any()
    best = found.drop_duplicates("row")
    assert (best["mine_id"] == best["row"]).sum() >= 88


def test_county_capacity_and_old_names_tell_namesakes_apart() -> None:
    mines = pd.DataFrame(
        {
            "mine_id": ["here", "there", "renamed"],
            "name": ["红崖煤矿", "红崖煤矿", "宏远煤业"],
            "former_names": [None, None, "青石煤矿; 老青石矿"],
            "county": ["东县 / 甲市", "西县 / 甲市", "东县 / 甲市"],
            "capacity_t": [3e5, 9e5, 6e5],
        }
    )
    wanted = pd.DataFrame({"name": ["红崖煤矿", "青石煤矿"], "county": ["西县", None], "capacity_t": [np.nan, 6e5]})
    found = candidates(wanted, mines)
    assert found.loc[found["row"] == 0, "mine_id"].tolist()[:2] == ["there", "here"]
    renamed = found[found["row"] == 1].iloc[0]
    assert (renamed["mine_id"], renamed["score"]) == ("renamed", 100.0)
    assert "as 青石煤矿" in renamed["because"]
    bracketed = candidates(pd.DataFrame({"name": ["宏图煤矿（原红崖煤矿）"]}), mines)
    assert set(bracketed["mine_id"]) >= {"here", "there"}


# --- the command and its file --------------------------------------------------------------------------------------

TOML = """
[district]
name = "Test"
crs = "EPSG:4546"
bounds = [0, 0, 5000, 9000]
history_from = 2024-01-01
monitor_from = 2026-01-01
as_of = 2026-07-01
[registers]
jurisdictions = "jurisdictions.gpkg"
mines = "mines.gpkg"
closure_list = "closures.csv"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "district.toml").write_text(TOML, "utf-8")
    units = [{"code": "E", "name": "东县", "parent_code": None, "level": "county", "geometry": EAST}]
    JURISDICTIONS.frame(units, CRS).to_file(tmp_path / "jurisdictions.gpkg")
    known = registers(
        [licence("L", box(0, 0, 10, 10))],
        [
            mine("a", None, Point(100, 100), name="红崖煤矿"),
            mine("b", None, Point(900, 900), name="Hongya No. 2 mine"),
            mine("c", None, Point(900, 100), name="青石煤矿"),
        ],
    )
    known.mines.to_file(tmp_path / "mines.gpkg")
    (tmp_path / "closures.csv").write_text(
        "name,county,capacity_t,reason,decided\n红崖煤矿,东县,,去产能,2026-02-01\n=无名矿,,,,2026-03-01\n", "utf-8"
    )
    return tmp_path


def link(folder: Path) -> str:
    outcome = CliRunner().invoke(app, ["link", str(folder / "district.toml")])
    assert outcome.exit_code == 0, outcome.exception
    return outcome.output


def decide(folder: Path, mine_id: str, decision: str) -> None:
    path = folder / "link_decisions.csv"
    table = pd.read_csv(path, dtype=object)
    table.loc[table["mine_id"] == mine_id, ["decision", "decided_by"]] = [decision, "王"]
    table.to_csv(path, index=False)


def closed(folder: Path) -> list[tuple[str, str, str]]:
    quarantine: list[dict] = []
    status = read_registers(read_district(folder / "district.toml"), quarantine).mine_status
    found = [] if status is None else status[["mine_id", "status", "from", "order_no"]].itertuples(index=False)
    return [(one[0], one[1], f"{one[2]:%Y-%m-%d} {one[3]}") for one in found] + [
        ("quarantine", row["rule"], str(row["value"])) for row in quarantine
    ]


def test_nothing_is_linked_without_a_person(folder: Path) -> None:
    told = link(folder)
    assert "0 linked, 1 to decide, 1 without candidate" in told
    assert closed(folder) == []
    assert closed(folder) == []


def test_a_persons_yes_closes_the_mine_from_that_day_on(folder: Path) -> None:
    link(folder)
    decide(folder, "a", "yes")
    assert closed(folder) == [("a", "closed", "2026-02-01 closure list: 去产能")]
    assert "1 linked, 0 to decide" in link(folder)
    assert closed(folder) == [("a", "closed", "2026-02-01 closure list: 去产能")]


def test_decisions_outlive_any_number_of_runs_and_a_better_namesake(folder: Path) -> None:
    link(folder)
    decide(folder, "a", "no")
    path = folder / "link_decisions.csv"
    path.write_text(
        path.read_text("utf-8").replace("remark", "remark,own note").replace("王,", "王,不是,记住"), "utf-8"
    )
    for _ in range(3):
        link(folder)
    kept = pd.read_csv(path, dtype=object)
    of_a = kept[kept["mine_id"] == "a"]
    assert of_a[["decision", "decided_by", "remark", "own note"]].to_numpy().tolist() == [["no", "王", "不是", "记住"]]
    assert closed(folder) == []


def test_a_decision_for_a_mine_that_is_gone_is_said(folder: Path) -> None:
    link(folder)
    decide(folder, "a", "yes")
    mines = gpd.read_file(folder / "mines.gpkg")
    mines[mines["mine_id"] != "a"].to_file(folder / "mines.gpkg")
    assert closed(folder) == [("quarantine", "a mine of the register", "a")]


def test_contradicting_or_unreadable_decisions_end_the_run(folder: Path) -> None:
    link(folder)
    path = folder / "link_decisions.csv"
    good = path.read_text("utf-8")
    path.write_text(good + "红崖煤矿,东县,2026-02-01,c,x,1,x,yes,,\n", "utf-8")
    decide(folder, "a", "yes")
    with pytest.raises(Exception, match="say that 红崖煤矿 is a and c"):
        closed(folder)
    path.write_text(good, "utf-8")
    decide(folder, "a", "maybe")
    with pytest.raises(Exception, match="row 1: decision"):
        closed(folder)


def test_without_a_closure_list_there_is_nothing_to_link(folder: Path) -> None:
    (folder / "district.toml").write_text(TOML.replace('closure_list = "closures.csv"\n', ""), "utf-8")
    outcome = CliRunner().invoke(app, ["link", str(folder / "district.toml")])
    assert "registers.closure_list is absent" in str(outcome.exception)
