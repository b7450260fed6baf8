"""Intensities: the scaling itself is scikit-image's, the limits are the kit's."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.preprocessing.intensity import HIGH, LOW, histogram_percentiles, normalize


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_scaling_is_linear_between_the_limits(dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 250, (40, 30, 3)).astype(dtype)
    out = normalize(image)
    for c in range(3):
        low, high = np.percentile(image[..., c][image[..., c] != 0].astype(float), (1, 99))
        part = (np.clip(image[..., c].astype(float), low, high) - low) / (high - low)
        np.testing.assert_allclose(out[..., c], LOW + (HIGH - LOW) * part, atol=1e-6)
    assert out.min() == np.float32(LOW)
    assert out.max() == np.float32(HIGH)


def test_many_strips_give_the_same_as_one() -> None:
    image = np.random.default_rng(0).normal(size=(3000, 500))  # 2**20 pixels a strip
    limits = [(-1.0, 2.0)]
    whole = np.vstack([normalize(part, limits=limits) for part in (image[:10], image[10:])])
    np.testing.assert_array_equal(normalize(image, limits=limits), whole)


def test_percentiles_of_a_histogram_are_numpys() -> None:
    values = np.random.default_rng(0).integers(0, 60, 500)
    expected = np.percentile(values[values > 0], (1, 99))
    np.testing.assert_allclose(histogram_percentiles(np.bincount(values)), expected)
