"""Archives of cell images into the layout of a dataset folder.

Members of an archive are read one by one, and only where images and label maps are expected; they get names
of our own making. Nothing an archive says decides where a file is written.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

import imageio.v3 as iio
import numpy as np
import pandas as pd
from tqdm import tqdm

from maunet_lite.data.images import IMAGE_SUFFIXES, write_labels
from maunet_lite.data.table import LABEL_SUFFIXES, DatasetError

VAL_SEED = 2022  # of the choice of validation images
VAL_SHARE = 0.1  # the paper (section 4.1) keeps 100 of 1,000 images


@dataclass(frozen=True)
class Part:
    """A pair of folders inside an archive: images, and label maps named after them.

    Attributes
    ----------
    inside : str
        The folder that holds ``images``; it may lie deeper in the archive.
    split : str
        Of its images; of ``"train"``, a tenth drawn at random, always the same, becomes ``"val"``.
    source, modality : str
        What the table says of its images.
    prefix : str
        Put before file names, where several parts use the same ones.
    labels : str
        Name of the folder of label maps, called ``NAME_label`` or just ``NAME``.
    """

    inside: str
    split: str
    source: str
    modality: str = "unknown"
    prefix: str = ""
    labels: str = "labels"


def unpack_pairs(
    archive: ZipFile, folder: Path, parts: Iterable[Part], progress: bool = True
) -> pd.DataFrame:
    """Copy images and label maps, as they are, into a dataset folder.

    Parameters
    ----------
    archive : zipfile.ZipFile
    folder : Path
        The dataset folder.
    parts : iterable of Part
        Where to look in the archive.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per image: image, modality, source, split.

    Raises
    ------
    DatasetError
        If a part is not in the archive.
    """
    rows = []
    for part in parts:
        images = _by_stem(archive, f"{part.inside}/images", IMAGE_SUFFIXES)
        if not images:
            raise _not_there(archive, f"{part.inside}/images")
        labels = _by_stem(archive, f"{part.inside}/{part.labels}", LABEL_SUFFIXES)
        splits = with_validation(list(images)) if part.split == "train" else {}
        for stem, member in _shown(images.items(), f"unpacking {part.inside}", progress):
            name = part.prefix + _plain(PurePosixPath(member.filename).name)
            _copy(archive, member, folder / "images" / name)
            label = labels.get(f"{stem}_label") or labels.get(stem)
            if label:
                suffix = PurePosixPath(label.filename).suffix.lower()
                _copy(archive, label, folder / "labels" / f"{Path(name).stem}_label{suffix}")
            rows.append((name, part.modality, part.source, splits.get(stem, part.split)))
    return _table(rows)


def unpack_images(archive: ZipFile, folder: Path, source: str, progress: bool = True) -> pd.DataFrame:
    """Copy all images of an archive, wherever they lie in it, as images without labels for training.

    Returns
    -------
    pandas.DataFrame
        As from `unpack_pairs`.
    """
    members = [m for m in _files(archive) if PurePosixPath(m.filename).suffix.lower() in IMAGE_SUFFIXES]
    if not members:
        raise _not_there(archive, "any folder")
    rows = []
    for member in _shown(members, f"unpacking {source}", progress):
        name = _plain(PurePosixPath(member.filename).name)
        if (
            folder / "images" / name
        ).exists():  # the same name in another folder of it, or in another archive
            name = _plain(f"{source}_{member.filename}")
        _copy(archive, member, folder / "images" / name)
        rows.append((name, "unknown", source, "train"))
    return _table(rows)


def unpack_cell_masks(archive: ZipFile, folder: Path, source: str, progress: bool = True) -> pd.DataFrame:
    """Copy images, and join their masks of single cells into label maps.

    Parameters
    ----------
    archive : zipfile.ZipFile
        One folder per image, ``NAME/images/NAME.png`` and a PNG for each cell in ``NAME/masks``.
    folder, source, progress
        As for `unpack_images`.

    Returns
    -------
    pandas.DataFrame
        As from `unpack_pairs`.
    """
    images: dict[str, ZipInfo] = {}
    masks: dict[str, list[ZipInfo]] = {}
    for member in _files(archive):
        parts = PurePosixPath(member.filename).parts
        if len(parts) >= 3 and parts[-2] == "images":
            images[parts[-3]] = member
        elif len(parts) >= 3 and parts[-2] == "masks":
            masks.setdefault(parts[-3], []).append(member)
    if not images:
        raise _not_there(archive, "NAME/images")
    splits = with_validation(list(images))
    rows = []
    for stem, member in _shown(images.items(), f"unpacking {source}", progress):
        name = _plain(f"{stem}{PurePosixPath(member.filename).suffix.lower()}")
        _copy(archive, member, folder / "images" / name)
        if stem in masks:
            pictures = (iio.imread(archive.read(m), extension=".png") for m in masks[stem])
            write_labels(folder / "labels" / f"{Path(name).stem}_label.tiff", join_masks(pictures))
        rows.append((name, "unknown", source, splits[stem]))
    return _table(rows)


def join_masks(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Join masks of single cells, (H, W), into a label map (H, W) int32; where two overlap, the first wins.

    Examples
    --------
    >>> join_masks(np.array([[[255, 255, 0]], [[0, 255, 255]]]))
    array([[2, 2, 3]], dtype=int32)
    """
    labels: np.ndarray | None = None
    # From 2 on: a map of nothing but 1, in pieces, would be taken for a mask of foreground.
    for cell, mask in enumerate(masks, start=2):
        inside = mask.any(axis=-1) if mask.ndim == 3 else mask > 0
        if labels is None:
            labels = np.zeros(inside.shape, dtype=np.int32)
        if inside.shape != labels.shape:
            raise DatasetError(f"masks of one image differ in size: {inside.shape} and {labels.shape}")
        labels[inside & (labels == 0)] = cell
    if labels is None:
        raise DatasetError("there are no masks to join")
    return labels


