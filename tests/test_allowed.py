"""What the registers allow on a day."""

from __future__ import annotations

import pandas as pd
import pytest

from illegalmining.registers.allowed import forbidden_days, in_force, status_by_day, status_history


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
    assert forbidden_days(table, "m", day("2026-01-01"), day("2026-12-31")) == 28


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
    assert forbidden_days(None, "m", day("2026-01-01"), day("2026-12-31")) == 0


def test_history_names_status_day_and_order() -> None:
    table = statuses(("m", None, "producing", "2020-01-01", "2026-02-01"), ("m", None, "closed", "2026-02-01", None))
    assert status_history(table, "m", day("2026-03-01"), day("2026-04-01")) == "closed (2026-02-01, A1)"
