"""`plan.html` in a real browser with the network cut: legible in both languages on a desk and in a hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from browser import DESK, PHONE, Visit
from illegalmining.publish.raid_plan_page import publish_plan_page
from test_raid_plan import content

CJK = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_plan_page(content(), tmp_path_factory.mktemp("plan"))


def spoken(seen: Visit) -> str:
    """What is seen on the page, without the names of registers, which have no language."""
    return seen.page.evaluate(
        "[...document.querySelectorAll('[lang]')].filter((one) => one.offsetParent).map((one) => one.innerText).join()"
    )


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_it_speaks_one_language_at_a_time_and_says_which(
    plan: Path, visit: Callable[..., Visit], viewport: dict[str, int]
) -> None:
    seen = visit(plan, viewport, ready="section", has_touch=viewport is PHONE, is_mobile=viewport is PHONE)
    assert seen.page.get_attribute("html", "lang") == "zh-CN"
    assert seen.page.title().startswith("突击检查计划")
    assert CJK.search(spoken(seen))
    assert "Team" not in spoken(seen)
    seen.page.click("label[for=in-en]")
    assert seen.page.get_attribute("html", "lang") == "en"
    assert seen.page.title().startswith("Raid plan")
    assert "Team 1" in spoken(seen)
    assert not CJK.search(spoken(seen))
    seen.page.keyboard.press("ArrowLeft")
    assert seen.page.get_attribute("html", "lang") == "zh-CN"
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_its_maps_are_named_by_what_stands_under_them(plan: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(plan, ready="section")
    unnamed = seen.page.evaluate(
        """[...document.querySelectorAll('svg[role=img]')].filter((one) => {
        const by = document.getElementById(one.getAttribute('aria-labelledby'));
        return !by || !by.innerText.trim(); }).length"""
    )
    assert seen.page.locator("svg[role=img]").count() > 0
    assert unnamed == 0
