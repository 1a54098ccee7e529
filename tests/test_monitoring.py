"""The memory between nights: what it spares, and that it changes nothing."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr
import zarr

from illegalmining import atomic
from illegalmining.atomic import sweep
from illegalmining.chunks import COMPRESSION, Chunked, Picked, Window
from illegalmining.detect.change import ChangeParameters
from illegalmining.detect.changed_ground import monitor, regions
from illegalmining.detect.findings import Findings
from illegalmining.detect.radar import detect_radar
from illegalmining.detect.surface import SurfaceParameters, detect_surface, surface_stack
from illegalmining.errors import DiskError, InputError
from illegalmining.monitoring import MonitoringArchive

HISTORY, MONITOR, AS_OF = "2023-01-01", "2026-01-01", "2026-06-30"
DAY = np.timedelta64(1, "D")


def ground(seed: int = 5, size: int = 70) -> xr.Dataset:
    """Grass seen every 15 days through some cloud, and a pit of coal from March on."""
    generator = np.random.default_rng(seed)
    days = pd.date_range(HISTORY, AS_OF, freq="15D")
    wave = 0.3 * np.cos(2 * np.pi * (days.dayofyear.to_numpy() - 200) / 365.25)[:, None, None]
    rows, columns = np.mgrid[:size, :size]
    pit = (rows - 40) ** 2 + (columns - 35) ** 2 <= 49
    data = {}
    cloud = generator.random((len(days), size, size)) < 0.2
    for name, level, slope in (("green", -2.8, -0.5), ("red", -2.9, -1), ("nir", -1.2, 1), ("swir16", -1.6, 0.2)):
        values = level + slope * wave + 0.05 * generator.standard_normal((len(days), size, size))
        values[days >= "2026-03-01"] = np.where(
            pit, -3.0 + 0.05 * values[days >= "2026-03-01"], values[days >= "2026-03-01"]
        )
        values[cloud] = np.nan
        data[name] = (("time", "y", "x"), np.exp(values).astype(np.float32))
    grid = {"y": 4_100_000.0 - 10 * np.arange(size) - 5, "x": 500_000.0 + 10 * np.arange(size) + 5}
    return xr.Dataset(data, coords={"time": days, **grid}).rio.write_crs("EPSG:4546")


def counted(cube: xr.Dataset, reads: Counter) -> xr.Dataset:
    """The same cube, lazily, one chunk a date; every date that is read is counted."""

    def slowly(band: xr.DataArray) -> xr.DataArray:
        def read(block_info: dict) -> np.ndarray:
            first = block_info[None]["array-location"][0][0]
            reads[str(cube.time.values[first])[:10]] += 1
            return band.values[first : first + 1]

        chunks = ((1,) * band.sizes["time"], *band.shape[1:])
        lazy = da.map_blocks(read, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
        return band.copy(data=lazy)

    return cube.assign({name: slowly(band) for name, band in cube.data_vars.items()})


def archive(folder: Path, cube: xr.Dataset, changed: dict[str, str] | None = None) -> MonitoringArchive:
    """An archive that knows each date by its day, and some by another fingerprint."""
    inputs = {int((stamp - np.datetime64(0, "D")) // DAY): str(stamp)[:10] for stamp in cube.time.values}
    inputs = {day: (changed or {}).get(name, name) for day, name in inputs.items()}
    return MonitoringArchive(folder, inputs, "these parameters")


def same(one: Findings, other: Findings) -> None:
    """Assert that two findings are alike to the bit."""
    pd.testing.assert_frame_equal(pd.DataFrame(one.detections), pd.DataFrame(other.detections), check_exact=True)
    xr.testing.assert_identical(one.smallest_site_m2, other.smallest_site_m2)


def night(cube: xr.Dataset, folder: Path, as_of: str, **more: dict) -> tuple[Findings, Counter]:
    """One run with a memory, and the dates it read."""
    reads: Counter = Counter()
    lazy = counted(cube, reads)
    return detect_surface(lazy, HISTORY, MONITOR, as_of, archive=archive(folder, cube, **more)), reads


def test_one_new_date_is_all_that_is_read_and_nothing_changes(tmp_path: Path) -> None:
    cube = ground()
    days = [str(stamp)[:10] for stamp in cube.time.values if str(stamp)[:10] >= "2026-04-20"]
    night(cube, tmp_path, days[0])
    for day in days[1:]:
        found, reads = night(cube, tmp_path, day)
        assert set(reads) == {day}
        same(found, detect_surface(cube, HISTORY, MONITOR, day))
    assert len(found.detections) == 1
    again, reads = night(cube, tmp_path, days[-1])
    assert not reads
    same(again, found)


def test_what_leaves_the_tiles_is_all_that_regions_are_drawn_from() -> None:
    """A pit across tiles, of which every ninth pixel stays as it was: it belongs to the region and shows no change."""
    rows, columns = np.mgrid[:70, :70]
    spared = (rows % 3 == 1) & (columns % 3 == 1)
    cube = ground(seed=6).where(~spared, ground(seed=6).isel(time=slice(0, 60)).mean("time"))
    given = HISTORY, MONITOR, AS_OF, SurfaceParameters(change=ChangeParameters(tile=16, block=32))
    found, whole = detect_surface(cube, *given), regions(monitor(surface_stack(cube, *given)))
    assert len(found.detections) == 1
    same(found, whole)


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_while_regions_are_drawn_breaks_the_night_off(
    fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk says of a file once that it could not be written, and of the next try that all is well."""
    proper, failed = atomic.sync, []

    def failing(path: Path) -> None:
        if not failed and path.parent.name == "coefficients":
            failed.append(path)
            raise OSError(fault, "said once")
        proper(path)

    monkeypatch.setattr(atomic, "sync", failing)
    said = (DiskError, "No space left") if fault == errno.ENOSPC else (OSError, "said once")
    with pytest.raises(said[0], match=said[1]):
        night(ground(), tmp_path, AS_OF)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_late_scenes_are_fed_in_their_place(tmp_path: Path) -> None:
    cube = ground()
    stamps = cube.time.values
    late = int(np.flatnonzero(stamps >= np.datetime64("2026-05-25"))[0])
    without = cube.isel(time=np.delete(np.arange(len(stamps)), late))
    for day in stamps[late - 3 :]:
        night(without, tmp_path, str(day)[:10])
    found, reads = night(cube, tmp_path, AS_OF)
    assert set(reads) == {str(day)[:10] for day in stamps[late:]}, "only what follows the late scene is fed again"
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))


