"""The map page by number of cases: bytes, time to write, seconds until it can be used, and to move the slider.

Seconds by the clock, from the navigation until the page says that it is ready, with the machine's load beside them; and
as CPU time of the page's own thread, which other work on the machine does not lengthen. Medians of several openings.
Above what one page holds in full, also the tiles beside it: bytes, time to write, seconds until all of them are read.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from illegalmining.publish.casetiles import publish_tiles
from illegalmining.publish.content import MapContent
from illegalmining.publish.page import publish_page
from illegalmining.publish.sheet import publish_sheet
from sample_results import page_arguments

SIZES = (100, 1000, 5000, 30_000)
OPENINGS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"])
        for size in SIZES:
            print(json.dumps({"cases": size, **measured(Path(folder), browser, size)}), flush=True)


def measured(folder: Path, browser: Browser, size: int) -> dict[str, Any]:
    """What one page costs."""
    content = MapContent(**page_arguments("zh", size))
    begun = time.perf_counter()
    path = publish_page(folder / "hotspots.html", content)
    written = time.perf_counter()
    publish_sheet(folder / "hotspots.pdf", content)
    printed = time.perf_counter()
    tiles = publish_tiles(content.cases, folder)
    tiled = time.perf_counter()
    opened = [opening(path, browser, tiles) for _ in range(OPENINGS)]
    costs = {name: round(statistics.median(one[name] for one in opened), 2) for name in opened[0]}
    spread = sorted(one["ready_clock_s"] for one in opened)
    return {
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "write_s": round(written - begun, 1),
        "pdf_s": round(printed - written, 1),
        "tiles_megabytes": round(tiles[0].stat().st_size / 1e6, 2) if tiles else None,
        "tiles_write_s": round(tiled - printed, 1) if tiles else None,
        **costs,
        "ready_clock_s_from_to": [round(spread[0], 2), round(spread[-1], 2)],
        "cores": os.cpu_count(),
    }


def opening(path: Path, browser: Browser, tiles: list[Path]) -> dict[str, float]:
    """Seconds of one opening: until ready, to move the slider, to read the tiles; and the load meanwhile."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in found if one["name"] == "ThreadTime")

    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    ready = cpu()
    costs = {"ready_cpu_s": ready, "ready_clock_s": float(page.get_attribute("html", "data-ready")) / 1000}
    page.eval_on_selector("#time", "one => { one.value -= 120; one.dispatchEvent(new Event('input')); }")
    page.wait_for_timeout(500)
    costs["slider_cpu_s"] = cpu() - ready
    if tiles:
        begun = time.perf_counter()
        page.set_input_files("#tiles-file", tiles[0])
        page.wait_for_selector("#left-out", state="hidden", timeout=120_000)
        costs["tiles_read_clock_s"] = time.perf_counter() - begun
    page.close()
    return {**costs, "load": os.getloadavg()[0]}


if __name__ == "__main__":
    main()
