"""One image of many: what is to be written for it, and the three stages of its way: read, network, finish."""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maunet_lite import inference
from maunet_lite.data import pixel_size, read_image, read_labels, write_image, write_labels
from maunet_lite.export import FORMATS, export, for_terminal, measure_cells, write_maps, write_table
from maunet_lite.figures import paint_cells, to_display
from maunet_lite.inference import Size, advice, as_models, predict_sized
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment
from maunet_lite.scale import provenance

# what the size of a pixel stands in; "pixel_size": in the label map, whose pixels stay
MEASURED = {"pixel_size", "cells", "geojson", "zarr", "maps", "doubt"}
SEEN = {"tiff", "maps", "doubt"}  # kinds that need the network
BESIDE = {"overlay": "_overlay.png", "doubt": "_doubt.tiff"}  # what names end in of files that are no format


@dataclass
class Outcome:
    """What became of one image.

    Attributes
    ----------
    image, labels : Path
        The image, and its label map.
    listed : dict
        What the table of its dataset says of it, from `data.listed`.
    status : str
        "segmented", "skipped" (all its files were there), "completed" (its label map was there, and what was
        missing has been written) or "failed"; empty until it is done.
    cells : int
    reason : str
        Why it failed, that a label map was made anew because image, model or settings have changed, or that
        one was kept although nobody knows how it was made.
    height, width : int or None
        Of the image, if it was read.
    size : Size or None
        Of the cells, and the scales at which the network saw the image, if it was segmented.
    seconds : dict of str to float
        What each stage took.
    missing : set of str
        Kinds of files still to be written; "tiff" means: all from new labels, "pixel_size": the label map,
        whose pixels stay as they are.
    source : dict
        From `provenance.describe_image`.
    digest : str
        Of the label map that is there, from `provenance.pixels_of`.
    corrected : bool
        That map is not the kit's: another program has changed or written it.
    score, doubt : float
        Means over its cells, NaN if they are not known (see `judge`).
    pixels, maps, disagreement
        The image, what the networks say about it, and how far their looks disagree, while it is on its way.
    """

    image: Path
    labels: Path
    listed: dict[str, Any] = field(default_factory=dict, repr=False)
    status: str = ""
    cells: int = 0
    reason: str = ""
    height: int | None = None
    width: int | None = None
    size: Size | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set, repr=False)
    source: dict[str, str] = field(default_factory=dict, repr=False)
    digest: str = field(default="", repr=False)
    corrected: bool = False
    score: float = math.nan
    doubt: float = math.nan
    pixels: np.ndarray | None = field(default=None, repr=False)
    maps: Maps | None = field(default=None, repr=False)
    disagreement: np.ndarray | None = field(default=None, repr=False)

    def file(self, kind: str) -> Path:
        """Return where a kind of file of this image lies; "cells" until all images are done."""
        name = self.labels.name.removesuffix(FORMATS["tiff"])
        if kind == "cells":
            return self.labels.parent / "cells" / f"{name}.csv"
        return self.labels.with_name(name + (FORMATS | BESIDE)[kind])

    def fail(self, error: BaseException) -> None:
        """Note an error in one line, without the path with which the kit's own begin."""
        text = " ".join(for_terminal(error).split()) or type(error).__name__
        for name in (self.image, self.image.name):
            text = text.removeprefix(f"{for_terminal(name)}: ")
        known = isinstance(error, (ValueError, OSError))
        if isinstance(error, MemoryError):
            text, known = "it needs more memory than there is: give a smaller --memory", True
        self.status, self.reason = "failed", text if known else f"{type(error).__name__}: {text}"
        self.pixels = self.maps = self.disagreement = None

    def note(self, text: str) -> None:
        """Add what the user must know to `reason`."""
        self.reason = f"{self.reason}; {text}" if self.reason and text else self.reason or text

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the seconds of a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Plan:
    """What is done with every image; it can be pickled if `models` holds names."""

    models: tuple[Any, ...]
    config: PostprocessConfig
    options: dict[str, Any]  # for `predict_sized`
    wanted: tuple[str, ...]  # kinds of files that are to be there in the end
    overwrite: bool
    pixel_size: float | None
    memory: int | None  # bytes
    gpu_memory: str | int | None
    made: dict[str, Any]  # `provenance.made_by`
    reading: dict[str, Any] = field(default_factory=dict)  # for `read_image`

    def size_of(self, item: Outcome) -> float | None:
        """Return micrometres per pixel: what the user says, else its dataset's table, else the file."""
        return self.pixel_size or item.listed.get("pixel_size") or pixel_size(item.image)

    def reading_of(self, item: Outcome) -> dict[str, Any]:
        """Return how an image is read: as the user says, else as its dataset's table does."""
        said = {name: value for name, value in self.reading.items() if value is not None}
        return {name: value for name, value in item.listed.items() if name != "pixel_size"} | said

    def made_of(self, item: Outcome) -> dict[str, Any]:
        """Return `made` with how this image is read."""
        return self.made | {"options": self.reading_of(item) | self.made["options"]}

    def check(self, item: Outcome) -> None:
        """Find out which kinds of files are missing, and what the user must know about it.

        Files that were written from an older label map are written again, even if nobody asks for them now:
        what lies together belongs together. A label map that is not as the kit wrote it is a correction: it
        is kept, and what was written from the map before it is written again.

        Raises
        ------
        ValueError
            If the label map was made from another image, or cannot be read.
        """
        wanted, there = set(self.wanted), item.labels.exists()
        kinds = {*FORMATS, *BESIDE, "cells"}
        record = provenance.read_record(item.labels) if there else None
        others = {kind for kind in (record or {}).get("files", kinds) if item.file(kind).exists()}
        item.missing = {kind for kind in wanted if not item.file(kind).exists()}
        if self.overwrite or not there:
            item.missing = wanted | others
            return
        item.digest, (item.height, item.width) = provenance.pixels_of(item.labels)
        changed = provenance.difference(record, item.image, self.made_of(item)) if record else ""
        fresh = record is None or record.get("pixels") != item.digest
        item.corrected = fresh or record.get("corrected", False)
        if item.corrected and "image" in changed.split(", "):
            what = f"{item.labels.name} was corrected by hand, and the image has changed since: it is kept"
            raise ValueError(f"{what}; replace it with --overwrite, or move it away")
        if item.corrected:
            how = "corrections by hand, another program or version"
            what = f"its label map has no record of how it was made or was changed since ({how})"
            item.reason = f"{what} and is kept as it is; --overwrite replaces it"
        elif changed:
            item.missing, item.reason = wanted | others, f"made anew: changed since ({changed})"
        if fresh:
            item.missing |= (wanted | others) - SEEN
        if record and record["pixel_size"] != self.size_of(item) and "tiff" not in item.missing:
            item.missing |= MEASURED & {"pixel_size", *wanted, *others}
        if "doubt" in item.missing:  # goes into the tables, too
            item.missing |= {"cells", "geojson"} & wanted
        item.status = "" if item.missing else "skipped"


