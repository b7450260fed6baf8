"""Figures of notebook 06: what they draw is what they were given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from maunet_lite.course.figures import scores as figures
from maunet_lite.evaluation.errors import errors

TRUTH = np.zeros((24, 40), dtype=np.int32)
TRUTH[4:8, 4:8] = 1  # missed, 16 pixels
TRUTH[12:20, 4:10] = 2  # missed, 48 pixels
TRUTH[4:8, 20:30] = 3  # split in two
FOUND = np.zeros_like(TRUTH)
FOUND[4:8, 20:25] = 1
FOUND[4:8, 25:30] = 2
FOUND[16:19, 30:33] = 3  # invented


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def test_pair_writes_each_id_and_mixes_colours_where_both_are(ax):
    ax = figures.show_pair(TRUTH, FOUND, ax, title="two maps", seam=20, frame=2)
    assert sorted(text.get_text() for text in ax.texts) == ["p1", "p2", "p3", "t1", "t2", "t3"]
    pixels = ax.images[0].get_array()
    assert pixels[0, 0].tolist() == [1, 1, 1]  # background is white
    assert np.all(pixels[5, 22] <= pixels[5, 5])  # both: darker than the truth alone
    (frame,), (seam,) = ax.patches, ax.lines
    assert frame.get_bbox().extents.tolist() == [
        1.5,
        1.5,
        37.5,
        21.5,
    ]  # behind column 1, in front of column 38
    assert seam.get_xdata()[0] == 19.5


def test_pair_draws_a_line_between_neighbours(ax):
    ax = figures.show_pair(np.array([[1, 1, 1, 1, 0]]), np.array([[1, 1, 2, 2, 0]]), ax)
    (lines,) = ax.collections
    drawn = {tuple(map(tuple, segment)) for segment in np.asarray(lines.get_segments()).tolist()}
    upright = {ends[0][0] for ends in drawn if ends[0][0] == ends[1][0]}
    assert upright == {-0.5, 1.5, 3.5}  # both ends, and between the halves of the prediction
    assert (
        not figures.show_pair(np.zeros((2, 2), int), np.zeros((2, 2), int), ax).collections[1].get_segments()
    )


def test_pair_writes_no_id_over_another(ax):
    ax = figures.show_pair(np.array([[1, 1, 1, 1, 2, 0]]), np.array([[7, 7, 7, 7, 7, 0]]), ax)
    assert {text.get_text(): text.get_position() for text in ax.texts} == {
        "t1": (0, 0),
        "t2": (4, 0),
        "p7": (3, 0),
    }


def test_pair_of_empty_maps_has_no_ids(ax):
    assert not figures.show_pair(np.zeros((1, 5), int), np.zeros((1, 5), int), ax).texts


def results(*runs: tuple) -> pd.DataFrame:
    names = ["table", "variant", "seed", "mean_f1", "modality"]
    frame = pd.DataFrame(runs, columns=names)
    return frame.assign(minutes=5.0 + frame["seed"].astype(float))


RUNS = results(
    ("curve", "105 images", 0, 0.7, "all"),
    ("curve", "20 images", 0, 0.5, "all"),
    ("curve", "20 images", 1, 0.6, "all"),
    ("curve", "20 images", 0, 0.1, "dic"),
    ("budget", "600 steps", 0, 0.8, "all"),
)


def test_learning_curves_are_sorted_by_amount_not_by_text():
    curve = figures.learning_curve(RUNS, "curve")
    assert curve.index.tolist() == [20, 105]
    assert curve["mean"].tolist() == pytest.approx([0.55, 0.7])
    assert curve["sd"].iloc[0] == pytest.approx(0.1 / np.sqrt(2))
    assert curve["seeds"].tolist() == [2, 1]
    assert curve["minutes"].tolist() == [5.5, 5.0]
    assert figures.learning_curve(RUNS, "curve", "dic")["mean"].tolist() == [0.1]
    assert figures.learning_curve(RUNS, "budget").index.name == "steps"
    assert figures.learning_curve(results(), "budget").empty


def test_learning_curves_join_means_and_show_each_run():
    images, minutes = figures.plot_learning_curves(RUNS).axes
    lines = {line.get_color(): line.get_xydata().tolist() for line in images.lines if len(line.get_xdata())}
    assert lines[figures.CURVES["all"]] == [pytest.approx([20, 0.55]), pytest.approx([105, 0.7])]
    assert figures.CURVES["phase-contrast"] not in lines  # not in the table
    assert [label.get_text() for label in images.get_xticklabels()] == ["105", "20"]
    assert sorted(images.collections[0].get_offsets()[:, 1].tolist()) == [0.1, 0.5, 0.6, 0.7]
    assert [line.get_xdata().tolist() for line in minutes.lines if len(line.get_xdata())] == [[5.0]]


def test_worst_cells_come_by_size():
    report = errors(TRUTH, FOUND)
    assert figures.worst_cells(TRUTH, report, "missed", FOUND) == [(15, 6), (5, 5)]
    assert figures.worst_cells(TRUTH, report, "split", FOUND) == [(5, 24)]
    assert figures.worst_cells(TRUTH, report, "invented", FOUND) == [(17, 31)]
    assert figures.worst_cells(TRUTH, report, "merged", FOUND) == []


def test_gallery_takes_one_cell_per_picture_and_kind():
    image = np.zeros(TRUTH.shape)
    figure = figures.draw_worst({"one": (image, TRUTH, FOUND), "none": (image, TRUTH, TRUTH)}, side=16)
    rows = [figure.axes[k : k + 4] for k in range(0, 16, 4)]  # 4 kinds × 4 columns
    assert [row[0].texts[0].get_text() for row in rows] == ["missed", "split", "merged", "invented"]
    assert [[ax.get_title() for ax in row if ax.get_title()] for row in rows] == [
        ["one"],
        ["one"],
        [],
        ["one"],
    ]


def test_window_stays_inside_the_image():
    assert figures._window((0, 39), (24, 40), 16) == np.s_[0:16, 24:40]
    assert figures._window((5, 5), (10, 40), 16)[0] == slice(0, 16)  # larger than the image: all of it
