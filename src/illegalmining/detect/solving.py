"""Nonlinear least squares, as SciPy solves them.

Imported when first asked for: it takes a third of a second, which a night without new movement can spare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def least_squares(misfit: Callable[..., Any], begin: Any, *jacobian: Any, **options: Any) -> Any:
    """See `scipy.optimize.least_squares`."""
    from scipy.optimize import least_squares as solve

    return solve(misfit, begin, *jacobian, **options)
