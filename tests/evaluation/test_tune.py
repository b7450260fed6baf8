"""Settings of the post-processing: given, stored with a network, looked up."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.data.dataset.folder import load_dataset
from maunet_lite.data.reading.images import read_image, read_labels
from maunet_lite.evaluation import tune as module_or_function
from maunet_lite.evaluation.tune import TRIED, tune
from maunet_lite.inference.cells.segment import segment, settings_of
from maunet_lite.network import load_model
from maunet_lite.network.maunet import build_model
from maunet_lite.postprocessing.config import PostprocessConfig


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_settings_by_name_file_and_change(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"foreground": 0.55}))
    assert settings_of([], "paper") == PostprocessConfig.named("paper")
    assert settings_of([], str(tmp_path / "mine.json")) == PostprocessConfig(foreground=0.55)
    both = settings_of([], {"base": str(tmp_path / "mine.json"), "blur": 2})
    assert (both.foreground, both.blur) == (0.55, 2)
    with pytest.raises(ValueError, match="PostprocessConfig has no option 'forground'; there are: refine"):
        settings_of([], {"forground": 0.5})
    with pytest.raises(ValueError, match="foreground='much' must be a number from 0 to 1"):
        settings_of([], {"foreground": "much"})
    with pytest.raises(ValueError, match="foreground=5 must"):
        settings_of([], {"foreground": 5})


def test_settings_that_are_stored_change_the_default_only(tmp_path):
    model = build_model("lite")
    model.settings = {"sizes": [9, 80], "postprocess": {"foreground": 0.6}}
    stored = load_model(model.save_pretrained(tmp_path / "mine", {"steps": 3}))
    assert stored.settings == model.settings
    assert settings_of([stored], "default").foreground == 0.6
    assert settings_of([stored], {"blur": 0.5}) == PostprocessConfig(foreground=0.6, blur=0.5)
    assert settings_of([stored], {"foreground": 0.2}).foreground == 0.2
    assert settings_of([stored], "paper") == PostprocessConfig.named("paper")


@pytest.fixture
def faint(disks, monkeypatch):
    """A network that is sure of the core of each cell, and half sure of the rest."""
    from maunet_lite.inference.cells.segment import Sized
    from maunet_lite.inference.cells.size import Size
    from maunet_lite.postprocessing.maps import Maps

    def predict_sized(models, image, *args, **how):
        cell = (image > 120).astype(np.uint8)
        core = cv2.erode(cell, np.ones((9, 9), np.uint8))
        interior = np.float32(0.95) * core
        background = np.where(cell, np.float32(0.45) * (1 - core), np.float32(1)).astype(np.float32)
        return Sized(Maps(np.stack([background, interior, 1 - background - interior]), None), Size())

    monkeypatch.setattr("maunet_lite.inference.predict_sized", predict_sized)
    return load_dataset(disks)


def test_tuning_finds_what_is_better_and_says_both_scores(faint):
    found = tune(build_model("lite"), faint)
    assert found.after > found.before + 0.3
    assert found.settings["foreground"] > 0.45
    assert found.settings.keys() <= TRIED.keys()
    with pytest.raises(ValueError, match="no images of split 'test'"):
        tune("lite", faint, "test")


def test_the_commands_take_settings_and_store_them(disks, tmp_path):
    image = disks / "images" / "4.png"
    done = run("segment", image, "--out", tmp_path / "a", "--set", "refine=false", "--no-table")
    assert done.exit_code == 0, done.output
    expected = segment(read_image(image), postprocess={"refine": False}, device="cpu")
    np.testing.assert_array_equal(read_labels(tmp_path / "a" / "4_label.tiff"), expected)
    done = run("segment", image, "--out", tmp_path / "b", "--set", "refin=false")
    assert (done.exit_code, "no option 'refin'" in done.output) == (2, True)
    done = run("tune", "--data", disks, "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert " before, " in done.output
    network = load_model(tmp_path / "mine")
    assert network.settings["sizes"] == load_model("lite").settings["sizes"]
    assert set(network.settings["postprocess"]) <= set(TRIED)


def test_the_command_reads_stacks_and_spares_runs(disks, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "stack" / part).mkdir(parents=True)
    image = read_image(disks / "images" / "4.png")
    stack = np.stack([0 * image, image])
    tifffile.imwrite(tmp_path / "stack" / "images" / "4.tif", stack, metadata={"axes": "ZYX"})
    shutil.copy(disks / "labels" / "4_label.tiff", tmp_path / "stack" / "labels")
    arguments = ["tune", "--data", tmp_path / "stack", "--split", "all", "--device", "cpu"]
    done = run(*arguments, "--out", tmp_path / "mine")
    assert (done.exit_code, "holds 2 planes" in done.output) == (2, True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text("step\n")
    done = run(*arguments, "--plane", 2, "--out", tmp_path / "run")
    assert (done.exit_code, "holds a run, which stays as it is" in done.output) == (2, True)
    done = run(*arguments, "--plane", 2, "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output


def test_the_command_says_the_size(disks, tmp_path):
    done = run("segment", disks / "images" / "4.png", "--out", tmp_path, "--diameter", "7")
    assert done.exit_code == 0, done.output
    assert "cells of about 7 pixels: seen at 3 of the size of the image" in done.output
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert (summary["diameter"][0], summary["scale"][0]) == (7, 3)
    done = run("segment", disks / "images" / "4.png", "--out", tmp_path, "--scales", "1", "--diameter", "7")
    assert (done.exit_code, "diameter sets the scale" in done.output) == (2, True)


def test_the_function_wins_over_its_module():
    assert module_or_function is tune
