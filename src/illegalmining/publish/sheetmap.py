"""The map on paper: its frame and scale, the shapes as SVG in millimetres, and where its words stand."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from PIL import Image
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from illegalmining.publish.content import MapContent, Picture
from illegalmining.publish.layers import Bounds, blind_shapes, text
from illegalmining.publish.style import palette
from illegalmining.publish.text import harmless

STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0)
MM_PER_POINT = 25.4 / 72
# Kind of word -> its size, points, and how far below its place it stands, mm; as in sheet.typ.
LABELS = {"jurisdiction": (12.0, 0.0), "licence": (7.0, 2.6), "expired": (7.0, 2.6), "mine": (6.5, 3.4)}
GRID_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class SheetLimits:
    """The sheet's measures.

    width_mm, height_mm: the most the map's frame may take. margin: ground shown round the bounds, share of the longer
    side. spot_mm: a spot's symbol across. grid_mm: least distance of grid lines. pixels_per_mm: of the ground's
    picture. cases, licences: rows of the tables, the most probable cases first. corners: of one licence in the table.
    sources, remarks: lines beside the map.
    """

    width_mm: float = 284.0
    height_mm: float = 246.0
    margin: float = 0.012
    spot_mm: float = 6.0
    grid_mm: float = 32.0
    pixels_per_mm: float = 6.0
    cases: int = 500
    licences: int = 300
    corners: int = 12
    sources: int = 12
    remarks: int = 12


@dataclass(frozen=True)
class Frame:
    """The map's frame: the ground it shows, m of the working CRS, and its scale 1 : `scale`."""

    west: float
    south: float
    east: float
    north: float
    scale: float
    grid: float

    @property
    def width(self) -> float:
        """mm."""
        return (self.east - self.west) / self.scale * 1000

    @property
    def height(self) -> float:
        """mm."""
        return (self.north - self.south) / self.scale * 1000

    @property
    def ground(self) -> BaseGeometry:
        """The ground shown."""
        return box(self.west, self.south, self.east, self.north)

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """(right, down) of a place, mm from the frame's upper left corner."""
        return (x - self.west) / self.scale * 1000, (self.north - y) / self.scale * 1000

    def as_dict(self) -> dict[str, Any]:
        """For the template: measures, grid lines, the length of the scale bar."""
        lines = {
            "x": [(x, self.at(x, 0)[0]) for x in ticks(self.west, self.east, self.grid)],
            "y": [(y, self.at(0, y)[1]) for y in ticks(self.south, self.north, self.grid)],
        }
        bar = round_down(60 * self.scale / 1000)
        told = f"{self.scale:,.0f}".replace(",", " ")
        return {
            **asdict(self),
            "scale-text": told,
            "width": self.width,
            "height": self.height,
            "lines": lines,
            "bar": bar,
        }


def frame_of(bounds: Bounds, limits: SheetLimits) -> Frame:
    """The largest round scale at which the bounds fit the sheet."""
    xmin, ymin, xmax, ymax = bounds
    around = max(xmax - xmin, ymax - ymin) * limits.margin
    width, height = xmax - xmin + 2 * around, ymax - ymin + 2 * around
    least = max(width / limits.width_mm, height / limits.height_mm) * 1000
    scale = round_up(least)
    return Frame(xmin - around, ymin - around, xmax + around, ymax + around, scale, grid_step(limits.grid_mm, scale))


