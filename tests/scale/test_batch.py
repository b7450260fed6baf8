"""Many images at once: nothing is lost, nothing done twice, and the tables say what became of each."""

from __future__ import annotations

import json
import shutil
import threading

import cv2
import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from maunet_lite.data import DatasetError, open_slide, pixel_size, read_image, read_labels, write_labels
from maunet_lite.export.measure import measure_cells
from maunet_lite.inference import Size, Sized
from maunet_lite.network import load_model
from maunet_lite.network.maunet import build_model
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.preprocessing import make_targets
from maunet_lite.scale import provenance
from maunet_lite.scale.batch import one_image, pipeline
from maunet_lite.scale.batch.segment_files import find_images, is_result, label_paths, segment_files
from maunet_lite.scale.slides import job, survey
from maunet_lite.scale.slides.work import WorkFolder


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

    monkeypatch.setattr(one_image, "predict_sized", lambda *args, **how: Sized(predict(*args, **how), Size()))
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
    original_see, original_finish = one_image.see, one_image.finish

    def see(*arguments):
        count.append(1)
        if len(count) == 2:
            both_seen.set()
        return original_see(*arguments)

    def finish(*arguments):
        assert both_seen.wait(timeout=20), "the network waits for the writer"
        return original_finish(*arguments)

    monkeypatch.setattr(one_image, "see", see)
    monkeypatch.setattr(one_image, "finish", finish)
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
    original_read, original_finish = one_image.read, one_image.finish

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

    monkeypatch.setattr(one_image, "read", read)
    monkeypatch.setattr(one_image, "finish", finish)
    segment_files([folder], tmp_path / "out", None, progress=False)
    assert most <= 6


