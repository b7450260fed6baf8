"""Consistency regularization against supervised training, at an equal budget, in one table.

    python -m benchmarks.semi_supervised --data FOLDER [--minutes 10 | --steps 400]
        [--labelled-fractions 0.1 …] [--seeds 0 …] [--results CSV]

The budget is minutes, or steps of CR. Supervised training, which passes each patch through one network
instead of two, then takes twice as many, so that both pass equally many patches through networks.

All methods see the same labelled images; "cr" and "cr*" see all others without their labels. Beside F1 on the
validation split stands how many pseudo labels were right at the end, modality by modality, averaged over
classes (`maunet_lite.training.pseudo_accuracy`); no loss ever sees that. And how much of the validation
images the network calls the interior of a cell, and how much of them is: a training that finds no cells may
call nothing a cell, or everything. The table goes to ``benchmarks/results/semi_supervised.csv``, and what the
logs say of pseudo labels over time beside it, to a file ``…_over_time.csv``. What is done is not done again.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd

from benchmarks.training_runs import (
    commit,
    refuse_other_data,
    trained,
    training_parser,
    use_temporary_folder,
    write_table,
)
from maunet_lite.data import load_dataset
from maunet_lite.evaluation import evaluate, summary
from maunet_lite.inference import predict
from maunet_lite.network import load_model
from maunet_lite.training import RECIPES

RESULTS = Path(__file__).parent / "results" / "semi_supervised.csv"


def pseudo_label_accuracy(folder: Path, smooth: int = 10) -> pd.DataFrame:
    """Return the accuracy of pseudo labels per modality by step, running means over `smooth` rows of the log.

    Without CR there are no columns. A row of the log knows only the modalities that were drawn.
    """
    log = pd.read_csv(folder / "log.csv").set_index("step").filter(regex="^(agreement|pseudo_accuracy_)")
    return log.rolling(smooth, min_periods=1).mean().rename(columns=lambda c: c.replace("_accuracy_", "_"))


def called_interior(weights: str | Path, folder: str, device: str) -> dict[str, float]:
    """Return by modality which share of the validation images is called interior, and which is cells."""
    data, model = load_dataset(folder).split("val").labelled(), load_model(weights)
    rows = []
    for sample in data:
        called = predict(model, sample.image, device=device).probabilities[:3].argmax(axis=0) == 1
        rows.append((sample.modality, called.mean(), (sample.labels > 0).mean()))
    shares = pd.DataFrame(rows, columns=["modality", "called", "cells"]).groupby("modality").mean().round(3)
    columns = {"interior": shares["called"], "cells": shares["cells"]}
    return {f"{name}_{modality}": share for name, part in columns.items() for modality, share in part.items()}


def main() -> None:
    """Train each method, score it, print the table."""
    parser = training_parser(__doc__, RESULTS, "runs/semi")
    parser.add_argument("--labelled-fractions", type=float, nargs="+", default=[0.1])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, help="of CR, instead of minutes; supervised takes twice as many")
    parser.add_argument("--methods", nargs="+", default=["supervised", "cr"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.steps, options.labelled_fractions = 0.05, None, [0.5]
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)
    rows, courses = [], []
    for fraction, seed, method in product(options.labelled_fractions, options.seeds, options.methods):
        folder = options.out / f"{method.replace('*', '-star')}-{fraction:g}-{seed}"
        steps = options.steps and options.steps * (2 if method == "supervised" else 1)
        budget = {"steps": steps} if steps else {"minutes": options.minutes}
        config = RECIPES["lite"].override(
            data=options.data, method=method, labelled_fraction=fraction, **budget,
            device=options.device, precision=options.precision, seed=seed,
            validate_every=0, validation_images=1, out=str(folder),
        )  # fmt: skip
        weights = trained(config)
        scores = summary(evaluate(weights, options.data, "val", device=options.device, progress=False))
        areas = called_interior(weights, options.data, options.device)
        course = pseudo_label_accuracy(folder)
        minutes = round(pd.read_csv(folder / "log.csv")["minutes"].iloc[-1], 1) if steps else options.minutes
        run = {"method": method, "labelled_fraction": fraction, "seed": seed, "minutes": minutes}
        run["device"] = options.device
        at_the_end = course.filter(like="pseudo_").iloc[-1].round(3).to_dict()
        f1 = scores["mean_f1"].round(3).add_prefix("f1_").to_dict()
        rows.append(run | {"steps": int(course.index[-1])} | f1 | {"commit": commit()} | at_the_end | areas)
        courses.append(course.reset_index().assign(**run))
        write_table(pd.DataFrame(rows), options.results)  # after each run: the next may take an hour
        over_time = options.results.with_stem(f"{options.results.stem}_over_time")
        write_table(pd.concat([c for c in courses if "agreement" in c] or [course]).round(4), over_time)
    table = pd.DataFrame(rows).drop(columns="commit")
    print(table.set_index(["labelled_fraction", "seed", "method"]).T.to_string())


if __name__ == "__main__":
    main()
