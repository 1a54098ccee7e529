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
# # Planning a raid
#
# A list of cases is not a plan. Teams have days, roads and daylight; some are trained for underground and some are not;
# and a crew that hears of an inspection next door is gone within the hour. The planner turns the open cases of a night
# into days for teams, and says how far from the best possible plan it may be.
#
# It needs a district that has been run: the demo's, in the folder above (`make demo`). A real plan is secret until
# its day. Its files are readable by their owner alone, and its random draws cannot be repeated unless you fix them,
# as we do here to teach.

# %%
import os
import stat

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from shapely import Point

import illegalmining as im
from illegalmining.raid.rules import Rules

plt.style.use("illegalmining.maps.notebook")
os.environ["ILLEGALMINING_PLAN_SEED"] = "7"

district = im.read_district("../demo/district.toml")
days = district.configuration.district
im.nightly(district)
run = im.read_run(district.out)
registers = im.read_registers(district).in_order()
print(f"{(run.cases['status'] == 'open').sum()} open cases")

# %% [markdown]
# ## Asking
#
# Two teams, one of them trained for underground, two days, and a base in the south-west corner of the district.

# %%
west, south, _, _ = days.bounds
base = gpd.GeoSeries([Point(west, south)], crs=district.crs).to_crs("EPSG:4326").iloc[0]
asked = im.Asked(teams=2, days=2, lon=base.x, lat=base.y, skilled=1)
rules = Rules(audit_share=0.2)
planned = im.plan(district, asked, rules=rules, dossiers=False)
plan = planned.plan
print(f"{plan.visits} visits on {len(plan.tours)} team days, {plan.expected:.1f} confirmations expected")

# %% [markdown]
# ## How good it is
#
# The value of a visit is the probability that it confirms something, weighted by danger: people underground count most.
# The bound comes from the same programme with its whole-number rule dropped. No plan under these rules is worth more,
# so the gap is all that better planning could ever bring.

# %%
assert 0 < plan.value <= plan.bound + 1e-9
print(f"value {plan.value:.2f}, bound {plan.bound:.2f}: at most {1 - plan.value / plan.bound:.1%} is left on the table")

# %%
calls = pd.DataFrame(
    [
        {
            "day": tour.day,
            "team": tour.team,
            "underground": tour.skilled,
            "site": call.site.site_id,
            "kind": call.site.kind or "drawn blind",
            "probability": call.site.probability,
            "leave": call.leave,
            "arrive": call.arrive,
            "done": call.done,
            "together": call.together,
        }
        for tour in plan.tours
        for call in tour.calls
    ]
)
assert (calls["done"] > calls["arrive"]).all()
assert calls.loc[calls["kind"] == "hidden_working_face", "underground"].all(), "only trained teams go underground"
calls.drop(columns=["leave", "together"])

# %% [markdown]
# ## The days

# %%
rows = sorted({(tour.day, tour.team) for tour in plan.tours})
_, ax = plt.subplots(figsize=(9, 0.7 * len(rows) + 1.6))


def hour(moment: pd.Timestamp) -> float:
    """Hours since midnight."""
    return moment.hour + moment.minute / 60


for tour in plan.tours:
    y = rows.index((tour.day, tour.team))
    for call in tour.calls:
        ax.barh(y, hour(call.arrive) - hour(call.leave), left=hour(call.leave), height=0.16, color="#B8C2CC")
        colour = "#B8860B" if call.site.kind is None else "#0072B2" if call.site.underground else "#B5508C"
        ax.barh(y, hour(call.done) - hour(call.arrive), left=hour(call.arrive), height=0.56, color=colour)
        ax.annotate(call.site.site_id[-6:], (hour(call.arrive), y), xytext=(3, -3), textcoords="offset points",
                    color="white", size=7.5)  # fmt: skip
    last = tour.calls[-1].done
    ax.barh(y, hour(tour.back) - hour(last), left=hour(last), height=0.16, color="#B8C2CC")
for name, colour in (("underground", "#0072B2"), ("on the surface", "#B5508C"), ("drawn blind", "#B8860B")):
    ax.barh(-5, 0, color=colour, label=name)
ax.barh(-5, 0, color="#B8C2CC", label="under way")
ax.set_yticks(range(len(rows)), [f"{day:%d %b}, team {team}" for day, team in rows])
ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(7.5, 18.5), xlabel="local time, h", ylabel="team day")
ax.set_title("Who is where, and when")
_ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=4)

# %% [markdown]
# ## The ways

# %%
_, ax = plt.subplots(figsize=(6.8, 6.2))
if registers.roads is not None:
    registers.roads.plot(ax=ax, color="#D5DBE1", linewidth=1.2, label="road")
colours = plt.cm.tab10.colors
for number, tour in enumerate(plan.tours):
    for leg, call in enumerate(tour.calls):
        way = np.array(plan.travel.path(call.before, call.place).coords)
        name = f"{tour.day:%d %b}, team {tour.team}" if leg == 0 else None
        ax.plot(*way.T, color=colours[number], linewidth=2.2, alpha=0.85, label=name)
        ax.plot(call.site.x, call.site.y, "o", color=colours[number], markersize=8, markeredgecolor="white")
    home = np.array(plan.travel.path(tour.calls[-1].place, 0).coords)
    ax.plot(*home.T, color=colours[number], linewidth=1.2, linestyle=":")
ax.plot(*plan.travel.places[0], "s", color="#1C2733", markersize=9, label="base")
ax.set(xlabel="easting, m", ylabel="northing, m", title="Ways out (solid) and home (dotted)", aspect="equal")
ax.ticklabel_format(useOffset=False, style="plain")
ax.locator_params(nbins=5)
ax.grid(visible=False)
_ = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))

# %% [markdown]
# ## The visits nobody asked for
#
# A rule that is published is a rule that is evaded, and a monitor that only checks its own suspicions never learns what
# it missed. So a share of the visits is drawn blind, over mines and ground *without* a case, each with a known chance.
# From what they find, the number of misses in the whole district can be estimated without bias.

# %%
drawn = pd.DataFrame(
    [{"stratum": site.stratum, "site": site.site_id, "chance": site.chance} for site in plan.drawn],
    columns=["stratum", "site", "chance"],
)
assert len(plan.frame) >= len(drawn)
assert drawn["chance"].between(0, 1, inclusive="right").all(), "every draw has a known chance above nought"
print(f"{len(drawn)} drawn from {len(plan.frame)} places with a low score or none")
drawn

# %% [markdown]
# ## What the teams get
#
# A page and a track for phones, coordinates in WGS 84, CGCS2000 and GCJ-02, a form for the outcomes, and without
# `dossiers=False` the evidence of each case as a PDF. Nobody else on this machine may read them.

# %%
for file in sorted(planned.folder.iterdir()):
    print(f"{stat.filemode(file.stat().st_mode)}  {file.name}")
    assert not file.stat().st_mode & 0o077, "for its owner alone"
