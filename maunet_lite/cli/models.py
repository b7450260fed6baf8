"""The commands on networks: segment, train, evaluate, describe, convert, doctor."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from maunet_lite.cli import options


def segment(
    ctx: typer.Context,
    inputs: Annotated[list[Path], Argument(metavar="INPUT...", help="Images, Zarrs, and folders of them.")],
    out: Annotated[Path, Option(help="Folder for NAME_label.tiff and all other files.")],
    model: options.Models = None,
    export: Annotated[str, Option(help="Any of tiff,rois,geojson,zarr,maps: see README.")] = "tiff",
    table: Annotated[bool, Option("--table/--no-table", help="Also write summary.csv and cells.csv.")] = True,
    overlay: Annotated[bool, Option("--overlay", help="Also write NAME_overlay.png.")] = False,
    doubt: Annotated[bool, Option("--doubt", help="Also NAME_doubt.tiff: where to look first.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Do again what is done.")] = False,
    pixel_size: Annotated[float | None, Option(help="Micrometres per pixel; else as the file says.")] = None,
    channel: options.Channel = None, plane: options.Plane = None, project: options.Project = None,
    memory: Annotated[str, Option(help="Larger images are segmented in blocks.")] = "4GiB",
    gpu_memory: Annotated[str | None, Option(help="The same for a GPU, such as 8GiB.")] = None,
    workers: options.Workers = None, scheduler: options.Scheduler = None,
    postprocess: options.Postprocess = "default", setting: options.Steps = None,
    scales: options.Scales = "auto", diameter: options.Diameter = None, device: options.Device = "auto",
) -> None:  # fmt: skip
    """Segment images of any size: a label map each, and tables; a damaged file is named and stops nothing.

    Run the same line again to go on after an interruption, or with another --export to add formats.
    """
    options.share_cores()
    from maunet_lite.export import parse_formats
    from maunet_lite.inference import resolve_device
    from maunet_lite.network import find_checkpoint, load_model
    from maunet_lite.scale import open_pool, segment_files

    apart = ("inputs", "out", "model", "workers", "scheduler", "device", "setting")
    how = {name: value for name, value in ctx.params.items() if name not in apart}
    how |= {"export": parse_formats(export), "scales": options.parse_scales(scales)}
    how["postprocess"] = {"base": postprocess, **options.parse_assignments(setting)}
    names = model or ["lite"]
    if scheduler or workers:
        paths = [str(find_checkpoint(name).resolve()) for name in names]
        with open_pool(scheduler, workers, gpu_per_worker=True) as pool:
            outcomes = segment_files(inputs, out, paths, device=device, pool=pool, **how)
    else:
        target, networks = resolve_device(device), [load_model(name) for name in names]
        outcomes = segment_files(inputs, out, networks, device=target, **how)
    if table:
        files = [str(file) for file in (out / "summary.csv", out / "cells.csv") if file.exists()]
        typer.echo(f"tables: {', '.join(files)}")
    _report(outcomes, out)


def _report(outcomes: list, out: Path) -> None:
    """Say how many images were segmented, and which were not and why."""
    counts = Counter(outcome.status for outcome in outcomes)
    cells = sum(outcome.cells for outcome in outcomes if outcome.status == "segmented")
    text = f"{counts['segmented']} segmented with {cells} cells, {counts['skipped']} done before"
    if counts["completed"]:
        text += f" ({counts['completed']} more were, and lacked files)"
    typer.echo(f"{text}, {counts['failed']} failed; in {out}")
    if unsure := sorted((o for o in outcomes if o.doubt >= 0 <= o.score), key=lambda o: o.score)[:3]:
        options.say("look first at " + ", ".join(f"{o.image.name} (score {o.score:.2f})" for o in unsure))
    for outcome in outcomes:
        if outcome.size is not None and outcome.size.scales != (1.0,):
            typer.echo(f"  {outcome.image}: {outcome.size.sentence()}")
        if outcome.reason:
            failed = outcome.status == "failed"
            options.say(f"  {outcome.image}: {outcome.reason}", fg="red" if failed else None, err=failed)
    options.fail_if(counts["failed"])


def train(
    ctx: typer.Context,
    data: Annotated[str | None, Option(help="Dataset: a name or a folder; the recipe's by default.")] = None,
    channel: options.Channel = None, plane: options.Plane = None, project: options.Project = None,
    preset: Annotated[str | None, Option(help="Recipe: lite (default), paper-r50, … or config.json.")] = None,
    out: Annotated[Path, Option(help="Folder of the run.")] = Path("runs/latest"),
    resume: Annotated[bool, Option("--resume", help="Go on with the run in --out.")] = False,
    minutes: Annotated[float | None, Option(help="Budget in minutes; lite without any budget: 15.")] = None,
    steps: Annotated[int | None, Option(help="Budget in optimiser steps.")] = None,
    epochs: Annotated[float | None, Option(help="Budget in passes over the training images.")] = None,
    start_from: Annotated[str | None, Option("--from", help="Weights to fine-tune.")] = None,
    method: Annotated[str | None, Option(help="supervised, cr or cr*.")] = None,
    labelled_fraction: Annotated[float | None, Option(help="Share of the labels to use.")] = None,
    unlabelled: Annotated[str | None, Option(help="Folder of images without labels, for cr.")] = None,
    seed: Annotated[int | None, Option(help="Of first weights, order and augmentation.")] = None,
    device: Annotated[str | None, Option(help="auto, cpu, cuda or mps.")] = None,
    setting: options.Settings = None,
) -> None:  # fmt: skip
    """Train a network, or fine-tune one; Ctrl-C stops cleanly and --resume goes on."""
    options.share_cores()
    from accelerate import PartialState

    from maunet_lite.training import train as run_training

    apart = ("preset", "out", "resume", "setting")
    changes = {name: value for name, value in ctx.params.items() if value is not None and name not in apart}
    changes |= options.parse_assignments(setting)
    result = run_training(_train_config(preset, out, changes, resume), resume=resume)
    if PartialState().is_main_process:  # one of several processes speaks
        best = f"best F1 on {result.split} {result.best_score:.3f}" if result.best_score >= 0 else "no score"
        if result.start_score is not None:
            best += f", {result.start_score:.3f} before the first step"
        typer.echo(f"{result.steps} steps; {best}; weights: {result.best}")
        if result.interrupted:
            typer.echo(f"interrupted; go on with: maunet-lite train --out {out} --resume")
    PartialState().destroy_process_group()  # else a process may abort while it ends, after all is done
    options.fail_if(result.interrupted, options.INTERRUPTED)


def _train_config(preset: str | None, out: Path, changes: dict[str, Any], resume: bool) -> Any:
    """Return the recipe with changes; to resume, that of the run in `out`: options need not be repeated."""
    from maunet_lite.training import TrainConfig, changed_settings, holds_run, recipe, run_settings

    there = resume and (holds_run(out) or (out / "config.json").exists())
    if resume and not there:
        if not (preset or "data" in changes):
            raise ValueError(f"{out} holds no run to go on with: check --out, or give --data or --preset")
        typer.echo(f"{out} holds no run yet: a new one begins", err=True)
    changes = {"out": str(out)} | changes
    if not there:
        return recipe(preset or "lite").override(**changes)
    config = TrainConfig.from_dict(run_settings(out)).override(**changes)
    if preset and holds_run(out):
        other = recipe(preset).override(**{"data": config.data} | changes)
        if differ := ", ".join(changed_settings(config.to_dict(), other)):
            cure = "To go on with it, leave out --preset; to start anew, choose another --out"
            raise ValueError(f"{out} was not made by --preset {preset} and these options: {differ}. {cure}")
    return config


def evaluate(
    data: Annotated[str, Option(help="Dataset: a name or a folder.")] = "simulated",
    model: options.Models = None,
    split: Annotated[str, Option(help="train, val, test or all.")] = "val",
    channel: options.Channel = None, plane: options.Plane = None, project: options.Project = None,
    predictions: Annotated[Path | None, Option(help="Score a folder of label maps instead.")] = None,
    postprocess: options.Postprocess = "default", setting: options.Steps = None,
    scales: options.Scales = "auto",
    diameter: Annotated[float | None, Option(help="Of the cells in pixels, instead of an estimate.")] = None,
    device: options.Device = "auto",
    save: Annotated[Path | None, Option(help="Write one row per image to this CSV file.")] = None,
    with_baseline: Annotated[bool, Option("--baseline/--no-baseline", help="Otsu + watershed.")] = True,
) -> None:  # fmt: skip
    """Score a model on a dataset: a table per modality with a baseline beside it."""
    options.share_cores()
    from maunet_lite import evaluation
    from maunet_lite.data import load_dataset

    images = load_dataset(data, channel=channel, plane=plane, project=project)
    if predictions:
        label, table = predictions.name, evaluation.evaluate_folder(predictions, images, split)
    else:
        names, how = model or ["lite"], {"scales": options.parse_scales(scales)}
        how["postprocess"] = {"base": postprocess, **options.parse_assignments(setting)}
        label = " + ".join(Path(name).name for name in names)
        table = evaluation.evaluate(names, images, split, diameter=diameter, device=device, **how)
    tables = {"Otsu + watershed": evaluation.baseline(images, split)} if with_baseline else {}
    typer.echo(evaluation.format_summary({**tables, label: table}))
    if save:
        from maunet_lite.export import write_table

        write_table(save, table)
        typer.echo(f"one row per image: {save}")
    options.fail_if((table["error"] != "").any())  # a warning has said how many, and why


def tune(
    data: Annotated[str, Option(help="Dataset with label maps: a name or a folder.")],
    out: Annotated[Path, Option(help="Folder for the network with its settings.")],
    model: Annotated[str, Option(help="Name, file or run folder.")] = "lite",
    split: Annotated[str, Option(help="train, val, test or all.")] = "val",
    channel: options.Channel = None, plane: options.Plane = None, project: options.Project = None,
    device: options.Device = "auto",
) -> None:  # fmt: skip
    """Look up settings of the post-processing that fit your images, and store them with the network."""
    from maunet_lite.data import load_dataset
    from maunet_lite.evaluation import tune as look_up
    from maunet_lite.network import load_model, read_record
    from maunet_lite.training import holds_run

    if holds_run(out):
        raise FileExistsError(f"{out} holds a run, which stays as it is: give another --out")
    network, images = load_model(model), load_dataset(data, channel=channel, plane=plane, project=project)
    settings, before, after = look_up(network, images, split, device)
    typer.echo(f"F1 on {split} of {data}: {before:.3f} before, {after:.3f} with {settings or 'the default'}")
    network.settings = network.settings | {"postprocess": settings}
    network.save_pretrained(out, read_record(model)["record"])
    typer.echo(f"use it with --model {out}")


def describe(model: Annotated[str, Argument(help="A preset, shipped model, file or run folder.")]) -> None:
    """Say what a network consists of: stages, shapes, parameters, multiply-adds for 224 x 224 pixels."""
    from maunet_lite.network import PRESETS, describe, find_checkpoint, load_model, shipped_models

    table = describe(model if model in PRESETS else load_model(model))
    typer.echo(table.to_string(formatters=dict.fromkeys(("parameters", "multiply_adds"), "{:,}".format)))
    if model not in PRESETS or model in shipped_models():
        typer.echo(f"how its weights came about stands beside {find_checkpoint(model)}")


def convert(
    file: Annotated[Path, Argument(help="A weight file of the paper's authors.")],
    preset: Annotated[str, Option(help="paper-r50 or paper-wr50.")],
    out: Annotated[Path, Option(help="Folder for PRESET.safetensors.")],
) -> None:
    """Convert the authors' published weights, which you downloaded, into the kit's safe format."""
    from maunet_lite.network import convert_authors

    typer.echo(f"use the converted weights with --model {convert_authors(file, preset, out)}")


def export_model(
    model: Annotated[str, Argument(help="A shipped model, file or run folder.")],
    out: Annotated[Path, Option(help="Folder to write to.")],
    kind: Annotated[str, Option("--format", help="onnx, torchscript, pt2, huggingface, bioimageio, …")],
) -> None:
    """Write a network for other programs, load it with their library, and say how much it differs."""
    from maunet_lite.export import export_model

    path, difference = export_model(model, kind, out)
    typer.echo(f"{path}: its maps differ from the network's by at most {difference:.1e}")


def doctor(speed: Annotated[bool, Option("--speed/--no-speed", help="Measure the speed.")] = True) -> None:
    """Say what is installed, which device is used and why, and how fast it is."""
    from maunet_lite.cli.doctor import diagnose, format_findings

    findings = diagnose(speed)
    typer.echo(format_findings(findings))
    options.fail_if(any(finding[:2] == ("packages", "problem") for finding in findings))
