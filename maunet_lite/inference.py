"""From an image to maps and labels: windows, scales and ensembles (paper sections 2.3 and 4.1).

The published recipe is ``predict([r50, wr50], image, scales=PUBLISHED_SCALES)``: the mean of logits and of
distances over two networks and three scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from maunet_lite.checkpoints import find_checkpoint, load_model
from maunet_lite.ensembles import Heads
from maunet_lite.gpu_memory import left_for_maps, left_for_windows, zeros
from maunet_lite.model import MAUNet
from maunet_lite.postprocessing import Maps, PostprocessConfig
from maunet_lite.postprocessing import segment as segment_maps
from maunet_lite.prepared import prepare, run_windows
from maunet_lite.preprocessing import normalize
from maunet_lite.run_lengths import number_in_reading_order
from maunet_lite.size import Size, estimate_diameter, negative, zoom_for
from maunet_lite.windows import AxisWindow, plan_axis, resample

PUBLISHED_SCALES = (1.0, 1.25, 1.5)
MULTI_SCALE_LIMIT = 25_000_000  # pixels; above, the authors use a single scale
WINDOW = 512  # the authors' window, and the size of their training patches
WIDE_WINDOW = 1024  # where results do not depend on the window, a larger one wastes less on overlaps
OVERLAP = 128  # pixels

Model = MAUNet | str | Path


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on: for ``"auto"`` CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If `device` is no device, or one that is not there: CUDA, MPS, or the number of a GPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        name = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else name)
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device {device!r} is not known: use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from error
    name = {"cuda": "CUDA", "mps": "MPS"}.get(resolved.type)
    if name is None:
        return resolved
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    else:
        count = int(torch.backends.mps.is_available())
    if not count:
        raise ValueError(
            f"device {str(device)!r}: torch {torch.__version__} sees no {name} device here; "
            "use 'auto' or 'cpu'"
        )
    if (resolved.index or 0) >= count:
        known = ", ".join(f"'{resolved.type}:{index}'" for index in range(count))
        raise ValueError(f"device {str(device)!r} is not there: torch sees {known} here")
    return resolved


def segment(
    image: np.ndarray,
    model: Model | Sequence[Model] = "lite",
    device: str | torch.device = "auto",
    postprocess: str | PostprocessConfig = "default",
    scales: Sequence[float] | str = "auto",
    *,
    diameter: float | None = None,
    **options: object,
) -> np.ndarray:
    """Segment the cells of an image: `predict`, then `postprocessing.segment`.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, C), of any type that `preprocessing.normalize` takes.
    model : str, Path, MAUNet or a sequence of them
        A shipped name, a file, a training folder, a network, or an ensemble. Files are read once and kept.
    device : str or torch.device
        ``"auto"`` takes a GPU where there is one.
    postprocess : str or PostprocessConfig
        A name `PostprocessConfig.named` knows, or the numbers themselves.
    scales : sequence of float or "auto"
        Sizes at which the network sees the image, relative to its own. ``"auto"``: one, the size at which the
        network knows cells of this diameter best (`choose_size`).
    diameter : float, optional
        Diameter of the cells in pixels, instead of an estimate; only with ``scales="auto"``.
    **options
        Passed to `predict`.

    Returns
    -------
    ndarray
        (H, W) int32: 0 background, cells 1 … N.

    Examples
    --------
    >>> from maunet_lite.model import build_model
    >>> image = np.zeros((40, 60), dtype=np.uint8)
    >>> segment(image, model=build_model("lite"), device="cpu").shape
    (40, 60)
    """
    config = PostprocessConfig.named(postprocess) if isinstance(postprocess, str) else postprocess
    return segment_sized(model, image, config, scales, diameter=diameter, device=device, **options).labels


class Sized(NamedTuple):
    """Cells of an image, (H, W) int32, the maps that they were found in, and the size that was chosen.

    Where the image was enlarged, the maps are those of the enlarged image.
    """

    labels: np.ndarray
    maps: Maps
    size: Size | None


def segment_sized(
    model_or_models: Model | Sequence[Model],
    image: np.ndarray,
    config: PostprocessConfig,
    scales: Sequence[float] | str = "auto",
    *,
    diameter: float | None = None,
    device: str | torch.device = "auto",
    **options: object,
) -> Sized:
    """Segment as `segment` does, and tell how.

    Small cells are cut apart where the network saw them, in the enlarged image: in the image's own pixels
    nothing is left of the boundaries between them.

    Returns
    -------
    Sized
    """
    if not isinstance(scales, str):
        maps = predict(model_or_models, image, scales, diameter=diameter, device=device, **options)
        return Sized(segment_maps(maps, config, keep_steps=False).labels, maps, None)
    _check_auto(scales)
    size = choose_size(model_or_models, image, device=device, diameter=diameter)
    if size.maps is not None:
        return Sized(segment_maps(size.maps, config, keep_steps=False).labels, size.maps, size)
    seen = normalize(image, intensity_of(as_models(model_or_models)))
    seen = negative(seen) if size.negative else seen
    shape, how = seen.shape[:2], {"device": device, "normalized": True, **options}
    if size.zoom <= 1:
        maps = predict(model_or_models, seen, (size.zoom,), **how)
        return Sized(segment_maps(maps, config, keep_steps=False).labels, maps, size)
    larger = [round(n * size.zoom) for n in shape[::-1]]
    maps = predict(model_or_models, cv2.resize(seen, larger, interpolation=cv2.INTER_LINEAR), (1.0,), **how)
    labels = segment_maps(maps, config, keep_steps=False).labels
    labels = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return Sized(number_in_reading_order(labels), maps, size)


def choose_size(
    model_or_models: Model | Sequence[Model],
    image: np.ndarray,
    *,
    device: str | torch.device = "auto",
    diameter: float | None = None,
) -> Size:
    """Say at which scale the network is to see an image, and why.

    Parameters
    ----------
    model_or_models, image, device
        As in `predict`.
    diameter : float, optional
        Of the cells in pixels, if it is known; else it is estimated (`size.estimate_diameter`).

    Returns
    -------
    Size

    Examples
    --------
    >>> from maunet_lite.model import build_model
    >>> choose_size(build_model("lite"), np.zeros((90, 70)), diameter=104, device="cpu").zoom
    0.2692307692307692
    """
    if diameter is not None:
        return Size(float(diameter), zoom_for(diameter))
    models = as_models(model_or_models)

    def look(part: np.ndarray) -> Maps:
        return predict(models, part, (1.0,), device=device, normalized=True)

    return estimate_diameter(look, normalize(image, intensity_of(models)))


def _check_auto(scales: str) -> None:
    if scales != "auto":
        raise ValueError(f'scales is {scales!r}; expected "auto" or numbers such as (1, 1.25, 1.5)')


def predict(
    model_or_models: Model | Sequence[Model],
    image: np.ndarray,
    scales: Sequence[float] | str = (1.0,),
    window: int | None = None,
    overlap: float | None = None,
    device: str | torch.device = "auto",
    *,
    diameter: float | None = None,
    normalized: bool = False,
    batch_size: int | None = None,
    memory: float | None = None,
    half: bool | None = None,
    single_scale_above: int = MULTI_SCALE_LIMIT,
    progress: bool = False,
) -> Maps:
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
    image : ndarray
        (H, W) or (H, W, C), at least 1 × 1 pixels, of any type that `preprocessing.normalize` takes.
    scales : sequence of float or "auto"
        Sizes at which the network sees the image, relative to its own; the authors use (1, 1.25, 1.5).
        ``"auto"``: the one that `choose_size` chooses.
    window : int, optional
        Largest side of the square windows in pixels, a multiple of the networks' stride. By default 512 as in
        the paper, and 1024 for networks that only have batch normalisation, whose result does not depend on
        the window.
    overlap : float, optional
        Fraction of the window that neighbours share at least and blend over; by default 128 pixels of it.
    device : str or torch.device
        See `resolve_device`.
    diameter : float, optional
        Diameter of the cells in pixels, with ``scales="auto"``: no estimate is made.
    normalized : bool
        The image is (H, W, 3) float32 in [0.01, 0.99] already.
    batch_size : int, optional
        Windows computed at once; by default 1 on the CPU, and as many as `memory` holds on a GPU.
    memory : float, optional
        GiB that weights, maps and a batch of windows may take on a GPU together; one window is computed
        whatever it takes. By default a batch may take half of what is free.
    half : bool, optional
        Half precision; by default on CUDA only, the only device where it is known to be faster.
    single_scale_above : int
        Images of more pixels are seen at one scale only, the one of `scales` closest to 1.
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
    >>> from maunet_lite.model import build_model
    >>> image = np.random.default_rng(0).integers(0, 255, (50, 70), dtype=np.uint8)
    >>> maps = predict(build_model("lite"), image, scales=(1, 1.5), device="cpu")
    >>> maps.probabilities.shape, maps.distance.shape
    ((4, 50, 70), (50, 70))
    """
    models = as_models(model_or_models)
    device = resolve_device(device)
    half = checked_half(half, device)
    if isinstance(scales, str):
        _check_auto(scales)
        size = choose_size(models, image, device=device, diameter=diameter)
        if size.maps is not None:
            return size.maps
        scales = (size.zoom,)
        if size.negative:
            image, normalized = negative(normalize(image, intensity_of(models))), True
    elif diameter is not None:
        raise ValueError(f'diameter sets the scale: leave out scales={tuple(scales)}, or say "auto"')
    planes = _planes(image, intensity_of(models), normalized)
    height, width = planes.shape[1:]
    scales = checked_scales(scales, height * width, single_scale_above)
    heads = Heads.of(models)
    grids = plan_windows(models, (height, width), scales, window, overlap)
    jobs = [(grid.model, list(product(grid.rows, grid.columns))) for grid in grids]
    room = left_for_maps(memory, models, device)
    total = zeros((heads.n_maps, height, width), device, room)
    room = left_for_windows(room, total, device)
    n_windows = sum(len(places) for _, places in jobs)
    with tqdm(total=n_windows, unit="window", disable=not progress) as bar, torch.inference_mode():
        for model, places in jobs:
            network = prepare(model, device, half)
            for batch, output in run_windows(network, planes, places, batch_size, room):
                for place, values in zip(batch, heads.share(output, model, len(scales)), strict=True):
                    _blend(total[: len(values)], values, *place)
                bar.update(len(batch))
        return heads.maps(total)


