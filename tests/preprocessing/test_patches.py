"""Training patches: drawn by number, prepared once, from images of any size."""

from __future__ import annotations

import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch.utils.data import DataLoader, Subset

from maunet_lite.data import CellDataset, DatasetError, load_dataset, write_image, write_labels
from maunet_lite.preprocessing import patches
from maunet_lite.preprocessing.augmentation.config import AugmentationConfig
from maunet_lite.preprocessing.intensity import HIGH, LOW, normalize
from maunet_lite.preprocessing.patches import PatchDataset, PreparedImage, source_weights
from maunet_lite.preprocessing.targets import TargetConfig, make_targets

PLAIN = AugmentationConfig(patch=32, p_resize=0, p_geometry=0, p_intensity=0)
SMALL = AugmentationConfig(patch=32, around_cell=0.5)


def cells(shape: tuple[int, int]) -> np.ndarray:
    """Squares of 8 pixels, 4 apart."""
    rows, columns = np.indices(shape)
    inside = (rows % 12 < 8) & (columns % 12 < 8)
    return (inside * ((rows // 12) * (shape[1] // 12 + 1) + columns // 12 + 1)).astype(np.int32)


def add(folder: Path, name: str, image: np.ndarray, labels: np.ndarray | None) -> None:
    write_image(folder / "images" / f"{name}.png", image)
    if labels is not None:
        write_labels(folder / "labels" / f"{name}_label.tiff", labels)


@pytest.fixture
def data(tmp_path: Path) -> CellDataset:
    """A grey image, a coloured one, an unlabelled one and one of a single row; none is square."""
    rng, folder = np.random.default_rng(0), tmp_path / "mixed"
    for name, shape, channels in (
        ("a", (50, 70), 1),
        ("b", (40, 60), 3),
        ("c", (45, 30), 1),
        ("d", (1, 40), 1),
    ):
        labels = cells(shape)
        image = (60 + 100 * (labels > 0) + rng.integers(0, 40, shape)).astype(np.uint8)
        if channels == 3:
            image = np.dstack([image, image // 2, 255 - image])
        add(folder, name, image, None if name == "c" else labels)
    return load_dataset(folder)


def pixels(image: PreparedImage) -> np.ndarray:
    """What is stored of an image, (C + 2, H, W), in memory."""
    return np.concatenate(list(image.open().values()))


def equal(one: dict, two: dict) -> bool:
    return one["index"] == two["index"] and all(
        torch.equal(one[part], two[part]) for part in ("image", "classes", "distance")
    )


# --- items --------------------------------------------------------------------------------------------


def test_items_have_the_promised_shapes_types_and_ranges(data: CellDataset, tmp_path: Path) -> None:
    items = PatchDataset(data, 40, SMALL, cache=tmp_path / "cache")
    assert len(items) == 40
    for k in range(40):
        item = items[k]
        assert (item["image"].shape, item["image"].dtype) == ((3, 32, 32), torch.float32)
        assert (item["classes"].shape, item["classes"].dtype) == ((32, 32), torch.int64)
        assert (item["distance"].shape, item["distance"].dtype) == ((1, 32, 32), torch.float32)
        assert item["image"].min() >= np.float32(LOW)
        assert item["image"].max() <= np.float32(HIGH)
        assert item["image"].is_contiguous()
        assert set(item["classes"].unique().tolist()) <= {0, 1, 2}
        assert 0 <= item["distance"].min() <= item["distance"].max() <= 1
        # targets of one pixel belong together: distance is positive inside cells and nowhere else
        torch.testing.assert_close(item["distance"][0] > 0, item["classes"] > 0)
        if item["index"] == 2:
            assert not item["classes"].any(), "unlabelled"
        if item["index"] != 1:
            assert torch.equal(item["image"][0], item["image"][2]), "grey stays grey"
    with pytest.raises(IndexError):
        items[40]


def test_a_plain_patch_is_the_prepared_image(data: CellDataset, tmp_path: Path) -> None:
    """Without augmentation a patch as large as the image shows what the functions of the paper return."""
    for index, channels in ((0, 1), (1, 3)):
        height, width = data.image(index).shape[:2]
        config = replace(PLAIN, patch=max(height, width))
        items = PatchDataset(data.select([index]), 1, config, cache=tmp_path / "cache")
        assert pixels(items.images[0]).shape == (channels + 2, height, width)
        image, classes, distance = (items[0][part] for part in ("image", "classes", "distance"))
        # the content lies somewhere in the patch, mirrored around
        targets, expected = make_targets(data.labels(index)), normalize(data.image(index)).transpose(2, 0, 1)
        content = next(
            content
            for r in range(config.patch - height + 1)
            for c in range(config.patch - width + 1)
            if np.array_equal(classes[content := np.s_[r : r + height, c : c + width]], targets.classes)
            and np.allclose(image[(slice(None), *content)], expected, atol=1e-3)
        )
        np.testing.assert_allclose(image[(slice(None), *content)], expected, atol=1e-5)
        np.testing.assert_allclose(distance[0][content], targets.distance, atol=1e-5)


def test_targets_lie_where_the_image_shows_cells(tmp_path: Path) -> None:
    """The image is bright exactly in its cells: augmentation may not move one against the other."""
    labels = np.kron(cells((40, 64)), np.ones((8, 8), dtype=np.int32))  # cells of 64 pixels, 32 apart
    add(tmp_path, "a", np.where(labels > 0, 200, 50).astype(np.uint8), labels)
    config = AugmentationConfig(patch=128, p_intensity=0)
    items = PatchDataset(load_dataset(tmp_path), 60, config, cache=tmp_path / "cache")
    for k in range(60):
        item = items[k]
        agree = ((item["image"][0] > 0.5) == (item["classes"] > 0)).float().mean()
        assert agree > 0.9, k  # cells are 16 pixels wide at the smallest zoom, so that edges count for little
    assert len({items[k]["classes"].sum().item() for k in range(60)}) > 30, "patches differ"


def test_targets_follow_their_configuration(data: CellDataset, tmp_path: Path) -> None:
    one = data.select([0])
    config = TargetConfig(intensity="paper", boundary="authors", center="authors", beta=2.0)
    targets = make_targets(one.labels(0), boundary="authors", center="authors", beta=2.0)
    stored = pixels(PatchDataset(one, 1, PLAIN, config, cache=tmp_path / "cache").images[0])
    np.testing.assert_array_equal(stored[-2], targets.classes)
    np.testing.assert_allclose(stored[-1] / 65535, targets.distance, atol=1e-5)
    expected = normalize(one.image(0), "paper")[..., 0]
    np.testing.assert_allclose(stored[0] / 65535 * (HIGH - LOW) + LOW, expected, atol=1e-5)


def test_black_padding(data: CellDataset, tmp_path: Path) -> None:
    config = replace(PLAIN, patch=128, padding="black")
    item = PatchDataset(data.select([3]), 1, config, cache=tmp_path / "cache")[0]
    assert (item["image"] > LOW + 1e-6).any(dim=0).sum() <= 40
    assert (item["classes"] > 0).sum() == (data.labels(3) > 0).sum()


def test_patches_around_cells_show_cells(tmp_path: Path) -> None:
    labels = np.zeros((400, 300), dtype=np.int32)
    labels[380:392, 7:19] = 9
    labels[30:200, 250:252] = 4
    add(tmp_path, "a", (50 + 100 * (labels > 0)).astype(np.uint8), labels)
    data = load_dataset(tmp_path)
    config = AugmentationConfig(patch=32, zoom=(0.5, 1.0), around_cell=1.0)
    items = PatchDataset(data, 50, config, cache=tmp_path / "cache")
    assert all(items[k]["classes"].any() for k in range(50)), "cells are 0.4 % of the image"
    anywhere = PatchDataset(data, 50, replace(config, around_cell=0), cache=tmp_path / "cache")
    assert np.mean([bool(anywhere[k]["classes"].any()) for k in range(50)]) < 0.5


# --- drawing ------------------------------------------------------------------------------------------


def test_a_draw_depends_on_seed_and_number_alone(data: CellDataset, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = PatchDataset(data, 2**40, SMALL, seed=3, cache=cache)
    two = PatchDataset(data, 10, SMALL, seed=3, cache=cache)
    backwards = {k: one[k] for k in reversed(range(10))}
    assert all(equal(backwards[k], two[k]) for k in range(10))
    other = PatchDataset(data, 10, SMALL, seed=4, cache=cache)
    assert not any(equal(backwards[k], other[k]) for k in range(10))
    assert equal(one[2**40 - 1], one[2**40 - 1])


# The kit takes a forkserver where there is one; a spawned process imports torch anew, which takes seconds.
SPARED = [pytest.mark.slow] if "forkserver" in torch.multiprocessing.get_all_start_methods() else []


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with a single core
@pytest.mark.parametrize("method", [pytest.param("spawn", marks=SPARED), "forkserver"])  # forked ones hang
def test_workers_draw_the_same_patches(data: CellDataset, tmp_path: Path, method: str) -> None:
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    items = PatchDataset(data, 8, SMALL, cache=tmp_path / "cache")
    expected = torch.utils.data.default_collate([items[k] for k in range(2, 8)])
    workers = 2 if method == "forkserver" else 1  # a spawned one imports torch anew
    loader = DataLoader(Subset(items, range(2, 8)), 2, num_workers=workers, multiprocessing_context=method)
    batches = list(loader)
    for part in ("image", "classes", "distance", "index"):
        assert torch.equal(torch.cat([batch[part] for batch in batches]), expected[part])


def test_a_pickled_dataset_holds_no_pixels(tmp_path: Path) -> None:
    add(tmp_path, "a", np.random.default_rng(0).integers(0, 255, (400, 500)).astype(np.uint8), None)
    items = PatchDataset(load_dataset(tmp_path), 5, SMALL, cache=tmp_path / "cache")
    first = items[0]
    assert items.images[0].path.stat().st_size > 1_000_000
    pickled = pickle.dumps(items)
    assert len(pickled) < 20_000
    assert equal(pickle.loads(pickled)[0], first)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files where Linux shows them")
def test_no_image_stays_open(data: CellDataset, tmp_path: Path) -> None:
    items = PatchDataset(data, 50, SMALL, cache=tmp_path / "cache")
    before = len(os.listdir("/proc/self/fd"))
    kept = [items[k] for k in range(50)]
    assert len(kept) == 50
    assert len(os.listdir("/proc/self/fd")) <= before


def test_sources_are_balanced() -> None:
    sources = np.array(["a"] * 9 + ["b"])
    np.testing.assert_allclose(source_weights(sources, 1.0), 0.1)
    np.testing.assert_allclose(source_weights(sources, 0.0), [1 / 18] * 9 + [1 / 2])
    np.testing.assert_allclose(source_weights(sources, 0.5)[-1], 1 / 4)  # sqrt(1) of sqrt(9) + sqrt(1)


def test_images_are_drawn_by_their_weights(data: CellDataset, tmp_path: Path) -> None:
    table = data.table.assign(source=["x", "x", "x", "y"])
    items = PatchDataset(replace(data, table=table), 1200, replace(PLAIN, patch=1), balance=0, cache=tmp_path)
    counts = np.bincount([items[k]["index"] for k in range(1200)], minlength=4)
    expected = 1200 * np.array([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_an_empty_dataset_is_refused(data: CellDataset) -> None:
    with pytest.raises(DatasetError, match="holds no images"):
        PatchDataset(data.select([]), 5)


# --- the cache ----------------------------------------------------------------------------------------


def test_images_are_prepared_once(data: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = [PatchDataset(data, 10, SMALL, cache=cache)[k] for k in range(10)]

    def forbidden(*_: object) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(patches, "normalize", forbidden)
    again = PatchDataset(data, 10, SMALL, cache=cache)
    assert all(equal(again[k], first[k]) for k in range(10))
    assert len(list(cache.iterdir())) <= len(data)


def prepared(data: CellDataset, cache: Path, config: TargetConfig | None = None) -> PreparedImage:
    return PatchDataset(data.select([0]), 1, PLAIN, config, cache=cache).images[0]


def test_changed_files_configuration_and_code_are_noticed(
    data: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(data, tmp_path).path
    assert prepared(data, tmp_path).path == first
    assert prepared(data, tmp_path, TargetConfig(beta=2.0)).path != first
    image, label = data.image_path(0), data.label_path(0)
    for path in (image, label):
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
        assert prepared(data, tmp_path).path != first
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert prepared(data, tmp_path).path == first
    monkeypatch.setattr(patches, "code_version", lambda: "edited")
    assert prepared(data, tmp_path).path != first


def test_a_cache_may_be_deleted_in_the_middle(data: CellDataset, tmp_path: Path) -> None:
    items = PatchDataset(data, 20, SMALL, cache=tmp_path / "cache")
    first = [items[k] for k in range(20)]
    shutil.rmtree(tmp_path / "cache")
    assert all(equal(items[k], first[k]) for k in range(20))


def test_a_new_label_map_is_used(data: CellDataset, tmp_path: Path) -> None:
    assert prepared(data, tmp_path).open()["classes"].any()
    write_labels(data.label_path(0), np.zeros((50, 70), dtype=np.int32))
    assert not prepared(data, tmp_path).open()["classes"].any()


def test_a_damaged_cache_is_made_anew(data: CellDataset, tmp_path: Path) -> None:
    image = prepared(data, tmp_path / "cache")
    whole = pixels(image)
    for size in (0, 50, 200):
        image.path.write_bytes(image.path.read_bytes()[:size])
        np.testing.assert_array_equal(pixels(image), whole)


def test_many_writers_at_once(data: CellDataset, tmp_path: Path) -> None:
    image = prepared(data, tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        arrays = list(pool.map(lambda _: pixels(image), range(16)))
    assert all(np.array_equal(array, arrays[0]) for array in arrays)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [image.path.name]


def test_a_slide_is_written_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many strips give the same file as one."""
    targets = make_targets(cells((50, 2**10)))
    image = np.random.default_rng(0).uniform(LOW, HIGH, (*targets.classes.shape, 1)).astype(np.float32)
    patches._write(tmp_path / "one.npy", image, *targets, np.nan)
    monkeypatch.setattr(patches, "_STRIP", 2**14)
    patches._write(tmp_path / "many.npy", image, *targets, np.nan)
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "many.npy").read_bytes()


def test_windows_of_a_slide_are_all_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched:
        """A plane that counts the pixels that are asked for."""

        def __init__(self, array: np.ndarray) -> None:
            self.array, self.shape, self.read = array, array.shape, 0

        def __getitem__(self, key: object) -> np.ndarray:
            self.read += self.array[key].size
            return self.array[key]

    watched = {
        name: Watched(np.zeros((1, 3000, 2000), np.uint16)) for name in ("image", "classes", "distance")
    }
    add(tmp_path, "a", np.zeros((2, 3), dtype=np.uint8), None)
    items = PatchDataset(load_dataset(tmp_path), 1, AugmentationConfig(patch=32), cache=tmp_path)
    monkeypatch.setattr(PreparedImage, "open", lambda _: watched)
    items[0]
    assert all(0 < plane.read <= (32 / 0.25) ** 2 for plane in watched.values())


def test_dataset_folders_may_be_read_only(data: CellDataset, tmp_path: Path) -> None:
    before = sorted(path.name for path in data.folder.rglob("*"))
    PatchDataset(data, 5, SMALL, cache=tmp_path / "cache")[0]
    assert sorted(path.name for path in data.folder.rglob("*")) == before


def test_the_cache_lies_in_the_data_home(
    data: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    PatchDataset(data, 5, SMALL)[0]
    assert list((tmp_path / "home" / "cache").glob("*.npy"))


def test_a_cache_that_cannot_be_written_is_said(data: CellDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    items = PatchDataset(data, 5, SMALL, cache=tmp_path / "file" / "cache")
    with pytest.raises(DatasetError, match=r"prepared images cannot be written to .*file.*MAUNET_DATA"):
        items[0]


@pytest.mark.parametrize("sizes", [None, (9, 80)])
def test_a_lone_cell_in_pieces_is_trained_on_as_the_kit_reads_it(
    tmp_path: Path, sizes: tuple[int, int] | None
) -> None:
    pieces = np.zeros((60, 80), np.int32)
    pieces[10:25, 10:30] = pieces[10:25, 50:70] = 1
    add(tmp_path / "data", "a", pieces.astype(np.uint8), pieces)
    config = AugmentationConfig(patch=64, sizes=sizes)
    patches = PatchDataset(load_dataset(tmp_path / "data"), 9, config, cache=tmp_path / "cache")
    assert any(patches[k]["classes"].any() for k in range(9))


def test_a_size_mismatch_names_both_files(tmp_path: Path) -> None:
    add(tmp_path, "a", np.zeros((3, 4), dtype=np.uint8), np.zeros((4, 3), dtype=np.int32))
    items = PatchDataset(load_dataset(tmp_path), 1, PLAIN, cache=tmp_path / "cache")
    with pytest.raises(DatasetError, match=r"a\.png is \(3, 4\) .* a_label\.tiff is \(4, 3\); .*data check"):
        items[0]
    assert not list((tmp_path / "cache").glob("*"))


def test_patches_are_read_as_the_table_says(tmp_path):
    stack = np.zeros((2, 40, 50), np.uint8)
    stack[1, 10:30, 10:30] = 200
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", stack, imagej=True, metadata={"axes": "CYX"})
    found = []
    for channel in (1, 2):
        data = load_dataset(tmp_path, channel=channel)
        patches = PatchDataset(data, 1, AugmentationConfig(patch=32), cache=tmp_path / "cache")
        found.append(patches.images[0].open()["image"])
    assert found[0].max() == 0
    assert found[1].shape == (1, 40, 50)
    assert found[1][0, 20, 20] > found[1][0, 0, 0]
