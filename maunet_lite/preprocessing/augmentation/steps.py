"""The steps of the augmentation as MONAI dictionary transforms, and the `Compose` that runs them.

`build_augmentation` returns them as one `Compose`, which can be printed, changed and put into any other
pipeline. Arrays have the channels first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTransform

from maunet_lite.preprocessing.augmentation import domains, intensities
from maunet_lite.preprocessing.augmentation.config import AugmentationConfig
from maunet_lite.preprocessing.augmentation.cuts import RandCellSized, RandTurnd, RandZoomWindowd
from maunet_lite.preprocessing.intensity import HIGH, LOW
from maunet_lite.preprocessing.targets import TargetConfig
from maunet_lite.preprocessing.transforms import Step

STEPS = 65_535  # stored in 16 bit: images from LOW to HIGH, distances from 0 to 1


class Augmentation(Compose):
    """A `Compose` that prints its steps, and in which one stream of random numbers feeds all of them.

    MONAI's own gives each step a new generator whenever it is seeded, 0.1 ms a step: seeding before every
    draw would cost as much as the draw. This one takes 20 µs.
    """

    def set_random_state(self, seed: int | Sequence[int] | None = None, state: Any = None) -> "Augmentation":
        """Make the calls that follow repeat; `seed` is a number or several of any size, such as (seed, k)."""
        self.R = state or np.random.RandomState(np.random.PCG64(seed))  # noqa: NPY002  (MONAI works with it)
        for step in self.transforms:
            if isinstance(step, Randomizable):
                step.set_random_state(state=self.R)
        return self

    def __repr__(self) -> str:
        return "".join(["Augmentation([\n", *(f"    {step},\n" for step in self.transforms), "])"])


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


@dataclass(eq=False, repr=False)
class RandIntensityd(RandomizableTransform, Step):
    """With probability `prob`, apply ``change(image, amount, rng)``, its amount uniform in [low, high].

    Without `low` and `high`, apply ``change(image, rng)``.
    """

    change: Callable[..., np.ndarray]
    low: float | None = None
    high: float | None = None
    prob: float = 0.25

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items, perhaps changed."""
        self.randomize(None)
        if not self._do_transform:
            return data
        rng = np.random.default_rng(self.R.randint(2**32, size=4, dtype=np.uint32))
        amount = () if self.low is None else (rng.uniform(self.low, self.high),)
        return dict(data) | self.changed(data, (*amount, rng))

    def changed(self, data: Mapping[str, Any], how: tuple) -> dict[str, Any]:
        """Return the items that change; `how` are the function's arguments beside the image."""
        return {key: self.change(data[key], *how) for key in self.key_iterator(data)}

    def __repr__(self) -> str:
        values = vars(self) | {"change": self.change.__name__}
        names = ("keys", "change", "low", "high", "prob")
        shown = ", ".join(f"{name}={values[name]}" for name in names if values[name] is not None)
        return f"{type(self).__name__}({shown})"


class RandSparsed(RandIntensityd):
    """With probability `prob`, empty the surroundings of a rectangle: `change` is `domains.isolate`.

    The first key is the image; the others, its targets, become 0 where nothing is left.
    """

    def changed(self, data: Mapping[str, Any], how: tuple) -> dict[str, Any]:
        """Return image and targets."""
        image, inside = self.change(data[self.keys[0]], *how)
        targets = {key: data[key] * inside.astype(data[key].dtype) for key in self.keys[1:]}
        return {self.keys[0]: image} | targets


class ClipIntensityd(Step):
    """Cut intensities off below 0.01 and above 0.99, as `normalize` does."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items with images in [0.01, 0.99]."""
        return dict(data) | {key: np.clip(data[key], LOW, HIGH) for key in self.key_iterator(data)}


def build_augmentation(
    config: AugmentationConfig | None = None, targets: TargetConfig | None = None
) -> Augmentation:
    """Return the augmentation as a MONAI `Compose` of dictionary transforms.

    By default the steps are the published ones; `AugmentationConfig` adds others. Their bodies are NumPy and
    OpenCV, because MONAI's own cost more than a whole patch here: of a grey patch of 256 pixels (1.1 ms, all
    published steps), flips and rotation take 2.0 ms, noise 1.3 ms, smoothing 1.4 ms and the histogram shift
    1.4 ms by MONAI's transforms of these names, zooming the image before the crop 30 ms
    (``python -m benchmarks.patches``).

    Parameters
    ----------
    config : AugmentationConfig, optional
        Sizes and probabilities; the paper's by default. What has probability 0 is no step.
    targets : TargetConfig, optional
        What the targets of resized label maps are like (``config.sizes`` only).

    Returns
    -------
    Augmentation
        A `Compose` that takes a dictionary with ``"image"`` (C, H, W) float32 in [0.01, 0.99] (or uint16, as
        `PatchDataset` stores it), and ``"classes"`` and ``"distance"`` (1, H, W), 0 to 2 and [0, 1], or, with
        ``config.sizes``, what `RandCellSized` takes. It returns image, classes and distance of these ranges,
        ``config.patch`` pixels a side; other keys are left alone.

    Examples
    --------
    >>> augmentation = build_augmentation(AugmentationConfig(patch=64, zoom=(0.5, 1.5), p_polarity=0.1))
    >>> for step in augmentation.transforms[3:5] + augmentation.transforms[-1:]:
    ...     print(step)
    RandIntensityd(keys=('image',), change=add_noise, low=0, high=0.1, prob=0.25)
    RandIntensityd(keys=('image',), change=adjust_contrast, low=1, high=2, prob=0.25)
    RandIntensityd(keys=('image',), change=invert, prob=0.1)
    """
    c = config or AugmentationConfig()
    image, parts = ("image",), ("image", "classes", "distance")
    window = RandCellSized(parts, c, targets or TargetConfig()) if c.sizes else RandZoomWindowd(parts, c)
    steps = [
        RandTurnd(parts, c.p_geometry),
        UnpackCellsd(),
        RandIntensityd(image, intensities.add_noise, 0, 0.1, c.p_intensity),  # standard deviation
        RandIntensityd(image, intensities.adjust_contrast, 1, 2, c.p_intensity),  # exponent
        # Pixels; published: 1 to 2 along rows, 0.25 to 1.5 along columns.
        RandIntensityd(image, intensities.smooth, 0.5, 2, c.p_intensity),
        RandIntensityd(image, intensities.shift_histogram, 0, 1, c.p_intensity),  # place of the middle
        ClipIntensityd(image),
        RandIntensityd(image, domains.recolour, prob=c.p_colour),
        RandIntensityd(image, domains.invert, prob=c.p_polarity),
        RandIntensityd(image, domains.add_debris, prob=c.p_debris),
        RandIntensityd(image, domains.relight, prob=c.p_light),
        RandSparsed(parts, domains.isolate, prob=c.p_sparse),
        RandIntensityd(image, domains.refocus, prob=c.p_focus),
        RandIntensityd(image, domains.add_grain, prob=c.p_noise),
    ]
    return Augmentation([window, *(step for step in steps if getattr(step, "prob", 1) > 0)])
