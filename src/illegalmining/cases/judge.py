"""Detections against the registers, as of the evidence's own dates: what each says for or against an offence.

A judgement names the kind of offence a detection speaks to, the probability that the registers forbid what was seen
(`p_against`), whose it is, and one sentence for a reader. What the registers explain yields no judgement.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from illegalmining.cases.boundary import Outside, Position, area_outside
from illegalmining.cases.wording import SENSORS, says
from illegalmining.registers.allowed import forbidden_days, in_force, status_by_day, status_history
from illegalmining.registers.read import Registers
from illegalmining.tables import FORBIDDING_STATUSES

HECTARE = 10_000.0


@dataclass(frozen=True)
class JudgingParameters:
    """How detections are held against registers.

    position: how well outlines and corners are known. attach_m: an excavation this near a licence in force is that
    licence's, m. yard_m: ground works this near a mine's yard may be the yard's own, m. yard_works: the probability
    that they are. operator_m: the neighbourhood in which an excavation has a likely operator, m (the Indian MSS looks
    500 m around leases).
    onset_margin_days: how late a sensor may notice what was dug before an order, days; work counts as done while shut
    only after that.
    face_outside_share: the share of a face that must lie outside before it leaves its licence.
    """

    position: Position = field(default_factory=Position)
    attach_m: float = 60.0
    yard_m: float = 100.0
    yard_works: float = 0.6
    operator_m: float = 500.0
    onset_margin_days: int = 20
    face_outside_share: float = 0.15


@dataclass(frozen=True)
class Judgement:
    """What one detection says. log_lr: nats for the offence (negative: against it). p_against: 0-1."""

    detection_id: str
    detector: str
    kind: str
    log_lr: float
    p_against: float
    first_seen: pd.Timestamp
    last_seen: pd.Timestamp
    area_m2: float
    says: str
    geometry: BaseGeometry
    mine_id: str | None = None
    licence_no: str | None = None
    area_outside_m2: float | None = None
    depth_m: float | None = None
    mine_is_shut: bool = False


def judge(
    detections: gpd.GeoDataFrame, registers: Registers, language: str, parameters: JudgingParameters | None = None
) -> list[Judgement]:
    """Judge every detection; order follows `detections`."""
    court = Court(registers, language, parameters or JudgingParameters())
    found: list[Judgement] = []
    for row in detections.to_dict("records"):
        row["attributes"] = json.loads(row["attributes"])
        found.extend(court.hear(row))
    return found


class Court:
    """The registers, ready to be asked about one detection after another."""

    def __init__(self, registers: Registers, language: str, parameters: JudgingParameters) -> None:
        self.registers = registers
        self.language = language
        self.parameters = parameters

    def hear(self, row: dict[str, Any]) -> list[Judgement]:
        """All that one detection says."""
        if row["detector"] in ("surface", "radar"):
            return self.excavation(row)
        question = row["attributes"].get("question")
        if question == "undeclared_face":
            return [self.undeclared_face(row)]
        if question in MINE_QUESTIONS:
            return self.mine_question(row, question)
        return []

    def excavation(self, row: dict[str, Any]) -> list[Judgement]:
        """Ground laid bare: outside every licence, over a boundary, in a shut mine, or lawful."""
        lawful = self.licences(row, "opencast")
        near = lawful[lawful.distance(row["geometry"]) <= self.parameters.attach_m] if len(lawful) else lawful
        if near.empty:
            return [self.unlicensed_excavation(row)]
        licence = self.nearest(near, row["geometry"])
        mine_id = self.mine_of_licence(licence["licence_no"]) or self.mine_near(row["geometry"])
        outside = area_outside(
            row["geometry"], near.union_all(), self.parameters.position, self.parameters.position.image_sd_m
        )
        common = {"mine_id": mine_id, "licence_no": licence["licence_no"]}
        verdicts = []
        if outside.probability > 0:
            text = self.excavation_text(row, "excavation_beyond", licence["licence_no"], outside)
            verdicts.append(
                self.judgement(row, "beyond_boundary", text, outside.probability, outside=outside, **common)
            )
        if outside.probability < 1:
            verdicts.extend(self.excavation_inside(row, 1 - outside.probability, common))
        return verdicts

    def excavation_inside(self, row: dict[str, Any], p_inside: float, common: dict[str, Any]) -> list[Judgement]:
        """An excavation within its licence: an offence where the mine was shut when it began, else proof of work."""
        mine_id = common["mine_id"]
        if mine_id and self.dug_while_shut(row, mine_id) >= self.parameters.position.outside_m2:
            status = self.status(mine_id, row["first_seen"], row["last_seen"])
            text = self.excavation_text(row, "excavation_shut", status=status)
            return [self.judgement(row, "active_while_shut", text, p_inside, **common)]
        if not mine_id:
            return []
        text = self.excavation_text(row, "excavation_lawful")
        return [self.judgement(row, "paper_output", text, p_inside, log_lr=-abs(row["log_lr"]), **common)]

    def unlicensed_excavation(self, row: dict[str, Any]) -> Judgement:
        """An excavation attached to no licence in force; near a yard it may be the yard's own works."""
        lapsed = self.registers.concessions
        if lapsed is not None:
            lapsed = lapsed[~in_force(lapsed, row["first_seen"], worked_until(row))]
            lapsed = lapsed[lapsed.intersects(row["geometry"])]
        expired = lapsed is not None and len(lapsed) > 0
        licence_no = self.nearest(lapsed, row["geometry"])["licence_no"] if expired else None
        mine_id = (self.mine_of_licence(licence_no) if licence_no else None) or self.mine_near(row["geometry"])
        text = self.excavation_text(row, "excavation_expired" if expired else "excavation_unlicensed", licence_no)
        p_against = 1.0 if expired or not self.is_yard(row["geometry"]) else 1 - self.parameters.yard_works
        return self.judgement(row, "unlicensed", text, p_against, mine_id=mine_id, licence_no=licence_no)

    def undeclared_face(self, row: dict[str, Any]) -> Judgement:
        """Movement that no declared face accounts for: within a licence, leaving it, or where there is none."""
        attributes = row["attributes"]
        first = f"{row['first_seen']:%Y-%m-%d}"
        area = row["area_m2"] / HECTARE
        lawful = self.licences(row, "underground")
        near = lawful[lawful.distance(row["geometry"]) <= self.parameters.attach_m] if len(lawful) else lawful
        if near.empty and self.registers.concessions is not None:
            text = says("face_unlicensed", self.language, first=first, area=area)
            return self.judgement(row, "unlicensed", text, 1.0, mine_id=self.mine_near(row["geometry"]))
        licence_no = None if near.empty else self.nearest(near, row["geometry"])["licence_no"]
        mine_id = self.mine_of_licence(licence_no) or self.mine_near(row["geometry"])
        common: dict[str, Any] = {"mine_id": mine_id, "licence_no": licence_no}
        if licence_no is not None:
            sd = float(attributes.get("position_sd_m") or self.parameters.position.image_sd_m)
            least = self.parameters.face_outside_share * row["area_m2"]
            position = Position(self.parameters.position.image_sd_m, blur_m=0.0, outside_m2=least)
            outside = area_outside(row["geometry"], near.union_all(), position, sd)
            if outside.probability > 0.5:
                text = says(
                    "face_beyond",
                    self.language,
                    first=first,
                    licence=licence_no,
                    outside=outside.area_m2 / HECTARE,
                    p=outside.probability,
                )
                return self.judgement(row, "beyond_boundary", text, 1.0, outside=outside, **common)
        where = f" ({licence_no})" if licence_no else ""
        peak = float(attributes.get("peak_mm") or 0.0)
        text = says("face_hidden", self.language, first=first, area=area, peak=peak, inside=where)
        return self.judgement(row, "hidden_working_face", text, 1.0, **common)

    def mine_question(self, row: dict[str, Any], question: str) -> list[Judgement]:
        """Evidence whose mine is known: power, and declared faces that move when or as they should not."""
        kind, key = MINE_QUESTIONS[question]
        mine_id, attributes = row["mine_id"], row["attributes"]
        if kind == "paper_output" and not self.declares_output(mine_id, row["first_seen"], row["last_seen"]):
            return []
        values = {
            "first": f"{row['first_seen']:%Y-%m-%d}",
            "last": f"{row['last_seen']:%Y-%m-%d}",
            "status": self.status(mine_id, row["first_seen"], row["last_seen"]),
            "face": attributes.get("face_id", ""),
            "meter": attributes.get("meter_id", ""),
            "nights": int(attributes.get("nights") or attributes.get("days") or 0),
            "tonnes": float(attributes.get("tonnes") or 0.0),
        }
        text = says(key, self.language, **values)
        log_lr = -abs(row["log_lr"]) if question in COUNTER_QUESTIONS else row["log_lr"]
        return [self.judgement(row, kind, text, 1.0, log_lr=log_lr, mine_id=mine_id, licence_no=self.licence(mine_id))]

    def judgement(
        self,
        row: dict[str, Any],
        kind: str,
        text: str,
        p_against: float,
        *,
        mine_id: str | None = None,
        licence_no: str | None = None,
        outside: Outside | None = None,
        log_lr: float | None = None,
    ) -> Judgement:
        """Put a verdict on record."""
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
            geometry=row["geometry"],
            mine_id=mine_id,
            licence_no=licence_no,
            area_outside_m2=None if outside is None else outside.area_m2,
            depth_m=None if depth is None else float(depth),
            mine_is_shut=mine_id is not None and self.shut_share(mine_id, row["first_seen"], row["last_seen"]) > 0.5,
        )

    def excavation_text(
        self,
        row: dict[str, Any],
        key: str,
        licence: str | None = None,
        outside: Outside | None = None,
        status: str = "",
    ) -> str:
        """The sentence for an excavation."""
        return says(
            key,
            self.language,
            sensor=SENSORS[row["detector"]][self.language],
            area=row["area_m2"] / HECTARE,
            first=f"{row['first_seen']:%Y-%m-%d}",
            licence=licence or "",
            status=status,
            outside=0.0 if outside is None else outside.area_m2 / HECTARE,
            p=0.0 if outside is None else outside.probability,
        )

    def licences(self, row: dict[str, Any], method: str) -> gpd.GeoDataFrame:
        """Licences for a method, in force on all the days of the evidence."""
        table = self.registers.concessions
        if table is None:
            return gpd.GeoDataFrame({"licence_no": []}, geometry=[])
        return table[(table["method"] == method) & in_force(table, row["first_seen"], worked_until(row))]

    @staticmethod
    def nearest(table: gpd.GeoDataFrame, outline: BaseGeometry) -> pd.Series:
        """The row with the largest overlap, else the least distance, ties by the register's order."""
        score = table.distance(outline) - table.intersection(outline).area
        return table.loc[score.idxmin()]

    def licence(self, mine_id: str | None) -> str | None:
        """The licence a mine works under."""
        mines = self.registers.mines
        if mines is None or mine_id is None:
            return None
        found = mines.loc[mines["mine_id"] == mine_id, "licence_no"].dropna()
        return str(found.iloc[0]) if len(found) else None

    def mine_of_licence(self, licence_no: str | None) -> str | None:
        """The first mine that works under a licence."""
        mines = self.registers.mines
        if mines is None or licence_no is None:
            return None
        found = mines.loc[mines["licence_no"] == licence_no, "mine_id"]
        return str(found.iloc[0]) if len(found) else None

    def mine_near(self, outline: BaseGeometry) -> str | None:
        """The nearest mine within the neighbourhood of a likely operator."""
        mines = self.registers.mines
        if mines is None or mines.empty:
            return None
        distance = mines.distance(outline)
        return str(mines.loc[distance.idxmin(), "mine_id"]) if distance.min() <= self.parameters.operator_m else None

    def is_yard(self, outline: BaseGeometry) -> bool:
        """Whether ground works may be a yard's own."""
        mines = self.registers.mines
        return mines is not None and len(mines) > 0 and bool(mines.distance(outline).min() <= self.parameters.yard_m)

    def shut_share(self, mine_id: str, first: pd.Timestamp, last: pd.Timestamp) -> float:
        """The share of days on which the mine's status forbids production."""
        return forbidden_days(self.registers.mine_status, mine_id, first, last) / ((last - first).days + 1)

    def dug_while_shut(self, row: dict[str, Any], mine_id: str) -> float:
        """The area first seen dug on days on which the mine had been forbidden to produce for a while, m2."""
        dates, areas = growth(row)
        margin = pd.Timedelta(days=self.parameters.onset_margin_days)
        days = dates.union(dates - margin)
        shut = status_by_day(self.registers.mine_status, mine_id, days).isin(FORBIDDING_STATUSES)
        return float(areas[shut[dates].to_numpy() & shut[dates - margin].to_numpy()].sum())

    def status(self, mine_id: str | None, first: pd.Timestamp, last: pd.Timestamp) -> str:
        """The statuses that held, for a reader; those that forbid production where there are any."""
        if mine_id is None:
            return ""
        words = status_history(self.registers.mine_status, mine_id, first, last).split("; ")
        forbidding = [word for word in words if word.split(" ")[0] in FORBIDDING_STATUSES]
        return "; ".join(forbidding or words)

    def declares_output(self, mine_id: str | None, first: pd.Timestamp, last: pd.Timestamp) -> bool:
        """Whether the mine declares tonnes in the months of the evidence."""
        table = self.registers.production
        if table is None or mine_id is None:
            return False
        rows = table[(table["mine_id"] == mine_id) & table["month"].between(f"{first:%Y-%m}", f"{last:%Y-%m}")]
        return bool(rows["tonnes"].sum() > 0)


def growth(row: dict[str, Any]) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """The days on which parts of an excavation were first seen, and each part's area, m2."""
    grown = row["attributes"].get("growth")
    if not grown or not grown["dates"]:
        return pd.DatetimeIndex([row["first_seen"]]), np.array([row["area_m2"]])
    return pd.DatetimeIndex(grown["dates"]), np.diff(grown["area_m2"], prepend=0.0)


def worked_until(row: dict[str, Any]) -> pd.Timestamp:
    """The last day work is seen: a pit stays when its digging has ended, so the day most of it had been dug."""
    quantiles = row["attributes"].get("onset_quantiles")
    return max(pd.Timestamp(quantiles["0.9"]), row["first_seen"]) if quantiles else row["last_seen"]


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