def with_validation(names: list[str]) -> dict[str, str]:
    """Return the split of each name: a tenth of them is "val", the others are "train".

    Chosen by a hash, which no version of a random generator changes.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{VAL_SEED} {name}".encode()).digest())
    val = set(shuffled[: round(VAL_SHARE * len(names))])
    return {name: "val" if name in val else "train" for name in names}


def _table(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "modality", "source", "split"])


def _files(archive: ZipFile) -> list[ZipInfo]:
    """Members in order of name, without folders and what macOS adds."""
    found = [m for m in archive.infolist() if not m.is_dir()]
    hidden = re.compile(r"(^|/)(__MACOSX/|\.)")
    return sorted((m for m in found if not hidden.search(m.filename)), key=lambda m: m.filename)


def _by_stem(archive: ZipFile, inside: str, suffixes: tuple[str, ...]) -> dict[str, ZipInfo]:
    """Files in the folder `inside`, at whatever depth that lies, by their name without suffix."""
    wanted = PurePosixPath(inside).parts
    found = {}
    for member in _files(archive):
        path = PurePosixPath(member.filename)
        if path.parent.parts[-len(wanted) :] == wanted and path.suffix.lower() in suffixes:
            found[path.stem] = member
    return found


def _not_there(archive: ZipFile, wanted: str) -> DatasetError:
    folders = sorted({str(PurePosixPath(member.filename).parent) for member in _files(archive)})
    return DatasetError(
        f"{archive.filename} holds no images in {wanted}; its folders are {', '.join(folders[:8])}"
    )


def _plain(name: str) -> str:
    """Return a file name that is one on every system, and no path on any."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", name).lstrip(".")


def _copy(archive: ZipFile, member: ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as sink:  # x: never one file over another
        shutil.copyfileobj(source, sink, 2**20)


def _shown(items: Iterable, what: str, progress: bool) -> Iterator:
    return tqdm(list(items), desc=what, unit="image", disable=not progress)
