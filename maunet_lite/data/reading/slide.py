"""A slide: an image of which any region is read as (h, w) or (h, w, C), whatever holds its pixels."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from maunet_lite.data.amounts import show_bytes
from maunet_lite.data.checks import ImageError

SHARE_FOR_READING = 4  # the image itself may take this part (one fourth) of the memory


class Slide(AbstractContextManager):
    """An image that is read region by region; made by `open_slide`, used in a ``with`` statement.

    Parameters
    ----------
    array : array-like
        Has ``shape`` and ``dtype``, and gives NumPy arrays when sliced.
    name : str
        The path, or "array".
    axes : str, optional
        A letter per axis: Y and X, C or S for channels, others for axes that must have length 1. By default
        guessed from the lengths: axes of length 4 at most, in front or at the end, are channels.
    chunk : tuple of int, optional
        Lengths of a chunk along each axis.
    drop : int
        Last channels to leave out (alpha).
    resident : int
        Bytes that it holds in memory while it is open.
    close : callable
        Closes the file.

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

    Raises
    ------
    ImageError
        If the array holds no numbers, no pixels, several planes or too many channels.
    """

    def __init__(
        self, array: Any, name: str, axes: str | None = None, *, chunk: tuple[int, ...] | None = None,
        drop: int = 0, resident: int = 0, close: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        if np.dtype(array.dtype).kind not in "uifb":
            raise ImageError(f"{name}: the image has type {array.dtype}; expected integers or floats")
        self.name, self.resident, self.close = name, resident, close
        self._array, self._axes = array, axes or guess_axes(array.shape, name)
        self._kept = important_axes(self._axes, array.shape, name)
        lengths = dict(zip(self._axes, array.shape, strict=True))
        stored = dict(zip(self._axes, chunk or array.shape, strict=True))
        self.shape, self.chunk = ((int(by["Y"]), int(by["X"])) for by in (lengths, stored))
        color = self._kept.strip("YX")
        self.channels = lengths[color] - drop if color else 1
        kept = {"?": np.uint8, "B": np.uint8, "H": np.uint16}  # bool, uint8, uint16
        self.dtype = np.dtype(kept.get(np.dtype(array.dtype).char, np.float32))
        if not 1 <= self.channels <= 4:
            raise ImageError(
                f"{name}: the image has {self.channels} channels; expected 1 to 4. Choose up to three, "
                "for example open_slide(array[..., :3])"
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
        chosen = dict.fromkeys(self._kept, slice(0, self.channels)) | {"Y": rows, "X": columns}
        try:
            region = np.asarray(self._array[tuple(chosen.get(axis, 0) for axis in self._axes)])
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever they like on damaged files
            raise ImageError(
                f"{self.name}: rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop} "
                f"cannot be read: the file is damaged or truncated ({error})"
            ) from error
        if region.ndim == 3:
            region = region if self._kept.startswith("YX") else np.moveaxis(region, 0, -1)
            region = region[..., 0] if self.channels == 1 else region
        if region.dtype == bool:
            return region.astype(np.uint8) * np.uint8(255)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(region.astype(self.dtype, copy=False))

    def tiles(self, side: int = 2048) -> Iterator[tuple[slice, slice]]:
        """Go through the image in pieces of about `side`² pixels, in an order that reads each chunk once."""
        piece = tuple(max(1, round(side / n)) * n for n in self.chunk)
        if self.chunk[1] >= self.shape[1]:  # strips: whole rows
            piece = max(1, side * side // self.shape[1]), self.shape[1]
        return tiles_of(self.shape, piece)

    def __exit__(self, *error: object) -> None:
        self.close()


def tiles_of(shape: tuple[int, int], side: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Go through an array tile by tile, row after row.

    Examples
    --------
    >>> [(rows.stop, columns.stop) for rows, columns in tiles_of((512, 600), (512, 512))]
    [(512, 512), (512, 600)]
    """
    for top in range(0, shape[0], side[0]):
        for left in range(0, shape[1], side[1]):
            yield slice(top, min(top + side[0], shape[0])), slice(left, min(left + side[1], shape[1]))


def covered(part: slice, side: int) -> range:
    """Return which pieces of length `side`, counted along an axis, a part of it touches.

    Examples
    --------
    >>> covered(slice(5, 21), 10)
    range(0, 3)
    """
    return range(part.start // side, (part.stop - 1) // side + 1)


def shared(one: slice, other: slice) -> tuple[slice, slice]:
    """Return the part of an axis that two slices share, counted from the start of the one and of the other.

    Examples
    --------
    >>> shared(slice(10, 20), slice(15, 40))
    (slice(5, 10, None), slice(0, 5, None))
    """
    first, last = max(one.start, other.start), min(one.stop, other.stop)
    return tuple(slice(first - part.start, last - part.start) for part in (one, other))


def guess_axes(shape: tuple[int, ...], name: str) -> str:
    """Return the letters of the axes of an array without names, from their lengths."""
    if len(shape) == 3 and min(shape[0], shape[2]) <= 4:
        return "YXS" if shape[2] <= 4 else "CYX"
    if len(shape) in (2, 5):
        return "YX" if len(shape) == 2 else "TCZYX"
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


def refuse_too_large(path: Path, n_bytes: int, memory: int) -> None:
    """Raise if an image that can only be read as a whole does not fit into its share of the memory."""
    if n_bytes * SHARE_FOR_READING > memory:
        raise ImageError(
            f"{path}: this file can only be read as a whole, which takes {show_bytes(n_bytes)}: too much for "
            f"a budget of {show_bytes(memory)}. Allow {show_bytes(n_bytes * SHARE_FOR_READING)}, or save it "
            "as a tiled TIFF, for example tifffile.imwrite(path, image, tile=(512, 512), compression='zlib')"
        )
