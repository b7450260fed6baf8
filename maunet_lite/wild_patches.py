"""Patches of :mod:`maunet_lite.wild` by number: label maps are kept at hand, targets are made anew.

A patch that shows cells at a quarter of their size needs targets of that size, so label maps are stored and
not the targets of the whole image. Draw number k depends on the seed and on k alone, as in
:mod:`maunet_lite.patches`.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from maunet_lite.datasets import CellDataset, DatasetError
from maunet_lite.patches import source_weights
from maunet_lite.preprocessing import normalize
from maunet_lite.wild import wild_transforms


class WildPatches(Dataset):
    """An endless supply of patches for images that nobody has seen yet.

    Parameters
    ----------
    dataset : CellDataset
        Labelled images only.
    n_draws : int
        Length: number of patches until training ends.
    patch : int
        Side of the patches in pixels.
    intensity : {"authors", "paper"}
        See :func:`maunet_lite.preprocessing.normalize`.
    seed : int
    balance : float
        See :func:`maunet_lite.patches.source_weights`.
    kept : int
        Images kept in memory, 3 to 7 bytes a pixel; others are read again.
    **probabilities
        Of :func:`maunet_lite.wild.wild_transforms`.

    Notes
    -----
    Items are those of :class:`maunet_lite.patches.PatchDataset`.

    Raises
    ------
    DatasetError
        If the dataset holds no labelled image; on drawing, if an image and its label map differ in size.
    """

    def __init__(
        self,
        dataset: CellDataset,
        n_draws: int,
        patch: int = 256,
        intensity: str = "authors",
        seed: int = 0,
        balance: float = 0.5,
        kept: int = 4096,
        **probabilities: float,
    ) -> None:
        self.dataset = dataset.labelled()
        if not len(self.dataset):
            raise DatasetError(f"dataset {dataset.name!r} holds no labelled images to draw patches from")
        self.n_draws, self.intensity, self.seed = n_draws, intensity, seed
        self.transforms = wild_transforms(patch, **probabilities)
        self._up_to = np.cumsum(source_weights(self.dataset.table["source"].to_numpy(), balance))
        self._read = lru_cache(maxsize=kept)(self._prepared)

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, k: int) -> dict[str, torch.Tensor | int]:
        if not 0 <= k < self.n_draws:
            raise IndexError(k)
        if get_worker_info() is not None:
            cv2.setNumThreads(1)  # as torch does: workers are many already
        rng = np.random.default_rng([self.seed, k])
        index = int(np.searchsorted(self._up_to, rng.random() * self._up_to[-1], side="right"))
        image, labels, diameter = self._read(index)
        self.transforms.set_random_state(seed=int(rng.integers(2**32)))
        drawn = self.transforms({"image": image, "labels": labels, "diameter": diameter})
        image = np.broadcast_to(drawn["image"], (*drawn["image"].shape[:2], 3))
        return {
            "image": torch.from_numpy(np.array(image.transpose(2, 0, 1), np.float32, order="C")),
            "classes": torch.from_numpy(drawn["classes"].astype(np.int64)),
            "distance": torch.from_numpy(np.ascontiguousarray(drawn["distance"])[None]),
            "index": index,
        }

    def _prepared(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the normalised image in half precision, its label map, and the diameter of its cells."""
        image, labels = normalize(self.dataset.image(index), self.intensity), self.dataset.labels(index)
        if labels.shape != image.shape[:2]:
            name = self.dataset.table["image"].iloc[index]
            raise DatasetError(
                f"{name} is {image.shape[:2]} pixels (height, width), its labels {labels.shape}"
            )
        if (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all():
            image = image[..., :1]
        small = labels.max() < 2**16
        return (
            image.astype(np.float16),
            labels.astype(np.uint16 if small else np.int32),
            median_diameter(labels),
        )


def median_diameter(labels: np.ndarray) -> float:
    """Return the median diameter of the cells in pixels, as of disks of equal area; NaN without cells.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) integer, 0 background.

    Examples
    --------
    >>> round(median_diameter(np.array([[1, 1, 0], [1, 1, 7]])), 2)
    1.69
    """
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    return float(np.median(np.sqrt(4 / np.pi * areas))) if areas.size else float("nan")
