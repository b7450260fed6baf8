"""Images as other users take them: changes of intensity for domain randomization, each with its own draws.

Functions of image (C, H, W) float32 in [0.01, 0.99], C 1 or 3, and a generator; they return another image,
in the same range. `steps.build_augmentation` applies each with a probability of its own (`config`); to add
one, write such a function and name it there.
"""

import cv2
import numpy as np
from numpy.random import Generator

from maunet_lite.data import illumination, smooth_noise, specks
from maunet_lite.preprocessing.augmentation.intensities import shift_histogram, smooth
from maunet_lite.preprocessing.intensity import HIGH, LOW


def recolour(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Show the same cells in other colours.

    Of a coloured image: in grey, tinted, or with its channels exchanged. Of a grey one: in one colour of
    three, in two, or tinted. Channels without light are black, or full of noise: scaled by itself, the noise
    of an empty channel fills the whole range.
    """
    kind = rng.choice(["grey", "permuted", "tinted"] if len(image) == 3 else ["one", "two", "tinted"])
    if kind == "grey":
        return _clipped(np.tensordot(rng.dirichlet(np.ones(3)).astype(np.float32), image, 1)[None])
    if kind == "permuted":
        return image[rng.permutation(3)]
    if kind == "tinted":
        return _clipped(image ** np.exp(rng.uniform(-0.5, 0.5, (3, 1, 1))).astype(np.float32))
    empty = np.full_like(image, LOW)
    if rng.random() < 0.3:
        empty = rng.uniform(LOW, rng.uniform(0.1, 0.9), image.shape).astype(np.float32)
    planes = [image, empty, empty if kind == "one" else image]
    return np.concatenate([planes[i] for i in rng.permutation(3)])


def invert(image: np.ndarray, rng: Generator | None = None) -> np.ndarray:
    """Turn dark into bright: absorbing and shining cells, dark cells in bright walls.

    Examples
    --------
    >>> invert(np.array([[[0.01, 0.5, 0.99]]], dtype=np.float32))
    array([[[0.99, 0.5 , 0.01]]], dtype=float32)
    """
    return _clipped(np.float32(LOW + HIGH) - image)


def add_debris(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Strew what is no cell over the image: specks and drops, bright or dark, sharp or out of focus."""
    largest = rng.choice([2.0, 4.0, 12.0])
    dirt = specks(image.shape[1:], rng, n=60 / largest, radius=(0.7, largest))[None]
    if rng.random() < 0.5:
        dirt = smooth(dirt, rng.uniform(0.7, largest / 2 + 0.5))
    strength = rng.choice([-1, 1]) * rng.uniform(0.2, 1.5)  # the strongest saturate
    return _clipped(image + np.float32(strength) * dirt)


def relight(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Expose anew: gamma to either side, shifted histogram, weak contrast or saturation, uneven light."""
    if rng.random() < 0.6:
        image = image ** np.float32(np.exp(rng.uniform(-0.9, 0.9)))
    if rng.random() < 0.3:
        image = shift_histogram(image, rng.uniform(0.1, 0.9))
    if rng.random() < 0.4:
        low, high = rng.uniform(-0.3, 0.4), rng.uniform(0.6, 1.5)
        image = image * np.float32(high - low) + np.float32(low)
    if rng.random() < 0.4:
        light = illumination(image.shape[1:], rng, rng.uniform(0.1, 0.7))
        image = image * light if rng.random() < 0.6 else image + np.float32(0.5) * (light - 1)
    return _clipped(image)


def isolate(image: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Leave only a part of the image and put noise around it, as where few cells lie on an empty field.

    The percentiles of such an image lie in the noise: cells saturate, and the noise is stretched with them.

    Returns
    -------
    image : numpy.ndarray
    inside : numpy.ndarray
        (H, W) bool: the rectangle that is left.
    """
    inside = np.zeros(image.shape[1:], dtype=bool)
    sides = [int(n * rng.uniform(0.3, 0.8)) for n in inside.shape]
    starts = [rng.integers(0, n - side + 1) for n, side in zip(inside.shape, sides, strict=True)]
    inside[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))] = True
    # as behind the cells
    ground = np.quantile(image, 0.9 if np.median(image) > 0.5 else 0.1).astype(np.float32)
    gain, grain = np.float32(np.exp(rng.uniform(0, 1.3))), np.float32(rng.uniform(0.01, 0.25))
    noise = grain * rng.standard_normal(image.shape, dtype=np.float32)
    level = np.float32(rng.uniform(LOW, 0.3) if ground < 0.5 else rng.uniform(0.7, HIGH))
    return _clipped(level + gain * np.where(inside, image - ground, 0) + noise), inside


def refocus(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Blur, sharpen, or lose detail in larger pixels or in JPEG blocks."""
    kind = rng.choice(["blur", "sharpen", "pixels", "jpeg"], p=[0.4, 0.3, 0.15, 0.15])
    if kind == "blur":
        return _clipped(smooth(image, float(np.exp(rng.uniform(*np.log((0.4, 3.0)))))))
    if kind == "sharpen":
        detail = image - smooth(image, rng.uniform(0.7, 3))
        return _clipped(image + np.float32(rng.uniform(0.3, 2)) * detail)
    if kind == "pixels":
        height, width = image.shape[1:]
        factor, way = rng.uniform(1.3, 3), rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR])
        small = max(1, int(width / factor)), max(1, int(height / factor))
        coarse = (cv2.resize(plane, small, interpolation=cv2.INTER_AREA) for plane in image)
        fine = [cv2.resize(plane, (width, height), interpolation=int(way)) for plane in coarse]
        return _clipped(np.stack(fine))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
    stored = cv2.imencode(".jpg", np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8), quality)[1]
    read = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED).reshape(*image.shape[1:], -1).transpose(2, 0, 1)
    return _clipped(read.astype(np.float32) / 255)


def add_grain(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Count fewer photons: noise that is even, or grows with the light, or has a grain of some pixels."""
    std = np.float32(rng.uniform(0.01, 0.15))
    channels = len(image) if rng.random() < 0.5 else 1
    if rng.random() < 0.25:
        grain = smooth_noise(image.shape[1:], rng.uniform(1.5, 6), rng)
    else:
        grain = rng.standard_normal((channels, *image.shape[1:]), dtype=np.float32)
    if rng.random() < 0.5:
        grain = grain * np.sqrt(image)
    return _clipped(image + std * grain)


def _clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(image, np.float32(LOW), np.float32(HIGH))
