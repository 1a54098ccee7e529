"""One detector over the district's sources: opened lazily, looked at once, remembered until an input changes."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from glob import escape
from typing import Any

import xarray as xr

from illegalmining.atomic import atomic_folder, remove_folder, write_bytes
from illegalmining.checkpoint import Watched, key_of, load, save
from illegalmining.compute import hear, watched_by
from illegalmining.detect.findings import Findings
from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.open import dated_files, open_source, source_files, stored_inputs
from illegalmining.imagery.picture import LOOKED_AT, SCENES, picture
from illegalmining.imagery.scenes import known_headers
from illegalmining.journal import Journal, digests
from illegalmining.monitoring import MonitoringArchive
from illegalmining.publish.content import Picture
from illegalmining.registers.read import Registers

LAST = "last.json"
"""Beside the findings: what the last run asked for, and the name of what answers it."""


@dataclass(frozen=True)
class Detector:
    """A detector ready to run: `detect` takes a cube of `sensor`; `given` is all else its result depends on.

    sequential: it takes an archive too, and goes on from what it left there.
    """

    name: str
    sensor: str
    detect: Callable[..., Findings]
    given: Any
    sequential: bool = False


def watch(district: District, journal: Journal, detector: Detector) -> list[Watched]:
    """The detector's findings over every source of its sensor; a source that cannot be used is set aside and said."""
    watched = []
    for source in district.configuration.imagery:
        if source.sensor != detector.sensor:
            continue
        try:
            watched.append(watch_source(district, journal, detector, source))
        except InputError as error:
            journal.set_aside(source.href, f"imagery {source.name}", error)
    return watched


def watch_source(district: District, journal: Journal, detector: Detector, source: ImagerySource) -> Watched:
    """The detector's findings over one source."""
    quarantine: list[dict[str, Any]] = []

    @cache
    def opened() -> xr.Dataset:
        try:
            with known_headers(district.state / "headers" / f"{source.name}.json"):
                return open_source(source, district, quarantine)
        except InputError:
            journal.quarantine.extend(quarantine)
            raise

    def compute() -> Watched:
        cube = opened()
        kept = archive(district, detector, source, cube, known) if detector.sequential else None
        findings = detector.detect(cube, kept) if kept else detector.detect(cube)
        hear()
        ground = ground_of(cube, kept, quarantine) if kept and source.sensor == "optical" else None
        return Watched(findings, about(detector.name, source, cube), quarantine, ground)

    def dates() -> list[str]:
        return opened()["time"].values.astype("datetime64[D]").astype(str).tolist()

    with journal.stage(f"{detector.name}: {source.name}") as entry:
        files, known = source_digests(district, source)
        journal.inputs.update(files)
        given = (source.model_dump(), files, detector.given)
        read: list[int] = []

        def done(**facts: Any) -> None:
            read.append(facts["pixel_dates"])
            journal.note("tile", stage=entry["stage"], **facts)

        with watched_by(done):
            # of what lies elsewhere not every file is known, so that a later day may bring more of the same dates
            asked = None if "://" in source.href else dates
            watched = remembered(district, f"{detector.name}-{source.name}", given, compute, entry, asked)
        looked_at = sum(read) if detector.sequential else watched.about["pixel_dates"]
        entry["pixel_dates"] = 0 if entry["remembered"] else looked_at
    return watched


def source_digests(district: District, source: ImagerySource) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """SHA-256 of every file of a source, and what `journal.digests` knows of each by its whole path.

    Of what lies in an object store its own word for the content stands for the digest.
    Files that nobody has written to since the last run are not read again.
    """
    path = district.state / "digests" / f"{source.name}.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    before = dict(known)
    files = digests(source_files(source, district), district.root, known)
    if known != before:
        write_bytes(path, json.dumps(known, sort_keys=True).encode())
    return files | stored_inputs(source, district), known


def archive(
    district: District, detector: Detector, source: ImagerySource, cube: xr.Dataset, known: dict[str, list[Any]]
) -> MonitoringArchive:
    """What the detector left of this source on earlier nights, each date known by the digests of its files."""
    section = district.configuration.district
    behind = dated_files(source, district)
    inputs = {}
    for stamp in cube["time"].values.astype("datetime64[D]"):
        names = behind.get(stamp.item(), sorted(known))
        inputs[int(stamp.astype(int))] = key_of([known.get(name, [name])[-1] for name in names])
    rests_on = (
        importlib.metadata.version("illegalmining"),
        section.history_from,
        section.monitor_from,
        source.model_dump(),
        str(cube.odc.geobox),
        sorted(map(str, cube.data_vars)),
        detector.given,
    )
    folder = district.state / "monitoring" / f"{detector.name}-{source.name}"
    return MonitoringArchive(folder, inputs, rests_on)


