"""Optical and radar images to detections of ground laid bare."""

from __future__ import annotations

import xarray as xr

from illegalmining.checkpoint import Watched
from illegalmining.detect.findings import Findings
from illegalmining.detect.memory import Archive
from illegalmining.detect.radar import RadarParameters, detect_radar
from illegalmining.detect.surface import SurfaceParameters, detect_surface
from illegalmining.district import District
from illegalmining.journal import Journal
from illegalmining.pipelines.watching import Detector, parameters_of, watch


def surface_watch(district: District, journal: Journal, only: frozenset[str]) -> list[Watched]:
    """Findings of every optical and radar source."""
    days = district.configuration.district
    optical, radar = SurfaceParameters(), RadarParameters()

    def see(cube: xr.Dataset, archive: Archive) -> Findings:
        return detect_surface(cube, days.history_from, days.monitor_from, days.as_of, optical, archive)

    def hear(cube: xr.Dataset, archive: Archive) -> Findings:
        return detect_radar(cube, days.history_from, days.monitor_from, days.as_of, radar, archive)

    detectors = [
        Detector("surface", "optical", see, parameters_of(optical), sequential=True),
        Detector("radar", "radar", hear, parameters_of(radar), sequential=True),
    ]
    return [found for detector in detectors if detector.name in only for found in watch(district, journal, detector)]
