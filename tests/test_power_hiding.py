"""Ways to hide work from the meters, and what only looks like it: planted loads, one way at a time."""

from __future__ import annotations

import json
import os
import signal
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from geopandas.testing import assert_geodataframe_equal

from illegalmining.compute import crew
from illegalmining.detect.findings import Findings
from illegalmining.detect.holidays import spring_festival
from illegalmining.detect.load import HOUR_COLUMNS
from illegalmining.detect.power import detect_power
from illegalmining.errors import IllegalMiningError
from illegalmining.power.scale import ScaleParameters, scale_of_days

HISTORY, MONITOR, AS_OF = date(2025, 1, 1), date(2026, 1, 1), date(2026, 5, 31)
DAYS = pd.date_range(HISTORY, AS_OF, freq="D")
ORDER = "2025-11-20"
ALARM = 1.65
CRS = "EPSG:32649"
REST, STEP = 400.0, 800.0
NIGHTS = np.arange(400, 440, 2)  # day numbers: every second night from early February


def at_rest(seed: int, rest_kw: float = REST) -> np.ndarray:
    """A resting mine, (D, 24): a night tariff, a weekly service, rain that sets in and runs off, noise."""
    rng = np.random.default_rng(seed)
    hours = len(DAYS) * 24
    rain = np.zeros(hours)
    for begin in rng.integers(0, hours, 12):
        rain[begin:] += 0.2 * np.exp(-np.arange(hours - begin) / 60.0)
    load = (1 + rain).reshape(-1, 24) * np.where(np.arange(24) < 7, 1.4, 0.83)
    load[2::7, 8:12] += 0.3
    return rest_kw * load * rng.gamma(400, 1 / 400, load.shape)


def by_night(load: np.ndarray, nights: np.ndarray, kw: float) -> np.ndarray:
    """The same with work from 21:00 to 5:00."""
    load = load.copy()
    load[nights, 21:] += kw
    load[nights + 1, :5] += kw
    return load


def by_shift(load: np.ndarray, ended: str = ORDER) -> np.ndarray:
    """The same with lawful work until the order."""
    load = load.copy()
    lawful = np.asarray((ended > DAYS) & (DAYS.dayofweek != 6))
    load[np.flatnonzero(lawful)[:, None], np.arange(6, 22)] += STEP
    return load


def profile(meter: str, hours: np.ndarray, quantity: str = "power") -> pd.DataFrame:
    frame = pd.DataFrame(hours, columns=HOUR_COLUMNS)
    frame.insert(0, "meter_id", meter)
    frame.insert(1, "quantity", quantity)
    frame.insert(2, "day", DAYS)
    frame["total"] = hours.sum(axis=1)
    return frame


def judge(
    *profiles: pd.DataFrame,
    others: dict[str, str] | None = None,
    status: str = "suspended",
    place: float = 0.0,
    order: str = ORDER,
    until: str | None = None,
    **more: Any,
) -> Findings:
    """One mine `m` with meter `m` under an order; others: further meters and their category, `place` degrees away."""
    mines = gpd.GeoDataFrame({"mine_id": ["m"]}, geometry=gpd.points_from_xy([111.0], [37.0]), crs="EPSG:4326").to_crs(
        CRS
    )
    mines["capacity_t"], mines["safety_load_kw"] = np.nan, REST
    orders = pd.DataFrame({"mine_id": ["m"], "shaft_id": [None], "status": [status], "from": [pd.Timestamp(order)]})
    orders["to"], orders["order_no"] = pd.NaT if until is None else pd.Timestamp(until), "KJ-7"
    others = others or {}
    meters = pd.DataFrame({"meter_id": ["m", *others], "mine_id": ["m", *[None] * len(others)]})
    meters["category"], meters["capacity_kva"] = ["mine", *others.values()], 5000.0
    meters["lon"], meters["lat"] = [111.0, *[111.0 + place] * len(others)], 37.0
    return detect_power(pd.concat(profiles, ignore_index=True), meters, mines, orders, None, MONITOR, AS_OF, **more)


