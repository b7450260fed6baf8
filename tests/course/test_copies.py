"""Learners' copies lack solutions and are never written over; published notebooks fold them with code."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from maunet_lite.course.publishing.copies import fold_solutions, learners_copy, write_copies
from maunet_lite.course.publishing.pages import to_html
from maunet_lite.course.publishing.publish import check

REPOSITORY = Path(__file__).resolve().parents[2]
FIRST_CELL = REPOSITORY / "notebooks" / "sources" / "first_cell.py"

SOURCE = """\
# %% [markdown]
# # 00 · Add
#
# See [the next one](01_next.ipynb), [a page](../docs/page.md#part) and [a site](https://example.org).

# %% tags=["parameters"]
PROFILE = "quick"

# %%
def add(a, b):
    raise NotImplementedError

# %% [markdown]
# <details><summary>Solution</summary>
#
# A plus sign.
#
# </details>

# %% tags=["solution"]
def add_solution(a, b):
    return a + b

# %% [markdown]
# ## On your own
#
# - *Easy.* Add three.
#
# <details><summary>Answers</summary>
#
# Twice a plus sign.
#
# </details>
#
# Good luck.
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "sources").mkdir(parents=True)
    (folder / "sources" / "00_add.py").write_text(SOURCE, encoding="utf-8")
    return folder


def copy_problems(course: Path) -> list[str]:
    return [problem for problem in check(course) if problem.startswith("exercises/")]


def test_a_copy_has_neither_solutions_nor_answers_and_its_links_lead_up(course: Path) -> None:
    copy = learners_copy(course / "sources" / "00_add.py")
    text = "\n".join(cell.source for cell in copy.cells)
    assert "raise NotImplementedError" in text
    for hidden in ("a + b", "plus sign", "<details>"):
        assert hidden not in text
    assert "Good luck." in text
    for link in (
        "(../01_next.ipynb)",
        "(../../docs/page.md#part)",
        "(https://example.org)",
        "(../00_add.ipynb)",
    ):
        assert link in text
    assert all(cell.source for cell in copy.cells), "no empty cell is left behind"


def test_copies_are_written_checked_and_renewed(course: Path) -> None:
    assert [p.split(" (")[0] for p in copy_problems(course)] == ["exercises/00_add: not written"]
    written, kept = write_copies(folder=course)
    assert (written, kept) == ([course / "exercises" / "00_add.ipynb"], [])
    assert copy_problems(course) == []
    (course / "sources" / "00_add.py").write_text(SOURCE.replace("three", "four"), encoding="utf-8")
    assert "older than its source" in copy_problems(course)[0]
    write_copies(folder=course)
    assert copy_problems(course) == []
    (course / "sources" / "00_add.py").rename(course / "sources" / "01_add.py")
    assert [p.split(" (")[0] for p in copy_problems(course)] == [
        "exercises/00_add: has no source",
        "exercises/01_add: not written",
    ]


def test_a_copy_that_was_run_is_renewed_one_that_was_worked_in_is_kept(course: Path) -> None:
    (path,), _ = write_copies(folder=course)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="not attempted")]
    nbformat.write(notebook, path)
    assert write_copies(folder=course) == ([path], [])
    assert nbformat.read(path, as_version=4).cells[2].outputs == []
    notebook.cells[2].source = "def add(a, b):\n    return a - -b"
    nbformat.write(notebook, path)
    assert write_copies(folder=course) == ([], [path])
    assert "a - -b" in path.read_text(encoding="utf-8")
    assert "somebody has worked in it" in copy_problems(course)[0]


def test_a_copy_elsewhere_finds_the_course(course: Path, tmp_path: Path) -> None:
    (path,), _ = write_copies(["00"], tmp_path / "class" / "today", course)
    assert "(../../notebooks/01_next.ipynb)" in path.read_text(encoding="utf-8")


def test_solutions_are_folded_with_their_code_and_cells_counted_without_gaps() -> None:
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    fold = text("<details><summary>Solution</summary>\n\nThink.\n\n</details>")
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=3)
    cells = [code("seen = 1", execution_count=1), fold]
    cells += [code("secret = 2", execution_count=2, metadata={"tags": ["solution"]})]
    cells += [code("after = 3\nafter", execution_count=3, outputs=[result])]
    notebook = nbformat.v4.new_notebook(cells=cells)
    page = to_html(notebook)
    before, folded = page.split("<details><summary>Solution</summary>")
    folded, after = folded.split("</details>")
    for part, words in ((before, "seen"), (folded, "Think."), (folded, "secret"), (after, "after")):
        assert words in part
    fold_solutions(notebook)
    assert [cell.get("execution_count") for cell in notebook.cells] == [1, None, 2]
    assert notebook.cells[2].outputs[0].execution_count == 2


# What each notebook begins with

UNSET = "OWNER/maunet-lite"


def run_first_cell(monkeypatch: pytest.MonkeyPatch, missing: bool, address: str = UNSET) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    if missing:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = FIRST_CELL.read_text(encoding="utf-8")
    exec(re.sub(r'(?<=https://github.com/)[^"]+', address, text), {})
    return commands


def test_first_cell_does_nothing_where_the_kit_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_first_cell(monkeypatch, missing=False) == []


def test_first_cell_installs_the_kit_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ((python, *command),) = run_first_cell(monkeypatch, missing=True, address="ada/maunet-lite")
    assert python == sys.executable
    assert command[:3] == ["-m", "pip", "install"]
    assert "maunet-lite[export,scale] @ git+https://github.com/ada/maunet-lite" in command


def test_first_cell_says_what_to_do_before_there_is_a_public_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="PUBLIC"):
        run_first_cell(monkeypatch, missing=True)


def test_first_cell_lets_widgets_show_on_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    output = SimpleNamespace(enable_custom_widget_manager=lambda: asked.append("widgets"))
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(output=output))
    assert run_first_cell(monkeypatch, missing=False) == []
    assert asked == ["widgets"]


@pytest.mark.slow
def test_notebooks_need_nothing_that_only_running_and_publishing_need() -> None:
    imports = {
        ast.unparse(node)
        for source in FIRST_CELL.parent.glob("0*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and "course" in (node.module or "")
    }
    assert len(imports) > 10
    absent = "import sys; sys.modules.update(dict.fromkeys(['jupytext', 'papermill']))"
    code = "\n".join([absent, *sorted(imports)])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_badges_container_and_first_cell_belong_together() -> None:
    text = FIRST_CELL.read_text(encoding="utf-8")
    (address,) = re.findall(r'PUBLIC = "https://github.com/([^"/]+/[^"/]+)"', text)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    badges = re.findall(r"svg\)\]\(([^)]+)\)", readme)
    assert len(badges) == 3
    for badge in badges:
        assert address in badge
    container = json.loads((REPOSITORY / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    target = container["postCreateCommand"].removeprefix("make ")
    assert f"\n{target}: " in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
