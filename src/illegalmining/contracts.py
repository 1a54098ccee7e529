"""What a table's contract is made of: columns with a meaning, a unit and a range, and the check of a whole table.

Schemas are pandera's, so every fault in a file is reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from illegalmining.errors import TableError

TEXT = "object"
NUMBER = "float64"
DATE = "datetime64[ns]"


@dataclass(frozen=True)
class Table:
    """A table's contract.

    `key`: columns that identify a row, empty where rows have no identity. `shapes`: geometry types allowed,
    empty for a plain table. `period`: the (start, exclusive end) date columns, where the table has them. `terms`: rows
    may share a key as long as their periods do not meet: one licence, renewed or redrawn.
    """

    name: str
    schema: pa.DataFrameSchema
    key: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    period: tuple[str, str] | None = None
    terms: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in the contract's order, without the geometry."""
        return tuple(self.schema.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns a file must have."""
        return tuple(name for name, column in self.schema.columns.items() if column.required)

    def faults(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Every value that breaks the contract: columns `row` (index label or None), `field`, `value`, `rule`."""
        try:
            self.schema.validate(pd.DataFrame(frame.drop(columns="geometry", errors="ignore")), lazy=True)
        except SchemaErrors as error:
            found = error.failure_cases
            return pd.DataFrame(
                {
                    "row": found["index"],
                    "field": found["column"],
                    "value": found["failure_case"],
                    "rule": found["check"].astype(str),
                }
            )
        return pd.DataFrame(columns=["row", "field", "value", "rule"])

    def checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the contract's columns first; raises `TableError` naming every fault.

        For tables the product makes itself, where a fault is a bug and not an input to set aside.
        """
        faults = self.faults(frame)
        if len(faults):
            listed = "; ".join(f"{f.field}={f.value!r}: {f.rule}" for f in faults.head(10).itertuples())
            raise TableError(f"table {self.name}: {len(faults)} value(s) break the contract: {listed}")
        first = [name for name in self.columns if name in frame.columns]
        return frame[first + [name for name in frame.columns if name not in first]]

    def typed(self, rows: list[dict[str, Any]] | dict[str, Any], crs: Any = None) -> pd.DataFrame:
        """A frame of the contract's types from rows or columns, also when there are none; not yet checked.

        A GeoDataFrame in `crs` where the table has shapes.
        """
        geometry = ["geometry"] if self.shapes else []
        frame = pd.DataFrame(rows, columns=[*self.columns, *geometry])
        for name, column in self.schema.columns.items():
            frame[name] = frame[name].astype(str(column.dtype))
        return gpd.GeoDataFrame(frame, geometry="geometry", crs=crs) if self.shapes else frame

    def frame(self, rows: list[dict[str, Any]], crs: Any = None) -> pd.DataFrame:
        """A checked frame of the contract's types from rows; see `typed`."""
        return self.checked(self.typed(rows, crs))


def text(what: str, *checks: pa.Check, empty: bool = False, required: bool = True) -> pa.Column:
    """A text column; `empty` allows missing values, `required=False` allows the column to be absent."""
    return pa.Column(TEXT, checks=list(checks), nullable=empty, required=required, description=what)


def number(
    what: str, low: float | None = None, high: float | None = None, *, empty: bool = False, required: bool = True
) -> pa.Column:
    """A float column within [low, high]."""
    checks = []
    if low is not None:
        checks.append(pa.Check.ge(low, error=f"at least {low:g}"))
    if high is not None:
        checks.append(pa.Check.le(high, error=f"at most {high:g}"))
    return pa.Column(NUMBER, checks=checks, nullable=empty, required=required, description=what)


def day(what: str, *, empty: bool = False, required: bool = True) -> pa.Column:
    """A date column."""
    return pa.Column(DATE, nullable=empty, required=required, description=what)


def one_of(values: tuple[str, ...]) -> pa.Check:
    """The value is one of the contract's words."""
    return pa.Check.isin(values, error=f"one of {', '.join(values)}")


def optional_text(what: str) -> pa.Column:
    """A text column that may be empty or absent."""
    return text(what, empty=True, required=False)


def optional_number(what: str, low: float | None = None, high: float | None = None) -> pa.Column:
    """A float column that may be empty or absent."""
    return number(what, low, high, empty=True, required=False)


def optional_day(what: str) -> pa.Column:
    """A date column that may be empty or absent."""
    return day(what, empty=True, required=False)
