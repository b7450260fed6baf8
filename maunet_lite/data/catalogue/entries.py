"""The datasets that the kit knows by name: what they are, their licence, how to get them, where they lie.

They are described in ``entries.yaml`` beside this file. Nothing is downloaded unless asked for by name
(`downloads`).
"""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml

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


_SAID = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CHECKSUMS: dict[str, str] = _SAID["checksums"]  # SHA-256 of each archive
CATALOGUE = {
    name: Entry(**about | {"parts": tuple(Part(**part) for part in about.get("parts", ()))})
    for name, about in _SAID["datasets"].items()
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
        raise DatasetError(f"{name!r} is neither a folder nor a dataset known here: {', '.join(CATALOGUE)}")
    folder = find_folder(name)
    if name.startswith("simulated") and not (folder / "metadata.csv").exists():
        from maunet_lite.data.simulation.folder import simulate_dataset, simulate_extra_dataset

        make = partial(simulate_dataset, n_per_modality=12) if name == "simulated" else simulate_extra_dataset
        try:
            make(folder)
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
