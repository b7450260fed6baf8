"""Where the notebooks are, what they are called, and how a py:percent source becomes a notebook."""

import ast
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor
from papermill.translators import PythonTranslator

FIRST_CELL = "first_cell.py"  # beside the sources: what each notebook begins with, below its title
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(ValueError):
    """A notebook that does not exist or is not built as the course expects."""


def course_folder(start: str | Path | None = None) -> Path:
    """Return the folder ``notebooks`` of `start` or one of its parents, else the one beside the package.

    Parameters
    ----------
    start : path, optional
        Where to look first; by default the current folder.

    Raises
    ------
    NotebookError
        If there is none.
    """
    start = Path(start or ".").resolve()
    package = Path(__file__).resolve().parents[3]
    for parent in (start, *start.parents, package):
        for folder in (parent, parent / "notebooks"):
            if folder.name == "notebooks" and (folder / "sources").is_dir():
                return folder
    raise NotebookError(
        f"no folder notebooks/sources at or above {start}: run this inside a checkout of the kit, "
        "or give the path of a notebook"
    )


def find_sources(folder: Path) -> list[Path]:
    """Return the sources of the course, ``notebooks/sources/NN_name.py``, in order."""
    return sorted((folder / "sources").glob("[0-9][0-9]_*.py"))


def select(names: list[str] | None, folder: Path | None = None) -> list[Path]:
    """Return the notebooks that are meant by `names`.

    Parameters
    ----------
    names : list of str, optional
        Each a number (``3``, ``03``), the beginning of a name (``03_aap``, ``aap``) or a path of a ``.py`` or
        ``.ipynb`` file. The whole course by default.
    folder : Path, optional
        The folder ``notebooks``; by default found from the current folder.

    Raises
    ------
    NotebookError
        If a name fits no notebook or several.
    """
    if names:
        return list(dict.fromkeys(_find(name, folder) for name in names))
    folder = folder or course_folder()
    if not (chosen := find_sources(folder)):
        raise NotebookError(f"no notebook in {folder / 'sources'}: expected files NN_name.py")
    return chosen


def _find(name: str, folder: Path | None) -> Path:
    if name.endswith((".py", ".ipynb")) and Path(name).is_file():
        return Path(name).resolve()
    sources = find_sources(folder or course_folder())
    stem = Path(name).stem
    wanted = stem.zfill(2) if stem.isdigit() else stem
    hits = [path for path in sources if path.stem.startswith(wanted) or path.stem[3:].startswith(wanted)]
    hits = [path for path in hits if path.stem == wanted] or hits
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(path.stem for path in (hits or sources)) or "none"
    if hits:
        raise NotebookError(f"'{name}' fits several notebooks: {known}; give more of the name")
    hint = suggestion(stem, [path.stem for path in sources])
    raise NotebookError(f"no notebook '{name}': {hint}there are {known}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a question that begins a hint, or "" where nothing known resembles a word.

    Examples
    --------
    >>> suggestion("STEP", ["STEPS", "RATE"])
    'did you mean STEPS? '
    """
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"did you mean {close[0]}? " if close else ""


def source_hash(path: Path) -> str:
    """Return the SHA-256 of a text file, the same for all kinds of line ends."""
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> Any:
    """Read a py:percent source or an .ipynb as an unexecuted notebook with stable cell ids.

    A source gets the cell that stands in ``first_cell.py`` beside it, where there is one, below its title.

    Returns
    -------
    nbformat.NotebookNode
        Equal whenever the file is equal.

    Raises
    ------
    NotebookError
        If the file is no notebook.
    """
    notebook = read_notebook(path)
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    ClearOutputPreprocessor().preprocess(notebook, {})
    first = path.parent / FIRST_CELL
    if path.suffix == ".py" and first.exists():
        hidden = {"tags": ["first-cell"], "jupyter": {"source_hidden": True}}
        text = first.read_text(encoding="utf-8").strip()
        notebook.cells.insert(1, nbformat.v4.new_code_cell(text, metadata=hidden))
    set_stable_ids(notebook)
    return notebook


def has_tag(cell: Any, tag: str) -> bool:
    """Tell whether a cell bears a tag."""
    return tag in cell.metadata.get("tags", [])


def read_notebook(path: Path) -> Any:
    """Read a notebook as it is, an .ipynb or a py:percent source; NotebookError if it is none."""
    try:
        return jupytext.read(path, as_version=4, fmt="py:percent" if path.suffix == ".py" else "ipynb")
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:  # what is no notebook
        raise NotebookError(f"{path} is damaged or no notebook: {' '.join(str(error).split())}") from error


def set_stable_ids(notebook: Any) -> None:
    """Name each cell by the hash of its text (and a count, where the same text comes again).

    A change in one cell then changes one id, and reviewers see small differences.
    """
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def declared_parameters(path: Path) -> dict[str, Any]:
    """Return what the cell tagged ``parameters`` declares: name → default, ``...`` where it is no literal.

    Raises
    ------
    NotebookError
        If there is no such cell or more than one: papermill would put parameters where they do nothing.
    """
    tagged = [cell for cell in load(path).cells if has_tag(cell, "parameters")]
    if len(tagged) != 1:
        raise NotebookError(
            f"{path.name} has {len(tagged)} cells tagged 'parameters', expected exactly one: "
            'begin the cell with  # %% tags=["parameters"]'
        )
    parameters = {}
    for found in PythonTranslator.inspect(tagged[0]):
        parameters[found.name] = ...
        with suppress(ValueError, SyntaxError):
            parameters[found.name] = ast.literal_eval(found.default)
    return parameters
