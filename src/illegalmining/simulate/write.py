"""A simulated district as files: the contract's inputs, and the truth beside them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pyproj
import rasterio
import xarray as xr
from shapely.geometry import LineString, box

from illegalmining.atomic import atomic_folder
from illegalmining.publish.geopackage import fixed_time
from illegalmining.publish.spreadsheet import xlsx_bytes
from illegalmining.simulate.insar import ORBITS, Orbit, displacement
from illegalmining.simulate.meters import OTHERS, ZONE, meters_of, simulate_power
from illegalmining.simulate.optical import BANDS, optical_scenes
from illegalmining.simulate.plan import Plan, make_plan
from illegalmining.simulate.preset import PRESETS, Preset
from illegalmining.simulate.radar import radar_scenes
from illegalmining.simulate.scene import Grid, grid_of, make_ground

SCALE = 1e-4
OPTICAL_M, RADAR_M, INSAR_M = 10.0, 20.0, 30.0


def simulate(directory: Path, preset: str = "plateau", seed: int = 1) -> Path:
    """Write a whole simulated district of a named preset; returns its `district.toml`."""
    return simulate_district(directory, PRESETS[preset], seed)


def simulate_district(directory: str | Path, preset: Preset, seed: int) -> Path:
    """Write a simulated district into `directory`, whole or not at all; the same seed gives the same district.

    Parameters
    ----------
    directory : must not be there yet. preset: the kind of district. seed: 0 or more.

    Returns
    -------
    The path of its `district.toml`; what is really so lies beside it in `truth/`.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from illegalmining.simulate import PRESETS
    >>> sparse = {"optical_days": 90, "radar_days": 90, "insar_days": 90}
    >>> tiny = replace(PRESETS["quiet"], size_m=1200.0, block_m=600.0, **sparse)
    >>> im.simulate_district("tiny", tiny, seed=1).name
    'district.toml'
    """
    directory = Path(directory)
    plan = make_plan(preset, np.random.default_rng([seed, 1]))
    with atomic_folder(directory) as folder:
        write_registers(folder, preset, plan, seed)
        write_optical(folder / "imagery" / "s2", preset, plan, seed)
        write_radar(folder / "imagery" / "s1.zarr", preset, plan, seed)
        for name, orbit in orbits_of(preset).items():
            write_insar(folder / "imagery" / f"{name}.zarr", preset, plan, seed, orbit)
        write_truth(folder / "truth", preset, plan)
        (folder / "district.toml").write_text(configuration(preset), "utf-8")
    return directory / "district.toml"


def configuration(preset: Preset) -> str:
    """`district.toml`."""
    x, y = preset.origin
    registers = [
        *(
            f'{name} = "registers/{name}.gpkg"'
            for name in ("concessions", "mines", "working_faces", "jurisdictions", "roads")
        ),
        *(f'{name} = "registers/{name}.csv"' for name in ("mine_status", "meters", "production", "recipients")),
        'closure_list = "registers/closure_list.xlsx"',
    ]
    return "\n".join(
        [
            "[district]",
            f'name = "{preset.name}"',
            f'crs = "{preset.crs}"',
            f"bounds = [{x}, {y}, {x + preset.size_m}, {y + preset.size_m}]",
            f"history_from = {preset.history_from}",
            f"monitor_from = {preset.monitor_from}",
            f"as_of = {preset.as_of}",
            f'language = "{preset.language}"',
            "",
            "[registers]",
            *registers,
            "",
            *source("sentinel-2", "optical", "stac", "imagery/s2/catalog.json", OPTICAL_M),
            *source("sentinel-1", "radar", "cube", "imagery/s1.zarr", RADAR_M),
            *(
                line
                for name in orbits_of(preset)
                for line in source(name, "displacement", "cube", f"imagery/{name}.zarr", INSAR_M)
            ),
            "[power]",
            'readings = "power/*.parquet"',
            f'timezone = "{ZONE}"',
            "",
        ]
    )


def source(name: str, sensor: str, kind: str, href: str, resolution: float) -> list[str]:
    """One `[[imagery]]` section."""
    values = {"name": name, "sensor": sensor, "source": kind, "href": href}
    return ["[[imagery]]", *(f'{key} = "{value}"' for key, value in values.items()), f"resolution = {resolution:g}", ""]


def write_layer(frame: gpd.GeoDataFrame, path: Path) -> None:
    """A GeoPackage without the clock's time; dates as ISO text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = frame.copy()
    for name in frame.columns.drop("geometry"):
        if frame[name].map(lambda value: isinstance(value, date)).any():
            frame[name] = [value.isoformat() if isinstance(value, date) else None for value in frame[name]]
    with fixed_time():
        pyogrio.write_dataframe(frame, path, layer=path.stem, driver="GPKG")


