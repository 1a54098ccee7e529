"""From sites, teams and days to a plan: who arrives where and when, what it is worth, and what no plan can exceed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import permutations

import geopandas as gpd
import numpy as np

from illegalmining.raid.audit import chances, draw
from illegalmining.raid.choose import choose
from illegalmining.raid.columns import Task, further_routes, relax
from illegalmining.raid.events import Event, Visit, chain_stops, events_of, offsets, visits_of
from illegalmining.raid.improve import improve
from illegalmining.raid.pricing import Stops
from illegalmining.raid.roads import Travel, travel
from illegalmining.raid.rules import GRAIN_MIN, Rules, minutes, steps
from illegalmining.raid.sites import Site, warned_together
from illegalmining.raid.sun import daylight


@dataclass(frozen=True)
class Request:
    """What is asked for.

    teams: how many; `skilled` of them, the first ones, are trained for underground. days: from `first_day` on. base:
    x, y in the district's CRS, m; lon, lat: the same in degrees. zone: an IANA name, for working hours and daylight.
    """

    teams: int
    skilled: int
    days: int
    first_day: date
    base: tuple[float, float]
    lon: float
    lat: float
    zone: str


@dataclass(frozen=True)
class Call:
    """A stop of a team: a site, when the team leaves for it, arrives and is done (local), and how it gets there.

    place: its number in `Travel`; before: that of where the team comes from. together: number of the event it is part
    of where other sites are visited with it, else None. in_step: whether other teams arrive elsewhere at that moment.
    """

    site: Site
    place: int
    before: int
    leave: datetime
    arrive: datetime
    done: datetime
    together: int | None
    in_step: bool


@dataclass(frozen=True)
class Tour:
    """One team's day. back: when it is at the base again."""

    day: date
    team: int
    skilled: bool
    calls: tuple[Call, ...]
    back: datetime


@dataclass(frozen=True)
class RaidPlan:
    """A plan.

    value: expected confirmations weighted by danger; bound: no plan of these sites and rules is worth more. expected:
    confirmations, not weighted. drawn: sites drawn blind; missed: those of them that found no place. frame: the low
    scores they were drawn from. left_out: ids of sites not visited although others of their group may be. window:
    visits begin and end between these local times.
    """

    tours: tuple[Tour, ...]
    value: float
    bound: float
    expected: float
    drawn: tuple[Site, ...]
    missed: tuple[str, ...]
    frame: tuple[Site, ...]
    left_out: tuple[str, ...]
    unreachable: tuple[str, ...]
    window: tuple[int, int]
    travel: Travel

    @property
    def visits(self) -> int:
        return sum(len(tour.calls) for tour in self.tours)


