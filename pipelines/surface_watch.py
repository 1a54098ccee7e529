"""Optical and radar images to detections of ground laid bare."""

from __future__ import annotations

from functools import partial

from illegalmining.checkpoint import Watched
from illegalmining.detect.radar import RadarParameters, detect_radar
from illegalmining.detect.surface import SurfaceParameters, detect_surface
from illegalmining.district import District
from illegalmining.journal import Journal
from illegalmining.pipelines.watching import Detector, parameters_of, watch


def surface_watch(district: District, journal: Journal, only: frozenset[str]) -> list[Watched]:
    """Findings of every optical and radar source."""
    days = district.configuration.district
    period = {"history_from": days.history_from, "monitor_from": days.monitor_from, "as_of": days.as_of}
    optical, radar = SurfaceParameters(), RadarParameters()
    detectors = [
        Detector("surface", "optical", partial(detect_surface, **period, parameters=optical), parameters_of(optical)),
        Detector("radar", "radar", partial(detect_radar, **period, parameters=radar), parameters_of(radar)),
    ]
    return [found for detector in detectors if detector.name in only for found in watch(district, journal, detector)]
