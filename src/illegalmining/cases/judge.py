"""Detections against the registers, as of the evidence's own dates: what each says for or against an offence.

A judgement names the kind of offence a detection speaks to, the probability that the registers forbid what was seen
(`p_against`), the other readings there are (`rivals`), whose it is, and one sentence for a reader. What the registers
explain yields no judgement. All detections of a kind are judged together: a million take a minute.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.boundary import Outside, areas_outside, outside_elevations
from illegalmining.cases.evidence import Evidence, growth, unpacked
from illegalmining.cases.ground import NONE, Grounds, Neighbourhood
from illegalmining.cases.verdict import Judgement, JudgingParameters
from illegalmining.cases.wording import SENSORS, says
from illegalmining.registers.allowed import ShutDays
from illegalmining.registers.read import Registers

HECTARE = 10_000.0
FROM_90_PERCENT = 2 * 1.645
"""Width of a 90 % interval in standard deviations."""


def judge(
    detections: gpd.GeoDataFrame, registers: Registers, language: str, parameters: JudgingParameters | None = None
) -> list[Judgement]:
    """Detections held against the registers as of their own dates; what the registers explain yields no judgement.

    One judgement an offence that a detection speaks for or against, in the order of `detections` (`tables.DETECTIONS`
    in the registers' CRS): `log_lr` in nats, `p_against` 0-1, other readings in `rivals`. language: `en` or `zh`.

    Examples
    --------
    >>> table = pd.DataFrame(im.judge(im.read_run(district.out).detections, registers, "en"))
    >>> bool(table["p_against"].between(0, 1).all())
    True
    """
    with uncollected():
        return judged(detections, registers, language, parameters or JudgingParameters())


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for garbage while millions of objects are made that all stay: each search would visit them again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def judged(
    detections: gpd.GeoDataFrame, registers: Registers, language: str, parameters: JudgingParameters
) -> list[Judgement]:
    """See `judge`."""
    evidence = unpacked(detections)
    court = Court(registers, language, parameters)
    question = [row["attributes"].get("question") for row in evidence.rows]
    building = np.array([asked == "building" for asked in question], dtype=bool)
    ground = np.array([row["detector"] in SENSORS for row in evidence.rows], dtype=bool) & ~building
    face = np.array([asked == "undeclared_face" for asked in question], dtype=bool)
    of_mine = np.array([asked in MINE_QUESTIONS for asked in question], dtype=bool)
    verdicts: list[list[Judgement]] = [[] for _ in evidence.rows]
    hearings = (
        (ground, court.excavations),
        (building, court.buildings),
        (face, court.undeclared_faces),
        (of_mine, court.mine_questions),
    )
    for chosen, hear in hearings:
        positions = np.flatnonzero(chosen)
        for position, found in zip(positions, hear(evidence.taken(positions)), strict=True):
            verdicts[position] = found
    return [verdict for found in verdicts for verdict in found]


class Court:
    """The registers, ready to be asked about many detections at once."""

    def __init__(self, registers: Registers, language: str, parameters: JudgingParameters) -> None:
        self.registers = registers
        self.language = language
        self.parameters = parameters
        self.places = Neighbourhood(registers.concessions, registers.mines, parameters.position.register_sd_m)
        self.shut = ShutDays(registers.mine_status)

    def excavations(self, evidence: Evidence) -> list[list[Judgement]]:
        """Ground laid bare: outside every licence, over a boundary, in a shut mine, or lawful."""
        found: list[list[Judgement]] = [[] for _ in evidence.rows]
        grounds = self.places.licensed(
            evidence.outlines, evidence.first, evidence.worked, "opencast", self.parameters.attach_m
        )
        outside_all = np.flatnonzero(grounds.row == NONE)
        for position, verdict in zip(outside_all, self.unlicensed(evidence.taken(outside_all)), strict=True):
            found[position] = [verdict]
        attached = np.flatnonzero(grounds.row != NONE)
        for position, verdicts in zip(
            attached, self.licensed(evidence.taken(attached), grounds, attached), strict=True
        ):
            found[position] = verdicts
        return found

    def licensed(self, evidence: Evidence, grounds: Grounds, attached: NDArray[np.int64]) -> list[list[Judgement]]:
        """Excavations on or beside a licence in force: how much lies outside, and was the mine allowed to work."""
        if not len(attached):
            return []
        position = self.parameters.position
        beyond = areas_outside(
            evidence.outlines,
            grounds.ground[attached],
            grounds.shapes,
            np.hypot(position.image_sd_m, grounds.register_sd_m[grounds.ground[attached]]),
            np.full(len(attached), position.outside_m2),
            position,
        )
        mines, attribution = self.whose(evidence.outlines, grounds.row[attached])
        shut, dug = self.is_shut(evidence, mines), self.dug_while_shut(evidence, mines)
        verdicts = []
        for i, outside in enumerate(beyond):
            number = str(self.places.licence_numbers[grounds.row[attached[i]]])
            common = {"mine_id": mines[i], "licence_no": number, "attribution": attribution[i], "mine_is_shut": shut[i]}
            said = []
            if outside.probability > 0:
                named = number + self.further(grounds, attached[i])
                text = self.excavation_text(evidence, i, "excavation_beyond", named, outside)
                rivals = (("inside_licence", 1 - outside.probability),) if outside.probability < 1 else ()
                p = outside.probability
                said.append(self.judgement(evidence, i, "beyond_boundary", text, p, rivals, outside=outside, **common))
            if outside.probability < 1 and mines[i] is not None:
                said.append(self.inside(evidence, i, 1 - outside.probability, dug[i], common))
            verdicts.append(said)
        return verdicts

    def inside(
        self, evidence: Evidence, i: int, p_inside: float, dug_shut_m2: float, common: dict[str, Any]
    ) -> Judgement:
        """An excavation within its licence: an offence where it was dug while the mine was shut, else proof of work."""
        row = evidence.rows[i]
        rivals = (("outside_licence", 1 - p_inside),) if p_inside < 1 else ()
        if dug_shut_m2 >= self.parameters.position.outside_m2:
            status = self.shut.words(common["mine_id"], int(evidence.first[i]), int(evidence.last[i]))
            text = self.excavation_text(evidence, i, "excavation_shut", status=status)
            return self.judgement(evidence, i, "active_while_shut", text, p_inside, rivals, **common)
        text = self.excavation_text(evidence, i, "excavation_lawful")
        against = -abs(row["log_lr"])
        return self.judgement(evidence, i, "paper_output", text, p_inside, rivals, log_lr=against, **common)

    def unlicensed(self, evidence: Evidence) -> list[Judgement]:
        """Excavations attached to no licence in force; near a yard they may be the yard's own works."""
        lapsed = self.places.lapsed(evidence.outlines, evidence.first, evidence.worked)
        mines, attribution = self.whose(evidence.outlines, lapsed)
        yard, shut = self.places.near_yard(evidence.outlines, self.parameters.yard_m), self.is_shut(evidence, mines)
        readings = {beside: self.rivals_of_bare_ground(beside) for beside in (False, True)}
        mining = {beside: 1.0 - sum(share for _, share in rivals) for beside, rivals in readings.items()}
        verdicts = []
        for i in range(len(evidence.rows)):
            expired = lapsed[i] != NONE
            number = str(self.places.licence_numbers[lapsed[i]]) if expired else None
            text = self.excavation_text(
                evidence, i, "excavation_expired" if expired else "excavation_unlicensed", number
            )
            beside = bool(yard[i]) and not expired
            rivals, p_against = readings[beside], mining[beside]
            common = {"mine_id": mines[i], "licence_no": number, "attribution": attribution[i], "mine_is_shut": shut[i]}
            verdicts.append(self.judgement(evidence, i, "unlicensed", text, p_against, rivals, **common))
        return verdicts

    def buildings(self, evidence: Evidence) -> list[list[Judgement]]:
        """Ground that has changed, but now looks like buildings: against a mine, whatever the licence."""
        return [
            [self.judgement(evidence, i, "unlicensed", self.excavation_text(evidence, i, "building"), 1.0)]
            for i in range(len(evidence.rows))
        ]

    def rivals_of_bare_ground(self, beside_yard: bool) -> tuple[tuple[str, float], ...]:
        """What else ground laid bare outside every licence may be; whatever is left is mining."""
        natural = (("construction", self.parameters.construction), ("nature", self.parameters.nature))
        if not beside_yard:
            return natural
        left = 1 - self.parameters.yard_works
        return (("yard_works", self.parameters.yard_works), *((name, share * left) for name, share in natural))

    def undeclared_faces(self, evidence: Evidence) -> list[list[Judgement]]:
        """Movement that no declared face accounts for: within a licence, leaving it, or where there is none."""
        grounds = self.places.licensed(
            evidence.outlines, evidence.first, evidence.worked, "underground", self.parameters.attach_m
        )
        mines, attribution = self.whose(evidence.outlines, grounds.row)
        outside = self.faces_outside(evidence, grounds)
        shut = self.is_shut(evidence, mines)
        whose = [
            {"mine_id": mine, "attribution": how, "mine_is_shut": stopped}
            for mine, how, stopped in zip(mines, attribution, shut.tolist(), strict=True)
        ]
        return [
            [self.undeclared_face(evidence, i, grounds, whose[i], outside.get(i))] for i in range(len(evidence.rows))
        ]

    def undeclared_face(
        self, evidence: Evidence, i: int, grounds: Grounds, whose: dict[str, Any], outside: Outside | None
    ) -> Judgement:
        """One face: which of the three it is, and what says so."""
        row, licence = evidence.rows[i], int(grounds.row[i])
        first, area = evidence.first_day[i], row["area_m2"] / HECTARE
        if licence == NONE and self.registers.concessions is not None:
            text = says("face_unlicensed", self.language, first=first, area=area)
            return self.judgement(evidence, i, "unlicensed", text, 1.0, **whose)
        peak = float(row["attributes"].get("peak_mm") or 0.0)
        if outside is None:
            text = says("face_hidden", self.language, first=first, area=area, peak=peak, inside="")
            return self.judgement(evidence, i, "hidden_working_face", text, 1.0, **whose)
        number = str(self.places.licence_numbers[licence])
        named = number + self.further(grounds, i)
        p_level = self.out_of_elevation(row, licence)
        if outside.probability > 0.5 or p_level > 0.5:
            level = p_level > outside.probability
            text = says(
                "face_out_of_elevation" if level else "face_beyond",
                self.language,
                first=first,
                licence=named,
                outside=outside.area_m2 / HECTARE,
                p=max(p_level, outside.probability),
                depth=float(row["attributes"].get("depth_m") or 0.0),
            )
            return self.judgement(
                evidence, i, "beyond_boundary", text, 1.0, outside=outside, licence_no=number, **whose
            )
        text = says("face_hidden", self.language, first=first, area=area, peak=peak, inside=f" ({named})")
        return self.judgement(evidence, i, "hidden_working_face", text, 1.0, licence_no=number, **whose)

    def faces_outside(self, evidence: Evidence, grounds: Grounds) -> dict[int, Outside]:
        """How much of each face lies outside its licence; a share of its own area must, before it counts."""
        attached = np.flatnonzero(grounds.row != NONE)
        position = self.parameters.position
        stated = [evidence.rows[i]["attributes"].get("position_sd_m") for i in attached]
        sd = np.array([float(one or position.image_sd_m) for one in stated])
        size = np.array([evidence.rows[i]["area_m2"] for i in attached])
        ground = grounds.ground[attached]
        found = areas_outside(
            evidence.outlines[attached],
            ground,
            grounds.shapes,
            np.hypot(sd, grounds.register_sd_m[ground]),
            self.parameters.face_outside_share * size,
            replace(position, blur_m=0.0),
        )
        return dict(zip(attached.tolist(), found, strict=True))

    def out_of_elevation(self, row: dict[str, Any], licence: int) -> float:
        """Probability that a face lies above or below its licence's elevation range; 0 where nothing says."""
        attributes, (ground, top, bottom) = row["attributes"], self.places.elevations[licence]
        if attributes.get("depth_m") is None or np.isnan(ground):
            return 0.0
        depth = float(attributes["depth_m"])
        low, high = attributes.get("depth_low_m"), attributes.get("depth_high_m")
        known = low is not None and high is not None
        sd = (float(high) - float(low)) / FROM_90_PERCENT if known else self.parameters.depth_share * depth
        return outside_elevations(ground, depth, sd, top, bottom, self.parameters.seam_m, self.parameters.deepest_m)

    def mine_questions(self, evidence: Evidence) -> list[list[Judgement]]:
        """Evidence whose mine is known: power, and declared faces that move when or as they should not."""
        mines = np.array([row["mine_id"] for row in evidence.rows], dtype=object)
        shut = self.is_shut(evidence, mines).tolist()
        return [self.mine_question(evidence, i, shut[i]) for i in range(len(evidence.rows))]

    def mine_question(self, evidence: Evidence, i: int, shut: bool) -> list[Judgement]:
        """What one detection says of the mine it names."""
        row = evidence.rows[i]
        question, mine_id, attributes = row["attributes"]["question"], row["mine_id"], row["attributes"]
        kind, key = MINE_QUESTIONS[question]
        if kind == "paper_output" and not self.declares_output(mine_id, row["first_seen"], row["last_seen"]):
            return []
        values = {
            "first": evidence.first_day[i],
            "last": evidence.last_day[i],
            "status": self.shut.words(mine_id, int(evidence.first[i]), int(evidence.last[i])),
            "face": attributes.get("face_id", ""),
            "meter": attributes.get("meter_id", ""),
            "nights": int(attributes.get("nights") or attributes.get("days") or 0),
            "tonnes": float(attributes.get("tonnes") or 0.0),
        }
        text = says(key, self.language, **values)
        log_lr = -abs(row["log_lr"]) if question in COUNTER_QUESTIONS else row["log_lr"]
        whose = {"mine_id": mine_id, "licence_no": self.licence_of.get(mine_id), "mine_is_shut": shut}
        named = "named" if mine_id is not None else None
        return [self.judgement(evidence, i, kind, text, 1.0, log_lr=log_lr, attribution=named, **whose)]

    def judgement(
        self,
        evidence: Evidence,
        i: int,
        kind: str,
        text: str,
        p_against: float,
        rivals: tuple[tuple[str, float], ...] = (),
        *,
        log_lr: float | None = None,
        **more: Any,
    ) -> Judgement:
        """Put a verdict on record."""
        row = evidence.rows[i]
        depth = row["attributes"].get("depth_m")
        return Judgement(
            detection_id=row["detection_id"],
            detector=row["detector"],
            kind=kind,
            log_lr=row["log_lr"] if log_lr is None else log_lr,
            p_against=p_against,
            first_seen=row["first_seen"],
            last_seen=row["last_seen"],
            area_m2=row["area_m2"],
            says=text,
            geometry=evidence.outlines[i],
            depth_m=None if depth is None else float(depth),
            rivals=rivals,
            **more,
        )

    def is_shut(self, evidence: Evidence, mines: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each mine was shut for most of the days of the evidence beside it."""
        days = self.shut.shut_days_each(self.shut.numbers_of(mines), evidence.first, evidence.last)
        return days > self.parameters.shut_share * (evidence.last - evidence.first + 1)

    def whose(self, outlines: NDArray[Any], rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The mine behind each outline, and how it is known: by the licence it lies on, else the nearest operator."""
        mines = np.array(
            [None if row == NONE else self.places.mine_of.get(self.places.licence_numbers[row]) for row in rows],
            dtype=object,
        )
        attribution = np.array([None if mine is None else "licence" for mine in mines], dtype=object)
        lost = np.flatnonzero([mine is None for mine in mines])
        near, distance = self.places.operators(outlines[lost], self.parameters.operator_m)
        mines[lost] = near
        attribution[lost[np.isfinite(distance)]] = "near"
        return mines, attribution

    def further(self, grounds: Grounds, i: int) -> str:
        """The other licences whose ground it also is, for a reader."""
        others = [row for row in grounds.others[grounds.ground[i]] if row != grounds.row[i]]
        numbers = dict.fromkeys(str(self.places.licence_numbers[row]) for row in others)
        return "".join(f" + {number}" for number in numbers)

    def dug_while_shut(self, evidence: Evidence, mines: NDArray[Any]) -> NDArray[np.float64]:
        """The area of each excavation first seen dug on days on which its mine had been shut for a while, m2."""
        numbers = self.shut.numbers_of(mines)
        asked = np.flatnonzero(numbers >= 0)
        dug = np.zeros(len(mines))
        if len(asked):
            parts = growth(evidence.taken(asked))
            mine, before = numbers[asked][parts.of], parts.days - self.parameters.onset_margin_days
            shut = self.shut.is_shut_each(mine, parts.days) & self.shut.is_shut_each(mine, before)
            dug[asked] = np.bincount(parts.of, parts.areas * shut, minlength=len(asked))
        return dug

    def excavation_text(
        self,
        evidence: Evidence,
        i: int,
        key: str,
        licence: str | None = None,
        outside: Outside | None = None,
        status: str = "",
    ) -> str:
        """The sentence for an excavation."""
        row = evidence.rows[i]
        return says(
            key,
            self.language,
            sensor=SENSORS[row["detector"]][self.language],
            area=row["area_m2"] / HECTARE,
            first=evidence.first_day[i],
            licence=licence or "",
            status=status,
            outside=0.0 if outside is None else outside.area_m2 / HECTARE,
            p=0.0 if outside is None else outside.probability,
        )

    @cached_property
    def licence_of(self) -> dict[Any, str]:
        """The licence each mine works under."""
        mines = self.registers.mines
        if mines is None:
            return {}
        known = mines.dropna(subset="licence_no").drop_duplicates("mine_id")
        return dict(zip(known["mine_id"], known["licence_no"], strict=True))

    @cached_property
    def declared(self) -> dict[Any, list[str]]:
        """The months in which each mine declares tonnes, in order."""
        table = self.registers.production
        if table is None:
            return {}
        months = table[table["tonnes"] > 0].sort_values("month").groupby("mine_id")["month"]
        return {mine_id: list(found) for mine_id, found in months}

    def declares_output(self, mine_id: str | None, first: pd.Timestamp, last: pd.Timestamp) -> bool:
        """Whether the mine declares tonnes in the months of the evidence."""
        months = self.declared.get(mine_id, [])
        place = bisect_left(months, f"{first:%Y-%m}")
        return place < len(months) and months[place] <= f"{last:%Y-%m}"


# question a detector asks of a known mine -> (kind of offence it speaks to, sentence)
MINE_QUESTIONS = {
    "worked_while_forbidden": ("active_while_shut", "power_forbidden"),
    "moved_to_neighbour": ("active_while_shut", "power_moved"),
    "meter_silent": ("active_while_shut", "power_silent"),
    "mine_like_meter": ("unlicensed", "power_unregistered"),
    "declared_but_idle": ("paper_output", "power_idle"),
    "worked_as_allowed": ("paper_output", "power_working"),
    "declared_face_past_stop": ("hidden_working_face", "face_past_stop"),
    "declared_face_never_moved": ("paper_output", "face_never_moved"),
    "declared_face": ("paper_output", "face_moved"),
}
COUNTER_QUESTIONS = ("worked_as_allowed", "declared_face")
