"""Checks of notebook 04: pseudo labels, mutual cross entropy, a ramp for λ, and evidence from seeds."""

import math

import numpy as np
import torch

from maunet_lite.course.exercises.judge import Case, exercise
from maunet_lite.training import classification_consistency


def _pixels(*rows: list[float]) -> torch.Tensor:
    """Return logits (1, C, 1, W) from one list per pixel."""
    return torch.tensor(rows).T[None, :, None, :].clone().requires_grad_()  # (W, C) → (1, C, 1, W)


@exercise("04.1")
def pseudo_labels():
    """Pseudo labels.

    1. The class with the largest logit, pixel by pixel. Along which axis are the classes?
    2. Axis 1 holds background, interior, boundary and, last, the proxy, which is no class.
    3. logits[:, :3].argmax(dim=1)
    """
    logits = _pixels([2.0, 1, 0, -1], [0.0, 1, 3, 2], [0.0, 1.5, 1, 9], [-2.0, -3, -1, 0])
    case = "four pixels of classes 0, 2, 1 and 2, in the last two of which the proxy is largest"
    yield Case(case, (logits,), [[[0, 2, 1, 2]]], "Nothing may be labelled as proxy, 3.")
    yield Case("an image of 2 × 1 pixels, both background", (torch.zeros(1, 4, 2, 1),), [[[0], [0]]])


@exercise("04.2")
def mutual_cross_entropy():
    """Mutual cross entropy.

    1. Two terms: network 1 learns from the labels of network 2, and the other way round.
    2. F.cross_entropy(logits, labels) takes all four channels: the proxy belongs into the softmax; only a
       label it never is.
    3. F.cross_entropy(one, pseudo_labels(two)) + F.cross_entropy(two, pseudo_labels(one))
    """
    pair = _pixels([2.0, 0, 0, 0], [0.0, 1, 0, 3]), _pixels([0.0, 1, 0, 0], [0.0, 2, 0, 1])
    yield Case("two networks that differ in one pixel of two", pair, classification_consistency)
    pair = torch.randn(2, 2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    yield Case("random logits of two images", tuple(pair), classification_consistency)


@exercise("04.3")
def ramp():
    """Ramp for λ.

    1. t = step / length is the share of the ramp that is done. At t = 1 the exponent must be 0.
    2. After the ramp λ stays where it is: t must not grow beyond 1. min(…, 1) does that.
    3. top * math.exp(-5 * (1 - min(step / length, 1)) ** 2)
    """
    yield Case("step 0 of 40, top 1.5", (0, 40, 1.5), 1.5 * math.exp(-5))
    yield Case("step 20 of 40, top 1.5", (20, 40, 1.5), 1.5 * math.exp(-5 / 4), "(1/2)² is 1/4.")
    yield Case("step 40 of 40, top 1.5", (40, 40, 1.5), 1.5)
    yield Case("step 80, long after a ramp of 40, top 1.5", (80, 40, 1.5), 1.5)
    yield Case("step 40 of 40, top 0.5", (40, 40, 0.5), 0.5)


@exercise("04.4", parts=("mean gain", "standard error"))
def gain():
    """Mean gain and its standard error.

    1. Run k of both methods had the same seed: subtract first, seed by seed, then take the mean.
    2. The standard error of a mean of n values is their standard deviation divided by √n; the standard
       deviation of a sample divides by n − 1 (ddof=1).
    3. gains = cr - supervised; return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))
    """
    supervised = np.array([0.50, 0.60, 0.40, 0.55])
    scores = supervised + [-0.02, 0, -0.04, -0.02], supervised
    error = math.sqrt(0.0008 / 3 / 4)  # deviations 0, .02, -.02, 0: variance .0008 / 3
    yield Case("gains of -0.02, 0, -0.04 and -0.02", scores, (-0.02, error))
    scores = supervised[:3] + [0, 0.01, 0.05], supervised[:3]
    yield Case("gains of 0, 0.01 and 0.05", scores, (0.02, math.sqrt(0.0014 / 2 / 3)))
