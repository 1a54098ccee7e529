"""GPX for hand-held receivers: one waypoint a case, every column of the table in its extensions."""

from __future__ import annotations

from typing import Any

import geopandas as gpd

from illegalmining.publish.casefile import terms
from illegalmining.publish.kml import attribute, content
from illegalmining.publish.spreadsheet import csv_cell, flat, plain_value
from illegalmining.publish.text import word

SPACE = "https://illegalmining.invalid/cases/1"
"""Name of the extensions' vocabulary; an address that leads nowhere."""
DECIMALS = 7


def gpx_bytes(cases: gpd.GeoDataFrame, language: str) -> bytes:
    """GPX 1.1, WGS 84: name (the case's id), what it is and how sure, and why; most probable first."""
    points = "\n".join(waypoint(row, language) for row in flat(cases).to_dict("records") if has_place(row))
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gpx version="1.1" creator="illegalmining" xmlns="http://www.topografix.com/GPX/1/1" '
        f'xmlns:case="{SPACE}">\n<metadata><name>{content(word("title", language))}</name></metadata>\n'
    )
    return f"{document}{points}\n</gpx>\n".encode()


def has_place(row: dict[str, Any]) -> bool:
    """Whether the case can be gone to."""
    return plain_value(row["lon"]) is not None and plain_value(row["lat"]) is not None


def waypoint(row: dict[str, Any], language: str) -> str:
    """One case."""
    kind = word(f"kind_{row['kind']}", language)
    summary = f"{kind} {row['probability']:.0%}"
    says = " / ".join(term["says"] for term in terms(row["evidence"]))
    columns = "".join(
        f"<case:column name={attribute(name)}>{content(csv_cell(value))}</case:column>"
        for name, value in ((name, plain_value(value)) for name, value in row.items())
        if value is not None
    )
    return (
        f"<wpt lat={degrees(row, 'lat')} lon={degrees(row, 'lon')}>"
        f"<name>{content(row['case_id'])}</name><cmt>{content(summary)}</cmt>"
        f"<desc>{content(says)}</desc><sym>Mine</sym><type>{content(row['kind'])}</type>"
        f"<extensions>{columns}</extensions></wpt>"
    )


def degrees(row: dict[str, Any], name: str) -> str:
    """A coordinate as a quoted attribute, 1 cm fine."""
    return attribute(f"{row[name]:.{DECIMALS}f}")
