"""Every notebook is built alike, and every link in the repository leads somewhere."""

from __future__ import annotations

import ast
import re
import symtable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from maunet_lite.course.exercises import registered
from maunet_lite.course.publishing.sources import declared_parameters, find_sources, has_tag, load

REPOSITORY = Path(__file__).parents[2]
SOURCES = find_sources(REPOSITORY / "notebooks")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PAGES += sorted((REPOSITORY / "notebooks").glob("*.md")) + sorted((REPOSITORY / "data").glob("*.md"))

pytestmark = pytest.mark.filterwarnings("ignore:.*zmq.*")


@pytest.fixture(params=SOURCES, ids=[path.stem for path in SOURCES])
def source(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def cells(source: Path) -> list[Any]:
    return load(source).cells


def prose(cells: list[Any]) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def code(cells: list[Any]) -> list[str]:
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_there_is_a_course() -> None:
    numbers = [path.stem[:2] for path in SOURCES]
    assert {"00", "01", "02", "05"} <= set(numbers)
    assert len(set(numbers)) == len(numbers)


def test_opening(source: Path, cells: list[Any]) -> None:
    assert cells[0].source.startswith(f"# {source.stem[:2]} · "), "a notebook begins with '# NN · Title'"
    assert "first-cell" in cells[1].metadata["tags"], "what installs the kit comes first, folded"
    assert cells[2].cell_type == "code", "the figure comes right after it"
    assert "show(" in cells[2].source
    for part in ("**You will**", "**You will learn**", "**You need**", "**Time**"):
        assert part in cells[3].source, f"the opening lacks {part}"


def test_closing(source: Path, cells: list[Any]) -> None:
    assert cells[-1].source == f'exercises.quiz("{source.stem[:2]}")'


def test_one_cell_of_literal_parameters(source: Path) -> None:
    parameters = declared_parameters(source)
    assert parameters["PROFILE"] == "quick"
    assert ... not in parameters.values()


def test_cells_are_few_and_short(cells: list[Any]) -> None:
    assert sum(not has_tag(cell, "solution") for cell in cells) <= 75  # solutions are folded into the text
    for text in code(cells):
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) <= 25, f"a code cell of {len(lines)} lines: {lines[0]}"


def test_more_prose_than_code(cells: list[Any]) -> None:
    words = len(re.findall(r"[A-Za-z]{2,}", prose(cells)))
    names = sum(len(re.findall(r"[A-Za-z]{2,}", text)) for text in code(cells))
    assert words > 0.6 * names, f"{words} words of prose beside {names} of code"


def test_predict_then_run_and_closing(cells: list[Any]) -> None:
    text = prose(cells)
    assert len(re.findall(r"\*\*Predict, then run\.?\*\*", text)) >= 2
    for heading in ("## Quality control", "## Recap", "## On your own", "## Further reading"):
        assert re.search(rf"^{heading}$", text, re.M), f"{heading} is missing"
    for grade in ("*Easy", "*Medium", "*Hard"):
        assert grade in text.split("## On your own")[1]


def test_recap_mirrors_the_goals(cells: list[Any]) -> None:
    goals = re.findall(r"^\d\. ", cells[3].source, re.M)
    recap = re.findall(r"^\d\. ", prose(cells).split("## Recap")[1].split("\n## ")[0], re.M)
    assert len(goals) >= 3
    assert len(recap) == len(goals)


