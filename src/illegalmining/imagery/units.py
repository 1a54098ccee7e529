"""Are the numbers what the contract says they are? Known other units are converted, and said; unknown ones refused."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from illegalmining.errors import InputError
from illegalmining.imagery.bands import REFLECTANCE
from illegalmining.registers.quarantine import SetAside

log = logging.getLogger(__name__)


ROUNDING = 1e-3
"""Far more than products of float32 differ by."""


@dataclass(frozen=True)
class Plausible:
    """What physical values look like; medians over several scenes unless said otherwise.

    brightest: reflectance of a median pixel, 1; snow and cloud stay below. least_stored: least median of reflectance
    stored as whole ten-thousandths. strongest: linear gamma0, 1. farthest_m: 99th percentile of |displacement|, m.
    fewest: pixels by which one scene can be told from the others. step_m, rate_m: median movement of the ground from
    one date to the next, noise included, m, and what is added a year between (fast cities sink half a metre a year).
    """

    brightest: float = 1.6
    least_stored: float = 50.0
    strongest: float = 50.0
    farthest_m: float = 20.0
    ten_thousandth: float = 1e-4
    fewest: int = 100
    step_m: float = 0.03
    rate_m: float = 0.5


@dataclass(frozen=True)
class Conversion:
    """How declared values become the contract's: a factor, or from decibels to power.

    positive: nothing at or below 0 can be a measurement (noise taken off, or the rim of a swath).
    """

    factor: float = 1.0
    decibels: bool = False
    positive: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Float32 in, float32 out; NaN stays."""
        if self.decibels:
            return np.power(np.float32(10.0), values / np.float32(10.0))
        if self.positive:
            return np.where(values > 0, values, np.float32(np.nan))
        return values if self.factor == 1.0 else values * np.float32(self.factor)

    def unlike(self, band: str, values: np.ndarray, plausible: Plausible = Plausible()) -> str:
        """Why values before conversion cannot be in the unit the conversion is for; '' where they can.

        Told by a scene's median where it has enough pixels: decibels of land are negative, linear power is not.
        """
        seen = values[np.isfinite(values)]
        if len(seen) < plausible.fewest or not self.may_be_unlike(band, seen, plausible):
            return ""
        median = float(np.median(seen))
        if self.decibels and median > 0:
            return f"the median is {median:.3g} where the source's other scenes are in decibels"
        if self.positive and median < 0:
            return f"the median is {median:.3g}, decibels, where the source's other scenes are linear power"
        if band in REFLECTANCE and median * self.factor > plausible.brightest:
            return f"the median is {median:.3g}, too large for the unit of the source's other scenes"
        if band in REFLECTANCE and self.factor != 1.0 and 0 < float(seen.max()) <= plausible.brightest:
            return f"no value is above {seen.max():.3g} where the source's other scenes are ten-thousandths"
        return ""

    def may_be_unlike(self, band: str, seen: np.ndarray, plausible: Plausible) -> bool:
        """Whether `unlike` might say anything: counting is a tenth of a median's work, and nearly always enough."""
        beyond = []
        if self.decibels:
            beyond.append(seen > 0)
        if self.positive:
            beyond.append(seen < 0)
        if band in REFLECTANCE:
            if self.factor != 1.0 and float(seen.max()) <= plausible.brightest:
                return True
            beyond.append(seen > (1 - ROUNDING) * plausible.brightest / self.factor)
        return any(2 * np.count_nonzero(one) >= len(seen) - 1 for one in beyond)


AS_IS = Conversion()


def recognise(band: str, sample: np.ndarray, aside: SetAside, plausible: Plausible = Plausible()) -> Conversion:
    """How the values of a band become the contract's units.

    Parameters
    ----------
    sample: any shape, float, NaN = missing, after declared scale and offset.

    Raises
    ------
    InputError
        The values are in no unit the contract or the field knows.
    """
    seen = sample[np.isfinite(sample)]
    if not len(seen):
        return AS_IS
    median = float(np.median(seen))
    if band in REFLECTANCE:
        return reflectance(band, median, aside, plausible)
    if band in ("vv", "vh"):
        return power(band, median, aside, plausible)
    if band == "displacement":
        far = float(np.percentile(np.abs(seen), 99))
        if far > plausible.farthest_m:
            raise InputError(
                f"{aside.file}: displacement reaches {far:.4g} (99th percentile); expected metres, at most "
                f"{plausible.farthest_m:g}. If it is in millimetres, scale it by 0.001 (scale_factor)"
            )
    return AS_IS


def refuse_large_steps(steps: list[tuple[float, int]], aside: SetAside, plausible: Plausible = Plausible()) -> None:
    """Raise `InputError` where the whole district moves from date to date as no ground does: cm or mm for m.

    steps: median movement between two dates that follow each other, and the days between.
    """
    known = [(step, days) for step, days in steps if np.isfinite(step)]
    beyond = [step for step, days in known if step > plausible.step_m + plausible.rate_m * days / 365.25]
    if known and 2 * len(beyond) > len(known):
        raise InputError(
            f"{aside.file}: half the ground moves by {np.median(beyond):.3g} or more from one date to the next; "
            f"expected metres, less than {plausible.step_m:g}. It looks like centimetres or millimetres: state the "
            "unit (attribute units), or scale it (scale_factor 0.01 or 0.001)"
        )


def reflectance(band: str, median: float, aside: SetAside, plausible: Plausible) -> Conversion:
    """Reflectance 0..1 as it is; whole ten-thousandths without a declared scale are scaled."""
    if median <= plausible.brightest:
        return AS_IS
    if median < plausible.least_stored:
        raise InputError(
            f"{aside.file}: the median of {band} is {median:.4g}; expected surface reflectance from 0 to 1, or its "
            "ten-thousandfold as whole numbers. Declare scale and offset of the band"
        )
    log.warning("%s: %s has a median of %.4g and no scale: read as reflectance x 10000", aside.file, band, median)
    return Conversion(factor=plausible.ten_thousandth)


def power(band: str, median: float, aside: SetAside, plausible: Plausible) -> Conversion:
    """Linear power as it is; decibels are converted, and noted."""
    if median < 0:
        log.warning("%s: %s has a median of %.4g: read as decibels", aside.file, band, median)
        aside.note(None, band, f"median {median:.4g}", "linear power", "negative: read as decibels and converted")
        return Conversion(decibels=True)
    if median > plausible.strongest:
        raise InputError(
            f"{aside.file}: the median of {band} is {median:.4g}; expected gamma0 in linear power, about 0.01 to 1. "
            "Calibrate it, or declare scale and offset of the band"
        )
    return Conversion(positive=True)
