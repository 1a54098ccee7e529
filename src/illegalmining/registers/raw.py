"""A register as it lies in its file, before anything is believed of it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyproj

from illegalmining.contracts import Table

SHAPEFILE_NAME = 10
"""Characters a Shapefile keeps of a column's name."""


@dataclass(frozen=True)
class Raw:
    """Cells as read, geometry apart.

    `cells`: one row a record, whatever types the format gave; the index is the row as a person counts, from 1.
    `geometry`: shapely geometries or None, one a row; None as a whole where the format holds none.
    `crs`: what the file declares. `truncated`: column names were cut to ten characters (Shapefile).
    """

    cells: pd.DataFrame
    geometry: np.ndarray[Any, Any] | None = None
    crs: pyproj.CRS | None = None
    truncated: bool = False


def folded(name: Any) -> str:
    """A column name for comparing: no outer blanks or byte-order mark, composed, without case."""
    return unicodedata.normalize("NFC", str(name)).strip().strip("\ufeff").casefold()


def matched(names: list[str], wanted: tuple[str, ...], truncated: bool = False) -> dict[str, str]:
    """Which of the file's columns is which of the wanted ones.

    An exact name wins over one that differs in case or blanks; cut names are recognised where `truncated`.

    Returns
    -------
    Mapping from the contract's name to the file's, for those found.
    """
    found: dict[str, str] = {}
    for column in wanted:
        if column in names:
            found[column] = column
            continue
        alike = [name for name in names if folded(name) == column]
        if not alike and truncated:
            alike = [name for name in names if folded(name) == column[:SHAPEFILE_NAME]]
        if alike:
            found[column] = alike[0]
    return found


def contract_cells(table: Table, raw: Raw) -> tuple[pd.DataFrame, list[str]]:
    """The cells under the contract's names, and the columns the file lacks though they may not be empty."""
    found = matched([str(name) for name in raw.cells.columns], table.columns, raw.truncated)
    cells = pd.DataFrame(
        {column: raw.cells[name].astype(object) for column, name in found.items()}, index=raw.cells.index
    )
    return cells, [
        column for column in table.required if column not in found and not table.schema.columns[column].nullable
    ]
