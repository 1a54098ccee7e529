"""Which routes make the plan: CP-SAT chooses among those that column generation found, and gives events their days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from illegalmining.raid.columns import Task
from illegalmining.raid.events import Visit

SCALE = 1000
"""Values count in this fraction of the most valuable stop's."""

Slot = tuple[int, int]
"""A day and a team."""


@dataclass(frozen=True)
class SearchParameters:
    """How hard is searched: in CP-SAT's own measure of work and not by the clock, so that a seed gives the same plan
    everywhere. effort: of it. forced: worth of a required bundle, in units of the most valuable stop.
    """

    effort: float = 20.0
    forced: int = 100


@dataclass
class Choice:
    """The integer programme: which routes are driven, those of events on which day.

    driven: (route, day) -> variable, day None for a route that keeps no appointment. made, kept: by stop, the variables
    of routes that make it, and by stop and day where it is an appointment.
    """

    task: Task
    visits: Sequence[Visit]
    routes: list[tuple[int, ...]]
    teams: tuple[int, int]
    days: int
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    driven: dict[tuple[int, int | None], cp_model.IntVar] = field(default_factory=dict)

    def deep(self, route: tuple[int, ...]) -> bool:
        """Whether a team must be trained for underground."""
        return bool(self.task.stops.underground[list(route)].any())

    def appointed(self, route: tuple[int, ...]) -> bool:
        """Whether the route keeps an appointment."""
        return any(self.visits[stop].moment is not None for stop in route)

    def build(self, parameters: SearchParameters) -> None:
        """State the programme."""
        for number, route in enumerate(self.routes):
            for day in range(self.days) if self.appointed(route) else (None,):
                self.driven[number, day] = self.model.new_bool_var(f"{number}.{day}")
        unit = SCALE / max(float(self.task.stops.value.max()), 1e-9)
        worth: list[cp_model.LinearExprT] = [
            round(float(self.task.stops.value[list(self.routes[number])].sum()) * unit) * variable
            for (number, _), variable in self.driven.items()
        ]
        worth += [parameters.forced * SCALE * made for made in self.made_together()]
        self.fit_teams()
        self.model.maximize(sum(worth))

    def made_together(self) -> list[cp_model.LinearExprT]:
        """Every stop at most once, a bundle's on one day or not at all; returns how often required ones are made."""
        made: dict[tuple[int, int | None], list[cp_model.IntVar]] = {}
        for (number, day), variable in self.driven.items():
            for stop in self.routes[number]:
                key = stop, day if self.visits[stop].moment is not None else None
                made.setdefault(key, []).append(variable)
        required: list[cp_model.LinearExprT] = []
        for choice in self.task.choices:
            done = [one for at in choice for one in self.bundle_made(at, made)]
            self.model.add_at_most_one(done)
            if self.task.required & set(choice):
                required.append(sum(done))
        return required

    def bundle_made(self, at: int, made: dict[tuple[int, int | None], list[cp_model.IntVar]]) -> list[cp_model.IntVar]:
        """Variables of which one is 1 where a bundle is made."""
        bundle = self.task.bundles[at]
        if self.visits[bundle.stops[0]].moment is None:
            return [one for stop in bundle.stops for one in made.get((stop, None), [])]
        done = [self.model.new_bool_var(f"bundle {at}.{day}") for day in range(self.days)]
        for day, whole in enumerate(done):
            for stop in bundle.stops:
                self.model.add(sum(made.get((stop, day), [])) == whole)
        return done

    def fit_teams(self) -> None:
        """No more routes a day than teams, and none underground without a trained one.

        Routes without appointment go on any day: what is left free on each day is counted, for all and for the trained.
        """
        skilled, every = self.teams[0], sum(self.teams)
        free = [self.model.new_int_var(0, every, f"free {day}") for day in range(self.days)]
        trained = [self.model.new_int_var(0, skilled, f"trained {day}") for day in range(self.days)]
        for day in range(self.days):
            today = {number: variable for (number, on), variable in self.driven.items() if on == day}
            below = [variable for number, variable in today.items() if self.deep(self.routes[number])]
            self.model.add(sum(today.values()) + free[day] <= every)
            self.model.add(sum(below) + trained[day] <= skilled)
            self.model.add(trained[day] <= free[day])
        loose = {number: variable for (number, on), variable in self.driven.items() if on is None}
        below = [variable for number, variable in loose.items() if self.deep(self.routes[number])]
        self.model.add(sum(loose.values()) <= sum(free))
        self.model.add(sum(below) <= sum(trained))


def choose(
    task: Task,
    visits: Sequence[Visit],
    routes: Sequence[tuple[int, ...]],
    teams: tuple[int, int],
    days: int,
    seed: int,
    parameters: SearchParameters | None = None,
) -> dict[Slot, list[int]]:
    """The stops of each team on each day, in order.

    Parameters
    ----------
    task : the stops, one for each of `visits`. routes : to choose among; those that come back to a stop or an event are
    no true routes and left out. teams : trained for underground, and others; the former have the lower numbers.
    """
    parameters = parameters or SearchParameters()
    true = [route for route in routes if len({visits[stop].event for stop in route}) == len(route)]
    choice = Choice(task, visits, true, teams, days)
    choice.build(parameters)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.linearization_level = 2
    solver.parameters.max_deterministic_time = parameters.effort
    if solver.solve(choice.model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return {}
    return handed_out(choice, [key for key, variable in choice.driven.items() if solver.value(variable)])


def handed_out(choice: Choice, driven: list[tuple[int, int | None]]) -> dict[Slot, list[int]]:
    """Routes given to teams: appointed ones first, on their day, and on every day those that need training first."""
    plan: dict[Slot, list[int]] = {}
    skilled, every = choice.teams[0], sum(choice.teams)
    for number, on in sorted(driven, key=lambda one: (one[1] is None, not choice.deep(choice.routes[one[0]]), one[0])):
        route = choice.routes[number]
        teams = range(skilled) if choice.deep(route) else np.roll(range(every), -skilled).tolist()
        days = range(choice.days) if on is None else (on,)
        slots = [(day, team) for day in days for team in teams if (day, team) not in plan]
        assert slots, "the programme counts teams"
        plan[slots[0]] = list(route)
    return plan
