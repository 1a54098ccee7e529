"""Gi* against its published value and esda, false discoveries against their definition, trends planted, coverage."""

from __future__ import annotations

import time
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pyproj import Geod
from scipy.stats import false_discovery_control, kendalltau, norm
from shapely.geometry import Point, box

from illegalmining.coverage import CoverageParameters, smallest_site
from illegalmining.hotspots import (
    HotspotParameters,
    area_spread,
    benjamini_hochberg,
    gi_star,
    gi_star_z,
    hotspots,
    mann_kendall,
    runs_wanted,
)
from illegalmining.tables import CASES, HOTSPOTS, JURISDICTIONS

CRS = "EPSG:4546"
BOUNDS = (500000.0, 4100000.0, 508000.0, 4108000.0)
AS_OF = date(2026, 10, 31)


def case_at(x: float, y: float, probability: float = 0.8, first: str = "2026-10-10", last: str = "2026-10-28", **more):
    row = {
        "case_id": f"{x:.1f}-{y:.1f}-{first}",
        "kind": "unlicensed",
        "probability": probability,
        "mine_id": None,
        "licence_no": None,
        "jurisdiction": None,
        "first_seen": pd.Timestamp(first),
        "last_seen": pd.Timestamp(last),
        "first_reported": pd.Timestamp(AS_OF),
        "area_m2": 1000.0,
        "area_outside_m2": np.nan,
        "depth_m": np.nan,
        "status": "open",
        "evidence": "[]",
        "geometry": Point(x, y),
    }
    return {**row, **more}


def cases_of(*rows: dict) -> gpd.GeoDataFrame:
    return CASES.frame(list(rows), CRS)


def found(cases: gpd.GeoDataFrame, **parameters) -> gpd.GeoDataFrame:
    return hotspots(cases, None, BOUNDS, CRS, AS_OF, HotspotParameters(**parameters))


# --- Gi* ---


def test_gi_star_has_the_published_value() -> None:
    """science.md: six points, distance band 15, binary weights, self included: Z0 = -1.39727626."""
    points = np.array([(10, 10), (20, 10), (40, 10), (15, 20), (30, 20), (30, 30)], dtype=float)
    values = np.array([2, 3, 3.2, 5, 8, 7])
    near = (np.hypot(*(points[0] - points).T) <= 15).astype(float)
    z = gi_star_z(
        np.array([near @ values]),
        np.array([near.sum()]),
        np.array([(near**2).sum()]),
        values.mean(),
        values.std(),
        len(values),
    )
    assert z[0] == pytest.approx(-1.39727626, abs=5e-9)


@pytest.mark.parametrize("reach", [1, 2])
def test_gi_star_equals_esda_on_a_grid(reach: int) -> None:
    from esda.getisord import G_Local
    from libpysal.weights import W, fill_diagonal

    rows, columns = 9, 13
    values = np.random.default_rng(11).gamma(0.5, 1.0, (rows, columns))
    neighbours = {
        r * columns + c: [
            i * columns + j
            for i in range(max(0, r - reach), min(rows, r + reach + 1))
            for j in range(max(0, c - reach), min(columns, c + reach + 1))
            if (i, j) != (r, c)
        ]
        for r in range(rows)
        for c in range(columns)
    }
    weights = fill_diagonal(W(neighbours, silence_warnings=True), 1.0)
    theirs = G_Local(values.ravel(), weights, transform="B", star=True, permutations=0)
    np.testing.assert_allclose(gi_star(values, reach).ravel(), theirs.Zs, rtol=1e-9)


@pytest.mark.parametrize("values", [np.zeros((5, 5)), np.full((7, 3), 0.1), np.array([[0.4]]), np.eye(2)])
def test_nothing_stands_out_where_nothing_can(values: np.ndarray) -> None:
    assert (gi_star(values) == 0).all()