def test_ctrl_c_keeps_what_is_done(images, tmp_path, monkeypatch):
    original = one_image.see
    calls = []

    def see(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(one_image, "see", see)
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
    monkeypatch.setattr(one_image, "see", original)
    assert [o.cells for o in run(images, tmp_path, table=True) if o.status == "segmented"][-3:] == [4, 5, 6]


# large images


def test_large_images_are_segmented_in_blocks(images, tmp_path, monkeypatch):
    from types import SimpleNamespace

    tifffile.imwrite(images / "slide.tif", np.zeros((300, 400), np.uint8))
    called = {}

    def segment_slide(source, out, model, **options):
        called[source.name] = options
        labels = np.zeros((300, 400), np.int32)
        labels[5:9, 5:9] = 1
        write_labels(out, labels)
        return SimpleNamespace(cells=1, diameter=float("nan"), scale=1.0)

    monkeypatch.setattr(pipeline, "segment_slide", segment_slide)
    monkeypatch.setattr(pipeline, "needs_blocks", lambda path, memory: path.name == "slide.tif")
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

    tifffile.imwrite(images / "slide.tif", np.zeros((300, 400), np.uint8))

    def segment_slide(source, out, model, **options):
        write_labels(out, np.ones((300, 400), np.int32))
        return SimpleNamespace(cells=1, diameter=float("nan"), scale=1.0)

    monkeypatch.setattr(pipeline, "segment_slide", segment_slide)
    monkeypatch.setattr(pipeline, "needs_blocks", lambda path, memory: True)
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


def test_images_are_tasks_of_a_pool(images, tmp_path):
    outcomes = segment_files([images], tmp_path / "out", "lite", pool=Pool(), table=True, progress=False)
    assert [o.status for o in outcomes] == ["segmented", "segmented", "failed"] + ["segmented"] * 3
    assert [o.cells for o in outcomes] == [1, 2, 0, 4, 5, 6]
    assert len(read_tables(tmp_path)[1]) == 18
    assert {o.status for o in segment_files([images], tmp_path / "out", "lite", pool=Pool(), table=True,
                                            progress=False)} == {"skipped", "failed"}  # fmt: skip


@pytest.mark.slow
def test_images_on_a_cluster_of_processes(images, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from maunet_lite.network import save_model
    from maunet_lite.network.maunet import build_model
    from maunet_lite.scale.pool import open_pool

    model = save_model(build_model("lite"), tmp_path / "model.safetensors", {})
    with open_pool(workers=2) as pool:
        outcomes = segment_files(
            [images], tmp_path / "out", model, pool=pool, table=True, device="cpu", progress=False
        )
    assert [o.status for o in outcomes] == ["segmented", "segmented", "failed"] + ["segmented"] * 3
    assert len(list((tmp_path / "out").glob("*_label.tiff"))) == 5
    assert len(read_tables(tmp_path)[0]) == 6


# what a label map was made from


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


def segment_one(image, out, **options):
    (outcome,) = segment_files([image], out, options.pop("model", None), progress=False, **options)
    return outcome


def test_label_map_of_another_image_is_neither_kept_silently_nor_lost(images, tmp_path, network):
    """Two folders with the same names and one folder of results."""
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    imageio.imwrite(other / "1.png", imageio.imread(images / "2.png"))
    assert segment_one(images / "1.png", out).cells == 1
    outcome = segment_one(other / "1.png", out)
    assert outcome.status == "failed"
    assert "made from another image, 1.png of another folder" in outcome.reason
    assert "--overwrite" in outcome.reason
    assert read_labels(out / "1_label.tiff").max() == 1, "what was there is not lost"
    assert segment_one(other / "1.png", out, overwrite=True).cells == 2
    assert segment_one(other / "1.png", out).status == "skipped"


def test_changed_image_is_segmented_again_with_all_its_files(images, tmp_path, network):
    out, image = tmp_path / "out", images / "1.png"
    run(images, tmp_path, table=True, overlay=True)
    before = (out / "1_overlay.png").read_bytes()
    imageio.imwrite(image, imageio.imread(images / "2.png"))
    network.clear()
    outcomes = run(images, tmp_path, table=True)  # without the overlay: it must not stay as it was
    assert statuses(outcomes) == ["segmented", "skipped", "failed", "skipped", "skipped", "skipped"]
    assert outcomes[0].reason == "made anew: changed since (image)"
    assert len(network) == 1
    assert read_labels(out / "1_label.tiff").max() == 2
    assert (out / "1_overlay.png").read_bytes() != before
    assert read_tables(tmp_path)[1].groupby("image").size()["1.png"] == 2
    assert segment_one(image, out).status == "skipped"


def test_other_settings_segment_again(images, tmp_path, network):
    out, image = tmp_path / "out", images / "1.png"
    segment_one(image, out)
    same = {"scales": "auto", "device": "cpu", "batch_size": 3, "memory": "1GiB", "postprocess": "default"}
    assert segment_one(image, out, **same).status == "skipped", "they change how, not what"
    outcome = segment_one(image, out, scales=(1, 1.25))
    assert (outcome.status, outcome.reason) == ("segmented", "made anew: changed since (options)")
    assert segment_one(image, out, scales=(1, 1.25)).status == "skipped"
    outcome = segment_one(image, out, scales=(1, 1.25), postprocess="paper")
    assert outcome.reason == "made anew: changed since (postprocess)"


def test_other_weights_segment_again(images, tmp_path, network):
    import torch

    from maunet_lite.network import save_model
    from maunet_lite.network.maunet import build_model

    out, image = tmp_path / "out", images / "1.png"
    model = build_model("lite")
    file = save_model(model, tmp_path / "m.safetensors", {})
    segment_one(image, out, model=model)
    assert segment_one(image, out, model=file).status == "skipped", "a file and what was read from it"
    with torch.no_grad():
        next(model.parameters()).add_(1)
    outcome = segment_one(image, out, model=model)
    assert (outcome.status, outcome.reason) == ("segmented", "made anew: changed since (models)")


def test_copies_are_recognised(images, tmp_path, network):
    """Of a folder of images, of a folder of results, or of both; a plain copy has new dates."""
    run(images, tmp_path, table=True)
    for folder, copy in ((images, tmp_path / "moved"), (tmp_path / "out", tmp_path / "out2")):
        copy.mkdir()
        for path in folder.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy / path.name)
    network.clear()
    for source, out in ((images, "out2"), (tmp_path / "moved", "out"), (tmp_path / "moved", "out2")):
        outcomes = segment_files([source], tmp_path / out, None, table=True, progress=False)
        assert statuses(outcomes) == ["skipped", "skipped", "failed", "skipped", "skipped", "skipped"]
    assert not network


def test_label_map_corrected_by_hand_is_kept_and_said(images, tmp_path, network):
    out, image = tmp_path / "out", images / "2.png"
    segment_one(image, out)
    labels = read_labels(out / "2_label.tiff")
    write_labels(out / "2_label.tiff", np.where(labels == 1, 0, labels))  # by another program
    outcome = segment_one(image, out, scales=(2,))
    assert (outcome.status, "no record" in outcome.reason) == ("skipped", True)
    assert segment_one(image, out, table=True).status == "completed"
    assert len(pd.read_csv(out / "cells.csv")) == 1, "cells of the corrected map"


def test_record_does_not_change_pixels_and_holds_no_path(images, tmp_path):
    segment_one(images / "2.png", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "2_label.tiff") as file:
        text = file.pages[0].description
        assert file.asarray().dtype == np.uint16
    assert json.loads(text)["image"]["name"] == "2.png"
    assert str(tmp_path) not in text


def test_another_pixel_size_measures_again_without_the_network(images, tmp_path, network):
    out, image = tmp_path / "out", images / "2.png"
    segment_one(image, out, table=True, pixel_size=0.5)
    network.clear()
    assert segment_one(image, out, table=True, pixel_size=1.0).status == "completed"
    cells = pd.read_csv(out / "cells.csv")
    np.testing.assert_allclose(cells["area_um2"], cells["area"])
    assert segment_one(image, out, table=True, pixel_size=1.0).status == "skipped"
    assert not network


def test_another_pixel_size_reaches_the_label_map_alone(images, tmp_path, network):
    out, image = tmp_path / "out", images / "2.png"
    segment_one(image, out)
    before, asked = read_labels(out / "2_label.tiff"), len(network)
    assert segment_one(image, out, pixel_size=0.5).status == "completed"
    assert pixel_size(out / "2_label.tiff") == 0.5
    np.testing.assert_array_equal(read_labels(out / "2_label.tiff"), before)
    record = provenance.read_record(out / "2_label.tiff")
    assert (record["pixel_size"], record["files"]) == (0.5, ["tiff"])
    assert segment_one(image, out, pixel_size=0.5).status == "skipped"
    assert segment_one(image, out, table=True, pixel_size=0.5).status == "completed"
    assert segment_one(image, out, pixel_size=2.0).status == "completed", "the tables follow"
    cells = pd.read_csv(out / "cells" / "2.csv")
    np.testing.assert_allclose(cells["area_um2"], 4 * cells["area"])
    assert segment_one(image, out, scales=(2,), pixel_size=0.5).reason.startswith("made anew")
    assert len(network) == asked + 1


def test_another_pixel_size_of_a_correction_is_noted_once(images, tmp_path, network):
    out, image = tmp_path / "out", images / "2.png"
    segment_one(image, out, table=True)
    tifffile.imwrite(out / "2_label.tiff", read_labels(out / "2_label.tiff") % 2, metadata=None)
    assert segment_one(image, out, table=True).status == "completed"
    content = (out / "2_label.tiff").read_bytes()
    assert segment_one(image, out, pixel_size=0.5).status == "completed"
    assert segment_one(image, out, pixel_size=0.5).status == "skipped"
    assert (out / "2_label.tiff").read_bytes() == content, "a person's file stays as it is"
    assert len(network) == 1


def test_pixel_size_of_the_file_goes_into_every_export_and_table(tmp_path, network):
    pytest.importorskip("roifile")
    zarr = pytest.importorskip("zarr")
    image = np.full((60, 100), 20, np.uint8)
    image[10:22, 5:17] = 200
    tifffile.imwrite(tmp_path / "a.ome.tif", image, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.325,
                     "PhysicalSizeY": 0.325})  # fmt: skip
    out, formats = tmp_path / "out", "tiff,rois,geojson,zarr"

    def said() -> list[float]:
        with open_slide(out / "a.ome.zarr") as slide:
            sizes = [slide.pixel_size, pixel_size(out / "a_label.tiff")]
        labels = zarr.open_group(out / "a.ome.zarr", mode="r")["labels/cells"].attrs["multiscales"][0]
        sizes.append(labels["datasets"][0]["coordinateTransformations"][0]["scale"][-1])
        sizes.append(json.loads((out / "a.geojson").read_text())["pixel_size_um"])
        cells = pd.read_csv(out / "cells.csv")
        return [*sizes, np.sqrt(cells["area_um2"] / cells["area"])[0]]

    segment_one(tmp_path / "a.ome.tif", out, export=formats, table=True)
    np.testing.assert_allclose(said(), 0.325, rtol=1e-5)
    assert segment_one(tmp_path / "a.ome.tif", out, export=formats, table=True).status == "skipped"
    network.clear()
    outcome = segment_one(tmp_path / "a.ome.tif", out, export=formats, table=True, pixel_size=0.5)
    assert outcome.status == "completed"
    np.testing.assert_allclose(said(), 0.5, rtol=1e-5)
    assert not network
    record = provenance.read_record(out / "a_label.tiff")
    assert record["pixel_size"] == 0.5
    assert "rois" in record["files"]


