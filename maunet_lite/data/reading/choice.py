"""Which channels and which plane of a file are the image, counted from 1 as Fiji and QuPath count."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from maunet_lite.data.checks import ImageError

Channel = int | str | Sequence[int | str] | None
Plane = int | str | None
Project = Literal["max", "mean"] | None
MOST_CHANNELS = 4


def pick_channels(channel: Channel, count: int, names: Sequence[str], file: str) -> list[int]:
    """Return the positions, from 0, of the channels that are asked for; of all if none is.

    Parameters
    ----------
    channel : int, str or sequence of them, optional
        Numbers from 1, or names, whose case does not count. Several in one text are joined by commas, plus
        signs or semicolons.
    count : int
        How many there are.
    names : sequence of str
        Of all channels, or empty.
    file : str
        For messages.

    Raises
    ------
    ImageError
        If there is no such channel, or they are more than four.

    Examples
    --------
    >>> pick_channels("dapi, 3", 3, ["GFP", "DAPI", "Cy5"], "a.tif")
    [1, 2]
    """
    known = [name.strip().casefold() for name in names]
    if channel is None:
        wanted: Sequence[int | str] = range(1, count + 1)
    elif isinstance(channel, str) and channel.strip().casefold() not in known:
        wanted = re.split(r"[,;+]", channel)  # a name may hold such a sign itself
    else:
        wanted = [channel] if isinstance(channel, (int, np.integer, str)) else channel
    there = f"1 to {count}" + (f" ({', '.join(names)})" if names else "")
    found = []
    for one in wanted:
        text = str(one).strip()
        number = known.index(text.casefold()) + 1 if text.casefold() in known else _number(text)
        if not 1 <= number <= count:
            raise ImageError(f"{file}: there is no channel {text!r}; channels are counted from 1: {there}")
        found.append(number - 1)
    if not 1 <= len(found) <= MOST_CHANNELS:
        raise ImageError(
            f"{file}: the image has {len(found)} channels; expected 1 to {MOST_CHANNELS}. Choose some of "
            f"{there} with channel= (--channel), such as 1 or 1,3; in a dataset by a column of metadata.csv"
        )
    return found


def pick_planes(
    lengths: dict[int, int], axes: str, plane: Plane, project: Project, about: str, nameless: bool
) -> list[dict[int, int]]:
    """Return where along its axes each plane lies that belongs to the image; several are to be joined.

    Parameters
    ----------
    lengths : dict of int to int
        Position and length of each axis of planes.
    axes : str
        Letters of all axes.
    plane, project
        See `read_image`.
    about : str
        Beginning of messages, with a place for the number of planes.
    nameless : bool
        The planes might as well be channels.

    Raises
    ------
    ImageError
        If there are several and none is chosen, or the choice is none of them.
    """
    if project not in (None, "max", "mean"):
        raise ImageError(f"project is {project!r}; expected 'max' or 'mean'")
    depth = next((k for k in lengths if axes[k] == "Z"), next(iter(lengths), None)) if project else None
    others = {k: n for k, n in lengths.items() if k != depth}
    count = math.prod(others.values())
    number = 1 if count == 1 and plane is None else _number(str(plane))
    if not 1 <= number <= count:
        advice = (
            "and one image is expected. Choose one with plane=1 (--plane), or join them with project='max' "
            f"or 'mean' (--project){'; if they are channels, with channel=1 (--channel)' * nameless}; in a "
            "dataset by columns of metadata.csv. Or save tifffile.imread(path, key=0) as a file of its own"
        )
        if plane is not None:
            advice = f"and there is no plane {plane!r}: planes are counted from 1 to {count}"
        raise ImageError(f"{about.format(math.prod(lengths.values()))}, {advice}")
    place = dict(zip(others, map(int, np.unravel_index(number - 1, tuple(others.values()))), strict=True))
    return [place | {depth: k} for k in range(lengths[depth])] if depth is not None else [place]


def _number(text: str) -> int:
    """Return the whole number that a text is (2.0 of a spreadsheet, too), or 0, which counts nothing."""
    return int(float(text)) if re.fullmatch(r"\s*\d+(\.0*)?\s*", text) else 0


def guess_axes(shape: tuple[int, ...], name: str) -> str:
    """Return the letters of the axes of an array without names; a last axis of 4 at most is channels."""
    if len(shape) < 2:
        raise ImageError(f"{name}: the image has shape {tuple(shape)}; expected (H, W) or (H, W, C)")
    if len(shape) == 5:
        return "TCZYX"  # as early OME-Zarr
    inner = "YXS" if len(shape) > 2 and shape[-1] <= MOST_CHANNELS else "YX"
    return "Q" * (len(shape) - len(inner)) + inner
