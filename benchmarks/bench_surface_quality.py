"""What the optical and radar detectors find in simulated districts, alone and together, and what they invent.

Usage: bench_surface_quality.py [FIRST_SEED LAST_SEED] [PRESET ...] [--keep FOLDER] [--jobs N] [--delay]

Each district is 4 km x 4 km with a dozen pits of 0.1 to 2 ha (coal, limestone, soil), and on the same ground crops
whose calendar differs from year to year, two fires, two building sites and a reservoir drawn down every year: more
innocent change for its size than the demo has. Nothing here knows what the detectors hold likely.

found: a region of probability above one half on the pit. false: such a region off every pit, per 100 km2 and year.
overlap: intersection over union of the reported outline and the ground dug. delay (--delay): clear observations of a
pit from the day 0.1 ha of it is dug until the first night that reports it, and from the first spade; optical images
alone, a night a scene, on a quarter of each district, what is known kept in this process; nothing else is measured.
Intervals are 90 %.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from scipy.stats import gamma

from illegalmining.cases.evaluate import share_interval
from illegalmining.cases.fuse import FusionParameters, bounded
from illegalmining.detect.baseline import Baseline, season
from illegalmining.detect.change import expected_of
from illegalmining.detect.memory import Codes, Layout, Place
from illegalmining.detect.radar import detect_radar
from illegalmining.detect.surface import detect_surface
from illegalmining.detect.watch import Watch
from illegalmining.simulate.optical import BANDS, optical_scenes
from illegalmining.simulate.plan import Event, Pit, Plan, blob
from illegalmining.simulate.preset import PRESETS, Preset
from illegalmining.simulate.radar import radar_scenes
from illegalmining.simulate.scene import Grid, dug_day, grid_of, make_ground

SIDE_M, SLOTS = 4000.0, 5
EVENTS = ("fire", "fire", "construction", "construction", "reservoir")
RADIUS = {"fire": (60, 140), "construction": (25, 45), "reservoir": (60, 120)}
PITS = 12
CLEAR = (4, 5, 6, 7)
SMALL_HA, LARGE_HA = 0.1, 0.5
CROP = 200
NEVER = 999


@dataclass(frozen=True)
class Case:
    """A simulated district: both cubes, its pits, and on the optical grid the day (from history_from) of each dig."""

    preset: Preset
    optical: xr.Dataset
    radar: xr.Dataset
    plan: Plan
    dug: np.ndarray
    number: np.ndarray


def plan_of(preset: Preset, seed: int) -> Plan:
    """Pits and innocent events, one a slot of a lattice so that none touches another."""
    rng = np.random.default_rng([seed, 77])
    plan = Plan()
    slots = rng.permutation(SLOTS * SLOTS)
    side = SIDE_M / SLOTS
    span = (preset.as_of - preset.monitor_from).days
    for at, slot in enumerate(slots[: PITS + len(EVENTS)]):
        x = preset.origin[0] + side * (slot % SLOTS + rng.uniform(0.4, 0.6))
        y = preset.origin[1] + side * (slot // SLOTS + rng.uniform(0.4, 0.6))
        start = preset.monitor_from + timedelta(days=int(span * rng.uniform(0.05, 0.6)))
        if at < PITS:
            hectares = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
            outline = blob(rng, x, y, float(np.sqrt(hectares * 1e4 / np.pi)))
            end = start + timedelta(days=int(rng.integers(60, 150)))
            plan.pits.append(Pit(outline, (x, y), start, end, str(rng.choice(["coal", "limestone", "soil"]))))
        else:
            kind = EVENTS[at - PITS]
            plan.events.append(Event(kind, blob(rng, x, y, float(rng.uniform(*RADIUS[kind]))), start))
    return plan


def make_case(name: str, seed: int) -> Case:
    """Simulate one district."""
    preset = replace(PRESETS[name], size_m=SIDE_M)
    plan = plan_of(preset, seed)
    grid = grid_of(preset, 10.0)
    days, images, classes = zip(*optical_scenes(preset, plan, make_ground(preset, plan, grid, seed), seed), strict=True)
    # the same first draw as the scenes' own, so that truth is what they show
    dug, number = replayed_digging(preset, plan, grid, seed)
    values = np.round(np.stack(images) * 1e4).astype(np.uint16)
    optical = cube_of(days, grid, preset.crs, {band: values[:, k] for k, band in enumerate(BANDS)})
    optical["scl"] = (("time", "y", "x"), np.stack(classes))
    coarse = grid_of(preset, 20.0)
    days, vv, vh = zip(*radar_scenes(preset, plan, make_ground(preset, plan, coarse, seed), seed), strict=True)
    radar = cube_of(days, coarse, preset.crs, {"vv": np.stack(vv), "vh": np.stack(vh)})
    return Case(preset, optical, radar, plan, dug, number)


def replayed_digging(preset: Preset, plan: Plan, grid: Grid, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """When each pixel is dug in the optical scenes, by drawing again what they draw."""
    rng = np.random.default_rng([seed, 21])
    for _ in range(preset.history_from.year, preset.as_of.year + 1):
        rng.normal(0, 9), rng.normal(1, 0.08)
    rng.normal(0, 14, (64, 4))
    return dug_day(grid, plan.pits, preset.history_from, rng)


def cube_of(days: tuple, grid: Grid, crs: str, bands: dict[str, np.ndarray]) -> xr.Dataset:
    """A cube in the contract's dimensions."""
    data = {name: (("time", "y", "x"), values) for name, values in bands.items()}
    return xr.Dataset(data, {"time": pd.DatetimeIndex(days), "y": grid.y, "x": grid.x}).rio.write_crs(crs)


