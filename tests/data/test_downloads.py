"""Archives are verified and come into the kit's layout, complete or not at all. No test needs a network."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite import __version__
from maunet_lite.data import check_folder, load_dataset
from maunet_lite.data.catalogue import downloads
from maunet_lite.data.catalogue.downloads import get, with_validation
from maunet_lite.data.catalogue.entries import CATALOGUE, CHECKSUMS
from maunet_lite.data.checks import DatasetError

CELLS = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 5, 5], [0, 0, 0, 5, 5]], dtype=np.uint16)


def png(value: int | np.ndarray) -> bytes:
    image = np.full(CELLS.shape, value, dtype=np.uint8) if isinstance(value, int) else value
    return iio.imwrite("<bytes>", image, extension=".png")


def label_map(labels: np.ndarray = CELLS) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of datasets."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MAUNET_DATA", str(folder))
    return folder


class Web:
    """Archives that "the web" holds for the length of a test; the catalogue is made to expect them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch, self.fetched = folder, monkeypatch, []
        folder.mkdir()
        monkeypatch.setattr("pooch.HTTPDownloader", lambda **options: self.fetch)

    def put(self, name: str, contents: dict[str, dict[str, bytes]]) -> None:
        """Offer archives, given as file name → members, as the ones of dataset `name`."""
        assert set(contents) == {part.url.rsplit("/", 1)[1] for part in CATALOGUE[name].parts}
        for file, members in contents.items():
            with zipfile.ZipFile(self.folder / file, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, content in members.items():
                    archive.writestr(member, content)
            self.monkeypatch.setitem(CHECKSUMS, file, self.sha256(file))

    def sha256(self, file: str) -> str:
        return hashlib.sha256((self.folder / file).read_bytes()).hexdigest()

    def fetch(self, url: str, output: str, _: object) -> None:
        """Stand in for pooch's downloader."""
        file = url.rsplit("/", 1)[1]
        self.fetched.append(file)
        if not (self.folder / file).exists():
            raise ConnectionError(f"no route to {url}")
        shutil.copy(self.folder / file, output)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(tmp_path / "web", monkeypatch)


def challenge() -> dict[str, dict[str, bytes]]:
    """The three labelled archives, small: 20 training images, one of the other two; all names are alike."""
    training = {f"Training-labeled/images/cell_{n:05d}.png": png(n) for n in range(20)}
    training |= {f"Training-labeled/labels/cell_{n:05d}_label.tiff": label_map() for n in range(20)}
    training["__MACOSX/Training-labeled/images/._cell_00001.png"] = b"no image"
    tuning = {"Tuning/images/cell_00001.png": png(200), "Tuning/labels/cell_00001_label.tiff": label_map()}
    testing = {
        "Testing/Public/images/cell_00001.tif": label_map(),
        "Testing/Public/labels/cell_00001_label.tiff": label_map(),
        "Testing/Hidden/images/cell_00009.tif": label_map(),
    }
    return {"Training-labeled.zip": training, "Tuning.zip": tuning, "Testing.zip": testing}


def nuclei() -> dict[str, dict[str, bytes]]:
    members = {
        f"dsb2018/train/{part}/{i}.tif": label_map() for i in range(10) for part in ("images", "masks")
    }
    members |= {f"dsb2018/test/{part}/t.tif": label_map() for part in ("images", "masks")}
    return {"dsb2018.zip": members}


# --- layouts ------------------------------------------------------------------------------------------


def test_challenge_archives_become_one_dataset(web: Web, home: Path) -> None:
    web.put("neurips22", challenge())
    folder = get("neurips22", accept_licence=True, progress=False)
    assert folder == home / "neurips22"
    data = load_dataset("neurips22")
    assert data.table.groupby(["split", "source"]).size().to_dict() == {
        ("train", "training"): 18,
        ("val", "training"): 2,
        ("test", "tuning"): 1,
        ("test", "testing"): 1,
    }
    assert data.table["labelled"].all()
    assert set(data.modalities) == {"unknown"}
    assert set(data.table["licence"]) == {"CC BY-NC-ND"}
    assert "CC BY-NC-ND" in (folder / "LICENCE.txt").read_text()
    tuning = data.split("test").select([0])
    assert tuning.table["image"].item() == "tuning_cell_00001.png"
    assert tuning.image(0)[0, 0] == 200
    np.testing.assert_array_equal(tuning.labels(0), CELLS)
    assert check_folder(folder) == []


def test_validation_images_are_the_same_tenth_everywhere() -> None:
    names = [f"cell_{n:05d}" for n in range(1000)]
    splits = with_validation(names)
    assert pd.Series(splits).value_counts().to_dict() == {"train": 900, "val": 100}
    assert with_validation(names[::-1]) == splits, "whatever order the archive has"
    val = [n for n, name in enumerate(names) if splits[name] == "val"]
    assert val[:4] == [14, 18, 22, 35], "as on every machine and in every version"


def test_stardist_archive(web: Web) -> None:
    web.put("dsb2018", nuclei())
    data = load_dataset(get("dsb2018", progress=False))
    assert data.table["split"].value_counts().to_dict() == {"train": 9, "val": 1, "test": 1}
    assert data.modalities == ["fluorescence"]
    assert data.table.set_index("image").loc["t.tif", "split"] == "test"
    assert check_folder(data.folder) == []


def test_unlabelled_images_lie_in_a_dataset_of_their_own(web: Web) -> None:
    web.put(
        "neurips22-unlabelled",
        {
            "train-unlabeled-part1.zip": {
                "part1/a.png": png(1),
                "part1/b.png": png(2),
                "part1/readme.txt": b"",
            },
            "train-unlabeled-part2.zip": {"slides/x/a.png": png(3), "slides/y/a.png": png(4)},
        },
    )
    data = load_dataset(get("neurips22-unlabelled", accept_licence=True, progress=False))
    assert not data.table["labelled"].any()
    assert set(data.table["split"]) == {"train"}
    # the same name three times: the first keeps it, the others say where they were
    values = {sample.name: sample.image[0, 0] for sample in data}
    assert values == {"a.png": 1, "b.png": 2, "part2_slides_x_a.png": 3, "part2_slides_y_a.png": 4}


# --- what may go wrong --------------------------------------------------------------------------------


def test_a_restricted_licence_must_be_accepted(web: Web, home: Path) -> None:
    web.put("neurips22", challenge())
    with pytest.raises(DatasetError, match=r"CC BY-NC-ND: not for commercial use.*accept_licence=True"):
        get("neurips22", progress=False)
    assert web.fetched == []
    assert not home.exists()


def test_a_second_call_finds_what_is_there(web: Web, home: Path, tmp_path: Path) -> None:
    web.put("dsb2018", nuclei())
    folder = get("dsb2018", progress=False)
    assert get("dsb2018", progress=False) == folder
    assert web.fetched == ["dsb2018.zip"]
    # elsewhere it is unpacked again, from the archive that was kept
    other = get("dsb2018", tmp_path / "other", progress=False)
    assert len(load_dataset(other)) == 11
    assert web.fetched == ["dsb2018.zip"]


def test_a_second_attempt_keeps_the_archives_of_the_first(web: Web, home: Path) -> None:
    web.put("neurips22", challenge())
    (web.folder / "Testing.zip").rename(web.folder / "away.zip")
    with pytest.raises(DatasetError, match=r"Testing\.zip cannot be fetched \(ConnectionError.*--archives"):
        get("neurips22", accept_licence=True, progress=False)
    assert not (home / "neurips22").exists()
    (web.folder / "away.zip").rename(web.folder / "Testing.zip")
    get("neurips22", accept_licence=True, progress=False)
    assert web.fetched == ["Training-labeled.zip", "Tuning.zip", "Testing.zip", "Testing.zip"]


def test_a_changed_archive_is_not_used(web: Web, home: Path) -> None:
    web.put("dsb2018", nuclei())
    expected = web.sha256("dsb2018.zip")
    with (web.folder / "dsb2018.zip").open("ab") as file:
        file.write(b"!")
    with pytest.raises(DatasetError, match=f"damaged or was changed.*SHA-256 is not {expected}"):
        get("dsb2018", progress=False)
    assert list((home / "downloads").iterdir()) == []
    assert not (home / "dsb2018").exists()


def test_archives_fetched_by_hand_are_verified_too(web: Web, home: Path, tmp_path: Path) -> None:
    web.put("dsb2018", nuclei())
    with pytest.raises(
        DatasetError, match=r"https://github.com/stardist.* cannot be fetched .* there is no .*dsb2018\.zip"
    ):
        get("dsb2018", archives=tmp_path, progress=False)
    (tmp_path / "dsb2018.zip").write_bytes(b"something else")
    with pytest.raises(DatasetError, match=f"or it is damaged: expected SHA-256 {web.sha256('dsb2018.zip')}"):
        get("dsb2018", archives=tmp_path, progress=False)
    assert (tmp_path / "dsb2018.zip").read_bytes() == b"something else", "the user's file is left alone"
    assert not home.exists()
    assert len(load_dataset(get("dsb2018", archives=web.folder, progress=False))) == 11
    assert web.fetched == []


def test_nothing_half_done_is_left(web: Web, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.put("dsb2018", nuclei())
    copy, copied = downloads._copy, []

    def interrupted(*arguments: object) -> None:
        if len(copied) == 5:
            raise KeyboardInterrupt
        copied.append(arguments)
        copy(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get("dsb2018", progress=False)
    assert len(copied) == 5
    assert [path.name for path in home.iterdir()] == ["downloads"]
    assert len(load_dataset(get("dsb2018", progress=False))) == 11
    assert web.fetched == ["dsb2018.zip"]


def test_names_in_archives_lead_nowhere(web: Web, home: Path, tmp_path: Path) -> None:
    evil = {
        "train-unlabeled-part1.zip": {
            "../../up.png": png(1),
            "/root.png": png(2),
            "a\\..\\..\\back.png": png(3),
        },
        "train-unlabeled-part2.zip": {"C:drive.png": png(4), "...png": png(5), "ok.png": png(6)},
    }
    web.put("neurips22-unlabelled", evil)
    before = {path for path in tmp_path.rglob("*") if home not in path.parents and path != home}
    folder = get("neurips22-unlabelled", accept_licence=True, progress=False)
    names = {path.name for path in (folder / "images").iterdir()}
    assert names <= {"up.png", "root.png", "a_.._.._back.png", "back.png", "C_drive.png", "ok.png"}
    assert "ok.png" in names
    assert {path for path in tmp_path.rglob("*") if home not in path.parents and path != home} == before
    assert {path.name for path in home.iterdir()} == {"downloads", "neurips22-unlabelled"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"elsewhere/a.tif": b""}, "holds no images train/images/NAME, only elsewhere"),
        ({"dsb2018/train/images/a.txt": b""}, "holds no images train/images/NAME"),
    ],
)
def test_an_archive_of_another_layout_is_refused(web: Web, home: Path, members: dict, message: str) -> None:
    web.put("dsb2018", {"dsb2018.zip": members})
    with pytest.raises(DatasetError, match=message):
        get("dsb2018", progress=False)
    assert not (home / "dsb2018").exists()


