"""The datasets that the kit knows by name: what they are, their licence, how to get them, where they lie.

Nothing is downloaded unless asked for by name (`downloads`).
"""

import os
from pathlib import Path
from typing import NamedTuple

from maunet_lite.data.checks import DatasetError


class Part(NamedTuple):
    """Images and their label maps in an archive on the web, and what becomes of them.

    Attributes
    ----------
    url : str
        Of the archive, a zip file.
    images : str
        Files without their suffix, such as ``train/images/NAME``, in a folder of the archive or at its root.
        NAME is what an image and its label map have in common.
    source : str
        What the table says of its images.
    split : str
        Of its images; of labelled ones for ``"train"``, a tenth drawn at random, always the same, becomes
        ``"val"``.
    labels : str
        Where the label maps are; empty if there are none.
    modality : str
        What the table says of its images.
    prefix : str
        Put before file names, where several parts use the same ones.
    """

    url: str
    images: str
    source: str
    split: str = "train"
    labels: str = ""
    modality: str = "unknown"
    prefix: str = ""


class Entry(NamedTuple):
    """A dataset of the catalogue.

    Attributes
    ----------
    about : str
        What it shows, in a line.
    how : str
        How to get it.
    licence : str
        Licence of what is downloaded; empty for what is made here or lies here already.
    restricted : bool
        The licence forbids something, so that it must be accepted before a download.
    parts : tuple of Part
        What it consists of on the web; empty if it is no download.
    """

    about: str
    how: str
    licence: str = ""
    restricted: bool = False
    parts: tuple[Part, ...] = ()


_CHALLENGE = "https://zenodo.org/records/10719375/files"
_STARDIST = "https://github.com/stardist/stardist/releases/download/0.1.0/dsb2018.zip"
_NO_DERIVATIVES = "CC BY-NC-ND: not for commercial use, and changed versions may not be passed on"

# SHA-256 of each archive
CHECKSUMS = {
    "Training-labeled.zip": "b2383929eb8e99b2716fa0d4e2f6e03983e626a57cf00fe85175869c54aa3592",
    "Tuning.zip": "849423d36bb8fcc2d91a5b189a3b6d93c3d4071c9701eaaa44ba393a510459c4",
    "Testing.zip": "3379730221f43830d30fddf131750e967c9c9bdf04f98811e852a050eb659ccc",
    "train-unlabeled-part1.zip": "390b38b398b05e9e5306a024a3bd48ab22e49592cfab3c1a119eab3636b38e0d",
    "train-unlabeled-part2.zip": "d1e68eba2918305eab8b846e7578ac14683de970e3fa6a7c2a4a55753be56204",
    "dsb2018.zip": "e44921950edce378063aa4457e625581ba35b4c2dbd9a07c19d48900129f386f",
}


def _challenge(file: str, folder: str, split: str, source: str, prefix: str = "") -> Part:
    """Describe two folders inside one of an archive of the challenge."""
    labels = f"{folder}/labels/NAME_label"
    return Part(f"{_CHALLENGE}/{file}", f"{folder}/images/NAME", source, split, labels, prefix=prefix)