def kept_case(name: str, seed: int, folder: Path | None) -> Case:
    """The district, from `folder` where it was simulated before."""
    if folder is None:
        return make_case(name, seed)
    path = folder / f"{name}-{seed}"
    preset = replace(PRESETS[name], size_m=SIDE_M)
    if not (path / "dug.npz").exists():
        made = make_case(name, seed)
        path.mkdir(parents=True, exist_ok=True)
        made.optical.to_zarr(path / "optical.zarr", mode="w", zarr_format=2)
        made.radar.to_zarr(path / "radar.zarr", mode="w", zarr_format=2)
        np.savez(path / "dug.npz", dug=made.dug, number=made.number)
    stored = np.load(path / "dug.npz")
    optical, radar = (
        xr.open_zarr(path / f"{kind}.zarr", decode_coords="all", consolidated=False).load()
        for kind in ("optical", "radar")
    )
    return Case(preset, optical, radar, plan_of(preset, seed), stored["dug"], stored["number"])


def reflectance(optical: xr.Dataset) -> xr.Dataset:
    """Stored counts to reflectance."""
    return optical.assign({band: optical[band].astype(np.float32) * np.float32(1e-4) for band in BANDS})


def joined(found: dict[str, gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Regions of both sensors that lie together as one, nats added as the cases add them."""
    rule = FusionParameters()
    rows = pd.concat(found.values(), ignore_index=True)
    if rows.empty:
        return rows
    outlines = rows.geometry.buffer(rule.join_m / 2).union_all()
    parts = shapely.get_parts(outlines)
    made = []
    for part in parts:
        inside = rows[rows.intersects(part)]
        best = inside.groupby("detector").log_lr.max().map(lambda nats: bounded(nats, rule.artefact))
        best = best.sort_values(ascending=False)
        lead = inside[(inside.detector == best.index[0]) & (inside.log_lr > 0)]
        if lead.empty:
            continue
        further = best.iloc[1:]
        nats = best.iloc[0] + further.where(further < 0, rule.further_weight * further).sum()
        made.append({"detector": "both", "log_lr": nats, "geometry": lead.union_all()})
    return gpd.GeoDataFrame(made, crs=rows.crs)


def outcome(case: Case, found: gpd.GeoDataFrame) -> tuple[list[dict], list[dict]]:
    """One row a pit, and one a false region."""
    alarms = found[found.log_lr > 0] if len(found) else found
    until = (case.preset.as_of - case.preset.history_from).days
    pits, on_pit = [], np.zeros(len(alarms), bool)
    for k, pit in enumerate(case.plan.pits):
        dug = case.number == k
        hectares = float((dug & (case.dug <= until)).sum() / 100)
        hits = alarms.intersects(pit.outline).to_numpy() if len(alarms) else np.zeros(0, bool)
        near = alarms.intersects(pit.outline.buffer(30)).to_numpy() if len(alarms) else np.zeros(0, bool)
        on_pit |= near
        overlap = np.nan
        if hits.any():
            seen = rasterised(alarms[hits].union_all(), case.optical)
            truth = dug & (case.dug <= until)
            overlap = float((seen & truth).sum() / (seen | truth).sum())
        pits.append({"pit": k, "material": pit.material, "hectares": hectares, "found": hits.any(), "overlap": overlap})
    false = []
    for row in alarms[~on_pit].itertuples():
        event = next((e.kind for e in case.plan.events if e.outline.buffer(30).intersects(row.geometry)), "ground")
        false.append({"what": event, "nats": row.log_lr, "hectares": row.geometry.area / 1e4, "at": row.geometry})
    return pits, false


def rasterised(outline: shapely.Geometry, cube: xr.Dataset) -> np.ndarray:
    """Pixels of the cube whose centre lies in an outline."""
    x, y = np.meshgrid(cube.x.values, cube.y.values)
    return shapely.contains_xy(outline, x, y)


def run(name: str, seed: int, keep: Path | None) -> tuple[str, int, dict[str, tuple[list[dict], list[dict]]], float]:
    """One district, by each sensor and by both."""
    case = kept_case(name, seed, keep)
    period = (case.preset.history_from, case.preset.monitor_from, case.preset.as_of)
    begun = time.perf_counter()
    found = {
        "surface": detect_surface(reflectance(case.optical), *period).detections,
        "radar": detect_radar(case.radar, *period).detections,
    }
    seconds = time.perf_counter() - begun
    found["both"] = joined(found)
    return name, seed, {sensor: outcome(case, rows) for sensor, rows in found.items()}, seconds


@dataclass
class Held:
    """A memory in this process: for thirty nights a district, folders made to survive a crash cost most of the time."""

    dates: int = 0
    days: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    tiles: dict[Place, tuple[Baseline, Watch, list[Codes], list[np.ndarray]]] = field(default_factory=dict)

    @contextmanager
    def open(self, days: np.ndarray, history: int, layout: Layout) -> Iterator[Held]:
        """This memory; the same dates as before and more must be given."""
        self.days = days
        yield self
        self.dates = len(days)

    def recall(self, place: Place) -> tuple[Baseline, Watch]:
        """Baseline and watch of a tile."""
        return self.tiles[place][:2]

    def keep(self, place: Place, baseline: Baseline, watch: Watch, codes: Codes, offset: np.ndarray) -> None:
        """Keep a tile after all dates."""
        _, _, seen, shared = self.tiles.get(place, (baseline, watch, [], []))
        self.tiles[place] = baseline, watch, [*seen, codes], [*shared, offset]

    def keep_unseen(self, place: Place, watch: Watch) -> None:
        """Keep a tile that shows nothing on the dates fed now."""
        baseline, _, seen, shared = self.tiles[place]
        fed = len(self.days) - self.dates
        hidden = np.zeros((fed, *seen[0].shape[1:]), np.uint8), np.zeros((fed, shared[0].shape[1]), np.float32)
        self.tiles[place] = baseline, watch, [*seen, hidden[0]], [*shared, hidden[1]]

    def settling(self) -> nullcontext[None]:
        """Nothing goes to the disk."""
        return nullcontext()

    def of(self, rows: np.ndarray, columns: np.ndarray) -> tuple[Codes, np.ndarray]:
        """Codes and expected values (N, T, K) of pixels by their rows and columns."""
        design = season(self.days.astype(float), 2)
        codes, expected = None, None
        for ((top, bottom), (left, right)), (baseline, _, seen, offset) in self.tiles.items():
            here = np.flatnonzero((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))
            pixels = (rows[here] - top) * (right - left) + columns[here] - left
            part = np.concatenate([each[:, :, pixels] for each in seen]).transpose(2, 0, 1)
            if codes is None:
                codes = np.empty((len(rows), *part.shape[1:]), np.uint8)
                expected = np.empty(codes.shape, np.float32)
            codes[here] = part
            expected[here] = expected_of(design, baseline.coefficients[:, :, pixels], np.concatenate(offset))
        return codes, expected


def delays(name: str, seed: int, keep: Path | None) -> list[tuple[int, int]]:
    """Clear observations from 0.1 ha, and from the first spade, until each pit is reported (NEVER where it is not)."""
    case = kept_case(name, seed, keep)
    part = reflectance(case.optical.isel(y=slice(0, CROP), x=slice(0, CROP)))
    days = part.time.values.astype("datetime64[D]")
    since = (days - np.datetime64(case.preset.history_from)).astype(int)
    number, dug = case.number[:CROP, :CROP], case.dug[:CROP, :CROP]
    whole = [k for k in range(len(case.plan.pits)) if (number == k).sum() == (case.number == k).sum() >= 10]
    reported: dict[int, int] = {}
    held = Held()
    for at in np.flatnonzero(days >= np.datetime64(case.preset.monitor_from)):
        found = detect_surface(part, case.preset.history_from, case.preset.monitor_from, str(days[at]), archive=held)
        alarms = found.detections[found.detections.log_lr > 0]
        for k in whole:
            if k not in reported and alarms.intersects(case.plan.pits[k].outline).any():
                reported[k] = int(since[at])
    told = []
    for k in whole:
        mask = number == k
        clear = since[np.isin(part.scl.values[:, mask], CLEAR).mean(axis=1) > 0.5]
        begun = np.sort(dug[mask])
        end = reported.get(k)
        told.append(
            tuple(int(((clear >= start) & (clear <= end)).sum()) if end else NEVER for start in (begun[9], begun[0]))
        )
    return told


def share_line(found: int, of: int) -> str:
    """A share with its interval."""
    low, high = share_interval(found, of)
    return f"{found}/{of} = {found / max(of, 1):.0%} ({low:.0%}-{high:.0%})"


def rate_line(count: int, exposure: float) -> str:
    """A Poisson rate with its interval."""
    low, high = gamma.ppf(0.05, max(count, 1e-9)) if count else 0.0, gamma.ppf(0.95, count + 1)
    return f"{count / exposure:.2f} ({low / exposure:.2f}-{high / exposure:.2f})"


def summary(name: str, sensor: str, results: list[tuple[list[dict], list[dict]]]) -> Iterator[str]:
    """The figures of one preset and sensor."""
    pits = pd.DataFrame([row for rows, _ in results for row in rows])
    false = pd.DataFrame([row for _, rows in results for row in rows], columns=["what", "nats", "hectares", "at"])
    years = (PRESETS[name].as_of - PRESETS[name].monitor_from).days / 365.25
    exposure = len(results) * SIDE_M**2 / 1e8 * years
    large, small = pits[pits.hectares >= LARGE_HA], pits[pits.hectares >= SMALL_HA]
    yield (
        f"{name:8} {sensor:8} >=0.5 ha {share_line(int(large.found.sum()), len(large))}, "
        f">=0.1 ha {share_line(int(small.found.sum()), len(small))}, "
        f"overlap median {small.overlap.median():.2f}, false {rate_line(len(false), exposure)} per 100 km2 and year"
        f" {false.what.value_counts().to_dict()}"
    )
    missed = small[~small.found.astype(bool)]
    yield f"{'':17} by material { {m: f'{int(g.found.sum())}/{len(g)}' for m, g in small.groupby('material')} }"
    if len(missed):
        yield f"{'':17} missed (ha): {sorted(missed.hectares.round(2).tolist())}"


def delay_line(name: str, told: list[tuple[int, int]]) -> str:
    """The delays of one preset's pits."""
    middle, late = np.median(told, axis=0), np.quantile(told, 0.9, axis=0, method="lower")
    early, never = np.mean(np.array(told)[:, 0] <= 3), sum(row[0] == NEVER for row in told)
    return (
        f"{name:8} delay in clear observations, {len(told)} pits: median {middle[0]:g} from 0.1 ha dug and "
        f"{middle[1]:g} from the first spade; nine in ten within {late[0]} and {late[1]}; {early:.0%} within 3 from "
        f"0.1 ha, {never} never"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="first and last seed, presets")
    parser.add_argument("--keep", type=Path, help="folder in which simulated districts are kept")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--delay", action="store_true", help="measure the delay alone, a night a scene")
    given = parser.parse_args()
    numbers = [int(word) for word in given.what if word.isdigit()] or [201, 202]
    presets = [word for word in given.what if not word.isdigit()] or ["plateau", "humid"]
    for name in presets:
        seeds = range(numbers[0], numbers[-1] + 1)
        if given.delay:
            print(delay_line(name, [row for seed in seeds for row in delays(name, seed, given.keep)]), flush=True)
            continue
        work = partial(run, name, keep=given.keep)
        if given.jobs > 1:
            with ProcessPoolExecutor(given.jobs) as pool:
                done = list(pool.map(work, seeds))
        else:
            done = [work(seed) for seed in seeds]
        for _, seed, by_sensor, seconds in done:
            said = {sensor: [(f["what"], round(f["nats"], 1)) for f in rows[1]] for sensor, rows in by_sensor.items()}
            print(f"{name} {seed}: {seconds:.1f} s, false {said}", flush=True)
        for sensor in ("surface", "radar", "both"):
            for line in summary(name, sensor, [by_sensor[sensor] for _, _, by_sensor, _ in done]):
                print(line, flush=True)


if __name__ == "__main__":
    main()
