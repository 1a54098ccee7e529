"""What a raid plan assumes, every number with its unit and its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import time

GRAIN_MIN = 5
"""Minutes in a step of the plan: convoys are not punctual to less. Times are rounded up to whole steps."""


@dataclass(frozen=True)
class Rules:
    """How teams work; assumptions to be set to the office's own figures, printed with every plan.

    start, end: working hours, local: from leaving the base to being back. danger: weight of a confirmed case by kind
    and by whether people are underground (see `danger_of`). inspection_min: minutes on the spot by kind; for
    underground ones time for seals, air flow and the way in and out. audit_min: the same where no case is known: of
    a mine, of open ground.
    speeds_kmh: by road class; `other` for classes not named. offroad_kmh, detour: without a road between two places,
    the straight line times the detour factor at this speed (1.4: within the 1.2-1.6 reported for hilly road networks).
    walk_kmh, walk_detour: from the road's nearest point to the site, on foot.
    sight_m: sites this near see or hear each other's inspection. audit_share: share of visits drawn at random.
    low: probability below which a case is a low score. audit_weights: how the draws are shared out over low-scoring
    cases, mines without a case, and cells of ground without a case. order_slack: longer than the shortest order of the
    same stops by at most this share, when the order is drawn. shake: the values are shaken by at most this share so
    that near-equal plans differ. late_start_min: a day that leaves room begins up to so many minutes later.
    moments: how many times of the day are tried for visits that begin together, where there are at most `many` sites;
    with more, each is made as early as all its teams can be there. most_together: the most sites of one
    event.
    """

    start: time = time(8, 0)
    end: time = time(18, 0)
    danger: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {
            "hidden_working_face": (3.0, 3.0),
            "active_while_shut": (1.0, 3.0),
            "beyond_boundary": (1.0, 2.0),
            "unlicensed": (1.0, 3.0),
            "paper_output": (0.5, 0.5),
        }
    )
    inspection_min: dict[str, int] = field(
        default_factory=lambda: {
            "hidden_working_face": 120,
            "active_while_shut": 90,
            "beyond_boundary": 60,
            "unlicensed": 45,
            "paper_output": 60,
        }
    )
    audit_min: tuple[int, int] = (60, 30)
    speeds_kmh: dict[str, float] = field(
        default_factory=lambda: {
            "motorway": 90.0,
            "trunk": 70.0,
            "primary": 60.0,
            "secondary": 50.0,
            "road": 40.0,
            "tertiary": 40.0,
            "unclassified": 30.0,
            "residential": 25.0,
            "service": 20.0,
            "track": 15.0,
            "other": 30.0,
        }
    )
    offroad_kmh: float = 30.0
    detour: float = 1.4
    walk_kmh: float = 4.0
    walk_detour: float = 1.3
    sight_m: float = 1000.0
    audit_share: float = 0.1
    low: float = 0.2
    audit_weights: tuple[float, float, float] = (0.4, 0.4, 0.2)
    order_slack: float = 0.1
    shake: float = 0.02
    late_start_min: int = 30
    moments: int = 2
    many: int = 60
    most_together: int = 12

    @property
    def day_steps(self) -> int:
        """Whole steps of a working day."""
        return (minutes(self.end) - minutes(self.start)) // GRAIN_MIN


def minutes(clock: time) -> int:
    """Minutes since midnight."""
    return clock.hour * 60 + clock.minute


def steps(duration_min: float) -> int:
    """Whole steps that hold so many minutes."""
    return math.ceil(duration_min / GRAIN_MIN - 1e-9)


def danger_of(kind: str, underground: bool, rules: Rules) -> float:
    """How much a confirmation is worth: what it may save.

    A hidden or shut underground working has people in it whom no plan of ventilation, escape or rescue knows: 3. A
    declared mine out of its bounds has people underground with ventilation and a rescue plan, but off the drawing: 2. A
    pit endangers whom it buries, and the slope: 1. Papers endanger nobody where they are written; what they launder is
    dug elsewhere: 0.5.
    """
    return rules.danger[kind][int(underground)]
