"""Intensity scaling, class map and distance field (paper, section 2.1)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maunet_lite.data import read_image, read_labels
from maunet_lite.data.checks import ImageError, LabelError
from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.preprocessing.targets import Targets, class_map, distance_field, make_targets

# --- helpers ------------------------------------------------------------------------------


def picture(text: str) -> np.ndarray:
    """Turn rows of digits (a dot is 0) into an array."""
    return np.array([[int(c) for c in row.replace(".", "0")] for row in text.split()])


def random_labels(seed: int, shape: tuple[int, int] = (37, 52), cells: int = 14) -> np.ndarray:
    """Draw ellipses over each other: touching, cut by the edge, in pieces, some gone; ids with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    for i in rng.permutation(np.arange(1, 3 * cells, 3)):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        a, b = rng.uniform(0.6, 10, size=2)
        labels[((rows - y) / a) ** 2 + ((cols - x) / b) ** 2 <= 1] = i
    return labels


def slow_distances(labels: np.ndarray, cell: int) -> dict[tuple[int, int], float]:
    """Distance of each pixel of a cell to the nearest pixel outside, by trying all pairs."""
    inside, outside = np.argwhere(labels == cell), np.argwhere(labels != cell)
    squares = ((inside[:, None] - outside) ** 2).sum(axis=2)  # (pixels inside, pixels outside)
    nearest = np.sqrt(squares.min(axis=1, initial=2**40))
    return {(r, c): d for (r, c), d in zip(inside.tolist(), nearest.tolist(), strict=True)}


def slow_class_map(labels: np.ndarray, thickness: str) -> np.ndarray:
    """Apply the definition pixel by pixel."""
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for cell in np.unique(labels[labels > 0]):
        depth = slow_distances(labels, cell)
        if thickness == "paper":
            boundary = {p for p, d in depth.items() if d <= max(math.sqrt(len(depth)) / 20, 1)}
        else:
            radius = math.ceil(math.sqrt(len(depth)) / 40)
            outline = np.array([p for p, d in depth.items() if d == 1])
            allowed = np.argwhere((labels == cell) | (labels == 0))
            near = ((allowed[:, None] - outline) ** 2).sum(axis=2).min(axis=1) <= radius**2
            boundary = set(map(tuple, allowed[near].tolist()))
        interior = set(depth) - boundary or {p for p, d in depth.items() if d == max(depth.values())}
        for p in boundary | set(depth):
            classes[p] = 1 if p in interior else 2
    return classes


def slow_distance_field(labels: np.ndarray, center: str, beta: float) -> np.ndarray:
    """Apply the definition pixel by pixel."""
    field = np.zeros(labels.shape)
    for cell in np.unique(labels[labels > 0]):
        pixels = [tuple(p) for p in np.argwhere(labels == cell)]
        if center == "paper":
            centroid = np.mean(pixels, axis=0)
            middle = min(pixels, key=lambda p: (round(math.dist(p, centroid), 9), p))
            gamma = {p: math.dist(p, middle) for p in pixels}
        else:
            depth = slow_distances(labels, cell)
            gamma = {p: max(depth.values()) - d for p, d in depth.items()}
        for p in pixels:
            field[p] = 1 / (1 + beta * gamma[p] / math.sqrt(len(pixels)))
    return field


# --- class map ----------------------------------------------------------------------------


def test_class_map_of_touching_cells_by_eye():
    labels = picture("""
        .........
        .1111222.
        .1111222.
        .1111222.
        .1111222.
        .........
        ......3..
        """)
    expected = picture("""
        .........
        .2222222.
        .2112212.
        .2112212.
        .2222222.
        .........
        ......1..
        """)
    np.testing.assert_array_equal(class_map(labels), expected)
    assert class_map(labels).dtype == np.uint8


def test_cells_too_small_for_a_boundary_keep_their_deepest_pixels():
    labels = picture("""
        .......
        .1.22..
        ...22..
        .3333..
        .......
        """)
    np.testing.assert_array_equal(class_map(labels), (labels > 0).astype(int))
    # a plus: only its centre is more than one pixel away from the outside
    plus = picture("""
        .....
        ..1..
        .111.
        ..1..
        .....
        """)
    expected = picture("""
        .....
        ..2..
        .212.
        ..2..
        .....
        """)
    np.testing.assert_array_equal(class_map(plus), expected)


