"""Everything a run imports and loads before it reads anything, for the process that districts' processes are forks of.

No thread may be started here, because a fork has none but its own.
"""

from __future__ import annotations

import dask.distributed  # noqa: F401
import h5netcdf.legacyapi  # noqa: F401
import numpy as np
import odc.geo.xr  # noqa: F401
import pandera.strategies.pandas_strategies  # noqa: F401
import PIL.Image  # noqa: F401
import pyarrow.dataset  # noqa: F401
import pyogrio  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import illegalmining.pipelines.nightly  # noqa: F401
from illegalmining.detect.joined_pixels import joined_kernel
from illegalmining.detect.moved_seasons import before_kernel, waves_kernel


def load_kernels() -> None:
    """Load Numba, and the kernels that are run where the command is given and not on a worker."""
    flags, none = np.zeros((1, 1), bool), np.zeros((0, 1))
    joined_kernel(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int32), 3.0, 4.0, 30.0, 1.0, 3, flags, flags, flags)
    waves_kernel(none, np.zeros((0, 0, 1)), none, np.zeros(1), none)
    before_kernel(none, none[:, 0], none, none[:, 0], none[:, 0], np.zeros(1), 10.0, none)


load_kernels()
