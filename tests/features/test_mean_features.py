"""Mean features against values derived by hand, and against plain averaging over the enlarged feature map."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import colors as mcolors
from torch import nn

from maunet_lite.data.folder import Sample
from maunet_lite.features.mean_features import class_head, layers, mean_features
from maunet_lite.features.plots import margin_strip, measure_lines, modality_colors, scatter
from maunet_lite.features.separability import MEASURES, discriminability, paired_differences, spread
from maunet_lite.features.space import Features, Head, decision_boundary, margins, pca
from maunet_lite.network.maunet import Output, build_model
from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.preprocessing.targets import make_targets


class Pooling(nn.Module):
    """A network without context: the features of "class_decoder" are means of 4 × 4 pixels of the image.

    Its logits say interior where the image is bright.
    """

    stride, n_classes = 4, 3
    config = SimpleNamespace(proxy=False, boundary=True, distance=False, intensity="authors")

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.class_decoder = nn.AvgPool2d(4)
        self.class_decoder.blocks = []
        self.distance_decoder = None
        self.class_head = SimpleNamespace(
            class_weights=lambda: torch.eye(3), conv=SimpleNamespace(bias=torch.zeros(3))
        )
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        self.encoder([x])
        self.class_decoder(x)
        bright = x[:, :1]
        return Output(torch.cat([0.5 - bright, bright - 0.5, torch.full_like(bright, -1.0)], dim=1), None)


def test_features_leave_the_device_as_float32(half_bright, monkeypatch):
    """Apple's MPS has no float64: the conversion must come after the move."""
    moved = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append(self.dtype) or original(self))
    mean_features(Pooling(), [half_bright])
    assert moved.count(torch.float32) >= 1
    assert torch.float64 not in moved


@pytest.fixture
def half_bright() -> Sample:
    """8 × 16 pixels, left half dark, right half bright: one cell of 8 × 8 pixels."""
    labels = np.zeros((8, 16), np.int32)
    labels[:, 8:] = 70_000
    return Sample("half.png", "dic", np.where(labels > 0, 200, 50).astype(np.uint8), labels)


def rows_of(features: Features) -> list[tuple]:
    return list(features.table[["image", "class", "pixels", "mask"]].itertuples(index=False, name=None))


# --- mean features ----------------------------------------------------------------------------------------


def test_means_of_a_picture_read_by_eye(half_bright):
    found = mean_features(Pooling(), [half_bright])
    dark, bright = normalize(half_bright.image)[0, [0, -1], 0]
    n_interior = int((make_targets(half_bright.labels).classes == 1).sum())
    assert 0 < n_interior < 64  # the boundary pixels of the cell count nowhere
    assert rows_of(found) == [
        ("half.png", "background", 64, "truth"),
        ("half.png", "interior", n_interior, "truth"),
    ]
    np.testing.assert_allclose(found.vectors, [[dark] * 3, [bright] * 3], rtol=1e-6)
    assert found.vectors.dtype == np.float32


def test_without_labels_the_prediction_is_the_mask(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=None)])
    assert rows_of(found) == [
        ("half.png", "background", 64, "predicted"),
        ("half.png", "interior", 64, "predicted"),
    ]


def test_image_without_cells_has_a_background_row_only(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=np.zeros((8, 16), int)), half_bright])
    assert list(found.table["class"]) == ["background", "background", "interior"]
    assert found.table["pixels"][0] == 8 * 16


def test_image_without_background_has_an_interior_row_only(half_bright):
    found = mean_features(Pooling(), [half_bright._replace(labels=np.ones((8, 16), int))])
    assert list(found.table["class"]) == ["interior"]


def test_a_feature_counts_as_often_as_it_has_pixels_in_the_mask():
    # Columns of 4 pixels: values 0, 1, 2, …; the mask takes 4 pixels of the first, 2 of the second: (4·0 +
    # 2·1) / 6.
    from maunet_lite.features.mean_features import _masked_sums

    values = torch.arange(3.0).reshape(1, 1, 3)
    mask = np.zeros((1, 4, 12), bool)
    mask[0, 0, :4] = mask[0, 1, 4:6] = True
    assert _masked_sums(values, mask).tolist() == [[2.0]]
    assert mask.sum() == 6


