"""The plan of the ablation: what differs between its rows is what their names say, and nothing else."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import ablation
from benchmarks.ablation import Row, configuration, rows, train_row
from benchmarks.candidates import CANDIDATES, LIMIT, parameters

GROUPS = ["4", "5", "7", "curve", "differences"]
OPTIONS = Namespace(data="cells", steps=7, device="cpu", precision="float32", out=Path("runs"))


def test_every_row_has_a_folder_of_its_own() -> None:
    plan = rows([0, 1], GROUPS)
    assert len({row.folder for row in plan}) == len(plan)


def test_rows_differ_in_what_they_say_only() -> None:
    plan = {row.variant: configuration(row, OPTIONS).to_dict() for row in rows([3], ["4"])}
    base = plan["base"]
    changed = {
        name: {key for key in base if config[key] != base[key]} - {"out"} for name, config in plan.items()
    }
    assert changed == {
        "base": set(), "w/o L_reg": {"distance"}, "CR": {"method"}, "CR*": {"method"}, "AAP": {"proxy"},
    }  # fmt: skip
    assert {config["steps"] for config in plan.values()} == {7}
    assert {config["seed"] for config in plan.values()} == {3}


def test_a_row_that_is_done_or_claimed_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "configuration", lambda *_: pytest.fail("it was trained again"))
    row = Row("4", "base", 0)
    (tmp_path / f"{row.folder}.csv").write_text("done")
    train_row(row, Namespace(out=tmp_path))
    claimed = Row("4", "AAP", 0)
    (tmp_path / f"{claimed.folder}.claim").write_text(str(os.getpid()))  # a process that is alive
    train_row(claimed, Namespace(out=tmp_path))


def test_results_are_joined_without_the_rows_that_are_scored_again(tmp_path: Path) -> None:
    results = tmp_path / "package" / "ablation.csv"
    for table, variant in (("4", "base"), ("5", "A"), ("5", "A, one scale")):
        frame = pd.DataFrame({"table": [table], "variant": [variant], "seed": [0], "modality": ["all"]})
        frame.to_csv(tmp_path / f"{table}-{variant}.csv", index=False)
    ablation.collect(tmp_path, results)
    assert list(pd.read_csv(results)["variant"]) == ["base", "A, one scale"]


@pytest.mark.parametrize("name", CANDIDATES)
def test_candidates_stay_within_three_million_parameters(name: str) -> None:
    assert parameters(CANDIDATES[name][1]) <= LIMIT
