"""Meters that are no mine's by the register: a shut mine's work on a neighbour's meter, and mines nobody registered.

Two looks at each. Against its own past: blocks of load that its history does not know, weighed as in a shut mine, less
what the same look makes of its past. Against its kind: a village draws in the evening and most at the Spring Festival,
a mine round the clock and least then. A changed meter has many innocent causes (electric heating, a new workshop), so
both are bounded: they are reasons to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry import Point

from illegalmining.detect.day_shapes import Flags, Floats, ShapeParameters, covariance
from illegalmining.detect.densities import student_log_density
from illegalmining.detect.findings import detection
from illegalmining.detect.heating import Course, HeatingParameters, NewLoad, cold
from illegalmining.detect.hidden_work import (
    HiddenWork,
    RestingDays,
    WorkParameters,
    amounts_of_work,
    evidence,
    hidden_work,
)
from illegalmining.detect.holidays import spring_festival
from illegalmining.detect.load import POWER, LoadParameters, MeterTable, MineLoad, levels, mine_load
from illegalmining.detect.rest_profile import LevelBelief, RestParameters
from illegalmining.detect.seasons import SeasonParameters, covariates
from illegalmining.detect.shut_mines import Factor, OrderParameters, Orders, iso, lift, nights_of, rounded, series

NIGHT, EVENING = slice(0, 6), slice(18, 22)
FEWEST_WARM = 30


@dataclass(frozen=True)
class OtherMeterParameters:
    """How meters of others are looked at.

    near_m: a meter this near to a shut mine may carry its work, m. work: of the two explanations, with the wider
    scatter of villages and works. history_days: days of its own past that a meter is held against, and least known of
    them. full_kw: full load of a small mine that nobody registered, kW. share: of neighbours' meters that carry a shut
    mine's work, where one is near. hidden_share: of other meters that supply a mine nobody registered. most_moved,
    most_alone: bound of the evidence, nats, for a shut mine near by and for a place. least: nats from which a meter is
    reported. level_sd: log spread of a meter's level from year to year. likeness: (mine mean, village mean, spread) of
    the log ratio of night to evening, of the Spring Festival to the weeks around it, and of mean kW; priors that the
    district's own meters move, which count as `likeness_meters` meters. likeness_most: bound of one feature, nats.
    """

    near_m: float = 2500.0
    work: WorkParameters = field(
        default_factory=lambda: WorkParameters(
            shapes=ShapeParameters(dry_sd=0.12, wet=(0.25, 0.25)),
            rest=RestParameters(noise=(0.06, 0.5), effect_sd=0.25),
            amounts=(0.15, 2.0),
            least_amount=0.5,
            unbroken_amount=np.inf,
        )
    )
    history_days: tuple[int, int] = (365, 60)
    full_kw: float = 200.0
    share: float = 0.1
    hidden_share: float = 0.02
    most_moved: float = 4.0
    most_alone: float = 0.4
    least: float = 0.0
    level_sd: float = 0.15
    likeness: tuple[tuple[float, float, float], ...] = ((-0.2, -0.8, 0.5), (-0.7, 0.1, 0.3), (6.0, 4.1, 0.9))
    likeness_meters: float = 8.0
    likeness_most: float = 2.5
    seasons: SeasonParameters = field(default_factory=SeasonParameters)
    heating: HeatingParameters = field(default_factory=HeatingParameters)


@dataclass(frozen=True)
class ShutPlace:
    """A mine whose work may hide on another's meter. full_kw: its step from rest to full work."""

    mine_id: str
    geometry: Any
    orders: Orders
    full_kw: float


@dataclass(frozen=True)
class Host:
    """A meter of nobody's mine with readings of power. place: in the working CRS."""

    meter_id: str
    category: str
    place: Point


@dataclass(frozen=True)
class Look:
    """What one meter shows.

    moved: rows of the shut mines near by whose work it carries. features: of `features`. judged: first and last day
    that evidence may come from, None where the meter has none. changed: nats that its past does not know a mine's work,
    with the first day of that, the last and what a row says of it; None where nothing can be held against its past.
    """

    moved: list[dict[str, Any]]
    features: Floats
    judged: tuple[pd.Timestamp, pd.Timestamp] | None
    changed: tuple[float, pd.Timestamp, pd.Timestamp, dict[str, Any]] | None


