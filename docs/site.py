"""Write course, docs and API as one website of plain files, good on a USB stick.

    python docs/site.py [FOLDER]

The course is `course.write_site`'s. Beside it stand the Markdown pages of the repository, each under the
address that it has there (``docs/limits.md`` becomes ``docs/limits.html``), and ``api/``: a page for a room
with the signatures, docstrings and examples of the names that it hands out. Nothing on a page is fetched from
the network.
"""

from __future__ import annotations

import html
import importlib
import inspect
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import maunet_lite

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = "*.md", "docs/*.md", "notebooks/README.md", "data/README.md", "maunet_lite/weights/*/README.md"
STYLE = """
 body { font: 17px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; }
 nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-bottom: 1.5rem; }
 pre { background: #f6f7f9; padding: .7rem; overflow-x: auto; font-size: .85rem; white-space: pre-wrap; }
 table { border-collapse: collapse; display: block; overflow-x: auto; }
 td, th { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
 img { max-width: 100%; height: auto; } code { overflow-wrap: anywhere; }
td code { white-space: nowrap; }
 h2 { margin-top: 2rem; } h3 { font: 600 1rem ui-monospace, monospace; margin-bottom: .3rem; }
"""


def markdown_pages() -> dict[Path, Path]:
    """Return the Markdown files of the repository and their pages, both relative to their roots."""
    files = [path for pattern in PAGES for path in sorted(REPOSITORY.glob(pattern))]
    return {path: path.relative_to(REPOSITORY).with_suffix(".html") for path in files}


def rooms() -> list[str]:
    """Return the rooms of the package, in alphabetical order."""
    return sorted(name for name in maunet_lite.__all__ if (REPOSITORY / "maunet_lite" / name).is_dir())


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading.

    >>> slug("Modalities (paper Table 7), and *what* was never seen")
    'modalities-paper-table-7-and-what-was-never-seen'
    """
    text = html.unescape(re.sub(r"<[^>]+>", "", heading)).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def frame(title: str, body: str, page: Path) -> str:
    """Return a whole page: links to the parts of the site above `body`."""
    places = {"Course": "index.html", "Docs": "README.html", "API": "api/index.html"}
    links = "".join(f'<a href="{os.path.relpath(to, page.parent)}">{name}</a>' for name, to in places.items())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><nav>{links}</nav>\n{body}\n</body></html>\n"
    )


def doc_page(source: Path, page: Path, out: Path, pages: dict[Path, Path]) -> str:
    """Return a Markdown file as a page; files that it links to are copied beside it."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    from maunet_lite.course.publishing.pages import draw_formulas

    text = re.sub(r"\A---\n.*?\n---\n", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)  # of a card
    body = markdown2html_mistune(draw_formulas(text))
    body = re.sub(r'<a class="anchor-link".*?</a>', "", body, flags=re.DOTALL)

    def heading(match: re.Match[str]) -> str:
        return f'<{match[1]} id="{slug(match[2])}">{match[2]}</{match[1]}>'

    body = re.sub(r"<(h\d)[^>]*>(.*?)</\1>", heading, body, flags=re.DOTALL)

    def local(match: re.Match[str]) -> str:
        address = urlsplit(html.unescape(match[2]))
        target = (source.parent / unquote(address.path)).resolve()
        if address.scheme or not address.path or not target.is_relative_to(REPOSITORY):
            return match[0]
        if target.suffix == ".ipynb":
            place = Path(f"{target.stem}.html")
        elif target in pages:
            place = pages[target]
        elif target.is_file():
            place = target.relative_to(REPOSITORY)
            (out / place.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, out / place)
        else:
            return match[0]
        fragment = f"#{address.fragment}" if address.fragment else ""
        return f'{match[1]}="{os.path.relpath(place, page.parent)}{fragment}"'

    body = re.sub(r'(href|src)="([^"]*)"', local, body)
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body)
    return frame(re.sub(r"<[^>]+>", "", title[1]) if title else source.stem, body, page)


