"""One detector over the district's sources: opened lazily, looked at once, remembered until an input changes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import xarray as xr

from illegalmining.checkpoint import Watched, key_of, load, save
from illegalmining.detect.findings import Findings
from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.open import open_source, source_files
from illegalmining.imagery.picture import picture
from illegalmining.journal import Journal, digests
from illegalmining.registers.read import Registers


@dataclass(frozen=True)
class Detector:
    """A detector ready to run: `detect` takes a cube of `sensor`; `given` is all else its result depends on."""

    name: str
    sensor: str
    detect: Callable[[xr.Dataset], Findings]
    given: Any


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

    def compute() -> Watched:
        quarantine: list[dict[str, Any]] = []
        cube = open_source(source, district, quarantine)
        findings = detector.detect(cube)
        ground = picture(cube) if source.sensor == "optical" else None
        return Watched(findings, about(detector.name, source, cube), quarantine, ground)

    with journal.stage(f"{detector.name}: {source.name}") as entry:
        files = digests(source_files(source, district), district.root)
        journal.inputs.update(files)
        given = (source.model_dump(), files, detector.given)
        watched = remembered(district, f"{detector.name}-{source.name}", given, compute, entry)
        entry["pixel_dates"] = 0 if entry["remembered"] else watched.about["pixel_dates"]
    return watched


def remembered(
    district: District, name: str, given: Any, compute: Callable[[], Watched], entry: dict[str, Any]
) -> Watched:
    """What was computed before from the same inputs, else computed now and kept.

    A fresh result is read back too, so that a run that resumes gives to the byte what an unbroken one gives.
    """
    days = district.configuration.district.model_dump(exclude={"name", "language"})
    key = key_of(importlib.metadata.version("illegalmining"), days, given)
    folder = district.state / "findings" / name / key
    watched = load(folder)
    entry["remembered"] = watched is not None
    if watched is None:
        save(folder, compute())
        watched = load(folder)
    assert watched is not None, f"{folder} was just written"
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
        "pixel_dates": int(cube.sizes["y"] * cube.sizes["x"] * len(times)),
    }


def register_digests(district: District, registers: Registers, names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of the files behind the named registers, sidecars (.dbf, .cpg, ...) included."""
    paths = [registers.files[name] for name in names if name in registers.files]
    return digests([file for path in paths for file in path.parent.glob(f"{path.stem}.*")], district.root)


def parameters_of(*parameters: Any) -> list[Any]:
    """Parameters as plain values, for a key."""
    return [asdict(parameter) for parameter in parameters]
