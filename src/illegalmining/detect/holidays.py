"""Days on which Chinese mines rest by custom: the Spring Festival, which moves with the moon, and National Day.

New year's days 2000-2060 as the package lunardate computes them; a test holds each to Meeus' new moons.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

FIRST_YEAR = 2000
# fmt: off
NEW_YEARS = (
    "0205", "0124", "0212", "0201", "0122", "0209", "0129", "0218", "0207", "0126",
    "0214", "0203", "0123", "0210", "0131", "0219", "0208", "0128", "0216", "0205",
    "0125", "0212", "0201", "0122", "0210", "0129", "0217", "0206", "0126", "0213",
    "0203", "0123", "0211", "0131", "0219", "0208", "0128", "0215", "0204", "0124",
    "0212", "0201", "0122", "0210", "0130", "0217", "0206", "0126", "0214", "0202",
    "0123", "0211", "0201", "0219", "0208", "0128", "0215", "0204", "0124", "0212",
    "0202",
)
# fmt: on
"""Month and day, one a year."""

BEFORE, AFTER = 5, 15
"""Days around the new year on which mines are empty: from the trains home to the Lantern Festival."""


def lunar_new_year(year: int) -> date | None:
    """First day of the lunar year that begins in `year`; None outside the table.

    >>> lunar_new_year(2026)
    datetime.date(2026, 2, 17)
    """
    if not FIRST_YEAR <= year < FIRST_YEAR + len(NEW_YEARS):
        return None
    text = NEW_YEARS[year - FIRST_YEAR]
    return date(year, int(text[:2]), int(text[2:]))


def spring_festival(days: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """(D,) days on which mines rest around the lunar new year."""
    dates = days.to_numpy("datetime64[D]")
    found = np.zeros(len(dates), dtype=bool)
    for year in np.unique(dates.astype("datetime64[Y]")).astype(int) + 1970:
        begins = lunar_new_year(int(year))
        if begins is not None:
            since = (dates - np.datetime64(begins)).astype(int)
            found |= (since >= -BEFORE) & (since < AFTER)
    return found


def national_day(days: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """(D,) the first week of October."""
    return np.asarray((days.month == 10) & (days.day <= 7))


def rest_days(days: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """(D,) either."""
    return spring_festival(days) | national_day(days)
