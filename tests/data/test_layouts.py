"""Datasets of other programs, laid out here by hand, and the same written and read again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.data import (
    DatasetError,
    LabelError,
    check_folder,
    export_folder,
    import_folder,
    load_dataset,
    read_labels,
    write_image,
    write_labels,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
LABELS = np.zeros((30, 40), np.int32)
LABELS[2:9, 3:12], LABELS[2:9, 12:20], LABELS[20:30, 30:40] = 1, 2, 7


def cellpose(folder: Path, ending: str = "_masks.png") -> None:
    for split, name in (("train", "a"), ("train", "b"), ("test", "a")):
        (folder / split).mkdir(parents=True, exist_ok=True)
        iio.imwrite(folder / split / f"{name}.png", IMAGE)
        iio.imwrite(folder / split / f"{name}{ending}", LABELS.astype(np.uint16))
        tifffile.imwrite(
            folder / split / f"{name}_flows.tif", np.zeros((5, 5, 3), np.float32), photometric="rgb"
        )
    iio.imwrite(folder / "train" / "._a.png", IMAGE)
    shutil.copytree(folder / "test", folder / ".ipynb_checkpoints" / "more")


def stardist(folder: Path) -> None:
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        for part, array in (("images", IMAGE), ("masks", LABELS.astype(np.uint16))):
            (folder / split / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / split / part / f"{name}.tif", array)


def dsb(folder: Path) -> None:
    for name in ("f00d", "beef", "cafe"):
        (folder / name / "masks").mkdir(parents=True)
        (folder / name / "images").mkdir()
        iio.imwrite(folder / name / "images" / f"{name}.png", np.dstack([IMAGE] * 3))
        for cell in (1, 2, 7):
            iio.imwrite(folder / name / "masks" / f"{cell}9d.png", (LABELS == cell) * np.uint8(255))


def coco(folder: Path) -> None:
    """Polygons, run lengths as numbers, and run lengths as the reference implementation packs them."""
    (folder / "pictures").mkdir(parents=True)
    iio.imwrite(folder / "pictures" / "a.png", IMAGE)
    counts = np.diff([0, *np.flatnonzero(np.diff((LABELS == 2).ravel(order="F"))) + 1, LABELS.size]).tolist()
    shapes = [
        [[3, 2, 12, 2, 12, 9, 3, 9]],
        {"size": [30, 40], "counts": counts},
        {"size": [30, 40], "counts": packed([30 * 30 + 20, *[10, 20] * 9, 10])},
    ]
    cells = [{"id": k, "image_id": 5, "category_id": 1, "segmentation": s} for k, s in enumerate(shapes)]
    images = [{"id": 5, "file_name": "../../pictures/a.png", "height": 30, "width": 40}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": cells}))
    (folder / "other.json").write_text("[1, 2]")


def packed(counts: list[int]) -> str:
    """Pack run lengths as COCO's `rleToString` does."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            low, value = value & 31, value >> 5
            more = value != (-1 if low & 16 else 0)
            text += chr(48 + (low | (32 if more else 0)))
    return text


@pytest.mark.parametrize("make", [cellpose, stardist, dsb, coco])
def test_other_layouts_are_brought_into_the_kits(make, tmp_path: Path) -> None:
    make(tmp_path / "theirs")
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(
        app, ["data", "import", str(tmp_path / "theirs"), "--out", str(tmp_path / "ours")]
    )
    assert result.exit_code == 0, result.output
    data = load_dataset(tmp_path / "ours")
    assert check_folder(tmp_path / "ours") == []
    assert len(data) == (1 if make is coco else 3)
    for sample in data:
        np.testing.assert_array_equal(sample.image, np.dstack([IMAGE] * 3) if make is dsb else IMAGE)
        pairs = np.unique(np.stack([LABELS.ravel(), sample.labels.ravel()]), axis=1)
        assert pairs.shape == (2, 4), "the same cells, whatever their ids"
    if make is cellpose:
        assert sorted(data.table["split"]) == ["test", "train", "train"]
    if make is stardist:
        assert dict(zip(data.table["image"], data.table["split"], strict=True)) == {
            "a.tif": "train", "b.tif": "val", "c.tif": "test"
        }  # fmt: skip
    assert [path for path in before if not path.exists()] == []
    with pytest.raises(DatasetError, match="is there already"):
        import_folder(tmp_path / "theirs", tmp_path / "ours")


@pytest.mark.parametrize("ending", ["_cp_masks.png", "_cp_masks.tif", "_masks.tif", "_label.tiff"])
def test_masks_of_cellpose_have_many_names(ending: str, tmp_path: Path) -> None:
    cellpose(tmp_path / "theirs", ending)
    assert load_dataset(import_folder(tmp_path / "theirs", tmp_path / "ours")).table["labelled"].all()


