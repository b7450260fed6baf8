"""The published network, number for number: keys, shapes, parameters and outputs of the authors' code."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from maunet_lite.inference.prepared import Prepared
from maunet_lite.network import load_model, save_model
from maunet_lite.network.authors import import_authors, translate

DATA = Path(__file__).parents[1] / "golden"
PUBLISHED = {"paper-r50": "res50_unetr", "paper-wr50": "res50wt_unetr"}
TOLERANCE = 1e-4


def made_up(key: str, shape: list[int]) -> torch.Tensor:
    """Return the weights that the golden outputs belong to: one generator per key."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif key.endswith(("running_mean", "bias")):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@pytest.fixture(scope="module", params=sorted(PUBLISHED))
def published(request):
    """Return preset, parameter count, state dict under the published names, and golden outputs."""
    name = PUBLISHED[request.param]
    reference = json.loads((DATA / f"authors_{name}.json").read_text())
    state = {key: made_up(key, shape) for key, shape in reference["state_dict"]}
    with np.load(DATA / f"golden_{name}.npz") as golden:
        return request.param, reference["parameters"], state, dict(golden)


@pytest.fixture(scope="module")
def imported(published):
    preset, _, state, _ = published
    return import_authors({"model_state_dict": state, "epoch": 3}, preset)


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, 96, 64), dtype=np.float32))


def far(output, golden) -> float:
    """Return the largest difference in logits or distance."""
    return max(
        np.abs(output.logits.numpy() - golden["logits"]).max(),
        np.abs(output.distance.numpy() - golden["distance"]).max(),
    )


@torch.no_grad()
def test_parity_of_outputs(published, imported, x):
    assert far(imported(x), published[3]) < TOLERANCE


@torch.no_grad()
def test_parity_of_the_copy_used_for_inference(published, imported, x):
    fast = Prepared(imported, torch.device("cpu"), half=False)
    assert fast.channels_last
    assert far(fast(x), published[3]) < TOLERANCE


@torch.no_grad()
def test_parity_after_saving_and_loading(published, imported, x, tmp_path):
    path = save_model(imported, tmp_path / "imported.safetensors", {"source": "test"})
    assert torch.equal(load_model(path)(x).logits, imported(x).logits)
    assert far(load_model(tmp_path)(x), published[3]) < TOLERANCE


def test_parity_of_parameters(published, imported):
    _, parameters, _, _ = published
    assert sum(p.numel() for p in imported.parameters()) == parameters
    assert parameters in (39_403_021, 28_838_157)


def test_parity_of_keys(published, imported):
    """Each published tensor has exactly one place here, and no place is left empty."""
    _, _, state, _ = published
    translated = [translate(key, len(imported.skips) - 1) for key in state]
    assert len(set(translated)) == len(translated)
    assert set(translated) == set(imported.state_dict())


@torch.no_grad()
@pytest.mark.parametrize("skip", [0, 2])
def test_parity_notices_a_broken_skip_connection(published, imported, x, skip):
    cut = imported.skips[skip].register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    difference = far(imported(x), published[3])
    cut.remove()
    assert difference > 100 * TOLERANCE
