"""Networks in the formats of other programs: written, loaded by their own libraries, and compared."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from maunet_lite.cli.main import app
from maunet_lite.data import simulate
from maunet_lite.export import MODEL_FORMATS, ExportedMaps, export_model, onnx_segment
from maunet_lite.export.models.run import named_maps
from maunet_lite.inference import predict, segment
from maunet_lite.network import MAUNet, ModelConfig, load_model, save_model
from maunet_lite.preprocessing import normalize

VARIANTS = {
    "whole": {},
    "no proxy": {"proxy": False},
    "no boundary": {"boundary": False},
    "no boundary, no proxy": {"boundary": False, "proxy": False},
    "no distance": {"distance": False},
    "instance norm": {"norm": "instance"},
}
CHANNELS = ["background", "interior", "boundary", "proxy", "distance"]
# torch warns of TorchScript, and its exporter and the zoo's library are not free of warnings of their own
others_warn = pytest.mark.filterwarnings("ignore")


def small(**heads: object) -> MAUNet:
    torch.manual_seed(0)
    return MAUNet(ModelConfig(**{"encoder": "lite:2", "widths": (0, 4, 6), "norm": "batch"} | heads)).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return simulate(
        "fluorescence", (150, 203), rng=np.random.default_rng(0)
    ).image  # no multiples of a stride


@pytest.mark.parametrize("heads", VARIANTS.values(), ids=VARIANTS.keys())
def test_exported_maps_are_those_of_predict(heads):
    image = np.random.default_rng(0).integers(0, 255, (128, 160), dtype=np.uint8)
    network = small(**heads)
    maps = ExportedMaps(network)
    assert maps.channels == [name for name in CHANNELS if heads.get(name, True)]
    scaled = torch.from_numpy(normalize(image, network.config.intensity)).movedim(-1, 0)[None]
    with torch.inference_mode():
        ours = named_maps(maps(scaled)[0].numpy(), maps.channels)
    theirs = predict(network, image, device="cpu")
    n = len(theirs.probabilities)  # two classes alone: there is no empty boundary in them
    np.testing.assert_allclose(ours.probabilities[:n], theirs.probabilities, atol=1e-5)
    assert not ours.probabilities[n:].any()
    assert (ours.distance is None) == (theirs.distance is None)
    if theirs.distance is not None:
        np.testing.assert_allclose(ours.distance, theirs.distance, atol=1e-5)


@others_warn
def test_torchscript_takes_any_size_and_says_how_to_use_it(tmp_path):
    network = small(proxy=False)
    network.settings = {"postprocess": {"foreground": 0.4}}
    file = save_model(network, tmp_path / "mine.safetensors")
    path, difference = export_model(file, "torchscript", tmp_path / "out")
    assert (path.name, difference) == ("mine.pt", pytest.approx(0, abs=1e-6))
    about = {"maunet": ""}
    loaded = torch.jit.load(path, _extra_files=about)
    assert json.loads(about["maunet"]) == {
        "intensity": small().config.intensity,
        "stride": 4,
        "channels": ["background", "interior", "boundary", "distance"],
        "postprocess": {"foreground": 0.4},
    }
    picture = torch.rand(2, 3, 8, 20)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(picture), ExportedMaps(load_model(file))(picture))


def test_the_hub_gets_its_folder(tmp_path):
    path, difference = export_model("lite", "huggingface", tmp_path / "mine")
    assert sorted(file.name for file in path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert difference == 0


def test_unknown_formats_and_missing_packages_are_explained(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=f"'caffe' is not known; choose one of {', '.join(MODEL_FORMATS)}"):
        export_model("lite", "caffe", tmp_path)
    monkeypatch.setitem(sys.modules, "bioimageio.core", None)
    with pytest.raises(ImportError, match=r'bioimageio needs bioimageio.core: pip install -e ".\[share\]"'):
        export_model("lite", "bioimageio", tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime is needed to run ONNX: pip install"):
        onnx_segment(np.zeros((8, 8)), tmp_path / "none.onnx")
    assert list(tmp_path.iterdir()) == []


# --- what takes long: their libraries --------------------------------------------------


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory) -> Path:
    pytest.importorskip("onnxruntime", reason="needs the extra [share]")
    out = tmp_path_factory.mktemp("onnx")
    done = CliRunner().invoke(app, ["export-model", "lite", "--format", "onnx", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert float(done.output.split()[-1]) < 1e-4, done.output
    return out / "lite.onnx"


@pytest.mark.slow
@others_warn
def test_onnx_finds_the_cells_that_torch_finds(onnx_file, image):
    assert np.array_equal(onnx_segment(image, onnx_file), segment(image, "lite", "cpu", scales=(1.0,)))
    tiny = image[:20, :31]
    assert np.array_equal(onnx_segment(tiny, onnx_file), segment(tiny, "lite", "cpu", scales=(1.0,)))
    with pytest.raises(FileNotFoundError, match="export-model lite --format onnx writes one"):
        onnx_segment(image, "nothing.onnx")


@pytest.mark.slow
@others_warn
def test_the_page_on_sharing_runs_where_there_is_no_torch(onnx_file, image, tmp_path):
    from maunet_lite.data import read_labels, write_image

    page = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text(encoding="utf-8")
    (code,) = [block.split("```")[0] for block in page.split("```python\n") if "onnx_segment" in block]
    write_image(tmp_path / "image.png", image)
    (tmp_path / "lite.onnx").write_bytes(onnx_file.read_bytes())
    no_torch = "import sys\nsys.modules['torch'] = sys.modules['monai'] = None\n"
    subprocess.run([sys.executable, "-c", no_torch + code], cwd=tmp_path, check=True)
    assert np.array_equal(read_labels(tmp_path / "labels.tiff"), segment(image, "lite", "cpu", scales=(1.0,)))


@pytest.mark.slow
@others_warn
@pytest.mark.parametrize("heads", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_every_kind_of_network_is_exported(kind, heads, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra [share]")
    file = save_model(small(**heads), tmp_path / "mine.safetensors")
    path, difference = export_model(file, kind, tmp_path / "out")
    assert path.exists()
    assert difference < 1e-4


@pytest.mark.slow
@others_warn
@pytest.mark.parametrize("returns", ["maps", "labels"])
def test_packages_pass_the_test_of_the_model_zoo(returns, tmp_path):
    pytest.importorskip("bioimageio.core", reason="needs the extra [share]")
    kind = {"maps": "bioimageio", "labels": "bioimageio-labels"}[returns]
    path, difference = export_model("lite", kind, tmp_path)
    assert path.name == f"lite_{returns}.zip"
    assert difference < 1e-4
    with zipfile.ZipFile(path) as package:
        text = package.read("bioimageio.yaml").decode()
        output = np.load(package.open("test_output.npy"))
    assert text.count("sha256") >= 5  # weights, source, test tensors, cover
    assert ("scale_range" in text, "onnx" in text) == (returns == "maps",) * 2
    assert output.shape[1] == (5 if returns == "maps" else 1)
    if returns == "labels":
        assert len(np.unique(output)) > 3


@pytest.mark.slow
@others_warn
def test_a_broken_package_does_not_pass(tmp_path, monkeypatch):
    pytest.importorskip("bioimageio.core", reason="needs the extra [share]")
    from maunet_lite.export.models import zoo

    monkeypatch.setattr(zoo, "by_percentiles", lambda image: image / 255)  # not what the package says
    with pytest.raises(ValueError, match="does not pass `bioimageio test`"):
        export_model(save_model(small(), tmp_path / "x.safetensors"), "bioimageio", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
