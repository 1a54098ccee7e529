"""What the product is made of, from the hashed lock and what is installed: a list of parts, and known faults of theirs.

`python .ci/supply.py sbom` prints a CycloneDX list of parts. `python .ci/supply.py audit FILE...` compares the lock
with advisories in OSV's form (JSON, one or a list in a file, or a zip of such files, as osv.dev gives them away for
offline use); it ends with 1 where one applies. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from pins import LOCKED, ROOT, normal

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
PRODUCT = "illegalmining"


def parts() -> list[dict[str, Any]]:
    """Every package of the lock, whatever system it is for: name, version, marker, hashes of its files."""
    text = (ROOT / "requirements.lock").read_text()
    found = list(LOCKED.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    return [
        {
            "name": normal(one["name"]),
            "version": one["version"],
            "marker": (one["marker"] or "").strip(),
            "hashes": sorted(HASH.findall(text[one.start() : end])),
        }
        for one, end in zip(found, ends, strict=True)
    ]


def purl(part: dict[str, Any]) -> str:
    """A part's package URL."""
    return f"pkg:pypi/{part['name']}@{part['version']}"


def licence(name: str, version: str) -> list[dict[str, Any]]:
    """What a package says of its licence, where just this version is installed."""
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if told.get("Version") != version:
        return []
    if told.get("License-Expression"):
        return [{"expression": told.get("License-Expression")}]
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier") or [] if line.startswith("License")]
    words = (told.get("License") or "").strip().splitlines()
    names = classified or ([words[0]] if words and len(words[0]) < 80 else [])
    return [{"license": {"name": name}} for name in sorted(set(names))]


def needs(name: str) -> list[str]:
    """Names of the packages that an installed one needs here."""
    try:
        told = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    wanted = [Requirement(text) for text in told]
    here = {**default_environment(), "extra": ""}
    return sorted({normal(one.name) for one in wanted if one.marker is None or one.marker.evaluate(here)})


def sbom() -> dict[str, Any]:
    """The list of parts in CycloneDX 1.5; the same for the same lock and the same installation."""
    locked = parts()
    known = {part["name"]: purl(part) for part in locked}
    components = [
        {
            "type": "library",
            "bom-ref": f"{purl(part)}#{number}",
            "name": part["name"],
            "version": part["version"],
            "purl": purl(part),
            **({"licenses": licences} if (licences := licence(part["name"], part["version"])) else {}),
            "properties": [
                *([{"name": "lock:marker", "value": part["marker"]}] if part["marker"] else []),
                *({"name": "lock:sha256", "value": value} for value in part["hashes"]),
            ],
        }
        for number, part in enumerate(locked)
    ]
    refs = {one["purl"]: one["bom-ref"] for one in components}
    version = importlib.metadata.version(PRODUCT)
    dependencies = [
        {"ref": PRODUCT, "dependsOn": sorted(refs[known[name]] for name in needs(PRODUCT) if name in known)},
        *(
            {
                "ref": refs[known[name]],
                "dependsOn": sorted(refs[known[other]] for other in needs(name) if other in known),
            }
            for name in sorted(known)
        ),
    ]
    content = {"components": components, "dependencies": dependencies}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": PRODUCT, "name": PRODUCT, "version": version}},
        **content,
    }


def advisories(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Advisories in files: JSON, alone or in a list, or zips of them."""
    for path in paths:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".json"):
                        yield json.loads(archive.read(name))
            continue
        told = json.loads(path.read_text("utf-8"))
        yield from told if isinstance(told, list) else [told]


def applies(advisory: dict[str, Any], name: str, version: str) -> bool:
    """Whether an advisory is about this version of a package."""
    if advisory.get("withdrawn"):
        return False
    for affected in advisory.get("affected", ()):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI" or normal(package.get("name", "")) != name:
            continue
        if version in affected.get("versions", ()):
            return True
        if any(within(one["events"], version) for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"):
            return True
    return False


def within(events: list[dict[str, str]], version: str) -> bool:
    """Whether a version lies where a fault was introduced and not yet mended, as OSV orders events."""
    try:
        own, inside = Version(version), False
        for event in events:
            if "introduced" in event:
                inside |= event["introduced"] == "0" or own >= Version(event["introduced"])
            elif "fixed" in event:
                inside &= own < Version(event["fixed"])
            elif "last_affected" in event:
                inside &= own <= Version(event["last_affected"])
    except InvalidVersion:
        return True  # better a warning too many
    return inside


def audit(paths: list[Path]) -> list[str]:
    """A line for every advisory about a version in the lock."""
    locked = parts()
    return sorted(
        f"{part['name']} {part['version']}: {one['id']}: {one.get('summary', 'no summary')}"
        for one in advisories(paths)
        for part in locked
        if applies(one, part["name"], part["version"])
    )


def main(words: list[str]) -> int:
    """The command line."""
    if words[:1] == ["sbom"]:
        sys.stdout.write(json.dumps(sbom(), indent=1, ensure_ascii=False) + "\n")
        return 0
    if words[:1] != ["audit"] or len(words) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    found = audit([Path(word) for word in words[1:]])
    sys.stdout.write("\n".join([*found, f"{len(found)} advisories apply to the {len(parts())} parts of the lock\n"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
