"""What notebook 01 looks at: small label maps with answers known beforehand, and targets with every knob.

The explorer's figure, `draw_targets`, shows class map and distance field (paper 2.1) and a cut through both
for any values of the knobs.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy import ndimage

from maunet_lite.figures import CLASS_COLORS, overlay, show_classes, show_distance
from maunet_lite.preprocessing import Targets, class_map, distance_field

SKELETON = 0.8  # the post-processing starts cells where the distance field is above (paper 2.3, step 2)


def from_digits(rows: str) -> np.ndarray:
    """Turn rows of digits, separated by white space, into a label map; a dot is 0.

    Examples
    --------
    >>> from_digits("..1 221")
    array([[0, 0, 1],
           [2, 2, 1]])
    """
    return np.array([[int(digit) for digit in row.replace(".", "0")] for row in rows.split()])


def discs(shape: tuple[int, int], *places: tuple[float, float, float]) -> np.ndarray:
    """Draw discs 1, 2, 3 …; a later one takes only pixels that are still free.

    Parameters
    ----------
    shape : (height, width)
    *places : (row, column, diameter)
        In pixels.

    Returns
    -------
    numpy.ndarray
        (H, W) int label map.

    Examples
    --------
    >>> discs((3, 6), (1, 1, 2), (1, 4, 3))
    array([[0, 1, 0, 2, 2, 2],
           [1, 1, 1, 2, 2, 2],
           [0, 1, 0, 2, 2, 2]])
    """
    rows, columns = np.indices(shape)
    masks = [np.hypot(rows - row, columns - column) <= width / 2 for row, column, width in places]
    return np.select(masks, range(1, len(masks) + 1), 0)


def six_shapes(side: int = 120) -> dict[str, np.ndarray]:
    """Return label maps of a round, a long, a crescent, a U and a waisted cell, and of two long neighbours.

    Examples
    --------
    >>> [int(labels.max()) for labels in six_shapes().values()]
    [1, 1, 1, 1, 1, 2]
    """
    rows, columns = (np.indices((side, side)) - (side - 1) / 2) / side  # from -0.5 to 0.5

    def ellipse(row: float, column: float, height: float, width: float) -> np.ndarray:
        return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1

    upper, lower = ellipse(-0.09, 0, 0.095, 0.44), ellipse(0.085, 0, 0.095, 0.44)
    slot = (np.abs(columns) <= 0.045) & (rows <= 0.26)
    shapes = {
        "round": ellipse(0, 0, 0.3, 0.3),
        "long": ellipse(0, 0, 0.125, 0.46),
        "crescent": ellipse(0, 0, 0.38, 0.38) & ~ellipse(0, 0.18, 0.28, 0.28),
        "U": ellipse(0, 0, 0.44, 0.34) & ~slot,
        "waisted": ellipse(0, -0.2, 0.205, 0.205) | ellipse(0, 0.2, 0.205, 0.205),
        "two long ones": np.select([upper, lower], [1, 2], 0),
    }
    return {name: shape.astype(int) for name, shape in shapes.items()}


def show_numbers(ax: Axes, values: np.ndarray, title: str = "", form: str = "{:.0f}", **options: Any) -> Axes:
    """Show a small array with its numbers in the pixels; zeros stay empty.

    Parameters
    ----------
    ax : matplotlib Axes
    values : numpy.ndarray
        (H, W), some twenty rows at most.
    title : str
    form : str
        How a number is written; ``.65`` instead of ``0.65``, because pixels are small.
    **options
        Passed to ``seaborn.heatmap``: cmap, vmin, vmax …
    """
    import seaborn as sns

    written = [[form.format(value).removeprefix("0") if value else "" for value in row] for row in values]
    small = {"annot_kws": {"fontsize": 7}, "xticklabels": False, "yticklabels": False}
    sns.heatmap(values, annot=np.array(written), fmt="", cbar=False, square=True, ax=ax, **small, **options)
    ax.set_title(title, fontsize=9)
    return ax


def targets_with(labels: np.ndarray, divisor: float = 20, beta: float = 1, center: str = "paper") -> Targets:
    """Class map and distance field as in `preprocessing.make_targets`, with every knob.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map.
    divisor : float
        The boundary is sqrt(S) / divisor thick: 20 in the paper.
    beta, center
        As for `preprocessing.distance_field`.

    Raises
    ------
    ValueError
        If `center` is unknown, or `divisor` or `beta` is not positive.
    """
    if not divisor > 0:
        raise ValueError(f"divisor is {divisor}; use a positive number (the paper takes 20)")
    classes = class_map(labels, lambda size: np.sqrt(size) / divisor)
    return Targets(classes, distance_field(labels, center, beta))


def markers(field: np.ndarray, threshold: float = SKELETON) -> tuple[np.ndarray, int]:
    """Pieces of a distance field above a threshold: where the post-processing would start cells.

    Pixels that touch at a corner are one piece.

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


def draw_targets(image: np.ndarray, labels: np.ndarray, **knobs: Any) -> Figure:
    """Draw image, class map, distance field, and a cut through the row that meets most cells.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C).
    labels : numpy.ndarray
        (H, W) label map.
    **knobs
        What `targets_with` takes besides: divisor, beta, center.
    """
    classes, field = targets_with(labels, **knobs)
    figure = Figure(figsize=(8, 4.2))
    figure.subplots_adjust(left=0.06, right=0.99, top=0.94, bottom=0.11, hspace=0.12, wspace=0.05)
    places = [["cells", "classes", "field"], ["cut", "cut", "cut"]]
    axes = figure.subplot_mosaic(places, height_ratios=(2.6, 1))
    share = (classes == 2).sum() / max((classes > 0).sum(), 1)
    overlay(image, labels, axes["cells"], f"{np.count_nonzero(np.unique(labels))} cells")
    show_classes(classes, axes["classes"], f"boundary: {share:.0%} of cell pixels", key=False)
    show_distance(field, axes["field"], f"{markers(field)[1]} markers above {SKELETON}", bar=False)
    if (field > SKELETON).any():
        axes["field"].contour(field, [SKELETON], colors="#56B4E9", linewidths=0.8)
    row = int(np.argmax([len(np.unique(line)) for line in labels]))
    for name in places[0]:
        axes[name].axhline(row, color="white", linewidth=0.7, linestyle=":")
    ax, last = axes["cut"], field.shape[1] - 1
    look = {"cmap": ListedColormap(["#FFFFFF", *CLASS_COLORS[1:3]]), "vmin": 0, "vmax": 2, "alpha": 0.45}
    ax.imshow(classes[row, None], aspect="auto", extent=(-0.5, last + 0.5, 0, 1.05), **look)
    ax.plot(field[row], color="black", linewidth=1.2)
    ax.axhline(SKELETON, color="#0072B2", linewidth=0.8, linestyle="--")
    ax.set(xlim=(0, last), ylim=(0, 1.05), xlabel="column along the dotted line", ylabel="d")
    ax.tick_params(labelsize=8)
    return figure
