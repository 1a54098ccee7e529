"""The lock, `environment.yml` and the declared dependencies say the same; nothing carries an address."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement

from pins import LOCKED, ROOT, locked_versions, normal


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