def test_sections_are_numbered_without_gaps(cells: list[Any]) -> None:
    numbers = [int(n) for n in re.findall(r"^## (\d+) · ", prose(cells), re.M)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_exercise_has_stub_check_and_solution(source: Path, cells: list[Any]) -> None:
    number = source.stem[:2]
    known = {exercise.id for exercise in registered() if exercise.id.startswith(number)}
    asked = re.findall(r'exercises\.check\("(\d\d\.\d+)"', "\n".join(code(cells)))
    assert set(asked) == known, "exercises of the notebook and of its checks differ"
    for id in known:
        mine = [cell for cell in cells if cell.cell_type == "code" and f'check("{id}"' in cell.source]
        stubs = [cell for cell in mine if "solution" not in cell.metadata.get("tags", [])]
        solutions = [cell for cell in mine if "solution" in cell.metadata.get("tags", [])]
        assert len(stubs) == 1
        assert len(solutions) == 1
        assert "NotImplementedError" in stubs[0].source or "None" in stubs[0].source
        assert f"### Exercise {id}" in prose(cells)


def bound(cell: Any) -> set[str]:
    """Return the names that a cell leaves behind."""
    symbols = symtable.symtable(cell.source, "cell", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned()}


def needed(cell: Any) -> set[str]:
    """Return the names that a cell takes from earlier ones."""

    def taken(table: symtable.SymbolTable) -> set[str]:
        read = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
        outside = {symbol.get_name() for symbol in read if symbol.is_global() or table.get_type() == "module"}
        return outside.union(*map(taken, table.get_children()))

    return taken(symtable.symtable(cell.source, "cell", "exec")) - bound(cell)


def answers_in_the_way(cells: list[Any]) -> list[str]:
    """Return where a solution overwrites what a learner wrote, or where a cell stops without an answer."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    solutions = [cell for cell in code if has_tag(cell, "solution")]
    stubs = [cell for cell in code if 'check("' in cell.source and cell not in solutions]
    others = [cell for cell in code if cell not in solutions + stubs]
    given = set().union(*map(bound, solutions))
    asked = set().union(*map(bound, stubs)) - set().union(*map(bound, others))
    found = [f"a solution overwrites {name}" for cell in stubs + others for name in given & bound(cell)]
    return found + [f"{name} may be missing" for cell in others for name in (given | asked) & needed(cell)]


def test_run_all_keeps_what_a_learner_wrote_and_does_not_stop_without_it(cells: list[Any]) -> None:
    assert answers_in_the_way(cells) == []


@pytest.mark.parametrize(
    ("solution", "later", "complaint"),
    [
        ("twice_solution = lambda x: 2 * x", "twice_by_hand = 4", []),
        ("def twice(x): return 2 * x", "", ["a solution overwrites twice"]),
        ("", "print(twice(2))", ["twice may be missing"]),
        ("four = 2 + 2", "print([four for _ in range(2)])", ["four may be missing"]),
        ("", "def double(x):\n    return twice(x)", ["twice may be missing"]),
        ("", "def draw(twice):\n    return twice", []),
    ],
)
def test_an_answer_in_the_way_is_found(solution: str, later: str, complaint: list[str]) -> None:
    stub = 'def twice(x):\n    raise NotImplementedError\n\nexercises.check("00.1", twice)'
    cells = [nbformat.v4.new_code_cell(text) for text in (stub, solution, later)]
    cells[1].metadata["tags"] = ["solution"]
    assert answers_in_the_way(cells) == complaint


def test_each_figure_is_described(cells: list[Any]) -> None:
    for text in code(cells):
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "show":
                described = len(node.args) > 1 or any(keyword.arg == "alt" for keyword in node.keywords)
                assert described, ast.unparse(node)
            assert "plt.show" not in text


def anchors(text: str) -> set[str]:
    """Names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_links_on_pages_resolve(page: Path) -> None:
    check_links(page.read_text(encoding="utf-8"), page.parent)


def test_links_in_notebooks_resolve(source: Path, cells: list[Any]) -> None:
    check_links(prose(cells), source.parent.parent)


def check_links(text: str, folder: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S))
    for target in targets:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = folder / path
        assert found.exists(), f"{target} leads nowhere"
        if anchor and (not path or found.suffix == ".md"):
            page = found.read_text(encoding="utf-8") if path else text
            assert anchor in anchors(page), f"{target} has no such heading"


@pytest.mark.parametrize(
    ("link", "complaint"),
    [("nothing.md", "leads nowhere"), ("page.md#b", "no such heading"), ("#b", "no such heading")],
)
def test_check_links_finds_a_broken_one(tmp_path: Path, link: str, complaint: str) -> None:
    (tmp_path / "page.md").write_text("# A\n", encoding="utf-8")
    check_links("# B\n\nsee [this](page.md), [its heading](page.md#a) and [above](#b)", tmp_path)
    with pytest.raises(AssertionError, match=complaint):
        check_links(f"# C\n\nsee [this]({link})", tmp_path)
