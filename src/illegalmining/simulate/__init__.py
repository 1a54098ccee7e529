"""A district whose truth is known: for the demo, the tests, and planning. No detector may know it."""

from illegalmining.simulate.preset import PRESETS, Preset
from illegalmining.simulate.write import simulate, simulate_district

__all__ = ["PRESETS", "Preset", "simulate", "simulate_district"]
