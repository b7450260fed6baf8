"""The command line: each command once, and what a user's mistakes look like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from typer.main import get_command
from typer.testing import CliRunner

from maunet_lite import __version__
from maunet_lite.cli.main import app, is_expected
from maunet_lite.data import read_labels, write_labels
from maunet_lite.network import save_model
from maunet_lite.network.maunet import build_model
from maunet_lite.scale.batch.segment_files import find_images, label_paths, segment_files

REPOSITORY = Path(__file__).parents[2]


def run(*arguments):
    """Call the command line in this process; the result has exit_code, stdout and stderr."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained network: what it finds means nothing, but everything around it is real."""
    torch.manual_seed(0)
    return save_model(
        build_model("lite"), tmp_path_factory.mktemp("model") / "best.safetensors", {"steps": 0}
    ).parent


@pytest.fixture
def images(tmp_path):
    """A folder as users have them: good files of many kinds and bad ones among them."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    imageio.imwrite(folder / "colour.jpg", rng.integers(0, 256, (40, 50, 3), np.uint8))
    tifffile.imwrite(folder / "deep.tif", rng.integers(0, 60000, (33, 47), np.uint16))
    imageio.imwrite(folder / "clear.png", rng.integers(0, 256, (40, 30, 4), np.uint8))
    imageio.imwrite(folder / "black.png", np.zeros((40, 40), np.uint8))
    imageio.imwrite(folder / "dot.png", np.full((1, 1), 7, np.uint8))
    (folder / "cut.png").write_bytes((folder / "clear.png").read_bytes()[:200])
    (folder / "text.png").write_text("not an image")
    (folder / "notes.txt").write_text("no image, and not called one")
    return folder


# segment


def test_good_images_are_segmented_and_bad_ones_named(images, model, tmp_path):
    out = tmp_path / "out"
    result = run("segment", images, "--out", out, "--model", model, "--overlay", "--no-table")
    assert result.exit_code == 1
    good = {"colour": (40, 50), "deep": (33, 47), "clear": (40, 30), "black": (40, 40), "dot": (1, 1)}
    assert {path.name for path in out.iterdir()} == {
        f"{name}{ending}" for name in good for ending in ("_label.tiff", "_overlay.png")
    }
    for name, shape in good.items():
        assert read_labels(out / f"{name}_label.tiff").shape == shape
        assert imageio.imread(out / f"{name}_overlay.png").shape == (*shape, 3)
    assert "5 segmented" in result.stdout
    assert "2 failed" in result.stdout
    lines = [line.strip() for line in result.stderr.splitlines() if "images" in line and ": " in line]
    assert sorted(Path(line.split(": ")[0]).name for line in lines) == ["cut.png", "text.png"]
    assert all(len(line.split(": ", 1)[1]) > 10 for line in lines), "each has a reason"


def test_what_is_done_is_skipped_unless_asked(images, model, tmp_path):
    out = tmp_path / "out"
    arguments = ["segment", images / "dot.png", images / "black.png", "--out", out, "--model", model]
    assert run(*arguments).exit_code == 0
    assert "0 segmented with 0 cells, 2 done before" in run(*arguments).stdout
    target = out / "black_label.tiff"
    target.write_bytes(b"no label map")
    result = run(*arguments)
    assert result.exit_code == 1
    assert "0 segmented with 0 cells, 1 done before, 1 failed" in result.stdout
    assert "black_label.tiff cannot be read: replace it with --overwrite" in result.output
    assert target.read_bytes() == b"no label map"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert read_labels(target).shape == (40, 40)


def test_tables_and_formats_are_written(images, model, tmp_path):
    pytest.importorskip("roifile")
    out = tmp_path / "out"
    result = run("segment", images / "deep.tif", "--out", out, "--model", model, "--export", "rois,geojson")
    assert result.exit_code == 0, result.output
    names = {path.name for path in out.iterdir()}
    assert {"deep_label.tiff", "deep_rois.zip", "deep.geojson", "summary.csv", "cells"} <= names
    assert pd.read_csv(out / "summary.csv")["image"].tolist() == ["deep.tif"]
    assert "summary.csv" in result.stdout
    assert "summary.csv" in result.stdout


def test_failure_while_writing_leaves_nothing_half_written(images, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the network is on fire")

    monkeypatch.setattr("maunet_lite.scale.batch.one_image.predict_sized", broken)
    outcomes = segment_files([images / "dot.png"], tmp_path / "out", None, progress=False)
    assert (outcomes[0].status, outcomes[0].reason) == ("failed", "RuntimeError: the network is on fire")
    assert list((tmp_path / "out").iterdir()) == []


def test_inputs_are_files_folders_and_datasets(images, tmp_path):
    assert [path.name for path in find_images([images])] == [
        "black.png", "clear.png", "colour.jpg", "cut.png", "deep.tif", "dot.png", "text.png",
    ]  # fmt: skip
    assert find_images([tmp_path]) == find_images([images]), "of a dataset folder, its images"
    assert find_images([images / "dot.png", images])[0].name == "dot.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        find_images([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_images([tmp_path / "nowhere"])


def test_images_that_would_share_a_file_are_refused():
    with pytest.raises(ValueError, match="would all become a_png_label.tiff"):
        label_paths([Path("x/a.png"), Path("y/a.png")], "out")


# train, evaluate, describe, data


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Five images with two square cells each; the fifth is for validation."""
    folder = tmp_path_factory.mktemp("squares")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    labels = np.zeros((64, 64), np.uint16)
    labels[8:28, 8:28], labels[36:56, 30:52] = 1, 2
    rng = np.random.default_rng(0)
    for name in "abcde":
        noisy = 40 + 150 * (labels > 0) + rng.integers(0, 30, labels.shape)
        imageio.imwrite(folder / "images" / f"{name}.png", noisy.astype(np.uint8))
        tifffile.imwrite(folder / "labels" / f"{name}_label.tiff", labels)
    return folder


