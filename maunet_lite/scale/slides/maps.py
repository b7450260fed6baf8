"""The network's maps of any region of a slide: the same numbers as if the whole slide had been predicted.

The windows stand on one grid for the whole slide (`inference.plan_windows`), whatever the
region. A region is blended from the windows that touch it, so two regions that overlap agree where they do. A
window that several regions need is computed once, if its result can be kept until then.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, product
from operator import itemgetter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maunet_lite import inference
from maunet_lite.data import Slide, shared
from maunet_lite.inference import AxisWindow, Grid, Model, Taps, add_window, run_windows, to_planes
from maunet_lite.postprocessing import Maps
from maunet_lite.preprocessing import Scaling

EMPTY = 0.04  # of the range of intensities: a window with less contrast holds no cell
_GROUP = 8  # windows that are read and scaled together
_NOTHING = torch.empty(0)  # in place of the result of an empty window
_BACKGROUND = 9.0  # logit of the background in an empty window; the others are 0

Region = tuple[slice, slice]
Key = tuple[int, int, int]  # grid, row, column of a window


class SlideNetwork:
    """Networks that look at regions of a slide.

    Parameters
    ----------
    slide : Slide
    models : MAUNet, name or path, or a sequence of them
        As in `inference.predict`, like `scales`, `window`, `device`, `flips`.
    scaling : Scaling
        Of the whole slide.
    gpu_memory : float, optional
        GiB that weights, maps and a batch of windows may take on a GPU together; results of windows wait in
        the computer's memory then.
    empty : float
        Windows in which no patch of 8 × 8 pixels differs from another by more than this part of the range of
        intensities are taken for background without asking the network. 0: none.
    keep : int
        Bytes of results that may be kept for the regions to come.
    """

    def __init__(
        self, slide: Slide, models: Model | Sequence[Model], scaling: Scaling, *,
        scales: Sequence[float] = (1.0,), window: int | None = None, device: str | torch.device = "auto",
        gpu_memory: float | None = None, empty: float = EMPTY, keep: int = 0, flips: bool = False,
    ) -> None:  # fmt: skip
        networks = inference.as_models(models)
        self.slide, self.scaling, self.empty, self.keep = slide, scaling, empty, keep
        self.device, self.gpu_memory, self.flips = inference.resolve_device(device), gpu_memory, flips
        self.half = inference.checked_half(None, self.device)
        self.scales = inference.checked_scales(scales, int(np.prod(slide.shape)), inference.MULTI_SCALE_LIMIT)
        self.heads = inference.Heads.of(networks)
        self.grids = inference.plan_windows(networks, slide.shape, self.scales, window)
        self._ready = {net: inference.prepare(net, self.device, self.half) for net in networks}
        # GiB for maps and windows, and what of it is left for windows
        self._room = self._left = inference.left_for_maps(gpu_memory, networks, self.device)
        self.computed = 0  # windows that the network has seen
        self._uses: Counter[Key] = Counter()
        self._kept: dict[Key, Tensor] = {}

    def expect(self, regions: Iterable[Region]) -> None:
        """Say which regions will be asked for: windows are kept until the last one that needs them."""
        for region in regions:
            self._uses.update(key for g, grid in enumerate(self.grids) for key in _touched(g, grid, region))

    def maps(self, rows: slice, columns: slice) -> Maps | None:
        """Return the maps of a region, (C, h, w) and (h, w), or None if there is nothing in it."""
        shape = (self.heads.n_maps, rows.stop - rows.start, columns.stop - columns.start)
        anything = False
        total, self._left = inference.zeros(shape, self.device, self._room)
        with torch.inference_mode():
            for g, grid in enumerate(self.grids):
                for _, line in groupby(_touched(g, grid, (rows, columns)), key=itemgetter(1)):
                    results = self._look(grid, list(line))
                    for key, values in results.items():
                        anything |= values.numel() > 0
                        self._blend(total, values, grid, key, (rows, columns))
                    self._forget(results)
            return self.heads.maps(total) if anything else None

    def _look(self, grid: Grid, keys: list[Key]) -> dict[Key, Tensor]:
        """Return what the network says about windows of one row, kept or new."""
        results = {key: self._kept.get(key, _NOTHING) for key in keys}
        missing = [key for key in keys if key not in self._kept]
        for start in range(0, len(missing), _GROUP):
            results |= self._compute(grid, missing[start : start + _GROUP])
        return results

    def _compute(self, grid: Grid, keys: list[Key]) -> dict[Key, Tensor]:
        row = grid.rows[keys[0][1]]
        sources = [grid.columns[j].source for _, _, j in keys]
        left, right = min(s.start for s in sources), max(s.stop for s in sources)
        planes = to_planes(self.slide.read(row.source, slice(left, right)), scaling=self.scaling)
        row = row._replace(source=slice(0, planes.shape[1]))
        places = {}
        for key, source in zip(keys, sources, strict=True):
            here = slice(source.start - left, source.stop - left)
            if not is_empty(planes[:, :, here], self.empty):
                places[key] = row, grid.columns[key[2]]._replace(source=here)
        self.computed += len(places)
        found, windows = [], list(places.values())
        network = self._ready[grid.model]
        for _, output in run_windows(network, planes, windows, memory=self._left, flips=self.flips):
            shares = self.heads.share(output, grid.model, len(self.scales))
            if self.gpu_memory is not None:  # a line of results would not be counted
                shares = shares.cpu()
            found += [share.clone() for share in shares] if len(shares) > 1 else shares
        return dict.fromkeys(keys, _NOTHING) | dict(zip(places, found, strict=True))

    def _blend(self, total: Tensor, values: Tensor, grid: Grid, key: Key, region: Region) -> None:
        """Add the part of a window's result that lies in the region."""
        row, column = _part(grid.rows[key[1]], region[0]), _part(grid.columns[key[2]], region[1])
        if values.numel():
            add_window(total[: len(values)], values.to(total.device), row, column)
            return
        weight = torch.from_numpy(np.outer(row.weight, column.weight)).to(total.device)
        total[0, row.target, column.target] += weight * (_BACKGROUND / len(self.grids))

    def _forget(self, results: dict[Key, Tensor]) -> None:
        """Keep what will be needed again, as far as there is room, and drop the rest."""
        for key, values in results.items():
            self._uses[key] -= 1
            if self._uses[key] <= 0:
                self._kept.pop(key, None)
            elif key not in self._kept and sum(v.nbytes for v in (values, *self._kept.values())) <= self.keep:
                self._kept[key] = values.cpu()


