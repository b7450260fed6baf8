"""Turn a finished training run into weights that ship with the package, with a card that says what they are.

    python -m benchmarks.ship_weights --run runs/lite --name lite --data FOLDER

Writes ``maunet_lite/weights/NAME.safetensors`` (half precision), ``NAME.json`` (architecture, configuration,
budget, commit, scores) and ``NAME.md``, the card. Scores are those of the file as shipped, on the validation
split, beside the Otsu + watershed baseline on the same images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.training_runs import commit
from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation import baseline, evaluate, format_summary, summary
from maunet_lite.network import WEIGHTS, find_checkpoint, load_model, read_record, save_model

CARD = """# Weights `{name}`

{parameters:,} parameters, {megabytes:.1f} MB in half precision. Load with `maunet_lite.load_model("{name}")`.

## How they were trained

| | |
|---|---|
| architecture | preset `{preset}`{heads} |
| data | {images} images of the training split of the `cells` folder: {sources} |
| licences of the images | {licences} |
| budget | {steps} steps of {batch} patches of {patch} pixels, {minutes} minutes on {machine} |
| recipe | AdamW, learning rate {rate}, {schedule} schedule, seed {seed}; everything in `{name}.json` |
| commit | {commit} |

No image of the validation split was trained on. Post-processing settings and the choice between checkpoints
looked at the validation split, so scores on new images may be somewhat lower.

## Scores on the validation split

F1 at IoU 0.5 by the challenge's rules, printed by `maunet-lite evaluate --data cells --model {name}`.

{scores}

## Known failures

{failures}
"""


def stages(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a run and of the runs whose weights it started from, earliest first."""
    start = record["training"].get("start_from")
    earlier = stages(read_record(Path(start))["record"]) if start else []
    # The place of a folder on this machine says nothing to anybody else.
    training = record["training"] | {"data": "cells", "out": f"stage {len(earlier) + 1}"}
    training["start_from"] = f"stage {len(earlier)}" if start else None
    return [*earlier, {"steps": record["steps"], "minutes": record["minutes"], "training": training}]


def counted(values: pd.Series) -> str:
    """Return values with their counts, most frequent first."""
    return ", ".join(f"{name} ({count})" for name, count in values.value_counts().items())


def write_card(
    name: str, data: CellDataset, tables: dict[str, pd.DataFrame], failures: str, machine: str
) -> str:
    """Return the card's text."""
    record = read_record(WEIGHTS / f"{name}.safetensors")["record"]
    run, train = record["training"], data.split("train").labelled().table
    heads = "".join(f", without {part}" for part in ("proxy", "distance", "boundary") if not run[part])
    model = load_model(name)
    return CARD.format(
        name=name,
        parameters=sum(p.numel() for p in model.parameters()),
        megabytes=(WEIGHTS / f"{name}.safetensors").stat().st_size / 1e6,
        preset=run["model"],
        heads=heads,
        images=len(train),
        sources=counted(train["source"]),
        licences=counted(train["licence"]) if "licence" in train else "see the dataset",
        steps=" + ".join(f"{stage['steps']:,}" for stage in record["stages"]),
        batch=run["batch_size"],
        patch=run["augmentation"]["patch"],
        minutes=" + ".join(f"{stage['minutes']:.0f}" for stage in record["stages"]),
        machine=machine,
        rate=run["learning_rate"],
        schedule=run["schedule"],
        seed=run["seed"],
        commit=record["commit"],
        scores=format_summary(tables),
        failures=failures,
    )


def main() -> None:
    """Score, write weights, record and card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, help="folder of the training run")
    parser.add_argument("--name", required=True, help="name to ship under")
    parser.add_argument("--data", required=True, help="dataset to score on")
    parser.add_argument("--machine", default="one CPU core", help="what the run had at hand")
    parser.add_argument("--failures", default="See the scores.", help="text of the last section")
    options = parser.parse_args()
    source = find_checkpoint(Path(options.run))
    record = read_record(source)["record"]
    data = load_dataset(options.data)
    record["stages"] = stages(record)
    record["training"] = record["stages"][-1]["training"]
    record |= {"commit": commit(), "weights": source.name, "torch": torch.__version__}
    save_model(load_model(source), WEIGHTS / f"{options.name}.safetensors", record, half=True)
    tables = {options.name: evaluate(options.name, data, "val"), "Otsu + watershed": baseline(data, "val")}
    record["scores"] = json.loads(summary(tables[options.name]).round(4).to_json(orient="index"))
    save_model(load_model(source), WEIGHTS / f"{options.name}.safetensors", record, half=True)
    card = write_card(options.name, data, tables, options.failures, options.machine)
    (WEIGHTS / f"{options.name}.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
