"""How the ground moved over a face: the map of it, and a profile along the face with the inverted face on it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from shapely.geometry import LineString, Point
from shapely.geometry.base import BaseGeometry

from illegalmining.detect.pim import Panel, look_vector, outline, sight
from illegalmining.imagery.movedground import MovedGround
from illegalmining.publish.dossiercase import CaseMatter
from illegalmining.publish.dossierfigures import FigureLimits, case_outline, frame_at, near, svg
from illegalmining.publish.dossierplots import ABOVE, BAND, EXPECTED, INK, SOFT, Plot, PlotLimits
from illegalmining.publish.sheet import breakable
from illegalmining.publish.sheetmap import Frame, paths, round_down
from illegalmining.publish.style import palette
from illegalmining.publish.text import say

AWAY, LEVEL, TOWARDS, LOST = (178, 24, 43), (250, 248, 244), (33, 102, 172), (190, 194, 198)


PROFILE = PlotLimits(width=100.0, height=74.0, left=14.0, below=9.0, above=6.0, ticks=6)


@dataclass(frozen=True)
class MovementLimits:
    """Measures of the two figures.

    reach: ground shown beyond a face, shares of its radius of influence. usual_radius_m: where there is none. quiet:
    distance from the face, shares of the radius, beyond which the ground is taken as level. fewest: pixels that must
    lie there. side_mm: of the map. profile: of the profile. strongest: percentile of the movement that has the full
    colour.
    """

    reach: float = 3.0
    usual_radius_m: float = 150.0
    quiet: float = 2.0
    fewest: int = 20
    side_mm: float = 74.0
    profile: PlotLimits = PROFILE
    strongest: float = 99.0


def face_of(matter: CaseMatter) -> tuple[dict[str, Any], Panel | None] | None:
    """The strongest detection by movement, and the panel it inverted; None where no evidence rests on movement."""
    found = sorted(matter.terms_of("subsidence"), key=lambda one: (-abs(one["log_lr"]), one["detection_id"]))
    if not found:
        return None
    inverted = next((one for one in found if {"azimuth_deg", "w0_m", "radius_m"} <= set(one["attributes"])), None)
    if inverted is None:
        return found[0], None
    names = ("x", "y", "azimuth_deg", "length_m", "width_m", "radius_m", "w0_m")
    return inverted, Panel(*(float(inverted["attributes"][name]) for name in names))


def ground_of(matter: CaseMatter) -> BaseGeometry:
    """The ground a profile runs over: the inverted panel, the declared face the evidence names, else the case."""
    found = face_of(matter)
    assert found is not None, "asked only where evidence rests on movement"
    detection, panel = found
    if panel is not None:
        return outline(panel)
    if matter.faces is not None:
        named = matter.faces[matter.faces["face_id"] == detection["attributes"].get("face_id")]
        if len(named):
            return named.geometry.iloc[0]
    return detection["geometry"]


def movement_bounds(matter: CaseMatter, limits: MovementLimits | None = None) -> tuple[float, float, float, float]:
    """The ground to read: a square round the face, as far as its influence and the level ground beyond."""
    limits = limits or MovementLimits()
    found = face_of(matter)
    radius = found[1].radius_m if found and found[1] else limits.usual_radius_m
    west, south, east, north = ground_of(matter).bounds
    half = max(east - west, north - south) / 2 + limits.reach * radius
    x, y = (west + east) / 2, (south + north) / 2
    return x - half, y - half, x + half, y + half


def levelled(moved: MovedGround, ground: BaseGeometry, radius: float, limits: MovementLimits) -> tuple[Any, float]:
    """Movement less that of the ground around, mm, and beyond what distance that was taken; 0 where too little is."""
    x, y = np.meshgrid(moved.x, moved.y)
    middle = ground.centroid
    size = max(ground.bounds[2] - ground.bounds[0], ground.bounds[3] - ground.bounds[1]) / 2
    beyond = size + limits.quiet * radius
    far = (np.hypot(x - middle.x, y - middle.y) > beyond) & np.isfinite(moved.moved_mm)
    if far.sum() < limits.fewest:
        return moved.moved_mm, 0.0
    return moved.moved_mm - np.median(moved.moved_mm[far]), beyond


def movement_figures(
    matter: CaseMatter, limits: MovementLimits | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The map and the profile: data for the template, and files; or the line that says why there is none."""
    limits = limits or MovementLimits()
    found = face_of(matter)
    if found is None or matter.moved is None:
        return {"lines": [say(key, matter.language, **values) for key, values in matter.said_of_movement]}, {}
    detection, panel = found
    moved, ground = matter.moved, ground_of(matter)
    radius = panel.radius_m if panel else limits.usual_radius_m
    values, beyond = levelled(moved, ground, radius, limits)
    strongest = round_up_125(float(np.nanpercentile(np.abs(values), limits.strongest)))
    line = profile_line(ground, panel, radius)
    frame = map_of(moved, limits)
    profile = profile_plot(matter, values, line, ground, detection, panel, limits)
    files = {
        "moved.png": coloured(values, strongest),
        "moved.svg": svg(drawn_over(matter, frame, line, panel, ground), frame).encode(),
        "profile.svg": profile.svg(),
    }
    ends = [frame.at(*end) for end in line.coords]
    told = {
        "lines": notes(matter, detection, panel, values, beyond),
        "side": limits.side_mm,
        "height": frame.height,
        "strongest": f"{strongest:g}",
        "scale": frame.scale,
        "bar": round_down(0.35 * limits.side_mm * frame.scale / 1000),
        "ends": [{"x": float(x), "y": float(y), "text": name} for (x, y), name in zip(ends, "AB", strict=True)],
        "map_title": say("movement_map", matter.language, first=moved.first, last=moved.last),
        "profile_title": say("movement_profile" if panel else "movement_profile_declared", matter.language),
        "profile": profile.as_dict(),
        "modelled": panel is not None,
    }
    return told, files


