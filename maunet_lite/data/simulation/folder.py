"""A dataset folder of simulated pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from maunet_lite.data.images import atomic_path, write_image, write_labels
from maunet_lite.data.simulation.pictures import MODALITIES, VARIANTS, simulate

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def simulate_dataset(
    folder: str | Path,
    *,
    n_per_modality: int = 20,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
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
        Pictures of each of the four modalities; its variants take turns. 70 % are for training, the others
        for validation and testing; each of these gets a picture before any gets a second one.
    shape : (height, width)
        Of every picture.
    seed : int, 0 or more
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
    if n_per_modality < 1 or seed < 0:
        raise ValueError(f"n_per_modality is {n_per_modality}, seed {seed}; expected at least 1, at least 0")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose a new folder, or remove this one first")
    todo = [(modality, i) for modality in MODALITIES for i in range(n_per_modality)]
    try:
        with atomic_path(folder) as unfinished:
            table = pd.DataFrame(
                _write_picture(unfinished, modality, i, shape, seed)
                for modality, i in tqdm(todo, desc="simulating", unit="image", disable=not progress)
            )
            table.insert(3, "split", split_names(n_per_modality) * len(MODALITIES))
            table.to_csv(unfinished / "metadata.csv", index=False, lineterminator="\n")
    except OSError:
        if not (folder / "metadata.csv").exists():  # otherwise another process finished the same folder first
            raise
    return folder


def _write_picture(folder: Path, modality: str, i: int, shape: tuple[int, int], seed: int) -> dict[str, Any]:
    """Write picture ``i`` of a modality; return what the table says of it."""
    rng = np.random.default_rng([seed, MODALITIES.index(modality), i])
    variant = VARIANTS[modality][i % len(VARIANTS[modality])]
    rng.random()  # of no use any more, but without it all pictures would be others than they always were
    dtype, suffix = ("uint16", ".tif") if modality == "fluorescence" and i % 3 == 1 else ("uint8", ".png")
    image, labels = simulate(modality, shape, rng=rng, variant=variant, dtype=dtype)
    name = f"{modality}_{i:04d}"
    write_image(folder / "images" / (name + suffix), image)
    write_labels(folder / "labels" / f"{name}_label.tiff", labels)
    return {
        "image": name + suffix, "modality": modality, "source": f"simulated-{modality}-{variant}",
        "height": shape[0], "width": shape[1], "channels": 1 if image.ndim == 2 else 3, "cells": labels.max(),
        "licence": "MIT",
    }  # fmt: skip


def split_names(n: int) -> list[str]:
    """Name the split of each of ``n`` pictures: first one of each, then whichever lacks most of its share.

    >>> split_names(5)
    ['train', 'val', 'test', 'train', 'train']
    """
    names = list(SHARES)
    for count in range(len(names), n):
        lacking = {name: round(share * (count + 1) - names.count(name), 9) for name, share in SHARES.items()}
        names.append(max(lacking, key=lacking.get))
    return names[:n]
