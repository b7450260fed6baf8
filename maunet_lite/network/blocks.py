"""Convolutional building blocks shared by encoders and decoders (paper section 2.2.2).

Each block is small enough to be drawn on a blackboard. Shapes are written as (batch, channels, height,
width).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class InstanceNorm(nn.InstanceNorm2d):
    """Give every feature map of every image mean 0 and variance 1 (Ulyanov et al. 2016, arXiv:1607.08022).

    Torch's own layer copies channels-last features into another memory order and back. For a single image,
    instance statistics are batch statistics, and that layer has no such need; a batch is therefore taken
    image by image.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised, (B, C, H, W), in the memory order it came in."""
        if x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        images = [F.batch_norm(image, None, None, training=True, eps=self.eps) for image in x.split(1)]
        return torch.cat(images) if len(images) > 1 else images[0]


# "instance" is the paper's choice: every image is normalised by its own statistics and nothing is learned.
# "batch" uses running statistics, so that a pixel's result does not depend on how far the window reaches, and
# it can be folded into the convolution before it (`fold_batch_norm`).
NORMS = {"instance": InstanceNorm, "batch": nn.BatchNorm2d}


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with normalisation, and a shortcut around them.

    The shortcut is a normalised 1×1 convolution where the number of channels or the stride changes, else the
    identity. (B, in_channels, H, W) → (B, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "instance", stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = NORMS[norm](out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = NORMS[norm](out_channels)
        self.shortcut: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            convolution = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(convolution, NORMS[norm](out_channels))
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

    Each coarse pixel predicts all ``ratio × ratio`` fine pixels it covers (Shi et al. 2016,
    arXiv:1609.05158). (B, in_channels, H, W) → (B, out_channels, ratio·H, ratio·W). With ``ratio=1`` it is
    the paper's 1×1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, ratio: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * ratio * ratio, 1)
        self.unfold = nn.PixelShuffle(ratio) if ratio > 1 else nn.Identity()
        if ratio > 1:
            with torch.no_grad():  # all sub-pixels start equal: no checkerboard at the first step
                first = self.conv.weight[:: ratio * ratio]
                self.conv.weight.copy_(first.repeat_interleave(ratio * ratio, dim=0))
                self.conv.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions at full resolution."""
        return self.unfold(self.conv(x))

    def class_weights(self) -> Tensor:
        """Return (out_channels, in_channels) weights, sub-pixels averaged: the proxies of paper Fig. 6(b)."""
        ratio2 = self.unfold.upscale_factor**2 if isinstance(self.unfold, nn.PixelShuffle) else 1
        weight = self.conv.weight.detach()[:, :, 0, 0]
        return weight.reshape(-1, ratio2, weight.shape[1]).mean(dim=1)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold every batch normalisation into the convolution registered just before it, in place.

    In evaluation mode both are linear, so one convolution with a bias does the work of two layers; outputs
    agree to float32 rounding. Meant for the blocks above and the residual networks, where a normalisation
    always follows the convolution that feeds it.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode. Its normalisations are replaced by identities.

    Returns
    -------
    nn.Module
        The same module.

    Examples
    --------
    >>> block = ResidualBlock(8, 8, norm="batch").eval()
    >>> x = torch.rand(1, 8, 5, 5)
    >>> torch.allclose(block(x), fold_batch_norm(block)(x), atol=1e-5), type(block.norm1).__name__
    (True, 'Identity')
    """
    if module.training:
        raise ValueError("fold_batch_norm needs a module in evaluation mode: call module.eval() first")
    convolution = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and convolution is not None:
            setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), child))
            setattr(module, name, nn.Identity())
        elif not isinstance(child, nn.Conv2d):
            fold_batch_norm(child)
        convolution = name if isinstance(child, nn.Conv2d) else None
    return module
