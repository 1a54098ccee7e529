"""Which pixels a region is made of, in one pass: nearly all of a district has nothing to join and is gone over once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illegalmining.detect.kernels import Days, Floats, kernel

ENCLOSED = 6
"""Of the nine pixels around and including a judged one, how many join by themselves where it belongs to them."""

Flags = npt.NDArray[np.bool_]


@kernel
def joined_kernel(
    evidence: Floats,
    dates: Days,
    grow: float,
    seed: float,
    most: float,
    quiet: float,
    fewest: int,
    joining: Flags,
    member: Flags,
    seeds: Flags,
) -> None:
    """Fill `member` and `seeds`, (Y, X), from `evidence`, nats, NaN where not judged, and `dates`; all are given blank.

    A pixel joins with `grow` nats on `fewest` dates, and is a member where the mean of the judged pixels around it,
    none above `most`, those without evidence at -`quiet`, is above 0; a seed where that is `seed` or more. joining:
    room to work in.
    """
    height, width = evidence.shape
    for y in range(height):
        for x in range(width):
            joining[y, x] = evidence[y, x] >= grow and dates[y, x] >= fewest
    for y in range(height):
        top, bottom = max(y - 1, 0), min(y + 2, height)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 2, width)
            company = 0
            for row in range(top, bottom):
                for column in range(left, right):
                    company += joining[row, column]
            if company == 0 or not (joining[y, x] or (company >= ENCLOSED and np.isfinite(evidence[y, x]))):
                continue
            total, judged = 0.0, 0
            for row in range(top, bottom):
                for column in range(left, right):
                    nats = evidence[row, column]
                    if np.isfinite(nats):
                        judged += 1
                        total += min(nats, most) if nats > 0 and dates[row, column] >= fewest else -quiet
            member[y, x] = total > 0
            seeds[y, x] = total > 0 and total >= seed * judged
