"""The blocks of a slide as a job that can be stopped and shared: what holds for all, and how each is done."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from maunet_lite import inference
from maunet_lite.data import Slide, open_slide, shared, tiles_of
from maunet_lite.inference import Model, as_models, choose_size, intensity_of, to_planes
from maunet_lite.postprocessing import Maps, PostprocessConfig, Yardstick, segment
from maunet_lite.preprocessing import Scaling
from maunet_lite.scale import provenance
from maunet_lite.scale.pool import Pool, ahead
from maunet_lite.scale.slides import survey
from maunet_lite.scale.slides.blocks import Block, BlockGrid
from maunet_lite.scale.slides.intensity import slide_scaling
from maunet_lite.scale.slides.maps import SlideNetwork
from maunet_lite.scale.slides.work import TILE, WorkFolder, write_slide_labels


class Job(NamedTuple):
    """What is asked for: all that a process needs to take part, if it sees the same files."""

    source: Any
    out: Path
    model: Model | Sequence[Model]
    config: PostprocessConfig
    memory: int  # bytes for each process
    size: dict[str, Any]  # scales and diameter, as in `inference.predict_sized`
    looks: dict[str, Any]  # how else a `SlideNetwork` looks at the slide
    reading: dict[str, Any]  # channel, plane and project for `open_slide`


def begin(
    job: Job, slide: Slide, block: int | None, overlap: int | None, resume: bool, progress: bool
) -> dict[str, Any]:
    """Return what holds for all blocks: from the journal of an unfinished run of this job, or found now.

    Returns
    -------
    dict
        asked (digest of the job), id, scaling, diameter (NaN: unknown), scales, yardstick, overlap, halo,
        block, memory (for which the block was chosen).
    """
    work, asked = WorkFolder(job.out), fingerprint(job, slide)
    known = work.journal() if resume else None
    wanted = {"block": block, "overlap": overlap}
    if known and known.get("asked") == asked and all(n in (None, known[key]) for key, n in wanted.items()):
        if block is not None or job.memory >= known.get("memory", 0):  # else its blocks may be too large
            work.drop_damaged()
            return known
    networks, looks = as_models(job.model), job.looks
    scaling = slide_scaling(slide, intensity_of(networks), progress)
    how = {name: looks[name] for name in ("window", "device", "flips")} | {"memory": looks["gpu_memory"]}
    size = choose_size(
        networks, lambda *part: to_planes(slide.read(*part), scaling=scaling), slide.shape, **job.size, **how
    )
    network = SlideNetwork(slide, networks, scaling, scales=size.scales, **looks)
    yardstick, extent = survey.take_sample(network, job.config)
    overlap = survey.choose_overlap(extent) if overlap is None else overlap
    if overlap < 1:
        raise ValueError(f"overlap is {overlap}; give at least 1 pixel: the size of the largest cells")
    halo = survey.choose_halo(overlap, yardstick.width, job.config)
    block = survey.choose_block(job.memory, network, halo) if block is None else block
    work.begin(
        {"asked": asked, "id": secrets.token_hex(8), "scaling": scaling, "diameter": size.diameter,
         "scales": size.scales, "yardstick": yardstick, "overlap": overlap, "halo": halo, "block": block,
         "memory": job.memory}
    )  # fmt: skip
    return work.journal()  # as another run would read it


def fingerprint(job: Job, slide: Slide) -> str:
    """Return a digest of all that the labels depend on: another one means another job."""
    made = provenance.made_by(job.model, job.config, job.size | job.looks | job.reading)
    if isinstance(job.source, Path):
        image: Any = provenance.identify(job.source)
    else:
        pixels = hashlib.sha256()
        for place in slide.tiles():
            pixels.update(slide.read(*place).tobytes())
        image = pixels.hexdigest()
    return hashlib.sha256(json.dumps([made, job.looks["empty"], slide.shape, image]).encode()).hexdigest()


class Blocks:
    """The blocks of a slide as one process does them: network, then post-processing, then disk."""

    def __init__(self, job: Job, slide: Slide, journal: dict[str, Any]) -> None:
        self.job, self.work = job, WorkFolder(job.out)
        self.grid = BlockGrid(slide.shape, journal["block"], journal["halo"])
        self.yardstick = Yardstick(*journal["yardstick"])
        looks = {"keep": int(job.memory * survey.KEPT), "scales": journal["scales"], **job.looks}
        self.network = SlideNetwork(slide, job.model, Scaling(*journal["scaling"]), **looks)

    def todo(self) -> list[Block]:
        """Return the blocks that are not finished."""
        before = self.work.finished()
        return [block for block in self.grid.in_order() if block.index not in before]

    def run(self) -> Iterator[tuple[Block, np.ndarray | None]]:
        """Segment all blocks: while one is post-processed, the network looks at the next."""
        todo = self.todo()
        self.network.expect(block.region for block in todo)
        seen = ((block, [self.network.maps(*block.region)]) for block in todo)
        with ThreadPoolExecutor(1) as thread:
            yield from ahead(thread, self.finish, seen, 1)

    def finish(self, task: tuple[Block, list[Maps | None]]) -> tuple[Block, np.ndarray | None]:
        """Segment the maps of a block, store what they say about its core, and return its labels."""
        block, maps = task
        seen = maps.pop()  # so that nobody else holds the maps
        part = None
        if seen is not None:
            labels = segment(seen, self.job.config, keep_steps=False, yardstick=self.yardstick).labels
            core = tuple(inside for inside, _ in map(shared, block.region, block.core))
            part = self.grid.cut(labels, block)._replace(sums=inference.evidence(seen, labels, core))
            del seen
        self.work.save(block.index, part)
        return block, None if part is None else part.labels

    def spread(self, pool: Pool) -> Iterator[tuple[Block, None]]:
        """Segment all blocks as tasks of a pool."""
        todo = self.todo()
        for position, result in pool.map(segment_block, [block.index for block in todo], job=self.job):
            if isinstance(result, BaseException):
                raise result
            yield todo[position], None

    def join(self, progress: bool, about: str | None, pixel_size: float | None) -> tuple[np.ndarray, int]:
        """Join the cells of all blocks and write the label map; return scores and blocks without cells."""
        parts = {block.index: self.work.load(block.index) for block in self.grid.blocks}
        tables, cells = self.grid.join({index: part for index, part in parts.items() if part is not None})
        sums = np.zeros((cells + 1, 3))
        for index, table in tables.items():
            np.add.at(sums, table[1:], parts[index].sums)
        scores = inference.score_cells(self.job.model, sums[1:])
        del parts
        target = self.work.path / self.job.out.name  # what a killed run leaves is swept up with the rest
        shutil.rmtree(target, ignore_errors=True)
        places = list(tiles_of(self.grid.shape, TILE))
        bar = tqdm(places, desc="writing", unit="tile", disable=not progress, leave=False)
        tiles = ((place, self.work.labels(self.grid, tables, place)) for place in bar)
        write_slide_labels(target, self.grid.shape, cells, tiles, about, pixel_size)
        provenance.seal(target, scores)
        self.work.deliver()
        return scores, len(self.grid.blocks) - len(tables)


_BLOCKS: dict[str, Blocks] = {}  # of the job that this process takes part in, by the id of its journal


def segment_block(index: int, job: Job) -> int:
    """Segment one block of a job that has begun, in any process that sees its files; returns `index`."""
    journal = WorkFolder(job.out).journal()
    if journal is None:
        raise FileNotFoundError(f"{job.out}.unfinished is not seen here: all workers must see the same files")
    if journal["id"] not in _BLOCKS:  # one job at a time: an older one is dropped
        _BLOCKS.clear()
        slide = open_slide(job.source, memory=job.memory, **job.reading)
        _BLOCKS[journal["id"]] = Blocks(job, slide, journal)
    blocks = _BLOCKS[journal["id"]]
    if index not in blocks.work.finished():
        block = blocks.grid.blocks[index]
        blocks.finish((block, [blocks.network.maps(*block.region)]))
    return index
