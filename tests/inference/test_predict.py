"""Windows, blending, scales, ensembles: from an image of any size to maps and labels."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from maunet_lite.data import read_image
from maunet_lite.data.checks import ImageError
from maunet_lite.evaluation.metrics import match_cells
from maunet_lite.inference import ensembles, memory, prepared
from maunet_lite.inference.cells.segment import segment
from maunet_lite.inference.devices import resolve_device
from maunet_lite.inference.ensembles import Heads
from maunet_lite.inference.predict import default_window, predict
from maunet_lite.inference.prepared import Prepared, prepare, run_windows
from maunet_lite.inference.windows import (
    blending_profile,
    mirrored,
    plan_axis,
    resample,
    taps,
    window_starts,
)
from maunet_lite.network import load_model, save_model
from maunet_lite.network.maunet import MAUNet, ModelConfig, Output
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.segment import connected_interiors
from maunet_lite.postprocessing.segment import segment as postprocess
from maunet_lite.preprocessing.intensity import normalize

MODULE = importlib.import_module("maunet_lite.inference.predict")  # its name in the room is the function

CPU = torch.device("cpu")


class NoEncoder(nn.Module):
    """Average pooling at strides 2 and 4, in place of an encoder."""

    channels = (3, 3)
    strides = (2, 4)

    def forward(self, x):
        return [nn.functional.avg_pool2d(x, 2), nn.functional.avg_pool2d(x, 4)]


class Identity(MAUNet):
    """A network that says what it sees: its logits are the three channels, its distance is the red one.

    As it looks at nothing around a pixel, whatever `predict` does must give the image back.
    """

    def __init__(self, **fields) -> None:
        super().__init__(ModelConfig("none", (4, 4, 4), norm="batch", **fields), NoEncoder())
        self.offset = 0.0

    def forward(self, x):
        channels = [x + self.offset, torch.ones_like(x[:, :1])]
        logits = torch.cat(channels, dim=1)[:, : self.n_classes]
        if self.config.proxy:
            logits = torch.cat([logits, torch.ones_like(x[:, :1])], dim=1)
        return Output(logits, x[:, :1] + self.offset if self.config.distance else None)


def small(norm: str = "batch", **fields) -> MAUNet:
    torch.manual_seed(0)
    return MAUNet(ModelConfig("lite:3", (0, 4, 6, 8), norm=norm, **fields)).eval()


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """An image that changes slowly, so that resizing it loses little."""
    rows, columns = np.mgrid[:height, :width]
    return 100 + 50 * np.sin(rows / 40) + 50 * np.cos(columns / 50)


# --- arithmetic of windows --------------------------------------------------


def test_mirror_by_eye():
    assert mirrored(np.arange(-4, 8), 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]
    assert mirrored(np.arange(-3, 4), 1).tolist() == [0] * 7


def test_mirror_is_numpys_symmetric_padding():
    x = np.arange(5)
    for before, after in ((0, 3), (7, 20), (2, 0)):
        expected = np.pad(x, (before, after), mode="symmetric")
        assert (x[mirrored(np.arange(-before, 5 + after), 5)] == expected).all()


@pytest.mark.parametrize(
    ("length", "window", "overlap", "expected"),
    [
        (300, 512, 128, (320, [0])),  # one window, filled up to a multiple of 32
        (512, 512, 128, (512, [0])),
        (1, 512, 128, (128, [0])),  # never smaller than 128 …
        (1, 64, 0, (64, [0])),  # … unless asked for
        (1024, 512, 128, (448, [0, 288, 576])),  # three windows, no larger than needed
        (1024, 512, 0, (512, [0, 512])),
        (4096, 512, 480, (512, [32 * i for i in range(113)])),
    ],
)
def test_window_starts_by_hand(length, window, overlap, expected):
    assert window_starts(length, window, overlap, 32) == expected


@pytest.mark.parametrize("length", [1, 2, 31, 33, 127, 128, 129, 500, 513, 777, 1024, 2049])
@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 0.5, 0.3])
@pytest.mark.parametrize(
    ("window", "overlap", "stride"), [(512, 128, 32), (128, 32, 16), (64, 60, 4), (96, 0, 32)]
)
def test_plan_covers_every_pixel_once(length, scale, window, overlap, stride):
    """Weights sum to one everywhere, windows are of one size, and no index leaves its pixels."""
    plan = plan_axis(length, scale, window, overlap, stride)
    total = np.zeros(length)
    sides = {w.sample.index.shape[1] for w in plan}
    assert len(sides) == 1
    side = sides.pop()
    assert side <= window
    assert side % stride == 0
    for w in plan:
        total[w.target] += w.weight
        assert 0 <= w.source.start < w.source.stop <= length
        assert w.sample.index.max() < w.source.stop - w.source.start
        assert w.restore.index.max() < side
        assert w.restore.index.shape[1] == len(w.weight) == w.target.stop - w.target.start
        for how in (w.sample, w.restore):
            np.testing.assert_allclose(how.weight.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_blending_is_smooth_and_symmetric():
    profile = blending_profile(np.arange(20) + 0.5, size=20, ramp=8)
    assert (profile == profile[::-1]).all()
    assert (profile[8:12] == 1).all()
    np.testing.assert_allclose(
        profile[:8] + profile[7::-1], 1
    )  # rising and falling ramps complete each other
    assert np.abs(np.diff(profile)).max() < 0.2


def test_resampling_by_hand():
    """Twice as many pixels: a quarter and three quarters of the neighbours; at the ends, the last pixel."""
    x = torch.tensor([[[0.0], [4.0]]])  # (1, 2, 1)
    _, how = taps((np.arange(4) + 0.5) / 2 - 0.5, 2, step=0.5)
    assert resample(x, how, -2).flatten().tolist() == [0, 1, 3, 4]
    _, how = taps((np.arange(2) + 0.5) * 2 - 0.5, 4, step=2)
    fine = torch.tensor([[[0.0, 1.0, 3.0, 4.0]]])
    # positions 0.5 and 2.5; pixels up to 2 away count with 1 − d/2: (0.75, 0.75, 0.25) and its mirror
    assert resample(fine, how, -1).flatten().tolist() == pytest.approx([1.5 / 1.75, 5.5 / 1.75])


def test_fine_noise_is_averaged_when_the_image_is_made_smaller():
    stripes = torch.arange(64.0).remainder(2)[None, None]
    pixels, how = taps((np.arange(16) + 0.5) * 4 - 0.5, 64, step=4)
    inner = resample(stripes[..., pixels], how, -1)[..., 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 500}, "window is 500; it must be a multiple of 32: use 480"),
        ({"window": 16}, "window is 16; .* use 32"),
        ({"overlap": 490}, r"overlap is 490 pixels; for windows of 512 it must be in \[0, 480\]"),
        ({"overlap": -1}, "overlap is -1 pixels"),
    ],
)
def test_impossible_windows_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        plan_axis(1000, **options)


# --- what comes in comes out --------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (37, 61), (128, 128), (130, 301), (400, 90)])
@pytest.mark.parametrize("window", [64, 128, None])
def test_identity_network_gives_the_image_back(shape, window):
    """Any size, odd, tiny or larger than a window: cutting and blending lose nothing."""
    image = picture(*shape)
    maps = predict(Identity(), image, window=window, device="cpu")
    assert maps.probabilities.shape == (4, *shape)
    assert maps.probabilities.dtype == maps.distance.dtype == np.float32
    np.testing.assert_allclose(maps.distance, normalize(image)[..., 0], atol=1e-6)
    np.testing.assert_allclose(maps.probabilities.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [1.25, 1.5, 0.5, 2.0])
def test_scaling_there_and_back_keeps_a_smooth_image(scale):
    image = smooth(150, 333)
    maps = predict(Identity(), image, scales=(scale,), window=128, device="cpu")
    np.testing.assert_allclose(maps.distance, normalize(image)[..., 0], atol=0.02)


def test_colour_images_keep_their_channels():
    image = picture(40, 50, 3)
    maps = predict(Identity(proxy=False), image, device="cpu")
    expected = torch.from_numpy(normalize(image)).permute(2, 0, 1).softmax(dim=0)
    np.testing.assert_allclose(maps.probabilities, expected, atol=1e-6)


def test_grey_images_are_grey_in_every_channel():
    image = picture(40, 50)
    one, three = (predict(small(), i, device="cpu") for i in (image, np.stack([image] * 3, axis=-1)))
    np.testing.assert_allclose(one.distance, three.distance, atol=1e-6)


def test_one_window_is_the_plain_network():
    """Where an image is one window of fitting size, `predict` is the network and a softmax, nothing else."""
    model, image = small("instance"), picture(128, 160)
    x = torch.from_numpy(normalize(image)).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits, distance = model(x)
    maps = predict(model, image, device="cpu")
    np.testing.assert_allclose(maps.probabilities, logits.softmax(dim=1)[0], atol=1e-5)
    np.testing.assert_allclose(maps.distance, distance[0, 0], atol=1e-4)


# --- seams --------------------------------------------------


def test_windows_equal_the_whole_image_away_from_window_borders():
    """With batch normalisation a pixel depends on its surroundings only: windows say what the whole says.

    This network sees about 50 pixels to each side; windows share 112. Blending gives the rim of a window,
    which lacks part of its surroundings, little weight: 1 in 1000 of the values' spread on average, and 1 in
    20 at the worst pixel.
    """
    model, image = small(), smooth(256, 384) + 40 * np.random.default_rng(0).random((256, 384))
    whole = predict(model, image, device="cpu")
    windows = predict(model, image, window=192, overlap=112 / 192, device="cpu")
    difference = np.abs(whole.distance - windows.distance) / whole.distance.std()
    assert difference.mean() < 1e-3
    assert difference.max() < 0.05


class Mean(Identity):
    """A network that says the mean of its window everywhere: windows disagree as much as they can."""

    def forward(self, x):
        return super().forward(x.mean((2, 3), keepdim=True).expand_as(x))


def test_no_seam_where_windows_disagree():
    """The map rises by the difference of two windows over the 32 pixels they share, most in the middle."""
    image = np.zeros((96, 416), dtype=np.uint8)
    image[:, 208:] = 200
    _, starts = window_starts(416, 128, 32, 4)
    assert starts == [0, 96, 192, 288]
    distance = predict(Mean(), image, window=128, overlap=0.25, device="cpu").distance
    # The means of the windows: all black, 16 columns bright, 112 columns bright, all bright.
    low, high = distance[0, 0], distance[0, -1]
    steps = np.diff([low, low + (high - low) * 16 / 128, low + (high - low) * 112 / 128, high])
    jumps = np.abs(np.diff(distance[40]))
    assert jumps.max() == pytest.approx(1.5 / 32 * steps.max(), rel=0.01)
    assert np.abs(np.diff(distance, axis=0)).max() < 1e-6


def test_a_seam_would_be_noticed(monkeypatch):
    """Windows that are laid side by side instead of blended fail the test above."""
    monkeypatch.setattr(
        "maunet_lite.inference.windows.blending_profile", lambda p, size, ramp: ((p > 0) & (p < size)) * 1.0
    )
    with pytest.raises(AssertionError):
        test_no_seam_where_windows_disagree()


# --- scales and ensembles --------------------------------------------------


def test_ensemble_is_the_mean_of_logits_and_of_distances():
    one, two = Identity(), Identity()
    two.offset = 0.5
    image = picture(24, 32)
    red = normalize(image)[..., 0]
    maps = predict([one, two], image, device="cpu")
    np.testing.assert_allclose(maps.distance, red + 0.25, atol=1e-6)
    logits = torch.from_numpy(np.stack([red + 0.25] * 3 + [np.ones_like(red)]))
    np.testing.assert_allclose(maps.probabilities, logits.softmax(dim=0), atol=1e-6)


def test_scales_are_averaged():
    image = smooth(64, 96)
    alone = [predict(small(), image, scales=(s,), device="cpu") for s in (1.0, 1.25, 1.5)]
    together = predict(small(), image, scales=MODULE.PUBLISHED_SCALES, device="cpu")
    np.testing.assert_allclose(together.distance, np.mean([a.distance for a in alone], axis=0), atol=1e-5)
    # log p is a logit minus something that all classes share, which softmax takes out again
    logits = torch.from_numpy(np.mean([np.log(a.probabilities) for a in alone], axis=0))
    np.testing.assert_allclose(together.probabilities, logits.softmax(dim=0), atol=1e-5)


def test_large_images_are_seen_at_one_scale():
    image = picture(32, 48)
    one, several = (predict(small(), image, scales=s, device="cpu") for s in ((1.0,), (0.5, 1.0, 1.5)))
    limited = predict(small(), image, scales=(0.5, 1.0, 1.5), single_scale_above=32 * 48 - 1, device="cpu")
    allowed = predict(small(), image, scales=(0.5, 1.0, 1.5), single_scale_above=32 * 48, device="cpu")
    assert np.array_equal(limited.distance, one.distance)
    assert np.array_equal(allowed.distance, several.distance)


@pytest.mark.parametrize(("proxy", "distance", "boundary"), list(product([True, False], repeat=3)))
def test_every_ablation_goes_through_to_labels(proxy, distance, boundary):
    """Without proxy, distance decoder or boundary class: maps that post-processing understands."""
    model = small(proxy=proxy, distance=distance, boundary=boundary)
    maps = predict(model, picture(40, 56), device="cpu")
    # Maps know the proxy as fourth channel, so that a missing boundary class is a boundary of zero.
    assert maps.probabilities.shape[0] == (4 if proxy else 2 + boundary)
    np.testing.assert_allclose(maps.probabilities.sum(axis=0), 1, atol=1e-6)
    if proxy and not boundary:
        assert (maps.probabilities[2] == 0).all()
    assert (maps.distance is not None) == distance
    assert postprocess(maps).labels.shape == connected_interiors(maps).shape == (40, 56)


def test_ensemble_with_and_without_proxy_keeps_the_classes():
    """By hand for one pixel: mean of log p of the classes, where one p includes a proxy of the same logit."""
    with_proxy, without = Identity(), Identity(proxy=False)
    image = np.zeros((8, 8), dtype=np.uint8)  # normalised to 0.01 everywhere
    maps = predict([with_proxy, without], image, device="cpu")
    assert maps.probabilities.shape == (3, 8, 8)
    np.testing.assert_allclose(maps.probabilities, 1 / 3, atol=1e-6)


def test_ensemble_with_and_without_distance_averages_those_that_have_it():
    image = picture(16, 24)
    maps = predict([Identity(), Identity(distance=False)], image, device="cpu")
    np.testing.assert_allclose(maps.distance, normalize(image)[..., 0], atol=1e-6)
    assert predict([Identity(distance=False)] * 2, image, device="cpu").distance is None


def test_heads_count_what_they_sum():
    heads = Heads.of([Identity(), Identity(proxy=False, distance=False)])
    assert heads == Heads(n_classes=3, proxies=1, distances=1, members=2)
    assert (heads.n_logits, heads.n_maps) == (3, 4)


def test_ensemble_of_different_classes_is_refused():
    with pytest.raises(ValueError, match=r"must have the same classes.*\[3, 2\]"):
        predict([small(), small(boundary=False)], picture(8, 8), device="cpu")


# --- the model that comes in --------------------------------------------------


def test_the_model_is_left_as_it_was():
    model = small().train()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    predict(model, picture(32, 32), device="cpu")
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not next(model.parameters()).is_contiguous(memory_format=torch.channels_last)


def test_changed_weights_are_noticed():
    """The copy made for inference is kept, but not after a training step, new weights or new statistics."""
    model, image = small(), picture(32, 32)
    first = predict(model, image, device="cpu")
    assert prepare(model, CPU) is prepare(model, CPU)
    with torch.no_grad():
        model.distance_head.conv.bias += 1
    second = predict(model, image, device="cpu")
    np.testing.assert_allclose(second.distance, first.distance + 1, atol=1e-5)
    model.encoder.stem[1].running_mean += 0.5
    assert not np.allclose(predict(model, image, device="cpu").distance, second.distance)


def test_copies_are_forgotten_with_their_model():
    before = len(prepared._CACHE)
    model = small()
    prepare(model, CPU)
    assert len(prepared._CACHE) == before + 1
    del model
    assert len(prepared._CACHE) == before


def test_the_copy_says_what_the_model_says():
    model = small()
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        expected = model(x)
    ours = prepare(model, CPU)(x)
    torch.testing.assert_close(ours.logits, expected.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.distance, expected.distance, atol=1e-4, rtol=1e-4)


def test_models_by_name_are_read_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(ensembles, "load_model", lambda path: loaded.append(path) or small())
    ensembles._load.cache_clear()
    path = save_model(small(), tmp_path / "best.safetensors")
    for source in (path, str(path), tmp_path):
        predict(source, picture(8, 8), device="cpu")
    assert len(loaded) == 1
    import os

    os.utime(path, ns=(1, 1))
    predict(path, picture(8, 8), device="cpu")
    assert len(loaded) == 2
    ensembles._load.cache_clear()


def test_default_window_follows_the_normalisation():
    assert default_window(small("instance")) == 512
    assert default_window(small()) == 1024
    transformer = small()
    transformer.config = replace(transformer.config, encoder="timm:swin")
    assert default_window(transformer) == 512


# --- running --------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batches_do_not_matter(batch_size):
    model, image = small("instance"), picture(100, 200)
    one = predict(model, image, window=64, device="cpu")
    many = predict(model, image, window=64, batch_size=batch_size, device="cpu")
    np.testing.assert_allclose(many.distance, one.distance, atol=1e-4)


def test_when_memory_runs_out_batches_are_halved():
    sizes = []

    def scarce(x):
        if len(x) > 2:
            raise torch.cuda.OutOfMemoryError("made up")
        sizes.append(len(x))
        return Output(x, None)

    scarce.device, scarce.half = CPU, False
    places = list(product(plan_axis(100, window=64, overlap=0), repeat=2))[:3]
    batches = [batch for batch, _ in run_windows(scarce, torch.zeros(1, 100, 100), places, batch_size=8)]
    assert sizes == [2, 1]
    assert [place for batch in batches for place in batch] == places


def test_windows_are_resampled_where_the_network_is():
    row, *_ = plan_axis(200, scale=1.5, window=64, overlap=0)
    cut = prepared._cut(torch.zeros(1, 200, 200), row, row, torch.device("meta"))
    assert (cut.device.type, cut.shape) == ("meta", (3, 64, 64))


@pytest.mark.parametrize(("budget", "sizes"), [(None, [1, 5, 4]), (3e-8, [1, 3, 3, 3])])
def test_batches_on_a_gpu_follow_from_what_the_first_window_took(monkeypatch, budget, sizes):
    """A made-up GPU: a window takes 10 bytes; 40 are free, torch keeps 60 that it does not use."""
    figures = {"memory_allocated": 200, "max_memory_allocated": 210, "memory_reserved": 260}
    figures |= {"mem_get_info": (40, 1000), "reset_peak_memory_stats": None}
    for name, value in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(prepared, "_cut", lambda *_: torch.zeros(3, 64, 64))
    seen = []

    def network(x):
        seen.append(len(x))
        return Output(x, None)

    network.device, network.half, network.taken = torch.device("cuda"), True, {}
    places = list(product(plan_axis(200, window=64, overlap=0), repeat=2))[:10]
    batches = list(run_windows(network, torch.zeros(1, 200, 200), places, memory=budget))
    assert seen == [len(batch) for batch, _ in batches] == sizes
    seen.clear()
    next(run_windows(network, torch.zeros(1, 200, 200), places, memory=budget))
    assert seen == sizes[1:2], "what a window of this size takes is known"
    next(run_windows(network, torch.zeros(1, 200, 200), places, memory=budget, flips=True))
    assert seen[1] == 1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_features_beyond_float16_are_computed_in_float32(caplog, norm):
    """float16 ends at 65,504; without norm in between, a network may well go beyond it."""
    model, x = small(norm), torch.rand(1, 3, 64, 64)
    half = Prepared(model, CPU, half=True)
    assert torch.allclose(half(x).logits, Prepared(model, CPU, half=False)(x).logits, atol=0.05)
    assert (half.half, caplog.messages) == (True, [])
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    first.weight.data *= 1e7
    half, exact = (Prepared(model, CPU, half=half) for half in (True, False))
    for found, expected in zip(half(x), exact(x), strict=True):
        assert found.isfinite().all()
        assert torch.equal(found, expected)
    half(x)
    assert len(caplog.messages) == 1, "said once"
    assert "do not fit float16" in caplog.messages[0]


def test_interrupting_leaves_everything_usable(monkeypatch):
    model, image = small(), picture(100, 200)
    expected = predict(model, image, window=64, device="cpu").distance

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "add_window", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(model, image, window=64, device="cpu")
    assert np.array_equal(predict(model, image, window=64, device="cpu").distance, expected)
    assert not torch.is_inference_mode_enabled()


def test_progress_counts_windows(capsys):
    predict(small(), picture(100, 200), window=64, device="cpu", progress=True)
    assert "window" in capsys.readouterr().err
    predict(small(), picture(100, 200), window=64, device="cpu")
    assert capsys.readouterr().err == ""


def test_monais_sliding_window_finds_the_same_cells(repository):
    from monai.inferers import SlidingWindowInferer

    sample = read_image(repository / "data" / "samples" / "images" / "fluorescence_0000.png")
    image = np.tile(sample, (2, 2))[: sample.shape[0] + 64]
    model = load_model("lite")
    x = torch.from_numpy(normalize(image)).permute(2, 0, 1)[None]  # (1, 3, H, W)
    theirs = SlidingWindowInferer((256, 256), overlap=0.25, mode="gaussian")
    with torch.inference_mode():
        output = theirs(x, lambda window: torch.cat(model(window), dim=1))[0]  # five channels, one tensor
    maps = Maps(output[:4].softmax(dim=0).numpy(), output[4].numpy())
    ours = predict(model, image, window=256, device="cpu")
    match = match_cells(postprocess(maps).labels, postprocess(ours).labels, border=0)
    assert match.tp > 10
    assert (match.fp, match.fn) == (0, 0)
    assert match.sq > 0.97


def test_segment_returns_labels():
    rows, columns = np.mgrid[:64, :80]
    labels = segment(picture(64, 80), model=small(), device="cpu", postprocess="none")
    assert labels.shape == (64, 80)
    assert labels.dtype == np.int32


@pytest.mark.filterwarnings("ignore:no cells were found")
def test_segment_takes_files_and_chooses_of_files_and_arrays(tmp_path):
    planes, options = np.stack([picture(64, 80), picture(64, 80)[::-1]]), {"device": "cpu", "window": 64}
    model = small()
    expected = segment(planes[1], model, **options)
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "CYX"})
    for path in (tmp_path / "a.tif", str(tmp_path / "a.tif")):
        np.testing.assert_array_equal(segment(path, model, channel=2, **options), expected)
    for how in ({"channel": 2}, {"plane": 2}):
        np.testing.assert_array_equal(segment(planes, model, **how, **options), expected)
    with pytest.raises(ImageError, match="there is no plane 3"):
        segment(planes, model, plane=3, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, r"scales must be one or more positive numbers such as \(1, 1.25, 1.5\), got \[\]"),
        ({"scales": (1, -1)}, r"got \[1.0, -1.0\]"),
        ({"scales": (float("nan"),)}, "scales must be"),
        ({"half": True}, "half=True needs a CUDA device, but the device is cpu"),
        ({"window": 100}, "window is 100"),
        ({"overlap": 1.0}, "overlap is 1024 pixels"),
    ],
)
def test_impossible_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        predict(small(), picture(300, 300), device="cpu", **options)


def test_impossible_inputs_are_explained():
    with pytest.raises(ValueError, match="no model was given"):
        predict([], picture(8, 8))
    with pytest.raises(ImageError):
        predict(small(), np.zeros((0, 5)))
    with pytest.raises(FileNotFoundError, match="no model 'lightt'"):
        segment(picture(8, 8), model="lightt")


def test_devices():
    assert resolve_device("cpu") == CPU
    assert resolve_device(CPU) == CPU
    assert resolve_device().type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="device 'gpu' is not known: use 'auto', 'cpu', 'cuda'"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="sees no CUDA device here; use 'auto' or 'cpu'"):
            resolve_device("cuda")


def test_devices_that_are_not_there_are_explained(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match="device 'mps': torch .* sees no MPS device here; use 'auto' or 'cpu'"
    ):
        resolve_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    for device in ("cuda:7", torch.device("cuda:7")):
        with pytest.raises(ValueError, match="'cuda:7': torch .* sees 'cuda:0', 'cuda:1' here"):
            resolve_device(device)


def test_memory_counts_weights_and_maps(monkeypatch):
    """On the CPU `memory` has no effect; what it would leave for windows is handed on all the same."""
    seen = []
    original = MODULE.run_windows

    def spy(network, planes, places, batch_size, memory, *options):
        seen.append(memory)
        return original(network, planes, places, batch_size, memory, *options)

    monkeypatch.setattr(MODULE, "run_windows", spy)
    model = small()
    weights = 4 * sum(p.numel() for p in model.parameters())
    weights += sum(b.numel() * b.element_size() for b in model.buffers())
    predict(model, picture(100, 130), device="cpu", memory=1.0)
    maps = 5 * 4 * 100 * 130
    assert seen.pop() == pytest.approx(1 - (2 * weights + maps) / 2**30, abs=1e-12), "the model and its copy"
    predict([model, model], picture(100, 130), device="cpu", memory=1e-9)
    assert set(seen) == {0.0}, "one window at a time"


def test_maps_are_summed_on_a_gpu_only_within_the_budget(monkeypatch):
    device = torch.device("meta")  # in place of a GPU
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**40)
    gib = 4 * 5 * 1000 * 1000 / 2**30  # of these maps
    shape = (5, 1000, 1000)
    assert memory.zeros(shape, device)[1] is None
    assert memory.zeros(shape, device)[0].device == device
    total, left = memory.zeros(shape, device, 4.1 * gib)
    assert (total.device, left) == (device, 4.1 * gib - gib)
    total, left = memory.zeros(shape, device, 3.9 * gib)
    assert (total.device, left) == (CPU, 3.9 * gib), "sums on the CPU leave all of it"
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**20)
    assert memory.zeros(shape, device, 100.0)[0].device == CPU, "less is free than allowed"


def test_memory_that_does_not_hold_the_weights_is_refused():
    with pytest.raises(ValueError, match="do not hold the weights"):
        memory.left_for_maps(1e-6, [small()], torch.device("cuda"))
    assert memory.left_for_maps(None, [small()], torch.device("cuda")) is None


@pytest.mark.gpu
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_half_precision_on_a_gpu_agrees_with_the_cpu(norm, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # as coarse as float16
    image = picture(300, 500)
    expected = predict(small(norm), image, device="cpu", window=256)
    for half, tolerance in ((False, 1e-3), (True, 3e-2)):
        maps = predict(small(norm), image, device="cuda", window=256, half=half)
        np.testing.assert_allclose(maps.probabilities, expected.probabilities, atol=tolerance)
        assert maps.probabilities.dtype == np.float32


def test_images_are_scaled_as_the_network_was_trained() -> None:
    image = np.random.default_rng(0).integers(20, 60, (40, 40, 3), dtype=np.uint8)
    image[0, 0] = 255  # one hot pixel: "paper" leaves the rest dark, "authors" does not
    torch.manual_seed(0)
    model = MAUNet(ModelConfig("lite:2", (0, 4, 6), norm="batch", intensity="paper")).eval()
    nn.init.normal_(model.class_head.conv.weight, std=10)  # so that a little light makes a difference
    same = MAUNet(ModelConfig("lite:2", (0, 4, 6), norm="batch")).eval()
    same.load_state_dict(model.state_dict())
    maps = {way: predict(network, image, device="cpu").probabilities for way, network in
            {"paper": model, "authors": same}.items()}  # fmt: skip
    x = torch.from_numpy(normalize(image, "paper")).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = model(x).logits.softmax(dim=1)[0].numpy()
    error = {way: np.abs(found - expected).mean() for way, found in maps.items()}
    assert error["paper"] < 0.1 * error["authors"]  # not 0: what lies beyond the rim is mirrored
    with pytest.raises(ValueError, match="differently scaled images"):
        predict([model, same], image, device="cpu")