def test_benjamini_hochberg_equals_scipy() -> None:
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.uniform(0, 1, 400), rng.uniform(0, 0.002, 25)])
    np.testing.assert_array_equal(benjamini_hochberg(p, 0.05), false_discovery_control(p) <= 0.05)


def test_missing_p_values_are_no_tests() -> None:
    """0.02 holds among two tests (limit 0.025) and not among three (0.0167)."""
    assert benjamini_hochberg(np.array([0.02, 0.9, np.nan]), 0.05).tolist() == [True, False, False]
    assert benjamini_hochberg(np.array([0.02, 0.9, 0.9]), 0.05).tolist() == [False, False, False]


def test_mann_kendall_against_scipys_tau_and_the_textbook_variance() -> None:
    """S is tau-b's numerator; without ties Var S = n(n-1)(2n+5)/18."""
    series = np.random.default_rng(8).normal(size=(12, 5)).cumsum(axis=0)
    n = len(series)
    for column, z in zip(series.T, mann_kendall(series), strict=True):
        s = round(kendalltau(np.arange(n), column).statistic * n * (n - 1) / 2)
        assert z == pytest.approx((s - np.sign(s)) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18))


def test_mann_kendall_counts_ties() -> None:
    """1 1 2 2: S = 4, Var = (4·3·13 - 2·(2·1·9))/18 = 20/3."""
    assert mann_kendall(np.array([[1.0], [1], [2], [2]]))[0] == pytest.approx(3 / np.sqrt(20 / 3))
    assert mann_kendall(np.ones((6, 2))).tolist() == [0, 0]
    assert mann_kendall(np.ones((1, 2))).tolist() == [0, 0]


# --- cells ---


def test_every_case_is_counted_once_in_the_cell_of_its_centre() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(BOUNDS[:2], BOUNDS[2:], (60, 2))
    # on the outer edges and on a line between cells
    points = np.vstack([points, [BOUNDS[:2], BOUNDS[2:], (502000, 4104000)]])
    cases = cases_of(*(case_at(x, y, p) for (x, y), p in zip(points, rng.uniform(0.2, 1, 63), strict=True)))
    cells = found(cases)
    assert cells["expected_sites"].sum() == pytest.approx(cases["probability"].sum())
    for cell in cells[cells["expected_sites"] > 0].itertuples():
        inside = cases[cases.distance(cell.geometry) < 1e-9]
        assert cell.expected_sites <= inside["probability"].sum() + 1e-9


def test_refuted_cases_and_cases_elsewhere_count_nothing() -> None:
    cases = cases_of(
        case_at(501000, 4101000, 0.5),
        case_at(502000, 4101000, 0.9, status="refuted"),
        case_at(509000, 4101000, 0.9),
    )
    assert found(cases)["expected_sites"].sum() == pytest.approx(0.5)


def test_cells_tile_the_district_and_keep_their_ids() -> None:
    cells = found(cases_of())
    assert HOTSPOTS.faults(cells).empty
    assert cells.union_all().equals(box(*BOUNDS))
    assert cells["cell_id"].is_unique
    assert cells.area.sum() == pytest.approx(8000 * 8000)
    again = found(cases_of(case_at(504000, 4104000)))
    assert cells["cell_id"].tolist() == again["cell_id"].tolist()


@pytest.mark.parametrize(
    ("extent", "side"), [((1000, 550), 50), ((8000, 8000), 250), ((60000, 40000), 1000), ((2_000_000, 10), 10000)]
)
def test_the_cell_suits_the_district(extent: tuple[float, float], side: float) -> None:
    cells = hotspots(cases_of(), None, (0, 0, *extent), CRS, AS_OF)
    west, south, east, north = cells.geometry.iloc[0].bounds
    assert (east - west, north - south) == (side, side)
    assert cells.union_all().covers(box(0, 0, *extent))


