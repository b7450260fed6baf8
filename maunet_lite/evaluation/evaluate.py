"""A model on a dataset: one row per image, one table per modality, and which cells went wrong (paper 4.1).

:func:`evaluate` scores a model, :func:`baseline` Otsu's threshold with a watershed, :func:`evaluate_folder`
label maps that were written by any program. All three return the same columns, so that :func:`format_summary`
can put them side by side.
"""

import inspect
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from maunet_lite import inference
from maunet_lite.data import CellDataset, doubt_of_labels, load_dataset, read_labels, stem_of
from maunet_lite.evaluation.baseline import otsu_watershed
from maunet_lite.evaluation.matching import check_shapes
from maunet_lite.evaluation.metrics import CHALLENGE, Rules, dice, match_cells, mean_dice
from maunet_lite.export import for_terminal
from maunet_lite.inference import Model, predict_sized
from maunet_lite.postprocessing import connected_interiors, segment
from maunet_lite.preprocessing import class_map

Data = CellDataset | str | Path
PREDICTION_SUFFIXES = ("_label.tiff", "_label.tif", "_label.png", ".tiff", ".tif", ".png")


class Scored(NamedTuple):
    """What a method says about one image. All arrays (H, W), None where the method does not have it."""

    labels: np.ndarray
    seconds: float  # from the image in memory to the labels; NaN if unknown
    plain: np.ndarray | None = None  # labels without post-processing
    classes: np.ndarray | None = None  # semantic classes; None: those that follow from the labels
    n_classes: int = 3  # 2 for a network without the boundary
    diameter: float = float("nan")  # of the cells, in pixels, if it was estimated or given
    scale: float = 1.0  # at which the network saw the image; the first of several


Method = Callable[[CellDataset, int], Scored]  # of a dataset and the number of an image


def evaluate(
    model: Model | Sequence[Model], dataset: Data, split: str = "val", *,
    postprocess: inference.Settings = "default", scales: inference.Scales = "auto",
    diameter: float | None = None, device: str = "auto", rules: Rules = CHALLENGE, progress: bool = True,
    **options: Any,
) -> pd.DataFrame:  # fmt: skip
    """Segment and score every labelled image of a split.

    Parameters
    ----------
    model : MAUNet, name, path, or several of them
        Several are an ensemble. Names and paths are what `network.load_model` takes.
    dataset : CellDataset, name or folder
        Names and folders are what `data.load_dataset` takes.
    split : str, default "val"
        ``"all"`` takes every image.
    postprocess : str, PostprocessConfig or mapping, default "default"
        As in `inference.segment`.
    scales : "auto" or sequence of float
    diameter : float, optional
        Sizes at which the network sees the image, as in `inference.predict_sized`.
    device : str, default "auto"
    rules : Rules
        Of `match_cells`, such as ``Rules(iou=0.7)``; by default the challenge's.
    progress : bool, default True
        Show a progress bar over the images.
    **options
        Further options of `inference.predict`, such as ``window`` or ``batch_size``.

    Returns
    -------
    pandas.DataFrame
        One row per image, in the order of the dataset:

        - ``image``, ``modality``, ``source``, ``height``, ``width``
        - ``tp``, ``fp``, ``fn``: cells matched, invented, missed; ``f1``, ``precision``, ``recall``, ``pq``
        - ``f1_plain``: F1 of the connected components of the interior class, the paper's F1_ori
        - ``dice``: of the foreground of the labels; ``class_dice``: mean over interior and boundary of the
          network's most probable classes, the paper's Mean Dice (`metrics.mean_dice`)
        - ``cells``, ``cells_predicted``: all cells, those at the border included
        - ``diameter``, ``scale``: what was estimated and chosen where `scales` is ``"auto"``
        - ``seconds`` from the image in memory to the labels, ``tolerance_s``, ``within_tolerance``: the
          challenge's second criterion (:func:`tolerance_seconds`)
        - ``error``: empty, or why the image could not be segmented. Its cells all count as missed then, its
          scores are 0, and it is out of tolerance. A warning says how many failed.

    Raises
    ------
    ValueError
        If the split has no labelled image, or `scales` are no positive numbers.
    TypeError
        If `inference.predict` does not know an option.
    FileNotFoundError, LabelError
        If the model does not exist, or a label map of the dataset is damaged.
    """
    inspect.signature(inference.predict).bind_partial(**options)  # refuses unknown ones at once
    target, models = inference.resolve_device(device), inference.as_models(model)
    config = inference.settings_of(models, postprocess)
    inference.choose_size([], lambda *part: None, (1, 1), scales, diameter)  # refuses wrong ones at once

    def method(data: CellDataset, index: int) -> Scored:
        image = data.image(index)
        start = time.perf_counter()
        maps, size = predict_sized(models, image, scales, diameter=diameter, device=target, **options)
        labels = segment(maps, config, keep_steps=False).labels
        seconds = time.perf_counter() - start
        classes = maps.probabilities[:3]  # the proxy, the fourth, is never the class of a pixel
        seen = connected_interiors(maps), classes.argmax(axis=0), len(classes)
        return Scored(labels, seconds, *seen, size.diameter, size.scales[0])

    return _table(dataset, split, method, rules, progress)


