"""What the registers allow on a given day: licences in force, statuses that forbid production.

Pure functions over the tables of `illegalmining.tables`. Every end date is exclusive and `NaT` means open. Functions
that end in `_each` answer a million questions at once, on whole days counted from 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.tables import FORBIDDING_STATUSES

# From most to least permissive: of several shafts, the freest decides what the mine may do.
PERMISSIVENESS = ("producing", "building", "rectifying", "suspended", "long_term_shut", "closed")
OPEN_DAY = 1 << 20
"""The day number that stands for an open end (the year 4840)."""
KEY_SPAN = 1 << 22
"""Distance of two mines' keys: more than any day number, on either side of 1970."""

Days = NDArray[np.int64]


def day_numbers(dates: Any, empty: int = OPEN_DAY) -> Days:
    """Whole days since 1970; `empty` for NaT."""
    values = np.asarray(pd.to_datetime(pd.Series(dates)).to_numpy(), dtype="datetime64[D]")
    return np.where(np.isnat(values), empty, values.astype(np.int64))


def lawful_terms(concessions: pd.DataFrame) -> pd.DataFrame:
    """The days on which each licence is lawful, as terms.

    A licence that has run out stays lawful from the day an accepted renewal was applied for; one renewed before it ran
    out has no gap, one renewed later has: two terms. Rows of one licence number that follow one another without a gap
    are one chain: work that lasts from one into the next is lawful throughout.

    Returns
    -------
    row (position in `concessions`), start, end, chain_start, chain_end; days since 1970, ends exclusive.
    """
    start, end = day_numbers(concessions["valid_from"]), day_numbers(concessions["valid_to"])
    renewed = day_numbers(concessions["renewal_applied"])
    in_time = renewed <= end
    late = np.flatnonzero(~in_time & (renewed < OPEN_DAY))
    row = np.concatenate([np.arange(len(concessions)), late])
    terms = pd.DataFrame(
        {
            "row": row,
            "licence_no": concessions["licence_no"].to_numpy()[row]
            if "licence_no" in concessions
            else row.astype(object),
            "start": np.concatenate([start, renewed[late]]),
            "end": np.concatenate(
                [np.where(in_time & (renewed < OPEN_DAY), OPEN_DAY, end), np.full(len(late), OPEN_DAY)]
            ),
        }
    ).sort_values(["licence_no", "start", "row"], kind="stable", ignore_index=True)
    reach = terms.groupby("licence_no", sort=False)["end"].cummax().groupby(terms["licence_no"], sort=False).shift()
    chain = (reach.isna() | (terms["start"] > reach)).cumsum()
    terms["chain_start"] = terms.groupby(chain)["start"].transform("min")
    terms["chain_end"] = terms.groupby(chain)["end"].transform("max")
    return terms.drop(columns="licence_no")


