"""TIFF files read region by region: only the tiles or strips that a region touches are decoded."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import tifffile

from maunet_lite.data import ImageError
from maunet_lite.scale.reading.slide import Slide, array_slide, important_axes, refuse_too_large

BAND = 1536  # rows that windows of the network span: as many strips are kept decoded
KEPT = 2**26  # bytes of tiles that are kept decoded at least


def tiff_slide(path: Path, memory: int) -> Slide:
    """Open the largest image of a TIFF file at its largest level.

    Parameters
    ----------
    path : Path
    memory : int
        Bytes for the whole job; decoded strips may take an eighth of it.
    """
    try:
        file = tifffile.TiffFile(path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"{path}: the file is damaged or truncated ({error})") from error
    try:
        series = _largest(file, path)
        page = series.keyframe
        if page.photometric.name not in ("MINISWHITE", "MINISBLACK", "RGB", "YCBCR"):
            raise ImageError(
                f"{path}: colours are stored as {page.photometric.name}; expected grey or RGB. "
                "Save it as RGB, tiled"
            )
        options = {"drop": sum(kind in (1, 2) for kind in page.extrasamples), "close": file.close}
        if series.dataoffset is not None:  # one stretch of the file, not compressed
            dtype = series.dtype.newbyteorder(file.byteorder)
            pixels = np.memmap(path, dtype, "r", series.dataoffset, series.shape)
            return array_slide(pixels, str(path), _axes(series), **options)
        important_axes(_axes(series), series.shape, str(path))
        pixels = _Segments(path, file, series, memory)
        return array_slide(
            pixels, str(path), "YXS", chunk=(*pixels.chunk, 1), resident=pixels.resident, **options
        )
    except BaseException:
        file.close()
        raise


def tiff_size(path: Path) -> tuple[int, int]:
    """Return height and width of the largest image of a TIFF file."""
    try:
        with tifffile.TiffFile(path) as file:
            series = _largest(file, path)
            lengths = dict(zip(series.axes, series.shape, strict=True))
            return int(lengths["Y"]), int(lengths["X"])
    except (ValueError, tifffile.TiffFileError, KeyError) as error:
        raise ImageError(f"{path}: the file is damaged or no single image ({error})") from error


def _largest(file: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """Return the largest image; scanners store a label and a thumbnail beside it."""
    series = sorted(file.series, key=lambda one: -math.prod(one.shape))
    if not series:
        raise ImageError(f"{path}: the file holds no image")
    if len(series) > 1 and math.prod(series[1].shape) > 0.5 * math.prod(series[0].shape):
        raise ImageError(
            f"{path}: the file holds {len(series)} images of like size; expected one. Pick one, for example "
            "tifffile.imread(path, series=0), and save it as a file of its own"
        )
    return series[0].levels[0]


def _axes(series: tifffile.TiffPageSeries) -> str:
    """Return the letters of the axes; an array whose axes have no name (Q) is told by their lengths."""
    axes, shape = series.axes, series.shape
    if axes == "QYX" and shape[2] <= 4 < shape[0]:
        return "YXS"
    if axes in ("QYX", "IYX") and shape[0] <= 4:
        return "CYX"
    return axes


class _Segments:
    """An array (H, W, C) of tiles or strips, of which the last ones used are kept decoded."""

    def __init__(
        self, path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, memory: int
    ) -> None:
        page = series.keyframe
        height, width = page.imagelength, page.imagewidth
        self.handle, self.pages = file.filehandle, [one for one in series.pages if one is not None]
        self.chunk = (page.tilelength, page.tilewidth)
        if not page.is_tiled:
            self.chunk = min(page.rowsperstrip, height), width
        self.planes = page.samplesperpixel if page.planarconfig == 2 else 1  # stored apart within a page
        self.samples = page.samplesperpixel // self.planes  # stored together
        self.shape = height, width, len(self.pages) * page.samplesperpixel
        self.dtype = page.dtype
        segment = math.prod(self.chunk) * self.samples * page.dtype.itemsize
        largest = segment * self.planes * len(self.pages)
        if largest > KEPT:
            refuse_too_large(path, largest, memory)
        self.resident = max(KEPT, largest)
        if not page.is_tiled:  # a row of windows must not decode the same strips again and again
            strips = (BAND + self.chunk[0]) * width * self.shape[2] * page.dtype.itemsize
            self.resident = max(self.resident, min(strips, memory // 8))
        self.segment = lru_cache(max(1, self.resident // segment))(self._decode)

    def __getitem__(self, place: tuple[slice, slice, slice]) -> np.ndarray:
        rows, columns, channels = place
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start, self.shape[2]), self.dtype)
        down, across = (
            range(part.start // side, (part.stop - 1) // side + 1)
            for part, side in zip((rows, columns), self.chunk, strict=True)
        )
        for k, i, j in product(range(len(self.pages) * self.planes), down, across):
            segment = self.segment(*divmod(k, self.planes), i, j)
            if segment is not None:  # a scanner leaves out tiles where there is nothing
                top, left = i * self.chunk[0], j * self.chunk[1]
                piece = segment[max(rows.start - top, 0) : rows.stop - top]
                piece = piece[:, max(columns.start - left, 0) : columns.stop - left]
                y, x = max(top - rows.start, 0), max(left - columns.start, 0)
                height, width = piece.shape[:2]
                first = k * self.samples
                out[y : y + height, x : x + width, first : first + self.samples] = piece
        return out[..., channels]

    def _decode(self, page: int, plane: int, i: int, j: int) -> np.ndarray | None:
        """Return a tile or strip, (h, w, samples), or None for one without data."""
        this = self.pages[page]
        down, across = (-(-side // n) for side, n in zip(self.shape, self.chunk, strict=False))
        index = (plane * down + i) * across + j
        offset, count = this.dataoffsets[index], this.databytecounts[index]
        if not count:
            return None
        if offset + count > self.handle.size:
            raise ImageError(f"{self.handle.path}: the file is truncated")
        self.handle.seek(offset)
        data = self.handle.read(count)  # before the tables, which are read from elsewhere in the file
        options = {"jpegtables": this.jpegtables} if this.jpegtables is not None else {}
        return this.keyframe.decode(data, index, **options)[0][0]  # of depth 1
