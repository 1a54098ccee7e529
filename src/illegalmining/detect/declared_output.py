"""Do a mine's declared tonnes agree with its energy? Monthly energy above rest against tonnes times specific energy.

Specific energy is learned over the district's mines around a prior of the trade, and each mine's own, around the
district's, from all its months; a mine whose energy covers only part of its tonnes declares coal it did not raise.
Unknown: the mine's specific energy and rest level, the covered share, the first such month; a mine may have declared on
paper before anybody watched, so its past is believed only as far as the district bears it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from illegalmining.detect.densities import student_log_density
from illegalmining.detect.load import HOURS, Floats, Levels


@dataclass(frozen=True)
class OutputParameters:
    """How tonnes are held against energy.

    specific_kwh: prior energy of a tonne, kWh. specific_sd: its log standard deviation. between_sd: log spread between
    mines of a district, 0.2-0.5. month_sd: log spread between a mine's months. tail: degrees of freedom. covered:
    shares of the tonnes that energy may cover where output is on paper. drift_sd: log change of a mine's own specific
    energy from its past to the months judged: another seam, a longer haul. grid: specific energies tried for a mine,
    and how many spreads they reach to either side. known_share: share of a month's days that must
    be known. rest_sd: log spread of a rest level seen in quiet days or in the register. rest_shares: rest over mean
    load where rest was never seen. floor: energy above rest that cannot be told from none, relative to rest.
    most: bound of the evidence, nats.
    """

    specific_kwh: float = 20.0
    specific_sd: float = 0.5
    between_sd: float = 0.35
    month_sd: float = 0.25
    tail: float = 5.0
    covered: tuple[float, ...] = (0.05, 0.15, 0.3, 0.5)
    drift_sd: float = 0.15
    grid: tuple[int, float] = (41, 4.0)
    known_share: float = 0.6
    rest_sd: float = 0.10
    rest_shares: tuple[float, ...] = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
    floor: float = 0.05
    most: float = 12.0


@dataclass(frozen=True)
class Specific:
    """Energy of a tonne in the district. centre: kWh a tonne. spread: log standard deviation for one mine."""

    centre: float
    spread: float


@dataclass(frozen=True)
class Output:
    """What the energy says of the tonnes. log_lr: nats for output on paper. months: those on paper, or all where the
    energy covers them. tonnes: declared in them. explained: of them, what the energy covers at most.
    rest_kw: mean of the rest levels held possible. own: the mine's specific energy, by its past and the district."""

    log_lr: float
    months: tuple[str, ...]
    tonnes: float
    explained: float
    rest_kw: float
    own: Specific


def monthly(days: pd.DatetimeIndex, mean_kw: Floats, tonnes: pd.Series, parameters: OutputParameters) -> pd.DataFrame:
    """Months with tonnes and enough known days: month, tonnes, mean_kw, hours (of the whole month).

    tonnes: declared, indexed by month (YYYY-MM).
    """
    known = pd.Series(mean_kw, index=days.strftime("%Y-%m")).groupby(level=0)
    table = pd.DataFrame({"mean_kw": known.mean(), "days": known.count()})
    table["length"] = pd.PeriodIndex(table.index, freq="M").days_in_month
    table = table[table["days"] >= parameters.known_share * table["length"]]
    table = table.join(tonnes.rename("tonnes"), how="inner")
    table = table[table["tonnes"] > 0]
    table["hours"] = HOURS * table["length"]
    return table.rename_axis("month").reset_index()[["month", "tonnes", "mean_kw", "hours"]]


def rest_choices(levels: Levels, safety_kw: float, mean_kw: float, p: OutputParameters) -> Floats:
    """Equally likely rest levels, kW."""
    if safety_kw > 0 or levels.two:
        # Both known: quiet days count, for a register's load may be the one on paper; where they never rest it holds.
        centre = levels.quiet_kw if levels.two else min(safety_kw, levels.quiet_kw)
        return np.array(centre * np.exp(p.rest_sd * np.array([-1.5, -0.5, 0.5, 1.5])))
    return np.array(p.rest_shares) * mean_kw


def energy(table: pd.DataFrame, rest_kw: float, p: OutputParameters) -> Floats:
    """Energy above rest of each month, kWh, no less than what cannot be told from none."""
    above = np.maximum(table["mean_kw"].to_numpy() - rest_kw, p.floor * rest_kw)
    return np.asarray(above * table["hours"].to_numpy(), dtype=float)


