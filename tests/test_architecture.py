"""Data flows down the house and never back up: a module imports only from those above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "illegalmining"

# From the ground floor up to the commands; a module may import from its own floor and from those listed before it.
FLOORS = (
    ("errors", "secrets", "atomic"),
    ("contracts",),
    ("tables", "decisions"),
    ("district",),
    ("storage", "chunks", "journal", "compute", "lazy", "dictionary"),
    ("registers",),
    ("imagery",),
    ("power",),
    ("detect",),
    ("checkpoint",),
    ("monitoring",),
    ("cases",),
    ("hotspots", "coverage"),
    ("remarks",),
    ("raid",),
    ("publish",),
    ("simulate",),
    ("pipelines",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
PURE = ("detect", "hotspots", "coverage", "raid")
FORBIDDEN_IN_PURE = {"pathlib", "os", "io", "tempfile", "sqlite3", "duckdb", "pyogrio", "logging"}


def modules() -> list[Path]:
    return sorted([*SOURCE.rglob("*.py"), *(ROOT / "pipelines").glob("*.py")])


def floor_of(path: Path) -> str | None:
    if path.parent == ROOT / "pipelines":
        return "pipelines"
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return None if parts == ("__init__",) else parts[0]


def imported(path: Path) -> set[str]:
    """Full names of everything a module imports, inside functions too; type-only imports are left out."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    floor = floor_of(path)
    if floor is None:
        return
    assert floor in LEVEL, f"{floor} has no place in the house: add it to FLOORS where its data flow belongs"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "illegalmining" and len(parts) > 1 and parts[1] != "maps":
            assert LEVEL[parts[1]] <= LEVEL[floor], f"{path.name} ({floor}) imports from {parts[1]}, which lies later"


@pytest.mark.parametrize("path", [p for p in modules() if floor_of(p) in PURE], ids=lambda path: path.stem)
def test_detectors_and_statistics_are_pure(path: Path) -> None:
    """No paths, no files, no configuration: arrays and tables in, arrays and tables out."""
    names = imported(path)
    tops = {name.split(".")[0] for name in names}
    assert not tops & FORBIDDEN_IN_PURE, f"{path.name} does input or output: {sorted(tops & FORBIDDEN_IN_PURE)}"
    assert "illegalmining.district" not in names, f"{path.name} knows the configuration"
    assert "illegalmining.simulate" not in {".".join(name.split(".")[:2]) for name in names}


def test_no_module_outgrows_a_reader() -> None:
    long = {path.name: len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 430} == {}
