"""What notebook 05 tries on a few pictures: scores, scans of one number, errors in colours, an explorer.

Pure functions of a `Case` (a picture, its truth and the network's maps) and settings; the explorer calls them
again whenever a control moves. Its controls have the names of `PostprocessConfig`'s fields, so that what was
found with the mouse can be written down: the explorer itself says how (`settings_code`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maunet_lite.course.display import show
from maunet_lite.course.widgets import Choice, Explorer, Slider
from maunet_lite.evaluation import errors as find_errors
from maunet_lite.evaluation import match_cells
from maunet_lite.figures import errors, overlay, show_image, show_steps
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = (
    "foreground", "interior", "blurred_distance", "skeleton_markers", "P1", "peak_markers", "P2",
    "union_markers", "P3", "final",
)  # fmt: skip
INPUTS = ("image", "truth", "P(interior)", "P(boundary)", "distance field")
PRESETS = ("default", "paper", "authors", "none")
OWN = "own"  # shown instead of a preset's name once a number differs
RANGES = {"blur": (0.0, 3.0, 0.25), "min_interior": (0, 60, 1)}  # other numbers: shares from 0 to 1


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
    found, f1 = find_errors(case.truth, labels), match_cells(case.truth, labels).f1
    figure = Figure(figsize=(8, 0.45 + 4 * float(np.clip(labels.shape[0] / labels.shape[1], 0.5, 1.2))))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.93, bottom=0.07, wspace=0.02)
    errors(case.image, case.truth, labels, found, left, f"F1 {f1:.2f}{note}")
    _draw_shown(right, case, steps, shown)
    return figure


def _draw_shown(ax: Axes, case: Case, steps: Mapping[str, np.ndarray], shown: str) -> None:
    """Draw one of `INPUTS` or `STEPS`; the last step where the network or the settings have no such map."""
    probabilities, distance = case.maps
    names = ("P(background)", "P(interior)", "P(boundary)")
    maps = dict(zip(names, probabilities, strict=False)) | {"distance field": distance} | dict(steps)
    if shown == "image":
        show_image(case.image, ax, shown)
    elif shown == "truth":
        overlay(case.image, case.truth, ax, shown)
    else:
        shown = "final" if maps.get(shown) is None else shown
        show_steps({shown: maps[shown]}, axes=[ax])


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
        lines = [", ".join(wrong[k : k + 2]) for k in range(0, len(wrong), 2)] or ["no error"]
        title = "\n".join([f"{name}: F1 {match_cells(case.truth, labels).f1:.2f}", *lines])
        top, left = (max(0, (size - side) // 2) for size in labels.shape)
        middle = np.s_[top : top + side, left : left + side]
        errors(case.image[middle], case.truth[middle], labels[middle], found, ax, title)
        ax.get_legend().remove()
    return figure


def settings(**numbers: Any) -> PostprocessConfig:
    """Return settings from the values of controls: a slider's 0.30000000000000004 is 0.3.

    Examples
    --------
    >>> settings(skeleton=0.1 + 0.2).skeleton
    0.3
    """
    rounded = {name: round(value, 6) for name, value in numbers.items() if isinstance(value, float)}
    return PostprocessConfig(**numbers | rounded)


def settings_code(config: PostprocessConfig) -> str:
    """Write settings as Python, leaving out what is as in the default.

    Examples
    --------
    >>> settings_code(PostprocessConfig(skeleton=0.6, relief="flat"))
    "PostprocessConfig(skeleton=0.6, relief='flat')"
    """
    default = asdict(PostprocessConfig())
    changed = [f"{name}={value!r}" for name, value in asdict(config).items() if value != default[name]]
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
        Takes ``picture`` (a name), ``step`` (one of `INPUTS` or `STEPS`) and values for fields of
        `PostprocessConfig`; returns `draw_result` of them.
    """
    notes = {name: f"   (default {score(case, 'default'):.2f})" for name, case in cases.items()}

    def draw(picture: str, step: str = "final", **numbers: Any) -> Figure:
        return draw_result(cases[picture], settings(**numbers), step, notes[picture])

    return draw


def controls(cases: Mapping[str, Case]) -> dict[str, Slider | Choice]:
    """Return a control per field of `PostprocessConfig`, after one for the picture and one for the step."""
    made: dict[str, Slider | Choice] = {
        "picture": Choice(next(iter(cases)), list(cases)),
        "step": Choice("peak_markers", (*INPUTS, *STEPS), "on the right"),
    }
    for name, value in asdict(PostprocessConfig()).items():
        if isinstance(value, bool):
            made[name] = Choice(value, (True, False))
        elif name == "relief":
            made[name] = Choice(value, ("distance", "flat"))
        else:
            made[name] = Slider(value, *RANGES.get(name, (0.0, 1.0, 0.05)))
    return made


class PostprocessExplorer(Explorer):
    """The live part: two columns of controls, a list of named settings, and the settings as code.

    Attributes
    ----------
    preset : ipywidgets.Dropdown
        Named settings; choosing one moves all sliders.
    note : ipywidgets.HTML
        The present settings as Python, to copy, and how long drawing took.
    """

    def __init__(self, cases: Mapping[str, Case], alt: str, dpi: int = 120) -> None:
        import ipywidgets

        self.preset = ipywidgets.Dropdown(options=[*PRESETS, OWN], value="default", description="settings")
        super().__init__(draw_choice(cases), alt, dpi, controls(cases))
        self.preset.observe(self._preset_chosen, names="value")

    @property
    def config(self) -> PostprocessConfig:
        """The settings as the controls stand."""
        return settings(
            **{name: value for name, value in self.values.items() if name not in ("picture", "step")}
        )

    def redraw(self) -> None:
        """Draw, write the settings as code, and say whether they have a name."""
        super().redraw()
        names = [name for name in PRESETS if PostprocessConfig.named(name) == self.config]
        self.preset.value = names[0] if names else OWN
        self.note.value = f"<code>{settings_code(self.config)}</code><br>{self.note.value}"

    def _preset_chosen(self, change: Any) -> None:
        """Move all controls, and draw one figure for them all."""
        if change["new"] == OWN or PostprocessConfig.named(change["new"]) == self.config:
            return
        for name, value in asdict(PostprocessConfig.named(change["new"])).items():
            self.controls[name].unobserve(self._changed, names="value")
            self.controls[name].value = value
            self.controls[name].observe(self._changed, names="value")
        self._changed(None)

    def box(self) -> VBox:
        """Return controls in two columns, the figure, the code and the time it took."""
        import ipywidgets

        picture, step, *numbers = self.controls.values()
        entries = [picture, step, self.preset, *numbers]
        for control in entries:
            control.style.description_width = "9em"
            control.layout.width = "29em"
        grid = ipywidgets.GridBox(entries, layout={"grid_template_columns": "30em 30em"})
        return ipywidgets.VBox([grid, self.picture, self.note])


def explore(cases: Mapping[str, Case], alt: str, dpi: int = 100) -> PostprocessExplorer:
    """Show the figure with the default settings and, under it, the same figure with all controls.

    Parameters
    ----------
    cases : dict
        Name → case; the first one is shown first.
    alt : str
        What the figure shows, see `show`.
    dpi : int
        Pixels per inch of the static figure, which is stored; the live one is sharper.
    """
    live = PostprocessExplorer(cases, alt)
    show(draw_choice(cases)(**live.values), alt, dpi=dpi)
    live.display()
    return live
