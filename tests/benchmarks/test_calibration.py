"""Where the calibration of scores stores its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import calibration
from maunet_lite.network import build_model, load_model, save_model


@pytest.mark.parametrize("shared", [True, False])
def test_numbers_go_into_the_record_beside_the_weights(tmp_path: Path, shared: bool) -> None:
    network, recipe = build_model("lite"), json.dumps({"steps": 3})
    if shared:
        network.save_pretrained(tmp_path, {"steps": 3})
    else:
        save_model(network, tmp_path / "best.safetensors", {"steps": 3})
        (tmp_path / "config.json").write_text(recipe)  # of the run
    path = calibration.store(str(tmp_path), [1.0, 2.0, 3.0])
    assert path.name == ("config.json" if shared else "best.json")
    assert load_model(tmp_path).settings == {"score": [1.0, 2.0, 3.0]}
    if not shared:
        assert (tmp_path / "config.json").read_text() == recipe
