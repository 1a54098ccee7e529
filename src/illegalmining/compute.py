"""Where Dask computes: this machine's threads, or a scheduler that is already there; and who is told of each piece.

A piece of work is sent to a worker whole, with what it needs to read its own part of the images, and its result is
fetched as soon as it is there: a worker that dies costs the pieces it had in hand, no more.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import multiprocessing
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import dask
import numba
from dask.callbacks import Callback
from threadpoolctl import threadpool_limits

from illegalmining.district import District
from illegalmining.errors import ConfigurationError, IllegalMiningError, InputError

ANSWER = "30s"
"""How long a scheduler may take to answer."""
WORKER_WAIT_S = 120
"""How long a cluster that starts its workers when asked may take to start the first, s."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Settings of the GNU C library's memory, by the numbers of its malloc.h."""
KEPT_BYTES, LARGEST_KEPT_BYTES = 256 << 20, 32 << 20
"""What a worker keeps of what arrays gave back, and of what size; what the library itself allows at most."""

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Watcher = Callable[..., None]
CLIENT: ContextVar[Any] = ContextVar("client", default=None)
WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def computing(district: District) -> Iterator[None]:
    """Use the configured number of threads, or the configured scheduler, inside the block.

    Raises
    ------
    ConfigurationError
        No scheduler answers at the address, it has no worker, or one that cannot do the work.
    """
    compute = district.configuration.compute
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # set by the environment as Numba loads
    numba.set_num_threads(min(compute.workers, most))
    if compute.scheduler is None:
        with dask.config.set(scheduler="threads", num_workers=compute.workers):
            yield
        return
    from distributed import Client

    try:
        client = Client(compute.scheduler, timeout=ANSWER, security=security(district), set_as_default=True)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigurationError(
            f"compute.scheduler: no Dask scheduler answers at {compute.scheduler} ({error}); start it, correct the "
            "address and the certificates (tls_ca, tls_cert, tls_key), or drop the key"
        ) from error
    keep_freed()
    with client:
        check_workers(client, district)
        token = CLIENT.set(client)
        try:
            yield
        finally:
            CLIENT.reset(token)


def security(district: District) -> Any:
    """What a connection to the scheduler is secured by; certificates that are not configured are those Dask knows."""
    from distributed.security import Security

    compute = district.configuration.compute
    if not (compute.scheduler or "").startswith("tls://"):
        return None
    named = {"tls_ca_file": compute.tls_ca, "tls_client_cert": compute.tls_cert, "tls_client_key": compute.tls_key}
    files = {name: district.resolve(path) for name, path in named.items() if path is not None}
    for path in files.values():
        if not Path(path).is_file():
            raise ConfigurationError(f"compute: {path}: no such file; tls_ca, tls_cert and tls_key are PEM files")
    return Security(require_encryption=True, **files)


def check_workers(client: Any, district: District) -> None:
    """Check that there is a worker, and that each has this version and sees the district's files where they lie."""
    try:
        client.wait_for_workers(1, timeout=WORKER_WAIT_S)
    except TimeoutError as error:
        raise ConfigurationError(
            f"compute.scheduler: {district.configuration.compute.scheduler} has no worker; start some (`dask worker`)"
        ) from error
    mine = importlib.metadata.version("illegalmining")
    for worker, (version, seen) in client.run(standing_of, str(district.path)).items():
        if version != mine:
            raise ConfigurationError(
                f"worker {worker} has illegalmining {version}, this is {mine}: install the same version on all"
            )
        if not seen:
            raise ConfigurationError(
                f"worker {worker} does not see {district.path}: mount the district's folder on every worker, at the "
                "same path"
            )


def standing_of(path: str) -> tuple[str, bool]:
    """On a worker: the version it has, and whether it sees a file."""
    return importlib.metadata.version("illegalmining"), Path(path).is_file()


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of each piece done inside the block: its facts, `seconds`, `worker`."""
    token = WATCHER.set(watcher)
    try:
        yield
    finally:
        WATCHER.reset(token)


class Told:
    """Hands facts that come up while pieces are done to `take`, from whichever thread or worker they come up in."""

    def __init__(self, take: Callable[[Any], None] | None, topic: str | None = None) -> None:
        self.take, self.topic = take, topic or uuid.uuid4().hex
        if take is not None:
            LISTENING.add(self)

    def __reduce__(self) -> tuple[type[Told], tuple[None, str]]:
        return Told, (None, self.topic)

    def __call__(self, fact: Any) -> None:
        """Hand over a fact; a worker's are with the scheduler before the result of its piece is."""
        if self.take is not None:
            self.take(fact)
            return
        from distributed import get_worker

        get_worker().log_event(self.topic, [fact])  # in a list, because Dask writes into what is a mapping


LISTENING: WeakSet[Told] = WeakSet()


