"""Convolutional building blocks shared by encoders and decoders (paper section 2.2.2).

Each block is small enough to be drawn on a blackboard. Shapes are written as (batch, channels, height, width).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NORMS = ("instance", "batch")


def norm_layer(name: str, channels: int) -> nn.Module:
    """Return the normalisation layer called `name` for `channels` feature maps.

    ``"instance"`` is the paper's choice: every image is normalised by its own statistics and nothing is learned.
    ``"batch"`` uses running statistics, so that a pixel's result does not depend on how far the window reaches, and
    it can be folded into the convolution before it (`fold_batch_norm`).
    """
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    if name == "batch":
        return nn.BatchNorm2d(channels)
    raise ValueError(f"norm={name!r} is not known; choose one of {NORMS}")


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with normalisation, and a shortcut around them.

    The shortcut is a normalised 1×1 convolution where the number of channels or the stride changes, else the identity.
    (B, in_channels, H, W) → (B, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "instance", stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = norm_layer(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = norm_layer(norm, out_channels)
        self.shortcut: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), norm_layer(norm, out_channels)
            )
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out = self.activation(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.activation(out + (x if self.shortcut is None else self.shortcut(x)))


class UpBlock(nn.Module):
    """Enlarge by a transposed convolution, join the skip connection, refine by a residual block.

    (B, in_channels, H, W) and (B, out_channels, ratio·H, ratio·W) → (B, out_channels, ratio·H, ratio·W).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "instance", ratio: int = 2) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, ratio, stride=ratio, bias=False)
        self.block = ResidualBlock(2 * out_channels, out_channels, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the refined features at the skip connection's resolution."""
        return self.block(torch.cat([self.up(x), skip], dim=1))


class SubpixelHead(nn.Module):
    """A 1×1 head at a coarse resolution whose channels unfold into the pixels of full resolution.

    Each coarse pixel predicts all ``ratio × ratio`` fine pixels it covers (Shi et al. 2016, arXiv:1609.05158).
    (B, in_channels, H, W) → (B, out_channels, ratio·H, ratio·W). With ``ratio=1`` it is the paper's 1×1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, ratio: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * ratio * ratio, 1)
        self.unfold = nn.PixelShuffle(ratio) if ratio > 1 else nn.Identity()
        if ratio > 1:
            # All sub-pixels start equal: no checkerboard at the first step.
            with torch.no_grad():
                weight = self.conv.weight[::ratio * ratio].clone()
                self.conv.weight.copy_(weight.repeat_interleave(ratio * ratio, dim=0))
                self.conv.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions at full resolution."""
        return self.unfold(self.conv(x))

    def class_weights(self) -> Tensor:
        """Return the (out_channels, in_channels) weights, sub-pixels averaged: the class proxies of paper Fig. 6(b)."""
        ratio2 = self.unfold.upscale_factor**2 if isinstance(self.unfold, nn.PixelShuffle) else 1
        weight = self.conv.weight.detach()[:, :, 0, 0]
        return weight.reshape(-1, ratio2, weight.shape[1]).mean(dim=1)
