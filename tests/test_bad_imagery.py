"""Images that are broken, hostile, of another place or in another unit: said, and the good ones go on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bad_input import BOUNDS, CRS, assert_clear, bounded, check, flipped, sparse, write_district
from illegalmining.district import read_district
from illegalmining.errors import InputError
from illegalmining.imagery.open import open_source

SIDE = 30
"""Pixels of 50 m along the district's 1.5 km."""
HERE = Affine(50, 0, BOUNDS[0], 0, -50, BOUNDS[3])
DAYS = ("20250610", "20260105", "20260220")
Row = dict[str, Any]


def tiff(
    path: Path, values: Any = 0.2, transform: Affine = HERE, crs: str | None = CRS, band: str = "red", **more: Any
):
    """One band of 30 x 30 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5).uniform(0.9, 1.1, (SIDE, SIDE))
    values = (values * random).astype(more.pop("dtype", "float32")) if np.isscalar(values) else values
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 1, "dtype": values.dtype, **more}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as out:
        out.write(values, 1)
        out.set_band_description(1, band)
    return path


def source(kind: str, href: str, sensor: str = "optical", more: str = "") -> str:
    return f'[[imagery]]\nname = "it"\nsensor = "{sensor}"\nsource = "{kind}"\nhref = "{href}"\n{more}'


def stacked(folder: Path, sensor: str = "optical", band: str = "red", value: float = 0.2, more: str = "") -> Path:
    """A district with a stack of three good scenes."""
    for day in DAYS:
        tiff(folder / "s" / f"{day}.tif", value, band=band)
    return write_district(folder, source("stack", "s/*.tif", sensor, more))


def opened(path: Path) -> tuple[xr.Dataset, list[Row]]:
    rows: list[Row] = []
    district = read_district(path)
    return open_source(district.configuration.imagery[0], district, rows).load(), rows


def dates(cube: xr.Dataset) -> list[str]:
    """Days on which anything was seen."""
    band = next(values for values in cube.data_vars.values() if "time" in values.dims)
    seen = np.isfinite(band.values).any(axis=(1, 2))
    return pd.DatetimeIndex(cube["time"].values[seen]).strftime("%Y%m%d").tolist()


# --- one bad scene among good ones -----------------------------------------------------------------------------

BAD = "20260310.tif"


def cut(path: Path) -> None:
    content = tiff(path).read_bytes()
    path.write_bytes(content[:-400])


def giant_pixels(path: Path) -> None:
    tiff(path, transform=Affine(50, 0, 0, 0, -50, 0), crs=None)


SCENES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "cannot be opened"),
    "noise": (lambda p: p.write_bytes(np.random.default_rng(0).bytes(4000)), "cannot be opened"),
    "an error page": (lambda p: p.write_text("<html>404</html>"), "cannot be opened"),
    "cut short": (cut, "cut short|no coordinate system|cannot be opened"),
    "no place": (giant_pixels, "no coordinate system"),
    "another place": (lambda p: tiff(p, transform=Affine(50, 0, 700_000, 0, -50, 3_000_000)), "beside the district"),
    "axes exchanged": (
        lambda p: tiff(p, transform=Affine(50, 0, BOUNDS[1], 0, -50, BOUNDS[2])),
        "beside the district",
    ),
    "another zone": (lambda p: tiff(p, crs="EPSG:4550"), "beside the district"),
    "no band": (lambda p: tiff(p, band="pan"), "no band"),
    "complex": (lambda p: tiff(p, np.ones((SIDE, SIDE), np.complex64)), "complex"),
    "percent": (lambda p: tiff(p, 20.0), "unit of the source's other scenes"),
    "ten-thousandths": (lambda p: tiff(p, 2000.0, dtype="float32"), "unit of the source's other scenes"),
}


@pytest.mark.parametrize("name", SCENES)
def test_one_bad_scene_is_said_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    spoil, why = SCENES[name]
    path = stacked(tmp_path)
    spoil(tmp_path / "s" / BAD)
    cube, rows = opened(path)
    assert dates(cube) == list(DAYS)
    assert [row for row in rows if BAD in f"{row['file']} {row['row']} {row['value']}"], rows
    assert any(re.search(why, f"{row['rule']} {row['why']}") for row in rows), rows
    said = check(path)
    assert_clear(said)


@pytest.mark.parametrize("name", ["notes.tif", "2026-99-10.tif", "20261340.tif"])
def test_a_scene_without_a_day_is_said(name: str, tmp_path: Path) -> None:
    path = stacked(tmp_path)
    shutil.copy(tmp_path / "s" / f"{DAYS[0]}.tif", tmp_path / "s" / name)
    said = check(path)
    assert_clear(said)
    assert [(row["file"], row["value"]) for row in said.rows] == [(f"s/{name}", name)]
    assert dates(opened(path)[0]) == list(DAYS)


def test_scenes_of_the_future_are_not_looked_at(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    tiff(tmp_path / "s" / "20310101.tif")
    assert check(path).code == 0
    assert dates(opened(path)[0]) == list(DAYS)


@pytest.mark.parametrize("size", [10.0, 25.0, 37.0])
def test_scenes_on_mixed_grids_are_one_cube(size: float, tmp_path: Path) -> None:
    path = stacked(tmp_path, more="resolution = 50\n")
    tiff(tmp_path / "s" / BAD, transform=Affine(size, 0, BOUNDS[0], 0, -size, BOUNDS[3]))
    cube, rows = opened(path)
    assert rows == []
    assert cube["red"].shape == (4, SIDE, SIDE)
    assert np.nanmean(cube["red"].values[3]) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("usual", "odd"), [(0.1, -10.0), (-10.0, 0.1)])
def test_one_radar_scene_in_the_other_unit_is_left_out_and_said(usual: float, odd: float, tmp_path: Path) -> None:
    path = stacked(tmp_path, "radar", "vv", usual)
    tiff(tmp_path / "s" / BAD, odd, band="vv")
    cube, rows = opened(path)
    assert dates(cube) == list(DAYS)
    assert any(row["value"] == BAD and "unit" in row["rule"] for row in rows)
    assert np.nanmedian(cube["vv"].values) == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("sensor", "band", "value", "why"),
    [
        ("optical", "red", 20.0, "expected surface reflectance"),
        ("radar", "vv", 5000.0, "expected gamma0 in linear power"),
        ("displacement", "displacement", 130.0, "expected metres"),
        ("optical", "vv", 0.2, "no file can be opened and has a band"),
    ],
)
def test_a_source_in_an_unknown_unit_is_refused(sensor: str, band: str, value: float, why: str, tmp_path: Path) -> None:
    said = check(stacked(tmp_path, sensor, band, value))
    assert_clear(said)
    assert said.code == 3
    assert why in said.of("s/*.tif")[-1]["why"]


def test_nan_and_infinite_pixels_are_no_measurement(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    values = np.full((SIDE, SIDE), 0.2, np.float32)
    values[0], values[1], values[2] = np.nan, np.inf, -np.inf
    tiff(tmp_path / "s" / BAD, values)
    cube, rows = opened(path)
    assert rows == []
    assert np.isfinite(cube["red"].values[3]).sum() == (SIDE - 3) * SIDE


def test_a_stack_of_nothing_good_is_set_aside_as_a_whole(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    for day in DAYS:
        (tmp_path / "s" / f"{day}.tif").write_bytes(b"II*\0")
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert len(said.rows) == len(DAYS) + 1
    assert "none of its 3 files can be used" in said.of("s/*.tif")[0]["why"]


def test_pixels_of_a_millimetre_are_refused(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    tiff(tmp_path / "s" / BAD, transform=Affine(1e-3, 0, BOUNDS[0], 0, -1e-3, BOUNDS[3]))
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert "would cut the district into" in said.of("s/*.tif")[0]["why"]


def test_a_raster_whose_one_block_is_gigabytes_is_refused(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    many = 1 << 15
    profile = {"driver": "GTiff", "height": many, "width": many, "count": 1, "dtype": "uint8", "SPARSE_OK": True}
    with rasterio.open(
        tmp_path / "s" / BAD, "w", crs=CRS, transform=HERE, tiled=True, blockxsize=many, blockysize=many, **profile
    ) as out:
        out.set_band_description(1, "red")
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert "unpacks to" in said.of(f"s/{BAD}")[0]["why"]
    assert dates(opened(path)[0]) == list(DAYS)


# --- places ------------------------------------------------------------------------------------------------------

FAR = Affine(10, 0, BOUNDS[0] + 80_000, 0, -10, BOUNDS[3])
BESIDE_RULE = "a scene of the district"


def test_a_stacks_scene_of_another_place_is_set_aside(tmp_path: Path) -> None:
    path = stacked(tmp_path)
    tiff(tmp_path / "s" / BAD, transform=FAR)
    cube, rows = opened(path)
    assert dates(cube) == list(DAYS)
    assert [row["value"] for row in rows if row["rule"] == BESIDE_RULE] == [BAD]


@pytest.mark.parametrize("bbox", [[111.8, 36.9, 112.9, 37.2], [111.8, 36.9, 0.0, 112.9, 37.2, 9.0], None])
def test_scenes_a_catalogue_lists_of_other_places_are_counted_and_no_fault(bbox: Any, tmp_path: Path) -> None:
    path = catalogued(tmp_path, item("far", "2026-02-20", "far.tif", **({"bbox": bbox} if bbox else {})))
    tiff(tmp_path / "far.tif", transform=FAR)
    cube, rows = opened(path)
    assert dates(cube) == list(DAYS[:2])
    assert rows == []
    assert cube.attrs["scenes_beside"] == 1
    said = check(path)
    assert said.code == 0, said.rows


def test_an_item_that_says_it_lies_here_and_does_not_is_set_aside(tmp_path: Path) -> None:
    path = catalogued(tmp_path, item("far", "2026-02-20", "far.tif", bbox=[110.9, 36.9, 111.1, 37.2]))
    tiff(tmp_path / "far.tif", transform=FAR)
    cube, rows = opened(path)
    assert cube.attrs["scenes_beside"] == 0
    assert [(row["row"], row["value"]) for row in rows if row["rule"] == BESIDE_RULE] == [("far", "far.tif")]


def test_a_fault_of_the_program_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from illegalmining.imagery import open as opening

    def wrong(*_: Any) -> None:
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr(opening, "mosaic", wrong)
    with pytest.raises(AttributeError):
        opened(stacked(tmp_path))


# --- catalogues --------------------------------------------------------------------------------------------------


def item(name: str, day: str, href: Any, **more: Any) -> Row:
    assets = {"red": {"href": href, "type": "image/tiff"}}
    known = {"type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": None, "links": []}
    return {**known, "properties": {"datetime": f"{day}T03:00:00Z"}, "assets": assets, **more}


def catalogued(folder: Path, bad: Any = None) -> Path:
    """A district with an item collection: two good items, and whatever is wrong with the third."""
    for day in DAYS[:2]:
        tiff(folder / "s" / f"{day}.tif")
    items = [item("a", "2025-06-10", "s/20250610.tif"), item("b", "2026-01-05", "s/20260105.tif")]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [*items, bad]}))
    return write_district(folder, source("stac", "items.json"))


GOOD = item("c", "2026-02-20", "s/20260105.tif")
ITEMS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "item"),
    "a word": ("feature", "item"),
    "a number": (7, "item"),
    "no properties": ({**GOOD, "properties": None}, "no day"),
    "properties in a list": ({**GOOD, "properties": [1]}, "properties"),
    "no day": ({**GOOD, "properties": {"datetime": None}}, "no day"),
    "a day that is none": ({**GOOD, "properties": {"datetime": "2026-02-30T00:00:00Z"}}, "no day"),
    "a day in a list": ({**GOOD, "properties": {"datetime": ["2026-02-20"]}}, "no day"),
    "no assets": ({**GOOD, "assets": None}, "no band"),
    "assets in a list": ({**GOOD, "assets": [GOOD["assets"]]}, "assets"),
    "an asset that is a word": ({**GOOD, "assets": {"red": "s.tif"}}, "assets"),
    "an address that is none": ({**GOOD, "assets": {"red": {"href": None}}}, "href"),
    "an address with NUL": ({**GOOD, "assets": {"red": {"href": "a\0b.tif"}}}, "href"),
    "a file that is absent": ({**GOOD, "assets": {"red": {"href": "s/none.tif"}}}, "cannot be opened"),
    "bands that are words": ({**GOOD, "assets": {"red": {"href": "s/x.tif", "bands": ["red"]}}}, "bands"),
    "a scale that is a word": (
        {**GOOD, "assets": {"red": {"href": "s/20260105.tif", "raster:bands": [{"scale": "tiny"}]}}},
        "raster:bands",
    ),
    "bands nobody knows": (
        {**GOOD, "assets": {"B99": {"href": "s/20260105.tif", "bands": [{"name": "B99"}]}}},
        "no band",
    ),
}


@pytest.mark.parametrize("name", ITEMS)
def test_one_bad_item_is_said_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    bad, why = ITEMS[name]
    path = catalogued(tmp_path, bad)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert any(why in f"{row['field']} {row['rule']} {row['why']}" for row in said.rows), said.rows
    assert dates(opened(path)[0]) == list(DAYS[:2])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[]", "JSON object"),
        (b"{}", "no STAC item"),
        (b'{"type": "FeatureCollection", "features": null}', "no STAC item"),
        (b'{"type": "FeatureCollection", "features": {"a": 1}}', "no STAC item"),
        (b'{"type": "Catalog", "links": "items"}', "no STAC item"),
        (b'{"type": "Catalog", "links": ["items", {"rel": "item"}, {"rel": "item", "href": "gone.json"}]}', "no STAC"),
        (b'{"type": "Catalog", "links": [{"rel": "child", "href": "items.json"}]}', "no STAC item"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_catalogues_that_are_none(content: bytes, why: str, tmp_path: Path) -> None:
    path = catalogued(tmp_path)
    (tmp_path / "items.json").write_bytes(content)
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert why in said.of("items.json")[-1]["why"]


def test_a_chain_of_a_thousand_catalogues_is_followed_to_its_end(tmp_path: Path) -> None:
    path = catalogued(tmp_path, GOOD)
    shutil.move(tmp_path / "items.json", tmp_path / "c2000.json")
    for number in range(2000):
        name = tmp_path / ("items.json" if number == 0 else f"c{number}.json")
        name.write_text(json.dumps({"type": "Catalog", "links": [{"rel": "child", "href": f"c{number + 1}.json"}]}))
    assert len(dates(opened(path)[0])) == 3


def test_a_catalogue_of_ten_gigabytes_is_refused(tmp_path: Path) -> None:
    path = catalogued(tmp_path)
    sparse(tmp_path / "items.json", b'{"type": "Catalog", "links": "')
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert "MiB" in said.of("items.json")[-1]["why"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "properties", "datetime", "assets", "href", "bands", "links", "rel", "red"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_json_among_the_items_is_an_item_or_a_line(tmp_path: Path, value: Any) -> None:
    path = catalogued(tmp_path)
    known = json.loads((tmp_path / "items.json").read_text())
    known["features"][2] = {**GOOD, **value} if isinstance(value, dict) else value
    (tmp_path / "items.json").write_text(json.dumps(known))
    cube, _ = opened(path)
    assert {"20250610", "20260105"} <= set(dates(cube))


# --- cubes ---------------------------------------------------------------------------------------------------------


def cube_of(band: str = "displacement", level: float = 0.003, many: int = 12) -> xr.Dataset:
    """Movement of millimetres, or another band at its level."""
    values = np.random.default_rng(2).normal(0, level, (many, SIDE, SIDE)).astype(np.float32)
    if band != "displacement":
        values = np.abs(values) + np.float32(0.05)
    at = {
        "time": pd.date_range("2025-06-01", periods=many, freq="24D"),
        "y": BOUNDS[3] - 25 - 50.0 * np.arange(SIDE),
        "x": BOUNDS[0] + 25 + 50.0 * np.arange(SIDE),
    }
    cube = xr.Dataset({band: (("time", "y", "x"), values)}, at, {"incidence_angle": 39.0, "azimuth_angle": 100.0})
    return cube.rio.write_crs(CRS)


def written(folder: Path, cube: xr.Dataset, kind: str, sensor: str = "displacement", **encoding: Any) -> Path:
    file = folder / f"cube.{kind}"
    if kind == "tif":
        for stamp, image in zip(cube["time"].values, cube["displacement"].values, strict=True):
            scene = tiff(folder / "s" / f"{pd.Timestamp(stamp):%Y%m%d}.tif", image, band="displacement")
            with rasterio.open(scene, "r+") as raster:
                raster.update_tags(**cube.attrs)
        return write_district(folder, source("stack", "s/*.tif", sensor))
    if kind == "zarr":
        cube.to_zarr(file, zarr_format=2, consolidated=True, encoding=encoding)
    else:
        cube.to_netcdf(file, engine="h5netcdf")
    return write_district(folder, source("cube", file.name, sensor))


@pytest.mark.parametrize("kind", ["zarr", "nc", "tif"])
@pytest.mark.parametrize(("factor", "said"), [(1.0, False), (100.0, True), (1000.0, True)])
def test_centimetres_for_metres_are_seen_and_said(kind: str, factor: float, said: bool, tmp_path: Path) -> None:
    heard = check(written(tmp_path, cube_of() * factor, kind))
    assert_clear(heard)
    assert heard.code == (3 if said else 0)
    assert not said or "looks like centimetres or millimetres" in heard.text()


@pytest.mark.parametrize("kind", ["nc", "tif"])
def test_fast_broad_sinking_is_no_wrong_unit(kind: str, tmp_path: Path) -> None:
    """Half the district sinks by 0.4 m a year, as the fastest cities do."""
    cube = cube_of(many=30)
    years = (cube["time"] - cube["time"][0]).dt.days / 365.25
    assert check(written(tmp_path, cube - 0.4 * years, kind)).code == 0


def no_crs(cube: xr.Dataset) -> xr.Dataset:
    return cube.drop_vars("spatial_ref")


CUBES: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "no CRS": (no_crs, "no coordinate system"),
    "no time": (lambda c: c.isel(time=0, drop=True), "no dimension time"),
    "uneven": (lambda c: c.assign_coords(x=c["x"].values + 3.0 * np.arange(SIDE) ** 2), "not evenly spaced"),
    "coordinates missing": (lambda c: c.assign_coords(x=np.full(SIDE, np.nan)), "not evenly spaced|nan"),
    "another place": (lambda c: c.assign_coords(x=c["x"] + 3e5), "nothing of it lies in the district"),
    "axes exchanged": (lambda c: c.rename(x="y", y="x"), "nothing of it lies in the district"),
    "other years": (lambda c: c.assign_coords(time=c["time"] - np.timedelta64(9999, "D")), "no date from"),
    "no dates": (lambda c: c.assign_coords(time=np.arange(12)), "time cannot be read"),
    "no band": (lambda c: c.rename(displacement="height"), "no band of the sensor"),
    "no entry": (lambda c: c.isel(time=slice(0, 0)), "date"),
    "one pixel": (lambda c: c.isel(x=slice(0, 1)), "two pixels"),
}


@pytest.mark.parametrize("kind", ["zarr", "nc"])
@pytest.mark.parametrize("name", CUBES)
def test_a_cube_that_cannot_be_used_says_why(name: str, kind: str, tmp_path: Path) -> None:
    change, why = CUBES[name]
    said = check(written(tmp_path, change(cube_of()), kind))
    assert_clear(said)
    assert said.code == 3
    assert re.search(why, said.of(f"cube.{kind}")[-1]["why"]), said.rows


@pytest.mark.parametrize("spoil", ["empty", "half", "noise", "absent"])
def test_a_netcdf_file_that_is_none(spoil: str, tmp_path: Path) -> None:
    path = written(tmp_path, cube_of(), "nc")
    file = tmp_path / "cube.nc"
    content = file.read_bytes()
    if spoil == "absent":
        file.unlink()
    else:
        noise = np.random.default_rng(1).bytes(2000)
        file.write_bytes({"empty": b"", "half": content[: len(content) // 2], "noise": noise}[spoil])
    said = check(path)
    assert_clear(said)
    assert said.code == 3
    assert said.of("cube.nc")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["zarr", "nc"])
def test_flipped_bytes_of_a_cube_end_in_no_traceback(name: str, seed: int, tmp_path: Path) -> None:
    path = written(tmp_path, cube_of(), name)
    files = sorted(file for file in (tmp_path / f"cube.{name}").rglob("*") if file.is_file()) or [tmp_path / "cube.nc"]
    for file in files[seed % len(files) :: 4]:
        file.write_bytes(flipped(file.read_bytes(), seed, 12))
    assert_clear(check(path))
    try:
        opened(path)
    except InputError as error:
        assert "cube" in str(error)  # noqa: PT017  (either is right)


def test_a_broken_chunk_leaves_a_gap_and_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, cube_of(), "zarr", displacement={"chunks": (4, SIDE, SIDE)})
    chunk = tmp_path / "cube.zarr" / "displacement" / "1.0.0"
    chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    rows: list[Row] = []
    district = read_district(path)
    cube = open_source(district.configuration.imagery[0], district, rows)
    pieces = [cube["displacement"].isel(time=slice(at, at + 4)) for at in (0, 4, 8)]
    assert cube.sizes["time"] == 12
    cube.load()
    assert len(pieces) == 3
    assert [(row["rule"], row["field"]) for row in rows] == [("pixels can be read", "displacement")]


def test_a_chunk_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, cube_of(), "zarr")
    for name in (".zmetadata",):
        meta = json.loads((tmp_path / "cube.zarr" / name).read_text())
        meta["metadata"]["displacement/.zarray"]["chunks"] = [10_000, 100_000, 100_000]
        (tmp_path / "cube.zarr" / name).write_text(json.dumps(meta))
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert "unpacks to" in said.of("cube.zarr")[0]["why"]


def test_a_cube_of_a_billion_dates_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, cube_of(), "nc")
    with h5py.File(tmp_path / "cube.nc", "w") as file:
        for name, size in (("time", 10**9), ("y", 30), ("x", 30)):
            file.create_dataset(name, (size,), "f8", chunks=(min(size, 1000),)).make_scale(name)
        data = file.create_dataset("displacement", (10**9, 30, 30), "f4", chunks=(10, 30, 30))
        for at, name in enumerate(("time", "y", "x")):
            data.dims[at].attach_scale(file[name])
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert said.code == 3
    assert said.of("cube.nc")


# --- movement as its makers write it ----------------------------------------------------------------------------


def mintpy(folder: Path, **attrs: Any) -> Path:
    with h5py.File(folder / "ts.h5", "w") as file:
        file["timeseries"] = np.random.default_rng(1).normal(0, 0.003, (4, SIDE, SIDE)).astype("f4")
        file["date"] = np.array([b"20250601", b"20250613", b"20250625", b"20250707"])
        known = {"WIDTH": SIDE, "LENGTH": SIDE, "X_FIRST": BOUNDS[0], "Y_FIRST": BOUNDS[3], "X_STEP": 50.0}
        known |= {"Y_STEP": -50.0, "EPSG": 4546, "X_UNIT": "meters", "HEADING": -12.0, **attrs}
        file.attrs.update({name: value for name, value in known.items() if value is not None})
    return write_district(folder, source("cube", "ts.h5", "displacement"))


@pytest.mark.parametrize(
    ("attrs", "why"),
    [
        ({}, ""),
        ({"X_FIRST": None}, "radar coordinates"),
        ({"X_STEP": "wide"}, "ts.h5"),
        ({"EPSG": 1}, "ts.h5"),
        ({"EPSG": None, "X_UNIT": "feet"}, "EPSG"),
        ({"X_FIRST": 9e5}, "nothing of it lies"),
        ({"Y_STEP": 0.0}, "ts.h5"),
    ],
)
def test_a_time_series_of_mintpy(attrs: Row, why: str, tmp_path: Path) -> None:
    said = check(mintpy(tmp_path, **attrs))
    assert_clear(said)
    whole = [row for row in said.rows if row["rule"] == "imagery it can be read"]
    assert bool(whole) == bool(why), said.rows
    assert not why or why in whole[0]["why"]


EGMS = "pid,easting,northing,track_angle,incidence_angle,20250601,20250613\n"


@pytest.mark.parametrize(
    "content",
    [
        EGMS,
        EGMS + "a,1,2,190,39,1.0,2.0\n",
        EGMS + "a,east,north,190,39,1.0,2.0\n",
        EGMS + "a,nan,inf,190,39,1.0,2.0\n",
        EGMS.replace("20250601", "20259901"),
        "pid,easting,northing\n",
        "",
        "\xff\xfe\x00",
        EGMS + '"unclosed,1,2\n' * 3,
        EGMS + "a,1,2\n",
    ],
)
def test_points_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "egms.csv").write_bytes(content.encode("latin-1"))
    said = check(write_district(tmp_path, source("cube", "egms.csv", "displacement")))
    assert_clear(said)
    assert said.code == 3
    assert said.of("egms.csv")


def test_points_of_ten_gigabytes_in_one_row_are_refused(tmp_path: Path) -> None:
    sparse(tmp_path / "egms.csv", b"pid,easting,northing,")
    path = write_district(tmp_path, source("cube", "egms.csv", "displacement"))
    said = bounded(lambda: check(path))
    assert_clear(said)
    assert "first line does not end" in said.of("egms.csv")[0]["why"]


def test_an_opera_product_that_is_none(tmp_path: Path) -> None:
    name = "OPERA_L3_DISP-S1_IW_F1_VV_20250601T000000Z_20250613T000000Z_v1.0_20250620T000000Z.nc"
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    said = check(write_district(tmp_path, source("cube", "OPERA*.nc", "displacement")))
    assert_clear(said)
    assert said.code == 3
    assert said.of("OPERA*.nc")
