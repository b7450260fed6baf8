"""Domain randomization: cells get the size asked for, labels go along, and each change does what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.draw import disk
from skimage.measure import label, regionprops
from skimage.segmentation import clear_border

from maunet_lite.data import LabelError, load_dataset, write_image, write_labels
from maunet_lite.data.checks import scattered_ids
from maunet_lite.preprocessing import (
    AugmentationConfig,
    PatchDataset,
    TargetConfig,
    build_augmentation,
    make_targets,
    median_diameter,
    normalize,
)
from maunet_lite.preprocessing.augmentation import domains
from maunet_lite.preprocessing.augmentation.windows import random_zoom
from maunet_lite.preprocessing.intensity import HIGH, LOW
from maunet_lite.training import recipe

PARTS = ("image", "classes", "distance")
SIZED = AugmentationConfig(patch=96, sizes=(60, 60), zoom=(0.1, 8), p_geometry=0, p_intensity=0)
CHANGES = {
    "p_colour": domains.recolour,
    "p_polarity": domains.invert,
    "p_debris": domains.add_debris,
    "p_light": domains.relight,
    "p_sparse": domains.isolate,
    "p_focus": domains.refocus,
    "p_noise": domains.add_grain,
}


def discs(shape: tuple[int, int] = (90, 130), diameter: int = 20) -> np.ndarray:
    """Discs 30 pixels apart."""
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(np.argwhere(np.ones((shape[0] // 30, shape[1] // 30))), start=300):
        labels[disk(tuple(30 * centre + 15), diameter / 2, shape=shape)] = number
    return labels


def item(labels: np.ndarray, channels: int = 1) -> dict:
    """A label map as `PatchDataset` hands it on, and an image that shows its cells in bright."""
    image = np.where(labels > 0, np.float32(0.8), np.float32(0.2))
    return {
        "image": np.repeat(image[None], channels, axis=0),
        "labels": np.stack([labels & 0xFFFF, labels >> 16]),
        "diameter": median_diameter(labels),
    }


def texture(channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(LOW, HIGH, (channels, 40, 56)).astype(np.float32)


# --- sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [10, 20, 60])
def test_a_disc_measures_what_is_asked_for(wanted: int) -> None:
    labels = np.zeros((90, 130), np.int32)
    labels[disk((45, 65), 10)] = 256
    chain = build_augmentation(replace(SIZED, patch=128, sizes=(wanted, wanted), around_cell=1))
    for seed in range(5):
        patch = chain.set_random_state(seed=seed)(item(labels))
        cells = regionprops(clear_border(label(patch["classes"][0] > 0)))
        assert cells
        assert all(abs(cell.equivalent_diameter_area - wanted) < 1 for cell in cells)


def test_sizes_are_drawn_evenly_over_doublings() -> None:
    rng, config = np.random.default_rng(0), replace(SIZED, sizes=(10, 80), zoom=(0.01, 100))
    sizes = np.array([20 * random_zoom(config, rng, diameter=20) for _ in range(2000)])
    assert sizes.min() >= 10
    assert sizes.max() <= 80
    counts = np.histogram(sizes, [10, 20, 40, 80])[0]
    assert (abs(counts - 2000 / 3) < 100).all()


def test_what_limits_the_zoom() -> None:
    rng = np.random.default_rng(0)
    assert random_zoom(replace(SIZED, zoom=(0.5, 2)), rng, diameter=20) == 2
    assert random_zoom(SIZED, rng, diameter=math.nan) == pytest.approx(1), "unknown: that of the sizes"
    kept = [random_zoom(replace(SIZED, p_resize=0), rng, diameter=20) for _ in range(100)]
    assert math.exp(-0.2) <= min(kept) < 0.95 < 1.05 < max(kept) <= math.exp(0.2)
    with pytest.raises(ValueError, match=r"sizes=\(80, 9\) must be two numbers, the smaller one first"):
        replace(SIZED, sizes=(80, 9))


@pytest.mark.parametrize("wanted", [9, 20, 47])
def test_targets_lie_where_the_image_shows_cells(wanted: int) -> None:
    chain = build_augmentation(replace(SIZED, sizes=(wanted, wanted), p_geometry=0.5, padding="either"))
    for seed in range(10):
        patch = chain.set_random_state(seed=seed)(item(discs()))
        assert [patch[name].shape for name in PARTS] == [(1, 96, 96)] * 3
        assert [patch[name].dtype for name in PARTS] == [np.float32, np.uint8, np.float32]
        inside = patch["classes"] > 0
        np.testing.assert_array_equal(patch["distance"] > 0, inside)
        agree = (patch["image"] > 0.5) == inside
        assert agree.mean() > 1 - 1.5 / wanted  # the outermost pixels are blends


def test_boundaries_are_made_after_the_zoom() -> None:
    chain = build_augmentation(replace(SIZED, patch=64, sizes=(9, 9)), TargetConfig(center="authors"))
    patch = chain.set_random_state(seed=1)(item(discs((300, 300))))
    cells, pieces = clear_border(label(patch["classes"][0] > 0)), label(patch["classes"][0] == 1)
    ids = np.unique(cells[cells > 0])
    assert len(ids) >= 9
    for own in (cells == number for number in ids):
        assert len(np.unique(pieces[own & (pieces > 0)])) == 1, "every small cell keeps an interior"
        assert (patch["classes"][0][own] == 2).sum() >= 15, "and a boundary around it"
        assert patch["distance"][0][own].max() == 1


def test_cells_that_the_window_cuts_have_their_true_centres() -> None:
    labels = np.zeros((200, 200), np.int32)
    labels[disk((100, 100), 30)] = 256
    size = median_diameter(labels)
    config = replace(SIZED, patch=64, sizes=(size, size), around_cell=1)
    chain, whole = build_augmentation(config), make_targets(labels).distance
    for seed in range(10):
        patch = chain.set_random_state(seed=seed)(item(labels))["distance"][0]
        assert cv2.matchTemplate(whole, patch, cv2.TM_SQDIFF).min() < 1e-3, "a piece of the whole field"


@pytest.mark.parametrize("number", [1, 255, 302])
def test_a_window_may_hold_parts_of_one_cell_far_apart(number: int) -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[20:24, 2:6] = labels[20:24, 58:62] = number  # the ends of a long cell that bends out of sight
    assert scattered_ids(labels) == [number]
    chain = build_augmentation(replace(SIZED, patch=64, sizes=(9, 9), zoom=(1, 1)))
    patch = chain.set_random_state(seed=0)(item(labels))
    assert patch["classes"].any()
    with pytest.raises(LabelError, match=f"holds no id but {number}, in 2 pieces: a mask"):
        make_targets(labels)


# --- changes of pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_changes_keep_type_range_and_input(name: str, channels: int) -> None:
    changed = 0
    for seed in range(15):
        image = texture(channels, seed)
        before, rng = image.copy(), np.random.default_rng(seed)
        after = CHANGES[name](image, rng)
        after = after[0] if name == "p_sparse" else after
        assert after.dtype == np.float32
        assert after.shape[1:] == image.shape[1:]
        assert len(after) in (1, 3)
        assert np.float32(LOW) <= after.min()
        assert after.max() <= np.float32(HIGH)
        np.testing.assert_array_equal(image, before)
        changed += after.shape != image.shape or not np.array_equal(after, image)
    assert changed > 9, "all but channels that change places with themselves, and unlucky draws of light"


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 1), (1, 1, 9)])
@pytest.mark.parametrize("change", CHANGES.values())
def test_the_smallest_images_can_be_changed(change: object, shape: tuple[int, ...]) -> None:
    for seed in range(8):
        after = change(np.full(shape, 0.5, np.float32), np.random.default_rng(seed))
        assert np.isfinite(after[0]).all()


def test_polarity_by_eye_and_back() -> None:
    np.testing.assert_allclose(domains.invert(np.float32([0.01, 0.3, 0.99])), [0.99, 0.7, 0.01], rtol=1e-5)
    np.testing.assert_allclose(domains.invert(domains.invert(texture())), texture(), atol=1e-6)


def test_colours_of_grey_and_of_coloured_images() -> None:
    grey, coloured = texture(1), texture(3)
    seen = [domains.recolour(grey, np.random.default_rng(seed)) for seed in range(60)]
    holding = {sum(np.array_equal(plane, grey[0]) for plane in image) for image in seen}
    assert {len(image) for image in seen} == {3}
    assert holding == {0, 1, 2}, "tinted; in one colour; in two"
    seen = [domains.recolour(coloured, np.random.default_rng(seed)) for seed in range(60)]
    assert {len(image) for image in seen} == {1, 3}
    exchanged = [image for image in seen if len(image) == 3 and np.isin(image, coloured).all()]
    assert len({image.tobytes() for image in exchanged}) > 3, "several orders of the same three planes"


def test_what_lies_outside_an_empty_surrounding_is_lost_in_the_targets_too() -> None:
    config = replace(SIZED, sizes=(20, 20), p_sparse=1.0)
    full = build_augmentation(replace(config, p_sparse=0)).set_random_state(seed=2)(item(discs((300, 300))))
    part = build_augmentation(config).set_random_state(seed=2)(item(discs((300, 300))))
    _, inside = domains.isolate(full["image"], np.random.default_rng(0))
    assert 0.09 < inside.mean() < 0.64
    lost = part["classes"] != full["classes"]
    assert lost.any()
    assert not part["classes"][lost].any()
    np.testing.assert_array_equal(part["distance"] > 0, part["classes"] > 0)
    kept = np.argwhere(part["classes"][0])
    assert np.ptp(kept, axis=0).max() < 0.8 * 96, "a rectangle of cells is left"


def test_light_and_grain_follow_their_draws() -> None:
    flat = np.full((1, 64, 64), 0.5, np.float32)
    brighter = [domains.relight(flat, np.random.default_rng(seed)).mean() > 0.5 for seed in range(200)]
    assert 0.2 < np.mean(brighter) < 0.6, "to either side"
    stds = [domains.add_grain(flat, np.random.default_rng(seed)).std() for seed in range(40)]
    assert 0.005 < min(stds) < 0.03 < 0.09 < max(stds) < 0.16
    specks = [domains.add_debris(flat, np.random.default_rng(seed)) for seed in range(20)]
    assert {bool((image > 0.5).any()) for image in specks} == {True, False}, "bright or dark"


# --- the Compose --------------------------------------------------------------------------------------


def test_what_never_happens_is_no_step() -> None:
    names = [type(step).__name__ for step in build_augmentation(SIZED).transforms]
    assert names == ["RandCellSized", "UnpackCellsd", "ClipIntensityd"]
    off = replace(recipe("lite").augmentation, **dict.fromkeys(CHANGES, 0.0))
    patch = build_augmentation(replace(off, sizes=(20, 20), zoom=(1, 1), p_geometry=0, patch=64))
    out = patch.set_random_state(seed=0)(item(discs()))
    assert set(np.unique(out["image"])) <= set(np.float32([LOW, 0.2, 0.8])), "no pixel was changed"


@pytest.mark.parametrize("name", CHANGES)
def test_each_step_can_be_switched_on_alone_and_comes_with_its_probability(name: str) -> None:
    config = replace(SIZED, patch=16, sizes=(20, 20), **{name: 0.4})
    on, off = build_augmentation(config), build_augmentation(replace(config, **{name: 0.0}))
    assert f"change={CHANGES[name].__name__}" in str(on.transforms[-1])
    assert len(on.transforms) == len(off.transforms) + 1
    step, data = on.transforms[-1], {part: np.full((1, 8, 8), 0.5, np.float32) for part in PARTS}
    step.set_random_state(seed=0)
    changed = [step(data) is not data for _ in range(400)]
    assert 0.3 < np.mean(changed) < 0.5


def test_a_seed_decides_the_patch_and_nothing_else() -> None:
    one, other = (build_augmentation(recipe("lite").augmentation.override(patch=48)) for _ in range(2))
    first = [one.set_random_state(seed=(5, k))(item(discs()))["image"] for k in range(12)]
    for k in reversed(range(12)):
        np.testing.assert_array_equal(other.set_random_state(seed=(5, k))(item(discs()))["image"], first[k])
    assert not any(np.array_equal(first[0], image) for image in first[1:])


# --- patches of label maps ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Discs with ids above 65,535; a single cell of id 1 in the shape of a U; an image without labels."""
    bent = np.zeros((60, 80), np.int32)
    bent[5:55, 5:15] = bent[5:55, 60:70] = bent[45:55, 5:70] = 1
    for name, labels in (("a", discs() * 1000), ("b", bent), ("c", np.zeros((30, 40), np.int32))):
        image = np.where(labels > 0, 180, 60).astype(np.uint8)
        write_image(tmp_path / "data" / "images" / f"{name}.png", image)
        if name != "c":
            write_labels(tmp_path / "data" / "labels" / f"{name}_label.tiff", labels)
    return tmp_path / "data"


