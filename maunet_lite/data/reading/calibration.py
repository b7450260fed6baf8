"""What a file says about its pixels: how large they are, and what its channels are called."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage

# micrometres per unit, as programs write it
_UNITS = {
    "µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "å": 1e-4, "angstrom": 1e-4, "mm": 1e3,
    "millimeter": 1e3, "millimetre": 1e3, "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4, "m": 1e6,
    "meter": 1e6, "metre": 1e6, "inch": 25_400.0, "in": 25_400.0,
}  # fmt: skip
_PRINT = 50  # µm: an "inch" of fewer pixels than that is meant for printers and screens (72, 300 dpi)


def validate_pixel_size(pixel_size: float) -> float:
    """Return micrometres per pixel if they are a positive number, or raise ValueError."""
    if not 0 < pixel_size < float("inf"):
        raise ValueError(f"pixel_size is {pixel_size}; expected micrometres per pixel, such as 0.325")
    return float(pixel_size)


def micrometres(sizes: Sequence[float | str | None], units: Sequence[str | None]) -> float | None:
    """Return the side of a square pixel of the same area, or None if the sizes mean nothing.

    Examples
    --------
    >>> micrometres([325, 0.325], ["nm", "micron"]), micrometres([1, 1], ["pixel", "pixel"])
    (0.325, None)
    """
    try:
        sides = [float(size) * _UNITS[_plain(unit)] for size, unit in zip(sizes, units, strict=True)]
    except (KeyError, TypeError, ValueError):  # another unit, nothing, or no number
        return None
    area = math.prod(sides)
    return float(f"{math.sqrt(area):.10g}") if min(sides) > 0 and 0 < area < math.inf else None


def _plain(unit: str | None) -> str:
    """Return a unit with one letter for micro: ImageJ writes an escape, and Unicode has two."""
    return (unit or "").strip().lower().replace("\\u00b5", "µ").replace("μ", "µ")


def tiff_pixel_size(file: TiffFile, page: TiffPage) -> float | None:
    """Return micrometres per pixel from OME-XML, ImageJ's or Aperio's description, or the resolution tags."""
    pixels = _pixels(file)
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "XY"]
    found = micrometres(sizes, [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"])
    if file.is_svs and (mpp := re.search(r"\bMPP *= *([\d.]+)", page.description)):
        found = micrometres([mpp[1]] * 2, ["µm"] * 2)
    if found is not None:
        return found
    lengths = (page.tags.valueof(tag, (0, 1)) for tag in (282, 283))  # fractions of pixels per unit
    x, y = (below / above if above and below else None for above, below in lengths)
    unit = _plain((file.imagej_metadata or {}).get("unit")) if file.is_imagej else ""
    if unit not in _UNITS:
        unit = {2: "inch", 3: "cm", 4: "mm", 5: "µm"}.get(page.tags.valueof(296))
    found = micrometres([x, y], [unit] * 2)
    return None if found is None or (unit in ("inch", "in") and found > _PRINT) else found


def _pixels(file: TiffFile) -> ElementTree.Element:
    """Return the first element Pixels in the OME-XML of a file; an empty one if there is none."""
    nothing = ElementTree.Element("Pixels")
    try:
        found = ElementTree.fromstring(file.ome_metadata or "<OME/>").find(".//{*}Pixels")
    except ElementTree.ParseError:
        return nothing
    return nothing if found is None else found


def channel_names(file: TiffFile) -> tuple[str, ...]:
    """Return the names of the channels in the OME-XML of a file; empty if one has none."""
    names = tuple(channel.get("Name", "") for channel in _pixels(file).findall("{*}Channel"))
    return names if all(names) else ()


def zarr_pixel_size(image: Mapping[str, Any]) -> float | None:
    """Return micrometres per pixel of the largest level of an OME-Zarr image, from its ``multiscales``."""
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes") or ()]
    scale = [1.0] * len(axes)
    for one in (image["datasets"][0], image):
        for step in one.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(scale):
                scale = [a * b for a, b in zip(scale, step["scale"], strict=True)]
    space = {axis["name"].lower(): (size, axis.get("unit")) for axis, size in zip(axes, scale, strict=True)}
    return micrometres(*zip(*(space.get(name, (None, None)) for name in "xy"), strict=True))
