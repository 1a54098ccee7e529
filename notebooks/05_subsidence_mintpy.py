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
# # Subsidence from a MintPy product
#
# An underground face cannot be seen, but the ground above it sinks, and radar interferometry measures that to
# millimetres. This notebook starts from what MintPy leaves in its folder, geocoded, and ends with the outline of a face
# that nobody declared. The product is made here, small, with a known truth in it, and laid out exactly as MintPy lays
# it out; with your own, skip to *One file points at it*.
#
# What no made-up series can show is how a real one behaves. The claims below are about the method, not about your mine.

# %%
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from shapely.geometry import box

import illegalmining as im
from illegalmining.detect.pim import Panel, knothe, look_vector, outline, sight
from illegalmining.detect.subsidence_steps import candidate_bowls, cleaned_movement, declared_movement

plt.style.use("illegalmining.maps.notebook")
folder = Path(tempfile.mkdtemp(prefix="mintpy-"))
EPSG, WEST, NORTH, PIXEL, SIDE = 32649, 430_000.0, 3_903_000.0, 30.0, 100
bounds = (WEST, NORTH - SIDE * PIXEL, WEST + SIDE * PIXEL, NORTH)

# %% [markdown]
# ## The truth: two faces, one of them declared
#
# The probability integral method says how the ground moves over an extracted panel. A face advances along its panel, so
# we extract strip after strip; Knothe's law lets each strip settle in its own time. What the satellite sees is that
# movement in its line of sight, and the atmosphere of every date.

# %%
declared = Panel(x=430_900, y=3_902_100, azimuth_deg=60, length_m=380, width_m=150, radius_m=150, w0_m=1.2)
hidden = Panel(x=432_050, y=3_901_150, azimuth_deg=115, length_m=320, width_m=130, radius_m=140, w0_m=1.3)
begins = {declared: "2026-02-01", hidden: "2026-03-10"}
WORKED_DAYS, PER_YEAR = 200.0, 4.0

x = WEST + PIXEL * (np.arange(SIDE) + 0.5)
y = NORTH - PIXEL * (np.arange(SIDE) + 0.5)
east, north = np.meshgrid(x, y)
INCIDENCE, AZIMUTH = 39.0, 258.0  # degrees; ground to satellite, clockwise from north: ascending, right-looking
look = look_vector(INCIDENCE, AZIMUTH)
dates = pd.date_range("2024-01-09", "2026-10-31", freq="24D")

STRIPS = 24


def advancing(panel: Panel, begins: str) -> np.ndarray:
    """Movement (T, Y, X) in the line of sight over a panel that is worked from one end to the other, m."""
    angle, moved = np.deg2rad(panel.azimuth_deg), np.zeros((len(dates), SIDE, SIDE))
    for k in range(STRIPS):
        along = ((k + 0.5) / STRIPS - 0.5) * panel.length_m
        middle = {"x": panel.x + along * np.sin(angle), "y": panel.y + along * np.cos(angle)}
        strip = replace(panel, **middle, length_m=panel.length_m / STRIPS)
        since = (dates - pd.Timestamp(begins)).days - (k + 0.5) / STRIPS * WORKED_DAYS
        moved += knothe(np.asarray(since, float), PER_YEAR)[:, None, None] * sight(strip, east, north, look)
    return moved


rng = np.random.default_rng(11)
series = sum(advancing(panel, day) for panel, day in begins.items())
for epoch in series[1:]:
    cloud = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 18, mode="wrap")
    epoch += 0.005 * cloud / cloud.std() + rng.normal(0, 0.002, cloud.shape)

# %% [markdown]
# ## The product, as MintPy lays it out
#
# `timeseries.h5` holds metres towards the satellite since the first date, with everything else in text attributes; the
# angles lie in `inputs/geometryGeo.h5`, where the azimuth is counted **anticlockwise** from north.

# %%
attrs = {
    "FILE_TYPE": "timeseries", "UNIT": "m", "WIDTH": SIDE, "LENGTH": SIDE, "PROCESSOR": "isce", "PLATFORM": "Sen",
    "X_FIRST": WEST, "Y_FIRST": NORTH, "X_STEP": PIXEL, "Y_STEP": -PIXEL, "X_UNIT": "meters", "Y_UNIT": "meters",
    "EPSG": EPSG, "REF_DATE": f"{dates[0]:%Y%m%d}", "REF_X": 2, "REF_Y": 2, "ORBIT_DIRECTION": "ASCENDING",
    "HEADING": AZIMUTH - 270.0, "WAVELENGTH": 0.05546576, "ANTENNA_SIDE": -1,
}  # fmt: skip


