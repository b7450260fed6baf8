"""What notebook 05 tries on a few pictures: scores, scans of one number, errors in colours, an explorer.

Pure functions of a `Case` (a picture, its truth and the network's maps) and settings. The explorer is
``explorer(draw_choice(cases), **controls(cases), code=settings_code, alt=…)``. Its controls have the names of
the fields of `PostprocessConfig`, and below the figure stand their values as code that can be copied.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from maunet_lite.course.widgets import Choice, Slider
from maunet_lite.evaluation import errors as find_errors
from maunet_lite.evaluation import match_cells
from maunet_lite.figures import CLASS_NAMES, errors, overlay, show_steps
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment

STEPS = (
    "foreground", "interior", "blurred_distance", "skeleton_markers", "P1", "peak_markers", "P2",
    "union_markers", "P3", "final",
)  # fmt: skip
INPUTS = ("image", "truth", "P(interior)", "P(boundary)", "distance field")
PRESETS = ("default", "paper", "authors", "none")
SLIDERS = "as the sliders stand"
_WIDTHS = (0.0, 3.0, 0.25)
RANGES = {"blur": _WIDTHS, "widest": _WIDTHS, "min_interior": (0, 60, 1), "relief": ("distance", "flat")}


class Case(NamedTuple):
    """A picture to try settings on.

    Attributes
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C).
    truth : numpy.ndarray
        (H, W) label map.
    maps : Maps
        What the network says of the image.
    """

    image: np.ndarray
    truth: np.ndarray
    maps: Maps


def score(case: Case, config: PostprocessConfig | str) -> float:
    """Return the F1 of the cells that these settings find in a case, by the challenge's rules."""
    return match_cells(case.truth, segment(case.maps, config, keep_steps=False).labels).f1


def scan(
    cases: Sequence[Case], name: str, values: Sequence[Any], config: PostprocessConfig | None = None
) -> np.ndarray:
    """Change one number of the settings and keep the others.

    Parameters
    ----------
    cases : sequence of Case
    name : str
        A field of `PostprocessConfig`.
    values : sequence
        What to try for it.
    config : PostprocessConfig, optional
        All other numbers; the default settings if left out.

    Returns
    -------
    numpy.ndarray
        (cases, values) float64, the F1.

    Examples
    --------
    Two cells of nine pixels, and a bar for cells that only the first settings leave low enough:

    >>> interior = np.zeros((9, 12), dtype=np.float32)
    >>> interior[3:6, 3:6] = interior[3:6, 7:10] = 1
    >>> truth = np.zeros((9, 12), dtype=int)
    >>> truth[3:6, 3:6], truth[3:6, 7:10] = 1, 2
    >>> case = Case(interior, truth, Maps(np.stack([1 - interior, interior]), interior))
    >>> scan([case], "min_interior", [0, 10])
    array([[1., 0.]])
    """
    changed = [replace(config or PostprocessConfig(), **{name: value}) for value in values]
    return np.array([[score(case, config) for config in changed] for case in cases])


def draw_result(case: Case, config: PostprocessConfig, shown: str = "final", note: str = "") -> Figure:
    """Draw what settings make of a case: errors in colours, beside them one map or step.

    Cells at the border are left out of the errors, as they are of the F1.

    Parameters
    ----------
    case : Case
    config : PostprocessConfig
    shown : str
        One of `INPUTS` or `STEPS`; the last step, ``"final"``, where the network or the settings have no
        such map.
    note : str
        Stands beside the F1.
    """
    labels, steps = segment(case.maps, config)
    found, f1 = find_errors(case.truth, labels, border=2), match_cells(case.truth, labels).f1
    figure = Figure(figsize=(8, 0.65 + 4 * float(np.clip(labels.shape[0] / labels.shape[1], 0.5, 1.2))))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.93, bottom=0.07, wspace=0.02)
    errors(case.image, case.truth, labels, found, left, f"F1 {f1:.2f}{note}")
    if shown == "truth":
        overlay(case.image, case.truth, right, shown)
        return figure
    maps = {f"P({name})": values for name, values in zip(CLASS_NAMES, case.maps[0], strict=False)}
    maps |= {"distance field": case.maps[1], "image": case.image} | steps
    shown = "final" if maps.get(shown) is None else shown
    show_steps({shown: maps[shown]}, axes=[right])
    return figure


