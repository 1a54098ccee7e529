"""Arrays (N, Y, X) in Zarr of which a chunk holds all of N, read and written chunk by chunk; and lists of a few pixels.

The arrays are Zarr's (version 2), to be opened by whatever reads it. Chunks are coded here, because Zarr's
event loop takes milliseconds for each, and a night writes several of every tile and reads one of every run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc

from illegalmining.errors import InputError

COMPRESSION = Blosc(cname="lz4", clevel=1, shuffle=Blosc.BITSHUFFLE)
"""Of noise, which the memory is full of, Zstandard spares 1 to 8 % more, for twice the time read and thrice written."""
LENGTH = slice(12, 16)
"""Where Blosc's header says how long a chunk is; its own decoder reads on beyond the end of one cut short."""
Window = tuple[tuple[int, int], tuple[int, int]]
"""First and past-last row, first and past-last column."""


Numbers = npt.NDArray[np.intp]


class Picked(NamedTuple):
    """A few pixels by the chunks that hold them. many: how many. chunks: of each its place, the numbers of its pixels,
    and their rows and columns in it."""

    many: int
    chunks: list[tuple[tuple[int, int], Numbers, Numbers, Numbers]]

    @classmethod
    def of(cls, down: Numbers, across: Numbers, side: int) -> Picked:
        """Pixels by their row (P,) and column (P,), in arrays of which a chunk has that side."""
        wide = int(across.max(initial=0)) // side + 1
        numbers = down // side * wide + across // side
        chunks = []
        for number in np.unique(numbers).tolist():
            mine = np.flatnonzero(numbers == number)
            chunks.append((divmod(number, wide), mine, down[mine] % side, across[mine] % side))
        return cls(len(down), chunks)


