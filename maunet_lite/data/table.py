"""What a dataset folder holds: its image files, the label map of each, and the table ``metadata.csv``.

People's folders differ: tables come from spreadsheets with semicolons and byte-order marks, label maps are
called ``_mask`` here and ``_labels`` there. What can only mean one thing is understood; the rest is refused
with the reason.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from maunet_lite.data.checks import DatasetError
from maunet_lite.data.images import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test", "unlabelled")
UNASSIGNED = "unassigned"  # split of images for which the table names none
LABEL_SUFFIXES = (".tiff", ".tif", ".png", ".bmp")
LABEL_ENDINGS = ("_label", "_labels", "_mask", "_masks", "_cp_masks", "")  # the first that is there counts

_SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
_SPLIT_NAMES |= {"unlabeled": "unlabelled", "": UNASSIGNED}
_MODALITY_NAMES = {
    "bright-field": "brightfield",
    "fluorescent": "fluorescence",
    "phase": "phase-contrast",
    "phasecontrast": "phase-contrast",
    "differential-interference-contrast": "dic",
    "": "unknown",
}
_MODALITIES = ("brightfield", "fluorescence", "phase-contrast", "dic")


def read_table(folder: Path) -> pd.DataFrame:
    r"""Return one row per image of a dataset folder; what ``metadata.csv`` does not say is filled in.

    Parameters
    ----------
    folder : Path
        A folder with ``images/``.

    Returns
    -------
    pandas.DataFrame
        At least the columns image (file name), modality, source, split, label (file name or None) and
        labelled (bool). Without a table every image is of modality "unknown". Without splits every fifth
        labelled image, in order of name, is for validation and all others for training.

    Raises
    ------
    DatasetError
        If there are no images, or the table cannot be read or names none of them.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> (folder / "images").mkdir()
    >>> _ = (folder / "images" / "a.png").write_bytes(b"")
    >>> _ = (folder / "metadata.csv").write_text("Image; Modality\na.png; Phase contrast\n")
    >>> read_table(folder).loc[0, ["image", "modality", "split"]].to_list()
    ['a.png', 'phase-contrast', 'train']
    """
    names = image_files(folder)
    if not names:
        raise DatasetError(f"{folder / 'images'} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    path = folder / "metadata.csv"
    table = pd.DataFrame({"image": names})
    if path.exists():
        table = read_listing(path, names)
        table = table[table["image"].isin(names)].drop_duplicates("image").reset_index(drop=True)
        if not len(table):
            raise DatasetError(
                f"no image that {path} names is in {folder / 'images'}; there are {', '.join(names[:3])} …"
            )
    files = label_files(folder)
    table["label"] = pd.Series([files.get(Path(name).stem) for name in table["image"]], dtype=object)
    table["labelled"] = table["label"].notna()
    return _fill_in(table)


def _fill_in(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the table lacks, and write splits and modalities as the kit does."""
    table["modality"] = [_modality(text) for text in table.get("modality", [""] * len(table))]
    if "split" in table:
        table["split"] = [_split(text) for text in table["split"]]
    else:
        table["split"] = "train"
        labelled = table.index[table["labelled"]]
        in_order = table.loc[labelled, "image"].sort_values().index
        table.loc[in_order[4::5], "split"] = "val"
    source = table["source"] if "source" in table else table["modality"]
    table["source"] = source.where(source != "", "unknown")
    return table


def _split(text: str) -> str:
    name = _SPLIT_NAMES.get(text.lower(), text.lower())
    return name if name in (*SPLITS, UNASSIGNED) else text


def _modality(text: str) -> str:
    slug = "-".join(text.lower().replace("_", " ").split())
    slug = _MODALITY_NAMES.get(slug, slug)
    return slug if slug in (*_MODALITIES, "unknown") else text


