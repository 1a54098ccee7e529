"""What the product is made of is listed and can be checked, and a run speaks to nobody it was not told to."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import supply
from illegalmining.district import read_district
from wide_district import FEW, write_wide

RUN = [sys.executable, "-m", "illegalmining", "run"]


def test_the_list_of_parts_is_valid_whole_and_the_same_again() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    made = supply.sbom()
    text = json.dumps(made)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    assert json.dumps(supply.sbom()) == text
    locked = supply.parts()
    assert [(one["name"], one["version"]) for one in made["components"]] == [
        (part["name"], part["version"]) for part in locked
    ]
    assert all(len(part["hashes"]) > 0 for part in locked)
    refs = {one["bom-ref"] for one in made["components"]} | {supply.PRODUCT}
    assert len(refs) == len(locked) + 1
    assert {ref for one in made["dependencies"] for ref in (one["ref"], *one["dependsOn"])} <= refs
    own = next(one for one in made["dependencies"] if one["ref"] == supply.PRODUCT)
    assert len(own["dependsOn"]) > 30
    told = [one for one in made["components"] if "licenses" in one]
    assert len(told) > 0.8 * len(locked)


def advisory(name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}]
    return {"id": f"TEST-{name}", "summary": "bad", "affected": affected, **more}


@pytest.mark.parametrize(
    ("one", "hit"),
    [
        (advisory("Some_Part", {"introduced": "0"}), True),
        (advisory("some-part", {"introduced": "0"}, {"fixed": "1.2.0"}), False),
        (advisory("some-part", {"introduced": "0"}, {"fixed": "1.2.1"}), True),
        (advisory("some-part", {"introduced": "1.3"}), False),
        (advisory("some-part", {"introduced": "1.0"}, {"last_affected": "1.2.0"}), True),
        (advisory("some-part", {"introduced": "0"}, {"fixed": "1"}, {"introduced": "1.1"}), True),
        (advisory("some-part", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), False),
        (advisory("another", {"introduced": "0"}), False),
    ],
)
def test_an_advisory_applies_to_the_versions_it_names(one: dict[str, Any], hit: bool) -> None:
    assert supply.applies(one, "some-part", "1.2.0") is hit


def test_an_audit_reads_files_and_zips_and_says_what_applies(tmp_path: Path, capsys) -> None:
    name, version = supply.parts()[0]["name"], supply.parts()[0]["version"]
    bad = advisory(name, {"introduced": "0"}, {"last_affected": version})
    (tmp_path / "one.json").write_text(json.dumps(bad))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.json", json.dumps({**bad, "id": "ZIPPED"}))
        archive.writestr("b.json", json.dumps(advisory("never-heard-of", {"introduced": "0"})))
    assert supply.main(["audit", str(tmp_path / "one.json"), str(tmp_path / "all.zip")]) == 1
    said = capsys.readouterr().out
    assert f"{name} {version}: TEST-{name}: bad" in said
    assert "ZIPPED" in said
    assert "2 advisories apply" in said
    (tmp_path / "none.json").write_text("[]")
    assert supply.main(["audit", str(tmp_path / "none.json")]) == 0


# --- the network -------------------------------------------------------------------------------------------------

SPY = """
import os, socket, sys
proper = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX:
        with open(os.environ["SPIED"], "a") as told:
            told.write(f"{address}\\n")
    return proper(self, address)
socket.socket.connect = connect
socket.getaddrinfo = lambda *a, **k: connect_name(a)
def connect_name(a):
    with open(os.environ["SPIED"], "a") as told:
        told.write(f"{a}\\n")
    raise OSError("no names here")
"""


@pytest.fixture
def district(tmp_path: Path) -> Path:
    return write_wide(tmp_path / "d", 128, date(2026, 5, 31), 25, FEW)


def results(path: Path) -> dict[str, str]:
    out = read_district(path).out
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.iterdir())
        if file.is_file() and file.name != "run.json"
    }


def test_a_run_asks_nobody(district: Path, tmp_path: Path) -> None:
    """Every connection and every name looked up is written down: there is none."""
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    spied = tmp_path / "spied.txt"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "spy"), "SPIED": str(spied)}
    done = subprocess.run([*RUN, str(district), "--quiet"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not spied.exists(), spied.read_text()
    probe = [
        sys.executable,
        "-c",
        "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: ...",
    ]
    subprocess.run(probe, env=environment, check=True)
    assert spied.exists(), "the spy sleeps"


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0,
    reason="no network namespace can be made here",
)
def test_a_run_without_any_network_gives_the_same_bytes(district: Path, tmp_path: Path) -> None:
    shutil.copytree(district.parent, tmp_path / "cut")
    for path, before in ((district, []), (tmp_path / "cut" / "district.toml", ["unshare", "-n"])):
        done = subprocess.run([*before, *RUN, str(path), "--quiet"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert results(district) == results(tmp_path / "cut" / "district.toml")
