"""Encoders by name: channels, strides, cuts, ImageNet weights from a local file, and timm."""

from __future__ import annotations

import hashlib
import re
import sys
from types import ModuleType, SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import nn

from maunet_lite.network import encoders
from maunet_lite.network.encoders import LITE_CHANNELS, build_encoder
from maunet_lite.network.maunet import build_model
from maunet_lite.training.losses import supervised_loss

SMALL = (64, 64, 128, 256, 512)
LARGE = (64, 256, 512, 1024, 2048)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", SMALL),
        ("resnet34", SMALL),
        ("resnet50", LARGE),
        ("wide_resnet50_2", LARGE),
        ("wide_resnet50_2:4", LARGE[:4]),
        ("resnet18:2", SMALL[:2]),
        ("lite", LITE_CHANNELS),
        ("lite:3", LITE_CHANNELS[:3]),
        ("lite:8-16-24", (8, 16, 24)),
        ("lite:8-16x2", (8, 16)),
    ],
)
def test_channels_and_strides_are_what_comes_out(name, channels):
    with torch.device("meta"):
        encoder = build_encoder(name)
        features = encoder(torch.zeros(2, 3, 64, 96))
    assert encoder.channels == channels
    assert encoder.strides == tuple(2 ** (i + 1) for i in range(len(channels)))
    expected = [(2, c, 64 // s, 96 // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(feature.shape) for feature in features] == expected


def test_cutting_changes_nothing_above_the_cut():
    torch.manual_seed(0)
    whole = build_encoder("resnet18").eval()
    cut = build_encoder("resnet18:3").eval()
    cut.load_state_dict({key: value for key, value in whole.state_dict().items() if key in cut.state_dict()})
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(cut(x), whole(x), strict=False):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "encoder 'resnet19' is not known; choose one of lite, resnet18"),
        ("resnet18:6", "'6', must be a number from 2 to 5"),
        ("resnet18:1", "'1', must be a number from 2 to 5"),
        ("resnet18:four", "'four', must be a number"),
        ("lite:8-x", "expected the channels of each stage"),
        ("lite:8-16x0", "expected the channels of each stage"),
        ("lite:9", f"'9', must be a number from 2 to {len(LITE_CHANNELS)}"),
        ("", "encoder '' is not known"),
    ],
)
def test_impossible_names_are_explained(name, message):
    with pytest.raises(ValueError, match=message):
        build_encoder(name)


@pytest.mark.parametrize(
    ("name", "parameters", "inner"),
    [  # parameters of torchvision's networks less those of their classifiers, (512 or 2048 + 1) × 1000
        ("resnet18", 11_689_512 - 513_000, 512),
        ("resnet34", 21_797_672 - 513_000, 512),
        ("resnet50", 25_557_032 - 2_049_000, 512),
        ("wide_resnet50_2", 68_883_240 - 2_049_000, 1024),
    ],
)
def test_networks_are_torchvisions(name, parameters, inner):
    with torch.device("meta"):
        encoder = build_encoder(name)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert encoder.state_dict()["layer4.1.conv2.weight"].shape == (inner, inner, 3, 3)


def test_what_is_cut_off_leaves_nothing_behind():
    keys = build_encoder("wide_resnet50_2:4").state_dict()
    assert {key.split(".")[0] for key in keys} == {"conv1", "bn1", "layer1", "layer2", "layer3"}


# --- ImageNet --------------------------------------------------