def test_images_of_a_dataset_are_read_as_its_table_says(tmp_path, network):
    stack = np.full((3, 2, 60, 100), 20, np.uint8)
    stack[1, 1, 10:22, 5:17] = 200
    image, table = tmp_path / "set" / "images" / "a.tif", tmp_path / "set" / "metadata.csv"
    image.parent.mkdir(parents=True)
    tifffile.imwrite(image, stack, imagej=True, metadata={"axes": "ZCYX"})
    table.write_text("image,channel,plane,pixel_size\na.tif,2,2,0.5\n", encoding="utf-8")
    assert segment_one(tmp_path / "set", tmp_path / "out").cells == 1
    assert segment_one(image, tmp_path / "out").status == "skipped"
    assert provenance.read_record(tmp_path / "out" / "a_label.tiff")["pixel_size"] == 0.5
    table.write_text("image,channel,plane\na.tif,2,1\n", encoding="utf-8")
    assert segment_one(image, tmp_path / "out").reason.startswith("made anew: changed since (options)")
    table.write_text("image,channel,plane\na.tif,2,2\n", encoding="utf-8")
    assert segment_one(image, tmp_path / "out", channel=1).cells == 0, "what is asked for counts before"
    for size, what in (("-1", "pixel_size is -1.0; expected micrometres"), ("big", "float: 'big'")):
        table.write_text(f"image,channel,plane,pixel_size\na.tif,2,2,{size}\n", encoding="utf-8")
        with pytest.raises(DatasetError, match=f"metadata.csv, a.tif: .*{what}"):
            segment_one(image, tmp_path / "out")


