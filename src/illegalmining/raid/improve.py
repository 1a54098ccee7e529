"""Better days by taking some apart: each is refilled with the best route for it, all else as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from illegalmining.raid.choose import Slot
from illegalmining.raid.columns import Task
from illegalmining.raid.events import Visit
from illegalmining.raid.pricing import Floats, best_routes, memory_of


@dataclass(frozen=True)
class ImproveParameters:
    """rounds: days taken apart, all told. apart: so many at a time. minding: shares of the prices that a
    refill minds, one is drawn each time. pinned: worth of a visit that has to be made."""

    rounds: int = 1000
    apart: int = 3
    minding: tuple[float, ...] = (0.0, 0.6, 0.9)
    pinned: float = 1e6


def improve(
    plan: dict[Slot, list[int]],
    task: Task,
    visits: Sequence[Visit],
    prices: Floats,
    teams: tuple[int, int],
    days: int,
    rng: np.random.Generator,
    parameters: ImproveParameters | None = None,
) -> dict[Slot, list[int]]:
    """The plan with stops that no appointment binds moved, exchanged and added while it gets more valuable.

    prices: what each stop would fetch in other routes (from the relaxation): a refill that minds them leaves to others
    what others do better. Appointed stops stay with their day, moment and team.
    """
    parameters = parameters or ImproveParameters()
    slots = [(day, team) for day in range(days) for team in range(sum(teams))]
    plan = {slot: list(plan.get(slot, [])) for slot in slots}
    bound = [stop for stop, visit in enumerate(visits) if visit.moment is not None]
    pinned = [stop for number in task.required for stop in task.bundles[number].stops]
    value = task.stops.value.copy()
    value[bound + pinned] += parameters.pinned
    memory, asked = memory_of(task.stops), np.maximum(prices, 0.0)
    for _ in range(parameters.rounds):
        chosen = [slots[at] for at in rng.permutation(len(slots))[: parameters.apart]]
        before = sum(value[stop] for slot in chosen for stop in plan[slot])
        mind = parameters.minding[int(rng.integers(len(parameters.minding)))]
        held = {stop for slot in slots if slot not in chosen for stop in plan[slot]}
        fresh: dict[Slot, list[int]] = {}
        for slot in chosen:
            allowed = np.ones(len(visits), dtype=bool)
            allowed[[*held, *bound]] = False
            allowed[[stop for stop in plan[slot] if visits[stop].moment is not None]] = True
            if slot[1] >= teams[0]:
                allowed &= ~task.stops.underground
            _, found = best_routes(task.stops, memory, value - mind * asked, allowed)
            clean = [route.tolist() for route in found if len(set(route.tolist())) == len(route)]
            fresh[slot] = clean[0] if clean else plan[slot]
            held |= set(fresh[slot])
        once = [stop for route in fresh.values() for stop in route]
        if len(once) == len(set(once)) and value[once].sum() > before + 1e-9:
            plan.update(fresh)
    return {slot: route for slot, route in plan.items() if route}
