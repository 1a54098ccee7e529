"""The map page by number of cases: bytes, time to write, CPU time of its thread until ready, and to move the slider.

CPU time and not the clock, so that other work on the machine does not count; on an idle one the two are alike.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from illegalmining.publish.content import MapContent
from illegalmining.publish.page import publish_page
from illegalmining.publish.sheet import publish_sheet
from sample_results import page_arguments

SIZES = (100, 1000, 5000, 30_000)


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
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu() -> float:
        return next(
            one["value"] for one in session.send("Performance.getMetrics")["metrics"] if one["name"] == "ThreadTime"
        )

    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    ready, clock = cpu(), page.evaluate("performance.now()") / 1000
    page.eval_on_selector("#time", "one => { one.value -= 120; one.dispatchEvent(new Event('input')); }")
    page.wait_for_timeout(500)
    filtered = cpu() - ready
    page.close()
    return {
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "write_s": round(written - begun, 1),
        "pdf_s": round(printed - written, 1),
        "ready_cpu_s": round(ready, 2),
        "ready_clock_s": round(clock, 2),
        "slider_cpu_s": round(filtered, 2),
    }


if __name__ == "__main__":
    main()
