"""The kit's steps in plain MONAI pipelines: arrays or tensors, channels first, whatever comes around them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandAxisFlipd, ToTensord

from maunet_lite.preprocessing import AugmentationConfig, build_augmentation
from maunet_lite.preprocessing.augmentation.cuts import RandTurnd, RandZoomWindowd
from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.preprocessing.targets import TargetConfig, make_targets
from maunet_lite.preprocessing.transforms import CellTargetsd, NormalizeCellsd


@pytest.fixture
def item() -> dict[str, np.ndarray]:
    """A coloured image and its label map, channels first and not square."""
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8), dtype=int))
    return {"image": rng.integers(0, 2**16, (3, 24, 32), dtype=np.uint16), "label": labels[None]}


def test_scaling_and_targets_are_the_packages(item: dict[str, np.ndarray]) -> None:
    config = TargetConfig(boundary="authors", center="authors", beta=2.0)
    out = Compose([NormalizeCellsd("image", "paper"), CellTargetsd("label", config)])(item)
    expected = normalize(item["image"].transpose(1, 2, 0), "paper").transpose(2, 0, 1)
    np.testing.assert_array_equal(out["image"], expected)
    targets = make_targets(item["label"][0], boundary="authors", center="authors", beta=2.0)
    np.testing.assert_array_equal(out["classes"], targets.classes[None])
    np.testing.assert_array_equal(out["distance"], targets.distance[None])
    assert out["label"] is item["label"]


def test_tensors_stay_tensors_with_their_metadata(item: dict[str, np.ndarray]) -> None:
    tensors = {name: MetaTensor(part.astype(np.int32), meta={"spacing": 0.5}) for name, part in item.items()}
    out = Compose([NormalizeCellsd(["image"]), CellTargetsd("label")])(tensors)
    assert out["image"].dtype == out["distance"].dtype == torch.float32
    assert out["classes"].dtype == torch.uint8
    assert all(out[name].meta["spacing"] == 0.5 for name in ("image", "classes", "distance"))
    np.testing.assert_array_equal(out["image"].numpy(), NormalizeCellsd("image")(item)["image"])


def test_missing_keys_are_named_or_allowed(item: dict[str, np.ndarray]) -> None:
    with pytest.raises(KeyError, match="other"):
        NormalizeCellsd(["image", "other"])(item)
    assert "other" not in NormalizeCellsd(["image", "other"], allow_missing_keys=True)(item)


def test_the_augmentation_goes_between_monais_steps(item: dict[str, np.ndarray]) -> None:
    steps = build_augmentation(AugmentationConfig(patch=16)).transforms
    keys = ["image", "classes", "distance"]
    chain = Compose([NormalizeCellsd("image"), CellTargetsd(), *steps, RandAxisFlipd(keys), ToTensord(keys)])
    one, two = (chain.set_random_state(seed=3)(item) for _ in range(2))
    assert one["image"].shape == (3, 16, 16)
    assert all(torch.equal(one[key], two[key]) for key in keys)


def test_turns_reach_all_eight_positions_and_turn_all_alike() -> None:
    square, step, seen = np.array([[[1, 2], [3, 4]]]), RandTurnd(("one", "two"), 0.5), set()
    step.set_random_state(seed=0)
    for _ in range(200):
        out = step({"one": square, "two": 10 * square})
        np.testing.assert_array_equal(10 * out["one"], out["two"])
        seen.add(out["one"].tobytes())
    assert len(seen) == 8


def test_seeding_again_repeats_also_after_pickling() -> None:
    item = {name: np.random.default_rng(0).random((1, 40, 50)) for name in ("image", "classes", "distance")}
    item = {name: part.astype(np.float32) for name, part in item.items()}
    chain = build_augmentation(AugmentationConfig(patch=16, p_intensity=1.0))
    other = pickle.loads(pickle.dumps(chain))
    one, two = (augment.set_random_state((5, 2**41))(item)["image"] for augment in (chain, other))
    np.testing.assert_array_equal(one, two)


def test_windows_are_drawn_around_cells_where_asked() -> None:
    classes = np.zeros((1, 300, 200), np.uint8)
    classes[0, 250:260, 30:40] = 1
    step = RandZoomWindowd(("classes",), AugmentationConfig(patch=32, zoom=(1, 1), around_cell=1.0))
    step.set_random_state(seed=0)
    assert all(step({"classes": classes})["classes"].any() for _ in range(20))


def test_the_page_on_monai_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/monai.md trains a step."""
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "monai.md").read_text()
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert torch.isfinite(names["losses"]["loss"])
