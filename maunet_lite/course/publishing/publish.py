"""From sources to the executed notebooks that stand in the repository, and the checks that they are fresh.

``notebooks/sources/NN_name.py`` are edited and reviewed; ``notebooks/NN_name.ipynb`` are made from them here:
executed, with stable cell ids, without timestamps, small, and stamped with the hash of their source.
"""

import base64
import copy
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from maunet_lite.course.publishing import sources
from maunet_lite.course.publishing.copies import FOLDER, copy_problems, fold_solutions, write_copies
from maunet_lite.course.publishing.pages import figures, without_widgets
from maunet_lite.course.running.runner import run_notebooks
from maunet_lite.data import write_text

MAX_KILOBYTES = 1000

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")  # of memory: it differs in every run
_EMPTY_ALT = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=)[^>]*>")


def publish_notebooks(
    names: list[str] | None = None, profile: str = "quick", folder: str | Path | None = None,
    force: bool = False, jobs: int = 1,
) -> list[Path]:  # fmt: skip
    """Execute the notebooks whose published form is missing or stale, and put them beside their sources.

    Learners' copies are written anew, too; see `write_copies`.

    Parameters
    ----------
    names : list of str, optional
        As for `run_notebooks`; the whole course by default.
    profile : str
        A notebook's own defaults are ``quick``, so that nothing is injected then.
    folder : path, optional
        The folder ``notebooks``.
    force : bool
        Publish the fresh ones anew, too.
    jobs : int
        How many notebooks run side by side.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    NotebookError
        If a notebook does not run to its end; those that do are published.
    """
    folder = sources.course_folder(folder)
    chosen = [path for path in sources.select(names, folder) if path.suffix == ".py"]
    write_copies([*map(str, chosen)], folder=folder)
    hashes = {path: sources.source_hash(path) for path in chosen if force or not is_fresh(path, folder)}
    if not hashes:
        return []
    out = folder.parent / "out" / "publish"  # kept: what a failing notebook produced must be seen
    report = run_notebooks([*map(str, hashes)], profile, out=out, jobs=jobs, folder=folder)
    good = [run for run in report.runs if run.status == "ok"]
    for run in good:
        notebook = clean(nbformat.read(run.executed, as_version=4), run.source, hashes[run.source], profile)
        write_text(folder / f"{run.name}.ipynb", nbformat.writes(notebook) + "\n")
    if failures := [f"{run.name}: {run.failure()}" for run in report.runs if run.status != "ok"]:
        failures = ["not published:", *failures, f"see {report.folder / 'report.html'}"]
        raise sources.NotebookError("\n".join(failures))
    return [folder / f"{run.name}.ipynb" for run in good]


def is_fresh(source: Path, folder: Path) -> bool:
    """Tell whether the published notebook was made from this very source."""
    published = folder / f"{source.stem}.ipynb"
    stamp = sources.read_notebook(published).metadata.get("maunet", {}) if published.exists() else {}
    return stamp.get("source_sha256") == sources.source_hash(source)


def clean(notebook: Any, source: Path, digest: str, profile: str) -> Any:
    """Return an executed notebook without what changes from run to run, small, and stamped.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        As papermill left it.
    source : Path
        Its source.
    digest : str
        The hash of the source that was executed.
    profile : str
        How it was executed.
    """
    notebook = without_widgets(notebook)
    fold_solutions(notebook)
    stamp = {"profile": profile, "source": f"sources/{source.name}", "source_sha256": digest}
    notebook.metadata = nbformat.from_dict(sources.NOTEBOOK_METADATA | {"maunet": stamp})
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter") if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            text = json.dumps([output for output in cell.outputs if not _is_progress(output)])
            cell.outputs = nbformat.from_dict(json.loads(_ADDRESS.sub("", text)))
    sources.set_stable_ids(notebook)
    for width in (None, 900, 700, 560):  # pixels; a notebook's page on GitHub is about 900 wide
        small = shrink_figures(copy.deepcopy(notebook), width)
        if len(nbformat.writes(small)) <= MAX_KILOBYTES * 1000:
            break
    return small


