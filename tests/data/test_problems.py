"""`data check` lists all that is wrong with a folder at once, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maunet_lite.data import simulate_dataset, write_image, write_labels
from maunet_lite.data.dataset.problems import Problem, advise, check_folder

IMAGE = np.arange(12, dtype=np.uint8).reshape(3, 4)
CELLS = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 5, 5]], dtype=np.int32)


def add(folder: Path, name: str, image: np.ndarray = IMAGE, labels: np.ndarray | None = CELLS) -> Path:
    write_image(folder / "images" / f"{name}.png", image)
    if labels is not None:
        write_labels(folder / "labels" / f"{name}_label.tiff", labels)
    return folder


def found(folder: Path) -> dict[str, str]:
    """Problems by file; every file of these tests has one problem at most."""
    problems = check_folder(folder)
    assert len({problem.file for problem in problems}) == len(problems), problems
    return dict(problems)


def test_a_folder_in_order_has_no_problems(tmp_path: Path) -> None:
    assert check_folder(add(add(tmp_path, "a"), "b")) == []
    (tmp_path / "images" / ".DS_Store").write_bytes(b"")
    (tmp_path / "labels" / "Thumbs.db").write_bytes(b"")
    assert check_folder(tmp_path) == [], "what file managers leave behind is no problem"


def test_simulated_data_are_in_order(tmp_path: Path) -> None:
    folder = simulate_dataset(tmp_path / "tiny", n_per_modality=2, shape=(32, 40), progress=False)
    assert check_folder(folder) == []


def test_a_messy_folder_is_listed_at_once(tmp_path: Path) -> None:
    add(tmp_path, "good")
    add(tmp_path, "unlabelled", labels=None)
    add(tmp_path, "small", labels=CELLS[:2])
    add(tmp_path, "turned", labels=CELLS.T)
    for name, mask in (("white", 255 * (CELLS > 0)), ("ones", CELLS > 0), ("fractions", CELLS / 2)):
        add(tmp_path, name, labels=None)
        kind = np.float32 if name == "fractions" else np.uint8
        tifffile.imwrite(tmp_path / "labels" / f"{name}_label.tiff", mask.astype(kind))
    add(tmp_path, "colours", labels=None)
    write_image(tmp_path / "labels" / "colours_label.png", np.zeros((3, 4, 3), dtype=np.uint8))
    add(tmp_path, "blurred", labels=None)
    (tmp_path / "labels" / "blurred_label.jpg").write_bytes(b"\xff\xd8\xff")
    add(tmp_path, "text")
    (tmp_path / "images" / "text.png").write_text("no image")
    add(tmp_path, "cut")
    whole = (tmp_path / "images" / "cut.png").read_bytes()
    (tmp_path / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    add(tmp_path, "broken")
    (tmp_path / "labels" / "broken_label.tiff").write_bytes(b"II*\0")
    (tmp_path / "images" / "stack.czi").write_bytes(b"ZISRAWFILE")
    (tmp_path / "images" / "more").mkdir()
    write_labels(tmp_path / "labels" / "orphan_label.tiff", CELLS)
    write_labels(tmp_path / "labels" / "good_mask.tiff", CELLS)

    problems = found(tmp_path)
    expected = {
        "images/unlabelled.png": "unlabelled: there is no labels/unlabelled_label.tiff",
        "labels/small_label.tiff": "2 × 4 pixels, but images/small.png is 3 × 4",
        "labels/turned_label.tiff": "4 × 3 pixels, but images/turned.png is 3 × 4: its axes are swapped",
        "labels/white_label.tiff": "no id but 255",
        "labels/ones_label.tiff": "no id but 1, in 2 pieces",
        "labels/fractions_label.tiff": "fractions",
        "labels/colours_label.png": "a colour picture",
        "images/blurred.png": "unlabelled",
        "labels/blurred_label.jpg": "only .tiff, .tif, .png, .bmp are",
        "images/text.png": "no PNG, JPEG, BMP or TIFF file",
        "images/cut.png": "truncated",
        "labels/broken_label.tiff": "damaged",
        "images/stack.czi": "export it as TIFF",
        "images/more": "a folder",
        "labels/orphan_label.tiff": "no image in the folder 'images' belongs to it",
        "labels/good_mask.tiff": "not used: labels/good_label.tiff is taken",
    }
    assert set(problems) == set(expected)
    for file, part in expected.items():
        assert part in problems[file], file
        assert str(tmp_path) not in problems[file], "the file is named once"


def test_an_unreadable_image_and_its_label_map_are_both_reported(tmp_path: Path) -> None:
    add(tmp_path, "a", labels=CELLS)
    (tmp_path / "images" / "a.png").write_bytes(b"")
    tifffile.imwrite(tmp_path / "labels" / "a_label.tiff", 255 * (CELLS > 0).astype(np.uint8))
    assert set(found(tmp_path)) == {"images/a.png", "labels/a_label.tiff"}


def test_the_table_is_compared_with_the_folder(tmp_path: Path) -> None:
    for name in "abcde":
        add(tmp_path, name)
    rows = "a.png,train\nb.png,validate\nc.png,\ngone.png,val\na.png,val\nd.png,test\n"
    (tmp_path / "metadata.csv").write_text("image,split\n" + rows)
    assert check_folder(tmp_path) == [
        Problem("images/e.png", "not in metadata.csv and so ignored; add a row for it"),
        Problem("metadata.csv", "names a.png 2 times; the first row counts"),
        Problem("metadata.csv", "names gone.png, which is not in the folder 'images'"),
        Problem("metadata.csv", "no split for 1 images (c.png …): they are not used"),
        Problem("metadata.csv", "unknown split 'validate'; use one of train, val, test, unlabelled"),
    ]


def test_shared_names_and_label_maps_among_images(tmp_path: Path) -> None:
    add(tmp_path, "a")
    write_image(tmp_path / "images" / "a.tif", IMAGE)
    add(tmp_path, "b")
    write_image(tmp_path / "images" / "b_masks.png", IMAGE)
    problems = check_folder(tmp_path)
    assert Problem("images/a.*", "2 images share this name and a label map; rename all but one") in problems
    assert (
        Problem("images/b_masks.png", "seems to be a label map: move it into the folder 'labels'") in problems
    )


def test_no_labels_at_all_is_one_problem(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels=None), "b", labels=None)
    assert list(found(tmp_path)) == ["labels"]
    (tmp_path / "Masks").mkdir()
    assert found(tmp_path)["Masks"] == "not read: rename this folder to 'labels'"
    (tmp_path / "Masks").rmdir()
    (tmp_path / "metadata.csv").write_text("image,split\na.png,unlabelled\nb.png,unlabelled\n")
    assert check_folder(tmp_path) == [], "said to be unlabelled: nothing is missing"


def test_a_stack_is_chosen_from_by_the_table(tmp_path: Path) -> None:
    add(tmp_path, "a")
    tifffile.imwrite(tmp_path / "images" / "b.tif", np.stack([IMAGE] * 3), metadata={"axes": "ZYX"})
    write_labels(tmp_path / "labels" / "b_label.tiff", CELLS)
    assert "by columns of metadata.csv" in found(tmp_path)["images/b.tif"]
    (tmp_path / "metadata.csv").write_text("image,plane,split\na.png,,train\nb.tif,2,val\n")
    assert check_folder(tmp_path) == []


def test_images_said_to_be_unlabelled_lack_nothing(tmp_path: Path) -> None:
    add(add(tmp_path, "a"), "b", labels=None)
    (tmp_path / "metadata.csv").write_text("image,split\na.png,train\nb.png,unlabelled\n")
    assert check_folder(tmp_path) == []


@pytest.mark.parametrize("where", ["gone", "."])
def test_what_is_no_dataset_is_one_problem_with_advice(tmp_path: Path, where: str) -> None:
    folder = tmp_path / where
    assert check_folder(folder) == [Problem(str(folder), advise(folder))]


def test_foreign_files_alone_are_listed_too(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.lif").write_bytes(b"")
    assert [problem.file for problem in check_folder(tmp_path)] == [str(tmp_path), "images/a.lif"]


def test_real_cells_are_in_order(cells_folder: Path, tmp_path: Path) -> None:
    # A tenth of them: all take as long as reading all.
    import pandas as pd

    table = pd.read_csv(cells_folder / "metadata.csv")[::40]
    for name in table["image"]:
        for part in (f"images/{name}", f"labels/{Path(name).stem}_label.tiff"):
            (tmp_path / part).parent.mkdir(exist_ok=True)
            (tmp_path / part).symlink_to(cells_folder / part)
    table.to_csv(tmp_path / "metadata.csv", index=False)
    assert check_folder(tmp_path) == []
