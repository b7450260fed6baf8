"""The commands of the README's *Your own images*, and the folder that they are typed in."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.data import load_dataset, read_image


@pytest.fixture(scope="module")
def answers(repository: Path):
    """Return docs/readme_answers.py as a module."""
    spec = importlib.util.spec_from_file_location("readme_answers", repository / "docs/readme_answers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(answers, tmp_path_factory) -> Path:
    """Return what the commands work on."""
    folder = tmp_path_factory.mktemp("readme")
    answers.make_folder(folder)
    return folder


def test_every_answer_in_the_readme_follows_a_command_that_is_typed(answers, repository):
    section = (repository / "README.md").read_text("utf-8").split("## Your own images")[1].split("\n## ")[0]
    typed = answers.commands()
    assert len(typed) == section.count("\nmaunet-lite ") == 10
    assert typed[0] == "maunet-lite segment my_images/ --out results/"
    assert typed[3].endswith("--pixel-size 0.65")  # nothing of the remark behind it


def test_channel_and_plane_of_the_two_files_are_the_same_picture(answers, folder):
    assert np.array_equal(read_image(folder / "my_images/well1.tif"), answers.picture(3)[0])
    picture = answers.picture(1, "fluorescence")[0]
    assert np.array_equal(read_image(folder / "a.ome.tif", channel="DAPI"), picture)
    assert np.array_equal(read_image(folder / "stack.tif", channel=2, plane=2), picture)
    assert not np.array_equal(read_image(folder / "stack.tif", channel=2, plane=1), picture)


def test_the_corrected_pictures_are_a_dataset_in_order(folder):
    result = CliRunner().invoke(app, ["data", "check", str(folder / "mine")])
    assert result.exit_code == 0
    assert "6 images, 6 with labels (5 train, 1 val)" in result.output
    assert len(load_dataset(folder / "mine")) == 6