def test_patches_of_label_maps_are_drawn_by_number(folder: Path, tmp_path: Path) -> None:
    data, config = load_dataset(folder), recipe("lite").augmentation.override(patch=32)
    one, two = (PatchDataset(data, 40, config, seed=4, cache=tmp_path / "cache") for _ in range(2))
    items = [one[k] for k in range(40)]  # windows of the U show two pieces of cell 1: no mask, all the same
    for k in reversed(range(40)):
        again = two[k]
        assert all(torch.equal(items[k][part], again[part]) for part in PARTS)
        assert (items[k]["image"].shape, items[k]["classes"].shape) == ((3, 32, 32), (32, 32))
        assert items[k]["image"].min() >= np.float32(LOW)
        torch.testing.assert_close(items[k]["distance"][0] > 0, items[k]["classes"] > 0)
        if items[k]["index"] == 2:
            assert not items[k]["classes"].any(), "unlabelled"
    assert {item["index"] for item in items} == {0, 1, 2}


def test_ids_of_any_size_are_kept_as_cells(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:35, 20:35] = 3 << 16, 2**31 - 1  # the low half of the first id is 0
    write_image(tmp_path / "images" / "a.png", (labels > 0).astype(np.uint8) * 200)
    write_labels(tmp_path / "labels" / "a_label.tiff", labels)
    kept = PatchDataset(load_dataset(tmp_path), 1, SIZED, cache=tmp_path / "cache").images[0].open()
    np.testing.assert_array_equal(kept["labels"][0] > 0, labels > 0, "cells are looked for there")
    assert 11 < kept["diameter"] < 17


