"""How kernels are compiled, and in what portions they work."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.int32]

LANES = 128
"""Pixels worked on together: long enough for vector instructions to pay, short enough to stay in cache."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""Liberties the compiler may take; it must still know NaN."""

kernel = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
"""Compiles a whole kernel, once a machine; with Python's own rule for x / 0, no division would be vectorised."""

part = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", inline="always")
"""A kernel's part, put into the kernel before it is compiled.

A part compiled as a function of its own would be that of its own module in the process that compiles, and the kernel's
copy of it in every process that finds the kernel on disk: two machine codes, whose sums round apart. Nor would its
loops be vectorised: only within the kernel does the compiler know that arrays do not overlap, and only while they are
allocated one by one (`a, b = np.zeros((2, n))` gives strided views).
"""
