"""Candidates for layers to layers: headers read, days kept to the period, what cannot be used set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from illegalmining.atomic import write_bytes
from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.layers import Header, at_once, read_header, shared_geobox
from illegalmining.journal import stamped
from illegalmining.registers.quarantine import SetAside, relative_name

SHOWN_DATES = 6
KNOWN: ContextVar[dict[str, list[Any]] | None] = ContextVar("known", default=None)
"""By address of a local file, what `stamped` said of it when its header was read, and the header as plain values."""


def in_period(day: date, district: District) -> bool:
    """Whether a day lies between `history_from` and `as_of`, both included."""
    section = district.configuration.district
    return section.history_from <= day <= section.as_of


def check_period(days: Sequence[date], source: ImagerySource, district: District) -> None:
    """Check that some day lies in the period.

    Raises
    ------
    InputError
        None does; says which days were found.
    """
    if any(in_period(day, district) for day in days):
        return
    section = district.configuration.district
    found = sorted(set(days))
    listed = ", ".join(day.isoformat() for day in found[:SHOWN_DATES])
    more = f" ... {found[-1].isoformat()} ({len(found)} dates)" if len(found) > SHOWN_DATES else ""
    raise InputError(
        f"imagery {source.name} ({source.href}): no date from {section.history_from} to {section.as_of}; "
        f"found {listed or 'no date at all'}{more}. Check href, history_from and as_of"
    )


def headers(
    addresses: Sequence[str], district: District, quarantine: list[dict[str, object]], rows: Sequence[str | None]
) -> dict[str, Header]:
    """The headers of files, those that cannot be used noted under the row a person knows them by."""
    known = KNOWN.get()
    stamps = {one: stamped(Path(one)) for one in addresses if known is not None and Path(one).is_file()}
    as_they_were = {one: known[one] for one, stamp in stamps.items() if known and known.get(one, [None])[0] == stamp}
    good = {one: from_plain(header) for one, (_, header) in as_they_were.items()}
    unread = [(address, row) for address, row in zip(addresses, rows, strict=True) if address not in good]
    for (address, row), answer in zip(unread, at_once(read_header, [one for one, _ in unread]), strict=True):
        if isinstance(answer, InputError):
            name = relative_name(district, address)
            SetAside(quarantine, name).note(row, None, Path(address).name, "a raster that can be read", str(answer))
        else:
            good[address] = answer
    if known is not None:
        known.clear()
        known |= as_they_were
        known |= {one: [stamp, plain(good[one])] for one, stamp in stamps.items() if one in good and one not in known}
    return good


@contextmanager
def known_headers(path: Path) -> Iterator[None]:
    """Inside the block, headers of files that nobody has written to since are taken from a file of theirs, and those
    that had to be read are added to it."""
    known: dict[str, list[Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    before, token = dict(known), KNOWN.set(known)
    try:
        yield
    finally:
        KNOWN.reset(token)
    if known != before:
        write_bytes(path, json.dumps(known, sort_keys=True).encode())


def plain(header: Header) -> dict[str, Any]:
    """A header as JSON has it."""
    box = header.geobox
    return vars(header) | {"geobox": [box.shape.yx, box.affine[:6], str(box.crs)]}


def from_plain(values: dict[str, Any]) -> Header:
    """The header that `plain` wrote."""
    shape, steps, crs = values["geobox"]
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    told["geobox"] = shared_geobox(GeoBox(shape, Affine(*steps), crs))
    return Header(**told)


def none_usable(source: ImagerySource, tried: int, why: str) -> InputError:
    """The error for a source of which nothing is left."""
    return InputError(f"imagery {source.name} ({source.href}): none of its {tried} files can be used: {why}")
