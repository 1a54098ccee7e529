"""A dossier per case: the finished run, the registers, and the windows of imagery around each case, to PDFs."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd

from illegalmining.cases.ledger import open_ledger
from illegalmining.cases.outcomes import contradict, visits_by_case
from illegalmining.district import District
from illegalmining.errors import IllegalMiningError, InputError
from illegalmining.imagery.beforeafter import Pair, PairParameters, optical_pairs, radar_pairs
from illegalmining.imagery.movedground import moved_ground
from illegalmining.imagery.window import Opened, opened
from illegalmining.journal import digest, digests, relative
from illegalmining.pipelines.explain import by_folder
from illegalmining.pipelines.package import content_of
from illegalmining.publish.content import MapContent
from illegalmining.publish.dossier import publish_dossiers
from illegalmining.publish.dossiercase import CaseMatter, Origin
from illegalmining.publish.dossierfigures import FigureLimits, picture_bounds
from illegalmining.publish.dossiermovement import face_of, movement_bounds
from illegalmining.publish.outcomeform import write_outcome_forms
from illegalmining.publish.results import read_cases, read_run
from illegalmining.registers.read import Registers, read_registers

RESULTS = ("cases.parquet", "detections.parquet")


def write_dossiers(district: District, out: Path, case_ids: list[str], folder: Path) -> list[Path]:
    """Write `<case_id>.pdf` into `folder` for each case, one after another, so that memory does not grow with them.

    Parameters
    ----------
    out : the results of the finished run the cases are of.

    Raises
    ------
    InputError
        There is no finished run, or it has no such case.
    """
    registers = read_registers(district, [])
    run = read_run(out)
    whole = content_of(district, registers, run)
    wanted = known_cases(case_ids, whole.cases, out)
    common = common_matter(district, registers, whole, run.record["inputs"], out)
    return publish_dossiers(folder, matters(district, whole, common, wanted))


def write_forms(district: District, out: Path, case_ids: list[str], folder: Path) -> list[Path]:
    """Write the form for the outcomes of these cases, `outcomes.gpkg` and `outcomes.csv`, in the order given."""
    cases = read_cases(out).set_index("case_id", drop=False)
    chosen = cases.loc[known_cases(case_ids, cases, out)].reset_index(drop=True)
    return write_outcome_forms(chosen, folder, district.configuration.district.language)


def known_cases(case_ids: list[str], cases: gpd.GeoDataFrame, out: Path) -> list[str]:
    """The ids, each once.

    Raises
    ------
    InputError
        The run has no such case.
    """
    missing = sorted(set(case_ids) - set(cases["case_id"]))
    if missing:
        raise InputError(f"{out / 'cases.csv'}: no case {', '.join(missing[:5])}; name cases of this run")
    return list(dict.fromkeys(case_ids))


def matters(district: District, whole: MapContent, common: dict[str, Any], case_ids: list[str]) -> Iterator[CaseMatter]:
    """Each case with what is known of it."""
    shelf = Shelf(district)
    rows = {row["case_id"]: row for row in whole.cases.to_dict("records")}
    visits = visits_of(district)
    for case_id in case_ids:
        held = visits.get(case_id, [])
        matter = CaseMatter(
            case=rows[case_id],
            whole=whole,
            detections=named_by(rows[case_id], whole.detections),
            visits=held,
            conflict=contradict(held),
            made_by=f"illegalmining {importlib.metadata.version('illegalmining')}",
            **common,
        )
        yield shelf.seen(matter)


def common_matter(
    district: District, registers: Registers, whole: MapContent, known: dict[str, str], out: Path
) -> dict[str, Any]:
    """What all dossiers of a run share: registers without a place on the map, where rows are from, hashes."""
    origins = {}
    for name, path in registers.files.items():
        if path.is_file():
            file, sha = relative(path, district.root), digest(path)
            origins[name] = Origin(name, file, sha, known.get(file) != sha)
    return {
        "statuses": registers.mine_status,
        "faces": registers.working_faces,
        "origins": origins,
        "inputs": [(name, len(files), sha) for name, files, sha in by_folder(known)],
        "results": [(name, digest(out / name)) for name in RESULTS if (out / name).is_file()],
    }


def named_by(case: dict[str, Any], detections: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """The detections a case's evidence names, attributes read, in the evidence's order."""
    named = [term.get("detection_id") for term in json.loads(case["evidence"])]
    rows = detections[detections["detection_id"].isin(named)].to_dict("records")
    found = {row["detection_id"]: {**row, "attributes": json.loads(row["attributes"])} for row in rows}
    return [found[name] for name in dict.fromkeys(named) if name in found]


def visits_of(district: District) -> dict[str, list[dict[str, Any]]]:
    """What the ledger holds of visits, by case; nothing where there is no ledger yet."""
    if isinstance(district.ledger, Path) and not district.ledger.is_file():
        return {}
    with open_ledger(district.ledger, district.name, writing=False) as ledger:
        return visits_by_case(ledger)


@dataclass
class Shelf:
    """The district's sources, each opened once, when the first case needs it."""

    district: District
    held: dict[str, Opened | str] = field(default_factory=dict)

    def of(self, sensor: str) -> list[Opened | str]:
        """Sources of a sensor; for one that cannot be opened, why."""
        found: list[Opened | str] = []
        for source in self.district.configuration.imagery:
            if source.sensor != sensor:
                continue
            if source.name not in self.held:
                try:
                    self.held[source.name] = opened(source, self.district)
                except IllegalMiningError as error:
                    self.held[source.name] = f"{source.name}: {error}"
            found.append(self.held[source.name])
        return found

    def seen(self, matter: CaseMatter) -> CaseMatter:
        """The case with what the sources show of it."""
        return self.moved(self.pictured(matter))

    def pictured(self, matter: CaseMatter) -> CaseMatter:
        """The case with pictures from before and after: optical, else radar; or with what there is to say instead."""
        bounds = picture_bounds(matter, FigureLimits())
        first, last = (matter.case[name].date() for name in ("first_seen", "last_seen"))
        said: list[tuple[str, dict[str, Any]]] = []
        for sensor, look in (("optical", optical_pairs), ("radar", radar_pairs)):
            for source in self.of(sensor):
                if isinstance(source, str):
                    name, why = source.split(": ", 1)
                    said.append(("source_broken", {"source": name, "why": why}))
                    continue
                pairs: list[Pair] = look(source, bounds, first, last, PairParameters())
                if pairs:
                    entries = sorted({entry for pair in pairs for entry in pair.entries})
                    files = digests(source.files(entries), self.district.root)
                    return replace(matter, pairs=pairs, said_of_images=said, shown=list(files.items()))
                if sensor == "optical":
                    said.append(("no_optical_pair", {"source": source.source.name}))
        configured = self.of("optical") or self.of("radar")
        said.append(("no_imagery" if configured else "no_sources_configured", {}))
        return replace(matter, said_of_images=said)

    def moved(self, matter: CaseMatter) -> CaseMatter:
        """The case with the movement of its ground, where its evidence rests on that; or with why there is none."""
        sources = self.of("displacement")
        if not sources:
            return replace(matter, said_of_movement=[("no_movement_source", {})])
        if face_of(matter) is None:
            return replace(matter, said_of_movement=[("no_movement", {})])
        said: list[tuple[str, dict[str, Any]]] = []
        first, last = (matter.case[name].date() for name in ("first_seen", "last_seen"))
        for source in sources:
            if isinstance(source, str):
                name, why = source.split(": ", 1)
                said.append(("source_broken", {"source": name, "why": why}))
                continue
            moved = moved_ground(source, movement_bounds(matter), first, last)
            if moved is not None:
                return replace(matter, moved=moved, said_of_movement=said)
            said.append(("no_movement_pixels", {"source": source.source.name}))
        return replace(matter, said_of_movement=said)