def read(item: Outcome, plan: Plan) -> None:
    """Read the pixels."""
    with item.timed("read"):
        item.source = provenance.describe_image(item.image)
        item.pixels = read_image(item.image, **plan.reading_of(item))
        item.height, item.width = item.pixels.shape[:2]


def see(item: Outcome, plan: Plan) -> None:
    """Ask the networks, if what is missing is theirs to say."""
    if item.missing & SEEN:
        with item.timed("network"):
            item.maps, size = predict_sized(list(plan.models), item.pixels, **plan.options)
            item.size = size._replace(looks=())
            if "doubt" in item.missing:
                how = {name: value for name, value in plan.options.items() if name != "diameter"}
                how["scales"] = size.scales
                item.disagreement = inference.doubt_map(list(plan.models), item.pixels, **how)


def finish(item: Outcome, plan: Plan) -> None:
    """Turn maps into cells, or take those that are there, and write all that is missing."""
    if "tiff" in item.missing:
        with item.timed("postprocess"):
            labels = segment(item.maps, plan.config).labels
        item.note(advice(labels, item.size, as_models(plan.models) if plan.models else []))
    else:
        labels = read_labels(item.labels)
        if item.pixels.shape[:2] != labels.shape:
            sizes = f"{item.labels.name} has shape {labels.shape}, the image {item.pixels.shape[:2]}"
            raise ValueError(f"{sizes}: it belongs to another image; segment again (--overwrite)")
    with item.timed("write"):
        write(item, plan, labels)
    item.status = item.status or ("segmented" if "tiff" in item.missing else "completed")
    item.pixels = item.maps = item.disagreement = None


