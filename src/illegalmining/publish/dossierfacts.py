"""Who, where, and what the registers say of a case, as rows of words for its dossier."""

from __future__ import annotations

import math
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from shapely.geometry import Point

from illegalmining.publish.dossiercase import REACH_M, CaseMatter
from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.layers import day
from illegalmining.publish.sheet import CellLimits, breakable, hectares, jurisdiction_names
from illegalmining.publish.spreadsheet import crs_name
from illegalmining.publish.text import say
from illegalmining.registers.allowed import in_force

Row = list[str]

LONG = CellLimits(most=400)
"""For a name or a sentence: what is longer is cut, and ends in an ellipsis."""
FACES_M = 300.0
"""Declared faces this near are listed, m."""
ROADS_M = 20_000.0
"""Farther than this no road is named, m."""
ROAD_CLASSES = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "service", "track", "path",
    "footway",
)  # fmt: skip
"""OpenStreetMap's classes of roads that have a word of ours."""
MOST_ROWS = 12
ZONE_DEG = 3.0
FIRST_ZONE, LAST_ZONE, FIRST_ZONE_EPSG = 25, 45, 4513
"""The 3-degree zones of CGCS2000 with their number before the easting: EPSG 4513 (zone 25) to 4533 (zone 45)."""


def who(matter: CaseMatter) -> list[Row]:
    """The mine, its operator, who holds the licence, and how that is known."""
    language, case, mine = matter.language, matter.case, matter.mine
    rows: list[tuple[str, Any]] = []
    if mine is not None:
        rows += [
            ("mine", mine["name"]),
            ("mine_id", mine["mine_id"]),
            ("former_names", mine.get("former_names")),
            ("operator", mine["operator"]),
            ("operator_id", mine.get("operator_id")),
            ("method", say(f"method_{mine['method']}", language)),
            ("capacity", tonnes_a_year(mine.get("capacity_t"), language)),
            ("safety_load", kilowatts(mine.get("safety_load_kw"))),
        ]
        if isinstance(case.get("operator"), str) and case["operator"] != mine["operator"]:
            rows.append(("operator_then", case["operator"]))
    elif isinstance(case["mine_id"], str):
        rows += [("mine", say("mine_unknown", language, mine=case["mine_id"])), ("operator_then", case.get("operator"))]
    else:
        rows.append(("mine", say("no_mine", language)))
    if case.get("attribution") in ("named", "licence", "near"):
        rows.append(("attribution", say(f"by_{case['attribution']}", language)))
    for licence in licences_at(matter).to_dict("records")[:2]:
        rows += [("holder", f"{licence['holder']} ({licence['licence_no']})")]
    return [[say(key, language), text] for key, value in rows if (text := breakable(value, LONG))]


def tonnes_a_year(value: Any, language: str) -> str | None:
    """A capacity in words."""
    return None if value is None or pd.isna(value) else say("capacity_value", language, tonnes=f"{value:,.0f}")


def kilowatts(value: Any) -> str | None:
    """A load in words."""
    return None if value is None or pd.isna(value) else f"{value:,.0f} kW"


def where(matter: CaseMatter) -> list[Row]:
    """Coordinates in every system an inspector meets, the jurisdiction, the road, and the case's measures."""
    language, case = matter.language, matter.case
    at = place(matter)
    lon, lat = in_degrees(at, matter.crs, "EPSG:4326")
    names, code = jurisdiction_names(matter.whole.jurisdictions), case["jurisdiction"]
    crs = f"{matter.crs.name} ({crs_name(matter.crs)})"
    rows = [
        (say("wgs84_row", language), f"{lon:.6f}, {lat:.6f}"),
        *chinese(at, lon, lat, matter),
        (say("working_row", language, crs=crs), f"{at.x:.1f}, {at.y:.1f}"),
        (say("jurisdiction", language), f"{names.get(code, '')} ({code})" if isinstance(code, str) else "–"),
        (say("nearest_road", language), road(at, matter)),
    ]
    if case["area_m2"] > 0:
        rows.append((say("area", language), hectares(case["area_m2"], language)))
    else:
        rows.append((say("area", language), say("at_mine", language)))
    if pd.notna(case["area_outside_m2"]):
        rows.append((say("area_outside", language), outside(case, language)))
    if pd.notna(case["depth_m"]):
        rows.append((say("depth", language), say("depth_value", language, depth=f"{case['depth_m']:.0f}")))
    rows.append((say("evidence_period", language), f"{day(case['first_seen'])} – {day(case['last_seen'])}"))
    rows += [(say(name, language), day(case.get(name)) or "–") for name in ("first_reported", "answer_due")]
    return [[label, breakable(value, LONG)] for label, value in rows]


