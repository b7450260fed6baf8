"""What a network is made of: the paper's Table 2, counted layer by layer."""

import copy
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from maunet_lite.network.maunet import MAUNet, preset_config

PARTS = ("encoder", "skips", "class decoder", "distance decoder", "heads", "network")  # order of the table


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
    model = skeleton(preset_or_model).eval()
    rows: list[tuple[str, str, str, int, int]] = []

    def note(name: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if not isinstance(layer, nn.MaxPool2d):  # the stem returns what comes before
            size = " × ".join(map(str, output.shape[1:]))
            costs = sum(p.numel() for p in layer.parameters()), multiply_adds(layer, args[0], output)
            rows.append((*_place(name, output, shape[0]), size, *costs))

    for name, layer in model.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(partial(note, name))
    with torch.no_grad():
        model(torch.zeros(1, 3, *shape, device="meta"))
    layers = pd.DataFrame(rows, columns=["part", "stage", "output", "parameters", "multiply_adds"])
    totals = layers.assign(stage="total", output="")
    stages = pd.concat([layers, totals, totals.assign(part="network")]).groupby(["part", "stage"], sort=False)
    table = stages.agg({"output": "last", "parameters": "sum", "multiply_adds": "sum"})
    order = {"key": lambda parts: parts.map(PARTS.index), "sort_remaining": False, "kind": "stable"}
    return table.sort_index(level="part", **order)


def skeleton(preset_or_model: str | MAUNet) -> MAUNet:
    """Return a preset, or a copy of a network, without weights: nothing can be computed but shapes."""
    if isinstance(preset_or_model, MAUNet):
        return copy.deepcopy(preset_or_model).to("meta")
    return MAUNet.empty(preset_config(preset_or_model))


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
    per_value = {nn.BatchNorm2d: 2, nn.InstanceNorm2d: 4, nn.LayerNorm: 5, nn.GroupNorm: 5}
    return output.numel() * next((n for kind, n in per_value.items() if isinstance(layer, kind)), 0)


def _place(name: str, output: Tensor, height: int) -> tuple[str, str]:
    """Return part and stage of the layer called `name`, from its output for an image of this height."""
    part, *path = name.split(".")
    if part == "encoder":
        path = [step for step in path if step != "net"]  # timm's network is one level deeper
        if len(path) == 1 or path[0] == "stem":
            return "encoder", "stem"
        return "encoder", f"stage {int(path[1]) + 2}" if path[0] == "stages" else path[0]
    if part.endswith("_head"):
        return "heads", part.removesuffix("_head")
    return part.replace("_", " "), f"stride {height // output.shape[2]}"
