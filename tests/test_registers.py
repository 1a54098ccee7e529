"""Registers: every format in, the same table out; every fault said, none believed."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from illegalmining.dictionary import data_dictionary
from illegalmining.district import read_district
from illegalmining.errors import InputError
from illegalmining.registers.crs import bridge, named_crs
from illegalmining.registers.jurisdiction import jurisdiction_of
from illegalmining.registers.read import Registers, read_registers
from illegalmining.registers.values import as_day, as_end, as_number, cleaned
from illegalmining.tables import QUARANTINE, REGISTERS

ROOT = Path(__file__).resolve().parents[1]
CRS = "EPSG:4546"
BOUNDS = (500000.0, 4100000.0, 508000.0, 4108000.0)
PARCEL = box(501000, 4101000, 502000, 4103000)
Read = Callable[..., tuple[Registers, list[dict[str, Any]]]]


def toml(crs: str, bounds: tuple[float, ...], registers: dict[str, str]) -> str:
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in registers.items())
    return (
        f'[district]\nname = "test"\ncrs = "{crs}"\nbounds = {list(bounds)}\nhistory_from = 2023-01-01\n'
        f"monitor_from = 2026-01-01\nas_of = 2026-10-31\n[registers]\n{lines}\n"
    )


def counties(crs: str = CRS, bounds: tuple[float, ...] = BOUNDS) -> gpd.GeoDataFrame:
    row = {"code": ["141181"], "name": ["孝义市"], "parent_code": [None], "level": ["county"]}
    return gpd.GeoDataFrame(row, geometry=[box(*bounds)], crs=crs)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads registers lying in tmp_path; jurisdictions are supplied where a test has none."""

    def reader(
        crs: str = CRS, bounds: tuple[float, ...] = BOUNDS, **registers: str
    ) -> tuple[Registers, list[dict[str, Any]]]:
        if "jurisdictions" not in registers:
            counties(crs, bounds).to_file(tmp_path / "jurisdictions.gpkg")
            registers["jurisdictions"] = "jurisdictions.gpkg"
        (tmp_path / "district.toml").write_text(toml(crs, bounds, registers), "utf-8")
        quarantine: list[dict[str, Any]] = []
        found = read_registers(read_district(tmp_path / "district.toml"), quarantine)
        assert not len(QUARANTINE.faults(pd.DataFrame(quarantine, columns=list(QUARANTINE.columns), dtype=object)))
        return found, quarantine

    return reader


def concessions(**changes: Any) -> gpd.GeoDataFrame:
    rows = {
        "licence_no": ["C1400002009041220012345", "0017"],
        "holder": ["晋城煤业集团有限公司", "Țară & <b>Söhne</b>"],
        "holder_id": ["91140000", None],
        "mineral": ["coal", "coal"],
        "method": ["underground", "opencast"],
        "valid_from": ["2015-03-01", "2018-01-01"],
        "valid_to": ["2027-03-01", None],
        "renewal_applied": [None, "2026-01-15"],
        "depth_top_m": [900.5, None],
        "depth_bottom_m": [400.0, None],
        **changes,
    }
    shapes = [PARCEL, MultiPolygon([box(504000, 4104000, 505000, 4105000), box(506000, 4104000, 506500, 4105000)])]
    return gpd.GeoDataFrame(rows, geometry=shapes[: len(rows["licence_no"])], crs=CRS)


def assert_is_the_licence_register(found: pd.DataFrame, atol: float = 0.01) -> None:
    """What `concessions` describes, whatever it was written as; positions to `atol` m."""
    expected = concessions()
    found = found.set_index("licence_no").loc[expected["licence_no"]].reset_index()
    for column in ("licence_no", "holder", "mineral", "method"):
        assert found[column].tolist() == expected[column].tolist()
    assert found["holder_id"].tolist() == ["91140000", None]
    assert found["valid_from"].tolist() == [pd.Timestamp("2015-03-01"), pd.Timestamp("2018-01-01")]
    assert found["valid_to"][0] == pd.Timestamp("2027-03-01")
    assert pd.isna(found["valid_to"][1])
    assert pd.isna(found["renewal_applied"][0])
    assert found["renewal_applied"][1] == pd.Timestamp("2026-01-15")
    np.testing.assert_allclose(found["depth_top_m"], [900.5, np.nan])
    assert pyproj.CRS(found.crs) == pyproj.CRS(CRS)
    for mine, theirs in zip(found.geometry, expected.geometry, strict=True):
        assert shapely.hausdorff_distance(mine, theirs) < atol


# --- every format gives the same table ---------------------------------------------------------------------------


def write_as(kind: str, frame: gpd.GeoDataFrame, folder: Path) -> str:
    name = f"licences.{kind}"
    if kind == "parquet":
        frame.to_parquet(folder / name)
    elif kind == "kml":
        frame.to_crs(4326).to_file(folder / name, driver="LIBKML")
    elif kind == "geojson":
        frame.to_crs(4326).to_file(folder / name, COORDINATE_PRECISION=9)
    else:
        frame.to_file(folder / name)
    return name


@pytest.mark.parametrize("kind", ["gpkg", "parquet", "fgb", "geojson", "kml"])
def test_formats_give_the_same_table(kind: str, tmp_path: Path, read: Read) -> None:
    found, quarantine = read(concessions=write_as(kind, concessions(), tmp_path))
    assert quarantine == []
    assert found.concessions is not None
    assert_is_the_licence_register(found.concessions)
    assert list(found.concessions.columns) == [*REGISTERS["concessions"].columns, "geometry"]
    assert found.files["concessions"] == tmp_path / f"licences.{kind}"
    assert found.mines is None
    assert "mines" not in found.files


@pytest.mark.parametrize("crs", [4490, 4525, 4526, 4497, 32649, 3857])
def test_any_declared_crs_lands_in_the_same_place(crs: int, tmp_path: Path, read: Read) -> None:
    concessions().to_crs(crs).to_file(tmp_path / "c.gpkg")
    found, quarantine = read(concessions="c.gpkg")
    assert quarantine == []
    assert found.concessions is not None
    assert_is_the_licence_register(found.concessions)


