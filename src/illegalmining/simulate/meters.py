"""Meter readings: safety load, drainage after rain, night tariffs, shifts, maintenance, holidays, gaps; and tonnes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from illegalmining.simulate.plan import Mine, Plan, Work
from illegalmining.simulate.preset import Preset

ZONE = "Asia/Shanghai"
# First day of the lunar new year; mines rest for about two weeks around it.
SPRING_FESTIVAL = {2023: (1, 22), 2024: (2, 10), 2025: (1, 29), 2026: (2, 17), 2027: (2, 6)}
OTHERS = (("village", "other", 45.0), ("works", "industry", 260.0), ("village", "other", 70.0))


@dataclass(frozen=True)
class Hours:
    """Every hour of a district's time. day: number from the first. hour: 0-23. rest: holidays. rain: mm of the day."""

    stamps: pd.DatetimeIndex
    day: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    rest: npt.NDArray[np.bool_]
    wet: npt.NDArray[np.floating]


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
    rest = np.zeros(count, bool)
    for year, (month, first) in SPRING_FESTIVAL.items():
        begin = (date(year, month, first) - preset.history_from).days - 5
        rest[max(begin, 0) : max(begin + 16, 0)] = True
    return Hours(stamps, day, stamps.hour.to_numpy(), rest[day], (wet / 40.0)[day])


def safety_load(mine: Mine, hours: Hours, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Ventilation, drainage (more after rain, moved to cheap night hours) and a morning of maintenance a week, kW."""
    ventilation = 0.62 * mine.safety_kw
    drainage = 0.38 * mine.safety_kw * (1 + np.minimum(hours.wet, 2.5))
    tariff = 1 + 0.7 * rng.random() * np.where(hours.hour < 7, 1.6, -0.66)
    weekday = int(rng.integers(7))
    checks = 0.25 * mine.safety_kw * ((hours.day % 7 == weekday) & (hours.hour >= 8) & (hours.hour < 12))
    return ventilation + drainage * np.maximum(tariff, 0.1) + checks


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
    rest = safety_load(mine, hours, rng) if mine.method == "underground" else 0.15 * mine.safety_kw
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
