"""The runner on more notebooks that are bad in one way each; see also test_runner.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from maunet_lite.course.publishing.sources import NotebookError
from maunet_lite.course.running.runner import plan, run_notebooks

PARAMETERS = '# %% tags=["parameters"]\nPROFILE = "quick"\nSTEPS = 2\n\n'


def course(folder: Path, **texts: str) -> Path:
    """Write sources NN_name.py and return the folder of the course."""
    (folder / "notebooks" / "sources").mkdir(parents=True)
    for stem, text in texts.items():
        path = folder / "notebooks" / "sources" / f"{stem.removeprefix('n')}.py"
        path.write_text(text, encoding="utf-8")
    return folder / "notebooks"


@pytest.mark.filterwarnings("ignore:.*zmq.*")
def test_memory_error_and_syntax_error_are_reported_with_their_cells(tmp_path: Path) -> None:
    folder = course(
        tmp_path,
        n00_greedy=PARAMETERS + "# %%\nprint('before')\n\n# %%\ntoo_much = bytearray(10**17)\n",
        n01_misspelt=PARAMETERS + "# %%\nfor step in range(STEPS)\n    print(step)\n",
    )
    report = run_notebooks([], "smoke", {}, tmp_path / "out", jobs=2, folder=folder, progress=False)
    greedy, misspelt = report.runs
    assert not report.ok
    # cell 2 holds the parameters of smoke
    assert (greedy.status, greedy.cell, greedy.error["name"]) == ("failed", 4, "MemoryError")
    assert greedy.cell_source == "too_much = bytearray(10**17)"
    assert "before" in greedy.html.read_text(encoding="utf-8")
    assert (misspelt.status, misspelt.error["name"]) == ("failed", "SyntaxError")
    assert "expected ':'" in misspelt.line()


def test_two_cells_of_parameters_are_refused(tmp_path: Path) -> None:
    folder = course(tmp_path, n00_twice=PARAMETERS + PARAMETERS.replace("STEPS", "RATE"))
    with pytest.raises(NotebookError, match="00_twice.py has 2 cells tagged 'parameters'"):
        plan([folder / "sources" / "00_twice.py"], "smoke", {})


def test_parameter_in_another_cell_is_unknown(tmp_path: Path) -> None:
    folder = course(tmp_path, n00_elsewhere=PARAMETERS + "# %%\nRATE = 0.1\n")
    with pytest.raises(NotebookError, match="00_elsewhere has no parameter RATE"):
        run_notebooks([], "smoke", {"RATE": 0.2}, tmp_path / "out", folder=folder)
    assert not (tmp_path / "out").exists()


def test_empty_course_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="no notebook in .*sources: expected files NN_name.py"):
        run_notebooks([], "smoke", {}, tmp_path / "out", folder=course(tmp_path))
