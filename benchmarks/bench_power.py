"""Meter readings at size: seconds, peak memory, and how both grow; beside `ruptures` PELT, meter by meter.

    python benchmarks/bench_power.py [MILLIONS ...]

Reads 15-minute Parquet of growing size (default 5, 10 and 20 million rows), each in a process of its own. PELT gets
the daily totals the reader made, which is less work than the readings themselves; a few meters are timed and the rest
reckoned. Only the reading is compared, not the detection that follows it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from illegalmining.journal import peak_memory
from illegalmining.power.readings import read_profiles

YEAR = 2025
READINGS_A_YEAR = 365 * 96
PELT_METERS = 12


def write_readings(folder: Path, meters: int, seed: int) -> None:
    """A year of 15-minute readings, one file a month: an idle load and days of work."""
    rng = np.random.default_rng(seed)
    names = pa.array([f"M{number:05d}" for number in range(meters)])
    for month in pd.date_range(f"{YEAR}-01-01", periods=12, freq="MS"):
        times = pd.date_range(month, month + pd.offsets.MonthBegin(1), freq="15min", inclusive="left")
        work = np.repeat(rng.random((meters, len(times) // 96)) < 0.2, 96, axis=1)
        kwh = (rng.gamma(50, 1.5, work.shape) * (1 + 2 * work)).round(2)
        table = {
            "meter_id": names.take(pa.array(np.repeat(np.arange(meters), len(times)))),
            "time": np.tile(times.to_numpy("datetime64[us]"), meters),
            "kwh": kwh.reshape(-1),
        }
        pq.write_table(pa.table(table), folder / f"{month:%Y%m}.parquet")


def read_once(pattern: str, keep: str) -> None:
    """Read everything; print rows a second and the peak memory of this process."""
    begun = time.perf_counter()
    profiles = read_profiles(pattern, "Asia/Shanghai", date(YEAR, 1, 1), date(YEAR, 12, 31), [], None)
    seconds = time.perf_counter() - begun
    rows = profiles["meter_id"].nunique() * READINGS_A_YEAR
    speed, memory = rows / seconds / 1e6, peak_memory() / 2**30
    print(f"{rows / 1e6:8.1f} M rows {seconds:8.1f} s {speed:6.2f} M rows/s {memory:6.2f} GiB")
    profiles[["meter_id", "day", "total"]].to_parquet(keep)


def pelt_seconds(keep: Path) -> tuple[float, int]:
    """Seconds a meter that PELT takes for the daily totals, and how many meters there are."""
    import ruptures

    profiles = pd.read_parquet(keep)
    groups = [group["total"].to_numpy(float) for _, group in profiles.groupby("meter_id", observed=True)]
    begun = time.perf_counter()
    for totals in groups[:PELT_METERS]:
        scaled = (totals - totals.mean()) / totals.std()
        ruptures.Pelt(model="l2", min_size=1, jump=1).fit(scaled).predict(pen=3 * np.log(len(scaled)))
    return (time.perf_counter() - begun) / min(PELT_METERS, len(groups)), len(groups)


def main(millions: list[float]) -> None:
    """Every size in turn."""
    for size in millions:
        with tempfile.TemporaryDirectory() as name:
            folder, keep = Path(name), Path(name) / "totals.pq"
            (folder / "readings").mkdir()
            write_readings(folder / "readings", max(1, round(size * 1e6 / READINGS_A_YEAR)), seed=1)
            command = [sys.executable, __file__, "--read", f"{folder}/readings/*.parquet", str(keep)]
            begun = time.perf_counter()
            subprocess.run(command, check=True)
            ours = time.perf_counter() - begun
            each, meters = pelt_seconds(keep)
            peer = each * meters
            print(f"         PELT on the daily totals alone: {peer:8.1f} s, {peer / ours:5.1f} times our reading")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read_once(*sys.argv[2:4])
    else:
        main([float(word) for word in sys.argv[1:]] or [5.0, 10.0, 20.0])
