"""The steps of `detect_subsidence` one by one, each with something to look at.

What they return is plain xarray and GeoPandas, so that an analyst can plot it, doubt it and go on from it. Each scene
must fit in memory.
"""

from __future__ import annotations

from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from shapely.geometry import Point

from illegalmining.detect.bowls import Search, find_peaks, time_templates
from illegalmining.detect.declared_faces import explain
from illegalmining.detect.deformation import read_deformation
from illegalmining.detect.inversion import noise_scale
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.track import scene_of

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)


def searched(cube: xr.Dataset, parameters: SubsidenceParameters) -> Search:
    """The scene of a displacement cube, its noise measured."""
    return scene_of(read_deformation(cube, parameters.deformation), parameters.deformation, parameters.search)


def cleaned_movement(cube: xr.Dataset, parameters: SubsidenceParameters | None = None) -> xr.Dataset:
    """What is compact in a displacement cube, and how noisy it is.

    Parameters
    ----------
    cube
        As `detect_subsidence` takes it.

    Returns
    -------
    `movement` (time, y, x), m: each epoch less its plane and broad field, lost pixels filled from next to them;
    `epoch_noise` (time), m: standard deviation of an epoch's air, through a typical bowl's filter;
    `restless` (y, x), at least 1: noise there over the scene's; `seen` (y, x), bool: on at least half of the epochs.
    """
    search = searched(cube, parameters or SubsidenceParameters())
    root_weight = search.typical.nuisance.root_weight / search.typical.nuisance.root_weight.mean()
    noise = float(np.sqrt(np.mean(noise_scale(search, root_weight) ** 2))) / root_weight
    parts = {
        "movement": (("time", "y", "x"), search.values),
        "epoch_noise": (("time",), noise),
        "restless": (("y", "x"), search.typical.local),
        "seen": (("y", "x"), search.known),
    }
    return placed(xr.Dataset(parts, coords={name: cube[name] for name in ("time", "y", "x")}), cube)


def declared_movement(
    cube: xr.Dataset, faces: gpd.GeoDataFrame, parameters: SubsidenceParameters | None = None
) -> xr.DataArray:
    """What declared faces move the ground, each fitted within what the register leaves open.

    `cube`, `faces`: as `detect_subsidence` takes them. Returns (face_id, time, y, x), m towards the satellite; a face
    that is not at work in the cube's time, or lies outside, is not there. `cube - declared.sum("face_id")` is what they
    leave, and may be given to every other step.
    """
    parameters, first = parameters or SubsidenceParameters(), pd.Timestamp(cube["time"].values[0])
    search = searched(cube, parameters)
    declared = explain(search, faces, first, parameters.declared)
    moved = np.zeros((len(declared), *search.values.shape), np.float32)
    for part, face in zip(moved, declared, strict=True):
        part[:, *face.window] = face.moved
    coords = {"face_id": [face.face_id for face in declared], **{name: cube[name] for name in ("time", "y", "x")}}
    return placed(xr.DataArray(moved, coords, ("face_id", "time", "y", "x"), "declared_movement"), cube)


def candidate_bowls(
    cube: xr.Dataset, monitor_from: Any, parameters: SubsidenceParameters | None = None
) -> gpd.GeoDataFrame:
    """Bowls in a cube, mostly in what declared faces leave, that sink in monitored time, before any is inverted.

    Returns the points of their peaks, the strongest first: `nats` over chance after looking everywhere, and over every
    broad bowl; `z`, standard deviations; `radius_m`, `length_m`, `width_m`, `azimuth_deg` of the shape that shows it
    best; `start`, day.
    """
    parameters, first = parameters or SubsidenceParameters(), pd.Timestamp(cube["time"].values[0])
    search = searched(cube, parameters)
    monitor_day = float((pd.Timestamp(monitor_from) - first) / pd.Timedelta(days=1))
    templates = time_templates(search.movement.days, monitor_day, parameters.search)
    peaks = []
    if len(templates.starts):
        peaks = find_peaks(search, templates, np.zeros(search.known.shape), parameters.least_log_lr)
    rows = [
        {
            "nats": peak.ratio,
            "z": peak.z,
            **{name: getattr(peak.shape, name) for name in ("radius_m", "length_m", "width_m", "azimuth_deg")},
            "start": first + pd.Timedelta(days=float(templates.starts[peak.template])),
            "geometry": Point(search.movement.x[peak.row, peak.column], search.movement.y[peak.row, peak.column]),
        }
        for peak in peaks
    ]
    names = ["nats", "z", "radius_m", "length_m", "width_m", "azimuth_deg", "start", "geometry"]
    return gpd.GeoDataFrame(rows, columns=names, geometry="geometry", crs=cube.rio.crs)


def placed(told: Labelled, cube: xr.Dataset) -> Labelled:
    """With the cube's CRS."""
    return told.assign_coords(spatial_ref=cube["spatial_ref"]) if "spatial_ref" in cube.coords else told
