"""The interactive explorer of notebook 03: plotly diagrams and ipywidgets around an `Atlas`.

Hovering over a point shows its image, mask and prediction; a box or lasso selects images in the diagram and
in the bars of F1. `diagram` and `bars` are pure functions of an atlas and a view: the widget only copies what
they return into live figures, so that nothing needs a browser to be tested.
"""

from dataclasses import replace
from typing import Any

import cv2
import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from maunet_lite.course.figures import features
from maunet_lite.course.figures.features import Atlas, View
from maunet_lite.export import for_html
from maunet_lite.features import PARTS, modality_colors

ALL = "all"
CARD = 165  # pixels, side of the pictures beside the diagram
INK = "#222222"
PLANE, SPACE = "xy", "xyz"  # axes of the two kinds of diagrams
SYMBOLS = {
    PLANE: {"background": "x", "interior": "circle", "selected": "circle-open", "weights": "star"},
    # "x" is a letter in space that many fonts lack
    SPACE: {"background": "square", "interior": "circle", "selected": "circle-open", "weights": "diamond"},
}
SIZES = {PLANE: (9, 17, 14), SPACE: (6, 12, 6)}  # of points, rings around selected ones, class weights
_HOVER = "%{customdata[0]}<br>%{customdata[1]}, %{customdata[2]}<br>%{customdata[3]}<extra></extra>"


def diagram(atlas: Atlas, view: View, axes: str = PLANE) -> go.Figure:
    """Return the scatter diagram of a view, in the plane of two components or in the space of three.

    Traces are always the same: the points, rings around both points of selected images, the class weights,
    the boundary (empty in space), and one entry of the legend for each modality and class.
    """
    points, proxies = features.build_points(atlas, view), features.build_proxies(atlas, view)
    ranges = _ranges(atlas, view)
    boundary = features.build_boundary(atlas, view) if axes == PLANE else None
    ends = np.empty((0, 2)) if boundary is None else boundary.ends(np.abs(ranges).sum())
    symbols, (point, ring, star) = SYMBOLS[axes], SIZES[axes]

    def trace(table: pd.DataFrame, mode: str = "markers", faint: float = 1, **look: Any) -> Any:
        """Return a trace of which a selection leaves the other points as faint as that."""
        places = {axis: table[axis].tolist() for axis in axes}
        if axes == SPACE:
            return go.Scatter3d(**places, mode=mode, **look)
        unselected = {"marker": {"opacity": faint}, "textfont": {"color": INK}}
        return go.Scatter(**places, mode=mode, unselected=unselected, **look)

    dots = {"color": points["color"].tolist(), "symbol": points["class"].map(symbols).tolist(), "size": point}
    rings = {"color": INK, "symbol": symbols["selected"], "size": ring, "line": {"width": 1.5}}
    stars = {"color": INK, "symbol": symbols["weights"], "size": star}
    details = points[["image", "modality", "class", "score"]].values.tolist()
    line = pd.DataFrame(ends, columns=list(PLANE)).assign(z=0.0)
    looks = {name: (color, "circle") for name, color in modality_colors(atlas.modalities).items()}
    looks |= {name: ("#777777", symbols[name]) for name in PARTS}
    nowhere = pd.DataFrame([[None] * 3], columns=list(SPACE))
    traces = [
        trace(points, faint=0.15, marker=dots | {"opacity": 0.85}, customdata=details,
              hovertemplate=_HOVER, showlegend=False),
        trace(points[points["image"].isin(view.selected)], hoverinfo="skip", showlegend=False, marker=rings),
        trace(proxies, "markers+text", text=proxies["name"].tolist(), textposition="top center",
              hoverinfo="text", name="class weights", marker=stars),
        trace(line, "lines", name="decision boundary", hoverinfo="skip", line={"color": INK, "dash": "dash"}),
        *(trace(nowhere, marker={"color": c, "symbol": s}, name=name) for name, (c, s) in looks.items()),
    ]  # fmt: skip
    return go.Figure(traces, _diagram_layout(atlas, view, axes, ranges))