@pytest.mark.parametrize("shape", [(300, 410), (129, 500), (5, 7), (1, 260)])
def test_windows_count_every_pixel_once(shape):
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.int32)
    for k, corner in enumerate(range(0, max(shape), 23)):  # cells that the windows' borders cut anywhere
        labels[corner // 2 : corner // 2 + 15, corner : corner + 17] = k + 1
    sample = Sample("noise", "dic", rng.integers(0, 255, shape, dtype=np.uint8), labels)
    whole = mean_features(Pooling(), [sample], window=512)
    windows = mean_features(Pooling(), [sample], window=160, overlap=20)
    assert rows_of(whole) == rows_of(windows)
    counted = dict(zip(whole.table["class"], whole.table["pixels"], strict=True))
    classes = make_targets(labels).classes
    assert counted == {
        name: int((classes == k).sum())
        for k, name in enumerate(("background", "interior"))
        if name in counted
    }
    np.testing.assert_allclose(windows.vectors, whole.vectors, rtol=1e-5)


@pytest.mark.parametrize("layer", ["class_decoder", "class_decoder.0", "distance_decoder", "encoder.4"])
def test_equals_averaging_over_the_enlarged_map(layer):
    torch.manual_seed(0)
    model = build_model("lite").eval()
    rng = np.random.default_rng(0)
    labels = np.zeros((130, 150), np.int32)
    labels[20:80, 30:100] = 3
    image = rng.integers(0, 255, (130, 150, 3), dtype=np.uint8)
    found = mean_features(model, [Sample("a", "dic", image, labels)], layer)

    # 130 → 160 and 150 → 160 by mirroring, as numpy does it
    padded = np.pad(normalize(image), ((0, 30), (0, 10), (0, 0)), mode="symmetric")
    x = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        skips = model.skip_features(x)
        values = {
            "class_decoder": lambda: model.class_decoder(skips),
            "class_decoder.0": lambda: model.class_decoder.blocks[0](skips[-1], skips[-2]),
            "distance_decoder": lambda: model.distance_decoder(skips),
            "encoder.4": lambda: model.encoder(x)[4],
        }[layer]()[0].numpy()
    ratio = 160 // values.shape[1]
    enlarged = values.repeat(ratio, axis=1).repeat(ratio, axis=2)[:, :130, :150]
    classes = make_targets(labels).classes
    expected = [enlarged[:, classes == k].mean(axis=1) for k in (0, 1)]
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-4, atol=1e-5)


def test_several_layers_in_one_pass_equal_each_alone(half_bright):
    torch.manual_seed(0)
    model = build_model("lite")
    together = mean_features(model, [half_bright], ["encoder.0", "class_decoder"])
    assert list(together) == ["encoder.0", "class_decoder"]
    np.testing.assert_array_equal(
        together["encoder.0"].vectors, mean_features(model, [half_bright], "encoder.0").vectors
    )
    assert together["encoder.0"].head is None
    assert together["class_decoder"].head is not None


def test_model_is_left_as_it_was(half_bright):
    model = build_model("lite").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mean_features(model, [half_bright])
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_hooks_are_removed_after_an_error(half_bright):
    model = build_model("lite")
    with pytest.raises(
        ValueError, match=r"half.png: the image has \(8, 16\) pixels and the label map \(16, 8\)"
    ):
        mean_features(model, [half_bright._replace(labels=half_bright.labels.T)])
    assert not any(module._forward_hooks for module in model.modules())


def test_unknown_layer_and_no_images_are_refused(half_bright):
    with pytest.raises(
        ValueError, match="layer 'decoder' is not known; this network has encoder.0, .*class_decoder"
    ):
        mean_features(build_model("lite"), [half_bright], "decoder")
    with pytest.raises(ValueError, match="no image was given"):
        mean_features(build_model("lite"), [])


@pytest.mark.parametrize("distance", [True, False])
def test_layers_lists_channels_and_strides(distance):
    model = build_model("lite", distance=distance)
    table = layers(model).set_index("layer")
    assert table.loc["encoder.4"].tolist() == [model.encoder.channels[4], model.encoder.strides[4]]
    widths = [w for w in model.config.widths if w]  # finest first; blocks count from the deepest
    finest = table["stride"].min()
    assert table.loc["class_decoder.0"].tolist() == [widths[-2], finest * 2 ** (len(widths) - 2)]
    assert table.loc["class_decoder"].tolist() == [widths[0], finest]
    assert ("distance_decoder" in table.index) == distance


