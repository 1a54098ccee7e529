"""What follows from cases as files: answers owed, offenders, candidates, re-judged cases, and how well it all fits."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from illegalmining.atomic import write_bytes
from illegalmining.cases.calibrate import Reliability
from illegalmining.publish.spreadsheet import csv_bytes

SIDE, MARGIN = 360, 56
"""Of the reliability plot, pixels."""
WORDS = {
    "en": ("probability given", "share confirmed", "as reported", "recalibrated (cross-validated)", "outcomes"),
    "zh": ("给出的概率", "核实比例", "报告时", "重新校准（交叉验证）", "核查结果"),
}
COLOURS = ("#9a5b13", "#1f5f8b")


def publish_tables(tables: dict[str, pd.DataFrame], out: Path) -> list[Path]:
    """Each table as `<name>.csv`."""
    return [write_bytes(out / f"{name}.csv", csv_bytes(table)) for name, table in tables.items()]


def publish_calibration(
    says: str, corrections: dict[str, Any], curves: tuple[Reliability, Reliability], language: str, out: Path
) -> list[Path]:
    """`calibration.json` and `reliability.svg`."""
    before, after = (finite(asdict(curve)) for curve in curves)
    record = {"calibration": says, **corrections, "as_reported": before, "cross_validated": after}
    text = json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True)
    return [
        write_bytes(out / "calibration.json", text.encode()),
        write_bytes(out / "reliability.svg", reliability_plot(says, curves, language).encode()),
    ]


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """NaN as None."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def reliability_plot(says: str, curves: tuple[Reliability, Reliability], language: str) -> str:
    """Probability given against share confirmed, with 90 % intervals; the diagonal is what is aimed at."""
    given, confirmed, *labels, outcomes = WORDS[language]
    size = SIDE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size + 40}" '
        'font-family="DejaVu Sans, sans-serif" font-size="11" fill="#222">',
        f'<rect width="{size}" height="{size + 40}" fill="#fff"/>',
        f'<text x="{MARGIN}" y="22" font-size="13">{says}</text>',
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        line_between(0, 0, 1, 1, "#bbb"),
        f'<text x="{size / 2}" y="{size - 14}" text-anchor="middle">{given}</text>',
        f'<text transform="translate(16 {size / 2}) rotate(-90)" text-anchor="middle">{confirmed}</text>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(tick, tick)
        parts.append(f'<text x="{x}" y="{MARGIN + SIDE + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for number, (curve, colour, label) in enumerate(zip(curves, COLOURS, labels, strict=True)):
        for mean, share, low, high, count in curve.curve:
            x, y = at(mean, share)
            parts.append(line_between(mean, low, mean, high, colour))
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{count}</title></circle>')
        told = "–" if not curve.count else f"Brier {curve.brier:.3f}, ECE {curve.error:.3f}"
        y = size + 8 + 16 * number
        parts.append(f'<circle cx="{MARGIN}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{MARGIN + 10}" y="{y}">{label}: {told} ({curve.count} {outcomes})</text>')
    return "\n".join([*parts, "</svg>\n"])


def at(x: float, y: float) -> tuple[float, float]:
    """Pixels of a point of the unit square."""
    return round(MARGIN + SIDE * x, 1), round(MARGIN + SIDE * (1 - y), 1)


def line_between(x0: float, y0: float, x1: float, y1: float, colour: str) -> str:
    """A line between two points of the unit square."""
    (a, b), (c, d) = at(x0, y0), at(x1, y1)
    return f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="{colour}"/>'
