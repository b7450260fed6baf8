"""The published notebooks as a small website: plain files, nothing fetched, good on a USB stick."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

from maunet_lite.course.publishing.pages import draw_formulas, write_page
from maunet_lite.course.publishing.sources import NotebookError, course_folder

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
    import nbformat

    folder = Path(folder) if folder and any(Path(folder).glob("*.ipynb")) else course_folder(folder)
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise NotebookError(f"no published notebook in {folder}: run  maunet-lite notebooks publish  first")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    for i, path in enumerate(paths):
        notebook = notebooks[path]
        _copy_pictures(notebook, folder, out)
        _link_pages(notebook, {path.stem for path in paths})
        previous, following = paths[i - 1] if i else None, paths[i + 1] if i + 1 < len(paths) else None
        write_page(notebook, out / f"{path.stem}.html", _navigation(previous, following, notebooks))
    cover = out / "index.html"
    cover.write_text(_cover(notebooks), encoding="utf-8")
    return cover


def title_and_summary(notebook: Any) -> tuple[str, str]:
    """Return a notebook's first heading and the first paragraph of plain text below it."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", text, re.M)
    blocks = text[title.end() :] if title else text
    plain = (block for block in re.split(r"\n\s*\n", blocks) if re.match(r"\s*[A-Za-z*_\"“]", block))
    summary = re.sub(r"\[([^\]]+)\]\([^)]+\)|[*_`]", lambda m: m[1] or "", next(plain, ""))
    return (title[1].strip() if title else "Notebook"), " ".join(summary.split())


def _navigation(previous: Path | None, following: Path | None, notebooks: dict[Path, Any]) -> str:
    links = ['<a href="index.html">Course</a>']
    if previous:
        links.append(
            f'<a href="{previous.stem}.html">← {html.escape(title_and_summary(notebooks[previous])[0])}</a>'
        )
    if following:
        title = html.escape(title_and_summary(notebooks[following])[0])
        links.append(f'<a href="{following.stem}.html">{title} →</a>')
    return " ".join(links)


def _link_pages(notebook: Any, pages: set[str]) -> None:
    """Let links between notebooks lead to their pages."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"\]\((?:\./)?([\w-]+)\.ipynb(#[^)]*)?\)",
                lambda m: f"]({m[1]}.html{m[2] or ''})" if m[1] in pages else m[0],
                cell.source,
            )


def _copy_pictures(notebook: Any, folder: Path, out: Path) -> None:
    """Copy local pictures that the text shows, so that the pages find them under the same name."""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for match in _PICTURE.finditer(cell.source):
            name = match[1] or match[2]
            picture = (folder / name).resolve()
            if re.match(r"\w+:", name) or not picture.is_file():
                continue
            target = out / "pictures" / picture.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(picture, target)
            cell.source = cell.source.replace(name, f"pictures/{picture.name}")


def _first_figure(notebook: Any) -> str:
    """Return the notebook's first figure as an img element, or an empty text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
                return f'<img alt="{alt}" src="data:image/png;base64,{png.strip()}">'
    return ""


def _cover(notebooks: dict[Path, Any]) -> str:
    cards = []
    for path, notebook in notebooks.items():
        title, summary = title_and_summary(notebook)
        title = re.sub(r"^\d\d · ", "", title)  # the number stands before it, in grey
        cards.append(
            f'<a class="card" href="{path.stem}.html">{_first_figure(notebook)}'
            f"<h2><small>{html.escape(path.stem[:2])}</small> {html.escape(title)}</h2>"
            f"<p>{draw_formulas(html.escape(summary, quote=False))}</p></a>"
        )
    return _COVER.replace("CARDS", "\n".join(cards))


_COVER = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cell segmentation with MAUNet</title>
<style>
 body { font: 17px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2.5rem auto; padding: 0 1rem; }
 .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.2rem; }
 .card { border: 1px solid #d5dae2; border-radius: .6rem; padding: 1rem; color: inherit; }
 .card { text-decoration: none; }
 .card:hover, .card:focus { border-color: #2b6cb0; } .card p img { height: auto; }
 .card > img { width: 100%; height: 9rem; object-fit: contain; background: #fff; }
 h2 { font-size: 1.15rem; margin: .7rem 0 .2rem; } small { color: #66707f; } p { margin: 0; }
</style></head><body>
<h1>Cell segmentation with MAUNet</h1>
<p>An ordered course on a small, tested package. Every page was executed; open the notebooks themselves with
<code>make lab</code>.</p><br>
<div class="cards">
CARDS
</div></body></html>
"""
