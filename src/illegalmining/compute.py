"""Where Dask computes: this machine's threads, or a scheduler that is already there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
import numba

from illegalmining.district import ComputeSection
from illegalmining.errors import ConfigurationError


@contextmanager
def computing(compute: ComputeSection) -> Iterator[None]:
    """Use the configured number of threads, or the configured scheduler, inside the block.

    Raises
    ------
    ConfigurationError
        No scheduler answers at the address.
    """
    numba.set_num_threads(min(compute.workers, os.cpu_count() or 1))
    if compute.scheduler is None:
        with dask.config.set(scheduler="threads", num_workers=compute.workers):
            yield
        return
    from distributed import Client

    try:
        client = Client(compute.scheduler, timeout="30s", set_as_default=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"compute.scheduler: no Dask scheduler answers at {compute.scheduler} ({error}); start it or drop the key"
        ) from error
    with client:
        yield
