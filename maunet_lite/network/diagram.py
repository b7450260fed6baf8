"""The architecture as a figure (paper Fig. 2), drawn from the network itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from maunet_lite.figures import CLASS_COLORS, CLASS_NAMES
from maunet_lite.network.describe import skeleton
from maunet_lite.network.maunet import MAUNet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# fill and edge of each part
COLORS = {
    "image": ("#F4F4F6", "#55555E"),
    "encoder": ("#D6E6F4", "#0072B2"),
    "skip": ("#E9E9EE", "#77777F"),
    "class": ("#FBE3C0", "#C77700"),
    "distance": ("#CDEBDD", "#00805C"),
    "proxy": ("#F3DCEA", CLASS_COLORS[3]),
}
COLUMNS = {"encoder": 0.0, "skip": 2.3, "class": 5.0, "distance": 7.8}  # centres; rows are 1 apart
HEADS = 0.95  # height of the row of output channels
BOX = 0.46  # height of a box
WIDEST = 1.9
INCHES = 0.76  # of paper per unit: small, so that letters can be read when the figure is shown small


class Box(NamedTuple):
    """The edges of a drawn box, and the height of its middle."""

    left: float
    right: float
    bottom: float
    y: float
    top: float


def draw(preset_or_model: str | MAUNet, ax: Axes | None = None) -> Figure:
    """Draw encoder, skip connections, decoders and heads with their channels and strides (paper Fig. 2).

    Rows are resolutions, from full resolution at the top to the deepest stride; wider boxes have more
    channels.

    Parameters
    ----------
    preset_or_model : str or MAUNet
        A preset's name, or a network; its weights do not matter.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = draw("lite")
    >>> "proxy" in {text.get_text() for text in figure.axes[0].texts}
    True
    """
    from matplotlib import pyplot as plt

    model = skeleton(preset_or_model)
    config, strides = model.config, (1, *model.encoder.strides)
    rows = {stride: -float(i) for i, stride in enumerate(dict.fromkeys(strides))}
    kinds = ["class", "distance"] if config.distance else ["class"]
    right, bottom, top = COLUMNS[kinds[-1]] + 1.5, 0.55 - len(rows), 1.85
    if ax is None:
        _, ax = plt.subplots(figsize=(INCHES * (right + 2.1), INCHES * (top - bottom)), layout="constrained")
    ax.set(xlim=(-2.1, right), ylim=(bottom, top), aspect="equal")
    ax.set_axis_off()
    for stride, y in rows.items():
        ax.plot([-1.35, right], [y, y], color="#EFEFF3", linewidth=6, zorder=0, solid_capstyle="round")
        _text(ax, -1.5, y, "full size" if stride == 1 else f"1 / {stride}", ha="right", color="#77777F")

    channels = {1: 3} | dict(zip(model.encoder.strides, model.encoder.channels, strict=True))
    widths = {stride: width for stride, width in zip(strides, config.widths, strict=True) if width}
    most = max(*channels.values(), *widths.values())
    encoder = _column(ax, "encoder", channels, rows, most)
    skips = _column(ax, "skip", widths, rows, most)
    for before, after in zip(channels, list(channels)[1:], strict=False):
        _arrow(ax, "encoder", (0, encoder[before].bottom), (0, encoder[after].top))
    for stride, skip in skips.items():
        _arrow(ax, "skip", (encoder[stride].right, skip.y), (skip.left, skip.y))
    _title(ax, "encoder", encoder[1].top, "Encoder", config.encoder.removeprefix("timm:"))
    _title(ax, "skip", skips[min(skips)].top, "Skips", "residual blocks")
    outputs = {
        "class": [*CLASS_NAMES[: model.n_classes], *["proxy"] * config.proxy],
        "distance": ["distance"],
    }
    for kind in kinds:
        boxes = _column(ax, kind, {s: w for s, w in widths.items() if s < max(widths)}, rows, most)
        _draw_decoder(ax, kind, skips, boxes, below=kind != kinds[0])
        _draw_head(ax, kind, boxes[min(boxes)].top, outputs[kind], min(boxes))
    return ax.figure


def _column(
    ax: Axes, kind: str, channels: dict[int, int], rows: dict[int, float], most: int
) -> dict[int, Box]:
    """Draw the boxes of a part, as wide as the logarithm of their channels; return them by stride."""
    boxes = {}
    for stride, n in channels.items():
        half = (0.75 + (WIDEST - 0.75) * math.log2(1 + n) / math.log2(1 + most)) / 2
        x, y = COLUMNS[kind], rows[stride]
        box = boxes[stride] = Box(x - half, x + half, y - BOX / 2, y, y + BOX / 2)
        image = kind == "encoder" and stride == 1
        _patch(ax, "image" if image else kind, box.left, box.bottom, 2 * half, BOX)
        _text(ax, x, y, "image · 3" if image else str(n), size=8.5)
    return boxes


def _draw_decoder(ax: Axes, kind: str, skips: dict[int, Box], boxes: dict[int, Box], below: bool) -> None:
    """Connect a decoder, from the deepest skip connection up; with `below`, skips pass under another one."""
    x, strides = COLUMNS[kind], sorted(skips)
    source = skips[strides[-1]]
    ax.plot([source.right, x], [source.y] * 2, color=COLORS["skip"][1], linewidth=1, zorder=1)
    for fine, deep in zip(strides[:-1], strides[1:], strict=True):
        box, skip = boxes[fine], skips[fine]
        _arrow(ax, kind, (x, boxes[deep].top if deep in boxes else source.y), (x, box.bottom))
        _text(ax, x + 0.08, box.bottom - 0.33, f"up {deep // fine}×", 6.5, ha="left", color=COLORS[kind][1])
        start, low, end = skip.right - 0.15, skip.bottom - 0.12, box.left - 0.3
        around = [(start, skip.bottom), (start, low), (end, low), (end, skip.y)]
        _arrow(ax, "skip", *(around if below else [(skip.right, skip.y)]), (box.left, skip.y))


def _draw_head(ax: Axes, kind: str, top: float, outputs: list[str], ratio: int) -> None:
    """Draw the output channels above a decoder that ends at height `top`, and the decoder's name."""
    x, color, gap = COLUMNS[kind], COLORS[kind][1], 0.06
    widths = [0.14 + 0.073 * len(output) for output in outputs]  # as wide as their words
    left = x - (sum(widths) + gap * (len(outputs) - 1)) / 2
    for output, width in zip(outputs, widths, strict=True):
        _patch(ax, "proxy" if output == "proxy" else kind, left, HEADS - 0.15, width, 0.3)
        _text(ax, left + width / 2, HEADS, output, size=6.5)
        left += width + gap
    _arrow(ax, kind, (x, top), (x, HEADS - 0.15))
    how = "1×1" if ratio == 1 else f"1×1, unfold {ratio}×"
    _text(ax, x + 0.08, top + 0.25, how, size=6.5, ha="left", color=color)
    name = {"class": "Ambiguity-aware\ndecoder", "distance": "Instance-aware\ndecoder"}[kind]
    _text(ax, x, HEADS + 0.52, name, size=8.5, weight="bold", color=color)


def _title(ax: Axes, kind: str, top: float, title: str, subtitle: str) -> None:
    _text(ax, COLUMNS[kind], top + 0.42, title, size=8.5, weight="bold", color=COLORS[kind][1])
    _text(ax, COLUMNS[kind], top + 0.2, subtitle, size=7, color=COLORS[kind][1])


def _text(ax: Axes, x: float, y: float, text: str, size: float = 7.5, **style: object) -> None:
    ax.text(
        x, y, text, fontsize=size, zorder=4, **{"ha": "center", "va": "center", "color": "#2B2B31"} | style
    )


def _patch(ax: Axes, kind: str, left: float, bottom: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    (fill, edge), style = COLORS[kind], "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch((left, bottom), width, height, style, fc=fill, ec=edge, lw=1, zorder=3))


def _arrow(ax: Axes, kind: str, *points: tuple[float, float]) -> None:
    """Draw an arrow along straight lines."""
    color = COLORS[kind][1]
    xs, ys = zip(*points, strict=True)
    ax.plot(xs[:-1], ys[:-1], color=color, linewidth=1, zorder=1, solid_joinstyle="round")
    stroke = {"arrowstyle": "-|>", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    ax.annotate("", points[-1], points[-2], arrowprops=stroke, zorder=1)
