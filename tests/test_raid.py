"""The raid plan: the bound holds, neighbours are not warned, draws are fair, sun and roads are where they are."""

from __future__ import annotations

from datetime import date
from itertools import combinations, permutations
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import LineString

from illegalmining.raid.audit import Audit, chances, draw, misses
from illegalmining.raid.columns import Bundle, Task, relax
from illegalmining.raid.planning import RaidPlan, Request, make_plan
from illegalmining.raid.pricing import Stops
from illegalmining.raid.roads import travel
from illegalmining.raid.rules import Rules, danger_of
from illegalmining.raid.sites import CASE, MINE, Site
from illegalmining.raid.sun import daylight

CRS = "EPSG:4546"


def random_stops(rng: np.random.Generator, count: int, last: int = 40) -> Stops:
    places = rng.uniform(-1, 1, (count + 1, 2)) * 8
    places[0] = 0
    steps = np.ceil(np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))).astype(np.int32)
    duration = rng.integers(3, 12, count).astype(np.int32)
    return Stops(
        value=rng.uniform(0.1, 3, count),
        duration=duration,
        ready=np.zeros(count, dtype=np.int32),
        due=(last - duration).astype(np.int32),
        underground=rng.random(count) < 0.3,
        out=steps[0, 1:],
        back=steps[1:, 0],
        between=steps[1:, 1:],
        last=last,
    )


def fits(stops: Stops, chosen: tuple[int, ...]) -> bool:
    """Whether one day holds these stops in some order; tried one by one."""
    for order in permutations(chosen):
        now, at = 0, None
        for stop in order:
            now += int(stops.out[stop] if at is None else stops.between[at, stop]) + int(stops.duration[stop])
            at = stop
        if at is None or now + stops.back[at] <= stops.last:
            return True
    return False


def best_by_hand(stops: Stops, bundles: tuple[Bundle, ...], required: frozenset[int], days: tuple[int, int]) -> float:
    """The best plan, by going through every division of the stops among at most two days of teams."""
    count = len(stops)
    sets = [s for size in range(count + 1) for s in combinations(range(count), size) if fits(stops, s)]
    skills = [0] * days[0] + [1] * days[1]
    assert len(skills) == 2
    best = -np.inf
    for one in sets:
        if skills[0] == 1 and stops.underground[list(one)].any():
            continue
        for two in sets:
            if set(one) & set(two) or (skills[1] == 1 and stops.underground[list(two)].any()):
                continue
            made = set(one) | set(two)
            whole = all(len(made & set(bundle.stops)) in (0, len(bundle.stops)) for bundle in bundles)
            if whole and all(set(bundles[at].stops) <= made for at in required):
                best = max(best, float(stops.value[list(made)].sum()))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_plan_exceeds_the_bound(seed: int) -> None:
    """Against every plan there is, with stops that belong together and one that must be made."""
    rng = np.random.default_rng(seed)
    stops = random_stops(rng, 7)
    bundles = (Bundle((0, 1)), *(Bundle((stop,)) for stop in range(2, 7)))
    required = frozenset({int(rng.integers(1, 6))})
    best = best_by_hand(stops, bundles, required, (1, 1))
    bound = relax(Task(stops, bundles, required, (1, 1))).bound
    assert bound >= best - 1e-6
    if np.isfinite(best):
        assert bound <= best * 1.5, "a bound that far off says nothing"


@pytest.mark.parametrize(
    ("day", "lon", "lat", "rise_utc", "set_utc"),
    [
        (date(2024, 6, 21), -0.1276, 51.5072, (3, 43), (20, 21)),  # London, as printed in almanacs: 04:43, 21:21 BST
        (date(2024, 12, 21), -74.006, 40.7128, (12, 17), (21, 32)),  # New York: 07:17, 16:32 EST
    ],
)
def test_the_sun_rises_when_almanacs_say(
    day: date, lon: float, lat: float, rise_utc: tuple[int, int], set_utc: tuple[int, int]
) -> None:
    found = daylight(day, lon, lat)
    assert found is not None
    for moment, (hour, minute) in zip(found, (rise_utc, set_utc), strict=True):
        assert abs(moment.hour * 60 + moment.minute + moment.second / 60 - hour * 60 - minute) <= 2


