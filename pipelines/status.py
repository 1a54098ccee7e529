"""How a district stands: its last run, what was set aside, its cases, what could be seen, and who owes an answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.cases.answers import answers, standing
from illegalmining.cases.ledger import open_ledger
from illegalmining.checkpoint import is_held
from illegalmining.district import District
from illegalmining.pipelines.nightly import LOG
from illegalmining.publish.results import day_of, read_coverage

STATUSES = ("open", "confirmed", "refuted", "closed")

WORDS = {
    "en": {
        "none": "no run yet: illegalmining run {path}",
        "last": "last run: as of {as_of}, finished {finished}, version {version}",
        "running": "a run is going on since {since}",
        "broken": "the run begun {since} was broken off ({why}): run again, it goes on where it stopped",
        "killed": "killed",
        "aside": "inputs set aside: {count} ({file})",
        "cases": "cases: {open} open, {confirmed} confirmed, {refuted} refuted, {closed} closed",
        "sensor": "  {name}: saw {seen:.0%} of the district, {first} to {last}",
        "beside": "    its catalogue lists {scenes_beside} scene(s) of other places",
        "seen": "coverage: {blind:.0%} of the district blind; smallest site seen {site} (median)",
        "overdue": "  {jurisdiction} {name}: {overdue} overdue, the oldest for {days_overdue} days",
        "owed": "answers overdue: {count}",
    },
    "zh": {
        "none": "尚未运行：illegalmining run {path}",
        "last": "最近一次运行：截至{as_of}，完成于{finished}，版本{version}",
        "running": "正在运行，开始于{since}",
        "broken": "开始于{since}的运行已中断（{why}）：再次运行即可从中断处继续",
        "killed": "被终止",
        "aside": "搁置的输入：{count}项（{file}）",
        "cases": "案件：待核查{open}，属实{confirmed}，不属实{refuted}，已结{closed}",
        "sensor": "  {name}：观测到全区的{seen:.0%}，{first}至{last}",
        "beside": "    其目录另列有{scenes_beside}景其他地区的影像",
        "seen": "覆盖：全区{blind:.0%}未能观测；可发现的最小图斑{site}（中位数）",
        "overdue": "  {jurisdiction} {name}：逾期{overdue}件，最久{days_overdue}天",
        "owed": "逾期未答复：{count}件",
    },
}


@dataclass(frozen=True)
class Status:
    """Where a district stands.

    last: as_of, started, finished, version of the last finished run. unfinished: the run that began and has not ended:
    since, as_of, running, why; None where there is none. set_aside: inputs the last run could not use. cases: by
    status. sensors: by source, the share of the district seen, first and last day, and how many scenes of other places
    its catalogue lists. blind, smallest_site_m2: the
    share nobody saw, and the median of what would have been seen. overdue: jurisdictions that owe answers.
    """

    last: dict[str, Any] | None
    unfinished: dict[str, Any] | None
    set_aside: int
    cases: dict[str, int]
    sensors: list[dict[str, Any]]
    blind: float | None
    smallest_site_m2: float | None
    overdue: list[dict[str, Any]]
    quarantine: str


def status(district: District) -> Status:
    """How the district stands; nothing is read but what runs have left, nothing is written."""
    out, run = last_run(district)
    coverage = read_coverage(out / "coverage.tif") if run else None
    seen = None if coverage is None else coverage.values[np.isfinite(coverage.values)]
    shares = run.get("seen_share", {}) if run else {}
    cases, overdue = owed(district, out)
    return Status(
        last={name: run[name] for name in ("started", "finished", "version")} | {"as_of": out.name} if run else None,
        unfinished=unfinished(district),
        set_aside=int(run["quarantined"]) if run else 0,
        cases=cases,
        sensors=[
            {"name": one["name"], "seen": shares.get(one["name"]), "first": one["first"], "last": one["last"]}
            | {"scenes_beside": one.get("scenes_beside", 0)}
            for one in (run["sources"] if run else [])
        ],
        blind=None if coverage is None or seen is None else float(1 - seen.size / coverage.size),
        smallest_site_m2=float(np.median(seen)) if seen is not None and seen.size else None,
        overdue=overdue,
        quarantine=str(out / "quarantine.csv"),
    )


def last_run(district: District) -> tuple[Path, dict[str, Any] | None]:
    """The folder and record of the run that finished last."""
    records = [path for path in sorted(district.out.parent.glob("????-??-??/run.json")) if day_of(path.parent)]
    runs = [(path.parent, json.loads(path.read_text("utf-8"))) for path in records]
    return max(runs, key=lambda run: (run[1]["finished"], run[0].name), default=(district.out, None))


def unfinished(district: District) -> dict[str, Any] | None:
    """The latest run, if it began and did not finish."""
    log = district.state / LOG
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if whole(line)] if log.is_file() else []
    begun = next((line for line in reversed(lines) if line["event"] == "begun"), None)
    if begun is None:
        return None
    ends = {line["event"]: line for line in lines[lines.index(begun) :] if line["run"] == begun["run"]}
    if "finished" in ends:
        return None
    why = ends["failed"]["why"] if "failed" in ends else None
    running = "failed" not in ends and is_held(district.state)
    since = datetime.fromisoformat(begun["run"]).isoformat(timespec="seconds")
    return {"since": since, "as_of": begun["as_of"], "running": running, "why": why}


def whole(line: str) -> bool:
    """Whether a line of the log is whole: the last one may have been cut by what ended its run."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def owed(district: District, out: Path) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Cases by status, and the jurisdictions that are late with answers, latest first."""
    if isinstance(district.ledger, Path) and not district.ledger.is_file():
        return dict.fromkeys(STATUSES, 0), []
    names = pd.DataFrame({"code": [], "name": []})
    if (out / "answers.csv").is_file():
        table = pd.read_csv(out / "answers.csv", dtype=str, keep_default_na=False)
        names = table.rename(columns={"jurisdiction": "code"})[["code", "name"]]
    section = district.configuration
    with open_ledger(district.ledger, district.name, writing=False) as ledger:
        counted = standing(ledger)["status"].value_counts()
        table = answers(ledger, names, section.district.as_of, section.ledger.answer_days)
    late = table[table["overdue"] > 0].sort_values(["days_overdue", "jurisdiction"], ascending=[False, True])
    columns = ["jurisdiction", "name", "overdue", "days_overdue"]
    return {word: int(counted.get(word, 0)) for word in STATUSES}, late[columns].to_dict("records")


