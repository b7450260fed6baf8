"""A slide that is read in pieces is scaled like the whole array, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.data import ImageError, open_slide
from maunet_lite.preprocessing import normalize
from maunet_lite.scale.slides.intensity import slide_scaling


def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    with_nan = rng.normal(size=(70, 90)).astype(np.float32)
    with_nan[3:9] = np.nan
    blue = np.zeros((90, 70, 3), dtype=np.uint8)
    blue[20:40, 20:40, 2] = rng.integers(100, 200, (20, 20))
    return {
        "colour": rng.integers(0, 60_000, (71, 90, 3)).astype(np.uint16),
        "float": rng.normal(size=(71, 90)).astype(np.float32),
        "huge": (1e30 * rng.normal(size=(71, 90))).astype(np.float32),
        "nan": with_nan,
        "black": np.zeros((50, 60), dtype=np.float32),
        "constant": np.full((50, 60), 3, dtype=np.uint16),
        "blue": blue,
        "four": np.concatenate([blue, blue[..., 2:] // 2], axis=2),
    }


@pytest.mark.parametrize("method", ["robust", "authors", "paper"])
@pytest.mark.parametrize("small", [True, False], ids=["sampled", "all"])
@pytest.mark.parametrize("name", images())
def test_pieces_are_scaled_like_the_whole(
    name: str, small: bool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images()[name]
    slide = open_slide(image)
    monkeypatch.setattr(slide, "tiles", lambda: _tiles(image.shape, 17, 23))
    if small:
        monkeypatch.setattr("maunet_lite.preprocessing.intensity.SAMPLE", 500)
    scaling = slide_scaling(slide, method)
    np.testing.assert_array_equal(normalize(image, scaling=scaling), normalize(image, method))


def _tiles(shape: tuple[int, ...], height: int, width: int) -> list[tuple[slice, slice]]:
    return [
        (slice(top, min(top + height, shape[0])), slice(left, min(left + width, shape[1])))
        for top in range(0, shape[0], height)
        for left in range(0, shape[1], width)
    ]


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ImageError, match="infinite"):
        slide_scaling(open_slide(np.array([[np.inf, 1.0]], dtype=np.float32)))
