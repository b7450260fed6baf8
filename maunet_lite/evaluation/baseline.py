"""The classical way, as a yardstick: Otsu's threshold, then a watershed on the distance to the background.

It knows nothing of cells but that they differ from the background in brightness and are roundish. A network
is worth its training only as far as it does better.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from maunet_lite.postprocessing import label_components, number_in_reading_order
from maunet_lite.preprocessing import normalize


class OtsuCells(NamedTuple):
    """Result of :func:`otsu_watershed`: cells, and the pieces of the foreground before the watershed."""

    labels: np.ndarray  # (H, W) int32
    pieces: np.ndarray  # (H, W) int32


def otsu_watershed(image: np.ndarray, blur: float = 1.0, min_size: int = 20) -> OtsuCells:
    """Segment an image without any learning.

    1. Brightness is the mean of the channels, a little blurred; Otsu's threshold parts bright from dark.
    2. Cells are the smaller part: bright in fluorescence, dark in stained tissue. Holes are filled,
       specks removed.
    3. Each peak of the distance to the background is the centre of a cell, if no higher one lies within the
       radius of a typical piece; a watershed parts touching cells along the valleys between the peaks.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Anything `preprocessing.normalize` takes.
    blur : float, default 1.0
        Sigma of the Gaussian blur in pixels.
    min_size : int, default 20
        Smaller pieces, in pixels, are specks.

    Returns
    -------
    OtsuCells
        Both empty for a constant image.

    Examples
    --------
    >>> image = np.zeros((40, 60), dtype=np.uint8)
    >>> image[5:15, 5:15] = image[20:35, 30:45] = 200
    >>> int(otsu_watershed(image).labels.max())
    2
    """
    grey = normalize(image).mean(axis=2)
    grey = cv2.GaussianBlur(grey, (0, 0), blur, borderType=cv2.BORDER_REFLECT)
    if np.ptp(grey) < 1e-6:
        return OtsuCells(*np.zeros((2, *grey.shape), dtype=np.int32))
    mask = grey > threshold_otsu(grey)
    if np.count_nonzero(mask) > mask.size / 2:
        mask = ~mask
    outside = cv2.connectedComponents((~np.pad(mask, 1)).astype(np.uint8), connectivity=4)[1]
    filled = (outside != outside[0, 0])[1:-1, 1:-1]
    pieces = number_in_reading_order(label_components(filled)[0], min_size, mean_area=1)  # without specks
    depth = cv2.distanceTransform((pieces > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = cv2.GaussianBlur(depth, (0, 0), 1.0)
    deepest = ndimage.maximum(depth, pieces, np.arange(1, pieces.max() + 1))  # of each piece
    radius = max(2, int(np.median(deepest))) if deepest.size else 2
    peaks = peak_local_max(depth, min_distance=radius, labels=pieces, exclude_border=False)
    markers = np.zeros(pieces.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return OtsuCells(watershed(-depth, markers, mask=pieces > 0).astype(np.int32), pieces)
