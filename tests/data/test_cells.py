"""The real images are built from what their sources hold, and checked one by one. No test needs a network."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
from skimage.draw import circle_perimeter, disk
from typer.testing import CliRunner

from maunet_lite.cli import app
from maunet_lite.cli.options import USER_ERROR
from maunet_lite.data import CATALOGUE, DatasetError, check_folder, load_dataset, read_image, read_labels
from maunet_lite.data.catalogue import cells
from maunet_lite.data.catalogue.cells import enclosed, within_curves
from maunet_lite.data.catalogue.downloads import get

# --- sources in miniature, and by hand what should become of them -------------------------------------

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)
COLOUR = np.stack([GREY, GREY, GREY[::-1]], axis=2)
FIRST = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], np.uint8)
OVER = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]], np.uint8)
NUCLEI = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 2, 2], [0, 0, 0, 2, 2]])


def square(shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """An outline one pixel wide."""
    drawn = np.zeros(shape, bool)
    drawn[rows, columns] = True
    drawn[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = False
    return drawn


def grown(shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """What such an outline encloses, and the outline itself without its four corners."""
    labels = np.zeros(shape, int)
    labels[rows.start + 1 : rows.stop - 1, columns] = 1
    labels[rows, columns.start + 1 : columns.stop - 1] = 1
    return labels


CELL = (50, 61), slice(10, 34), slice(20, 44)
RAW = np.where(np.arange(40) < 20, 100, 1100).astype(np.uint16)[None].repeat(31, axis=0)  # (31, 40)
IDS = np.zeros((31, 40), np.uint8)
IDS[2:12, 2:12] = 7
IDS[20:22, 30:32] = 7  # debris of the same id
IDS[20:25, 2:7] = 3  # too small
IDS[4:14, 24:34] = 9
HALF_IDS = np.zeros((15, 20), int)
HALF_IDS[1:6, 1:6], HALF_IDS[2:7, 12:17] = 1, 2
HALF_RAW = np.where(np.arange(20) < 10, 0, 255).astype(np.uint8)[None].repeat(15, axis=0)
CHO = np.full((50, 61, 3), 90, np.uint8)

# name: modality, source, split, licence, origin, image, labels
BUILT = {
    "dsb_grey.png": ("fluorescence", "dsb2018-fluorescence", "train", "CC0-1.0", "aa", GREY, NUCLEI),
    "dsb_colour.png": ("brightfield", "dsb2018-histology", "val", "CC0-1.0", "bb", COLOUR, FIRST),
    "usi_train_set1.png": (
        "phase-contrast", "usiigaci", "train", "MIT", "train/set1", HALF_RAW, HALF_IDS,
    ),
    "cho_cho1.png": (
        "dic", "bbbc030", "val", "CC-BY-3.0", "test/cho1", CHO[:50:2, :60:2, 0], grown(*CELL)[:50:2, :60:2],
    ),
    "rbc_1.png": ("dic", "bbbc009", "train", "public-domain", "1", CHO[..., 0], grown(*CELL)),
    "rbc_2.png": ("dic", "bbbc009", "train", "public-domain", "2", CHO[..., 0], grown(*CELL)),
}  # fmt: skip


def sum_by_hand(image: np.ndarray, labels: np.ndarray) -> str:
    text = "(" + ", ".join(map(str, image.shape)) + ")"
    return hashlib.sha256(text.encode() + image.tobytes() + labels.astype("<u2").tobytes()).hexdigest()


def png(array: np.ndarray) -> bytes:
    return iio.imwrite("<bytes>", array, extension=".png")


def tiff(array: np.ndarray) -> bytes:
    return iio.imwrite("<bytes>", array, extension=".tif")


def files() -> dict[str, dict[str, bytes]]:
    """What the archives of the three repositories hold."""
    alpha = np.full((4, 5, 1), 255, np.uint8)
    grey, colour = np.concatenate([GREY[..., None]] * 3 + [alpha], 2), np.concatenate([COLOUR, alpha], 2)
    masks = [FIRST * OVER * 255, FIRST * (1 - OVER) * 255, OVER * 255]  # the last one hides the first one
    drawn = square(*CELL)
    return {
        "kaggle": {
            "stage1_train/aa/images/aa.png": png(grey),
            **{f"stage1_train/aa/masks/{k}.png": png(mask) for k, mask in enumerate(masks)},
            "stage1_train/bb/images/bb.png": png(colour),
            "stage1_train/bb/masks/0.png": png(FIRST * 255),
            "stage1_train/cc/images/cc.png": b"of no use here",
        },
        "Usiigaci": {
            "Mask R-CNN/train/set1/raw.tif": tiff(RAW),
            "Mask R-CNN/train/set1/instances_ids.png": png(IDS),
            "DataAnalysis/large.bin": b"not needed",
        },
        "cytounet": {
            "examples/BBBC030_v1/test/images/cho1.png": png(CHO),
            "examples/BBBC030_v1/test_truth/outlines/cho1.png": png(drawn * np.uint8(255)),
            "examples/BBBC009_v1/images/1.tif": tiff(CHO[..., 0]),
            "examples/BBBC009_v1/images/2.tif": tiff(CHO[..., 0]),
            "examples/BBBC009_v1/outlines/1.tif": tiff(drawn * np.uint8(255)),
            "examples/BBBC009_v1/outlines/2.tif": tiff(~drawn * np.uint8(255)),
        },
    }


class Web:
    """The archives that "the web" holds for the length of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetched = folder, []
        folder.mkdir()
        for repository, members in files().items():
            self.put(repository, members)

    def path(self, repository: str) -> Path:
        part = next(part for part in CATALOGUE["cells"].parts if repository in part.url)
        return self.folder / part.url.rsplit("/", 1)[1]

    def put(self, repository: str, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(self.path(repository), "w") as archive:
            for member, content in members.items():
                archive.writestr(f"{repository}-0123abcd/{member}", content)

    def fetch(self, url: str, output: str, _: object) -> None:
        """Stand in for pooch's downloader."""
        self.fetched.append(url.split("/")[4])
        file = self.folder / url.rsplit("/", 1)[1]
        if not file.exists():
            raise ConnectionError(f"no route to {url}")
        shutil.copy(file, output)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of datasets, and a table of the miniature."""
    monkeypatch.setenv("MAUNET_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("MAUNET_CELLS", raising=False)
    columns = ["image", "modality", "source", "split", "licence", "origin", "sha256"]
    rows = [(name, *about[:5], sum_by_hand(*about[5:])) for name, about in BUILT.items()]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "cells.csv", index=False)
    monkeypatch.setattr(cells, "TABLE", tmp_path / "cells.csv")
    return tmp_path / "home"


@pytest.fixture
def web(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    web = Web(tmp_path / "web")
    monkeypatch.setattr("pooch.HTTPDownloader", lambda **_: web.fetch)
    return web


# --- building -----------------------------------------------------------------------------------------


def test_each_source_becomes_images_and_labels(web: Web, home: Path) -> None:
    folder = get("cells", progress=False)
    assert folder == home / "cells"
    assert web.fetched == ["kaggle-dsbowl-2018-dataset-fixes", "Usiigaci", "cytounet"]
    data = load_dataset("cells")
    assert list(data.table["image"]) == list(BUILT)
    for k, (name, about) in enumerate(BUILT.items()):
        assert tuple(data.table.loc[k, ["modality", "source", "split", "licence"]]) == about[:4]
        np.testing.assert_array_equal(data.image(k), about[5], err_msg=name)
        np.testing.assert_array_equal(data.labels(k), about[6], err_msg=name)
    assert "doi:10.1016/j.softx.2019.02.007" in (folder / "LICENCE.txt").read_text()
    assert check_folder(folder) == []


def test_curves_are_filled_and_small_gaps_closed() -> None:
    shape = (90, 100)
    ring, gap = square(shape, slice(5, 30), slice(5, 30)), np.zeros(shape, bool)
    gap[circle_perimeter(55, 55, 15)] = True
    gap[40, 53:58] = False
    gap[38, 50:63] = gap[38:41, 50] = True  # whoever drew it came back beside where the curve began
    speck, stroke = square(shape, slice(80, 86), slice(5, 11)), np.zeros(shape, bool)
    stroke[5:75, 90] = True
    found = within_curves(ring | gap | speck | stroke)
    assert len(np.unique(found)) == 3, "the ring, the ring with a gap, and neither the speck nor the stroke"
    np.testing.assert_array_equal(found == found[15, 15], grown(shape, slice(5, 30), slice(5, 30)))
    inside = found[disk((55, 55), 14)]
    assert (inside == found[55, 55]).mean() > 0.97
    assert found[55, 55] not in (0, found[15, 15])
    assert not enclosed(gap).any(), "without closing it, nothing is enclosed"


# --- again and again ----------------------------------------------------------------------------------


def states(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_right_is_not_built_again(web: Web, home: Path) -> None:
    folder = get("cells", progress=False)
    before = states(folder)
    assert get("cells", progress=False) == folder
    assert states(folder) == before
    (folder / "labels" / "usi_train_set1_label.tiff").unlink()
    get("cells", progress=False)
    after = states(folder)
    changed = {Path(path).name for path in before if before[path] != after[path]}
    assert changed - {"LICENCE.txt", "metadata.csv"} == {"usi_train_set1.png", "usi_train_set1_label.tiff"}
    assert len(web.fetched) == 3, "archives are kept"


def test_a_run_that_was_stopped_goes_on(web: Web, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, recipe = [], cells.RECIPES["bbbc009"]

    def stopped(source: Path, origin: str) -> tuple[np.ndarray, np.ndarray]:
        built.append(origin)
        if origin == "2" and built.count("2") == 1:
            raise KeyboardInterrupt
        return recipe(source, origin)

    monkeypatch.setitem(cells.RECIPES, "bbbc009", stopped)
    with pytest.raises(KeyboardInterrupt):
        get("cells", progress=False)
    with pytest.raises(DatasetError, match="no image that .*metadata.csv names"):
        load_dataset("cells")  # never a part for the whole
    get("cells", progress=False)
    assert built == ["1", "2", "2"]
    assert len(load_dataset("cells")) == len(BUILT)
    assert not list(home.rglob(".part*"))


def test_a_source_out_of_reach_is_named_and_the_others_go_on(web: Web, home: Path) -> None:
    web.path("Usiigaci").rename(web.folder / "away")
    result = CliRunner().invoke(app, ["data", "get", "cells"])
    assert result.exit_code == USER_ERROR
    text = " ".join(result.output.split())
    assert "licence: of each image in its table: CC0 1.0" in text
    assert "is incomplete: 5 of 6 images are there" in text
    assert "usiigaci: https://github.com/oist/Usiigaci/archive" in text
    assert "ConnectionError" in text
    assert "bbbc" not in text.partition("is incomplete")[2]
    assert Counter(load_dataset("cells").table["source"])["bbbc009"] == 2
    (web.folder / "away").rename(web.path("Usiigaci"))
    result = CliRunner().invoke(app, ["data", "get", "cells"])
    assert (result.exit_code, "cells is in" in result.output) == (0, True)
    assert len(load_dataset("cells")) == 6


def test_archives_fetched_by_hand(web: Web, home: Path, tmp_path: Path) -> None:
    get("cells", tmp_path / "there", archives=web.folder, progress=False)
    assert web.fetched == []
    assert len(load_dataset(tmp_path / "there")) == 6
    with pytest.raises(DatasetError, match=r"0 of 6 .* dsb2018: .* there is no .*\.zip, or"):
        get("cells", archives=tmp_path, progress=False)


# --- what is wrong is not passed off as right ---------------------------------------------------------


def test_other_pixels_are_not_written(web: Web, home: Path) -> None:
    members = files()["kaggle"]
    members["stage1_train/bb/masks/0.png"] = png(OVER * 255)
    web.put("kaggle", members)
    with pytest.raises(DatasetError, match=r"5 of 6 .* dsb2018: 1 come out with other pixels"):
        get("cells", progress=False)
    assert not (home / "cells" / "images" / "dsb_colour.png").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not today</html>", r"cannot be unpacked .*; remove it"),
        (None, r"dsb2018: .*aa\.png: No such"),
    ],
)
def test_damaged_archives_are_named(web: Web, home: Path, content: bytes | None, message: str) -> None:
    if content is None:
        web.put("kaggle", {"README.rst": b""})
    else:
        web.path("kaggle").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        get("cells", progress=False)
    assert len(load_dataset("cells")) == 4


@pytest.mark.parametrize("content", [tiff(np.eye(50, 61, dtype=np.uint16)), b"damaged"])
def test_what_somebody_changed_is_left_alone(web: Web, home: Path, content: bytes) -> None:
    folder = get("cells", progress=False)
    path = folder / "labels" / "rbc_1_label.tiff"
    path.write_bytes(content)
    (folder / "images" / "rbc_2.png").unlink()
    before = states(folder)
    with pytest.raises(DatasetError, match=r"rbc_1_label\.tiff was changed or damaged .* left alone"):
        get("cells", progress=False)
    assert states(folder) == before
    path.unlink()
    get("cells", progress=False)
    np.testing.assert_array_equal(read_labels(path), grown(*CELL))


def test_a_folder_of_other_images_is_left_alone(web: Web, home: Path) -> None:
    (home / "cells" / "images").mkdir(parents=True)
    (home / "cells" / "images" / "mine.png").write_bytes(png(GREY))
    before = states(home)
    with pytest.raises(DatasetError, match=r"holds mine\.png, which is not of 'cells'"):
        get("cells", progress=False)
    assert states(home) == before


# --- the table that ships -----------------------------------------------------------------------------


def test_the_table_lists_what_the_docs_promise() -> None:
    table = pd.read_csv(cells.TABLE)
    assert table["image"].is_unique
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert table["split"].value_counts().to_dict() == {"train": 517, "val": 75}
    assert table["licence"].value_counts().to_dict() == {
        "CC0-1.0": 504, "CC-BY-3.0": 44, "MIT": 40, "public-domain": 4
    }  # fmt: skip
    parts = [part.source for part in CATALOGUE["cells"].parts]
    assert parts == list(cells.RECIPES)
    assert table["source"].str.startswith(tuple(parts)).all()


def test_sums_are_those_of_the_real_images(cells_folder: Path) -> None:
    for row in pd.read_csv(cells.TABLE)[::60].itertuples():
        labels = read_labels(cells_folder / "labels" / row.image.replace(".png", "_label.tiff"))
        assert sum_by_hand(read_image(cells_folder / "images" / row.image), labels) == row.sha256, row.image
