"""Training losses (paper section 2.2.5, equations 1 to 4). All take logits: no softmax comes before them.

The proxy takes part in every softmax and never in a target: a channel that no pixel may claim still draws
probability away from pixels the network is unsure of, and the losses below push that probability back (paper
2.2.3).
"""

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor

from maunet_lite.network import Output

# Smoothed by one pixel: a class absent from target and prediction counts as perfect.
_dice = DiceLoss(smooth_nr=1.0, smooth_dr=1.0)


def one_hot(classes: Tensor, n_classes: int) -> Tensor:
    """Turn class numbers (B, H, W) into float32 indicator maps (B, n_classes, H, W)."""
    return F.one_hot(classes.long(), n_classes).movedim(-1, 1).float()


def dice_loss(logits: Tensor, classes: Tensor, n_classes: int = 3) -> Tensor:
    """Return 1 − Dice, averaged over images and target classes (first part of equation 1).

    Parameters
    ----------
    logits : Tensor
        (B, C, H, W) with C ≥ `n_classes`; channels beyond `n_classes` (the proxy) only take part in the
        softmax.
    classes : Tensor
        (B, H, W) integers in [0, n_classes).
    n_classes : int
        Number of target classes.

    Returns
    -------
    Tensor
        Scalar in [0, 1]; 0 for a perfect prediction, also on images without a cell.

    Examples
    --------
    >>> classes = torch.tensor([[[0, 1], [1, 2]]])
    >>> round(dice_loss(1e3 * one_hot(classes, 3), classes).item(), 6)
    0.0
    """
    _check(logits, classes, n_classes)
    return _dice(logits.float().softmax(dim=1)[:, :n_classes], one_hot(classes, n_classes))


def focal_loss(logits: Tensor, classes: Tensor, n_classes: int = 3, gamma: float = 2.0) -> Tensor:
    """Return the softmax focal loss, −(1 − p)^γ · log p of the true class, averaged over pixels (equation 1).

    Arguments as for `dice_loss`; `gamma` = 0 gives the cross entropy. The result is ≥ 0 and 0 for a perfect
    prediction.

    Examples
    --------
    >>> even = torch.zeros(1, 3, 1, 1)  # p = 1/3 for each class
    >>> round(focal_loss(even, torch.tensor([[[1]]])).item(), 4)  # (2/3)^2 · log 3
    0.4883
    """
    _check(logits, classes, n_classes)
    channels = logits.shape[1]  # MONAI averages over these, too, though one alone is the true class's
    return channels * FocalLoss(gamma=gamma, use_softmax=True)(logits.float(), one_hot(classes, channels))


def authors_classification_loss(logits: Tensor, classes: Tensor, n_classes: int = 3) -> Tensor:
    """Equation 1 as the published code computes it: a focal term that expects logits gets probabilities.

    The softmax runs over all channels, then the target channels are cut out, and a *sigmoid* focal loss takes
    these probabilities for logits. As sigmoid(0) = 0.5 and sigmoid(1) = 0.73, the term never falls below
    0.123, and its gradient is small everywhere. Kept for the lesson; train with `dice_loss` and `focal_loss`.

    Examples
    --------
    >>> classes = torch.tensor([[[0, 1], [1, 2]]])
    >>> round(authors_classification_loss(1e3 * one_hot(classes, 3), classes).item(), 3)
    0.123
    """
    _check(logits, classes, n_classes)
    probabilities = logits.float().softmax(dim=1)[:, :n_classes]
    target = one_hot(classes, n_classes)
    return _dice(probabilities, target) + FocalLoss()(probabilities, target)


def distance_loss(distance: Tensor, target: Tensor) -> Tensor:
    """Weighted L1 loss (equation 2): mean error inside cells plus mean error outside, averaged over images.

    Parameters
    ----------
    distance, target : Tensor
        (B, 1, H, W); `target` is the distance field, 0 on the background.

    Returns
    -------
    Tensor
        Scalar ≥ 0; finite on images without cells or without background.

    Examples
    --------
    >>> target = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
    >>> distance_loss(torch.full_like(target, 0.5), target).item()  # 0.5 inside + 0.5 outside
    1.0
    """
    if distance.shape != target.shape:
        raise ValueError(f"distance {[*distance.shape]} and target {[*target.shape]} must have one shape")
    error = (distance.float() - target.float()).abs()
    cells = (target > 0).float()
    dims, sides = (1, 2, 3), (cells, 1 - cells)
    inside, outside = ((error * side).sum(dims) / side.sum(dims).clamp(min=1) for side in sides)
    return (inside + outside).mean()


def pseudo_labels(logits: Tensor, n_classes: int = 3) -> Tensor:
    """Return the argmax over target classes, (B, H, W), without gradient; the proxy never is one."""
    return logits[:, :n_classes].detach().argmax(dim=1)


def classification_consistency(one: Tensor, two: Tensor, n_classes: int = 3) -> Tensor:
    """CR*: mutual cross entropy alone, on whatever images are given; logits (B, C, H, W)."""
    pairs = (one, two), (two, one)
    return sum(F.cross_entropy(a.float(), pseudo_labels(b, n_classes)) for a, b in pairs)


def consistency_loss(one: Output, two: Output, n_classes: int = 3) -> Tensor:
    """Equation 3: each network's pseudo labels supervise the other; L2 between their distance fields."""
    loss = classification_consistency(one.logits, two.logits, n_classes)
    if one.distance is not None and two.distance is not None:
        loss = loss + F.mse_loss(one.distance.float(), two.distance.float())
    return loss


def supervised_loss(out: Output, classes: Tensor, distance: Tensor, n_classes: int = 3) -> dict[str, Tensor]:
    """Return L_cls + L_reg (equation 4 without consistency), part by part, and their sum as ``"loss"``.

    `classes` (B, H, W) and `distance` (B, 1, H, W) are the targets of `preprocessing.make_targets`. Without
    the boundary class (`n_classes` = 2) boundary pixels count as interior.
    """
    classes = classes.clamp(max=n_classes - 1) if n_classes == 2 else classes
    losses = {"dice": dice_loss, "focal": focal_loss}
    parts = {name: loss(out.logits, classes, n_classes) for name, loss in losses.items()}
    if out.distance is not None:
        parts["distance"] = distance_loss(out.distance, distance)
    return parts | {"loss": torch.stack(list(parts.values())).sum()}


def _check(logits: Tensor, classes: Tensor, n_classes: int) -> None:
    if logits.ndim != 4 or logits.shape[1] < n_classes:
        raise ValueError(f"logits must be (B, C ≥ {n_classes}, H, W), got {tuple(logits.shape)}")
    if classes.shape != (expected := (logits.shape[0], *logits.shape[2:])):
        raise ValueError(f"classes must be (B, H, W) = {expected} class numbers, got {tuple(classes.shape)}")
