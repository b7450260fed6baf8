"""Label maps as runs of equal pixels: the fast way to count, find and renumber labels.

Runs are stretches of equal pixels along a row, and a label map has about thirty times fewer of them than
pixels. Whatever is to be said of every label is read from its :class:`Runs` in a few short NumPy calls,
without a loop.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Runs(NamedTuple):
    """Run-length encoding of a label map, read row after row.

    Attributes
    ----------
    start : numpy.ndarray
        (R,) int64, position of the first pixel of each run in the flattened map.
    length : numpy.ndarray
        (R,) int64, pixels in each run. A run ends with its row at the latest.
    value : numpy.ndarray
        (R,) int32, the label of each run.
    """

    start: np.ndarray
    length: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "Runs":
        """Encode a label map, (H, W).

        Examples
        --------
        >>> Runs.of(np.array([[0, 0, 7], [7, 7, 0]]))
        Runs(start=array([0, 2, 3, 5]), length=array([2, 1, 2, 1]), value=array([0, 7, 7, 0]))
        """
        flat = labels.ravel()  # (H, W) → (H·W,)
        begins = np.empty(flat.size, dtype=bool)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[:: labels.shape[1]] = True
        start = np.flatnonzero(begins)
        return cls(start, np.diff(start, append=flat.size), flat[start])

    def chosen(self, table: np.ndarray) -> "Runs":
        """Return only the runs of labels k for which ``table[k]`` is true."""
        return Runs(*(part[table[self.value]] for part in self))

    def areas(self, n: int) -> np.ndarray:
        """Pixels of the labels 0 … `n`, (n + 1,) int64."""
        return np.bincount(self.value, weights=self.length, minlength=n + 1).astype(np.int64)

    def first_pixels(self, n: int) -> np.ndarray:
        """First pixel of the labels 0 … `n` in the flattened map, (n + 1,) int64, -1 if absent."""
        first = np.full(n + 1, -1, dtype=np.int64)
        first[self.value[::-1]] = self.start[::-1]  # of several values for one place, the last one stays
        return first

    def largest(self, values: np.ndarray, n: int) -> np.ndarray:
        """Largest of `values`, (H, W) and 0 or more, in each of the labels 0 … `n`, (n + 1,); 0 if absent."""
        largest = np.zeros(n + 1, dtype=values.dtype)
        np.maximum.at(largest, self.value, np.maximum.reduceat(values.ravel(), self.start))
        return largest

    def painted(self, table: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the map with every label k replaced by ``table[k]``."""
        return np.repeat(table[self.value], self.length).reshape(shape)


def label_components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the 8-connected components of a mask, in no particular order.

    Parameters
    ----------
    mask : numpy.ndarray
        (H, W) bool.

    Returns
    -------
    numpy.ndarray
        (H, W) int32, 0 outside the mask, components 1 … N.
    int
        N.

    Examples
    --------
    >>> label_components(np.array([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=bool))
    (array([[1, 0, 0, 2],
           [0, 1, 0, 2]], dtype=int32), 2)
    """
    n, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return labels, n - 1


def number_in_reading_order(
    labels: np.ndarray, min_size: float = 0, mean_area: float | None = None
) -> np.ndarray:
    """Renumber labels 1 … N in the order in which a reader, row after row, meets their first pixel.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) int32, 0 background, gaps allowed.
    min_size : float
        Labels smaller than this fraction of their mean area become background.
    mean_area : float, optional
        Taken for their mean area, if `labels` is only a part of an image.

    Returns
    -------
    numpy.ndarray
        (H, W) int32.

    Examples
    --------
    >>> number_in_reading_order(np.array([[0, 9, 9], [4, 9, 2]], dtype=np.int32), min_size=0.5)
    array([[0, 1, 1],
           [2, 1, 3]], dtype=int32)
    """
    runs = Runs.of(labels)
    largest = int(runs.value.max())
    first, areas = runs.first_pixels(largest)[1:], runs.areas(largest)[1:]
    if mean_area is None:
        mean_area = areas.sum() / max(np.count_nonzero(areas), 1)
    kept = np.flatnonzero((areas > 0) & (areas >= min_size * mean_area))
    table = np.zeros(largest + 1, dtype=np.int32)
    table[1 + kept[np.argsort(first[kept])]] = np.arange(1, kept.size + 1)
    return runs.painted(table, labels.shape)