def round_up(value: float) -> float:
    """The next round number of a map's scale."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (*STEPS, 10.0) if step * power >= value * (1 - 1e-9))


def round_down(value: float) -> float:
    """The last of 1, 2, 5, 10, ... that is not larger."""
    power = 10 ** math.floor(math.log10(value))
    return max(step * power for step in GRID_STEPS if step * power <= value)


def grid_step(least_mm: float, scale: float) -> float:
    """Distance of grid lines, m: 1, 2 or 5 times a power of ten."""
    least = least_mm * scale / 1000
    power = 10 ** math.floor(math.log10(least))
    return next(step * power for step in (*GRID_STEPS, 10.0) if step * power >= least)


def ticks(low: float, high: float, step: float) -> list[float]:
    """Multiples of `step` within [low, high]."""
    return [float(value) for value in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step]


def ground(background: Picture | None, frame: Frame, crs: pyproj.CRS) -> bytes | None:
    """The picture of the ground in the frame, a JPEG lightened so that signs stand out on it."""
    if background is None:
        return None
    content, degrees = background
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), dtype="float32")
    mercator = gpd.GeoSeries([box(*degrees)], crs="EPSG:4326").to_crs("EPSG:3857").total_bounds
    source = GeoBox.from_bbox(mercator, crs="EPSG:3857", shape=image.shape[:2])
    shape = (round(frame.height * SheetLimits.pixels_per_mm), round(frame.width * SheetLimits.pixels_per_mm))
    target = GeoBox.from_bbox((frame.west, frame.south, frame.east, frame.north), crs=crs.to_wkt(), shape=shape)
    paper = image[..., :3] * image[..., 3:] / 255 + 255 - image[..., 3:]
    bands = [brought(paper[..., band], source, target) for band in range(3)]
    light = 255 - (255 - np.stack(bands, axis=-1)) * 0.68
    stream = io.BytesIO()
    Image.fromarray(light.astype("uint8")).save(stream, "JPEG", quality=84)
    return stream.getvalue()


def brought(band: np.ndarray, source: GeoBox, target: GeoBox) -> np.ndarray:
    """One band of a picture on another grid, white where it has nothing."""
    from odc.geo.xr import wrap_xr

    moved = xr_reproject(wrap_xr(band, source, nodata=float("nan")), target, resampling="bilinear", dst_nodata=np.nan)
    return np.clip(np.nan_to_num(moved.values, nan=255.0), 0, 255)


def drawing(content: MapContent, shown: gpd.GeoDataFrame, placed: list[dict[str, Any]], frame: Frame) -> str:
    """Everything on the map but its ground and its words, as SVG."""
    look = palette()
    blind = [one.intersection(frame.ground) for one in blind_shapes(content.coverage, content.bounds, content.crs)]
    hatch = [shapely.intersection(hatching(one, frame), one) for one in blind]
    cells = content.hotspots
    cluster = cells["significant"] & (cells["cases_near"] > 1)
    parts = [paths(blind, frame, fill="#ffffff", opacity=0.35), paths(hatch, frame, look["blind"], 0.25)]
    parts += road_paths(content.roads, frame)
    for at, one in enumerate(look["hotspots"]):
        above = look["hotspots"][at + 1]["from"] if at + 1 < len(look["hotspots"]) else np.inf
        # a cluster below the first class is significant all the same, and drawn as the first
        low = one["from"] if at else -np.inf
        hot = cells[cluster & (cells["gi_z"] >= low) & (cells["gi_z"] < above)].geometry
        parts.append(paths(hot, frame, "#7a2e00", 0.15, fill=one["colour"], opacity=0.45))
    parts.append(paths(borders(content.jurisdictions), frame, look["jurisdiction"], 0.5, dash="3 1.2 0.6 1.2"))
    parts += licence_paths(content.concessions, content.as_of, frame)
    parts.append(mine_signs(content.mines, frame))
    for kind, style in look["kinds"].items():
        outlines = shown.geometry[shown["kind"] == kind]
        parts.append(paths(outlines, frame, "#ffffff", 1.1))
        parts.append(paths(outlines, frame, style["colour"], 0.55, fill=style["colour"], opacity=0.25))
    parts += [leader(spot) for spot in placed if spot["moved"]]
    parts += [symbol(spot["kind"], spot["x"], spot["y"], SheetLimits.spot_mm / 2) for spot in reversed(placed)]
    size = (
        f'width="{frame.width:.3f}mm" height="{frame.height:.3f}mm" viewBox="0 0 {frame.width:.3f} {frame.height:.3f}"'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'


def borders(jurisdictions: gpd.GeoDataFrame | None) -> list[BaseGeometry]:
    """Every border once, though two jurisdictions share it."""
    return (
        [] if jurisdictions is None or jurisdictions.empty else [shapely.union_all(jurisdictions.boundary.to_numpy())]
    )


def road_paths(roads: gpd.GeoDataFrame | None, frame: Frame) -> list[str]:
    """Roads as pale bands with dark edges."""
    if roads is None or roads.empty:
        return []
    return [paths(roads.geometry, frame, "#4a4033", 0.85), paths(roads.geometry, frame, "#fffdf5", 0.5)]


def licence_paths(concessions: gpd.GeoDataFrame | None, as_of: date, frame: Frame) -> list[str]:
    """Licences in force as plain black lines, others as dashed red ones, on a white band."""
    if concessions is None or concessions.empty:
        return []
    valid = in_force(concessions, as_of)
    return [
        paths(concessions.geometry, frame, "#ffffff", 1.2),
        paths(concessions.geometry[valid], frame, "#111a22", 0.45),
        paths(concessions.geometry[~valid], frame, "#a11d1d", 0.5, dash="2.2 1.2"),
    ]


def in_force(concessions: gpd.GeoDataFrame, as_of: date) -> pd.Series:
    """Whether each licence is in force on a day, also by an accepted renewal."""
    today = pd.Timestamp(as_of)
    renewing = concessions["renewal_applied"] <= today if "renewal_applied" in concessions else False
    return (concessions["valid_from"] <= today) & (~(concessions["valid_to"] <= today) | renewing)


def mine_signs(mines: gpd.GeoDataFrame | None, frame: Frame) -> str:
    """Crossed tools in a ring at every mine."""
    if mines is None or mines.empty:
        return ""
    places = mines.representative_point()
    rings = []
    for x, y in zip(*frame.at(places.x.to_numpy(), places.y.to_numpy()), strict=True):
        if 0 <= x <= frame.width and 0 <= y <= frame.height:
            tools = "".join(
                f"M{x - side * 0.8:.2f} {y + 0.85:.2f}L{x + side * 0.65:.2f} {y - 0.65:.2f}"
                f"M{x + side * 0.2:.2f} {y - 1:.2f}L{x + side * 1.05:.2f} {y - 0.2:.2f}"
                for side in (-1, 1)
            )
            ring = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="1.75" fill="#fff" stroke="#1c2733" stroke-width="0.3"/>'
            rings.append(f'{ring}<path d="{tools}" stroke="#1c2733" stroke-width="0.38" fill="none"/>')
    return "".join(rings)


def hatching(area: BaseGeometry, frame: Frame, gap_mm: float = 1.8) -> BaseGeometry:
    """Slanting lines over the extent of an area, on one raster for the whole sheet."""
    if area.is_empty:
        return shapely.LineString()
    gap = gap_mm * frame.scale / 1000 * math.sqrt(2)
    west, south, east, north = area.bounds
    first, last = math.floor((west + south) / gap), math.ceil((east + north) / gap)
    sums = np.arange(first, last + 1) * gap
    lines = [((total - north, north), (total - south, south)) for total in sums]
    return shapely.MultiLineString(lines)


def paths(
    shapes: Any, frame: Frame, line: str | None = None, width: float = 0.0, *, fill: str = "none", opacity: float = 1.0,
    dash: str = "",
) -> str:  # fmt: skip
    """Shapes as one SVG path, cut a little outside the frame."""
    shown = frame.ground.buffer((frame.east - frame.west) * 0.02)
    cut = [one.intersection(shown) for one in shapes if one is not None and not one.is_empty and one.is_valid]
    steps = "".join(path_of(one, frame) for one in cut if shapely.get_dimensions(one) > 0)
    if not steps:
        return ""
    drawn = f' stroke="{line}" stroke-width="{width}" stroke-linejoin="round"' if line else ""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{steps}" fill="{fill}" fill-opacity="{opacity}" fill-rule="evenodd"{drawn}{dashed}/>'


def path_of(shape: BaseGeometry, frame: Frame) -> str:
    """A shape's lines and rings as SVG path steps, 0.01 mm fine."""
    if shape.geom_type in ("LineString", "LinearRing"):
        right, down = frame.at(*np.asarray(shape.coords)[:, :2].T)
        return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(right, down, strict=True))
    if shape.geom_type == "Polygon":
        return "".join(path_of(ring, frame) + "Z" for ring in (shape.exterior, *shape.interiors))
    return "".join(path_of(part, frame) for part in getattr(shape, "geoms", []))