def asked(findings: Findings, question: str) -> list[tuple[float, dict[str, Any]]]:
    """(nats, attributes) of the rows that ask a question."""
    rows = [(row.log_lr, json.loads(row.attributes)) for row in findings.detections.itertuples()]
    return [(nats, attributes) for nats, attributes in rows if question in ("any", attributes["question"])]


def test_a_night_tariff_rain_and_services_are_no_work() -> None:
    for seed in range(3):
        found = asked(judge(profile("m", by_shift(at_rest(seed)))), "worked_while_forbidden")
        assert [nats for nats, _ in found if nats > ALARM] == []


def wet_weeks(load: np.ndarray, rise: float, clock: np.ndarray) -> np.ndarray:
    """The same with spells of rain whose water is pumped in these hours (24,), as a share of rest's mean."""
    load = load.copy()
    for begin, length in ((402, 9), (420, 5), (433, 14), (470, 7)):
        load[begin : begin + length] += rise * REST * clock * 24 / clock.sum()
    return load


def test_rain_pumped_in_the_cheap_hours_is_no_work() -> None:
    """Night after night in the hours of the tariff, at a time of rain: where the profile peaks, drainage rises."""
    cheap = np.where(np.arange(24) < 7, 1.4, 0.6)
    for seed in range(3):
        load = wet_weeks(by_shift(at_rest(seed)), 0.2, cheap - 0.5)
        found = asked(judge(profile("m", load)), "worked_while_forbidden")
        assert [nats for nats, _ in found if nats > ALARM] == [], seed


def test_maintenance_on_a_day_of_rain_is_no_work() -> None:
    """Pumps from midnight, then the service: one long block, and yet two things a mine at rest does."""
    night = (np.arange(24) < 7).astype(float)
    for seed in range(3):
        load = by_shift(at_rest(seed))
        for day in range(401, 500, 14):
            load[day : day + 2] += 0.35 * REST * night
            load[day, 7:12] += 0.35 * REST
        found = asked(judge(profile("m", load)), "worked_while_forbidden")
        assert [nats for nats, _ in found if nats > ALARM] == [], seed


@pytest.mark.parametrize(
    ("days", "hours"),
    [([410], range(24)), ([400, 430, 461], range(8, 18)), ([400, 430, 461], range(24)), ([410, 411], range(24))],
)
def test_a_drill_of_the_pumps_is_no_work(days: list[int], hours: range) -> None:
    """All pumps at full for a day, two, or a day a month, as an emergency office orders: far above rest, and rare."""
    for seed in range(3):
        load = by_shift(at_rest(30 + seed))
        load[np.ix_(days, list(hours))] += 1.5 * REST
        found = asked(judge(profile("m", load)), "worked_while_forbidden")
        assert [nats for nats, _ in found if nats > ALARM] == [], seed


def test_a_shift_beside_days_of_rest_or_of_an_order_is_neither() -> None:
    """Sundays at rest are followed by a Monday's shift, and the last night of an order by the morning it ends."""
    young = asked(judge(profile("m", by_shift(at_rest(16), ended="2026-05-19")), order="2026-05-19"), "any")
    assert young == []
    load = by_shift(at_rest(17))
    load[np.asarray(DAYS >= "2026-03-02"), 6:22] += STEP
    found = asked(judge(profile("m", load), until="2026-03-02"), "worked_while_forbidden")
    assert [(told["worked_on"]) for nats, told in found if nats > 0.5] == []


def test_a_meter_read_at_another_scale_is_no_work() -> None:
    """Every hour trebles from one day on, two weeks ago: the reader's way with it takes the evidence away."""
    load = by_shift(at_rest(18))
    load[500:] *= 3
    raw = asked(judge(profile("m", load)), "worked_while_forbidden")
    assert max(nats for nats, _ in raw) > ALARM, "left as it is, it would accuse"
    right = load / scale_of_days(load, ScaleParameters())[:, None]
    found = asked(judge(profile("m", right)), "worked_while_forbidden")
    assert [nats for nats, _ in found if nats > ALARM] == []


