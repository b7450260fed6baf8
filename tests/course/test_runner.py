"""The runner, on notebooks that are good and bad in known ways (tests/notebooks/sources)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient.exceptions import DeadKernelError

from maunet_lite.course.display import collect, record
from maunet_lite.course.publishing.sources import NotebookError, find_sources, load, select
from maunet_lite.course.running import process, runner
from maunet_lite.course.running.process import execute, retry_dead_start
from maunet_lite.course.running.profiles import PROFILES, parameters_for
from maunet_lite.course.running.report import NotebookRun, ask_gpus, machine
from maunet_lite.course.running.runner import plan, run_notebooks

COURSE = Path(__file__).parents[1] / "notebooks"


def sources(*numbers: str) -> list[Path]:
    return [path for path in find_sources(COURSE) if path.stem[:2] in numbers]


NVIDIA_SMI = """#!/bin/sh
case "$*" in *=name\\ *) echo "Made-up GPU"; echo "Another"; exit;; esac
printf '1024\\n4096\\n[N/A]\\n'
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """One good notebook and three bad ones, two at a time; each kernel costs seconds, so they run once."""
    out = tmp_path_factory.mktemp("runs")
    names = ["00", "raises", "02_kills_its_kernel", "5"]
    driver = tmp_path_factory.mktemp("driver") / "nvidia-smi"
    driver.write_text(NVIDIA_SMI)
    driver.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(driver.parent), prepend=os.pathsep)
        return run_notebooks(names, "smoke", {"STEPS": 7}, out, jobs=2, folder=COURSE, progress=False)


def run_of(report, number):
    return next(run for run in report.runs if run.name.startswith(number))


def test_good_notebook_is_executed_with_its_parameters(report):
    run = run_of(report, "00")
    assert run.status == "ok"
    # the profile's PROFILE, and STEPS as given; RATE is no parameter of the profile and keeps its default
    assert run.parameters == {"PROFILE": "smoke", "STEPS": 7}
    assert run.records == {"steps": 7, "rate": 0.5}
    assert run.peak_memory_mib > 10
    assert 0 < run.minutes < 5


@pytest.mark.skipif(sys.platform == "win32", reason="the made-up driver is a shell script")
def test_memory_of_the_busiest_gpu_is_in_the_report(report):
    assert {run.peak_gpu_mib for run in report.runs} == {4096}
    assert "MiB, 4096 of a GPU" in run_of(report, "00").line()
    assert '<td class="n">4096</td>' in (report.folder / "report.html").read_text(encoding="utf-8")
    data = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    assert (data["machine"]["gpu"], data["runs"][0]["peak_gpu_mib"]) == ("Made-up GPU, Another", 4096)


def test_without_a_driver_no_gpu_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (ask_gpus("name"), machine()["gpu"]) == ([], "none")
    assert "GPU" not in NotebookRun("00_good", tmp_path, {}).line()


def test_files_of_a_notebook_stay_in_the_folder_of_the_run(report):
    assert (report.folder / "files" / "00_good" / "note.txt").read_text() == "smoke"
    assert not list(COURSE.rglob("note.txt"))


def test_failing_cell_is_named_and_what_ran_before_is_kept(report):
    run = run_of(report, "01")
    assert (run.status, run.cell, run.error) == ("failed", 4, "KeyError: 'b'")
    assert run.cell_source == 'cells = {"a": 1}\ncells["b"]'
    cells = {
        cell.execution_count: cell
        for cell in nbformat.read(run.executed, 4).cells
        if cell.cell_type == "code"
    }
    assert cells[3].outputs[0].text == "before the mistake\n"
    assert "before the mistake" in run.html.read_text(encoding="utf-8")
    assert "cell [4]" in run.line()
    assert "KeyError: 'b'" in run.line()


def test_kernel_that_is_killed_is_reported_with_its_cell(report):
    run = run_of(report, "02")
    assert run.status == "died"
    assert run.cell_source.startswith("os.kill")
    assert "memory" in run.error
    assert "memory runs out" in run.executed.read_text(encoding="utf-8")


def test_page_holds_the_figure_with_its_description_and_needs_no_network(report):
    page = run_of(report, "05").html.read_text(encoding="utf-8")
    assert 'alt="A line that rises from zero."' in page
    assert "<script src=" not in page
    assert "cdn" not in page


