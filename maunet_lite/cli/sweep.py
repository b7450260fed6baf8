"""The command ``maunet-lite sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maunet_lite.cli.options import WORK_FAILED


def sweep(
    notebook: Annotated[str, typer.Argument(help="Number, name or path of a notebook.")],
    grid: Annotated[Path, typer.Option(help="YAML file: PARAMETER: [value, value, …] per line.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the table; out/sweeps/NOTEBOOK by default.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Gives all other parameters: smoke, quick, gpu or full.")
    ] = "smoke",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes on this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Minutes per run; the profile's limit by default.")
    ] = None,
) -> None:
    """Run a notebook for every combination of parameters; one table out. Run it again to go on."""
    from maunet_lite.course import TABLE, run_sweep, select

    (source,) = select([notebook])
    folder = out or Path("out/sweeps") / source.stem
    table = run_sweep(
        source, grid, folder, scheduler=scheduler, workers=workers, profile=profile, timeout=timeout
    )
    good = int((table["status"] == "ok").sum())
    typer.echo(table.drop(columns=["notebook", "error"]).to_string(index=False))
    typer.echo(f"{good} of {len(table)} runs ended well; table: {folder / TABLE}")
    if good < len(table):
        raise typer.Exit(WORK_FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(sweep)
