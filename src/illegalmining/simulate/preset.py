"""What kinds of district can be simulated: climate, covers, sensors, size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Preset:
    """A kind of district.

    name: shown on the map. crs: projected working CRS, metres. origin: south-west corner in it. size_m: side of the
    square. block_m: side of an underground licence's block; the district is cut into blocks of this size.
    history_from, monitor_from, as_of: as in `district.toml`. offences: False where nobody offends. cloud: mean share of
    a scene under cloud, 0-1. leak: share of cloud that the mask misses. snow: probability that a winter scene is under
    snow. green: fraction of vegetation in summer by cover (forest, grass, crops). rain_mm: mean of a rainy day.
    rain_share: share of summer days with rain. atmosphere_m: standard deviation of one epoch's delay, metres.
    optical_days, radar_days, insar_days: revisit. orbits: that see displacement, 1 or 2. geology: brightness of the
    overburden (loess is bright, clay less so). looks: equivalent number of looks of a radar pixel. language: of the
    map.
    """

    name: str
    crs: str
    origin: tuple[float, float]
    size_m: float = 6000.0
    block_m: float = 2000.0
    history_from: date = date(2024, 1, 1)
    monitor_from: date = date(2026, 1, 1)
    as_of: date = date(2026, 10, 31)
    offences: bool = True
    cloud: float = 0.3
    leak: float = 0.06
    snow: float = 0.25
    green: tuple[float, float, float] = (0.85, 0.45, 0.75)
    rain_mm: float = 8.0
    rain_share: float = 0.25
    atmosphere_m: float = 0.006
    optical_days: int = 10
    radar_days: int = 12
    insar_days: int = 12
    orbits: int = 1
    geology: float = 1.0
    looks: float = 12.0
    language: str = "en"


PRESETS: dict[str, Preset] = {
    "plateau": Preset("Demo district: loess plateau", "EPSG:4546", (500_000.0, 4_100_000.0)),
    "humid": Preset(
        "Demo district: humid hills",
        "EPSG:4547",
        (512_000.0, 2_980_000.0),
        cloud=0.5,
        leak=0.08,
        snow=0.0,
        green=(0.95, 0.75, 0.85),
        rain_mm=14.0,
        rain_share=0.45,
        atmosphere_m=0.008,
        geology=0.75,
        looks=9.0,
    ),
    "quiet": Preset("Demo district: nobody offends", "EPSG:32649", (430_000.0, 3_900_000.0), offences=False),
}
