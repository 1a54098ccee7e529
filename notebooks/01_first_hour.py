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
# # A first hour with a district
#
# Registers say what is allowed. Satellites and meters see what happens. Every night the two are compared, and a county
# receives a map of the places where they disagree. This notebook walks once around such a district: what is known, what
# is seen, what is concluded, and what could not be seen.
#
# It needs the demo's district in the folder above: `make demo` writes it, simulated, so that its truth is known.

# %%
import json
from importlib.resources import files

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import illegalmining as im

plt.style.use("illegalmining.maps.notebook")
KINDS = json.loads((files("illegalmining.maps") / "palette.json").read_text("utf-8"))["kinds"]

district = im.read_district("../demo/district.toml")
days = district.configuration.district
print(f"{district.name}: {days.history_from} to {days.as_of}, judged from {days.monitor_from}")

# %% [markdown]
# ## What is allowed
#
# Reading the registers checks every row. What cannot be used is set aside with a reason and never guessed.

# %%
aside = []
registers = im.read_registers(district, aside).in_order()
print(f"{len(aside)} row(s) set aside")
pd.Series({name: len(table) for name, table in vars(registers).items() if isinstance(table, pd.DataFrame)}, name="rows")


# %%
def map_axes(title: str) -> plt.Axes:
    """A map of the district, in kilometres of its own CRS."""
    _, ax = plt.subplots(figsize=(7.4, 6.4))
    west, south, east, north = days.bounds
    ax.set(xlim=(west, east), ylim=(south, north), aspect="equal", title=title)
    ax.set(xlabel="easting, km", ylabel="northing, km")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value / 1000:.1f}")
    ax.grid(visible=False)
    return ax


ax = map_axes("What the registers allow: licences, and the mines that hold them")
for method, colour in (("underground", "#0072B2"), ("opencast", "#B8860B")):
    licences = registers.concessions[registers.concessions["method"] == method]
    licences.plot(ax=ax, facecolor=colour, edgecolor=colour, alpha=0.18)
    licences.boundary.plot(ax=ax, color=colour, linewidth=1.2, label=f"licence, {method}")
registers.mines.centroid.plot(ax=ax, color="#1C2733", markersize=18, label="mine")
registers.jurisdictions.boundary.plot(ax=ax, color="#54616F", linewidth=0.8, linestyle=(0, (6, 3)), label="county")
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4)

# %% [markdown]
# A status is dated, and it decides what a mine may do. Here is every mine on the last day looked at.

# %%
today = pd.Timestamp(days.as_of)
status = registers.mine_status
held = status[(status["from"] <= today) & (status["to"].isna() | (status["to"] > today))]
held.groupby("status")["mine_id"].nunique().rename("mines")

# %% [markdown]
# ## What is seen
#
# A source is opened lazily: the line below reads headers only, however many terabytes lie behind them. Pixels are read
# when something is computed, here a picture of one clear day in late summer.

# %%
optical = im.open_source("sentinel-2", district)
print(optical.sizes, optical["red"].dtype)
clear = optical["scl"].isin([4, 5, 6, 7]).mean(("y", "x")).compute()
summer = clear.where(clear["time"].dt.month.isin([7, 8, 9]), 0)
day = summer["time"].isel(time=summer.argmax("time"))
rgb = optical[["red", "green", "blue"]].sel(time=day).to_array("band").transpose("y", "x", "band").compute()
picture = np.clip(rgb / float(rgb.quantile(0.99)), 0, 1) ** 0.7

ax = map_axes(f"The ground on {day.dt.strftime('%Y-%m-%d').item()}, {float(summer.max()):.0%} clear")
ax.imshow(picture.fillna(1), extent=(days.bounds[0], days.bounds[2], days.bounds[1], days.bounds[3]))
_ = registers.concessions.boundary.plot(ax=ax, color="white", linewidth=0.9)

# %% [markdown]
# ## What is concluded
#
# `nightly` is the whole batch. It keeps what it has computed: run again with nothing new, it detects nothing again and
# writes the same bytes.

# %%
night = im.nightly(district)
run = im.read_run(district.out)
cases = run.cases
assert cases["probability"].is_monotonic_decreasing, "most probable first"
cases[["case_id", "kind", "probability", "mine_id", "jurisdiction", "first_seen", "area_m2"]]

# %%
ax = map_axes("Cases: what is against the registers")
ax.imshow(picture.fillna(1), extent=(days.bounds[0], days.bounds[2], days.bounds[1], days.bounds[3]), alpha=0.55)
registers.concessions.boundary.plot(ax=ax, color="white", linewidth=0.9)
for kind, group in cases.groupby("kind"):
    look = KINDS[kind]
    areas = group[group.area > 0]
    if len(areas):
        areas.boundary.plot(ax=ax, color=look["colour"], linewidth=2)
    middle = group.centroid
    ax.scatter(
        middle.x, middle.y, s=60, color=look["colour"], edgecolor="white", zorder=5, label=kind.replace("_", " ")
    )
for case, at in zip(cases["probability"], cases.centroid, strict=True):
    ax.annotate(f"{case:.0%}", (at.x, at.y), xytext=(7, 5), textcoords="offset points", weight="bold", color="#1C2733")
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4)

# %% [markdown]
# A probability is a sum that can be read: a prior, and from each detector its evidence in nats, bounded because
# something that no model knows of may mimic an offence. One nat multiplies the odds by 2.7.

# %%
told = im.explain(district, cases["case_id"].iloc[0])
sums = told["reckoning"]
for term in sums["terms"]:
    print(f"{term['counted']:+5.2f} nats  {term['says']}")
total = sums["prior_log_odds"] + sum(term["counted"] for term in sums["terms"])
assert abs(total - sums["sum_log_odds"]) < 0.01, "the terms add up to the published sum"
print(f"prior {sums['prior_log_odds']:+.2f}, sum {sums['sum_log_odds']:+.2f}: probability {sums['probability']:.1%}")

# %% [markdown]
# ## What could not be seen
#
# An empty map is not a clean county. The coverage says, place by place, how small a site would still have been noticed.
# It is as much a result as the cases are.

# %%
coverage = run.coverage
ax = map_axes("The smallest site that would have been noticed")
image = ax.imshow(
    coverage,
    extent=(days.bounds[0], days.bounds[2], days.bounds[1], days.bounds[3]),
    cmap="Blues",
)
ax.set_facecolor("#5A6673")
_ = plt.colorbar(image, ax=ax, label="m² (grey: blind)", shrink=0.8)
print(f"{float(coverage.notnull().mean()):.0%} seen; median {float(coverage.median()):.0f} m²")

# %% [markdown]
# In the demo the truth is known, so the night can be marked. On real ground this is what field visits are for.

# %%
truth = gpd.read_file("../demo/truth/sites.gpkg")
near = truth.assign(found=[bool((cases.distance(site) < 100).any()) for site in truth.geometry])
near[["site_id", "kind", "start", "found"]]
