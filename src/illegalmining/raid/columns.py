"""An upper bound on what any plan can be worth: the linear relaxation over all days that a team could drive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from illegalmining.raid.pricing import Floats, Ints, Memory, Stops, best_routes, memory_of

SKILLED, PLAIN = 0, 1


@dataclass(frozen=True)
class Bundle:
    """Stops that are made together or not at all; of the bundles of one event (None: of its own) at most one is."""

    stops: tuple[int, ...]
    event: int | None = None


@dataclass(frozen=True)
class Task:
    """What is to be planned.

    bundles: every stop is in one. required: bundles that must be made (numbers), of an event one of them. team_days:
    how many days of teams trained for underground, and of others.
    """

    stops: Stops
    bundles: tuple[Bundle, ...]
    required: frozenset[int]
    team_days: tuple[int, int]

    @property
    def choices(self) -> list[list[int]]:
        """Bundles (numbers) of which at most one is made."""
        found: dict[tuple[bool, int], list[int]] = {}
        for at, bundle in enumerate(self.bundles):
            found.setdefault((True, at) if bundle.event is None else (False, bundle.event), []).append(at)
        return list(found.values())

    def allowed(self, skill: int) -> NDArray[np.bool_]:
        """The stops a team of this skill may make."""
        return np.ones(len(self.stops), dtype=bool) if skill == SKILLED else ~self.stops.underground


@dataclass(frozen=True)
class GenerationParameters:
    """How columns are generated.

    rounds: at most so many, whatever the gap. gap: share of the bound at which the relaxation counts as solved.
    columns: taken per round and skill. smoothing: weight of the best prices so far (Wentges 1997), 0 to 1.
    unserved: what a required bundle is worth to the relaxation, in units of the most
    valuable stop, so that it is made wherever it can be.
    """

    rounds: int = 120
    gap: float = 2e-3
    columns: int = 60
    smoothing: float = 0.6
    unserved: float = 20.0


@dataclass
class Relaxation:
    """The linear relaxation over all routes.

    bound: no plan is worth more. relaxed: value over the routes generated. prices: of each stop, where
    the bound is best: what the stop would fetch elsewhere. routes: all that were generated.
    """

    bound: float = float("inf")
    relaxed: float = 0.0
    rounds: int = 0
    prices: Floats = field(default_factory=lambda: np.zeros(0))
    routes: list[tuple[int, ...]] = field(default_factory=list)


def bound_at(task: Task, prices: Floats, best: tuple[float, float]) -> float:
    """An upper bound on the value of every plan, from any prices of the stops whatever.

    Let a plan make each stop i s_i times, z_i = 1 where it is to be made and 0 where not, so that s_i = z_i. With
    prices p_i its value is

        sum_i v_i s_i = sum over its routes of sum_(i in route) (v_i - p_i)  +  sum_i p_i z_i.

    (1) The first sum has at most `team_days[k]` routes of each skill k, each worth at most the best relaxed profit
    `best[k]`, which is at least 0 as a team may stay at home. (2) The second falls into bundles: each is made whole,
    with sum_(i in bundle) p_i, or not at all, with 0; of an event at most one is made; a required one cannot be left
    out. So

        value <= sum_k team_days[k] best[k] + sum_events max_(bundles of it) (sum_(i in bundle) p_i),

    each event's part at least 0 unless it is required.

    Nothing was assumed of which day a route is driven on, so that plans which also have to bring a bundle's stops
    together on one day obey the bound too. (Lagrangian relaxation; at the best prices it equals the linear relaxation
    over all routes.)
    """
    worth = [float(prices[list(bundle.stops)].sum()) for bundle in task.bundles]
    events = sum(
        max(worth[at] for at in choice) if task.required & set(choice) else max(0.0, *(worth[at] for at in choice))
        for choice in task.choices
    )
    return float(events + sum(days * max(0.0, one) for days, one in zip(task.team_days, best, strict=True)))


def relax(task: Task, parameters: GenerationParameters | None = None) -> Relaxation:
    """Solve the linear relaxation by column generation; the bound holds wherever it stops."""
    parameters = parameters or GenerationParameters()
    found = Relaxation()
    if not len(task.stops):
        return Relaxation(bound=0.0)
    master = Master(task, parameters)
    memory = memory_of(task.stops)
    alone = task.stops.reachable()
    for stop in np.flatnonzero(alone):
        for skill in (SKILLED, PLAIN):
            if task.team_days[skill] and task.allowed(skill)[stop]:
                master.add((int(stop),), skill)
    centre: Floats | None = None
    weight = parameters.smoothing
    for found.rounds in range(1, parameters.rounds + 1):
        found.relaxed, prices, rents = master.solve()
        tried = prices if centre is None else weight * centre + (1 - weight) * prices
        best, routes = priced(task, memory, tried, rents)
        bound = bound_at(task, tried, best)
        if bound < found.bound:
            found.bound, centre = bound, tried
        if found.bound - found.relaxed <= parameters.gap * max(found.bound, 1e-9):
            break
        added = sum(master.add_paying(routes[skill], skill, prices, rents, parameters.columns) for skill in (0, 1))
        if not added:
            if tried is prices or weight == 0.0:
                break
            weight = 0.0 if weight < 0.1 else weight / 3
        else:
            weight = parameters.smoothing
    found.prices = np.zeros(len(task.stops)) if centre is None else centre
    found.routes = list(dict.fromkeys(route for route, _ in master.routes))
    return found


def further_routes(task: Task, prices: Floats, rng: np.random.Generator, rounds: int = 12) -> list[tuple[int, ...]]:
    """Routes that are good though not best at the relaxation's prices: what whole plans are made of.

    Found by pricing at prices that are too low by a share drawn for each stop; only true routes are returned.
    """
    found: dict[tuple[int, ...], None] = {}
    memory = memory_of(task.stops)
    for number in range(rounds):
        low = prices * (1 - rng.random(len(prices)) * (number + 1) / rounds)
        _, routes = priced(task, memory, low, np.zeros(2))
        for route in (tuple(one.tolist()) for of_skill in routes for one in of_skill):
            if len(set(route)) == len(route):
                found[route] = None
    return list(found)


def priced(
    task: Task, memory: Memory, prices: Floats, rents: Floats
) -> tuple[tuple[float, float], tuple[list[Ints], list[Ints]]]:
    """Bounds on the relaxed profit at these prices, not below the rents, and the routes found, by skill."""
    profit = task.stops.value - prices
    outcome: list[tuple[float, list[Ints]]] = []
    for skill in (SKILLED, PLAIN):
        known = task.team_days[skill] > 0
        outcome.append(
            best_routes(task.stops, memory, profit, task.allowed(skill), float(rents[skill])) if known else (0.0, [])
        )
    return (outcome[0][0], outcome[1][0]), (outcome[0][1], outcome[1][1])


class Master:
    """The linear relaxation over the routes so far: GLOP keeps its basis from round to round."""

    def __init__(self, task: Task, parameters: GenerationParameters) -> None:
        self.task = task
        self.routes: list[tuple[tuple[int, ...], int]] = []
        self.known: set[tuple[tuple[int, ...], int]] = set()
        self.solver = pywraplp.Solver.CreateSolver("GLOP")
        self.goal = self.solver.Objective()
        self.goal.SetMaximization()
        endless = self.solver.infinity()
        lone = {bundle.stops[0] for bundle in task.bundles if len(bundle.stops) == 1}
        self.made = [self.solver.Constraint(-endless if stop in lone else 0, 0) for stop in range(len(task.stops))]
        self.days = [self.solver.Constraint(-endless, count) for count in task.team_days]
        self.chosen = [self.solver.NumVar(0, 1, "") for _ in task.bundles]
        for choice in task.choices:
            once = self.solver.Constraint(-endless, 1)
            for at in choice:
                once.SetCoefficient(self.chosen[at], 1)
        cost = parameters.unserved * max(float(task.stops.value.max()), 1e-6)
        self.reward = cost * sum(bool(task.required & set(choice)) for choice in task.choices)
        for at, (bundle, chosen) in enumerate(zip(task.bundles, self.chosen, strict=True)):
            for stop in bundle.stops:
                self.made[stop].SetCoefficient(chosen, -1)
            if at in task.required:
                self.goal.SetCoefficient(chosen, cost)

    def add(self, route: tuple[int, ...], skill: int) -> bool:
        """Take a route in, unless it is there."""
        if (route, skill) in self.known:
            return False
        self.known.add((route, skill))
        self.routes.append((route, skill))
        column = self.solver.NumVar(0, self.solver.infinity(), "")
        stops, times = np.unique(route, return_counts=True)
        self.goal.SetCoefficient(column, float(self.task.stops.value[list(route)].sum()))
        for stop, often in zip(stops.tolist(), times.tolist(), strict=True):
            self.made[stop].SetCoefficient(column, often)
        self.days[skill].SetCoefficient(column, 1)
        return True

    def add_paying(self, routes: list[Ints], skill: int, prices: Floats, rents: Floats, most: int) -> int:
        """Take in the routes that would raise the relaxation, the best first; returns how many were new."""
        profit = self.task.stops.value - prices
        gains = [(float(profit[route].sum() - rents[skill]), tuple(int(stop) for stop in route)) for route in routes]
        paying = sorted((one for one in gains if one[0] > 1e-7), reverse=True)
        return sum(self.add(route, skill) for _, route in paying[:most])

    def solve(self) -> tuple[float, Floats, Floats]:
        """(value, price of each stop, rent of a day of each skill)."""
        status = self.solver.Solve()
        if status != pywraplp.Solver.OPTIMAL:
            raise RuntimeError(f"the relaxation was not solved (GLOP status {status})")
        prices = np.array([row.dual_value() for row in self.made])
        return self.goal.Value() - self.reward, prices, np.array([row.dual_value() for row in self.days])
