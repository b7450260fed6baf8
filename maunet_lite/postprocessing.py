"""From the network's maps to cells (paper, section 2.3).

:func:`segment` runs the paper's four steps. Each is a function of its own that can be called, drawn and tuned
alone: :func:`threshold_maps`, :func:`mark_skeletons` (after :func:`blur_distance`), :func:`mark_peaks` and
:func:`grow_cells`. Every number they use stands in :class:`PostprocessConfig`.

What holds for all results: labels are 1 … N in reading order, each label is one 8-connected piece, and
whatever lies beyond the image's edge counts as background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np

from maunet_lite.maps import Maps, check_maps, interior_distance
from maunet_lite.run_lengths import Runs, label_components, number_in_reading_order
from maunet_lite.watershed import flood

__all__ = [
    "Cells",
    "Maps",
    "Masks",
    "Peaks",
    "PostprocessConfig",
    "Segmentation",
    "Skeletons",
    "blur_distance",
    "connected_interiors",
    "grow_cells",
    "interior_distance",
    "make_relief",
    "mark_peaks",
    "mark_skeletons",
    "mean_cell_width",
    "segment",
    "threshold_maps",
]

Step = TypeVar("Step", bound=tuple)


class Segmentation(NamedTuple):
    """Cells, and how they came about.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, 0 background, cells 1 … N.
    steps : dict of str to numpy.ndarray
        The result of every step, all (H, W), in this order: ``foreground`` and ``interior`` (bool),
        ``blurred_distance`` (float32), ``skeleton_markers``, ``P1``, ``peak_markers``, ``P2``,
        ``union_markers``, ``P3`` and ``final`` (int32). The names are the paper's, figure 4.
    """

    labels: np.ndarray
    steps: dict[str, np.ndarray]


@dataclass(frozen=True)
class PostprocessConfig:
    """Every number of the post-processing. "Width" is the square root of the mean area of the interiors.

    Parameters
    ----------
    refine : bool
        False skips all steps: cells are the :func:`connected_interiors`, the paper's F1_ori.
    foreground : float
        Step 1: foreground is where the background's probability is below this.
    interior : float
        Step 1: interior is where its probability is above this.
    min_interior : int
        Step 1: pieces of the interior with fewer pixels are noise.
    blur : float
        Step 2: side of the Gaussian window in widths; its sigma is 0.15 sides + 0.35 pixels (OpenCV's rule).
    skeleton : float
        Step 2: the skeletons of the cells are where the blurred distance is above this.
    skeleton_relative : bool
        Step 2: `skeleton` is a fraction of the largest blurred distance in the image.
    peak_distance : float
        Step 3: of two peaks that are at most this many widths apart, along rows and along columns, one stays.
    peak_height : float
        Step 3: a peak is above this fraction of the largest blurred distance in the image.
    keep_unmarked : bool
        Step 3: a piece of the interior with neither skeleton nor peak becomes a cell all the same.
    min_size : float
        Step 4: cells smaller than this fraction of the mean cell are removed.
    relief : {"distance", "flat"}
        Steps 2 to 4: what the watersheds flood. The blurred distance, upside down: touching cells are parted
        along its valleys. Or a plain: they are parted half-way between their markers.

    Examples
    --------
    >>> PostprocessConfig.named("authors").skeleton
    0.85
    """

    refine: bool = True
    foreground: float = 0.3  # paper, step 1; authors too
    interior: float = 0.7  # paper, step 1; authors too
    min_interior: int = 4  # ours; authors 16, which loses small cells; the paper has none
    blur: float = 1.0  # authors; the paper says "adaptively"
    skeleton: float = 0.8  # paper, step 2; authors 0.85
    skeleton_relative: bool = False  # paper; authors True
    peak_distance: float = 0.25  # authors; the paper has no number
    peak_height: float = 0.6  # authors; the paper has no number
    keep_unmarked: bool = True  # ours; paper and authors False
    min_size: float = 0.1  # authors; the paper has no number
    relief: str = "distance"  # ours; paper and authors flat

    def __post_init__(self) -> None:
        for name in ("foreground", "interior", "peak_height", "min_size"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must lie between 0 and 1")
        for name in ("min_interior", "blur", "skeleton", "peak_distance"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be 0 or a positive number")
        if self.relief not in ("distance", "flat"):
            raise ValueError(f'relief is {self.relief!r}; use "distance" or "flat"')

    @classmethod
    def named(cls, name: str) -> PostprocessConfig:
        """Return the settings called "default", "paper", "authors" or "none" (no post-processing: F1_ori)."""
        plain = {"keep_unmarked": False, "relief": "flat"}
        settings: dict[str, dict[str, Any]] = {
            "default": {},
            "paper": {**plain, "min_interior": 0},
            "authors": {**plain, "min_interior": 16, "skeleton": 0.85, "skeleton_relative": True},
            "none": {"refine": False},
        }
        if name not in settings:
            raise ValueError(f"post-processing is {name!r}; choose one of {', '.join(settings)}")
        return cls(**settings[name])


class Masks(NamedTuple):
    """Result of step 1, both (H, W) bool: the paper's M_fo and M_in."""

    foreground: np.ndarray
    interior: np.ndarray


class Skeletons(NamedTuple):
    """Result of step 2, both (H, W) int32: markers, and the cells that were flooded from them."""

    skeleton_markers: np.ndarray
    P1: np.ndarray


class Peaks(NamedTuple):
    """Result of step 3, both (H, W) int32: markers, and the cells that were flooded from them."""

    peak_markers: np.ndarray
    P2: np.ndarray


class Cells(NamedTuple):
    """Result of step 4, all (H, W) int32: markers, cells flooded from them, cells that are large enough."""

    union_markers: np.ndarray
    P3: np.ndarray
    final: np.ndarray


def segment(
    maps: Maps, config: PostprocessConfig | str | None = None, *, keep_steps: bool = True
) -> Segmentation:
    """Turn the network's maps into cells: all four steps of paper section 2.3.

    Parameters
    ----------
    maps : Maps
        Probabilities and distance field. A pixel that is NaN in any of them counts as background. Without a
        distance field (None), :func:`interior_distance` takes its place.
    config : PostprocessConfig or str, optional
        Settings, or their name (see :meth:`PostprocessConfig.named`). The default is ``"default"``.
    keep_steps : bool
        False drops the intermediate arrays as soon as they are used, which saves memory on large images.

    Returns
    -------
    Segmentation
        ``labels`` and ``steps``. Maps without cells give an empty label map. ``steps`` is empty if they are
        not kept, and holds only ``final`` if the settings skip the steps.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there is no pixel, the probabilities are no probabilities
        (logits, for example), or there are no settings of that name.

    Examples
    --------
    >>> interior = np.zeros((3, 9), dtype=np.float32)
    >>> interior[:, 1:3] = interior[:, 5:8] = 1
    >>> segment(Maps(np.stack([1 - interior, interior]), interior)).labels
    array([[0, 1, 1, 0, 0, 2, 2, 2, 0],
           [0, 1, 1, 0, 0, 2, 2, 2, 0],
           [0, 1, 1, 0, 0, 2, 2, 2, 0]], dtype=int32)
    """
    if not isinstance(config, PostprocessConfig):
        config = PostprocessConfig.named("default" if config is None else config)
    maps = check_maps(maps)
    steps: dict[str, np.ndarray] = {}

    def kept(step: Step) -> Step:
        if keep_steps:
            steps.update(step._asdict())
        return step

    if not config.refine:
        labels = _connected_interiors(maps)
        return Segmentation(labels, {"final": labels} if keep_steps else {})
    foreground, interior = kept(threshold_maps(maps, config))
    pieces, _ = label_components(interior)
    width = mean_cell_width(pieces)
    distance = interior_distance(pieces) if maps.distance is None else maps.distance
    blurred = blur_distance(distance, width, config)
    del interior, distance
    relief = make_relief(blurred, config)
    if keep_steps:
        steps["blurred_distance"] = blurred
    p1 = kept(mark_skeletons(blurred, pieces, relief, config)).P1
    p2 = kept(mark_peaks(blurred, pieces, p1, relief, width, config)).P2
    del blurred, pieces
    labels = kept(grow_cells(p1, p2, foreground, relief, config)).final
    return Segmentation(labels, steps)


def connected_interiors(maps: Maps) -> np.ndarray:
    """Segment without post-processing: connected components of the interior class (the paper's F1_ori).

    Parameters
    ----------
    maps : Maps
        Only the probabilities decide: a pixel's class is the most probable one of background, interior and,
        if there is one, boundary, never the proxy; of equally probable ones the first. A pixel that is NaN in
        any map counts as background.

    Returns
    -------
    numpy.ndarray
        (H, W) int32, 8-connected components 1 … N in reading order.

    Raises
    ------
    ValueError
        As in :func:`segment`.

    Examples
    --------
    >>> background = np.array([[0.1, 0.8, 0.1, 0.5]], dtype=np.float32)
    >>> connected_interiors(Maps(np.stack([background, 1 - background]), None))
    array([[1, 0, 2, 0]], dtype=int32)
    """
    return _connected_interiors(check_maps(maps))


def _connected_interiors(maps: Maps) -> np.ndarray:
    mask = maps.probabilities[1] > maps.probabilities[0]
    if len(maps.probabilities) > 2:
        mask &= maps.probabilities[1] >= maps.probabilities[2]
    return number_in_reading_order(label_components(mask)[0])


# --- the four steps -----------------------------------------------------------------------------------------


def threshold_maps(maps: Maps, config: PostprocessConfig) -> Masks:
    """Step 1: find the pixels that belong to cells, and those that surely lie inside one.

    Parameters
    ----------
    maps : Maps
        Probabilities and distance field, of which only the probabilities are used.
    config : PostprocessConfig
        Uses `foreground`, `interior` and `min_interior`.

    Returns
    -------
    Masks
        ``foreground``: the background's probability is low. ``interior``: the interior's probability is high,
        too.
    """
    foreground = maps.probabilities[0] < config.foreground
    interior = foreground & (maps.probabilities[1] > config.interior)
    if config.min_interior > 1:
        interior = _without_small_pieces(interior, config.min_interior)
    return Masks(foreground, interior)


def mark_skeletons(
    blurred: np.ndarray, pieces: np.ndarray, relief: np.ndarray | None, config: PostprocessConfig
) -> Skeletons:
    """Step 2: where the distance field is high there is a cell; flood the interior from there.

    Parameters
    ----------
    blurred : numpy.ndarray
        (H, W) float32, the result of :func:`blur_distance`.
    pieces : numpy.ndarray
        (H, W) int32, the connected components of the interior, ``label_components(interior)[0]``.
    relief : numpy.ndarray or None
        (H, W) uint8, the result of :func:`make_relief`.
    config : PostprocessConfig
        Uses `skeleton` and `skeleton_relative`.

    Returns
    -------
    Skeletons
        Pieces of the interior without a skeleton are 0 in ``P1``.
    """
    threshold = config.skeleton * (blurred.max() if config.skeleton_relative else 1)
    markers, _ = label_components((blurred > threshold) & (pieces > 0))
    return Skeletons(markers, flood(markers, pieces, relief))


def mark_peaks(
    blurred: np.ndarray,
    pieces: np.ndarray,
    p1: np.ndarray,
    relief: np.ndarray | None,
    width: float,
    config: PostprocessConfig,
) -> Peaks:
    """Step 3: find (small) cells without a skeleton by the peaks of the distance field; flood from these.

    Parameters
    ----------
    blurred, pieces, relief : numpy.ndarray
        As in :func:`mark_skeletons`.
    p1 : numpy.ndarray
        (H, W) int32, the cells of step 2.
    width : float
        The result of :func:`mean_cell_width`.
    config : PostprocessConfig
        Uses `peak_distance`, `peak_height` and `keep_unmarked`.

    Returns
    -------
    Peaks
        Both 0 where ``P1`` is not; the labels of ``P2`` follow those of ``P1``. A plateau is one peak. Of
        equal peaks that are too near to each other one stays.
    """
    uncovered = np.where(p1 == 0, pieces, 0)
    candidates = np.where(uncovered > 0, blurred, 0)
    reach = max(1, int(config.peak_distance * width))
    peaks = candidates == _largest_around(candidates, reach)
    peaks &= candidates > config.peak_height * max(blurred.max(), 0)
    markers = _without_ties(label_components(peaks)[0], reach)
    del candidates, peaks
    p2 = flood(markers, uncovered, relief, adopt=config.keep_unmarked)
    np.add(p2, p1.max(), out=p2, where=p2 > 0)
    return Peaks(markers, p2)


def grow_cells(
    p1: np.ndarray,
    p2: np.ndarray,
    foreground: np.ndarray,
    relief: np.ndarray | None,
    config: PostprocessConfig,
) -> Cells:
    """Step 4: grow all cells from the interior into the foreground, remove the smallest ones, renumber.

    Parameters
    ----------
    p1, p2 : numpy.ndarray
        (H, W) int32, the cells of steps 2 and 3.
    foreground : numpy.ndarray
        (H, W) bool, from step 1.
    relief : numpy.ndarray or None
        (H, W) uint8, the result of :func:`make_relief`.
    config : PostprocessConfig
        Uses `min_size`.

    Returns
    -------
    Cells
        Foreground without any interior is 0 in ``P3``. Cells below `min_size` times the mean area of the cells
        in ``P3`` are 0 in ``final``.
    """
    union = p1 + p2
    p3 = flood(union, foreground, relief)
    return Cells(union, p3, number_in_reading_order(p3, config.min_size))


# --- what the steps need ------------------------------------------------------------------------------------


def mean_cell_width(pieces: np.ndarray) -> float:
    """Square root of the mean area of the pieces of the interior, in pixels: the scale of steps 2 and 3.

    Parameters
    ----------
    pieces : numpy.ndarray
        (H, W) int32, the connected components 1 … N of the interior.

    Returns
    -------
    float
        0 if there is no interior.

    Examples
    --------
    >>> mean_cell_width(np.array([[1, 1, 0, 2, 2, 2], [1, 1, 0, 0, 0, 2]]))
    2.0
    """
    return math.sqrt(np.count_nonzero(pieces) / max(pieces.max(), 1))


def blur_distance(distance: np.ndarray, width: float, config: PostprocessConfig) -> np.ndarray:
    """Smooth the distance field with a Gaussian as large as a cell (the first half of step 2).

    Parameters
    ----------
    distance : numpy.ndarray
        (H, W) float32.
    width : float
        The result of :func:`mean_cell_width`.
    config : PostprocessConfig
        Uses `blur`.

    Returns
    -------
    numpy.ndarray
        (H, W) float32. The field is taken as 0 beyond the image's edge, as in any background.
    """
    side = 2 * (int(config.blur * width) // 2) + 1
    if side == 1:
        return distance
    return cv2.GaussianBlur(distance, (side, side), 0, borderType=cv2.BORDER_CONSTANT)


def make_relief(blurred: np.ndarray, config: PostprocessConfig) -> np.ndarray | None:
    """Make the relief that the watersheds flood: the distance field upside down, cells as basins.

    Parameters
    ----------
    blurred : numpy.ndarray
        (H, W) float32, the result of :func:`blur_distance`.
    config : PostprocessConfig
        Uses `relief`.

    Returns
    -------
    numpy.ndarray or None
        (H, W) uint8: 0 at the largest value of the field, 254 where it is 0 or below. None is a flat relief.

    Examples
    --------
    >>> make_relief(np.array([[0, 0.2, 0.4]], dtype=np.float32), PostprocessConfig(relief="distance"))
    array([[254, 127,   0]], dtype=uint8)
    """
    top = float(blurred.max())
    if config.relief == "flat" or top <= 0:
        return None
    relief = cv2.convertScaleAbs(np.maximum(blurred, 0), alpha=-254 / top, beta=254)
    return np.minimum(relief, 254, out=relief)  # rounding


def _without_small_pieces(mask: np.ndarray, min_area: int) -> np.ndarray:
    pieces, n = label_components(mask)
    runs = Runs.of(pieces)
    large = runs.areas(n) >= min_area
    large[0] = False
    return runs.painted(large, mask.shape)


def _largest_around(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest value in the square of pixels up to `reach` rows and columns away."""
    return cv2.dilate(values, np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8))


def _without_ties(markers: np.ndarray, reach: int) -> np.ndarray:
    """Drop all but one of the peaks within each other's reach: only peaks of equal height are that near."""
    rank = markers.astype(np.float32)
    return markers * (rank == _largest_around(rank, reach))
