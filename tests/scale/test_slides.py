"""Whole slides with the real network: equal to the whole image, resumable, within memory."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

from maunet_lite.data import open_slide, parse_bytes, simulate
from maunet_lite.inference.cells.score import evidence, score_cells
from maunet_lite.inference.cells.segment import predict_sized, segment
from maunet_lite.inference.predict import predict
from maunet_lite.postprocessing import Maps, PostprocessConfig
from maunet_lite.postprocessing.segment import segment as postprocess
from maunet_lite.scale.pool import Pool, open_pool
from maunet_lite.scale.slides import maps, survey
from maunet_lite.scale.slides.blocks import BlockGrid
from maunet_lite.scale.slides.intensity import slide_scaling
from maunet_lite.scale.slides.maps import SlideNetwork
from maunet_lite.scale.slides.segment import Step, segment_slide
from maunet_lite.scale.slides.survey import choose_block, measure_sample
from maunet_lite.scale.slides.work import WorkFolder

OPTIONS: dict[str, Any] = {"window": 256, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([simulate("fluorescence", (240, 420), rng=rng, n_cells=40).image for _ in range(2)])


@pytest.fixture(scope="module")
def whole(image: np.ndarray) -> np.ndarray:
    labels = segment(image, window=256, device="cpu")
    assert labels.max() > 30
    return labels


@pytest.fixture(scope="module")
def scores(image: np.ndarray, whole: np.ndarray) -> np.ndarray:
    maps = predict_sized("lite", image, window=256, device="cpu").maps
    scores = score_cells("lite", evidence(maps, whole))
    assert np.ptp(scores) > 0.1
    return scores


@pytest.fixture
def slide_file(image: np.ndarray, tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(128, 128), compression="zlib")
    return tmp_path / "slide.tif"


def read(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        return tifffile.imread(path)
    import zarr

    return zarr.open(path)["0"][:]


@pytest.mark.parametrize(("name", "block"), [("cells.tif", 200), ("cells.zarr", 256), ("one.tif", None)])
def test_blocks_equal_the_whole(
    name: str, block: int | None, image: np.ndarray, whole: np.ndarray, scores: np.ndarray, tmp_path: Path
) -> None:
    if name.endswith("zarr"):
        pytest.importorskip("zarr")
    if name.endswith("zarr"):  # something is there already
        segment_slide(image[:99, :99], tmp_path / name, **OPTIONS)
    result = segment_slide(image, tmp_path / name, block=block, empty=0, **OPTIONS)
    np.testing.assert_array_equal(read(result.labels), whole)
    assert result.cells == whole.max()
    np.testing.assert_allclose(result.scores, scores, atol=1e-3)  # also of cells in several blocks
    assert result.blocks == {200: 9, 256: 4, None: 1}[block]
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing else is left


@pytest.mark.parametrize(("zoom", "block"), [(0.3, 80), (5, 450)])
def test_the_size_is_that_of_the_whole(zoom: float, block: int, image: np.ndarray, tmp_path: Path) -> None:
    part = image[100:250, :200] if zoom > 1 else image
    seen = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    maps, size = predict_sized("lite", seen, window=256, device="cpu")
    assert (size.scales[0] > 1) == (zoom < 1)
    assert size.scales != (1.0,)
    result = segment_slide(seen, tmp_path / "cells.tif", block=block, empty=0, **OPTIONS)
    np.testing.assert_array_equal(read(result.labels), postprocess(maps).labels)
    assert (result.diameter, result.scale) == (size.diameter, *size.scales)
    assert result.blocks > 1
    assert result.cells > 5


def test_maps_of_regions_are_those_of_the_whole(image: np.ndarray) -> None:
    for scales in ((1.0,), (1.0, 1.25)):
        expected = predict("lite", image, scales, window=256, device="cpu")
        slide = open_slide(image)
        network = SlideNetwork(
            slide, "lite", slide_scaling(slide), scales=scales, window=256, device="cpu", empty=0, keep=2**30
        )
        regions = [(slice(0, 250), slice(30, 300)), (slice(200, 480), slice(0, 420))]
        network.expect(regions)
        for rows, columns in regions:
            maps = network.maps(rows, columns)
            np.testing.assert_allclose(
                maps.probabilities, expected.probabilities[:, rows, columns], atol=1e-6
            )
            np.testing.assert_allclose(maps.distance, expected.distance[rows, columns], atol=1e-6)
        n_windows = sum(len(grid.rows) * len(grid.columns) for grid in network.grids)
        assert network.computed == n_windows  # none twice, although the regions share some
        assert not network._kept


def test_without_room_windows_are_computed_again(image: np.ndarray) -> None:
    slide = open_slide(image)
    network = SlideNetwork(slide, "lite", slide_scaling(slide), window=256, device="cpu", empty=0, keep=0)
    region = (slice(0, 100), slice(0, 100))
    network.expect([region, region])
    np.testing.assert_array_equal(network.maps(*region).distance, network.maps(*region).distance)
    assert network.computed == 2


def test_results_of_windows_leave_the_gpu_if_its_memory_is_limited(
    image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, moved, given = open_slide(image), [], []
    original, run_windows = torch.Tensor.cpu, maps.run_windows
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append(self.ndim) or original(self))
    monkeypatch.setattr(
        maps,
        "run_windows",
        lambda *a, **options: given.append(options["memory"]) or run_windows(*a, **options),
    )
    found = []
    for memory in (None, 2.0):
        options = {"window": 256, "device": "cpu", "empty": 0, "gpu_memory": memory}
        network = SlideNetwork(slide, "lite", slide_scaling(slide), **options)
        moved.clear()
        found.append(network.maps(slice(0, 100), slice(0, 100)))
        assert moved.count(4) == (0 if memory is None else network.computed)
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)
    assert given[0] is None
    assert 1.9 < given[-1] < 2.0 - 4 * 5 * 100**2 / 2**30, "without weights and maps"


def test_colours_and_pyramid(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    image = simulate("brightfield", (300, 560), rng=np.random.default_rng(1)).image
    result = segment_slide(image, tmp_path / "he.ome.zarr", block=280, empty=0, **OPTIONS)
    np.testing.assert_array_equal(read(result.labels), segment(image, window=256, device="cpu"))
    group = zarr.open(result.labels)
    (described,) = group.attrs["multiscales"]
    levels = [group[data["path"]] for data in described["datasets"]]
    assert [level.shape for level in levels] == [(300, 560), (150, 280), (75, 140)]
    np.testing.assert_array_equal(levels[2][:], levels[0][::4, ::4])
    assert described["name"] == "he"
    assert levels[0].dtype == np.uint16
    with open_slide(result.labels) as slide:
        assert slide.shape == (300, 560)


def test_empty_regions_are_not_computed(image: np.ndarray, tmp_path: Path) -> None:
    frame = np.zeros((1300, 420), dtype=np.uint8)
    frame[:480] = image
    steps: list[Step] = []
    result = segment_slide(
        frame, tmp_path / "cells.tif", block=300, overlap=64, watch=steps.append, scales=(1,), **OPTIONS
    )
    assert result.skipped == 4  # from row 900 on, two across
    assert [step.labels is None for step in steps].count(True) == 4
    assert [step.done for step in steps] == list(range(1, 11))
    labels = tifffile.imread(result.labels)
    assert labels[500:].max() == 0
    assert labels.max() == result.cells > 30
    nothing = segment_slide(np.full((300, 280), 7, np.uint8), tmp_path / "no.tif", block=140, **OPTIONS)
    assert (nothing.cells, nothing.skipped) == (0, 6)


def test_a_killed_run_goes_on(
    slide_file: Path, whole: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cells.tif"
    script = f"""
        import os, signal
        from maunet_lite.scale import segment_slide

        def stop(step):
            if step.done == 3:
                os.kill(os.getpid(), {int(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)})

        segment_slide({str(slide_file)!r}, {str(out)!r}, block=200, window=256, device="cpu", empty=0,
                      progress=False, watch=stop)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[2])
    assert ended.returncode != 0
    assert not out.exists()
    finished = {path.name for path in (tmp_path / "cells.tif.unfinished").glob("0*.npz")}
    assert 3 <= len(finished) <= 4  # the one that was being stored may be among them
    result = segment_slide(slide_file, out, block=200, empty=0, **OPTIONS)
    assert result.resumed == len(finished)
    np.testing.assert_array_equal(tifffile.imread(out), whole)
    assert not (tmp_path / "cells.tif.unfinished").exists()


