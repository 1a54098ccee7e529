"""STAC catalogues: static ones, item collections and APIs, to the items they list."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlparse, urlsplit

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.grids import district_extent
from illegalmining.registers.quarantine import SetAside
from illegalmining.storage import in_store, read_bytes

LARGEST_JSON = 256 << 20
"""Bytes of one STAC document: ten thousand items take about a third."""


@dataclass
class Found:
    """What a walk through a catalogue met: items with the address they were read from, and the JSON files behind."""

    items: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    documents: list[Path] = field(default_factory=list)


def find_items(source: ImagerySource, district: District, aside: SetAside) -> Found:
    """The items behind an address, whatever kind of STAC it is."""
    address = district.resolve(source.href)
    if Path(address).is_dir():
        address = str(Path(address) / "catalog.json")
    document = read_json(address)
    links = [link for link in listed(document, "links") if isinstance(link, dict)]
    if "conformsTo" in document or any(link.get("rel") == "search" for link in links):
        return Found(items=list(searched(address, source, district)))
    found = Found()
    walk(document, address, found, set(), aside)
    if not found.items:
        raise InputError(
            f"{aside.file}: no STAC item found (type {document.get('type')!r}); expected a catalogue with links "
            "to items, an item collection, or an API"
        )
    return found


def read_json(address: str) -> dict[str, Any]:
    """A JSON document from a file or the network; `InputError` where it cannot be read."""
    try:
        if in_store(address):
            document = json.loads(read_bytes(address))
        elif "://" in address:
            import pystac

            document = json.loads(pystac.StacIO.default().read_text(address))
        else:
            if Path(address).is_file() and Path(address).stat().st_size > LARGEST_JSON:
                raise InputError(
                    f"{address}: has {Path(address).stat().st_size >> 20} MiB; no STAC document has so many"
                )
            document = json.loads(Path(address).read_text("utf-8"))
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{address}: no such file; expected a STAC catalogue, item or item collection") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{address}: cannot be read as JSON ({error})") from error
    except Exception as error:  # pystac wraps what the network does in bare exceptions
        raise InputError(f"{address}: cannot be reached ({error})") from error
    if not isinstance(document, dict):
        raise InputError(f"{address}: expected a JSON object, found {type(document).__name__}")
    return document


def walk(document: dict[str, Any], address: str, found: Found, visited: set[str], aside: SetAside) -> None:
    """Collect items below a document; what cannot be read is set aside, loops are followed once."""
    waiting = [(document, address)]
    visited.add(address)
    while waiting:
        document, address = waiting.pop()
        if "://" not in address:
            found.documents.append(Path(address))
        if document.get("type") == "Feature":
            collect([document], address, found, aside)
            continue
        if document.get("type") == "FeatureCollection":
            collect(listed(document, "features"), address, found, aside)
            continue
        further = []
        for link in listed(document, "links"):
            if not isinstance(link, dict) or link.get("rel") not in ("child", "item", "items") or not link.get("href"):
                continue
            below = absolute(str(link["href"]), address)
            if below in visited:
                continue
            visited.add(below)
            try:
                further.append((read_json(below), below))
            except InputError as error:
                aside.note(Path(below).name, "links", link["href"], "a STAC document", str(error))
        waiting += reversed(further)


def listed(document: dict[str, Any], name: str) -> list[Any]:
    """A document's list; what is no list has no entries."""
    entries = document.get(name)
    return entries if isinstance(entries, list) else []


def collect(items: list[Any], address: str, found: Found, aside: SetAside) -> None:
    """Keep what has an item's form; note what has not."""
    for number, item in enumerate(items, start=1):
        fault = form_fault(item)
        if fault:
            row = str(item.get("id", number)) if isinstance(item, dict) else str(number)
            aside.note(row, fault, None, "a STAC item", f"{fault} is not as STAC has it; the item is left out")
        else:
            found.items.append((item, address))


def form_fault(item: Any) -> str | None:
    """Which part of an item has not the form it must have; None where all have."""
    if not isinstance(item, dict):
        return "the item"
    if not isinstance(item.get("properties") or {}, dict):
        return "properties"
    assets = item.get("assets") or {}
    if not isinstance(assets, dict) or not all(isinstance(asset, dict) for asset in assets.values()):
        return "assets"
    for asset in assets.values():
        if not isinstance(asset.get("href"), str) or "\0" in asset["href"]:
            return "href"
        for name in ("bands", "eo:bands", "raster:bands"):
            bands = asset.get(name) or []
            if not isinstance(bands, list) or not all(isinstance(band, dict) for band in bands):
                return name
            if not all(is_number(band.get(fact)) for band in bands for fact in ("scale", "offset", "nodata")):
                return name
    return None


def is_number(value: Any) -> bool:
    """Whether a value is absent or can be read as a number, `nan` included."""
    try:
        float(0 if value is None else value)
    except (TypeError, ValueError):
        return False
    return True


def searched(address: str, source: ImagerySource, district: District) -> Iterator[tuple[dict[str, Any], str]]:
    """Items an API has for the district and the period."""
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    section = district.configuration.district
    corners = district_extent(district).to_crs("EPSG:4326").boundingbox.bbox
    try:
        search = Client.open(address).search(
            collections=[source.collection] if source.collection else None,
            bbox=corners,
            datetime=f"{section.history_from.isoformat()}/{section.as_of.isoformat()}",
        )
        for item in search.items_as_dicts():
            yield item, address
    except (APIError, OSError) as error:
        raise InputError(f"imagery {source.name}: the STAC API at {address} does not answer ({error})") from error


def absolute(href: str, base: str) -> str:
    """An address as a document at `base` means it: a URL or a path on this machine."""
    if in_store(base) and "://" not in href:
        at = urlsplit(base)
        return f"{at.scheme}://{at.netloc}{posixpath.normpath(posixpath.join(posixpath.dirname(at.path), href))}"
    if "://" in base and "://" not in href:
        return urljoin(base, href)
    if href.startswith("file://"):
        return unquote(urlparse(href).path)
    if "://" in href or href.startswith("/vsi"):
        return href
    beside = Path(base).parent / href
    return os.path.normpath(beside if beside.exists() else Path(base).parent / unquote(href))
