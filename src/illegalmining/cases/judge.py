"""Detections against the registers, as of the evidence's own dates: what each says for or against an offence.

A judgement names the kind of offence a detection speaks to, the probability that the registers forbid what was seen
(`p_against`), the other readings there are (`rivals`), whose it is, and one sentence for a reader. What the registers
explain yields no judgement. All detections of a kind are judged together, column by column.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.cases.court import Court
from illegalmining.cases.evidence import unpacked
from illegalmining.cases.excavations import buildings, excavations
from illegalmining.cases.minequestions import MINE_QUESTIONS, mine_questions
from illegalmining.cases.undeclared import undeclared_faces
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.cases.wording import SENSORS
from illegalmining.registers.read import Registers
from illegalmining.tables import JUDGEMENTS


def judge(
    detections: gpd.GeoDataFrame, registers: Registers, language: str, parameters: JudgingParameters | None = None
) -> gpd.GeoDataFrame:
    """Detections held against the registers as of their own dates; what the registers explain yields no judgement.

    Parameters
    ----------
    detections : `tables.DETECTIONS` in the registers' CRS. language: of the sentences, `en` or `zh`.

    Returns
    -------
    `tables.JUDGEMENTS` in the CRS of `detections`: one row an offence that a detection speaks for or against, in the
    order of `detections`; `log_lr` in nats, `p_against` 0-1, other readings in `rivals`.

    Raises
    ------
    ValueError
        The attributes of a detection are no JSON object, or say a number in words.

    Examples
    --------
    >>> judgements = im.judge(im.read_run(district.out).detections, registers, "en")
    >>> bool(judgements["p_against"].between(0, 1).all())
    True
    >>> axes = judgements[judgements["p_against"] > 0.5].plot("kind", legend=True)
    """
    evidence = unpacked(detections)
    court = Court(registers, language, parameters or JudgingParameters())
    question = evidence.table["question"]
    of_mine, face, building = question.isin(list(MINE_QUESTIONS)), question == "undeclared_face", question == "building"
    ground = evidence.table["detector"].isin(list(SENSORS)) & ~of_mine & ~face & ~building
    hearings = (
        (ground, excavations),
        (building, buildings),
        (face, undeclared_faces),
        (of_mine, mine_questions),
    )
    found = pd.concat([hear(court, evidence.taken(np.flatnonzero(chosen))) for chosen, hear in hearings])
    found = found.sort_index(kind="stable")
    copied = ["detection_id", "detector", "first_seen", "last_seen", "area_m2"]
    said = detections[[*copied, "geometry"]].iloc[found.index].reset_index(drop=True)
    table = said.join(found.reset_index(drop=True))[[*JUDGEMENTS.columns, "geometry"]]
    return gpd.GeoDataFrame(table, geometry="geometry", crs=detections.crs)