def round_up_125(value: float) -> float:
    """The next of 1, 2, 5, 10, ... not smaller; at least 5 mm."""
    value = max(value, 5.0)
    power = 10 ** math.floor(math.log10(value))
    return float(next(one * power for one in (1, 2, 5, 10) if one * power >= value - 1e-9))


def map_of(moved: MovedGround, limits: MovementLimits) -> Frame:
    """The frame of the window's pixels."""
    half = moved.pixel_m / 2
    west, east = float(moved.x.min()) - half, float(moved.x.max()) + half
    south, north = float(moved.y.min()) - half, float(moved.y.max()) + half
    scale = (east - west) / limits.side_mm * 1000
    height = (north - south) / scale * 1000
    return frame_at((west + east) / 2, (south + north) / 2, limits.side_mm, height, scale, FigureLimits.grid_mm)


def coloured(values: np.ndarray, strongest: float) -> bytes:
    """Movement as colours, one pixel a pixel: red away from the satellite, blue towards it, grey where lost."""
    share = np.clip(np.nan_to_num(values) / strongest, -1, 1)[..., None]
    level = np.array(LEVEL, float)
    pixels = np.where(share < 0, level + -share * (np.array(AWAY) - level), level + share * (np.array(TOWARDS) - level))
    pixels[~np.isfinite(values)] = LOST
    stream = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def drawn_over(
    matter: CaseMatter, frame: Frame, line: LineString, panel: Panel | None, ground: BaseGeometry
) -> list[str]:
    """Declared faces, the case, the inverted face and the profile's line over the map of movement."""
    parts = []
    faces = near(matter.faces, frame)
    if faces is not None:
        parts.append(paths(faces.geometry, frame, "#54616f", 0.35, dash="1.4 0.8"))
    colour = palette()["kinds"][matter.case["kind"]]["colour"]
    parts.append(case_outline(matter, frame, colour, opacity=0.0))
    if panel is not None:
        parts.append(paths([ground], frame, "#ffffff", 1.0))
        parts.append(paths([ground], frame, INK, 0.5))
    parts.append(paths([line], frame, "#ffffff", 0.8))
    parts.append(paths([line], frame, INK, 0.3, dash="1.2 0.6"))
    return parts


def profile_line(ground: BaseGeometry, panel: Panel | None, radius: float) -> LineString:
    """A line along the face's long side through its middle, twice the radius of influence beyond either end."""
    if panel is not None:
        x, y, angle, half = panel.x, panel.y, math.radians(panel.azimuth_deg), panel.length_m / 2
    else:
        corners = np.asarray(ground.minimum_rotated_rectangle.exterior.coords)[:4] if ground.area else np.zeros((4, 2))
        sides = np.diff(corners[:3], axis=0)
        longest = sides[np.hypot(*sides.T).argmax()] if ground.area else np.array([1.0, 0.0])
        x, y = ground.centroid.x, ground.centroid.y
        angle, half = math.atan2(longest[0], longest[1]), float(np.hypot(*longest)) / 2
    reach = half + 2 * radius
    step = np.array([math.sin(angle), math.cos(angle)]) * reach
    return LineString([(x - step[0], y - step[1]), (x + step[0], y + step[1])])