def test_a_cluster_is_found_where_it_was_planted_and_nowhere_else() -> None:
    """Seed not tuned on: 12 cases within 400 m, 20 strewn; the cluster's cell is the hottest and significant."""
    rng = np.random.default_rng(77)
    cluster = rng.normal((502300, 4105300), 180, (12, 2))
    strewn = rng.uniform((504000, 4100000), BOUNDS[2:], (20, 2))
    cells = found(cases_of(*(case_at(x, y) for x, y in [*cluster, *strewn])))
    hottest = cells.loc[cells["gi_z"].idxmax()]
    assert hottest.geometry.centroid.distance(Point(502300, 4105300)) < 400
    assert hottest["significant"]
    assert hottest["cases_near"] > 5
    np.testing.assert_allclose(cells["p_value"], norm.sf(cells["gi_z"]))


def test_without_cases_nothing_is_hot() -> None:
    cells = found(cases_of())
    assert not cells["significant"].any()
    assert set(cells["trend"]) == {"none"}
    assert (cells["gi_z"] == 0).all()


def test_a_cell_belongs_to_the_smallest_jurisdiction_that_holds_its_centre() -> None:
    rows = [
        {
            "code": "C",
            "name": "county",
            "parent_code": None,
            "level": "county",
            "geometry": box(499000, 4099000, 506000, 4109000),
        },
        {
            "code": "T",
            "name": "town",
            "parent_code": "C",
            "level": "town",
            "geometry": box(500000, 4100000, 501100, 4101100),
        },
    ]
    register = JURISDICTIONS.frame(rows, CRS)
    cells = hotspots(cases_of(), register, BOUNDS, CRS, AS_OF)
    centres = cells.geometry.centroid
    expected = np.where(
        centres.within(rows[1]["geometry"]), "T", np.where(centres.within(rows[0]["geometry"]), "C", None)
    )
    assert cells["jurisdiction"].tolist() == expected.tolist()


# --- trends ---


def monthly(place: tuple[float, float], counts: list[int]) -> list[dict]:
    """`counts[i]` cases active in the i-th of as many steps of 30 days, the last of which ends on the as-of day."""
    rows = []
    for i, count in enumerate(counts):
        day = pd.Timestamp(AS_OF) - pd.Timedelta(days=30 * (len(counts) - 1 - i) + 10)
        seen = f"{day:%Y-%m-%d}"
        rows.extend(case_at(place[0] + k, place[1], 0.9, seen, seen) for k in range(count))
    return rows


@pytest.mark.parametrize(
    ("counts", "trend"),
    [
        ([3] * 10, "persistent"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "intensifying"),
        ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], "diminishing"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 3], "new"),
        ([3, 0, 0, 3, 0, 0, 3, 0, 0, 0], "sporadic"),
        ([0] * 10, "none"),
    ],
)
def test_trends_are_named_as_defined(counts: list[int], trend: str) -> None:
    # a case at the far end holds the time axis open
    anchor = case_at(507900, 4107900, 0.2, "2026-01-14", "2026-01-14")
    cells = found(cases_of(anchor, *monthly((502125, 4104125), counts)))
    here = cells[cells.contains(Point(502125, 4104125))]
    assert here["trend"].tolist() == [trend]


def run_on(day: pd.Timestamp, place: tuple[float, float], count: int) -> tuple[date, gpd.GeoDataFrame]:
    """A run of that day which found `count` cases at a place, and one at the far end."""
    rows = [case_at(place[0] + k, place[1], 0.9) for k in range(count)]
    return day.date(), cases_of(case_at(507900, 4107900, 0.2), *rows)


