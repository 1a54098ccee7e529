"""A dossier's pictures: its map, and the ground before and after."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
from PIL import Image

from illegalmining.imagery.beforeafter import Pair
from illegalmining.publish.dossiercase import CaseMatter
from illegalmining.publish.dossierfacts import place
from illegalmining.publish.sheetmap import (
    Frame,
    borders,
    grid_step,
    ground,
    labels,
    licence_paths,
    mine_signs,
    paths,
    road_paths,
    round_down,
    round_up,
    symbol,
)
from illegalmining.publish.style import palette
from illegalmining.publish.text import say

STRETCH = (1.0, 99.0)
GAMMA = 0.8


@dataclass(frozen=True)
class FigureLimits:
    """The dossier's measures.

    map_mm: the map, width and height. around: ground shown round a case, shares of its longer side. least_half_m: half
    of the least ground the map shows. picture_mm: side of a picture. picture_half_m: half of the least and the most
    ground a picture shows. picture_pixels: of a picture's side when printed. symbol_mm: a case's symbol across.
    small_mm: an outline smaller than this gets a symbol too. grid_mm: least distance of the map's grid lines.
    """

    map_mm: tuple[float, float] = (178.0, 80.0)
    around: float = 4.0
    least_half_m: float = 600.0
    picture_mm: float = 86.0
    picture_half_m: tuple[float, float] = (300.0, 1500.0)
    picture_pixels: int = 480
    symbol_mm: float = 5.0
    small_mm: float = 4.0
    grid_mm: float = 30.0


def map_frame(matter: CaseMatter, limits: FigureLimits) -> Frame:
    """The frame round the case at a round scale."""
    west, south, east, north = matter.outline.bounds
    half = max(max(east - west, north - south) / 2 * limits.around, limits.least_half_m)
    width, height = limits.map_mm
    scale = round_up(2 * half / height * 1000)
    return frame_at((west + east) / 2, (south + north) / 2, width, height, scale, limits.grid_mm)


def frame_at(x: float, y: float, width: float, height: float, scale: float, grid_mm: float) -> Frame:
    """A frame of `width` x `height` mm round a place."""
    across, down = width * scale / 2000, height * scale / 2000
    return Frame(x - across, y - down, x + across, y + down, scale, grid_step(grid_mm, scale))


def picture_bounds(matter: CaseMatter, limits: FigureLimits) -> tuple[float, float, float, float]:
    """The ground a picture shows: a square round the case."""
    west, south, east, north = matter.outline.bounds
    half = float(np.clip(max(east - west, north - south) * 1.5, *limits.picture_half_m))
    x, y = (west + east) / 2, (south + north) / 2
    return x - half, y - half, x + half, y + half


def near(table: gpd.GeoDataFrame | None, frame: Frame) -> gpd.GeoDataFrame | None:
    """The rows that reach into the frame."""
    if table is None:
        return None
    return table.iloc[np.sort(table.sindex.query(frame.ground, predicate="intersects"))]


def map_figure(matter: CaseMatter, limits: FigureLimits) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The map's data for the template, and its files."""
    frame = map_frame(matter, limits)
    whole = matter.whole
    around = replace(
        whole,
        concessions=near(whole.concessions, frame),
        mines=near(whole.mines, frame),
        roads=near(whole.roads, frame),
        jurisdictions=near(whole.jurisdictions, frame),
    )
    signs = sign_of(matter, frame, limits)
    files = {"map.svg": svg(map_parts(matter, around, frame, signs, limits), frame).encode()}
    picture = ground(whole.background, frame, matter.crs)
    if picture is not None:
        files["ground.jpg"] = picture
    faces = near(matter.faces, frame)
    told = {
        "frame": {**frame.as_dict(), "bar": round_down(0.3 * frame.width * frame.scale / 1000)},
        "labels": labels(replace(around, concessions=cut_at(around.concessions, frame)), signs, frame),
        "picture": picture is not None,
        "licences": around.concessions is not None and len(around.concessions) > 0,
        "mines": around.mines is not None and len(around.mines) > 0,
        "roads": around.roads is not None and len(around.roads) > 0,
        "faces": faces is not None and len(faces) > 0,
        "outline": matter.case["area_m2"] > 0,
    }
    return told, files


def cut_at(table: gpd.GeoDataFrame | None, frame: Frame) -> gpd.GeoDataFrame | None:
    """Rows cut at the frame, so that their words stand in it."""
    return None if table is None else table.set_geometry(table.geometry.make_valid().intersection(frame.ground))


def sign_of(matter: CaseMatter, frame: Frame, limits: FigureLimits) -> list[dict[str, float]]:
    """Where the case's symbol stands, mm; none for a case whose outline can be seen."""
    west, south, east, north = matter.outline.bounds
    if max(east - west, north - south) / frame.scale * 1000 >= limits.small_mm:
        return []
    at = place(matter)
    x, y = frame.at(at.x, at.y)
    return [{"x": float(x), "y": float(y)}]


