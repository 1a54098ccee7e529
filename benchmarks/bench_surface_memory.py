"""Peak memory of the surface detector on a cube larger than it may hold, against the block in hand.

The cube is made block by block while it is read, as images are; one worker. Run
`python benchmarks/bench_surface_memory.py [PIXELS_A_SIDE]`; the default, 1536, is 8 GB of float32.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr

from illegalmining.detect.surface import BANDS, detect_surface
from illegalmining.monitoring import MonitoringArchive

BLOCK, DATES, HISTORY = 256, 140, 110


def block(block_info: dict | None = None, level: float = 0.1) -> np.ndarray:
    """Noise about a level, the same every time."""
    location = block_info[None]["array-location"]
    generator = np.random.default_rng([span[0] for span in location])
    values = generator.standard_normal([end - start for start, end in location], np.float32)
    values *= 0.05 * level
    values += level
    return values


def cube(side: int) -> xr.Dataset:
    """Five bands, history in pieces of 16 dates and every later date by itself, as sources are opened."""
    past = [16] * (HISTORY // 16) + [HISTORY % 16]
    chunks = ((*past, *(1,) * (DATES - HISTORY)), *((BLOCK,) * (side // BLOCK),) * 2)
    days = pd.date_range("2023-01-01", periods=DATES, freq="10D")
    data = {}
    for at, name in enumerate(BANDS):
        lazy = da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32), level=at + 1)
        data[name] = (("time", "y", "x"), lazy * np.float32(0.05))
    grid = {"y": 4e6 - 10.0 * np.arange(side), "x": 5e5 + 10.0 * np.arange(side)}
    return xr.Dataset(data, coords={"time": days, **grid}).rio.write_crs("EPSG:4546")


def peak() -> float:
    """The most memory the process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 1536
    made = cube(side)
    times = pd.DatetimeIndex(made.time.values)
    with dask.config.set(scheduler="threads", num_workers=1), tempfile.TemporaryDirectory() as folder:
        inputs = {int(day): str(day) for day in times.values.astype("datetime64[D]").astype(int)}
        small = made.isel(y=slice(0, 64), x=slice(0, 64))
        detect_surface(small, times[0], times[HISTORY], times[-1])
        begun, before = time.perf_counter(), peak()
        archive = MonitoringArchive(Path(folder), inputs, "memory")
        detect_surface(made, times[0], times[HISTORY], times[-1], archive=archive)
        in_hand = 4.0 * len(BANDS) * DATES * BLOCK**2
        total, grown = 4.0 * len(BANDS) * DATES * side**2, peak() - before
    print(
        f"cube {total / 1e9:.1f} GB, block in hand {in_hand / 1e6:.0f} MB, memory grown by {grown / 1e6:.0f} MB: "
        f"{grown / in_hand:.2f} blocks, in {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
