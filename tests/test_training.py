"""The training loop: budgets, schedules, interruption and resumption, two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from maunet_lite.checkpoints import load_model, read_record
from maunet_lite.datasets import load_dataset
from maunet_lite.recipes import TrainConfig
from maunet_lite.training import learning_rate, seed_everything, train, training_method


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


def test_training_learns_bright_disks(disks: Path, tmp_path: Path) -> None:
    result = train(small(disks, tmp_path / "run", steps=30, batch_size=4, patch=64), progress=False)
    log = pd.read_csv(result.folder / "log.csv")
    assert log["loss"][-5:].mean() < 0.7 * log["loss"][:5].mean()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(disks: Path, tmp_path: Path) -> None:
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


def stop_after(patch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process Ctrl-C when a run has done `step` steps."""
    from maunet_lite.run_folder import Run

    accumulate = Run.accumulate

    def interrupt(run: Run, parts: dict[str, float]) -> None:
        accumulate(run, parts)
        if run.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    patch.setattr(Run, "accumulate", interrupt)


def test_a_killed_run_forgets_what_was_not_saved_and_goes_on(disks: Path, tmp_path: Path) -> None:
    config = small(disks, tmp_path / "run", steps=5)

    def fail(*_: object) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "maunet_lite.training._Loop._validate", fail
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
    np.testing.assert_allclose(log["loss"], reference, rtol=0.02)  # bfloat16 has 8 significant bits
    assert not np.array_equal(log["loss"], reference)  # or nothing was computed in it


def test_what_is_left_out_is_not_trained_on(disks: Path, tmp_path: Path) -> None:
    config = small(disks, tmp_path / "run", steps=1, leave_out="brightfield")
    config = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))  # as --resume reads it
    assert config.leave_out == ("brightfield",)
    assert training_method(config, load_dataset(disks)).train.modalities == ["fluorescence"]
    with pytest.raises(ValueError, match="without brightfield, fluorescence no image"):
        train(config.override(leave_out=["brightfield", "fluorescence"]), progress=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_named(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'cuda': torch .* sees no CUDA device here"):
        train(small(disks, tmp_path / "run", device="cuda"), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_compiled_step_learns_what_a_plain_one_does(disks: Path, tmp_path: Path) -> None:
    plain, compiled = (
        train(small(disks, tmp_path / str(flag), steps=3, compile=flag), progress=False)
        for flag in (False, True)
    )
    losses = [pd.read_csv(run.folder / "log.csv")["loss"] for run in (plain, compiled)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


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


def test_seed_everything_makes_torch_and_numpy_repeat() -> None:
    one = (seed_everything(3).random(), torch.rand(1).item())
    assert one == (seed_everything(3).random(), torch.rand(1).item())


@pytest.mark.slow
def test_two_processes_train_like_one(disks: Path, tmp_path: Path) -> None:
    """Two CPU processes (gloo) draw the halves of each batch, so the loss follows that of one process."""
    losses = []
    for processes in (1, 2):
        out = tmp_path / f"run{processes}"
        options = ["--data", disks, "--out", out, "--steps", 3, "--device", "cpu", "--batch-size", 4]
        for setting in ("workers=0", "patch=32", "log_every=1", "validate_every=0", "zoom=[1.0,1.0]"):
            options += ["--set", setting]
        launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", processes]
        command = [sys.executable, *launch, "-m", "maunet_lite.training", *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        losses.append(pd.read_csv(out / "log.csv")["loss"].to_numpy())
    # Not to the last digit: batch normalisation sees half a batch in each process.
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.1)


def test_interruption_by_signal_from_outside(disks: Path, tmp_path: Path) -> None:
    """Ctrl-C in a terminal: the process saves, says where, and ends."""
    code = (
        "from maunet_lite.recipes import TrainConfig; from maunet_lite.training import train; import sys\n"
        f"c = TrainConfig(data={str(disks)!r}, out={str(tmp_path / 'run')!r}, device='cpu',"
        " workers=0, minutes=5)\n"
        "r = train(c.override(patch=32, batch_size=2, validate_every=0, log_every=1))\n"
        "print(r.interrupted, r.steps)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    log = tmp_path / "run" / "log.csv"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    interrupted, steps = out.split()[-2:]
    assert interrupted == "True"
    assert int(steps) >= 1
    assert load_model(tmp_path / "run" / "last.safetensors") is not None
