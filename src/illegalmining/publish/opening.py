"""Opening a package: nothing of it is written before every byte is known to be what the sender signed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyrage

from illegalmining.atomic import atomic_folder
from illegalmining.errors import InputError
from illegalmining.publish.accesslog import note
from illegalmining.publish.keys import PRIVATE, fingerprint, identity_of, signed_by
from illegalmining.publish.package import FORMAT, MANIFEST, PLAIN_NAME, SIGNATURE
from illegalmining.publish.text import harmless

LOG = "access.jsonl"
SEALED = b"age-encryption.org/v1"
ASK_AGAIN = "nothing was unpacked; ask the sender for it again"


class PackageError(InputError):
    """A package that must not be trusted: changed, cut short, of somebody else, or not yet to be opened."""


@dataclass(frozen=True)
class Opened:
    """A package that passed: its manifest, where its files lie, and whether its sender was known before."""

    manifest: dict[str, Any]
    folder: Path
    known_sender: bool


def open_package(
    path: Path,
    *,
    identity: str | None = None,
    sender: str | None = None,
    into: Path | None = None,
    today: date | None = None,
) -> Opened:
    """Verify a package and unpack it; every opening and every refusal is noted in `access.jsonl` (see `log_of`).

    Parameters
    ----------
    path: a sealed file, or a package's folder. identity: the recipient's age key or its file. sender: the public key
    the package must be signed with; None: the one known from before, or on the first package whichever it is. into: a
    new folder for the files; None: beside a sealed file under its name (a folder is verified where it lies).

    Raises
    ------
    PackageError
        The package is refused.
    """
    log = log_of(path)
    facts = {"package": path.name, "sha256": digest(path)}
    try:
        opened = examined(path, identity, sender, into, today or date.today(), log)
    except InputError as error:
        note(log, "refused", **facts, why=str(error))
        raise
    return opened


def examined(path: Path, identity: str | None, sender: str | None, into: Path | None, today: date, log: Path) -> Opened:
    """The checks in their order, then the note, then the files."""
    sealed = path.is_file()
    key, key_file = identity_of(identity) if identity else (None, None)
    files = unsealed(path, key) if sealed else laid_open(path)
    manifest = verified(files, path)
    mine = str(key.to_public()) if key else None
    for_me(manifest, mine, sealed, path)
    known = trusted(manifest, sender, key_file, path)
    begun(manifest, today, path)
    folder = into or (path.with_suffix("") if sealed else path)
    unpacks = folder.resolve() != path.resolve()
    if unpacks:
        free(folder, files)
    note(log, "opened", package=path.name, sha256=digest(path), recipient=manifest["recipient"]["code"],
         sender=fingerprint(manifest["sender"]), identity=mine)  # fmt: skip
    if key_file and not known:
        remember(manifest, key_file)
    if unpacks:
        unpack(files, folder)
    return Opened(manifest, folder, known)


def log_of(path: Path) -> Path:
    """Where openings are noted: in the district's state where the package lies in its results, else beside it."""
    root = district_of(path)
    return root / "state" / LOG if root else path.resolve().parent / LOG


def district_of(path: Path) -> Path | None:
    """The district in whose `out/<as_of>/packages/` the package lies; None where it lies elsewhere."""
    parents = path.resolve().parents
    inside = len(parents) > 3 and (parents[0].name, parents[2].name) == ("packages", "out")
    return parents[3] if inside and (parents[3] / "state" / "keys").is_dir() else None


def digest(path: Path) -> str | None:
    """SHA-256 of a sealed file, or of a folder's manifest; None where there is none."""
    target = path / MANIFEST if path.is_dir() else path
    return hashlib.sha256(target.read_bytes()).hexdigest() if target.is_file() else None


def unsealed(path: Path, key: pyrage.x25519.Identity | None) -> dict[str, bytes]:
    """The files of a sealed package."""
    content = path.read_bytes()
    if not content.startswith(SEALED):
        raise PackageError(f"{path}: not a sealed package; expected a file that `illegalmining package` wrote (.age)")
    if key is None:
        raise PackageError(f"{path}: is sealed; give the key it was sealed for: --identity KEYFILE")
    try:
        archive = pyrage.decrypt(content, [key])
    except pyrage.DecryptError as error:
        why = "sealed for another key" if "No matching keys" in str(error) else f"changed or cut short ({error})"
        raise PackageError(f"{path}: {why}; {ASK_AGAIN}, and check that this is your key") from error
    return members(archive, path)


def members(archive: bytes, path: Path) -> dict[str, bytes]:
    """The files of a tar, of which none may lie anywhere but in the package's own folder."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            for member in opened:
                if not member.isreg() or not PLAIN_NAME.fullmatch(member.name) or member.name in files:
                    raise PackageError(
                        f"{path}: holds {harmless(member.name)[:80]!r}, which is no plain file; {ASK_AGAIN}"
                    )
                stream = opened.extractfile(member)
                files[member.name] = stream.read() if stream else b""
    except tarfile.TarError as error:
        raise PackageError(f"{path}: cut short or no package ({error}); {ASK_AGAIN}") from error
    return files


def laid_open(path: Path) -> dict[str, bytes]:
    """The files of a package's folder."""
    if not path.is_dir():
        raise PackageError(f"{path}: no such package; expected a folder of `packages/`, or a file that ends in .age")
    files: dict[str, bytes] = {}
    for found in sorted(path.iterdir()):
        if found.is_symlink() or not found.is_file() or not PLAIN_NAME.fullmatch(found.name):
            raise PackageError(f"{path}: holds {harmless(found.name)[:80]!r}, which is no plain file; {ASK_AGAIN}")
        files[found.name] = found.read_bytes()
    return files


