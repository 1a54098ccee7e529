"""STAC: static catalogues, item collections and APIs, to layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pandas as pd
from affine import Affine
from odc.geo.geobox import GeoBox

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.bands import ONLY_BAND, REFLECTANCE, band_of
from illegalmining.imagery.catalogue import absolute, find_items
from illegalmining.imagery.grids import district_extent
from illegalmining.imagery.layers import Header, Layer, shared_geobox
from illegalmining.imagery.scenes import check_period, headers, in_period, none_usable
from illegalmining.registers.quarantine import SetAside, relative_name

PICTURES = {"visual", "overview", "thumbnail", "preview", "tci", "rendered_preview", "tilejson", "metadata"}
"""Asset keys and roles that show a scene and do not measure it."""
NOT_RASTERS = (".json", ".xml", ".html", ".jpg", ".jpeg", ".png", ".txt", ".pdf", ".csv", ".geojson")
NAMING = {"eo:common_name", "common_name", "name", "description"}
ASK_FILE = "?"
"""The band of an asset whose bands only its file can name."""
OFFSET_SINCE = "04.00"
"""Sentinel-2 processing baseline from which stored values are 1000 too high (ESA, January 2022)."""
OFFSET, TEN_THOUSANDTH = -0.1, 1e-4


@dataclass(frozen=True)
class Measurement:
    """One band in one asset of an item. rank: how good a source of the band it is, least best."""

    band: str
    rank: tuple[int, ...]
    key: str
    address: str
    index: int
    about: dict[str, Any]


def stac_layers(source: ImagerySource, district: District, quarantine: list[dict[str, Any]]) -> list[Layer]:
    """Every band of every item in the period, in order of day and item.

    Raises
    ------
    InputError
        The catalogue cannot be read, has no item in the period, or none whose files can be opened.
    """
    aside = SetAside(quarantine, relative_name(district, district.resolve(source.href)))
    found = find_items(source, district, aside)
    dated = [(day, item, base) for item, base in found.items if (day := day_of(item, aside)) is not None]
    check_period([day for day, _, _ in dated], source, district)
    wanted = [
        (day, item, one)
        for day, item, base in sorted(dated, key=lambda entry: (entry[0], str(entry[1].get("id"))))
        if in_period(day, district)
        for one in measurements(item, base, source.sensor, aside)
    ]
    if not wanted:
        raise InputError(
            f"imagery {source.name} ({source.href}): no asset of its items has a band of the sensor {source.sensor}; "
            "name assets by the EO extension's common names (red, nir, swir16 ...), or vv, vh"
        )
    known = {one.address: header for _, item, one in wanted if (header := promised(one, item)) is not None}
    rows: dict[str, str | None] = {}
    for _, item, one in wanted:
        if one.address not in known:
            rows.setdefault(one.address, str(item.get("id")))
    known |= headers(list(rows), district, quarantine, list(rows.values()))
    corners = district_extent(district).to_crs("EPSG:4326").boundingbox.bbox
    layers = []
    for day, item, one in wanted:
        if one.address in known:
            named = list(by_description(one, known[one.address], source.sensor))
            layers += [layer_of(day, item, band, known[one.address], says_here(item, corners)) for band in named]
            if not named:
                note_no_band(item, f"{one.key}: {known[one.address].names}", source.sensor, aside)
    if not layers:
        raise none_usable(source, len(rows), "see the quarantine for each")
    return layers


def stac_files(source: ImagerySource, district: District) -> list[Path]:
    """Local files behind a catalogue: its JSON documents and the assets in the period."""
    silent = SetAside([], source.href)
    found = find_items(source, district, silent)
    paths = list(found.documents)
    for item, base in found.items:
        day = day_of(item, silent)
        if day is not None and in_period(day, district):
            paths += [Path(one.address) for one in measurements(item, base, source.sensor, silent)]
    return sorted({path for path in paths if path.is_file()})


def stac_dated_files(source: ImagerySource, district: District) -> dict[date, list[str]]:
    """The documents and assets behind each day of a catalogue: paths, and addresses of what lies on the network."""
    silent = SetAside([], source.href)
    dated: dict[date, set[str]] = {}
    for item, base in find_items(source, district, silent).items:
        day = day_of(item, silent)
        if day is not None and in_period(day, district):
            addresses = {one.address for one in measurements(item, base, source.sensor, silent)}
            stamp = (item.get("properties") or {}).get("updated", "")
            whole = item.get("type") == "Feature" and base.endswith(".json") and "://" not in base
            own = {base} if whole else {json.dumps(item, sort_keys=True)}
            remote = {f"{address} {stamp}" for address in addresses if "://" in address}
            dated.setdefault(day, set()).update(own, remote, {one for one in addresses if "://" not in one})
    return {day: sorted(names) for day, names in dated.items()}


def day_of(item: dict[str, Any], aside: SetAside) -> date | None:
    """The UTC day an item was taken, the start of its interval where it has no instant; None sets it aside."""
    properties = item.get("properties") or {}
    stated = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = pd.Timestamp(stated)
        moment = moment.tz_convert("UTC") if moment.tzinfo else moment
        if moment is not pd.NaT:
            return date(moment.year, moment.month, moment.day)
    except (TypeError, ValueError):
        pass
    aside.note(str(item.get("id")), "datetime", stated, "an ISO time", "the item has no day; the item is left out")
    return None


def measurements(item: dict[str, Any], base: str, sensor: str, aside: SetAside) -> list[Measurement]:
    """For each band of the sensor the asset that measures it best."""
    best: dict[str, Measurement] = {}
    unnamed: list[Measurement] = []
    for key, asset in sorted((item.get("assets") or {}).items()):
        for one in offered(key, asset, base, sensor):
            if one.band == ASK_FILE:
                unnamed.append(one)
            elif one.band not in best or one.rank < best[one.band].rank:
                best[one.band] = one
    if not best and not unnamed:
        note_no_band(item, ", ".join(sorted(item.get("assets") or {})), sensor, aside)
    return list(best.values()) or unnamed


def note_no_band(item: dict[str, Any], found: str, sensor: str, aside: SetAside) -> None:
    """Note that nothing in an item is a band of the sensor."""
    aside.note(str(item.get("id")), "assets", found, f"bands of the sensor {sensor}", "no band; the item is left out")


def offered(key: str, asset: dict[str, Any], base: str, sensor: str) -> Iterator[Measurement]:
    """Bands an asset has: by common name, else by band name, else by the asset's key."""
    address = absolute(str(asset.get("href", "")), base)
    roles = {str(role).lower() for role in asset.get("roles") or []} | {key.lower()}
    if roles & PICTURES or urlparse(address).path.lower().endswith(NOT_RASTERS):
        return
    bands = merged_bands(asset)
    if not any(NAMING & about.keys() for about in bands) and band_of(key, sensor) is None:
        yield Measurement(ASK_FILE, (1,), key, address, 0, {})
        return
    for index, about in enumerate(bands, 1):
        names = [about.get("eo:common_name"), about.get("common_name"), about.get("name"), about.get("description")]
        if len(bands) == 1:
            names.append(key)
        matched = next((match for name in names if (match := band_of(name, sensor))), None)
        if matched is None:
            continue
        tiff = 0 if "tif" in f"{asset.get('type', '')}{address}".lower() else 1
        yield Measurement(matched[0], (matched[1], tiff, len(bands), key != matched[0]), key, address, index, about)


