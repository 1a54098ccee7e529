"""Keys: the office's own, with which packages are signed, and the recipients', to which they are encrypted."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from illegalmining.atomic import PRIVATE, PRIVATE_FOLDER, atomic_file
from illegalmining.errors import ConfigurationError, InputError

SENDER_PREFIX = "ed25519:"
IDENTITY_PREFIX = "AGE-SECRET-KEY-1"
# What a signature is for, so that nothing signed for another purpose can pass for a manifest.
CONTEXT = b"illegalmining package 1\n"


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The district's signing key, made on first use; only its owner may read it.

    Raises
    ------
    InputError
        The file is not such a key, or others may read it.
    """
    path = folder / "signing.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        key = Ed25519PrivateKey.generate()
        write_private(path, base64.b64encode(key.private_bytes_raw()) + b"\n")
        write_private(folder / "signing.pub", f"{sender_of(key)}\n".encode())
        return key
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"{path}: others may read the signing key; expected mode 600: chmod 600 it, or make a new one")
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes(), validate=False))
    except ValueError as error:
        raise InputError(
            f"{path}: not a signing key ({error}); restore it from a backup, or remove it: a new one is made, and "
            "recipients must be told its fingerprint"
        ) from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at no moment otherwise."""
    with atomic_file(path) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)


def sender_of(key: Ed25519PrivateKey) -> str:
    """The public key as text: what recipients know the office by."""
    return SENDER_PREFIX + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def fingerprint(sender: str) -> str:
    """A short form of a public key, for reading out on the telephone."""
    digest = hashlib.sha256(sender.encode()).hexdigest()[:20]
    return " ".join(digest[at : at + 4] for at in range(0, 20, 4))


def sign(key: Ed25519PrivateKey, manifest: bytes) -> str:
    """The signature of a manifest, base64."""
    return base64.b64encode(key.sign(CONTEXT + manifest)).decode()


def signed_by(sender: str, manifest: bytes, signature: str) -> bool:
    """Whether the manifest was signed with the key of this sender."""
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(sender.removeprefix(SENDER_PREFIX), validate=True))
        public.verify(base64.b64decode(signature, validate=True), CONTEXT + manifest)
    except (InvalidSignature, ValueError):
        return False
    return sender.startswith(SENDER_PREFIX)


def new_identity(path: Path) -> str:
    """Make a recipient's key, its private half in a new file that only its owner may read; returns the public half.

    Raises
    ------
    InputError
        Something lies there already: a lost key cannot be made again.
    """
    if path.exists():
        raise InputError(f"{path}: exists already and is not overwritten; choose another name for the new key")
    key = pyrage.x25519.Identity.generate()
    write_private(path, f"# public key: {key.to_public()}\n{key}\n".encode())
    return str(key.to_public())


def recipient_of(public_key: str) -> pyrage.x25519.Recipient:
    """A recipient's age key from its text.

    Raises
    ------
    InputError
        It is not an age public key.
    """
    try:
        return pyrage.x25519.Recipient.from_str(public_key.strip())
    except pyrage.RecipientError as error:
        raise InputError(
            f"public_key {public_key[:80]!r} is not an age public key; expected age1… (62 characters): let the "
            "recipient make one with `illegalmining key FILE` or age-keygen and send its public half"
        ) from error


def identity_of(given: str) -> tuple[pyrage.x25519.Identity, Path | None]:
    """A recipient's private key, from a file as `new_identity` writes it or from the key itself, and that file.

    Raises
    ------
    ConfigurationError
        There is no such file, or no such key in it.
    """
    path = None if given.startswith(IDENTITY_PREFIX) else Path(given)
    try:
        lines = given.splitlines() if path is None else path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--identity {given}: cannot be read ({error}); give the file that `illegalmining key` wrote"
        ) from error
    keys = [line.strip() for line in lines if line.strip().startswith(IDENTITY_PREFIX)]
    if len(keys) != 1:
        raise ConfigurationError(f"--identity: expected one line {IDENTITY_PREFIX}…, found {len(keys)}")
    try:
        return pyrage.x25519.Identity.from_str(keys[0]), path
    except pyrage.IdentityError as error:
        raise ConfigurationError("--identity: not a whole age key; `illegalmining key FILE` makes one") from error
