"""The interactive explorer of mean features: plotly diagrams and ipywidgets around an `Atlas`.

Hovering over a point shows its image, mask and prediction; a box or lasso selects images in the diagram and
in the bars of F1. `figure_2d`, `figure_3d` and `figure_scores` are pure functions of an atlas and a view:
the widget only copies what they return into live figures, so that nothing needs a browser to be tested.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from maunet_lite.course.figures.feature_atlas import Atlas, View, first_view
from maunet_lite.course.figures.feature_figures import POINTS, figure_2d, figure_3d, figure_scores
from maunet_lite.course.figures.feature_pictures import pictures
from maunet_lite.features import PARTS

ALL = "all"
CARD = 165  # pixels, side of the pictures beside the diagram


class FeatureExplorer(widgets.VBox):
    """The widget: controls, diagram, pictures and bars, which all show one `View`.

    Parameters
    ----------
    atlas : Atlas
    view : View, optional
        What to start with; `course.figures.feature_atlas.first_view` by default.

    Attributes
    ----------
    view : View
        What is shown now.
    """

    def __init__(self, atlas: Atlas, view: View | None = None) -> None:
        self.atlas, self.view = atlas, view or first_view(atlas)
        self.flat = self.space = None  # plane or space: a live figure for the one that is seen
        self.bars = go.FigureWidget(figure_scores(atlas, self.view))
        self._layouts = {"bars": self.bars.layout.to_plotly_json()}
        self.controls = _controls(atlas, self.view)
        self.cards = [widgets.VBox([widgets.HTML(), widgets.Image(format="png")]) for _ in range(3)]
        self.diagram = widgets.Box()
        left = widgets.VBox([self.diagram, self.bars], layout=widgets.Layout(flex="1 1 auto", min_width="0"))
        right = widgets.VBox(self.cards, layout=widgets.Layout(width=f"{CARD + 20}px", flex="0 0 auto"))
        rows = [list(self.controls.values())[:5], list(self.controls.values())[5:]]
        super().__init__([*(widgets.HBox(row) for row in rows), widgets.HBox([left, right])])
        self._new_diagram()
        self.bars.data[0].on_click(self._clicked)
        for control in self.controls.values():
            control.observe(self._control_changed, "value")
        self._show_pictures()

    def show(self, **changes: Any) -> None:
        """Change the view, for example ``explorer.show(layer="encoder.4")``, and redraw what differs."""
        before, self.view = self.view, replace(self.view, **changes)
        if self.view == before:
            return
        if set(changes) != {"image"}:  # hovering must be quick
            if self._lasso and set(changes) - {"image", "selected"}:
                self._new_diagram()  # in another plane the lasso means nothing, and it cannot be taken away
            else:
                self._redraw("diagram", self._seen, self._fresh_diagram())
        self._redraw("bars", self.bars, figure_scores(self.atlas, self.view))
        self._show_pictures()

    @property
    def _seen(self) -> go.FigureWidget | None:
        return self.space if self.flat is None else self.flat

    def _fresh_diagram(self) -> go.Figure:
        return (figure_3d if self.controls["space"].value else figure_2d)(self.atlas, self.view)

    def _new_diagram(self) -> None:
        """Show a new live figure: plotly loses what happens to one while it is out of sight."""
        old, live = self._seen, go.FigureWidget(self._fresh_diagram())
        self._lasso = False  # has the reader drawn one?
        self._layouts["diagram"] = live.layout.to_plotly_json()
        points = live.data[POINTS]
        points.on_hover(self._hovered)
        points.on_click(self._clicked)
        self.flat, self.space = (None, live) if self.controls["space"].value else (live, None)
        if self.flat is not None:
            points.on_selection(self._points_selected)
            points.on_deselect(lambda trace, points: self.show(selected=()))
        self.diagram.children = [live]
        if old is not None:
            old.close()

    def _redraw(self, name: str, shown: go.FigureWidget, fresh: go.Figure) -> None:
        self._layouts[name] = _copy(fresh, shown, self._layouts[name])

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
        if change["owner"] is self.controls["network"]:
            _offer(self.controls["layer"], self.atlas.layers(value["network"]))
        self.show(
            network=value["network"],
            layer=self.controls["layer"].value,
            components=(value["across"], value["up"], value["deep"]),
            modalities=() if value["modality"] == ALL else (value["modality"],),
            classes=PARTS if value["class"] == ALL else (value["class"],),
            proxies=value["weights"],
        )

    def _show_pictures(self) -> None:
        made = list(pictures(self.atlas, self.view, CARD).items())
        for card, entry in zip(self.cards, made + [None] * (3 - len(made)), strict=True):
            card.layout.display = "none" if entry is None else ""
            if entry is not None:
                card.children[0].value = f"<small>{entry[0]}</small>"
                card.children[1].value = to_png(entry[1])


def _controls(atlas: Atlas, view: View) -> dict[str, Any]:
    """Return the controls by name."""
    count = min(p.points.shape[1] for planes in atlas.planes.values() for p in planes.values())
    numbers = list(range(1, count + 1))
    wide, narrow = widgets.Layout(width="250px"), widgets.Layout(width="125px")

    def choice(label: str, options: list, value: object, layout: widgets.Layout) -> widgets.Dropdown:
        style = {"description_width": "initial"}
        return widgets.Dropdown(options=options, value=value, description=label, layout=layout, style=style)

    modality = view.modalities[0] if view.modalities else ALL
    part = view.classes[0] if len(view.classes) == 1 else ALL
    across, up, deep = (min(n, count) for n in view.components)
    return {
        "network": choice("network", atlas.networks, view.network, wide),
        "layer": choice("layer", atlas.layers(view.network), view.layer, wide),
        "across": choice("across", numbers, across, narrow),
        "up": choice("up", numbers, up, narrow),
        "deep": choice("depth", numbers, deep, narrow),
        "modality": choice("modality", [ALL, *atlas.modalities], modality, wide),
        "class": choice("class", [ALL, *PARTS], part, wide),
        "weights": widgets.ToggleButton(view.proxies, description="class weights", layout=narrow),
        "space": widgets.ToggleButton(False, description="3-D", layout=narrow),
    }


def _offer(choice: widgets.Dropdown, options: list[str]) -> None:
    """Change the options of a list and keep its value where it is among them."""
    value = choice.value if choice.value in options else options[-1]
    if list(choice.options) != list(options):
        choice.options = options  # which chooses the first
    choice.value = value


def _copy(fresh: go.Figure, shown: go.FigureWidget, last: dict[str, Any]) -> dict[str, Any]:
    """Make a live figure look like a fresh one; only what differs is sent to the browser.

    The layout is compared with that of the `last` fresh figure, so that the user's zoom survives; the new
    one is returned.
    """
    layout = fresh.layout.to_plotly_json()
    with shown.batch_update():
        for old, new in zip(shown.data, fresh.data, strict=True):
            _assign(old, old.to_plotly_json(), new.to_plotly_json())
        _assign(shown.layout, last, layout)
    return layout


def _assign(target: Any, before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in after.keys() - {"type", "uid"}:  # what only the live figure has is the user's, such as a lasso
        if before.get(key) != after[key]:
            target[key] = after[key]


def to_png(picture: np.ndarray) -> bytes:
    """Return an (H, W, 3) uint8 picture as PNG.

    Examples
    --------
    >>> to_png(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def explore(atlas: Atlas, view: View | None = None) -> FeatureExplorer:
    """Return the explorer of an atlas; the last line of a notebook cell shows it."""
    return FeatureExplorer(atlas, view)
