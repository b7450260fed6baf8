"""The commands ``maunet-lite notebooks …``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maunet_lite.cli.options import INTERRUPTED, WORK_FAILED, Jobs, group, parse_assignments

app = group("Run, publish and check the course.")


@app.command("run")
def notebooks_run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NN]...", help="Numbers or names; all by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="How big: smoke, quick, gpu or full.")] = "quick",
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE")] = None,
    out: Annotated[Path, typer.Option(help="A new folder is made in it.")] = Path("out/notebooks"),
    jobs: Jobs = 1,
    timeout: Annotated[
        float | None, typer.Option(help="Minutes per notebook; the profile's limit by default.")
    ] = None,
) -> None:
    """Execute notebooks headless: figures, pages and one report in a new folder."""
    from maunet_lite.course import run_notebooks

    report = run_notebooks(names, profile, parse_assignments(parameter), out, jobs, timeout)
    typer.echo(report.summary())
    if not report.ok:
        raise typer.Exit(INTERRUPTED if report.interrupted else WORK_FAILED)


@app.command("publish")
def notebooks_publish(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NN]...", help="Numbers or names; all by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="How big: smoke, quick, gpu or full.")] = "quick",
    force: Annotated[bool, typer.Option(help="Also those that are fresh.")] = False,
    jobs: Jobs = 1,
) -> None:
    """Execute the sources that have changed, and store the notebooks that readers see."""
    from maunet_lite.course import publish_notebooks

    written = publish_notebooks(names, profile, force=force, jobs=jobs)
    typer.echo("\n".join(str(path) for path in written) or "every published notebook is fresh")


@app.command("check")
def notebooks_check() -> None:
    """List what is wrong with the published notebooks: stale, too large, errors, figures undescribed."""
    from maunet_lite.course import check

    problems = check()
    typer.echo(
        "\n".join(str(problem) for problem in problems) or "the published notebooks are fresh and in order"
    )
    if problems:
        raise typer.Exit(WORK_FAILED)


@app.command("site")
def notebooks_site(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("out/site"),
    run: Annotated[
        Path | None, typer.Option(help="Folder of executed notebooks, such as that of a run.")
    ] = None,
) -> None:
    """Write the published notebooks as a small website that works offline."""
    from maunet_lite.course import write_site

    typer.echo(f"open {write_site(out, run)}")
