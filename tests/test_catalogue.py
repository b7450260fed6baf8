"""Archives of the catalogue come into the kit's layout, verified; nothing appears half-made."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite import catalogue
from maunet_lite.catalogue import CATALOGUE, format_catalogue, get_dataset
from maunet_lite.datasets import DatasetError, check_folder, load_dataset


def png(value):
    buffer = io.BytesIO()
    imageio.imwrite(buffer, np.full((5, 7), value, np.uint8), extension=".png")
    return buffer.getvalue()


def label_map():
    labels = np.zeros((5, 7), np.uint16)
    labels[1:3, 1:3], labels[3, 4:6] = 1, 5
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels)
    return buffer.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_sums(monkeypatch, name, *sums):
    entry = CATALOGUE[name]
    archives = tuple(replace(archive, sha256=sha) for archive, sha in zip(entry.archives, sums, strict=True))
    monkeypatch.setitem(CATALOGUE, name, replace(entry, archives=archives))


def test_challenge_archives_become_one_dataset(home, tmp_path, monkeypatch):
    numbers = range(1, 12)
    training = {f"Training-labeled/images/cell_{n:05d}.png": png(n) for n in numbers}
    training |= {f"Training-labeled/labels/cell_{n:05d}_label.tiff": label_map() for n in numbers if n != 3}
    training["__MACOSX/Training-labeled/images/._cell_00001.png"] = b"no image"
    first = write_zip(tmp_path / "Training-labeled.zip", training)
    second = write_zip(tmp_path / "Tuning.zip", {
        "Tuning/images/cell_00001.png": png(200), "Tuning/labels/cell_00001_label.tiff": label_map(),
    })  # fmt: skip
    with_sums(monkeypatch, "neurips22", first, second)

    folder = get_dataset("neurips22", archives=tmp_path, progress=False)

    table = pd.read_csv(folder / "metadata.csv").set_index("image")
    assert len(table) == 12
    # every tenth training image is for validation, the tuning set for tests, under a name of its own
    assert table["split"].value_counts().to_dict() == {"train": 10, "val": 1, "test": 1}
    assert table.loc["cell_00010.png", "split"] == "val"
    assert table.loc["tuning_cell_00001.png", "split"] == "test"
    data = load_dataset("neurips22")
    assert int(data.table["labelled"].sum()) == 11
    assert data.split("test").image(0)[0, 0] == 200
    np.testing.assert_array_equal(np.unique(data.split("test").labels(0)), [0, 1, 5])
    problems = check_folder(folder)
    assert [problem.file for problem in problems] == ["images/cell_00003.png"]
    assert get_dataset("neurips22") == folder, "a second call finds it"


def test_stardist_archive_has_masks_with_the_image_name(home, tmp_path, monkeypatch):
    files = {"dsb2018/train/images/a.tif": label_map(), "dsb2018/train/masks/a.tif": label_map()}
    files |= {"dsb2018/test/images/b.tif": label_map(), "dsb2018/test/masks/b.tif": label_map()}
    with_sums(monkeypatch, "dsb2018", write_zip(tmp_path / "dsb2018.zip", files))
    data = load_dataset(get_dataset("dsb2018", archives=tmp_path, progress=False))
    assert dict(zip(data.table["image"], data.table["split"], strict=True)) == {
        "a.tif": "train",
        "b.tif": "test",
    }
    assert set(data.table["modality"]) == {"fluorescence"}
    assert check_folder(data.folder) == []


def test_changed_archive_is_refused(home, tmp_path):
    write_zip(tmp_path / "dsb2018.zip", {"dsb2018/train/images/a.tif": label_map()})
    with pytest.raises(DatasetError, match="SHA-256 .* expected e4492195"):
        get_dataset("dsb2018", archives=tmp_path)
    assert list(home.iterdir()) == []


def test_dataset_that_cannot_be_unpacked_does_not_appear(home, tmp_path, monkeypatch):
    files = {"dsb2018/train/images/a.tif": label_map(), "dsb2018/train/masks/a.tif": b"damaged"}
    with_sums(monkeypatch, "dsb2018", write_zip(tmp_path / "dsb2018.zip", files))
    with pytest.raises(ValueError, match="raw.tif"):
        get_dataset("dsb2018", archives=tmp_path, progress=False)
    assert not (home / "dsb2018").exists()


def test_names_cannot_lead_out_of_the_folder(home, tmp_path, monkeypatch):
    files = {"dsb2018/train/images/a.tif": label_map(), "dsb2018/train/images/../../../evil.tif": label_map()}
    with_sums(monkeypatch, "dsb2018", write_zip(tmp_path / "dsb2018.zip", files))
    folder = get_dataset("dsb2018", archives=tmp_path, progress=False)
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["a.tif"]
    assert not list(tmp_path.rglob("evil.tif"))


def test_missing_archive_and_unknown_name_say_what_to_do(home, tmp_path):
    with pytest.raises(DatasetError, match="fetch it from https://github.com/stardist"):
        get_dataset("dsb2018", archives=tmp_path)
    with pytest.raises(DatasetError, match="there are simulated, samples"):
        get_dataset("dsb")


def test_failed_download_says_how_to_do_without(home, monkeypatch):
    import pooch

    def no_network(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(DatasetError, match="--archives"):
        get_dataset("dsb2018")


def test_catalogue_names_licences_and_what_is_here(home):
    text = format_catalogue()
    for name, entry in CATALOGUE.items():
        assert name in text
        for archive in entry.archives:
            assert entry.licence
            assert len(archive.sha256) == 64
    assert "CC BY-NC-ND" in text
    (home / "dsb2018" / "images").mkdir(parents=True)
    assert f"here: {home / 'dsb2018'}" in catalogue.format_catalogue()
