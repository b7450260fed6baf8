"""Turn a finished training run into weights that ship with the package, with a card that says what they are.

    python -m benchmarks.ship_weights --run runs/lite --name lite --data FOLDER

Writes ``maunet_lite/weights/NAME/``: ``model.safetensors`` (half precision), ``config.json`` (architecture;
on record configuration, budget, commit, sources, scores) and ``README.md``, the card, which is made from that
record alone. Scores are those of the file as shipped, on the validation split, beside the Otsu + watershed
baseline on the same images. ``--run maunet_lite/weights/NAME`` scores shipped weights anew; what is not given
(``--machine``, ``--failures``) stays, and so do the commit and the sources of the training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.training_runs import commit
from maunet_lite.data import load_dataset
from maunet_lite.evaluation import baseline, evaluate, format_summary, summary
from maunet_lite.network import WEIGHTS, find_checkpoint, load_model, read_record


def stages(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a run and of the runs whose weights it started from, earliest first."""
    if "stages" in record:  # shipped before
        return record["stages"]
    start = record["training"].get("start_from")
    earlier = stages(read_record(start)["record"]) if start else []
    # The place of a folder on this machine says nothing to anybody else.
    training = record["training"] | {"data": "cells", "out": f"stage {len(earlier) + 1}"}
    training["start_from"] = f"stage {len(earlier)}" if start else None
    return [*earlier, {"steps": record["steps"], "minutes": record["minutes"], "training": training}]


def scores(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the summary of a table of scores as JSON holds it."""
    return json.loads(summary(table).round(4).to_json(orient="index"))


def main() -> None:
    """Score, write weights, record and card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, help="folder of the training run")
    parser.add_argument("--name", required=True, help="name to ship under")
    parser.add_argument("--data", required=True, help="dataset to score on")
    parser.add_argument("--machine", help="what the run had at hand, such as: one CPU core")
    parser.add_argument("--failures", help="text of the card's last section")
    parser.add_argument("--licence", default="mit", help="of the weights, as SPDX names it")
    options = parser.parse_args()
    source, data = find_checkpoint(Path(options.run)), load_dataset(options.data)
    record, train = read_record(source)["record"], data.split("train").labelled().table
    about = {
        "commit": commit(),
        "torch": torch.__version__,
        "sources": train["source"].value_counts().to_dict(),
    }
    if "licence" in train:
        about["licences"] = train["licence"].value_counts().to_dict()
    # Shipped weights may have seen more than the images on which they are scored anew: what is known stays.
    record = about | record | {"stages": stages(record)}
    record["training"] = record["stages"][-1]["training"]
    given = {"machine": options.machine, "failures": options.failures, "licence": options.licence}
    record |= {key: value for key, value in given.items() if value}
    network, folder = load_model(source), WEIGHTS / options.name
    network.save_pretrained(folder, record, half=True)
    tables = {options.name: evaluate(options.name, data, "val"), "Otsu + watershed": baseline(data, "val")}
    record |= {"scores": scores(tables[options.name]), "baseline": scores(tables["Otsu + watershed"])}
    network.save_pretrained(folder, record, half=True)
    print(format_summary(tables), (folder / "README.md").read_text(encoding="utf-8"), sep="\n\n")


if __name__ == "__main__":
    main()
