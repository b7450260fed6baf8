"""The scaling of an image that is seen piece by piece: the same as that of the whole, or there were seams."""

import numpy as np
from tqdm.auto import tqdm

from maunet_lite.data import ImageError, Slide
from maunet_lite.preprocessing import Scaling, find_scaling, sample_of


def slide_scaling(slide: Slide, method: str = "robust", progress: bool = False) -> Scaling:
    """Find the scaling of a slide, as `preprocessing.normalize` finds it in an array, in one pass over it.

    Parameters
    ----------
    slide : Slide
    method : {"robust", "authors", "paper"}
        See `preprocessing.normalize`.
    progress : bool
        Show a progress bar over pieces of the slide.

    Raises
    ------
    ImageError
        If a value is infinite, or the file is damaged.

    Examples
    --------
    >>> from maunet_lite.data import open_slide
    >>> slide_scaling(open_slide(np.array([[0, 10, 20, 30]], dtype=np.uint8))).limits[0]
    (10.2, 29.8)
    """
    step, extremes = sample_of(slide.shape)[0].step, []
    sample = np.empty((*(-(-side // step) for side in slide.shape), slide.channels), slide.dtype)
    for place in tqdm(list(slide.tiles()), "intensities", unit="tile", disable=not progress, leave=False):
        piece = np.atleast_3d(slide.read(*place))
        if piece.dtype.kind == "f" and np.isinf(piece).any():
            found = f"{slide.name}: the image holds values infinite or beyond the range of float32"
            raise ImageError(f"{found}; expected finite numbers or NaN (black)")
        if method == "paper":
            piece = np.nan_to_num(piece)
            extremes += [piece.min(axis=(0, 1)), piece.max(axis=(0, 1))]
        into = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in place)
        sample[into] = piece[tuple(slice(-part.start % step, None, step) for part in place)]
    return find_scaling(np.array(extremes)[None] if method == "paper" else sample, method)