def in_force(concessions: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.Series:
    """Whether each licence was lawful on every day of `first..last` (inclusive), by this row or those that follow it.

    Returns
    -------
    Boolean series on the index of `concessions`.
    """
    terms = lawful_terms(concessions)
    days = day_numbers([first, last])
    holds = lawful_each(terms, np.full(len(terms), days[0]), np.full(len(terms), days[1]))
    return pd.Series(np.isin(np.arange(len(concessions)), terms["row"][holds]), index=concessions.index)


def lawful_each(terms: pd.DataFrame, first: Days, last: Days) -> NDArray[np.bool_]:
    """For rows of `lawful_terms` beside days: whether the chain covers all of `first..last` and the term meets them."""
    covered = (terms["chain_start"].to_numpy() <= first) & (terms["chain_end"].to_numpy() > last)
    return covered & (terms["start"].to_numpy() <= last) & (terms["end"].to_numpy() > first)


def status_by_day(
    mine_status: pd.DataFrame | None, mine_id: str, days: pd.DatetimeIndex, shaft_id: str | None = None
) -> pd.Series:
    """The status of a mine on each day; '' where the register says nothing.

    Of overlapping periods the one that began last holds. An order for the whole mine that forbids production binds
    every shaft; otherwise the mine may do what its freest shaft may, shafts the register does not list included: they
    follow the whole mine. Of one shaft, where `shaft_id` names it: its own status, unless the whole mine is stopped.

    Returns
    -------
    Series of text indexed by `days`.
    """
    blank = pd.Series("", index=days, dtype=object)
    if mine_status is None:
        return blank
    rows = mine_status[mine_status["mine_id"] == mine_id].sort_values("from", kind="stable")
    whole = latest_status(rows[rows["shaft_id"].isna()], days)
    own = rows[rows["shaft_id"].notna() if shaft_id is None else rows["shaft_id"] == shaft_id]
    shafts = [latest_status(group, days) for _, group in own.groupby("shaft_id")]
    if shaft_id is None or not shafts:
        shafts.append(whole)
    order = {status: rank for rank, status in enumerate((*PERMISSIVENESS, ""))}
    ranks = np.array([[order[status] for status in shaft] for shaft in shafts]).min(axis=0)
    freest = pd.Series(np.array((*PERMISSIVENESS, ""), dtype=object)[ranks], index=days, dtype=object)
    return whole.where(whole.isin(FORBIDDING_STATUSES), freest)


def latest_status(rows: pd.DataFrame, days: pd.DatetimeIndex) -> pd.Series:
    """The status of rows sorted by `from`, day by day; a later period overrides an earlier one."""
    status = pd.Series("", index=days, dtype=object)
    for first, end, word in zip(rows["from"], rows["to"], rows["status"], strict=True):
        status[(days >= first) & ((days < end) if pd.notna(end) else True)] = word
    return status


@dataclass(frozen=True)
class ShutDays:
    """The days on which each mine is forbidden to produce, ready to be asked about many mines and days at once.

    `mine_status` as `tables.MINE_STATUS`, or None. Agrees with `status_by_day`, which asks about one mine.
    """

    mine_status: pd.DataFrame | None

    @cached_property
    def history(self) -> dict[str, list[tuple[int, int, str, str | None, Any]]]:
        """Rows by mine in order of their first day: first day, exclusive end, status, shaft, order."""
        rows: dict[str, list[tuple[int, int, str, str | None, Any]]] = {}
        if self.mine_status is None:
            return rows
        table = self.mine_status.sort_values("from", kind="stable")
        columns = zip(
            table["mine_id"],
            day_numbers(table["from"]).tolist(),
            day_numbers(table["to"]).tolist(),
            table["status"],
            table["shaft_id"],
            table["order_no"],
            strict=True,
        )
        for mine_id, first, end, status, shaft, order in columns:
            rows.setdefault(mine_id, []).append((first, end, status, shaft if isinstance(shaft, str) else None, order))
        return rows

    @cached_property
    def spans(self) -> tuple[dict[str, int], Days, NDArray[np.bool_], Days]:
        """Number of each mine; keys at which its state changes, in order; whether shut from there; shut days before."""
        numbers, keys, shut, before = {}, [], [], []
        for number, (mine_id, rows) in enumerate(self.history.items()):
            numbers[mine_id] = number
            turns = sorted({day for first, end, *_ in rows for day in (first, end) if day < OPEN_DAY})
            counted = 0
            base = number * KEY_SPAN + KEY_SPAN // 2
            keys.append(base - KEY_SPAN // 2)
            shut.append(False)
            before.append(0)
            for place, turn in enumerate(turns):
                keys.append(base + turn)
                shut.append(status_then(rows, turn) in FORBIDDING_STATUSES)
                before.append(counted)
                if shut[-1] and place + 1 < len(turns):
                    counted += turns[place + 1] - turn
        return numbers, np.array(keys, dtype=np.int64), np.array(shut, dtype=bool), np.array(before, dtype=np.int64)

    def numbers_of(self, mines: NDArray[Any]) -> Days:
        """The number of each mine, -1 where its status is unknown."""
        return pd.Series(mines, dtype=object).map(self.spans[0]).fillna(-1).to_numpy().astype(np.int64)

    def is_shut_each(self, mines: Days, days: Days) -> NDArray[np.bool_]:
        """Whether each mine (`numbers_of`) may not produce on the day beside it."""
        _, keys, shut, _ = self.spans
        if not len(keys):
            return np.zeros(len(mines), dtype=bool)
        place = np.searchsorted(keys, mines * KEY_SPAN + KEY_SPAN // 2 + days, side="right") - 1
        return (mines >= 0) & shut[np.maximum(place, 0)]

    def shut_days_each(self, mines: Days, first: Days, last: Days) -> Days:
        """How many days of `first..last` (inclusive) each mine may not produce."""
        return np.maximum(self.shut_before(mines, last + 1) - self.shut_before(mines, first), 0)

    def shut_before(self, mines: Days, days: Days) -> Days:
        """How many days before each day the mine was shut, since its first status."""
        _, keys, shut, before = self.spans
        if not len(keys):
            return np.zeros(len(mines), dtype=np.int64)
        asked = mines * KEY_SPAN + KEY_SPAN // 2 + days
        place = np.maximum(np.searchsorted(keys, asked, side="right") - 1, 0)
        return np.where(mines >= 0, before[place] + shut[place] * (asked - keys[place]), 0)

    def words(self, mine_id: str | None, first: int, last: int) -> str:
        """The statuses of `first..last` in order, for a reader; those that forbid production where there are any."""
        found = [
            (forbids, text)
            for begun, end, forbids, text in self.texts.get(str(mine_id), [])
            if begun <= last and end > first
        ]
        return "; ".join([text for forbids, text in found if forbids] or [text for _, text in found])

    @cached_property
    def texts(self) -> dict[str, list[tuple[int, int, bool, str]]]:
        """Periods of each mine for a reader: first day, exclusive end, whether production is forbidden, words."""
        return {
            mine_id: [
                (
                    begun,
                    end,
                    status in FORBIDDING_STATUSES,
                    f"{status} ({np.datetime64(begun, 'D')}{f', {order}' if isinstance(order, str) and order else ''})",
                )
                for begun, end, status, _, order in rows
            ]
            for mine_id, rows in self.history.items()
        }


def status_then(rows: list[tuple[int, int, str, str | None, Any]], day: int) -> str:
    """The status of a mine on one day from its rows in order of their first day; see `status_by_day`."""
    latest = {shaft: status for first, end, status, shaft, _ in rows if first <= day < end}
    whole = latest.get(None, "")
    if whole in FORBIDDING_STATUSES or not latest:
        return whole
    return min(latest.values(), key=PERMISSIVENESS.index)
