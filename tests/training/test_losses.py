"""Losses against values computed by hand on 4×4 images."""

from __future__ import annotations

import math

import pytest
import torch

from maunet_lite.network.maunet import Output
from maunet_lite.training import losses

# four background, four interior, four boundary pixels per row pair, by eye
CLASSES = torch.tensor(
    [
        [
            [0, 0, 2, 2],
            [0, 0, 2, 1],
            [0, 0, 2, 1],
            [0, 0, 2, 2],
        ]
    ]
)  # 8 background, 2 interior, 6 boundary
CELL = torch.tensor(
    [
        [
            [
                [0.0, 0.0, 0.5, 0.5],
                [0.0, 0.0, 0.5, 1.0],
                [0.0, 0.0, 0.5, 1.0],
                [0.0, 0.0, 0.5, 0.5],
            ]
        ]
    ]
)  # 8 pixels of background, 8 of a cell
SURE = 30.0  # a logit so much above the others that softmax is 0 or 1 in float32


def logits_of(classes: torch.Tensor, channels: int = 3, sure: float = SURE) -> torch.Tensor:
    """Return logits (B, channels, H, W) that say `classes`."""
    return sure * losses.one_hot(classes, channels)


# --- Dice --------------------------------------------------


def test_dice_by_hand_all_background():
    """Predict background everywhere: Dice is (2·8+1)/(16+8+1), (0+1)/(0+2+1), (0+1)/(0+6+1)."""
    loss = losses.dice_loss(logits_of(torch.zeros_like(CLASSES)), CLASSES)
    expected = 1 - (17 / 25 + 1 / 3 + 1 / 7) / 3
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_dice_by_hand_even():
    """Every class has p = 1/3 at each of 16 pixels, so each overlap is a third of the class's pixels."""
    loss = losses.dice_loss(torch.zeros(1, 3, 4, 4), CLASSES)
    dice = [(2 * n / 3 + 1) / (16 / 3 + n + 1) for n in (8, 2, 6)]
    assert loss.item() == pytest.approx(1 - sum(dice) / 3, abs=1e-6)


def test_dice_proxy_takes_probability_away_but_has_no_dice_of_its_own():
    """With the proxy at p = 1/4 everywhere, the others have it too; the mean is over three classes."""
    loss = losses.dice_loss(torch.zeros(1, 4, 4, 4), CLASSES)
    dice = [(2 * n / 4 + 1) / (16 / 4 + n + 1) for n in (8, 2, 6)]
    assert loss.item() == pytest.approx(1 - sum(dice) / 3, abs=1e-6)


# --- focal --------------------------------------------------


def test_focal_by_hand_even():
    loss = losses.focal_loss(torch.zeros(1, 3, 4, 4), CLASSES)
    assert loss.item() == pytest.approx((2 / 3) ** 2 * math.log(3), rel=1e-6)


def test_focal_by_hand_one_wrong_pixel():
    """15 pixels are sure and right. In one, p of the true class is 1/(1+e²); it is 1/16 of the image."""
    logits = logits_of(CLASSES)
    logits[0, :, 0, 0] = torch.tensor([0.0, 2.0, -SURE])
    p = 1 / (1 + math.exp(2))
    assert losses.focal_loss(logits, CLASSES).item() == pytest.approx(
        (1 - p) ** 2 * -math.log(p) / 16, rel=1e-5
    )


def test_focal_with_gamma_zero_is_cross_entropy():
    logits = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    classes = CLASSES.expand(2, -1, -1)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(losses.focal_loss(logits, classes, gamma=0), expected)


# --- equation 1 as published --------------------------------------------------


def test_authors_variant_stops_at_0123():
    """A perfect pixel: one class at sigmoid(1) = 0.731 of 1, two at sigmoid(0) = 0.5 of 0."""
    right, other = 1 / (1 + math.exp(-1)), 0.5
    floor = ((1 - right) ** 2 * -math.log(right) + 2 * other**2 * -math.log(1 - other)) / 3
    assert floor == pytest.approx(0.123, abs=5e-4)
    assert losses.authors_classification_loss(logits_of(CLASSES), CLASSES).item() == pytest.approx(
        floor, rel=1e-5
    )


