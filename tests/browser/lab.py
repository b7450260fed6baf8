"""A real JupyterLab with the course in it, and what a reader does with a notebook there.

`Lab` starts the server with a home, settings and a copy of the notebooks of its own, so that nothing of the
person who runs the tests is read or changed. `Notebook` is one notebook, open in a browser.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

START_SECONDS = 180
RUN_SECONDS = 600  # for all cells of a notebook: several builds may share the machine
ANSWER_SECONDS = 60  # for one move of a control
REST_SECONDS = 2.5  # longer than one figure takes to draw, also on a machine that does much else

_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
_CELLS = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.context?.isReady ? panel.content.model.sharedModel.toJSON().cells : null;
}"""
_KERNEL_READY = """() => {
  const session = window.jupyterapp.shell.currentWidget.sessionContext;
  const kernel = session.isReady && session.session?.kernel;
  return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def find_chromium() -> str | None:
    """Return a browser that is installed on the system, or None: then playwright may have its own."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    chosen = os.environ.get("MAUNET_CHROMIUM")
    return chosen or next((found for found in map(shutil.which, names) if found), None)


def write_course(folder: Path, sources: list[Path], profile: str) -> None:
    """Write unexecuted notebooks with the parameters of a profile, as the runner would execute them."""
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    from maunet_lite.course.publishing.sources import load
    from maunet_lite.course.running.runner import plan

    for source, parameters in plan(sources, profile, {}).items():
        path = folder / f"{source.stem}.ipynb"
        nbformat.write(load(source), path)
        nbformat.write(parameterize_notebook(load_notebook_node(str(path)), parameters), path)