def shrink_figures(notebook: Any, width: int | None = None) -> Any:
    """Store every figure as a PNG of at most 256 colours or, if that is smaller, as a JPEG of all colours.

    Lines and flat colours are smaller as a PNG, the noise of a micrograph as a JPEG.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        It is changed, and returned.
    width : int, optional
        Make figures at most so many pixels wide.
    """
    for output, stored in figures(notebook):
        picture = Image.open(io.BytesIO(base64.b64decode(output.data.pop(stored)))).convert("RGB")
        picture.thumbnail((width or picture.width, picture.height), Image.Resampling.LANCZOS)
        png, jpeg = io.BytesIO(), io.BytesIO()
        # A median cut, Pillow's default, gives most of the 256 to common colours: blue nuclei turn grey. What
        # has very many colours is smaller as a JPEG, and to choose 256 of them would take minutes.
        cover, few = Image.Quantize.MAXCOVERAGE, picture.getcolors(100_000) is not None
        (picture.quantize(256, cover, kmeans=1) if few else picture).save(png, "png", optimize=True)
        picture.save(jpeg, "jpeg", quality=75 if width else 85, subsampling=0)
        kind, buffer = min(("image/png", png), ("image/jpeg", jpeg), key=lambda form: form[1].tell())
        output.data[kind] = base64.b64encode(buffer.getvalue()).decode()
        output.metadata[kind] = output.metadata.pop(stored, {})
    return notebook


def check(folder: str | Path | None = None) -> list[str]:
    """Return what is wrong with the published notebooks and what mends it; an empty list is good news.

    Checked: each source is published and no published notebook lacks its source; the stamp is the source's
    hash; the size; every code cell was executed, in order; no output is an error or a warning; every figure
    carries a description; each learner's copy is what its source gives.
    """
    folder = sources.course_folder(folder)
    course, found = {source.stem: source for source in sources.find_sources(folder)}, []
    for where, problems in (("", _problems), (f"{FOLDER}/", copy_problems)):
        for name in sorted({*course, *(path.stem for path in (folder / where).glob("*.ipynb"))}):
            wrong = ["has no source (remove it, or write its source)"]
            if name in course:
                wrong = problems(course[name], folder / where / f"{name}.ipynb")
            found += [f"{where}{name}: {problem}" for problem in wrong]
    return found


def _problems(source: Path, published: Path) -> Iterator[str]:
    """Yield what is wrong with a published notebook and what mends it; its content only if it is fresh."""
    if not is_fresh(source, published.parent):
        yield f"{'older than its source' if published.exists() else 'not published'} (make publish)"
        return
    kilobytes = published.stat().st_size / 1000
    if kilobytes > MAX_KILOBYTES:
        yield f"{kilobytes:.0f} kB, at most {MAX_KILOBYTES} (fewer or smaller figures)"
    notebook = sources.read_notebook(published)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "cells not executed, or not in order (publish with --force)"
    outputs = [(f"cell [{i}]", output) for i, cell in enumerate(code, 1) for output in cell.outputs]
    for where, output in outputs:
        if output.output_type == "error":
            yield f"{where} raised {output.ename} (mend the source)"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"{where} warns: {output.text.strip().splitlines()[-1][:80]} (mend what it warns of)"
        pictures = [mime for mime in output.get("data", {}) if mime.startswith("image/")]
        if pictures and not any(output.metadata.get(mime, {}).get("alt") for mime in pictures):
            yield f'{where} shows a figure without a description (maunet_lite.course.show(fig, alt="…"))'
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and _EMPTY_ALT.search(cell.source):
            yield "a picture in the text has no description (![what it shows](…))"


def _is_progress(output: Any) -> bool:
    """Tell whether an output is a progress bar, which says nothing once the work is done."""
    return output.get("name") == "stderr" and bool(re.search(r"\r|\d%\|", output.text))
