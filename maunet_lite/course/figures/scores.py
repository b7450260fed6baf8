"""Figures of notebook 06: little label maps, scores side by side, worst cells, and runs seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from maunet_lite.course.figures.ablation import learning_curve, rows
from maunet_lite.evaluation import Errors, errors
from maunet_lite.figures import ERROR_COLORS, SERIES, picture, rgb, take_axes
from maunet_lite.figures import errors as show_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = tuple(ERROR_COLORS)
_TRUTH, _PREDICTION = "#56B4E9", "#E69F00"


def show_pair(
    truth: np.ndarray,
    prediction: np.ndarray,
    ax: Axes | None = None,
    title: str = "",
    seam: int | None = None,
    frame: int = 0,
) -> Axes:
    """Paint two small label maps over each other: truth blue, prediction orange, both green.

    Black lines go round each cell of either map; its id is written in, "t1" for the truth's cell 1 and "p3"
    for the prediction's cell 3.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        A few dozen pixels at most.
    seam : int, optional
        Draw a line in front of this column.
    frame : int
        Draw a dashed line at this distance from the border.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    mix = np.ones((*truth.shape, 3), dtype=np.float32)
    for labels, color in ((truth, _TRUTH), (prediction, _PREDICTION)):
        mix[labels > 0] *= rgb(color)
    ax = picture(mix, ax, title, interpolation="nearest")
    rows, columns = truth.shape
    ax.set_axis_on()
    ax.set_xticks(np.arange(columns + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(rows + 1) - 0.5, labels=[])
    ax.tick_params(length=0)
    ax.grid(color="white", linewidth=0.7)
    if frame:
        far_row, far_column = rows - frame - 0.5, columns - frame - 0.5
        corners = np.array([[frame - 0.5, frame - 0.5], [frame - 0.5, far_row], [far_column, far_row]])
        corners = np.concatenate([corners, [[far_column, frame - 0.5]], corners[:1]])
        ax.plot(*corners.T, color="black", linewidth=1, linestyle="--")
    if seam is not None:
        ax.axvline(seam - 0.5, color="black", linewidth=1.5)
    borders = np.concatenate([_edges(truth), _edges(prediction)])
    ax.add_collection(LineCollection(list(borders), colors="black", linewidths=1, clip_on=False))
    rim = [withStroke(linewidth=1.5, foreground="black")]
    taken: set[tuple[int, int]] = set()
    for labels, letter in ((truth, "t"), (prediction, "p")):
        for cell in np.unique(labels[labels > 0]):
            pixels = [(int(row), int(column)) for row, column in np.argwhere(labels == cell)]
            # truth: top of the leftmost column; prediction: the last pixel, or the last that is still free
            pixels = sorted(pixels, key=lambda pixel: pixel[::-1]) if letter == "t" else pixels[::-1]
            row, column = next((pixel for pixel in pixels if pixel not in taken), pixels[0])
            taken.add((row, column))
            name = f"{letter}{cell}"
            ax.text(column, row, name, color="white", fontsize=9, ha="center", va="center", path_effects=rim)
    return ax


def _edges(labels: np.ndarray) -> np.ndarray:
    """Return the sides of pixels where a label changes, the image's border included: (n, 2 ends, x and y)."""
    wide = np.pad(labels, 1)
    row, column = np.nonzero(wide[1:-1, :-1] != wide[1:-1, 1:])  # upright sides, in front of a column
    upright = np.stack([np.stack([column, row], -1), np.stack([column, row + 1], -1)], axis=1)
    row, column = np.nonzero(wide[:-1, 1:-1] != wide[1:, 1:-1])  # lying ones, above a row
    lying = np.stack([np.stack([column, row], -1), np.stack([column + 1, row], -1)], axis=1)
    return np.concatenate([upright, lying]) - 0.5


def show_scores(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Write a table of scores in [0, 1] as shaded cells: what is done in rows, metrics in columns."""
    ax = take_axes(None, 1, 1, 8.0, 0.5 + 0.3 * len(table))[0] if ax is None else ax
    values = table.to_numpy(dtype=float)
    ax.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value < 0.55 else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=color)
    ax.set_xticks(range(table.shape[1]), table.columns, fontsize=9)
    ax.set_yticks(range(len(table)), table.index, fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_runs(
    runs: Mapping[str, Sequence[float]] | pd.Series,
    ax: Axes | None = None,
    *,
    paper: Mapping[str, float] | pd.Series | None = None,
    xlabel: str = "F1",
) -> Axes:
    """Draw each run as a dot and the mean as a bar, one row per variant; the paper's value as a diamond.

    Parameters
    ----------
    runs : mapping of variant to scores
        One score per seed; NaN is left out.
    paper : mapping of variant to score, optional
    """
    ax = take_axes(None, 1, 1, 7.0, 0.9 + 0.32 * len(runs))[0] if ax is None else ax
    runs = dict(runs.items())  # a Series is welcome too
    for place, scores in enumerate(runs.values()):
        scores = np.asarray(scores, dtype=float)
        scores = scores[~np.isnan(scores)]
        lift = np.linspace(-0.15, 0.15, scores.size) if scores.size > 1 else np.zeros(scores.size)
        label = "one run" if place == 0 else None
        ax.scatter(scores, place + lift, s=22, color=SERIES[0], alpha=0.7, linewidths=0, label=label)
        if scores.size:
            label = "mean" if place == 0 else None
            ax.plot([scores.mean()] * 2, [place - 0.32, place + 0.32], color=SERIES[0], lw=2.2, label=label)
    known = {} if paper is None else dict(paper.items())
    named = [name for name in runs if not np.isnan(known.get(name, np.nan))]
    if named:
        heights = [list(runs).index(name) for name in named]
        values = [known[name] for name in named]
        ax.scatter(values, heights, marker="D", s=30, color=SERIES[1], label="paper (other images)")
    ax.set_yticks(range(len(runs)), list(runs))
    ax.set_ylim(len(runs) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def plot_pairs(pairs: pd.DataFrame, ax: Axes | None = None, *, ylabel: str = "F1") -> Axes:
    """Draw a line per seed from one variant to the other, and the means as a thick black one.

    Parameters
    ----------
    pairs : pandas.DataFrame
        One row per seed, one column per variant.
    """
    ax = take_axes(None, 1, 1, 3.6, 2.8)[0] if ax is None else ax
    for number, (seed, values) in enumerate(pairs.iterrows()):
        ax.plot(range(len(values)), values, marker="o", color=SERIES[number % 6], label=f"seed {seed}")
    ax.plot(range(pairs.shape[1]), pairs.mean(), color="black", linewidth=3, alpha=0.35, label="mean")
    ax.set_xticks(range(pairs.shape[1]), pairs.columns)
    ax.set_xlim(-0.3, pairs.shape[1] - 0.7)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False)
    return ax


def plot_learning_curves(frame: pd.DataFrame) -> Figure:
    """Draw F1 against labelled images, and against minutes of training: a line per modality, all in black.

    Dots are single runs, lines join means over seeds.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `figures.ablation.load` returns.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.0), layout="compressed")
    axes: Any = figure.subplots(1, 2, sharey=True)
    known = ("brightfield", "dic", "fluorescence", "phase-contrast", "all")
    for ax, table, column, label in (
        (axes[0], "curve", "images", "labelled images"),
        (axes[1], "budget", "minutes", "minutes of training on one CPU core"),
    ):
        for number, modality in enumerate(known):
            values = learning_curve(frame, table, modality)
            color, width = ("black", 2.5) if modality == "all" else (SERIES[number], 1.3)
            x = values["minutes"] if column == "minutes" else values.index
            ax.plot(x, values["mean"], color=color, lw=width, label=modality)
            single = rows(frame, table, modality)
            amounts = single["variant"].str.split(" ").str[0].astype(int)
            place = values["minutes"].reindex(amounts) if column == "minutes" else amounts
            ax.scatter(place, single["mean_f1"], s=9, color=color, linewidths=0, alpha=0.8)
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{value:.2g}" if column == "minutes" else f"{value}" for value in x])  # of "all"
        ax.minorticks_off()
        ax.set_xlabel(label)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#DDDDDD", linewidth=0.6)
    axes[0].set_ylabel("F1")
    axes[0].set_ylim(0, 1)
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def worst_cells(
    truth: np.ndarray, report: Errors, kind: str, prediction: np.ndarray
) -> list[tuple[int, int]]:
    """Return the centres (row, column) of the cells of a kind of error, the largest first.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2, 2, 0]])
    >>> nothing = np.zeros_like(truth)
    >>> worst_cells(truth, errors(truth, nothing), "missed", nothing)
    [(0, 1), (0, 4)]
    """
    labels = prediction if kind == "invented" else truth
    ids = getattr(report, kind)
    sizes = {cell: np.count_nonzero(labels == cell) for cell in ids}
    ordered = sorted(ids, key=lambda cell: -sizes[cell])
    return [tuple(int(x) for x in np.argwhere(labels == cell).mean(axis=0)) for cell in ordered]


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
    from matplotlib.figure import Figure

    reports = {name: errors(truth, found, border=2) for name, (_, truth, found) in pictures.items()}
    figure = Figure(figsize=(6.4, 6.8 / columns * len(KINDS)), layout="compressed")
    axes: Any = figure.subplots(len(KINDS), columns, squeeze=False)
    for line, kind in zip(axes, KINDS, strict=True):
        for ax in line:
            ax.set_axis_off()
        line[0].text(-0.06, 0.5, kind, transform=line[0].transAxes, rotation=90, ha="right", va="center")
        chosen = [name for name in pictures if len(getattr(reports[name], kind))][:columns]
        for ax, name in zip(line, chosen, strict=False):
            image, truth, found = pictures[name]
            centre = worst_cells(truth, reports[name], kind, found)[0]
            window = _window(centre, truth.shape, side)
            show_errors(image[window], truth[window], found[window], reports[name], ax, name)
            ax.get_legend().remove()
    return figure


def _window(centre: tuple[int, int], shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Return the square of `side` around a centre, moved into the image."""
    starts = [min(max(0, c - side // 2), max(0, n - side)) for c, n in zip(centre, shape, strict=True)]
    return np.s_[starts[0] : starts[0] + side, starts[1] : starts[1] + side]
