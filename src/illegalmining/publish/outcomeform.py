"""The form that goes out with a plan and comes back through `verify`: a GeoPackage for tablets, a CSV for offices."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import quoteattr

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.atomic import atomic_file, write_bytes
from illegalmining.decisions import FOUND_INSTEAD, OUTCOMES, OUTCOMES_OF_VISITS
from illegalmining.publish.geopackage import write_geopackage
from illegalmining.publish.spreadsheet import csv_bytes
from illegalmining.publish.text import say

LAYER = "outcomes"
LABELS = {
    "case_id": "case_no",
    "kind": "kind",
    "outcome": "outcome_word",
    "visited": "visited",
    "reason": "form_reason",
    "found": "form_found",
    "inspector": "form_inspectors",
    "mineral": "form_mineral",
    "volume_m3": "form_volume",
    "penalty_basis": "form_basis",
    "operator_id": "form_operator_id",
    "operator": "form_operator",
    "settles": "form_settles",
    "photos": "form_photos",
    "photo_1": "form_photo",
    "photo_2": "form_photo",
    "photo_3": "form_photo",
}
"""Column -> the word a form shows for it."""
PREFILLED = ("case_id", "kind")
CHOICES = {"outcome": ("outcome", OUTCOMES_OF_VISITS), "found": ("found", FOUND_INSTEAD)}
PHOTOS = ("photo_1", "photo_2", "photo_3")
SYMBOL = """ <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0">
  <symbols>
   <symbol type="marker" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="name" value="circle"/>
      <Option type="QString" name="color" value="200,80,10,255"/>
      <Option type="QString" name="outline_color" value="28,39,51,255"/>
      <Option type="QString" name="size" value="4"/>
      <Option type="QString" name="size_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
"""


def write_outcome_forms(cases: gpd.GeoDataFrame, folder: Path, language: str) -> list[Path]:
    """Write `outcomes.gpkg` (layer `outcomes`) and `outcomes.csv`: a row a case, its id and place filled in.

    The place is where to go; whoever was elsewhere moves it. What nobody fills in is no outcome.
    """
    form = blank_form(cases)
    package, table = folder / "outcomes.gpkg", folder / "outcomes.csv"
    with atomic_file(package) as partial:
        write_geopackage({LAYER: (form, form_style(language))}, partial)
        declare_day(partial)
    places = form.geometry
    plain = pd.DataFrame(form.drop(columns=form.geometry.name)).assign(
        lon=[f"{at.x:.6f}" for at in places], lat=[f"{at.y:.6f}" for at in places]
    )
    return [package, write_bytes(table, csv_bytes(plain))]


def declare_day(package: Path) -> None:
    """Make `visited` a day: as a time with its zone a tablet would shift it."""
    with closing(sqlite3.connect(package)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '\"visited\" DATETIME', '\"visited\" DATE') WHERE name = ?",
            (LAYER,),
        )


def blank_form(cases: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The form's rows, WGS 84, in the order of the cases."""
    places = cases.geometry.representative_point().to_crs("EPSG:4326")
    columns: dict[str, object] = {"case_id": cases["case_id"].to_numpy(), "kind": cases["kind"].to_numpy()}
    for name in LABELS:
        if name in PREFILLED:
            continue
        kind = str(OUTCOMES.schema.columns[name].dtype)
        empty = pd.NaT if kind.startswith("datetime") else np.nan if kind == "float64" else None
        columns[name] = pd.Series([empty] * len(cases), dtype=kind)
    return gpd.GeoDataFrame(columns, geometry=places.to_numpy(), crs="EPSG:4326")


def form_style(language: str) -> str:
    """The layer's QGIS style: a point, and for each column its word and the widget a finger can use."""
    fields = "".join(f'  <field name="{name}">\n   {widget(name, language)}\n  </field>\n' for name in LABELS)
    words = "".join(
        f'  <alias index="{at + 1}" field="{name}" name={quoteattr(label(name, language))}/>\n'
        for at, name in enumerate(LABELS)
    )
    rules = "".join(
        f'  <constraint field="{name}" constraints="{1 if needed else 0}" notnull_strength="{2 if needed else 0}" '
        f'exp_strength="0" unique_strength="0"/>\n'
        for name, needed in ((name, name in ("outcome", "visited")) for name in LABELS)
    )
    fixed = "".join(f'  <field name="{name}" editable="{int(name not in PREFILLED)}"/>\n' for name in LABELS)
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.28.0" styleCategories="Symbology|Fields|Forms" labelsEnabled="0">\n'
        f"{SYMBOL} <fieldConfiguration>\n{fields} </fieldConfiguration>\n <aliases>\n{words} </aliases>\n"
        f" <constraints>\n{rules} </constraints>\n <editable>\n{fixed} </editable>\n</qgis>\n"
    )


def label(name: str, language: str) -> str:
    """The word for a column; photos are numbered."""
    return say(LABELS[name], language) + (f" {name[-1]}" if name in PHOTOS else "")


def widget(name: str, language: str) -> str:
    """How a column is filled in: a list of values, a calendar, a camera, or text."""
    if name in CHOICES or name == "settles":
        word, values = CHOICES.get(name, ("", ("yes", "no")))
        told = {value: say(f"{word}_{value}" if word else value, language) for value in values}
        options = "".join(
            f'<Option type="Map"><Option type="QString" name={quoteattr(said)} value="{value}"/></Option>'
            for value, said in told.items()
        )
        listed = f'<Option type="List" name="map">{options}</Option>'
        return f'<editWidget type="ValueMap"><config><Option type="Map">{listed}</Option></config></editWidget>'
    if name == "visited":
        return configured("DateTime", display_format="yyyy-MM-dd", field_format="yyyy-MM-dd", calendar_popup="true")
    if name in PHOTOS:
        return configured(
            "ExternalResource", DocumentViewer="1", RelativeStorage="1", StorageMode="0", FileWidget="true"
        )
    return configured("TextEdit", IsMultiline="true" if name in ("reason", "photos") else "false")


def configured(kind: str, **options: str) -> str:
    """A widget with its options."""
    told = "".join(f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in options.items())
    return f'<editWidget type="{kind}"><config><Option type="Map">{told}</Option></config></editWidget>'