def write(path: Path, what: str, **datasets: np.ndarray) -> None:
    """One HDF5 file of the product."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
        file.attrs.update({name: str(value) for name, value in {**attrs, "FILE_TYPE": what}.items()})


product = folder / "mintpy"
names = np.array([f"{day:%Y%m%d}".encode() for day in dates])
baseline = np.zeros(len(dates), np.float32)
write(product / "timeseries.h5", "timeseries", timeseries=series.astype(np.float32), date=names, bperp=baseline)
angles = {"incidenceAngle": np.full(series.shape[1:], INCIDENCE, np.float32)}
angles |= {"azimuthAngle": np.full(series.shape[1:], -AZIMUTH % 360, np.float32)}
write(product / "inputs" / "geometryGeo.h5", "geometry", height=np.full(series.shape[1:], 1100, np.float32), **angles)
coherence = np.full(series.shape[1:], 0.92, np.float32)
write(product / "temporalCoherence.h5", "temporalCoherence", temporalCoherence=coherence)
for file in sorted(product.rglob("*.h5")):
    print(file.relative_to(folder), f"{file.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## One file points at it
#
# The register of working faces names only the first panel: what is declared is the null model.

# %%
county = gpd.GeoDataFrame({"code": ["1"], "name": ["County"], "level": ["county"]}, geometry=[box(*bounds)], crs=EPSG)
county.to_file(folder / "counties.geojson")
face = {"face_id": "F-1", "mine_id": "M-1", "seam": "No. 3", "start": begins[declared], "stop": "2026-08-20"}
face |= {"depth_m": 300.0, "thickness_m": 1.9}
gpd.GeoDataFrame([face], geometry=[outline(declared)], crs=EPSG).to_file(folder / "faces.gpkg")
(folder / "district.toml").write_text(f"""
[district]
name = "From a MintPy product"
crs = "EPSG:{EPSG}"
bounds = [{bounds[0]}, {bounds[1]}, {bounds[2]}, {bounds[3]}]
history_from = 2024-01-01
monitor_from = 2026-01-01
as_of = 2026-10-31

[registers]
jurisdictions = "counties.geojson"
working_faces = "faces.gpkg"

