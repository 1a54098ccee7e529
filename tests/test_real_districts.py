"""The whole way on real measurements: clearings in Romania, subsidence in Mexico City, a steel plant's meter."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from scipy import ndimage
from shapely import union_all
from shapely.geometry import MultiPoint, Point, box
from typer.testing import CliRunner

import real_data
from illegalmining.cli import app
from illegalmining.publish.results import read_cases


def run(path: Path) -> None:
    outcome = CliRunner().invoke(app, ["run", str(path), "--quiet"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output


def write_district(folder: Path, days: tuple[str, str, str], crs: str, bounds: list[float], more: str) -> Path:
    """A district.toml and a jurisdiction that covers its bounds."""
    outline = gpd.GeoDataFrame({"code": ["1"], "name": ["all"], "level": ["county"]}, geometry=[box(*bounds)], crs=crs)
    outline.to_file(folder / "jurisdictions.gpkg")
    path = folder / "district.toml"
    path.write_text(
        f'[district]\nname = "real"\ncrs = "{crs}"\nbounds = {bounds}\n'
        f"history_from = {days[0]}\nmonitor_from = {days[1]}\nas_of = {days[2]}\n"
        f'[registers]\njurisdictions = "jurisdictions.gpkg"\n{more}'
    )
    return path


@pytest.fixture(scope="module")
def romania(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The district as it is shared, run in a folder of its own."""
    folder = tmp_path_factory.mktemp("romania")
    text = (shared_data / "districts" / "romania" / "district.toml").read_text()
    text = text.replace("../../optical", str(shared_data / "optical"))
    text = text.replace('"jurisdictions.gpkg"', f'"{shared_data / "districts/romania/jurisdictions.gpkg"}"')
    path = folder / "district.toml"
    path.write_text(text)
    run(path)
    return folder / "out" / "2021-01-01"


def clearings(shared_data: Path) -> dict[int, list[MultiPoint]]:
    """Year -> pixel centres of each patch of at least 0.1 ha cleared that year.

    An independent look, without any time series model: a clear scene's NDVI less that of the scene's best forest; the
    median of May to July; a patch has fallen by 0.1 or more below every earlier year.
    """
    cube = xr.open_dataset(shared_data / "optical" / "romania_s2.nc").load()
    seen = cube["scl"].isin([4, 5, 6, 7])
    ndvi = ((cube["nir"] - cube["red"]) / (cube["nir"] + cube["red"])).where(seen)
    clear = ndvi.sel(time=seen.mean(("y", "x")) > 0.5)
    relative = clear - clear.quantile(0.75, ("y", "x"))
    yearly = relative.where(relative.time.dt.month.isin([5, 6, 7]), drop=True).groupby("time.year").median("time")
    x, y = np.meshgrid(cube.x, cube.y)
    patches: dict[int, list[MultiPoint]] = {}
    for year in (2018, 2019, 2020):
        fell = (yearly.sel(year=year) < yearly.sel(year=slice(None, year - 1)).min("year") - 0.1).values
        label, count = ndimage.label(fell, np.ones((3, 3)))
        inside = [label == number for number in range(1, count + 1)]
        patches[year] = [MultiPoint(np.column_stack([x[m], y[m]])) for m in inside if m.sum() >= 10]
    return patches


def test_romania_reports_its_clearings_as_unlicensed_each_in_its_year(romania: Path, shared_data: Path) -> None:
    """The images show patches cleared in 2018 and, between April and June, in 2019; those of 2020 are under 0.1 ha."""
    cases = read_cases(romania)
    alarms = cases[cases["probability"] >= 0.5]
    assert set(alarms["kind"]) == {"unlicensed"}
    patches = clearings(shared_data)
    assert (len(patches[2018]), len(patches[2019])) >= (2, 8), "the independent look has lost its ground"
    found = [
        (year, (alarms[alarms.intersects(patch)]["first_seen"].dt.year == year).any())
        for year in (2018, 2019)
        for patch in patches[year]
    ]
    assert np.mean([hit for _, hit in found]) >= 0.8
    assert {year for year, hit in found if hit} == {2018, 2019}


def test_romania_leaves_the_forest_alone(romania: Path, shared_data: Path) -> None:
    alarms = read_cases(romania).query("probability >= 0.5")
    cleared = union_all([patch.buffer(15) for year in clearings(shared_data).values() for patch in year])
    assert alarms.intersects(cleared).mean() >= 0.9
    assert alarms.area.sum() < 0.15 * 55 * 100 * 100.0


def test_romania_says_what_could_not_be_judged(romania: Path) -> None:
    page = (romania / "hotspots.html").read_text("utf-8")
    for missing in ("No register of licences", "No displacement", "No meter readings", "No radar"):
        assert missing in page


@pytest.fixture(scope="module")
def mexico(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mexico City's subsidence as a displacement source."""
    folder = tmp_path_factory.mktemp("mexico")
    href = shared_data / "insar" / "mexico_city.nc"
    cube = xr.open_dataset(href)
    bounds = [float(f) for f in (cube["x"].min(), cube["y"].min(), cube["x"].max(), cube["y"].max())]
    source = f'[[imagery]]\nname = "insar"\nsensor = "displacement"\nsource = "cube"\nhref = "{href}"\n'
    path = write_district(folder, ("2017-12-01", "2018-01-01", "2018-08-01"), "EPSG:32614", bounds, source)
    run(path)
    return folder / "out" / "2018-08-01"


def test_mexico_city_hides_no_working_face(mexico: Path) -> None:
    assert len(read_cases(mexico).query("probability >= 0.5")) == 0


def steel_district(folder: Path, shared_data: Path, order: tuple[str, str] | None) -> Path:
    """The steel plant's meter as a mine's, with a stop order or none."""
    real_data.steel_readings(shared_data).to_parquet(folder / "readings.parquet")
    place = Point(500_000, 4_100_000)
    rows = {"mine_id": ["steel"], "name": ["Steel"], "operator": ["Op"], "method": ["underground"]}
    gpd.GeoDataFrame(rows, geometry=[place], crs="EPSG:4546").to_file(folder / "mines.gpkg")
    (folder / "meters.csv").write_text("meter_id,mine_id,category,lon,lat\nm,steel,mine,111.0,37.03\n")
    history = "steel,producing,2017-01-01,,\n"
    if order:
        history += f"steel,suspended,{order[0]},{order[1]},S-1\n"
    (folder / "status.csv").write_text("mine_id,status,from,to,order_no\n" + history)
    more = (
        'mines = "mines.gpkg"\nmeters = "meters.csv"\nmine_status = "status.csv"\n'
        '[power]\nreadings = "readings.parquet"\ntimezone = "Asia/Seoul"\n'
    )
    days = ("2018-01-01", "2018-02-01", "2018-06-30")
    return write_district(folder, days, "EPSG:4546", [499_000, 4_099_000, 501_000, 4_101_000], more)


@pytest.mark.parametrize(("order", "flagged"), real_data.ORDERS.values(), ids=list(real_data.ORDERS))
def test_steel_meter_against_stop_orders(tmp_path: Path, shared_data: Path, order, flagged: bool) -> None:
    run(steel_district(tmp_path, shared_data, order))
    alarms = read_cases(tmp_path / "out" / "2018-06-30").query("probability >= 0.5")
    assert alarms["kind"].tolist() == (["active_while_shut"] if flagged else [])
