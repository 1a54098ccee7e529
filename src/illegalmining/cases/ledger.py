"""What is remembered from run to run: cases, what each run knew and found, field outcomes, and an audit of it all.

One schema for two servers: a file beside the district (SQLite in WAL mode: others read while one writes), or a
PostgreSQL database with PostGIS that several offices share. What a block does is one transaction. Every change leaves
a line in the audit, chained by hash; the database itself refuses to alter or delete such lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from illegalmining.atomic import PRIVATE, PRIVATE_FOLDER, make_folder, sync
from illegalmining.errors import ConfigurationError, InputError

METADATA = sa.MetaData()
Column, Text, Integer = sa.Column, sa.Text, sa.Integer


def owned(*columns: Any) -> tuple[Any, ...]:
    """Columns behind the name of the district they belong to: several districts may share a ledger."""
    return (Column("district", Text, primary_key=True), *columns)


CASES = sa.Table(
    "cases",
    METADATA,
    *owned(
        Column("case_id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("mine_id", Text),
        Column("jurisdiction", Text),
        Column("attribution", Text),
        Column("operator_id", Text),
        Column("operator", Text),
        Column("first_reported", Text, nullable=False),
        Column("last_reported", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("decided", Text),
        Column("why", Text),
        Column("merged_into", Text),
        Column("split_from", Text),
        Column("srid", Integer),
        Column("geometry", sa.LargeBinary, nullable=False),
    ),
)
RUNS = sa.Table(
    "runs",
    METADATA,
    *owned(
        Column("run", Integer, primary_key=True, autoincrement=False),
        Column("as_of", Text, nullable=False),
        Column("register_version", Integer, nullable=False),
    ),
)
SIGHTINGS = sa.Table(
    "sightings",
    METADATA,
    *owned(
        Column("case_id", Text, primary_key=True),
        Column("run", Integer, primary_key=True, autoincrement=False),
        Column("kind", Text, nullable=False),
        Column("probability", sa.Float, nullable=False),
        Column("against", sa.Float, nullable=False),
        Column("terms", Text, nullable=False),
    ),
)
REGISTER_ROWS = sa.Table(
    "register_rows",
    METADATA,
    *owned(
        Column("register", Text, primary_key=True),
        Column("row_key", Text, primary_key=True),
        Column("from_version", Integer, primary_key=True, autoincrement=False),
        Column("to_version", Integer),
        Column("digest", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("geometry", sa.LargeBinary),
    ),
)
OUTCOMES = sa.Table(
    "outcomes",
    METADATA,
    *owned(
        Column("outcome_id", Text, primary_key=True),
        Column("number", Integer, nullable=False),
        Column("case_id", Text),
        Column("outcome", Text, nullable=False),
        Column("visited", Text, nullable=False),
        Column("reason", Text),
        Column("content", Text, nullable=False),
        Column("geometry", sa.LargeBinary),
    ),
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    *owned(
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("at", Text, nullable=False),
        Column("what", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("previous", Text, nullable=False),
        Column("hash", Text, nullable=False),
    ),
)
GENESIS = "0" * 64
LOCK_WAIT_S = 60
APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS audit_keeps_{verb} BEFORE {verb} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        for verb in ("update", "delete")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$",
        "DROP TRIGGER IF EXISTS audit_keeps ON audit",
        "CREATE TRIGGER audit_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION audit_keeps()",
    ],
}
CASES_MAP = (
    "CREATE OR REPLACE VIEW cases_map AS SELECT district, case_id, kind, mine_id, jurisdiction, status, "
    "first_reported, last_reported, ST_SetSRID(ST_GeomFromWKB(geometry), COALESCE(srid, 0)) AS outline FROM cases"
)
"""The cases as a layer that a GIS opens from the shared database."""


@dataclass(frozen=True)
class Ledger:
    """An open transaction on the ledger of one district."""

    connection: sa.Connection
    district: str

    def rows(self, table: sa.Table, *where: Any) -> list[dict[str, Any]]:
        """Rows of the district, in order of their key."""
        query = sa.select(table).where(table.c.district == self.district, *where).order_by(*table.primary_key.columns)
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def add(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows."""
        if rows:
            self.connection.execute(sa.insert(table), [{"district": self.district, **row} for row in rows])

    def change(self, table: sa.Table, *where: Any, **values: Any) -> None:
        """Set columns of the rows that fit."""
        self.connection.execute(sa.update(table).where(table.c.district == self.district, *where).values(**values))

    def remove(self, table: sa.Table, *where: Any) -> None:
        """Delete the rows that fit."""
        self.connection.execute(sa.delete(table).where(table.c.district == self.district, *where))

    def next_number(self, column: sa.Column[Any]) -> int:
        """One more than the largest number in a column, 1 where there is none."""
        largest = sa.select(sa.func.max(column)).where(column.table.c.district == self.district)
        return int(self.connection.execute(largest).scalar() or 0) + 1

    def note(self, what: str, subject: str, content: dict[str, Any]) -> None:
        """Append a line to the audit, chained to the one before it."""
        last = self.connection.execute(
            sa.select(AUDIT.c.number, AUDIT.c.hash)
            .where(AUDIT.c.district == self.district)
            .order_by(AUDIT.c.number.desc())
            .limit(1)
        ).first()
        line = {
            "number": 1 if last is None else last.number + 1,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "what": what,
            "subject": subject,
            "content": json.dumps(content, ensure_ascii=False, sort_keys=True),
            "previous": GENESIS if last is None else last.hash,
        }
        self.add(AUDIT, [{**line, "hash": chained(self.district, line)}])


