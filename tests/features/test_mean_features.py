"""Mean features against values derived by hand, and against plain averaging over the enlarged feature map."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from maunet_lite.data import Sample
from maunet_lite.features.mean_features import class_head, layers, mean_features
from maunet_lite.features.space import Features
from maunet_lite.network.maunet import Output, build_model
from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.preprocessing.targets import make_targets


class Pooling(nn.Module):
    """A network without context: the features of "class_decoder" are means of 4 × 4 pixels of the image.

    Its logits say interior where the image is bright.
    """

    stride, n_classes = 4, 3
    config = SimpleNamespace(proxy=False, boundary=True, distance=False, intensity="authors")

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.class_decoder = nn.AvgPool2d(4)
        self.class_decoder.blocks = []
        self.distance_decoder = None
        self.class_head = SimpleNamespace(
            class_weights=lambda: torch.eye(3), conv=SimpleNamespace(bias=torch.zeros(3))
        )
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        self.encoder([x])
        self.class_decoder(x)
        bright = x[:, :1]
        return Output(torch.cat([0.5 - bright, bright - 0.5, torch.full_like(bright, -1.0)], dim=1), None)


def test_features_leave_the_device_as_float32(half_bright, monkeypatch):
    """Apple's MPS has no float64: the conversion must come after the move."""
    moved = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append(self.dtype) or original(self))
    mean_features(Pooling(), [half_bright])
    assert moved.count(torch.float32) >= 1
    assert torch.float64 not in moved


@pytest.fixture
def half_bright() -> Sample:
    """8 × 16 pixels, left half dark, right half bright: one cell of 8 × 8 pixels."""
    labels = np.zeros((8, 16), np.int32)
    labels[:, 8:] = 70_000
    return Sample("half.png", "dic", np.where(labels > 0, 200, 50).astype(np.uint8), labels)


def rows_of(features: Features) -> list[tuple]:
    return list(features.table[["image", "class", "pixels", "mask"]].itertuples(index=False, name=None))


def test_means_of_a_picture_read_by_eye(half_bright):
    found = mean_features(Pooling(), [half_bright])
    dark, bright = normalize(half_bright.image)[0, [0, -1], 0]
    n_interior = int((make_targets(half_bright.labels).classes == 1).sum())
    assert 0 < n_interior < 64  # the boundary pixels of the cell count nowhere
    assert rows_of(found) == [
        ("half.png", "background", 64, "truth"),
        ("half.png", "interior", n_interior, "truth"),
    ]
    np.testing.assert_allclose(found.vectors, [[dark] * 3, [bright] * 3], rtol=1e-6)
    assert found.vectors.dtype == np.float32


def test_without_labels_the_prediction_is_the_mask(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=None)])
    assert rows_of(found) == [
        ("half.png", "background", 64, "predicted"),
        ("half.png", "interior", 64, "predicted"),
    ]


def test_image_without_cells_has_a_background_row_only(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=np.zeros((8, 16), int)), half_bright])
    assert list(found.table["class"]) == ["background", "background", "interior"]
    assert found.table["pixels"][0] == 8 * 16


def test_image_without_background_has_an_interior_row_only(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=np.ones((8, 16), int))])
    assert list(found.table["class"]) == ["interior"]


def test_a_feature_counts_as_often_as_it_has_pixels_in_the_mask():
    # Columns of 4 pixels: values 0, 1, 2, …; the mask takes 4 pixels of the first, 2 of the second: (4·0 +
    # 2·1) / 6.
    from maunet_lite.features.mean_features import _masked_sums

    values = torch.arange(3.0).reshape(1, 1, 3)
    mask = np.zeros((1, 4, 12), bool)
    mask[0, 0, :4] = mask[0, 1, 4:6] = True
    assert _masked_sums(values, mask).tolist() == [[2.0]]
    assert mask.sum() == 6


