"""Intensities: the scaling is scikit-image's, limits are the kit's; pictures that look alike are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maunet_lite.data import simulate
from maunet_lite.preprocessing.intensity import HIGH, LOW, find_scaling, normalize, sample_of


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_scaling_is_linear_between_the_limits(dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 250, (40, 30, 3)).astype(dtype)
    out = normalize(image, "authors")
    for c in range(3):
        low, high = np.percentile(image[..., c][image[..., c] != 0].astype(float), (1, 99))
        part = (np.clip(image[..., c].astype(float), low, high) - low) / (high - low)
        np.testing.assert_allclose(out[..., c], LOW + (HIGH - LOW) * part, atol=1e-6)
    assert out.min() == np.float32(LOW)
    assert out.max() == np.float32(HIGH)


def test_many_strips_give_the_same_as_one() -> None:
    image = np.random.default_rng(0).normal(size=(3000, 500))  # 2**20 pixels a strip
    scaling = find_scaling(image[..., None])
    whole = np.vstack([normalize(part, scaling=scaling) for part in (image[:10], image[10:])])
    np.testing.assert_array_equal(normalize(image, scaling=scaling), whole)


def test_a_scaling_must_fit_the_channels() -> None:
    with pytest.raises(ValueError, match="more channels than the 1"):
        normalize(np.zeros((4, 5)), scaling=find_scaling(np.ones((4, 5, 3)), "authors"))


def test_large_images_are_scaled_by_a_sample() -> None:
    assert [part.step for part in sample_of((2048, 2048))] == [1, 1]
    assert [part.step for part in sample_of((2049, 2048))] == [2, 2]


# --- twins: what looks alike in a viewer comes out alike --------------------------------------------------


@pytest.fixture(scope="module")
def nuclei() -> np.ndarray:
    """Bright nuclei on a dark ground, 8 bit."""
    return simulate("fluorescence", (200, 260), rng=np.random.default_rng(3)).image


def one_colour(grey: np.ndarray, *channels: int) -> np.ndarray:
    """Show a grey picture in some of three colours."""
    image = np.zeros((*grey.shape, 3), grey.dtype)
    image[..., list(channels)] = grey[..., None]
    return image


@pytest.mark.parametrize("channels", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_one_colour_is_grey(nuclei: np.ndarray, channels: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(normalize(one_colour(nuclei, *channels)), normalize(nuclei))


def test_one_colour_as_jpeg_is_grey(nuclei: np.ndarray) -> None:
    stored = cv2.imencode(".jpg", one_colour(nuclei, 0), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    out = normalize(cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1])
    np.testing.assert_array_equal(out[..., 0], out[..., 2])
    assert np.corrcoef(out[..., 0].ravel(), normalize(nuclei)[..., 0].ravel())[0, 1] > 0.98


def test_a_ramp_of_colours_is_grey(nuclei: np.ndarray) -> None:
    green = np.zeros((256, 3), dtype=np.uint8)
    green[:, 1] = np.arange(256)
    np.testing.assert_array_equal(normalize(green[nuclei]), normalize(nuclei))


@pytest.mark.parametrize("ground", ["dark 8 bit", "camera", "constant"])
@pytest.mark.parametrize(("n", "place"), [(2, 1), (3, 2), (4, 3), (4, 1)])
def test_channels_without_signal_do_not_count(nuclei: np.ndarray, n: int, place: int, ground: str) -> None:
    rng = np.random.default_rng(0)
    empty = {
        "dark 8 bit": lambda: rng.integers(0, 12, nuclei.shape),
        "camera": lambda: rng.normal(500, 30, nuclei.shape).round(),
        "constant": lambda: np.full(nuclei.shape, 65_535),
    }[ground]
    planes = [empty() for _ in range(n)]
    planes[place] = 20 * nuclei.astype(int)
    image = np.stack(planes, axis=-1).astype(np.uint16)
    assert find_scaling(image).channels == (place,) * 3
    np.testing.assert_array_equal(normalize(image), normalize(image[..., place]))


def test_two_stains_stay_two(nuclei: np.ndarray) -> None:
    image = np.stack([nuclei, nuclei[::-1, ::-1]], axis=-1)
    assert find_scaling(image).channels == (0, 1, -1)
    np.testing.assert_array_equal(normalize(image)[..., 1], normalize(image[..., 1])[..., 0])


def test_a_dim_dye_of_a_camera_is_a_channel_of_its_own(nuclei: np.ndarray) -> None:
    dim = 100 + nuclei[::-1, ::-1].astype(np.uint16)  # a hundredth of the other, on the camera's offset
    image = np.stack([100 + 150 * nuclei.astype(np.uint16), dim], axis=-1)
    assert find_scaling(image).channels == (0, 1, -1)


def test_stained_tissue_keeps_its_colours() -> None:
    image = simulate("brightfield", (160, 160), variant="stained", rng=np.random.default_rng(0)).image
    assert image.shape[2:] == (3,)
    assert find_scaling(image) == find_scaling(image, "authors")


def test_four_channels_with_signal_are_not_dropped_silently(
    nuclei: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    turned = [np.roll(nuclei, 50 * k, axis=1) for k in range(4)]
    assert find_scaling(np.stack(turned, axis=-1)).channels == (0, 1, 2)
    assert "all 4 channels hold signal" in caplog.text


@pytest.mark.parametrize("noise", [2, 20])
@pytest.mark.parametrize("bright", [True, False])
def test_a_few_cells_on_a_large_field_are_scaled_like_cells(
    nuclei: np.ndarray, noise: float, bright: bool
) -> None:
    cells = 500.0 + 10 * nuclei
    field = np.full((1200, 1200), np.median(cells))
    field[300:500, 400:660] = cells
    field += noise * np.random.default_rng(0).standard_normal(field.shape)
    if not bright:
        field = 60_000 - field
    whole = normalize(field.round().astype(np.uint16))[300:500, 400:660, 0]
    part = normalize(field[300:500, 400:660].round().astype(np.uint16))[..., 0]
    assert np.abs(whole - part).mean() < 0.02
    assert (
        np.abs(normalize(field, "authors")[300:500, 400:660, 0] - part).mean() > 0.05
    )  # what percentiles do


def test_saturated_debris_does_not_count(nuclei: np.ndarray) -> None:
    dirty = (nuclei // 2).copy()
    for row, column in np.random.default_rng(0).integers(10, 190, (40, 2)):
        cv2.circle(dirty, (int(column), int(row)), 3, 255, -1)
    assert 0.01 < (dirty == 255).mean() < 0.04
    (low, high), expected = find_scaling(dirty[..., None]).limits[0], find_scaling(nuclei[..., None] // 2)
    np.testing.assert_allclose((low, high), expected.limits[0], rtol=0.1, atol=2)


def test_saturated_cells_stay_bright(nuclei: np.ndarray) -> None:
    exposed = np.clip(4 * nuclei.astype(int), 0, 255).astype(np.uint8)
    assert find_scaling(exposed[..., None]) == find_scaling(exposed[..., None], "authors")


def test_pure_noise_is_scaled_as_before() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (90, 120, 3)).astype(np.float32)
    assert find_scaling(noise) == find_scaling(noise, "authors")
