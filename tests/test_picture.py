"""The map's ground picture: the right colours in the right corner, clouds left out, nothing where nothing was seen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from pyproj import Transformer

from illegalmining.imagery.picture import picture
from illegalmining.monitoring import MonitoringArchive
from illegalmining.pipelines import watching

CRS = "EPSG:32649"


def cube(dates: int = 20, side: int = 64) -> xr.Dataset:
    """Red in the north-west quarter, blue in the south-east, grey elsewhere; half of the dates under white cloud."""
    shape = (dates, side, side)
    bands = {name: np.full(shape, 0.1, np.float32) for name in ("red", "green", "blue")}
    half = side // 2
    bands["red"][:, :half, :half] = 0.4
    bands["blue"][:, half:, half:] = 0.4
    scl = np.full(shape, 5, np.float32)
    for band in bands.values():
        band[::2] = 0.9
    scl[::2] = 9
    coords = {
        "time": pd.date_range("2026-01-01", periods=dates, freq="10D"),
        "y": 4_000_000 - 10.0 * np.arange(side) - 5,
        "x": 500_000 + 10.0 * np.arange(side) + 5,
    }
    data = {name: (("time", "y", "x"), values) for name, values in {**bands, "scl": scl}.items()}
    return xr.Dataset(data, coords).odc.assign_crs(CRS)


def colours(made: tuple[bytes, tuple[float, float, float, float]], x: float, y: float) -> np.ndarray:
    """The picture's pixel at a place of the cube's CRS."""
    image = np.asarray(Image.open(io.BytesIO(made[0])).convert("RGBA"))
    mercator = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    west, south, east, north = made[1]
    (left, bottom), (right, top) = mercator.transform(west, south), mercator.transform(east, north)
    px, py = mercator.transform(lon, lat)
    row = int((top - py) / (top - bottom) * image.shape[0])
    column = int((px - left) / (right - left) * image.shape[1])
    return image[row, column].astype(int)


def test_colours_lie_where_the_ground_is() -> None:
    made = picture(cube())
    assert made is not None
    red, blue, grey = (colours(made, 500_000 + x, 4_000_000 - y) for x, y in ((160, 160), (480, 480), (480, 160)))
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80
    assert abs(grey[0] - grey[2]) < 30
    assert red[3] == blue[3] == 255


def test_clouds_are_left_out() -> None:
    made = picture(cube())
    assert made is not None
    assert colours(made, 500_480, 3_999_840)[:3].max() < 200


def test_nothing_seen_is_no_picture_and_missing_pixels_are_transparent() -> None:
    blind = cube()
    blind["scl"][:] = 9
    assert picture(blind) is None
    assert picture(cube().drop_vars("blue")) is None
    gap = cube()
    for name in ("red", "green", "blue"):
        gap[name][:, :20, :20] = np.nan
    made = picture(gap)
    assert made is not None
    assert colours(made, 500_080, 3_999_920)[3] == 0


def test_a_large_district_is_made_smaller_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same colours in the same corners from a lazy cube four times as fine, never held as a whole."""
    whole = picture(cube(side=256))
    largest: list[int] = []
    median = np.nanmedian

    def watched(values: Any, *more: Any, **named: Any) -> Any:
        largest.append(values.size if isinstance(values, np.ndarray) else 0)  # not of what is still lazy
        return median(values, *more, **named)

    monkeypatch.setattr("illegalmining.imagery.picture.LONGEST_SIDE", 64)
    monkeypatch.setattr(np, "nanmedian", watched)
    with dask.config.set({"array.chunk-size": "200kB"}):  # dates of 64 x 64 pixels
        made = picture(cube(side=256).chunk(time=1, y=64, x=64))
    assert whole is not None
    assert made is not None
    assert Image.open(io.BytesIO(made[0])).width <= 66
    assert made[1] == pytest.approx(whole[1], abs=1e-3)
    for east, south in ((640, 640), (1920, 1920), (1920, 640)):
        small, large = (colours(one, 500_000 + east, 4_000_000 - south) for one in (made, whole))
        assert np.abs(small - large).max() < 25
    assert 10 * 64 * 64 <= max(largest) <= 12 * 64 * 64


def test_the_picture_is_made_once_a_month_of_scenes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, asked = cube(21), []
    whole["blue"] += 0.02 * xr.DataArray(np.arange(21, dtype=np.float32), dims="time")  # every month looks otherwise

    def watched(seen: xr.Dataset) -> Any:
        asked.append(str(seen["time"].values[-1])[:10])
        return picture(seen)

    monkeypatch.setattr(watching, "picture", watched)
    found = []
    for dates in (18, 19, 20, 21, 21):
        seen = whole.isel(time=slice(dates))
        days = seen["time"].values.astype("datetime64[D]")
        archive = MonitoringArchive(
            tmp_path / "monitoring" / "s2", {int(day.astype(int)): str(day) for day in days}, "these parameters"
        )
        found.append(watching.ground_of(seen, archive, []))
    # of 20 and 30 June, 10, 20 and 20 July
    assert asked == ["2026-05-31", "2026-06-30"]
    assert found[0] == found[1] == picture(whole.isel(time=slice(16)))
    assert found[2] == found[3] == found[4] == picture(whole.isel(time=slice(19)))
    assert found[0] != found[2]
    assert len(list((tmp_path / "pictures" / "s2").iterdir())) == 1
