"""Who drives where: CP-SAT gives events a day and a moment, OR-Tools' routing fills the days of all teams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.constraint_solver import pywrapcp, routing_enums_pb2, routing_parameters_pb2
from ortools.sat.python import cp_model

from illegalmining.raid.events import Event, lasting, latest
from illegalmining.raid.pricing import Stops

SCALE = 10_000
"""Values count in this fraction of the most valuable site's, against one a step of driving."""


@dataclass(frozen=True)
class SearchParameters:
    """How hard is searched: counted in work and not on the clock, so that a seed gives the same plan everywhere.

    effort: CP-SAT's deterministic time for the appointments. attempts: appointments tried. solutions: plans the routing
    accepts before it stops; more than one takes it minutes at 200 sites and gains less than `improve` does. margin:
    steps for which an event is taken to hold its teams beyond its visits, when it is appointed. forced: worth of a
    required site, in units of the most valuable one.
    """

    effort: float = 1.0
    attempts: int = 4
    solutions: int = 1
    margin: int = 12
    forced: int = 100


@dataclass(frozen=True)
class Visit:
    """One team's part of an event: the sites in order, and the step of arrival at the first; None while it is open."""

    event: int
    sites: tuple[int, ...]
    moment: int | None
    day: int | None


@dataclass(frozen=True)
class Plan:
    """Routes by (day, team): the visits in order. missed: required events that found no place."""

    routes: dict[tuple[int, int], list[Visit]]
    missed: tuple[int, ...]


def choose(
    events: Sequence[Event],
    wanted: Sequence[float],
    required: frozenset[int],
    stops: Stops,
    teams: tuple[int, int],
    days: int,
    rng: np.random.Generator,
    parameters: SearchParameters | None = None,
) -> Plan:
    """The routes of all teams on all days.

    wanted: worth of appointing each event. teams: trained for underground, and others; the former have the lower
    numbers. An event whose teams do not all find the way to it is given up, and the days are filled anew.
    """
    parameters = parameters or SearchParameters()
    best: tuple[float, list[Visit]] = (-1.0, [])
    for _ in range(parameters.attempts):
        visits = sure_visits(events, wanted, required, stops, teams, days, rng, parameters)
        first = routed(visits, required, stops, teams, days, parameters, 1)
        worth = sum(credit(visit, required, stops, parameters) for route in first.values() for visit in route)
        if worth > best[0]:
            best = worth, visits
    routes = routed(best[1], required, stops, teams, days, parameters, parameters.solutions)
    done = {visit.event for route in routes.values() for visit in route}
    return Plan(routes, tuple(sorted(required - done)))


def credit(visit: Visit, required: frozenset[int], stops: Stops, parameters: SearchParameters) -> float:
    """What a visit adds to a plan, in units of the most valuable site."""
    forced = parameters.forced if visit.event in required else 0
    return forced + float(stops.value[list(visit.sites)].sum()) / max(float(stops.value.max()), 1e-9)


def sure_visits(
    events: Sequence[Event],
    wanted: Sequence[float],
    required: frozenset[int],
    stops: Stops,
    teams: tuple[int, int],
    days: int,
    rng: np.random.Generator,
    parameters: SearchParameters,
) -> list[Visit]:
    """Visits that can be made: appointments to which all teams find a way, and all that need no appointment.

    An event of which some team does not find its way is given up, and the others are appointed anew.
    """
    given_up: set[int] = set()
    while True:
        seed = int(rng.integers(1 << 30))
        appointed = appoint(events, wanted, required, given_up, stops, teams, days, parameters, seed)
        visits = [
            Visit(number, unit, moment, day)
            for number, event in enumerate(events)
            if number in appointed or not event.moments
            for day, moment in [appointed.get(number, (None, None))]
            for unit in event.units
        ]
        routes = routed(visits, required, stops, teams, days, parameters, 1)
        made = {visit for route in routes.values() for visit in route}
        broken = {visit.event for visit in visits if visit.moment is not None and visit not in made}
        if not broken:
            return visits
        given_up |= broken


