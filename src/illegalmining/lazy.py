"""Arrays that are read when they are needed, window by window, wherever the reading is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

Read = Callable[[slice, slice, slice], npt.NDArray[np.float32]]
Index = tuple[slice, slice, slice]
SHELF_BYTES = 64e6
"""Pixels that are kept for whoever asks next, of each thread that reads."""


class Reader:
    """Reads any window (time, y, x) of one array; Dask calls it block by block."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def __call__(self, block_info: Any = None) -> npt.NDArray[np.float32]:
        """The block that Dask asks for."""
        return self.read(*(slice(*edges) for edges in block_info[None]["array-location"]))


READERS: WeakValueDictionary[str, Reader] = WeakValueDictionary()
"""By an array's name what reads it; alive as long as the array is."""


def lazily(read: Read, chunks: tuple[tuple[int, ...], ...], name: str) -> da.Array:
    """A float32 array (time, y, x) that `read` gives the windows of; `name` tells it from every other."""
    reader = READERS[name] = Reader(read)
    return da.map_blocks(reader, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32), name=name)


@dataclass(frozen=True)
class Window:
    """A window of an array, not yet read. source: what reads it, or the array itself, lazy or not, cut to it."""

    source: Reader | Any
    index: Index

    @classmethod
    def of(cls, array: Any, index: Index) -> Window:
        """A window of an array of any kind. Nothing beyond it is read where the array's reader is known."""
        reader = READERS.get(getattr(array, "name", ""))
        if reader is not None:
            dates, rows, columns = (slice(*part.indices(n)) for part, n in zip(index, array.shape, strict=True))
            return cls(reader, (dates, rows, columns))
        cut = array[index]
        return cls(dask.optimize(cut)[0] if isinstance(cut, da.Array) else cut, index)

    def __call__(self) -> npt.NDArray[Any]:
        """Its values."""
        if isinstance(self.source, Reader):
            return self.source.read(*self.index)
        if isinstance(self.source, da.Array):
            return np.asarray(self.source.compute(scheduler="synchronous"))
        return np.asarray(self.source)


@dataclass
class Shelf:
    """What readers had to unpack beside what they were asked for, by their own keys. room: bytes that are left."""

    kept: dict[Any, Any] = field(default_factory=dict)
    room: float = SHELF_BYTES

    def put(self, key: Any, value: Any, size: int) -> None:
        """Keep a value that takes `size` bytes."""
        self.kept[key] = value
        self.room -= size


SHELF: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Inside the block, and as long as it lasts, what one read had to unpack is there for the next."""
    token = SHELF.set(Shelf())
    try:
        yield
    finally:
        SHELF.reset(token)


def read_together(windows: Sequence[Window]) -> list[npt.NDArray[Any]]:
    """The values of windows, such as the bands of the same dates."""
    with sharing():
        return [window() for window in windows]
