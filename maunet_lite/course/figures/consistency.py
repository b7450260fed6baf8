"""Figures of notebook 04, consistency regularization: who teaches whom, and where both are wrong alike."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maunet_lite.figures import SERIES, picture, rgb, take_axes

VERDICT_COLORS = ("#E4E4E4", "#0072B2", "#B2182B")  # none that stands for a class in the maps beside them

# of the picture of two networks: (x, y) → text
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
        Positions in `VERDICT_COLORS`: 0 both are right, 1 they differ (so at most one is right), 2 both name
        the same wrong class. Only pixels of the second kind can change what consistency asks for.

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
    places = {"image": ((0.45, 1.75), "image\nwithout\nlabels", "#555555")}  # name → centre, text, colour
    arrows = [("distance 1", "distance 2", "<->", "-")]
    for k, side, color in ((1, 1, SERIES[0]), (2, -1, SERIES[1])):  # one network above, the other below
        places[f"network {k}"] = ((2.1, 1.75 + 0.9 * side), f"network {k}", color)
        places[f"distance {k}"] = ((4.2, 1.75 + 0.58 * side), f"distance $P_{{reg,{k}}}$", color)
        places[f"classes {k}"] = ((4.9, 1.75 + 1.22 * side), f"classes $P_{{cls,{k}}}$", color)
        places[f"pseudo {k}"] = ((7.6, 1.75 + 1.22 * side), rf"pseudo label $\hat{{P}}_{{cls,{k}}}$", color)
        arrows += [("image", f"network {k}", "->", "-"), (f"pseudo {k}", f"classes {3 - k}", "->", "--")]
        for start, end in (("network", "classes"), ("network", "distance"), ("classes", "pseudo")):
            arrows.append((f"{start} {k}", f"{end} {k}", "->", "-"))
    boxes = {}
    for name, (centre, text, color) in places.items():
        face, line = ("white", "--") if name.startswith("pseudo") else ((*rgb(color), 0.15), "-")
        look = {"facecolor": face, "edgecolor": color, "linestyle": line, "linewidth": 1.2}
        box = {"boxstyle": "round,pad=0.6"} | look
        boxes[name] = ax.text(*centre, text, bbox=box, ha="center", va="center", fontsize=9).get_bbox_patch()
    for start, end, tip, line in arrows:
        style = {"arrowstyle": tip, "linestyle": line, "color": "#333333", "linewidth": 1.1}
        patches = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", places[end][0], places[start][0], arrowprops=style | patches)
    for place, text in _NOTES.items():
        ax.text(*place, text, ha="center", va="center", fontsize=9)
    return ax.figure
