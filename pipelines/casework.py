"""Detections to cases: judged, fused, known again, learned from; and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.cases.answers import answers, candidates, offenders
from illegalmining.cases.calibrate import Lesson, calibrate, cross_validated, learned_rivals, reliability
from illegalmining.cases.fuse import FusionParameters, fuse
from illegalmining.cases.identity import identify
from illegalmining.cases.judge import judge
from illegalmining.cases.known import remember_registers
from illegalmining.cases.ledger import RUNS, Ledger, open_ledger
from illegalmining.cases.outcomes import conflicts, lessons
from illegalmining.cases.rejudge import Present, rejudge
from illegalmining.district import District
from illegalmining.publish.casework import publish_calibration, publish_tables
from illegalmining.registers.jurisdiction import jurisdiction_of
from illegalmining.registers.read import Registers


@dataclass(frozen=True)
class Casework:
    """A run's cases, and the tables that follow from the ledger, by the name of their file."""

    cases: gpd.GeoDataFrame
    tables: dict[str, pd.DataFrame]
    learned: list[Lesson]


def decide(found: gpd.GeoDataFrame, registers: Registers, district: District) -> Casework:
    """Detections to cases with a place, an identity and a history: judged, fused, and entered in the ledger.

    What outcomes have taught is applied; a site that earlier runs knew keeps its case. Repeated with the same inputs it
    changes nothing; to try other detections or parameters without a trace in the ledger, call `judge` and `fuse`.

    Parameters
    ----------
    found : `tables.DETECTIONS`, as `gather` gives them. registers: in order.

    Returns
    -------
    The run's cases (`tables.CASES`, in the district's CRS), and the tables that follow from the ledger.

    Raises
    ------
    InputError
        The ledger cannot be opened.

    Examples
    --------
    >>> run = im.read_run(district.out)
    >>> again = im.decide(run.detections, registers, district)
    >>> again.cases["case_id"].tolist() == run.cases["case_id"].tolist()
    True
    """
    section, answer_days = district.configuration.district, district.configuration.ledger.answer_days
    with open_ledger(district.ledger, district.name) as ledger:
        learned = lessons(ledger)
        fusion, judging = calibrate(learned), learned_rivals(learned)

        def judged_by(known: Registers) -> gpd.GeoDataFrame:
            return fuse(judge(found, known, section.language, judging), fusion)

        cases = judged_by(registers)
        cases["jurisdiction"] = jurisdiction_of(registers.jurisdictions, cases.geometry)
        cases = operated(cases, registers)
        version = remember_registers(ledger, registers)
        run = begin_run(ledger, section.as_of, version)
        cases = identify(ledger, cases, section.as_of, run)
        cases["answer_due"] = cases["first_reported"] + timedelta(days=answer_days)
        turned = rejudge(ledger, Present(run, registers, version, cases, judged_by), section.as_of)
        tables = {"rejudged": turned, **owed(ledger, registers.jurisdictions, district)}
    return Casework(cases, tables, learned)


def owed(ledger: Ledger, jurisdictions: gpd.GeoDataFrame, district: District) -> dict[str, pd.DataFrame]:
    """What follows from the ledger: answers owed, offenders, candidates; by the name of their file."""
    section = district.configuration
    return {
        "answers": answers(ledger, jurisdictions, section.district.as_of, section.ledger.answer_days),
        "offenders": offenders(ledger),
        "untrustworthy_candidates": candidates(ledger),
        "conflicts": conflicts(ledger),
    }


def begin_run(ledger: Ledger, as_of: date, version: int) -> int:
    """The run's number; a run repeated on the same day with the same registers keeps its own."""
    runs = ledger.rows(RUNS)
    if runs and (runs[-1]["as_of"], runs[-1]["register_version"]) == (as_of.isoformat(), version):
        return int(runs[-1]["run"])
    number = ledger.next_number(RUNS.c.run)
    ledger.add(RUNS, [{"run": number, "as_of": as_of.isoformat(), "register_version": version}])
    return number


def operated(cases: gpd.GeoDataFrame, registers: Registers) -> gpd.GeoDataFrame:
    """Cases with the operator of their mine."""
    if registers.mines is not None:
        mines = registers.mines.drop_duplicates("mine_id").set_index("mine_id")
        for column in ("operator_id", "operator"):
            cases[column] = cases["mine_id"].map(mines[column]).astype(object).where(cases["mine_id"].notna(), None)
    return cases


def publish_casework(work: Casework, district: District) -> None:
    """The tables, the calibration and its plot, beside the cases."""
    publish_tables(work.tables, district.out)
    publish_lessons(work.learned, district)


def publish_lessons(learned: list[Lesson], district: District) -> FusionParameters:
    """`calibration.json` and `reliability.svg` from outcomes; returns the calibrated parameters."""
    fusion, judging = calibrate(learned), learned_rivals(learned)
    confirmed = np.array([lesson.confirmed for lesson in learned], dtype=bool)
    curves = (
        reliability(np.array([lesson.reported for lesson in learned]), confirmed),
        reliability(cross_validated(learned), confirmed),
    )
    corrections = {
        "scale": fusion.scale,
        "shift": fusion.shift,
        "rivals": {"construction": judging.construction, "nature": judging.nature},
    }
    publish_calibration(fusion.calibration, corrections, curves, district.configuration.district.language, district.out)
    return fusion
