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


def test_pair_writes_each_id_and_mixes_colours_where_both_are():
    ax = figures.show_pair(TRUTH, FOUND, title="two maps", seam=20, frame=2)
    assert sorted(text.get_text() for text in ax.texts) == ["p1", "p2", "p3", "t1", "t2", "t3"]
    pixels = ax.images[0].get_array()
    assert pixels[0, 0].tolist() == [1, 1, 1]  # background is white
    assert np.all(pixels[5, 22] <= pixels[5, 5])  # both: darker than the truth alone
    frame, seam = ax.lines
    assert sorted(set(frame.get_xdata())) == [1.5, 37.5]  # behind column 1, in front of column 38
    assert sorted(set(frame.get_ydata())) == [1.5, 21.5]
    assert seam.get_xdata()[0] == 19.5


def test_pair_draws_a_line_between_neighbours():
    ax = figures.show_pair(np.array([[1, 1, 1, 1, 0]]), np.array([[1, 1, 2, 2, 0]]))
    (lines,) = ax.collections
    drawn = {tuple(map(tuple, segment)) for segment in np.asarray(lines.get_segments()).tolist()}
    upright = {ends[0][0] for ends in drawn if ends[0][0] == ends[1][0]}
    assert upright == {-0.5, 1.5, 3.5}  # both ends, and between the halves of the prediction
    assert not figures.show_pair(np.zeros((2, 2), int), np.zeros((2, 2), int)).collections[0].get_segments()


def test_pair_writes_no_id_over_another():
    ax = figures.show_pair(np.array([[1, 1, 1, 1, 2, 0]]), np.array([[7, 7, 7, 7, 7, 0]]))
    assert {text.get_text(): text.get_position() for text in ax.texts} == {
        "t1": (0, 0),
        "t2": (4, 0),
        "p7": (3, 0),
    }


def test_pair_of_empty_maps_has_no_ids():
    assert not figures.show_pair(np.zeros((1, 5), int), np.zeros((1, 5), int)).texts


def test_scores_are_written_row_by_row():
    table = pd.DataFrame({"F1": [1.0, 0.25], "Dice": [0.5, 0.0]}, index=["a", "b"])
    ax = figures.show_scores(table)
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.50", "0.25", "0.00"]


def test_runs_draw_a_dot_per_seed_and_a_diamond_where_the_paper_has_a_value():
    runs = {"base": [0.7, 0.8, np.nan], "AAP": [0.75], "new": []}
    ax = figures.plot_runs(runs, paper={"base": 0.83, "AAP": float("nan")})
    dots = [collection.get_offsets()[:, 0].tolist() for collection in ax.collections]
    assert dots[:3] == [[0.7, 0.8], [0.75], []]
    assert dots[3] == [0.83]  # AAP has no value there
    assert [label.get_text() for label in ax.get_yticklabels()] == ["base", "AAP", "new"]


def test_pairs_have_a_line_per_seed_and_one_for_the_mean():
    pairs = pd.DataFrame({"base": [0.1, 0.3], "AAP": [0.3, 0.5]}, index=[0, 1])
    lines = figures.plot_pairs(pairs).lines
    assert [line.get_ydata().tolist() for line in lines][:2] == [[0.1, 0.3], [0.3, 0.5]]
    assert lines[2].get_ydata().tolist() == pytest.approx([0.2, 0.4])


def test_learning_curves_join_means_and_show_each_run():
    runs = [("curve", "20 images", 0, 0.4), ("curve", "20 images", 1, 0.6), ("curve", "105 images", 0, 0.8)]
    frame = pd.DataFrame(
        [
            (*run, modality, 3.0)
            for run in [*runs, ("budget", "75 steps", 0, 0.3)]
            for modality in ("all", "dic")
        ],
        columns=["table", "variant", "seed", "mean_f1", "modality", "minutes"],
    )
    images, minutes = figures.plot_learning_curves(frame).axes
    lines = {line.get_label(): line for line in images.lines}
    assert lines["all"].get_xdata().tolist() == [20, 105]
    assert lines["all"].get_ydata().tolist() == pytest.approx([0.5, 0.8])
    assert lines["phase-contrast"].get_xdata().size == 0  # not in the table
    assert [label.get_text() for label in images.get_xticklabels()] == ["20", "105"]
    assert sorted(images.collections[-1].get_offsets()[:, 1].tolist()) == [0.4, 0.6, 0.8]
    assert minutes.lines[-1].get_xdata().tolist() == [3.0]


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
