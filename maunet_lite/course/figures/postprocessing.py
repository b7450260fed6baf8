"""Post-processing on a few pictures, for notebook 05: scores, scans of one number, errors in colours.

Pure functions of a `Case` (a picture, its truth and the network's maps) and settings; the explorer in
`figures.postprocessing_explorer` calls `draw_result` again whenever a control moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maunet_lite.evaluation import errors as find_errors
from maunet_lite.evaluation import match_cells
from maunet_lite.figures import errors, overlay, show_image, show_steps
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = (
    "foreground",
    "interior",
    "blurred_distance",
    "skeleton_markers",
    "P1",
    "peak_markers",
    "P2",
    "union_markers",
    "P3",
    "final",
)
INPUTS = ("image", "truth", "P(interior)", "P(boundary)", "distance field")


class Case(NamedTuple):
    """A picture to try settings on.

    Attributes
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C).
    truth : numpy.ndarray
        (H, W) label map.
    maps : Maps
        What the network says of the image.
    """

    image: np.ndarray
    truth: np.ndarray
    maps: Maps


def score(case: Case, config: PostprocessConfig | str) -> float:
    """Return the F1 of the cells that these settings find in a case, by the challenge's rules."""
    return match_cells(case.truth, segment(case.maps, config, keep_steps=False).labels).f1


def scan(
    cases: Sequence[Case], name: str, values: Sequence[Any], config: PostprocessConfig | None = None
) -> np.ndarray:
    """Change one number of the settings and keep the others.

    Parameters
    ----------
    cases : sequence of Case
    name : str
        A field of `PostprocessConfig`.
    values : sequence
        What to try for it.
    config : PostprocessConfig, optional
        All other numbers; the default settings if left out.

    Returns
    -------
    numpy.ndarray
        (cases, values) float64, the F1.

    Examples
    --------
    Two cells of nine pixels, and a bar for cells that only the first settings leave low enough:

    >>> interior = np.zeros((9, 12), dtype=np.float32)
    >>> interior[3:6, 3:6] = interior[3:6, 7:10] = 1
    >>> truth = np.zeros((9, 12), dtype=int)
    >>> truth[3:6, 3:6], truth[3:6, 7:10] = 1, 2
    >>> case = Case(interior, truth, Maps(np.stack([1 - interior, interior]), interior))
    >>> scan([case], "min_interior", [0, 10])
    array([[1., 0.]])
    """
    config = config or PostprocessConfig()
    changed = [replace(config, **{name: value}) for value in values]
    return np.array([[score(case, config) for config in changed] for case in cases])


def draw_result(case: Case, config: PostprocessConfig, shown: str = "final", note: str = "") -> Figure:
    """Draw what settings make of a case: errors in colours on the left, one map or step on the right.

    Parameters
    ----------
    case : Case
    config : PostprocessConfig
    shown : str
        One of `INPUTS` or `STEPS`. Settings that skip the steps have only the last one, ``"final"``.
    note : str
        Stands beside the F1.
    """
    from matplotlib.figure import Figure

    labels, steps = segment(case.maps, config)
    found = find_errors(case.truth, labels)
    f1 = match_cells(case.truth, labels).f1
    figure = Figure(
        figsize=(8, 0.45 + 4 * float(np.clip(case.truth.shape[0] / case.truth.shape[1], 0.5, 1.2)))
    )
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.93, bottom=0.07, wspace=0.02)
    errors(case.image, case.truth, labels, found, left, f"F1 {f1:.2f}{note}")
    _draw(right, case, steps, shown)
    return figure


def _draw(ax: Axes, case: Case, steps: Mapping[str, np.ndarray], shown: str) -> None:
    """Draw one of `INPUTS` or `STEPS`."""
    probabilities, distance = case.maps
    if shown == "image":
        show_image(case.image, ax, shown)
    elif shown == "truth":
        overlay(case.image, case.truth, ax, shown)
    elif shown == "distance field" and distance is not None:
        show_steps({shown: distance}, axes=[ax])
    elif shown == "P(boundary)" and len(probabilities) > 2:
        show_steps({shown: probabilities[2]}, axes=[ax])
    elif shown == "P(interior)":
        show_steps({shown: probabilities[1]}, axes=[ax])
    else:
        shown = shown if shown in steps else "final"
        show_steps({shown: steps[shown]}, axes=[ax])


def draw_gallery(cases: Mapping[str, Case], side: int, config: PostprocessConfig | None = None) -> Figure:
    """Draw the middle of several cases in a row, wrong cells in colour, with what went wrong in all of each.

    Parameters
    ----------
    cases : dict
        Name → case.
    side : int
        Height and width of the middle part that is drawn, in pixels.
    config : PostprocessConfig, optional
        The default settings if left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 7.7 / len(cases)), layout="compressed")
    for ax, (name, case) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        labels = segment(case.maps, config).labels
        found = find_errors(case.truth, labels)
        wrong = [f"{n} {kind}" for kind, n in found.counts().items() if n and kind != "found"]
        lines = [", ".join(wrong[k : k + 2]) for k in range(0, len(wrong), 2)] or ["no error"]
        title = "\n".join([f"{name}: F1 {match_cells(case.truth, labels).f1:.2f}", *lines])
        top, left = (max(0, (size - side) // 2) for size in labels.shape)
        middle = np.s_[top : top + side, left : left + side]
        errors(case.image[middle], case.truth[middle], labels[middle], found, ax, title)
        ax.get_legend().remove()
    return figure
