"""Sites that would warn one another become one event: every team that takes part arrives at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from illegalmining.raid.columns import Bundle
from illegalmining.raid.pricing import Stops
from illegalmining.raid.rules import Rules

FEW = 6
"""Orders of so many sites are all tried; of more, the nearest neighbour is taken."""


@dataclass(frozen=True)
class Event:
    """A visit to sites that would warn one another, or to one alone.

    units: for each team that takes part, its sites in order, back to back. moments: steps at which all may arrive
    together, the first of them the earliest at which all can; empty where one team makes it, at any time. left_out:
    sites of the group that do not fit into the event.
    """

    units: tuple[tuple[int, ...], ...]
    moments: tuple[int, ...]
    left_out: tuple[int, ...] = ()

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(site for unit in self.units for site in unit)


def events_of(
    groups: Sequence[int], stops: Stops, keep: frozenset[int], teams: tuple[int, int], rules: Rules
) -> list[Event]:
    """The event of every group of sites that can be reached at all.

    A group is shared out so that as many teams as there are (for underground sites: as are trained) arrive at once.
    What cannot be finished that day, or goes beyond `most_together`, is left out, the least valuable first.

    Parameters
    ----------
    keep : sites not to be left out, if any are.
    """
    found = []
    reachable = stops.reachable()
    if not teams[0]:
        reachable &= ~stops.underground
    for group in sorted(set(groups)):
        members = [site for site, one in enumerate(groups) if one == group and reachable[site]]
        if not members:
            continue
        ranked = sorted(members, key=lambda site: (site in keep, stops.value[site], site))
        dropped = max(0, len(ranked) - rules.most_together)
        while True:
            units = shared_out(sorted(ranked[dropped:]), stops, teams)
            span = window(units, stops)
            if span is not None or dropped == len(ranked) - 1:
                break
            dropped += 1
        assert span is not None, "a reachable site alone always fits"
        moments = () if len(units) == 1 else spread(span, rules.moments if len(groups) <= rules.many else 1)
        found.append(Event(units, moments, tuple(sorted(ranked[:dropped]))))
    return found


def spread(span: tuple[int, int], count: int) -> tuple[int, ...]:
    """So many moments of a span, evenly apart, from the first on; fewer where it is short."""
    first, last = span
    return tuple(sorted({first + (last - first) * k // count for k in range(count)}))


def shared_out(members: Sequence[int], stops: Stops, teams: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """The members divided among teams so that the last is done soon; each part in its quickest order."""
    deep = [site for site in members if stops.underground[site]]
    open_ = [site for site in members if not stops.underground[site]]
    skilled = min(len(deep), teams[0])
    plain = min(len(open_), sum(teams) - skilled)
    parts: list[list[int]] = [[] for _ in range(skilled + plain)]
    for sites, own in ((deep, range(skilled)), (open_, range(skilled, skilled + plain) if plain else range(skilled))):
        for site in sorted(sites, key=lambda one: (-stops.duration[one], one)):
            best = min(own, key=lambda part: (lasting(quickest([*parts[part], site], stops), stops), part))
            parts[best].append(site)
    return tuple(quickest(part, stops) for part in parts)


def lasting(chain: Sequence[int], stops: Stops) -> int:
    """Steps from the arrival at the first site of a chain to the end of its last visit."""
    between = sum(int(stops.between[one, two]) for one, two in pairwise(chain))
    return int(stops.duration[list(chain)].sum()) + between


def quickest(sites: Sequence[int], stops: Stops) -> tuple[int, ...]:
    """The order of sites that takes the least time."""
    if len(sites) <= FEW:
        return min(permutations(sorted(sites)), key=lambda chain: (lasting(chain, stops), chain))
    chains = []
    for start in sites:
        chain, left = [start], [site for site in sites if site != start]
        while left:
            chain.append(min(left, key=lambda site: (stops.between[chain[-1], site], site)))
            left.remove(chain[-1])
        chains.append(tuple(chain))
    return min(chains, key=lambda chain: (lasting(chain, stops), chain))


def window(units: Sequence[tuple[int, ...]], stops: Stops) -> tuple[int, int] | None:
    """First and last step at which all units can arrive and still be done in time; None for never."""
    first = max(max(int(stops.ready[unit[0]]), int(stops.out[unit[0]])) for unit in units)
    last = min(latest(unit, stops) for unit in units)
    return None if last < first else (first, last)


def latest(unit: tuple[int, ...], stops: Stops) -> int:
    """The last step at which a chain can begin: done before dark, and back at the base in time."""
    dark = min(int(stops.due[site]) - offset for site, offset in zip(unit, offsets(unit, stops), strict=True))
    return min(dark, stops.last - lasting(unit, stops) - int(stops.back[unit[-1]]))


def offsets(unit: tuple[int, ...], stops: Stops) -> list[int]:
    """Steps from the arrival at a chain's first site to the arrival at each."""
    at = [0]
    for one, two in pairwise(unit):
        at.append(at[-1] + int(stops.duration[one]) + int(stops.between[one, two]))
    return at


@dataclass(frozen=True)
class Visit:
    """One team's part of an event: the sites in order, and the step of arrival at the first; None while it is open."""

    event: int
    sites: tuple[int, ...]
    moment: int | None


def visits_of(events: Sequence[Event]) -> tuple[list[Visit], list[Bundle]]:
    """The part of each team at each moment that may be, and which of them belong together."""
    visits: list[Visit] = []
    bundles = []
    for number, event in enumerate(events):
        for moment in event.moments or (None,):
            bundles.append(Bundle(tuple(range(len(visits), len(visits) + len(event.units))), number))
            visits += [Visit(number, unit, moment) for unit in event.units]
    return visits, bundles


def chain_stops(visits: Sequence[Visit], stops: Stops) -> Stops:
    """Visits as stops, each with all its sites."""
    first = np.array([visit.sites[0] for visit in visits], dtype=int)
    last = np.array([visit.sites[-1] for visit in visits], dtype=int)
    ready = [int(stops.ready[visit.sites[0]]) if visit.moment is None else visit.moment for visit in visits]
    due = [latest(visit.sites, stops) if visit.moment is None else visit.moment for visit in visits]
    return Stops(
        value=np.array([float(stops.value[list(visit.sites)].sum()) for visit in visits]),
        duration=np.array([lasting(visit.sites, stops) for visit in visits], dtype=np.int32),
        ready=np.array(ready, dtype=np.int32),
        due=np.array(due, dtype=np.int32),
        underground=np.array([bool(stops.underground[list(visit.sites)].any()) for visit in visits], dtype=bool),
        out=stops.out[first],
        back=stops.back[last],
        between=stops.between[np.ix_(last, first)],
        last=stops.last,
    )
