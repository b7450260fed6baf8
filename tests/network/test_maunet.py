"""Blocks, configuration and network: shapes, heads, errors, gradients."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maunet_lite.network.blocks import InstanceNorm, ResidualBlock, SubpixelHead, UpBlock, fold_batch_norm
from maunet_lite.network.maunet import (
    PRESETS,
    MAUNet,
    ModelConfig,
    build_model,
    default_widths,
    preset_config,
)
from maunet_lite.training.losses import supervised_loss

TINY = ModelConfig("tiny", (4, 4, 6, 8))


class TinyEncoder(nn.Module):
    """Two convolutions, at strides 2, 4 and 8: as much of an encoder as the network asks for."""

    channels = (5, 7, 9)
    strides = (2, 4, 8)

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, 5, 7), self.channels, strict=True)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)

    def forward(self, x):
        features = []
        for convolution in self.convolutions:
            x = convolution(x)
            features.append(x)
        return features


def tiny(**fields) -> MAUNet:
    torch.manual_seed(0)
    return MAUNet(replace(TINY, **fields), TinyEncoder())


# --- blocks --------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_by_hand(batch, layout):
    """Mean 0 and variance 1 per image and channel, in the memory order that came in."""
    x = torch.arange(batch * 2 * 3 * 4, dtype=torch.float32).view(batch, 2, 3, 4).square()
    expected = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    result = InstanceNorm(2)(x.contiguous(memory_format=layout))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)
    assert result.is_contiguous(memory_format=layout)


def test_instance_norm_has_the_same_gradient_in_both_memory_orders():
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.linspace(0, 1, 2 * 2 * 4 * 4).view(2, 2, 4, 4).square().contiguous(memory_format=layout)
        x.requires_grad_()
        InstanceNorm(2)(x).pow(3).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_residual_block_with_silent_convolutions_is_the_identity(norm):
    """Both convolutions at 0: what remains is the shortcut, and the leaky activation of negative values."""
    block = ResidualBlock(2, 2, norm)
    nn.init.zeros_(block.conv1.weight)
    nn.init.zeros_(block.conv2.weight)
    x = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    assert block(x)[0, :, 1, 1].tolist() == pytest.approx([1.0, -0.01])


def test_up_block_by_hand():
    """The transposed convolution repeats each pixel 2×2 when all its weights are 1."""
    block = UpBlock(1, 1)
    nn.init.ones_(block.up.weight)
    seen = []
    block.block.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    x = torch.tensor([[[[1.0, 2.0]]]])
    skip = torch.full((1, 1, 2, 4), 7.0)
    block(x, skip)
    assert seen[0][0].tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2]], [[7] * 4] * 2]


@pytest.mark.parametrize("channels", [(5, 8), (8, 8)])
def test_residual_block_is_monais(channels):
    from monai.networks.blocks import UnetrBasicBlock

    theirs = UnetrBasicBlock(2, *channels, 3, stride=1, norm_name="instance", res_block=True)
    ours = ResidualBlock(*channels)
    names = {"layer.conv1.conv": "conv1", "layer.conv2.conv": "conv2", "layer.conv3.conv": "shortcut.0"}
    load_renamed(ours, theirs, names)
    x = torch.rand(2, channels[0], 24, 16)
    assert torch.equal(ours(x), theirs(x))


def test_up_block_is_monais():
    from monai.networks.blocks import UnetrUpBlock

    theirs = UnetrUpBlock(2, 8, 4, 3, upsample_kernel_size=2, norm_name="instance", res_block=True)
    ours = UpBlock(8, 4)
    names = {"transp_conv.conv": "up", "conv_block.conv1.conv": "block.conv1"}
    names |= {"conv_block.conv2.conv": "block.conv2", "conv_block.conv3.conv": "block.shortcut.0"}
    load_renamed(ours, theirs, names)
    x, skip = torch.rand(2, 8, 12, 8), torch.rand(2, 4, 24, 16)
    assert torch.equal(ours(x, skip), theirs(x, skip))


def load_renamed(ours: nn.Module, theirs: nn.Module, names: dict[str, str]) -> None:
    """Give `ours` the weights of `theirs`, every one of which must find its place."""
    state = {key.removesuffix(".weight"): value for key, value in theirs.state_dict().items()}
    ours.load_state_dict({f"{names[key]}.weight": value for key, value in state.items()})


def test_subpixel_head_starts_without_checkerboard():
    head = SubpixelHead(3, 2, ratio=4)
    out = head(torch.rand(1, 3, 2, 5))
    assert out.shape == (1, 2, 8, 20)
    blocks = out.unfold(2, 4, 4).unfold(3, 4, 4)  # (1, 2, 2, 5, 4, 4)
    assert (blocks == blocks[..., :1, :1]).all()


def test_class_weights_are_the_proxies_of_figure_6():
    head = SubpixelHead(3, 2, ratio=2)
    with torch.no_grad():
        head.conv.weight.copy_(torch.arange(24.0).view(8, 3, 1, 1))
    # rows 0 to 3 belong to the first class: their mean is (0+3+6+9)/4 = 4.5, then 5.5 and 6.5
    assert head.class_weights().tolist() == [[4.5, 5.5, 6.5], [16.5, 17.5, 18.5]]
    plain = SubpixelHead(3, 2)
    assert torch.equal(plain.class_weights(), plain.conv.weight[:, :, 0, 0])


def test_folding_batch_norm_changes_nothing():
    model = build_model("lite")
    randomise_norms(model)
    model.eval()
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = model(x)
        after = fold_batch_norm(model)(x)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.distance, before.distance, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())


def test_folding_needs_evaluation_mode():
    with pytest.raises(ValueError, match=r"call module.eval\(\) first"):
        fold_batch_norm(build_model("lite"))


def randomise_norms(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            for name, low, high in (("weight", 0.5, 1.5), ("bias", -0.2, 0.2)):
                getattr(part, name).data.uniform_(low, high, generator=generator)
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)


# --- network --------------------------------------------------


@pytest.mark.parametrize(("proxy", "distance", "boundary"), list(product([True, False], repeat=3)))
def test_each_head_is_an_experiment(proxy, distance, boundary):
    """Every ablation, alone and together: outputs, loss and a gradient for every parameter."""
    model = tiny(proxy=proxy, distance=distance, boundary=boundary)
    output = model(torch.rand(2, 3, 16, 24))
    assert output.logits.shape == (2, 2 + boundary + proxy, 16, 24)
    assert (output.distance is not None) == distance
    classes = torch.randint(0, 3, (2, 16, 24), generator=torch.Generator().manual_seed(0))
    parts = supervised_loss(output, classes, (classes > 0).float()[:, None], n_classes=model.n_classes)
    assert ("distance" in parts) == distance
    parts["loss"].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without


@pytest.mark.parametrize("widths", [(4, 4, 6, 8), (0, 4, 6, 8)])
def test_output_has_the_size_of_the_image(widths):
    model = tiny(widths=widths)
    for size in ((8, 16), (24, 8)):
        logits, distance = model(torch.rand(1, 3, *size))
        assert logits.shape == (1, 4, *size)
        assert distance.shape == (1, 1, *size)


def test_decoders_share_skips_and_nothing_else():
    model = tiny()
    skips = model.skip_features(torch.rand(1, 3, 16, 16))
    assert [tuple(skip.shape[1:]) for skip in skips] == [(4, 16, 16), (4, 8, 8), (6, 4, 4), (8, 2, 2)]
    ours = {id(p) for p in model.class_decoder.parameters()}
    assert not ours & {id(p) for p in model.distance_decoder.parameters()}


@pytest.mark.parametrize("size", [(16, 20), (4, 8), (1, 1)])
def test_sizes_that_do_not_fit_are_refused_with_advice(size):
    with pytest.raises(ValueError, match="not multiples of 8: pad them, or call"):
        tiny()(torch.rand(1, 3, *size))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 8, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected images of shape \(B, 3, H, W\)"):
        tiny()(torch.rand(*shape))


def test_batch_of_images_equals_images_one_by_one():
    model = tiny().eval()
    x = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        together = model(x).logits
        alone = torch.cat([model(image[None]).logits for image in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_learns_one_image():
    """Overfit a disk: the sanity check of every network."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    depth = 5 - ((rows - 8) ** 2 + (columns - 8) ** 2).sqrt()
    classes = torch.where(depth > 1, 1, torch.where(depth > 0, 2, 0))[None]
    distance = (depth.clamp(min=0) / 5)[None, None]
    image = F.pad(distance[..., 1:], (0, 1)).expand(1, 3, 16, 16)
    model = tiny(norm="batch")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    curve = []
    for _ in range(40):
        loss = supervised_loss(model(image), classes, distance)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    assert curve[-1] < 0.4 * curve[0]


