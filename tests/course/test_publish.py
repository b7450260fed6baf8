"""Publishing, the checks on published notebooks, the website; and: is what the repository holds fresh?"""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from maunet_lite.course.publishing.pages import draw_formulas, title_and_summary, to_html, write_site
from maunet_lite.course.publishing.publish import (
    MAX_KILOBYTES,
    check,
    clean,
    is_fresh,
    publish_notebooks,
    shrink_figures,
)
from maunet_lite.course.publishing.sources import (
    NotebookError,
    declared_parameters,
    find_sources,
    load,
    source_hash,
)
from maunet_lite.course.running.profiles import PROFILES, parameters_for
from maunet_lite.course.running.runner import plan

HERE = Path(__file__).parents[1]
COURSE = HERE.parent / "notebooks"


# The repository's own notebooks.


@pytest.mark.skipif(not find_sources(COURSE), reason="no notebook has been written yet")
def test_published_notebooks_are_fresh_small_executed_and_described():
    assert check(COURSE) == []


@pytest.mark.parametrize("source", find_sources(COURSE), ids=lambda path: path.stem)
def test_quick_profile_is_what_the_notebooks_say(source):
    declared = declared_parameters(source)
    wanted = parameters_for("quick", source.stem)
    assert {name: declared[name] for name in declared if name in wanted} == {
        name: wanted[name] for name in declared if name in wanted
    }


@pytest.mark.parametrize("source", find_sources(COURSE), ids=lambda path: path.stem)
def test_profiles_name_only_parameters_that_the_notebook_declares(source):
    declared = declared_parameters(source)
    for name, profile in PROFILES.items():
        assert set(profile.notebooks.get(source.stem[:2], {})) <= set(declared)
        values = {key: value for key, value in parameters_for(name, source.stem).items() if key in declared}
        (planned,) = plan([source], name, values).values()  # refuses what is of another kind
        assert planned == {key: value for key, value in values.items() if value != declared[key]}


# Publishing a small course.


def whats(folder):
    """What is wrong with the published notebooks of a folder, without their names and what mends it."""
    problems = [problem for problem in check(folder) if not problem.startswith("exercises/")]
    return [problem.partition(": ")[2].rpartition(" (")[0] for problem in problems]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of one drawing notebook, published with the profile smoke, beside one that fails."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    (folder / "sources").mkdir(parents=True)
    for name in ("01_raises.py", "05_draws.py"):
        shutil.copy(HERE / "notebooks" / "sources" / name, folder / "sources")
    assert whats(folder) == ["not published", "not published"]
    with pytest.raises(NotebookError, match="01_raises: cell .4.:(.|\n)*KeyError: 'b'"):
        publish_notebooks(folder=folder, profile="smoke", jobs=2)
    assert [path.name for path in folder.glob("*.ipynb")] == ["05_draws.ipynb"], "what runs is published"
    assert list(folder.parent.glob("out/publish/*/01_raises.ipynb")), "and what failed can be looked at"
    (folder / "sources" / "01_raises.py").unlink()
    (folder / "exercises" / "01_raises.ipynb").unlink()
    return folder


def test_published_notebook_passes_the_check_and_is_not_made_twice(course):
    assert check(course) == []
    assert publish_notebooks(folder=course) == []


def test_published_notebook_holds_nothing_that_changes_from_run_to_run(course):
    text = (course / "05_draws.ipynb").read_text(encoding="utf-8")
    assert "papermill" not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)
    notebook = nbformat.reads(text, 4)
    assert notebook.metadata.maunet.source_sha256 == source_hash(course / "sources" / "05_draws.py")
    # smoke's STEPS differs from the notebook's, so that it is injected and seen; PROFILE, too
    assert ["injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells] == [0, 0, 1, 0]
    assert {cell.id for cell in load(course / "sources" / "05_draws.py").cells} <= {
        cell.id for cell in notebook.cells
    }
    # the progress bar on stderr is gone, the figure is there
    assert [output.output_type for output in notebook.cells[-1].outputs] == ["display_data"]


def test_changed_source_is_found_stale(course, tmp_path):
    folder = tmp_path / "notebooks"
    shutil.copytree(course, folder)
    source = folder / "sources" / "05_draws.py"
    source.write_text(source.read_text().replace("\n", "\r\n"), newline="")
    assert is_fresh(source, folder), "line ends must not matter"
    source.write_text(source.read_text() + "\n# one more thought\n")
    assert whats(folder) == ["older than its source"]


def test_site_has_a_cover_and_pages_that_need_no_network(course, tmp_path):
    (course / "picture.png").write_bytes(b"not looked at")
    cover = write_site(tmp_path / "site", course)
    text = cover.read_text(encoding="utf-8")
    assert 'href="05_draws.html"' in text
    assert "Draw a line" in text
    page = (tmp_path / "site" / "05_draws.html").read_text(encoding="utf-8")
    assert 'src="pictures/picture.png"' in page
    assert (tmp_path / "site" / "pictures" / "picture.png").exists()
    for html in (text, page):
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//|@import|url\(["']?https?:""", html)


# What the check finds: one mistake each, in a notebook that would otherwise pass.


def executed(*outputs, source="1", count=1, text="# Title"):
    cell = nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), cell])


def picture(alt=None, pixels=None):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8) if pixels is None else pixels).save(buffer, "png")
    metadata = {"image/png": {"alt": alt}} if alt else {}
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


ERROR = nbformat.v4.new_output("error", ename="KeyError", evalue="'b'", traceback=[])