@pytest.mark.parametrize("declared", [None, "UTF-8", "GBK"])
def test_gbk_shapefile_is_decoded_and_cut_names_recognised(declared: str | None, tmp_path: Path, read: Read) -> None:
    frame = concessions(holder=["晋城煤业集团有限公司", "高平市三甲煤矿"])
    frame.to_file(tmp_path / "c.shp", encoding="GBK")
    dbf = bytearray((tmp_path / "c.dbf").read_bytes())
    dbf[29] = 0
    (tmp_path / "c.dbf").write_bytes(dbf)
    (tmp_path / "c.cpg").unlink()
    if declared:
        (tmp_path / "c.cpg").write_text(declared)
    found, quarantine = read(concessions="c.shp")
    assert quarantine == []
    assert found.concessions is not None
    assert found.concessions["holder"].tolist() == ["晋城煤业集团有限公司", "高平市三甲煤矿"]
    assert found.concessions["renewal_applied"][1] == pd.Timestamp("2026-01-15")
    assert found.concessions["depth_bottom_m"][0] == 400.0


def test_latin_shapefile_is_not_taken_for_chinese(tmp_path: Path, read: Read) -> None:
    frame = concessions(holder=["Société Minière à Évry", "Bergwerk Köln-Süd"])
    frame.to_file(tmp_path / "c.shp", encoding="ISO-8859-1")
    (tmp_path / "c.cpg").unlink()
    found, _ = read(concessions="c.shp")
    assert found.concessions is not None
    assert found.concessions["holder"].tolist() == ["Société Minière à Évry", "Bergwerk Köln-Süd"]


