"""What a displacement cube says of compact movement: broad fields taken off, noise weighed in space and in time.

Levels are signal plus a delay that is independent from epoch to epoch (the first epoch's delay is each pixel's offset),
so ordinary regression with an offset holds. In space the delay is correlated; its spectrum is measured and divided out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import fft
from scipy.ndimage import gaussian_filter

from illegalmining.detect.pim import DAYS_PER_YEAR, Floats, Look, look_vector

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]

MAD_TO_SD = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


BLOCKS_A_SIGMA = 8
"""Blocks to a standard deviation of a wide Gaussian: enough that it is smooth from one to the next."""


@dataclass(frozen=True)
class DeformationParameters:
    """How noise and broad movement are taken off.

    broad_m: standard deviation of the smooth field taken off each epoch, m (atmosphere and groundwater are wider than
    a bowl, whose radius is under 300 m). fill_px: standard deviations of the Gaussians that fill lost pixels, pixels.
    fill_share: least weight of seen ground that they rest on. least_coherence: temporal coherence below which a pixel
    is not used (common practice 0.3 to 0.7). fewest_epochs: below, nothing is judged. season_years: shortest record
    in which a yearly term is fitted. neighbourhood_m: over which local noise is weighed. clip: normalised residual
    beyond which local noise is not raised. correlation_most: largest correlation between epochs that is allowed for.
    reach_m: border that keeps the scene's sides apart in Fourier space, m. sample_px: pixels that the noise of an
    epoch is measured on.
    """

    broad_m: float = 900.0
    fill_px: tuple[float, ...] = (1.0, 2.0, 4.0)
    fill_share: float = 0.05
    least_coherence: float = 0.35
    fewest_epochs: int = 8
    season_years: float = 1.5
    neighbourhood_m: float = 700.0
    clip: float = 3.0
    correlation_most: float = 0.8
    reach_m: float = 900.0
    sample_px: int = 12000


@dataclass(frozen=True)
class Deformation:
    """A displacement cube in memory.

    days: (T,) since the first epoch. values: (T, Y, X) m towards the satellite, NaN where missing. x, y: (Y, X) m.
    look: direction to the satellite, (Y, X). pixel_m: side of a pixel, m. lost_at: (Y, X) of `last_seen`.
    """

    days: Floats
    values: Floats
    x: Floats
    y: Floats
    look: Look
    pixel_m: float
    lost_at: Counts

    @property
    def known(self) -> Bools:
        """(Y, X): seen on at least half of the epochs."""
        return np.asarray(np.isfinite(self.values).mean(axis=0) >= 0.5)


def read_deformation(cube: xr.Dataset, parameters: DeformationParameters) -> Deformation:
    """The cube's values, with pixels of low coherence set to NaN; angles where missing are Sentinel-1's means."""
    values = np.array(cube["displacement"].transpose("time", "y", "x").values, np.float32)
    values[~np.isfinite(values)] = np.nan
    lost_at = last_seen(values)  # before low coherence is cut: what is lost in the end spoils a pixel's coherence
    if "temporal_coherence" in cube:
        values[:, cube["temporal_coherence"].values < parameters.least_coherence] = np.nan
    x, y = np.meshgrid(cube["x"].values.astype(float), cube["y"].values.astype(float))
    angles = []
    for name, usual in (("incidence_angle", 39.0), ("azimuth_angle", 281.0)):
        given = cube[name] if name in cube else cube.attrs.get(name, usual)
        measured = np.broadcast_to(np.asarray(getattr(given, "values", given), float), x.shape)
        typical = float(np.nanmedian(measured)) if np.isfinite(measured).any() else usual
        angles.append(np.where(np.isfinite(measured), measured, typical))
    time = cube["time"].values
    days = (time - time[0]) / np.timedelta64(1, "D")
    pixel_m = abs(float(x[0, 1] - x[0, 0]))
    return Deformation(days.astype(float), values, x, y, look_vector(*angles), pixel_m, lost_at)


def last_seen(values: Floats, quiet: int = 3) -> Counts:
    """(Y, X): epoch from which on a pixel was lost; their number where it was seen in one of the last `quiet` ones.

    0 where it was seen on less than half of the epochs before: its loss tells nothing.
    """
    count = np.zeros(values.shape[1:], np.int32)
    until = np.zeros(values.shape[1:], np.int32)
    for t, level in enumerate(values):
        seen = np.isfinite(level)
        count += seen
        until[seen] = t + 1
    until[until > len(values) - quiet] = len(values)
    return np.where(count >= 0.5 * until, until, 0).astype(np.int32)


def smooth(field: Floats, weight: Floats, sigma_px: float) -> tuple[Floats, Floats]:
    """Weighted Gaussian mean of a (Y, X) field and the share of weight it rests on."""
    share = gaussian_filter(weight, sigma_px, mode="constant", truncate=3.0)
    total = gaussian_filter(field * weight, sigma_px, mode="constant", truncate=3.0)
    return total / np.maximum(share, 1e-6), share


def plane(field: Floats, known: Bools, x: Floats, y: Floats, sample_px: int, rounds: int = 3) -> Floats:
    """The plane of a (Y, X) field, fitted to `sample_px` of its known pixels, outliers beyond three deviations cut."""
    chosen = np.flatnonzero(known)
    chosen = chosen[:: max(1, len(chosen) // sample_px)]
    east, north = (x - x.mean()) / 1000, (y - y.mean()) / 1000
    design = np.stack([np.ones(len(chosen)), east.ravel()[chosen], north.ravel()[chosen]], axis=1)
    level, used = field.ravel()[chosen].astype(float), np.ones(len(chosen), bool)
    coefficients = np.zeros(3)
    for _ in range(rounds):
        if used.sum() < design.shape[1]:
            break
        coefficients = np.linalg.lstsq(design[used], level[used], rcond=None)[0]
        off = np.abs(level - design @ coefficients)
        used = off <= 3 * MAD_TO_SD * np.median(off[used])
    return coefficients[0] + coefficients[1] * east + coefficients[2] * north


def broad_mean(field: Floats, known: Bools, sigma_px: float) -> Floats:
    """`smooth` (Y, X) for a wide Gaussian, reckoned on blocks of a few pixels and interpolated between them."""
    block = max(1, int(sigma_px / BLOCKS_A_SIGMA))
    rows, columns = known.shape
    border = ((0, -rows % block), (0, -columns % block))

    def blocks(values: Floats) -> Floats:
        padded = np.pad(values, border)
        return padded.reshape(padded.shape[0] // block, block, -1, block).sum(axis=(1, 3), dtype=np.float32)

    total, share = (
        gaussian_filter(blocks(part), sigma_px / block, mode="constant", truncate=3.0)
        for part in (np.where(known, field, np.float32(0)), known.astype(np.float32))
    )
    coarse = total / np.maximum(share, 1e-6)
    at = [np.clip((np.arange(n) + 0.5) / block - 0.5, 0, m - 1) for n, m in zip(known.shape, coarse.shape, strict=True)]
    low = [np.minimum(place.astype(int), max(m - 2, 0)) for place, m in zip(at, coarse.shape, strict=True)]
    part = [(place - first).astype(np.float32) for place, first in zip(at, low, strict=True)]
    high = [np.minimum(first + 1, m - 1) for first, m in zip(low, coarse.shape, strict=True)]
    along = coarse[low[0]] * (1 - part[0])[:, None] + coarse[high[0]] * part[0][:, None]
    return along[:, low[1]] * (1 - part[1]) + along[:, high[1]] * part[1]


def compact_part(movement: Deformation, parameters: DeformationParameters) -> Floats:
    """(T, Y, X) float32: each epoch less its plane and broad field; lost pixels filled from next to them, else 0."""
    broad = parameters.broad_m / movement.pixel_m
    out = np.zeros_like(movement.values)
    for t, level in enumerate(movement.values):
        known = np.isfinite(level)
        if not known.any():
            continue
        sloping = plane(level, known, movement.x, movement.y, parameters.sample_px).astype(np.float32)
        flat = np.where(known, level - sloping, np.float32(0))
        rest = np.where(known, flat - broad_mean(flat, known, broad), np.float32(0))
        out[t] = filled(rest, known, parameters)
    return out


def filled(field: Floats, known: Bools, parameters: DeformationParameters) -> Floats:
    """(Y, X) with lost pixels filled from the nearest seen: a ring that sinks about a lost core is a bowl.

    Each wider Gaussian fills what those before it did not reach; ground lost more widely than all of them counts as 0.
    """
    out, reached = np.where(known, field, np.float32(0)), known
    for sigma in parameters.fill_px:
        if reached.all():
            break
        near, share = smooth(field, known.astype(np.float32), sigma)
        new = ~reached & (share > parameters.fill_share)
        out[new] = near[new]
        reached = reached | new
    return out


def innovations(values: Floats, days: Floats) -> Floats:
    """(T - 2, Y, X): each epoch less the line between those before and after it, scaled to one epoch's noise."""
    share = ((days[1:-1] - days[:-2]) / (days[2:] - days[:-2]))[:, None, None]
    out = values[1:-1] - (1 - share) * values[:-2] - share * values[2:]
    return (out / np.sqrt(1 + share**2 + (1 - share) ** 2)).astype(np.float32)


