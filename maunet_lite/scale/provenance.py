"""What a label map remembers about how it was made, and whether it still is what is asked for.

The record is a line of JSON in the label map's own TIFF description: it travels with the file and appears
with it in one step. It tells image and label map by their content, so copies of a folder are recognised, and
so are corrections by hand, whether the program that made them kept the description or not; of a map without
one, a hidden file beside it remembers what was written from it. Paths are kept as digests only.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from maunet_lite.data import atomic_path
from maunet_lite.inference import MULTI_SCALE_LIMIT, Model, as_models
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import PostprocessConfig, read_json

_PROGRAM = "maunet-lite"
_BAND = 512  # rows that are digested together
_VERSION = 1  # of the record; raise it when the same settings give other labels
# options of `predict_sized` that change what is found, with their defaults
_OPTIONS = {"scales": "auto", "single_scale_above": MULTI_SCALE_LIMIT}
_OPTIONS |= dict.fromkeys(("diameter", "window", "overlap", "half"))
_RARE = ("channel", "plane", "project", "flips")  # noted only where they are given


def made_by(
    models: Model | Sequence[Model], config: PostprocessConfig | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return all that a label map depends on beside its image, as JSON has it.

    Device and memory are left out: they change how a result comes about.

    Examples
    --------
    >>> made_by([], None, {"scales": (1, 1.5), "device": "cpu"})["options"]["scales"]
    [1.0, 1.5]
    """
    chosen = {name: options.get(name, default) for name, default in _OPTIONS.items()}
    chosen |= {name: options[name] for name in _RARE if options.get(name) not in (None, False)}
    if not isinstance(chosen["scales"], str):
        chosen["scales"] = [float(scale) for scale in chosen["scales"]]
    settings = asdict(PostprocessConfig.named("default") if config is None else config)
    networks = [_weights(model) for model in as_models(models)] if models else []
    found = {"version": _VERSION, "models": networks, "options": chosen, "postprocess": settings}
    return json.loads(json.dumps(found, default=str))


def _weights(model: MAUNet) -> str:
    digest = hashlib.sha256(repr((model.config, model.settings.get("sizes"))).encode())
    for name, tensor in model.state_dict().items():
        data = tensor.detach().cpu().reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
        digest.update(name.encode() + data.numpy().tobytes())
    return digest.hexdigest()[:16]


