"""The correction tool under a real mouse, in a real JupyterLab: paint, split, merge, delete, undo, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import numpy as np
import pytest

import maunet_lite as ml
from maunet_lite.data import blur, write_image, write_labels

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.browser
SHAPE = (300, 500)


def write_notebook(folder: Path, images: Path) -> None:
    """Write a notebook of two cells that opens the tool."""
    text = f"correct({str(images / 'mine')!r}, {str(images / 'found')!r}, out={str(images / 'out')!r})"
    cells = [nbformat.v4.new_code_cell(code) for code in ("from maunet_lite.course import correct", text)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "correction.ipynb")


class Tool:
    """The tool on the page, its image fitted into the view."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook, self.node = notebook, notebook.page.locator(".correct")
        self.node.wait_for(state="visible")
        self.answers(1)

    def answers(self, least: int) -> None:
        """Wait until the kernel has answered so often."""
        count = "node => Number(node.dataset.answers || 0)"
        self.notebook.wait_for(lambda: self.node.evaluate(count) >= least, 60, f"answer {least}")

    def click(self, text: str) -> None:
        self.node.get_by_role("button", name=text, exact=True).click()

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Return where a pixel's middle lies on the screen."""
        box = self.node.locator(".correct-view").bounding_box()
        scale = min(box["width"] / SHAPE[1], box["height"] / SHAPE[0])
        left, top = (box["width"] - scale * SHAPE[1]) / 2, (box["height"] - scale * SHAPE[0]) / 2
        return box["x"] + left + scale * (column + 0.5), box["y"] + top + scale * (row + 0.5)

    def draw(self, tool: str, *points: tuple[float, float], release: bool = True) -> None:
        """Choose a tool and draw through points (row, column); wait for the answer."""
        before = int(self.node.get_attribute("data-answers"))
        self.click(tool)
        mouse = self.notebook.page.mouse
        mouse.move(*self.place(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.place(*point), steps=8)
        if release:
            mouse.up()
            self.answers(before + 1)

    def tell(self) -> str:
        return self.node.locator(".correct-status").inner_text()

    def cells(self) -> int:
        return int(self.node.locator(".correct-count").inner_text().split()[0])


def test_cells_are_corrected_and_saved(lab: Lab, browser: Browser, pictures: Path, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[40:100, 40:160] = 1  # two cells in one
    labels[40:100, 200:240], labels[40:100, 240:290] = 2, 3  # one cell in two
    labels[180:240, 60:120] = 4
    labels[180:240, 200:260] = 5  # none
    for k, name in enumerate(("first", "second")):
        light = 30 + blur(140.0 * (labels > 0), 4) + np.random.default_rng(k).normal(0, 8, SHAPE)
        write_image(tmp_path / "mine" / f"{name}.png", light.clip(0, 255).astype(np.uint8))
        write_labels(tmp_path / "found" / f"{name}_label.tiff", labels)
    write_notebook(lab.notebooks, tmp_path)

    with lab.open(browser, "correction", pictures) as notebook:
        notebook.run_all()
        tool = Tool(notebook)
        notebook.photograph("1_start", tool.node)
        assert tool.cells() == 5
        tool.draw("Split", (30, 100), (110, 100))
        assert tool.cells() == 6
        tool.draw("Merge", (70, 220), (70, 270))
        assert tool.cells() == 5
        tool.draw("Delete", (210, 230))
        assert tool.cells() == 4
        tool.draw("Paint", (210, 100), (210, 150), release=False)
        notebook.photograph("2_stroke")
        notebook.page.mouse.up()
        tool.draw("New cell", (180, 380), (180, 440), (240, 440), (240, 380))
        assert tool.cells() == 5
        tool.draw("Erase", (40, 60), (100, 60))
        assert tool.cells() == 6
        notebook.photograph("3_edited")
        tool.click("Undo")
        notebook.wait_for(lambda: tool.cells() == 5, 30, "undone")
        tool.click("Redo")
        notebook.wait_for(lambda: tool.cells() == 6, 30, "done again")
        notebook.page.keyboard.press("z")  # the focus is on a button: nothing
        tool.node.locator(".correct-view").focus()
        notebook.page.keyboard.press("z")
        notebook.wait_for(lambda: tool.cells() == 5, 30, "undone by a key")
        tool.draw("Delete", (5, 5))
        assert "delete changed nothing" in tool.tell()
        notebook.photograph("4_error")
        tool.click("Save")
        notebook.wait_for(lambda: "saved" in tool.tell(), 30, "saved")
        notebook.photograph("5_saved")

        mouse = notebook.page.mouse  # zoom in at a cell and out again, pan, other light
        mouse.move(*tool.place(70, 130))
        notebook.page.locator(".correct-view").focus()
        for _ in range(4):
            mouse.wheel(0, -200)
        tool.node.locator("input[aria-label=Contrast]").fill("220")
        tool.node.get_by_label("Fill").uncheck()
        notebook.page.wait_for_timeout(400)
        notebook.photograph("6_zoomed")
        tool.click("Fit")
        tool.node.locator("li", has_text="second").click()
        notebook.wait_for(
            lambda: "correct-open" in tool.node.locator("li", has_text="second").get_attribute("class"),
            30,
            "second",
        )
        notebook.photograph("7_second")
        assert notebook.mistakes == []

    found = ml.read_labels(tmp_path / "out" / "labels" / "first_label.tiff")
    assert found[70, 60] != found[70, 140] != 0  # split
    assert found[70, 220] == found[70, 270] != 0  # merged
    assert found[210, 230] == 0  # deleted
    assert found[210, 140] == found[210, 90] == 4  # painted
    assert found[210, 410] not in (0, 1, 2, 3, 4)  # new
    assert np.count_nonzero(np.unique(found)) == 5
    assert np.array_equal(ml.read_image(tmp_path / "out" / "images" / "first.tiff"),
                          ml.read_image(tmp_path / "mine" / "first.png"))  # fmt: skip
    assert not (tmp_path / "out" / "labels" / "second_label.tiff").exists()
