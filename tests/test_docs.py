"""The documentation says what the code does: the site builds without a warning, and what it names exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from illegalmining.cli import app
from illegalmining.district import Configuration

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
COMMAND = re.compile(r"(?<![\w/.-])illegalmining +(?!--)([a-z_]+)((?: [^\n`|#]*)?)")
LITERAL = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w-]+\.(?:csv|json|jsonl|gpkg|gpx|html|kml|parquet|pdf|sig|sqlite|svg|tif|webp|xlsx)")
FETCHING = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)", re.I)
GROUP = typer.main.get_command(app)


def site(into: Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """MkDocs on the sources, warnings as errors."""
    # never --quiet: it silences warnings before they are counted, and nothing would fail
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site."""
    into = tmp_path_factory.mktemp("site")
    done = site(into)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


def test_the_site_builds_and_fetches_nothing(built: Path) -> None:
    pages = list(built.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        assert not FETCHING.findall(page.read_text("utf-8")), page.name
    styles = "".join(path.read_text("utf-8") for path in built.rglob("*.css"))
    assert not re.findall(r"url\(\"?https?:|@import", styles)


def test_formulas_become_mathml(built: Path) -> None:
    counted = 0
    for page in (path for path in PAGES if "$$" in path.read_text("utf-8")):
        told = (built / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text("utf-8")
        formulas = page.read_text("utf-8").count("$$") // 2
        assert told.count("<math ") == formulas, page.name
        assert not re.search(r"arithmatex|\\frac|\\text|\\\(", told), page.name
        counted += formulas
    assert counted >= 20


def test_what_a_page_loads_is_there(built: Path) -> None:
    """The shim that lets the search run on opened files is named by a path that each page can follow."""
    for page in (built / "index.html", built / "method" / "power.html"):
        loaded = re.findall(r"<script src=\"?([^\"> ]+)", page.read_text("utf-8"))
        assert any("iframe-worker" in name for name in loaded)
        for name in loaded:
            assert (page.parent / name).resolve().is_file(), f"{page.name}: {name}"


def test_pages_made_from_the_code_hold_it(built: Path) -> None:
    """A sample of what only the code knows; were the pages empty, the build would still succeed."""
    commands = (built / "reference" / "commands.html").read_text("utf-8")
    assert all(f'id="{name}"' in commands for name in GROUP.commands)
    assert "--audit-share" in commands
    keys = (built / "reference" / "configuration.html").read_text("utf-8")
    assert "answer_days" in keys
    assert "former_names" in (built / "reference" / "dictionary.html").read_text("utf-8")
    surface = (built / "method" / "surface.html").read_text("utf-8")
    assert "contrast" in surface
    assert "<!-- parameters" not in surface


def test_a_broken_link_breaks_the_build(tmp_path: Path) -> None:
    for name in ("docs", "maps"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("method", "how", "__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    page = tmp_path / "docs" / "tutorial.md"
    page.write_text(page.read_text("utf-8") + "\n[nowhere](no-such-page.md)\n", "utf-8")
    done = site(tmp_path / "site", tmp_path)
    assert done.returncode != 0
    assert re.search(r"WARNING.*no-such-page\.md", done.stdout + done.stderr)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_commands_named_exist_with_their_options(page: Path) -> None:
    for name, rest in COMMAND.findall(page.read_text("utf-8")):
        if name in ("import", "as"):  # Python's own words beside the package's name
            continue
        assert name in GROUP.commands, f"{page.name}: illegalmining {name}"
        known = {opt for one in GROUP.commands[name].params for opt in (*one.opts, *one.secondary_opts)}
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in known | {"--help"}, f"{page.name}: illegalmining {name} {option}"


def snippets(page: Path) -> Iterator[str]:
    """Pieces of TOML on a page."""
    yield from re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S)


@pytest.mark.parametrize("page", [page for page in PAGES if "```toml" in page.read_text("utf-8")], ids=lambda p: p.name)
def test_configuration_keys_named_exist(page: Path) -> None:
    for text in snippets(page):
        for name, given in tomllib.loads(text).items():
            section = Configuration.model_fields[name]
            kind = next(part for part in parts(section.annotation) if hasattr(part, "model_fields"))
            for one in given if isinstance(given, list) else [given]:
                assert set(one) <= set(kind.model_fields), f"{page.name}: [{name}] {sorted(one)}"


def parts(annotation: object) -> Iterator[object]:
    """A type and all that it is made of."""
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from parts(part)


def test_whole_examples_are_valid_configurations() -> None:
    whole = [text for page in PAGES for text in snippets(page) if "[district]" in text]
    assert whole
    for text in whole:
        Configuration.model_validate(tomllib.loads(text))


def test_files_named_in_the_contract_are_written_by_the_code() -> None:
    code = "".join(path.read_text("utf-8") for folder in ("src", "pipelines") for path in (ROOT / folder).rglob("*.py"))
    named = LITERAL.findall((ROOT / "docs" / "reference" / "outputs.md").read_text("utf-8"))
    files = {name for literal in named for name in FILE.findall(literal)}
    assert len(files) > 25
    missing = [name for name in files if name not in code and not in_parts(name, code)]
    assert not missing


def in_parts(name: str, code: str) -> bool:
    """Whether the code writes a file whose name it puts together: a table named by its key, a layer by its register."""
    stem, _, suffix = name.rpartition(".")
    return f'"{stem}"' in code and f".{suffix}" in code


def test_a_finished_run_leaves_nothing_the_contract_does_not_name() -> None:
    """Every file that publishing writes beside the cases is named."""
    told = (ROOT / "docs" / "reference" / "outputs.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (ROOT / "src/illegalmining/publish").rglob("*.py"))
    code += (ROOT / "pipelines" / "publish.py").read_text("utf-8")
    written = {name for place in re.findall(r"out / \"([^\"]+)\"", code) for name in FILE.findall(place)}
    assert {"cases.csv", "run.json", "quarantine.csv"} <= written
    assert not [name for name in written if f"`{name}`" not in told]