def identify(image: Path) -> dict[str, str]:
    """Return what tells the file of an image from others: its name, digests of place and dates."""
    stats = [(str(file.resolve()), file.stat()) for file in _files(image)]
    dates = [(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for path, stat in stats]
    return {"name": image.name, "place": _digest(str(image.resolve())), "dates": _digest(json.dumps(dates))}


def describe_image(image: Path) -> dict[str, str]:
    """Return what tells an image from others: as `identify`, and a digest of its content."""
    return {**identify(image), "content": _content(image)}


def _files(image: Path) -> list[Path]:
    """Return the file of an image, or all files of a Zarr."""
    return sorted(file for file in image.rglob("*") if file.is_file()) if image.is_dir() else [image]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _content(image: Path) -> str:
    digest = hashlib.sha256()
    for path in _files(image):
        if path != image:  # a Zarr: where a chunk lies is part of the content
            digest.update(path.relative_to(image).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(2**22):
                digest.update(block)
    return digest.hexdigest()


def difference(record: dict[str, Any], image: Path, made: dict[str, Any]) -> str:
    """Say in what a record differs from what is asked for; empty if in nothing.

    Raises
    ------
    ValueError
        If the label map belongs to another image: one of another folder, with another content.
    """
    known, found = record["image"], identify(image)
    changes = [name for name in made if record["made_by"].get(name) != made[name]]
    # the content is read only if the file could be another one
    if known["dates"] != found["dates"] and known["content"] != _content(image):
        if known["place"] != found["place"]:
            other = f"another image, {known['name']} of another folder, and is kept"
            cure = "give each folder its own --out, or replace it with --overwrite"
            raise ValueError(f"the label map of this name was made from {other}: {cure}")
        changes.insert(0, "image")
    return ", ".join(changes)


def is_made_from(labels: Path, image: Path) -> bool | None:
    """Tell whether a label map was made from an image, be its content another now; None without a record."""
    record = read_record(labels)
    if record and record["image"]["name"] == image.name:
        with suppress(OSError, ValueError):  # the image cannot be read, or is one of another folder
            return difference(record, image, {}) in ("", "image")
    return None if record is None else False


def digest_of(shape: tuple[int, int], bands: Iterable[np.ndarray]) -> str:
    """Return a digest of a label map (H, W), given as bands of rows: the same for all types of integers."""
    digest = hashlib.sha256(repr(tuple(map(int, shape))).encode())
    for band in bands:
        for start in range(0, len(band), _BAND):
            digest.update(band[start : start + _BAND].astype("<i8").tobytes())
    return digest.hexdigest()[:32]


def pixels_of(labels: Path) -> tuple[str, tuple[int, int]]:
    """Return `digest_of` a label map in a TIFF, whatever its strips, tiles and compression, and (H, W).

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    with suppress(Exception), tifffile.TiffFile(labels) as file:  # decoders raise whatever they like
        page = file.pages[0]
        return digest_of(page.shape[:2], _bands(page)), page.shape[:2]
    raise ValueError(f"{labels.name} cannot be read: replace it with --overwrite, or move it away")


def _bands(page: tifffile.TiffPage) -> Iterator[np.ndarray]:
    """Give the rows of a page in order, so many at a time as its strips or tiles are high."""
    (height, width), band = page.shape[:2], []
    for data, (_, _, top, left, _), size in page.segments(maxworkers=1):
        part = np.zeros(size[1:3], page.dtype) if data is None else data[0, ..., 0]  # None: a tile left out
        band.append(part[: height - top, : width - left])
        if left + size[2] >= width:
            yield np.hstack(band)
            band = []


def to_text(
    image: dict[str, str], made: dict[str, Any], files: Iterable[str], pixel_size: Any, pixels: str = "",
    scores: Sequence[float] = (),
) -> str:  # fmt: skip
    """Return a record as it is written: a line of ASCII.

    Parameters
    ----------
    image : dict
        From `describe_image`.
    made : dict
        From `made_by`.
    files : iterable of str
        Kinds of files written from the same labels.
    pixel_size : float or None
        With which they were written.
    pixels : str
        From `digest_of`; `seal` fills it in, and the scores.
    scores : sequence of float
        Of the cells 1 … N.
    """
    about = {"image": image, "made_by": made, "files": sorted(files), "pixel_size": pixel_size}
    known = {"pixels": pixels, "scores": np.round(scores, 3).tolist()}
    return json.dumps({"program": _PROGRAM, **about, **known})


def seal(labels: Path, scores: np.ndarray) -> None:
    """Note the digest of its pixels, and scores, in the record of a map that was written piece by piece.

    A map without a record stays as it is.
    """
    if record := _described(labels):
        known = {"pixels": pixels_of(labels)[0], "scores": np.round(scores, 3).tolist()}
        tifffile.tiffcomment(labels, json.dumps(record | known))


def beside(labels: Path) -> Path:
    """Return where the record of a label map lies whose own description belongs to another program."""
    return labels.with_name(f".{labels.name}.json")


def _described(labels: Path) -> dict[str, Any] | None:
    with suppress(Exception), tifffile.TiffFile(labels) as file:  # whatever another program has written
        return _ours(json.loads(file.pages[0].description))
    return None


def _ours(record: Any) -> dict[str, Any] | None:
    """Return a record if it is one."""
    known = {"program", "image", "made_by", "files", "pixel_size"} <= record.keys()
    ours = known and record["program"] == _PROGRAM
    return record if ours and {"name", "place", "dates", "content"} <= record["image"].keys() else None


def read_record(labels: Path) -> dict[str, Any] | None:
    """Return the record of a label map, or None if it has none, or cannot be read."""
    with suppress(OSError, ValueError, AttributeError):
        return _described(labels) or _ours(read_json(beside(labels)))
    return None


def update_record(path: Path, files: Iterable[str], new: dict[str, Any], **changed: Any) -> None:
    """Note which other files were written from a label map, whose pixels stay as they are.

    Parameters
    ----------
    path : Path
        The label map.
    files : iterable of str
        Their kinds.
    new : dict
        The record of a map that has none.
    **changed
        Other fields.
    """
    described, record = _described(path), read_record(path) or new
    after = record | changed | {"files": sorted({*record["files"], *files})}
    if after == described:
        return
    with atomic_path(path if described else beside(path)) as temporary:
        if described:
            shutil.copyfile(path, temporary)
            tifffile.tiffcomment(temporary, json.dumps(after))
        else:
            temporary.write_text(json.dumps(after), encoding="utf-8")
