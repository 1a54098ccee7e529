"""Results read back: the cases of a finished run, and known sites to hold them against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio

from illegalmining.errors import InputError
from illegalmining.tables import SITES


def read_cases(out: Path) -> gpd.GeoDataFrame:
    """The cases of the run whose results lie in `out`, most probable first.

    Raises
    ------
    InputError
        There is no finished run there.
    """
    path = out / "cases.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `illegalmining run district.toml` for that day first")
    return gpd.read_parquet(path).reset_index(drop=True)


def read_sites(path: Path, crs: Any) -> gpd.GeoDataFrame:
    """Known sites (`tables.SITES`) in `crs`.

    Raises
    ------
    InputError
        The file cannot be read, or breaks the contract; names every fault.
    """
    try:
        frame = gpd.read_file(path)
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a vector file ({error}); expected truth/sites.gpkg") from error
    for name in ("start", "stop"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], errors="coerce").dt.tz_localize(None).astype("datetime64[ns]")
    for name in ("site_id", "kind", "mine_id"):
        if name in frame:
            frame[name] = frame[name].astype(object)
    faults = SITES.faults(frame)
    if len(faults):
        listed = "; ".join(f"row {f.row}, {f.field} = {f.value!r}: {f.rule}" for f in faults.head(10).itertuples())
        raise InputError(f"{path}: {len(faults)} fault(s): {listed}")
    return frame.to_crs(crs).reset_index(drop=True)
