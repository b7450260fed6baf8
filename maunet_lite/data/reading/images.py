"""Read whole images and label maps."""

from pathlib import Path

import numpy as np

from maunet_lite.data.checks import LabelError, validate_image, validate_labels
from maunet_lite.data.reading.choice import Channel, Plane, Project
from maunet_lite.data.reading.open import naming, open_slide

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def read_image(
    path: str | Path | np.ndarray, *, channel: Channel = None, plane: Plane = None, project: Project = None
) -> np.ndarray:
    """Read an image from a PNG, JPEG, BMP or TIFF file or a Zarr.

    Parameters
    ----------
    path : str or pathlib.Path
        The file: grey, RGB, palette or bilevel, 8 or 16 bit, as TIFF also floats and any channels. An array
        may stand here, too, to choose of it.
    channel : int, str or sequence of them, optional
        Which channels, by their number from 1 (as Fiji and QuPath count) or by the name that an OME-TIFF or
        OME-Zarr gives them; ``"red"``, ``"green"`` or ``"blue"`` of a picture. Several, such as ``[1, 3]`` or
        ``"DAPI,GFP"``, become the channels of the image in this order. By default all, and a line in the log
        says so where they are no colours of a picture; more than four must be chosen from.
    plane : int, optional
        Which plane of a stack, from 1 in the order of the file. With `project` those planes are counted that
        are left: of z planes at several times, the times.
    project : {"max", "mean"}, optional
        Join the z planes of a stack (or whatever planes it has) by their largest value or their mean.

    Returns
    -------
    numpy.ndarray
        (H, W) or (H, W, C), uint8 or uint16 as stored; bilevel becomes 0 and 255, a palette RGB, any other
        type and a mean float32. It looks as in a viewer: where 0 is stored for white, it is turned. What
        the file calls alpha is dropped, and no other channel. Pixels stay where they are stored (a camera's
        EXIF rotation is not applied), so that label maps fit.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated or of another kind, holds several planes of which none is
        chosen, or is no image that :func:`validate_image` accepts. The message begins with the path.

    Examples
    --------
    >>> from maunet_lite.data import write_image
    >>> path = getfixture("tmp_path") / "grey.png"
    >>> write_image(path, np.array([[0, 1, 2], [3, 4, 65_535]], dtype=np.uint16))
    >>> read_image(path)
    array([[    0,     1,     2],
           [    3,     4, 65535]], dtype=uint16)
    """
    options = {"channel": channel, "plane": plane, "project": project}
    with open_slide(path, memory=None, **options) as slide, naming(slide.name):
        return validate_image(slide.whole())


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label map from a TIFF, PNG or BMP file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. In a palette image the indices are the labels.

    Returns
    -------
    numpy.ndarray
        (H, W) int32, checked by :func:`validate_labels`. What looks like a mask of foreground is refused,
        except in a TIFF that the kit wrote: there it is a cell in several pieces.

    Raises
    ------
    LabelError
        If the file cannot be read, is a JPEG (which blurs ids) or holds no label map. The message begins with
        the path.
    """
    with naming(path, LabelError), open_slide(path, memory=None, raw=True) as slide:
        return validate_labels(slide.whole(), masks=slide.numbered)
