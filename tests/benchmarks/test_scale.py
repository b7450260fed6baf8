"""The benchmarks of scale, apart from their figures."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from benchmarks import growth, one_image, scale
from benchmarks.one_image import WATCHED, Clock, find, make_image
from maunet_lite.network import MAUNet, ModelConfig
from maunet_lite.scale import SlideNetwork


def test_stages_inside_a_stage_count_for_themselves_only():
    clock = Clock()
    with clock.stage("network"):
        time.sleep(0.02)
        with clock.stage("read"):
            time.sleep(0.2)
    assert 0.2 <= clock.seconds["read"]
    assert 0.02 <= clock.seconds["network"] < 0.2


def test_watched_function_returns_what_it_returned_and_is_counted():
    class Reader:
        def read(self, rows):
            time.sleep(0.01)
            return rows + 1

    clock = Clock()
    clock.watch(Reader, "read", "read")
    assert Reader().read(rows=2) == 3
    assert clock.seconds["read"] >= 0.01


@pytest.mark.parametrize(("module", "name", "stage"), WATCHED)
def test_parts_of_a_slides_job_are_where_the_clock_looks_for_them(module, name, stage):
    owner, function = find(module, name)
    assert callable(getattr(owner, function))


def test_another_network_answers_for_those_without_training_also_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(one_image, "WATCHED", [])
    monkeypatch.setattr(SlideNetwork, "maps", SlideNetwork.maps)  # put back what is replaced
    image = np.random.default_rng(0).integers(0, 255, (100, 140), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image)
    config = ModelConfig("lite:3", (0, 4, 6, 8), norm="batch")
    torch.manual_seed(0)
    one, two = MAUNet(config).eval(), MAUNet(config).eval()
    asked = []
    monkeypatch.setattr(MAUNet, "forward", spied(MAUNet.forward, asked))
    where = torch.device("cpu"), "4GiB", 1.0
    facts = one_image._in_blocks(Clock(), tmp_path / "a.tif", tmp_path / "b.tif", [one], two, (1.0,), *where)
    assert facts["blocks"] == 1
    assert facts["stand_in"] > 0
    assert len(asked) == 4, "both were asked, for the sample and for the block"


def spied(function, calls):
    """Return `function`, which also notes that it was called."""

    def noted(self, x):
        calls.append(x.shape)
        return function(self, x)

    return noted


def test_image_is_laid_out_from_fields_and_made_once(tmp_path):
    path = make_image(tmp_path / "images" / "a.tif", (530, 700), diameter=90)
    image = tifffile.imread(path)
    assert (image.shape, image.dtype) == ((530, 700), np.uint8)
    assert (image[:512, :188] != image[:512, 512:]).any()
    before = path.stat().st_mtime_ns
    assert make_image(path, (530, 700), diameter=90).stat().st_mtime_ns == before


def test_exponent_is_the_slope_on_logarithmic_axes():
    x = np.array([1.0, 10, 100])
    assert growth.exponent(x, 3 * x**1.5) == pytest.approx(1.5)
    assert growth.steepest(x, np.array([1.0, 10, 1000])) == pytest.approx(2)


def test_growth_above_the_limit_is_said():
    pixels = np.array([1e6, 1e7, 1e8])
    curves = {name: pixels * 1e-6 for name in growth.CURVES} | {"postprocessing": pixels**1.2 * 1e-6}
    part = pd.DataFrame({"against": "pixels", "pixels": pixels, "cells": pixels / 1000, **curves})
    table = pd.concat([part, part.assign(against="cells")])
    found = growth.fits(table)
    assert (found["at most 1.1"] == "above").tolist() == [False, False, True, False] * 2


def test_table_stands_beside_the_papers_and_is_measured_once(tmp_path, monkeypatch, capsys):
    calls = []

    def measure(image, recipe, device, memory, networks, repeat, gpu_memory):
        calls.append((image.stem, recipe, repeat))
        stages = {"start": 1.0, "read": 0.5, "network": 2.0, "postprocessing": 0.25, "write": 0.125}
        return {**stages, "cells": 1234, "blocks": 1, "total": 19.34, "ram_mib": 600, "gpu_mib": None}

    monkeypatch.setattr(scale, "measure", measure)
    monkeypatch.setattr(scale, "make_image", lambda path, shape: path)
    monkeypatch.setattr(scale, "commit", lambda: "3020e11")  # looks like a number
    monkeypatch.setattr("sys.argv", ["scale", "--out", str(tmp_path), "--sizes", "640x480"])
    scale.main()
    scale.main()
    assert calls == [("640x480", "lite", 3)]
    row = "| 640×480 | lite | 1,234 | 1.00 | 0.50 | 2.00 | 0.25 | 0.12 | 19.34 | 9.67 | 2.00 | 600 | – | "
    assert capsys.readouterr().out.count(row) == 2
