"""Five questions at the end of a notebook: buttons where they work, the same as text on a page.

What is asked stands in ``quiz_NN.yaml`` beside the checks: the question, its options, the number of the
right one, and why. In JupyterLab a click is answered at once; on GitHub, in print and on every other static
page the questions stand with folded answers.
"""

import html
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from maunet_lite.course.display import in_notebook


class Question(NamedTuple):
    """One question of a quiz.

    Attributes
    ----------
    ask : str
        The question; ```code``` between back quotes.
    options : list of str
        What may be chosen.
    right : int
        Number of the right option, from 1.
    why : str
        The reason, and what is wrong with the others.
    """

    ask: str
    options: list[str]
    right: int
    why: str

    def answer(self, chosen: int | None = None) -> str:
        """Return what is said to a choice, as HTML; without one, the answer that is looked up."""
        verdict = "" if chosen is None else "✓ Right. " if chosen == self.right else "✗ No. "
        return f"{verdict}<b>{self.right}.</b> {_html(self.why)}"


def questions(notebook: str) -> list[Question]:
    """Return the questions of a notebook.

    Parameters
    ----------
    notebook : str
        Its number, ``"05"``.

    Raises
    ------
    FileNotFoundError
        If there is no quiz of this number.

    Examples
    --------
    >>> len(questions("05"))
    5
    """
    path = Path(__file__).with_name(f"quiz_{notebook}.yaml")
    return [Question(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def quiz(notebook: str) -> None:
    """Ask the questions of a notebook; parameters and errors as for `questions`.

    Outside a notebook they are printed, without answers.
    """
    asked = questions(notebook)
    if not in_notebook():
        print("\n".join(question.ask for question in asked))
        return
    from IPython.display import display

    twin = "".join(as_page(number, question) for number, question in enumerate(asked, 1))
    bundle = as_widget(asked)._repr_mimebundle_() | {"text/html": twin, "text/plain": "five questions"}
    display(bundle, raw=True)  # the widget where it lives, else its twin: never both


def as_page(number: int, question: Question) -> str:
    """Return a question with its folded answer as HTML."""
    options = "".join(f"<li>{_html(option)}</li>" for option in question.options)
    fold = f"<details><summary>Answer</summary>{question.answer()}</details>"
    return f"<p><b>Question {number}.</b> {_html(question.ask)}</p><ol>{options}</ol>{fold}"


def as_widget(asked: list[Question]) -> Any:
    """Return the questions as one widget: an answer appears as soon as an option is chosen."""
    import ipywidgets

    parts = []
    for number, question in enumerate(asked, 1):
        said = ipywidgets.HTML()
        options = [(f"{k}. {text.replace('`', '')}", k) for k, text in enumerate(question.options, 1)]
        choice = ipywidgets.RadioButtons(options=options, value=None, layout={"width": "auto"})
        ipywidgets.dlink((choice, "value"), (said, "value"), lambda k, q=question: q.answer(k) if k else "")
        parts += [ipywidgets.HTML(f"<b>Question {number}.</b> {_html(question.ask)}"), choice, said]
    return ipywidgets.VBox(parts)


def _html(text: str) -> str:
    """Escape a text; what stands between back quotes becomes code."""
    return re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text, quote=False))
