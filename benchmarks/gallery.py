"""Pictures of a finished run's map for `maps/gallery/` and the README: `gallery.py out/<as_of>`."""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from illegalmining.publish.style import palette

GALLERY = Path(__file__).resolve().parents[1] / "maps" / "gallery"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
COLOURS = 160
MOST_BYTES = 300_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="a finished run's folder, out/<as_of>")
    parser.add_argument("--into", type=Path, default=GALLERY)
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    for name, shot in pictures(given.out.resolve()).items():
        print(f"{name}.png: {save(shot, given.into / f'{name}.png') / 1000:.0f} kB")


def pictures(out: Path) -> dict[str, bytes]:
    """Name -> picture of the map page, of the printed map, the plan and a dossier's evidence where the run has them."""
    shots: dict[str, bytes] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"])
        shots["map_en"] = opened(browser, out, DESK, "en").screenshot()
        shots["map_zh"] = opened(browser, out, DESK, "zh").screenshot()
        case = opened(browser, out, DESK, "en")
        case.click("#case-list button >> nth=0")
        shots["case_en"] = settled(case).screenshot()
        shots["phone_zh"] = opened(browser, out, PHONE, "zh").screenshot()
        if (out / "plan" / "plan.html").is_file():
            plan = browser.new_page(viewport=PHONE)
            plan.goto((out / "plan" / "plan.html").as_uri())
            plan.get_by_text("中文").click()
            shots["plan_zh"] = settled(plan).screenshot()
        browser.close()
    if (out / "hotspots.pdf").is_file():
        shots["print"] = sheet(out / "hotspots.pdf", 1)
    for path in sorted((out / "plan" / "dossiers").glob("*.pdf"))[:1]:
        shots["dossier"] = sheet(path, 4)
    return shots


def opened(browser: Any, out: Path, viewport: dict[str, int], language: str) -> Page:
    """The run's page in one language."""
    page = browser.new_page(viewport=viewport)
    page.goto((out / "hotspots.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    if not page.get_attribute("html", "lang").startswith(language):
        page.click("#language")
    return settled(page)


def settled(page: Page) -> Page:
    """The page once its pictures are drawn."""
    page.wait_for_timeout(400)
    return page


def sheet(path: Path, page: int) -> bytes:
    """A page of a PDF, as poppler draws it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["pdftoppm", "-png", "-r", "80", "-f", str(page), "-singlefile", str(path), f"{folder}/sheet"],
            check=True,
            timeout=120,
        )
        return Path(folder, "sheet.png").read_bytes()


def save(shot: bytes, path: Path) -> int:
    """Write a PNG of few colours, the map's own among them; returns its size, which a README can bear."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    reduced(picture).save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path}: {size} bytes; expected at most {MOST_BYTES}: lower COLOURS")
    return size


def reduced(picture: Image.Image) -> Image.Image:
    """The picture in few colours: those of the kinds are few pixels, so swatches of them are counted in."""
    own = [look["colour"] for look in palette()["kinds"].values()] + ["#a11d1d", "#0b5c8f", "#1c2733", "#ffffff"]
    strip = picture.height // 4
    grown = Image.new("RGB", (picture.width, picture.height + strip))
    grown.paste(picture, (0, 0))
    for at, colour in enumerate(own):
        left, right = (picture.width * edge // len(own) for edge in (at, at + 1))
        grown.paste(colour, (left, picture.height, right, picture.height + strip))
    few = grown.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    return few.crop((0, 0, picture.width, picture.height))


if __name__ == "__main__":
    main()
