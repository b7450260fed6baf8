"""Dataset folders of simulated pictures."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from maunet_lite.data.simulation.extra import EXTRA_KINDS, simulate_extra
from maunet_lite.data.simulation.pictures import MODALITIES, VARIANTS, Simulated, simulate
from maunet_lite.data.writing import atomic_path, write_image, write_labels

# A kind, the number of a picture and a generator, to the picture, its modality, and its source.
Draw = Callable[[str, int, np.random.Generator], tuple[Simulated, str, str]]
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def simulate_dataset(
    folder: str | Path, *, n_per_modality: int = 20, shape: tuple[int, int] = (256, 256), seed: int = 0,
    progress: bool = True,
) -> Path:  # fmt: skip
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
    if n_per_modality < 1 or seed < 0:
        raise ValueError(f"n_per_modality is {n_per_modality}, seed {seed}; expected at least 1, at least 0")

    def draw(modality: str, i: int, rng: np.random.Generator) -> tuple[Simulated, str, str]:
        variant = VARIANTS[modality][i % len(VARIANTS[modality])]
        rng.random()  # of no use any more, but without it all pictures would be others than they always were
        dtype = "uint16" if modality == "fluorescence" and i % 3 == 1 else "uint8"
        picture = simulate(modality, shape, rng=rng, variant=variant, dtype=dtype)
        return picture, modality, f"{modality}-{variant}"

    return _write_folder(Path(folder), MODALITIES, draw, split_names(n_per_modality), seed, progress)


def simulate_extra_dataset(
    folder: str | Path, *, n_per_kind: int = 60, side: int = 384, seed: int = 0, progress: bool = True
) -> Path:
    """Write a dataset folder of training pictures of all `EXTRA_KINDS`.

    The layout is that of `simulate_dataset`; an image's name begins with its kind. All pictures belong to the
    split "train" and to one of two sources, so that, balanced by source, they do not drown real images.

    Parameters
    ----------
    folder : path
        Must be absent or empty; it appears under its name only when it is complete.
    n_per_kind : int
    side : int
        Height and width of the pictures in pixels.
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
    """
    if n_per_kind < 1 or seed < 0:
        raise ValueError(f"n_per_kind is {n_per_kind}, seed {seed}; expected at least 1, at least 0")

    def draw(kind: str, _: int, rng: np.random.Generator) -> tuple[Simulated, str, str]:
        modality = EXTRA_KINDS[kind].modality
        light = "fluorescence" if modality == "fluorescence" else "transmitted"
        return simulate_extra(kind, (side, side), rng=rng), modality, f"extra-{light}"

    return _write_folder(Path(folder), tuple(EXTRA_KINDS), draw, ["train"] * n_per_kind, seed, progress)


def _write_folder(
    folder: Path, kinds: tuple[str, ...], draw: Draw, splits: list[str], seed: int, progress: bool
) -> Path:
    """Write pictures of all kinds, one for each entry of `splits`, and their table."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose a new folder, or remove this one first")
    rows, todo = [], [*product(enumerate(kinds), enumerate(splits))]
    with atomic_path(folder) as unfinished:
        for (number, kind), (i, split) in tqdm(todo, desc="simulating", unit="image", disable=not progress):
            (image, labels), modality, source = draw(kind, i, np.random.default_rng([seed, number, i]))
            stem = f"{kind}_{i:04d}"
            name = stem + (".tif" if image.dtype == np.uint16 else ".png")
            write_image(unfinished / "images" / name, image)
            write_labels(unfinished / "labels" / f"{stem}_label.tiff", labels)
            rows.append({
                "image": name, "modality": modality, "source": f"simulated-{source}", "split": split,
                "height": image.shape[0], "width": image.shape[1], "channels": 1 if image.ndim == 2 else 3,
                "cells": labels.max(), "licence": "MIT",
            })  # fmt: skip
        pd.DataFrame(rows).to_csv(unfinished / "metadata.csv", index=False, lineterminator="\n")
    return folder


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
