"""Writes that a reader sees whole or not at all: write beside, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from illegalmining.errors import DiskError

PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of what only the district's owner may read: the ledger, the state, keys, packages."""
SYNCS = 16
"""Files of a folder that are forced to the disk at once."""
PARTIAL = ".partial"
"""How the name of what is still being written ends."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where nothing more can be written: a full disk, a quota that is used up, a file too long."""


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Inside the block something is written that becomes `path`.

    Raises
    ------
    DiskError
        There is no room for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskError(path, os.strerror(error.errno)) from error
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` with its suffix; renamed onto it when the block ends without an error."""
    with room_for(path):
        make_folder(path.parent)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
        try:
            partial = folder / path.name
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`; takes its place, with all its files, when the block ends without an error."""
    with room_for(path):
        make_folder(path.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
        former = partial.with_name(f"{partial.name.removesuffix(PARTIAL)}.former{PARTIAL}")
        try:
            yield partial
            sync_below(partial)
            if path.exists():  # moved away in one step: a folder that is being emptied would be half a folder
                os.rename(path, former)
            os.replace(partial, path)
            sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(former, ignore_errors=True)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing, so that a power cut does not take what is put into it."""
    made = [one for one in (folder, *folder.parents) if not one.is_dir()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    for one in reversed(made):
        sync(one.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder in one step: one that is emptied file by file would, broken off, be half a folder."""
    gone = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
    os.rename(path, gone)
    sync(path.parent)
    shutil.rmtree(gone)


def sweep(folder: Path) -> None:
    """Remove what writes that were broken off left in a folder and below; for whoever alone writes there."""
    for left in sorted(folder.rglob(f".*{PARTIAL}")):
        shutil.rmtree(left, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a small file atomically."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)
    return path


def sync_below(folder: Path) -> None:
    """Force a folder, its files, and those of the folders in it to the disk."""
    with ThreadPoolExecutor(SYNCS) as pool:  # a disk takes as long for one as for many at once
        list(pool.map(sync, sorted(folder.rglob("*"))))
    sync(folder)


def sync(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
