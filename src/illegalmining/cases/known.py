"""The registers as they were known at each run, beside how they are known now.

Every row of the registers that judge is kept with the versions it held in. A new version begins when any row changes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from illegalmining.cases.ledger import REGISTER_ROWS, RUNS, Ledger
from illegalmining.registers.read import Registers
from illegalmining.tables import REGISTERS

KEPT = {
    "concessions": ("licence_no", "valid_from"),
    "mines": ("mine_id",),
    "mine_status": ("mine_id", "shaft_id", "from", "order_no"),
    "working_faces": ("face_id",),
}
"""The registers that decide what is allowed, and what tells their rows apart."""


@dataclass(frozen=True)
class Change:
    """A register row that is known differently: `was` and `now` hold the columns that differ, None for no such row."""

    register: str
    row_key: str
    was: dict[str, Any] | None
    now: dict[str, Any] | None


def rows_of(registers: Registers) -> list[dict[str, Any]]:
    """All rows that are kept: register, row_key, digest, content (JSON) and geometry (WKB)."""
    rows: list[dict[str, Any]] = []
    for name, keys in KEPT.items():
        table = getattr(registers, name)
        if table is None:
            continue
        shapes = shapely.to_wkb(table.geometry.to_numpy()) if REGISTERS[name].shapes else [None] * len(table)
        columns = [column for column in REGISTERS[name].columns if column in table]
        values = [[plain(value) for value in table[column]] for column in columns]
        repeats: Counter[str] = Counter()
        for cells, shape in zip(zip(*values, strict=True), shapes, strict=True):
            said = dict(zip(columns, cells, strict=True))
            key = "|".join("" if said.get(part) is None else str(said[part]) for part in keys)
            repeats[key] += 1
            key = key if repeats[key] == 1 else f"{key}#{repeats[key]}"
            content = json.dumps(said, ensure_ascii=False, sort_keys=True)
            digest = hashlib.sha256(content.encode() + (shape or b"")).hexdigest()
            rows.append({"register": name, "row_key": key, "digest": digest, "content": content, "geometry": shape})
    return rows


def plain(value: Any) -> Any:
    """A cell as JSON holds it."""
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return None
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else value


def remember_registers(ledger: Ledger, registers: Registers) -> int:
    """Keep the registers as known now; returns their version, a new one only where a row differs."""
    held = {(row["register"], row["row_key"]): row for row in ledger.rows(REGISTER_ROWS, still_held())}
    current = {(row["register"], row["row_key"]): row for row in rows_of(registers)}
    gone = [key for key, row in held.items() if key not in current or current[key]["digest"] != row["digest"]]
    fresh = [row for key, row in current.items() if key not in held or held[key]["digest"] != row["digest"]]
    version = latest_version(ledger)
    if not gone and not fresh and version:
        return version
    for register, key in gone:
        row = (REGISTER_ROWS.c.register == register, REGISTER_ROWS.c.row_key == key, still_held())
        ledger.change(REGISTER_ROWS, *row, to_version=version + 1)
    ledger.add(REGISTER_ROWS, [{**row, "from_version": version + 1, "to_version": None} for row in fresh])
    ledger.note("registers", str(version + 1), {"rows_new_or_changed": len(fresh), "rows_gone_or_changed": len(gone)})
    return version + 1


def still_held() -> Any:
    """The condition for rows of the current version."""
    return REGISTER_ROWS.c.to_version.is_(None)


def latest_version(ledger: Ledger) -> int:
    """The registers' version of the last run, 0 before the first."""
    return max((row["register_version"] for row in ledger.rows(RUNS)), default=0)


def held_in(version: int) -> tuple[Any, ...]:
    """The condition for rows as known in a version."""
    later = REGISTER_ROWS.c.to_version
    return REGISTER_ROWS.c.from_version <= version, later.is_(None) | (later > version)


def registers_as_known(ledger: Ledger, version: int, now: Registers, crs: Any) -> Registers:
    """The registers as a version had them; what is not kept is as now."""
    tables: dict[str, Any] = {}
    rows = ledger.rows(REGISTER_ROWS, *held_in(version))
    for name in KEPT:
        mine = [row for row in rows if row["register"] == name]
        if getattr(now, name) is None and not mine:
            continue
        contract = REGISTERS[name]
        shape = [{"geometry": shapely.from_wkb(row["geometry"])} if contract.shapes else {} for row in mine]
        said = [json.loads(row["content"]) | one for row, one in zip(mine, shape, strict=True)]
        tables[name] = contract.typed(said, crs) if said else None
    return replace(now, **tables)


def changes(ledger: Ledger, then: int, now: int) -> list[Change]:
    """Rows that differ between two versions, in order of register and key."""
    versions = [
        {(row["register"], row["row_key"]): row for row in ledger.rows(REGISTER_ROWS, *held_in(version))}
        for version in (then, now)
    ]
    found = []
    for key in sorted({key for version in versions for key in version}):
        before, after = (version.get(key) for version in versions)
        if before is not None and after is not None and before["digest"] == after["digest"]:
            continue
        said = [None if row is None else json.loads(row["content"]) for row in (before, after)]
        found.append(Change(*key, *difference(said[0], said[1], before, after)))
    return found


def difference(
    was: dict[str, Any] | None, now: dict[str, Any] | None, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The columns in which two states of a row differ, `geometry` by name only."""
    if was is None or now is None or before is None or after is None:
        return was, now
    differ = [name for name in now if was.get(name) != now[name]]
    moved = before["geometry"] != after["geometry"]
    drawn = ({"geometry": "as before"}, {"geometry": "redrawn"}) if moved else ({}, {})
    return {name: was.get(name) for name in differ} | drawn[0], {name: now[name] for name in differ} | drawn[1]


def concerns(change: Change, mine_id: str | None, licence_no: str | None) -> bool:
    """Whether a changed row is about a mine or a licence."""
    name = change.row_key.split("|")[0].split("#")[0]
    return name in {one for one in (mine_id, licence_no) if one}


def worded(change: Change) -> str:
    """A change as a reader sees it."""
    row = f"{change.register} {change.row_key}"
    if change.was is None:
        return f"{row}: entered"
    if change.now is None:
        return f"{row}: removed"
    was = change.was
    return f"{row}: " + ", ".join(
        f"{name} {was[name] or 'empty'} -> {now or 'empty'}" for name, now in change.now.items()
    )


def near_licences(registers: Registers, outline: Any, within_m: float) -> list[str]:
    """Numbers of the licences whose ground lies at or near an outline."""
    table: gpd.GeoDataFrame | None = registers.concessions
    if table is None:
        return []
    return list(dict.fromkeys(table.loc[table.dwithin(outline, within_m), "licence_no"]))
