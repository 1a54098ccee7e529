"""What is remembered from run to run: every case ever reported, so that a site keeps its id.

SQLite (WAL): several processes may read while one writes; a run's changes are one transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

from illegalmining.cases.fuse import MINE_KINDS
from illegalmining.errors import InputError
from illegalmining.tables import CASES

SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
    case_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    mine_id TEXT,
    first_reported TEXT NOT NULL,
    last_reported TEXT NOT NULL,
    status TEXT NOT NULL,
    geometry BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class IdentityParameters:
    """When two runs' cases are the same site. near_m: outlines at most this far apart, m."""

    near_m: float = 60.0


@contextmanager
def open_ledger(path: Path) -> Iterator[sqlite3.Connection]:
    """The district's ledger, created where there is none; what the block does is kept only if it ends without an error.

    Raises
    ------
    InputError
        The file is not a ledger.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SCHEMA)
        yield connection
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: not a ledger this version can read ({error}); restore it from a backup") from error
    finally:
        connection.close()


def identify(
    ledger: sqlite3.Connection, cases: gpd.GeoDataFrame, as_of: date, parameters: IdentityParameters | None = None
) -> gpd.GeoDataFrame:
    """Give every case its identity and remember it.

    A case is one known before when the kind's anchor agrees: the same mine for offences of a mine; for offences of a
    place an outline within `near_m`, the most overlapping first, whatever kind it was called before. Each known case
    is given out once.

    Returns
    -------
    `tables.CASES` with `case_id`, `first_reported` and `status` filled.
    """
    parameters = parameters or IdentityParameters()
    today = pd.Timestamp(as_of)
    known = pd.read_sql("SELECT * FROM cases ORDER BY case_id", ledger)
    known["geometry"] = shapely.from_wkb(known["geometry"]) if len(known) else None
    identified = cases.copy()
    taken: set[str] = set()
    for label, case in cases.iterrows():
        former = same_site(case, known[~known["case_id"].isin(taken)], parameters)
        case_id = new_case_id(case, set(known["case_id"]) | taken) if former is None else str(former["case_id"])
        first = today if former is None else min(today, pd.Timestamp(former["first_reported"]))
        taken.add(case_id)
        identified.loc[label, ["case_id", "first_reported", "status"]] = [
            case_id,
            first,
            "open" if former is None else former["status"],
        ]
        remember(ledger, identified.loc[label], today)
    identified["first_reported"] = pd.to_datetime(identified["first_reported"])
    return CASES.checked(identified)


def same_site(case: pd.Series, known: pd.DataFrame, parameters: IdentityParameters) -> pd.Series | None:
    """The known case that this one continues, if any."""
    if case["kind"] in MINE_KINDS:
        same = known[(known["kind"] == case["kind"]) & (known["mine_id"] == case["mine_id"])]
        return None if same.empty else same.iloc[0]
    places = known[~known["kind"].isin(MINE_KINDS)]
    if places.empty:
        return None
    outlines = shapely.from_wkb(shapely.to_wkb(places["geometry"].to_numpy()))
    distance = shapely.distance(outlines, case["geometry"])
    overlap = shapely.area(shapely.intersection(outlines, case["geometry"]))
    best = max(range(len(places)), key=lambda i: (overlap[i], -distance[i]))
    return places.iloc[best] if distance[best] <= parameters.near_m else None


def new_case_id(case: pd.Series, taken: set[str]) -> str:
    """A short id from what the case is, so that a first run repeated elsewhere gives the same."""
    what = f"{case['kind']}|{case['mine_id']}|{case['first_seen']:%Y-%m-%d}|{case['geometry'].wkt}"
    for attempt in range(1000):
        digest = hashlib.sha256(f"{what}|{attempt}".encode()).hexdigest()[:6].upper()
        case_id = f"{case['first_seen']:%y%m}-{digest}"
        if case_id not in taken:
            return case_id
    raise InputError("the ledger is full of this case's ids: it is damaged; restore it from a backup")


def remember(ledger: sqlite3.Connection, case: pd.Series, today: pd.Timestamp) -> None:
    """Write what a later run needs to know this case again."""
    ledger.execute(
        "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (case_id) DO UPDATE SET kind = excluded.kind, "
        "first_reported = excluded.first_reported, last_reported = max(last_reported, excluded.last_reported), "
        "geometry = excluded.geometry",
        (
            case["case_id"],
            case["kind"],
            case["mine_id"],
            f"{case['first_reported']:%Y-%m-%d}",
            f"{today:%Y-%m-%d}",
            case["status"],
            shapely.to_wkb(case["geometry"]),
        ),
    )
