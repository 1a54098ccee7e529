"""The parts of `docs/accuracy.md` that are not whole districts: detectors on their own scenes, and real data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accuracy_baselines import LIMITS
from accuracy_real import OURS
from accuracy_report import NAMED, pixels, rate, share, table
from bench_subsidence_quality import LEAST_PEAK_MM
from bench_surface_quality import LARGE_HA, SMALL_HA

Rows = list[dict[str, Any]]


def ground_table(done: list[tuple[str, dict[str, Any]]]) -> str:
    """Pits and look-alikes by preset and sensor: (preset, result of a scene)."""
    rows = []
    for preset in dict.fromkeys(preset for preset, _ in done):
        scenes = [result for name, result in done if name == preset]
        exposure = sum(one["exposure"] for one in scenes)
        for sensor in ("surface", "radar", "both"):
            pits = [pit for one in scenes for pit in one["by_sensor"][sensor]["pits"]]
            false = sum(len(one["by_sensor"][sensor]["false"]) for one in scenes)
            large, small = ([pit for pit in pits if pit["hectares"] >= least] for least in (LARGE_HA, SMALL_HA))
            overlap = [pit["overlap"] for pit in small if pit["found"]]
            rows.append(
                f"| {preset}, {sensor} | {found(large)} | {found(small)} | {np.median(overlap):.2f} "
                f"| {rate(false, exposure)} |"
            )
    head = (
        "",
        f"pits of {LARGE_HA} ha and more",
        f"of {SMALL_HA} ha and more",
        "overlap, median",
        "false regions per 100 km² and year",
    )
    return table(head, rows)


def found(pits: Rows) -> str:
    """How many pits were found."""
    return share(sum(pit["found"] for pit in pits), len(pits))


def movement_table(done: list[dict[str, Any]]) -> str:
    """Faces: found, false, placed, and how often the 90 % intervals hold."""

    def all_of(name: str) -> list[Any]:
        return [one for result in done for one in result[name]]

    def held(name: str) -> list[bool]:
        return [one[name] for one in all_of("inside") if name in one]

    years = sum(one["km2_years"] for one in done)
    false = sum(one["false_faces"] for one in done)
    errors = all_of("errors")
    rows = [
        f"| hidden faces alone, peak of {LEAST_PEAK_MM:.0f} mm and more, found | {truths(all_of('alone'))} |",
        f"| 250 m beside a declared face at work, found | {truths(all_of('beside'))} |",
        f"| weaker than {LEAST_PEAK_MM:.0f} mm, found | {truths(all_of('weak'))} |",
        f"| false faces per 100 km² and year | {rate(false, years / 100)} |",
    ]
    if errors:
        for name, words, unit in (("centre", "error of the centre", "m"), ("start", "error of the start", "days")):
            size = [abs(one[name]) for one in errors]
            rows.append(
                f"| {words}, median and nine in ten | {np.median(size):.0f} and {np.quantile(size, 0.9):.0f} {unit} |"
            )
        volume = [abs(one["volume_m3"]) for one in errors]
        middle, most = np.median(volume), np.quantile(volume, 0.9)
        rows.append(f"| relative error of the volume, median and nine in ten | {middle:.0%} and {most:.0%} |")
    names = dict.fromkeys(name for one in all_of("inside") for name in one)
    rows += [f"| 90 % interval of `{name}` holds the truth | {truths(held(name))} |" for name in names]
    return table(("", ""), rows)


def truths(hits: Sequence[bool]) -> str:
    """A share of yes."""
    return share(sum(hits), len(hits))


def power_table(working: list[tuple[str, dict[str, Any]]], quiet: list[dict[str, Any]]) -> str:
    """Shut mines that work, by how they hide, and quiet ones."""
    rows = []
    for scene in dict.fromkeys(name for name, _ in working):
        told: dict[str, list[bool]] = {}
        for name, result in working:
            if name == scene:
                for what, hits in result.items():
                    told.setdefault(what, []).extend(hits)
        cells = [truths(told[what]) for what in ("after 5 nights", "after 10 nights", "first night", "last night")]
        rows.append(f"| {scene} | {' | '.join(cells)} |")
    head = (
        "share of full load",
        "found after 5 nights",
        "after 10 nights",
        "90 % interval holds the first night",
        "the last",
    )
    called, mines = (sum(one[name] for one in quiet) for name in ("called", "mines"))
    return table(head, rows) + f"\nQuiet shut mines called at any month's end of a year: {share(called, mines)}.\n"


def real_table(done: list[tuple[str, Rows]], limits: dict[str, tuple[float, ...]]) -> str:
    """Real data: ours beside the baseline at the limit that training chose."""
    lines = []
    for name, rows in done:
        for measure in dict.fromkeys(row["measure"] for row in rows):
            here = [row for row in rows if row["measure"] == measure]
            ours = next(row for row in here if row["way"] == OURS)
            others = [row for row in here if row["way"] != OURS and shown(row, limits)]
            beside = "; ".join(f"{NAMED.get(row['way'], row['way'])}: {figure(row)}" for row in others)
            better = "more is better" if ours["good"] else "less is better"
            lines.append(f"| {name} | {measure} ({better}) | {figure(ours)} | {beside or '–'} |")
    return table(("data", "measure", "ours", "beside it"), lines)


def shown(row: dict[str, Any], limits: dict[str, tuple[float, ...]]) -> bool:
    """Whether a row stands for its way: at the chosen limit, or without one."""
    return row["way"] not in LIMITS or tuple(row["limit"]) == tuple(limits[row["way"]])


def figure(row: dict[str, Any]) -> str:
    """A row's figure."""
    if row["measure"].startswith("dates until"):
        return f"{row['part']} of {row['whole']} dates"
    if row["whole"] == 1000:
        return f"{row['part'] / 1000:.1%}"
    return str(row["part"]) if not row["whole"] else share_of(row)


def share_of(row: dict[str, Any]) -> str:
    """A row's share, with an interval where its parts are independent."""
    told = pixels if row["measure"].startswith("pixels") else share
    return told(row["part"], row["whole"])


def peers_table(rows: Rows) -> str:
    """What the peers give, or that they are not installed."""
    missing = "pyxccd and bfast: not installed.\n"
    if not rows:
        return "nrt, pyxccd and bfast: **not installed** in this run; `--peer PYTHON` names an environment with nrt.\n"
    measures = list(dict.fromkeys((row["data"], row["measure"]) for row in rows))
    lines = []
    for way in dict.fromkeys(row["way"] for row in rows):
        here = {(row["data"], row["measure"]): share_of(row) for row in rows if row["way"] == way}
        lines.append(f"| {way} | {' | '.join(here.get(one, 'failed') for one in measures)} |")
    return table(("", *(f"{data}: {measure}" for data, measure in measures)), lines) + "\n" + missing
