"""Machine code fresh from the compiler and the same from the disk's cache round alike, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from illegalmining.compute import one_algebra_thread
from illegalmining.detect import power, subsidence

WATCH = """
import hashlib
import numpy as np
from illegalmining.detect.baseline import BaselineParameters, fit, season
from illegalmining.detect.watch import unwatched
from illegalmining.detect.monitor import MonitorParameters, update
from illegalmining.detect.noise import noise, weather

generator = np.random.default_rng(1)
dates, features, pixels, history = 140, 5, 1000, 110
days = np.arange(dates) * 10.0
values = generator.standard_normal((dates, features, pixels), np.float32) * np.float32(0.1)
values += np.cos(days / 58.1).astype(np.float32)[:, None, None] - np.float32(1.5)
values[np.broadcast_to(generator.random((dates, 1, pixels)) < 0.33, values.shape)] = np.nan
values[120:, :, :200] += 1
design = season(days, 2)
parameters = BaselineParameters()
fitted = fit(values[:history], design[:history], parameters)
offset, noisier = weather(values, design, fitted[0], fitted[2], parameters)
baseline = noise(values[:history], design[:history], offset[:history], fitted, parameters)
watch = unwatched(pixels, features)
part = slice(history, dates)
shared = offset[part], noisier[part]
update(watch, values[part], design[part], days[part].astype(np.int32), shared, baseline, 3.0, MonitorParameters())
said = [*fitted, offset, noisier, *(getattr(baseline, name) for name in baseline.__dataclass_fields__), *watch]
print(*(hashlib.sha256(np.ascontiguousarray(array)).hexdigest() for array in said))
"""


def said(cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_fresh_compile_and_a_cached_one_round_alike(tmp_path: Path) -> None:
    fresh = said(tmp_path)
    assert list(tmp_path.rglob("*.nbc"))
    assert said(tmp_path) == fresh


def test_linear_algebra_is_done_by_one_thread_and_then_as_before() -> None:
    """BLAS divides sums among its threads, and so rounds by the number of cores; SciPy brings a BLAS of its own."""

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with one_algebra_thread():
            assert threads() == {1}
        assert 2 in threads()
        assert one_algebra_thread()(threads)() == {1}, "as a decorator too"


@pytest.mark.parametrize(("module", "early"), [(subsidence, "pd"), (power, "Remark")])
def test_detectors_add_by_one_thread(module: Any, early: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[set[int]] = []

    def looked(*_: Any, **__: Any) -> Any:
        held.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        raise InterruptedError

    looked.Timestamp = looked  # type: ignore[attr-defined]
    monkeypatch.setattr(module, early, looked)
    detect = getattr(module, f"detect_{module.__name__.rpartition('.')[2]}")
    with threadpool_limits(2, user_api="blas"), pytest.raises(InterruptedError):
        detect(*[None] * 7)
    assert held == [{1}]