def other_meters(
    table: MeterTable,
    meters: pd.DataFrame,
    mines: gpd.GeoDataFrame,
    metered: list[ShutPlace],
    like_mines: dict[str, Floats],
    first: pd.Timestamp,
    last: pd.Timestamp,
    weather: pd.DataFrame | None,
    p: OtherMeterParameters,
    each: Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]] = map,
) -> list[dict[str, Any]]:
    """Rows of meters that carry a shut neighbour's work, or a mine's of which no register knows.

    like_mines: `features` of the mines' own meters.
    """
    hosts = hosts_of(table, meters, mines)
    beside = shut_beside(hosts, metered, p.near_m)
    pieces = ((host, table.only([host.meter_id]), near) for host, near in zip(hosts, beside, strict=True))
    looks = list(each(partial(look_at, first=first, last=last, weather=weather, p=p), pieces))
    seen = [(host, look) for host, look in zip(hosts, looks, strict=True) if look is not None]
    owned = sorted(meters.loc[meters["mine_id"].isin(set(mines["mine_id"])), "meter_id"].astype(str))
    of_mines = [like_mines[meter] for meter in owned if meter in like_mines]
    kinds = likeness_kinds(of_mines, [look.features for host, look in seen if host.category == "other"], p)
    rows = []
    for host, look in seen:
        rows += look.moved
        if host.category == "other" and not look.moved:
            rows += mine_like_row(host, look, kinds, p)
    return rows


def shut_beside(hosts: list[Host], metered: list[ShutPlace], near_m: float) -> list[list[ShutPlace]]:
    """The mines with orders within `near_m` of each meter, nearest first."""
    shut = [mine for mine in metered if mine.orders.forbidden.any()]
    beside: list[list[ShutPlace]] = [[] for _ in hosts]
    if not shut or not hosts:
        return beside
    shapes, places = np.array([mine.geometry for mine in shut]), np.array([host.place for host in hosts])
    host, mine = shapely.STRtree(shapes).query(places, predicate="dwithin", distance=near_m)
    for at, near in zip(host, mine, strict=True):
        beside[at].append(shut[near])
    for at, found in zip(places, beside, strict=True):
        found.sort(key=lambda one: (one.geometry.distance(at), one.mine_id))
    return beside


def look_at(
    of: tuple[Host, MeterTable, list[ShutPlace]],
    first: pd.Timestamp,
    last: pd.Timestamp,
    weather: pd.DataFrame | None,
    p: OtherMeterParameters,
) -> Look | None:
    """One meter with its readings and the shut mines near by, nearest first; None where no day is known."""
    host, table, near = of
    load = mine_load(table, [host.meter_id], POWER)
    if load is None or not np.isfinite(load.mean_kw).any():
        return None
    moved = [row for mine in near for row in moved_row(host, load, mine, first, last, weather, p, len(near))]
    since = np.asarray((load.days >= first) & (load.days <= last))
    look = Look(moved, features(load), (load.days[since][0], load.days[since][-1]) if since.any() else None, None)
    if moved or host.category != "other" or (against := against_past(load, since, p.full_kw, weather, p)) is None:
        return look
    found, factor = against
    nights = load.days[worked(found)]
    if not len(nights):
        return look
    return replace(look, changed=(found.log_lr, nights[0], nights[-1], told(host, found, factor)))


def hosts_of(table: MeterTable, meters: pd.DataFrame, mines: gpd.GeoDataFrame) -> list[Host]:
    """Meters that supply no mine of the register, with readings of power."""
    free = meters[~meters["mine_id"].isin(set(mines["mine_id"])) & (meters["category"] != "mine")]
    points = gpd.GeoSeries.from_xy(free["lon"], free["lat"], crs="EPSG:4326").to_crs(mines.crs)
    hosts = [
        Host(meter, str(category), place)
        for meter, category, place in zip(free["meter_id"].astype(str), free["category"], points, strict=True)
        if POWER in table.quantities(meter)
    ]
    return sorted(hosts, key=lambda host: host.meter_id)


