"""Encoders by name (paper section 2.2.1): any network that returns features at growing strides.

An encoder is a module with two attributes, ``channels`` and ``strides`` (one entry per returned feature map, finest
first), whose ``forward`` turns images (B, 3, H, W) into a list of features (B, channels[i], H/strides[i], W/strides[i]).
The decoders follow from these lists; nothing else is known about the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from maunet_lite.blocks import ResidualBlock, norm_layer

RESNETS = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2")
LITE_CHANNELS = (24, 48, 96, 144, 192)


class LiteEncoder(nn.Module):
    """A small residual encoder that trains on two CPU cores.

    The first convolution already halves the resolution: full resolution is where a CPU spends its time.
    """

    def __init__(self, channels: tuple[int, ...] = LITE_CHANNELS, norm: str = "batch", depth: int = 1) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(2 ** (i + 1) for i in range(len(channels)))
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 5, stride=2, padding=2, bias=False),
            norm_layer(norm, channels[0]),
            nn.LeakyReLU(0.01, inplace=True),
        )
        self.stages = nn.ModuleList()
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            blocks = [ResidualBlock(before, after, norm, stride=2)]
            blocks += [ResidualBlock(after, after, norm) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one feature map per stage, finest first."""
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class ResNetEncoder(nn.Module):
    """A residual network without its classifier, cut after `stages` stages (2 to 5, the stem being the first).

    MONAI's ResNet in two dimensions has torchvision's layers and names, so that ImageNet weights fit.
    """

    def __init__(self, name: str, stages: int = 5) -> None:
        super().__init__()
        net = _monai_resnet(name)
        self.conv1, self.bn1, self.activation, self.maxpool = net.conv1, net.bn1, net.act, net.maxpool
        layers = (net.layer1, net.layer2, net.layer3, net.layer4)[: stages - 1]
        for i, layer in enumerate(layers, start=1):
            self.add_module(f"layer{i}", layer)
        self.n_layers = len(layers)
        width = 64 if name in ("resnet18", "resnet34") else 256
        self.channels = (64, *(width * 2**i for i in range(self.n_layers)))
        self.strides = tuple(2 ** (i + 1) for i in range(stages))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the stem's features and one feature map per layer, finest first."""
        features = [self.activation(self.bn1(self.conv1(x)))]  # (B, 64, H/2, W/2)
        x = self.maxpool(features[0])  # (B, 64, H/4, W/4)
        for i in range(1, self.n_layers + 1):
            x = getattr(self, f"layer{i}")(x)
            features.append(x)
        return features


def _monai_resnet(name: str) -> nn.Module:
    # Imported here: MONAI takes seconds to import and the lite encoder does not need it.
    from monai.networks.nets import resnet

    depths = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}.get(name, (3, 4, 6, 3))
    block: type[nn.Module] = resnet.ResNetBlock if name in ("resnet18", "resnet34") else resnet.ResNetBottleneck
    if name == "wide_resnet50_2":
        block = _wide_bottleneck(resnet.ResNetBottleneck)
    return resnet.ResNet(
        block,
        list(depths),
        resnet.get_inplanes(),
        spatial_dims=2,
        n_input_channels=3,
        conv1_t_size=7,
        conv1_t_stride=2,
        shortcut_type="B",
        feed_forward=False,
        bias_downsample=False,
    )


def _wide_bottleneck(bottleneck: type[nn.Module]) -> type[nn.Module]:
    class WideBottleneck(bottleneck):
        """A bottleneck with twice the inner channels (Zagoruyko and Komodakis 2016), the outer ones unchanged."""

        def __init__(self, in_planes: int, planes: int, *args: object, **kwargs: object) -> None:
            super().__init__(in_planes, planes, *args, **kwargs)
            inner = 2 * planes
            self.conv1 = nn.Conv2d(in_planes, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride=self.stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = nn.Conv2d(inner, planes * self.expansion, 1, bias=False)

    return WideBottleneck


def build_encoder(name: str, imagenet: bool = False) -> nn.Module:
    """Build the encoder called `name`.

    ``"lite"``, or ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"wide_resnet50_2"``, each with an optional number
    of stages to keep (``"wide_resnet50_2:4"`` leaves the last one out, as the paper does).
    """
    base, _, stages = name.partition(":")
    builders: dict[str, Callable[[], nn.Module]] = {"lite": LiteEncoder}
    builders |= {resnet: lambda resnet=resnet: ResNetEncoder(resnet, int(stages or 5)) for resnet in RESNETS}
    if base not in builders:
        raise ValueError(f"encoder {name!r} is not known; choose one of {', '.join(builders)}")
    return builders[base]()
