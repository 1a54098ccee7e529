"""Fixtures every test may use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import illegalmining as im
from browser import DESK, FLAGS, Visit, complain
from illegalmining.simulate import PRESETS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))  # real data and scorers live there

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SMALL = {"size_m": 2400.0, "block_m": 1200.0, "optical_days": 15, "radar_days": 24, "insar_days": 24}
TINY = {"size_m": 1500.0, "block_m": 750.0, "optical_days": 40, "radar_days": 80, "insar_days": 64}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real measurements beside the checkout; tests that need them are skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data not found: ../shared/data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def small_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small simulated district's inputs; no test changes them."""
    folder = tmp_path_factory.mktemp("small") / "district"
    im.simulate_district(folder, replace(PRESETS["plateau"], **SMALL), seed=7)
    return folder


@pytest.fixture(scope="session")
def tiny_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny district's inputs, for runs again and again by one worker; no test changes it."""
    folder = tmp_path_factory.mktemp("tiny") / "district"
    im.simulate_district(folder, replace(PRESETS["plateau"], **TINY), seed=7)
    with (folder / "district.toml").open("a") as stream:
        stream.write("\n[compute]\nworkers = 1\n")
    return folder


@pytest.fixture(scope="session")
def small_night(small_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small district after one run; no test changes it."""
    folder = tmp_path_factory.mktemp("night") / "district"
    shutil.copytree(small_inputs, folder)
    im.nightly(im.read_district(folder / "district.toml"))
    return folder


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
