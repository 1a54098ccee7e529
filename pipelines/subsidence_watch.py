"""Ground movement, less what the declared faces explain, to detections of faces nobody declared."""

from __future__ import annotations

from functools import partial

from illegalmining.checkpoint import Watched
from illegalmining.detect.subsidence import SubsidenceParameters, detect_together
from illegalmining.district import District
from illegalmining.journal import Journal
from illegalmining.pipelines.watching import Detector, parameters_of, register_digests, watch
from illegalmining.registers.read import Registers


def subsidence_watch(district: District, registers: Registers, journal: Journal, only: frozenset[str]) -> list[Watched]:
    """Findings of every displacement source, all judged together."""
    if "subsidence" not in only:
        return []
    days = district.configuration.district
    parameters = SubsidenceParameters()
    detect = partial(
        detect_together,
        faces=registers.working_faces,
        history_from=days.history_from,
        monitor_from=days.monitor_from,
        as_of=days.as_of,
        parameters=parameters,
        workers=district.configuration.compute.workers,
        megabytes=district.configuration.compute.megabytes,
    )
    given = [parameters_of(parameters), register_digests(district, registers, ("working_faces",))]
    return watch(district, journal, Detector("subsidence", "displacement", detect, given, jointly=True))
