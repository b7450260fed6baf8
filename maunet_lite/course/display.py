"""Figures with a description, small enough for a repository."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def show(figure: Figure | Axes, alt: str, dpi: int = 110) -> None:
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
    from IPython.display import display

    if not alt.strip():
        raise ValueError(
            "alt is empty: say in a sentence what the figure shows, for readers who cannot see it"
        )
    figure = getattr(figure, "figure", figure)
    alt = " ".join(alt.split())
    try:
        get_ipython()  # type: ignore[name-defined]
    except NameError:
        print(f"[figure: {alt}]")
    else:
        bundle, metadata = _bundle(figure, alt, dpi)
        display(bundle, metadata=metadata, raw=True)
    plt.close(figure)


def _bundle(figure: Figure, alt: str, dpi: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the data and metadata of a display message that holds the figure as PNG and its description."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    png = base64.b64encode(buffer.getvalue()).decode()
    return {"image/png": png, "text/plain": f"[figure: {alt}]"}, {"image/png": {"alt": alt}}
