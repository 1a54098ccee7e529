"""`docs/accuracy.md` from what `evaluate.py` computed: one table, then what stands behind it. Never written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import gamma

from accuracy_baselines import LIMITS, PRACTICE
from illegalmining.cases.calibrate import calibrate, foretold, reliability
from illegalmining.cases.evaluate import ScoreParameters, share_interval
from illegalmining.cases.outcomes import lesson
from illegalmining.tables import KINDS

ALARM = ScoreParameters().threshold
DRAWS = 500
OUTCOMES = 50
NAMED = {
    "NDVI difference": "NDVI difference threshold",
    "linear subsidence rate": "linear subsidence rate threshold",
    "k-sigma power": "kσ power",
}
LIMIT_WORDS = {
    "NDVI difference": "fall of {0:.1f} in {2:g} months running, {1:g} ha and more",
    "linear subsidence rate": "{:g} mm a year, {:g} ha and more",
    "k-sigma power": "{:g}σ, on {:g} days and more",
}
ASKED = {
    "surface alone": ("beyond_boundary", "unlicensed"),
    "radar alone": ("beyond_boundary", "unlicensed"),
    "NDVI difference": ("beyond_boundary", "unlicensed"),
    "subsidence alone": ("hidden_working_face", "beyond_boundary"),
    "linear subsidence rate": ("hidden_working_face", "beyond_boundary"),
    "power alone": ("active_while_shut", "paper_output"),
    "k-sigma power": ("active_while_shut", "paper_output"),
}
"""Kinds a way of looking can speak to; the whole and the baselines together are asked of all."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A way of looking: its name, the kinds it is asked of, and its rows in each district."""

    name: str
    kinds: tuple[str, ...]
    rows: list[list[Row]]


def alarms(rows: Iterable[Row]) -> list[Row]:
    """Cases from which somebody would be sent."""
    return [row for row in rows if row["probability"] >= ALARM]