STATUS = pd.DataFrame(
    {
        "mine_id": ["007", "007"],
        "shaft_id": ["", "主井"],
        "status": ["suspended", "producing"],
        "from": ["2024-01-01", "2025-06-01"],
        "to": ["2025-06-01", ""],
        "order_no": ["晋应急〔2024〕3号", ""],
    }
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_any_usual_encoding(encoding: str, delimiter: str, tmp_path: Path, read: Read) -> None:
    STATUS.to_csv(tmp_path / "s.csv", index=False, encoding=encoding, sep=delimiter)
    found, quarantine = read(mine_status="s.csv")
    assert quarantine == []
    assert found.mine_status is not None
    assert found.mine_status["mine_id"].tolist() == ["007", "007"]
    assert found.mine_status["shaft_id"].tolist() == [None, "主井"]
    assert found.mine_status["order_no"][0] == "晋应急〔2024〕3号"
    assert found.mine_status["from"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2025-06-01")]
    assert found.mine_status["to"].isna().tolist() == [False, True]


def test_xlsx_keeps_texts_and_leading_zeros(tmp_path: Path, read: Read) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["关闭煤矿名单"])
    sheet.append(["Name", "county", "capacity_t", "reason", "decided"])
    sheet.append(["红星煤矿", "0351", 90000, None, dt.datetime(2024, 5, 1)])
    sheet.append([])
    sheet.append(["007", 351, "30,000", "产能退出", 45413])
    sheet.cell(row=5, column=2).number_format = "0000"
    book.save(tmp_path / "closed.xlsx")
    found, quarantine = read(closure_list="closed.xlsx")
    assert quarantine == []
    assert found.closure_list is not None
    assert found.closure_list["name"].tolist() == ["红星煤矿", "007"]
    assert found.closure_list["county"].tolist() == ["0351", "0351"]
    assert found.closure_list["capacity_t"].tolist() == [90000.0, 30000.0]
    assert found.closure_list["decided"].tolist() == [pd.Timestamp("2024-05-01")] * 2  # Excel's day 45413


def test_xlsx_with_a_wrong_dimension_is_read_to_its_end(tmp_path: Path, read: Read) -> None:
    """Some exporters declare the sheet to be one cell large."""
    STATUS.to_excel(tmp_path / "s.xlsx", index=False)
    with zipfile.ZipFile(tmp_path / "s.xlsx") as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b'<dimension ref="A1:F3"' in parts[sheet]
    parts[sheet] = parts[sheet].replace(b'<dimension ref="A1:F3"', b'<dimension ref="A1"')
    with zipfile.ZipFile(tmp_path / "s.xlsx", "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    found, quarantine = read(mine_status="s.xlsx")
    assert quarantine == []
    assert found.mine_status is not None
    assert found.mine_status["mine_id"].tolist() == ["007", "007"]


def test_mines_from_kml(tmp_path: Path, read: Read) -> None:
    mines = {
        "mine_id": ["007", "8"],
        "name": ["一号井", "B"],
        "operator": ["甲", "乙"],
        "method": ["underground", "opencast"],
    }
    frame = gpd.GeoDataFrame(
        {**mines, "capacity_t": [900000, None]}, geometry=[Point(501000, 4101000), PARCEL], crs=CRS
    )
    frame.to_crs(4326).to_file(tmp_path / "mines.kml", driver="LIBKML")
    found, quarantine = read(mines="mines.kml")
    assert quarantine == []
    assert found.mines is not None
    for column, values in mines.items():
        assert found.mines[column].tolist() == values
    np.testing.assert_allclose(found.mines["capacity_t"], [900000, np.nan])
    assert found.mines.geometry[0].distance(Point(501000, 4101000)) < 0.01


def test_tables_without_geometry_from_geopackage_and_parquet(tmp_path: Path, read: Read) -> None:
    import pyogrio

    pyogrio.write_dataframe(STATUS, tmp_path / "s.gpkg", layer="mine_status")
    frame = pd.DataFrame({"mine_id": ["007"], "month": [dt.date(2024, 5, 1)], "tonnes": [1000]})
    frame.to_parquet(tmp_path / "p.parquet")
    found, quarantine = read(mine_status="s.gpkg", production="p.parquet")
    assert quarantine == []
    assert found.mine_status is not None
    assert found.mine_status["mine_id"].tolist() == ["007", "007"]
    assert found.production is not None
    assert found.production.to_dict("list") == {"mine_id": ["007"], "month": ["2024-05"], "tonnes": [1000.0]}


def test_of_several_layers_the_named_one_is_read(tmp_path: Path, read: Read) -> None:
    concessions().to_file(tmp_path / "all.gpkg", layer="concessions")
    counties().to_file(tmp_path / "all.gpkg", layer="jurisdictions")
    found, quarantine = read(concessions="all.gpkg", jurisdictions="all.gpkg")
    assert quarantine == []
    assert found.jurisdictions["code"].tolist() == ["141181"]
    assert found.concessions is not None
    assert_is_the_licence_register(found.concessions)


# --- corner tables ----------------------------------------------------------------------------------------------

ATTRIBUTES = {
    "holder": "甲",
    "mineral": "coal",
    "method": "underground",
    "valid_from": "2015-03-01",
    "valid_to": "长期",
}


def corner_rows(crs: str, east: float = 0.0, licence: str = "C1", ring: int = 1, outline: Any = PARCEL) -> list[dict]:
    """Corners of an outline as a licence prints them: x north, y east plus `east`."""
    points = list(outline.exterior.coords)[:-1]
    return [
        {"licence_no": licence, "ring": ring, "point": number, "x": y, "y": x + east, "crs": crs, **ATTRIBUTES}
        for number, (x, y) in enumerate(points, start=1)
    ]


def corner_register(rows: list[dict], tmp_path: Path, read: Read) -> tuple[gpd.GeoDataFrame | None, list[dict]]:
    pd.DataFrame(rows).to_csv(tmp_path / "corners.csv", index=False)
    found, quarantine = read(concessions="corners.csv")
    return found.concessions, quarantine


@pytest.mark.parametrize(
    ("crs", "east"),
    [
        ("EPSG:4525", 37e6),
        ("EPSG:4525", 0),
        ("EPSG:4546", 0),
        ("EPSG:4546", 37e6),
        ("4525", 37e6),
        ("EPSG：4525", 37e6),
        ("CGCS2000 / 3-degree GK zone 37", 37e6),
        ("CGCS2000 / 3-degree GK CM 111E", 37e6),
        ("CGCS2000_3_Degree_GK_Zone_37", 37e6),
        ("2000国家大地坐标系", 37e6),
        ("2000国家大地坐标系 3度带 37带", 37e6),
        ("CGCS2000", 37e6),
        ("EPSG:4497", 19e6),
        ("EPSG:4497", 37e6),
        ("EPSG:4508", 19e6),
    ],
)
def test_corner_tables_reconcile_the_zone_prefix(crs: str, east: float, tmp_path: Path, read: Read) -> None:
    """All of these grids share the meridian 111 E and scale 1, so the same corners have the same metres."""
    found, quarantine = corner_register(corner_rows(crs, east), tmp_path, read)
    assert quarantine == []
    assert found is not None
    assert shapely.hausdorff_distance(found.geometry[0], PARCEL) < 1e-3
    assert found["holder"].tolist() == ["甲"]
    assert pd.isna(found["valid_to"][0])


def test_every_licence_has_its_own_crs(tmp_path: Path, read: Read) -> None:
    neighbour = shapely.transform(
        PARCEL, lambda xy: np.column_stack(pyproj.Transformer.from_crs(4546, 4526, always_xy=True).transform(*xy.T))
    )
    degrees = shapely.transform(
        PARCEL, lambda xy: np.column_stack(pyproj.Transformer.from_crs(4546, 4490, always_xy=True).transform(*xy.T))
    )
    assert neighbour.centroid.x > 38e6
    rows = [
        *corner_rows("EPSG:4546", licence="A"),
        *corner_rows("EPSG:4526", licence="B", outline=neighbour),
        *corner_rows("EPSG:4490", licence="C", outline=degrees),
    ]
    found, quarantine = corner_register(rows, tmp_path, read)
    assert quarantine == []
    assert found is not None
    assert found["licence_no"].tolist() == ["A", "B", "C"]
    for geometry in found.geometry:
        assert shapely.hausdorff_distance(geometry, PARCEL) < 0.01


def test_rings_holes_parts_and_order(tmp_path: Path, read: Read) -> None:
    hole, far = box(501200, 4101200, 501400, 4101400), box(504000, 4104000, 505000, 4105000)
    rows = [
        *corner_rows("EPSG:4546", ring=1),
        *corner_rows("EPSG:4546", ring=2, outline=hole),
        *corner_rows("EPSG:4546", ring=10, outline=far),
    ]
    shuffled = [rows[i] for i in np.random.default_rng(3).permutation(len(rows))]
    found, quarantine = corner_register(shuffled, tmp_path, read)
    assert quarantine == []
    assert found is not None
    expected = MultiPolygon([Polygon(PARCEL.exterior, [hole.exterior]), far])
    assert found.geometry[0].equals(expected)


def test_corners_follow_their_numbers_whatever_the_labels(tmp_path: Path, read: Read) -> None:
    """A twelve-cornered stair, labelled J1 to J12, its rows in disorder."""
    stair = Polygon(
        [(501000, 4101000), (506000, 4101000)]
        + [(506000 - 1000 * (i // 2), 4102000 + 1000 * ((i + 1) // 2)) for i in range(9)]
        + [(501000, 4106000)]
    )
    assert stair.is_valid
    rows = [{**row, "point": f"J{row['point']}"} for row in corner_rows("EPSG:4546", outline=stair)]
    assert len(rows) == 12
    found, quarantine = corner_register(sorted(rows, key=lambda row: row["point"]), tmp_path, read)
    assert quarantine == []
    assert found is not None
    assert found.geometry[0].equals(stair)


def test_a_printed_closing_corner_does_no_harm(tmp_path: Path, read: Read) -> None:
    for number in (1, 5):
        rows = corner_rows("EPSG:4546")
        found, quarantine = corner_register([*rows, {**rows[0], "point": number}], tmp_path, read)
        assert quarantine == []
        assert found is not None
        assert found.geometry[0].equals(PARCEL)


def changed(rows: list[dict], **values: Any) -> list[dict]:
    return [{**row, **values} for row in rows]


@pytest.mark.parametrize(
    ("rows", "field", "why"),
    [
        (corner_rows("EPSG:2361", 37e6), "crs", "seven parameters"),  # Xi'an 1980
        (corner_rows("EPSG:2413", 37e6), "crs", "seven parameters"),  # Beijing 1954
        (corner_rows("西安80", 37e6), "crs", "seven parameters"),
        (corner_rows("北京54坐标系", 37e6), "crs", "seven parameters"),
        (corner_rows("EPSG:4525", 38e6), "crs", "prefix 38 is not the zone"),
        (corner_rows("somewhere", 37e6), "crs", "not understood"),
        (corner_rows("", 37e6), "crs", "needs one crs"),
        ([{**row, "x": row["y"], "y": row["x"]} for row in corner_rows("EPSG:4525", 37e6)], "x", "exchange"),
        ([{**row, "x": row["y"], "y": row["x"]} for row in corner_rows("EPSG:4546")], "x", "exchange"),
        (corner_rows("EPSG:4525", 37e6)[:2], "point", "too few corners"),
        ([*corner_rows("EPSG:4525", 37e6)[:3], {**corner_rows("EPSG:4525", 37e6)[3], "x": "?"}], "x", "cannot be read"),
        (
            [*corner_rows("EPSG:4525", 37e6)[:3], {**corner_rows("EPSG:4525", 37e6)[3], "x": 410_020.0}],
            "x",
            "km from the middle",
        ),
        (
            [*corner_rows("EPSG:4525", 37e6)[:3], {**corner_rows("EPSG:4525", 37e6)[3], "point": 2}],
            "point",
            "same numb",
        ),
        ([*corner_rows("EPSG:4525", 37e6)[:3], {**corner_rows("EPSG:4525")[3]}], "crs", "different zone prefixes"),
        (
            [*corner_rows("EPSG:4525", 37e6)[:3], {**corner_rows("EPSG:4525", 37e6)[3], "holder": "乙"}],
            "holder",
            "agree",
        ),
        (
            [{k: v for k, v in r.items() if k != "method"} | {"method": ""} for r in corner_rows("4525", 37e6)],
            "method",
            "empty",
        ),
    ],
)
def test_a_licence_that_cannot_be_drawn_is_set_aside_alone(
    rows: list[dict], field: str, why: str, tmp_path: Path, read: Read
) -> None:
    good = corner_rows("EPSG:4525", 37e6, licence="good")
    found, quarantine = corner_register([*good, *rows], tmp_path, read)
    assert found is not None
    assert found["licence_no"].tolist() == ["good"]
    assert len(quarantine) == 1
    assert quarantine[0]["file"] == "corners.csv"
    assert int(quarantine[0]["row"]) in range(5, 9)
    assert quarantine[0]["field"] == field
    assert why in quarantine[0]["why"]


def test_corner_table_as_xlsx(tmp_path: Path, read: Read) -> None:
    pd.DataFrame(corner_rows("EPSG:4525", 37e6, licence="0012")).to_excel(tmp_path / "corners.xlsx", index=False)
    found, quarantine = read(concessions="corners.xlsx")
    assert quarantine == []
    assert found.concessions is not None
    assert found.concessions["licence_no"].tolist() == ["0012"]
    assert found.concessions.geometry[0].equals_exact(PARCEL, 1e-3) or found.concessions.geometry[0].equals(PARCEL)


def test_bare_corner_table_leans_on_the_mines(tmp_path: Path, read: Read) -> None:
    rows = [*corner_rows("EPSG:4525", 37e6, licence="A"), *corner_rows("EPSG:4525", 37e6, licence="B")]
    bare = pd.DataFrame(rows)[["licence_no", "ring", "point", "x", "y", "crs"]]
    bare.to_csv(tmp_path / "corners.csv", index=False)
    mine = {"mine_id": ["m"], "name": ["n"], "operator": ["甲"], "licence_no": ["A"], "method": ["opencast"]}
    gpd.GeoDataFrame(mine, geometry=[Point(501500, 4101500)], crs=CRS).to_file(tmp_path / "mines.gpkg")
    found, quarantine = read(concessions="corners.csv", mines="mines.gpkg")
    assert found.concessions is not None
    assert found.concessions["licence_no"].tolist() == ["A"]
    assert found.concessions["method"].tolist() == ["opencast"]
    assert found.concessions["holder"].tolist() == ["甲"]
    assert (found.concessions["valid_from"] < pd.Timestamp("2000-01-01")).all()
    assert found.concessions["valid_to"].isna().all()
    assert {(q["row"], q["field"]) for q in quarantine} == {(None, None), ("5", "holder"), ("5", "method")}
    assert "in force on all days" in quarantine[0]["why"]


# --- bad rows are set aside, good rows go on --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("method", "mountaintop", "one of underground, opencast"),
        ("licence_no", None, "a value"),
        ("licence_no", "0017", "unique"),
        ("valid_from", "2021-02-30", "a date (YYYY-MM-DD)"),
        ("valid_from", "soon", "a date (YYYY-MM-DD)"),
        ("valid_from", "9999-12-31", "a date (YYYY-MM-DD)"),
        ("valid_to", "n. a. yet", "a date (YYYY-MM-DD)"),
        ("valid_to", "2010-01-01", "valid_to after valid_from"),
        ("renewal_applied", "05/06/2025", "a date (YYYY-MM-DD)"),
    ],
)
def test_a_bad_value_costs_its_row(column: str, value: Any, rule: str, tmp_path: Path, read: Read) -> None:
    good = concessions()
    frame = pd.concat([good, good.iloc[:1]], ignore_index=True)
    frame.loc[2, "licence_no"] = "third"
    frame.loc[2, column] = value
    frame.to_parquet(tmp_path / "c.parquet")
    found, quarantine = read(concessions="c.parquet")
    assert found.concessions is not None
    assert_is_the_licence_register(found.concessions)
    assert len(found.concessions) == 2
    assert [(q["file"], q["row"], q["field"], q["rule"]) for q in quarantine] == [("c.parquet", "3", column, rule)]
    assert quarantine[0]["value"] == (None if value is None else value)


def test_one_licence_may_have_terms_that_follow_each_other(tmp_path: Path, read: Read) -> None:
    def terms(*periods: tuple[str, str | None]) -> tuple[Any, list[dict]]:
        rows = gpd.GeoDataFrame(pd.concat([concessions().iloc[:1]] * len(periods), ignore_index=True), crs=CRS)
        rows["valid_from"] = pd.to_datetime([first for first, _ in periods])
        rows["valid_to"] = pd.to_datetime([end for _, end in periods])
        registers, faults = read(concessions=write_as("gpkg", rows, tmp_path))
        return registers.concessions, faults

    found, faults = terms(("2015-01-01", "2020-01-01"), ("2020-01-01", None))
    assert (len(found), faults) == (2, [])
    found, faults = terms(("2015-01-01", "2020-01-02"), ("2020-01-01", None), ("2020-01-02", None))
    assert found["valid_from"].dt.year.tolist() == [2015, 2020]
    assert [(fault["row"], fault["rule"]) for fault in faults] == [("2", "unique")]
    assert "must not overlap" in faults[0]["why"]


def test_a_bad_optional_number_costs_the_value_only(tmp_path: Path, read: Read) -> None:
    concessions(depth_top_m=["about 900", "9500"]).to_file(tmp_path / "c.gpkg")
    found, quarantine = read(concessions="c.gpkg")
    assert found.concessions is not None
    assert found.concessions["licence_no"].tolist() == ["C1400002009041220012345", "0017"]
    assert found.concessions["depth_top_m"].isna().all()
    assert [q["row"] for q in quarantine] == ["1", "2"]
    assert all("the row is kept without this value" in q["why"] for q in quarantine)
    assert quarantine[1]["rule"] == "at most 9000"


def test_the_quarantine_says_what_became_of_the_row(tmp_path: Path, read: Read) -> None:
    """A row that is out for one fault is not "kept" for another; both are said."""
    frame = pd.concat([concessions(), concessions().iloc[:1].assign(licence_no="third")], ignore_index=True)
    frame.assign(method=["underground", "opencast", "both"], depth_top_m=["900", "?", "?"]).to_file(tmp_path / "c.gpkg")
    found, quarantine = read(concessions="c.gpkg")
    assert found.concessions is not None
    assert found.concessions["licence_no"].tolist() == ["C1400002009041220012345", "0017"]
    said = {(q["row"], q["field"]): q["why"].rsplit("; ", 1)[1] for q in quarantine}
    assert said == {
        ("2", "depth_top_m"): "the row is kept without this value",
        ("3", "depth_top_m"): "the row is left out",
        ("3", "method"): "the row is left out",
    }


SWAPPED = shapely.transform(PARCEL, lambda xy: xy[:, ::-1])
BAD_SHAPES = [
    (None, "a geometry", "no place"),
    (Polygon(), "a geometry", "no place"),
    (LineString([(501000, 4101000), (502000, 4102000)]), "Polygon or MultiPolygon", "found a LineString"),
    (Polygon([(501000, 4101000), (502000, 4102000), (503000, 4103000)]), "extent", "lie on a line"),
    (SWAPPED, "away", "x and y seem exchanged"),
    (shapely.transform(PARCEL, lambda xy: xy + np.array([37e6, 0])), "", "contradicts"),
    (box(111.01, 37.0, 111.02, 37.01), "away", "are degrees"),
    (shapely.transform(PARCEL, lambda xy: xy + np.array([0, 6e5])), "at most 500 km away", "it lies 593 km away"),
    (shapely.transform(PARCEL, lambda xy: np.where(xy == 502000, np.inf, xy)), "finite", "missing or infinite"),
]


@pytest.mark.parametrize(("shape", "rule", "why"), BAD_SHAPES)
def test_a_bad_geometry_costs_its_row(shape: Any, rule: str, why: str, tmp_path: Path, read: Read) -> None:
    good = concessions()
    frame = pd.concat([good, good.iloc[:1].assign(licence_no="third")], ignore_index=True)
    frame = frame.set_geometry([*good.geometry, shape], crs=CRS)
    frame.to_parquet(tmp_path / "c.parquet")
    found, quarantine = read(concessions="c.parquet")
    assert found.concessions is not None
    assert_is_the_licence_register(found.concessions)
    assert len(found.concessions) == 2
    assert [(q["row"], q["field"]) for q in quarantine] == [("3", "geometry")]
    assert rule in quarantine[0]["rule"]
    assert why in quarantine[0]["why"]


def test_geojson_in_metres_without_crs_is_refused_with_the_reason(tmp_path: Path, read: Read) -> None:
    text = json.loads(concessions().to_json(drop_id=True))
    text.pop("crs", None)
    (tmp_path / "c.geojson").write_text(json.dumps(text))
    found, quarantine = read(concessions="c.geojson")
    assert found.concessions is None
    assert "no degrees: declare the CRS" in quarantine[0]["why"]
    assert quarantine[-1]["row"] is None


def test_crossing_outlines_are_repaired_and_said(tmp_path: Path, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    bow = Polygon([(501000, 4101000), (502000, 4102000), (502000, 4101000), (501000, 4102000)])
    concessions().set_geometry([bow, PARCEL], crs=CRS).to_file(tmp_path / "c.gpkg")
    found, quarantine = read(concessions="c.gpkg")
    assert quarantine == []
    assert found.concessions is not None
    repaired = found.concessions.geometry[0]
    assert repaired.is_valid
    assert repaired.area == pytest.approx(2 * 0.25 * 1000**2)  # two triangles, each a quarter of the square
    assert "row 1: geometry repaired" in caplog.text


def test_altitudes_and_collections_are_flattened(tmp_path: Path, read: Read) -> None:
    high = shapely.force_3d(PARCEL, 1200.0)
    collection = shapely.geometrycollections(
        [box(504000, 4104000, 505000, 4105000), box(506000, 4104000, 506500, 4105000)]
    )
    concessions().set_geometry([high, collection], crs=CRS).to_parquet(tmp_path / "c.parquet")
    found, quarantine = read(concessions="c.parquet")
    assert quarantine == []
    assert found.concessions is not None
    assert not found.concessions.geometry.has_z.any()
    assert_is_the_licence_register(found.concessions)


def test_meters_far_away_are_set_aside(tmp_path: Path, read: Read) -> None:
    rows = [
        ("a", "mine", 111.02, 37.05),
        ("b", "mine", 37.05, 111.02),
        ("c", "home", 111.0, 37.0),
        ("d", "other", 111.0, ""),
        ("e", "mine", 121.02, 37.05),
    ]
    pd.DataFrame(rows, columns=["meter_id", "category", "lon", "lat"]).to_csv(tmp_path / "m.csv", index=False)
    found, quarantine = read(meters="m.csv")
    assert found.meters is not None
    assert found.meters["meter_id"].tolist() == ["a"]
    assert found.meters["mine_id"].tolist() == [None]
    assert found.meters["capacity_kva"].isna().all()
    assert {(q["row"], q["field"]) for q in quarantine} >= {("2", "lat"), ("3", "category"), ("4", "lat"), ("5", "lon")}
    assert "away from the district" in quarantine[-1]["rule"]


def test_one_unclosed_quote_costs_one_row(tmp_path: Path, read: Read) -> None:
    good, bad = '1,closed,2024-01-01,"a, b"', '2,closed,2024-01-01,"open'
    text = "\n".join(["mine_id,status,from,order_no", good, bad, "3,closed,2024-01-01,", "4,closed,2024,x,y", ""])
    (tmp_path / "s.csv").write_text(text)
    found, quarantine = read(mine_status="s.csv")
    assert found.mine_status is not None
    assert found.mine_status["mine_id"].tolist() == ["1", "3"]
    assert found.mine_status["order_no"].tolist() == ["a, b", None]
    assert [q["row"] for q in quarantine] == ["2", "4"]


def test_blank_lines_are_counted_but_not_read(tmp_path: Path, read: Read) -> None:
    (tmp_path / "s.csv").write_text("mine_id,status,from\n1,closed,2024-01-01\n\n,,\n2,shut,2024-01-01\n")
    found, quarantine = read(mine_status="s.csv")
    assert found.mine_status is not None
    assert len(found.mine_status) == 1
    assert [(q["row"], q["value"]) for q in quarantine] == [("4", "shut")]
    assert "producing, building, suspended" in quarantine[0]["rule"]


def test_overlapping_status_periods_are_both_kept(tmp_path: Path, read: Read) -> None:
    (tmp_path / "s.csv").write_text("mine_id,status,from,to\n1,producing,2020-01-01,\n1,closed,2024-01-01,\n")
    found, quarantine = read(mine_status="s.csv")
    assert quarantine == []
    assert found.mine_status is not None
    assert len(found.mine_status) == 2


def test_hostile_text_survives_as_it_is(tmp_path: Path, read: Read) -> None:
    holder = "=cmd|'/c calc'!A0 <script>alert(1)</script> ../../x ' OR 1=1 --"
    concessions(holder=[holder, "A\x00\x1b[31mB\tC" + "x" * 20_000]).to_parquet(tmp_path / "c.parquet")
    found, quarantine = read(concessions="c.parquet")
    assert quarantine == []
    assert found.concessions is not None
    assert found.concessions["holder"][0] == holder
    assert found.concessions["holder"][1].startswith("A[31mB C")
    assert len(found.concessions["holder"][1]) == 10_000


# --- whole files ------------------------------------------------------------------------------------------------


def test_a_missing_file_names_itself_and_its_key(read: Read) -> None:
    with pytest.raises(InputError, match=r"gone\.gpkg: no such file; district\.toml names it as registers\.mines"):
        read(mines="gone.gpkg")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("c.gpkg", b"not a database", "cannot be read"),
        ("c.parquet", b"PAR1 broken", "cannot be read"),
        ("c.xlsx", b"PK\x03\x04", "cannot be read"),
        ("c.geojson", b'{"type": "FeatureCollection", "features": [', "cannot be read"),
        ("c.csv", b"", "no rows"),
        (
            "c.csv",
            b"licence_no,holder,mineral,method,valid_from,valid_to\n1,a,coal,opencast,2020-01-01,\n",
            "no geometry",
        ),
        ("c.csv", b"a,b\n1,2\n", "licence_no, holder, mineral, method, valid_from are missing, found a, b"),
        ("c.csv", b"\x00\x01\x02\x03", "not a text file"),
    ],
)
def test_an_unusable_file_is_treated_as_absent_and_said(
    name: str, content: bytes, why: str, tmp_path: Path, read: Read
) -> None:
    (tmp_path / name).write_bytes(content)
    found, quarantine = read(concessions=name)
    assert found.concessions is None
    assert [(q["file"], q["row"]) for q in quarantine] == [(name, None)]
    assert why in quarantine[0]["why"]


def test_a_register_with_a_header_alone_says_that_there_is_nothing(tmp_path: Path, read: Read) -> None:
    (tmp_path / "s.csv").write_text("mine_id,status,from,to\n")
    found, quarantine = read(mine_status="s.csv")
    assert len(found.mine_status) == 0
    assert list(found.mine_status.columns) == list(REGISTERS["mine_status"].columns)
    assert quarantine == []


def test_an_unusable_jurisdictions_file_ends_the_run(tmp_path: Path, read: Read) -> None:
    (tmp_path / "j.gpkg").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"j\.gpkg \(registers\.jurisdictions\): it cannot be read"):
        read(jurisdictions="j.gpkg")


def test_undeclared_crs_says_how_to_declare_it(tmp_path: Path, read: Read) -> None:
    frame = concessions()
    frame.to_file(tmp_path / "c.shp", encoding="utf-8")
    (tmp_path / "c.prj").unlink()
    found, quarantine = read(concessions="c.shp")
    assert found.concessions is None
    assert "declares no CRS" in quarantine[0]["why"]
    assert "-a_srs" in quarantine[0]["why"]


@pytest.mark.parametrize("crs", [2361, 2413, 4214, 4610, 4555])
def test_old_datums_are_refused_rather_than_guessed(crs: int, tmp_path: Path, read: Read) -> None:
    concessions().set_crs(crs, allow_override=True).to_file(tmp_path / "c.gpkg")
    found, quarantine = read(concessions="c.gpkg")
    assert found.concessions is None
    assert "seven parameters" in quarantine[0]["why"]


def test_a_shift_published_for_elsewhere_is_not_used() -> None:
    """PROJ has a Beijing 1954 to WGS 84 shift for the Ordos basin (EPSG), none for Shanxi."""
    utm, old = pyproj.CRS("EPSG:32649"), pyproj.CRS("EPSG:4214")
    bridge(old, utm, (310000, 4200000, 330000, 4220000))  # 108.9 E, 38 N
    with pytest.raises(InputError, match="seven parameters"):
        bridge(old, utm, (590000, 4000000, 610000, 4020000))  # 112 E, 36 N


def test_a_grid_tied_to_no_place_is_refused() -> None:
    with pytest.raises(InputError, match="tied to no place on the Earth"):
        bridge(pyproj.CRS('LOCAL_CS["mine grid",UNIT["m",1]]'), pyproj.CRS(CRS), BOUNDS)


def test_old_datum_with_its_parameters_is_accepted() -> None:
    """Beijing 1954 with seven parameters in its definition goes the way PROJ's own bound transformation goes."""
    bound = pyproj.CRS.from_proj4("+proj=longlat +ellps=krass +towgs84=15.8,-154.4,-82.3,0,0,0,0 +no_defs +type=crs")
    moved = bridge(bound, pyproj.CRS(CRS), BOUNDS)(np.array([[111.05, 37.05]]))
    pipeline = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=krass "
        "+step +proj=helmert +x=15.8 +y=-154.4 +z=-82.3 +step +inv +proj=cart +ellps=GRS80 "
        "+step +proj=tmerc +lon_0=111 +x_0=500000 +ellps=GRS80"
    )
    np.testing.assert_allclose(moved[0], pipeline.transform(111.05, 37.05), atol=0.01)