# --- configuration --------------------------------------------------


def test_presets_have_the_published_sizes():
    """paper Table 2, and this kit's promise for `lite`."""
    for preset, expected in (("paper-r50", 39_403_021), ("paper-wr50", 28_838_157)):
        with torch.device("meta"):
            assert sum(p.numel() for p in build_model(preset).parameters()) == expected
    assert sum(p.numel() for p in build_model("lite").parameters()) <= 3_000_000


def test_the_proxy_costs_one_output_channel():
    with torch.device("meta"):
        with_proxy, without = (build_model("paper-r50", proxy=proxy) for proxy in (True, False))
    difference = sum(p.numel() for p in with_proxy.parameters()) - sum(
        p.numel() for p in without.parameters()
    )
    assert difference == 24 + 1


def test_default_widths_are_the_papers():
    assert default_widths((2, 4, 8, 16, 32)) == PRESETS["paper-r50"].widths
    assert default_widths((2, 4, 8, 16)) == PRESETS["paper-wr50"].widths
    assert default_widths((4, 8)) == (24, 48, 96)
    assert default_widths((2, 4), full_resolution=False) == (0, 24, 48)
    assert default_widths((4, 8), full_resolution=False) == (24, 48, 96)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_another_encoder_brings_its_own_widths(preset):
    model = build_model(preset, encoder="resnet18:4")
    full = bool(PRESETS[preset].widths[0])
    assert model.config.widths == (24 if full else 0, 24, 48, 96, 192)
    assert model.stride == 16
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 32, 64)).logits.shape == (1, 4, 32, 64)


