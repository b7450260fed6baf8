"""What is fixed before the first block of a slide is segmented, and written into the journal of the job.

How intensities are scaled, what the post-processing takes from the slide as a whole, how far blocks overlap
and how large they are: a run that goes on where another was stopped finds all of it in the journal.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from maunet_lite.inference import Model, current_memory, show_bytes
from maunet_lite.network import find_checkpoint
from maunet_lite.postprocessing import PostprocessConfig
from maunet_lite.scale.reading.slide import Slide
from maunet_lite.scale.slides.intensity import IntensityCount, Limits
from maunet_lite.scale.slides.maps import SlideNetwork
from maunet_lite.scale.slides.survey import choose_halo, choose_overlap, take_sample
from maunet_lite.scale.slides.writing import TILE, WorkFolder

LARGEST_BLOCK = 4096  # larger blocks save little, and less is lost when a run is stopped
KEPT = 1 / 8  # of the memory is for results of windows that the next blocks need, too
_VERSION = 1  # of what is stored in unfinished jobs
_IN_USE = 0.85  # of the memory is planned for; the rest is for what cannot be foreseen
_NETWORK = 2**29  # bytes: windows on their way through a network on the CPU, and reading
_POST = 44  # bytes per pixel that the post-processing takes beside the maps
_LEAST_BLOCK = 256


class Job(NamedTuple):
    """What is asked for, apart from blocks and memory."""

    slide: Slide
    model: Model | Sequence[Model]
    config: PostprocessConfig
    scales: tuple[float, ...]
    device: str
    window: int | None
    empty: float
    gpu_memory: float | None

    def network(self, limits: Limits, keep: int = 0) -> SlideNetwork:
        """Return the network that looks at the slide; see `SlideNetwork`."""
        return SlideNetwork(
            self.slide, self.model, limits, scales=self.scales, device=self.device, window=self.window,
            empty=self.empty, gpu_memory=self.gpu_memory, keep=keep,
        )  # fmt: skip


def start(
    job: Job,
    work: WorkFolder,
    source: Any,
    *,
    memory: int,
    block: int | None = None,
    overlap: int | None = None,
    resume: bool = True,
    progress: bool = False,
) -> dict[str, Any]:
    """Return what holds for all blocks: from the journal of an unfinished run of this job, or found now.

    Parameters
    ----------
    job : Job
    work : WorkFolder
    source : path or array
        What the slide was opened from.
    memory : int
        Bytes for each process that segments blocks.
    block, overlap, resume, progress
        As in `scale.segment_slide`.

    Returns
    -------
    dict
        asked (digest of the job), id, limits, yardstick, overlap, halo, block.
    """
    asked = fingerprint(job, source)
    known = work.journal() if resume else None
    wanted = {"block": block, "overlap": overlap}
    if known and known["asked"] == asked and all(n in (None, known[key]) for key, n in wanted.items()):
        return known
    limits = find_limits(job.slide, progress)
    network = job.network(limits)
    with tqdm(desc="sample", unit="window", disable=not progress, leave=False) as bar:
        yardstick, extent = take_sample(network, job.config, bar.update)
    overlap = choose_overlap(extent) if overlap is None else overlap
    if overlap < 1:
        raise ValueError(f"overlap is {overlap}; give at least 1 pixel: the size of the largest cells")
    halo = choose_halo(overlap, yardstick.width, job.config)
    block = choose_block(memory, job.slide, halo, network.heads.n_maps) if block is None else block
    journal = {
        "asked": asked, "id": secrets.token_hex(8), "limits": limits, "yardstick": list(yardstick),
        "overlap": overlap, "halo": halo, "block": block,
    }  # fmt: skip
    work.begin(journal)
    return json.loads(json.dumps(journal))  # as another run would read it


def fingerprint(job: Job, source: Any) -> str:
    """Return a digest of all that the labels depend on: another one means another job."""
    slide = job.slide
    parts: list[Any] = [_VERSION, slide.shape, slide.channels, str(slide.dtype), asdict(job.config)]
    parts += [job.scales, job.window, job.empty]
    if isinstance(source, (str, Path)):
        newest = max([p.stat().st_mtime_ns for p in (Path(source), *_heads(Path(source)))])
        parts += [str(Path(source).resolve()), newest]
    else:
        digest = hashlib.sha256()
        for rows, columns in slide.tiles():
            digest.update(np.ascontiguousarray(slide.read(rows, columns)).tobytes())
        parts.append(digest.hexdigest())
    parts += _weights(job.model)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _weights(models: Model | Sequence[Model]) -> list[Any]:
    """Return what tells networks apart: a file and its date, or a digest of the weights."""
    parts: list[Any] = []
    for model in [models] if isinstance(models, (str, Path, torch.nn.Module)) else models:
        if isinstance(model, (str, Path)):
            file = find_checkpoint(model)
            parts += [str(file.resolve()), file.stat().st_mtime_ns]
        else:
            digest = hashlib.sha256()
            for name, tensor in model.state_dict().items():
                digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
            parts.append(digest.hexdigest())
    return parts


def _heads(path: Path) -> list[Path]:
    return [path / name for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs") if (path / name).exists()]


def find_limits(slide: Slide, progress: bool = False) -> Limits:
    """Return the intensities that become 0.01 and 0.99 in each channel, from all pixels of a slide.

    Examples
    --------
    >>> from maunet_lite.scale import open_slide
    >>> find_limits(open_slide(np.array([[0, 10, 20, 30]], dtype=np.uint8)))
    [(10.2, 29.8)]
    """
    count = IntensityCount(slide.dtype, min(slide.channels, 3))
    places = list(slide.tiles())
    for again in (False, True):
        if again:
            if count.done:
                break
            count.next_pass()
        for rows, columns in tqdm(places, desc="intensities", unit="tile", disable=not progress, leave=False):
            count.add(slide.read(rows, columns))
    return count.limits()


def choose_block(memory: int, slide: Slide, halo: int, n_maps: int, base: int | None = None) -> int:
    """Return the largest side of a block with which a job stays within its memory.

    Parameters
    ----------
    memory : int
        Bytes for the process.
    slide : Slide
    halo : int
        Pixels that a block sees beyond its core.
    n_maps : int
        Maps that the network returns.
    base : int, optional
        Bytes that the process takes already; measured by default.

    Raises
    ------
    ValueError
        If there is too little memory even for a small block.

    Examples
    --------
    >>> from maunet_lite.scale import open_slide
    >>> slide = open_slide(np.zeros((9, 9), dtype=np.uint8))
    >>> choose_block(2**31, slide, halo=150, n_maps=5, base=2**29)
    1536
    """
    base = current_memory() if base is None else base
    room = memory * (_IN_USE - KEPT) - base - slide.resident - _NETWORK
    # two blocks are in flight: one in the network, one in the post-processing
    per_pixel = 2 * 4 * n_maps + _POST
    windows = 1.5 * 4 * n_maps * 1024  # a line of windows of 1024 pixels, per pixel of the block's side
    # largest side s with per_pixel·s² + windows·s ≤ room
    side = (math.sqrt(windows**2 + 4 * per_pixel * max(room, 0)) - windows) / (2 * per_pixel)
    block = int(side) - 2 * halo
    if block < _LEAST_BLOCK:
        least = per_pixel * (_LEAST_BLOCK + 2 * halo) ** 2 + windows * (_LEAST_BLOCK + 2 * halo)
        needed = (least + base + slide.resident + _NETWORK) / (_IN_USE - KEPT)
        raise ValueError(
            f"memory is {show_bytes(memory)}, too little for this image and network: give at least "
            f"{show_bytes(1.05 * needed)}"
        )
    block = min(block, LARGEST_BLOCK)
    return block // TILE * TILE if block >= TILE else block
