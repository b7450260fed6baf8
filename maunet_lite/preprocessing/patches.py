"""Training patches: images and targets are prepared once, patches are drawn by number.

Draw number k of a `PatchDataset` depends on its seed and on k alone. A loader may therefore be split over
workers and machines, and an interrupted training goes on with the very patch it would have seen next.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from maunet_lite import preprocessing
from maunet_lite.data import (
    CellDataset,
    DatasetError,
    atomic_path,
    checks,
    data_home,
    read_image,
    read_labels,
)
from maunet_lite.preprocessing import intensity
from maunet_lite.preprocessing.augmentation import (
    AugmentationConfig,
    random_flips,
    random_intensity,
    random_window,
    resize_window,
)
from maunet_lite.preprocessing.intensity import HIGH, LOW, normalize
from maunet_lite.preprocessing.targets import Targets, make_targets

CACHE_VERSION = 2  # of the layout of prepared images
_STEPS = 65_535  # prepared images and distances are stored in 16 bit
_STRIP = 2**22  # pixels converted at a time: no second copy of a slide


@dataclass(frozen=True)
class TargetConfig:
    """Which variant of the paper's targets and intensities to learn (see `preprocessing`)."""

    intensity: str = "authors"
    boundary: str = "paper"
    center: str = "paper"
    beta: float = 1.0


