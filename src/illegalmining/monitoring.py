"""Monitoring memory in Zarr: what each source's baseline and watch have come to, so that a night reads its new scenes.

A source's series has one folder, named by everything that its baseline rests on: the scenes of the history, the grid,
the parameters, the version. In it lie `baseline`, written once, and one folder a run that fed new scenes, named by all
scenes up to then: the state of the watch, and a byte a value of what those scenes showed. Folders appear whole or not
at all and are never changed.

Scenes that come late, out of order, or that were processed again: the run goes on from the latest state whose scenes
are exactly the first of today's, and feeds all that follow, in order of their day. States are kept `spacing_days`
apart for the last `late_days`; what comes later still, but within the monitored time, is fed from its start; a scene
within the history makes another baseline. In every case the result is that of a run that saw all scenes at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illegalmining.atomic import atomic_folder, remove_folder, sync_below
from illegalmining.checkpoint import key_of
from illegalmining.chunks import Chunked, Listed, Picked
from illegalmining.detect.baseline import Baseline, Floats, season
from illegalmining.detect.change import edges, expected_of
from illegalmining.detect.memory import Codes, Layout, Memory, Place
from illegalmining.detect.watch import Watch, unwatched

FORMAT = 2
"""How tiles are stored; states of another number are not looked at."""
TRIANGULAR = ("spread", "whitening")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class KeepingParameters:
    """Which states are kept. late_days: how late a scene may come without a replay from the start of monitoring, days
    (Sentinel-2 reprocessing and slow mirrors: within a month). spacing_days: least distance of two states, days."""

    late_days: int = 30
    spacing_days: int = 15


@dataclass(frozen=True)
class Run:
    """The folder of one run: its scenes up to then as (day, fingerprint), those of them it fed, and the one before."""

    folder: Path
    scenes: list[list[Any]]
    fed: int
    parent: str | None

    @property
    def usable(self) -> bool:
        """Whether its state is still kept."""
        return (self.folder / "watch").is_dir()


@dataclass(frozen=True)
class MonitoringArchive:
    """Where one source's memories lie. folder: of the source. inputs: fingerprint of each day's scenes (days since
    1970). rests_on: all else that a baseline depends on."""

    folder: Path
    inputs: dict[int, str]
    rests_on: Any
    parameters: KeepingParameters = field(default_factory=KeepingParameters)

    @contextmanager
    def open(self, days: npt.NDArray[np.int32], history: int, layout: Layout) -> Iterator[Memory]:
        """The memory that goes furthest for these dates; what is kept in it lasts once the block ends without error."""
        scenes = [[int(day), self.inputs[int(day)]] for day in days]
        past, watched = scenes[:history], scenes[history:]
        series = self.folder / key_of(FORMAT, self.rests_on, past, vars(layout))
        begun = (series / "baseline").is_dir()
        runs = read_runs(series) if begun else {}
        fits = [run for run in runs.values() if run.usable and run.scenes == watched[: len(run.scenes)]]
        best = max(fits, key=lambda run: len(run.scenes), default=None)
        chain = chain_of(best, runs)
        known = len(best.scenes) if best else 0
        if begun and known == len(watched):
            yield StoredMemory(len(days), history, days, layout, series / "baseline", chain)
            return
        name = key_of(watched)
        with ExitStack() as stack:
            new = stack.enter_context(atomic_folder(series / name))
            baseline = series / "baseline" if begun else stack.enter_context(atomic_folder(series / "baseline"))
            run = Run(new, watched, len(watched) - known, best.folder.name if best else None)
            write_run(run)
            memory = StoredMemory(history + known if begun else 0, history, days, layout, baseline, chain, run)
            memory.prepare()
            yield memory
        forget(series, name, self.parameters)
        for other in self.folder.iterdir():
            if other != series:
                remove_folder(other)


def read_runs(series: Path) -> dict[str, Run]:
    """The runs of a series by name."""
    found = {}
    for path in sorted(series.glob("*/run.json")):
        meta = json.loads(path.read_text("utf-8"))
        found[path.parent.name] = Run(path.parent, meta["scenes"], meta["fed"], meta["parent"])
    return found


def write_run(run: Run) -> None:
    """Note in a run's folder what it stands for."""
    meta = {"scenes": run.scenes, "fed": run.fed, "parent": run.parent}
    (run.folder / "run.json").write_text(json.dumps(meta), "utf-8")


def chain_of(run: Run | None, runs: dict[str, Run]) -> list[Run]:
    """A run and those before it, first to last."""
    chain: list[Run] = []
    while run is not None:
        chain.insert(0, run)
        run = runs[run.parent] if run.parent else None
    return chain


