"""Training patches: images and targets are prepared once, patches are drawn by number.

Draw number k of a `PatchDataset` depends on its seed and on k alone. A loader may therefore be split over
workers and machines, and an interrupted training goes on with the very patch it would have seen next.
"""

import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.segmentation import relabel_sequential
from torch.utils.data import Dataset, get_worker_info

from maunet_lite.data import CellDataset, DatasetError, atomic_path, data_home, read_image, read_labels
from maunet_lite.preprocessing.augmentation.config import AugmentationConfig
from maunet_lite.preprocessing.augmentation.steps import STEPS, build_augmentation
from maunet_lite.preprocessing.augmentation.windows import median_diameter
from maunet_lite.preprocessing.intensity import HIGH, LOW, normalize
from maunet_lite.preprocessing.targets import TargetConfig, make_targets

_STRIP = 2**22  # pixels converted at a time: no second copy of a slide


class PreparedImage:
    """A normalised image and its targets, or its labels: kept on disk from first use, read window by window.

    The file's name is a hash of all that its content depends on: the image and label files (path, size, time
    of change), the configuration and the code that prepares. Whatever changes makes a new file. Nothing stays
    open, so that any number of images can be in use, in any number of processes.

    MONAI's caches hold whole images: with this kit's targets and augmentation, a patch of 256 pixels of a
    2048² image takes 20 times longer by `PersistentDataset` (which reads 21 bytes per pixel anew, this one
    the 6 of the window) and 4 times by `CacheDataset`, which every worker gets a copy of, 22 bytes per pixel.

    Parameters
    ----------
    image, label : Path
        The image file and its label map; without the latter, targets are zero.
    config : TargetConfig
    folder : Path
        Where prepared images are kept.
    labels : bool
        Keep the label map instead of targets: for patches that are resized before targets are made.
    **reading
        How the image is read, see `data.read_image`.
    """

    def __init__(
        self, image: Path, label: Path | None, config: TargetConfig, folder: Path, labels: bool = False,
        **reading: Any,
    ) -> None:  # fmt: skip
        self.image, self.label, self.config, self.labels, self.reading = image, label, config, labels, reading
        files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in (image, label) if p]
        parts = [code_version(), config.to_dict(), files, labels, reading]
        key = json.dumps(parts, default=str)
        self.path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"

    def open(self) -> dict[str, Any]:
        """Return ``"image"`` (C, H, W), ``"classes"`` and ``"distance"`` (1, H, W), memory-mapped uint16.

        C is 1 for a grey image, else 3. `augmentation.steps.UnpackCellsd` says what the numbers mean. Where
        labels are kept, there are ``"labels"`` (2, H, W), their low and high 16 bit, and ``"diameter"``, the
        median of their cells, instead of targets.

        Raises
        ------
        DatasetError
            If image and label map differ in size, or the prepared image cannot be written.
        """
        try:
            planes, diameter = self._load()
        except (OSError, ValueError, EOFError):  # not there yet, or damaged by a full disk
            self._prepare()
            planes, diameter = self._load()
        if self.labels:
            return {"image": planes[:-2], "labels": planes[-2:], "diameter": diameter}
        return {"image": planes[:-2], "classes": planes[-2:-1], "distance": planes[-1:]}

    def _load(self) -> tuple[np.ndarray, float]:
        planes = np.load(self.path, mmap_mode="r")
        diameter = np.fromfile(self.path, "<f8", 1, offset=planes.offset + planes.nbytes).item()
        # The same memory; slices of it are cheaper than those of a memmap.
        return np.asarray(planes), diameter

    def _prepare(self) -> None:
        image = normalize(read_image(self.image, **self.reading), self.config.intensity)
        if (image == image[..., :1]).all():
            image = image[..., :1]  # grey
        parts = self._targets(image.shape[:2])
        try:
            with atomic_path(self.path) as part:
                _write(part, image, *parts)
        except OSError as error:
            if not self.path.exists():  # else another process made it first; Windows keeps what is open
                what = f"prepared images cannot be written to {self.path.parent} ({error})"
                raise DatasetError(f"{what}: make space, or let MAUNET_DATA name another folder") from error

    def _targets(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
        """Return class map and distance field, or the halves of the label map, and the cells' diameter."""
        if self.label is None:
            return np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.float32), np.nan
        labels, c = read_labels(self.label), self.config
        if labels.shape != shape:
            sizes = f"{shape} pixels (height, width), but its label map {self.label.name} is {labels.shape}"
            raise DatasetError(f"{self.image.name} is {sizes}; `maunet-lite data check` lists all of these")
        if self.labels:
            labels = relabel_sequential(labels)[0]  # ids may be as large as 2³¹, and their low halves 0
            return labels & 0xFFFF, labels >> 16, median_diameter(labels)
        # `read_labels` has refused what is a mask
        return *make_targets(labels, boundary=c.boundary, center=c.center, beta=c.beta, part=True), np.nan


