"""TIFF files read region by region: only the tiles or strips that a region touches are decoded."""

import math
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffFileError, TiffPageSeries

from maunet_lite.data.checks import ImageError
from maunet_lite.data.reading.slide import Slide, covered, important_axes, refuse_too_large, shared

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
        file = TiffFile(path)
    except (OSError, ValueError, TiffFileError) as error:
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
            return Slide(pixels, str(path), _axes(series), **options)
        important_axes(_axes(series), series.shape, str(path))
        pixels = _Segments(path, file, series, memory)
        return Slide(pixels, str(path), "YXS", chunk=(*pixels.chunk, 1), resident=pixels.resident, **options)
    except BaseException:
        file.close()
        raise


def tiff_size(path: Path) -> tuple[int, int]:
    """Return height and width of the largest image of a TIFF file."""
    try:
        with TiffFile(path) as file:
            page = _largest(file, path).keyframe
            return page.imagelength, page.imagewidth
    except (ValueError, TiffFileError) as error:
        raise ImageError(f"{path}: the file is damaged or no single image ({error})") from error


def _largest(file: TiffFile, path: Path) -> TiffPageSeries:
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


def _axes(series: TiffPageSeries) -> str:
    """Return the letters of the axes; an array whose axes have no name (Q) is told by their lengths."""
    axes, shape = series.axes, series.shape
    if axes == "QYX" and shape[2] <= 4 < shape[0]:
        return "YXS"
    if axes in ("QYX", "IYX") and shape[0] <= 4:
        return "CYX"
    return axes


class _Segments:
    """An array (H, W, C) of tiles or strips, of which the last ones used are kept decoded."""

    def __init__(self, path: Path, file: TiffFile, series: TiffPageSeries, memory: int) -> None:
        page = series.keyframe
        height, width, strip = page.imagelength, page.imagewidth, page.rowsperstrip
        self.handle, self.pages = file.filehandle, [one for one in series.pages if one is not None]
        self.chunk = (page.tilelength, page.tilewidth) if page.is_tiled else (min(strip, height), width)
        self.planes = page.samplesperpixel if page.planarconfig == 2 else 1  # stored apart within a page
        self.samples = page.samplesperpixel // self.planes  # stored together
        self.shape = height, width, len(self.pages) * page.samplesperpixel
        self.dtype = page.dtype
        pixel = self.shape[2] * page.dtype.itemsize
        largest = math.prod(self.chunk) * pixel
        if largest > KEPT:
            refuse_too_large(path, largest, memory)
        self.resident = max(KEPT, largest)
        if not page.is_tiled:  # a row of windows must not decode the same strips again and again
            self.resident = max(self.resident, min((BAND + self.chunk[0]) * width * pixel, memory // 8))
        count = self.resident * self.planes * len(self.pages) // largest
        self.segment = lru_cache(count)(self._decode)

    def __getitem__(self, place: tuple[slice, slice, slice]) -> np.ndarray:
        *region, channels = place
        out = np.zeros((*(part.stop - part.start for part in region), self.shape[2]), self.dtype)
        for k, *at in product(range(len(self.pages) * self.planes), *map(covered, region, self.chunk)):
            segment = self.segment(*divmod(k, self.planes), *at)
            if segment is not None:  # a scanner leaves out tiles where there is nothing
                starts = [i * side for i, side in zip(at, self.chunk, strict=True)]
                there = (slice(i, i + n) for i, n in zip(starts, segment.shape, strict=False))
                here, inside = zip(*map(shared, region, there), strict=True)
                out[(*here, slice(k * self.samples, (k + 1) * self.samples))] = segment[inside]
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
        return this.keyframe.decode(data, index, jpegtables=this.jpegtables)[0][0]  # of depth 1
