"""Diagrams from tables: lines over steps, the course of a training, and every image's score by modality."""

import itertools
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maunet_lite.figures.canvas import take_axes, tidy
from maunet_lite.figures.colors import SERIES

# columns of a training log that are no loss
_NOT_LOSSES = {"step", "epoch", "minutes", "learning_rate", "images_per_second", "waiting_share"}
_SCORES = {"f1": "all", "f1_plain": "all, without\npost-processing"}


def show_lines(
    lines: Mapping[str, pd.Series] | pd.DataFrame, ax: Axes | None = None, *, title: str = "",
    ylabel: str = "", strong: str = "",
) -> Axes:  # fmt: skip
    """Draw one line per named series, or per column of a table, over its index.

    Parameters
    ----------
    lines : mapping of names to Series, or a DataFrame
        NaN is skipped: the line goes on from the value before it to the next. Lines of up to 30 values have
        dots. The name of the index becomes the label of the axis.
    ax : axes, optional
    title, ylabel : str
    strong : str
        Name of the line that is drawn thicker than the others.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> log = pd.DataFrame({"loss": [2.0, 1.0]}, index=pd.Index([10, 20], name="step"))
    >>> show_lines(log).get_xlabel()
    'step'
    """
    ax = take_axes(None, 1, 1, 5.0, 3.0)[0] if ax is None else ax
    for color, (name, values) in zip(itertools.cycle(SERIES), lines.items(), strict=False):
        known = values.dropna()
        width, marker = (2.2 if name == strong else 1.3), ("o" if len(known) <= 30 else None)
        ax.plot(known.index, known, label=name, color=color, linewidth=width, marker=marker, markersize=3)
        ax.set_xlabel(values.index.name or "", fontsize=9)
    ax.set_ylabel(ylabel, fontsize=9)
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=8, frameon=False)
    tidy(ax)
    return ax


def learning_curve(log: pd.DataFrame, validation: pd.DataFrame | None = None) -> Figure:
    """Draw the losses and the validation scores of a training.

    Parameters
    ----------
    log : pandas.DataFrame
        Column `step` and one column per loss; the columns of a run's ``log.csv``.
    validation : pandas.DataFrame, optional
        Columns `step`, `f1` and further scores named ``f1_…``; the columns of a run's ``validation.csv``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    scored = validation is not None and len(validation) > 0
    places = take_axes(None, 1 + scored, 1 + scored, 4.25, 3.0)
    names = sorted(log.columns.drop(_NOT_LOSSES, errors="ignore"), key=lambda name: name != "loss")
    losses = log.set_index("step")[names].rename(columns=lambda name: name.replace("_", " "))
    show_lines(losses, places[0], title="training loss", strong="loss").set_ylim(bottom=0)
    if scored:
        scores = validation.set_index("step").filter(regex="^f1(_|$)")
        scores = scores.rename(columns=lambda name: _SCORES.get(name, name.removeprefix("f1_")))
        ax = show_lines(scores, places[1], title="validation F1 at IoU 0.5", strong="all")
        ax.set_ylim(0, 1)
        ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return places[0].figure


def score_strip(tables: pd.DataFrame | Mapping[str, pd.DataFrame], score: str = "f1") -> Axes:
    """Draw the score of every image as a dot, by modality, with the mean (diamond) and the median (bar).

    Parameters
    ----------
    tables : pandas.DataFrame, or a mapping of names to tables
        Tables of ``evaluation.evaluate``: columns `modality` and `score`. Several are drawn side by side.
    score : str, default "f1"
        Column to draw, with values in [0, 1].

    Returns
    -------
    matplotlib.axes.Axes
    """
    import seaborn as sns

    tables = tables if isinstance(tables, Mapping) else {"": tables}
    table = pd.concat(tables, names=["method"]).reset_index("method")
    images = next(iter(tables.values()))["modality"].value_counts()
    table["group"] = [f"{name}\n{images.get(name, 0)} images" for name in table["modality"]]
    groups = sorted(table["group"].unique())
    ax = take_axes(None, 1, 1, 6.5, 0.9 + 0.28 * len(groups) * (1 + len(tables)))[0]
    places = {"data": table, "x": score, "y": "group", "hue": "method", "order": groups, "ax": ax}
    places |= {"palette": SERIES[: len(tables)], "legend": False}
    sns.swarmplot(**places, dodge=True, size=4, alpha=0.5, warn_thresh=1)
    places |= {"dodge": 0.8 - 0.8 / len(tables), "errorbar": None, "linestyle": "none"}
    sns.pointplot(**places, estimator="median", marker="|", markersize=16, markeredgewidth=2.2)
    places["legend"] = len(tables) > 1
    sns.pointplot(**places, estimator="mean", marker="D", markersize=6, markeredgecolor="white")
    about = f"{score.replace('_', ' ').replace('f1', 'F1')} of each image (diamond: mean, bar: median)"
    ax.set(xlim=(-0.02, 1.02), ylabel="")
    ax.set_xlabel(about, fontsize=9)
    tidy(ax, "x")
    if len(tables) > 1:
        style = {"ncols": len(tables), "title": None, "frameon": False, "fontsize": 8}
        sns.move_legend(ax, "lower center", bbox_to_anchor=(0.5, 1.0), **style)
    return ax