def test_authors_variant_still_pulls_where_the_prediction_is_right():
    """The lesson: where the prediction is right, the focal loss lets go and its published form does not."""

    def pull(loss) -> float:
        logits = logits_of(CLASSES, sure=6.0).requires_grad_()
        loss(logits, CLASSES).backward()
        return logits.grad.abs().sum().item()

    def published_focal(logits, classes):
        return losses.authors_classification_loss(logits, classes) - losses.dice_loss(logits, classes)

    assert pull(published_focal) > 20 * pull(losses.focal_loss)


# --- distance --------------------------------------------------


def test_distance_by_hand():
    """Predict 0.75 everywhere: in the cell six pixels are off by .25 and two by .25; outside all by .75."""
    loss = losses.distance_loss(torch.full_like(CELL, 0.75), CELL)
    assert loss.item() == pytest.approx(0.25 + 0.75)


def test_distance_weighs_few_cell_pixels_as_much_as_many_of_background():
    """One pixel of 16 is a cell and off by 0.8: equation 2 divides by its area, not by the image's."""
    target = torch.zeros(1, 1, 4, 4)
    target[..., 1, 2] = 1.0
    prediction = torch.zeros(1, 1, 4, 4)
    prediction[..., 1, 2] = 0.2
    assert losses.distance_loss(prediction, target).item() == pytest.approx(0.8)


def test_distance_averages_over_images_not_pixels():
    empty = torch.zeros(1, 1, 4, 4)
    prediction = torch.cat([torch.full_like(CELL, 0.75), torch.full_like(empty, 0.5)])
    loss = losses.distance_loss(prediction, torch.cat([CELL, empty]))
    assert loss.item() == pytest.approx((1.0 + 0.5) / 2)


# --- all --------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
def test_zero_at_a_perfect_prediction(channels):
    output = Output(logits_of(CLASSES, channels), CELL.clone())
    parts = losses.supervised_loss(output, CLASSES, CELL)
    assert set(parts) == {"dice", "focal", "distance", "loss"}
    assert all(abs(part.item()) < 1e-6 for part in parts.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [0, 1, 2])
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_finite_on_uniform_masks_in_any_precision(value, dtype, size):
    """No cell, only cell, only boundary; small and huge logits, right and wrong."""
    classes = torch.full((2, 4, 4), value)
    target = torch.full((2, 1, 4, 4), float(value > 0))
    generator = torch.Generator().manual_seed(0)
    logits = (size * torch.randn(2, 4, 4, 4, generator=generator)).to(dtype).requires_grad_()
    distance = torch.randn(2, 1, 4, 4, generator=generator).to(dtype).requires_grad_()
    parts = losses.supervised_loss(Output(logits, distance), classes, target)
    parts["loss"].backward()
    assert all(part.isfinite() and part.dtype == torch.float32 for part in parts.values())
    assert logits.grad.isfinite().all()
    assert distance.grad.isfinite().all()
    assert losses.authors_classification_loss(logits, classes).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_a_patch_are_not_taken_in_half_precision(dtype):
    """300 × 300 pixels are more than float16 can count, and 256 is where bfloat16 stops to count by ones."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 3, (1, 300, 300), generator=generator)
    target = torch.rand(1, 1, 300, 300, generator=generator) * (classes > 0)
    one, two = (
        Output(
            torch.randn(1, 4, 300, 300, generator=generator).to(dtype),
            torch.rand(1, 1, 300, 300, generator=generator).to(dtype),
        )
        for _ in range(2)
    )

    def parts() -> list[torch.Tensor]:
        return [
            *losses.supervised_loss(one, classes, target).values(),
            losses.consistency_loss(one, two),
            losses.classification_consistency(one.logits, two.logits),
        ]

    exact = parts()
    with torch.autocast("cpu", dtype):
        found = parts()
    assert all(part.dtype == torch.float32 for part in found)
    torch.testing.assert_close(torch.stack(found), torch.stack(exact), rtol=1e-6, atol=0)


def test_half_precision_agrees_with_single():
    logits = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1)).half()
    for loss in (losses.dice_loss, losses.focal_loss, losses.authors_classification_loss):
        torch.testing.assert_close(loss(logits, CLASSES), loss(logits.float(), CLASSES))


@pytest.mark.parametrize("name", ["dice_loss", "focal_loss", "authors_classification_loss"])
def test_gradients_agree_with_differences(name, monkeypatch):
    # The losses compute in float32; differences need float64.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: getattr(losses, name)(x, CLASSES), (logits,))


def test_distance_gradient_agrees_with_differences(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    generator = torch.Generator().manual_seed(0)
    distance = torch.rand(1, 1, 4, 4, generator=generator, dtype=torch.float64).add(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.distance_loss(x, CELL.double()), (distance,))


def test_proxy_is_pushed_away_where_the_network_is_unsure():
    """Paper 2.2.3: the proxy's logit falls, as no pixel may claim it."""
    logits = torch.zeros(1, 4, 4, 4, requires_grad=True)
    (losses.dice_loss(logits, CLASSES) + losses.focal_loss(logits, CLASSES)).backward()
    assert (logits.grad[:, 3] > 0).all()


