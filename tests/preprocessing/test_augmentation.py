"""Augmentation: geometry keeps images and targets aligned, intensities do what MONAI's transforms do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maunet_lite.preprocessing.augmentation import (
    AugmentationConfig,
    add_noise,
    adjust_contrast,
    random_flips,
    random_intensity,
    random_window,
    random_zoom,
    resize_window,
    shift_histogram,
    smooth,
)
from maunet_lite.preprocessing.intensity import HIGH, LOW


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A smooth float image in the range of intensities."""
    coarse = generator(seed).uniform(LOW, HIGH, shape).astype(np.float32)
    return smooth(coarse if coarse.ndim == 3 else coarse[..., None], 2.0).reshape(shape)


# --- zoom and window ----------------------------------------------------------------------------------


def test_zoom_covers_the_papers_range_evenly() -> None:
    rng = generator()
    zooms = np.array([random_zoom(AugmentationConfig(), rng) for _ in range(4000)])
    assert zooms.min() >= 0.25
    assert zooms.max() <= 2
    # uniform from 0.25 to 2: as many images in every seventh of the range
    counts, _ = np.histogram(zooms, bins=7, range=(0.25, 2))
    assert np.abs(counts - 4000 / 7).max() < 5 * np.sqrt(4000 / 7)


def test_log_spacing_halves_as_often_as_it_doubles() -> None:
    rng, config = generator(), AugmentationConfig(zoom=(0.5, 2.0), zoom_spacing="log")
    zooms = np.array([random_zoom(config, rng) for _ in range(2000)])
    assert abs((zooms < 1).mean() - 0.5) < 0.05
    assert abs(np.log2(zooms).mean()) < 0.05


def test_probability_of_a_resize() -> None:
    rng = generator()
    kept = np.mean([random_zoom(AugmentationConfig(p_resize=0.3), rng) == 1 for _ in range(2000)])
    assert abs(kept - 0.7) < 0.05
    assert random_zoom(AugmentationConfig(p_resize=0), rng) == 1


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
    row = np.array([[1, 2, 3]], dtype=np.uint8)
    np.testing.assert_array_equal(resize_window(row, 1.0, 8, (0, 0)), [[1, 2, 3, 3, 2, 1, 1, 2]] * 8)
    # the offset says where the content lies: 0 left, nearly 1 right
    np.testing.assert_array_equal(resize_window(row, 1.0, 4, (0, 0.99))[0], [1, 1, 2, 3])
    np.testing.assert_array_equal(resize_window(row, 1.0, 5, (0, 0.5), fill=9)[0], [9, 1, 2, 3, 9])


