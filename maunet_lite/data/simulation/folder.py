"""A dataset folder of simulated pictures."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from maunet_lite.data.images import atomic_path, write_image, write_labels
from maunet_lite.data.simulation.pictures import simulate
from maunet_lite.data.simulation.recipes import MODALITIES, VARIANTS

UNLABELLED = "unlabelled"  # the split whose pictures get no label file
COLUMNS = ("image", "modality", "source", "split", "height", "width", "channels", "cells", "licence")
LICENCE = "MIT"


def simulate_dataset(
    folder: str | Path,
    *,
    n_per_modality: int = 20,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    splits: Mapping[str, float] | None = None,
    light_leak: float = 0.0,
    progress: bool = True,
) -> Path:
    """Write a dataset folder of simulated pictures of all modalities.

    The folder holds ``images/NAME.png`` (every third fluorescence picture is a 16-bit ``NAME.tif``),
    ``labels/NAME_label.tiff`` and ``metadata.csv`` with the columns image, modality, source, split, height,
    width, channels, cells and licence. It appears under its name only when it is complete. The same arguments
    give the same bytes on the same machine, and with more pictures per modality the first ones stay the same.

    Parameters
    ----------
    folder : path
        Must be absent or empty.
    n_per_modality : int
        Pictures of each of the four modalities; its variants take turns.
    shape : (height, width)
        Of every picture.
    seed : int, 0 or more
    splits : mapping of name to share, optional
        Shares sum to 1; by default train 0.7, val 0.15, test 0.15. Every split gets a picture before any gets
        a second one. Pictures of a split called "unlabelled" get no label file.
    light_leak : float, 0 to 1
        Share of pictures with stray light; their source ends in "-leak".
    progress : bool
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds something already.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> tiny = getfixture("tmp_path") / "tiny"
    >>> folder = simulate_dataset(tiny, n_per_modality=1, shape=(32, 48), progress=False)
    >>> sorted(path.name for path in folder.iterdir())
    ['images', 'labels', 'metadata.csv']
    """
    folder = Path(folder)
    splits = dict(splits or {"train": 0.7, "val": 0.15, "test": 0.15})
    if n_per_modality < 1 or seed < 0 or not 0 <= light_leak <= 1:
        raise ValueError(
            f"n_per_modality, seed, light_leak are {n_per_modality}, {seed}, {light_leak}; "
            "expected at least 1, at least 0, and a share between 0 and 1"
        )
    if min(splits.values()) < 0 or abs(sum(splits.values()) - 1) > 1e-6:
        raise ValueError(f"splits are {splits}; expected shares that sum to 1")
    if folder.exists():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty; choose a new folder, or remove this one first")
        folder.rmdir()  # not every system can rename a folder over an empty one
    try:
        with atomic_path(folder) as unfinished:
            _write_dataset(unfinished, n_per_modality, shape, seed, splits, light_leak, progress)
    except OSError:
        if not (folder / "metadata.csv").exists():  # otherwise another process finished the same folder first
            raise
    return folder


def _write_dataset(
    folder: Path,
    n_per_modality: int,
    shape: tuple[int, int],
    seed: int,
    splits: dict[str, float],
    light_leak: float,
    progress: bool,
) -> None:
    """Write all pictures, then the table of them."""
    split_of = _split_names(n_per_modality, splits)
    todo = [(modality, i) for modality in MODALITIES for i in range(n_per_modality)]
    rows = [
        _write_picture(folder, modality, i, shape, seed, split_of[i], light_leak)
        for modality, i in tqdm(todo, desc="simulating", unit="image", disable=not progress)
    ]
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _write_picture(
    folder: Path, modality: str, i: int, shape: tuple[int, int], seed: int, split: str, light_leak: float
) -> dict[str, Any]:
    """Write picture ``i`` of a modality; return its row of the table."""
    rng = np.random.default_rng([seed, MODALITIES.index(modality), i])
    variant = VARIANTS[modality][i % len(VARIANTS[modality])]
    leaks = bool(rng.random() < light_leak)
    deep = modality == "fluorescence" and i % 3 == 1
    dtype, suffix = ("uint16", ".tif") if deep else ("uint8", ".png")
    image, labels = simulate(modality, shape, rng=rng, variant=variant, light_leak=leaks, dtype=dtype)
    name = f"{modality}_{i:04d}"
    write_image(folder / "images" / (name + suffix), image)
    if split != UNLABELLED:
        write_labels(folder / "labels" / f"{name}_label.tiff", labels)
    return {
        "image": name + suffix,
        "modality": modality,
        "source": f"simulated-{modality}-{variant}{'-leak' if leaks else ''}",
        "split": split,
        "height": shape[0],
        "width": shape[1],
        "channels": 1 if image.ndim == 2 else image.shape[2],
        "cells": "" if split == UNLABELLED else labels.max(),
        "licence": LICENCE,
    }


def _split_names(n: int, splits: dict[str, float]) -> list[str]:
    """Name the split of each of ``n`` pictures: first one of each, then whichever lacks most of its share."""
    shares = {name: share for name, share in splits.items() if share > 0}
    names = list(shares)
    for i in range(len(names), n):
        names.append(max(shares, key=lambda name: round(shares[name] * (i + 1) - names.count(name), 9)))  # noqa: B023
    return names[:n]