def test_channel_and_plane_are_chosen_and_remembered(tmp_path, network):
    dark, stack = np.full((60, 100), 20, np.uint8), np.full((3, 2, 60, 100), 20, np.uint8)
    stack[1, 1, 10:22, 5:17] = 200
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    outcome = segment_one(tmp_path / "a.tif", tmp_path / "out")
    assert outcome.status == "failed"
    assert "the file holds 3 planes" in outcome.reason
    assert segment_one(tmp_path / "a.tif", tmp_path / "out", channel=1, plane=2).cells == 0
    outcome = segment_one(tmp_path / "a.tif", tmp_path / "out", channel="2", project="max")
    assert (outcome.cells, outcome.reason) == (1, "made anew: changed since (options)")
    assert segment_one(tmp_path / "a.tif", tmp_path / "out", channel="2", project="max").status == "skipped"
    tifffile.imwrite(tmp_path / "b.tif", np.stack([dark, stack[1, 1]]), photometric="minisblack")
    model = build_model("lite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "needs_blocks", lambda path, memory: True)
        how = {"channel": 2, "memory": "6GiB", "model": model, "device": "cpu", "pixel_size": 0.25}
        assert segment_one(tmp_path / "b.tif", tmp_path / "out", **how).status == "segmented"
    assert pixel_size(tmp_path / "out" / "b_label.tiff") == 0.25


def test_double_suffixes_are_one_and_hidden_files_are_none(tmp_path):
    for name in ("a.ome.tif", "b.tif", "b.ome.tiff", "c.OME.TIF", "._a.tif", ".hidden.png"):
        tifffile.imwrite(tmp_path / name, np.zeros((9, 9), np.uint8), metadata=None)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".cache.zarr").mkdir()
    (tmp_path / "Thumbs.db").touch()
    images = find_images([tmp_path])
    assert [image.name for image in images] == ["a.ome.tif", "b.ome.tiff", "b.tif", "c.OME.TIF"]
    names = [path.name for path in label_paths(images, tmp_path)]
    assert names == ["a_label.tiff", "b_ome_tiff_label.tiff", "b_tif_label.tiff", "c_label.tiff"]


