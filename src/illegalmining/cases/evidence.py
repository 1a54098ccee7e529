"""Detections by column: their days as numbers, their attributes read."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from numpy.typing import NDArray

from illegalmining.registers.allowed import day_numbers

NUMBERS = ("depth_m", "depth_low_m", "depth_high_m", "peak_mm", "position_sd_m", "nights", "days", "tonnes")
WORDS = ("question", "face_id", "meter_id")
ATTRIBUTES = pa.schema(
    [
        *((name, pa.float64()) for name in NUMBERS),
        *((name, pa.string()) for name in WORDS),
        ("onset_quantiles", pa.struct([("0.9", pa.string())])),
        ("growth", pa.struct([("dates", pa.list_(pa.string())), ("area_m2", pa.list_(pa.float64()))])),
    ]
)
"""What judging reads of a detection's attributes; the rest is for readers."""
BLOCK = 1 << 20
"""Bytes of JSON read at once; a row longer than that is a block of its own."""


@dataclass(frozen=True)
class Evidence:
    """Detections by column, and what is already concluded of each.

    table: labelled by the detection's place in the run. `detector`, `log_lr`, `area_m2`, `mine_id` as detected; what
    its attributes say (`NUMBERS`: NaN for nothing, `WORDS`: None); `first`, `last` and `worked`, the last day on which
    work is seen, in days since 1970; `first_day`, `last_day`: ISO dates, for a reader. outlines: (n,). dates, areas:
    (n,) lists, how it grew, m2.
    """

    table: pd.DataFrame
    outlines: NDArray[Any]
    dates: pa.Array
    areas: pa.Array

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column."""
        return self.table[name].to_numpy()

    def taken(self, places: NDArray[np.int64]) -> Evidence:
        """Only the detections at `places`."""
        return Evidence(
            self.table.iloc[places], self.outlines[places], self.dates.take(places), self.areas.take(places)
        )

    def having(self, **columns: Any) -> Evidence:
        """The same with further columns."""
        return replace(self, table=self.table.assign(**columns))


def unpacked(detections: gpd.GeoDataFrame) -> Evidence:
    """Detections as columns, their attributes read.

    Raises
    ------
    ValueError
        Attributes are no JSON objects, or a value is not of the kind that `ATTRIBUTES` expects.
    """
    read = attributes(detections["attributes"].tolist())
    first, last = day_numbers(detections["first_seen"]), day_numbers(detections["last_seen"])
    most_dug = numbered(pc.struct_field(read["onset_quantiles"], "0.9")).fill_null(-(2**31)).to_numpy()
    worked = np.maximum(most_dug, first)  # a pit stays when its digging has ended
    table = pd.DataFrame(
        {name: detections[name].to_numpy() for name in ("detector", "log_lr", "area_m2", "mine_id")}
        | {name: read[name].to_numpy() for name in NUMBERS}
        | {name: read[name].to_numpy() for name in WORDS}
        | {"first": first, "last": last, "worked": np.where(most_dug > -(2**31), worked, last)}
        | {"first_day": written(first), "last_day": written(last)}
    )
    dates, areas = (pc.struct_field(read["growth"], name).combine_chunks() for name in ("dates", "area_m2"))
    return Evidence(table, detections.geometry.to_numpy(), dates, areas)


def attributes(texts: list[str]) -> pa.Table:
    """The attributes of detections from their JSON, one row each."""
    if not texts:
        return ATTRIBUTES.empty_table()
    lines = [text.replace("\n", " ") for text in texts]  # within JSON a line break is never part of a word
    return pyarrow.json.read_json(
        io.BytesIO("\n".join(lines).encode()),
        read_options=pyarrow.json.ReadOptions(block_size=max(BLOCK, 4 * max(map(len, lines)) + 1)),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=ATTRIBUTES, unexpected_field_behavior="ignore"),
    )


def numbered(dates: Any) -> Any:
    """Days since 1970 of ISO dates."""
    return pc.utf8_slice_codeunits(dates, 0, 10).cast(pa.date32()).cast(pa.int32()).cast(pa.int64())


def written(days: NDArray[np.int64]) -> NDArray[Any]:
    """ISO dates; equal days share one text."""
    unique, place = np.unique(days, return_inverse=True)
    return np.datetime_as_string(unique.astype("datetime64[D]")).astype(object)[place]


@dataclass(frozen=True)
class Growth:
    """Parts of excavations: `of` the excavation's position, the `days` each was first seen, and its `areas`, m2."""

    of: NDArray[np.int64]
    days: NDArray[np.int64]
    areas: NDArray[np.float64]


def growth(evidence: Evidence) -> Growth:
    """How excavations grew; one that does not say was dug on its first day."""
    steps = pc.list_value_length(evidence.dates).fill_null(0).to_numpy()
    told = steps > 0
    parts = np.maximum(steps, 1)
    of = np.repeat(np.arange(len(evidence)), parts)
    days, reached = np.repeat(evidence["first"], parts), np.repeat(evidence["area_m2"], parts)
    days[told[of]] = numbered(evidence.dates.filter(told).flatten()).to_numpy()
    reached[told[of]] = evidence.areas.filter(told).flatten().to_numpy()
    before = np.concatenate([[0.0], reached])[:-1]
    before[np.concatenate([[True], of[1:] != of[:-1]])[: len(of)]] = 0.0
    return Growth(of, days, reached - before)
