"""A person's decisions on which mine a closure list means, and what follows: a linked mine is closed from that day.

The decisions file is the person's. Nothing here changes a row that holds a decision, and no row is ever linked without
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from illegalmining.decisions import LINK_DECISIONS
from illegalmining.errors import InputError
from illegalmining.registers.jurisdiction import jurisdiction_of
from illegalmining.registers.linking import candidates
from illegalmining.registers.quarantine import SetAside
from illegalmining.registers.raw import contract_cells
from illegalmining.registers.values import typed
from illegalmining.tables import MINE_STATUS

YES, NO = "yes", "no"
Key = tuple[str, str, str]


def row_key(name: Any, county: Any, decided: Any) -> Key:
    """What tells rows of a closure list apart; the apostrophe that disarms a formula does not count."""
    texts = ["" if not isinstance(text, str) else text.strip().removeprefix("'") for text in (name, county)]
    return texts[0], texts[1], f"{pd.Timestamp(decided):%Y-%m-%d}"


def decisions_of(path: Path, opened: Any) -> pd.DataFrame:
    """The decided rows of the file, contract's columns first and a person's own columns kept; none where no file is.

    Parameters
    ----------
    opened : reads a file's cells by its format.

    Raises
    ------
    InputError
        A row cannot be read, or two decisions contradict each other: what a person decided is never guessed at.
    """
    if not path.is_file():
        return LINK_DECISIONS.typed([])
    raw, faults = opened(LINK_DECISIONS, path)
    cells, missing = contract_cells(LINK_DECISIONS, raw)
    if missing:
        raise InputError(f"{path.name}: the column(s) {', '.join(missing)} are missing: restore them")
    frame, unreadable = typed(LINK_DECISIONS, cells)
    if faults or unreadable:
        first = min([*faults, *unreadable], key=lambda fault: fault.row)
        raise InputError(f"{path.name}: row {first.row}: {first.field or 'row'}: {first.why}")
    own = [name for name in raw.cells.columns if name.casefold() not in LINK_DECISIONS.columns]
    decided = frame.join(raw.cells[own])[frame["decision"].notna()]
    refuse_contradictions(decided, path)
    return decided


def refuse_contradictions(decided: pd.DataFrame, path: Path) -> None:
    """Raise where one list row is said to be two mines."""
    said: dict[Key, tuple[int, str]] = {}
    for row in decided[decided["decision"] == YES].itertuples():
        key = row_key(row.name, row.county, row.decided)
        number, mine_id = said.setdefault(key, (int(row.Index), row.mine_id))
        if mine_id != row.mine_id:
            raise InputError(
                f"{path.name}: rows {number} and {row.Index} say that {key[0]} is {mine_id} and {row.mine_id}: "
                "let one of them say no"
            )


def undecided(
    closures: pd.DataFrame, mines: gpd.GeoDataFrame, jurisdictions: gpd.GeoDataFrame, decided: pd.DataFrame
) -> pd.DataFrame:
    """Candidates for the rows that are not linked yet, less those a person has refused; `tables.LINK_DECISIONS`."""
    linked, refused = set(), set()
    for row in decided.itertuples():
        key = row_key(row.name, row.county, row.decided)
        linked |= {key} if row.decision == YES else set()
        refused |= {(key, row.mine_id)} if row.decision == NO else set()
    keys = [row_key(*row) for row in closures[["name", "county", "decided"]].itertuples(index=False)]
    wanted = closures[[key not in linked for key in keys]]
    found = candidates(wanted, mines.assign(county=counties_of(mines, jurisdictions)))
    rows = []
    for one in found.to_dict("records"):
        listed = closures.loc[one.pop("row"), ["name", "county", "decided"]].to_dict()
        if (row_key(**listed), one["mine_id"]) not in refused:
            rows.append({**listed, **one, "decision": None, "decided_by": None, "remark": None})
    return LINK_DECISIONS.typed(rows)


def counties_of(mines: gpd.GeoDataFrame, jurisdictions: gpd.GeoDataFrame) -> pd.Series:
    """The names of the units each mine lies in, from the finest up."""
    units = jurisdictions.drop_duplicates("code").set_index("code")
    codes = jurisdiction_of(jurisdictions, mines.geometry)

    def names(code: Any) -> str | None:
        found: list[str] = []
        while code in units.index and units.at[code, "name"] not in found:
            found.append(units.at[code, "name"])
            code = units.at[code, "parent_code"]
        return " / ".join(found) or None

    return codes.map({code: names(code) for code in codes.dropna().unique()})


def with_closures(tables: dict[str, Any], decided: pd.DataFrame, aside: SetAside) -> pd.DataFrame | None:
    """The statuses with those that follow from linked closures; a decision for a mine that is gone is noted."""
    closures, status = tables["closure_list"], tables["mine_status"]
    if closures is None or decided.empty:
        return status
    links = {
        row_key(row.name, row.county, row.decided): (int(row.Index), row.mine_id)
        for row in decided[decided["decision"] == YES].itertuples()
    }
    known = set() if tables["mines"] is None else set(tables["mines"]["mine_id"])
    rows = []
    for row in closures.itertuples():
        number, mine_id = links.get(row_key(row.name, row.county, row.decided), (0, None))
        if mine_id is None:
            continue
        if mine_id not in known:
            why = f"{row.name} is linked to a mine the register does not have: correct mine_id, or restore the mine"
            aside.note(str(number), "mine_id", mine_id, "a mine of the register", why)
            continue
        reason = f": {row.reason}" if isinstance(row.reason, str) else ""
        rows.append({"mine_id": mine_id, "status": "closed", "from": row.decided, "order_no": f"closure list{reason}"})
    if not rows:
        return status
    added = MINE_STATUS.typed(rows)
    return added if status is None else pd.concat([status, added], ignore_index=True)
