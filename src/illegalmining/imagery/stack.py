"""A folder of GeoTIFFs with the date in the file name, to layers."""

from __future__ import annotations

import glob
import re
from datetime import date
from glob import has_magic
from pathlib import Path, PurePath
from typing import Any

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.bands import ONLY_BAND, band_of
from illegalmining.imagery.layers import Header, Layer
from illegalmining.imagery.scenes import check_period, headers, in_period, none_usable
from illegalmining.registers.quarantine import SetAside, relative_name
from illegalmining.storage import found, in_store

DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_]?(\d{2})[-_]?(\d{2})(?!\d)")


def stack_layers(source: ImagerySource, district: District, quarantine: list[dict[str, Any]]) -> list[Layer]:
    """Every band of every file in the period.

    Raises
    ------
    InputError
        The glob matches nothing, or no file in the period can be used.
    """
    dated = []
    for path in stack_addresses(source, district):
        day = day_in(PurePath(path).name, last=source.sensor == "displacement")
        if day is None:
            aside = SetAside(quarantine, relative_name(district, path))
            aside.note(
                None, None, PurePath(path).name, "a date as YYYYMMDD in the file name", "no date; the file is left out"
            )
        else:
            dated.append((day, path))
    check_period([day for day, _ in dated], source, district)
    dated = sorted((day, path) for day, path in dated if in_period(day, district))
    known = headers([path for _, path in dated], district, quarantine, [None] * len(dated))
    layers = []
    for day, path in dated:
        if path in known:
            mine = layers_of(day, path, known[path], source.sensor)
            layers += mine
            if not mine:
                aside = SetAside(quarantine, relative_name(district, path))
                names = ", ".join(name or "unnamed" for name in known[path].names)
                aside.note(None, "bands", names, "bands named by their description", "no band; the file is left out")
    if not layers:
        raise none_usable(source, len(dated), "no file can be opened and has a band named by its description")
    return layers


def stack_addresses(source: ImagerySource, district: District) -> list[str]:
    """The files the glob matches, here or in an object store, in order; `InputError` where there are none."""
    pattern = district.pattern(source.href)
    if in_store(pattern):
        matched = list(found(pattern if has_magic(pattern) else f"{pattern.rstrip('/')}/*.tif*"))
    else:
        if Path(district.resolve(source.href)).is_dir():
            pattern = str(Path(pattern) / "*.tif*")
        matched = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())
    matched = [path for path in matched if PurePath(path).suffix.lower() not in (".xml", ".ovr", ".msk")]
    if not matched:
        where = "" if in_store(pattern) else f" below {district.root}"
        raise InputError(f"imagery {source.name}: {source.href} matches no file{where}; correct href")
    return matched


def stack_files(source: ImagerySource, district: District) -> list[str]:
    """The files of the stack in the period."""
    last = source.sensor == "displacement"
    dated = ((day_in(PurePath(path).name, last), path) for path in stack_addresses(source, district))
    return [path for day, path in dated if day is not None and in_period(day, district)]


def stack_dated_files(source: ImagerySource, district: District) -> dict[date, list[str]]:
    """The files of each day; those in an object store with what tells their content from another."""
    dated: dict[date, list[str]] = {}
    stamps = found(district.pattern(source.href)) if in_store(source.href) else {}
    for path in stack_files(source, district):
        day = day_in(PurePath(path).name)
        assert day is not None, "files without a day were left out"
        dated.setdefault(day, []).append(f"{path} {stamps[path]}" if path in stamps else path)
    return dated


def day_in(name: str, last: bool = False) -> date | None:
    """The first day in a name, YYYYMMDD or YYYY-MM-DD; the `last` where pairs are named, as interferograms are."""
    days = []
    for year, month, day in DAY.findall(name):
        try:
            days.append(date(int(year), int(month), int(day)))
        except ValueError:
            continue
    return (days[-1] if last else days[0]) if days else None


def layers_of(day: date, path: str, header: Header, sensor: str) -> list[Layer]:
    """The bands of one file: by description, else, for one band, by the file's name or what the sensor measures."""
    best: dict[str, tuple[int, int]] = {}
    for index, name in enumerate(header.names, 1):
        match = band_of(name, sensor)
        if match is None and len(header.names) == 1:
            match = band_in(PurePath(path).stem, sensor)
        if match and (match[0] not in best or match[1] < best[match[0]][0]):
            best[match[0]] = (match[1], index)
    return [
        Layer(
            day=day,
            scene=PurePath(path).name,
            band=band,
            address=path,
            index=index,
            geobox=header.geobox,
            dtype=header.dtypes[index - 1],
            nodata=header.nodata[index - 1],
            scale=header.scales[index - 1],
            offset=header.offsets[index - 1],
            masked=header.masked,
        )
        for band, (_, index) in best.items()
    ]


def band_in(stem: str, sensor: str) -> tuple[str, int] | None:
    """The band named in a file's name, as in `20240105_B04`."""
    parts = [match for part in re.split(r"[_\-. ]+", stem) if (match := band_of(part, sensor))]
    if parts:
        return parts[-1]
    return (ONLY_BAND[sensor], 0) if sensor in ONLY_BAND else None
