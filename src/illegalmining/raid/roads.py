"""Travel between places: over the graph of the roads, and on foot from the road to the site."""

from __future__ import annotations

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra, floyd_warshall
from scipy.spatial import cKDTree

from illegalmining.raid.rules import GRAIN_MIN, Rules

TOUCH_M = 1.0
"""Ends of roads this near to another road, m, join it: registers are drawn by hand."""
SAME_M = 0.05
"""Points this near, m, are one: rounding leaves as much between two lines that meet."""
DECIMALS = 3


@dataclass(frozen=True)
class Travel:
    """Travel between places, first to first; place 0 is the base.

    minutes: from door to door, the walks at both ends included. steps: the same in whole steps of the plan, shortest
    way round where a stop on the way is quicker. walk_min: on foot between road and place, one way. km: driven.
    by_road: False where no road leads from one to the other and the straight line was taken.
    """

    places: NDArray[np.float64]
    minutes: NDArray[np.float64]
    steps: NDArray[np.int32]
    walk_min: NDArray[np.float64]
    km: NDArray[np.float64]
    by_road: NDArray[np.bool_]
    network: Network | None = field(repr=False)

    def path(self, start: int, end: int) -> shapely.LineString:
        """The way from one place to another as a line."""
        ends = self.places[[start, end]]
        if self.network is None or not self.by_road[start, end]:
            return shapely.LineString(ends)
        return shapely.LineString(np.vstack([ends[:1], self.network.way(start, end), ends[1:]]))


@dataclass(frozen=True)
class Network:
    """The graph of the roads: its points, where each place enters it, and the trees of quickest ways from there."""

    points: NDArray[np.float64]
    entry: NDArray[np.int64]
    before: NDArray[np.int32]

    def way(self, start: int, end: int) -> NDArray[np.float64]:
        """Points of the quickest way between the entries of two places."""
        at, back = self.entry[end], [self.entry[end]]
        while at != self.entry[start]:
            at = self.before[start, at]
            back.append(at)
        return self.points[back[::-1]]


def travel(places: NDArray[np.float64], roads: gpd.GeoDataFrame | None, rules: Rules) -> Travel:
    """Quickest travel between all places (x, y in the roads' CRS, m)."""
    apart = np.hypot(*(places[:, None, :] - places[None, :, :]).transpose(2, 0, 1))
    straight_km = apart * rules.detour / 1000
    minutes = straight_km / rules.offroad_kmh * 60
    km, walk = straight_km, np.zeros(len(places))
    by_road = np.zeros(apart.shape, dtype=bool)
    network = None
    lines = lines_of(roads, rules)
    if lines is not None:
        shapes, speed, oneway = lines
        network, drive_min, driven_km, off_m = driven(places, shapes, speed, oneway)
        by_road = np.isfinite(drive_min)
        walk = off_m * rules.walk_detour / 1000 / rules.walk_kmh * 60
        minutes = np.where(by_road, drive_min + walk[:, None] + walk[None, :], minutes)
        km = np.where(by_road, driven_km, straight_km)
        walk = np.where(by_road.sum(axis=0) > 1, walk, 0.0)
    np.fill_diagonal(minutes, 0.0)
    whole = np.ceil(minutes / GRAIN_MIN - 1e-9)
    closed = floyd_warshall(whole + 1e-12) if len(places) > 1 else whole
    steps = np.round(closed).astype(np.int32)
    return Travel(places, minutes, steps, walk, km, by_road, network)


def lines_of(
    roads: gpd.GeoDataFrame | None, rules: Rules
) -> tuple[NDArray[np.object_], NDArray[np.float64], NDArray[np.bool_]] | None:
    """Single lines of the register, their speeds (km/h) and whether they are one way; None where there is none."""
    if roads is None or roads.empty:
        return None
    speeds = rules.speeds_kmh
    single = roads.explode(index_parts=False)
    single = single[single.geometry.notna() & (single.geometry.length > 0)]
    if single.empty:
        return None
    speed = single["class"].str.lower().map(speeds).fillna(speeds["other"]).to_numpy(dtype=float)
    text = single["oneway"].astype(str).str.lower() if "oneway" in single else None
    oneway = np.zeros(len(single), dtype=bool) if text is None else text.isin(("yes", "true", "1")).to_numpy()
    return shapely.force_2d(single.geometry.to_numpy()), speed, oneway


