"""The size of cells: estimated, given, and what the network then sees."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
import torch

from maunet_lite.data import simulate
from maunet_lite.evaluation.metrics import match_cells
from maunet_lite.inference.cells.segment import (
    advice,
    predict_sized,
    segment,
)
from maunet_lite.inference.cells.size import DOUBTED, KNOWN, TYPICAL, Size, estimate_size, scale_for
from maunet_lite.inference.predict import predict
from maunet_lite.network import load_model
from maunet_lite.network.maunet import build_model
from maunet_lite.postprocessing.config import PostprocessConfig
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.segment import segment as postprocess


@pytest.fixture(scope="module")
def lite():
    return load_model("lite")


@pytest.fixture(scope="module")
def nuclei():
    rng = np.random.default_rng(3)
    return simulate("fluorescence", (200, 240), rng=rng, variant="nuclei", n_cells=30, cell_diameter=26)


def zoomed(image: np.ndarray, zoom: float, how: int = cv2.INTER_AREA) -> np.ndarray:
    return cv2.resize(image, [round(n * zoom) for n in image.shape[1::-1]], interpolation=how)


def squares(side: int, shape: tuple[int, int]) -> np.ndarray:
    """White squares as far apart as they are wide."""
    rows, columns = np.indices(shape)
    return ((rows // side % 2 == 1) & (columns // side % 2 == 1)).astype(np.float32)


def ideal_look(best: tuple[float, float], seen: list):
    """Return a look that finds what is bright, and that is sure if squares of known side measure `best`."""

    def look(part: torch.Tensor, scale: float) -> Maps:
        shape = [max(1, round(n * scale)) for n in part.shape[:0:-1]]
        bright = cv2.resize(part[0].numpy(), shape, interpolation=cv2.INTER_AREA) > 0.5
        runs = np.diff(np.flatnonzero(np.diff(bright.astype(int), axis=1).any(axis=0)))
        side = np.median(runs) if runs.size else 0
        interior = bright * np.float32(0.99 if best[0] < side < best[1] else 0.72)
        seen.append((scale, part.shape[1:]))
        return Maps(np.stack([1 - interior, interior]), None)

    return look


@pytest.mark.parametrize("side", [8, 20, 60, 100])
def test_squares_are_measured_and_brought_to_a_known_size(side):
    image, seen = squares(side, (640, 700)), []
    plane = torch.from_numpy(image)[None]
    size = estimate_size(ideal_look((11, 26), seen), lambda *part: plane[(slice(None), *part)], image.shape)
    assert size.diameter == pytest.approx(side * np.sqrt(4 / np.pi), rel=0.25)
    assert KNOWN[0] * 0.7 < size.diameter * size.scales[0] < KNOWN[1] * 1.5
    assert sum(h * w * scale**2 for scale, (h, w) in seen) < image.size  # less than a pass


@pytest.mark.parametrize(("side", "finest"), [(21, 1), (17, 2)])
def test_cells_of_a_known_size_need_no_finer_look(side, finest):
    image, seen = squares(side, (640, 700)), []
    plane = torch.from_numpy(image)[None]
    estimate_size(ideal_look((11, 26), seen), lambda *part: plane[(slice(None), *part)], image.shape)
    assert max(scale for scale, _ in seen) == finest


@pytest.mark.parametrize(("certainty", "belief"), [(0.9, 1), (0.1, 0.5), (-0.19, 1 / 60), (-0.2, 0), (-1, 0)])
def test_an_unsure_estimate_changes_the_image_less(certainty, belief, monkeypatch):
    image = squares(60, (640, 700))
    plane = torch.from_numpy(image)[None]
    monkeypatch.setattr("maunet_lite.inference.cells.size._certainty", lambda *_: certainty)
    size = estimate_size(ideal_look((11, 26), []), lambda *part: plane[(slice(None), *part)], image.shape)
    assert size.scales[0] == pytest.approx(scale_for(60 * np.sqrt(4 / np.pi)) ** belief, rel=0.1)
    assert size.scales[0] < 1 if belief else size.scales == (1.0,)
    assert np.isnan(size.diameter) == (belief == 0)


@pytest.mark.parametrize(("certainty", "smaller"), [(0.9, True), (0.75, False)])
def test_rather_large_cells_are_shown_smaller_if_the_network_is_certain(certainty, smaller, monkeypatch):
    image = squares(42, (640, 700))
    plane = torch.from_numpy(image)[None]
    monkeypatch.setattr("maunet_lite.inference.cells.size._certainty", lambda *_: certainty)
    size = estimate_size(ideal_look((11, 26), []), lambda *part: plane[(slice(None), *part)], image.shape)
    assert KNOWN[1] < size.diameter < DOUBTED
    assert size.scales[0] == (pytest.approx(TYPICAL / size.diameter) if smaller else 1)


def test_texture_is_not_taken_for_large_cells():
    """It looks like cells of the same size at every scale, surest at the coarsest; at 2 two looks agree."""

    def texture(part: torch.Tensor, scale: float) -> Maps:
        side = 24 if scale < 2 else 36
        shape = [round(n * scale) for n in part.shape[1:]]
        sure = {0.25: 0.99, 0.5: 0.95, 1: 0.92, 2: 0.91}[scale]
        interior = np.where(squares(side, shape) > 0, np.float32(sure), np.float32(0.15))
        return Maps(np.stack([1 - interior, interior]), None)

    plane = torch.zeros((1, 1000, 1000))
    size = estimate_size(texture, lambda *part: plane[(slice(None), *part)], (1000, 1000))
    assert [round(seen.diameter * seen.scale) for seen in size.looks] == [27, 27, 27, 41]
    assert size.scales == (1.0,), "of 27 and 20 pixels, not of 108"


def test_cells_in_a_corner_of_a_large_image_are_found():
    image = np.zeros((4000, 3000), np.float32)
    image[2800:, 2000:] = squares(20, (1200, 1000))
    plane, seen = torch.from_numpy(image)[None], []
    size = estimate_size(ideal_look((11, 26), seen), lambda *part: plane[(slice(None), *part)], image.shape)
    assert size.diameter == pytest.approx(20 * np.sqrt(4 / np.pi), rel=0.25)
    assert sum(h * w * scale**2 for scale, (h, w) in seen) < image.size / 20


def test_nothing_to_see_leaves_the_image_as_it_is(lite):
    for shape in ((1, 1), (9, 400), (60, 50)):
        _, size = predict_sized(lite, np.zeros(shape, np.uint8), device="cpu")
        assert size.scales == (1.0,)
        assert np.isnan(size.diameter)


@pytest.mark.parametrize("zoom", [0.3, 1.0, 3.0])
def test_a_network_finds_cells_of_any_size(zoom, lite, nuclei):
    image, truth = zoomed(nuclei.image, zoom), zoomed(nuclei.labels, zoom, cv2.INTER_NEAREST)
    labels = segment(image, lite, device="cpu")
    assert labels.shape == image.shape
    assert labels.dtype == np.int32
    assert match_cells(truth, labels).f1 > 0.75
    as_it_is = postprocess(predict(lite, image, device="cpu")).labels
    if zoom < 1:  # as it is, the cells are too small for the network
        assert match_cells(truth, as_it_is).f1 < match_cells(truth, labels).f1 - 0.1
    elif zoom == 1:
        np.testing.assert_array_equal(labels, as_it_is)


@pytest.mark.parametrize("shape", [(1, 700), (3, 700), (700, 2)])
def test_a_line_of_pixels_is_an_image(lite, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    assert predict_sized(lite, image, device="cpu").maps.probabilities.shape[1:] == shape


def test_a_diameter_replaces_the_estimate(lite, nuclei):
    _, size = predict_sized(lite, nuclei.image, diameter=93.4, device="cpu")
    assert size == Size(93.4, (TYPICAL / 93.4,))
    by_hand = predict(lite, nuclei.image, (TYPICAL / 93.4,), device="cpu")
    np.testing.assert_array_equal(
        segment(nuclei.image, lite, "cpu", diameter=46.7, pixel_size=0.5),
        postprocess(by_hand).labels,
    )
    with pytest.raises(ValueError, match="diameter sets the scale"):
        segment(nuclei.image, lite, scales=(1.5,), diameter=30)
    with pytest.raises(ValueError, match="diameter is -3"):
        segment(nuclei.image, lite, diameter=-3)
    with pytest.raises(ValueError, match="pixel_size is 0"):
        segment(nuclei.image, lite, diameter=3, pixel_size=0)
    with pytest.raises(ValueError, match=r"scales is 'big'; expected \"auto\""):
        segment(nuclei.image, lite, scales="big")


def test_only_networks_that_say_so_are_shown_another_size(nuclei):
    paper, image = build_model("lite"), zoomed(nuclei.image[:60, :70], 5)
    assert paper.settings == {}
    _, size = predict_sized([paper, load_model("lite")], image, device="cpu")
    assert size == Size()  # all of an ensemble must say so
    assert scale_for(104) == pytest.approx(TYPICAL / 104)


def test_what_to_try_is_said(lite, nuclei):
    noise = np.random.default_rng(0).normal(100, 3, (80, 90)).astype(np.uint8)
    with pytest.warns(UserWarning, match="no cells were found.*--diameter.*channel"):
        assert not segment(noise, lite, "cpu", postprocess=PostprocessConfig(foreground=0)).any()
    cell = np.zeros((200, 200), np.int32)
    cell[20:180, 20:180] = 1
    assert "measure 181 pixels, but the network knows 9 to 80" in advice(cell, Size(), [lite])
    assert advice(cell, Size(181.0, (0.2,)), [lite]) == ""
    assert advice(cell, Size(), [build_model("lite")]) == ""  # nobody knows what it knows


def test_bright_rods_apart_are_found_whole(lite):
    rng, labels = np.random.default_rng(0), np.zeros((400, 400), np.int32)
    for number, (row, column) in enumerate(product(range(45, 400, 78), repeat=2), 1):
        half = 25 * np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)])
        ends = [tuple(np.round([column, row] + sign * half).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(labels, *ends, number, thickness=10)
    image = 20 + 150 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.2)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    assert match_cells(labels, segment(image, lite, device="cpu")).f1 > 0.75
