"""The explorer of notebook 05: every number of the post-processing on a slider, F1 and errors at once.

What it shows is drawn by `figures.postprocessing`. The controls have the names of
`PostprocessConfig`'s fields, so that what was found with the mouse can be written down: the explorer itself
says how (`settings_code`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from maunet_lite.course.display import show
from maunet_lite.course.figures.postprocessing import INPUTS, STEPS, Case, draw_result, score
from maunet_lite.course.widgets import Choice, Explorer, Slider
from maunet_lite.postprocessing import PostprocessConfig

if TYPE_CHECKING:
    from ipywidgets import VBox
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

    def __init__(self, cases: Mapping[str, Case], alt: str, dpi: int = 120) -> None:
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
        What the figure shows, see `show`.
    dpi : int
        Pixels per inch of the static figure, which is stored; the live one is sharper.

    Returns
    -------
    PostprocessExplorer
    """
    start = {name: control.value for name, control in controls(cases).items()}
    show(draw_choice(cases)(**start), alt, dpi=dpi)
    live = PostprocessExplorer(cases, alt)
    live.display()
    return live
