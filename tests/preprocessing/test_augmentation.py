"""Augmentation: geometry keeps images and targets aligned, intensities do what MONAI's transforms do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maunet_lite.preprocessing import build_augmentation
from maunet_lite.preprocessing.augmentation.config import AugmentationConfig
from maunet_lite.preprocessing.augmentation.intensities import (
    add_noise,
    adjust_contrast,
    shift_histogram,
    smooth,
)
from maunet_lite.preprocessing.augmentation.windows import random_window, resize_window
from maunet_lite.preprocessing.intensity import HIGH, LOW


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A smooth float image (C, H, W) in the range of intensities."""
    return smooth(generator(seed).uniform(LOW, HIGH, shape).astype(np.float32), 2.0)


# --- zoom and window ----------------------------------------------------------------------------------


def test_zoom_covers_the_papers_range_evenly() -> None:
    rng = generator()
    zooms = np.array([random_window((9, 9), AugmentationConfig(), rng)[2] for _ in range(4000)])
    assert zooms.min() >= 0.25
    assert zooms.max() <= 2
    # uniform from 0.25 to 2: as many images in every seventh of the range
    counts, _ = np.histogram(zooms, bins=7, range=(0.25, 2))
    assert np.abs(counts - 4000 / 7).max() < 5 * np.sqrt(4000 / 7)


def test_log_spacing_halves_as_often_as_it_doubles() -> None:
    rng, config = generator(), AugmentationConfig(zoom=(0.5, 2.0), zoom_spacing="log")
    zooms = np.array([random_window((9, 9), config, rng)[2] for _ in range(2000)])
    assert abs((zooms < 1).mean() - 0.5) < 0.05
    assert abs(np.log2(zooms).mean()) < 0.05


def test_probability_of_a_resize() -> None:
    rng, config = generator(), AugmentationConfig(p_resize=0.3)
    kept = np.mean([random_window((9, 9), config, rng)[2] == 1 for _ in range(2000)])
    assert abs(kept - 0.7) < 0.05
    assert random_window((9, 9), AugmentationConfig(p_resize=0), rng)[2] == 1


def test_windows_lie_inside_and_anywhere() -> None:
    rng, config = generator(), AugmentationConfig(patch=8, zoom=(0.5, 2.0))
    touched = np.zeros((40, 25), dtype=int)
    for _ in range(3000):
        rows, columns, zoom = random_window((40, 25), config, rng)
        assert 0 <= rows.start < rows.stop <= 40
        assert 0 <= columns.start < columns.stop <= 25
        assert rows.stop - rows.start == columns.stop - columns.start == math.ceil(8 / zoom)
        touched[rows, columns] += 1
    assert touched.min() > 0, "corners too"


@pytest.mark.parametrize("centre", [(0, 0), (39, 24), (20, 12), (0, 24)])
@pytest.mark.parametrize("patch", [1, 2, 5, 8])
def test_windows_around_a_cell_hold_it(centre: tuple[int, int], patch: int) -> None:
    rng, config = generator(), AugmentationConfig(patch=patch, zoom=(0.5, 2.0))
    starts = set()
    for _ in range(100):
        rows, columns, _ = random_window((40, 25), config, rng, centre)
        assert rows.start <= centre[0] < rows.stop
        assert columns.start <= centre[1] < columns.stop
        starts.add(rows.start)
    assert patch < 8 or centre[0] != 20 or len(starts) > 1, "not always in the very middle"


def test_windows_of_smaller_images_are_the_images() -> None:
    rows, columns, _ = random_window((3, 1), AugmentationConfig(patch=8), generator(), centre=(2, 0))
    assert (rows, columns) == (slice(0, 3), slice(0, 1))


# --- resize and pad -----------------------------------------------------------------------------------


def test_padding_mirrors_as_often_as_it_takes() -> None:
    row = np.array([[[1, 2, 3]]], dtype=np.uint8)
    np.testing.assert_array_equal(resize_window(row, 1.0, 8)[0], [[1, 2, 3, 3, 2, 1, 1, 2]] * 8)
    # the offset says where the content lies: 0 left, nearly 1 right
    np.testing.assert_array_equal(resize_window(row, 1.0, 4, (0, 0.99))[0, 0], [1, 1, 2, 3])
    np.testing.assert_array_equal(resize_window(row, 1.0, 5, (0, 0.5), fill=9)[0, 0], [9, 1, 2, 3, 9])


