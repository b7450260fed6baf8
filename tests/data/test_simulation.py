"""Simulated pictures: exact labels, believable contrast, reproducible datasets."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table
from skimage.segmentation import clear_border

from maunet_lite.data import (
    EXTRA_KINDS,
    MODALITIES,
    VARIANTS,
    Simulated,
    check_folder,
    read_image,
    read_labels,
    simulate,
    simulate_dataset,
    simulate_extra,
    simulate_extra_dataset,
)
from maunet_lite.data.checks import validate_labels
from maunet_lite.data.simulation.fields import blur, illumination, smooth_noise, specks
from maunet_lite.data.simulation.folder import split_names
from maunet_lite.data.simulation.layout.crowds import pack_rods, tile_cells, whole_pieces
from maunet_lite.data.simulation.layout.scene import Scene, distance_to_outline, place_cells, stamp
from maunet_lite.data.simulation.layout.shapes import round_outline, spindle_outline, spread_outline
from maunet_lite.data.simulation.light.microscopes import _propagate, phase_contrast

KINDS = [(modality, variant) for modality in MODALITIES for variant in VARIANTS[modality]]
GREY = [kind for kind in KINDS if kind != ("brightfield", "stained")]


def picture(kind: tuple[str, str], seed: int = 0, shape: tuple[int, int] = (96, 128), **options) -> Simulated:
    modality, variant = kind
    return simulate(modality, shape, rng=np.random.default_rng(seed), variant=variant, **options)


def disk_outline(rng: np.random.Generator) -> np.ndarray:
    """Return a disk of diameter 1."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return 0.5 * np.stack([np.cos(angle), np.sin(angle)], 1)


def assert_exact(labels: np.ndarray) -> None:
    """Check ids 1..N without a gap, each one 4-connected piece."""
    assert labels.dtype == np.int32
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, labels.max() + 1))
    for label in range(1, labels.max() + 1):
        assert ndimage.label(labels == label)[1] == 1, f"cell {label} is in pieces"
    validate_labels(labels)


def touching_share(labels: np.ndarray) -> float:
    """Share of cells that have another cell among their four neighbours."""
    pairs = [(labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])]
    touching = [np.concatenate([a[m], b[m]]) for a, b in pairs for m in [(a != b) & (a > 0) & (b > 0)]]
    return len(np.unique(np.concatenate(touching))) / labels.max()


# --- pictures --------------------------------------------------------------------------------------------


def test_the_four_modalities_of_the_paper() -> None:
    assert MODALITIES == ("brightfield", "fluorescence", "phase-contrast", "dic")


@pytest.mark.parametrize("kind", KINDS)
def test_picture_has_the_promised_form(kind: tuple[str, str]) -> None:
    image, labels = picture(kind, shape=(72, 130))
    channels = (3,) if kind == ("brightfield", "stained") else ()
    assert image.shape == (72, 130, *channels)
    assert image.dtype == np.uint8
    assert labels.shape == (72, 130)
    assert image.std() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_exact(kind: tuple[str, str]) -> None:
    for seed in range(4):
        assert_exact(picture(kind, seed).labels)


@pytest.mark.parametrize("modality", MODALITIES)
def test_smallest_picture(modality: str) -> None:
    image, labels = simulate(modality, (32, 32), rng=np.random.default_rng(0))
    assert image.shape[:2] == labels.shape == (32, 32)
    assert labels.max() >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_picture(kind: tuple[str, str]) -> None:
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    first = picture(kind, seed=5)
    np.random.seed(2)  # noqa: NPY002
    again, other = picture(kind, seed=5), picture(kind, seed=6)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_the_variant_is_drawn_when_left_open() -> None:
    images = [simulate("brightfield", (40, 40), rng=np.random.default_rng(seed)).image for seed in range(12)]
    assert {image.ndim for image in images} == {2, 3}


def test_cells_are_cut_by_the_border() -> None:
    labels = picture(("dic", "discs"), shape=(128, 128), n_cells=30, cell_diameter=24).labels
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cut = np.unique(border[border > 0])
    whole = np.setdiff1d(np.arange(1, labels.max() + 1), cut)
    assert len(cut) >= 3
    areas = np.bincount(labels.ravel())
    assert areas[cut].min() < 0.7 * np.median(areas[whole])
    assert areas[cut].min() >= 8


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("wanted", [0, 1, 15])
def test_number_of_cells_is_honoured(modality: str, wanted: int) -> None:
    labels = simulate(
        modality, (160, 120), rng=np.random.default_rng(3), n_cells=wanted, cell_diameter=14
    ).labels
    assert labels.max() == wanted


