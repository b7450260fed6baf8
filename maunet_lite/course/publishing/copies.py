"""Two notebooks of one source: the published one shows solutions folded, a learner's copy has none.

A solution is a code cell tagged ``solution`` below a text with ``<details>``. Metadata that hide a cell are
understood by JupyterLab only; code *inside* the ``<details>`` is folded by every viewer.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from maunet_lite.course.publishing import sources
from maunet_lite.data import write_text

FOLDER = "exercises"  # beside the published notebooks
_ANSWERS = re.compile(r"<details><summary>(?:Solution|Answers)</summary>.*?</details>\s*", re.DOTALL)


def fold_solutions(notebook: Any) -> None:
    r"""Move the code of each solution into the ``<details>`` of the text above it, in place.

    Its output, the check's verdict, goes; the cells after it are counted anew.

    Examples
    --------
    >>> text = nbformat.v4.new_markdown_cell("<details><summary>Solution</summary></details>")
    >>> code = nbformat.v4.new_code_cell("answer = 42", metadata={"tags": ["solution"]})
    >>> notebook = nbformat.v4.new_notebook(cells=[text, code])
    >>> fold_solutions(notebook)
    >>> [cell.source for cell in notebook.cells]
    ['<details><summary>Solution</summary>\n\n```python\nanswer = 42\n```\n\n</details>']
    """
    cells, folded = [], 0
    for cell in notebook.cells:
        if not sources.has_tag(cell, "solution"):
            cells.append(cell)
            for counted in (cell, *cell.get("outputs", [])):
                if counted.get("execution_count"):
                    counted.execution_count -= folded
            continue
        folded += 1
        if not cells or "</details>" not in cells[-1].source:
            fold = "<details><summary>Solution</summary>\n\n</details>"
            cells.append(nbformat.v4.new_markdown_cell(fold, id=f"{cell.id}-fold"))
        above, end, below = cells[-1].source.rpartition("</details>")
        cells[-1].source = f"{above.rstrip()}\n\n```python\n{cell.source}\n```\n\n{end}{below}"
    notebook.cells = cells


def learners_copy(source: Path, links_to: str = "..") -> Any:
    """Return the notebook of a source without solutions, answers and outputs, stamped with its own hash.

    Parameters
    ----------
    source : Path
        A ``notebooks/sources/NN_name.py``.
    links_to : str
        Where the folder ``notebooks`` is, seen from the copy; for links in the text.
    """
    notebook = sources.load(source)
    notebook.cells = [cell for cell in notebook.cells if not sources.has_tag(cell, "solution")]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = _ANSWERS.sub("", cell.source).rstrip()
            cell.source = re.sub(r"(?<=\]\()(?![a-z]+:|#)", f"{links_to}/", text)
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    published = f"[{source.stem}.ipynb]({links_to}/{source.stem}.ipynb)"
    notebook.cells[0].source += f"\n\n*A copy to work in. Solutions and answers: {published}.*"
    sources.set_stable_ids(notebook)
    notebook.metadata["maunet"] = {"source": f"sources/{source.name}", "cells_sha256": _digest(notebook)}
    return notebook


def write_copies(
    names: list[str] | None = None, out: str | Path | None = None, folder: str | Path | None = None
) -> tuple[list[Path], list[Path]]:
    """Write learners' copies of notebooks; those that somebody has worked in are left alone.

    Parameters
    ----------
    names : list of str, optional
        Numbers, beginnings of names or paths of sources; the whole course by default.
    out : path, optional
        Where to; ``notebooks/exercises`` by default.
    folder : path, optional
        The folder ``notebooks``.

    Returns
    -------
    (list of Path, list of Path)
        What was written, and what was left alone.
    """
    folder = sources.course_folder(folder)
    out = Path(out or folder / FOLDER).resolve()
    out.mkdir(parents=True, exist_ok=True)
    links_to = Path(os.path.relpath(folder, out)).as_posix()
    written, kept = [], []
    for source in (path for path in sources.select(names, folder) if path.suffix == ".py"):
        path = out / f"{source.stem}.ipynb"
        if path.exists() and _worked_in(path):
            kept.append(path)
            continue
        write_text(path, nbformat.writes(learners_copy(source, links_to)) + "\n")
        written.append(path)
    return written, kept


def copy_problems(source: Path, path: Path) -> Iterator[str]:
    """Yield what is wrong with the learner's copy of a source, and what mends it."""
    if not path.exists():
        yield "not written (maunet-lite notebooks exercises)"
    elif _worked_in(path):
        yield "somebody has worked in it (move it away; maunet-lite notebooks exercises)"
    elif nbformat.read(path, as_version=4) != learners_copy(source):
        yield "older than its source (maunet-lite notebooks exercises)"


def _worked_in(path: Path) -> bool:
    """Tell whether the cells of a copy are no longer those that were written."""
    notebook = nbformat.read(path, as_version=4)
    return notebook.metadata.get("maunet", {}).get("cells_sha256") != _digest(notebook)


def _digest(notebook: Any) -> str:
    """Return a hash of what stands in the cells; running them changes nothing."""
    text = "\0".join(cell.cell_type + cell.source for cell in notebook.cells)
    return hashlib.sha256(text.encode()).hexdigest()
