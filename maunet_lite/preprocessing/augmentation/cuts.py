"""The steps that cut patches and turn them, as MONAI dictionary transforms of planes (C, H, W)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from monai.transforms import Randomizable, RandomizableTransform

from maunet_lite.preprocessing.augmentation.config import AugmentationConfig
from maunet_lite.preprocessing.augmentation.windows import random_cell_pixel, random_window, resize_window
from maunet_lite.preprocessing.intensity import LOW
from maunet_lite.preprocessing.targets import TargetConfig, make_targets
from maunet_lite.preprocessing.transforms import Step


@dataclass(eq=False)
class RandZoomWindowd(Randomizable, Step):
    """Cut a random window and bring it to patch size: MONAI's zoom, pad and crop in one step.

    Only the pixels of the window are read, so that `data` may hold memory maps of slides. The first key is
    the image and smoothly resized; the others keep their values. ``"classes"`` shows where cells are.
    """

    config: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items as patches."""
        d, c = dict(data), self.config
        centre = random_cell_pixel(d["classes"][0], self.R) if self.R.random() < c.around_cell else None
        rows, columns, zoom = random_window(d[self.keys[0]].shape[1:], c, self.R, centre)
        windows = {key: np.asarray(d[key][:, rows, columns]) for key in self.key_iterator(d)}
        return d | self.fitted(windows, zoom)

    def fitted(self, windows: Mapping[str, np.ndarray], zoom: float) -> dict[str, np.ndarray]:
        """Return windows resized and padded to patches, all alike."""
        c, offset = self.config, (self.R.random(), self.R.random())
        black = c.padding == "black" or (c.padding == "either" and self.R.random() < 0.5)
        patches = {}
        for key, window in windows.items():
            image = key == self.keys[0]
            fill = (LOW if image and window.dtype.kind == "f" else 0) if black else None
            patches[key] = resize_window(window, zoom, c.patch, offset, smoothly=image, fill=fill)
        return patches


@dataclass(eq=False)
class RandCellSized(RandZoomWindowd):
    """Cut a random window, zoom it so that its cells get the size drawn for them, and make their targets.

    Takes ``"image"`` (C, H, W), ``"labels"`` (2, H, W), the low and high 16 bit of a label map, and
    ``"diameter"``, the median of the image's cells in pixels (NaN: unknown); ``"classes"`` (1, P, P) uint8
    and ``"distance"`` (1, P, P) float32 take the place of the latter two. As they are made after the zoom,
    boundaries stay one pixel thick at least, however small the cells become. Only the pixels of the window,
    and a cell's width around it, are read: cells that the window cuts have their true centres.
    """

    targets: TargetConfig = field(default_factory=TargetConfig)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items as patches."""
        d, c, t = dict(data), self.config, self.targets
        packed, diameter = d.pop("labels"), d.pop("diameter")
        centre = random_cell_pixel(packed[0], self.R) if self.R.random() < c.around_cell else None
        centre = centre or tuple(map(self.R.randint, packed.shape[1:]))
        rows, columns, zoom = random_window(packed.shape[1:], c, self.R, centre, diameter)
        side = max(rows.stop - rows.start, columns.stop - columns.start)
        margin = int(min(diameter, side)) if diameter > 0 else side // 4
        outer, inner = zip(*(_around(part, zoom, margin, c.patch) for part in (rows, columns)), strict=True)
        image, packed = (np.asarray(planes[(slice(None), *outer)]) for planes in (d["image"], packed))
        labels = packed[0] + (packed[1].astype(np.int32) << 16)
        size = [max(part.stop, round(n * zoom)) for part, n in zip(inner, labels.shape, strict=True)][::-1]
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        made = make_targets(labels, boundary=t.boundary, center=t.center, beta=t.beta, part=True)
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        image = np.stack([cv2.resize(plane, size, interpolation=way) for plane in image])
        parts = zip(self.keys, (image, made.classes[None], made.distance[None]), strict=True)
        return d | self.fitted({key: planes[(slice(None), *inner)] for key, planes in parts}, 1.0)


def _around(part: slice, zoom: float, margin: int, patch: int) -> tuple[slice, slice]:
    """Return a part of an axis with a margin, and where the part itself, the patch, lies in that, zoomed."""
    outer = slice(max(0, part.start - margin), part.stop + margin)  # beyond the end there is nothing
    first = round((part.start - outer.start) * zoom)
    return outer, slice(first, first + min(patch, max(1, round((part.stop - part.start) * zoom))))


@dataclass(eq=False)
class RandTurnd(RandomizableTransform, Step):
    """Flip square patches along each axis and turn them by multiples of 90°, each with probability `prob`."""

    prob: float = 0.5

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items, all turned alike."""
        d = dict(data)
        flips = [axis for axis in (1, 2) if self.R.random() < self.prob]
        turns = self.R.randint(1, 4) if self.R.random() < self.prob else 0
        for key in self.key_iterator(d):
            turned = np.rot90(d[key], turns, axes=(1, 2)) if turns else d[key]
            d[key] = np.ascontiguousarray(np.flip(turned, flips) if flips else turned)
        return d