def test_as_many_cells_as_fit() -> None:
    labels = picture(("fluorescence", "nuclei"), shape=(64, 64), n_cells=500, cell_diameter=16).labels
    assert 15 < labels.max() < 500
    assert (labels > 0).mean() > 0.6
    assert_exact(labels)


@pytest.mark.parametrize("diameter", [10, 30])
def test_diameter_is_honoured(diameter: int) -> None:
    labels = picture(
        ("dic", "round"), shape=(256, 256), n_cells=25, cell_diameter=diameter, clustering=0
    ).labels
    inner = np.setdiff1d(np.unique(labels), np.unique([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas = np.bincount(labels.ravel())[inner[inner > 0]]
    assert np.median(np.sqrt(areas * 4 / np.pi)) == pytest.approx(diameter, rel=0.25)


def test_cells_touch_and_clustering_makes_them() -> None:
    options = {"shape": (256, 256), "n_cells": 40, "cell_diameter": 18}
    shares = {
        clustering: np.mean(
            [
                touching_share(picture(("dic", "round"), seed, clustering=clustering, **options).labels)
                for seed in range(3)
            ]
        )
        for clustering in (0.0, 1.0)
    }
    assert shares[1.0] > 0.5
    assert shares[0.0] < 0.5 * shares[1.0]


def test_fluorescent_cells_shine() -> None:
    for kind in (("fluorescence", "nuclei"), ("fluorescence", "cells")):
        for seed in range(4):
            image, labels = picture(kind, seed, shape=(128, 128))
            inside, outside = image[labels > 0].astype(float), image[labels == 0].astype(float)
            assert inside.mean() > 1.5 * outside.mean()


def test_fluorescent_cells_differ_in_brightness() -> None:
    brightest_over_dimmest = []
    for seed in range(4):
        image, labels = picture(("fluorescence", "nuclei"), seed, (256, 256), n_cells=60, cell_diameter=16)
        means = ndimage.mean(image, labels, np.arange(1, labels.max() + 1)) - np.median(image[labels == 0])
        brightest_over_dimmest.append(means.max() / means.min())
    assert max(brightest_over_dimmest) > 5


def test_stained_nuclei_absorb() -> None:
    for seed in range(6):
        image, labels = picture(("brightfield", "stained"), seed, shape=(128, 128))
        red = image[..., 0].astype(float)
        assert red[labels > 0].mean() < 0.8 * red[labels == 0].mean()


@pytest.mark.parametrize("kind", [kind for kind in GREY if kind[0] != "fluorescence"])
def test_transparent_cells_stand_out(kind: tuple[str, str]) -> None:
    """They are as bright as the background on average, but not as flat."""
    for seed in range(4):
        image, labels = picture(kind, seed, shape=(160, 160))
        texture = image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 12)
        cell = labels > 0
        far = ~ndimage.binary_dilation(cell, iterations=6)
        assert texture[cell].std() > 1.3 * texture[far].std()


@pytest.mark.parametrize("kind", KINDS)
def test_light_leak_brightens_a_region_and_nothing_else(kind: tuple[str, str]) -> None:
    plain = picture(kind, seed=2)
    leaking = picture(kind, seed=2, light_leak=True)
    assert np.array_equal(leaking.image, picture(kind, seed=2, light_leak=True).image)
    assert np.array_equal(plain.labels, leaking.labels)
    assert plain.image.shape == leaking.image.shape
    gain = blur(leaking.image.astype(np.float32) - plain.image, 4)
    assert gain.max() > 40
    assert gain.min() > -10
    assert gain.max() > 3 * max(np.quantile(gain, 0.05), 1)  # a region, not the whole picture


def test_twelve_bit_camera() -> None:
    eight = picture(("fluorescence", "nuclei"), seed=1)
    twelve = picture(("fluorescence", "nuclei"), seed=1, dtype="uint16")
    assert twelve.image.dtype == np.uint16
    assert 255 < twelve.image.max() <= 4095
    np.testing.assert_allclose(twelve.image / 4095, eight.image / 255, atol=0.003)  # half a grey value of 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": "electron"}, "unknown modality 'electron'; expected one of brightfield, fluorescence"),
        (
            {"variant": "spread"},
            "unknown variant of brightfield 'spread'; expected one of stained, unstained",
        ),
        ({"shape": (31, 64)}, r"shape is \(31, 64\); expected \(height, width\)"),
        ({"shape": (64, 64, 3)}, r"shape is \(64, 64, 3\)"),
        ({"shape": (64.5, 64)}, "whole pixels"),
        ({"n_cells": -1}, "n_cells is -1"),
        ({"n_cells": 2.5}, "n_cells is 2.5"),
        ({"cell_diameter": 2}, "cell_diameter is 2; expected 4 to 64 pixels"),
        ({"cell_diameter": 65}, "cell_diameter is 65"),
        ({"clustering": 1.5}, "clustering is 1.5"),
        ({"dtype": "float32"}, "unknown dtype 'float32'; expected one of uint8, uint16"),
    ],
)
def test_wrong_arguments_are_named(change: dict, message: str) -> None:
    options = {"modality": "brightfield", "shape": (64, 64), "rng": np.random.default_rng(0)} | change
    with pytest.raises(ValueError, match=message):
        simulate(**options)


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(TypeError, match="default_rng"):
        simulate("dic", (64, 64), rng=0)