[[imagery]]
name = "sentinel-1-track-12"
sensor = "displacement"
source = "cube"
href = "mintpy/timeseries.h5"
""")
district = im.read_district(folder / "district.toml")
days = district.configuration.district
registers = im.read_registers(district).in_order()
cube = im.open_source("sentinel-1-track-12", district)
assert np.allclose(cube["azimuth_angle"] % 360, AZIMUTH), "the reader turns MintPy's azimuth the right way round"
cube

# %% [markdown]
# ## Step by step
#
# Everything below happens inside one call. Whoever doubts a result can take the steps apart: what is compact in the
# movement and how noisy it is, what the declared face accounts for, and the bowls that are left.

# %%
cleaned = cleaned_movement(cube)
explained = declared_movement(cube, registers.working_faces)
left = cube.assign(displacement=cube["displacement"] - explained.sum("face_id"))
bowls = candidate_bowls(left, days.monitor_from)
bowls.assign(x=bowls.geometry.x, y=bowls.geometry.y).drop(columns="geometry").round(1)

# %%
_, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True, layout="constrained")
shown = {"compact movement": cleaned["movement"], "of the declared face": explained.sum("face_id")}
for ax, (title, part) in zip(axes, {**shown, "left to explain": left["displacement"]}.items(), strict=True):
    image = (1000 * part.isel(time=-1)).plot.imshow(ax=ax, cmap="RdBu", vmin=-600, vmax=600, add_colorbar=False)
    registers.working_faces.boundary.plot(ax=ax, color="#1C2733", linewidth=1.2)
    ax.set(title=title, xlabel="easting, m", ylabel="northing, m")
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.locator_params(nbins=3)
    ax.grid(visible=False)
bowls.plot(ax=axes[2], marker="+", color="#C8500A", markersize=120)
plt.colorbar(image, ax=axes, label="towards the satellite, mm", shrink=0.8)
assert len(bowls), "a bowl is left that the declared face does not explain"
print(f"air of an epoch: {1000 * cleaned['epoch_noise'].median().item():.1f} mm")

# %% [markdown]
# ## What is left when the declared face is accounted for

# %%
findings = im.detect_subsidence(cube, registers.working_faces, days.history_from, days.monitor_from, days.as_of)
detections = findings.detections
facts = pd.DataFrame([json.loads(text) for text in detections["attributes"]])
detections.assign(question=facts["question"])[["question", "log_lr", "first_seen", "last_seen", "area_m2"]]

# %%
_, ax = plt.subplots(figsize=(7.4, 6.2))
moved = 1000 * (cube["displacement"].isel(time=-1) - cube["displacement"].sel(time="2026-01", method="nearest"))
image = ax.imshow(moved, extent=(bounds[0], bounds[2], bounds[1], bounds[3]), cmap="RdBu", vmin=-600, vmax=600)
plt.colorbar(image, ax=ax, label="towards the satellite since January, mm", shrink=0.8)
registers.working_faces.boundary.plot(ax=ax, color="#1C2733", linewidth=1.6, label="declared face")
gpd.GeoSeries([outline(hidden)], crs=EPSG).boundary.plot(
    ax=ax, color="#00856A", linewidth=1.6, label="hidden face: truth"
)
undeclared = detections[(facts["question"] == "undeclared_face").to_numpy()]
undeclared.boundary.plot(ax=ax, color="#C8500A", linewidth=2, linestyle=(0, (4, 2)), label="hidden face: found")
ax.set(xlabel="easting, m", ylabel="northing, m", title="Two bowls; the register explains one")
ax.ticklabel_format(useOffset=False, style="plain")
ax.locator_params(nbins=4)
ax.grid(visible=False)
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)

# %%
assert len(undeclared) == 1, "one face that nobody declared"
found = facts[(facts["question"] == "undeclared_face").to_numpy()].iloc[0]
truth = {**vars(hidden), "volume_m3": hidden.w0_m * hidden.length_m * hidden.width_m}
rows = ["x", "y", "azimuth_deg", "length_m", "width_m", "radius_m", "w0_m", "volume_m3"]
told = pd.DataFrame({"truth": [truth[name] for name in rows], "found": [found[name] for name in rows]}, index=rows)
told["low"], told["high"] = zip(*(found["intervals_90"][name] for name in rows), strict=True)
told.round(2)

# %% [markdown]
# Read the intervals, not the numbers. Movement fixes the place, the direction, the length and the extracted volume. The
# width and the depth of subsidence trade off against each other, and the depth of the seam is not in the data at all:
# it is the influence radius times an assumed tangent, which is why `depth_is_prior` is part of every detection.

# %%
off = float(np.hypot(found["x"] - hidden.x, found["y"] - hidden.y))
volume_error = abs(found["volume_m3"] / truth["volume_m3"] - 1)
assert off < PIXEL, "found to within a pixel"
assert volume_error < 0.1
assert found["depth_is_prior"]
first = f"{undeclared['first_seen'].item():%Y-%m-%d}"
print(f"{off:.0f} m off, volume {volume_error:.0%} off; started {begins[hidden]}, found to have started {first}")

# %%
line = found["series"]
when = pd.DatetimeIndex(line["dates"])
_, ax = plt.subplots(figsize=(9, 3.6))
ax.fill_between(when, line["low"], line["high"], color="#B9D3EA", label="inverted face, 2 standard deviations")
ax.plot(when, line["expected"], color="#0072B2")
ax.plot(when, np.array(line["observed"], float), "o", markersize=3.5, color="#C8500A", label="observed, mean over 90 m")
ax.set(xlabel="date", ylabel="line of sight, mm", title="Over the middle of the hidden face")
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)

# %% [markdown]
# The other half of the answer is where a face would have gone unnoticed, and how large it could have been.

# %%
smallest = findings.smallest_site_m2
side = float(np.sqrt(smallest.median()))
print(f"a square face of {side:.0f} m at 300 m depth would have been found over half of this ground")
