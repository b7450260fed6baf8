"""A dataset is a folder: images, label maps and an optional table, in the layout of the NeurIPS 2022 challenge.

::

    FOLDER/images/NAME.png            png, jpg, bmp or tif
    FOLDER/labels/NAME_label.tiff     a missing label map means: unlabelled
    FOLDER/metadata.csv               optional; at least the columns image, modality, split

Whatever is downloaded or simulated is brought into this layout, so one's own images work the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from maunet_lite.images import IMAGE_SUFFIXES, ImageError, LabelError, read_image, read_labels

SPLITS = ("train", "val", "test")
LABEL_SUFFIXES = ("_label.tiff", "_label.tif", "_label.png")


class DatasetError(ValueError):
    """A folder that is no dataset, or a part of it that does not exist."""


class Sample(NamedTuple):
    """One image of a dataset; `labels` is None where it is unlabelled."""

    name: str
    modality: str
    image: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class CellDataset:
    """Images and label maps of a folder, or a part of them.

    Attributes
    ----------
    folder : Path
    name : str
    table : pandas.DataFrame
        One row per image; at least the columns image (file name), modality, source, split and labelled.

    Examples
    --------
    >>> samples = load_dataset("samples")
    >>> len(samples), sorted(samples.modalities)
    (8, ['brightfield', 'dic', 'fluorescence', 'phase-contrast'])
    >>> samples[0].image.shape[:2] == samples[0].labels.shape
    True
    """

    folder: Path
    name: str
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        row = self.table.iloc[index]
        return Sample(row["image"], row["modality"], self.image(index), self.labels(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that occur, in order of appearance."""
        return list(dict.fromkeys(self.table["modality"]))

    def image_path(self, index: int) -> Path:
        """Return the path of image number `index`."""
        return self.folder / "images" / self.table["image"].iloc[index]

    def label_path(self, index: int) -> Path | None:
        """Return the path of the label map of image number `index`, or None if it has none."""
        return find_label(self.folder, self.table["image"].iloc[index])

    def image(self, index: int) -> np.ndarray:
        """Read image number `index`, as stored: (H, W) or (H, W, C)."""
        return read_image(self.image_path(index))

    def labels(self, index: int) -> np.ndarray | None:
        """Read the label map of image number `index`, (H, W) int32, or None where there is none."""
        path = self.label_path(index)
        return None if path is None else read_labels(path)

    def select(self, mask: np.ndarray | pd.Series | list[int]) -> CellDataset:
        """Return the images chosen by a boolean mask or by positions."""
        mask = np.asarray(mask)
        rows = self.table[mask] if mask.dtype == bool else self.table.iloc[mask.astype(int)]
        return CellDataset(self.folder, self.name, rows.reset_index(drop=True))

    def split(self, name: str) -> CellDataset:
        """Return the images of a split, ``"train"``, ``"val"`` or ``"test"``; ``"all"`` returns everything."""
        if name == "all":
            return self
        found = self.select((self.table["split"] == name).to_numpy())
        if not len(found):
            there = ", ".join(sorted(set(self.table["split"]))) or "none"
            raise DatasetError(f"dataset {self.name!r} has no images of split {name!r}; there are: {there}, all")
        return found

    def labelled(self) -> CellDataset:
        """Return the images that have a label map."""
        return self.select(self.table["labelled"].to_numpy())

    def fraction(self, fraction: float, rng: np.random.Generator) -> tuple[CellDataset, CellDataset]:
        """Divide at random, source by source: (a `fraction` of the images, at least one per source; the rest)."""
        if not 0 < fraction <= 1:
            raise DatasetError(f"fraction must lie in (0, 1], got {fraction}")
        chosen = np.zeros(len(self), dtype=bool)
        for _, rows in self.table.groupby("source", sort=True):
            count = max(1, round(fraction * len(rows)))
            chosen[rng.permutation(rows.index.to_numpy())[:count]] = True
        return self.select(chosen), self.select(~chosen)


def data_home() -> Path:
    """Return the folder for simulated and downloaded data.

    ``$MAUNET_DATA`` if set, else ``data/`` of the checkout this package runs from, else the user's cache.
    """
    if "MAUNET_DATA" in os.environ:
        return Path(os.environ["MAUNET_DATA"])
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").exists():
        return checkout / "data"
    import pooch

    return Path(pooch.os_cache("maunet-lite"))


def find_label(folder: Path, image_name: str) -> Path | None:
    """Return the label map that belongs to an image's file name, or None."""
    stem = Path(image_name).stem
    for suffix in LABEL_SUFFIXES:
        path = folder / "labels" / f"{stem}{suffix}"
        if path.exists():
            return path
    return None


def load_dataset(name_or_folder: str | Path) -> CellDataset:
    """Open a dataset by name or folder.

    Parameters
    ----------
    name_or_folder : str or Path
        A folder with ``images/`` (any path), or a name of the catalogue: ``"simulated"`` is made on first use,
        ``"samples"`` ships with the kit, ``"cells"``, ``"neurips22"`` and ``"dsb2018"`` are looked for in `data_home`
        (``maunet-lite data get NAME`` fetches the last two).

    Returns
    -------
    CellDataset

    Raises
    ------
    DatasetError
        If there is no such folder or it holds no images.
    """
    folder = Path(name_or_folder)
    if isinstance(name_or_folder, str) and not folder.is_dir():
        folder = catalogued_folder(name_or_folder)
    if not (folder / "images").is_dir():
        raise DatasetError(
            f"{folder} is no dataset: it has no folder 'images'. Expected are images/NAME.png, labels/NAME_label.tiff "
            "and, if you like, metadata.csv; `maunet-lite data check FOLDER` says what is wrong"
        )
    return CellDataset(folder, folder.resolve().name, read_table(folder))


