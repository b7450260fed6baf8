"""The published notebooks as a small website: plain files, nothing fetched, good on a USB stick."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat

from maunet_lite.course.publishing.pages import draw_formulas, figures, render, title_and_summary, write_page
from maunet_lite.course.publishing.sources import NotebookError, course_folder

_NOTEBOOK = re.compile(r"\]\((?:\./)?([\w-]+)\.ipynb(#[^)]*)?\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)[^)]*\)|<img[^>]*\bsrc=[\"']([^\"']+)[\"']")


def write_site(out: str | Path = "out/site", folder: str | Path | None = None) -> Path:
    """Write a cover page and one page per published notebook.

    Parameters
    ----------
    out : path
        The folder to write; made if it is not there.
    folder : path, optional
        The folder ``notebooks``, or a folder of executed notebooks such as that of a run.

    Returns
    -------
    Path
        The cover page, ``index.html``.

    Raises
    ------
    NotebookError
        If there is no executed notebook.
    """
    folder = Path(folder) if folder and any(Path(folder).glob("*.ipynb")) else course_folder(folder)
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}
    if not notebooks:
        raise NotebookError(f"no published notebook in {folder}: run  maunet-lite notebooks publish  first")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    summaries = {name: title_and_summary(notebook) for name, notebook in notebooks.items()}
    names = list(notebooks)
    for before, name, after in zip([None, *names], names, [*names[1:], None], strict=False):
        links = [("index.html", "Course")]
        links += [(f"{before}.html", f"← {summaries[before][0]}")] if before else []
        links += [(f"{after}.html", f"{summaries[after][0]} →")] if after else []
        page = _with_local_links(notebooks[name], folder, out, names)
        write_page(page, out / f"{name}.html", links)
    cards = [_card(name, notebook, *summaries[name]) for name, notebook in notebooks.items()]
    cover = out / "index.html"
    cover.write_text(render("cover.html.j2", cards=cards), encoding="utf-8")
    return cover


def _with_local_links(notebook: Any, folder: Path, out: Path, pages: list[str]) -> Any:
    """Let links between notebooks lead to their pages, and copy the pictures that the text shows."""

    def to_page(match: re.Match[str]) -> str:
        return f"]({match[1]}.html{match[2] or ''})" if match[1] in pages else match[0]

    def to_copy(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        picture = (folder / name).resolve()
        if re.match(r"\w+:", name) or not picture.is_file():
            return match[0]
        (out / "pictures").mkdir(exist_ok=True)
        shutil.copyfile(picture, out / "pictures" / picture.name)
        return match[0].replace(name, f"pictures/{picture.name}")

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _PICTURE.sub(to_copy, _NOTEBOOK.sub(to_page, cell.source))
    return notebook


def _card(name: str, notebook: Any, title: str, summary: str) -> dict[str, Any]:
    """Return what the cover says about a notebook: page, title, summary with drawn formulas, first figure."""
    first = figures(notebook)[:1]
    return {
        "page": f"{name}.html",
        "title": re.sub(r"^\d\d · ", "", title),  # the number stands before it, in grey
        "summary": draw_formulas(html.escape(summary, quote=False)),
        "figure": first and first[0],
    }