def hear() -> None:
    """Take what workers have told; to be called once the pieces are done."""
    client = CLIENT.get()
    if client is None:
        return
    for told in list(LISTENING):
        for _, (fact,) in client.get_events(told.topic) or ():
            if told.take is not None:
                told.take(fact)


@dataclass(frozen=True)
class Done:
    """A piece's result, how long it took, s, and who did it."""

    result: Any
    seconds: float
    worker: str


def do(work: Callable[[Any], Any], piece: Any) -> Done:
    """Do one piece and look at the clock."""
    begun = time.perf_counter()
    result = work(piece)
    return Done(result, time.perf_counter() - begun, f"{os.uname().nodename}:{os.getpid()}")


def do_there(work: Callable[[Any], Any], piece: Any) -> Done:
    """Do one piece on a worker of a cluster."""
    keep_freed()
    return do(work, piece)


@cache
def keep_freed() -> None:
    """Have this process keep the memory that arrays give back for the next ones.

    Dask's workers hand it back to the system at once, which clears it before it may be used again: a third of what a
    tile takes. Whoever puts a district's maps together waits for the same. Where the C library knows no such setting,
    nothing is done.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def crew(processes: int, at_once: int = 4) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]]:
    """Processes of this machine, for work that is all Python: applies a function to many pieces as `map`
    does, in order.

    `pieces` are taken as they are needed, `at_once` ahead for each process, so that they need not all fit into memory.

    Raises
    ------
    IllegalMiningError
        A process was ended from without, most likely for want of memory.
    """
    started = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever

    def each(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        waiting: deque[Future[Result]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(work, piece))
            if len(waiting) >= processes * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        with ProcessPoolExecutor(processes, mp_context=started, initializer=begin_worker) as pool:
            yield each
    except BrokenProcessPool as error:
        raise IllegalMiningError(
            f"one of {processes} processes was ended from without, most likely for want of memory; set fewer "
            "compute.workers and run again"
        ) from error


@contextmanager
def one_algebra_thread() -> Iterator[None]:
    """Linear algebra by one thread: sums that BLAS divides among threads round as many ways as machines have cores."""
    with hold_algebra():
        yield


def hold_algebra() -> threadpool_limits:
    """One thread of BLAS from here on, until what is returned ends as a context."""
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which is to be held as well

    return threadpool_limits(1, user_api="blas")


def begin_worker() -> None:
    """A process's own beginning: it adds like every other, and it ends with the one that started it, even if killed."""
    hold_algebra()
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def tell(facts: dict[str, Any], done: Done) -> None:
    """Tell whoever watches of a piece: what it was, how long it took, and who did it."""
    watcher = WATCHER.get()
    if watcher is not None:
        watcher(**facts, seconds=round(done.seconds, 3), worker=done.worker)


def worked(
    work: Callable[[Piece], Result],
    pieces: Sequence[Piece],
    facts: Sequence[dict[str, Any]],
    take: Callable[[int, Result], None],
) -> None:
    """Do all pieces, whoever does them. `take` is handed the place of a piece and its result as soon as it is there, in
    any order, one at a time, and whoever watches is told its facts.

    Raises
    ------
    InputError
        A piece has ended several workers, one after another.
    """
    client = CLIENT.get()
    if client is None:
        worked_here(work, pieces, facts, take)
        return
    from distributed import KilledWorker, as_completed

    run = uuid.uuid4().hex
    futures = client.map(
        partial(do_there, work), pieces, key=[f"tile-{run}-{at}" for at in range(len(pieces))], pure=False
    )
    places = {future.key: at for at, future in enumerate(futures)}
    try:
        for future, done in as_completed(futures, with_results=True):
            at = places[future.key]
            tell(facts[at], done)
            take(at, done.result)
            future.release()
    except KilledWorker as error:
        raise InputError(
            f"a tile ended {error.allowed_failures + 1} workers, one after another: most likely their memory is too "
            "small; start them with a larger --memory-limit, or fewer threads (--nthreads 1)"
        ) from error
    finally:
        client.cancel(futures)


def worked_here(
    work: Callable[[Piece], Result],
    pieces: Sequence[Piece],
    facts: Sequence[dict[str, Any]],
    take: Callable[[int, Result], None],
) -> None:
    """`worked` by this machine's threads."""
    one_at_a_time = threading.Lock()

    def whole(at: int, piece: Piece) -> Done:
        done = do(work, piece)
        with one_at_a_time:
            take(at, done.result)
        return replace(done, result=None)  # Dask would hold it until the last piece is done

    # bound beforehand, because Dask would search arguments through and through for arrays of its own
    tasks = [dask.delayed(partial(whole, at, piece), pure=False)() for at, piece in enumerate(pieces)]
    places = {task.key: at for at, task in enumerate(tasks)}

    def ended(key: str, done: Any, *_: Any) -> None:
        if key in places:
            tell(facts[places[key]], done)

    with Callback(posttask=ended):
        dask.compute(*tasks)
