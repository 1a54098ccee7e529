"""Is a machine working? The chain of rest and work on labelled machines, beside a threshold and a plain HMM.

    python benchmarks/bench_power_states.py MACHINES.csv

Three machines, 21 days, five-minute power in whole kW with the state a person or a controller noted (2: in production).
Nobody tells any of the three methods which state is which: the threshold is Otsu's, the plain model two normal states
fitted by Baum and Welch, ours the chain that judges shut mines, an hour's mean taking the place of a day.
Shares of hours called rightly, and the mean of the two classes' shares (mostly working flatters the first).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from illegalmining.detect.day_shapes import ShapeParameters
from illegalmining.detect.hidden_work import Judge, RestingDays, WorkParameters
from illegalmining.detect.markov import state_probabilities
from illegalmining.detect.rest_profile import LevelBelief, RestParameters

Floats = npt.NDArray[np.float64]
READINGS = 12
PRODUCING = 2


def hours_of(machine: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(load (H, 12) of every hour, NaN where unread; (H,) whether most readings of an hour are labelled production)."""
    times = pd.to_datetime(machine["ts"], utc=True)
    slot = ((times - times.min().floor("h")) // pd.Timedelta(minutes=5)).to_numpy()
    load = np.full((slot.max() // READINGS + 1, READINGS), np.nan)
    label = np.full(load.shape, np.nan)
    load.flat[slot], label.flat[slot] = machine["power_avg"], machine["status"] == PRODUCING
    known = np.isfinite(load).sum(axis=1) >= READINGS // 2
    return load[known], np.nanmean(label[known], axis=1) > 0.5


def otsu(values: Floats) -> float:
    """The threshold that parts values into the two classes farthest apart."""
    cuts = np.unique(values)[:-1]
    between = [
        (values <= cut).mean()
        * (values > cut).mean()
        * (values[values > cut].mean() - values[values <= cut].mean()) ** 2
        for cut in cuts
    ]
    return float(cuts[int(np.argmax(between))])


def plain_model(values: Floats, rounds: int = 30) -> npt.NDArray[np.bool_]:
    """A hidden Markov model of two normal states, fitted to the hourly means; True in the higher one."""
    cut = otsu(values)
    mean = np.array([values[values <= cut].mean(), values[values > cut].mean()])
    spread = np.array([values.std(), values.std()])
    moves, first = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0.5, 0.5])
    states = np.zeros((len(values), 2))
    for _ in range(rounds):
        density = np.exp(-0.5 * ((values[:, None] - mean) / spread) ** 2) / spread + 1e-12
        states = state_probabilities(density, moves, first)
        stay = (states[1:] * states[:-1]).sum(axis=0) / states[:-1].sum(axis=0)
        moves = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]]).clip(0.01, 0.99)
        mean = (states * values[:, None]).sum(axis=0) / states.sum(axis=0)
        spread = np.sqrt((states * (values[:, None] - mean) ** 2).sum(axis=0) / states.sum(axis=0)) + 0.02
    return np.asarray(states[:, int(mean.argmax())] > 0.5)


def ours(load: Floats) -> npt.NDArray[np.bool_]:
    """Hours of work by the chain that judges shut mines; rest is the quietest tenth, full load the busiest,
    and a machine has no quarter load."""
    means = np.nanmean(load, axis=1)
    rest, full = float(np.quantile(means, 0.1)), float(np.quantile(means, 0.95))
    reference = max(rest, 0.1 * full)
    parameters = WorkParameters(
        shapes=ShapeParameters(dry_sd=0.3, wet=(0.5, 0.3)),
        rest=RestParameters(noise=(0.3, 3.0), loose=1e-3),
        begins=(0.05, 0.2),
        ends=(0.01, 0.05),
        amounts=(0.4, 1.5),
    )
    days = RestingDays(
        load=means[:, None],
        counted=means > rest,
        quiet=means <= rest,
        covariates=np.zeros((len(load), 1)),
        weekday=np.zeros(len(load), dtype=int),
        full_kw=full - rest,
        reference_kw=reference,
        belief=LevelBelief(((reference, 0.3),), (False,)),
    )
    judge = Judge(days, parameters)
    return np.asarray(judge.told(judge.accustomed(judge.settle(judge.guesses, working=True)), 0.0).working > 0.5)


def scored(called: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Share of hours right, and the mean over the two classes."""
    return float((called == truth).mean()), float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def scores(path: Path) -> dict[int, dict[str, tuple[float, float]]]:
    """Of each machine, what each method gets right."""
    table = pd.read_csv(path)
    found = {}
    for asset, machine in table.groupby("asset"):
        load, truth = hours_of(machine)
        means = np.nanmean(load, axis=1)
        calls = {"threshold": means > otsu(means), "plain HMM": plain_model(means), "this chain": ours(load)}
        found[int(asset)] = {name: scored(called, truth) for name, called in calls.items()}
    return found


def main(path: Path) -> None:
    """One line a machine and method."""
    if not path.exists():
        print(f"{path} is not there: name the table of labelled machines")
        return
    for asset, methods in scores(path).items():
        for name, (right, balanced) in methods.items():
            print(f"machine {asset}  {name:<12} {right:6.1%} of hours right, balanced {balanced:6.1%}")


if __name__ == "__main__":
    main(
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).parents[2] / "shared/data/power/machines_labelled.csv"
    )
