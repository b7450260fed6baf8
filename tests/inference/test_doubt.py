"""Symmetries, scores of cells and doubt: values by hand, on images that are not square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maunet_lite.inference import doubt, doubt_map, doubt_of, evidence, score_cells
from maunet_lite.inference.predict import predict, to_planes
from maunet_lite.inference.prepared import SYMMETRIES, turned, turned_back
from maunet_lite.network import load_model
from maunet_lite.network.maunet import MAUNet, ModelConfig, Output
from maunet_lite.postprocessing import Maps
from maunet_lite.preprocessing import make_targets


class NoEncoder(nn.Module):
    """In place of an encoder; nobody looks at what it says."""

    channels, strides = (3,), (2,)

    def forward(self, x):
        return [nn.functional.avg_pool2d(x, 2)]


class Pixels(MAUNet):
    """Looks at single pixels: bright ones are interior. An image that is turned is the same to it."""

    def __init__(self) -> None:
        super().__init__(ModelConfig("none", (4, 4), norm="batch", proxy=False), NoEncoder())

    def forward(self, x):
        bright = 40 * (x[:, :1] - 0.5)
        return Output(torch.cat([-bright, bright, torch.full_like(bright, -40)], 1), (x[:, :1] > 0.5).float())


class Left(Pixels):
    """The same, but sure of interior in the leftmost 16 columns of whatever it sees."""

    def forward(self, x):
        logits, distance = super().forward(x)
        logits[:, 1, :, :16] = 80.0
        return Output(logits, distance)


def small(**heads: bool) -> MAUNet:
    torch.manual_seed(0)
    return MAUNet(ModelConfig("lite:3", (0, 4, 6, 8), norm="batch", **heads)).eval()


@pytest.fixture
def image() -> np.ndarray:
    """128 × 192 pixels, black, with two bright squares of 20."""
    image = np.zeros((128, 192), dtype=np.uint8)
    image[40:60, 50:70] = image[80:100, 120:140] = 255
    return image


# --- symmetries ---------------------------------------------------------------------------------------


def test_the_eight_symmetries_differ_and_are_undone():
    x = torch.arange(6.0).reshape(2, 3)
    seen = [turned(x, *way) for way in SYMMETRIES]
    assert len({(tuple(t.shape), tuple(t.flatten().tolist())) for t in seen}) == 8
    for way, t in zip(SYMMETRIES, seen, strict=True):
        assert torch.equal(turned_back(t, *way), x)


def test_flips_are_the_mean_of_logits_over_all_symmetries(image):
    network = small()
    maps = predict(network, image, flips=True, device="cpu")
    planes = to_planes(image).expand(3, -1, -1)[None]
    with torch.inference_mode():
        outputs = [[turned_back(m, *way) for m in network(turned(planes, *way))] for way in SYMMETRIES]
    logits, distances = (torch.stack(parts).mean(dim=0)[0] for parts in zip(*outputs, strict=True))
    np.testing.assert_allclose(maps.probabilities, logits.softmax(dim=0), atol=1e-5)
    np.testing.assert_allclose(maps.distance, distances[0], atol=1e-5)
    assert np.abs(maps.probabilities - predict(network, image, device="cpu").probabilities).max() > 1e-5


def test_an_image_that_is_turned_has_turned_maps(image):
    network = small()
    maps, lying = (predict(network, i, flips=True, device="cpu") for i in (image, np.rot90(image).copy()))
    np.testing.assert_allclose(np.rot90(maps.probabilities, axes=(1, 2)), lying.probabilities, atol=1e-5)


@pytest.mark.parametrize("heads", [{"distance": False}, {"boundary": False}])
def test_networks_without_a_head_have_symmetries_too(heads, image):
    network = small(**heads)
    plain, mean = (predict(network, image[:64, :96], flips=flips, device="cpu") for flips in (False, True))
    assert mean.probabilities.shape == plain.probabilities.shape
    assert (mean.distance is None) == (plain.distance is None)


# --- scores of cells ----------------------------------------------------------------------------------


def test_maps_that_are_the_targets_are_the_best_evidence():
    labels = np.zeros((30, 40), dtype=np.int32)
    labels[4:14, 5:20], labels[20:21, 30:31] = 70_000, 3  # gaps in the ids; a cell of one pixel
    targets = make_targets(labels)
    maps = Maps(np.eye(3, dtype=np.float32)[targets.classes].transpose(2, 0, 1), targets.distance)
    assert evidence(maps, labels).tolist() == [[1, 1, 0], [150, 150, 0]]
    wide = np.zeros((30, 40), dtype=np.int32)
    wide[4:16, 4:16] = 1
    sure = (wide > 0).astype(np.float32)
    none = np.zeros_like(sure)
    for classes in ([1 - sure, sure], [1 - sure, sure, none, none]):  # a proxy, and no boundary before it
        assert evidence(Maps(np.stack(classes), None), wide).tolist() == [[144, 144, 0]]
    assert evidence(Maps(np.stack([1 - sure, sure, none]), None), wide).tolist() == [[144, 100, 0]]
    wrong = Maps(np.roll(maps.probabilities, 1, axis=0), targets.distance - 0.25)
    area, said, differs = evidence(wrong, labels).T
    assert said.tolist() == [0, 0]
    np.testing.assert_allclose(differs / area, [0.25, 0.25], atol=0.02)


def test_a_block_may_hold_parts_of_one_cell():
    labels = np.zeros((8, 64), dtype=np.int32)
    labels[2:6, 2:6] = labels[2:6, 58:62] = 1
    empty = Maps(np.full((3, *labels.shape), 1 / 3, dtype=np.float32), None)
    np.testing.assert_allclose(evidence(empty, labels), [[32, 32 / 3, 0]], rtol=1e-6)


def test_evidence_of_a_part_is_that_of_its_pixels():
    """Halves of an image add up to the whole, as blocks of a slide must."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.permutation(12).reshape(3, 4), np.ones((10, 10))).astype(np.int32)
    maps = Maps(rng.dirichlet(np.ones(3), labels.shape).astype(np.float32).transpose(2, 0, 1),
                rng.random(labels.shape, dtype=np.float32))  # fmt: skip
    total = np.zeros((12, 3))
    for part in (np.s_[:, :17], np.s_[:, 17:]):
        ids = np.setdiff1d(labels[part], [0])
        total[ids] += evidence(maps, labels, part)
    np.testing.assert_allclose(total[1:], evidence(maps, labels), rtol=1e-6)


