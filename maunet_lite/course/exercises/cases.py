"""What an answer is compared with: a question and what must come out, whatever container it comes in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One question that is put to an answer.

    Attributes
    ----------
    name : str
        What is asked, for the learner: ``"a cell of three pixels"``.
    inputs : sequence or None
        Arguments for the learner's function, which gets a copy. None where the answer is itself a value.
    expected : object
        A number, numbers, strings or a dict of numbers; or a function that computes them from the inputs.
    why : str
        Said where the answer differs: what was probably forgotten.
    tolerance : float, optional
        How far each number may be off; by default one part in 10,000.
    """

    name: str
    inputs: Sequence[Any] | None
    expected: Any
    why: str = ""
    tolerance: float | None = None


def compare(got: Any, case: Case, parts: Sequence[str] = ()) -> None:
    """Demand the values of a case, whatever container they come in; say what came and what was expected.

    Parameters
    ----------
    got : object
        Numbers or strings in NumPy arrays, pandas tables, tensors, lists, iterators, or alone.
    case : Case
        `expected` is a number, a str, array-like, or a dict of these.
    parts : sequence of str
        As in `Exercise`.

    Raises
    ------
    AssertionError
        If shapes or values differ.

    Examples
    --------
    >>> compare([2.0], Case("one and two", None, 3))
    Traceback (most recent call last):
    AssertionError: For one and two: got 2, expected 3.
    """
    if got is None:
        raise AssertionError("It returned None: is there a return?")
    if isinstance(case.expected, Mapping):
        keys, wanted = list(case.expected), list(case.expected.values())
        if not hasattr(got, "keys") or set(got.keys()) != set(keys):
            raise AssertionError(f"For {case.name}: expected the keys {keys}, got {got!r}.")
        got = [got[key] for key in keys]
    elif parts:
        keys, wanted, got = parts, case.expected, list(got) if np.iterable(got) else [got]
        if len(got) != len(parts):
            raise AssertionError(f"Return {len(parts)} values, {', '.join(parts)}; yours has {len(got)}.")
    else:
        keys, got, wanted = [""], [got], [case.expected]
    for key, one, other in zip(keys, got, wanted, strict=True):
        if complaint := _complaint(_plain(one), _plain(other), case.tolerance):
            about = f"{case.name}, the {key}" if key else case.name
            raise AssertionError(f"For {about}: {complaint}. {case.why}".rstrip())


def _complaint(got: np.ndarray, wanted: np.ndarray, tolerance: float | None) -> str | None:
    """Say in a clause how arrays differ, large ones at the first place only; None if they are equal."""
    kind = str if wanted.dtype.kind == "U" else float
    try:
        got, wanted = got.astype(kind), wanted.astype(kind)
    except (TypeError, ValueError):
        return f"got {got.tolist()!r}, expected {wanted.tolist()}"
    if got.size == wanted.size == 1:
        got = got.reshape(wanted.shape)  # [3.0] is as good as 3
    if got.shape != wanted.shape:
        return f"got shape {got.shape}, expected {wanted.shape}"
    limits = {"rtol": 1e-4, "atol": 1e-6} if tolerance is None else {"rtol": 0, "atol": tolerance}
    right = got == wanted if kind is str else np.isclose(got, wanted, equal_nan=True, **limits)
    if right.all():
        return None
    if right.size <= 48:  # a sentence can hold them
        return f"got {_written(got)}, expected {_written(wanted)}"
    first = tuple(int(k) for k in np.argwhere(~right)[0])
    count = f"one of {(~right).sum()} places of {right.size} that differ"
    return f"got {_written(got[first])}, expected {_written(wanted[first])} at {first}, {count}"


def _written(array: np.ndarray) -> str:
    """Write values with three digits, whole numbers without any, and a table in lines of its own."""
    array = np.asarray(array)
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == array.round())
        array = array.astype(int) if whole.all() else array.round(3)
    text = np.array2string(array, separator=", ", suppress_small=True)
    return f"\n{text}\n" if "\n" in text else text


def _plain(value: Any) -> np.ndarray:
    """Return an array of what a tensor, a table, a list, an iterator or a number holds."""
    if hasattr(value, "detach"):  # a tensor that is still part of a graph
        value = value.detach().cpu()
    return np.asarray(list(value) if isinstance(value, Iterator) else value)
