"""Every image that the kit reads is opened here, and read region by region or as a whole.

TIFF is read by tifffile, PNG by imagecodecs (Pillow cuts 16-bit colours to 8 bit), JPEG and BMP by Pillow,
Zarr by zarr: told apart by their content. Of a pyramid the largest level is read. A file that can only be
read as a whole (PNG, JPEG, BMP) is read once, if it fits.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from maunet_lite.data.amounts import parse_bytes
from maunet_lite.data.checks import ImageError, LabelError
from maunet_lite.data.reading.choice import Channel, Plane, Project, guess_axes
from maunet_lite.data.reading.slide import Slide, Stored
from maunet_lite.data.reading.tiff import is_tiff, open_tiff, refuse_too_large
from maunet_lite.data.reading.zarr import is_zarr, open_zarr

logger = logging.getLogger(__name__)


def open_slide(
    source: str | Path | np.ndarray | Slide, *, memory: str | int | None = "4GiB", channel: Channel = None,
    plane: Plane = None, project: Project = None, raw: bool = False,
) -> Slide:  # fmt: skip
    """Open an image to read it region by region.

    Parameters
    ----------
    source : path or array
        A TIFF (tiled, striped, pyramidal, OME, ImageJ), a Zarr array or OME-Zarr folder, any other image
        file, or an array (H, W) or (H, W, C): also ``np.memmap`` or anything else that gives NumPy arrays
        when sliced, such as a ``zarr.Array``. An open slide is returned as it is.
    memory : str or int, optional
        An image that can only be read as a whole may take a fourth of this.
    channel, plane, project
        See `read_image`.
    raw : bool
        Values as they are stored, of a palette its indices: for label maps.

    Returns
    -------
    Slide
        Close it after use, best by a ``with`` statement.

    Raises
    ------
    ImageError
        If the file is missing, damaged, no single image or too large to be read as a whole.
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
    name = str(source) if isinstance(source, (str, Path)) else "array"
    with naming(name):
        if name == "array":
            stored = Stored(source, guess_axes(source.shape, name))
        else:
            stored = _open(Path(source), None if memory is None else parse_bytes(memory), raw)
        try:
            slide = Slide(stored, name, channel, plane, project, raw=raw)
        except BaseException:
            stored.close()
            raise
    if channel is None and slide.channels > 1 and not (slide.colours or raw):
        names = f" ({', '.join(slide.names)})" if slide.names else ""
        text = "%s: %d channels%s, all with a signal are used; channel= (--channel) chooses"
        logger.warning(text, name, slide.channels, names)
    return slide


@contextmanager
def naming(path: str | Path, kind: type[ValueError] = ImageError) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into an error of one kind that names the file."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except (ImageError, LabelError) as error:
        raise kind(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        damaged = f"the file is damaged, truncated or of an unsupported kind ({error})"
        raise kind(f"{path}: {getattr(error, 'strerror', None) or damaged}") from error


def _open(path: Path, memory: int | None, raw: bool) -> Stored:
    """Open a file of any kind."""
    if is_zarr(path):
        return open_zarr(path)
    if path.is_dir():
        raise ImageError("this is a folder, and no Zarr; expected one file")
    if is_tiff(path):
        return open_tiff(path, memory)
    height, width = _picture_size(path)
    refuse_too_large(height * width * 3, memory)
    image, alpha = _decode(path, raw)
    return Stored(image, "YXS"[: image.ndim], alpha=alpha, resident=image.nbytes)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image from its head; no pixel is read.

    Parameters
    ----------
    path : str or Path
        A file or Zarr that `read_image` reads, whichever channels or planes it holds.

    Raises
    ------
    ImageError
        If it is no image, or a TIFF lists fewer strips or tiles than an image of this size needs.
    """
    return _head(Path(path)).size


def pixel_size(path: str | Path) -> float | None:
    """Return micrometres per pixel as the file of an image gives them, or None if it does not.

    Read are OME-TIFF and OME-Zarr, ImageJ's and Aperio's description, and the resolution of a TIFF with its
    unit; a resolution for printers (fewer than 508 dots per inch) is none. Of pixels that are no squares: the
    side of the square of the same area.

    Raises
    ------
    ImageError
        If it is no image.

    Examples
    --------
    >>> from maunet_lite.data import write_labels
    >>> path = getfixture("tmp_path") / "a_label.tiff"
    >>> write_labels(path, np.eye(3, dtype=int), pixel_size=0.325)
    >>> pixel_size(path)
    0.325
    """
    return _head(Path(path)).pixel_size


def _head(path: Path) -> Stored:
    """Open what says without its pixels what it holds; of a PNG, JPEG or BMP only the size is right."""
    with naming(path):
        if not path.is_dir() and not is_tiff(path):
            return Stored(np.broadcast_to(np.uint8(0), _picture_size(path)), "YX")
        stored = _open(path, None, raw=False)
        stored.close()
        return stored


def _picture_size(path: Path) -> tuple[int, int]:
    """Return height and width of a PNG, JPEG or BMP."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise ImageError("the file is empty")
    if not start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM")):
        kinds = f"this is no PNG, JPEG, BMP or TIFF file (it begins with {start!r})"
        raise ImageError(f"{kinds}. Export the image as TIFF or PNG")
    with _picture(path) as picture:
        return picture.height, picture.width


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture with Pillow, however large: what fits into memory is no attack here."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as picture:
            yield picture
    except UnidentifiedImageError as error:  # whose text holds the path
        raise ImageError("the file is damaged or truncated") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _decode(path: Path, raw: bool) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the pixels of a PNG, JPEG or BMP, (H, W) or (H, W, C), and which channels are alpha."""
    with _picture(path) as picture:
        if raw and picture.format == "JPEG":
            raise LabelError("this is a JPEG, whose compression changes ids; expected TIFF or PNG")
        coded = picture.mode == "CMYK" or (picture.mode == "P" and not raw)
        if picture.format == "PNG" and not raw:
            picture.verify()  # the decoder leaks memory on damaged files
            image = imagecodecs.png_decode(path.read_bytes())
        else:
            image = np.array(picture.convert("RGB") if coded else picture)
    return image, (image.shape[2] - 1,) if image.ndim == 3 and image.shape[2] in (2, 4) else ()
