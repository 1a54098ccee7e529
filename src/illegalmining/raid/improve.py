"""Better days by taking some apart: each is refilled with the best route for it, all else as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from illegalmining.raid.choose import Visit
from illegalmining.raid.events import lasting, latest
from illegalmining.raid.pricing import Floats, Stops, best_routes, memory_of

Routes = dict[tuple[int, int], list[Visit]]


@dataclass(frozen=True)
class ImproveParameters:
    """rounds: days taken apart, all told. apart: so many at a time. minding: shares of the prices that a
    refill minds, one is drawn each time. pinned: worth of a visit that has to be made."""

    rounds: int = 400
    apart: int = 3
    minding: tuple[float, ...] = (0.0, 0.6, 0.9)
    pinned: float = 1e6


def improve(
    routes: Routes,
    free: Sequence[Visit],
    required: frozenset[int],
    stops: Stops,
    prices: Floats,
    teams: tuple[int, int],
    days: int,
    rng: np.random.Generator,
    parameters: ImproveParameters | None = None,
) -> Routes:
    """The routes with visits that no appointment binds moved, exchanged and added while the plan gets more valuable.

    prices: what each site would fetch in other routes (from the relaxation): a refill that minds them leaves to others
    what others do better. free: all visits without an appointment, made so far or not. Appointed visits stay with their
    day, moment and team.
    """
    parameters = parameters or ImproveParameters()
    visits = [*free, *(visit for route in routes.values() for visit in route if visit.moment is not None)]
    if not visits:
        return routes
    numbers = {visit: number for number, visit in enumerate(visits)}
    chains = chain_stops(visits, required, stops, parameters.pinned)
    memory = memory_of(chains)
    asked = np.array([max(0.0, float(prices[list(visit.sites)].sum())) for visit in visits])
    crew = sum(teams)
    slots = [(day, team) for day in range(days) for team in range(crew)]
    plan = {slot: [numbers[one] for one in routes.get(slot, [])] for slot in slots}
    bound = {number for number, visit in enumerate(visits) if visit.moment is not None}
    for _ in range(parameters.rounds):
        chosen = [slots[at] for at in rng.permutation(len(slots))[: parameters.apart]]
        before = sum(chains.value[number] for slot in chosen for number in plan[slot])
        mind = parameters.minding[int(rng.integers(len(parameters.minding)))]
        profit = chains.value - mind * asked
        held = {number for slot in slots if slot not in chosen for number in plan[slot]}
        fresh: dict[tuple[int, int], list[int]] = {}
        for slot in chosen:
            allowed = np.ones(len(visits), dtype=bool)
            allowed[list(held | bound)] = False
            allowed[[number for number in plan[slot] if number in bound]] = True
            if slot[1] >= teams[0]:
                allowed &= ~chains.underground
            _, found = best_routes(chains, memory, profit, allowed)
            clean = [route.tolist() for route in found if len(set(route.tolist())) == len(route)]
            fresh[slot] = clean[0] if clean else plan[slot]
            held |= set(fresh[slot])
        once = [number for route in fresh.values() for number in route]
        if len(once) == len(set(once)) and chains.value[once].sum() > before + 1e-9:
            plan.update(fresh)
    return {slot: [visits[number] for number in route] for slot, route in plan.items() if route}


def chain_stops(visits: Sequence[Visit], required: frozenset[int], stops: Stops, pinned: float) -> Stops:
    """Visits as stops: those that have to be made are worth more than all others together."""
    first = np.array([visit.sites[0] for visit in visits])
    last = np.array([visit.sites[-1] for visit in visits])
    value = [float(stops.value[list(visit.sites)].sum()) for visit in visits]
    must = [visit.moment is not None or visit.event in required for visit in visits]
    ready = [int(stops.ready[visit.sites[0]]) if visit.moment is None else visit.moment for visit in visits]
    due = [latest(visit.sites, stops) if visit.moment is None else visit.moment for visit in visits]
    return Stops(
        value=np.array(value) + pinned * np.array(must),
        duration=np.array([lasting(visit.sites, stops) for visit in visits], dtype=np.int32),
        ready=np.array(ready, dtype=np.int32),
        due=np.array(due, dtype=np.int32),
        underground=np.array([bool(stops.underground[list(visit.sites)].any()) for visit in visits]),
        out=stops.out[first],
        back=stops.back[last],
        between=stops.between[np.ix_(last, first)],
        last=stops.last,
    )
