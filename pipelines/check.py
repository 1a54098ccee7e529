"""Every input read and validated, nothing detected."""

from __future__ import annotations

from typing import Any

from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.imagery.open import open_source
from illegalmining.journal import Journal
from illegalmining.power.meters import read_meters
from illegalmining.publish.tables import publish_quarantine
from illegalmining.registers.read import read_registers


def check_inputs(district: District, journal: Journal) -> list[dict[str, Any]]:
    """Read every input; returns and publishes what had to be set aside."""
    with journal.stage("registers"):
        registers = read_registers(district, journal.quarantine)
    for source in district.configuration.imagery:
        with journal.stage(f"imagery {source.name}"):
            try:
                open_source(source, district, journal.quarantine)
            except InputError as error:
                journal.set_aside(source.href, f"imagery {source.name}", error)
    power = district.configuration.power
    if power is not None:
        with journal.stage("power readings"):
            try:
                read_meters(district, registers.meters, journal.quarantine)
            except InputError as error:
                journal.set_aside(power.readings, "power readings", error)
    publish_quarantine(journal.quarantine, district.out)
    return journal.quarantine
