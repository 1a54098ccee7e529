"""The versions that `requirements.lock` pins; `python .ci/pins.py` prints them as `environment.yml` has them."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
PYTHON_311 = {"python_full_version": "3.11.9", "python_version": "3.11", "sys_platform": "linux"}
LOCKED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[.*?\])?==(?P<version>[^\s;\\]+)(\s*;\s*(?P<marker>[^\\]+))?", re.M)


def normal(name: str) -> str:
    """A package's name as registries compare names."""
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


if __name__ == "__main__":
    pins = "".join(f"      - {name}=={version}\n" for name, version in sorted(locked_versions().items()))
    print(f"name: illegalmining\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n{pins}", end="")
