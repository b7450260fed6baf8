"""Fetch a dataset of the catalogue, verify it, and bring it into the layout of a dataset folder.

Archives are verified by their SHA-256 before a byte of them is used and are kept, so that a second attempt
goes on with the archive that failed. A dataset appears under its name only when it is complete.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pooch

from maunet_lite import __version__
from maunet_lite.data.catalogue import CATALOGUE, Archive, Entry, catalogued_folder, data_home
from maunet_lite.data.images import atomic_path
from maunet_lite.data.table import DatasetError
from maunet_lite.data.unpacking import Part, unpack_cell_masks, unpack_images, unpack_pairs

# What to do with each archive. The labelled challenge archives use the same file names, hence the prefixes.
_NUCLEI = {"modality": "fluorescence", "labels": "masks"}
UNPACK: dict[str, Callable[..., pd.DataFrame]] = {
    "Training-labeled.zip": partial(unpack_pairs, parts=(Part("Training-labeled", "train", "training"),)),
    "Tuning.zip": partial(unpack_pairs, parts=(Part("Tuning", "test", "tuning", prefix="tuning_"),)),
    "Testing.zip": partial(
        unpack_pairs, parts=(Part("Testing/Public", "test", "testing", prefix="testing_"),)
    ),
    "train-unlabeled-part1.zip": partial(unpack_images, source="part1"),
    "train-unlabeled-part2.zip": partial(unpack_images, source="part2"),
    "dsb2018.zip": partial(
        unpack_pairs,
        parts=(Part("train", "train", "dsb2018", **_NUCLEI), Part("test", "test", "dsb2018", **_NUCLEI)),
    ),
    "stage1_train.zip": partial(unpack_cell_masks, source="bbbc038"),
}


class LicenceError(DatasetError):
    """The licence of a dataset has not been accepted."""


def get(
    name: str,
    folder: str | Path | None = None,
    *,
    accept_licence: bool = False,
    archives: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Return the folder of a dataset of the catalogue; fetch it if it is not here.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.
    folder : path, optional
        Where the dataset shall be, instead of in `data_home`.
    accept_licence : bool
        Needed for datasets whose licence forbids something; the error without it says what.
    archives : path, optional
        A folder that holds the archives already, for machines without a network. They are verified all the
        same.
    progress : bool
        Show progress bars.

    Returns
    -------
    pathlib.Path
        A folder with ``images/``, ``labels/``, ``metadata.csv`` and ``LICENCE.txt``. Images and label maps
        are copied as they are.

    Raises
    ------
    LicenceError
        If the licence must be accepted and was not.
    DatasetError
        If the name is unknown, the folder holds something else, or an archive cannot be fetched, has another
        checksum or another content.
    """
    if name not in CATALOGUE:
        raise DatasetError(f"the kit knows no dataset {name!r}: there are {', '.join(CATALOGUE)}")
    entry = CATALOGUE[name]
    if not entry.archives:
        return catalogued_folder(name)
    folder = data_home() / name if folder is None else Path(folder)
    if (folder / "images").is_dir():
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(
            f"{folder} holds something else than dataset {name!r}: choose another folder, or empty it"
        )
    if entry.restricted and not accept_licence:
        raise LicenceError(
            f"the licence of {name} is {entry.licence}. To accept it, pass accept_licence=True "
            "(on the command line: --yes)"
        )
    paths = [_find(a, Path(archives)) if archives else _fetch(a, progress) for a in entry.archives]
    _build(folder, name, entry, paths, progress)
    return folder


def _build(folder: Path, name: str, entry: Entry, paths: list[Path], progress: bool) -> None:
    """Unpack the archives of a dataset into `folder`, which appears complete or not at all."""
    if folder.exists():
        folder.rmdir()  # it is empty; not every system can rename a folder over an empty one
    with atomic_path(folder) as unfinished:
        tables = []
        for archive, path in zip(entry.archives, paths, strict=True):
            try:
                with zipfile.ZipFile(path) as file:
                    tables.append(UNPACK[archive.file](file, unfinished, progress=progress))
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise DatasetError(f"{path} cannot be unpacked ({error}); remove it and try again") from error
        table = pd.concat(tables).assign(licence=entry.licence.split(":")[0])
        table.to_csv(unfinished / "metadata.csv", index=False)
        urls = "\n".join(archive.url for archive in entry.archives)
        text = f"{name}: {entry.about}\n\n{entry.licence}\n\nfrom\n{urls}\n"
        (unfinished / "LICENCE.txt").write_text(text, encoding="utf-8")


def _downloader(progress: bool) -> Callable:
    # Zenodo refuses Python's default user agent.
    return pooch.HTTPDownloader(
        headers={"User-Agent": f"maunet-lite/{__version__}"}, progressbar=progress, timeout=60
    )


def _fetch(archive: Archive, progress: bool) -> Path:
    """Download an archive into the folder ``downloads``, or take the verified one that is there."""
    folder = data_home() / "downloads"
    by_hand = (
        f"Or fetch {archive.url} with a browser and put it into {folder}, or name its folder with --archives"
    )
    try:
        path = pooch.retrieve(
            archive.url, f"sha256:{archive.sha256}", archive.file, folder, downloader=_downloader(progress)
        )
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise DatasetError(
            f"{archive.url} is damaged or was changed, and was not kept: its SHA-256 is not "
            f"{archive.sha256}. Try again later, and update this kit ({error})"
        ) from error
    except OSError as error:  # among them all errors of requests
        raise DatasetError(
            f"{archive.url} cannot be fetched ({type(error).__name__}: {error}). Try again: complete "
            f"archives are kept. {by_hand}"
        ) from error
    return Path(path)


def _find(archive: Archive, folder: Path) -> Path:
    """Return an archive that was fetched by hand, verified."""
    path = folder / archive.file
    if not path.is_file():
        raise DatasetError(f"there is no {path}; fetch it from {archive.url}")
    found = pooch.file_hash(str(path))
    if found != archive.sha256:
        raise DatasetError(
            f"{path} is damaged or was changed: its SHA-256 is {found}, expected {archive.sha256}"
        )
    return path
