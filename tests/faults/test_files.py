"""Files from elsewhere: weights, records, masks, archives, pictures, grids; each is refused in one line."""

from __future__ import annotations

import io
import os
import resource
import zipfile
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pooch
import pytest
import requests
import tifffile
import torch
from typer.testing import CliRunner

from maunet_lite.cli.main import app, in_words, is_expected
from maunet_lite.cli.options import parse_assignments
from maunet_lite.course.publishing.sources import NotebookError, load, read_notebook
from maunet_lite.course.running.sweeps import read_grid, result_of
from maunet_lite.data import (
    DatasetError,
    ImageError,
    LabelError,
    check_folder,
    read_image,
    read_labels,
    write_image,
)
from maunet_lite.data.catalogue import downloads
from maunet_lite.data.checks import doubt_of_labels
from maunet_lite.evaluation import baseline
from maunet_lite.export import for_html, for_link, for_terminal, write_table
from maunet_lite.inference import predict
from maunet_lite.network import convert_authors, load_model, read_record, save_model
from maunet_lite.network.checkpoints.files import CheckpointError
from maunet_lite.network.maunet import build_model
from maunet_lite.postprocessing import PostprocessConfig

SMALL = {"encoder": "lite:8-16x2", "widths": (0, 8, 8)}

# weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_model(build_model("lite", **SMALL), tmp_path / "m.safetensors", {"steps": 3})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["weight", "running_var"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, kind):
    model = build_model("lite", **SMALL)
    tensor = next(t for name, t in model.state_dict().items() if name.endswith(kind))
    tensor.view(-1)[-1] = value
    with pytest.raises(CheckpointError, match="infinite or no numbers"):
        load_model(save_model(model, tmp_path / "m.safetensors"))


def test_maps_that_are_no_numbers_are_no_image_without_cells():
    model = build_model("lite", **SMALL)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.fill_(-1.0)  # finite, and its root is not
    with pytest.raises(ValueError, match="network returns values"):
        predict(model.eval(), np.eye(40, dtype=np.uint8), device="cpu")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_good_weights_are_loaded_beside_a_broken_record(weights, text, caplog):
    weights.with_suffix(".json").write_bytes(text)
    assert load_model(weights).config.widths == (0, 8, 8)
    assert "m.json" in caplog.text
    assert read_record(weights)["record"] == {}


NO_NETWORKS = ["{", "[1]", '{"encoder": "lite", "colour": 1}', '{"encoder": 3}', "{}", '{"proxy": true}']


@pytest.mark.parametrize("config", NO_NETWORKS)
def test_a_header_that_asks_for_no_network_is_refused(weights, config):
    from safetensors.torch import load_file, save_file

    save_file(load_file(weights), weights, metadata={"config": config})
    weights.with_suffix(".json").unlink()
    with pytest.raises(
        ValueError, match="damaged|no option|must be|nothing about its architecture|needs a value of encoder"
    ) as raised:
        load_model(weights)
    assert is_expected(raised.value)


NO_TORCH = [b"hello world\n", b"import os\n" * 99, b"<html>Not found</html>", b"", b"\x80\x02K"]


@pytest.mark.parametrize("content", NO_TORCH)
def test_what_is_no_torch_file_is_not_converted(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="no file of torch.save|cannot be read by torch"):
        convert_authors(tmp_path / "w.pth", "paper-r50", tmp_path)


# label maps that are none


