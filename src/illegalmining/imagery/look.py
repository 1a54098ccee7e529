"""From where the satellite looked: the angles between movement of the ground and movement along the line of sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from illegalmining.imagery.bands import LOOK
from illegalmining.registers.quarantine import SetAside

INCIDENCE = ("incidence_angle", "incidenceangle", "mean_incidence_angle", "center_incidence_angle")
AZIMUTH = ("azimuth_angle", "los_azimuth_angle")
HEADING = ("heading", "heading_angle", "track_angle", "satellite_heading")
ORBIT = ("orbit_direction", "orbit_pass_direction", "sat:orbit_state")
ORBIT_HEADING = {"asc": -12.0, "des": -168.0}
"""Heading of near-polar satellites in middle latitudes, degrees clockwise from north (MintPy's documentation)."""
USUAL_INCIDENCE = 39.0
"""Middle of Sentinel-1's wide swath, degrees."""
LEFT = 1
"""MintPy's ANTENNA_SIDE of a radar that looks left; -1 looks right, as all that is in use does."""


def look_of(facts: Mapping[str, Any]) -> dict[str, float]:
    """The contract's angles, as far as stated facts give them; degrees.

    An azimuth may be stated as such (ground to satellite, clockwise from north) or follow from the flight's heading: a
    radar looks at right angles to its path, to the right unless stated otherwise.
    """
    plain = {str(name).lower(): value for name, value in facts.items()}
    look = {}
    incidence = number(plain, INCIDENCE)
    if incidence is not None:
        look["incidence_angle"] = incidence
    azimuth, heading = number(plain, AZIMUTH), number(plain, HEADING)
    if azimuth is None and heading is None:
        orbit = next((str(plain[name]).lower()[:3] for name in ORBIT if name in plain), "")
        heading = ORBIT_HEADING.get(orbit)
    if azimuth is None and heading is not None:
        azimuth = heading + (90.0 if number(plain, ("antenna_side",)) == LEFT else -90.0)
    if azimuth is not None:
        look["azimuth_angle"] = azimuth % 360.0
    return look


def number(facts: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    """The first of the names that is stated as a finite number."""
    for name in names:
        try:
            value = float(np.asarray(facts[name]).item())
        except (KeyError, TypeError, ValueError):
            continue
        if np.isfinite(value):
            return value
    return None


def with_look(cube: xr.Dataset, aside: SetAside) -> xr.Dataset:
    """The cube with both angles, as variables or attributes; an angle nobody stated is assumed, and noted.

    Without an azimuth no horizontal movement can be told: the line of sight is then taken as vertical.
    """
    missing = [name for name in LOOK if name not in cube and name not in cube.attrs]
    if not missing:
        return cube
    if "azimuth_angle" in missing:
        assumed = {"incidence_angle": 0.0, "azimuth_angle": 0.0}
        cube = cube.drop_vars([name for name in LOOK if name in cube])
        why = "the look direction is unknown: movement is read as vertical. State azimuth_angle and incidence_angle"
    else:
        assumed = {"incidence_angle": USUAL_INCIDENCE}
        why = f"{USUAL_INCIDENCE:g} degrees assumed, the middle of Sentinel-1's swath. State incidence_angle"
    aside.note(None, ", ".join(missing), None, "look direction in degrees, as variable or attribute", why)
    return cube.assign_attrs(assumed)
