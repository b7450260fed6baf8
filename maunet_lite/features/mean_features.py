"""Mean features of the network inside background and cells, image by image (paper 4.2).

"For each image, we respectively calculate the average features within the background mask and the cell
interior mask": `mean_features` does that for any layer and any image size; `space` and `separability` then
look at what came out.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise, product

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maunet_lite.data import Sample
from maunet_lite.features.space import PARTS, Features, Head
from maunet_lite.figures import CLASS_NAMES
from maunet_lite.inference import mirrored, resolve_device, window_starts
from maunet_lite.network import MAUNet
from maunet_lite.preprocessing import make_targets, normalize

HEAD_INPUT = "class_decoder"  # the layer whose features the classification head reads


def class_head(model: MAUNet) -> Head:
    """Return the classification head of a network as weights and bias: the class proxies of paper Fig. 6(b).

    Where the head unfolds sub-pixels (preset ``lite``), their weights and biases are averaged, so that
    ``weights @ feature + bias`` is the mean logit of the sub-pixels.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> head = class_head(build_model("lite"))
    >>> head.names, head.weights.shape
    (('background', 'interior', 'boundary', 'proxy'), (4, 16))
    """
    weights = model.class_head.class_weights()  # (K, D)
    bias = model.class_head.conv.bias.detach().reshape(len(weights), -1).mean(dim=1)
    names = CLASS_NAMES[: model.n_classes] + (("proxy",) if model.config.proxy else ())
    return Head(weights.cpu().double().numpy(), bias.cpu().double().numpy(), tuple(names))


def layers(model: MAUNet) -> pd.DataFrame:
    """List the layers whose features can be read.

    Returns
    -------
    pandas.DataFrame
        Columns layer, channels and stride (pixels of the image per pixel of the feature map), in the order of
        computation. Decoder blocks count from the deepest; ``"class_decoder"``, the last block's output, is
        what the classification head reads.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> layers(build_model("lite")).iloc[[0, -1]].values.tolist()
    [['encoder.0', 24, 2], ['distance_decoder', 16, 2]]
    """
    side, device = 4 * model.stride, next(model.parameters()).device
    with _reading(model, device) as read:
        model(torch.zeros(1, 3, side, side, device=device))
        rows = [(name, value.shape[1], side // value.shape[2]) for name, value in read.items()]
    return pd.DataFrame(rows, columns=["layer", "channels", "stride"])


def mean_features(
    model: MAUNet, samples: Iterable[Sample], layer: str | Sequence[str] = HEAD_INPUT, *, window: int = 512,
    overlap: int = 128, device: str | torch.device = "auto", progress: bool = False,
) -> Features | dict[str, Features]:  # fmt: skip
    """Return the mean feature vectors of background and cell interiors, image by image (paper 4.2).

    Parameters
    ----------
    model : MAUNet
        Its mode and device are restored afterwards.
    samples : CellDataset, or iterable of Sample
        Images of any size with name and modality. Without labels, the masks are the network's own prediction.
    layer : str or sequence of str
        Names from `layers`. Several cost one pass and return a dict.
    window, overlap
        Larger images are seen through windows of at most this many pixels, a multiple of the network's
        stride, which share at least `overlap` pixels with their neighbours; each pixel counts once, in the
        window where it lies deeper. A window as large as the image sees it whole.
    device : str or torch.device
    progress : bool
        Show a progress bar over images.

    Returns
    -------
    Features, or dict of layer → Features
        Two rows per image, background and interior; a row is left out where an image has no such pixel.
        Boundary pixels count nowhere.

    Raises
    ------
    ValueError
        If a layer is not known, or if there is not a single image.

    Notes
    -----
    A feature map of stride s has one vector for s × s pixels. Each vector counts as often as it has pixels
    in the mask, which equals enlarging the map to the size of the image (nearest neighbour) and averaging
    there.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> labels = np.zeros((40, 50), int); labels[10:30, 10:30] = 1
    >>> found = mean_features(build_model("lite"), [Sample("a", "dic", np.uint8(200 * labels), labels)])
    >>> found.vectors.shape, found.table[["class", "pixels"]].values.tolist()
    ((2, 16), [['background', 1600], ['interior', 324]])
    """
    names = [layer] if isinstance(layer, str) else list(layer)
    known = list(layers(model)["layer"])
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"layer {unknown[0]!r} is not known; this network has {', '.join(known)}")
    rows, vectors = [], {name: [] for name in names}
    with _reading(model, resolve_device(device)) as read:
        for sample in tqdm(samples, desc="features", unit="image", disable=not progress):
            sums, pixels = _image_sums(model, sample, names, read, (window, overlap))
            mask = "predicted" if sample.labels is None else "truth"
            for k in np.flatnonzero(pixels):
                rows.append((sample.name, sample.modality, PARTS[k], int(pixels[k]), mask))
                for name in names:
                    vectors[name].append((sums[name][k] / pixels[k]).astype(np.float32))
    if not rows:
        raise ValueError("no image was given: samples is empty (or was an iterator that is used up)")
    table = pd.DataFrame(rows, columns=["image", "modality", "class", "pixels", "mask"])
    head = class_head(model)
    found = {n: Features(np.stack(vectors[n]), table, n, head if n == HEAD_INPUT else None) for n in names}
    return found[names[0]] if isinstance(layer, str) else found


def _image_sums(
    model: MAUNet, sample: Sample, names: list[str], read: dict[str, Tensor], window: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return sums of features over the pixels of each part, {layer: (2, D)}, and numbers of pixels, (2,)."""
    image = normalize(sample.image, model.config.intensity)
    classes = None if sample.labels is None else make_targets(sample.labels).classes
    if classes is not None and classes.shape != image.shape[:2]:
        raise ValueError(
            f"{sample.name}: the image has {image.shape[:2]} pixels and the label map {classes.shape}, "
            "expected the same"
        )
    sums, pixels = dict.fromkeys(names, 0.0), np.zeros(len(PARTS))
    axes = [_plan(length, *window, model.stride) for length in image.shape[:2]]
    for (rows, own_rows), (columns, own_columns) in product(*axes):
        shown = np.ix_(rows, columns)
        x = torch.from_numpy(image[shown]).permute(2, 0, 1)[None]  # (1, 3, window, window)
        logits = model(x.to(next(model.parameters()).device)).logits
        # without labels the most likely class counts; the proxy is never one
        seen = logits[0, : model.n_classes].argmax(dim=0).cpu().numpy() if classes is None else classes[shown]
        own = own_rows[:, None] & own_columns
        masks = np.stack([(seen == k) & own for k in range(len(PARTS))])  # (2, window, window)
        pixels += masks.sum(axis=(1, 2))
        sums = {name: total + _masked_sums(read[name][0], masks) for name, total in sums.items()}
    return sums, pixels


