"""How sure a fitted face is: draws from what the data and the priors leave open.

The posterior of a face bends and may have several tops: it may advance from either end, its length trades with the
thickness, and the longer side of what is dug need not be the one it advances along. No single normal about the best
fit covers that. So every optimum of the search gives a t distribution, their mixture is drawn from, and every draw
weighs what its own misfit says (importance sampling; later rounds are drawn from the moments of those before).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from illegalmining.detect.face_fit import FittedFace, Problem
from illegalmining.detect.pim import Floats

AZIMUTH = 2
"""Place of the azimuth, in radians, among a fit's parameters."""


@dataclass(frozen=True)
class DrawParameters:
    """How a posterior is drawn from.

    rounds: draws of each round. freedom: degrees of freedom of the t distributions. wider: their scale over that of an
    optimum, or of the draws so far. likely: nats below the best within which an optimum counts. apart: squared
    distance, in an optimum's precision, within which another is the same. even: share of the first round's draws that
    is dealt evenly. clipped: draws that the heaviest weights are clipped to, when moments are taken. fewest, least:
    draws and weight of a direction of advance for its moments to be taken. seed: of the draws, so that the same data
    give the same.
    """

    rounds: tuple[int, ...] = (400, 400, 400, 400, 400)
    freedom: float = 6.0
    wider: float = 1.2
    likely: float = 8.0
    apart: float = 6.0
    even: float = 0.2
    clipped: int = 12
    fewest: int = 40
    least: float = 0.02
    seed: int = 20240101


