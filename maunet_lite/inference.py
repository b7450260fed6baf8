"""From an image to maps and labels: windows, scales and ensembles (paper sections 2.3 and 4.1).

The published recipe is ``predict([r50, wr50], image, scales=(1, 1.25, 1.5))``: the mean of logits and of distances
over two networks and three scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maunet_lite.checkpoints import find_checkpoint, load_model
from maunet_lite.model import MAUNet
from maunet_lite.postprocessing import Maps, PostprocessConfig
from maunet_lite.postprocessing import segment as postprocess_maps
from maunet_lite.preprocessing import normalize
from maunet_lite.windows import AxisWindow, plan_axis

PUBLISHED_SCALES = (1.0, 1.25, 1.5)
ROWS = 256  # rows turned into probabilities at a time


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on: for ``"auto"`` CUDA, else Apple's MPS, else the CPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def segment(
    image: np.ndarray,
    model: str | Path | MAUNet | Sequence[MAUNet] = "lite",
    device: str | torch.device = "auto",
    postprocess: str | PostprocessConfig = "default",
    scales: Sequence[float] = (1.0,),
    **options: object,
) -> np.ndarray:
    """Segment the cells of an image: `predict`, then `postprocessing.segment`.

    Returns (H, W) int32 labels, 0 for background.
    """
    config = PostprocessConfig.named(postprocess) if isinstance(postprocess, str) else postprocess
    maps = predict(model, image, scales=scales, device=device, **options)
    return postprocess_maps(maps, config).labels


def predict(
    model_or_models: MAUNet | str | Path | Sequence[MAUNet | str | Path],
    image: np.ndarray,
    scales: Sequence[float] = (1.0,),
    window: int = 512,
    overlap: float = 0.25,
    device: str | torch.device = "auto",
    *,
    batch_size: int = 1,
    single_scale_above: int = 25_000_000,
    progress: bool = False,
) -> Maps:
    """Return class probabilities and the distance field of an image of any size.

    Parameters
    ----------
    model_or_models : MAUNet, name or path, or a sequence of them
    image : ndarray
        (H, W) or (H, W, C), anything `preprocessing.normalize` takes.
    scales : sequence of float
        Sizes at which the network sees the image, relative to its own; results are averaged.
    window, overlap
        Side of the square windows in pixels, and the fraction that neighbours share at least.
    device : str or torch.device
    batch_size : int
        Windows computed at once.
    single_scale_above : int
        Images of more pixels are seen at one scale only, the one closest to 1.
    progress : bool
        Show a progress bar over windows.

    Returns
    -------
    Maps
        probabilities (C, H, W) float32, proxy included, and distance (H, W) float32 or None.
    """
    models = _as_models(model_or_models)
    device = resolve_device(device)
    planes = torch.from_numpy(normalize(image)).permute(2, 0, 1)  # (3, H, W)
    height, width = planes.shape[1:]
    if height * width > single_scale_above:
        scales = (min(scales, key=lambda scale: abs(math.log(scale))),)
    n_logits = models[0].n_classes + models[0].config.proxy
    with_distance = models[0].config.distance
    total = torch.zeros(n_logits + with_distance, height, width)
    members = len(models) * len(scales)
    with torch.inference_mode():
        for model in models:
            training, home = model.training, next(model.parameters()).device
            model.eval().to(device)
            for scale in scales:
                rows, columns = (plan_axis(n, scale, window, overlap, model.stride) for n in (height, width))
                pairs = product(rows, columns)
                if progress:
                    from tqdm.auto import tqdm

                    pairs = tqdm(list(pairs), desc=f"scale {scale:g}", unit="window")
                for batch in _batches(pairs, batch_size):
                    _add(model, planes, batch, total, device)
            model.train(training).to(home)
    total /= members
    for start in range(0, height, ROWS):
        block = total[:n_logits, start : start + ROWS]
        block.copy_(block.softmax(dim=0))
    values = total.numpy()
    return Maps(values[:n_logits], values[n_logits] if with_distance else None)


def _add(model: MAUNet, planes: Tensor, batch: list, total: Tensor, device: torch.device) -> None:
    x = torch.stack([_cut(planes, row, column) for row, column in batch]).to(device)
    output = model(x)
    both = output.logits if output.distance is None else torch.cat([output.logits, output.distance], dim=1)
    for (row, column), result in zip(batch, both.float().cpu(), strict=True):
        restored = torch.from_numpy(row.restore) @ result @ torch.from_numpy(column.restore).T
        total[:, row.target, column.target] += restored


def _cut(planes: Tensor, row: AxisWindow, column: AxisWindow) -> Tensor:
    crop = planes[:, row.source, column.source]
    return torch.from_numpy(row.sample) @ crop @ torch.from_numpy(column.sample).T


def _batches(items: Iterator, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _as_models(models: MAUNet | str | Path | Sequence[MAUNet | str | Path]) -> list[MAUNet]:
    models = [models] if isinstance(models, (torch.nn.Module, str, Path)) else list(models)
    return [_cached(m) if isinstance(m, (str, Path)) else m for m in models]


def _cached(name_or_path: str | Path) -> MAUNet:
    path = find_checkpoint(name_or_path)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> MAUNet:
    return load_model(path)
