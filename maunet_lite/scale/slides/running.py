"""Blocks of a slide segmented one after another in this process, or as tasks of a pool of processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maunet_lite.postprocessing import Maps, PostprocessConfig, Yardstick, segment
from maunet_lite.scale.reading.open import open_slide
from maunet_lite.scale.slides.blocks import Block, BlockGrid, Part
from maunet_lite.scale.slides.job import KEPT, Job
from maunet_lite.scale.slides.maps import SlideNetwork
from maunet_lite.scale.slides.writing import WorkFolder

if TYPE_CHECKING:
    from maunet_lite.scale.pool import Pool


def elsewhere(pool: Pool | None) -> bool:
    """Tell whether the pool has other processes."""
    from maunet_lite.scale.pool import Pool as InProcess

    return pool is not None and type(pool) is not InProcess


def run_here(
    grid: BlockGrid, todo: list[Block], work: WorkFolder, job: Job, journal: dict[str, Any], memory: int
) -> Iterator[tuple[Block, np.ndarray | None]]:
    """Segment blocks in this process: while one is post-processed, the network looks at the next."""
    network = job.network([tuple(pair) for pair in journal["limits"]], keep=int(memory * KEPT))
    network.expect(block.region for block in todo)
    yardstick = Yardstick(*journal["yardstick"])
    waiting: tuple[Block, Future] | None = None
    with ThreadPoolExecutor(1) as thread:
        for block in todo:
            maps = network.maps(*block.region)
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = block, thread.submit(_store, [maps], block, grid, work, job.config, yardstick)
            del maps
        if waiting:
            yield waiting[0], waiting[1].result()


def _store(
    maps: list[Maps | None],
    block: Block,
    grid: BlockGrid,
    work: WorkFolder,
    config: PostprocessConfig,
    yardstick: Yardstick,
) -> np.ndarray | None:
    """Segment a block, store what it says about its core, and return the labels of that."""
    part: Part | None = None
    seen = maps.pop()  # so that nobody else holds the maps
    if seen is not None:
        labels = segment(seen, config, keep_steps=False, yardstick=yardstick).labels
        del seen
        part = grid.cut(labels, block)
    work.save(block.index, part)
    return None if part is None else part.labels


_STATES: dict[str, tuple[BlockGrid, WorkFolder, SlideNetwork, Yardstick]] = {}


def segment_block(index: int, *, source: Any, out: Path, model: Any, job: dict[str, Any], memory: int) -> int:
    """Segment one block of a job that has begun, in any process that sees its files; returns `index`.

    Parameters
    ----------
    index : int
    source, out, model
        As in `segment_slide`.
    job : dict
        The other fields of the job.
    memory : int
        Bytes for this process.
    """
    work = WorkFolder(out)
    journal = work.journal()
    if journal is None:
        raise FileNotFoundError(f"{work.path} is not seen here: all workers must see the same files")
    if journal["id"] not in _STATES:  # one job at a time: an older one is dropped
        _STATES.clear()
        slide = open_slide(source, memory=memory)
        network = Job(slide, model, **job).network([tuple(pair) for pair in journal["limits"]])
        grid = BlockGrid(slide.shape, journal["block"], journal["halo"])
        _STATES[journal["id"]] = (grid, work, network, Yardstick(*journal["yardstick"]))
    grid, work, network, yardstick = _STATES[journal["id"]]
    if index not in work.finished():
        block = grid.blocks[index]
        _store([network.maps(*block.region)], block, grid, work, job["config"], yardstick)
    return index


def run_in_pool(
    pool: Pool, grid: BlockGrid, todo: list[Block], source: Any, out: Path, job: Job, memory: int
) -> Iterator[tuple[Block, np.ndarray | None]]:
    """Segment blocks as tasks of a pool."""
    fields = {name: value for name, value in job._asdict().items() if name not in ("slide", "model")}
    tasks = [block.index for block in todo]
    source = str(Path(source).resolve()) if isinstance(source, (str, Path)) else source
    for position, result in pool.map(
        segment_block, tasks, source=source, out=out.resolve(), model=job.model, job=fields, memory=memory
    ):
        if isinstance(result, BaseException):
            raise result
        yield todo[position], None
