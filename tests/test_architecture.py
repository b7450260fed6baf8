"""The house of the package: which rooms there are, what they hand out, and who may use whom."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "maunet_lite"


def _load(path: Path):
    spec = importlib.util.spec_from_file_location("architecture", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its NamedTuple looks itself up
    spec.loader.exec_module(module)
    return module


architecture = _load(REPOSITORY / "docs" / "architecture.py")
FLOOR = {room: floor for floor, rooms in enumerate(architecture.FLOORS) for room in rooms}
ROOMS = sorted(FLOOR)


def faults(package: Path) -> list[str]:
    """Return every import of a package that breaks the rules of the house."""
    found = []
    for arrow in architecture.arrows(package):
        what = f"{arrow.file} takes {arrow.name} from {arrow.source}"
        if FLOOR[arrow.target] >= FLOOR[arrow.room]:
            found.append(f"{what}: the arrow does not lead down")
        if arrow.source.count(".") > 1:
            found.append(f"{what}: not through the door of the room")
        elif arrow.name != "*":
            room = importlib.import_module(arrow.source)
            if arrow.name.startswith("_") or arrow.name not in room.__all__:
                found.append(f"{what}: the room does not hand it out")
    return found


def test_every_arrow_leads_down_and_takes_a_public_name():
    assert faults(PACKAGE) == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("from maunet_lite.training import train", "does not lead down"),
        ("from maunet_lite.scale import open_pool", "does not lead down"),  # a room of the same floor
        ("def f():\n    import maunet_lite.cli", "does not lead down"),
        ("from maunet_lite import course", "does not lead down"),
        ("from maunet_lite.data.images import read_image", "not through the door"),
        ("from ..data.images import read_image", "not through the door"),
        ("from maunet_lite.data import _secret", "does not hand it out"),
        ("from maunet_lite.data import images", "does not hand it out"),
    ],
)
def test_a_wrong_arrow_is_found(code: str, fault: str, tmp_path: Path):
    package = tmp_path / "maunet_lite"
    for room in ROOMS:
        (package / room).mkdir(parents=True)
    (package / "evaluation" / "wrong.py").write_text(code)
    assert [fault in text for text in faults(package)] == [True]


def test_right_arrows_are_right(tmp_path: Path):
    package = tmp_path / "maunet_lite"
    for room in ROOMS:
        (package / room).mkdir(parents=True)
    (package / "evaluation" / "right.py").write_text(
        "from maunet_lite.data import read_image\n"
        "from maunet_lite.evaluation.metrics import _private\n"
        "from maunet_lite import data\n"
    )
    assert faults(package) == []


def test_the_house_has_its_rooms_and_nothing_else():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert entries == {*ROOMS, "weights", "__init__.py", "py.typed"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_small_and_says_what_it_is_for(room: str):
    parts = [
        p
        for p in (PACKAGE / room).iterdir()
        if p.name not in ("__init__.py", "__init__.pyi", "__main__.py", "__pycache__")
    ]
    assert 3 <= len(parts) <= 7, sorted(part.name for part in parts)
    text = importlib.import_module(f"maunet_lite.{room}").__doc__
    assert all(word in text for word in ("Comes in:", "Goes out:", "Paper:", "Notebook"))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_are_short(path: Path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            lines = node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)
            assert lines <= 50, f"{node.name} has {lines} lines beside its docstring"


@pytest.mark.parametrize("room", ["maunet_lite", *(f"maunet_lite.{room}" for room in ROOMS)])
def test_every_name_that_is_handed_out_exists(room: str):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_a_function_wins_over_the_module_of_its_name():
    # whatever is imported first
    code = (
        "import maunet_lite.inference.predict, maunet_lite.postprocessing.segment\n"
        "import maunet_lite.evaluation.evaluate\n"
        "from maunet_lite.inference.predict import resolve_device\n"
        "from maunet_lite.inference import predict\n"
        "from maunet_lite.postprocessing import segment\n"
        "from maunet_lite.evaluation import evaluate\n"
        "print(all(map(callable, (predict, segment, evaluate))))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert out.stdout.strip() == "True"


def loaded_by(code: str) -> set[str]:
    """Return which heavy modules a fresh interpreter has loaded after `code`."""
    show = "import sys; print(*({'torch', 'monai', 'matplotlib', 'pandas', 'skimage'} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    return set(out.stdout.splitlines()[-1].split())


def test_rooms_load_neither_torch_nor_monai_before_they_are_used():
    imports = "\n".join(f"import maunet_lite.{room}" for room in ROOMS)
    assert loaded_by(imports) == set()


def test_help_loads_neither_torch_nor_monai():
    code = """
        import sys
        from maunet_lite.cli import main

        sys.argv[1:] = ["--help"]
        try:
            main()
        except SystemExit:
            pass
    """
    assert not loaded_by(textwrap.dedent(code)) & {"torch", "monai"}


def test_segmenting_with_lite_loads_no_monai():
    code = "import numpy, maunet_lite as ml\nml.segment(numpy.zeros((32, 40), 'uint8'), device='cpu')"
    loaded = loaded_by(code)
    assert "torch" in loaded
    assert "monai" not in loaded


PAGES = [
    *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md",
    *(REPOSITORY / "notebooks" / "sources").glob("*.py"), *PACKAGE.rglob("*.py"),
]  # fmt: skip
NAME = re.compile(rf"`(?:maunet_lite\.)?((?:{'|'.join(ROOMS)})(?:\.[A-Za-z_]\w*)+)(?=[`(])")


def exists(name: str) -> bool:
    """Tell whether a dotted name leads somewhere in the package: through modules, names of rooms, fields."""
    thing, path = importlib.import_module("maunet_lite"), "maunet_lite"
    for part in name.split("."):
        path = f"{path}.{part}"
        if hasattr(thing, "__path__") and importlib.util.find_spec(path) and not hasattr(thing, part):
            thing = importlib.import_module(path)
        elif hasattr(thing, part):
            thing = getattr(thing, part)
        else:  # a field without a default is the last part of a name
            return part in getattr(thing, "__dataclass_fields__", {}) and name.endswith(f".{part}")
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_names_that_prose_gives_exist(page: Path):
    names = {
        name for name in NAME.findall(page.read_text(encoding="utf-8")) if not name.endswith((".py", ".md"))
    }
    rooms = page.relative_to(PACKAGE).parts[:1] if page.is_relative_to(PACKAGE) else ()
    # within a room, names may begin at one of its folders
    assert [name for name in sorted(names) if not exists(name) and not exists(".".join([*rooms, name]))] == []


def test_a_name_that_leads_nowhere_is_found():
    assert all(map(exists, ("data.read_image", "scale.slides.intensity", "network.ModelConfig.widths")))
    assert not any(map(exists, ("data.nothing", "scale.slides.nothing", "network.ModelConfig.nothing")))


def circles(package: Path) -> list[list[str]]:
    """Return the modules of a package that import each other, imports inside functions included."""
    paths = {".".join(p.relative_to(package.parent).with_suffix("").parts): p for p in package.rglob("*.py")}
    uses = {name: set() for name in paths if not name.endswith("__init__")}
    for name in uses:
        for node in ast.walk(ast.parse(paths[name].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                taken = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                uses[name] |= taken & uses.keys()
    while free := {name for name, below in uses.items() if not below}:  # take away what stands on nothing
        uses = {name: below - free for name, below in uses.items() if name not in free}
    return [[name, *sorted(below)] for name, below in sorted(uses.items())]


def test_no_modules_import_each_other(tmp_path: Path):
    assert circles(PACKAGE) == []
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.py").write_text(f"def f():\n    from {tmp_path.name}.{other} import g\n")
    assert len(circles(tmp_path)) == 3