def test_pickles_are_refused_and_masks_beside_them_taken(tmp_path: Path) -> None:
    cellpose(tmp_path / "theirs")
    for path in (tmp_path / "theirs").rglob("*_masks.png"):
        np.save(
            path.with_name(path.name.replace("_masks.png", "_seg.npy")), {"masks": LABELS}, allow_pickle=True
        )
    import_folder(tmp_path / "theirs", tmp_path / "ours")
    for path in (tmp_path / "theirs").rglob("*_masks.png"):
        path.unlink()
    with pytest.raises(LabelError, match=r"a_seg\.npy: a pickle, which can run code.*save masks as"):
        import_folder(tmp_path / "theirs", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    iio.imwrite(tmp_path / "theirs" / "a.png", IMAGE)
    with pytest.raises(DatasetError, match="holds no images with masks as cellpose, stardist, dsb, coco"):
        import_folder(tmp_path / "theirs", tmp_path / "ours")
    about = {"images": [{"id": 1, "file_name": "lost.png", "height": 3, "width": 3}], "annotations": []}
    (tmp_path / "theirs" / "x.json").write_text(json.dumps(about))
    with pytest.raises(DatasetError, match=r"x\.json speaks of lost\.png"):
        import_folder(tmp_path / "theirs", tmp_path / "ours")


def roboflow(folder: Path, **others: str) -> None:
    """Write the same names in each split, beside a JSON of its own that names a cell at another place."""
    for k, split in enumerate(("train", "valid")):
        (folder / split).mkdir(parents=True)
        iio.imwrite(folder / split / "1.png", np.roll(LABELS == 1, 9 * k, axis=1) * np.uint8(200))
        x = 3 + 9 * k
        ring = [[x, 2, x + 9, 2, x + 9, 9, x, 9]]
        about = {"id": 0, "file_name": others.get(split, "1.png"), "height": 30, "width": 40}
        cell = {"id": 0, "image_id": 0, "category_id": 1, "segmentation": ring}
        said = json.dumps({"images": [about], "annotations": [cell]})
        (folder / split / "_annotations.coco.json").write_text(said)


def test_annotations_speak_of_the_image_beside_them(tmp_path: Path) -> None:
    roboflow(tmp_path / "theirs")
    data = load_dataset(import_folder(tmp_path / "theirs", tmp_path / "ours"))
    assert sorted(data.table["split"]) == ["train", "val"]
    for sample in data:
        np.testing.assert_array_equal(sample.labels > 0, sample.image > 0)
    roboflow(tmp_path / "unclear", valid="pictures/1.png")
    with pytest.raises(DatasetError, match=r"speaks of 1\.png: .* has 2 files of this name, none where"):
        import_folder(tmp_path / "unclear", tmp_path / "mine")


@pytest.mark.parametrize("stem", ["i0", "0", "00001"])
@pytest.mark.parametrize("layout", ["cellpose", "stardist", "dsb", "coco"])
def test_images_with_one_cell_or_none_are_written_and_read_again(
    layout: str, stem: str, tmp_path: Path
) -> None:
    split = LABELS * (LABELS == 2)  # one cell, in two pieces
    split[25:28, 2:5] = 2
    maps = {stem: LABELS * (LABELS == 1), "none": 0 * LABELS, "pieces": split, "several": LABELS}
    for name, labels in maps.items():
        write_image(tmp_path / "ours" / "images" / f"{name}.png", IMAGE)
        write_labels(tmp_path / "ours" / "labels" / f"{name}_label.tiff", labels)
    export_folder(tmp_path / "ours", tmp_path / "theirs", layout)
    back = load_dataset(import_folder(tmp_path / "theirs", tmp_path / "back"))
    assert back.table["labelled"].all()
    assert len(back) == len(maps)
    for name, labels in maps.items():
        got = read_labels(tmp_path / "back" / "labels" / f"{name}_label.tiff")
        np.testing.assert_array_equal(got > 0, labels > 0)
        assert len(np.unique(got)) == len(np.unique(labels))


@pytest.mark.parametrize("layout", ["cellpose", "stardist", "dsb", "coco"])
def test_what_is_written_is_read_again(layout: str, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    other = LABELS.T[:, ::-1].copy()  # another shape; a cell in a corner, ids with gaps
    other[0, 0] = 70_000
    for name, image, labels in (("a.png", IMAGE, LABELS), ("b.tif", IMAGE.T, other)):
        write_image(ours / "images" / name, np.ascontiguousarray(image))
        write_labels(ours / "labels" / f"{name[0]}_label.tiff", labels)
    (ours / "metadata.csv").write_text("image,split\na.png,train\nb.tif,val\n")
    arguments = ["data", "export", str(ours), "--layout", layout, "--out", str(tmp_path / "theirs")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    back = load_dataset(import_folder(tmp_path / "theirs", tmp_path / "back"))
    assert {path.name for path in tmp_path.iterdir()} == {"ours", "theirs", "back"}
    for name, labels in (("a", LABELS), ("b", other)):
        got = read_labels(tmp_path / "back" / "labels" / f"{name}_label.tiff")
        cells = len(np.unique(labels))
        assert np.unique(np.stack([labels.ravel(), got.ravel()]), axis=1).shape == (2, cells)
        assert len(np.unique(got)) == cells
    if layout in ("cellpose", "stardist"):
        assert dict(zip(back.table["image"], back.table["split"], strict=True)) == {
            "a.png": "train", "b.tif": "val"
        }  # fmt: skip
    if layout == "coco":
        said = json.loads((tmp_path / "theirs" / "annotations.json").read_text())
        first = next(one for one in said["annotations"] if one["area"] == 63)
        assert first["bbox"] == [3, 2, 9, 7]
        assert len({one["id"] for one in said["annotations"]}) == 7
    with pytest.raises(DatasetError, match="expected one of cellpose, stardist, dsb, coco"):
        export_folder(ours, tmp_path / "no", "yolo")
    shutil.rmtree(tmp_path / "theirs")
