"""The commands ``maunet-lite notebooks …`` and ``maunet-lite sweep``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from maunet_lite.cli import options

app = options.group("Run, publish and check the course.")


@app.command()
def run(
    names: options.Notebooks = None,
    profile: options.Profile = "quick", parameter: options.Parameters = None,
    out: Annotated[Path, Option(help="A new folder is made in it.")] = Path("out/notebooks"),
    jobs: options.Jobs = 1, timeout: options.Timeout = None,
) -> None:  # fmt: skip
    """Execute notebooks headless: figures, pages and one report in a new folder."""
    from maunet_lite.course import run_notebooks

    report = run_notebooks(names, profile, options.parse_assignments(parameter), out, jobs, timeout)
    typer.echo(report.summary())
    options.fail_if(report.interrupted, options.INTERRUPTED)
    options.fail_if(not report.ok)


@app.command()
def publish(
    names: options.Notebooks = None,
    profile: options.Profile = "quick",
    force: Annotated[bool, Option(help="Also those that are fresh.")] = False,
    jobs: options.Jobs = 1,
) -> None:
    """Execute the sources that have changed, and store the notebooks that readers see."""
    from maunet_lite.course import publish_notebooks

    written = publish_notebooks(names, profile, force=force, jobs=jobs)
    typer.echo("\n".join(str(path) for path in written) or "every published notebook is fresh")


@app.command()
def exercises(
    names: options.Notebooks = None,
    out: Annotated[Path | None, Option(help="Folder to write; notebooks/exercises by default.")] = None,
) -> None:
    """Write copies for learners, without solutions and outputs; what somebody has worked in is kept."""
    from maunet_lite.course import write_copies

    written, kept = write_copies(names, out)
    typer.echo("\n".join([*map(str, written), *(f"{path} is kept: worked in" for path in kept)]))


@app.command()
def check() -> None:
    """List what is wrong with published notebooks and learners' copies: stale, too large, with errors."""
    from maunet_lite import course

    problems = course.check()
    typer.echo("\n".join(problems) or "the published notebooks are fresh and in order")
    options.fail_if(problems)


@app.command()
def site(
    out: Annotated[Path, Option(help="Folder to write.")] = Path("out/site"),
    run: Annotated[Path | None, Option(help="Folder of executed notebooks, such as that of a run.")] = None,
) -> None:
    """Write the published notebooks as a small website that works offline."""
    from maunet_lite.course import write_site

    typer.echo(f"open {write_site(out, run)}")


def sweep(
    notebook: Annotated[str, Argument(help="Number, name or path of a notebook.")],
    grid: Annotated[Path, Option(help="YAML file: PARAMETER: [value, value, …] per line.")],
    out: Annotated[Path | None, Option(help="Folder of the table; out/sweeps/NOTEBOOK by default.")] = None,
    profile: options.Profile = "smoke", timeout: options.Timeout = None,
    workers: options.Workers = None, scheduler: options.Scheduler = None,
) -> None:  # fmt: skip
    """Run a notebook for every combination of parameters; one table out. Run it again to go on."""
    from maunet_lite.course import TABLE, run_sweep, select

    (source,) = select([notebook])
    folder = out or Path("out/sweeps") / source.stem
    how = {"scheduler": scheduler, "workers": workers, "profile": profile, "timeout": timeout}
    table = run_sweep(source, grid, folder, **how)
    good = int((table["status"] == "ok").sum())
    typer.echo(table.drop(columns=["notebook", "error"]).to_string(index=False))
    typer.echo(f"{good} of {len(table)} runs ended well; table: {folder / TABLE}")
    options.fail_if(good < len(table))
