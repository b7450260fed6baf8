"""Training patches for images that nobody has seen yet: any size, any light, any colour, dust and noise.

The paper's augmentation (section 3.2.2) varies what the training images show. Users' images differ by more:
cells ten times larger, dark cells in bright walls, one colour of three, a few cells on an empty slide. Here
stand dictionary transforms in the manner of MONAI, one for each such difference, each with a probability
``prob`` of its own, so that a table can tell what each one brings. :func:`wild_transforms` puts them into a
``Compose`` that may be printed, shortened and reused.

Inside they are NumPy and OpenCV on (H, W, C) arrays: a patch costs milliseconds where a training step costs a
second. All randomness comes from MONAI's ``set_random_state``; :class:`WildPatches` sets it from the seed and
the number of the draw alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
from monai.transforms import Compose, MapTransform, RandomizableTransform

from maunet_lite.augmentation import random_flips, resize_window, shift_histogram, smooth
from maunet_lite.intensity import HIGH, LOW
from maunet_lite.preprocessing import make_targets
from maunet_lite.simulation.fields import illumination, smooth_noise, specks

Data = dict[Hashable, Any]
SIZES = (10.0, 72.0)  # pixels: diameters that the network gets to see, wider than what `size` leaves to it
ZOOMS = (0.12, 4.0)  # beyond, nothing is left of an image, or nothing new comes in


class _RandomTransformd(RandomizableTransform, MapTransform):
    """What the transforms share: a probability, and a NumPy generator that follows MONAI's random state."""

    def __init__(self, prob: float) -> None:
        MapTransform.__init__(self, ["image"])
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Return `data` with some of its arrays replaced; they are never written to."""
        self.randomize(None)
        rng = np.random.default_rng(self.R.randint(2**32, dtype=np.uint64))
        return self.change(dict(data), rng) if self._do_transform else dict(data)

    def __repr__(self) -> str:
        shown = {"prob": self.prob} | {
            k: v for k, v in vars(self).items() if isinstance(v, (int, float, tuple))
        }
        shown = {k: v for k, v in shown.items() if k not in ("keys", "allow_missing_keys") and k[0] != "_"}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"

    def change(self, data: Data, rng: np.random.Generator) -> Data:
        """Change `data`; called with probability ``prob``."""
        data["image"] = self.changed(data["image"], rng)
        return data

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return another image (H, W, C) float32, about 0 to 1."""
        raise NotImplementedError


