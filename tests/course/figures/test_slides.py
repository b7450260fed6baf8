from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maunet_lite.course.figures.slides import LONGEST, PLACES, SlideView, cost, make_slide
from maunet_lite.scale.slides.blocks import Block
from maunet_lite.scale.slides.segment import Step, segment_slide


def test_slide_is_empty_where_it_should_be() -> None:
    scene = make_slide(300, np.random.default_rng(0), islands=2)
    assert sorted(PLACES) == list(range(9))
    assert scene.labels[:100, :100].any()
    assert not scene.labels[:, 100:].any()
    assert scene.image[:, 130:].max() < 20  # the ground's noise
    again = make_slide(300, np.random.default_rng(0), islands=2)
    np.testing.assert_array_equal(again.image, scene.image)
    edges = [scene.labels[0], scene.labels[:, 0], scene.labels[99, :100], scene.labels[:100, 99]]
    assert not np.concatenate(edges).any()  # no cell is cut by its island's edge


def test_cost_sees_memory() -> None:
    def work() -> int:
        return int(np.ones(16 * 2**20).sum())  # 128 MiB for a moment

    found = cost(work)
    assert found.result == 16 * 2**20
    assert found.memory > 60 * 2**20
    assert found.seconds > 0
    with pytest.raises(ZeroDivisionError):
        cost(lambda: 1 / 0)


def test_view_shows_finished_blocks() -> None:
    image = np.full((2 * LONGEST, LONGEST), 200, dtype=np.uint8)  # shown at half its size
    image[:10] = 0
    view = SlideView(image)
    assert view.canvas.shape == (LONGEST, LONGEST // 2, 3)
    dim = view.canvas.copy()
    labels = np.zeros((200, 100), dtype=np.int32)
    labels[40:160, 20:80] = 1
    core = (slice(200, 400), slice(0, 100))
    view.watch(Step(Block(0, core, core), labels, 1, 2))
    changed = (view.canvas != dim).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (100, 200, 0, 50)
    outside, cell = view.canvas[105, 40], view.canvas[150, 25]
    assert len(set(outside.tolist())) == 1  # grey
    assert len(set(cell.tolist())) > 1  # in colour
    view.watch(Step(Block(1, core, core), None, 2, 2))  # nothing in it
    assert [done for done, _ in view.frames] == [0, 1, 2]
    assert view.note.value == "2 of 2 blocks"
    assert bytes(view.picture.value).startswith(b"\x89PNG")
    assert view.box.children == (view.picture, view.note)


def test_view_follows_a_real_run(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(5, 1, (301, 203)).astype(np.uint8)
    view = SlideView(image)
    segment_slide(
        image, tmp_path / "c.tif", block=77, watch=view.watch, progress=False, device="cpu", empty=0.5
    )
    assert len(view.frames) == 13
    assert view.frames[-1][0] == 12
    assert (view.frames[-1][1] != view.frames[0][1]).any()
