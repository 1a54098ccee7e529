"""Densities, in closed form.

`scipy.stats` has them too, but half a second of every command goes by while it is imported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln


def student_log_density(at: npt.ArrayLike, tail: float) -> npt.NDArray[np.float64]:
    """Log density of Student's t distribution with `tail` degrees of freedom."""
    peak = gammaln((tail + 1) / 2) - gammaln(tail / 2) - 0.5 * np.log(np.pi * tail)
    return np.asarray(peak - (tail + 1) / 2 * np.log1p(np.square(at) / tail))
