"""Finds the mines nobody may see: registers say what is allowed, satellites and meters what happens.

The names below are the functions that the nightly batch itself calls, so a night can be taken apart and put together
again step by step; everything on the way is an xarray object or a (Geo)DataFrame. In order of use:

==========================================  ==========================================================
a district and what it knows                `read_district` `read_registers` `open_source` `read_meters`
pixels to detections                        `surface_stack` `radar_stack` `monitor` `regions`
movement and load to detections             `detect_subsidence` `detect_power` `gather`
detections to cases                         `judge` `fuse` `decide`
the map and its blind spots                 `hotspot_cells` `smallest_site`
the whole, and what came of it              `nightly` `read_run` `explain` `plan` `Asked`
how good it is                              `simulate_district` `score` `reliability`
every error raised on purpose               `IllegalMiningError`
==========================================  ==========================================================

Evidence is in nats (natural logarithms of likelihood ratios) from the detectors to the case; lengths are in metres,
areas in m2, in the district's projected CRS; dates are whole days, and the end of a period is its first day without.

Nothing is imported before it is used: `import illegalmining` takes some hundredths of a second.

Examples
--------
Those of the functions go on from these lines; `demo` is what `illegalmining demo demo` writes.

>>> import numpy as np
>>> import pandas as pd
>>> from shapely import box
>>> import illegalmining as im
>>> district = im.read_district("demo/district.toml")
>>> days = district.configuration.district
>>> registers = im.read_registers(district).in_order()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from illegalmining.cases.calibrate import reliability
    from illegalmining.cases.evaluate import score
    from illegalmining.cases.fuse import fuse
    from illegalmining.cases.judge import judge
    from illegalmining.coverage import smallest_site
    from illegalmining.detect.changed_ground import monitor, regions
    from illegalmining.detect.findings import gather
    from illegalmining.detect.power import detect_power
    from illegalmining.detect.radar import radar_stack
    from illegalmining.detect.subsidence import detect_subsidence
    from illegalmining.detect.surface import surface_stack
    from illegalmining.district import read_district
    from illegalmining.errors import IllegalMiningError
    from illegalmining.hotspots import hotspots as hotspot_cells
    from illegalmining.imagery.open import open_source
    from illegalmining.pipelines.casework import decide
    from illegalmining.pipelines.explain import explain
    from illegalmining.pipelines.nightly import nightly
    from illegalmining.pipelines.plan import Asked, plan
    from illegalmining.power.meters import read_meters
    from illegalmining.publish.results import read_run
    from illegalmining.registers.read import read_registers
    from illegalmining.simulate.write import simulate_district

__all__ = [
    "Asked",
    "IllegalMiningError",
    "decide",
    "detect_power",
    "detect_subsidence",
    "explain",
    "fuse",
    "gather",
    "hotspot_cells",
    "judge",
    "monitor",
    "nightly",
    "open_source",
    "plan",
    "radar_stack",
    "read_district",
    "read_meters",
    "read_registers",
    "read_run",
    "regions",
    "reliability",
    "score",
    "simulate_district",
    "smallest_site",
    "surface_stack",
]

_HOMES = {
    "Asked": "pipelines.plan",
    "IllegalMiningError": "errors",
    "decide": "pipelines.casework",
    "detect_power": "detect.power",
    "detect_subsidence": "detect.subsidence",
    "explain": "pipelines.explain",
    "fuse": "cases.fuse",
    "gather": "detect.findings",
    "hotspot_cells": "hotspots:hotspots",
    "judge": "cases.judge",
    "monitor": "detect.changed_ground",
    "nightly": "pipelines.nightly",
    "open_source": "imagery.open",
    "plan": "pipelines.plan",
    "radar_stack": "detect.radar",
    "read_district": "district",
    "read_meters": "power.meters",
    "read_registers": "registers.read",
    "read_run": "publish.results",
    "regions": "detect.changed_ground",
    "reliability": "cases.calibrate",
    "score": "cases.evaluate",
    "simulate_district": "simulate.write",
    "smallest_site": "coverage",
    "surface_stack": "detect.surface",
}
"""Where each name lives: its module, and its name there where that is another (a module has the name already)."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, there = _HOMES[name].partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), there or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """What an editor offers."""
    return sorted({*globals(), *__all__})
