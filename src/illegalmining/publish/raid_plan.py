"""The raid plan as files: `plan.json` for the office, `plan.gpx` and `plan.gpkg` for receivers and QField."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from illegalmining.atomic import write_bytes
from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.kml import attribute, content
from illegalmining.publish.tables import write_layers
from illegalmining.publish.text import harmless, word
from illegalmining.raid.planning import Call, RaidPlan, Request, Tour
from illegalmining.raid.rules import Rules
from illegalmining.raid.sites import GROUND

CGCS2000 = "EPSG:4490"
WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class PlanContent:
    """A plan and what is told with it. mines: id -> (name, operator). estimate: what earlier draws say of misses."""

    plan: RaidPlan
    request: Request
    rules: Rules
    district: str
    language: str
    crs: Any
    as_of: str
    mines: dict[str, tuple[str, str]]
    precision: dict[str, Any]
    estimate: dict[str, Any]

    @cached_property
    def degrees(self) -> dict[str, list[tuple[float, float]]]:
        """Every place of the plan, base first, in WGS 84 and in CGCS2000."""
        at = self.plan.travel.places
        points = gpd.GeoSeries(gpd.points_from_xy(at[:, 0], at[:, 1]), crs=self.crs)
        found = {name: points.to_crs(code) for name, code in (("wgs84", WGS84), ("cgcs2000", CGCS2000))}
        return {
            name: [(round(x, 7), round(y, 7)) for x, y in zip(one.x, one.y, strict=True)] for name, one in found.items()
        }

    def coordinates(self, place: int) -> dict[str, tuple[float, float] | None]:
        """A place as longitude and latitude in the three systems; GCJ-02 None outside its area."""
        wgs84, cgcs2000 = self.degrees["wgs84"][place], self.degrees["cgcs2000"][place]
        shifted = to_gcj02(*wgs84)
        gcj02 = None if shifted is None else (round(shifted[0], 6), round(shifted[1], 6))
        return {"wgs84": wgs84, "cgcs2000": cgcs2000, "gcj02": gcj02}


def code_of(tour: Tour, number: int) -> str:
    """A stop's name in field papers: team, date and order, nothing else."""
    return f"T{tour.team}-{tour.day:%m%d}-{number}"