def test_what_is_kept_of_a_label_map(folder: Path, tmp_path: Path) -> None:
    data = load_dataset(folder)
    items = PatchDataset(data, 1, SIZED, cache=tmp_path / "cache")
    targets = PatchDataset(data, 1, replace(SIZED, sizes=None), cache=tmp_path / "cache")
    assert {image.path for image in items.images}.isdisjoint(image.path for image in targets.images)
    kept = items.images[0].open()
    low, high = kept["labels"].astype(np.int64)
    truth, ids = data.labels(0), low + 2**16 * high
    np.testing.assert_array_equal(ids > 0, truth > 0)
    assert len(np.unique(ids)) == len(np.unique(truth)) == len(np.unique(ids * 10**6 + truth))
    assert kept["diameter"] == pytest.approx(median_diameter(truth))
    scaled = kept["image"] / 65535 * (HIGH - LOW) + LOW
    np.testing.assert_allclose(scaled[0], normalize(data.image(0))[..., 0], atol=1e-4)
    assert math.isnan(items.images[2].open()["diameter"])
    whole = items.images[0].path.read_bytes()
    items.images[0].path.write_bytes(whole[:-3])  # damaged in its last bytes
    assert items.images[0].open()["diameter"] == pytest.approx(median_diameter(truth))