def as_text(told: Status, district: District) -> str:
    """The status as a person reads it, in the district's language."""
    words = WORDS[district.configuration.district.language]
    if told.last is None and told.unfinished is None:
        return words["none"].format(path=district.path)
    lines = []
    if told.last:
        lines.append(words["last"].format(**told.last))
    if told.unfinished:
        word = "running" if told.unfinished["running"] else "broken"
        why = told.unfinished["why"] or words["killed"]
        lines.append(words[word].format(since=told.unfinished["since"], why=why))
    if told.last:
        lines.append(words["aside"].format(count=told.set_aside, file=told.quarantine))
        lines.append(words["cases"].format(**told.cases))
    if told.blind is not None:
        site = "-" if told.smallest_site_m2 is None else f"{told.smallest_site_m2:.0f} m2"
        lines.append(words["seen"].format(blind=told.blind, site=site))
    for one in told.sensors:
        if one["seen"] is not None:
            lines.append(words["sensor"].format(**one))
            lines += [words["beside"].format(**one)] * bool(one["scenes_beside"])
    lines.append(words["owed"].format(count=sum(one["overdue"] for one in told.overdue)))
    lines += [words["overdue"].format(**one) for one in told.overdue]
    return "\n".join(lines)


def as_dict(told: Status) -> dict[str, Any]:
    """The status as plain values."""
    return asdict(told)
