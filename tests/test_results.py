"""Results read back: a finished run as it was written, and the earlier runs a trend needs."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from illegalmining.atomic import write_bytes
from illegalmining.errors import InputError
from illegalmining.publish.results import earlier_cases, read_run
from illegalmining.publish.tables import publish_cases, publish_coverage, publish_detections, publish_hotspots
from sample_results import AS_OF, CRS, coverage, ground, page_arguments, sample


def a_run(out: Path, cases: gpd.GeoDataFrame) -> None:
    """A finished run as far as a trend reads it."""
    publish_cases(cases, out)
    (out / "run.json").write_text("{}")


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    found = page_arguments("zh")
    picture, bounds = ground()
    publish_cases(found["cases"], tmp_path)
    publish_detections(found["detections"], tmp_path)
    publish_hotspots(found["hotspots"], tmp_path)
    publish_coverage(found["coverage"], tmp_path)
    write_bytes(tmp_path / "ground.webp", picture)
    (tmp_path / "run.json").write_text(json.dumps({"ground_bounds": bounds, "version": "1"}))
    run = read_run(tmp_path)
    for name in ("cases", "detections", "hotspots"):
        assert getattr(run, name).equals(found[name].reset_index(drop=True)), name
    np.testing.assert_array_equal(run.coverage.values, coverage().values)
    assert run.coverage.odc.geobox == coverage().odc.geobox
    assert run.ground == (picture, bounds)


def test_a_run_that_did_not_finish_is_none(tmp_path: Path) -> None:
    publish_cases(sample()["cases"], tmp_path)
    with pytest.raises(InputError, match="no finished run"):
        read_run(tmp_path)


def test_the_earlier_runs_of_a_trend(tmp_path: Path) -> None:
    """One a month, finished, before today; what else lies there is left alone."""
    cases = sample()["cases"]
    for number, day in enumerate(("2026-08-01", "2026-09-02", "2026-09-03", "2026-10-31", "2026-12-01"), start=1):
        a_run(tmp_path / day, cases.iloc[:number])
    a_run(tmp_path / "2026-99-99", cases)
    a_run(tmp_path / "copy of 2026-08-01", cases)
    publish_cases(cases, tmp_path / "2026-07-01")  # broken off
    found = earlier_cases(tmp_path / "2026-10-31", AS_OF, CRS)
    assert [(day, len(rows)) for day, rows in found] == [(date(2026, 8, 1), 1), (date(2026, 9, 3), 3)]
    moved = earlier_cases(tmp_path / "2026-10-31", AS_OF, "EPSG:32649")
    assert moved[0][1].crs.to_epsg() == 32649
    assert earlier_cases(tmp_path / "nowhere" / "2026-10-31", AS_OF, CRS) == []
