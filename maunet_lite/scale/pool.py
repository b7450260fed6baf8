"""The same work in one process, in several, or on many machines: one pool for images, blocks and notebooks.

Without workers nothing of Dask is imported and items are done one by one. With them, each item is a task of
``dask.distributed`` (the extra ``[scale]``): what a lost worker was doing is done again by another one, and
an item that fails is handed back as its error and stops nothing.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maunet_lite.scale.processes import DEATHS, INSTALL, ClusterError, connected, started

if TYPE_CHECKING:
    import torch

    from maunet_lite.network import MAUNet

PER_WORKER = 3  # items in flight per worker: one at work, and the next ones ready


class Pool:
    """Does items one by one, in this process."""

    n_workers = 1

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], **common: Any
    ) -> Iterator[tuple[int, Any]]:
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
            path, and let `function` call `cached_model`.

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
        self._client, self._started = client, workers

    @property
    def n_workers(self) -> int:
        """How many items are done at once: the threads of all workers that are there, at least 1."""
        return self._started or max(1, sum(self._client.nthreads().values()))

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], **common: Any
    ) -> Iterator[tuple[int, Any]]:
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
    return RuntimeError(
        f"{DEATHS + 1} workers died over it, one after another: most often it needs more memory than one "
        "worker has (fewer workers have more each)"
    )


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
    workers : int, optional
        Start as many processes on this machine, each with its share of the cores and of the memory; they end
        with the pool. A script that does so needs ``if __name__ == "__main__":``, as with all processes.
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
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError(f"several processes or machines need dask.distributed: {INSTALL}") from error
    with connected(scheduler) if scheduler else started(workers, gpu_per_worker) as client:
        yield ClusterPool(client, workers)


def ahead(
    threads: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any], count: int
) -> Iterator[Future]:
    """Begin ``function(item)`` for each item in threads, `count` of them ahead of whoever takes the results.

    Items are taken from their iterator in the thread of the caller, and futures are given in order.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as threads:
    ...     [future.result() for future in ahead(threads, abs, [-1, -2, -3], 1)]
    [1, 2, 3]
    """
    begun: deque[Future] = deque()
    for item in items:
        begun.append(threads.submit(function, item))
        if len(begun) > count:
            yield begun.popleft()
    yield from begun


def cached_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> MAUNet:
    """Return a model that each process loads once.

    Parameters
    ----------
    name_or_path : str or Path
        See `network.load_model`. A file that has changed since is loaded again.
    device : str or torch.device
        ``"auto"`` means the best device of the process that asks.

    Returns
    -------
    MAUNet
        In evaluation mode. The same object each time, so do not change it.

    Examples
    --------
    >>> from maunet_lite.network import build_model, save_model
    >>> path = save_model(build_model("lite"), getfixture("tmp_path") / "mine.safetensors")
    >>> cached_model(path) is cached_model(str(path))
    True
    """
    from maunet_lite.inference import resolve_device
    from maunet_lite.network import find_checkpoint

    path = find_checkpoint(name_or_path)
    return _load(path.resolve(), path.stat().st_mtime_ns, str(resolve_device(device)))


@lru_cache(maxsize=4)
def _load(path: Path, modified: int, device: str) -> MAUNet:
    from maunet_lite.network import load_model

    return load_model(path, device)