def forget(series: Path, latest: str, parameters: KeepingParameters) -> None:
    """Drop runs that the latest does not rest on, and states closer together or older than late scenes need."""
    runs = read_runs(series)
    chain = chain_of(runs[latest], runs)
    mine = {run.folder for run in chain}
    for run in sorted(runs.values(), key=lambda run: -len(run.scenes)):  # no run loses the one that it rests on
        if run.folder not in mine:
            remove_folder(run.folder)
    newest, last_kept, enough = chain[-1].scenes[-1][0], chain[-1].scenes[-1][0], False
    for run in reversed(chain[:-1]):
        day = run.scenes[-1][0] if run.scenes else newest
        if not enough and last_kept - day >= parameters.spacing_days:
            last_kept, enough = day, newest - day >= parameters.late_days
        elif run.usable:
            remove_folder(run.folder / "watch")


@dataclass(frozen=True)
class StoredMemory:
    """A memory in Zarr. dates: how many dates, from the first, it holds. history: how many of `days` the baseline rests
    on. baseline: its folder. chain: the runs whose dates it holds, first to last. run: the run that feeds the rest."""

    dates: int
    history: int
    days: npt.NDArray[np.int32]
    layout: Layout
    baseline: Path
    chain: list[Run]
    run: Run | None = None

    def prepare(self) -> None:
        """Make the arrays that `keep` fills."""
        assert self.run is not None, "there is nothing new to keep"
        new: list[Chunked | Listed] = [self.codes(self.run.folder), *self.watch(self.run.folder)]
        if self.dates == 0:
            new += [self.codes(self.baseline), self.waves, self.numbers]
        for array in new:
            array.make()

    def array(self, path: Path, rows: int, dtype: str) -> Chunked:
        """An array (rows, Y, X), one chunk a tile."""
        return Chunked(path, (rows, *self.layout.shape), self.layout.tile, dtype)

    @property
    def waves(self) -> Chunked:
        """Coefficients of the season; apart from the rest of a baseline, because a region's series takes no more."""
        return self.array(self.baseline / "coefficients", self.layout.features * self.layout.terms, "<f4")

    @property
    def numbers(self) -> Chunked:
        """The rest of a baseline."""
        return self.array(self.baseline / "numbers", length(noise_shapes(self.layout)), "<f4")

    def watch(self, folder: Path) -> tuple[Chunked, Chunked, Listed]:
        """The state of a watch as a run left it: what all pixels have, and the candidates of the few that have any."""
        numbers, days, candidates = unwatched(1, self.layout.features)
        return (
            self.array(folder / "watch" / "numbers", len(numbers), "<f4"),
            self.array(folder / "watch" / "days", len(days), "<i4"),
            Listed(folder / "watch" / "candidates", candidates[0].size),
        )

    def codes(self, folder: Path) -> Chunked:
        """What the dates of the history showed, or those that a run fed."""
        feeding = {run.folder: run.fed for run in (*self.chain, self.run) if run}
        return self.array(folder / "codes", feeding.get(folder, self.history) * self.layout.features, "|u1")

    def recall(self, place: Place) -> tuple[Baseline, Watch]:
        """Baseline and watch of a tile after the first `dates` dates."""
        found = unpacked(self.numbers.read(place), noise_shapes(self.layout))
        for name in TRIANGULAR:
            found[name] = squared(found[name], self.layout.features, name == "spread")
        found["clear"] = found["clear"].astype(np.int32)
        waves = self.waves.read(place).reshape(self.layout.features, self.layout.terms, -1)
        baseline = Baseline(waves, **found)
        if not self.chain:
            return baseline, unwatched(baseline.clear.size, self.layout.features)
        watch = unwatched(baseline.clear.size, self.layout.features)
        numbers, days, candidates = self.watch(self.chain[-1].folder)
        begun, records = candidates.read(place)
        watch.candidates[begun] = records.reshape(len(begun), *watch.candidates.shape[1:])
        return baseline, Watch(numbers.read(place), days.read(place), watch.candidates)

    def keep(self, place: Place, baseline: Baseline, watch: Watch, codes: Codes, offset: Floats) -> None:
        """Keep a tile after all dates; `codes` (T, K, P) and `offset` (T, K) are those of the dates fed now."""
        assert self.run is not None, "there is nothing new to keep"
        past = max(0, self.history - self.dates)
        if self.dates == 0:
            parts = {name: getattr(baseline, name) for name in noise_shapes(self.layout)}
            parts |= {name: parts[name][np.tril_indices(len(parts[name]))] for name in TRIANGULAR}
            parts["clear"] = parts["clear"].astype(np.float32)
            self.waves.write(place, packed([baseline.coefficients]))
            self.numbers.write(place, packed(list(parts.values())))
            self.record(self.baseline, place, codes[:past], offset[:past])
        self.keep_watch(place, watch)
        self.record(self.run.folder, place, codes[past:], offset[past:])

    def keep_unseen(self, place: Place, watch: Watch) -> None:
        """Keep a tile of which the dates fed now show nothing; `watch` as it was recalled."""
        assert self.run is not None, "there is nothing new to keep"
        if self.chain:
            (numbers, days, candidates), former = self.watch(self.run.folder), self.watch(self.chain[-1].folder)
            numbers.take(former[0], place)
            days.take(former[1], place)
            candidates.take(former[2], place)
        else:
            self.keep_watch(place, watch)
        keep_offset(self.run.folder, place, np.zeros((self.run.fed, self.layout.features), np.float32))

    def keep_watch(self, place: Place, watch: Watch) -> None:
        """Keep the state of a tile's watch."""
        assert self.run is not None, "there is nothing new to keep"
        numbers, days, candidates = self.watch(self.run.folder)
        numbers.write(place, watch.numbers)
        days.write(place, watch.days)
        begun = watch.begun
        candidates.write(place, begun, watch.candidates[begun].reshape(len(begun), candidates.fields))

    def record(self, folder: Path, place: Place, codes: Codes, offset: Floats) -> None:
        """Keep what some dates showed."""
        self.codes(folder).write(place, codes.reshape(-1, codes.shape[2]))
        keep_offset(folder, place, offset)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Inside the block, what was kept of all tiles goes to the disk while its owner does something else."""
        new = [self.run.folder, *([] if self.dates else [self.baseline])] if self.run else []
        with ThreadPoolExecutor(1) as pool:
            forced = pool.map(sync_below, new)
            yield
            list(forced)  # a disk says only once that it could not write something

    def of(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> tuple[Codes, Floats]:
        """Codes (N, T, K) of all dates, and expected values (N, T, K), of N pixels by their rows and columns."""
        folders = [self.baseline, *(run.folder for run in self.chain), *([self.run.folder] if self.run else [])]
        features, terms = self.layout.features, self.layout.terms
        pixels = Picked.of(rows, columns, self.layout.tile)
        codes = np.concatenate([self.codes(folder).pick(pixels) for folder in folders])
        codes = codes.reshape(len(self.days), features, -1).transpose(2, 0, 1)
        coefficients = self.waves.pick(pixels).reshape(features, terms, -1)
        design = season(self.days.astype(np.float64), (terms - 1) // 2)
        expected = np.empty(codes.shape, np.float32)
        for tile in self.tiles((int(rows.min()), int(rows.max())), (int(columns.min()), int(columns.max()))):
            (top, bottom), (left, right) = tile
            here = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
            if here.any():
                offset = np.concatenate([np.fromfile(offset_file(folder, tile), "<f4") for folder in folders])
                expected[here] = expected_of(design, coefficients[:, :, here], offset.reshape(-1, features))
        return codes, expected

    def tiles(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[Place]:
        """The tiles that hold the pixels from a first to a last row and column, row by row."""
        downs, acrosses = (
            [edge for edge in edges(length, self.layout.tile) if edge[0] <= last and edge[1] > first]
            for length, (first, last) in zip(self.layout.shape, (rows, columns), strict=True)
        )
        yield from product(downs, acrosses)


def noise_shapes(layout: Layout) -> Shapes:
    """Shape of each number of a pixel's baseline beside its season, as it is stored; of symmetric and triangular ones
    the lower half."""
    features, terms = layout.features, layout.terms
    triangle = features * (features + 1) // 2
    return {
        "errors": (2 * terms - 1,),
        "whitening": (triangle,),
        "memory": (),
        "every_season": (features,),
        "spread": (triangle,),
        "scales": (features,),
        "clear": (),
    }


def length(shapes: Shapes) -> int:
    """How many values a pixel has in all."""
    return sum(int(np.prod(shape)) for shape in shapes.values())


def packed(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays (..., P) below one another, (N, P)."""
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays])


def unpacked(rows: npt.NDArray[Any], shapes: Shapes) -> dict[str, Any]:
    """What `packed` put together, by name."""
    found, at = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found[name] = np.ascontiguousarray(rows[at : at + size]).reshape(*shape, rows.shape[1])
        at += size
    return found


def squared(half: npt.NDArray[Any], side: int, symmetric: bool) -> npt.NDArray[Any]:
    """A matrix (side, side, P) from its lower half; the upper mirrors it or is 0."""
    whole = np.zeros((side, side, half.shape[1]), half.dtype)
    below = np.tril_indices(side)
    whole[below] = half
    if symmetric:
        whole[below[::-1]] = half
    return whole


def offset_file(folder: Path, place: Place) -> Path:
    """File of what each date shares with a tile (T, K): its numbers and nothing else."""
    return folder / f"offset.{place[0][0]}.{place[1][0]}"


def keep_offset(folder: Path, place: Place, offset: Floats) -> None:
    """Write what dates share with a tile."""
    offset_file(folder, place).write_bytes(np.ascontiguousarray(offset, "<f4").tobytes())
