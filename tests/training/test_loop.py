"""The training loop: budgets, schedules, interruption and resumption, two processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from accelerate.utils import LoggerType
from matplotlib.axes import Axes

from maunet_lite.data import CellDataset, DatasetError, load_dataset, read_labels, write_labels
from maunet_lite.data.checks import LabelError
from maunet_lite.inference import segment
from maunet_lite.network import load_model, read_record, save_model
from maunet_lite.network.maunet import build_model
from maunet_lite.training.loop import _accelerator, _Loop, learning_rate, train
from maunet_lite.training.methods import build_network, with_network_of_weights
from maunet_lite.training.recipes import TrainConfig, recipe
from maunet_lite.training.run import Run, StopRequest, interruptible
from maunet_lite.training.validation import draw_samples, in_words, summary, validation_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "data"))


def small(data: Path, out: Path, **changes: object) -> TrainConfig:
    """A run of seconds."""
    defaults = {
        "patch": 32,
        "batch_size": 2,
        "validate_every": 0,
        "save_every": 2,
        "log_every": 1,
        "warmup": 1,
    }
    config = TrainConfig(data=str(data), out=str(out), device="cpu", workers=0, steps=4)
    return config.override(**(defaults | changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The last weights of a run."""
    return load_model(folder / "last.safetensors").state_dict()


def test_a_run_leaves_weights_record_and_logs(disks: Path, tmp_path: Path) -> None:
    result = train(small(disks, tmp_path / "run"), progress=False)
    assert (result.steps, result.interrupted) == (4, False)
    assert result.best.name == "best.safetensors"
    assert 0 <= result.best_score <= 1
    record = read_record(result.best)["record"]
    assert record["training"]["steps"] == 4
    assert record["val_f1"] == result.best_score
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert list(log["step"]) == [1, 2, 3, 4]
    assert {
        "dice",
        "focal",
        "distance",
        "loss",
        "learning_rate",
        "images_per_second",
        "waiting_share",
    } <= set(log)
    np.testing.assert_allclose(log["loss"], log[["dice", "focal", "distance"]].sum(axis=1), atol=1e-5)
    assert list(pd.read_csv(tmp_path / "run" / "validation.csv")["step"]) == [4]
    for name in ("curve.png", "samples.png", "config.json"):
        assert (tmp_path / "run" / name).stat().st_size > 0


def test_samples_are_drawn_as_they_are_scored(
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_model("lite")
    network.settings = network.settings | {"postprocess": {"foreground": 0.7}}
    drawn = []

    def overlay(image: np.ndarray, labels: np.ndarray, axes: Axes) -> Axes:
        drawn.append(labels)
        return axes

    monkeypatch.setattr("maunet_lite.figures.overlay", overlay)
    val = validation_images(load_dataset(disks), 9)
    val = val.select([0])
    large = cv2.resize(val.image(0), None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    monkeypatch.setattr(CellDataset, "image", lambda self, index: large)
    draw_samples(network, val, tmp_path / "samples.png", "cpu")
    np.testing.assert_array_equal(drawn[1], segment(large, network, "cpu"))


def test_training_learns_bright_disks(disks: Path, tmp_path: Path) -> None:
    result = train(small(disks, tmp_path / "run", steps=30, batch_size=4, patch=64), progress=False)
    log = pd.read_csv(result.folder / "log.csv")
    assert log["loss"][-5:].mean() < 0.7 * log["loss"][:5].mean()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    disks: Path, tmp_path: Path, stop_after: Callable[[pytest.MonkeyPatch, int], None]
) -> None:
    whole = train(small(disks, tmp_path / "whole"), progress=False)
    train(small(disks, tmp_path / "parts", steps=2), progress=False)
    # The cosine schedule knows its end: take up a run whose *budget* was cut short with the budget of the
    # whole one.
    config = small(disks, tmp_path / "cut")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        first = train(config, progress=False)
    assert (first.steps, first.interrupted) == (2, True)
    second = train(config, resume=True, progress=False)
    assert second.steps == whole.steps == 4
    one, two = weights(whole.folder), weights(second.folder)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert list(pd.read_csv(second.folder / "log.csv")["step"]) == [1, 2, 3, 4]


def test_a_killed_run_forgets_what_was_not_saved_and_goes_on(disks: Path, tmp_path: Path) -> None:
    config = small(disks, tmp_path / "run", steps=5)

    def fail(*_: object) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "maunet_lite.training.loop._Loop._validate", fail
        )  # dies after step 5; the last save was at step 4
        with pytest.raises(MemoryError):
            train(config, progress=False)
    result = train(config, resume=True, progress=False)
    assert result.steps == 5
    assert list(pd.read_csv(tmp_path / "run" / "log.csv")["step"]) == [1, 2, 3, 4, 5]