def test_report_is_written_for_programs_and_people(report):
    data = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    assert data["ok"] is report.ok is False
    assert [(entry["name"][:2], entry["status"]) for entry in data["runs"]] == [
        ("00", "ok"),
        ("01", "failed"),
        ("02", "died"),
        ("05", "ok"),
    ]
    assert data["runs"][0]["records"] == {"steps": 7, "rate": 0.5}
    page = (report.folder / "report.html").read_text(encoding="utf-8")
    assert "KeyError" in page
    assert 'href="00_good.html"' in page
    assert (report.folder.parent / "latest" / "report.html").read_text(encoding="utf-8") == page


def test_latest_leads_to_the_newest_run_and_spares_what_is_not_its_own(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runner.point_at_latest(tmp_path / name)
    assert (tmp_path / "latest").resolve() == tmp_path / "second"
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "precious").touch()
    runner.point_at_latest(tmp_path / "first")
    assert (tmp_path / "latest" / "precious").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "latest", "second"]


def test_notebook_that_takes_too_long_is_stopped_and_kept(tmp_path):
    executed = tmp_path / "03_never_ends.ipynb"

    # The time is up once the endless cell runs: the test neither waits long nor fails on a slow machine
    def stop(seconds):
        assert seconds < 120
        reached = executed.exists() and "before the wait" in executed.read_text(encoding="utf-8")
        return "timeout" if reached else None

    run = execute(NotebookRun("03_never_ends", sources("03")[0], {}), tmp_path, 1, stop)
    assert run.status == "timeout"
    assert run.error.startswith("Timeout: stopped after")
    assert "import time" in run.cell_source
    assert "before the wait" in run.executed.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_interrupt_ends_the_kernels_and_still_reports(tmp_path):
    # A shell lets what it starts in the background ignore SIGINT, and so do some CI systems.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    call = f"run_notebooks(['03'], 'smoke', folder={str(COURSE)!r}, out={str(tmp_path)!r})"
    code = f"{listen}; from maunet_lite.course import run_notebooks; print({call}.ok)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            kernels = wait_for_kernel(process.pid)
            process.send_signal(signal.SIGINT)
            assert "False" in process.communicate(timeout=180)[0]
        finally:
            process.kill()  # if it has not ended by itself, the test fails but leaves nothing behind
    assert not any(kernel.is_running() and kernel.status() != "zombie" for kernel in kernels)
    data = json.loads(next(tmp_path.glob("*/report.json")).read_text())
    assert (data["interrupted"], data["runs"][0]["status"]) == (True, "interrupted")


