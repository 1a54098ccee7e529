"""Finished detections, kept between runs: a detector whose inputs have not changed is not run again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import geopandas as gpd
import xarray as xr

from illegalmining.atomic import PRIVATE, PRIVATE_FOLDER, atomic_folder, make_folder, sweep, sync
from illegalmining.detect.findings import Findings, Remark
from illegalmining.errors import InputError


@dataclass(frozen=True)
class Watched:
    """One detector's findings over one source.

    about: name, sensor, first and last date, number of dates, pixel_dates: what the map says of its sources.
    quarantine: rows set aside while reading the source. picture: a WebP of the district and its bounds in degrees
    (west, south, east, north), from sources that make one.
    """

    findings: Findings
    about: dict[str, Any]
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    picture: tuple[bytes, tuple[float, float, float, float]] | None = None


def key_of(*parts: Any) -> str:
    """A digest of everything a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def load(folder: Path) -> Watched | None:
    """What was kept in `folder`; None where nothing whole is there."""
    if not (folder / "about.json").is_file():
        return None
    kept = json.loads((folder / "about.json").read_text("utf-8"))
    coverage = None
    if (folder / "smallest_site.nc").is_file():
        with xr.open_dataset(folder / "smallest_site.nc", engine="h5netcdf", decode_coords="all") as stored:
            coverage = stored["smallest_site_m2"].load()
    picture = None
    if kept["picture_bounds"]:
        picture = ((folder / "picture.webp").read_bytes(), tuple(kept["picture_bounds"]))
    detections = gpd.read_parquet(folder / "detections.parquet")
    findings = Findings(detections, coverage, tuple(Remark(*said) for said in kept["remarks"]))
    return Watched(findings, kept["about"], kept["quarantine"], picture)


def save(folder: Path, watched: Watched) -> None:
    """Keep a finished result, whole or not at all."""
    with atomic_folder(folder) as partial:
        watched.findings.detections.to_parquet(partial / "detections.parquet")
        coverage = watched.findings.smallest_site_m2
        if coverage is not None:
            # made in memory, because HDF5 ends the process where the disk is full; a cluster would be asked for a lock
            with dask.config.set(scheduler="synchronous"):
                made = coverage.rename("smallest_site_m2").to_netcdf(engine="h5netcdf")
            (partial / "smallest_site.nc").write_bytes(made)
        if watched.picture:
            (partial / "picture.webp").write_bytes(watched.picture[0])
        kept = {
            "about": watched.about,
            "remarks": watched.findings.remarks,
            "quarantine": watched.quarantine,
            "picture_bounds": watched.picture[1] if watched.picture else None,
        }
        (partial / "about.json").write_text(json.dumps(kept, ensure_ascii=False, sort_keys=True), "utf-8")


@contextmanager
def only_run(state: Path) -> Iterator[None]:
    """Hold the district: a second run on it at the same time is refused.

    Raises
    ------
    InputError
        Another run holds it, or the folder cannot be written.
    """
    try:
        make_folder(state, PRIVATE_FOLDER)
        lock = os.fdopen(os.open(state / "lock", os.O_WRONLY | os.O_CREAT, PRIVATE), "w")
    except OSError as error:
        raise InputError(f"{state}: cannot be written ({error.strerror}); run on a copy you may write to") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{state}: another run holds this district; wait until it ends") from error
        sync(state.parent)  # a run that was killed may have made folders there and got no further
        sweep(state)
        yield


def is_held(state: Path) -> bool:
    """Whether a run holds the district now."""
    if not (state / "lock").is_file():
        return False
    with (state / "lock").open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
