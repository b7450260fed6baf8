"""Settings of the post-processing that fit a network and images with a truth."""

from typing import Any, NamedTuple

import numpy as np

from maunet_lite import inference
from maunet_lite.evaluation.evaluate import Data, labelled_images
from maunet_lite.evaluation.metrics import match_cells
from maunet_lite.postprocessing import PostprocessConfig, segment

TRIED: dict[str, tuple[float, ...]] = {  # the touchiest first
    "foreground": (0.2, 0.3, 0.4, 0.5, 0.6),
    "interior": (0.4, 0.5, 0.6, 0.7, 0.8),
    "sure_interior": (0.0, 0.8, 0.9, 0.95),
    "skeleton": (0.7, 0.8, 0.85, 0.9),
    "peak_distance": (0.15, 0.25, 0.35, 0.5),
    "min_size": (0.0, 0.1, 0.2, 0.3),
}
LEAST_GAIN = 0.001  # of F1; less is chance


class Tuned(NamedTuple):
    """Settings that differ from the default, and the mean F1 with those from before and with these."""

    settings: dict[str, Any]
    before: float
    after: float


def tune(model: inference.Model, dataset: Data, split: str = "val", device: str = "auto") -> Tuned:
    """Look up settings on the labelled images of a split: one number after another, best first.

    The network is asked once per image. Scores after tuning are those of the images that were tuned on: on
    new ones they are a little lower.

    Parameters
    ----------
    model : MAUNet, name or path
    dataset : CellDataset, name or folder
    split : str
    device : str

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        If the split has no labelled image.
    """
    data, models = labelled_images(dataset, split), inference.as_models(model)
    cases = [(s.labels, inference.predict_sized(models, s.image, device=device).maps) for s in data]

    def score(config: PostprocessConfig) -> float:
        pairs = ((truth, segment(maps, config, keep_steps=False).labels) for truth, maps in cases)
        return float(np.mean([match_cells(*pair, masks=True).f1 for pair in pairs]))

    best = inference.settings_of(models, "default")
    before = highest = score(best)
    for name, values in TRIED.items():
        tried = [best.override(**{name: value}) for value in values if value != getattr(best, name)]
        scores = [score(config) for config in tried]
        if max(scores) > highest + LEAST_GAIN:
            best, highest = tried[int(np.argmax(scores))], max(scores)
    default = vars(PostprocessConfig())
    return Tuned({k: v for k, v in vars(best).items() if v != default[k]}, before, highest)