def test_evaluate_prints_the_baseline_beside_the_model(dataset, model, tmp_path):
    saved = tmp_path / "rows.csv"
    result = run("evaluate", "--data", dataset, "--model", model, "--save", saved)
    assert result.exit_code == 0, result.output
    assert "Otsu + watershed" in result.stdout
    table = pd.read_csv(saved)
    assert list(table["image"]) == ["e.png"]
    assert {"image", "modality", "tp", "fp", "fn", "f1", "f1_plain", "dice"} <= set(table.columns)


def test_evaluate_scores_a_folder_of_label_maps(dataset):
    result = run("evaluate", "--data", dataset, "--predictions", dataset / "labels", "--no-baseline")
    assert result.exit_code == 0, result.output
    assert "1.000" in result.stdout
    assert "Otsu" not in result.stdout


def test_channel_and_plane_are_options(tmp_path, model):
    rows, columns = np.mgrid[:60, :80]
    labels = sum((k + 1) * ((rows - 30) ** 2 + (columns - 15 - 25 * k) ** 2 < 64) for k in range(3)).astype(
        np.int32
    )
    stack = np.full((2, 2, 60, 80), 9, np.uint8)  # Z C Y X
    stack[1, 1][labels > 0] = 200
    (tmp_path / "images").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / f"images/{name}.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
        write_labels(tmp_path / f"labels/{name}_label.tiff", labels)
    (tmp_path / "metadata.csv").write_text("image,split\na.tif,train\nb.tif,val\n")
    data, out = ("--data", tmp_path), tmp_path / "out"
    chosen = ("--channel", "2", "--project", "max")
    result = run("evaluate", *data, "--split", "all", "--predictions", tmp_path / "labels", *chosen)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"Otsu.* 1\.000", result.stdout), result.stdout
    result = run(
        "segment", tmp_path, "--out", out, "--model", model, "--device", "cpu", "--channel", "2", "--plane", 2
    )
    assert "2 segmented" in result.stdout, result.stdout + result.stderr
    result = run(
        "segment", tmp_path, "--out", out, "--model", model, "--device", "cpu", "--channel", "3", "--plane", 2
    )
    assert "there is no channel '3'" in result.stderr
    arguments = ("--out", tmp_path / "run", "--steps", 1, "--set", "batch_size=2", "--set", "patch=32")
    result = run("train", *data, *arguments, "--device", "cpu", *chosen)
    assert result.exit_code == 0, result.stderr
    assert '"channel": "2"' in (tmp_path / "run" / "config.json").read_text()


def test_describe_counts_a_preset_and_names_the_record_of_weights(model):
    preset = run("describe", "paper-r50")
    assert preset.exit_code == 0, preset.output
    assert re.search(r"network +total +39,403,021 +10,060,714,496", preset.stdout)
    assert ".json" not in preset.stdout
    assert str(model / "best.safetensors") in run("describe", model).stdout


def test_train_and_resume_from_the_command_line(dataset, tmp_path):
    out = tmp_path / "run"
    budget = ["--set", "patch=32", "--set", "batch_size=2", "--set", "validate_every=0", "--device", "cpu"]
    first = run("train", "--data", dataset, "--out", out, "--steps", 2, *budget)
    assert first.exit_code == 0, first.output
    again = run("train", "--data", dataset, "--out", out, "--steps", 3, *budget)
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    more = run("train", "--out", out, "--steps", 3, "--resume")
    assert more.exit_code == 0, more.output
    assert "3 steps" in more.stdout


