"""Tables of scores, the classical baseline, and which cells went wrong."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from maunet_lite.data import load_dataset, write_image, write_labels
from maunet_lite.data.checks import ImageError, LabelError
from maunet_lite.evaluation.baseline import otsu_watershed
from maunet_lite.evaluation.errors import errors
from maunet_lite.evaluation.evaluate import baseline, evaluate, evaluate_folder, tolerance_seconds
from maunet_lite.evaluation.matching import Match
from maunet_lite.evaluation.metrics import Rules, match_cells
from maunet_lite.evaluation.scoreboard import format_summary, summary
from maunet_lite.inference import Size, Sized
from maunet_lite.network import save_model
from maunet_lite.network.maunet import build_model
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.preprocessing.targets import make_targets

MODULE = importlib.import_module("maunet_lite.evaluation.evaluate")  # its name in the room is the function

COLUMNS = {
    *("image", "modality", "source", "tp", "fp", "fn", "f1", "f1_plain", "dice", "class_dice", "precision"),
    *("recall", "pq", "cells", "cells_predicted", "height", "width", "seconds", "tolerance_s"),
    *("within_tolerance", "diameter", "scale", "error"),
}


def perfect_maps(labels: np.ndarray) -> Maps:
    """What an ideal network says, with the proxy that takes part in nothing."""
    classes, distance = make_targets(labels)
    return Maps(np.stack([classes == k for k in range(4)]).astype(np.float32), distance)


@pytest.fixture
def dataset(tmp_path):
    """Four images of two modalities, one unlabelled; the images show their label maps."""
    folder = tmp_path / "data"
    truth = np.zeros((60, 80), dtype=np.int32)
    truth[10:25, 10:30], truth[30:50, 40:60] = 1, 2
    many = truth.copy()
    many[30:50, 10:30], many[5:25, 40:70] = 7, 70_000
    maps = {"a.png": truth, "b.png": many, "c.png": truth.T, "d.png": None}
    for name, labels in maps.items():
        labels = truth if labels is None else labels
        write_image(folder / "images" / name, np.unique(labels, return_inverse=True)[1].astype(np.uint8))
        if name != "d.png":
            write_labels(folder / "labels" / name.replace(".png", "_label.tiff"), labels)
    table = {"image": list(maps), "modality": ["dic", "fluorescence", "dic", "dic"], "split": "val"}
    pd.DataFrame(table).to_csv(folder / "metadata.csv", index=False)
    return folder


NETWORK = SimpleNamespace(settings={})  # in place of one that is asked for nothing else


def sized(predict):
    """Return, in place of `predict_sized`, what sees every image as it is."""
    return lambda models, image, scales, **options: Sized(
        predict(models, image, scales=scales, **options), Size()
    )


@pytest.fixture
def ideal_network(monkeypatch):
    """Replace the network by one that sees the labels in the image, and count its calls."""
    calls = []

    def predict(models, image, **options):
        calls.append(options)
        return perfect_maps(image.astype(np.int32))

    monkeypatch.setattr(MODULE, "predict_sized", sized(predict))
    return calls


# --- evaluate ----------------------------------------


def test_a_perfect_model_scores_one_everywhere(dataset, ideal_network):
    table = evaluate([NETWORK], dataset, progress=False, scales=(1.0, 1.5), window=256)
    assert set(table) == COLUMNS
    assert table["image"].tolist() == [
        "a.png",
        "b.png",
        "c.png",
    ]  # in order; what has no labels is not scored
    assert table["modality"].tolist() == ["dic", "fluorescence", "dic"]
    for column in ("f1", "f1_plain", "dice", "class_dice", "precision", "recall", "pq"):
        np.testing.assert_allclose(table[column], 1, atol=0.02, err_msg=column)
    assert table["tp"].tolist() == table["cells"].tolist() == table["cells_predicted"].tolist() == [2, 4, 2]
    assert table[["height", "width"]].to_numpy().tolist() == [[60, 80], [60, 80], [80, 60]]
    assert table["tolerance_s"].tolist() == [10.0] * 3
    assert table["within_tolerance"].all()
    assert (table["error"] == "").all()
    assert ideal_network[0]["scales"] == (1.0, 1.5)
    assert ideal_network[0]["window"] == 256


def test_a_lone_cell_in_pieces_is_scored_as_the_kit_reads_it(dataset, ideal_network, tmp_path):
    pieces = np.zeros((60, 80), dtype=np.int32)
    pieces[10:25, 10:30] = pieces[10:25, 50:70] = 1
    write_labels(dataset / "labels" / "a_label.tiff", pieces)
    write_labels(tmp_path / "found" / "a_label.tiff", pieces)
    data = load_dataset(dataset).labelled().select([0])
    folder = evaluate_folder(tmp_path / "found", data, "all", progress=False)
    assert folder[["f1", "class_dice", "error"]].to_numpy().tolist() == [[1, 1, ""]]
    network = evaluate([NETWORK], data, "all", progress=False)  # sees two cells
    assert network[["tp", "fp", "fn", "error"]].to_numpy().tolist() == [[1, 1, 0, ""]]
    with pytest.raises(LabelError, match="holds no id but 1, in 2 pieces"):
        match_cells(pieces, pieces)


def test_a_failing_image_counts_as_missed_and_says_why(dataset, monkeypatch):
    def predict(models, image, **options):
        if len(np.unique(image)) == 5:
            raise MemoryError("out of memory")
        return perfect_maps(image.astype(np.int32))

    monkeypatch.setattr(MODULE, "predict_sized", sized(predict))
    with pytest.warns(RuntimeWarning, match=r"1 of 3 images failed .* b.png: MemoryError: out of memory"):
        table = evaluate([NETWORK], dataset, progress=False)
    row = table.iloc[1]
    assert (row["tp"], row["fp"], row["fn"], row["f1"], row["dice"], row["f1_plain"]) == (0, 0, 4, 0, 0, 0)
    assert row["error"] == "MemoryError: out of memory"
    assert not row["within_tolerance"]
    sums = summary(table)
    assert sums.loc["all", "failed"] == sums.loc["all", "late"] == 1
    assert sums.loc["all", "mean_f1"] == pytest.approx(2 / 3)
    assert "1 of 3 images failed and count as missed" in format_summary({"model": table})


def test_a_failing_image_without_cells_is_no_success(dataset, ideal_network):
    write_labels(dataset / "labels" / "a_label.tiff", np.zeros((60, 80), dtype=np.int32))
    (dataset / "images" / "a.png").write_bytes(b"no picture")
    with pytest.warns(RuntimeWarning, match="ImageError"):
        table = evaluate([NETWORK], dataset, progress=False)
    assert (table["f1"][0], table["dice"][0]) == (0, 0)
    assert ImageError.__name__ in table["error"][0]


def test_a_damaged_label_map_is_no_failure_of_the_model(dataset, ideal_network):
    write_image(dataset / "labels" / "a_label.tiff", np.eye(60, 80, dtype=np.uint8) * 255)
    with pytest.raises(LabelError, match="mask"):
        evaluate([NETWORK], dataset, progress=False)


def test_without_labels_there_is_nothing_to_score(dataset):
    for path in (dataset / "labels").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="no image of split 'val' .* has a label map"):
        baseline(dataset, progress=False)


def test_impossible_scales_are_refused_at_once(dataset):
    with pytest.raises(ValueError, match="scales must be"):
        evaluate("lite", dataset, progress=False, scales=(0,))


def test_unknown_options_are_refused_at_once(dataset):
    with pytest.raises(TypeError, match="'windoww'"):
        evaluate("lite", dataset, progress=False, windoww=256)


@pytest.mark.parametrize("failing", [True, False])
def test_the_command_fails_if_an_image_does(failing, dataset, monkeypatch):
    from typer.testing import CliRunner

    from maunet_lite.cli.main import app

    def predict(models, image, **options):
        if failing and image.shape == (80, 60):
            raise RuntimeError("the network is on fire")
        return perfect_maps(image.astype(np.int32))

    monkeypatch.setattr(MODULE, "predict_sized", sized(predict))
    command = ["evaluate", "--data", str(dataset), "--no-baseline", "--device", "cpu"]
    if failing:
        with pytest.warns(RuntimeWarning, match="1 of 3 images failed"):
            result = CliRunner().invoke(app, command)
    else:
        result = CliRunner().invoke(app, command)
    assert result.exit_code == int(failing), result.output
    assert "lite" in result.stdout, "the table is printed all the same"


def test_rules_reach_the_matching(dataset, monkeypatch):
    def predict(models, image, **options):
        labels = image.astype(np.int32)
        labels[:, ::2] = 0  # half of each cell's pixels
        return Maps(np.stack([labels == 0, labels > 0]).astype(np.float32), None)

    monkeypatch.setattr(MODULE, "predict_sized", sized(predict))
    monkeypatch.setattr(MODULE, "connected_interiors", lambda maps: maps.probabilities[1].astype(int) * 3)
    strict = evaluate([NETWORK], dataset, progress=False, postprocess="none", rules=Rules(iou=0.9))
    assert (strict["f1_plain"] == 0).all()
    forgiving = evaluate([NETWORK], dataset, progress=False, postprocess="none", rules=Rules(iou=0.1))
    assert (forgiving["f1_plain"] > 0).all()


def test_a_network_without_boundary_is_scored_on_two_classes(dataset, monkeypatch):
    def predict(models, image, **options):
        return Maps(np.stack([image == 0, image > 0]).astype(np.float32), None)

    monkeypatch.setattr(MODULE, "predict_sized", sized(predict))
    np.testing.assert_array_equal(evaluate([NETWORK], dataset, progress=False)["class_dice"], 1)


def test_models_by_path_and_ensembles_run(dataset, tmp_path):
    model = build_model("lite").eval()
    path = save_model(model, tmp_path / "run" / "best.safetensors")
    one = load_dataset(dataset).select([0])
    by_path = evaluate(path, one, progress=False, device="cpu")
    twice = evaluate([model, path], one, progress=False, device="cpu")
    for table in (by_path, twice):
        assert table["error"].tolist() == [""]
        assert table["tp"][0] + table["fn"][0] == 2
        assert table["seconds"][0] > 0
    with pytest.raises(FileNotFoundError, match="no model 'nonsense'"):
        evaluate("nonsense", one, progress=False)


def test_tolerance_is_ten_seconds_or_ten_per_megapixel():
    assert tolerance_seconds(1, 1) == tolerance_seconds(1000, 1000) == 10
    assert tolerance_seconds(1000, 1500) == 15
    assert tolerance_seconds(8415, 10496) == pytest.approx(883.2, abs=0.1)


# --- folders and the baseline ----------------------------------------


def test_a_folder_of_predictions(dataset, tmp_path):
    data = load_dataset(dataset).labelled()
    folder = tmp_path / "out"
    write_labels(folder / "a_label.tiff", data.labels(0) * 3)
    write_labels(folder / "b.tif", np.zeros((60, 81), dtype=np.int32))  # wrong size; c is missing
    with pytest.warns(RuntimeWarning, match="2 of 3 images failed"):
        table = evaluate_folder(folder, dataset, progress=False)
    assert set(table) == COLUMNS
    assert table["f1"].tolist() == [1, 0, 0]
    assert table["class_dice"][0] == 1
    assert table["fn"].tolist() == [0, 4, 2]
    assert "(60, 81)" in table["error"][1]
    assert "no prediction c_label.tiff" in table["error"][2]
    assert np.isnan(table["seconds"][0])
    assert table["within_tolerance"].isna().tolist() == [True, False, False]
    with pytest.raises(FileNotFoundError, match="is no folder"):
        evaluate_folder(tmp_path / "nowhere", dataset)


def test_baseline_finds_bright_and_dark_disks(disks):
    table = baseline(disks, progress=False)
    assert set(table) == COLUMNS
    assert (table["f1"] == 1).all()
    assert (table["dice"] > 0.95).all()
    image = load_dataset(disks).image(0)
    differs = (otsu_watershed(255 - image).labels > 0) != (otsu_watershed(image).labels > 0)
    assert differs.mean() < 0.001  # a pixel may lie on the threshold itself


def test_baseline_parts_touching_disks_and_fills_holes():
    rows, columns = np.mgrid[:60, :90]
    image = np.zeros((60, 90), dtype=np.uint8)
    image[(rows - 30) ** 2 + (columns - 30) ** 2 < 15**2] = 200
    image[(rows - 30) ** 2 + (columns - 55) ** 2 < 15**2] = 200
    image[30, 30] = 0  # a dark pixel in the middle of a cell
    cells = otsu_watershed(image, blur=0.5)
    assert int(cells.pieces.max()) == 1
    assert int(cells.labels.max()) == 2
    assert cells.labels[30, 30] > 0
    assert cells.labels[30, 25] != cells.labels[30, 60]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (7, 5, 3)])
def test_baseline_of_constant_images_is_empty(shape):
    assert not otsu_watershed(np.full(shape, 9, dtype=np.uint8)).labels.any()


def test_baseline_on_real_images(cells_folder):
    data = load_dataset(cells_folder).split("train")
    chosen = data.select(np.flatnonzero(data.table["source"] == "dsb2018-fluorescence")[:8])
    assert baseline(chosen, "all", progress=False)["f1"].mean() > 0.75


# --- summaries ----------------------------------------


@pytest.fixture
def scores():
    counts = {"tp": [1, 80, 0, 5], "fp": [0, 10, 0, 5], "fn": [0, 30, 9, 5]}
    f1 = [Match(*c).f1 for c in zip(*counts.values(), strict=True)]
    return pd.DataFrame({"modality": ["dic", "dic", "dic", "brightfield"], **counts, "f1": f1, "dice": 0.9})


def test_summary_keeps_mean_median_and_pooled_apart(scores):
    sums = summary(scores)
    assert sums.index.tolist() == ["brightfield", "dic", "all"]
    assert sums["images"].tolist() == [1, 3, 4]
    dic = sums.loc["dic"]
    assert dic["mean_f1"] == pytest.approx((1 + 0.8 + 0) / 3)
    assert dic["median_f1"] == pytest.approx(0.8)
    assert dic["pooled_f1"] == pytest.approx(162 / (162 + 10 + 39))
    assert sums.loc["all", "mean_f1"] == pytest.approx(
        (1 + 0.8 + 0 + 0.5) / 4
    )  # of images, not of modalities
    with pytest.raises(ValueError, match="no rows"):
        summary(scores.iloc[:0])


def test_summaries_are_written_side_by_side(scores):
    lines = format_summary({"model": scores, "otsu + watershed": scores.iloc[:3]}).splitlines()
    assert len({len(line) for line in lines}) == 1  # columns are aligned
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:6] == ["modality", "images", "method", "F1 mean", "median", "pooled"]
    assert [row[:4] for row in cells[2:]] == [
        ["brightfield", "1", "model", "0.500"],  # the baseline has no such image
        ["dic", "3", "model", "0.600"],
        ["", "", "otsu + watershed", "0.600"],
        ["all", "4", "model", "0.575"],
        ["", "", "otsu + watershed", "0.600"],
    ]
    assert cells[2][6] == "–"  # no column f1_plain
    assert format_summary(scores).splitlines()[2].split("|")[3].strip() == "model"


# --- errors ----------------------------------------


def counts(truth, prediction, **options):
    return errors(np.atleast_2d(truth), np.atleast_2d(prediction), **options).counts()


def test_kinds_of_errors_by_hand():
    nothing = {"found": 0, "split": 0, "merged": 0, "missed": 0, "invented": 0}
    cell = [0, 3, 3, 3, 3, 3, 3, 0]
    assert counts(cell, cell) == nothing | {"found": 1}
    assert counts(cell, [0] * 8) == nothing | {"missed": 1}
    assert counts([0] * 8, cell) == nothing | {"invented": 1}
    assert counts([0] * 8, [0] * 8) == nothing
    assert counts(cell, [0, 1, 1, 2, 2, 4, 4, 0]) == nothing | {
        "split": 1
    }  # three parts, none of them a match
    assert counts(cell, [0, 1, 1, 1, 2, 2, 2, 0]) == nothing | {
        "split": 1
    }  # exact halves, one of them matches
    assert counts(cell, [0, 1, 1, 1, 1, 2, 2, 0]) == nothing | {"split": 1}
    assert counts([0, 1, 1, 1, 2, 2, 2, 0], cell) == nothing | {"merged": 2}
    assert counts([0, 1, 1, 1, 1, 2, 2, 0], cell) == nothing | {"merged": 2}
    assert counts(cell, [5, 5, 5, 0, 0, 0, 0, 0]) == nothing | {"missed": 1, "invented": 1}  # too far off
    assert counts(cell, [0, 1, 0, 0, 0, 0, 2, 0]) == nothing | {
        "missed": 1,
        "invented": 2,
    }  # two specks: no split


def test_split_and_merged_cells_may_count_as_matches():
    report = errors(np.array([[1, 1, 1, 1, 0, 2, 2, 2, 3, 0]]), np.array([[8, 8, 8, 9, 0, 5, 5, 5, 5, 0]]))
    assert report.matched.tolist() == [[1, 8], [2, 5]]
    assert report.split.tolist() == [1]
    assert report.pieces.tolist() == [8, 9]
    assert report.merged.tolist() == [2, 3]
    assert report.mergers.tolist() == [5]
    assert str(report) == "0 found, 1 split, 2 merged, 0 missed, 0 invented"


def test_border_cells_can_be_left_out_as_the_score_does():
    truth = np.zeros((12, 12), dtype=int)
    truth[1:6, 3:8] = 1
    prediction = truth.copy()
    prediction[1] = 0  # keeps clear of the border, so the score calls it a false positive
    assert errors(truth, prediction).counts()["found"] == 1
    assert errors(truth, prediction, border=2).counts()["invented"] == 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected the same"):
        errors(np.zeros((3, 4), dtype=int), np.zeros((4, 3), dtype=int))


def is_no_mask(labels):
    """Tell a label map from a mask: one id in several pieces, which is refused."""
    return len(set(labels[labels > 0])) != 1 or label(labels > 0, connectivity=2).max() == 1


ids = st.sampled_from([0, 0, 2, 3, 4, 5, 70_000])
label_maps = arrays(np.int32, (6, 10), elements=ids).filter(is_no_mask)


@settings(max_examples=150, deadline=None)
@given(label_maps, label_maps, st.booleans())
def test_every_cell_has_one_fate_and_the_score_follows(truth, prediction, alike):
    if alike:
        prediction = np.where(prediction > 3, truth, prediction)
    assume(is_no_mask(prediction))
    report = errors(truth, prediction)
    of_truth = [report.found, report.split, report.merged, report.missed]
    of_prediction = [report.right, report.pieces, report.mergers, report.invented]
    for labels, fates in ((truth, of_truth), (prediction, of_prediction)):
        assert sorted(np.concatenate(fates).tolist()) == sorted(set(labels[labels > 0].tolist()))
    match = match_cells(truth, prediction, border=0)
    unmatched = set(np.concatenate([report.split, report.merged])) - set(report.matched[:, 0])
    assert len(report.matched) == match.tp
    assert match.fn == len(report.missed) + len(unmatched)
    assert set(report.found) <= set(report.matched[:, 0])
    assert not set(report.invented) & set(report.matched[:, 1])


@settings(max_examples=60, deadline=None)
@given(label_maps, label_maps)
def test_fates_do_not_depend_on_orientation_or_numbers(truth, prediction):
    expected = errors(truth, prediction).counts()
    assert errors(truth.T, prediction.T).counts() == expected
    assert errors(truth[::-1], prediction[::-1]).counts() == expected