def test_workers_know_what_is_stale(images, tmp_path, network):
    options = {"pool": Pool(), "progress": False}
    segment_files([images], tmp_path / "out", "lite", **options)
    network.clear()
    imageio.imwrite(images / "1.png", imageio.imread(images / "2.png"))
    outcomes = segment_files([images], tmp_path / "out", "lite", **options)
    assert statuses(outcomes) == ["segmented", "skipped", "failed", "skipped", "skipped", "skipped"]
    assert "changed since (image)" in outcomes[0].reason
    assert len(network) == 1


def test_zarr_is_told_by_its_content(tmp_path):
    image = tmp_path / "a.zarr"
    image.mkdir()
    (image / "0").write_bytes(b"1234")
    made = provenance.made_by([], None, {})
    record = json.loads(provenance.to_text(provenance.describe_image(image), made, ["tiff"], None))
    assert provenance.difference(record, image, made) == ""
    shutil.copytree(image, tmp_path / "b.zarr")
    assert provenance.difference(record, tmp_path / "b.zarr", made) == ""
    (image / "0").write_bytes(b"1235")
    assert provenance.difference(record, image, made) == "image"


def test_large_image_keeps_a_record_too(tmp_path):
    from maunet_lite.network.maunet import build_model

    image = tmp_path / "slide.tif"
    tifffile.imwrite(image, np.zeros((300, 280), np.uint8), tile=(128, 128), compression="zlib")
    model = build_model("lite")
    options = {"model": model, "device": "cpu", "memory": "6GiB"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "needs_blocks", lambda path, memory: True)
        assert segment_one(image, tmp_path / "out", **options).status == "segmented"
        assert segment_one(image, tmp_path / "out", table=True, **options).status == "completed"
        assert segment_one(image, tmp_path / "out", table=True, **options).status == "skipped"
        outcome = segment_one(image, tmp_path / "out", scales=(1.5,), **options)
    assert outcome.reason.startswith("made anew: changed since (options); no cells were found")
    assert outcome.size.scales == (1.5,)
    record = provenance.read_record(tmp_path / "out" / "slide_label.tiff")
    assert record["files"] == ["cells", "tiff"]


@pytest.fixture
def slide(tmp_path):
    """A tiled image with cells, and how it is segmented."""
    image = np.full((300, 280), 20, np.uint8)
    for row, column in ((40, 50), (115, 115), (200, 220)):
        cv2.circle(image, (column, row), 15, 200, -1)
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(128, 128), compression="zlib")
    how = {"model": load_model("lite"), "device": "cpu", "memory": "6GiB", "scales": (1.0,)}
    return tmp_path / "slide.tif", how


@pytest.fixture
def blocks(monkeypatch):
    """Every image is taken for too large; blocks are small."""
    monkeypatch.setattr(pipeline, "needs_blocks", lambda path, memory="4GiB": True)
    monkeypatch.setattr(survey, "BLOCKS", (64, 100))


def test_an_image_in_blocks_made_anew_is_no_correction(slide, blocks, tmp_path):
    image, how = slide
    assert segment_one(image, tmp_path / "out", table=True, **how).cells > 0
    other = how | {"postprocess": {"foreground": 0.2}}
    assert segment_one(image, tmp_path / "out", table=True, **other).reason.startswith("made anew")
    again = segment_one(image, tmp_path / "out", table=True, **other)
    assert (again.status, again.reason, again.corrected) == ("skipped", "", False)


def test_a_slide_goes_on_although_it_is_to_be_overwritten(slide, blocks, tmp_path, monkeypatch):
    image, how = slide
    finish, calls = job.Blocks.finish, []

    def stopped(self, task):
        calls.append(task[0].index)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return finish(self, task)

    monkeypatch.setattr(job.Blocks, "finish", stopped)
    with pytest.raises(KeyboardInterrupt):
        segment_one(image, tmp_path / "out", overwrite=True, **how)
    before = WorkFolder(tmp_path / "out" / "slide_label.tiff").finished()
    assert len(before) >= 3
    begun = len(calls)
    outcome = segment_one(image, tmp_path / "out", overwrite=True, **how)
    assert outcome.status == "segmented"
    assert before.isdisjoint(calls[begun:]), "done, and not done again"


def test_options_that_blocks_do_not_know_are_said(slide, blocks, tmp_path):
    image, how = slide
    outcome = segment_one(image, tmp_path / "out", overlap=0.25, single_scale_above=9, **how)
    assert outcome.reason == "overlap, single_scale_above not used: the image was segmented in blocks"


