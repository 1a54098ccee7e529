"""Meters at size: seconds, peak memory and how both grow, from Parquet to detections; beside `ruptures` PELT.

    python benchmarks/bench_power.py [MILLIONS ...]

Three years of 15-minute readings of growing size (default 5 and 10 million rows; 50 is the measure), each read and
judged by a process and two that it starts, which together may hold 4 GiB (their resident peaks are summed). Every
sixth meter is a mine under an order for the last year, every sixth a mine that may work, the rest are industry and
villages. PELT gets the daily totals the reader made of the smallest size, which is less work than the readings
themselves; a few meters are timed in the same run and the rest reckoned. From the last two sizes follows what 500
million rows would take. Beside the seconds of the clock stand those of the processor, all threads and processes
together, which a busy machine stretches less.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from illegalmining.compute import crew
from illegalmining.detect.power import detect_power
from illegalmining.power.readings import read_profiles

FIRST, ORDER, LAST = date(2023, 1, 1), date(2025, 1, 1), date(2025, 12, 31)
DAYS = (LAST - FIRST).days + 1
READINGS = DAYS * 96
PELT_METERS = 8
MEMORY_GIB = 4.0
CRS = "EPSG:32649"
SPACING_DEGREES = 0.02
"""Between a meter and the next, about 2 km: every other meter has a few shut mines near enough to be held against."""
PROCESSES = 2
WHOLE = 500.0
"""Million rows of 5,000 meters over three years."""


def write_readings(folder: Path, meters: int, seed: int) -> None:
    """15-minute readings, one file a month: a resting load, shifts for all but the shut, rain for all."""
    rng = np.random.default_rng(seed)
    names = pa.array([f"M{number:05d}" for number in range(meters)])
    for month in pd.date_range(FIRST, LAST, freq="MS"):
        times = pd.date_range(month, month + pd.offsets.MonthBegin(1), freq="15min", inclusive="left")
        may = np.full(meters, True) if month.date() < ORDER else np.arange(meters) % 6 != 0
        shift = np.asarray((times.hour >= 6) & (times.hour < 22))
        rain = np.repeat(1 + 0.2 * (rng.random(len(times) // 96) < 0.1), 96)
        kwh = 60 * rain * (1 + 2.5 * may[:, None] * shift) * rng.gamma(200, 1 / 200, (meters, len(times)))
        table = {
            "meter_id": names.take(pa.array(np.repeat(np.arange(meters), len(times)))),
            "time": np.tile(times.to_numpy("datetime64[us]"), meters),
            "kwh": kwh.round(2).reshape(-1),
        }
        pq.write_table(pa.table(table), folder / f"{month:%Y%m}.parquet")


def registers(meters: int) -> tuple[pd.DataFrame, gpd.GeoDataFrame, pd.DataFrame]:
    """(meters, mines, mine_status)."""
    number = np.arange(meters)
    mine = number % 6 < 2
    names = np.array([f"M{k:05d}" for k in number])
    table = pd.DataFrame({"meter_id": names, "mine_id": np.where(mine, names, None)})
    table["category"] = np.where(mine, "mine", np.where(number % 6 < 5, "industry", "other"))
    side = int(np.ceil(np.sqrt(meters)))  # however many there are, they lie equally close
    table["capacity_kva"] = np.nan
    table["lon"], table["lat"] = 110.0 + number // side * SPACING_DEGREES, 36.0 + number % side * SPACING_DEGREES
    own = table[mine]
    points = gpd.points_from_xy(own["lon"], own["lat"], crs="EPSG:4326")
    mines = gpd.GeoDataFrame({"mine_id": own["mine_id"].to_numpy()}, geometry=points).to_crs(CRS)
    shut = names[number % 6 == 0]
    status = pd.DataFrame({"mine_id": shut, "shaft_id": None, "status": "suspended", "from": pd.Timestamp(ORDER)})
    return table, mines, status.assign(to=pd.NaT, order_no=None)


def read_and_judge(pattern: str, keep: str) -> None:
    """Everything once; print rows a second and the peak memory of all processes, and fail where that is too much."""
    begun, cpu = time.perf_counter(), cpu_of_all()
    profiles = read_profiles(pattern, "Asia/Shanghai", FIRST, LAST, [], None)
    read, cpu_read = time.perf_counter() - begun, cpu_of_all() - cpu
    count = profiles["meter_id"].nunique()
    meters, mines, status = registers(count)
    with crew(PROCESSES) as each:
        findings = detect_power(profiles, meters, mines, status, None, ORDER, LAST, each=each)
        beside = max(each(own_peak, range(8 * PROCESSES)))
    whole, cpu_whole = time.perf_counter() - begun, cpu_of_all() - cpu
    rows = count * READINGS
    memory = (own_peak() + PROCESSES * beside) / 2**30
    print(
        f"{rows / 1e6:8.1f} M rows  read {read:6.1f} s (CPU {cpu_read:6.1f})  "
        f"judged {whole - read:6.1f} s (CPU {cpu_whole - cpu_read:6.1f})  "
        f"{rows / whole / 1e6:6.2f} M rows/s  {memory:5.2f} GiB  {len(findings.detections)} detections",
        flush=True,
    )
    profiles[["meter_id", "day", "total"]].to_parquet(keep)
    if memory > MEMORY_GIB:
        sys.exit(f"more than {MEMORY_GIB} GiB")


def own_peak(_: int = 0) -> int:
    """The most memory this process has held, bytes; `getrusage` would count what its parent held when it started it."""
    words = Path("/proc/self/status").read_text("utf-8").split()
    return int(words[words.index("VmHWM:") + 1]) * 1024


def cpu_of_all() -> float:
    """Processor seconds of this process and of those it has started and seen end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def pelt_seconds(keep: Path) -> tuple[float, int]:
    """Seconds of the processor that PELT takes for a meter's daily totals, and how many meters there are."""
    import ruptures

    profiles = pd.read_parquet(keep)
    groups = [group["total"].to_numpy(float) for _, group in profiles.groupby("meter_id", observed=True)]
    begun = time.process_time()
    for totals in groups[:PELT_METERS]:
        scaled = (totals - totals.mean()) / totals.std()
        ruptures.Pelt(model="l2", min_size=1, jump=1).fit(scaled).predict(pen=3 * np.log(len(scaled)))
    return (time.process_time() - begun) / min(PELT_METERS, len(groups)), len(groups)