def publish_raid_plan(told: PlanContent, folder: Path) -> list[Path]:
    """`plan.json`, `plan.gpx`, `plan.gpkg`."""
    document = json.dumps(as_json(told), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    return [
        write_bytes(folder / "plan.json", document.encode()),
        write_bytes(folder / "plan.gpx", gpx(told)),
        write_layers(folder / "plan.gpkg", layers(told)),
    ]


def as_json(told: PlanContent) -> dict[str, Any]:
    """All the office needs; it alone says which visits were drawn blind. Nothing in it leads back to the seed."""
    plan, request, rules = told.plan, told.request, told.rules
    team_days = request.teams * request.days
    blind = sum(call.site.chance is not None for tour in plan.tours for call in tour.calls)
    return {
        "district": harmless(told.district),
        "as_of": told.as_of,
        "teams": request.teams,
        "teams_underground": request.skilled,
        "days": request.days,
        "first_day": request.first_day.isoformat(),
        "from": {"lon": request.lon, "lat": request.lat},
        "value": round(plan.value, 4),
        "bound": round(plan.bound, 4),
        "gap": round(max(0.0, 1 - plan.value / plan.bound), 4) if plan.bound > 0 else 0.0,
        "expected_confirmations": round(plan.expected, 4),
        "expected_confirmations_per_team_day": round(plan.expected / team_days, 4),
        "visits": plan.visits,
        "drawn_blind": {
            "share_asked": rules.audit_share,
            "share": round(blind / plan.visits, 4) if plan.visits else 0.0,
            "drawn": len(plan.drawn),
            "not_visited": list(plan.missed),
            "strata": told.precision,
            "misses": told.estimate,
        },
        "not_visited_with_their_group": list(plan.left_out),
        "out_of_reach": list(plan.unreachable),
        "rules": rule_book(rules),
        "tours": [tour_record(told, tour) for tour in plan.tours],
    }


def rule_book(rules: Rules) -> dict[str, Any]:
    """The assumptions, as JSON."""
    return {name: str(value) if name in ("start", "end") else value for name, value in vars(rules).items()}


def tour_record(told: PlanContent, tour: Tour) -> dict[str, Any]:
    """One team's day."""
    return {
        "day": tour.day.isoformat(),
        "team": tour.team,
        "underground": tour.skilled,
        "leave": clock(tour.calls[0].leave),
        "back": clock(tour.back),
        "stops": [stop_record(told, tour, number, call) for number, call in enumerate(tour.calls, start=1)],
    }


def stop_record(told: PlanContent, tour: Tour, number: int, call: Call) -> dict[str, Any]:
    """One stop as the office sees it."""
    site = call.site
    places = {name: None if at is None else list(at) for name, at in told.coordinates(call.place).items()}
    return {
        "stop": code_of(tour, number),
        "site": site.stratum,
        "site_id": harmless(site.site_id),
        "kind": site.kind,
        "mine_id": None if site.mine_id is None else harmless(site.mine_id),
        "probability": round(site.probability, 4),
        "value": round(site.value, 4),
        "drawn_blind": site.chance is not None,
        "chance": None if site.chance is None else round(site.chance, 6),
        "leave": clock(call.leave),
        "arrive": clock(call.arrive),
        "done": clock(call.done),
        "km": round(float(told.plan.travel.km[call.before, call.place]), 2),
        "walk_min": round(float(told.plan.travel.walk_min[call.place])),
        "by_road": bool(told.plan.travel.by_road[call.before, call.place]),
        "event": call.together,
        "in_step": call.in_step,
        **places,
    }


def clock(moment: datetime) -> str:
    """Local time of day."""
    return f"{moment:%H:%M}"


def what_of(told: PlanContent, call: Call) -> str:
    """What to look for, in the plan's language; no probability, and nothing on how the site was chosen."""
    if call.site.kind is not None:
        return word(f"kind_{call.site.kind}", told.language)
    return word("plan_check_ground" if call.site.stratum == GROUND else "plan_check_mine", told.language)


def field_row(told: PlanContent, tour: Tour, number: int, call: Call) -> dict[str, Any]:
    """One stop as its team sees it: of a blind draw no more than of any other."""
    at = told.coordinates(call.place)
    shifted = at["gcj02"] or (None, None)
    mine = told.mines.get(call.site.mine_id or "", ("", ""))
    return {
        "stop": code_of(tour, number),
        "day": tour.day.isoformat(),
        "team": tour.team,
        "number": number,
        "case_id": call.site.site_id if call.site.kind is not None else None,
        "what": what_of(told, call),
        "mine": mine[0] or None,
        "arrive": clock(call.arrive),
        "done": clock(call.done),
        "in_step": call.in_step,
        "lon": at["wgs84"][0],  # type: ignore[index]
        "lat": at["wgs84"][1],  # type: ignore[index]
        "cgcs2000_lon": at["cgcs2000"][0],  # type: ignore[index]
        "cgcs2000_lat": at["cgcs2000"][1],  # type: ignore[index]
        "gcj02_lon": shifted[0],
        "gcj02_lat": shifted[1],
    }


def layers(told: PlanContent) -> dict[str, gpd.GeoDataFrame]:
    """`stops` with the columns of an outcome still to fill in, and `legs`; WGS 84, which receivers speak."""
    stops, legs, points, lines = [], [], [], []
    for tour in told.plan.tours:
        for number, call in enumerate(tour.calls, start=1):
            row = field_row(told, tour, number, call)
            stops.append({**row, **dict.fromkeys(("outcome", "visited", "reason", "inspector"))})
            points.append(told.plan.travel.places[call.place])
            legs.append({"stop": row["stop"], "day": row["day"], "team": tour.team, "leave": clock(call.leave)})
            lines.append(told.plan.travel.path(call.before, call.place))
        last = tour.calls[-1]
        legs.append(
            {"stop": code_of(tour, 0), "day": tour.day.isoformat(), "team": tour.team, "leave": clock(last.done)}
        )
        lines.append(told.plan.travel.path(last.place, 0))
    made = pd.DataFrame(stops)
    for name in ("case_id", "mine", "outcome", "visited", "reason", "inspector"):
        made[name] = made[name].astype(object)
    places = gpd.points_from_xy([x for x, _ in points], [y for _, y in points])
    return {
        "stops": gpd.GeoDataFrame(made, geometry=places, crs=told.crs).to_crs(WGS84),
        "legs": gpd.GeoDataFrame(pd.DataFrame(legs), geometry=lines, crs=told.crs).to_crs(WGS84),
    }


def gpx(told: PlanContent) -> bytes:
    """A waypoint a stop and a route a team and day, in WGS 84."""
    points, routes = [], []
    for tour in told.plan.tours:
        rows = [field_row(told, tour, number, call) for number, call in enumerate(tour.calls, start=1)]
        points += [f"<wpt {position(row)}>{named(row)}<sym>Flag</sym></wpt>" for row in rows]
        inner = "".join(f"<rtept {position(row)}>{named(row)}</rtept>" for row in rows)
        title = f"{tour.day.isoformat()} {word('plan_team', told.language, team=tour.team)}"
        routes.append(f"<rte><name>{content(title)}</name>{inner}</rte>")
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="illegalmining" '
        'xmlns="http://www.topografix.com/GPX/1/1">\n'
        f"<metadata><name>{content(word('plan_title', told.language))}</name></metadata>\n"
    )
    return (head + "\n".join([*points, *routes]) + "\n</gpx>\n").encode()


def position(row: dict[str, Any]) -> str:
    """Latitude and longitude as attributes."""
    lat, lon = attribute(f"{row['lat']:.7f}"), attribute(f"{row['lon']:.7f}")
    return f"lat={lat} lon={lon}"


def named(row: dict[str, Any]) -> str:
    """Name and what is done there."""
    told = " · ".join(part for part in (row["arrive"], row["what"], row["mine"], row["case_id"]) if part)
    return f"<name>{content(row['stop'])}</name><desc>{content(told)}</desc>"