def verified(files: dict[str, bytes], path: Path) -> dict[str, Any]:
    """The manifest, after its signature and every file it names were found right, and no file that it does not name."""
    missing = sorted({MANIFEST, SIGNATURE} - set(files))
    if missing:
        raise PackageError(f"{path}: {' and '.join(missing)} missing; {ASK_AGAIN}")
    manifest = readable(files[MANIFEST], path)
    signature = files[SIGNATURE].decode("ascii", "replace").strip()
    if not signed_by(str(manifest["sender"]), files[MANIFEST], signature):
        raise PackageError(f"{path}: the manifest was changed: its signature does not hold; {ASK_AGAIN}")
    listed = manifest["files"]
    found = set(files) - {MANIFEST, SIGNATURE}
    odd = sorted(found ^ set(listed))
    if odd:
        raise PackageError(f"{path}: {', '.join(map(ascii, odd[:5]))} missing or not in the manifest; {ASK_AGAIN}")
    for name in sorted(listed):
        right = listed[name]["bytes"] == len(files[name])
        if not right or listed[name]["sha256"] != hashlib.sha256(files[name]).hexdigest():
            raise PackageError(f"{path}: {name} was changed or cut short; {ASK_AGAIN}")
    return manifest


def readable(content: bytes, path: Path) -> dict[str, Any]:
    """The manifest as a mapping of the expected form."""
    try:
        manifest = json.loads(content)
        right = manifest["format"] == FORMAT
        texts = [manifest["sender"], manifest["district"], manifest["as_of"], manifest["recipient"]["code"]]
        texts += [one["sha256"] for one in manifest["files"].values()]
        numbers = [manifest["cases"], *(one["bytes"] for one in manifest["files"].values())]
        right &= all(isinstance(one, str) for one in texts) and all(isinstance(one, int) for one in numbers)
        right &= isinstance(manifest["recipient"]["public_key"], str | None)
        if manifest["not_before"] is not None:
            date.fromisoformat(manifest["not_before"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackageError(f"{path}: {MANIFEST} cannot be read ({type(error).__name__}); {ASK_AGAIN}") from error
    if not right:
        raise PackageError(f"{path}: {MANIFEST} is not of format {FORMAT}; open it with the version that wrote it")
    return manifest


def for_me(manifest: dict[str, Any], mine: str | None, sealed: bool, path: Path) -> None:
    """Refuse what was made for somebody else, even where the key happens to open it."""
    wanted = manifest["recipient"]["public_key"]
    if (sealed or mine) and wanted != mine:
        code = harmless(str(manifest["recipient"]["code"]))
        raise PackageError(f"{path}: was made for recipient {code}, who has another key; {ASK_AGAIN}")


def begun(manifest: dict[str, Any], today: date, path: Path) -> None:
    """Refuse before the day the sender has set."""
    first = manifest["not_before"]
    if first is not None and today < date.fromisoformat(first):
        raise PackageError(f"{path}: may not be opened before {first}; today is {today}: open it then")


def trusted(manifest: dict[str, Any], sender: str | None, key_file: Path | None, path: Path) -> bool:
    """Whether the sender was known before; refuse one who is not the one expected.

    Known is whoever the caller names, the district in whose `out/` the package lies, or who sent this district's first
    package that was opened with this key (`<key file>.senders`).
    """
    found = manifest["sender"]
    expected = sender_named(sender) or sender_beside(path) or remembered(manifest, key_file)
    if expected is None:
        return False
    if expected != found:
        raise PackageError(
            f"{path}: foreign: signed by {fingerprint(found)}, expected {fingerprint(expected)}; nothing was unpacked. "
            "If the sender says by telephone that the key is new, name it: --sender KEY"
        )
    return True


def sender_named(sender: str | None) -> str | None:
    """A public key from its text or from a file that holds it."""
    if sender is None:
        return None
    return Path(sender).read_text("utf-8").strip() if Path(sender).is_file() else sender.strip()


def sender_beside(path: Path) -> str | None:
    """The public key of the district in whose results the package lies (`out/<as_of>/packages/`)."""
    root = district_of(path)
    return None if root is None else (root / "state" / "keys" / "signing.pub").read_text("utf-8").strip()


def senders_file(key_file: Path) -> Path:
    """Where the senders are remembered whose packages this key has opened."""
    return key_file.with_name(f"{key_file.name}.senders")


def remembered(manifest: dict[str, Any], key_file: Path | None) -> str | None:
    """The sender of this district's first package."""
    if key_file is None or not (known := senders_file(key_file)).is_file():
        return None
    return json.loads(known.read_text("utf-8")).get(manifest["district"])


def remember(manifest: dict[str, Any], key_file: Path) -> None:
    """Keep a sender for the next package."""
    path = senders_file(key_file)
    senders = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    senders[manifest["district"]] = manifest["sender"]
    path.write_text(json.dumps(senders, ensure_ascii=False, indent=1) + "\n", "utf-8")
    path.chmod(PRIVATE)


def free(folder: Path, files: dict[str, bytes]) -> None:
    """Refuse to unpack over anything but the same package."""
    if not folder.exists():
        return
    same = folder.is_dir() and all((folder / name).is_file() for name in files)
    same = same and all((folder / name).read_bytes() == content for name, content in files.items())
    if not same and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already and is not this package; name another folder: --into DIR")


def unpack(files: dict[str, bytes], folder: Path) -> None:
    """The files into their folder, all or none, for their owner's eyes."""
    with atomic_folder(folder) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
            (partial / name).chmod(PRIVATE)
