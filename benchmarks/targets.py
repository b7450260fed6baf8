"""Seconds for class map and distance field, beside a loop over full-image masks.

    python -m benchmarks.targets                     # half a minute
    python -m benchmarks.targets --quick             # some ten seconds, without the large images
    python -m benchmarks.targets --loop-cells 3321   # the loop over the large image, too: many minutes

The loop does the same with one mask of the whole image per cell, as published code does; both results are
compared in every run. Only ratios travel to other machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

from maunet_lite.preprocessing import Targets, make_targets

TILE = (520, 696)
CELLS_PER_TILE = 369
TILES = (1, 2, 3, 6)  # per axis: the last has four times the pixels and cells of the one before


def make_labels(
    tiles: int, cells: int = CELLS_PER_TILE, shape: tuple[int, int] = TILE, seed: int = 0
) -> np.ndarray:
    """Return ellipses of many sizes on a grid, some touching, repeated `tiles` times along both axes."""
    rng = np.random.default_rng(seed)
    down = round(np.sqrt(cells * shape[0] / shape[1]))
    across = -(-cells // down)
    height, width = shape[0] / down, shape[1] / across
    tile = np.zeros(shape, dtype=np.int32)
    for i, place in enumerate(rng.permutation(down * across)[:cells], start=1):
        y, x = (place // across + 0.5) * height, (place % across + 0.5) * width
        a, b = rng.uniform(0.2, 0.52, 2) * (height, width)
        rows, cols = np.ogrid[: shape[0], : shape[1]]
        tile[((rows - y) / a) ** 2 + ((cols - x) / b) ** 2 <= 1] = i
    labels = np.tile(tile, (tiles, tiles))
    block = np.kron(np.arange(tiles**2).reshape(tiles, tiles), np.ones(shape, dtype=np.int32))
    labels = np.where(labels > 0, labels + block * cells, 0)
    ids = np.append(0, 1 + rng.permutation(cells * tiles**2))
    return ids[labels].astype(np.int32)


def loop(labels: np.ndarray) -> Targets:
    """Make the same targets with masks as large as the image."""
    classes = np.zeros(labels.shape, dtype=np.uint8)
    distance = np.zeros(labels.shape, dtype=np.float32)
    for cell in np.unique(labels)[1:]:
        mask = labels == cell
        depth = ndimage.distance_transform_edt(mask)
        root = np.sqrt(mask.sum())
        interior = mask & (depth > max(root / 20, 1))
        classes[mask] = 2
        classes[interior if interior.any() else depth == depth.max()] = 1
        distance[mask] = 1 / (1 + (depth.max() - depth[mask]) / root)
    return Targets(classes, distance)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the shortest of several runs, which is the least disturbed one."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(labels: np.ndarray) -> None:
    """Stop if the loop and the package disagree."""
    expected, got = loop(labels), make_targets(labels, center="authors")
    np.testing.assert_array_equal(got.classes, expected.classes)
    np.testing.assert_allclose(got.distance, expected.distance, rtol=1e-5)


def main() -> None:
    """Print one row per image size, and how the time grows with it."""
    parser = argparse.ArgumentParser(description="Seconds for class map and distance field.")
    parser.add_argument("--quick", action="store_true", help="only the two small images, one run of each")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the shortest counts")
    parser.add_argument(
        "--loop-cells", type=int, default=369, help="loop only over images with up to so many cells"
    )
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats

    small = make_labels(1, cells=92, shape=(260, 348))
    compare(small)
    print("class map and distance field, seconds; loop: one full-image mask per cell, equal results")
    print(f"{'size':>13} {'cells':>7} {'paper':>8} {'authors':>8} {'loop':>8} {'loop / paper':>13}")
    images = [small] + [make_labels(tiles) for tiles in (TILES[:1] if options.quick else TILES)]
    times = []
    for labels in images:
        size, cells = f"{labels.shape[0]} × {labels.shape[1]}", len(np.unique(labels)) - 1
        make_targets(labels)
        paper = seconds(partial(make_targets, labels), repeats)
        authors = seconds(partial(make_targets, labels, boundary="authors", center="authors"), repeats)
        row = f"{size:>13} {cells:>7,} {paper:>8.3f} {authors:>8.3f}"
        if cells <= options.loop_cells:
            slow = seconds(partial(loop, labels), 1)
            row += f" {slow:>8.2f} {slow / paper:>12.0f}×"
        print(row, flush=True)
        times.append((labels.size, paper))
    if not options.quick:
        (pixels, before), (more, after) = times[-2:]
        print(f"{more / pixels:.0f} times the pixels and cells take {after / before:.2f} times as long")


if __name__ == "__main__":
    main()