def symbol(kind: str, x: float, y: float, radius: float) -> str:
    """A kind's symbol: the page's shape in its colour, with a white and a dark edge."""
    style = palette()["kinds"][kind]
    points = palette()["shapes"][style["shape"]]
    r = radius * 0.78
    if points is None:
        outline = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}"'
    else:
        listed = " ".join(f"{x + dx * r:.2f},{y + dy * r:.2f}" for dx, dy in points)
        outline = f'<polygon points="{listed}" stroke-linejoin="round"'
    white = f'{outline} fill="none" stroke="#fff" stroke-width="1.3"/>'
    return f'{white}{outline} fill="{style["colour"]}" stroke="#1c2733" stroke-width="0.32"/>'


def leader(spot: dict[str, Any]) -> str:
    """A line from a symbol that had to move to the place it stands for."""
    line = f'<path d="M{spot["x"]:.2f} {spot["y"]:.2f}L{spot["at_x"]:.2f} {spot["at_y"]:.2f}"'
    place = f'cx="{spot["at_x"]:.2f}" cy="{spot["at_y"]:.2f}"'
    dot = f'<circle {place} r="0.7" fill="#1c2733" stroke="#fff" stroke-width="0.25"/>'
    return f'{line} stroke="#fff" stroke-width="0.9"/>{line} stroke="#1c2733" stroke-width="0.35"/>{dot}'


