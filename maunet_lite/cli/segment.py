"""The command ``maunet-lite segment``: images in, label maps, tables and files for other programs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from maunet_lite.cli.options import WORK_FAILED, Device, Models, Postprocess, Scales, parse_numbers


def segment(
    inputs: Annotated[
        list[Path], Argument(metavar="INPUT...", help="Image files, Zarrs, and folders of them.")
    ],
    out: Annotated[Path, Option(help="Folder for NAME_label.tiff and all other files.")],
    model: Models = None,
    export: Annotated[
        str, Option(help="Any of tiff, rois (Fiji), geojson (QuPath), zarr (napari), by commas.")
    ] = "tiff",
    table: Annotated[bool, Option("--table/--no-table", help="Also write summary.csv and cells.csv.")] = True,
    overlay: Annotated[bool, Option("--overlay", help="Also write NAME_overlay.png.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Do again what is done.")] = False,
    pixel_size: Annotated[
        float | None, Option(help="Micrometres per pixel, for measurements and exports.")
    ] = None,
    memory: Annotated[str, Option(help="Larger images are segmented in blocks.")] = "4GiB",
    gpu_memory: Annotated[str | None, Option(help="The same for a GPU, such as 8GiB.")] = None,
    workers: Annotated[int | None, Option(min=1, help="Processes on this machine.")] = None,
    scheduler: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    postprocess: Postprocess = "default",
    scales: Scales = "1",
    device: Device = "auto",
) -> None:
    """Segment images of any size: a label map each, and tables; a damaged file is named and stops nothing.

    Run the same line again to go on after an interruption, or with another --export to add formats.
    """
    from maunet_lite.export import parse_formats, require_packages
    from maunet_lite.inference import resolve_device
    from maunet_lite.network import find_checkpoint, load_model
    from maunet_lite.scale import open_pool, segment_files

    formats = parse_formats(export)
    require_packages(formats)
    names = model or ["lite"]
    numbers = parse_numbers(scales)
    options = {
        "postprocess": postprocess, "export": formats, "table": table, "overlay": overlay,
        "overwrite": overwrite, "pixel_size": pixel_size, "memory": memory, "gpu_memory": gpu_memory,
        "scales": numbers,
    }  # fmt: skip
    if scheduler or workers:
        paths = [str(find_checkpoint(name).resolve()) for name in names]
        with open_pool(scheduler, workers, gpu_per_worker=True) as pool:
            outcomes = segment_files(inputs, out, paths, device=device, pool=pool, **options)
    else:
        target = resolve_device(device)
        networks = [load_model(name, target) for name in names]
        outcomes = segment_files(inputs, out, networks, device=target, **options)
    if table:
        typer.echo(_tables(out))
    _report(outcomes, out)


def _tables(out: Path) -> str:
    """Say where the tables are."""
    from maunet_lite.scale import has_parquet

    names = [name for name in ("summary", "cells") if (out / f"{name}.csv").exists()]
    also = "also as .parquet" if has_parquet() else "also as .parquet with: pip install 'maunet-lite[scale]'"
    return f"tables: {', '.join(str(out / f'{name}.csv') for name in names)} ({also})"


def _report(outcomes: list, out: Path) -> None:
    """Say how many images were segmented, and which were not and why."""
    kinds = {
        status: [outcome for outcome in outcomes if outcome.status == status]
        for status in ("segmented", "completed", "skipped", "failed")
    }
    cells = sum(outcome.cells for outcome in kinds["segmented"])
    counts = f"{len(kinds['segmented'])} segmented with {cells} cells, {len(kinds['skipped'])} done before"
    if kinds["completed"]:
        counts += f" ({len(kinds['completed'])} more were, and lacked files)"
    typer.echo(f"{counts}, {len(kinds['failed'])} failed; in {out}")
    for outcome in outcomes:
        if outcome.status != "failed" and outcome.reason:
            typer.echo(f"  {outcome.image}: {outcome.reason}")
    for outcome in kinds["failed"]:
        typer.secho(f"  {outcome.image}: {outcome.reason}", fg="red", err=True)
    if kinds["failed"]:
        raise typer.Exit(WORK_FAILED)
