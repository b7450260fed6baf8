"""TIFF files read region by region: only the tiles or strips that a region touches are decoded.

What a file holds is decided by its directories alone, before a pixel is read: whoever reads it as a whole
and whoever reads it in blocks come to the same verdict and get the same pixels.
"""

import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from maunet_lite.data.amounts import show_bytes
from maunet_lite.data.checks import ImageError
from maunet_lite.data.reading.calibration import channel_names, tiff_pixel_size
from maunet_lite.data.reading.slide import Stored, covered, shared
from maunet_lite.data.writing import PROGRAM

BAND = 1536  # rows that windows of the network span: as many strips are kept decoded
KEPT = 2**26  # bytes of tiles that are kept decoded at least
SHARE_FOR_READING = 4  # the image itself may take this part (one fourth) of the memory
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_CONVERTED = (6, 7, 33003, 33004, 33005, 34712)  # JPEG and JPEG 2000, whose decoders return RGB


def is_tiff(path: Path) -> bool:
    """Tell whether a file begins like a TIFF or BigTIFF of either byte order."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(path: Path, memory: int | None = None) -> Stored:
    """Open the largest image of a TIFF file at its largest level.

    Parameters
    ----------
    path : Path
    memory : int, optional
        Bytes for the whole job; decoded strips may take an eighth of it.

    Raises
    ------
    ImageError
        If it is damaged, holds several images, or colours that cannot be read. Other exceptions of tifffile
        mean that it is damaged, too.
    """
    walk_directories(path)
    file = TiffFile(path, _multifile=False)  # of an image in several files, this file's own planes
    try:
        series = _largest(file)
        page = series.keyframe
        samples, extra = page.samplesperpixel, page.extrasamples
        options: dict[str, Any] = {
            "alpha": tuple(samples - len(extra) + k for k, kind in enumerate(extra) if kind in (1, 2)),
            "names": channel_names(file), "pixel_size": tiff_pixel_size(file, page),
            "numbered": page.software == PROGRAM, "note": _other_files(file, series), "close": file.close,
        }  # fmt: skip
        options |= _colours(page)
        refuse_missing_data(series, file.filehandle.size)
        # pages that are rows: what tifffile makes of an array (H, W, 2) that nobody describes
        rows = series.kind == "shaped" and series.axes == "QYX" and series.shape[2] <= 4 < series.shape[0]
        axes, shape = _layout(series)
        if series.dataoffset is not None and math.prod(shape) == math.prod(series.shape):
            dtype = series.dtype.newbyteorder(file.byteorder)  # one stretch of the file, not compressed
            axes, shape = ("YXS", series.shape) if rows else (axes, shape)
            return Stored(np.memmap(path, dtype, "r", series.dataoffset, shape), axes, **options)
        if rows or math.prod(shape[:-3]) != len(series.pages) * _planes(page):
            refuse_too_large(series.nbytes, memory)
            return Stored(_Whole(series), "YXS" if rows else series.axes, resident=series.nbytes, **options)
        pixels = _Segments(series, shape, memory)
        chunk = (*[1] * (len(shape) - 3), *pixels.chunk, pixels.samples)
        return Stored(pixels, axes, chunk, resident=pixels.resident, **options)
    except BaseException:
        file.close()
        raise


def walk_directories(path: Path) -> None:
    """Walk along the directories of a TIFF, each of which says where the next one is.

    Raises
    ------
    ImageError
        If the chain leads back to where it was.
    Exception
        If it leads out of the file.
    """
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        big = struct.unpack(f"{order}H", file.read(2))[0] == 43
        count, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
        if not big and path.stat().st_size >= 2**32:
            return  # an NDPI slide, whose pointers are longer than the format has them

        def number(kind: str) -> int:
            data = file.read(struct.calcsize(f"{order}{kind}"))
            return struct.unpack(f"{order}{kind}", data)[0]

        seen: set[int] = set()
        file.seek(8 if big else 4)
        while at := number(pointer):
            if at in seen:
                raise ImageError(f"the file is damaged: its {len(seen)} directories form a circle")
            seen.add(at)
            file.seek(at)
            file.seek(number(count) * entry, 1)


def _largest(file: TiffFile) -> TiffPageSeries:
    """Return the largest image; scanners store a label and a thumbnail beside it."""
    series = sorted(file.series, key=lambda one: -math.prod(one.shape))
    if not series:
        raise ImageError("the file holds no image")
    if len(series) > 1 and math.prod(series[1].shape) > 0.5 * math.prod(series[0].shape):
        raise ImageError(
            f"the file holds {len(series)} images of like size; expected one. Pick one, for example "
            "tifffile.imread(path, key=0) or series=1, and save it as a file of its own"
        )
    return series[0].levels[0]


def _other_files(file: TiffFile, series: TiffPageSeries) -> str:
    """Say which files hold the rest of an OME-TIFF in several files."""
    names = set(re.findall(r'FileName="([^"]+)"', file.ome_metadata or "")) - {file.filename}
    rest = f"; further planes are in {', '.join(sorted(names))}" if names and series.kind != "ome" else ""
    if None in list(series.pages):
        raise ImageError(
            f"the file is truncated or one of several: its OME-XML counts {len(series.pages)} planes, and "
            f"{sum(page is None for page in series.pages)} are not in it{rest}. Export it as one file"
        )
    return rest


def _colours(page: TiffPage) -> dict[str, Any]:
    """Return how values become what a viewer shows; a file that does not say it is grey, 0 black."""
    kind = page.photometric if 262 in page.tags else _MIN_IS_BLACK
    converted = kind == _YCBCR and page.compression in _CONVERTED
    if kind not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE) and not converted:
        stored = getattr(kind, "name", kind)
        raise ImageError(f"colours are stored as {stored}; expected grey, RGB or a palette. Save it as RGB")
    if kind == _PALETTE and page.colormap is not None:
        palette = page.colormap.T  # (N, 3); some programs store 8 bit where the format asks for 16
        return {"palette": (palette >> (8 if palette.max() > 255 else 0)).astype(np.uint8)}
    return {"inverted": page.bitspersample if kind == _MIN_IS_WHITE else 0}


def refuse_missing_data(series: TiffPageSeries, size: int) -> None:
    """Raise if a file of `size` bytes has fewer strips or tiles than its image needs, or ends before them.

    A decoder would fill up what is missing in silence. Tiles of no bytes are legal: a scanner leaves out
    where there is nothing.
    """
    for page in series.pages:
        needed = math.prod(page.keyframe.chunked)
        offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
        there = min(len(offsets), len(counts))
        if there < needed:
            shape = f"{page.keyframe.imagelength} × {page.keyframe.imagewidth}"
            raise ImageError(
                f"the file is damaged or truncated: an image of {shape} pixels needs {needed} strips or "
                f"tiles, and {there} are listed"
            )
        if np.max(offsets[:there].astype(np.uint64) + counts[:there].astype(np.uint64)) > size:
            raise ImageError("the file is truncated")
    if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise ImageError("the file is truncated")


def _planes(page: TiffPage) -> int:
    """Return how many planes are stored apart within a page."""
    return page.samplesperpixel if page.planarconfig == 2 else 1


def _layout(series: TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return axes and lengths: whatever has several pages, planes within a page, rows, columns, samples."""
    page = series.keyframe
    planes = _planes(page)
    outer = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1 and a not in "YXS"]
    axes = [*outer, ("S", planes)] if planes > 1 else outer
    axes = [*axes, ("Y", page.imagelength), ("X", page.imagewidth), ("S", page.samplesperpixel // planes)]
    return "".join(axis for axis, _ in axes), tuple(int(n) for _, n in axes)


def refuse_too_large(n_bytes: int, memory: int | None) -> None:
    """Raise if an image that can only be read as a whole does not fit into its share of the memory."""
    if memory is not None and n_bytes * SHARE_FOR_READING > memory:
        raise ImageError(
            f"this file can only be read as a whole, which takes {show_bytes(n_bytes)}: too much for a "
            f"budget of {show_bytes(memory)}. Allow {show_bytes(n_bytes * SHARE_FOR_READING)}, or save it "
            "as a tiled TIFF, for example tifffile.imwrite(path, image, tile=(512, 512), compression='zlib')"
        )


class _Whole:
    """An array that is read as a whole, once its first pixel is needed."""

    def __init__(self, series: TiffPageSeries) -> None:
        self.shape, self.dtype, self.read = series.shape, series.dtype, lru_cache(1)(series.asarray)

    def __getitem__(self, place: tuple[int | slice, ...]) -> np.ndarray:
        return self.read()[place]


class _Segments:
    """An array (…, H, W, samples) of tiles or strips, of which the last ones used are kept decoded."""

    def __init__(self, series: TiffPageSeries, shape: tuple[int, ...], memory: int | None) -> None:
        page = series.keyframe
        height, width, strip = page.imagelength, page.imagewidth, page.rowsperstrip
        self.handle, self.pages = page.parent.filehandle, list(series.pages)
        self.chunk = (page.tilelength, page.tilewidth) if page.is_tiled else (min(strip, height), width)
        self.shape, self.dtype = shape, page.dtype
        self.planes, self.samples = _planes(page), shape[-1]
        pixel = math.prod(shape[:-3]) * self.samples * page.dtype.itemsize
        largest = math.prod(self.chunk) * pixel
        if largest > KEPT:
            refuse_too_large(largest, memory)
        self.resident = max(KEPT, largest)
        if not page.is_tiled:  # a row of windows must not decode the same strips again and again
            band = min((BAND + self.chunk[0]) * width * pixel, (memory or 2**33) // 8)
            self.resident = max(self.resident, band)
        count = self.resident * math.prod(shape[:-3]) // largest
        self.segment: Callable[..., np.ndarray | None] = lru_cache(count)(self._decode)

    def __getitem__(self, place: tuple[int | slice, ...]) -> np.ndarray:
        *outer, rows, columns, samples = place
        numbers = np.arange(math.prod(self.shape[:-3])).reshape(self.shape[:-3])[tuple(outer)]
        region, size = (rows, columns), (rows.stop - rows.start, columns.stop - columns.start)
        out = np.zeros((*np.shape(numbers), *size, self.samples), self.dtype)
        for at, number in np.ndenumerate(numbers):
            for i, j in product(*map(covered, region, self.chunk)):
                segment = self.segment(*divmod(int(number), self.planes), i, j)
                if segment is None:
                    continue
                starts = [k * side for k, side in zip((i, j), self.chunk, strict=True)]
                there = (slice(k, k + n) for k, n in zip(starts, segment.shape, strict=False))
                here, inside = zip(*map(shared, region, there), strict=True)
                out[(*at, *here)] = segment[inside]
        return out[..., samples]

    def _decode(self, page: int, plane: int, i: int, j: int) -> np.ndarray | None:
        """Return a tile or strip, (h, w, samples), or None for one without data."""
        this = self.pages[page]
        down, across = (-(-side // n) for side, n in zip(self.shape[-3:-1], self.chunk, strict=True))
        index = (plane * down + i) * across + j
        offset, count = this.dataoffsets[index], this.databytecounts[index]
        if not count:
            return None
        self.handle.seek(offset)
        data = self.handle.read(count)  # before the tables, which are read from elsewhere in the file
        return this.keyframe.decode(data, index, jpegtables=this.jpegtables)[0][0]  # of depth 1