def test_a_corner_table_on_an_old_datum_is_drawn_with_the_parameters_it_brings(tmp_path: Path, read: Read) -> None:
    """Beijing 1954 corners, made by PROJ's own pipeline from known ones, come back to them."""
    back = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +inv +proj=tmerc +lon_0=111 +x_0=500000 +ellps=GRS80 +step +proj=cart +ellps=GRS80 "
        "+step +inv +proj=helmert +x=15.8 +y=-154.4 +z=-82.3 +step +inv +proj=cart +ellps=krass "
        "+step +proj=tmerc +lon_0=111 +x_0=500000 +ellps=krass"
    )
    old = shapely.transform(PARCEL, lambda xy: np.column_stack(back.transform(*xy.T)))
    assert shapely.hausdorff_distance(old, PARCEL) > 40  # what a guess would be wrong by
    crs = "+proj=tmerc +lon_0=111 +x_0=37500000 +ellps=krass +towgs84=15.8,-154.4,-82.3,0,0,0,0 +type=crs"
    found, quarantine = corner_register(corner_rows(crs, 37e6, outline=old), tmp_path, read)
    assert quarantine == []
    assert found is not None
    assert shapely.hausdorff_distance(found.geometry[0], PARCEL) < 0.02


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "2024-02-09", "2024/2/9", "2024.02.09", "20240209", 20240209, 20240209.0, "2024年2月9日", "２０２４-０２-０９",
        "2024-02-09T00:00:00", "2024-02-09T23:30:00+08:00", "2024-02-09 16:00:00Z", dt.date(2024, 2, 9),
        dt.datetime(2024, 2, 9, 8), pd.Timestamp("2024-02-09 23:00", tz="Asia/Shanghai"), np.datetime64("2024-02-09"),
        45331, 45331.5, "45331",
    ],
)  # fmt: skip
def test_days_in_every_usual_writing(written: Any) -> None:
    assert as_day(written) == pd.Timestamp(2024, 2, 9)  # day 45331 of Excel's 1900 calendar


