"""Accuracy over simulated districts of other seeds: simulate, run, score; one row a district, then all together.

Usage: bench_accuracy.py [FIRST_SEED LAST_SEED] [PRESET ...]; the default is small enough for `make bench`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from illegalmining.cases.evaluate import Scores, share_interval
from illegalmining.cases.evaluate import score as score_cases
from illegalmining.district import read_district
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from illegalmining.publish.results import read_sites
from illegalmining.simulate import simulate


def one(preset: str, seed: int) -> Scores:
    """The scores of one district nobody has seen."""
    with tempfile.TemporaryDirectory() as folder:
        path = simulate(Path(folder) / "district", preset=preset, seed=seed)
        district = read_district(path)
        begun = time.perf_counter()
        night = nightly(district, Journal(quiet=True))
        seconds = time.perf_counter() - begun
        scores = score_cases(night.cases, read_sites(path.parent / "truth" / "sites.gpkg", district.crs))
    kinds = "  ".join(f"{kind[:12]} {row['found']}/{row['sites']}" for kind, row in scores.by_kind.items())
    print(
        f"{preset:8} {seed:4}  found {scores.found:2}/{scores.sites:<2} false {scores.false_alarms:2} "
        f"kind right {scores.kind_right:.2f} Brier {scores.brier:.3f} run {seconds:5.1f} s  {kinds}  "
        f"missed {','.join(scores.missed)}",
        flush=True,
    )
    return scores


def main(arguments: list[str]) -> None:
    numbers = [int(word) for word in arguments if word.isdigit()] or [101, 101]
    presets = [word for word in arguments if not word.isdigit()] or ["plateau", "humid", "quiet"]
    for preset in presets:
        scores = [one(preset, seed) for seed in range(numbers[0], numbers[1] + 1)]
        sites, found = sum(s.sites for s in scores), sum(s.found for s in scores)
        low, high = share_interval(found, sites)
        false = sum(s.false_alarms for s in scores)
        print(f"{preset}: {found} of {sites} sites found (90 % interval {low:.2f}-{high:.2f}), {false} false alarms")


if __name__ == "__main__":
    main(sys.argv[1:])
