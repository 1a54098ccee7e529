"""Lost pixels as evidence: ground that sinks fast drops out where it sinks fastest, and only its rim is seen to move.

Phase unwraps up to a quarter of a wave of change between neighbouring pixels and is lost past half of one
(shared/science.md). So a face that moves its rim says which pixels must have been lost and when, and pixels that were
seen until it began and then no more speak for it. Ground is also lost that does not move (ploughed, flooded, built
over): how much of it, and in how large patches, is measured where nothing is known to move.

A lost field alone says nothing: the movement about it must make a face by itself, as any bowl may be thought into
ground that was not seen. What was lost then adds to it, at most as much as the movement says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes, label
from scipy.special import expit

from illegalmining.detect.advance import advancing
from illegalmining.detect.bowls import Peak, mean_look
from illegalmining.detect.declared_faces import Declared
from illegalmining.detect.deformation import Bools, Deformation
from illegalmining.detect.face_fit import FittedFace
from illegalmining.detect.pim import Floats, Panel

CORNERS = np.ones((3, 3), bool)
"""Pixels that touch, corners included."""


@dataclass(frozen=True)
class LostParameters:
    """How lost pixels are judged.

    quarter_wave_m: a quarter of the radar's wave, m (C band, 55.5 mm). unwraps, lost: change between neighbours and
    passes that unwraps nearly always and hardly ever, quarter waves (science.md). sure: share of pixels that "nearly
    always" and "hardly ever" leave. wrong_ln: standard deviation of the logarithm of a predicted step (real faces
    depart from Knothe's law by 23 %, science.md). certain: largest probability that a step loses a pixel: products
    bridge some. patch_m2: least area that is lost together, m2 (a field). core_m2: smallest core, m2. core_most_m:
    furthest pixel from its middle, m (a bowl's steep part). compact: least share of the circle about its middle
    through that pixel that it fills. most_nats: cap.
    """

    quarter_wave_m: float = 0.0139
    unwraps: float = 1.0
    lost: float = 2.0
    sure: float = 0.05
    wrong_ln: float = 0.23
    certain: float = 0.95
    patch_m2: float = 10_000.0
    core_m2: float = 5_000.0
    core_most_m: float = 400.0
    compact: float = 0.25
    most_nats: float = 3.0

    def lost_share(self, steps: Floats) -> Floats:
        """Probability (...) that a pixel is lost whose largest step from a neighbour was `steps` quarter waves.

        Logistic in the logarithm, half way between the two limits, its variance that of the limits and of the step.
        """
        width = np.log(self.lost / self.unwraps) / 2 / np.log(1 / self.sure - 1)
        width = np.hypot(width, self.wrong_ln * np.sqrt(3) / np.pi)
        away = np.log(np.maximum(steps, 1e-9)) - np.log(self.lost * self.unwraps) / 2
        return np.asarray(self.certain * expit(away / width))


@dataclass(frozen=True)
class Core:
    """Ground that was lost together. row, column: its middle. reach_m: to its furthest pixel, m."""

    row: int
    column: int
    reach_m: float

    def under(self, peak: Peak, pixel_m: float) -> bool:
        """Whether a bowl's peak lies so near that this may be its middle."""
        apart = float(np.hypot(peak.row - self.row, peak.column - self.column)) * pixel_m
        return apart < self.reach_m + peak.shape.radius_m + peak.shape.length_m / 2

    def holds(self, panel: Panel, ground: Deformation) -> bool:
        """Whether a panel in the CRS lies in it: no other does, whatever peaks stand on its rim."""
        x, y = ground.x[self.row, self.column], ground.y[self.row, self.column]
        return float(np.hypot(panel.x - x, panel.y - y)) < self.reach_m

    def middle_of(self, peak: Peak) -> Peak:
        """The peak put into the middle; a rim is about as wide as half of what it encloses."""
        shape = replace(peak.shape, radius_m=max(peak.shape.radius_m, self.reach_m / 2))
        return replace(peak, row=self.row, column=self.column, shape=shape)


def lost_cores(ground: Deformation, monitor_day: float, parameters: LostParameters) -> list[Core]:
    """Compact areas that were seen before `monitor_day` and lost since, the largest first."""
    gone = lost_since(ground, monitor_day)
    joined = binary_fill_holes(binary_closing(np.pad(gone, 1), CORNERS))[1:-1, 1:-1]
    areas, count = label(joined, CORNERS)
    found: list[tuple[int, Core]] = []
    for k in range(1, count + 1):
        rows, columns = np.nonzero(areas == k)
        row, column = rows.mean(), columns.mean()
        reach_m = (float(np.hypot(rows - row, columns - column).max()) + 0.5) * ground.pixel_m
        area = len(rows) * ground.pixel_m**2
        if area < parameters.core_m2 or reach_m > parameters.core_most_m:
            continue
        if area >= parameters.compact * np.pi * reach_m**2:
            found.append((len(rows), Core(round(row), round(column), reach_m)))
    return [core for _, core in sorted(found, key=lambda one: (-one[0], one[1].row, one[1].column))]


def lost_since(ground: Deformation, day: float) -> Bools:
    """(Y, X): seen up to `day` at least and not to the end."""
    begun = int(np.searchsorted(ground.days, day))
    return np.asarray((ground.lost_at > begun) & (ground.lost_at < len(ground.days)))


def steps_apart(moved: Floats, quarter_wave_m: float) -> Floats:
    """Largest change (Y, X) of movement (T, Y, X) between two passes from a pixel to one next to it, quarter waves."""
    steps = np.diff(moved, axis=0)
    out = np.zeros(moved.shape[1:])
    for axis in (1, 2):
        apart = np.abs(np.diff(steps, axis=axis)).max(axis=0) / quarter_wave_m
        first: tuple[slice, ...] = (slice(None, -1), slice(None)) if axis == 1 else (slice(None), slice(None, -1))
        second: tuple[slice, ...] = (slice(1, None), slice(None)) if axis == 1 else (slice(None), slice(1, None))
        out[first] = np.maximum(out[first], apart)
        out[second] = np.maximum(out[second], apart)
    return out


@dataclass(frozen=True)
class LostCore:
    """What lost pixels add to a face. nats: 0 or more. pixels: lost that it makes twice as likely."""

    nats: float = 0.0
    pixels: int = 0


NOTHING_LOST = LostCore()
"""Lost pixels that say nothing."""


def lost_core(
    ground: Deformation, face: FittedFace, nats: float, declared: Iterable[Declared], parameters: LostParameters,
    strips: int,
) -> LostCore:  # fmt: skip
    """Nats that the pixels lost since a face in the CRS began are lost to it, over the declared faces and chance.

    They add at most as many as its movement brings, `nats`. Pixels that are seen though the face should have lost them
    count against it, but not below 0: that they stay is told by their movement.
    """
    panel, begun = face.panel, int(np.searchsorted(ground.days, face.advance.start))
    away = np.hypot(ground.x - panel.x, ground.y - panel.y)
    near = away < panel.length_m / 2 + 1.5 * max(panel.radius_m, ground.pixel_m)
    seen_then = ground.lost_at > begun
    if not near.any() or nats <= 0:
        return NOTHING_LOST
    rows, columns = (slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(near))
    window = (rows, columns)
    lost = lost_since(ground, face.advance.start)
    elsewhere = seen_then & ~near
    beside = np.zeros((len(ground.days), *near[window].shape))
    for one in declared:
        elsewhere[one.window] = False
        down, across = (part[window] for part in np.indices(near.shape))
        beside += one.at(down.ravel(), across.ravel()).reshape(beside.shape)
    at, look = (ground.x[window], ground.y[window]), mean_look(ground.look)
    moved = beside + advancing(panel, face.advance, face.per_year, ground.days, *at, look, strips)
    patch, chance = lost_by_chance(lost, elsewhere, ground.pixel_m, parameters)
    without, with_it = (
        1 - (1 - chance) * (1 - parameters.lost_share(steps_apart(part, parameters.quarter_wave_m)))
        for part in (beside, moved)
    )
    told = np.where(lost[window], np.log(with_it / without), np.log((1 - with_it) / (1 - without)))
    usable = near[window] & seen_then[window]
    pixels = int((lost[window] & usable & (with_it > 2 * without)).sum())
    return LostCore(float(np.clip(told[usable].sum() / patch, 0.0, min(nats, parameters.most_nats))), pixels)


def lost_by_chance(lost: Bools, elsewhere: Bools, pixel_m: float, parameters: LostParameters) -> tuple[float, float]:
    """Pixels that are lost together where nothing is known to move, and a pixel's probability to be lost there.

    Half a patch is added to those that were counted, as none need have been seen.
    """
    areas, count = label(lost & elsewhere, CORNERS)
    sizes = np.bincount(areas.ravel())[1:].astype(float)
    patch = max(parameters.patch_m2 / pixel_m**2, 1.0)
    if count:
        patch = max(patch, float((sizes**2).sum() / sizes.sum()))
    share = (float(sizes.sum()) + 0.5 * patch) / (float(elsewhere.sum()) + patch)
    return patch, share
