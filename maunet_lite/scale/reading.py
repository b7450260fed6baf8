"""Images that are read region by region: tiled and pyramidal TIFF, OME-TIFF, Zarr, OME-Zarr, NumPy arrays.

:func:`open_slide` opens any of them, of any order of axes, and the :class:`Slide` it returns gives parts as
(h, w) or (h, w, C), as `data.read_image` would give the whole. Of a pyramid the largest
level is read. A file that can only be read as a whole (PNG, JPEG, a TIFF in one compressed piece) is read
once, if it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from maunet_lite.data import ImageError, read_image
from maunet_lite.inference import parse_bytes, show_bytes

SHARE_FOR_READING = 4  # the image itself may take this part (one fourth) of the memory
WHOLE_BYTES = 110  # per pixel, to segment an image as a whole: measured, with some room
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

Reader = Callable[[slice, slice], np.ndarray]


class Slide:
    """An image that is read region by region; made by `open_slide`, used in a ``with`` statement.

    Attributes
    ----------
    shape : tuple of int
        (H, W).
    channels : int
        1 to 4; a slide of one channel gives regions without that axis.
    dtype : numpy.dtype
        Of the regions: uint8 and uint16 as stored, float32 for any other type.
    chunk : tuple of int
        Rows and columns that are stored together: regions made of whole chunks are read fastest.
    resident : int
        Bytes that it holds in memory while it is open.
    name : str
        The path, or "array".
    """

    def __init__(
        self,
        reader: Reader,
        shape: tuple[int, int],
        channels: int,
        dtype: np.dtype,
        *,
        name: str,
        chunk: tuple[int, int] | None = None,
        resident: int = 0,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._reader, self._close = reader, close
        self.shape, self.channels, self.name = (int(shape[0]), int(shape[1])), channels, name
        self.dtype = _kept_type(np.dtype(dtype))
        self.chunk = chunk or self.shape
        self.resident = resident
        if not 1 <= channels <= 4:
            raise ImageError(
                f"{name}: the image has {channels} channels; expected 1 to 4. Choose up to three, for "
                "example open_slide(array[..., :3])"
            )
        if 0 in self.shape:
            raise ImageError(f"{name}: the image has shape {self.shape}: it has no pixels")

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a region, (h, w) or (h, w, C).

        Parameters
        ----------
        rows, columns : slice
            ``slice(start, stop)`` within the image.

        Raises
        ------
        ImageError
            If the region is empty or reaches beyond the image, or the file is damaged there.
        """
        for part, length in zip((rows, columns), self.shape, strict=True):
            if part.step not in (None, 1) or not 0 <= part.start < part.stop <= length:
                raise ImageError(f"{self.name}: no region {rows}, {columns} in an image of {self.shape}")
        try:
            region = self._reader(rows, columns)
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever they like on damaged files
            raise ImageError(
                f"{self.name}: rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop} "
                f"cannot be read: the file is damaged or truncated ({error})"
            ) from error
        region = region[..., 0] if region.ndim == 3 and region.shape[2] == 1 else region
        if region.dtype == bool:
            return region.astype(np.uint8) * np.uint8(255)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(region.astype(self.dtype, copy=False))

    def tiles(self, side: int = 2048) -> Iterator[tuple[slice, slice]]:
        """Go through the image in pieces of about `side`² pixels, in an order that reads each chunk once."""
        height, width = self.shape
        if self.chunk[1] >= width:  # strips: whole rows
            step = (max(1, side * side // width), width)
        else:
            step = tuple(max(1, round(side / c)) * c for c in self.chunk)
        for top in range(0, height, step[0]):
            for left in range(0, width, step[1]):
                yield slice(top, min(top + step[0], height)), slice(left, min(left + step[1], width))

    def close(self) -> None:
        """Close the file."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_slide(source: str | Path | np.ndarray | Slide, *, memory: str | int = "4GiB") -> Slide:
    """Open an image to read it region by region.

    Parameters
    ----------
    source : path or array
        A TIFF (tiled, striped, pyramidal, OME, ImageJ), a Zarr array or OME-Zarr folder, any other image
        file, or an array (H, W) or (H, W, C): also ``np.memmap`` or anything else that gives NumPy arrays
        when sliced, such as a ``zarr.Array``. An open slide is returned as it is.
    memory : str or int
        An image that can only be read as a whole may take a fourth of this.

    Returns
    -------
    Slide
        Close it after use, best by a ``with`` statement.

    Raises
    ------
    ImageError
        If the file is missing, damaged, holds several planes or images, or does not fit into `memory`.
    ImportError
        If Zarr is needed and not installed.

    Examples
    --------
    >>> with open_slide(np.arange(12, dtype=np.uint8).reshape(3, 4)) as slide:
    ...     slide.shape, slide.read(slice(1, 3), slice(0, 2)).tolist()
    ((3, 4), [[4, 5], [8, 9]])
    """
    if isinstance(source, Slide):
        return source
    if not isinstance(source, (str, Path)):
        return array_slide(source, name="array")
    path = Path(source)
    if not path.exists():
        raise ImageError(f"{path}: there is no such file")
    if is_zarr(path):
        from maunet_lite.scale.zarr_arrays import zarr_slide

        return zarr_slide(path)
    if path.is_dir():
        raise ImageError(f"{path}: this folder is no Zarr; expected an image file or a Zarr folder")
    if _starts(path) in _TIFF_STARTS:
        from maunet_lite.scale.tiff import tiff_slide

        return tiff_slide(path, parse_bytes(memory))
    return _whole_slide(path, parse_bytes(memory))


def needs_blocks(path: str | Path, memory: str | int = "4GiB") -> bool:
    """Tell whether an image must be segmented in blocks, because it is a Zarr or too large for `memory`.

    Only the head of the file is read. A file that cannot be read is no slide: whoever reads it will say why.

    Examples
    --------
    >>> from maunet_lite.data import write_image
    >>> path = getfixture("tmp_path") / "small.png"
    >>> write_image(path, np.zeros((40, 50), dtype=np.uint8))
    >>> needs_blocks(path, "4GiB"), needs_blocks(path, "0.7GiB")
    (False, False)
    """
    path = Path(path)
    if is_zarr(path):
        return True
    try:
        return math.prod(_size(path)) * WHOLE_BYTES + 2**29 > parse_bytes(memory)
    except (OSError, ImageError):
        return False


def is_zarr(path: Path) -> bool:
    """Tell whether a path is the folder of a Zarr array or group."""
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def array_slide(
    array: Any,
    name: str,
    axes: str | None = None,
    *,
    chunk: tuple[int, ...] | None = None,
    drop: int = 0,
    close: Callable[[], None] | None = None,
) -> Slide:
    """Return a slide that reads from an array, by its axes.

    Parameters
    ----------
    array : array-like
        Has ``shape`` and ``dtype``, and gives NumPy arrays when sliced.
    name : str
    axes : str, optional
        A letter per axis: Y and X, C or S for channels, others for axes that must have length 1. By default
        guessed from the lengths: axes of length 4 at most, in front or at the end, are channels.
    chunk : tuple of int, optional
        Lengths of a chunk along each axis.
    drop : int
        Last channels to leave out (alpha).
    """
    if np.dtype(array.dtype).kind not in "uifb":
        raise ImageError(f"{name}: the image has type {array.dtype}; expected integers or floats")
    axes = guess_axes(array.shape, name) if axes is None else axes
    kept = important_axes(axes, array.shape, name)
    color = next((axis for axis in kept if axis in "CS"), None)
    channels = array.shape[axes.index(color)] - drop if color else 1

    def reader(rows: slice, columns: slice) -> np.ndarray:
        chosen = {"Y": rows, "X": columns, color: slice(0, channels)}
        region = np.asarray(array[tuple(chosen[axis] if axis in kept else 0 for axis in axes)])
        return np.moveaxis(region, 0, -1) if color and kept[0] == color else region

    lengths = dict(zip(axes, array.shape, strict=True))
    stored = dict(zip(axes, chunk, strict=True)) if chunk else {}
    return Slide(
        reader, (lengths["Y"], lengths["X"]), channels, array.dtype, name=name, close=close,
        chunk=(stored["Y"], stored["X"]) if chunk else None,
    )  # fmt: skip


def guess_axes(shape: tuple[int, ...], name: str) -> str:
    """Return the letters of the axes of an array without names, from their lengths."""
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and shape[2] <= 4:
        return "YXS"
    if len(shape) == 3 and shape[0] <= 4:
        return "CYX"
    if len(shape) == 5:
        return "TCZYX"
    raise ImageError(
        f"{name}: the image has shape {shape}; expected (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels. "
        "Pass a single plane, for example array[0]"
    )


def important_axes(axes: str, shape: tuple[int, ...], name: str) -> str:
    """Return the axes longer than 1, with rows and columns, as YX, YXC, YXS, CYX or SYX; refuse stacks."""
    kept = "".join(axis for axis, n in zip(axes, shape, strict=True) if n > 1 or axis in "YX")
    if kept not in ("YX", "YXS", "YXC", "CYX", "SYX"):
        raise ImageError(
            f"{name}: the file holds several planes (axes {axes}, shape {tuple(shape)}); expected one. Pick "
            "one, for example open_slide(zarr.open(path)[0]) or tifffile.imread(path, key=0)"
        )
    return kept


def _kept_type(dtype: np.dtype) -> np.dtype:
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    native = dtype.newbyteorder("=")
    return native if native in (np.uint8, np.uint16) else np.dtype(np.float32)


def _starts(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file from its head."""
    if _starts(path) in _TIFF_STARTS:
        from maunet_lite.scale.tiff import tiff_size

        return tiff_size(path)
    from PIL import Image, UnidentifiedImageError

    try:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # large images are no attack here
        with Image.open(path) as image:
            return image.size[1], image.size[0]
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: this is no image that can be read") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _whole_slide(path: Path, memory: int) -> Slide:
    """Read a file as a whole, if it fits into its share of the memory."""
    height, width = _size(path)
    refuse_too_large(path, height * width * 3, memory)
    image = read_image(path)
    slide = array_slide(image, name=str(path))
    slide.resident = image.nbytes
    return slide


def refuse_too_large(path: Path, n_bytes: int, memory: int) -> None:
    """Raise if an image that can only be read as a whole does not fit into its share of the memory."""
    if n_bytes * SHARE_FOR_READING > memory:
        raise ImageError(
            f"{path}: this file can only be read as a whole, which takes {show_bytes(n_bytes)}: too much for "
            f"a budget of {show_bytes(memory)}. Allow {show_bytes(n_bytes * SHARE_FOR_READING)}, or save it "
            "as a tiled TIFF, for example tifffile.imwrite(path, image, tile=(512, 512), compression='zlib')"
        )
