"""The explorer of notebook 05: every number of the post-processing on a slider, F1 and errors at once.

`draw_result` is a pure function of a case and settings; the widget calls it again whenever a control moves.
The controls have the names of `PostprocessConfig`'s fields, so that what was found with the mouse can be
written down: the explorer itself says how (`settings_code`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..error_analysis import errors as find_errors
from ..maps import Maps
from ..metrics import match_cells
from ..plots import errors, overlay, show_image, show_steps
from ..postprocessing import segment
from ..postprocessing_config import PostprocessConfig
from .display import show
from .widgets import Choice, Explorer, Slider

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRESETS = ("default", "paper", "authors", "none")
OWN = "own"  # shown instead of a preset's name once a number differs

# field of PostprocessConfig: lowest value, highest, step; or the options of a list
RANGES: dict[str, tuple[Any, ...]] = {
    "refine": (True, False),
    "foreground": (0.05, 0.95, 0.05),
    "interior": (0.05, 0.95, 0.05),
    "sure_interior": (0.0, 1.0, 0.05),
    "min_interior": (0, 60, 1),
    "blur": (0.0, 3.0, 0.25),
    "skeleton": (0.2, 1.0, 0.05),
    "skeleton_relative": (True, False),
    "peak_distance": (0.0, 1.0, 0.05),
    "peak_height": (0.0, 1.0, 0.05),
    "keep_unmarked": (True, False),
    "min_size": (0.0, 1.0, 0.05),
    "relief": ("distance", "flat"),
}
STEPS = (
    "foreground",
    "interior",
    "blurred_distance",
    "skeleton_markers",
    "P1",
    "peak_markers",
    "P2",
    "union_markers",
    "P3",
    "final",
)
INPUTS = ("image", "truth", "P(interior)", "P(boundary)", "distance field")


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
    config = config or PostprocessConfig()
    changed = [replace(config, **{name: value}) for value in values]
    return np.array([[score(case, config) for config in changed] for case in cases])


def settings_code(config: PostprocessConfig) -> str:
    """Write settings as Python, leaving out what is as in the default.

    Examples
    --------
    >>> settings_code(PostprocessConfig(skeleton=0.6, relief="flat"))
    "PostprocessConfig(skeleton=0.6, relief='flat')"
    """
    default = PostprocessConfig()
    differing = [
        field.name for field in fields(config) if getattr(config, field.name) != getattr(default, field.name)
    ]
    return f"PostprocessConfig({', '.join(f'{name}={getattr(config, name)!r}' for name in differing)})"


def draw_result(case: Case, config: PostprocessConfig, shown: str = "final", note: str = "") -> Figure:
    """Draw what settings make of a case: errors in colours on the left, one map or step on the right.

    Parameters
    ----------
    case : Case
    config : PostprocessConfig
    shown : str
        One of `INPUTS` or `STEPS`. Settings that skip the steps have only the last one, ``"final"``.
    note : str
        Stands beside the F1.
    """
    from matplotlib.figure import Figure

    labels, steps = segment(case.maps, config)
    found = find_errors(case.truth, labels)
    f1 = match_cells(case.truth, labels).f1
    figure = Figure(
        figsize=(8, 0.45 + 4 * float(np.clip(case.truth.shape[0] / case.truth.shape[1], 0.5, 1.2)))
    )
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.93, bottom=0.07, wspace=0.02)
    errors(case.image, case.truth, labels, found, left, f"F1 {f1:.2f}{note}")
    _draw(right, case, steps, shown)
    return figure


def _draw(ax: Axes, case: Case, steps: Mapping[str, np.ndarray], shown: str) -> None:
    """Draw one of `INPUTS` or `STEPS`."""
    probabilities, distance = case.maps
    if shown == "image":
        show_image(case.image, ax, shown)
    elif shown == "truth":
        overlay(case.image, case.truth, ax, shown)
    elif shown == "distance field" and distance is not None:
        show_steps({shown: distance}, axes=[ax])
    elif shown == "P(boundary)" and len(probabilities) > 2:
        show_steps({shown: probabilities[2]}, axes=[ax])
    elif shown == "P(interior)":
        show_steps({shown: probabilities[1]}, axes=[ax])
    else:
        shown = shown if shown in steps else "final"
        show_steps({shown: steps[shown]}, axes=[ax])


def draw_gallery(cases: Mapping[str, Case], side: int, config: PostprocessConfig | None = None) -> Figure:
    """Draw the middle of several cases in a row, wrong cells in colour, with what went wrong in all of each.

    Parameters
    ----------
    cases : dict
        Name → case.
    side : int
        Height and width of the middle part that is drawn, in pixels.
    config : PostprocessConfig, optional
        The default settings if left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 7.7 / len(cases)), layout="compressed")
    for ax, (name, case) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        labels = segment(case.maps, config).labels
        found = find_errors(case.truth, labels)
        wrong = [f"{n} {kind}" for kind, n in found.counts().items() if n and kind != "found"]
        title = f"{name}: F1 {match_cells(case.truth, labels).f1:.2f}\n{', '.join(wrong) or 'no error'}"
        top, left = (max(0, (size - side) // 2) for size in labels.shape)
        middle = np.s_[top : top + side, left : left + side]
        errors(case.image[middle], case.truth[middle], labels[middle], found, ax, title)
        ax.get_legend().remove()
    return figure


def draw_choice(cases: Mapping[str, Case]) -> Callable[..., Figure]:
    """Return a function that draws one of several cases, for an explorer that can change between them.

    Parameters
    ----------
    cases : dict
        Name → case.

    Returns
    -------
    callable
        Takes ``picture`` (a name), ``step`` (one of `INPUTS` or `STEPS`) and values for fields of
        `PostprocessConfig`; returns `draw_result` of them.
    """
    notes = {name: f"   (default {score(case, 'default'):.2f})" for name, case in cases.items()}

    def draw(picture: str, step: str = "final", **numbers: Any) -> Figure:
        return draw_result(cases[picture], settings(**numbers), step, notes[picture])

    return draw


def settings(**numbers: Any) -> PostprocessConfig:
    """Return settings from the values of controls: a slider's 0.30000000000000004 is 0.3.

    Examples
    --------
    >>> settings(skeleton=0.1 + 0.2).skeleton
    0.3
    """
    return PostprocessConfig(
        **{name: round(value, 6) if isinstance(value, float) else value for name, value in numbers.items()}
    )


def controls(cases: Mapping[str, Case]) -> dict[str, Slider | Choice]:
    """Return a control per field of `PostprocessConfig`, after one for the picture and one for the step."""
    default = PostprocessConfig()
    made: dict[str, Slider | Choice] = {
        "picture": Choice(next(iter(cases)), list(cases)),
        "step": Choice("peak_markers", (*INPUTS, *STEPS), "on the right"),
    }
    for name, limits in RANGES.items():
        value = getattr(default, name)
        made[name] = Choice(value, limits) if isinstance(value, (bool, str)) else Slider(value, *limits)
    return made


class PostprocessExplorer(Explorer):
    """The live part: two columns of controls, a list of named settings, and the settings as code.

    Attributes
    ----------
    preset : ipywidgets.Dropdown
        Named settings; choosing one moves all sliders.
    code : ipywidgets.HTML
        The present settings as Python, to copy.
    """

    def __init__(self, cases: Mapping[str, Case], alt: str, dpi: int = 100) -> None:
        import ipywidgets

        self._moving = False
        self.preset = ipywidgets.Dropdown(options=[*PRESETS, OWN], value="default", description="settings")
        self.code = ipywidgets.HTML()
        super().__init__(draw_choice(cases), alt, dpi, controls(cases))
        self.preset.observe(self._preset_chosen, names="value")

    @property
    def config(self) -> PostprocessConfig:
        """The settings as the controls stand."""
        return settings(**{name: control.value for name, control in self.controls.items() if name in RANGES})

    def redraw(self) -> None:
        """Draw, write the settings as code, and say whether they have a name."""
        if self._moving:
            return
        super().redraw()
        names = [name for name in PRESETS if PostprocessConfig.named(name) == self.config]
        self.preset.value = names[0] if names else OWN
        self.code.value = f"<code>{settings_code(self.config)}</code>"

    def _preset_chosen(self, change: Any) -> None:
        if change["new"] == OWN:
            return
        chosen = PostprocessConfig.named(change["new"])
        if chosen == self.config:
            return
        self._moving = True  # one figure for all of them
        for name in RANGES:
            self.controls[name].value = getattr(chosen, name)
        self._moving = False
        self._changed(None)

    def box(self) -> VBox:
        """Return controls in two columns, the figure, the code and the time it took."""
        import ipywidgets

        entries = [self.controls["picture"], self.controls["step"], self.preset]
        entries += [self.controls[name] for name in RANGES]
        for control in entries:
            control.style.description_width = "9em"
            control.layout.width = "29em"
        grid = ipywidgets.GridBox(entries, layout={"grid_template_columns": "30em 30em"})
        return ipywidgets.VBox([grid, self.picture, self.code, self.note])


def explore(cases: Mapping[str, Case], alt: str, dpi: int = 100) -> PostprocessExplorer:
    """Show the figure with the default settings and, under it, the same figure with all controls.

    Parameters
    ----------
    cases : dict
        Name → case; the first one is shown first.
    alt : str
        What the figure shows, see :func:`maunet_lite.teaching.show`.
    dpi : int
        Pixels per inch.

    Returns
    -------
    PostprocessExplorer
    """
    start = {name: control.value for name, control in controls(cases).items()}
    show(draw_choice(cases)(**start), alt, dpi=dpi)
    live = PostprocessExplorer(cases, alt, dpi)
    live.display()
    return live