def test_an_existing_run_is_never_overwritten(disks: Path, tmp_path: Path) -> None:
    train(small(disks, tmp_path / "run", steps=1), progress=False)
    with pytest.raises(FileExistsError, match="--resume"):
        train(small(disks, tmp_path / "run", steps=1), progress=False)
    with pytest.raises(ValueError, match=r"seed 0, now 1"):
        train(small(disks, tmp_path / "run", steps=1, seed=1), resume=True, progress=False)


def test_the_last_steps_are_logged_too(disks: Path, tmp_path: Path) -> None:
    train(small(disks, tmp_path / "run", steps=3, log_every=2), progress=False)
    assert list(pd.read_csv(tmp_path / "run" / "log.csv")["step"]) == [2, 3]


def test_minutes_are_a_budget(disks: Path, tmp_path: Path) -> None:
    result = train(small(disks, tmp_path / "run", steps=None, minutes=0.02), progress=False)
    assert result.steps >= 1
    assert pd.read_csv(tmp_path / "run" / "log.csv")["learning_rate"].is_monotonic_decreasing


@pytest.mark.parametrize("heads", [{"proxy": False}, {"distance": False}, {"boundary": False}])
def test_every_ablation_trains(disks: Path, tmp_path: Path, heads: dict[str, bool]) -> None:
    result = train(small(disks, tmp_path / "run", steps=1, **heads), progress=False)
    log = pd.read_csv(result.folder / "log.csv")
    assert ("distance" in log) == heads.get("distance", True)
    assert np.isfinite(log["loss"]).all()


def test_fine_tuning_starts_from_the_given_weights(disks: Path, tmp_path: Path) -> None:
    first = train(small(disks, tmp_path / "one", steps=2), progress=False)
    tuned = small(
        disks, tmp_path / "two", steps=1, start_from=str(first.best), learning_rate=1e-12, weight_decay=0.0
    )
    train(tuned, progress=False)
    before, after = weights(first.folder), weights(tmp_path / "two")
    name = "class_head.conv.weight"
    torch.testing.assert_close(after[name], before[name])


def test_the_network_can_be_changed_field_by_field(disks: Path, tmp_path: Path) -> None:
    network = {"encoder": "lite:8-16x2", "widths": (0, 8, 8)}
    result = train(small(disks, tmp_path / "run", steps=1, network=network), progress=False)
    model = load_model(result.best)
    assert (model.config.encoder, model.config.widths) == ("lite:8-16x2", (0, 8, 8))
    assert model.encoder.channels == (8, 16)


def test_training_in_bfloat16_keeps_float32_weights(disks: Path, tmp_path: Path) -> None:
    result = train(small(disks, tmp_path / "run", steps=2, precision="bfloat16"), progress=False)
    log = pd.read_csv(result.folder / "log.csv")
    exact = train(small(disks, tmp_path / "exact", steps=2, precision="float32"), progress=False)
    assert {value.dtype for value in weights(result.folder).values()} <= {torch.float32, torch.int64}
    reference = pd.read_csv(exact.folder / "log.csv")["loss"]
    np.testing.assert_allclose(log["loss"][0], reference[0], rtol=0.02)  # bfloat16 has 8 significant bits
    np.testing.assert_allclose(log["loss"], reference, rtol=0.1)  # AdamW's first steps make much of rounding
    assert not np.array_equal(log["loss"], reference)  # or nothing was computed in it


