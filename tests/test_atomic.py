"""A reader sees a file whole or not at all; finished detections come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from shapely.geometry import box

from illegalmining.atomic import atomic_file, atomic_folder, write_bytes
from illegalmining.checkpoint import Watched, key_of, load, save
from illegalmining.detect.findings import Findings, Remark, detection, detections
from illegalmining.journal import digest, digests


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as partial:
        partial.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_its_place_at_once(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    with pytest.raises(RuntimeError), atomic_folder(target) as partial:
        (partial / "x").write_text("half")
        raise RuntimeError
    assert not target.exists()
    for content in ("one", "two"):
        with atomic_folder(target) as partial:
            (partial / "x").write_text(content)
        assert (target / "x").read_text() == content
    assert list(tmp_path.iterdir()) == [target]


def test_findings_come_back_as_they_were(tmp_path: Path) -> None:
    row = detection("surface", "2026-01-02", "2026-02-03", 3.25, box(0, 0, 10, 10), area_m2=100, attributes={"a": "煤"})
    grid = {"y": [15.0, 5.0], "x": [5.0, 15.0]}
    coverage = xr.DataArray(np.array([[1, np.nan], [3, 4]], "float32"), coords=grid, dims=("y", "x"))
    watched = Watched(
        Findings(detections([row], "EPSG:4546"), coverage, (Remark("no_status", {}),)),
        {"detector": "surface", "name": "s2"},
        [{"file": "x"}],
        (b"webp", (1.0, 2.0, 3.0, 4.0)),
    )
    save(tmp_path / "key", watched)
    again = load(tmp_path / "key")
    assert again is not None
    assert again.findings.detections.equals(watched.findings.detections)
    assert again.findings.detections.crs == watched.findings.detections.crs
    xr.testing.assert_equal(again.findings.smallest_site_m2, coverage)
    assert (again.about, again.quarantine, again.picture) == (watched.about, watched.quarantine, watched.picture)
    assert again.findings.remarks == (Remark("no_status", {}),)


def test_nothing_whole_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "detections.parquet").write_bytes(b"half")
    assert load(tmp_path / "key") is None


def test_keys_follow_content_and_digests_are_sha256(tmp_path: Path) -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1, "b": 3})
    path = write_bytes(tmp_path / "abc", b"abc")
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert digest(path) == published
    assert digests([path, path], tmp_path) == {"abc": published}
