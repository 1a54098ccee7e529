"""`plan.html`: the turn sheets of all teams in one file that needs no network, in both languages.

It reads without its one script, which only tells the document's language.
"""

from __future__ import annotations

import html
import itertools
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely

from illegalmining.atomic import write_bytes
from illegalmining.publish.page import filled, hash_source, refuse_remote
from illegalmining.publish.raid_plan import PlanContent, clock, code_of
from illegalmining.publish.text import harmless, word
from illegalmining.raid.planning import Call, Tour
from illegalmining.raid.sites import GROUND

WIDE, HIGH, EDGE = 640, 400, 34
"""Of the map of a day, SVG units."""
KINDS = ("css", "html", "js")
LANGUAGES = ("zh", "en")
AMAP = "https://uri.amap.com/marker"


def publish_plan_page(told: PlanContent, folder: Path) -> Path:
    """Write `plan.html`."""
    return write_bytes(folder / "plan.html", page(told).encode())


def page(told: PlanContent) -> str:
    """The page; everything in it that is not ours is escaped, and nothing is fetched unless a link is touched."""
    style, template, script = ((files("illegalmining.maps") / f"plan.{kind}").read_text("utf-8") for kind in KINDS)
    policy = (
        f"default-src 'none'; script-src {hash_source(script)}; style-src {hash_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    chosen = {name: " checked" if told.language == name else "" for name in LANGUAGES}
    titles = {f"title_{name}": safe(f"{word('plan_title', name)} · {told.district}") for name in LANGUAGES}
    language = "zh-CN" if told.language == "zh" else "en"
    ours = {"language": language, "policy": policy, "style": style, "script": script, **chosen}
    refuse_remote(filled(template, {**ours, **dict.fromkeys(titles, ""), "title": "", "body": ""}))
    return filled(template, {**ours, **titles, "title": titles[f"title_{told.language}"], "body": body(told)})


def safe(value: Any) -> str:
    """Text as HTML content or attribute."""
    return html.escape(harmless(str(value)))


def both(key: str, **values: Any) -> str:
    """One text in both languages; which is seen, the reader chooses."""
    return "".join(f'<span lang="{name}">{safe(word(key, name, **values))}</span>' for name in LANGUAGES)


def body(told: PlanContent) -> str:
    """Heading, the list of tours, and the tours."""
    request, tours = told.request, told.plan.tours
    days = sorted({tour.day.isoformat() for tour in tours}) or [request.first_day.isoformat()]
    links = "".join(
        f'<li><a href="#{anchor(tour)}">{tour.day:%m-%d} · {both("plan_team", team=tour.team)}</a></li>'
        for tour in tours
    )
    head = (
        f'<header><p class="mark">{both("official")} · {both("plan_secret")}</p>'
        f"<h1>{both('plan_title')} · {safe(told.district)}</h1>"
        f'<p class="soft">{both("plan_days", first=days[0], last=days[-1])}</p>'
        f'<p class="soft">{both("plan_lonlat")} {both("way_note_gcj")}</p></header>'
    )
    return f'{head}<ul class="tours">{links}</ul>' + "".join(section(told, tour) for tour in tours)


def anchor(tour: Tour) -> str:
    """Name of a tour's section."""
    return f"t{tour.team}-{tour.day:%Y%m%d}"


def section(told: PlanContent, tour: Tour) -> str:
    """One team's day: what to do in order, and where it is."""
    skill = both("plan_underground" if tour.skilled else "plan_surface")
    times = both("plan_leave_base", leave=clock(tour.calls[0].leave), back=clock(tour.back))
    rows = "".join(stop(told, tour, number) for number in range(len(tour.calls)))
    return (
        f'<section id="{anchor(tour)}"><h2>{tour.day.isoformat()} · {both("plan_team", team=tour.team)}</h2>'
        f'<p class="soft">{skill} · {times}</p>{drawing(told, tour)}<ol class="stops">{rows}</ol>'
        f'<p class="leg">{both("plan_back", back=clock(tour.back))}</p></section>'
    )


def stop(told: PlanContent, tour: Tour, number: int) -> str:
    """The way to a stop, and the stop."""
    call = tour.calls[number]
    site = call.site
    mine = told.mines.get(site.mine_id or "", ("", ""))
    names = " · ".join(safe(name) for name in (*mine, site.site_id if site.kind else "") if name)
    after = number > 0 and call.together is not None and tour.calls[number - 1].together == call.together
    key = "plan_back_to_back" if after else "plan_in_step" if call.in_step else None
    step = f'<span class="step">{both(key, arrive=clock(call.arrive))}</span>' if key else ""
    return (
        f'<li><p class="leg">{leg(told, call)}</p><div class="stop"><h3><span class="number">{number + 1}</span>'
        f'<span>{what(call)}</span><span class="clock">{clock(call.arrive)}–{clock(call.done)}</span></h3>'
        f'{step}<p>{names}</p><p class="soft">{safe(code_of(tour, number + 1))}</p>'
        f"{places(told, tour, number)}</div></li>"
    )


def what(call: Call) -> str:
    """What to look for, in both languages."""
    if call.site.kind is not None:
        return both(f"kind_{call.site.kind}")
    return both("plan_check_ground" if call.site.stratum == GROUND else "plan_check_mine")


def leg(told: PlanContent, call: Call) -> str:
    """The way to a stop in words."""
    ways = told.plan.travel
    took = round((call.arrive - call.leave).total_seconds() / 60)
    km = f"{ways.km[call.before, call.place]:.1f}"
    parts = [both("plan_leg", leave=clock(call.leave), minutes=took, km=km)]
    on_foot = round(float(ways.walk_min[call.place] + ways.walk_min[call.before]))
    if not ways.by_road[call.before, call.place]:
        parts.append(both("plan_straight"))
    elif on_foot:
        parts.append(both("plan_walk", minutes=on_foot))
    return " · ".join(parts)


def places(told: PlanContent, tour: Tour, number: int) -> str:
    """The stop's coordinates in the three systems, and links that open a map when touched."""
    call = tour.calls[number]
    at = told.coordinates(call.place)
    rows = "".join(
        f"<tr><th>{both(f'plan_{name}')}</th><td>{place[0]:.6f}, {place[1]:.6f}</td></tr>"
        for name, place in at.items()
        if place is not None
    )
    lon, lat = at["wgs84"]  # type: ignore[misc]
    links = f'<a class="go" href="geo:{lat:.6f},{lon:.6f}">{both("way_geo")}</a>'
    if at["gcj02"] is not None:
        asked = f"?position={at['gcj02'][0]:.6f},{at['gcj02'][1]:.6f}&coordinate=gaode&name="
        address = AMAP + asked + quote(code_of(tour, number + 1))
        links += f'<a class="go" rel="noreferrer" href="{html.escape(address)}">{both("way_amap")}</a>'
    return f"<table>{rows}</table>{links}"


def drawing(told: PlanContent, tour: Tour) -> str:
    """The day on a map: ways, stops in order, base; north is up, a bar for scale."""
    ways = told.plan.travel
    order = [0, *(call.place for call in tour.calls), 0]
    lines = [ways.path(one, two) for one, two in itertools.pairwise(order)]
    west, south, east, north = shapely.total_bounds(np.array([*lines, shapely.Point(ways.places[0]).buffer(200)]))
    scale = min((WIDE - 2 * EDGE) / (east - west), (HIGH - 2 * EDGE) / (north - south))
    shift = np.array([(WIDE - scale * (east - west)) / 2, (HIGH - scale * (north - south)) / 2])

    def drawn(points: Any) -> np.ndarray[Any, Any]:
        flat = (np.asarray(points) - (west, south)) * scale + shift
        return np.column_stack([flat[:, 0], HIGH - flat[:, 1]])

    paths = "".join(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn(shapely.get_coordinates(line)))}" '
        'fill="none" stroke="#0b5c8f" stroke-width="3" stroke-linejoin="round" opacity="0.75"/>'
        for line in lines
    )
    marks = [("B", ways.places[0], "#1c2733")]
    marks += [(str(number), ways.places[call.place], "#a11d1d") for number, call in enumerate(tour.calls, start=1)]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="14" fill="{colour}" stroke="#fff" stroke-width="2"/>'
        f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" fill="#fff" font-size="15" '
        f'font-weight="700">{name}</text>'
        for name, place, colour in marks
        for x, y in drawn([place])
    )
    caption = f"map-{anchor(tour)}"
    return (
        f'<svg class="way" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-labelledby="{caption}">'
        f"{paths}{dots}{bar(scale)}</svg>"
        f'<p class="soft" id="{caption}">{both("plan_map")}</p>'
    )


def bar(scale: float) -> str:
    """A scale bar of a round length, about a fifth of the map."""
    wanted = WIDE / 5 / scale
    power = 10 ** np.floor(np.log10(wanted))
    metres = max(part * power for part in (1, 2, 5) if part * power <= wanted)
    told = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    y = HIGH - 12
    return (
        f'<line x1="12" y1="{y}" x2="{12 + metres * scale:.1f}" y2="{y}" stroke="#1c2733" stroke-width="3"/>'
        f'<text x="12" y="{y - 7}" font-size="14" fill="#1c2733">{told}</text>'
    )
