"""The data dictionary: every table of the contract, column by column, written from `tables`."""

from __future__ import annotations

from illegalmining.contracts import DATE, NUMBER, TEXT, Table
from illegalmining.decisions import LINK_DECISIONS, OUTCOMES
from illegalmining.tables import (
    CASES,
    DETECTIONS,
    HOTSPOTS,
    QUARANTINE,
    REGISTERS,
    SITES,
)

HEAD = """# Data dictionary

Written from `src/illegalmining/tables.py` and `decisions.py` by `illegalmining.dictionary`; do not edit. Renew it with
`python -m illegalmining.dictionary > geodata/data_dictionary.md`.

Dates are days without a time; every end (`to`, `stop`, `valid_to`) is exclusive, empty means open. Places are in the
district's working CRS, metres, x east and y north.
"""
INPUTS = (*REGISTERS.values(), OUTCOMES, LINK_DECISIONS)
OUTPUTS = (CASES, DETECTIONS, HOTSPOTS, QUARANTINE, SITES)
TYPES = {TEXT: "text", NUMBER: "number", DATE: "date", "bool": "yes or no", "int64": "whole number"}


def data_dictionary() -> str:
    """The dictionary as Markdown."""
    parts = [HEAD, "## Registers (input)\n", *map(section, INPUTS), "## Results (output)\n", *map(section, OUTPUTS)]
    return "\n".join(parts).rstrip() + "\n"


def section(table: Table) -> str:
    """One table: its key, its shapes, and a row a column."""
    facts = []
    if table.key:
        facts.append(f"Key: {', '.join(f'`{name}`' for name in table.key)}.")
    if table.terms:
        facts.append("Several rows may share a key when they follow each other in time.")
    if table.period:
        facts.append(f"In force from `{table.period[0]}` to before `{table.period[1]}`.")
    lines = [f"### {table.name}\n"]
    if facts:
        lines.append(" ".join(facts) + "\n")
    lines += ["| column | type | may be empty | meaning | allowed |", "| --- | --- | --- | --- | --- |"]
    lines += [column_row(table, name) for name in table.columns]
    if table.shapes:
        lines.append(f"| `geometry` | {' or '.join(table.shapes)} | no | where it is | |")
    return "\n".join(lines) + "\n"


def column_row(table: Table, name: str) -> str:
    """One column as a row of the Markdown table."""
    column = table.schema.columns[name]
    allowed = "; ".join(str(check.error) for check in column.checks)
    empty = "yes" if column.nullable else "no"
    if not column.required:
        empty += ", or absent"
    cells = (f"`{name}`", TYPES[str(column.dtype)], empty, str(column.description or ""), allowed)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(data_dictionary())
