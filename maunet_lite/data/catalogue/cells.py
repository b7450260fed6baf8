"""Build the real images of ``cells`` from the public repositories that hold them, and check each of them.

``cells.csv`` beside this file lists them: where an image lies in the archive of its source, its licence, its
split, and the SHA-256 of what becomes of it. Sums are of decoded pixels, as what a compressor writes differs
between versions of zlib; archives bear none, as GitHub packs them anew from time to time.
"""

import hashlib
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from skimage import measure, morphology
from skimage.exposure import rescale_intensity
from skimage.segmentation import expand_labels, relabel_sequential
from skimage.transform import downscale_local_mean
from tqdm import tqdm

from maunet_lite.data.catalogue.entries import Entry, Part
from maunet_lite.data.checks import DatasetError
from maunet_lite.data.dataset.layouts import read_masks
from maunet_lite.data.dataset.table import image_files, read_listing
from maunet_lite.data.reading.images import read_image, read_labels
from maunet_lite.data.writing import atomic_path, write_image, write_labels, write_text

TABLE = Path(__file__).with_name("cells.csv")
Load = Callable[[str], AbstractContextManager[zipfile.ZipFile]]
Pair = tuple[np.ndarray, np.ndarray]  # an image, and its labels


def build_cells(folder: Path, entry: Entry, load: Load, progress: bool = True) -> None:
    """Build what is missing of `cells` in a folder, image by image: a run that was stopped goes on.

    Parameters
    ----------
    folder : Path
        A dataset folder; it may hold images of `cells` already, and no others.
    entry : Entry
        Its parts name the archives, and the folder in them of the images of a source.
    load : callable
        Takes the address of an archive and opens it, in a ``with`` statement.
    progress : bool
        Show progress bars.

    Raises
    ------
    DatasetError
        If the folder holds other images, or changed ones, before anything is done. If images cannot be had,
        once all others are there; the message names their sources and the reasons.
    """
    table = pd.read_csv(TABLE)
    table["label"] = table["image"].str.replace(".png", "_label.tiff")
    if strangers := {*image_files(folder), *read_listing(folder)["image"]} - {*table["image"]}:
        raise DatasetError(f"{folder} holds {min(strangers)}, which is not of 'cells': choose another folder")
    rows = tqdm(table.itertuples(), "checking", len(table), unit="image", disable=not progress)
    missing = table[[not _is_there(folder, row) for row in rows]]
    if missing.empty and (folder / "metadata.csv").exists():
        return
    _tell(folder, table, entry)  # should this run be killed, the next one lists what it has made
    faults = []
    for part in entry.parts:
        try:
            _build(part, missing[missing["source"].str.startswith(part.source)], folder, load, progress)
        except (OSError, ValueError) as error:  # no network, a damaged archive, other pixels
            faults.append(f"{part.source}: {error}")
    count = _tell(folder, table, entry)
    if faults:
        raise DatasetError(
            f"{folder} is incomplete: {count} of {len(table)} images are there and can be used. The same "
            f"line again goes on from here. What is missing, and why: {'; '.join(faults)}"
        )


def _is_there(folder: Path, row: Any) -> bool:
    """Tell whether an image and its label map are there; raise if they are not what they should be."""
    image, label = folder / "images" / row.image, folder / "labels" / row.label
    if not (image.exists() and label.exists()):
        return False
    try:
        found = sum_of(read_image(image), read_labels(label))
    except ValueError as error:  # no image any more, or no label map
        found = str(error)
    if found != row.sha256:
        raise DatasetError(
            f"{image} or {label} was changed or damaged ({found}) and is left alone: remove it to have it "
            "built anew, or choose another folder"
        )
    return True


def sum_of(image: np.ndarray, labels: np.ndarray) -> str:
    """Return the SHA-256 of an image: its shape as text, its pixels, its labels as little-endian uint16."""
    pixels = image.tobytes() + labels.astype("<u2").tobytes()
    return hashlib.sha256(str(image.shape).encode() + pixels).hexdigest()


def _tell(folder: Path, table: pd.DataFrame, entry: Entry) -> int:
    """Write the licences, and the table of the images that are there; return how many they are."""
    there = table[[(folder / "labels" / label).exists() for label in table["label"]]]
    write_text(folder / "LICENCE.txt", f"{entry.about}\n\n{entry.licence}\n")
    with atomic_path(folder / "metadata.csv") as temporary:
        there.drop(columns=["label", "origin", "sha256"]).to_csv(temporary, index=False, lineterminator="\n")
    return len(there)


