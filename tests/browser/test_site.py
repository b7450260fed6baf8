"""The static website in a browser without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = (1200, 700)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from maunet_lite.course.publishing.pages import write_site

    return write_site(tmp_path_factory.mktemp("site"), REPOSITORY / "notebooks").parent


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_need_no_network_and_fit(site: Path, browser: Browser, pictures: Path, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in sorted(site.glob("*.html")):
            page.goto(path.as_uri())
            page.wait_for_load_state("networkidle")
            undescribed = page.locator("img:not([alt]), img[alt='']").count()
            assert undescribed == 0, f"{path.name}: {undescribed} pictures without a description"
            dead = page.evaluate("() => [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)")
            assert dead == [], f"{path.name}: pictures that do not load"
            beyond = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            assert beyond <= 0, f"{path.name} is {beyond} pixels wider than a window of {width}"
            if path.stem in ("index", "00_quickstart", "03_visualize_aap_features"):
                page.screenshot(
                    path=pictures / f"site_{path.stem}_{width}.png", full_page=path.stem == "index"
                )
        outside = [url for url in asked if urlsplit(url).scheme not in ("file", "data", "blob")]
        assert outside == []


def test_every_link_of_the_site_leads_somewhere(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    for path in sorted(site.glob("*.html")):
        page.goto(path.as_uri())
        for link in page.evaluate("() => [...document.querySelectorAll('a[href]')].map(a => a.href)"):
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue  # a reader's choice, fetched on a click only
            target = Path(unquote(parts.path))
            assert target.is_file(), f"{path.name} links to {link}"
            if parts.fragment and target == path:
                ids = [parts.fragment, unquote(parts.fragment)]  # a browser tries both
                there = page.evaluate("ids => ids.some(id => document.getElementById(id))", ids)
                assert there, f"{path.name} has no place {parts.fragment}"
    page.close()


def test_solutions_are_folded_and_open_on_a_click(site: Path, browser: Browser, pictures: Path) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((site / "00_quickstart.html").as_uri())
    solution = page.locator("details", has_text="np.bincount(labels.ravel(), weights=").last
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").click()
    assert code.is_visible()
    page.screenshot(path=pictures / "site_solution.png")
    page.close()
