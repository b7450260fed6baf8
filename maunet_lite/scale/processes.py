"""Processes of a pool: those of a running Dask cluster, or some started here that end with the pool."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

INSTALL = "pip install 'maunet-lite[scale]'"
DEATHS = 3  # as many workers may die over an item before it counts as the cause
CONNECT_SECONDS = 20
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DEVICES = "MAUNET_LITE_GPUS"
_CONFIG = {
    "distributed.scheduler.allowed-failures": DEATHS,
    # Torch and NumPy give memory back late. A worker that is told to pause for it would pause forever; only
    # one that is about to exhaust its share is ended, and started anew.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


class ClusterError(ConnectionError, ValueError):
    """A Dask cluster that does not answer, or cannot do the work."""


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Give a client of a running scheduler, by its address or its file; the cluster is left running."""
    from importlib.util import find_spec

    from distributed import Client

    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with `dask scheduler` and give "
            "the address that it prints, such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        found = {"the scheduler": client.run_on_scheduler(find_spec, "maunet_lite")}
        found |= client.run(find_spec, "maunet_lite")
        without = [who for who, spec in found.items() if spec is None]
        if without:
            raise ClusterError(
                f"the Dask cluster at {scheduler} does not have the kit ({', '.join(without)}): start "
                f"scheduler and workers with a Python in which it is installed, {INSTALL}"
            )
        yield client


@contextmanager
def started(workers: int, gpu_per_worker: bool) -> Iterator[Any]:
    """Give a client of processes that are started on this machine, and end them, whatever happens."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    environment = _worker_environment(workers, gpu_per_worker)
    changed = (*environment, "PYTHONHASHSEED", "MALLOC_TRIM_THRESHOLD_")
    before = {name: os.environ.get(name) for name in changed}
    settings = {**_CONFIG, "distributed.nanny.pre-spawn-environ": environment}
    try:
        with dask.config.set(settings), _later_interrupts():
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL, preload=__name__, env=environment,
            )  # fmt: skip
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client
    finally:  # Dask leaves what it set for its processes in this one, too
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


@contextmanager
def _later_interrupts() -> Iterator[None]:
    """Hold a Ctrl-C back until the processes have started; they never see one, as they inherit this."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker_environment(workers: int, gpu_per_worker: bool) -> dict[str, str]:
    """Return variables for started processes: a share of the cores, and which GPUs there are."""
    from dask.system import CPU_COUNT  # that this process may use

    threads = str(max(1, CPU_COUNT // workers))
    environment = {name: os.environ.get(name, threads) for name in _THREADS}
    if gpu_per_worker:
        import torch

        devices = map(str, range(torch.cuda.device_count()))
        environment[_DEVICES] = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(devices)
    return environment


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
    devices = [device for device in os.environ.get(_DEVICES, "").split(",") if device]
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(worker.name) % len(devices)]
