"""Sources to cubes: values at the right place, in the right unit, on the right day, whatever they are stored as.

The planted image is a plane over easting and northing, so that every value says where its pixel lies.
"""

from __future__ import annotations

import json
import pickle
import shutil
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS as GridCRS
from odc.geo.geobox import GeoBox
from scipy.ndimage import map_coordinates

from illegalmining import lazy
from illegalmining.district import District, read_district
from illegalmining.errors import InputError
from illegalmining.imagery import layers, mosaic, scenes
from illegalmining.imagery.bands import band_of
from illegalmining.imagery.grids import BLOCK_BYTES, BLOCK_STEP, blocks, split
from illegalmining.imagery.layers import in_words_of
from illegalmining.imagery.look import look_of
from illegalmining.imagery.open import describe, open_source, source_files
from illegalmining.imagery.resample import average, bilinear, nearest
from illegalmining.imagery.stack import day_in
from illegalmining.imagery.units import Conversion

CRS = "EPSG:32649"
BOUNDS = (500_000.0, 4_100_000.0, 500_600.0, 4_100_400.0)
"""60 x 40 pixels of 10 m."""
NODATA = -9999
PER_METRE = 2e-4
"""Slope of the planted plane; a pixel of 10 m is 0.002, twenty stored steps."""


def plane(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Reflectance from 0.05 to 0.25 that is another one at every pixel."""
    return 0.05 + PER_METRE * (east - BOUNDS[0]) + 0.2 * PER_METRE * (north - BOUNDS[1])


def centres(transform: Affine, shape: tuple[int, int], crs: str = CRS) -> tuple[np.ndarray, np.ndarray]:
    """Easting and northing in the district's CRS of every pixel centre."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = transform * (columns, rows)
    return (x, y) if crs == CRS else pyproj.Transformer.from_crs(crs, CRS, always_xy=True).transform(x, y)


def north_up(size: float, left: float = BOUNDS[0], top: float = BOUNDS[3]) -> Affine:
    return Affine(size, 0, left, 0, -size, top)


def write_tiff(
    path: Path, bands: dict[str, np.ndarray], transform: Affine, crs: str | None = CRS, **options: Any
) -> Path:
    """A GeoTIFF with one described band per entry, values as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(bands.values()))
    scale, offset = options.pop("scale", None), options.pop("offset", 0.0)
    options = {"nodata": NODATA, "tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"} | options
    profile = {"driver": "GTiff", "height": first.shape[0], "width": first.shape[1], "count": len(bands)}
    with rasterio.open(path, "w", **profile, dtype=first.dtype, crs=crs, transform=transform, **options) as out:
        for index, (name, values) in enumerate(bands.items(), 1):
            out.write(values, index)
            if name:
                out.set_band_description(index, name)
        if scale:
            out.scales, out.offsets = [scale] * len(bands), [offset] * len(bands)
    return path


def stored(values: np.ndarray) -> np.ndarray:
    """Reflectance as ten-thousandths."""
    return np.round(values * 1e4).astype(np.int16)


def district(folder: Path, more: str, bounds: tuple[float, ...] = BOUNDS, crs: str = CRS) -> District:
    """A district with one source; `more` are the lines of the source besides its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "district.toml"
    path.write_text(
        f'[district]\nname = "d"\ncrs = "{crs}"\nbounds = {list(bounds)}\nhistory_from = 2023-01-01\n'
        f'monitor_from = 2024-01-01\nas_of = 2024-12-31\n[registers]\njurisdictions = "j.gpkg"\n'
        f'[[imagery]]\nname = "it"\n{more}'
    )
    return read_district(path)


def opened(where: District, quarantine: list[dict[str, Any]] | None = None) -> xr.Dataset:
    return open_source(where.configuration.imagery[0], where, [] if quarantine is None else quarantine)


OPTICAL_STACK = 'sensor = "optical"\nsource = "stack"\nhref = "s/*.tif"\n'


def assert_planted(cube: xr.Dataset, within_m: float, band: str = "red", clear_of_edge: int = 0) -> None:
    """Every value is the plane's at its pixel, to within a distance on the ground."""
    east, north = np.meshgrid(cube["x"], cube["y"])
    values = cube[band].isel(time=0).values
    inner = (slice(clear_of_edge, -clear_of_edge or None),) * 2
    error = np.abs(values - plane(east, north))[inner]
    assert np.isfinite(values[inner]).all()
    assert error.max() < within_m * PER_METRE


def test_stack_lands_pixel_on_pixel_on_the_contracts_grid(tmp_path: Path) -> None:
    transform = north_up(10)
    red = stored(plane(*centres(transform, (40, 60))))
    red[3, 5] = NODATA
    scl = np.full((40, 60), 4, np.int16)
    for day in ("20240110", "20230105"):
        write_tiff(tmp_path / f"s/{day}.tif", {"red": red}, transform, scale=1e-4)
        write_tiff(tmp_path / f"s/{day}_scl.tif", {"scl": scl}, transform)
    cube = opened(district(tmp_path, OPTICAL_STACK + "resolution = 10\n"))
    assert cube["red"].dims == ("time", "y", "x")
    assert cube["red"].shape == (2, 40, 60)
    assert cube["red"].dtype == np.float32
    assert cube["time"].values.astype("datetime64[D]").tolist() == [date(2023, 1, 5), date(2024, 1, 10)]
    assert (np.diff(cube["y"]) == -10).all()
    assert (np.diff(cube["x"]) == 10).all()
    assert float(cube["x"][0]) == BOUNDS[0] + 5
    assert float(cube["y"][0]) == BOUNDS[3] - 5
    assert cube.rio.crs.to_epsg() == cube.odc.geobox.crs.epsg == 32649
    values = cube["red"].values
    assert np.isnan(values[:, 3, 5]).all()
    assert np.isfinite(values).sum() == values.size - 2
    np.testing.assert_allclose(values[0, 10], red[10] * 1e-4, rtol=1e-6)
    assert (cube["scl"].values == 4).all()
    assert cube.chunks["time"] == (1, 1), "history, and every later date by itself"
    assert describe(cube)["bounds"] == list(BOUNDS)


@pytest.mark.parametrize(
    ("crs", "size"), [("EPSG:32649", 7.0), ("EPSG:32649", 25.0), ("EPSG:32648", 10.0), ("EPSG:4326", 1e-4)]
)
def test_other_pixels_and_projections_land_within_half_a_pixel(tmp_path: Path, crs: str, size: float) -> None:
    left, bottom, right, top = pyproj.Transformer.from_crs(CRS, crs, always_xy=True).transform_bounds(*BOUNDS)
    transform = north_up(size, left - 8 * size, top + 8 * size)
    shape = (int((top - bottom) / size) + 17, int((right - left) / size) + 17)
    red = stored(plane(*centres(transform, shape, crs)))
    write_tiff(tmp_path / "s/a_20240101.tif", {"red": red}, transform, crs, scale=1e-4)
    cube = opened(district(tmp_path, OPTICAL_STACK + "resolution = 10\n"))
    assert cube["red"].shape == (1, 40, 60)
    ground = size if size > 1 else 10.0
    assert_planted(cube, within_m=0.5 * min(ground, 10.0))


def test_pixels_of_its_own_are_kept_where_crs_and_size_fit(tmp_path: Path) -> None:
    """A grid shifted by 4 m against the bounds is not interpolated: stored values come through to the bit."""
    transform = north_up(10, BOUNDS[0] - 44, BOUNDS[3] + 46)
    red = stored(plane(*centres(transform, (60, 80))))
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, transform, scale=1e-4)
    cube = opened(district(tmp_path, OPTICAL_STACK))
    assert float(cube["x"][0]) % 10 == 1.0
    assert cube["red"].shape == (1, 40, 60)
    assert_planted(cube, within_m=0.3)


