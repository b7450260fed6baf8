"""Consistency regularization against supervised training, at an equal budget of minutes, in one table.

    python -m benchmarks.semi_supervised --data FOLDER [--labelled-fraction 0.1] [--minutes 10]

Both see the same labelled images; "cr" and "cr*" see all others without their labels. Beside F1 on the
validation split stands how many pseudo labels were right at the end, modality by modality, averaged over
classes (`maunet_lite.training.pseudo_accuracy`); no loss ever sees that. The table goes to
``benchmarks/results/semi_supervised.csv``. What is done is not done again.
"""

from __future__ import annotations

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
from maunet_lite.evaluation import evaluate, summary
from maunet_lite.training import RECIPES

RESULTS = Path(__file__).parent / "results" / "semi_supervised.csv"


def pseudo_label_accuracy(folder: Path, rows: int = 10) -> pd.Series:
    """Return the accuracy of pseudo labels per modality over the last rows of the log; empty without CR."""
    log = pd.read_csv(folder / "log.csv")
    log = log[[name for name in log if name.startswith("pseudo_accuracy_")]]
    return log.tail(rows).mean().rename(lambda name: name.replace("_accuracy_", "_")).round(3)


def main() -> None:
    """Train each method, score it, print the table."""
    parser = training_parser(__doc__, RESULTS, "runs/semi")
    parser.add_argument("--labelled-fraction", type=float, default=0.1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--methods", nargs="+", default=["supervised", "cr"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.labelled_fraction = 0.05, 0.5
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)
    rows = []
    for method in options.methods:
        folder = options.out / method.replace("*", "-star")
        config = RECIPES["lite"].override(
            data=options.data, method=method, labelled_fraction=options.labelled_fraction,
            minutes=options.minutes, device=options.device, precision=options.precision, seed=options.seed,
            validate_every=0, validation_images=1, out=str(folder),
        )  # fmt: skip
        weights = trained(config)
        scores = summary(evaluate(weights, options.data, "val", device=options.device, progress=False))
        log = pd.read_csv(folder / "log.csv")
        f1 = scores["mean_f1"].round(3).add_prefix("f1_")
        rows.append(
            {"method": method, "minutes": options.minutes, "steps": int(log["step"].iloc[-1]), **f1}
            | {"labelled_fraction": options.labelled_fraction, "commit": commit()}
            | pseudo_label_accuracy(folder).to_dict()
        )
    table = pd.DataFrame(rows)
    write_table(table, options.results)
    shown = table.drop(columns="commit").set_index("method")
    shown["ratio"] = (shown["f1_all"] / shown["f1_all"].iloc[0]).round(2)
    print(shown.T.to_string())


if __name__ == "__main__":
    main()
