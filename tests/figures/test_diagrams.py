"""Diagrams: what is drawn is what stands in the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from maunet_lite.figures.diagrams import learning_curve, score_strip, show_lines


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_learning_curve_draws_losses_and_scores():
    log = pd.DataFrame({"step": [10, 20], "loss": [2.0, 1.0], "dice": [1.2, 0.6], "learning_rate": [1, 1]})
    validation = pd.DataFrame({"step": [20], "f1": [0.7], "f1_plain": [0.6], "dice": [0.9], "f1_dic": [0.5]})
    figure = learning_curve(log, validation)
    loss, score = figure.axes
    assert [line.get_label() for line in loss.lines] == ["loss", "dice"]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [2.0, 1.0])
    assert [line.get_ydata()[0] for line in score.lines] == [0.7, 0.6, 0.5]
    assert score.lines[2].get_label() == "dic"
    assert len(learning_curve(log).axes) == 1


def test_score_strip_marks_mean_and_median_of_each_modality():
    table = pd.DataFrame({"modality": ["dic", "dic", "dic", "fluorescence"], "f1": [0.0, 0.5, 0.7, 1.0]})
    ax = score_strip(table)
    median, mean = ax.lines
    assert median.get_xdata().tolist() == [0.5, 1.0]
    assert mean.get_xdata().tolist() == pytest.approx([0.4, 1.0])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["dic\n3 images", "fluorescence\n1 images"]
    both = score_strip({"model": table, "baseline": table[table["modality"] == "dic"]})
    assert [text.get_text() for text in both.get_legend().get_texts()] == ["model", "baseline"]


def test_score_strip_of_several_tables_draws_no_random_number():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"modality": ["dic", "brightfield"] * 20, "f1": rng.random(40)})
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    figures = [score_strip({"model": table, "baseline": table}).figure for _ in range(2)]
    one, other = (np.asarray(figure.canvas.buffer_rgba()) for figure in figures if not figure.canvas.draw())
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_lines_skip_gaps_and_none_is_left_out():
    steps = pd.Index([5, 10, 15], name="step")
    runs = {f"run {k}": pd.Series([1.0, np.nan, k], index=steps) for k in range(9)}  # more than colours
    ax = show_lines(runs, title="runs", ylabel="loss", strong="run 8")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, k] for k in range(9)]
    assert ax.lines[0].get_xdata().tolist() == [5, 15]
    assert ax.lines[8].get_linewidth() > ax.lines[0].get_linewidth()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "loss", "runs")
