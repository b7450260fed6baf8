"""Consistency regularization: whose labels teach whom, and what never flows back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from maunet_lite.data import CellDataset, load_dataset, read_labels, write_labels
from maunet_lite.network import save_model
from maunet_lite.network.maunet import Output, build_model
from maunet_lite.training.consistency import (
    Consistency,
    TwinNetworks,
    pseudo_accuracy,
)
from maunet_lite.training.loop import train
from maunet_lite.training.losses import classification_consistency, consistency_loss, pseudo_labels
from maunet_lite.training.recipes import TrainConfig, recipe


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "data"))


def logits(*values: float) -> torch.Tensor:
    """One pixel with the given channel values."""
    return torch.tensor(values, requires_grad=True)[None, :, None, None].clone()


def test_the_proxy_is_never_a_pseudo_label() -> None:
    assert pseudo_labels(logits(0.0, 2.0, 1.0, 9.0)).item() == 1


def test_equation_3_by_hand() -> None:
    one = Output(logits(0.0, 0.0), torch.tensor([[[[0.2]]]]))
    two = Output(logits(1.0, 0.0), torch.tensor([[[[0.6]]]]))
    # Both call the pixel background (ties go to the first class).
    # CE(one, 0) = log 2; CE(two, 0) = log(1 + e^-1); L2 = 0.4².
    expected = np.log(2) + np.log1p(np.exp(-1)) + 0.16
    assert consistency_loss(one, two, n_classes=2).item() == pytest.approx(expected, rel=1e-6)
    assert classification_consistency(one.logits, two.logits, 2).item() == pytest.approx(
        expected - 0.16, rel=1e-6
    )


def test_no_gradient_flows_through_a_pseudo_label() -> None:
    teacher = torch.tensor([[[[5.0]], [[0.0]]]], requires_grad=True)
    student = torch.zeros(1, 2, 1, 1, requires_grad=True)
    torch.nn.functional.cross_entropy(student, pseudo_labels(teacher, 2)).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_pseudo_accuracy_counts_classes_alike() -> None:
    truth = torch.tensor([0, 0, 0, 1])
    assert pseudo_accuracy(truth, truth).item() == 1
    assert pseudo_accuracy(torch.tensor([0, 0, 0, 0]), truth).item() == 0.5


def cr(folder: Path, out: Path, **changes: object) -> TrainConfig:
    """A short semi-supervised run."""
    options = {"method": "cr", "labelled_fraction": 0.5, "batch_size": 4, "steps": 3} | changes
    base = TrainConfig(data=str(folder), out=str(out), device="cpu", workers=0, **options)
    return base.override(patch=32, validate_every=0, save_every=1, log_every=1, warmup=1)


def test_labelled_and_unlabelled_images_are_disjoint_and_balanced(disks: Path, tmp_path: Path) -> None:
    method = Consistency(cr(disks, tmp_path / "run"), load_dataset(disks).split("train"))
    assert set(method.labelled.table["image"]).isdisjoint(method.rest.table["image"])
    assert len(method.labelled) == len(method.rest) == 2
    assert set(method.labelled.modalities) == {"brightfield", "fluorescence"}
    pair = method.patches(5)[3]
    assert pair["image"].shape == pair["unlabelled_image"].shape == (3, 32, 32)
    assert not torch.equal(pair["image"], pair["unlabelled_image"])


def test_networks_start_differently_and_share_an_architecture(disks: Path, tmp_path: Path) -> None:
    twins = Consistency(cr(disks, tmp_path / "run"), load_dataset(disks).split("train")).build()
    one, two = twins.one.state_dict(), twins.two.state_dict()
    assert one.keys() == two.keys()
    assert not torch.equal(one["class_head.conv.weight"], two["class_head.conv.weight"])


def test_network_two_has_the_architecture_of_fine_tuned_weights(disks: Path, tmp_path: Path) -> None:
    network = build_model("lite", encoder="lite:8-16x2", widths=(0, 8, 8), proxy=False)
    path = save_model(network, tmp_path / "weights.safetensors")
    config = cr(disks, tmp_path / "run", start_from=str(path))
    twins = Consistency(config, load_dataset(disks).split("train")).build()
    assert twins.two.config == twins.one.config == network.config


@pytest.mark.parametrize("method", ["cr", "cr*"])
def test_a_run_logs_pseudo_labels_and_keeps_network_one(disks: Path, tmp_path: Path, method: str) -> None:
    config = cr(disks, tmp_path / "run", method=method)
    train(config, progress=False)
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert list(log["step"]) == [1, 2, 3]
    assert {"consistency", "agreement"} <= set(log)
    assert any(column.startswith("pseudo_accuracy_") for column in log)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["module"]
    from maunet_lite.network import load_model

    kept = load_model(tmp_path / "run" / "last.safetensors").state_dict()
    assert torch.equal(kept["class_head.conv.weight"], state["one.class_head.conv.weight"])
    result = train(config.override(steps=4), resume=True, progress=False)
    assert result.steps == 4


def test_hidden_labels_never_reach_the_loss(disks: Path, tmp_path: Path) -> None:
    method = Consistency(cr(disks, tmp_path / "run"), load_dataset(disks).split("train"))
    torch.manual_seed(0)
    twins = TwinNetworks(build_model("lite"), build_model("lite")).eval()
    batch = torch.utils.data.default_collate([method.patches(2)[k] for k in range(2)])
    loss = method.loss(twins, batch)["loss"]
    batch["hidden_classes"] = torch.zeros_like(batch["hidden_classes"])
    assert method.loss(twins, batch)["loss"] == loss


@pytest.mark.parametrize("name", ["lite", "lite-plain"])
def test_hidden_labels_do_not_choose_the_patches(disks: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(disks, tmp_path / "other")
    for path in (tmp_path / "other" / "labels").iterdir():  # another cell, at another place, of another size
        labels = read_labels(path)
        write_labels(path, np.where(np.indices(labels.shape).sum(axis=0) < 30, 1, 0))
    config = recipe(name).override(data=str(disks), method="cr", labelled_fraction=0.5, steps=9, patch=32)
    method = Consistency(config, load_dataset(disks).split("train"))
    rest = method.rest
    table = rest.table.assign(label=None, labelled=False)
    pairs = []
    for method.rest in (
        rest,
        CellDataset(rest.folder, "none", table),
        CellDataset(tmp_path / "other", "other", rest.table),
    ):
        pairs.append([method.patches(12)[k] for k in range(12)])
    for known, unknown, other in zip(*pairs, strict=True):
        assert torch.equal(known["unlabelled_image"], unknown["unlabelled_image"])
        assert torch.equal(known["unlabelled_image"], other["unlabelled_image"])
        assert (unknown["hidden_classes"] == -1).all()
    assert any((pair["hidden_classes"] > 0).any() for pair in pairs[0]), "there to measure by"
    assert not all(
        torch.equal(a["hidden_classes"], b["hidden_classes"]) for a, b in zip(*pairs[::2], strict=True)
    )


def test_a_folder_without_labels_lends_no_images_for_validation_test_or_left_out(
    disks: Path, tmp_path: Path
) -> None:
    config = cr(
        disks, tmp_path / "run", labelled_fraction=1.0, unlabelled=str(disks), leave_out=["brightfield"]
    )
    train_images = load_dataset(disks).split("train").without(config.leave_out)
    assert list(Consistency(config, train_images).rest.table["image"]) == ["1.png", "3.png"]
    config = config.override(leave_out=["brightfield", "fluorescence", "elsewhere"])
    with pytest.raises(ValueError, match="'cr' needs images without labels; '.*' has none"):
        Consistency(config, train_images)


def test_an_odd_batch_and_missing_unlabelled_images_are_refused(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be even"):
        Consistency(cr(disks, tmp_path / "run", batch_size=3), load_dataset(disks).split("train"))
    with pytest.raises(ValueError, match="labelled_fraction"):
        TrainConfig(method="cr", steps=1)
