"""A grid of parameters, a notebook, one table; on notebooks that are good and bad in known ways."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.course.publishing.sources import NotebookError
from maunet_lite.course.running import sweeps
from maunet_lite.course.running.report import NotebookRun, Report, write_report
from maunet_lite.course.running.sweeps import plan_sweep, read_grid, run_sweep

SOURCES = Path(__file__).parents[1] / "notebooks" / "sources"
GOOD = SOURCES / "00_good.py"


@pytest.fixture
def ran(monkeypatch):
    """Replace the run of a notebook, which takes seconds; return the parameters of each call."""
    calls = []

    def run(combination, source, profile, out, timeout):
        key, values = combination
        calls.append(values)
        if values.get("STEPS") == 13:
            raise RuntimeError("13 steps")
        records = {"F1": values["RATE"], "per modality": {"dic": 0.5}, "curve": [1, 2]}
        folder = out / "runs" / key / "smoke-1"
        folder.mkdir(parents=True)
        run = NotebookRun("a", source, {}, "ok", 0.5, records=records, executed=folder / "a.ipynb")
        write_report(Report(profile, folder, {}, runs=[run]))
        return sweeps.result_of(key, out)

    monkeypatch.setattr(sweeps, "run_combination", run)
    return calls


def test_grid_is_a_product_in_which_the_last_varies_fastest():
    assert read_grid({"A": [1, 2], "B": ["x", "y"]}) == [
        {"A": 1, "B": "x"}, {"A": 1, "B": "y"}, {"A": 2, "B": "x"}, {"A": 2, "B": "y"},
    ]  # fmt: skip
    assert read_grid([{"A": 1}, {"A": [1, 2]}]) == [{"A": 1}, {"A": 2}]  # nothing twice


def test_grid_is_read_from_yaml(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("RATE: [1e-3, 0.5]\nPROXY: true\nNAME: lite\n")
    assert read_grid(path) == [
        {"RATE": 0.001, "PROXY": True, "NAME": "lite"}, {"RATE": 0.5, "PROXY": True, "NAME": "lite"},
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), [
    ("", "grid.yaml should say parameter: [values]"), ("- 1\n", "should say parameter"),
    ("1: [2]\n", "should say parameter"),
    ("A: []\n", "no value for A"), ("A: [1\n", "grid.yaml is no YAML"),
])  # fmt: skip
def test_wrong_grids_are_refused(tmp_path, text, says):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says.replace("[", r"\[")):
        read_grid(path)


@pytest.mark.parametrize(("grid", "says"), [
    ({"STEPS": [1], "STEP": [2]}, "no parameter STEP: did you mean STEPS"),
    ({"STEPS": [1, "many"]}, "STEPS is int"),
])  # fmt: skip
def test_mistakes_are_said_before_anything_runs(tmp_path, ran, grid, says):
    with pytest.raises(NotebookError, match=says):
        run_sweep(GOOD, grid, tmp_path / "out")
    assert ran == []
    assert not (tmp_path / "out").exists()


def test_profile_gives_what_the_grid_does_not_name():
    planned = plan_sweep(GOOD, {"RATE": [0.1, 0.2]}, "smoke")
    assert list(planned.values()) == [{"RATE": 0.1}, {"RATE": 0.2}]
    said = plan_sweep(GOOD, {"RATE": [0.1, 0.2], "STEPS": 3}, "smoke")  # smoke's own number
    assert list(said) == list(planned), "a combination is known by all parameters of its run"
    assert plan_sweep(GOOD, {"RATE": [0.1, 0.2], "STEPS": 4}, "smoke").keys().isdisjoint(planned)


def test_table_has_a_row_per_combination(tmp_path, ran):
    table = run_sweep(GOOD, {"RATE": [0.1, 0.2], "STEPS": [4]}, tmp_path, progress=False)
    expected = ["RATE", "STEPS", "status", "minutes", "peak_memory_mib"]
    expected += ["F1", "curve", "per modality dic", "notebook", "error"]
    assert list(table.columns) == expected
    assert table["F1"].tolist() == [0.1, 0.2]
    assert table["curve"].tolist() == ["[1, 2]", "[1, 2]"]
    read = pd.read_csv(tmp_path / "sweep.csv")
    assert read["F1"].tolist() == [0.1, 0.2]
    made_by = json.loads((tmp_path / "sweep.json").read_text())
    assert (made_by["notebook"], made_by["profile"], len(made_by["combinations"])) == (
        "00_good.py",
        "smoke",
        2,
    )


def test_failed_combination_stops_nothing_and_is_tried_again(tmp_path, ran):
    grid = {"STEPS": [4, 13, 5], "RATE": 0.1}
    table = run_sweep(GOOD, grid, tmp_path, progress=False)
    assert table["status"].tolist() == ["ok", "died", "ok"]
    assert table["error"].tolist() == ["", "RuntimeError: 13 steps", ""]
    run_sweep(GOOD, grid, tmp_path, progress=False)
    assert [call["STEPS"] for call in ran] == [4, 13, 5, 13]


def test_sweep_goes_on_where_it_was_stopped(tmp_path, ran, monkeypatch):
    run = sweeps.run_combination

    def interrupted(combination, *args, **options):
        if combination[1]["RATE"] == 0.3:
            raise KeyboardInterrupt
        return run(combination, *args, **options)

    grid = {"RATE": [0.1, 0.2, 0.3, 0.4]}
    monkeypatch.setattr(sweeps, "run_combination", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(GOOD, grid, tmp_path, progress=False)
    assert pd.read_csv(tmp_path / "sweep.csv")["RATE"].tolist() == [0.1, 0.2]
    monkeypatch.setattr(sweeps, "run_combination", run)
    assert len(run_sweep(GOOD, grid, tmp_path, progress=False)) == 4
    assert [call["RATE"] for call in ran] == [0.1, 0.2, 0.3, 0.4]


def test_changed_notebook_is_run_again(tmp_path, ran):
    source = tmp_path / "00_mine.py"
    source.write_text(GOOD.read_text())
    run_sweep(source, {"RATE": 0.1}, tmp_path / "out", progress=False)
    source.write_text(GOOD.read_text() + "\n# %%\nprint(1)\n")
    run_sweep(source, {"RATE": 0.1}, tmp_path / "out", progress=False)
    assert len(ran) == 2


@pytest.mark.slow  # .ci/run sweeps from the command line, too
def test_notebooks_run_in_processes_from_the_command_line(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("RATE: [0.25, 0.75]\n")
    arguments = ["sweep", str(GOOD), "--grid", str(grid), "--out", str(tmp_path / "out"), "--workers", "2"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "2 of 2 runs ended well" in done.output
    table = pd.read_csv(tmp_path / "out" / "sweep.csv", keep_default_na=False)
    assert table["rate"].tolist() == [0.25, 0.75]
    assert table["steps"].tolist() == [3, 3]
    for executed in table["notebook"]:
        assert (tmp_path / "out" / executed).exists()
    again = CliRunner().invoke(app, arguments)  # starts nothing
    assert "2 of 2 runs ended well" in again.output


def test_command_says_what_failed(tmp_path, ran):
    grid = tmp_path / "grid.yaml"
    grid.write_text("STEPS: [4, 13]\nRATE: 0.1\n")
    arguments = ["sweep", str(GOOD), "--grid", str(grid), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "1 of 2 runs ended well" in done.output
    grid.write_text("STEPPS: 4\n")
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "did you mean STEPS" in refused.output
