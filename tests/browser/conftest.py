"""A browser and a JupyterLab for the tests in this folder; screenshots go to out/browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, find_chromium, write_course

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the folder of screenshots, and of JupyterLab's log."""
    folder = REPOSITORY / "out" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium: the system's, or playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        try:
            # --no-sandbox: containers and CI run as root; the pages are the kit's own
            chromium = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(
                f"no Chromium starts here ({str(error).splitlines()[0]}): make test-browser installs one"
            )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab with small copies of the notebooks."""
    from maunet_lite.course.publishing.sources import find_sources

    server = Lab(tmp_path_factory.mktemp("lab"), pictures / "jupyterlab.log")
    write_course(server.notebooks, find_sources(REPOSITORY / "notebooks"), "smoke")
    with server:
        yield server