def is_empty(planes: Tensor, contrast: float) -> bool:
    """Tell whether there is nothing in a region: no patch of it much brighter or darker than another.

    Parameters
    ----------
    planes : Tensor
        (C, h, w) normalised to [0.01, 0.99].
    contrast : float
        Means of patches of 8 × 8 pixels that differ by more than this in any channel are something. 0 or
        below: nothing is ever empty.

    Examples
    --------
    >>> glass = torch.full((1, 40, 40), 0.8)
    >>> is_empty(glass, 0.04), is_empty(glass, 0)
    (True, False)
    >>> glass[0, 8:16, 8:16] = 0.7
    >>> is_empty(glass, 0.04)
    False
    """
    side = min(8, *planes.shape[-2:])  # noise cancels out in means, cells do not
    patches = F.avg_pool2d(planes[None], side, ceil_mode=True)[0].flatten(1)  # (C, patches)
    return bool((patches.amax(dim=1) - patches.amin(dim=1)).max() < contrast)


def _touched(g: int, grid: Grid, region: Region) -> list[Key]:
    """Windows of a grid that have something to say about a region, row after row."""
    axes = zip([[w.target for w in windows] for windows in grid[1:]], region, strict=True)
    near = ([i for i, t in enumerate(ts) if t.start < p.stop and p.start < t.stop] for ts, p in axes)
    return [(g, i, j) for i, j in product(*near)]


def _part(window: AxisWindow, part: slice) -> AxisWindow:
    """Return the window limited to a part of the axis, its target counted from the start of that part."""
    target, inside = shared(part, window.target)
    restore = Taps(window.restore.index[:, inside], window.restore.weight[:, inside])
    return window._replace(target=target, restore=restore, weight=window.weight[inside])
