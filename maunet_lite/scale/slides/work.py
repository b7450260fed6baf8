"""What a job on a slide leaves on the disk: finished blocks while it runs, one label map at the end.

``NAME.unfinished/`` beside the result holds ``journal.json``, what was fixed once for all blocks, and for
each finished block its labels, ``000012.npy``, and what is said about them, ``000012.npz``. The latter
appears last, and complete or not at all, so whatever ends a run, the next one goes on after the last finished
block. At the end ids are made consecutive, the label map is written tile by tile, and the folder is removed.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from maunet_lite.data import atomic_path, label_tags, require_zarr, shared, tiles_of, write_text
from maunet_lite.export import SMALLEST, add_level, describe_levels
from maunet_lite.postprocessing import read_json
from maunet_lite.scale.slides.blocks import BlockGrid, Part

TILE = (512, 512)  # of results

Tiles = Iterator[tuple[tuple[slice, slice], np.ndarray]]


class WorkFolder:
    """The folder of an unfinished job.

    Parameters
    ----------
    out : Path
        The result; the folder is ``NAME.unfinished`` beside it.

    Examples
    --------
    >>> work = WorkFolder(getfixture("tmp_path") / "cells.tif")
    >>> work.begin({"block": 512})
    >>> work.journal()["block"], sorted(work.finished())
    (512, [])
    """

    def __init__(self, out: Path) -> None:
        self.out, self.path = out, out.with_name(out.name + ".unfinished")

    def journal(self) -> dict[str, Any] | None:
        """Return what was written down when the job began, or None if there is no such job."""
        try:
            return read_json(self.path / "journal.json")
        except (OSError, ValueError):
            return None

    def begin(self, journal: dict[str, Any]) -> None:
        """Begin a job: drop what another one has left, and write down what holds for all blocks."""
        if self.path.exists():
            shutil.rmtree(self.path)
        write_text(self.path / "journal.json", json.dumps(journal, indent=1))

    def drop_damaged(self) -> None:
        """Remove blocks that were not written to their end, as after a power cut: they are done again."""
        for index in self.finished():
            try:
                if self.load(index) is not None:
                    np.load(self._file(index, "npy"), mmap_mode="r")
            except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
                self._file(index, "npz").unlink(missing_ok=True)

    def finished(self) -> set[int]:
        """Return the blocks that are done."""
        return {int(file.stem) for file in self.path.glob("[0-9]*.npz")}

    def save(self, index: int, part: Part | None) -> None:
        """Store what a block says; None if there was nothing in it."""
        fields: dict[str, np.ndarray] = {}
        if part is not None:
            fields = {"names": part.names, "first": part.first, "sums": part.sums, **part.seams}
            with atomic_path(self._file(index, "npy")) as temporary:
                np.save(temporary, part.labels.astype(np.uint16 if part.names.size < 2**16 else np.int32))
        with atomic_path(self._file(index, "npz")) as temporary:
            np.savez(temporary, **fields)

    def load(self, index: int) -> Part | None:
        """Return what a block says, its labels still on the disk; None if there was nothing in it."""
        with self._file(index, "npz").open("rb") as file, np.load(file) as stored:
            fields = dict(stored)
        if not fields:
            return None
        known = [fields.pop(name) for name in ("names", "first", "sums")]
        return Part(np.zeros((0, 0), np.int32), *known[:2], fields, known[2])

    def labels(self, grid: BlockGrid, tables: Mapping[int, np.ndarray], place: tuple[slice, slice]) -> Any:
        """Return the labels of a place on the slide, (h, w) int32, with the ids that `tables` give."""
        out = np.zeros([part.stop - part.start for part in place], dtype=np.int32)
        for block in grid.blocks_in(*place):
            if block.index in tables:
                here, there = zip(*map(shared, place, block.core), strict=True)
                stored = np.load(self._file(block.index, "npy"), mmap_mode="r")
                out[here] = tables[block.index][stored[there]]
        return out

    def deliver(self) -> None:
        """Move the result, which lies here under its name, to its place; remove the rest."""
        if self.out.is_dir():  # cannot be replaced in one step
            os.replace(self.out, self.path / "replaced")
        os.replace(self.path / self.out.name, self.out)
        shutil.rmtree(self.path)

    def _file(self, index: int, suffix: str) -> Path:
        return self.path / f"{index:06d}.{suffix}"


def write_slide_labels(
    out: Path, shape: tuple[int, int], cells: int, tiles: Tiles, description: str | None = None,
    pixel_size: float | None = None,
) -> None:  # fmt: skip
    """Write a label map tile by tile, by the suffix of `out`.

    Parameters
    ----------
    out : Path
        ``.zarr`` for OME-Zarr labels (version 0.4, a pyramid), ``.tif`` or ``.tiff`` for a tiled, compressed
        TIFF, BigTIFF if it could grow beyond 4 GiB.
    shape : (int, int)
    cells : int
        Largest id: up to 65,535 are stored as uint16, more as uint32.
    tiles : iterator of ((slice, slice), numpy.ndarray)
        Places of `TILE`, row after row, and their labels.
    description : str, optional
        For the TIFF's tag of that name.
    pixel_size : float, optional
        Micrometres per pixel.
    """
    dtype = np.dtype(np.uint16 if cells < 2**16 else np.uint32)
    with atomic_path(out) as temporary:
        if out.suffix.lower() != ".zarr":
            padded = (np.pad(tile, [(0, 512 - side) for side in tile.shape]) for _, tile in tiles)
            tifffile.imwrite(  # whose tiles all have one size, also at the edge
                temporary, (tile.astype(dtype) for tile in padded), shape=shape, dtype=dtype, tile=TILE,
                compression="zlib", photometric="minisblack", metadata=None, maxworkers=1,
                bigtiff=shape[0] * shape[1] * dtype.itemsize > 2**32 - 2**25, description=description,
                **label_tags(pixel_size),
            )  # fmt: skip
            return
        group = require_zarr().open_group(temporary, mode="w", zarr_format=2)
        level = add_level(group, shape, dtype)
        for place, tile in tiles:
            level[place] = tile.astype(dtype)
        while max(level.shape) > SMALLEST:  # every second pixel of the level before, so that no ids mix
            before, level = level, add_level(group, tuple(-(-side // 2) for side in level.shape), dtype)
            for rows, columns in tiles_of(level.shape, TILE):
                double = slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)
                level[rows, columns] = before[double][::2, ::2]
        describe_levels(group, out.name.removesuffix(".zarr").removesuffix(".ome"), pixel_size)
        group.attrs["image-label"] = {"version": "0.4"}
