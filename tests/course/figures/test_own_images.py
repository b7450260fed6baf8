"""The folder that notebook 08 mends: all that is wrong with it is found, and mended as the notebook says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.measure import label
from skimage.segmentation import expand_labels

from maunet_lite.course.figures.own_images import WELLS, leave_folder, photograph, photograph_experiment
from maunet_lite.data import check_folder, read_labels
from maunet_lite.data.simulation.layout.scene import distance_to_outline


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    return leave_folder(tmp_path_factory.mktemp("microscope"), wells=3)


def test_pictures_are_16_bit_and_repeatable():
    one, other = (photograph(np.random.default_rng(3), (96, 128)) for _ in range(2))
    assert one.image.dtype == np.uint16
    assert one.image.min() >= 100, "the camera's offset"
    np.testing.assert_array_equal(one.image, other.image)
    assert one.labels.max() > 2


def test_rims_are_brighter_than_insides():
    image, labels = photograph(np.random.default_rng(0), (128, 128), density=0.3)
    depth = distance_to_outline(labels)
    assert image[(depth > 0) & (depth < 4)].mean() > 1.5 * image[depth > 7].mean()


def test_loose_images_are_the_first_problem(messy):
    (problem,) = check_folder(messy)
    assert "has no folder 'images'" in problem.problem


def test_all_other_problems_are_found_once_the_layout_is_right(messy, tmp_path):
    for part, pattern in (("images", "*.TIF"), ("labels", "masks/*")):
        (tmp_path / part).mkdir()
        for path in messy.glob(pattern):
            (tmp_path / part / path.name).write_bytes(path.read_bytes())
    table = pd.read_csv(messy / "metadata.csv", sep=";", encoding="utf-8-sig")
    table.to_csv(tmp_path / "metadata.csv", index=False)
    problems = {problem.file: problem.problem for problem in check_folder(tmp_path)}
    assert "not in metadata.csv" in problems["images/plate 7_A3_s2.TIF"]
    assert "mask of foreground" in problems["labels/plate 7_A1_s2_mask.tif"]
    assert "axes are swapped" in problems["labels/plate 7_A2_s1_mask.tif"]
    assert "the file holds 2 planes" in problems["images/plate 7_A2_s2.TIF"]
    for name in ("plate 7_A3_s2.TIF", "plate 7_A9_s1.TIF"):
        table.loc[len(table)] = [name, "Fluorescence", name[8:10], "20x"]
    table.to_csv(tmp_path / "metadata.csv", index=False)
    hidden = [p.problem for p in check_folder(tmp_path) if p.file == "images/plate 7_A9_s1.TIF"]
    assert "truncated" in hidden[0]


def test_a_mask_with_gaps_becomes_the_label_map_again(messy):
    mask = tifffile.imread(messy / "masks" / "plate 7_A1_s2_mask.tif")
    assert set(np.unique(mask)) == {0, 255}
    mended = expand_labels(label(mask == 255), 1)
    rng = np.random.default_rng([0, 1, 2])
    truth = photograph(rng, density=0.25).labels
    assert len(np.unique(mended)) == len(np.unique(truth))
    assert np.mean((mended > 0) == (truth > 0)) > 0.99


def test_experiment_has_two_treatments_and_two_bad_pictures(tmp_path):
    folder = photograph_experiment(tmp_path, sites=1)
    wells = [well for names in WELLS.values() for well in names]
    assert sorted(path.name for path in folder.glob("*.tif")) == sorted(f"{well}_s1.tif" for well in wells)
    cells = {well: read_labels(folder / "truth" / f"{well}_s1_label.tif").max() for well in wells}
    assert min(cells, key=cells.get) == "C1", "nearly empty"
    sharpness = {
        well: np.abs(np.diff(tifffile.imread(folder / f"{well}_s1.tif").astype(float))).mean()
        for well in wells
    }
    assert sharpness["B2"] < min(sharpness[well] for well in ("B1", "B3", "C2", "C3"))
