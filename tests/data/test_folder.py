"""Dataset folders: tables as people write them, label maps by whatever name, splits, the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite.data import CellDataset, check_folder, load_dataset, write_image, write_labels
from maunet_lite.data.catalogue.entries import CATALOGUE, CHECKSUMS, data_home, format_catalogue
from maunet_lite.data.checks import DatasetError
from maunet_lite.data.dataset.table import label_files, read_listing, read_table

CELLS = np.array([[1, 1, 0, 0], [0, 0, 5, 5]])


def touch(folder: Path, *names: str) -> Path:
    """Make empty files, for what only looks at names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def dataset(folder: Path, names: str = "a b c", table: str | None = None) -> Path:
    """Make a folder of tiny images, all with label maps; every image has its position as value."""
    for i, name in enumerate(names.split()):
        write_image(folder / "images" / f"{name}.png", np.full((2, 4), i, dtype=np.uint8))
        write_labels(folder / "labels" / f"{name}_label.tiff", CELLS)
    if table is not None:
        (folder / "metadata.csv").write_text(table, encoding="utf-8")
    return folder


# --- the table ----------------------------------------------------------------------------------------


def test_without_a_table_every_fifth_image_in_order_of_name_is_for_validation(tmp_path: Path) -> None:
    dataset(tmp_path, "f b c d e a g h i j k")
    table = read_table(tmp_path)
    assert list(table["image"]) == [f"{name}.png" for name in "abcdefghijk"]
    assert list(table["image"][table["split"] == "val"]) == ["e.png", "j.png"]
    assert set(table["modality"]) == set(table["source"]) == {"unknown"}
    assert table["labelled"].all()


def test_images_without_labels_are_never_for_validation(tmp_path: Path) -> None:
    dataset(tmp_path, "a b c d e f")
    for name in "abcd":
        (tmp_path / "labels" / f"{name}_label.tiff").unlink()
    table = read_table(tmp_path)
    assert set(table["split"]) == {"train"}, "two labelled images are too few to give one away"
    assert list(table["labelled"]) == [False] * 4 + [True] * 2
    assert list(table["label"].isna()) == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    "text",
    [
        "image,modality,split\na.png,dic,val\nb.png,fluorescence,train\n",
        "\ufeffimage,modality,split\r\na.png,dic,val\r\nb.png,fluorescence,train\r\n",
        "Image;Modality;Split\na.png;DIC;Val\nb.png;Fluorescent;Training\n",
        "image\tmodality\tsplit\na.png\tdic\tvalidation\nb.png\tfluorescence\ttrain\n",
        " image , modality , split \n a.png , dic , val \n\n b.png , fluorescence , train \n",
        "image,modality,split,,\na.png,dic,val,,\nb.png,fluorescence,train,,\n,,,,\n",
        ",image,modality,split\n0,a.png,dic,val\n1,b.png,fluorescence,train\n",
        '"image","modality","split"\n"a.png","dic","val"\n"b.png","fluorescence","train"',
        "split,image,modality\nval,images/a.png,dic\ntrain,C:\\pictures\\b.png,fluorescence\n",
        "image,modality,split\na,dic,val\nb.tif,fluorescence,train\n",
    ],
    ids=["plain", "bom-crlf", "semicolons", "tabs", "spaces", "padded", "index", "quoted", "paths", "stems"],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    dataset(tmp_path, "a b")
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    table = read_table(tmp_path)
    assert table[["image", "modality", "split"]].to_numpy().tolist() == [
        ["a.png", "dic", "val"],
        ["b.png", "fluorescence", "train"],
    ]


def test_missing_columns_and_values_are_filled_in(tmp_path: Path) -> None:
    dataset(
        tmp_path,
        "a b c",
        "image,modality,split,source,cells\na.png,,,,\nb.png,Phase_Contrast,val,lab,7\nc.png",
    )
    table = read_table(tmp_path)
    assert list(table["modality"]) == ["unknown", "phase-contrast", "unknown"]
    assert list(table["split"]) == ["unassigned", "val", "unassigned"]
    assert list(table["source"]) == ["unknown", "lab", "unknown"]
    assert table["cells"].tolist()[1] == 7, "numbers are numbers"
    assert pd.isna(table["cells"][0])


