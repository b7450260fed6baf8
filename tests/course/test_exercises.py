"""Each exercise accepts right answers of many styles, rejects plausible wrong ones; none stops a run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from maunet_lite.course import exercises
from maunet_lite.course.exercises import checks, judge
from maunet_lite.network import UpBlock
from maunet_lite.training import losses

FILES = sorted(Path(__file__).parent.glob("answers_*.py"))
ANSWERS = [runpy.run_path(str(path)) for path in FILES]
RIGHT, WRONG = ({id: v for a in ANSWERS for id, v in a[kind].items()} for kind in ("RIGHT", "WRONG"))
EXERCISES = exercises.registered()


def cases(answers: dict[str, dict]) -> list:
    return [
        pytest.param(id, answer, id=f"{id}-{name}")
        for id, named in answers.items()
        for name, answer in named.items()
    ]


@pytest.mark.parametrize(("id", "answer"), cases(RIGHT))
def test_accepts_right_answers(id, answer, capsys):
    assert exercises.check(id, answer), capsys.readouterr().out


@pytest.mark.parametrize(("id", "answer"), cases(WRONG))
def test_rejects_plausible_wrong_answers(id, answer, capsys):
    assert not exercises.check(id, answer)
    said = capsys.readouterr().out
    assert "not yet" in said  # judged, not taken for "not attempted"
    assert exercises.find(id).hints[0] in said


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_each_exercise_has_ten_answers_of_either_kind_a_title_and_hints(exercise):
    assert len(RIGHT[exercise.id]) >= 10
    assert len(WRONG[exercise.id]) >= 10
    assert len(exercise.title) > 3
    assert len(exercise.hints) >= 2


def test_exercises_are_numbered_without_gaps():
    assert list(RIGHT) == list(WRONG) == [exercise.id for exercise in EXERCISES]
    for notebook in range(9):
        mine = [exercise.id for exercise in exercises.registered(f"{notebook:02}")]
        assert mine == [f"{notebook:02}.{k}" for k in range(1, len(mine) + 1)]


# --- what a learner is told -------------------------------------------------------------------------------


def said(id: str, answer, capsys) -> str:
    assert not exercises.check(id, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_stub_counts_as_not_attempted(exercise, capsys):
    def stub(*args, **kwargs):
        raise NotImplementedError

    callable_answer = callable(next(iter(RIGHT[exercise.id].values())))
    assert "not attempted" in said(exercise.id, stub if callable_answer else None, capsys)


@pytest.mark.parametrize(
    ("id", "name", "part"),
    [
        ("00.1", "median", "pixels 250, 240 and 21"),
        ("00.1", "sum that overflows", "A uint8 cannot hold the sum"),
        ("01.1", "a range of one at least", "0.2, 0.35 and 0.5"),
        ("01.1", "whole numbers only", "0.2, 0.35 and 0.5"),
        ("01.3", "chessboard", "a drop with beta = 0.5"),
        ("01.4", "a boundary along the image's edge", "corner"),
        ("02.2", "a little more", "got 25.9, expected 25"),
        ("02.3", "A", "Not a: it did learn the one image."),
        ("05.1", "one mask", "Return 2 values, foreground, interior; yours has 1."),
        ("05.4", "loop over masks", "The result is right. But"),
        ("05.4", "input changed", "The input was changed"),
        ("06.2", "bottom forgotten", "10 × 12 pixels and a frame of 2"),
        ("07.1", "fails without room", "100 bytes when 200 are taken already: it stopped with ValueError"),
        ("07.4", "first and last point", "All points count"),
        ("08.2", "only equal values are zero", "of which MAD is 0"),
        ("08.3", "list", "expected the keys ['control', 'drug']"),
    ],
)
def test_a_wrong_answer_fails_at_the_case_that_is_about_it(id, name, part, capsys):
    assert part in said(id, WRONG[id][name], capsys)


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_the_images_edge_is_no_boundary_on_any_side(side, capsys):
    turns = ("top", "right", "bottom", "left").index(side)

    def mended(labels):
        """Add background beyond one side."""
        turned = RIGHT["01.4"]["numpy"](np.pad(np.rot90(labels, turns), ((1, 0), (0, 0))))[1:]
        return np.rot90(turned, -turns)

    assert "edge" in said("01.4", mended, capsys)


def test_the_up_block_of_the_exercise_is_the_packages():
    torch.manual_seed(0)
    module = UpBlock(6, 4).eval()
    x, skip = torch.randn(1, 6, 4, 5), torch.randn(1, 4, 8, 10)
    torch.testing.assert_close(module(x, skip), RIGHT["02.1"]["in steps"](x, skip, module.up, module.block))


def test_the_published_focal_term_pulls_a_thirteenth_where_nothing_is_known():
    """As notebook 02, section 7, says: compare the gradients at equal logits, and where all is right."""
    truth = torch.tensor([[0, 0, 2, 2], [0, 2, 1, 1], [0, 2, 1, 1], [0, 0, 2, 2]])[None]

    def published(logits, classes):
        return losses.authors_classification_loss(logits, classes) - losses.dice_loss(logits, classes)

    def pull(loss, sureness):
        logits = (sureness * losses.one_hot(truth, 3)).requires_grad_()
        return float(torch.autograd.grad(loss(logits, truth), logits)[0].abs().max())

    assert pull(losses.focal_loss, 0.0) / pull(published, 0.0) == pytest.approx(13, abs=0.5)
    assert pull(published, 12.0) < 1e-6


# --- the judge --------------------------------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch):
    case = exercises.Case("two and two", None, 4)
    two_and_two = judge.Exercise("99.1", "Two and two", ["count", "use your fingers"], [case])
    monkeypatch.setattr(judge, "find", {"99.1": two_and_two}.get)
    judge._attempts.pop("99.1", None)
    return two_and_two


def test_tables_hold_arrays_of_any_kind_and_what_they_lack_is_computed(tmp_path, monkeypatch):
    table = """
      "01.3":
        title: Two and two
        hints: [count, use your fingers]
        parts: [sum, product]
        cases:
          - name: two and two
            inputs: [!uint8 [[2, 0]], !map "..1 221", !float [1], 7]
            expected: [4, 4]
    """
    (tmp_path / "checks_01.yaml").write_text(table)
    monkeypatch.setattr(judge, "__file__", str(tmp_path / "judge.py"))
    (toy,) = judge.registered.__wrapped__()
    assert (toy.id, toy.title, toy.hints) == ("01.3", "Two and two", ["count", "use your fingers"])
    assert (toy.parts, toy.keeps_input, toy.computed) == (["sum", "product"], False, checks.cases_01_3)
    image, labels, number, seven = toy.cases[0].inputs
    assert (image.dtype, labels.tolist(), number.dtype, seven) == ("uint8", [[0, 0, 1], [2, 2, 1]], float, 7)


def test_every_computed_case_belongs_to_an_exercise():
    computed = [name for name in vars(checks) if name.startswith("cases_")]
    assert computed == [e.computed.__name__ for e in EXERCISES if e.computed is not tuple]
    assert all(exercise.cases or exercise.computed is not tuple for exercise in EXERCISES)


def test_each_failed_attempt_shows_one_more_hint(toy, capsys):
    first, second, third = (said("99.1", 5, capsys) for _ in range(3))
    assert "For two and two: got 5, expected 4." in first
    assert ("count" in first, "fingers" in first) == (True, False)
    assert "fingers" in second
    assert third == second  # there is no third hint


def test_right_answer_forgets_failed_attempts(toy, capsys):
    for answer in (5, 5, 4, 5):
        exercises.check("99.1", answer)
    last = capsys.readouterr().out.split("✓")[-1]
    assert "count" in last
    assert "fingers" not in last


def test_values_that_fail_are_reported_and_the_run_goes_on(toy, capsys):
    class Stubborn:
        def __array__(self, *args, **options):
            raise ZeroDivisionError("oh")

    assert "ZeroDivisionError: oh" in said("99.1", Stubborn(), capsys)


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), AssertionError("oh"), SystemExit("oh")])
def test_code_that_fails_is_reported_with_the_case_and_the_run_goes_on(error, capsys):
    def mean_in_mask(features, mask):
        raise error

    text = said("03.1", mean_in_mask, capsys)
    assert f"a mask of two pixels: it stopped with {type(error).__name__}: oh" in text


def test_unknown_exercise_is_the_notebooks_mistake():
    with pytest.raises(KeyError, match=r"no exercise '98\.1': there are 00\.1, "):
        exercises.check("98.1", 4)
    with pytest.raises(KeyError, match="no exercise 'one'"):
        exercises.check("one", 4)


@pytest.mark.parametrize(
    "got",
    [
        [1, 2],
        (1.0, 2.0),
        range(1, 3),
        iter([1, 2]),
        map(int, "12"),
        ["1", "2"],
        np.array([1, 2], np.uint8),
        np.ma.array([1, 2]),
        pd.Series([1, 2], index=[7, 3]),
        torch.tensor([1, 2]),
        torch.tensor([1.0, 2.0], requires_grad=True),
        [np.float32(1), torch.tensor(2)],
    ],
    ids=lambda got: type(got).__name__,
)
def test_values_may_come_in_any_container(got):
    exercises.compare(got, exercises.Case("one and two", None, [1, 2]))


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        (None, 1, r"It returned None: is there a return\?"),
        ([1, 2, 3], [1, 2], r"For it: got shape \(3,\), expected \(2,\)\. Why\."),
        ({1, 2}, [1, 2], "For it: got {1, 2}, expected"),
        ("b", 1, "For it: got 'b', expected 1"),
        ([True, "val"], ["train", "val"], r"got \['True', 'val'\], expected \['train', 'val'\]"),
        (np.ones((9, 9)), np.eye(9), r"got 1, expected 0 at \(0, 1\), one of 72 places of 81 that differ"),
        (np.nan, 1, "got nan, expected 1"),
        ([np.inf, 1], [1, 1], r"got \[inf,  1\.\], expected \[1, 1\]"),
        (2 / 3, 1, r"got 0\.667, expected 1\."),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], r"got \n\[\[1, 2\],\n \[3, 4\]\]\n, expected \n\[\[1, 2\],"),
        ([0.25, np.nan], [0.25, 1], r"got \[0\.25,  nan\], expected \[0\.25, 1\.  \]"),
        ({"a": 1}, {"b": 1}, r"expected the keys \['b'\], got {'a': 1}"),
        ({"b": 2}, {"b": 1}, "For it, the b: got 2, expected 1. Why."),
    ],
)
def test_differences_are_told_with_numbers(got, expected, message):
    with pytest.raises(AssertionError, match=message):
        exercises.compare(got, exercises.Case("it", None, expected, "Why."))


# --- the loop that exercise 05.4 finds --------------------------------------------------------------------


def test_lines_grow_with_a_loop_and_not_with_the_size():
    assert checks.lines_run(np.arange, 10) == checks.lines_run(np.arange, 10_000)
    ten, hundred = (checks.lines_run(lambda n: [k for k in range(n)], n) for n in (10, 100))
    assert hundred - ten == 90


def test_the_tracer_of_a_debugger_survives_even_a_failure():
    def tracer(frame, event, argument):
        return None

    def fail():
        raise ValueError("oh")

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(ValueError, match="oh"):
            checks.lines_run(fail)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