def image_files(folder: Path) -> list[str]:
    """Return the names of the image files of a dataset folder in order; hidden files do not count."""
    return [name for name in _files(folder / "images") if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def label_files(folder: Path) -> dict[str, str]:
    """Return the file name of the label map for every image stem that has one.

    ``NAME_label.tiff`` is the kit's own name; see `LABEL_ENDINGS` and `LABEL_SUFFIXES` for what else is
    understood.
    """
    found: dict[str, tuple[tuple[int, int], str]] = {}
    for name in _files(folder / "labels"):
        path = Path(name)
        if path.suffix.lower() not in LABEL_SUFFIXES:
            continue
        for rank, ending in enumerate(LABEL_ENDINGS):
            if path.stem.endswith(ending):
                order = (rank, LABEL_SUFFIXES.index(path.suffix.lower()))
                stem = path.stem.removesuffix(ending)
                found[stem] = min(found.get(stem, (order, name)), (order, name))
    return {stem: name for stem, (_, name) in found.items()}


def find_label(folder: Path, image_name: str) -> Path | None:
    """Return the label map that belongs to an image's file name, or None."""
    name = label_files(folder).get(Path(image_name).stem)
    return None if name is None else folder / "labels" / name


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))


def read_listing(path: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Read ``metadata.csv`` as it is: one row per line, every column as text but those of numbers.

    Parameters
    ----------
    path : Path
        UTF-8 text, with or without a byte-order mark; fields separated by commas, semicolons or tabs.
    names : sequence of str
        Files that there are: a name in the table without a suffix, or with another one, is completed if it
        can only mean one of them.

    Returns
    -------
    pandas.DataFrame
        Column names in lower case, spaces around names and values removed, image names without their folder.

    Raises
    ------
    DatasetError
        If the file is no such table or has no column ``image``.
    """
    header, rows = _read_rows(path)
    table = pd.DataFrame(rows, columns=header, dtype=object).drop(columns="", errors="ignore")
    if "image" not in table:
        raise DatasetError(
            f"{path} has no column 'image' for the file names; its columns are {', '.join(table)}. "
            "Rename the one that holds them"
        )
    if table.columns.has_duplicates:
        raise DatasetError(
            f"{path} has two columns of the same name: {', '.join(table)}. Rename or remove one of them"
        )
    table["image"] = _completed(table["image"], names)
    for column in set(table) - {"image", "modality", "source", "split", "licence"}:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.notna().sum() == (table[column] != "").sum():
            table[column] = numbers
    return table[table["image"] != ""].reset_index(drop=True)


def _completed(listed: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return file names without folders; one that is no file becomes the only file of its stem."""
    stems = Counter(Path(name).stem for name in names)
    by_stem = {Path(name).stem: name for name in names if stems[Path(name).stem] == 1}
    plain = [PurePosixPath(name.replace("\\", "/")).name for name in listed]
    files = set(names)
    return [n if n in files else by_stem.get(n) or by_stem.get(Path(n).stem, n) for n in plain]


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table of text, all rows as long as the header."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is no UTF-8 text (byte {error.start}); in a spreadsheet, save it as 'CSV UTF-8'"
        ) from error
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    lines = []
    for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True):
        fields = [field.strip() for field in line]
        while fields and not fields[-1]:  # spreadsheets pad rows with empty fields
            fields.pop()
        lines.append(fields)
    numbered = [(number, fields) for number, fields in enumerate(lines, start=1) if fields]
    if not numbered:
        raise DatasetError(f"{path} is empty; its first line must name the columns, at least 'image'")
    header = [name.lower() for name in numbered[0][1]]
    for number, fields in numbered[1:]:
        if len(fields) > len(header):
            raise DatasetError(
                f"{path}: line {number} of the table has {len(fields)} fields, but there are {len(header)} "
                "columns; put quotes around a field that holds a separator"
            )
        fields += [""] * (len(header) - len(fields))
    return header, [fields for _, fields in numbered[1:]]
