"""Commands that hand results over: packages, keys, and opening what was received."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from illegalmining.cli.common import DONE, SET_ASIDE, DistrictFile, Json, Quiet, app, read_at, tell


@app.command()
def package(
    path: DistrictFile,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the run of this day")] = None,
    not_before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="no package may be opened before this day")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one package per recipient: its jurisdiction and nothing else, signed, sealed to the recipient's key."""
    from illegalmining.journal import Journal
    from illegalmining.pipelines.package import package as write_packages

    district = read_at(path, as_of)
    made = write_packages(district, Journal(quiet=quiet or as_json), not_before.date() if not_before else None)
    unsealed = [code for code in made.written if code not in made.sealed]
    lines = [f"{len(made.written)} package(s), {len(made.sealed)} sealed: {made.folder}"]
    if unsealed:
        lines += [
            f"not sealed, having no public_key in the register of recipients: {', '.join(unsealed)}; a recipient makes "
            "a key with `illegalmining key FILE` and sends you the public half"
        ]
    lines += [f"no package for {code}: {why}" for code, why in made.aside.items()]
    lines += [f"{len(made.nobodys)} case(s) are in no package: no recipient has their jurisdiction"] * bool(
        made.nobodys
    )
    lines += [f"signed by {made.sender}; tell recipients this by telephone"]
    facts = {"folder": str(made.folder), "written": made.written, "sealed": made.sealed}
    facts["nobodys"] = made.nobodys
    tell(as_json, {**facts, "set_aside": made.aside, "sender": made.sender}, "\n".join(lines))
    raise typer.Exit(SET_ASIDE if made.aside else DONE)


@app.command()
def key(
    path: Annotated[Path, typer.Argument(metavar="KEYFILE", help="new file for the private half")],
    as_json: Json = False,
) -> None:
    """Make a recipient's key: keep the private half, send the public half to the office that makes the packages."""
    from illegalmining.publish.keys import new_identity

    public = new_identity(path)
    text = (
        f"private half: {path}; keep it where only you can read it: without it no package opens\n"
        f"public half, for the column public_key of the register of recipients:\n{public}\n"
        f"packages sealed to it open with: illegalmining open PACKAGE.age --identity {path}"
    )
    tell(as_json, {"file": str(path), "public_key": public}, text)


@app.command("open")
def open_(
    path: Annotated[Path, typer.Argument(metavar="PACKAGE", help="a sealed package (.age), or a package's folder")],
    identity: Annotated[str | None, typer.Option(metavar="KEY", help="your age key, or the file that holds it")] = None,
    sender: Annotated[
        str | None, typer.Option(metavar="KEY", help="public key the package must be signed with, or its file")
    ] = None,
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="new folder for the files")] = None,
    as_json: Json = False,
) -> None:
    """Verify a package and unpack it; whatever was changed, cut short or made for others is refused."""
    from illegalmining.publish.keys import fingerprint
    from illegalmining.publish.opening import open_package
    from illegalmining.publish.text import harmless

    opened = open_package(path, identity=identity, sender=sender, into=into)
    manifest, signer = opened.manifest, fingerprint(opened.manifest["sender"])
    known = "known sender" if opened.known_sender else "first package from this sender: compare this by telephone"
    text = (
        f"{opened.folder}: whole and unchanged; {manifest['cases']} case(s) as of {harmless(manifest['as_of'])}\n"
        f"signed by {signer} ({known})"
    )
    facts = {"folder": str(opened.folder), "cases": manifest["cases"], "as_of": manifest["as_of"]}
    tell(as_json, {**facts, "sender": signer, "known_sender": opened.known_sender}, text)
