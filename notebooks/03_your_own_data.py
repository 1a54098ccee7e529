# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own licences and images
#
# Nothing here comes from a simulated district. We write down four licences as an office would print them, put images
# into a STAC catalogue as any provider does, serve the catalogue over HTTP, and point one small file at both. From
# there on everything works as with any other district. Replace the files one by one with your own.
#
# The notebook needs nothing but the package, and writes into a folder of its own.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.transform import from_origin
from shapely.geometry import box, mapping

import illegalmining as im

plt.style.use("illegalmining.maps.notebook")
folder = Path(tempfile.mkdtemp(prefix="own-data-"))
CRS, WEST, NORTH, PIXEL, SIDE = "EPSG:4546", 500_000.0, 4_100_900.0, 10.0, 90
bounds = (WEST, NORTH - SIDE * PIXEL, WEST + SIDE * PIXEL, NORTH)

# %% [markdown]
# ## Licences, as they are printed
#
# A licence lists its corners: x is the northing, y the easting, with the zone in front of it, in the system named
# beside them. Keep them that way. In the last licence somebody typed a letter O for a nought.

# %%
ZONE = 37  # of CGCS2000 / 3-degree Gauss-Krüger, central meridian 111 E


def corners(number: str, west: float, south: float, side: float, valid_to: str) -> list[dict]:
    """Corner rows of a square licence."""
    places = [(south, west), (south, west + side), (south + side, west + side), (south + side, west)]
    about = {"licence_no": number, "holder": "Jinshan Quarries", "mineral": "limestone", "method": "opencast"}
    about |= {"valid_from": "2019-01-01", "valid_to": valid_to, "crs": "CGCS2000"}
    return [
        {**about, "ring": 1, "point": k + 1, "x": round(x, 3), "y": round(ZONE * 1e6 + y, 3)}
        for k, (x, y) in enumerate(places)
    ]


rows = [
    *corners("C-1", WEST + 80, bounds[1] + 80, 260, "2030-01-01"),
    *corners("C-2", WEST + 520, bounds[1] + 80, 260, "2025-06-01"),
    *corners("C-3", WEST + 80, bounds[1] + 520, 260, "2030-01-01"),
    *corners("C-4", WEST + 520, bounds[1] + 520, 260, "2030-01-01"),
]
rows[-1]["x"] = "41OO780"
pd.DataFrame(rows).to_csv(folder / "licences.csv", index=False)
county = {"code": ["140001"], "name": ["Jinshan"], "level": ["county"]}
gpd.GeoDataFrame(county, geometry=[box(*bounds).buffer(2000)], crs=CRS).to_file(folder / "counties.geojson")
pd.DataFrame(rows).tail(4)

# %% [markdown]
# ## Images, as a catalogue
#
# Three bands, a scene every 20 days, cloud-optimised GeoTIFFs, one STAC item a scene. The ground is grass with its
# seasons. From March 2026 two pits grow in it: one inside licence C-1, one inside C-2, which ran out in June 2025.

# %%
rng = np.random.default_rng(4)
GRASS = {"red": (0.09, -0.02), "nir": (0.26, 0.08), "swir16": (0.22, -0.03)}  # mean, and swing to midsummer
ROCK = {"red": 0.30, "nir": 0.36, "swir16": 0.42}
grain = rng.normal(0, 0.04, (SIDE, SIDE))
row, column = np.mgrid[:SIDE, :SIDE]
pits = {"C-1": (70, 20), "C-2": (70, 64)}
dates = pd.date_range("2024-01-05", "2026-10-31", freq="20D")


def scene(day: pd.Timestamp) -> dict[str, np.ndarray]:
    """Reflectance of each band on a day."""
    summer = np.sin(2 * np.pi * (day.dayofyear - 105) / 365.25)
    radius = np.clip((day - pd.Timestamp("2026-03-01")).days / 15, 0, 9)
    dug = np.any([np.hypot(row - r, column - c) < radius for r, c in pits.values()], axis=0)
    haze = rng.normal(0, 0.01)
    return {
        band: np.where(dug, ROCK[band], mean + swing * summer) * (1 + grain + rng.normal(0, 0.03, grain.shape)) + haze
        for band, (mean, swing) in GRASS.items()
    }


def write_cog(path: Path, reflectance: np.ndarray) -> None:
    """One band as a cloud-optimised GeoTIFF of 16-bit integers."""
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "crs": CRS, "nodata": 0, "width": SIDE, "height": SIDE}
    with MemoryFile() as memory:
        with memory.open(**profile, transform=from_origin(WEST, NORTH, PIXEL, PIXEL)) as raster:
            raster.write(np.clip(reflectance * 10_000, 1, 65_535).astype("uint16"), 1)
        copy_raster(memory.name, str(path), driver="COG", compress="DEFLATE")


# %% [markdown]
# A static catalogue is a tree of small JSON files beside the images.