@pytest.mark.parametrize("share", [0.15, 0.25, 1.0])
def test_some_nights_at_a_share_of_full_load_are_found_and_dated(share: float) -> None:
    load = by_night(by_shift(at_rest(4)), NIGHTS, share * STEP)
    ((nats, told),) = asked(judge(profile("m", load)), "worked_while_forbidden")
    assert nats > ALARM
    nights = {f"{DAYS[night]:%Y-%m-%d}" for night in NIGHTS}
    assert set(told["worked_on"]) <= nights
    assert len(told["worked_on"]) >= 0.8 * len(nights)
    for key, night in (("first_seen_interval", NIGHTS[0]), ("last_seen_interval", NIGHTS[-1])):
        low, high = told[key]
        assert low <= f"{DAYS[night]:%Y-%m-%d}" <= high
    truth = share * STEP * 8 * len(NIGHTS)
    assert told["excess_kwh"] == pytest.approx(truth, rel=0.25)


def test_the_plot_shows_load_band_orders_and_work() -> None:
    load = by_night(by_shift(at_rest(5)), NIGHTS, 0.4 * STEP)
    ((_, told),) = asked(judge(profile("m", load)), "worked_while_forbidden")
    series = told["series"]
    count = len(series["dates"])
    assert {len(series[name]) for name in ("observed", "expected", "low", "high")} == {count}
    assert series["unit"] == "kWh/day"
    assert told["orders"] == [{"status": "suspended", "from": ORDER, "to": None, "order_no": "KJ-7"}]
    table = pd.DataFrame({name: series[name] for name in ("observed", "high")}, index=series["dates"])
    worked = table.index.isin(told["worked_on"])
    assert (table["observed"] > table["high"])[worked].mean() > 0.8
    assert (table["observed"] > table["high"])[~worked].mean() < 0.2


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_work_round_the_clock_on_every_day_is_found_by_what_rest_was(status: str) -> None:
    """No day of rest among them betrays it; pumps that draw half as much again as rest, all year, are no work."""
    shut = np.asarray(DAYS >= "2025-10-01")
    load, pumped = by_shift(at_rest(13), ended="2025-10-01"), by_shift(at_rest(13), ended="2025-10-01")
    even = np.random.default_rng(5).gamma(400, 1 / 400, load[shut].shape)
    load[shut] += 0.75 * STEP * even
    ((nats, told),) = asked(judge(profile("m", load), status=status, order="2025-10-01"), "worked_while_forbidden")
    assert ALARM < nats < 4, "bounded: other loads may have come onto the meter"
    assert told["nights"] == np.count_nonzero(f"{MONITOR}" <= DAYS)
    assert told["excess_kwh"] == pytest.approx(0.75 * STEP * 24 * told["nights"], rel=0.1)
    pumped[shut] += 0.5 * REST * even
    assert asked(judge(profile("m", pumped), status=status, order="2025-10-01"), "worked_while_forbidden") == []


def test_work_by_day_under_a_maintenance_notice_is_found() -> None:
    load = by_shift(at_rest(6))
    load[400:420, 7:19] += 0.3 * STEP
    found = asked(judge(profile("m", load), status="rectifying"), "worked_while_forbidden")
    assert max(nats for nats, _ in found) > ALARM


def test_a_meter_cut_now_and_then_hides_no_campaign_and_the_cuts_are_listed() -> None:
    load = by_night(by_shift(at_rest(7)), NIGHTS, 0.4 * STEP)
    load[[408, 409, 421]] = np.nan
    ((nats, told),) = asked(judge(profile("m", load)), "worked_while_forbidden")
    assert nats > ALARM
    assert told["unread_days"] == [f"{DAYS[day]:%Y-%m-%d}" for day in (408, 409, 421)]
    quiet = by_shift(at_rest(7))
    quiet[[408, 409, 421, 430]] = np.nan
    assert [nats for nats, _ in asked(judge(profile("m", quiet)), "worked_while_forbidden") if nats > ALARM] == []


