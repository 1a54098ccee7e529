"""Who made or opened which package, and when: lines that each hold the digest of the one before."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from illegalmining.errors import InputError
from illegalmining.publish.keys import PRIVATE
from illegalmining.publish.text import harmless

LONGEST = 300
"""Characters of a reason that are kept."""


def note(log: Path, action: str, **facts: Any) -> None:
    """Add one line; a change to an earlier line then shows in `broken_at`.

    Raises
    ------
    InputError
        The log cannot be written: what leaves no trace is not done.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE)
        with os.fdopen(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            last = stream.read().splitlines()[-1:]
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "user": user(),
                "action": action,
                **{
                    name: harmless(value)[:LONGEST] if isinstance(value, str) else value
                    for name, value in facts.items()
                },
                "previous": hashlib.sha256(last[0]).hexdigest() if last else None,
            }
            stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(
            f"{log}: the access log cannot be written ({error.strerror}); copy the package to a folder you may write to"
        ) from error


def user() -> str:
    """Who is logged in, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def broken_at(log: Path) -> int | None:
    """Number of the first line that does not follow from the one before it; None where all do."""
    previous = None
    for number, line in enumerate(log.read_bytes().splitlines(), start=1):
        if json.loads(line)["previous"] != previous:
            return number
        previous = hashlib.sha256(line).hexdigest()
    return None
