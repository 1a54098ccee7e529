"""From a lazy stack of features to maps of change: tile by tile, whatever the chunks.

A tile has a fixed place on the grid, so what a date shares with its surroundings does not depend on how the cube is
chunked or how many workers there are. Only the maps, and the series of pixels that changed, leave a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from illegalmining.compute import worked
from illegalmining.detect.baseline import DAYS_A_YEAR, Baseline, BaselineParameters, Floats, along, fit, season
from illegalmining.detect.candidates import LAST, MEANS, ONSET, PEAK, PEAK_DATES, PEAK_DAY
from illegalmining.detect.findings import Remark, Unjudged
from illegalmining.detect.memory import Memory, Place, Scale
from illegalmining.detect.monitor import MonitorParameters, update
from illegalmining.detect.noise import inverted, noise, weather
from illegalmining.detect.watch import Watch, unwatched
from illegalmining.lazy import Window, read_together

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Days:
    """The dates of a stack: days since 1970 (T,), and how many of them, from the first, are history."""

    days: npt.NDArray[np.int32]
    history: int

    def enough(self, fewest: int) -> None:
        """Make sure that there is a history to fit and something to judge.

        Raises
        ------
        Unjudged
            There is not.
        """
        new = len(self.days) - self.history
        if self.history < fewest or new == 0:
            raise Unjudged(
                Remark("few_dates", {"history": self.history, "new": new}),
                f"{self.history} date(s) of history and {new} to judge: a baseline takes {fewest}; move history_from "
                "or monitor_from, or bring more scenes",
            )


@dataclass(frozen=True)
class ChangeParameters:
    """How a stack is judged.

    tile: side of a tile, pixels. block: side of what is read at once, pixels; a whole number of tiles. enough: how many
    blocks keep all workers busy; where so many larger ones are stored, they are read as they are stored. halo: rim of a
    tile that its features need from its neighbours, pixels. keep: evidence from which a pixel's series is kept, nats.
    """

    baseline: BaselineParameters = field(default_factory=BaselineParameters)
    monitor: MonitorParameters = field(default_factory=MonitorParameters)
    tile: int = 128
    block: int = 256
    enough: int = 32
    halo: int = 0
    keep: float = 3.0


@dataclass(frozen=True)
class Maps:
    """What a tile, or the whole district, says of each pixel; all (Y, X), `shift` and `noise` (K, Y, X).

    evidence: highest evidence for one lasting change, nats, 0 where there is none, NaN where not judged. now: evidence
    left at the end. onset, last: days since 1970. stood: days from onset to the last day that supports it. dates: clear
    dates for the change less those against it, at highest evidence. shift: new level minus baseline, in the feature's
    unit. noise: standard deviation of a feature. temper: worth of a date against an independent one. clear: clear
    dates judged.
    """

    evidence: Floats
    now: Floats
    onset: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    stood: npt.NDArray[np.int32]
    dates: npt.NDArray[np.int32]
    shift: Floats
    noise: Floats
    temper: Floats
    clear: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Histories:
    """Series of the N pixels with evidence: where (N, 2), observed and expected (N, T, K) in the feature's unit."""

    where: npt.NDArray[np.int64]
    observed: Floats
    expected: Floats

    def of(self, inside: npt.NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> tuple[Floats, Floats]:
        """Observed and expected of the pixels in a mask (Y, X) of the grid, or of its part from a corner on."""
        rows, columns = (self.where - corner).T
        near = (rows >= 0) & (rows < inside.shape[0]) & (columns >= 0) & (columns < inside.shape[1])
        mine = np.flatnonzero(near)
        mine = mine[inside[rows[mine], columns[mine]]]
        mine = mine[np.lexsort((self.where[mine, 1], self.where[mine, 0]))]
        return self.observed[mine], self.expected[mine]


@dataclass(frozen=True)
class Remembered:
    """The same, drawn from a memory."""

    memory: Memory
    scale: Scale

    def of(self, inside: npt.NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> tuple[Floats, Floats]:
        """Observed and expected of the pixels in a mask (Y, X) of the grid, or of its part from a corner on."""
        codes, expected = self.memory.of(*(np.argwhere(inside) + corner).T)
        return self.scale.read(codes), expected


def days_of(time: xr.DataArray, history_from: Any, monitor_from: Any, as_of: Any) -> tuple[slice, Days]:
    """The part of the time axis from `history_from` to `as_of` inclusive, and its days."""
    stamps = pd.DatetimeIndex(time.values)
    first = int(stamps.searchsorted(pd.Timestamp(history_from)))
    end = int(stamps.searchsorted(pd.Timestamp(as_of) + pd.Timedelta(days=1)))
    middle = int(stamps.searchsorted(pd.Timestamp(monitor_from)))
    days = (stamps[first:end].values.astype("datetime64[D]") - np.datetime64(0, "D")) // DAY
    return slice(first, end), Days(days.astype(np.int32), max(0, min(middle, end) - first))


def edges(length: int, tile: int) -> list[tuple[int, int]]:
    """Start and end of each tile along an axis; a remainder of less than half a tile joins the last."""
    count = max(1, (2 * length + tile) // (2 * tile))
    starts = [i * tile for i in range(count)]
    return list(zip(starts, [*starts[1:], length], strict=True))


Features = Callable[..., Floats]
Leave = Callable[[Maps], Any]
Put = Callable[[Place, Any], None]


def judge_stack(
    bands: list[xr.DataArray],
    features: Features,
    when: Days,
    parameters: ChangeParameters,
    scale: Scale,
    leave: Leave,
    put: Put,
    memory: Memory | None = None,
) -> Histories | Remembered:
    """Judge every pixel; returns the series of those that changed.

    bands: arrays (T, Y, X), lazy or not, handed to `features` tile by tile, which returns (T, K, Y, X) with NaN where
    not clear. scale: how a value is written in one byte for the series. leave: makes of a tile's maps, where it was
    judged, what is handed to `put` with its place, in whatever order tiles are done, while others are still judged.
    memory: what earlier runs left; dates that are in it are not read again.
    """
    spans = time_spans(bands[0], memory.dates if memory else 0)
    blocks = [block_of(bands, spans, rows, columns, parameters) for rows, columns in block_places(bands[0], parameters)]
    judge = partial(
        judge_block, features=features, when=when, parameters=parameters, scale=scale, memory=memory, leave=leave
    )
    dates = sum(span.stop - span.start for span in spans)
    told: dict[Place, Histories] = {}

    def take(at: int, tiles: list[tuple[Any, Histories | None]]) -> None:
        for place, (left, series) in zip(blocks[at].places, tiles, strict=True):
            put(place, left)
            if series is not None:
                told[place] = series

    worked(judge, blocks, [block.facts(dates) for block in blocks], take)
    return Remembered(memory, scale) if memory else together(told)


@dataclass(frozen=True)
class Block:
    """What one worker reads and judges at once.

    parts: a window of every band, by the pieces in which the dates are stored. corner: row and column of the first
    pixel, rim included. places: of the tiles.
    """

    parts: list[list[Window]]
    corner: tuple[int, int]
    places: list[Place]

    def facts(self, dates: int) -> dict[str, Any]:
        """Which it is, by row and column of its first pixel, and what it comes to with so many dates."""
        pixels = sum((down[1] - down[0]) * (across[1] - across[0]) for down, across in self.places)
        (top, _), (left, _) = self.places[0]
        return {"tile": f"{top},{left}", "pixel_dates": pixels * dates}


def block_of(
    bands: list[xr.DataArray],
    spans: list[slice],
    rows: tuple[int, int],
    columns: tuple[int, int],
    parameters: ChangeParameters,
) -> Block:
    """The block between some rows and columns."""
    _, height, width = bands[0].shape
    (top, tall), (left, wide) = widened(rows, height, parameters.halo), widened(columns, width, parameters.halo)
    inside = [
        (down, across)
        for down in edges(height, parameters.tile)
        for across in edges(width, parameters.tile)
        if rows[0] <= down[0] < rows[1] and columns[0] <= across[0] < columns[1]
    ]
    parts = [[Window.of(band.data, (span, slice(top, tall), slice(left, wide))) for band in bands] for span in spans]
    return Block(parts, (top, left), inside)


def block_places(band: xr.DataArray, parameters: ChangeParameters) -> list[Place]:
    """Rows and columns of each block: as the band is stored where that keeps tiles whole and there are enough."""
    _, *lengths = band.shape
    cut = [edges(length, parameters.block) for length in lengths]
    if band.chunks:
        ends = [np.cumsum(chunks).tolist() for chunks in band.chunks[1:]]
        stored = [list(zip([0, *end[:-1]], end, strict=True)) for end in ends]
        whole = all(
            {start for start, _ in parts} <= {start for start, _ in edges(length, parameters.tile)}
            for parts, length in zip(stored, lengths, strict=True)
        )
        if whole and parameters.enough <= len(stored[0]) * len(stored[1]) < len(cut[0]) * len(cut[1]):
            cut = stored
    return [(rows, columns) for rows in cut[0] for columns in cut[1]]


def time_spans(band: xr.DataArray, done: int) -> list[slice]:
    """The dates from `done` on, in the pieces in which they are stored, so that none need be joined to be read."""
    ends = np.cumsum(band.chunks[0]) if band.chunks else np.array([band.sizes["time"]])
    starts = np.concatenate([[0], ends[:-1]])
    return [slice(max(int(start), done), int(end)) for start, end in zip(starts, ends, strict=True) if end > done]


def judge_block(
    block: Block,
    features: Features,
    when: Days,
    parameters: ChangeParameters,
    scale: Scale,
    memory: Memory | None,
    leave: Leave,
) -> list[tuple[Any, Histories | None]]:
    """What leaves the tiles of one block, which is read at once."""
    parts = [read_together(windows) for windows in block.parts]
    top, left = block.corner
    height, width = parts[0][0].shape[1:] if parts else (0, 0)
    found = []
    for rows, columns in block.places:
        down = widened((rows[0] - top, rows[1] - top), height, parameters.halo)
        across = widened((columns[0] - left, columns[1] - left), width, parameters.halo)
        inner = (
            slice(rows[0] - top - down[0], rows[1] - top - down[0]),
            slice(columns[0] - left - across[0], columns[1] - left - across[0]),
        )
        pieces = (features(*(band[:, slice(*down), slice(*across)] for band in bands)) for bands in parts)
        dates = sum(len(bands[0]) for bands in parts)
        # handed over without a name, so that one tile is let go before the next is made
        maps, series = judge_tile(
            joined((piece[:, :, *inner] for piece in pieces), dates), (rows, columns), when, parameters, scale, memory
        )
        found.append((leave(maps), series))
    return found


def joined(pieces: Iterator[Floats], dates: int) -> Floats:
    """Pieces (t, K, y, x) of a tile as one array (T, K, P); only one piece is held at a time."""
    whole, at = np.empty((0, 0, 0), np.float32), 0
    for piece in pieces:
        if not at:
            whole = np.empty((dates, piece.shape[1], piece.shape[2] * piece.shape[3]), np.float32)
        whole[at : at + len(piece)] = piece.reshape(*piece.shape[:2], -1)
        at += len(piece)
    return whole


def widened(edge: tuple[int, int], length: int, halo: int) -> tuple[int, int]:
    """An edge with its rim, where there is one."""
    return max(0, edge[0] - halo), min(length, edge[1] + halo)


def judge_tile(
    values: Floats, place: Place, when: Days, parameters: ChangeParameters, scale: Scale, memory: Memory | None
) -> tuple[Maps, Histories | None]:
    """One tile: fit the history or recall it, then feed the dates that are new."""
    done = memory.dates if memory else 0
    (top, bottom), (left, right) = place
    shape = (bottom - top, right - left)
    design = season(when.days[done:].astype(np.float64), parameters.baseline.harmonics)
    if memory and done:
        baseline, watch = memory.recall(place)
        if not np.isfinite(values).any():  # nothing new, or cloud all over: what was watched stands as it did
            if done < len(when.days):
                memory.keep_unseen(place, watch)
            return maps_of(watch, baseline, shape, parameters.baseline.harmonics, parameters.monitor), None
        offset, noisier = weather(values, design, baseline.coefficients, baseline.scales, parameters.baseline)
        offset = without_hidden(values, offset)
    else:
        past = slice(0, when.history)
        fitted = fit(values[past], design[past], parameters.baseline)
        offset, noisier = weather(values, design, fitted[0], fitted[2], parameters.baseline)
        offset = without_hidden(values, offset)
        baseline = noise(values[past], design[past], offset[past], fitted, parameters.baseline)
        watch = unwatched(values.shape[2], values.shape[1])
    new = slice(max(0, when.history - done), None)
    years = float(when.days[when.history - 1] - when.days[0]) / DAYS_A_YEAR
    shared = offset[new], noisier[new]
    update(watch, values[new], design[new], when.days[done:][new], shared, baseline, years, parameters.monitor)
    maps = maps_of(watch, baseline, shape, parameters.baseline.harmonics, parameters.monitor)
    if memory is None:
        return maps, histories_of(maps, values, design, offset, baseline, parameters.keep, scale)
    codes = scale.write(values)
    del values  # the tile's largest array, let go before what is kept is packed
    memory.keep(place, baseline, watch, codes, offset)
    return maps, None


def without_hidden(values: Floats, offset: Floats) -> Floats:
    """Offsets (T, K), 0 on dates that hide the ground; such dates are made missing in `values`, in place."""
    values[np.isnan(offset).any(axis=1)] = np.nan
    return np.nan_to_num(offset)


def out_of_season(
    standing: npt.NDArray, shift: npt.NDArray, usual: Floats, spread: Floats, watched: MonitorParameters
) -> Floats:
    """Nats (P,) that a change loses where the pixel has looked like that before, at whatever time of the year.

    A harvest that comes late or a fallow year moves a pixel to a level that its own history holds. Both explanations
    keep to the new level; they differ in how probable that level was before it was seen: under a late or missing
    season, as probable as the pixel's history makes it (Student-t); under a change, anything of the size looked for.
    standing (K, P) and `usual`, from the level; `spread` (K, K, P) as in `Baseline`.
    """
    away = standing - usual
    covariance = spread.transpose(2, 0, 1).astype(np.float64)
    features, tail = covariance.shape[1], watched.season_tail
    squared = np.einsum("kp,kp->p", away, np.linalg.solve(covariance, away.T[:, :, None])[:, :, 0].T)
    seen = -0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * (tail + features) * np.log1p(squared / tail)
    size = watched.contrast**2
    new = -0.5 * features * np.log(size) - 0.5 * (shift**2).sum(axis=0) / size
    return np.logaddexp(0.0, seen - new + np.log(watched.late_season)).astype(np.float32)


def maps_of(
    watch: Watch, baseline: Baseline, shape: tuple[int, ...], harmonics: int, watched: MonitorParameters
) -> Maps:
    """The best candidate of each pixel as maps; worked out where there is one, 0 elsewhere."""
    begun = watch.begun
    best = watch.candidates[begun, :, PEAK].argmax(axis=1)
    record = watch.candidates[begun, best]
    onset, last, dates, best_day = (record[:, field].astype(np.int32) for field in (ONSET, LAST, PEAK_DATES, PEAK_DAY))

    def spread_out(values: npt.NDArray, where: npt.NDArray[np.intp] = begun) -> npt.NDArray:
        plane = np.zeros((*values.shape[:-1], watch.clear.size), values.dtype)
        plane[..., where] = values
        return plane

    judged = (baseline.clear > 0) & (watch.clear > 0)
    root = inverted(baseline.whitening)
    evidence = np.where(judged, 0.0, np.nan).astype(np.float32)
    enough = judged[begun] & (record[:, PEAK] > watched.least)
    some = begun[enough]
    moved = np.einsum("kmp,mp->kp", root[:, :, some], record[enough, MEANS + watch.features :].T)
    season_now = season(best_day[enough].astype(np.float64), harmonics)
    standing = moved + np.einsum("pc,kcp->kp", season_now[:, 1:], baseline.coefficients[:, 1:, some])
    known = out_of_season(standing, moved, baseline.every_season[:, some], baseline.spread[:, :, some], watched)
    evidence[some] = np.maximum(record[enough, PEAK] - known, 0.0)
    flat = {
        "evidence": evidence,
        "now": spread_out(np.maximum(watch.level[best, begun], 0.0)),
        "onset": spread_out(onset),
        "last": spread_out(last),
        "stood": spread_out(last - onset),
        "dates": spread_out(dates),
        "shift": spread_out(moved, some),
        "noise": np.where(judged, np.sqrt((root**2).sum(axis=1)), np.nan).astype(np.float32),
        "temper": ((1 - baseline.memory) / (1 + baseline.memory)).astype(np.float32),
        "clear": np.where(baseline.clear > 0, watch.clear, 0),
    }
    return Maps(**{name: array.reshape(*array.shape[:-1], *shape) for name, array in flat.items()})


def histories_of(
    maps: Maps, values: Floats, design: Floats, offset: Floats, baseline: Baseline, keep: float, scale: Scale
) -> Histories:
    """Series of the pixels whose evidence reaches `keep`."""
    where = np.argwhere(np.nan_to_num(maps.evidence) >= keep)
    pixels = np.flatnonzero(np.nan_to_num(maps.evidence).ravel() >= keep)
    expected = expected_of(design, baseline.coefficients[:, :, pixels], offset)
    return Histories(where, scale.read(scale.write(values[:, :, pixels])).transpose(2, 0, 1), expected)


def expected_of(design: Floats, coefficients: Floats, offset: Floats) -> Floats:
    """What pixels should have looked like (P, T, K): their season and what each date shared with its surroundings."""
    return (along(design, coefficients) + offset[:, :, None]).transpose(2, 0, 1)


def together(told: dict[Place, Histories]) -> Histories:
    """The series of all tiles, with their places in the district."""
    if not told:
        return Histories(np.empty((0, 2), np.int64), *np.empty((2, 0, 0, 0), np.float32))
    places = sorted(told)
    return Histories(
        np.concatenate([told[place].where + np.array([place[0][0], place[1][0]]) for place in places]),
        np.concatenate([told[place].observed for place in places]),
        np.concatenate([told[place].expected for place in places]),
    )
