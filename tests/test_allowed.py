"""What the registers allow on a day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illegalmining.registers.allowed import ShutDays, day_numbers, in_force, lawful_each, lawful_terms, status_by_day
from illegalmining.tables import FORBIDDING_STATUSES


def day(text: str | None) -> pd.Timestamp:
    return pd.NaT if text is None else pd.Timestamp(text)


def licences(*rows: tuple[str, str | None, str | None]) -> pd.DataFrame:
    columns = ["valid_from", "valid_to", "renewal_applied"]
    return pd.DataFrame([[day(cell) for cell in row] for row in rows], columns=columns)


@pytest.mark.parametrize(
    ("licence", "first", "last", "lawful"),
    [
        (("2020-01-01", None, None), "2026-03-01", "2026-04-01", True),
        (("2026-03-01", None, None), "2026-03-01", "2026-03-01", True),  # the first day counts
        (("2026-03-02", None, None), "2026-03-01", "2026-04-01", False),
        (("2020-01-01", "2026-04-01", None), "2026-03-01", "2026-03-31", True),
        (("2020-01-01", "2026-04-01", None), "2026-03-01", "2026-04-01", False),  # the end is exclusive
        (("2020-01-01", "2026-03-15", "2026-02-01"), "2026-03-01", "2026-05-01", True),  # applied for in time
        (("2020-01-01", "2026-03-15", "2026-04-10"), "2026-03-01", "2026-05-01", False),  # a gap before it
        (("2020-01-01", "2026-03-15", "2026-04-10"), "2026-04-10", "2026-05-01", True),  # pending from then on
    ],
)
def test_licence_in_force(licence: tuple[str, str | None, str | None], first: str, last: str, lawful: bool) -> None:
    assert in_force(licences(licence), day(first), day(last)).tolist() == [lawful]


def statuses(*rows: tuple[str, str | None, str, str, str | None]) -> pd.DataFrame:
    columns = ["mine_id", "shaft_id", "status", "from", "to", "order_no"]
    return pd.DataFrame([[m, s, w, day(f), day(t), "A1"] for m, s, w, f, t in rows], columns=columns)


def test_a_later_period_overrides_an_earlier_one_and_ends_are_exclusive() -> None:
    table = statuses(("m", None, "producing", "2020-01-01", None), ("m", None, "suspended", "2026-02-01", "2026-03-01"))
    days = pd.DatetimeIndex(["2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01"])
    assert status_by_day(table, "m", days).tolist() == ["producing", "suspended", "suspended", "producing"]
    assert shut_days(table, "m", "2026-01-01", "2026-12-31") == 28


def test_the_freest_shaft_decides_unless_the_whole_mine_is_stopped() -> None:
    shafts = [("m", "old", "producing", "2020-01-01", None), ("m", "new", "suspended", "2020-01-01", None)]
    days = pd.DatetimeIndex(["2026-01-01"])
    assert status_by_day(statuses(*shafts), "m", days).tolist() == ["producing"]
    stopped = [*shafts, ("m", None, "closed", "2025-01-01", None)]
    assert status_by_day(statuses(*stopped), "m", days).tolist() == ["closed"]


def test_unknown_is_not_forbidden() -> None:
    days = pd.DatetimeIndex(["2026-01-01"])
    assert status_by_day(None, "m", days).tolist() == [""]
    assert status_by_day(statuses(("x", None, "closed", "2020-01-01", None)), "m", days).tolist() == [""]
    assert shut_days(None, "m", "2026-01-01", "2026-12-31") == 0


def shut_days(table: pd.DataFrame | None, mine_id: str, first: str, last: str) -> int:
    shut = ShutDays(table)
    mines = shut.numbers_of(np.array([mine_id], dtype=object))
    return int(shut.shut_days_each(mines, day_numbers([day(first)]), day_numbers([day(last)]))[0])


def test_history_names_status_day_and_order() -> None:
    table = statuses(("m", None, "producing", "2020-01-01", "2026-02-01"), ("m", None, "closed", "2026-02-01", None))
    first, last = day_numbers([day("2026-03-01"), day("2026-04-01")])
    assert ShutDays(table).words("m", first, last) == "closed (2026-02-01, A1)"
    assert ShutDays(table).words("other", first, last) == ""


def test_a_stopped_shaft_does_not_stop_a_mine_whose_other_shafts_are_not_listed() -> None:
    table = statuses(("m", None, "producing", "2020-01-01", None), ("m", "new", "suspended", "2025-01-01", None))
    days = pd.DatetimeIndex(["2026-01-01"])
    assert status_by_day(table, "m", days).tolist() == ["producing"]
    assert status_by_day(table, "m", days, shaft_id="new").tolist() == ["suspended"]
    only = statuses(("m", "new", "suspended", "2025-01-01", None))
    assert status_by_day(only, "m", days).tolist() == ["suspended"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_many_questions_at_once_agree_with_one_mine_day_by_day(data: st.DataObject) -> None:
    """The fast calendar against the plain one, over random histories with shafts, overlaps and gaps."""
    offset = st.integers(0, 40)
    words = st.sampled_from(["producing", "building", "suspended", "closed", "rectifying"])
    period = st.tuples(st.sampled_from("ab"), st.sampled_from([None, "s", "t"]), words, offset, st.none() | offset)
    base = pd.Timestamp("1969-12-20")
    rows = [
        (
            mine,
            shaft,
            word,
            base + pd.Timedelta(days=start),
            pd.NaT if end is None else base + pd.Timedelta(days=start + 1 + end),
        )
        for mine, shaft, word, start, end in data.draw(st.lists(period, max_size=8))
    ]
    table = pd.DataFrame(rows, columns=["mine_id", "shaft_id", "status", "from", "to"]).assign(order_no=None)
    table = table.astype({"from": "datetime64[ns]", "to": "datetime64[ns]"})
    days = pd.date_range(base - pd.Timedelta(days=3), periods=90)
    shut = ShutDays(table)
    for mine in "abc":
        plain = status_by_day(table, mine, days).isin(FORBIDDING_STATUSES).to_numpy()
        numbers = shut.numbers_of(np.array([mine] * len(days), dtype=object))
        assert shut.is_shut_each(numbers, day_numbers(days)).tolist() == plain.tolist()
        first, last = day_numbers(days), day_numbers(days[::-1])
        expected = [int(plain[i : len(days) - i].sum()) for i in range(len(days))]
        assert shut.shut_days_each(numbers, first, last).tolist() == expected


def test_terms_of_one_licence_that_follow_one_another_are_lawful_throughout() -> None:
    table = licences(("2020-01-01", "2026-03-01", None), ("2026-03-01", "2027-01-01", None)).assign(licence_no="A")
    across = in_force(table, day("2026-02-01"), day("2026-04-01"))
    assert across.tolist() == [True, True]
    assert in_force(table, day("2026-01-01"), day("2026-01-31")).tolist() == [True, False]
    gap = table.assign(valid_from=[day("2020-01-01"), day("2026-03-02")])
    assert in_force(gap, day("2026-02-01"), day("2026-04-01")).tolist() == [False, False]
    strangers = table.assign(licence_no=["A", "B"])
    assert in_force(strangers, day("2026-02-01"), day("2026-04-01")).tolist() == [False, False]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_lawful_terms_agree_with_a_day_by_day_reading(data: st.DataObject) -> None:
    number = st.integers(0, 30)
    drawn = data.draw(st.lists(st.tuples(number, st.none() | number, st.none() | number), min_size=1, max_size=4))
    table = pd.DataFrame(
        {
            "licence_no": data.draw(st.lists(st.sampled_from("AB"), min_size=len(drawn), max_size=len(drawn))),
            "valid_from": pd.to_datetime([a for a, _, _ in drawn], unit="D"),
            "valid_to": pd.to_datetime([None if b is None else a + 1 + b for a, b, _ in drawn], unit="D"),
            "renewal_applied": pd.to_datetime([c for _, _, c in drawn], unit="D"),
        }
    )
    lawful = np.zeros((len(table), 90), dtype=bool)
    for row, (a, b, c) in enumerate(drawn):
        end = 90 if b is None else min(a + 1 + b, 90)
        lawful[row, a:end] = True
        if c is not None:
            lawful[row, max(c, a) if c <= end else c :] = True
    terms = lawful_terms(table)
    for first in range(0, 60, 7):
        for last in (first, first + 5, first + 20):
            held = lawful_each(terms, np.full(len(terms), first), np.full(len(terms), last))
            rows = set(terms["row"][held])
            span = slice(first, last + 1)
            for row, licence in enumerate(table["licence_no"]):
                same = (table["licence_no"] == licence).to_numpy()
                whole = lawful[same][:, span].any(axis=0).all()
                assert (row in rows) == bool(whole and lawful[row, span].any())
