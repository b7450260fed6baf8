"""The same work in one process, in several, or on many machines: one pool for images, blocks and notebooks.

Without workers nothing of Dask is imported and items are done one by one. With them, each item is a task of
``dask.distributed`` (the extra ``[scale]``): what a lost worker was doing is done again by another one, and
an item that fails is handed back as its error and stops nothing.
"""

import os
import signal
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from maunet_lite.scale.cores import THREADS

Results = Iterator[tuple[int, Any]]

PER_WORKER = 3  # items in flight per worker: one at work, and the next ones ready
INSTALL = 'pip install -e ".[scale]"'
DEATHS = 3  # as many workers may die over an item before it counts as the cause
CONNECT_SECONDS = 20
_DEVICES = "MAUNET_LITE_GPUS"
_CONFIG = {
    "distributed.scheduler.allowed-failures": DEATHS,
    # Torch and NumPy give memory back late. A worker that is told to pause for it would pause forever; only
    # one that is about to exhaust its share is ended, and started anew.
    **{f"distributed.worker.memory.{step}": False for step in ("target", "spill", "pause")},
    "distributed.worker.memory.terminate": 0.95,
    "distributed.scheduler.http.routes": [],  # pages that anybody on the machine could read
    "distributed.worker.http.routes": [],
}


class ClusterError(ConnectionError, ValueError):
    """A Dask cluster that does not answer, or cannot do the work."""


class Pool:
    """Does items one by one, in this process."""

    n_workers = 1

    def map(self, function: Callable[..., Any], items: Iterable[Any], **common: Any) -> Results:
        """Call ``function(item, **common)`` for each item; return results as they finish.

        Parameters
        ----------
        function : callable
            Defined at the top of a module, so that other processes find it.
        items : iterable
            Taken only as fast as they are done: a generator of ten thousand images is fine. In a pool of
            processes items, results and `common` are pickled; paths travel better than arrays.
        **common
            The same for all items; sent once to each worker. Networks are not sent at all: give a name or a
            path, of which `inference.predict` reads and keeps the network once in each process.

        Yields
        ------
        index : int
            Of the item, counted from 0. Items finish in any order.
        result : object
            What `function` returned, or the exception that it raised (as a value; nothing stops).

        Examples
        --------
        >>> with open_pool() as pool:
        ...     list(pool.map(int, ["7", "x", "11"], base=8))
        [(0, 7), (1, ValueError("invalid literal for int() with base 8: 'x'")), (2, 9)]
        """
        for index, item in enumerate(items):
            try:
                result = function(item, **common)
            except Exception as error:  # an item must not stop the others
                result = error
            yield index, result


class ClusterPool(Pool):
    """Does items as tasks of a Dask cluster; made by `open_pool`."""

    def __init__(self, client: Any, workers: int | None = None) -> None:
        self._client, self._workers = client, workers

    @property
    def n_workers(self) -> int:
        """How many items are done at once: the threads of all workers that are there, at least 1."""
        return self._workers or max(1, sum(self._client.nthreads().values()))

    def map(self, function: Callable[..., Any], items: Iterable[Any], **common: Any) -> Results:
        """Call ``function(item, **common)`` on the cluster; see `Pool.map`.

        An item over which more than three workers die in turn is handed back as a RuntimeError: most often
        it needs more memory than a worker has.

        Raises
        ------
        ClusterError
            If the scheduler is gone.
        """
        from distributed import as_completed

        # A task, and not scattered data: when its last holder is lost, it is computed again.
        shared = self._client.submit(dict, common, pure=False)
        waiting, running = enumerate(items), {}
        finished = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        try:
            while True:
                for index, item in islice(waiting, max(0, PER_WORKER * self.n_workers - len(running))):
                    # from the name Dask guesses how long a task takes, and so which worker gets it
                    key = f"{getattr(function, '__name__', 'item')}-{uuid.uuid4().hex}"
                    future = self._client.submit(_call, function, item, shared, key=key)
                    running[future] = index
                    finished.add(future)
                if not running:
                    return
                future, result = next(finished)
                yield running.pop(future), _reason(result[1]) if future.status == "error" else result
                if future.status not in ("error", "finished"):
                    raise ClusterError("the connection to the Dask scheduler is lost: is it still running?")
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(running))


def _call(function: Callable[..., Any], item: Any, common: dict[str, Any]) -> Any:
    return function(item, **common)


def _reason(error: BaseException) -> BaseException:
    """Return the error of a task, or what it means that its workers died."""
    if type(error).__name__ != "KilledWorker":
        return error
    cause = "most often it needs more memory than one worker has (fewer workers have more each)"
    return RuntimeError(f"{DEATHS + 1} workers died over it, one after another: {cause}")


