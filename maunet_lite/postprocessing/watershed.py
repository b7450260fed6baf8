"""Marker-controlled watershed on whole images, fast enough for slides (used by paper section 2.3).

:func:`flood` gives every pixel of a mask to one of several markers. Three ideas make it fast:

1. *Most components need no water.* A connected component of the mask that holds one marker belongs to it as
   a whole, one without markers to nobody. Only *crowded* ones, with two markers or more, are flooded.
2. *Crowded components are few.* Cut out and laid side by side on a small sheet (:func:`_pack`), they are
   flooded all at once, without a loop over them and without a pass over the whole image.
3. *OpenCV floods fastest*, but by the difference between neighbours where a watershed wants their height,
   without a mask, and with lines one pixel wide: see :func:`_heights_as_differences`, :func:`_flood_sheet`.

Two pixels are connected if they share a side or a corner (8-connectivity) throughout.
"""

from itertools import product

import cv2
import numpy as np

from maunet_lite.postprocessing.run_lengths import Runs, label_components


def flood(
    markers: np.ndarray, mask: np.ndarray, heights: np.ndarray | None = None, *, adopt: bool = False
) -> np.ndarray:
    """Give every pixel of a mask to one of the markers: the marker-controlled watershed.

    Water rises from all markers at once and never leaves the mask. On a flat relief it spreads at one speed,
    so that a pixel goes to the marker that is nearest on a way inside the mask. With `heights` it fills the
    valleys first, and two waters meet on the ridge between them.

    Parameters
    ----------
    markers : numpy.ndarray
        (H, W) int32, 0 none; every marker one 8-connected piece inside the mask.
    mask : numpy.ndarray
        (H, W) bool, the part of the image that may be flooded (the paper calls it the template); or int32,
        the 8-connected components of that part, labelled already, which saves time.
    heights : numpy.ndarray, optional
        (H, W) uint8, 0 to 254. None is flat.
    adopt : bool
        What becomes of components of the mask without any marker: nothing, or, if True, labels of their own
        that follow the largest marker's.

    Returns
    -------
    numpy.ndarray
        (H, W) int32, 0 outside the mask. Each label is one 8-connected piece that holds its marker.

    Examples
    --------
    >>> markers = np.array([[1, 0, 0, 0, 0, 2, 0, 0]], dtype=np.int32)
    >>> mask = np.array([[1, 1, 1, 1, 1, 1, 0, 1]], dtype=bool)
    >>> flood(markers, mask)
    array([[1, 1, 1, 1, 2, 2, 0, 0]], dtype=int32)
    >>> flood(markers, mask, heights=np.array([[0, 9, 1, 1, 1, 0, 0, 0]], dtype=np.uint8), adopt=True)
    array([[1, 1, 2, 2, 2, 2, 0, 3]], dtype=int32)
    """
    components = label_components(mask)[0] if mask.dtype == bool else mask
    n_components, n_markers = int(components.max()), int(markers.max())
    first = Runs.of(markers).first_pixels(n_markers)
    names = 1 + np.flatnonzero(first[1:] >= 0)
    home = components.ravel()[first[names]]  # the component in which each marker lies
    inhabitants = np.bincount(home, minlength=n_components + 1)

    table = np.zeros(n_components + 1, dtype=np.int32)
    table[home] = names
    table[inhabitants > 1] = 0
    if adopt:
        empty = 1 + np.flatnonzero(inhabitants[1:] == 0)
        table[empty] = n_markers + 1 + np.arange(empty.size)
    runs = Runs.of(components)
    del components  # 4 bytes per pixel, not needed while the water rises
    labels = runs.painted(table, mask.shape)
    if (inhabitants > 1).any():
        _flood_crowded(labels, runs, inhabitants > 1, markers, heights)
    return labels


def _flood_crowded(
    labels: np.ndarray, runs: Runs, crowded: np.ndarray, markers: np.ndarray, heights: np.ndarray | None
) -> None:
    """Flood the components k for which ``crowded[k]``, all at once, and write the result into `labels`."""
    pieces = runs.chosen(crowded)
    start, shape = _pack(pieces, labels.shape[1])
    if 2 * shape[0] * shape[1] > labels.size:  # nothing to be won by a sheet
        labels += _flood_sheet(markers, runs.painted(crowded, labels.shape), heights)
        return
    here, there = _all_pixels(pieces.start, pieces.length), _all_pixels(start, pieces.length)

    def moved(values: np.ndarray) -> np.ndarray:
        sheet = np.zeros(shape, dtype=values.dtype)
        sheet.reshape(-1)[there] = values.ravel()[here]
        return sheet

    mask = np.zeros(shape, dtype=bool)
    mask.reshape(-1)[there] = True
    flooded = _flood_sheet(moved(markers), mask, None if heights is None else moved(heights))
    labels.reshape(-1)[here] = flooded.ravel()[there]