def test_coarsening_averages(tmp_path: Path) -> None:
    transform = north_up(10)
    chequered = np.where(np.indices((40, 60)).sum(axis=0) % 2, 1000, 3000).astype(np.int16)
    write_tiff(tmp_path / "s/20240101.tif", {"red": chequered}, transform, scale=1e-4)
    values = opened(district(tmp_path, OPTICAL_STACK + "resolution = 40\n"))["red"].values
    assert values.shape == (1, 10, 15)
    np.testing.assert_allclose(values, 0.2, atol=1e-4)


def test_scenes_of_one_day_fill_each_other_in_order_of_name(tmp_path: Path) -> None:
    """Two tiles overlap by 20 columns; the first name wins there, the second fills what the first did not see."""
    west = np.full((40, 40), 1000, np.int16)
    west[:5] = NODATA
    east = np.full((40, 40), 2000, np.int16)
    write_tiff(tmp_path / "s/A_20240101.tif", {"red": west}, north_up(10), scale=1e-4)
    write_tiff(tmp_path / "s/B_20240101.tif", {"red": east}, north_up(10, BOUNDS[0] + 200), scale=1e-4)
    values = opened(district(tmp_path, OPTICAL_STACK))["red"].values
    assert values.shape == (1, 40, 60)
    np.testing.assert_allclose(values[0, 5:, :40], 0.1, atol=1e-6)
    np.testing.assert_allclose(values[0, :, 40:], 0.2, atol=1e-6)
    np.testing.assert_allclose(values[0, :5, 20:40], 0.2, atol=1e-6)
    assert np.isnan(values[0, :5, :20]).all()


def test_classes_are_never_averaged(tmp_path: Path) -> None:
    transform = north_up(20)
    scl = np.where(np.indices((20, 30)).sum(axis=0) % 2, 4, 9).astype(np.uint8)
    scl[0, 0] = 0
    write_tiff(tmp_path / "s/20240101_scl.tif", {"scl": scl}, transform, nodata=None)
    red = stored(plane(*centres(north_up(10), (40, 60))))
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, north_up(10), scale=1e-4)
    cube = opened(district(tmp_path, OPTICAL_STACK))
    values = cube["scl"].values[0]
    assert float(cube.odc.geobox.resolution.x) == 10
    assert np.isnan(values[:2, :2]).all()
    np.testing.assert_array_equal(np.nan_to_num(values), np.kron(scl, np.ones((2, 2))))


def test_unscaled_reflectance_and_decibels_are_recognised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transform = north_up(10)
    red = stored(plane(*centres(transform, (40, 60))))
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, transform)
    assert_planted(opened(district(tmp_path, OPTICAL_STACK)), within_m=0.3)
    assert "x 10000" in caplog.text
    power = plane(*centres(transform, (40, 60))).astype(np.float32)
    write_tiff(tmp_path / "r/20240101.tif", {"vv": 10 * np.log10(power)}, transform)
    quarantine: list[dict[str, Any]] = []
    where = district(tmp_path, 'sensor = "radar"\nsource = "stack"\nhref = "r/*.tif"\n')
    np.testing.assert_allclose(opened(where, quarantine)["vv"].values[0], power, rtol=1e-5)
    assert [(row["field"], row["rule"]) for row in quarantine] == [("vv", "linear power")]


def test_units_nobody_knows_are_refused(tmp_path: Path) -> None:
    percent = np.full((40, 60), 12.0, np.float32)
    write_tiff(tmp_path / "s/20240101.tif", {"red": percent}, north_up(10))
    with pytest.raises(InputError, match=r"median of red is 12; expected surface reflectance from 0 to 1"):
        opened(district(tmp_path, OPTICAL_STACK))
    millimetres = np.full((40, 60), -130.0, np.float32)
    write_tiff(tmp_path / "d/20240101.tif", {"displacement": millimetres}, north_up(10))
    with pytest.raises(InputError, match=r"displacement reaches 130 .* expected metres"):
        opened(district(tmp_path, 'sensor = "displacement"\nsource = "stack"\nhref = "d/*.tif"\n'))


def test_what_cannot_be_used_is_set_aside_and_the_rest_read(tmp_path: Path) -> None:
    transform = north_up(10)
    red = stored(plane(*centres(transform, (40, 60))))
    good = write_tiff(tmp_path / "s/20240101.tif", {"red": red}, transform, scale=1e-4)
    cut = write_tiff(tmp_path / "s/20240201_red.tif", {"": red}, transform)
    cut.write_bytes(cut.read_bytes()[:-100])
    (tmp_path / "s/20240301.tif").write_bytes(b"not a raster")
    write_tiff(tmp_path / "s/20240401.tif", {"red": red}, Affine.identity(), crs=None)
    write_tiff(tmp_path / "s/20240501.tif", {"": red, "other": red}, transform)
    shutil.copy(good, tmp_path / "s/no_date.tif")
    shutil.copy(good, tmp_path / "s/20249901.tif")
    quarantine: list[dict[str, Any]] = []
    cube = opened(district(tmp_path, OPTICAL_STACK), quarantine)
    assert cube.sizes["time"] == 1
    why = {Path(row["file"]).name: row["why"] for row in quarantine}
    assert "cut short" in why["20240201_red.tif"]
    assert "cannot be opened" in why["20240301.tif"]
    assert "no coordinate system" in why["20240401.tif"]
    assert "no band" in why["20240501.tif"]
    assert "no date" in why["no_date.tif"]
    assert "no date" in why["20249901.tif"]


def test_pixels_that_prove_broken_leave_a_gap_and_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transform = north_up(10)
    red = stored(plane(*centres(transform, (40, 60))))
    for day in ("20240101", "20240201"):
        write_tiff(tmp_path / f"s/{day}.tif", {"red": red}, transform, scale=1e-4)
    broken = tmp_path / "s/20240201.tif"
    with rasterio.open(broken) as source:
        start = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    content = bytearray(broken.read_bytes())
    content[start : start + 64] = b"\xff" * 64
    broken.write_bytes(content)
    quarantine: list[dict[str, Any]] = []
    cube = opened(district(tmp_path, OPTICAL_STACK), quarantine)
    values = cube["red"].values
    np.testing.assert_array_equal(cube["red"].values, values)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).any()
    assert [(row["file"], row["field"], row["rule"]) for row in quarantine] == [
        ("s/*.tif", "red", "pixels can be read")
    ]
    assert "pixels cannot be read" in caplog.text


