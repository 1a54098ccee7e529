"""A PostgreSQL server of the test's own: unprivileged, on loopback, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "monitor"


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl, the newest version first; None where Debian's postgresql is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    if found:
        return found[0].parent
    other = shutil.which("initdb")
    return None if other is None else Path(other).resolve().parent


def lacking() -> str:
    """Why there can be no server here; '' where there can."""
    folder = binaries()
    if folder is None:
        return "initdb is not installed (Debian: postgresql)"
    if not list(Path("/usr/share/postgresql").glob(f"{folder.parent.name}/extension/postgis.control")):
        return "PostGIS is not installed (Debian: postgresql-postgis)"
    return ""


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database."""
    folder = binaries()
    assert folder is not None
    owner = pwd.getpwnam("postgres" if has_user("postgres") else "nobody") if os.geteuid() == 0 else None
    as_owner = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    home = Path(tempfile.mkdtemp(prefix="ledger-pg-"))
    if owner is not None:
        os.chown(home, owner.pw_uid, owner.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120, **as_owner)
        assert done.returncode == 0, done.stderr + done.stdout

    try:
        data = str(home / "data")
        run(str(folder / "initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        log = str(home / "log")
        run(str(folder / "pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "-t", "60", "start")
        try:
            yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
        finally:
            run(str(folder / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def has_user(name: str) -> bool:
    """Whether the machine has a user of that name."""
    return any(entry.pw_name == name for entry in pwd.getpwall())