def many_cells(count: int = 300) -> np.ndarray:
    labels = np.zeros((12 * 20, 12 * (count // 20)), np.int32)
    rows, columns = np.divmod(np.arange(count), count // 20)
    for k, (row, column) in enumerate(zip(12 * rows, 12 * columns, strict=True), 1):
        labels[row + 2 : row + 9, column + 2 : column + 9] = k
    return labels


@pytest.mark.parametrize("value", [1, 2, 128, 255, 65_535])
def test_one_id_in_far_pieces_is_a_mask_whatever_its_value(tmp_path, value):
    tifffile.imwrite(tmp_path / "m.tif", (many_cells(40) > 0) * np.uint16(value))
    with pytest.raises(LabelError, match=f"holds no id but {value}, in 40 pieces"):
        read_labels(tmp_path / "m.tif")


@pytest.mark.parametrize("value", [1, 7, 128, 70_000])
def test_one_id_in_one_piece_is_a_cell(tmp_path, value):
    tifffile.imwrite(tmp_path / "m.tif", (many_cells(40) == 7) * np.uint32(value))
    assert read_labels(tmp_path / "m.tif").max() == value


def test_ids_that_were_blurred_resized_or_cut_are_doubted_and_good_ones_are_not(tmp_path):
    import cv2

    good = many_cells()
    spoilt = {
        "cut": good % 256, "blurred": cv2.GaussianBlur(255.0 * (good > 0), (0, 0), 2).astype(np.uint8),
        "resized": np.rint(cv2.resize(good.astype(np.float32), None, fx=0.8, fy=0.8)).astype(np.int32),
    }  # fmt: skip
    assert doubt_of_labels(good) == doubt_of_labels(0 * good) == ""
    for name, labels in spoilt.items():
        assert "several pieces far apart" in doubt_of_labels(labels), name
    write_image(tmp_path / "images" / "a.png", np.zeros(good.shape, np.uint8))
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "a_label.tiff", spoilt["cut"].astype(np.uint8))
    assert [p.file for p in check_folder(tmp_path) if "far apart" in p.problem] == ["labels/a_label.tiff"]


def test_an_id_in_two_pieces_that_lie_together_is_a_cell():
    labels = np.zeros((9, 20), int)
    labels[2:6, 2:6] = labels[2:6, 7:11] = 5
    labels[2:6, 14:18] = 6
    assert doubt_of_labels(labels) == ""


def test_links_that_lead_nowhere_and_empty_label_maps_are_problems(tmp_path):
    write_image(tmp_path / "images" / "a.png", np.zeros((9, 8), np.uint8))
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "a_label.tiff", np.zeros((9, 8), np.uint8))
    (tmp_path / "images" / "b.png").symlink_to("nowhere.png")
    found = dict(check_folder(tmp_path))
    assert "leads nowhere" in found["images/b.png"]
    assert "all label maps are empty" in found["labels"]


def test_a_dataset_may_have_names_that_are_no_unicode(tmp_path):
    bright = np.zeros((40, 50), np.uint8)
    bright[10:20, 10:20] = 200
    (tmp_path / "labels").mkdir()
    for name in (b"good", b"latin_\xe9"):
        write_image(tmp_path / "images" / os.fsdecode(name + b".png"), bright)
        tifffile.imwrite(
            tmp_path / "labels" / os.fsdecode(name + b"_label.tiff"), bright // 200 * np.uint16(3)
        )
    assert not check_folder(tmp_path)
    table = baseline(tmp_path, "all", progress=False)
    assert dict(zip(table["image"], table["f1"], strict=True)) == {"good.png": 1, "latin_\\xe9.png": 1}


# pictures


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000), (5000, 1, 3), (1, 1)])
def test_noise_of_any_shape_is_written(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_a_damaged_png_costs_no_memory(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
    data = bytearray(imageio.imwrite("<bytes>", image, extension=".png"))
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    used = []
    for _ in range(25):
        with pytest.raises(ImageError, match="damaged"):
            read_image(tmp_path / "a.png")
        used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert used[-1] - used[4] < 5_000, "KiB"


# archives


def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], **patched) -> Path:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    (tmp_path / "dsb2018.zip").write_bytes(archive.getvalue())
    digest = pooch.file_hash(str(tmp_path / "dsb2018.zip"))
    monkeypatch.setitem(downloads.CHECKSUMS, "dsb2018.zip", digest)
    for name, function in patched.items():
        monkeypatch.setattr(zipfile.ZipFile, name, function)
    return downloads.get("dsb2018", tmp_path / "out", archives=tmp_path, progress=False)


def test_names_in_archives_may_be_long_and_look_like_formulas(tmp_path, monkeypatch):
    png = imageio.imwrite("<bytes>", np.eye(5, dtype=np.uint8), extension=".png")
    names = ["x" * 300, "x" * 299 + "y", "=cmd|1", "ü" * 150]
    members = {f"{split}/images/{name}.png": png for name in names for split in ("train", "test")}
    folder = fetch(tmp_path, monkeypatch, members)
    images = [path.name for path in (folder / "images").iterdir()]
    assert len(images) == 8
    assert max(len(name.encode()) for name in images) < 240
    assert not [name for name in pd.read_csv(folder / "metadata.csv")["image"] if name.startswith("=")]


def test_an_encrypted_archive_is_refused(tmp_path, monkeypatch):
    def locked(*_: object, **__: object) -> None:
        raise RuntimeError("File 'train/images/a.png' is encrypted, password required for extraction")

    with pytest.raises(DatasetError, match="cannot be unpacked.*encrypted"):
        fetch(tmp_path, monkeypatch, {"train/images/a.png": b"", "test/images/a.png": b""}, open=locked)
    assert not (tmp_path / "out").exists()


