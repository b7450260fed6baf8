"""Results that a notebook hands to the report of its run."""

from __future__ import annotations

import json
from typing import Any

RECORD_MIME = "application/vnd.maunet.record+json"


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
    from IPython.display import display

    plain = json.loads(json.dumps(_to_plain(value), default=_refuse))
    text = f"{name}: {plain:.4g}" if isinstance(plain, float) else f"{name}: {plain}"
    bundle = {RECORD_MIME: {"name": name, "value": plain}, "text/plain": text}
    try:
        get_ipython()  # type: ignore[name-defined]
    except NameError:
        print(text)
    else:
        display(bundle, raw=True)


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
    results = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            entry = output.get("data", {}).get(RECORD_MIME)
            if entry:
                results[entry["name"]] = entry["value"]
    return results


def _to_plain(value: Any) -> Any:
    """Turn NumPy and torch values, also inside lists and dicts, into plain Python ones."""
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _refuse(value: Any) -> None:
    raise TypeError(
        f"cannot record a {type(value).__name__}: give a number, a text, or a list or dict of these "
        "(for a table: table.to_dict())"
    )
