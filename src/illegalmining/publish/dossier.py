"""`dossiers/<case_id>.pdf`: everything an inspector needs about one case, on paper."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import segno
import typst

from illegalmining.atomic import write_bytes
from illegalmining.publish.dossiercase import CaseMatter
from illegalmining.publish.dossierevidence import against, checks, evidence, visits
from illegalmining.publish.dossierfacts import LONG, declared_faces, licences, sources, statuses, where, who
from illegalmining.publish.dossierfigures import FigureLimits, map_figure, picture_figures
from illegalmining.publish.dossiermovement import movement_figures
from illegalmining.publish.dossierplots import plot_lines, series_figures
from illegalmining.publish.package import plain_name
from illegalmining.publish.sheet import CellLimits, breakable, percent
from illegalmining.publish.style import palette
from illegalmining.publish.text import dossier_words, harmless, say, words

UNDERGROUND = ("hidden_working_face", "active_while_shut", "paper_output")
HASH = CellLimits(unbroken=32)
MANIFEST = "manifest.json"


def publish_dossiers(folder: Path, matters: Iterable[CaseMatter]) -> list[Path]:
    """Write one PDF a case, one after another; the same matter gives the same bytes."""
    written = []
    with as_file(files("illegalmining.maps")) as maps:
        fonts = typst.Fonts(font_paths=[str(maps / "fonts")])
        for matter in matters:
            name = plain_name(str(matter.case["case_id"]))
            written.append(write_bytes(folder / f"{name}.pdf", dossier_pdf(matter, maps / "dossier.typ", fonts)))
    return written


def dossier_pdf(matter: CaseMatter, template: Path, fonts: Any) -> bytes:
    """The PDF of one case, its manifest attached."""
    data, pictures = content(matter)
    manifest = manifest_of(data, pictures)
    data["manifest"] = breakable(hashlib.sha256(manifest).hexdigest(), HASH)
    data["words"] = {key: said[matter.language] for key, said in {**words(), **dossier_words()}.items()}
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        (here / template.name).write_bytes(template.read_bytes())
        (here / MANIFEST).write_bytes(manifest)
        (here / "dossier.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
        for name, picture in pictures.items():
            (here / name).write_bytes(picture)
        return bytes(typst.compile(str(here / template.name), root=place, font_paths=fonts))


def manifest_of(data: dict[str, Any], pictures: dict[str, bytes]) -> bytes:
    """Everything the dossier says, and the hash of every picture it shows."""
    shown = {name: hashlib.sha256(picture).hexdigest() for name, picture in sorted(pictures.items())}
    return json.dumps({"says": data, "shows": shown}, ensure_ascii=False, sort_keys=True, indent=1).encode()


def content(matter: CaseMatter) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the template sets, as plain values, and the pictures by the name of their file."""
    language, case, whole = matter.language, matter.case, matter.whole
    limits = FigureLimits()
    the_map, pictures = map_figure(matter, limits)
    pairs, more = picture_figures(matter, limits)
    plots, plotted = series_figures(matter)
    movement, moved = movement_figures(matter)
    pictures |= more | plotted | moved | {"qr.svg": qr_code(str(case["case_id"]))}
    return {
        "language": language,
        "palette": palette(),
        "id": breakable(case["case_id"]),
        "kind": case["kind"],
        "kind_name": say(f"kind_{case['kind']}", language),
        "means": say(f"means_{case['kind']}", language),
        "likely": say("likely", language, p=percent(case["probability"])),
        "status": say("status_word", language, status=say(f"status_{case['status']}", language)),
        "district": breakable(whole.name, CellLimits(most=72)),
        "judged": say("as_judged", language, date=whole.as_of.isoformat()),
        "who": who(matter),
        "where": where(matter),
        "licences": licences(matter),
        "statuses": statuses(matter),
        "faces": declared_faces(matter),
        "sources": sources(matter, "concessions", "mines", "mine_status", "closure_list", "working_faces", "roads"),
        "map": the_map,
        "pairs": pairs,
        "image_lines": image_lines(matter),
        "plots": plots,
        "plot_lines": plot_lines(matter, plots),
        "movement": movement,
        "evidence": evidence(matter),
        "against": against(matter),
        "checks": checks(matter),
        "visits": visits(matter),
        "conflict": matter.conflict,
        "inputs": [[breakable(name, LONG), str(count), breakable(sha, HASH)] for name, count, sha in matter.inputs],
        "shown": [[breakable(name, LONG), breakable(sha, HASH)] for name, sha in matter.shown],
        "results": [[breakable(name, LONG), breakable(sha, HASH)] for name, sha in matter.results],
        "made_by": harmless(matter.made_by),
        "run_by": harmless(f"illegalmining {whole.run.get('version', '')}".strip()),
    }, pictures


def image_lines(matter: CaseMatter) -> list[str]:
    """What there is to say of images, where they show nothing or need not show anything."""
    lines = [
        say(key, matter.language, **{name: breakable(value, LONG) for name, value in values.items()})
        for key, values in matter.said_of_images
    ]
    if matter.pairs and matter.case["kind"] in UNDERGROUND and not matter.terms_of("surface"):
        lines.append(say("underground_note", matter.language))
    return lines


def qr_code(text: str) -> bytes:
    """A QR code as SVG; a quarter of it may be soiled."""
    stream = io.BytesIO()
    segno.make(text, error="q", micro=False).save(stream, kind="svg", border=2, xmldecl=False, omitsize=True)
    return stream.getvalue()