def place(matter: CaseMatter) -> Point:
    """The point a case is found at."""
    return matter.outline.representative_point()


def in_degrees(at: Point, crs: pyproj.CRS, to: str) -> tuple[float, float]:
    """(longitude, latitude) in another geographic system."""
    lon, lat = pyproj.Transformer.from_crs(crs, to, always_xy=True).transform(at.x, at.y)
    return float(lon), float(lat)


def chinese(at: Point, lon: float, lat: float, matter: CaseMatter) -> list[tuple[str, str]]:
    """CGCS2000 in degrees and in its zone, and GCJ-02; or that they are not in use there."""
    shifted = to_gcj02(lon, lat)
    zone = round(lon / ZONE_DEG)
    if shifted is None or not FIRST_ZONE <= zone <= LAST_ZONE:
        return [(say("not_in_china", matter.language), say("not_in_china_value", matter.language))]
    east, north = in_degrees(at, matter.crs, f"EPSG:{FIRST_ZONE_EPSG + zone - FIRST_ZONE}")
    degrees = in_degrees(at, matter.crs, "EPSG:4490")
    return [
        (say("cgcs_degrees", matter.language), f"{degrees[0]:.6f}, {degrees[1]:.6f}"),
        (say("cgcs_metres", matter.language, zone=zone), f"X {north:.1f}, Y {east:.1f}"),
        (say("gcj_row", matter.language), f"{shifted[0]:.6f}, {shifted[1]:.6f}"),
    ]


def outside(case: dict[str, Any], language: str) -> str:
    """The area outside the licence with its interval."""
    area = hectares(case["area_outside_m2"], language)
    low, high = case.get("area_outside_low_m2"), case.get("area_outside_high_m2")
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return area
    return say("area_outside_interval", language, area=area, low=hectares(low, language), high=hectares(high, language))


def road(at: Point, matter: CaseMatter) -> str:
    """The nearest road: its class, how far and which way, and where to join it."""
    roads, language = matter.whole.roads, matter.language
    if roads is None or roads.empty:
        return say("road_none", language)
    distance = roads.distance(at)
    if not distance.min() <= ROADS_M:
        return say("road_far", language, km=f"{ROADS_M / 1000:.0f}")
    nearest = roads.loc[distance.idxmin()]
    joint = shapely.shortest_line(at, nearest.geometry).coords[-1]
    lon, lat = in_degrees(Point(joint), matter.crs, "EPSG:4326")
    bearing = math.degrees(math.atan2(joint[0] - at.x, joint[1] - at.y)) % 360
    return say(
        "road_value",
        language,
        kind=road_class(nearest["class"], language),
        metres=f"{distance.min():,.0f}",
        way=say(f"way_{round(bearing / 45) % 8}", language),
        lon=f"{lon:.6f}",
        lat=f"{lat:.6f}",
    )


def road_class(name: str, language: str) -> str:
    """A road's class in the reader's language where it is one of OpenStreetMap's, else as the register has it."""
    known = str(name).strip().lower().removesuffix("_link")
    return say(f"road_{known}", language) if known in ROAD_CLASSES else breakable(name)


def licences_at(matter: CaseMatter) -> gpd.GeoDataFrame:
    """The licence the case names, and those at or beside its outline; nearest first."""
    table = matter.whole.concessions
    if table is None or table.empty:
        return gpd.GeoDataFrame({"licence_no": [], "holder": []}, geometry=[], crs=matter.crs)
    distance = table.distance(matter.outline)
    kept = table[(distance <= REACH_M) | (table["licence_no"] == matter.case["licence_no"])]
    order = distance[kept.index].to_frame("away").assign(no=kept["licence_no"], since=kept["valid_from"])
    return kept.loc[order.sort_values(["away", "no", "since"], kind="stable").index].head(MOST_ROWS)


