"""Densities of days under a multivariate t, with blocks of hours added by an unknown amount.

Whatever is added is many: tens of blocks a day, and each day is looked at tens of times. So densities are kept as they
are, over a scale of each day's own, and no logarithm is taken of any but their sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaled:
    """densities: (n, K) of each day with each block, over exp(scale), (n,)."""

    densities: Floats
    scale: Floats

    def log_mean(self, weights: Floats | None = None) -> Floats:
        """Log of each day's mean density over the blocks, (n,); weights: (K,), which sum to one."""
        mean = self.densities.mean(axis=1) if weights is None else np.einsum("nk,k->n", self.densities, weights)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean) + self.scale)


def both(left: Scaled, right: Scaled, share: float = 1.0) -> Scaled:
    """The sum of two densities block by block, the second in part."""
    scale = np.maximum(left.scale, right.scale)
    first, second = np.exp(left.scale - scale), share * np.exp(right.scale - scale)
    return Scaled(left.densities * first[:, None] + right.densities * second[:, None], scale)


class Quadratic:
    """Days under one multivariate t: how far they lie, and how far once a block of work is taken away."""

    def __init__(self, away: Floats, spread: Floats, tail: float) -> None:
        width = away.shape[1]
        self.inverse = np.asarray(np.linalg.inv(spread), dtype=np.float64)
        self.bent = times(away, self.inverse)
        self.far = np.einsum("nb,nb->n", self.bent, away)
        self.power = (tail + width) / 2
        self.tail = tail
        self.constant = (
            gammaln(self.power)
            - gammaln(tail / 2)
            - 0.5 * width * np.log(tail * np.pi)
            - 0.5 * np.linalg.slogdet(spread)[1]
        )

    def plain(self) -> Floats:
        """Log density, (n,)."""
        return np.asarray(self.constant - self.power * np.log1p(self.far / self.tail))

    def with_normal(self, shapes: Floats, mean: float, sd: float) -> Scaled:
        """Each block (K, b) added by a normal amount: the spread grows by a rank of one."""
        across = np.ascontiguousarray(shapes.T)
        size = sizes(across, self.inverse)
        along = times(self.bent, across) - mean * size
        far = self.far[:, None] - mean * (2 * along + mean * size) - along**2 / (1 / sd**2 + size)
        weights = np.broadcast_to(1 / np.sqrt(1 + sd**2 * size), far.shape).copy()
        return self.scaled(np.maximum(far, 0.0), weights)

    def with_block(self, shapes: Floats, amounts: tuple[float, float]) -> Scaled:
        """Each block (K, b) added by an unknown amount.

        The amount is integrated out (Laplace) under a prior flat in its logarithm between `amounts`.
        """
        across = np.ascontiguousarray(shapes.T)
        return self.scaled(*left_by_blocks(self.bent, self.far, across, sizes(across, self.inverse), *amounts))

    def scaled(self, left: Floats, weights: Floats) -> Scaled:
        """Densities of days that lie so far (n, K), each by its weight, which is overwritten."""
        nearest = powers(left, weights, self.power, self.tail)
        return Scaled(weights, np.asarray(self.constant - self.power * np.log1p(nearest / self.tail)))


# Loops over days and blocks are compiled: they are the cost of judging a mine, and small matrix products would
# otherwise wake a pool of threads for each. The innermost runs over blocks, without a branch, to be vectorised.


@njit(cache=True)
def times(rows: Floats, matrix: Floats) -> Floats:
    """(n, b) by (b, k)."""
    count, width = rows.shape
    out = np.zeros((count, matrix.shape[1]))
    for n in range(count):
        for b in range(width):
            for k in range(matrix.shape[1]):
                out[n, k] += rows[n, b] * matrix[b, k]
    return out


@njit(cache=True)
def sizes(across: Floats, inverse: Floats) -> Floats:
    """How far each block (b, K) lies from nothing by itself, squared, (K,)."""
    width, blocks = across.shape
    out = np.zeros(blocks)
    for b in range(width):
        for c in range(width):
            for k in range(blocks):
                out[k] += across[b, k] * inverse[b, c] * across[c, k]
    return out


@njit(cache=True)
def left_by_blocks(
    bent: Floats, far: Floats, across: Floats, size: Floats, least: float, most: float
) -> tuple[Floats, Floats]:
    """How far days lie once the amount of each block that suits them best is taken away, and its weight, (n, K)."""
    days, (width, blocks) = len(bent), across.shape
    left, weights = np.empty((days, blocks)), np.empty((days, blocks))
    room = np.sqrt(2 * np.pi / size) / np.log(most / least)
    along, best = np.empty(blocks), 1 / size
    for n in range(days):
        along[:] = 0.0
        for b in range(width):
            for k in range(blocks):
                along[k] += bent[n, b] * across[b, k]
        for k in range(blocks):
            amount = max(min(along[k] * best[k], most), least)
            left[n, k] = max(far[n] - 2 * amount * along[k] + amount * amount * size[k], 0.0)
            weights[n, k] = min(room[k] / amount, 1.0)
    return left, weights


@njit(cache=True)
def powers(left: Floats, weights: Floats, power: float, tail: float) -> Floats:
    """Multiply weights (n, K) by the kernel of t at `left` (n, K), relative to each day's nearest block; give how far
    that lies, (n,). Where twice the power is whole, as for whole degrees of freedom, squaring does for `**`."""
    days, blocks = left.shape
    nearest, ratio = np.empty(days), np.empty(blocks)
    halves = int(2 * power + 0.5)
    for n in range(days):
        nearest[n] = left[n].min()
        for k in range(blocks):
            ratio[k] = (tail + nearest[n]) / (tail + left[n, k])
        if halves != 2 * power:
            for k in range(blocks):
                weights[n, k] *= ratio[k] ** power
            continue
        onward = halves
        if onward % 2:
            for k in range(blocks):
                weights[n, k] *= np.sqrt(ratio[k])
        onward //= 2
        while onward > 0:
            if onward % 2:
                for k in range(blocks):
                    weights[n, k] *= ratio[k]
            for k in range(blocks):
                ratio[k] *= ratio[k]
            onward //= 2
    return nearest