def test_a_block_counts_as_finished_only_with_its_last_file(tmp_path: Path) -> None:
    """As after a kill between the labels of a block and what is said about them."""
    grid = BlockGrid((4, 6), block=6, halo=0)
    labels = np.array([[0, 1, 1, 0, 2, 2]] * 4, dtype=np.int32)
    work = WorkFolder(tmp_path / "cells.tif")
    work.begin({})
    np.save(work.path / "000000.npy", labels[:2])
    assert work.finished() == set()
    work.save(0, grid.cut(labels, grid.blocks[0]))
    assert work.finished() == {0}
    assert work.load(0).names.tolist() == [1, 4]
    tables, _ = grid.join({0: work.load(0)})
    place = (slice(1, 3), slice(2, 5))
    np.testing.assert_array_equal(work.labels(grid, tables, place), labels[place])
    work.save(0, None)  # nothing in it
    assert work.load(0) is None


def test_ctrl_c_says_how_to_go_on(
    slide_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "cells.tif"
    with pytest.raises(KeyboardInterrupt):
        segment_slide(slide_file, out, block=240, watch=stop, **OPTIONS)
    told = capsys.readouterr().err
    assert "of 4 blocks, which lie in" in told
    assert "Run the same again to go on" in told
    # another question is another job: nothing of the old one is used
    other = segment_slide(slide_file, out, block=240, postprocess="none", **OPTIONS)
    assert other.resumed == 0
    with pytest.raises(KeyboardInterrupt):
        segment_slide(slide_file, out, block=240, watch=stop, **OPTIONS)
    assert segment_slide(slide_file, out, block=240, resume=False, **OPTIONS).resumed == 0
    with pytest.raises(KeyboardInterrupt):
        segment_slide(slide_file, out, block=240, watch=stop, **OPTIONS)
    assert segment_slide(slide_file, out, **OPTIONS).block == 240  # not asked for: as in the journal


@pytest.mark.parametrize("entry", ["known", "missing"])
def test_less_memory_begins_anew(
    slide_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """Of a job that was begun with more, and that had chosen its blocks for it."""

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(survey, "BLOCKS", (64, 200))
    work = WorkFolder(tmp_path / "cells.tif")
    with pytest.raises(KeyboardInterrupt):
        segment_slide(slide_file, work.out, memory="16GiB", watch=stop, **OPTIONS)
    journal = work.journal()
    assert journal["memory"] == 2**34
    if entry == "missing":  # as older versions wrote it
        del journal["memory"]
        work.begin(journal)
    for memory in ("16GiB", "20GiB", "8GiB"):
        with pytest.raises(KeyboardInterrupt):
            segment_slide(slide_file, work.out, memory=memory, watch=stop, **OPTIONS)
        same = entry == "missing" or memory != "8GiB"
        assert (work.journal()["id"] == journal["id"]) == same
    if entry == "known":
        with pytest.raises(ValueError, match="too little for this image"):
            segment_slide(slide_file, work.out, memory="0.1GiB", **OPTIONS)
        assert work.journal()["memory"] == 2**33


@pytest.mark.parametrize("name", ["default", "paper", "authors"])
def test_without_a_distance_field_blocks_have_the_yardstick_of_the_whole(name: str) -> None:
    """Pairs of discs that touch: how high the field of their interior is decides whether they are cut."""
    interior = np.zeros((200, 200), np.uint8)
    for row, column in product(range(20, 190, 25), range(20, 180, 40)):
        cv2.circle(interior, (column, row), 8, 1, -1)
        cv2.circle(interior, (column + 15, row), 8, 1, -1)
    sure = interior * np.float32(0.98) + np.float32(0.01)
    maps, config = Maps(np.stack([1 - sure, sure]), None), PostprocessConfig.named(name)
    yardstick = measure_sample([maps], config, whole=True).yardstick
    whole = postprocess(maps, config)
    assert yardstick.highest_blurred == whole.steps["blurred_distance"].max()
    np.testing.assert_array_equal(postprocess(maps, config, yardstick=yardstick).labels, whole.labels)


class Travelling(Pool):
    """Does items last to first, and all that goes to another process travels as it would."""

    @property
    def n_workers(self) -> int:
        return 2

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], **common: Any
    ) -> Iterator[tuple[int, Any]]:
        for index, item in reversed(list(enumerate(items))):
            call, here, shared = pickle.loads(pickle.dumps((function, item, common)))
            ((_, result),) = super().map(call, [here], **shared)
            yield index, result