@pytest.mark.parametrize(("interleave", "room", "opened_times"), [("pixel", 1e6, 2), ("band", 1e6, 6), ("pixel", 9, 6)])
def test_bands_side_by_side_are_unpacked_once_and_are_what_each_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interleave: str, room: float, opened_times: int
) -> None:
    """Of two dates and three bands; not where the file keeps bands apart, nor where there is no room for them all."""
    random = np.random.default_rng(3)
    for day in ("20240101", "20240201"):
        bands = {name: random.integers(0, 3000, (40, 60)).astype(np.int16) for name in ("red", "green", "nir")}
        bands["red"][random.random((40, 60)) < 0.2] = NODATA
        write_tiff(tmp_path / f"s/{day}.tif", bands, north_up(10), scale=1e-4, interleave=interleave)
    cube = opened(district(tmp_path, OPTICAL_STACK))
    alone = {name: band.values for name, band in cube.data_vars.items()}
    names, opening = [], rasterio.open
    monkeypatch.setattr(
        mosaic.rasterio, "open", lambda *given, **named: names.append(given) or opening(*given, **named)
    )
    monkeypatch.setattr(lazy, "Shelf", partial(lazy.Shelf, room=room))
    window = slice(0, 2), slice(3, 40), slice(0, 33)
    together = lazy.read_together([lazy.Window.of(band.data, window) for band in cube.data_vars.values()])
    assert len(names) == opened_times
    for values, name in zip(together, cube.data_vars, strict=True):
        np.testing.assert_array_equal(values, alone[name][window])
    assert np.isnan(alone["red"]).any()
    assert not np.isnan(alone["nir"]).all()


