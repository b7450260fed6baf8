"""The budgets of the two methods that are compared."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import semi_supervised
from maunet_lite.data import load_dataset
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import Maps
from maunet_lite.training import TrainConfig


@pytest.mark.parametrize(
    ("budget", "steps", "minutes"), [(["--steps", "40"], [80, 40], None), (["--minutes", "3"], None, 3.0)]
)
def test_both_pass_as_many_patches_through_networks(
    budget: list[str], steps: list[int] | None, minutes: float | None,
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[TrainConfig] = []

    def trained(config: TrainConfig) -> Path:
        asked.append(config)
        Path(config.out).mkdir(parents=True)
        log = {
            "step": [config.steps or 7],
            "minutes": [0.25],
            "agreement": [0.9],
            "pseudo_accuracy_dic": [0.5],
        }
        pd.DataFrame(log).to_csv(Path(config.out) / "log.csv", index=False)
        return Path(config.out) / "last.safetensors"

    monkeypatch.setattr(semi_supervised, "trained", trained)
    monkeypatch.setattr(semi_supervised, "evaluate", lambda *_, **__: None)
    monkeypatch.setattr(semi_supervised, "called_interior", lambda *_: {"interior_dic": 0.1})
    scores = pd.DataFrame({"mean_f1": [0.5]}, index=["all"])
    monkeypatch.setattr(semi_supervised, "summary", lambda _: scores)
    where = ["--data", str(disks), "--out", str(tmp_path / "runs"), "--results", str(tmp_path / "all.csv")]
    monkeypatch.setattr(sys, "argv", ["semi_supervised", *where, *budget])
    semi_supervised.main()
    assert [config.method for config in asked] == ["supervised", "cr"]
    assert [config.steps for config in asked] == (steps or [None, None])
    assert [config.minutes for config in asked] == [minutes, minutes]
    table = pd.read_csv(tmp_path / "all.csv")
    assert table["minutes"].tolist() == [minutes or 0.2] * 2  # those that it took, if steps were asked for


def test_what_a_network_calls_interior_stands_beside_what_is(
    disks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everywhere(_: MAUNet, image: np.ndarray, **__: object) -> Maps:
        shares = np.zeros((4, *image.shape[:2]), np.float32)
        shares[1, : len(image) // 2], shares[3] = 0.4, 0.6  # the proxy is no class
        shares[2, -len(image) // 4 :] = 0.4  # nor is the boundary the interior
        return Maps(shares, None)

    monkeypatch.setattr(semi_supervised, "predict", everywhere)
    found = semi_supervised.called_interior("lite", str(disks), "cpu")
    truth = {s.modality: (s.labels > 0).mean() for s in load_dataset(disks).split("val").labelled()}
    assert len(truth) == 2, "of each modality one"
    for modality, share in truth.items():
        assert found[f"interior_{modality}"] == 0.5
        assert found[f"cells_{modality}"] == pytest.approx(share, abs=1e-3)
