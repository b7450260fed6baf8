"""One image of many: what is to be written for it, and the three stages of its way: read, network, finish."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maunet_lite.colors import blend, outlines, random_colors, to_display
from maunet_lite.export import export
from maunet_lite.export_formats import FORMATS
from maunet_lite.images import atomic_path, read_image, read_labels, write_image, write_labels
from maunet_lite.inference import predict
from maunet_lite.maps import Maps
from maunet_lite.measure import measure_cells
from maunet_lite.postprocessing import PostprocessConfig, segment

STAGES = ("read", "network", "postprocess", "write")


class Job(NamedTuple):
    """An image and where its label map goes."""

    image: Path
    labels: Path

    @property
    def name(self) -> str:
        """What the names of all its files begin with."""
        return self.labels.name.removesuffix(FORMATS["tiff"])

    @property
    def cells(self) -> Path:
        """Where the measurements of its cells go until all images are done."""
        return self.labels.parent / "cells" / f"{self.name}.csv"


@dataclass(frozen=True)
class Plan:
    """What is done with every image; it can be pickled if `models` holds names."""

    models: tuple[Any, ...]
    config: PostprocessConfig | None
    options: dict[str, Any] = field(default_factory=dict)  # for `predict`
    formats: tuple[str, ...] = ("tiff",)
    overlay: bool = False
    table: bool = False
    overwrite: bool = False
    pixel_size: float | None = None
    memory: int | None = None  # bytes

    def files(self, job: Job) -> dict[str, Path]:
        """All files that are to be there in the end, by kind."""
        stem = job.labels.with_name(job.name)
        files = {kind: stem.with_name(stem.name + FORMATS[kind]) for kind in ("tiff", *self.formats)}
        if self.overlay:
            files["overlay"] = stem.with_name(f"{stem.name}_overlay.png")
        if self.table:
            files["cells"] = job.cells
        return files

    def missing(self, job: Job) -> set[str]:
        """Which kinds of files are still to be written."""
        files = self.files(job)
        return {kind for kind, path in files.items() if self.overwrite or not path.exists()}


@dataclass
class Row:
    """What became of one image: a row of the summary."""

    image: Path
    labels: Path
    status: str = "segmented"
    cells: int = 0
    height: int | None = None
    width: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def timed(self, stage: str, start: float) -> None:
        """Note the seconds since `start` for a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def read(job: Job, row: Row) -> np.ndarray:
    """Return the pixels of a job's image."""
    start = time.perf_counter()
    pixels = read_image(job.image)
    row.height, row.width = pixels.shape[:2]
    row.timed("read", start)
    return pixels


def see(pixels: np.ndarray, plan: Plan, row: Row) -> Maps:
    """Return what the networks say."""
    start = time.perf_counter()
    maps = predict(list(plan.models), pixels, **plan.options)
    row.timed("network", start)
    return maps


def finish(job: Job, plan: Plan, row: Row, pixels: np.ndarray, maps: Maps) -> Row:
    """Turn maps into cells and write all that is wanted."""
    start = time.perf_counter()
    labels = segment(maps, plan.config).labels
    row.timed("postprocess", start)
    return write(job, plan, row, pixels, labels, plan.missing(job) | {"tiff"})


def complete(job: Job, plan: Plan, row: Row) -> Row:
    """Write what is missing beside a label map that is there: the network is not asked again."""
    row.status = "completed"
    labels = read_labels(job.labels)
    pixels = read(job, row)
    if pixels.shape[:2] != labels.shape:
        raise ValueError(
            f"{job.labels.name} has shape {labels.shape}, the image {pixels.shape[:2]}: it belongs "
            "to another image; segment again (--overwrite)"
        )
    return write(job, plan, row, pixels, labels, plan.missing(job) - {"tiff"})


def write(job: Job, plan: Plan, row: Row, pixels: np.ndarray, labels: np.ndarray, kinds: set[str]) -> Row:
    """Write kinds of files for an image, each of them complete or not at all."""
    start = time.perf_counter()
    files = plan.files(job)
    table = None
    if kinds & {"cells", "geojson"}:
        table = measure_cells(labels, pixels, plan.pixel_size)
    if "tiff" in kinds:
        write_labels(files["tiff"], labels)
    if "overlay" in kinds:
        write_image(files["overlay"], draw_overlay(pixels, labels))
    others = [kind for kind in plan.formats if kind in kinds and kind != "tiff"]
    stem = job.labels.with_name(job.name)
    export(labels, stem, others, image=pixels, pixel_size=plan.pixel_size, measurements=table)
    if "cells" in kinds and table is not None:
        table.insert(0, "image", job.image.name)
        with atomic_path(files["cells"]) as temporary:
            table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    row.cells = int(np.count_nonzero(np.unique(labels))) if table is None else len(table)
    row.timed("write", start)
    return row


def work(job: Job, plan: Plan) -> Row:
    """Do all stages of one image, one after another; for a worker of a pool, which is given names of models.

    Raises
    ------
    Exception
        Whatever is wrong with the image.
    """
    from maunet_lite.cluster import cached_model

    row = Row(job.image, job.labels)
    if "tiff" not in plan.missing(job):
        return complete(job, plan, row)
    pixels = read(job, row)
    device = plan.options.get("device", "auto")
    plan = replace(plan, models=tuple(cached_model(str(model), str(device)) for model in plan.models))
    return finish(job, plan, row, pixels, see(pixels, plan, row))


def failed(job: Job, error: BaseException) -> Row:
    """Return the row of an image that could not be done."""
    return Row(job.image, job.labels, "failed", reason=reason_of(error, job.image))


def reason_of(error: BaseException, image: Path) -> str:
    """Return the message in one line, without the path with which the kit's own begin."""
    text = " ".join(str(error).split()) or type(error).__name__
    for prefix in (f"{image}: ", f"{image.name}: "):
        text = text.removeprefix(prefix)
    return text if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {text}"


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
