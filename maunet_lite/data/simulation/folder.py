"""A dataset folder of simulated pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from maunet_lite.data.images import atomic_path, write_image, write_labels
from maunet_lite.data.simulation.pictures import MODALITIES, VARIANTS, simulate

UNLABELLED = "unlabelled"  # the split whose pictures get no label file
SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}


def simulate_dataset(
    folder: str | Path,
    *,
    n_per_modality: int = 20,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    splits: Mapping[str, float] = SPLITS,
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
    splits : mapping of name to share
        Shares sum to 1. Every split gets a picture before any gets a second one. Pictures of a split called
        "unlabelled" get no label file.
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
    if n_per_modality < 1 or seed < 0 or not 0 <= light_leak <= 1:
        raise ValueError(
            f"n_per_modality, seed, light_leak are {n_per_modality}, {seed}, {light_leak}; "
            "expected at least 1, at least 0, and a share between 0 and 1"
        )
    if min(splits.values()) < 0 or abs(sum(splits.values()) - 1) > 1e-6:
        raise ValueError(f"splits are {dict(splits)}; expected shares that sum to 1")
    if folder.exists():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty; choose a new folder, or remove this one first")
        folder.rmdir()  # not every system can rename a folder over an empty one
    todo = [(modality, i) for modality in MODALITIES for i in range(n_per_modality)]
    split_of = split_names(n_per_modality, splits)
    try:
        with atomic_path(folder) as unfinished:
            rows = [
                _write_picture(unfinished, modality, i, shape, seed, split_of[i], light_leak)
                for modality, i in tqdm(todo, desc="simulating", unit="image", disable=not progress)
            ]
            pd.DataFrame(rows).to_csv(unfinished / "metadata.csv", index=False, lineterminator="\n")
    except OSError:
        if not (folder / "metadata.csv").exists():  # otherwise another process finished the same folder first
            raise
    return folder


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
        "licence": "MIT",
    }


def split_names(n: int, splits: Mapping[str, float]) -> list[str]:
    """Name the split of each of ``n`` pictures: first one of each, then whichever lacks most of its share."""
    names = [name for name, share in splits.items() if share > 0]
    for i in range(len(names), n):
        lacking = {name: round(share * (i + 1) - names.count(name), 9) for name, share in splits.items()}
        names.append(max(lacking, key=lacking.get))
    return names[:n]
