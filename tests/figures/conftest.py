"""The image and the label map that tests of figures draw."""

import numpy as np
import pytest


@pytest.fixture
def cells():
    """Truth with four cells on a non-square map, and an image of them."""
    labels = np.zeros((40, 64), dtype=np.int32)
    labels[4:14, 4:16], labels[4:14, 16:30] = 1, 70_000  # touching, one large id
    labels[20:36, 8:24], labels[20:36, 40:56] = 3, 9
    image = (60 + 120 * (labels > 0) + np.random.default_rng(0).integers(0, 20, labels.shape)).astype(
        np.uint8
    )
    return image, labels
