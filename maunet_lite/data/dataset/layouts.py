"""Datasets in the layouts of other programs: brought into the kit's, and written for them.

======== =============================================== ===========================================
layout   what is read                                    what is written
======== =============================================== ===========================================
cellpose NAME.tif beside NAME_masks.png, NAME_cp_masks.* SPLIT/NAME.tif, SPLIT/NAME_masks.tif
stardist images/NAME.tif, masks/NAME.tif                 SPLIT/images/NAME.tif, SPLIT/masks/NAME.tif
dsb      NAME/images/NAME.png, NAME/masks/*.png          the same, a mask per cell
coco     a JSON with polygons or run lengths             images/NAME.tif, annotations.json
======== =============================================== ===========================================

A folder called train, val or test above an image names its split. An empty folder ``NAME/masks`` means that
there are no cells. Where files of a COCO dataset share a name, ``file_name`` must lead there from the JSON.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects
from skimage.draw import polygon

from maunet_lite.data.checks import DatasetError, LabelError
from maunet_lite.data.dataset.folder import load_dataset
from maunet_lite.data.dataset.table import LABEL_ENDINGS, LABEL_SUFFIXES, SPLIT_NAMES, files_in, stem_of
from maunet_lite.data.reading.images import IMAGE_SUFFIXES, read_labels
from maunet_lite.data.reading.open import image_size, open_slide
from maunet_lite.data.writing import atomic_path, write_image, write_labels

LAYOUTS = ("cellpose", "stardist", "dsb", "coco")
_ENDINGS = tuple(filter(None, LABEL_ENDINGS))
_NO_IMAGES = (*_ENDINGS, "_flows", "_outlines")  # what Cellpose writes beside an image
# an image, and what returns its label map, if it has one
Found = tuple[Path, Callable[[], np.ndarray] | None]


def import_folder(source: str | Path, out: str | Path) -> Path:
    """Bring a dataset of another layout into the kit's: ``images/``, ``labels/`` and ``metadata.csv``.

    Parameters
    ----------
    source : path
        A folder as the table above has it; the layout is found out. It stays as it is.
    out : path
        The folder to make; it appears when it is complete.

    Returns
    -------
    pathlib.Path
        `out`. Images are copied as they are.

    Raises
    ------
    DatasetError
        If no image with masks is found, or `out` is there already.
    LabelError
        If a file of masks cannot be used; the message begins with its path. Cellpose's ``_seg.npy`` is a
        pickle, which can run code, and is refused: let Cellpose write masks as PNG or TIFF.
    """
    source, out = Path(source), Path(out)
    if out.exists():
        raise DatasetError(f"{out} is there already: give another --out, or remove it")
    found = [*_coco(source)] or [*_beside(source)]
    if not any(labels for _, labels in found):
        raise DatasetError(f"{source} holds no images with masks as {', '.join(LAYOUTS)} lay them out")
    rows, stems = [], set()
    with atomic_path(out) as unfinished:
        (unfinished / "images").mkdir(parents=True)
        for image, labels in found:
            place = image.relative_to(source)
            name = "_".join(place.parts) if stem_of(place) in stems else place.name
            stems |= {stem_of(name)}
            shutil.copyfile(image, unfinished / "images" / name)
            if labels:
                write_labels(unfinished / "labels" / f"{stem_of(name)}_label.tiff", labels())
            split = [SPLIT_NAMES[part.lower()] for part in place.parts if part.lower() in SPLIT_NAMES]
            rows.append({"image": name, "modality": "", "split": (split or [""])[0]})
        table = pd.DataFrame(rows)
        known = (table["split"] != "").any()
        table = table.replace({"split": {"": "train"}}) if known else table.drop(columns="split")
        table.to_csv(unfinished / "metadata.csv", index=False)
    return out


def _visible(source: Path) -> list[Path]:
    """Return all that is in a folder and its folders, in order, but what is hidden."""
    inside = sorted(source.rglob("*"))
    return [path for path in inside if not any(p.startswith(".") for p in path.relative_to(source).parts)]


def _beside(source: Path) -> Iterator[Found]:
    """Find images whose masks lie beside them, or in a folder beside theirs."""
    for folder in (source, *filter(Path.is_dir, _visible(source))):
        if folder.name.lower() in ("masks", "labels"):
            continue
        files = [path for path in files_in(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
        files = [path for path in files if not stem_of(path).endswith(_NO_IMAGES)]
        parts = [path for name in ("masks", "labels") for path in files_in(folder.parent / name)]
        for image in files:
            stem = stem_of(image)
            near = [folder / f"{stem}{end}{suffix}" for end in _ENDINGS for suffix in LABEL_SUFFIXES]
            near += [path for path in parts if stem_of(path) in (stem, *(stem + end for end in _ENDINGS))]
            near = [path for path in (*near, folder / f"{stem}_seg.npy") if path.exists()]
            alone = len(files) == 1 and folder.name == "images"  # a folder of masks may be empty: no cells
            masks = near[:1] or (parts if alone else [])
            known = masks or (alone and (folder.parent / "masks").is_dir())
            yield image, partial(read_masks, masks, image) if known else None


def read_masks(paths: list[Path], image: Path) -> np.ndarray:
    """Return the label map in one file, or of files with one cell each, which may be none."""
    if any(path.suffix == ".npy" for path in paths):
        raise LabelError(
            f"{paths[0]}: a pickle, which can run code, and is not opened. In Cellpose, save masks as PNG or "
            "TIFF (File menu, or --save_tif); they lie beside the image then"
        )
    stem, only = stem_of(image), stem_of(paths[0]) if len(paths) == 1 else ""
    if only.startswith(stem) and not only.removeprefix(stem)[1:].isdecimal():  # `export_folder` numbers cells
        return read_labels(paths[0])
    labels = np.zeros(image_size(image), np.int32)
    for cell, path in enumerate(paths, start=1):
        with open_slide(path, memory=None, raw=True) as slide:
            mask = slide.whole() > 0
        if mask.shape[:2] != labels.shape:
            raise LabelError(f"{path}: the mask is {mask.shape[:2]}, its image {labels.shape}")
        labels[mask if mask.ndim == 2 else mask.any(axis=2)] = cell
    return labels


def _coco(source: Path) -> Iterator[Found]:
    """Find the images that COCO annotations speak of."""
    files = [(file.name, file) for file in _visible(source) if file.is_file()]
    for path in (path for path in _visible(source) if path.suffix == ".json"):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # no JSON
            continue
        if not (isinstance(said, dict) and {"images", "annotations"} <= said.keys()):
            continue
        of = np.array([one["image_id"] for one in said["annotations"]])
        for about in said["images"]:
            named, place = Path(about["file_name"]).name, (path.parent / about["file_name"]).resolve()
            there = [file for name, file in files if name == named]
            found = [file for file in there if file.resolve() == place] or there
            if len(found) != 1:
                what = f"{source} has {len(found)} files of this name, none where file_name says"
                raise DatasetError(f"{path} speaks of {named}: {what}")
            cells = [said["annotations"][k] for k in np.flatnonzero(of == about["id"])]
            yield found[0], partial(_draw_coco, cells, (about["height"], about["width"]))


def _draw_coco(cells: Iterable[dict[str, Any]], shape: tuple[int, int]) -> np.ndarray:
    """Return the label map of COCO annotations: polygons, or run lengths down the columns."""
    labels = np.zeros(shape, np.int32)
    for cell, about in enumerate(cells, start=1):
        drawn = about["segmentation"]
        if isinstance(drawn, dict):
            counts = drawn["counts"] if isinstance(drawn["counts"], list) else _counts(drawn["counts"])
            runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
            labels[runs.reshape(shape, order="F")] = cell
            continue
        for ring in drawn:
            x, y = np.reshape(ring, (-1, 2)).T - 0.5  # there a pixel's centre is a whole number
            labels[polygon(y, x, shape)] = cell
    return labels


def _counts(text: str) -> list[int]:
    """Return the run lengths of COCO's short form: six bits a letter, differences from the third on."""
    letters = np.frombuffer(text.encode(), np.uint8).astype(int) - 48  # 32: the number goes on in the next
    counts: list[int] = []
    for digits in np.split(letters, np.flatnonzero(letters < 32) + 1)[:-1]:
        value = (digits % 32) @ 32 ** np.arange(len(digits)) - (digits[-1] >= 16) * 32 ** len(digits)
        counts.append(int(value) + (counts[-2] if len(counts) > 2 else 0))
    return counts


