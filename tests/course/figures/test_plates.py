"""What is known of an experiment: the simulated one's, one's own, and values that do not fit the pictures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite.course.figures.own_images import WELLS, photograph_experiment
from maunet_lite.course.figures.plates import SIMULATED, describe_plate
from maunet_lite.course.publishing.sources import find_sources, load
from maunet_lite.data.reading.images import read_image
from maunet_lite.export.measure import measure_cells


def test_simulated_experiment_brings_its_own_values(tmp_path):
    folder = photograph_experiment(tmp_path, sites=1)
    plate = describe_plate(folder, pixel_size=None, camera_offset=None, simulated=True)
    assert (plate.pixel_size, plate.camera_offset, plate.rejected) == (0.65, 100, SIMULATED["rejected"])
    finer = describe_plate(folder, pixel_size=0.3, camera_offset=None, treatment={}, simulated=True)
    assert (finer.pixel_size, finer.treatment) == (0.3, SIMULATED["treatment"])
    for treatment, wells in WELLS.items():
        for well in wells:
            assert plate.well_of(f"{well}_s1.tif") == well
            assert plate.treatment_of(well) == treatment


@pytest.fixture
def mine(tmp_path):
    """Somebody's plate: wells A01 to B02 with zeros in their names, 8 bit, no offset."""
    for number, well in enumerate(("A01", "A02", "A10", "B01", "B02")):
        image = np.full((20, 30), 0, dtype=np.uint8)
        image[5:10, 5 : 9 + number] = 20 + number
        tifffile.imwrite(tmp_path / f"{well}_f00.tif", image)
    return tmp_path


def described(folder, **changed):
    known = {"pixel_size": 0.32, "camera_offset": 0, "treatment": {"?01": "control", "?02": "drug"}}
    return describe_plate(folder, **{**known, "rejected": ["A10_f00.tif"], **changed})


def test_ones_own_experiment_gets_its_own_numbers(mine):
    plate = described(mine)
    tables = []
    for path in sorted(mine.glob("*.tif")):
        image = tifffile.imread(path)
        table = measure_cells((image > 0).astype(int), image, plate.pixel_size)
        tables.append(table.assign(image=path.name))
    cells = pd.concat(tables, ignore_index=True)
    assert cells["intensity_mean"].tolist() == [20, 21, 22, 23, 24]
    assert cells["area_um2"].tolist() == pytest.approx([5 * n * 0.32**2 for n in (4, 5, 6, 7, 8)])
    kept = cells[~cells["image"].isin(plate.rejected)]
    wells = kept["image"].map(plate.well_of)
    assert wells.tolist() == ["A01", "A02", "B01", "B02"]
    assert wells.map(plate.treatment_of).tolist() == ["control", "drug", "control", "drug"]


def test_without_treatments_all_wells_are_alike(mine):
    plate = described(mine, treatment={}, rejected=[])
    assert {plate.treatment_of(plate.well_of(path.name)) for path in mine.glob("*.tif")} == {"mine"}


def test_pictures_in_a_dataset_folder_are_found(mine):
    (mine / "images").mkdir()
    for path in mine.glob("*.tif"):
        path.rename(mine / "images" / path.name)
    assert described(mine).folder == mine / "images"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pixel_size": None}, r"PIXEL_SIZE is None: for an experiment of yours expected micrometres"),
        ({"pixel_size": 0}, r"PIXEL_SIZE is 0: .* above 0"),
        ({"pixel_size": "0.32"}, r"PIXEL_SIZE is '0.32'"),
        ({"camera_offset": None}, r"CAMERA_OFFSET is None: .* 0 if they have been taken off"),
        ({"camera_offset": -3}, r"CAMERA_OFFSET is -3"),
        ({"rejected": ["A10_f00.png"]}, r"REJECTED has 'A10_f00.png'.* such as 'A10_f00.tif'"),
        (
            {"well": r"_([A-Z]\d+)_"},
            r"finds no well in the name 'A01_f00.tif': expected a regular expression",
        ),
        ({"well": "("}, r"WELL is '\(', which is no regular expression"),
        ({"rejected": []}, r"says nothing of well 'A10': .*'A10' fits this well, 'A\*' all"),
        ({"treatment": {"?0*": "control", "B*": "drug"}}, r"says control and drug of well 'B01'"),
        ({"treatment": {"*": "control", "D*": "drug"}}, r"TREATMENT has 'D\*', which fits none of the wells"),
    ],
)
def test_what_does_not_fit_the_pictures_is_refused(mine, changed, said):
    with pytest.raises(ValueError, match=said):
        described(mine, **changed)


@pytest.mark.parametrize(("reading", "value"), [({"channel": 2}, 9), ({"plane": 2}, 9), ({"plane": 1}, 4)])
def test_pictures_are_read_as_the_plate_says(tmp_path, reading, value):
    axes = "CYX" if "channel" in reading else "ZYX"
    pixels = np.stack([np.full((8, 9), 4, np.uint8), np.full((8, 9), 9, np.uint8)])
    tifffile.imwrite(tmp_path / "B1.tif", pixels, imagej=True, metadata={"axes": axes})
    chosen = {"channel": None, "plane": None} | reading
    plate = describe_plate(tmp_path, pixel_size=0.3, camera_offset=0, reading=chosen)
    image = read_image(tmp_path / "B1.tif", **plate.reading)
    np.testing.assert_array_equal(image, np.full((8, 9), value))


@pytest.mark.parametrize(
    ("axes", "reading", "said"),
    [
        ("CYX", {"channel": None, "plane": None}, r"B1.tif: CHANNEL is None: which of 2 has the cells"),
        ("CYX", {"channel": 3}, r"B1.tif: there is no channel '3'"),
        ("ZYX", {"channel": None, "plane": None}, r"B1.tif: the file holds 2 planes .*plane=1"),
        ("ZYX", {"plane": 3}, r"B1.tif: .* there is no plane 3"),
    ],
)
def test_channel_or_plane_that_is_wrong_or_missing_is_refused(tmp_path, axes, reading, said):
    pixels = np.arange(144, dtype=np.uint8).reshape(2, 8, 9)
    tifffile.imwrite(tmp_path / "B1.tif", pixels, imagej=True, metadata={"axes": axes})
    with pytest.raises(ValueError, match=said):
        describe_plate(tmp_path, pixel_size=0.3, camera_offset=0, reading=reading)


def test_notebook_reads_the_experiment_as_the_plate_says():
    source = find_sources(Path(__file__).parents[3] / "notebooks")[8]
    code = "\n".join(cell.source for cell in load(source).cells if cell.cell_type == "code")
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    read = re.compile(r"(?:ml\.)?(?:read_image|segment_files|correct)\(.*(?:\bexperiment\b|plate\.folder)")
    of_experiment = [call for call in calls if read.match(call)]
    assert len(of_experiment) == 5
    assert [text for text in of_experiment if "**plate.reading" not in text] == []


def test_colours_of_a_picture_need_no_choice(tmp_path):
    tifffile.imwrite(tmp_path / "B1.tif", np.zeros((8, 9, 3), np.uint8), photometric="rgb")
    assert describe_plate(tmp_path, pixel_size=0.3, camera_offset=0).reading == {}


def test_nothing_but_rejected_pictures_is_refused(mine):
    with pytest.raises(ValueError, match="REJECTED has all 5 pictures"):
        described(mine, rejected=[path.name for path in mine.glob("*.tif")])


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        described(tmp_path / "nowhere")