@pytest.mark.parametrize(("proxy", "boundary"), [(True, True), (False, True), (True, False)])
def test_mean_logit_is_the_logit_of_the_mean_feature(proxy, boundary):
    """The head is linear, sub-pixels included: so proxies and boundary mean something for mean features."""
    torch.manual_seed(1)
    model = build_model("lite", proxy=proxy, boundary=boundary).eval()
    nn.init.normal_(model.class_head.conv.bias)  # sub-pixels of one class differ
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        features = model.class_decoder(model.skip_features(x))
        logits = model(x).logits
    head = class_head(model)
    assert head.names == ("background", "interior") + ("boundary",) * boundary + ("proxy",) * proxy
    expected = head.weights @ features.double().mean(dim=(0, 2, 3)).numpy() + head.bias
    np.testing.assert_allclose(logits.mean(dim=(0, 2, 3)), expected, atol=1e-5)


# --- plane, boundary, margins -----------------------------------------------------------------------------


def two_modalities(vectors, head=None, layer="class_decoder") -> Features:
    """Rows in turn background and interior, two images per modality."""
    n = len(vectors) // 2
    table = pd.DataFrame(
        {
            "image": np.repeat([f"im{k}" for k in range(n)], 2),
            "modality": np.repeat(["dic", "fluorescence"], [n, len(vectors) - n]),
            "class": ["background", "interior"] * n,
            "pixels": 1,
            "mask": "truth",
        }
    )
    return Features(np.asarray(vectors, np.float32), table, layer, head)


SQUARE = [[0, 0], [4, 0], [0, 2], [4, 2]]  # two images: backgrounds at x = 0, interiors at x = 4
SPLIT_AT_THREE = Head(
    np.array([[1.0, 0], [2.0, 0], [0, 1.0]]), np.array([3.0, 0, 0]), ("background", "interior", "boundary")
)


def test_pca_of_a_rectangle():
    plane = pca(two_modalities(SQUARE))
    # center (2, 1); variances 4 and 1 along x and y
    np.testing.assert_allclose(plane.points, [[-2, -1], [2, -1], [-2, 1], [2, 1]], atol=1e-9)
    np.testing.assert_allclose(plane.explained, [0.8, 0.2])
    np.testing.assert_allclose(np.abs(plane.components), np.eye(2), atol=1e-9)
    assert plane.components.max(axis=1).tolist() == [1.0, 1.0]  # the sign is fixed
    assert plane.proxies is None
    assert list(plane.table()[["PC1", "PC2"]].iloc[3].round(6)) == [2.0, 1.0]


def test_pca_fitted_on_some_rows_projects_all():
    plane = pca(two_modalities(SQUARE), n=1, fit_on=np.array([True, True, False, False]))
    np.testing.assert_allclose(plane.points.ravel(), [-2, 2, -2, 2], atol=1e-9)


def test_proxies_stand_at_the_mean_length_of_the_features():
    features = two_modalities([[3, 4], [3, -4], [-3, 4], [-3, -4]], SPLIT_AT_THREE)  # all of length 5, mean 0
    plane = pca(features)
    assert plane.proxies.shape == (3, 2)
    np.testing.assert_allclose(np.linalg.norm(plane.proxies, axis=1), 5)
    np.testing.assert_allclose(
        plane.proxies[0], plane.proxies[1]
    )  # same direction: bias and length are not seen


def test_more_components_than_rows_are_refused():
    with pytest.raises(
        ValueError, match=r"3 components need as many rows and dimensions; the features are \(4, 2\)"
    ):
        pca(two_modalities(SQUARE), n=3)


def test_boundary_is_where_the_logits_are_equal():
    # interior - background = 2x - (x + 3) = x - 3
    plane = pca(two_modalities(SQUARE, SPLIT_AT_THREE))
    line = decision_boundary(plane)
    np.testing.assert_allclose(line.side(plane.points), [-3, 1, -3, 1], atol=1e-9)
    ends = line.ends(1)
    np.testing.assert_allclose(
        np.sort(ends, axis=0), [[1, -1], [1, 1]], atol=1e-9
    )  # x = 3, from the center (2, 1)
    assert decision_boundary(plane, "interior", "background").side(plane.points)[0] == pytest.approx(3)


