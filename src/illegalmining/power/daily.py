"""Readings to one row a meter and day, inside DuckDB: hourly means, which slots were read, what had to be left out.

One pass over each file's readings. A day's 288 five-minute slots are kept as three bit masks, so that gaps and
duplicates show without sorting; only days in which a slot was read twice are looked at again, reading by reading.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb

HOURS = range(24)
MASKS = range(3)
SLOT_MINUTES = 5
SLOTS_A_MASK = 96

SAME = 1e-6
"""Two readings of an instant this near to each other, relatively, are the same."""

BAD = "(local IS NULL OR kwh IS NULL OR NOT isfinite(kwh) OR kwh < 0)"
"""A reading that is none. Negative energy is a reset register or a swapped meter."""


def day_columns() -> str:
    """SQL of the aggregates of one meter's day, over the columns hour, slot, kwh of good readings."""
    means = [f"CAST(avg(kwh) FILTER (hour = {h}) AS FLOAT) AS m{h:02d}" for h in HOURS]
    masks = [
        f"coalesce(bit_or(1::HUGEINT << CAST(slot % {SLOTS_A_MASK} AS INTEGER)) "
        f"FILTER (slot // {SLOTS_A_MASK} = {k}), 0) AS slots{k}"
        for k in MASKS
    ]
    return ", ".join([*means, *masks, "count(*) AS readings", "sum(kwh) AS kwh"])


def aggregate(
    connection: duckdb.DuckDBPyConnection, relations: list[str], first: date, last: date, timezone: str
) -> None:
    """Create the table `days` (number, day, file, m00..m23, slots0..2, readings, kwh) from the files' relations.

    `known` must hold the meters wanted (meter VARCHAR, number INTEGER); days lie in `first..last`, inclusive.
    Also creates `twice`, what was read twice: (number, file, same, differing, first, last), counts of readings.
    """
    union = " UNION ALL ".join(relations)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW readings AS {union}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW good AS {good('readings', first, last)}")
    by_day = f"SELECT number, day, min(file) AS file, {day_columns()} FROM"
    # File by file, because all meters' days at once may not fit into memory; few days lie in more than one.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE days AS {by_day} good WHERE false GROUP BY number, day")
    for relation in relations:
        file = good(f"({relation})", first, last)
        connection.execute(f"INSERT INTO days {by_day} ({file}) GROUP BY number, day")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE shared AS SELECT number, day FROM days GROUP BY number, day HAVING count(*) > 1"
    )
    connection.execute("DELETE FROM days WHERE (number, day) IN (SELECT (number, day) FROM shared)")
    connection.execute(f"INSERT INTO days {by_day} good SEMI JOIN shared USING (number, day) GROUP BY number, day")
    slots = " + ".join(f"bit_count(slots{k})" for k in MASKS)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE suspect AS SELECT number, day FROM days WHERE {slots} < readings")
    settle_duplicates(connection, repeated_hours(first, last, timezone))


def good(relation: str, first: date, last: date) -> str:
    """SQL of the readings of a relation that are some, of known meters and on the days asked for."""
    return f"""
        SELECT number, file, instant, CAST(local AS DATE) AS day, CAST(hour(local) AS UTINYINT) AS hour,
               (hour(local) * 60 + minute(local)) // {SLOT_MINUTES} AS slot, kwh
        FROM {relation} JOIN known USING (meter)
        WHERE NOT {BAD} AND local >= DATE '{first}' AND local < DATE '{last}' + INTERVAL 1 DAY
    """


def repeated_hours(first: date, last: date, timezone: str) -> list[datetime]:
    """Clock hours that come twice because the clock was put back, as naive local times."""
    zone = ZoneInfo(timezone)
    hours = (datetime.combine(first, time()) + timedelta(hours=h) for h in range(24 * ((last - first).days + 1)))
    return [hour for hour in hours if offset(hour, zone, 0) > offset(hour, zone, 1)]


def offset(hour: datetime, zone: ZoneInfo, fold: int) -> timedelta:
    """Local time less UTC at the first (fold 0) or second (1) passing of a clock hour."""
    return hour.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()


def settle_duplicates(connection: duckdb.DuckDBPyConnection, repeated: list[datetime]) -> None:
    """Replace the suspect days by days made of each instant once; instants with differing values are left out.

    In an hour that the clock goes through twice, two readings of a time without offset are two hours: their mean holds.
    """
    listed = ", ".join(f"epoch_us(TIMESTAMP '{hour}') // 3600000000" for hour in repeated) or "NULL"
    fold = f"coalesce(instant // 3600000000 IN ({listed}), false) AND count(*) = 2"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE once AS
        SELECT number, day, min(file) AS file, instant, any_value(hour) AS hour, any_value(slot) AS slot,
               CASE WHEN {fold} THEN avg(kwh) ELSE min(kwh) END AS kwh,
               CASE WHEN {fold} THEN 1 ELSE count(*) END AS copies,
               NOT ({fold}) AND max(kwh) - min(kwh) > {SAME} * greatest(max(kwh), 1) AS differs
        FROM good SEMI JOIN suspect USING (number, day)
        GROUP BY number, day, instant
    """)
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE twice AS
        SELECT number, file, coalesce(sum(copies - 1) FILTER (NOT differs), 0) AS same,
               coalesce(sum(copies) FILTER (differs), 0) AS differing, min(day) AS first, max(day) AS last
        FROM once WHERE copies > 1 GROUP BY number, file
    """)
    connection.execute("DELETE FROM days WHERE (number, day) IN (SELECT (number, day) FROM suspect)")
    connection.execute(f"""
        INSERT INTO days SELECT number, day, min(file) AS file, {day_columns()}
        FROM once WHERE NOT differs GROUP BY number, day
    """)
    connection.execute("DROP TABLE once")