def test_a_users_own_modality_keeps_its_name(tmp_path: Path) -> None:
    dataset(tmp_path, "a", "image,modality\na.png,H&E stain\n")
    assert load_dataset(tmp_path).modalities == ["H&E stain"]


def test_a_users_own_split_keeps_its_name(tmp_path: Path) -> None:
    dataset(tmp_path, "a b", "image,split\na.png,Fold1\nb.png,Fold2\n")
    assert [sample.name for sample in load_dataset(tmp_path).split("Fold1")] == ["a.png"]


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    dataset(tmp_path, "001 002", "image,split\n001,val\n002.png,train\n")
    assert list(read_table(tmp_path)["image"]) == ["001.png", "002.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"file,split\na.png,val\n", r"needs one column 'image' .* file, split"),
        (b"", r"is no table \(No columns .*a first line that names the columns"),
        (b"\n\n", r"is no table \(No columns"),
        (b"image,split\nz.png,val\n", r"no image that .* names is in .* a\.png"),
        (b"image,split\na.png,val,extra\n", r"Expected 2 fields in line 2, saw 3\).* quotes around fields"),
        (b"image,modality\na.png,L\xf6ffler\n", r"no table \('utf-8' .*position 22.*CSV UTF-8"),
        (
            b"image,split,Split\na.png,val,val\n",
            r"no two of the same name; .* image, split, split",
        ),
    ],
)
def test_unusable_tables_are_refused_with_the_reason(tmp_path: Path, text: bytes, message: str) -> None:
    dataset(tmp_path, "a")
    (tmp_path / "metadata.csv").write_bytes(text)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)
    assert len(check_folder(tmp_path)) == 1, "the check says it too, instead of failing"


def test_an_image_listed_twice_counts_once(tmp_path: Path) -> None:
    dataset(tmp_path, "a b", "image,split\na.png,val\na.png,train\nb.png,train\n")
    assert read_table(tmp_path)[["image", "split"]].to_numpy().tolist() == [
        ["a.png", "val"],
        ["b.png", "train"],
    ]


def test_listing_keeps_rows_of_missing_images(tmp_path: Path) -> None:
    dataset(tmp_path, "a", "image\na.png\ngone.png\n")
    assert list(read_listing(tmp_path)["image"]) == ["a.png", "gone.png"]


# --- files --------------------------------------------------------------------------------------------


def test_hidden_and_foreign_files_are_no_images(tmp_path: Path) -> None:
    dataset(tmp_path, "a")
    touch(tmp_path, "images/._a.png", "images/notes.txt", "images/.part-0.png", "images/deeper.png/b.png")
    assert list(read_table(tmp_path)["image"]) == ["a.png"]


@pytest.mark.parametrize(
    "name",
    "a_label.tiff a_label.TIF a_label.png a_labels.tif a_mask.png a_masks.tif a_cp_masks.png a.bmp".split(),
)
def test_label_maps_by_their_usual_names(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "images/a.png", f"labels/{name}")
    assert label_files(tmp_path)["a"] == name
    assert "b" not in label_files(tmp_path)


def test_of_several_label_maps_the_kits_own_name_wins(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(
            f"labels/{name}"
            for name in ("a.tiff", "a_mask.png", "a_label.png", "a_label.tiff", "a_label.jpg")
        ),
    )
    assert label_files(tmp_path)["a"] == "a_label.tiff"


def test_dots_in_names_belong_to_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.v1.png", "images/a.v2.png", "labels/a.v2_label.tif")
    assert "a.v1" not in label_files(tmp_path)
    assert label_files(tmp_path)["a.v2"] == "a.v2_label.tif"


# --- the dataset --------------------------------------------------------------------------------------


def test_samples_come_with_name_modality_image_and_labels(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "mine", "a b", "image,modality,split\nb.png,dic,val\na.png,dic,train\n")
    (folder / "labels" / "a_label.tiff").unlink()
    data = load_dataset(folder)
    assert (len(data), data.name, data.modalities) == (2, "mine", ["dic"])
    first, second = data
    assert (first.name, first.modality, first.image[0, 0]) == ("b.png", "dic", 1)
    np.testing.assert_array_equal(first.labels, CELLS)
    assert first.labels.dtype == np.int32
    assert second.labels is None
    assert [sample.name for sample in data.labelled()] == ["b.png"]
    assert [sample.name for sample in data.split("val")] == ["b.png"]
    assert len(data.split("all")) == 2
    with pytest.raises(DatasetError, match=r"no images of split 'test'; there are: train, val, and 'all'"):
        data.split("test")


