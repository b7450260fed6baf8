"""Many images: corrections, names, replaced and damaged files, and two runs at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite.data import read_labels, write_labels
from maunet_lite.scale.batch import one_image, pipeline
from maunet_lite.scale.batch.segment_files import segment_files
from maunet_lite.scale.lock import one_run_in
from maunet_lite.scale.slides.blocks import Part
from maunet_lite.scale.slides.work import WorkFolder

pytestmark = pytest.mark.usefixtures("bright_cells")
ALL = {"export": "tiff,geojson", "table": True, "progress": False}


def run(inputs, out: Path, **options):
    return segment_files([inputs], out, None, **(ALL | options))


def told(out: Path, name: str) -> tuple[int, int, int]:
    """How many cells label map, tables and GeoJSON tell of an image."""
    summary, cells = pd.read_csv(out / "summary.csv"), pd.read_csv(out / "cells.csv")
    assert summary.set_index("image").loc[f"{name}.png", "status"] in ("segmented", "completed", "skipped")
    shapes = json.loads((out / f"{name}.geojson").read_text())["features"]
    return (
        len(np.unique(read_labels(out / f"{name}_label.tiff"))) - 1,
        (cells["image"] == f"{name}.png").sum(),
        len(shapes),
    )


# corrections by hand


@pytest.mark.parametrize("how", ["description kept", "description lost", "retyped", "retiled"])
def test_a_correction_is_kept_and_everything_follows_it(images, tmp_path, how, bright_cells):
    pytest.importorskip("shapely")
    out = tmp_path / "out"
    run(images, out)
    path = out / "3_label.tiff"
    with tifffile.TiffFile(path) as file:
        labels, text = file.asarray(), file.pages[0].description
    labels[labels == 2] = 0
    kind = {"retyped": np.float32}.get(how, labels.dtype)
    form = {"tile": (32, 32), "compression": "zlib"} if how == "retiled" else {}
    lost = how == "description lost"
    tifffile.imwrite(path, labels.astype(kind), description=None if lost else text, metadata=None, **form)
    bright_cells.clear()
    assert {o.image.stem: o.status for o in run(images, out)} == {
        "1": "skipped",
        "2": "skipped",
        "3": "completed",
    }
    assert told(out, "3") == (2, 2, 2)
    (again,) = run(images / "3.png", out)
    assert (again.status, "kept as it is" in again.reason) == ("skipped", True)
    (other,) = run(images / "3.png", out, scales=(2,), postprocess="paper")
    assert told(out, "3") == (2, 2, 2), "other settings must not overwrite a correction"
    assert not bright_cells
    imageio.imwrite(images / "3.png", imageio.imread(images / "1.png"))
    (changed,) = run(images / "3.png", out)
    assert (changed.status, "corrected by hand" in changed.reason) == ("failed", True)
    assert len(np.unique(read_labels(path))) == 3, "nothing is lost"
    (replaced,) = run(images / "3.png", out, overwrite=True)
    assert (replaced.status, told(out, "3")) == ("segmented", (1, 1, 1))


def test_the_same_pixels_are_no_correction(images, tmp_path):
    out = tmp_path / "out"
    run(images, out)
    with tifffile.TiffFile(out / "2_label.tiff") as file:
        labels, text = file.asarray(), file.pages[0].description
    tifffile.imwrite(out / "2_label.tiff", labels.astype(np.uint32), description=text, metadata=None)
    assert {o.status for o in run(images, out)} == {"skipped"}


def test_a_correction_of_a_label_map_in_tiles_is_seen(tmp_path, monkeypatch):
    from maunet_lite.network.maunet import build_model

    tifffile.imwrite(tmp_path / "s.tif", np.zeros((300, 280), np.uint8), tile=(128, 128))
    monkeypatch.setattr(pipeline, "needs_blocks", lambda path, memory: True)
    options = {"device": "cpu", "memory": "6GiB", "progress": False, "table": True}
    model, out = build_model("lite"), tmp_path / "out"
    assert segment_files([tmp_path / "s.tif"], out, model, **options)[0].status == "segmented"
    assert segment_files([tmp_path / "s.tif"], out, model, **options)[0].status == "skipped"
    with tifffile.TiffFile(out / "s_label.tiff", mode="r+") as file:
        labels, text = file.asarray(), file.pages[0].description
    labels[-5:, -5:] = 7
    tifffile.imwrite(out / "s_label.tiff", labels, description=text, metadata=None)
    (outcome,) = segment_files([tmp_path / "s.tif"], out, model, **options)
    assert (outcome.status, outcome.cells) == ("completed", 1)


@pytest.mark.parametrize("left", [0, 100, -200])
def test_a_damaged_label_map_is_said(images, tmp_path, left, bright_cells):
    out = tmp_path / "out"
    run(images, out)
    path = out / "2_label.tiff"
    damaged = path.read_bytes()[:left]
    path.write_bytes(damaged)
    bright_cells.clear()
    for table in (True, False):
        outcomes = run(images, out, table=table)
        assert [o.status for o in outcomes] == ["skipped", "failed", "skipped"]
        assert outcomes[1].reason.startswith("2_label.tiff cannot be read: replace it with --overwrite")
    assert set(pd.read_csv(out / "cells.csv")["image"]) == {"1.png", "3.png"}
    assert path.read_bytes() == damaged, "nothing is replaced unasked"
    assert not bright_cells
    assert run(images / "2.png", out, overwrite=True)[0].status == "segmented"
    assert told(out, "2") == (2, 2, 2)


def correct(path: Path) -> None:
    """Remove the second cell of a label map, as another program would that keeps no description."""
    labels = tifffile.imread(path)
    tifffile.imwrite(path, np.where(labels == 2, 0, labels), metadata=None)


def test_a_correction_stays_when_an_image_of_the_same_stem_comes_or_goes(images, tmp_path, bright_cells):
    out = tmp_path / "out"
    run(images, out)
    correct(out / "3_label.tiff")
    run(images, out)
    tifffile.imwrite(images / "3.tif", imageio.imread(images / "1.png"))
    names = {}
    for _ in range(2):
        names = {o.image.name: (o.labels.name, o.status) for o in run(images, out)}
    assert names["3.png"] == ("3_label.tiff", "skipped")
    assert names["3.tif"] == ("3_tif_label.tiff", "skipped")
    assert told(out, "3") == (2, 2, 2)
    (images / "3.png").unlink()
    assert [o.labels.name for o in run(images, out)][-1] == "3_tif_label.tiff"
    imageio.imwrite(images / "3.png", imageio.imread(images / "2.png"))
    changed = run(images, out)[2]
    assert (changed.status, "corrected by hand" in changed.reason) == ("failed", True)


def test_a_name_in_another_folder_of_images_takes_no_label_map(images, tmp_path):
    tifffile.imwrite(images / "3.tif", imageio.imread(images / "1.png"))
    run(images, tmp_path / "out")
    (tmp_path / "b").mkdir()
    imageio.imwrite(tmp_path / "b" / "3.png", imageio.imread(images / "2.png"))
    (other,) = run(tmp_path / "b", tmp_path / "out")
    assert (other.status, other.cells, other.labels.name) == ("segmented", 2, "3_label.tiff")


# names


def test_names_are_harmless_where_they_leave(tmp_path, images):
    names = [b"latin_\xe9.png", b"=cmd|' \x1b[31m.png", b"<img src=x>.png", b"-1+1.png"]
    for name in names:
        (Path(os.fsdecode(os.fsencode(images) + b"/" + name))).write_bytes((images / "2.png").read_bytes())
    for _ in range(2):  # the second run reads the tables of the first
        outcomes = run(images, tmp_path / "out")
        assert {o.status for o in outcomes} <= {"segmented", "skipped"}
        summary, cells = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("summary", "cells"))
        assert len(summary) == 7
        assert (cells.groupby("image").size().sort_index() == [2, 2, 1, 2, 3, 2, 2]).all()
        texts = [*summary["image"], *summary["labels"], *cells["image"]]
        assert not [text for text in texts if text[0] in "=+-@" or "\x1b" in text]
        assert "latin_\\xe9.png" in set(summary["image"])


def test_an_image_counts_once_whatever_its_label_map_is_called(images, tmp_path):
    run(images / "2.png", tmp_path / "out")
    tifffile.imwrite(images / "2.tif", imageio.imread(images / "2.png"))
    run(images, tmp_path / "out")
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert cells.groupby("image").size().to_dict() == {"1.png": 1, "2.png": 2, "2.tif": 2, "3.png": 3}


def test_an_image_that_was_replaced_by_a_damaged_file_has_no_cells(images, tmp_path):
    run(images, tmp_path / "out")
    (images / "3.png").write_bytes(b"\x89PNG no more")
    assert run(images, tmp_path / "out")[2].status == "failed"
    assert set(pd.read_csv(tmp_path / "out" / "cells.csv")["image"]) == {"1.png", "2.png"}


def test_the_only_image_that_was_replaced_by_a_damaged_file_has_no_cells(images, tmp_path):
    run(images / "3.png", tmp_path / "out")
    (images / "3.png").write_bytes(b"\x89PNG no more")
    assert run(images / "3.png", tmp_path / "out")[0].status == "failed"
    assert not (tmp_path / "out" / "cells.csv").exists()


def test_litter_is_no_image_and_a_dangling_link_is_named(images, tmp_path):
    (images / ".part-0123.tiff").write_bytes(b"")
    (images / "._1.png").write_bytes(b"\0")
    (images / "gone.png").symlink_to("nowhere.png")
    (images / "loop.png").symlink_to("loop.png")
    outcomes = run(images, tmp_path / "out")
    assert [o.image.name for o in outcomes if o.status == "failed"] == ["gone.png", "loop.png"]
    assert len(outcomes) == 5


# memory, kills, two at once


def test_a_run_outlives_the_memory_error_of_one_image(images, tmp_path, monkeypatch):
    original = one_image.read

    def read(item, plan):
        if item.image.stem == "2":
            raise MemoryError("Unable to allocate 40. GiB")
        return original(item, plan)

    monkeypatch.setattr(one_image, "read", read)
    monkeypatch.setattr(
        pipeline, "way", lambda item, *_: {}["no such way"] if item.image.stem == "3" else "together"
    )
    outcomes = run(images, tmp_path / "out")
    assert [o.status for o in outcomes] == ["segmented", "failed", "failed"]
    assert "memory" in outcomes[1].reason
    assert len(pd.read_csv(tmp_path / "out" / "summary.csv")) == 3


def test_a_small_file_of_a_large_image_goes_in_blocks(tmp_path):
    path = tmp_path / "a.tif"
    dark = np.zeros((20_000, 8_000), np.uint8)
    tifffile.imwrite(path, dark, tile=(2000, 2000), compression="zlib")
    assert path.stat().st_size < 2e6
    item = one_image.Outcome(path, tmp_path / "a_label.tiff")
    plan = one_image.Plan((), None, {}, ("tiff",), False, None, 4 * 2**30, None, {})
    assert pipeline.way(item, plan, None) == "blocks"


def test_sizes_are_in_the_summary_of_a_run_that_was_killed_before_its_tables(images, tmp_path):
    run(images, tmp_path / "out", table=False)
    run(images, tmp_path / "out")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary[["height", "width"]].to_numpy().tolist() == [[60, 100]] * 3


def test_two_runs_do_not_write_into_one_folder(images, tmp_path):
    code = "import sys, time; from maunet_lite.scale.lock import one_run_in\n"
    code += "with one_run_in(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "out"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(BlockingIOError, match=rf"in use by process {holder.pid} on .*since .*--out"):
            run(images, tmp_path / "out")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert {o.status for o in run(images, tmp_path / "out")} == {"segmented"}, "a dead holder does not block"
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_one_run_may_hold_its_folder_twice(tmp_path):
    with one_run_in(tmp_path), one_run_in(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_before_the_work(images, tmp_path, bright_cells):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        run(images, tmp_path / "out")
    assert not bright_cells


@pytest.mark.parametrize("suffix", ["npz", "npy"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_block_that_was_not_written_to_its_end_is_done_again(tmp_path, suffix, left):
    work, labels = WorkFolder(tmp_path / "cells.tif"), np.ones((4, 4), np.int32)
    for index in range(2):
        work.save(index, Part(labels, np.array([5]), np.array([0]), {}))
    work.save(2, None)
    path = work.path / f"000000.{suffix}"
    path.write_bytes(path.read_bytes()[:left])
    work.drop_damaged()
    assert work.finished() == {1, 2}
    write_labels(tmp_path / "x_label.tiff", labels)


def test_two_processes_may_make_the_simulated_images_at_once(tmp_path, monkeypatch):
    from maunet_lite.data.catalogue.entries import catalogued_folder
    from maunet_lite.data.simulation import folder as simulation

    def beaten(folder: Path, **_: object) -> None:
        folder.mkdir(parents=True)
        (folder / "metadata.csv").write_text("image\n")
        raise OSError(39, "Directory not empty")

    monkeypatch.setenv("MAUNET_DATA", str(tmp_path))
    monkeypatch.setattr(simulation, "simulate_dataset", beaten)
    assert catalogued_folder("simulated") == tmp_path / "simulated"