def test_no_cells_have_no_scores():
    maps = Maps(np.full((3, 5, 7), 1 / 3, np.float32), None)
    assert evidence(maps, np.zeros((5, 7), dtype=np.int32)).shape == (0, 3)
    assert score_cells([], np.zeros((0, 3))).shape == (0,)


def test_the_calibration_of_a_network_is_used():
    network = Pixels()
    sums = np.array([[10, 9.0, 1.0], [4, 2.0, 2.0]])
    np.testing.assert_allclose(score_cells(network, sums), [0.9, 0.5])  # none: the mean probability
    network.settings["score"] = [-1.0, 3.0, -2.0]
    expected = [1 / (1 + np.exp(-(-1 + 3 * 0.9 - 2 * 0.1))), 1 / (1 + np.exp(-(-1 + 3 * 0.5 - 2 * 0.5)))]
    np.testing.assert_allclose(score_cells(network, sums), expected)
    np.testing.assert_allclose(score_cells([network, Pixels()], sums), expected)


def test_the_shipped_network_is_surer_of_better_cells():
    constant, said, differs = load_model("lite").settings["score"]
    assert said > 0 > differs
    scores = score_cells("lite", np.array([[100, 98, 3], [100, 50, 30]]))
    assert scores[0] > 0.9
    assert scores[1] < 0.5


# --- doubt --------------------------------------------------------------------------------------------