def test_what_is_left_out_is_not_trained_on(disks: Path, tmp_path: Path) -> None:
    config = small(disks, tmp_path / "run", steps=1, leave_out="brightfield")
    config = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))  # as --resume reads it
    assert config.leave_out == ("brightfield",)
    assert _Loop(config, False, False).method.labelled.modalities == ["fluorescence"]
    with pytest.raises(ValueError, match="without brightfield, fluorescence no image"):
        train(config.override(leave_out=["brightfield", "fluorescence"]), progress=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_named(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'cuda': torch .* sees no CUDA device here"):
        train(small(disks, tmp_path / "run", device="cuda"), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch about itself
def test_a_compiled_step_learns_what_a_plain_one_does(disks: Path, tmp_path: Path) -> None:
    plain, compiled = (
        train(small(disks, tmp_path / str(flag), steps=3, compile=flag), progress=False)
        for flag in (False, True)
    )
    losses = [pd.read_csv(run.folder / "log.csv")["loss"] for run in (plain, compiled)]
    np.testing.assert_allclose(losses[1][0], losses[0][0], rtol=1e-5)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)  # AdamW's first steps make much of rounding


def test_step_schedule_is_the_papers() -> None:
    config = TrainConfig(schedule="step", learning_rate=6e-4, warmup=0, steps=1)
    rates = [learning_rate(config, 1, epoch, 0.5) for epoch in (0, 9.9, 10, 25)]
    np.testing.assert_allclose(rates, [6e-4, 6e-4, 6e-4 * 0.95, 6e-4 * 0.95**2])


def test_cosine_schedule_warms_up_and_ends_at_zero() -> None:
    config = TrainConfig(learning_rate=1.0, warmup=10, steps=1)
    assert learning_rate(config, 4, 0, 0.0) == 0.5
    assert learning_rate(config, 100, 0, 0.5) == pytest.approx(0.5)
    assert learning_rate(config, 100, 0, 1.0) == 0.0


def test_a_broken_loss_is_reported(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="learning rate"):
        train(small(disks, tmp_path / "run", steps=20, learning_rate=1e30), progress=False)


def two_processes_options(data: Path, out: Path, *budget: object) -> list[str]:
    """Options of a run of seconds, for the command line."""
    options = ["--data", data, "--out", out, "--device", "cpu", "--set", "batch_size=4", *budget]
    for setting in ("workers=0", "patch=32", "log_every=1", "validate_every=0", "zoom=[1.0,1.0]"):
        options += ["--set", setting]
    return [str(option) for option in options]


def test_two_processes_train_like_one(disks: Path, tmp_path: Path) -> None:
    """Two CPU processes (gloo) draw the halves of each batch, so the loss follows that of one process."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    options = two_processes_options(disks, tmp_path / "two", "--steps", 3)
    done = subprocess.run(
        [*launch, "-m", "maunet_lite.cli", "train", *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("best F1 on val") == 1  # one of them speaks
    assert read_record(tmp_path / "two" / "last.safetensors")["record"]["processes"] == 2
    alone = recipe("lite").override(data=str(disks), out=str(tmp_path / "one"), device="cpu", steps=3)
    alone = alone.override(batch_size=4, workers=0, patch=32, log_every=1, validate_every=0, zoom=(1.0, 1.0))
    train(alone, progress=False)
    losses = [pd.read_csv(tmp_path / name / "log.csv")["loss"] for name in ("two", "one")]
    # Not to the last digit: batch normalisation sees half a batch in each process.
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)
    assert pd.read_csv(tmp_path / "two" / "validation.csv")["step"].tolist() == [3]


@pytest.mark.slow
def test_a_stop_of_one_process_stops_all(disks: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = two_processes_options(disks, tmp_path / "run", "--minutes", 10)
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "maunet_lite.cli", "train", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        deadline = time.monotonic() + 240
        while not (tmp_path / "run" / "log.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [130, 130]
    assert "interrupted; go on with" in said[0]
    assert not said[1]
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["step"] == pd.read_csv(tmp_path / "run" / "log.csv")["step"].iloc[-1]


def test_processes_go_by_one_clock_and_stop_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process, slower by its own clock, whose neighbour was asked to stop."""
    loop = _Loop.__new__(_Loop)
    loop.config, loop.total_steps = TrainConfig(minutes=10), None
    loop.run = SimpleNamespace(minutes=3.0, step=5)
    loop.accelerator = SimpleNamespace(num_processes=2, is_main_process=False, device="cpu")
    others = torch.tensor([0.5, 0.0])
    monkeypatch.setattr("maunet_lite.training.loop.reduce", lambda mine, how: mine + others)
    assert loop._goes_on(StopRequest())
    assert (loop.progress, loop.stopped) == (0.5, False)
    others[1] = 1.0
    assert not loop._goes_on(StopRequest())
    assert loop.stopped


@pytest.mark.parametrize(
    ("capability", "device", "asked", "expected"),
    [
        ((7, 5), "auto", "auto", "no"),  # a T4 says that it supports bfloat16, and emulates it
        ((8, 0), "auto", "auto", "bf16"),
        ((9, 0), "cuda", "float32", "no"),
        ((7, 5), "cuda", "bfloat16", "bf16"),
        ((9, 0), "cpu", "auto", "no"),
    ],
)
def test_bfloat16_is_the_default_where_a_gpu_computes_in_it(
    capability: tuple[int, int], device: str, asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr("maunet_lite.training.loop.Accelerator", lambda **how: how)
    how = _accelerator(TrainConfig(steps=1, device=device, precision=asked))
    assert (how["mixed_precision"], how["cpu"]) == (expected, device == "cpu")


def test_processes_wait_for_a_long_validation_of_the_main_one() -> None:
    accelerator = _accelerator(TrainConfig(steps=1, device="cpu"))
    assert accelerator.init_handler.timeout > timedelta(hours=1)  # NCCL's own is ten minutes


@pytest.mark.parametrize(
    ("steps", "done", "cores", "expected"),
    [
        (40, 0, 16, 0),
        (250, 0, 16, 5),
        (4000, 0, 16, 12),
        (4000, 0, 4, 2),
        (4000, 3900, 16, 2),
        (None, 0, 16, 12),
    ],
)
def test_loader_processes_are_started_beside_a_gpu_where_they_pay(
    steps: int | None, done: int, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    loaders = []
    loop = _Loop.__new__(_Loop)
    loop.config, loop.total_steps, loop.waited = TrainConfig(steps=steps), steps, 0.0
    loop.method = SimpleNamespace(draws_per_step=8, patches=range)
    loop.run = SimpleNamespace(step=done)
    loop.accelerator = SimpleNamespace(
        device=torch.device("cuda"), prepare=lambda loader: loaders.append(loader) or [{}]
    )
    next(loop._batches())
    (loader,) = loaders
    assert (loader.num_workers, loader.pin_memory) == (expected, True)
    # A process that was forked after CUDA was used cannot use it, and OpenCV's threads hang there.
    assert expected == 0 or loader.multiprocessing_context.get_start_method() in ("forkserver", "spawn")


@pytest.mark.skipif("forkserver" not in torch.multiprocessing.get_all_start_methods(), reason="Windows")
def test_loader_processes_find_their_imports_done() -> None:
    """torch and MONAI, imported once by the server, not by each worker of each training."""
    code = """
from concurrent.futures import ProcessPoolExecutor
from maunet_lite.training.loop import loader_processes
with ProcessPoolExecutor(1, mp_context=loader_processes()) as pool:
    # a built-in function: unpickling another would import all that it needs
    print(*pool.submit(eval, "list(__import__('sys').modules)").result())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "monai", "maunet_lite.preprocessing.patches"} <= set(done.stdout.split())


def test_a_signal_that_is_passed_on_is_no_second_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with interruptible() as stop:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        assert stop.requested
        monkeypatch.setattr("maunet_lite.training.run.AGAIN", -1.0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_failed_validation_does_not_cost_the_training(disks: Path, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    config = small(disks, tmp_path / "run", steps=3, save_every=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maunet_lite.training.loop.validate", fail)
        with pytest.raises(ValueError, match="no such luck"):
            train(config, progress=False)
    assert load_model(tmp_path / "run" / "last.safetensors") is not None
    result = train(config, resume=True, progress=False)
    assert result.steps == 3
    assert pd.read_csv(tmp_path / "run" / "log.csv")["step"].tolist() == [1, 2, 3]
    assert result.best.name == "best.safetensors"


def copy_of(disks: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of the dataset, and the label map of its first validation image."""
    shutil.copytree(disks, folder)
    return folder, folder / "labels" / "4_label.tiff"


def test_unusable_validation_images_are_found_before_the_first_step(disks: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    data, label = copy_of(disks, tmp_path / "mask")
    tifffile.imwrite(label, np.where(read_labels(label) > 0, 255, 0).astype(np.uint8))
    with pytest.raises(LabelError, match="4_label"):
        train(small(data, out), progress=False)
    write_labels(label, np.ones((10, 10), np.int32))
    with pytest.raises(DatasetError, match=r"4\.png .* label map is \(10, 10\)"):
        train(small(data, out), progress=False)
    for number in (4, 5):
        (data / "labels" / f"{number}_label.tiff").unlink()
    with pytest.raises(DatasetError, match="no image of split 'val'"):
        train(small(data, out), progress=False)
    assert not out.exists()


def test_scores_on_training_images_are_named_so(disks: Path, tmp_path: Path) -> None:
    data, _ = copy_of(disks, tmp_path / "data")
    table = pd.read_csv(data / "metadata.csv")
    table.assign(split="train").to_csv(data / "metadata.csv", index=False)
    with pytest.warns(UserWarning, match="no split 'val'"):
        result = train(small(data, tmp_path / "run", steps=1), progress=False)
    assert result.split == "train"
    record = read_record(result.best)["record"]
    assert record["train_f1"] == result.best_score
    assert "val_f1" not in record
    scores = summary(pd.DataFrame([{"modality": "dic", "f1": 1, "f1_plain": 1, "dice": 1}]))
    assert in_words(scores, "train").startswith("F1 on images of split 'train' 1.000 (dic 1.000);")


class FakeWriter:
    """Stands for TensorBoard's writer, which need not be installed."""

    points: list[tuple[str, str, float, int]] = []

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        self.points.append((self.folder, tag, value, global_step))

    def flush(self) -> None:
        pass


def test_tensorboard_is_written_where_it_is_installed(
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(torch.utils, "tensorboard", module, raising=False)
    monkeypatch.setattr("accelerate.tracking._available_trackers", [LoggerType.TENSORBOARD])
    monkeypatch.setattr("maunet_lite.training.loop.is_tensorboard_available", lambda: True)
    monkeypatch.setattr(FakeWriter, "points", [])
    train(small(disks, tmp_path / "run", steps=1), progress=False)
    log, validation = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("log", "validation"))
    points = {tag: value for folder, tag, value, step in FakeWriter.points if step == 1}
    assert {folder for folder, *_ in FakeWriter.points} == {str(tmp_path / "run" / "tensorboard")}
    assert points["training/loss"] == pytest.approx(log["loss"][0], abs=1e-5)
    assert points["validation/f1"] == pytest.approx(validation["f1"][0], abs=1e-5)


def test_nothing_is_asked_of_a_machine_without_tensorboard(
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maunet_lite.training.loop.is_tensorboard_available", lambda: False)
    result = train(small(disks, tmp_path / "run", steps=1), progress=False)
    assert not (result.folder / "tensorboard").exists()


def test_without_a_budget_no_run_is_opened(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no budget"):
        train(small(disks, tmp_path / "run", steps=None), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_configuration_alone_is_no_run(disks: Path, tmp_path: Path) -> None:
    config = small(disks, tmp_path / "run", steps=1, seed=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(TrainConfig(steps=1).to_dict()))
    Run.open(config, resume=False)
    assert TrainConfig.from_dict(json.loads((tmp_path / "run" / "config.json").read_text())) == config
    (tmp_path / "run" / "log.csv").write_text("step\n1\n")
    with pytest.raises(FileExistsError, match="--resume"):
        Run.open(config, resume=False)


def test_fine_tuning_takes_the_architecture_of_the_weights(tmp_path: Path) -> None:
    plain = save_model(build_model("lite", proxy=False), tmp_path / "plain.safetensors")
    other = save_model(
        build_model("lite", encoder="lite:8-16x2", widths=(0, 8, 8)), tmp_path / "other.safetensors"
    )
    base = TrainConfig(steps=1)
    assert with_network_of_weights(base) is base
    assert with_network_of_weights(base.override(start_from="lite")) == base.override(start_from="lite")
    assert not with_network_of_weights(base.override(start_from=str(plain))).proxy
    followed = with_network_of_weights(base.override(start_from=str(other)))
    assert build_network(followed).config == build_network(replace(followed, start_from=None)).config
    assert with_network_of_weights(followed) == followed  # as --resume finds it
    assert build_network(base.override(intensity="paper")).config.intensity == "paper"
    for changes, message in (
        ({"start_from": "lite", "proxy": False}, "proxy=False contradicts"),
        ({"start_from": "lite", "boundary": False}, "boundary=False contradicts"),
        ({"start_from": "lite", "network": {"norm": "instance"}}, "norm='instance' contradicts"),
        ({"start_from": str(other), "model": "paper-r50"}, "encoder='resnet50' contradicts"),
        ({"start_from": "lite", "intensity": "paper"}, "intensity='paper' contradicts"),
    ):
        with pytest.raises(ValueError, match=message):
            with_network_of_weights(base.override(**changes))


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without MPS")
def test_training_refuses_mps_where_there_is_none(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mps"):
        train(small(disks, tmp_path / "run", device="mps"), progress=False)
    assert not (tmp_path / "run").exists()


def test_interruption_by_signal_from_outside(disks: Path, tmp_path: Path) -> None:
    """Ctrl-C in a terminal: the process saves, says where, and ends."""
    code = (
        "from maunet_lite.training import TrainConfig, train; import sys\n"
        f"c = TrainConfig(data={str(disks)!r}, out={str(tmp_path / 'run')!r}, device='cpu',"
        " workers=0, minutes=5)\n"
        "r = train(c.override(patch=32, batch_size=2, validate_every=0, log_every=1))\n"
        "print(r.interrupted, r.steps)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    log = tmp_path / "run" / "log.csv"
    deadline = time.monotonic() + 240
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    interrupted, steps = out.split()[-2:]
    assert interrupted == "True"
    assert int(steps) >= 1
    assert load_model(tmp_path / "run" / "last.safetensors") is not None
