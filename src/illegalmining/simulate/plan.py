"""Who does what where: licences, mines, faces, offences, lawful look-alikes and innocent changes, placed by chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from shapely import affinity
from shapely.geometry import Point, Polygon, box

from illegalmining.simulate.preset import Preset

Generator = np.random.Generator


@dataclass(frozen=True)
class Pit:
    """Ground dug from `start` to `end`, outward from `centre`; `coal` is dark, `limestone` bright, `soil` between."""

    outline: Polygon
    centre: tuple[float, float]
    start: date
    end: date
    material: str


@dataclass(frozen=True)
class Panel:
    """A longwall panel: advances along its azimuth from `start` at `advance_m_day`. Depth, thickness, length, width in
    m; azimuth in degrees clockwise from north; q subsidence factor; tan_beta of the main influence angle."""

    centre: tuple[float, float]
    azimuth: float
    length: float
    width: float
    depth: float
    thickness: float
    start: date
    advance_m_day: float
    q: float = 0.7
    tan_beta: float = 2.0

    @property
    def stop(self) -> date:
        return self.start + timedelta(days=int(self.length / self.advance_m_day))

    @property
    def outline(self) -> Polygon:
        upright = box(-self.width / 2, -self.length / 2, self.width / 2, self.length / 2)
        return affinity.translate(affinity.rotate(upright, -self.azimuth, origin=(0, 0)), *self.centre)


@dataclass(frozen=True)
class Work:
    """When a mine works: shifts of full load on working days; `nights` keeps it to the night; share of full load."""

    start: date
    end: date
    share: float = 1.0
    nights: bool = False
    days: float = 1.0


@dataclass(frozen=True)
class Mine:
    """A mine with its yard, licence and meter. safety_kw: ventilation and drainage; full_kw: production above it."""

    mine_id: str
    name: str
    operator: str
    licence_no: str
    method: str
    yard: Polygon
    capacity_t: float
    safety_kw: float
    full_kw: float
    statuses: tuple[tuple[str, date, date | None], ...]
    work: tuple[Work, ...] = ()
    declared_t_month: float = 0.0


@dataclass(frozen=True)
class Licence:
    """A mining licence."""

    licence_no: str
    holder: str
    mineral: str
    method: str
    outline: Polygon
    valid_from: date
    valid_to: date | None = None
    renewal_applied: date | None = None


@dataclass(frozen=True)
class Event:
    """Something innocent: `fire`, `construction`, `reservoir`, `groundwater`; over an outline and a period."""

    kind: str
    outline: Polygon
    start: date
    stop: date | None = None


@dataclass
class Plan:
    """All that there is in a district, in metres of its CRS."""

    licences: list[Licence] = field(default_factory=list)
    mines: list[Mine] = field(default_factory=list)
    faces: list[tuple[str, str, Panel]] = field(default_factory=list)  # declared: face_id, mine_id, panel
    panels: list[Panel] = field(default_factory=list)  # what is really dug underground
    pits: list[Pit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    sites: list[dict] = field(default_factory=list)
    lookalikes: list[dict] = field(default_factory=list)

    def offence(self, kind: str, outline: Polygon, start: date, mine_id: str | None = None) -> None:
        site_id = f"S{len(self.sites) + 1:02d}"
        row = {"site_id": site_id, "kind": kind, "mine_id": mine_id, "start": start, "stop": None, "geometry": outline}
        self.sites.append(row)

    def innocent(self, kind: str, outline: Polygon, start: date, mine_id: str | None = None) -> None:
        site_id = f"L{len(self.lookalikes) + 1:02d}"
        row = {"site_id": site_id, "kind": kind, "mine_id": mine_id, "start": start, "stop": None, "geometry": outline}
        self.lookalikes.append(row)


NAMES = (
    "东沟",
    "石门",
    "Niujiagou",
    "红崖",
    "南坡",
    "Shuanglong",
    "大同",
    "金山",
    "Baiyang",
    "永兴",
    "Longmen",
    "青石",
)


def make_plan(preset: Preset, rng: Generator) -> Plan:
    """Place everything; underground mines take whole blocks, all else takes quarters of the blocks left."""
    plan = Plan()
    per_side = max(2, int(preset.size_m // preset.block_m))
    blocks = [(i, j) for i in range(per_side) for j in range(per_side)]
    order = [blocks[k] for k in rng.permutation(len(blocks))]
    underground = order[: max(2, round(0.55 * len(order)))]
    roles = [hidden_face, shut_working, paper_output, shut_quiet, leaving_face]
    for number, block in enumerate(underground):
        role = roles[number % len(roles)]
        role(plan, preset, rng, corner(preset, block, preset.block_m), number)
    half = preset.block_m / 2
    slots = [(2 * i + a, 2 * j + b) for i, j in order[len(underground) :] for a in (0, 1) for b in (0, 1)]
    surface = [beyond_pit, unlicensed_pit, lawful_pit, construction, fire, expired_pit, unlicensed_pit, pending_pit]
    surface += [reservoir, beyond_pit, unlicensed_pit, groundwater]
    for number, k in enumerate(rng.permutation(len(slots))):
        if number < len(surface):
            surface[number](plan, preset, rng, corner(preset, slots[k], half), number)
    return plan


def corner(preset: Preset, cell: tuple[int, int], side: float) -> tuple[float, float, float]:
    """South-west corner and side of a cell."""
    return preset.origin[0] + cell[0] * side, preset.origin[1] + cell[1] * side, side


Place = tuple[float, float, float]


def day_in(preset: Preset, rng: Generator, low: float, high: float) -> date:
    """A day of the monitored time; 0 its first, 1 its last."""
    span = (preset.as_of - preset.monitor_from).days
    return preset.monitor_from + timedelta(days=int(span * rng.uniform(low, high)))


def mine_base(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int, method: str, **more: Any) -> Mine:
    """A mine, its licence and its yard in one corner of its place."""
    x, y, side = place
    margin = 0.08 * side
    licence_no = f"C{140000 + number * 17 + (500 if method == 'opencast' else 0)}"
    name = NAMES[(number + (6 if method == "opencast" else 0)) % len(NAMES)]
    terms: dict[str, Any] = {key: more.pop(key) for key in ("valid_to", "renewal_applied") if key in more}
    outline = more.pop("outline", box(x + margin, y + margin, x + side - margin, y + side - margin))
    since = preset.history_from - timedelta(days=2000)
    mineral = "coal" if rng.random() < 0.7 else "limestone"
    plan.licences.append(Licence(licence_no, f"{name} Mining Co.", mineral, method, outline, since, **terms))
    safety = float(rng.uniform(150, 400))
    mine = Mine(
        mine_id=f"M{number:02d}{'U' if method == 'underground' else 'O'}",
        name=f"{name}煤矿" if rng.random() < 0.5 else f"{name} mine",
        operator=f"{name} Group",
        licence_no=licence_no,
        method=method,
        yard=box(x + margin + 30, y + margin + 30, x + margin + 150, y + margin + 120),
        safety_kw=safety,
        full_kw=safety * float(rng.uniform(1.8, 3.5)),
        capacity_t=float(rng.integers(3, 12)) * 1e5,
        statuses=more.pop("statuses", (("producing", preset.history_from - timedelta(days=900), None),)),
        **more,
    )
    plan.mines.append(mine)
    return mine


def panel_at(
    preset: Preset,
    rng: Generator,
    place: Place,
    fx: float,
    fy: float,
    start: date,
    azimuth: float | None = None,
) -> Panel:
    """A panel near a fraction of its place, of a size and depth that real faces have."""
    x, y, side = place
    turned = float(rng.uniform(0, 180))
    return Panel(
        centre=(x + fx * side, y + fy * side),
        azimuth=turned if azimuth is None else azimuth,
        length=float(rng.uniform(180, 280)),
        width=float(rng.uniform(100, 150)),
        depth=float(rng.uniform(160, 320)),
        thickness=float(rng.uniform(2.0, 3.2)),
        start=start,
        advance_m_day=float(rng.uniform(1.2, 2.5)),
        q=float(rng.uniform(0.6, 0.8)),
        tan_beta=float(rng.uniform(1.8, 2.2)),
    )


def declared_face(plan: Plan, preset: Preset, rng: Generator, place: Place, mine: Mine, real: bool = True) -> Panel:
    """A face as registered; `real` digs it too."""
    start = day_in(preset, rng, 0.02, 0.25)
    panel = panel_at(preset, rng, place, 0.32, 0.68, start)
    plan.faces.append((f"{mine.mine_id}-F1", mine.mine_id, panel))
    if real:
        plan.panels.append(panel)
        plan.innocent("declared_face", panel.outline, start, mine.mine_id)
    return panel


def always(preset: Preset, share: float = 1.0) -> tuple[Work, ...]:
    """Work on all lawful days."""
    return (Work(preset.history_from, preset.as_of + timedelta(days=1), share),)


def hidden_face(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A producing mine with a declared face, and another beside it that no drawing shows."""
    mine = mine_base(plan, preset, rng, place, number, "underground", work=always(preset))
    declared_face(plan, preset, rng, place, mine)
    if preset.offences:
        panel = panel_at(preset, rng, place, 0.68, 0.35, day_in(preset, rng, 0.05, 0.4))
        plan.panels.append(panel)
        plan.offence("hidden_working_face", panel.outline, panel.start, mine.mine_id)