def test_padding_agrees_with_numpys_symmetric_mode() -> None:
    image = generator().integers(0, 2**16, (5, 7, 3), dtype=np.uint16)
    out = resize_window(image, 1.0, 16, (0.3, 0.8))
    top, left = int(0.3 * 12), int(0.8 * 10)
    expected = np.pad(image, ((top, 11 - top), (left, 9 - left), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(out, expected)


def test_shrinking_averages_images_and_picks_targets() -> None:
    image = np.array([[0, 2, 10, 20], [4, 6, 30, 40]], dtype=np.float32)
    patch = resize_window(image[..., None], 0.5, 2, (0, 0), fill=0)
    np.testing.assert_array_equal(patch[..., 0], [[3, 25], [0, 0]])
    classes = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(resize_window(classes, 0.5, 2, (0, 0), fill=0), [[0, 1], [0, 0]])


def test_targets_get_no_new_values() -> None:
    labels = generator().choice([0, 7, 200], (33, 21)).astype(np.uint8)
    for zoom in (0.25, 0.4, 1.7, 2.0):
        assert set(np.unique(resize_window(labels, zoom, 64, (0.2, 0.7)))) <= {0, 7, 200}


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 200), (64, 64)])
@pytest.mark.parametrize("zoom", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_any_shape_makes_a_patch(shape: tuple[int, int], zoom: float, channels: int | None) -> None:
    array = np.full(shape if channels is None else (*shape, channels), 7, dtype=np.uint16)
    out = resize_window(array, zoom, 32, (0.5, 0.5))
    assert out.shape == ((32, 32) if channels is None else (32, 32, channels))
    assert out.dtype == np.uint16
    assert (out == 7).all()


@pytest.mark.parametrize("zoom", [0.25, 0.3, 0.77, 1.0, 1.31, 2.0])
def test_image_and_targets_stay_aligned(zoom: float) -> None:
    """The image shows its own labels: what geometry does to both must agree, but at the edges of cells."""
    rows, columns = np.mgrid[:160, :200]
    labels = ((rows // 40) * 5 + columns // 40 + 1).astype(
        np.uint8
    )  # squares of 40 pixels, each another value
    rng, config = generator(), AugmentationConfig(patch=64, zoom=(zoom, zoom))
    for _ in range(10):
        window_rows, window_columns, _ = random_window(labels.shape, config, rng)
        offset = (rng.random(), rng.random())
        window = labels[window_rows, window_columns]
        image = resize_window(window[..., None].astype(np.float32), zoom, 64, offset)
        target = resize_window(window, zoom, 64, offset)
        image, target = random_flips([image, target], rng)
        # two rows or columns per edge may be blends
        edges = 2 * (64 / (40 * zoom) + 1) * 2 / 64
        assert np.isclose(image[..., 0], target, atol=1e-3).mean() > 1 - edges


def test_flips_reach_all_eight_positions_and_turn_all_arrays_alike() -> None:
    square = np.array([[1, 2], [3, 4]])
    rng, seen = generator(), set()
    for _ in range(200):
        one, two = random_flips([square, 10 * square], rng, 0.5)
        np.testing.assert_array_equal(10 * one, two)
        assert one.flags.c_contiguous
        seen.add(one.tobytes())
    assert len(seen) == 8
    np.testing.assert_array_equal(random_flips([square], rng, 0)[0], square)


def test_flips_keep_channels() -> None:
    image = picture((6, 6, 3))
    (out,) = random_flips([image], generator(3), 1.0)
    assert sorted(map(tuple, out.reshape(-1, 3))) == sorted(map(tuple, image.reshape(-1, 3)))


# --- intensities --------------------------------------------------------------------------------------


def test_contrast_is_monais() -> None:
    from monai.transforms import AdjustContrast

    image = picture((16, 24, 3))
    theirs = AdjustContrast(1.7)(image.transpose(2, 0, 1)).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(adjust_contrast(image, 1.7), theirs, atol=1e-5)


@pytest.mark.parametrize("middle", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_histogram_shift_is_monais(middle: float) -> None:
    from monai.transforms import RandHistogramShift

    image = picture((16, 24, 3))
    shift = RandHistogramShift(num_control_points=3, prob=1.0)
    shift.randomize()
    shift.floating_control_points = np.array([0, middle, 1])
    theirs = shift(image.transpose(2, 0, 1), randomize=False).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(shift_histogram(image, middle), theirs, atol=1e-5)


def test_smoothing_is_monais_away_from_the_border() -> None:
    from monai.transforms import GaussianSmooth

    image = picture((40, 50, 3))
    theirs = GaussianSmooth(1.5)(image.transpose(2, 0, 1)).numpy().transpose(1, 2, 0)
    ours = smooth(image, 1.5)
    np.testing.assert_allclose(ours[8:-8, 8:-8], theirs[8:-8, 8:-8], atol=2e-3)
    # at the border theirs takes in black; ours does not
    flat = np.full((20, 20, 3), 0.5, dtype=np.float32)
    np.testing.assert_allclose(smooth(flat, 1.5), 0.5, atol=1e-6)


def test_noise_has_its_standard_deviation_in_every_channel() -> None:
    image = np.full((100, 100, 3), 0.5, dtype=np.float32)
    noise = add_noise(image, 0.05, generator()) - image
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 0.05, rtol=0.05)
    assert abs(noise.mean()) < 0.002
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("value", [LOW, 0.5, HIGH])
def test_constant_images_survive_everything(value: float) -> None:
    flat = np.full((4, 6, 1), value, dtype=np.float32)
    for changed in (adjust_contrast(flat, 2.0), shift_histogram(flat, 0.9), smooth(flat, 1.0)):
        np.testing.assert_allclose(changed, flat, atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 20, 3), (16, 20, 1), (1, 1, 1), (1, 30, 3)])
def test_intensities_keep_shape_type_and_range(shape: tuple[int, ...]) -> None:
    image = generator().uniform(LOW, HIGH, shape).astype(np.float32)
    before = image.copy()
    for seed in range(20):
        out = random_intensity(image, generator(seed), p=0.5)
        assert out.shape == shape
        assert out.dtype == np.float32
        assert out.min() >= np.float32(LOW)
        assert out.max() <= np.float32(HIGH)
    np.testing.assert_array_equal(image, before, err_msg="the input is left alone")
    np.testing.assert_array_equal(random_intensity(image, generator(), p=0), image)


def test_every_change_comes_with_its_probability() -> None:
    image = picture((8, 8, 1))
    unchanged = np.mean(
        [np.array_equal(random_intensity(image, generator(s), 0.25), image) for s in range(1000)]
    )
    assert abs(unchanged - 0.75**4) < 0.05


def test_same_generator_same_patch() -> None:
    image = picture((8, 8, 3))
    one, two, other = (random_intensity(image, generator(seed), 1.0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


# --- configuration ------------------------------------------------------------------------------------


def test_the_defaults_are_the_papers() -> None:
    config = AugmentationConfig()
    assert (config.patch, config.zoom, config.p_resize, config.around_cell) == (512, (0.25, 2.0), 1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 0}, "patch is 0"),
        ({"zoom": (2.0, 0.25)}, r"zoom is \(2.0, 0.25\); expected two positive numbers"),
        ({"zoom": (0.0, 1.0)}, "two positive numbers"),
        ({"zoom": (1.0,)}, "two positive numbers"),
        ({"p_intensity": 1.5}, "p_intensity is 1.5; expected a probability"),
        ({"around_cell": -1}, "around_cell is -1"),
        ({"padding": "zero"}, "padding is 'zero'; choose one of mirror, black"),
        ({"zoom_spacing": "linear"}, "choose one of uniform, log"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**options)


def test_every_zoom_makes_full_patches() -> None:
    """Window and resize agree for every side and zoom: a large image never needs padding."""
    for patch, zoom in itertools.product((7, 64, 100), np.linspace(0.25, 2, 29)):
        rows, columns, used = random_window(
            (900, 900), AugmentationConfig(patch=patch, zoom=(zoom, zoom)), generator()
        )
        window = np.ones((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
        assert resize_window(window, used, patch, (0, 0), fill=0).all(), (patch, zoom)