def make_plan(
    request: Request,
    cases: Sequence[Site],
    places: Sequence[Site],
    roads: gpd.GeoDataFrame | None,
    seed: int,
    rules: Rules,
) -> RaidPlan:
    """The plan for open cases, with visits drawn blind from low-scoring cases and `places` without a case."""
    rng = np.random.default_rng(seed)
    frame = [site for site in [*cases, *places] if site.kind is None or site.probability < rules.low]
    frame = [site for site in frame if within_a_day(site, request, rules)]
    chance = chances(frame, rules.audit_share * capacity(cases, request, rules), rules.audit_weights)
    drawn = draw(frame, chance, rng) if frame else []
    blind = {(site.stratum, site.site_id): site for site in drawn}
    sites = [blind.get((site.stratum, site.site_id), site) for site in cases]
    sites += [site for site in drawn if site.kind is None]
    window = daylight_window(request, rules)
    where = np.array([request.base, *((site.x, site.y) for site in sites)])
    ways = travel(where, roads, rules)
    stops = stops_of(sites, ways, window, rules)
    keep = frozenset(at for at, site in enumerate(sites) if site.chance is not None)
    groups = warned_together(sites, rules.sight_m)
    crew = (request.skilled, request.teams - request.skilled)
    events = events_of(groups, stops, keep, crew, rules)
    visits, bundles = visits_of(events)
    needed = {number for number, event in enumerate(events) if keep & set(event.members)}
    required = frozenset(at for at, bundle in enumerate(bundles) if bundle.event in needed)
    team_days = (crew[0] * request.days, crew[1] * request.days)
    task = Task(chain_stops(visits, stops), tuple(bundles), required, team_days)
    relaxation = relax(task)
    shaken = 1 + rules.shake * (2 * rng.random(len(visits)) - 1)
    searched = replace(task, stops=replace(task.stops, value=task.stops.value * shaken))
    routes_known = [*relaxation.routes, *further_routes(task, relaxation.prices, rng)]
    chosen = choose(searched, visits, routes_known, crew, request.days, int(rng.integers(1 << 30)))
    chosen = improve(chosen, searched, visits, relaxation.prices, crew, request.days, rng)
    routes = {slot: [visits[stop] for stop in route] for slot, route in chosen.items()}
    missed = needed - {visit.event for route in routes.values() for visit in route}
    kept = frozenset(at for at in required if bundles[at].event not in missed)
    bound = relax(replace(task, required=kept)).bound if missed else relaxation.bound
    tours = tours_of(routes, events, sites, stops, request, rules, rng)
    made = [call.site for tour in tours for call in tour.calls]
    reached = {site for event in events for site in event.members + event.left_out}
    named = {id(site) for site in made}
    return RaidPlan(
        tours=tuple(tours),
        value=sum(site.value for site in made),
        bound=bound,
        expected=sum(site.probability for site in made),
        drawn=tuple(drawn),
        missed=tuple(site.site_id for site in sites if site.chance is not None and id(site) not in named),
        frame=tuple(frame),
        left_out=tuple(sites[at].site_id for event in events for at in event.left_out),
        unreachable=tuple(site.site_id for at, site in enumerate(sites) if at not in reached),
        window=window,
        travel=ways,
    )


def within_a_day(site: Site, request: Request, rules: Rules) -> bool:
    """Whether a day is long enough for this site, by the straight line; and some team may go in."""
    km = np.hypot(site.x - request.base[0], site.y - request.base[1]) * rules.detour / 1000
    needed = 2 * km / rules.offroad_kmh * 60 + site.inspection_min
    return bool(needed <= rules.day_steps * GRAIN_MIN) and (request.skilled > 0 or not site.underground)


def capacity(cases: Sequence[Site], request: Request, rules: Rules) -> float:
    """About how many visits the teams can make: the working time over a mean inspection and a mean leg."""
    if not cases:
        return float(request.teams * request.days)
    at = np.array([(site.x, site.y) for site in cases])
    apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) + np.diag(np.full(len(at), np.inf))
    near = float(np.median(apart.min(axis=1))) if len(at) > 1 else 0.0
    far = float(np.median(np.hypot(*(at - np.array(request.base)).T)))
    minute_per_m = rules.detour / 1000 / rules.offroad_kmh * 60
    visit = float(np.mean([site.inspection_min for site in cases])) + 2 * near * minute_per_m
    day = max(rules.day_steps * GRAIN_MIN - 2 * far * minute_per_m, visit)
    return min(request.teams * request.days * day / visit, len(cases) / (1 - rules.audit_share))


