"""The four steps on maps that the eye can check, what holds for all maps, and perfect maps."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import local_minima
from skimage.segmentation import find_boundaries, watershed

from maunet_lite.data import read_labels
from maunet_lite.evaluation.metrics import match_cells
from maunet_lite.postprocessing.config import PostprocessConfig
from maunet_lite.postprocessing.maps import Maps, interior_distance
from maunet_lite.postprocessing.run_lengths import Runs, label_components, number_in_reading_order
from maunet_lite.postprocessing.segment import Segmentation, connected_interiors, segment
from maunet_lite.postprocessing.steps import (
    blur_distance,
    grow_cells,
    make_relief,
    mark_peaks,
    mark_skeletons,
    mean_cell_width,
    threshold_maps,
)
from maunet_lite.postprocessing.watershed import flood
from maunet_lite.preprocessing.targets import make_targets

STEPS = [
    "foreground",
    "interior",
    "blurred_distance",
    "skeleton_markers",
    "P1",
    "peak_markers",
    "P2",
    "union_markers",
    "P3",
    "final",
]
NAMES = ("default", "paper", "authors", "none")
EIGHT = np.ones((3, 3))
PLAIN = PostprocessConfig(blur=0, relief="flat", sure_interior=0, min_size=0, keep_unmarked=False)


def picture(*rows: str) -> np.ndarray:
    """Labels from rows of digits, a dot for background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], dtype=np.int32)


def two_classes(interior: np.ndarray, distance: np.ndarray | None = None) -> Maps:
    """Maps without a boundary class: interior as given, background the rest."""
    interior = interior.astype(np.float32)
    return Maps(np.stack([1 - interior, interior]), distance)


def perfect(labels: np.ndarray) -> Maps:
    """Return what a network without any error says of these cells."""
    classes, distance = make_targets(labels)
    return Maps(np.stack([classes == k for k in range(3)]).astype(np.float32), distance)