# --- scene and shapes ------------------------------------------------------------------------------------


def test_distance_to_outline_by_eye() -> None:
    labels = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 2, 2, 0],
            [0, 1, 1, 1, 2, 2, 0],
            [0, 1, 1, 1, 2, 2, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        np.int32,
    )
    expected = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 1, 2, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    np.testing.assert_array_equal(distance_to_outline(labels), expected)
    scene = Scene(labels, margin=1, diameter=3)
    np.testing.assert_array_equal(scene.radii, [2, 1])
    np.testing.assert_array_equal(scene.depth[2], [0, 0.5, 1, 0.5, 1, 1, 0])
    assert scene.centres[0].tolist() == [2, 2]
    assert scene.per_cell(np.array([5, 7]), background=1)[1].tolist() == [1, 5, 5, 5, 7, 7, 1]
    assert scene.crop(labels).tolist() == [[1, 1, 1, 2, 2]] * 3


def test_later_cells_take_only_free_pixels() -> None:
    """Disks dropped at random: some are whole, the others lost what an earlier one had."""
    scene = place_cells(
        (120, 120), disk_outline, np.random.default_rng(0), n_cells=30, diameter=20, size_spread=0
    )
    picture_labels = scene.crop(scene.labels)
    border = np.unique([picture_labels[0], picture_labels[-1], picture_labels[:, 0], picture_labels[:, -1]])
    areas = np.bincount(picture_labels.ravel())
    inner = np.setdiff1d(np.arange(1, scene.n_cells + 1), border)
    disk = np.pi * 10**2
    assert areas[inner].max() < 1.15 * disk
    assert areas[inner].min() > 0.6 * disk
    assert areas[1:].max() > 1.0 * disk  # at least the first is whole


def test_a_cell_that_would_cover_another_is_refused() -> None:
    labels = np.zeros((60, 60), np.int32)
    scene, areas = Scene(labels, margin=8, diameter=12), [0]
    disk = disk_outline(np.random.default_rng(0))
    areas.append(stamp(scene, 30 + 12 * disk, areas))
    before = labels.copy()
    assert stamp(scene, 30 + 40 * disk, areas) == 0  # around the first
    assert stamp(scene, np.array([36, 30]) + 12 * disk, areas) == 0  # half over it
    assert np.array_equal(labels, before)
    areas.append(stamp(scene, np.array([41, 30]) + 12 * disk, areas))  # touching
    assert np.bincount(labels.ravel())[1:].tolist() == areas[1:]
    assert np.array_equal(labels == 1, before == 1)
    assert touching_share(labels) == 1


