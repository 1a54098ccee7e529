"""`district.toml`: every fault is named, nothing unknown passes, the grid lies on the bounds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from illegalmining.district import ComputeSection, read_district
from illegalmining.errors import ConfigurationError

GOOD = """
[district]
name = "D"
crs = "EPSG:4546"
bounds = [500000, 4100000, 508000, 4106000]
history_from = 2023-01-01
monitor_from = 2026-01-01
as_of = 2026-10-31
[registers]
jurisdictions = "j.gpkg"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "district.toml"
    path.write_text(text)
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    district = read_district(written(tmp_path, GOOD))
    assert district.name == "D"
    assert district.out == tmp_path / "out" / "2026-10-31"
    assert district.resolve("registers/x.gpkg") == str(tmp_path / "registers/x.gpkg")
    assert district.resolve("https://example.org/stac") == "https://example.org/stac"
    assert district.configuration.compute.workers == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "D"', 'nmae = "D"', r"district\.nmae: unknown key.*|district\.name: missing"),
        ("EPSG:4546", "EPSG:4326", "must be projected with metres"),
        ("EPSG:4546", "EPSG:0", "not a coordinate reference system"),
        ("[500000, 4100000, 508000, 4106000]", "[508000, 4100000, 500000, 4106000]", "min < max"),
        ("as_of = 2026-10-31", "as_of = 2025-10-31", "history_from < monitor_from <= as_of"),
        ('jurisdictions = "j.gpkg"', "", r"registers\.jurisdictions: missing"),
        ("[registers]", "[power]\nreadings = 'x'\ntimezone = 'Mars/Base'\n[registers]", "IANA time zone"),
        ("[registers]", "[registers", "not valid TOML"),
    ],
)
def test_every_fault_is_named_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_district(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('name = "D"', 'name = ""').replace("EPSG:4546", "nonsense")
    with pytest.raises(ConfigurationError, match=r"district\.name.*district\.crs"):
        read_district(written(tmp_path, text))


def test_source_names_must_differ(tmp_path: Path) -> None:
    source = '[[imagery]]\nname = "a"\nsensor = "optical"\nsource = "stack"\nhref = "*.tif"\n'
    with pytest.raises(ConfigurationError, match="found twice: a"):
        read_district(written(tmp_path, GOOD + source + source))


def test_the_grid_starts_at_the_bounds_corner_and_is_north_up(tmp_path: Path) -> None:
    grid = read_district(written(tmp_path, GOOD.replace("500000, 41", "500003.5, 41"))).geobox(10)
    assert grid.shape == (600, 800)
    assert (grid.affine.a, grid.affine.e) == (10, -10)
    assert (grid.boundingbox.left, grid.boundingbox.bottom) == (500003.5, 4100000)


def test_another_day_changes_the_day_alone(tmp_path: Path) -> None:
    district = read_district(written(tmp_path, GOOD))
    earlier = district.at(date(2026, 3, 1))
    assert earlier.out.name == "2026-03-01"
    assert earlier.state == district.state
    with pytest.raises(ConfigurationError, match="choose a later day"):
        district.at(date(2025, 12, 31))


@pytest.mark.parametrize(("written", "megabytes"), [("4GB", 4000), ("512MiB", 537), ("1.5 TB", 1_500_000), ("1KB", 1)])
def test_memory_is_read_with_its_unit(written: str, megabytes: int) -> None:
    assert ComputeSection(memory=written).megabytes == megabytes
