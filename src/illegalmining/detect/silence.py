"""Meters that fall silent: a mine that draws less than its ventilation and drainage take. Said, never judged.

A mine left to flood is silent, and so is one that works on its own generators or on another's meter: only other
evidence (ground dug, ground sinking) can tell them apart, so the row carries no nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.detect.findings import detection
from illegalmining.detect.load import MineLoad
from illegalmining.detect.shut_mines import Orders, days_in_a_row, iso, rounded


@dataclass(frozen=True)
class SilenceParameters:
    """When a meter is silent. share: of the safety load, below which it is, 0.1-0.4. days: so many in a row."""

    share: float = 0.25
    days: int = 14


def silent(
    mine_id: str,
    geometry: Any,
    load: MineLoad | None,
    safety_kw: float,
    orders: Orders,
    first: pd.Timestamp,
    p: SilenceParameters,
) -> list[dict[str, Any]]:
    """The latest long silence of a shut mine's meter since `first`, if there was one; unread days are no silence."""
    if load is None or not safety_kw > 0:
        return []
    with np.errstate(invalid="ignore"):
        low = (load.mean_kw < p.share * safety_kw) & np.asarray(load.days >= first)
    low &= pd.Series(orders.forbidden, orders.statuses.index).reindex(load.days, fill_value=False).to_numpy()
    run = days_in_a_row(low)
    long = np.flatnonzero(run >= p.days)
    if not len(long):
        return []
    end = int(long[-1])
    begin = max(end - int(run[end]) + 1, int(np.flatnonzero(low)[0]))
    days = load.days
    attributes = {
        "question": "meter_silent",
        "status": str(orders.statuses.get(days[end], "")),
        "mean_kw": rounded(float(load.mean_kw[begin : end + 1].mean())),
        "safety_load_kw": rounded(safety_kw),
        "silent_from": iso(days[begin]),
    }
    return [detection("power", days[begin], days[end], 0.0, geometry, mine_id=mine_id, attributes=attributes)]