def test_alignment_turns_cells_one_way() -> None:
    def spread_of_directions(alignment: float) -> float:
        scene = place_cells(
            (200, 200),
            lambda rng: round_outline(rng, elongation=3, roughness=0),
            np.random.default_rng(1),
            n_cells=25,
            diameter=16,
            clustering=0,
            alignment=alignment,
        )
        angles = []
        for label in range(1, scene.n_cells + 1):
            points = np.argwhere(scene.labels == label)
            long_axis = np.linalg.eigh(np.cov(points.T))[1][:, 1]
            angles.append(np.arctan2(*long_axis))
        return 1 - abs(np.mean(np.exp(2j * np.array(angles))))  # an axis has no head: angles count twice

    assert spread_of_directions(1.0) < 0.05
    assert spread_of_directions(0.0) > 0.5


@pytest.mark.parametrize("draw", [round_outline, spread_outline, spindle_outline])
def test_outlines_have_unit_area(draw) -> None:
    for seed in range(5):
        outline = 100 * draw(np.random.default_rng(seed))
        assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(np.pi * 50**2, rel=0.01)


def test_some_outlines_are_not_convex() -> None:
    def solidity(outline: np.ndarray) -> float:
        points = (100 * outline).astype(np.float32)
        return cv2.contourArea(points) / cv2.contourArea(cv2.convexHull(points))

    rngs = [np.random.default_rng(seed) for seed in range(10)]
    assert min(solidity(spread_outline(rng, processes=4, concavity=0.9)) for rng in rngs) < 0.8
    assert solidity(round_outline(rngs[0], elongation=2.5, roughness=0, bend=0.6)) < 0.97
    assert solidity(round_outline(rngs[0], elongation=2.5, roughness=0, bend=0)) > 0.99


# --- light -----------------------------------------------------------------------------------------------


def test_phase_contrast_has_a_halo() -> None:
    """Just outside a round cell it is brighter than far away, and inside darker."""
    y, x = np.mgrid[:140, :140]
    radius = np.hypot(y - 70, x - 70)
    scene = Scene((radius < 20).astype(np.int32), margin=10, diameter=40)
    light = np.mean(
        [phase_contrast(scene, np.random.default_rng(seed), "round") for seed in range(8)], axis=0
    )
    far = light[(radius > 50) & (radius < 60)].mean()
    assert light[(radius > 20.5) & (radius < 23)].mean() > 1.05 * far
    assert light[(radius > 14) & (radius < 18)].mean() < 0.9 * far


def test_propagation_keeps_light_and_comes_back() -> None:
    rng = np.random.default_rng(0)
    wave = np.exp(1j * smooth_noise((40, 56), 6, rng))
    there = _propagate(wave, 20.0)
    assert np.sum(np.abs(there) ** 2) == pytest.approx(wave.size, rel=1e-4)
    assert np.abs(there).std() > 0.1  # a phase has become visible
    np.testing.assert_allclose(_propagate(there, -20.0), wave, atol=1e-4)


def test_wide_blur_on_a_reduced_copy_equals_the_slow_one() -> None:
    image = smooth_noise((150, 210), 30, np.random.default_rng(0))
    slow = cv2.GaussianBlur(image, (0, 0), 17)
    inner = (slice(40, -40), slice(40, -40))  # at the border they differ in what they take to lie beyond
    np.testing.assert_allclose(blur(image, 17)[inner], slow[inner], atol=0.03)
    assert slow[inner].std() > 0.3


def test_illumination_averages_one_and_specks_are_few() -> None:
    rng = np.random.default_rng(0)
    assert illumination((90, 120), rng, 0.3).mean() == pytest.approx(1, abs=0.05)
    debris = specks((100, 100), rng, n=20, radius=(1, 2))
    assert 0 < (debris > 0).mean() < 0.1
    assert not specks((100, 100), rng, n=0, radius=(1, 2)).any()


# --- datasets --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("simulated") / "made"
    return simulate_dataset(folder, n_per_modality=5, shape=(48, 64), seed=4, progress=False)