def chosen_limits(training: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """The limit of each baseline with the highest F1 over the training districts; of equals the first."""
    chosen = {}
    for name, limits in LIMITS.items():
        wanted = sum(site["kind"] in ASKED[name] for one in training for site in one["sites"])

        def f1(limit: tuple[float, ...], name: str = name, wanted: int = wanted) -> float:
            raised = [row for one in training for row in alarms(rows_at(one, name, limit))]
            hits = sum(row["site_id"] is not None for row in raised)
            return 2 * hits / max(len(raised) + wanted, 1)

        chosen[name] = max(limits, key=f1)
    return chosen


def rows_at(district: dict[str, Any], name: str, limit: Sequence[float]) -> list[Row]:
    """A baseline's rows in a district at one of its limits."""
    return next(one["rows"] for one in district["baselines"][name] if tuple(one["limit"]) == tuple(limit))


def ways_of(districts: list[dict[str, Any]], limits: dict[str, tuple[float, ...]]) -> list[Way]:
    """Every way of looking, ours first."""
    found = [Way("**the whole**", KINDS, [one["whole"] for one in districts])]
    found += [Way(name, ASKED[name], [one["alone"][name] for one in districts]) for name in districts[0]["alone"]]
    for name, limit in limits.items():
        words = LIMIT_WORDS[name].format(*limit)
        rows = [rows_at(one, name, limit) for one in districts]
        found.append(Way(f"{NAMED[name]} ({words})", ASKED[name], rows))
    for name, limit in PRACTICE.items():
        words = LIMIT_WORDS[name].format(*limit)
        rows = [rows_at(one, name, limit) for one in districts]
        found.append(Way(f"3σ power as in practice ({words})", ASKED[name], rows))
    together = [[row for name, limit in limits.items() for row in rows_at(one, name, limit)] for one in districts]
    found.append(Way("the three baselines together", KINDS, together))
    return found


def way_row(way: Way, districts: list[dict[str, Any]]) -> str:
    """One line of the table."""
    wanted = {(at, site["site_id"]) for at, one in enumerate(districts) for site in one["sites"]
              if site["kind"] in way.kinds}  # fmt: skip
    raised = [(at, row) for at, rows in enumerate(way.rows) for row in alarms(rows)]
    hits = {(at, row["site_id"]) for at, row in raised if row["site_id"] is not None}
    false = [sum(row["site_id"] is None for row in alarms(rows)) for rows in way.rows]
    exposure = sum(one["km2"] * one["years"] for one in districts) / 100
    late = [[row["late_days"] for row in alarms(rows) if row["site_id"]] for rows in way.rows]
    true = len(raised) - sum(false)
    cells = [
        way.name,
        share(len(hits & wanted), len(wanted)),
        share(true, len(raised)),
        rate(sum(false), exposure),
        bootstrapped(late, lambda parts: float(np.median(parts)), "{:.0f}"),
    ]
    return "| " + " | ".join(cells) + " |"


def share(part: int, whole: int) -> str:
    """A share with its 90 % Jeffreys interval."""
    if not whole:
        return "–"
    low, high = share_interval(part, whole)
    return f"{part} of {whole} = {part / whole:.0%} ({100 * low:.0f}–{high:.0%})"


def pixels(part: int, whole: int) -> str:
    """A share of pixels, which are not independent: no interval."""
    return f"{part} of {whole} = {part / whole:.1%}"


def rate(count: int, exposure: float) -> str:
    """A rate with its 90 % Poisson interval."""
    low = float(gamma.ppf(0.05, count)) if count else 0.0
    return f"{count / exposure:.1f} ({low / exposure:.1f}–{float(gamma.ppf(0.95, count + 1)) / exposure:.1f})"


def bootstrapped(parts: list[list[Any]], statistic: Callable[[list[Any]], float], form: str) -> str:
    """A statistic over all districts with a 90 % interval from districts drawn again."""
    flat = [one for part in parts for one in part]
    if not flat:
        return "–"
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(DRAWS):
        drawn = [one for at in rng.integers(0, len(parts), len(parts)) for one in parts[at]]
        if drawn:
            draws.append(statistic(drawn))
    figures = (statistic(flat), *np.quantile(draws, [0.05, 0.95]))
    told, low, high = (form.format(figure).replace("-0", "0") if abs(figure) <= 0.5 else form.format(figure)
                       for figure in figures)  # fmt: skip
    return f"{told} ({low}–{high})"


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A Markdown table."""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *rows]) + "\n"


def by_kind(districts: list[dict[str, Any]]) -> str:
    """Of the whole: each kind's recall, and how many of its alarms are sites."""
    rows = []
    for kind in KINDS:
        wanted = [(at, site["site_id"]) for at, one in enumerate(districts) for site in one["sites"]
                  if site["kind"] == kind]  # fmt: skip
        hits = {(at, row["site_id"]) for at, one in enumerate(districts) for row in alarms(one["whole"])}
        told = [row for one in districts for row in alarms(one["whole"]) if row["kind"] == kind]
        true = sum(row["site_id"] is not None for row in told)
        rows.append(
            f"| `{kind}` | {share(sum(one in hits for one in wanted), len(wanted))} | {share(true, len(told))} |"
        )
    return table(("kind", "sites found", "alarms of this kind that are sites"), rows)


def by_climate(districts: list[dict[str, Any]]) -> str:
    """The whole, climate by climate."""
    rows = []
    for climate in dict.fromkeys(one["climate"] for one in districts):
        here = [one for one in districts if one["climate"] == climate]
        sites = {(at, site["site_id"]) for at, one in enumerate(here) for site in one["sites"]}
        raised = [(at, row) for at, one in enumerate(here) for row in alarms(one["whole"])]
        hits = {(at, row["site_id"]) for at, row in raised if row["site_id"] is not None}
        false = sum(row["site_id"] is None for _, row in raised)
        exposure = sum(one["km2"] * one["years"] for one in here) / 100
        rows.append(f"| {climate} | {len(here)} | {share(len(hits & sites), len(sites))} | {rate(false, exposure)} |")
    return table(("climate", "districts", "sites found", "false cases per 100 km² and year"), rows)


def probabilities(districts: list[dict[str, Any]]) -> str:
    """How good the whole's probabilities are: with nothing learned, and after outcomes of visits in other districts."""
    told = {"nothing learned": [[row["probability"] for row in one["whole"]] for one in districts]}
    taught = taught_elsewhere(districts)
    if taught is not None:
        told[f"after {OUTCOMES} outcomes elsewhere"] = taught
    head = ("", "cases", "Brier score", "expected calibration error", "precision of the first n")
    rows = [told_row(words, districts, given) for words, given in told.items()]
    kinds = [[row["kind"] == kind_of(one, row["site_id"]) for row in alarms(one["whole"]) if row["site_id"]]
             for one in districts]  # fmt: skip
    right, all_found = sum(sum(one) for one in kinds), sum(len(one) for one in kinds)
    return (
        table(head, rows)
        + f"\nOf sites found, called by their right kind: {share(right, all_found)}.\n\n"
        + "\n".join(curve_table(words, districts, given) for words, given in told.items())
    )


def pairs_of(districts: list[dict[str, Any]], given: list[list[float]]) -> list[list[tuple[float, bool]]]:
    """Of every district: what was told of its cases, and whether they are sites."""
    return [[(p, row["site_id"] is not None) for p, row in zip(probabilities, one["whole"], strict=True)]
            for probabilities, one in zip(given, districts, strict=True)]  # fmt: skip


def told_row(words: str, districts: list[dict[str, Any]], given: list[list[float]]) -> str:
    """One line: how probabilities compare with what is there."""

    def figure(name: str) -> Callable[[list[Any]], float]:
        return lambda drawn: float(
            getattr(reliability(*(np.array(column) for column in zip(*drawn, strict=True))), name)
        )

    pairs = pairs_of(districts, given)
    first = [sorted(one, key=lambda pair: -pair[0])[: len(district["sites"])]
             for one, district in zip(pairs, districts, strict=True)]  # fmt: skip
    hits = sum(true for one in first for _, true in one)
    cells = [
        words,
        str(sum(map(len, pairs))),
        bootstrapped(pairs, figure("brier"), "{:.3f}"),
        bootstrapped(pairs, figure("error"), "{:.3f}"),
        share(hits, sum(map(len, first))),
    ]
    return "| " + " | ".join(cells) + " |"


def curve_table(words: str, districts: list[dict[str, Any]], given: list[list[float]]) -> str:
    """The reliability curve."""
    fit = reliability(
        *(
            np.array(column)
            for column in zip(*(pair for one in pairs_of(districts, given) for pair in one), strict=True)
        )
    )
    rows = [
        f"| {mean:.2f} | {count} | {part:.0%} ({100 * low:.0f}–{high:.0%}) |"
        for mean, part, low, high, count in fit.curve
    ]
    return table((f"probability told, {words} (mean of a bin)", "cases", "of them sites"), rows)


def taught_elsewhere(districts: list[dict[str, Any]]) -> list[list[float]] | None:
    """What is told of each district's cases by a calibration that learned from visits to another half of the districts.

    The halves alternate within a climate, so that each knows every climate; the cases visited are drawn at random,
    whatever their probability. None where a half has too few cases to visit.
    """
    halves = [at % 2 for at in range(len(districts))]
    lessons = [
        [lesson(row, {"outcome": "confirmed" if row["site_id"] else "refuted"}) for row in one["whole"]]
        for one in districts
    ]
    learned = []
    for half in (0, 1):
        there = [case for one, side in zip(lessons, halves, strict=True) if side != half for case in one]
        if len(there) < OUTCOMES:
            return None
        visited = np.random.default_rng(half).permutation(len(there))[:OUTCOMES]
        learned.append(calibrate([there[at] for at in visited]))
    return [[foretold(case, learned[half]) for case in one] for one, half in zip(lessons, halves, strict=True)]


def kind_of(district: dict[str, Any], site_id: str) -> str:
    """The kind of a site."""
    return next(site["kind"] for site in district["sites"] if site["site_id"] == site_id)


def main_table(districts: list[dict[str, Any]], limits: dict[str, tuple[float, ...]]) -> str:
    """The one table."""
    head = ("", "sites found, of the kinds it can see", "alarms that are sites", "false per 100 km² and year",
            "dated late by, days (median)")  # fmt: skip
    return table(head, [way_row(way, districts) for way in ways_of(districts, limits)])
