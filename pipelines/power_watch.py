"""Meter readings, less what each mine's status allows it to draw, to detections of production."""

from __future__ import annotations

from contextlib import nullcontext
from glob import glob
from pathlib import Path
from typing import Any

from illegalmining.checkpoint import Watched
from illegalmining.compute import crew
from illegalmining.detect.power import PowerParameters, detect_power
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.journal import Journal, digests
from illegalmining.pipelines.watching import parameters_of, register_digests, remembered
from illegalmining.power.fault_list import listed_faults
from illegalmining.power.meters import read_meters
from illegalmining.power.weather import read_weather
from illegalmining.registers.read import Registers
from illegalmining.storage import found, in_store

MANY_METERS = 100
"""From here on several processes judge: starting them takes seconds, a meter a fraction of one."""
REGISTERS_USED = ("meters", "mines", "mine_status", "closure_list", "link_decisions", "production")


def power_watch(district: District, registers: Registers, journal: Journal, only: frozenset[str]) -> list[Watched]:
    """Findings of the meters."""
    power = district.configuration.power
    if power is None or registers.meters is None or "power" not in only:
        return []
    pattern = district.pattern(power.readings)
    sky = None if power.weather is None else district.resolve(power.weather)
    parameters, many = PowerParameters(), len(registers.meters) >= MANY_METERS
    days, workers = district.configuration.district, district.configuration.compute.workers

    def compute() -> Watched:
        quarantine: list[dict[str, Any]] = []
        profiles = read_meters(district, registers.meters, quarantine)
        weather = None if sky is None else read_weather(Path(sky), str(power.weather), quarantine)
        with crew(workers) if many and workers > 1 else nullcontext(map) as each:
            findings = detect_power(
                profiles,
                registers.meters,
                registers.mines,
                registers.mine_status,
                registers.production,
                days.monitor_from,
                days.as_of,
                parameters,
                weather,
                each=each,
            )
        return Watched(findings, about_readings(profiles), quarantine)

    with journal.stage("power: readings") as entry:
        try:
            files = digests(
                [
                    Path(name)
                    for name in [*glob(pattern, recursive=True), *([sky] if sky else [])]
                    if Path(name).is_file()
                ],
                district.root,
            )
            files |= found(pattern) if in_store(pattern) else {}
            journal.inputs.update(files)
            used = register_digests(district, registers, REGISTERS_USED)
            given = [power.model_dump(), files, parameters_of(parameters), used]
            return [remembered(district, "power-readings", given, compute, entry)]
        except InputError as error:
            journal.set_aside(power.readings, "power readings", error)
            return []


def about_readings(profiles: Any) -> dict[str, Any]:
    """What the map says of the meter readings."""
    known = len(profiles) > 0
    return {
        "detector": "power",
        "name": "meters",
        "sensor": "power",
        "first": f"{profiles['day'].min():%Y-%m-%d}" if known else "",
        "last": f"{profiles['day'].max():%Y-%m-%d}" if known else "",
        "dates": int(profiles["day"].nunique()),
        "meters": int(profiles["meter_id"].nunique()),
        "faults": listed_faults(profiles),
        "pixel_dates": 0,
    }
