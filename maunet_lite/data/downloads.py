"""Fetch a dataset of the catalogue, verify it, and bring it into the layout of a dataset folder.

Archives are verified by their SHA-256 before a byte of them is used and are kept, so that a second attempt
goes on with the archive that failed. Their members are read one by one, and only where images and label maps
are expected; they get names of our own making: nothing an archive says decides where a file is written. A
dataset appears under its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pooch
from tqdm import tqdm

from maunet_lite import __version__
from maunet_lite.data.catalogue import CATALOGUE, CHECKSUMS, Entry, Part, catalogued_folder, data_home
from maunet_lite.data.checks import DatasetError
from maunet_lite.data.images import IMAGE_SUFFIXES, atomic_path, write_labels
from maunet_lite.data.table import LABEL_SUFFIXES

VAL_SEED = 2022  # of the choice of validation images
VAL_SHARE = 0.1  # the paper (section 4.1) keeps 100 of 1,000 images


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
    if not entry.parts:
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
    paths = {url: _find(url, Path(archives)) if archives else _fetch(url, progress) for url in entry.urls}
    _build(folder, name, entry, paths, progress)
    return folder


def _downloader(progress: bool) -> Callable:
    # Zenodo refuses Python's default user agent.
    agent = {"User-Agent": f"maunet-lite/{__version__}"}
    return pooch.HTTPDownloader(headers=agent, progressbar=progress, timeout=60)


def _fetch(url: str, progress: bool) -> Path:
    """Download an archive into the folder ``downloads``, or take the verified one that is there."""
    folder, file = data_home() / "downloads", url.rsplit("/", 1)[1]
    known = f"sha256:{CHECKSUMS[file]}"
    try:
        return Path(pooch.retrieve(url, known, file, folder, downloader=_downloader(progress)))
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise DatasetError(
            f"{url} is damaged or was changed, and was not kept: its SHA-256 is not {CHECKSUMS[file]}. "
            f"Try again later, and update this kit ({error})"
        ) from error
    except OSError as error:  # among them all errors of requests
        raise DatasetError(
            f"{url} cannot be fetched ({type(error).__name__}: {error}). Try again: complete archives are "
            f"kept. Or fetch it with a browser and put it into {folder}, or name its folder with --archives"
        ) from error


def _find(url: str, folder: Path) -> Path:
    """Return an archive that was fetched by hand, verified."""
    path = folder / url.rsplit("/", 1)[1]
    if not path.is_file():
        raise DatasetError(f"there is no {path}; fetch it from {url}")
    found, expected = pooch.file_hash(str(path)), CHECKSUMS[path.name]
    if found != expected:
        raise DatasetError(f"{path} is damaged or was changed: its SHA-256 is {found}, expected {expected}")
    return path


# --- from archives to a dataset folder ----------------------------------------------------------------


def _build(folder: Path, name: str, entry: Entry, paths: dict[str, Path], progress: bool) -> None:
    """Unpack the archives of a dataset into `folder`, which appears complete or not at all."""
    if folder.exists():
        folder.rmdir()  # it is empty; not every system can rename a folder over an empty one
    rows = []
    with atomic_path(folder) as unfinished:
        for part in entry.parts:
            path = paths[part.url]
            try:
                with zipfile.ZipFile(path) as archive:
                    rows += unpack(archive, part, unfinished, progress)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise DatasetError(f"{path} cannot be unpacked ({error}); remove it and try again") from error
        table = pd.DataFrame(rows, columns=["image", "modality", "source", "split"])
        table.assign(licence=entry.licence.split(":")[0]).to_csv(unfinished / "metadata.csv", index=False)
        text = "\n".join([f"{name}: {entry.about}", "", entry.licence, "", "from", *entry.urls, ""])
        (unfinished / "LICENCE.txt").write_text(text, encoding="utf-8")


def unpack(
    archive: zipfile.ZipFile, part: Part, folder: Path, progress: bool = True
) -> list[tuple[str, str, str, str]]:
    """Bring a part of an archive into a dataset folder.

    Images and label maps are copied as they are; masks of single cells are joined into a label map.

    Returns
    -------
    list of tuple
        Image, modality, source and split of each image.

    Raises
    ------
    DatasetError
        If there are no such images in the archive.
    """
    images = _members(archive, part.images, IMAGE_SUFFIXES)
    labels = _members(archive, part.labels, LABEL_SUFFIXES) if part.labels else {}
    if not images:
        folders = sorted({str(PurePosixPath(name).parent) for name in archive.namelist()})
        raise DatasetError(
            f"{archive.filename} holds no images {part.images}; its folders are {', '.join(folders[:8])}"
        )
    splits = with_validation(list(images)) if part.labels and part.split == "train" else {}
    found = [(stem, member) for stem, members in images.items() for member in members]
    rows = []
    for stem, member in tqdm(found, desc=f"unpacking {part.source}", unit="image", disable=not progress):
        path = folder / "images" / _plain(part.prefix + PurePosixPath(member).name)
        if path.exists():  # the same name in another folder of the archive, or in another archive
            path = path.with_name(_plain(f"{part.source}_{member}"))
        _copy(archive, member, path)
        label = folder / "labels" / f"{path.stem}_label.tiff"
        if part.masks and stem in labels:
            masks = [iio.imread(archive.read(mask), extension=".png") for mask in labels[stem]]
            write_labels(label, join_masks(masks))
        elif stem in labels:
            _copy(archive, labels[stem][0], label.with_suffix(PurePosixPath(labels[stem][0]).suffix.lower()))
        rows.append((path.name, part.modality, part.source, splits.get(stem, part.split)))
    return rows


def _members(archive: zipfile.ZipFile, layout: str, suffixes: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the files of a layout by their NAME, in order; folders, and what macOS adds, are left out."""
    text = re.escape(layout).replace("NAME", "(?P<name>[^/]+?)").replace(r"\*", "[^/]+")
    wanted = re.compile(rf"(?:.*/)?{text}(?:{'|'.join(map(re.escape, suffixes))})", re.IGNORECASE)
    hidden = re.compile(r"(^|/)(__MACOSX/|\.)")
    found: dict[str, list[str]] = {}
    for member in sorted(archive.namelist()):
        match = wanted.fullmatch(member)
        if match and not hidden.search(member):
            found.setdefault(match["name"], []).append(member)
    return found