def export_folder(dataset: str | Path, out: str | Path, layout: str) -> Path:
    """Write the labelled images of a dataset in the layout of another program.

    Parameters
    ----------
    dataset : str or path
        What `load_dataset` takes.
    out : path
        The folder to make; it appears when it is complete.
    layout : str
        One of `LAYOUTS`.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    DatasetError
        If `layout` is none of them, or `out` is there already.
    """
    out = Path(out)
    if layout not in LAYOUTS or out.exists():
        raise DatasetError(f"layout {layout!r} to {out}: expected one of {', '.join(LAYOUTS)}, a new folder")
    data, images, cells = load_dataset(dataset).labelled(), [], []
    with atomic_path(out) as unfinished:
        for k, split in enumerate(data.table["split"]):
            path, labels = data.image_path(k), data.labels(k)
            stem, (height, width) = stem_of(path), labels.shape
            folder = unfinished / {"dsb": stem, "coco": ""}.get(layout, split)
            image = folder / ("" if layout == "cellpose" else "images") / path.name
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, image)
            if layout in ("cellpose", "stardist"):
                name = f"{stem}_masks.tif" if layout == "cellpose" else f"masks/{stem}.tif"
                write_labels(folder / name, labels)
            elif layout == "dsb":
                (folder / "masks").mkdir()
                for cell in np.unique(labels[labels > 0]):
                    write_image(folder / f"masks/{stem}_{cell:05d}.png", (labels == cell) * np.uint8(255))
            else:
                images.append({"id": k, "file_name": path.name, "height": height, "width": width})
                for one in _to_coco(labels):
                    cells.append({"id": len(cells), "image_id": k} | one)
        if layout == "coco":
            about = {"images": images, "annotations": cells, "categories": [{"id": 1, "name": "cell"}]}
            (unfinished / "annotations.json").write_text(json.dumps(about), encoding="utf-8")
    return out


def _to_coco(labels: np.ndarray) -> Iterator[dict[str, Any]]:
    """Give each cell as COCO has it, its pixels exactly, as run lengths down the columns."""
    flat = labels.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=-1))  # of runs of one id
    runs = pd.DataFrame({"id": flat[starts], "start": starts, "stop": [*starts[1:], flat.size]})
    boxes = find_objects(labels)
    for cell, its in runs[runs["id"] > 0].groupby("id"):
        counts = np.diff([0, *its[["start", "stop"]].to_numpy().ravel(), flat.size]).tolist()
        rows, columns = boxes[cell - 1]
        yield {
            "category_id": 1, "iscrowd": 0, "area": int((its["stop"] - its["start"]).sum()),
            "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            "segmentation": {"size": list(labels.shape), "counts": counts},
        }  # fmt: skip