def entries(room: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, signature and docstring of what a room hands out."""
    module = importlib.import_module(f"maunet_lite.{room}")
    for name in module.__all__:
        thing = getattr(module, name)
        documented = inspect.isclass(thing) or inspect.isroutine(thing)
        try:
            signature = str(inspect.signature(thing)) if documented else ""
        except ValueError:
            signature = ""
        text = inspect.getdoc(thing) if documented else f"{name} = {thing!r}"[:500]
        yield name, signature, text or ""
        for method in vars(thing) if inspect.isclass(thing) else ():
            function = getattr(thing, method, None)
            if inspect.isroutine(function) and function.__doc__ and not method.startswith("_"):
                yield f"{name}.{method}", str(inspect.signature(function)), inspect.getdoc(function)


def api_page(room: str) -> str:
    """Return the page of a room."""
    module, found = importlib.import_module(f"maunet_lite.{room}"), list(entries(room))
    contents = " · ".join(f'<a href="#{name}">{name}</a>' for name, _, _ in found if "." not in name)
    about = html.escape(inspect.getdoc(module) or "")
    parts = [f"<h1>maunet_lite.{room}</h1><pre>{about}</pre><p>{contents}</p>"]
    for name, signature, text in found:
        head = f'<h3 id="{name}">{name}{html.escape(signature)}</h3>'
        parts.append(f"{head}<pre>{html.escape(text)}</pre>")
    return frame(f"maunet_lite.{room}", "\n".join(parts), Path("api") / f"{room}.html")


def write_docs(out: Path) -> None:
    """Write the Markdown pages."""
    pages = markdown_pages()
    for source, page in pages.items():
        (out / page.parent).mkdir(parents=True, exist_ok=True)
        (out / page).write_text(doc_page(source, page, out, pages), encoding="utf-8")


def write_api(out: Path) -> None:
    """Write a page for each room, and a list of them."""
    (out / "api").mkdir(parents=True, exist_ok=True)
    items = []
    for room in rooms():
        (out / "api" / f"{room}.html").write_text(api_page(room), encoding="utf-8")
        about = (inspect.getdoc(importlib.import_module(f"maunet_lite.{room}")) or "").splitlines()[0]
        items.append(f'<li><a href="{room}.html">{room}</a>: {html.escape(about)}</li>')
    intro = "<h1>API</h1><p>The rooms of the package, each with the names that it hands out.</p>"
    page = frame("API", f"{intro}<ul>{''.join(items)}</ul>", Path("api/index.html"))
    (out / "api" / "index.html").write_text(page, encoding="utf-8")


def write_all(out: Path) -> Path:
    """Write the whole site; return its cover page."""
    from maunet_lite.course import write_site

    cover = write_site(out)
    write_docs(out)
    write_api(out)
    links = '<p><a href="README.html">Docs</a> · <a href="api/index.html">API</a></p><br>'
    cards, text = '<div class="cards">', cover.read_text(encoding="utf-8")
    cover.write_text(text.replace(cards, f"{links}\n{cards}", 1), encoding="utf-8")
    return cover


class _Links(HTMLParser):
    """The addresses on a page, and the places that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, and its id."""
        found = dict(attrs)
        self.addresses += [found[key] for key in ("href", "src") if found.get(key)]
        self.places |= {found[key] for key in ("id", "name") if found.get(key)}


def dead_links(site: Path) -> list[str]:
    """Return every link of a site, within it, that leads nowhere."""
    parsed = {path: _Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in parsed.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = {parts.fragment, unquote(parts.fragment)} - {""}  # a browser tries both
            lost = places and target in parsed and not places & parsed[target].places
            if not target.is_file() or lost:
                dead.append(f"{path.relative_to(site)}: {address}")
    return dead


if __name__ == "__main__":
    written = write_all(Path(sys.argv[1] if len(sys.argv) > 1 else "out/site"))
    if problems := dead_links(written.parent):
        raise SystemExit("links that lead nowhere:\n" + "\n".join(problems))
    print(f"open {written}")
