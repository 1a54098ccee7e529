"""Meter readings and tonnes: safety load, drainage after rain, heating in the cold, night tariffs that change, shifts,
maintenance, holidays, tests and pump failures that only look like work; gaps and, where asked, every other defect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
from shapely.geometry import box

from illegalmining.detect.holidays import spring_festival
from illegalmining.simulate.plan import Mine, Plan, Work
from illegalmining.simulate.preset import Preset

ZONE = "Asia/Shanghai"
OTHERS = (("village", "other", 45.0), ("works", "industry", 260.0), ("village", "other", 70.0))


@dataclass(frozen=True)
class Hours:
    """Every hour of a district's time. day: number from the first. hour: 0-23. rest: holidays. wet: water still to be
    pumped, 1 after heavy rain. cold: degrees below 2 C, tens."""

    stamps: pd.DatetimeIndex
    day: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    rest: npt.NDArray[np.bool_]
    wet: npt.NDArray[np.floating]
    cold: npt.NDArray[np.floating]


def make_hours(preset: Preset, rng: np.random.Generator) -> Hours:
    """Hours with holidays and the wetness that drives drainage: rain that runs off over days."""
    stamps = pd.date_range(preset.history_from, preset.as_of + timedelta(days=1), freq="h", inclusive="left")
    day = (stamps.normalize() - stamps[0]).days.to_numpy()
    count = int(day[-1]) + 1
    days = pd.date_range(preset.history_from, periods=count)
    summer = 0.35 + 0.65 * np.exp(-(((days.dayofyear - 205) / 55.0) ** 2))
    rain = rng.gamma(0.8, preset.rain_mm, count) * (rng.random(count) < preset.rain_share * summer)
    wet = np.zeros(count)
    for k in range(1, count):
        wet[k] = 0.82 * wet[k - 1] + rain[k]
    rest = spring_festival(days)
    mild = 10.0 - 13.0 * np.cos(2 * np.pi * (days.dayofyear.to_numpy() - 15) / 365.25)
    weather = np.zeros(count)
    for k in range(1, count):
        weather[k] = 0.8 * weather[k - 1] + rng.normal(0, 2.0)
    cold = np.maximum(2.0 - mild - weather, 0.0) / 10.0
    return Hours(stamps, day, stamps.hour.to_numpy(), rest[day], (wet / 40.0)[day], cold[day])


def safety_load(mine: Mine, hours: Hours, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Ventilation, drainage (more after rain, moved to cheap night hours, which end earlier in summer), heated air in
    the cold and a morning of maintenance a week, kW."""
    ventilation = mine.safety_kw * (0.62 + 0.08 * hours.cold)
    drainage = 0.38 * mine.safety_kw * (1 + np.minimum(hours.wet, 2.5))
    summer = (hours.stamps.month >= 7) & (hours.stamps.month <= 8)
    cheap = hours.hour < np.where(summer & (rng.random() < 0.3), 6, 7)
    tariff = 1 + 0.7 * rng.random() * np.where(cheap, 1.6, -0.66)
    weekday = int(rng.integers(7))
    checks = 0.25 * mine.safety_kw * ((hours.day % 7 == weekday) & (hours.hour >= 8) & (hours.hour < 12))
    return ventilation + drainage * np.maximum(tariff, 0.1) + checks


