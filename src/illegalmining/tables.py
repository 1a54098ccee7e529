"""The contract of every table: columns, types, units, allowed values.

One `Table` per register, and for sites, detections, judgements, cases and hot spots. Dates are `datetime64[ns]` without
a zone, at midnight; an empty end date (`NaT`) means "open", and every end (`to`, `stop`, `valid_to`) is exclusive.
"""

from __future__ import annotations

import pandera.pandas as pa

from illegalmining.contracts import Table, day, number, one_of, optional_day, optional_number, optional_text, text

METHODS = ("underground", "opencast")
STATUSES = ("producing", "building", "suspended", "long_term_shut", "closed", "rectifying")
FORBIDDING_STATUSES = ("suspended", "long_term_shut", "closed", "rectifying")
DETECTORS = ("surface", "radar", "subsidence", "power", "nightlight")
KINDS = ("hidden_working_face", "active_while_shut", "beyond_boundary", "unlicensed", "paper_output")
CASE_STATUSES = ("open", "confirmed", "refuted", "closed")
TRENDS = ("new", "intensifying", "persistent", "diminishing", "sporadic", "none")

POLYGONS = ("Polygon", "MultiPolygon")
POINTS = ("Point",)
LINES = ("LineString", "MultiLineString")

CONCESSIONS = Table(
    "concessions",
    pa.DataFrameSchema(
        {
            "licence_no": text("licence number; each of its terms (renewed, or with another boundary) is a row"),
            "holder": text("who holds the licence"),
            "holder_id": optional_text("the holder's registration number"),
            "mineral": text("what may be mined"),
            "method": text("how it may be mined", one_of(METHODS)),
            "valid_from": day("first day in force"),
            "valid_to": day("first day no longer in force; empty: open", empty=True),
            "renewal_applied": optional_day("day of an accepted renewal application: keeps an expired licence lawful"),
            "depth_top_m": optional_number("upper limit, elevation above sea level, m", -5000, 9000),
            "depth_bottom_m": optional_number("lower limit, elevation above sea level, m", -5000, 9000),
            "ground_m": optional_number(
                "elevation of the ground above it, m: turns depths into elevations", -500, 9000
            ),
            "accuracy_m": optional_number("how well its corners are known, standard deviation, m", 0, 1000),
        }
    ),
    key=("licence_no",),
    shapes=POLYGONS,
    period=("valid_from", "valid_to"),
    terms=True,
)

MINES = Table(
    "mines",
    pa.DataFrameSchema(
        {
            "mine_id": text("mine, unique"),
            "name": text("the mine's name"),
            "former_names": optional_text("names it had before, separated by ;"),
            "operator": text("who runs it"),
            "operator_id": optional_text("the operator's registration number"),
            "licence_no": optional_text("the licence it works under"),
            "method": text("how it mines", one_of(METHODS)),
            "capacity_t": optional_number("approved output, tonnes a year", 0),
            "safety_load_kw": optional_number("ventilation and drainage drawn even when shut, kW", 0),
        }
    ),
    key=("mine_id",),
    shapes=POINTS + POLYGONS,
)

MINE_STATUS = Table(
    "mine_status",
    pa.DataFrameSchema(
        {
            "mine_id": text("mine"),
            "shaft_id": optional_text("shaft, where the status holds for one only"),
            "status": text("what the mine may do", one_of(STATUSES)),
            "from": day("first day"),
            "to": day("first day no longer; empty: still", empty=True, required=False),
            "order_no": optional_text("the order's number"),
        }
    ),
    period=("from", "to"),
)

WORKING_FACES = Table(
    "working_faces",
    pa.DataFrameSchema(
        {
            "face_id": text("face, unique"),
            "mine_id": text("mine"),
            "seam": optional_text("seam"),
            "start": day("first day of extraction"),
            "stop": day("first day without extraction; empty: still working", empty=True, required=False),
            "depth_m": number("depth below ground, m", 1, 3000),
            "thickness_m": number("extracted thickness, m", 0.1, 50),
            "dip_deg": number("dip of the seam, degrees; empty: level", 0, 60, empty=True, required=False),
            "dip_towards_deg": number(
                "direction of the dip, degrees clockwise from north", 0, 360, empty=True, required=False
            ),
        }
    ),
    key=("face_id",),
    shapes=POLYGONS,
    period=("start", "stop"),
)

