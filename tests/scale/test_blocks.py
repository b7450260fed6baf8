"""The joining, with maps instead of a network: blocks of any size give the cells of the whole image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import find_objects

from maunet_lite.postprocessing.config import PostprocessConfig, Yardstick
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.segment import segment
from maunet_lite.preprocessing.targets import make_targets
from maunet_lite.scale.slides.blocks import BlockGrid, same_cells
from maunet_lite.scale.slides.survey import choose_halo, choose_overlap, measure_sample


def many_cells(rng: np.random.Generator, shape: tuple[int, int], n: int = 160) -> np.ndarray:
    """Ellipses of 5 to 17 pixels, many of which touch."""
    labels = np.zeros(shape, dtype=np.int32)
    for k in range(1, n + 1):
        center = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        axes = int(rng.integers(2, 9)), int(rng.integers(2, 9))
        cell = cv2.ellipse(np.zeros(shape, np.uint8), center, axes, int(rng.integers(180)), 0, 360, 1, -1)
        if not (labels * cell).any() or rng.random() < 0.1:
            labels[(cell > 0) & (labels == 0)] = k
    return labels


def maps_of(labels: np.ndarray, rng: np.random.Generator | None = None) -> Maps:
    """Maps as a perfect network would return them, or, with `rng`, a less certain one."""
    targets = make_targets(labels)
    probabilities = np.stack([(targets.classes == k).astype(np.float32) for k in range(3)])
    if rng is None:
        return Maps(probabilities, targets.distance)
    blurred = np.stack([cv2.GaussianBlur(p, (0, 0), 1.0) for p in probabilities])
    noise = rng.normal(0, 0.03, labels.shape).astype(np.float32)
    return Maps(blurred / blurred.sum(axis=0), cv2.GaussianBlur(targets.distance, (0, 0), 1) + noise)


def by_blocks(
    maps: Maps, config: PostprocessConfig, yardstick: Yardstick, block: int, halo: int
) -> tuple[np.ndarray, int]:
    """Segment block by block and join."""
    grid = BlockGrid(maps.probabilities.shape[1:], block, halo)
    parts = {}
    for one in grid.blocks:
        rows, columns = one.region
        seen = Maps(maps.probabilities[:, rows, columns], maps.distance[rows, columns])
        parts[one.index] = grid.cut(segment(seen, config, yardstick=yardstick).labels, one)
    tables, cells = grid.join(parts)
    labels = np.full(grid.shape, -1, dtype=np.int32)
    for one in grid.blocks:
        labels[one.core] = tables[one.index][parts[one.index].labels]
    return labels, cells


def largest_extent(labels: np.ndarray) -> int:
    boxes = [box for box in find_objects(labels) if box]
    return max((part.stop - part.start for box in boxes for part in box), default=1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(60, 210),
    width=st.integers(60, 210),
    block=st.integers(17, 120),
    extra=st.integers(0, 20),
    certain=st.booleans(),
    name=st.sampled_from(["default", "paper", "authors", "none"]),
)
def test_blocks_give_the_cells_of_the_whole(
    seed: int, height: int, width: int, block: int, extra: int, certain: bool, name: str
) -> None:
    rng = np.random.default_rng(seed)
    maps = maps_of(many_cells(rng, (height, width)), None if certain else rng)
    config = PostprocessConfig.named(name)
    whole = segment(maps, config).labels
    yardstick = measure_sample([maps], config, whole=True).yardstick
    halo = choose_halo(largest_extent(whole) + extra, yardstick.width, config)
    labels, cells = by_blocks(maps, config, yardstick, block, halo)
    np.testing.assert_array_equal(labels, whole)  # the same ids, too
    assert cells == whole.max()


def test_a_yardstick_of_the_whole_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    maps = maps_of(many_cells(rng, (150, 200)), rng)
    for name in ("default", "paper", "authors", "none"):
        config = PostprocessConfig.named(name)
        yardstick = measure_sample([maps], config, whole=True).yardstick
        whole = segment(maps, config)
        again = segment(maps, config, yardstick=yardstick)
        np.testing.assert_array_equal(again.labels, whole.labels)
        assert again.steps.keys() == whole.steps.keys()


def test_cells_far_larger_than_the_overlap_stay_whole() -> None:
    """A disk of 120 pixels over blocks of 40 that see 12 pixels beyond: 16 blocks hold a part of it."""
    rows, columns = np.mgrid[:160, :200]
    labels = ((rows - 80) ** 2 + (columns - 100) ** 2 < 60**2).astype(np.int32)
    labels[(rows - 12) ** 2 + (columns - 20) ** 2 < 36] = 2
    maps = maps_of(labels)
    config = PostprocessConfig.named("none")
    joined, cells = by_blocks(maps, config, Yardstick(0, 0, 0, 0), block=40, halo=12)
    assert cells == 2
    np.testing.assert_array_equal(joined, segment(maps, config).labels)


def test_too_small_a_halo_merges_nothing_that_touches() -> None:
    """Two columns of bars that touch at the seam, each longer than the halo."""
    labels = np.zeros((80, 40), dtype=np.int32)
    for k in range(5):
        labels[5:75, 8 * k : 8 * k + 7] = k + 1
    maps = maps_of(labels)
    joined, cells = by_blocks(maps, PostprocessConfig.named("none"), Yardstick(0, 0, 0, 0), block=30, halo=6)
    assert cells == 5
    np.testing.assert_array_equal(joined > 0, segment(maps, "none").labels > 0)


def test_without_a_halo_cells_are_cut() -> None:
    labels = np.zeros((10, 20), dtype=np.int32)
    labels[3:7, 6:14] = 1
    joined, cells = by_blocks(
        maps_of(labels), PostprocessConfig.named("none"), Yardstick(0, 0, 0, 0), block=10, halo=0
    )
    assert cells == 2
    assert set(np.unique(joined[:, :10])) == {0, 1}
    assert set(np.unique(joined[:, 10:])) == {0, 2}


def test_one_block_and_blocks_of_one_pixel() -> None:
    maps = maps_of(many_cells(np.random.default_rng(0), (12, 15), n=4))
    config = PostprocessConfig()
    yardstick = measure_sample([maps], config, whole=True).yardstick
    whole = segment(maps, config).labels
    for block, halo in ((100, 0), (12, 20), (1, 40)):
        np.testing.assert_array_equal(by_blocks(maps, config, yardstick, block, halo)[0], whole)


def test_grid() -> None:
    grid = BlockGrid((10, 7), block=4, halo=1)
    covered = np.zeros((10, 7), dtype=int)
    for one in grid.blocks:
        covered[one.core] += 1
        assert one.region[0].start == max(one.core[0].start - 1, 0)
        assert one.region[1].stop == min(one.core[1].stop + 1, 7)
    assert (covered == 1).all()
    assert grid.neighbor(0, "top") is None
    assert grid.neighbor(0, "bottom") == 2
    assert grid.neighbor(3, "left") == 2
    assert grid.neighbor(3, "right") is None
    assert [one.index for one in grid.in_order()] == [0, 1, 2, 3, 4, 5]  # two across: row after row
    assert [one.index for one in BlockGrid((7, 10), 4, 1).in_order()] == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ValueError, match="block is 0"):
        BlockGrid((10, 7), 0, 1)


def test_blocks_without_cells_need_no_part() -> None:
    labels = np.zeros((8, 20), dtype=np.int32)
    labels[2:5, 1:4] = 1
    grid = BlockGrid((8, 20), block=8, halo=2)
    rows, columns = grid.blocks[0].region
    tables, cells = grid.join({0: grid.cut(labels[rows, columns], grid.blocks[0])})
    assert cells == 1
    assert tables[0].tolist() == [0, 1]
    assert grid.join({}) == ({}, 0)


def test_names_are_the_first_pixels() -> None:
    """Blocks of 4 columns that see 3 more: a cell over the seam has one name, and ids follow first pixels."""
    labels = np.array(
        [
            [0, 0, 0, 0, 0, 2, 2, 0],
            [0, 0, 0, 1, 1, 0, 0, 0],
            [3, 0, 0, 1, 1, 0, 0, 0],
        ],
        dtype=np.int32,
    )
    grid = BlockGrid((3, 8), block=4, halo=3)
    left = np.array([[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 2, 2, 0, 0], [3, 0, 0, 2, 2, 0, 0]], dtype=np.int32)
    right = np.array([[0, 0, 0, 0, 1, 1, 0], [0, 0, 2, 2, 0, 0, 0], [0, 0, 2, 2, 0, 0, 0]], dtype=np.int32)
    parts = {0: grid.cut(left, grid.blocks[0]), 1: grid.cut(right, grid.blocks[1])}
    assert parts[0].names.tolist() == [11, 16]  # row 1, column 3; row 2, column 0
    assert sorted(parts[1].names.tolist()) == [5, 11]
    tables, cells = grid.join(parts)
    joined = np.concatenate([tables[k][parts[k].labels] for k in (0, 1)], axis=1)
    assert cells == 3
    np.testing.assert_array_equal(joined, np.array([0, 2, 1, 3])[labels])


def test_same_cells() -> None:
    """Above a seam / below it, as both blocks see it. Negative: cut off in its own block."""
    a = np.array([[4, 4, 4, 0], [4, 4, 4, 0]])
    assert same_cells(a, np.array([[4, 4, 4, 0], [4, 4, 4, 0]])).size == 0  # the names agree
    assert same_cells(a, np.array([[9, 9, 9, 0], [9, 9, 9, 0]])).tolist() == [[4, 9]]  # an inexact network
    above = np.array([[4, 4, 4], [4, 0, 0]]), np.array([[9, 0, 0], [9, 9, 9]])  # nearly all on the upper line
    assert same_cells(*above).tolist() == [[4, 9]]
    assert same_cells(a, np.array([[9, 0, 0, 0], [9, 0, 0, 0]])).size == 0  # but hardly the same cell
    cut = np.array([[-7, -7, -7, -7], [-7, -7, -7, -7]])
    assert same_cells(a, cut).tolist() == [[-7, 4]]
    assert same_cells(cut, a).tolist() == [[-7, 4]]
    assert same_cells(cut, np.array([[-8, -8, -8, 0], [-8, -8, 0, 0]])).tolist() == [[-8, -7], [-7, -8]]
    # what the neighbour calls background on most of the cut-off cell's line is another thing
    assert same_cells(np.array([[4, 0, 0, 0], [4, 0, 0, 0]]), cut).size == 0


def test_sample() -> None:
    """Of a part of the slide, cells at its edge count half: each is seen again on the other side."""
    labels = np.zeros((20, 40), dtype=np.int32)
    labels[4:10, 4:10], labels[4:10, 34:40] = 1, 2  # 36 pixels each, the second one at the edge
    config = PostprocessConfig.named("paper")
    maps = maps_of(labels)
    whole, part = (measure_sample([maps], config, whole=w) for w in (True, False))
    assert whole.yardstick.mean_area == pytest.approx(36)
    assert part.yardstick.mean_area == pytest.approx(72 / 1.5)
    assert whole.extent == 6
    empty = measure_sample([], config, whole=False)
    assert empty.yardstick.width == 0
    assert empty.extent == 0


def test_overlap_and_halo() -> None:
    assert choose_overlap(0) == 32
    assert choose_overlap(60) == 96  # 1.5 · 60 = 90, in steps of 16
    assert choose_overlap(10_000) == 256
    assert choose_halo(96, width=30, config=PostprocessConfig(blur=1.0)) == 2 * 96 + 15 + 1