def test_a_scene_later_than_every_state_is_fed_from_the_start_of_monitoring(tmp_path: Path) -> None:
    cube = ground()
    night(cube, tmp_path, AS_OF)
    found, reads = night(cube, tmp_path, AS_OF, changed={"2026-02-14": "processed again"})
    watched = {str(day)[:10] for day in cube.time.values if day >= np.datetime64(MONITOR)}
    assert set(reads) == watched
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))


def test_a_changed_history_makes_another_baseline(tmp_path: Path) -> None:
    cube = ground()
    night(cube, tmp_path, AS_OF)
    found, reads = night(cube, tmp_path, AS_OF, changed={str(cube.time.values[3])[:10]: "processed again"})
    assert len(reads) == cube.sizes["time"]
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))
    assert len(list(tmp_path.iterdir())) == 1, "the series that nobody needs any more is gone"


def test_a_night_that_breaks_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cube = ground()
    night(cube, tmp_path, "2026-05-31")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    monkeypatch.setattr("illegalmining.detect.changed_ground.region_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        night(cube, tmp_path, AS_OF)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    monkeypatch.undo()
    found, _ = night(cube, tmp_path, AS_OF)
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))


class Killed(BaseException):
    """What no one catches, after which nothing is cleaned up."""


@pytest.mark.parametrize("files", range(5))
def test_a_night_killed_after_any_file_of_its_state_is_as_if_it_had_not_begun(
    files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on from another and had so many of its four files written, or was about to draw regions."""
    cube, day, left = ground(), "2026-05-31", [files]
    night(cube, tmp_path, day)

    def killed(path: Any, *_: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return path

    monkeypatch.setattr("illegalmining.chunks.fresh", killed)
    monkeypatch.setattr("illegalmining.detect.changed_ground.region_rows", killed)
    monkeypatch.setattr("illegalmining.atomic.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        night(cube, tmp_path, AS_OF)
    monkeypatch.undo()
    sweep(tmp_path)
    found, reads = night(cube, tmp_path, AS_OF)
    assert set(reads) == {str(stamp)[:10] for stamp in cube.time.values if str(stamp)[:10] > day}
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))


def test_a_kill_while_a_state_is_dropped_leaves_none_that_is_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a scene comes late for which that state would have been the one to go on from."""
    cube = ground()
    stamps = cube.time.values
    late = int(np.flatnonzero(stamps >= np.datetime64("2026-04-10"))[0])
    without = cube.isel(time=np.delete(np.arange(len(stamps)), late))
    for day in (*stamps[[late - 1]], *stamps[late + 1 : late + 3]):
        night(without, tmp_path, str(day)[:10])
    removing, last = shutil.rmtree, str(stamps[late + 3])[:10]

    def killed(path: Path, **named: bool) -> None:
        """Some of it goes, and then the process does."""
        if Path(path).exists():
            next(Path(path).rglob("0.*")).unlink()
            raise KeyboardInterrupt
        removing(path, **named)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        night(without, tmp_path, last)
    monkeypatch.undo()
    sweep(tmp_path)
    found, _ = night(cube, tmp_path, last)
    same(found, detect_surface(cube, HISTORY, MONITOR, last))


def test_states_of_long_ago_are_dropped_and_their_records_kept(tmp_path: Path) -> None:
    cube = ground()
    days = [str(stamp)[:10] for stamp in cube.time.values if stamp >= np.datetime64(MONITOR)]
    for day in days:
        night(cube, tmp_path, day)
    states = list(tmp_path.glob("*/*/watch"))
    assert 2 <= len(states) <= 4
    assert len(list(tmp_path.glob("*/*/codes"))) == len(days) + 1


def test_a_date_that_shows_nothing_of_a_tile_leaves_its_state_as_it_lies(tmp_path: Path) -> None:
    """Cloud over the western tile on one date: its state is the former one's file, and nothing changes."""
    cube = ground(size=200)
    stamps = cube.time.values[cube.time.values >= np.datetime64("2026-04-20")]
    dark = (cube.time == stamps[1]) & (cube.x < 500_000.0 + 10 * 128)
    cube = cube.where(~dark).transpose("time", "y", "x").rio.write_crs("EPSG:4546")
    for stamp in stamps[:3]:
        day = str(stamp)[:10]
        found, _ = night(cube, tmp_path, day)
        same(found, detect_surface(cube, HISTORY, MONITOR, day))
        assert len(found.detections) == 1
    (series,) = tmp_path.iterdir()
    runs = sorted(series.glob("*/run.json"), key=lambda path: len(json.loads(path.read_text())["scenes"]))
    west, east = ({path.parent / "watch" / "numbers" / f"0.0.{at}" for path in runs[:2]} for at in (0, 1))
    assert len({path.stat().st_ino for path in west}) == 1
    assert len({path.stat().st_ino for path in east}) == 2


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "cut short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "something else": lambda content: content[:12] + content[12:16][::-1] + content[16:],
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_state_that_is_not_as_it_was_written_is_said_and_made_anew(name: str, tmp_path: Path) -> None:
    cube = ground(size=20)
    night(cube, tmp_path, "2026-06-10")
    chunk = next(tmp_path.glob("*/*/watch/numbers/0.0.0"))
    chunk.write_bytes(SPOILS[name](chunk.read_bytes()))
    with pytest.raises(InputError, match=r"0\.0\.0: what was remembered of a tile cannot be read.*remove"):
        night(cube, tmp_path, AS_OF)
    shutil.rmtree(next(tmp_path.iterdir()))
    found, _ = night(cube, tmp_path, AS_OF)
    same(found, detect_surface(cube, HISTORY, MONITOR, AS_OF))


WINDOWS = [((0, 5), (0, 7)), ((3, 41), (30, 50)), ((31, 33), (0, 50)), ((32, 64), (16, 32)), ((16, 32), (16, 32))]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_read_as_zarr_reads_it(tmp_path: Path, window: Window) -> None:
    values = np.random.default_rng(6).integers(0, 9, (3, 70, 50)).astype("f4")
    values[:, 32:48, 16:32] = 0  # a chunk that Zarr leaves out
    kept = {"dtype": "f4", "compressors": COMPRESSION, "fill_value": 0, "zarr_format": 2}
    made = zarr.create_array(str(tmp_path / "a"), shape=values.shape, chunks=(3, 16, 16), **kept)
    made[:] = values
    assert not (tmp_path / "a" / "0.2.1").exists()
    (top, bottom), (left, right) = window
    array = Chunked(tmp_path / "a", values.shape, 16, "<f4")
    np.testing.assert_array_equal(array.read(window), values[:, top:bottom, left:right].reshape(3, -1))
    rows, columns = (axis.ravel() for axis in np.mgrid[top:bottom, left:right])
    np.testing.assert_array_equal(array.pick(Picked.of(rows, columns, 16)), values[:, rows, columns])


def test_what_is_written_in_tiles_is_what_zarr_reads(tmp_path: Path) -> None:
    """Tiles of one chunk, of several, and of part of one at the array's end; one of nothing but zeros has no file."""
    values = np.random.default_rng(7).integers(0, 9, (3, 70, 50)).astype("f4")
    values[:, :32, :16] = 0
    array = Chunked(tmp_path / "a", values.shape, 16, "<f4")
    array.make()
    for top, bottom in ((0, 32), (32, 48), (48, 70)):
        for left, right in ((0, 16), (16, 32), (32, 50)):
            array.write(((top, bottom), (left, right)), values[:, top:bottom, left:right].reshape(3, -1))
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[:], values)
    assert not (tmp_path / "a" / "0.0.0").exists()