def catalogued_folder(name: str) -> Path:
    """Return where the catalogue keeps dataset `name`, making the simulated one on first use."""
    home = data_home()
    if name == "simulated":
        from maunet_lite.simulation import simulate_dataset

        if not (home / "simulated" / "metadata.csv").exists():
            simulate_dataset(home / "simulated", n_per_modality=12, shape=(256, 256), seed=0)
        return home / "simulated"
    if name == "cells" and "MAUNET_CELLS" in os.environ:
        return Path(os.environ["MAUNET_CELLS"])
    if name in ("samples", "cells", "neurips22", "dsb2018"):
        if (home / name).is_dir():
            return home / name
        raise DatasetError(
            f"dataset {name!r} is not at {home / name}. `maunet-lite data list` says where each dataset comes from; "
            "set MAUNET_DATA to the folder that holds your datasets"
        )
    raise DatasetError(
        f"{name!r} is neither a folder nor a dataset of the catalogue (simulated, samples, cells, neurips22, dsb2018)"
    )


def read_table(folder: Path) -> pd.DataFrame:
    """Return one row per image of `folder`; what ``metadata.csv`` does not say is filled in.

    Without a table every image is of modality "unknown", and every fifth image, in order of name, is for validation.
    """
    names = sorted(p.name for p in (folder / "images").iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise DatasetError(f"{folder / 'images'} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    if (folder / "metadata.csv").exists():
        table = pd.read_csv(folder / "metadata.csv", dtype={"image": str}, keep_default_na=True)
        if "image" not in table:
            raise DatasetError(f"{folder / 'metadata.csv'} has no column 'image'; its columns are {list(table)}")
        table = table[table["image"].isin(names)].reset_index(drop=True)
        if not len(table):
            raise DatasetError(f"no image of {folder / 'metadata.csv'} is in {folder / 'images'}")
    else:
        table = pd.DataFrame({"image": names})
    if "modality" not in table:
        table["modality"] = "unknown"
    if "split" not in table:
        table["split"] = ["val" if i % 5 == 4 else "train" for i in range(len(table))]
    table["modality"] = table["modality"].fillna("unknown").astype(str)
    if "source" not in table:
        table["source"] = table["modality"]
    table["source"] = table["source"].fillna("unknown").astype(str)
    table["labelled"] = [find_label(folder, name) is not None for name in table["image"]]
    return table


class Problem(NamedTuple):
    """Something wrong with a dataset folder: which file, what, and how to mend it."""

    file: str
    problem: str


def check_folder(folder: str | Path) -> list[Problem]:
    """List every problem of a dataset folder at once.

    Found are: no images, unreadable files, missing or left-over label maps, sizes that differ, binary masks and other
    label maps that break the rules, images that the table lacks or that lack in the folder, unknown splits.

    Returns
    -------
    list of Problem
        Empty if all is well.
    """
    folder = Path(folder)
    try:
        table = load_dataset(folder).table
    except (DatasetError, OSError) as error:
        return [Problem(str(folder), str(error))]
    problems = _check_names(folder, table)
    for name in table["image"]:
        problems += _check_pair(folder, name)
    return problems


def _check_names(folder: Path, table: pd.DataFrame) -> list[Problem]:
    problems = []
    files = {p.name for p in (folder / "images").iterdir() if not p.name.startswith(".")}
    images = {name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES}
    for name in sorted(files - images):
        problems.append(Problem(f"images/{name}", f"not an image this kit reads ({', '.join(IMAGE_SUFFIXES)})"))
    for name in sorted(images - set(table["image"])):
        problems.append(Problem(f"images/{name}", "not in metadata.csv, so it is ignored; add a row for it"))
    if (folder / "metadata.csv").exists():
        listed = pd.read_csv(folder / "metadata.csv", dtype={"image": str})["image"].astype(str)
        problems += [Problem(f"images/{n}", "in metadata.csv but not in the folder") for n in listed if n not in images]
        problems += [Problem("metadata.csv", f"lists {n} more than once") for n in listed[listed.duplicated()].unique()]
        for split in sorted(set(table["split"].astype(str)) - set(SPLITS)):
            problems.append(Problem("metadata.csv", f"split {split!r} is not known; use one of {', '.join(SPLITS)}"))
    stems = pd.Series([Path(name).stem for name in sorted(images)])
    for stem in stems[stems.duplicated()].unique():
        problems.append(Problem(f"images/{stem}.*", "several images share this name, so they share one label map"))
    if (folder / "labels").is_dir():
        for path in sorted((folder / "labels").iterdir()):
            stem = path.stem.removesuffix("_label")
            if path.suffix.lower() in IMAGE_SUFFIXES and stem not in set(stems):
                problems.append(Problem(f"labels/{path.name}", f"no image images/{stem}.* belongs to it"))
    return problems


def _check_pair(folder: Path, name: str) -> list[Problem]:
    """Problems of one image and its label map."""
    problems, shape = [], None
    try:
        shape = read_image(folder / "images" / name).shape[:2]
    except (ImageError, OSError) as error:
        problems.append(Problem(f"images/{name}", str(error)))
    path = find_label(folder, name)
    if path is None:
        expected = f"labels/{Path(name).stem}_label.tiff"
        return [*problems, Problem(f"images/{name}", f"has no label map ({expected}); it counts as unlabelled")]
    try:
        labels = read_labels(path)
    except (ImageError, LabelError, OSError) as error:
        return [*problems, Problem(f"labels/{path.name}", str(error))]
    if shape is not None and labels.shape != shape:
        problems.append(
            Problem(f"labels/{path.name}", f"is {labels.shape} pixels, but images/{name} is {shape}: are axes swapped?")
        )
    return problems