def test_data_check_lists_problems_or_says_that_all_is_well(dataset, images):
    good = run("data", "check", dataset)
    assert good.exit_code == 0
    assert "5 images, 5 with labels (4 train, 1 val)" in good.stdout
    bad = run("data", "check", images.parent)
    assert bad.exit_code == 1
    assert "text.png" in bad.stdout


def test_licence_must_be_accepted():
    result = CliRunner().invoke(app, ["data", "get", "neurips22"], input="n\n")
    assert result.exit_code == 1
    assert "CC BY-NC-ND" in result.stdout


# What mistakes look like


TO = ("segment", "{images}", "--out", "{out}", "--model")


@pytest.mark.parametrize(("arguments", "message"), [
    (["segment", "nowhere.png", "--out", "{out}", "--model", "{model}"], "nowhere.png does not exist"),
    ([*TO, "nowhere"], "no model 'nowhere'"),
    ([*TO, "{model}", "--scales", "big"], "neither auto nor a list of numbers"),
    ([*TO, "{model}", "--postprocess", "magic"], "'magic'"),
    ([*TO, "{model}", "--export", "tiff,imagej"], "no export format 'imagej': there are tiff, rois (Fiji)"),
    ([*TO, "{model}", "--memory", "much"], "no amount of memory"),
    ([*TO, "nowhere", "--workers", "2"], "no model 'nowhere'"),
    (["train", "--set", "speed=9", "--minutes", "1"], "no option 'speed'"),
    (["train", "--set", "speed", "--minutes", "1"], "no NAME=VALUE"),
    (["train", "--preset", "huge"], "'huge'"),
    (["evaluate", "--data", "nowhere", "--model", "{model}"], "'nowhere'"),
    (["notebooks", "run", "77"], "no notebook '77'"),
    (["notebooks", "run", "--profile", "huge"], "there are smoke, quick, gpu, full"),
    (["data", "get", "mnist"], "'mnist' is neither a folder nor a dataset"),
    (["convert", "nowhere.pth", "--preset", "paper-r50", "--out", "{out}"], "nowhere.pth"),
])  # fmt: skip
def test_mistakes_are_said_in_a_line(arguments, message, images, model, tmp_path):
    out = tmp_path / "out"
    result = run(*(text.format(out=out, model=model, images=images) for text in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not out.exists() or not list(out.iterdir())


def test_traceback_is_one_option_away():
    result = run("--traceback", "train", "--preset", "huge")
    assert isinstance(result.exception, ValueError)


def test_errors_of_libraries_keep_their_traceback():
    with pytest.raises(ValueError, match="Unrecognized compression") as fault:
        pd.DataFrame({"a": [1]}).to_csv(compression={"method": "no such"})
    assert not is_expected(fault.value)
    assert is_expected(FileNotFoundError("a.png"))
    assert not is_expected(KeyError("a"))


def test_help_answers_without_loading_torch():
    code = (
        "import sys\nfrom maunet_lite.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules, 'papermill' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"},
    ).stdout  # fmt: skip
    assert out.splitlines()[-1] == "False False False"
    commands = ("train", "segment", "evaluate", "describe", "doctor", "convert", "notebooks", "data", "sweep")
    assert all(command in out for command in commands)


def test_every_option_says_what_it_is():
    def parameters(command, name):
        for child, below in getattr(command, "commands", {}).items():
            yield from parameters(below, f"{name} {child}")
        yield from ((name, option) for option in command.params if option.param_type_name == "option")

    silent = [
        f"{name} {option.opts[0]}" for name, option in parameters(get_command(app), "") if not option.help
    ]
    assert silent == []


@pytest.mark.parametrize("arguments", [
    ["notebooks", "run"], ["notebooks", "publish"], ["notebooks", "check"], ["notebooks", "site"],
    ["sweep", "00", "--grid", "grid.yaml"],
])  # fmt: skip
def test_course_without_jupyter_says_how_to_get_it(arguments):
    code = "import sys; sys.modules['papermill'] = None; from maunet_lite.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 2
    assert 'error: the course needs Jupyter: pip install -e ".[course]" (missing: papermill)' in done.stderr
    assert "Traceback" not in done.stderr


def test_version_is_said():
    assert run("--version").stdout.strip() == f"maunet-lite {__version__}"
