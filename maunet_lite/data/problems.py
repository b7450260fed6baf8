"""Every problem of a dataset folder at once, each with the way to mend it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from maunet_lite.data.checks import ImageError, LabelError
from maunet_lite.data.images import IMAGE_SUFFIXES, read_image, read_labels
from maunet_lite.data.table import (
    LABEL_ENDINGS,
    LABEL_SUFFIXES,
    SPLITS,
    UNASSIGNED,
    DatasetError,
    image_files,
    label_files,
    read_listing,
    read_table,
)

_LITTER = {"thumbs.db", "desktop.ini"}  # what file managers leave behind
_OTHER_NAMES = {
    "images": ("image", "imgs", "img", "raw", "pictures"),
    "labels": ("label", "masks", "mask", "gt", "groundtruth", "ground_truth", "annotations"),
}


class Problem(NamedTuple):
    """Something wrong with a dataset folder: which file, what, and how to mend it."""

    file: str
    problem: str


def check_folder(folder: str | Path, progress: bool = False) -> list[Problem]:
    """List every problem of a dataset folder at once.

    Found are: no folder ``images`` (with advice where the images seem to be), unreadable files and files of
    other kinds, missing, left-over and doubtful label maps, sizes that differ, swapped axes, binary masks and
    whatever else a label map must not be, images that the table lacks or that lack in the folder, unknown
    splits, shared names.

    Parameters
    ----------
    folder : str or Path
    progress : bool
        Show a progress bar: every file is read.

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
    from tqdm import tqdm

    folder = Path(folder)
    advice = advise(folder)
    if advice:
        return [Problem(str(folder), advice)]
    try:
        table = read_table(folder)
    except (DatasetError, OSError) as error:
        return [Problem(str(folder), str(error)), *_check_images_folder(folder)]
    problems = _check_images_folder(folder) + _check_listing(folder) + _check_label_names(folder)
    rows = zip(table["image"], table["label"], table["split"], strict=True)
    for name, label, split in tqdm(rows, total=len(table), unit="image", disable=not progress):
        problems += _check_pair(folder, name, label)
        if label is None and split != "unlabelled" and table["labelled"].any():
            expected = f"labels/{Path(name).stem}_label.tiff"
            problems.append(Problem(f"images/{name}", f"no label map ({expected}): it counts as unlabelled"))
    if not table["labelled"].any() and not (table["split"] == "unlabelled").all():
        problems.append(
            Problem("labels", "no image has a label map (labels/NAME_label.tiff): all are unlabelled")
        )
    return problems


