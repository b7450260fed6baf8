"""Fetch a dataset of the catalogue, verify it, and bring it into the layout of a dataset folder.

Archives are verified by their SHA-256 before a byte of them is used and are kept, so that a second attempt
goes on with the archive that failed. Their members are read one by one, and only where images and label maps
are expected; they get names of our own making: nothing an archive says decides where a file is written. A
dataset appears under its name only when it is complete.
"""

import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd
import pooch
from tqdm import tqdm

from maunet_lite import __version__
from maunet_lite.data.catalogue.cells import build_cells
from maunet_lite.data.catalogue.entries import CATALOGUE, CHECKSUMS, Part, catalogued_folder, find_folder
from maunet_lite.data.checks import DatasetError
from maunet_lite.data.dataset.table import LABEL_SUFFIXES
from maunet_lite.data.reading.images import IMAGE_SUFFIXES
from maunet_lite.data.writing import atomic_path

_LONGEST = 200  # bytes of a file name, with room for what label maps and results add to it


def get(
    name: str, folder: str | Path | None = None, *, accept_licence: bool = False,
    archives: str | Path | None = None, progress: bool = True,
) -> Path:  # fmt: skip
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
        same, or what is made of them is.
    progress : bool
        Show progress bars.

    Returns
    -------
    pathlib.Path
        A folder with ``images/``, ``labels/``, ``metadata.csv`` and ``LICENCE.txt``. Images and label maps
        are copied as they are; those of ``cells`` are built, and each is checked (`build_cells`).

    Raises
    ------
    DatasetError
        If the licence must be accepted and was not, the name is unknown, the folder holds something else, or
        an archive cannot be fetched, has another checksum or another content.
    """
    entry = CATALOGUE.get(name)
    if entry is None or not entry.parts:
        return catalogued_folder(name)
    folder = find_folder(name) if folder is None else Path(folder)
    if name == "cells":
        build_cells(folder, entry, lambda url: _opened(_fetch(url, archives, progress)), progress)
        return folder
    if (folder / "images").is_dir():
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} holds something else than {name!r}: choose another folder, or empty it")
    if entry.restricted and not accept_licence:
        raise DatasetError(
            f"the licence of {name} is {entry.licence}. To accept it, pass accept_licence=True "
            "(on the command line: --yes)"
        )
    paths = {url: _fetch(url, archives, progress) for url in dict.fromkeys(part.url for part in entry.parts)}
    rows = []
    with atomic_path(folder) as unfinished:
        for part in entry.parts:
            with _opened(paths[part.url]) as archive:
                rows += _unpack(archive, part, unfinished, progress)
        table = pd.DataFrame(rows, columns=["image", "modality", "source", "split"])
        table.assign(licence=entry.licence.split(":")[0]).to_csv(unfinished / "metadata.csv", index=False)
        text = "\n".join([f"{name}: {entry.about}", "", entry.licence, "", "from", *paths, ""])
        (unfinished / "LICENCE.txt").write_text(text, encoding="utf-8")
    return folder


def _fetch(url: str, archives: str | Path | None, progress: bool) -> Path:
    """Return an archive: the one in the folder `archives`, or one that is downloaded, and kept.

    It is verified, unless the catalogue has no checksum of it.
    """
    pooch.get_logger().setLevel("WARNING")  # it advises programmers on checksums
    file = url.rsplit("/", 1)[1]
    folder, checksum = Path(archives or find_folder("downloads")), CHECKSUMS.get(file)

    def refuse(*_: object) -> None:  # what pooch calls when the file is not there, or another one
        expected = checksum or "of any value"
        raise FileNotFoundError(f"there is no {folder / file}, or it is damaged: expected SHA-256 {expected}")

    agent = {"User-Agent": f"maunet-lite/{__version__}"}  # Zenodo refuses Python's own
    load = refuse if archives else pooch.HTTPDownloader(headers=agent, progressbar=progress, timeout=60)
    try:
        return Path(pooch.retrieve(url, checksum and f"sha256:{checksum}", file, folder, downloader=load))
    except OSError as error:  # among them all errors of requests, some of which are ValueErrors, too
        raise DatasetError(
            f"{url} cannot be fetched ({type(error).__name__}: {error}). Try again: complete archives are "
            f"kept. Or save it as {folder / file} with a browser, or name its folder with --archives"
        ) from error
    except ValueError as error:  # pooch found another checksum
        raise DatasetError(
            f"{url} is damaged or was changed, and was not kept: its SHA-256 is not {checksum}. "
            f"Try again later, and update this kit ({error})"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever is wrong with it becomes a DatasetError that names it."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # also if encrypted
        raise DatasetError(f"{path} cannot be unpacked ({error}); remove it and try again") from error


# --- from archives to a dataset folder ----------------------------------------------------------------


def _unpack(archive: zipfile.ZipFile, part: Part, folder: Path, progress: bool) -> list[tuple[str, ...]]:
    """Bring a part of an archive into a dataset folder.

    Images and label maps are copied as they are.

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
    labels = dict(_members(archive, part.labels, LABEL_SUFFIXES)) if part.labels else {}
    if not images:
        folders = sorted({str(PurePosixPath(name).parent) for name in archive.namelist()})
        raise DatasetError(f"{archive.filename} holds no images {part.images}, only {', '.join(folders[:8])}")
    splits = with_validation([stem for stem, _ in images]) if labels and part.split == "train" else {}
    rows = []
    for stem, member in tqdm(images, desc=f"unpacking {part.source}", unit="image", disable=not progress):
        path = folder / "images" / _plain(part.prefix + PurePosixPath(member).name)
        if path.exists():  # the same name in another folder of the archive, or in another archive
            path = path.with_name(_plain(f"{part.source}_{member}"))
        _copy(archive, member, path)
        if label := labels.get(stem):
            _copy(archive, label, folder / "labels" / f"{path.stem}_label{Path(label).suffix.lower()}")
        rows.append((path.name, part.modality, part.source, splits.get(stem, part.split)))
    return rows


def _members(archive: zipfile.ZipFile, layout: str, suffixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the NAME and the path of files of a layout; what macOS adds is left out."""
    text = re.escape(layout).replace("NAME", "([^/]+)")
    wanted = re.compile(rf"(?:.*/)?{text}(?:{'|'.join(map(re.escape, suffixes))})", re.IGNORECASE)
    hidden = re.compile(r"(^|/)(__MACOSX/|\.)")
    matches = [wanted.fullmatch(name) for name in sorted(archive.namelist()) if not hidden.search(name)]
    return [(match[1], match[0]) for match in matches if match]


def with_validation(names: list[str]) -> dict[str, str]:
    """Return the split of each name: a tenth of them is "val", the others are "train".

    Chosen by a hash, which no version of a random generator changes.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"2022 {name}".encode()).digest())
    val = set(shuffled[: round(0.1 * len(names))])  # the paper (section 4.1) keeps 100 of 1,000 images
    return {name: "val" if name in val else "train" for name in names}


def _plain(name: str) -> str:
    """Return a file name that is one on every system, no path on any, and no formula in a table."""
    name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "_", name).lstrip(".=+-@' ")
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]  # so that two long names stay two
    start = name.encode()[: _LONGEST - 20].decode(errors="ignore")
    return f"{start}_{digest}{PurePosixPath(name).suffix[:8]}"


def _copy(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as sink:  # x: never one file over another
        shutil.copyfileobj(source, sink, 2**20)
