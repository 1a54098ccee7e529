"""Mines that must rest: the days of each order, weighed factor by factor, and the row that tells of work.

A factor is any series of the mine: power as a whole, a circuit (hoist, ventilation, drainage, haulage), air, gas,
water, explosives. Factors share their errors, so the strongest counts whole and the others in part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.detect.day_shapes import Flags, Floats, coarse, windows
from illegalmining.detect.findings import detection
from illegalmining.detect.hidden_work import HiddenWork, RestingDays, WorkParameters, hidden_work
from illegalmining.detect.load import HOURS, POWER, Levels, MineLoad
from illegalmining.detect.rest_profile import LevelBelief

DIGITS = 4


@dataclass(frozen=True)
class OrderParameters:
    """How orders are read.

    work: of the two explanations. grace_days: first days of an order that are not counted, work runs down. least: nats
    from which a mine is reported. least_days: known days in which a mine must rest before it is judged. further_weight:
    weight of factors after the strongest. closed_share: what a closed mine may draw, as a share of a safety load: its
    power is to be removed. closing_days: days in which it is. level_sd: how well quiet days, a register's safety load
    and the rule for closed mines tell rest (log). quiet_floor: rest is no less than this share of the step to full
    work, for reckoning. series_points: days a plot shows, or series_margin
    more than there are days of work. nights: probability from which a day is called one of work.
    """

    work: WorkParameters = field(default_factory=WorkParameters)
    grace_days: int = 1
    least: float = 0.5
    least_days: int = 3
    further_weight: float = 0.5
    closed_share: float = 0.05
    closing_days: int = 60
    level_sd: tuple[float, float, float] = (0.12, 0.20, 1.0)
    quiet_floor: float = 0.02
    series_points: int = 120
    series_margin: int = 60
    nights: float = 0.5


@dataclass(frozen=True)
class Factor:
    """One series of a mine. quantity: what is measured. unit: of a day's amount. covariates: (D, F) what lifts rest.
    quiet: (D,) permitted days on which it was seen at rest. safety_kw: NaN where the register has none."""

    quantity: str
    load: MineLoad
    levels: Levels
    quiet: Flags
    covariates: Floats
    safety_kw: float


@dataclass(frozen=True)
class Orders:
    """What the register says of a mine's days. statuses: (D,) words. forbidden: (D,). listed: orders, for a plot."""

    statuses: pd.Series
    forbidden: Flags
    listed: list[dict[str, Any]]


def worked_while_forbidden(
    mine_id: str,
    geometry: Any,
    factors: list[Factor],
    orders: Orders,
    first: pd.Timestamp,
    last: pd.Timestamp,
    p: OrderParameters,
) -> list[dict[str, Any]]:
    """Rows of a mine whose load on forbidden days fits work: one for its days as stopped, one for those as closed."""
    rows = []
    closed = (orders.statuses == "closed").to_numpy()
    for regime in (orders.forbidden & ~closed, orders.forbidden & closed):
        found = [(factor, weigh(factor, regime, orders, first, last, p)) for factor in factors]
        judged = [(factor, result) for factor, result in found if result is not None]
        if judged:
            rows += told(mine_id, geometry, judged, orders, p)
    return rows


def weigh(
    factor: Factor, regime: Flags, orders: Orders, first: pd.Timestamp, last: pd.Timestamp, p: OrderParameters
) -> tuple[HiddenWork, Flags] | None:
    """Work against rest over one factor's days under one kind of order; None where too few are known."""
    days = factor.load.days
    regime = pd.Series(regime, orders.statuses.index).reindex(days, fill_value=False).to_numpy()
    run = days_in_a_row(regime)
    counted = (run > p.grace_days) & np.asarray((days >= first) & (days <= last))
    quiet = factor.quiet & ~counted
    load = within(nights_of(factor.load), (counted, quiet))
    counted &= np.isfinite(load).any(axis=1)
    if counted.sum() < p.least_days:
        return None
    closed = bool((orders.statuses.reindex(days).to_numpy()[counted] == "closed").all())
    lowest = max(factor.levels.quiet_kw, p.quiet_floor * factor.levels.full_kw, 1e-3)
    judged = RestingDays(
        load=load,
        counted=counted,
        quiet=quiet,
        covariates=factor.covariates,
        weekday=days.dayofweek.to_numpy(),
        full_kw=factor.levels.full_kw,
        reference_kw=lowest,
        belief=level_belief(factor, closed, int(run[counted].max()), lowest, p),
    )
    return hidden_work(judged, p.work), counted


def nights_of(load: MineLoad) -> Floats:
    """(D, B) blocks of hours from noon to noon; daily means where hours are not known."""
    return load.mean_kw[:, None] if load.width == 1 else coarse(windows(load.hours), load.width)