def write_registers(folder: Path, preset: Preset, plan: Plan, seed: int) -> None:
    """Every register of the contract, and the meters' readings."""
    registers = folder / "registers"
    registers.mkdir(parents=True)
    tables = {
        "concessions": [{**vars(item), "geometry": item.outline} for item in plan.licences],
        "mines": [
            {**vars(item), "safety_load_kw": round(item.safety_kw), "geometry": item.yard} for item in plan.mines
        ],
        "working_faces": [
            {
                "face_id": face,
                "mine_id": mine,
                "seam": "No. 3",
                "start": panel.start,
                "stop": min(panel.stop, preset.as_of),
                "depth_m": panel.depth,
                "thickness_m": panel.thickness,
                "geometry": panel.outline,
            }
            for face, mine, panel in plan.faces
        ],
        "jurisdictions": counties(preset),
        "roads": [{"class": "track", "oneway": None, "geometry": line} for line in tracks(preset)],
    }
    drop = ["outline", "yard", "safety_kw", "full_kw", "statuses", "work", "declared_t_month"]
    for name, rows in tables.items():
        frame = gpd.GeoDataFrame(rows, geometry="geometry", crs=preset.crs)
        write_layer(frame.drop(columns=[column for column in drop if column in frame]), registers / f"{name}.gpkg")
    statuses = [
        {"mine_id": mine.mine_id, "status": word, "from": begin, "to": end, "order_no": f"KJ-{begin:%Y}-{k:03d}"}
        for k, mine in enumerate(plan.mines)
        for word, begin, end in mine.statuses
    ]
    pd.DataFrame(statuses).to_csv(registers / "mine_status.csv", index=False)
    recipients = pd.DataFrame({"code": [row["code"] for row in counties(preset)], "name": ["一科", "二科"]})
    recipients.to_csv(registers / "recipients.csv", index=False)
    readings, production = simulate_power(preset, plan, seed)
    production.to_csv(registers / "production.csv", index=False)
    placed_meters(preset, plan, seed).to_csv(registers / "meters.csv", index=False)
    write_closures(registers / "closure_list.xlsx", plan)
    (folder / "power").mkdir()
    readings.to_parquet(folder / "power" / "readings.parquet", index=False)


def counties(preset: Preset) -> list[dict[str, Any]]:
    """Two counties that share the district."""
    x, y = preset.origin
    side = preset.size_m
    middle = x + 0.55 * side
    common = {"parent_code": None, "level": "county"}
    return [
        {"code": "140001", "name": "西县 West", **common, "geometry": box(x - 500, y - 500, middle, y + side + 500)},
        {
            "code": "140002",
            "name": "东县 East",
            **common,
            "geometry": box(middle, y - 500, x + side + 500, y + side + 500),
        },
    ]


def tracks(preset: Preset) -> list[LineString]:
    """A grid of roads."""
    x, y = preset.origin
    steps = np.linspace(0, preset.size_m, 5)
    return [LineString([(x, y + s), (x + preset.size_m, y + s)]) for s in steps] + [
        LineString([(x + s, y), (x + s, y + preset.size_m)]) for s in steps
    ]


def placed_meters(preset: Preset, plan: Plan, seed: int) -> pd.DataFrame:
    """The register of meters, in degrees."""
    rng = np.random.default_rng([seed, 61])
    meters = meters_of(plan)
    places = [mine.yard.centroid.coords[0] for mine in plan.mines]
    places += [tuple(np.add(preset.origin, rng.uniform(0.1, 0.9, 2) * preset.size_m)) for _ in OTHERS]
    to_degrees = pyproj.Transformer.from_crs(preset.crs, "EPSG:4326", always_xy=True)
    x, y = np.array(places).T
    lon, lat = to_degrees.transform(x, y)
    return meters.assign(lon=np.round(lon, 6), lat=np.round(lat, 6))


def write_closures(path: Path, plan: Plan) -> None:
    """A closure list as offices send it: names without ids or places."""
    rows = [
        {
            "name": mine.name,
            "county": "West",
            "capacity_t": mine.capacity_t,
            "reason": "整合关闭",
            "decided": f"{mine.statuses[-1][1]:%Y-%m-%d}",
        }
        for mine in plan.mines[:2]
    ]
    path.write_bytes(xlsx_bytes(pd.DataFrame(rows), "closures"))


def write_optical(folder: Path, preset: Preset, plan: Plan, seed: int) -> None:
    """A static STAC catalogue: one item a pass, one small GeoTIFF a band."""
    grid = grid_of(preset, OPTICAL_M)
    ground = make_ground(preset, plan, grid, seed)
    folder.mkdir(parents=True)
    links = []
    for day, image, scl in optical_scenes(preset, plan, ground, seed):
        name = f"S2_{day:%Y%m%d}"
        (folder / name).mkdir()
        counts = np.clip(image / SCALE, 1, 20000).astype(np.uint16)
        for band, values in zip((*BANDS, "scl"), (*counts, scl), strict=True):
            write_band(folder / name / f"{band}.tif", values, grid, preset.crs)
        (folder / name / f"{name}.json").write_text(json.dumps(item(name, day, grid, preset.crs)), "utf-8")
        links.append({"rel": "item", "href": f"./{name}/{name}.json", "type": "application/json"})
    catalog = {
        "type": "Catalog",
        "id": "s2",
        "stac_version": "1.0.0",
        "description": "Simulated Sentinel-2 surface reflectance",
        "links": [{"rel": "root", "href": "./catalog.json", "type": "application/json"}, *links],
    }
    (folder / "catalog.json").write_text(json.dumps(catalog), "utf-8")


