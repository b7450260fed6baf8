"""The course's words: headings, spelling, tables, lists, paths and names of files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from maunet_lite.course.publishing.sources import find_sources, load

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
SOURCES = find_sources(NOTEBOOKS)
PUBLISHED = sorted(NOTEBOOKS.glob("*.ipynb"))
PAGES = [REPOSITORY / "README.md"]
for pattern in ("docs/*", "notebooks/*", "data/*", "benchmarks/*", "maunet_lite/weights/*/*"):
    PAGES += sorted(REPOSITORY.glob(f"{pattern}.md"))

# The course is written in British English, with -ize. Code and quotations keep their own spelling.
AMERICAN = (
    r"\b(colors?|colored|gray|centers?|centered|behaviors?|neighbors?|labeled|modeling|analyze[sd]?|favor)\b"
)
CLOSING = ("Quality control", "Recap", "On your own", "Further reading", "Quiz")
PATH = re.compile(r"`((?:maunet_lite|notebooks|benchmarks|docs|tests|data)/[\w./-]+\.(?:py|md))`")
ABSOLUTE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt|var|opt)/\w|\b[A-Z]:\\\\?\w")

pytestmark = pytest.mark.filterwarnings("ignore:.*zmq.*")


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def prose_of(path: Path) -> str:
    """Return the Markdown of a page or of a notebook's source."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in load(path).cells if cell.cell_type == "markdown")


def without_code(text: str) -> str:
    """Return Markdown without code, formulas, addresses of links and quoted titles.

    Examples
    --------
    >>> without_code("a `color` and [colour](http://color.org)")
    'a  and [colour]'
    """
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"^ {4,}\S.*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|(?<=\])\([^)]*\)|https?://\S+|“[^”]*”", "", text)


@pytest.fixture(params=[*SOURCES, *PAGES], ids=name)
def text(request: pytest.FixtureRequest) -> str:
    return prose_of(request.param)


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest) -> str:
    return prose_of(request.param)


def test_spelling_is_the_same_everywhere(text: str) -> None:
    quoted = re.sub(r"\*[^*\n]+\*(?=[,.] [A-Z(])", "", without_code(text))  # titles in a list of references
    assert re.findall(AMERICAN, quoted, re.I) == []


def test_no_word_twice_and_no_gap_in_a_line(text: str) -> None:
    for line in without_code(text).splitlines():
        assert not re.search(r"\b([a-z]{2,}) \1\b", line), f"a word twice: {line}"
        if "|" not in line:
            assert not re.search(r"\S {3,}\S", re.sub(r"^\s*(?:[-*]|\d+\.) +", "", line)), f"a gap: {line}"


def test_lists_begin_on_lines_of_their_own(text: str) -> None:
    for line in without_code(text).splitlines():
        assert not re.search(r"[.?!] - \*", line), f"an item in the middle of a line: {line}"


def test_rows_of_a_table_have_as_many_cells_as_its_head(text: str) -> None:
    for table in re.findall(r"(?:^\|.*\n?)+", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        rows = [re.sub(r"`[^`]*`|\\\|", "", row).strip() for row in table.splitlines()]
        assert len({row.count("|") for row in rows}) == 1, f"rows differ in their cells:\n{table}"
        assert all(row.endswith("|") for row in rows), f"a row does not end:\n{table}"


def test_headings_are_alike(lesson: str) -> None:
    headings = re.findall(r"^(#+) (.+)$", re.sub(r"```.*?```", "", lesson, flags=re.S), re.M)
    assert [level for level, _ in headings].count("#") == 1
    for _, title in headings:
        assert not title.endswith((".", ":")), title
        assert "  " not in title, title
    sections = [title for level, title in headings if level == "##"]
    numbered = [title for title in sections if re.match(r"\d+ · \S", title)]
    assert [title for title in sections if title not in numbered] == list(CLOSING)
    for title in (title for level, title in headings if title.startswith("Exercise")):
        assert re.fullmatch(r"Exercise \d\d\.\d+ · .+ \((easy|medium|hard)\)", title), title


def test_three_graded_things_to_try(lesson: str) -> None:
    items = re.findall(r"^- \*(\w+)", lesson.split("## On your own")[1].split("\n## ")[0], re.M)
    assert items == ["Easy", "Medium", "Hard"]


def test_each_exercise_announces_its_folded_solution(lesson: str) -> None:
    exercises = lesson.count("\n### Exercise") + lesson.startswith("### Exercise")
    assert lesson.count("<details><summary>Solution</summary>") == exercises
    assert lesson.count("<details>") == lesson.count("</details>")


def test_files_that_the_text_names_exist(text: str) -> None:
    missing = [path for path in PATH.findall(text) if not (REPOSITORY / path).exists()]
    assert missing == []


def test_text_names_no_path_of_somebodys_machine(text: str) -> None:
    assert ABSOLUTE.findall(text) == []


@pytest.mark.parametrize("path", [*SOURCES, *PUBLISHED], ids=name)
def test_notebooks_hold_no_path_of_somebodys_machine(path: Path) -> None:
    if path.suffix == ".py":
        found = path.read_text(encoding="utf-8")
    else:
        cells = nbformat.read(path, as_version=4).cells
        found = "\n".join(cell.source + json.dumps(texts_of(cell)) for cell in cells)
    assert [found[m.start() - 20 : m.end() + 30] for m in ABSOLUTE.finditer(found)] == []


def texts_of(cell: Any) -> list[str]:
    """Return what a cell printed, without pictures."""
    outputs = cell.get("outputs", [])
    shown = [value for out in outputs for kind, value in out.get("data", {}).items() if "image" not in kind]
    return [str(out.get("text", "")) for out in outputs] + [str(value) for value in shown]


def test_mistakes_are_found() -> None:
    """The checks above, each on a text that they must not let pass."""
    for check, wrong in [
        (test_spelling_is_the_same_everywhere, "The color of a cell."),
        (test_no_word_twice_and_no_gap_in_a_line, "From which size on does the   network fail?"),
        (test_no_word_twice_and_no_gap_in_a_line, "It is the the same."),
        (test_lists_begin_on_lines_of_their_own, "- *Easy.* Do this. - *Medium.* Do that."),
        (test_rows_of_a_table_have_as_many_cells_as_its_head, "| a | b |\n|---|---|\n| 1 | 2 | | 3 | 4 |\n"),
        (test_headings_are_alike, "# A\n\n## 1 · B.\n"),
        (test_three_graded_things_to_try, "## On your own\n\n- *Easy.* A.\n- *Hard.* B.\n"),
        (test_files_that_the_text_names_exist, "See `maunet_lite/nothing.py`."),
        (test_text_names_no_path_of_somebodys_machine, "Saved to /home/ada/cells."),
    ]:
        with pytest.raises(AssertionError):
            check(wrong)
