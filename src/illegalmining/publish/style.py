"""What a map looks like, read from `illegalmining.maps`: one palette for the page, KML and QGIS."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def palette() -> dict[str, Any]:
    """`maps/palette.json`: colours and shapes of kinds, hot spots, registers and blind ground."""
    return json.loads((files("illegalmining.maps") / "palette.json").read_text("utf-8"))


def kind_colours() -> dict[str, str]:
    """Kind -> `#RRGGBB`."""
    return {kind: look["colour"] for kind, look in palette()["kinds"].items()}


def qgis_style(name: str) -> str:
    """A QGIS style (`.qml`) with the palette's colours filled in."""
    text = (files("illegalmining.maps") / "styles" / f"{name}.qml").read_text("utf-8")
    for kind, colour in kind_colours().items():
        text = text.replace(f"{{{kind}}}", ",".join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5)))
    return text


KIND_COLOURS = kind_colours()
