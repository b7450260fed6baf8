"""Scores of a segmentation: F1 at an IoU by the challenge's rules, AP, PQ and Dice (paper 3.1 and 4.1).

Scores of cells (F1, AP, PQ) are read from the table of overlaps of `matching`; scores of
pixels (Dice) compare the maps directly.

Three ways to average are kept apart by name: the *mean* and the *median* of the scores of single images, and
the *pooled* score of all cells of all images together, that of the sum of their matches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maunet_lite.evaluation.matching import Match, blocks, check_shapes, matched_pairs, overlaps, valid_pair

IOUS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))  # 0.5, 0.55 … 0.95


class Rules(NamedTuple):
    """How cells are matched; see :func:`match_cells`."""

    iou: float = 0.5
    border: int = 2
    challenge_compatible: bool = False
    block: int | None = 2000  # the challenge scores large images in blocks of this edge …
    blocks_from: int = 25_000_000  # … from this many pixels on


CHALLENGE = Rules()


def match_cells(
    truth: np.ndarray, prediction: np.ndarray, iou: float = 0.5, border: int = 2,
    challenge_compatible: bool = False, block: int | None = CHALLENGE.block,
    blocks_from: int = CHALLENGE.blocks_from, *, masks: bool = False,
) -> Match:  # fmt: skip
    """Count the cells that were found, by the rules of the NeurIPS 2022 challenge.

    1. A cell with a pixel in the outermost `border` pixels is left out, in truth and prediction separately,
       and counts as background. (An image of at most 2·`border` pixels' height or width has no cell left.)
    2. Pairs with intersection over union ≥ `iou` are candidates. As many as possible are chosen so that no
       cell has two partners, and among such choices the one with the highest total IoU. Above an IoU of 0.5
       there is nothing to choose; at 0.5 there is where a cell is cut into two exact halves: one half
       matches, the other is a false positive.
    3. An image of `blocks_from` pixels or more is scored in blocks and the counts are added. Each block drops
       its own border cells, so cells on a seam do not count. Blocks at the right and bottom edge are filled
       up with background to full size, so cells at those edges of the image do count.

    A cell is what carries one id, in one piece or several; ids may have gaps. Both maps empty: (0, 0, 0) and
    all scores are 1. Only the prediction empty, or missing: all true cells are missed.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Label maps, 0 is background.
    iou : float in (0, 1], default 0.5
        Least IoU of a match; equality suffices.
    border : int, default 2
        Width in pixels of the frame whose cells are left out; 0 keeps all.
    challenge_compatible : bool, default False
        Repeat a quirk of the challenge's scorer: where a block (or a whole small image) is left without
        predictions, its missed cells are left out of ``fn``, but not of recall and F1; an image without any
        counts scores 0.
    block : int or None, default 2000
        Edge of the blocks in pixels; None never splits.
    blocks_from : int, default 25,000,000
        Number of pixels from which on an image is split.
    masks : bool, default False
        See `data.validate_labels`: true where both maps are known to number cells.

    Returns
    -------
    Match
        ``tp``, ``fp``, ``fn`` and the scores ``f1``, ``ap``, ``precision``, ``recall``, ``sq``, ``pq``.

    Raises
    ------
    LabelError
        If a map is no label map (see `data.validate_labels`).
    ValueError
        If the shapes differ, or `iou` or `border` are out of range.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2, 2]])
    >>> prediction = np.array([[7, 7, 0, 0, 0, 9]])
    >>> match_cells(truth, prediction, border=0)  # IoUs 2/3 and 1/2
    Match(tp=2, fp=0, fn=0)
    >>> match_cells(truth, prediction, iou=0.6, border=0).f1
    0.5
    """
    rules = Rules(iou, border, challenge_compatible, block, blocks_from)
    return match_curve(truth, prediction, (iou,), rules, masks=masks)[0]


def match_curve(
    truth: np.ndarray, prediction: np.ndarray, ious: Sequence[float] = IOUS, rules: Rules = CHALLENGE, *,
    masks: bool = False,
) -> list[Match]:  # fmt: skip
    """Do :func:`match_cells` at several IoUs for the price of one.

    Returns
    -------
    list of Match
        One per entry of `ious`, in their order; the IoU of the `rules` is not used.
    """
    _, border, challenge_compatible, block, blocks_from = rules
    truth, prediction = valid_pair(truth, prediction, masks)
    if border < 0:
        raise ValueError(f"border is {border}, expected a width in pixels of 0 (keep all cells) or more")
    if wrong := [iou for iou in ious if not 0 < iou <= 1]:
        raise ValueError(f"iou is {wrong[0]}, expected a fraction above 0 and at most 1, such as 0.5")
    totals = [Match(0, 0, 0, 0.0, empty_score=float(not challenge_compatible)) for _ in ious]
    for pair in blocks(truth, prediction, block if truth.size >= blocks_from else None):
        table = overlaps(*pair, border)
        if challenge_compatible and table.prediction.size == 0:
            totals = [total + Match(0, 0, 0, 0.0, forgotten=table.truth.size) for total in totals]
            continue
        for i, iou in enumerate(ious):
            chosen = matched_pairs(table, iou)
            unmatched = (table.prediction.size - chosen.size, table.truth.size - chosen.size)
            totals[i] += Match(chosen.size, *unmatched, float(table.iou[chosen].sum()))
    return totals


def ap_curve(
    truth: np.ndarray, prediction: np.ndarray, ious: Sequence[float] = IOUS, border: int = 2
) -> np.ndarray:
    """Average precision at each IoU, the usual curve of cell segmentation papers.

    Returns
    -------
    (len(ious),) float64
        tp / (tp + fp + fn) per threshold, by default at 0.5, 0.55 … 0.95; 1 when both maps are empty.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 1, 0, 2]])
    >>> prediction = np.array([[1, 1, 1, 0, 0, 2]])
    >>> ap_curve(truth, prediction, ious=(0.5, 0.75, 0.9), border=0).round(2)
    array([1.  , 1.  , 0.33])
    """
    return np.array([match.ap for match in match_curve(truth, prediction, ious, Rules(border=border))])


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Dice coefficient of the foregrounds, 2 |A ∩ B| / (|A| + |B|), whatever the cells are.

    Parameters
    ----------
    truth, prediction : (H, W) arrays
        Label maps or masks; foreground is what is not 0.

    Returns
    -------
    float in [0, 1]
        1 when both are empty.

    Examples
    --------
    >>> dice(np.array([[1, 1, 2, 0]]), np.array([[0, 4, 4, 4]]))
    0.666...
    """
    truth, prediction = np.asarray(truth) != 0, np.asarray(prediction) != 0
    check_shapes(truth, prediction)
    total = np.count_nonzero(truth) + np.count_nonzero(prediction)
    return float(2 * np.count_nonzero(truth & prediction) / total) if total else 1.0


