"""An open page, and everything it asked for or complained of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Visit:
    """An open page and everything it asked for or complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    session: Any = None

    def seconds(self) -> float:
        """CPU time of the page's own thread so far: what a clock would show on a machine that does nothing else."""
        found = self.session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in found if one["name"] == "ThreadTime")

    def count(self) -> str:
        return self.page.inner_text("#count")

    def ids(self) -> list[str]:
        return self.page.eval_on_selector_all("#case-list button", "all => all.map(one => one.dataset.case)")


def complain(made: Visit, text: str) -> None:
    """Note what the console says, save that this test reads the canvas back."""
    if "getImageData" not in text:
        made.complaints.append(text)