class Grid(NamedTuple):
    """The windows in which a model sees an image at one scale: all pairs of `rows` and `columns`."""

    model: MAUNet
    rows: list[AxisWindow]
    columns: list[AxisWindow]


def plan_windows(
    models: Sequence[MAUNet],
    shape: tuple[int, int],
    scales: Sequence[float],
    window: int | None = None,
    overlap: float | None = None,
) -> list[Grid]:
    """Return one grid of windows for each model and scale; arguments as in `predict`.

    Examples
    --------
    >>> from maunet_lite.model import build_model
    >>> (grid,) = plan_windows([build_model("lite")], (600, 2000), scales=(1.0,), window=512)
    >>> len(grid.rows), len(grid.columns)
    (2, 5)
    """
    grids = []
    for model, scale in product(models, scales):
        side = window or default_window(model)
        shared = min(OVERLAP, side // 4) if overlap is None else round(overlap * side)
        rows, columns = (plan_axis(n, scale, side, shared, model.stride) for n in shape)
        grids.append(Grid(model, rows, columns))
    return grids


def default_window(model: MAUNet) -> int:
    """Return the largest side of a window for `model` (see `predict`)."""
    local = not any(isinstance(part, nn.InstanceNorm2d) for part in model.modules())
    return WIDE_WINDOW if local and not model.config.encoder.startswith("timm:") else WINDOW


def intensity_of(models: Sequence[MAUNet]) -> str:
    """Return how images are scaled for `models`; refuse an ensemble that does not agree on it."""
    ways = sorted({model.config.intensity for model in models})
    if len(ways) > 1:
        raise ValueError(f"the networks were trained on differently scaled images ({', '.join(ways)})")
    return ways[0]


def _planes(image: np.ndarray, intensity: str, done: bool = False) -> Tensor:
    """Return the normalised image as (3, H, W), or (1, H, W) if it is grey; it may be normalised already."""
    normalized = image if done else normalize(image, intensity)
    if np.ndim(image) == 2 or np.shape(image)[2] == 1:
        normalized = normalized[..., :1].copy()  # the other two channels are the same: a third of the memory
    return torch.from_numpy(normalized).permute(2, 0, 1)


def _blend(total: Tensor, values: Tensor, row: AxisWindow, column: AxisWindow) -> None:
    """Add the (C, window, window) result of a window, resized and weighted, to where it belongs."""
    restored = resample(resample(values, row.restore, -2), column.restore, -1).to(total.device)
    weight = torch.from_numpy(np.outer(row.weight, column.weight)).to(total.device)
    total[:, row.target, column.target].addcmul_(restored, weight)


def as_models(models: Model | Sequence[Model]) -> list[MAUNet]:
    """Return the networks that are meant by a name, a path, a network or a sequence of them."""
    models = [models] if isinstance(models, (nn.Module, str, Path)) else list(models)
    if not models:
        raise ValueError("no model was given: name one, such as 'lite', or pass a network")
    return [_load(find_checkpoint(model)) if isinstance(model, (str, Path)) else model for model in models]


def _load(path: Path) -> MAUNet:
    return _load_cached(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load_cached(path: Path, modified: int) -> MAUNet:
    return load_model(path)


def checked_scales(scales: Sequence[float], n_pixels: int, limit: int) -> list[float]:
    """Return the scales at which an image of `n_pixels` is seen: above `limit` only the one closest to 1."""
    scales = [float(scale) for scale in scales]
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales must be one or more positive numbers such as (1, 1.25, 1.5), got {scales}")
    return [min(scales, key=lambda scale: abs(math.log(scale)))] if n_pixels > limit else scales


def checked_half(half: bool | None, device: torch.device) -> bool:
    """Return whether to compute in half precision; by default on CUDA only."""
    if half and device.type != "cuda":
        raise ValueError(f"half=True needs a CUDA device, but the device is {device}: leave half out")
    return device.type == "cuda" if half is None else half