def test_thickness_grows_with_the_square_root_of_the_size():
    # squares of side s: sqrt(S) / 20 = s / 20, so 59 gives 2.95 (two layers) and 60 gives 3 (three layers)
    for side, layers in ((8, 1), (39, 1), (40, 2), (59, 2), (60, 3)):
        labels = np.zeros((side + 2, side + 5), dtype=int)
        labels[1:-1, 2:-3] = 9
        inner = class_map(labels) == 1
        assert inner.sum() == (side - 2 * layers) ** 2, side


def test_image_edge_is_no_boundary():
    labels = picture("""
        1111.
        1111.
        1111.
        """)
    expected = picture("""
        1112.
        1112.
        1112.
        """)
    np.testing.assert_array_equal(class_map(labels), expected)
    np.testing.assert_array_equal(class_map(np.full((3, 4), 6)), np.ones((3, 4)))
    np.testing.assert_array_equal(class_map(np.full((3, 4), 6), "authors"), np.ones((3, 4)))


def test_authors_boundary_spills_into_background_but_not_into_cells():
    labels = picture("""
        .........
        .11111...
        .11111...
        .11111233
        .11111...
        .11111...
        .........
        """)
    # radius 1: the outermost layer, one layer inside and one outside, without corners; neither a neighbour's
    # boundary nor their own covers the cells 2 and 3
    expected = picture("""
        .22222...
        2222222..
        222222222
        222122111
        222222222
        2222222..
        .22222...
        """)
    np.testing.assert_array_equal(class_map(labels, "authors"), expected)


def test_authors_radius_grows_with_the_size():
    # squares of side s: ceil(s / 40) is 1 up to 40, then 2: one layer more inside, one ring more outside
    for side, radius in ((40, 1), (41, 2)):
        labels = np.zeros((side + 9, side + 6), dtype=int)
        labels[4 : 4 + side, 3 : 3 + side] = 1
        classes = class_map(labels, "authors")
        assert (classes == 1).sum() == (side - 2 * (1 + radius)) ** 2
        assert (classes[:4, 20] == 2).sum() == radius


@pytest.mark.parametrize("thickness", ["paper", "authors"])
@pytest.mark.parametrize("seed", range(4))
def test_class_map_equals_the_definition(seed, thickness):
    labels = random_labels(seed)
    np.testing.assert_array_equal(class_map(labels, thickness), slow_class_map(labels, thickness))


@pytest.mark.parametrize("seed", range(5))
def test_class_map_never_spills_and_every_cell_keeps_an_interior(seed):
    labels = random_labels(seed, (90, 70), cells=60)
    classes = class_map(labels)
    np.testing.assert_array_equal(classes > 0, labels > 0)
    for variant in (classes, class_map(labels, "authors")):
        assert set(np.unique(labels[variant == 1])) == set(np.unique(labels)) - {0}
        assert (labels[variant == 1] > 0).all()


def test_interiors_of_touching_cells_are_apart():
    # cells of at least 3 x 3 in a tight mosaic: no interior pixel has another cell's interior beside it
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((3, 5), dtype=int))
    inner = np.where(class_map(labels) == 1, labels, 0)
    for down, right in ((0, 1), (1, 0), (1, 1)):
        a, b = inner[: inner.shape[0] - down, : inner.shape[1] - right], inner[down:, right:]
        assert not ((a > 0) & (b > 0) & (a != b)).any()
    b, a = inner[:-1, 1:], inner[1:, :-1]
    assert not ((a > 0) & (b > 0) & (a != b)).any()


# --- distance field -----------------------------------------------------------------------


