"""What the explorer of notebook 01 draws: class map, distance field and a cut through both (paper 2.1).

A slider must answer at once. What is slow about the targets, finding each pixel's distance to the outside
and to the centre of its own cell, depends on no slider: `measure_cells` does it once per label map, and
`targets_from` is arithmetic on the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from maunet_lite.data import validate_labels
from maunet_lite.figures import overlay, show_classes, show_distance
from maunet_lite.preprocessing import Targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SKELETON = 0.8  # the post-processing starts cells where the distance field is above (paper 2.3, step 2)


class CellMeasures(NamedTuple):
    """What class map and distance field are made from; (H, W) float32 each, 0 in the background.

    Attributes
    ----------
    size : numpy.ndarray
        S, the number of pixels of the pixel's own cell.
    depth : numpy.ndarray
        Euclidean distance to the nearest pixel outside the own cell; the image's edge is not outside.
        Infinite in a cell that fills the image.
    deepest : numpy.ndarray
        The largest depth in the own cell.
    to_centre : numpy.ndarray
        Distance to the pixel of the own cell that is nearest to its centroid.
    """

    size: np.ndarray
    depth: np.ndarray
    deepest: np.ndarray
    to_centre: np.ndarray


def measure_cells(labels: np.ndarray) -> CellMeasures:
    """Measure each pixel's place in its cell.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map.

    Raises
    ------
    LabelError
        If `labels` is no label map, see `data.validate_labels`.

    Examples
    --------
    >>> measure_cells(np.array([[0, 7, 7, 7, 0]])).depth
    array([[0., 1., 2., 1., 0.]], dtype=float32)
    """
    ids, compact = np.unique(validate_labels(labels), return_inverse=True)
    compact = compact.reshape(labels.shape) + (ids[0] > 0)  # 0 is background, also if there is none
    measures = CellMeasures(*(np.zeros(labels.shape, np.float32) for _ in CellMeasures._fields))
    for k, box in enumerate(ndimage.find_objects(compact), start=1):
        window = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        cell = compact[window] == k
        depth = np.full(cell.shape, np.inf) if cell.all() else ndimage.distance_transform_edt(cell)
        values = (cell.sum(), depth, depth.max(), _distance_to_centre(cell))
        for whole, value in zip(measures, values, strict=True):
            np.copyto(whole[window], value, where=cell, casting="same_kind")
    return measures


def _distance_to_centre(cell: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel to the one of `cell` that is nearest to its centroid."""
    pixels = np.argwhere(cell)  # (S, 2) in reading order: of several nearest pixels the first is taken
    centre = pixels[np.argmin(((pixels - pixels.sum(0) / len(pixels)) ** 2).sum(1))]
    rows, columns = np.indices(cell.shape)
    return np.hypot(rows - centre[0], columns - centre[1])


def class_map_with(
    cells: np.ndarray | CellMeasures, thickness: Callable[[np.ndarray], np.ndarray | float]
) -> np.ndarray:
    """Class map with any rule for the thickness of the boundary.

    Parameters
    ----------
    cells : numpy.ndarray or CellMeasures
        (H, W) label map, or what `measure_cells` made of it.
    thickness : callable
        Takes S, an array of cell sizes in pixels, and returns t in pixels. A boundary is one layer at least.

    Returns
    -------
    numpy.ndarray
        (H, W) uint8: 0 background, 1 interior, 2 boundary. A cell all of whose pixels were boundary keeps its
        deepest ones as interior, as in `preprocessing.class_map`.

    Examples
    --------
    The paper's rule, and a constant:

    >>> labels = np.pad(np.ones((50, 50), int), 5)
    >>> int((class_map_with(labels, lambda S: np.sqrt(S) / 20) == 1).sum())  # t = 2.5: two layers off
    2116
    >>> int((class_map_with(labels, lambda S: 4) == 1).sum())
    1764
    """
    cells = cells if isinstance(cells, CellMeasures) else measure_cells(cells)
    boundary = cells.depth <= np.maximum(thickness(cells.size), 1)
    boundary &= (cells.depth < cells.deepest) | (cells.deepest > np.maximum(thickness(cells.size), 1))
    return np.where(cells.size == 0, 0, np.where(boundary, 2, 1)).astype(np.uint8)


def targets_from(
    cells: CellMeasures, divisor: float = 20.0, beta: float = 1.0, center: str = "paper"
) -> Targets:
    """Class map and distance field as in `preprocessing.make_targets`, with every knob.

    Parameters
    ----------
    cells : CellMeasures
        The result of `measure_cells`.
    divisor : float
        The boundary is sqrt(S) / divisor thick: 20 in the paper.
    beta : float
        How steeply the distance field falls: 1 in the paper.
    center : {"paper", "authors"}
        What the field is measured from, see `preprocessing.distance_field`.

    Raises
    ------
    ValueError
        If `center` is unknown, or `divisor` or `beta` is not positive.
    """
    if center not in ("paper", "authors"):
        raise ValueError(f'center is {center!r}; use "paper" or "authors"')
    if not (divisor > 0 and beta > 0):
        raise ValueError(f"divisor is {divisor} and beta {beta}; expected positive numbers")
    if center == "paper":
        gamma = cells.to_centre
    else:
        depth = np.where(np.isfinite(cells.depth), cells.depth, 0)
        gamma = np.where(np.isfinite(cells.deepest), cells.deepest, 0) - depth
    inside = cells.size > 0
    field = inside / (1 + beta * gamma / np.sqrt(np.where(inside, cells.size, 1)))
    return Targets(class_map_with(cells, lambda size: np.sqrt(size) / divisor), field.astype(np.float32))