def test_padding_agrees_with_numpys_symmetric_mode() -> None:
    image = generator().integers(0, 2**16, (3, 5, 7), dtype=np.uint16)
    out = resize_window(image, 1.0, 16, (0.3, 0.8))
    top, left = int(0.3 * 12), int(0.8 * 10)
    expected = np.pad(image, ((0, 0), (top, 11 - top), (left, 9 - left)), mode="symmetric")
    np.testing.assert_array_equal(out, expected)


def test_shrinking_averages_images_and_picks_targets() -> None:
    image = np.array([[[0, 2, 10, 20], [4, 6, 30, 40]]], dtype=np.float32)
    np.testing.assert_array_equal(resize_window(image, 0.5, 2, fill=0)[0], [[3, 25], [0, 0]])
    classes = np.array([[[0, 0, 1, 1], [0, 0, 1, 1]]], dtype=np.uint8)
    picked = resize_window(classes, 0.5, 2, smoothly=False, fill=0)
    np.testing.assert_array_equal(picked[0], [[0, 1], [0, 0]])


def test_targets_get_no_new_values() -> None:
    labels = generator().choice([0, 7, 200], (1, 33, 21)).astype(np.uint8)
    for zoom in (0.25, 0.4, 1.7, 2.0):
        resized = resize_window(labels, zoom, 64, (0.2, 0.7), smoothly=False)
        assert set(np.unique(resized)) <= {0, 7, 200}


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 200), (64, 64)])
@pytest.mark.parametrize("zoom", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_shape_makes_a_patch(shape: tuple[int, int], zoom: float, channels: int) -> None:
    array = np.full((channels, *shape), 7, dtype=np.uint16)
    for smoothly in (True, False):
        out = resize_window(array, zoom, 32, (0.5, 0.5), smoothly=smoothly)
        assert (out.shape, out.dtype) == ((channels, 32, 32), np.uint16)
        assert (out == 7).all()


def test_every_zoom_makes_full_patches() -> None:
    """Window and resize agree for every side and zoom: a large image never needs padding."""
    for patch, zoom in itertools.product((7, 64, 100), np.linspace(0.25, 2, 29)):
        config = AugmentationConfig(patch=patch, zoom=(zoom, zoom))
        rows, columns, used = random_window((900, 900), config, generator())
        window = np.ones((1, rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
        assert resize_window(window, used, patch, fill=0).all(), (patch, zoom)


# --- intensities --------------------------------------------------------------------------------------


def test_contrast_is_monais() -> None:
    from monai.transforms import AdjustContrast

    image = picture((3, 16, 24))
    np.testing.assert_allclose(adjust_contrast(image, 1.7), AdjustContrast(1.7)(image).numpy(), atol=1e-5)


@pytest.mark.parametrize("middle", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_histogram_shift_is_monais(middle: float) -> None:
    from monai.transforms import RandHistogramShift

    image = picture((3, 16, 24))
    shift = RandHistogramShift(num_control_points=3, prob=1.0)
    shift.randomize()
    shift.floating_control_points = np.array([0, middle, 1])
    theirs = shift(image, randomize=False).numpy()
    np.testing.assert_allclose(shift_histogram(image, middle), theirs, atol=1e-5)


def test_smoothing_is_monais_away_from_the_border() -> None:
    from monai.transforms import GaussianSmooth

    image = picture((3, 40, 50))
    theirs = GaussianSmooth(1.5)(image).numpy()
    np.testing.assert_allclose(smooth(image, 1.5)[:, 8:-8, 8:-8], theirs[:, 8:-8, 8:-8], atol=2e-3)
    # at the border theirs takes in black; ours does not
    flat = np.full((3, 20, 20), 0.5, dtype=np.float32)
    np.testing.assert_allclose(smooth(flat, 1.5), 0.5, atol=1e-6)


def test_noise_has_its_standard_deviation_in_every_channel() -> None:
    image = np.full((3, 100, 100), 0.5, dtype=np.float32)
    noise = add_noise(image, 0.05, generator()) - image
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 0.05, rtol=0.05)
    assert abs(noise.mean()) < 0.002
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("value", [LOW, 0.5, HIGH])
def test_constant_images_survive_everything(value: float) -> None:
    flat = np.full((1, 4, 6), value, dtype=np.float32)
    for changed in (adjust_contrast(flat, 2.0), shift_histogram(flat, 0.9), smooth(flat, 1.0)):
        np.testing.assert_allclose(changed, flat, atol=1e-6)


# --- the chain ----------------------------------------------------------------------------------------


def cells(shape: tuple[int, int], channels: int = 1) -> dict[str, np.ndarray]:
    """An item whose image shows its own classes: squares of 40 pixels."""
    rows, columns = np.indices(shape)
    classes = ((rows // 40 + columns // 40) % 2)[None]
    image = np.repeat(classes, channels, axis=0).astype(np.float32) * (HIGH - LOW) + np.float32(LOW)
    return {"image": image, "classes": classes.astype(np.uint8), "distance": classes.astype(np.float32)}


def test_the_steps_can_be_printed_changed_and_reused() -> None:
    from monai.transforms import Compose, RandAxisFlipd

    chain = build_augmentation(AugmentationConfig(patch=32))
    assert isinstance(chain, Compose)
    lines = str(chain).splitlines()
    assert len(lines) == 2 + len(chain.transforms)
    assert lines[1].startswith(
        "    RandZoomWindowd(keys=('image', 'classes', 'distance'), config=Augmentation"
    )
    assert "RandIntensityd(keys=('image',), change=add_noise, low=0, high=0.1, prob=0.25)" in lines[4]
    chain.transforms = (*chain.transforms[:1], RandAxisFlipd(["image", "classes", "distance"], prob=1.0))
    one, two = (chain.set_random_state(seed=5)(cells((90, 70)))["image"] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_the_defaults_are_the_papers() -> None:
    config = AugmentationConfig()
    assert (config.patch, config.zoom, config.p_resize, config.around_cell) == (512, (0.25, 2.0), 1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 0}, "patch=0 must be a whole number above 0"),
        ({"zoom": (2.0, 0.25)}, r"zoom=\(2.0, 0.25\) must be two numbers, the smaller one first"),
        ({"zoom": (0.0, 1.0)}, "must be a list of 2, each a number above 0"),
        ({"zoom": (1.0,)}, "must be a list of 2, each a number above 0"),
        ({"p_intensity": 1.5}, "p_intensity=1.5 must be a number from 0 to 1"),
        ({"around_cell": -1}, "around_cell=-1 must be"),
        ({"padding": "zero"}, "padding='zero' must be one of mirror, black"),
        ({"zoom_spacing": "linear"}, "one of uniform, log"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**options)


@pytest.mark.parametrize("zoom", [0.25, 0.3, 0.77, 1.0, 1.31, 2.0])
def test_image_and_targets_stay_aligned(zoom: float) -> None:
    """What geometry does to image and targets must agree, but at the edges of cells."""
    config = AugmentationConfig(patch=64, zoom=(zoom, zoom), p_intensity=0)
    chain = build_augmentation(config)
    for seed in range(10):
        patch = chain.set_random_state(seed=seed)(cells((160, 200)))
        edges = 2 * (64 / (40 * zoom) + 1) * 2 / 64  # two rows or columns per edge may be blends
        agree = np.isclose((patch["image"] - LOW) / (HIGH - LOW), patch["classes"], atol=1e-3)
        assert agree.mean() > 1 - edges
        np.testing.assert_array_equal(patch["classes"], patch["distance"])


@pytest.mark.parametrize("shape", [(16, 20), (1, 1), (1, 90)])
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_keep_type_and_range_and_leave_the_input_alone(shape: tuple[int, int], channels: int) -> None:
    item = cells(shape, channels)
    before = {name: part.copy() for name, part in item.items()}
    chain = build_augmentation(AugmentationConfig(patch=16, p_intensity=0.5, padding="black"))
    for seed in range(20):
        out = chain.set_random_state(seed=seed)(item)
        assert (out["image"].shape, out["image"].dtype) == ((channels, 16, 16), np.float32)
        assert out["image"].min() >= np.float32(LOW)
        assert out["image"].max() <= np.float32(HIGH)
    for name, part in before.items():
        np.testing.assert_array_equal(item[name], part)


def test_a_seed_decides_the_patch_and_nothing_else() -> None:
    chain, other = (build_augmentation(AugmentationConfig(patch=16, p_intensity=1)) for _ in range(2))
    item = cells((90, 70))
    one = chain.set_random_state(seed=(3, 2**40))(item)["image"]
    assert not np.array_equal(chain(item)["image"], one), "the stream goes on"
    np.testing.assert_array_equal(other.set_random_state(seed=(3, 2**40))(item)["image"], one)
    assert not np.array_equal(chain.set_random_state(seed=(3, 1))(item)["image"], one)


def test_every_change_comes_with_its_probability() -> None:
    item = cells((8, 8)) | {"image": picture((1, 8, 8))}
    config = AugmentationConfig(patch=8, p_resize=0, p_geometry=0)
    chain = build_augmentation(config)
    patches = [chain.set_random_state(seed=seed)(item)["image"] for seed in range(1000)]
    unchanged = np.mean([np.array_equal(patch, item["image"]) for patch in patches])
    assert abs(unchanged - 0.75**4) < 0.05
