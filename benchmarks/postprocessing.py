"""Seconds, memory and F1 of three ways to turn the same maps into cells.

    python -m benchmarks.postprocessing                   # 0.3 to 17 megapixels, about two minutes
    python -m benchmarks.postprocessing --full            # up to 100 megapixels; needs 8 GB
    python -m benchmarks.postprocessing --sizes 4 17 --repeat 5
    python -m benchmarks.postprocessing --scenes sparse crowded packed sheet --sizes 4

- **kit**: ``segment(maps, keep_steps=False)``, the default settings.
- **kit, authors**: the same with the settings of the published code.
- **skimage**: the kit's steps and default settings, with scikit-image's watershed on the whole image.
- **opencv**: the published steps by the straight way, three floods of a flat relief on the whole image.

All get the same maps: cells, made into what a network would say (soft classes, noise, holes in the
boundaries, specks), the same tile repeated. `--scenes` says how dense they are: ``crowded``, the default, are
ellipses, many of which touch, ``sparse`` a few of these, ``packed`` discs that all touch, and in a ``sheet``
there is no background. Each runs in a process of its own, so that the peak
of its memory can be read from the operating system (Linux only): OpenCV's and NumPy's share, beside the maps
and the labels returned. Ratios, not seconds,
travel to other machines; on a busy machine only those of the CPU seconds (all threads together) are steady.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from maunet_lite.evaluation import match_cells
from maunet_lite.postprocessing import Maps, segment, steps
from maunet_lite.preprocessing import make_targets

# megapixels: height, width
SIZES = {
    0.3: (512, 640),
    1: (1024, 1024),
    4: (2048, 2048),
    17: (4096, 4096),
    36: (6000, 6000),
    67: (8192, 8192),
    100: (10_000, 10_000),
}
QUICK = (0.3, 1, 4, 17)
TILE = 1024


# --- maps ---------------------------------------------------------------------------------------------------


def ellipses(edge: int = TILE, cells: int = 700, seed: int = 0) -> np.ndarray:
    """Return a square of ellipses that touch but do not touch the square's edge, (edge, edge) int32."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((edge, edge), dtype=np.int32)
    for label in range(1, cells + 1):
        major = rng.uniform(6, 18)
        minor = major * rng.uniform(0.55, 1)
        box = int(2 * major) + 5
        top, left = rng.integers(1, edge - box, 2)
        stamp = np.zeros((box, box), dtype=np.uint8)
        cv2.ellipse(stamp, ((box / 2, box / 2), (2 * minor, 2 * major), rng.uniform(0, 180)), 1, -1)
        crop = labels[top : top + box, left : left + box]
        free = (stamp > 0) & (crop == 0)
        in_one_piece = cv2.connectedComponents(free.astype(np.uint8))[0] == 2
        if in_one_piece and free.sum() > 0.7 * stamp.sum():
            crop[free] = label
    return labels