def merged_bands(asset: dict[str, Any]) -> list[dict[str, Any]]:
    """What an asset says of each band: STAC 1.1 `bands`, or `eo:bands` and `raster:bands` side by side."""
    lists = [asset.get(key) or [] for key in ("bands", "eo:bands", "raster:bands")]
    common = {name: asset[f"raster:{name}"] for name in ("scale", "offset") if f"raster:{name}" in asset}
    common |= {name: asset[name] for name in ("nodata", "data_type") if name in asset}
    bands: list[dict[str, Any]] = [dict(common) for _ in range(max(1, *map(len, lists)))]
    for entries in lists:
        for band, entry in zip(bands, entries, strict=False):
            band.update({key.removeprefix("raster:"): value for key, value in entry.items()})
    return bands


def promised(one: Measurement, item: dict[str, Any]) -> Header | None:
    """The header of a remote file as its item promises it, so that thousands need not be fetched; None: read it."""
    if "://" not in one.address:
        return None
    properties = item.get("properties") or {}
    asset = item["assets"][one.key]
    told = {name: asset.get(name, properties.get(name)) for name in ("proj:transform", "proj:shape", "proj:code")}
    told["proj:code"] = told["proj:code"] or asset.get("proj:epsg", properties.get("proj:epsg"))
    dtype = one.about.get("data_type")
    if dtype is None or any(value is None for value in told.values()):
        return None
    geobox = GeoBox(told["proj:shape"], Affine(*told["proj:transform"][:6]), told["proj:code"])
    count = max(one.index, len(merged_bands(asset)))
    return Header(
        geobox=shared_geobox(geobox),
        dtypes=(dtype,) * count,
        nodata=(None,) * count,
        scales=(1.0,) * count,
        offsets=(0.0,) * count,
        names=(None,) * count,
        tags={},
        masked=False,
    )


