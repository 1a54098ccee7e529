"""One detector over the district's sources: opened lazily, looked at once, remembered until an input changes."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from glob import escape
from pathlib import Path
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

KEPT = 12
"""Earlier results of a source that are kept, for days that are asked for again: two months of Sentinel-2."""
LAST = "last.json"
"""Beside the findings: what the last run asked for, and the name of what answers it."""


@dataclass(frozen=True)
class Detector:
    """A detector ready to run: `detect` takes a cube of `sensor`; `given` is all else its result depends on.

    sequential: it takes an archive too, and goes on from what it left there. jointly: it takes the cubes of all sources
    at once, by name, and gives the findings of each.
    """

    name: str
    sensor: str
    detect: Callable[..., Any]
    given: Any
    sequential: bool = False
    jointly: bool = False


@dataclass
class Sources:
    """The sources of a detector, each opened when it is first asked for.

    opened, quarantine: cubes, and rows set aside while reading, by name. found: findings of all, once they are judged
    together.
    """

    district: District
    detector: Detector
    all: list[ImagerySource]
    opened: dict[str, xr.Dataset] = field(default_factory=dict)
    quarantine: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    found: dict[str, Findings] = field(default_factory=dict)

    def cube(self, source: ImagerySource) -> xr.Dataset:
        """A source's cube; raises InputError where it cannot be used."""
        if source.name not in self.opened:
            aside = self.quarantine[source.name] = []
            with known_headers(self.district.state / "headers" / f"{source.name}.json"):
                self.opened[source.name] = open_source(source, self.district, aside)
        return self.opened[source.name]

    def judged_with(self, source: ImagerySource) -> list[ImagerySource]:
        """The sources that the findings over one rest on: itself first, then those it is judged together with."""
        return [source, *(other for other in self.all if self.detector.jointly and other is not source)]

    def cubes(self, wanted: list[ImagerySource]) -> dict[str, xr.Dataset]:
        """The cubes of those sources that can be used, by name; what is amiss with others is said at their own turn."""
        usable = {}
        for source in wanted:
            with suppress(InputError):
                usable[source.name] = self.cube(source)
        return usable

    def together(self) -> dict[str, Findings]:
        """The findings over every source that can be used, all judged in one call."""
        if not self.found:
            self.found = self.detector.detect(self.cubes(self.all))
        return self.found


def watch(district: District, journal: Journal, detector: Detector) -> list[Watched]:
    """The detector's findings over every source of its sensor; a source that cannot be used is set aside and said."""
    watched = []
    sources = Sources(
        district, detector, [source for source in district.configuration.imagery if source.sensor == detector.sensor]
    )
    for source in sources.all:
        try:
            watched.append(watch_source(sources, journal, source))
        except InputError as error:
            journal.set_aside(source.href, f"imagery {source.name}", error)
    return watched


def watch_source(sources: Sources, journal: Journal, source: ImagerySource) -> Watched:
    """The detector's findings over one source."""
    district, detector = sources.district, sources.detector
    behind = sources.judged_with(source)

    def compute() -> Watched:
        cube, quarantine = sources.cube(source), sources.quarantine[source.name]
        kept = archive(district, detector, source, cube, known) if detector.sequential else None
        if detector.jointly:
            findings = sources.together()[source.name]
        else:
            findings = detector.detect(cube, kept) if kept else detector.detect(cube)
        hear()
        ground = ground_of(cube, kept, quarantine) if kept and source.sensor == "optical" else None
        return Watched(findings, about(detector.name, source, cube), quarantine, ground)

    def dates() -> dict[str, list[str]]:
        sources.cube(source)
        cubes = sources.cubes(behind)
        return {name: cube["time"].values.astype("datetime64[D]").astype(str).tolist() for name, cube in cubes.items()}

    with journal.stage(f"{detector.name}: {source.name}") as entry:
        files, known = source_digests(district, source)
        journal.inputs.update(files)
        given = (source.model_dump(), files, detector.given, digests_beside(district, behind[1:]))
        read: list[int] = []

        def done(**facts: Any) -> None:
            read.append(facts["pixel_dates"])
            journal.note("tile", stage=entry["stage"], **facts)

        # of what lies elsewhere not every file is known, so that a later day may bring more of the same dates
        asked = None if any("://" in one.href for one in behind) else dates
        try:
            with watched_by(done):
                watched = remembered(district, f"{detector.name}-{source.name}", given, compute, entry, asked)
        except InputError:
            journal.quarantine.extend(sources.quarantine.get(source.name, []))
            raise
        looked_at = sum(read) if detector.sequential else watched.about["pixel_dates"]
        entry["pixel_dates"] = 0 if entry["remembered"] else looked_at
    return watched


def digests_beside(district: District, others: list[ImagerySource]) -> list[Any]:
    """Sources that another is judged together with, and their files' digests."""
    known = []
    for other in others:
        with suppress(InputError):  # a source that cannot be used is judged together with nothing
            known.append((other.model_dump(), source_digests(district, other)[0]))
    return known


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
    dates: Callable[[], Any] | None = None,
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
        forget(home, home / key)
    assert watched is not None, f"{home / key} was just written"
    if dates is not None and asked not in last:
        write_bytes(home / LAST, json.dumps({asked: key}).encode())
    entry["detections"] = len(watched.findings.detections)
    return watched


def forget(home: Path, mine: Path) -> None:
    """Drop results of long ago: of those beside `mine` only the newest are kept."""
    others = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".") and path != mine]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)[KEPT:]:
        remove_folder(path)


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