def driven(
    places: NDArray[np.float64], lines: NDArray[np.object_], speed: NDArray[np.float64], oneway: NDArray[np.bool_]
) -> tuple[Network, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(network, minutes and kilometres between the entries of all places, metres from each place to its entry)."""
    spots = shapely.points(places)
    nearest = shapely.STRtree(lines).nearest(spots)
    entry_at = shapely.line_locate_point(lines[nearest], spots)
    off_m = shapely.distance(lines[nearest], spots)
    line, along = cuts(lines, nearest, entry_at)
    points = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], along))
    node_of, nodes = merged(points, touching(lines))
    same = np.flatnonzero(np.diff(line) == 0)
    tail, head = node_of[same], node_of[same + 1]
    length = along[same + 1] - along[same]
    cost = length / 1000 / speed[line[same]] * 60
    back = ~oneway[line[same]]
    starts, ends = np.concatenate([tail, head[back]]), np.concatenate([head, tail[back]])
    costs, lengths = np.concatenate([cost, cost[back]]), np.concatenate([length, length[back]])
    graph = lightest(starts, ends, costs, len(nodes))
    far = lightest(starts, ends, lengths, len(nodes))
    entry_points = shapely.get_coordinates(shapely.line_interpolate_point(lines[nearest], entry_at))
    found = shapely.STRtree(shapely.points(nodes)).nearest(shapely.points(entry_points))
    minutes, before = dijkstra(graph, indices=found, return_predecessors=True)
    network = Network(nodes, found, before)
    minutes = minutes[:, found]
    return network, minutes, kilometres(network, far, minutes), off_m


def cuts(
    lines: NDArray[np.object_], nearest: NDArray[np.int64], entry_at: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where lines are cut into edges, as (line, metres along it) in order: vertices, junctions and entries of places.

    Lines that cross join there: a register of roads seldom tells a bridge from a crossing.
    """
    vertices, owner = shapely.get_coordinates(lines, return_index=True)
    found = [(owner, shapely.line_locate_point(lines[owner], shapely.points(vertices))), (nearest, entry_at)]
    tree = shapely.STRtree(lines)
    one, other = tree.query(lines, predicate="intersects")
    one, other = one[one != other], other[one != other]
    meeting, pair = shapely.get_coordinates(shapely.intersection(lines[one], lines[other]), return_index=True)
    found.append((one[pair], shapely.line_locate_point(lines[one[pair]], shapely.points(meeting))))
    for end in (0, -1):
        tips = shapely.get_point(lines, end)
        tip, beside = tree.query(tips, predicate="dwithin", distance=TOUCH_M)
        found.append((beside, shapely.line_locate_point(lines[beside], tips[tip])))
    line = np.concatenate([owners for owners, _ in found])
    along = np.round(np.concatenate([metres for _, metres in found]), DECIMALS)
    unique = np.unique(np.column_stack([line, along]), axis=0)
    closed = shapely.is_closed(lines)
    loop = [(which, np.round(shapely.length(lines[which]), DECIMALS)) for which in np.flatnonzero(closed)]
    if loop:
        unique = np.unique(np.vstack([unique, np.array(loop)]), axis=0)
    return unique[:, 0].astype(np.int64), unique[:, 1]


def touching(lines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Pairs of points (x, y, x, y) that are one although a gap is drawn: an end, and the road it stops short of."""
    pairs = []
    for end in (0, -1):
        tips = shapely.get_point(lines, end)
        tip, beside = shapely.STRtree(lines).query(tips, predicate="dwithin", distance=TOUCH_M)
        along = np.round(shapely.line_locate_point(lines[beside], tips[tip]), DECIMALS)
        foot = shapely.line_interpolate_point(lines[beside], along)
        pairs.append(np.hstack([shapely.get_coordinates(tips[tip]), shapely.get_coordinates(foot)]))
    return np.vstack(pairs)


def merged(points: NDArray[np.float64], pairs: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(node of each point, nodes): points that round alike, and those of a pair, are one node."""
    rounded, inverse = np.unique(np.round(points, DECIMALS), axis=0, return_inverse=True)
    tree = cKDTree(rounded)
    ends = [tree.query(part)[1] for part in (pairs[:, :2], pairs[:, 2:])]
    near = np.vstack([tree.query_pairs(SAME_M, output_type="ndarray"), np.column_stack(ends)])
    shape = (len(rounded), len(rounded))
    joined = coo_matrix((np.ones(len(near), dtype=bool), (near[:, 0], near[:, 1])), shape=shape)
    count, part = connected_components(joined, directed=False)
    nodes = np.zeros((count, 2))
    nodes[part[::-1]] = rounded[::-1]
    return part[inverse.ravel()].astype(np.int64), nodes


def lightest(
    starts: NDArray[np.int64], ends: NDArray[np.int64], weights: NDArray[np.float64], count: int
) -> csr_matrix:
    """The graph with the lightest of parallel edges."""
    order = np.lexsort((weights, ends, starts))
    starts, ends, weights = starts[order], ends[order], weights[order]
    first = np.ones(len(starts), dtype=bool)
    first[1:] = (np.diff(starts) != 0) | (np.diff(ends) != 0)
    first &= starts != ends
    return csr_matrix((np.maximum(weights[first], 1e-9), (starts[first], ends[first])), shape=(count, count))


def kilometres(network: Network, lengths: csr_matrix, minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the quickest ways, km."""
    count = len(network.entry)
    km = np.full((count, count), np.inf)
    for start in range(count):
        order_known: dict[int, float] = {int(network.entry[start]): 0.0}
        for end in range(count):
            if np.isfinite(minutes[start, end]):
                km[start, end] = length_to(int(network.entry[end]), network.before[start], lengths, order_known) / 1000
    return km


def length_to(node: int, before: NDArray[np.int32], lengths: csr_matrix, known: dict[int, float]) -> float:
    """Metres along the tree of quickest ways to a node."""
    trail = []
    while node not in known:
        trail.append(node)
        node = int(before[node])
    for step in reversed(trail):
        row = slice(lengths.indptr[node], lengths.indptr[node + 1])
        at = row.start + int(np.searchsorted(lengths.indices[row], step))
        known[step] = known[node] + float(lengths.data[at])
        node = step
    return known[node]
