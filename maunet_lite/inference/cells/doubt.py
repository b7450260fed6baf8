"""Where to look first: how far looks at the same image disagree, about each pixel and about each cell."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from maunet_lite.inference.cells.segment import Scales, choose_size
from maunet_lite.inference.ensembles import Model, as_models, intensity_of
from maunet_lite.inference.predict import predict, to_planes
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import Maps, segment

ZOOMS = (0.8, 1.0, 1.25)  # of the scale at which the network sees the image


class Doubt(NamedTuple):
    """Where several looks at an image disagree.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, the cells that `cells` speaks of.
    map : numpy.ndarray
        (H, W) float32 in [0, 1]: 0 where all looks say the same, 1 where they could not differ more.
    cells : pandas.DataFrame
        One row per cell, the most doubtful first: ``label``, and ``doubt`` in [0, 1].
    """

    labels: np.ndarray
    map: np.ndarray
    cells: pd.DataFrame


def doubt(
    model: Model | Sequence[Model], image: np.ndarray, labels: np.ndarray | None = None, *,
    by: str = "symmetries", scales: Scales = "auto", diameter: float | None = None,
    device: str | torch.device = "auto", **options: object,
) -> Doubt:  # fmt: skip
    """Look at an image several times, and say where the looks disagree.

    Parameters
    ----------
    model, image, scales, diameter, device, **options
        As in `predict_sized`.
    labels : numpy.ndarray, optional
        (H, W) label map to be doubted, any ids; by default the cells of the first look.
    by : {"symmetries", "scales", "networks"}
        What differs between looks: the image is turned and mirrored in all eight ways, or seen at 0.8, 1 and
        1.25 times its scale, or seen by each of several networks.

    Returns
    -------
    Doubt

    Raises
    ------
    ValueError
        If `by` is another word, or asks for several networks and there is one.
    """
    models = as_models(model)
    planes, options["device"] = to_planes(image, intensity_of(models)), device
    size = choose_size(
        models, lambda *part: planes[(slice(None), *part)], planes.shape[1:], scales, diameter, **options
    )
    looks = looks_at(models, planes, size.scales, by, **options)
    first = next(looks)
    if labels is None:
        labels = segment(first, keep_steps=False).labels
    total, squares, n = first.probabilities.copy(), first.probabilities**2, 1
    for maps in looks:
        total, squares, n = total + maps.probabilities, squares + maps.probabilities**2, n + 1
    spread = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0)).sum(axis=0).clip(0, 1)
    ids, place = np.unique(labels, return_inverse=True)
    mean = np.bincount(place.ravel(), spread.ravel()) / np.bincount(place.ravel())
    cells = pd.DataFrame({"label": ids, "doubt": mean})[ids > 0]
    return Doubt(labels, spread, cells.sort_values("doubt", ascending=False, ignore_index=True))


def looks_at(
    models: Sequence[MAUNet], planes: Tensor, scales: Sequence[float], by: str, **options: object
) -> Iterator[Maps]:
    """Yield the maps of several looks at a normalised image (C, H, W), all turned as it is; see `doubt`."""
    if by == "networks" and len(models) > 1:
        yield from (predict(model, planes, scales, **options) for model in models)
    elif by == "scales":
        for zoom in ZOOMS:
            yield predict(models, planes, [scale * zoom for scale in scales], **options)
    elif by == "symmetries":
        for mirror, turns in product((False, True), range(4)):
            seen = torch.rot90(planes.flip(-1) if mirror else planes, turns, (-2, -1))
            probabilities, distance = predict(models, seen, scales, **options)
            back = (None if m is None else np.rot90(m, -turns, (-2, -1)) for m in (probabilities, distance))
            yield Maps(*(None if m is None else m[..., ::-1] if mirror else m for m in back))
    else:
        raise ValueError(f"by is {by!r} for {len(models)} networks; expected symmetries, scales or networks")