def test_distance_field_by_hand():
    # S = 4, alpha = 1/2; the centroid lies between two pixels, the left one is the centre
    row = distance_field(np.array([[0, 5, 5, 5, 5, 0]]))
    np.testing.assert_allclose(row, [[0, 1 / 1.5, 1, 1 / 1.5, 1 / 2, 0]], rtol=1e-6)
    assert row.dtype == np.float32
    # beta multiplies the distance
    row = distance_field(np.array([[0, 5, 5, 5, 5, 0]]), beta=4)
    np.testing.assert_allclose(row, [[0, 1 / 3, 1, 1 / 3, 1 / 5, 0]], rtol=1e-6)
    # 3 x 3: corners at sqrt(2), edges at 1, alpha = 1/3
    edge, corner = 1 / (1 + 1 / 3), 1 / (1 + math.sqrt(2) / 3)
    square = np.zeros((5, 6), dtype=int)
    square[1:4, 2:5] = 1
    expected = [[corner, edge, corner], [edge, 1, edge], [corner, edge, corner]]
    np.testing.assert_allclose(distance_field(square)[1:4, 2:5], expected, rtol=1e-6)
    # the authors' variant: depth is 1 on the rim and 2 in the middle, so gamma is 1 and 0
    expected = [[edge, edge, edge], [edge, 1, edge], [edge, edge, edge]]
    np.testing.assert_allclose(distance_field(square, center="authors")[1:4, 2:5], expected, rtol=1e-6)


def test_centre_lies_inside_a_ring():
    ring = picture("""
        .....
        .111.
        .1.1.
        .111.
        .....
        """)
    # the centroid is the hole; (1, 2) is the first of its four nearest ring pixels in reading order
    field = distance_field(ring)
    assert np.argwhere(field == 1).tolist() == [[1, 2]]
    assert field[2, 2] == 0


def test_a_cell_that_fills_the_image():
    full = np.full((4, 7), 3)
    assert (distance_field(full, center="authors") == 1).all()
    assert np.argwhere(distance_field(full) == 1).tolist() == [[1, 3]]


def test_a_cell_of_one_pixel_is_one():
    for shape in ((1, 1), (1, 6), (5, 1), (4, 6)):
        labels = np.zeros(shape, dtype=int)
        labels[-1, 0] = 12
        for center in ("paper", "authors"):
            classes, distance = make_targets(labels, center=center)
            assert classes[-1, 0] == 1
            assert distance[-1, 0] == 1
            assert classes.sum() == 1
            assert distance.sum() == 1


@pytest.mark.parametrize("center", ["paper", "authors"])
@pytest.mark.parametrize("seed", range(4))
def test_distance_field_equals_the_definition(seed, center):
    labels = random_labels(seed)
    field = distance_field(labels, center, beta=1.7)
    np.testing.assert_allclose(field, slow_distance_field(labels, center, 1.7), rtol=2e-6, atol=1e-7)
    assert (field[labels == 0] == 0).all()
    assert (field[labels > 0] > 0).all()
    assert [field[labels == i].max() for i in np.unique(labels)[1:]] == [1.0] * (len(np.unique(labels)) - 1)


# --- both ---------------------------------------------------------------------------------

VARIANTS = [("paper", "paper"), ("authors", "authors")]


@pytest.mark.parametrize(("boundary", "center"), VARIANTS)
def test_targets_do_not_depend_on_ids(boundary, center):
    labels = random_labels(11, (60, 80), cells=40)
    expected = make_targets(labels, boundary=boundary, center=center)
    ids = np.unique(labels[labels > 0])
    rng = np.random.default_rng(0)
    numberings = {
        "reversed": ids[::-1],
        "shuffled": rng.permutation(ids),
        "above 32,767 and 65,535": ids + 40_000,
        "above 5,000": ids + 5_000,
        "with gaps": ids * 977,
        "huge": 2**31 - 1 - ids.astype(np.int64),
        "huge and small": np.where(ids % 2, ids, 2**31 - 1 - ids.astype(np.int64)),
    }
    for name, new in numberings.items():
        table = np.zeros(ids.max() + 1, dtype=np.int64)
        table[ids] = new
        got = make_targets(table[labels], boundary=boundary, center=center)
        np.testing.assert_array_equal(got.classes, expected.classes, err_msg=name)
        np.testing.assert_array_equal(got.distance, expected.distance, err_msg=name)


def test_ids_without_background():
    labels = np.kron([[1, 2], [3, 1]], np.ones((5, 7), dtype=int))
    expected = make_targets(labels)
    assert (expected.classes > 0).all()
    for more in (5, 500, 2**30):
        got = make_targets(labels + more)
        np.testing.assert_array_equal(got.classes, expected.classes)
        np.testing.assert_array_equal(got.distance, expected.distance)