def advise(folder: Path) -> str | None:
    """Return what keeps `folder` from being a dataset at all and what to do, or None if it has images."""
    layout = "Expected are images/NAME.png, labels/NAME_label.tiff and, if you like, metadata.csv"
    if not folder.exists():
        return f"there is no folder {folder}"
    if not folder.is_dir():
        return f"{folder} is a file; expected a folder. {layout}"
    if (folder / "images").is_dir():
        return None
    inside = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    loose = [name for name in inside if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if loose:
        return (
            f"{folder} has no folder 'images', but holds {len(loose)} image files itself ({loose[0]} …): "
            f"move the images into {folder / 'images'}, their label maps into {folder / 'labels'}. {layout}"
        )
    for name in inside:
        if name.lower() in ("images", *_OTHER_NAMES["images"]) and (folder / name).is_dir():
            return (
                f"{folder} has no folder 'images', but one called {name!r}: rename it to 'images'. {layout}"
            )
        if (folder / name / "images").is_dir():
            return f"{folder} has no folder 'images', but {folder / name} has: name that folder. {layout}"
    return f"{folder} has no folder 'images'. {layout}"


def _check_images_folder(folder: Path) -> list[Problem]:
    problems = []
    for path in sorted((folder / "images").iterdir()):
        if path.is_dir():
            problems.append(
                Problem(f"images/{path.name}", "a folder: what is in it is ignored; move images up")
            )
        elif not _is_litter(path) and path.suffix.lower() not in IMAGE_SUFFIXES:
            problems.append(
                Problem(
                    f"images/{path.name}",
                    f"not read, only {', '.join(IMAGE_SUFFIXES)} are: export it as TIFF",
                )
            )
    names = image_files(folder)
    stems = {Path(name).stem for name in names}
    for stem, count in Counter(Path(name).stem for name in names).items():
        if count > 1:
            problems.append(
                Problem(
                    f"images/{stem}.*",
                    f"{count} images share this name and so one label map; rename all but one",
                )
            )
    for name in names:
        stem = Path(name).stem
        if any(end and stem.endswith(end) and stem.removesuffix(end) in stems for end in LABEL_ENDINGS):
            problems.append(
                Problem(f"images/{name}", "seems to be a label map: move it into the folder 'labels'")
            )
    return problems


def _check_listing(folder: Path) -> list[Problem]:
    path = folder / "metadata.csv"
    if not path.exists():
        return []
    names = image_files(folder)
    listing, table = read_listing(path, names), read_table(folder)
    missing = sorted(set(names) - set(listing["image"]))
    problems = [
        Problem(f"images/{n}", "not in metadata.csv and so ignored; add a row for it") for n in missing
    ]
    for name, count in Counter(listing["image"]).items():
        if name not in names:
            problems.append(Problem("metadata.csv", f"names {name}, which is not in the folder 'images'"))
        if count > 1:
            problems.append(Problem("metadata.csv", f"names {name} {count} times; the first row counts"))
    for split, rows in table.groupby("split"):
        if split == UNASSIGNED:
            first = rows["image"].iloc[0]
            problems.append(
                Problem("metadata.csv", f"no split for {len(rows)} images ({first} …): they are not used")
            )
        elif split not in SPLITS:
            problems.append(
                Problem("metadata.csv", f"unknown split {split!r}; use one of {', '.join(SPLITS)}")
            )
    return problems


def _check_label_names(folder: Path) -> list[Problem]:
    if not (folder / "labels").is_dir():
        others = [
            p.name
            for p in folder.iterdir()
            if p.is_dir() and p.name.lower() in ("labels", *_OTHER_NAMES["labels"])
        ]
        return [Problem(name, "not read: rename this folder to 'labels'") for name in sorted(others)]
    problems = []
    used, stems = label_files(folder), {Path(name).stem for name in image_files(folder)}
    matched = {used[stem] for stem in stems & set(used)}
    for path in sorted((folder / "labels").iterdir()):
        file = f"labels/{path.name}"
        if path.is_dir() or _is_litter(path) or path.name in matched:
            continue
        endings = [ending for ending in LABEL_ENDINGS if path.stem.endswith(ending)]
        rivals = stems & {path.stem.removesuffix(ending) for ending in endings}
        if path.suffix.lower() not in LABEL_SUFFIXES:
            problems.append(Problem(file, f"not read, only {', '.join(LABEL_SUFFIXES)} are: save it as TIFF"))
        elif rivals:
            problems.append(
                Problem(file, f"not used: labels/{used[rivals.pop()]} is taken for the same image")
            )
        else:
            problems.append(Problem(file, "no image in the folder 'images' belongs to it"))
    return problems


def _check_pair(folder: Path, name: str, label: str | None) -> list[Problem]:
    """Problems of the content of one image and its label map."""
    problems, shape = [], None
    try:
        shape = read_image(folder / "images" / name).shape[:2]
    except (ImageError, OSError) as error:
        problems.append(Problem(f"images/{name}", _without_path(error, folder / "images" / name)))
    if label is None:
        return problems
    try:
        labels = read_labels(folder / "labels" / label)
    except (ImageError, LabelError, OSError) as error:
        return [*problems, Problem(f"labels/{label}", _without_path(error, folder / "labels" / label))]
    if shape is not None and labels.shape != shape:
        differ = f"the label map is {_size(labels.shape)} pixels, but images/{name} is {_size(shape)}"
        swapped = ": its axes are swapped, transpose it (labels.T)" if labels.shape == shape[::-1] else ""
        problems.append(Problem(f"labels/{label}", f"{differ}{swapped}"))
    return problems


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def _without_path(error: Exception, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def _is_litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _LITTER
