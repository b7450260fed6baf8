"""Exercises that check themselves: what a learner wrote goes to `check`, hints come back.

In a notebook an exercise is three cells: a stub that raises ``NotImplementedError`` (or a value that is
``None``), a call of `check`, and a folded solution that calls `check` again::

    from maunet_lite.course import exercises

    def mean_in_mask(features, mask):
        raise NotImplementedError

    exercises.check("03.1", mean_in_mask)

The checks themselves stand in small modules ``checks_NN.py``, one per notebook, where
the decorator `exercise` registers them. Nothing that a learner writes can stop a run: a check reports and
returns a bool.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_ID = re.compile(r"\d\d\.\d+")
_MODULE = re.compile(r"checks_\d\d")


@dataclass(frozen=True)
class Exercise:
    """One exercise: how an answer is judged, and what helps.

    Attributes
    ----------
    id : str
        Number of the notebook and of the exercise in it, ``"03.1"``.
    title : str
        What is asked for, in a few words.
    judge : callable
        Takes the answer. Returns if it is right; raises ``AssertionError`` with a sentence that says what
        is wrong.
    hints : tuple of str
        From a nudge to nearly the solution; a further one is shown after each attempt that fails.
    right, wrong : dict
        Name → answer. At least one that `judge` must accept and one plausible mistake that it must reject;
        the tests call them all.
    """

    id: str
    title: str
    judge: Callable[[Any], None]
    hints: tuple[str, ...]
    right: Mapping[str, Any]
    wrong: Mapping[str, Any]


@dataclass
class _State:
    exercises: dict[str, Exercise] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)


_state = _State()


def exercise(
    id: str, title: str, *, hints: tuple[str, ...], right: Mapping[str, Any], wrong: Mapping[str, Any]
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated function as the judge of an exercise; parameters as for `Exercise`.

    Raises
    ------
    ValueError
        If the number is not of the form ``"03.1"`` or already taken, or if hints, right or wrong answers
        are missing.
    """

    def register(judge: Callable[[Any], None]) -> Callable[[Any], None]:
        if not _ID.fullmatch(id):
            raise ValueError(
                f"exercise {id!r}: expected the notebook's two digits, a dot and a number, such as '03.1'"
            )
        known = _state.exercises.get(id)
        if known is not None and known.judge.__module__ != judge.__module__:
            raise ValueError(f"exercise {id!r} is registered by {known.judge.__module__} already")
        for name, part in (("hints", hints), ("right", right), ("wrong", wrong)):
            if not part:
                raise ValueError(f"exercise {id!r} has no {name}: give at least one")
        _state.exercises[id] = Exercise(id, title, judge, tuple(hints), right, wrong)
        return judge

    return register


class Verdict(int):
    """True or False, as `check` returns it. A cell that ends with it shows nothing: the sentence does."""

    def _ipython_display_(self) -> None:
        """Display nothing."""


def check(id: str, answer: Any) -> Verdict:
    """Judge an answer, say how it stands, and help with a hint.

    Parameters
    ----------
    id : str
        Number of the exercise, ``"03.1"``.
    answer : object
        What the exercise asks for: a function, or a value. ``None``, or a function that raises
        ``NotImplementedError``, counts as not attempted.

    Returns
    -------
    Verdict
        True if the answer is right. Nothing is raised for a wrong one.

    Raises
    ------
    KeyError
        If there is no such exercise: a mistake of the notebook, not of the learner.
    """
    asked = find(id)
    try:
        verdict = _verdict(asked, answer)
    except NotImplementedError:
        print(f"○ {id} {asked.title}: not attempted. Hint: {asked.hints[0]}")
        return Verdict(False)
    if verdict is None:
        _state.attempts.pop(id, None)
        print(f"✓ {id} {asked.title}: right.")
        return Verdict(True)
    failed = _state.attempts[id] = _state.attempts.get(id, 0) + 1
    print(f"✗ {id} {asked.title}: not yet. {verdict}")
    shown = min(failed, len(asked.hints))
    for number, hint in enumerate(asked.hints[:shown], 1):
        print(f"   hint {number} of {len(asked.hints)}: {hint}")
    return Verdict(False)


def _verdict(asked: Exercise, answer: Any) -> str | None:
    """Return None for a right answer, else a sentence that says what is wrong."""
    if answer is None:
        raise NotImplementedError
    try:
        asked.judge(answer)
    except NotImplementedError:
        raise
    except AssertionError as error:
        return str(error) or "The result differs from what is expected."
    except Exception as error:  # the learner's code may fail in any way; the run goes on
        return f"It stopped with {type(error).__name__}: {error}"
    return None


def find(id: str) -> Exercise:
    """Return the exercise `id`, loading the checks of its notebook.

    Raises
    ------
    KeyError
        If there is no such exercise.
    """
    if id not in _state.exercises and _ID.fullmatch(id):
        name = f"{__package__}.checks_{id[:2]}"
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    if id not in _state.exercises:
        known = ", ".join(sorted(_state.exercises)) or "none"
        raise KeyError(
            f"no exercise {id!r}: loaded are {known}; checks stand in course/exercises/checks_NN.py"
        )
    return _state.exercises[id]


def registered() -> list[Exercise]:
    """Return all exercises of the course in order, from every ``checks_NN`` module.

    Examples
    --------
    >>> "03.1" in [exercise.id for exercise in registered()]
    True
    """
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if _MODULE.fullmatch(module.name):
            importlib.import_module(f"{__package__}.{module.name}")
    return [_state.exercises[id] for id in sorted(_state.exercises, key=lambda id: (id[:2], int(id[3:])))]


def compare(got: object, expected: object, case: str) -> None:
    """Demand equal numbers or arrays, for use in judges; say what came and what was expected.

    Parameters
    ----------
    got, expected : number or array
    case : str
        What was asked, for the learner: ``"a cell of three pixels"``.

    Raises
    ------
    AssertionError
        If shapes or values differ.

    Examples
    --------
    >>> compare(2.0, 3, "one and two")
    Traceback (most recent call last):
    AssertionError: For one and two: got 2.0, expected 3.0.
    """
    if got is None:
        raise AssertionError("It returned None: is there a return?")
    values, wanted = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    if values.shape != wanted.shape:
        raise AssertionError(f"For {case}: got shape {values.shape}, expected {wanted.shape}.")
    if not np.allclose(values, wanted, rtol=1e-4, atol=1e-6, equal_nan=True):
        shown = [np.round(array, 3).tolist() for array in (values, wanted)]
        raise AssertionError(f"For {case}: got {shown[0]}, expected {shown[1]}.")
