"""Which dates show a piece of ground before and after something began there, and what they show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from illegalmining.imagery.picture import CLEAR_SCL, NATURAL
from illegalmining.imagery.window import Bounds, Opened

FALSE = (("swir16", "nir", "red"), ("nir", "red", "green"))


@dataclass(frozen=True)
class PairParameters:
    """How dates are chosen.

    enough: share of clear pixels at which the search ends. least: share below which a date shows nothing. tries: most
    dates looked at on either side. radar_dates: averaged on either side, against speckle.
    """

    enough: float = 0.98
    least: float = 0.6
    tries: int = 24
    radar_dates: int = 4


@dataclass(frozen=True)
class Pair:
    """The same ground before and after.

    kind: `true`, `false_swir`, `false_nir` or the radar's band. before, after: (y, x, 3) reflectance or (y, x) dB, NaN
    where nothing was seen. before_days, after_days: whose mean it is. clear: share of clear pixels of either, None for
    radar. bounds: of the pixels, m. entries: dates used, as the source counts them.
    """

    source: str
    kind: str
    before: np.ndarray
    after: np.ndarray
    before_days: tuple[date, ...]
    after_days: tuple[date, ...]
    clear: tuple[float, float] | None
    bounds: Bounds
    pixel_m: float
    entries: tuple[int, ...]


def optical_pairs(seen: Opened, bounds: Bounds, first: date, last: date, how: PairParameters) -> list[Pair]:
    """Natural and false colour of the clearest dates before `first` and near `last`; none where there are no two."""
    earlier = [entry for entry, day in enumerate(seen.days) if day < first]
    later = [entry for entry, day in enumerate(seen.days) if day >= first]
    before = clearest(seen, reversed(earlier), bounds, how)
    after = clearest(seen, sorted(later, key=lambda entry: (abs((seen.days[entry] - last).days), entry)), bounds, how)
    colours = {"true": NATURAL, "false_swir": FALSE[0], "false_nir": FALSE[1]}
    shown = [name for name, bands in colours.items() if set(bands) <= set(seen.bands)]
    if before is None or after is None or not shown:
        return []
    wanted = [name for name in shown if name != "false_nir" or "false_swir" not in shown]
    entries = before[0], after[0]
    bands = sorted({band for name in wanted for band in colours[name]})
    images = seen.read(bands, entries, bounds)
    assert images is not None, "clear dates have pixels"
    extent = images.odc.geobox.extent.boundingbox.bbox
    pairs = []
    for name in wanted:
        both = np.stack([images[band].values for band in colours[name]], axis=-1)
        pixel = abs(float(seen.grid.resolution.x))
        days = (seen.days[entries[0]],), (seen.days[entries[1]],)
        shares = (before[1], after[1])
        pairs.append(Pair(seen.source.name, name, both[0], both[1], days[0], days[1], shares, extent, pixel, entries))
    return pairs


def clearest(seen: Opened, entries: Iterable[int], bounds: Bounds, how: PairParameters) -> tuple[int, float] | None:
    """The first date that is clear enough, else the clearest looked at, and its clear share; None for none usable."""
    best: tuple[int, float] | None = None
    for tried, entry in enumerate(entries):
        share = clear_share(seen, entry, bounds)
        if best is None or share > best[1]:
            best = entry, share
        if share >= how.enough or tried + 1 >= how.tries:
            break
    return best if best is not None and best[1] >= how.least else None


def clear_share(seen: Opened, entry: int, bounds: Bounds) -> float:
    """Share of a window's pixels that a date shows; cloud-free where there is no scene classification."""
    band = "scl" if "scl" in seen.bands else next(band for band in seen.bands)
    image = seen.read([band], [entry], bounds)
    if image is None:
        return 0.0
    values = image[band].values
    shown = np.isin(values, CLEAR_SCL) if band == "scl" else np.isfinite(values)
    return float(shown.mean())


def radar_pairs(seen: Opened, bounds: Bounds, first: date, last: date, how: PairParameters) -> list[Pair]:
    """Mean backscatter of the last dates before `first` and of those nearest to `last`, dB; none where one lacks."""
    band = next((band for band in ("vv", "vh") if band in seen.bands), None)
    earlier = [entry for entry, day in enumerate(seen.days) if day < first][-how.radar_dates :]
    later = [entry for entry, day in enumerate(seen.days) if day >= first]
    later = sorted(sorted(later, key=lambda entry: (abs((seen.days[entry] - last).days), entry))[: how.radar_dates])
    if band is None or not earlier or not later:
        return []
    means, extent = [], bounds
    for entries in (earlier, later):
        images = seen.read([band], entries, bounds)
        if images is None:
            return []
        extent = images.odc.geobox.extent.boundingbox.bbox
        values = images[band].values
        known = np.isfinite(values).sum(axis=0)
        power = np.nansum(values, axis=0) / np.maximum(known, 1)
        means.append(np.where((known > 0) & (power > 0), 10 * np.log10(np.maximum(power, 1e-6)), np.nan))
    if not all(np.isfinite(mean).mean() >= how.least for mean in means):
        return []
    days = [tuple(seen.days[entry] for entry in entries) for entries in (earlier, later)]
    pixel = abs(float(seen.grid.resolution.x))
    used = (*earlier, *later)
    return [Pair(seen.source.name, band, means[0], means[1], days[0], days[1], None, extent, pixel, used)]
