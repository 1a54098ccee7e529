"""Bowls that no declared face explains, each inverted for its panel from the ground of every source that sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter
from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry

from illegalmining.detect.bowls import Screen, filter_of, nats_of, screened, series_at
from illegalmining.detect.declared_faces import Declared
from illegalmining.detect.face_draws import Drawn, drawn
from illegalmining.detect.face_noise import in_measured_noise
from illegalmining.detect.face_report import attributes_of, middle_seen, middling
from illegalmining.detect.findings import detection
from illegalmining.detect.inversion import (
    Course,
    Heard,
    Inverted,
    Series,
    course_of,
    fit_course,
    in_the_crs,
    invert,
    levels_of,
)
from illegalmining.detect.joint_fit import Neighbour, fit_beside
from illegalmining.detect.joint_scene import Scene, scene_about, zone_of
from illegalmining.detect.lost_core import Core, lost_core, lost_cores
from illegalmining.detect.pim import Floats, movement, outline
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.track import Track

SAME_PLACE_M = 60.0
"""A face found this near to a declared one is the declared one, m."""

ANOTHER_TIME = 0.05
"""Probability of its start while a declared face works below which a face at its place is another."""

Found = tuple[Inverted, float]
"""A face and its nats."""


def told_apart(
    tracks: list[Track], monitor_day: float, parameters: SubsidenceParameters
) -> tuple[list[Track], list[Found]]:
    """What the declared faces leave to each source, and the faces found in it.

    Declared faces come first: the register is the null model. Where one moves the ground, another beside it is fitted
    together with it; elsewhere bowls stand alone.
    """
    if not len(tracks[0].templates.starts):
        return tracks, []
    hidden: list[Found] = []
    told_beside: list[Declared] = []
    for face_id in dict.fromkeys(face.face_id for track in tracks for face in track.declared):
        rest = [track.less([found for found, _ in hidden], parameters.inversion) for track in tracks]
        scene = scene_about(rest, face_id, monitor_day, parameters.joint)
        if scene is None:
            continue
        told_beside.append(scene.faces[0])
        beside = fit_beside(scene, monitor_day, parameters.least_log_lr, parameters.declared, parameters.joint)
        if beside is None:
            continue
        left = [fitted_again(track, scene, beside, parameters) for track in tracks]
        found = beside_found(left, scene, beside, monitor_day, parameters)
        if found is not None:
            tracks = left
            hidden.append((with_lost(tracks, *found, parameters), found[1]))
    rest = [track.less([found for found, _ in hidden], parameters.inversion) for track in tracks]
    for alone in undeclared_faces(rest, monitor_day, parameters):
        place = outline(alone[0].panel).centroid
        if not any(in_zone(place, face, parameters) for face in told_beside):
            hidden.append(alone)
    return tracks, hidden


def in_zone(place: Point, face: Declared, parameters: SubsidenceParameters) -> bool:
    """Whether a bowl there must be told from a declared face by fitting both."""
    return SAME_PLACE_M <= face.geometry.distance(place) < zone_of(face, parameters.joint)


def fitted_again(track: Track, scene: Scene, beside: Neighbour, parameters: SubsidenceParameters) -> Track:
    """A source with the declared faces of a window as they were fitted with a face beside them."""
    for face, (problem, p) in zip(scene.faces, beside.together.each(beside.p), strict=True):
        panel, advance, rate = problem.face(p)
        panel = replace(panel, x=panel.x + scene.origin[0], y=panel.y + scene.origin[1])
        track = track.fitted(face.face_id, panel, advance, rate, parameters.declared.strips)
    return track.leaving(track.declared)


def beside_found(
    left: list[Track], scene: Scene, beside: Neighbour, monitor_day: float, parameters: SubsidenceParameters
) -> Found | None:
    """A face beside declared ones in the CRS, with its nats; None where its course is a rival's."""
    sources = tuple(track.name for track in scene.tracks)
    by_name = {track.name: track for track in left}
    own, begun = by_name[sources[0]], beside.face.advance.start
    nuisances = [by_name[name].search.typical.nuisance for name in sources]
    seen = [replace(one, nuisance=nuisance) for one, nuisance in zip(beside.series, nuisances, strict=True)]
    earliest, handicap = float(own.templates.starts.min()), parameters.search.step_handicap
    course, nats = course_of(seen, begun, earliest, monitor_day, handicap, parameters.inversion)
    nats = min(nats, beside.nats)
    if nats < parameters.least_log_lr:
        return None
    found = in_the_crs(beside.face, scene.origin, course, own.search.movement, parameters.inversion.face.strips)
    return replace(found, sources=sources), nats


def beside_declared(hidden: list[Found], tracks: Sequence[Track]) -> list[Inverted]:
    """The faces found that do not lie at a declared place."""
    shapes = {face.face_id: face.geometry for track in tracks for face in track.declared}.values()
    return [found for found, _ in hidden if not any(under(found, shape) for shape in shapes)]


