"""Corrections of a label map: what each does, that maps stay legal, and that undo leads back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from maunet_lite.course.correction.edits import (
    EDITS,
    Draft,
    brush,
    delete,
    erase,
    merge,
    new_cell,
    paint,
    split,
)
from maunet_lite.data import validate_labels

LARGEST = 2**31 - 1


def cells(*rows: str) -> np.ndarray:
    """Return a label map drawn with digits; a dot is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.int32)


def same(found: np.ndarray, *rows: str) -> bool:
    return np.array_equal(found, cells(*rows))


TWO = cells(
    ".......",
    ".11.22.",
    ".11.22.",
    ".......",
)  # fmt: skip


def test_paint_enlarges_the_cell_it_begins_in_and_takes_from_its_neighbour():
    assert same(paint(TWO, [(1, 2), (1, 4)]), ".......", ".11112.", ".11.22.", ".......")
    assert same(paint(TWO, [(1, 4), (1, 2)]), ".......", ".12222.", ".11.22.", ".......")


def test_paint_from_the_background_enlarges_what_the_stroke_or_its_brush_meets():
    assert same(paint(TWO, [(0, 2), (1, 2)]), "..1....", ".11.22.", ".11.22.", ".......")
    assert same(paint(TWO, [(0, 1)], 1), "111....", ".11.22.", ".11.22.", ".......")


def test_a_brush_is_a_disk():
    assert brush((5, 7), [(2, 3)], 1).sum() == 5
    assert brush((5, 7), [(2, 3)], 1.5).sum() == 9
    assert brush((5, 7), [(2, 3)], 2).sum() == 13
    assert brush((5, 7), [(2.9, 3.9)], 0).tolist() == brush((5, 7), [(2, 3)], 0).tolist()  # inside that pixel


def test_a_cell_that_paint_or_erase_cuts_becomes_two():
    bar = cells(".......", "1111111", ".......", "..2....")
    assert same(erase(bar, [(1, 4)]), ".......", "1111.33", ".......", "..2....")
    assert same(paint(bar, [(3, 2), (0, 2)]), "..2....", "3321111", "..2....", "..2....")


def test_a_new_cell_is_what_was_drawn_around():
    ring = [(0, 0), (0, 3), (3, 3), (3, 0)]  # nobody closes it
    assert same(new_cell(np.zeros((4, 7), np.int32), ring), "1111...", "1111...", "1111...", "1111...")
    assert same(new_cell(TWO, ring), "3333...", "311322.", "311322.", "3333...")


def test_a_new_cell_is_one_piece_the_largest():
    wall = cells("..5....", "..5....")
    assert same(new_cell(wall, [(0, 0), (0, 6)]), "..56666", "..5....")


def test_a_line_parts_a_cell_and_costs_no_pixel():
    disk = brush((21, 31), [(10, 15)], 8).astype(np.int32) * 4
    for line in ([(0, 15), (20, 15)], [(0, 5), (20, 25)], [(10, 0), (10, 30)], [(20, 12), (12, 15), (0, 20)]):
        found = split(disk, line, 9)  # whatever the brush
        assert np.array_equal(found > 0, disk > 0)
        assert set(np.unique(found)) == {0, 4, 5}
        assert min(np.bincount(found[found > 0])[4:]) > 0.25 * (disk > 0).sum()


def test_a_line_that_ends_inside_parts_nothing_and_one_along_the_rim_cuts_no_crumb():
    disk = brush((61, 61), [(30, 30)], 28).astype(np.int32)
    assert np.array_equal(split(disk, [(0, 30), (25, 30)]), disk)
    assert np.array_equal(split(disk, [(3, 0), (3, 60)]), disk)
    assert split(disk, [(8, 0), (8, 60)]).max() == 2


