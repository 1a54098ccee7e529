"""What lifts a resting mine's load from outside: rain that must be pumped, cold that must be heated, the time of year.

Measured where a weather table is given; else rain is inferred from what all resting mines of a district do on a day.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from illegalmining.detect.day_shapes import Flags, Floats


@dataclass(frozen=True)
class SeasonParameters:
    """How the seasons are read.

    recession: share of the water in the rock that is still there a day later, 0.7-0.9. cold_c: daily mean below which
    intake air is heated (coal-mine safety rules ask for 2 degrees in the shaft). peers: resting mines needed to infer
    rain from them. base_days, base_quantile: window and quantile that stand for a dry day's load. wet_unit, cold_unit:
    rise, and degrees below `cold_c`, that count as one. water_unit: the same for water, in its standard deviations.
    """

    recession: float = 0.82
    cold_c: float = 2.0
    peers: int = 5
    base_days: int = 45
    base_quantile: float = 0.25
    wet_unit: float = 0.15
    cold_unit: float = 10.0
    water_unit: float = 0.33


def district_wetness(rises: list[pd.Series], parameters: SeasonParameters) -> pd.Series | None:
    """Rise of drainage that a district's resting mines share, relative, by day; None where too few rest.

    rises: of each mine, its load on days of rest, kW, indexed by day. The median of many mines hides no mine's work.
    """
    if len(rises) < parameters.peers:
        return None
    table = pd.DataFrame({number: relative_rise(load, parameters) for number, load in enumerate(rises)}).sort_index()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = pd.Series(np.nanmedian(table.to_numpy(), axis=1), index=table.index)
    return middle.where(table.notna().sum(axis=1) >= parameters.peers)


def relative_rise(load: pd.Series, parameters: SeasonParameters) -> pd.Series:
    """A mine's load over that of its dry days around, less one."""
    window = load.rolling(parameters.base_days, center=True, min_periods=parameters.base_days // 3)
    return load / window.quantile(parameters.base_quantile) - 1


def covariates(
    days: pd.DatetimeIndex, wetness: pd.Series | None, weather: pd.DataFrame | None, parameters: SeasonParameters
) -> Floats:
    """(D, F) what may lift rest, each in units of a usual change; zero where unknown.

    weather: indexed by day, columns rain_mm and temperature_c, either may be absent.
    """
    angle = 2 * np.pi * days.dayofyear.to_numpy() / 365.25
    columns = [np.cos(angle), np.sin(angle)]
    if wetness is not None:
        columns.append(np.nan_to_num(wetness.reindex(days).to_numpy(float)) / parameters.wet_unit)
    if weather is not None and "rain_mm" in weather:
        columns.append(standing_water(weather["rain_mm"].reindex(days), parameters))
    if weather is not None and "temperature_c" in weather:
        below = (parameters.cold_c - weather["temperature_c"].reindex(days)).clip(lower=0)
        columns.append(np.nan_to_num(below.to_numpy(float)) / parameters.cold_unit)
    return np.column_stack(columns)


def standing_water(rain: pd.Series, parameters: SeasonParameters) -> Floats:
    """Water still to be pumped after the rain of past days, in units that lift rest as a usual change does."""
    fallen = np.nan_to_num(rain.to_numpy(float))
    water = np.zeros(len(fallen))
    for day in range(len(fallen)):
        water[day] = fallen[day] + (parameters.recession * water[day - 1] if day else 0.0)
    return np.asarray(water / max(parameters.water_unit * float(water.std()), 1e-9))


def calm_load(load: Floats, days: pd.DatetimeIndex, resting: Flags) -> pd.Series:
    """A mine's load on its days of rest alone, indexed by day."""
    return pd.Series(np.where(resting, load, np.nan), index=days)
