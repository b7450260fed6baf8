"""Plausible wrong answers to the exercises of notebooks 01 and 02 fail at the case that is about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maunet_lite.course import exercises
from maunet_lite.course.exercises.checks_01 import _scale
from maunet_lite.training import losses


def said(number: str, answer, capsys) -> str:
    assert not exercises.check(number, answer)
    return capsys.readouterr().out


def test_a_range_below_one_is_stretched_too(capsys):
    wrong = exercises.find("01.1").wrong["a range of one at least"]
    assert "0.2, 0.35 and 0.5" in said("01.1", wrong, capsys)


def test_scaling_of_whole_numbers_only_is_refused(capsys):
    def scale(image):
        return _scale(image.astype(int))

    assert "0.2, 0.35 and 0.5" in said("01.1", scale, capsys)


def test_the_images_edge_is_no_boundary(capsys):
    wrong = exercises.find("01.4").wrong["a boundary along the image's edge"]
    assert "corner" in said("01.4", wrong, capsys)


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_the_images_edge_is_no_boundary_on_any_side(side, capsys):
    right = exercises.find("01.4").right["numpy"]
    turns = ("top", "right", "bottom", "left").index(side)

    def mended(labels):
        """Add background beyond one side."""
        turned = right(np.pad(np.rot90(labels, turns), ((1, 0), (0, 0))))[1:]
        return np.rot90(turned, -turns)

    assert "edge" in said("01.4", mended, capsys)


def test_the_published_focal_term_pulls_a_thirteenth_where_nothing_is_known():
    """As notebook 02, section 5, says: compare the gradients at equal logits, and where all is right."""
    truth = torch.tensor([[0, 0, 2, 2], [0, 2, 1, 1], [0, 2, 1, 1], [0, 0, 2, 2]])[None]

    def published(logits, classes):
        return losses.authors_classification_loss(logits, classes) - losses.dice_loss(logits, classes)

    def pull(loss, sureness):
        logits = (sureness * losses.one_hot(truth, 3)).requires_grad_()
        return float(torch.autograd.grad(loss(logits, truth), logits)[0].abs().max())

    assert pull(losses.focal_loss, 0.0) / pull(published, 0.0) == pytest.approx(13, abs=0.5)
    assert pull(published, 12.0) < 1e-6
