"""Speed of the surface detector's kernels beside a bare normal-equation kernel, the memory's own speed, and the peers.

One process, two threads, float32. A "pixel-date" is one date of one pixel with all its bands; per band is that times
the number of bands. Run `python benchmarks/bench_surface.py`; give `--peer PYTHON` (an interpreter of an environment
with nrt, pyxccd or bfast; once for each environment) to time peers on such series in the same run. bfast 0.7 is built
without isolation beside setuptools below 60, numpy below 1.24, pandas below 2 and pyopencl below 2024, and wants an
OpenCL for the processor (Debian's pocl-opencl-icd).
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

from illegalmining.detect.baseline import BaselineParameters, doubled, fit, pairs_of, season, whole_quads
from illegalmining.detect.kernels import LANES, kernel
from illegalmining.detect.monitor import MonitorParameters, update
from illegalmining.detect.noise import noise, weather
from illegalmining.detect.robust_fit import (
    MOST_PAIRS,
    MOST_TERMS,
    MOST_WAVES,
    QUAD,
    factorise,
    load,
    normal_matrix,
    step_on,
    sum_residuals,
    sum_waves,
)
from illegalmining.detect.watch import unwatched

THREADS = 2
SIDE = 128
HISTORY, NEW = 110, 30
BARE = "bare fit: normal equations", "bare update, 30 dates at once", "bare update, date by date"


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
    coefficients = np.empty((values.shape[1], design.shape[1], values.shape[2]), np.float32)
    bare_fit(values, *tables(design), pairs_of(design.shape[1] // 2), coefficients)
    return coefficients


def tables(design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The waves of a design, and the doubled waves whose sums make the normal matrix, in whole quads of dates."""
    return whole_quads(design, MOST_TERMS), whole_quads(doubled(design), MOST_WAVES)


@kernel
def bare_fit(values, waves, doubled_waves, pairs, coefficients):
    """Normal equations of groups of pixels, from the parts of the robust fit, solved by Cholesky."""
    _, features, pixels = values.shape
    quads, terms = waves.shape[1] // QUAD, coefficients.shape[1]
    local = np.zeros((1, features, QUAD, LANES), np.float32)
    here = np.zeros((1, QUAD, LANES), np.float32)
    sums = np.zeros((MOST_WAVES, LANES), np.float32)
    right = np.zeros((features, MOST_TERMS, LANES), np.float32)
    square = np.zeros((features, LANES), np.float32)
    normal = np.zeros((MOST_PAIRS, LANES), np.float32)
    factor = np.zeros((MOST_PAIRS, LANES), np.float32)
    share = np.ones(LANES, np.float32)
    solution = np.zeros((features, MOST_TERMS, LANES), np.float32)
    ridge, prior = np.full(MOST_TERMS, 1e-3, np.float32), np.zeros((features, MOST_TERMS), np.float32)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        sums[:], right[:], solution[:] = 0.0, 0.0, 0.0
        for quad in range(quads):
            here[:] = 0.0
            load(values[quad * QUAD :], 0, at, lanes, local, here)
            sum_waves(here[0], doubled_waves, quad * QUAD, sums)
            for k in range(features):
                sum_residuals(local[0, k], k, quad * QUAD, waves, here[0], right, square)
        normal_matrix(sums, pairs, normal)
        factorise(normal, ridge, terms, factor)
        for k in range(features):
            step_on(factor, right, k, share, ridge, prior, solution)
            for c in range(terms):
                row = coefficients[k, c, at : at + lanes]
                for lane in range(lanes):
                    row[lane] = solution[k, c, lane]


@kernel
def bare_update(values, waves, doubled_waves, sums, right):
    """Normal equations kept for each pixel, `sums` (MOST_WAVES, P) of the matrix (their first is the count) and `right`
    (K, MOST_TERMS, P), with new dates (T, K, P) added: read once and written once, however many dates."""
    dates, features, pixels = values.shape
    quads = waves.shape[1] // QUAD
    local = np.zeros((1, features, QUAD, LANES), np.float32)
    here = np.zeros((1, QUAD, LANES), np.float32)
    more = np.zeros((MOST_WAVES, LANES), np.float32)
    further = np.zeros((features, MOST_TERMS, LANES), np.float32)
    square = np.zeros((features, LANES), np.float32)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        if dates == 1:
            load(values, 0, at, lanes, local, here)
            for i in range(MOST_WAVES):
                row, x = sums[i, at : at + lanes], doubled_waves[i, 0]
                for lane in range(lanes):
                    row[lane] += x * here[0, 0, lane]
            for k in range(features):
                for c in range(MOST_TERMS):
                    row, x = right[k, c, at : at + lanes], waves[c, 0]
                    for lane in range(lanes):
                        row[lane] += x * local[0, k, 0, lane]
            continue
        more[:], further[:] = 0.0, 0.0
        for quad in range(quads):
            here[:] = 0.0
            load(values[quad * QUAD :], 0, at, lanes, local, here)
            sum_waves(here[0], doubled_waves, quad * QUAD, more)
            for k in range(features):
                sum_residuals(local[0, k], k, quad * QUAD, waves, here[0], further, square)
        for i in range(MOST_WAVES):
            row = sums[i, at : at + lanes]
            for lane in range(lanes):
                row[lane] += more[i, lane]
        for k in range(features):
            for c in range(MOST_TERMS):
                row = right[k, c, at : at + lanes]
                for lane in range(lanes):
                    row[lane] += further[k, c, lane]


def timed(work: Callable[[int], object], count: int, ready: Callable[[], None]) -> float:
    """Seconds for `work(0..count-1)` on the threads, best of five, after one warm-up; `ready` is called before each."""
    work(0)
    best = np.inf
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            ready()
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

    sums = [np.zeros((MOST_WAVES, SIDE * SIDE), np.float32) for _ in made]
    right = [np.zeros((bands, MOST_TERMS, SIDE * SIDE), np.float32) for _ in made]

    def add(i: int) -> None:
        bare_update(fresh[i], *tables(design[new]), sums[i], right[i])

    def add_each(i: int) -> None:
        for t in range(NEW):
            now = slice(HISTORY + t, HISTORY + t + 1)
            bare_update(fresh[i][t : t + 1], *tables(design[now]), sums[i], right[i])

    def begin_anew() -> None:
        """No date is fed twice: a state that has seen the future has more to follow."""
        states[:] = [unwatched(SIDE * SIDE, bands) for _ in made]

    rates: dict[str, float] = {}
    cases: list[tuple[str, Callable[[int], object], int, str]] = [
        ("copy of the data", lambda i: histories[i].copy(), HISTORY, ""),
        ("bare fit: normal equations", lambda i: bare(histories[i], design[past]), HISTORY, ""),
        ("robust fit", lambda i: fit(histories[i], design[past], parameters), HISTORY, BARE[0]),
        ("robust fit, noise and weather", whole, HISTORY, BARE[0]),
        ("bare update, 30 dates at once", add, NEW, ""),
        ("update, 30 dates at once", follow, NEW, BARE[1]),
        ("bare update, date by date", add_each, NEW, ""),
        ("update, date by date", follow_each, NEW, BARE[2]),
    ]
    for name, work, dates, beside in cases:
        rates[name] = rate = tiles * dates * SIDE * SIDE / timed(work, tiles, begin_anew) / 1e6
        share = f" {rate / rates[beside]:6.0%} of bare" if beside else ""
        print(f"{bands} band(s)  {name:32s} {rate:8.1f} M pixel-dates/s {rate * bands:8.1f} M per band{share}")


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
