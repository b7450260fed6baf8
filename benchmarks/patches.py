"""Milliseconds per augmented training patch, beside MONAI's transforms.

    python -m benchmarks.patches           # a minute
    python -m benchmarks.patches --quick   # some ten seconds

"This kit" is the paper's augmentation, "lite" the domain randomization of recipe `lite`, which makes targets
anew for every patch: its time grows with the cells in it. A training step of eight patches takes a second.
MONAI's chain is the published one: zoom the whole image, pad, crop, flip, rotate, intensities, from
arrays in memory. The kit reads the window it needs from its prepared image on disk. Both run on one thread,
as in a worker of a loader; CPU time counts. Only ratios travel to other machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from maunet_lite.data import load_dataset, simulate, write_image, write_labels
from maunet_lite.preprocessing import (
    AugmentationConfig,
    PatchDataset,
    build_augmentation,
    make_targets,
    normalize,
)
from maunet_lite.training import recipe

SIZES = (512, 1024, 2048)
PATCHES = (256, 512)


def tiled(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a simulated image and its label map, repeated to `side` × `side` pixels."""
    image, labels = simulate("fluorescence", (512, 512), rng=np.random.default_rng(0))
    n = -(-side // 512)
    blocks = np.kron(np.arange(n * n).reshape(n, n), np.ones((512, 512), dtype=np.int32))
    many = np.where(np.tile(labels, (n, n)) > 0, np.tile(labels, (n, n)) + blocks * labels.max(), 0)
    return np.tile(image, (n, n))[:side, :side], many[:side, :side].astype(np.int32)


def monai_intensities(p: float) -> list:
    """Return MONAI's intensity changes with the published options."""
    from monai.transforms import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandHistogramShiftd,
    )

    return [
        RandGaussianNoised(keys=["image"], prob=p, std=0.1),
        RandAdjustContrastd(keys=["image"], prob=p, gamma=(1, 2)),
        RandGaussianSmoothd(keys=["image"], prob=p, sigma_x=(1, 2)),
        RandHistogramShiftd(keys=["image"], prob=p, num_control_points=3),
    ]


def monai_chain(image: np.ndarray, labels: np.ndarray, patch: int) -> Callable[[], object]:
    """Return a function that draws a patch by MONAI's transforms from arrays in memory."""
    from monai.transforms import (
        Compose,
        RandAxisFlipd,
        RandRotate90d,
        RandSpatialCropd,
        RandZoomd,
        SpatialPadd,
    )

    keys = ["image", "classes", "distance"]
    zoom = {"min_zoom": 0.25, "max_zoom": 2.0, "mode": ["area", "nearest", "nearest"], "keep_size": False}
    geometry = [
        RandZoomd(keys=keys, prob=1.0, **zoom),
        SpatialPadd(keys=keys, spatial_size=(patch, patch)),
        RandSpatialCropd(keys=keys, roi_size=(patch, patch), random_size=False),
        RandAxisFlipd(keys=keys, prob=0.5),
        RandRotate90d(keys=keys, prob=0.5),
    ]
    chain = Compose([*geometry, *monai_intensities(0.25)])
    chain.set_random_state(seed=0)
    targets = make_targets(labels)
    planes = np.ascontiguousarray(normalize(image).transpose(2, 0, 1))
    item = {"image": planes, "classes": targets.classes[None], "distance": targets.distance[None]}
    return lambda: chain(dict(item))


def kit(
    image: np.ndarray, labels: np.ndarray, config: AugmentationConfig, folder: Path
) -> Callable[[], object]:
    """Return a function that draws a patch as training does; the image is prepared already."""
    write_image(folder / "images" / "a.png", image)
    write_labels(folder / "labels" / "a_label.tiff", labels)
    patches = PatchDataset(load_dataset(folder), 2**40, config, cache=folder)
    numbers = iter(range(2**40))
    return lambda: patches[next(numbers)]


def milliseconds(draw: Callable[[], object], seconds: float) -> float:
    """Return the mean CPU time of a draw over at least `seconds` and ten draws."""
    draw()
    count, started = 0, time.process_time()
    while count < 10 or time.process_time() - started < seconds:
        draw()
        count += 1
    return 1000 * (time.process_time() - started) / count


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, less time")
    seconds = 1.0 if parser.parse_args().quick else 4.0
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("one augmented patch with targets, ms\n")
    print("| image  | patch | this kit | MONAI | MONAI / kit | lite |")
    print("|-------:|------:|---------:|------:|------------:|-----:|")
    for side in SIZES[: 1 if seconds < 2 else None]:
        image, labels = tiled(side)
        for patch in PATCHES:
            with TemporaryDirectory() as folder:
                configs = AugmentationConfig(patch=patch), recipe("lite").augmentation.override(patch=patch)
                draws = [kit(image, labels, config, Path(folder)) for config in configs]
                ours, lite = (milliseconds(draw, seconds) for draw in draws)
            theirs = milliseconds(monai_chain(image, labels, patch), seconds)
            ratio = f"{theirs / ours:10.1f}×"
            print(f"| {side:5}² | {patch:4}² | {ours:8.2f} | {theirs:5.1f} | {ratio} | {lite:4.1f} |")
    print("\nthe four intensity changes alone, all of them, three channels, ms\n")
    print("| patch | this kit | MONAI | MONAI / kit |")
    print("|------:|---------:|------:|------------:|")
    steps = build_augmentation(AugmentationConfig(p_intensity=1.0)).transforms[3:7]
    for patch in PATCHES:
        planes = np.random.default_rng(0).uniform(0.01, 0.99, (3, patch, patch)).astype(np.float32)

        def changed(chain: list, planes: np.ndarray = planes) -> None:
            item = {"image": planes}
            for change in chain:
                item = change(item)

        ours = milliseconds(lambda f=changed: f(steps), seconds)
        theirs = milliseconds(lambda f=changed: f(monai_intensities(1.0)), seconds)
        print(f"| {patch:4}² | {ours:8.2f} | {theirs:5.1f} | {theirs / ours:10.1f}× |")


if __name__ == "__main__":
    main()
