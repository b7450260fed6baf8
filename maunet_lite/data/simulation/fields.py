"""Random fields that simulated pictures are made of: noise, fibres, dust, uneven light; and a fast blur."""

import cv2
import numpy as np
from numpy.random import Generator


def smooth_noise(shape: tuple[int, int], scale: float, rng: Generator) -> np.ndarray:
    """Draw a smooth random field whose bumps are about ``scale`` pixels wide.

    Parameters
    ----------
    shape : (height, width)
    scale : float
        Pixels; the field is drawn on a coarse grid and enlarged, so a large scale is cheap.
    rng : numpy.random.Generator

    Returns
    -------
    (H, W) float32
        Mean 0, standard deviation 1.

    Examples
    --------
    >>> field = smooth_noise((50, 60), 8, np.random.default_rng(0))
    >>> field.shape, abs(round(float(field.mean()), 3)), round(float(field.std()), 3)
    ((50, 60), 0.0, 1.0)
    """
    step = max(scale / 3, 1.0)
    coarse = rng.standard_normal([int(size / step) + 4 for size in shape], dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), scale / step / 2.5)
    fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]
    return (fine - fine.mean()) / (fine.std() or 1)  # 0 where there is one pixel


def fibres(shape: tuple[int, int], scale: float, rng: Generator) -> np.ndarray:
    """Draw thin wavy lines about ``scale`` pixels apart, 0 to 1: where a smooth field crosses zero."""
    return np.exp(-((smooth_noise(shape, scale, rng) / 0.15) ** 2))


def streaks(shape: tuple[int, int], scale: float, direction: float, rng: Generator) -> np.ndarray:
    """Draw a field of wavy streaks along a direction, as of collagen; mean 0, standard deviation 1, float32.

    A smooth field is looked up at coordinates that run slowly along the streaks and bend with another field.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    along = (np.cos(direction) * x + np.sin(direction) * y) / 6
    across = np.cos(direction) * y - np.sin(direction) * x + 2 * scale * smooth_noise(shape, 12 * scale, rng)
    along, across = np.float32(along), np.float32(across)
    noise = smooth_noise(shape, scale, rng)
    return cv2.remap(noise, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of ``sigma`` pixels; a wide one on a reduced copy, which costs less."""
    reduction = max(int(sigma / 4), 1)
    if reduction == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    reduced = [max(size // reduction, 1) for size in image.shape[1::-1]]
    small = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / reduction)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def illumination(shape: tuple[int, int], rng: Generator, strength: float) -> np.ndarray:
    """Draw an uneven field of light: a gradient and a bright centre, about 1 on average; (H, W) float32."""
    y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angle, tilt, vignette = rng.uniform(0, [2 * np.pi, strength, strength])
    field = 1 + tilt * (np.sin(angle) * y + np.cos(angle) * x) - vignette * (x**2 + y**2 - 2 / 3)
    return np.maximum(field, 0.05).astype(np.float32)


def specks(shape: tuple[int, int], rng: Generator, *, n: float, radius: tuple[float, float]) -> np.ndarray:
    """Scatter debris that is no cell: small ellipses of random strength.

    Parameters
    ----------
    shape : (height, width)
    rng : numpy.random.Generator
    n : float
        Expected number; the actual one is drawn from a Poisson distribution.
    radius : (low, high)
        Half axes in pixels, at least half a pixel.

    Returns
    -------
    (H, W) float32
        0 where there is none, up to 1.
    """
    canvas = np.zeros(shape, np.float32)
    for _ in range(rng.poisson(n)):
        centre, axes = rng.uniform(0, shape[::-1]), rng.uniform(min(radius), max(radius), 2)
        draw_ellipse(canvas, centre, np.maximum(axes, 0.5), rng.uniform(0, 180), rng.uniform(0.3, 1))
    return canvas


def draw_ellipse(field: np.ndarray, centre: np.ndarray, axes: np.ndarray, angle: float, value: float) -> None:
    """Fill an ellipse given by its centre (x, y) and half axes in pixels, exact to 1/16 pixel."""
    centre, axes = (16 * np.array([centre, axes])).astype(int).tolist()
    cv2.ellipse(field, centre, axes, angle, 0, 360, value, -1, cv2.LINE_8, 4)


def rise(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    """Rise smoothly from 0 to 1 around ``middle``, over about ``width`` to either side; float32."""
    return (0.5 + 0.5 * np.tanh((values - middle) / width)).astype(np.float32)
