"""The architecture as a figure (paper Fig. 2), drawn from the network itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from maunet_lite.figures import CLASS_COLORS, CLASS_NAMES
from maunet_lite.network.maunet import MAUNet, build_model

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
INK = "#2B2B31"
COLUMNS = {"encoder": 0.0, "skip": 2.3, "class": 5.0, "distance": 7.8}  # centres
LEVEL = 1.0  # vertical distance between resolutions
BOX = 0.46  # height of a box
WIDEST = 1.9
INCHES = 0.76  # of paper per unit: small, so that letters can be read when the figure is shown small


class Box(NamedTuple):
    """A drawn box: centre and width."""

    x: float
    y: float
    width: float

    @property
    def left(self) -> float:
        """Left edge."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.width / 2


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

    model = preset_or_model
    if isinstance(preset_or_model, str):
        with torch.device("meta"):
            model = build_model(preset_or_model)
    return _Diagram(model, ax, plt).figure


class _Diagram:
    """One drawing; `rows` maps strides to heights."""

    def __init__(self, model: MAUNet, ax: Axes | None, plt: object) -> None:
        self.model = model
        self.decoders = ["class", *(["distance"] if model.config.distance else [])]
        strides = (1, *model.encoder.strides)
        self.rows = {stride: -i * LEVEL for i, stride in enumerate(dict.fromkeys(strides))}
        self.widest = max(*model.encoder.channels, *model.config.widths)
        right = COLUMNS[self.decoders[-1]] + 1.5
        bottom, top = min(self.rows.values()) - 0.45, 1.85
        if ax is None:
            _, ax = plt.subplots(
                figsize=(INCHES * (right + 2.1), INCHES * (top - bottom)), layout="constrained"
            )
        self.ax, self.figure = ax, ax.figure
        ax.set(xlim=(-2.1, right), ylim=(bottom, top), aspect="equal")
        ax.set_axis_off()
        self.draw_rows(right)
        encoder = self.draw_encoder()
        skips = self.draw_skips(encoder)
        for kind in self.decoders:
            self.draw_decoder(kind, skips)

    # --- parts ---

    def draw_rows(self, right: float) -> None:
        """Rule a faint line per resolution and name it at the left."""
        for stride, y in self.rows.items():
            self.ax.plot(
                [-1.35, right], [y, y], color="#EFEFF3", linewidth=6, zorder=0, solid_capstyle="round"
            )
            self.text(-1.5, y, "full size" if stride == 1 else f"1 / {stride}", ha="right", color="#77777F")

    def draw_encoder(self) -> dict[int, Box]:
        """Draw the image and one box per stage; return them by stride."""
        boxes = {1: self.box("image", COLUMNS["encoder"], self.rows[1], 3, "image · 3")}
        for stride, channels in zip(self.model.encoder.strides, self.model.encoder.channels, strict=True):
            before = boxes[max(boxes)]
            boxes[stride] = self.box(
                "encoder", COLUMNS["encoder"], self.rows[stride], channels, str(channels)
            )
            self.arrow((before.x, before.y - BOX / 2), (before.x, boxes[stride].y + BOX / 2), "encoder")
        self.title("encoder", "Encoder", self.model.config.encoder.removeprefix("timm:"), row=1)
        return boxes

    def draw_skips(self, encoder: dict[int, Box]) -> dict[int, Box]:
        """Draw the residual blocks that both decoders share; return them by stride."""
        widths = self.model.config.widths
        boxes = {}
        for stride, width in zip((1, *self.model.encoder.strides), widths, strict=True):
            if width:
                boxes[stride] = self.box("skip", COLUMNS["skip"], self.rows[stride], width, str(width))
                source = encoder[stride]
                self.arrow((source.right, source.y), (boxes[stride].left, source.y), "skip")
        self.title("skip", "Skips", "residual blocks", row=min(boxes))
        return boxes

    def draw_decoder(self, kind: str, skips: dict[int, Box]) -> None:
        """Draw one decoder from the deepest skip connection up to its head."""
        strides = sorted(skips, reverse=True)
        x = COLUMNS[kind]
        below = None
        for deep, fine in zip(strides[:-1], strides[1:], strict=True):
            width = self.model.config.widths[(1, *self.model.encoder.strides).index(fine)]
            box = self.box(kind, x, self.rows[fine], width, str(width))
            if below is None:  # the deepest skip connection turns upwards
                source = skips[deep]
                self.ax.plot(
                    [source.right, x], [source.y] * 2, color=COLORS["skip"][1], linewidth=1, zorder=1
                )
                self.arrow((x, source.y), (x, box.y - BOX / 2), kind)
            else:
                self.arrow((x, below.y + BOX / 2), (x, box.y - BOX / 2), kind)
            self.note(kind, x, box.y - BOX / 2 - 0.33, f"up {deep // fine}×")
            self.join(kind, skips[fine], box)
            below = box
        names = {"class": ("Ambiguity-aware", "decoder"), "distance": ("Instance-aware", "decoder")}
        self.draw_head(kind, below, strides[-1], "\n".join(names[kind]))

    def draw_head(self, kind: str, below: Box, stride: int, name: str) -> None:
        """Draw the output channels above a decoder."""
        config = self.model.config
        labels = ["distance"]
        if kind == "class":
            labels = [*CLASS_NAMES[: self.model.n_classes], *(["proxy"] if config.proxy else [])]
        y, gap = 0.95, 0.06
        widths = [0.14 + 0.073 * len(label) for label in labels]  # as wide as their words
        left = below.x - (sum(widths) + gap * (len(labels) - 1)) / 2
        for label, width in zip(labels, widths, strict=True):
            self.patch("proxy" if label == "proxy" else kind, left, y - 0.15, width, 0.3)
            self.text(left + width / 2, y, label, size=6.5, color=INK)
            left += width + gap
        self.arrow((below.x, below.y + BOX / 2), (below.x, y - 0.15), kind)
        how = "1×1" if stride == 1 else f"1×1, unfold {stride}×"
        self.note(kind, below.x, below.y + BOX / 2 + 0.25, how)
        self.text(below.x, y + 0.52, name, size=8.5, weight="bold", color=COLORS[kind][1])

    # --- strokes ---

    def join(self, kind: str, skip: Box, box: Box) -> None:
        """Lead a skip connection into a decoder's box; the second decoder's passes below the first."""
        if kind == self.decoders[0]:
            self.arrow((skip.right, skip.y), (box.left, skip.y), "skip")
            return
        low, start, end = skip.y - BOX / 2 - 0.12, skip.right - 0.15, box.left - 0.3
        self.path(
            [(start, skip.y - BOX / 2), (start, low), (end, low), (end, skip.y), (box.left, skip.y)], "skip"
        )

    def box(self, kind: str, x: float, y: float, channels: int, label: str) -> Box:
        """Draw a box whose width grows with the logarithm of its channels."""
        width = 0.75 + (WIDEST - 0.75) * math.log2(1 + channels) / math.log2(1 + self.widest)
        self.patch(kind, x - width / 2, y - BOX / 2, width, BOX)
        self.text(x, y, label, size=8.5, color=INK)
        return Box(x, y, width)

    def patch(self, kind: str, left: float, bottom: float, width: float, height: float) -> None:
        """Draw a rounded rectangle in the colours of a part."""
        from matplotlib.patches import FancyBboxPatch

        fill, edge = COLORS[kind]
        style = "round,pad=0,rounding_size=0.08"
        self.ax.add_patch(
            FancyBboxPatch(
                (left, bottom), width, height, style, facecolor=fill, edgecolor=edge, linewidth=1, zorder=3
            )
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Draw a straight arrow."""
        self.path([start, end], kind)

    def path(self, points: list[tuple[float, float]], kind: str) -> None:
        """Draw an arrow along straight lines."""
        color = COLORS[kind][1]
        xs, ys = zip(*points, strict=True)
        self.ax.plot(xs[:-1], ys[:-1], color=color, linewidth=1, zorder=1, solid_joinstyle="round")
        stroke = {
            "arrowstyle": "-|>",
            "color": color,
            "linewidth": 1,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        }
        self.ax.annotate("", points[-1], points[-2], arrowprops=stroke, zorder=1)

    def text(self, x: float, y: float, text: str, size: float = 7.5, **style: object) -> None:
        """Write centred text."""
        self.ax.text(
            x, y, text, fontsize=size, zorder=4, **{"ha": "center", "va": "center", "color": INK} | style
        )

    def note(self, kind: str, x: float, y: float, text: str) -> None:
        """Write small beside an arrow that goes up at `x`."""
        self.text(x + 0.08, y, text, size=6.5, ha="left", color=COLORS[kind][1])

    def title(self, kind: str, title: str, subtitle: str, row: int) -> None:
        """Head a column, above the box at stride `row`."""
        y = self.rows[row] + BOX / 2
        self.text(COLUMNS[kind], y + 0.42, title, size=8.5, weight="bold", color=COLORS[kind][1])
        self.text(COLUMNS[kind], y + 0.2, subtitle, size=7, color=COLORS[kind][1])
