"""Options that check themselves: a record's types say what is allowed, in the class and in the error.

Beside them, how records are read from JSON, as options are stored.
"""

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from functools import cache
from numbers import Integral, Real
from pathlib import Path
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

    Types may be those of JSON, unions, tuples of one type (lists are turned into them), `Literal`,
    ``Annotated[number, Bound(…)]`` and other `Options`.

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
            if not (allowed := _allowed(hint)).holds(value):
                raise ValueError(f"{name}={value!r} must be {allowed.words}")

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
            kind = get_origin(hints[name]) or hints[name]
            if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, Options):
                values[name] = hints[name].from_dict(value)
        needed = {field.name for field in fields(cls) if field.default is field.default_factory is MISSING}
        if needed - values.keys():
            raise ValueError(f"{cls.__name__} needs a value of {', '.join(needed - values.keys())}")
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


def _allowed(hint: Any) -> Bound:
    """Return what a type allows, in words and as a test; whole numbers pass for numbers."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return Bound(f"one of {', '.join(parts)}", parts.__contains__)
    if origin is Annotated:
        kind, bound = _allowed(parts[0]), parts[1]
        return Bound(f"{kind.words} {bound.words}", lambda value: kind.holds(value) and bound.holds(value))
    if origin in (Union, types.UnionType):
        kinds = [_allowed(part) for part in parts]
        words = " or ".join(kind.words for kind in kinds)
        return Bound(words, lambda value: any(kind.holds(value) for kind in kinds))
    if origin is tuple:
        each, n = _allowed(parts[0]), None if Ellipsis in parts else len(parts)
        words = f"a list, each {each.words}" if n is None else f"a list of {n}, each {each.words}"

        def holds(value: Any) -> bool:
            return isinstance(value, tuple) and n in (None, len(value)) and all(map(each.holds, value))

        return Bound(words, holds)
    if hint in (int, float):
        words, kind = {int: ("a whole number", Integral), float: ("a number", Real)}[hint]
        return Bound(words, lambda value: isinstance(value, kind) and not isinstance(value, bool))
    words = {str: "a text", bool: "true or false", types.NoneType: "none"}
    words |= {dict: "names with values, such as {'encoder': 'resnet18'}"}
    kind = origin or hint
    return Bound(words.get(kind, f"{hint}"), lambda value: isinstance(value, kind))


def parse_json(text: str | bytes, name: object) -> dict[str, Any]:
    """Return the record in a text of JSON; if there is none, a ValueError says so, with the text's `name`.

    Examples
    --------
    >>> parse_json('{"blur": 0.5}', "mine.json")
    {'blur': 0.5}
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:  # no UTF-8, or no JSON
        raise ValueError(f"{name} is damaged or no JSON ({error}): restore it from a copy") from error
    if not isinstance(record, dict):
        raise ValueError(f"{name} holds a {type(record).__name__}; expected a JSON object, {{…}}")
    return record


def read_json(path: Path) -> dict[str, Any]:
    """Return the record in a JSON file; errors as in `parse_json`, or FileNotFoundError."""
    return parse_json(path.read_bytes(), path)
