"""Checks of notebook 04: pseudo labels, mutual cross entropy, a ramp for λ, and evidence from seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from maunet_lite.course.exercises.judge import compare, exercise


def _pixels(*rows: list[float]) -> Any:
    """Return logits (1, C, 1, W) from one list per pixel."""
    import torch

    return torch.tensor(rows).T[None, :, None, :].clone()  # (W, C) → (1, C, 1, W)


# --- 04.1 ---------------------------------------------------------------------------------------------


@exercise(
    "04.1",
    "pseudo labels",
    hints=(
        "The class with the largest logit, pixel by pixel. Along which axis are the classes?",
        "Axis 1 holds background, interior, boundary and, last, the proxy, which is no class.",
        "logits[:, :3].argmax(dim=1)",
    ),
    right={
        "argmax": lambda logits: logits[:, :3].argmax(dim=1),
        "of probabilities": lambda logits: logits.softmax(dim=1)[:, :3].detach().argmax(dim=1),
    },
    wrong={
        "the proxy too": lambda logits: logits.argmax(dim=1),
        "without the background": lambda logits: logits[:, 1:].argmax(dim=1),
        "along the rows": lambda logits: logits[:, :3].argmax(dim=-1),
        "values instead of classes": lambda logits: logits[:, :3].amax(dim=1),
    },
)
def _pseudo_labels(answer: Callable[[Any], Any]) -> None:
    logits = _pixels([2.0, 1.0, 0.0, -1.0], [0.0, 1.0, 3.0, 2.0], [0.0, 1.5, 1.0, 9.0])
    got = answer(logits.requires_grad_())
    assert got is not None, "It returned None: is there a return?"
    assert not got.requires_grad, "A gradient would flow through your labels: take the class, not its value."
    assert tuple(got.shape) == (1, 1, 3), f"Expected shape (B, H, W) = (1, 1, 3), got {tuple(got.shape)}."
    assert 3 not in got, "In one of the pixels your label is 3, the proxy. Nothing may be labelled as proxy."
    compare(got, [[[0, 2, 1]]], "three pixels of classes 0, 2 and 1")


# --- 04.2 ---------------------------------------------------------------------------------------------


def _teach(student: Any, teacher: Any) -> Any:
    import torch.nn.functional as F

    return F.cross_entropy(student, teacher[:, :3].argmax(dim=1))


def _soft(one: Any, two: Any) -> Any:
    import torch.nn.functional as F

    return F.cross_entropy(one, two.softmax(dim=1)) + F.cross_entropy(two, one.softmax(dim=1))


def _proxy_cut(one: Any, two: Any) -> Any:
    return _teach(one[:, :3], two) + _teach(two[:, :3], one)


@exercise(
    "04.2",
    "mutual cross entropy",
    hints=(
        "Two terms: network 1 learns from the labels of network 2, and the other way round.",
        "F.cross_entropy(logits, labels) takes all four channels: the proxy belongs into the softmax; only "
        "a label it never is.",
        "F.cross_entropy(one, pseudo_labels(two)) + F.cross_entropy(two, pseudo_labels(one))",
    ),
    right={"both ways": lambda one, two: _teach(one, two) + _teach(two, one)},
    wrong={
        "one way": _teach,
        "each its own labels": lambda one, two: _teach(one, one) + _teach(two, two),
        "mean of both": lambda one, two: (_teach(one, two) + _teach(two, one)) / 2,
        "proxy left out of the softmax": _proxy_cut,
        "probabilities as labels": _soft,
    },
)
def _mutual(answer: Callable[[Any, Any], Any]) -> None:
    import torch

    from maunet_lite.training import classification_consistency

    one = _pixels([2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 3.0]).requires_grad_()
    two = _pixels([0.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 1.0]).requires_grad_()
    got = answer(one, two)
    assert got is not None, "It returned None: is there a return?"
    expected = classification_consistency(one, two)
    compare(got.detach(), expected.detach(), "two networks that differ in one pixel of two")
    rng = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 2, 4, 3, 5, generator=rng)
    compare(answer(one, two), classification_consistency(one, two), "random logits of two images")


# --- 04.3 ---------------------------------------------------------------------------------------------


def _ramp(step: float, length: float, top: float = 1.5) -> float:
    return top * math.exp(-5 * (1 - min(step / length, 1)) ** 2)


@exercise(
    "04.3",
    "a ramp for λ",
    hints=(
        "t = step / length is the share of the ramp that is done. At t = 1 the exponent must be 0.",
        "After the ramp λ stays where it is: t must not grow beyond 1. min(…, 1) does that.",
        "top * math.exp(-5 * (1 - min(step / length, 1)) ** 2)",
    ),
    right={"formula": _ramp},
    wrong={
        "falls again after the ramp": lambda step, length, top=1.5: (
            top * math.exp(-5 * (1 - step / length) ** 2)
        ),
        "straight line": lambda step, length, top=1.5: top * min(step / length, 1),
        "always ends at 1": lambda step, length, top=1.5: _ramp(step, length, 1.0),
        "no square": lambda step, length, top=1.5: top * math.exp(-5 * (1 - min(step / length, 1))),
    },
)
def _check_ramp(answer: Callable[..., float]) -> None:
    compare(answer(0, 40, 1.5), 1.5 * math.exp(-5), "step 0 of 40, top 1.5")
    compare(answer(20, 40, 1.5), 1.5 * math.exp(-5 / 4), "step 20 of 40, top 1.5 (half-way: (1/2)² is 1/4)")
    compare(answer(40, 40, 1.5), 1.5, "step 40 of 40, top 1.5")
    compare(answer(80, 40, 1.5), 1.5, "step 80, long after a ramp of 40, top 1.5")
    compare(answer(40, 40, 0.5), 0.5, "step 40 of 40, top 0.5")


# --- 04.4 ---------------------------------------------------------------------------------------------


def _paired(cr: np.ndarray, supervised: np.ndarray) -> tuple[float, float]:
    gains = np.asarray(cr) - np.asarray(supervised)
    return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))


def _unpaired(cr: np.ndarray, supervised: np.ndarray) -> tuple[float, float]:
    gain, _ = _paired(cr, supervised)
    return gain, np.sqrt((np.var(cr, ddof=1) + np.var(supervised, ddof=1)) / len(cr))


@exercise(
    "04.4",
    "mean gain and its standard error",
    hints=(
        "Run k of both methods had the same seed: subtract first, seed by seed, then take the mean.",
        "The standard error of a mean of n values is their standard deviation divided by √n; the standard "
        "deviation of a sample divides by n − 1 (ddof=1).",
        "gains = cr - supervised; return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))",
    ),
    right={"paired": _paired},
    wrong={
        "pairs ignored": _unpaired,
        "spread instead of error": lambda cr, sup: ((cr - sup).mean(), (cr - sup).std(ddof=1)),
        "divided by n": lambda cr, sup: ((cr - sup).mean(), (cr - sup).std() / np.sqrt(len(cr))),
        "wrong way round": lambda cr, sup: _paired(sup, cr),
    },
)
def _evidence(answer: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    supervised = np.array([0.50, 0.60, 0.40, 0.55])
    gains = np.array([-0.02, 0.00, -0.04, -0.02])
    # mean -0.02; deviations 0, .02, -.02, 0: variance .0008 / 3, divided by 4 and its root taken
    expected = [-0.02, math.sqrt(0.0008 / 3 / 4)]
    compare(answer(supervised + gains, supervised), expected, "gains of -0.02, 0, -0.04 and -0.02")