def main(millions: list[float]) -> None:
    """Every size in turn."""
    before, taken = 0.0, []
    for size in millions:
        with tempfile.TemporaryDirectory() as name:
            folder, keep = Path(name), Path(name) / "totals.pq"
            (folder / "readings").mkdir()
            write_readings(folder / "readings", max(6, round(size * 1e6 / READINGS)), seed=1)
            command = [sys.executable, __file__, "--read", f"{folder}/readings/*.parquet", str(keep)]
            begun = time.perf_counter()
            subprocess.run(command, check=True)
            taken.append((size, time.perf_counter() - begun))
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            ours, before = spent.ru_utime + spent.ru_stime - before, spent.ru_utime + spent.ru_stime
            if size > min(millions):
                continue
            each, meters = pelt_seconds(keep)
            peer = each * meters
            print(
                f"          PELT on the daily totals alone: CPU {peer:8.1f} s, {peer / ours:5.1f} times ours",
                flush=True,
            )
    (small, sooner), (large, later) = sorted(taken)[-2:] if len(taken) > 1 else ((0.0, 0.0), taken[0])
    a_million = (later - sooner) / (large - small)
    whole = later + (WHOLE - large) * a_million
    print(f"{a_million:.2f} s a further million rows: {WHOLE:.0f} M rows in {whole:.0f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read_and_judge(*sys.argv[2:4])
    else:
        main([float(word) for word in sys.argv[1:]] or [5.0, 10.0])