def under(found: Inverted, face: BaseGeometry) -> bool:
    """Whether a face that was found is at a declared place."""
    return bool(face.buffer(SAME_PLACE_M).contains(outline(found.panel).centroid))


def is_declared(found: Inverted, dug: Drawn, face: Declared, parameters: SubsidenceParameters) -> bool:
    """Whether a face that was found may be a declared one, where that one's fit left something: at its place, with a
    start that need not be another's."""
    within = parameters.verdicts.past_days
    at_its_time = (dug.start >= face.start - within) & (dug.start <= face.stop + within)
    return bool(dug.weight[at_its_time].sum() > ANOTHER_TIME) and under(found, face.geometry)


@dataclass(frozen=True)
class Candidate:
    """A bowl that is a face's and no rival's. heard: the sources that say so, the one of its peak first. course, nats.

    z: its standard deviations in all of them. against: sources that see the ground and were left out.
    """

    heard: tuple[Heard, ...]
    course: Course
    nats: float
    z: float
    against: tuple[str, ...]

    @property
    def place(self) -> tuple[float, float]:
        """Of its peak in the CRS, m."""
        ground, peak = self.heard[0].search.movement, self.heard[0].peak
        return float(ground.x[peak.row, peak.column]), float(ground.y[peak.row, peak.column])


def heard_at(track: Track, screens: Sequence[Screen], tracks: Sequence[Track], least: float) -> Iterator[list[Heard]]:
    """Every peak of one source, and the same bowl in the others that see its ground."""
    own = screens[[one.name for one in tracks].index(track.name)]
    for peak in own.peaks(least, 1 / len(tracks)):
        ground = own.search.movement
        at = float(ground.x[peak.row, peak.column]), float(ground.y[peak.row, peak.column])
        answer = filter_of(own.search, peak.shape)[1] / peak.noise if len(tracks) > 1 else 1.0
        heard = []
        for one, screen in zip(tracks, screens, strict=True):
            search, same = screen.search, peak if one is track else screen.same(peak, *at)
            if same is None:
                continue
            gain = 1.0 if one is track else filter_of(search, same.shape)[1] / same.noise / answer
            days, nuisance = search.movement.days, search.typical.nuisance
            heard.append(Heard(one.name, search, same, Series(days, nuisance, series_at(search, same), gain)))
        heard.sort(key=lambda each: each.name != track.name)
        yield heard


def after_looking(heard: list[Heard], screens: dict[str, Screen], shares: dict[str, Floats]) -> list[Heard]:
    """A bowl as all sources together say it, in its first peak: z, and nats after looking everywhere and against broad
    bowls. `shares`: the courses (G, T) that were looked for, by source."""
    first = heard[0]
    if len(heard) == 1:
        return heard
    seen = [replace(one.series, values=one.series.values / one.peak.veto, gain=one.series.gain / one.peak.veto)
            for one in heard]  # fmt: skip
    z = float(levels_of(seen, [shares[one.name] for one in heard]).max())
    freedom = sum(max(len(one.series.days) - 4, 3) for one in heard)
    looks, broad = max(screens[one.name].looks for one in heard), sum(one.peak.broad**2 for one in heard)
    ratio = min(nats_of(z, freedom) - looks, z**2 / 2 - broad / 2)
    return [replace(first, peak=replace(first.peak, z=z, ratio=ratio)), *heard[1:]]


def candidates(
    tracks: Sequence[Track], screens: Sequence[Screen], monitor_day: float, parameters: SubsidenceParameters
) -> list[Candidate]:
    """Bowls that the sources which see them, together, call a face's, the strongest first.

    A source may be wrong of a place: a bowl that one of them shows and the others do not is taken from that one alone,
    at the price of the others being wrong.
    """
    least, found = parameters.least_log_lr, list[Candidate]()
    by_name = {track.name: screen for track, screen in zip(tracks, screens, strict=True)}
    shares = {track.name: track.templates.shares for track in tracks}
    for track in tracks:
        for heard in heard_at(track, screens, tracks, least):
            options = []
            for some, price in ((heard, 0.0), (heard[:1], parameters.contradicted_nats))[: len(heard)]:
                told = after_looking(some, by_name, shares)
                if told[0].peak.ratio <= least:
                    continue
                course, nats = fit_course(told, track.templates, monitor_day, parameters.inversion)
                against = tuple(one.name for one in heard[len(some) :])
                options.append(Candidate(tuple(told), course, nats - price, told[0].peak.z, against))
            if options:
                best = max(options, key=lambda one: one.nats)
                found += [best] if best.nats >= least else []
    found.sort(key=lambda one: -one.z)
    kept: list[Candidate] = []
    for one in found:
        if not any(shadowed(one, other, parameters) for other in kept):
            kept.append(one)
    return kept