def test_days_of_zeros_are_a_cut_and_listed_where_a_mine_always_draws_something() -> None:
    load = by_night(by_shift(at_rest(7)), NIGHTS, 0.4 * STEP)
    load[[408, 409, 421]] = 0.0
    ((nats, told),) = asked(judge(profile("m", load)), "worked_while_forbidden")
    assert nats > ALARM
    assert told["unread_days"] == [f"{DAYS[day]:%Y-%m-%d}" for day in (408, 409, 421)]


def test_the_first_day_of_an_order_is_not_counted() -> None:
    """Work runs down: what is drawn on that day proves nothing, and what is drawn on the next days does."""
    load = by_shift(at_rest(16), ended="2026-02-02")
    load[np.asarray((DAYS >= "2026-02-02") & (DAYS <= "2026-02-06")), 6:22] += STEP
    ((nats, told),) = asked(judge(profile("m", load), order="2026-02-02"), "worked_while_forbidden")
    assert nats > 0
    assert told["worked_on"] == ["2026-02-03", "2026-02-04", "2026-02-05", "2026-02-06"]


def test_a_hoist_tells_what_the_whole_meter_hides() -> None:
    """The mine's power is made even; its hoist runs by night."""
    hoist = np.full((len(DAYS), 24), 4.0) * np.random.default_rng(8).gamma(50, 1 / 50, (len(DAYS), 24))
    lawful = np.asarray(DAYS < ORDER)
    hoist[np.flatnonzero(lawful)[:, None], np.arange(6, 22)] += 120.0
    power = profile("m", by_shift(at_rest(8)))
    idle = judge(power, profile("m", hoist, "hoist"))
    assert [nats for nats, _ in asked(idle, "worked_while_forbidden") if nats > ALARM] == []
    found = asked(judge(power, profile("m", by_night(hoist, NIGHTS, 50.0), "hoist")), "worked_while_forbidden")
    nats, told = found[0]
    assert nats > ALARM
    assert told["quantity"] == "hoist"
    assert told["factors"]["hoist"] > told["factors"]["power"]
    assert told["series"]["unit"] == "hoist/day"


def village(seed: int) -> np.ndarray:
    """A village: evenings, weekends, more at the Spring Festival."""
    rng = np.random.default_rng(seed)
    load = np.tile(np.where((np.arange(24) >= 18) & (np.arange(24) < 23), 90.0, 40.0), (len(DAYS), 1))
    load[DAYS.dayofweek >= 5] *= 1.1
    load[spring_festival(DAYS)] *= 1.15
    return load * rng.gamma(40, 1 / 40, load.shape)


def test_work_on_a_village_meter_near_by_is_the_shut_mines() -> None:
    """Within 1 km of the mine: its own case; the same load far from every mine: a place to look at."""
    power, other = profile("m", by_shift(at_rest(9))), {"v": "other"}
    still = judge(power, profile("v", village(9)), others=other, place=0.01)
    assert asked(still, "moved_to_neighbour") == []
    assert asked(still, "mine_like_meter") == []
    carried = profile("v", by_night(village(9), NIGHTS, 0.5 * STEP))
    ((nats, told),) = asked(judge(power, carried, others=other, place=0.01), "moved_to_neighbour")
    assert nats > ALARM
    assert told["meter_id"] == "v"
    assert told["distance_m"] == pytest.approx(890, abs=30)
    assert told["nights"] == len(NIGHTS)
    far = judge(power, carried, others=other, place=0.3)
    assert asked(far, "moved_to_neighbour") == []
    ((nats, told),) = asked(far, "mine_like_meter")
    assert 0 < nats < ALARM, "bounded: a reason to look"


