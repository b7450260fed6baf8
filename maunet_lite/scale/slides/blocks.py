"""Cutting a slide into blocks, and joining the cells of the blocks so that each cell exists once.

A block has a *core*, which no other block has, and sees a *region* that reaches beyond the core by the
*halo*. It segments its region, and keeps the pixels of its core. The name of a cell is the position of its
first pixel, in reading order, on the slide. Two blocks that both see a cell as a whole give it the same name:
its parts in both cores are one cell, without any matching, and the result is that of the whole image.

A cell that the edge of a region cuts off has no such name. Beside the seam, its block asks what the neighbour
says about the same pixels and takes the neighbour's name: so cells larger than the overlap are joined, too.
"""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from maunet_lite.data import covered, shared, tiles_of
from maunet_lite.postprocessing import Runs

Region = tuple[slice, slice]


class Block(NamedTuple):
    """One block.

    Attributes
    ----------
    index : int
        Counted row after row.
    core : (slice, slice)
        Rows and columns of the slide that this block alone decides on.
    region : (slice, slice)
        What it sees.
    """

    index: int
    core: Region
    region: Region


class Part(NamedTuple):
    """What a block says about its core, in the terms of the whole slide.

    Attributes
    ----------
    labels : numpy.ndarray
        (h, w) int32, cells 1 … M of the core.
    names : numpy.ndarray
        (M,) int64: position of the cell's first pixel on the slide; negative for a cell that is cut off.
    first : numpy.ndarray
        (M,) int64: position of its first pixel within the core.
    seams : dict of str to numpy.ndarray
        For "top", "bottom", "left" and "right", where there is a neighbour: (2, n) int64, the names of the
        cells on the outermost line of the core, and on the neighbour's line beside it.
    sums : numpy.ndarray
        (M, 3) float64: pixels and `inference.evidence`, summed over the core's pixels of each cell.
    """

    labels: np.ndarray
    names: np.ndarray
    first: np.ndarray
    seams: dict[str, np.ndarray]
    sums: np.ndarray = np.zeros((0, 3))