def ground_of(cube: xr.Dataset, archive: MonitoringArchive, quarantine: list[dict[str, Any]]) -> Picture | None:
    """The picture of the ground, of scenes up to the end of the month before the last date's.

    It takes more scenes than a night brings. So it is made once a month, and kept beside what the detector remembers.
    """
    month = cube["time"].values[-1].astype("datetime64[M]")
    before = cube.isel(time=cube["time"].values < month)
    chosen = before if before.sizes["time"] >= SCENES else cube
    days = chosen["time"].values[-LOOKED_AT:].astype("datetime64[D]").astype(int).tolist()
    key = key_of(archive.rests_on, [(day, archive.inputs[day]) for day in days])
    home = archive.folder.parent.parent / "pictures" / archive.folder.name
    if not (home / key).is_dir():
        known = len(quarantine)
        made = picture(chosen)
        hear()
        with atomic_folder(home / key) as partial:
            if made:
                (partial / "ground.webp").write_bytes(made[0])
            about = {"bounds": made[1] if made else None, "quarantine": quarantine[known:]}
            (partial / "about.json").write_text(json.dumps(about, ensure_ascii=False, sort_keys=True), "utf-8")
        for other in home.iterdir():
            if other.name != key:
                remove_folder(other)
        return made
    about = json.loads((home / key / "about.json").read_text("utf-8"))
    quarantine.extend(about["quarantine"])
    return ((home / key / "ground.webp").read_bytes(), tuple(about["bounds"])) if about["bounds"] else None


def remembered(
    district: District,
    name: str,
    given: Any,
    compute: Callable[[], Watched],
    entry: dict[str, Any],
    dates: Callable[[], list[str]] | None = None,
) -> Watched:
    """What was computed before from the same inputs, else computed now and kept.

    dates: the days that the result rests on, where of `as_of` it takes no more than that they lie before it: then a
    night that brings none computes nothing. They are asked for only where something is not as it was the last time.

    A fresh result is read back too, so that a run that resumes gives to the byte what an unbroken one gives.
    """
    days = district.configuration.district.model_dump(exclude={"name", "language"})
    home, version = district.state / "findings" / name, importlib.metadata.version("illegalmining")
    key = asked = key_of(version, days, given)
    last = json.loads((home / LAST).read_text("utf-8")) if (home / LAST).is_file() else {}
    if dates is not None:
        key = last[asked] if asked in last else key_of(version, days | {"as_of": None}, given, dates())
    watched = load(home / key)
    entry["remembered"] = watched is not None
    if watched is None:
        save(home / key, compute())
        watched = load(home / key)
    assert watched is not None, f"{home / key} was just written"
    if dates is not None and asked not in last:
        write_bytes(home / LAST, json.dumps({asked: key}).encode())
    entry["detections"] = len(watched.findings.detections)
    return watched


def about(detector: str, source: ImagerySource, cube: xr.Dataset) -> dict[str, Any]:
    """What the map says of a source."""
    times = cube["time"].values
    bands = [name for name, band in cube.data_vars.items() if "time" in band.dims]
    return {
        "detector": detector,
        "name": source.name,
        "sensor": source.sensor,
        "first": str(times[0])[:10],
        "last": str(times[-1])[:10],
        "dates": len(times),
        "bands": bands,
        "scenes_beside": int(cube.attrs.get("scenes_beside", 0)),
        "pixel_dates": int(cube.sizes["y"] * cube.sizes["x"] * len(times)),
    }


def register_digests(district: District, registers: Registers, names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of the files behind the named registers, sidecars (.dbf, .cpg, ...) included."""
    paths = [registers.files[name] for name in names if name in registers.files]
    return digests([file for path in paths for file in path.parent.glob(f"{escape(path.stem)}.*")], district.root)


def parameters_of(*parameters: Any) -> list[Any]:
    """Parameters as plain values, for a key."""
    return [asdict(parameter) for parameter in parameters]