def daylight_window(request: Request, rules: Rules) -> tuple[int, int]:
    """First and last step of a visit: working hours, and daylight on every one of the days, at the base."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(request.zone)
    first, last = 0, rules.day_steps
    for day in days_of(request):
        sun = daylight(day, request.lon, request.lat)
        if sun is not None:
            rise, fall = (moment.astimezone(zone) for moment in sun)
            midnight = datetime.combine(day, datetime.min.time(), zone)
            first = max(first, steps((rise - midnight).total_seconds() / 60 - minutes(rules.start)))
            last = min(last, -steps(-((fall - midnight).total_seconds() / 60 - minutes(rules.start))))
    return first, last


def days_of(request: Request) -> list[date]:
    """The days of the plan."""
    return [request.first_day + timedelta(days=number) for number in range(request.days)]


def stops_of(sites: Sequence[Site], ways: Travel, window: tuple[int, int], rules: Rules) -> Stops:
    """The sites as the search sees them."""
    duration = np.array([steps(site.inspection_min) for site in sites], dtype=np.int32)
    return Stops(
        value=np.array([site.value for site in sites], dtype=float),
        duration=duration,
        ready=np.full(len(sites), window[0], dtype=np.int32),
        due=(window[1] - duration).astype(np.int32),
        underground=np.array([site.underground for site in sites], dtype=bool),
        out=ways.steps[0, 1:],
        back=ways.steps[1:, 0],
        between=ways.steps[1:, 1:],
        last=rules.day_steps,
    )


def tours_of(
    routes: dict[tuple[int, int], list[Visit]],
    events: Sequence[Event],
    sites: Sequence[Site],
    stops: Stops,
    request: Request,
    rules: Rules,
    rng: np.random.Generator,
) -> list[Tour]:
    """Routes with days, teams, orders and starts drawn at random where that costs nothing or little."""
    days = rng.permutation(request.days)
    skilled, plain = rng.permutation(request.skilled), rng.permutation(request.teams - request.skilled)
    teams = [*skilled.tolist(), *(plain + request.skilled).tolist()]
    calendar = days_of(request)
    tours = []
    for (day, team), route in sorted(routes.items()):
        ordered = redrawn(route, stops, rules, rng)
        arrivals = timed(ordered, stops, 0)
        assert arrivals is not None, "the search keeps to the times"
        late = int(rng.integers(rules.late_start_min // GRAIN_MIN + 1))
        arrivals = next(found for slow in range(late, -1, -1) if (found := timed(ordered, stops, slow)) is not None)
        midnight = datetime.combine(calendar[days[day]], rules.start)
        calls, at, ready = [], 0, midnight
        for visit, moment in zip(ordered, arrivals, strict=True):
            for site, offset in zip(visit.sites, offsets(visit.sites, stops), strict=True):
                arrive = midnight + timedelta(minutes=(moment + offset) * GRAIN_MIN)
                way = int(stops.out[site] if at == 0 else stops.between[at - 1, site]) * GRAIN_MIN
                done = arrive + timedelta(minutes=int(stops.duration[site]) * GRAIN_MIN)
                many = len(events[visit.event].members) > 1
                together = visit.event if many else None
                leave = arrive - timedelta(minutes=way)
                in_step = visit.moment is not None
                calls.append(Call(sites[site], site + 1, at, leave, arrive, done, together, in_step))
                at, ready = site + 1, done
        back = ready + timedelta(minutes=int(stops.back[at - 1]) * GRAIN_MIN)
        number = teams[team]
        tours.append(Tour(calendar[days[day]], number + 1, number < request.skilled, tuple(calls), back))
    return sorted(tours, key=lambda tour: (tour.day, tour.team))


def timed(route: Sequence[Visit], stops: Stops, late: int) -> list[int] | None:
    """Step of arrival at each visit when the first begins `late` steps after it could; None where that is too late."""
    now, at, found = late, None, []
    for number, visit in enumerate(route):
        first, last = visit.sites[0], visit.sites[-1]
        now += int(stops.out[first] if at is None else stops.between[at, first])
        now = max(now, int(stops.ready[first]) + (late if number == 0 else 0))
        if visit.moment is not None:
            if now > visit.moment:
                return None
            now = visit.moment
        found.append(now)
        for site, offset in zip(visit.sites, offsets(visit.sites, stops), strict=True):
            if now + offset > stops.due[site]:
                return None
        now += offsets(visit.sites, stops)[-1] + int(stops.duration[last])
        at = last
    assert at is not None
    return None if now + int(stops.back[at]) > stops.last else found


def redrawn(route: list[Visit], stops: Stops, rules: Rules, rng: np.random.Generator) -> list[Visit]:
    """The visits in an order drawn from those possible and hardly longer; as they are where moments bind them."""
    if any(visit.moment is not None for visit in route) or len(route) > 6:
        return route
    ways = []
    for order in permutations(range(len(route))):
        visits = [route[number] for number in order]
        arrivals = timed(visits, stops, 0)
        if arrivals is not None:
            end = arrivals[-1] + int(stops.back[visits[-1].sites[-1]])
            ways.append((end, visits))
    shortest = min(end for end, _ in ways)
    fair = [visits for end, visits in ways if end <= shortest * (1 + rules.order_slack)]
    return fair[int(rng.integers(len(fair)))]
