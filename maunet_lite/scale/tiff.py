"""TIFF files read region by region: only the tiles or strips that a region touches are decoded."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import tifffile

from maunet_lite.data import ImageError
from maunet_lite.scale.reading import Slide, array_slide, important_axes, refuse_too_large

BAND = 1536  # rows that windows of the network span: as many strips are kept decoded
KEPT = 2**26  # bytes of tiles that are kept decoded at least


def tiff_slide(path: Path, memory: int) -> Slide:
    """Open the largest image of a TIFF file at its largest level.

    Parameters
    ----------
    path : Path
    memory : int
        Bytes for the whole job; decoded strips may take a fourth of it.
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
        axes = _axes(series)
        drop = sum(kind in (1, 2) for kind in page.extrasamples)
        if series.dataoffset is not None:  # one stretch of the file, not compressed
            dtype = series.dtype.newbyteorder(file.byteorder)
            pixels = np.memmap(path, dtype, "r", series.dataoffset, series.shape)
            return array_slide(pixels, str(path), axes, drop=drop, close=file.close)
        return _segmented_slide(path, file, series, axes, drop, memory)
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


def _segmented_slide(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str, drop: int, memory: int
) -> Slide:
    page = series.keyframe
    height, width = page.imagelength, page.imagewidth
    chunk = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    kept = important_axes(axes, series.shape, str(path))
    planes = [plane for plane in series.pages if plane is not None]
    per_pixel = page.dtype.itemsize * page.samplesperpixel * len(planes)
    largest = chunk[0] * chunk[1] * per_pixel
    if largest > KEPT:
        refuse_too_large(path, largest, memory)
    limit = max(KEPT, largest)
    if not page.is_tiled:  # a row of windows must not decode the same strips again and again
        limit = max(limit, min((BAND + chunk[0]) * width * per_pixel, memory // 8))
    segments = _Segments(file, planes, chunk, limit)
    color = next((axis for axis in kept if axis in "CS"), None)
    channels = series.shape[axes.index(color)] - drop if color else 1

    def reader(rows: slice, columns: slice) -> np.ndarray:
        return segments.read(rows, columns)[..., :channels]

    return Slide(
        reader, (height, width), channels, page.dtype, name=str(path), chunk=chunk, resident=limit,
        close=file.close,
    )  # fmt: skip


class _Segments:
    """Tiles or strips of one or several pages (a page per channel); the last ones used are kept decoded."""

    def __init__(self, file: tifffile.TiffFile, pages: list, chunk: tuple[int, int], limit: int) -> None:
        self.file, self.pages, self.chunk, self.limit = file, pages, chunk, limit
        self.kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self.kept_bytes = 0
        page = pages[0].keyframe
        self.across = -(-page.imagewidth // chunk[1])
        self.down = -(-page.imagelength // chunk[0])
        self.separate = page.samplesperpixel if page.planarconfig == 2 else 1  # planes within a page
        self.dtype, self.contiguous = page.dtype, page.samplesperpixel // self.separate

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return (h, w, C)."""
        planes = [(page, plane) for page in range(len(self.pages)) for plane in range(self.separate)]
        shape = (rows.stop - rows.start, columns.stop - columns.start, len(planes) * self.contiguous)
        out = np.zeros(shape, dtype=self.dtype)
        for k, (page, plane) in enumerate(planes):
            part = out[..., k * self.contiguous : (k + 1) * self.contiguous]
            for i in range(rows.start // self.chunk[0], (rows.stop - 1) // self.chunk[0] + 1):
                for j in range(columns.start // self.chunk[1], (columns.stop - 1) // self.chunk[1] + 1):
                    index = (plane * self.down + i) * self.across + j
                    top, left = i * self.chunk[0], j * self.chunk[1]
                    self._copy(self._segment(page, index), top, left, part, rows, columns)
        return out

    @staticmethod
    def _copy(
        segment: np.ndarray | None, top: int, left: int, out: np.ndarray, rows: slice, columns: slice
    ) -> None:
        if segment is None:  # a scanner leaves out tiles where there is nothing
            return
        first, last = max(top, rows.start), min(top + segment.shape[0], rows.stop)
        begin, end = max(left, columns.start), min(left + segment.shape[1], columns.stop)
        out[first - rows.start : last - rows.start, begin - columns.start : end - columns.start] = segment[
            first - top : last - top, begin - left : end - left
        ]

    def _segment(self, page: int, index: int) -> np.ndarray | None:
        """Return a decoded tile or strip, (h, w, contiguous samples), or None for one without data."""
        key = (page, index)
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        this = self.pages[page]
        offset, count = this.dataoffsets[index], this.databytecounts[index]
        if not count:
            return None
        handle = self.file.filehandle
        if offset + count > handle.size:
            raise ImageError(f"{handle.path}: the file is truncated")
        handle.seek(offset)
        data = handle.read(count)
        options = {"jpegtables": this.jpegtables} if this.jpegtables is not None else {}
        segment = this.keyframe.decode(data, index, **options)[0]
        segment = segment[0]  # (depth 1, h, w, samples) → (h, w, samples)
        self.kept[key] = segment
        self.kept_bytes += segment.nbytes
        while self.kept_bytes > self.limit and len(self.kept) > 1:
            self.kept_bytes -= self.kept.popitem(last=False)[1].nbytes
        return segment