def moved_row(
    host: Host,
    load: MineLoad,
    mine: ShutPlace,
    first: pd.Timestamp,
    last: pd.Timestamp,
    weather: pd.DataFrame | None,
    p: OtherMeterParameters,
    rivals: int,
) -> list[dict[str, Any]]:
    """The row of a shut mine whose work a neighbour's meter may carry."""
    days = load.days
    shut = pd.Series(mine.orders.forbidden, mine.orders.statuses.index).reindex(days, fill_value=False).to_numpy()
    look = against_past(load, shut & np.asarray((days >= first) & (days <= last)), mine.full_kw, weather, p)
    if look is None:
        return []
    found, factor = look
    log_lr = min(found.log_lr + np.log(p.share / rivals), p.most_moved)
    if log_lr <= p.least or not found.working.max() > 0:
        return []
    attributes = {"question": "moved_to_neighbour", "orders": mine.orders.listed, **told(host, found, factor)}
    attributes["distance_m"] = rounded(float(mine.geometry.distance(host.place)))
    nights = worked(found)
    return [
        detection(
            "power",
            days[nights][0],
            days[nights][-1],
            log_lr,
            mine.geometry,
            mine_id=mine.mine_id,
            attributes=attributes,
        )
    ]


def mine_like_row(host: Host, look: Look, kinds: Floats, p: OtherMeterParameters) -> list[dict[str, Any]]:
    """The row of a meter of nobody's mine that looks like a mine's, by its past or by its kind."""
    changed = look.changed[0] if look.changed is not None else -np.inf
    alike = likeness(look.features, kinds, p)
    log_lr = min(max(changed, alike) + np.log(p.hidden_share / (1 - p.hidden_share)), p.most_alone)
    if log_lr <= p.least or look.judged is None:
        return []
    attributes: dict[str, Any] = {"question": "mine_like_meter", "meter_id": host.meter_id, "alike": rounded(alike)}
    begins, ends = look.judged
    if look.changed is not None and changed >= alike:
        _, begins, ends, says = look.changed
        attributes |= says
    return [detection("power", begins, ends, log_lr, host.place, attributes=attributes)]