def _pack(runs: Runs, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Lay the components of an image of this width on shelves, tall ones first, with a gap of one pixel.

    Returns the new start of every run and the shape of the sheet.
    """
    row, column = np.divmod(runs.start, width)
    _, component = np.unique(runs.value, return_inverse=True)
    together = np.argsort(component, kind="stable")  # runs, component after component
    begins = np.flatnonzero(np.diff(component[together], prepend=-1))
    top, left = (np.minimum.reduceat(x[together], begins) for x in (row, column))
    bottom, right = (np.maximum.reduceat(x[together], begins) for x in (row, column + runs.length))
    tall, wide = bottom - top + 2, right - left + 1
    order = np.argsort(-tall, kind="stable")
    goal = max(int(np.sqrt((tall * wide).sum())), int(wide.max()))
    begin = np.cumsum(wide[order]) - wide[order]  # all in one long line …
    shelf = begin // goal  # … which is cut into shelves
    first = np.flatnonzero(np.diff(shelf, prepend=-1))
    x, y = np.empty((2, tall.size), dtype=np.int64)
    x[order] = begin - begin[first][shelf]
    floors = np.cumsum(tall[order][first])
    y[order] = (floors - tall[order][first])[shelf]
    shape = (int(floors[-1]), int((x + wide).max()))
    return (row + (y - top)[component]) * shape[1] + column + (x - left)[component], shape


def _all_pixels(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Positions of all pixels of runs, one run after the other."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(length.sum())


def _flood_sheet(markers: np.ndarray, mask: np.ndarray, heights: np.ndarray | None) -> np.ndarray:
    """Flood a mask, every component of which holds a marker, with OpenCV. Returns (h, w) int32."""
    rest = int(markers.max()) + 1  # label of all that lies away from the mask, where no water is wanted
    framed = (mask.shape[0] + 2, mask.shape[1] + 2)  # OpenCV overwrites the outermost pixels
    inside = np.s_[1:-1, 1:-1]
    # a wall, flooded last: heights inside a mask are 0 to 254
    relief = np.full(framed, 255, dtype=np.uint8)
    np.copyto(relief[inside], 0 if heights is None else heights, where=mask)
    water = np.zeros(framed, dtype=np.int32)
    labels = water[inside]
    np.multiply(markers, mask, out=labels)
    runs = Runs.of(labels)
    sources = runs.start[runs.value > 0]
    # one layer around the mask stays unlabelled: `rest` cannot flow into the mask before it is full
    labels[cv2.dilate(mask.view(np.uint8), np.ones((3, 3), dtype=np.uint8)) == 0] = rest
    cv2.watershed(_heights_as_differences(relief), water)

    # away with the lines, and with water that came over the wall: the mask cuts it off from its source
    settled = mask & (labels > 0) & (labels != rest)
    n, pieces = cv2.connectedComponents(settled.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    holds_source = np.zeros(n, dtype=bool)
    holds_source[pieces.ravel()[sources]] = True
    if not holds_source[1:].all():
        settled &= holds_source[pieces]
    np.multiply(labels, settled, out=labels)
    labels += mask
    labels -= 1  # now the labels, 0 for the gaps, -1 outside
    _fill_gaps(water)
    return np.maximum(labels, 0)


def _heights_as_differences(heights: np.ndarray) -> np.ndarray:
    """Colour a relief so that neighbours differ by the height of the higher one.

    ``cv2.watershed`` moves from pixel to pixel (along sides, not corners) in the order of their difference in
    colour, the largest over three channels. On a chessboard with the heights of the white squares in the
    first channel, those of the black ones in the second and zeros elsewhere, this difference is the larger of
    the two heights: the order of a watershed.
    """
    colors = np.zeros((*heights.shape, 3), dtype=np.uint8)
    for row, column in product((0, 1), repeat=2):
        field = np.s_[row::2, column::2]
        colors[(*field, (row + column) % 2)] = heights[field]
    return colors


def _fill_gaps(framed: np.ndarray) -> None:
    """Give unlabelled pixels (0) the first label among their 8 neighbours, layer by layer, in place.

    Pixels of -1 stay as they are, and the outermost pixels must be -1. A gap without any label beside it
    stays 0.
    """
    flat = framed.reshape(-1)  # a view: (h, w) → (h·w,)
    width = framed.shape[1]
    around = np.array([-width, -1, 1, width, -width - 1, -width + 1, width - 1, width + 1])  # sides first
    layer = np.flatnonzero(flat == 0)
    while layer.size:
        labels = flat[layer[:, None] + around]  # (pixels, 8)
        label = labels[np.arange(layer.size), (labels > 0).argmax(axis=1)]
        layer = layer[label > 0]
        flat[layer] = label[label > 0]
        beside = (layer[:, None] + around).ravel()
        layer = np.unique(beside[flat[beside] == 0])
