"""Who is wrong together: verdicts per pixel, shared errors, accuracies from a log, and figures that draw."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.course.figures import consistency
from maunet_lite.figures.colors import CLASS_COLORS, rgb


def test_verdicts_name_every_case():
    one = np.array([[0, 1, 2], [1, 1, 2]])
    two = np.array([[0, 2, 2], [1, 0, 1]])
    truth = np.array([[0, 1, 1], [1, 2, 1]])
    # right, differ (one right), wrong alike / right, differ (both wrong), differ (two right)
    assert consistency.verdicts(one, two, truth).tolist() == [[0, 1, 2], [0, 1, 1]]


def test_verdicts_refuse_maps_of_different_size():
    with pytest.raises(ValueError, match="broadcast"):
        consistency.verdicts(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 2)))


def test_verdicts_have_colours_of_their_own():
    classes = np.stack([rgb(color) for color in CLASS_COLORS])
    for color in consistency.VERDICT_COLORS:
        assert np.abs(classes - rgb(color)).max(axis=1).min() > 0.2, color


def test_errors_are_shared_only_where_both_name_the_same_wrong_class():
    truth = np.array([0, 0, 0, 0, 1])
    one = np.array([1, 1, 1, 0, 1])  # wrong in the first three
    two = np.array([1, 2, 0, 1, 1])  # the same error, another error, right
    assert consistency.shared_errors(one, two, truth) == pytest.approx(1 / 3)


def test_without_errors_there_is_no_share():
    truth = np.array([0, 1])
    assert np.isnan(consistency.shared_errors(truth, 1 - truth, truth))


def test_figures_show_what_they_are_given():
    figure = consistency.draw_twins()
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"network 1", "network 2", "argmax", "L2"} <= texts
    dashed = [text.arrow_patch for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert sum(arrow.get_linestyle() == "--" for arrow in dashed) == 2  # a pseudo label each way

    ax = consistency.show_verdicts(np.array([[0, 1, 2]]))
    assert len({tuple(color) for color in np.round(ax.images[0].get_array()[0], 3)}) == 3
