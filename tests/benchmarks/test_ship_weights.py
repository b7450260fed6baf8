"""What a record of shipped weights keeps when they are scored anew."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import ship_weights
from maunet_lite.data import load_dataset
from maunet_lite.network import WEIGHTS, build_model, read_record, save_model
from maunet_lite.training import TrainConfig


@pytest.fixture
def shipped(disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the benchmark writes; it neither segments nor scores."""
    monkeypatch.setattr(ship_weights, "WEIGHTS", tmp_path)
    known = read_record(WEIGHTS / "lite")["record"]["scores"]
    table = pd.DataFrame(known).T.assign(mean_f1=0.5)
    monkeypatch.setattr(ship_weights, "evaluate", lambda *_: table)
    monkeypatch.setattr(ship_weights, "baseline", lambda *_: table)
    monkeypatch.setattr(ship_weights, "summary", lambda table: table)
    monkeypatch.setattr(ship_weights, "format_summary", str)
    return tmp_path


def ship(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["ship_weights", "--run", str(run), "--name", "mine", "--data", str(data)]
    )
    ship_weights.main()


def test_weights_scored_anew_keep_the_sources_that_they_have_seen(
    disks: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_record(WEIGHTS / "lite")["record"]
    ship(WEIGHTS / "lite", disks, monkeypatch)
    record = read_record(shipped / "mine")["record"]
    for name in ("sources", "licences", "commit", "stages"):
        assert record[name] == before[name]
    assert {one["mean_f1"] for one in record["scores"].values()} == {0.5}


def test_a_run_gets_the_sources_of_its_data(
    disks: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = asdict(TrainConfig(data="disks", out="here", steps=3))
    trained = {"training": training, "steps": 3, "minutes": 1.0}
    save_model(build_model("lite"), tmp_path / "run" / "last.safetensors", trained)
    ship(tmp_path / "run", disks, monkeypatch)
    record = read_record(shipped / "mine")["record"]
    train = load_dataset(disks).split("train").table
    assert record["sources"] == train["source"].value_counts().to_dict()
    assert record["stages"][0]["training"]["out"] == "stage 1"