@dataclass(frozen=True)
class Drawn:
    """Draws (N,) of what is dug of a face by a day, and their weights, which sum to one.

    x, y: m in the CRS. azimuth_deg: of the longer side. length_m, width_m: longer and shorter side. radius_m, w0_m.
    volume_m3. start: day. advance_m_day.
    """

    weight: Floats
    x: Floats
    y: Floats
    azimuth_deg: Floats
    length_m: Floats
    width_m: Floats
    radius_m: Floats
    w0_m: Floats
    volume_m3: Floats
    start: Floats
    advance_m_day: Floats

    def quantiles(self, name: str, shares: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Floats:
        """Quantiles of a measure; those of the azimuth about its mean direction."""
        values = getattr(self, name)
        if name == "azimuth_deg":
            twice = np.angle((self.weight * np.exp(2j * np.deg2rad(values))).sum())
            middle = float(np.rad2deg(twice) / 2 % 180)
            values = middle + (values - middle + 90) % 180 - 90
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(self.weight[order]) - self.weight[order] / 2
        return np.interp(shares, reached, values[order])

    def sd(self, name: str) -> float:
        """Standard deviation of a measure that is not an angle."""
        values = getattr(self, name)
        return float(np.sqrt(self.weight @ (values - self.weight @ values) ** 2))


@dataclass(frozen=True)
class Top:
    """One t distribution of a mixture. middle: (10,). precision: (10, 10). direction of advance. share of the draws."""

    middle: Floats
    precision: Floats
    direction: int
    share: float

    def draw(self, rng: np.random.Generator, count: int, freedom: float) -> Floats:
        """Draws (count, 10)."""
        size = len(self.middle)
        spread = np.linalg.cholesky(np.linalg.inv(self.precision))
        stretch = np.sqrt(rng.chisquare(freedom, (count, 1)) / freedom)
        return self.middle + rng.standard_normal((count, size)) @ spread.T / stretch

    def log_density(self, at: Floats, freedom: float) -> Floats:
        """Logarithm of the density (N,)."""
        size = len(self.middle)
        away = np.einsum("ni,ij,nj->n", at - self.middle, self.precision, at - self.middle)
        scale = gammaln((freedom + size) / 2) - gammaln(freedom / 2) - size / 2 * np.log(freedom * np.pi)
        volume = np.linalg.slogdet(self.precision)[1] / 2
        return scale + volume - (freedom + size) / 2 * np.log1p(away / freedom)


@dataclass(frozen=True)
class Round:
    """Draws (N, 10), the direction of advance (N,) of each, and the logarithm of their posterior (N,)."""

    at: Floats
    direction: npt.NDArray[np.intp]
    log_posterior: Floats

    @staticmethod
    def of(face: FittedFace, tops: list[Top], count: int, rng: np.random.Generator, freedom: float) -> Round:
        """`count` draws from a mixture."""
        counts = rng.multinomial(count, [top.share for top in tops])
        at = np.concatenate([top.draw(rng, n, freedom) for top, n in zip(tops, counts, strict=True)])
        direction = np.repeat([top.direction for top in tops], counts)
        problems = {optimum.problem.direction: optimum.problem for optimum in face.optima}
        posterior = [log_posterior(problems[d], p) for d, p in zip(direction, at, strict=True)]
        return Round(at, direction, np.array(posterior))

    def and_also(self, other: Round) -> Round:
        """Both."""
        parts = ("at", "direction", "log_posterior")
        return Round(*(np.concatenate([getattr(self, part), getattr(other, part)]) for part in parts))

    def weights(self, tops: list[Top], freedom: float) -> Floats:
        """Weights (N,) of draws from a mixture, which sum to one."""
        density = np.full(len(self.at), -np.inf)
        for top in tops:
            mine = self.direction == top.direction
            more = np.log(top.share) + top.log_density(self.at[mine], freedom)
            density[mine] = np.logaddexp(density[mine], more)
        weight = np.exp(self.log_posterior - density - (self.log_posterior - density).max())
        return weight / weight.sum()


def log_posterior(problem: Problem, p: Floats) -> float:
    """Logarithm of the posterior of a problem's parameters, but for a constant."""
    return -0.5 * float((problem.misfit(p) ** 2).sum())


def optima_apart(face: FittedFace, parameters: DrawParameters) -> list[Top]:
    """The likely optima that differ, each with its share of the evidence (Laplace), some of it dealt evenly."""
    kept: list[Top] = []
    best = min(optimum.cost for optimum in face.optima)
    for optimum in sorted(face.optima, key=lambda one: one.cost):
        if optimum.cost - best > parameters.likely:
            continue
        precision = optimum.precision
        same = any(
            top.direction == optimum.problem.direction
            and (off := apart(optimum.p, top.middle)) @ top.precision @ off < parameters.apart
            for top in kept
        )
        if not same:
            evidence = (best - optimum.cost) - np.linalg.slogdet(precision)[1] / 2
            kept.append(Top(optimum.p, precision, optimum.problem.direction, float(evidence)))
    evidence = np.array([top.share for top in kept])
    share = np.exp(evidence - evidence.max())
    share = (1 - parameters.even) * share / share.sum() + parameters.even / len(kept)
    narrower = parameters.wider**-2
    return [
        Top(top.middle, top.precision * narrower, top.direction, float(part))
        for top, part in zip(kept, share, strict=True)
    ]


def apart(p: Floats, q: Floats) -> Floats:
    """Difference of parameters (..., 10), the azimuth's the shortest way round."""
    off = p - q
    off[..., AZIMUTH] = (off[..., AZIMUTH] + np.pi / 2) % np.pi - np.pi / 2
    return off


def moments(seen: Round, weight: Floats, parameters: DrawParameters) -> list[Top]:
    """What a round says of each direction of advance: its mean and spread, heavy weights held back."""
    tops = []
    for direction in (1, -1):
        mine = seen.direction == direction
        total = float(weight[mine].sum())
        if total < parameters.least or mine.sum() < parameters.fewest:
            continue
        held = np.sqrt(np.minimum(weight[mine], 3 * np.sort(weight[mine])[-parameters.clipped]))
        held /= held.sum()
        middle = seen.at[mine][seen.log_posterior[mine].argmax()]
        off = apart(seen.at[mine], middle)
        mean = held @ off
        spread = ((off - mean) * held[:, None]).T @ (off - mean)
        precision = np.linalg.inv(spread + 1e-9 * np.eye(len(mean))) / parameters.wider**2
        tops.append(Top(middle + mean, precision, direction, total))
    whole = sum(top.share for top in tops)
    return [Top(top.middle, top.precision, top.direction, top.share / whole) for top in tops]


def drawn(face: FittedFace, day: float, origin: tuple[float, float], parameters: DrawParameters) -> Drawn:
    """Draws of what is dug of a face by `day`; `origin` is where the window's x and y are 0, in the CRS."""
    rng = np.random.default_rng(parameters.seed)
    tops, drawn_from = optima_apart(face, parameters), list[Top]()
    seen: Round | None = None
    weight: Floats = np.zeros(0)
    for count in parameters.rounds:
        if seen is not None:
            tops = moments(seen, weight, parameters)
        fresh = Round.of(face, tops, count, rng, parameters.freedom)
        seen = fresh if seen is None else seen.and_also(fresh)
        drawn_from += [replace(top, share=top.share * count) for top in tops]
        weight = seen.weights(drawn_from, parameters.freedom)
    assert seen is not None, "there is a first round"
    return dug_of(seen, weight, face.optima[0].problem.start, day, origin)


def dug_of(seen: Round, weight: Floats, start: float, day: float, origin: tuple[float, float]) -> Drawn:
    """The measures of what is dug by `day`, at least a hundredth of each face."""
    azimuth, begun = seen.at[:, AZIMUTH], start + 30 * seen.at[:, 9]
    length, width, radius, w0, duration = np.exp(np.clip(seen.at[:, 3:8], -5.0, 8.0)).T
    share = np.clip((day - begun) / duration, 0.01, 1.0)
    off, dug = -seen.direction * (1 - share) * length / 2, share * length
    return Drawn(
        weight,
        origin[0] + 100 * seen.at[:, 0] + off * np.sin(azimuth),
        origin[1] + 100 * seen.at[:, 1] + off * np.cos(azimuth),
        (np.rad2deg(azimuth) + np.where(width > dug, 90.0, 0.0)) % 180,
        np.maximum(dug, width),
        np.minimum(dug, width),
        radius,
        w0,
        dug * width * w0,
        begun,
        length / duration,
    )
