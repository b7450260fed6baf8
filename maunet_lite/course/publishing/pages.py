"""Executed notebooks as web pages that work without a network.

nbconvert's own pages fetch MathJax, RequireJS and more from the web when they are opened. These pages do not:
formulas are drawn by matplotlib when the page is written, pictures carry their descriptions, and solutions
are folded.
"""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

# nbconvert's "lab" look without anything that is fetched; figures keep the alt text of `course.show`
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
<style>
  main { max-width: 62rem; margin: 0 auto; } img { max-width: 100%; height: auto; }
  .maunet-math-block { display: block; margin: 1em auto; }
  .maunet-folded { margin: .3em 0 1em; } .maunet-folded > summary { font: 14px sans-serif; }
  .maunet-folded > summary { margin-left: 76px; } summary { cursor: pointer; color: #1a5fb4; }
  .jp-InputArea-editor, .jp-CodeMirrorEditor { overflow-x: auto; }
  @media (max-width: 760px) { .maunet-folded > summary { margin-left: 14px; } }
  .maunet-nav { font-family: sans-serif; padding: .8em 1em; display: flex; gap: 2em; }
</style>
{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block body_header -%}{{ super() }}{{ resources.maunet_nav }}{%- endblock -%}
{%- block body_footer -%}{{ resources.maunet_nav }}{{ super() }}{%- endblock -%}
{% block codecell %}
{%- set hidden = cell.metadata.get('jupyter', {}).get('source_hidden') -%}
{%- if hidden or 'solution' in cell.metadata.get('tags', []) -%}
<details class="maunet-folded"><summary>Solution in code</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{% endblock codecell %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}">
</div>
{% endblock data_png %}
"""

_CODE = re.compile(r"(^```.*?^```|^~~~.*?^~~~|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_MATH = re.compile(
    r"\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$\\])?)\$(?![\w$])", re.DOTALL
)


def write_page(notebook: Any, page: str | Path, navigation: str = "") -> Path:
    """Write a notebook as one HTML file without links to anything on the network.

    Parameters
    ----------
    notebook : path or nbformat.NotebookNode
        An executed notebook.
    page : path
        The file to write.
    navigation : str
        HTML to put above and below, such as links to the pages before and after.

    Returns
    -------
    Path
        `page`.
    """
    from maunet_lite.data import atomic_path

    with atomic_path(Path(page)) as temporary:
        temporary.write_text(to_html(notebook, navigation), encoding="utf-8")
    return Path(page)


def to_html(notebook: Any, navigation: str = "") -> str:
    """Return a notebook as one HTML page; parameters as for `write_page`."""
    import nbformat
    from nbconvert import HTMLExporter

    if isinstance(notebook, (str, Path)):
        notebook = nbformat.read(notebook, as_version=4)
    notebook = without_widgets(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = draw_formulas(cell.source)
    exporter = HTMLExporter(raw_template=_TEMPLATE)
    nav = f'<nav class="maunet-nav">{navigation}</nav>' if navigation else ""
    title = next(
        (m[1] for cell in notebook.cells for m in re.finditer(r"^# (.+)$", cell.source, re.M)), "Notebook"
    )
    notebook.metadata["title"] = title
    body, _ = exporter.from_notebook_node(notebook, resources={"maunet_nav": nav})
    return body


def without_widgets(notebook: Any) -> Any:
    """Return a copy without what is dead on a page: live widgets and plotly's scripts."""
    import copy

    dead = ("application/vnd.jupyter.widget-view+json", "application/vnd.plotly.v1+json")
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                out for out in cell.outputs if not any(mime in out.get("data", {}) for mime in dead)
            ]
    return notebook


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
        parts[i] = _MATH.sub(lambda m: _formula(m["block"] or m["inline"], m["block"] is not None), parts[i])
    return "".join(parts)


def _formula(tex: str, block: bool) -> str:
    tex = " ".join(tex.split())
    kind = "maunet-math maunet-math-block" if block else "maunet-math"
    try:
        svg, height, depth = _draw(tex, 15 if block else 12)
    except ValueError:
        return f'<code class="{kind}">{html.escape(tex)}</code>'
    data = base64.b64encode(svg).decode()
    style = f"height: {height:.2f}em; vertical-align: {-depth:.2f}em"
    return (
        f'<img class="{kind}" style="{style}" alt="{html.escape(tex)}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _draw(tex: str, size: float) -> tuple[bytes, float, float]:
    """Return the formula as SVG, its height, and how far it reaches below the line, in units of 12 points."""
    from matplotlib import rc_context
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "maunet"}):
        depth = math_to_image(f"${tex}$", buffer, prop=FontProperties(size=size), format="svg")
    svg = re.sub(rb"<metadata>.*?</metadata>", b"", buffer.getvalue(), flags=re.DOTALL)
    points = float(re.search(rb'height="([\d.]+)pt"', svg)[1])
    return svg, points / 12, depth / 12
