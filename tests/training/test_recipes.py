"""Recipes: the paper's tables, changes by name, records that can be repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maunet_lite.network import load_model, save_model
from maunet_lite.training.methods import build_network
from maunet_lite.training.recipes import RECIPES, TrainConfig, recipe, seed_everything


def test_paper_supervised_is_table_2() -> None:
    config = recipe("paper-supervised")
    assert (config.batch_size, config.augmentation.patch, config.epochs) == (16, 512, 1000)
    assert (config.learning_rate, config.schedule, config.method) == (6e-4, "step", "supervised")
    assert config.augmentation.zoom == (0.25, 2.0)
    assert config.imagenet


def test_paper_semi_is_table_3() -> None:
    config = recipe("paper-semi")
    assert (config.batch_size, config.epochs, config.consistency_weight) == (16, 700, 1.5)
    assert (config.learning_rate, config.schedule, config.method) == (6e-4, "step", "cr")
    assert config.unlabelled is not None


def test_lite_prepares_for_images_that_it_has_not_seen() -> None:
    lite, plain, paper = (recipe(name) for name in ("lite", "lite-plain", "paper-r50"))
    assert (lite.augmentation.sizes, lite.augmentation.patch, lite.balance) == ((9, 80), 256, 0.35)
    assert lite.learning_rate == 1e-3
    changes = [name for name in vars(lite.augmentation) if name.startswith("p_") and name != "p_intensity"]
    assert all(getattr(lite.augmentation, name) > 0 for name in changes)
    for config in (plain, paper):
        assert config.augmentation.sizes is None
        assert not any(getattr(config.augmentation, name) for name in changes[2:])


def test_networks_know_which_sizes_they_were_trained_for(tmp_path: Path) -> None:
    small = recipe("lite").override(network={"encoder": "lite:8-8", "widths": (0, 8, 8)})
    network = build_network(small)
    assert network.settings == {"sizes": [9, 80]}
    save_model(network, tmp_path / "sized.safetensors")
    assert load_model(tmp_path / "sized.safetensors").settings == network.settings
    plain = recipe("lite-plain").override(start_from=str(tmp_path / "sized.safetensors"))
    assert build_network(plain).settings == {"sizes": [9, 80]}, "weights keep what they know"
    assert build_network(replace(small, augmentation=plain.augmentation)).settings == {}


def test_records_of_earlier_runs_mean_what_they_meant(tmp_path: Path) -> None:
    path, fields = tmp_path / "config.json", {"patch": 256, "zoom": [0.5, 2.0], "p_resize": 0.5}
    path.write_text(json.dumps({"steps": 5, "augmentation": fields}))
    config = recipe(str(path)).augmentation
    assert (config.patch, config.zoom, config.sizes, config.p_intensity) == (256, (0.5, 2.0), None, 0.25)
    assert config.p_colour == config.p_sparse == config.p_noise == 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_record_repeats_a_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(RECIPES[name].to_dict()))
    assert recipe(str(path)) == RECIPES[name]


def test_override_reaches_into_parts() -> None:
    config = recipe("lite").override(patch=64, zoom=[1, 1.5], beta=2.0, minutes=3)
    assert (config.augmentation.patch, config.augmentation.zoom) == (64, (1, 1.5))
    assert (config.targets.beta, config.minutes) == (2.0, 3)
    assert recipe("lite").augmentation.patch != 64


def test_a_given_budget_replaces_that_of_the_recipe() -> None:
    assert recipe("lite").total_steps(epoch_length=10) is None  # it has one: 15 minutes
    assert recipe("lite").override(patch=64).minutes == 15
    steps = recipe("lite").override(steps=3)
    assert (steps.steps, steps.minutes) == (3, None)
    both = steps.override(minutes=2, epochs=1)
    assert (both.steps, both.minutes, both.epochs) == (None, 2, 1)
    assert both.override(minutes=None).epochs == 1


def test_budget_is_the_first_limit() -> None:
    assert TrainConfig(steps=100, epochs=2).total_steps(epoch_length=10) == 20
    assert TrainConfig(steps=10, epochs=2).total_steps(epoch_length=10) == 10
    assert TrainConfig(minutes=1).total_steps(epoch_length=10) is None
    with pytest.raises(ValueError, match="no budget"):
        TrainConfig().total_steps(epoch_length=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "supervised, cr"),
        ({"schedule": "linear"}, "cosine, step"),
        ({"minutes": 0}, "minutes=0 must be a number above 0 or none"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be a number above 0"),
        ({"labelled_fraction": 1.5}, "labelled_fraction=1.5 must be a number from 0 to 1"),
        ({"labelled_fraction": 0}, "nothing to learn from"),
        ({"lerning_rate": 1}, "learning_rate"),
        ({"method": "cr"}, "labelled_fraction below 1"),
        ({"method": "cr", "labelled_fraction": 0.5, "unlabelled": "more"}, "one of both"),
        ({"unlabelled": "more"}, "unlabelled='more' is of no use without method='cr'"),
        ({"validation_images": 0}, "must be a whole number above 0"),
        ({"workers": -1}, "workers=-1 must be a whole number of at least 0"),
        ({"steps": "abc"}, "steps='abc' must be a whole number above 0 or none"),
        ({"seed": "abc"}, "seed='abc' must be a whole number"),
        ({"clip_norm": "abc"}, "clip_norm='abc' must be a number"),
        ({"zoom": 3}, "zoom=3 must be a list of 2, each a number"),
        ({"network": "resnet18"}, "network='resnet18' must be names with values"),
        ({"network": {"proxy": False}}, "set proxy"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be a whole number"),
        ({"patch": "abc"}, "patch='abc' must be a whole number"),
        ({"proxy": 1}, "proxy=1 must be true or false"),
        ({"leave_out": [1]}, "must be a list, each a text"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe("lite").override(**change)


def test_unknown_recipes_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="paper-supervised"):
        recipe("papper")


def test_seed_everything_makes_torch_and_numpy_repeat() -> None:
    one = (seed_everything(3).random(), torch.rand(1).item())
    assert one == (seed_everything(3).random(), torch.rand(1).item())


def test_recipes_seeds_and_preprocessing_do_not_load_monai() -> None:
    """It takes three seconds: only what trains, or augments, pays for it."""
    code = (
        "import sys, maunet_lite as ml; from maunet_lite import preprocessing as p, training as t\n"
        "t.recipe('lite'); t.seed_everything(0); p.AugmentationConfig, p.TargetConfig, p.normalize\n"
        "sys.exit('monai' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