def shadowed(one: Candidate, other: Candidate, parameters: SubsidenceParameters) -> bool:
    """Whether a bowl is a stronger one of another source, or its side lobe."""
    apart, search = float(np.hypot(*np.subtract(one.place, other.place))), parameters.search
    return apart < search.apart_m or (one.z < search.shadow_share * other.z and apart < search.shadow_m)


def undeclared_faces(tracks: Sequence[Track], monitor_day: float, parameters: SubsidenceParameters) -> list[Found]:
    """Every bowl that is a face's and no rival's, inverted, with its nats."""
    screens, cores_of = [], {}
    for track in tracks:
        search = track.search
        error = np.zeros(search.known.shape)
        for face in track.declared:
            error[face.window] = np.maximum(error[face.window], face.error_z)
        error = maximum_filter(error, 2 * round(parameters.declared.blur_m / search.movement.pixel_m) + 1)
        cores, moving = lost_cores(search.movement, monitor_day, parameters.lost), error > 0
        cores_of[track.name] = [
            core for core in cores if not moving[core.row, core.column]
        ]  # what a declared face lost is its own
        screens.append(screened(search, track.templates, error))
    faces: list[Found] = []
    taken: list[tuple[Core, Track]] = []
    by_name = {track.name: track for track in tracks}
    for one in candidates(tracks, screens, monitor_day, parameters):
        first, ground = one.heard[0], one.heard[0].search.movement
        cores = cores_of[first.name]
        middles = [core.middle_of(first.peak) for core in cores if core.under(first.peak, ground.pixel_m)]
        begins = [(replace(first, peak=peak), *one.heard[1:]) for peak in (first.peak, *middles)]
        found = [invert(heard, one.course, parameters.inversion) for heard in begins]
        told = [with_lost(tracks, each, one.nats, parameters) for each in found if each is not None]
        if told:
            best = replace(max(told, key=lambda each: each.lost.nats - charged(each, parameters)), against=one.against)
            if not any(core.holds(best.panel, track.search.movement) for core, track in taken):
                faces.append((best, one.nats))
                taken += [(core, by_name[first.name]) for core in cores if core.holds(best.panel, ground)]
    return faces


def with_lost(tracks: Sequence[Track], found: Inverted, nats: float, parameters: SubsidenceParameters) -> Inverted:
    """A face whose movement brings `nats`, with what lost pixels say of it in the source where they say most.

    Ground that is lost at rest is lost to all sources: what a second one lost is no second piece of evidence.
    """
    strips = parameters.inversion.face.strips
    lost = [
        lost_core(track.search.movement, found.face, nats, track.declared, parameters.lost, strips)
        for track in tracks
        if track.name in found.sources
    ]
    return replace(found, lost=max(lost, key=lambda one: one.nats))


def charged(found: Inverted, parameters: SubsidenceParameters) -> float:
    """Nats taken off for an unlikely shape, and for movement that a face leaves unexplained."""
    wrong = max(0.0, found.face.unexplained - parameters.misfit_share)
    return found.face.unlikely + parameters.misfit_nats * wrong


def undeclared_row(
    tracks: Sequence[Track], found: Inverted, nats: float, parameters: SubsidenceParameters
) -> dict[str, Any] | None:
    """The detection of an inverted panel; None where its peak is not one of a face, where movement alone makes none, or
    where it may be what the fit of a declared face left."""
    track = next(one for one in tracks if one.name == found.sources[0])
    panel, course, search, epochs = found.panel, found.course, track.search, track.epochs
    at_centre = movement(found.face.panel, np.array(panel.x), np.array(panel.y)).down
    peak_mm = float(at_centre * found.expected[-1] * 1000)
    if not parameters.least_peak_mm <= peak_mm <= parameters.most_peak_mm:
        return None
    if peak_mm > parameters.most_mm_a_z * course.z and middle_seen(search, panel) > 0.5:
        return None
    most = parameters.most_log_lr
    moving = np.flatnonzero(np.diff(found.expected) > 0.002) + 1
    last = epochs[int(moving[-1]) if len(moving) else -1]
    moved, nats = (most * (1 - np.exp(-n / most)) - charged(found, parameters) for n in (nats, nats + found.lost.nats))
    if moved < parameters.least_log_lr:
        return None
    tan_betas = (parameters.tan_beta_low, parameters.prior_tan_beta, parameters.tan_beta_high)
    fitted = in_measured_noise(found.face, parameters.noise)
    dug = drawn(fitted, fitted.optima[0].problem.last_day, found.origin, parameters.draws)
    if any(is_declared(found, dug, face, parameters) for one in tracks for face in one.declared):
        return None
    middle, begun = middling(dug, found), float(dug.quantiles("start")[1])
    first = min(max(track.first + pd.Timedelta(days=begun), epochs[0]), last)
    return detection(
        "subsidence",
        first,
        last,
        nats,
        outline(middle),
        area_m2=middle.length_m * middle.width_m,
        attributes=attributes_of(track, found, dug, peak_mm, tan_betas),
    )