@pytest.mark.parametrize(("boundary", "center"), VARIANTS)
def test_targets_turn_with_the_image(boundary, center):
    # an odd ellipse has a unique centre, so that no tie is broken differently
    rows, cols = np.mgrid[:31, :44]
    labels = np.where((rows - 14) ** 2 / 49 + (cols - 20) ** 2 / 120 <= 1, 5, 0)
    labels[:4, :9] = 8
    targets = make_targets(labels, boundary=boundary, center=center)
    turned = make_targets(labels.T, boundary=boundary, center=center)
    np.testing.assert_array_equal(turned.classes.T, targets.classes)
    cell = labels == 5
    np.testing.assert_allclose(turned.distance.T[cell], targets.distance[cell], rtol=1e-6)


@pytest.mark.parametrize(("boundary", "center"), VARIANTS)
def test_empty_map(boundary, center):
    targets = make_targets(np.zeros((6, 9), dtype=np.uint16), boundary=boundary, center=center)
    assert isinstance(targets, Targets)
    assert targets.classes.shape == targets.distance.shape == (6, 9)
    assert not targets.classes.any()
    assert not targets.distance.any()


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64]
)
def test_label_types(dtype):
    labels = random_labels(3)
    expected, got = make_targets(labels), make_targets(labels.astype(dtype))
    np.testing.assert_array_equal(got.classes, expected.classes)
    np.testing.assert_array_equal(got.distance, expected.distance)
    assert got.classes.dtype == np.uint8
    assert got.distance.dtype == np.float32


def test_input_is_left_alone_and_may_be_read_only():
    labels = random_labels(5)
    before = labels.copy()
    labels.flags.writeable = False
    make_targets(labels, boundary="authors", center="authors")
    make_targets(labels[::2, ::-1].T)
    np.testing.assert_array_equal(labels, before)


def test_parts_agree_with_the_whole():
    labels = random_labels(6)
    targets = make_targets(labels, boundary="authors", center="authors", beta=2)
    np.testing.assert_array_equal(targets.classes, class_map(labels, "authors"))
    np.testing.assert_array_equal(targets.distance, distance_field(labels, "authors", 2))


@pytest.mark.parametrize("call", [make_targets, class_map, distance_field])
def test_masks_are_refused(call):
    mask = picture("""
        .11...
        .11.1.
        ....1.
        """)
    for bad in (mask, mask.astype(bool), mask * 255, mask + 0.5, -mask):
        with pytest.raises(LabelError):
            call(bad)


def test_unknown_choices_are_refused():
    labels = np.zeros((2, 3), dtype=int)
    with pytest.raises(ValueError, match="boundary='thick' must be one of paper, authors"):
        class_map(labels, "thick")
    with pytest.raises(ValueError, match="center='middle' must be one of paper, authors"):
        distance_field(labels, "middle")
    for beta in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta=.* must be a number above 0"):
            make_targets(labels, beta=beta)


def test_targets_of_real_cells(cells_folder):
    for path in sorted((cells_folder / "labels").iterdir())[::97]:
        labels = read_labels(path)
        for boundary, center in VARIANTS:
            classes, distance = make_targets(labels, boundary=boundary, center=center)
            assert set(np.unique(labels[classes == 1])) == set(np.unique(labels[labels > 0]))
            assert np.isfinite(distance).all()
            np.testing.assert_array_equal(distance > 0, labels > 0)