def test_a_line_parts_every_cell_that_it_crosses():
    rows = cells("111.222", "111.222", "111.222")
    found = split(rows, [(1, 0), (1, 6)])
    assert [len(np.unique(found[:, part])) for part in (slice(3), slice(4, 7))] == [2, 2]
    horseshoe = cells("1.1", "1.1", "111")
    assert len(np.unique(split(horseshoe, [(1, 0), (1, 2)]))) == 4  # background, two arms, the bow


def test_merge_joins_what_touches_and_bridges_what_lies_apart():
    assert same(merge(cells("1122", "1122"), [(0, 0), (1, 3)]), "1111", "1111")
    assert same(merge(TWO, [(1, 0), (1, 6)]), ".......", ".11111.", ".11.11.", ".......")
    three = cells("1.2.3")
    assert same(merge(three, [(0, 4), (0, 0)]), "33333")


def test_delete_removes_what_lies_under_the_stroke():
    assert same(delete(TWO, [(1, 5)]), ".......", ".11....", ".11....", ".......")
    assert not delete(TWO, [(1, 0), (1, 6)]).any()


@pytest.mark.parametrize("edit", EDITS)
def test_what_changes_nothing_is_told_and_not_remembered(edit):
    draft = Draft(np.zeros((4, 5), int) if edit != "new" else np.full((4, 5), 3))
    with pytest.raises(ValueError, match=f"{edit} changed nothing"):
        draft.apply(edit, [(1, 1), (2, 2)], 1)
    assert draft.done == []


def test_ids_stay_and_the_largest_possible_one_is_no_obstacle():
    labels = np.array([[LARGEST, 0, 0, 70_000, 0, 0]])
    draft = Draft(labels)
    draft.apply("new", [(0, 5)])
    assert draft.labels.tolist() == [[LARGEST, 0, 0, 70_000, 0, 1]]
    draft.apply("merge", [(0, 0), (0, 3)])
    assert draft.labels.tolist() == [[LARGEST] * 4 + [0, 1]]
    assert labels.tolist() == [[LARGEST, 0, 0, 70_000, 0, 0]]  # what was given is never written to


def test_redo_does_it_again_until_something_else_is_done():
    draft = Draft(TWO)
    draft.apply("delete", [(1, 1)])
    draft.apply("delete", [(1, 5)])
    draft.undo()
    draft.undo()
    draft.undo()  # one too many
    assert np.array_equal(draft.labels, TWO)
    draft.undo(again=True)
    assert set(np.unique(draft.labels)) == {0, 2}
    draft.apply("new", [(0, 0)])
    draft.undo(again=True)  # nothing is left
    assert set(np.unique(draft.labels)) == {0, 2, 3}


STROKES = st.lists(st.tuples(st.integers(-3, 15), st.integers(-3, 19)), min_size=1, max_size=4)
STEPS = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), STROKES, st.sampled_from([0, 1, 2.5])), max_size=8)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(steps=STEPS, seed=st.integers(0, 9))
def test_any_edits_leave_a_legal_map_and_undo_leads_back(steps, seed):
    blobs = np.random.default_rng(seed).integers(0, 3, (4, 5)).repeat(3, 0).repeat(3, 1)
    start = label(blobs, background=0, connectivity=2).astype(np.int32)
    draft, states = Draft(start), [start.copy()]
    for edit, points, radius in steps:
        try:
            draft.apply(edit, points, radius)
        except ValueError as error:
            assert "changed nothing" in str(error)  # noqa: PT017
            continue
        states.append(draft.labels.copy())
        check_legal(draft.labels)
    for state in states[-2::-1]:
        draft.undo()
        assert np.array_equal(draft.labels, state)
    for state in states[1:]:
        draft.undo(again=True)
        assert np.array_equal(draft.labels, state)


def check_legal(labels: np.ndarray) -> None:
    validate_labels(labels, masks=True)
    assert labels.dtype == np.int32
    for cell in set(np.unique(labels)) - {0}:
        assert label(labels == cell, connectivity=2).max() == 1, f"cell {cell} is in pieces"
