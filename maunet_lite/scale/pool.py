"""The same work in one process, in several, or on many machines: one pool for images, blocks and notebooks.

Without workers nothing of Dask is imported and items are done one by one. With them, each item is a task of
``dask.distributed`` (the extra ``[scale]``): what a lost worker was doing is done again by another one, and
an item that fails is handed back as its error and stops nothing.
"""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maunet_lite.scale.processes import DEATHS, ClusterError, connected, local_cluster, require_dask

if TYPE_CHECKING:
    import torch

    from maunet_lite.network import MAUNet

__all__ = ["ClusterError", "ClusterPool", "Pool", "attempt", "cached_model", "open_pool"]

PER_WORKER = 3  # items in flight per worker: one at work, and the next ones ready


class Pool:
    """Does items one by one, in this process."""

    @property
    def n_workers(self) -> int:
        """How many items are done at once."""
        return 1

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
            yield index, attempt(function, item, common)


class ClusterPool(Pool):
    """Does items as tasks of a Dask cluster; made by `open_pool`."""

    def __init__(self, client: Any, workers: int | None = None) -> None:
        self._client, self._started = client, workers
        self._counted, self._counted_at = 0, -1.0

    @property
    def n_workers(self) -> int:
        """How many items are done at once: the threads of all workers that are there now, at least 1."""
        if self._started is not None:
            return self._started
        now = time.monotonic()
        if now - self._counted_at > 1:  # asking costs a message
            threads = sum(self._client.nthreads().values())
            self._counted, self._counted_at = max(1, threads), now
        return self._counted

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

        job = f"{getattr(function, '__name__', 'item')}-{uuid.uuid4().hex[:12]}"
        # A task, and not scattered data: when its last holder is lost, it is computed again.
        shared = self._client.submit(_keep, common, key=f"common-{job}")
        waiting, running, finished = enumerate(items), {}, as_completed(loop=self._client.loop)
        try:
            while True:
                for index, item in islice(waiting, max(0, PER_WORKER * self.n_workers - len(running))):
                    key = f"{job}-{index}"
                    future = self._client.submit(_attempt_there, function, item, shared, key=key, pure=False)
                    running[future] = index
                    finished.add(future)
                if not running:
                    return
                future = next(finished)
                index = running.pop(future)
                yield index, _outcome(future)
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(running))


def attempt(function: Callable[..., Any], item: Any, common: dict[str, Any]) -> Any:
    """Return ``function(item, **common)``, or the exception that it raised."""
    try:
        return function(item, **common)
    except Exception as error:  # an item must not stop the others
        return error


def _attempt_there(function: Callable[..., Any], item: Any, common: dict[str, Any]) -> Any:
    """Return what `attempt` returns, in a form that can travel."""
    result = attempt(function, item, common)
    return _portable(result) if isinstance(result, Exception) else result


def _portable(error: Exception) -> Exception:
    """Return an exception itself if it survives pickling, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _keep(common: dict[str, Any]) -> dict[str, Any]:
    return common


def _outcome(future: Any) -> Any:
    """Return the result of a finished task, or as a value what went wrong with it."""
    from distributed.scheduler import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise ClusterError("the connection to the Dask scheduler is lost: is it still running?")
    try:
        return future.result()
    except KilledWorker:
        return RuntimeError(
            f"{DEATHS + 1} workers died over it, one after another: most often it needs more memory than one "
            "worker has (fewer workers have more each)"
        )
    except Exception as error:  # its result could not be sent, or a worker could not load the function
        return _portable(error)


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
    require_dask()
    with ExitStack() as stack:
        if scheduler is not None:
            yield ClusterPool(stack.enter_context(connected(scheduler)))
        else:
            yield ClusterPool(stack.enter_context(local_cluster(workers, gpu_per_worker)), workers)


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
    >>> from maunet_lite.network import save_model
    >>> from maunet_lite.network import build_model
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
