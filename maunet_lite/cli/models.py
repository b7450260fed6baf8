"""The commands on networks: train, evaluate, describe, convert, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from maunet_lite.cli.options import (
    INTERRUPTED,
    WORK_FAILED,
    Device,
    Models,
    Postprocess,
    Scales,
    parse_assignments,
    parse_numbers,
)


def train(
    data: Annotated[str | None, Option(help="Dataset: a name or a folder; the recipe's by default.")] = None,
    preset: Annotated[
        str | None, Option(help="Recipe: lite (default), paper-r50, … or a config.json of a run.")
    ] = None,
    out: Annotated[Path, Option(help="Folder of the run.")] = Path("runs/latest"),
    resume: Annotated[bool, Option("--resume", help="Go on with the run in --out.")] = False,
    minutes: Annotated[float | None, Option(help="Budget in minutes; lite without any budget: 15.")] = None,
    steps: Annotated[int | None, Option(help="Budget in optimiser steps.")] = None,
    epochs: Annotated[float | None, Option(help="Budget in passes over the training images.")] = None,
    start_from: Annotated[str | None, Option("--from", help="Weights to fine-tune.")] = None,
    method: Annotated[str | None, Option(help="supervised, cr or cr*.")] = None,
    labelled_fraction: Annotated[float | None, Option(help="Share of the labels to use.")] = None,
    unlabelled: Annotated[str | None, Option(help="Folder of images without labels, for cr.")] = None,
    batch_size: Annotated[int | None, Option()] = None,
    learning_rate: Annotated[float | None, Option()] = None,
    seed: Annotated[int | None, Option()] = None,
    device: Annotated[str | None, Option(help="auto, cpu, cuda or mps.")] = None,
    setting: Annotated[
        list[str] | None, Option("--set", metavar="NAME=VALUE", help="Any other field.")
    ] = None,
) -> None:
    """Train a network, or fine-tune one; Ctrl-C stops cleanly and --resume goes on."""
    from accelerate import PartialState

    from maunet_lite.training import train as run_training

    given = {
        "data": data, "minutes": minutes, "steps": steps, "epochs": epochs, "start_from": start_from,
        "method": method, "labelled_fraction": labelled_fraction, "unlabelled": unlabelled,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed, "device": device,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None} | parse_assignments(setting)
    result = run_training(_train_config(preset, out, changes, resume), resume=resume)
    if PartialState().is_main_process:  # one of several processes speaks
        best = f"best F1 on {result.split} {result.best_score:.3f}; " if result.best_score >= 0 else ""
        typer.echo(f"{result.steps} steps; {best}weights: {result.best}")
        if result.interrupted:
            typer.echo(f"interrupted; go on with: maunet-lite train --out {out} --resume")
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _train_config(preset: str | None, out: Path, changes: dict[str, Any], resume: bool) -> Any:
    """Return the recipe with changes; to resume, that of the run in `out`: options need not be repeated."""
    from maunet_lite.training import changed_settings, holds_run, recipe

    changes = {"out": str(out)} | changes
    earlier = out / "config.json"
    if not (resume and earlier.exists()):
        return recipe(preset or "lite").override(**changes)
    config = recipe(str(earlier)).override(**changes)
    if preset and holds_run(out):
        other = recipe(preset).override(**{"data": config.data} | changes)
        if differ := changed_settings(config.to_dict(), other):
            raise ValueError(
                f"{out} was not made by --preset {preset} and these options: {', '.join(differ)}. "
                "To go on with it, leave out --preset; to start anew, choose another --out"
            )
    return config


def evaluate(
    data: Annotated[str, Option(help="Dataset: a name or a folder.")] = "simulated",
    model: Models = None,
    split: Annotated[str, Option(help="train, val, test or all.")] = "val",
    predictions: Annotated[
        Path | None, Option(help="Score label maps in a folder instead of a model.")
    ] = None,
    postprocess: Postprocess = "default",
    scales: Scales = "1",
    device: Device = "auto",
    save: Annotated[Path | None, Option(help="Write one row per image to this CSV file.")] = None,
    with_baseline: Annotated[
        bool, Option("--baseline/--no-baseline", help="Otsu + watershed beside it.")
    ] = True,
) -> None:
    """Score a model on a dataset: a table per modality with a baseline beside it."""
    from maunet_lite import evaluation

    names = model or ["lite"]
    if predictions:
        label, table = predictions.name, evaluation.evaluate_folder(predictions, data, split)
    else:
        label = " + ".join(Path(name).name for name in names)
        table = evaluation.evaluate(
            names, data, split, postprocess=postprocess, scales=parse_numbers(scales), device=device
        )
    tables = {"Otsu + watershed": evaluation.baseline(data, split)} if with_baseline else {}
    typer.echo(evaluation.format_summary({**tables, label: table}))
    if save:
        from maunet_lite.data import atomic_path

        with atomic_path(save) as temporary:
            table.to_csv(temporary, index=False)
        typer.echo(f"one row per image: {save}")
    if (table["error"] != "").any():  # a warning has said how many, and why
        raise typer.Exit(WORK_FAILED)


def describe(
    preset: Annotated[str, Argument(help="A preset, a shipped model, a file or a run folder.")],
    side: Annotated[int, Option(help="Count multiply-adds for a square image of this side.")] = 224,
) -> None:
    """Say what a network consists of: stages, parameters, multiply-adds, and how its weights came about."""
    from maunet_lite.network import PRESETS, find_checkpoint, load_model, read_record, shipped_models
    from maunet_lite.network import describe as table_of

    table = table_of(preset if preset in PRESETS else load_model(preset), (side, side))
    typer.echo(table.to_string(formatters={name: "{:,}".format for name in ("parameters", "multiply_adds")}))
    if preset not in PRESETS or preset in shipped_models():
        record = read_record(preset).get("record", {})
        typer.echo(
            "".join(
                f"{name}: {value}\n" for name, value in record.items() if not isinstance(value, (dict, list))
            )
        )
        typer.echo(f"the whole record: {find_checkpoint(preset).with_suffix('.json')}")


def convert(
    file: Annotated[Path, Argument(help="A weight file of the paper's authors.")],
    preset: Annotated[str, Option(help="paper-r50 or paper-wr50.")],
    out: Annotated[Path, Option(help="Folder for PRESET.safetensors.")],
) -> None:
    """Convert the authors' published weights, which you downloaded, into the kit's safe format."""
    from maunet_lite.network import convert_authors

    typer.echo(f"use the converted weights with --model {convert_authors(file, preset, out)}")


def doctor(
    speed: Annotated[bool, Option("--speed/--no-speed", help="Measure how fast the network runs.")] = True,
) -> None:
    """Say what is installed, which device is used and why, and how fast it is."""
    from maunet_lite.cli.doctor import diagnose, format_findings

    findings = diagnose(speed)
    typer.echo(format_findings(findings))
    if any(finding.topic == "packages" and finding.state == "problem" for finding in findings):
        raise typer.Exit(WORK_FAILED)