def test_a_small_zarr_is_taken_whole(tmp_path, looks, network):
    zarr = pytest.importorskip("zarr")
    image = np.full((60, 100), 20, np.uint8)
    image[10:22, 5:17] = 200
    zarr.open_group(tmp_path / "a.zarr", mode="w").create_array("0", data=image)
    for memory, out in ((None, "out"), ("4GiB", "again")):
        options = {"export": "maps", "doubt": True, "memory": memory}
        outcome = segment_one(tmp_path / "a.zarr", tmp_path / out, **options)
        assert (outcome.status, outcome.cells, outcome.reason) == ("segmented", 1, "")
        assert (tmp_path / out / "a_maps.ome.tif").exists()
        assert (tmp_path / out / "a_doubt.tiff").exists()


def test_a_large_zarr_goes_in_blocks_also_without_a_limit(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", shape=(20_000, 20_000), chunks=(512, 512), dtype="u1")
    item = one_image.Outcome(tmp_path / "a.zarr", tmp_path / "a_label.tiff")
    for memory in (None, 4 * 2**30):
        plan = one_image.Plan((), None, {}, ("tiff",), False, None, memory, None, {})
        assert pipeline.way(item, plan, None) == "blocks"


# results beside the images


def test_results_beside_the_images_are_no_images(images, tmp_path, network):
    pytest.importorskip("zarr")
    first = segment_files([images], images, None, overlay=True, table=True, export="zarr", progress=False)
    imageio.imwrite(images / "own_overlay.png", np.zeros((9, 9), np.uint8))  # no label map: an image
    network.clear()
    second = segment_files([images], images, None, overlay=True, table=True, export="zarr", progress=False)
    assert [o.image for o in second] == [*(o.image for o in first), images / "own_overlay.png"]
    assert len(network) == 1
    assert not list(images.glob("*_label_label.tiff"))
    assert [path.name for path in find_images([images])] != [o.image.name for o in second], "only if asked"


def test_no_result_replaces_an_image(tmp_path):
    images = [tmp_path / name for name in ("a.png", "a_overlay.png")]
    for path in images:
        imageio.imwrite(path, np.zeros((9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"a_overlay\.png is an image, and a result would replace it"):
        segment_files(images, tmp_path, None, overlay=True, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scales": (0,)}, "scales must be"), ({"pixel_size": -1}, "pixel_size is -1"),
     ({"pixel_size": float("nan")}, "pixel_size is nan")],
)  # fmt: skip
def test_impossible_numbers_are_refused_before_anything_is_done(options, message, images, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(images, tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_weights_of_any_type_can_be_told_apart() -> None:
    model = build_model("lite")
    digests = [
        provenance.made_by([model.to(kind)], None, {})["models"] for kind in (torch.float32, torch.bfloat16)
    ]
    assert digests[0] != digests[1]


# how sure, and where to look first


@pytest.fixture
def looks(monkeypatch):
    """In place of eight looks: they disagree by 0.5 about the left half of each image."""
    asked = []

    def doubt_map(models, image, scales, **options):
        asked.append((scales, sorted(options)))
        return np.where(np.arange(image.shape[1]) < 50, 0.5, 0) * np.ones((image.shape[0], 1))

    monkeypatch.setattr(one_image.inference, "doubt_map", doubt_map)
    return asked


def test_cells_have_a_score_that_stays(images, tmp_path, network):
    """The fake network is sure: of interior everywhere, also where boundary is the target."""
    out, image = tmp_path / "out", images / "2.png"
    outcome = segment_one(image, out, table=True)
    labels = read_labels(out / "2_label.tiff")
    share = [(make_targets(labels).classes[labels == k] == 1).mean() for k in (1, 2)]
    assert 0.5 < share[0] < 1
    table = pd.read_csv(out / "cells.csv")
    np.testing.assert_allclose(table["score"], share, atol=1e-3)
    assert outcome.score == pytest.approx(np.mean(share), abs=1e-3)
    network.clear()
    assert segment_one(image, out, table=True, pixel_size=0.5).status == "completed"
    assert not network
    np.testing.assert_array_equal(pd.read_csv(out / "cells.csv")["score"], table["score"])
    summary = pd.read_csv(out / "summary.csv")
    assert summary["score"].tolist() == pytest.approx([np.mean(share)], abs=1e-3)
    assert summary["doubt"].isna().all()
    write_labels(out / "2_label.tiff", np.where(labels == 1, 0, labels))  # by another program
    segment_one(image, out, table=True)
    assert "score" not in pd.read_csv(out / "cells.csv"), "a person has decided"


def test_no_cells_have_no_score(tmp_path):
    imageio.imwrite(tmp_path / "dark.png", np.zeros((40, 50), np.uint8))
    assert np.isnan(segment_one(tmp_path / "dark.png", tmp_path / "out", table=True).score)
    assert len(pd.read_csv(tmp_path / "out" / "cells.csv")) == 0


def test_maps_are_an_export_with_names_and_pixel_size(images, tmp_path, network):
    out, image = tmp_path / "out", images / "2.png"
    segment_one(image, out, table=True)
    asked = len(network)
    assert segment_one(image, out, export="maps", pixel_size=0.25).status == "completed"
    assert len(network) == asked + 1, "maps are not in the label map"
    path = out / "2_maps.ome.tif"
    bright = imageio.imread(image) > 100
    np.testing.assert_array_equal(read_image(path, channel="interior"), bright)
    np.testing.assert_array_equal(read_image(path, channel="background"), ~bright)
    assert pixel_size(path) == 0.25
    assert segment_one(image, out, export="maps", pixel_size=0.25).status == "skipped"
    assert all(map(is_result, out.glob("*.tif*"))), "no image of a later run"


def test_doubt_is_written_and_ranks(images, tmp_path, looks):
    out = tmp_path / "out"
    first, second = segment_files(
        [images / "2.png", images / "6.png"], out, None, table=True, doubt=True, diameter=9, progress=False
    )
    assert looks == [((1.0,), [])] * 2, "the size is not estimated again"
    found = read_image(out / "6_doubt.tiff")
    assert (found.dtype, found.shape) == (np.float32, (60, 100))
    assert (found[:, :50] == 0.5).all()
    assert found[:, 50:].max() == 0
    cells = pd.read_csv(out / "cells.csv")
    assert cells["doubt"].tolist()[:2] == [0.5, 0.5]
    assert cells["doubt"].tolist()[2:] == [0.5, 0.5, 0.5, 0, 0, 0], "columns 5, 20, 35 and 50, 65, 80"
    assert (first.doubt, second.doubt) == (0.5, 0.25)
    assert pd.read_csv(out / "summary.csv")["doubt"].tolist() == [0.5, 0.25]


def test_doubt_is_added_to_what_was_done(images, tmp_path, looks):
    out, image = tmp_path / "out", images / "6.png"
    segment_one(image, out, table=True)
    assert "doubt" not in pd.read_csv(out / "cells.csv")
    assert segment_one(image, out, table=True, doubt=True).status == "completed"
    assert pd.read_csv(out / "cells.csv")["doubt"].sum() == 1.5
    labels = read_labels(out / "6_label.tiff")
    write_labels(out / "6_label.tiff", np.where(labels == 1, 0, labels))  # corrected: doubt is of pixels
    segment_one(image, out, table=True)
    assert pd.read_csv(out / "cells.csv")["doubt"].sum() == 1.0
    assert len(looks) == 1


def test_images_in_blocks_have_scores_and_no_maps(tmp_path):
    image = np.full((300, 280), 20, np.uint8)
    cv2.circle(image, (115, 115), 15, 200, -1)
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(128, 128), compression="zlib")
    options = {"model": load_model("lite"), "device": "cpu", "memory": "6GiB", "scales": (1.0,)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "needs_blocks", lambda path, memory: True)
        outcome = segment_one(tmp_path / "slide.tif", tmp_path / "out", export="maps", doubt=True, table=True,
                              **options)  # fmt: skip
        again = segment_one(tmp_path / "slide.tif", tmp_path / "out", export="maps", **options)
    assert "no doubt, maps of an image in blocks" in outcome.reason
    assert (outcome.status, again.status) == ("segmented", "skipped")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        "cells.csv", "slide_label.tiff", "summary.csv",
    ]  # fmt: skip
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert len(table) == outcome.cells >= 1
    assert table["score"].between(0, 1).all()
    assert outcome.score == pytest.approx(table["score"].mean())
