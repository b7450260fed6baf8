"""Many images at once: nothing is lost, nothing done twice, and the tables say what became of each."""

from __future__ import annotations

import json
import shutil
import threading

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite import batch_image
from maunet_lite.batch import find_images, segment_files
from maunet_lite.images import read_labels, write_labels
from maunet_lite.maps import Maps
from maunet_lite.measure import measure_cells


@pytest.fixture
def images(tmp_path):
    """Six images with 1 … 6 bright squares, one of them in colour, and a broken file."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 7):
        image = np.full((60, 100), 20, np.uint8)
        for k in range(number):
            image[10:22, 5 + 15 * k : 17 + 15 * k] = 200
        if number == 4:
            image = np.stack([image, image, image], axis=2)
        imageio.imwrite(folder / f"{number}.png", image)
    (folder / "3.png").write_bytes(b"no image")
    return folder


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """In place of a network a rule that knows these images: what is bright is a cell."""
    asked = []

    def predict(models, image, **options):
        asked.append(threading.current_thread())
        bright = image.reshape(*image.shape[:2], -1)[..., 0] > 100
        probabilities = np.stack([~bright, bright, np.zeros_like(bright)]).astype(np.float32)
        return Maps(probabilities, None)

    monkeypatch.setattr(batch_image, "predict", predict)
    return asked


def run(images, tmp_path, **options):
    return segment_files([images], tmp_path / "out", None, progress=False, **options)


def read_tables(tmp_path):
    out = tmp_path / "out"
    return pd.read_csv(out / "summary.csv"), pd.read_csv(out / "cells.csv")


def test_each_image_has_a_row_and_each_cell_too(images, tmp_path):
    outcomes = run(images, tmp_path, table=True, pixel_size=0.5)
    assert [(o.image.stem, o.status, o.cells) for o in outcomes] == [
        ("1", "segmented", 1), ("2", "segmented", 2), ("3", "failed", 0), ("4", "segmented", 4),
        ("5", "segmented", 5), ("6", "segmented", 6),
    ]  # fmt: skip
    summary, cells = read_tables(tmp_path)
    assert summary["image"].tolist() == [f"{k}.png" for k in range(1, 7)]
    assert summary["cells"].tolist()[3:] == [4, 5, 6]
    assert summary.loc[0, ["height", "width"]].tolist() == [60, 100]
    stages = [f"seconds_{stage}" for stage in ("read", "network", "postprocess", "write")]
    assert (summary.loc[[0, 1, 3, 4, 5], stages] >= 0).all(axis=None)
    assert "3" not in str(summary.loc[0, "reason"])
    assert len(summary.loc[2, "reason"]) > 10
    assert cells.groupby("image").size().to_dict() == {
        "1.png": 1,
        "2.png": 2,
        "4.png": 4,
        "5.png": 5,
        "6.png": 6,
    }
    assert {"intensity_mean", "intensity_mean_0", "area_um2"} <= set(cells.columns), "grey and colour images"
    expected = measure_cells(read_labels(tmp_path / "out" / "5_label.tiff"), imageio.imread(images / "5.png"))
    got = cells[cells["image"] == "5.png"]
    np.testing.assert_allclose(got[["area", "intensity_mean"]], expected[["area", "intensity_mean"]])


def test_parquet_holds_the_same(images, tmp_path):
    pytest.importorskip("pyarrow")
    run(images, tmp_path, table=True)
    for name in ("summary", "cells"):
        text = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        table = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert list(table.columns) == list(text.columns)
        assert table["image"].tolist() == text["image"].tolist()
    assert table["area"].tolist() == text["area"].tolist()
    assert table["touches_border"].dtype == bool


def test_resumed_run_has_all_images_in_its_tables(images, tmp_path, network):
    shutil.move(images / "6.png", tmp_path / "6.png")
    run(images, tmp_path, table=True)
    first, _ = read_tables(tmp_path)
    shutil.move(tmp_path / "6.png", images / "6.png")
    imageio.imwrite(images / "3.png", imageio.imread(images / "2.png"))  # mended
    network.clear()
    outcomes = run(images, tmp_path, table=True)
    assert len(network) == 2, "only the new one and the mended one"
    assert [o.status for o in outcomes] == [
        "skipped",
        "skipped",
        "segmented",
        "skipped",
        "skipped",
        "segmented",
    ]
    summary, cells = read_tables(tmp_path)
    assert summary["cells"].tolist() == [1, 2, 2, 4, 5, 6]
    assert summary["height"].tolist() == [60] * 6
    assert summary.loc[0, "seconds_network"] == first.loc[0, "seconds_network"]
    assert len(cells) == 20


def test_tables_survive_the_loss_of_all_tables(images, tmp_path, network):
    run(images, tmp_path)  # as after a run that was killed: label maps and nothing else
    (images / "3.png").unlink()
    network.clear()
    outcomes = run(images, tmp_path, table=True)
    assert not network
    assert {o.status for o in outcomes} == {"completed"}
    summary, cells = read_tables(tmp_path)
    assert summary["cells"].tolist() == [1, 2, 4, 5, 6]
    assert len(cells) == 18


def test_rows_of_other_images_in_the_folder_stay(images, tmp_path):
    out = tmp_path / "out"
    segment_files([images / "1.png"], out, None, progress=False, table=True)
    segment_files([images / "2.png"], out, None, progress=False, table=True)
    summary, cells = read_tables(tmp_path)
    assert summary["image"].tolist() == ["1.png", "2.png"]
    assert len(cells) == 3
    (out / "1_label.tiff").unlink()
    segment_files([images / "2.png"], out, None, progress=False, table=True)
    assert read_tables(tmp_path)[0]["image"].tolist() == ["2.png"]


def test_formats_are_added_without_the_network(images, tmp_path, network):
    pytest.importorskip("roifile")
    run(images, tmp_path)
    network.clear()
    run(images, tmp_path, export="rois,geojson")
    assert not network
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"5_label.tiff", "5_rois.zip", "5.geojson"} <= names
    features = json.loads((tmp_path / "out" / "5.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["intensity_max"] for f in features] == [200] * 5


def test_label_map_of_another_size_is_not_taken(images, tmp_path):
    write_labels(tmp_path / "out" / "1_label.tiff", np.eye(5, dtype=int))
    outcome = segment_files([images / "1.png"], tmp_path / "out", None, progress=False, table=True)[0]
    assert (outcome.status, "--overwrite" in outcome.reason) == ("failed", True)


def test_stages_overlap(images, tmp_path, monkeypatch, network):
    """The first image may be finished only once the second has been seen: one stage at a time would hang."""
    both_seen, count = threading.Event(), []
    original_see, original_finish = batch_image.see, batch_image.finish

    def see(*arguments):
        count.append(1)
        if len(count) == 2:
            both_seen.set()
        return original_see(*arguments)

    def finish(*arguments):
        assert both_seen.wait(timeout=20), "the network waits for the writer"
        return original_finish(*arguments)

    monkeypatch.setattr(batch_image, "see", see)
    monkeypatch.setattr(batch_image, "finish", finish)
    outcomes = segment_files([images / "1.png", images / "2.png"], tmp_path / "out", None, progress=False)
    assert [o.status for o in outcomes] == ["segmented"] * 2
    assert set(network) == {threading.main_thread()}, "Ctrl-C reaches the network"


def test_few_images_are_in_memory(tmp_path, monkeypatch):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(12):
        imageio.imwrite(folder / f"{number:02d}.png", np.zeros((8, 8), np.uint8))
    alive, most = 0, 0
    lock = threading.Lock()
    original_read, original_finish = batch_image.read, batch_image.finish

    def read(*arguments):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return original_read(*arguments)

    def finish(*arguments):
        nonlocal alive
        try:
            return original_finish(*arguments)
        finally:
            with lock:
                alive -= 1

    monkeypatch.setattr(batch_image, "read", read)
    monkeypatch.setattr(batch_image, "finish", finish)
    segment_files([folder], tmp_path / "out", None, progress=False)
    assert most <= 6


def test_ctrl_c_keeps_what_is_done(images, tmp_path, monkeypatch):
    original = batch_image.see
    calls = []

    def see(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(batch_image, "see", see)
    with pytest.raises(KeyboardInterrupt):
        run(images, tmp_path, table=True)
    out = tmp_path / "out"
    done = {path.name for path in out.glob("*_label.tiff")}
    assert done <= {"1_label.tiff", "2_label.tiff"}
    assert not list(out.glob(".part*"))
    summary, cells = read_tables(tmp_path)
    assert set(summary.loc[summary["status"] == "segmented", "labels"]) == done
    assert set(cells["image"]) == {name.replace("_label.tiff", ".png") for name in done}
    assert threading.active_count() == 1 or not [
        t for t in threading.enumerate() if t.name.startswith("finish")
    ]
    monkeypatch.setattr(batch_image, "see", original)
    assert [o.cells for o in run(images, tmp_path, table=True) if o.status == "segmented"][-3:] == [4, 5, 6]


# large images


def test_large_images_are_segmented_in_blocks(images, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from maunet_lite import slides

    tifffile.imwrite(images / "slide.tif", np.zeros((300, 400), np.uint8))
    called = {}

    def segment_slide(source, out, model, **options):
        called[source.name] = options
        labels = np.zeros((300, 400), np.int32)
        labels[5:9, 5:9] = 1
        write_labels(out, labels)
        return SimpleNamespace(cells=1)

    monkeypatch.setattr(slides, "segment_slide", segment_slide)
    monkeypatch.setattr(slides, "needs_blocks", lambda path, memory: path.name == "slide.tif")
    outcomes = run(images, tmp_path, table=True, memory="8MB", gpu_memory="1GiB", device="cpu")
    assert list(called) == ["slide.tif"]
    assert called["slide.tif"]["memory"] == 8_000_000
    assert called["slide.tif"]["gpu_memory"] == "1GiB"
    assert [o.cells for o in outcomes if o.image.name == "slide.tif"] == [1]
    summary, cells = read_tables(tmp_path)
    assert summary["cells"].dropna().tolist()[-1] == 1
    assert (cells["image"] == "slide.tif").sum() == 1


def test_table_that_does_not_fit_is_left_out_and_said(images, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from maunet_lite import slides

    tifffile.imwrite(images / "slide.tif", np.zeros((300, 400), np.uint8))

    def segment_slide(source, out, model, **options):
        write_labels(out, np.ones((300, 400), np.int32))
        return SimpleNamespace(cells=1)

    monkeypatch.setattr(slides, "segment_slide", segment_slide)
    monkeypatch.setattr(slides, "needs_blocks", lambda path, memory: True)
    outcome = segment_files(
        [images / "slide.tif"], tmp_path / "out", None, table=True, memory="1MB", progress=False
    )
    assert outcome[0].status == "segmented"
    assert "too large for cells" in outcome[0].reason


def test_zarr_folders_are_images(tmp_path):
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "b.zarr").mkdir()
    assert [path.name for path in find_images([tmp_path])] == ["a.ome.zarr", "b.zarr"]
    assert find_images([tmp_path / "b.zarr"]) == [tmp_path / "b.zarr"]


# pools


class Pool:
    """Does tasks in another order, as a cluster would, through copies of what it is given."""

    n_workers = 2

    def map(self, function, items, **common):
        import pickle

        for index in reversed(range(len(items))):
            task, options = pickle.loads(pickle.dumps((items[index], common)))
            try:
                yield index, function(task, **options)
            except Exception as error:
                yield index, error


def test_images_are_tasks_of_a_pool(images, tmp_path, monkeypatch):
    from maunet_lite import cluster

    loaded = []
    monkeypatch.setattr(cluster, "cached_model", lambda name, device="cpu": loaded.append(name) or name)
    outcomes = segment_files([images], tmp_path / "out", "lite", pool=Pool(), table=True, progress=False)
    assert [o.status for o in outcomes] == ["segmented", "segmented", "failed"] + ["segmented"] * 3
    assert [o.cells for o in outcomes] == [1, 2, 0, 4, 5, 6]
    assert set(loaded) == {"lite"}
    assert len(read_tables(tmp_path)[1]) == 18
    assert {o.status for o in segment_files([images], tmp_path / "out", "lite", pool=Pool(), table=True,
                                            progress=False)} == {"skipped", "failed"}  # fmt: skip


@pytest.mark.slow
def test_images_on_a_cluster_of_processes(images, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from maunet_lite.checkpoints import save_model
    from maunet_lite.cluster import open_pool
    from maunet_lite.model import build_model

    model = save_model(build_model("lite"), tmp_path / "model.safetensors", {})
    with open_pool(workers=2) as pool:
        outcomes = segment_files(
            [images], tmp_path / "out", model, pool=pool, table=True, device="cpu", progress=False
        )
    assert [o.status for o in outcomes] == ["segmented", "segmented", "failed"] + ["segmented"] * 3
    assert len(list((tmp_path / "out").glob("*_label.tiff"))) == 5
    assert len(read_tables(tmp_path)[0]) == 6
