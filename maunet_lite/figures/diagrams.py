"""Diagrams from tables: the course of a training, and the scores of every image by modality.

Part of `plots`, from where they are imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from maunet_lite.figures.canvas import take_axes
from maunet_lite.figures.colors import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# columns of a training log that are no loss
_NOT_LOSSES = {"step", "epoch", "minutes", "learning_rate", "images_per_second", "waiting_share"}
_PLAIN = {"f1": "all", "f1_plain": "all, without\npost-processing"}


def learning_curve(log: pd.DataFrame, validation: pd.DataFrame | None = None, axes: Any = None) -> Figure:
    """Draw the losses and the validation scores of a training.

    Parameters
    ----------
    log : pandas.DataFrame
        Column `step` and one column per loss; the columns of a run's ``log.csv``.
    validation : pandas.DataFrame, optional
        Columns `step`, `f1` and further scores named ``f1_…``; the columns of a run's ``validation.csv``.
    axes : two axes, optional
        One is enough without `validation`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    scored = validation is not None and len(validation) > 0
    places = take_axes(axes, 1 + scored, 1 + scored, 4.25, 3.0)
    losses = [name for name in log.columns if name not in _NOT_LOSSES]
    for color, name in zip(SERIES, sorted(losses, key=lambda name: name != "loss"), strict=False):
        _line(places[0], log["step"], log[name], name.replace("_", " "), color, name == "loss")
    places[0].set_ylim(bottom=0)
    _finish(places[0], "training loss", "step")
    if scored:
        names = [name for name in validation.columns if name == "f1" or name.startswith("f1_")]
        for color, name in zip(SERIES, names, strict=False):
            label = _PLAIN.get(name, name.removeprefix("f1_"))
            _line(places[1], validation["step"], validation[name], label, color, name == "f1")
        places[1].set_ylim(0, 1)
        _finish(places[1], "validation F1 at IoU 0.5", "step")
        places[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return places[0].figure


def score_strip(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], score: str = "f1", ax: Axes | None = None
) -> Axes:
    """Draw the score of every image as a dot, by modality, with the mean (diamond) and the median (bar).

    Parameters
    ----------
    tables : pandas.DataFrame, or a mapping of names to tables
        Tables of ``evaluation.evaluate``: columns `modality` and `score`. Several are drawn side by side.
    score : str, default "f1"
        Column to draw, with values in [0, 1].
    ax : axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    tables = tables if isinstance(tables, Mapping) else {"": tables}
    groups = list(dict.fromkeys(name for table in tables.values() for name in sorted(set(table["modality"]))))
    if ax is None:
        height = 0.9 + 0.28 * len(groups) * (1 + len(tables))
        ax = take_axes(None, 1, 1, 6.5, height)[0]
    lane = 0.8 / len(tables)
    for number, (name, table) in enumerate(tables.items()):
        for row, group in enumerate(groups):
            values = table.loc[table["modality"] == group, score].dropna().to_numpy()
            center = row - 0.4 + lane * (number + 0.5)
            _strip(ax, values, center, lane, SERIES[number], name if row == 0 else None)
    counts = next(iter(tables.values()))["modality"].value_counts()
    ax.set_yticks(range(len(groups)), [f"{group}\n{counts.get(group, 0)} images" for group in groups])
    ax.set_ylim(len(groups) - 0.45, -0.55)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(
        f"{score.replace('_', ' ').replace('f1', 'F1')} of each image (diamond: mean, bar: median)",
        fontsize=9,
    )
    _plain(ax, "x")
    if len(tables) > 1:
        ax.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(tables))
    return ax


def _strip(ax: Axes, values: np.ndarray, center: float, lane: float, color: str, label: str | None) -> None:
    """Spread the dots of one group over its lane, evenly instead of at random so that figures repeat."""
    spread = (np.arange(values.size) * 0.618034) % 1 - 0.5
    ax.scatter(values, center + 0.7 * lane * spread, s=12, color=color, alpha=0.45, linewidths=0, label=label)
    if values.size:
        median, mean = float(np.median(values)), float(np.mean(values))
        ax.plot([median, median], [center - 0.42 * lane, center + 0.42 * lane], color=color, linewidth=2.2)
        ax.plot(mean, center, marker="D", markersize=6, color=color, markeredgecolor="white")


def _line(ax: Axes, x: pd.Series, y: pd.Series, label: str, color: str, strong: bool) -> None:
    shown = y.notna()
    marker = "o" if shown.sum() <= 30 else None
    width = 2.0 if strong else 1.1
    ax.plot(x[shown], y[shown], label=label, color=color, linewidth=width, marker=marker, markersize=3)


def _finish(ax: Axes, title: str, xlabel: str) -> None:
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(xlabel, fontsize=9)
    ax.legend(fontsize=8, frameon=False)
    _plain(ax, "both")


def _plain(ax: Axes, grid: str) -> None:
    """Take away what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)
