"""Movement that no declared face accounts for: within a licence, leaving it, or where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.boundary import areas_outside, outside_elevations
from illegalmining.cases.court import HECTARE, Court
from illegalmining.cases.evidence import Evidence
from illegalmining.cases.ground import NONE, Grounds
from illegalmining.cases.verdict import verdicts

FROM_90_PERCENT = 2 * 1.645
"""Width of a 90 % interval in standard deviations."""
LIKELY = 0.5
"""A face leaves its licence where that is more likely than not."""


def undeclared_faces(court: Court, evidence: Evidence) -> pd.DataFrame:
    """What undeclared faces say, by the licences in force when they moved."""
    grounds = court.licensed(evidence, "underground")
    evidence = court.laid_to(evidence, grounds.row)
    held, free = np.flatnonzero(grounds.row != NONE), np.flatnonzero(grounds.row == NONE)
    apart = evidence.taken(free)
    if court.registers.concessions is None:  # nobody knows where a licence is
        return hidden(court, apart, np.full(len(apart), "", dtype=object))
    outlawed = verdicts(apart, "unlicensed", court.says("face_unlicensed", apart), 1.0)
    return pd.concat([outlawed, *within(court, evidence.taken(held), grounds.taken(held))])


def within(court: Court, evidence: Evidence, grounds: Grounds) -> list[pd.DataFrame]:
    """Faces on or beside a licence in force: those that leave it, sideways or in height, and those hidden in it."""
    evidence = placed(court, evidence, grounds)
    sideways, in_height = evidence["p_outside"], evidence["p_level"]
    level = in_height > sideways
    leaves = np.maximum(sideways, in_height) > LIKELY
    found = []
    for key, chosen in (("face_out_of_elevation", leaves & level), ("face_beyond", leaves & ~level)):
        gone = evidence.taken(np.flatnonzero(chosen))
        text = court.says(
            key,
            gone,
            licence=gone["licences"],
            outside=gone["area_outside_m2"] / HECTARE,
            p=np.maximum(gone["p_level"], gone["p_outside"]),
            depth=np.nan_to_num(gone["depth_m"]),
        )
        found.append(verdicts(gone, "beyond_boundary", text, 1.0, outside=True))
    stays = evidence.taken(np.flatnonzero(~leaves))
    return [*found, hidden(court, stays, " (" + stays["licences"] + ")")]


def hidden(court: Court, evidence: Evidence, inside: NDArray[Any]) -> pd.DataFrame:
    """Faces that nobody declared, where one may be; inside: the licence, for a reader."""
    text = court.says("face_hidden", evidence, peak=np.nan_to_num(evidence["peak_mm"]), inside=inside)
    return verdicts(evidence, "hidden_working_face", text, 1.0)


def placed(court: Court, evidence: Evidence, grounds: Grounds) -> Evidence:
    """Evidence with how much of each face lies outside its licence, and the probability that it is out of its height.

    A share of the face's own area must lie outside before it counts.
    """
    position = court.parameters.position
    stated = evidence["position_sd_m"]
    sd = np.where(np.nan_to_num(stated) == 0, position.image_sd_m, stated)
    outside = areas_outside(
        evidence.outlines,
        grounds.ground,
        grounds.shapes,
        np.hypot(sd, grounds.register_sd_m[grounds.ground]),
        court.parameters.face_outside_share * evidence["area_m2"],
        replace(position, blur_m=0.0),
    )
    return evidence.having(
        **outside.columns,
        p_level=out_of_elevation(court, evidence, grounds.row),
        licences=evidence["licence_no"] + court.places.further(grounds),
    )


def out_of_elevation(court: Court, evidence: Evidence, licence: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability that each face lies above or below its licence's elevation range; 0 where nothing says."""
    p = court.parameters
    ground, top, bottom = court.places.elevations[licence].T
    depth, spread = evidence["depth_m"], evidence["depth_high_m"] - evidence["depth_low_m"]
    sd = np.where(np.isnan(spread), p.depth_share * depth, spread / FROM_90_PERCENT)
    return outside_elevations(ground, depth, sd, top, bottom, p.seam_m, p.deepest_m)