def draw_gallery(cases: Mapping[str, Case], side: int, config: PostprocessConfig | None = None) -> Figure:
    """Draw the middle of several cases in a row, wrong cells in colour, with what went wrong in all of each.

    Cells at the border are left out of the errors, as they are of the F1.

    Parameters
    ----------
    cases : dict
        Name → case.
    side : int
        Height and width of the middle part that is drawn, in pixels.
    config : PostprocessConfig, optional
        The default settings if left out.
    """
    figure = Figure(figsize=(8, 0.5 + 7.7 / len(cases)), layout="compressed")
    for ax, (name, case) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        labels = segment(case.maps, config).labels
        found = find_errors(case.truth, labels, border=2)
        wrong = [f"{n} {kind}" for kind, n in found.counts().items() if n and kind != "found"]
        lines = [", ".join(wrong[k : k + 2]) for k in range(0, len(wrong), 2)] or ["no error"]
        title = "\n".join([f"{name}: F1 {match_cells(case.truth, labels).f1:.2f}", *lines])
        top, left = (max(0, (size - side) // 2) for size in labels.shape)
        middle = np.s_[top : top + side, left : left + side]
        errors(case.image[middle], case.truth[middle], labels[middle], found, ax, title, key=False)
    return figure


def chosen(picture: str = "", step: str = "", settings: str = SLIDERS, **numbers: Any) -> PostprocessConfig:
    """Return the settings that the explorer's controls name: a preset, or what the sliders say.

    Examples
    --------
    >>> chosen(skeleton=0.1 + 0.2).skeleton, chosen(settings="paper", skeleton=0.3).skeleton
    (0.3, 0.8)
    """
    if settings != SLIDERS:
        return PostprocessConfig.named(settings)
    return PostprocessConfig(**{k: round(v, 6) if isinstance(v, float) else v for k, v in numbers.items()})


def settings_code(**values: Any) -> str:
    """Write the settings that the explorer's controls name as Python, leaving out what is as in the default.

    Examples
    --------
    >>> settings_code(picture="clumps", skeleton=0.6, relief="flat")
    "PostprocessConfig(skeleton=0.6, relief='flat')"
    """
    default, config = asdict(PostprocessConfig()), asdict(chosen(**values))
    changed = [f"{name}={value!r}" for name, value in config.items() if value != default[name]]
    return f"PostprocessConfig({', '.join(changed)})"


def draw_choice(cases: Mapping[str, Case]) -> Callable[..., Figure]:
    """Return a function that draws one of several cases, for an explorer that can change between them.

    Parameters
    ----------
    cases : dict
        Name → case.

    Returns
    -------
    callable
        Takes ``picture`` (a name), ``step`` (one of `INPUTS` or `STEPS`), ``settings`` (one of `PRESETS`, or
        `SLIDERS`: what follows) and values for fields of `PostprocessConfig`; returns `draw_result` of them.
    """
    notes = {name: f"   (default {score(case, 'default'):.2f})" for name, case in cases.items()}

    def draw(picture: str, step: str = "final", **values: Any) -> Figure:
        return draw_result(cases[picture], chosen(**values), step, notes[picture])

    return draw


def controls(cases: Mapping[str, Case]) -> dict[str, Any]:
    """Return a control per field of `PostprocessConfig`, after those for the picture, step and preset."""
    made = {
        "picture": Choice(next(iter(cases)), list(cases)),
        "step": Choice("peak_markers", (*INPUTS, *STEPS), "on the right"),
        "settings": Choice(SLIDERS, (SLIDERS, *PRESETS)),
    }
    for name, value in asdict(PostprocessConfig()).items():
        if isinstance(value, (bool, str)):
            made[name] = Choice(value, RANGES.get(name, (True, False)))
        else:  # most are shares from 0 to 1
            made[name] = Slider(value, *RANGES.get(name, (0.0, 1.0, 0.05)))
    return made