def join_masks(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Join masks of single cells, (H, W), into a label map (H, W) int32; where two overlap, the first wins.

    Examples
    --------
    >>> join_masks(np.array([[[255, 255, 0]], [[0, 255, 255]]]))
    array([[2, 2, 3]], dtype=int32)
    """
    insides = [np.atleast_3d(mask).any(axis=2) for mask in masks]
    sizes = {inside.shape for inside in insides}
    if len(sizes) != 1:
        raise DatasetError(f"masks of one image differ in size: {sorted(sizes)}")
    labels = np.zeros(insides[0].shape, dtype=np.int32)
    # From 2 on: a map of nothing but 1, in pieces, would be taken for a mask of foreground.
    for cell, inside in reversed([*enumerate(insides, start=2)]):
        labels[inside] = cell
    return labels


def with_validation(names: list[str]) -> dict[str, str]:
    """Return the split of each name: a tenth of them is "val", the others are "train".

    Chosen by a hash, which no version of a random generator changes.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{VAL_SEED} {name}".encode()).digest())
    val = set(shuffled[: round(VAL_SHARE * len(names))])
    return {name: "val" if name in val else "train" for name in names}


def _plain(name: str) -> str:
    """Return a file name that is one on every system, and no path on any."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", name).lstrip(".")


def _copy(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as sink:  # x: never one file over another
        shutil.copyfileobj(source, sink, 2**20)
