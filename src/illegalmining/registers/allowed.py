"""What the registers allow on a given day: licences in force, statuses that forbid production.

Pure functions over the tables of `illegalmining.tables`. Every end date is exclusive and `NaT` means open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from illegalmining.tables import FORBIDDING_STATUSES

# From most to least permissive: of several shafts, the freest decides what the mine may do.
PERMISSIVENESS = ("producing", "building", "rectifying", "suspended", "long_term_shut", "closed")


def in_force(concessions: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.Series:
    """Whether each licence was lawful on every day of `first..last` (inclusive).

    A licence that has run out stays lawful from the day an accepted renewal was applied for; one renewed before
    it ran out has no gap.

    Returns
    -------
    Boolean series on the index of `concessions`.
    """
    begun = concessions["valid_from"] <= first
    open_ended = concessions["valid_to"].isna() | (concessions["valid_to"] > last)
    renewal = concessions["renewal_applied"]
    no_gap = renewal.notna() & ((renewal <= concessions["valid_to"]) | (renewal <= first))
    return begun & (open_ended | no_gap)


def status_by_day(mine_status: pd.DataFrame | None, mine_id: str, days: pd.DatetimeIndex) -> pd.Series:
    """The status of a mine on each day; '' where the register says nothing.

    Of overlapping periods the one that began last holds. An order for the whole mine that forbids production binds
    every shaft; otherwise the mine may do what its freest shaft may.

    Returns
    -------
    Series of text indexed by `days`.
    """
    blank = pd.Series("", index=days, dtype=object)
    if mine_status is None:
        return blank
    rows = mine_status[mine_status["mine_id"] == mine_id].sort_values("from", kind="stable")
    whole = latest_status(rows[rows["shaft_id"].isna()], days)
    shafts = [latest_status(group, days) for _, group in rows[rows["shaft_id"].notna()].groupby("shaft_id")]
    if not shafts:
        return whole
    order = {status: rank for rank, status in enumerate(PERMISSIVENESS)}
    ranks = np.array([[order.get(status, len(order)) for status in shaft] for shaft in shafts]).min(axis=0)
    freest = pd.Series([PERMISSIVENESS[r] if r < len(order) else "" for r in ranks], index=days, dtype=object)
    return whole.where(whole != "", freest)


def latest_status(rows: pd.DataFrame, days: pd.DatetimeIndex) -> pd.Series:
    """The status of rows sorted by `from`, day by day; a later period overrides an earlier one."""
    status = pd.Series("", index=days, dtype=object)
    for first, end, word in zip(rows["from"], rows["to"], rows["status"], strict=True):
        status[(days >= first) & ((days < end) if pd.notna(end) else True)] = word
    return status


def forbidden_days(mine_status: pd.DataFrame | None, mine_id: str, first: pd.Timestamp, last: pd.Timestamp) -> int:
    """How many days of `first..last` (inclusive) the mine's status forbids production."""
    days = pd.date_range(first, last, freq="D")
    return int(status_by_day(mine_status, mine_id, days).isin(FORBIDDING_STATUSES).sum())


def status_history(mine_status: pd.DataFrame | None, mine_id: str, first: pd.Timestamp, last: pd.Timestamp) -> str:
    """The statuses of `first..last` in order, for a reader: `suspended (from 2026-03-01, order 12)`."""
    if mine_status is None:
        return ""
    rows = mine_status[(mine_status["mine_id"] == mine_id) & (mine_status["from"] <= last)]
    rows = rows[rows["to"].isna() | (rows["to"] > first)].sort_values("from", kind="stable")
    words = []
    for status, begun, order in zip(rows["status"], rows["from"], rows["order_no"], strict=True):
        number = f", {order}" if isinstance(order, str) and order else ""
        words.append(f"{status} ({begun:%Y-%m-%d}{number})")
    return "; ".join(words)