def _write(path: Path, image: np.ndarray, first: np.ndarray, second: np.ndarray, diameter: float) -> None:
    """Write image (H, W, C) and two more planes as one .npy file, (C + 2, H, W) uint16, then the diameter."""
    height, width, channels = image.shape
    planes = np.lib.format.open_memmap(path, "w+", "<u2", (channels + 2, height, width))
    rows, steps = max(1, _STRIP // width), np.float32(STEPS if second.dtype.kind == "f" else 1)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        values = (image[strip] - np.float32(LOW)) * np.float32(STEPS / (HIGH - LOW))
        planes[:-2, strip] = np.rint(values).transpose(2, 0, 1)
        planes[-2, strip] = first[strip]
        planes[-1, strip] = np.rint(second[strip] * steps)
    planes.flush()
    with path.open("ab") as file:
        np.array([diameter], "<f8").tofile(file)


@cache
def code_version() -> str:
    """Return a hash of the modules that prepare images: what they made before they changed is not used."""
    modules = map(inspect.getmodule, (read_labels, normalize, make_targets, code_version))
    return hashlib.sha256("".join(map(inspect.getsource, modules)).encode()).hexdigest()[:16]


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
        A source with n images is drawn in proportion to n ** balance: 1 draws every image alike, 0 every
        source alike.
    cache : Path, optional
        Folder for prepared images; ``data_home()/cache`` by default. It takes 6 bytes per pixel of a grey
        image and 10 of a coloured one. Nothing removes old files from it; it may be deleted at any time.
    blind : bool
        Choose patches as if no image had a label map: none is centred on a cell, and the size of the cells is
        unknown. Targets come with them all the same, to measure by.

    Notes
    -----
    Item k is a dict: image (3, P, P) float32 in [0.01, 0.99], classes (P, P) int64, distance (1, P, P)
    float32, and index, the image's position in `dataset`. Unlabelled images have zero targets. Grey images
    stay grey: their three channels get the same noise.

    Raises
    ------
    DatasetError
        If the dataset holds no images; on drawing, if an image and its label map differ in size.
    """

    def __init__(
        self, dataset: CellDataset, n_draws: int, augmentation: AugmentationConfig | None = None,
        targets: TargetConfig | None = None, seed: int = 0, balance: float = 0.5, cache: Path | None = None,
        *, blind: bool = False,
    ) -> None:  # fmt: skip
        if not len(dataset):
            raise DatasetError(f"dataset {dataset.name!r} holds no images to draw patches from")
        self.n_draws, self.seed = n_draws, seed
        augmentation, targets = augmentation or AugmentationConfig(), targets or TargetConfig()
        augmentation = augmentation.override(around_cell=0.0) if blind else augmentation
        self._unknown = {"diameter": np.nan} if blind else {}
        self.augmentation = build_augmentation(augmentation, targets)
        folder, labels = cache or data_home() / "cache", augmentation.sizes is not None
        files = [(dataset.image_path(i), dataset.label_path(i)) for i in range(len(dataset))]
        how = targets, folder, labels
        self.images = [PreparedImage(*pair, *how, **dataset.reading(i)) for i, pair in enumerate(files)]
        self._up_to = np.cumsum(source_weights(dataset.table["source"].to_numpy(), balance))

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, k: int) -> dict[str, torch.Tensor | int]:
        if not 0 <= k < self.n_draws:
            raise IndexError(k)
        if get_worker_info() is not None:
            cv2.setNumThreads(1)  # as torch does: workers are many already
        self.augmentation.set_random_state((self.seed, k))
        place = self.augmentation.R.random() * self._up_to[-1]
        index = int(np.searchsorted(self._up_to, place, side="right"))
        patch = self.augmentation(self.images[index].open() | self._unknown)
        colour = np.broadcast_to(patch["image"], (3, *patch["image"].shape[1:]))
        image, classes = np.array(colour, order="C"), patch["classes"][0].astype(np.int64)
        parts = {"image": image, "classes": classes, "distance": patch["distance"]}
        return {name: torch.from_numpy(part) for name, part in parts.items()} | {"index": index}


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