@pytest.fixture
def imagenet_file(tmp_path, monkeypatch):
    """A file such as torchvision's: weights of resnet18 with its classifier, named after its own hash."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    state = build_encoder("resnet18").state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    path = (folder / "new.pth").rename(folder / f"resnet18-{digest[:8]}.pth")
    variant = (*encoders.VARIANTS["resnet18"][:-1], path.name)
    monkeypatch.setitem(encoders.VARIANTS, "resnet18", variant)
    return path


def test_imagenet_weights_from_a_local_file(imagenet_file):
    stored = torch.load(imagenet_file, weights_only=True)
    model = build_model("lite", encoder="resnet18:4", imagenet=True)
    state = model.encoder.state_dict()
    learned = [key for key in state if not key.endswith("num_batches_tracked")]
    assert all(torch.equal(state[key], stored[key]) for key in learned)
    assert not any(key.startswith(("fc", "layer4")) for key in state)


def test_a_damaged_file_is_refused(imagenet_file):
    imagenet_file.write_bytes(imagenet_file.read_bytes()[:-1] + b"?")
    with pytest.raises(
        ValueError, match=r"is damaged or something else: its SHA-256 begins with .* Delete it"
    ):
        build_encoder("resnet18", imagenet=True)


def test_offline_says_which_file_to_put_where(imagenet_file, monkeypatch):
    imagenet_file.unlink()

    def offline(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(FileNotFoundError) as error:
        build_encoder("resnet18", imagenet=True)
    message = str(error.value)
    assert imagenet_file.name in message
    assert str(imagenet_file.parent) in message
    assert "imagenet=False" in message


def test_a_file_without_all_weights_is_refused(imagenet_file, monkeypatch):
    stored = torch.load(imagenet_file, weights_only=True)
    del stored["layer1.0.conv1.weight"]
    monkeypatch.setattr(encoders, "imagenet_weights", lambda filename: stored)
    with pytest.raises(ValueError, match=r"lacks 1 weights of the encoder, first 'layer1.0.conv1.weight'"):
        build_encoder("resnet18", imagenet=True)


def test_lite_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="there are no ImageNet weights for the encoder 'lite'"):
        build_model("lite", imagenet=True)


@pytest.mark.parametrize("name", sorted(encoders.VARIANTS))
def test_names_of_the_weights_hold_their_hash(name):
    stem, _, digest = encoders.VARIANTS[name][-1].removesuffix(".pth").rpartition("-")
    assert stem == name
    assert len(digest) == 8
    assert int(digest, 16)


# --- timm --------------------------------------------------


class Stages(nn.Module):
    """What timm returns for ``features_only=True``: strides 4 and 8, the second feature channels-last."""

    def __init__(self, out_indices=(0, 1)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.down = nn.Conv2d(8, 12, 2, stride=2)
        self.n = len(out_indices)
        self.feature_info = SimpleNamespace(
            channels=lambda: [8, 12][: self.n], reduction=lambda: [4, 8][: self.n]
        )

    def forward(self, x):
        first = self.stem(x)
        return [first, self.down(first).movedim(1, -1)][: self.n]


@pytest.fixture
def stand_in(monkeypatch):
    """A module named timm that knows one network."""

    def create_model(name, pretrained, features_only, in_chans, **options):
        assert features_only
        assert in_chans == 3
        if name != "convnext_tiny":
            raise RuntimeError(f"Unknown model ({name})")
        if pretrained:
            raise OSError("cannot reach the hub")
        return Stages(**options)

    module = ModuleType("timm")
    module.create_model = create_model
    module.list_models = lambda pattern: ["convnext_tiny"]
    monkeypatch.setitem(sys.modules, "timm", module)


def test_timm_features_become_an_encoder(stand_in):
    model = build_model("paper-r50", encoder="timm:convnext_tiny")
    assert model.encoder.channels == (8, 12)
    assert model.config.widths == (24, 48, 96)
    logits, distance = model(torch.rand(1, 3, 16, 24))
    assert logits.shape == (1, 4, 16, 24)
    loss = supervised_loss(model(torch.rand(1, 3, 16, 24)), torch.zeros(1, 16, 24), torch.zeros(1, 1, 16, 24))
    loss["loss"].backward()
    assert model.encoder.net.stem.weight.grad.abs().sum() > 0


def test_timm_cut(stand_in):
    assert build_encoder("timm:convnext_tiny:2").channels == (8, 12)


def test_timm_errors_are_explained(stand_in):
    with pytest.raises(ValueError, match=r"'convnext_tinny' .* similar names: convnext_tiny"):
        build_encoder("timm:convnext_tinny")
    with pytest.raises(ValueError, match=r"cannot reach the hub.* are its weights downloaded\?"):
        build_encoder("timm:convnext_tiny", imagenet=True)


def test_without_timm_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # import raises ImportError
    with pytest.raises(ImportError, match=r'pip install -e "\.\[timm\]"'):
        build_encoder("timm:convnext_tiny")


def test_the_real_timm():
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here: {error}")
    model = build_model("paper-r50", encoder="timm:convnext_tiny")
    assert model.config.widths == (24, 48, 96, 192, 384)
    loss = supervised_loss(model(torch.rand(1, 3, 32, 32)), torch.zeros(1, 32, 32), torch.zeros(1, 1, 32, 32))
    loss["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# --- the page about encoders --------------------------------------------------


def blocks_of(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def test_the_page_about_encoders_runs(repository):
    page = (repository / "docs" / "encoders.md").read_text(encoding="utf-8")
    blocks = blocks_of(page, "python")
    assert len([line for line in blocks[0].splitlines() if line and "import" not in line]) == 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/encoders.md", "exec"), names)


def test_the_page_about_encoders_runs_with_timm(repository, stand_in):
    page = (repository / "docs" / "encoders.md").read_text(encoding="utf-8")
    training = blocks_of(page, "python")[0].splitlines()
    (timm,) = blocks_of(page, "python timm")
    swapped = [timm.strip() if line.startswith("model =") else line for line in training]
    exec(compile("\n".join(swapped), "docs/encoders.md", "exec"), {})
