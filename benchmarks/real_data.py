"""The real measurements of `../shared/data` as the detectors take them, and what an independent look says of them.

Used by the tests and by `evaluate.py`, so that both ask the same questions of the same data.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from scipy import ndimage

from illegalmining.power.readings import read_profiles

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ORDERS = {
    "no order": (None, False),
    "order over days on which the plant stood still": (("2018-02-14", "2018-02-19"), False),
    "order over four weeks in which it worked": (("2018-03-05", "2018-04-02"), True),
}
"""Stop orders invented for the steel plant, and whether it worked under them."""


def read_netcdf(path: Path) -> xr.Dataset:
    """A cube of real images."""
    return xr.load_dataset(path, decode_coords="all", engine="h5netcdf")


def romania(data: Path = DATA) -> xr.Dataset:
    """Forest in which patches were cleared."""
    return read_netcdf(data / "optical" / "romania_s2.nc")


def steady_forest(data: Path = DATA) -> xr.Dataset:
    """Forest in which nothing happens."""
    cube = read_netcdf(data / "optical" / "control_s2.nc")
    cube = cube.rename(B3="green", B4="red", B8A="nir", B11="swir16", SCL="scl")
    return cube.assign({band: cube[band] * 1e-4 for band in ("green", "red", "nir", "swir16")})


def slovenia(data: Path = DATA) -> xr.Dataset:
    """Fields and forest, NDVI where there is no cloud."""
    cube = read_netcdf(data / "optical" / "slovenia_ndvi.nc").rename(row="y", col="x")
    cube = cube.assign_coords(y=-10.0 * np.arange(cube.sizes["y"]), x=10.0 * np.arange(cube.sizes["x"]))
    return cube[["ndvi"]].where(cube.cloud == 0).rio.write_crs("EPSG:32633")


def mexico_city(data: Path = DATA) -> xr.Dataset:
    """A city that sinks fast and broadly, with no mine under it."""
    return xr.open_dataset(data / "insar" / "mexico_city.nc", decode_coords="all")


def early_summer(cube: xr.Dataset, year: int) -> np.ndarray:
    """Upper quartile of NDVI, May to mid July, without haze: another reading of the images than the detector's."""
    clear = cube.scl.isin([4, 5, 6, 7]) & (cube.blue < 0.08)
    ndvi = ((cube.nir - cube.red) / (cube.nir + cube.red)).where(clear)
    return ndvi.sel(time=slice(f"{year}-05-10", f"{year}-07-15")).quantile(0.75, "time").values


def clearings(cube: xr.Dataset, year: int) -> list[np.ndarray]:
    """Forest that lost at least 0.12 of NDVI against the year before and 2017, 0.1 ha and more (masks)."""
    before = np.minimum(early_summer(cube, year - 1), early_summer(cube, 2017))
    drop = early_summer(cube, year) - before
    bare = (drop - np.nanmedian(drop) < -0.12) & (early_summer(cube, year - 1) > 0.8)
    label, count = ndimage.label(bare, np.ones((3, 3)))
    return [label == number for number in range(1, count + 1) if (label == number).sum() >= 10]


def one_pixel(series: pd.Series, band: str, pixel_m: float = 30.0) -> xr.Dataset:
    """A cube of a single pixel from a series by date."""
    values = series.to_numpy(np.float32)[:, None, None]
    cube = xr.Dataset({band: (("time", "y", "x"), values)}, {"time": series.index, "y": [0.0], "x": [0.0]})
    return cube.rio.write_crs("EPSG:32720").rio.write_transform(Affine(pixel_m, 0, 0, 0, -pixel_m, 0))


def rondonia(data: Path = DATA) -> dict[str, list[pd.Series]]:
    """Landsat NDVI series by label."""
    table = pd.read_csv(data / "optical" / "rondonia_landsat.csv", parse_dates=["date"])
    return {
        str(label): [one.set_index("date")["NDVI"].sort_index() for _, one in group.groupby("sample")]
        for label, group in table.groupby("label")
    }


def bayts(sensor: str, data: Path = DATA) -> pd.Series:
    """The series of one pixel in Bolivia, cleared early in 2016: `Landsat_NDVI`, or `S1_VV_dB` in linear power."""
    table = pd.read_csv(data / "optical" / "bayts_pixel.csv", parse_dates=["date"])
    series = table[table.sensor == sensor].dropna().set_index("date").value
    return 10 ** (series / 10) if sensor.endswith("dB") else series


def steel_readings(data: Path = DATA) -> pd.DataFrame:
    """A steel plant's meter, as meter `m`.

    The source stamps the end of each interval, and a day's last one with the day's own date.
    """
    steel = pd.read_csv(data / "power" / "steel_2018_h1.csv")
    ends = pd.to_datetime(steel["date"], format="%d/%m/%Y %H:%M")
    starts = ends.where(ends.dt.time != pd.Timestamp("00:00").time(), ends + pd.Timedelta(days=1))
    return pd.DataFrame({"meter_id": "m", "time": starts - pd.Timedelta(minutes=15), "kwh": steel["Usage_kWh"]})


def steel_profiles(meters: pd.DataFrame, data: Path = DATA) -> pd.DataFrame:
    """The steel plant's daily profiles."""
    with tempfile.TemporaryDirectory() as folder:
        steel_readings(data).to_parquet(Path(folder) / "r.parquet")
        return read_profiles(f"{folder}/r.parquet", "Asia/Seoul", date(2018, 1, 1), date(2018, 6, 30), [], meters)
