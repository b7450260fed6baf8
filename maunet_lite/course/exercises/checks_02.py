"""Checks of notebook 02: the upsampling block, the proxy's price, what overfitting proves."""

import re

import torch

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("02.1")
def up_block():
    """Upsampling block.

    1. Three steps: enlarge x, join the skip, refine.
    2. torch.cat([…, …], dim=1) joins along the channels; the enlarged features come first.
    3. block(torch.cat([up(x), skip], dim=1))
    """

    def up(x: torch.Tensor) -> torch.Tensor:  # stands for the transposed convolution
        return torch.nn.functional.interpolate(x, scale_factor=2)  # (B, C, h, w) → (B, C, 2 h, 2 w)

    def block(x: torch.Tensor) -> torch.Tensor:  # for the residual block: the order of channels matters to it
        return x.cumsum(dim=1).tanh()

    x, skip = torch.arange(120.0).reshape(1, 6, 4, 5).sin(), torch.arange(320.0).reshape(1, 4, 8, 10).cos()
    expected, why = block(torch.cat([up(x), skip], dim=1)), "If the shape is right: which comes first?"
    yield Case("6 channels of 4 × 5 and a skip of 4 of 8 × 10 pixels", (x, skip, up, block), expected, why)


@exercise("02.2")
def price_of_the_proxy():
    """Price of the proxy.

    1. Each output channel of a 1×1 convolution has one weight per input feature, and a bias.
    2. 24 features at full resolution.
    3. 24 + 1
    """
    yield Case("one more output channel on 24 features, with its bias", None, 25, tolerance=1e-6)


@exercise("02.3")
def overfitting():
    """Conclusion of the sanity check.

    1. Could a network with a wrong loss reach a loss near 0 and the right class map?
    2. Could a network that is too small learn an image by heart?
    3. What is left?
    """

    def letter(answer: object) -> None:
        found = re.match(r"\W*([abc])\b", str(answer).lower())
        assert found, f"Set answer to 'a', 'b' or 'c', not {answer!r}."
        assert found[1] == "b", f"Not {found[1]}: it did learn the one image."

    yield letter