@dataclass(frozen=True)
class Chunked:
    """An array on the disk: its folder, shape (N, Y, X), side of a chunk, and type."""

    path: Path
    shape: tuple[int, int, int]
    side: int
    dtype: str

    def make(self) -> None:
        """Make it, of zeros, of which nothing is written yet."""
        named = {"dtype": self.dtype, "compressors": COMPRESSION, "fill_value": 0, "zarr_format": 2}
        zarr.create_array(str(self.path), shape=self.shape, chunks=(self.shape[0], self.side, self.side), **named)

    def file(self, down: int, across: int) -> Path:
        """Where a chunk lies; Zarr leaves out one of nothing but zeros."""
        return self.path / f"0.{down}.{across}"

    def chunks_of(self, window: Window) -> Iterator[tuple[int, int]]:
        """The chunks that a window meets, row by row."""
        (top, bottom), (left, right) = window
        yield from product(
            range(top // self.side, -(-bottom // self.side)), range(left // self.side, -(-right // self.side))
        )

    def decoded(self, down: int, across: int) -> npt.NDArray[Any]:
        """A chunk, (N, side, side).

        Raises
        ------
        InputError
            Its file is not as it was written, or the disk does not give it back.
        """
        shape, path = (self.shape[0], self.side, self.side), self.file(down, across)
        if not path.is_file():
            return np.zeros(shape, self.dtype)
        with said(path):
            values = np.empty(shape, self.dtype)
            COMPRESSION.decode(packed_in(path), values)
        return values

    def read(self, window: Window) -> npt.NDArray[Any]:
        """A window as (N, P), the caller's own to write into."""
        (top, bottom), (left, right) = window
        values = np.empty((self.shape[0], bottom - top, right - left), self.dtype)
        for down, across in self.chunks_of(window):
            whole = self.decoded(down, across)
            if whole.shape == values.shape and (top, left) == (down * self.side, across * self.side):
                return whole.reshape(len(whole), -1)
            here, there = self.shared(window, down, across)
            values[:, *there] = whole[:, *here]
        return values.reshape(len(values), -1)

    def pick(self, pixels: Picked) -> npt.NDArray[Any]:
        """Pixels as (N, P), in their order."""
        values = np.empty((self.shape[0], pixels.many), self.dtype)
        for (y, x), mine, down, across in pixels.chunks:
            values[:, mine] = self.decoded(y, x)[:, down, across]
        return values

    def write(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Write (N, P) into a window that holds the chunks it meets whole, as far as the array goes."""
        (top, bottom), (left, right) = window
        values = values.reshape(-1, bottom - top, right - left)
        for down, across in self.chunks_of(window):
            whole = values
            if values.shape[1:] != (self.side, self.side):
                here, there = self.shared(window, down, across)
                whole = np.zeros((len(values), self.side, self.side), self.dtype)
                whole[:, *here] = values[:, *there]
            path = fresh(self.file(down, across))
            if whole.any():
                path.write_bytes(COMPRESSION.encode(np.ascontiguousarray(whole, self.dtype)))

    def take(self, other: Chunked, window: Window) -> None:
        """Have in a window what another array of the same shape has there: the same files, under a second name."""
        for chunk in self.chunks_of(window):
            if other.file(*chunk).is_file():
                same_file(other.file(*chunk), fresh(self.file(*chunk)))

    def shared(self, window: Window, down: int, across: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """What a window and a chunk share, in rows and columns of the chunk and of the window."""
        y, x = (
            (max(first, at * self.side), min(last, (at + 1) * self.side))
            for (first, last), at in zip(window, (down, across), strict=True)
        )

        def seen_from(top: int, left: int) -> tuple[slice, slice]:
            return slice(y[0] - top, y[1] - top), slice(x[0] - left, x[1] - left)

        return seen_from(down * self.side, across * self.side), seen_from(window[0][0], window[1][0])


@dataclass(frozen=True)
class Listed:
    """Numbers (N, F) of a few pixels of each tile, which Zarr has no form for: a file a tile, packed like a chunk.

    It holds whole numbers of 32 bits (1 + F, 1 + N): the pixels, counted row by row, above their numbers' bits. The
    first column stands for none, so that a tile without any has a file too, and one that was lost is missed.
    """

    path: Path
    fields: int

    def make(self) -> None:
        """Make its folder."""
        self.path.mkdir(parents=True)

    def file(self, window: Window) -> Path:
        """Where a tile's numbers lie."""
        return self.path / f"{window[0][0]}.{window[1][0]}"

    def read(self, window: Window) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Pixels (N,) of a tile and their numbers (N, F); raises InputError as `Chunked.decoded` does."""
        path = self.file(window)
        with said(path):
            table = np.frombuffer(COMPRESSION.decode(packed_in(path)), "<i4").reshape(1 + self.fields, -1)[:, 1:]
        return table[0], np.ascontiguousarray(table[1:].T).view(np.float32)

    def write(self, window: Window, pixels: npt.NDArray[np.intp], numbers: npt.NDArray[np.float32]) -> None:
        """Write the numbers (N, F) of a tile's pixels (N,)."""
        table = np.full((1 + self.fields, 1 + len(pixels)), -1, "<i4")
        table[0, 1:], table[1:, 1:] = pixels, numbers.view("<i4").T
        fresh(self.file(window)).write_bytes(COMPRESSION.encode(table))

    def take(self, other: Listed, window: Window) -> None:
        """Have of a tile what another has: the same file, under a second name."""
        same_file(other.file(window), fresh(self.file(window)))


def packed_in(path: Path) -> bytes:
    """What a file of Blosc's holds; raises ValueError where it is not as long as it was written."""
    packed = path.read_bytes()
    if len(packed) != int.from_bytes(packed[LENGTH], "little"):
        raise ValueError("its length is not what it was written with")
    return packed


@contextmanager
def said(path: Path) -> Iterator[None]:
    """Inside the block a file is read and decoded.

    Raises
    ------
    InputError
        It is not as it was written, or the disk does not give it back.
    """
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"{path}: what was remembered of a tile cannot be read ({error}); check the disk, remove "
            "state/monitoring and run again: it is made anew"
        ) from error


def fresh(path: Path) -> Path:
    """A name that no file bears: what bore it may be another array's as well, and is never written into."""
    path.unlink(missing_ok=True)
    return path


def same_file(source: Path, target: Path) -> None:
    """Give a file a second name, or where the file system knows no such thing, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