def test_a_pool_gives_the_same(slide_file: Path, whole: np.ndarray, tmp_path: Path) -> None:
    out, steps = tmp_path / "cells.tif", []
    result = segment_slide(
        slide_file, out, block=300, pool=Travelling(), empty=0, watch=steps.append, **OPTIONS
    )
    np.testing.assert_array_equal(tifffile.imread(result.labels), whole)
    assert [step.block.index for step in steps] == [3, 2, 1, 0]
    with open_pool() as pool:  # in this process; what was opened by others stays open
        segment_slide(slide_file, tmp_path / "again.tif", block=300, pool=pool, empty=0, **OPTIONS)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "again.tif"), whole)


def test_a_block_that_fails_in_a_pool_stops_the_job(slide_file: Path, tmp_path: Path) -> None:
    class Failing(Travelling):
        def map(self, function: Any, items: Any, **common: Any) -> Iterator[tuple[int, Any]]:
            yield 0, MemoryError("a worker died")

    with pytest.raises(MemoryError, match="a worker died"):
        segment_slide(slide_file, tmp_path / "cells.tif", block=300, pool=Failing(), **OPTIONS)


@pytest.mark.slow
def test_processes_give_the_same(slide_file: Path, whole: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with open_pool(workers=2) as pool:
        segment_slide(slide_file, tmp_path / "cells.tif", block=200, pool=pool, empty=0, **OPTIONS)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.tif"), whole)


def test_memory_stays_within_the_budget(image: np.ndarray, tmp_path: Path) -> None:
    """A slide that would take 4 GiB and more as a whole; cells in one place keep the test short."""
    slide = np.zeros((8000, 8000), dtype=np.uint8)
    slide[3100:3580, 3100:3520] = image
    tifffile.imwrite(tmp_path / "slide.tif", slide, tile=(512, 512), compression="zlib")
    script = f"""
        from benchmarks.one_image import peak_memory
        from maunet_lite.scale import segment_slide

        result = segment_slide({str(tmp_path / "slide.tif")!r}, {str(tmp_path / "cells.tif")!r},
                               memory="3GiB", device="cpu", progress=False)
        print(peak_memory(), result.cells, result.blocks, result.skipped)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    peak, cells, blocks, skipped = map(int, ended.stdout.split())
    assert peak < parse_bytes("3GiB")
    assert cells > 30
    assert blocks >= 9
    assert blocks - 16 < skipped < blocks  # those that see the cells


def test_block_follows_from_memory() -> None:
    slide = open_slide(np.zeros((9, 9), dtype=np.uint8))
    network = SlideNetwork(slide, "lite", slide_scaling(slide), device="cpu")
    sides = [choose_block(gib * 2**30, network, halo=150, base=2**29) for gib in (2, 4, 8, 64)]
    assert sides == sorted(sides)
    assert sides[-1] == 4096
    assert all(side % 512 == 0 for side in sides)
    with pytest.raises(ValueError, match=r"too little.*give at least 1\.\d+ GiB"):
        choose_block(2**30, network, halo=150, base=2**29)
    # what the message asks for is enough
    least = int(1.05 * 2**30 * 1.65)
    assert choose_block(least, network, halo=150, base=2**29) >= 256
    network.device = torch.device("cuda")
    assert choose_block(2**31, network, halo=150, base=2**29) > sides[0], "windows have the GPU's memory"


def test_what_is_refused(image: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.zarr, \.tif or \.tiff"):
        segment_slide(image, tmp_path / "cells.png")
    with pytest.raises(ValueError, match="overlap is 0"):
        segment_slide(image, tmp_path / "cells.tif", overlap=0, **OPTIONS)
    assert not list(tmp_path.iterdir())
