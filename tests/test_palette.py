"""The map's colours as people who see two of three primaries see them, and as a photocopier does."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from illegalmining.publish.style import palette

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# sRGB primaries to XYZ, D65.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    """`#RRGGBB` as linear light."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear light."""
    share = TO_XYZ @ np.clip(light, 0, 1) / WHITE
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: str, other: str, sight: str) -> float:
    """How different two colours look (CIE 1976; 2 is just seen, 10 plain at a glance)."""
    matrix = np.array(SIGHT[sight])
    return float(np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))))


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of luminances."""
    light = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (light[0] + 0.05) / (light[1] + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
def test_kinds_are_told_apart_by_everyone(sight: str) -> None:
    kinds = palette()["kinds"]
    for one, other in combinations(kinds, 2):
        assert apart(kinds[one]["colour"], kinds[other]["colour"], sight) > 10, (one, other)


def test_colour_is_never_the_only_sign() -> None:
    kinds, shapes = palette()["kinds"], palette()["shapes"]
    assert len({look["shape"] for look in kinds.values()}) == len(kinds)
    assert {look["shape"] for look in kinds.values()} <= set(shapes)


def test_numbers_on_symbols_can_be_read() -> None:
    for kind, look in palette()["kinds"].items():
        assert contrast(look["colour"], look["ink"]) >= 4.5, kind


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("ramp", ["hotspots", "coverage"])
def test_ramps_keep_their_order_for_everyone(ramp: str, sight: str) -> None:
    lightness = [lab(np.array(SIGHT[sight]) @ linear(one["colour"]))[0] for one in palette()[ramp]]
    steps = np.diff(lightness)
    assert (steps < -8).all(), lightness
