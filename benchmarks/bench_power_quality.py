"""How well work in shut mines is found, by meters alone: over seeds nobody has studied, with 90 % intervals.

    python benchmarks/bench_power_quality.py [FIRST_SEED] [MINES] [working | quiet]

The default of 4 mines a scene only shows that it runs; 24 and more make figures.

Each mine is simulated alone (`simulate.meters.shut_mine`): two years of history, an order, rain, cold, tariffs, tests
and pump failures, gaps, and every meter defect in every fourth. Half of the mines register a safety load, 15 % wrong.

* Found: shut mines that work on 5 nights, and on 10, at 15 % of full load, at 25 %, and at 50 % of some nights, as of
  the day after the fifth and the tenth night worked: a probability of at least one half by the cases' own rule.
* False: quiet shut mines that are called at least once in a year, looked at at every month's end.
* Dates: how often the interval of 90 % holds the first night, and the last.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import Point

from illegalmining.cases.evaluate import share_interval
from illegalmining.cases.fuse import FusionParameters, bounded
from illegalmining.detect.power import detect_power
from illegalmining.simulate.meters import shut_mine
from illegalmining.simulate.preset import PRESETS

PRESET = replace(
    PRESETS["plateau"], history_from=date(2024, 7, 1), monitor_from=date(2026, 1, 1), as_of=date(2026, 12, 31)
)
SCENES = {"15 %, 5 in a row": (0.15, 5, 0.99), "15 %, half of the nights": (0.15, 10, 0.5)}
SCENES |= {"25 %, some nights": (0.25, 10, 0.4), "50 %, most nights": (0.5, 60, 0.8)}


def profiles_of(readings: pd.DataFrame) -> pd.DataFrame:
    """Daily profiles of hourly readings, as the reader makes them."""
    import tempfile
    from pathlib import Path

    from illegalmining.power.readings import read_profiles

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.parquet"
        readings.to_parquet(path)
        return read_profiles(str(path), "Asia/Shanghai", PRESET.history_from, PRESET.as_of, [], None)


def log_odds(nats: float) -> float:
    """Log odds of a case that rests on this evidence alone."""
    fusion = FusionParameters()
    return float(np.log(fusion.mine_base_rate / (1 - fusion.mine_base_rate)) + bounded(nats, fusion.artefact))


class Watched:
    """One mine, judged as of any day."""

    def __init__(self, seed: int, share: float, nights: int, every: float, preset=PRESET) -> None:
        mine, readings, self.worked = shut_mine(preset, seed, share, nights, every, defects=seed % 4 == 0)
        self.profiles = profiles_of(readings)
        rng = np.random.default_rng([seed, 72])
        told = mine.safety_kw * float(np.exp(rng.normal(0, 0.15))) if seed % 2 else np.nan
        columns = {"mine_id": [mine.mine_id], "capacity_t": [mine.capacity_t], "safety_load_kw": [told]}
        self.mines = gpd.GeoDataFrame(columns, geometry=[Point(0, 0)], crs=preset.crs)
        rows = [(mine.mine_id, None, word, pd.Timestamp(begin), pd.NaT) for word, begin, _ in mine.statuses[1:]]
        self.status = pd.DataFrame(rows, columns=["mine_id", "shaft_id", "status", "from", "to"])
        meters = {"meter_id": [mine.mine_id], "mine_id": [mine.mine_id], "category": ["mine"], "capacity_kva": [np.nan]}
        self.meters = pd.DataFrame(meters).assign(lon=111.0, lat=37.0)

    def judged(self, as_of: date) -> tuple[float, dict]:
        """Log odds and attributes as of a day."""
        found = detect_power(
            self.profiles, self.meters, self.mines, self.status, None, PRESET.monitor_from, as_of
        ).detections
        for row in found.itertuples():
            attributes = json.loads(row.attributes)
            if attributes["question"] == "worked_while_forbidden":
                return log_odds(row.log_lr), attributes
        return -np.inf, {}


def told(name: str, part: int, whole: int) -> None:
    """One figure with its interval."""
    low, high = share_interval(part, whole)
    print(f"  {name:<44} {part:4}/{whole:<4} {part / max(whole, 1):6.1%}  ({low:.1%}-{high:.1%})", flush=True)


def working(scene: tuple[float, int, float], seeds: range) -> dict[str, list[bool]]:
    """What is found of mines that work."""
    found: dict[str, list[bool]] = {"after 5 nights": [], "after 10 nights": [], "first night": [], "last night": []}
    for seed in seeds:
        mine = Watched(seed, *scene)
        for count in (5, 10):
            if len(mine.worked) >= count:
                odds, _ = mine.judged(mine.worked[count - 1] + timedelta(days=1))
                found[f"after {count} nights"].append(odds >= 0)
        end = min(mine.worked[-1] + timedelta(days=20), PRESET.as_of)
        odds, attributes = mine.judged(end)
        if odds >= 0:
            for name, key, night in (("first night", "first", mine.worked[0]), ("last night", "last", mine.worked[-1])):
                low, high = attributes[f"{key}_seen_interval"]
                found[name].append(low <= night.isoformat() <= high)
    return found


def quiet(seeds: range) -> tuple[int, int]:
    """Quiet mines called at any month's end, and how many there are."""
    called = 0
    for seed in seeds:
        mine = Watched(seed, 0.0, 0, 1.0)
        ends = [day.date() for day in pd.date_range(PRESET.monitor_from, PRESET.as_of, freq="ME")]
        called += any(mine.judged(end)[0] >= 0 for end in ends)
        if sys.stderr.isatty():
            print(f"{seed}: {called} called", file=sys.stderr)
    return called, len(seeds)


def main(arguments: list[str]) -> None:
    numbers = [int(word) for word in arguments if word.isdigit()]
    first = numbers[0] if numbers else 900_000
    count = numbers[1] if len(numbers) > 1 else 4
    begun = time.perf_counter()
    for number, (name, scene) in enumerate(SCENES.items() if "quiet" not in arguments else ()):
        print(f"{name} of full load, seeds {first + 10_000 * number} on")
        for what, hits in working(scene, range(first + 10_000 * number, first + 10_000 * number + count)).items():
            if hits:
                told(what, sum(hits), len(hits))
    if "working" not in arguments:
        print(f"quiet shut mines over a year, seeds {first + 90_000} on")
        told("called", *quiet(range(first + 90_000, first + 90_000 + count)))
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
