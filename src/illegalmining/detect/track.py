"""One displacement source over a tile, ready to be judged alone or together with others that see the same ground.

Sources differ in look, epochs, pixels and noise. Their days are counted from one day, their places are in one CRS; each
keeps its own grid, and what is measured of its noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.detect.advance import Advance, advancing
from illegalmining.detect.bowls import Search, SearchParameters, Templates, mean_look, on_days
from illegalmining.detect.declared_faces import Declared, DeclaredParameters, explain
from illegalmining.detect.deformation import Deformation, DeformationParameters, Whitening, compact_part
from illegalmining.detect.inversion import InversionParameters, Inverted, less
from illegalmining.detect.pim import Panel


@dataclass(frozen=True)
class Track:
    """One source. first: day that all days are counted from. epochs: (T,). ground: as read. search: what its declared
    faces leave. templates: courses on its epochs.

    declared: the declared faces it sees, the largest first, and how they move the ground in its line of sight.
    """

    name: str
    first: pd.Timestamp
    epochs: pd.DatetimeIndex
    ground: Deformation
    search: Search
    templates: Templates
    declared: tuple[Declared, ...] = ()

    def named(self, face_id: str) -> Declared | None:
        """A declared face."""
        return next((face for face in self.declared if face.face_id == face_id), None)

    def less(self, hidden: Sequence[Inverted], parameters: InversionParameters) -> Track:
        """Without the movement of faces that were found."""
        return replace(self, search=less(self.search, hidden, parameters))

    def leaving(self, declared: Iterable[Declared]) -> Track:
        """With declared faces as they are said to move: the scene is what they leave; what was lost is filled then."""
        declared, values = tuple(declared), self.ground.values.copy()
        for face in declared:
            values[:, *face.window] -= face.moved
        left = scene_of(replace(self.ground, values=values), self.search.deformation, self.search.parameters)
        return replace(self, search=left, declared=declared)

    def fitted(self, face_id: str, panel: Panel, advance: Advance, per_year: float, strips: int) -> Track:
        """With a declared face that moves the ground as a panel in the CRS does; without change where it is not seen.

        `leaving` takes its movement off.
        """
        face = self.named(face_id)
        if face is None:
            return self
        at, look = (self.ground.x[face.window], self.ground.y[face.window]), mean_look(self.ground.look)
        moved = advancing(panel, advance, per_year, self.ground.days, *at, look, strips)
        told = replace(face, moved=moved.astype(np.float32))
        return replace(self, declared=tuple(told if one is face else one for one in self.declared))


def scene_of(ground: Deformation, deformation: DeformationParameters, search: SearchParameters) -> Search:
    """The scene's compact part and the spectrum of its noise."""
    values = compact_part(ground, deformation)
    whitening = Whitening.of(values, ground.days, ground.pixel_m, deformation)
    return Search(ground, values, ground.known, whitening, deformation, search)


def track_of(
    name: str, first: pd.Timestamp, epochs: pd.DatetimeIndex, ground: Deformation, templates: Templates,
    faces: gpd.GeoDataFrame | None, parameters: tuple[DeformationParameters, SearchParameters, DeclaredParameters],
) -> Track:  # fmt: skip
    """A source with what its declared faces leave.

    Each source fits the declared faces for itself: it may take more of its ground for theirs, never less.
    """
    deformation, search, declared = parameters
    scene = scene_of(ground, deformation, search)
    track = Track(name, first, epochs, ground, scene, on_days(templates, ground.days, search))
    told = explain(scene, faces, first, declared)
    return track.leaving(told) if told else track