def test_boundary_in_a_plane_is_exact_for_features_in_it():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 5)) + 1  # eight rows in a plane of five dimensions
    head = Head(rng.normal(size=(4, 5)), rng.normal(size=4), ("background", "interior", "boundary", "proxy"))
    plane = pca(two_modalities(flat, head))
    logits = flat.astype(np.float32) @ head.weights.T + head.bias
    np.testing.assert_allclose(
        decision_boundary(plane).side(plane.points), logits[:, 1] - logits[:, 0], atol=1e-4
    )
    assert decision_boundary(plane, components=(2, 1)).side(plane.points[:, ::-1]) == pytest.approx(
        decision_boundary(plane).side(plane.points)
    )
    np.testing.assert_allclose(
        decision_boundary(plane, "boundary", "proxy").side(plane.points),
        logits[:, 3] - logits[:, 2],
        atol=1e-4,
    )


def test_bisector_is_equally_far_from_both_proxies():
    plane = pca(
        two_modalities(
            SQUARE, Head(np.array([[1.0, 0], [0, 1.0]]), np.array([9.0, 0]), ("background", "interior"))
        )
    )
    line = decision_boundary(plane, method="bisector")
    ends = line.ends(9)
    far = np.linalg.norm(ends[:, None] - plane.proxies[None], axis=2)
    np.testing.assert_allclose(far[:, 0], far[:, 1])
    assert line.side(plane.proxies)[1] > 0 > line.side(plane.proxies)[0]


def test_boundary_refuses_what_has_none():
    with pytest.raises(ValueError, match=r"layer 'encoder\.0' is not the input of the head"):
        decision_boundary(pca(two_modalities(SQUARE, layer="encoder.0")))
    plane = pca(two_modalities(SQUARE, SPLIT_AT_THREE))
    with pytest.raises(ValueError, match="no class 'proxy'; it has background, interior, boundary"):
        decision_boundary(plane, "background", "proxy")
    with pytest.raises(ValueError, match="method='middle'"):
        decision_boundary(plane, method="middle")
    with pytest.raises(ValueError, match=r"components=\(1, 2\) are not two of the 1 that were computed"):
        decision_boundary(pca(two_modalities(SQUARE, SPLIT_AT_THREE), n=1))


def test_margins_are_positive_on_the_own_side():
    # boundary at x = 3: backgrounds at 0 are 3 away on their side, interiors at 4 are 1 away on theirs
    features = two_modalities([[0, 0], [4, 0], [4, 0], [0, 0]], SPLIT_AT_THREE)
    mean_length = (0 + 4 + 4 + 0) / 4
    np.testing.assert_allclose(margins(features), np.array([3, 1, -1, -3]) / mean_length)
    with pytest.raises(ValueError, match="not the input of the head"):
        margins(two_modalities(SQUARE))


# --- measures ---------------------------------------------------------------------------------------------


def test_measures_of_a_rectangle():
    values = discriminability(two_modalities(SQUARE, SPLIT_AT_THREE))
    assert list(values) == list(MEASURES)
    # class means at x = 0 and 4: between 4 · 2² = 16, within 4 · 1² = 4, all of it between the two modalities
    assert values["scatter_ratio"] == pytest.approx(4)
    assert values["domain_gap"] == pytest.approx(1)
    # to the own class 2, to the other (4 + sqrt(20)) / 2
    assert values["silhouette"] == pytest.approx(1 - 2 / ((4 + 20**0.5) / 2))
    assert values["linear_probe"] == values["unseen_modality"] == values["head_accuracy"] == 1


def test_unseen_modality_sees_a_domain_gap_that_the_probe_does_not():
    # x tells the classes in both modalities, but the second one lies 10 further right: its backgrounds look
    # like interiors to who knows only the first. Knowing both, y corrects for the modality.
    side, modality = np.tile([-1.0, 1.0], 20), np.repeat([0.0, 1.0], 20)
    jitter = np.random.default_rng(0).normal(0, 0.01, (40, 2))
    values = discriminability(two_modalities(np.stack([side + 10 * modality, modality], axis=1) + jitter))
    assert values["linear_probe"] == 1
    assert values["unseen_modality"] == 0.5  # all rows of the unseen modality are taken for one class
    assert values["domain_gap"] > 0.9


