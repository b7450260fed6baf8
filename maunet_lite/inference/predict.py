"""From an image to maps: windows, scales and ensembles (paper sections 2.3 and 4.1).

The published recipe is ``predict([r50, wr50], image, scales=PUBLISHED_SCALES)``: the mean of logits and of
distances over two networks and three scales.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from maunet_lite.inference.devices import checked_half, resolve_device
from maunet_lite.inference.ensembles import Heads, Model, as_models, intensity_of
from maunet_lite.inference.memory import left_for_maps, zeros
from maunet_lite.inference.prepared import prepare, run_windows
from maunet_lite.inference.windows import AxisWindow, plan_axis, resample
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import Maps
from maunet_lite.preprocessing import Scaling, normalize

PUBLISHED_SCALES = (1.0, 1.25, 1.5)
MULTI_SCALE_LIMIT = 25_000_000  # pixels; above, the authors use a single scale


def predict(
    model_or_models: Model | Sequence[Model], image: np.ndarray | Tensor,
    scales: Sequence[float] = (1.0,), window: int | None = None, overlap: float | None = None,
    device: str | torch.device = "auto", *, batch_size: int | None = None, memory: float | None = None,
    half: bool | None = None, single_scale_above: int = MULTI_SCALE_LIMIT, flips: bool = False,
    progress: bool = False,
) -> Maps:  # fmt: skip
    """Return class probabilities and the distance field of an image of any size.

    The image is normalised, seen in overlapping windows at each of the `scales` by each of the models, and
    what comes back is blended, resized to the image and averaged: logits and distances, as published. Nothing
    is computed twice for an image that fits into one window. Memory beside the image: 12 bytes per pixel (4
    if it is grey) for the normalised image and 4 for each map that is returned.

    Parameters
    ----------
    model_or_models : MAUNet, name or path, or a sequence of them
        All with or all without the boundary class. In an ensemble of networks with and without the proxy,
        each network's softmax includes its own proxy, which is then left out. The distance is the mean over
        the networks that have one. The networks themselves are left as they are: training mode, device and
        weights.
    image : ndarray or Tensor
        (H, W) or (H, W, C), at least 1 × 1 pixels, of any type that `preprocessing.normalize` takes. A Tensor
        (C, H, W) is normalised already, by `to_planes`.
    scales : sequence of float
        Sizes at which the network sees the image, relative to its own; the authors use (1, 1.25, 1.5).
    window : int, optional
        Largest side of the square windows in pixels, a multiple of the networks' stride. By default 512 as in
        the paper, and 1024 for networks that only have batch normalisation, whose result does not depend on
        the window.
    overlap : float, optional
        Fraction of the window that neighbours share at least and blend over; by default 128 pixels of it.
    device : str or torch.device
        See `resolve_device`.
    batch_size : int, optional
        Windows computed at once; by default 1 on the CPU, and as many as `memory` holds on a GPU.
    memory : float, optional
        GiB that weights, maps and a batch of windows may take on a GPU together; one window is computed
        whatever it takes. By default a batch may take half of what is free.
    half : bool, optional
        Half precision; by default on CUDA only, the only device where it is known to be faster.
    single_scale_above : int
        Images of more pixels are seen at one scale only, the one of `scales` closest to 1.
    flips : bool
        Show every window in its eight symmetries, turned and mirrored, and average logits and distances.
        Takes eight times as long, and no more memory than the results of a second window.
    progress : bool
        Show a progress bar over windows.

    Returns
    -------
    Maps
        probabilities (C, H, W) float32 with C = 2, 3 or 4: background, interior, boundary, proxy. A network
        with proxy and without boundary class returns C = 4 and a boundary of 0. distance (H, W) float32, or
        None.

    Raises
    ------
    ImageError
        If the image cannot be normalised.
    ValueError
        If the models' classes or the scaling of their images differ, or an option has a value it cannot have.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> image = np.random.default_rng(0).integers(0, 255, (50, 70), dtype=np.uint8)
    >>> maps = predict(build_model("lite"), image, scales=(1, 1.5), device="cpu")
    >>> maps.probabilities.shape, maps.distance.shape
    ((4, 50, 70), (50, 70))
    """
    models = as_models(model_or_models)
    device = resolve_device(device)
    half = checked_half(half, device)
    planes = image if isinstance(image, Tensor) else to_planes(image, intensity_of(models))
    height, width = planes.shape[1:]
    scales = checked_scales(scales, height * width, single_scale_above)
    heads = Heads.of(models)
    grids = plan_windows(models, (height, width), scales, window, overlap)
    jobs = [(grid.model, list(product(grid.rows, grid.columns))) for grid in grids]
    total, room = zeros((heads.n_maps, height, width), device, left_for_maps(memory, models, device))
    n_windows = sum(len(places) for _, places in jobs)
    with tqdm(total=n_windows, unit="window", disable=not progress) as bar, torch.inference_mode():
        for model, places in jobs:
            network = prepare(model, device, half)
            for batch, output in run_windows(network, planes, places, batch_size, room, flips):
                for place, values in zip(batch, heads.share(output, model, len(scales)), strict=True):
                    add_window(total[: len(values)], values, *place)
                bar.update(len(batch))
        return heads.maps(total)


class Grid(NamedTuple):
    """The windows in which a model sees an image at one scale: all pairs of `rows` and `columns`."""

    model: MAUNet
    rows: list[AxisWindow]
    columns: list[AxisWindow]


def plan_windows(
    models: Sequence[MAUNet], shape: tuple[int, int], scales: Sequence[float], window: int | None = None,
    overlap: float | None = None,
) -> list[Grid]:  # fmt: skip
    """Return one grid of windows for each model and scale; arguments as in `predict`.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> (grid,) = plan_windows([build_model("lite")], (600, 2000), scales=(1.0,), window=512)
    >>> len(grid.rows), len(grid.columns)
    (2, 5)
    """
    grids = []
    for model, scale in product(models, scales):
        side = window or default_window(model)
        shared = min(128, side // 4) if overlap is None else round(overlap * side)
        rows, columns = (plan_axis(n, scale, side, shared, model.stride) for n in shape)
        grids.append(Grid(model, rows, columns))
    return grids


def default_window(model: MAUNet) -> int:
    """Return the largest side of a window for `model` (see `predict`)."""
    local = not any(isinstance(part, nn.InstanceNorm2d) for part in model.modules())
    # 512 is the authors' window; where results do not depend on it, a larger one wastes less on overlaps.
    return 1024 if local and not model.config.encoder.startswith("timm:") else 512


def to_planes(image: np.ndarray, intensity: str = "robust", scaling: Scaling | None = None) -> Tensor:
    """Return the normalised image as (3, H, W), or (1, H, W) if it is grey; arguments as in `normalize`."""
    normalized = normalize(image, intensity, scaling=scaling)
    if np.ndim(image) == 2 or np.shape(image)[2] == 1:
        normalized = normalized[..., :1].copy()  # the other two channels are the same: a third of the memory
    return torch.from_numpy(normalized).permute(2, 0, 1)


def add_window(total: Tensor, values: Tensor, row: AxisWindow, column: AxisWindow) -> None:
    """Add the (C, window, window) result of a window, resized and weighted, to where it belongs."""
    restored = resample(resample(values, row.restore, -2), column.restore, -1).to(total.device)
    weight = torch.outer(*(torch.from_numpy(axis.weight).to(total.device) for axis in (row, column)))
    total[:, row.target, column.target].addcmul_(restored, weight)


def checked_scales(scales: Sequence[float], n_pixels: int, limit: int) -> list[float]:
    """Return the scales at which an image of `n_pixels` is seen: above `limit` only the one closest to 1."""
    scales = [float(scale) for scale in scales]
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales must be one or more positive numbers such as (1, 1.25, 1.5), got {scales}")
    return [min(scales, key=lambda scale: abs(math.log(scale)))] if n_pixels > limit else scales
