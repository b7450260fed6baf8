"""The datasets that the kit knows by name, and how those on the web come into its layout.

Nothing is downloaded unless asked for by name. Archives are verified by their SHA-256 before a byte of them
is used, and a dataset appears under its name only when it is complete.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from maunet_lite import __version__
from maunet_lite.datasets import DatasetError, data_home, load_dataset
from maunet_lite.images import IMAGE_SUFFIXES, read_labels, write_labels


@dataclass(frozen=True)
class Archive:
    """One zip file of a dataset.

    Attributes
    ----------
    url, sha256 : str
        Where it is, and its checksum.
    splits : tuple of (str, str)
        Folder inside the archive → split that its images belong to; ``"train"`` gives every tenth image to
        "val".
    prefix : str
        Put before file names, where archives of one dataset use the same ones.
    labels : str
        Name of the folder of label maps beside ``images``; files in ``masks`` have the image's own name.
    """

    url: str
    sha256: str
    splits: tuple[tuple[str, str], ...]
    prefix: str = ""
    labels: str = "labels"


@dataclass(frozen=True)
class Entry:
    """One dataset: what it is, its licence, and the archives it consists of (none, if it is no download)."""

    about: str
    licence: str = ""
    modality: str = "unknown"
    archives: tuple[Archive, ...] = ()


_ZENODO = "https://zenodo.org/records/10719375/files"
_STARDIST = "https://github.com/stardist/stardist/releases/download/0.1.0"

CATALOGUE: dict[str, Entry] = {
    "simulated": Entry("four simulated microscopes with exact labels; made here on first use"),
    "samples": Entry("eight simulated images that come with the kit"),
    "cells": Entry("real images of four modalities, a local folder; set MAUNET_CELLS to its path"),
    "neurips22": Entry(
        "the paper's data: 1,000 labelled images, and the 101 of the tuning set as split 'test'; several GB",
        licence="CC BY-NC-ND: for non-commercial use, and changed versions may not be passed on",
        archives=(
            Archive(
                f"{_ZENODO}/Training-labeled.zip",
                "b2383929eb8e99b2716fa0d4e2f6e03983e626a57cf00fe85175869c54aa3592",
                (("Training-labeled", "train"),),
            ),
            Archive(
                f"{_ZENODO}/Tuning.zip",
                "849423d36bb8fcc2d91a5b189a3b6d93c3d4071c9701eaaa44ba393a510459c4",
                (("Tuning", "test"),),
                prefix="tuning_",
            ),
        ),
    ),
    "dsb2018": Entry(
        "497 fluorescence images of nuclei from the Data Science Bowl 2018, as StarDist's demo uses them",
        licence="CC0: free for any use",
        modality="fluorescence",
        archives=(
            Archive(
                f"{_STARDIST}/dsb2018.zip",
                "e44921950edce378063aa4457e625581ba35b4c2dbd9a07c19d48900129f386f",
                (("train", "train"), ("test", "test")),
                labels="masks",
            ),
        ),
    ),
}


def format_catalogue() -> str:
    """Return the catalogue as lines for a terminal: name, whether it is here, what it is, its licence."""
    home = data_home()
    lines = []
    for name, entry in CATALOGUE.items():
        lines.append(f"{name:10}  {_where(name, entry, home)}")
        lines.append(f"{'':10}  {entry.about}")
        if entry.licence:
            lines.append(f"{'':10}  licence: {entry.licence}")
    lines.append(f"datasets are kept in {home}, or in $MAUNET_DATA; any other folder works by its path")
    return "\n".join(lines)


def _where(name: str, entry: Entry, home: Path) -> str:
    if name == "cells":
        try:
            return f"here: {load_dataset(name).folder}"
        except DatasetError:
            return "not here"
    if (home / name / "images").is_dir():
        return f"here: {home / name}"
    if entry.archives:
        return f"not here; fetch it with: maunet-lite data get {name}"
    return "made on first use" if name == "simulated" else "not here"


def get_dataset(name: str, archives: str | Path | None = None, progress: bool = True) -> Path:
    """Return the folder of a dataset of the catalogue; fetch it if it is not here.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.
    archives : path, optional
        A folder that already holds the archives, for machines without a network. They are verified all the
        same.
    progress : bool
        Show progress bars.

    Raises
    ------
    DatasetError
        For an unknown name, an archive that is missing or has another checksum, or one that cannot be
        fetched.
    """
    if name not in CATALOGUE:
        raise DatasetError(f"no dataset {name!r} in the catalogue: there are {', '.join(CATALOGUE)}")
    entry, folder = CATALOGUE[name], data_home() / name
    if not entry.archives or (folder / "images").is_dir():
        return load_dataset(name).folder
    paths = [
        _find(archive, archives) if archives else _fetch(archive, progress) for archive in entry.archives
    ]
    partial = folder.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    tables = [
        unpack(path, archive, entry, partial, progress)
        for path, archive in zip(paths, entry.archives, strict=True)
    ]
    pd.concat(tables).to_csv(partial / "metadata.csv", index=False)
    partial.rename(folder)
    return folder


def _find(archive: Archive, folder: str | Path) -> Path:
    import pooch

    path = Path(folder) / archive.url.rsplit("/", 1)[1]
    if not path.is_file():
        raise DatasetError(f"{path} is not there: fetch it from {archive.url}")
    found = pooch.file_hash(str(path))
    if found != archive.sha256:
        raise DatasetError(
            f"{path} is damaged or another version: SHA-256 {found}, expected {archive.sha256}"
        )
    return path


def _fetch(archive: Archive, progress: bool) -> Path:
    """Download an archive into the folder ``downloads``, or take the verified one that is there."""
    import pooch

    # Zenodo refuses Python's default user agent
    downloader = pooch.HTTPDownloader(
        headers={"User-Agent": f"maunet-lite/{__version__}"}, progressbar=progress
    )
    name = archive.url.rsplit("/", 1)[1]
    folder = data_home() / "downloads"
    try:
        path = pooch.retrieve(archive.url, f"sha256:{archive.sha256}", name, folder, downloader=downloader)
    except Exception as error:  # requests and pooch raise many kinds; what to do is the same
        raise DatasetError(
            f"{archive.url} could not be fetched ({type(error).__name__}: {error}). "
            "Download it on another machine, bring it here, and name its folder with --archives"
        ) from error
    return Path(path)


class _Member(NamedTuple):
    """An image inside an archive, and its label map if it has one."""

    image: str
    label: str | None
    split: str


def unpack(path: Path, archive: Archive, entry: Entry, folder: Path, progress: bool = True) -> pd.DataFrame:
    """Bring the images and label maps of a zip file into the kit's layout.

    Returns
    -------
    pandas.DataFrame
        One row per image: image, modality, source, split.

    Raises
    ------
    DatasetError
        If the archive holds no image where they are expected.
    """
    from tqdm import tqdm

    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    rows = []
    with zipfile.ZipFile(path) as file:
        members = list(_members(file, archive))
        if not members:
            raise DatasetError(
                f"{path} holds no images in {', '.join(name for name, _ in archive.splits)}/images"
            )
        for member in tqdm(members, desc=path.stem, unit="image", disable=None if progress else True):
            name = f"{archive.prefix}{PurePosixPath(member.image).name}"
            _copy(file, member.image, folder / "images" / name)
            if member.label:
                _copy_labels(file, member.label, folder / "labels" / f"{Path(name).stem}_label.tiff")
            rows.append(
                {"image": name, "modality": entry.modality, "source": path.stem, "split": member.split}
            )
    return pd.DataFrame(rows)


def _members(file: zipfile.ZipFile, archive: Archive) -> Iterator[_Member]:
    names = sorted(name for name in file.namelist() if not re.search(r"(^|/)(__MACOSX|\.)", name))
    for folder, split in archive.splits:
        inside = re.compile(rf"(?:^|/){re.escape(folder)}/(images|{archive.labels})/([^/]+)$")
        found: dict[str, dict[str, str]] = {"images": {}, archive.labels: {}}
        for name in names:
            match = inside.search(name)
            if match and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                found[match[1]][PurePosixPath(name).stem.removesuffix("_label")] = name
        for number, (stem, image) in enumerate(found["images"].items()):
            chosen = "val" if split == "train" and number % 10 == 9 else split
            yield _Member(image, found[archive.labels].get(stem), chosen)


def _copy(file: zipfile.ZipFile, member: str, target: Path) -> None:
    with file.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)


def _copy_labels(file: zipfile.ZipFile, member: str, target: Path) -> None:
    """Store a label map as the kit does: compressed, in the smallest safe type."""
    raw = target.with_name(f".raw{PurePosixPath(member).suffix}")
    _copy(file, member, raw)
    try:
        write_labels(target, read_labels(raw))
    finally:
        raw.unlink()