def appoint(
    events: Sequence[Event],
    wanted: Sequence[float],
    required: frozenset[int],
    given_up: set[int],
    stops: Stops,
    teams: tuple[int, int],
    days: int,
    parameters: SearchParameters,
    seed: int,
) -> dict[int, tuple[int, int]]:
    """Event -> (day, moment) of those worth it, so that at no time more teams are held than there are."""
    model = cp_model.CpModel()
    held: list[list[list[cp_model.IntervalVar]]] = [[[], []] for _ in range(days)]
    needs: list[list[list[int]]] = [[[], []] for _ in range(days)]
    ways: dict[tuple[int, int, int], cp_model.IntVar] = {}
    worth = []
    for number, event in enumerate(events):
        if not event.moments or number in given_up or (wanted[number] <= 0 and number not in required):
            continue
        length = max(lasting(unit, stops) for unit in event.units) + parameters.margin
        deep = sum(bool(stops.underground[list(unit)].any()) for unit in event.units)
        own = []
        for day in range(days):
            for moment in event.moments:
                way = model.new_bool_var(f"{number}.{day}.{moment}")
                span = model.new_optional_fixed_size_interval_var(moment, length, way, f"{number}.{day}.{moment}")
                for skill, need in enumerate((deep, len(event.units))):
                    held[day][skill].append(span)
                    needs[day][skill].append(need)
                ways[number, day, moment] = way
                own.append(way)
        model.add_at_most_one(own)
        gain = parameters.forced if number in required else wanted[number]
        worth.append(round(gain * SCALE) * sum(own))
    for day in range(days):
        for skill, count in enumerate((teams[0], sum(teams))):
            model.add_cumulative(held[day][skill], needs[day][skill], count)
    model.maximize(sum(worth))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.randomize_search = True
    solver.parameters.max_deterministic_time = parameters.effort
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return {}
    return {number: (day, moment) for (number, day, moment), way in ways.items() if solver.value(way)}


def routed(
    visits: Sequence[Visit],
    required: frozenset[int],
    stops: Stops,
    teams: tuple[int, int],
    days: int,
    parameters: SearchParameters,
    solutions: int,
) -> dict[tuple[int, int], list[Visit]]:
    """Routes through the visits: appointed ones at their day and moment, others wherever they are worth most."""
    crew = sum(teams)
    vehicles = [(day, team) for day in range(days) for team in range(crew)]
    first = [visit.sites[0] for visit in visits]
    last = [visit.sites[-1] for visit in visits]
    count = len(visits)
    length = [lasting(visit.sites, stops) for visit in visits]
    transit = np.zeros((count + 1, count + 1), dtype=np.int64)
    if count:
        transit[0, 1:] = stops.out[first]
        transit[1:, 0] = stops.back[last] + np.array(length)
        transit[1:, 1:] = stops.between[np.ix_(last, first)] + np.array(length)[:, None]
    manager = pywrapcp.RoutingIndexManager(count + 1, len(vehicles), 0)
    model = pywrapcp.RoutingModel(manager)
    going = model.RegisterTransitMatrix(transit.tolist())
    model.SetArcCostEvaluatorOfAllVehicles(going)
    model.AddDimension(going, stops.last, stops.last, False, "time")
    clock = model.GetDimensionOrDie("time")
    unit = SCALE / max(float(stops.value.max()), 1e-9)
    for at, visit in enumerate(visits, start=1):
        index = manager.NodeToIndex(at)
        deep = bool(stops.underground[list(visit.sites)].any())
        if visit.moment is None:
            start = max(int(stops.ready[visit.sites[0]]), int(stops.out[visit.sites[0]]))
            clock.CumulVar(index).SetRange(start, latest(visit.sites, stops))
        else:
            clock.CumulVar(index).SetRange(visit.moment, visit.moment)
        may = [
            number
            for number, (day, team) in enumerate(vehicles)
            if visit.day in (None, day) and (not deep or team < teams[0])
        ]
        if len(may) < len(vehicles):
            model.VehicleVar(index).SetValues([-1, *may])
        worth = float(stops.value[list(visit.sites)].sum()) * unit
        if visit.moment is not None or visit.event in required:
            worth += parameters.forced * SCALE
        model.AddDisjunction([index], max(1, round(worth)))
    solution = model.SolveWithParameters(search(solutions)) if count else None
    return {} if solution is None else read(model, manager, solution, visits, vehicles)


def search(solutions: int) -> routing_parameters_pb2.RoutingSearchParameters:
    """Guided local search from parallel cheapest insertion, for so many accepted plans."""
    told = pywrapcp.DefaultRoutingSearchParameters()
    told.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    told.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    told.solution_limit = solutions
    return told


def read(model, manager, solution, visits, vehicles) -> dict[tuple[int, int], list[Visit]]:  # type: ignore[no-untyped-def]
    """The routes of a solution."""
    routes = {}
    for number, vehicle in enumerate(vehicles):
        index, route = solution.Value(model.NextVar(model.Start(number))), []
        while not model.IsEnd(index):
            route.append(visits[manager.IndexToNode(index) - 1])
            index = solution.Value(model.NextVar(index))
        if route:
            routes[vehicle] = route
    return routes
