"""Memory: what a process holds, and what a GPU's budget leaves."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from maunet_lite.data import show_bytes
from maunet_lite.network import MAUNet


def current_memory() -> int:
    """Return the memory that this process holds now, in bytes (resident set size).

    Examples
    --------
    >>> current_memory() > 2**20
    True
    """
    import psutil

    return int(psutil.Process().memory_info().rss)


def left_for_maps(memory: float | None, models: Sequence[MAUNet], device: torch.device) -> float | None:
    """Return what weights leave of `memory` GiB on a device; None if there is no limit.

    `prepare` copies each network; a network that lies on the device itself counts twice.

    Raises
    ------
    ValueError
        If a GPU's memory does not even hold the weights.
    """
    if memory is None:
        return None
    weights = 0
    for model in set(models):
        tensors = [*model.parameters(), *model.buffers()]
        copies = 2 if any(tensor.device.type == device.type for tensor in tensors) else 1
        weights += copies * sum(tensor.nbytes for tensor in tensors)
    if device.type != "cpu" and weights >= memory * 2**30:
        given, taken = show_bytes(memory * 2**30), show_bytes(weights)
        raise ValueError(f"{given} of a GPU's memory do not hold the weights, which take {taken}: give more")
    return memory - weights / 2**30


def zeros(
    shape: tuple[int, int, int], device: torch.device, room: float | None = None
) -> tuple[Tensor, float | None]:
    """Return zeros to sum into, and what they leave of `room` GiB for windows.

    They lie on the GPU where they take less than a quarter of what is free, and of `room` if there is a
    limit; elsewhere they leave all of it.
    """
    free = min(free_memory(device), math.inf if room is None else room * 2**30)
    total = torch.zeros(shape, device=device if 16 * math.prod(shape) < free else "cpu")
    apart = room is None or total.device.type != device.type
    return total, room if apart else max(0.0, room - total.nbytes / 2**30)


def free_memory(device: torch.device) -> int:
    """Return the bytes left on a CUDA device, with those that torch keeps for later; 0 of any other."""
    if device.type != "cuda":
        return 0
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
