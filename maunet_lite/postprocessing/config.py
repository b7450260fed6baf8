"""Every number of the post-processing, with its origin: paper, published code, or this kit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from maunet_lite.postprocessing.options import NOT_NEGATIVE, SHARE, Options, read_json

Share, Amount = Annotated[float, SHARE], Annotated[float, NOT_NEGATIVE]


class Yardstick(NamedTuple):
    """What the post-processing takes from the image as a whole, so that its parts can be treated alike.

    Attributes
    ----------
    width : float
        Square root of the mean area of the interiors, in pixels.
    highest : float
        Largest value of the distance field, before it is blurred.
    highest_blurred : float
        Largest value of the blurred distance field.
    mean_area : float
        Mean area of the cells before the smallest are removed, in pixels.
    """

    width: float
    highest: float
    highest_blurred: float
    mean_area: float


@dataclass(frozen=True)
class PostprocessConfig(Options):
    """Every number of the post-processing. "Width" is the square root of the mean area of the interiors.

    Parameters
    ----------
    refine : bool
        False skips all steps: cells are the `connected_interiors`, the
        paper's F1_ori.
    foreground : float
        Step 1: foreground is where the background's probability is below this.
    interior : float
        Step 1: interior is where its probability is above this.
    sure_interior : float
        Step 1: a piece of the interior counts if the probability is above this in one of its pixels at least.
        A second, stricter threshold that a piece has to pass only once (hysteresis) tells small cells from
        specks.
    min_interior : int
        Step 1: a piece of the interior counts if it has this many pixels at least.
    widest : float
        Width is at most this many times that of discs as deep as the interior, lest cells that are joined
        count as a huge one; 0 is no limit.
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
        Steps 2 to 4: what the watersheds flood. The distance field, upside down: touching cells are parted
        along its valleys. Or a plain: they are parted half-way between their markers.

    Examples
    --------
    >>> PostprocessConfig.named("authors").skeleton
    0.85
    """

    # "measured": better than the published number on real images, see benchmarks/tune_postprocessing.py
    refine: bool = True
    foreground: Share = 0.4  # measured; paper 0.3, authors too
    interior: Share = 0.6  # measured; paper 0.7, authors too
    sure_interior: Share = 0.9  # ours, measured: the one addition to the paper's method; 0 is none
    min_interior: Annotated[int, NOT_NEGATIVE] = 0  # paper; authors 16
    widest: Amount = 1.5  # ours, for sheets of cells; paper and authors 0
    blur: Amount = 1.25  # measured; authors 1.0, the paper says "adaptively"
    skeleton: Amount = 0.85  # measured; paper 0.8, authors 0.85 of the maximum
    skeleton_relative: bool = False  # paper
    peak_distance: Amount = 0.35  # measured; authors 0.25; the paper has no number
    peak_height: Share = 0.8  # measured; authors 0.6, the paper has no number
    keep_unmarked: bool = True  # ours, so that perfect maps lose no small cell; paper and authors False
    min_size: Share = 0.1  # authors; the paper has no number
    # ours, so that perfect maps are cut where cells meet; paper and authors flat
    relief: Literal["distance", "flat"] = "distance"

    @classmethod
    def named(cls, name: "str | PostprocessConfig") -> "PostprocessConfig":
        """Return the settings called "default", "paper", "authors" or "none" (no post-processing: F1_ori).

        Settings of one's own come back as they are; a file that ends in ``.json`` is read, in which stand
        those that differ from the default.
        """
        if isinstance(name, PostprocessConfig):
            return name
        if name.endswith(".json"):
            return cls.from_dict(read_json(Path(name)))
        published = {
            "foreground": 0.3, "interior": 0.7, "sure_interior": 0, "widest": 0, "blur": 1.0,
            "peak_distance": 0.25, "peak_height": 0.6, "keep_unmarked": False, "relief": "flat",
        }  # fmt: skip
        settings: dict[str, dict[str, Any]] = {
            "default": {},
            "paper": {**published, "skeleton": 0.8},
            "authors": {**published, "min_interior": 16, "skeleton": 0.85, "skeleton_relative": True},
            "none": {"refine": False},
        }
        if name not in settings:
            raise ValueError(f"post-processing is {name!r}; use {', '.join(settings)}, or a file .json")
        return cls(**settings[name])
