"""Screening displacement at size: seconds of one core, wall seconds, peak memory, and how they grow with the scene.

    python benchmarks/bench_subsidence.py [SIDE_KM ...]

Scenes of 60 epochs at 30 m without a face in them, made as they are read, each in a process of its own; what a scene
of 100 x 100 km takes on two cores is reckoned from the largest. Air is made by filtering white noise in each block.
"""

from __future__ import annotations

import subprocess
import sys
import time

import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr
from scipy import fft

from illegalmining.detect.subsidence import detect_subsidence
from illegalmining.journal import peak_memory

PIXEL_M, EPOCHS, BLOCK_PX = 30.0, 60, 500
AIR_M, GRAIN_M = 0.007, 0.002
WHOLE_KM, CORES = 100.0, 2


def block(block_info: dict | None = None) -> np.ndarray:
    """Air and grain of one block on all epochs, m."""
    assert block_info is not None
    (_, (top, bottom), (left, right)) = block_info[None]["array-location"]
    rng = np.random.default_rng([top, left])
    rows, columns = bottom - top, right - left
    k = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None])
    k[0, 0] = np.inf
    out = np.empty((EPOCHS, rows, columns), np.float32)
    for t in range(EPOCHS):
        field = fft.irfft2(fft.rfft2(rng.standard_normal((rows, columns))) * k ** (-4 / 3), (rows, columns))
        out[t] = AIR_M * field / field.std() + GRAIN_M * rng.standard_normal((rows, columns))
    return out


def screen(side_km: float) -> None:
    """Judge one scene and print what it took, the making of the scene taken off."""
    side = round(1000 * side_km / PIXEL_M)
    chunks = da.core.normalize_chunks((EPOCHS, BLOCK_PX, BLOCK_PX), (EPOCHS, side, side), dtype=np.float32)
    moved = da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    at = np.arange(side) * PIXEL_M
    cube = xr.Dataset(
        {"displacement": (("time", "y", "x"), moved)},
        coords={"time": pd.date_range("2024-01-01", periods=EPOCHS, freq="12D"), "y": 4e6 - at, "x": 5e5 + at},
        attrs={"incidence_angle": 39.0, "azimuth_angle": 281.0},
    ).rio.write_crs("EPSG:32649")
    begun = time.process_time()
    moved.map_blocks(lambda part: part[:1, :1, :1], chunks=(1, 1, 1), dtype=np.float32).compute(scheduler="sync")
    making, begun, wall = time.process_time() - begun, time.process_time(), time.perf_counter()
    found = detect_subsidence(cube, None, "2024-01-01", "2025-01-01", "2025-12-31").detections
    seconds = time.process_time() - begun - making
    whole = seconds * (WHOLE_KM / side_km) ** 2
    print(
        f"{side_km:6.0f} km {side**2 / 1e6:6.2f} Mpx  {seconds:7.1f} s of one core  "
        f"{time.perf_counter() - wall:7.1f} s wall  {peak_memory() / 2**30:5.2f} GiB  {len(found)} found; "
        f"{WHOLE_KM:.0f} x {WHOLE_KM:.0f} km: {whole:.0f} s of one core, {whole / CORES / 60:.1f} min on {CORES}",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        screen(float(sys.argv[2]))
    else:
        for word in sys.argv[1:] or ["6", "15"]:
            subprocess.run([sys.executable, __file__, "--one", word], check=True)
