"""What a job on a slide leaves on the disk: finished blocks while it runs, one label map at the end.

``NAME.unfinished/`` beside the result holds ``journal.json``, what was fixed once for all blocks, and a file
for each finished block. A file appears complete or not at all, so whatever ends a run, the next one goes on
after the last finished block. At the end ids are made consecutive, the label map is written tile by tile, and
the folder is removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from maunet_lite.data import atomic_path
from maunet_lite.scale.slides.blocks import BlockGrid, Part

TILE = 512  # side of the tiles of finished blocks and of results
SMALLEST = 256  # no level of a pyramid is made of one that fits into a square of this side
SUFFIXES = (".zarr", ".tif", ".tiff")
_KEPT_TILES = 64

Reader = Callable[[slice, slice], np.ndarray]


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
        self.path = out.with_name(out.name + ".unfinished")
        self._tiles: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()

    def journal(self) -> dict[str, Any] | None:
        """Return what was written down when the job began, or None if there is no such job."""
        try:
            return json.loads((self.path / "journal.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def begin(self, journal: dict[str, Any]) -> None:
        """Begin a job: drop what another one has left, and write down what holds for all blocks."""
        self.remove()
        self.path.mkdir(parents=True)
        with atomic_path(self.path / "journal.json") as temporary:
            temporary.write_text(json.dumps(journal, indent=1), encoding="utf-8")

    def remove(self) -> None:
        """Remove the folder."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def finished(self) -> set[int]:
        """Return the blocks that are done."""
        return {int(file.stem) for file in self.path.glob("[0-9]*.npz")}

    def save(self, index: int, part: Part | None) -> None:
        """Store what a block says; None if there was nothing in it."""
        fields: dict[str, np.ndarray] = {}
        if part is not None:
            fields = {"names": part.names, "first": part.first, "shape": np.array(part.labels.shape)}
            fields |= {f"seam_{side}": line for side, line in part.seams.items()}
            labels = part.labels.astype(np.uint16 if part.names.size < 2**16 else np.int32)
            for rows, columns in tiles_of(labels.shape):
                tile = imagecodecs.zstd_encode(np.ascontiguousarray(labels[rows, columns]).tobytes(), level=1)
                key = f"tile_{rows.start // TILE}_{columns.start // TILE}"
                fields[key] = np.frombuffer(tile, dtype=np.uint8)
        with atomic_path(self._file(index)) as temporary:
            np.savez(temporary, **fields)

    def load(self, index: int) -> Part | None:
        """Return what a block says, without its labels; None if there was nothing in it."""
        with np.load(self._file(index)) as stored:
            if "names" not in stored:
                return None
            seams = {key[5:]: stored[key] for key in stored.files if key.startswith("seam_")}
            return Part(np.zeros((0, 0), np.int32), stored["names"], stored["first"], seams)

    def tile(self, index: int, row: int, column: int, many: bool) -> np.ndarray:
        """Return a tile of a block's core; `many`: the block holds more than 65,535 cells."""
        key = (index, row, column)
        if key in self._tiles:
            self._tiles.move_to_end(key)
            return self._tiles[key]
        with np.load(self._file(index)) as stored:
            shape = stored["shape"]
            data = imagecodecs.zstd_decode(stored[f"tile_{row}_{column}"].tobytes())
        sides = [min(TILE, int(n) - k * TILE) for n, k in zip(shape, (row, column), strict=True)]
        tile = np.frombuffer(data, dtype=np.int32 if many else np.uint16).reshape(sides)
        self._tiles[key] = tile
        if len(self._tiles) > _KEPT_TILES:
            self._tiles.popitem(last=False)
        return tile

    def deliver(self, out: Path) -> None:
        """Move the result, which lies here under the name of `out`, to its place; remove the rest."""
        if out.is_dir():  # cannot be replaced in one step
            os.replace(out, self.path / "replaced")
        os.replace(self.path / out.name, out)
        self.remove()

    def _file(self, index: int) -> Path:
        return self.path / f"{index:06d}.npz"


