"""What detectors could not judge is said in both languages, with every number they give."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import pytest

from illegalmining.detect.findings import Remark
from illegalmining.remarks import SAID, worded

DETECT = Path(__file__).resolve().parents[1] / "src" / "illegalmining" / "detect"


def remarks_made() -> dict[str, set[str]]:
    """Key and fields of every remark the detectors' code makes."""
    made = {}
    for path in DETECT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Remark":
                key, values = node.args
                made[ast.literal_eval(key)] = {ast.literal_eval(name) for name in values.keys}
    return made


def test_every_remark_has_words_and_every_word_a_remark() -> None:
    assert set(SAID) == set(remarks_made())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_of_a_remark_is_told(language: str) -> None:
    for key, values in remarks_made().items():
        assert {field for _, field, _, _ in Formatter().parse(SAID[key][language]) if field} == values, key
        text = worded(Remark(key, dict.fromkeys(values, "7")), language)
        assert text.count("7") >= len(values)
        assert (language == "zh") == any(letter >= "\u4e00" for letter in text)
