"""Exercises that check themselves: what a learner wrote goes to `check`, hints come back.

In a notebook an exercise is three cells: a stub that raises ``NotImplementedError`` (or a value that is
``None``), a call of `check`, and a folded solution that calls `check` again::

    from maunet_lite.course import exercises

    def mean_in_mask(features, mask):
        raise NotImplementedError

    exercises.check("03.1", mean_in_mask)

What is asked and what is right stands in tables, ``checks_NN.yaml``, one per notebook: for each exercise what
the learner is told, a title and hints, and cases: inputs, and what must come out. Arrays are written
``!uint8 [[10, 20], [0, 5]]``, with any dtype, and label maps as digits, ``!map "..1 221"``; there are
``!tensor``, ``!table`` and ``!rng``, too. What has to be computed is in `checks`. Nothing that a learner
writes can stop a run: `check` reports and returns a bool.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from maunet_lite.course.exercises import checks
from maunet_lite.course.exercises.cases import Case, compare
from maunet_lite.course.figures.targets import from_digits


@dataclass(frozen=True)
class Exercise:
    """One exercise: how an answer is judged, and what helps.

    Attributes
    ----------
    id : str
        Number of the notebook and of the exercise in it, ``"03.1"``.
    title : str
        What is asked for, in a few words.
    hints : list of str
        From a nudge to nearly the solution; a further one is shown after each attempt that fails.
    cases : sequence of Case
    computed : callable
        Yields further cases, and functions that take the answer and raise ``AssertionError`` for what no
        single case shows.
    parts : sequence of str
        Names of the values, if an answer consists of several: ``("mean", "median")``.
    keeps_input : bool
        Whether the answer must leave its arguments as they are.
    """

    id: str
    title: str
    hints: list[str]
    cases: Sequence[Case] = ()
    computed: Callable[[], Iterable[Case | Callable[[Any], None]]] = tuple
    parts: Sequence[str] = ()
    keeps_input: bool = False

    def judge(self, answer: Any) -> None:
        """Return if an answer is right; raise ``AssertionError`` with a sentence that says what is wrong."""
        for case in (*self.cases, *self.computed()):
            if callable(case):
                case(answer)
            else:
                compare(*self._results(answer, case), self.parts)

    def _results(self, answer: Any, case: Case) -> tuple[Any, Case]:
        """Return what came out for a case, and the case with what is expected as values."""
        if case.inputs is None:
            return answer, case
        inputs = deepcopy(case.inputs)
        try:
            got = answer(*inputs)
        except NotImplementedError:
            raise
        except (Exception, SystemExit) as error:
            stopped = f"it stopped with {type(error).__name__}: {error}"
            raise AssertionError(f"For {case.name}: {stopped}") from error
        if self.keeps_input and not all(map(np.array_equal, inputs, case.inputs)):
            raise AssertionError("The input was changed: work on a copy, or build a new array.")
        return got, replace(case, expected=case.expected(*case.inputs)) if callable(case.expected) else case


_attempts: dict[str, int] = {}  # exercise: how many failed since it was last right


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
        if answer is None:
            raise NotImplementedError
        asked.judge(answer)
    except NotImplementedError:
        print(f"○ {id} {asked.title}: not attempted. Hint: {asked.hints[0]}")
        return Verdict(False)
    except Exception as error:  # the learner's code may fail in any way; the run goes on
        told = isinstance(error, AssertionError) and str(error)
        wrong = told or f"It stopped with {type(error).__name__}: {error}"
    else:
        _attempts.pop(id, None)
        print(f"✓ {id} {asked.title}: right.")
        return Verdict(True)
    failed = _attempts[id] = _attempts.get(id, 0) + 1
    print(f"✗ {id} {asked.title}: not yet. {wrong}")
    for number, hint in enumerate(asked.hints[:failed], 1):
        print(f"   hint {number} of {len(asked.hints)}: {hint}")
    return Verdict(False)


def find(id: str) -> Exercise:
    """Return the exercise `id`.

    Raises
    ------
    KeyError
        If there is no such exercise.
    """
    known = {exercise.id: exercise for exercise in registered()}
    if id not in known:
        raise KeyError(f"no exercise {id!r}: there are {', '.join(known)}, in exercises/checks_NN.yaml")
    return known[id]


def _array(tables: yaml.SafeLoader, kind: str, node: yaml.SequenceNode) -> Any:
    """Return the array of a node tagged with its dtype, or a tensor as it comes out of a network."""
    values = tables.construct_sequence(node, deep=True)
    return torch.tensor(values, requires_grad=True) if kind == "tensor" else np.array(values, dtype=kind)


class _Tables(yaml.SafeLoader):
    """Reads YAML with arrays, label maps, tensors and tables in it."""


_Tables.add_multi_constructor("!", _array)
_Tables.add_constructor("!map", lambda tables, node: from_digits(node.value))
_Tables.add_constructor("!rng", lambda tables, node: np.random.default_rng(int(node.value)))
_Tables.add_constructor("!table", lambda tables, node: pd.DataFrame(tables.construct_mapping(node, True)))


@cache
def registered(notebook: str = "") -> list[Exercise]:
    """Return the exercises of a notebook, such as ``"03"``, or of all, in order, from ``checks_NN.yaml``.

    >>> [exercise.id for exercise in registered("03")]
    ['03.1', '03.2', '03.3']
    """
    found = []
    for path in sorted(Path(__file__).parent.glob(f"checks_{notebook}*.yaml")):
        for id, told in yaml.load(path.read_text(encoding="utf-8"), _Tables).items():
            cases = [Case(**case) for case in told.pop("cases", ())]
            computed = getattr(checks, f"cases_{id.replace('.', '_')}", tuple)
            found.append(Exercise(id, **told, cases=cases, computed=computed))
    return found