def test_without_boundary_class_boundary_counts_as_interior():
    two = CLASSES.clamp(max=1)
    parts = losses.supervised_loss(Output(logits_of(two, 2), None), CLASSES, CELL, n_classes=2)
    assert set(parts) == {"dice", "focal", "loss"}
    assert parts["loss"].item() == pytest.approx(0, abs=1e-6)


# --- consistency --------------------------------------------------


def test_consistency_is_zero_for_two_sure_networks_that_agree():
    output = Output(logits_of(CLASSES, 4), CELL)
    assert losses.consistency_loss(output, output).item() == pytest.approx(0, abs=1e-6)


def test_consistency_by_hand():
    """Both know nothing (p = 1/4 with proxy): two cross entropies of log 4; distances 0.5 apart: 0.25."""
    one = Output(torch.zeros(1, 4, 4, 4), CELL)
    two = Output(torch.zeros(1, 4, 4, 4), CELL + 0.5)
    assert losses.consistency_loss(one, two).item() == pytest.approx(2 * math.log(4) + 0.25, rel=1e-6)


def test_pseudo_labels_never_name_the_proxy():
    logits = torch.zeros(1, 4, 2, 2)
    logits[:, 3] = 9.0
    logits[:, 2] = 1.0
    assert (losses.pseudo_labels(logits) == 2).all()


# --- errors --------------------------------------------------


def test_errors_name_the_shapes():
    with pytest.raises(ValueError, match=r"logits must be \(B, C ≥ 3, H, W\), got \(1, 2, 4, 4\)"):
        losses.dice_loss(torch.zeros(1, 2, 4, 4), CLASSES)
    with pytest.raises(ValueError, match=r"classes must be .*\(1, 5, 4\) class numbers, got \(1, 4, 4\)"):
        losses.focal_loss(torch.zeros(1, 3, 5, 4), CLASSES)
    with pytest.raises(ValueError, match="must have one shape"):
        losses.distance_loss(torch.zeros(1, 4, 4), CELL)


# --- MONAI's losses against the equations written out --------------------------------------------------


def dice_written_out(logits, classes, n=3):
    p, target = logits.softmax(1)[:, :n], losses.one_hot(classes, n)
    overlap, total = (p * target).sum((2, 3)), p.sum((2, 3)) + target.sum((2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def focal_written_out(logits, classes, n=3):
    log_p = logits.log_softmax(1).gather(1, classes[:, None])
    return ((-torch.expm1(log_p)) ** 2 * -log_p).mean()


def authors_written_out(logits, classes, n=3):
    p, target = logits.softmax(1)[:, :n], losses.one_hot(classes, n)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(p, target, reduction="none")
    return dice_written_out(logits, classes, n) + ((-torch.expm1(-entropy)) ** 2 * entropy).mean()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    ("loss", "written_out"),
    [
        (losses.dice_loss, dice_written_out),
        (losses.focal_loss, focal_written_out),
        (losses.authors_classification_loss, authors_written_out),
    ],
)
def test_losses_and_gradients_are_those_of_the_equations(loss, written_out, channels):
    generator = torch.Generator().manual_seed(channels)
    classes = torch.randint(0, 3, (2, 24, 20), generator=generator)
    results = []
    for function in (loss, written_out):
        logits = torch.randn(2, channels, 24, 20, generator=torch.Generator().manual_seed(0)) * 3
        value = function(logits.requires_grad_(), classes)
        value.backward()
        results.append((value.detach(), logits.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-7)
