"""Figures of mean features: scatter diagrams as in paper Fig. 6, margins, and measures over seeds."""

from collections.abc import Iterable, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maunet_lite.features.separability import MEASURES
from maunet_lite.features.space import Features, Plane, decision_boundary, margins
from maunet_lite.figures import SERIES, take_axes, tidy

MARKERS = {"background": "X", "interior": "o"}
_KNOWN = {"brightfield": "#E69F00", "fluorescence": "#009E73", "phase-contrast": "#0072B2", "dic": "#CC79A7"}


def modality_colors(modalities: Iterable[str]) -> dict[str, str]:
    """Return a colour for each modality: always the same for the paper's four, the next free one for others.

    Examples
    --------
    >>> modality_colors(["dic", "electron"])
    {'dic': '#CC79A7', 'electron': '#D55E00'}
    """
    spare = cycle([*(color for color in SERIES if color not in _KNOWN.values()), *_KNOWN.values()])
    return {name: _KNOWN.get(name) or next(spare) for name in dict.fromkeys(modalities)}


def scatter(
    plane: Plane, ax: Axes | None = None, title: str | None = None, *, components: tuple[int, int] = (1, 2),
    rows: np.ndarray | None = None, proxies: bool = True, boundary: str | None = "logits",
    legend: bool = True,
) -> Axes:  # fmt: skip
    """Draw mean features by class (marker) and modality (colour), as in paper Fig. 6.

    Parameters
    ----------
    plane : Plane
        From `features.pca`.
    ax : axes, optional
    title : str, optional
    components : (int, int)
        Numbers of the components on the two axes, counted from 1.
    rows : array of int or bool, optional
        Rows of the features to draw; all by default.
    proxies : bool
        Draw the class weights as stars, if the plane has them (`features.pca` says why the anti-ambiguity
        proxy is none of them).
    boundary : {"logits", "bisector", None}
        Draw the border between background and interior (`features.decision_boundary`), if the plane
        has proxies.
    legend : bool

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = take_axes(ax, 1, 1, 5.2, 4.2)[0]
    x, y = components
    table = plane.table() if rows is None else plane.table().iloc[rows]
    sns.scatterplot(
        data=table, x=f"PC{x}", y=f"PC{y}", hue="modality", style="class", markers=MARKERS,
        palette=modality_colors(plane.features.table["modality"]), s=46, alpha=0.85, linewidth=0.4, ax=ax,
        legend="full" if legend else False,
    )  # fmt: skip
    if proxies and plane.proxies is not None:
        places = plane.proxies[:, [x - 1, y - 1]]
        for place, name in zip(places, plane.features.head.names, strict=False):  # the last may be the proxy
            ax.scatter(*place, marker="*", s=190, color="#222222", edgecolor="white", linewidth=1, zorder=5)
            style = {"fontsize": 8, "ha": "center", "color": "#222222", "zorder": 6}
            ax.annotate(name, place, (0, 9), textcoords="offset points", **style)
    if boundary and plane.proxies is not None:
        limits, line = ax.axis(), decision_boundary(plane, method=boundary, components=components)
        ends = line.ends(np.abs(limits).sum())  # beyond the diagram
        ax.plot(*ends.T, color="#222222", linestyle="--", linewidth=1.2, label="decision boundary", zorder=3)
        ax.axis(limits)
    share = 100 * plane.explained
    ax.set(xlabel=f"component {x} ({share[x - 1]:.0f} % of the variance)")
    ax.set(ylabel=f"component {y} ({share[y - 1]:.0f} %)", title=title or "")
    tidy(ax)
    if legend:
        ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def margin_strip(features: dict[str, Features], ax: Axes | None = None) -> Axes:
    """Draw how far every mean feature lies from the boundary, by modality and network.

    Parameters
    ----------
    features : dict
        Name of a network → its features at the head's input. One colour each.
    ax : axes, optional
    """
    tables = [f.table.assign(margin=margins(f), network=name) for name, f in features.items()]
    table = pd.concat(tables, ignore_index=True)
    table["group"] = table["modality"] + "\n" + table["class"]
    order = sorted(table["group"].unique())
    ax = take_axes(ax, 1, 1, 8.5, 0.9 + (0.25 + 0.12 * len(features)) * len(order))[0]
    sns.stripplot(
        data=table, x="margin", y="group", hue="network", order=order, dodge=True, jitter=0.12, size=5,
        alpha=0.75, palette=list(SERIES[: len(features)]), ax=ax,
    )  # fmt: skip
    ax.axvline(0, color="#222222", linestyle="--", linewidth=1.2)
    where = "in mean feature lengths (left of the dashed line: wrong side)"
    ax.set(xlabel=f"distance from the boundary, {where}", ylabel="")
    ax.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(features))
    tidy(ax)
    return ax


def measure_lines(results: pd.DataFrame, measures: Sequence[str] | None = None) -> Figure:
    """Draw each measure for each run; runs of the same seed are joined by a line, a bar marks the mean.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per run: columns network (what is compared, horizontally), seed and measures.
    measures : sequence of str, optional
        By default those of `features.MEASURES` that are columns.
    """
    names = [name for name in measures or MEASURES if name in results and results[name].notna().any()]
    axes = take_axes(None, len(names), 4, 2.1, 2.2)
    for ax, name in zip(axes, names, strict=True):
        table = results.pivot_table(index="network", columns="seed", values=name, sort=False)
        places = range(len(table))
        ax.set_prop_cycle(color=SERIES)
        ax.plot(places, table, marker="o", markersize=5, linewidth=1)
        ax.plot(places, table.mean(axis=1), "_", markersize=24, markeredgewidth=2, color="#222222")
        low, high = table.min(axis=None), table.max(axis=None)
        middle, reach = (low + high) / 2, max(0.6 * (high - low), 0.1)  # a third digit should look like one
        ax.set(ylim=(middle - reach, middle + reach), xlim=(-0.5, len(table) - 0.5))
        ax.set_xticks(places, table.index.astype(str))
        ax.set_title(name.replace("_", " ") if name in MEASURES else name, fontsize=9)
        tidy(ax)
    return axes[0].figure