def within(load: Floats, kinds: tuple[Flags, ...]) -> Floats:
    """Nights (D, B) without the morning after where that is another kind of day: the shift after a day of rest, or
    after an order, is neither rest nor forbidden."""
    alone = np.zeros(len(load), dtype=bool)
    for kind in kinds:
        alone |= kind & ~np.append(kind[1:], True)
    load = load.copy()
    load[alone, -(load.shape[1] // 2) or load.shape[1] :] = np.nan
    return load


def level_belief(factor: Factor, closed: bool, shut_days: int, lowest: float, p: OrderParameters) -> LevelBelief:
    """What is known of rest's level before the days are looked at."""
    quiet_sd, register_sd, closed_sd = p.level_sd
    centres, one_sided = [(lowest, quiet_sd)], [not factor.levels.two]
    if closed and shut_days > p.closing_days:
        safety = factor.safety_kw if factor.safety_kw > 0 else lowest
        centres, one_sided = [(p.closed_share * safety, closed_sd)], [False]
    elif factor.safety_kw > 0:
        centres.append((factor.safety_kw, register_sd))
        one_sided.append(False)
    return LevelBelief(tuple(centres), tuple(one_sided))


def days_in_a_row(regime: Flags) -> np.ndarray:
    """How many days of the regime in a row have begun, counting from 1, 0 outside it; a run that was under way on the
    first day is long past its beginning."""
    index = np.arange(len(regime))
    outside = np.where(~regime, index, -len(regime) - 1)
    return np.where(regime, index - np.maximum.accumulate(outside), 0)


def combined(nats: list[float], further_weight: float) -> float:
    """Nats of several factors: the strongest counts whole, for or against, the others in part."""
    ordered = sorted(nats, key=abs, reverse=True)
    return ordered[0] + further_weight * sum(ordered[1:])


def told(
    mine_id: str,
    geometry: Any,
    judged: list[tuple[Factor, tuple[HiddenWork, Flags]]],
    orders: Orders,
    p: OrderParameters,
) -> list[dict[str, Any]]:
    """The row of a mine, if its factors together fit work."""
    log_lr = combined([found.log_lr for _, (found, _) in judged], p.further_weight)
    log_lr = float(np.clip(log_lr, -p.work.most, p.work.most))
    factor, (found, counted) = max(judged, key=lambda pair: pair[1][0].log_lr)
    if log_lr <= p.least or not found.working.max() > 0:
        return []
    nights = found.working > min(p.nights, 0.9 * float(found.working.max()))
    days = factor.load.days
    attributes = {
        "question": "worked_while_forbidden",
        "nights": int(nights.sum()),
        "mean_fraction_of_full_load": rounded(lift(found, nights) / full_mean(factor)),
        "excess_kwh": rounded(lift(found, nights) * HOURS * float(nights.sum())),
        "first_seen_interval": [iso(days[day]) for day in found.first_day],
        "last_seen_interval": [iso(days[day]) for day in found.last_day],
        "worked_on": [iso(day) for day in days[nights]],
        "orders": orders.listed,
        "quantity": factor.quantity,
        "factors": {other.quantity: rounded(result.log_lr) for other, (result, _) in judged},
        "unread_days": unread(factor, counted),
        "series": series(factor, found, nights, p),
    }
    begins, ends = days[nights][0], days[nights][-1]
    return [detection("power", begins, ends, log_lr, geometry, mine_id=mine_id, attributes=attributes)]


def lift(found: HiddenWork, nights: Flags) -> float:
    """Mean lift of the days of work, kW over the day."""
    return float(found.amount_kw[nights].mean()) if nights.any() else 0.0


def full_mean(factor: Factor) -> float:
    """Step from rest to full work as a daily mean, kW."""
    return max(factor.levels.work_kw - factor.levels.quiet_kw, 1e-6)


def unread(factor: Factor, counted: Flags) -> list[str]:
    """Days between the first and the last judged that no meter read: cuts before visits look like this, and like any
    other gap they prove nothing."""
    where = np.flatnonzero(counted)
    inside = np.arange(len(counted))
    hidden = ~np.isfinite(factor.load.mean_kw) & (inside > where[0]) & (inside < where[-1])
    return [iso(day) for day in factor.load.days[hidden][:60]]


def series(factor: Factor, found: HiddenWork, nights: Flags, p: OrderParameters) -> dict[str, Any]:
    """A day's amount and what rest explains, thinned to what a plot can hold around the days of work."""
    load = nights_of(factor.load)
    there = np.isfinite(load)
    mean = np.where(there, load, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    known = np.flatnonzero(there.mean(axis=1) >= p.work.shapes.least_known)
    centre = np.flatnonzero(nights)
    near = known[np.argsort(np.abs(known[:, None] - centre[None, :]).min(axis=1), kind="stable")]
    shown = np.sort(near[: max(p.series_points, len(centre) + p.series_margin)])
    middle, spread = found.expected_kw[shown] * HOURS, 2 * found.spread_kw[shown] * HOURS
    return {
        "dates": [iso(day) for day in factor.load.days[shown]],
        "observed": [rounded(value) for value in mean[shown] * HOURS],
        "expected": [rounded(value) for value in middle],
        "low": [rounded(value) for value in np.maximum(middle - spread, 0.0)],
        "high": [rounded(value) for value in middle + spread],
        "unit": "kWh/day" if factor.quantity == POWER else f"{factor.quantity}/day",
    }


def iso(day: Any) -> str:
    """A day as the contract writes it."""
    return f"{day:%Y-%m-%d}"


def rounded(value: float) -> float:
    """A number to four significant digits, as a plot or a reader needs it."""
    return float(f"{value:.{DIGITS}g}")
