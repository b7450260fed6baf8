"""What a notebook shows: figures with a description, and results that the report of a run keeps."""

import base64
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RECORD_MIME = "application/vnd.maunet.record+json"


def in_notebook() -> bool:
    """Tell whether this runs in a notebook, where outputs can hold more than text."""
    from IPython import get_ipython

    return get_ipython() is not None


def show(figure: "Figure | Axes", alt: str, dpi: int = 110) -> None:
    """Display a figure as the output of a notebook cell, together with a description of what it shows.

    The description (alt text) is what a screen reader says, what stands in the place of the picture when it
    cannot be loaded, and a good exercise: say in a sentence or two what the reader should see. The figure is
    closed afterwards, so that it appears once. Outside a notebook only the description is printed.

    Parameters
    ----------
    figure : matplotlib Figure or Axes
        What to show; of Axes, their whole figure.
    alt : str
        One or two sentences.
    dpi : int
        Pixels per inch. A figure 8 inches wide then fills the width of a page on GitHub.

    Raises
    ------
    ValueError
        If `alt` is empty.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> fig, ax = plt.subplots()
    >>> show(fig, alt="An empty pair of axes.")
    [figure: An empty pair of axes.]
    """
    import matplotlib.pyplot as plt

    alt = " ".join(alt.split())
    if not alt:
        raise ValueError("alt is empty: say in a sentence what the figure shows, for those who cannot see it")
    figure = getattr(figure, "figure", figure)
    buffer = io.BytesIO()
    if in_notebook():
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    png = base64.b64encode(buffer.getvalue()).decode()
    _display({"image/png": png, "text/plain": f"[figure: {alt}]"}, {"image/png": {"alt": alt}})
    plt.close(figure)


def record(name: str, value: Any) -> None:
    """Show a result and keep it in the output of its cell, where the runner collects it.

    Parameters
    ----------
    name : str
        What was measured, with its unit: ``"F1 on val"``, ``"training / s"``.
    value : number, str, bool, None, list or dict
        Anything that JSON can hold. NumPy and torch scalars become Python numbers, arrays become lists.

    Raises
    ------
    TypeError
        If JSON cannot hold `value`.

    Examples
    --------
    >>> record("cells", 12)
    cells: 12
    """
    plain = json.loads(json.dumps(value, default=_to_plain))
    text = f"{name}: {plain:.4g}" if isinstance(plain, float) else f"{name}: {plain}"
    _display({RECORD_MIME: {"name": name, "value": plain}, "text/plain": text})


def collect(notebook: Any) -> dict[str, Any]:
    """Return the recorded results of an executed notebook, in order; of equal names the last wins.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        An executed notebook.

    Returns
    -------
    dict
        Name → value.
    """
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    entries = [output.data[RECORD_MIME] for output in outputs if RECORD_MIME in output.get("data", {})]
    return {entry["name"]: entry["value"] for entry in entries}


def _display(bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    """Make `bundle` (MIME type → content) an output of the cell; outside a notebook, print its text."""
    from IPython.display import display

    if in_notebook():
        display(bundle, metadata=metadata, raw=True)
    else:
        print(bundle["text/plain"])


def _to_plain(value: Any) -> Any:
    """Turn what JSON cannot hold, such as NumPy and torch values, into plain Python ones, or refuse it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"cannot record a {type(value).__name__}: give a number, a text, or a list or dict of these "
        "(for a table: table.to_dict())"
    )