def oddities(mine: Mine, hours: Hours, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Loads of a mine at rest that are no work, kW: tests of the hoist by day, now and then by night; a pump that fails
    and makes up for it. About two a year."""
    extra = np.zeros(len(hours.day))
    for _ in range(rng.poisson(1.2 * len(extra) / 8766)):
        first = int(rng.integers(0, max(len(extra) // 24 - 3, 1))) * 24
        at = int(rng.integers(8, 15)) if rng.random() < 0.8 else int(rng.integers(0, 24))
        for day in range(int(rng.integers(1, 3))):
            begin = first + 24 * day + at
            extra[begin : begin + int(rng.integers(2, 6))] += rng.uniform(0.1, 0.5) * mine.full_kw
    for _ in range(rng.poisson(0.8 * len(extra) / 8766)):
        begin, length = int(rng.integers(0, max(len(extra) - 48, 1))), int(rng.integers(5, 13))
        extra[begin : begin + length] -= 0.3 * mine.safety_kw
        extra[begin + length : begin + 2 * length] += 0.3 * mine.safety_kw
    return extra


def working(work: Work, hours: Hours, since: date, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Share of full load by the hour."""
    first, last = (work.start - since).days, (work.end - since).days
    count = int(hours.day[-1]) + 1
    chosen = rng.random(count) < (work.days if work.nights else 0.93)
    on = (hours.day >= first) & (hours.day < last) & chosen[hours.day]
    if work.nights:
        return work.share * (on & ((hours.hour >= 20) | (hours.hour < 5)))
    return work.share * (on & ~hours.rest & (hours.hour >= 6) & (hours.hour < 22))


def mine_load(mine: Mine, hours: Hours, preset: Preset, rng: np.random.Generator) -> tuple[npt.NDArray, npt.NDArray]:
    """(all the mine draws, what of it is production), kW."""
    share = sum((working(work, hours, preset.history_from, rng) for work in mine.work), np.zeros(len(hours.day)))
    production = mine.full_kw * share * rng.gamma(60, 1 / 60, len(share))
    if mine.method == "underground":
        rest = np.maximum(safety_load(mine, hours, rng) + oddities(mine, hours, rng), 0.1 * mine.safety_kw)
    else:
        rest = np.full(len(share), 0.15 * mine.safety_kw)
    return (rest + production) * rng.gamma(400, 1 / 400, len(share)), production


def meters_of(plan: Plan) -> pd.DataFrame:
    """Which meter supplies whom; places follow when the register is written."""
    rows = [
        {"meter_id": f"E{k:04d}", "mine_id": mine.mine_id, "category": "mine", "capacity_kva": round(2 * mine.full_kw)}
        for k, mine in enumerate(plan.mines)
    ]
    for k, (_, category, kw) in enumerate(OTHERS):
        rows.append({"meter_id": f"V{k:04d}", "mine_id": None, "category": category, "capacity_kva": 3 * kw})
    return pd.DataFrame(rows)


def simulate_power(preset: Preset, plan: Plan, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(readings: meter_id, time, kwh; production: mine_id, month, tonnes)."""
    rng = np.random.default_rng([seed, 51])
    hours = make_hours(preset, rng)
    stamps = hours.stamps.tz_localize(ZONE, ambiguous=True, nonexistent="shift_forward")
    readings, tonnes = [], []
    for k, mine in enumerate(plan.mines):
        load, production = mine_load(mine, hours, preset, rng)
        readings.append(with_faults(f"E{k:04d}", stamps, load, rng))
        tonnes.append(declared(mine, hours, production, preset, rng))
    for k, (name, _, kw) in enumerate(OTHERS):
        day_shape = np.where((hours.hour >= 18) & (hours.hour < 23), 1.6, 0.7)
        if name == "works":
            day_shape = np.where((hours.hour >= 8) & (hours.hour < 18) & ~hours.rest, 1.7, 0.3)
        load = kw * day_shape * rng.gamma(30, 1 / 30, len(day_shape))
        readings.append(with_faults(f"V{k:04d}", stamps, load, rng))
    return pd.concat(readings, ignore_index=True), pd.concat(tonnes, ignore_index=True)


def with_faults(meter: str, stamps: pd.DatetimeIndex, load: npt.NDArray, rng: np.random.Generator) -> pd.DataFrame:
    """Hourly kWh with gaps."""
    frame = pd.DataFrame({"meter_id": meter, "time": stamps, "kwh": load.round(2)})
    kept = np.ones(len(frame), bool)
    for begin in rng.integers(0, len(frame) - 72, 6):
        kept[begin : begin + int(rng.integers(2, 60))] = False
    return frame[kept]


def with_defects(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """What happens to meters in the field, one of each: readings twice, a reset, a dead register, a clock an hour late
    for some weeks, a gap booked at once. Rows in order of time."""
    frame = frame.reset_index(drop=True)
    kwh = frame["kwh"].to_numpy(copy=True)
    at = np.sort(rng.integers(24, max(len(frame) - 24 * 40, 25), 5))
    kwh[at[0]] = -float(rng.uniform(1e3, 1e5))
    kwh[at[1] : at[1] + int(rng.integers(4, 40))] = 0.0
    gap = int(rng.integers(10, 40))
    kwh[at[2] + gap] += kwh[at[2] : at[2] + gap].sum()
    late = slice(at[3], at[3] + 24 * 30)
    kwh[late] = np.roll(kwh[late], 1)
    frame = frame.assign(kwh=kwh).drop(index=range(at[2], at[2] + gap))
    return pd.concat([frame, frame.iloc[-96:-72]], ignore_index=True)


def shut_mine(
    preset: Preset, seed: int, share: float, nights: int, every: float, defects: bool = False
) -> tuple[Mine, pd.DataFrame, list[date]]:
    """One mine under an order, alone: for studies. share: of full load worked by night, 0 for none; nights: how many;
    every: share of the nights of that time that are worked. Returns the mine, its readings (meter_id is the mine's) and
    the dates of the nights worked."""
    rng = np.random.default_rng([seed, 71])
    order = preset.monitor_from + timedelta(days=int(rng.integers(-60, 60)))
    safety = float(rng.uniform(150, 400))
    mine = Mine(
        mine_id=f"S{seed}",
        name="",
        operator="",
        licence_no="",
        method="underground",
        yard=box(0, 0, 100, 100),
        capacity_t=6e5,
        safety_kw=safety,
        full_kw=safety * float(rng.uniform(1.8, 3.5)),
        statuses=(
            ("producing", preset.history_from, order),
            (str(rng.choice(["suspended", "rectifying"])), order, None),
        ),
        work=(Work(preset.history_from, order),),
    )
    hours = make_hours(preset, rng)
    load, _ = mine_load(mine, hours, preset, rng)
    worked: list[date] = []
    if nights:
        longest = int(np.ceil(nights / every))
        since = max(order, preset.monitor_from)
        begin = since + timedelta(days=int(rng.integers(15, max((preset.as_of - since).days - longest - 25, 16))))
        chosen = np.sort(rng.choice(longest, nights, replace=False))
        at, length = int(rng.integers(18, 24)), int(rng.integers(7, 11))
        for night in chosen:
            worked.append(begin + timedelta(days=int(night)))
            first = (worked[-1] - preset.history_from).days * 24 + at
            amount = share * mine.full_kw * rng.gamma(60, 1 / 60, length)
            load[first : first + length] += amount[: max(len(load) - first, 0)]
    stamps = hours.stamps.tz_localize(ZONE, ambiguous=True, nonexistent="shift_forward")
    frame = with_faults(mine.mine_id, stamps, load, rng)
    return mine, with_defects(frame, rng) if defects else frame, worked


def declared(
    mine: Mine, hours: Hours, production: npt.NDArray, preset: Preset, rng: np.random.Generator
) -> pd.DataFrame:
    """Tonnes a month as declared: from the energy of production, unless the mine invents them or hides its work."""
    hidden = np.zeros(len(production), bool)
    for work in mine.work:
        if work.nights:
            hidden |= hours.day >= (work.start - preset.history_from).days
    monthly = pd.Series(np.where(hidden, 0, production)).groupby(hours.stamps.strftime("%Y-%m").to_numpy()).sum()
    tonnes = monthly / 22 * rng.gamma(100, 1 / 100, len(monthly))
    if mine.declared_t_month:
        invented = mine.declared_t_month * rng.gamma(60, 1 / 60, len(monthly))
        tonnes = tonnes.where(tonnes.index < f"{preset.monitor_from:%Y-%m}", invented)
    return pd.DataFrame({"mine_id": mine.mine_id, "month": monthly.index, "tonnes": tonnes.round(0).to_numpy()})