@contextmanager
def open_pool(
    scheduler: str | None = None, workers: int | None = None, *, gpu_per_worker: bool = False
) -> Iterator[Pool]:
    """Open a pool that does the items of a job, here or elsewhere.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, or the path of its scheduler
        file. It and its workers need the kit, and see the same files under the same paths.
        Whoever reaches its port runs code as its user, unless it is started with certificates
        (``dask scheduler --tls-…``): keep it within a network that you trust.
    workers : int, optional
        Start as many processes on this machine, each with its share of the cores and of the memory; they end
        with the pool. They talk by TLS with certificates of their own, so that no other user of the machine
        can give them work. A script that does so needs ``if __name__ == "__main__":``, as with all processes.
    gpu_per_worker : bool
        Show each started process one of the GPUs only (``CUDA_VISIBLE_DEVICES``), in turn. Workers of a
        running scheduler are given theirs where they are started.

    Yields
    ------
    Pool
        Without scheduler and workers: one that does the items one by one in this process.

    Raises
    ------
    ImportError
        If Dask is not installed; the message says how to.
    ValueError
        If both `scheduler` and `workers` are given, or `workers` is not positive.
    ClusterError
        If no scheduler answers, or its processes do not have the kit.
    """
    if scheduler is not None and workers is not None:
        raise ValueError(f"give a scheduler ({scheduler}) or a number of workers ({workers}), not both")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")
    if scheduler is None and workers is None:
        yield Pool()
        return
    try:
        import cryptography  # noqa: F401  (of which Dask makes the certificates of its processes)
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError(f"several processes need dask.distributed and cryptography: {INSTALL}") from error
    with _connected(scheduler) if scheduler else _started(workers, gpu_per_worker) as client:
        yield ClusterPool(client, workers)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """Give a client of a running scheduler, by its address or its file; the cluster is left running."""
    from importlib.util import find_spec

    from distributed import Client

    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # TypeError: it wants certificates
        cure = "start `dask scheduler` and give the address that it prints, such as tcp://10.0.0.1:8786"
        raise ClusterError(f"no Dask scheduler answers at {scheduler} ({error}): {cure}") from error
    with client:
        found = {"the scheduler": client.run_on_scheduler(find_spec, "maunet_lite")}
        found |= client.run(find_spec, "maunet_lite")
        if without := [who for who, spec in found.items() if spec is None]:
            who, cure = ", ".join(without), f"start all with a Python in which it is installed, {INSTALL}"
            raise ClusterError(f"the Dask cluster at {scheduler} does not have the kit ({who}): {cure}")
        yield client


@contextmanager
def _started(workers: int, gpu_per_worker: bool) -> Iterator[Any]:
    """Give a client of processes that are started on this machine, and end them, whatever happens."""
    import logging

    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    # a share of the cores that this process may use, and which GPUs there are
    environment = {name: os.environ.get(name, str(max(1, CPU_COUNT // workers))) for name in THREADS}
    if gpu_per_worker:
        import torch

        devices = map(str, range(torch.cuda.device_count()))
        environment[_DEVICES] = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(devices)
    names = (*environment, "PYTHONHASHSEED", "MALLOC_TRIM_THRESHOLD_")
    before = {name: os.environ[name] for name in names if name in os.environ}
    try:
        with dask.config.set({**_CONFIG, "distributed.nanny.pre-spawn-environ": environment}):
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", security=True,
                silence_logs=logging.CRITICAL, preload=__name__, env=environment,
            )  # fmt: skip
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client
    finally:  # Dask leaves what it set for its processes in this one, too
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def dask_setup(worker: Any) -> None:
    """Prepare a process that `open_pool` started; Dask calls this by its name.

    Each worker is shown its GPU before anything loads CUDA. Ctrl-C reaches all processes of a terminal: the
    workers leave it to the one that started them.

    Parameters
    ----------
    worker : distributed.Worker
        ``worker.name`` is its number, which it keeps when it is started anew.
    """
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if devices := [device for device in os.environ.get(_DEVICES, "").split(",") if device]:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(worker.name) % len(devices)]


def ahead(
    threads: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any], count: int
) -> Iterator[Any]:
    """Do ``function(item)`` for each item in threads, `count` of them ahead of whoever takes the results.

    Items are taken from their iterator in the thread of the caller, and results are given in order.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as threads:
    ...     list(ahead(threads, abs, [-1, -2, -3], 1))
    [1, 2, 3]
    """
    begun: deque[Future] = deque()
    for item in items:
        begun.append(threads.submit(function, item))
        if len(begun) > count:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