def test_widths_that_are_given_are_taken():
    model = build_model("lite", encoder="resnet18:3", widths=[8, 8, 12, 16])
    assert model.config.widths == (8, 8, 12, 16)


def test_config_survives_json():
    config = ModelConfig("resnet18", (24, 24, 48, 96, 192, 384), proxy=False)
    assert ModelConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": (4, 4)}, "widths has 2 entries .* needs 4"),
        ({"widths": (4, 4, 0, 8)}, r"widths=\(4, 4, 0, 8\) must be numbers of channels such as"),
        ({"widths": (-1, 4, 6, 8)}, "must be a list, each a whole number of at least 0 or none"),
        ({"widths": (4.5, 4, 6, 8)}, "must be a list, each a whole number"),
        ({"widths": 24}, "widths=24 must be a list, each a whole number"),
        ({"widths": "auto"}, "widths='auto' must be a list, each a whole number"),
        ({"norm": "layer"}, "norm='layer' must be one of instance, batch"),
        ({"proxy": 1}, "proxy=1 must be true or false"),
        ({"encoder": None}, "encoder=None must be a text"),
    ],
)
def test_impossible_configurations_are_explained(fields, message):
    with pytest.raises(ValueError, match=message):
        MAUNet(replace(TINY, **fields), TinyEncoder())


def test_unknown_names_are_explained():
    with pytest.raises(ValueError, match="preset 'unet' is not known; choose one of paper-r50"):
        build_model("unet")
    with pytest.raises(ValueError, match="ModelConfig has no option 'wdths'; there are: encoder, widths"):
        preset_config("lite", wdths=(1, 2))


def test_strides_that_do_not_divide_each_other_are_refused():
    encoder = TinyEncoder()
    encoder.strides = (2, 5, 10)
    with pytest.raises(ValueError, match=r"strides \(2, 5, 10\)"):
        MAUNet(TINY, encoder)
