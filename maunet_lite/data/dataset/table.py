"""What a dataset folder holds: its image files, the label map of each, and the table ``metadata.csv``.

People's folders differ: tables come from spreadsheets with semicolons and byte-order marks, label maps are
called ``_mask`` here and ``_labels`` there. What can only mean one thing is understood; the rest is refused
with the reason.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from maunet_lite.data.checks import DatasetError
from maunet_lite.data.reading.calibration import validate_pixel_size
from maunet_lite.data.reading.images import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test", "unlabelled")
READING = ("channel", "plane", "project")  # columns that say how an image is read
_TEXT = {"image", "modality", "source", "split", "licence", "pixel_size", *READING}  # that stay text
UNASSIGNED = "unassigned"  # split of images for which the table names none
LABEL_SUFFIXES = (".tiff", ".tif", ".png", ".bmp")
LABEL_ENDINGS = ("_label", "_labels", "_mask", "_masks", "_cp_masks", "")  # the first that is there counts

# how people write it, and what the kit calls it; anything else keeps its name
SPLIT_NAMES = {name: name for name in (*SPLITS, UNASSIGNED)} | {
    "training": "train", "validation": "val", "valid": "val", "testing": "test", "unlabeled": "unlabelled",
    "": UNASSIGNED,
}  # fmt: skip
_MODALITIES = {
    "bright-field": "brightfield", "fluorescent": "fluorescence", "phase": "phase-contrast",
    "phasecontrast": "phase-contrast", "differential-interference-contrast": "dic", "": "unknown",
} | {name: name for name in ("brightfield", "fluorescence", "phase-contrast", "dic", "unknown")}  # fmt: skip


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
    table = read_listing(folder)
    table = table[table["image"].isin(names)].drop_duplicates("image").reset_index(drop=True)
    if table.empty:
        raise DatasetError(
            f"no image that {folder / 'metadata.csv'} names is in {folder / 'images'}; there are "
            f"{', '.join(names[:3])} …"
        )
    files = label_files(folder)
    table["label"] = pd.Series([files.get(stem_of(name)) for name in table["image"]], dtype=object)
    table["labelled"] = table["label"].notna()
    given = table.get("modality", pd.Series("", table.index))
    slugs = given.str.lower().str.replace(r"[\s_]+", "-", regex=True)
    table["modality"] = slugs.map(_MODALITIES).fillna(given)
    if "split" in table:
        table["split"] = table["split"].str.lower().map(SPLIT_NAMES).fillna(table["split"])
    else:
        table["split"] = "train"
        table.loc[table[table["labelled"]].sort_values("image").index[4::5], "split"] = "val"
        table.attrs["splits_chosen"] = True  # by the kit: whoever uses them says so
    source = table.get("source", table["modality"])
    table["source"] = source.where(source != "", "unknown")
    return table


def reading_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `read_image` that a row of a table gives."""
    return {name: row[name] for name in READING if name in row and row[name] not in ("", None)}


