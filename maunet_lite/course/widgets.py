"""Explorers: a figure, and under it controls that draw it anew.

A widget is dead on a web page, in a printed lesson and in a headless run. So an explorer is made of a *pure
function* that takes the values of its controls and returns a figure: called once it gives the static figure
that everybody sees, called again and again it gives the live one. Tests call the same function::

    from maunet_lite.course.widgets import Choice, Slider, explorer

    explorer(
        draw,                                           # draw(beta=1.0, center="paper") -> Figure
        beta=Slider(1.0, 0.25, 4.0, 0.25, "steepness"),
        center=Choice("paper", ("paper", "authors"), "centre"),
        alt="The distance field of six cells.",
    )
"""

import asyncio
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

from maunet_lite.course.display import in_notebook, show
from maunet_lite.export import for_html


def Slider(value: float, low: float, high: float, step: float, label: str = "") -> ipywidgets.Widget:
    """Return a number to drag: where it starts, its limits and step; an integer if all of them are.

    Raises
    ------
    ValueError
        If it starts outside its limits.
    """
    if not low <= value <= high:
        raise ValueError(f"{label or 'a slider'} starts at {value}; expected a value from {low} to {high}")
    whole = all(isinstance(number, int) for number in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(value, min=low, max=high, step=step, description=label, layout={"width": "36em"})


def Choice(value: Any, options: Sequence[Any], label: str = "") -> ipywidgets.Dropdown:
    """Return a list to choose from: where it starts, and all there is.

    Raises
    ------
    ValueError
        If it starts at none of its options.
    """
    if value not in options:
        raise ValueError(f"{label or 'a choice'} starts at {value!r}, which is none of {list(options)}")
    return ipywidgets.Dropdown(options=list(options), value=value, description=label)


Draw = Callable[..., plt.Figure]
Code = Callable[..., str] | None


def explorer(draw: Draw, *, alt: str, dpi: int = 100, code: Code = None, **controls: Any) -> "Explorer":
    """Show the figure in its starting state and, under it, the same figure with controls.

    Parameters
    ----------
    draw : callable
        Takes a value for each of the `controls` by name and returns a figure. Nothing else may change.
    alt : str
        What the figure shows, see `show`.
    dpi : int
        Pixels per inch of both figures.
    code : callable, optional
        Takes the same values as `draw` and returns them as code, which stands under both figures and can be
        copied.
    **controls : ipywidgets.Widget
        `Slider`, `Choice` or any other widget with a ``value``, in the order in which they stand. One without
        a label is given its name.

    Returns
    -------
    Explorer
        Also holds the controls, so that a cell or a test can set them: ``it.controls["beta"].value = 2``.
    """
    live = Explorer(draw, alt, dpi, controls, code)
    show(draw(**live.values), alt, dpi=dpi)
    if code:
        print(code(**live.values))
    if in_notebook():  # elsewhere there is nobody to use it
        display(live.box())
    return live


class Explorer:
    """The live part of an explorer; made by :func:`explorer`.

    Attributes
    ----------
    controls : dict
        Name → ipywidgets control, with a ``value``.
    picture : ipywidgets.Image
        The figure as drawn last.
    note : ipywidgets.HTML
        How long that took, or what went wrong.
    code : ipywidgets.Textarea
        The values of the controls as code, to be copied; hidden where there is none.
    """

    def __init__(self, draw: Draw, alt: str, dpi: int, controls: dict[str, Any], code: Code = None) -> None:
        self._draw, self._dpi, self._code, self._waiting = draw, dpi, code, False
        self.controls = controls
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "object_fit": "contain"})
        self.picture.alt = alt  # for programs; the static figure carries it for readers
        self.note = ipywidgets.HTML()
        self.code = ipywidgets.Textarea(layout={"width": "100%", "display": "" if code else "none"})
        for name, control in controls.items():
            control.description = control.description or name
            control.style.description_width = "14em"
            control.observe(self._changed, names="value")
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        """Name → value, as the controls stand."""
        return {name: control.value for name, control in self.controls.items()}

    def box(self) -> ipywidgets.VBox:
        """Return controls and figure as one widget."""
        controls = ipywidgets.Box([*self.controls.values()], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([controls, self.picture, self.code, self.note])

    def redraw(self) -> None:
        """Draw the figure for the present values; a failure is told below it, and the old figure stays."""
        self._waiting = False
        start = time.perf_counter()
        try:
            figure, buffer = self._draw(**self.values), io.BytesIO()
            # Fast rather than small: the picture is looked at and forgotten.
            figure.savefig(buffer, format="png", dpi=self._dpi, pil_kwargs={"compress_level": 1})
            plt.close(figure)
            self.picture.value = buffer.getvalue()
            self.code.value = self._code(**self.values) if self._code else ""
        except Exception as error:  # there is no cell whose output could hold it
            self.note.value = f"<code>{type(error).__name__}: {for_html(error)}</code>"
        else:
            self.note.value = f"<small>drawn in {1000 * (time.perf_counter() - start):.0f} ms</small>"

    def _changed(self, _: Any) -> None:
        """Draw soon: the many steps of one drag become one figure."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.redraw()
            return
        if not self._waiting:
            self._waiting = True
            loop.call_later(0.02, self.redraw)  # seconds in which the steps gather