def _masked_sums(values: Tensor, masks: np.ndarray) -> np.ndarray:
    """Sum (D, h, w) features over masks (2, H, W); each counts once per pixel of the mask it covers."""
    height, width = values.shape[1:]
    ratio_y, ratio_x = masks.shape[1] // height, masks.shape[2] // width
    weights = masks.reshape(len(masks), height, ratio_y, width, ratio_x).sum(axis=(2, 4))  # (2, h, w)
    # first to the CPU: Apple's MPS has no float64
    return np.einsum("khw,dhw->kd", weights, values.cpu().double().numpy(), optimize=True)


def _plan(length: int, window: int, overlap: int, stride: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each window of an axis which pixels it shows (mirrored beyond the image) and answers for."""
    size, starts = window_starts(length, window, overlap, stride)
    # neighbours divide what they share in the middle
    cuts = [0, *((left + size + right) // 2 for left, right in pairwise(starts)), length]
    for start, first, last in zip(starts, cuts[:-1], cuts[1:], strict=True):
        position = np.arange(start, start + size)
        yield mirrored(position, length), (position >= first) & (position < last)


@contextmanager
def _reading(model: MAUNet, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """Keep every layer's output of the latest pass in a dict, in evaluation mode on a device.

    Mode, place and the forward hooks that read are as before at the end.
    """
    training, home = model.training, next(model.parameters()).device
    read: dict[str, Tensor] = {}

    def keep(name: str, module: object, inputs: object, output: Tensor | list[Tensor]) -> None:
        stages = {f"{name}.{k}": value for k, value in enumerate(output)} if isinstance(output, list) else {}
        read.update(stages or {name: output})

    watched = {"encoder": model.encoder}
    for name in ("class_decoder", "distance_decoder"):
        if decoder := getattr(model, name):
            watched |= {f"{name}.{k}": block for k, block in enumerate(decoder.blocks)} | {name: decoder}
    with ExitStack() as after:
        after.callback(lambda: model.train(training).to(home))
        for name, part in watched.items():
            after.enter_context(part.register_forward_hook(partial(keep, name)))
        model.eval().to(device)
        with torch.inference_mode():
            yield read
