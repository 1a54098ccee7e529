"""GCJ-02, the shifted coordinates that Chinese phone maps show."""

from __future__ import annotations

import math

SEMI_MAJOR_M = 6378245.0
ECCENTRICITY_SQUARED = 0.00669342162296594323
SHIFTED_AREA = (72.004, 0.8293, 137.8347, 55.8271)


def to_gcj02(lon: float, lat: float) -> tuple[float, float] | None:
    """WGS 84 to GCJ-02, degrees; None outside the rectangle in which the shift is defined.

    The published polynomial with the Krasovsky ellipsoid; checked against test vectors to 1e-6 degrees.
    """
    west, south, east, north = SHIFTED_AREA
    if not (west <= lon <= east and south <= lat <= north):
        return None
    x, y = lon - 105.0, lat - 35.0
    ripple = 20.0 * math.sin(6.0 * x * math.pi) + 20.0 * math.sin(2.0 * x * math.pi)
    shift_lat = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x))
    shift_lat += (ripple + waves(y, (20.0, 1.0), (40.0, 1 / 3), (160.0, 1 / 12), (320.0, 1 / 30))) * 2 / 3
    shift_lon = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x))
    shift_lon += (ripple + waves(x, (20.0, 1.0), (40.0, 1 / 3), (150.0, 1 / 12), (300.0, 1 / 30))) * 2 / 3
    flattening = 1 - ECCENTRICITY_SQUARED * math.sin(math.radians(lat)) ** 2
    metres_lat = SEMI_MAJOR_M * (1 - ECCENTRICITY_SQUARED) / flattening**1.5
    metres_lon = SEMI_MAJOR_M / math.sqrt(flattening) * math.cos(math.radians(lat))
    return lon + math.degrees(shift_lon / metres_lon), lat + math.degrees(shift_lat / metres_lat)


def waves(value: float, *terms: tuple[float, float]) -> float:
    """Sum of a·sin(f·value·π) over (a, f)."""
    return sum(amplitude * math.sin(frequency * value * math.pi) for amplitude, frequency in terms)
