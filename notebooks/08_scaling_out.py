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
# # Scaling out
#
# A district fits on a laptop. A province does not, and neither does a history of ten years at ten metres. Nothing about
# the analysis changes on the way there: each pixel costs the same, the work is cut into pieces that know where to read
# their own part of the images, and a cluster is an address.
#
# It needs a district: the demo's, in the folder above (`make demo`).

# %%
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np

import illegalmining as im
from illegalmining.pipelines import province

plt.style.use("illegalmining.maps.notebook")
folder = Path(tempfile.mkdtemp(prefix="scale-"))

district = im.read_district("../demo/district.toml")
days = district.configuration.district
period = days.history_from, days.monitor_from, days.as_of
im.nightly(district)

# %% [markdown]
# ## What a pixel costs
#
# Windows of growing size out of the same images, each judged from nothing: baseline, monitoring, evidence. The pixels
# are in memory, so that this is arithmetic alone. What matters is the slope.

# %%
cube = im.open_source("sentinel-2", district).load()
im.monitor(im.surface_stack(cube.isel(x=slice(0, 16), y=slice(0, 16)), *period))  # kernels are compiled on first use
sides = [32, 64, 128, min(cube.sizes["x"], cube.sizes["y"])]
seconds = []
for side in sides:
    stack = im.surface_stack(cube.isel(x=slice(0, side), y=slice(0, side)), *period)
    begun = time.perf_counter()
    im.monitor(stack)
    seconds.append(time.perf_counter() - begun)
pixel_dates = np.array([side**2 for side in sides]) * cube.sizes["time"]
rate = pixel_dates[-1] / seconds[-1]
print(f"{rate / 1e6:.1f} million pixel dates a second, five bands, on this machine as it is now")

# %%
_, ax = plt.subplots(figsize=(7, 4))
ax.loglog(pixel_dates, seconds, "o-", label="measured here")
ax.loglog(pixel_dates, pixel_dates / rate, color="#54616F", linestyle=(0, (4, 3)), label="in proportion")
ax.set(xlabel="pixels × dates", ylabel="seconds", title="Twice the ground takes twice the time, at most")
_ = ax.legend()
assert seconds[-1] / seconds[-2] < 3 * pixel_dates[-1] / pixel_dates[-2], "no worse than in proportion, with a margin"

# %% [markdown]
# From there a province can be reckoned: 150,000 km² at 10 m, and the 70 new dates of a year. The first night, which
# reads the whole history, is the expensive one; afterwards each night feeds only its new scenes to a state it kept.

# %%
pixels = 150_000e6 / 100
hours = pixels * 70 / rate / 3600
print(f"a year of new scenes over a province: about {hours:,.0f} hours of this machine, spread over a year")

# %% [markdown]
# ## A cluster is an address
#
# Below, a scheduler and a worker start as they would on any cluster, here on loopback. On SLURM, Kubernetes or Dask
# Gateway it is their address that goes into `compute.scheduler` of `district.toml`, or behind `--scheduler`.

# %%
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
address = f"tcp://127.0.0.1:{port}"
dask = [sys.executable, "-m", "dask"]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
place = ["--host", "127.0.0.1", "--port", str(port)]
cluster = [
    subprocess.Popen([*dask, "scheduler", *place, "--no-dashboard"], **quiet),
    subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"], **quiet),
]

# %% [markdown]
# The same district in a fresh folder, computed by the worker. One detector is enough to see it.

# %%
shutil.copytree(district.root, folder / "there", ignore=shutil.ignore_patterns("out", "state"))
there = im.read_district(folder / "there" / "district.toml")
try:
    im.nightly(there.on(address), only=frozenset({"surface"}))
finally:
    for process in reversed(cluster):
        process.terminate()
        process.wait()

ours = im.read_run(district.out).detections
ours = ours[ours["detector"] == "surface"].reset_index(drop=True)
theirs = im.read_run(there.out).detections
assert theirs.equals(gpd.GeoDataFrame(ours)), "same inputs, same bytes, whatever the number of workers"
print(f"{len(theirs)} detections, the same to the last digit")

# %% [markdown]
# ## Many districts
#
# A province is a list of districts, each a run of its own in a process of its own. One that fails leaves the others
# alone, and giving the same command again goes on where it stopped. `illegalmining province FOLDER` does this from the
# command line. Here are one that has run before, and one whose file is broken.

# %%
shutil.copytree(district.root, folder / "province" / "north")
(folder / "province" / "south").mkdir()
(folder / "province" / "south" / "district.toml").write_text("[district]\nname = 'South'\n", "utf-8")

told = province.province([folder / "province"], province.Asked(at_once=2), folder / "province.json", print)
results = {Path(one["district"]).parent.name: one["result"] for one in told["districts"]}
assert results["south"] == "failed"
assert results["north"] in ("done", "set_aside")

# %%
written = json.loads((folder / "province.json").read_text("utf-8"))
for one in written["districts"]:
    print(f"{Path(one['district']).parent.name:>6}  {one['result']:<8}  {one.get('cases', one.get('why', ''))}")
