"""Every notebook runs from its first cell to its last, holds what it claims, and draws plots that can be read."""

from __future__ import annotations

import ast
import runpy
import shutil
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))
HEADER = "# ---\n# jupyter:\n#   jupytext:\n#     formats: py:percent\n"


@pytest.fixture(scope="session")
def desk(small_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks' folder, which Jupyter works in, with a small `demo` where `make demo` writes it: beside it."""
    folder = tmp_path_factory.mktemp("desk") / "notebooks"
    folder.mkdir()
    shutil.copytree(small_night, folder.parent / "demo")
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_plots_can_be_read(path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setattr("tempfile.tempdir", str(desk))
    monkeypatch.setenv("ILLEGALMINING_PLAN_SEED", "1")  # whatever a notebook sets it to, it is put back
    mpl.use("Agg")
    plt.close("all")
    with plt.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("error", "Glyph .* missing", UserWarning)
        runpy.run_path(str(path))
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert figures
        for figure in figures:
            figure.canvas.draw()
            for ax in figure.axes:
                assert ax.get_ylabel(), f"an axis of {ax.get_title(loc='left')!r} has no label"
                assert ax.get_xlabel() or ax.get_label() == "<colorbar>"
            assert any(ax.get_title(loc="left") for ax in figure.axes)
    plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_one(path: Path) -> None:
    """Jupytext's percent format: a header, then cells, prose first; no cell longer than a screen."""
    text = path.read_text("utf-8")
    assert text.startswith(HEADER)
    cells = text.split("\n# %%")[1:]
    assert cells[0].startswith(" [markdown]\n# # ")
    for cell in cells:
        assert len(cell.splitlines()) <= 60
        if not cell.startswith(" [markdown]"):
            ast.parse(cell.partition("\n")[2])
    prose = sum(cell.startswith(" [markdown]") for cell in cells)
    assert prose >= len(cells) // 3, "a notebook teaches: code without words does not"
