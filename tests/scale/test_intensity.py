from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.data.checks import ImageError
from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.scale.slides.intensity import Limits, limits_of_pieces


def limits_by_pieces(image: np.ndarray, rows: int = 7) -> Limits:
    pieces = [image[top : top + rows] for top in range(0, len(image), rows)]
    return limits_of_pieces(lambda: pieces, image.dtype, 1 if image.ndim == 2 else image.shape[2])


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    black_frame = rng.integers(1, 255, (31, 40), dtype=np.uint8)
    black_frame[:, :25] = 0
    with_nan = rng.normal(size=(20, 30)).astype(np.float32)
    with_nan[3:9] = np.nan
    return [
        black_frame,
        rng.integers(0, 60_000, (31, 40, 3)).astype(np.uint16),
        rng.normal(size=(31, 40)).astype(np.float32),  # negative numbers, too
        (1e30 * rng.normal(size=(31, 40))).astype(np.float32),
        np.round(rng.gamma(1, 3, (31, 40, 2))).astype(np.float32),  # many equal values, zeros among them
        with_nan,
        np.zeros((5, 6), dtype=np.float32),
        np.zeros((5, 6), dtype=np.uint8),
        np.full((5, 6), 3, dtype=np.float32),
        np.full((5, 6), 3, dtype=np.uint16),
        np.array([[0, 9]], dtype=np.uint8),  # one value that is not 0: minimum to maximum
    ]


@pytest.mark.parametrize("number", range(len(images())))
def test_pieces_are_scaled_like_the_whole(number: int) -> None:
    image = images()[number]
    np.testing.assert_array_equal(normalize(image, limits=limits_by_pieces(image)), normalize(image))


def test_two_passes_find_exact_percentiles_of_floats() -> None:
    values = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    ((low, high),) = limits_by_pieces(values)
    np.testing.assert_allclose((low, high), np.percentile(values.astype(float), (1, 99)), rtol=1e-14)


def test_what_cannot_be_counted() -> None:
    with pytest.raises(ImageError, match="float64"):
        limits_by_pieces(np.ones((2, 2)))
    with pytest.raises(ImageError, match="infinite"):
        limits_by_pieces(np.array([[np.inf]], dtype=np.float32))


def test_limits_must_fit_the_channels() -> None:
    with pytest.raises(ValueError, match="2 channels"):
        normalize(np.zeros((4, 5, 3), dtype=np.uint8), limits=[(0, 1), (0, 1)])