def specific_energy(mines: dict[str, tuple[pd.DataFrame, Levels, float]], p: OutputParameters) -> Specific:
    """Energy of a tonne in this district: the median over its mines, drawn to the prior of the trade.

    mines: mine_id -> (months, levels, safety load in kW). Mines whose rest was never seen do not speak; the median
    stands while fewer than half of the others declare on paper.
    """
    logs = []
    for table, levels, safety_kw in mines.values():
        if len(table) and levels.two:
            rest = rest_choices(levels, safety_kw, float(table["mean_kw"].mean()), p).mean()
            logs.append(float(np.log(energy(table, rest, p).sum() / table["tonnes"].sum())))
    centre = np.log(p.specific_kwh)
    if not logs:
        return Specific(p.specific_kwh, float(np.hypot(p.specific_sd, p.between_sd)))
    # A median over n mines is worth about 2n/pi means; weighed against the prior as normals.
    sure = p.between_sd**2 * np.pi / 2 / len(logs)
    weight = p.specific_sd**2 / (p.specific_sd**2 + sure)
    learned = weight * float(np.median(logs)) + (1 - weight) * centre
    return Specific(float(np.exp(learned)), float(np.sqrt(p.between_sd**2 + weight * sure)))


def declared_output(
    table: pd.DataFrame,
    levels: Levels,
    safety_kw: float,
    specific: Specific,
    p: OutputParameters,
    past: pd.DataFrame | None = None,
) -> Output:
    """Weigh output on paper from some month on against honest output.

    table: at least one month, in order. past: months before them, which teach the mine's own specific energy.
    """
    tonnes = table["tonnes"].to_numpy(float)
    steps = np.linspace(-p.grid[1], p.grid[1], p.grid[0])
    own = specific.spread * steps
    before = student_log_density(steps, p.tail)
    before -= logsumexp(before)
    paper, honest, learned = [], [], []
    by_begin = np.full(len(table), -np.inf)
    explained = np.zeros(len(table))
    choices = rest_choices(levels, safety_kw, float(table["mean_kw"].mean()), p)
    for rest in choices:
        spent = energy(table, rest, p)
        taught, always = past_months(past, rest, own, before, specific, p)
        learned.append(taught)
        ratio = np.log(spent / (tonnes * specific.centre))
        sd = p.month_sd if past is None or past.empty else float(np.hypot(p.month_sd, p.drift_sd))
        plain = densities(ratio, own, 1.0, sd, p)
        covered = np.array([densities(ratio, own, share, sd, p) for share in p.covered])
        # Honest up to some month, on paper from it on.
        gain = np.cumsum((covered - plain)[:, ::-1], axis=1)[:, ::-1]
        whole = plain.sum(axis=0)
        honest.append(float(logsumexp(taught + whole)))
        scores = logsumexp(taught + whole + gain, axis=(0, 2)) - np.log(len(p.covered) * (len(table) + 1))
        ever = logsumexp(always + covered.sum(axis=1)) - np.log(len(p.covered) * (len(table) + 1))
        scores[0] = np.logaddexp(scores[0], ever)
        paper.append(float(logsumexp(scores)))
        by_begin = np.logaddexp(by_begin, scores)
    every = np.concatenate(learned)
    centre, spread = moments(np.tile(own, len(choices)), np.exp(every - logsumexp(every)))
    mine = Specific(float(specific.centre * np.exp(centre)), float(spread))
    for rest in choices:
        spent = energy(table, rest, p)
        for begin in range(len(table)):
            explained[begin] += min(spent[begin:].sum() / mine.centre, tonnes[begin:].sum()) / len(choices)
    log_lr = float(np.clip(logsumexp(paper) - logsumexp(honest), -p.most, p.most))
    begin = int(np.argmax(by_begin)) if log_lr > 0 else 0
    months = tuple(table["month"][begin:])
    rest_kw = float(np.mean(choices))
    return Output(log_lr, months, float(tonnes[begin:].sum()), float(explained[begin]), rest_kw, mine)


def past_months(
    past: pd.DataFrame | None, rest: float, own: Floats, before: Floats, specific: Specific, p: OutputParameters
) -> tuple[Floats, Floats]:
    """Log weights of each specific energy (G,) after an honest past, and (shares, G) after one on paper."""
    if past is None or past.empty:
        return before, np.tile(before, (len(p.covered), 1))
    ratio = np.log(energy(past, rest, p) / (past["tonnes"].to_numpy(float) * specific.centre))
    honest = before + densities(ratio, own, 1.0, p.month_sd, p).sum(axis=0)
    return honest, np.array([before + densities(ratio, own, share, p.month_sd, p).sum(axis=0) for share in p.covered])


def densities(ratio: Floats, own: Floats, share: float, sd: float, p: OutputParameters) -> Floats:
    """(M, G) log densities of months' energy over what their tonnes take in the district, when a mine takes `own` (log)
    more a tonne and its energy covers a share of them."""
    away = ratio[:, None] - own[None, :] - np.log(share)
    # More energy than the tonnes need is honest too: other uses, hard rock.
    away = np.maximum(away, 0.0) * 0.5 + np.minimum(away, 0.0)
    # Less than the least share covers fits the least share: energy has a floor, tonnes have none.
    if share == min(p.covered):
        away = np.maximum(away, 0.0)
    return np.asarray(student_log_density(away / sd, p.tail) - np.log(sd))


def moments(values: Floats, weights: Floats) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean = float((values * weights).sum())
    return mean, float(np.sqrt(max(((values - mean) ** 2 * weights).sum(), 1e-12)))
