"""What only a GPU can show: training, features and slides there; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maunet_lite.data import load_dataset, simulate
from maunet_lite.features.mean_features import mean_features
from maunet_lite.inference.cells.segment import segment
from maunet_lite.inference.predict import predict
from maunet_lite.network import load_model
from maunet_lite.scale.slides.segment import segment_slide
from maunet_lite.training.loop import train
from maunet_lite.training.recipes import TrainConfig

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason=f"torch {torch.__version__} sees no CUDA device"
    ),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize(
    "method",
    [{}, {"method": "cr", "labelled_fraction": 0.5, "unlabelled": None, "batch_size": 4}],
    ids=["supervised", "cr"],
)
def test_training(method: dict, disks: Path, tmp_path: Path) -> None:
    small = {"patch": 32, "batch_size": 2, "steps": 3, "warmup": 1, "workers": 0, "validate_every": 0}
    config = TrainConfig(data=str(disks), out=str(tmp_path / "run"), device=DEVICE).override(**small | method)
    result = train(config, progress=False)
    assert result.steps == 3
    model = load_model(tmp_path / "run" / "last.safetensors")
    assert all(torch.isfinite(p).all() for p in model.parameters())
    image = load_dataset(disks).image(0)
    expected = predict(model, image, device="cpu")
    found = predict(model, image, device=DEVICE, half=False)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=2e-3)


def test_features(disks: Path) -> None:
    data = load_dataset(disks)
    samples = [data[k] for k in range(2)]
    model = load_model("lite")
    expected, found = (mean_features(model, samples, device=device) for device in ("cpu", DEVICE))
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=1e-2, atol=1e-3)
    assert next(model.parameters()).device.type == "cpu", "the network is left where it was"


@pytest.mark.parametrize("gpu_memory", [None, "1GiB"])
def test_slides(gpu_memory: str | None, tmp_path: Path) -> None:
    image = simulate("fluorescence", (480, 420), rng=np.random.default_rng(0), n_cells=80).image
    whole = segment(image, device=DEVICE, window=256)
    result = segment_slide(
        image, tmp_path / "cells.tif", block=200, empty=0, window=256, device=DEVICE, gpu_memory=gpu_memory,
        progress=False,
    )  # fmt: skip
    assert result.blocks == 9
    assert abs(result.cells - whole.max()) <= 0.05 * whole.max(), "but for rounding the same"


def test_memory_is_a_limit(tmp_path: Path) -> None:
    """A budget that the weights and one window leave room in is kept."""
    image = np.random.default_rng(0).integers(0, 255, (2000, 2000), dtype=np.uint8)
    model = load_model("lite", DEVICE)
    predict(model, image[:256, :256], device=DEVICE, window=256)  # what CUDA itself takes, once
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    predict(model, image, device=DEVICE, window=256, memory=0.5)
    assert torch.cuda.max_memory_allocated() < 0.55 * 2**30
