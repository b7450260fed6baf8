"""Figures from arrays: images, cells, maps, steps, errors, scores.

Functions that draw into one diagram take ``ax=None`` and return it; functions that draw several take
``axes=None`` and return the figure. Nothing is shown or saved here: a notebook shows its figures by itself
(end the line with ``;``), a script calls ``figure.savefig``. Sizes are made for a text column of 700 pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter

from maunet_lite.figures import colors
from maunet_lite.figures.canvas import legend, line_width, picture, picture_grid, thin
from maunet_lite.figures.colors import ERROR_COLORS, blend, outlines, paint_cells, random_colors, to_display


def show_image(image: np.ndarray, ax: Axes | None = None, title: str = "") -> Axes:
    """Show an image, stretched to a visible range (see `to_display`)."""
    return picture(to_display(thin(image)), ax, title)


def show_labels(labels: np.ndarray, ax: Axes | None = None, title: str = "") -> Axes:
    """Show a label map in random colours on black, neighbours in different ones."""
    return picture(random_colors(thin(labels)), ax, title)


def overlay(
    image: np.ndarray, labels: np.ndarray, ax: Axes | None = None, title: str = "", fill: float = 0.3
) -> Axes:
    """Draw the outlines of cells, and a breath of their colour, over the image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    labels : (H, W) integer array
        Label map of the same height and width.
    fill : float in [0, 1], default 0.3
        Strength of the colour inside the cells; 0 draws outlines only.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    _check_sizes(image, labels)
    base, labels = to_display(thin(image)), thin(labels)
    (ax,) = picture_grid(1, 1, labels.shape, ax)
    shade = 0.7 if base.mean() > 0.5 else 1  # light colours would be lost on a light image
    paint_cells(base, labels, fill, line_width(ax, labels.shape), shade)
    return picture(base, ax, title)


def show_classes(classes: np.ndarray, ax: Axes | None = None, title: str = "", key: bool = True) -> Axes:
    """Show a map of semantic classes, (H, W) integers: 0 background, 1 interior, 2 boundary, 3 proxy."""
    classes = thin(classes)
    ax = picture(np.stack([colors.rgb(color) for color in colors.CLASS_COLORS])[classes], ax, title)
    if key:
        names = colors.CLASS_NAMES[: max(3, int(classes.max()) + 1)]
        legend(ax, dict(zip(names, colors.CLASS_COLORS, strict=False)))
    return ax


def show_distance(
    values: np.ndarray, ax: Axes | None = None, title: str = "", stretch: bool = False, bar: bool = True
) -> Axes:
    """Show a map of numbers, such as the distance field or a probability, (H, W), with a colour bar.

    The darkest colour is 0 and the lightest 1 or, with `stretch`, the smallest and the largest
    value of the map. NaN is grey.
    """
    low, high = (None, None) if stretch else (0, 1)
    magma = colormaps["magma"].with_extremes(bad="#808080")
    ax = picture(thin(values), ax, title, cmap=magma, vmin=low, vmax=high)
    if bar:
        strip = ax.inset_axes([1.02, 0, 0.035, 1])
        ax.figure.colorbar(ax.images[-1], cax=strip).outline.set_visible(False)
        strip.tick_params(length=2, labelsize=8)
    return ax


def show_maps(maps: Sequence[Any], image: np.ndarray | None = None, axes: Any = None) -> Figure:
    """Show what the network says: probability of each class and the distance field, after the image.

    Parameters
    ----------
    maps : (probabilities, distance)
        (C, H, W) in [0, 1] and (H, W) or None, such as ``postprocessing.Maps``.
    image : (H, W) or (H, W, C) array, optional
    axes : axes, optional
        One per picture.
    """
    names = [f"P({name})" for name in colors.CLASS_NAMES]
    panels = {"image": image} | dict(zip(names, maps[0], strict=False)) | {"distance field": maps[1]}
    shown = {name: values for name, values in panels.items() if values is not None}
    places = picture_grid(len(shown), 3, maps[0][0].shape, axes, room=1.13)
    for ax, (name, values) in zip(places, shown.items(), strict=True):
        (show_image if name == "image" else show_distance)(values, ax, name)
    return places[0].figure


def show_steps(steps: Mapping[str, np.ndarray], image: np.ndarray | None = None, axes: Any = None) -> Figure:
    """Show the results of the post-processing steps in order (paper 2.3, Fig. 4).

    Masks are drawn white on black, label maps in random colours, maps of numbers with a colour bar.
    Markers are too small to be seen and are drawn a little larger than they are.
    """
    panels = ({} if image is None else {"image": image}) | dict(steps)
    places = picture_grid(len(panels), 4, next(iter(steps.values())).shape, axes)
    for ax, (name, values) in zip(places, panels.items(), strict=True):
        title = name.replace("_", " ")
        if name == "image":
            show_image(values, ax, title)
        elif values.dtype == bool:
            picture(thin(values), ax, title, cmap="gray", vmin=0, vmax=1)
        elif values.dtype.kind in "iu":
            seen = maximum_filter(values, 3 + 2 * (max(values.shape) // 300)) if "marker" in name else values
            show_labels(seen, ax, f"{title} ({np.count_nonzero(np.unique(values))})")
        else:
            show_distance(values, ax, title, stretch=True, bar=False)
    return places[0].figure


def errors(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, report: Any, ax: Axes | None = None,
    title: str = "", key: bool = True,
) -> Axes:  # fmt: skip
    """Show which cells were missed, split, merged and invented, in four colours for any colour vision.

    Missed, split and merged cells are drawn as they truly are, invented ones as predicted; white lines are
    the prediction inside split and merged cells. Found cells have thin grey outlines.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    truth, prediction : (H, W) integer arrays
        Label maps.
    report : evaluation.Errors
        What ``evaluation.errors(truth, prediction)`` returned: ids in `found`, `missed`, `split`, `merged`
        (of truth) and `invented` (of the prediction).
    key : bool, default True
        Write below what the colours mean, and how many cells there are of each.
    """
    for labels in (truth, prediction):
        _check_sizes(image, labels)
    base, truth, prediction = 0.75 * to_display(thin(image)), thin(truth), thin(prediction)
    (ax,) = picture_grid(1, 1, truth.shape, ax)
    line = line_width(ax, truth.shape)
    blend(base, outlines(np.where(np.isin(truth, report.found), truth, 0), line), "#BBBBBB", 0.8)
    for kind, color in ERROR_COLORS.items():
        source = prediction if kind == "invented" else truth
        cells = np.where(np.isin(source, getattr(report, kind)), source, 0)
        blend(base, cells > 0, color, 0.45)
        if kind in ("split", "merged"):
            blend(base, outlines(np.where(cells > 0, prediction, 0), line) & (cells > 0), "#FFFFFF", 0.9)
        blend(base, outlines(cells, line + 1), color, 1.0)
    if key:
        counts = {f"{len(getattr(report, kind))} {kind}": color for kind, color in ERROR_COLORS.items()}
        legend(ax, {f"{len(report.found)} found": "#BBBBBB"} | counts, columns=5)
    return picture(base, ax, title)


def _check_sizes(image: np.ndarray, labels: np.ndarray) -> None:
    if np.shape(image)[:2] != np.shape(labels):
        raise ValueError(
            f"the image has {np.shape(image)[:2]} pixels and the label map {np.shape(labels)}, expected the "
            "same: do they belong together, and is one of them transposed or resized?"
        )