CATALOGUE: dict[str, Entry] = {
    "simulated": Entry(
        "48 images of four simulated microscopes, with exact labels", "made here on first use"
    ),
    "samples": Entry("8 simulated images of the four modalities", "comes with the kit"),
    "cells": Entry(
        "real images of four modalities, each under a free licence that its table names",
        "a folder of your own: put it into the folder of datasets, or set MAUNET_CELLS to its path",
    ),
    "simulated-extra": Entry(
        "900 simulated images, to train on beside real ones: 15 kinds that labelled collections lack",
        "made here on first use (a few minutes)",
    ),
    "neurips22": Entry(
        "the paper's data, NeurIPS 2022 challenge: train and val are the 1,000 labelled training images "
        "(900 and 100), test is the tuning set (101) and the public test set, which differ in source",
        "maunet-lite data get neurips22 (several GB)",
        licence=_NO_DERIVATIVES,
        restricted=True,
        parts=(  # whose files have the same names, hence the prefixes
            _challenge("Training-labeled.zip", "Training-labeled", "train", "training"),
            _challenge("Tuning.zip", "Tuning", "test", "tuning", prefix="tuning_"),
            _challenge("Testing.zip", "Testing/Public", "test", "testing", prefix="testing_"),
        ),
    ),
    "neurips22-unlabelled": Entry(
        "the challenge's unlabelled images, some of them whole slides: for consistency regularization",
        "maunet-lite data get neurips22-unlabelled (many GB)",
        licence=_NO_DERIVATIVES,
        restricted=True,
        parts=tuple(Part(f"{_CHALLENGE}/train-unlabeled-{n}.zip", "NAME", n) for n in ("part1", "part2")),
    ),
    "dsb2018": Entry(
        "497 images of nuclei in fluorescence, Data Science Bowl 2018: the subset of StarDist's examples",
        "maunet-lite data get dsb2018",
        licence="CC0: free for any use",
        parts=tuple(
            Part(_STARDIST, f"{split}/images/NAME", "dsb2018", split, f"{split}/masks/NAME", "fluorescence")
            for split in ("train", "test")
        ),
    ),
}

_CHECKOUT = Path(__file__).resolve().parents[3]  # if the package runs from one


def data_home() -> Path:
    """Return the folder for simulated and downloaded data.

    ``$MAUNET_DATA`` if set, else ``data/`` of the checkout this package runs from, else the user's cache.
    """
    if os.environ.get("MAUNET_DATA"):
        return Path(os.environ["MAUNET_DATA"]).expanduser()
    if (_CHECKOUT / "pyproject.toml").exists():
        return _CHECKOUT / "data"
    import pooch

    return Path(pooch.os_cache("maunet-lite"))


def find_folder(name: str) -> Path:
    """Return where dataset `name` is, or would be, without making or fetching anything."""
    folder = data_home() / name
    if name == "cells" and os.environ.get("MAUNET_CELLS"):
        return Path(os.environ["MAUNET_CELLS"]).expanduser()
    if name == "samples" and not folder.is_dir():
        return _CHECKOUT / "data" / name  # they stay where they are when MAUNET_DATA leads elsewhere
    return folder


def catalogued_folder(name: str) -> Path:
    """Return the folder of a dataset of the catalogue, making the simulated ones on first use.

    Raises
    ------
    DatasetError
        If the name is unknown or the dataset is not here.
    """
    if name not in CATALOGUE:
        raise DatasetError(
            f"{name!r} is neither a folder nor a dataset that the kit knows: there are {', '.join(CATALOGUE)}"
        )
    folder = find_folder(name)
    if name.startswith("simulated") and not (folder / "metadata.csv").exists():
        from maunet_lite.data.simulation.folder import simulate_dataset, simulate_extra_dataset

        try:
            if name == "simulated":
                simulate_dataset(folder, n_per_modality=12, shape=(256, 256), seed=0)
            else:
                simulate_extra_dataset(folder)
        except OSError:
            if not (folder / "metadata.csv").exists():  # else another process has made it meanwhile
                raise
    if not folder.is_dir():
        raise DatasetError(
            f"dataset {name!r} is not at {folder}. How to get it: {CATALOGUE[name].how}. "
            "Datasets are looked for in MAUNET_DATA, if that variable is set"
        )
    return folder


def format_catalogue() -> str:
    """Return the catalogue as lines for a terminal: name, where it is, what it is, its licence.

    Examples
    --------
    >>> print(format_catalogue().splitlines()[1].strip())
    48 images of four simulated microscopes, with exact labels
    """
    width = max(len(name) for name in CATALOGUE)
    lines = []
    for name, entry in CATALOGUE.items():
        folder = find_folder(name)
        where = f"here: {folder}" if (folder / "images").is_dir() else f"not here; {entry.how}"
        licence = [f"licence: {entry.licence}"] if entry.licence else []
        lines += [f"{name:{width}}  {where}", *(f"{'':{width}}  {line}" for line in [entry.about, *licence])]
    lines.append(f"Folder of datasets: {data_home()} (MAUNET_DATA changes it). Any other works by its path.")
    return "\n".join(lines)
