"""A model on a dataset: one row per image, one table per modality, and which cells went wrong (paper 4.1).

:func:`evaluate` scores a model, :func:`baseline` Otsu's threshold with a watershed, :func:`evaluate_folder`
label maps that were written by any program. All three return the same columns, so that :func:`format_summary`
can put them side by side.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from maunet_lite.baseline import otsu_watershed
from maunet_lite.checkpoints import load_model
from maunet_lite.datasets import CellDataset, load_dataset
from maunet_lite.error_analysis import Errors, errors
from maunet_lite.images import read_labels
from maunet_lite.inference import (
    MULTI_SCALE_LIMIT,
    checked_scales,
    predict,
    resolve_device,
    segment_sized,
)
from maunet_lite.matching import check_shapes
from maunet_lite.metrics import dice, match_cells, mean_dice
from maunet_lite.postprocessing import PostprocessConfig, connected_interiors, segment
from maunet_lite.preprocessing import class_map
from maunet_lite.scoreboard import format_summary, summary

if TYPE_CHECKING:
    from maunet_lite.model import MAUNet

__all__ = [
    "Errors",
    "baseline",
    "errors",
    "evaluate",
    "evaluate_folder",
    "format_summary",
    "summary",
    "tolerance_seconds",
]

PREDICTION_SUFFIXES = ("_label.tiff", "_label.tif", "_label.png", ".tiff", ".tif", ".png")


class Scored(NamedTuple):
    """What a method says about one image. All arrays (H, W), None where the method does not have it."""

    labels: np.ndarray
    seconds: float  # from the image in memory to the labels; NaN if unknown
    plain: np.ndarray | None = None  # labels without post-processing
    classes: np.ndarray | None = None  # semantic classes; None: those that follow from the labels
    n_classes: int = 3  # 2 for a network without the boundary


class Rules(NamedTuple):
    """How cells are matched; see :func:`maunet_lite.metrics.match_cells`."""

    iou: float = 0.5
    border: int = 2
    challenge_compatible: bool = False


def evaluate(
    model: MAUNet | str | Path | Sequence[MAUNet | str | Path],
    dataset: CellDataset | str | Path,
    split: str = "val",
    *,
    postprocess: str | PostprocessConfig = "default",
    scales: Sequence[float] | str = (1.0,),
    device: str = "auto",
    iou: float = 0.5,
    border: int = 2,
    challenge_compatible: bool = False,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Segment and score every labelled image of a split.

    Parameters
    ----------
    model : MAUNet, name, path, or several of them
        Several are an ensemble. Names and paths are what :func:`maunet_lite.checkpoints.load_model` takes.
    dataset : CellDataset, name or folder
        Names and folders are what :func:`maunet_lite.datasets.load_dataset` takes.
    split : str, default "val"
        ``"all"`` takes every image.
    postprocess : str or PostprocessConfig, default "default"
        ``"default"``, ``"paper"``, ``"authors"``, ``"none"``, or settings of your own.
    scales : sequence of float or "auto"
        Sizes at which the network sees the image; ``"auto"``: chosen by the estimated size of its cells.
    device : str, default "auto"
    iou, border, challenge_compatible
        Rules of :func:`maunet_lite.metrics.match_cells`.
    progress : bool, default True
        Show a progress bar over the images.
    **options
        Further options of :func:`maunet_lite.inference.predict`, such as ``window`` or ``batch_size``.

    Returns
    -------
    pandas.DataFrame
        One row per image, in the order of the dataset:

        - ``image``, ``modality``, ``source``, ``height``, ``width``
        - ``tp``, ``fp``, ``fn``: cells matched, invented, missed; ``f1``, ``precision``, ``recall``, ``pq``
        - ``f1_plain``: F1 of the connected components of the interior class, the paper's F1_ori
        - ``dice``: of the foreground of the labels; ``class_dice``: mean over interior and boundary of the
          network's most probable classes, the paper's Mean Dice (:func:`maunet_lite.metrics.mean_dice`)
        - ``cells``, ``cells_predicted``: all cells, those at the border included
        - ``seconds`` from the image in memory to the labels, ``tolerance_s``, ``within_tolerance``: the
          challenge's second criterion (:func:`tolerance_seconds`)
        - ``error``: empty, or why the image could not be segmented. Its cells all count as missed then, its
          scores are 0, and it is out of tolerance. A warning says how many failed.

    Raises
    ------
    ValueError
        If the split has no labelled image, or `scales` are no positive numbers.
    FileNotFoundError, LabelError
        If the model does not exist, or a label map of the dataset is damaged.
    """
    models = [model] if isinstance(model, (str, Path)) or not isinstance(model, Sequence) else list(model)
    if not isinstance(scales, str):
        checked_scales(scales, 0, MULTI_SCALE_LIMIT)
    target = resolve_device(device)
    models = [load_model(m, target) if isinstance(m, (str, Path)) else m for m in models]
    config = PostprocessConfig.named(postprocess) if isinstance(postprocess, str) else postprocess

    data = _labelled(dataset, split)

    def method(index: int) -> Scored:
        image = data.image(index)
        start = time.perf_counter()
        if isinstance(scales, str):
            labels, maps, _ = segment_sized(models, image, config, scales, device=target, **options)
        else:
            maps = predict(models, image, scales=scales, device=target, **options)
            labels = segment(maps, config).labels
        seconds = time.perf_counter() - start
        classes, plain = maps.probabilities[:3], connected_interiors(maps)  # the proxy is no pixel's class
        shown = [_resized(part, labels.shape) for part in (plain, classes.argmax(axis=0).astype(np.uint8))]
        return Scored(labels, seconds, *shown, len(classes))

    return _table(data, method, Rules(iou, border, challenge_compatible), progress)


