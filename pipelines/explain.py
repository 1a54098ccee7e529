"""One case laid open: from its published row, the run's record and the ledger."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import shapely

from illegalmining.cases.explain import history, reckoning, registers_since, turning_points
from illegalmining.cases.ledger import CASES, open_ledger
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.journal import digest
from illegalmining.publish.results import read_cases
from illegalmining.registers.read import read_registers

NEAR_M = 60.0
"""Licences this near a case are told of, m."""


def explain(district: District, case_id: str) -> dict[str, Any]:
    """Everything behind one case, as plain values: its sum in nats, its rivals, what would change it, its history.

    Raises
    ------
    InputError
        No such case, or no finished run.

    Examples
    --------
    >>> run = im.read_run(district.out)
    >>> told = im.explain(district, run.cases["case_id"].iloc[0])
    >>> sums = told["reckoning"]
    >>> counted = sums["prior_log_odds"] + sum(term["counted"] for term in sums["terms"])
    >>> abs(counted - sums["sum_log_odds"]) < 0.01
    True
    """
    cases = read_cases(district.out)
    record = district.out / "run.json"
    if not record.is_file():
        raise InputError(f"{record}: no finished run there; run the district as of that day first")
    run = json.loads(record.read_text("utf-8"))
    with open_ledger(district.ledger, district.name, writing=False) as ledger:
        told: dict[str, Any] = {"case_id": case_id, **history(ledger, case_id)}
        outline = shapely.from_wkb(ledger.rows(CASES, CASES.c.case_id == case_id)[0]["geometry"])
        about = told["standing"]["mine_id"], licences_near(district, outline)
        told["registers_since"] = registers_since(ledger, told.pop("first_version"), *about)
        told |= verdict(cases, case_id, district)
    told["stands_on"] = {"inputs": inputs(run["inputs"], district.root), "sources": run["sources"]}
    told["version"] = run["version"]
    told["reproduce"] = (
        f"illegalmining run {shlex.quote(str(district.path))} --as-of {district.configuration.district.as_of}"
    )
    return told


def licences_near(district: District, outline: Any) -> list[str]:
    """Numbers of the licences at or beside an outline."""
    table = read_registers(district, []).concessions
    return [] if table is None else sorted(set(table.loc[table.dwithin(outline, NEAR_M), "licence_no"]))


def verdict(cases: Any, case_id: str, district: District) -> dict[str, Any]:
    """The case as this run published it, its reckoning and what would change it; or that the run has none."""
    found = cases[cases["case_id"] == case_id]
    if found.empty:
        return {"case": None}
    case = found.iloc[0].to_dict()
    outline = case.pop("geometry")
    sums = reckoning(case)
    plain = {name: None if value != value else value for name, value in case.items() if name != "evidence"}
    return {
        "case": {**plain, "x": round(outline.centroid.x, 1), "y": round(outline.centroid.y, 1)},
        "reckoning": sums,
        "would_change_it": turning_points(case, sums, district.configuration.district.language),
    }


def inputs(known: dict[str, str], root: Path) -> list[dict[str, Any]]:
    """The run's inputs by folder: how many files, one hash over theirs, and which have changed or gone since."""
    told = []
    for folder, names, sha in by_folder(known):
        changed = [name for name in names if not (root / name).is_file() or digest(root / name) != known[name]]
        told.append({"input": folder, "files": len(names), "sha256": sha, "changed_since": changed})
    return told


def by_folder(known: dict[str, str]) -> list[tuple[str, list[str], str]]:
    """Folders, their files, and one hash over the files' hashes; a register, or a file that is alone, has its own."""
    folders: dict[str, list[str]] = {}
    for name in sorted(known):
        single = name.startswith("registers/") or "/" not in name
        parts = name.split("/")
        above = sum(part == ".." for part in parts)  # beside the district, not below it
        folders.setdefault(name if single else "/".join(parts[: above + 2]), []).append(name)
    joined = {one: hashlib.sha256("".join(known[name] for name in names).encode()) for one, names in folders.items()}
    return [
        (one, names, known[names[0]] if len(names) == 1 else joined[one].hexdigest()) for one, names in folders.items()
    ]


def as_text(told: dict[str, Any]) -> str:
    """The explanation as a person reads it."""
    standing = told["standing"]
    lines = [f"case {told['case_id']}: {standing['kind']}, {standing['status']}"]
    lines.append(f"  first reported {standing['first_reported']}, last {standing['last_reported']}")
    if standing["merged_into"]:
        lines.append(f"  has merged into {standing['merged_into']}")
    if standing["why"] == "register":
        lines.append("  closed: the registers as known now account for it")
    if told["conflict"]:
        lines.append(
            "  CONFLICT: visits contradict each other, all are kept below; the case stays open and teaches nothing "
            "until a visit with settles = yes"
        )
    if told["case"] is None:
        lines.append("  not among the cases of this run")
    else:
        lines += reckoned(told)
    for title, entries in (
        ("what would change the verdict", told.get("would_change_it", [])),
        ("registers known differently since it was first reported", told["registers_since"] or ["no"]),
        ("runs", [f"{one['as_of']}  {one['kind']}  {one['probability']:.3f}" for one in told["runs"]]),
        ("outcomes", [json.dumps(one, ensure_ascii=False) for one in told["outcomes"]] or ["none yet"]),
        ("audit", [f"{one['number']} {one['at']} {one['what']} {one['hash'][:12]}" for one in told["audit"]]),
        ("stands on", [told_input(one) for one in told["stands_on"]["inputs"]]),
        ("sources", [f"{one['name']}: {one['first']} to {one['last']}" for one in told["stands_on"]["sources"]]),
    ):
        lines += [f"{title}:", *(f"  {entry}" for entry in entries)]
    if not told["audit_whole"]:
        lines.append("WARNING: the audit's chain is broken: the ledger was altered")
    lines += [f"reproduce (version {told['version']}):", f"  {told['reproduce']}"]
    return "\n".join(lines)


def reckoned(told: dict[str, Any]) -> list[str]:
    """The sum, line by line."""
    sums, case = told["reckoning"], told["case"]
    lines = [
        f"  {case['calibration']}",
        "terms (nats):",
        f"  {sums['prior_log_odds']:+7.2f}  prior of a {sums['base_rate_of']}",
    ]
    lines += [
        f"  {term['counted']:+7.2f}  {term['detector']} {term['detection_id']} ({term['log_lr']:+.2f} x "
        f"{term['weight']:g}, bounded; without it {term['probability_without']:.0%}): {term['says']}"
        for term in sums["terms"]
    ]
    lines += [
        f"  {sums['sum_log_odds']:+7.2f}  sum: activity {sums['probability_of_activity']:.1%}, "
        f"against the registers {sums['probability_against_registers']:.1%}, "
        f"together {sums['probability_by_evidence']:.1%}",
        f"probability {case['probability']:.1%}; other readings: "
        + ", ".join(f"{name} {share:.1%}" for name, share in sums["rivals"].items()),
    ]
    return lines


def told_input(one: dict[str, Any]) -> str:
    """An input with its hash, and whether it still is what the run read."""
    changed = f"  CHANGED SINCE: {', '.join(one['changed_since'][:3])}" if one["changed_since"] else ""
    return f"{one['input']} ({one['files']} file(s)) sha256 {one['sha256']}{changed}"