def test_what_is_taken_over_from_another_array_is_never_written_into(tmp_path: Path) -> None:
    """Done again by another worker, a tile is another file; the array it was taken from stands."""
    window = ((0, 16), (0, 16))
    former, new = (Chunked(tmp_path / name, (2, 16, 16), 16, "<f4") for name in "ab")
    former.make()
    new.make()
    ones = np.ones((2, 256), "f4")
    former.write(window, ones)
    for _ in range(2):
        new.take(former, window)
        np.testing.assert_array_equal(new.read(window), ones)
    new.write(window, 2 * ones)
    np.testing.assert_array_equal(former.read(window), ones)
    new.take(former, window)
    new.write(window, 0 * ones)
    np.testing.assert_array_equal(new.read(window), 0 * ones)


def test_radar_is_remembered_across_its_tiles(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    days = pd.date_range(HISTORY, AS_OF, freq="24D")
    level = np.full((len(days), 150, 200), -12.0)
    level[np.ix_(days >= "2026-02-01", range(110, 117), range(125, 132))] += 5.0
    power = (10 ** (level / 10) * generator.gamma(9, 1 / 9, level.shape)).astype(np.float32)
    grid = {"y": 4_100_000.0 - 20 * np.arange(150), "x": 500_000.0 + 20 * np.arange(200)}
    cube = xr.Dataset({"vv": (("time", "y", "x"), power)}, coords={"time": days, **grid}).rio.write_crs("EPSG:4546")
    for as_of in ("2026-05-31", AS_OF):
        found = detect_radar(cube, HISTORY, MONITOR, as_of, archive=archive(tmp_path, cube))
        same(found, detect_radar(cube, HISTORY, MONITOR, as_of))
    assert len(found.detections) == 1
