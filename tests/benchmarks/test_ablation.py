"""The plan of the ablation: what differs between its rows is what their names say, and nothing else."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import ablation
from benchmarks.ablation import Row, configuration, rows, train_row
from benchmarks.candidates import CANDIDATES, LIMIT, parameters
from maunet_lite.data import CellDataset, load_dataset, write_image, write_labels

GROUPS = ["4", "5", "7", "curve", "budget", "differences"]
OPTIONS = Namespace(data="cells", steps=7, device="cpu", precision="float32", out=Path("runs"))


@pytest.fixture
def train(tmp_path: Path) -> CellDataset:
    """Forty images of one source, and two of another."""
    for number in range(42):
        write_image(tmp_path / "data" / "images" / f"{number:02d}.png", np.zeros((8, 8), np.uint8))
        write_labels(tmp_path / "data" / "labels" / f"{number:02d}_label.tiff", np.ones((8, 8), np.int32))
    table = pd.DataFrame({"image": [f"{n:02d}.png" for n in range(42)], "source": ["a"] * 40 + ["b"] * 2})
    table.assign(split="train", modality="dic").to_csv(tmp_path / "data" / "metadata.csv", index=False)
    return load_dataset(tmp_path / "data")


def test_every_row_has_a_folder_of_its_own(train: CellDataset) -> None:
    plan = rows([0, 1], GROUPS, train)
    assert len({row.folder for row in plan}) == len(plan)


def test_learning_curves_say_how_many_images_and_steps(train: CellDataset) -> None:
    curve = [row.variant for row in rows([0], ["curve"], train)]
    assert curve == ["2 images", "9 images"]  # the two smallest shares leave one per source; 8 + 1
    assert rows([0], ["shipped"], train) == []
    for row in rows([0], ["budget"], train):
        config = configuration(row, OPTIONS)
        assert row.variant == f"{config.steps} steps"
        assert config.warmup < config.steps / 4


def test_rows_differ_in_what_they_say_only(train: CellDataset) -> None:
    plan = {row.variant: configuration(row, OPTIONS).to_dict() for row in rows([3], ["4"], train)}
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


def test_a_folder_keeps_to_one_budget(tmp_path: Path, train: CellDataset) -> None:
    options = Namespace(out=tmp_path, data=str(train.folder), steps=600, precision="float32")
    ablation.keep_to_one_budget(options)
    ablation.keep_to_one_budget(options)
    options.steps = 1200
    with pytest.raises(SystemExit, match="steps 600 there, 1200 here"):
        ablation.keep_to_one_budget(options)


def test_the_shipped_table_is_of_one_dataset(train: CellDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ablation", "--data", str(train.folder), "--only", "shipped"])
    with pytest.raises(SystemExit, match="of the dataset 'cells', not 'data'"):
        ablation.main()


def test_results_are_joined_without_the_rows_that_are_scored_again(tmp_path: Path) -> None:
    results = tmp_path / "package" / "ablation.csv"
    for table, variant in (("4", "base"), ("5", "A"), ("5", "A, one scale")):
        frame = pd.DataFrame({"table": [table], "variant": [variant], "seed": [0], "modality": ["all"]})
        frame.to_csv(tmp_path / f"{table}-{variant}.csv", index=False)
    ablation.collect(tmp_path, results)
    assert list(pd.read_csv(results)["variant"]) == ["base", "A, one scale"]
    other = pd.DataFrame({"table": ["7"], "variant": ["shipped lite"], "seed": [0], "modality": ["all"]})
    (tmp_path / "other").mkdir()
    for score in (0.5, 0.6):  # the second time anew
        other.assign(mean_f1=score).to_csv(tmp_path / "other" / "shipped.csv", index=False)
        ablation.collect(tmp_path / "other", results)
    table = pd.read_csv(results).set_index("variant")
    assert list(table.index) == ["base", "A, one scale", "shipped lite"]
    assert table.loc["shipped lite", "mean_f1"] == 0.6


@pytest.mark.parametrize("name", CANDIDATES)
def test_candidates_stay_within_three_million_parameters(name: str) -> None:
    assert parameters(CANDIDATES[name][1]) <= LIMIT
