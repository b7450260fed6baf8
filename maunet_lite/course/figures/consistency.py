"""Figures of notebook 04, consistency regularization: who teaches whom, and where both are wrong alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from maunet_lite.figures import SERIES, picture, rgb, take_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = ("agree, right", "differ", "agree, wrong")
VERDICT_COLORS = ("#E4E4E4", "#0072B2", "#B2182B")  # none that stands for a class in the maps beside them
_ACCURACY = "pseudo_accuracy_"


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

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> verdicts(np.array([[0, 1, 2]]), np.array([[0, 0, 2]]), np.array([[0, 1, 1]]))
    array([[0, 1, 2]], dtype=uint8)
    """
    if not np.shape(one) == np.shape(two) == np.shape(truth):
        raise ValueError(
            f"the maps are {np.shape(one)}, {np.shape(two)} and {np.shape(truth)} pixels; expected one size"
        )
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


def show_verdicts(kinds: np.ndarray, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Paint the result of `verdicts`: grey both right, blue they differ, red both wrong alike."""
    table = np.stack([rgb(color) for color in VERDICT_COLORS])
    return picture(table[kinds], ax, title)


def pseudo_accuracies(log: pd.DataFrame, smooth: int = 3) -> pd.DataFrame:
    """Take the pseudo-label accuracy of every modality out of a training log.

    Parameters
    ----------
    log : pandas.DataFrame
        ``log.csv`` of a run with ``method="cr"`` or ``"cr*"``, indexed by step.
    smooth : int
        Rows of a running mean. A row is NaN where no patch of the modality was drawn; such rows are skipped.

    Returns
    -------
    pandas.DataFrame
        One column per modality, in order of name.

    Examples
    --------
    >>> log = pd.DataFrame({"pseudo_accuracy_dic": [0.3, 0.5], "agreement": [1, 1]}, index=[5, 10])
    >>> pseudo_accuracies(log, smooth=2)["dic"].to_list()
    [0.3, 0.4]
    """
    names = sorted(name for name in log if name.startswith(_ACCURACY))
    table = log[names].rename(columns=lambda name: name.removeprefix(_ACCURACY))
    return table.rolling(smooth, min_periods=1).mean()


def plot_runs(
    runs: Mapping[str, pd.Series] | pd.DataFrame,
    ax: Axes | None = None,
    *,
    title: str = "",
    ylabel: str = "",
    marker: str = "",
) -> Axes:
    """Draw one line per named series, or per column of a table, over its index."""
    ax = take_axes(None, 1, 1, 5.0, 3.0)[0] if ax is None else ax
    for color, (name, values) in zip(SERIES, runs.items(), strict=False):
        values = values.dropna()
        ax.plot(values.index, values, color=color, label=name, marker=marker or None, markersize=4)
    ax.set(xlabel=values.index.name or "", ylabel=ylabel)
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#DDDDDD", linewidth=0.6)
    ax.legend(fontsize=8, frameon=False)
    return ax


# --- the two networks (paper Fig. 3) -------------------------------------------------------------------

_LANES = ((2.65, 1, SERIES[0]), (0.85, -1, SERIES[1]))  # height, side of the classes, colour
_BOX = {"boxstyle": "round,pad=0.02,rounding_size=0.12", "linewidth": 1.2}


def draw_twins() -> Figure:
    """Draw two networks that supervise each other on an unlabelled image, as in paper Fig. 3.

    Full arrows carry predictions, dashed ones pseudo labels (no gradient goes back along them).
    """
    ax = take_axes(None, 1, 1, 8.0, 3.2)[0]
    for number, (y, side, color) in enumerate(_LANES, start=1):
        classes, distance = y + 0.32 * side, y - 0.32 * side  # the distances face each other
        _box(ax, (2.0, y), (1.7, 0.9), f"network {number}", color)
        _box(ax, (4.7, classes), (1.7, 0.5), f"classes $P_{{cls,{number}}}$", color)
        _box(ax, (4.7, distance), (1.7, 0.5), f"distance $P_{{reg,{number}}}$", color)
        _box(ax, (7.6, classes), (1.8, 0.5), f"pseudo label $\\hat{{P}}_{{cls,{number}}}$", color, light=True)
        _arrow(ax, (0.95, 1.75), (1.1, y))
        for end in (classes, distance):
            _arrow(ax, (2.9, y), (3.8, end))
        _arrow(ax, (5.6, classes), (6.65, classes), text="argmax")
    _box(ax, (0.45, 1.75), (0.9, 0.9), "image\nwithout\nlabels", "#555555")
    (top, *_), (bottom, *_) = _LANES
    _arrow(ax, (7.4, top + 0.02), (5.6, bottom - 0.22), dashed=True)
    _arrow(ax, (7.4, bottom - 0.02), (5.6, top + 0.22), dashed=True)
    ax.text(7.2, 1.75, "cross entropy, both ways\n(no gradient to the teacher)", fontsize=9, va="center")
    _arrow(ax, (4.7, top - 0.62), (4.7, bottom + 0.62), both=True)
    ax.text(4.6, 1.75, "L2", fontsize=9, ha="right", va="center")
    ax.set(xlim=(-0.1, 9.6), ylim=(0.1, 3.4))
    ax.set_axis_off()
    return ax.figure


def _box(
    ax: Axes,
    centre: tuple[float, float],
    size: tuple[float, float],
    text: str,
    color: str,
    light: bool = False,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    face = "white" if light else (*rgb(color), 0.15)
    style: dict[str, Any] = _BOX | {"linestyle": "--" if light else "-"}
    ax.add_patch(FancyBboxPatch(corner, *size, facecolor=face, edgecolor=color, **style))
    ax.text(*centre, text, ha="center", va="center", fontsize=9)


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    text: str = "",
    dashed: bool = False,
    both: bool = False,
) -> None:
    style = {
        "arrowstyle": "<->" if both else "->",
        "color": "#333333",
        "linewidth": 1.1,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", end, start, arrowprops=style | {"linestyle": "--" if dashed else "-"})
    if text:
        ax.text((start[0] + end[0]) / 2, start[1] + 0.06, text, ha="center", fontsize=8)
