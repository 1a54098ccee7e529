"""The lock, `environment.yml` and the declared dependencies say the same; nothing carries an address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PYTHON_311 = {"python_full_version": "3.11.9", "python_version": "3.11", "sys_platform": "linux"}
LOCKED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[.*?\])?==(?P<version>[^\s;\\]+)(\s*;\s*(?P<marker>[^\\]+))?", re.M)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_versions() -> dict[str, str]:
    """Name -> version of the lock's branch for Python 3.11 on Linux."""
    text = (ROOT / "requirements.lock").read_text()
    versions = {}
    for found in LOCKED.finditer(text):
        marker = found["marker"]
        if marker is None or Marker(marker.strip()).evaluate({**PYTHON_311, "platform_system": "Linux"}):
            versions[normal(found["name"])] = found["version"]
    return versions


def environment_versions() -> dict[str, str]:
    lines = (ROOT / "environment.yml").read_text().splitlines()
    pairs = [line.strip()[2:].split("==") for line in lines if "==" in line]
    return {normal(name): version for name, version in pairs}


def test_environment_mirrors_the_lock() -> None:
    assert environment_versions() == locked_versions()


def test_lock_covers_every_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = locked_versions()
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(locked[normal(requirement.name)]), f"the lock breaks {text}"


def test_lock_is_hashed_and_without_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = len(LOCKED.findall(text))
    assert entries > 100
    assert len(re.findall(r"==[^\n]*\\\n\s+--hash=sha256:", text)) == entries
    for name in ("requirements.lock", "environment.yml", "pyproject.toml", "Makefile"):
        assert not re.search(r"https?://|file://|--(extra-)?index-url|find-links [^-]", (ROOT / name).read_text()), name


if __name__ == "__main__":  # `make lock` writes environment.yml with the same reader that checks it
    pins = "".join(f"      - {name}=={version}\n" for name, version in sorted(locked_versions().items()))
    print(f"name: illegalmining\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n{pins}", end="")  # noqa: T201