class RandomSizedWindowd(_RandomTransformd):
    """Cut a window and zoom it so that its cells measure what was drawn for them; make the targets of it.

    Takes ``image`` (H, W, C) float32, ``labels`` (H, W) integer and ``diameter``, the median of the cells
    in pixels (NaN: unknown, the zoom is then drawn around 1). Puts ``image`` (patch, patch, C), ``classes``
    uint8 and ``distance`` float32 (patch, patch) in their place. Targets are made after the zoom:
    boundaries stay one pixel thick at least, however small the cells become.

    Parameters
    ----------
    patch : int
        Side of the result.
    prob : float
        Probability of another size; else cells keep theirs to within a fifth.
    sizes : (low, high)
        Diameters in pixels after the zoom; each doubling is equally likely.
    around_cell : float
        Probability that a random cell lies near the middle.
    """

    def __init__(
        self,
        patch: int = 256,
        prob: float = 0.7,
        sizes: tuple[float, float] = SIZES,
        around_cell: float = 0.6,
    ) -> None:
        super().__init__(prob)
        self.patch, self.sizes, self.around_cell = patch, sizes, around_cell

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Cut a window of the size drawn, or of about the image's own."""
        self.randomize(None)
        rng = np.random.default_rng(self.R.randint(2**32, dtype=np.uint64))
        zoom = float(np.exp(rng.uniform(-0.2, 0.2)))
        if self._do_transform:
            diameter = data["diameter"] if data["diameter"] > 0 else math.sqrt(math.prod(self.sizes))
            zoom = float(np.exp(rng.uniform(*np.log(self.sizes)))) / diameter
        return self._window(dict(data), float(np.clip(zoom, *ZOOMS)), rng)

    def _window(self, data: Data, zoom: float, rng: np.random.Generator) -> Data:
        image, labels = data["image"], data.pop("labels")
        side = math.ceil(self.patch / zoom - 1e-9)
        margin = int(min(data["diameter"], side)) if data["diameter"] > 0 else side // 4
        outer, inner = [], []  # with the margin, cells that the window cuts have their true centres
        for size, centre in zip(labels.shape, self._centre(labels, rng), strict=True):
            shift = int(rng.integers(-(side // 3), side // 3 + 1))
            start = int(np.clip(centre + shift - side // 2, 0, max(0, size - side)))
            stop = min(start + side, size)
            outer.append(slice(max(0, start - margin), min(size, stop + margin)))
            first, length = round((start - outer[-1].start) * zoom), max(1, round((stop - start) * zoom))
            inner.append(slice(first, first + min(length, self.patch)))
        image, labels = np.array(image[tuple(outer)], np.float32), labels[tuple(outer)].astype(np.int32)
        shape = [max(part.stop, round(n * zoom)) for part, n in zip(inner, labels.shape, strict=True)][::-1]
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, shape, interpolation=way).reshape(*shape[::-1], -1)
        targets = make_targets(cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST_EXACT))
        arrays = [array[tuple(inner)] for array in (image, targets.classes, targets.distance)]
        black, offset = rng.random() < 0.5, (float(rng.random()), float(rng.random()))
        fills = [LOW, 0, 0] if black else [None, None, None]  # a black slide, or mirrored as in inference
        arrays = [
            resize_window(array, 1.0, self.patch, offset, fill)
            for array, fill in zip(arrays, fills, strict=True)
        ]
        return data | dict(zip(("image", "classes", "distance"), random_flips(arrays, rng), strict=True))

    def _centre(self, labels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        height, width = labels.shape
        if rng.random() < self.around_cell:
            rows, columns = rng.integers(0, height, 1024), rng.integers(0, width, 1024)
            hits = np.flatnonzero(labels[rows, columns])
            if hits.size:
                return int(rows[hits[0]]), int(columns[hits[0]])
        return int(rng.integers(height)), int(rng.integers(width))


class RandomPolarityd(_RandomTransformd):
    """Turn dark into bright: absorbing and shining cells, dark cells in bright walls."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return 1 - image."""
        return np.float32(LOW + HIGH) - image


class RandomColourd(_RandomTransformd):
    """Show the same cells in other colours: grey, one colour of three, tinted, channels exchanged."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image of three channels, or of one."""
        coloured = image.shape[2] == 3
        kind = rng.choice(["grey", "permuted", "tinted"] if coloured else ["one", "two", "tinted"])
        if kind == "grey":
            return image @ rng.dirichlet(np.ones(3)).astype(np.float32)[:, None]
        if kind == "permuted":
            return np.ascontiguousarray(image[..., rng.permutation(3)])
        if kind == "tinted":
            exponents = np.exp(rng.uniform(-0.5, 0.5, 3)).astype(np.float32)
            return np.clip(image, LOW, HIGH) ** exponents
        empty = np.full((*image.shape[:2], 1), LOW, np.float32)
        if rng.random() < 0.3:  # scaled by itself, the noise of an empty channel fills the whole range
            empty = rng.uniform(LOW, rng.uniform(0.1, 0.9), empty.shape).astype(np.float32)
        planes = [image, empty, empty if kind == "one" else image]
        return np.concatenate([planes[i] for i in rng.permutation(3)], axis=2)


class RandomLightd(_RandomTransformd):
    """Expose anew: gamma to either side, shifted histogram, weak contrast, saturation, uneven light."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image in another light."""
        if rng.random() < 0.6:
            image = np.clip(image, 0, 1) ** np.float32(np.exp(rng.uniform(-0.9, 0.9)))
        if rng.random() < 0.3:
            image = shift_histogram(image, rng.uniform(0.1, 0.9))
        if rng.random() < 0.4:
            low, high = rng.uniform(-0.3, 0.4), rng.uniform(0.6, 1.5)
            image = image * np.float32(high - low) + np.float32(low)
        if rng.random() < 0.4:
            light = illumination(image.shape[:2], rng, rng.uniform(0.1, 0.7))[..., None]
            image = image * light if rng.random() < 0.6 else image + np.float32(0.5) * (light - 1)
        return np.clip(image, LOW, HIGH)


class RandomDebrisd(_RandomTransformd):
    """Strew what is no cell over the image: specks and drops, bright or dark, sharp or out of focus."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image with debris; the strongest specks saturate."""
        largest = rng.choice([2.0, 4.0, 12.0])
        dirt = specks(image.shape[:2], rng, n=60 / largest, radius=(0.7, largest))[..., None]
        if rng.random() < 0.5:
            dirt = smooth(dirt, rng.uniform(0.7, largest / 2 + 0.5))
        return np.clip(image + np.float32(rng.choice([-1, 1]) * rng.uniform(0.2, 1.5)) * dirt, LOW, HIGH)


class RandomSparsed(_RandomTransformd):
    """Leave only a part of the patch and put noise around it, as where few cells lie on an empty field.

    The percentiles of such an image lie in the noise: cells saturate, and the noise is stretched with them.
    """

    def change(self, data: Data, rng: np.random.Generator) -> Data:
        """Empty the surroundings of a rectangle, in the image and in both targets."""
        image = data["image"]
        sides = [int(n * rng.uniform(0.3, 0.8)) for n in image.shape[:2]]
        starts = [int(rng.integers(0, n - side + 1)) for n, side in zip(image.shape[:2], sides, strict=True)]
        inside = np.zeros(image.shape[:2], dtype=bool)
        inside[tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))] = True
        ground = float(np.quantile(image, 0.9 if np.median(image) > 0.5 else 0.1))  # as behind the cells
        gain, grain = np.float32(np.exp(rng.uniform(0, 1.3))), rng.uniform(0.01, 0.25)
        noise = grain * rng.standard_normal(image.shape, dtype=np.float32)
        level = np.float32(rng.uniform(LOW, 0.3) if ground < 0.5 else rng.uniform(0.7, HIGH))
        seen = (
            level
            + gain * (np.where(inside[..., None], image, np.float32(ground)) - np.float32(ground))
            + noise
        )
        data["image"] = np.clip(seen.astype(np.float32), LOW, HIGH)
        return data | {
            name: np.where(inside, data[name], 0).astype(data[name].dtype) for name in ("classes", "distance")
        }


class RandomFocusd(_RandomTransformd):
    """Blur, sharpen, or lose detail in larger pixels or in JPEG blocks."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image with other detail."""
        kind = rng.choice(["blur", "sharpen", "pixels", "jpeg"], p=[0.4, 0.3, 0.15, 0.15])
        if kind == "blur":
            return smooth(image, float(np.exp(rng.uniform(*np.log((0.4, 3.0))))))
        if kind == "sharpen":
            soft = smooth(image, rng.uniform(0.7, 3))
            return np.clip(image + np.float32(rng.uniform(0.3, 2)) * (image - soft), LOW, HIGH)
        height, width = image.shape[:2]
        if kind == "pixels":
            factor = rng.uniform(1.3, 3)
            small = cv2.resize(
                image, (int(width / factor), int(height / factor)), interpolation=cv2.INTER_AREA
            )
            way = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
            return cv2.resize(small, (width, height), interpolation=way).reshape(image.shape)
        stored = cv2.imencode(
            ".jpg",
            np.rint(image * 255).astype(np.uint8),
            [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))],
        )[1]
        read = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED).reshape(image.shape)
        return np.clip(read.astype(np.float32) / 255, LOW, HIGH)