def test_select_by_mask_or_positions(tmp_path: Path) -> None:
    data = load_dataset(dataset(tmp_path, "a b c"))
    for chosen in ([2, 0], np.array([True, False, True]), pd.Series([True, False, True])):
        assert {sample.name for sample in data.select(chosen)} == {"a.png", "c.png"}
    assert len(data.select([])) == 0
    # positions count, whatever the table's index says
    shuffled = CellDataset(data.folder, data.name, data.table.iloc[::-1])
    assert [s.name for s in shuffled.select([0])] == ["c.png"]


def test_fraction_divides_every_source(tmp_path: Path) -> None:
    names = [f"{source}{i}" for source in "xy" for i in range(10)] + ["z0"]
    rows = "".join(f"{name}.png,{name[0]}\n" for name in names)
    data = load_dataset(dataset(tmp_path, " ".join(names), "image,source\n" + rows))
    data = CellDataset(data.folder, data.name, data.table.iloc[::-1])  # an index that is no position
    chosen, rest = data.fraction(0.3, np.random.default_rng(0))
    assert chosen.table["source"].value_counts().to_dict() == {"x": 3, "y": 3, "z": 1}
    assert {*chosen.table["image"], *rest.table["image"]} == set(data.table["image"])
    assert len(chosen) + len(rest) == 21
    again, _ = data.fraction(0.3, np.random.default_rng(0))
    assert list(again.table["image"]) == list(chosen.table["image"])
    assert len(data.fraction(1, np.random.default_rng(0))[1]) == 0
    with pytest.raises(DatasetError, match="fraction is 0"):
        data.fraction(0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (
            ["a.png", "b.tif", "a_mask.png"],
            r"holds 3 image files itself \(a\.png …\): move the images into .*images",
        ),
        (["Imgs/a.png"], "one called 'Imgs': rename it to 'images'"),
        (["train/images/a.png", "test/images/b.png"], "test has: name that folder"),
        (["notes.txt"], "has no folder 'images'. Expected are images/NAME.png"),
        (["images/a.czi"], r"images holds no images \(\.png"),
    ],
)
def test_messy_folders_get_advice(tmp_path: Path, files: list[str], advice: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=advice):
        load_dataset(tmp_path)


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no folder .*gone"):
        load_dataset(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"note\.txt is a file"):
        load_dataset(touch(tmp_path, "note.txt") / "note.txt")
    with pytest.raises(DatasetError, match=r"'nosuch' is neither a folder nor .* simulated, samples, cells"):
        load_dataset("nosuch")


# --- the catalogue ------------------------------------------------------------------------------------


def test_simulated_data_are_made_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def stand_in(folder: Path, **arguments: object) -> None:
        made.append(arguments)
        dataset(folder, "a", "image\na.png\n")

    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    monkeypatch.setattr("maunet_lite.data.simulation.folder.simulate_dataset", stand_in)
    assert load_dataset("simulated").folder == tmp_path / "home" / "simulated"
    assert len(load_dataset("simulated")) == 1
    assert len(made) == 1
    assert CATALOGUE["simulated"].about.startswith(f"{4 * made[0]['n_per_modality']} images")


def test_extra_pictures_are_made_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    stand_in = "maunet_lite.data.simulation.folder.simulate_extra_dataset"
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(stand_in, lambda folder: made.append(dataset(folder, "a", "image\na.png\n")))
    assert [load_dataset("simulated-extra").folder for _ in range(2)] == [made[0], made[0]]
    assert made == [tmp_path / "home" / "simulated-extra"]


def test_datasets_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("MAUNET_CELLS", raising=False)
    with pytest.raises(DatasetError, match=r"'cells' is not at .*home.*MAUNET_CELLS"):
        load_dataset("cells")
    with pytest.raises(DatasetError, match="maunet-lite data get dsb2018"):
        load_dataset("dsb2018")
    dataset(tmp_path / "home" / "dsb2018")
    assert len(load_dataset("dsb2018")) == len(load_dataset(Path("dsb2018"))) == 3
    monkeypatch.setenv("MAUNET_CELLS", str(dataset(tmp_path / "elsewhere", "a")))
    assert len(load_dataset("cells")) == 1