def test_what_is_no_zip_file_is_said(web: Web, home: Path) -> None:
    web.put("dsb2018", nuclei())
    (web.folder / "dsb2018.zip").write_bytes(b"<html>not today</html>")
    web.monkeypatch.setitem(CHECKSUMS, "dsb2018.zip", web.sha256("dsb2018.zip"))
    with pytest.raises(DatasetError, match=r"dsb2018\.zip cannot be unpacked .*not a zip file"):
        get("dsb2018", progress=False)


def test_folders_with_something_else_are_left_alone(web: Web, home: Path, tmp_path: Path) -> None:
    web.put("dsb2018", nuclei())
    (tmp_path / "mine").mkdir()
    assert len(load_dataset(get("dsb2018", tmp_path / "mine", progress=False))) == 11, (
        "an empty folder will do"
    )
    home.joinpath("dsb2018").mkdir()
    (home / "dsb2018" / "notes.txt").write_text("important")
    with pytest.raises(DatasetError, match="holds something else than 'dsb2018'"):
        get("dsb2018", progress=False)
    assert (home / "dsb2018" / "notes.txt").read_text() == "important"


def test_names_that_are_no_download(home: Path) -> None:
    with pytest.raises(DatasetError, match=r"'mnist' is neither .*: simulated, samples, cells"):
        get("mnist")
    with pytest.raises(DatasetError, match="'samples-of-mine' is neither"):
        get("samples-of-mine")
    (home / "samples" / "images").mkdir(parents=True)
    assert get("samples") == home / "samples"


# --- the real downloader ------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that refuses Python's default user agent, as Zenodo does."""
    agents: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def do_GET(self) -> None:
            agents.append(self.headers["User-Agent"])
            if "python" in agents[-1].lower():
                self.send_error(403)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{service.server_port}", agents
        service.shutdown()


def test_pooch_fetches_under_our_name(
    server: tuple[str, list[str]], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url, agents = server
    content = b"an archive"
    (tmp_path / "served" / "data.zip").write_bytes(content)
    monkeypatch.setitem(CHECKSUMS, "data.zip", hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(CHECKSUMS, "gone.zip", "0" * 64)
    path = downloads._fetch(f"{url}/data.zip", None, progress=True)
    assert path == home / "downloads" / "data.zip"
    assert path.read_bytes() == content
    assert agents == [f"maunet-lite/{__version__}"]
    with pytest.raises(DatasetError, match=r"gone\.zip cannot be fetched \(HTTPError: 404"):
        downloads._fetch(f"{url}/gone.zip", None, progress=False)
    monkeypatch.setitem(CHECKSUMS, "data.zip", "0" * 64)
    with pytest.raises(DatasetError, match="damaged or was changed"):
        downloads._fetch(f"{url}/data.zip", None, progress=False)
