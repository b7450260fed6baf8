"""Matching and scores, judged by hand on small maps, by the challenge's counts and by a slow matcher."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment
from skimage.measure import label
from skimage.metrics import contingency_table

from maunet_lite.data.checks import LabelError
from maunet_lite.evaluation.matching import Match, overlaps
from maunet_lite.evaluation.metrics import (
    IOUS,
    ap_curve,
    dice,
    match_cells,
    match_curve,
    mean_dice,
)

CASES = Path(__file__).parents[1] / "golden"
EMPTY = np.zeros((3, 5), dtype=np.int32)
# Two cells: a of 4 pixels, b of 2.
TRUTH = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 0, 0]])


def dense_judge(truth, prediction, iou=0.5, border=0, challenge_compatible=False):
    """Count matches the slow way: one mask per cell, one dense matrix, one assignment of all to all.

    The rule is that of `stardist.matching.matching`: as many pairs of IoU ≥ `iou` as possible, then the
    highest total IoU.
    """
    inside = np.zeros(truth.shape, dtype=bool)
    inside[border : truth.shape[0] - border, border : truth.shape[1] - border] = True

    def masks(labels):
        return [labels == k for k in np.unique(labels) if k and not ((labels == k) & ~inside).any()]

    cells, predicted = masks(truth), masks(prediction)
    if not predicted and challenge_compatible:
        return Match(0, 0, 0)
    if not cells or not predicted:
        return Match(0, len(predicted), len(cells))
    table = np.array([[(c & p).sum() / (c | p).sum() for p in predicted] for c in cells])
    good = table >= iou
    table[~good] = 0
    rows, columns = linear_sum_assignment(-good.astype(float) - table / (2 * min(table.shape)))
    tp = int(good[rows, columns].sum())
    return Match(tp, len(predicted) - tp, len(cells) - tp, table[rows, columns].sum())


@st.composite
def label_pairs(draw, largest=9, max_side=12):
    """Two maps of one shape with ids 0 and 2 … `largest` (a map of 0 and 1 alone would be a mask)."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=max_side))
    ids = st.sampled_from([0, *range(2, largest + 1)])
    coarse = tuple(-(-side // 2) for side in shape)  # drawn in squares of 2 × 2, so that cells overlap

    def one():
        return draw(arrays(np.int32, coarse, elements=ids)).repeat(2, 0).repeat(2, 1)[: shape[0], : shape[1]]

    truth, prediction = one(), one()
    if draw(st.booleans()):  # mostly right, as real predictions are
        prediction = np.where(draw(arrays(bool, shape)), truth, prediction)
    for labels in (truth, prediction):  # one id in several pieces is a mask, which is refused
        assume(len(set(labels[labels > 0])) != 1 or label(labels > 0, connectivity=2).max() == 1)
    return truth, prediction


# --- by hand ----------------------------------------


@pytest.mark.parametrize("case", range(8))
def test_counts_equal_the_challenge_scorer(case):
    expected = json.loads((CASES / "f1_cases.json").read_text())[case]
    with np.load(CASES / "f1_cases.npz") as arrays:
        match = match_cells(arrays[f"truth_{case}"], arrays[f"pred_{case}"])
    assert (match.tp, match.fp, match.fn) == (expected["tp"], expected["fp"], expected["fn"])
    assert match.f1 == pytest.approx(expected["f1"], abs=5e-5)  # given with four decimals


def test_iou_on_either_side_of_the_threshold():
    prediction = np.array([[5, 5, 0, 9, 0], [5, 0, 0, 9, 0]])
    # a: 3 of 4 pixels, none outside → 3/4. b: 1 shared, union 2 + 2 − 1 = 3 → 1/3.
    assert match_cells(TRUTH, prediction, iou=0.75, border=0) == Match(tp=1, fp=1, fn=1)
    assert match_cells(TRUTH, prediction, iou=0.76, border=0) == Match(tp=0, fp=2, fn=2)
    assert match_cells(TRUTH, prediction, iou=1 / 3, border=0) == Match(tp=2, fp=0, fn=0)


def test_border_cells_are_dropped_in_each_map_for_itself():
    truth = np.zeros((9, 12), dtype=int)
    truth[2:5, 2:5] = 1  # just inside a border of 2
    truth[5:8, 6:10] = 2  # its last row lies in the border
    prediction = truth.copy()
    prediction[7, 6:10] = 0  # here the same cell keeps clear of it
    assert match_cells(truth, prediction, border=2) == Match(tp=1, fp=1, fn=0)
    assert match_cells(truth, prediction, border=3) == Match(tp=0, fp=0, fn=0)
    assert match_cells(truth, prediction, border=0) == Match(tp=2, fp=0, fn=0)


def test_dropped_cells_still_limit_the_iou_of_their_neighbours():
    truth = np.zeros((8, 8), dtype=int)
    truth[2:6, 2:4] = 1  # 8 pixels
    prediction = np.zeros((8, 8), dtype=int)
    prediction[2:6, 2:5] = 1  # 12 pixels, 8 of them shared: 8/12
    truth[2:6, 4:8] = 2  # touches the border and is dropped; it takes nothing from the prediction's area
    assert match_cells(truth, prediction, iou=2 / 3) == Match(1, 0, 0)
    assert match_cells(truth, prediction, iou=0.67) == Match(0, 1, 1)


@pytest.mark.parametrize("border", [0, 2])
def test_empty_maps(border):
    cell = np.zeros((7, 9), dtype=int)
    cell[3, 4] = 1  # one pixel
    empty = np.zeros_like(cell)
    assert match_cells(empty, empty, border=border) == Match(0, 0, 0)
    assert match_cells(cell, empty, border=border) == Match(0, 0, 1)
    assert match_cells(empty, cell, border=border) == Match(0, 1, 0)
    assert match_cells(cell, cell, border=border) == Match(1, 0, 0)


def test_scores_of_nothing():
    for nothing in (Match(0, 0, 0), match_cells(EMPTY, EMPTY)):
        assert (
            nothing.f1 == nothing.ap == nothing.precision == nothing.recall == nothing.pq == nothing.sq == 1
        )
    for poor in (Match(0, 3, 0), Match(0, 0, 3), Match(0, 2, 1)):
        assert poor.f1 == poor.ap == poor.precision == poor.recall == 0
        assert poor.pq == poor.sq == 0


def test_scores_by_hand():
    match = Match(tp=6, fp=2, fn=4)
    assert (match.precision, match.recall) == (6 / 8, 6 / 10)
    assert (match.f1, match.ap) == (12 / 18, 6 / 12)
    assert match.f1 == pytest.approx(2 * match.ap / (1 + match.ap))
    assert np.isnan(match.sq)  # the IoUs are not known


def test_map_without_background():
    truth = np.array([[4, 4, 7], [4, 4, 7]])
    assert match_cells(truth, truth, border=0) == Match(2, 0, 0)
    assert match_cells(truth, np.full((2, 3), 3), border=0) == Match(
        1, 0, 1
    )  # 4 of 6 pixels are the first cell


def test_ids_with_gaps_and_large_ids():
    table = np.array([0, 40_000, 2_000_000_000])
    for prediction in (table[TRUTH].astype(np.uint32), table[TRUTH], np.array([0, 65_536, 3])[TRUTH]):
        assert match_cells(TRUTH, prediction, border=0) == Match(2, 0, 0)


def test_a_cell_cut_into_two_exact_halves():
    truth = np.array([[3, 3, 3, 3]])
    halves = np.array([[1, 1, 2, 2]])  # both have an IoU of exactly 1/2
    assert match_cells(truth, halves, border=0) == Match(tp=1, fp=1, fn=0)
    assert match_cells(halves, truth, border=0) == Match(tp=1, fp=0, fn=1)
    assert match_cells(truth, halves, iou=0.51, border=0) == Match(tp=0, fp=2, fn=1)


def test_the_greedy_choice_is_not_always_the_largest():
    # IoUs: (a, A) 3/7, (a, B) 2/5, (b, A) 2/5, (b, B) 0. Best first takes only (a, A); two pairs exist.
    truth = np.array([[1, 1, 1, 1, 1, 2, 2]])
    prediction = np.array([[4, 4, 3, 3, 3, 3, 3]])
    assert match_cells(truth, prediction, iou=0.25, border=0) == Match(2, 0, 0)


def test_a_cell_in_several_pieces_is_one_cell():
    truth = np.array([[1, 0, 2, 0, 1]])
    assert match_cells(truth, np.array([[1, 0, 2, 0, 3]]), border=0) == Match(2, 1, 0)  # half of it is found
    assert match_cells(truth, truth, border=0) == Match(2, 0, 0)


def test_touching_cells_on_a_non_square_map():
    truth = np.zeros((6, 13), dtype=int)
    truth[2:4, 2:6], truth[2:4, 6:11] = 1, 2
    merged = (truth > 0).astype(int)  # 18 pixels: IoU 8/18 with the one, 10/18 with the other
    assert match_cells(truth, merged) == Match(tp=1, fp=0, fn=1)


def test_tiny_images_have_no_inside():
    one = np.array([[1]])
    assert match_cells(one, one) == Match(0, 0, 0)
    assert match_cells(one, one, border=0) == Match(1, 0, 0)
    strip = np.zeros((4, 9), dtype=int)
    strip[1:3, 3:6] = 1
    assert match_cells(strip, strip) == Match(0, 0, 0)


def test_impossible_input_is_named():
    with pytest.raises(ValueError, match=r"\(3, 5\) and prediction \(5, 3\).*transposed"):
        match_cells(EMPTY, EMPTY.T)
    with pytest.raises(ValueError, match="iou is 0, expected"):
        match_cells(EMPTY, EMPTY, iou=0)
    with pytest.raises(ValueError, match=r"iou is 50, expected"):
        match_cells(EMPTY, EMPTY, iou=50)
    with pytest.raises(ValueError, match="border is -1, expected"):
        match_cells(EMPTY, EMPTY, border=-1)
    with pytest.raises(LabelError, match="boolean"):
        match_cells(TRUTH, TRUTH > 0)


# --- large images ----------------------------------------


def blockwise_judge(truth, prediction, edge, **options):
    """Score squares of `edge` pixels one by one, those at the end filled up with background."""
    height, width = (-(-side // edge) * edge for side in truth.shape)
    full = [np.zeros((height, width), dtype=int) for _ in range(2)]
    for canvas, labels in zip(full, (truth, prediction), strict=True):
        canvas[: labels.shape[0], : labels.shape[1]] = labels
    corners = [
        np.s_[i : i + edge, j : j + edge] for i in range(0, height, edge) for j in range(0, width, edge)
    ]
    return total(dense_judge(full[0][c], full[1][c], border=2, **options) for c in corners)


def total(matches):
    return sum(matches, Match(0, 0, 0, 0.0))


@settings(max_examples=60, deadline=None)
@given(label_pairs(max_side=30), st.sampled_from([7, 10]), st.booleans())
def test_blocks_equal_the_judge(pair, edge, compatible):
    match = match_cells(*pair, challenge_compatible=compatible, block=edge, blocks_from=1)
    assert match == blockwise_judge(*pair, edge, challenge_compatible=compatible)


def test_only_large_images_are_split():
    truth = np.zeros((12, 12), dtype=int)
    truth[4:8, 4:8] = 1  # on the seam of blocks of 6
    assert match_cells(truth, truth, block=6, blocks_from=145) == Match(1, 0, 0)
    assert match_cells(truth, truth, block=6, blocks_from=144) == Match(0, 0, 0)
    assert match_cells(truth, truth, block=None, blocks_from=1) == Match(1, 0, 0)


def test_an_empty_block_forgets_its_misses_only_if_asked():
    truth = np.zeros((10, 20), dtype=int)
    truth[4:6, 4:6], truth[4:6, 14:16] = 1, 2
    prediction = np.where(truth == 1, 1, 0)  # nothing in the right half
    blocks = {"block": 10, "blocks_from": 1}
    assert match_cells(truth, prediction, **blocks) == Match(tp=1, fp=0, fn=1)
    quirk = match_cells(truth, prediction, challenge_compatible=True, **blocks)
    assert (quirk, quirk.recall, quirk.f1) == (Match(tp=1, fp=0, fn=0), 1 / 2, 2 / 3), "of all true cells"
    # On an image that is not split the same happens, and the score of no counts is 0 there.
    nothing = match_cells(truth, np.zeros_like(truth), challenge_compatible=True)
    assert (nothing, nothing.f1) == (Match(0, 0, 0), 0.0)
    assert match_cells(truth, np.zeros_like(truth)) == Match(0, 0, 2)


# --- properties ----------------------------------------


@settings(max_examples=200, deadline=None)
@given(label_pairs(), st.sampled_from([0.2, 1 / 3, 0.5, 0.6, 1.0]), st.sampled_from([0, 1, 2]))
def test_counts_equal_the_slow_judge(pair, iou, border):
    match, expected = match_cells(*pair, iou=iou, border=border), dense_judge(*pair, iou, border)
    assert match == expected
    assert match.sq == pytest.approx(expected.sq)  # so the chosen pairs are the best ones, too


@settings(max_examples=60, deadline=None)
@given(label_pairs(), st.randoms(use_true_random=False))
def test_relabelling_flips_and_transposition_change_nothing(pair, random):
    truth, prediction = pair
    expected = match_cells(truth, prediction)
    new_ids = np.array([0, *random.sample(range(1, 100_000), 9)])
    assert match_cells(truth, new_ids[prediction]) == expected
    assert match_cells(new_ids[truth], prediction) == expected
    for turn in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert match_cells(turn(truth), turn(prediction)) == expected


@settings(max_examples=60, deadline=None)
@given(label_pairs(), st.randoms(use_true_random=False))
def test_splitting_a_cell_never_raises_f1(pair, random):
    truth = pair[0]
    cell = random.choice([0, *np.unique(truth)])
    pixels = np.argwhere(truth == cell)
    piece = pixels[: random.randint(0, len(pixels))] if cell else pixels[:0]
    split = truth.copy()
    split[tuple(piece.T)] = 70_000
    assert match_cells(truth, split, border=0).f1 <= match_cells(truth, truth, border=0).f1 == 1
    assert match_cells(truth, split).f1 <= match_cells(truth, truth).f1 == 1


@settings(max_examples=60, deadline=None)
@given(label_pairs())
def test_swapping_the_maps_swaps_precision_and_recall(pair):
    there, back = match_cells(*pair), match_cells(*pair[::-1])
    assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)
    assert there.precision == back.recall


def test_many_candidates_at_a_low_iou():
    rng = np.random.default_rng(0)
    # Stripes of random widths: most cells overlap several others by more than a tenth.
    truth, prediction = (np.repeat(np.arange(1, 301), rng.integers(4, 13, 300))[:2000] for _ in range(2))
    truth, prediction = truth[None, :1900], prediction[None, :1900]
    for iou in (0.05, 0.1, 0.3):
        assert match_cells(truth, prediction, iou, border=0) == dense_judge(truth, prediction, iou)


# --- other programs ----------------------------------------


@settings(max_examples=60, deadline=None)
@given(label_pairs())
def test_overlaps_are_scikit_images_contingency_table(pair):
    table = overlaps(*pair)
    expected = contingency_table(*pair, sparse_type="array").toarray()
    assert expected[1:, 1:].sum() == table.shared.sum()
    shared = expected[table.truth[table.rows], table.prediction[table.columns]]
    np.testing.assert_array_equal(table.shared, shared)
    np.testing.assert_array_equal(table.truth_area, expected.sum(axis=1)[table.truth])


def test_panoptic_quality_is_monais():
    import torch
    from monai.metrics import PanopticQualityMetric

    truth, prediction = np.zeros((2, 60, 100), dtype=np.int64)
    rows, columns = np.indices(truth.shape)
    for i, (row, column) in enumerate(product(range(10, 60, 20), range(10, 100, 20))):
        truth[(rows - row) ** 2 + (columns - column) ** 2 < 49] = i + 1
        prediction[(rows - row) ** 2 + (columns - column - i // 2) ** 2 < 49] = (
            i + 1
        )  # further and further off
    metric = PanopticQualityMetric(num_classes=1, metric_name="pq")
    tensors = [torch.from_numpy(np.stack([x, x > 0]).astype(np.int64))[None] for x in (prediction, truth)]
    metric(*tensors)  # (1, 2, H, W): instances and classes
    pair = truth, prediction
    match = match_cells(*pair, border=0)
    assert match.tp > 3
    assert match.pq == pytest.approx(float(metric.aggregate()), abs=1e-4)


# --- scores over thresholds, pixels and images ----------------------------------------


def test_curve_equals_single_matches_and_never_rises():
    with np.load(CASES / "f1_cases.npz") as arrays:
        truth, prediction = arrays["truth_3"], arrays["pred_3"]
    curve = match_curve(truth, prediction)
    assert IOUS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert curve == [match_cells(truth, prediction, iou) for iou in IOUS]
    values = ap_curve(truth, prediction)
    np.testing.assert_array_equal(values, [match.ap for match in curve])
    assert np.all(np.diff(values) <= 0)
    np.testing.assert_array_equal(ap_curve(EMPTY, EMPTY), np.ones(10))


def quality(truth, prediction):
    match = match_cells(truth, prediction, border=0)
    return match.pq, match.sq, match.f1


def test_panoptic_quality_by_hand():
    prediction = np.array([[5, 5, 0, 0, 0], [5, 0, 0, 0, 8]])
    # a is matched with an IoU of 3/4; b is missed and 8 invented: SQ 3/4, RQ 2·1/(2·1 + 1 + 1) = 1/2.
    assert quality(TRUTH, prediction) == (0.375, 0.75, 0.5)
    assert quality(EMPTY, EMPTY) == (1, 1, 1)
    assert quality(TRUTH, np.zeros_like(TRUTH)) == (0, 0, 0)


def test_panoptic_quality_takes_the_better_of_two_pieces():
    truth = np.array([[1, 1, 1, 1]])
    pieces = np.array([[6, 5, 5, 5]])  # IoUs 1/4 and 3/4
    assert match_cells(truth, pieces, iou=0.25, border=0).sq == 3 / 4


def test_dice_by_hand():
    assert dice(TRUTH, TRUTH * 7) == 1  # ids do not matter
    assert dice(TRUTH, TRUTH == 1) == 2 * 4 / (6 + 4)
    assert dice(TRUTH, np.zeros_like(TRUTH)) == 0
    assert dice(EMPTY, EMPTY) == 1
    with pytest.raises(ValueError, match="expected the same"):
        dice(EMPTY, EMPTY.T)


def test_mean_dice_by_hand():
    truth = np.array([[0, 0, 2, 1, 1, 2]], dtype=np.uint8)
    prediction = np.array([[0, 2, 2, 1, 1, 1]], dtype=np.uint8)
    # interior 2·2/(2 + 3), boundary 2·1/(2 + 2)
    assert mean_dice(truth, prediction) == pytest.approx((4 / 5 + 1 / 2) / 2)


def test_mean_dice_leaves_out_absent_classes_and_counts_invented_ones():
    interior_only = np.array([[0, 1, 1, 0]])
    assert mean_dice(interior_only, interior_only) == 1
    assert mean_dice(interior_only, np.array([[0, 1, 1, 2]])) == 0.5  # a boundary where none is
    background = np.zeros((2, 2), dtype=int)
    assert mean_dice(background, background) == 1
    with pytest.raises(ValueError, match="prediction has classes 0 to 3, expected 0 to 2"):
        mean_dice(interior_only, np.array([[0, 1, 3, 0]]))


def test_pooled_quality_is_that_of_all_pairs():
    truth = np.array([[1, 1, 1, 1]])
    good, fair = (match_cells(truth, p, border=0) for p in (truth, np.array([[1, 1, 1, 0]])))
    assert total([good, fair]).sq == (1 + 3 / 4) / 2
