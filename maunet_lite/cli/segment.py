"""The command ``maunet-lite segment``: images in, label maps, tables and files for other programs out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from maunet_lite.cli import options


def segment(
    ctx: typer.Context,
    inputs: Annotated[list[Path], Argument(metavar="INPUT...", help="Images, Zarrs, and folders of them.")],
    out: Annotated[Path, Option(help="Folder for NAME_label.tiff and all other files.")],
    model: options.Models = None,
    export: Annotated[str, Option(help="Any of tiff,rois,geojson,zarr: for Fiji, QuPath, napari.")] = "tiff",
    table: Annotated[bool, Option("--table/--no-table", help="Also write summary.csv and cells.csv.")] = True,
    overlay: Annotated[bool, Option("--overlay", help="Also write NAME_overlay.png.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Do again what is done.")] = False,
    pixel_size: Annotated[float | None, Option(help="Micrometres per pixel, for tables and exports.")] = None,
    memory: Annotated[str, Option(help="Larger images are segmented in blocks.")] = "4GiB",
    gpu_memory: Annotated[str | None, Option(help="The same for a GPU, such as 8GiB.")] = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    postprocess: options.Postprocess = "default",
    scales: options.Scales = "1",
    device: options.Device = "auto",
) -> None:
    """Segment images of any size: a label map each, and tables; a damaged file is named and stops nothing.

    Run the same line again to go on after an interruption, or with another --export to add formats.
    """
    from maunet_lite.export import parse_formats
    from maunet_lite.inference import resolve_device
    from maunet_lite.network import find_checkpoint, load_model
    from maunet_lite.scale import open_pool, segment_files

    apart = ("inputs", "out", "model", "workers", "scheduler", "device")
    how = {name: value for name, value in ctx.params.items() if name not in apart}
    how |= {"export": parse_formats(export), "scales": options.parse_numbers(scales)}
    names = model or ["lite"]
    if scheduler or workers:
        paths = [str(find_checkpoint(name).resolve()) for name in names]
        with open_pool(scheduler, workers, gpu_per_worker=True) as pool:
            outcomes = segment_files(inputs, out, paths, device=device, pool=pool, **how)
    else:
        target = resolve_device(device)
        networks = [load_model(name, target) for name in names]
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
    for outcome in outcomes:
        if outcome.reason:
            failed = outcome.status == "failed"
            typer.secho(f"  {outcome.image}: {outcome.reason}", fg="red" if failed else None, err=failed)
    options.fail_if(counts["failed"])
