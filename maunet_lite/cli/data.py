"""The commands ``maunet-lite data …``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from maunet_lite.cli.options import fail_if, group, say

app = group("Find, fetch and check datasets.")


@app.command("list")
def list_known() -> None:
    """List the datasets that the kit knows by name: licence, where they come from, whether they are here."""
    from maunet_lite.data import format_catalogue

    typer.echo(format_catalogue())


@app.command()
def get(
    name: Annotated[str, Argument(help="A name that `maunet-lite data list` shows.")],
    archives: Annotated[Path | None, Option(help="Folder with archives that are downloaded already.")] = None,
    yes: Annotated[bool, Option("--yes", help="Accept the licence without being asked.")] = False,
) -> None:
    """Fetch a dataset, verify it and bring it into the kit's layout."""
    from maunet_lite import data

    entry = data.CATALOGUE.get(name)
    if entry and entry.licence:
        typer.echo(f"{name}: {entry.about}\nlicence: {entry.licence}")
        if entry.restricted and not yes:
            typer.confirm("Fetch it under this licence?", abort=True)
    typer.echo(f"{name} is in {data.get(name, accept_licence=True, archives=archives)}")


@app.command("import")
def import_(
    folder: Annotated[Path, Argument(help="As Cellpose, StarDist, the Data Science Bowl or COCO have it.")],
    out: Annotated[Path, Option(help="The folder to make.")],
) -> None:
    """Bring a dataset of another program into the kit's layout."""
    from maunet_lite.data import import_folder

    check(import_folder(folder, out))


@app.command()
def export(
    dataset: Annotated[str, Argument(help="A name or a folder.")],
    out: Annotated[Path, Option(help="The folder to make.")],
    layout: Annotated[str, Option(help="cellpose, stardist, dsb or coco.")],
) -> None:
    """Write the labelled images of a dataset in the layout of another program."""
    from maunet_lite.data import export_folder

    typer.echo(f"in {export_folder(dataset, out, layout)}")


@app.command()
def check(folder: Annotated[Path, Argument(help="images/NAME.png, labels/NAME_label.tiff")]) -> None:
    """List every problem of a dataset folder at once."""
    from maunet_lite.data import check_folder, load_dataset

    problems = check_folder(folder)
    for problem in problems:
        say(f"{problem.file}: {problem.problem}")
    fail_if(problems)
    table = load_dataset(folder).table
    splits = ", ".join(f"{count} {name}" for name, count in table["split"].value_counts().items())
    if table.attrs.get("splits_chosen"):
        names = ", ".join(table.loc[table["split"] == "val", "image"]) or "none"
        say(f"metadata.csv names no splits; every fifth labelled image is for validation: {names}")
    say(f"{folder} is in order: {len(table)} images, {table['labelled'].sum()} with labels ({splits})")
