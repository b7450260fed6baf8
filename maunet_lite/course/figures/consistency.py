"""Figures of notebook 04, consistency regularization: who teaches whom, and where both are wrong alike."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maunet_lite.figures import SERIES, picture, rgb, take_axes

VERDICTS = ("agree, right", "differ", "agree, wrong")
VERDICT_COLORS = ("#E4E4E4", "#0072B2", "#B2182B")  # none that stands for a class in the maps beside them

# the two networks of paper Fig. 3: name → centre, text, colour
_ONE, _TWO, _IMAGE = SERIES[0], SERIES[1], "#555555"
_BOXES = {
    "image": ((0.45, 1.75), "image\nwithout\nlabels", _IMAGE),
    "network 1": ((2.1, 2.65), "network 1", _ONE),
    "network 2": ((2.1, 0.85), "network 2", _TWO),
    "classes 1": ((4.9, 2.97), "classes $P_{cls,1}$", _ONE),
    "distance 1": ((4.2, 2.33), "distance $P_{reg,1}$", _ONE),
    "distance 2": ((4.2, 1.17), "distance $P_{reg,2}$", _TWO),
    "classes 2": ((4.9, 0.53), "classes $P_{cls,2}$", _TWO),
    "pseudo 1": ((7.6, 2.97), r"pseudo label $\hat{P}_{cls,1}$", _ONE),
    "pseudo 2": ((7.6, 0.53), r"pseudo label $\hat{P}_{cls,2}$", _TWO),
}
_ARROWS = (
    *(("image", f"network {k}", "->", "-") for k in (1, 2)),
    *((f"network {k}", f"{output} {k}", "->", "-") for k in (1, 2) for output in ("classes", "distance")),
    *((f"classes {k}", f"pseudo {k}", "->", "-") for k in (1, 2)),
    ("pseudo 1", "classes 2", "->", "--"),
    ("pseudo 2", "classes 1", "->", "--"),
    ("distance 1", "distance 2", "<->", "-"),
)
_NOTES = {
    (6.15, 3.09): "argmax",
    (6.15, 0.65): "argmax",
    (3.98, 1.75): "L2",
    (7.9, 1.75): "cross entropy, both ways\n(no gradient to the teacher)",
}


def verdicts(one: np.ndarray, two: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Say for every pixel what two pseudo labels are worth.

    Parameters
    ----------
    one, two, truth : (H, W) integer arrays
        Classes that network 1 and network 2 name, and the true ones.

    Returns
    -------
    (H, W) uint8
        Positions in `VERDICTS`: 0 both are right, 1 they differ (so at most one is right), 2 both name the
        same wrong class. Only pixels of the second kind can change what consistency asks for.

    Examples
    --------
    >>> verdicts(np.array([[0, 1, 2]]), np.array([[0, 0, 2]]), np.array([[0, 1, 1]]))
    array([[0, 1, 2]], dtype=uint8)
    """
    return np.where(one != two, 1, np.where(one == truth, 0, 2)).astype(np.uint8)


def shared_errors(one: np.ndarray, two: np.ndarray, truth: np.ndarray) -> float:
    """Return which share of network 1's wrong pixels network 2 gets wrong in the same way; NaN without any.

    Examples
    --------
    >>> shared_errors(np.array([1, 1, 0]), np.array([1, 0, 0]), np.array([0, 0, 0]))
    0.5
    """
    wrong = np.asarray(one) != truth
    return float((np.asarray(two) == one)[wrong].mean()) if wrong.any() else float("nan")


def show_verdicts(kinds: np.ndarray, ax: Axes | None = None, title: str = "") -> Axes:
    """Paint the result of `verdicts`: grey both right, blue they differ, red both wrong alike."""
    return picture(np.stack([rgb(color) for color in VERDICT_COLORS])[kinds], ax, title)


def draw_twins() -> Figure:
    """Draw two networks that supervise each other on an unlabelled image, as in paper Fig. 3.

    Full arrows carry predictions, dashed ones pseudo labels (no gradient goes back along them).
    """
    ax = take_axes(None, 1, 1, 8.0, 3.2)[0]
    ax.set(xlim=(-0.1, 9.4), ylim=(0.1, 3.4))
    ax.set_axis_off()
    boxes = {}
    for name, (centre, text, color) in _BOXES.items():
        face, line = ("white", "--") if name.startswith("pseudo") else ((*rgb(color), 0.15), "-")
        look = {"facecolor": face, "edgecolor": color, "linestyle": line, "linewidth": 1.2}
        box = {"boxstyle": "round,pad=0.6"} | look
        boxes[name] = ax.text(*centre, text, bbox=box, ha="center", va="center", fontsize=9).get_bbox_patch()
    for start, end, tip, line in _ARROWS:
        style = {"arrowstyle": tip, "linestyle": line, "color": "#333333", "linewidth": 1.1}
        patches = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", _BOXES[end][0], _BOXES[start][0], arrowprops=style | patches)
    for place, text in _NOTES.items():
        ax.text(*place, text, ha="center", va="center", fontsize=9)
    return ax.figure