def test_the_sun_need_not_set_or_rise() -> None:
    assert daylight(date(2024, 6, 21), 25.0, 75.0) is None
    dark = daylight(date(2024, 12, 21), 25.0, 75.0)
    assert dark is not None
    assert abs((dark[1] - dark[0]).total_seconds()) < 60


def roads(*rows: tuple[str, str | None, list[tuple[float, float]]]) -> gpd.GeoDataFrame:
    shapes = [LineString(points) for _, _, points in rows]
    return gpd.GeoDataFrame({"class": [r[0] for r in rows], "oneway": [r[1] for r in rows]}, geometry=shapes, crs=CRS)


def test_travel_follows_roads_and_walks_the_rest() -> None:
    """By hand: 3 km of road at 60 km/h, 4 km of track at 15 km/h, and 200 m on foot with the walk's detour."""
    network = roads(("primary", None, [(0, 0), (3000, 0)]), ("track", None, [(3000, 0.5), (3000, 4000)]))
    rules = Rules()
    found = travel(np.array([[0.0, 0.0], [3200.0, 4000.0]]), network, rules)
    on_foot = 200 * rules.walk_detour / 1000 / rules.walk_kmh * 60
    assert found.minutes[0, 1] == pytest.approx(3 + 16 + on_foot, abs=0.05)
    assert found.km[0, 1] == pytest.approx(7.0, abs=0.01)
    assert found.path(0, 1).length == pytest.approx(7200, abs=5)


def test_one_way_roads_are_driven_one_way() -> None:
    ring = roads(
        ("primary", "yes", [(0, 0), (1000, 0)]), ("primary", "yes", [(1000, 0), (1000, 1000), (0, 1000), (0, 0)])
    )
    found = travel(np.array([[0.0, 0.0], [1000.0, 0.0]]), ring, Rules())
    assert found.km[0, 1] == pytest.approx(1.0, abs=0.01)
    assert found.km[1, 0] == pytest.approx(3.0, abs=0.01)


def test_without_roads_the_line_is_stretched() -> None:
    rules = Rules()
    found = travel(np.array([[0.0, 0.0], [10_000.0, 0.0]]), None, rules)
    assert found.minutes[0, 1] == pytest.approx(10 * rules.detour / rules.offroad_kmh * 60)


def sites(rng: np.random.Generator, count: int, owners: int = 4) -> list[Site]:
    at = rng.uniform(-12_000, 12_000, (count, 2))
    return [
        Site(
            f"C{n:03d}",
            CASE,
            "hidden_working_face" if n % 4 == 0 else "unlicensed",
            float(at[n, 0]),
            float(at[n, 1]),
            float(p := rng.uniform(0.05, 0.95)),
            p * (3 if n % 4 == 0 else 1),
            n % 4 == 0,
            120 if n % 4 == 0 else 45,
            f"owner{n % owners}" if n < 8 else None,
        )
        for n in range(count)
    ]


def quiet_mines(rng: np.random.Generator, count: int) -> list[Site]:
    at = rng.uniform(-12_000, 12_000, (count, 2))
    return [Site(f"M{n}", MINE, None, float(x), float(y), 0.0, 0.0, False, 60) for n, (x, y) in enumerate(at)]


REQUEST = Request(3, 1, 2, date(2026, 11, 1), (0.0, 0.0), 111.0, 37.0, "Asia/Shanghai")


def planned(seed: int = 3, secret: int = 11) -> RaidPlan:
    rng = np.random.default_rng(seed)
    return make_plan(REQUEST, sites(rng, 24), quiet_mines(rng, 6), None, secret, Rules(sight_m=800))


@pytest.fixture(scope="module")
def plan() -> RaidPlan:
    return planned()


def test_a_plan_keeps_to_hours_skills_and_the_bound(plan: RaidPlan) -> None:
    rules = Rules()
    seen = [call.site.site_id for tour in plan.tours for call in tour.calls]
    assert plan.tours
    assert len(seen) == len(set(seen))
    assert plan.value <= plan.bound + 1e-6
    for tour in plan.tours:
        ends = rules.end.hour * 60 + rules.end.minute
        assert tour.calls[0].leave.time() >= rules.start
        assert tour.back.hour * 60 + tour.back.minute <= ends
        for before, call in zip((None, *tour.calls), tour.calls, strict=False):
            assert before is None or before.done <= call.leave
            minutes = plan.travel.minutes[call.before, call.place]
            assert (call.arrive - call.leave).total_seconds() / 60 >= minutes - 1e-6
            assert tour.skilled or not call.site.underground
            assert call.done.hour * 60 + call.done.minute <= 17 * 60 + 39  # sunset by hand: noon 12:19:36, angle 79.9°


