"""One package per recipient: its own jurisdiction's part of a finished run, signed, and sealed where it has a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from illegalmining.atomic import atomic_folder
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.hotspots import Earlier
from illegalmining.journal import Journal
from illegalmining.publish.accesslog import note
from illegalmining.publish.content import MapContent, within
from illegalmining.publish.keys import fingerprint, sender_of, signing_key
from illegalmining.publish.package import Recipient, plain_name, seal, write_package
from illegalmining.publish.results import Run, earlier_cases, read_run
from illegalmining.registers.read import Registers, read_registers


@dataclass(frozen=True)
class Packages:
    """What was written.

    folder: `packages/`. written: codes. sealed: codes of those sealed for their recipient. aside: code -> why there is
    no package. nobodys: ids of cases that are in no package. sender: the office's fingerprint.
    """

    folder: Path
    written: list[str]
    sealed: list[str]
    aside: dict[str, str]
    nobodys: list[str]
    sender: str


def package(district: District, journal: Journal, not_before: date | None = None) -> Packages:
    """Write `packages/`, all of it or nothing; a recipient who cannot have one is set aside and said."""
    with journal.stage("registers"):
        registers = read_registers(district, journal.quarantine).in_order()
    whole = content_of(district, registers)
    earlier = earlier_cases(district.out, whole.as_of, district.crs)
    key = signing_key(district.state / "keys")
    aside: dict[str, str] = {}
    written, sealed, packed = [], [], set()
    folder = district.out / "packages"
    with atomic_folder(folder) as partial:
        for recipient in recipients(registers, not_before):
            try:
                with journal.stage(f"package {recipient.code}"):
                    content = part_for(whole, recipient, earlier)
                    made = write_package(partial / plain_name(recipient.code), content, recipient, key)
                    if recipient.public_key:
                        seal(made, recipient.public_key)
                        sealed.append(recipient.code)
                written.append(recipient.code)
                packed |= set(content.cases["case_id"])
            except InputError as error:
                aside[recipient.code] = str(error)
    for code in written:
        facts = {"recipient": code, "as_of": whole.as_of.isoformat(), "sealed": code in sealed}
        note(district.state / "access.jsonl", "packaged", **facts)
    nobodys = [case_id for case_id in whole.cases["case_id"] if case_id not in packed]
    return Packages(folder, written, sealed, aside, nobodys, fingerprint(sender_of(key)))


def content_of(district: District, registers: Registers, run: Run | None = None) -> MapContent:
    """The whole map of a finished run, the district's own where none is given."""
    run, section = run or read_run(district.out), district.configuration.district
    return MapContent(
        district_name=district.name,
        language=section.language,
        as_of=section.as_of,
        bounds=section.bounds,
        crs=district.crs,
        cases=run.cases,
        detections=run.detections,
        hotspots=run.hotspots,
        concessions=registers.concessions,
        mines=registers.mines,
        jurisdictions=registers.jurisdictions,
        roads=registers.roads,
        coverage=run.coverage,
        background=run.ground,
        sources=run.record["sources"],
        remarks=run.record["remarks"],
        run={"version": run.record["version"]},
    )


def recipients(registers: Registers, not_before: date | None) -> list[Recipient]:
    """Who receives a package: the register's recipients, or every jurisdiction where there is no such register."""
    table = registers.recipients if registers.recipients is not None else registers.jurisdictions
    return [
        Recipient(row["code"], row["name"], text(row.get("public_key")), latest(row.get("not_before"), not_before))
        for row in table.sort_values("code").to_dict("records")
    ]


def text(value: Any) -> str | None:
    """A register's text; None where it is empty."""
    return value.strip() if isinstance(value, str) and value.strip() else None


def latest(own: Any, common: date | None) -> date | None:
    """The later of a recipient's embargo and that of all."""
    days = [day for day in (None if own is None or pd.isna(own) else pd.Timestamp(own).date(), common) if day]
    return max(days, default=None)


def part_for(whole: MapContent, recipient: Recipient, earlier: Earlier) -> MapContent:
    """The recipient's part of the map.

    Raises
    ------
    InputError
        There is no such jurisdiction.
    """
    assert whole.jurisdictions is not None
    if not (whole.jurisdictions["code"] == recipient.code).any():
        raise InputError(f"recipients: no jurisdiction has the code {recipient.code!r}; correct one of the registers")
    return within(whole, recipient.code, earlier)