def listed(images: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what the tables of their datasets say of image files: channel, plane, project, pixel_size.

    {} for an image that is in no dataset, or in one whose table says nothing of it.

    Raises
    ------
    DatasetError
        If a pixel_size is no positive number; the image is named.
    """
    rows: dict[Path, dict[str, Any]] = {}
    for folder in {image.parent for image in images if image.parent.name == "images"}:
        with suppress(DatasetError):  # a table of something else
            for row in read_listing(folder.parent).to_dict("records"):
                rows.setdefault(folder / row["image"], row)
    described = []
    for row in (rows.get(image, {}) for image in images):
        size = row.get("pixel_size")
        try:
            known = {"pixel_size": validate_pixel_size(float(size))} if size else {}
        except ValueError as error:
            raise DatasetError(f"metadata.csv, {row['image']}: {error}; mend or empty the field") from error
        described.append(reading_of(row) | known)
    return described


def stem_of(name: str | Path) -> str:
    """Return the name of a file without its folder and suffix; double suffixes of OME are one.

    Examples
    --------
    >>> stem_of("a.b.png"), stem_of("a.ome.tif"), stem_of("slides/a.OME.zarr")
    ('a.b', 'a', 'a')
    """
    return without_ome(Path(name).stem)


def without_ome(stem: str) -> str:
    """Remove the first half of a double suffix from what is left of a name without the second."""
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def files_in(folder: Path) -> list[Path]:
    """Return what is in a folder, in order, without what file managers leave behind; [] for no folder."""
    litter = {"thumbs.db", "desktop.ini"}
    return sorted(path for path in folder.glob("[!.]*") if path.name.lower() not in litter)


def image_files(folder: Path) -> list[str]:
    """Return the names of the image files of a dataset folder in order; hidden files do not count."""
    return [path.name for path in _files(folder / "images", IMAGE_SUFFIXES)]


def label_files(folder: Path) -> dict[str, str]:
    """Return the file name of the label map for every image stem that has one.

    ``NAME_label.tiff`` is the kit's own name; see `LABEL_ENDINGS` and `LABEL_SUFFIXES` for what else is
    understood.
    """
    paths = _files(folder / "labels", LABEL_SUFFIXES)
    paths.sort(key=lambda path: LABEL_SUFFIXES.index(path.suffix.lower()))
    return {
        without_ome(stem_of(path.name).removesuffix(ending)): path.name
        for ending in reversed(LABEL_ENDINGS)
        for path in reversed(paths)  # what counts first comes last, and so stays
        if stem_of(path.name).endswith(ending)
    }


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in files_in(folder) if path.suffix.lower() in suffixes and path.is_file()]


def read_listing(folder: Path) -> pd.DataFrame:
    """Read ``metadata.csv`` as it is: one row per line, every column as text but those of numbers.

    Parameters
    ----------
    folder : Path
        Without a table, all images are listed. The table is UTF-8 text, with or without a byte-order mark,
        its fields separated by commas, semicolons or tabs. A name without a suffix, or with another one than
        the file, is completed if it can only mean one image.

    Returns
    -------
    pandas.DataFrame
        Column names in lower case, spaces around names and values removed, image names without their folder.

    Raises
    ------
    DatasetError
        If the file is no such table or has no column ``image``.
    """
    path, names = folder / "metadata.csv", image_files(folder)
    if not path.exists():
        return pd.DataFrame({"image": names}, dtype=object)  # of bytes that are no UTF-8, too
    table = _read_text(path)
    if "image" not in table or table.columns.has_duplicates:
        raise DatasetError(
            f"{path} needs one column 'image' for the file names, and no two of the same name; its columns "
            f"are {', '.join(table)}. Rename or remove some"
        )
    table["image"] = _completed(table["image"], names)
    for column in set(table) - _TEXT:
        with suppress(ValueError):
            table[column] = pd.to_numeric(table[column].where(table[column] != ""))
    return table[table["image"] != ""].reset_index(drop=True)


def _read_text(path: Path) -> pd.DataFrame:
    """Read a table of text; columns without a name are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)
        table = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, na_filter=False, skipinitialspace=True
        )
    except ValueError as error:  # no UTF-8, empty, or lines with too many fields
        raise DatasetError(
            f"{path} is no table ({str(error).strip()}); expected UTF-8 text (in a spreadsheet, save it as "
            "'CSV UTF-8'), a first line that names the columns, at least 'image', and quotes around fields "
            "that hold a separator"
        ) from error
    table = table.fillna("").map(str.strip)
    rows = table.iloc[1:].set_axis(table.iloc[0].str.lower(), axis="columns").reset_index(drop=True)
    return rows.loc[:, rows.columns != ""].rename_axis(columns=None)


def _completed(listed: pd.Series, names: list[str]) -> list[str]:
    """Return file names without folders; one that is no file becomes the only file of its stem."""
    stems = Counter(map(stem_of, names))
    complete = {stem_of(name): name for name in names if stems[stem_of(name)] == 1}
    complete |= {name: name for name in names}
    plain = [PurePosixPath(name.replace("\\", "/")).name for name in listed]
    return [complete.get(name) or complete.get(stem_of(name), name) for name in plain]
