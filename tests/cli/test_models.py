"""The command `train`: whose data, whose budget, and what --resume refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maunet_lite.cli.models import _train_config
from maunet_lite.training.recipes import recipe
from maunet_lite.training.run import Run


def test_data_and_budget_are_those_of_the_recipe_unless_given(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert _train_config(None, out, {}, False) == recipe("lite").override(out=str(out))
    assert _train_config("paper-supervised", out, {}, False).data == "neurips22"
    given = _train_config("paper-supervised", out, {"data": "simulated", "steps": 3}, False)
    assert (given.data, given.steps, given.epochs) == ("simulated", 3, None)
    record = tmp_path / "config.json"
    record.write_text(json.dumps(recipe("lite").override(data="cells").to_dict()))
    assert _train_config(str(record), out, {}, False).data == "cells"
    assert _train_config(str(record), out, {"data": "simulated"}, False).data == "simulated"


def test_resume_refuses_other_data_and_another_recipe(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = _train_config("lite", out, {"data": str(tmp_path / "a"), "minutes": 5}, False)
    Run.open(first, resume=False)
    (out / "log.csv").write_text("step\n1\n")
    assert _train_config(None, out, {}, True) == _train_config("lite", out, {}, True) == first
    other = _train_config(None, out, {"data": "simulated"}, True)
    with pytest.raises(ValueError, match="started with other settings: data .*, now 'simulated'"):
        Run.open(other, resume=True)
    same = _train_config(None, out, {"data": str(tmp_path / "b" / ".." / "a")}, True)
    Run.open(same, resume=True)
    with pytest.raises(ValueError, match="not made by --preset paper-r50 .*patch 256, now 512"):
        _train_config("paper-r50", out, {}, True)
