"""Whether a declared face moves the ground when and where it should: at work, absent, or working after its stop.

Only pixels that were seen count. A fast bowl loses its middle, where neighbouring pixels draw apart faster than the
phase can follow (science.md); a filter that read the lost pixels as still ground would call such a face absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

from illegalmining.detect.bowls import Search, mean_look
from illegalmining.detect.declared_faces import Declared
from illegalmining.detect.deformation import Bools
from illegalmining.detect.findings import detection
from illegalmining.detect.inversion import amplitudes, noise_covariance, noise_scale
from illegalmining.detect.pim import DAYS_PER_YEAR, Floats, settled_share, sight
from illegalmining.detect.track import Track

Sources = npt.NDArray[np.intp]


@dataclass(frozen=True)
class VerdictParameters:
    """How a declared face is judged.

    per_year: Knothe's c, 1/year. reach_radii, pixels_most: window and number of the pixels used. own_noise: share of
    a pixel's noise that its neighbours do not have. ground_share: share of the bowl that may be lost to the broad
    field. late_days: delays of the work against the register that are thought of. late_sd: their standard deviation,
    days. amounts: what m and q give (q 0.34 to 0.9 of 0.7; narrow panels less): median and standard deviation of the
    logarithm. wrong_share: relative error of the declared bowl (4.9 to 23 %, science.md). wrong_beside,
    wrong_reach_m: share of a neighbour's movement that taking it off gets wrong, and how far that hangs together, m.
    floor: least standard deviation of an amount. least_share: settled share that must fall in monitored time to judge
    a face. least_nats: below, nothing is said. most_nats: cap. past_days: after the stop, that movement still belongs
    to it. past_amount: least amount of movement again. decays: c of the decays after a stop that are innocent,
    1/year. alike: share of the largest singular value below which decays are alike. wrong_epoch: relative error of an
    epoch's amount. past_rate, past_work_days: c and length of the work after a stop that is looked for. handicap:
    nats by which work after a stop is less likely beforehand. fewest: pixels, and epochs after a stop. sinks: standard
    deviations from which a source is sure that a face sinks. contradicts: nats from which another that sees the
    opposite is of the other sign.
    """

    per_year: float = 5.0
    reach_radii: float = 2.0
    pixels_most: int = 250
    own_noise: float = 0.05
    ground_share: float = 0.1
    late_days: tuple[float, ...] = (-30.0, 0.0, 30.0, 60.0, 90.0)
    late_sd: float = 40.0
    amount: float = 0.85
    amount_ln: float = 0.5
    wrong_share: float = 0.2
    wrong_beside: float = 0.1
    wrong_reach_m: float = 100.0
    floor: float = 0.03
    least_share: float = 0.15
    least_nats: float = 0.5
    most_nats: float = 6.0
    past_days: float = 60.0
    past_amount: float = 0.15
    decays: tuple[float, ...] = (1.5, 2.5, 4.0, 6.0, 10.0)
    alike: float = 0.005
    wrong_epoch: float = 0.01
    past_rate: float = 6.0
    past_work_days: float = 100.0
    handicap: float = 3.0
    fewest: int = 10
    sinks: float = 5.0
    contradicts: float = 12.0


@dataclass(frozen=True)
class Sighting:
    """The pixels about a declared face. left: (T, P) m that every known face leaves. moved: (T, P) m fitted to it.

    seen: (T, P). x, y: m from its centre. pattern: (P,) m of its settled movement as declared. beside: (P,) m that
    other faces moved. correlation: (P, P) of the noise. root_weight: (T,) one over an epoch's noise, without unit.
    noise: m of an epoch of weight one.
    """

    left: Floats
    moved: Floats
    seen: Bools
    x: Floats
    y: Floats
    pattern: Floats
    beside: Floats
    correlation: Floats
    root_weight: Floats
    noise: float


def sighting(search: Search, face: Declared, moved_by_all: Floats, parameters: VerdictParameters) -> Sighting | None:
    """The pixels that tell of a face; None where too few were seen.

    `search` holds what all known faces leave; `moved_by_all` (Y, X) is how far they moved the ground, m.
    """
    ground, panel, look = search.movement, face.panel, mean_look(search.movement.look)
    distance = np.hypot(ground.x - panel.x, ground.y - panel.y)
    near = distance < panel.length_m / 2 + parameters.reach_radii * panel.radius_m
    rows, columns = np.nonzero(near & np.isfinite(ground.values).any(axis=0))
    if len(rows) < parameters.fewest:
        return None
    thin = int(np.ceil(len(rows) / parameters.pixels_most))
    rows, columns = rows[::thin], columns[::thin]
    seen = np.isfinite(ground.values[:, rows, columns])
    moved = face.all_over(search.values.shape)[:, rows, columns]
    x, y = ground.x[rows, columns], ground.y[rows, columns]
    row, column = (int(i) for i in np.unravel_index(int(distance.argmin()), distance.shape))
    root_weight = search.typical.nuisance.root_weight / search.typical.nuisance.root_weight.mean()
    noise = float(np.sqrt(np.mean(noise_scale(search, root_weight) ** 2))) * float(search.typical.local[row, column])
    left, correlation = search.values[:, rows, columns], noise_covariance(search, rows, columns)
    pattern = sight(panel, x, y, look)
    beside = np.maximum(moved_by_all[rows, columns] - np.abs(moved[-1] - moved[0]), 0.0)
    return Sighting(left, moved, seen, x - panel.x, y - panel.y, pattern, beside, correlation, root_weight, noise)


@dataclass(frozen=True)
class Judged:
    """A declared face as one source sees it."""

    about: Sighting
    face: Declared
    days: Floats
    epochs: pd.DatetimeIndex
    first: pd.Timestamp


def amount_of(about: Sighting, share: Floats, days: Floats, parameters: VerdictParameters) -> tuple[float, float]:
    """Amount of the declared movement that follows a course (T,) (1: as declared), and its standard deviation."""
    values = np.where(about.seen, about.left + about.moved, 0.0)
    level, variance = amplitudes(values, about.seen, share, days, about.root_weight)
    told = variance < 25 * np.quantile(variance, 0.2)
    if told.sum() < parameters.fewest:
        return 0.0, float("inf")
    pattern, sd = about.pattern[told], about.noise * np.sqrt(variance[told])
    solved = solved_for(about, told, sd, parameters)
    size = float(pattern @ solved)
    return float(level[told] @ solved) / size, size**-0.5


def solved_for(about: Sighting, told: Bools, sd: Floats, parameters: VerdictParameters) -> Floats:
    """The pattern of the pixels `told` (N of P), divided by the covariance of their noise of deviation `sd` (N,)."""
    pattern = about.pattern[told]
    covariance = about.correlation[np.ix_(told, told)] * np.outer(sd, sd) + np.diag(parameters.own_noise * sd**2)
    covariance += loose_ground(about.x[told], about.y[told], parameters.ground_share * np.abs(pattern).max() + sd.max())
    wrong = parameters.wrong_beside * about.beside[told]
    apart = np.hypot(np.subtract.outer(about.x[told], about.x[told]), np.subtract.outer(about.y[told], about.y[told]))
    covariance += np.outer(wrong, wrong) * np.exp(-0.5 * (apart / parameters.wrong_reach_m) ** 2)
    return cho_solve(cho_factor(covariance, lower=True), pattern)


def loose_ground(x: Floats, y: Floats, sd: float) -> Floats:
    """Covariance (P, P) of an unknown plane, m2."""
    reach = max(float(np.abs(x).max()), float(np.abs(y).max()), 1.0)
    ground = np.stack([np.ones_like(x), x / reach, y / reach]) * sd
    return ground.T @ ground


def together(amounts: list[tuple[float, float]]) -> tuple[float, float]:
    """Amount and standard deviation of what several sources measured; infinite where none could."""
    known = [(amount, sd) for amount, sd in amounts if np.isfinite(sd)]
    if len(known) < 2:
        return known[0] if known else (0.0, float("inf"))
    weight = np.array([sd**-2 for _, sd in known])
    return float(weight @ [amount for amount, _ in known] / weight.sum()), float(weight.sum() ** -0.5)


def work_nats(seen: list[Judged], parameters: VerdictParameters) -> tuple[float, float, float]:
    """Nats for work as declared against none; the amount and its standard deviation where it began on its day.

    Work may begin late, and amounts to what seams and roofs allow: both are averaged over, so that a face of which
    little falls into the time seen says little.
    """
    late = np.array(parameters.late_days)
    weights = np.exp(-0.5 * (late / parameters.late_sd) ** 2)
    step = np.arange(-3.0, 3.01, 0.25)
    amounts, chances = parameters.amount * np.exp(parameters.amount_ln * step), np.exp(-0.5 * step**2)
    ratio, as_declared = 0.0, (0.0, float("inf"))
    for lag, weight in zip(late, weights / weights.sum(), strict=True):
        told = []
        for one in seen:
            since, length = one.days - one.face.start - lag, max(one.face.stop - one.face.start, 1.0)
            share = settled_share(since, length, parameters.per_year)
            if np.ptp(share) >= parameters.floor:
                told.append(amount_of(one.about, share, one.days, parameters))
        amount, sd = together(told)
        if not np.isfinite(sd):
            ratio += weight
            continue
        still = np.hypot(sd, parameters.floor)
        moved = np.hypot(still, parameters.wrong_share * amounts)
        density = float((chances * np.exp(-0.5 * ((amount - amounts) / moved) ** 2) / moved).sum() / chances.sum())
        none = max(np.exp(-0.5 * (amount / still) ** 2) / still, 1e-300)
        ratio += weight * density / none
        if lag == 0:
            as_declared = (amount, float(still))
    return float(np.log(max(ratio, 1e-300))), *as_declared


def judge_declared(
    tracks: Sequence[Track], moved_by_others: Sequence[Floats], monitor_day: float, parameters: VerdictParameters
) -> list[tuple[str, dict[str, Any]]]:
    """Detections of the declared faces that work, or stopped, in monitored time, each with the name of the first source
    that it rests on; every source that sees a face has its part in one verdict.

    `tracks` hold what every known face leaves; noise is measured there, and a face's own movement added again.
    `moved_by_others` (Y, X) of each: how far faces that nobody declared moved the ground, m.
    """
    known: dict[str, list[tuple[str, Judged]]] = {}
    for track, others in zip(tracks, moved_by_others, strict=True):
        moved = others.copy()
        for face in track.declared:
            moved[face.window] += np.abs(face.moved[-1] - face.moved[0])
        for face in track.declared:
            about = sighting(track.search, face, moved, parameters)
            if about is not None:
                one = Judged(about, face, track.search.movement.days, track.epochs, track.first)
                known.setdefault(face.face_id, []).append((track.name, one))
    rows = []
    for told in known.values():
        seen = [one for _, one in told]
        found = at_work(seen, monitor_day, parameters) + past_stop(seen, monitor_day, parameters)
        rows += [(told[0][0], row) for row in found]
    return rows


def contradicting(tracks: Sequence[Track], parameters: VerdictParameters) -> list[str]:
    """Names of sources in which the ground rises over declared faces where others see it sink: of the other sign.

    Nats are summed over the faces that another source sees sink beyond doubt.
    """
    amounts: dict[str, dict[str, float]] = {}
    for track in tracks:
        still = np.zeros(track.search.known.shape)
        for face in track.declared:
            about = sighting(track.search, face, still, parameters)
            if about is None:
                continue
            since, length = track.search.movement.days - face.start, max(face.stop - face.start, 1.0)
            share = settled_share(since, length, parameters.per_year)
            amount, sd = amount_of(about, share, track.search.movement.days, parameters)
            amounts.setdefault(face.face_id, {})[track.name] = amount / sd
    against = dict.fromkeys((track.name for track in tracks), 0.0)
    for z in amounts.values():
        for name, mine in z.items():
            if any(other > parameters.sinks for one, other in z.items() if one != name):
                against[name] -= float(np.sign(mine)) * mine**2 / 2
    return [name for name, nats in against.items() if nats > parameters.contradicts]


def row_of(
    face: Declared, question: str, first: pd.Timestamp, last: pd.Timestamp, nats: float, told: dict[str, float]
) -> dict[str, Any]:
    """A detection of a declared face."""
    return detection(
        "subsidence",
        first,
        max(first, last),
        nats,
        face.geometry,
        area_m2=float(face.geometry.area),
        mine_id=face.mine_id,
        attributes={"question": question, "face_id": face.face_id, **told},
    )


def at_work(seen: list[Judged], monitor_day: float, parameters: VerdictParameters) -> list[dict[str, Any]]:
    """A face whose movement falls in monitored time, and moved as declared or never."""
    face, origin = seen[0].face, seen[0].first
    monitored = []
    for one in seen:
        length = max(one.face.stop - one.face.start, 1.0)
        share = settled_share(one.days - one.face.start, length, parameters.per_year)
        before = float(np.interp(monitor_day, one.days, share)) if monitor_day > one.days[0] else float(share[0])
        monitored.append(share[-1] - before)
    if max(monitored) <= parameters.least_share:
        return []
    nats, amount, sd = work_nats(seen, parameters)
    if abs(nats) < parameters.least_nats or not np.isfinite(sd):
        return []
    question = "declared_face" if nats > 0 else "declared_face_never_moved"
    first = origin + pd.Timedelta(days=max(face.start, 0.0))
    last = min(max(one.epochs[-1] for one in seen), origin + pd.Timedelta(days=face.stop))
    told = {"amount": round(amount, 3), "amount_sd": round(sd, 3)}
    nats = float(np.clip(-nats, -parameters.most_nats, parameters.most_nats))
    return [row_of(face, question, first, last, nats, told)]


def amounts_by_epoch(about: Sighting, parameters: VerdictParameters) -> tuple[Floats, Floats]:
    """Amount of the declared movement on every epoch (T,), and the standard deviation of its noise; inf where unseen.

    What was fitted to the face is read over its whole bowl, only what is left over the pixels seen: a bowl that loses
    its middle must not seem to jump.
    """
    weight = about.pattern / (about.pattern @ about.pattern)
    left = about.left - np.where(about.seen, about.left, 0.0).sum(axis=0) / np.maximum(about.seen.sum(axis=0), 1)
    amounts, sd = about.moved @ weight, np.full(len(left), np.inf)
    for t, seen in enumerate(about.seen):
        if seen.sum() < parameters.fewest:
            continue
        noise = np.full(int(seen.sum()), about.noise / about.root_weight[t])
        solved = solved_for(about, seen, noise, parameters)
        size = float(about.pattern[seen] @ solved)
        amounts[t] += float(left[t, seen] @ solved) / size
        sd[t] = size**-0.5
    return amounts, sd


def past_stop(seen: list[Judged], monitor_day: float, parameters: VerdictParameters) -> list[dict[str, Any]]:
    """A face that moves again after its stop, beyond every innocent decay."""
    face = max(seen, key=lambda one: one.face.stop).face
    earliest = max(face.stop + parameters.past_days, monitor_day - parameters.past_days / 2)
    told = [(one.days, *amounts_by_epoch(one.about, parameters)) for one in seen]
    told = [(days[after], amounts[after], sd[after]) for days, amounts, sd in told
            if (after := np.isfinite(sd) & (days > face.stop)).sum() >= parameters.fewest]  # fmt: skip
    epochs = np.unique(np.concatenate([one.days for one in seen]))
    starts = epochs[(epochs >= earliest) & (epochs <= epochs[-3])][::2]
    if face.open_end or not len(starts) or not told:
        return []
    source = np.repeat(np.arange(len(told)), [len(days) for days, _, _ in told])
    days, amounts, sd = (np.concatenate(parts) for parts in zip(*told, strict=True))
    sd = np.hypot(sd, parameters.wrong_epoch * np.abs(amounts))
    series = amounts / sd
    kept = innocent_courses(days - face.stop, sd, source, parameters)
    best, best_start, best_amount = 0.0, starts[0], 0.0
    for start in starts:
        course = settled_share(days - start, parameters.past_work_days, parameters.past_rate) / sd
        left = course - kept @ (kept.T @ course)
        size = float(np.sqrt((left**2).sum()))
        if size <= parameters.floor * float(np.sqrt((course**2).sum())):
            continue
        unit = left / size
        found = float(unit @ series)
        rest = series - kept @ (kept.T @ series) - unit * found
        wrong = max(1.0, float(np.sqrt((rest**2).sum() / max(len(days) - kept.shape[1] - 1, 1))))
        if found / wrong > best:
            best, best_start, best_amount = found / wrong, start, found / size
    nats = best**2 / 2 - np.log(len(starts)) - parameters.handicap
    if nats < parameters.least_nats or best_amount < parameters.past_amount:
        return []
    first = seen[0].first + pd.Timedelta(days=float(best_start))
    last, amount = max(one.epochs[-1] for one in seen), {"amount": round(best_amount, 3)}
    return [row_of(face, "declared_face_past_stop", first, last, min(parameters.most_nats, float(nats)), amount)]


def innocent_courses(since_stop: Floats, sd: Floats, source: Sources, parameters: VerdictParameters) -> Floats:
    """Orthonormal courses (T, K) that span every decay after a stop, divided by the noise `sd` (T,).

    Each `source` (T,), numbered from 0, has an offset of its own.
    """
    rates = np.array(parameters.decays)[:, None] / DAYS_PER_YEAR
    offsets = (source == np.arange(source.max() + 1)[:, None]).astype(float)
    decays = np.vstack([offsets, np.exp(-rates * since_stop)]) / sd
    left, size, _ = np.linalg.svd(decays.T, full_matrices=False)
    return left[:, size > parameters.alike * size[0]]