@pytest.mark.parametrize(("notebook", "complaint"), [
    (executed(picture("A black square.")), None),
    (executed(stream("stdout", "fine")), None),
    (executed(picture()), "cell [1] shows a figure without a description"),
    (executed(ERROR), "cell [1] raised KeyError"),
    (executed(stream("stderr", "x.py:1: UserWarning: old\n")), "cell [1] warns: x.py:1: UserWarning: old"),
    (executed(count=None), "cells not executed, or not in order"),
    (executed(count=3), "cells not executed, or not in order"),
    (executed(text="![](a.png)"), "a picture in the text has no description"),
    (executed(text='<img src="a.png">'), "a picture in the text has no description"),
    (executed(stream("stdout", "x" * 1000 * MAX_KILOBYTES)), f"at most {MAX_KILOBYTES}"),
])  # fmt: skip
def test_check_finds(tmp_path, notebook, complaint):
    folder = tmp_path / "notebooks"
    (folder / "sources").mkdir(parents=True)
    source = folder / "sources" / "00_a.py"
    source.write_text("# %%\n1\n")
    notebook.metadata["maunet"] = {"source_sha256": source_hash(source)}
    nbformat.write(notebook, folder / "00_a.ipynb")
    found = whats(folder)
    if complaint is None:
        assert found == []
    else:
        assert len(found) == 1
        assert complaint in found[0]


def test_check_finds_a_notebook_without_source(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "sources").mkdir(parents=True)
    nbformat.write(executed(), folder / "99_old.ipynb")
    assert whats(folder) == ["has no source"]


def test_large_figures_are_shrunk_until_the_notebook_fits(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    notebook = executed(picture("Noise.", noise))
    assert len(nbformat.writes(notebook)) > 1000 * MAX_KILOBYTES
    source = tmp_path / "00_a.py"
    source.write_text("# %%\n1\n")
    cleaned = clean(notebook, source, "0" * 64, "quick")
    assert len(nbformat.writes(cleaned)) <= 1000 * MAX_KILOBYTES
    output = cleaned.cells[1].outputs[0]
    assert output.metadata == {"image/jpeg": {"alt": "Noise."}}  # noise is smaller as a JPEG
    assert set(output.data) == {"image/jpeg"}
    assert Image.open(io.BytesIO(base64.b64decode(output.data["image/jpeg"]))).width == 900
    page = to_html(cleaned)
    assert f'src="data:image/jpeg;base64,{output.data["image/jpeg"][:40]}' in page
    assert 'alt="Noise."' in page


def test_few_colours_survive_unchanged():
    pixels = np.zeros((50, 60, 3), np.uint8)
    pixels[10:30, 20:40] = (255, 128, 0)
    notebook = executed(picture("A square.", pixels))
    shrink_figures(notebook)
    png = base64.b64decode(notebook.cells[1].outputs[0].data["image/png"])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), pixels)


def test_rare_hues_stay_near_their_own():
    """A few blue squares in 900 shades of brown: stored as a PNG, they are blue, and the browns are near."""
    rng = np.random.default_rng(0)
    pixels = rng.integers((150, 60, 0), (256, 140, 60), (30, 30, 3)).astype(np.uint8)
    pixels[12:16, 12:16] = rng.integers((0, 0, 120), (90, 110, 256), (4, 4, 3))
    pixels = pixels.repeat(8, axis=0).repeat(8, axis=1)
    notebook = executed(picture("Blue in brown.", pixels))
    shrink_figures(notebook)
    png = base64.b64decode(notebook.cells[1].outputs[0].data["image/png"])
    stored = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert np.abs(stored.astype(int) - pixels).max() <= 20


def test_addresses_widgets_and_progress_bars_are_left_out(tmp_path):
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "IntSlider()"}
    notebook = executed(
        stream("stderr", "10%|█  | 1/10\r"),
        nbformat.v4.new_output("display_data", data=widget),
        nbformat.v4.new_output(
            "execute_result", data={"text/plain": "<Axes at 0x7f00deadbeef>"}, execution_count=1
        ),
    )
    source = tmp_path / "00_a.py"
    source.write_text("")
    outputs = clean(notebook, source, "0" * 64, "quick").cells[1].outputs
    assert [output.data["text/plain"] for output in outputs] == ["<Axes>"]


# Pages.


def test_formulas_are_drawn_and_code_is_left_alone():
    text = "with $\\alpha = 1/\\sqrt{S}$, `$HOME`, 3 $ and 4 $\n\n```\n$x$\n```\n$$\\frac{a}{b}$$"
    drawn = draw_formulas(text)
    assert drawn.count("<img ") == 2
    assert 'alt="\\alpha = 1/\\sqrt{S}"' in drawn
    assert "`$HOME`, 3 $ and 4 $" in drawn
    assert "```\n$x$\n```" in drawn


def test_formula_that_cannot_be_drawn_stays_readable():
    assert "<code" in draw_formulas(r"$\begin{aligned}a\end{aligned}$")
    assert r"\begin{aligned}a\end{aligned}" in draw_formulas(r"$\begin{aligned}a\end{aligned}$")


def test_page_keeps_the_description_of_a_figure():
    assert 'alt="Three cells."' in to_html(executed(picture("Three cells.")))


def test_summary_is_the_first_paragraph_of_plain_text():
    notebook = executed(
        text="![a](b.png)\n\n# Tune it\n\n![c](d.png)\n\nEach *step* is [a picture](x.md).\n\nMore."
    )
    assert title_and_summary(notebook) == ("Tune it", "Each step is a picture.")