@pytest.mark.parametrize(
    "written", ["", "2024", "2024-13-01", "02/09/2024", "2024-02", "1.5", True, [1], 1e9, "1850-01-01"]
)
def test_nonsense_is_no_day(written: Any) -> None:
    with pytest.raises(ValueError, match=r"YYYY-MM-DD|no such day|year"):
        as_day(written)


@pytest.mark.parametrize("written", ["9999-12-31", "长期", dt.date(9999, 12, 31), "2999/1/1", "Infinity"])
def test_words_for_open_ends(written: Any) -> None:
    assert pd.isna(as_end(written))


@pytest.mark.parametrize("written", ["nan", "inf", float("inf"), "450 kW", "1,5", "0x10", "1_000", True, "--5"])
def test_nonsense_is_no_number(written: Any) -> None:
    with pytest.raises(ValueError, match=r"digits|infinite"):
        as_number(written)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_cleaned_text_can_be_written_anywhere_and_is_stable(text: str) -> None:
    clean = cleaned(text)
    clean.encode("utf-8")
    assert clean.isprintable() or not any(ord(letter) < 32 for letter in clean)
    assert cleaned(clean) == clean


@given(st.dates(dt.date(1900, 1, 1), dt.date(2200, 12, 31)))
def test_iso_dates_come_back(day: dt.date) -> None:
    assert as_day(day.isoformat()).date() == day


