"""Segment images larger than memory: block by block, as if the whole had been segmented at once.

What a block must not decide for itself is fixed first: how intensities are scaled (from all pixels), where
the network's windows stand (one grid for the slide), and what the post-processing takes from the image as a
whole (from a sample). Then blocks are segmented one after another, or by a pool, and each is stored when it
is done. At the end the cells are joined and numbered, and the label map is written.

In NumPy terms the result is that of ``segment(image)``, for cells smaller than the overlap of the blocks, in
memory that does not grow with the image.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from maunet_lite.data import Slide, open_slide, parse_bytes
from maunet_lite.inference import Model, Settings, as_models, settings_of
from maunet_lite.scale.lock import one_run_in
from maunet_lite.scale.pool import Pool
from maunet_lite.scale.slides.blocks import Block
from maunet_lite.scale.slides.job import Blocks, Job, begin
from maunet_lite.scale.slides.maps import EMPTY


class SlideResult(NamedTuple):
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
    diameter, scale : float
        Of the cells in pixels, as estimated or given (NaN: neither), and at which the network saw the image,
        the first of several.
    seconds : float
        Of this run.
    scores : numpy.ndarray
        (cells,) how sure the network is of each cell, in [0, 1], see `inference.score_cells`.
    """

    labels: Path
    cells: int
    shape: tuple[int, int]
    blocks: int
    skipped: int
    resumed: int
    block: int
    overlap: int
    diameter: float
    scale: float
    seconds: float
    scores: np.ndarray


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
    source: str | Path | np.ndarray | Slide, out: str | Path, model: Model | Sequence[Model] = "lite", *,
    memory: str | int = "4GiB", gpu_memory: str | int | None = None, block: int | None = None,
    overlap: int | None = None, postprocess: Settings = "default",
    scales: Sequence[float] | str = "auto", diameter: float | None = None,
    device: str | torch.device = "auto", window: int | None = None, flips: bool = False, empty: float = EMPTY,
    resume: bool = True, pool: Pool | None = None, progress: bool = True,
    watch: Callable[[Step], None] | None = None, description: str | None = None, channel: Any = None,
    plane: Any = None, project: str | None = None, pixel_size: float | None = None,
) -> SlideResult:  # fmt: skip
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
        As in `inference.segment`; the size of the cells is estimated once, for the whole image.
    diameter : float, optional
        Diameter of the cells in pixels, instead of an estimate.
    memory : str or int
        What this process may take in all, such as ``"4GiB"``; with a pool, all workers together. It decides
        on the size of the blocks: with less for each process than it began with, a run begins anew.
    gpu_memory : str or int, optional
        What weights, maps and a batch of windows may take on a GPU; one window is computed whatever it
        takes. By default a batch may take half of what is free.
    block : int, optional
        Side of the blocks in pixels, instead of the one that `memory` allows.
    overlap : int, optional
        Cells up to this size in pixels are found as if there were no blocks, larger ones are joined from
        their parts. By default half as much again as the size of large cells in the sample, 32 to 256.
    postprocess : str, PostprocessConfig or mapping
        As in `inference.segment`. Its mean sizes and largest values come from a sample, which is the whole
        image up to 4 megapixels, and 8 windows evenly spread over what is not empty beyond.
    window : int, optional
    flips : bool
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
    channel, plane, project
        How a source that is no open slide is read, see `data.read_image`.
    pixel_size : float, optional
        Micrometres per pixel, for the label map; by default what the source says.

    Returns
    -------
    SlideResult

    Raises
    ------
    ImageError
        If the image cannot be read (see `open_slide`).
    ValueError
        If `out` ends in something else, or `memory` is too small.
    BlockingIOError
        If another run writes the same label map.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> image = np.zeros((300, 400), dtype=np.uint8)
    >>> result = segment_slide(image, folder / "cells.tif", block=256, device="cpu", progress=False)
    >>> result.cells, result.blocks, result.skipped
    (0, 4, 4)
    """
    began, out = time.perf_counter(), Path(out)
    if out.suffix.lower() not in (".zarr", ".tif", ".tiff"):
        raise ValueError(f"{out}: label maps of slides end in .zarr, .tif or .tiff")
    config = settings_of(as_models(model), postprocess)
    elsewhere = pool is not None and type(pool) is not Pool
    share = parse_bytes(memory) // (pool.n_workers if elsewhere else 1)
    limit = None if gpu_memory is None else parse_bytes(gpu_memory) / 2**30
    looks = {"device": str(device), "window": window, "empty": empty, "gpu_memory": limit, "flips": flips}
    where = Path(source).resolve() if isinstance(source, (str, Path)) else source
    size = {"scales": scales if isinstance(scales, str) else tuple(scales), "diameter": diameter}
    reading = {"channel": channel, "plane": plane, "project": project}
    job = Job(where, out.resolve(), model, config, share, size, looks, reading)
    opened = open_slide(source, memory=memory, **reading)
    opened = nullcontext(opened) if opened is source else opened
    with one_run_in(job.out.parent, job.out.name), opened as slide:
        journal = begin(job, slide, block, overlap, resume, progress)
        here = Blocks(job, slide, journal)
        resumed, total = len(here.work.finished()), len(here.grid.blocks)
        steps = here.spread(pool) if elsewhere else here.run()
        try:
            bar = tqdm(steps, "blocks", total, initial=resumed, unit="block", disable=not progress)
            for number, (done, labels) in enumerate(bar, resumed + 1):
                if watch is not None:
                    watch(Step(done, labels, number, total))
        except KeyboardInterrupt:
            done = f"Stopped after {len(here.work.finished())} of {total} blocks"
            print(f"{done}, which lie in {here.work.path}. Run the same again to go on", file=sys.stderr)
            raise
        scores, skipped = here.join(progress, description, pixel_size or slide.pixel_size)
    if progress:
        tqdm.write(f"{len(scores)} cells: {out}", file=sys.stderr)
    return SlideResult(
        out, len(scores), slide.shape, total, skipped, resumed, here.grid.block, journal["overlap"],
        journal["diameter"], journal["scales"][0], time.perf_counter() - began, scores,
    )  # fmt: skip