def test_neighbours_are_visited_at_once(plan: RaidPlan) -> None:
    """The sites of one owner: on one day, every team's first of them in the same minute, the rest straight after."""
    calls = [(call, tour) for tour in plan.tours for call in tour.calls if call.together is not None]
    assert calls
    for event in {call.together for call, _ in calls}:
        mine = [(call, tour) for call, tour in calls if call.together == event]
        assert len({tour.day for _, tour in mine}) == 1
        firsts = {}
        for call, tour in sorted(mine, key=lambda one: one[0].arrive):
            firsts.setdefault(tour.team, call.arrive)
        assert len(set(firsts.values())) == 1
        for _, tour in mine:
            at = [number for number, call in enumerate(tour.calls) if call.together == event]
            assert at == list(range(at[0], at[-1] + 1))


def test_a_seed_gives_one_plan_and_another_seed_another(plan: RaidPlan) -> None:
    def told(one: RaidPlan) -> list[Any]:
        return [(t.day, t.team, [(c.site.site_id, c.arrive) for c in t.calls]) for t in one.tours]

    assert told(plan) == told(planned())
    assert told(plan) != told(planned(secret=12))


def test_draws_have_the_chances_they_claim() -> None:
    rng = np.random.default_rng(0)
    frame = [*sites(rng, 30), *quiet_mines(rng, 10)]
    claimed = chances(frame, 4.5, (0.4, 0.4, 0.2))
    assert claimed.sum() == pytest.approx(4.5)
    often = np.zeros(len(frame))
    names = [site.site_id for site in frame]
    for _ in range(4000):
        drawn = draw(frame, claimed, rng)
        assert len(drawn) in (4, 5)
        often[[names.index(site.site_id) for site in drawn]] += 1
    assert np.abs(often / 4000 - claimed).max() < 0.04


def test_the_estimate_of_misses_is_unbiased_and_its_interval_covers() -> None:
    rng = np.random.default_rng(1)
    frame = quiet_mines(rng, 60)
    guilty = rng.random(60) < 0.15
    claimed = chances(frame, 15, (0.4, 0.4, 0.2))
    estimates, covered = [], 0
    for _ in range(300):
        drawn = draw(frame, claimed, rng)
        found = misses([Audit("p", MINE, 60, s.chance or 0, bool(guilty[int(s.site_id[1:])])) for s in drawn])
        estimates.append(found.estimate)
        covered += found.low <= guilty.sum() <= found.high
    assert np.mean(estimates) == pytest.approx(guilty.sum(), rel=0.1)
    assert covered / 300 >= 0.85


def test_without_outcomes_nothing_is_estimated() -> None:
    assert np.isnan(misses([Audit("p", MINE, 60, 0.1)]).estimate)


def test_a_plan_comes_within_five_hundredths_of_the_bound() -> None:
    rng = np.random.default_rng(11)
    at = rng.uniform(-20_000, 20_000, (60, 2))
    kinds = rng.choice(["hidden_working_face", "active_while_shut", "unlicensed"], 60)
    chance, rules = rng.uniform(0.2, 0.95, 60), Rules(audit_share=0.0)
    sites = [
        Site(f"C{n:02d}", CASE, str(kind), float(x), float(y), float(p), float(p) * danger_of(str(kind), deep, rules),
             deep, rules.inspection_min[str(kind)], owner=f"o{n % 8}" if n % 5 == 0 else None)
        for n, ((x, y), kind, p) in enumerate(zip(at, kinds, chance, strict=True))
        for deep in [bool(kind == "hidden_working_face")]
    ]  # fmt: skip
    plan = make_plan(
        Request(3, 2, 3, date(2026, 11, 1), (0.0, 0.0), 111.0, 37.0, "Asia/Shanghai"), sites, [], None, 1, rules
    )
    assert 0.95 * plan.bound <= plan.value <= plan.bound
    assert len({site.site_id for tour in plan.tours for site in (call.site for call in tour.calls)}) == plan.visits
