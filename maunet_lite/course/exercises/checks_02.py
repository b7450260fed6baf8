"""Checks of notebook 02: the upsampling block, the proxy's price, what overfitting proves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maunet_lite.course.exercises.judge import exercise


def _right(x: Any, skip: Any, up: Any, block: Any) -> Any:
    import torch

    return block(torch.cat([up(x), skip], dim=1))


def _skip_first(x: Any, skip: Any, up: Any, block: Any) -> Any:
    import torch

    return block(torch.cat([skip, up(x)], dim=1))


def _without_skip(x: Any, skip: Any, up: Any, block: Any) -> Any:
    import torch

    return block(torch.cat([up(x), up(x)], dim=1))


def _not_enlarged(x: Any, skip: Any, up: Any, block: Any) -> Any:
    import torch

    return block(torch.cat([x, skip], dim=1))


@exercise(
    "02.1",
    "the upsampling block",
    hints=(
        "Three steps: enlarge x, join the skip, refine.",
        "torch.cat([…, …], dim=1) joins along the channels; the enlarged features come first.",
        "block(torch.cat([up(x), skip], dim=1))",
    ),
    right={"as in the package": _right},
    wrong={"skip first": _skip_first, "skip forgotten": _without_skip, "not enlarged": _not_enlarged},
)
def _up_block(answer: Callable[..., Any]) -> None:
    import torch

    from maunet_lite.network import UpBlock

    torch.manual_seed(0)
    module = UpBlock(6, 4).eval()
    x, skip = torch.randn(1, 6, 4, 5), torch.randn(1, 4, 8, 10)
    with torch.no_grad():
        got, expected = answer(x, skip, module.up, module.block), module(x, skip)
    assert got is not None, "The function returned None; return the refined features."
    assert got.shape == expected.shape, (
        f"Shape {tuple(expected.shape)} expected, yours is {tuple(got.shape)}."
    )
    assert torch.allclose(got, expected, atol=1e-5), (
        "Right shape, other values. In which order are they joined?"
    )


@exercise(
    "02.2",
    "the price of the proxy",
    hints=(
        "Each output channel of a 1×1 convolution has one weight per input feature, and a bias.",
        "24 features at full resolution.",
        "24 + 1",
    ),
    right={"weights and bias": 25},
    wrong={"bias forgotten": 24, "whole head": 100},
)
def _proxy(answer: int) -> None:
    assert int(answer) == 25, f"One more output channel on 24 features, with its bias, is not {int(answer)}."


@exercise(
    "02.3",
    "what the sanity check proves",
    hints=(
        "Could a network with a wrong loss reach a loss near 0 and the right class map?",
        "Could a network that is too small learn an image by heart?",
        "What is left?",
    ),
    right={"b": "b", "capital": " B "},
    wrong={"a": "a", "c": "c"},
)
def _overfit(answer: str) -> None:
    letter = str(answer).strip().lower()
    assert letter in ("a", "b", "c"), f"Set answer to 'a', 'b' or 'c', not {answer!r}."
    assert letter == "b", f"Not {letter}: it did learn the one image."
