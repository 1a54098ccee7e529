"""The registers, ready to be asked about many detections at once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.evidence import Evidence
from illegalmining.cases.ground import Grounds, Neighbourhood
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.cases.wording import says
from illegalmining.registers.allowed import ShutDays
from illegalmining.registers.read import Registers

HECTARE = 10_000.0


class Court:
    """The registers, the language of the sentences, and the rules."""

    def __init__(self, registers: Registers, language: str, parameters: JudgingParameters) -> None:
        self.registers = registers
        self.language = language
        self.parameters = parameters
        self.places = Neighbourhood(registers.concessions, registers.mines, parameters.position.register_sd_m)
        self.shut = ShutDays(registers.mine_status)

    def licensed(self, evidence: Evidence, method: str) -> Grounds:
        """The ground that licences for a method in force then give each outline; see `Neighbourhood.licensed`."""
        return self.places.licensed(
            evidence.outlines, evidence["first"], evidence["worked"], method, self.parameters.attach_m
        )

    def laid_to(self, evidence: Evidence, rows: NDArray[np.int64]) -> Evidence:
        """Evidence with the licence at `rows` and the mine behind it: by that licence, else the nearest operator."""
        mines = self.places.mines_of(rows)
        lost = np.flatnonzero(pd.isna(mines))
        attribution = np.full(len(mines), "licence", dtype=object)
        mines[lost], distance = self.places.operators(evidence.outlines[lost], self.parameters.operator_m)
        attribution[lost] = "near"
        attribution[lost[np.isinf(distance)]] = None
        return evidence.having(
            mine_id=mines,
            licence_no=self.places.numbers(rows),
            attribution=attribution,
            mine_is_shut=self.is_shut(evidence, mines),
        )

    def is_shut(self, evidence: Evidence, mines: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each mine was shut for most of the days of the evidence beside it."""
        first, last = evidence["first"], evidence["last"]
        days = self.shut.shut_days_each(self.shut.numbers_of(mines), first, last)
        return days > self.parameters.shut_share * (last - first + 1)

    def statuses(self, evidence: Evidence) -> list[str]:
        """What each mine was allowed to do on the days of the evidence beside it, for a reader."""
        asked = zip(evidence["mine_id"], evidence["first"].tolist(), evidence["last"].tolist(), strict=True)
        return [self.shut.words(mine_id, first, last) for mine_id, first, last in asked]

    def says(self, key: str, evidence: Evidence, **more: Any) -> list[str]:
        """The sentence for each piece of evidence; more: what the template names besides days and extent in ha."""
        values = {"first": evidence["first_day"], "last": evidence["last_day"], "area": evidence["area_m2"] / HECTARE}
        return says(key, self.language, pd.DataFrame(values | more))

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
