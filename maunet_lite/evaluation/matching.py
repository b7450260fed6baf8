"""Which predicted cell is which true cell: the table of overlaps, the choice of partners, their counts.

A cell touches a handful of others, so the table is short where a dense matrix would hold (cells × cells)
numbers. Every score of `metrics` that counts cells is read from it, and so is the error
analysis of `evaluate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from maunet_lite.data import tiles_of, validate_labels

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Match:
    """Counts of matched and unmatched cells, and the scores that follow from them.

    Matches add up: ``a + b`` are the counts of two images together. Where nothing was there to be found and
    nothing was predicted, every score is 1; any other ratio of 0 to 0 is 0.

    Parameters
    ----------
    tp, fp, fn : int
        Matched cells, predictions without a true cell, true cells without a prediction.
    iou_sum : float, optional
        Sum of the IoUs of the matched pairs, for `sq` and `pq`; NaN when unknown.
    empty_score : float, default 1.0
        Value of all scores when the three counts are 0. The challenge's scorer says 0.
    forgotten : int, default 0
        Missed cells that `fn` leaves out, as the challenge's scorer does; the scores count them.

    Examples
    --------
    >>> match = Match(tp=3, fp=1, fn=2)
    >>> match.precision, match.recall, match.ap
    (0.75, 0.6, 0.5)
    >>> match + Match(tp=1, fp=0, fn=0)
    Match(tp=4, fp=1, fn=2)
    """

    tp: int
    fp: int
    fn: int
    iou_sum: float = field(default=float("nan"), compare=False, repr=False)
    empty_score: float = field(default=1.0, compare=False, repr=False)
    forgotten: int = field(default=0, compare=False, repr=False)

    def __add__(self, other: "Match") -> "Match":
        counts = (self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)
        empty, forgotten = min(self.empty_score, other.empty_score), self.forgotten + other.forgotten
        return Match(*counts, self.iou_sum + other.iou_sum, empty, forgotten)

    def _ratio(self, part: float, whole: float) -> float:
        if self.tp == self.fp == self.fn == 0:
            return self.empty_score
        return part / whole if whole else 0.0

    @property
    def precision(self) -> float:
        """Share of the predictions that are right: tp / (tp + fp)."""
        return self._ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the true cells that were found: tp / (tp + fn)."""
        return self._ratio(self.tp, self.tp + self.fn + self.forgotten)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn)."""
        return self._ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn + self.forgotten)

    @property
    def ap(self) -> float:
        """Average precision as cell segmentation uses the word: tp / (tp + fp + fn)."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn + self.forgotten)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs, 0 without any."""
        return self._ratio(self.iou_sum if self.tp else 0.0, self.tp)

    @property
    def pq(self) -> float:
        """Panoptic quality: SQ times recognition quality, which is the F1."""
        return self._ratio(self.sq * self.f1, 1)


class Overlaps(NamedTuple):
    """Areas of the cells of two label maps and the pixels they share.

    ``truth[i]`` is an id, ``truth_area[i]`` its pixels; likewise for the prediction. Row k of the last three
    says that cells ``truth[rows[k]]`` and ``prediction[columns[k]]`` share ``shared[k]`` > 0 pixels.
    """

    truth: np.ndarray  # (T,) ids, ascending
    prediction: np.ndarray  # (P,) ids, ascending
    truth_area: np.ndarray  # (T,) pixels
    prediction_area: np.ndarray  # (P,) pixels
    rows: np.ndarray  # (K,) indices into truth
    columns: np.ndarray  # (K,) indices into prediction
    shared: np.ndarray  # (K,) pixels

    @property
    def iou(self) -> np.ndarray:
        """(K,) intersection over union of each overlapping pair, in (0, 1]."""
        return self.shared / (self.truth_area[self.rows] + self.prediction_area[self.columns] - self.shared)


def matched_pairs(table: Overlaps, iou: float = 0.5) -> np.ndarray:
    """Choose the partners: as many pairs of IoU ≥ `iou` as possible, then the highest total IoU.

    Returns
    -------
    (tp,) int
        Positions in ``table.rows`` and ``table.columns`` of the chosen pairs.
    """
    quality = table.iou
    candidates = np.flatnonzero(quality >= iou)
    rows, columns = table.rows[candidates], table.columns[candidates]
    # Only cells with several candidates need an assignment: none above an IoU of 0.5.
    contested = (np.bincount(rows)[rows] > 1) | (np.bincount(columns)[columns] > 1)
    chosen = _assign(rows[contested], columns[contested], quality[candidates][contested])
    return np.sort(np.concatenate([candidates[~contested], candidates[contested][chosen]]))