def map_parts(
    matter: CaseMatter, around: Any, frame: Frame, signs: list[dict[str, float]], limits: FigureLimits
) -> list[str]:
    """The map's shapes, lowest first."""
    look = palette()
    colour = look["kinds"][matter.case["kind"]]["colour"]
    parts = road_paths(around.roads, frame)
    parts.append(paths(borders(around.jurisdictions), frame, look["jurisdiction"], 0.5, dash="3 1.2 0.6 1.2"))
    parts += licence_paths(around.concessions, matter.whole.as_of, frame)
    faces = near(matter.faces, frame)
    if faces is not None:
        parts.append(paths(faces.geometry, frame, "#54616f", 0.35, fill="#ffffff", opacity=0.35, dash="1.4 0.8"))
    if around.mines is not None:
        parts.append(paths(around.mines.geometry, frame, "#1c2733", 0.3, fill="#d9902f", opacity=0.35))
    parts.append(mine_signs(around.mines, frame))
    parts.append(case_outline(matter, frame, colour))
    return parts + [symbol(matter.case["kind"], one["x"], one["y"], limits.symbol_mm / 2) for one in signs]


def case_outline(matter: CaseMatter, frame: Frame, colour: str, opacity: float = 0.2) -> str:
    """The case's outline in its colour on a white edge."""
    shape = [matter.outline] if matter.outline.area > 0 else []
    edge = paths(shape, frame, "#ffffff", 1.2)
    return edge + paths(shape, frame, colour, 0.6, fill=colour, opacity=opacity)


def svg(parts: list[str], frame: Frame) -> str:
    """Parts as one SVG document in millimetres."""
    size = (
        f'width="{frame.width:.3f}mm" height="{frame.height:.3f}mm" viewBox="0 0 {frame.width:.3f} {frame.height:.3f}"'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'


def picture_figures(matter: CaseMatter, limits: FigureLimits) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Every pair of pictures: title, captions, the overlay; and their files."""
    told, files = [], {}
    for at, pair in enumerate(matter.pairs):
        frame = picture_frame(pair, limits)
        low, high = stretch_of(pair)
        for side, image in (("before", pair.before), ("after", pair.after)):
            files[f"{side}{at}.jpg"] = printed(image, low, high, limits)
        files[f"over{at}.svg"] = svg(overlay(matter, frame), frame).encode()
        told.append(
            {
                "at": at,
                "title": title_of(pair, matter.language),
                "width": limits.picture_mm,
                "height": frame.height,
                "before": caption(pair, "before", matter.language),
                "after": caption(pair, "after", matter.language),
                "scale": frame.scale,
                "bar": round_down(0.35 * frame.width * frame.scale / 1000),
                "note": say("picture_note", matter.language, source=pair.source, pixel=f"{pair.pixel_m:g}"),
            }
        )
    return told, files


def picture_frame(pair: Pair, limits: FigureLimits) -> Frame:
    """The frame of a picture: its pixels, at whatever scale fills the width."""
    west, south, east, north = pair.bounds
    scale = (east - west) / limits.picture_mm * 1000
    return Frame(west, south, east, north, scale, grid_step(limits.grid_mm, scale))


def overlay(matter: CaseMatter, frame: Frame) -> list[str]:
    """Licences and the case over a picture, unfilled so that the ground shows."""
    colour = palette()["kinds"][matter.case["kind"]]["colour"]
    parts = licence_paths(near(matter.whole.concessions, frame), matter.whole.as_of, frame)
    yards = near(matter.whole.mines, frame)
    if yards is not None:
        parts.append(paths(yards.geometry, frame, "#ffb000", 0.45))
    return [*parts, case_outline(matter, frame, colour, opacity=0.0)]


def title_of(pair: Pair, language: str) -> str:
    """What a pair of pictures is."""
    if pair.clear is None:
        return say("radar_picture", language, band=pair.kind.upper())
    return say({"true": "true_colour"}.get(pair.kind, pair.kind), language)


def caption(pair: Pair, side: str, language: str) -> str:
    """The dates of a picture, and how clear they were."""
    days = pair.before_days if side == "before" else pair.after_days
    if pair.clear is None:
        return say(f"{side}_dates", language, count=len(days), first=days[0], last=days[-1])
    clear = say("clear_share", language, share=f"{pair.clear[side == 'after']:.0%}")
    return f"{say(side, language, date=days[0])} ({clear})"


def stretch_of(pair: Pair) -> tuple[Any, Any]:
    """Darkest and brightest value of both pictures: of all colours together in natural colour, else of each."""
    both = np.stack([pair.before, pair.after])
    if both.ndim == 4 and pair.kind != "true":
        low, high = np.nanpercentile(both, STRETCH, axis=(0, 1, 2))
    else:
        low, high = np.nanpercentile(both, STRETCH)
    return low, np.maximum(high, low + 1e-6)


def printed(image: np.ndarray, low: Any, high: Any, limits: FigureLimits) -> bytes:
    """A picture as JPEG, smoothed to the size it is printed at; white where nothing was seen."""
    seen = np.isfinite(image) if image.ndim == 2 else np.isfinite(image).all(axis=-1)
    bright = np.clip((np.nan_to_num(image) - low) / (high - low), 0, 1) ** GAMMA
    pixels = (bright * 255).astype(np.uint8)
    pixels[~seen] = 255
    height, width = pixels.shape[:2]
    size = (limits.picture_pixels, max(1, round(limits.picture_pixels * height / width)))
    stream = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=88)
    return stream.getvalue()