def test_headers_of_files_nobody_wrote_to_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red = stored(plane(*centres(north_up(10), (40, 60))))
    for day in ("20240101", "20240201", "20240301"):
        write_tiff(tmp_path / f"s/{day}.tif", {"red": red, "nir": red}, north_up(10), scale=1e-4)
    (tmp_path / "s/20240401.tif").write_bytes(b"not a raster")
    where, read = district(tmp_path, OPTICAL_STACK), []
    monkeypatch.setattr(scenes, "read_header", lambda path: read.append(Path(path).stem) or layers.read_header(path))

    def night() -> tuple[xr.Dataset, list[dict[str, Any]], list[str]]:
        quarantine: list[dict[str, Any]] = []
        read.clear()
        with scenes.known_headers(tmp_path / "known.json"):
            cube = opened(where, quarantine).compute()
        return cube, quarantine, sorted(read)

    first, aside, everything = night()
    assert everything == ["20240101", "20240201", "20240301", "20240401"]
    written = (tmp_path / "known.json").stat().st_mtime_ns
    again, aside_again, unknown = night()
    assert unknown == ["20240401"], "what could not be read is tried again"
    assert aside_again == aside
    assert (tmp_path / "known.json").stat().st_mtime_ns == written
    xr.testing.assert_identical(again, first)
    write_tiff(tmp_path / "s/20240201.tif", {"red": red // 2}, north_up(10), scale=1e-4)
    (tmp_path / "s/20240301.tif").unlink()
    changed, _, unknown = night()
    assert unknown == ["20240201", "20240401"]
    assert sorted(json.loads((tmp_path / "known.json").read_text())) == [
        str(tmp_path / f"s/{day}.tif") for day in ("20240101", "20240201")
    ]
    np.testing.assert_allclose(changed["red"].values[1], first["red"].values[1] / 2, atol=1e-4)
    assert np.isnan(changed["nir"].values[1]).all()


@pytest.mark.parametrize("crs", [CRS, "EPSG:32650", "+proj=tmerc +lon_0=110.5 +x_0=37500000 +ellps=krass"])
def test_a_header_written_down_is_the_header(tmp_path: Path, crs: str) -> None:
    bands = {"red": np.ones((40, 60), np.float32), "": np.ones((40, 60), np.float32)}
    options = {"nodata": np.nan, "scale": 1e-4, "offset": -0.1}
    header = layers.read_header(str(write_tiff(tmp_path / "a.tif", bands, north_up(10), crs, **options)))
    read = scenes.from_plain(json.loads(json.dumps(scenes.plain(header))))
    assert repr(read) == repr(header)
    assert read.geobox == header.geobox
    assert read.geobox.crs == header.geobox.crs


def test_wrong_place_and_wrong_time_are_said(tmp_path: Path) -> None:
    red = np.full((40, 60), 1000, np.int16)
    write_tiff(tmp_path / "s/20190101.tif", {"red": red}, north_up(10))
    with pytest.raises(InputError, match=r"no date from 2023-01-01 to 2024-12-31; found 2019-01-01"):
        opened(district(tmp_path, OPTICAL_STACK))
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, north_up(10, left=700_000))
    with pytest.raises(InputError, match=r"\[700000, 4100000, 700600, 4100400\].*\[500000, 4100000, 500600, 4100400\]"):
        opened(district(tmp_path, OPTICAL_STACK))
    with pytest.raises(InputError, match="matches no file"):
        opened(district(tmp_path, OPTICAL_STACK.replace("s/*", "t/*")))


def item(name: str, day: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    properties["datetime"] = f"{day}T03:10:00Z"
    known = {"type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": None, "links": []}
    return known | {"properties": properties, "assets": assets}


def write_catalogue(folder: Path, items: list[dict[str, Any]]) -> None:
    """A static catalogue: root, one collection, items in folders of their own."""
    (folder / "c").mkdir(parents=True, exist_ok=True)
    child = {"rel": "child", "href": "./c/collection.json"}
    root = {"type": "Catalog", "id": "r", "stac_version": "1.0.0", "description": "d", "links": [child]}
    links = [{"rel": "item", "href": f"./{one['id']}/{one['id']}.json"} for one in items]
    links.append({"rel": "root", "href": "../catalog.json"})
    (folder / "catalog.json").write_text(json.dumps(root))
    (folder / "c/collection.json").write_text(json.dumps(root | {"type": "Collection", "links": links}))
    for one in items:
        (folder / "c" / one["id"]).mkdir(exist_ok=True)
        (folder / "c" / one["id"] / f"{one['id']}.json").write_text(json.dumps(one))


STAC = 'sensor = "optical"\nsource = "stac"\nhref = "cat/catalog.json"\n'


def test_stac_finds_bands_by_every_usual_name_and_honours_scale(tmp_path: Path) -> None:
    transform = north_up(10)
    truth = plane(*centres(transform, (40, 60)))
    values = stored(truth)
    shifted = np.round((truth + 0.1) * 1e4).astype(np.uint16)
    folder = tmp_path / "cat/c"
    for name in ("a", "b", "c"):
        write_tiff(folder / f"{name}/x.tif", {"": values}, transform)
        write_tiff(folder / f"{name}/y.tif", {"": shifted}, transform, nodata=0)
        write_tiff(folder / f"{name}/z.tif", {"": values, " ": values + 1000}, transform)
    scaled = [{"scale": 1e-4, "offset": 0, "nodata": NODATA}]
    minus = [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]
    picture = {"href": "./x.tif", "eo:bands": [{"name": "B04", "common_name": "red"}], "roles": ["visual"]}
    items = [
        item("a", "2024-01-01", {"red": {"href": "./x.tif", "raster:bands": scaled}, "visual": picture}),
        item(
            "b",
            "2024-01-06",
            {
                "A_picture": picture,
                "B04": {"href": "./y.tif", "eo:bands": [{"name": "B04", "common_name": "red"}], "raster:bands": minus},
            },
        ),
        item(
            "c",
            "2024-01-11",
            {
                "data": {
                    "href": "./z.tif",
                    "bands": [
                        {"name": "1", "eo:common_name": "red", "raster:scale": 1e-4},
                        {"name": "2", "eo:common_name": "nir", "raster:scale": 1e-4},
                    ],
                }
            },
        ),
    ]
    write_catalogue(tmp_path / "cat", items)
    where = district(tmp_path, STAC)
    cube = opened(where)
    assert list(cube.data_vars) == ["red", "nir"]
    for at in range(3):
        np.testing.assert_allclose(cube["red"].values[at], truth, atol=6e-5)
    np.testing.assert_allclose(cube["nir"].values[2], truth + 0.1, atol=6e-5)
    assert np.isnan(cube["nir"].values[:2]).all()
    files = source_files(where.configuration.imagery[0], where)
    assert {file.name for file in files} == {"catalog.json", "collection.json", *["a.json", "b.json", "c.json"]} | {
        "x.tif",
        "y.tif",
        "z.tif",
    }
    assert len(files) == 8


def test_stac_knows_which_sentinel_2_offsets_still_stand(tmp_path: Path) -> None:
    """Baseline 04.00 without metadata is 1000 too high; Earth Search states an offset that was taken off already."""
    transform = north_up(10)
    truth = plane(*centres(transform, (40, 60)))
    raised = write_tiff(tmp_path / "cat/c/a/x.tif", {"": stored(truth) + 1000}, transform, nodata=0)
    write_tiff(tmp_path / "cat/c/b/x.tif", {"": stored(truth)}, transform, nodata=0)
    assert raised.exists()
    declared = {"href": "./x.tif", "raster:bands": [{"scale": 1e-4, "offset": -0.1}]}
    items = [
        item("a", "2024-01-01", {"B04": {"href": "./x.tif"}}, **{"s2:processing_baseline": "05.10"}),
        item("b", "2024-01-06", {"red": declared}, **{"earthsearch:boa_offset_applied": True}),
    ]
    write_catalogue(tmp_path / "cat", items)
    for values in opened(district(tmp_path, STAC))["red"].values:
        np.testing.assert_allclose(values, truth, atol=6e-5)


def test_stac_item_collection_sets_aside_what_is_missing(tmp_path: Path) -> None:
    transform = north_up(10)
    write_tiff(tmp_path / "good.tif", {"": stored(plane(*centres(transform, (40, 60))))}, transform, scale=1e-4)
    nameless = item("n", "2024-03-01", {"data": {"href": "good.tif"}})
    undated = item("u", "2024-04-01", {"red": {"href": "good.tif"}})
    undated["properties"] = {"datetime": None}
    features = [
        item("g", "2024-01-01", {"red": {"href": "good.tif"}}),
        item("m", "2024-02-01", {"red": {"href": "gone.tif"}}),
        nameless,
        undated,
    ]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    quarantine: list[dict[str, Any]] = []
    cube = opened(district(tmp_path, STAC.replace("cat/catalog.json", "items.json")), quarantine)
    assert cube["time"].values.astype("datetime64[D]").tolist() == [date(2024, 1, 1)]
    assert_planted(cube, within_m=0.3)
    assert {row["row"] for row in quarantine} == {"m", "n", "u"}


@pytest.fixture
def planted_cube() -> xr.Dataset:
    """An in-memory cube as the contract has it: three entries of time, two of them on one day."""
    transform = north_up(10, BOUNDS[0] - 50, BOUNDS[3] + 50)
    east, north = centres(transform, (50, 70))
    red = np.stack([plane(east, north)] * 3).astype(np.float32)
    red[0, :25] = np.nan
    red[1] += 0.5
    times = np.array(["2024-01-01T03:00", "2024-01-01T03:01", "2024-02-01T03:00"], "datetime64[ns]")
    cube = xr.Dataset({"red": (("time", "y", "x"), red)}, {"time": times, "y": north[:, 0], "x": east[0]})
    return cube.rio.write_crs(CRS)


def cube_source(href: str, more: str = "") -> str:
    return f'sensor = "optical"\nsource = "cube"\nhref = "{href}"\n{more}'


ENCODING = {"red": {"dtype": "int16", "scale_factor": 1e-4, "add_offset": 0.1, "_FillValue": -1}}
WRITERS = {
    "v2.zarr": lambda cube, path: cube.to_zarr(path, zarr_format=2, encoding=ENCODING, consolidated=True),
    "v2_loose.zarr": lambda cube, path: cube.to_zarr(path, zarr_format=2, encoding=ENCODING, consolidated=False),
    "v3.zarr": lambda cube, path: cube.to_zarr(path, zarr_format=3, encoding=ENCODING, consolidated=False),
    "4.nc": lambda cube, path: cube.to_netcdf(path, engine="h5netcdf", encoding=ENCODING),
    "3.nc": lambda cube, path: cube.to_netcdf(path, engine="scipy", encoding=ENCODING),
    "up.nc": lambda cube, path: cube.isel(y=slice(None, None, -1)).to_netcdf(path, engine="h5netcdf"),
    "late.nc": lambda cube, path: cube.isel(time=[2, 0, 1]).to_netcdf(path, engine="h5netcdf"),
    "turned.nc": lambda cube, path: cube.transpose("y", "x", "time").to_netcdf(path, engine="h5netcdf"),
    "renamed.nc": lambda cube, path: cube.rename(red="B04", time="t").to_netcdf(path, engine="h5netcdf"),
    "stored.nc": lambda cube, path: (
        (cube.drop_vars("spatial_ref").fillna(0) * 1e4)
        .assign(spatial_ref=cube["spatial_ref"])
        .to_netcdf(path, engine="h5netcdf", encoding={"red": {"dtype": "uint16", "_FillValue": None}})
    ),
}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_cubes_of_every_kind_are_one_cube(tmp_path: Path, planted_cube: xr.Dataset, name: str) -> None:
    WRITERS[name](planted_cube, tmp_path / name)
    where = district(tmp_path, cube_source(name))
    cube = opened(where)
    assert cube["red"].dims == ("time", "y", "x")
    assert cube["red"].shape == (2, 40, 60)
    assert cube["red"].dtype == np.float32
    assert cube["time"].values.astype("datetime64[D]").tolist() == [date(2024, 1, 1), date(2024, 2, 1)]
    assert (np.diff(cube["y"]) == -10).all()
    east, north = np.meshgrid(cube["x"], cube["y"])
    values = cube["red"].values
    np.testing.assert_allclose(values[1], plane(east, north), atol=6e-5)
    np.testing.assert_allclose(values[0, 20:], plane(east, north)[20:], atol=6e-5)
    np.testing.assert_allclose(values[0, :20], plane(east, north)[:20] + 0.5, atol=6e-5)
    files = source_files(where.configuration.imagery[0], where)
    assert files
    assert all(file.is_file() for file in files)


def test_a_cube_in_other_pixels_and_partly_outside(tmp_path: Path) -> None:
    """A geographic cube over the western half: brought to the district's CRS, cropped to what it covers."""
    to_degrees = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    left, bottom, right, top = to_degrees.transform_bounds(BOUNDS[0] - 100, BOUNDS[1] - 100, 500_300, BOUNDS[3] + 100)
    lon, lat = np.arange(left, right, 9e-5), np.arange(top, bottom, -9e-5)
    east, north = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(*np.meshgrid(lon, lat))
    red = plane(east, north)[None].astype(np.float32)
    coords = {"time": np.array(["2024-05-05"], "datetime64[ns]"), "lat": lat, "lon": lon}
    xr.Dataset({"red": (("time", "lat", "lon"), red)}, coords).to_netcdf(tmp_path / "g.nc", engine="h5netcdf")
    cube = opened(district(tmp_path, cube_source("g.nc", "resolution = 10\n")))
    assert cube.sizes["y"] == 40
    assert 28 <= cube.sizes["x"] <= 32
    assert_planted(cube.isel(x=slice(0, 28)), within_m=2.5)


def test_a_cube_coarsened_does_not_spread_what_is_missing(tmp_path: Path) -> None:
    transform = north_up(10)
    east, north = centres(transform, (40, 60))
    moved = np.full((2, 40, 60), -0.05, np.float32)
    moved[0] = 0.0
    moved[:, ::2, ::2] = np.nan
    coords = {"time": np.array(["2024-01-01", "2024-02-01"], "datetime64[ns]"), "y": north[:, 0], "x": east[0]}
    cube = xr.Dataset({"displacement": (("time", "y", "x"), moved)}, coords, {"incidence_angle": 39.0})
    cube["displacement"].attrs["azimuth_angle"] = 258.0
    cube.rio.write_crs(CRS).to_zarr(tmp_path / "i.zarr", zarr_format=2)
    more = 'sensor = "displacement"\nsource = "cube"\nhref = "i.zarr"\nresolution = 50\n'
    opened_cube = opened(district(tmp_path, more))
    np.testing.assert_allclose(opened_cube["displacement"].values[1], np.full((8, 12), -0.05), atol=1e-6)
    assert opened_cube.attrs["incidence_angle"] == 39.0
    assert opened_cube.attrs["azimuth_angle"] == 258.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cube: cube.drop_vars("spatial_ref"), "no coordinate system"),
        (lambda cube: cube.rename(y="up"), "no dimension y"),
        (
            lambda cube: cube.assign_coords(x=np.sort(cube["x"].values + 5 * np.sin(np.arange(70)))),
            "x is not evenly spaced",
        ),
        (lambda cube: cube.rename(red="what"), "no band of the sensor optical"),
        (lambda cube: cube.assign_coords(x=cube["x"] + 1e5), "nothing of it lies in the district"),
        (lambda cube: cube.assign_coords(time=cube["time"] - np.timedelta64(9999, "D")), "no date from 2023-01-01"),
    ],
)
def test_a_cube_that_cannot_be_used_says_why(tmp_path: Path, planted_cube: xr.Dataset, change: Any, said: str) -> None:
    change(planted_cube).to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=said):
        opened(district(tmp_path, cube_source("c.nc")))


