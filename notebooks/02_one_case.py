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
# # Looking into one case
#
# A case is a claim about somebody. Before anyone drives out, whoever signs for it should be able to say what was seen,
# when it began, what the registers say about that ground on those days, and what else it could be. This notebook takes
# one excavation apart, down to a single pixel, with the functions the nightly batch itself calls.
#
# It needs a district that has been run: the demo's, in the folder above (`make demo`).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import illegalmining as im

plt.style.use("illegalmining.maps.notebook")

district = im.read_district("../demo/district.toml")
days = district.configuration.district
registers = im.read_registers(district).in_order()
im.nightly(district)
run = im.read_run(district.out)

pits = run.cases[run.cases["evidence"].str.contains('"surface"')]
case = pits.loc[pits["area_m2"].idxmax()]
case.drop(["evidence", "rivals", "geometry"]).dropna()

# %% [markdown]
# ## What is said, and by whom
#
# Every term of the sum names the detection behind it. The weights below one are for evidence that is partly shared:
# two sensors that look at the same bare ground do not err independently.

# %%
told = im.explain(district, case["case_id"])
terms = pd.DataFrame(told["reckoning"]["terms"])
assert set(terms["detection_id"]) <= set(run.detections["detection_id"])
terms[["detector", "log_lr", "weight", "counted", "probability_without", "says"]]

# %%
sums = told["reckoning"]
steps = [("prior", sums["prior_log_odds"]), *zip(terms["detector"], terms["counted"], strict=True)]
ends = np.cumsum([value for _, value in steps])
_, ax = plt.subplots(figsize=(7.6, 0.5 * len(steps) + 1.6))
for row, ((name, value), end) in enumerate(zip(steps, ends, strict=True)):
    ax.barh(row, value, left=end - value, color="#54616F" if name == "prior" else "#0072B2", height=0.6)
    ax.text(max(end, end - value) + 0.1, row, f"{value:+.2f}", va="center")
ax.set_yticks(range(len(steps)), [name for name, _ in steps])
ax.invert_yaxis()
ax.axvline(0, color="#1C2733", linewidth=0.8)
ax.set(xlabel="log-odds of the activity, nats", ylabel="term", xlim=(min(0, ends.min()) - 0.4, ends.max() + 1))
ax.set_title(f"From prior to {sums['probability_of_activity']:.1%}: how the evidence adds up")
assert abs(ends[-1] - sums["sum_log_odds"]) < 0.01

# %% [markdown]
# What else it could be is part of the answer, and so is what would overturn it.

# %%
for name, share in sums["rivals"].items():
    print(f"{share:6.1%}  {name.replace('_', ' ')}")
for point in told["would_change_it"]:
    print("would change it:", point)

# %% [markdown]
# ## What the registers say of that ground
#
# A licence counts only if it was in force on the days of the evidence, and only for its own method: an underground
# licence does not allow a pit.

# %%
here = registers.concessions[registers.concessions.dwithin(case.geometry, 60)]
here[["licence_no", "holder", "method", "valid_from", "valid_to", "renewal_applied"]]

# %%
around = case.geometry.buffer(350).bounds
_, ax = plt.subplots(figsize=(6.4, 5.6))
registers.concessions.clip(around).plot(ax=ax, facecolor="#B8860B", alpha=0.15)
registers.concessions.clip(around).boundary.plot(ax=ax, color="#B8860B", label="licence")
for detector, colour in (("surface", "#7A5C2E"), ("radar", "#4B6584")):
    seen = run.detections[run.detections["detector"] == detector].clip(around)
    if len(seen):
        seen.boundary.plot(ax=ax, color=colour, linewidth=1.5, label=f"seen by {detector}")
run.cases[run.cases["case_id"] == case["case_id"]].boundary.plot(ax=ax, color="#B5508C", linewidth=2.4, label="case")
ax.set(xlim=(around[0], around[2]), ylim=(around[1], around[3]), xlabel="easting, m", ylabel="northing, m")
ax.ticklabel_format(useOffset=False, style="plain")
ax.locator_params(nbins=5)
ax.set_title("The ground, the licences, and who saw what")
_ = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))

# %% [markdown]
# ## Back to the pixels
#
# The batch keeps the series behind each detection. But nothing hinders us from judging the ground again: open the cube
# around the case, let the baseline of every pixel be fitted on the history, and feed it the monitored dates.

# %%
cube = im.open_source("sentinel-2", district)
west, south, east, north = case.geometry.buffer(300).bounds
window = cube.sel(x=slice(west, east), y=slice(north, south))
ground = im.monitor(im.surface_stack(window, days.history_from, days.monitor_from, days.as_of))
maps = ground.maps
maps

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
maps["evidence"].plot(ax=left, cmap="magma_r", cbar_kwargs={"label": "evidence for one lasting change, nats"})
onset = maps["onset"].where(maps["evidence"] > ground.stack.regions.grow)
since = (onset - np.datetime64(days.monitor_from)) / np.timedelta64(1, "D")
since.plot(ax=right, cmap="viridis", cbar_kwargs={"label": f"began, days after {days.monitor_from}"})
for ax, title in ((left, "How sure"), (right, "How it grew")):
    ax.set(title=title, xlabel="easting, m", ylabel="northing, m", aspect="equal")
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.locator_params(nbins=4)
    ax.plot(*case.geometry.convex_hull.exterior.xy, color="#0072B2", linewidth=1.2)

# %% [markdown]
# The strongest pixel, date by date: what it showed, and what its own past let expect. The baseline knows the season; it
# is the lasting departure from it that counts, never a single dark day.

# %%
place = maps["evidence"].stack(pixel=("y", "x"))
best = place.isel(pixel=int(np.nanargmax(place.values)))
series = ground.series(float(best["x"]), float(best["y"]))
band = ground.stack.telling.names[
    int(np.abs(maps["shift"] / maps["noise"]).sel(x=best["x"], y=best["y"]).argmax("feature"))
]

_, ax = plt.subplots(figsize=(9, 3.8))
ax.plot(series.index, series[band, "expected"], color="#0072B2", label="expected from its own past")
ax.plot(series.index, series[band, "observed"], "o", markersize=3.5, color="#C8500A", label="observed, clear dates")
ax.axvline(pd.Timestamp(days.monitor_from), color="#54616F", linestyle=(0, (4, 3)), linewidth=1)
ax.annotate("judged from here", (pd.Timestamp(days.monitor_from), 0), xycoords=("data", "axes fraction"),
            xytext=(4, 6), textcoords="offset points", color="#54616F")  # fmt: skip
ax.set(xlabel="date", ylabel=f"reflectance, {band}", title="The strongest pixel")
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)

# %% [markdown]
# Drawn as a region, the window gives the outline of the batch but for some pixels at its rim: the haze that a date
# shares with its surroundings was now learned from 600 m of ground and not from a whole tile.

# %%
again = im.regions(ground).detections
mine = run.detections[run.detections["detection_id"].isin(terms["detection_id"])]
mine = mine[mine["detector"] == "surface"].geometry.iloc[0]
overlap = max(mine.intersection(other).area / mine.union(other).area for other in again.geometry)
print(f"overlap {overlap:.0%}")
assert overlap > 0.8

# %% [markdown]
# What the visit finds goes back by `illegalmining verify`; the next night has learned from it.
