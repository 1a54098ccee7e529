"""Inputs in an object store (moto's server on loopback): the bytes of files on disk, and no secret anywhere."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bad_input import command
from illegalmining import storage
from illegalmining.district import read_district
from illegalmining.errors import ConfigurationError, InputError
from illegalmining.imagery.open import dated_files, open_source, stored_inputs
from illegalmining.power.readings import read_profiles
from illegalmining.secrets import Redacting, redacted
from wide_district import FEW, write_wide

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEBYaDExampleSessionToken"
SIDE, AS_OF = 256, date(2026, 5, 31)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a store."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store, empty, known to the environment alone."""
    import fsspec

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    if system.exists("province"):
        system.rm("province", recursive=True)
    system.mkdir("province")
    return system


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A district whose images lie on disk; the folder of its `district.toml`."""
    return write_wide(tmp_path_factory.mktemp("store") / "d", SIDE, AS_OF, 25, FEW).parent


def moved(here: Path, store: Any, folder: Path, kind: str = "stack") -> Path:
    """The same district with its images in the store."""
    folder.mkdir()
    shutil.copy(here / "counties.parquet", folder)
    text = (here / "district.toml").read_text()
    for file in sorted((here / "s2").glob("*.tif")):
        store.put(str(file), f"province/s2/{file.name}")
    if kind == "stac":
        items = []
        for file in sorted((here / "s2").glob("*.tif")):
            day = f"{file.stem[:4]}-{file.stem[4:6]}-{file.stem[6:]}"
            item = {"type": "Feature", "stac_version": "1.0.0", "id": file.stem, "geometry": None, "links": []}
            item |= {"properties": {"datetime": f"{day}T03:00:00Z"}, "assets": {"data": {"href": f"s2/{file.name}"}}}
            items.append(item)
        store.pipe("province/items.json", json.dumps({"type": "FeatureCollection", "features": items[::-1]}).encode())
        text = text.replace('"stack"', '"stac"').replace("s2/*.tif", "s3://province/items.json")
    (folder / "district.toml").write_text(text.replace('"s2/*.tif"', '"s3://province/s2/*.tif"'))
    return folder / "district.toml"


def published(path: Path) -> dict[str, str]:
    """Digest of every output that does not name its inputs."""
    out = read_district(path).out
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.iterdir())
        if file.is_file() and file.name != "run.json"
    }


def nowhere(folder: Path, *secrets: str) -> None:
    """Assert that no file below holds a secret."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], file


