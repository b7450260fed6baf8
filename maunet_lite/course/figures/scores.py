"""Figures of notebook 06: little label maps, worst cells, runs seed by seed, and learning curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from skimage.measure import regionprops

from maunet_lite.course.figures.ablation import rows
from maunet_lite.evaluation import Errors, errors
from maunet_lite.figures import ERROR_COLORS, SERIES, picture, rgb, tidy
from maunet_lite.figures import errors as show_errors

# modality → colour of its learning curve
CURVES = dict(zip(("brightfield", "dic", "fluorescence", "phase-contrast"), SERIES, strict=False))
CURVES["all"] = "#000000"


def show_pair(
    truth: np.ndarray, prediction: np.ndarray, ax: Axes, title: str = "", seam: int = 0, frame: int = 0
) -> Axes:
    """Paint two small label maps over each other: truth blue, prediction orange, both green.

    Black lines go round each cell of either map; its id is written in, "t1" for the truth's cell 1 and "p3"
    for the prediction's cell 3.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        A few dozen pixels at most.
    seam : int
        Draw a line in front of this column, if it is not the first.
    frame : int
        Draw a dashed line at this distance from the border.
    """
    blue = np.where(truth[..., None] > 0, rgb("#56B4E9"), 1)
    orange = np.where(prediction[..., None] > 0, rgb("#E69F00"), 1)
    ax = picture(blue * orange, ax, title, interpolation="nearest")
    height, width = truth.shape
    ax.set_axis_on()
    ax.set_xticks(np.arange(width + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(height + 1) - 0.5, labels=[])
    ax.tick_params(length=0)
    ax.grid(color="white", linewidth=0.7)
    if frame:
        corner, size = (frame - 0.5, frame - 0.5), (width - 2 * frame, height - 2 * frame)
        ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linestyle="--", zorder=3))
    if seam:
        ax.axvline(seam - 0.5, color="black", linewidth=1.5)
    borders = [*_edges(truth), *_edges(prediction)]
    ax.add_collection(LineCollection(borders, colors="black", linewidths=1, clip_on=False))
    rim = [withStroke(linewidth=1.5, foreground="black")]
    style = {"color": "white", "fontsize": 9, "ha": "center", "va": "center", "path_effects": rim}
    # (x, y) of each cell's pixels, the best place first: true ids high in the leftmost column, predicted low
    places = {f"t{cell}": np.argwhere(truth.T == cell) for cell in np.unique(truth[truth > 0])}
    for cell in np.unique(prediction[prediction > 0]):
        places[f"p{cell}"] = np.argwhere(prediction == cell)[::-1, ::-1]
    taken: list[list[int]] = []
    for name, pixels in places.items():
        place = next((pixel for pixel in pixels.tolist() if pixel not in taken), pixels[0].tolist())
        taken.append(place)
        ax.text(*place, name, **style)
    return ax


def _edges(labels: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the sides of pixels where a label changes, the image's border included: pairs of (x, y)."""
    wide = np.pad(labels, 1)
    upright = np.argwhere(wide[1:-1, :-1] != wide[1:-1, 1:]) - 0.5  # in front of a column
    lying = np.argwhere(wide[:-1, 1:-1] != wide[1:, 1:-1]) - 0.5  # above a row
    return [[(x, y), (x, y + 1)] for y, x in upright] + [[(x, y), (x + 1, y)] for y, x in lying]


def _amounts(found: pd.DataFrame) -> pd.Series:
    """Return the number before the unit of each row's variant: 20 of ``"20 images"``."""
    return found["variant"].str.split(" ").str[0].astype(int)


def learning_curve(frame: pd.DataFrame, table: str, modality: str = "all") -> pd.DataFrame:
    """Return F1 against the number of labelled images or against the length of the training.

    Parameters
    ----------
    frame : pandas.DataFrame
    table : str
        ``"curve"`` (variants such as ``"20 images"``) or ``"budget"`` (``"300 steps"``).
    modality : str, default "all"

    Returns
    -------
    pandas.DataFrame
        Index: images or steps, ascending. Columns minutes (mean over seeds), mean and sd of F1, seeds.

    Examples
    --------
    >>> frame = pd.DataFrame({"table": "budget", "variant": ["300 steps", "75 steps"], "seed": 0,
    ...                       "modality": "all", "mean_f1": [0.7, 0.5], "minutes": [1.2, 0.3]})
    >>> learning_curve(frame, "budget")
           minutes  mean  sd  seeds
    steps
    75         0.3   0.5 NaN      1
    300        1.2   0.7 NaN      1
    """
    found = rows(frame, table, modality)
    groups = found.groupby(_amounts(found).rename("images" if table == "curve" else "steps"))
    f1 = {"mean": ("mean_f1", "mean"), "sd": ("mean_f1", "std"), "seeds": ("mean_f1", "size")}
    return groups.agg(minutes=("minutes", "mean"), **f1)