# --- jurisdictions ----------------------------------------------------------------------------------------------


def units() -> gpd.GeoDataFrame:
    """A province of two counties; the west county has one town, which leaves a gap."""
    rows = [
        ("P", None, box(0, 0, 20, 10)),
        ("E", "P", box(10, 0, 20, 10)),
        ("W", "P", box(0, 0, 10, 10)),
        ("W1", "W", box(0, 0, 10, 5)),
    ]
    frame = pd.DataFrame(rows, columns=["code", "parent_code", "geometry"]).assign(name="n", level="l")
    return gpd.GeoDataFrame(frame, geometry="geometry", crs=CRS)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (Point(2, 2), "W1"),
        (Point(2, 7), "W"),
        (Point(15, 2), "E"),
        (Point(10, 2), "W1"),  # on the border: the smaller unit
        (Point(10, 7), "E"),  # on the border, equal sizes: the code that sorts first
        (Point(50, 50), None),
        (None, None),
        (box(8, 6, 14, 9), "E"),
        (box(4, 6, 12, 9), "W"),
        (box(2, 1, 4, 3), "W1"),
        (box(2, 4, 4, 9), "W"),
        (box(19, 0, 40, 10), "E"),
        (box(20, 0, 40, 10), None),  # touches only
        (LineString([(1, 1), (1, 4)]), "W1"),
        (Polygon([(12, 1), (14, 3), (14, 1), (12, 3)]), "E"),  # a crossing outline
        (MultiPolygon([box(1, 1, 2, 2), box(12, 1, 15, 3)]), "E"),
    ],
)
def test_the_finest_unit_that_holds_most(place: Any, code: str | None) -> None:
    geometries = gpd.GeoSeries([place], index=["a"], crs=CRS)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found = jurisdiction_of(units().iloc[order], geometries)
        assert found.index.tolist() == ["a"]
        assert found.tolist() == [code]


