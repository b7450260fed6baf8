"""What a label map remembers about how it was made, and whether it still is what is asked for.

The record is a line of JSON in the label map's own TIFF description: it travels with the file, appears with
it in one step, and goes away when another program writes the file anew, as after corrections by hand. It
tells the image by its content, so copies of a folder are recognised; paths are kept as digests only.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tifffile
import torch

from maunet_lite.data import atomic_path
from maunet_lite.inference import MULTI_SCALE_LIMIT, Model, as_models
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import PostprocessConfig

_PROGRAM = "maunet-lite"
_VERSION = 1  # of the record; raise it when the same settings give other labels
# options of `predict_sized` that change what is found, with their defaults
_OPTIONS = {
    "scales": "auto", "diameter": None, "window": None, "overlap": None, "half": None,
    "single_scale_above": MULTI_SCALE_LIMIT,
}  # fmt: skip
_READING = ("channel", "plane", "project")  # how an image is read


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
    chosen |= {name: options[name] for name in _READING if options.get(name) is not None}
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
            raise ValueError(
                f"the label map of this name was made from another image, {known['name']} of another folder, "
                "and is kept: give each folder its own --out, or replace it with --overwrite"
            )
        changes.insert(0, "image")
    return ", ".join(changes)


def to_text(image: dict[str, str], made: dict[str, Any], files: Iterable[str], pixel_size: Any) -> str:
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
    """
    about = {"image": image, "made_by": made, "files": sorted(files), "pixel_size": pixel_size}
    return json.dumps({"program": _PROGRAM, **about})


def read_record(labels: Path) -> dict[str, Any] | None:
    """Return the record of a label map, or None if it has none, or cannot be read."""
    try:
        with tifffile.TiffFile(labels) as file:
            record = json.loads(file.pages[0].description)
        ours = record["program"] == _PROGRAM and {"made_by", "files", "pixel_size"} <= record.keys()
        return record if ours and {"name", "place", "dates", "content"} <= record["image"].keys() else None
    except Exception:  # whatever another program has written there
        return None


def update_record(path: Path, files: Iterable[str], **changed: Any) -> None:
    """Note in a label map, whose pixels stay as they are, which other files were written from it."""
    record = read_record(path)
    if record is None:
        return
    new = record | changed | {"files": sorted({*record["files"], *files})}
    if new != record:
        with atomic_path(path) as temporary:
            shutil.copyfile(path, temporary)
            tifffile.tiffcomment(temporary, json.dumps(new))