def mean_dice(truth: np.ndarray, prediction: np.ndarray, n_classes: int = 3) -> float:
    """Mean Dice coefficient of the semantic classes, the "Mean Dice" of the paper's Table 4.

    The paper does not say over which classes. Here they are interior and boundary: background is easy and
    lifts every model alike. The boundary, a few pixels wide, keeps this number far below the :func:`dice` of
    the foreground. A class that occurs in neither map does not take part; with none left the value is 1.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Class maps: 0 background, 1 interior, 2 boundary.
    n_classes : int, default 3

    Raises
    ------
    ValueError
        If there are other classes, or the shapes differ.

    Examples
    --------
    >>> truth, prediction = np.array([[0, 2, 1, 1, 2]]), np.array([[0, 0, 2, 1, 2]])
    >>> mean_dice(truth, prediction).__round__(3)  # interior 2/3, boundary 1/2
    0.583
    """
    for name, classes in (("truth", truth), ("prediction", prediction)):
        if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < n_classes:
            found = f"{name} has classes {classes.min()} to {classes.max()}, expected 0 to {n_classes - 1}"
            raise ValueError(f"{found}: pass class maps, not label maps")
    masks = [(truth == k, prediction == k) for k in range(1, n_classes)]
    scores = [dice(true, predicted) for true, predicted in masks if true.any() or predicted.any()]
    return float(np.mean(scores)) if scores else 1.0