def chill(seed: int) -> np.ndarray:
    """Daily mean temperature: a winter of -8 degrees, warm and cold spells of days."""
    rng = np.random.default_rng(seed)
    spell = np.zeros(len(DAYS))
    for day in range(1, len(DAYS)):
        spell[day] = 0.7 * spell[day - 1] + rng.normal(0, 2.5)
    return 9.0 - 17.0 * np.cos(2 * np.pi * (DAYS.dayofyear.to_numpy() - 15) / 365) + spell


def heated(load: np.ndarray, begun: str, kw: float, temperature: np.ndarray) -> np.ndarray:
    """The same with night storage heaters, charged from 22:00 to 6:00 as cold nights ask, at most `kw`."""
    charge = kw * np.clip((8.0 - temperature) / 18.0, 0.0, 1.0) * np.asarray(begun <= DAYS)
    load = load.copy()
    load[:, [22, 23, *range(6)]] += charge[:, None]
    return load


def beside(load: np.ndarray, seed: int, **more: Any) -> list[tuple[float, dict[str, Any]]]:
    """Rows above the alarm of a shut mine at rest and a village near by with this load."""
    other = profile("v", load)
    findings = judge(profile("m", by_shift(at_rest(seed))), other, others={"v": "other"}, place=0.01, **more)
    return [(nats, told) for nats, told in asked(findings, "any") if nats > ALARM]


@pytest.mark.parametrize(
    ("begun", "kw", "measured"),
    [
        ("2025-01-01", 600.0, True),
        ("2025-10-15", 600.0, False),
        ("2026-01-05", 150.0, True),
        ("2026-01-05", 150.0, False),
        ("2026-01-05", 600.0, True),
        ("2026-01-05", 600.0, False),
        ("2026-01-20", 150.0, False),
    ],
)
def test_night_storage_heaters_of_a_village_near_a_shut_mine_are_no_work(begun: str, kw: float, measured: bool) -> None:
    """On the cheap hours of cold nights, as strong as the mine's own step, also when first charged while it is shut."""
    cold = chill(20)
    weather = pd.DataFrame({"temperature_c": cold}, index=DAYS) if measured else None
    assert beside(heated(village(20), begun, kw, cold), 20, weather=weather) == []


@pytest.mark.parametrize(
    ("nights", "measured"),
    [
        pytest.param(NIGHTS - 30, False, id="every second"),
        pytest.param(np.arange(372, 392), True, id="every, measured"),
        pytest.param(np.arange(372, 392), False, id="every"),
        pytest.param(np.delete(np.arange(372, 384), [4, 9]), True, id="a fortnight, measured"),
        pytest.param(np.arange(372, 515), True, id="to the end, measured"),
        pytest.param(np.arange(372, 515), False, id="to the end"),
    ],
)
def test_work_moved_to_a_village_in_winter_does_not_pass_for_heaters(nights: np.ndarray, measured: bool) -> None:
    """As strong on a mild night as on a cold one; it ends before the cold does, or goes on after."""
    weather = pd.DataFrame({"temperature_c": chill(21)}, index=DAYS) if measured else None
    ((_, told),) = beside(by_night(village(21), nights, 0.5 * STEP), 21, weather=weather)
    assert told["question"] == "moved_to_neighbour"
    assert told["nights"] == pytest.approx(len(nights), abs=1)


@pytest.mark.parametrize(("begun", "measured"), [("2025-01-01", True), ("2026-01-05", True), ("2026-01-05", False)])
def test_work_on_a_heated_villages_meter_is_told_from_its_heaters(begun: str, measured: bool) -> None:
    """Every second night of a month, whose dates are found although the heaters run before, with it and after."""
    cold, worked = chill(22), NIGHTS + 35
    weather = pd.DataFrame({"temperature_c": cold}, index=DAYS) if measured else None
    load = by_night(heated(village(22), begun, 300.0, cold), worked, 0.5 * STEP)
    ((_, told),) = beside(load, 22, weather=weather)
    assert told["question"] == "moved_to_neighbour"
    assert told["nights"] == pytest.approx(len(worked), abs=2)
    low, high = told["first_seen_interval"]
    assert low <= f"{DAYS[worked[0]]:%Y-%m-%d}" <= high


