"""Training patches: images and targets are prepared once, patches are drawn by number.

Draw number k of a `PatchDataset` depends on its seed and on k alone. A loader may therefore be split over workers and
machines, and an interrupted training goes on with the very patch it would have seen next.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from maunet_lite.augmentation import (
    AugmentationConfig,
    random_flips,
    random_intensity,
    random_window,
    resize_window,
)
from maunet_lite.datasets import CellDataset, data_home
from maunet_lite.images import atomic_path
from maunet_lite.intensity import LOW
from maunet_lite.preprocessing import make_targets, normalize

CACHE_VERSION = 1  # raise it when preprocessing changes


@dataclass(frozen=True)
class TargetConfig:
    """Which variant of the paper's targets and intensities to learn (see `preprocessing`)."""

    intensity: str = "authors"
    boundary: str = "paper"
    center: str = "paper"
    beta: float = 1.0


class PreparedImage:
    """A normalised image and its targets, computed once and kept on disk as arrays that are read by window."""

    def __init__(self, dataset: CellDataset, index: int, config: TargetConfig, cache: Path) -> None:
        self._dataset, self._index, self._config = dataset, index, config
        paths = [dataset.image_path(index), dataset.label_path(index)]
        key = json.dumps(
            [CACHE_VERSION, asdict(config)]
            + [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in paths if p is not None]
        )
        self._stem = cache / hashlib.sha256(key.encode()).hexdigest()[:24]
        self.labelled = paths[1] is not None
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str) -> np.ndarray:
        """Return ``"image"`` (H, W, 3) float16, ``"classes"`` (H, W) uint8 or ``"distance"`` (H, W) float16."""
        if name not in self._arrays:
            path = self._stem.with_name(f"{self._stem.name}-{name}.npy")
            if not path.exists():
                self._prepare()
            self._arrays[name] = np.load(path, mmap_mode="r")
        return self._arrays[name]

    def _prepare(self) -> None:
        arrays = {"image": normalize(self._dataset.image(self._index), self._config.intensity).astype(np.float16)}
        shape = arrays["image"].shape[:2]
        labels = self._dataset.labels(self._index)
        if labels is None:
            labels = np.zeros(shape, dtype=np.int32)
        if labels.shape != shape:
            name = self._dataset.table["image"].iloc[self._index]
            raise ValueError(f"{name}: image {shape} and label map {labels.shape} differ in size; see `maunet-lite data check`")
        c = self._config
        targets = make_targets(labels, boundary=c.boundary, center=c.center, beta=c.beta)
        arrays |= {"classes": targets.classes, "distance": targets.distance.astype(np.float16)}
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        for name, values in arrays.items():
            with atomic_path(self._stem.with_name(f"{self._stem.name}-{name}.npy")) as path:
                np.save(path, values)


class PatchDataset(Dataset):
    """An endless supply of augmented training patches.

    Parameters
    ----------
    dataset : CellDataset
    n_draws : int
        Length: number of patches until training ends.
    augmentation : AugmentationConfig
    targets : TargetConfig
    seed : int
    balance : float
        A source with n images is drawn in proportion to n ** balance: 1 draws every image alike, 0 every source alike.
    cache : Path, optional
        Folder for prepared images; ``data_home()/cache`` by default.

    Notes
    -----
    Item k is a dict: image (3, P, P) float32 in [0.01, 0.99], classes (P, P) int64, distance (1, P, P) float32, and
    index, the image's position in `dataset`. Unlabelled images have zero targets.
    """

    def __init__(
        self,
        dataset: CellDataset,
        n_draws: int,
        augmentation: AugmentationConfig | None = None,
        targets: TargetConfig | None = None,
        seed: int = 0,
        balance: float = 0.5,
        cache: Path | None = None,
    ) -> None:
        self.n_draws, self.seed = n_draws, seed
        self.augmentation = augmentation or AugmentationConfig()
        cache = cache or data_home() / "cache"
        self.images = [PreparedImage(dataset, i, targets or TargetConfig(), cache) for i in range(len(dataset))]
        self.weights = source_weights(dataset.table["source"].to_numpy(), balance)

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, k: int) -> dict[str, torch.Tensor | int]:
        if not 0 <= k < self.n_draws:
            raise IndexError(k)
        rng = np.random.default_rng([self.seed, k])
        index = int(rng.choice(len(self.images), p=self.weights))
        image, classes, distance = self.patch(index, rng)
        return {
            "image": torch.from_numpy(image.transpose(2, 0, 1).copy()),
            "classes": torch.from_numpy(classes.astype(np.int64)),
            "distance": torch.from_numpy(distance.astype(np.float32)[None]),
            "index": index,
        }

    def patch(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return one random patch of image `index`: image (P, P, 3), classes (P, P), distance (P, P)."""
        config, prepared = self.augmentation, self.images[index]
        centre = None
        if rng.random() < config.around_cell:
            centre = _random_cell_pixel(prepared.array("classes"), rng)
        rows, columns, zoom = random_window(prepared.array("image").shape[:2], config, rng, centre)
        offset = (float(rng.random()), float(rng.random()))
        window = [np.asarray(prepared.array(name)[rows, columns]) for name in ("image", "classes", "distance")]
        window = [window[0].astype(np.float32), window[1], window[2].astype(np.float32)]
        arrays = [
            resize_window(a, zoom, config.patch, offset, fill) for a, fill in zip(window, (LOW, 0, 0), strict=True)
        ]
        image, classes, distance = random_flips(arrays, rng, config.p_geometry)
        return random_intensity(image, rng, config.p_intensity), classes, distance


def source_weights(sources: np.ndarray, balance: float) -> np.ndarray:
    """Return the probability of drawing each image: a source of n images counts n ** `balance`.

    Examples
    --------
    >>> source_weights(np.array(["a", "a", "a", "a", "b"]), balance=0.0)
    array([0.125, 0.125, 0.125, 0.125, 0.5  ])
    """
    _, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = (counts ** (balance - 1.0))[inverse]
    return weights / weights.sum()


def _random_cell_pixel(classes: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """Return a random pixel that belongs to a cell, or None after a few misses: no search over a whole slide."""
    height, width = classes.shape
    rows, columns = rng.integers(0, height, 256), rng.integers(0, width, 256)
    hits = np.flatnonzero(classes[rows, columns])
    return None if not hits.size else (int(rows[hits[0]]), int(columns[hits[0]]))
