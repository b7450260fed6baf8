"""Do the files that install the kit agree, and is it quick to start?"""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import maunet_lite

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# where conda-forge uses another name than pip
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "nbconvert": "nbconvert-core",
    "lazy-loader": "lazy_loader",
    "huggingface-hub": "huggingface_hub",
    "build": "python-build",
}


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def constraints() -> list[Requirement]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_constraints_are_exact_public_versions():
    for pin in constraints():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"{pin} is not one exact public version"
    torch = next(pin for pin in constraints() if pin.name == "torch")
    assert str(torch.specifier) == "==2.13.0"


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_every_direct_dependency_has_one_exact_version_within_its_range(python):
    pins = {}
    for pin in constraints():
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            assert canonicalize_name(pin.name) not in pins, f"{pin.name} is pinned twice for Python {python}"
            pins[canonicalize_name(pin.name)] = pin
    for name, requirement in requirements(*EXTRAS).items():
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            version = next(iter(pins[name].specifier)).version
            assert requirement.specifier.contains(Version(version)), (
                f"{requirement} excludes the pinned {version}"
            )


def test_conda_environment_agrees_with_the_package():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    pip = next(line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    assert "-e ." in pip
    assert f"python{PROJECT['requires-python']}" in conda
    listed = {
        Requirement(line).name: Requirement(line).specifier
        for line in conda + pip
        if not line.startswith("-e")
    }
    wanted = {
        name if name in [Requirement(line).name for line in pip if not line.startswith("-e")] else
        CONDA_NAMES.get(name, name): requirement.specifier for name, requirement in requirements("course",
        "scale", "export", "dev").items()
    }  # fmt: skip
    assert {name: str(spec) for name, spec in listed.items() if name not in ("python", "pip")} == {
        name: str(spec) for name, spec in wanted.items()
    }


def test_no_file_names_a_registry_host():
    hosts = re.compile(
        "|".join(("pypi" + r"\.org", "python" + "hosted", "conda" + r"\.anaconda", "download" + r"\.pytorch"))
    )
    for name in (
        "pyproject.toml",
        "constraints.txt",
        "environment.yml",
        "Makefile",
        ".ci/run",
        ".github/workflows/ci.yml",
        ".github/workflows/release.yml",
        "Dockerfile",
    ):
        assert not hosts.search((REPOSITORY / name).read_text(encoding="utf-8")), name


def test_required_dependencies_leave_out_torchvision_and_what_needs_it():
    assert not {"torchvision", "timm", "torchmetrics", "lightning"} & set(
        requirements("course", "scale", "export", "dev")
    )


def test_the_package_alone_needs_no_jupyter():
    course = {
        "jupyterlab",
        "ipykernel",
        "ipywidgets",
        "plotly",
        "anywidget",
        "papermill",
        "nbconvert",
        "nbformat",
    }
    assert course | {"jupytext"} == set(requirements("course")) - set(requirements())
    code = "import maunet_lite.cli.main, maunet_lite as ml, numpy; ml.segment(numpy.zeros((32, 40), 'uint8'))"
    check = f"import sys; {code}; print({course!r} & set(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert out.stdout.strip() == "set()"


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == maunet_lite.__version__ == citation["version"]


def test_package_loads_nothing_heavy_until_asked():
    heavy = "torch", "monai", "sklearn", "matplotlib", "pandas", "numpy", "typer"
    code = f"import sys, maunet_lite, maunet_lite.course; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(set(maunet_lite.__all__) - {"__version__"}))
def test_every_exported_name_exists(name):
    thing = getattr(maunet_lite, name)
    assert callable(thing) or thing.__name__ == f"maunet_lite.{name}"  # a room
    assert name in dir(maunet_lite)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="segmnt"):
        _ = maunet_lite.segmnt


@pytest.mark.skipif(sys.platform == "win32", reason="the file mode means nothing there")
def test_ci_script_can_be_executed():
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()