def test_dataset_layout(dataset) -> None:
    table = pd.read_csv(dataset / "metadata.csv")
    assert list(table) == "image modality source split height width channels cells licence".split()
    assert len(table) == 20
    assert sorted(path.name for path in dataset.iterdir()) == ["images", "labels", "metadata.csv"]
    assert sorted(path.name for path in (dataset / "images").iterdir()) == sorted(table.image)
    assert table.groupby("modality").size().to_dict() == dict.fromkeys(MODALITIES, 5)
    assert table.groupby("split").size().to_dict() == {"train": 12, "val": 4, "test": 4}
    assert set(table.source) == {f"simulated-{modality}-{variant}" for modality, variant in KINDS}
    for row in table.itertuples():
        image = read_image(dataset / "images" / row.image)
        labels = read_labels(dataset / "labels" / f"{row.image.rsplit('.', 1)[0]}_label.tiff")
        assert image.shape[:2] == labels.shape == (row.height, row.width) == (48, 64)
        assert (1 if image.ndim == 2 else image.shape[2]) == row.channels
        assert labels.max() == row.cells
        assert_exact(labels)
    deep = table.image[table.image.str.endswith(".tif")]
    assert list(deep) == ["fluorescence_0001.tif", "fluorescence_0004.tif"]
    assert read_image(dataset / "images" / deep.iloc[0]).dtype == np.uint16


def test_same_seed_same_bytes_and_more_begin_alike(dataset, tmp_path) -> None:
    again = simulate_dataset(tmp_path / "again", n_per_modality=5, shape=(48, 64), seed=4, progress=False)
    files = sorted(path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file())
    assert len(files) == 41
    for file in files:
        assert (again / file).read_bytes() == (dataset / file).read_bytes(), file
    fewer = simulate_dataset(tmp_path / "fewer", n_per_modality=1, shape=(48, 64), seed=4, progress=False)
    other = simulate_dataset(tmp_path / "other", n_per_modality=1, shape=(48, 64), seed=5, progress=False)
    name = "images/dic_0000.png"
    assert (fewer / name).read_bytes() == (dataset / name).read_bytes()
    assert (other / name).read_bytes() != (dataset / name).read_bytes()


def test_progress_is_shown(tmp_path, capsys) -> None:
    simulate_dataset(tmp_path / "set", n_per_modality=1, shape=(32, 32))
    assert "4/4" in capsys.readouterr().err


def test_a_filled_folder_is_refused_and_an_empty_one_used(tmp_path) -> None:
    simulate_dataset(tmp_path, n_per_modality=1, shape=(32, 32), progress=False)
    before = (tmp_path / "metadata.csv").read_bytes()
    with pytest.raises(FileExistsError, match="is not empty; choose a new folder"):
        simulate_dataset(tmp_path, n_per_modality=2, shape=(32, 32), progress=False)
    assert (tmp_path / "metadata.csv").read_bytes() == before


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch) -> None:
    calls = []

    def interrupted(*args, **options) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("maunet_lite.data.simulation.folder.write_labels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(tmp_path / "set", n_per_modality=1, shape=(32, 32), progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_per_modality": 0}, "n_per_modality is 0, seed 0; expected at least 1"),
        ({"seed": -1}, "seed -1; expected at least 1, at least 0"),
        ({"shape": (16, 16)}, "at least 32"),
    ],
)
def test_wrong_dataset_options_are_named(tmp_path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_dataset(tmp_path / "set", progress=False, **({"shape": (32, 32)} | options))
    assert list(tmp_path.iterdir()) == []


def test_split_names_by_eye() -> None:
    assert split_names(2) == ["train", "val"]
    assert split_names(20)[:5] == split_names(5) == ["train", "val", "test", "train", "train"]
    assert [split_names(20).count(name) for name in ("train", "val", "test")] == [14, 3, 3]


# --- further kinds, to train on ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXTRA_KINDS)
def test_extra_kinds_have_exact_labels_and_repeat_themselves(kind: str) -> None:
    one, two = (simulate_extra(kind, (64, 80), rng=np.random.default_rng(4)) for _ in range(2))
    assert one.image.dtype == np.uint8
    assert one.image.shape[:2] == one.labels.shape == (64, 80)
    assert (one.image.ndim == 3) == (kind in ("blood", "stains"))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.labels, two.labels)
    assert_exact(one.labels)
    assert np.bincount(one.labels.ravel())[1:].min() >= 8, "every cell is visible"
    inside, outside = one.image[one.labels > 0], one.image[one.labels == 0]
    if len(inside) and len(outside):
        assert abs(inside.mean() - outside.mean()) + abs(inside.std() - outside.std()) > 1, "cells show"


