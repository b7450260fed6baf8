"""StarDist in its own environment: train for minutes or load weights, then segment. For `benchmarks.peers`.

    PYTHON peer_stardist.py job.json

Runs where the kit is not installed, so it imports nothing of it. ``job.json`` names images and label maps to
train on and to segment, minutes, weights (or null: train from scratch), a seed and a folder. Settings are
those of StarDist's own examples: 32 rays, a grid of 2, batches of 4 patches of 256 pixels, percentiles 1 to
99.8, flips, rotations and changes of intensity, thresholds optimised on the validation images. As a run of
minutes has few steps, the learning rate begins higher, at 1e-3 (there 3e-4), and falls along a cosine.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import stardist
import tensorflow as tf
import tifffile
from csbdeep.utils import normalize
from skimage.io import imread
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D


class Minutes(tf.keras.callbacks.Callback):
    """End a training after some minutes, the learning rate falling to zero until then."""

    def __init__(self, minutes: float, rate: float) -> None:
        super().__init__()
        self.seconds, self.rate, self.steps = 60 * minutes, rate, 0
        self.started = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        progress = min(1.0, (time.monotonic() - self.started) / self.seconds)
        self.model.optimizer.learning_rate = self.rate * 0.5 * (1 + math.cos(math.pi * progress))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        self.steps += 1
        if time.monotonic() - self.started >= self.seconds:
            self.model.stop_training = True


def read_image(path: str) -> np.ndarray:
    """Return (H, W, 3) float32, normalised by percentiles of each channel; grey images three times."""
    image = imread(path)
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    return normalize(image, 1, 99.8, axis=(0, 1)).astype(np.float32)


def augment(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip, rotate by quarter turns, change the intensity."""
    turns, flip = random.randrange(4), random.random() < 0.5
    x, y = np.rot90(x, turns), np.rot90(y, turns)
    if flip:
        x, y = x[:, ::-1], y[:, ::-1]
    return x * random.uniform(0.6, 2) + random.uniform(-0.2, 0.2), y


def train(job: dict) -> tuple[StarDist2D, dict]:
    """Train from scratch; return the model and what it cost."""
    images = [read_image(path) for path, _ in job["train"]]
    labels = [fill_label_holes(imread(path)) for _, path in job["train"]]
    val_images = [read_image(path) for path, _ in job["val"]]
    val_labels = [imread(path) for _, path in job["val"]]
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=3, train_patch_size=(256, 256), train_batch_size=4,
        train_steps_per_epoch=100_000, train_epochs=1, train_tensorboard=False, train_reduce_lr=None,
        train_learning_rate=1e-3,
        train_n_val_patches=1, use_gpu=False,
    )  # fmt: skip
    model = StarDist2D(config, name="model", basedir=job["out"])
    model.prepare_for_training()
    clock = Minutes(job["minutes"], config.train_learning_rate)
    model.callbacks.append(clock)
    clock.started = time.monotonic()
    model.train(images, labels, validation_data=(val_images, val_labels), augmenter=augment, seed=job["seed"])
    minutes = (time.monotonic() - clock.started) / 60
    model.optimize_thresholds(val_images, val_labels)
    return model, {"minutes": round(minutes, 1), "steps": clock.steps}


def main() -> None:
    """Do the job; `about.json` is written last."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    random.seed(job["seed"])
    tf.random.set_seed(job["seed"])
    out = Path(job["out"])
    if job["weights"]:
        try:
            model, about = StarDist2D.from_pretrained(job["weights"]), {}
        except Exception as error:  # what a download raises is the business of its library
            raise SystemExit(f"the weights {job['weights']} cannot be had here: {error}") from error
    else:
        model, about = train(job)
    (out / "labels").mkdir(exist_ok=True)
    for path, _ in job["val"]:
        image = read_image(path)
        if model.config.n_channel_in == 1:
            image = image.mean(axis=2)
        cells, _ = model.predict_instances(image)
        tifffile.imwrite(out / "labels" / f"{Path(path).stem}_label.tiff", cells.astype(np.int32))
    about |= {"parameters": int(model.keras_model.count_params()), "version": stardist.__version__}
    (out / "about.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
