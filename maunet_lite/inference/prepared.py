"""Networks made ready for inference: copies with fewer and faster operations that return the same."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import product
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from maunet_lite.inference.memory import free_memory
from maunet_lite.inference.windows import AxisWindow, resample
from maunet_lite.network import MAUNet, Output, TimmEncoder, fold_batch_norm

logger = logging.getLogger(__name__)

Place = tuple[AxisWindow, AxisWindow]  # row and column of a window

SYMMETRIES = tuple(product((False, True), range(4)))  # of a square: mirrored or not, quarter turns

_CACHE: "WeakKeyDictionary[nn.Module, tuple[tuple, Prepared]]" = WeakKeyDictionary()


class Prepared:
    """A frozen copy of `model` on `device`; the model itself keeps its mode, its place and its weights.

    Batch normalisation is folded into convolutions, and weights lie channels-last where that is faster.

    Parameters
    ----------
    model : MAUNet
    device : torch.device
    half : bool
        Compute convolutions in float16, which ends at 65,504: from the first batch on that goes beyond, they
        are computed in float32.
    """

    def __init__(self, model: MAUNet, device: torch.device, half: bool) -> None:
        self.device, self.half = device, half
        self.taken: dict[tuple, int] = {}  # bytes that a window took on CUDA, by its kind
        network = copy.deepcopy(model).eval().requires_grad_(False)
        for name, part in network.named_children():
            # timm has normalisations with an activation inside, and networks that normalise first.
            if name != "encoder" or not isinstance(part, TimmEncoder):
                fold_batch_norm(part)
        # Torch's instance normalisation has no channels-last form on CUDA and would copy twice per layer.
        self.channels_last = device.type == "cpu" or (device.type == "cuda" and model.config.norm == "batch")
        self.memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        self.network = network.to(device, memory_format=self.memory_format)

    def __call__(self, x: Tensor) -> Output:
        """Return float32 logits (B, C, H, W) and distance (B, 1, H, W) or None for images (B, 3, H, W)."""
        x = x.to(self.device).contiguous(memory_format=self.memory_format)
        precision = torch.autocast(self.device.type, torch.float16) if self.half else nullcontext()
        with torch.inference_mode(), precision:
            logits, distance = self.network(x)
        if self.half and not all(p.isfinite().all() for p in (logits, distance) if p is not None):
            logger.warning("features of this network do not fit float16: it goes on in float32, more slowly")
            self.half = False
            return self(x)
        return Output(logits.float(), None if distance is None else distance.float())


def prepare(model: MAUNet, device: torch.device, half: bool = False) -> Prepared:
    """Return `model` ready for inference; made anew only if its weights, the device or `half` changed."""
    state = [*model.parameters(), *model.buffers()]
    # Every change in place raises a tensor's version; tensors made in inference mode cannot change.
    weights = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in state)
    key = (weights, device, half)
    if model not in _CACHE or _CACHE[model][0] != key:
        _CACHE[model] = (key, Prepared(model, device, half))
    return _CACHE[model][1]


def run_windows(
    network: Prepared, planes: Tensor, places: Sequence[Place], batch_size: int | None = None,
    memory: float | None = None, flips: bool = False,
) -> Iterator[tuple[Sequence[Place], Output]]:  # fmt: skip
    """Cut `places` out of an image, run the network, and yield batches of places with their outputs.

    Parameters
    ----------
    network : Prepared
    planes : Tensor
        (3, H, W), or (1, H, W) for a grey image.
    places : sequence of (row, column)
        Windows of one size.
    batch_size : int, optional
        Windows computed at once. By default 1 on the CPU; on CUDA the first window of its size goes alone,
        and its peak tells how many fit into `memory`. Where memory runs out nevertheless, batches are halved.
    memory : float, optional
        GiB that a batch may take on CUDA; by default half of what is free.
    flips : bool
        Show every window in its eight symmetries, one after another, and yield the means.
    """
    done, automatic = 0, batch_size is None and network.device.type == "cuda"
    kind = (flips, network.half, *(axis.sample.index.shape[1] for axis in places[0])) if places else ()
    size = _fitting(network, kind, memory) if automatic and kind in network.taken else batch_size or 1
    while done < len(places):
        batch = places[done : done + size]
        if measured := automatic and kind not in network.taken:
            torch.cuda.reset_peak_memory_stats(network.device)
            before = torch.cuda.memory_allocated(network.device)
        try:
            x = torch.stack([_cut(planes, *place, network.device) for place in batch])
            output = mean_of_symmetries(network, x) if flips else network(x)
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2  # torch itself gives back what it keeps before it gives up
            continue
        if measured:
            network.taken[kind] = max(1, torch.cuda.max_memory_allocated(network.device) - before)
            size = _fitting(network, kind, memory)
        yield batch, output
        done += len(batch)


def mean_of_symmetries(network: Prepared, x: Tensor) -> Output:
    """Return the mean logits and distance over the eight symmetries of windows (B, 3, H, W)."""
    total: list[Tensor] = []
    for way in SYMMETRIES:
        seen = [turned_back(m, *way) / len(SYMMETRIES) for m in network(turned(x, *way)) if m is not None]
        total = [a + b for a, b in zip(total, seen, strict=True)] if total else seen
    return Output(*total, *[None] * (2 - len(total)))


def turned(x: Tensor, mirror: bool, turns: int) -> Tensor:
    """Return an image (..., H, W) mirrored left to right, or not, then turned left by quarters.

    Examples
    --------
    >>> turned(Tensor([[1, 2, 3], [4, 5, 6]]), mirror=True, turns=1).int().tolist()
    [[1, 4], [2, 5], [3, 6]]
    """
    return torch.rot90(x.flip(-1) if mirror else x, turns, (-2, -1))


def turned_back(x: Tensor, mirror: bool, turns: int) -> Tensor:
    """Undo `turned`."""
    x = torch.rot90(x, -turns, (-2, -1))
    return x.flip(-1) if mirror else x


def _cut(planes: Tensor, row: AxisWindow, column: AxisWindow, device: torch.device) -> Tensor:
    # Resampled on the device of the network: a GPU would wait for the CPU.
    crop = planes[:, row.source, column.source].to(device)
    return resample(resample(crop, row.sample, -2), column.sample, -1).expand(3, -1, -1)


def _fitting(network: Prepared, kind: tuple, memory: float | None) -> int:
    """Return how many windows of a kind fit into `memory` GiB."""
    budget = free_memory(network.device) // 2 if memory is None else int(memory * 2**30)
    return max(1, min(32, budget // network.taken[kind]))  # more in one batch bring nothing