def test_measures_do_not_depend_on_scale_and_place():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(24, 3)) + np.tile([[0, 0, 0], [1, 0, 1]], (12, 1))
    one, other = (discriminability(two_modalities(v)) for v in (vectors, 100 * vectors + 7))
    assert one == pytest.approx(other, rel=1e-3, nan_ok=True)
    assert np.isnan(one["head_accuracy"])


def test_shuffled_classes_are_near_chance():
    rng = np.random.default_rng(0)
    values = discriminability(two_modalities(rng.normal(size=(200, 4))))
    assert abs(values["linear_probe"] - 0.5) < 0.15
    assert abs(values["silhouette"]) < 0.1
    assert values["scatter_ratio"] < 0.1


def test_undefined_measures_are_nan():
    features = two_modalities(SQUARE)
    values = discriminability(features.select(features.table["image"] == "im0"))
    assert {name for name, value in values.items() if np.isnan(value)} == set(MEASURES)
    with pytest.raises(ValueError, match=r"got only \['interior'\]"):
        discriminability(features.select(features.table["class"] == "interior"))


RUNS = pd.DataFrame(
    {
        "network": ["without", "with"] * 3,
        "seed": [0, 0, 1, 1, 2, 2],
        "silhouette": [0.1, 0.3, 0.5, 0.4, 0.3, 0.5],
        "linear_probe": [0.5, 1, 0.5, 1, np.nan, 1],
    }
)


def test_spread_over_seeds():
    table = spread(RUNS, by="network")
    row = table.loc[("silhouette", "with")]
    assert row.tolist() == pytest.approx([0.4, 0.1, 0.3, 0.5, 3])
    assert table.loc[("linear_probe", "without"), "runs"] == 2


def test_paired_differences_go_seed_by_seed():
    table = paired_differences(RUNS, "network", "without", "with")
    # 0.2, -0.1, 0.2
    assert table.loc["silhouette"].tolist() == pytest.approx(
        [0.1, np.std([0.2, -0.1, 0.2], ddof=1), -0.1, 0.2, 2, 3]
    )
    assert table.loc["linear_probe", "pairs"] == 2
    with pytest.raises(ValueError, match="no seed has both"):
        paired_differences(RUNS.iloc[[0, 3]], "network", "without", "with")
    with pytest.raises(ValueError, match=r"\['beauty'\] are no columns"):
        spread(RUNS, "network", ["beauty"])


# --- figures ----------------------------------------------------------------------------------------------


def test_scatter_draws_points_proxies_and_boundary():
    ax = scatter(pca(two_modalities(SQUARE, SPLIT_AT_THREE)), title="four points")
    assert len(ax.collections[0].get_offsets()) == 4
    drawn = {mcolors.to_hex(c).upper() for c in ax.collections[0].get_facecolors()}
    assert drawn == set(modality_colors(["dic", "fluorescence"]).values())
    assert [text.get_text() for text in ax.texts] == ["background", "interior", "boundary"]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(dashed[0].get_xdata(), 1)  # x = 3, seen from the center
    assert "80 %" in ax.get_xlabel()


def test_scatter_of_swapped_components_swaps_the_boundary():
    ax = scatter(pca(two_modalities(SQUARE, SPLIT_AT_THREE)), components=(2, 1))
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(dashed[0].get_ydata(), 1)


def test_scatter_without_head_has_no_stars():
    ax = scatter(pca(two_modalities(SQUARE, layer="encoder.0")), legend=False)
    assert not ax.lines
    assert ax.get_legend() is None


def test_margin_strip_and_measure_lines_draw_every_run():
    features = two_modalities(SQUARE, SPLIT_AT_THREE)
    ax = margin_strip({"without proxy": features, "with proxy": features})
    assert sum(len(c.get_offsets()) for c in ax.collections) == 8
    figure = measure_lines(RUNS)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["silhouette", "linear probe"]
    assert len(figure.axes[0].lines) == 3 + 1
