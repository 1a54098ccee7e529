"""Peers on the real images that ours judged: forest cleared in Romania, steady forest, fields in Slovenia."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage

import real_data
from accuracy_baselines import ndvi_of

LEAST_PIXELS = 10
"""An alarm is a patch of at least so many pixels, 0.1 ha, as for the others."""


def alarms_of(interpreter: str, cube: xr.Dataset, monitor_from: str) -> dict[str, np.ndarray]:
    """Day of each peer's alarm, by pixel; patches too small are none."""
    index = ndvi_of(cube).transpose("time", "y", "x").compute()
    days = index["time"].values.astype("datetime64[D]").astype(int)
    history = int((days < np.datetime64(monitor_from, "D").astype(int)).sum())
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, ndvi=index.values.astype(np.float32), days=days, history=history)
        script = str(Path(__file__).with_name("peer_alarms.py"))
        subprocess.run([interpreter, script, str(given), str(found)], check=True, timeout=1800)
        alarms = np.load(found)
        return {name: patches(alarms[name]) for name in alarms.files}


def patches(day: np.ndarray) -> np.ndarray:
    """Alarms without those of too few pixels."""
    label, _ = ndimage.label(day > 0, np.ones((3, 3)))
    large = np.bincount(label.ravel()) >= LEAST_PIXELS
    large[0] = False
    return np.where(large[label], day, 0)


def measured(interpreter: str) -> list[dict[str, Any]]:
    """One row a peer and measure: {"data", "measure", "way", "part", "whole"}."""
    cube = real_data.romania()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        truth = [(year, mask) for year in (2018, 2019) for mask in real_data.clearings(cube, year)]
    near = ndimage.binary_dilation(np.any([mask for _, mask in truth], axis=0), iterations=3)
    rows: list[dict[str, Any]] = []

    def add(data: str, measure: str, way: str, part: int, whole: int) -> None:
        rows.append({"data": data, "measure": measure, "way": way, "part": int(part), "whole": int(whole)})

    for way, day in alarms_of(interpreter, cube, "2018-01-01").items():
        year = (np.datetime64(0, "D") + day.astype(int)).astype("datetime64[Y]").astype(int) + 1970
        known = {when: (day > 0) & (year <= when) for when in (2018, 2019)}
        by_end = sum((known[when] & mask).any() for when, mask in truth)
        add("Romania", "clearings found by the end of their year", way, by_end, len(truth))
        dated = sum(((day > 0) & (year == when) & mask).any() for when, mask in truth)
        add("Romania", "found with all images, dated in their year", way, dated, len(truth))
        add("Romania", "pixels accused off every clearing", way, (known[2019] & ~near).sum(), (~near).sum())
    for data, images, monitor_from in (
        ("Steady forest", real_data.steady_forest(), "2018-07-01"),
        ("Slovenia", real_data.slovenia(), "2017-01-01"),
    ):
        for way, day in alarms_of(interpreter, images, monitor_from).items():
            add(data, "pixels accused", way, (day > 0).sum(), day.size)
    return rows