class PreparedImage:
    """A normalised image and its targets: computed on first use, kept on disk, read window by window.

    The file's name is a hash of all that its content depends on: the image and label files (path, size, time
    of change), the configuration and the code that prepares. Whatever changes makes a new file. Nothing stays
    open, so that any number of images can be in use, in any number of processes.

    Parameters
    ----------
    image, label : Path
        The image file and its label map; without the latter, targets are zero.
    config : TargetConfig
    cache : Path
        Folder for prepared images.
    """

    def __init__(self, image: Path, label: Path | None, config: TargetConfig, cache: Path) -> None:
        self.image, self.label, self.config = image, label, config
        files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in (image, label) if p]
        key = json.dumps([CACHE_VERSION, code_version(), asdict(config), files])
        self.path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"

    @property
    def labelled(self) -> bool:
        """Whether there is a label map."""
        return self.label is not None

    def open(self) -> np.ndarray:
        """Return the prepared image, a memory-mapped (H, W, C + 2) uint16 array.

        Its channels are those of the image (1 if it is grey, else 3), the classes and the distance.

        Raises
        ------
        DatasetError
            If image and label map differ in size, or the cache cannot be written.
        """
        try:
            return np.load(self.path, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # not there yet, or damaged by a full disk
            self._prepare()
            return np.load(self.path, mmap_mode="r")

    def _prepare(self) -> None:
        image = normalize(read_image(self.image), self.config.intensity)
        if (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all():
            image = image[..., :1]  # grey
        targets = self._targets(image.shape[:2])
        try:
            with atomic_path(self.path) as part:
                _write(part, image, targets)
        except OSError as error:
            if self.path.exists():  # another process made it first and has it open: Windows then keeps that
                return
            raise DatasetError(
                f"prepared images cannot be written to {self.path.parent} ({error}): make space, or let "
                "MAUNET_DATA name a folder elsewhere"
            ) from error

    def _targets(self, shape: tuple[int, int]) -> Targets:
        if self.label is None:
            return Targets(np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.float32))
        labels = read_labels(self.label)
        if labels.shape != shape:
            raise DatasetError(
                f"{self.image.name} is {shape} pixels (height, width), but its label map {self.label.name} "
                f"is {labels.shape}; `maunet-lite data check` lists all such images"
            )
        c = self.config
        return make_targets(labels, boundary=c.boundary, center=c.center, beta=c.beta)


def _write(path: Path, image: np.ndarray, targets: Targets) -> None:
    """Write image (H, W, C), classes and distance as one .npy file, (H, W, C + 2) uint16."""
    height, width, channels = image.shape
    header = {"descr": "<u2", "fortran_order": False, "shape": (height, width, channels + 2)}
    rows = max(1, _STRIP // width)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for top in range(0, height, rows):
            strip = slice(top, top + rows)
            values = (image[strip] - np.float32(LOW)) * np.float32(_STEPS / (HIGH - LOW))
            distance = targets.distance[strip] * np.float32(_STEPS)
            out = np.dstack([np.rint(values), targets.classes[strip], np.rint(distance)])
            file.write(out.astype("<u2").tobytes())


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a hash of the code that prepares images: what it made before it was changed is not used.

    Comments, docstrings and layout do not count.
    """
    digest = hashlib.sha256()
    for module in (checks, intensity, preprocessing):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(getattr(node, "body", None), list):
                node.body = [part for part in node.body if not _is_docstring(part)]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


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
        self,
        dataset: CellDataset,
        n_draws: int,
        augmentation: AugmentationConfig | None = None,
        targets: TargetConfig | None = None,
        seed: int = 0,
        balance: float = 0.5,
        cache: Path | None = None,
    ) -> None:
        if not len(dataset):
            raise DatasetError(f"dataset {dataset.name!r} holds no images to draw patches from")
        self.n_draws, self.seed = n_draws, seed
        self.augmentation = augmentation or AugmentationConfig()
        cache, targets = cache or data_home() / "cache", targets or TargetConfig()
        self.images = [
            PreparedImage(dataset.image_path(i), dataset.label_path(i), targets, cache)
            for i in range(len(dataset))
        ]
        self.weights = source_weights(dataset.table["source"].to_numpy(), balance)
        self._up_to = np.cumsum(self.weights)

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, k: int) -> dict[str, torch.Tensor | int]:
        if not 0 <= k < self.n_draws:
            raise IndexError(k)
        if get_worker_info() is not None:
            cv2.setNumThreads(1)  # as torch does: workers are many already
        rng = np.random.default_rng([self.seed, k])
        index = int(np.searchsorted(self._up_to, rng.random() * self._up_to[-1], side="right"))
        image, classes, distance = self.patch(index, rng)
        return {
            "image": torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C")),
            "classes": torch.from_numpy(classes.astype(np.int64)),
            "distance": torch.from_numpy(distance[None]),
            "index": index,
        }

    def patch(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a random patch of image `index`: image (P, P, 3), classes (P, P) uint8, distance (P, P).

        Image and distance are float32; the image is read-only if it is grey.
        """
        config, pixels = self.augmentation, self.images[index].open()
        centre = None
        if rng.random() < config.around_cell and self.images[index].labelled:
            centre = _random_cell_pixel(pixels[..., -2], rng)
        rows, columns, zoom = random_window(pixels.shape[:2], config, rng, centre)
        offset = (float(rng.random()), float(rng.random()))
        window = np.array(pixels[rows, columns])  # the only read: (h, w, C + 2)
        fill = None if config.padding == "mirror" else 0
        parts = (window[..., :-2], window[..., -2], window[..., -1])
        parts = [resize_window(part, zoom, config.patch, offset, fill) for part in parts]
        image, classes, distance = random_flips(parts, rng, config.p_geometry)
        image = image * np.float32((HIGH - LOW) / _STEPS) + np.float32(LOW)
        image = random_intensity(image, rng, config.p_intensity)
        side = config.patch
        return (
            np.broadcast_to(image, (side, side, 3)),
            classes.astype(np.uint8),
            distance * np.float32(1 / _STEPS),
        )


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
    """Return a random pixel of a cell, or None if 4,096 looks find none: a whole slide is not searched."""
    height, width = classes.shape
    for _ in range(16):
        rows, columns = rng.integers(0, height, 256), rng.integers(0, width, 256)
        hits = np.flatnonzero(classes[rows, columns])
        if hits.size:
            return int(rows[hits[0]]), int(columns[hits[0]])
    return None