def _build(part: Part, rows: pd.DataFrame, folder: Path, load: Load, progress: bool) -> None:
    """Build images of a part; write those that come out as they should, and raise if others do not."""
    if rows.empty:
        return
    wrong = []
    with load(part.url) as archive, TemporaryDirectory() as temporary:
        for member in archive.infolist():
            if name := member.filename.partition(f"/{part.images}/")[2]:
                member.filename = name  # shorter: some systems end paths at 260 characters
                archive.extract(member, temporary)
        for row in tqdm(rows.itertuples(), part.source, len(rows), unit="image", disable=not progress):
            image, labels = RECIPES[part.source](Path(temporary), row.origin)
            if sum_of(image, labels) == row.sha256:
                write_image(folder / "images" / row.image, image)
                write_labels(folder / "labels" / row.label, labels)
            else:
                wrong.append(row.image)
    if wrong:
        raise DatasetError(f"{len(wrong)} come out with other pixels than they should, first {wrong[0]}")


# --- from the files of a source to an image and its labels -----------------------------------------------


def nuclei(source: Path, origin: str) -> Pair:
    """Join masks, a file each, into a label map; make grey what is stored in colour and has none."""
    path = source / origin / "images" / f"{origin}.png"
    image = read_image(path)
    labels = read_masks(sorted((source / origin / "masks").glob("*.png")), path)
    grey = (image == image[..., :1]).all()
    return image[..., 0] if grey else image, relabel_sequential(labels)[0]


def monolayer(source: Path, origin: str) -> Pair:
    """Bring 16 bits to 8, of each cell keep the largest piece, halve the size."""
    image = read_image(source / origin / "raw.tif")
    labels = read_labels(source / origin / "instances_ids.png")
    image = rescale_intensity(image, tuple(np.percentile(image, [0.1, 99.9])), (0, 255)).astype(np.uint8)
    pieces = measure.label(labels)
    table = pd.DataFrame(measure.regionprops_table(pieces, labels, ("label", "area", "intensity_max")))
    largest = table.loc[table.groupby("intensity_max")["area"].idxmax()]
    kept = largest.loc[largest["area"] >= 50, "label"]  # less is debris
    return halved(image, labels * np.isin(pieces, kept))


def outlined(source: Path, origin: str) -> Pair:
    """Fill the outlines that somebody drew, halve the size."""
    split, name = origin.split("/")
    drawn = read_image(source / {"test": "test_truth"}.get(split, split) / "outlines" / f"{name}.png") > 0
    return halved(read_image(source / split / "images" / f"{name}.png")[..., 0], within_curves(drawn))


def discs(source: Path, origin: str) -> Pair:
    """Fill the outlines of round cells; what is not round lies between cells."""
    drawn = read_image(source / "outlines" / f"{origin}.tif") > 0
    free = ~drawn if drawn.mean() < 0.5 else drawn  # some are drawn in white, some in black
    labels = measure.label(free, connectivity=1)
    regions = measure.regionprops(labels)
    kept = [one.label for one in regions if 150 < one.area < 15_000 and one.solidity > 0.85]
    labels = expand_labels(labels * np.isin(labels, kept), 1)
    return read_image(source / "images" / f"{origin}.tif"), relabel_sequential(labels)[0]


RECIPES = {"dsb2018": nuclei, "usiigaci": monolayer, "bbbc030": outlined, "bbbc009": discs}


def halved(image: np.ndarray, labels: np.ndarray) -> Pair:
    """Halve an image by means of 2 × 2 pixels, its labels by their upper left one; an odd side loses one."""
    height, width = (side // 2 * 2 for side in labels.shape)
    means = downscale_local_mean(image[:height, :width].astype(float), (2, 2))
    return means.astype(np.uint8), relabel_sequential(labels[:height:2, :width:2])[0]


def within_curves(drawn: np.ndarray) -> np.ndarray:
    """Return labels of what curves enclose, with a pixel of the curve; where a gap is small it is closed.

    Parameters
    ----------
    drawn : numpy.ndarray
        (H, W) bool.
    """
    cells = enclosed(drawn)
    curves = measure.label(drawn, connectivity=2)
    closed = {*curves[drawn & morphology.isotropic_dilation(cells > 0, 2)]}
    for curve in measure.regionprops(curves):
        alone = np.pad(curves == curve.label, 25)
        for radius in (1, 2, 3, 5, 8, 12, 20) if curve.area >= 40 and curve.label not in closed else ():
            inside = enclosed(morphology.isotropic_closing(alone, radius))[25:-25, 25:-25] > 0
            if inside.sum() > 150:
                cells[inside & (cells == 0)] = cells.max() + 1
                break
    areas = np.bincount(cells.ravel())
    return expand_labels(np.where(areas[cells] < 100, 0, cells), 1)  # less is a speck


def enclosed(drawn: np.ndarray) -> np.ndarray:
    """Return labels of the pieces of what is not drawn; the largest is the background."""
    pieces = measure.label(~drawn, connectivity=1)
    sizes = np.bincount(pieces[pieces > 0], minlength=1)
    return pieces * (pieces != sizes.argmax())