def licences(matter: CaseMatter) -> dict[str, Any]:
    """The table of licences at the site, or the line that there are none."""
    language, case = matter.language, matter.case
    if matter.whole.concessions is None:
        return {"rows": [], "line": say("no_concessions", language)}
    kept = licences_at(matter)
    if kept.empty:
        return {"rows": [], "line": say("no_licence", language, metres=f"{REACH_M:.0f}")}
    lawful = [in_force(kept, case[name], case[name]) for name in ("first_seen", "last_seen")]
    rows = []
    for at, row in enumerate(kept.to_dict("records")):
        end = day(row["valid_to"]) or say("open_end", language)
        renewal = day(row.get("renewal_applied"))
        valid = f"{day(row['valid_from'])} – {end}"
        valid += f"; {say('renewal', language, date=renewal)}" if renewal else ""
        height = [f"{row[name]:g}" for name in ("depth_top_m", "depth_bottom_m") if pd.notna(row.get(name))]
        then = [say("in_force" if one.iloc[at] else "not_in_force", language) for one in lawful]
        cells = [row["licence_no"], row["holder"], row["mineral"], say(f"method_{row['method']}", language), valid]
        cells += [" / ".join(height) or "–", share_inside(matter, row["geometry"]), *then]
        rows.append([breakable(cell) for cell in cells])
    return {"rows": rows, "line": ""}


def share_inside(matter: CaseMatter, licence: Any) -> str:
    """How much of the case lies in a licence."""
    outline = matter.outline
    if outline.area == 0:
        return say("yes" if licence.intersects(outline) else "no", matter.language)
    return f"{outline.intersection(licence).area / outline.area:.0%}"


def statuses(matter: CaseMatter) -> dict[str, Any]:
    """The table of the mine's status orders, or the line that says why there is none."""
    language, case = matter.language, matter.case
    if not isinstance(case["mine_id"], str):
        return {"rows": [], "line": say("no_mine", language)}
    if matter.statuses is None:
        return {"rows": [], "line": say("no_status_register", language)}
    own = matter.statuses[matter.statuses["mine_id"] == case["mine_id"]].sort_values("from", kind="stable")
    if own.empty:
        return {"rows": [], "line": say("no_status", language)}
    rows = []
    for row in own.tail(MOST_ROWS).to_dict("records"):
        holds = row["from"] <= case["last_seen"] and not row["to"] <= case["first_seen"]
        cells = [
            say(f"mine_{row['status']}", language),
            day(row["from"]),
            day(row["to"]) or say("open_end", language),
            row.get("order_no"),
            row.get("shaft_id"),
            say("yes" if holds else "no", language),
        ]
        rows.append([breakable(cell) or "–" for cell in cells])
    return {"rows": rows, "line": ""}


def declared_faces(matter: CaseMatter) -> dict[str, Any]:
    """The mine's declared faces near the case, where its evidence concerns the underground."""
    language = matter.language
    if matter.case["kind"] not in ("hidden_working_face", "paper_output") and not matter.terms_of("subsidence"):
        return {"rows": [], "line": ""}
    if matter.faces is None:
        return {"rows": [], "line": say("no_face_register", language)}
    near = faces_near(matter)
    if near.empty:
        return {"rows": [], "line": say("no_faces", language, metres=f"{FACES_M:.0f}")}
    rows = []
    for row in near.to_dict("records"):
        cells = [row["face_id"], row.get("seam"), day(row["start"]), day(row["stop"]) or say("open_end", language)]
        cells += [
            f"{row['depth_m']:.0f}",
            f"{row['thickness_m']:.1f}",
            f"{row['geometry'].distance(matter.outline):.0f}",
        ]
        rows.append([breakable(cell) or "–" for cell in cells])
    return {"rows": rows, "line": ""}


def faces_near(matter: CaseMatter) -> gpd.GeoDataFrame:
    """Declared faces of the case's mine within reach, nearest first; those its evidence names always."""
    assert matter.faces is not None
    named = {one["attributes"].get("face_id") for one in matter.detections}
    own = matter.faces[(matter.faces["mine_id"] == matter.case["mine_id"]) | matter.faces["face_id"].isin(named)]
    distance = own.distance(matter.outline).to_numpy()
    kept = own[(distance <= FACES_M) | own["face_id"].isin(named)]
    order = np.lexsort((kept["face_id"].astype(str), kept.distance(matter.outline)))
    return kept.iloc[order].head(MOST_ROWS)


def sources(matter: CaseMatter, *registers: str) -> list[Row]:
    """Where rows of registers are from: register, file, hash."""
    language = matter.language
    rows = []
    for name in registers:
        origin = matter.origins.get(name)
        if origin is not None:
            changed = f" ({say('changed_since_run', language)})" if origin.changed else ""
            rows.append([breakable(origin.file, LONG) + changed, breakable(origin.sha256, CellLimits(unbroken=32))])
    return rows