@pytest.mark.parametrize(
    ("crs", "size", "wanted"),
    [(CRS, 10, 12), (CRS, 7.3, 15.02), ("EPSG:32650", 5, 10), ("EPSG:32650", 6.66, 10), ("EPSG:4326", 5, 10)],
)
def test_values_do_not_depend_on_blocks_threads_or_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crs: str, size: float, wanted: float
) -> None:
    """Of a source on another grid, interpolated or averaged, to the bit; (32650, 6.66) lies between the two."""
    west, south, east, north = GeoBox.from_bbox(BOUNDS, CRS, resolution=10).extent.to_crs(crs).boundingbox.bbox
    size = size / 111_000 if crs == "EPSG:4326" else size
    shape = round((north - south) / size) + 9, round((east - west) / size) + 9
    random = np.random.default_rng(5)
    red, classes = random.integers(500, 3000, shape).astype(np.int16), random.integers(4, 8, shape).astype(np.int16)
    red[random.random(shape) < 0.1] = NODATA
    transform = Affine(size, 0, west - 4.3 * size, 0, -size, north + 4.1 * size)
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, transform, crs, scale=1e-4)
    write_tiff(tmp_path / "s/20240101_scl.tif", {"scl": classes}, transform, crs)
    where = district(tmp_path, OPTICAL_STACK + f"resolution = {wanted}\n")
    with dask.config.set(scheduler="synchronous"):
        whole = opened(where).compute()
    assert np.isfinite(whole["red"].values).mean() > 0.8
    monkeypatch.setattr("illegalmining.imagery.grids.BLOCK_STEP", 8)
    monkeypatch.setattr("illegalmining.imagery.grids.BLOCK_BYTES", 1.0)
    pieces = opened(where)
    assert pieces["red"].data.npartitions >= 15
    xr.testing.assert_identical(pieces.compute(), whole)
    travelled = pickle.loads(pickle.dumps(pieces))
    np.testing.assert_array_equal(travelled["red"].values, pieces["red"].values)


