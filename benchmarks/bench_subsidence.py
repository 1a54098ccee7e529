"""Screening displacement at size: seconds of one core, wall seconds, peak memory, and how they grow with the scene.

    python benchmarks/bench_subsidence.py [SIDE_KM ...]

Scenes of 60 epochs at 30 m without a face in them, put together as they are read, each in a process of its own; what a
scene of 100 x 100 km takes is reckoned from each by the pixels that its tiles look at, margins included. The air of
every block is that of one, begun elsewhere, so that it costs next to nothing to make.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from functools import cache

import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr
from scipy import fft

from illegalmining.detect.subsidence import detect_subsidence
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.tiles import tiles_of
from illegalmining.journal import peak_memory

PIXEL_M, EPOCHS, BLOCK_PX = 30.0, 60, 500
AIR_M, GRAIN_M = 0.007, 0.002
WHOLE_KM, CORES = 100.0, 2


@cache
def air() -> np.ndarray:
    """Air and grain of one block on all epochs, m, whose sides fit together."""
    rng = np.random.default_rng(1)
    k = np.hypot(fft.fftfreq(BLOCK_PX)[:, None], fft.rfftfreq(BLOCK_PX)[None])
    k[0, 0] = np.inf
    out = np.empty((EPOCHS, BLOCK_PX, BLOCK_PX), np.float32)
    for t in range(EPOCHS):
        field = fft.irfft2(fft.rfft2(rng.standard_normal((BLOCK_PX, BLOCK_PX))) * k ** (-4 / 3), (BLOCK_PX, BLOCK_PX))
        out[t] = AIR_M * field / field.std() + GRAIN_M * rng.standard_normal((BLOCK_PX, BLOCK_PX))
    return out


def block(block_info: dict | None = None) -> np.ndarray:
    """The air over one block: that of every other, begun elsewhere."""
    assert block_info is not None
    (_, (top, bottom), (left, right)) = block_info[None]["array-location"]
    begin = np.random.default_rng([top, left]).integers(0, BLOCK_PX, 2)
    return np.roll(air(), begin, axis=(1, 2))[:, : bottom - top, : right - left]


def looked_at(side_km: float) -> float:
    """Pixels that the tiles of a scene look at, their margins counted as often as they are."""
    side, parameters = round(1000 * side_km / PIXEL_M), SubsidenceParameters()
    spans = (round(length / PIXEL_M) for length in (parameters.tile_m, parameters.margin_m))
    return sum(math.prod(part.stop - part.start for part in tile.whole) for tile in tiles_of((side, side), *spans))


def screen(side_km: float) -> None:
    """Judge one scene and print what it took."""
    side = round(1000 * side_km / PIXEL_M)
    chunks = da.core.normalize_chunks((EPOCHS, BLOCK_PX, BLOCK_PX), (EPOCHS, side, side), dtype=np.float32)
    moved = da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    at = np.arange(side) * PIXEL_M
    cube = xr.Dataset(
        {"displacement": (("time", "y", "x"), moved)},
        coords={"time": pd.date_range("2024-01-01", periods=EPOCHS, freq="12D"), "y": 4e6 - at, "x": 5e5 + at},
        attrs={"incidence_angle": 39.0, "azimuth_angle": 281.0},
    ).rio.write_crs("EPSG:32649")
    air()
    begun, wall = time.process_time(), time.perf_counter()
    found = detect_subsidence(cube, None, "2024-01-01", "2025-01-01", "2025-12-31").detections
    seconds, wall = time.process_time() - begun, time.perf_counter() - wall
    whole = looked_at(WHOLE_KM) / looked_at(side_km)
    print(
        f"{side_km:6.0f} km {side**2 / 1e6:6.2f} Mpx, {looked_at(side_km) / 1e6:6.2f} with margins  "
        f"{seconds:7.1f} s of one core  {wall:7.1f} s wall on {CORES}  "
        f"{peak_memory() / 2**30:5.2f} GiB  {len(found)} found; {WHOLE_KM:.0f} x {WHOLE_KM:.0f} km: "
        f"{whole * seconds / 60:.1f} min of one core, {whole * wall / 60:.1f} min wall",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        screen(float(sys.argv[2]))
    else:
        for word in sys.argv[1:] or ["15", "30"]:
            subprocess.run([sys.executable, __file__, "--one", word], check=True)
