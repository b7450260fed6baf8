"""The steps of the augmentation as MONAI dictionary transforms, and the `Compose` that runs them.

`build_augmentation` returns them as one `Compose`, which can be printed, changed and put into any other
pipeline. Arrays have the channels first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTransform

from maunet_lite.preprocessing.augmentation.intensities import (
    AugmentationConfig,
    add_noise,
    adjust_contrast,
    random_cell_pixel,
    random_window,
    resize_window,
    shift_histogram,
    smooth,
)
from maunet_lite.preprocessing.intensity import HIGH, LOW
from maunet_lite.preprocessing.transforms import Step

STEPS = 65_535  # stored in 16 bit: images from LOW to HIGH, distances from 0 to 1


class Augmentation(Compose):
    """A `Compose` that prints its steps, and in which one stream of random numbers feeds all of them.

    MONAI's own gives each step a new generator whenever it is seeded, 0.1 ms a step: seeding before every
    draw would cost as much as the draw. This one takes 20 µs.
    """

    def set_random_state(
        self, seed: int | Sequence[int] | None = None, state: np.random.RandomState | None = None
    ) -> Augmentation:
        """Make the calls that follow repeat; `seed` is a number or several of any size, such as (seed, k)."""
        self.R = state or np.random.RandomState(np.random.PCG64(seed))  # noqa: NPY002  (MONAI works with it)
        for step in self.transforms:
            if isinstance(step, Randomizable):
                step.set_random_state(state=self.R)
        return self

    def __repr__(self) -> str:
        return "".join(["Augmentation([\n", *(f"    {step},\n" for step in self.transforms), "])"])


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
        around = self.R.random() < c.around_cell
        centre = random_cell_pixel(d["classes"][0], self.R) if around else None
        rows, columns, zoom = random_window(d[self.keys[0]].shape[1:], c, self.R, centre)
        offset = (self.R.random(), self.R.random())
        for key in self.key_iterator(d):
            window = np.asarray(d[key][:, rows, columns])
            image = key == self.keys[0]
            black = LOW if image and window.dtype.kind == "f" else 0
            fill = black if c.padding == "black" else None
            d[key] = resize_window(window, zoom, c.patch, offset, smoothly=image, fill=fill)
        return d


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


@dataclass(eq=False)
class UnpackCellsd(MapTransform):
    """Turn images and distances that are stored in 16 bit into float32; others stay as they are."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items with images in [0.01, 0.99] and distances in [0, 1]."""
        d = dict(data)
        for key, low, high in (("image", LOW, HIGH), ("distance", 0, 1)):
            if d[key].dtype == np.uint16:
                d[key] = d[key] * np.float32((high - low) / STEPS)
                d[key] += np.float32(low)
        return d


@dataclass(eq=False)
class RandIntensityd(RandomizableTransform, Step):
    """With probability `prob`, apply ``change(image, amount, rng)``, its amount uniform in [low, high]."""

    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    low: float
    high: float
    prob: float = 0.25

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items, perhaps changed."""
        self.randomize(None)
        if not self._do_transform:
            return data
        rng = np.random.default_rng(self.R.randint(2**32, size=4, dtype=np.uint32))
        amount = rng.uniform(self.low, self.high)
        return dict(data) | {key: self.change(data[key], amount, rng) for key in self.key_iterator(data)}

    def __repr__(self) -> str:
        values = vars(self) | {"change": self.change.__name__}
        shown = ("keys", "change", "low", "high", "prob")
        return f"RandIntensityd({', '.join(f'{name}={values[name]}' for name in shown)})"


@dataclass(eq=False)
class ClipIntensityd(Step):
    """Cut intensities off below `low` and above `high`."""

    low: float = LOW
    high: float = HIGH

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items with images in [low, high]."""
        return dict(data) | {k: np.clip(data[k], self.low, self.high) for k in self.key_iterator(data)}


def build_augmentation(config: AugmentationConfig | None = None) -> Augmentation:
    """Return the augmentation as a MONAI `Compose` of dictionary transforms.

    The steps are the published ones. Their bodies are NumPy and OpenCV, because MONAI's own cost more than a
    whole patch here: of a grey patch of 256 pixels (1.1 ms, all steps), flips and rotation take 2.0 ms, noise
    1.3 ms, smoothing 1.4 ms and the histogram shift 1.4 ms by MONAI's transforms of these names, zooming the
    image before the crop 30 ms (``python -m benchmarks.patches``).

    Parameters
    ----------
    config : AugmentationConfig, optional
        Sizes and probabilities; the paper's by default.

    Returns
    -------
    Augmentation
        A `Compose` that takes a dictionary with ``"image"`` (C, H, W), ``"classes"`` and ``"distance"``
        (1, H, W), float32 in [0.01, 0.99], 0 to 2 and [0, 1] (or uint16, as `PatchDataset` stores them), and
        returns arrays of the same ranges, ``config.patch`` pixels a side; other keys are left alone.

    Examples
    --------
    >>> augmentation = build_augmentation(AugmentationConfig(patch=64, zoom=(0.5, 1.5)))
    >>> for step in augmentation.transforms[3:5]:
    ...     print(step)
    RandIntensityd(keys=('image',), change=add_noise, low=0, high=0.1, prob=0.25)
    RandIntensityd(keys=('image',), change=adjust_contrast, low=1, high=2, prob=0.25)
    """
    c = config or AugmentationConfig()
    image, parts = ("image",), ("image", "classes", "distance")
    return Augmentation(
        [
            RandZoomWindowd(parts, c),
            RandTurnd(parts, c.p_geometry),
            UnpackCellsd(),
            RandIntensityd(image, add_noise, 0, 0.1, c.p_intensity),  # standard deviation
            RandIntensityd(image, adjust_contrast, 1, 2, c.p_intensity),  # exponent
            # Pixels; published: 1 to 2 along rows, 0.25 to 1.5 along columns.
            RandIntensityd(image, smooth, 0.5, 2, c.p_intensity),
            RandIntensityd(image, shift_histogram, 0, 1, c.p_intensity),  # place of the middle
            ClipIntensityd(image, LOW, HIGH),
        ]
    )