def _ranges(atlas: Atlas, view: View) -> list[list[float]]:
    """Return what the axes of the plane show: all points and class weights, so that no filter moves them."""
    every = replace(view, modalities=(), classes=PARTS, proxies=True)
    shown = features.build_points(atlas, every), features.build_proxies(atlas, every)
    places = np.vstack([table[list(PLANE)] for table in shown]).astype(float)
    low, high = places.min(axis=0), places.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    return np.transpose([low - margin, high + margin]).tolist()


def _diagram_layout(atlas: Atlas, view: View, axes: str, ranges: list[list[float]]) -> dict[str, Any]:
    explained, titles = atlas.plane(view).explained, {}
    for axis, number in zip(axes, view.components, strict=False):
        share = f" ({100 * explained[number - 1]:.0f} %)" if number <= len(explained) else ""
        titles[f"{axis}axis"] = {"title": {"text": f"component {number}{share}"}}
    layout = _layout(height=430, top=70)
    if axes == SPACE:
        camera = {"eye": {"x": 1.7, "y": 1.7, "z": 0.9}, "center": {"z": -0.2}}
        return layout | {"scene": titles | {"dragmode": "orbit", "camera": camera}}
    for title, ends in zip(titles.values(), ranges, strict=True):
        title.update(range=ends, zeroline=False)
    return layout | titles | {"dragmode": "select"}


def bars(atlas: Atlas, view: View) -> go.Figure:
    """Return one bar of F1 per image, by modality; images that are not selected are faint."""
    scores = features.build_scores(atlas, view)
    bar = go.Bar(
        x=scores["image"].tolist(),
        y=scores["height"].tolist(),
        marker_color=scores["color"].tolist(),
        marker_opacity=np.where(scores["chosen"], 1.0, 0.25).tolist(),
        marker_line={"color": INK, "width": np.where(scores["image"] == view.image, 2, 0).tolist()},
        customdata=scores[["image", "score"]].values.tolist(),
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )
    look = _layout(height=160, top=10) | {"dragmode": False}
    look["xaxis"] = {"showticklabels": False, "title": {"text": "one bar per image, by modality"}}
    look["yaxis"] = {"range": [0, 1], "title": {"text": "F1"}}
    look["modebar"] = {"remove": ["zoom", "pan", "select", "lasso", "toImage"]}
    return go.Figure(bar, look)


def _layout(height: int, top: int) -> dict[str, Any]:
    frame = {"height": height, "margin": {"l": 50, "r": 40, "t": top, "b": 40}, "template": "plotly_white"}
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return frame | {"legend": legend, "modebar": {"orientation": "v"}}


