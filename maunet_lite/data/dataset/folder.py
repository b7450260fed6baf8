"""A dataset is a folder: images, label maps and an optional table, laid out as in the NeurIPS 2022 challenge.

::

    FOLDER/images/NAME.png            png, jpg, bmp or tif
    FOLDER/labels/NAME_label.tiff     a missing label map means: unlabelled
    FOLDER/metadata.csv               optional; at least the columns image, modality, split; columns channel,
                                      plane and project say how an image is read (`read_image`)

Whatever is downloaded or simulated is brought into this layout, so one's own images work the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from maunet_lite.data.catalogue.entries import CATALOGUE, catalogued_folder
from maunet_lite.data.checks import DatasetError
from maunet_lite.data.dataset.problems import advise
from maunet_lite.data.dataset.table import read_table, reading_of
from maunet_lite.data.reading.images import read_image, read_labels


class Sample(NamedTuple):
    """One image of a dataset; `labels` is None where it is unlabelled."""

    name: str
    modality: str
    image: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True, eq=False)
class CellDataset:
    """Images and label maps of a folder, or a part of them; nothing is read before it is asked for.

    Attributes
    ----------
    folder : Path
    name : str
    table : pandas.DataFrame
        One row per image; at least the columns image and label (file names; label is None where there is
        none), modality, source, split and labelled (bool).

    Examples
    --------
    >>> from maunet_lite.data import simulate_dataset
    >>> folder = getfixture("tmp_path") / "tiny"
    >>> data = load_dataset(simulate_dataset(folder, n_per_modality=1, shape=(32, 48), progress=False))
    >>> len(data), data.modalities
    (4, ['brightfield', 'fluorescence', 'phase-contrast', 'dic'])
    >>> sample = data[3]
    >>> sample.modality, sample.labels.shape
    ('dic', (32, 48))
    """

    folder: Path
    name: str
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        row = self.table.iloc[index]
        return Sample(row["image"], row["modality"], self.image(index), self.labels(index))

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that occur, in order of appearance."""
        return list(dict.fromkeys(self.table["modality"]))

    def image_path(self, index: int) -> Path:
        """Return the path of image number `index`."""
        return self.folder / "images" / self.table["image"].iloc[index]

    def label_path(self, index: int) -> Path | None:
        """Return the path of the label map of image number `index`, or None if it has none."""
        name = self.table["label"].iloc[index]
        return None if pd.isna(name) else self.folder / "labels" / name

    def image(self, index: int) -> np.ndarray:
        """Read image number `index`, as `reading` says: (H, W) or (H, W, C)."""
        return read_image(self.image_path(index), **self.reading(index))

    def reading(self, index: int) -> dict[str, Any]:
        """Return the options of `read_image` that the table gives for image number `index`."""
        return reading_of(self.table.iloc[index])

    def labels(self, index: int) -> np.ndarray | None:
        """Read the label map of image number `index`, (H, W) int32, or None where there is none."""
        path = self.label_path(index)
        return None if path is None else read_labels(path)

    def select(self, mask: np.ndarray | pd.Series | list[int]) -> "CellDataset":
        """Return the images chosen by a boolean mask or by positions."""
        return replace(self, table=self.table.iloc[list(mask)].reset_index(drop=True))

    def split(self, name: str) -> "CellDataset":
        """Return the images of a split, such as "train", "val" or "test"; "all" returns everything.

        Raises
        ------
        DatasetError
            If no image belongs to it.
        """
        if name == "all":
            return self
        found = self.select(self.table["split"] == name)
        if not len(found):
            there = ", ".join(sorted(set(self.table["split"]))) + ", and 'all'"
            raise DatasetError(f"{self.name!r} has no images of split {name!r}; there are: {there}")
        return found

    def labelled(self) -> "CellDataset":
        """Return the images that have a label map."""
        return self.select(self.table["labelled"])

    def without(self, names: Sequence[str]) -> "CellDataset":
        """Return the images of all modalities and sources but those called `names`.

        Raises
        ------
        DatasetError
            If a name occurs neither as a modality nor as a source, or nothing is left.
        """
        kinds = self.table[["modality", "source"]]
        known = dict.fromkeys(kinds.to_numpy().T.ravel())
        if unknown := [name for name in names if name not in known]:
            raise DatasetError(
                f"dataset {self.name!r} has no modality or source {unknown[0]!r} to leave out; "
                f"there are: {', '.join(known)}"
            )
        keep = ~kinds.isin(names).any(axis=1)
        if not keep.any():
            raise DatasetError(f"without {', '.join(names)} no image of {self.name!r} is left")
        return self.select(keep)

    def fraction(self, fraction: float, rng: np.random.Generator) -> "tuple[CellDataset, CellDataset]":
        """Divide at random, source by source.

        Returns
        -------
        chosen, rest : CellDataset
            A `fraction` of the images of every source, at least one of each, and all others.
        """
        if not 0 < fraction <= 1:
            raise DatasetError(f"fraction is {fraction}; expected a number above 0 and up to 1")
        chosen = np.zeros(len(self), dtype=bool)
        for positions in self.table.groupby("source").indices.values():
            chosen[rng.permutation(positions)[: max(1, round(fraction * len(positions)))]] = True
        return self.select(chosen), self.select(~chosen)


def load_dataset(
    name_or_folder: str | Path, *, channel: Any = None, plane: Any = None, project: str | None = None
) -> CellDataset:
    """Open a dataset by name or folder.

    Parameters
    ----------
    name_or_folder : str or Path
        A folder with ``images/`` (any path), or a name of the catalogue: ``"simulated"`` is made on first
        use, ``"samples"`` ships with the kit, all others are looked for in `data_home` (``maunet-lite data
        list`` says where they come from).
    channel, plane, project
        How all images are read, see `read_image`, instead of what the table's columns of these names say.

    Returns
    -------
    CellDataset

    Raises
    ------
    DatasetError
        If there is no such folder or it holds no images; the message says what is there instead.
    """
    folder, name = Path(name_or_folder), str(name_or_folder)
    if not folder.exists() and (name in CATALOGUE or isinstance(name_or_folder, str)):
        folder = catalogued_folder(name)
    if advice := advise(folder):
        raise DatasetError(f"{advice}; `maunet-lite data check` lists all that is wrong with a folder")
    table = read_table(folder)
    given = reading_of({"channel": channel, "plane": plane, "project": project})
    table = table.assign(**{name: [value] * len(table) for name, value in given.items()})
    return CellDataset(folder, folder.resolve().name, table)
