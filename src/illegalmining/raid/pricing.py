"""The most profitable day of one team: the pricing of column generation, by dynamic programming over time and place.

Times are whole steps (see `rules.GRAIN_MIN`). A route leaves the base at step 0 or later, makes visits, and is back by
the last step. What a route may forget is the ng-route relaxation (Baldacci, Mingozzi and Roberti 2011): it remembers
having visited a place only while it stays in that place's neighbourhood, so it may come back after a long way round.
Every true route is among the relaxed ones: the best relaxed profit is never below the best true one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
REMEMBERED = 4
"""Places remembered around each, itself among them; at most 8, the bits of a byte (8 tighten the bound by 0.05 %)."""


@dataclass(frozen=True)
class Stops:
    """Places that can be visited, with times in steps.

    value: what a visit is worth. duration: of the visit. ready, due: first and last step a visit may begin; alike where
    its moment is fixed. underground: only teams trained for it may go in. out, back: travel from and to the base.
    between: travel from one to another, shape (n, n); obeys the triangle inequality. last: the step by which a team is
    back.
    """

    value: Floats
    duration: Ints
    ready: Ints
    due: Ints
    underground: NDArray[np.bool_]
    out: Ints
    back: Ints
    between: Ints
    last: int

    def __len__(self) -> int:
        return len(self.value)

    def reachable(self) -> NDArray[np.bool_]:
        """Whether a day is long enough to visit each and nothing else."""
        start = np.maximum(self.ready, self.out)
        return (start <= self.due) & (start + self.duration + self.back <= self.last)


@dataclass(frozen=True)
class Memory:
    """What routes remember: `slot[i, j]` is the bit of j at i, -1 for none; `carry[i, j, bits]` the bits kept at j."""

    slot: NDArray[np.int8]
    carry: NDArray[np.uint8]


def memory_of(stops: Stops) -> Memory:
    """Each place remembers itself and those nearest to it."""
    count = len(stops)
    kept = min(REMEMBERED, count)
    apart = (stops.between + stops.between.T).astype(np.float64)
    np.fill_diagonal(apart, -1.0)
    near = np.argsort(apart, axis=1, kind="stable")[:, :kept]
    slot = np.full((count, count), -1, dtype=np.int8)
    np.put_along_axis(slot, near, np.arange(kept, dtype=np.int8)[None, :], axis=1)
    bits = np.arange(1 << kept)
    carry = np.zeros((count, count, 1 << kept), dtype=np.uint8)
    for bit in range(kept):
        at = slot[:, near[:, bit]].T  # [i, j]: the bit at j of the place that has this bit at i
        moved = np.where(at >= 0, np.uint8(1) << np.maximum(at, 0).astype(np.uint8), 0).astype(np.uint8)
        carry |= moved[:, :, None] * ((bits >> bit) & 1).astype(np.uint8)
    own = np.uint8(1) << slot[np.arange(count), np.arange(count)].astype(np.uint8)
    return Memory(slot, carry | own[None, :, None])


def best_routes(
    stops: Stops, memory: Memory, profit: Floats, allowed: NDArray[np.bool_], enough: float = 0.0
) -> tuple[float, list[Ints]]:
    """A bound on the relaxed profit of a day, and for each last place the best route that ends there.

    The bound is the largest profit where that exceeds `enough`, else `enough` (at least 0: a team may stay at home);
    routes that cannot come to more than `enough` are not followed. A place without profit is left out: by the triangle
    inequality a route without it is as good.
    """
    enough = max(enough, 0.0)
    active = np.flatnonzero(allowed & (profit > 1e-9) & stops.reachable()).astype(np.int32)
    if not len(active):
        return enough, []
    hope = prospects(profit, active, stops.duration, stops.ready, stops.due, stops.back, stops.between, stops.last)
    values, nodes, before, ends = extend(
        profit,
        active,
        stops.duration,
        stops.ready,
        stops.due,
        stops.out,
        stops.back,
        stops.between,
        stops.last,
        memory.slot,
        memory.carry,
        hope,
        enough,
    )
    found = [label for label in ends if label >= 0]
    found.sort(key=lambda label: (-values[label], label))
    best = max(enough, float(values[found[0]])) if found else enough
    return best, [walked(label, nodes, before) for label in found]


def walked(label: int, nodes: Ints, before: Ints) -> Ints:
    """The places of a route, first to last."""
    route = []
    while label >= 0:
        route.append(nodes[label])
        label = before[label]
    return np.array(route[::-1], dtype=np.int32)


@njit(cache=True)
def prospects(profit, active, duration, ready, due, back, between, last):  # type: ignore[no-untyped-def]
    """What a route that begins a visit at (step, place) can still gain after it, repeats allowed; -inf: too late."""
    hope = np.full((last + 1, len(profit)), -np.inf)
    for start in range(last, -1, -1):
        for i in active:
            if start + duration[i] + back[i] > last:
                continue
            most = 0.0
            for j in active:
                begin = max(ready[j], start + duration[i] + between[i, j])
                if j != i and begin <= due[j] and begin <= last and profit[j] + hope[begin, j] > most:
                    most = profit[j] + hope[begin, j]
            hope[start, i] = most
    return hope


@njit(cache=True)
def extend(profit, active, duration, ready, due, out, back, between, last, slot, carry, hope, enough):  # type: ignore[no-untyped-def]
    """All labels that no other one beats: profit, place and predecessor of each, and the best one that ends at a place.

    A label beats another at the same place when it begins no later, is worth no less and remembers no more.
    """
    count = len(profit)
    room = 1 << 16
    value = np.empty(room, np.float64)
    node = np.empty(room, np.int32)
    bits = np.empty(room, np.uint8)
    before = np.empty(room, np.int32)
    following = np.empty(room, np.int32)
    bucket = np.full((last + 1, count), -1, np.int32)
    kept = np.full(count, -1, np.int32)
    kept_next = np.empty(room, np.int32)
    ends = np.full(count, -1, np.int32)
    used = 0
    for j in active:
        start = max(ready[j], out[j])
        if start <= due[j] and profit[j] + hope[start, j] > enough:
            value[used], node[used], before[used] = profit[j], j, -1
            bits[used] = np.uint8(1) << np.uint8(slot[j, j])
            following[used], bucket[start, j] = bucket[start, j], used
            used += 1
    for start in range(last + 1):
        for i in active:
            label = bucket[start, i]
            while label >= 0:
                other, beaten = kept[i], False
                while other >= 0:
                    if value[other] >= value[label] and (bits[other] & bits[label]) == bits[other]:
                        beaten = True
                        break
                    other = kept_next[other]
                if not beaten:
                    kept_next[label], kept[i] = kept[i], label
                    if ends[i] < 0 or value[label] > value[ends[i]]:
                        ends[i] = label
                    if used + len(active) > len(value):
                        more = len(value)
                        value = np.concatenate((value, np.empty(more, np.float64)))
                        node = np.concatenate((node, np.empty(more, np.int32)))
                        bits = np.concatenate((bits, np.empty(more, np.uint8)))
                        before = np.concatenate((before, np.empty(more, np.int32)))
                        following = np.concatenate((following, np.empty(more, np.int32)))
                        kept_next = np.concatenate((kept_next, np.empty(more, np.int32)))
                    for j in active:
                        place = slot[i, j]
                        if j == i or (place >= 0 and (bits[label] >> np.uint8(place)) & np.uint8(1)):
                            continue
                        begin = max(ready[j], start + duration[i] + between[i, j])
                        if begin > due[j] or value[label] + profit[j] + hope[begin, j] <= enough:
                            continue
                        value[used], node[used], before[used] = value[label] + profit[j], j, label
                        bits[used] = carry[i, j, bits[label]]
                        following[used], bucket[begin, j] = bucket[begin, j], used
                        used += 1
                label = following[label]
    return value[:used], node[:used], before[:used], ends