class Lab:
    """A JupyterLab server on a free port; a context manager."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.notebooks, self.home, self.log = folder / "notebooks", folder / "home", log
        self.token = secrets.token_hex(16)
        for path in (self.notebooks, self.home):
            path.mkdir(parents=True)

    def __enter__(self) -> Lab:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._write_settings()
        options = {
            "ServerApp.port": self.url.rpartition(":")[2],
            "ServerApp.port_retries": "0",
            "ServerApp.root_dir": self.notebooks,
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": "True",  # so that a test can ask for the outputs of all cells
            "LabApp.user_settings_dir": self.home / "settings",
            "LabApp.workspaces_dir": self.home / "workspaces",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment()
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            kernels = psutil.Process(self.process.pid).children(recursive=True)
            self.process.terminate()  # the server ends its kernels …
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            for process in kernels:  # … and if it did not, nothing is left behind all the same
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.kill()
        self.process.wait()

    def _write_settings(self) -> None:
        for name, values in _SETTINGS.items():
            path = self.home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")
        kernel = self.home / "kernels" / "python3" / "kernel.json"  # this Python, whatever is registered
        kernel.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))

    def _environment(self) -> dict[str, str]:
        package = str(Path(__file__).resolve().parents[2])
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "MPLBACKEND"))}
        environment |= {
            "HOME": str(self.home),
            "JUPYTER_PATH": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        return environment

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"JupyterLab ended: see {self.log}"
            try:
                with urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"JupyterLab did not answer within {START_SECONDS} s: see {self.log}")

    @contextlib.contextmanager
    def open(self, browser: Browser, name: str, pictures: Path) -> Iterator[Notebook]:
        """Open a notebook in a new window, and close it and its kernel at the end."""
        with browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
            page = context.new_page()
            page.set_default_timeout(1000 * ANSWER_SECONDS)
            page.goto(f"{self.url}/lab/tree/{name}.ipynb?reset&token={self.token}")
            notebook = Notebook(page, name, pictures)
            try:
                notebook.wait_for(lambda: page.evaluate(_CELLS), START_SECONDS, "opened")
                yield notebook
            except BaseException:
                with contextlib.suppress(Exception):
                    notebook.photograph("failed")
                raise
            finally:
                page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")


class Notebook:
    """A notebook that is open in the browser.

    Attributes
    ----------
    page : playwright.sync_api.Page
    mistakes : list of str
        Errors that the page's own code met.
    """

    def __init__(self, page: Page, name: str, pictures: Path) -> None:
        self.page, self.name, self.pictures = page, name, pictures
        self.mistakes: list[str] = []
        page.on("pageerror", lambda error: self.mistakes.append(str(error)))

    def wait_for(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Return the condition's value once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{self.name}: {what}? not within {seconds} s")

    def cells(self) -> list[dict[str, Any]]:
        """Return the code cells as JupyterLab has them now, with outputs."""
        return [cell for cell in self.page.evaluate(_CELLS) if cell["cell_type"] == "code"]

    def run_all(self) -> None:
        """Choose Run All Cells in the menu Run; wait for the last cell; fail on the first error."""
        page = self.page
        self.wait_for(lambda: page.evaluate(_KERNEL_READY), START_SECONDS, "kernel ready")
        page.locator(".lm-MenuBar-item", has_text="Run").first.click()
        page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
        self.wait_for(self._all_cells_ran, RUN_SECONDS, "all cells ran")

    def _all_cells_ran(self) -> bool:
        cells = self.cells()
        for number, cell in enumerate(cells, 1):
            for output in cell["outputs"]:
                assert output["output_type"] != "error", (
                    f"{self.name}, cell {number}: {output['ename']}: {output['evalue']}\n{cell['source']}"
                )
        return all(cell.get("execution_count") for cell in cells if "".join(cell["source"]).strip())

    def widget(self, holding: str, cell: str) -> Locator:
        """Return the widget of the cell whose source holds `cell`, by a selector of something in it."""
        page = self.page
        # Cells far away are not in the page until they are scrolled to: go there as a reader would.
        index = page.evaluate(
            f"""text => ({_CELLS})().findLastIndex(cell => [].concat(cell.source).join("").includes(text)
              && (cell.outputs ?? []).some(
                output => 'application/vnd.jupyter.widget-view+json' in (output.data ?? {{}})))""",
            cell,
        )
        assert index >= 0, f"{self.name} shows no widget below {cell!r}"
        page.evaluate(
            "index => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'start')", index
        )
        widget = page.locator(".jp-OutputArea-output .jupyter-widgets.widget-vbox").filter(
            has=page.locator(holding)
        )
        widget.first.wait_for(state="visible")
        return widget.first

    def drag_slider(self, widget: Locator, label: str, to: float) -> None:
        """Drag the handle of a slider to a place between 0, its left end, and 1."""
        row = widget.locator(".widget-slider", has_text=label).first
        row.scroll_into_view_if_needed()
        handle = row.locator(".noUi-handle").first.bounding_box()
        track = row.locator(".noUi-base").first.bounding_box()
        mouse = self.page.mouse
        mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        mouse.down()
        mouse.move(track["x"] + to * track["width"], handle["y"] + handle["height"] / 2, steps=8)
        mouse.up()

    def choose(self, widget: Locator, label: str, option: str) -> None:
        """Choose from a drop-down list."""
        row = widget.locator(".widget-dropdown", has_text=label).first
        row.scroll_into_view_if_needed()
        row.locator("select").select_option(label=option)

    def photograph(self, name: str, widget: Locator | None = None) -> None:
        """Keep a screenshot among the artifacts of the test, with the widget scrolled to the top."""
        if widget is not None:
            widget.evaluate("node => node.scrollIntoView({block: 'start'})")
            self.page.wait_for_timeout(300)
        self.page.screenshot(path=self.pictures / f"{self.name[:2]}_{name}.png")

    def changed(self, picture: Locator, act: Callable[[], None], least: float = 0.001) -> None:
        """Act, and wait until more than a share `least` of a picture's pixels have another colour.

        Returns when the picture has come to rest: a dragged slider draws several, and the last one counts.
        """
        before = pixels(picture)
        act()
        self.wait_for(lambda: difference(before, pixels(picture)) > least, ANSWER_SECONDS, "figure changed")
        self.wait_for(lambda: self._rests(picture), ANSWER_SECONDS, "figure came to rest")

    def _rests(self, picture: Locator) -> bool:
        before = pixels(picture)
        self.page.wait_for_timeout(1000 * REST_SECONDS)
        return difference(before, pixels(picture)) == 0


def pixels(part: Locator, tries: int = 5) -> np.ndarray:
    """Return what a part of the page looks like, (H, W, 3) uint8; an image: its own pixels.

    A figure may be replaced by a new one in the very moment; then the new one is looked at.
    """
    from playwright.sync_api import Error

    for _ in range(tries - 1):
        try:
            return _pixels_now(part)
        except Error as error:
            if "not attached" not in error.message:
                raise
            part.page.wait_for_timeout(200)
    return _pixels_now(part)


def _pixels_now(part: Locator) -> np.ndarray:
    import base64

    from PIL import Image

    if part.evaluate("node => node.tagName") == "IMG":
        encoded = part.evaluate(
            """async image => {
            await image.decode();
            const canvas = document.createElement('canvas');
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/png').split(',')[1]; }"""
        )
        png = base64.b64decode(encoded)
    else:
        png = part.screenshot()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of pixels that differ; 1 if the sizes do.

    Examples
    --------
    >>> white = np.full((2, 2, 3), 255, np.uint8)
    >>> difference(white, white), difference(white, np.where([[[1], [0]]], white, 0))
    (0.0, 0.5)
    """
    if before.shape != after.shape:
        return 1.0
    return float((before != after).any(axis=2).mean())