def profile_plot(
    matter: CaseMatter, values: np.ndarray, line: LineString, ground: BaseGeometry, detection: dict[str, Any],
    panel: Panel | None, limits: MovementLimits,
) -> Plot:  # fmt: skip
    """Measured movement along the line, and what the inverted face makes by the last day."""
    moved = matter.moved
    assert moved is not None, "drawn only where there is movement"
    along = np.arange(0.0, line.length, moved.pixel_m)
    at = np.array([line.interpolate(value).coords[0] for value in along])
    measured = nearest_values(moved, values, at)
    fine = np.linspace(0.0, line.length, 200)
    model = modelled(moved, np.array([line.interpolate(value).coords[0] for value in fine]), detection, panel)
    everything = np.concatenate([measured[np.isfinite(measured)], [] if model is None else model, [0.0]])
    low, high = float(everything.min()), float(everything.max())
    pad = max((high - low) * 0.1, 2.0)
    plot = Plot((0.0, line.length), (low - pad, high + pad), limits.profile)
    inside = line.intersection(ground)
    if not inside.is_empty and inside.length > 0:
        ends = sorted(line.project(Point(end)) for end in (inside.coords[0], inside.coords[-1]))
        plot.span(ends[0], ends[1], "#eef1f4")
    plot.upright_axis("mm")
    for value in np.arange(0.0, line.length, 10 ** math.floor(math.log10(line.length / 2))):
        x, down = plot.at(value, plot.y[0])
        plot.text(float(x), float(down) + 3.2, f"{value:.0f}")
    plot.line(plot.x, (plot.y[0], plot.y[0]), INK, 0.3)
    plot.line(plot.x, (0.0, 0.0), SOFT, 0.2)
    if model is not None:
        plot.line(fine, model, EXPECTED, 0.5)
    plot.dots(along, measured, INK if model is not None else ABOVE, 0.7)
    if not inside.is_empty and inside.length > 0:
        top = plot.y[1] - pad * 0.25
        plot.line(ends, (top, top), BAND, 1.6)
        plot.line(ends, (top, top), INK, 0.5)
    plot.text(limits.profile.left, limits.profile.height - 1.6, "A", "left", INK)
    plot.text(limits.profile.width - 2.0, limits.profile.height - 1.6, "B", "right", INK)
    plot.text((limits.profile.left + limits.profile.width) / 2, limits.profile.height - 1.6, "m")
    return plot


def nearest_values(moved: MovedGround, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The pixel each place lies in; NaN outside the window."""
    column = np.round((at[:, 0] - moved.x[0]) / moved.pixel_m).astype(int)
    row = np.round((moved.y[0] - at[:, 1]) / moved.pixel_m).astype(int)
    inside = (column >= 0) & (column < len(moved.x)) & (row >= 0) & (row < len(moved.y))
    found = np.full(len(at), np.nan)
    found[inside] = values[row[inside], column[inside]]
    return found


def modelled(moved: MovedGround, at: np.ndarray, detection: dict[str, Any], panel: Panel | None) -> np.ndarray | None:
    """What the inverted face moves the ground by between the two days, mm in the line of sight."""
    if panel is None:
        return None
    look = look_vector(moved.incidence_deg, moved.azimuth_deg)
    settled = 1000 * sight(panel, at[:, 0], at[:, 1], look)
    series = detection["attributes"].get("series") or {}
    if not series.get("dates") or not series.get("expected"):
        return np.asarray(settled)
    days = np.array(series["dates"], "datetime64[D]").astype(float)
    ends = np.array([pd.Timestamp(day).to_datetime64() for day in (moved.first, moved.last)], "datetime64[D]")
    first, last = np.interp(ends.astype(float), days, np.asarray(series["expected"], float))
    middle = 1000 * float(sight(panel, np.array(panel.x), np.array(panel.y), look))
    return np.asarray(settled * np.clip((last - first) / middle if middle else 1.0, 0.0, 1.0))


def notes(
    matter: CaseMatter, detection: dict[str, Any], panel: Panel | None, values: np.ndarray, beyond: float
) -> list[str]:
    """What the two figures are, and what the inversion says with its intervals."""
    moved, language, about = matter.moved, matter.language, detection["attributes"]
    assert moved is not None, "said only where there is movement"
    lines = [
        say(
            "movement_note",
            language,
            source=breakable(moved.source),
            pixel=f"{moved.pixel_m:g}",
            epochs=moved.epochs,
            incidence=f"{moved.incidence_deg:.0f}",
            azimuth=f"{moved.azimuth_deg:.0f}",
            share=f"{math.cos(math.radians(moved.incidence_deg)):.0%}",
            lost=f"{np.isnan(values).mean():.0%}",
        )
    ]
    if beyond:
        lines.append(say("movement_level", language, metres=f"{beyond:.0f}"))
    if panel is not None:
        spread = about.get("intervals_90", {})
        volume, started = spread.get("volume_m3", ["–", "–"]), spread.get("start", ["–", "–"])
        figures = {"length": panel.length_m, "width": panel.width_m, "azimuth": panel.azimuth_deg}
        lines.append(
            say(
                "movement_face",
                language,
                **{name: f"{value:.0f}" for name, value in figures.items()},
                volume=grouped(about.get("volume_m3")),
                low=grouped(volume[0]),
                high=grouped(volume[1]),
                start=" – ".join(map(str, started)),
                depth=grouped(about.get("depth_m")),
                depth_low=grouped(about.get("depth_low_m")),
                depth_high=grouped(about.get("depth_high_m")),
            )
        )
        if about.get("middle_seen", 1.0) < 0.5:
            lines.append(say("movement_lost", language, share=f"{about['middle_seen']:.0%}"))
    elif "amount" in about:
        amount, sd = (f"{about[name]:.0%}" for name in ("amount", "amount_sd"))
        lines.append(say("movement_declared", language, face=breakable(about.get("face_id")), amount=amount, sd=sd))
    return lines


def grouped(value: Any) -> str:
    """A number in thousands; what is none as it is."""
    return f"{value:,.0f}" if isinstance(value, int | float) else "–"
