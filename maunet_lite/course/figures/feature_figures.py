"""Plotly figures of an `Atlas` and a `View`: pure functions that the explorer copies from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from maunet_lite.course.figures.feature_atlas import (
    LOWEST_BAR,
    Atlas,
    View,
    build_boundary,
    build_points,
    build_proxies,
    build_scores,
    limits,
)
from maunet_lite.features import PARTS, modality_colors

SYMBOLS = {"background": "x", "interior": "circle"}
SYMBOLS_3D = {"background": "square", "interior": "circle"}  # "x" is a letter there that many fonts lack
POINTS = 0  # position of the points among the traces of a diagram
_HOVER = "%{customdata[0]}<br>%{customdata[1]}, %{customdata[2]}<br>%{customdata[3]}<extra></extra>"


def figure_2d(atlas: Atlas, view: View) -> go.Figure:
    """Return the scatter diagram of a view.

    Traces are always the same: the points, rings around both points of selected images, the class weights,
    the boundary, and one entry of the legend for each modality and class.
    """
    points, proxies = build_points(atlas, view), build_proxies(atlas, view)
    every = replace(view, modalities=(), classes=PARTS)  # filters do not move the axes
    frame = pd.concat([build_points(atlas, every)[["x", "y"]], proxies[["x", "y"]]]).astype(float)
    xlim, ylim = limits(frame["x"]), limits(frame["y"])
    boundary = build_boundary(atlas, view)
    ends = np.empty((0, 2)) if boundary is None else boundary.segment(xlim, ylim)
    dot = go.Scatter(
        x=points["x"].tolist(),
        y=points["y"].tolist(),
        mode="markers",
        marker={"color": points["color"].tolist(), "symbol": _symbols(points), "size": 9, "opacity": 0.85},
        customdata=_details(points),
        hovertemplate=_HOVER,
        unselected={"marker": {"opacity": 0.15}},
        showlegend=False,
    )
    ringed = points[points["image"].isin(view.selected)]
    ring = go.Scatter(x=ringed["x"].tolist(), y=ringed["y"].tolist(), **_RINGS)
    star = go.Scatter(
        x=proxies["x"].tolist(),
        y=proxies["y"].tolist(),
        text=proxies["name"].tolist(),
        unselected={"marker": {"opacity": 1}, "textfont": {"color": "#222222"}},
        **_STARS,
    )
    line = go.Scatter(
        x=ends[:, 0].tolist(), y=ends[:, 1].tolist(), name="decision boundary",
        mode="lines", hoverinfo="skip", line={"color": "#222222", "dash": "dash", "width": 1.5},
    )  # fmt: skip
    figure = go.Figure([dot, ring, star, line, *_legend(atlas, go.Scatter)])
    axes = [_axis_title(atlas, view, k) for k in (0, 1)]
    figure.update_layout(
        xaxis={"title": {"text": axes[0]}, "range": list(xlim), "zeroline": False},
        yaxis={"title": {"text": axes[1]}, "range": list(ylim), "zeroline": False},
        dragmode="select",
        **_layout(height=430, top=70),
    )
    return figure


def figure_3d(atlas: Atlas, view: View) -> go.Figure:
    """Return the points and class weights of a view in space: three components. Traces as in `figure_2d`."""
    points, proxies = build_points(atlas, view), build_proxies(atlas, view)
    sizes = np.where(points["chosen"], 8, 4) if view.selected else np.full(len(points), 6)
    dot = go.Scatter3d(
        **{axis: points[axis].tolist() for axis in "xyz"},
        mode="markers",
        marker={
            "color": points["color"].tolist(),
            "symbol": points["class"].map(SYMBOLS_3D).tolist(),
            "size": sizes.tolist(),
        },
        customdata=_details(points),
        hovertemplate=_HOVER,
        showlegend=False,
    )
    star = go.Scatter3d(
        **{axis: proxies[axis].tolist() for axis in "xyz"},
        text=proxies["name"].tolist(),
        **(_STARS | {"marker": {"symbol": "diamond", "size": 6, "color": "#222222"}}),
    )
    figure = go.Figure([dot, star, *_legend(atlas, go.Scatter3d)])
    titles = {f"{axis}axis": {"title": {"text": _axis_title(atlas, view, k)}} for k, axis in enumerate("xyz")}
    figure.update_layout(
        scene={
            **titles,
            "dragmode": "orbit",
            "camera": {"eye": {"x": 1.7, "y": 1.7, "z": 0.9}, "center": {"z": -0.2}},
        },
        **_layout(height=430, top=70),
    )
    return figure


def figure_scores(atlas: Atlas, view: View) -> go.Figure:
    """Return one bar of F1 per image, by modality; images that are not selected are faint."""
    scores = build_scores(atlas, view)
    edge = np.where(scores["image"] == view.image, 2, 0)
    bars = go.Bar(
        x=scores["image"].tolist(),
        y=scores["f1"].clip(lower=LOWEST_BAR).fillna(0).tolist(),
        marker={
            "color": scores["color"].tolist(),
            "opacity": np.where(scores["chosen"], 1.0, 0.25).tolist(),
            "line": {"color": "#222222", "width": edge.tolist()},
        },
        customdata=[list(row) for row in zip(scores["image"], _scores_in_words(scores), strict=True)],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        showlegend=False,
    )
    figure = go.Figure([bars])
    figure.update_layout(
        xaxis={"showticklabels": False, "title": {"text": "one bar per image, by modality"}},
        yaxis={"range": [0, 1], "title": {"text": "F1"}},
        dragmode=False,
        **(
            _layout(height=160, top=10)
            | {"modebar": {"remove": ["zoom", "pan", "select", "lasso", "toImage"]}}
        ),
    )
    return figure


_RINGS = {
    "mode": "markers",
    "marker": {"symbol": "circle-open", "size": 17, "color": "#222222", "line": {"width": 1.5}},
    "unselected": {"marker": {"opacity": 1}},
    "hoverinfo": "skip",
    "showlegend": False,
}
_STARS = {
    "mode": "markers+text",
    "marker": {"symbol": "star", "size": 14, "color": "#222222"},
    "textposition": "top center",
    "hoverinfo": "text",
    "name": "class weights",
}


def _details(points: pd.DataFrame) -> list[list[str]]:
    columns = (points["image"], points["modality"], points["class"], _scores_in_words(points))
    return [list(row) for row in zip(*columns, strict=True)]


def _scores_in_words(table: pd.DataFrame) -> list[str]:
    return ["no labels" if np.isnan(f1) else f"F1 {f1:.2f}" for f1 in table["f1"]]


def _symbols(points: pd.DataFrame) -> list[str]:
    return points["class"].map(SYMBOLS).tolist()


def _legend(atlas: Atlas, kind: type) -> list[Any]:
    """Return traces without points that explain colours and symbols."""
    nowhere = {"x": [None], "y": [None]} | ({"z": [None]} if kind is go.Scatter3d else {})
    colors = modality_colors(atlas.modalities)
    looks = {name: {"color": color, "symbol": "circle"} for name, color in colors.items()}
    symbols = SYMBOLS_3D if kind is go.Scatter3d else SYMBOLS
    looks |= {name: {"color": "#777777", "symbol": symbol} for name, symbol in symbols.items()}
    return [kind(**nowhere, mode="markers", marker=look, name=name) for name, look in looks.items()]


def _axis_title(atlas: Atlas, view: View, k: int) -> str:
    explained, number = atlas.plane(view).explained, view.components[k]
    share = f" ({100 * explained[number - 1]:.0f} %)" if number <= len(explained) else ""
    return f"component {number}{share}"


def _layout(height: int, top: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 50, "r": 40, "t": top, "b": 40},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "modebar": {"orientation": "v"},
        "template": "plotly_white",
        "uirevision": "kept",  # a new view keeps zoom and camera
    }