def test_a_redirect_to_a_file_is_no_download(tmp_path, monkeypatch):
    def redirected(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("No connection adapters were found for 'file:///etc/passwd'")

    monkeypatch.setenv("MAUNET_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.HTTPDownloader", lambda **_: redirected)
    with pytest.raises(DatasetError, match="cannot be fetched"):
        downloads.get("dsb2018", progress=False)


# the course


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"cells": 3}', b"\xff"])
def test_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "n.ipynb"
    path.write_bytes(text)
    for read in (load, read_notebook):
        with pytest.raises(NotebookError, match=r"n.ipynb is damaged or no notebook"):
            read(path)


@pytest.mark.parametrize(("text", "message"), [
    ("a: &a [1, 1]\nb: &b [*a, *a]\n", "refers to parts of itself"), ("\xff", "no YAML"),
    ("".join(f"P{k}: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for k in range(9)), "387,420,489 runs"),
    ("a: [1, 2", "no YAML"), ("- 3", "should say"),
])  # fmt: skip
def test_a_grid_that_cannot_be_meant_is_refused(tmp_path, text, message):
    (tmp_path / "grid.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        read_grid(tmp_path / "grid.yaml")


@pytest.mark.parametrize("text", ["", "{}", '{"runs": []}', '{"runs": [{"name": 1}]}'])
def test_a_run_whose_report_is_damaged_is_done_again(tmp_path, text):
    folder = tmp_path / "runs" / "key" / "smoke-1"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(text)
    assert result_of("key", tmp_path) is None


@pytest.mark.parametrize("value", ['[b"x"]', "{1}", "1j", "[" * 5000 + "]" * 5000])
def test_parameters_that_no_notebook_can_take_are_refused(value):
    if value.startswith("[["):
        assert parse_assignments([f"LIST={value}"])["LIST"] == value, "a text"
    else:
        with pytest.raises(ValueError, match="is no number, text"):
            parse_assignments([f"LIST={value}"])


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"\xff", b'{"blur": -1}', b'{"blurr": 1}', b"[" * 100_000]
)
def test_a_file_of_settings_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "mine.json").write_bytes(text)
    with pytest.raises(ValueError, match="mine.json|blur") as raised:
        PostprocessConfig.named(str(tmp_path / "mine.json"))
    assert is_expected(raised.value)


# edges


def test_names_are_escaped_at_each_edge(tmp_path):
    assert for_html('"><script>') == "&quot;&gt;&lt;script&gt;"
    assert for_terminal("a\x1b]0;x\x07\u202eb\n\tc") == "a\\x1b]0;x\\x07\\u202eb\n\tc"
    assert for_link("javascript:alert(1)#a%b?.html") == "javascript%3Aalert%281%29%23a%25b%3F.html"
    write_table(tmp_path / "t.csv", pd.DataFrame({"=a": ["=1+1", "-x", "b"], "n": [-1.5, 2, 3]}))
    assert (tmp_path / "t.csv").read_text().splitlines() == ["'=a,n", "'=1+1,-1.5", "'-x,2.0", "b,3.0"]


def test_a_page_of_results_escapes_links(tmp_path):
    from maunet_lite.course.running.report import NotebookRun, Report, write_report

    run = NotebookRun("a", Path("a.py"), {}, "ok", executed=Path("50% #1.ipynb"))
    write_report(Report("smoke", tmp_path, {}, runs=[run]))
    assert 'href="50%25%20%231.ipynb"' in (tmp_path / "report.html").read_text()


def test_what_the_system_refuses_is_one_line_with_a_cure():
    full = OSError(28, "No space left on device", "summary.csv")
    assert is_expected(full)
    assert "free some space" in in_words(full)
    assert is_expected(MemoryError())
    assert "--memory" in in_words(MemoryError())
    assert not is_expected(BrokenPipeError())
    assert not is_expected(ValueError("from the depths"))


def test_a_diagnosis_survives_what_is_broken(monkeypatch):
    import importlib

    from maunet_lite.cli import doctor

    original = importlib.import_module

    def broken(name: str, package: str | None = None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    monkeypatch.setattr(doctor, "check_speed", lambda: broken("cv2"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "cv2 cannot be imported (libGL.so.1" in " ".join(result.output.split())
    assert "opencv-python-headless" in result.output