@needs_make
def test_makefile_lists_its_commands():
    out = subprocess.run(["make", "-s"], capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout
    for target in ("notebooks", "test", "lint", "lab", "bench", "clean", "publish"):
        assert f"make {target} " in out


@needs_make
def test_makefile_names_a_python_that_is_too_old(tmp_path):
    old = tmp_path / "python2.7"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 2.7.18"\nexit 1\n')
    old.chmod(0o755)
    out = subprocess.run(
        ["make", "-s", "test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert out.returncode != 0
    assert "needs Python 3.11 or newer" in out.stdout + out.stderr
    assert "Python 2.7.18" in out.stdout + out.stderr


def test_every_file_of_the_package_is_installed():
    package = REPOSITORY / "maunet_lite"
    patterns = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = patterns["tool"]["setuptools"]["package-data"]["maunet_lite"]
    installed = {path for pattern in ("**/*.py", *patterns) for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert files - installed == set()


SEGMENT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, maunet_lite as ml
assert ml.__file__.startswith(sys.argv[1]), ml.__file__
disc = np.hypot(*np.mgrid[-40:40, -50:50]) < 15
labels = ml.segment((disc * 200).astype(np.uint8), device="cpu")
print(labels.shape, labels.max(), *{"jupyterlab", "papermill", "nbformat", "ipywidgets"} & set(sys.modules))
"""


@pytest.mark.slow
def test_wheel_made_from_the_sdist_segments_an_image_outside_the_checkout(tmp_path):
    pytest.importorskip("build", reason="needs the extra [dev]")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text.md"):
        (tmp_path / "src").mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / "src")
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("maunet_lite", "benchmarks/results"):
        shutil.copytree(REPOSITORY / folder, tmp_path / "src" / folder, ignore=ignored)
    dist, site = tmp_path / "dist", tmp_path / "site"
    how = {"check": True, "cwd": tmp_path, "capture_output": True, "text": True}
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, tmp_path / "src"], **how
    )
    (wheel,), (_,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    results = "data/share/maunet-lite/results/ablation.csv"  # what notebooks draw without a checkout
    assert any(name.endswith(results) for name in zipfile.ZipFile(wheel).namelist())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site]
    subprocess.run([*pip, wheel], **how)
    out = subprocess.run([sys.executable, "-I", "-c", SEGMENT, site], **how).stdout
    assert out.split() == ["(80,", "100)", "1"]
    package, tracked = site / "maunet_lite", REPOSITORY / "maunet_lite"
    for path in tracked.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (package / path.relative_to(tracked)).is_file(), path


TYPED = """
import numpy as np
import maunet_lite as ml

network = ml.load_model("lite")
labels = ml.segment(np.zeros((8, 8)), network)
reveal_type(network)
reveal_type(labels)
reveal_type(ml.MAUNet.from_pretrained("lite"))
ml.load_model(3)
"""


def test_stubs_name_modules_and_no_folders_whose_names_come_later():
    """What a folder loads on first use is of type Any to whoever reads the types."""
    for stub in sorted((REPOSITORY / "maunet_lite").glob("*/__init__.pyi")):
        for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = stub.parent.joinpath(*node.module.split("."))
                init = module / "__init__.py"
                assert module.with_suffix(".py").is_file() or "lazy" not in init.read_text(), (
                    f"{stub}: {module}"
                )


@pytest.mark.slow
def test_types_of_public_names_reach_whoever_uses_them(tmp_path):
    pytest.importorskip("mypy", reason="needs the extra [dev]")
    (tmp_path / "user.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--ignore-missing-imports"]
    command += ["--follow-imports=silent", "--no-error-summary", str(tmp_path / "user.py")]
    out = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout
    said = [line.partition("user.py:")[2].split(" ", 1) for line in out.splitlines() if "user.py:" in line]
    found = [(int(line.rstrip(":")), text) for line, text in said]
    reveals = [text for _, text in found if "Revealed" in text]
    assert ["MAUNet" in reveals[0], "ndarray" in reveals[1], "MAUNet" in reveals[2]] == [True] * 3, out
    assert [line for line, text in found if text.startswith("error")] == [10], out


def test_every_public_name_is_there_for_tools_that_read_types_too():
    tree = ast.parse((REPOSITORY / "maunet_lite" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    named = {alias.asname: node.module for node in block.body for alias in node.names}
    rooms = {path.name for path in (REPOSITORY / "maunet_lite").iterdir() if path.is_dir()}
    assert set(named) == set(maunet_lite.__all__) - rooms - {"__version__"}
    for name, module in named.items():
        assert getattr(importlib.import_module(module), name) is getattr(maunet_lite, name)


def test_the_image_installs_what_the_makefile_installs():
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    copied = re.search(r"^COPY (pyproject.*) \./$", text, re.M)[1].split()
    assert all((REPOSITORY / name).is_file() for name in copied)
    assert set(PROJECT["license-files"]) | {PROJECT["readme"]} <= set(copied)
    assert "make install" in text
    assert '["make", "notebooks"]' in text