def write_band(path: Path, values: npt.NDArray, grid: Grid, crs: str) -> None:
    """A tiled GeoTIFF of one band."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "crs": crs,
        "transform": grid.transform,
        "nodata": 0,
    }
    profile |= {"height": grid.shape[0], "width": grid.shape[1], "tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(path, "w", compress="DEFLATE", zlevel=1, predictor=2, **profile) as raster:
        raster.write(values, 1)


def item(name: str, day: date, grid: Grid, crs: str) -> dict[str, Any]:
    """A STAC item."""
    side_x, side_y = grid.shape[1] * grid.pixel, grid.shape[0] * grid.pixel
    outline = box(grid.west, grid.north - side_y, grid.west + side_x, grid.north)
    degrees = gpd.GeoSeries([outline], crs=crs).to_crs("EPSG:4326").iloc[0]
    scaled = [{"data_type": "uint16", "nodata": 0, "scale": SCALE, "offset": 0.0}]
    assets = {
        band: {
            "href": f"./{band}.tif",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "eo:bands": [{"name": band, "common_name": band}],
            "raster:bands": scaled if band != "scl" else [{"data_type": "uint8", "nodata": 0}],
        }
        for band in (*BANDS, "scl")
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
        ],
        "id": name,
        "geometry": degrees.__geo_interface__,
        "bbox": list(degrees.bounds),
        "properties": {
            "datetime": f"{day}T03:20:00Z",
            "proj:epsg": pyproj.CRS(crs).to_epsg(),
            "proj:shape": list(grid.shape),
            "proj:transform": [grid.pixel, 0.0, grid.west, 0.0, -grid.pixel, grid.north],
        },
        "links": [{"rel": "root", "href": "../catalog.json", "type": "application/json"}],
        "assets": assets,
    }


def cube(days: list[date], grid: Grid, crs: str, **bands: npt.NDArray) -> xr.Dataset:
    """A contract cube."""
    times = np.array(days, dtype="datetime64[ns]")
    dims = {2: ("y", "x"), 3: ("time", "y", "x")}
    data = {name: (dims[values.ndim], values, {"grid_mapping": "spatial_ref"}) for name, values in bands.items()}
    dataset = xr.Dataset(data, coords={"time": times, "y": grid.y, "x": grid.x})
    return dataset.assign_coords(spatial_ref=((), 0, pyproj.CRS(crs).to_cf()))


def write_radar(path: Path, preset: Preset, plan: Plan, seed: int) -> None:
    """Radar as a Zarr cube."""
    grid = grid_of(preset, RADAR_M)
    scenes = radar_scenes(preset, plan, make_ground(preset, plan, grid, seed), seed)
    days, vv, vh = zip(*scenes, strict=True)
    cube(list(days), grid, preset.crs, vv=np.stack(vv), vh=np.stack(vh)).to_zarr(path, zarr_format=2, consolidated=True)


def orbits_of(preset: Preset) -> dict[str, Orbit]:
    """The displacement sources, by name."""
    return dict(zip(("insar", "insar-east")[: preset.orbits], ORBITS, strict=False))


def write_insar(path: Path, preset: Preset, plan: Plan, seed: int, orbit: Orbit) -> None:
    """Displacement of one orbit as a Zarr cube."""
    grid = grid_of(preset, INSAR_M)
    moved = displacement(preset, plan, make_ground(preset, plan, grid, seed), seed, orbit)
    fields = {"displacement": moved.series, "temporal_coherence": moved.coherence}
    fields |= {"incidence_angle": np.full(grid.shape, orbit.incidence, np.float32)}
    fields |= {"azimuth_angle": np.full(grid.shape, orbit.azimuth, np.float32)}
    cube(moved.days, grid, preset.crs, **fields).to_zarr(path, zarr_format=2, consolidated=True)


def write_truth(folder: Path, preset: Preset, plan: Plan) -> None:
    """What is really so: offences, and what only looks like them."""
    columns = ["site_id", "kind", "mine_id", "start", "stop", "geometry"]
    for name, rows in (("sites", plan.sites), ("lookalikes", plan.lookalikes)):
        frame = gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry="geometry", crs=preset.crs)
        for column in ("mine_id", "start", "stop"):
            frame[column] = frame[column].astype(object)
        write_layer(frame, folder / f"{name}.gpkg")
