"""The training loop (paper section 3.2), short enough to be read in one go.

One loop serves the supervised protocol (Table 2) and consistency regularization (Table 3, `consistency`): a
*method* (see `methods`) says what is trained and what its loss is; the loop draws patches, steps, logs,
validates, saves and resumes. It runs on CPUs, one GPU, or many: ``torchrun --standalone --nproc_per_node 4
-m maunet_lite.training.loop …``.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext

import torch
from accelerate import Accelerator, DataLoaderConfiguration, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, is_tensorboard_available, reduce
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from maunet_lite.data import load_dataset
from maunet_lite.inference import resolve_device
from maunet_lite.network import MAUNet
from maunet_lite.scale import one_run_in, usable_cores
from maunet_lite.training.consistency import Consistency
from maunet_lite.training.methods import Supervised, check_patch, with_network_of_weights
from maunet_lite.training.recipes import TrainConfig, seed_everything
from maunet_lite.training.run import Run, StopRequest, TrainResult, interruptible
from maunet_lite.training.validation import check_images, chosen_in_words, in_words, scored_split, validate

DRAWS_PER_WORKER = 400  # a loader process that starts imports torch and MONAI for as long as these take
WAIT = timedelta(hours=12)  # for the main process, which validates alone; NCCL's own is ten minutes


def learning_rate(config: TrainConfig, step: int, epoch: float, progress: float) -> float:
    """Return the learning rate at a step.

    ``"step"``: multiplied by 0.95 every 10 epochs (paper Tables 2 and 3). ``"cosine"``: falls to zero with
    `progress` (0 to 1 of the budget, steps or minutes), after `warmup` steps: the better choice for short
    budgets.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == "step":
        return config.learning_rate * warm * 0.95 ** (epoch // 10)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def loader_processes() -> BaseContext:
    """Return the way to start loader processes: from a server that has imported all they need, or spawned.

    Processes forked from this one would hang on OpenCV's threads. The server has none. It imports torch and
    MONAI once, for all workers and all trainings of this process; on Windows each worker does.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["maunet_lite.preprocessing.patches"])
    return context


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train a network and keep its best and last weights.

    Parameters
    ----------
    config : TrainConfig
        What to train on what, for how long; see `training.RECIPES` for the presets.
    resume : bool
        Go on with the interrupted run in ``config.out``, at its last saved step.
    progress : bool
        Show a progress bar.

    Returns
    -------
    TrainResult
        Folder, steps done, best validation score, and whether the run was interrupted (Ctrl-C). The folder
        holds ``best.safetensors``, ``last.safetensors`` (each with a JSON of configuration, data and score),
        ``config.json``, ``log.csv``, ``validation.csv``, ``curve.png`` and ``samples.png``.

    Raises
    ------
    FileExistsError, BlockingIOError
        If ``config.out`` holds a run and `resume` is False, or another run writes there now.
    ValueError
        If the configuration is contradictory or the data unusable.
    """
    config.total_steps(epoch_length=1)  # says so if there is no budget
    writes = os.environ.get("RANK", "0") == "0"  # one of several processes, as launchers number them
    with one_run_in(config.out, keep=False) if writes else nullcontext():
        return _Loop(with_network_of_weights(config), resume, progress).run_to_end()


class _Loop:
    """One training: what it works with, where it stands, how fast it goes."""

    def __init__(self, config: TrainConfig, resume: bool, progress: bool) -> None:
        self.config, self.accelerator = config, _accelerator(config)
        with self.accelerator.main_process_first():  # the other processes find data that it made
            self.data = load_dataset(config.data, **config.reading)
            method = Supervised if config.method == "supervised" else Consistency
            self.method: Supervised = method(config, self.data.split("train").without(config.leave_out))
        if self.method.draws_per_step % self.accelerator.num_processes:
            shared = f"{self.method.draws_per_step} draws by {self.accelerator.num_processes} processes"
            cure = "choose a batch_size that is a multiple (with cr: twice a multiple) of their number"
            raise ValueError(f"a step cannot share {shared}: {cure}")
        seed_everything(config.seed)
        module = self.method.build().to(memory_format=torch.channels_last)
        together = config.batch_size // self.accelerator.num_processes
        check_patch(self.method.network(module), config.augmentation.patch, together)
        # at the rate that each step sets
        optimizer = torch.optim.AdamW(module.parameters(), weight_decay=config.weight_decay)
        self.run = self._open_run(resume)
        self.run.restore(module, optimizer)
        self.accelerator.init_trackers("tensorboard")  # a folder; nothing where TensorBoard is not installed
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)
        # Only the training step is compiled: validation sees images of all sizes.
        self.stepped = torch.compile(self.module) if config.compile else self.module
        self.epoch_length = max(1, len(self.method.labelled) / self.method.draws_per_step)
        self.total_steps = config.total_steps(self.epoch_length)
        quiet = not (progress and self.accelerator.is_main_process)
        self.bar = tqdm(total=self.total_steps, initial=self.run.step, unit="step", disable=quiet)
        self.waited, self.busy, self.logged_at = 0.0, 0.0, self.run.step

    def _open_run(self, resume: bool) -> Run:
        """Look at the images and open the run, both in the main process; its verdict holds for all."""
        run, verdict = Run(self.config, writer=False), [None]
        if self.accelerator.is_main_process:
            try:
                check_images(self.data, self.method.labelled, self.config)
                run = Run.open(self.config, resume=resume)
            except (OSError, ValueError) as error:
                verdict = [error]
        broadcast_object_list(verdict)  # the others wait here
        if verdict[0] is not None:
            raise verdict[0]
        run.split, run.processes = scored_split(self.data), self.accelerator.num_processes
        return run

    def run_to_end(self) -> TrainResult:
        """Step until the budget is spent or the user interrupts; then validate and save."""
        self.started = time.monotonic() - 60 * self.run.minutes
        with interruptible() as stop, self.bar:
            if not self.bar.disable and (chosen := chosen_in_words(self.data)):
                self.bar.write(chosen)
            if self.config.start_from and self.run.step == 0 != self.run.validated_at:
                self._validate()  # what there was before training is what it must beat
            batches = self._batches()
            while self._goes_on(stop):
                self._step(next(batches))
                if self._due(self.config.validate_every):
                    self._validate()
                elif self._due(self.config.save_every):
                    self._save()
            self._log()
            if self.stopped:
                self._save()
            elif self.run.step != self.run.validated_at:
                self._validate()
            (self.run.best_score,) = broadcast_object_list([self.run.best_score])  # the others wait here
            self._goes_on(stop)  # a request that came during the last validation
        run = self.run
        return TrainResult(run.folder, run.step, run.best_score, self.stopped, run.split, run.start_score)

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        size, workers = self.method.draws_per_step, self.config.workers
        draws = self.total_steps * size if self.total_steps else 2**40  # endless: the budget is minutes
        left, on_gpu = range(self.run.step * size, draws), self.accelerator.device.type == "cuda"
        if workers is None:
            workers = max(0, min(12, usable_cores() - 2, len(left) // DRAWS_PER_WORKER)) if on_gpu else 0
        how = {"persistent_workers": True, "multiprocessing_context": loader_processes()} if workers else {}
        rest = Subset(self.method.patches(draws), left)
        loader = DataLoader(rest, size, num_workers=workers, drop_last=True, pin_memory=on_gpu, **how)
        iterator = iter(self.accelerator.prepare(loader))
        while True:
            asked = time.monotonic()
            batch = next(iterator)
            self.waited += time.monotonic() - asked
            yield batch

    def _step(self, batch: dict[str, Tensor]) -> None:
        began, rate = time.monotonic(), learning_rate(self.config, self.run.step, self.epoch, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
        with self.accelerator.autocast():
            parts = self.method.loss(self.stepped, batch)
        if not torch.isfinite(parts["loss"]):
            cure = f"lower the learning rate ({rate:.2g}), or find broken images (`maunet-lite data check`)"
            raise FloatingPointError(f"the loss is {parts['loss'].item()} at step {self.run.step}: {cure}")
        self.accelerator.backward(parts["loss"])
        self.accelerator.clip_grad_norm_(self.module.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.run.step += 1
        self.run.minutes = (time.monotonic() - self.started) / 60
        self.busy += time.monotonic() - began
        self.run.parts.append({name: float(value.detach()) for name, value in parts.items()})
        self.bar.update()
        if self._due(self.config.log_every):
            self._log()

    def _log(self) -> None:
        """Write the means since the last row, also of a last row that is shorter than the others."""
        steps, seconds = self.run.step - self.logged_at, self.busy + self.waited
        if not steps:
            return
        speed, rate = steps * self.config.batch_size / seconds, self.optimizer.param_groups[0]["lr"]
        row = {"learning_rate": rate, "epoch": self.epoch, "images_per_second": speed}
        row = self.run.log(row | {"waiting_share": self.waited / seconds})
        self.logged_at, self.waited, self.busy = self.run.step, 0.0, 0.0
        self._draw("training", row)
        left = max(0.0, 1 - self._progress()) / max(self._progress(), 1e-9) * self.run.minutes
        self.bar.set_postfix_str(f"loss {row['loss']:.3f}, {speed:.1f} images/s, {left:.0f} min left")

    def _draw(self, group: str, row: dict[str, float]) -> None:
        """Add each number of a row as a point of its curve in TensorBoard."""
        self.accelerator.log({f"{group}/{name}": value for name, value in row.items()}, step=self.run.step)

    @property
    def epoch(self) -> float:
        """Passes over the training images so far."""
        return self.run.step / self.epoch_length

    def _progress(self) -> float:
        """Return the share of the budget that is spent, of steps or minutes, whichever is more."""
        steps, minutes = self.total_steps or math.inf, self.config.minutes or math.inf
        return max(self.run.step / steps, self.run.minutes / minutes)

    def _goes_on(self, stop: StopRequest) -> bool:
        """Agree with the other processes on the progress and on whether to stop; tell whether to step again.

        The clock of the main process decides, and a request to stop that any process got: all of them stop at
        the same step, and have the same learning rate on the way.
        """
        self.progress, self.stopped = self._progress(), stop.requested
        if self.accelerator.num_processes > 1:
            mine = [self.progress * self.accelerator.is_main_process, float(self.stopped)]
            told = reduce(torch.tensor(mine, device=self.accelerator.device), "sum")
            self.progress, self.stopped = told[0].item(), bool(told[1])
        return self.progress < 1 - 1e-9 and not self.stopped

    def _due(self, every: int) -> bool:
        return bool(every) and self.run.step % every == 0

    def _save(self) -> MAUNet:
        """Save the run (in the main process) and return its network."""
        module = self.accelerator.unwrap_model(self.module)
        network = self.method.network(module)
        if self.accelerator.is_main_process:
            self.run.save(network, module, self.optimizer)
        return network

    def _validate(self) -> None:
        self.accelerator.wait_for_everyone()
        network = self._save()  # whatever may be wrong with the validation, the training is kept
        if self.accelerator.is_main_process:
            scores = validate(network, self.data, self.config, self.run.folder)
            self.run.record_validation(scores)
            self._draw("validation", scores)
            if not self.bar.disable:
                words, start = in_words(scores, self.run.split), self.run.start_score
                before = f"; before the first step {start:.3f}" if start is not None and self.run.step else ""
                self.bar.write(f"step {self.run.step}: {words}{before}")
            self._save()
            self.run.plot_curve()
        self.accelerator.wait_for_everyone()


def _accelerator(config: TrainConfig) -> Accelerator:
    """Return the accelerator of a run; a notebook may train again with another device or precision."""
    resolve_device(config.device)  # says so if there is none
    if AcceleratorState._shared_state and AcceleratorState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)  # it remembers those of the last run
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    quick = on_gpu and torch.cuda.get_device_capability() >= (8, 0)  # older GPUs only emulate bfloat16
    precision = {"float32": "no", "bfloat16": "bf16", "auto": "bf16" if quick else "no"}
    how = {"mixed_precision": precision[config.precision], "cpu": config.device == "cpu"}
    how |= {"project_dir": config.out, "log_with": "tensorboard" if is_tensorboard_available() else None}
    how["dataloader_config"] = DataLoaderConfiguration(split_batches=True, non_blocking=on_gpu)
    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=WAIT)], **how)
