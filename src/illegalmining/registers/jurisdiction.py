"""Which jurisdiction a place belongs to."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

SHARE_DECIMALS = 6
"""Shares closer than this are equal: overlays leave rounding behind."""


def jurisdiction_of(jurisdictions: gpd.GeoDataFrame, geometries: gpd.GeoSeries) -> pd.Series:
    """The code of the jurisdiction each geometry lies in, of the finest level there is.

    A polygon belongs where most of its area lies, a line where most of its length, a point where it is. What lies in
    a unit's children (`parent_code`) counts for them and not for the unit; where the children leave a gap, the unit
    itself counts. Ties go to the smaller unit, then to the code that sorts first.

    Parameters
    ----------
    jurisdictions : as `tables.JURISDICTIONS`, in the CRS of `geometries`.

    Returns
    -------
    Series of text on the index of `geometries`; None outside all jurisdictions and for missing geometries.
    """
    found = np.full(len(geometries), None, dtype=object)
    units = jurisdictions.sort_values("code", kind="stable").reset_index(drop=True)
    places = geometries.make_valid().to_numpy()
    place, unit = units.geometry.sindex.query(places, predicate="intersects")
    pairs = pd.DataFrame({"place": place, "unit": unit, "size": units.geometry.area.to_numpy()[unit]})
    pairs["share"] = shares(places[place], units.geometry.to_numpy()[unit])
    pairs["own"] = (pairs["share"] - children_shares(pairs, units)).round(SHARE_DECIMALS)
    pairs = pairs[pairs["share"] > 0]
    best = pairs.sort_values(["place", "own", "size", "unit"], ascending=[True, False, True, True])
    best = best.drop_duplicates("place")
    found[best["place"].to_numpy()] = units["code"].to_numpy()[best["unit"].to_numpy()]
    return pd.Series(found, index=geometries.index, dtype=object)


def shares(places: NDArray[Any], units: NDArray[Any]) -> NDArray[np.float64]:
    """How much of each place lies in the unit beside it, 0 to 1; by area, by length, or 1 for a point that touches."""
    dimension = shapely.get_dimensions(places)
    pieces = shapely.intersection(places, units)
    size = np.where(dimension == 2, shapely.area(places), shapely.length(places))
    inside = np.where(dimension == 2, shapely.area(pieces), shapely.length(pieces))
    measured = (dimension > 0) & (size > 0)
    return np.where(measured, inside / np.where(measured, size, 1.0), 1.0)


def children_shares(pairs: pd.DataFrame, units: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """For each pair of place and unit, the share of the place that lies in the unit's children."""
    row_of = {code: row for row, code in enumerate(units["code"])}
    parent = units["parent_code"].map(row_of).fillna(-1).astype(int).to_numpy()
    held = pairs.assign(unit=parent[pairs["unit"]]).groupby(["place", "unit"])["share"].sum()
    return held.reindex(pd.MultiIndex.from_frame(pairs[["place", "unit"]]), fill_value=0.0).to_numpy()