def wait_for_kernel(pid: int) -> list[psutil.Process]:
    """Return the kernel of a run once it has started."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        kernels = [child for child in psutil.Process(pid).children(recursive=True) if is_kernel(child)]
        if kernels:
            return kernels
        time.sleep(0.1)
    raise AssertionError("no kernel started within three minutes")


def is_kernel(process: psutil.Process) -> bool:
    try:
        return any("ipykernel" in word for word in process.cmdline())
    except psutil.Error:
        return False


# Refusals: before anything runs, and nothing is left behind.


def test_unknown_parameter_is_refused_for_every_notebook_with_a_hint(tmp_path):
    with pytest.raises(NotebookError) as refused:
        run_notebooks(["00", "01"], "smoke", {"STEP": 3}, tmp_path / "out", folder=COURSE)
    text = str(refused.value)
    assert "00_good has no parameter STEP: did you mean STEPS?" in text
    assert "01_raises has no parameter STEP" in text
    assert not (tmp_path / "out").exists()


def test_parameter_of_one_notebook_is_refused_for_another():
    with pytest.raises(NotebookError, match="01_raises has no parameter RATE") as refused:
        plan(sources("00", "01"), "smoke", {"RATE": 0.1})
    assert "00_good" not in str(refused.value)


@pytest.mark.parametrize(("name", "value", "fits"), [
    ("STEPS", 5, True), ("STEPS", 5.0, False), ("RATE", 5, True), ("STEPS", "many", False),
    ("STEPS", True, False), ("STEPS", None, True), ("PROFILE", "mine", True), ("PROFILE", 3, False),
])  # fmt: skip
def test_value_must_be_of_the_kind_of_the_default(name, value, fits):
    path = sources("00")[0]
    if fits:
        assert plan([path], "smoke", {name: value})[path][name] == value
    else:
        with pytest.raises(NotebookError, match=f"{name} is (int|str)"):
            plan([path], "smoke", {name: value})


def test_notebook_without_the_tag_is_refused():
    with pytest.raises(NotebookError, match="04_untagged.py has 0 cells tagged 'parameters'"):
        plan(sources("04"), "smoke", {})


def test_profile_offers_and_a_notebook_takes_what_it_declares(monkeypatch):
    monkeypatch.setitem(PROFILES["smoke"].notebooks, "00", {"RATE": 0.1, "PICTURES": 1})
    path = sources("00")[0]
    assert plan([path], "smoke", {})[path] == {"PROFILE": "smoke", "STEPS": 3, "RATE": 0.1}


def test_unknown_notebook_is_refused_with_the_list():
    with pytest.raises(NotebookError, match="no notebook '77': there are 00_good, 01_raises"):
        select(["77"], COURSE)
    with pytest.raises(NotebookError, match="did you mean 00_good"):
        select(["00_godo"], COURSE)
    with pytest.raises(NotebookError, match="fits several"):
        select([""], COURSE)


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="no profile 'huge': there are smoke, quick, gpu, full"):
        run_notebooks(["00"], "huge", folder=COURSE)


def test_notebooks_are_found_by_number_name_and_path():
    good = COURSE / "sources" / "00_good.py"
    for name in ("0", "00", "00_good", "good", "00_good.ipynb", str(good)):
        assert select([name], COURSE) == [good.resolve()] or select([name], COURSE) == [good]
    assert len(select([], COURSE)) == len(list((COURSE / "sources").glob("*.py")))


# Smaller parts.


def test_kernel_that_dies_at_its_start_gets_one_more_try(tmp_path):
    calls = []

    def dies_once():
        calls.append(1)
        if len(calls) == 1:
            raise DeadKernelError("Kernel died")

    retry_dead_start(dies_once, tmp_path / "none.ipynb")
    assert len(calls) == 2


def test_kernel_that_dies_later_does_not_run_twice(tmp_path):
    calls = []
    executed = tmp_path / "executed.ipynb"
    cell = nbformat.v4.new_code_cell("1", metadata={"papermill": {"start_time": "now"}})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), executed)

    def dies():
        calls.append(1)
        raise DeadKernelError("Kernel died")

    with pytest.raises(DeadKernelError):
        retry_dead_start(dies, executed)
    assert len(calls) == 1


def test_notebook_that_was_cut_off_while_written_is_reported(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": [')
    (tmp_path / "a.log").write_text("Killed\n")
    run = NotebookRun("a", tmp_path / "a.py", {})
    process._collect(run, False, None, tmp_path / "a.log")
    assert (run.status, run.error, run.records) == ("died", "Died: Killed", {})


def test_cell_ids_depend_on_nothing_but_the_text(tmp_path):
    source = tmp_path / "00_a.py"
    shutil.copy(COURSE / "sources" / "01_raises.py", source)
    first = [cell.id for cell in load(source).cells]
    source.write_text("# %% [markdown]\n# new on top\n\n" + source.read_text())
    assert [cell.id for cell in load(source).cells][1:] == first
    assert len(set(first)) == len(first)


def test_same_text_twice_gets_two_ids(tmp_path):
    source = tmp_path / "00_a.py"
    source.write_text("# %%\nx = 1\n\n# %%\nx = 1\n")
    first, second = (cell.id for cell in load(source).cells)
    assert second == f"{first}-2"


def test_records_are_plain_values():
    import numpy as np

    output = nbformat.v4.new_output(
        "display_data", data={"application/vnd.maunet.record+json": {"name": "f1", "value": 0.5}}
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])
    assert collect(notebook) == {"f1": 0.5}
    with pytest.raises(TypeError, match="cannot record a set"):
        record("wrong", {1, 2})
    record("scalars and arrays are fine", [np.float32(0.5), np.arange(2)])


def test_profiles_agree_on_their_shared_parameters():
    names = {tuple(sorted(profile.shared)) for name, profile in PROFILES.items() if name != "quick"}
    assert len(names) == 1
    assert (PROFILES["quick"].shared, PROFILES["quick"].notebooks) == ({"PROFILE": "quick"}, {})
    for name, profile in PROFILES.items():
        assert profile.shared["PROFILE"] == name
        assert parameters_for(name, "00_x") == {**profile.shared, **profile.notebooks.get("00", {})}


# Notebooks that are bad in one way each, written here.

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
    assert (greedy.status, greedy.cell) == ("failed", 4)
    assert greedy.error.startswith("MemoryError")
    assert greedy.cell_source == "too_much = bytearray(10**17)"
    assert "before" in greedy.html.read_text(encoding="utf-8")
    assert misspelt.status == "failed"
    assert misspelt.error.startswith("SyntaxError")
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
