"""Options refuse what they do not know, and read back what they wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from maunet_lite.postprocessing.options import NOT_NEGATIVE, POSITIVE, SHARE, Options


@dataclass(frozen=True)
class Lens(Options):
    power: Annotated[float, POSITIVE] = 20.0


@dataclass(frozen=True)
class Microscope(Options):
    name: str = "widefield"
    mode: Literal["grey", "colour"] = "grey"
    planes: Annotated[int, NOT_NEGATIVE] | None = None
    light: Annotated[float, SHARE] = 0.5
    field_of_view: tuple[float, float] = (1.0, 2.0)
    dyes: tuple[str, ...] = ()
    lens: Lens = field(default_factory=Lens)


def test_a_record_survives_json() -> None:
    one = Microscope(dyes=("dapi",), lens=Lens(40), planes=3)
    assert Microscope.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_override_reaches_into_nested_options() -> None:
    assert Microscope().override(power=60, mode="colour") == Microscope(mode="colour", lens=Lens(60))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": 1}, "Microscope has no option 'magic'; there are: name, mode"),
        ({"lens": {"colour": 1}}, "Lens has no option 'colour'; there are: power"),
        ({"name": 3}, "name=3 must be a text"),
        ({"mode": "red"}, "mode='red' must be one of grey, colour"),
        ({"planes": -1}, "planes=-1 must be a whole number of at least 0 or none"),
        ({"planes": True}, "planes=True must be a whole number"),
        ({"light": float("nan")}, "light=nan must be a number from 0 to 1"),
        ({"field_of_view": [1, 2, 3]}, r"field_of_view=\(1, 2, 3\) must be a list of 2, each a number"),
        ({"dyes": [1]}, "must be a list, each a text"),
        ({"lens": 3}, "lens=3 must be"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Microscope.from_dict(change)
