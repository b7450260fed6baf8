"""Options that check themselves: a record's types say what is allowed, in the class and in the error."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


class Bound(NamedTuple):
    """A condition on numbers, in words and as a test; `Annotated` puts it beside a type."""

    words: str
    holds: Callable[[float], bool]


POSITIVE = Bound("above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Bound("of at least 0", lambda value: 0 <= value < math.inf)
SHARE = Bound("from 0 to 1", lambda value: 0 <= value <= 1)


class Options:
    """Base of frozen dataclasses that refuse unknown names and values of other types than their fields'.

    Types may be those of JSON, unions, tuples (lists are turned into them), `Literal`, ``Annotated[number,
    Bound(…)]`` and other `Options`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Camera(Options):
    ...     mode: Literal["grey", "colour"] = "grey"
    ...     gain: Annotated[float, POSITIVE] = 1.0
    >>> Camera.from_dict({"gain": 2}).override(mode="colour")
    Camera(mode='colour', gain=2)
    >>> Camera(gain=-1)
    Traceback (most recent call last):
    ValueError: gain=-1 must be a number above 0
    """

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, list):  # as JSON and the command line have tuples
                value = tuple(value)
                object.__setattr__(self, name, value)
            if not _fits(value, hint):
                raise ValueError(f"{name}={value!r} must be {_in_words(hint)}")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Any:
        """Build options from `to_dict`'s record, what is missing by default; unknown names are refused."""
        hints, values = _hints(cls), dict(record)
        for name, value in values.items():
            if name not in hints:
                raise ValueError(f"{cls.__name__} has no option {name!r}; there are: {', '.join(hints)}")
            if isinstance(value, Mapping) and issubclass(get_origin(hints[name]) or hints[name], Options):
                values[name] = hints[name].from_dict(value)
        return cls(**values)

    def override(self, **changes: Any) -> Any:
        """Return a copy with fields changed; names of nested options reach into them."""
        record = self.to_dict()
        for name, value in changes.items():
            inner = [part for key, part in record.items() if isinstance(getattr(self, key), Options)]
            next((part for part in (record, *inner) if name in part), record)[name] = value
        return self.from_dict(record)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type; whole numbers pass for numbers."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, parts[0]) and parts[1].holds(value)
    if origin is Literal:
        return value in parts
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint in (int, float):
        return isinstance(value, {int: Integral, float: Real}[hint]) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{_in_words(parts[0])} {parts[1].words}"
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin in (Union, types.UnionType):
        return " or ".join(map(_in_words, parts))
    if origin is tuple:
        each = _in_words(parts[0])
        return f"a list, each {each}" if Ellipsis in parts else f"a list of {len(parts)}, each {each}"
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    words |= {types.NoneType: "none", dict: "names with values, such as {'encoder': 'resnet18'}"}
    return words.get(origin or hint, f"{hint}")
