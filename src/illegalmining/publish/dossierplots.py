"""A dossier's plots: what was measured against what the registers let expect, over time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.publish.casefile import readable_series
from illegalmining.publish.dossiercase import CaseMatter
from illegalmining.publish.sheet import CellLimits, breakable
from illegalmining.publish.text import say
from illegalmining.registers.allowed import status_by_day
from illegalmining.tables import FORBIDDING_STATUSES

INK, SOFT, GRID, BAND, EXPECTED, ABOVE, SHUT = (
    "#1c2733", "#54616f", "#d5dbe1", "#b9d3ea", "#2b6ca3", "#b3261e", "#f6dcd9",
)  # fmt: skip


SHORT = CellLimits(most=28, unbroken=28)
"""For words on a plot, which have one line."""


@dataclass(frozen=True)
class PlotLimits:
    """A plot's measures.

    width, height: mm, with the room for words at left and below. left, below, above: that room, mm. points: most of a
    series. plots: most of a case. ticks: about so many on the upright axis. months: most labels along time.
    """

    width: float = 178.0
    height: float = 48.0
    left: float = 16.0
    below: float = 7.0
    above: float = 6.0
    points: int = 400
    plots: int = 4
    ticks: int = 4
    months: int = 12


@dataclass
class Plot:
    """Axes in mm, the shapes drawn on them, and the words beside them."""

    x: tuple[float, float]
    y: tuple[float, float]
    limits: PlotLimits
    parts: list[str] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """(right, down) of a value, mm."""
        lim = self.limits
        across, down = lim.width - lim.left - 2.0, lim.height - lim.below - lim.above
        right = lim.left + (np.asarray(x, float) - self.x[0]) / (self.x[1] - self.x[0]) * across
        return right, lim.above + (self.y[1] - np.asarray(y, float)) / (self.y[1] - self.y[0]) * down

    def line(self, x: Any, y: Any, colour: str, width: float, dash: str = "") -> None:
        """A line through values; gaps where one is not a number."""
        right, down = self.at(x, y)
        steps, pen = [], "M"
        for a, b in zip(np.atleast_1d(right), np.atleast_1d(down), strict=True):
            if not (np.isfinite(a) and np.isfinite(b)):
                pen = "M"
                continue
            steps.append(f"{pen}{a:.2f} {b:.2f}")
            pen = "L"
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed} '
            'stroke-linejoin="round"/>'
        )

    def band(self, x: Any, low: Any, high: Any, colour: str) -> None:
        """The ground between two lines."""
        known = np.isfinite(low) & np.isfinite(high)
        xs = np.asarray(x, float)[known]
        if not len(xs):
            return
        right, down = self.at(np.r_[xs, xs[::-1]], np.r_[np.asarray(low)[known], np.asarray(high)[known][::-1]])
        points = " ".join(f"{a:.2f},{b:.2f}" for a, b in zip(right, down, strict=True))
        self.parts.append(f'<polygon points="{points}" fill="{colour}"/>')

    def dots(self, x: Any, y: Any, colour: str, radius: float) -> None:
        """A dot at every value."""
        for a, b in zip(*self.at(x, y), strict=True):
            if np.isfinite(a) and np.isfinite(b):
                self.parts.append(f'<circle cx="{a:.2f}" cy="{b:.2f}" r="{radius}" fill="{colour}"/>')

    def span(self, first: float, last: float, colour: str) -> None:
        """The whole height between two places along."""
        (left, right), (top, bottom) = self.at([first, last], self.y[0])[0], self.at(self.x[0], self.y[::-1])[1]
        self.parts.append(
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" height="{bottom - top:.2f}" '
            f'fill="{colour}"/>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "center", colour: str = SOFT) -> None:
        """A word at mm from the upper left corner; `anchor` says which of its sides stands there."""
        self.texts.append({"x": float(x), "y": float(y), "text": words, "anchor": anchor, "colour": colour})

    def upright_axis(self, unit: str) -> None:
        """Grid lines and numbers of the upright axis."""
        for value in steps(*self.y, self.limits.ticks):
            self.line(self.x, (value, value), GRID, 0.2)
            self.text(self.limits.left - 1.2, float(self.at(self.x[0], value)[1]), plain_number(value), "right")
        self.text(self.limits.left, 2.2, unit, "left")

    def as_dict(self, **more: Any) -> dict[str, Any]:
        """For the template."""
        return {"width": self.limits.width, "height": self.limits.height, "texts": self.texts, **more}

    def svg(self) -> bytes:
        """The shapes as an SVG document in mm."""
        lim = self.limits
        size = f'width="{lim.width}mm" height="{lim.height}mm" viewBox="0 0 {lim.width} {lim.height}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(self.parts)}</svg>'.encode()


def steps(low: float, high: float, about: int) -> list[float]:
    """Round numbers within a range, about so many."""
    rough = (high - low) / max(about, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    return [float(value) for value in np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step]


def plain_number(value: float) -> str:
    """A tick's number, with a thin gap between thousands."""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.6g}"


