"""How exercise 05.4 finds a loop: by counting lines of Python, the same on any machine."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from maunet_lite.course import exercises
from maunet_lite.course.exercises import checks_05


def test_steps_grow_with_a_loop_and_not_with_the_size():
    assert checks_05._python_steps(np.arange, 10) == checks_05._python_steps(np.arange, 10_000)
    ten, hundred = (checks_05._python_steps(lambda n: [k for k in range(n)], n) for n in (10, 100))
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
            checks_05._python_steps(fail)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_a_loop_that_is_right_is_told_so(capsys):
    assert not exercises.check("05.4", checks_05._by_masks)
    assert "The result is right. But" in capsys.readouterr().out
