"""The website of course, docs and API: every link leads somewhere, every public name is there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

import maunet_lite

REPOSITORY = Path(__file__).resolve().parents[2]
pytest.importorskip("nbconvert", reason="needs the extra [course]")

spec = importlib.util.spec_from_file_location("kit_site", REPOSITORY / "docs" / "site.py")
site = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = site
spec.loader.exec_module(site)


def test_a_page_keeps_its_links_and_brings_what_it_shows(tmp_path):
    source = REPOSITORY / "docs" / "citing.md"
    text = site.doc_page(source, Path("docs/citing.html"), tmp_path, site.markdown_pages())
    assert 'href="../LICENSE-text.html"' in text  # another page
    assert 'href="../CITATION.cff"' in text  # a file, copied
    assert (tmp_path / "CITATION.cff").is_file()
    assert 'href="https://github.com/oist/Usiigaci"' in text
    assert '<h1 id="citing-and-whose-images-these-are">' in text
    card = REPOSITORY / "maunet_lite" / "weights" / "lite" / "README.md"
    text = site.doc_page(card, Path("card.html"), tmp_path, site.markdown_pages())
    assert "<h1" in text
    assert "library_name" not in text  # what hubs read is not for people


def test_dead_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here"></a><a href="b.html#gone"></a><img src="no.png">')
    (tmp_path / "b.html").write_text(
        '<p id="here"></p><a href="https://example.org">out</a><a href="#here"></a>'
    )
    assert site.dead_links(tmp_path) == ["a.html: b.html#gone", "a.html: no.png"]


@pytest.mark.slow
def test_the_whole_site_has_no_dead_link_and_every_public_name(tmp_path):
    cover = site.write_all(tmp_path / "site")
    assert cover == tmp_path / "site" / "index.html"
    assert site.dead_links(cover.parent) == []
    for room in site.rooms():
        page = (cover.parent / "api" / f"{room}.html").read_text(encoding="utf-8")
        for name in importlib.import_module(f"maunet_lite.{room}").__all__:
            assert f'<h3 id="{name}">' in page, (room, name)
    assert set(site.rooms()) <= set(maunet_lite.__all__)
    segment = (cover.parent / "api" / "inference.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt; " in segment  # examples
    assert "Parameters" in segment
