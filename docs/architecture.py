"""Draw the rooms of the package from its imports: ``python docs/architecture.py`` writes architecture.png.

``tests/test_architecture.py`` takes `FLOORS` and `arrows` from here, and fails on an arrow that runs up.
"""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

SIZE = (0.31, 0.68)  # of a room in the figure: width of the house, storeys
PACKAGE = Path(__file__).resolve().parents[1] / "maunet_lite"

# from the ground up; a room may use those of the floors below it, never one of its own floor
FLOORS = (
    ("figures", "postprocessing"),
    ("data",),
    ("preprocessing",),
    ("network",),
    ("inference", "export"),
    ("evaluation", "features", "scale"),
    ("training",),
    ("course",),
    ("cli",),
)


class Arrow(NamedTuple):
    """An import from one room into another: `file` takes `name` from `source`, a dotted module."""

    file: str
    room: str
    source: str
    name: str

    @property
    def target(self) -> str:
        """The room that is imported from."""
        return self.source.split(".")[1]


def arrows(package: Path = PACKAGE) -> list[Arrow]:
    """Return every import of the package that leaves its room, those inside functions included.

    Parameters
    ----------
    package : Path
        Folder of the package; its subfolders are the rooms.

    Returns
    -------
    list of Arrow
        ``import a.b`` gives the name ``"*"``; relative imports are resolved.
    """
    found = []
    for path in sorted(package.rglob("*.py")):
        here = (package.name, *path.relative_to(package).with_suffix("").parts)
        if len(here) < 3:  # the package's own __init__
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for source, name in _imported(node, here):
                parts = source.split(".")
                if parts[0] == package.name and len(parts) == 1 and (package / name).is_dir():
                    source, name = f"{source}.{name}", "*"  # from maunet_lite import room
                if parts[0] == package.name and source.count(".") and source.split(".")[1] != here[1]:
                    found.append(Arrow("/".join(here[1:]) + ".py", here[1], source, name))
    return found


def _imported(node: ast.AST, here: tuple[str, ...]) -> list[tuple[str, str]]:
    if isinstance(node, ast.Import):
        return [(alias.name, "*") for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(here[: -node.level]) if node.level else ""
        source = ".".join(filter(None, [base, node.module]))
        return [(source, alias.name) for alias in node.names]
    return []


def uses(found: list[Arrow]) -> dict[str, set[str]]:
    """Return, for each room, the rooms that it imports from."""
    table: dict[str, set[str]] = defaultdict(set)
    for arrow in found:
        table[arrow.room].add(arrow.target)
    return dict(table)


def essential(table: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out rooms that another used room uses anyway (transitive reduction), to keep a figure legible.

    Examples
    --------
    >>> essential({"c": {"a", "b"}, "b": {"a"}})
    {'c': {'b'}, 'b': {'a'}}
    """

    def reached(room: str) -> set[str]:
        return set().union(*({other} | reached(other) for other in table.get(room, ())))

    return {
        room: {one for one in below if not any(one in reached(other) for other in below)}
        for room, below in table.items()
    }


def draw(path: Path) -> None:
    """Draw the house: a line for each floor, an arrow for each room that is used and not used indirectly."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure, ax = plt.subplots(figsize=(11, 11))
    boxes = {}
    for floor, rooms in enumerate(FLOORS):
        for k, room in enumerate(rooms):
            x = (k + 0.5) / len(rooms)
            boxes[room] = FancyBboxPatch(
                (x - SIZE[0] / 2, floor - SIZE[1] / 2), *SIZE, boxstyle="round,pad=0,rounding_size=0.02",
                facecolor="#0072B2", edgecolor="none", zorder=2,
            )  # fmt: skip
            ax.add_patch(boxes[room])
            parts = sorted(part.stem for part in (PACKAGE / room).glob("[!_]*") if part.suffix in ("", ".py"))
            ax.text(x, floor + 0.2, room, ha="center", va="center", size=14, weight="bold", color="white")
            words = textwrap.fill(", ".join(parts), 44)
            ax.text(x, floor - 0.1, words, ha="center", va="center", size=8, color="white")
    for room, below in essential(uses(arrows())).items():
        for other in below:
            ends = [
                (box.get_x() + SIZE[0] / 2, box.get_y() + SIZE[1] / 2) for box in (boxes[room], boxes[other])
            ]
            ax.add_patch(
                FancyArrowPatch(
                    *ends, patchA=boxes[room], patchB=boxes[other], shrinkA=2, shrinkB=2, arrowstyle="-|>",
                    mutation_scale=16, color="0.5", zorder=1,
                )
            )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(-0.5, len(FLOORS) - 0.5))
    ax.set_title("The rooms of maunet_lite: an arrow leads to a room that is used", fontsize=14)
    ax.axis("off")
    figure.savefig(path, dpi=100, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".png"))