class RandomNoised(_RandomTransformd):
    """Count fewer photons: noise that is even, or grows with the light, or has a grain of some pixels."""

    def changed(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a noisy image."""
        std = np.float32(rng.uniform(0.01, 0.15))
        channels = image.shape[2] if rng.random() < 0.5 else 1
        if rng.random() < 0.25:
            grain = smooth_noise(image.shape[:2], rng.uniform(1.5, 6), rng)[..., None]
        else:
            grain = rng.standard_normal((*image.shape[:2], channels), dtype=np.float32)
        if rng.random() < 0.5:
            grain = grain * np.sqrt(np.clip(image, LOW, HIGH))
        return np.clip(image + std * grain, LOW, HIGH).astype(np.float32)


def wild_transforms(patch: int = 256, **probabilities: float) -> Compose:
    """Return the whole augmentation as a ``monai.transforms.Compose``.

    Parameters
    ----------
    patch : int
        Side of the patches in pixels.
    **probabilities
        Another probability for some of ``size``, ``polarity``, ``colour``, ``light``, ``debris``, ``sparse``,
        ``focus`` and ``noise``; 0 switches one off.

    Returns
    -------
    monai.transforms.Compose
        Takes a dict of ``image`` (H, W, 1 or 3) float32 in [0.01, 0.99], ``labels`` (H, W) and ``diameter``;
        gives ``image`` (patch, patch, 1 or 3), ``classes`` uint8 and ``distance`` float32 (patch, patch).

    Raises
    ------
    ValueError
        If a name is not one of these.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> seen = {"image": rng.uniform(0.01, 0.99, (90, 70, 1)).astype("float32"), "diameter": 20.0}
    >>> seen["labels"] = np.pad(np.ones((20, 20), dtype=int), ((30, 40), (20, 30)))
    >>> patch = wild_transforms(64).set_random_state(seed=3)(seen)
    >>> patch["image"].shape[:2], patch["classes"].shape, patch["distance"].dtype
    ((64, 64), (64, 64), dtype('float32'))
    """
    usual = {"size": 0.6, "colour": 0.25, "polarity": 0.15, "debris": 0.1, "light": 0.35, "sparse": 0.06,
             "focus": 0.2, "noise": 0.2}  # fmt: skip
    if unknown := set(probabilities) - set(usual):
        raise ValueError(f"{', '.join(sorted(unknown))} is none of the transforms {', '.join(usual)}")
    p = usual | probabilities
    size = RandomSizedWindowd(patch, p["size"])
    others = (
        RandomColourd,
        RandomPolarityd,
        RandomDebrisd,
        RandomLightd,
        RandomSparsed,
        RandomFocusd,
        RandomNoised,
    )
    names = ("colour", "polarity", "debris", "light", "sparse", "focus", "noise")
    return Compose([size, *(kind(p[name]) for kind, name in zip(others, names, strict=True))])
