"""Judging at province size: a million detections against fifty thousand licences with histories.

Usage: bench_cases.py [DETECTIONS LICENCES]; the default is small enough for `make bench`.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from illegalmining.cases.fuse import fuse
from illegalmining.cases.judge import judge
from illegalmining.registers.read import Registers
from illegalmining.tables import CONCESSIONS, DETECTIONS, MINE_STATUS, MINES, PRODUCTION, REGISTERS

CRS = "EPSG:4546"
SPACING_M = 2000.0
"""Licences lie on a grid with neighbours that touch, as they do in a coalfield."""


def registers(count: int, rng: np.random.Generator) -> Registers:
    """Licences with two terms each, mines with orders, monthly tonnes."""
    side = int(np.ceil(np.sqrt(count / 2)))
    number = np.arange(count) // 2
    x, y = (number % side) * SPACING_M, (number // side) * SPACING_M
    wide = rng.uniform(0.6, 1.0, count) * SPACING_M
    second = np.arange(count) % 2 == 1
    since = np.where(second, np.datetime64("2024-01-01"), np.datetime64("2015-01-01"))
    until = np.where(second, np.datetime64("NaT"), np.datetime64("2024-01-01"))
    lapsed = second & (rng.random(count) < 0.1)
    until[lapsed] = np.datetime64("2025-06-01")
    method = np.where(number % 3 == 0, "underground", "opencast")
    licence = np.array([f"C{one:06d}" for one in number], dtype=object)
    table = CONCESSIONS.typed([], CRS).reindex(range(count))
    table = table.assign(
        licence_no=licence,
        holder=licence,
        mineral="coal",
        method=method.astype(object),
        valid_from=since.astype("datetime64[ns]"),
        valid_to=until.astype("datetime64[ns]"),
        geometry=shapely.box(x, y, x + wide, y + wide),
    ).set_crs(CRS)
    firsts = np.flatnonzero(~second)
    mine = np.array([f"M{one:06d}" for one in number[firsts]], dtype=object)
    yard = shapely.points(x[firsts] + 100, y[firsts] + 100)
    mines = MINES.typed([], CRS).reindex(range(len(mine)))
    mines = mines.assign(
        mine_id=mine, name=mine, operator=mine, licence_no=licence[firsts], method=method[firsts], geometry=yard
    ).set_crs(CRS)
    turns = ["2020-01-01", "2022-03-01", "2023-07-01", "2026-02-01"]
    orders = pd.DataFrame(
        {
            "mine_id": np.repeat(mine, len(turns)),
            "shaft_id": None,
            "status": rng.choice(["producing", "suspended", "rectifying"], len(mine) * len(turns)),
            "from": pd.to_datetime(np.tile(turns, len(mine))),
            "to": pd.NaT,
            "order_no": "A1",
        }
    )
    tables = dict.fromkeys(REGISTERS)
    tables |= {"concessions": table, "mines": mines, "mine_status": MINE_STATUS.checked(orders)}
    tables["production"] = PRODUCTION.frame(
        [{"mine_id": one, "month": "2026-03", "tonnes": 9000.0} for one in mine[::2]]
    )
    return Registers(**tables, files={})


def detections(count: int, spread_m: float, mines: gpd.GeoDataFrame, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Pits (70 %), faces (10 %) and meters (20 %) all over the grid."""
    x, y = rng.uniform(0, spread_m, count), rng.uniform(0, spread_m, count)
    radius = rng.uniform(20, 90, count)
    shapes = shapely.buffer(shapely.points(x, y), radius, quad_segs=4)
    detector = rng.choice(["surface", "radar", "subsidence", "power"], count, p=[0.5, 0.2, 0.1, 0.2])
    first = np.datetime64("2026-01-05") + rng.integers(0, 120, count)
    texts = {
        "subsidence": json.dumps({"question": "undeclared_face", "depth_m": 250.0, "peak_mm": 80.0}),
        "power": json.dumps({"question": "worked_while_forbidden", "nights": 30}),
    }
    dug = []
    for size, day in zip(shapely.area(shapes), first, strict=True):
        steps = [str(day + 30 * k) for k in range(4)]
        grown = {"dates": steps, "area_m2": [size * k / 4 for k in range(1, 5)]}
        dug.append(json.dumps({"growth": grown, "onset_quantiles": {"0.9": steps[-1]}}))
    return gpd.GeoDataFrame(
        {
            "detection_id": [f"d{i:07d}" for i in range(count)],
            "detector": detector.astype(object),
            "first_seen": first.astype("datetime64[ns]"),
            "last_seen": (first + 150).astype("datetime64[ns]"),
            "log_lr": rng.normal(2.0, 3.0, count),
            "area_m2": shapely.area(shapes),
            "mine_id": np.where(detector == "power", rng.choice(mines["mine_id"], count), None),
            "attributes": [texts.get(one, pit) for one, pit in zip(detector, dug, strict=True)],
        },
        geometry=shapes,
        crs=CRS,
    )[[*DETECTIONS.columns, "geometry"]]


def main(arguments: list[str]) -> None:
    count, licences = (int(word) for word in (arguments or ["50000", "5000"]))
    rng = np.random.default_rng(1)
    known = registers(licences, rng)
    assert known.mines is not None
    seen = detections(count, float(known.mines.total_bounds[2]), known.mines, rng)
    print(f"{count:,} detections, {licences:,} licences: {peak()} with both in memory")
    begun = time.perf_counter(), time.process_time()
    judgements = judge(seen, known, "en")
    print(f"judged in {spent(begun)}, {peak()}: {len(judgements):,} judgements")
    del seen
    begun = time.perf_counter(), time.process_time()
    cases = fuse(judgements)
    print(f"fused in {spent(begun)}, {peak()}: {len(cases):,} cases")


def spent(begun: tuple[float, float]) -> str:
    """Time by the clock and of the processor: the first is longer where others use the machine."""
    return f"{time.perf_counter() - begun[0]:.1f} s ({time.process_time() - begun[1]:.1f} s of one core)"


def peak() -> str:
    """The most memory the process has held so far."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


if __name__ == "__main__":
    main(sys.argv[1:])