def against_past(
    of: MineLoad, judged: Flags, full_kw: float, weather: pd.DataFrame | None, p: OtherMeterParameters
) -> tuple[HiddenWork, Factor] | None:
    """Blocks of load on the judged days that the meter's past does not know, less what its past itself would show."""
    days, load = of.days, nights_of(of)
    known = np.isfinite(load).any(axis=1)
    if (judged & known).sum() < OrderParameters().least_days:
        return None
    begin = int(np.flatnonzero(judged)[0])
    before = np.flatnonzero(known & (np.arange(len(days)) < begin))[-p.history_days[0] :]
    if len(before) < p.history_days[1]:
        return None
    past = np.zeros(len(days), dtype=bool)
    past[before] = True
    if strange_days(load, past, full_kw, p)[judged & known].sum() < OrderParameters().least_days:
        return None
    level = levels(of, past, np.nan, np.nan, LoadParameters())
    usual = max(float(np.nanmedian(of.mean_kw[past])), 1e-3)
    lifts = covariates(days, None, weather, p.seasons)
    lifts = np.column_stack([lifts, days.dayofweek >= 5, spring_festival(days)]).astype(float)
    given = RestingDays(
        load=load,
        counted=judged & known,
        quiet=past,
        covariates=lifts,
        weekday=days.dayofweek.to_numpy(),
        full_kw=full_kw,
        reference_kw=usual,
        belief=LevelBelief(((usual, p.level_sd),), (False,)),
    )
    courses = cold(days, weather, p.heating)
    found = beside_heaters(given, courses, p)
    if found.log_lr > 0:
        early = past & (np.arange(len(days)) < before[len(before) // 2])
        placebo = replace(given, counted=past & ~early, quiet=early)
        found = replace(found, log_lr=found.log_lr - max(beside_heaters(placebo, courses, p).log_lr, 0.0))
    return found, Factor(POWER, of, replace(level, quiet_kw=usual), past, lifts, np.nan)


def beside_heaters(given: RestingDays, courses: list[Course], p: OtherMeterParameters) -> HiddenWork:
    """Work against rest, and against heaters, which the meter may have had or got."""
    found = hidden_work(given, p.work)
    if found.log_lr <= 0:
        return found
    there = given.counted | given.quiet
    away = np.where(there[:, None], given.load / given.reference_kw, np.nan)
    usual = usual_of(away, given.quiet, courses)
    spread = covariance(replace(found.rest, profile=usual), (0.0, p.work.shapes.dry_sd), p.work.shapes)
    seen = partial(NewLoad, away - usual, spread, p.work.shapes.tail, p.heating)
    cold_days = np.maximum.reduce([mean for mean, _ in courses]) > 0
    heaters = seen().heaters(courses, there & cold_days)
    if heaters is None:
        return found
    chains, amounts = list(product(p.work.begins, p.work.ends, p.work.duties)), amounts_of_work(given, p.work)
    none, share = heaters.nats + np.log(p.heating.share), p.heating.share
    alone = seen().work(chains, given.counted, amounts) + np.log1p(-share)
    besides = seen(under=heaters).work(chains, given.counted, amounts) + none
    if besides > alone:
        found = replace(hidden_work(replace(given, besides=heaters), p.work), log_lr=found.log_lr)
    against = evidence(float(np.logaddexp(alone, besides) - none), p.work)
    return replace(found, log_lr=-float(np.logaddexp(-found.log_lr, -against)))


def usual_of(load: Floats, past: Flags, courses: list[Course]) -> Floats:
    """(B,) usual course of the past's warm days, of all of them where few are warm."""
    warm = past & (np.minimum.reduce([mean for mean, _ in courses]) == 0) & np.isfinite(load).any(axis=1)
    chosen = warm if warm.sum() >= FEWEST_WARM else past
    return np.array([float(np.median(hour[chosen & np.isfinite(hour)])) for hour in load.T])


def strange_days(load: Floats, past: Flags, full_kw: float, p: OtherMeterParameters) -> Flags:
    """Days whose busiest hours lie so far above the meter's past that they could hold work at all, (D,)."""
    width = load.shape[1]
    usual = np.array([float(np.median(hour[past & np.isfinite(hour)])) for hour in load.T])
    above = np.sort(np.where(np.isfinite(load), load - usual, -np.inf), axis=1)
    hours = max(1, min(p.work.shapes.lengths) * width // 24)
    return np.asarray(above[:, -hours:].mean(axis=1) >= p.work.amounts[0] * full_kw)


def worked(found: HiddenWork) -> Flags:
    """Days of work."""
    return found.working > min(0.5, 0.9 * float(found.working.max()))


def told(host: Host, found: HiddenWork, factor: Factor) -> dict[str, Any]:
    """What a row says of a meter against its past."""
    nights = worked(found)
    days = factor.load.days
    return {
        "meter_id": host.meter_id,
        "nights": int(nights.sum()),
        "excess_kwh": rounded(lift(found, nights) * 24 * float(nights.sum())),
        "first_seen_interval": [iso(days[day]) for day in found.first_day],
        "last_seen_interval": [iso(days[day]) for day in found.last_day],
        "series": series(factor, found, nights, OrderParameters()),
    }


def features(load: MineLoad) -> Floats:
    """Log ratios of night to evening and of the Spring Festival to weeks around it, log mean kW; NaN: unknown."""
    hours = load.hours[np.isfinite(load.hours).all(axis=1)]
    feast = spring_festival(load.days)
    around = spring_festival(load.days + pd.Timedelta(days=30)) | spring_festival(load.days - pd.Timedelta(days=30))
    return np.array(
        [
            log_ratio(hours[:, NIGHT], hours[:, EVENING]),
            log_ratio(load.mean_kw[feast], load.mean_kw[around & ~feast]),
            log_ratio(load.mean_kw, np.ones(1)),
        ]
    )


def log_ratio(above: Floats, below: Floats) -> float:
    """Log of the ratio of two means; NaN where either is unknown or nothing."""
    known = above[np.isfinite(above)], below[np.isfinite(below)]
    if not known[0].size or not known[1].size or not known[0].mean() > 0 or not known[1].mean() > 0:
        return float("nan")
    return float(np.log(known[0].mean() / known[1].mean()))


def likeness_kinds(mines: list[Floats], villages: list[Floats], p: OtherMeterParameters) -> Floats:
    """(2, features) what mines' and villages' meters are like, the district's own drawn to the prior."""
    kinds = np.array(p.likeness).T[:2]
    for kind, seen in enumerate((np.array(mines), np.array(villages))):
        for feature in range(kinds.shape[1]):
            values = seen[np.isfinite(seen[:, feature]), feature] if len(seen) else np.array([])
            if len(values):
                own = float(np.median(values)) * len(values)
                kinds[kind, feature] = (own + p.likeness_meters * kinds[kind, feature]) / (
                    len(values) + p.likeness_meters
                )
    return kinds


def likeness(seen: Floats, kinds: Floats, p: OtherMeterParameters) -> float:
    """Nats for a mine against a village, feature by feature, each bounded."""
    total = 0.0
    for feature, (_, _, spread) in enumerate(p.likeness):
        if np.isfinite(seen[feature]):
            away = (seen[feature] - kinds[:, feature]) / spread
            total += float(np.clip(np.subtract(*student_log_density(away, 4)), -p.likeness_most, p.likeness_most))
    return total