@dataclass(frozen=True)
class Whitening:
    """Noise in Fourier space: shape padded (rows, columns), noise power and the broad field's high pass (rows, K)."""

    shape: tuple[int, int]
    power: Floats
    high_pass: Floats

    @staticmethod
    def of(values: Floats, days: Floats, pixel_m: float, parameters: DeformationParameters) -> Whitening:
        """The isotropic spectrum of the epochs' noise; each epoch counts the same."""
        pad = int(np.ceil(parameters.reach_m / pixel_m))
        rows, columns = (fft.next_fast_len(n + pad, real=True) for n in values.shape[1:])
        k = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None])
        noise = innovations(values, days)
        total = np.zeros(k.shape)
        taper = np.outer(np.hanning(values.shape[1] + 2)[1:-1], np.hanning(values.shape[2] + 2)[1:-1])
        for field in noise * taper.astype(np.float32):
            scale = float(np.sqrt(np.mean(field**2)))
            if scale > 0:
                total += np.abs(fft.rfft2(field / scale, (rows, columns))) ** 2
        bins = np.minimum((k * min(rows, columns)).astype(int), min(rows, columns) // 2)
        ring = np.bincount(bins.ravel(), total.ravel()) / np.maximum(np.bincount(bins.ravel()), 1)
        ring = np.exp(gaussian_filter(np.log(np.maximum(ring, ring.max() * 1e-6)), 1.0, mode="nearest"))
        broad = parameters.broad_m / pixel_m
        return Whitening((rows, columns), ring[bins], 1 - np.exp(-2 * (np.pi * broad * k) ** 2))

    def matched(self, bowl: Floats) -> Floats:
        """The matched filter (rows, K) of a small (n, n) bowl of odd side, unit noise power at its output."""
        rows, columns = self.shape
        padded = np.zeros(self.shape)
        half = bowl.shape[0] // 2
        across = (np.arange(bowl.shape[0]) - half) % rows
        along = (np.arange(bowl.shape[1]) - half) % columns
        np.add.at(padded, (across[:, None], along[None]), bowl)
        seen = fft.rfft2(padded) * self.high_pass
        return np.conj(seen) / self.power


def filtered(values: Floats, kernel: Floats, shape: tuple[int, int]) -> Floats:
    """(T, Y, X) float32: every epoch through a filter in Fourier space, mirrored at the scene's sides."""
    rows, columns = values.shape[1:]
    top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
    border = ((top, shape[0] - rows - top), (left, shape[1] - columns - left))
    out = np.empty(values.shape, np.float32)
    for t, epoch in enumerate(values):
        spectrum = fft.rfft2(np.pad(epoch, border, mode="symmetric")) * kernel.astype(np.complex64)
        out[t] = fft.irfft2(spectrum, shape)[top : top + rows, left : left + columns]
    return out


@dataclass(frozen=True)
class Nuisance:
    """What a series does without a face: offset, steady movement, and a yearly course where the record is long enough.

    basis: (T, p) with orthonormal columns in the weighted space. root_weight: (T,) one over each epoch's noise.
    """

    basis: Floats
    root_weight: Floats

    @staticmethod
    def of(days: Floats, root_weight: Floats, season_years: float) -> Nuisance:
        """The null model for epochs on `days` with noise 1 / `root_weight`."""
        span = max(float(days[-1] - days[0]), 1.0)
        terms = [np.ones_like(days), days / span - 0.5]
        if span >= season_years * DAYS_PER_YEAR:
            terms += [np.cos(2 * np.pi * days / DAYS_PER_YEAR), np.sin(2 * np.pi * days / DAYS_PER_YEAR)]
        return Nuisance(np.linalg.qr(np.stack(terms, axis=1) * root_weight[:, None])[0], root_weight)

    def removed(self, series: Floats) -> Floats:
        """Whitened series (T, ...) without what the null model explains."""
        kind = np.float32 if series.dtype == np.float32 else np.float64
        basis = self.basis.astype(kind)
        flat = series.reshape(len(series), -1) * self.root_weight[:, None].astype(kind)
        flat -= basis @ (basis.T @ flat)
        return flat.reshape(series.shape)


@dataclass(frozen=True)
class Weighed:
    """A filtered stack in units of its noise.

    series: (T, Y, X) float32, whitened, without the null model. nuisance: the null model. local: (Y, X) noise
    relative to the scene's, at least 1 where the ground is restless, the correlation of epochs included.
    """

    series: Floats
    nuisance: Nuisance
    local: Floats


def local_noise(stack: Floats, nuisance: Nuisance, days: Floats, known: Bools, parameters: tuple[int, float]) -> Floats:
    """(Y, X) noise from epoch to epoch relative to the scene's median, at least 1: near, and over a neighbourhood.

    Measured on the innovations, where slow movement cancels, at every `thin`-th pixel; `parameters` are `thin` and the
    neighbourhood in pixels.
    """
    thin, neighbourhood_px = parameters
    weighted = stack[:, ::thin, ::thin] * nuisance.root_weight[:, None, None].astype(np.float32)
    steps = np.abs(innovations(weighted, days)).reshape(len(days) - 2, -1)
    variance = (MAD_TO_SD * np.median(np.ascontiguousarray(steps.T), axis=1)) ** 2
    seen = known[::thin, ::thin]
    variance = variance.reshape(seen.shape) / max(float(np.median(variance.reshape(seen.shape)[seen])), 1e-12)
    wide, _ = smooth(variance, seen.astype(float), neighbourhood_px / thin)
    near = gaussian_filter(variance, 2.0 / thin, mode="nearest")
    restless = np.sqrt(np.maximum(np.maximum(near, wide), 1.0))
    return np.repeat(np.repeat(restless, thin, axis=0), thin, axis=1)[: known.shape[0], : known.shape[1]]


def weigh(stack: Floats, days: Floats, known: Bools, pixel_m: float, parameters: DeformationParameters) -> Weighed:
    """Epoch noise from the spread over the scene, local noise from the spread in time, both robust."""
    chosen = np.flatnonzero(known)
    sample = stack.reshape(len(days), -1)[:, chosen[:: max(1, len(chosen) // parameters.sample_px)]]
    root_weight = np.ones(len(days))
    for _ in range(3):
        nuisance = Nuisance.of(days, root_weight, parameters.season_years)
        residual = nuisance.removed(sample) / root_weight[:, None]
        spread = MAD_TO_SD * np.median(np.abs(residual), axis=1)
        leverage = 1 - (nuisance.basis**2).sum(axis=1)
        spread = np.maximum(spread / np.sqrt(np.maximum(leverage, 0.2)), 0.3 * np.median(spread) + 1e-12)
        root_weight = 1 / spread
    nuisance = Nuisance.of(days, root_weight, parameters.season_years)
    thin = 2 if known.size > parameters.sample_px else 1
    restless = local_noise(stack, nuisance, days, known, (thin, parameters.neighbourhood_m / pixel_m))
    return Weighed(
        nuisance.removed(stack), nuisance, restless * inflation(nuisance.removed(sample), nuisance, parameters)
    )


def inflation(series: Floats, nuisance: Nuisance, parameters: DeformationParameters) -> float:
    """How much wider a slow course's noise is than that of independent epochs, from whitened series (T, P)."""
    clipped = np.clip(series, -parameters.clip, parameters.clip)
    lost = nuisance.basis.shape[1] / len(series)
    lagged = float(np.median((clipped[1:] * clipped[:-1]).mean(axis=0)))
    correlation = lagged / max(float(np.median((clipped**2).mean(axis=0))), 1e-12) + lost
    correlation = float(np.clip(correlation, 0.0, parameters.correlation_most))
    return float(np.sqrt((1 + correlation) / (1 - correlation))) if correlation > 0.1 else 1.0


def unit_courses(weighed: Weighed, templates: Floats) -> tuple[Floats, Floats]:
    """Courses (G, T) whitened, less the null model, of length one; and their lengths (G,)."""
    units = weighed.nuisance.removed(templates.T)
    size = np.sqrt((units**2).sum(axis=0))
    least = 1e-3 * np.sqrt(((templates * weighed.nuisance.root_weight) ** 2).sum(axis=1))
    return (units / np.where(size > least, size, np.inf)).T, size


def strongest(maps: Floats, units: Floats, block: int = 4096) -> tuple[Floats, Counts]:
    """Largest amplitude among the courses (G, K) in maps (K, Y, X), and which one it is, (Y, X)."""
    flat = maps.reshape(len(maps), -1)
    highest = np.empty(flat.shape[1], np.float32)
    which = np.empty(flat.shape[1], np.int32)
    for begin in range(0, flat.shape[1], block):
        z = units @ flat[:, begin : begin + block]
        which[begin : begin + block] = z.argmax(axis=0)
        highest[begin : begin + block] = z.max(axis=0)
    return highest.reshape(maps.shape[1:]), which.reshape(maps.shape[1:])
