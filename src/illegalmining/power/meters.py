"""A district's meter readings as its configuration names them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from illegalmining.district import District
from illegalmining.errors import ConfigurationError
from illegalmining.power.readings import ReadingParameters, read_profiles

OF_MEMORY = 0.375
"""DuckDB's share of the configured memory; the profiles themselves and Python take the rest."""
LEAST_MB = 256
"""DuckDB cannot sort a file of readings in less."""


def read_meters(
    district: District, meters: pd.DataFrame | None, quarantine: list[dict[str, Any]] | None = None
) -> pd.DataFrame:
    """Daily profiles of the district's meters over its history and monitored time; see `read_profiles`.

    meters: `tables.METERS`; readings of other meters are left out and said in `quarantine`. None: all are read.

    Raises
    ------
    ConfigurationError
        `district.toml` names no readings.
    InputError
        No file of readings can be used.

    Examples
    --------
    >>> profiles = im.read_meters(district, registers.meters)
    >>> profiles.columns[:5].tolist()  # then h02 to h23, total, interval_min and faults
    ['meter_id', 'quantity', 'day', 'h00', 'h01']
    >>> profiles["day"].min() == pd.Timestamp(days.history_from)
    True
    """
    power, days = district.configuration.power, district.configuration.district
    compute = district.configuration.compute
    if power is None:
        raise ConfigurationError(f"{district.path}: has no [power]; name the meter readings there")
    return read_profiles(
        district.pattern(power.readings),
        power.timezone,
        days.history_from,
        days.as_of,
        [] if quarantine is None else quarantine,
        meters,
        ReadingParameters(memory=f"{max(LEAST_MB, round(OF_MEMORY * compute.megabytes))}MB", threads=compute.workers),
        root=district.root,
    )
