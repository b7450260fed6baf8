"""The architecture as a figure (paper Fig. 2), drawn from the network itself."""

import math
from itertools import pairwise

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from maunet_lite.figures import CLASS_COLORS, CLASS_NAMES
from maunet_lite.network.describe import skeleton
from maunet_lite.network.maunet import MAUNet

Boxes = dict[int, Bbox]  # by stride

# fill and edge of each part
COLORS = {
    "image": ("#F4F4F6", "#55555E"),
    "encoder": ("#D6E6F4", "#0072B2"),
    "skip": ("#E9E9EE", "#77777F"),
    "class": ("#FBE3C0", "#C77700"),
    "distance": ("#CDEBDD", "#00805C"),
    "proxy": ("#F3DCEA", CLASS_COLORS[3]),
}
# Centres; rows are 1 apart.
COLUMNS = {"image": 0.0, "encoder": 0.0, "skip": 2.3, "class": 5.0, "distance": 7.8}
HEADS = 0.95  # height of the row of output channels
INCHES = 0.76  # of paper per unit: small, so that letters can be read when the figure is shown small


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

    channels = dict(zip(model.encoder.strides, model.encoder.channels, strict=True))
    widths = {stride: width for stride, width in zip(strides, config.widths, strict=True) if width}
    most = max(*channels.values(), *widths.values())
    encoder = _column(ax, "image", {1: 3}, rows, most) | _column(ax, "encoder", channels, rows, most)
    skips = _column(ax, "skip", widths, rows, most)
    for before, after in pairwise(encoder.values()):
        _arrow(ax, "encoder", (0, before.y0), (0, after.y1))
    for stride, skip in skips.items():
        _arrow(ax, "skip", (encoder[stride].x1, rows[stride]), (skip.x0, rows[stride]))
    _title(ax, "encoder", encoder[1].y1, "Encoder", config.encoder.removeprefix("timm:"))
    _title(ax, "skip", skips[min(skips)].y1, "Skips", "residual blocks")
    classes = [*CLASS_NAMES[: model.n_classes], *["proxy"] * config.proxy]
    for kind in kinds:
        boxes = _column(ax, kind, {s: w for s, w in widths.items() if s < max(widths)}, rows, most)
        _draw_decoder(ax, kind, skips, boxes, rows, below=kind != kinds[0])
        _draw_head(ax, kind, boxes, classes if kind == "class" else ["distance"])
    return ax.figure


def _column(ax: Axes, kind: str, channels: dict[int, int], rows: dict[int, float], most: int) -> Boxes:
    """Draw the boxes of a part, as wide as the logarithm of their channels; return them by stride."""
    boxes = {}
    for stride, n in channels.items():
        width = 0.75 + 1.15 * math.log2(1 + n) / math.log2(1 + most)
        text = f"image · {n}" if kind == "image" else str(n)
        boxes[stride] = _box(ax, kind, COLUMNS[kind], rows[stride], width, text)
    return boxes


def _draw_decoder(ax: Axes, kind: str, skips: Boxes, boxes: Boxes, rows: dict, below: bool) -> None:
    """Connect a decoder, from the deepest skip connection up; with `below`, skips pass under another one."""
    x, deepest = COLUMNS[kind], max(skips)
    ax.plot([skips[deepest].x1, x], [rows[deepest]] * 2, color=COLORS["skip"][1], linewidth=1, zorder=1)
    for fine, deep in pairwise(sorted(skips)):
        box, skip, y = boxes[fine], skips[fine], rows[fine]
        _arrow(ax, kind, (x, boxes[deep].y1 if deep in boxes else rows[deep]), (x, box.y0))
        _text(ax, x + 0.08, box.y0 - 0.33, f"up {deep // fine}×", 6.5, ha="left", color=COLORS[kind][1])
        start, low, end = skip.x1 - 0.15, skip.y0 - 0.12, box.x0 - 0.3
        around = [(start, skip.y0), (start, low), (end, low), (end, y)]
        _arrow(ax, "skip", *(around if below else [(skip.x1, y)]), (box.x0, y))


def _draw_head(ax: Axes, kind: str, boxes: Boxes, outputs: list[str]) -> None:
    """Draw the output channels above a decoder, and the decoder's name."""
    x, color, gap, ratio = COLUMNS[kind], COLORS[kind][1], 0.06, min(boxes)
    widths = [0.14 + 0.073 * len(output) for output in outputs]  # as wide as their words
    left = x - (sum(widths) + gap * (len(outputs) - 1)) / 2
    for output, width in zip(outputs, widths, strict=True):
        part = "proxy" if output == "proxy" else kind
        _box(ax, part, left + width / 2, HEADS, width, output, small=True)
        left += width + gap
    top = boxes[ratio].y1
    _arrow(ax, kind, (x, top), (x, HEADS - 0.15))
    how = "1×1" if ratio == 1 else f"1×1, unfold {ratio}×"
    _text(ax, x + 0.08, top + 0.25, how, size=6.5, ha="left", color=color)
    name = {"class": "Ambiguity-aware\ndecoder", "distance": "Instance-aware\ndecoder"}[kind]
    _text(ax, x, HEADS + 0.52, name, size=8.5, weight="bold", color=color)


def _title(ax: Axes, kind: str, top: float, title: str, subtitle: str) -> None:
    _text(ax, COLUMNS[kind], top + 0.42, title, size=8.5, weight="bold", color=COLORS[kind][1])
    _text(ax, COLUMNS[kind], top + 0.2, subtitle, size=7, color=COLORS[kind][1])


def _text(ax: Axes, x: float, y: float, text: str, size: float = 7.5, **style: object) -> None:
    style = {"ha": "center", "va": "center", "color": "#2B2B31"} | style
    ax.text(x, y, text, fontsize=size, zorder=4, **style)


def _box(ax: Axes, kind: str, x: float, y: float, width: float, text: str, small: bool = False) -> Bbox:
    """Draw a box around (x, y) with a word in it; return where it lies."""
    (fill, edge), (height, size) = COLORS[kind], (0.3, 6.5) if small else (0.46, 8.5)
    _text(ax, x, y, text, size)
    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": fill, "ec": edge, "lw": 1, "zorder": 3}
    return ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style)).get_bbox()


def _arrow(ax: Axes, kind: str, *points: tuple[float, float]) -> None:
    """Draw an arrow along straight lines."""
    color = COLORS[kind][1]
    ax.plot(*zip(*points[:-1], strict=True), color=color, linewidth=1, zorder=1, solid_joinstyle="round")
    stroke = {"arrowstyle": "-|>", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    ax.annotate("", points[-1], points[-2], arrowprops=stroke, zorder=1)
