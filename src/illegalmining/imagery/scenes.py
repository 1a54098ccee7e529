"""Candidates for layers to layers: headers read, days kept to the period, what cannot be used set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.layers import Header, at_once, read_header
from illegalmining.registers.quarantine import SetAside, relative_name

SHOWN_DATES = 6


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
    answers = at_once(read_header, addresses)
    good = {}
    for address, row, answer in zip(addresses, rows, answers, strict=True):
        if isinstance(answer, InputError):
            name = relative_name(district, address)
            SetAside(quarantine, name).note(row, None, Path(address).name, "a raster that can be read", str(answer))
        else:
            good[address] = answer
    return good


def none_usable(source: ImagerySource, tried: int, why: str) -> InputError:
    """The error for a source of which nothing is left."""
    return InputError(f"imagery {source.name} ({source.href}): none of its {tried} files can be used: {why}")