def leaving_face(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A producing mine whose hidden face leaves the licence."""
    mine = mine_base(plan, preset, rng, place, number, "underground", work=always(preset))
    declared_face(plan, preset, rng, place, mine)
    if preset.offences:
        start = day_in(preset, rng, 0.05, 0.35)
        panel = panel_at(preset, rng, place, 0.91, 0.4, start, azimuth=90.0)
        plan.panels.append(panel)
        plan.offence("beyond_boundary", panel.outline, start, mine.mine_id)


def ordered(preset: Preset, rng: Generator, status: str) -> tuple[tuple[str, date, date | None], ...]:
    """Producing until an order, before or within the monitored time."""
    since = preset.history_from - timedelta(days=900)
    order = preset.monitor_from + timedelta(days=int(rng.integers(-60, 60)))
    return (("producing", since, order), (status, order, None))


def shut_working(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A mine under a stop order that works at night; quiet where nobody offends."""
    statuses = ordered(preset, rng, str(rng.choice(["suspended", "long_term_shut"])))
    order = statuses[1][1]
    lawful = Work(preset.history_from, order)
    work: tuple[Work, ...] = (lawful,)
    start = max(order, preset.monitor_from) + timedelta(days=int(rng.integers(20, 90)))
    if preset.offences:
        work += (Work(start, preset.as_of + timedelta(days=1), float(rng.uniform(0.25, 0.9)), True, 0.6),)
    mine = mine_base(plan, preset, rng, place, number, "underground", statuses=statuses, work=work)
    if preset.offences:
        plan.offence("active_while_shut", mine.yard, start, mine.mine_id)
    else:
        plan.innocent("safety_load", mine.yard, order, mine.mine_id)


def shut_quiet(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A shut mine that only pumps and ventilates: at night for the tariff, more after rain."""
    statuses = ordered(preset, rng, str(rng.choice(["suspended", "rectifying"])))
    work = (Work(preset.history_from, statuses[1][1]),)
    mine = mine_base(plan, preset, rng, place, number, "underground", statuses=statuses, work=work)
    plan.innocent("safety_load", mine.yard, statuses[1][1], mine.mine_id)


def paper_output(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A mine that declares what it never digs; honest where nobody offends."""
    if not preset.offences:
        mine = mine_base(plan, preset, rng, place, number, "underground", work=always(preset))
        declared_face(plan, preset, rng, place, mine)
        return
    stopped = preset.monitor_from
    work = (Work(preset.history_from, stopped),)
    tonnes = float(rng.uniform(15_000, 40_000))
    mine = mine_base(plan, preset, rng, place, number, "underground", work=work, declared_t_month=tonnes)
    declared_face(plan, preset, rng, place, mine, real=False)
    plan.offence("paper_output", mine.yard, stopped, mine.mine_id)


def blob(rng: Generator, x: float, y: float, radius: float) -> Polygon:
    """An uneven outline about a centre."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wave = sum(rng.normal(0, 0.12 / k) * np.cos(k * angles + rng.uniform(0, 6.3)) for k in (1, 2, 3))
    reach = radius * (1 + wave)
    return Polygon(np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)]))


def opencast(preset: Preset, rng: Generator, place: Place) -> tuple[Polygon, float, float]:
    """An opencast licence's outline within a slot, and its centre."""
    x, y, side = place
    half = side * float(rng.uniform(0.2, 0.27))
    cx, cy = x + 0.45 * side, y + 0.5 * side
    return box(cx - half, cy - half, cx + half, cy + half), cx, cy


def dig(plan: Plan, preset: Preset, rng: Generator, outline: Polygon, start: date, days: int | None = None) -> Pit:
    """A pit that grows over `days`."""
    material = str(rng.choice(["coal", "limestone", "soil"]))
    centre = outline.centroid
    end = start + timedelta(days=int(rng.integers(60, 150)) if days is None else days)
    pit = Pit(outline, (centre.x, centre.y), start, end, material)
    plan.pits.append(pit)
    return pit


def beyond_pit(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """An opencast pit that grows over its licence's edge; stays inside where nobody offends."""
    outline, cx, cy = opencast(preset, rng, place)
    mine = mine_base(plan, preset, rng, place, number, "opencast", outline=outline, work=always(preset))
    start = day_in(preset, rng, 0.05, 0.4)
    edge = outline.bounds[2]
    at = edge - 10 if preset.offences else cx
    pit = dig(plan, preset, rng, blob(rng, at, cy, float(rng.uniform(60, 110))), start)
    if preset.offences:
        plan.offence("beyond_boundary", pit.outline, start, mine.mine_id)
    else:
        plan.innocent("lawful_pit", pit.outline, start, mine.mine_id)


def lawful_pit(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """An opencast pit that grows within its licence."""
    outline, cx, cy = opencast(preset, rng, place)
    mine = mine_base(plan, preset, rng, place, number, "opencast", outline=outline, work=always(preset))
    pit = dig(plan, preset, rng, blob(rng, cx, cy, float(rng.uniform(60, 110))), day_in(preset, rng, 0.05, 0.4))
    plan.innocent("lawful_pit", pit.outline, pit.start, mine.mine_id)


def lapsed(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int, renewed: bool) -> None:
    """A pit on a licence that ran out; a renewal applied for in time keeps it lawful."""
    outline, cx, cy = opencast(preset, rng, place)
    until = preset.monitor_from - timedelta(days=int(rng.integers(20, 200)))
    terms = {"valid_to": until, "renewal_applied": until - timedelta(days=40) if renewed else None}
    mine = mine_base(plan, preset, rng, place, number, "opencast", outline=outline, work=always(preset), **terms)
    pit = dig(plan, preset, rng, blob(rng, cx, cy, float(rng.uniform(50, 90))), day_in(preset, rng, 0.05, 0.4))
    if renewed:
        plan.innocent("renewal_pending", pit.outline, pit.start, mine.mine_id)
    else:
        plan.offence("unlicensed", pit.outline, pit.start, mine.mine_id)


def expired_pit(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A pit on a licence that ran out; with a renewal pending where nobody offends."""
    lapsed(plan, preset, rng, place, number, renewed=not preset.offences)


def pending_pit(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A pit on a licence whose renewal is pending."""
    lapsed(plan, preset, rng, place, number, renewed=True)


def unlicensed_pit(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A pit outside every licence."""
    if preset.offences:
        x, y, side = place
        radius = float(rng.uniform(30, 80))
        pit = dig(plan, preset, rng, blob(rng, x + 0.5 * side, y + 0.5 * side, radius), day_in(preset, rng, 0.05, 0.6))
        plan.offence("unlicensed", pit.outline, pit.start)


def event(kind: str, plan: Plan, preset: Preset, rng: Generator, place: Place, radius: tuple[float, float]) -> None:
    """Something innocent in the middle of a slot."""
    x, y, side = place
    outline = blob(rng, x + 0.5 * side, y + 0.5 * side, float(rng.uniform(*radius)))
    start = day_in(preset, rng, 0.1, 0.6)
    plan.events.append(Event(kind, outline, start))
    plan.innocent(kind, outline, start)


def construction(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """Buildings with bright roofs."""
    event("construction", plan, preset, rng, place, (25, 45))


def fire(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A burn that turns green again."""
    event("fire", plan, preset, rng, place, (60, 140))


def reservoir(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A water body that is drawn down every year."""
    event("reservoir", plan, preset, rng, place, (60, 120))


def groundwater(plan: Plan, preset: Preset, rng: Generator, place: Place, number: int) -> None:
    """A broad bowl that sinks slowly, all the time."""
    x, y, side = place
    outline = Point(x + 0.5 * side, y + 0.5 * side).buffer(0.25 * preset.size_m)
    plan.events.append(Event("groundwater", outline, preset.history_from))
    plan.innocent("groundwater", outline, preset.history_from)
