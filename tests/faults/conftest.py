"""What the tests of faults share: images with squares as cells, and a rule in place of a network."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from maunet_lite.inference import Size, Sized
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.scale.batch import one_image


def squares(count: int) -> np.ndarray:
    """An image (60, 100) with so many bright squares."""
    image = np.full((60, 100), 20, np.uint8)
    for k in range(count):
        image[10:22, 5 + 15 * k : 17 + 15 * k] = 200
    return image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with 1.png … 3.png, of as many cells."""
    folder = tmp_path / "images"
    folder.mkdir()
    for count in (1, 2, 3):
        imageio.imwrite(folder / f"{count}.png", squares(count))
    return folder


@pytest.fixture
def bright_cells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is bright is a cell; returns how many pixels were asked for, image by image."""
    asked: list[int] = []

    def predict(models, image, *options, **further):
        asked.append(image.size)
        bright = image.reshape(*image.shape[:2], -1)[..., 0] > 100
        maps = Maps(np.stack([~bright, bright, np.zeros_like(bright)]).astype(np.float32), None)
        return Sized(maps, Size())

    monkeypatch.setattr(one_image, "predict_sized", predict)
    return asked
