"""Cores of a machine that others use, too: how many threads to start, and how they wait for each other."""

import os

import psutil

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def idle_cores(seconds: float | None = 0.2) -> float:
    """Return how many cores nobody used during some seconds, or (None) since the last call.

    Examples
    --------
    >>> 0 <= idle_cores(0.01) <= os.cpu_count()
    True
    """
    return (1 - psutil.cpu_percent(seconds) / 100) * (os.cpu_count() or 1)


def shared_cores(jobs: int = 1) -> dict[str, str]:
    """Return variables of a process that computes beside others; they count before torch is imported.

    It gets as many threads as there are idle cores now, at most its share. With more threads than cores, each
    step of a network waits for the thread that got none; where threads spin while they wait, as is the
    default, they take the core from the one that is waited for. These sleep.

    Parameters
    ----------
    jobs : int
        How many such processes share the cores.

    Examples
    --------
    >>> 1 <= int(shared_cores()["OMP_NUM_THREADS"]) <= usable_cores()
    True
    """
    threads = max(1, min(usable_cores() // jobs, round(idle_cores())))
    return dict.fromkeys(THREADS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
