"""The widgets of the course under a real mouse, in a real JupyterLab."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

    from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.browser


def test_threshold_and_quiz_of_notebook_00(lab: Lab, browser: Browser, pictures: Path) -> None:
    with lab.open(browser, "00_quickstart", pictures) as notebook:
        notebook.run_all()
        widget = notebook.widget("img.widget-image", "explorer(")
        figure = widget.locator("img.widget-image")
        notebook.changed(figure, lambda: notebook.drag_slider(widget, "P(interior)", 0.95))
        notebook.photograph("1_threshold", widget)
        check_drawn_without_error(widget, notebook)

        quiz = notebook.widget(".widget-radio-box", "exercises.quiz(")
        assert "No." not in quiz.inner_text()
        assert quiz.locator("details").count() == 0, "the widget takes the place of its twin"
        first = quiz.locator(".widget-radio-box").first.locator("input")
        first.nth(0).click()
        notebook.wait_for(lambda: "✗ No. 2." in quiz.inner_text(), 10, "a wrong answer is told")
        first.nth(1).click()
        notebook.wait_for(lambda: "✓ Right. 2." in quiz.inner_text(), 10, "a right answer is told")
        notebook.photograph("2_quiz", quiz)
        assert notebook.mistakes == []


def test_targets_of_notebook_01_follow_slider_and_list(lab: Lab, browser: Browser, pictures: Path) -> None:
    with lab.open(browser, "01_preprocessing", pictures) as notebook:
        notebook.run_all()
        widget = notebook.widget("img.widget-image", "explorer(")
        figure = widget.locator("img.widget-image")
        notebook.photograph("1_start", widget)

        notebook.changed(figure, lambda: notebook.drag_slider(widget, "slope", 0.9))
        slope = widget.locator(".widget-slider", has_text="slope").locator(".widget-readout")
        assert float(slope.inner_text()) > 3
        notebook.photograph("2_slope", widget)

        notebook.changed(figure, lambda: notebook.drag_slider(widget, "divided by", 0.02))
        notebook.changed(figure, lambda: notebook.choose(widget, "centre", "authors"))
        notebook.changed(figure, lambda: notebook.choose(widget, "picture", "brightfield"))
        notebook.photograph("3_authors_brightfield", widget)
        check_drawn_without_error(widget, notebook)


@pytest.mark.parametrize(
    ("name", "cell", "places", "choices"),
    [
        ("02_model_building", "one_pixel,", {"logit of the proxy": 0.9}, {}),
        ("03_visualize_aap_features", "two_boards,", {"logit of the held proxy": 0.9}, {"proxy": "free"}),
        (
            "04_cr_training",
            "rescue,",
            {
                "start of network 1": 0.9,
                "start of network 2": 0.1,
                "λ at the top": 0.05,
                "length of the ramp": 0.9,
            },
            {},
        ),
        ("06_evaluation_and_ablation", "draw_threshold,", {"IoU": 0.9}, {}),
        ("08_your_own_images", "draw_channel,", {"times as wide": 0.02}, {"channel": "brown dye"}),
    ],
)
def test_explorers_of_other_notebooks_follow_every_control(
    lab: Lab, browser: Browser, pictures: Path, name: str, cell: str, places: dict, choices: dict
) -> None:
    with lab.open(browser, name, pictures) as notebook:
        notebook.run_all()
        widget = notebook.widget("img.widget-image", cell)
        figure = widget.locator("img.widget-image")
        notebook.photograph("1_start", widget)
        number = widget.locator(".widget-slider").count() + widget.locator(".widget-dropdown").count()
        assert number == len(places) + len(choices), "each control is moved below"
        for label, place in places.items():
            notebook.changed(figure, partial(notebook.drag_slider, widget, label, place))
        notebook.photograph("2_dragged", widget)
        for label, option in choices.items():
            notebook.changed(figure, partial(notebook.choose, widget, label, option))
        notebook.photograph("3_chosen", widget)
        check_drawn_without_error(widget, notebook)


def test_postprocessing_of_notebook_05_follows_every_control(
    lab: Lab, browser: Browser, pictures: Path
) -> None:
    with lab.open(browser, "05_postprocessing", pictures) as notebook:
        notebook.run_all()
        widget = notebook.widget("img.widget-image", "explorer(")
        figure = widget.locator("img.widget-image")
        notebook.photograph("1_start", widget)

        notebook.changed(figure, lambda: notebook.drag_slider(widget, "interior", 0.98))
        assert chosen(widget, "settings") == "as the sliders stand"
        notebook.photograph("2_interior", widget)

        notebook.changed(figure, lambda: notebook.choose(widget, "settings", "none"))
        notebook.changed(figure, lambda: notebook.choose(widget, "picture", "peanuts"))
        notebook.changed(figure, lambda: notebook.choose(widget, "on the right", "distance field"))
        notebook.photograph("3_peanuts", widget)
        check_drawn_without_error(widget, notebook)


def chosen(widget: Locator, label: str) -> str:
    """Return what a drop-down list shows."""
    select = widget.locator(".widget-dropdown", has_text=label).locator("select")
    shown = select.evaluate("node => node.selectedOptions[0].textContent")
    return shown.replace("\N{NO-BREAK SPACE}", " ")  # ipywidgets keeps words of a list together


def check_drawn_without_error(widget: Locator, notebook: Notebook) -> None:
    assert "drawn in" in widget.inner_text()
    assert "Error" not in widget.inner_text()
    assert notebook.mistakes == []


def place_of(diagram: Locator, point: int) -> tuple[float, float]:
    """Return where on the screen a point of a plotly diagram lies."""
    x, y = diagram.evaluate(
        """(node, point) => {
        const box = node.getBoundingClientRect(), layout = node._fullLayout, trace = node.data[0];
        const value = (data, k) => Array.from(data.bdata ? node.calcdata[0].map(p => p[k]) : data);
        return [box.x + layout._size.l + layout.xaxis.l2p(node.calcdata[0][point].x),
                box.y + layout._size.t + layout.yaxis.l2p(node.calcdata[0][point].y)]; }""",
        point,
    )
    return x, y


def test_features_of_notebook_03_answer_hover_click_and_drag(
    lab: Lab, browser: Browser, pictures: Path
) -> None:
    with lab.open(browser, "03_visualize_aap_features", pictures) as notebook:
        notebook.run_all()
        widget = notebook.widget(".js-plotly-plot", "FeatureExplorer(")
        mouse = notebook.page.mouse
        diagram, bars = widget.locator(".js-plotly-plot").nth(0), widget.locator(".js-plotly-plot").nth(1)
        image, truth, prediction = (widget.locator("img.widget-image").nth(k) for k in range(3))
        diagram.scroll_into_view_if_needed()
        notebook.photograph("1_start", widget)

        # Hover: the pictures beside the diagram are of the image under the mouse.
        notebook.changed(image, lambda: mouse.move(*place_of(diagram, 7), steps=5))
        diagram.locator(".hoverlayer .hovertext").first.wait_for(state="visible")
        name = diagram.evaluate("node => node.data[0].customdata[7][0]")
        notebook.wait_for(lambda: name in widget.inner_text(), 30, "caption changed")
        notebook.photograph("2_hover", widget)
        for card in (truth, prediction):
            notebook.changed(card, lambda: mouse.move(*place_of(diagram, 12), steps=5))
            mouse.move(*place_of(diagram, 7), steps=5)
            notebook.wait_for(lambda: name in widget.inner_text(), 30, "caption changed back")

        # Click: the bars of the other images fade.
        notebook.changed(bars, lambda: mouse.click(*place_of(diagram, 7)))
        notebook.photograph("3_click", widget)
        # A box around everything selects everything.
        notebook.changed(bars, lambda: drag_box(notebook, diagram))
        notebook.photograph("4_box", widget)

        notebook.changed(diagram, lambda: notebook.choose(widget, "layer", "distance_decoder"))
        assert diagram.locator(".selectionlayer path").count() == 0, "the box belonged to another plane"
        notebook.changed(diagram, lambda: notebook.choose(widget, "network", "without proxy"))
        assert chosen(widget, "layer") == "distance_decoder"
        notebook.changed(diagram, lambda: notebook.choose(widget, "modality", "dic"))
        notebook.photograph("5_layer_network_modality", widget)

        widget.locator("button", has_text="3-D").click()
        space = widget.locator(".js-plotly-plot").filter(has=notebook.page.locator(".gl-container canvas"))
        space.first.wait_for(state="visible")
        notebook.changed(space.first, lambda: notebook.choose(widget, "modality", "all"))
        notebook.photograph("6_space", widget)
        widget.locator("button", has_text="3-D").click()
        notebook.changed(diagram, lambda: notebook.choose(widget, "layer", "class_decoder"))
        notebook.photograph("7_plane_again", widget)
        assert notebook.mistakes == []


def drag_box(notebook: Notebook, diagram: Locator) -> None:
    box = diagram.locator(".nsewdrag").first.bounding_box()
    notebook.page.mouse.move(box["x"] + 3, box["y"] + 3)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] - 3, steps=10)
    notebook.page.mouse.up()
