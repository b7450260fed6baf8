"""Every problem of a dataset folder at once, each with the way to mend it."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from maunet_lite.data.checks import DatasetError, ImageError, LabelError, doubt_of_labels
from maunet_lite.data.dataset import table as layout
from maunet_lite.data.dataset.table import stem_of
from maunet_lite.data.reading.images import IMAGE_SUFFIXES, read_image, read_labels

_IMAGE_FOLDERS = {"images", "image", "imgs", "img", "raw", "pictures"}
_LABEL_FOLDERS = {"labels", "label", "masks", "mask", "gt", "groundtruth", "ground_truth", "annotations"}


class Problem(NamedTuple):
    """Something wrong with a dataset folder: which file, what, and how to mend it."""

    file: str
    problem: str


def check_folder(folder: str | Path) -> list[Problem]:
    """List every problem of a dataset folder at once.

    Found are: no folder ``images`` (with advice where the images seem to be), unreadable files and files of
    other kinds, missing, left-over and doubtful label maps, sizes that differ, swapped axes, binary masks and
    whatever else a label map must not be, images that the table lacks or that lack in the folder, unknown
    splits, shared names.

    Parameters
    ----------
    folder : str or Path
        Every file in it is read.

    Returns
    -------
    list of Problem
        Empty if all is well.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> (folder / "images").mkdir()
    >>> _ = (folder / "images" / "a.png").write_text("no image")
    >>> for problem in check_folder(folder):
    ...     print(problem.file)
    images/a.png
    labels
    """
    folder = Path(folder)
    if advice := advise(folder):
        return [Problem(str(folder), advice)]
    found = [*_among_images(folder)]
    try:
        table = layout.read_table(folder)
        found += [*_in_the_table(folder, table), *_among_labels(folder), *_in_files(folder, table)]
    except (DatasetError, OSError) as error:
        found.insert(0, (str(folder), str(error)))
    return [Problem(file, problem) for file, problem in found]


def advise(folder: Path) -> str | None:
    """Return what keeps `folder` from being a dataset at all and what to do, or None if it has images."""
    if not folder.is_dir():
        return f"{folder} is a file; expected a folder" if folder.exists() else f"there is no folder {folder}"
    if (folder / "images").is_dir():
        return None
    return (
        f"{folder} has no folder 'images'{_guess(folder)}. Expected are images/NAME.png, "
        "labels/NAME_label.tiff and, if you like, metadata.csv"
    )


def _guess(folder: Path) -> str:
    """Say where the images of a folder without ``images`` seem to be."""
    inside = layout.files_in(folder)
    if loose := [path.name for path in inside if path.suffix.lower() in IMAGE_SUFFIXES]:
        return (
            f", but holds {len(loose)} image files itself ({loose[0]} …): move the images into "
            f"{folder / 'images'}, their label maps into {folder / 'labels'}"
        )
    for path in inside:
        if path.is_dir() and path.name.lower() in _IMAGE_FOLDERS:
            return f", but one called {path.name!r}: rename it to 'images'"
        if (path / "images").is_dir():
            return f", but {path} has: name that folder"
    return ""


# --- where problems may be: each function gives pairs of file and problem ---------------------------------


def _among_images(folder: Path) -> Iterator[tuple[str, str]]:
    """Find what is no image, and names that clash."""
    for path in layout.files_in(folder / "images"):
        if not path.exists():
            yield f"images/{path.name}", "a link that leads nowhere: restore what it leads to, or remove it"
        elif path.is_dir():
            yield f"images/{path.name}", "a folder: what is in it is ignored; move images up"
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            yield f"images/{path.name}", f"not read, only {', '.join(IMAGE_SUFFIXES)} are: export it as TIFF"
    names = layout.image_files(folder)
    stems = Counter(map(stem_of, names))
    for stem, count in stems.items():
        if count > 1:
            yield f"images/{stem}.*", f"{count} images share this name and a label map; rename all but one"
    for name in names:
        if stems.keys() & (_images_of(name) - {stem_of(name)}):
            yield f"images/{name}", "seems to be a label map: move it into the folder 'labels'"


def _in_the_table(folder: Path, table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Compare ``metadata.csv`` with the folder."""
    names, listed = layout.image_files(folder), Counter(layout.read_listing(folder)["image"])
    for name in sorted(set(names) - set(listed)):
        yield f"images/{name}", "not in metadata.csv and so ignored; add a row for it"
    for name, count in listed.items():
        if name not in names:
            yield "metadata.csv", f"names {name}, which is not in the folder 'images'"
        if count > 1:
            yield "metadata.csv", f"names {name} {count} times; the first row counts"
    for split, rows in table.groupby("split")["image"]:
        if split == layout.UNASSIGNED:
            yield "metadata.csv", f"no split for {len(rows)} images ({rows.iloc[0]} …): they are not used"
        elif split not in layout.SPLITS:
            yield "metadata.csv", f"unknown split {split!r}; use one of {', '.join(layout.SPLITS)}"


