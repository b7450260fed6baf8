"""Peers run in environments of their own: what comes back is scored like the kit's own labels."""

from __future__ import annotations

import json
import sys
import textwrap
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import peers
from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation.scoreboard import summary

COPY_THE_TRUTH = """
import json, pathlib, shutil, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(job["out"])
(out / "labels").mkdir()
for image, label in job["val"]:
    shutil.copy(label, out / "labels" / (pathlib.Path(image).stem + "_label.tiff"))
about = {"version": "1", "train": len(job["train"]), "weights": job["weights"]}
(out / "about.json").write_text(json.dumps(about))
"""


@pytest.fixture
def samples() -> CellDataset:
    """The images that ship with the kit."""
    return load_dataset("samples")


def test_a_peer_gets_its_job_and_its_labels_are_scored(
    samples: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(COPY_THE_TRUTH)
    monkeypatch.setitem(peers.WORKERS, "stardist", worker)
    options = Namespace(out=tmp_path, minutes=3)
    table, about = peers.run_peer("stardist", sys.executable, samples, options, "2D_versatile_fluo")
    assert summary(table).loc["all", "mean_f1"] == 1
    assert about == {
        "version": "1", "train": len(samples.split("train").labelled()), "weights": "2D_versatile_fluo",
    }  # fmt: skip
    worker.write_text("raise SystemExit('must not run twice')")
    peers.run_peer("stardist", sys.executable, samples, options, "2D_versatile_fluo")
    job = json.loads((tmp_path / "stardist-2D_versatile_fluo" / "job.json").read_text())
    assert job["minutes"] == 3


def test_a_peer_that_fails_says_why(
    samples: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit('no network here')")
    monkeypatch.setitem(peers.WORKERS, "cellpose", worker)
    with pytest.raises(RuntimeError, match="no network here"):
        peers.run_peer("cellpose", sys.executable, samples, Namespace(out=tmp_path, minutes=1), "cyto3")


def test_commands_run_on_one_core_with_one_thread(tmp_path: Path) -> None:
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    if not hasattr(peers.os, "sched_getaffinity"):
        pytest.skip("this system does not say on which cores a process runs")
    peers.on_one_core([sys.executable, "-c", code], tmp_path / "log")
    assert (tmp_path / "log").read_text().split() == ["1", "1"]


FAKES = {  # what the workers call of each package, and nothing that its present version lacks
    "cellpose": """
        import torch

        class models:
            class CellposeModel:
                net = torch.nn.Linear(1, 1)

                def __init__(self, gpu, pretrained_model):
                    if pretrained_model == "gone":
                        raise OSError("no route to host")

                def eval(self, x, *, diameter):
                    return np.ones(x.shape[:2], np.uint16), None, None
    """,
    "instanseg": """
        import torch

        class InstanSeg:
            instanseg = torch.nn.Linear(1, 1)

            def __init__(self, name, device, verbosity):
                if name == "gone":
                    raise RuntimeError("no route to host")

            def eval_small_image(self, image, *, target, return_image_tensor):
                return torch.ones(1, 1, *image.shape[:2])
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("cellpose", "cellpose"), ("instanseg", "instanseg-torch")])
def test_workers_speak_the_present_language_of_their_packages(
    name: str, package: str, samples: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, info = tmp_path / "site" / name, tmp_path / "site" / f"{package.replace('-', '_')}-4.1.dist-info"
    fake.mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 4.1\n")
    code = "import numpy as np\n" + textwrap.dedent(FAKES[name])
    (fake / "__init__.py").write_text(code)
    (fake / "io.py").write_text("from imageio.v3 import imread\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    options = Namespace(out=tmp_path, minutes=1)
    table, about = peers.run_peer(name, sys.executable, samples, options, "there")
    assert about == {"parameters": 2, "version": "4.1"}
    assert (table["error"] == "").all()  # one label map for each image, of its size
    with pytest.raises(RuntimeError, match="the weights gone cannot be had here: no route to host"):
        peers.run_peer(name, sys.executable, samples, options, "gone")