JURISDICTIONS = Table(
    "jurisdictions",
    pa.DataFrameSchema(
        {
            "code": text("administrative code, unique"),
            "name": text("name"),
            "parent_code": optional_text("code of the unit above"),
            "level": text("county, town, ..."),
        }
    ),
    key=("code",),
    shapes=POLYGONS,
)

METERS = Table(
    "meters",
    pa.DataFrameSchema(
        {
            "meter_id": text("meter, unique"),
            "mine_id": optional_text("mine it supplies"),
            "category": text("whom it supplies", one_of(("mine", "industry", "other"))),
            "capacity_kva": optional_number("contracted capacity, kVA", 0),
            "lon": number("longitude, degrees, WGS 84", -180, 180),
            "lat": number("latitude, degrees, WGS 84", -90, 90),
        }
    ),
    key=("meter_id",),
)

PRODUCTION = Table(
    "production",
    pa.DataFrameSchema(
        {
            "mine_id": text("mine"),
            "month": text("month, YYYY-MM", pa.Check.str_matches(r"^\d{4}-(0[1-9]|1[0-2])$", error="YYYY-MM")),
            "tonnes": number("declared output, tonnes", 0),
        }
    ),
    key=("mine_id", "month"),
)

CLOSURE_LIST = Table(
    "closure_list",
    pa.DataFrameSchema(
        {
            "name": text("the mine's name as the list has it"),
            "county": optional_text("county"),
            "capacity_t": optional_number("capacity, tonnes a year", 0),
            "reason": optional_text("why it is closed"),
            "decided": day("day of the decision"),
        }
    ),
)

RECIPIENTS = Table(
    "recipients",
    pa.DataFrameSchema(
        {
            "code": text("jurisdiction's code"),
            "name": text("who receives"),
            "public_key": optional_text("age public key"),
            "not_before": optional_day("first day on which the package may be opened"),
        }
    ),
    key=("code",),
)

ROADS = Table(
    "roads",
    pa.DataFrameSchema(
        {"class": text("road class"), "oneway": optional_text("yes where one way in the line's direction")}
    ),
    shapes=LINES,
)

REGISTERS = {
    table.name: table
    for table in (
        CONCESSIONS,
        MINES,
        MINE_STATUS,
        WORKING_FACES,
        JURISDICTIONS,
        METERS,
        PRODUCTION,
        CLOSURE_LIST,
        RECIPIENTS,
        ROADS,
    )
}

SITES = Table(
    "sites",
    pa.DataFrameSchema(
        {
            "site_id": text("site, unique"),
            "kind": text("offence", one_of(KINDS)),
            "mine_id": optional_text("mine"),
            "start": day("first day"),
            "stop": day("first day no longer; empty: goes on", empty=True, required=False),
        }
    ),
    key=("site_id",),
    shapes=POINTS + POLYGONS,
)

QUARANTINE = Table(
    "quarantine",
    pa.DataFrameSchema(
        {
            "file": text("file, relative to district.toml"),
            "row": text("row, scene or window in the file; empty: the whole file", empty=True),
            "field": text("column or band", empty=True),
            "value": text("what was found", empty=True),
            "rule": text("what was expected"),
            "why": text("what it means and the way out"),
        }
    ),
)

DETECTIONS = Table(
    "detections",
    pa.DataFrameSchema(
        {
            "detection_id": text("detection, unique in a run, the same for the same inputs"),
            "detector": text("what saw it", one_of(DETECTORS)),
            "first_seen": day("first day the evidence supports"),
            "last_seen": day("last day the evidence supports"),
            "log_lr": number("evidence for undeclared activity against the register, nats"),
            "area_m2": number("extent, m2; 0 where the evidence has none", 0),
            "mine_id": text("mine, where the detector itself knows it", empty=True),
            "attributes": text("JSON object with what is particular to the detector"),
        }
    ),
    key=("detection_id",),
    shapes=POINTS + POLYGONS,
)