@pytest.mark.parametrize(
    ("counts", "trend"),
    [
        ([3] * 10, "persistent"),
        ([3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "intensifying"),
        ([12, 11, 10, 9, 8, 7, 6, 5, 4, 3], "diminishing"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 3], "new"),
        ([3, 0, 0, 3, 0, 0, 3, 0, 0, 0], "sporadic"),
        ([0] * 10, "none"),
    ],
)
def test_trends_over_runs_are_named_as_defined(counts: list[int], trend: str) -> None:
    """Every case has the same dates of evidence: only the runs tell the trends apart."""
    place = (502125, 4104125)
    days = [pd.Timestamp(AS_OF) - pd.Timedelta(days=31 * (len(counts) - 1 - i)) for i in range(len(counts))]
    runs = [run_on(day, place, count) for day, count in zip(days, counts, strict=True)]
    cells = hotspots(runs[-1][1], None, BOUNDS, CRS, AS_OF, earlier=runs[:-1])
    assert set(cells["trend_over"]) == {"runs"}
    assert cells[cells.contains(Point(place))]["trend"].tolist() == [trend]
    # too few runs: the evidence, all of it in the last step, says new or none
    few = hotspots(runs[-1][1], None, BOUNDS, CRS, AS_OF, earlier=runs[-3:-1])
    assert set(few["trend_over"]) == {"evidence"}


def test_of_nightly_runs_one_a_step_is_taken() -> None:
    nights = [AS_OF - timedelta(days=back) for back in range(100)]
    assert runs_wanted(nights, AS_OF) == [AS_OF - timedelta(days=back) for back in (90, 60, 30)]
    assert runs_wanted([date(2020, 1, 1)], AS_OF) == []
    assert runs_wanted([], AS_OF) == []


# --- a part of the district ---


def test_gi_star_of_a_county_equals_esda_on_its_cells_alone() -> None:
    """A ragged county: neighbours across its border are no neighbours, and count in no mean."""
    from esda.getisord import G_Local
    from libpysal.weights import W, fill_diagonal

    rng = np.random.default_rng(4)
    rows, columns = 12, 15
    values = rng.gamma(0.5, 1.0, (rows, columns))
    ground = np.hypot(*(np.mgrid[:rows, :columns] - np.array([6, 5]).reshape(2, 1, 1))) < 5.3
    inside = [(int(r), int(c)) for r, c in zip(*np.nonzero(ground), strict=True)]
    neighbours = {
        (r, c): [(i, j) for i in (r - 1, r, r + 1) for j in (c - 1, c, c + 1) if (i, j) != (r, c) and (i, j) in inside]
        for r, c in inside
    }
    weights = fill_diagonal(W(neighbours, id_order=inside, silence_warnings=True), 1.0)
    theirs = G_Local(values[ground], weights, transform="B", star=True, permutations=0)
    ours = gi_star(values, 1, ground)
    np.testing.assert_allclose(ours[ground], theirs.Zs, rtol=1e-9)
    assert (ours[~ground] == 0).all()


def test_only_the_cells_of_a_county_are_there_and_tests() -> None:
    county = box(500000, 4100000, 503000, 4108000)
    outside = [case_at(503100, 4104000 + 50 * i, 0.9) for i in range(6)]
    cells = hotspots(cases_of(case_at(502100, 4104100)), None, BOUNDS, CRS, AS_OF, within=county)
    assert cells.union_all().equals(county)
    with_a_case = hotspots(cases_of(*outside), None, BOUNDS, CRS, AS_OF, within=county)
    assert len(with_a_case) > len(cells)  # a cell with the county's own case belongs to it
    assert hotspots(cases_of(), None, BOUNDS, CRS, AS_OF, within=Point()).empty


@pytest.mark.parametrize(
    ("crs", "bounds", "equal"),
    [
        ("EPSG:4546", (500000, 4100000, 635000, 4200000), True),
        ("EPSG:3035", (4000000, 2000000, 5000000, 3000000), True),
        ("EPSG:3857", (12300000, 4200000, 12700000, 4700000), False),
    ],
)
def test_how_equal_the_cells_are_against_geodesic_areas(crs: str, bounds: tuple, equal: bool) -> None:
    geod = Geod(ellps="GRS80" if crs != "EPSG:3857" else "WGS84")
    areas = []
    for x in np.linspace(bounds[0], bounds[2], 21):
        for y in np.linspace(bounds[1], bounds[3], 21):
            cell = gpd.GeoSeries([box(x - 500, y - 500, x + 500, y + 500)], crs=crs).to_crs("EPSG:4326").iloc[0]
            areas.append(abs(geod.geometry_area_perimeter(cell)[0]))
    spread = area_spread(bounds, crs)
    assert spread == pytest.approx(max(areas) / min(areas) - 1, rel=0.02, abs=2e-5)
    assert (spread < 0.001) == equal