def markers(field: np.ndarray, threshold: float = SKELETON) -> tuple[np.ndarray, int]:
    """Pieces of a distance field above a threshold: where the post-processing would start cells.

    Parameters
    ----------
    field : numpy.ndarray
        (H, W) distance field.
    threshold : float
        Pieces are above it; pixels that touch at a corner are one piece.

    Returns
    -------
    pieces : numpy.ndarray
        (H, W) label map.
    count : int

    Examples
    --------
    >>> markers(np.array([[1.0, 0.7, 0.9, 1.0]]))
    (array([[1, 0, 2, 2]], dtype=int32), 2)
    """
    return ndimage.label(field > threshold, structure=np.ones((3, 3)))


def draw_targets(
    image: np.ndarray,
    labels: np.ndarray,
    cells: CellMeasures,
    divisor: float = 20.0,
    beta: float = 1.0,
    center: str = "paper",
) -> Figure:
    """Draw image, class map, distance field, and a cut through the row that meets most cells.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C).
    labels : numpy.ndarray
        (H, W) label map.
    cells : CellMeasures
        ``measure_cells(labels)``, made once.
    divisor, beta, center
        As for `targets_from`.
    """
    from matplotlib.figure import Figure

    targets = targets_from(cells, divisor, beta, center)
    figure = Figure(figsize=(8, 4.2))
    grid = figure.add_gridspec(2, 3, height_ratios=(2.6, 1), hspace=0.12, wspace=0.05)
    figure.subplots_adjust(left=0.06, right=0.99, top=0.94, bottom=0.11)
    axes = [figure.add_subplot(grid[0, column]) for column in range(3)]
    row = _row_of_most_cells(labels)
    overlay(image, labels, axes[0], f"{len(np.unique(labels[labels > 0]))} cells")
    show_classes(targets.classes, axes[1], _about_classes(targets.classes), key=False)
    show_distance(targets.distance, axes[2], _about_markers(targets.distance), bar=False)
    if (targets.distance > SKELETON).any():
        axes[2].contour(targets.distance, [SKELETON], colors="#56B4E9", linewidths=0.8)
    for ax in axes:
        ax.axhline(row, color="white", linewidth=0.7, linestyle=":")
    _draw_cut(figure.add_subplot(grid[1, :]), targets, row)
    return figure


def _row_of_most_cells(labels: np.ndarray) -> int:
    return int(np.argmax([len(np.unique(row)) for row in labels]))


def _about_classes(classes: np.ndarray) -> str:
    share = (classes == 2).sum() / max((classes > 0).sum(), 1)
    return f"boundary: {share:.0%} of cell pixels"


def _about_markers(field: np.ndarray) -> str:
    return f"{markers(field)[1]} markers above {SKELETON}"


def _draw_cut(ax: Axes, targets: Targets, row: int) -> None:
    """Draw the field along one row, over the colours of the classes there."""
    from matplotlib.colors import ListedColormap

    from maunet_lite.figures import CLASS_COLORS

    field, classes = targets.distance[row], targets.classes[row]
    colors = ListedColormap(["#FFFFFF", *CLASS_COLORS[1:3]])
    extent = (-0.5, field.size - 0.5, 0, 1.05)
    ax.imshow(classes[None], cmap=colors, vmin=0, vmax=2, alpha=0.45, aspect="auto", extent=extent)
    ax.plot(field, color="black", linewidth=1.2)
    ax.axhline(SKELETON, color="#0072B2", linewidth=0.8, linestyle="--")
    ax.set(xlim=(0, field.size - 1), ylim=(0, 1.05), xlabel="column along the dotted line", ylabel="d")
    ax.tick_params(labelsize=8)


def draw_choice(
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Callable[..., Figure]:
    """Return a function that draws one of several pictures, for an explorer that can change between them.

    Parameters
    ----------
    pictures : dict
        Name → (image, labels).

    Returns
    -------
    callable
        Takes ``picture`` (a name), ``divisor``, ``beta`` and ``center``; returns `draw_targets` of them.
    """
    measured = {name: measure_cells(labels) for name, (_, labels) in pictures.items()}

    def draw(picture: str, divisor: float = 20.0, beta: float = 1.0, center: str = "paper") -> Figure:
        image, labels = pictures[picture]
        return draw_targets(image, labels, measured[picture], divisor, beta, center)

    return draw
