"""The explorer's pure functions on an atlas that is read by eye, and its widget without a browser."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from maunet_lite.course.figures.features import (
    Atlas,
    View,
    build_boundary,
    build_points,
    build_proxies,
    build_scores,
    pictures,
    static_view,
    thumbnail,
)
from maunet_lite.course.figures.features_explorer import CARD, PLANE, SPACE, FeatureExplorer, bars, diagram
from maunet_lite.data import Sample
from maunet_lite.features.plots import modality_colors
from maunet_lite.features.space import Features, Head, pca

NAMES = ("a.png", "b.png", "c.png")
HEAD = Head(np.array([[1.0, 0], [-1.0, 0], [0, 1.0]]), np.zeros(3), ("background", "interior", "boundary"))


def features(vectors, layer: str, head: Head | None) -> Features:
    table = pd.DataFrame(
        {
            "image": np.repeat(NAMES, 2),
            "modality": np.repeat(["dic", "dic", "fluorescence"], 2),
            "class": ["background", "interior"] * 3,
            "pixels": 10,
            "mask": "truth",
        }
    )
    return Features(np.asarray(vectors, np.float32), table, layer, head)


@pytest.fixture
def atlas() -> Atlas:
    """Three images and two networks; backgrounds at x = 3, interiors at x = -3, images at y = -1, 0, 1."""
    vectors = [[3, -1], [-3, -1], [3, 0], [-3, 0], [3, 1], [-3, 1]]
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15] = 4
    ramp = np.tile(np.arange(40, dtype=np.uint8), (20, 1))
    samples = [
        Sample(name, modality, np.roll(ramp, 10 * k, axis=1), None if k == 2 else labels)
        for k, (name, modality) in enumerate(zip(NAMES, ("dic", "dic", "fluorescence"), strict=True))
    ]
    planes = {
        "class_decoder": pca(features(vectors, "class_decoder", HEAD)),
        "encoder.4": pca(features(np.multiply(vectors, -2), "encoder.4", None)),
    }
    scores = [
        {"network": n, "image": s.name, "modality": s.modality, "f1": f, "cells": 1.0, "cells_predicted": 2}
        for n, values in (("without", (0.9, 0.2, np.nan)), ("with", (0.8, 0.9, np.nan)))
        for s, f in zip(samples, values, strict=True)
    ]
    networks = ("without", "with")
    return Atlas(
        {sample.name: sample for sample in samples},
        dict.fromkeys(networks, planes),
        dict.fromkeys(networks, dict.fromkeys(NAMES, labels)),
        pd.DataFrame(scores),
    )


@pytest.fixture
def view(atlas) -> View:
    return View(network="without", image="b.png")


def changed(view: View, **changes) -> View:
    return View(**(vars(view) | changes))


# --- tables -----------------------------------------------------------------------------------------------


def test_points_are_the_components_of_all_features(atlas, view):
    points = build_points(atlas, view)
    assert points["x"].abs().round(6).tolist() == [3] * 6
    assert points["y"].abs().round(6).tolist() == [1, 1, 0, 0, 1, 1]
    assert points["z"].tolist() == [0] * 6  # there is no third component
    assert points["f1"].tolist()[:4] == [0.9, 0.9, 0.2, 0.2]
    colors = modality_colors(["dic", "fluorescence"])
    assert points["color"].tolist() == [colors["dic"]] * 4 + [colors["fluorescence"]] * 2
    assert points["chosen"].all()


def test_filters_leave_the_other_points_where_they_are(atlas, view):
    everything = build_points(atlas, view).set_index("row")
    some = build_points(atlas, changed(view, modalities=("fluorescence",), classes=("interior",)))
    assert some["row"].tolist() == [5]
    assert some["x"][0] == everything.loc[5, "x"]


def test_swapped_components_swap_the_axes(atlas, view):
    points, swapped = build_points(atlas, view), build_points(atlas, changed(view, components=(2, 1, 3)))
    assert swapped["x"].tolist() == points["y"].tolist()


def test_selected_images_are_chosen_with_both_points(atlas, view):
    points = build_points(atlas, changed(view, selected=("b.png",)))
    assert points["chosen"].tolist() == [False, False, True, True, False, False]
    scores = build_scores(atlas, changed(view, selected=("b.png",)))
    assert scores["chosen"].tolist() == [False, True, False]


def test_proxies_and_boundary_belong_to_the_heads_input(atlas, view):
    assert build_proxies(atlas, view)["name"].tolist() == list(HEAD.names)
    boundary = build_boundary(atlas, view)
    points = build_points(atlas, view)
    # logits x and -x: the boundary is x = 0, and interiors (x = -3) lie on its positive side
    side = boundary.side(points[["x", "y"]].to_numpy())
    assert np.sign(side).tolist() == [-1, 1] * 3
    for other in (changed(view, layer="encoder.4"), changed(view, proxies=False)):
        assert build_proxies(atlas, other).empty
        assert build_boundary(atlas, other) is None


def test_unknown_names_are_refused(atlas, view):
    there = r"was not read; there are without: class_decoder, encoder\.4; with: class_decoder, encoder\.4"
    with pytest.raises(ValueError, match=f"layer 'class_decoder' of 'none' {there}"):
        build_points(atlas, changed(view, network="none"))
    with pytest.raises(ValueError, match=f"layer 'x' of 'without' {there}"):
        build_points(atlas, changed(view, layer="x"))
    with pytest.raises(ValueError, match="component 7 was not computed: there are 1 to 2"):
        build_points(atlas, changed(view, components=(7, 1, 1)))


# --- pictures ---------------------------------------------------------------------------------------------


def test_thumbnail_keeps_the_shape_and_draws_cells():
    image = np.zeros((30, 60, 3), np.uint8)
    labels = np.zeros((30, 60), np.int32)
    labels[10:20, 20:40] = 70_000
    small = thumbnail(image, labels, size=30)
    assert (small.shape, small.dtype) == ((15, 30, 3), np.dtype(np.uint8))
    inside = small[5:10, 10:20]
    assert (inside.reshape(-1, 3).max(axis=1) > 0).all()
    outside = small.copy()
    outside[5:10, 10:20] = 0
    assert outside.max() == 0
    assert thumbnail(image, size=120).shape == (60, 120, 3)  # small images are enlarged


def test_pictures_have_no_truth_where_there_are_no_labels(atlas, view):
    assert list(pictures(atlas, view)) == ["b.png (dic)", "truth, 1 cells", "prediction, 2 cells, F1 0.20"]
    assert list(pictures(atlas, changed(view, image="c.png"))) == [
        "c.png (fluorescence)",
        "prediction, 2 cells",
    ]


def test_static_view_shows_points_bars_and_pictures(atlas, view):
    figure = static_view(atlas, changed(view, modalities=("dic",)))
    diagram, bars, *shown = figure.axes
    assert len(diagram.collections[0].get_offsets()) == 4
    assert len(diagram.collections[-1].get_offsets()) == 2  # rings around the points of the shown image
    assert [round(bar.get_height(), 2) for bar in bars.patches] == [0.9, 0.2]
    assert len(shown) == 3


# --- plotly figures ---------------------------------------------------------------------------------------


def test_diagram_holds_what_the_tables_hold(atlas, view):
    figure = diagram(atlas, view)
    points = build_points(atlas, view)
    dots, rings, stars, line = figure.data[:4]
    assert list(dots.x) == points["x"].tolist()
    assert [row[0] for row in dots.customdata] == points["image"].tolist()
    assert list(dots.marker.symbol) == ["x", "circle"] * 3
    assert list(stars.text) == list(HEAD.names)
    assert np.abs(line.x).max() == pytest.approx(0, abs=1e-6)
    assert [trace.name for trace in figure.data[4:]] == ["dic", "fluorescence", "background", "interior"]
    assert len(rings.x) == 0
    rings = diagram(atlas, changed(view, selected=("b.png",))).data[1]
    assert list(rings.x) == points["x"].tolist()[2:4]


def test_axes_stay_when_points_are_filtered(atlas, view):
    everything, some = diagram(atlas, view), diagram(atlas, changed(view, classes=("interior",)))
    assert everything.layout.xaxis.range == some.layout.xaxis.range
    assert len(some.data) == len(everything.data)  # traces are updated in place, one by one


def test_all_views_have_the_same_traces(atlas, view):
    for axes in (PLANE, SPACE):
        kinds = {
            tuple(trace.type for trace in diagram(atlas, changed(view, **changes), axes).data)
            for changes in (
                {},
                {"layer": "encoder.4"},
                {"proxies": False},
                {"modalities": ("dic",)},
                {"components": (2, 2, 1)},
            )
        }
        assert len(kinds) == 1


def test_space_rings_selected_points_and_draws_no_line(atlas, view):
    points, rings, _, line = diagram(atlas, changed(view, selected=("a.png",)), SPACE).data[:4]
    assert list(rings.x) == list(points.x[:2])
    assert list(rings.z) == [0, 0]
    assert len(line.x) == 0


def test_bars_are_ordered_by_modality_and_mark_the_image(atlas, view):
    drawn = bars(atlas, view).data[0]
    assert list(drawn.x) == list(NAMES)
    assert list(drawn.y) == [0.9, 0.2, 0]
    assert list(drawn.marker.line.width) == [0, 2, 0]
    assert list(bars(atlas, changed(view, selected=("a.png",))).data[0].marker.opacity) == [
        1,
        0.25,
        0.25,
    ]


# --- the widget, without a browser ------------------------------------------------------------------------


@pytest.fixture
def explorer(atlas, view) -> FeatureExplorer:
    return FeatureExplorer(atlas, view)


def pointer(*indices: int) -> SimpleNamespace:
    return SimpleNamespace(point_inds=list(indices))


def test_hovering_shows_the_image(explorer, atlas):
    before = bytes(explorer.cards[0].children[1].value)
    explorer._hovered(explorer.live.data[0], pointer(0), None)
    assert explorer.view.image == "a.png"
    now = bytes(explorer.cards[0].children[1].value)
    assert now != before
    shown = cv2.imdecode(np.frombuffer(now, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(shown, thumbnail(atlas.samples["a.png"].image, size=CARD))
    assert "a.png" in explorer.cards[0].children[0].value
    explorer._hovered(explorer.live.data[0], pointer(), None)
    assert explorer.view.image == "a.png"


def test_image_without_truth_hides_a_card(explorer):
    explorer.show(image="c.png")
    assert [card.layout.display for card in explorer.cards] == ["", "", "none"]
    explorer.show(image="a.png")
    assert [card.layout.display for card in explorer.cards] == ["", "", ""]


def test_selection_is_linked_both_ways(explorer):
    dots, rings = explorer.live.data[:2]
    explorer._points_selected(dots, pointer(0, 4), None)
    assert explorer.view.selected == ("a.png", "c.png")
    assert list(explorer.bars.data[0].marker.opacity) == [1, 0.25, 1]
    assert list(rings.x) == [dots.x[k] for k in (0, 1, 4, 5)]  # both points of each image
    explorer._clicked(explorer.bars.data[0], pointer(1), None)
    assert (explorer.view.image, explorer.view.selected) == ("b.png", ("b.png",))
    assert list(rings.x) == [dots.x[k] for k in (2, 3)]
    explorer._clicked(dots, pointer(3), None)  # the same image again
    assert explorer.view.selected == ()
    assert len(rings.x) == 0


def test_controls_change_the_view(explorer):
    controls = explorer.controls
    controls["layer"].value = "encoder.4"
    assert explorer.view.layer == "encoder.4"
    assert len(explorer.live.data[2].x) == 0  # no class weights there
    controls["layer"].value = "class_decoder"
    assert list(explorer.live.data[2].text) == list(HEAD.names)
    controls["weights"].value = False
    assert len(explorer.live.data[2].x) == 0
    controls["modality"].value = "dic"
    controls["class"].value = "interior"
    assert [row[0] for row in explorer.live.data[0].customdata] == ["a.png", "b.png"]
    controls["modality"].value = controls["class"].value = "all"
    controls["across"].value, controls["up"].value = 2, 1
    assert explorer.view.components[:2] == (2, 1)
    assert "component 2" in explorer.live.layout.xaxis.title.text


def test_another_network_keeps_the_layer_where_it_exists(explorer, atlas):
    del atlas.planes["with"]["encoder.4"]  # both share the dict, so offer it by hand
    explorer.controls["network"].value = "with"
    assert explorer.view.network == "with"
    assert explorer.view.layer == "class_decoder"
    assert list(explorer.bars.data[0].y)[:2] == [0.8, 0.9]
    assert explorer.controls["layer"].options == ("class_decoder",)


def test_another_network_with_the_same_layers_keeps_the_chosen_one(explorer):
    last = explorer.controls["layer"].options[-1]
    explorer.controls["layer"].value = last
    explorer.controls["network"].value = "with"
    assert (explorer.view.network, explorer.view.layer) == ("with", last)
    assert explorer.controls["layer"].value == last


def test_space_replaces_the_plane(explorer):
    flat = explorer.live
    explorer.controls["space"].value = True
    assert explorer.live is not flat
    assert explorer.place.children == (explorer.live,)
    assert explorer.live.data[0].type == "scatter3d"


@pytest.mark.parametrize("changes", [{"selected": ("a.png",)}, {"modalities": ("dic",)}, {"proxies": False}])
def test_zoom_of_the_user_outlives_a_selection_and_a_filter(explorer, changes):
    explorer.live.layout.xaxis.range = (0, 1)  # as the browser reports it
    explorer.show(**changes)
    assert explorer.live.layout.xaxis.range == (0, 1)
    explorer.show(components=(2, 1, 1))
    assert explorer.live.layout.xaxis.range != (0, 1)


def test_lasso_of_the_user_outlives_what_it_selects(explorer):
    explorer.live.data[0].selectedpoints = [0, 4]  # as the browser reports it
    explorer._points_selected(explorer.live.data[0], pointer(0, 4), None)
    assert list(explorer.live.data[0].selectedpoints) == [0, 4]


def test_lasso_goes_when_another_plane_comes(explorer):
    before = explorer.live
    explorer._points_selected(explorer.live.data[0], pointer(0, 4), None)
    assert explorer.live is before
    explorer.controls["layer"].value = "encoder.4"
    assert explorer.live is not before
    assert explorer.place.children == (explorer.live,)
    assert explorer.view.selected == ("a.png", "c.png"), "what was selected stays so, and is ringed"
    explorer.controls["layer"].value = "class_decoder"
    assert explorer.live is explorer.place.children[0]


@pytest.mark.parametrize("axes", [PLANE, SPACE])
def test_live_figures_equal_fresh_ones_after_any_change(explorer, atlas, axes):
    explorer.controls["space"].value = axes == SPACE
    for changes in (
        {"selected": ("a.png",)},
        {"layer": "encoder.4"},
        {"classes": ("background",)},
        {"image": "a.png"},
        {"layer": "class_decoder", "selected": ()},
        {"proxies": False},
        {"classes": ("background", "interior"), "proxies": True},
    ):
        explorer.show(**changes)
        pairs = [
            (explorer.live, diagram(atlas, explorer.view, axes)),
            (explorer.bars, bars(atlas, explorer.view)),
        ]
        for live, fresh in pairs:
            for old, new in zip(live.data, fresh.data, strict=True):
                old, new = ({k: v for k, v in t.to_plotly_json().items() if k != "uid"} for t in (old, new))
                assert old == new
            assert live.layout.to_plotly_json() == fresh.layout.to_plotly_json()