def test_no_place_no_code() -> None:
    assert jurisdiction_of(units(), gpd.GeoSeries([], crs=CRS)).tolist() == []


# --- real registers ---------------------------------------------------------------------------------------------


def test_real_county_register(shared_data: Path, tmp_path: Path, read: Read) -> None:
    real = gpd.read_file(shared_data / "registers" / "shanxi_counties.geojson")
    renamed = real.rename(columns={"district_adcode": "code", "district_name": "name", "city_adcode": "parent_code"})
    renamed.assign(level="county").to_file(tmp_path / "j.geojson")
    found, quarantine = read(jurisdictions="j.geojson")
    assert quarantine == []
    assert len(found.jurisdictions) == 117
    assert found.jurisdictions["code"].str.fullmatch(r"14\d{4}").all()
    points = gpd.GeoSeries(gpd.points_from_xy(real["lon"], real["lat"], crs=4326)).to_crs(CRS)
    codes = jurisdiction_of(found.jurisdictions, points)
    assert (codes == real["district_adcode"].astype(str)).mean() > 0.95  # the register's own centres lie inside
    areas = found.jurisdictions.area.sum() / 1e6
    assert areas == pytest.approx(156_700, rel=0.02)  # Shanxi, km2


def test_real_mine_register_does_not_fit_until_renamed(shared_data: Path, tmp_path: Path, read: Read) -> None:
    real = gpd.read_file(shared_data / "registers" / "gem_china_coal.geojson")
    real.to_file(tmp_path / "gem.geojson")
    found, quarantine = read(mines="gem.geojson")
    assert found.mines is None
    assert [(q["file"], q["row"]) for q in quarantine] == [("gem.geojson", None)]
    assert "mine_id, name, operator, method are missing, found" in quarantine[0]["why"]

    names = {"id": "mine_id", "Mine Name": "name", "Owners (Non-ENG)": "owner", "Owners": "operator"}
    renamed = real.rename(columns=names).assign(method="underground")
    renamed.to_file(tmp_path / "gem.geojson")
    found, quarantine = read(mines="gem.geojson")
    assert found.mines is not None
    kept, left = len(found.mines), {q["row"] for q in quarantine}
    assert kept + len(left) == len(real)
    near = real.to_crs(CRS).distance(box(*BOUNDS)) <= 500_000
    owned = real["Owners"].fillna("").str.strip() != ""
    assert kept == (near & owned & ~real["id"].duplicated()).sum()
    assert found.mines.geom_type.isin(["Point", "Polygon", "MultiPolygon"]).all()