def label_reader(work: WorkFolder, grid: BlockGrid, tables: Mapping[int, np.ndarray]) -> Reader:
    """Return a function that reads any region of the finished blocks, with the ids of `tables`."""

    def read(rows: slice, columns: slice) -> np.ndarray:
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.int32)
        for i in range(rows.start // grid.block, (rows.stop - 1) // grid.block + 1):
            for j in range(columns.start // grid.block, (columns.stop - 1) // grid.block + 1):
                index = i * grid.across + j
                if index not in tables or tables[index].size == 1:
                    continue
                core, table = grid.blocks[index].core, tables[index]
                for tile_rows, tile_columns in tiles_of([part.stop - part.start for part in core]):
                    there = [
                        slice(part.start + whole.start, part.stop + whole.start)
                        for part, whole in zip((tile_rows, tile_columns), core, strict=True)
                    ]
                    first, last = max(there[0].start, rows.start), min(there[0].stop, rows.stop)
                    begin, end = max(there[1].start, columns.start), min(there[1].stop, columns.stop)
                    if first >= last or begin >= end:
                        continue
                    place = (tile_rows.start // TILE, tile_columns.start // TILE)
                    tile = work.tile(index, *place, many=table.size > 2**16)
                    piece = tile[
                        first - there[0].start : last - there[0].start,
                        begin - there[1].start : end - there[1].start,
                    ]
                    out[
                        first - rows.start : last - rows.start, begin - columns.start : end - columns.start
                    ] = table[piece]
        return out

    return read


def tiles_of(shape: Any) -> Iterator[tuple[slice, slice]]:
    """Go through an array tile by tile, row after row.

    Examples
    --------
    >>> [(rows.stop, columns.stop) for rows, columns in tiles_of((512, 600))]
    [(512, 512), (512, 600)]
    """
    height, width = (int(n) for n in shape)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield slice(top, min(top + TILE, height)), slice(left, min(left + TILE, width))


def write_slide_labels(
    out: Path,
    shape: tuple[int, int],
    cells: int,
    read: Reader,
    tick: Callable[[], None] = lambda: None,
    description: str | None = None,
) -> None:
    """Write a label map tile by tile, by the suffix of `out`.

    Parameters
    ----------
    out : Path
        ``.zarr`` for OME-Zarr labels (version 0.4, a pyramid), ``.tif`` or ``.tiff`` for a tiled, compressed
        TIFF, BigTIFF if it could grow beyond 4 GiB.
    shape : (int, int)
    cells : int
        Largest id: up to 65,535 are stored as uint16, more as uint32.
    read : callable
        ``read(rows, columns)`` gives the labels of a region.
    tick : callable
        Called after each tile of the full size.
    description : str, optional
        For the TIFF's tag of that name.
    """
    dtype = np.dtype(np.uint16 if cells < 2**16 else np.uint32)

    def counted(rows: slice, columns: slice) -> np.ndarray:
        tick()
        return read(rows, columns).astype(dtype)

    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".zarr":
            _write_zarr(temporary, out, shape, dtype, counted)
            return
        tifffile.imwrite(
            temporary, (_full_tile(counted(*place)) for place in tiles_of(shape)),
            shape=shape, dtype=dtype, tile=(TILE, TILE), compression="zlib", photometric="minisblack",
            bigtiff=shape[0] * shape[1] * dtype.itemsize > 2**32 - 2**25, metadata=None, maxworkers=1,
            description=description,
        )  # fmt: skip


def _full_tile(tile: np.ndarray) -> np.ndarray:
    """Fill up a tile at the edge of the image: a TIFF's tiles all have one size."""
    return np.pad(tile, [(0, TILE - side) for side in tile.shape])


def _write_zarr(folder: Path, out: Path, shape: tuple[int, int], dtype: np.dtype, read: Reader) -> None:
    from maunet_lite.scale.reading.open import require_zarr

    root = require_zarr().open_group(folder, mode="w", zarr_format=2)
    sizes = [shape]
    while max(sizes[-1]) > SMALLEST:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    for level, size in enumerate(sizes):
        array = root.create_array(
            str(level), shape=size, dtype=dtype, chunks=tuple(min(TILE, side) for side in size),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip
        finer = None if level == 0 else root[str(level - 1)]
        for rows, columns in tiles_of(size):
            if finer is None:
                array[rows, columns] = read(rows, columns)
            else:  # every second pixel: an id is never mixed with another
                array[rows, columns] = finer[
                    2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop
                ][::2, ::2]
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [2.0**k, 2.0**k]}]}
        for k in range(len(sizes))
    ]
    name = out.name.removesuffix(".zarr").removesuffix(".ome")
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    root.attrs["multiscales"] = [{"version": "0.4", "name": name, "axes": axes, "datasets": datasets}]
    root.attrs["image-label"] = {"version": "0.4"}