JUDGEMENTS = Table(
    "judgements",
    pa.DataFrameSchema(
        {
            "detection_id": text("detection that says it; one may speak for and against"),
            "detector": text("what saw it", one_of(DETECTORS)),
            "kind": text("offence it speaks to", one_of(KINDS)),
            "log_lr": number("evidence for the offence, nats; negative: against it"),
            "p_against": number("probability that the registers forbid what was seen", 0, 1),
            "first_seen": day("first day the evidence supports"),
            "last_seen": day("last day the evidence supports"),
            "area_m2": number("extent, m2; 0 where the evidence has none", 0),
            "says": text("the finding in a sentence"),
            "mine_id": text("mine it is laid to", empty=True),
            "licence_no": text("licence it lies on, or lay on", empty=True),
            "area_outside_m2": number("extent outside the licence, median, m2", 0, empty=True),
            "area_outside_low_m2": number("the same, 5 % bound, m2", 0, empty=True),
            "area_outside_high_m2": number("the same, 95 % bound, m2", 0, empty=True),
            "p_outside": number("probability that it leaves the licence", 0, 1, empty=True),
            "depth_m": number("depth below ground, m", 0, empty=True),
            "mine_is_shut": pa.Column("bool", description="the mine was shut for most of the days of the evidence"),
            "attribution": text("how the mine is known: named, licence (on its ground) or near", empty=True),
            "rivals": text("JSON: probability of each other reading; with p_against they sum to 1"),
        }
    ),
    shapes=POINTS + POLYGONS,
)

CASES = Table(
    "cases",
    pa.DataFrameSchema(
        {
            "case_id": text("case; the same site keeps it from run to run"),
            "kind": text("what is against the registers", one_of(KINDS)),
            "probability": number("that it is so, calibrated where outcomes allow", 0, 1),
            "mine_id": text("mine", empty=True),
            "licence_no": text("licence", empty=True),
            "jurisdiction": text("code of the jurisdiction it lies in", empty=True),
            "first_seen": day("first day the evidence supports"),
            "last_seen": day("last day the evidence supports"),
            "first_reported": day("as-of day of the run that opened it"),
            "area_m2": number("extent, m2", 0),
            "area_outside_m2": number("extent outside the licence, m2", 0, empty=True),
            "area_outside_low_m2": optional_number("the same, 5 % bound, m2", 0),
            "area_outside_high_m2": optional_number("the same, 95 % bound, m2", 0),
            "p_outside": optional_number("probability that it leaves the licence", 0, 1),
            "depth_m": number("depth below ground, m", 0, empty=True),
            "status": text("where it stands", one_of(CASE_STATUSES)),
            "evidence": text("JSON list of {detector, detection_id, log_lr, says, weight, counted}; nats"),
            "rivals": optional_text("JSON: probability of each other reading (no activity, lawful work, ...)"),
            "attribution": optional_text("how the mine is known: named, licence (on its ground) or near"),
            "operator_id": optional_text("the operator's registration number when the case was opened"),
            "operator": optional_text("the operator when the case was opened"),
            "merged_from": optional_text("ids of cases that have grown into this one, separated by ;"),
            "split_from": optional_text("id of the case this one parted from"),
            "answer_due": optional_day("last day for the jurisdiction's answer"),
            "calibration": optional_text("what the probability rests on"),
        }
    ),
    key=("case_id",),
    shapes=POINTS + POLYGONS,
)

HOTSPOTS = Table(
    "hotspots",
    pa.DataFrameSchema(
        {
            "cell_id": text("cell, unique"),
            "expected_sites": number("sum of the probabilities of the cases in the cell", 0),
            "gi_z": number("Getis-Ord Gi*, standard deviations", empty=True),
            "p_value": number("one-sided p of Gi*", 0, 1, empty=True),
            "significant": pa.Column("bool", description="after Benjamini-Hochberg control of false discovery"),
            "trend": text("over the steps of time", one_of(TRENDS)),
            "jurisdiction": text("code of the jurisdiction of the cell's centre", empty=True),
            "cases_near": pa.Column("int64", description="cases in the cell and the cells around it"),
            "trend_over": text("what the steps of the trend are", one_of(("runs", "evidence"))),
        }
    ),
    key=("cell_id",),
    shapes=POLYGONS,
)