def test_pixels_of_nearly_the_same_size_are_taken_alike_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They coincide at the western side of 600 pixels and lie a third of a pixel apart at the eastern."""
    red = np.random.default_rng(5).integers(500, 3000, (40, 600)).astype(np.int16)
    write_tiff(tmp_path / "s/20240101.tif", {"red": red}, north_up(10.005), scale=1e-4)
    for day in ("20240102", "20240103"):
        write_tiff(tmp_path / f"s/{day}.tif", {"red": red}, north_up(10), scale=1e-4)
    where = district(tmp_path, OPTICAL_STACK, (*BOUNDS[:2], BOUNDS[0] + 6000, BOUNDS[3]))
    whole = opened(where).compute()
    assert whole["red"].shape == (3, 40, 600)
    monkeypatch.setattr("illegalmining.imagery.grids.BLOCK_STEP", 32)
    monkeypatch.setattr("illegalmining.imagery.grids.BLOCK_BYTES", 1.0)
    pieces = opened(where)
    assert pieces["red"].data.npartitions >= 15
    xr.testing.assert_identical(pieces.compute(), whole)


def test_blocks_are_bounded_and_cover_everything() -> None:
    for shape, dates, bands in (((600, 600), 250, 7), ((4000, 3), 10, 1), ((1, 1), 1, 1), ((2000, 2000), 900, 8)):
        rows, columns = blocks(shape, dates, bands)
        assert (sum(rows), sum(columns)) == shape
        assert all(side % BLOCK_STEP == 0 for side in (*rows[:-1], *columns[:-1]))
        small = max(*rows, *columns) < 1.5 * BLOCK_STEP
        assert small or max(rows) * max(columns) * dates * bands * 4 <= 1.5**2 * BLOCK_BYTES
    assert split(10, 4) == (4, 4, 2)
    assert split(9, 4) == (4, 5)


def test_names_of_bands_and_days() -> None:
    assert band_of("B4", "optical") == ("red", 0)
    assert band_of(" SCL ", "optical") == ("scl", 0)
    assert band_of("B8A", "optical") == ("nir", 1)
    assert band_of("B05", "optical") is None
    assert band_of("VV", "radar") == ("vv", 0)
    assert band_of("red", "radar") is None
    assert day_in("S2A_MSIL2A_20240131T031009_20240201T050000.tif") == date(2024, 1, 31)
    assert day_in("unw_20240101_20240113.tif", last=True) == date(2024, 1, 13)
    assert day_in("x_2024-02-30_y.tif") is None
    assert day_in("1202401019.tif") is None


def real(shared_data: Path, tmp_path: Path, file: str, sensor: str, crs: str, bounds: tuple[float, ...]) -> xr.Dataset:
    where = district(tmp_path, f'sensor = "{sensor}"\nsource = "cube"\nhref = "{shared_data / file}"\n', bounds, crs)
    text = where.path.read_text().replace("2023-01-01", "2015-01-01").replace("2024-01-01", "2016-01-01")
    where.path.write_text(text)
    return opened(read_district(where.path))


def test_romania_comes_through_to_the_digit(shared_data: Path) -> None:
    where = read_district(shared_data / "districts/romania/district.toml")
    cube = opened(where)
    with xr.open_dataset(shared_data / "optical/romania_s2.nc", engine="h5netcdf", mask_and_scale=False) as raw:
        assert cube["x"].values.tolist() == raw["x"].values.tolist()
        assert cube["y"].values.tolist() == raw["y"].values.tolist()
        for band in ("blue", "green", "red", "nir"):
            truth = np.where(raw[band] == -1, np.nan, raw[band] * 1e-4)
            np.testing.assert_allclose(cube[band].values, truth, atol=1e-6)
        np.testing.assert_array_equal(cube["scl"].values, raw["scl"].values)


def test_the_other_real_cubes_open_right(shared_data: Path, tmp_path: Path) -> None:
    def cube(file: str, sensor: str, crs: str, bounds: tuple[float, ...]) -> xr.Dataset:
        return real(shared_data, tmp_path / Path(file).stem, file, sensor, crs, bounds)

    control = cube("optical/control_s2.nc", "optical", "EPSG:3035", (3912190, 2410010, 3912380, 2410200))
    assert set(control.data_vars) == {"green", "red", "nir", "swir16", "scl"}
    assert 0.2 < float(np.nanmedian(control["nir"])) < 0.5
    assert float(np.nanmedian(control["red"])) < 0.06
    slovenia = cube("optical/slovenia_ndvi.nc", "optical", "EPSG:32633", (465181, 5079245, 466181, 5080255))
    assert slovenia["ndvi"].shape[1:] == (101, 100)
    assert set(np.unique(slovenia["scl"])) == {4.0, 9.0}
    mexico = cube("insar/mexico_city.nc", "displacement", "EPSG:32614", (479934, 2141600, 494581, 2150775))
    assert mexico.sizes["time"] == 13
    assert mexico.attrs == {"incidence_angle": 39.7, "azimuth_angle": 258.0}
    assert mexico["temporal_coherence"].dims == ("y", "x")
    assert float(mexico["displacement"].min()) < -0.1


def movement(source: str, href: str, more: str = "") -> str:
    return f'sensor = "displacement"\nsource = "{source}"\nhref = "{href}"\n{more}'


def bowl(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """A sinking bowl of 60 mm in the middle of the district, m."""
    middle = (BOUNDS[0] + BOUNDS[2]) / 2, (BOUNDS[1] + BOUNDS[3]) / 2
    return -0.06 * np.exp(-((east - middle[0]) ** 2 + (north - middle[1]) ** 2) / 2 / 100.0**2)


def test_angles_follow_from_whatever_is_stated() -> None:
    """Sentinel-1, right-looking: ascending (heading -12) is seen at 258 degrees, descending (-168) at 102."""
    assert look_of({"incidence_angle": 39.7, "azimuth_angle": -102}) == {"incidence_angle": 39.7, "azimuth_angle": 258}
    assert look_of({"HEADING": "-12.0"}) == {"azimuth_angle": 258}
    assert look_of({"HEADING": "-168.0", "ANTENNA_SIDE": "-1"}) == {"azimuth_angle": 102}
    assert look_of({"HEADING": "-12.0", "ANTENNA_SIDE": "1"}) == {"azimuth_angle": 78}
    assert look_of({"orbit_pass_direction": "Descending"}) == {"azimuth_angle": 102}
    assert look_of({"incidence_angle": "none"}) == {}


def write_mintpy(folder: Path, geometry: bool) -> None:
    """A geocoded time series in degrees as MintPy writes it; its first four rows are masked."""
    to_degrees = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    left, bottom, right, top = to_degrees.transform_bounds(*BOUNDS)
    step = 2e-4
    shape = int((top - bottom) / step) + 6, int((right - left) / step) + 6
    transform = north_up(step, left - 3 * step, top + 3 * step)
    east, north = centres(transform, shape, "EPSG:4326")
    attrs = {"X_FIRST": transform.c, "Y_FIRST": transform.f, "X_STEP": step, "Y_STEP": -step, "X_UNIT": "degrees"}
    attrs |= {"WIDTH": shape[1], "LENGTH": shape[0], "FILE_TYPE": "timeseries", "UNIT": "m", "HEADING": -12.0}
    folder.mkdir(exist_ok=True)
    series = np.stack([np.zeros(shape), bowl(east, north) / 2, bowl(east, north)]).astype(np.float32)
    series[:, :4] = 0
    with h5py.File(folder / "timeseries.h5", "w") as file:
        file["timeseries"] = series
        file["date"] = np.array([b"20230101", b"20230601", b"20240101"])
        file.attrs.update({name: str(value) for name, value in attrs.items()})
    if geometry:
        (folder / "inputs").mkdir()
        with h5py.File(folder / "inputs/geometryGeo.h5", "w") as file:
            file["incidenceAngle"] = np.full(shape, 41.0, np.float32)
            file["azimuthAngle"] = np.full(shape, 102.0, np.float32)


@pytest.mark.parametrize("geometry", [True, False])
def test_mintpy_is_read_as_it_is(tmp_path: Path, geometry: bool) -> None:
    write_mintpy(tmp_path / "m", geometry)
    quarantine: list[dict[str, Any]] = []
    where = district(tmp_path, movement("cube", "m/timeseries.h5", "resolution = 20\n"))
    cube = opened(where, quarantine)
    east, north = np.meshgrid(cube["x"], cube["y"])
    moved = cube["displacement"].values
    assert moved.shape == (3, 20, 30)
    assert np.isnan(moved[:, 0]).all(), "a pixel masked by 0 on every date was taken for stable ground"
    np.testing.assert_allclose(moved[2, 4:], bowl(east, north)[4:], atol=0.002)
    assert np.abs(moved[0, 4:]).max() == 0
    files = {file.name for file in source_files(where.configuration.imagery[0], where)}
    if geometry:
        assert files == {"timeseries.h5", "geometryGeo.h5"}
        np.testing.assert_allclose(cube["incidence_angle"].values[4:], 41.0)
        np.testing.assert_allclose(np.sin(np.radians(cube["azimuth_angle"].values)), np.sin(np.radians(258)), atol=1e-5)
        assert not quarantine
    else:
        assert cube.attrs == {"incidence_angle": 39.0, "azimuth_angle": 258.0}
        assert [row["field"] for row in quarantine] == ["incidence_angle"]


def test_opera_products_are_chained(tmp_path: Path) -> None:
    """The reference moves on to the third date; movement is still that since the first."""
    transform = north_up(30, BOUNDS[0] - 30, BOUNDS[3] + 20)
    east, north = centres(transform, (18, 24))
    days = ["20230101", "20230601", "20240101", "20240601"]
    since_first = [bowl(east, north) * at for at in range(4)]
    for reference, secondary in ((0, 1), (0, 2), (2, 3)):
        moved = (since_first[secondary] - since_first[reference]).astype(np.float32)
        mask = np.ones((18, 24), np.uint8)
        mask[8, 8] = secondary != 3
        data = {"displacement": (("y", "x"), moved), "recommended_mask": (("y", "x"), mask)}
        product = xr.Dataset(data, {"y": north[:, 0], "x": east[0]}).rio.write_crs(CRS)
        stamp = f"{days[reference]}T140755Z_{days[secondary]}T140756Z"
        path = tmp_path / "o" / f"OPERA_L3_DISP-S1_IW_F11116_VV_{stamp}_v1.0_20250408T163512Z.nc"
        path.parent.mkdir(exist_ok=True)
        product.to_netcdf(path, engine="h5netcdf")
        extra = xr.Dataset({"orbit_pass_direction": ((), "Descending")})
        extra.to_netcdf(path, engine="h5netcdf", group="identification", mode="a")
    cube = opened(district(tmp_path, movement("cube", "o/*.nc")))
    found = pd.DatetimeIndex(cube["time"].values).strftime("%Y%m%d").tolist()
    assert found == days
    ground = np.meshgrid(cube["x"], cube["y"])
    for at in range(3):
        np.testing.assert_allclose(cube["displacement"].values[at], bowl(*ground) * at, atol=1e-6)
    last = cube["displacement"].values[3]
    seen = np.isfinite(last)
    assert (~seen).sum() == 1
    np.testing.assert_allclose(last[seen], (bowl(*ground) * 3)[seen], atol=1e-6)
    assert cube.attrs == {"incidence_angle": 39.0, "azimuth_angle": 102.0}


def test_egms_points_are_gridded(tmp_path: Path) -> None:
    """Points scattered over a bowl that sinks in Europe; millimetres become metres in the cell they lie in."""
    bounds = (4_321_000.0, 3_210_000.0, 4_322_000.0, 3_211_000.0)
    random = np.random.default_rng(5)
    east, north = random.uniform(bounds[0] - 300, bounds[2] + 300, 4000), random.uniform(bounds[1], bounds[3], 4000)
    middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2

    def sinking_mm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return -60.0 * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 2 / 250.0**2)

    sinks = sinking_mm(east, north)
    ascending = {"los_east": -0.62, "los_north": -0.13, "los_up": 0.77}
    points = pd.DataFrame({"pid": "p", "easting": east, "northing": north, "temporal_coherence": 0.9, **ascending})
    points["20230103"], points["20240110"], points["20250101"] = 0.0, sinks, 99.0
    points.to_csv(tmp_path / "EGMS_L2b_088_0297_IW2_VV_2019_2023_1.csv", index=False)
    source = movement("cube", "EGMS_L2b_088_0297_IW2_VV_2019_2023_1.csv", "resolution = 50\n")
    cube = opened(district(tmp_path, source, bounds, "EPSG:3035"))
    moved = cube["displacement"].values
    assert moved.shape == (2, 20, 20)
    seen = np.isfinite(moved[1])
    assert seen.mean() > 0.9
    expected = sinking_mm(*np.meshgrid(cube["x"], cube["y"])) / 1000
    np.testing.assert_allclose(moved[1][seen], expected[seen], atol=0.005)
    assert np.nanmin(moved[1]) < -0.05
    assert np.nanmax(moved[1]) <= 0
    # By hand: atan(hypot(0.62, 0.13) / 0.77), and 180 + atan(0.62 / 0.13).
    assert cube.attrs["incidence_angle"] == pytest.approx(39.44, abs=0.05)
    assert cube.attrs["azimuth_angle"] == pytest.approx(258.16, abs=0.05)
    far = district(tmp_path / "far", movement("cube", "../EGMS_L2b_088_0297_IW2_VV_2019_2023_1.csv"))
    with pytest.raises(InputError, match="no point lies in the district"):
        opened(far)


def test_movement_without_a_look_direction_is_read_as_vertical_and_said(tmp_path: Path) -> None:
    transform = north_up(10)
    moved = bowl(*centres(transform, (40, 60))).astype(np.float32)
    for day in ("20240101", "20240201"):
        write_tiff(tmp_path / f"d/cum_20230101_{day}.tif", {"": moved}, transform, nodata=np.nan)
    quarantine: list[dict[str, Any]] = []
    cube = opened(district(tmp_path, movement("stack", "d/*.tif")), quarantine)
    assert cube.sizes["time"] == 2
    np.testing.assert_array_equal(cube["displacement"].values[1], moved)
    assert (cube.attrs["incidence_angle"], cube.attrs["azimuth_angle"]) == (0.0, 0.0)
    assert "read as vertical" in quarantine[0]["why"]


def test_movement_in_stated_millimetres_becomes_metres(tmp_path: Path, planted_cube: xr.Dataset) -> None:
    cube = (planted_cube.rename(red="displacement") * 1000).fillna(0.0)
    cube["displacement"].attrs = {"units": "mm", "incidence_angle": 39.0, "azimuth_angle": 258.0}
    cube.to_netcdf(tmp_path / "mm.nc", engine="h5netcdf")
    found = opened(district(tmp_path, movement("cube", "mm.nc")))
    np.testing.assert_allclose(found["displacement"].values[1], plane(*np.meshgrid(found["x"], found["y"])), atol=1e-5)


def test_nightlight_is_the_one_band_there_is(tmp_path: Path) -> None:
    lit = np.full((3, 4), 7.5, np.float32)
    write_tiff(tmp_path / "n/VNP46A2_20240101.tif", {"DNB": lit}, north_up(500, BOUNDS[0] - 500, BOUNDS[3] + 500))
    cube = opened(district(tmp_path, 'sensor = "nightlight"\nsource = "stack"\nhref = "n/*.tif"\nresolution = 100\n'))
    np.testing.assert_allclose(cube["radiance"].values, np.full((1, 4, 6), 7.5))


def test_a_raster_of_the_whole_earth_is_cut_to_the_district(tmp_path: Path) -> None:
    """Its corners have no coordinates in the district's projection."""
    values = np.arange(180 * 360, dtype=np.float32).reshape(180, 360)
    write_tiff(tmp_path / "n/20240101.tif", {"radiance": values}, Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    cube = opened(district(tmp_path, 'sensor = "nightlight"\nsource = "stack"\nhref = "n/*.tif"\nresolution = 100\n'))
    # 111.0 E, 37.04 N: between columns 290 and 291, row 52; a quarter degree is a quarter of a step.
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(500_300, 4_100_200)
    expected = (90 - lat - 0.5) * 360 + lon + 180 - 0.5
    assert float(cube["radiance"].mean()) == pytest.approx(expected, abs=2)


def test_radar_that_is_not_positive_was_not_seen(tmp_path: Path) -> None:
    vv = np.full((40, 60), 0.1, np.float32)
    vv[0], vv[1] = 0.0, -0.01
    write_tiff(tmp_path / "r/20240101.tif", {"vv": vv}, north_up(10))
    values = opened(district(tmp_path, 'sensor = "radar"\nsource = "stack"\nhref = "r/*.tif"\n'))["vv"].values[0]
    assert np.isnan(values[:2]).all()
    assert (values[2:] == np.float32(0.1)).all()


def test_a_catalogue_by_pystac_with_bands_only_the_file_names(tmp_path: Path) -> None:
    """An independent writer of STAC: what pystac saves, self-contained or absolute, is read."""
    import pystac

    transform = north_up(10)
    truth = plane(*centres(transform, (40, 60)))
    write_tiff(tmp_path / "p/scene.tif", {"nir": stored(truth + 0.1), "red": stored(truth)}, transform, scale=1e-4)
    for kind in (pystac.CatalogType.SELF_CONTAINED, pystac.CatalogType.ABSOLUTE_PUBLISHED):
        catalogue = pystac.Catalog("root", "planted")
        for day in (3, 4):
            when = pd.Timestamp(2024, 1, day, 3, tz="UTC").to_pydatetime()
            one = pystac.Item(f"i{day}", None, None, when, {})
            one.add_asset("data", pystac.Asset(str(tmp_path / "p/scene.tif"), media_type=pystac.MediaType.COG))
            catalogue.add_item(one)
        folder = tmp_path / str(kind.value)
        catalogue.normalize_hrefs(str(folder))
        if kind == pystac.CatalogType.SELF_CONTAINED:
            catalogue.make_all_asset_hrefs_relative()
        catalogue.save(kind)
        where = district(tmp_path, f'sensor = "optical"\nsource = "stac"\nhref = "{kind.value}/catalog.json"\n')
        cube = opened(where)
        assert cube.sizes["time"] == 2
        assert_planted(cube, within_m=0.3)
        np.testing.assert_allclose(cube["nir"].values[1], truth + 0.1, atol=6e-5)
        assert len(source_files(where.configuration.imagery[0], where)) == 4


def test_a_cube_with_a_band_dimension(tmp_path: Path, planted_cube: xr.Dataset) -> None:
    both = xr.concat([planted_cube["red"], planted_cube["red"] + 0.1], pd.Index(["red", "nir"], name="band"))
    both.transpose("time", "band", "y", "x").to_dataset(name="s2").rio.write_crs(CRS).to_zarr(tmp_path / "b.zarr")
    cube = opened(district(tmp_path, cube_source("b.zarr")))
    assert list(cube.data_vars) == ["red", "nir"]
    np.testing.assert_allclose(cube["nir"].values, cube["red"].values + 0.1, atol=1e-6)


def test_one_crs_written_in_many_ways_needs_no_warp() -> None:
    """EPSG code, ESRI's WKT and a zero datum shift give the same coordinates; another zone does not."""
    crs = GridCRS(CRS)
    esri = pyproj.CRS(CRS).to_wkt("WKT1_ESRI")
    shifted = "+proj=utm +zone=49 +datum=WGS84 +units=m +towgs84=0,0,0,0,0,0,0 +type=crs"
    for written in (esri, shifted, "+proj=utm +zone=49 +ellps=WGS84 +units=m +type=crs"):
        grid = GeoBox((40, 60), north_up(10), GridCRS(written))
        assert in_words_of(grid, crs).crs == crs
    assert in_words_of(GeoBox((40, 60), north_up(10), "EPSG:32648"), crs).crs == GridCRS("EPSG:32648")


def test_interpolation_agrees_with_scipy_and_leaves_missing_pixels_alone() -> None:
    random = np.random.default_rng(11)
    values = random.normal(size=(30, 40)).astype(np.float32)
    rows, columns = random.uniform(0.5, 29.5, (50, 60)), random.uniform(0.5, 39.5, (50, 60))
    expected = map_coordinates(values.astype(float), [rows - 0.5, columns - 0.5], order=1)
    np.testing.assert_allclose(bilinear(values, rows, columns), expected, atol=1e-5)
    np.testing.assert_array_equal(nearest(values, rows, columns), values[rows.astype(int), columns.astype(int)])
    flat = np.ones((30, 40), np.float32)
    flat[10:20, 10:20] = np.nan
    found = bilinear(flat, rows, columns)
    deep = (rows > 11) & (rows < 19) & (columns > 11) & (columns < 19)
    far = (rows < 9.5) | (rows > 20.5) | (columns < 9.5) | (columns > 20.5)
    assert np.isnan(found[deep]).all()
    assert (found[far] == 1).all()
    assert set(np.unique(found[np.isfinite(found)])) == {1.0}
    # The gap begins at column 10: a fifth of a pixel within it is missing, a fifth of a pixel before it is not.
    np.testing.assert_array_equal(bilinear(flat, np.full((1, 2), 15.0), np.array([[10.2, 9.8]])), [[np.nan, 1]])
    assert np.isnan(bilinear(flat, np.array([[-1.0, 31.0]]), np.array([[5.0, 5.0]]))).all()


def test_an_average_weighs_by_the_area_covered_and_leaves_missing_pixels_alone() -> None:
    """Against differences of the image's integral, which is linear between pixels' corners."""
    random = np.random.default_rng(12)
    values = random.normal(size=(30, 40)).astype(np.float32)
    integral = np.zeros((31, 41))
    integral[1:, 1:] = values.astype(float).cumsum(axis=0).cumsum(axis=1)
    edges = np.sort(random.uniform(0, 30, 9)), np.sort(random.uniform(0, 40, 12))
    rows, columns = np.meshgrid(*edges, indexing="ij")
    at_corners = map_coordinates(integral, [rows, columns], order=1)
    sums = np.diff(np.diff(at_corners, axis=0), axis=1)
    areas = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    np.testing.assert_allclose(average(values, rows, columns), sums / areas, rtol=1e-4, atol=1e-4)
    flat = np.ones((4, 4), np.float32)
    flat[0, 0], flat[2:, 2:] = np.nan, np.nan
    rows, columns = np.meshgrid([0.0, 2.0, 4.0], [0.0, 2.0, 4.0], indexing="ij")
    np.testing.assert_array_equal(average(flat, rows, columns), [[1, 1], [1, np.nan]])


@pytest.mark.parametrize(
    ("band", "conversion", "limit"),
    [
        ("red", Conversion(), 1.6),
        ("red", Conversion(factor=1e-4), 1.6e4),
        ("vv", Conversion(decibels=True), 0.0),
        ("vv", Conversion(positive=True), 0.0),
    ],
)
@pytest.mark.parametrize("size", [100, 101, 102, 501])
def test_counting_spares_no_scene_that_its_median_would_give_away(
    band: str, conversion: Conversion, limit: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenes of which about half lies on either side of what is plausible."""
    generator = np.random.default_rng(size)
    scenes = []
    for beyond in range(size // 2 - 3, size // 2 + 4):
        spread = generator.random(size) + 0.01
        values = limit + np.where(np.arange(size) < beyond, spread, -spread) * max(limit, 1.0)
        scenes.append(values.astype(np.float32))
    quick = [conversion.unlike(band, scene) for scene in scenes]
    monkeypatch.setattr(Conversion, "may_be_unlike", lambda *_: True)
    slow = [conversion.unlike(band, scene) for scene in scenes]
    assert quick == slow
    assert {bool(said) for said in slow} == {True, False}