def looks(*interiors: float) -> list[Maps]:
    """Looks at 2 × 3 pixels: the upper row is background in all, the lower is interior with p."""
    maps = []
    for p in interiors:
        interior = np.array([[0, 0, 0], [p, p, p]], dtype=np.float32)
        maps.append(Maps(np.stack([1 - interior, interior, 0 * interior]), None))
    return maps


@pytest.mark.parametrize(("interiors", "expected"), [
    ((0.3, 0.3, 0.3), 0.0),
    ((0.0, 1.0), np.sqrt(0.25 + 0.25)),  # variance 1/4 of each of two classes
    ((0.2, 0.6), np.sqrt(0.04 + 0.04)),
    ((0.0, 0.0, 1.0), np.sqrt(2 / 9 + 2 / 9)),
])  # fmt: skip
def test_doubt_is_the_standard_deviation_between_looks(interiors, expected):
    found = doubt_of(looks(*interiors))
    assert found.dtype == np.float32
    assert found[0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found[1], expected, rtol=1e-6, atol=0)


def test_a_network_without_directions_has_no_doubt(image):
    assert doubt_map(Pixels(), image, device="cpu").max() == 0


def test_doubt_is_where_directions_matter(image):
    """Two of eight looks see the left edge on the left: each edge is sure of interior in two looks."""
    found = doubt_map(Left(), image, device="cpu")
    assert found.shape == image.shape
    black = image == 0
    edges = np.zeros_like(black)
    edges[:, :16] = edges[:, -16:] = edges[:16] = edges[-16:] = True
    assert found[~edges].max() == 0
    middle = np.s_[30:100, :16]
    np.testing.assert_allclose(found[middle], np.sqrt(2 * 0.25 * 0.75), atol=1e-5)
    np.testing.assert_array_equal(found, found[::-1])
    np.testing.assert_array_equal(found, found[:, ::-1])


def test_averaged_symmetries_do_not_hide_doubt(image):
    plain, flipped = (doubt_map(Left(), image, device="cpu", flips=flips) for flips in (False, True))
    np.testing.assert_array_equal(plain, flipped)


def test_networks_doubt_each_other(image):
    found = doubt_map([Pixels(), Left()], image, by="networks", device="cpu")
    np.testing.assert_allclose(found[:40, :16], np.sqrt(0.5), atol=1e-4)
    assert found[:, 16:].max() == 0


def test_the_least_sure_cell_stands_first(image):
    """The distance field of cell 5, which is black, is 0: far from the target."""
    labels = np.zeros(image.shape, dtype=np.int32)
    labels[40:60, 50:70], labels[80:100, 120:140], labels[60:76, :16] = 9, 70_000, 5
    network = Left()
    network.settings["score"] = [0.0, 1.0, -9.0]
    found = doubt(network, image, labels, device="cpu")
    assert found.cells["label"].tolist()[0] == 5
    assert set(found.cells["label"]) == {5, 9, 70_000}
    assert found.cells["score"].is_monotonic_increasing
    np.testing.assert_allclose(found.cells["doubt"], [np.sqrt(2 * 0.25 * 0.75), 0, 0], atol=1e-5)
    assert (found.labels is labels, found.map.shape) == (True, image.shape)
    assert found.cells["score"].between(0, 1).all()
    alone = doubt(Pixels(), image, device="cpu")
    assert alone.cells["label"].tolist() == [1, 2]
    assert alone.labels[50, 60] == 1


@pytest.mark.parametrize(("call", "message"), [
    (lambda image: doubt_map(Pixels(), image, by="magic"), "by is 'magic' for 1 networks; expected symm"),
    (lambda image: doubt_map(Pixels(), image, by="networks"), "by is 'networks' for 1 networks"),
    (lambda image: doubt(Pixels(), image, np.zeros((3, 4), int)), r"labels have shape \(3, 4\)"),
])  # fmt: skip
def test_what_is_refused(call, message, image):
    with pytest.raises(ValueError, match=message):
        call(image)
