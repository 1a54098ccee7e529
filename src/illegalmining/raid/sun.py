"""Sunrise and sunset by the formulas of NOAA's solar calculator (after Meeus), right within two minutes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

HORIZON_DEG = 90.833
"""Zenith distance of the sun's centre at sunrise: half its disc, and refraction."""


def daylight(day: date, lon: float, lat: float) -> tuple[datetime, datetime] | None:
    """Sunrise and sunset, UTC, of the solar day whose noon falls on `day` at that longitude.

    None where the sun does not set; `day` twice the same moment (noon) where it does not rise.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    noon = midnight + timedelta(minutes=720 - 4 * lon)
    found = []
    for side in (-1, 1):
        moment = noon
        for _ in range(2):
            declination, equation_min = sun(moment)
            angle = hour_angle(declination, math.radians(lat))
            if angle is None:
                return None
            moment = midnight + timedelta(minutes=720 - 4 * lon - equation_min + side * 4 * math.degrees(angle))
        found.append(moment)
    return found[0], found[1]


def hour_angle(declination: float, lat: float) -> float | None:
    """Angle from noon to sunset, radians: 0 where the sun stays down, None where it stays up."""
    cosine = math.cos(math.radians(HORIZON_DEG)) / (math.cos(lat) * math.cos(declination))
    cosine -= math.tan(lat) * math.tan(declination)
    return None if cosine < -1 else math.acos(min(1.0, cosine))


def sun(moment: datetime) -> tuple[float, float]:
    """(declination, radians; equation of time, minutes)."""
    century = (moment - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400 / 36525
    longitude = math.radians((280.46646 + century * (36000.76983 + century * 0.0003032)) % 360)
    anomaly = math.radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    apparent = longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    tilt = 23 + (26 + (21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))) / 60) / 60
    obliquity = math.radians(tilt + 0.00256 * math.cos(node))
    half = math.tan(obliquity / 2) ** 2
    equation = half * math.sin(2 * longitude) - 2 * eccentricity * math.sin(anomaly)
    equation += 4 * eccentricity * half * math.sin(anomaly) * math.cos(2 * longitude)
    equation -= 0.5 * half**2 * math.sin(4 * longitude) + 1.25 * eccentricity**2 * math.sin(2 * anomaly)
    return math.asin(math.sin(obliquity) * math.sin(apparent)), 4 * math.degrees(equation)
