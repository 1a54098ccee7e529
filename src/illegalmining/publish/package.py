"""A package: one jurisdiction's maps and tables, a signed manifest of them, and all of it sealed for one recipient."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from illegalmining.errors import InputError
from illegalmining.publish.casetiles import publish_tiles
from illegalmining.publish.content import MapContent
from illegalmining.publish.keys import PRIVATE, recipient_of, sender_of, sign, write_private
from illegalmining.publish.page import publish_page
from illegalmining.publish.sheet import publish_sheet
from illegalmining.publish.spreadsheet import csv_bytes, flat
from illegalmining.publish.tables import write_layers
from illegalmining.publish.text import harmless

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
# A name that is one file in one folder on every system: no separators, no leading dot or dash.
PLAIN_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class Recipient:
    """Who receives a package.

    code: jurisdiction. public_key: age key it is sealed to, None: it is not sealed. not_before: the first day on which
    it may be opened, None: at once.
    """

    code: str
    name: str
    public_key: str | None = None
    not_before: date | None = None


def plain_name(code: str) -> str:
    """A jurisdiction's code as the name of its folder.

    Raises
    ------
    InputError
        It could mean another place than one folder.
    """
    if not PLAIN_NAME.fullmatch(code) or code.endswith("."):
        raise InputError(
            f"code {harmless(code)[:80]!r} cannot name a folder; expected at most 64 letters, digits, '_', '-' "
            "and '.': correct it in the registers of jurisdictions and recipients"
        )
    return code


def write_package(folder: Path, content: MapContent, recipient: Recipient, key: Ed25519PrivateKey) -> Path:
    """Write one jurisdiction's files and their signed manifest into a new folder; only its owner may read them."""
    folder.mkdir(mode=0o700)
    publish_page(folder / "hotspots.html", content)
    publish_sheet(folder / "hotspots.pdf", content)
    write_layers(folder / "hotspots.gpkg", {"cases": content.cases, "hotspots": content.hotspots})
    (folder / "cases.csv").write_bytes(csv_bytes(flat(content.cases)))
    publish_tiles(content.cases, folder)
    manifest = manifest_bytes(folder, content, recipient, sender_of(key))
    (folder / MANIFEST).write_bytes(manifest)
    (folder / SIGNATURE).write_text(sign(key, manifest) + "\n", "ascii")
    for path in folder.iterdir():
        path.chmod(PRIVATE)
    return folder


def manifest_bytes(folder: Path, content: MapContent, recipient: Recipient, sender: str) -> bytes:
    """What the package holds, for whom and from whom."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "district": content.district_name,
        "part": content.part,
        "as_of": content.as_of.isoformat(),
        "version": content.run.get("version", ""),
        "recipient": {"code": recipient.code, "name": recipient.name, "public_key": recipient.public_key},
        "not_before": recipient.not_before.isoformat() if recipient.not_before else None,
        "sender": sender,
        "cases": len(content.cases),
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in sorted(folder.iterdir())
        },
    }
    return json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def seal(folder: Path, public_key: str) -> Path:
    """One file beside the folder that only the recipient can open: its files as a tar, encrypted with age."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = len(content), PRIVATE
            archive.addfile(member, io.BytesIO(content))
    sealed = folder.parent / f"{folder.name}.age"
    write_private(sealed, pyrage.encrypt(stream.getvalue(), [recipient_of(public_key)]))
    return sealed
