"""Numbers in the course's prose: what claims to be a result stands in an output, or says whose it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from maunet_lite.course.publishing.publish import is_fresh
from maunet_lite.course.publishing.sources import find_sources

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = find_sources(NOTEBOOKS)
# decimals and percentages: a result is hardly ever a whole number without either
NUMBER = re.compile(r"(?<![\w.,\d])(\d*\.\d+|\d+(?= ?%|% ))(?: ?(%))?(?![\w.]*\d)")
NEAR = 6  # cells between a claim and its output
ELSEWHERE = re.compile(
    r"\b(?:paper|Table|Fig\.|Figs\.|challenge|published|sections?|notebook|equation)\b", re.I
)


def claims(text: str) -> list[tuple[str, str]]:
    """Return the numbers of a text that claim to be results, each with its sentence.

    Left out: code, formulas, quotations, folded answers, addresses; and what the sentence says is the
    paper's, or a place in it.

    Examples
    --------
    >>> claims("F1 rises to .93 (`0.3`). The paper has 0.85. It takes 12 % of $0.1$.")
    [('.93', 'F1 rises to .93 ().'), ('12 %', 'It takes 12 % of .')]
    """
    text = re.sub(r"<details>.*?</details>|```.*?```|\$\$.*?\$\$", "", text, flags=re.S)
    text = re.sub(r"`[^`\n]*`|\$[^$\n]+\$|\"[^\"\n]*\"|\]\([^)]*\)", "", text)
    text = re.sub(r"(?:https?|doi|arXiv):\S+|^#+ .*$", "", text, flags=re.M)
    sentences = re.split(r"(?<=[.!?:;])\s+(?=[A-Z*(\"])|\n\s*\n|\n(?=[-|])", text)
    return [
        (match[0].strip(), " ".join(sentence.split()))
        for sentence in sentences
        if not ELSEWHERE.search(sentence)
        for match in NUMBER.finditer(sentence)
    ]


def held(number: str, known: set[str]) -> bool:
    """Tell whether a number is one of those that are known, rounded alike; 12 % is 0.12, too."""
    digits = number.rstrip(" %")
    places = len(digits.partition(".")[2])
    values = {float(text) for text in known}
    values |= {100 * value for value in values} if number.endswith("%") else set()
    return any(abs(float(digits) - abs(value)) <= 0.5 * 10**-places + 1e-9 for value in values)


def numbers(text: str) -> set[str]:
    """Return all numbers of a text."""
    return set(re.findall(r"\d+\.\d+|\.\d+|\d+", text))


def printed(cell: Any) -> str:
    """Return what a cell has printed, pictures left out."""
    outputs = cell.get("outputs", [])
    shown = [str(v) for out in outputs for kind, v in out.get("data", {}).items() if "image" not in kind]
    return " ".join([*(str(out.get("text", "")) for out in outputs), *shown])


def unheld(notebook: Any) -> list[str]:
    """Return the claims that neither an output near them holds, `NEAR` cells away at most, nor any code."""
    cells = notebook.cells
    codes = set().union(*(numbers(cell.source) for cell in cells if cell.cell_type == "code"))
    found = []
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            known = numbers(" ".join(map(printed, cells[max(0, place - NEAR) : place + NEAR + 1])))
            found += [f"{n} in: {s}" for n, s in claims(cell.source) if not held(n, codes | known)]
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_each_number_that_claims_an_output_is_in_one(source: Path) -> None:
    if not is_fresh(source, NOTEBOOKS):
        pytest.skip("published anew first: the check of published notebooks says so")
    assert unheld(nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4)) == []


def of(text: str, code: str = "", output: str = "") -> list[str]:
    shown = nbformat.v4.new_output("stream", text=output)
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(code, outputs=[shown])]
    return [line.split(" in: ")[0] for line in unheld(nbformat.v4.new_notebook(cells=cells))]


@pytest.mark.parametrize(
    ("text", "code", "output", "complaint"),
    [
        ("F1 rises to 0.93.", "", "F1 0.9315", []),
        ("F1 rises to .93.", "", "F1: 0.93", []),
        ("F1 rises to 0.93.", "", "F1 0.9231, 0.94", ["0.93"]),
        ("A third: 33 % of them.", "", "0.333", []),
        ("A third: 33 % of them.", "", "31.2%", ["33 %"]),
        ("Above 0.7 it is a cell.", "threshold = 0.7", "", []),
        ("In the paper it is 0.85. Here it is 0.75.", "", "", ["0.75"]),
        ("See section 3.2 and paper 2.3, not `0.5`.", "", "", []),
        ("<details><summary>Answers</summary>0.44</details>", "", "", []),
    ],
)
def test_a_number_without_an_output_is_found(text: str, code: str, output: str, complaint: list[str]) -> None:
    assert of(text, code, output) == complaint
