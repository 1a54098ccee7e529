"""A county's package: nothing of its neighbours in it, opened by its recipient alone, whole or not at all."""

from __future__ import annotations

import filecmp
import io
import json
import re
import shutil
import sqlite3
import stat
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyrage
import pytest
import shapely
from typer.testing import CliRunner

from illegalmining.cli import app
from illegalmining.errors import ConfigurationError, InputError
from illegalmining.publish.accesslog import broken_at
from illegalmining.publish.content import MapContent, family, within
from illegalmining.publish.keys import fingerprint, identity_of, new_identity, sender_of, sign, signing_key
from illegalmining.publish.opening import PackageError, open_package
from illegalmining.publish.package import Recipient, plain_name, seal, write_package
from illegalmining.tables import JURISDICTIONS
from sample_results import AS_OF, CRS, HOSTILE, page_arguments

WEST, EAST = "141001", "141002"
ME = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def whole() -> MapContent:
    return MapContent(**page_arguments("zh"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return signing_key(tmp_path_factory.mktemp("office") / "keys")


@pytest.fixture(scope="module")
def made(whole: MapContent, key: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """West's package in its folder, and sealed beside it; no test changes them."""
    folder = tmp_path_factory.mktemp("packages") / WEST
    write_package(folder, within(whole, WEST), Recipient(WEST, HOSTILE, str(ME.to_public())), key)
    seal(folder, str(ME.to_public()))
    return folder


@pytest.fixture
def package(made: Path, tmp_path: Path) -> Path:
    """A copy of West's folder and sealed file in an inbox of its own; the folder."""
    shutil.copytree(made, tmp_path / "inbox" / WEST)
    shutil.copy(made.with_suffix(".age"), tmp_path / "inbox")
    return tmp_path / "inbox" / WEST


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text(f"# created: today\n# public key: {ME.to_public()}\n{ME}\n", "utf-8")
    return path


def opened(package: Path, key_file: Path, **more: Any) -> Any:
    return open_package(package.with_suffix(".age"), identity=str(key_file), **more)


def sealed_with(package: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The sealed file with other files in it, as one who has the recipient's public key could make it."""
    files = {path.name: path.read_bytes() for path in sorted(package.iterdir())}
    change(files)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    package.with_suffix(".age").write_bytes(pyrage.encrypt(stream.getvalue(), [ME.to_public()]))
    return package


def log_of(package: Path) -> list[dict[str, Any]]:
    path = package.parent / "access.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


# --- what is in it ---


def test_it_holds_what_the_contract_names_for_its_owners_eyes(made: Path) -> None:
    names = {path.name for path in made.iterdir()}
    assert names == {"hotspots.html", "hotspots.pdf", "hotspots.gpkg", "cases.csv", "manifest.json", "manifest.sig"}
    for path in [*made.iterdir(), made.with_suffix(".age")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {"cases", "hotspots"} <= set(dict(pyogrio.list_layers(made / "hotspots.gpkg")))
    with closing(sqlite3.connect(made / "hotspots.gpkg")) as database:
        styled = database.execute("SELECT f_table_name, useAsDefault FROM layer_styles ORDER BY 1").fetchall()
    assert styled == [("cases", 1), ("hotspots", 1)]


def test_every_case_of_the_county_is_in_every_format(made: Path, whole: MapContent) -> None:
    ours = set(whole.cases.loc[whole.cases["jurisdiction"] == WEST, "case_id"])
    assert len(ours) > 3
    assert set(pd.read_csv(made / "cases.csv")["case_id"]) == ours
    assert set(pyogrio.read_dataframe(made / "hotspots.gpkg", layer="cases")["case_id"]) == ours
    page = (made / "hotspots.html").read_text("utf-8")
    told = subprocess.run(["pdftotext", "-raw", made / "hotspots.pdf", "-"], capture_output=True, check=True).stdout
    for case_id in ours:
        assert case_id in page
        assert case_id in told.decode().replace("\u200b", "")


def laid_bare(path: Path) -> bytes:
    """A file's bytes, and what is compressed in it."""
    content = path.read_bytes()
    if path.suffix == ".pmtiles":
        starts = [found.start() for found in re.finditer(rb"\x1f\x8b\x08", content)]
        return b"\n".join([content, *(unpacked for at in starts if (unpacked := gunzipped(content[at:])))])
    if path.suffix != ".pdf":
        return content
    parts = [content]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
        try:
            parts.append(zlib.decompressobj().decompress(stream))
        except zlib.error:
            continue
    told = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, check=True).stdout
    return b"\n".join([*parts, told])


def gunzipped(content: bytes) -> bytes:
    """What is packed at the beginning of these bytes; nothing where they only look like it."""
    try:
        return zlib.decompressobj(31).decompress(content)
    except zlib.error:
        return b""


def test_the_bytes_hold_no_neighbours_ids_or_coordinates(
    whole: MapContent, key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids as text; coordinates as text in both systems, as the doubles of a GeoPackage or tile, as the page packs them.

    With the tiles of a county of thousands.
    """
    monkeypatch.setattr("illegalmining.publish.casetiles.wanted", lambda *_: True)
    made = tmp_path / WEST
    write_package(made, within(whole, WEST), Recipient(WEST, HOSTILE, str(ME.to_public())), key)
    assert "cases.pmtiles" in json.loads((made / "manifest.json").read_text("utf-8"))["files"]
    theirs = whole.cases[whole.cases["jurisdiction"] == EAST]
    ours = whole.cases[whole.cases["jurisdiction"] == WEST]
    named = {term["detection_id"] for evidence in theirs["evidence"] for term in json.loads(evidence)}
    words = [*theirs["case_id"], *named, EAST, "东山县", "C1400002015112", "Jinshan No. 2"]
    own_mines = whole.mines.loc[whole.mines.geometry.x < 504000, "mine_id"]
    words += [*(set(whole.mines["mine_id"]) - set(own_mines) - set(ours["mine_id"].dropna()))]
    centre = theirs.geometry.representative_point()
    degrees = centre.to_crs("EPSG:4326")
    words += [f"{x:.1f}" for x in centre.x] + [f"{y:.1f}" for y in centre.y]
    words += [f"{lon:.4f}" for lon in degrees.x]
    corners = shapely.get_coordinates(theirs.geometry.to_numpy())
    doubles = [struct.pack("<d", x) for x in [*corners[:, 0], *degrees.x.round(7), *degrees.y.round(7)]]
    for path in made.iterdir():
        bare = laid_bare(path)
        assert [word for word in words if word.encode() in bare] == [], path.name
        assert not any(double in bare for double in doubles), path.name
    # the same search finds what is there
    assert ours["case_id"].iloc[0].encode() in laid_bare(made / "hotspots.html")
    assert ours["case_id"].iloc[0].encode() in laid_bare(made / "hotspots.pdf").replace("\u200b".encode(), b"")
    tiles = laid_bare(made / "cases.pmtiles")
    assert all(case_id.encode() in tiles for case_id in ours["case_id"])
    own_degrees = ours.geometry.representative_point().to_crs("EPSG:4326")
    assert all(struct.pack("<d", round(x, 7)) in tiles for x in own_degrees.x)
    tiled = pyogrio.read_dataframe(made / "cases.pmtiles").to_crs(CRS).geometry
    assert (tiled.distance(ours.union_all()) < 1.0).all()
    own = shapely.get_coordinates(ours.geometry.to_numpy())[:, 0]
    assert all(struct.pack("<d", x) in (made / "hotspots.gpkg").read_bytes() for x in own)


def test_every_shape_of_the_page_lies_in_the_county(made: Path, whole: MapContent) -> None:
    page = (made / "hotspots.html").read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))
    ours = whole.cases[whole.cases["jurisdiction"] == WEST].to_crs("EPSG:4326").total_bounds
    county = whole.jurisdictions[whole.jurisdictions["code"] == WEST].to_crs("EPSG:4326").total_bounds
    east = max(ours[2], county[2]) + 0.0006  # half a cell of the coverage
    packed = [row["shape"] for name in ("licences", "cells", "jurisdictions") for row in data[name]]
    packed += data["blind"]
    assert len(packed) > 10
    for polygons in packed:
        for rings in polygons:
            for ring in rings:
                lon = np.cumsum(ring[0::2]) / 1e6
                assert lon.max() < east
    cells = pyogrio.read_dataframe(made / "hotspots.gpkg", layer="hotspots")
    assert set(cells["jurisdiction"]) == {WEST}
    assert cells.geometry.centroid.x.max() < 504000
    assert data["background"]["bounds"][1][1] < east
    assert data["coverageImage"]["bounds"][1][1] < east + 0.001


def test_what_happens_across_the_border_changes_no_byte(whole: MapContent, key: Any, tmp_path: Path) -> None:
    """East's cases, registers, coverage and earlier runs may be anything: West's package is the same."""
    ours = whole.cases["jurisdiction"] == WEST
    crowd = pd.concat([whole.cases[~ours].iloc[[0]]] * 9, ignore_index=True)
    crowd["case_id"] = [f"crowd-{i}" for i in range(9)]
    # hard by the border, where cells of both counties are neighbours
    crowd["geometry"] = [shapely.Point(504060 + i, 4104000 + 400 * i) for i in range(9)]
    crowd = gpd.GeoDataFrame(crowd, crs=CRS)
    changed = replace(
        whole,
        cases=gpd.GeoDataFrame(pd.concat([whole.cases[ours], crowd], ignore_index=True), crs=CRS),
        concessions=whole.concessions.iloc[:1],
        mines=whole.mines[whole.mines.geometry.x < 504000],
        coverage=whole.coverage.where(whole.coverage["x"] < 504000, 77.0),
    )
    earlier = [(date(2026, month, 1), whole.cases) for month in (6, 7, 8, 9)]
    other = [(day, cases[cases["jurisdiction"] == WEST]) for day, cases in earlier]
    recipient = Recipient(WEST, "西河县")
    one = write_package(tmp_path / "one", within(whole, WEST, earlier), recipient, key)
    two = write_package(tmp_path / "two", within(changed, WEST, other), recipient, key)
    for path in one.iterdir():
        assert filecmp.cmp(path, two / path.name, shallow=False), path.name


def test_a_unit_brings_all_below_it() -> None:
    rows = [
        {"code": code, "name": code, "parent_code": parent, "level": "x", "geometry": shapely.box(0, 0, 1, 1)}
        for code, parent in (("P", None), ("A", "P"), ("A1", "A"), ("A2", "A"), ("B", "P"))
    ]
    register = JURISDICTIONS.frame(rows, CRS)
    assert family(register, "A") == {"A", "A1", "A2"}
    assert family(register, "P") == {"P", "A", "A1", "A2", "B"}
    assert family(register, "nowhere") == set()


# --- opening ---


def test_the_recipient_gets_what_was_sent(package: Path, key_file: Path, key: Any) -> None:
    shutil.rmtree(package)
    found = opened(package, key_file)
    assert found.folder == package
    assert found.manifest["sender"] == sender_of(key)
    assert not found.known_sender
    listed = found.manifest["files"]
    assert {path.name for path in package.iterdir()} == {*listed, "manifest.json", "manifest.sig"}
    assert stat.S_IMODE((package / "cases.csv").stat().st_mode) == 0o600
    entry = log_of(package)[-1]
    assert entry["action"] == "opened"
    assert (entry["recipient"], entry["identity"]) == (WEST, str(ME.to_public()))
    # once more: the same place, the sender now known
    assert opened(package, key_file).known_sender
    assert broken_at(package.parent / "access.jsonl") is None


def test_a_folder_is_verified_where_it_lies(package: Path) -> None:
    assert open_package(package).manifest["recipient"]["code"] == WEST
    assert not (package / "access.jsonl").exists()


def test_the_key_itself_will_do(package: Path, tmp_path: Path) -> None:
    found = open_package(package.with_suffix(".age"), identity=str(ME), into=tmp_path / "there")
    assert (found.folder / "hotspots.pdf").is_file()


def refused(package: Path, key_file: Path, match: str, **more: Any) -> None:
    """Opening is refused, nothing is unpacked, and the log says so."""
    goal = package.parent / "goal"
    with pytest.raises(PackageError, match=match):
        opened(package, key_file, into=goal, **more)
    assert not goal.exists()
    assert log_of(package)[-1]["action"] == "refused"


def test_nobody_else_opens_it(package: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(f"{OTHER}\n", "utf-8")
    refused(package, wrong, "sealed for another key")
    with pytest.raises(PackageError, match="--identity"):
        open_package(package.with_suffix(".age"))
    assert b"hotspots" not in package.with_suffix(".age").read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 300, -100_000, -1])
def test_a_cut_file_is_refused(package: Path, key_file: Path, keep: int) -> None:
    sealed = package.with_suffix(".age")
    sealed.write_bytes(sealed.read_bytes()[:keep])
    refused(package, key_file, "cut short|not a sealed package")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_a_changed_file_is_refused(package: Path, key_file: Path, share: float) -> None:
    sealed = package.with_suffix(".age")
    content = bytearray(sealed.read_bytes())
    content[300 + int(share * (len(content) - 301))] ^= 1
    sealed.write_bytes(bytes(content))
    refused(package, key_file, "changed")


@pytest.mark.parametrize("name", ["cases.csv", "hotspots.html", "hotspots.pdf", "hotspots.gpkg"])
def test_a_file_changed_under_the_seal_is_refused(package: Path, key_file: Path, name: str) -> None:
    """Whoever has the recipient's public key can seal; only the office can sign."""

    def change(files: dict[str, bytes]) -> None:
        files[name] = files[name][:-1] + b"x"

    refused(sealed_with(package, change), key_file, f"{name} was changed")
    (package / name).write_bytes((package / name).read_bytes() + b" ")
    with pytest.raises(PackageError, match=f"{name} was changed"):
        open_package(package)


def test_a_changed_manifest_is_refused(package: Path, key_file: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        files["manifest.json"] = files["manifest.json"].replace(b'"version": "', b'"version": "1')

    refused(sealed_with(package, change), key_file, "signature does not hold")


@pytest.mark.parametrize(
    "change",
    [
        {"cases": "many"},
        {"cases": None},
        {"files": []},
        {"files": {"cases.csv": 7}},
        {"files": {"cases.csv": {"bytes": "x", "sha256": 1}}},
        {"recipient": "me"},
        {"recipient": {"code": 1, "public_key": None}},
        {"not_before": "soon"},
        {"not_before": 20261101},
        {"sender": None},
        {"sender": "ed25519:AAAA"},
        {"format": 2},
        {"district": ["x"]},
    ],
    ids=str,
)
def test_a_manifest_of_another_form_is_refused(package: Path, key_file: Path, key: Any, change: dict[str, Any]) -> None:
    """Even when it is signed."""

    def broken(files: dict[str, bytes]) -> None:
        files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), **change}).encode()
        files["manifest.sig"] = sign(key, files["manifest.json"]).encode()

    refused(sealed_with(package, broken), key_file, "cannot be read|not of format|does not hold")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(package: Path, key_file: Path, content: bytes) -> None:
    refused(sealed_with(package, lambda files: files.update({"manifest.json": content})), key_file, "cannot be read")


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "cases.csv"])
def test_a_missing_file_is_refused(package: Path, key_file: Path, name: str) -> None:
    refused(sealed_with(package, lambda files: files.pop(name)), key_file, "missing")


def test_a_file_too_many_is_refused(package: Path, key_file: Path) -> None:
    refused(sealed_with(package, lambda files: files.update({"run.exe": b"MZ"})), key_file, "not in the manifest")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..", "sub/evil", ".hidden", "..\\evil"])
def test_a_path_that_climbs_out_is_refused(package: Path, key_file: Path, key: Any, name: str) -> None:
    """Even when the office itself has signed it."""

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        files[name] = b"x"
        manifest["files"][name] = {
            "bytes": 1,
            "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        }
        files["manifest.json"] = json.dumps(manifest).encode()
        files["manifest.sig"] = sign(key, files["manifest.json"]).encode()

    refused(sealed_with(package, change), key_file, "no plain file")
    assert not list(package.parents[1].rglob("evil"))


def test_links_are_refused(package: Path, key_file: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("cases.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    package.with_suffix(".age").write_bytes(pyrage.encrypt(stream.getvalue(), [ME.to_public()]))
    refused(package, key_file, "no plain file")
    (package / "cases.csv").unlink()
    (package / "cases.csv").symlink_to("/etc/passwd")
    with pytest.raises(PackageError, match="no plain file"):
        open_package(package)


def test_a_package_for_another_is_refused_even_under_my_seal(package: Path, key_file: Path, key: Any) -> None:
    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        manifest["recipient"]["public_key"] = str(OTHER.to_public())
        files["manifest.json"] = json.dumps(manifest).encode()
        files["manifest.sig"] = sign(key, files["manifest.json"]).encode()

    refused(sealed_with(package, change), key_file, "made for recipient")


def foreign(package: Path, stranger: Any) -> Path:
    """The package signed anew by somebody else."""

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        manifest["sender"] = sender_of(stranger)
        files["manifest.json"] = json.dumps(manifest).encode()
        files["manifest.sig"] = sign(stranger, files["manifest.json"]).encode()

    return sealed_with(package, change)


def test_a_foreign_sender_is_refused(package: Path, key_file: Path, key: Any, tmp_path: Path) -> None:
    stranger = signing_key(tmp_path / "stranger")
    refused(foreign(package, stranger), key_file, "foreign", sender=sender_of(key))


def test_a_sender_is_remembered(package: Path, key_file: Path, tmp_path: Path) -> None:
    opened(package, key_file, into=tmp_path / "first")
    stranger = signing_key(tmp_path / "stranger")
    refused(foreign(package, stranger), key_file, fingerprint(sender_of(stranger)))
    assert opened(package, key_file, into=tmp_path / "new", sender=sender_of(stranger)).known_sender


def test_an_embargo_holds_until_its_day(whole: MapContent, key: Any, tmp_path: Path, key_file: Path) -> None:
    recipient = Recipient(WEST, "西河县", str(ME.to_public()), not_before=date(2026, 12, 1))
    folder = write_package(tmp_path / WEST, within(whole, WEST), recipient, key)
    seal(folder, str(ME.to_public()))
    refused(folder, key_file, "2026-12-01", today=date(2026, 11, 30))
    assert opened(folder, key_file, today=date(2026, 12, 1)).manifest["not_before"] == "2026-12-01"


def test_what_lies_there_is_not_overwritten(package: Path, key_file: Path, tmp_path: Path) -> None:
    there = tmp_path / "mine"
    there.mkdir()
    (there / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists already"):
        opened(package, key_file, into=there)
    assert (there / "thesis.txt").read_text() == "years of work"


def test_a_changed_log_shows(package: Path, key_file: Path) -> None:
    for _ in range(3):
        open_package(package)
    log = package.parent / "access.jsonl"
    assert broken_at(log) is None
    lines = log.read_text("utf-8").splitlines()
    log.write_text("\n".join([lines[0].replace("opened", "nothing"), *lines[1:]]) + "\n", "utf-8")
    assert broken_at(log) == 2
    log.write_text("\n".join([lines[0], lines[2]]) + "\n", "utf-8")
    assert broken_at(log) == 2


# --- keys and names ---


@pytest.mark.parametrize(
    "code", ["../141001", "a/b", "", ".", "..", "a\\b", "x" * 65, HOSTILE, "c:d", "-rf", "a\u202eb"]
)
def test_a_code_that_is_no_folder_is_refused(code: str) -> None:
    with pytest.raises(InputError, match="cannot name a folder"):
        plain_name(code)


def test_a_signing_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path)
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    (tmp_path / "signing.key").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        signing_key(tmp_path)


def test_a_recipient_makes_a_key_and_opens_with_it_what_is_sealed_to_it(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    told = CliRunner().invoke(app, ["key", str(path), "--json"])
    public = json.loads(told.output)["public_key"]
    assert told.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sealed = tmp_path / "sealed.age"
    sealed.write_bytes(pyrage.encrypt(b"case", [pyrage.x25519.Recipient.from_str(public)]))
    identity, _ = identity_of(str(path))
    assert pyrage.decrypt(sealed.read_bytes(), [identity]) == b"case"
    with pytest.raises(InputError, match="exists already"):
        new_identity(path)
    assert str(identity_of(str(path))[0]) == str(identity)


@pytest.mark.parametrize("content", ["", "nothing here\n", f"{ME}\n{OTHER}\n", "AGE-SECRET-KEY-1QQQ\n"])
def test_a_broken_identity_is_a_wrong_command_line(content: str, package: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match="--identity"):
        open_package(package.with_suffix(".age"), identity=str(path))


def test_a_broken_public_key_is_said(made: Path) -> None:
    with pytest.raises(InputError, match="illegalmining key"):
        seal(made, "age1nonsense")


def test_the_date_of_the_run_is_told(made: Path) -> None:
    assert json.loads((made / "manifest.json").read_text("utf-8"))["as_of"] == AS_OF.isoformat()
