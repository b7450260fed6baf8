"""Executed notebooks as web pages that work without a network, and the course as a small website of them.

nbconvert's own pages fetch MathJax, RequireJS and more from the web when they are opened. These pages do not:
formulas are drawn by matplotlib when the page is written, pictures carry their descriptions, and solutions
are folded. A website is plain files, good on a USB stick.
"""

import base64
import copy
import html
import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from maunet_lite.course.publishing.copies import fold_solutions
from maunet_lite.course.publishing.sources import NotebookError, course_folder, has_tag, read_notebook
from maunet_lite.data import write_text
from maunet_lite.export import for_link

TEMPLATES = Path(__file__).parent / "templates"
_CODE = re.compile(r"(^```.*?^```|^~~~.*?^~~~|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$([^\s$](?:[^$\n]*[^\s$\\])?)\$(?![\w$])", re.DOTALL)
_NOTEBOOK = re.compile(r"\]\((?:\./)?([\w-]+)\.ipynb(#[^)]*)?\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)[^)]*\)|<img[^>]*\bsrc=[\"']([^\"']+)[\"']")


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates beside this file; texts are escaped."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    environment.filters["link"] = for_link
    return environment.get_template(template).render(values)


def write_page(notebook: Any, page: str | Path, links: Sequence[tuple[str, str]] = ()) -> None:
    """Write a notebook as one HTML file without links to anything on the network.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        An executed notebook.
    page : path
        The file to write.
    links : sequence of (str, str)
        Address and text of links to put above and below, such as to the pages before and after.
    """
    write_text(page, to_html(notebook, links))


def to_html(notebook: Any, links: Sequence[tuple[str, str]] = ()) -> str:
    """Return a notebook as one HTML page; parameters as for `write_page`."""
    from nbconvert import HTMLExporter

    notebook = without_widgets(notebook)
    fold_solutions(notebook)
    notebook.cells = [cell for cell in notebook.cells if not has_tag(cell, "first-cell")]
    notebook.metadata["title"] = title_and_summary(notebook)[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = draw_formulas(cell.source)
    exporter = HTMLExporter(raw_template=(TEMPLATES / "page.html.j2").read_text(encoding="utf-8"))
    return exporter.from_notebook_node(notebook, resources={"links": links})[0]


def title_and_summary(notebook: Any) -> tuple[str, str]:
    """Return a notebook's first heading and the first paragraph of plain text below it."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", text, re.M)
    blocks = re.split(r"\n\s*\n", text[title.end() :] if title else text)
    summary = next((block for block in blocks if re.match(r"\s*[A-Za-z*_\"“]", block)), "")
    summary = re.sub(r"\[([^\]]+)\]\([^)]+\)|[*_`]", lambda m: m[1] or "", summary)
    return (title[1].strip() if title else "Notebook"), " ".join(summary.split())


def without_widgets(notebook: Any) -> Any:
    """Return a copy without what is dead on a page: plotly's scripts, widgets without a twin in HTML."""
    widget = "application/vnd.jupyter.widget-view+json"
    dead = {widget, "application/vnd.plotly.v1+json"}
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):
                    output.data.pop(widget, None)
            cell.outputs = [output for output in cell.outputs if dead.isdisjoint(output.get("data", {}))]
    return notebook


def figures(notebook: Any) -> list[tuple[Any, str]]:
    """Return the outputs of a notebook that hold a PNG or a JPEG, in order, each with the picture's type."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = ("image/png", "image/jpeg")
    return [(output, kind) for output in outputs for kind in kinds if kind in output.get("data", {})]


def draw_formulas(markdown: str) -> str:
    r"""Replace ``$…$`` and ``$$…$$`` outside code by pictures drawn here.

    A formula that matplotlib cannot draw stays readable: its TeX in a code font.

    Examples
    --------
    >>> draw_formulas("costs `$5` each")
    'costs `$5` each'
    >>> draw_formulas("with $\\alpha$")[:10]
    'with <img '
    """
    parts = _CODE.split(markdown)
    for i in range(0, len(parts), 2):  # odd parts are code
        parts[i] = _MATH.sub(lambda m: _formula(m[1] or m[2], m[1] is not None), parts[i])
    return "".join(parts)


def _formula(tex: str, block: bool) -> str:
    """Return a picture of a formula as HTML; its height and how far it reaches below the line in em."""
    from matplotlib import rc_context
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    tex, buffer = " ".join(tex.split()), io.BytesIO()
    kind = "maunet-math maunet-math-block" if block else "maunet-math"
    font = FontProperties(size=15 if block else 12)
    try:
        with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "maunet"}):
            depth = math_to_image(f"${tex}$", buffer, prop=font, format="svg")
    except ValueError:
        return f'<code class="{kind}">{html.escape(tex)}</code>'
    svg = re.sub(rb"<metadata>.*?</metadata>", b"", buffer.getvalue(), flags=re.DOTALL)
    height = float(re.search(rb'height="([\d.]+)pt"', svg)[1])
    style = f"height: {height / 12:.2f}em; vertical-align: {-depth / 12:.2f}em"
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<img class="{kind}" style="{style}" alt="{html.escape(tex)}" src="{source}">'


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
    notebooks = {path.stem: read_notebook(path) for path in sorted(folder.glob("*.ipynb"))}
    if not notebooks:
        raise NotebookError(f"no published notebook in {folder}: run  maunet-lite notebooks publish  first")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    summaries = {name: title_and_summary(notebook) for name, notebook in notebooks.items()}
    names, cards = list(notebooks), []
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        links = [("index.html", "Course")]
        links += [(for_link(f"{before}.html"), f"← {summaries[before][0]}")] if before else []
        links += [(for_link(f"{after}.html"), f"{summaries[after][0]} →")] if after else []
        page = _with_local_links(notebooks[name], folder, out, names)
        write_page(page, out / f"{name}.html", links)
        title, summary = summaries[name]
        title = re.sub(r"^\d\d · ", "", title)  # the number stands before it, in grey
        summary = draw_formulas(html.escape(summary, quote=False))
        cards.append({"page": f"{name}.html", "title": title, "summary": summary, "figures": figures(page)})
    cover = out / "index.html"
    write_text(cover, render("cover.html.j2", cards=cards))
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
