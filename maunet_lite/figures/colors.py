"""Colours that hold on a projector, on paper and for colour-blind readers; used by `plots`.

Named colours are from the set of Okabe and Ito (2008), made to be told apart with any kind of colour vision.
"""

import numpy as np

# semantic classes by number, and the proxy
CLASS_NAMES = ("background", "interior", "boundary", "proxy")
CLASS_COLORS = ("#1B1B1F", "#56B4E9", "#E69F00", "#CC79A7")

# kinds of errors; of the eight colours these four are the farthest apart for colour-blind eyes
ERROR_COLORS = {"missed": "#D55E00", "split": "#56B4E9", "merged": "#F0E442", "invented": "#0072B2"}

# lines and dots in diagrams, in this order
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")

# cells: light enough for a black background
CELL_COLORS = (
    "#E69F00", "#56B4E9", "#2FD39C", "#F0E442", "#7C8CFF", "#FF6F4E",
    "#E58FC2", "#A9DB4F", "#B68CFF", "#7FE3DC", "#FFC99A", "#FF8FA3",
)  # fmt: skip


def rgb(color: str) -> np.ndarray:
    """Convert ``"#RRGGBB"`` to (3,) float32 in [0, 1].

    Examples
    --------
    >>> rgb("#FF8000").round(2).tolist()
    [1.0, 0.5, 0.0]
    """
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(color), dtype=np.float32)


def random_colors(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Paint every cell in a random light colour, neighbours in different ones, the background black.

    Parameters
    ----------
    labels : (H, W) integer array
        Label map, 0 is background; any ids.
    seed : int, default 0
        Another seed gives other colours.

    Returns
    -------
    (H, W, 3) uint8

    Examples
    --------
    >>> painted = random_colors(np.array([[0, 5, 5, 9]]))
    >>> painted[0, 0].tolist(), bool((painted[0, 1] == painted[0, 2]).all())
    ([0, 0, 0], True)
    >>> bool((painted[0, 2] == painted[0, 3]).all())
    False
    """
    ids, cells = np.unique(labels, return_inverse=True)
    cells = cells.reshape(np.shape(labels))
    neighbours = _neighbours(np.where(ids[cells] > 0, cells, -1))
    rng = np.random.default_rng(seed)
    colors = rng.integers(len(CELL_COLORS), size=ids.size)
    for _ in range(50):  # draw again for one of two neighbours that are alike
        alike = np.unique(neighbours[colors[neighbours[:, 0]] == colors[neighbours[:, 1]], 1])
        if not alike.size:
            break
        colors[alike] = rng.integers(len(CELL_COLORS), size=alike.size)
    table = np.array([np.round(255 * rgb(color)) for color in CELL_COLORS], dtype=np.uint8)[colors]
    table[ids <= 0] = 0
    return table[cells]


def outlines(labels: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Mark the pixels of cells that lie within `thickness` pixels of another cell or of the background.

    Returns
    -------
    (H, W) bool
        The outlines lie inside the cells; the edge of the image makes no outline.

    Examples
    --------
    >>> outlines(np.array([[0, 1, 1, 1, 2, 2]])).astype(int)
    array([[0, 1, 0, 1, 1, 0]])
    """
    from scipy.ndimage import maximum_filter
    from skimage.segmentation import find_boundaries

    labels = np.asarray(labels)
    edges = find_boundaries(labels, connectivity=1, mode="inner")
    return maximum_filter(edges, size=2 * thickness - 1) & (labels > 0)


def to_display(image: np.ndarray) -> np.ndarray:
    """Turn any image into RGB for the screen; unlike ``preprocessing.normalize`` it keeps the colours.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Grey, colour, 8 or 16 bit, float or bool. Two channels become red and green, a fourth is dropped.

    Returns
    -------
    (H, W, 3) float32 in [0, 1]
        8-bit colour as it is; anything else stretched from its 0.5th to its 99.8th percentile, all channels
        alike. NaN and a constant image become black.

    Examples
    --------
    >>> to_display(np.array([[0, 1000, 2000]], dtype=np.uint16))[0, :, 0].round(1)
    array([0. , 0.5, 1. ], dtype=float32)
    """
    from skimage.exposure import rescale_intensity

    image = np.asarray(image)
    planes = image[..., None] if image.ndim == 2 else image[..., :3]
    if image.dtype == np.uint8 and planes.shape[2] == 3:
        return planes.astype(np.float32) / 255
    planes = np.nan_to_num(planes.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(planes, (0.5, 99.8)).astype(np.float32)
    planes = rescale_intensity(planes - low, (0, high - low), (0, 1))  # 0 if constant
    if planes.shape[2] == 2:
        planes = np.concatenate([planes, np.zeros_like(planes[..., :1])], axis=2)
    return np.broadcast_to(planes, (*planes.shape[:2], 3)).copy()


def blend(base: np.ndarray, mask: np.ndarray, color: np.ndarray | str, alpha: float) -> None:
    """Mix a colour, or an (H, W, 3) picture in [0, 1], into the masked pixels of `base`, in place."""
    paint = rgb(color) if isinstance(color, str) else color[mask]
    base[mask] = (1 - alpha) * base[mask] + alpha * paint


def paint_cells(
    base: np.ndarray, labels: np.ndarray, fill: float = 0.25, line: int = 1, shade: float = 1
) -> None:
    """Draw the outlines of cells, and a breath of their colour, over a picture, in place.

    Parameters
    ----------
    base : (H, W, 3) float32 in [0, 1]
        Such as `to_display` returns.
    labels : (H, W) integer array
    fill : float in [0, 1], default 0.25
        Strength of the colour inside the cells; 0 draws outlines only.
    line : int, default 1
        Thickness of the outlines in pixels.
    shade : float, default 1
        Below 1 the colours are darker, to be seen on a light picture.

    Examples
    --------
    >>> base = np.zeros((1, 4, 3), np.float32)
    >>> paint_cells(base, np.array([[0, 1, 1, 1]]), fill=0)
    >>> base.any(axis=2)
    array([[False,  True, False, False]])
    """
    paint = random_colors(labels) / np.float32(255) * np.float32(shade)
    blend(base, labels > 0, paint, fill)
    blend(base, outlines(labels, line), paint, 1.0)


def _neighbours(cells: np.ndarray, reach: int = 3) -> np.ndarray:
    """Pairs of cells up to `reach` pixels apart along rows and columns, (K, 2); -1 is background."""
    n_cells, pairs = cells.max() + 1, []
    for turned in (cells, cells.T):
        for step in range(1, reach + 1):
            one, other = turned[step:], turned[:-step]
            touch = (one != other) & (one >= 0) & (other >= 0)
            one, other = one[touch], other[touch]
            pairs.append(np.minimum(one, other) * n_cells + np.maximum(one, other))  # a number for each pair
    return np.stack(np.divmod(np.unique(np.concatenate(pairs)), n_cells), axis=1)
