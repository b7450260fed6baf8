"""Patches for images that nobody has seen yet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from maunet_lite.datasets import load_dataset
from maunet_lite.simulation import simulate_dataset
from maunet_lite.simulation.teacher import KINDS, teach
from maunet_lite.wild import RandomSizedWindowd, wild_transforms
from maunet_lite.wild_patches import WildPatches, median_diameter

NAMES = ("colour", "polarity", "debris", "light", "sparse", "focus", "noise")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wild") / "simulated"
    return simulate_dataset(folder, n_per_modality=3, shape=(80, 96), progress=False)


def seen(channels: int = 1) -> dict:
    rng = np.random.default_rng(1)
    image, labels = teach("rims", (120, 150), rng=rng)
    image = np.repeat(image[..., None].astype(np.float32) / 255, channels, axis=2)
    return {"image": np.clip(image, 0.01, 0.99), "labels": labels, "diameter": median_diameter(labels)}


def test_draw_k_depends_on_the_seed_and_on_k_alone(folder):
    data = load_dataset(folder)
    forwards, backwards = WildPatches(data, 9, patch=64, seed=5), WildPatches(data, 9, patch=64, seed=5)
    last = [backwards[k] for k in reversed(range(9))][::-1]
    for k in range(9):
        for name in ("image", "classes", "distance"):
            assert torch.equal(forwards[k][name], last[k][name])
    other = WildPatches(data, 9, patch=64, seed=6)
    assert any(not torch.equal(forwards[k]["image"], other[k]["image"]) for k in range(9))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_transform_keeps_shape_range_and_input(name, channels):
    chain = wild_transforms(64, **{n: float(n == name) for n in NAMES})
    before = seen(channels)
    copies = {key: np.copy(value) for key, value in before.items()}
    for k in range(12):
        after = chain.set_random_state(seed=k)(before)
        assert after["image"].dtype == np.float32
        assert after["image"].shape[:2] == after["classes"].shape == after["distance"].shape == (64, 64)
        assert after["image"].shape[2] in (1, 3)
        assert 0 <= after["image"].min() <= after["image"].max() <= 1
        assert set(np.unique(after["classes"])) <= {0, 1, 2}
    for key, value in copies.items():
        assert np.array_equal(before[key], value)


def test_windows_show_cells_of_the_sizes_asked_for():
    window = RandomSizedWindowd(128, prob=1.0, sizes=(18.0, 22.0), around_cell=1.0)
    areas = []
    for k in range(20):
        patch = window.set_random_state(seed=k)(seen())
        n, _, stats, _ = cv2.connectedComponentsWithStats((patch["classes"] > 0).astype(np.uint8))
        areas += [stats[i, cv2.CC_STAT_AREA] for i in range(1, n)]
    assert 10 < np.median(np.sqrt(4 / np.pi * np.array(areas))) < 34


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="none of the transforms"):
        wild_transforms(64, weather=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_lesson_has_cells_in_one_piece_and_repeats_itself(kind):
    image, labels = teach(kind, (96, 112), rng=np.random.default_rng(4))
    again = teach(kind, (96, 112), rng=np.random.default_rng(4))
    assert image.dtype == np.uint8
    assert image.shape[:2] == labels.shape == (96, 112)
    assert np.array_equal(image, again.image)
    assert np.array_equal(np.unique(np.append(labels, 0)), np.arange(labels.max() + 1))
    for label in range(1, labels.max() + 1):
        assert cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)[0] == 2