def chained(district: str, line: dict[str, Any]) -> str:
    """The hash of an audit line, over all it says and the hash before it."""
    said = [district, *(line[name] for name in ("number", "at", "what", "subject", "content", "previous"))]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def broken_link(ledger: Ledger) -> int | None:
    """The number of the first audit line that was altered, or follows one that is gone; None where all is whole."""
    previous = GENESIS
    for number, line in enumerate(ledger.rows(AUDIT), start=1):
        if line["number"] != number or line["previous"] != previous or line["hash"] != chained(ledger.district, line):
            return number
        previous = line["hash"]
    return None


PRIMARY, OF_THE_DISK = 0xFF, (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
"""The part of a SQLite error's code that says of what kind it is, and those kinds that are the disk's fault."""


@contextmanager
def open_ledger(where: Path | str, district: str, writing: bool = True) -> Iterator[Ledger]:
    """The district's ledger, created where there is none; what the block does is kept only if it ends without an error.

    Parameters
    ----------
    where : a SQLite file, or the URL of a PostgreSQL database (`postgresql+psycopg://user@host/name`).
    writing : False for a block that only reads; it then waits for nobody.

    Raises
    ------
    InputError
        The file is not a ledger, or the database cannot be used.
    """
    engine = engine_of(where, writing)
    try:
        with engine.begin() as connection:
            prepare(connection, writing)
            yield Ledger(connection, district)
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if getattr(cause, "sqlite_errorcode", 0) & PRIMARY in OF_THE_DISK:
            raise InputError(
                f"{shown(where)}: cannot be read or written ({str(cause).strip()}); make room on the disk, or check "
                "it, and run again: nothing is lost"
            ) from error
        raise InputError(
            f"{shown(where)}: not a ledger this version can read ({str(cause).strip()}); "
            "restore it from a backup, or check the server and its PostGIS"
        ) from error
    finally:
        engine.dispose()


def engine_of(where: Path | str, writing: bool) -> sa.Engine:
    """An engine without a pool: a run opens the ledger once."""
    if isinstance(where, str):
        try:
            return sa.create_engine(where, poolclass=sa.pool.NullPool)
        except (SQLAlchemyError, NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(
                f"ledger.url {shown(where)}: {error}; expected postgresql+psycopg://user@host:port/database"
            ) from error
    make_folder(where.parent, PRIVATE_FOLDER)
    if writing and where.parent.is_dir():
        os.close(os.open(where, os.O_RDWR | os.O_CREAT, PRIVATE))  # its -wal and -shm take its mode
        where.chmod(PRIVATE)
        sync(where.parent)  # SQLite makes sure of what is in the file, not of its name
    engine = sa.create_engine(f"sqlite:///{where}", poolclass=sa.pool.NullPool, connect_args={"timeout": LOCK_WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def prepare(connection: sa.Connection, writing: bool) -> None:
    """The tables and what guards them, made once; writers of a shared database take turns, readers do not wait."""
    dialect = connection.dialect.name
    fresh = not sa.inspect(connection).has_table(AUDIT.name)
    if dialect == "postgresql" and (writing or fresh):
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('illegalmining'))"))
        fresh = not sa.inspect(connection).has_table(AUDIT.name)
    if not fresh:
        return
    METADATA.create_all(connection)
    if dialect == "postgresql":
        connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS postgis"))
        connection.execute(sa.text(CASES_MAP))
    for statement in APPEND_ONLY[dialect]:
        connection.execute(sa.text(statement))


def shown(where: Path | str) -> str:
    """Where the ledger is, for a message; never a password."""
    return sa.make_url(where).render_as_string(hide_password=True) if isinstance(where, str) else str(where)