def test_a_meter_of_nobodys_mine_that_always_drew_like_one_is_a_candidate() -> None:
    mine = at_rest(10)
    mine[~spring_festival(DAYS)] += STEP
    findings = judge(profile("m", by_shift(at_rest(11))), profile("x", mine), others={"x": "other"}, place=0.3)
    assert [told["meter_id"] for _, told in asked(findings, "mine_like_meter")] == ["x"]


def test_a_silent_meter_is_said_and_carries_no_nats() -> None:
    load = by_shift(at_rest(12))
    load[390:450] = 0.1 * REST
    findings = judge(profile("m", load))
    ((nats, told),) = asked(findings, "meter_silent")
    assert nats == 0.0
    assert told["silent_from"] == f"{DAYS[390]:%Y-%m-%d}"
    assert "meters_silent" in {remark.key for remark in findings.remarks}
    assert [nats for nats, _ in asked(findings, "worked_while_forbidden") if nats > ALARM] == []


def test_a_closed_mine_may_draw_nothing_and_its_nights_are_found() -> None:
    dark = by_shift(at_rest(13))
    dark[np.asarray(DAYS >= ORDER)] = 0.0
    assert [nats for nats, _ in asked(judge(profile("m", dark), status="closed"), "worked_while_forbidden")] == []
    found = asked(judge(profile("m", by_night(dark, NIGHTS, 0.3 * STEP)), status="closed"), "worked_while_forbidden")
    assert max(nats for nats, _ in found) > ALARM


def test_measured_rain_explains_what_would_look_like_work() -> None:
    """Round-the-clock pumping for weeks, in step with a table of rain."""
    rng = np.random.default_rng(14)
    rain = np.where(rng.random(len(DAYS)) < 0.15, rng.exponential(20.0, len(DAYS)), 0.0)
    water = np.zeros(len(DAYS))
    for day in range(1, len(DAYS)):
        water[day] = 0.82 * water[day - 1] + rain[day]
    load = by_shift(at_rest(14)) + REST * 0.4 * (water / water.std())[:, None]
    weather = pd.DataFrame({"rain_mm": rain}, index=DAYS)
    found = asked(judge(profile("m", load), weather=weather), "worked_while_forbidden")
    assert [nats for nats, _ in found if nats > ALARM] == []


def test_daily_readings_alone_are_judged_too() -> None:
    load = by_shift(at_rest(15))
    load[400:440, :] += 0.5 * STEP
    frame = profile("m", load)
    frame[HOUR_COLUMNS] = np.nan
    found = asked(judge(frame), "worked_while_forbidden")
    assert max(nats for nats, _ in found) > ALARM


def test_processes_find_what_one_does() -> None:
    """A mine that works by night, a village that carries its load, another far away: the same, row by row."""
    worked = by_night(by_shift(at_rest(12)), NIGHTS, STEP)
    given = (profile("m", worked), profile("v", by_night(village(9), NIGHTS, 0.5 * STEP)), profile("x", village(3)))
    alone = judge(*given, others={"v": "other", "x": "other"}, place=0.01)
    with crew(2, at_once=1) as each:
        shared = judge(*given, others={"v": "other", "x": "other"}, place=0.01, each=each)
    assert asked(alone, "worked_while_forbidden")
    assert asked(alone, "moved_to_neighbour")
    assert_geodataframe_equal(shared.detections, alone.detections)
    assert shared.remarks == alone.remarks


def ended_from_without(piece: int) -> int:
    """Work during which the system ends the process, as it does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return piece


def test_pieces_done_apart_come_in_order_and_a_lost_process_is_said() -> None:
    with crew(2, at_once=1) as each:
        assert list(each(abs, iter([-3, 1, -2, 0, 5]))) == [3, 1, 2, 0, 5]
        assert list(each(abs, [-7])) == [7], "the same processes do the next pieces too"
    with pytest.raises(IllegalMiningError, match=r"memory.*compute\.workers"), crew(1) as each:
        list(each(ended_from_without, range(2)))
