"""Where to look first: how sure the network is of each cell, and how far looks at an image disagree."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from maunet_lite.inference.cells.score import evidence, mean_in_cells, score_cells
from maunet_lite.inference.cells.segment import Scales, predict_sized, settings_of
from maunet_lite.inference.ensembles import Model, as_models, intensity_of
from maunet_lite.inference.predict import predict, to_planes
from maunet_lite.inference.prepared import SYMMETRIES, turned, turned_back
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import Maps, segment

ZOOMS = (0.8, 1.0, 1.25)  # of the scale at which the network sees the image


class Doubt(NamedTuple):
    """Where several looks at an image disagree, and how sure the network is of each cell.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, the cells that `cells` speaks of.
    map : numpy.ndarray
        (H, W) float32 in [0, 1], from `doubt_map`.
    cells : pandas.DataFrame
        One row per cell, the least sure first: ``label``; ``score``, see `score_cells`, which orders them, as
        it finds wrong cells better than doubt does; and ``doubt``, the mean of the map over the cell.
    """

    labels: np.ndarray
    map: np.ndarray
    cells: pd.DataFrame


def doubt(
    model: Model | Sequence[Model], image: np.ndarray, labels: np.ndarray | None = None, *,
    by: str = "symmetries", scales: Scales = "auto", diameter: float | None = None, **options: object,
) -> Doubt:  # fmt: skip
    """Say which cells of an image to look at first.

    Parameters
    ----------
    model, image, scales, diameter, **options
        As in `predict_sized`.
    labels : numpy.ndarray, optional
        (H, W) label map to be doubted, any ids; by default the cells that the network finds.
    by : {"symmetries", "scales", "networks"}
        See `doubt_map`.

    Returns
    -------
    Doubt

    Raises
    ------
    ValueError
        As in `predict_sized` and `doubt_map`, or if labels and image have different sizes.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> labels = np.zeros((40, 60), dtype=np.int32)
    >>> labels[5:20, 5:20] = 7
    >>> found = doubt(build_model("lite"), labels * 20, labels, device="cpu")
    >>> found.map.shape, found.cells.columns.tolist(), found.cells["label"].tolist()
    ((40, 60), ['label', 'score', 'doubt'], [7])
    """
    models = as_models(model)
    maps, size = predict_sized(models, image, scales, diameter=diameter, **options)
    if labels is None:
        labels = segment(maps, settings_of(models, "default"), keep_steps=False).labels
    if labels.shape != maps.probabilities.shape[1:]:
        raise ValueError(f"labels have shape {labels.shape}, the image has {maps.probabilities.shape[1:]}")
    disagreement = doubt_map(models, image, size.scales, by=by, **options)
    cells = pd.DataFrame({"label": np.setdiff1d(labels, [0])})
    cells["score"] = score_cells(models, evidence(maps, labels))
    cells["doubt"] = mean_in_cells(labels, disagreement)
    return Doubt(labels, disagreement, cells.sort_values("score", ignore_index=True))


def doubt_map(
    model: Model | Sequence[Model], image: np.ndarray, scales: Sequence[float] = (1.0,), *,
    by: str = "symmetries", **options: object,
) -> np.ndarray:  # fmt: skip
    """Look at an image several times, and say how far the looks disagree about each pixel.

    Parameters
    ----------
    model, image, scales, **options
        As in `predict`.
    by : {"symmetries", "scales", "networks"}
        What differs between looks: the image is turned and mirrored in all eight ways, or seen at 0.8, 1 and
        1.25 times its scale, or by each of several networks alone.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1]: standard deviation of the probabilities of background, interior and boundary
        between looks, as the root of their summed variances. 0 where all say the same, 0.71 where two looks
        are sure of different classes.

    Raises
    ------
    ValueError
        If `by` is another word, or asks for several networks and there is one.
    """
    models = as_models(model)
    options.pop("flips", None)  # means of symmetries would agree
    return doubt_of(looks_at(models, to_planes(image, intensity_of(models)), scales, by, **options))


def doubt_of(looks: Iterable[Maps]) -> np.ndarray:
    """Return how far looks at the same image disagree about each pixel, (H, W) float32; see `doubt_map`."""
    n, first, total, squares = 0, None, 0.0, 0.0
    for maps in looks:
        seen = maps.probabilities[:3]
        first = seen if first is None else first
        difference = seen - first  # sums of these, not of all looks, lest equal ones differ by rounding
        n, total, squares = n + 1, total + difference, squares + (difference**2).sum(axis=0)
    return np.sqrt(np.maximum(squares / n - ((total / n) ** 2).sum(axis=0), 0))


def looks_at(
    models: Sequence[MAUNet], planes: Tensor, scales: Sequence[float], by: str, **options: object
) -> Iterator[Maps]:
    """Yield the maps of several looks at a normalised image, (C, H, W), turned as it is; see `doubt_map`."""
    if by == "networks" and len(models) > 1:
        yield from (predict(model, planes, scales, **options) for model in models)
    elif by == "scales":
        yield from (predict(models, planes, [s * zoom for s in scales], **options) for zoom in ZOOMS)
    elif by == "symmetries":
        for way in SYMMETRIES:
            seen = predict(models, turned(planes, *way), scales, **options)
            yield Maps(*(m if m is None else turned_back(torch.from_numpy(m), *way).numpy() for m in seen))
    else:
        raise ValueError(f"by is {by!r} for {len(models)} networks; expected symmetries, scales or networks")
