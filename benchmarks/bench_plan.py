"""200 sites, 6 teams, 5 days: time, gap to the bound, and the plan against simpler rules, in confirmations a team-day.

The simpler rules keep hours, daylight and skills, and warn neighbours: a site visited after one of its group on another
occasion counts half in `unwarned`.
"""

from __future__ import annotations

import json
import time
from datetime import date

import numpy as np

from illegalmining.raid.planning import Request, daylight_window, make_plan, stops_of
from illegalmining.raid.pricing import Stops
from illegalmining.raid.roads import travel
from illegalmining.raid.rules import Rules, danger_of
from illegalmining.raid.sites import CASE, Site, warned_together

KINDS = ("hidden_working_face", "active_while_shut", "beyond_boundary", "unlicensed")


def county(seed: int, count: int = 200) -> list[Site]:
    """Sites in five clusters and apart, 60 km across."""
    rng = np.random.default_rng(seed)
    clusters = [rng.normal(middle, 3000, (count // 10, 2)) for middle in rng.uniform(-25_000, 25_000, (5, 2))]
    at = np.concatenate([*clusters, rng.uniform(-30_000, 30_000, (count - 5 * (count // 10), 2))])
    rules, sites = Rules(), []
    for n, (x, y) in enumerate(at):
        kind, p, deep = str(rng.choice(KINDS)), float(rng.beta(1, 1.2)), bool(rng.random() < 0.4)
        deep = deep or kind == "hidden_working_face"
        value, minutes = p * danger_of(kind, deep, rules), rules.inspection_min[kind]
        owner = f"o{n % 15}" if n % 10 == 0 else None
        sites.append(Site(f"C{n:03d}", CASE, kind, float(x), float(y), p, value, deep, minutes, owner))
    return sites


def simple(sites: list[Site], stops: Stops, request: Request, by_place: bool) -> list[tuple[int, int, int]]:
    """(site, day, step): each team in turn goes on to the nearest site, or to the most probable, that still fits."""
    left, made = set(range(len(sites))), []
    for day in range(request.days):
        for team in range(request.teams):
            now, at = 0, None
            while True:
                ways = stops.out if at is None else stops.between[at]
                start = np.maximum(now + ways, stops.ready)
                ends = start + stops.duration + stops.back
                fits = [
                    s
                    for s in left
                    if start[s] <= stops.due[s]
                    and ends[s] <= stops.last
                    and (team < request.skilled or not stops.underground[s])
                ]
                if not fits:
                    break
                at = min(fits, key=lambda s: (ways[s], s) if by_place else (-sites[s].probability, s))
                made.append((at, day, int(start[at])))
                left.remove(at)
                now = int(start[at] + stops.duration[at])
    return made


def scored(sites: list[Site], groups: list[int], made: list[tuple[int, int, int]], team_days: int) -> dict[str, float]:
    """Confirmations a team-day: expected, the same where the warned count half, and weighted by danger."""
    first = {}
    for site, day, step in made:
        first[groups[site]] = min(first.get(groups[site], (day, step)), (day, step))
    warned = [s for s, day, step in made if (day, step) > first[groups[s]]]
    expected = sum(sites[s].probability for s, _, _ in made)
    unwarned = expected - 0.5 * sum(sites[s].probability for s in warned)
    weighted = sum(sites[s].value for s, _, _ in made)
    return {
        "visits": len(made),
        "expected": round(expected / team_days, 3),
        "unwarned": round(unwarned / team_days, 3),
        "weighted": round(weighted / team_days, 3),
    }


def main() -> None:
    rules = Rules(audit_share=0.0)
    request = Request(6, 3, 5, date(2026, 11, 1), (0.0, 0.0), 111.0, 37.0, "Asia/Shanghai")
    make_plan(request, county(0, 20), [], None, 1, rules)  # compiles
    for seed in (1, 2):
        sites = county(seed)
        begun = time.perf_counter()
        plan = make_plan(request, sites, [], None, 7, rules)
        took = time.perf_counter() - begun
        groups = warned_together(sites, rules.sight_m)
        numbers = {site.site_id: at for at, site in enumerate(sites)}
        ours = [
            (numbers[call.site.site_id], tour.day.toordinal(), call.arrive.hour * 60 + call.arrive.minute)
            for tour in plan.tours
            for call in tour.calls
        ]
        where = np.array([request.base, *((site.x, site.y) for site in sites)])
        stops = stops_of(sites, travel(where, None, rules), daylight_window(request, rules), rules)
        told = {"seed": seed, "seconds": round(took, 1), "of_bound": round(plan.value / plan.bound, 4)}
        rows = {
            "plan": ours,
            "highest_probability": simple(sites, stops, request, by_place=False),
            "nearest": simple(sites, stops, request, by_place=True),
        }
        print(
            json.dumps({**told, **{name: scored(sites, groups, made, 30) for name, made in rows.items()}}), flush=True
        )


if __name__ == "__main__":
    main()