# --- scale ---


def test_a_million_cells_take_seconds() -> None:
    rng = np.random.default_rng(1)
    rows = 4000
    first = pd.Timestamp("2024-11-10") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    cases = gpd.GeoDataFrame(
        {
            "probability": rng.uniform(0.2, 1, rows),
            "status": "open",
            "first_seen": first,
            "last_seen": first + pd.Timedelta(days=90),
        },
        geometry=gpd.points_from_xy(rng.uniform(0, 1e6, rows), rng.uniform(0, 1e6, rows)),
        crs=CRS,
    )
    started = time.monotonic()
    counties = JURISDICTIONS.frame(
        [
            {
                "code": f"{i:03d}",
                "name": "",
                "parent_code": None,
                "level": "county",
                "geometry": Point(5e4 + 1e5 * (i % 10), 5e4 + 1e5 * (i // 10)).buffer(5e4, cap_style="square"),
            }
            for i in range(100)
        ],
        CRS,
    )
    cells = hotspots(cases, counties, (0, 0, 1e6, 1e6), CRS, AS_OF, HotspotParameters(cell_m=1000))
    assert cells["jurisdiction"].notna().all()
    assert len(cells) == 1_000_000
    assert time.monotonic() - started < 60


# --- coverage ---


def raster(values: np.ndarray, side: float, west: float = 500000, north: float = 4101000) -> xr.DataArray:
    grid = GeoBox(values.shape, Affine(side, 0, west, 0, -side, north), CRS)
    return wrap_xr(values.astype("float32"), grid, nodata=float("nan"))


SMALL = (500000.0, 4100000.0, 501000.0, 4101000.0)


def test_the_best_sensor_counts_and_blind_needs_all_of_them() -> None:
    fine = np.full((100, 100), 400.0)
    fine[:, :60] = np.nan
    coarse = np.full((10, 10), 9000.0)
    coarse[:, : 30 // 10] = np.nan
    seen = smallest_site([raster(fine, 10), raster(coarse, 100)], SMALL, CRS)
    assert seen.shape == (10, 10)
    assert np.isnan(seen.values[:, :3]).all()
    np.testing.assert_allclose(seen.values[:, 3:6], 9000)
    np.testing.assert_allclose(seen.values[:, 6:], 400)


def test_a_cell_seen_in_small_part_is_blind() -> None:
    values = np.full((100, 100), np.nan)
    values[:20, :50] = 700.0  # of the north-western 500 m cell 40 % is seen
    values[:, 50:] = 700.0
    seen = smallest_site([raster(values, 10)], SMALL, CRS, CoverageParameters(resolution_m=500))
    assert np.isnan(seen.values[:, 0]).all()
    np.testing.assert_allclose(seen.values[:, 1], 700)


def test_maps_of_another_projection_and_extent_are_brought_over() -> None:
    part = raster(np.full((50, 50), 500.0), 10).odc.reproject("EPSG:32649", resolution=10)
    seen = smallest_site([part], SMALL, CRS)
    assert seen.odc.geobox.crs.epsg == 4546
    # half of each side is covered: a quarter of the ground
    assert np.isfinite(seen.values).mean() == pytest.approx(0.25, abs=0.05)
    assert np.isnan(seen.values[-5:]).all()


def test_no_map_means_blind_everywhere() -> None:
    seen = smallest_site([], SMALL, CRS)
    assert seen.size > 0
    assert np.isnan(seen.values).all()
