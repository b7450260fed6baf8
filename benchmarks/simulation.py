"""Seconds per simulated picture of each kind, beside one plain Gaussian blur of the same size.

    python -m benchmarks.simulation                  # 512 × 512, about half a minute
    python -m benchmarks.simulation --quick          # 128 × 128, some seconds
    python -m benchmarks.simulation --side 2048

The blur (SciPy, sigma 8) is the unit: its seconds differ from machine to machine, the ratio hardly.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import ndimage

from maunet_lite.data import MODALITIES, VARIANTS, simulate


def seconds_per_picture(modality: str, variant: str, side: int, pictures: int) -> tuple[float, float, float]:
    """Return median and longest seconds over `pictures` seeds, and the mean number of cells."""
    times, cells = [], []
    for seed in range(pictures):
        rng = np.random.default_rng(seed)
        start = time.perf_counter()
        labels = simulate(modality, (side, side), rng=rng, variant=variant).labels
        times.append(time.perf_counter() - start)
        cells.append(labels.max())
    return float(np.median(times)), max(times), float(np.mean(cells))


def seconds_per_blur(side: int, repeats: int = 5) -> float:
    """Return the median seconds of one Gaussian blur by SciPy."""
    image = np.random.default_rng(0).random((side, side), np.float32)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        ndimage.gaussian_filter(image, 8)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print one row per kind of picture."""
    parser = argparse.ArgumentParser(description="Seconds per simulated picture.")
    parser.add_argument("--quick", action="store_true", help="128 × 128 pixels, three pictures of each kind")
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--pictures", type=int, default=9, help="pictures of each kind")
    options = parser.parse_args()
    side, pictures = (128, 3) if options.quick else (options.side, options.pictures)

    simulate("dic", (64, 64), rng=np.random.default_rng(0))  # first use of OpenCV and SciPy
    blur = seconds_per_blur(side)
    print(f"one picture of {side} × {side}, median of {pictures}; one Gaussian blur: {blur:.4f} s")
    print(f"{'modality':<15} {'variant':<10} {'cells':>6} {'seconds':>8} {'longest':>8} {'/ blur':>7}")
    for modality in MODALITIES:
        for variant in VARIANTS[modality]:
            middle, longest, cells = seconds_per_picture(modality, variant, side, pictures)
            row = f"{modality:<15} {variant:<10} {cells:>6.0f} {middle:>8.3f} {longest:>8.3f}"
            print(f"{row} {middle / blur:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