def spots(shown: gpd.GeoDataFrame, frame: Frame, limits: SheetLimits) -> list[dict[str, Any]]:
    """Where each case's numbered symbol stands, mm: at its place, or beside it where another stands there."""
    taken: list[tuple[float, float]] = []
    placed = []
    for rank, (kind, place) in enumerate(zip(shown["kind"], shown.geometry.representative_point(), strict=True), 1):
        x, y = (float(value) for value in frame.at(place.x, place.y))
        best = next((at for at in around(x, y, limits.spot_mm) if free(at, taken, frame, limits.spot_mm)), (x, y))
        taken.append(best)
        moved = best != (x, y)
        placed.append({"rank": rank, "kind": kind, "x": best[0], "y": best[1], "at_x": x, "at_y": y, "moved": moved})
    return placed


def around(x: float, y: float, size: float) -> list[tuple[float, float]]:
    """The place itself, then places on widening rings round it."""
    rings = [(ring * size * 0.9, step * math.pi / 6) for ring in (1, 2, 3, 4) for step in range(12)]
    return [(x, y), *((x + r * math.cos(angle), y + r * math.sin(angle)) for r, angle in rings)]


def free(at: tuple[float, float], taken: list[tuple[float, float]], frame: Frame, size: float) -> bool:
    """Whether a symbol there overlaps no other and stays in the frame."""
    inside = size / 2 <= at[0] <= frame.width - size / 2 and size / 2 <= at[1] <= frame.height - size / 2
    return inside and all(math.hypot(at[0] - x, at[1] - y) >= size * 0.9 for x, y in taken)


def labels(content: MapContent, placed: list[dict[str, Any]], frame: Frame) -> list[dict[str, Any]]:
    """Words on the map that cover neither a spot nor each other, the more important ones first."""
    kept: list[dict[str, Any]] = []
    taken = [box(spot["x"] - 3, spot["y"] - 3, spot["x"] + 3, spot["y"] + 3) for spot in placed]
    for word in wanted_labels(content, frame):
        room = room_of(word)
        if room.within(box(0, 0, frame.width, frame.height)) and not any(room.intersects(other) for other in taken):
            kept.append(word)
            taken.append(room)
    return kept


def room_of(word: dict[str, Any]) -> BaseGeometry:
    """What a word takes up on paper, mm."""
    size, drop = LABELS[word["kind"]]
    ems = sum(1.0 if ord(letter) > 0x2E7F else 0.56 for letter in word["text"])
    half, y = ems * size * MM_PER_POINT / 2, word["y"] + drop
    return box(word["x"] - half, y - size * MM_PER_POINT / 2, word["x"] + half, y + size * MM_PER_POINT / 2)


def wanted_labels(content: MapContent, frame: Frame) -> list[dict[str, Any]]:
    """Jurisdictions in the middle, licence numbers under their upper edge, mines under their sign."""
    words: list[dict[str, Any]] = []
    if content.jurisdictions is not None and len(content.jurisdictions) > 1:
        for name, area in zip(content.jurisdictions["name"], content.jurisdictions.geometry, strict=True):
            shown = area.intersection(frame.ground)
            if not shown.is_empty:
                words.append(label(name, shown.representative_point().coords[0], "jurisdiction", frame))
    if content.concessions is not None:
        for number, valid, area in zip(
            content.concessions["licence_no"],
            in_force(content.concessions, content.as_of),
            content.concessions.geometry,
            strict=True,
        ):
            west, _, east, north = area.bounds
            if (east - west) / frame.scale * 1000 > 9:
                words.append(label(number, ((west + east) / 2, north), "licence" if valid else "expired", frame))
    if content.mines is not None:
        places = content.mines.representative_point()
        for name, number, at in zip(content.mines["name"], content.mines["mine_id"], places, strict=True):
            words.append(label(text(name) or number, at.coords[0], "mine", frame))
    return words


def label(words: Any, at: tuple[float, ...], kind: str, frame: Frame, most: int = 24) -> dict[str, Any]:
    """One word of the map, harmless and short."""
    x, y = frame.at(at[0], at[1])
    clean = harmless(str(words)).replace("\n", " ")
    return {
        "text": clean if len(clean) <= most else clean[: most - 1] + "…",
        "x": float(x),
        "y": float(y),
        "kind": kind,
    }