def test_real_district_without_registers(shared_data: Path) -> None:
    quarantine: list[dict[str, Any]] = []
    district = read_district(shared_data / "districts" / "romania" / "district.toml")
    found = read_registers(district, quarantine)
    assert quarantine == []
    assert found.jurisdictions["code"].tolist() == ["RO-1"]
    assert found.jurisdictions.crs.to_epsg() == 3035
    assert all(getattr(found, name) is None for name in REGISTERS if name != "jurisdictions")


def test_reading_twice_gives_the_same(tmp_path: Path, read: Read) -> None:
    concessions(depth_top_m=["x", 1]).to_file(tmp_path / "c.gpkg")
    first, second = read(concessions="c.gpkg"), read(concessions="c.gpkg")
    assert first[1] == second[1]
    pd.testing.assert_frame_equal(first[0].concessions, second[0].concessions)


def test_named_crs_without_zone_leaves_it_to_the_numbers() -> None:
    assert named_crs("CGCS2000") is None
    assert named_crs("国家2000坐标系") is None


# --- the dictionary ---------------------------------------------------------------------------------------------


def test_data_dictionary_is_the_code() -> None:
    written = (ROOT / "geodata" / "data_dictionary.md").read_text("utf-8")
    assert written == data_dictionary(), "renew: python -m illegalmining.dictionary > geodata/data_dictionary.md"
    for table in REGISTERS.values():
        for column in table.columns:
            assert f"| `{column}` |" in written
