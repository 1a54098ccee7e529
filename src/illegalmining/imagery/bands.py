"""The bands each kind of sensor may have, and the many names they go by."""

from __future__ import annotations

import re

REFLECTANCE = ("blue", "green", "red", "nir", "swir16", "swir22")
LOOK = ("incidence_angle", "azimuth_angle")

BANDS: dict[str, tuple[str, ...]] = {
    "optical": (*REFLECTANCE, "scl", "ndvi"),
    "radar": ("vv", "vh"),
    "displacement": ("displacement", *LOOK, "temporal_coherence"),
    "nightlight": ("radiance",),
}
"""Band names of the contract by sensor, in the order cubes have them."""

ESSENTIAL: dict[str, tuple[str, ...]] = {
    "optical": (*REFLECTANCE, "ndvi"),
    "radar": ("vv", "vh"),
    "displacement": ("displacement",),
    "nightlight": ("radiance",),
}
"""At least one of these must be there."""

STATIC = (*LOOK, "temporal_coherence")
"""Bands that may have no time."""

SEQUENTIAL = ("optical", "radar")
"""Sensors whose dates are judged one after another: each date of the monitored time can be read by itself."""

ONLY_BAND = {"displacement": "displacement", "nightlight": "radiance"}
"""What the one unnamed band of a file is."""

CLASSES = ("scl",)
"""Bands whose values are classes: never averaged, 0 is no data."""

# Names other than the contract's, lower case; the number ranks a stand-in behind the band proper.
OTHER_NAMES: dict[str, tuple[str, int]] = {
    "b02": ("blue", 0),
    "b03": ("green", 0),
    "b04": ("red", 0),
    "b08": ("nir", 0),
    "nir08": ("nir", 1),
    "nir09": ("nir", 2),
    "b8a": ("nir", 1),
    "b11": ("swir16", 0),
    "b12": ("swir22", 0),
    "swir1": ("swir16", 0),
    "swir2": ("swir22", 0),
    "scene_classification": ("scl", 0),
    "gamma0_vv": ("vv", 0),
    "gamma0_vh": ("vh", 0),
    "vv_gamma0": ("vv", 0),
    "vh_gamma0": ("vh", 0),
    "los_displacement": ("displacement", 0),
    "cumulative_displacement": ("displacement", 0),
    "incidenceangle": ("incidence_angle", 0),
    "azimuthangle": ("azimuth_angle", 0),
    "temporalcoherence": ("temporal_coherence", 0),
}


def band_of(name: str | None, sensor: str) -> tuple[str, int] | None:
    """The contract's band behind a name and how good a stand-in it is (0: the band itself); None where it is none."""
    if not name:
        return None
    plain = re.sub(r"[\s-]+", "_", name.strip().lower())
    plain = re.sub(r"^b(\d)$", r"b0\1", plain)
    band, rank = OTHER_NAMES.get(plain, (plain, 0))
    return (band, rank) if band in BANDS[sensor] else None
