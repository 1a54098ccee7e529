"""Text as readers get it: the words of the map in both languages, and foreign text made harmless."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

# C0 and C1 controls save tab and line feed; marks that turn the reading direction; code points no XML may hold
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "|", "%", "＝", "＋", "－", "＠")


def harmless(value: str) -> str:
    """The text without characters that hide, reorder or break: controls, direction marks, lone surrogates."""
    return HIDDEN.sub("", value)


def defused(value: str) -> str:
    """Harmless text that no spreadsheet takes for a formula: an apostrophe stands before one that could be."""
    value = harmless(value)
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA_STARTS) else value


@cache
def words() -> dict[str, dict[str, str]]:
    """Every word of the map page: key -> language (`en`, `zh`) -> text."""
    return json.loads((files("illegalmining.maps") / "words.json").read_text("utf-8"))


def word(key: str, language: str, **values: Any) -> str:
    """One text of the map in one language, with `{name}` filled in."""
    return words()[key][language].format(**values)


@cache
def dossier_words() -> dict[str, dict[str, str]]:
    """What only the dossiers say, as `words`."""
    return json.loads((files("illegalmining.maps") / "dossier.json").read_text("utf-8"))


def say(key: str, language: str, **values: Any) -> str:
    """One text of the dossier in one language; what the map has a word for already is said with that."""
    return (dossier_words() if key in dossier_words() else words())[key][language].format(**values)