def test_rods_lie_side_by_side_and_do_not_overlap() -> None:
    how = {"n_cells": 40, "diameter": 14, "length": 4, "colonies": 1, "order": 0.95}
    scene = pack_rods((120, 120), np.random.default_rng(1), **how)
    labels = scene.crop(scene.labels)
    assert_exact(labels)
    assert labels.max() > 20
    whole = clear_border(labels)
    table = regionprops_table(whole, properties=["axis_major_length", "axis_minor_length", "area"])
    assert np.median(table["axis_major_length"] / table["axis_minor_length"]) > 2
    assert 0.5 < np.median(table["area"]) / (np.pi / 4 * 14**2) < 1.5


def test_sheets_are_closed_or_leave_gaps() -> None:
    closed = tile_cells((90, 110), np.random.default_rng(0), diameter=20)
    apart = tile_cells((90, 110), np.random.default_rng(0), diameter=20, gap=3)
    partly = tile_cells((90, 110), np.random.default_rng(0), diameter=20, covered=0.5)
    shares = [(scene.crop(scene.labels) > 0).mean() for scene in (closed, apart, partly)]
    assert shares[0] > 0.97
    assert shares[1] < 0.9
    assert 0.3 < shares[2] < 0.7
    sizes = np.bincount(clear_border(closed.crop(closed.labels)).ravel())[1:]
    assert 0.6 < np.median(sizes[sizes > 0]) / (np.pi / 4 * 20**2) < 1.4
    assert touching_share(closed.crop(closed.labels)) == 1
    for scene in (closed, apart, partly):
        assert_exact(scene.crop(scene.labels))


def test_pieces_by_eye() -> None:
    labels = np.zeros((6, 12), np.int32)
    labels[1:5, 1:4], labels[1:3, 5:9], labels[4, 6], labels[1:5, 10] = 5, 9, 9, 7
    kept = whole_pieces(labels, margin=1)
    assert kept[2, 1:11].tolist() == [1, 1, 1, 0, 2, 2, 2, 2, 0, 0], "cell 7 shows four pixels: too few"
    assert kept[4, 6] == 0, "the smaller piece of cell 9"


def test_a_folder_of_extra_kinds(tmp_path) -> None:
    folder = simulate_extra_dataset(tmp_path / "extra", n_per_kind=1, side=48, progress=False)
    table = pd.read_csv(folder / "metadata.csv")
    assert [name.rsplit("_", 1)[0] for name in table["image"]] == list(EXTRA_KINDS)
    assert set(table["split"]) == {"train"}
    assert set(table["source"]) == {"simulated-extra-fluorescence", "simulated-extra-transmitted"}
    assert check_folder(folder) == []
    number, kind = 3, list(EXTRA_KINDS)[3]
    picture = simulate_extra(kind, (48, 48), rng=np.random.default_rng([0, number, 0]))
    assert np.array_equal(read_image(folder / "images" / f"{kind}_0000.png"), picture.image)
    with pytest.raises(FileExistsError, match="not empty"):
        simulate_extra_dataset(folder, n_per_kind=1, progress=False)
    with pytest.raises(ValueError, match="n_per_kind is 0"):
        simulate_extra_dataset(tmp_path / "none", n_per_kind=0)
    with pytest.raises(ValueError, match="unknown kind 'rod'; expected one of rods-phase"):
        simulate_extra("rod", rng=np.random.default_rng(0))


# --- the samples in the repository -----------------------------------------------------------------------


def test_samples_are_what_the_command_makes(repository, tmp_path) -> None:
    """Compared loosely: another processor may round differently."""
    samples = repository / "data" / "samples"
    table = pd.read_csv(samples / "metadata.csv")
    assert table.groupby("modality").size().to_dict() == dict.fromkeys(MODALITIES, 2)
    assert sum(path.stat().st_size for path in samples.rglob("*") if path.is_file()) < 1_000_000
    made = simulate_dataset(tmp_path / "samples", n_per_modality=2, shape=(192, 256), seed=2, progress=False)
    assert pd.read_csv(made / "metadata.csv").image.equals(table.image)
    for name in table.image:
        stem = name.rsplit(".", 1)[0]
        stored, fresh = (read_labels(folder / "labels" / f"{stem}_label.tiff") for folder in (samples, made))
        assert_exact(stored)
        assert np.mean(stored == fresh) > 0.99
        stored, fresh = (read_image(folder / "images" / name) for folder in (samples, made))
        assert stored.dtype == fresh.dtype
        assert np.abs(stored.astype(float) - fresh).mean() < 0.02 * stored.max()
