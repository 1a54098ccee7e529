"""The tables that people fill in: what a visit found, and which mine a closure list means."""

from __future__ import annotations

import pandera.pandas as pa

from illegalmining.contracts import Table, day, one_of, optional_number, optional_text, text

OUTCOMES_OF_VISITS = ("confirmed", "refuted", "inconclusive", "closed")
FOUND_INSTEAD = ("construction", "nature", "lawful_work", "nothing", "other")

OUTCOMES = Table(
    "outcomes",
    pa.DataFrameSchema(
        {
            "case_id": optional_text("the case visited; empty: the case at the place given"),
            "outcome": text("what was found", one_of(OUTCOMES_OF_VISITS)),
            "visited": day("day of the visit"),
            "reason": optional_text("why, in writing: needed for all but confirmed"),
            "found": text("what it was instead", one_of(FOUND_INSTEAD), empty=True, required=False),
            "inspector": optional_text("who was there"),
            "mineral": optional_text("what was dug"),
            "volume_m3": optional_number("how much was dug, m3", 0),
            "penalty_basis": optional_text("the rule the penalty rests on"),
            "operator_id": optional_text("who dug, where the visit found out: registration number"),
            "operator": optional_text("who dug, where the visit found out: name"),
            "settles": text(
                "yes: this visit decides between earlier ones that contradict each other",
                one_of(("yes", "no")),
                empty=True,
                required=False,
            ),
            "photos": optional_text("file names of photos, beside this file or below its folder, separated by ;"),
            **{
                f"photo_{number}": optional_text("one photo more, as a tablet's camera names it")
                for number in (1, 2, 3)
            },
            "lon": optional_number("longitude of the visit, degrees, WGS 84", -180, 180),
            "lat": optional_number("latitude of the visit, degrees, WGS 84", -90, 90),
        }
    ),
)

LINK_DECISIONS = Table(
    "link_decisions",
    pa.DataFrameSchema(
        {
            "name": text("the mine's name as the closure list has it"),
            "county": optional_text("county, as the list has it"),
            "decided": day("day of the closure, as the list has it"),
            "mine_id": text("the mine proposed"),
            "mine_name": optional_text("its name in the register"),
            "score": optional_number("how alike the two are", 0, 100),
            "because": optional_text("what the score rests on"),
            "decision": text("yes: the same mine; no: another; empty: not decided", one_of(("yes", "no")), empty=True),
            "decided_by": optional_text("who decided"),
            "remark": optional_text("why"),
        }
    ),
    key=("name", "county", "decided", "mine_id"),
)