# --- normalize ----------------------------------------------------------------------------


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map [low, high] to [0.01, 0.99] and clip, in float64."""
    return np.clip(0.01 + 0.98 * (np.asarray(values, dtype=np.float64) - low) / (high - low), 0.01, 0.99)


def test_percentiles_of_nonzero_pixels_by_hand():
    # non-zero values 1 … 101: the 1st percentile is 2, the 99th is 100; zeros do not count
    image = np.zeros((2, 101), dtype=np.uint8)
    image[1] = np.arange(1, 102)
    out = normalize(image)
    assert out.shape == (2, 101, 3)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[..., 0], scaled(image, 2, 100), atol=1e-6)
    assert out[0, 0, 0] == np.float32(0.01)
    assert out[1, 99, 0] == out[1, 100, 0] == np.float32(0.99)


def test_minimum_to_maximum_of_the_paper_keeps_hues():
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    image[0, 1] = 200, 100, 0
    np.testing.assert_allclose(normalize(image, "paper")[0, 1], [0.99, 0.5, 0.01], atol=1e-6)
    np.testing.assert_allclose(normalize(image, "paper")[0, 0], 0.01, atol=1e-6)


@pytest.mark.parametrize(
    "dtype",
    [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]
    + [np.float16, np.float32, np.float64, ">u2", ">f4"],
)
@pytest.mark.parametrize("method", ["authors", "paper"])
def test_every_number_type_gives_the_same(dtype, method):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 120, size=(9, 13)) * (rng.random((9, 13)) > 0.3)
    low, high = np.percentile(values[values > 0], (1, 99)) if method == "authors" else (0, values.max())
    out = normalize(values.astype(dtype), method)
    np.testing.assert_allclose(
        out[..., 2], scaled(values, low, high), atol=2e-3 if dtype == np.float16 else 1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("pixels", [1, 2, 3, 7, 50, 999])
def test_histogram_gives_numpys_percentiles(dtype, pixels):
    rng = np.random.default_rng(pixels)
    values = rng.integers(0, np.iinfo(dtype).max, size=(1, pixels), endpoint=True)
    np.testing.assert_allclose(
        normalize(values.astype(dtype)), normalize(values.astype(np.float64)), atol=1e-6
    )


@pytest.mark.parametrize("method", ["authors", "paper"])
def test_number_of_channels(method):
    rng = np.random.default_rng(2)
    image = rng.integers(1, 200, size=(5, 8, 4), dtype=np.uint8)
    grey = normalize(image[..., 0], method)
    for c in range(3):
        np.testing.assert_array_equal(grey[..., c], grey[..., 0])
    np.testing.assert_array_equal(normalize(image[..., :1], method), grey)
    two, three = normalize(image[..., :2], method), normalize(image[..., :3], method)
    assert (two[..., 2] == np.float32(0.01)).all()
    np.testing.assert_array_equal(normalize(image, method), three)
    assert two.shape == three.shape == (5, 8, 3)
    if method == "authors":
        np.testing.assert_array_equal(two[..., :2], three[..., :2])


@pytest.mark.parametrize("method", ["authors", "paper"])
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_constant_images(value, dtype, method):
    assert (normalize(np.full((3, 5), value, dtype=dtype), method) == np.float32(0.01)).all()


def test_constant_channel_beside_others():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[..., 0] = np.arange(24).reshape(4, 6)
    image[..., 1] = 9
    out = normalize(image, "authors")
    assert (out[..., 1:] == np.float32(0.01)).all()
    assert out[..., 0].max() == np.float32(0.99)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_equal_percentiles_fall_back_to_the_range(dtype):
    # a bilevel picture: all non-zero pixels are equal
    image = np.array([[0, 255, 0], [255, 0, 0]], dtype=dtype)
    np.testing.assert_allclose(normalize(image)[..., 0], np.where(image > 0, 0.99, 0.01), atol=1e-6)
    # a few hot pixels among equal ones, and a single non-zero pixel
    image = np.full((20, 30), 5, dtype=dtype)
    image[3, 4] = 105
    out = normalize(image)[..., 0]
    assert (out[0, 0], out[3, 4]) == (np.float32(0.01), np.float32(0.99))
    image = np.zeros((20, 30), dtype=dtype)
    image[3, 4] = 1
    out = normalize(image)[..., 0]
    assert (out[0, 0], out[3, 4]) == (np.float32(0.01), np.float32(0.99))


def test_nan_counts_as_black():
    image = np.array([[np.nan, 1.0, 2.0, 3.0], [0.0, 4.0, np.nan, 5.0]], dtype=np.float32)
    before = image.copy()
    np.testing.assert_array_equal(normalize(image), normalize(np.nan_to_num(image)))
    np.testing.assert_array_equal(image, before)
    assert (normalize(np.full((2, 3), np.nan)) == np.float32(0.01)).all()


@pytest.mark.parametrize("method", ["authors", "paper"])
@pytest.mark.parametrize(
    "image",
    [
        np.array([[-5.0, 0.0, 5.0]]),
        np.array([[0.0, 1e-320, 5e-320]]),
        np.array([[-3e38, 0.0, 3e38]]),
        np.array([[-3e38, 3e38]], dtype=np.float32),
        np.array([[-(2**63), 0, 2**63 - 1]]),
        np.array([[0, 1, 2**64 - 1]], dtype=np.uint64),
        np.array([[1e6, 1e6 + 0.5, 1e6 + 1]]),
    ],
    ids=["negative", "tiny", "huge", "huge float32", "int64", "uint64", "offset"],
)
def test_extreme_values_stay_in_range(image, method):
    out = normalize(image, method)
    assert out.min() == np.float32(0.01)
    assert out.max() == np.float32(0.99)
    assert (np.diff(out[0, :, 0]) >= 0).all()


@pytest.mark.parametrize("method", ["authors", "paper"])
@pytest.mark.parametrize(
    ("dtype", "start"), [(np.int64, 2**62), (np.int64, -(2**62)), (np.uint64, 2**64 - 16)]
)
def test_integers_that_are_one_float_are_constant(dtype, start, method):
    image = np.full((5, 6), start, dtype) + np.arange(6).astype(dtype)
    assert image.min() < image.max()
    assert (normalize(image, method) == np.float32(0.01)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 1, 3), (2, 3, 4)])
def test_small_shapes(shape):
    image = np.arange(math.prod(shape), dtype=np.uint16).reshape(shape)
    out = normalize(image)
    assert out.shape == (*shape[:2], 3)
    assert ((out >= np.float32(0.01)) & (out <= np.float32(0.99))).all()


def test_strips_meet():
    # large enough to be scaled in several strips
    image = np.arange(1100 * 1000, dtype=np.float32).reshape(1100, 1000) + 1
    low, high = np.percentile(image, (1, 99))
    np.testing.assert_allclose(normalize(image)[..., 1], scaled(image, low, high), atol=1e-5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 40, 50)), r"channels come first.*np\.moveaxis\(image, 0, -1\)"),
        (np.zeros((1, 40, 50)), "channels come first"),
        (np.zeros((40, 50, 5)), "5 channels"),
        (np.zeros((2, 3, 40, 50)), r"expected \(H, W\) or \(H, W, C\)"),
        (np.zeros(7), r"shape \(7,\)"),
        (np.zeros((0, 5)), "no pixels"),
        (np.zeros((4, 5, 0)), "no pixels"),
        (np.ones((2, 3), dtype=bool), "boolean"),
        (np.ones((2, 3), dtype=complex), "complex128"),
        (np.array([["a", "b"]]), "expected integers"),
        (np.array([[1.0, np.inf]]), "infinite"),
        (np.array([[1.0, -np.inf]]), "infinite"),
        (np.array([[1.0, np.inf]], dtype=np.float16), "infinite"),
        (np.array([[1.0, -1e300]]), "beyond the range of float32"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ImageError, match=message):
        normalize(image)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method is 'minmax'"):
        normalize(np.zeros((2, 2)), "minmax")


def test_normalize_real_images(cells_folder):
    for path in sorted((cells_folder / "images").iterdir())[::60]:
        image = read_image(path)
        out = normalize(image)
        assert out.shape == (*image.shape[:2], 3)
        assert out.min() >= np.float32(0.01)
        assert out.max() == np.float32(0.99)


def test_touching_cells_with_gaps_by_eye():
    classes = class_map(np.array([[0, 5, 5, 5, 9, 9, 0]]), lambda size: size / 3)
    assert classes.tolist() == [[0, 2, 1, 2, 1, 1, 0]]  # a pair is deepest everywhere, and interior


@pytest.mark.parametrize(("side", "interior"), [(30, 22**2), (8, 4), (7, 1)])
def test_constant_thickness_leaves_a_small_cell_its_deepest_pixels(side, interior):
    cell = np.pad(np.ones((side, side), int), 3)
    assert (class_map(cell, lambda size: 4) == 1).sum() == interior
