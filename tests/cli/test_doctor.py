"""What doctor says about made-up machines, and about this one."""

from __future__ import annotations

import importlib.metadata

import pytest
from typer.testing import CliRunner

from maunet_lite.cli.doctor import check_speed, diagnose, explain_device, format_findings
from maunet_lite.cli.main import app

CPU = dict(version="2.13.0+cpu", built_for=None, gpus=[], mps=False, driver=False, visible=None)
CUDA = CPU | dict(version="2.13.0", built_for="CUDA 13.0", gpus=["H200 (139 GiB)"], driver=True)


@pytest.mark.parametrize(("hardware", "state", "says", "advises"), [
    (CUDA, "ok", "GPU: H200", ""),
    (CPU, "note", "no GPU was found", "quick"),
    (CPU | dict(mps=True), "ok", "MPS", ""),
    (CPU | dict(driver=True), "problem", "built without GPU support", "CUDA build"),
    (CUDA | dict(gpus=[]), "problem", "driver does not work with it", "nvidia-smi"),
    (CUDA | dict(gpus=[], driver=False), "note", "no NVIDIA driver", "install its driver"),
    (CUDA | dict(gpus=[], visible=""), "problem", "CUDA_VISIBLE_DEVICES='' hides", "unset"),
    (CUDA | dict(gpus=[], visible="-1"), "problem", "hides every GPU", "unset"),
    (CUDA | dict(gpus=[], visible="0"), "problem", "driver does not work with it", "nvidia-smi"),
])  # fmt: skip
def test_doctor_says_which_device_is_used_and_why(hardware, state, says, advises):
    finding = explain_device(**hardware)
    assert finding.state == state
    assert says in finding.text
    assert advises in finding.advice


def test_doctor_answers():
    topics = [finding.topic for finding in diagnose(speed=False)]
    assert topics[0] == "device"
    assert {"cores", "memory", "disk", "kit", "packages", "[scale]", "[timm]"} <= set(topics)
    result = CliRunner().invoke(app, ["doctor", "--no-speed"])
    assert result.exit_code == 0
    assert "device" in result.stdout


def test_doctor_measures_speed():
    finding = check_speed(side=64, repeats=1)
    assert "megapixels per second" in finding.text
    assert "→ do this" in format_findings([finding._replace(state="note", advice="do this")])


def test_doctor_reads_what_the_kit_needs_from_its_own_metadata(monkeypatch):
    lines = ["numpy>=1.26", "no-such-thing", 'zarr>=3; python_version >= "3.11" and extra == "scale"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    findings = {finding.topic: finding for finding in diagnose(speed=False)}
    packages, scale = findings["packages"], findings["[scale]"]
    assert packages.state == "problem"
    assert packages.text.startswith("not installed: no-such-thing, numpy ")
    assert "-e '.'" in packages.advice
    assert "'.[scale]'" in scale.advice
    assert scale.state == ("ok" if scale.text.startswith("zarr ") else "note")


def test_doctor_says_when_the_kit_itself_is_not_installed(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.requires", missing)
    monkeypatch.setattr("importlib.metadata.version", missing)
    packages = next(finding for finding in diagnose(speed=False) if finding.topic == "packages")
    assert (packages.state, packages.text) == ("problem", "not installed: maunet-lite")