@pytest.mark.parametrize("shape", [(300, 410), (129, 500), (5, 7), (1, 260)])
def test_windows_count_every_pixel_once(shape):
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.int32)
    for k, corner in enumerate(range(0, max(shape), 23)):  # cells that the windows' borders cut anywhere
        labels[corner // 2 : corner // 2 + 15, corner : corner + 17] = k + 1
    sample = Sample("noise", "dic", rng.integers(0, 255, shape, dtype=np.uint8), labels)
    whole = mean_features(Pooling(), [sample], window=512)
    windows = mean_features(Pooling(), [sample], window=160, overlap=20)
    assert rows_of(whole) == rows_of(windows)
    counted = dict(zip(whole.table["class"], whole.table["pixels"], strict=True))
    classes = make_targets(labels).classes
    assert counted == {
        name: int((classes == k).sum())
        for k, name in enumerate(("background", "interior"))
        if name in counted
    }
    np.testing.assert_allclose(windows.vectors, whole.vectors, rtol=1e-5)


@pytest.mark.parametrize("layer", ["class_decoder", "class_decoder.0", "distance_decoder", "encoder.4"])
def test_equals_averaging_over_the_enlarged_map(layer):
    torch.manual_seed(0)
    model = build_model("lite").eval()
    rng = np.random.default_rng(0)
    labels = np.zeros((130, 150), np.int32)
    labels[20:80, 30:100] = 3
    image = rng.integers(0, 255, (130, 150, 3), dtype=np.uint8)
    found = mean_features(model, [Sample("a", "dic", image, labels)], layer)

    # 130 → 160 and 150 → 160 by mirroring, as numpy does it
    padded = np.pad(normalize(image), ((0, 30), (0, 10), (0, 0)), mode="symmetric")
    x = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        skips = model.skip_features(x)
        values = {
            "class_decoder": lambda: model.class_decoder(skips),
            "class_decoder.0": lambda: model.class_decoder.blocks[0](skips[-1], skips[-2]),
            "distance_decoder": lambda: model.distance_decoder(skips),
            "encoder.4": lambda: model.encoder(x)[4],
        }[layer]()[0].numpy()
    ratio = 160 // values.shape[1]
    enlarged = values.repeat(ratio, axis=1).repeat(ratio, axis=2)[:, :130, :150]
    classes = make_targets(labels).classes
    expected = [enlarged[:, classes == k].mean(axis=1) for k in (0, 1)]
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-4, atol=1e-5)


def test_several_layers_in_one_pass_equal_each_alone(half_bright):
    torch.manual_seed(0)
    model = build_model("lite")
    together = mean_features(model, [half_bright], ["encoder.0", "class_decoder"])
    assert list(together) == ["encoder.0", "class_decoder"]
    np.testing.assert_array_equal(
        together["encoder.0"].vectors, mean_features(model, [half_bright], "encoder.0").vectors
    )
    assert together["encoder.0"].head is None
    assert together["class_decoder"].head is not None


def test_model_is_left_as_it_was(half_bright):
    model = build_model("lite").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mean_features(model, [half_bright])
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_hooks_are_removed_after_an_error(half_bright):
    model = build_model("lite")
    with pytest.raises(
        ValueError, match=r"half.png: the image has \(8, 16\) pixels and the label map \(16, 8\)"
    ):
        mean_features(model, [half_bright._replace(labels=half_bright.labels.T)])
    assert not any(module._forward_hooks for module in model.modules())


def test_unknown_layer_and_no_images_are_refused(half_bright):
    with pytest.raises(
        ValueError, match="layer 'decoder' is not known; this network has encoder.0, .*class_decoder"
    ):
        mean_features(build_model("lite"), [half_bright], "decoder")
    with pytest.raises(ValueError, match="no image was given"):
        mean_features(build_model("lite"), [])


@pytest.mark.parametrize("distance", [True, False])
def test_layers_lists_channels_and_strides(distance):
    model = build_model("lite", distance=distance)
    table = layers(model).set_index("layer")
    assert table.loc["encoder.4"].tolist() == [model.encoder.channels[4], model.encoder.strides[4]]
    widths = [w for w in model.config.widths if w]  # finest first; blocks count from the deepest
    finest = table["stride"].min()
    assert table.loc["class_decoder.0"].tolist() == [widths[-2], finest * 2 ** (len(widths) - 2)]
    assert table.loc["class_decoder"].tolist() == [widths[0], finest]
    assert ("distance_decoder" in table.index) == distance


@pytest.mark.parametrize(("proxy", "boundary"), [(True, True), (False, True), (True, False)])
def test_mean_logit_is_the_logit_of_the_mean_feature(proxy, boundary):
    """The head is linear, sub-pixels included: so proxies and boundary mean something for mean features."""
    torch.manual_seed(1)
    model = build_model("lite", proxy=proxy, boundary=boundary).eval()
    nn.init.normal_(model.class_head.conv.bias)  # sub-pixels of one class differ
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        features = model.class_decoder(model.skip_features(x))
        logits = model(x).logits
    head = class_head(model)
    assert head.names == ("background", "interior") + ("boundary",) * boundary + ("proxy",) * proxy
    expected = head.weights @ features.double().mean(dim=(0, 2, 3)).numpy() + head.bias
    np.testing.assert_allclose(logits.mean(dim=(0, 2, 3)), expected, atol=1e-5)