def test_data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path))
    assert data_home() == tmp_path
    monkeypatch.setenv("MAUNET_DATA", "")
    assert data_home().name == "data"
    monkeypatch.setattr(
        "maunet_lite.data.catalogue.entries._CHECKOUT", tmp_path
    )  # installed: no checkout around
    assert "maunet-lite" in str(data_home())


def test_catalogue_is_complete_and_says_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path))
    for name, entry in CATALOGUE.items():
        assert entry.about
        assert entry.how
        assert bool(entry.parts) == bool(entry.licence) == (f"data get {name}" in entry.how)
        for url in [part.url for part in entry.parts]:
            assert url.startswith("https://")
            if name != "cells":  # whose images are checked one by one
                assert len(bytes.fromhex(CHECKSUMS[url.rsplit("/", 1)[1]])) == 32
    assert f"not here; {CATALOGUE['dsb2018'].how}" in format_catalogue()
    dataset(tmp_path / "dsb2018")
    assert f"here: {tmp_path / 'dsb2018'}" in format_catalogue()
    assert "CC BY-NC-ND" in format_catalogue()


def test_real_cells_are_read(cells_folder: Path) -> None:
    data = load_dataset(cells_folder)
    assert (len(data), len(data.split("train")), len(data.split("val"))) == (592, 517, 75)
    assert sorted(data.modalities) == ["brightfield", "dic", "fluorescence", "phase-contrast"]
    assert data.table["labelled"].all()
    assert data.table["cells"].dtype.kind == "i"
    sample = data[0]
    assert sample.labels.shape == sample.image.shape[:2]


def test_modalities_and_sources_can_be_left_out(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"image": list("abc"), "modality": ["dic", "dic", "fluorescence"], "source": ["x", "y", "y"]}
    )
    data = CellDataset(tmp_path, "toy", table)
    assert list(data.without(["x"]).table["image"]) == ["b", "c"]
    assert list(data.without(["dic"]).table["image"]) == ["c"]
    assert len(data.without([])) == 3
    with pytest.raises(DatasetError, match="no modality or source 'DIC' to leave out; there are: dic, fluor"):
        data.without(["DIC"])
    with pytest.raises(DatasetError, match="without dic, y no image of 'toy' is left"):
        data.without(["dic", "y"])


def test_the_table_says_how_images_are_read(tmp_path):
    stack = np.random.default_rng(0).integers(0, 256, (3, 2, 20, 30), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    for name in ("a.tif", "b.tif", "c.ome.tif"):
        tifffile.imwrite(tmp_path / "images" / name, stack, imagej=True, metadata={"axes": "ZCYX"})
    write_labels(tmp_path / "labels" / "c_label.tiff", np.eye(20, 30, dtype=int))
    text = "image;channel;plane;project\na.tif;2;3;\nb.tif;1,2;;max\nc.ome.tif;2;;mean\n"
    (tmp_path / "metadata.csv").write_text(text)
    data = load_dataset(tmp_path)
    np.testing.assert_array_equal(data.image(0), stack[2, 1])
    np.testing.assert_array_equal(data.image(1), stack.max(axis=0).transpose(1, 2, 0))
    np.testing.assert_allclose(data.image(2), stack[:, 1].mean(axis=0), rtol=1e-6)
    assert data.label_path(2).name == "c_label.tiff"
    assert {problem.problem.split(":")[0] for problem in check_folder(tmp_path)} == {"unlabelled"}
    first = load_dataset(tmp_path, channel=1, plane=1, project=None).select([0])
    np.testing.assert_array_equal(first.image(0), stack[0, 0])
    (tmp_path / "metadata.csv").unlink()
    assert [text for problem in check_folder(tmp_path) if "3 planes" in (text := problem.problem)]
    np.testing.assert_array_equal(
        load_dataset(tmp_path, channel=[2, 1], plane="2").image(1)[..., 0], stack[1, 1]
    )


@pytest.mark.parametrize("label", ["a_label.tiff", "a.ome_label.tiff", "a_masks.ome.tif", "a.ome.tiff"])
def test_double_suffixes_are_one(label, tmp_path):
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.ome.tif", np.zeros((9, 9), np.uint8))
    write_labels(tmp_path / "labels" / label, np.eye(9, dtype=int))
    data = load_dataset(tmp_path)
    assert data.table.loc[0, "label"] == label
    assert check_folder(tmp_path) == []
