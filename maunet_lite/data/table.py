"""What a dataset folder holds: its image files, the label map of each, and the table ``metadata.csv``.

People's folders differ: tables come from spreadsheets with semicolons and byte-order marks, label maps are
called ``_mask`` here and ``_labels`` there. What can only mean one thing is understood; the rest is refused
with the reason.
"""

from __future__ import annotations

import io
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

# how people write it, and what the kit calls it; anything else keeps its name
_SPLITS = {name: name for name in (*SPLITS, UNASSIGNED)} | {
    "training": "train", "validation": "val", "valid": "val", "testing": "test", "unlabeled": "unlabelled",
    "": UNASSIGNED,
}  # fmt: skip
_MODALITIES = {
    "brightfield": "brightfield", "bright-field": "brightfield", "fluorescence": "fluorescence",
    "fluorescent": "fluorescence", "phase-contrast": "phase-contrast", "phase": "phase-contrast",
    "phasecontrast": "phase-contrast", "dic": "dic", "differential-interference-contrast": "dic",
    "unknown": "unknown", "": "unknown",
}  # fmt: skip
_TEXTS = {"image", "modality", "source", "split", "licence"}  # never taken for numbers


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
    given = table.get("modality", pd.Series("", table.index))
    slugs = ("-".join(text.lower().replace("_", " ").split()) for text in given)
    table["modality"] = [_MODALITIES.get(slug, text) for slug, text in zip(slugs, given, strict=True)]
    if "split" in table:
        table["split"] = [_SPLITS.get(text.lower(), text) for text in table["split"]]
    else:
        table["split"] = "train"
        in_order = table[table["labelled"]].sort_values("image").index
        table.loc[in_order[4::5], "split"] = "val"
    source = table.get("source", table["modality"])
    table["source"] = source.where(source != "", "unknown")
    return table


def image_files(folder: Path) -> list[str]:
    """Return the names of the image files of a dataset folder in order; hidden files do not count."""
    return [name for name in _files(folder / "images") if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def label_files(folder: Path) -> dict[str, str]:
    """Return the file name of the label map for every image stem that has one.

    ``NAME_label.tiff`` is the kit's own name; see `LABEL_ENDINGS` and `LABEL_SUFFIXES` for what else is
    understood.
    """
    paths = [Path(name) for name in _files(folder / "labels") if Path(name).suffix.lower() in LABEL_SUFFIXES]
    paths.sort(key=lambda path: LABEL_SUFFIXES.index(path.suffix.lower()))
    found: dict[str, str] = {}
    for ending in LABEL_ENDINGS:
        for path in paths:
            if path.stem.endswith(ending):
                found.setdefault(path.stem.removesuffix(ending), path.name)
    return found


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*") if path.is_file())


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
    table = _read_text(path)
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
    for column in set(table) - _TEXTS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.notna().sum() == (table[column] != "").sum():
            table[column] = numbers
    return table[table["image"] != ""].reset_index(drop=True)


def _read_text(path: Path) -> pd.DataFrame:
    """Read a table of text; columns without a name are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)
        table = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, na_filter=False, skipinitialspace=True
        )
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is no UTF-8 text (byte {error.start}); in a spreadsheet, save it as 'CSV UTF-8'"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DatasetError(
            f"{path} is empty; its first line must name the columns, at least 'image'"
        ) from error
    except pd.errors.ParserError as error:
        reason = str(error).rsplit(": ", 1)[-1].strip()  # "Expected 2 fields in line 7, saw 3"
        raise DatasetError(f"{path}: {reason}; put quotes around a field that holds a separator") from error
    table = table.fillna("").map(str.strip)
    rows = table.iloc[1:].set_axis(table.iloc[0].str.lower(), axis="columns").reset_index(drop=True)
    return rows.loc[:, rows.columns != ""].rename_axis(columns=None)


def _completed(listed: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return file names without folders; one that is no file becomes the only file of its stem."""
    stems = Counter(Path(name).stem for name in names)
    complete = {Path(name).stem: name for name in names if stems[Path(name).stem] == 1}
    complete |= {name: name for name in names}
    plain = [PurePosixPath(name.replace("\\", "/")).name for name in listed]
    return [complete.get(name) or complete.get(Path(name).stem, name) for name in plain]
