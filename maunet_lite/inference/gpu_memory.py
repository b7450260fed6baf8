"""What a budget of GPU memory leaves for maps and windows, and where maps are summed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from maunet_lite.inference.memory import show_bytes
from maunet_lite.network import MAUNet


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
    for model in {id(model): model for model in models}.values():
        tensors = [*model.parameters(), *model.buffers()]
        copies = 2 if any(tensor.device.type == device.type for tensor in tensors) else 1
        weights += copies * sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if device.type != "cpu" and weights >= memory * 2**30:
        raise ValueError(
            f"{show_bytes(memory * 2**30)} of a GPU's memory do not hold the weights, which take "
            f"{show_bytes(weights)}: give more"
        )
    return memory - weights / 2**30


def left_for_windows(room: float | None, total: Tensor, device: torch.device) -> float | None:
    """Return what the sum of maps leaves of `room` GiB, if it lies on the device."""
    if room is None or total.device.type != device.type:
        return room
    return max(0.0, room - total.numel() * total.element_size() / 2**30)


def zeros(shape: tuple[int, int, int], device: torch.device, room: float | None = None) -> Tensor:
    """Return zeros to sum into: on the GPU where they take less than a quarter of what is free.

    `room` is a limit in GiB: they must take less than a quarter of that, too.
    """
    free = _free(device)
    if room is not None:
        free = min(free, room * 2**30)
    return torch.zeros(shape, device=device if 16 * math.prod(shape) < free else "cpu")


def _free(device: torch.device) -> float:
    """Return the free bytes of a CUDA device; 0 of any other."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
