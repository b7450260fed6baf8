"""Read and write images and label maps, which are told apart by their content.

TIFF is read by tifffile, PNG by imagecodecs (Pillow cuts 16-bit colours to 8 bit), JPEG and BMP by Pillow.
What an image and a label map may be stands in `checks`.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from maunet_lite.data.checks import (
    ImageError,
    LabelError,
    validate_image,
    validate_labels,
)

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_PICK_ONE = "expected one. Pick one, for example tifffile.imread(path, key=0), and save it as its own file"
_TIFF = {"compression": "zlib", "metadata": None}


def read_image(path: str | Path) -> np.ndarray:
    """Read an image from a PNG, JPEG, BMP or TIFF file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file: grey, RGB, palette or bilevel, 8 or 16 bit, as TIFF also floats and any 1 to 4 channels.

    Returns
    -------
    numpy.ndarray
        (H, W) or (H, W, C), uint8 or uint16 as stored; bilevel becomes 0 and 255, a palette RGB, any other
        type float32. Alpha is dropped. Pixels stay where they are stored (a camera's EXIF rotation is not
        applied), so that label maps fit. A channel-first TIFF is turned, and the log says so.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated or of another kind, holds several pages, or is no image that
        :func:`validate_image` accepts. The message begins with the path.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "grey.png"
    >>> write_image(path, np.array([[0, 1, 2], [3, 4, 65_535]], dtype=np.uint16))
    >>> read_image(path)
    array([[    0,     1,     2],
           [    3,     4, 65535]], dtype=uint16)
    """
    with _naming(path, ImageError):
        image = _decode(Path(path))
        if image.dtype.kind == "b":
            return image.astype(np.uint8) * 255
        if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind in "iuf":
            with np.errstate(over="ignore"):  # too large for float32 means infinite, which is refused below
                image = image.astype(np.float32, copy=False)
        return np.ascontiguousarray(validate_image(image))


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label map from a TIFF, PNG or BMP file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. In a palette image the indices are the labels.

    Returns
    -------
    numpy.ndarray
        (H, W) int32, checked by :func:`validate_labels`.

    Raises
    ------
    LabelError
        If the file cannot be read, is a JPEG (which blurs ids) or holds no label map. The message begins with
        the path.
    """
    with _naming(path, LabelError):
        return validate_labels(_decode(Path(path), labels=True))


@contextmanager
def _naming(path: str | Path, kind: type[ValueError]) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into an error of one kind that names the file."""
    try:
        yield
    except (ImageError, LabelError) as error:
        raise kind(f"{path}: {error}") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        damaged = f"the file is damaged, truncated or of an unsupported kind ({error})"
        raise kind(f"{path}: {getattr(error, 'strerror', None) or damaged}") from error


def _decode(path: Path, labels: bool = False) -> np.ndarray:
    if path.is_dir():
        raise ImageError("this is a folder; expected one file")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_tiff(path, labels)
    if not start:
        raise ImageError("the file is empty")
    png, jpeg = start[:4] == b"\x89PNG", start[:3] == b"\xff\xd8\xff"
    if not (png or jpeg or start[:2] == b"BM"):
        kinds = f"this is no PNG, JPEG, BMP or TIFF file (it begins with {start!r})"
        raise ImageError(f"{kinds}. Export the image as TIFF or PNG")
    if jpeg and labels:
        raise LabelError("this is a JPEG, whose compression changes ids; expected a label map as TIFF or PNG")
    if png and not labels:
        return _without_alpha(imagecodecs.png_decode(path.read_bytes()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Image size")  # more than 89 megapixels is no attack here
        with Image.open(path) as picture:
            coded = picture.mode == "CMYK" or (picture.mode == "P" and not labels)
            image = np.array(picture.convert("RGB") if coded else picture)
    return image if labels else _without_alpha(image)


def _without_alpha(image: np.ndarray, alpha: int | None = None) -> np.ndarray:
    """Drop the last `alpha` channels, by default one of 2 or 4; a single channel left loses its axis."""
    if image.ndim == 2:
        return image
    channels = image.shape[2] - (image.shape[2] in (2, 4) if alpha is None else alpha)
    return image[..., 0] if channels == 1 else image[..., :channels]


def _decode_tiff(path: Path, labels: bool) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        if len(file.series) != 1:
            raise ImageError(f"the file holds {len(file.series)} images; {_PICK_ONE}")
        series = file.series[0]
        page, (shape, channels_first) = series.keyframe, _layout(series)
        colours, palette = page.photometric.name, page.colormap
        if colours not in ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE", "YCBCR"):
            raise ImageError(f"colours are stored as {colours}; expected grey, RGB or a palette")
        ends = [np.add(page.dataoffsets, page.databytecounts).max() for page in series.pages if page]
        if max(ends) > file.filehandle.size:  # the JPEG decoder would fill up the missing part in silence
            raise ImageError("the file is truncated")
        image = series.asarray().reshape(shape)
    if channels_first:
        logger.warning("%s: channels come first, shape %s; read as (H, W, C)", path, image.shape)
        image = np.moveaxis(image, 0, -1)
    if labels:
        return image
    if colours == "PALETTE":
        # some programs store 8 bit where the format asks for 16
        return (palette.T[image] >> (8 if palette.max() > 255 else 0)).astype(np.uint8)
    return _without_alpha(image, sum(kind in (1, 2) for kind in page.extrasamples))


def _layout(series: tifffile.TiffPageSeries) -> tuple[list[int], bool]:
    """Return the shape without needless axes, and whether channels come first; refuse several images."""
    long = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in long), [n for _, n in long]
    if axes == "QYX" and series.kind == "shaped":  # one array with nameless axes: only their lengths tell
        axes = "CYX" if shape[0] <= 4 < shape[2] else "YXC" if shape[2] <= 4 else axes
    if axes not in ("YX", "YXS", "YXC", "SYX", "CYX"):
        raise ImageError(
            f"the file holds several pages (axes {series.axes}, shape {series.shape}); {_PICK_ONE}"
        )
    return shape, axes in ("SYX", "CYX")
