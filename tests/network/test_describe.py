"""The paper's Table 2 and Figure 2, from the model itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maunet_lite.network.describe import describe, multiply_adds
from maunet_lite.network.diagram import draw
from maunet_lite.network.maunet import MAUNet, ModelConfig, build_model

TABLE_2 = {"paper-r50": (39_403_021, 10.06), "paper-wr50": (28_838_157, 14.27)}


@pytest.mark.parametrize("preset", sorted(TABLE_2))
def test_totals_are_the_papers_table_2(preset):
    total = describe(preset).loc[("network", "total")]
    parameters, billions = TABLE_2[preset]
    assert total.parameters == parameters
    assert round(total.multiply_adds / 1e9, 2) == billions


def test_parts_add_up():
    table = describe("lite", shape=(64, 96))
    stages = table[table.index.get_level_values("stage") != "total"]
    totals = table.xs("total", level="stage")
    assert list(totals.index) == ["encoder", "skips", "class decoder", "distance decoder", "heads", "network"]
    for column in ("parameters", "multiply_adds"):
        by_part = stages.groupby(level="part")[column].sum()
        assert (by_part == totals[column].drop("network")[by_part.index]).all()
        assert totals.loc["network", column] == stages[column].sum()
    assert totals.loc["network", "parameters"] == sum(p.numel() for p in build_model("lite").parameters())


def test_shapes_by_hand():
    table = describe("paper-wr50", shape=(32, 64))
    assert table.loc[("encoder", "stem"), "output"] == "64 × 16 × 32"
    assert table.loc[("encoder", "layer3"), "output"] == "1024 × 2 × 4"
    assert table.loc[("skips", "stride 1"), "output"] == "24 × 32 × 64"
    assert table.loc[("class decoder", "stride 8"), "output"] == "96 × 4 × 8"
    assert table.loc[("heads", "class"), "output"] == "4 × 32 × 64"
    assert table.loc[("heads", "distance"), "output"] == "1 × 32 × 64"


def test_an_ablation_has_no_distance_decoder():
    table = describe(build_model("lite", distance=False), shape=(32, 32))
    assert "distance decoder" not in table.index.get_level_values("part")
    assert ("heads", "distance") not in table.index


def test_describing_leaves_the_model_alone():
    model = build_model("lite").train()
    describe(model, shape=(32, 32))
    assert model.training
    assert next(model.parameters()).device.type == "cpu"
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(2, 3, 3, padding=1), (1, 2, 4, 5), 3 * 4 * 5 * 2 * 9),
        (nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2), (1, 4, 4, 4), 4 * 2 * 2 * 2 * 9),
        (nn.ConvTranspose2d(2, 3, 2, stride=2), (1, 2, 4, 5), 2 * 4 * 5 * 3 * 4),
        (nn.Linear(6, 7), (2, 6), 2 * 7 * 6),
        (nn.BatchNorm2d(2), (1, 2, 3, 3), 2 * 18),
        (nn.InstanceNorm2d(2), (1, 2, 3, 3), 4 * 18),
        (nn.LayerNorm(3), (1, 2, 3), 5 * 6),
        (nn.ReLU(), (1, 2, 3, 3), 0),
    ],
)
def test_multiply_adds_by_hand(layer, shape, expected):
    x = torch.zeros(shape)
    assert multiply_adds(layer, x, layer(x)) == expected


def test_unknown_presets_and_sizes_are_explained():
    with pytest.raises(ValueError, match="preset 'unet' is not known"):
        describe("unet")
    with pytest.raises(ValueError, match="not multiples of 32"):
        describe("paper-r50", shape=(100, 100))


# --- figure --------------------------------------------------


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_figure_shows_what_the_model_has():
    model = build_model("paper-wr50", proxy=False)
    shown = words(draw(model))
    for channels in model.encoder.channels:
        assert str(channels) in shown
    for width in model.config.widths[1:-1]:
        assert shown.count(str(width)) >= 3  # skip and two decoders
    assert {"background", "interior", "boundary", "distance", "wide_resnet50_2:4", "1 / 16"} <= set(shown)
    assert "proxy" not in shown


def test_figure_shows_the_proxy_in_its_own_colour():
    from matplotlib.colors import to_hex

    axes = draw("lite").axes[0]
    edges = [to_hex(patch.get_edgecolor()).upper() for patch in axes.patches]
    assert edges.count("#CC79A7") == 1
    assert "proxy" in words(axes.figure)


@pytest.mark.parametrize("preset", ["lite", "paper-wr50"])
def test_words_fit_into_their_boxes(preset):
    figure = draw(preset)
    figure.canvas.draw()
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches]
    words = {"image · 3", "background", "interior", "boundary", "proxy", "distance"}
    for text in figure.axes[0].texts:
        if text.get_text() in words:
            words.remove(text.get_text())
            word, (x, y) = text.get_window_extent(), text.get_transform().transform(text.get_position())
            assert any(box.contains(x, y) and box.x0 < word.x0 and word.x1 < box.x1 for box in boxes), (
                text.get_text()
            )
    assert not words


def test_figure_of_ablations_and_odd_encoders():
    class Stages(nn.Module):
        channels, strides = (96, 192), (4, 8)

    shown = words(draw(MAUNet(ModelConfig("timm:convnext_tiny", distance=False, boundary=False), Stages())))
    assert {"convnext_tiny", "1 / 4", "up 4×", "up 2×", "interior", "proxy"} <= set(shown)
    assert not {"distance", "boundary", "Instance-aware decoder", "1 / 2"} & set(shown)


def test_figure_goes_where_it_is_told():
    from matplotlib import pyplot as plt

    _, ax = plt.subplots()
    assert draw("lite", ax) is ax.figure
    assert len(plt.get_fignums()) == 1
