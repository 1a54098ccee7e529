"""Speed of the surface detector's kernels beside a bare normal-equation kernel, the memory's own speed, and the peers.

One process, two threads, float32. A "pixel-date" is one date of one pixel with all its bands; per band is that times
the number of bands. Run `python benchmarks/bench_surface.py`; give `--peer PYTHON` (an interpreter of an environment
with nrt, pyxccd or bfast; bfast 0.7 needs numpy below 1.24 and pyopencl) to time peers on such series in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from illegalmining.detect.baseline import BaselineParameters, fit, fit_with, season
from illegalmining.detect.monitor import MonitorParameters, update
from illegalmining.detect.noise import noise, weather
from illegalmining.detect.watch import unwatched

THREADS = 2
SIDE = 128
HISTORY, NEW = 110, 30


def synthetic(bands: int, tiles: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Days, and tiles (T, K, P) of seasonal series with noise and a third of the dates missing."""
    generator = np.random.default_rng(1)
    days = np.arange(HISTORY + NEW) * 10.0
    wave = np.cos(2 * np.pi * days / 365.25)[:, None, None]
    made = []
    for _ in range(tiles):
        noise_ = generator.standard_normal((len(days), bands, SIDE * SIDE), np.float32) * np.float32(0.1)
        values = (noise_ + 0.5 * wave - 1.5).astype(np.float32)
        values[np.broadcast_to(generator.random((len(days), 1, SIDE * SIDE)) < 0.33, values.shape)] = np.nan
        made.append(values)
    return days, made


def bare(values: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Least squares by normal equations, once, no robustness, no covariance: what a fit cannot do without."""
    ridge = np.full(design.shape[1], 1e-3, np.float32)
    nothing = np.zeros((values.shape[1], design.shape[1]), np.float32)
    return fit_with(values, design, ridge, nothing, BaselineParameters(rounds=1))[0]


def timed(work: Callable[[int], object], count: int) -> float:
    """Seconds for `work(0..count-1)` on the threads, best of three, after one warm-up."""
    work(0)
    best = np.inf
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(work, range(count)))
            best = min(best, time.perf_counter() - start)
    return best


def report(bands: int, tiles: int) -> None:
    """Times one case."""
    days, made = synthetic(bands, tiles)
    design = season(days, 2)
    past, new = slice(0, HISTORY), slice(HISTORY, None)
    histories = [np.ascontiguousarray(values[past]) for values in made]
    parameters, watched = BaselineParameters(), MonitorParameters()
    fits = [fit(history, design[past], parameters) for history in histories]
    shared = [weather(v, design, f[0], f[2], parameters) for v, f in zip(made, fits, strict=True)]
    bases = [noise(h, design[past], s[0][past], f, parameters) for h, s, f in zip(histories, shared, fits, strict=True)]
    states = [unwatched(SIDE * SIDE, bands) for _ in made]
    fresh = [np.ascontiguousarray(values[new]) for values in made]

    def whole(i: int) -> object:
        fitted = fit(histories[i], design[past], parameters)
        offset, _ = weather(histories[i], design[past], fitted[0], fitted[2], parameters)
        return noise(histories[i], design[past], offset, fitted, parameters)

    def follow(i: int) -> None:
        common = shared[i][0][new], shared[i][1][new]
        update(states[i], fresh[i], design[new], days[new].astype(np.int32), common, bases[i], 3.0, watched)

    def follow_each(i: int) -> None:
        for t in range(HISTORY, HISTORY + NEW):
            now = slice(t, t + 1)
            common = shared[i][0][now], shared[i][1][now]
            update(states[i], made[i][now], design[now], days[now].astype(np.int32), common, bases[i], 3.0, watched)

    def copy(i: int) -> object:
        return histories[i].copy()

    rates: dict[str, float] = {}
    pixel_dates = {"history": tiles * HISTORY * SIDE * SIDE, "new": tiles * NEW * SIDE * SIDE}
    for name, work, kind in (
        ("copy of the data", copy, "history"),
        ("bare normal equations", lambda i: bare(histories[i], design[past]), "history"),
        ("robust fit", lambda i: fit(histories[i], design[past], parameters), "history"),
        ("robust fit, noise and weather", whole, "history"),
        ("update, 30 dates at once", follow, "new"),
        ("update, date by date", follow_each, "new"),
    ):
        rate = pixel_dates[kind] / timed(work, tiles) / 1e6
        rates[name] = rate
        beside = f"{rate / rates['bare normal equations']:6.0%} of bare" if "bare normal equations" in rates else ""
        print(f"{bands} band(s)  {name:32s} {rate:8.1f} M pixel-dates/s {rate * bands:8.1f} M per band {beside}")


def peer(interpreter: str) -> None:
    """Times whatever peers an environment has, on one tile; S-CCD gets six bands, the others the first of them."""
    days, made = synthetic(6, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npz"
        np.savez(path, values=made[0] * 0.05 + 0.3, days=days.astype(int) + 17000, history=HISTORY)
        command = [interpreter, str(Path(__file__).parent / "peer_surface.py"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        name, *figures = line.split("|")
        if len(figures) == 2:
            fitted, updated = map(float, figures)
            print(f"peer {name:14} fit {fitted:9.4f}, update {updated:9.5f} M pixel-dates/s", flush=True)
        elif figures:
            print(f"peer {line}", flush=True)
    if done.returncode:
        print(f"peers of {interpreter} could not be run: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--peer", action="append", default=[], help="interpreter of an environment with peers")
    given = arguments.parse_args()
    for case in ((1, 8), (6, 4)):
        report(*case)
    for interpreter in given.peer:
        peer(interpreter)
    if not given.peer:
        print("peers: not timed; give --peer PYTHON of an environment that has nrt, pyxccd or bfast", file=sys.stderr)
