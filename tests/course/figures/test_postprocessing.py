"""The explorer of notebook 05: pure functions on a picture that can be read by eye, then its controls."""

from __future__ import annotations

from dataclasses import fields

import ipywidgets
import numpy as np
import pytest

from maunet_lite.course.figures.postprocessing import (
    INPUTS,
    PRESETS,
    STEPS,
    Case,
    controls,
    draw_choice,
    draw_gallery,
    draw_result,
    scan,
    score,
    settings_code,
)
from maunet_lite.course.widgets import Explorer, explorer
from maunet_lite.postprocessing.config import PostprocessConfig
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.segment import segment
from maunet_lite.preprocessing.targets import make_targets


def disks(centres: list[tuple[int, int]], radius: int = 8) -> np.ndarray:
    """Labels of disks in a picture of 48 × 64 pixels."""
    rows, columns = np.mgrid[:48, :64]
    labels = np.zeros((48, 64), dtype=np.int32)
    for k, (row, column) in enumerate(centres, start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = k
    return labels


def perfect(labels: np.ndarray) -> Case:
    """A case whose maps say the truth."""
    classes, distance = make_targets(labels)
    probabilities = np.stack([classes == k for k in range(3)]).astype(np.float32)
    return Case(labels.astype(float), labels, Maps(probabilities, distance))


APART = perfect(disks([(14, 14), (30, 44)]))


def glued() -> Case:
    """Two disks that touch, with a hole in the boundary between them."""
    case = perfect(disks([(24, 20), (24, 37)]))
    probabilities = case.maps.probabilities.copy()
    hole = np.s_[22:27, 24:33]
    probabilities[(slice(None), *hole)] = np.array([0, 1, 0], dtype=np.float32)[:, None, None]
    return case._replace(maps=Maps(probabilities, case.maps.distance))


# --- pure functions ---------------------------------------------------------------------------------------


def test_every_number_of_the_settings_has_a_control_that_reaches_the_presets():
    made = controls({"apart": APART})
    assert list(made) == ["picture", "step", "settings", *(field.name for field in fields(PostprocessConfig))]
    for preset in PRESETS:
        for name, value in vars(PostprocessConfig.named(preset)).items():
            control = made[name]
            if isinstance(control, ipywidgets.Dropdown):
                assert value in control.options, name
            else:
                assert control.min <= value <= control.max, name
                steps = (value - control.min) / control.step
                assert round(steps, 6) % 1 == 0, f"{name}: {value} is no step of the slider"


def test_steps_are_those_of_the_package():
    assert tuple(segment(APART.maps).steps) == STEPS


def test_score_of_perfect_maps_and_of_cells_that_hang_together():
    assert score(APART, "default") == 1
    assert score(glued(), "default") == 1  # two hills in the distance field
    assert score(glued(), "none") == 0  # one piece overlaps each of two equal cells by less than half


def test_scan_changes_one_number_of_given_settings():
    cases = [APART, glued()]
    np.testing.assert_array_equal(scan(cases, "refine", [True, False]), [[1, 1], [1, 0]])
    # a disk of radius 8 has 197 pixels: with a lower limit above that nothing is left
    strict = PostprocessConfig(min_interior=500)
    np.testing.assert_array_equal(scan(cases, "blur", [0, 1, 2], strict), np.zeros((2, 3)))
    assert scan([], "blur", [1, 2]).size == 0


def test_settings_as_code_are_what_the_learner_writes_down():
    assert settings_code() == "PostprocessConfig()"
    for preset in PRESETS:
        code = settings_code(picture="apart", step="final", settings=preset, skeleton=0.3)
        assert eval(code) == PostprocessConfig.named(preset)


@pytest.mark.parametrize("shown", [*INPUTS, *STEPS])
def test_draws_every_map_and_step(shown):
    figure = draw_result(APART, PostprocessConfig(), shown, "   (mine)")
    left, right = figure.axes[:2]
    assert left.get_title() == "F1 1.00   (mine)"
    assert right.get_title().startswith(shown.replace("_", " "))


def test_draws_what_there_is():
    no_steps = draw_result(APART, PostprocessConfig(refine=False), "P1")
    assert no_steps.axes[1].get_title() == "final (2)"
    two_classes = APART.maps.probabilities[:2].copy()
    two_classes[0] = 1 - two_classes[1]
    bare = APART._replace(maps=Maps(two_classes, None))
    for shown in ("P(boundary)", "distance field"):
        assert draw_result(bare, PostprocessConfig(), shown).axes[1].get_title() == "final (2)"


def test_draws_an_image_without_cells():
    empty = perfect(np.zeros((48, 64), dtype=np.int32))
    for config in ("default", "paper", "authors", "none"):
        assert "F1" in draw_result(empty, PostprocessConfig.named(config)).axes[0].get_title()


def test_choice_draws_the_case_of_that_name():
    draw = draw_choice({"apart": APART, "glued": glued()})
    assert draw("glued", refine=False).axes[0].get_title() == "F1 0.00   (default 1.00)"
    assert draw("apart", "truth").axes[1].get_title() == "truth"
    assert draw("glued", settings="none", skeleton=0.3).axes[0].get_title() == "F1 0.00   (default 1.00)"


def test_explorer_gives_its_settings_back_as_code(live, capsys):
    live.controls["skeleton"].value = 0.1 + 0.2
    live.controls["min_interior"].value = 16
    assert live.code.value == "PostprocessConfig(min_interior=16, skeleton=0.3)"
    assert live.code in live.box().children
    live.controls["settings"].value = "authors"
    assert eval(live.code.value) == PostprocessConfig.named("authors")


def test_errors_leave_out_what_the_score_leaves_out():
    both = disks([(4, 12), (30, 44)])  # the border cuts the first, and the maps do not show it
    case = perfect(both)._replace(maps=perfect(np.where(both == 2, 1, 0)).maps)
    assert draw_gallery({"cut": case}, 48).axes[0].get_title() == "cut: F1 1.00\nno error"
    legend = draw_result(case, PostprocessConfig()).axes[0].get_legend()
    counts = [text.get_text() for text in legend.get_texts()]
    assert counts == ["1 found", "0 missed", "0 split", "0 merged", "0 invented"]


def test_gallery_shows_the_middle_and_counts_all():
    figure = draw_gallery({"apart": APART, "glued": glued()}, 32, PostprocessConfig(refine=False))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["apart: F1 1.00\nno error", "glued: F1 0.00\n2 merged"]
    assert figure.axes[0].images[0].get_array().shape[:2] == (32, 32)
    assert [ax.get_legend() for ax in figure.axes] == [None, None]
    whole = draw_gallery({"apart": APART}, 500)
    assert whole.axes[0].images[0].get_array().shape[:2] == APART.truth.shape


def test_controls_begin_with_the_default_settings():
    made = controls({"apart": APART, "glued": glued()})
    values = {name: control.value for name, control in made.items()}
    assert values.pop("picture") == "apart"
    assert values.pop("step") in STEPS
    assert values.pop("settings") not in PRESETS  # the sliders count
    assert PostprocessConfig(**values) == PostprocessConfig()
    assert isinstance(made["relief"], ipywidgets.Dropdown)


@pytest.fixture
def live() -> Explorer:
    cases = {"apart": APART, "glued": glued()}
    return explorer(draw_choice(cases), **controls(cases), code=settings_code, alt="Disks.", dpi=50)


def test_sliders_redraw(live, capsys):
    before = live.picture.value
    assert before[1:4] == b"PNG"
    live.controls["refine"].value = False
    live.controls["picture"].value = "glued"
    assert live.picture.value != before
    assert "drawn in" in live.note.value


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_take_the_place_of_the_sliders_and_give_it_back(live, preset):
    live.controls["skeleton"].value = 0.5
    own, code = live.picture.value, live.code.value
    live.controls["settings"].value = preset
    assert live.code.value != code
    assert "drawn in" in live.note.value
    live.controls["settings"].value = live.controls["settings"].options[0]
    assert live.picture.value == own