class BlockGrid:
    """The blocks of a slide.

    Parameters
    ----------
    shape : (int, int)
        Of the slide.
    block : int
        Side of the cores in pixels; the last ones may be smaller.
    halo : int
        Pixels that a block sees beyond its core.

    Examples
    --------
    >>> grid = BlockGrid((300, 500), block=200, halo=50)
    >>> len(grid.blocks), grid.blocks[2].core, grid.blocks[2].region
    (6, (slice(0, 200, None), slice(400, 500, None)), (slice(0, 250, None), slice(350, 500, None)))
    """

    def __init__(self, shape: tuple[int, int], block: int, halo: int) -> None:
        if block < 1 or halo < 0:
            raise ValueError(f"block is {block} and halo {halo}; expected at least 1 and 0 pixels")
        self.shape, self.block, self.halo = shape, block, halo
        self.down, self.across = (-(-side // block) for side in shape)
        self.blocks = []
        for index, core in enumerate(tiles_of(shape, (block, block))):
            sides = zip(core, shape, strict=True)
            region = tuple(slice(max(p.start - halo, 0), min(p.stop + halo, n)) for p, n in sides)
            self.blocks.append(Block(index, core, region))

    def neighbor(self, index: int, side: str) -> int | None:
        """Return the index of the block on a side, "top", "bottom", "left" or "right", if there is one."""
        down, right = {"top": (-1, 0), "bottom": (1, 0), "left": (0, -1), "right": (0, 1)}[side]
        i, j = index // self.across + down, index % self.across + right
        return i * self.across + j if 0 <= i < self.down and 0 <= j < self.across else None

    def in_order(self) -> list[Block]:
        """Return the blocks in the order of least memory: line after line along the shorter side."""
        table = np.arange(len(self.blocks)).reshape(self.down, self.across)
        return [self.blocks[k] for k in (table if self.shape[1] <= self.shape[0] else table.T).ravel()]

    def blocks_in(self, rows: slice, columns: slice) -> list[Block]:
        """Return the blocks whose cores share pixels with a region."""
        places = product(covered(rows, self.block), covered(columns, self.block))
        return [self.blocks[i * self.across + j] for i, j in places]

    def cut(self, labels: np.ndarray, block: Block) -> Part:
        """Return what the labels of a block's region say about its core.

        Parameters
        ----------
        labels : numpy.ndarray
            (h, w) int32, the segmented region, labels 1 … N without gaps.
        block : Block
        """
        n = int(labels.max())
        names = np.zeros(n + 1, dtype=np.int64)
        names[1:] = self._positions(Runs.of(labels).first_pixels(n)[1:], block.region)
        severed = self._severed(labels, block)
        names[severed] = -(np.int64(block.index + 1) << 32) - severed
        rows, columns = (inside for inside, _ in map(shared, block.region, block.core))
        core = labels[rows, columns]
        runs = Runs.of(core)
        present = np.setdiff1d(runs.value, [0])
        table = np.zeros(n + 1, dtype=np.int32)
        table[present] = np.arange(1, present.size + 1)
        first = self._positions(runs.first_pixels(n)[present], block.core)
        seams = {}
        for side, lines, own, other in (
            ("top", labels[:, columns], rows.start, rows.start - 1),
            ("bottom", labels[:, columns], rows.stop - 1, rows.stop),
            ("left", labels[rows].T, columns.start, columns.start - 1),
            ("right", labels[rows].T, columns.stop - 1, columns.stop),
        ):
            if self.neighbor(block.index, side) is not None:
                visible = 0 <= other < len(lines)  # not if there is no halo
                seams[side] = names[np.stack([lines[own], lines[other] if visible else 0 * lines[own]])]
        return Part(runs.painted(table, core.shape), names[present], first, seams)

    def _positions(self, pixels: np.ndarray, region: Region) -> np.ndarray:
        """Turn positions in a flattened region into positions on the flattened slide."""
        rows, columns = np.divmod(pixels, region[1].stop - region[1].start)
        return (rows + region[0].start) * self.shape[1] + columns + region[1].start

    def _severed(self, labels: np.ndarray, block: Block) -> np.ndarray:
        """Labels that touch an edge of the region that is no edge of the slide."""
        (rows, columns), (height, width) = block.region, self.shape
        edges = [
            labels[0] * (rows.start > 0), labels[-1] * (rows.stop < height),
            labels[:, 0] * (columns.start > 0), labels[:, -1] * (columns.stop < width),
        ]  # fmt: skip
        return np.setdiff1d(np.concatenate(edges), [0])

    def join(self, parts: Mapping[int, Part]) -> tuple[dict[int, np.ndarray], int]:
        """Give the cells of all blocks the ids 1 … N in reading order; parts of a cell get the same.

        Parameters
        ----------
        parts : mapping of int to Part
            By index of the block; blocks without cells may be missing. `labels` are not looked at.

        Returns
        -------
        dict of int to numpy.ndarray
            For each block a table (M + 1,) int32: ``table[part.labels]`` are the ids on the slide.
        int
            N.
        """
        pairs = [np.zeros((0, 2), dtype=np.int64)]
        for index, part in parts.items():
            for side, opposite in (("bottom", "top"), ("right", "left")):
                other = parts.get(self.neighbor(index, side))
                if other is not None and side in part.seams:
                    pairs.append(same_cells(part.seams[side], other.seams[opposite]))
        sizes = [part.names.size for part in parts.values()]
        if not sum(sizes):
            return {index: np.zeros(1, dtype=np.int32) for index in parts}, 0
        said = [part.names for part in parts.values()]
        names, place = np.unique(np.concatenate([*said, *map(np.ravel, pairs)]), return_inverse=True)
        place, (upper, lower) = place[: sum(sizes)], place[sum(sizes) :].reshape(-1, 2).T
        links = coo_matrix((np.ones(upper.size, np.int8), (upper, lower)), shape=(names.size, names.size))
        cell = connected_components(links, directed=False)[1][place]  # of each label of each part
        first = np.full(names.size, np.iinfo(np.int64).max)
        np.minimum.at(first, cell, np.concatenate([part.first for part in parts.values()]))
        ids = np.zeros(names.size, dtype=np.int32)
        ids[np.argsort(first)] = np.arange(1, names.size + 1)
        cut = np.split(ids[cell], np.cumsum(sizes)[:-1])
        tables = {index: np.append(np.int32(0), one) for index, one in zip(parts, cut, strict=True)}
        return tables, np.unique(cell).size


def same_cells(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Find names, given by two blocks, that mean the same cell although they differ.

    Parameters
    ----------
    upper, lower : numpy.ndarray
        (2, n) int64, what each of the two blocks says about its own outermost line and about the other's.

    Returns
    -------
    numpy.ndarray
        (k, 2) int64. A cell that is cut off in its own block (negative name) is the one to which the
        neighbour gives most of its pixels on its own line, if it gives it at least half. Two whole cells with
        different names are the same if more than half of their pixels on both lines are shared; that only
        happens when a network does not repeat its result exactly.

    Examples
    --------
    >>> same_cells(np.array([[7, 7, 0], [7, 7, 9]]), np.array([[-5, -5, 9], [-5, -5, 0]]))
    array([[-5,  7]])
    """
    found = [_majority(lower[0], upper[1]), _majority(upper[0], lower[1])]
    both = np.stack([upper.ravel(), lower[::-1].ravel()])
    whole = both[:, (both > 0).all(axis=0) & (both[0] != both[1])]
    pairs, common = np.unique(whole, axis=1, return_counts=True)
    sizes = (both[:, :, None] == pairs[:, None]).sum(axis=(0, 1))  # of both cells of a pair together
    return np.concatenate([*found, pairs[:, 3 * common > sizes].T])


def _majority(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pairs of a cell cut off in its own block, and what the neighbour calls most of its pixels."""
    cut = own < 0
    pairs, common = np.unique(np.stack([own[cut], other[cut]]), axis=1, return_counts=True)
    _, total = np.unique(own[cut], return_counts=True)
    order = np.lexsort((-common, pairs[0]))
    pairs, common = pairs[:, order], common[order]
    best = np.flatnonzero(np.diff(pairs[0], prepend=np.int64(1)))
    return pairs[:, best[(2 * common[best] >= total) & (pairs[1][best] != 0)]].T
