"""Training: what is left after kills and mistakes, and what is said before the first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.data import load_dataset, write_image, write_labels
from maunet_lite.network.maunet import build_model
from maunet_lite.training import validation
from maunet_lite.training.loop import train
from maunet_lite.training.methods import check_patch
from maunet_lite.training.recipes import TrainConfig
from maunet_lite.training.run import Run, run_settings

SMALL = {"encoder": "lite:8-16x2", "widths": [0, 8, 8]}


def config(out: Path, data: object = "simulated", **changes: object) -> TrainConfig:
    return TrainConfig(data=str(data), out=str(out), steps=2, network=SMALL, seed=3).override(**changes)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run as a kill leaves it: weights, a state at step 1 and logs up to step 3."""
    run = Run.open(config(tmp_path / "run"), resume=False)
    model = torch.nn.Linear(2, 2)
    run.step = 1
    run.save(build_model("lite", **SMALL), model, torch.optim.AdamW(model.parameters()))
    (run.folder / "log.csv").write_text("step,minutes,loss\n1,0.1,2\n2,0.2,2\n3,0.3,1\n")
    return run.folder


def command(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def restored(folder: Path) -> Run:
    run, model = Run(config(folder)), torch.nn.Linear(2, 2)
    run.restore(model, torch.optim.AdamW(model.parameters()))
    return run


# --resume


@pytest.mark.parametrize("broken", [None, b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_resuming_needs_the_settings_of_the_run(run_folder, broken):
    (run_folder / "config.json").unlink()
    assert TrainConfig.from_dict(run_settings(run_folder)) == config(run_folder), "those of last.json"
    with pytest.raises(ValueError, match="seed 3, now 0"):
        Run.open(config(run_folder, seed=0), resume=True)
    (run_folder / "last.json").unlink()
    if broken is not None:
        (run_folder / "config.json").write_bytes(broken)
    result = command("--resume", "--out", run_folder, "--device", "cpu")
    assert result.exit_code == 2, result.output
    assert "config.json" in result.output
    assert "Traceback" not in result.output
    assert pd.read_csv(run_folder / "log.csv")["step"].max() == 3, "nothing is lost"


def test_resuming_where_there_is_no_run_is_refused_unless_it_is_said_what_to_train(tmp_path):
    result = command("--resume", "--out", tmp_path / "typo")
    assert (result.exit_code, "holds no run" in result.output) == (2, True)
    assert not (tmp_path / "typo").exists()
    result = command("--resume", "--out", tmp_path / "typo", "--data", tmp_path / "nowhere", "--steps", 1)
    assert "a new one begins" in result.output
    assert "nowhere" in result.output


def test_steps_after_the_last_save_are_forgotten_also_before_the_first_save(run_folder):
    assert restored(run_folder).step == 1
    assert pd.read_csv(run_folder / "log.csv")["step"].tolist() == [1]
    (run_folder / "state.pt").unlink()
    assert restored(run_folder).step == 0
    assert pd.read_csv(run_folder / "log.csv")["step"].tolist() == []


@pytest.mark.parametrize("left", [0, 10, 2000])
def test_a_damaged_state_is_said_in_a_line(run_folder, left):
    state = run_folder / "state.pt"
    state.write_bytes(state.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"state.pt is damaged.*--from .*last.safetensors"):
        restored(run_folder)


@pytest.mark.parametrize("text", ["", "step\n", 'step,loss\n1,2,3\n"', "loss\n1\n", "step\nno\n"])
def test_a_damaged_log_begins_anew(run_folder, text):
    (run_folder / "log.csv").write_text(text)
    run = Run(config(run_folder), step=4)
    if text == "step\n":
        run.log({"loss": 1.0})
    else:
        with pytest.warns(UserWarning, match="log.csv was damaged"):
            run.log({"loss": 1.0})
    assert pd.read_csv(run_folder / "log.csv")["step"].tolist() == [4]


def test_a_full_disk_is_an_error_of_the_disk(run_folder, monkeypatch):
    def full(*_: object) -> None:
        raise RuntimeError(
            "[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file"
        )

    before = (run_folder / "state.pt").read_bytes()
    monkeypatch.setattr(torch, "save", full)
    model = torch.nn.Linear(2, 2)
    with pytest.raises(OSError, match=r"state.pt cannot be written .*disk full"):
        Run(config(run_folder)).save(model, model, torch.optim.AdamW(model.parameters()))
    assert (run_folder / "state.pt").read_bytes() == before
    assert not list(run_folder.glob(".part*"))


# what is said before the first step


def folder_of(path: Path, maps: list[np.ndarray]) -> Path:
    for k, labels in enumerate(maps):
        write_image(path / "images" / f"{k}.png", np.full(labels.shape, 50 + k, np.uint8))
        write_labels(path / "labels" / f"{k}_label.tiff", labels)
    return path


def test_label_maps_without_a_cell_are_said(tmp_path):
    cell = np.eye(8, dtype=int)
    data = load_dataset(folder_of(tmp_path / "one", [0 * cell] * 4 + [cell]))  # the fifth is for validation
    with pytest.warns(UserWarning, match="all 4 label maps are empty in training"):
        validation.check_images(data, data.split("train"), config(tmp_path))
    data = load_dataset(folder_of(tmp_path / "two", [cell] * 4 + [0 * cell]))
    with pytest.warns(UserWarning, match="all 1 label maps are empty in validation"):
        validation.check_images(data, data.split("train"), config(tmp_path))


def test_it_is_said_which_images_were_chosen_for_validation(tmp_path):
    folder = folder_of(tmp_path / "data", [np.eye(8, dtype=int)] * 11)
    assert "validation: 3.png, 8.png" in validation.chosen_in_words(load_dataset(folder))  # 0 1 10 2 3 | 4 …
    result = CliRunner().invoke(app, ["data", "check", str(folder)])
    assert "validation: 3.png, 8.png" in result.output
    table = pd.DataFrame({"image": [f"{k}.png" for k in range(11)], "split": ["train"] * 10 + ["val"]})
    table.to_csv(folder / "metadata.csv", index=False)
    assert validation.chosen_in_words(load_dataset(folder)) == ""


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_smallest_patch_that_works_is_named_and_works(norm):
    model = build_model("lite", norm=norm, **SMALL)
    for images in (1, 2):
        smallest = model.stride * (1 if (norm, images) == ("batch", 2) else 2)
        check_patch(model, smallest, images)
        model(torch.zeros(images, 3, smallest, smallest))
        if smallest > model.stride:
            with pytest.raises(ValueError, match=f"the smallest that works is {smallest}"):
                check_patch(model, model.stride, images)
            with pytest.raises(ValueError, match="more than 1"):
                model(torch.zeros(images, 3, model.stride, model.stride))


@pytest.mark.slow
def test_fine_tuning_is_measured_before_its_first_step(tmp_path, disks, capsys):
    how = {"batch_size": 2, "patch": 32, "validate_every": 1, "device": "cpu", "steps": 2}
    first = train(config(tmp_path / "a", disks, **how), progress=False)
    shutil.copyfile(first.folder / "last.safetensors", tmp_path / "start.safetensors")
    tuned = config(tmp_path / "b", disks, **how).override(start_from=str(tmp_path / "start.safetensors"))
    result = train(tuned, progress=True)
    table = pd.read_csv(result.folder / "validation.csv")
    assert table["step"].tolist() == [0, 1, 2]
    assert table["f1"][0] == result.start_score
    assert result.best_score == table["f1"].max()
    assert "step 0: validation F1" in capsys.readouterr().out
    assert json.loads((result.folder / "config.json").read_text())["start_from"]
