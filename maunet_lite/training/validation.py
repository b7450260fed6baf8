"""Scores of a network in training: F1 per modality on the validation split, and sample predictions."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from maunet_lite.data import CellDataset, DatasetError, atomic_path, doubt_of_labels
from maunet_lite.evaluation import evaluate
from maunet_lite.export import for_terminal
from maunet_lite.inference import predict_sized, settings_of
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import segment
from maunet_lite.training.recipes import TrainConfig


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Return the means of `evaluation.evaluate`'s table: F1 at IoU 0.5 and others, F1 of each modality."""
    means = {name: float(table[name].mean()) for name in ("f1", "f1_plain", "dice")}
    return means | table.groupby("modality")["f1"].mean().add_prefix("f1_").to_dict()


def in_words(scores: dict[str, float], split: str) -> str:
    """Return the scores of `summary` as a sentence."""
    modalities = [name for name in scores if name not in ("f1", "f1_plain", "dice")]
    parts = ", ".join(f"{name.removeprefix('f1_')} {scores[name]:.3f}" for name in modalities)
    name = "validation F1" if split == "val" else f"F1 on images of split {split!r}"
    return f"{name} {scores['f1']:.3f} ({parts}); without post-processing {scores['f1_plain']:.3f}"


def scored_split(data: CellDataset) -> str:
    """Return the split that is scored in training: that for validation, or "train" where there is none."""
    return "val" if (data.table["split"] == "val").any() else "train"


def validation_images(data: CellDataset, limit: int) -> CellDataset:
    """Return the labelled images of the split that is scored, at most `limit`, evenly chosen."""
    val = data.split(scored_split(data)).labelled()
    return val.select(np.unique(np.linspace(0, len(val) - 1, min(limit, len(val))).astype(int)))


def check_images(data: CellDataset, labelled: CellDataset, config: TrainConfig) -> None:
    """Read the images to be validated on, so that a training does not end at its first validation.

    Warns if there is no validation split, or if all label maps of the `labelled` training images or of those
    for validation are empty.

    Raises
    ------
    DatasetError
        If none of them is labelled, or an image and its label map differ in size.
    ImageError, LabelError
        If one cannot be read.
    """
    split, val = scored_split(data), validation_images(data, config.validation_images)
    if not len(val):
        cure = "label some, or give them another split in metadata.csv"
        raise DatasetError(f"no image of split {split!r} of {data.name!r} has a label map to score: {cure}")
    for sample in val:
        if doubt := doubt_of_labels(sample.labels):
            warnings.warn(f"label map of {sample.name}: {doubt}", stacklevel=2)
        if sample.image.shape[:2] != sample.labels.shape:
            sizes = f"{sample.image.shape[:2]} (height, width), but its label map is {sample.labels.shape}"
            raise DatasetError(f"{sample.name} is {sizes}: `maunet-lite data check` lists all such images")
    for images, what in ((labelled, "training, nothing can be learnt"), (val, "validation, F1 says nothing")):
        if not any(images.labels(index).any() for index in range(len(images))):  # reads on to the first cell
            text = f"all {len(images)} label maps are empty in {what}: label cells in {data.folder}/labels"
            warnings.warn(text, stacklevel=2)
    if split != "val":
        text = "scores are those of images that are trained on, higher than on new ones"
        cure = "Give some images split 'val' in metadata.csv"
        warnings.warn(f"dataset {data.name!r} has no split 'val': {text}. {cure}", stacklevel=2)


def chosen_in_words(data: CellDataset) -> str:
    """Say which images are for validation if the kit has chosen them; "" if the table of the data did."""
    names = data.table.loc[data.table["split"] == "val", "image"]
    if not data.table.attrs.get("splits_chosen") or not len(names):
        return ""
    shown = ", ".join([*names[:8], f"… ({len(names)} in all)"][: len(names)])
    how = "every fifth labelled image, in order of name, is for validation"
    return f"metadata.csv of {data.name!r} names no splits: {how}: {for_terminal(shown)}"


def validate(network: MAUNet, data: CellDataset, config: TrainConfig, folder: Path) -> dict[str, float]:
    """Score `network` on the split that `scored_split` names, and draw ``samples.png`` in `folder`."""
    val = validation_images(data, config.validation_images)
    device = next(network.parameters()).device.type
    table = evaluate(network, val, split="all", progress=False, device=device)
    draw_samples(network, val, folder / "samples.png", device)
    return summary(table)


def draw_samples(network: MAUNet, val: CellDataset, path: Path, device: str) -> None:
    """Draw one image per modality with the outlines of truth and prediction."""
    from matplotlib import pyplot as plt

    from maunet_lite.figures import overlay

    settings = settings_of([network], "default")  # as for the scores
    first = [int(np.flatnonzero(val.table["modality"] == m)[0]) for m in val.modalities]
    figure, axes = plt.subplots(2, len(first), figsize=(3 * len(first), 6), squeeze=False)
    for column, index in enumerate(first):
        sample = val[index]
        labels = segment(predict_sized(network, sample.image, device=device).maps, settings).labels
        for row, (what, shown) in enumerate((("truth", sample.labels), ("prediction", labels))):
            title = f"{sample.modality}: {what}, {np.count_nonzero(np.unique(shown))} cells"
            overlay(sample.image, shown, axes[row, column]).set_title(title, fontsize=8)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=90, bbox_inches="tight")
    plt.close(figure)
