"""What `evaluate.py` computes, one task at a time, each kept as JSON so that a run that was killed goes on.

A task's result is kept under the digest of its name, its arguments and all code it may run through: change what the
library does, and the next run computes again; change a comment, and it does not.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "accuracy"
LIBRARY = ("src", "pipelines")


@dataclass(frozen=True)
class Task:
    """Something to compute. what: a name in `WORK`. arguments: plain values."""

    what: str
    arguments: tuple[Any, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules beside this one that its result depends on."""
        return WORK[self.what][1]

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        digest = hashlib.sha256(json.dumps([self.what, self.arguments, code_digest(self.modules)]).encode())
        return CACHE / f"{self.what}-{digest.hexdigest()[:24]}.json"


_digests: dict[tuple[str, ...], str] = {}


def code_digest(modules: tuple[str, ...]) -> str:
    """A digest of the library's code and of the named modules of benchmarks."""
    if modules not in _digests:
        files = sorted(path for folder in LIBRARY for path in (ROOT / folder).rglob("*.py"))
        files += [ROOT / "benchmarks" / f"{name}.py" for name in modules]
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.relative_to(ROOT).as_posix().encode() + meaning(path).encode())
        _digests[modules] = digest.hexdigest()
    return _digests[modules]


def meaning(path: Path) -> str:
    """What a module does, whatever it says of it: its syntax tree without words for readers."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def is_text(line: ast.AST) -> bool:
    """Whether a statement is a string and nothing else."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def result(task: Task) -> dict[str, Any]:
    """A task's result, from the cache where it is there: {"seconds": ..., "value": ...}."""
    if task.path.is_file():
        return dict(json.loads(task.path.read_text("utf-8")))
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        value = WORK[task.what][0](*task.arguments)
    done = {"seconds": round(time.perf_counter() - begun, 1), "value": value}
    keep(task.path, json.dumps(done, default=plain))
    return dict(json.loads(task.path.read_text("utf-8")))


def keep(path: Path, text: str) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, path)


def plain(value: Any) -> Any:
    """NumPy's numbers and dates as JSON has them."""
    return value.item() if hasattr(value, "item") else str(value)


def district(climate: str, seed: int) -> dict[str, Any]:
    from accuracy_district import judged_district

    return judged_district(climate, seed)


def training(climate: str, seed: int) -> dict[str, Any]:
    from accuracy_district import training_district

    return training_district(climate, seed)


def ground(preset: str, seed: int) -> dict[str, Any]:
    """The scenes of `bench_surface_quality`."""
    from bench_surface_quality import SIDE_M, run
    from illegalmining.simulate import PRESETS

    _, _, by_sensor, _ = run(preset, seed, None)
    span = (PRESETS[preset].as_of - PRESETS[preset].monitor_from).days / 365.25
    told = {
        sensor: {"pits": pits, "false": [{"what": one["what"]} for one in false]}
        for sensor, (pits, false) in by_sensor.items()
    }
    return {"exposure": SIDE_M**2 / 1e8 * span, "by_sensor": told}


def movement(seed: int) -> dict[str, Any]:
    """The scenes of `bench_subsidence_quality`."""
    from bench_subsidence_quality import Tally, one

    tally = Tally()
    one(seed, tally)
    return asdict(tally)


def working(scene: str, first: int, count: int) -> dict[str, Any]:
    """The working mines of `bench_power_quality`."""
    from bench_power_quality import SCENES
    from bench_power_quality import working as worked

    return worked(SCENES[scene], range(first, first + count))


def quiet(first: int, count: int) -> dict[str, Any]:
    """The quiet mines of `bench_power_quality`."""
    from bench_power_quality import quiet as called

    hits, whole = called(range(first, first + count))
    return {"called": hits, "mines": whole}


def real(name: str) -> list[dict[str, Any]]:
    from accuracy_real import MEASURED

    return MEASURED[name]()


def peers(interpreter: str) -> list[dict[str, Any]]:
    from accuracy_peers import measured

    return measured(interpreter)


WORK: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "district": (district, ("accuracy_district", "accuracy_baselines")),
    "training": (training, ("accuracy_district", "accuracy_baselines")),
    "ground": (ground, ("bench_surface_quality",)),
    "movement": (movement, ("bench_subsidence_quality",)),
    "working": (working, ("bench_power_quality",)),
    "quiet": (quiet, ("bench_power_quality",)),
    "peers": (peers, ("accuracy_peers", "peer_alarms", "real_data")),
    "real": (real, ("accuracy_real", "real_data", "accuracy_baselines", "bench_power_states")),
}