def _among_labels(folder: Path) -> Iterator[tuple[str, str]]:
    """Find label maps that belong to no image, or to one that has another."""
    for path in () if (folder / "labels").is_dir() else layout.files_in(folder):
        if path.is_dir() and path.name.lower() in _LABEL_FOLDERS:
            yield path.name, "not read: rename this folder to 'labels'"
    stems, label_of = set(map(stem_of, layout.image_files(folder))), layout.label_files(folder)
    for path in layout.files_in(folder / "labels"):
        taken = {label_of.get(stem) for stem in stems & _images_of(path.name)}
        if path.is_dir() or path.name in taken:
            continue
        reason = "no image in the folder 'images' belongs to it"
        if path.suffix.lower() not in layout.LABEL_SUFFIXES:
            reason = f"not read, only {', '.join(layout.LABEL_SUFFIXES)} are: save it as TIFF"
        elif taken:
            reason = f"not used: labels/{taken.pop()} is taken for the same image"
        yield f"labels/{path.name}", reason


def _in_files(folder: Path, table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Read every image and its label map."""
    unlabelled = table["split"] == "unlabelled"
    none_labelled, filled = not table["labelled"].any(), []
    for (_, row), fine in zip(table.iterrows(), unlabelled | none_labelled, strict=True):
        name, label = row["image"], row["label"]
        read_as_told = partial(read_image, **layout.reading_of(row))
        files = {f"images/{name}": read_as_told} | ({f"labels/{label}": read_labels} if label else {})
        shapes = []
        for file, read in files.items():
            try:
                pixels = read(folder / file)
                shapes.append(pixels.shape[:2])
                if read is read_labels and (doubt := doubt_of_labels(pixels)):
                    yield file, doubt
                filled += [pixels.any()] if read is read_labels else []
            except (ImageError, LabelError, OSError) as error:
                yield file, str(error).removeprefix(f"{folder / file}: ")
        if len(set(shapes)) == 2:
            size, label_size = (f"{height} × {width}" for height, width in shapes)
            advice = ": its axes are swapped, transpose it (labels.T)" * (shapes[0] == shapes[1][::-1])
            yield f"labels/{label}", f"is {label_size} pixels, but images/{name} is {size}{advice}"
        if not label and not fine:
            yield f"images/{name}", f"unlabelled: there is no labels/{stem_of(name)}_label.tiff"
    if filled and not any(filled):
        yield "labels", "all label maps are empty: there is nothing to learn or to score; label the cells"
    if none_labelled and not unlabelled.all():
        yield "labels", "no image has a label map (labels/NAME_label.tiff): all are unlabelled"


def _images_of(name: str) -> set[str]:
    """Return the stems of images whose label map a file of this name could be."""
    stem = stem_of(name)
    return {layout.without_ome(stem.removesuffix(end)) for end in layout.LABEL_ENDINGS if stem.endswith(end)}
