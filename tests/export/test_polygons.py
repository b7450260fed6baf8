"""Outlines along pixel edges: what the eye can check, what other libraries say, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maunet_lite.data.checks import LabelError
from maunet_lite.export.polygons import Polygon, fill, trace

SMALL = arrays(
    np.int32,
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    elements=st.sampled_from([0, 0, 1, 2, 70_000]),
)


def area(parts: list[Polygon]) -> float:
    """Pixels of a cell: shells without their holes, by the shoelace formula."""

    def enclosed(ring):
        x, y = ring.T.astype(int)
        return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    return sum(enclosed(part.shell) - sum(map(enclosed, part.holes)) for part in parts)


def test_one_pixel_is_a_square():
    cells = trace(np.array([[0, 0], [0, 9]]))
    assert list(cells) == [9]
    assert cells[9][0].shell.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]
    assert cells[9][0].holes == ()


def test_straight_edges_have_no_corners_within():
    (part,) = trace(np.full((3, 5), 4))[4]
    assert part.shell.tolist() == [[0, 0], [5, 0], [5, 3], [0, 3]]


def test_corner_neighbours_are_two_polygons():
    first, second = trace(np.array([[1, 0], [0, 1]]))[1]
    assert first.shell.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert second.shell.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]


def test_hole_at_a_corner_touches_the_shell_and_is_a_hole():
    #  a ring of pixels around (1, 1), open at the lower right corner only
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    (part,) = trace(labels)[1]
    assert part.shell.tolist() == [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]]
    assert [sorted(hole.tolist()) for hole in part.holes] == [[[1, 1], [1, 2], [2, 1], [2, 2]]]


def test_island_in_a_hole_is_a_second_piece():
    labels = np.pad(np.pad(np.ones((1, 1), int), 1), 1, constant_values=1)  # ring, gap, dot
    parts = trace(labels)[1]
    assert sorted(len(part.holes) for part in parts) == [0, 1]
    assert area(parts) == 17  # 16 pixels of the ring, one of the dot


def test_empty_map_has_no_cells():
    assert trace(np.zeros((3, 4), int)) == {}
    assert fill({}, (3, 4)).tolist() == np.zeros((3, 4), int).tolist()


@given(SMALL)
@settings(max_examples=150, deadline=None)
def test_filling_undoes_tracing(labels):
    cells = trace(labels)
    assert list(cells) == [k for k in np.unique(labels) if k]
    assert np.array_equal(fill(cells, labels.shape), labels)
    for name, parts in cells.items():
        assert area(parts) == np.count_nonzero(labels == name)


@given(SMALL)
@settings(max_examples=80, deadline=None)
def test_shapely_finds_valid_polygons_over_just_these_pixels(labels):
    shapely = pytest.importorskip("shapely")
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for name, parts in trace(labels).items():
        for part in parts:
            assert shapely.Polygon(part.shell, part.holes).is_valid
        shape = shapely.MultiPolygon([(part.shell, part.holes) for part in parts])
        assert shape.is_valid, shapely.is_valid_reason(shape)
        assert np.array_equal(shapely.contains_xy(shape, columns + 0.5, rows + 0.5), labels == name)


def test_many_cells_equal_a_loop_over_them():
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((150, 170)), 2)
    labels = ndimage.label(noise > 0.5)[0]
    together = trace(labels)
    assert len(together) > 30
    for name in together:
        (alone,) = trace(np.where(labels == name, name, 0)).values()
        assert len(alone) == len(together[name])
        for one, other in zip(alone, together[name], strict=True):
            assert np.array_equal(one.shell, other.shell)
            assert all(np.array_equal(a, b) for a, b in zip(one.holes, other.holes, strict=True))


def test_filling_takes_rings_either_way_round_and_closed():
    square = np.array([[1.0, 0], [1, 2], [3, 2], [3, 0], [1, 0]])
    for shell in (square, square[::-1]):
        assert fill({7: [Polygon(shell)]}, (2, 4)).tolist() == [[0, 7, 7, 0]] * 2


def test_a_pixel_belongs_to_the_cell_around_its_centre():
    triangle = np.array([[0, 0], [3.2, 0], [0, 3.2]])
    assert fill({4: [Polygon(triangle)]}, (4, 4)).tolist() == [
        [4, 4, 4, 0],
        [4, 4, 0, 0],
        [4, 0, 0, 0],
        [0] * 4,
    ]


def test_polygons_outside_the_map_are_refused():
    with pytest.raises(LabelError, match="cell 1 leaves the map of 2 × 3"):
        fill({1: [Polygon(np.array([[0, 0], [5, 0], [5, 1], [0, 1]]))]}, (2, 3))


def test_overlapping_cells_are_refused():
    square = Polygon(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    with pytest.raises(LabelError, match="overlap at row 0, column 0"):
        fill({1: [square], 2: [square]}, (2, 3))