class FeatureExplorer(widgets.VBox):
    """The widget: controls, diagram, pictures and bars, which all show one `View`.

    Parameters
    ----------
    atlas : Atlas
    view : View
        What to start with.

    Attributes
    ----------
    view : View
        What is shown now.
    live, bars : plotly.graph_objects.FigureWidget
        The diagram that is seen, and the bars.
    controls : dict
        Name → ipywidgets control, with a ``value``.
    """

    def __init__(self, atlas: Atlas, view: View) -> None:
        self.atlas, self.view, self.live = atlas, view, None
        self.bars = go.FigureWidget(bars(atlas, self.view))
        self.bars.data[0].on_click(self._clicked)
        self.controls = _controls(atlas, self.view)
        self.cards = [widgets.VBox([widgets.HTML(), widgets.Image(format="png")]) for _ in range(3)]
        self.place = widgets.Box()
        left = widgets.VBox([self.place, self.bars], layout={"flex": "1 1 auto", "min_width": "0"})
        right = widgets.VBox(self.cards, layout={"width": f"{CARD + 20}px", "flex": "0 0 auto"})
        controls = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([controls, widgets.HBox([left, right])])
        self._new_diagram()
        for control in self.controls.values():
            control.observe(self._control_changed, "value")
        self._show_pictures()

    def show(self, **changes: Any) -> None:
        """Change the view, for example ``explorer.show(layer="encoder.4")``, and redraw what differs."""
        before, self.view = vars(self.view), replace(self.view, **changes)
        changed = {name for name, value in vars(self.view).items() if value != before[name]}
        if changed & {"network", "layer", "components"} or (self._lasso and changed - {"image", "selected"}):
            self._new_diagram()  # in another plane a lasso means nothing, and it cannot be taken away
        elif changed - {"image"}:  # hovering must be quick
            _copy_traces(diagram(self.atlas, self.view, self._axes), self.live)
        if changed:
            _copy_traces(bars(self.atlas, self.view), self.bars)
            self._show_pictures()

    def _new_diagram(self) -> None:
        """Show a new live figure: plotly loses what happens to one while it is out of sight."""
        self._axes = SPACE if self.controls["space"].value else PLANE
        old, self.live = self.live, go.FigureWidget(diagram(self.atlas, self.view, self._axes))
        self._lasso = False  # has the reader drawn one?
        points = self.live.data[0]
        points.on_hover(self._hovered)
        points.on_click(self._clicked)
        if self._axes == PLANE:
            points.on_selection(self._points_selected)
            points.on_deselect(lambda trace, points: self.show(selected=()))
        self.place.children = [self.live]
        if old is not None:
            old.close()

    def _hovered(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds:
            self.show(image=trace.customdata[points.point_inds[0]][0])

    def _clicked(self, trace: Any, points: Any, state: Any) -> None:
        """Select the image of a point or bar; a second click lets it go."""
        if points.point_inds:
            name = trace.customdata[points.point_inds[0]][0]
            self.show(image=name, selected=() if self.view.selected == (name,) else (name,))

    def _points_selected(self, trace: Any, points: Any, selector: Any) -> None:
        self._lasso = True
        self.show(selected=tuple(dict.fromkeys(trace.customdata[k][0] for k in points.point_inds)))

    def _control_changed(self, change: Any) -> None:
        value = {name: control.value for name, control in self.controls.items()}
        if change["owner"] is self.controls["space"]:
            self._new_diagram()
        if change["owner"] is self.controls["network"]:  # keep the layer, where there is one of that name
            layer, there = self.controls["layer"], list(self.atlas.planes[value["network"]])
            layer.options = there
            layer.value = value["layer"] if value["layer"] in there else there[-1]
        self.show(
            network=value["network"],
            layer=self.controls["layer"].value,
            components=(value["across"], value["up"], value["depth"]),
            modalities=() if value["modality"] == ALL else (value["modality"],),
            classes=PARTS if value["class"] == ALL else (value["class"],),
            proxies=value["weights"],
        )

    def _show_pictures(self) -> None:
        made = [*features.pictures(self.atlas, self.view, CARD).items(), None]
        for card, entry in zip(self.cards, made, strict=False):
            card.layout.display = "" if entry else "none"
            if entry:
                card.children[0].value = f"<small>{for_html(entry[0])}</small>"
                card.children[1].value = cv2.imencode(".png", entry[1][..., ::-1])[1].tobytes()  # RGB → BGR


def _controls(atlas: Atlas, view: View) -> dict[str, Any]:
    """Return the controls by name."""
    count = min(p.points.shape[1] for planes in atlas.planes.values() for p in planes.values())
    lists = {"network": (atlas.planes, view.network), "layer": (atlas.planes[view.network], view.layer)}
    for name, number in zip(("across", "up", "depth"), view.components, strict=True):
        lists[name] = (range(1, count + 1), min(number, count))
    lists["modality"] = ([ALL, *atlas.modalities], view.modalities[0] if view.modalities else ALL)
    lists["class"] = ([ALL, *PARTS], view.classes[0] if len(view.classes) == 1 else ALL)
    look = {"style": {"description_width": "initial"}, "layout": {"width": "max-content"}}
    made = {
        name: widgets.Dropdown(options=list(options), value=value, description=name, **look)
        for name, (options, value) in lists.items()
    }
    made["weights"] = widgets.ToggleButton(view.proxies, description="class weights", layout=look["layout"])
    made["space"] = widgets.ToggleButton(False, description="3-D", layout=look["layout"])
    return made


def _copy_traces(fresh: go.Figure, live: go.FigureWidget) -> None:
    """Make the traces of a live figure look like fresh ones; the reader's zoom and lasso stay."""
    with live.batch_update():
        for old, new in zip(live.data, fresh.data, strict=True):
            old.update(new.to_plotly_json())
