"""What only a GPU can show: networks, training, resuming, features, files and slides; skipped without one.

``make test ARGS="-m gpu"`` runs these, each of them in seconds, and what of other modules is marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from maunet_lite.data import load_dataset, simulate
from maunet_lite.features.mean_features import mean_features
from maunet_lite.inference.cells.segment import segment
from maunet_lite.inference.predict import predict
from maunet_lite.network import build_model, load_model
from maunet_lite.network.maunet import PRESETS
from maunet_lite.scale.batch.segment_files import segment_files
from maunet_lite.scale.slides.segment import segment_slide
from maunet_lite.training.loop import train
from maunet_lite.training.losses import supervised_loss
from maunet_lite.training.recipes import TrainConfig

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason=f"torch {torch.__version__} sees no CUDA device"
    ),
]


@pytest.fixture(autouse=True)
def _as_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of prepared images for each test, and float32 that is not rounded to TF32."""
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def run_of_seconds(data: Path, out: Path, **changes: object) -> TrainConfig:
    """What each of the trainings here does, but for the changes."""
    small = {"patch": 32, "batch_size": 2, "steps": 4, "warmup": 1, "workers": 0, "validate_every": 0}
    config = TrainConfig(data=str(data), out=str(out), device=DEVICE, precision="float32")
    return config.override(**small | changes)


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_and_their_gradients(preset: str) -> None:
    torch.manual_seed(0)
    model, x = build_model(preset), torch.rand(2, 3, 64, 96)
    classes, distance = torch.randint(0, 3, (2, 64, 96)), torch.rand(2, 1, 64, 96)
    losses = []
    for device in ("cpu", DEVICE):
        model.zero_grad()
        output = model.to(device)(x.to(device))
        assert {part.device.type for part in output} == {device}
        parts = supervised_loss(output, classes.to(device), distance.to(device))
        parts["loss"].backward()
        losses.append(parts["loss"].item())
        assert all(p.grad.device.type == device and p.grad.isfinite().all() for p in model.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize(
    "method",
    [
        {},
        {"precision": "auto"},
        {"workers": 1},
        {"method": "cr", "labelled_fraction": 0.5, "unlabelled": None, "batch_size": 4, "precision": "auto"},
    ],
    ids=["supervised", "precision", "loader processes", "cr"],
)
def test_training(method: dict, disks: Path, tmp_path: Path) -> None:
    result = train(run_of_seconds(disks, tmp_path / "run", **method), progress=False)
    assert result.steps == 4
    model = load_model(tmp_path / "run" / "last.safetensors")
    assert next(model.parameters()).device.type == "cpu", "saved on a GPU, read anywhere"
    assert all(torch.isfinite(p).all() for p in model.parameters())
    image = load_dataset(disks).image(0)
    expected = predict(model, image, device="cpu")
    found = predict(model, image, device=DEVICE, half=False)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=2e-3)


@pytest.mark.parametrize(("first", "then"), [(DEVICE, DEVICE), (DEVICE, "cpu"), ("cpu", DEVICE)])
def test_a_run_goes_on_where_it_was_stopped_here_or_there(
    first: str,
    then: str,
    disks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[[pytest.MonkeyPatch, int], None],
) -> None:
    whole = train(run_of_seconds(disks, tmp_path / "whole"), progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        cut = train(run_of_seconds(disks, tmp_path / "cut", device=first), progress=False)
    assert (cut.steps, cut.interrupted) == (2, True)
    resumed = train(run_of_seconds(disks, tmp_path / "cut", device=then), resume=True, progress=False)
    assert resumed.steps == 4
    # Weights only: a rounding of 1e-6 at the start moves the statistics of batch norm, over two pixels in the
    # deepest layers of so small patches, by .4, and weights by .01, a few of Adam's steps.
    one, two = (
        dict(load_model(run.folder / "last.safetensors").named_parameters()) for run in (whole, resumed)
    )
    assert max((one[name] - two[name]).abs().max() for name in one) < 0.02


def test_files(disks: Path, tmp_path: Path) -> None:
    """Images are read and finished in other threads than the one that asks the network."""
    cells = []
    for name, device in {"here": "cpu", "there": DEVICE}.items():
        done = segment_files([disks / "images"], tmp_path / name, "lite", device=device, progress=False)
        assert not [outcome.reason for outcome in done if outcome.status == "failed"]
        cells.append([outcome.cells for outcome in done])
    assert len(cells[0]) == 6
    assert np.abs(np.subtract(*cells)).max() <= 1


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
