"""The kernels that regions are drawn with against what they are defined to do, place by place and date by date."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers

from illegalmining.detect.change import Maps
from illegalmining.detect.moved_seasons import before_kernel
from illegalmining.detect.regions import RegionParameters, labelled

PIXEL_M2 = 100.0
PARAMETERS = RegionParameters(smallest_m2=300.0, most=6.0)


def maps_with(evidence: np.ndarray, dates: np.ndarray) -> Maps:
    blank = dict.fromkeys(Maps.__dataclass_fields__, np.zeros(evidence.shape, np.float32))
    return Maps(**{**blank, "evidence": evidence.astype(np.float32), "dates": dates.astype(np.int32)})


def regions_by_definition(maps: Maps) -> list[frozenset[tuple[int, int]]]:
    """Regions as sets of pixels, by going from neighbour to neighbour."""
    height, width = maps.evidence.shape

    def around(y: int, x: int) -> list[tuple[int, int]]:
        near = [(y + down, x + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        return [(row, column) for row, column in near if 0 <= row < height and 0 <= column < width]

    def judged(at: tuple[int, int]) -> bool:
        return bool(np.isfinite(maps.evidence[at]))

    def nats(at: tuple[int, int]) -> float:
        supported = judged(at) and maps.dates[at] >= PARAMETERS.fewest_dates
        return min(float(maps.evidence[at]), PARAMETERS.most) if supported else 0.0

    def mean(at: tuple[int, int]) -> float:
        known = [nats(one) or -PARAMETERS.quiet for one in around(*at) if judged(one)]
        return sum(known) / len(known)

    everywhere = [(y, x) for y in range(height) for x in range(width)]
    joining = {at for at in everywhere if nats(at) >= PARAMETERS.grow}
    enclosed = {at for at in everywhere if judged(at) and len(joining & set(around(*at))) >= 6}
    left, found = {at for at in joining | enclosed if mean(at) > 0}, []
    while left:
        region, edge = set(), {min(left)}
        while edge:
            region |= edge
            edge = {one for at in edge for one in around(*at) if one in left} - region
        left -= region
        if len(region) * PIXEL_M2 >= PARAMETERS.smallest_m2 and any(mean(at) >= PARAMETERS.seed for at in region):
            found.append(frozenset(region))
    return found


@settings(max_examples=60, deadline=None)
@given(integers(0, 10**6))
def test_regions_are_made_of_the_pixels_that_their_definition_names(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 16, 2))
    evidence = np.where(generator.random(shape) < 0.5, 0, generator.integers(0, 20, shape))
    evidence = np.where(generator.random(shape) < 0.1, np.nan, evidence)
    maps = maps_with(evidence, generator.integers(2, 9, shape))
    label, many = labelled(maps, PIXEL_M2, PARAMETERS)
    drawn = [frozenset(map(tuple, np.argwhere(label == number).tolist())) for number in range(1, many + 1)]
    assert drawn == regions_by_definition(maps)
    assert label.max(initial=0) == many


@pytest.mark.parametrize(
    ("then", "lead", "counts"),
    [
        (19710, 0, True),  # ten days later in the year, as far as `around` goes
        (19690, 0, True),
        (19711, 0, False),
        (19711, 4, True),  # a field that is four days ahead looks as it did seven days on
        (19710 - 2 * 365, 0, False),  # two years of 365.2425 days before, half a day too far
        (19709 - 2 * 365, 0, True),
        (19690 - 4 * 365, 0, True),
        (19688 - 4 * 365, 0, False),
        (19700 + 180, 180, True),
        (19700 - 180, 180, True),  # half a year before is half a year on, and five days
        (19700 - 176, 180, True),
        (19700 - 174, 180, False),
    ],
)
def test_a_look_of_the_history_counts_for_the_days_of_the_year_around_it(then: int, lead: int, counts: bool) -> None:
    leads = np.arange(-180, 181.0, 4.0)
    own, known, weights = np.array([[0.5, 1.0]]), np.array([[0.3, 1.2]]), np.array([10.0, 5.0])
    away = np.full((len(leads), 1), 9.0)
    before_kernel(own, np.array([19700.0]), known, np.array([float(then)]), leads, weights, 10.0, away)
    lowered = away[:, 0] < 9.0
    assert lowered[np.flatnonzero(leads == lead)[0]] == counts
    np.testing.assert_allclose(away[lowered], 0.2**2 * 10 + 0.2**2 * 5)
    assert lowered.any()
