"""The quiz of each notebook: well-formed questions, a widget that answers, a twin for pages without."""

from __future__ import annotations

import nbformat
import pytest

from maunet_lite.course.exercises import questions
from maunet_lite.course.exercises.quizzes import Question, as_page, as_widget
from maunet_lite.course.publishing.pages import to_html, without_widgets

NUMBERS = [f"{n:02}" for n in range(9)]
SUM = Question("What is `1 + 1`?", ["1", "2 < 3"], 2, "Count `x < y`.")


@pytest.mark.parametrize("number", NUMBERS)
def test_five_questions_with_one_right_answer_and_a_reason(number: str) -> None:
    asked = questions(number)
    assert len(asked) == 5
    assert len({question.ask for question in asked}) == 5
    assert len({question.right for question in asked}) > 1, "the right one is always at the same place"
    for question in asked:
        assert question.ask.endswith("?")
        assert 3 <= len(set(question.options)) == len(question.options) <= 4
        assert 1 <= question.right <= len(question.options)
        assert len(question.why.split()) >= 8, "an answer comes with its reason"


def test_a_click_is_answered_with_the_reason() -> None:
    _, choice, said = as_widget([SUM]).children
    assert said.value == ""
    choice.value = 1
    assert said.value == "✗ No. <b>2.</b> Count <code>x &lt; y</code>."
    choice.value = 2
    assert said.value.startswith("✓ Right.")


def test_a_page_shows_questions_with_folded_answers_instead_of_the_widget() -> None:
    twin = as_page(1, SUM)
    assert "What is <code>1 + 1</code>?" in twin
    assert "<li>2 &lt; 3</li>" in twin
    data = {"application/vnd.jupyter.widget-view+json": {}, "text/html": twin, "text/plain": "five questions"}
    cell = nbformat.v4.new_code_cell("quiz", outputs=[nbformat.v4.new_output("display_data", data=data)])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert list(without_widgets(notebook).cells[0].outputs[0].data) == ["text/html", "text/plain"]
    assert "<details><summary>Answer</summary><b>2.</b> Count" in to_html(notebook)
    assert "Count" not in twin.split("<details>")[0]