@pytest.mark.parametrize("kind", ["stack", "stac"])
def test_images_in_the_store_give_the_bytes_of_images_on_disk(
    kind: str, here: Path, store: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(here, tmp_path / "here")
    local, remote = tmp_path / "here" / "district.toml", moved(here, store, tmp_path / "there", kind)
    with caplog.at_level(logging.DEBUG):
        for path in (local, remote):
            said = command("run", str(path), "--quiet", "--only", "surface")
            assert said.code == 0, said.error
    assert published(local) == published(remote)
    record = json.loads((read_district(remote).out / "run.json").read_text())
    assert sum(name.startswith("s3://province/") for name in record["inputs"]) == len(list((here / "s2").glob("*.tif")))
    nowhere(tmp_path, SECRET, TOKEN)
    assert SECRET not in said.error


def test_an_object_written_anew_is_noticed_and_an_untouched_one_not_read(
    here: Path, store: Any, tmp_path: Path
) -> None:
    path = moved(here, store, tmp_path / "there")
    district = read_district(path)
    source = district.configuration.imagery[0]
    before, days = stored_inputs(source, district), dated_files(source, district)
    assert stored_inputs(source, district) == before
    first = sorted(before)[0]
    store.pipe(first.removeprefix("s3://"), store.cat_file(first.removeprefix("s3://")) + b"\0")
    after = stored_inputs(source, district)
    assert [name for name in before if before[name] != after[name]] == [first]
    changed = dated_files(source, district)
    assert [day for day in days if days[day] != changed[day]] == [min(days)]


def test_a_cube_in_the_store_is_the_cube_on_disk(store: Any, here: Path, tmp_path: Path) -> None:
    district = read_district(here / "district.toml")
    cube = open_source(district.configuration.imagery[0], district, [])[["red", "nir"]].isel(time=slice(0, 3)).load()
    bands = {name: (cube[name].dims, cube[name].values) for name in ("red", "nir")}
    plain = xr.Dataset(bands, coords={name: cube[name].values for name in ("time", "y", "x")})
    plain.rio.write_crs(district.crs).chunk({"time": 1}).to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    store.put(str(tmp_path / "cube.zarr"), "province/cube.zarr", recursive=True)
    text = (here / "district.toml").read_text().replace('"stack"', '"cube"')
    found = {}
    for name, href in (("here", str(tmp_path / "cube.zarr")), ("there", "s3://province/cube.zarr")):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "district.toml"
        path.write_text(text.replace('"s2/*.tif"', f'"{href}"'))
        (tmp_path / name / "counties.parquet").write_bytes((here / "counties.parquet").read_bytes())
        one = read_district(path)
        source = one.configuration.imagery[0]
        found[name] = open_source(source, one, []).load()
        files = dated_files(source, one)
        assert len(files) == 3
        assert all("0.0" in file for of_day in files.values() for file in of_day)
    xr.testing.assert_identical(found["here"], found["there"])
    assert np.isfinite(found["there"]["red"].values).all()
    inputs = stored_inputs(source, one)
    assert any(name.endswith("red/0.0.0") for name in inputs)


def test_readings_in_the_store_are_the_readings_on_disk(store: Any, tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=24 * 40, freq="h", tz="Asia/Shanghai")
    random = np.random.default_rng(3)
    for number in range(2):
        rows = {"meter_id": f"m{number}", "time": times, "kwh": random.uniform(5, 50, len(times)).round(2)}
        frame = pd.DataFrame(rows)
        frame.to_parquet(tmp_path / f"r{number}.parquet", index=False)
        frame.assign(time=frame["time"].astype(str)).to_csv(tmp_path / f"r{number}.csv", index=False)
    for file in tmp_path.glob("r*"):
        store.put(str(file), f"province/power/{file.name}")
    for kind in ("parquet", "csv"):
        told = [
            read_profiles(pattern, "Asia/Shanghai", date(2026, 1, 1), date(2026, 2, 28), [], None)
            for pattern in (str(tmp_path / f"*.{kind}"), f"s3://province/power/*.{kind}")
        ]
        assert len(told[0]) == 80
        pd.testing.assert_frame_equal(told[0], told[1])


def test_a_store_that_lets_no_one_in_is_one_clean_message(
    here: Path, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moved(here, store, tmp_path / "there")
    text = path.read_text()
    path.write_text(text.replace("s3://province/s2", "s3://nobodys-bucket/s2"))
    said = command("check", str(path))
    assert said.code == 3
    rows = pd.read_csv(read_district(path).out / "quarantine.csv")
    assert rows["why"].str.contains("nobodys-bucket").any()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(InputError, match="credentials in the environment") as stop:
        storage.asked("s3://province/s2/x", lambda system, at: system.cat_file(at))
    assert SECRET not in str(stop.value)
    nowhere(path.parent, SECRET, TOKEN)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"s2/*.tif"', '"s3://user:hunter22@bucket/x"'), "must hold no credentials"),
        (('"s2/*.tif"', '"https://host/x?X-Amz-Signature=deadbeef"'), "must hold no credentials"),
        (('"counties.parquet"', '"s3://bucket/counties.parquet"'), "must be a file on this machine"),
    ],
)
def test_what_does_not_belong_in_the_configuration_is_refused(
    change: tuple[str, str], says: str, here: Path, tmp_path: Path
) -> None:
    path = tmp_path / "district.toml"
    path.write_text((here / "district.toml").read_text().replace(*change))
    with pytest.raises(ConfigurationError, match=says) as stop:
        read_district(path)
    assert "hunter22" not in str(stop.value)
    assert "deadbeef" not in str(stop.value)


def test_a_district_in_a_store_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="lies on a file system"):
        read_district("s3://province/district.toml")


def test_no_log_line_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "signed with %s", (SECRET,), None)
    assert Redacting().filter(record)
    assert record.getMessage() == "signed with ***"
    assert redacted("https://u:p@h/a?sig=abc&x=1") == "https://h/a?sig=***&x=1"
    assert redacted(f"a{sqlite3.sqlite_version}b") == f"a{sqlite3.sqlite_version}b"
    assert not re.search("abc", redacted("GET /a?X-Amz-Signature=abc"))
