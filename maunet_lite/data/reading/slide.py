"""A slide: an image of which any region is read as (h, w) or (h, w, C), whatever holds its pixels."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from maunet_lite.data.checks import ImageError
from maunet_lite.data.reading.choice import Channel, Plane, Project, pick_channels, pick_planes


@dataclass(frozen=True)
class Stored:
    """What a file or an array holds, before channels and planes are chosen.

    Attributes
    ----------
    array : array-like
        Has ``shape`` and ``dtype``, and gives NumPy arrays when indexed by numbers and slices.
    axes : str
        A letter per axis: Y and X; C or S for channels; Q and I for axes that nobody has named; any other
        for planes (Z, T …).
    chunk : tuple of int, optional
        Lengths of a chunk along each axis.
    alpha : tuple of int
        Which channels are transparency.
    palette : numpy.ndarray, optional
        (N, 3) uint8: the colour that each value stands for.
    inverted : int
        Bits of a value of which 0 is white; 0 where 0 is black.
    names : tuple of str
        Of the channels; empty if they have none.
    pixel_size : float, optional
        Micrometres per pixel.
    note : str
        What a user should know if the image cannot be read as it is.
    numbered : bool
        It is a label map that the kit wrote.
    resident : int
        Bytes that it holds in memory.
    close : callable
        Closes the file.
    """

    array: Any
    axes: str
    chunk: tuple[int, ...] | None = None
    alpha: tuple[int, ...] = ()
    palette: np.ndarray | None = None
    inverted: int = 0
    names: tuple[str, ...] = ()
    pixel_size: float | None = None
    note: str = ""
    numbered: bool = False
    resident: int = 0
    close: Callable[[], None] = lambda: None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return tuple(int(self.array.shape[self.axes.index(axis)]) for axis in "YX")


class Slide(AbstractContextManager):
    """An image that is read region by region; made by `open_slide`, used in a ``with`` statement.

    Parameters
    ----------
    stored : Stored
    name : str
        The path, or "array".
    channel, plane, project
        See `read_image`.
    raw : bool
        Values as they are stored: for label maps.

    Attributes
    ----------
    shape : tuple of int
        (H, W).
    channels : int
        1 to 4; a slide of one channel gives regions without that axis.
    names : tuple of str
        Of these channels; empty if they have none.
    colours : bool
        The channels are the red, green and blue of a picture.
    dtype : numpy.dtype
        Of the regions: uint8 and uint16 as stored, float32 for any other type and for means.
    chunk : tuple of int
        Rows and columns that are stored together: regions made of whole chunks are read fastest.
    pixel_size : float or None
        Micrometres per pixel.
    resident : int
        Bytes that it holds in memory while it is open.

    Raises
    ------
    ImageError
        If the array holds no numbers, no pixels, several planes of which none is chosen, or too many
        channels.
    """

    def __init__(
        self, stored: Stored, name: str, channel: Channel = None, plane: Plane = None,
        project: Project = None, *, raw: bool = False,
    ) -> None:  # fmt: skip
        array, dtype = stored.array, np.dtype(stored.array.dtype)
        if dtype.kind not in "uifb":
            raise ImageError(f"{name}: the image has type {dtype}; expected integers or floats")
        self.name, self.resident, self.close = name, stored.resident, stored.close
        self.numbered = stored.numbered
        self.shape, self.pixel_size, self._stored, self._raw = stored.size, stored.pixel_size, stored, raw
        if 0 in array.shape:
            raise ImageError(f"{name}: the image has shape {array.shape}: it has no pixels")
        self.chunk = tuple((stored.chunk or array.shape)[stored.axes.index(axis)] for axis in "YX")
        long = [k for k, axis in enumerate(stored.axes) if axis not in "YX" and array.shape[k] > 1]
        colour = [k for k in long if stored.axes[k] in "CS"]
        stack = [k for k in long if k not in colour]
        nameless = not colour and len(stack) == 1 and stored.axes[stack[0]] in "QI"
        if nameless and channel is not None and plane is None and project is None:
            colour, stack = stack, []  # whoever asks for a channel of them says what they are
        if len(colour) > 1:
            raise ImageError(
                f"{name}: the file holds several colour pictures (axes {stored.axes}, shape {array.shape}); "
                "expected one. Save one as its own file, for example from tifffile.imread(path, key=0)"
            )
        shown = [k for k, axis in enumerate(stored.axes) if k in long or axis in "YX"]
        axes, shape = "".join(stored.axes[k] for k in shown), tuple(array.shape[k] for k in shown)
        about = f"{name}: the file holds {{}} planes (axes {axes}, shape {shape}){stored.note}"
        lengths = {k: array.shape[k] for k in stack}
        self._planes = pick_planes(lengths, stored.axes, plane, project, about, nameless)
        self._colour, self._join = (colour or [None])[0], project if len(self._planes) > 1 else None
        self._palette = None if colour or raw else stored.palette
        count = 3 if self._palette is not None else array.shape[colour[0]] if colour else 1
        there = [k for k in range(count) if not (k in stored.alpha and count > 1)]
        self.colours = len(there) == 3 and (self._palette is not None or stored.axes[colour[0]] == "S")
        names = stored.names or (("red", "green", "blue") if self.colours else ())
        if len(names) != len(there):
            names = ()
        chosen = pick_channels(channel, len(there), names, name)
        self._channels, self.channels = [there[k] for k in chosen], len(chosen)
        self.names, self.colours = tuple(names[k] for k in chosen if names), self.colours and channel is None
        kept = {"?": np.uint8, "B": np.uint8, "H": np.uint16}  # bool, uint8, uint16
        self.dtype = np.dtype(np.uint8 if self._palette is not None else kept.get(dtype.char, np.float32))
        self.dtype = np.dtype(np.float32) if self._join == "mean" else self.dtype

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
        planes = (self._plane(at, rows, columns) for at in self._planes)
        if self._join == "mean":
            region = sum(plane.astype(np.float64) for plane in planes) / len(self._planes)
        else:
            region = reduce(np.fmax, planes)  # of one plane, the plane itself
        if self._raw:
            return region
        with np.errstate(over="ignore"):  # too large for float32 means infinite, which others refuse
            return np.ascontiguousarray(region.astype(self.dtype, copy=False))

    def whole(self) -> np.ndarray:
        """Return the image, (H, W) or (H, W, C)."""
        return self.read(*(slice(0, side) for side in self.shape))

    def _plane(self, at: dict[int, int], rows: slice, columns: slice) -> np.ndarray:
        """Return a region of one plane, with its channels last, as a viewer shows it."""
        stored, first, last = self._stored, min(self._channels), max(self._channels)
        index: list[Any] = [at.get(k, 0) for k in range(len(stored.axes))]
        index[stored.axes.index("Y")], index[stored.axes.index("X")] = rows, columns
        if self._colour is not None:
            index[self._colour] = slice(first, last + 1)
        try:
            region = np.array(stored.array[tuple(index)])  # a copy: files close, and arrays stay as they are
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever they like on damaged files
            raise ImageError(
                f"{self.name}: rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop} "
                f"cannot be read: the file is damaged or truncated ({error})"
            ) from error
        left = [axis for axis, part in zip(stored.axes, index, strict=True) if isinstance(part, slice)]
        region = np.moveaxis(region, [left.index("Y"), left.index("X")], [0, 1])
        if self._palette is not None:
            region, first = self._palette[region.astype(np.intp)], 0
        elif stored.inverted and not self._raw:
            region = _inverted(region, stored.inverted)
        if region.ndim == 3:
            region = region[..., [k - first for k in self._channels]]
            region = region[..., 0] if self.channels == 1 else region
        return region.astype(np.uint8) * np.uint8(255) if region.dtype == bool and not self._raw else region

    def tiles(self, side: int = 2048) -> Iterator[tuple[slice, slice]]:
        """Go through the image in pieces of about `side`² pixels, in an order that reads each chunk once."""
        piece = tuple(max(1, round(side / n)) * n for n in self.chunk)
        if self.chunk[1] >= self.shape[1]:  # strips: whole rows
            piece = max(1, side * side // self.shape[1]), self.shape[1]
        return tiles_of(self.shape, piece)

    def __exit__(self, *error: object) -> None:
        self.close()


def _inverted(values: np.ndarray, bits: int) -> np.ndarray:
    """Turn values of which 0 is white; bits, so that the darkest and the lightest value change places."""
    if values.dtype.kind == "f":
        return -values
    return ~values if values.dtype.kind in "bi" else values ^ values.dtype.type(2**bits - 1)


def tiles_of(shape: tuple[int, int], side: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Go through an array tile by tile, row after row.

    Examples
    --------
    >>> [(rows.stop, columns.stop) for rows, columns in tiles_of((512, 600), (512, 512))]
    [(512, 512), (512, 600)]
    """
    for top, left in product(range(0, shape[0], side[0]), range(0, shape[1], side[1])):
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
