"""From the network's maps to cells (paper, section 2.3).

:func:`segment` runs the paper's four steps. Each is a function of its own that can be called, drawn and tuned
alone: :func:`threshold_maps`, :func:`mark_skeletons` (after :func:`blur_distance`), :func:`mark_peaks` and
:func:`grow_cells`. Every number they use stands in :class:`PostprocessConfig`.

What holds for all results: labels are 1 … N in reading order, each label is one 8-connected piece, and
whatever lies beyond the image's edge counts as background.
"""

from typing import Any, NamedTuple

import numpy as np

from maunet_lite.postprocessing import steps
from maunet_lite.postprocessing.config import PostprocessConfig, Yardstick
from maunet_lite.postprocessing.maps import Maps, check_maps, interior_distance
from maunet_lite.postprocessing.run_lengths import label_components, number_in_reading_order


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


def segment(
    maps: Maps, config: PostprocessConfig | str | None = None, *, keep_steps: bool = True,
    yardstick: Yardstick | None = None,
) -> Segmentation:  # fmt: skip
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
    yardstick : Yardstick, optional
        What else is taken from the maps as a whole; needed if they are only a part of an image.

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
    config = PostprocessConfig.named("default" if config is None else config)
    results: dict[str, np.ndarray] = {}

    def kept(step: Any) -> Any:
        if keep_steps:
            results.update(step._asdict())
        return step

    if not config.refine:
        labels = connected_interiors(maps)
        return Segmentation(labels, {"final": labels} if keep_steps else {})
    maps = check_maps(maps)
    foreground, interior = kept(steps.threshold_maps(maps, config))
    pieces, _ = label_components(interior)
    own = (steps.mean_cell_width(pieces, config.widest), None, None, None)
    width, highest, highest_blurred, mean_area = yardstick or own
    distance = interior_distance(pieces) if maps.distance is None else maps.distance
    relief = steps.make_relief(distance, config, highest)
    blurred = steps.blur_distance(distance, width, config)
    del interior, distance
    if keep_steps:
        results["blurred_distance"] = blurred
    p1 = kept(steps.mark_skeletons(blurred, pieces, relief, config, highest_blurred)).P1
    p2 = kept(steps.mark_peaks(blurred, pieces, p1, relief, width, config, highest_blurred)).P2
    del blurred, pieces
    labels = kept(steps.grow_cells(p1, p2, foreground, relief, config, mean_area)).final
    return Segmentation(labels, results)


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
    probabilities = check_maps(maps).probabilities
    mask = probabilities[1] > probabilities[0]
    if len(probabilities) > 2:
        mask &= probabilities[1] >= probabilities[2]
    return number_in_reading_order(label_components(mask)[0])