def series_figures(
    matter: CaseMatter, limits: PlotLimits | None = None
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """A plot for every detection that holds a series, power first; and their files."""
    limits = limits or PlotLimits()
    told: list[dict[str, Any]] = []
    files = {}
    ordered = sorted(matter.detections, key=lambda one: one["detector"] != "power")
    for detection in ordered:
        series = readable_series(json.dumps(detection["attributes"]), limits.points)
        if series is None or len(told) == limits.plots:
            continue
        name = f"plot{len(told)}.svg"
        plot, above = drawn(series, detection, matter, limits)
        files[name] = plot.svg()
        fitted = detection["detector"] == "subsidence"
        first, last = (pd.Timestamp(series["start"]) + pd.Timedelta(days=series["days"][at]) for at in (0, -1))
        said = [*notes(detection, matter.language), shown_days(len(series["days"]), first, last, matter.language)]
        about = {"file": name, "title": title(detection, matter.language), "notes": said}
        told.append(plot.as_dict(**about, fitted=fitted, above=above, shut=bool(detection["detector"] == "power")))
    return told, files


def drawn(
    series: dict[str, Any], detection: dict[str, Any], matter: CaseMatter, limits: PlotLimits
) -> tuple[Plot, bool]:
    """The plot of one series, and whether anything lies outside the expected band."""
    days = np.asarray(series["days"], float)
    columns = {
        name: np.array([np.nan if value is None else value for value in series[name]], float)
        for name in ("observed", "expected", "low", "high")
        if name in series
    }
    observed = columns["observed"]
    everything = np.concatenate(list(columns.values()))
    low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
    pad = max((high - low) * 0.06, 1e-6, abs(high) * 1e-3)
    start = pd.Timestamp(series["start"])
    ends = (float(days[0]) - 1, max(float(days[-1]), float(days[0]) + 1) + 1)
    plot = Plot(ends, (min(low - pad, 0.0) if low >= 0 and low < high / 2 else low - pad, high + pad), limits)
    if detection["detector"] == "power":
        forbidden_days(plot, start, matter)
    time_axis(plot, start, limits)
    plot.upright_axis(breakable(series["unit"]))
    if {"low", "high"} <= set(columns):
        plot.band(days, columns["low"], columns["high"], BAND)
    if "expected" in columns:
        plot.line(days, columns["expected"], EXPECTED, 0.4)
    plot.line(days, observed, SOFT, 0.15)
    beyond = np.zeros(len(observed), bool)
    if {"low", "high"} <= set(columns):
        with np.errstate(invalid="ignore"):
            beyond = (observed > columns["high"]) | (observed < columns["low"])
    plot.dots(days[~beyond], observed[~beyond], INK, 0.5)
    plot.dots(days[beyond], observed[beyond], ABOVE, 0.55)
    return plot, bool(beyond.any())


def shown_days(count: int, first: pd.Timestamp, last: pd.Timestamp, language: str) -> str:
    """Which dates of the series were kept with the run, and are shown."""
    return say("plot_shown", language, count=count, first=f"{first:%Y-%m-%d}", last=f"{last:%Y-%m-%d}")


def time_axis(plot: Plot, start: pd.Timestamp, limits: PlotLimits) -> None:
    """Months along the lower edge."""
    first, last = (start + pd.Timedelta(days=value) for value in plot.x)
    months = pd.date_range(first.normalize(), last, freq="MS")
    every = max(1, math.ceil(len(months) / limits.months))
    for month in months[::every]:
        x = (month - start).days
        plot.line((x, x), plot.y, GRID, 0.2)
        plot.text(float(plot.at(x, plot.y[0])[0]), limits.height - limits.below + 3.2, f"{month:%Y-%m}")
    plot.line(plot.x, (plot.y[0], plot.y[0]), INK, 0.3)


def forbidden_days(plot: Plot, start: pd.Timestamp, matter: CaseMatter) -> None:
    """Days on which the mine's status forbids work, shaded, with the order that begins or holds."""
    if matter.statuses is None or not isinstance(matter.case["mine_id"], str):
        return
    first, last = (start + pd.Timedelta(days=value) for value in plot.x)
    days = pd.date_range(first.normalize(), last.normalize())
    status = status_by_day(matter.statuses, matter.case["mine_id"], days)
    shut = status.isin(FORBIDDING_STATUSES).to_numpy()
    edges = np.flatnonzero(np.diff(np.r_[0, shut.astype(int), 0]))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        left = float((days[begin] - start).days)
        plot.span(left, float((days[end - 1] - start).days), SHUT)
        own = matter.statuses[matter.statuses["mine_id"] == matter.case["mine_id"]]
        own = own[own["status"].isin(FORBIDDING_STATUSES) & (own["from"] <= days[end - 1])].sort_values("from")
        words = say(f"mine_{status.iloc[begin]}", matter.language)
        if len(own):
            order = own.iloc[-1]
            number = f", {breakable(order['order_no'], SHORT)}" if isinstance(order.get("order_no"), str) else ""
            words += f" ({order['from']:%Y-%m-%d}{number})"
        plot.text(float(plot.at(left, plot.y[0])[0]) + 22, 2.2, words, "left", ABOVE)


def title(detection: dict[str, Any], language: str) -> str:
    """What a plot shows."""
    known = ("power", "subsidence", "surface", "radar")
    words = say(f"plot_{detection['detector']}" if detection["detector"] in known else "plot_other", language)
    return f"{words} ({breakable(detection['detection_id'])})"


def notes(detection: dict[str, Any], language: str) -> list[str]:
    """What a plot's detection adds in figures."""
    about, lines = detection["attributes"], []
    if detection["detector"] == "power" and "nights" in about:
        facts = {"first": f"{detection['first_seen']:%Y-%m-%d}", "last": f"{detection['last_seen']:%Y-%m-%d}"}
        unread = str(len(about.get("unread_days", []))) if "unread_days" in about else "–"
        excess = f"{about.get('excess_kwh', 0):,.0f}"
        lines.append(say("plot_note_power", language, nights=about["nights"], excess=excess, unread=unread, **facts))
        lines.append(say("plot_orders", language))
    if detection["detector"] == "power" and "tonnes_explained" in about:
        tonnes, explained = (f"{about[name]:,.0f}" for name in ("tonnes", "tonnes_explained"))
        specific = f"{about['kwh_per_tonne']:g}"
        lines.append(say("plot_note_declared", language, tonnes=tonnes, explained=explained, specific=specific))
    return lines


def plot_lines(matter: CaseMatter, plots: list[dict[str, Any]]) -> list[str]:
    """What to say where there is no load plot, or no course of a face."""
    lines = []
    if not any(plot["shut"] for plot in plots):
        metered = any(source.get("sensor") == "power" for source in matter.whole.sources)
        missing = "no_power" if metered else "no_power_source"
        lines.append(say("power_without_series" if matter.terms_of("power") else missing, matter.language))
    inverted = any("w0_m" in one["attributes"] for one in matter.terms_of("subsidence"))
    if inverted and not any(plot["fitted"] for plot in plots):
        lines.append(say("movement_without_series", matter.language))
    return lines
