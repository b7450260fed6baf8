"""One image of many: what is to be written for it, and the three stages of its way: read, network, finish."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maunet_lite.data import atomic_path, read_image, read_labels, write_image
from maunet_lite.export import FORMATS, export, measure_cells
from maunet_lite.figures import blend, outlines, random_colors, to_display
from maunet_lite.inference import predict
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment
from maunet_lite.scale import provenance

STAGES = ("read", "network", "postprocess", "write")
MEASURED = ("cells", "geojson", "zarr")  # kinds of files in which the size of a pixel stands
UNKNOWN = (
    "its label map has no record of how it was made (another program wrote it, or an older version) and is "
    "kept as it is; --overwrite replaces it"
)


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

    made: dict[str, Any] | None = None  # `provenance.made_by`; None: label maps have no records

    @property
    def wanted(self) -> tuple[str, ...]:
        """Kinds of files that are to be there in the end."""
        more = (("overlay", self.overlay), ("cells", self.table))
        return tuple(dict.fromkeys(("tiff", *self.formats, *(kind for kind, is_wanted in more if is_wanted))))

    def file(self, job: Job, kind: str) -> Path:
        """Return where a kind of file of an image lies."""
        if kind == "cells":
            return job.cells
        return job.labels.with_name(job.name + FORMATS.get(kind, f"_{kind}.png"))

    def missing(self, job: Job) -> set[str]:
        """Which kinds of files are still to be written; "tiff" means: all from new labels."""
        return self.todo(job)[0]

    def todo(self, job: Job) -> tuple[set[str], str]:
        """Return which kinds of files are still to be written, and what the user must know about it.

        Files that were written from an older label map are written again, even if nobody asks for them now:
        what lies together belongs together.

        Raises
        ------
        ValueError
            If the label map was made from another image.
        """
        record = provenance.read_record(job.labels) if self.made and job.labels.exists() else None
        others = {kind for kind in (record or {}).get("files", ()) if self.file(job, kind).exists()}
        if self.overwrite or not job.labels.exists():
            return {*self.wanted, *others}, ""
        missing = {kind for kind in self.wanted if not self.file(job, kind).exists()}
        if record is None:
            return missing, UNKNOWN if self.made else ""
        changed = provenance.difference(record, job.image, self.made)
        if changed:
            return {*self.wanted, *others}, f"made anew: changed since ({changed})"
        if record["pixel_size"] != self.pixel_size and not set(MEASURED).isdisjoint(self.wanted):
            missing |= set(MEASURED) & {*others, *self.wanted}
        return missing, ""

    def clear(self, job: Job, kinds: set[str]) -> None:
        """Remove what was written from a label map that is about to be replaced."""
        for path in (self.file(job, kind) for kind in kinds - {"tiff"}):
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


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
    source: dict[str, str] | None = None  # `provenance.describe_image`

    def timed(self, stage: str, start: float) -> None:
        """Note the seconds since `start` for a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def read(job: Job, row: Row) -> np.ndarray:
    """Return the pixels of a job's image."""
    start = time.perf_counter()
    row.source = provenance.describe_image(job.image)
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
    missing = plan.missing(job)
    return write(job, plan, row, pixels, labels, missing if "tiff" in missing else set(plan.wanted))


def complete(job: Job, plan: Plan, row: Row, missing: set[str] | None = None) -> Row:
    """Write what is missing beside a label map that is there: the network is not asked again."""
    row.status = "completed"
    if missing is None:
        missing, row.reason = plan.todo(job)
    labels = read_labels(job.labels)
    pixels = read(job, row)
    if pixels.shape[:2] != labels.shape:
        raise ValueError(
            f"{job.labels.name} has shape {labels.shape}, the image {pixels.shape[:2]}: it belongs "
            "to another image; segment again (--overwrite)"
        )
    return write(job, plan, row, pixels, labels, missing - {"tiff"})


def write(job: Job, plan: Plan, row: Row, pixels: np.ndarray, labels: np.ndarray, kinds: set[str]) -> Row:
    """Write kinds of files for an image, each of them complete or not at all."""
    start = time.perf_counter()
    files = {kind: plan.file(job, kind) for kind in kinds}
    table = None
    if kinds & {"cells", "geojson"}:
        table = measure_cells(labels, pixels, plan.pixel_size)
    if "tiff" in kinds:
        plan.clear(job, kinds)
        text = provenance.to_text(row.source or {}, plan.made or {}, [*kinds], plan.pixel_size)
        provenance.write_recorded(files["tiff"], labels, text)
    if "overlay" in kinds:
        write_image(files["overlay"], draw_overlay(pixels, labels))
    others = [kind for kind in FORMATS if kind in kinds and kind != "tiff"]
    stem = job.labels.with_name(job.name)
    export(labels, stem, others, image=pixels, pixel_size=plan.pixel_size, measurements=table)
    if "cells" in kinds and table is not None:
        table.insert(0, "image", job.image.name)
        with atomic_path(files["cells"]) as temporary:
            table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    if "tiff" not in kinds:
        _record_others(job, plan, kinds)
    row.cells = int(np.count_nonzero(np.unique(labels))) if table is None else len(table)
    row.timed("write", start)
    return row


def _record_others(job: Job, plan: Plan, kinds: set[str]) -> None:
    """Note in the label map which other kinds of files were written from it."""
    record = provenance.read_record(job.labels)
    if record is None:
        return
    files = {*record["files"], *kinds}
    pixel_size = plan.pixel_size if kinds & set(MEASURED) else record["pixel_size"]
    text = provenance.to_text(record["image"], record["made_by"], [*files], pixel_size)
    if files != set(record["files"]) or pixel_size != record["pixel_size"]:
        provenance.replace_record(job.labels, text)


def work(job: Job, plan: Plan) -> Row:
    """Do all stages of one image, one after another; for a worker of a pool, which is given names of models.

    Raises
    ------
    Exception
        Whatever is wrong with the image.
    """
    from maunet_lite.scale.pool import cached_model

    row = Row(job.image, job.labels)
    missing, row.reason = plan.todo(job)
    if "tiff" not in missing:
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
        At full size; `figures.overlay` draws the same as a figure.
    """
    base = to_display(image)
    colors = random_colors(labels) / np.float32(255)
    blend(base, labels > 0, colors, 0.25)
    blend(base, outlines(labels), colors, 1.0)
    return np.round(base * 255).astype(np.uint8)