def write(item: Outcome, plan: Plan, labels: np.ndarray) -> None:
    """Write what is missing, each file complete or not at all."""
    kinds, table, size = item.missing, None, plan.size_of(item)
    if "tiff" in kinds:
        clear(item)
        digest = provenance.digest_of(labels.shape, [labels])
        scores = inference.score_cells(plan.models, inference.evidence(item.maps, labels))
        record = provenance.to_text(item.source, plan.made_of(item), kinds, size, digest, scores)
        write_labels(item.labels, labels, pixel_size=size, description=record)
    if "doubt" in kinds:
        write_maps(item.file("doubt"), {"doubt": item.disagreement}, size)
    if kinds & {"cells", "geojson"}:
        table = judge(item, labels, measure_cells(labels, item.pixels, size))
    if "overlay" in kinds:
        overlay = to_display(item.pixels)
        paint_cells(overlay, labels)
        write_image(item.file("overlay"), np.round(overlay * 255).astype(np.uint8))
    others = [kind for kind in FORMATS if kind in kinds - {"tiff"}]
    stem = item.labels.with_name(item.labels.name.removesuffix(FORMATS["tiff"]))
    export(labels, stem, others, image=item.pixels, pixel_size=size, measurements=table, maps=item.maps)
    if "cells" in kinds:
        table.insert(0, "image", for_terminal(item.image.name))
        write_table(item.file("cells"), table, "%.7g")
    if "tiff" not in kinds:
        changed = {"pixels": item.digest, "corrected": True} if item.corrected else {}
        if "pixel_size" in kinds and not item.corrected:
            record = json.dumps(provenance.read_record(item.labels))
            write_labels(item.labels, labels, pixel_size=size, description=record)
        new = json.loads(provenance.to_text(item.source, plan.made_of(item), (), size))
        provenance.update_record(item.labels, kinds - {"pixel_size"}, new, pixel_size=size, **changed)
    item.cells = int(np.count_nonzero(np.unique(labels))) if table is None else len(table)


def judge(item: Outcome, labels: np.ndarray, table: pd.DataFrame) -> pd.DataFrame:
    """Add to a table of cells how sure the network is of each, and how far its looks disagree, if known.

    Scores stand in the record of the label map. They say nothing of a corrected one; doubt, which is a map of
    its own, does.
    """
    known = (not item.corrected and provenance.read_record(item.labels)) or {}
    if len(known.get("scores", ())) == len(table):
        table["score"] = known["scores"]
    if item.file("doubt").exists():
        table["doubt"] = inference.mean_in_cells(labels, read_image(item.file("doubt")))
    item.score, item.doubt = table.reindex(columns=["score", "doubt"]).mean()  # NaN: not known, or no cell
    return table


def clear(item: Outcome) -> None:
    """Remove what was written from a label map that is about to be replaced."""
    for path in (provenance.beside(item.labels), *map(item.file, item.missing - {"tiff"})):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def work(item: Outcome, plan: Plan) -> Outcome:
    """Do all stages of one image, one after another; for a worker of a pool, which reads models by name once.

    Raises
    ------
    Exception
        Whatever is wrong with the image.
    """
    for stage in (read, see, finish):
        stage(item, plan)
    return item