def check_shapes(truth: np.ndarray, prediction: np.ndarray) -> None:
    """Raise a ValueError unless both arrays have the same shape."""
    if truth.shape != prediction.shape:
        shapes = f"truth has shape {truth.shape} and prediction {prediction.shape}, expected the same (H, W)"
        raise ValueError(f"{shapes}: are they of the same image, and is one of them transposed or resized?")


def valid_pair(truth: np.ndarray, prediction: np.ndarray, masks: bool = False) -> Pair:
    """Return both label maps as int32, or raise if one is no label map or the shapes differ."""
    truth, prediction = (validate_labels(labels, masks=masks) for labels in (truth, prediction))
    check_shapes(truth, prediction)
    return truth, prediction


def blocks(truth: np.ndarray, prediction: np.ndarray, edge: int | None) -> Iterator[Pair]:
    """Yield the maps, whole or in squares that are filled up with background to full size."""
    if edge is None:
        yield truth, prediction
        return
    for window in tiles_of(truth.shape, (edge, edge)):
        fill = [(0, edge - (part.stop - part.start)) for part in window]
        yield np.pad(truth[window], fill), np.pad(prediction[window], fill)


def overlaps(truth: np.ndarray, prediction: np.ndarray, border: int = 0) -> Overlaps:
    """Return the areas of all cells and the pixels that each overlapping pair shares.

    The same as `skimage.metrics.contingency_table`, from runs of equal pixels, which are a tenth or less of
    all pixels: in half the time, and for ids of any size, where that table has a row for each number up to
    the largest.

    Parameters
    ----------
    truth, prediction : (H, W) int32
        Valid label maps of one shape (see :func:`valid_pair`).
    border : int, default 0
        Cells with a pixel in the outermost `border` pixels are left out, in each map for itself.

    Examples
    --------
    >>> table = overlaps(np.array([[1, 1, 0, 5]]), np.array([[3, 4, 4, 0]]))
    >>> table.truth.tolist(), table.truth_area.tolist(), table.prediction_area.tolist()
    ([1, 5], [2, 1], [1, 2])
    >>> list(zip(table.rows.tolist(), table.columns.tolist(), table.iou.round(2).tolist()))
    [(0, 0, 0.5), (0, 1, 0.33)]
    """
    flat_truth, flat_prediction = truth.ravel(), prediction.ravel()  # (H, W) → (H·W,)
    change = (flat_truth[1:] != flat_truth[:-1]) | (flat_prediction[1:] != flat_prediction[:-1])
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    lengths = np.diff(starts, append=flat_truth.size)
    truth_ids, rows = np.unique(flat_truth[starts], return_inverse=True)
    prediction_ids, columns = np.unique(flat_prediction[starts], return_inverse=True)
    shared = csr_array((lengths, (rows, columns)))  # (T, P), adds the runs of a pair
    truth_area, prediction_area = shared.sum(axis=1), shared.sum(axis=0)
    keep_truth = (truth_ids > 0) & ~np.isin(truth_ids, _border_ids(truth, border))
    keep_prediction = (prediction_ids > 0) & ~np.isin(prediction_ids, _border_ids(prediction, border))
    kept = shared[keep_truth][:, keep_prediction].tocoo()
    ids = (truth_ids[keep_truth], prediction_ids[keep_prediction])
    areas = (truth_area[keep_truth], prediction_area[keep_prediction])
    return Overlaps(*ids, *areas, *kept.coords, kept.data)


def _border_ids(labels: np.ndarray, border: int) -> np.ndarray:
    """Return the ids in the frame of `border` pixels; of all pixels where it leaves no inside."""
    frame = np.ones(labels.shape, dtype=bool)
    frame[border : labels.shape[0] - border, border : labels.shape[1] - border] = False
    return np.unique(labels[frame])


def _assign(rows: np.ndarray, columns: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Choose pairs, no row or column twice: first as many as possible, then the highest total quality.

    A sparse assignment wants a partner for every row, so each row gets a column of its own that means "none"
    and costs more than all that a different choice of pairs could save.
    """
    if rows.size == 0:
        return np.zeros(0, dtype=bool)
    _, rows = np.unique(rows, return_inverse=True)
    _, columns = np.unique(columns, return_inverse=True)
    n_rows, n_columns = int(rows.max()) + 1, int(columns.max()) + 1
    nobody = np.arange(n_rows)
    cost = np.concatenate([2 - quality, np.full(n_rows, n_rows + 3.0)])  # pairs cost 1 to 2
    position = (np.concatenate([rows, nobody]), np.concatenate([columns, n_columns + nobody]))
    _, partner = min_weight_full_bipartite_matching(csr_array((cost, position)))  # of every row, in order
    return partner[rows] == columns
