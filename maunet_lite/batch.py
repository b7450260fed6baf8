"""Many images, one after another: files in, label maps out, and no surprise on the way.

A damaged image never stops the others, nothing is half-written, and what is done is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maunet_lite.colors import blend, outlines, random_colors, to_display
from maunet_lite.images import IMAGE_SUFFIXES, read_image, write_image, write_labels
from maunet_lite.inference import predict
from maunet_lite.model import MAUNet
from maunet_lite.postprocessing import PostprocessConfig, segment


class Outcome(NamedTuple):
    """What became of one image.

    `status` is "segmented", "skipped" (its label map was there) or "failed"; then `reason` says why.
    """

    image: Path
    labels: Path
    status: str
    cells: int = 0
    reason: str = ""


def find_images(inputs: Iterable[str | Path]) -> list[Path]:
    """Return the image files that are meant by files and folders, folders in order of name.

    Parameters
    ----------
    inputs : iterable of path
        A file is taken as it is. Of a folder, all files with an image's suffix; of a dataset folder those in
        its ``images``.

    Raises
    ------
    FileNotFoundError
        If an input does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in map(Path, inputs):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: give image files, or folders that hold some")
        if path.is_file():
            found.append(path)
            continue
        folder = path / "images" if (path / "images").is_dir() else path
        images = sorted(
            file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
        )
        if not images:
            raise FileNotFoundError(
                f"{folder} holds no image (a file that ends in {', '.join(IMAGE_SUFFIXES)})"
            )
        found += images
    return list(dict.fromkeys(found))


def label_paths(images: Sequence[Path], out: str | Path) -> list[Path]:
    """Return where the label map of each image goes: ``NAME_label.tiff`` in `out`.

    Images that differ only in their suffix keep it in the name: ``a.png`` and ``a.tif`` become
    ``a_png_label.tiff`` and ``a_tif_label.tiff``.

    Raises
    ------
    ValueError
        If two images would still be written to the same file.

    Examples
    --------
    >>> [path.name for path in label_paths([Path("a.png"), Path("a.tif"), Path("b.png")], "out")]
    ['a_png_label.tiff', 'a_tif_label.tiff', 'b_label.tiff']
    """
    stems = Counter(image.stem for image in images)
    names = [i.stem if stems[i.stem] == 1 else f"{i.stem}_{i.suffix.lstrip('.').lower()}" for i in images]
    for name, count in Counter(names).items():
        if count > 1:
            same = ", ".join(str(image) for image, other in zip(images, names, strict=True) if other == name)
            raise ValueError(
                f"{same} would all become {name}_label.tiff: segment them into different folders"
            )
    return [Path(out) / f"{name}_label.tiff" for name in names]


def segment_files(
    inputs: Iterable[str | Path],
    out: str | Path,
    model: MAUNet | Sequence[MAUNet],
    *,
    postprocess: str | PostprocessConfig = "default",
    overlay: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> list[Outcome]:
    """Segment images and write one label map each.

    Parameters
    ----------
    inputs : iterable of path
        Files and folders, see `find_images`.
    out : path
        Folder for ``NAME_label.tiff``, and with `overlay` ``NAME_overlay.png``; made if it is not there.
    model : MAUNet, or a sequence of them
        A sequence is an ensemble.
    postprocess : str or PostprocessConfig
        See `PostprocessConfig.named`.
    overlay : bool
        Also write the image with the cells drawn over it.
    overwrite : bool
        Segment again what has a label map already.
    progress : bool
        Show a progress bar.
    **options
        For `inference.predict`: ``scales``, ``window``, ``device`` …

    Returns
    -------
    list of Outcome
        One per image, in order. An image that cannot be read or segmented is "failed" and leaves no file.

    Raises
    ------
    FileNotFoundError, ValueError
        If an input does not exist, or two would be written to the same file; before anything is done.
    """
    from tqdm import tqdm

    images = find_images(inputs)
    targets = label_paths(images, out)
    config = PostprocessConfig.named(postprocess) if isinstance(postprocess, str) else postprocess
    Path(out).mkdir(parents=True, exist_ok=True)
    outcomes = []
    for image, target in tqdm(
        list(zip(images, targets, strict=True)), unit="image", disable=None if progress else True
    ):
        picture = target.with_name(target.name.replace("_label.tiff", "_overlay.png")) if overlay else None
        if not overwrite and target.exists() and (picture is None or picture.exists()):
            outcomes.append(Outcome(image, target, "skipped"))
            continue
        outcomes.append(_segment_file(image, target, picture, model, config, options))
    return outcomes


def _segment_file(
    image: Path, target: Path, picture: Path | None, model: Any, config: Any, options: Any
) -> Outcome:
    try:
        pixels = read_image(image)
        labels = segment(predict(model, pixels, **options), config).labels
        write_labels(target, labels)
        if picture is not None:
            write_image(picture, draw_overlay(pixels, labels))
    except Exception as error:  # whatever is wrong with one image must not stop the others
        return Outcome(image, target, "failed", reason=_reason(error, image))
    return Outcome(image, target, "segmented", cells=int(np.count_nonzero(np.unique(labels))))


def draw_overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw outlines of cells, and a breath of their colour, over an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    labels : (H, W) integer array

    Returns
    -------
    (H, W, 3) uint8
        At full size; `plots.overlay` draws the same as a figure.
    """
    base = to_display(image)
    colors = random_colors(labels) / np.float32(255)
    blend(base, labels > 0, colors, 0.25)
    blend(base, outlines(labels), colors, 1.0)
    return np.round(base * 255).astype(np.uint8)


def _reason(error: Exception, image: Path) -> str:
    """Return the message in one line, without the path with which the kit's own begin."""
    text = " ".join(str(error).split()) or type(error).__name__
    for prefix in (f"{image}: ", f"{image.name}: "):
        text = text.removeprefix(prefix)
    return text if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {text}"
