"""Segment images larger than memory: block by block, as if the whole had been segmented at once.

What a block must not decide for itself is fixed first: how intensities are scaled (from all pixels), where
the network's windows stand (one grid for the slide), and what the post-processing takes from the image as a
whole (from a sample). Then blocks are segmented one after another, or by a pool, and each is stored when it
is done. At the end the cells are joined and numbered, and the label map is written.

In NumPy terms the result is that of ``segment(image)``, for cells smaller than the overlap of the blocks, in
memory that does not grow with the image.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from maunet_lite.inference import Model, parse_bytes
from maunet_lite.postprocessing import PostprocessConfig, Yardstick
from maunet_lite.scale.reading.open import needs_blocks, open_slide
from maunet_lite.scale.reading.slide import Slide
from maunet_lite.scale.slides.blocks import Block, BlockGrid
from maunet_lite.scale.slides.intensity import Limits
from maunet_lite.scale.slides.job import Job, start
from maunet_lite.scale.slides.maps import EMPTY
from maunet_lite.scale.slides.running import elsewhere, run_here, run_in_pool
from maunet_lite.scale.slides.writing import SUFFIXES, WorkFolder, label_reader, tiles_of, write_slide_labels

if TYPE_CHECKING:
    from maunet_lite.scale.pool import Pool

__all__ = ["Slide", "SlideResult", "Step", "needs_blocks", "open_slide", "segment_slide"]


@dataclass(frozen=True)
class SlideResult:
    """What `segment_slide` did.

    Attributes
    ----------
    labels : Path
        The label map.
    cells : int
    shape : tuple of int
        (H, W).
    blocks : int
    skipped : int
        Blocks with nothing in them, for which the network was not asked.
    resumed : int
        Blocks that an earlier run had finished.
    block, overlap : int
        Side of a block, and the size up to which cells at seams are the same as without seams, in pixels.
    yardstick : Yardstick
        What the post-processing took from the sample.
    limits : list of (low, high)
        Intensities that became 0.01 and 0.99.
    seconds : float
        Of this run.
    """

    labels: Path
    cells: int
    shape: tuple[int, int]
    blocks: int
    skipped: int
    resumed: int
    block: int
    overlap: int
    yardstick: Yardstick
    limits: Limits
    seconds: float


class Step(NamedTuple):
    """A block that has just been finished, for those who `watch`.

    Attributes
    ----------
    block : Block
        ``block.core`` says where.
    labels : numpy.ndarray or None
        (h, w) int32 of the core, numbered from 1 in every block; None if there is nothing in it, or if
        another process has it.
    done, total : int
        Blocks.
    """

    block: Block
    labels: np.ndarray | None
    done: int
    total: int


def segment_slide(
    source: str | Path | np.ndarray | Slide,
    out: str | Path,
    model: Model | Sequence[Model] = "lite",
    *,
    memory: str | int = "4GiB",
    gpu_memory: str | int | None = None,
    block: int | None = None,
    overlap: int | None = None,
    postprocess: str | PostprocessConfig = "default",
    scales: Sequence[float] = (1.0,),
    device: str | torch.device = "auto",
    window: int | None = None,
    empty: float = EMPTY,
    resume: bool = True,
    pool: Pool | None = None,
    progress: bool = True,
    watch: Callable[[Step], None] | None = None,
    description: str | None = None,
) -> SlideResult:
    """Segment an image of any size, block by block, within a budget of memory.

    A run that is stopped, by whatever, goes on after its last finished block when it is called again with the
    same arguments; the result is the same.

    Parameters
    ----------
    source : path, array or Slide
        See `open_slide`. In a pool of processes paths travel better than arrays.
    out : path
        ``.zarr`` (OME-Zarr labels with a pyramid; extra ``[scale]``) or ``.tif``/``.tiff`` (tiled,
        compressed). Ids are 1 … N in reading order. While the job runs, ``NAME.unfinished`` lies beside it.
    model, scales, device
        As in `inference.segment`.
    memory : str or int
        What this process may take in all, such as ``"4GiB"``; with a pool, all workers together. It decides
        on the size of the blocks.
    gpu_memory : str or int, optional
        What weights, maps and a batch of windows may take on a GPU; one window is computed whatever it
        takes. By default a batch may take half of what is free.
    block : int, optional
        Side of the blocks in pixels, instead of the one that `memory` allows.
    overlap : int, optional
        Cells up to this size in pixels are found as if there were no blocks, larger ones are joined from
        their parts. By default half as much again as the size of large cells in the sample, 32 to 256.
    postprocess : str or PostprocessConfig
        As in `inference.segment`. Its mean sizes and largest values come from a sample, which is the whole
        image up to 4 megapixels, and 8 windows evenly spread over what is not empty beyond.
    window : int, optional
        As in `inference.predict`.
    empty : float
        Windows with less contrast than this part of the range of intensities are not shown to the network
        (means of 8 × 8 pixels are compared). 0: none are left out.
    resume : bool
        False drops what an earlier run has left.
    pool : Pool, optional
        From `scale.open_pool`: blocks become its tasks. All workers must see `source` and `out`.
    progress : bool
        Show progress bars, and where the result is.
    watch : callable, optional
        Called after each block with a `Step`.
    description : str, optional
        Text of ASCII characters for the label map's TIFF, such as how it was made.

    Returns
    -------
    SlideResult

    Raises
    ------
    ImageError
        If the image cannot be read (see `open_slide`).
    ValueError
        If `out` ends in something else, or `memory` is too small.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> image = np.zeros((300, 400), dtype=np.uint8)
    >>> result = segment_slide(image, folder / "cells.tif", block=256, device="cpu", progress=False)
    >>> result.cells, result.blocks, result.skipped
    (0, 4, 4)
    """
    began = time.perf_counter()
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out}: label maps of slides end in .zarr, .tif or .tiff")
    config = PostprocessConfig.named(postprocess) if isinstance(postprocess, str) else postprocess
    opened = nullcontext(source) if isinstance(source, Slide) else open_slide(source, memory=memory)
    with opened as slide:
        job = Job(
            slide, model, config, tuple(scales), str(device), window, empty,
            None if gpu_memory is None else parse_bytes(gpu_memory) / 2**30,
        )  # fmt: skip
        work = WorkFolder(out)
        share = parse_bytes(memory) // (pool.n_workers if elsewhere(pool) else 1)
        journal = start(
            job, work, source, memory=share, block=block, overlap=overlap, resume=resume, progress=progress
        )
        grid = BlockGrid(slide.shape, journal["block"], journal["halo"])
        before = work.finished()
        todo = [one for one in grid.in_order() if one.index not in before]
        try:
            if elsewhere(pool):
                steps = run_in_pool(pool, grid, todo, source, out, job, share)
            else:
                steps = run_here(grid, todo, work, job, journal, share)
            _follow(steps, len(before), len(grid.blocks), progress, watch)
        except KeyboardInterrupt:
            done = len(work.finished())
            print(
                f"Stopped after {done} of {len(grid.blocks)} blocks. Run the same again to go on from there: "
                f"finished blocks lie in {work.path.name} beside the result",
                file=sys.stderr,
            )
            raise
        cells, skipped = _finish(out, work, grid, progress, description)
    if progress:
        tqdm.write(f"{cells} cells: {out}", file=sys.stderr)
    return SlideResult(
        out, cells, slide.shape, len(grid.blocks), skipped, len(before), grid.block, journal["overlap"],
        Yardstick(*journal["yardstick"]), [tuple(pair) for pair in journal["limits"]],
        time.perf_counter() - began,
    )  # fmt: skip


def _follow(
    steps: Iterator[tuple[Block, np.ndarray | None]],
    done: int,
    total: int,
    progress: bool,
    watch: Callable[[Step], None] | None,
) -> None:
    with tqdm(total=total, initial=done, desc="blocks", unit="block", disable=not progress) as bar:
        for block, labels in steps:
            done += 1
            bar.update()
            if watch is not None:
                watch(Step(block, labels, done, total))


def _finish(
    out: Path, work: WorkFolder, grid: BlockGrid, progress: bool, description: str | None
) -> tuple[int, int]:
    """Join the cells of all blocks and write the label map; returns cells and skipped blocks."""
    parts = {block.index: work.load(block.index) for block in grid.blocks}
    tables, cells = grid.join({index: part for index, part in parts.items() if part is not None})
    skipped = sum(part is None for part in parts.values())
    del parts
    n_tiles = sum(1 for _ in tiles_of(grid.shape))
    with tqdm(total=n_tiles, desc="writing", unit="tile", disable=not progress, leave=False) as bar:
        # in the work folder: what a killed run leaves of it is swept up with the rest
        target = work.path / out.name
        if target.is_dir():
            shutil.rmtree(target)
        read = label_reader(work, grid, tables)
        write_slide_labels(target, grid.shape, cells, read, bar.update, description)
    work.deliver(out)
    return cells, skipped