def by_description(one: Measurement, header: Header, sensor: str) -> Iterator[Measurement]:
    """The measurement itself, or where no one named the asset's bands, those the file's descriptions name."""
    if one.band != ASK_FILE:
        yield from [one] if one.index <= len(header.dtypes) else []
        return
    for index, name in enumerate(header.names, 1):
        match = band_of(name, sensor)
        if match is None and len(header.names) == 1 and sensor in ONLY_BAND:
            match = (ONLY_BAND[sensor], 0)
        if match is not None:
            yield replace(one, band=match[0], index=index)


def says_here(item: dict[str, Any], corners: tuple[float, ...]) -> bool:
    """Whether an item's own bbox, degrees, touches the district's; one without says nothing of the kind."""
    try:
        numbers = [float(number) for number in item.get("bbox") or ()]
    except (TypeError, ValueError):
        return False
    if len(numbers) not in (4, 6):
        return False
    half = len(numbers) // 2
    (west, south), (east, north) = numbers[:2], numbers[half : half + 2]
    across = west > east  # over the 180th meridian
    beside = (corners[0] > east and corners[2] < west) if across else (corners[2] < west or corners[0] > east)
    return not beside and corners[3] >= south and corners[1] <= north


def layer_of(day: date, item: dict[str, Any], one: Measurement, header: Header, here: bool) -> Layer:
    """A layer from what the item says of it, and its file where the item is silent."""
    at = one.index - 1
    scale, offset = calibration(item, one, header)
    nodata = one.about.get("nodata")
    return Layer(
        day=day,
        scene=str(item.get("id")),
        band=one.band,
        address=one.address,
        index=one.index,
        geobox=header.geobox,
        dtype=header.dtypes[at],
        nodata=header.nodata[at] if nodata is None else float(nodata),
        scale=scale,
        offset=offset,
        masked=header.masked,
        here=here,
    )


def calibration(item: dict[str, Any], one: Measurement, header: Header) -> tuple[float, float]:
    """(scale, offset) of a band: the item's, else the file's.

    Sentinel-2 stores 1000 too much since baseline 04.00: catalogues that give no scale leave that unsaid, and Earth
    Search states the offset even where it was taken off already (`earthsearch:boa_offset_applied`).
    """
    properties = item.get("properties") or {}
    at = one.index - 1
    applied = properties.get("earthsearch:boa_offset_applied", properties.get("sentinel:boa_offset_applied"))
    if one.about.get("scale") is not None or one.about.get("offset") is not None:
        scale, offset = float(one.about.get("scale") or 1.0), float(one.about.get("offset") or 0.0)
        return scale, 0.0 if applied is True and offset == OFFSET else offset
    if (header.scales[at], header.offsets[at]) != (1.0, 0.0):
        return header.scales[at], header.offsets[at]
    baseline = str(properties.get("s2:processing_baseline", ""))
    if one.band in REFLECTANCE and baseline >= OFFSET_SINCE and applied is not True and "int" in header.dtypes[at]:
        return TEN_THOUSANDTH, OFFSET
    return 1.0, 0.0
