"""What a network is made of: the paper's Table 2 as a table, and its Figure 2 as a figure."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from maunet_lite.network.diagram import draw
from maunet_lite.network.maunet import MAUNet, build_model

__all__ = ["describe", "draw", "multiply_adds"]

PARTS = {
    "encoder": "encoder",
    "skips": "skips",
    "class_decoder": "class decoder",
    "distance_decoder": "distance decoder",
    "class_head": "heads",
    "distance_head": "heads",
}


def describe(preset_or_model: str | MAUNet, shape: tuple[int, int] = (224, 224)) -> pd.DataFrame:
    """Return stages, shapes, parameters and multiply-adds of a network (paper Table 2).

    Multiply-adds are counted as fvcore does, the tool the paper used: one for each product of a convolution,
    and for each value 2 in a batch normalisation and 4 in an instance normalisation. Activations and sums
    cost nothing.

    Parameters
    ----------
    preset_or_model : str or MAUNet
        A preset's name, or a network; nothing is computed with its weights.
    shape : (int, int)
        Height and width of the image, positive multiples of the network's stride. The paper used 224 × 224.

    Returns
    -------
    DataFrame
        Indexed by part and stage, with columns output (channels × height × width), parameters and
        multiply_adds. Each part ends with a row ``"total"``, the table with the row ``("network", "total")``.

    Examples
    --------
    >>> table = describe("paper-r50")
    >>> print(*table.loc[("network", "total")])
     39403021 10060714496
    >>> table.loc[("skips", "stride 32"), "output"]
    '384 × 7 × 7'
    """
    if min(shape) < 1:
        raise ValueError(f"an image of {shape[0]} × {shape[1]} pixels has no pixels to count for")
    model = _skeleton(preset_or_model)
    counter = _Counter(model)
    device = next(model.parameters()).device
    with torch.no_grad():
        model(torch.zeros(1, 3, *shape, device=device))
    rows: dict[tuple[str, str], list[Any]] = {}
    for name, layer in model.named_modules():
        if name in counter.outputs:
            place = _place(model, name)
            row = rows.setdefault(place, ["", 0, 0])
            row[0] = " × ".join(map(str, counter.outputs[name]))
            row[1] += sum(p.numel() for p in layer.parameters(recurse=False))
            row[2] += counter.multiply_adds.get(name, 0)
    return _with_totals(rows)


def _skeleton(preset_or_model: str | MAUNet) -> MAUNet:
    """Return the network without weights, in evaluation mode: nothing is computed but shapes."""
    if isinstance(preset_or_model, str):
        with torch.device("meta"):
            return build_model(preset_or_model).eval()
    return copy.deepcopy(preset_or_model).to("meta").eval()


class _Counter:
    """Notes the output shapes (C, H, W) and the multiply-adds of the layers of a network by their names."""

    def __init__(self, model: nn.Module) -> None:
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.multiply_adds: dict[str, int] = {}
        for name, layer in model.named_modules():
            if not list(layer.children()):
                layer.register_forward_hook(lambda *call, name=name: self.note(name, *call))

    def note(self, name: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        """Note one call of a layer."""
        if not isinstance(layer, nn.MaxPool2d):  # the stem returns what comes before
            self.outputs[name] = tuple(output.shape[1:])
        self.multiply_adds[name] = self.multiply_adds.get(name, 0) + multiply_adds(layer, args[0], output)


def multiply_adds(layer: nn.Module, x: Tensor, output: Tensor) -> int:
    """Return the multiply-adds of one layer that turned `x` into `output`, by fvcore's rules.

    Examples
    --------
    >>> layer, x = nn.Conv2d(3, 8, 5, padding=2), torch.zeros(1, 3, 10, 20)
    >>> multiply_adds(layer, x, layer(x)) == 5 * 5 * 3 * 8 * 10 * 20
    True
    """
    if isinstance(layer, nn.ConvTranspose2d):
        return x.numel() * layer.weight[0].numel()  # each input value meets (out_channels, k, k) weights
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        return output.numel() * layer.weight[0].numel()  # each output value meets (in_channels, k, k) weights
    if isinstance(layer, nn.BatchNorm2d):
        return 2 * output.numel()
    if isinstance(layer, nn.InstanceNorm2d):
        return 4 * output.numel()
    if isinstance(layer, (nn.LayerNorm, nn.GroupNorm)):
        return 5 * output.numel()
    return 0


def _place(model: MAUNet, name: str) -> tuple[str, str]:
    """Return part and stage of the layer called `name`."""
    part, *path = name.split(".")
    if part == "encoder":
        path = [step for step in path if step != "net"]  # timm's network is one level deeper
        if len(path) == 1 or path[0] == "stem":
            return "encoder", "stem"
        return "encoder", f"stage {int(path[1]) + 2}" if path[0] == "stages" else path[0]
    strides = _strides(model)
    if part == "skips":
        return "skips", f"stride {strides[int(path[0])]}"
    if part.endswith("decoder"):
        return PARTS[part], f"stride {strides[len(strides) - 2 - int(path[1])]}"
    return "heads", part.removesuffix("_head")


def _strides(model: MAUNet) -> tuple[int, ...]:
    """Return the strides of the skip connections, finest first."""
    return ((1,) if model.config.widths[0] else ()) + tuple(model.encoder.strides)


def _with_totals(rows: dict[tuple[str, str], list[Any]]) -> pd.DataFrame:
    columns = ["output", "parameters", "multiply_adds"]
    stages = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    stages.index = pd.MultiIndex.from_tuples(stages.index, names=["part", "stage"])
    blocks = []
    for part in dict.fromkeys(PARTS.values()):
        block = stages[stages.index.get_level_values("part") == part]
        total = pd.DataFrame([["", *block[columns[1:]].sum()]], index=[(part, "total")], columns=columns)
        blocks += [block, total] if len(block) else []
    total = pd.DataFrame([["", *stages[columns[1:]].sum()]], index=[("network", "total")], columns=columns)
    table = pd.concat([*blocks, total])
    table.index = pd.MultiIndex.from_tuples(table.index, names=["part", "stage"])
    return table