# %%
outline = gpd.GeoSeries([box(*bounds)], crs=CRS).to_crs("EPSG:4326").iloc[0]
catalogue = folder / "catalogue"
catalogue.mkdir()
for day in dates:
    name = f"scene-{day:%Y%m%d}"
    assets = {}
    for band, reflectance in scene(day).items():
        write_cog(catalogue / f"{name}-{band}.tif", reflectance)
        assets[band] = {
            "href": f"./{name}-{band}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "eo:bands": [{"name": band, "common_name": band}],
            "raster:bands": [{"data_type": "uint16", "nodata": 0, "scale": 1e-4, "offset": 0.0}],
        }
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {"datetime": f"{day:%Y-%m-%d}T03:20:00Z"},
        "links": [],
        "assets": assets,
    }
    (catalogue / f"{name}.json").write_text(json.dumps(item), "utf-8")
items = [{"rel": "item", "href": f"./scene-{day:%Y%m%d}.json", "type": "application/json"} for day in dates]
root = {"type": "Catalog", "id": "own", "stac_version": "1.0.0", "description": "Our own scenes", "links": items}
(catalogue / "catalog.json").write_text(json.dumps(root), "utf-8")
with rasterio.open(next(catalogue.glob("*.tif"))) as raster:
    assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
print(len(dates), "scenes,", len(list(catalogue.glob("*.tif"))), "files")


# %% [markdown]
# A provider's server would answer from here on. Ours is Python's own, in a process beside this one, on loopback. It
# sends whole files, which does for small ones; servers of large scenes answer for a range of bytes.

# %%
command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(catalogue)]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
port = server.stdout.readline().split("port ")[1].split()[0]
address = f"http://127.0.0.1:{port}/catalog.json"

# %% [markdown]
# ## One file points at both

# %%
(folder / "district.toml").write_text(f'''
[district]
name = "Jinshan, our own data"
crs = "{CRS}"
bounds = [{bounds[0]}, {bounds[1]}, {bounds[2]}, {bounds[3]}]
history_from = 2024-01-01
monitor_from = 2026-01-01
as_of = 2026-10-31

[registers]
concessions = "licences.csv"
jurisdictions = "counties.geojson"

[[imagery]]
name = "our-scenes"
sensor = "optical"
source = "stac"
href = "{address}"
resolution = 10
''')
district = im.read_district(folder / "district.toml")
aside = []
registers = im.read_registers(district, aside).in_order()
for fault in aside:
    print(f"{fault['file']}, row {fault['row']}, {fault['field']} = {fault['value']}: {fault['why']}")
assert registers.concessions["licence_no"].tolist() == ["C-1", "C-2", "C-3"], "C-4 is set aside, and nothing is guessed"

# %% [markdown]
# Three licences are in. The fourth is out, with its row and the reason: a boundary drawn without that corner would be
# another boundary.
#
# ## The same steps as ever

# %%
days = district.configuration.district
period = days.history_from, days.monitor_from, days.as_of
cube = im.open_source("our-scenes", district)
assert cube.sizes["time"] == len(dates)
ground = im.monitor(im.surface_stack(cube, *period))
found = im.gather([im.regions(ground)], district.crs)
found[["detector", "first_seen", "log_lr", "area_m2"]]

# %%
judgements = im.judge(found, registers, "en")
cases = im.fuse(judgements)
judgements[["kind", "log_lr", "p_against", "says"]]

# %%
_, ax = plt.subplots(figsize=(7.2, 6))
image = ax.imshow(cube["nir"].isel(time=-1), extent=(bounds[0], bounds[2], bounds[1], bounds[3]), cmap="gray")
plt.colorbar(image, ax=ax, label="near-infrared reflectance, last scene", shrink=0.8)
in_force = registers.concessions["valid_to"] > pd.Timestamp(days.as_of)
registers.concessions[in_force].boundary.plot(ax=ax, color="#E8B83A", linewidth=2, label="licence in force")
registers.concessions[~in_force].boundary.plot(
    ax=ax, color="#E8B83A", linewidth=2, linestyle=":", label="licence run out"
)
found.boundary.plot(ax=ax, color="#7FC8F8", linewidth=2.5, label="dug since January")
cases.boundary.plot(ax=ax, color="#F2668B", linewidth=2.5, label="case")
for licence in registers.concessions.itertuples():
    left, _, _, top = licence.geometry.bounds
    ax.annotate(licence.licence_no, (left, top), xytext=(2, 4), textcoords="offset points", color="#E8B83A")
ax.set(xlabel="easting, m", ylabel="northing, m", title="Two pits; one of them is a case")
ax.ticklabel_format(useOffset=False, style="plain")
ax.locator_params(nbins=5)
ax.grid(visible=False)
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)

# %% [markdown]
# Both pits were found, and both are detections. Only one is a case: the pit in C-1 is what the register says should be
# there. That is the whole idea. The register is the null model, and evidence is what it cannot explain.

# %%
assert len(found) == 2
assert len(cases) == 1
assert cases.geometry.iloc[0].within(registers.concessions.set_index("licence_no").geometry["C-2"].buffer(20))
case = cases.iloc[0]
print(f"{case['kind']}, {case['probability']:.0%}: {json.loads(case['evidence'])[0]['says']}")
server.terminate()
server.wait()
server.stdout.close()

# %% [markdown]
# `illegalmining check district.toml` reads and validates everything and stops there: run it first on your own files.