def plot_learning_curves(frame: pd.DataFrame) -> Figure:
    """Draw F1 against labelled images, and against minutes of training: a line per modality, all in black.

    Dots are single runs, lines join means over seeds.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `figures.ablation.load` returns.
    """
    figure = Figure(figsize=(8.0, 3.0), layout="compressed")
    places = {"y": "mean_f1", "hue": "modality", "hue_order": list(CURVES), "palette": CURVES}
    widths = {"size": "modality", "sizes": {name: 2.5 if name == "all" else 1.3 for name in CURVES}}
    for ax, table in zip(figure.subplots(1, 2, sharey=True), ("curve", "budget"), strict=True):
        found = frame[(frame["table"] == table) & frame["modality"].isin(CURVES)]
        images = table == "curve"
        x = _amounts(found) if images else found.groupby("variant")["minutes"].transform("mean")
        sns.lineplot(found, x=x, **places, **widths, errorbar=None, legend=not images, ax=ax)
        sns.scatterplot(found, x=x, **places, s=9, linewidth=0, alpha=0.8, legend=False, ax=ax)
        xlabel = "labelled images" if images else "minutes of training on one CPU core"
        ax.set(xscale="log", ylim=(0, 1), xlabel=xlabel, ylabel="F1")
        ax.set_xticks(x.unique(), [f"{value:.3g}" if images else f"{value:.1f}" for value in x.unique()])
        ax.minorticks_off()
        tidy(ax)
    sns.move_legend(ax, "center left", bbox_to_anchor=(1.0, 0.5), title=None, frameon=False, fontsize=8)
    return figure


def worst_cells(truth: np.ndarray, found: Errors, kind: str, prediction: np.ndarray) -> list[tuple[int, int]]:
    """Return the centres (row, column) of the cells of a kind of error, the largest first.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2, 2, 0]])
    >>> nothing = np.zeros_like(truth)
    >>> worst_cells(truth, errors(truth, nothing), "missed", nothing)
    [(0, 1), (0, 4)]
    """
    labels = prediction if kind == "invented" else truth
    cells = regionprops(np.where(np.isin(labels, getattr(found, kind)), labels, 0))
    return [tuple(map(int, cell.centroid)) for cell in sorted(cells, key=lambda cell: -cell.area)]


def draw_worst(
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], side: int = 64, columns: int = 4
) -> Figure:
    """Cut out the largest errors of each kind: one row per kind, at most one cell per picture in it.

    Cells in the outermost two pixels are left out, as in the score.

    Parameters
    ----------
    pictures : mapping of name to (image, truth, prediction)
    side : int
        Edge of the pieces in pixels.
    columns : int
        Pieces per row.
    """
    reports = {name: errors(truth, found, border=2) for name, (_, truth, found) in pictures.items()}
    figure = Figure(figsize=(6.4, 6.8 / columns * len(ERROR_COLORS)), layout="compressed")
    axes = figure.subplots(len(ERROR_COLORS), columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, kind in zip(axes, ERROR_COLORS, strict=True):
        line[0].text(-0.06, 0.5, kind, transform=line[0].transAxes, rotation=90, ha="right", va="center")
        chosen = [name for name in pictures if len(getattr(reports[name], kind))]
        for ax, name in zip(line, chosen, strict=False):
            image, truth, found = pictures[name]
            window = _window(worst_cells(truth, reports[name], kind, found)[0], truth.shape, side)
            show_errors(image[window], truth[window], found[window], reports[name], ax, name, key=False)
    return figure


def _window(centre: tuple[int, int], shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Return the square of `side` around a centre, moved into the image."""
    starts = [min(max(0, c - side // 2), max(0, n - side)) for c, n in zip(centre, shape, strict=True)]
    return np.s_[starts[0] : starts[0] + side, starts[1] : starts[1] + side]