def packed(edge: int = TILE, diameter: int = 16) -> np.ndarray:
    """Return discs in a honeycomb, each of which touches six others, (edge, edge) int32."""
    labels = np.zeros((edge, edge), dtype=np.int32)
    step = diameter * np.sqrt(3) / 2
    for row in range(int((edge - diameter) / step)):
        for column in range((edge - 2 * diameter) // diameter):
            x = diameter * (column + 1 + row % 2 / 2)
            centre = round(16 * x), round(16 * (step * row + diameter))
            cv2.circle(labels, centre, 8 * diameter - 8, int(labels.max()) + 1, -1, cv2.LINE_8, 4)
    return labels


def sheet(edge: int = TILE, diameter: float = 24, seed: int = 0) -> np.ndarray:
    """Return polygons without background between them, (edge, edge) int32."""
    points = np.random.default_rng(seed).uniform(0, edge, (round(edge**2 / diameter**2), 2))
    pixels = np.stack(np.indices((edge, edge)), axis=-1).reshape(-1, 2)
    for _ in range(3):  # to the middle of their pixels
        cell = cKDTree(points).query(pixels)[1]
        n = np.maximum(np.bincount(cell, minlength=len(points)), 1)
        points = np.stack([np.bincount(cell, axis, len(points)) / n for axis in pixels.T], axis=1)
    return cell.reshape(edge, edge).astype(np.int32) + 1


SCENES: dict[str, Callable[[], np.ndarray]] = {
    "sparse": lambda: ellipses(cells=100),
    "crowded": ellipses,
    "packed": packed,
    "sheet": sheet,
}


def network_like(labels: np.ndarray, noise: float = 1.2, seed: int = 0) -> Maps:
    """Return the maps that a network might make of these cells: the targets, blurred, with smooth noise."""
    rng = np.random.default_rng(seed)

    def smooth_noise() -> np.ndarray:
        field = cv2.GaussianBlur(rng.standard_normal(labels.shape, dtype=np.float32), (0, 0), 2)
        return field / field.std()

    classes, distance = make_targets(labels)
    logits = [np.full(labels.shape, -6, dtype=np.float32)] * 4  # the last one is the proxy
    for k in range(3):
        share = cv2.GaussianBlur((classes == k).astype(np.float32), (0, 0), 1)
        logits[k] = np.log(share + 0.01) * 1.5 + noise * smooth_noise()
    odds = np.exp(np.stack(logits))  # (4, H, W)
    distance = cv2.GaussianBlur(distance, (0, 0), 1) + np.float32(0.05) * smooth_noise()
    return Maps(odds / odds.sum(axis=0), distance)


def tiled(tile: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Repeat a tile of maps or labels, (…, h, w), until it fills (H, W)."""
    times = [-(-size // edge) for size, edge in zip(shape, tile.shape[-2:], strict=True)]
    repeated = np.tile(tile, (1,) * (tile.ndim - 2) + tuple(times))
    return np.ascontiguousarray(repeated[..., : shape[0], : shape[1]])


def tiled_labels(tile: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Repeat a tile of labels, each time with labels of its own."""
    labels = tiled(tile, shape)
    per_row = -(-shape[1] // tile.shape[1])
    number = np.arange(shape[0])[:, None] // tile.shape[0] * per_row + np.arange(shape[1]) // tile.shape[1]
    labels += (labels > 0) * (number * tile.max()).astype(np.int32)
    return labels


# --- competitors --------------------------------------------------------------------------------------------


def with_skimage(maps: Maps) -> np.ndarray:
    """The kit's steps, flooded by scikit-image."""
    from skimage.segmentation import watershed

    def flood(
        markers: np.ndarray, mask: np.ndarray, heights: np.ndarray | None = None, *, adopt: bool = False
    ) -> np.ndarray:
        relief = np.zeros(mask.shape, dtype=np.uint8) if heights is None else heights
        labels = watershed(relief, markers, mask=mask > 0, connectivity=2)
        if adopt:
            pieces, _ = steps.label_components((mask > 0) & (labels == 0))
            labels += np.where(pieces > 0, pieces + markers.max(), 0).astype(np.int32)
        return labels

    own, steps.flood = steps.flood, flood
    try:
        return segment(maps, keep_steps=False).labels
    finally:
        steps.flood = own


def with_opencv(maps: Maps) -> np.ndarray:
    """The published steps as one would write them down with OpenCV."""
    foreground = maps.probabilities[0] < 0.3
    interior = _large_pieces(maps.probabilities[1] > 0.7, 16)
    n, _ = cv2.connectedComponents(interior.astype(np.uint8))
    width = int(np.sqrt(interior.sum() / max(n - 1, 1)))
    side = width + 1 - width % 2
    blurred = cv2.GaussianBlur(maps.distance, (side, side), 0)
    _, skeletons = cv2.connectedComponents(((blurred > 0.85 * blurred.max()) & interior).astype(np.uint8))
    first = _flat_flood(skeletons, interior)
    uncovered = interior & (first == 0)
    window = np.ones((2 * (width // 4) + 1,) * 2, dtype=np.uint8)
    peaks = (blurred == cv2.dilate(blurred, window)) & (blurred > 0.6 * blurred.max())
    _, peaks = cv2.connectedComponents((peaks & uncovered).astype(np.uint8))
    second = _flat_flood(peaks, uncovered)
    labels = _flat_flood(first + np.where(second > 0, second + first.max(), 0), foreground)
    areas = np.bincount(labels.ravel())
    small = areas < areas[1:].sum() / max(labels.max(), 1) / 10
    labels[small[labels]] = 0
    return labels


def _flat_flood(markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    background = int(markers.max()) + 1
    labels = np.where(mask, markers, background).astype(np.int32)
    cv2.watershed(cv2.merge([mask.astype(np.uint8) * 255] * 3), labels)
    labels[(labels == background) | (labels < 0)] = 0
    return labels


def _large_pieces(mask: np.ndarray, min_area: int) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= min_area
    large[0] = False
    return large[labels]


METHODS: dict[str, Callable[[Maps], np.ndarray]] = {
    "kit": lambda maps: segment(maps, keep_steps=False).labels,
    "kit, authors": lambda maps: segment(maps, "authors", keep_steps=False).labels,
    "skimage": with_skimage,
    "opencv": with_opencv,
}


# --- measuring ----------------------------------------------------------------------------------------------


def measure(method: str, scene: str, size: float, repeat: int) -> dict[str, float]:
    """Run one method on one scene and size in this process."""
    run, shape = METHODS[method], SIZES[size]
    tile = SCENES[scene]()
    maps = network_like(tile)
    run(Maps(*(np.ascontiguousarray(m[..., :256, :256]) for m in maps)))  # libraries load, caches fill
    maps = Maps(*(tiled(m, shape) for m in maps))
    before = _memory("VmRSS", reset_peak=True)
    seconds, cpu_seconds = [], []
    for _ in range(repeat):
        start, cpu_start = time.perf_counter(), time.process_time()
        labels = run(maps)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    pixels = shape[0] * shape[1]
    extra = (_memory("VmHWM") - before - labels.nbytes) / pixels
    del maps
    return {
        "cells": int(labels.max()),
        "seconds": min(seconds),
        "cpu": min(cpu_seconds),
        "bytes": extra,
        "f1": match_cells(tiled_labels(tile, shape), labels).f1,
    }


def _memory(entry: str, reset_peak: bool = False) -> float:
    """Bytes of memory of this process by an entry of /proc/self/status, NaN where there is none."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    if reset_peak:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # memory freed before must not serve again without being counted
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(entry))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed, memory and F1 of the post-processing.")
    parser.add_argument("--sizes", type=float, nargs="+", choices=SIZES, default=QUICK, help="megapixels")
    parser.add_argument("--full", action="store_true", help="all sizes, up to 100 megapixels")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the fastest counts")
    parser.add_argument(
        "--scenes", nargs="+", choices=SCENES, default=["crowded"], help="how dense cells are"
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # method, scene, size: run in this process
    options = parser.parse_args()
    if options.one:
        method, scene, size = options.one
        print(json.dumps(measure(method, scene, float(size), options.repeat)))
        return
    print(f"{os.cpu_count()} cores, OpenCV {cv2.__version__}, NumPy {np.__version__}\n")
    columns = ("scene", "megapixels", "method", "cells", "seconds", "/ opencv", "CPU seconds", "/ opencv")
    columns += ("CPU seconds per MP", "bytes per pixel", "F1")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for scene, size in product(options.scenes, SIZES if options.full else options.sizes):
        rows = {method: _in_own_process(method, scene, size, options.repeat) for method in METHODS}
        megapixels = SIZES[size][0] * SIZES[size][1] / 1e6
        for method, row in rows.items():
            ratio, cpu_ratio = (row[kind] / rows["opencv"][kind] for kind in ("seconds", "cpu"))
            print(
                f"| {scene} | {megapixels:.1f} | {method} | {row['cells']:,} | {row['seconds']:.3f} "
                f"| {ratio:.2f} | {row['cpu']:.3f} | {cpu_ratio:.2f} | {row['cpu'] / megapixels:.3f} "
                f"| {row['bytes']:.0f} | {row['f1']:.3f} |",
                flush=True,
            )


def _in_own_process(method: str, scene: str, size: float, repeat: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.postprocessing", "--repeat", str(repeat)]
    done = subprocess.run([*command, "--one", method, scene, str(size)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{method} on {scene}, {size} megapixels failed:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
