"""Pictures: the right colours at the right pixels, any legal array, nothing shown, nothing changed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maunet_lite.evaluation.errors import errors
from maunet_lite.figures import plots
from maunet_lite.figures.colors import (
    CLASS_COLORS,
    ERROR_COLORS,
    outlines,
    random_colors,
    rgb,
    to_display,
)
from maunet_lite.preprocessing.targets import make_targets


def drawn(ax: Axes) -> np.ndarray:
    """The pixels of the picture on these axes."""
    return np.asarray(ax.images[0].get_array())


# --- pictures ----------------------------------------


def test_overlay_leaves_background_alone_and_the_arrays_unchanged(cells):
    image, labels = cells
    before = image.copy(), labels.copy()
    pixels = drawn(plots.overlay(image, labels))
    np.testing.assert_array_equal(pixels[labels == 0], to_display(image)[labels == 0])
    edge = outlines(labels)
    np.testing.assert_allclose(pixels[edge], random_colors(labels)[edge] / 255, atol=1e-6)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_overlay_without_filling(cells):
    image, labels = cells
    pixels = drawn(plots.overlay(image, labels, fill=0))
    edge = outlines(labels)
    np.testing.assert_array_equal(pixels[~edge], to_display(image)[~edge])


def test_outlines_grow_with_the_image_so_that_they_stay_visible():
    labels = np.zeros((1000, 1200), dtype=int)
    labels[100:900, 100:900] = 1
    figure, ax = plt.subplots(figsize=(2, 2), dpi=100)
    pixels = drawn(plots.overlay(np.zeros(labels.shape, np.uint8), labels, ax, fill=0))
    assert (pixels[500, 100:900, 0] > 0).sum() >= 2 * 1200 / 200  # a pixel of the screen on either side


def test_sizes_must_agree(cells):
    image, labels = cells
    with pytest.raises(ValueError, match=r"\(40, 64\).*\(64, 40\).*transposed"):
        plots.overlay(image, labels.T)
    with pytest.raises(ValueError, match="transposed"):
        plots.errors(image, labels, labels.T, errors(labels, labels))


def test_error_colours_stand_where_the_errors_are():
    truth = np.zeros((30, 70), dtype=int)
    for k in range(5):
        truth[8:20, 4 + 13 * k : 14 + 13 * k] = k + 1
    truth[8:20, 40:53] = 4  # cells 4 and 5 touch
    prediction = np.where(truth == 1, 1, 0)  # 1 is found, 2 is missed
    prediction[8:14, 30:40], prediction[14:20, 30:40] = 2, 3  # 3 is split
    prediction[truth >= 4] = 4  # 4 and 5 are merged
    prediction[24:28, 4:14] = 5  # and this is nothing
    ax = plots.errors(np.zeros(truth.shape), truth, prediction, errors(truth, prediction))
    pixels = drawn(ax)
    for kind, where in {"missed": (8, 20), "split": (8, 32), "merged": (8, 45), "invented": (24, 8)}.items():
        np.testing.assert_allclose(pixels[where], rgb(ERROR_COLORS[kind]), err_msg=kind)
    assert len(np.unique(pixels[8, 8])) == 1  # grey
    written = [text.get_text() for text in ax.get_legend().get_texts()]
    assert written == ["1 found", "1 missed", "1 split", "2 merged", "1 invented"]


def test_class_map_has_three_colours_and_says_what_they_mean():
    classes = np.array([[0, 1, 2]], dtype=np.uint8)
    ax = plots.show_classes(classes)
    np.testing.assert_allclose(drawn(ax)[0], [rgb(color) for color in CLASS_COLORS[:3]])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["background", "interior", "boundary"]
    assert plots.show_classes(classes, key=False).get_legend() is None


def test_large_arrays_are_thinned_out():
    pixels = drawn(plots.show_image(np.zeros((3200, 100), dtype=np.uint8)))
    assert pixels.shape[:2] == (1600, 50)


# --- every function, on every kind of map ----------------------------------------


def draw_all(image: np.ndarray, labels: np.ndarray) -> list[Axes | Figure]:
    classes, distance = make_targets(labels)
    probabilities = np.stack([classes == k for k in range(4)]).astype(np.float32)
    nothing = np.zeros_like(labels)
    steps = {"foreground": labels > 0, "blurred_distance": distance, "peak_markers": labels, "final": labels}
    return [
        plots.show_image(image),
        plots.show_labels(labels),
        plots.overlay(image, labels, title="cells"),
        plots.show_classes(classes),
        plots.show_distance(distance),
        plots.show_maps((probabilities, distance), image),
        plots.show_maps((probabilities[:2], None)),
        plots.show_steps(steps, image),
        plots.errors(image, labels, nothing, errors(labels, nothing)),
    ]


@pytest.mark.parametrize(
    ("shape", "content"), [((1, 1), "empty"), ((1, 1), "full"), ((1, 40), "full"), ((33, 20), "one cell")]
)
def test_every_function_draws_any_legal_map(shape, content, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a function called plt.show"))
    labels = np.zeros(shape, dtype=np.int32)
    if content == "full":
        labels[...] = 40_000
    elif content == "one cell":
        labels[shape[0] // 2, shape[1] // 2] = 1
    for drawing in draw_all(np.full((*shape, 3), 200, dtype=np.uint8), labels):
        figure = drawing if isinstance(drawing, Figure) else drawing.figure
        figure.set_layout_engine("none")  # takes most of the time, and has a test of its own
        figure.canvas.draw()
        assert figure.get_size_inches().max() < 25
        plt.close(figure)


def test_given_axes_are_used_and_counted(cells):
    image, labels = cells
    figure, axes = plt.subplots(1, 3)
    assert plots.show_steps({"found": labels > 0, "final": labels}, image, axes=axes) is figure
    assert plots.show_labels(labels, axes[0]) is axes[0]
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="got 3 axes, expected 6"):
        plots.show_maps((np.zeros((4, 4, 4)), np.zeros((4, 4))), np.zeros((4, 4)), axes=axes)


def test_a_map_of_nan_is_grey_and_raises_nothing():
    ax = plots.show_distance(np.full((3, 4), np.nan), stretch=True)
    ax.figure.canvas.draw()
    np.testing.assert_allclose(ax.images[0].to_rgba(drawn(ax))[0, 0, :3], 128 / 255)


def test_titles_are_not_cut_off(cells):
    image, labels = cells
    single = plots.overlay(image, labels, title="cells").figure
    for figure in (
        single,
        plots.show_steps({"found": labels > 0, "final": labels}, image),
        plots.show_maps((np.zeros((3, *labels.shape)), None)),
    ):
        figure.canvas.draw()
        titles = [ax.title for ax in figure.axes if ax.get_title()]
        assert titles
        assert all(title.get_window_extent().y1 <= figure.bbox.y1 for title in titles)


def test_error_plot_takes_any_report(cells):
    image, labels = cells
    report = SimpleNamespace(found=[1], missed=[3], split=[], merged=[], invented=[])
    plots.errors(image, labels, labels, report).figure.canvas.draw()