def baseline(
    dataset: Data, split: str = "val", *, rules: Rules = CHALLENGE, progress: bool = True
) -> pd.DataFrame:
    """Score Otsu's threshold with a watershed (`otsu_watershed`).

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`evaluate`. ``f1_plain`` is the score without the watershed, ``class_dice`` that
        of the class map which follows from the labels.
    """

    def method(data: CellDataset, index: int) -> Scored:
        image = data.image(index)
        start = time.perf_counter()
        cells = otsu_watershed(image)
        return Scored(cells.labels, time.perf_counter() - start, cells.pieces)

    return _table(dataset, split, method, rules, progress)


def evaluate_folder(
    folder: str | Path, dataset: Data, split: str = "val", *, rules: Rules = CHALLENGE, progress: bool = True
) -> pd.DataFrame:
    """Score label maps that lie in a folder as ``NAME_label.tiff`` (or .tif, .png, or without ``_label``).

    A missing or unreadable file, or one of another size than the image, counts as all cells missed.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`evaluate`. ``seconds``, ``within_tolerance`` and ``f1_plain`` are unknown (NaN),
        ``class_dice`` is that of the class map which follows from the labels.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder, expected one with files such as NAME_label.tiff")

    def method(data: CellDataset, index: int) -> Scored:
        stem = stem_of(data.table["image"].iloc[index])
        found = [path for suffix in PREDICTION_SUFFIXES if (path := folder / f"{stem}{suffix}").exists()]
        if not found:
            raise FileNotFoundError(f"no prediction {stem}{PREDICTION_SUFFIXES[0]} in {folder}")
        return Scored(read_labels(found[0]), float("nan"))

    return _table(dataset, split, method, rules, progress)


def labelled_images(dataset: Data, split: str) -> CellDataset:
    """Return the images of a split that have a label map; if there are none, a ValueError says so."""
    whole = dataset if isinstance(dataset, CellDataset) else load_dataset(dataset)
    data = whole.split(split).labelled()
    if not len(data):
        files = f"{data.folder / 'labels'}/NAME_label.tiff: without a truth there is nothing to score"
        where = f"no image of split {split!r} of {data.name!r} has a label map"
        raise ValueError(f"{where}, expected files such as {files}")
    return data


def tolerance_seconds(height: int, width: int) -> float:
    """Seconds that the challenge grants an image: 10 up to one megapixel, then 10 per megapixel.

    Examples
    --------
    >>> tolerance_seconds(480, 640), tolerance_seconds(2000, 3000)
    (10.0, 60.0)
    """
    return 10.0 * max(1.0, height * width / 1e6)


def _table(dataset: Data, split: str, method: Method, rules: Rules, progress: bool) -> pd.DataFrame:
    """Run a method on every image and score it; what fails is a row of missed cells, with the reason."""
    data, rows = labelled_images(dataset, split), []
    for index in tqdm(range(len(data)), desc=f"scoring {data.name}", unit="image", disable=not progress):
        truth = data.labels(index)
        if doubt := doubt_of_labels(truth):
            warnings.warn(f"{data.label_path(index)}: {doubt}", RuntimeWarning, stacklevel=3)
        start = time.perf_counter()
        try:
            scored, reason = method(data, index), ""
            check_shapes(truth, scored.labels)
        except Exception as problem:  # whatever it is, the image must not leave the mean
            nothing = np.zeros_like(truth)
            scored = Scored(nothing, time.perf_counter() - start, nothing, nothing)
            reason = f"{type(problem).__name__}: {problem}"
        names = data.table.iloc[index].reindex(["image", "modality", "source"], fill_value="").to_dict()
        names["image"] = for_terminal(names["image"])  # a name may hold bytes that are no UTF-8
        rows.append(names | _scores(truth, scored, rules, reason))
    if failed := [row for row in rows if row["error"]]:
        first = f"first {failed[0]['image']}: {failed[0]['error']} (column `error` has all reasons)"
        text = f"{len(failed)} of {len(rows)} images failed and count as missed, {first}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return pd.DataFrame(rows).astype({"within_tolerance": "boolean"})


def _scores(truth: np.ndarray, scored: Scored, rules: Rules, reason: str) -> dict[str, Any]:
    # Masks were refused when the maps were read: what is here numbers cells.
    match = match_cells(truth, scored.labels, *rules, masks=True)
    plain = np.nan if scored.plain is None else match_cells(truth, scored.plain, *rules, masks=True).f1
    classes = class_map(scored.labels, part=True) if scored.classes is None else scored.classes
    class_dice = mean_dice(np.minimum(class_map(truth, part=True), scored.n_classes - 1), classes)
    scores = {score: getattr(match, score) for score in ("f1", "precision", "recall", "pq")}
    scores |= {"f1_plain": plain, "dice": dice(truth, scored.labels), "class_dice": class_dice}
    if reason:  # even where there was nothing to find
        scores = dict.fromkeys(scores, 0.0)
    tolerance = tolerance_seconds(*truth.shape)
    in_time = None if np.isnan(scored.seconds) else not reason and scored.seconds <= tolerance
    cells, cells_predicted = (np.count_nonzero(np.unique(labels)) for labels in (truth, scored.labels))
    height, width = truth.shape
    row = {"height": height, "width": width, "tp": match.tp, "fp": match.fp, "fn": match.fn, **scores}
    row |= {"cells": cells, "cells_predicted": cells_predicted}
    row |= {name: getattr(scored, name) for name in ("diameter", "scale", "seconds")}
    return row | {"tolerance_s": tolerance, "within_tolerance": in_time, "error": reason}
