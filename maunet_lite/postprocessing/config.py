"""Every number of the post-processing, with its origin: paper, published code, or this kit."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints


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
class PostprocessConfig:
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
    foreground: float = 0.3  # paper, step 1; authors too
    interior: float = 0.7  # paper, step 1; authors too
    sure_interior: float = 0.9  # ours, measured: the one addition to the paper's method; 0 is none
    min_interior: int = 0  # paper; authors 16
    blur: float = 1.0  # authors; the paper says "adaptively"
    skeleton: float = 0.85  # measured; paper 0.8, authors 0.85 of the maximum
    skeleton_relative: bool = False  # paper
    peak_distance: float = 0.35  # measured; authors 0.25; the paper has no number
    peak_height: float = 0.6  # authors; the paper has no number
    keep_unmarked: bool = True  # ours, so that perfect maps lose no small cell; paper and authors False
    min_size: float = 0.1  # authors; the paper has no number
    relief: str = "distance"  # ours, so that perfect maps are cut where cells meet; paper and authors flat

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if not isinstance(getattr(self, name), (int, float) if kind is float else kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be of type {kind.__name__}")
        for name in ("foreground", "interior", "sure_interior", "peak_height", "min_size"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must lie between 0 and 1")
        for name in ("min_interior", "blur", "skeleton", "peak_distance"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be 0 or a positive number")
        if self.relief not in ("distance", "flat"):
            raise ValueError(f'relief is {self.relief!r}; use "distance" or "flat"')

    @classmethod
    def named(cls, name: "str | PostprocessConfig") -> "PostprocessConfig":
        """Return the settings called "default", "paper", "authors" or "none" (no post-processing: F1_ori).

        Settings of one's own come back as they are; a file that ends in ``.json`` is read, in which stand
        those that differ from the default.
        """
        if isinstance(name, PostprocessConfig):
            return name
        if name.endswith(".json"):
            return cls().changed(json.loads(Path(name).read_text(encoding="utf-8")))
        published = {"sure_interior": 0, "peak_distance": 0.25, "keep_unmarked": False, "relief": "flat"}
        settings: dict[str, dict[str, Any]] = {
            "default": {},
            "paper": {**published, "skeleton": 0.8},
            "authors": {**published, "min_interior": 16, "skeleton": 0.85, "skeleton_relative": True},
            "none": {"refine": False},
        }
        if name not in settings:
            raise ValueError(f"post-processing is {name!r}; use {', '.join(settings)}, or a file .json")
        return cls(**settings[name])

    def changed(self, changes: Mapping[str, Any]) -> "PostprocessConfig":
        """Return these settings with others in place of some.

        Raises
        ------
        ValueError
            If there is no setting of a name, or it cannot have the value.

        Examples
        --------
        >>> PostprocessConfig().changed({"foreground": 0.5}).foreground
        0.5
        """
        if unknown := changes.keys() - asdict(self).keys():
            known = ", ".join(asdict(self))
            raise ValueError(f"no setting of the post-processing is called {', '.join(unknown)}: use {known}")
        return replace(self, **changes)
