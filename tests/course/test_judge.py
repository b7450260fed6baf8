"""Every exercise accepts its right answers and rejects plausible wrong ones; `check` never stops a run."""

from __future__ import annotations

import pytest

from maunet_lite.course import exercises
from maunet_lite.course.exercises import judge as judge_module


def cases(kind: str) -> list:
    return [
        pytest.param(exercise, answer, id=f"{exercise.id}-{name}")
        for exercise in exercises.registered()
        for name, answer in getattr(exercise, kind).items()
    ]


@pytest.mark.parametrize(("exercise", "answer"), cases("right"))
def test_accepts_right_answers(exercise, answer):
    assert exercises.check(exercise.id, answer)


@pytest.mark.parametrize(("exercise", "answer"), cases("wrong"))
def test_rejects_plausible_wrong_answers(exercise, answer, capsys):
    assert not exercises.check(exercise.id, answer)
    said = capsys.readouterr().out
    assert "not yet" in said  # judged, not taken for "not attempted"
    assert exercise.hints[0] in said


@pytest.mark.parametrize("exercise", exercises.registered(), ids=lambda exercise: exercise.id)
def test_stub_counts_as_not_attempted(exercise, capsys):
    def stub(*args, **kwargs):
        raise NotImplementedError

    callable_answer = callable(next(iter(exercise.right.values())))
    assert not exercises.check(exercise.id, stub if callable_answer else None)
    assert "not attempted" in capsys.readouterr().out


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(judge_module, "_state", type(judge_module._state)())
    right, wrong = {"four": 4}, {"five": 5}

    @exercises.exercise("99.1", "Two and two", hints=("count", "use your fingers"), right=right, wrong=wrong)
    def judge(answer):
        assert answer == 4, f"{answer} is not two and two."

    return judge


def test_each_failed_attempt_shows_one_more_hint(toy, capsys):
    exercises.check("99.1", 5)
    first = capsys.readouterr().out
    exercises.check("99.1", 5)
    second = capsys.readouterr().out
    exercises.check("99.1", 5)  # there is no third hint
    third = capsys.readouterr().out
    assert "5 is not two and two." in first
    assert ("count" in first, "fingers" in first) == (True, False)
    assert "fingers" in second
    assert third == second


def test_right_answer_forgets_failed_attempts(toy, capsys):
    for answer in (5, 5, 4, 5):
        exercises.check("99.1", answer)
    last = capsys.readouterr().out.split("✓")[-1]
    assert "count" in last
    assert "fingers" not in last


def test_code_that_fails_is_reported_and_the_run_goes_on(toy, capsys):
    class Stubborn:
        def __eq__(self, other):
            raise ZeroDivisionError("oh")

    assert not exercises.check("99.1", Stubborn())
    assert "ZeroDivisionError: oh" in capsys.readouterr().out


def test_unknown_exercise_is_the_notebooks_mistake(toy):
    with pytest.raises(KeyError, match=r"no exercise '98\.1'"):
        exercises.check("98.1", 4)
    with pytest.raises(KeyError, match="no exercise 'one'"):
        exercises.check("one", 4)


@pytest.mark.parametrize(
    ("number", "parts", "message"),
    [
        ("3.1", {}, "expected the notebook's two digits"),
        ("99.2", {"wrong": {}}, "has no wrong"),
        ("99.2", {"right": {}}, "has no right"),
        ("99.2", {"hints": ()}, "has no hints"),
    ],
)
def test_incomplete_exercises_are_refused(toy, number, parts, message):
    complete = {"hints": ("h",), "right": {"a": 1}, "wrong": {"b": 2}}
    with pytest.raises(ValueError, match=message):
        exercises.exercise(number, "t", **(complete | parts))(toy)


def test_number_may_be_taken_once_only(toy):
    def other(answer): ...

    other.__module__ = "elsewhere"
    with pytest.raises(ValueError, match=r"'99\.1' is registered"):
        exercises.exercise("99.1", "t", hints=("h",), right={"a": 1}, wrong={"b": 2})(other)
