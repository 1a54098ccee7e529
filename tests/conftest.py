"""Fixtures every test may use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import DESK, FLAGS, Visit, complain

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real measurements beside the checkout; tests that need them are skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data not found: ../shared/data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a network, where the system lets one be cut off; skipped where there is no browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no browser found: install Debian's chromium to test the map page")
    cut = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    if cut:
        wrapper = tmp_path_factory.mktemp("browser") / "chromium"
        wrapper.write_text(f'#!/bin/sh\nexec unshare -rn {found} "$@"\n')
        wrapper.chmod(0o755)
        found = str(wrapper)
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Open a file; at the end nothing may have been asked of a network and nothing may have gone wrong."""
    visits: list[Visit] = []
    contexts = []

    def open_page(path: Path, viewport: dict[str, int] = DESK, ready: str = "html[data-ready]", **more: Any) -> Visit:
        context = chromium.new_context(viewport=viewport, **more)
        contexts.append(context)
        made = Visit(context.new_page())
        made.session = context.new_cdp_session(made.page)
        made.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        visits.append(made)
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.on("console", lambda message: complain(made, message.text))
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.goto(path.as_uri())
        made.page.wait_for_selector(ready, timeout=20_000)
        return made

    yield open_page
    for made in visits:
        assert [url for url in made.requests if not url.startswith(("file:", "data:"))] == []
        assert sum(url.startswith("file:") for url in made.requests) == 1
        assert made.complaints == []
    for context in contexts:
        context.close()