def baseline(
    dataset: CellDataset | str | Path,
    split: str = "val",
    *,
    iou: float = 0.5,
    border: int = 2,
    challenge_compatible: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Score Otsu's threshold with a watershed (:func:`maunet_lite.baseline.otsu_watershed`).

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`evaluate`. ``f1_plain`` is the score without the watershed, ``class_dice`` that
        of the class map which follows from the labels.
    """
    data = _labelled(dataset, split)

    def method(index: int) -> Scored:
        image = data.image(index)
        start = time.perf_counter()
        cells = otsu_watershed(image)
        return Scored(cells.labels, time.perf_counter() - start, cells.pieces)

    return _table(data, method, Rules(iou, border, challenge_compatible), progress)


def evaluate_folder(
    predictions: str | Path,
    dataset: CellDataset | str | Path,
    split: str = "val",
    *,
    iou: float = 0.5,
    border: int = 2,
    challenge_compatible: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Score label maps that lie in a folder as ``NAME_label.tiff`` (or .tif, .png, or without ``_label``).

    A missing or unreadable file, or one of another size than the image, counts as all cells missed.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`evaluate`. ``seconds``, ``within_tolerance`` and ``f1_plain`` are unknown (NaN),
        ``class_dice`` is that of the class map which follows from the labels.
    """
    folder = Path(predictions)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder, expected one with files such as NAME_label.tiff")
    data = _labelled(dataset, split)

    def method(index: int) -> Scored:
        stem = Path(data.table["image"].iloc[index]).stem
        found = [path for suffix in PREDICTION_SUFFIXES if (path := folder / f"{stem}{suffix}").exists()]
        if not found:
            raise FileNotFoundError(f"no prediction {stem}{PREDICTION_SUFFIXES[0]} in {folder}")
        return Scored(read_labels(found[0]), float("nan"))

    return _table(data, method, Rules(iou, border, challenge_compatible), progress)


def tolerance_seconds(height: int, width: int) -> float:
    """Seconds that the challenge grants an image: 10 up to one megapixel, then 10 per megapixel.

    Examples
    --------
    >>> tolerance_seconds(480, 640), tolerance_seconds(2000, 3000)
    (10.0, 60.0)
    """
    return 10.0 * max(1.0, height * width / 1e6)


def _labelled(dataset: CellDataset | str | Path, split: str) -> CellDataset:
    data = dataset if isinstance(dataset, CellDataset) else load_dataset(dataset)
    labelled = data.split(split).labelled()
    if not len(labelled):
        raise ValueError(
            f"no image of split {split!r} of {data.name!r} has a label map, expected files such as "
            f"{data.folder / 'labels'}/NAME_label.tiff: without a truth there is nothing to score"
        )
    return labelled


def _table(data: CellDataset, method: Callable[[int], Scored], rules: Rules, progress: bool) -> pd.DataFrame:
    """Run a method on every image and score it; what fails is a row of missed cells, with the reason."""
    from tqdm.auto import tqdm

    rows = []
    for index in tqdm(range(len(data)), desc=f"scoring {data.name}", unit="image", disable=not progress):
        truth = data.labels(index)
        start = time.perf_counter()
        try:
            scored, reason = method(index), ""
            check_shapes(truth, scored.labels)
        except Exception as problem:  # whatever it is, the image must not leave the mean
            nothing = np.zeros_like(truth)
            scored = Scored(nothing, time.perf_counter() - start, nothing, nothing)
            reason = f"{type(problem).__name__}: {problem}"
        info = data.table.iloc[index]
        names = {"image": info["image"], "modality": info["modality"], "source": info.get("source", "")}
        rows.append(names | _scores(truth, scored, rules, bool(reason)) | {"error": reason})
    table = pd.DataFrame(rows)
    table["within_tolerance"] = table["within_tolerance"].astype("boolean")
    if failed := [row for row in rows if row["error"]]:
        warnings.warn(
            f"{len(failed)} of {len(rows)} images failed and count as missed, first {failed[0]['image']}: "
            f"{failed[0]['error']} (column `error` has all reasons)",
            RuntimeWarning,
            stacklevel=3,
        )
    return table


def _scores(truth: np.ndarray, scored: Scored, rules: Rules, failed: bool) -> dict[str, Any]:
    height, width = truth.shape
    match = match_cells(truth, scored.labels, *rules)
    plain = float("nan") if scored.plain is None else match_cells(truth, scored.plain, *rules).f1
    classes = class_map(scored.labels) if scored.classes is None else scored.classes
    true_classes = np.minimum(class_map(truth), scored.n_classes - 1)
    scores = {
        "f1": match.f1,
        "f1_plain": plain,
        "dice": dice(truth, scored.labels),
        "class_dice": mean_dice(true_classes, classes),
        "precision": match.precision,
        "recall": match.recall,
        "pq": match.pq,
    }
    if failed:  # even where there was nothing to find
        scores = dict.fromkeys(scores, 0.0)
    tolerance = tolerance_seconds(height, width)
    in_time = None if np.isnan(scored.seconds) else not failed and scored.seconds <= tolerance
    return (
        {"height": height, "width": width, "tp": match.tp, "fp": match.fp, "fn": match.fn}
        | scores
        | {"cells": _number_of_cells(truth), "cells_predicted": _number_of_cells(scored.labels)}
        | {"seconds": scored.seconds, "tolerance_s": tolerance, "within_tolerance": in_time}
    )


def _resized(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring labels or classes of an enlarged image to the image's own shape."""
    if labels.shape == shape:
        return labels
    return cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _number_of_cells(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels)))