def touching_ellipses(seed: int, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Whole ellipses of up to tenfold different area, hidden by another for a twentieth at most."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    rows, columns = np.indices(shape)
    for label in range(1, cells + 1):
        major = rng.uniform(4, 9)
        minor, angle = major * rng.uniform(0.6, 1), rng.uniform(0, np.pi)
        down = rows - rng.uniform(major, max(shape[0] - major, major + 1))
        right = columns - rng.uniform(major, max(shape[1] - major, major + 1))
        along = down * np.cos(angle) + right * np.sin(angle)
        across = right * np.cos(angle) - down * np.sin(angle)
        ellipse = (along / major) ** 2 + (across / minor) ** 2 <= 1
        free = ellipse & (labels == 0)
        if free.sum() >= 0.95 * ellipse.sum() > 0 and ndimage.label(free)[1] == 1:
            labels[free] = label
    return labels


def random_maps(seed: int, shape: tuple[int, int], channels: int = 3, smooth: float = 1.0) -> Maps:
    """Maps of no cells in particular, with all that a network could never say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(channels, *shape)) * 4
    logits = np.stack([cv2.GaussianBlur(channel, (0, 0), smooth) for channel in logits]) * 3
    odds = np.exp(logits)
    distance = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), smooth) + 0.5
    return Maps((odds / odds.sum(axis=0)).astype(np.float32), distance.astype(np.float32))


def assert_sound(labels: np.ndarray) -> None:
    """Labels 1 … N in reading order, each one 8-connected piece."""
    assert labels.dtype == np.int32
    ids, first = np.unique(labels, return_index=True)
    first = first[ids > 0]
    assert ids[ids > 0].tolist() == list(range(1, first.size + 1))
    assert (np.diff(first) > 0).all()
    for label in ids[ids > 0]:
        assert ndimage.label(labels == label, EIGHT)[1] == 1


# --- runs ---------------------------------------------------------------------------------------------------


def test_runs_end_with_their_row_and_paint_the_map_again():
    labels = picture("1.22", "2211")
    runs = Runs.of(labels)
    assert runs.length.tolist() == [1, 1, 2, 2, 2]
    assert runs.areas(3).tolist() == [1, 3, 4, 0]
    assert runs.first_pixels(3).tolist() == [1, 0, 2, -1]
    assert np.array_equal(runs.painted(np.array([0, 10, 20]), labels.shape), labels * 10)


def test_reading_order_ignores_ids_and_gaps_and_drops_what_is_small():
    labels = np.array([[0, 70_000, 70_000], [5, 70_000, 0]], dtype=np.int32)
    assert np.array_equal(number_in_reading_order(labels), picture(".11", "21."))
    # areas 3 and 1, mean 2
    assert np.array_equal(number_in_reading_order(labels, min_size=0.5), picture(".11", "21."))
    assert np.array_equal(number_in_reading_order(labels, min_size=0.6), picture(".11", ".1."))


# --- flooding -----------------------------------------------------------------------------------------------


def test_flood_fills_components_with_one_marker_and_leaves_those_with_none():
    markers = picture("2....", ".....", ".....")
    mask = picture("11.11", "1..11", ".1...") > 0  # the lone pixel below hangs on by a corner
    assert np.array_equal(flood(markers, mask), picture("22...", "2....", ".2..."))
    assert np.array_equal(flood(markers, mask, adopt=True), picture("22.33", "2..33", ".2..."))


def test_flat_flood_parts_a_bar_half_way():
    labels = flood(picture("1.....2"), np.ones((1, 7), dtype=bool))
    assert labels[:, :3].tolist() == [[1, 1, 1]]  # the pixel in the middle is as near to one as to the other
    assert labels[:, 4:].tolist() == [[2, 2, 2]]


def test_flood_goes_round_what_is_not_in_the_mask():
    # Marker 2 is nearer as the crow flies, but not on a way through the mask.
    markers = picture("1....", ".....", ".....", "2....")
    mask = picture("11111", "....1", "11111", "1....") > 0
    expected = picture("11111", "....1", "22221", "2....")
    flooded = flood(markers, mask)
    assert np.array_equal(flooded[:, :4], expected[:, :4])  # the two meet somewhere in the last column
    assert flooded[0, 4] == 1


@pytest.mark.parametrize("margin", [0, 3])
def test_flood_on_heights_meets_on_the_ridge(margin):
    markers = picture("1......2")
    heights = np.array([[0, 1, 9, 1, 1, 1, 1, 0]], dtype=np.uint8)
    mask = np.ones((1, 8), dtype=bool)
    markers, mask, heights = (np.pad(array, margin) for array in (markers, mask, heights))
    labels = flood(markers, mask, heights)[mask]
    assert labels[:2].tolist() == [1, 1]
    assert labels[3:].tolist() == [2, 2, 2, 2, 2]


@pytest.mark.parametrize("seed", range(60))
def test_flood_keeps_markers_fills_components_and_tears_nothing(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    field = rng.random(shape)
    if seed % 2:
        field = ndimage.gaussian_filter(field, 1.5)
    mask = field < np.quantile(field, rng.uniform(0.3, 0.95))
    markers, n = label_components(mask & (rng.random(shape) < rng.choice([0.01, 0.1, 0.4])))
    heights = None if seed % 3 else rng.integers(0, 255, shape, dtype=np.uint8)
    labels = flood(markers, mask, heights)
    components, _ = ndimage.label(mask, EIGHT)
    inhabited = np.isin(components, np.unique(components[markers > 0])) & mask
    assert np.array_equal(labels > 0, inhabited)
    assert np.array_equal(labels[markers > 0], markers[markers > 0])
    for label in range(1, n + 1):
        assert ndimage.label(labels == label, EIGHT)[1] == 1


def test_flood_agrees_with_scikit_image_but_for_the_ridges():
    field = cv2.GaussianBlur(np.random.default_rng(0).random((200, 300)), (0, 0), 4)
    heights = ((field - field.min()) / np.ptp(field) * 254).astype(np.uint8)
    markers, n = label_components(local_minima(heights))
    assert n > 150
    mask = heights < 200
    reference = watershed(heights, markers, mask=mask, connectivity=2)
    differs = flood(markers * mask, mask, heights) != reference
    assert differs[mask].mean() < 0.07
    ridges = find_boundaries(reference, connectivity=2)
    assert not differs[~ndimage.binary_dilation(ridges, EIGHT, iterations=3)].any()


def test_flood_takes_components_that_are_labelled_already():
    markers, mask = picture("1..2", "....", "3..."), picture("1111", "....", "1...") > 0
    assert np.array_equal(flood(markers, label_components(mask)[0]), flood(markers, mask))


# --- the four steps -----------------------------------------------------------------------------------------


def test_step_1_thresholds_and_wants_every_piece_to_be_sure_once():
    background = np.array([[0.0, 0.1, 0.3, 0.2, 0.2, 0.0]])
    interior = np.array([[0.95, 0.8, 0.7, 0.75, 0.6, 0.9]])
    maps = Maps(np.stack([background, interior]).astype(np.float32), None)
    config = PostprocessConfig(foreground=0.3, interior=0.7, sure_interior=0)
    foreground, inside = threshold_maps(maps, config)
    assert foreground.tolist() == [[True, True, False, True, True, True]]  # strictly below 0.3
    assert inside.tolist() == [[True, True, False, True, False, True]]  # strictly above 0.7
    _, inside = threshold_maps(maps, replace(config, sure_interior=0.85))
    assert inside.tolist() == [[True, True, False, False, False, True]]
    _, inside = threshold_maps(maps, replace(config, min_interior=2))
    assert inside.tolist() == [[True, True, False, False, False, False]]


def test_step_2_floods_from_the_skeletons_and_leaves_the_rest():
    distance = np.array([[0.7, 0.9, 0.7, 0.9, 0.7, 0.0, 0.7, 0.7]], dtype=np.float32)
    pieces = label_components(distance > 0)[0]
    markers, p1 = mark_skeletons(distance, pieces, None, PLAIN)
    assert np.array_equal(markers, picture(".1.2...."))
    assert p1[0, [0, 1, 3, 4, 5, 6, 7]].tolist() == [1, 1, 2, 2, 0, 0, 0]
    assert p1[0, 2] in (1, 2)
    # relative to the maximum, 0.9, all of it is skeleton from 0.7 / 0.9 = 0.78 on
    markers, _ = mark_skeletons(distance, pieces, None, replace(PLAIN, skeleton=0.75, skeleton_relative=True))
    assert np.array_equal(markers > 0, pieces > 0)


def test_step_3_marks_the_highest_pixel_of_what_is_uncovered():
    blurred = np.array([[0.9, 0.9, 0.0, 0.6, 0.7, 0.6, 0.0, 0.5, 0.4]], dtype=np.float32)
    pieces = picture("11.222.33")
    p1 = picture("11.......")
    config = replace(PLAIN, peak_height=0.6)  # at least 0.54
    markers, p2 = mark_peaks(blurred, pieces, p1, None, 4.0, config)
    assert np.array_equal(markers > 0, picture("....1....") > 0)
    assert np.array_equal(p2, picture("...222..."))
    _, p2 = mark_peaks(blurred, pieces, p1, None, 4.0, replace(config, keep_unmarked=True))
    assert np.array_equal(number_in_reading_order(p2), picture("...111.22"))
    assert p2[p2 > 0].min() > p1.max()


@pytest.mark.parametrize(("distance", "peaks"), [(0.25, 2), (0.75, 1)])
def test_step_3_keeps_one_of_two_near_peaks(distance, peaks):
    # equal peaks five pixels apart; cells are eight pixels wide, so that the reach is two or six pixels
    blurred = np.array([[0.5, 0.7, 0.5, 0.5, 0.5, 0.5, 0.7, 0.5]], dtype=np.float32)
    config = replace(PLAIN, peak_distance=distance)
    markers, p2 = mark_peaks(blurred, picture("11111111"), picture("........"), None, 8.0, config)
    assert np.count_nonzero(markers) == peaks
    assert np.unique(p2).size == peaks


def test_step_4_grows_into_the_foreground_and_drops_small_and_unmarked():
    p1, p2 = picture(".1......", "........"), picture("....2...", "........")
    foreground = picture("111111.1", "111111.1") > 0
    union, p3, final = grow_cells(p1, p2, foreground, None, PLAIN)
    assert np.array_equal(union, picture(".1..2...", "........"))
    assert set(np.unique(p3[:, :2])) == {1}
    assert set(np.unique(p3[:, 4:6])) == {2}
    assert not p3[:, 6:].any()  # no marker there
    assert np.array_equal(final, p3)
    lopsided = flood(picture("1......2"), picture("111111.1") > 0)  # areas 6 and 1, mean 3.5
    assert grow_cells(lopsided, lopsided * 0, lopsided > 0, None, PLAIN).final.max() == 2
    assert (
        grow_cells(lopsided, lopsided * 0, lopsided > 0, None, replace(PLAIN, min_size=0.3)).final.max() == 1
    )


def test_blur_is_as_wide_as_a_cell_and_sees_nothing_beyond_the_edge():
    impulse = np.zeros((21, 21), dtype=np.float32)
    impulse[10, 10] = 1
    assert np.array_equal(blur_distance(impulse, 0.0, PLAIN), impulse)
    blurred = blur_distance(impulse, 9.0, replace(PLAIN, blur=1.0))
    assert blurred.sum() == pytest.approx(1)
    assert np.flatnonzero(blurred.any(axis=0)).tolist() == list(range(6, 15))  # a window of nine pixels
    flat = blur_distance(np.ones((21, 21), dtype=np.float32), 9.0, replace(PLAIN, blur=1.0))
    assert flat[10, 10] == pytest.approx(1)
    assert flat[10, 0] < 0.7


def test_mean_width_of_nothing_is_zero():
    assert mean_cell_width(picture("....")) == 0


def test_relief_is_flat_on_request_and_where_there_is_no_distance():
    field = np.array([[-1.0, 0.0, 0.5, 1.0]], dtype=np.float32)
    assert make_relief(field, PostprocessConfig(relief="distance")).tolist() == [[254, 254, 127, 0]]
    assert make_relief(field, PostprocessConfig(relief="flat")) is None
    assert make_relief(0 * field, PostprocessConfig(relief="distance")) is None


def test_distance_made_from_the_interior_has_a_height_in_every_piece():
    pieces = picture("......", ".111..", ".111.2", ".111..", "......")
    field = interior_distance(pieces)
    assert field.dtype == np.float32
    assert field[2, 2] == field[2, 5] == 1
    assert not field[pieces == 0].any()
    assert field[1, 1] == pytest.approx(1 / (1 + (2 - 1) / 3))  # one step from the ridge, nine pixels


# --- segment ------------------------------------------------------------------------------------------------


def test_steps_are_all_there_with_their_names_and_types():
    maps = perfect(touching_ellipses(0, (60, 80), 12))
    labels, steps = segment(maps)
    assert list(steps) == [STEPS[0], STEPS[1], *STEPS[2:]]
    assert all(array.shape == (60, 80) for array in steps.values())
    assert [steps[name].dtype for name in STEPS] == [bool, bool, np.float32] + [np.int32] * 7
    assert steps["final"] is labels
    p1, p2 = steps["P1"], steps["P2"]
    assert not ((p1 > 0) & (p2 > 0)).any()
    assert np.array_equal(p1 + p2, steps["union_markers"])
    assert not (steps["interior"] & ~steps["foreground"]).any()
    assert not (labels[~steps["foreground"]]).any()


def test_steps_need_not_be_kept():
    maps = random_maps(0, (60, 80))
    for name in NAMES:
        kept, dropped = segment(maps, name), segment(maps, name, keep_steps=False)
        assert dropped.steps == {}
        assert np.array_equal(kept.labels, dropped.labels)


def test_input_is_left_alone_and_may_be_read_only_in_any_order_and_type():
    maps = random_maps(1, (40, 60))
    before = [array.copy() for array in maps]
    for array in maps:
        array.flags.writeable = False
    labels = segment(maps).labels
    assert all(np.array_equal(array, copy) for array, copy in zip(maps, before, strict=True))
    assert labels.flags.writeable
    odd = Maps(np.asfortranarray(maps.probabilities.astype(np.float64)), np.asfortranarray(maps.distance))
    assert np.array_equal(segment(odd).labels, labels)
    mirrored = Maps(maps.probabilities[..., ::-1], maps.distance[:, ::-1])
    assert_sound(segment(mirrored).labels)


def test_settings_by_name():
    assert PostprocessConfig.named("default") == PostprocessConfig()
    paper, authors = PostprocessConfig.named("paper"), PostprocessConfig.named("authors")
    assert (paper.foreground, paper.interior, paper.skeleton) == (0.3, 0.7, 0.8)
    assert (authors.skeleton, authors.skeleton_relative, authors.min_interior) == (0.85, True, 16)
    assert paper.relief == authors.relief == "flat"
    assert not PostprocessConfig.named("none").refine
    maps = random_maps(2, (50, 50))
    for name in NAMES:
        assert np.array_equal(segment(maps, name).labels, segment(maps, PostprocessConfig.named(name)).labels)


def test_without_post_processing_means_connected_interiors():
    maps = random_maps(3, (50, 70), channels=4)
    labels, steps = segment(maps, "none")
    assert np.array_equal(labels, connected_interiors(maps))
    assert list(steps) == ["final"]
    interior = maps.probabilities[:3].argmax(axis=0) == 1
    reference, n = ndimage.label(interior, EIGHT)
    assert n > 3
    assert match_cells(reference, labels, iou=1.0, border=0).f1 == 1
    assert_sound(labels)


def test_the_proxy_is_never_a_class():
    # background, interior, boundary, proxy: the proxy is the most probable, the interior the next
    maps = Maps(np.array([0.1, 0.3, 0.2, 0.4], dtype=np.float32).reshape(4, 1, 1), None)
    assert connected_interiors(maps).tolist() == [[1]]
    assert connected_interiors(Maps(maps.probabilities[[1, 0, 2, 3]], None)).tolist() == [[0]]
    assert connected_interiors(Maps(maps.probabilities[[0, 2, 1, 3]], None)).tolist() == [[0]]


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("with_distance", [True, False])
def test_any_number_of_classes_with_and_without_distance(channels, name, with_distance):
    maps = random_maps(channels, (70, 50), channels, smooth=2)
    labels = segment(maps if with_distance else Maps(maps.probabilities, None), name).labels
    assert labels.max() > 0
    assert_sound(labels)


def test_touching_cells_are_parted_without_distance_and_without_boundary():
    rows, columns = np.indices((30, 50))
    disks = [(rows - 15) ** 2 + (columns - c) ** 2 <= 144 for c in (14, 35)]
    assert ndimage.label(disks[0] | disks[1])[1] == 1
    labels = segment(two_classes(disks[0] | disks[1])).labels
    assert match_cells(disks[0] + 2 * (disks[1] & ~disks[0]), labels, border=0).f1 == 1


# --- edge cases ---------------------------------------------------------------------------------------------


def test_nan_in_any_map_counts_as_background():
    maps = perfect(np.pad(np.ones((8, 8), dtype=np.int32), 2))
    assert segment(maps).labels.max() == 1
    clean = Maps(maps.probabilities.copy(), maps.distance.copy())
    clean.probabilities[:, 4, 6:8] = [[1, 1], [0, 0], [0, 0]]
    clean.distance[4, 6:8] = 0
    expected = segment(clean).labels
    for layer in range(4):
        holed = Maps(maps.probabilities.copy(), maps.distance.copy())
        target = holed.distance if layer == 3 else holed.probabilities[layer]
        target[4, 6:8] = np.nan, np.inf
        assert np.array_equal(segment(holed).labels, expected)
        assert connected_interiors(holed)[4, 6] == 0
    all_missing = Maps(np.full((3, 5, 7), np.nan, dtype=np.float32), None)
    for name in NAMES:
        assert not segment(all_missing, name).labels.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 50)])
@pytest.mark.parametrize("background", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("level", [None, 0.0, 0.5, 1.0, 3.0])
def test_constant_maps_are_one_cell_or_none(name, shape, background, level):
    probabilities = np.stack([np.full(shape, background), np.full(shape, 1 - background)]).astype(np.float32)
    distance = None if level is None else np.full(shape, level, dtype=np.float32)
    labels = segment(Maps(probabilities, distance), name).labels
    assert labels.shape == shape
    assert labels.min() == labels.max() <= 1
    if background == 1:
        assert not labels.any()
    if background == 0 and name in ("default", "none"):
        assert labels.all()


def test_foreground_that_is_nowhere_sure_has_no_cells():
    maps = Maps(np.full((3, 6, 6), 1 / 3, dtype=np.float32), np.ones((6, 6), dtype=np.float32))
    for name in NAMES:
        assert not segment(maps, name).labels.any()
    nothing = Maps(np.zeros((3, 6, 6), dtype=np.float32), np.zeros((6, 6), dtype=np.float32))
    assert not segment(nothing).labels.any()


def test_maps_that_make_no_sense_are_refused():
    good = np.full((3, 4, 5), 1 / 3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        segment(Maps(good, np.zeros((5, 4), dtype=np.float32)))
    for shape in ((4, 5), (1, 4, 5), (5, 4, 5), (4, 5, 3, 1), (3, 0, 5)):
        with pytest.raises(ValueError, match="expected"):
            segment(Maps(np.zeros(shape, dtype=np.float32), None))
    with pytest.raises(ValueError, match="softmax"):
        segment(Maps(np.log(good), None))
    with pytest.raises(ValueError, match="default, paper, authors, none"):
        segment(Maps(good, None), "papr")
    own = PostprocessConfig(skeleton=0.5)
    assert PostprocessConfig.named(own) is own


@pytest.mark.parametrize(
    "change",
    [{"foreground": 1.2}, {"min_size": -0.1}, {"blur": -1}, {"relief": "round"}, {"peak_distance": np.nan}],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        PostprocessConfig(**change)


def test_every_setting_is_documented():
    for field in fields(PostprocessConfig):
        assert f"\n    {field.name} : " in PostprocessConfig.__doc__


# --- what holds for all maps --------------------------------------------------------------------------------

small_shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, shape=small_shapes, smooth=st.sampled_from([0.4, 1.0, 2.5]), name=st.sampled_from(NAMES))
def test_labels_are_in_order_and_in_one_piece(seed, shape, smooth, name):
    assert_sound(segment(random_maps(seed, shape, smooth=smooth), name).labels)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, shape=st.tuples(st.integers(24, 90), st.integers(24, 90)), cells=st.integers(1, 16))
def test_perfect_maps_give_perfect_cells(seed, shape, cells):
    truth = touching_ellipses(seed, shape, cells)
    assert match_cells(truth, segment(perfect(truth)).labels, border=0).f1 >= 0.99


@settings(max_examples=40, deadline=None)
@given(seed=seeds, name=st.sampled_from(NAMES))
def test_flips_and_transposition_do_not_change_the_number_of_cells(seed, name):
    # noise, so that no two values are equal: a tie is broken by reading order, which a flip changes
    maps = perfect(touching_ellipses(seed, (50, 70), 14))
    noise = np.random.default_rng(seed).normal(scale=0.01, size=maps.distance.shape)
    maps = Maps(maps.probabilities, (maps.distance + noise * (maps.distance > 0)).astype(np.float32))
    count = segment(maps, name).labels.max()
    for turned in (
        Maps(maps.probabilities[:, ::-1], maps.distance[::-1]),
        Maps(maps.probabilities[:, :, ::-1], maps.distance[:, ::-1]),
        Maps(maps.probabilities.transpose(0, 2, 1), maps.distance.T),
    ):
        assert segment(turned, name).labels.max() == count


@settings(max_examples=40, deadline=None)
@given(seed=seeds, margins=st.tuples(*[st.integers(0, 9)] * 4), name=st.sampled_from(NAMES))
def test_a_border_of_background_changes_nothing_inside(seed, margins, name):
    maps = perfect(touching_ellipses(seed, (40, 60), 14))
    sides = (margins[:2], margins[2:])
    framed = Maps(np.pad(maps.probabilities, ((0, 0), *sides)), np.pad(maps.distance, sides))
    framed.probabilities[0] = 1 - framed.probabilities[1:].sum(axis=0)
    inside = np.s_[sides[0][0] : sides[0][0] + 40, sides[1][0] : sides[1][0] + 60]
    labels = segment(framed, name).labels
    assert np.array_equal(labels[inside], segment(maps, name).labels)
    assert np.count_nonzero(labels) == np.count_nonzero(labels[inside])


def test_the_same_maps_give_the_same_cells_with_one_thread_and_many():
    maps = random_maps(7, (600, 500), smooth=3)
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 4):
            cv2.setNumThreads(count)
            results.append(segment(maps).labels)
    finally:
        cv2.setNumThreads(threads)
    assert results[0].max() > 100
    assert np.array_equal(*results)


def test_perfect_maps_of_real_cells_give_those_cells(cells_folder):
    scores = []
    for path in sorted((cells_folder / "labels").iterdir())[::40]:
        truth = read_labels(path)
        segmentation: Segmentation = segment(perfect(truth))
        assert_sound(segmentation.labels)
        scores.append(match_cells(truth, segmentation.labels).f1)
    assert len(scores) > 10
    assert np.mean(scores) > 0.97
