# %% [markdown]
# # 07 · Segment images of any size
#
# The paper's largest image has 8415 × 10496 pixels. It does not fit into the memory of a laptop together
# with all that a network says about it, and it need not. In this notebook you cut images into windows
# and blocks, and put them together again so that nobody can tell where the cuts were.

# %%
import matplotlib.pyplot as plt
import numpy as np

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.inference import predict, segment
from maunet_lite.scale import BlockGrid
from maunet_lite.course import exercises, record, show
from maunet_lite.course.figures.slides import NUCLEI, SlideView, cost, make_slide

scene = ml.simulate("fluorescence", (400, 480), n_cells=130, rng=np.random.default_rng(4), **NUCLEI)
half = scene.image.shape[1] // 2
alone = [segment(scene.image[:, :half]), segment(scene.image[:, half:])]
together = segment(scene.image)
cut = np.concatenate([alone[0], np.where(alone[1] > 0, alone[1] + alone[0].max(), 0)], axis=1)

here = np.s_[100:300, half - 100 : half + 100]  # a look at the middle
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="compressed")
figures.show_image(scene.image[here], axes[0], "part of an image")
figures.overlay(scene.image[here], cut[here], axes[1], "two halves, each alone")
figures.overlay(scene.image[here], together[here], axes[2], "at once")
axes[1].axvline(99.5, color="w", lw=0.8, ls=":")
show(fig, alt="Nuclei; cells cut in two along a dotted line in the middle; cells whole.", dpi=120)

# %% [markdown]
# *What you are looking at: a simulated image, cut in the middle and segmented in halves. Cells on the dotted
# line became two. By the end of this notebook you cut wherever you like, and get the picture on the right.*
#
# **You will**
#
# 1. measure what an image costs, in seconds and in memory, and what fits into a budget,
# 2. see the seams of windows, and blend them away by hand, as the package does,
# 3. find out what a block must not decide for itself,
# 4. join the cells of blocks by hand, each cell once,
# 5. segment a slide within a budget of memory, stop in the middle and go on,
# 6. watch it happen, block by block,
# 7. read the paper's Table 6, find the two workloads in it, and send work to many processes.
#
# **You will learn** why large images get seams, and how to prove that yours have none; how to plan time
# and memory before a job begins instead of after it has died.
#
# **You need** NumPy, and notebooks 00 and 05. No GPU, no data, no downloads.
#
# **Time** about 50 minutes with the exercises; a minute or two to run on a CPU, less on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
SEED = 0
SIDES = [400, 800, 1200]  # pixels: images whose cost is measured
SLIDE = 1500  # pixels: the side of the slide
BLOCK = 250  # pixels: the side of its blocks
WORKERS = 0  # processes that segment blocks in section 7; 0: this one alone

# %%
import contextlib
import io
import warnings
import tempfile
from pathlib import Path

import pandas as pd
import tifffile
import torch
from IPython.display import display
from scipy.special import softmax
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry
from skimage.transform import rescale

from maunet_lite.data import parse_bytes, show_bytes
from maunet_lite.evaluation import otsu_watershed
from maunet_lite.inference import current_memory, plan_axis
from maunet_lite.postprocessing import PostprocessConfig, segment as segment_maps
from maunet_lite.preprocessing import normalize
from maunet_lite.scale import segment_slide

ml.seed_everything(SEED)
FOLDER = Path(tempfile.mkdtemp(prefix="slides-"))
model = ml.load_model("lite")
predict(model, scene.image[:64, :64])  # the first call prepares the network: do not time that
slide, truth = make_slide(SLIDE, np.random.default_rng(SEED), islands=4)
OPTIONS = {"block": BLOCK, "window": 256, "overlap": 32, "progress": False}  # small, as the slide is

# %% [markdown]
# ## 1 · What does an image cost?
#
# Twice the side is four times the pixels. **Predict, then run.** Twice the side: how many times the
# seconds? How many times the memory? And a guess in bytes: how much memory does `segment` take for *one*
# pixel?


# %%
def square(side):
    """Cells on a picture of any size: one small picture, repeated."""
    tile = scene.image[:400, :400]
    times = -(-side // 400)
    return np.tile(tile, (times, times))[:side, :side]


# small windows: little working space for the network; one scale: no look first at how large the cells are
costs = {side: cost(segment, square(side), model, window=256, scales=(1.0,)) for side in SIDES}
table = pd.DataFrame(
    {
        "megapixels": [side**2 / 1e6 for side in SIDES],
        "seconds": [costs[side].seconds for side in SIDES],
        "MiB": [costs[side].memory / 2**20 for side in SIDES],
    },
    index=[f"{side} × {side}" for side in SIDES],
)
per_pixel = max(50, costs[SIDES[-1]].memory / SIDES[-1] ** 2)
seconds_per_megapixel = costs[SIDES[-1]].seconds / (SIDES[-1] ** 2 / 1e6)
record("seconds per megapixel", seconds_per_megapixel)
print(f"this process holds {show_bytes(current_memory())} with nothing to do")
print(f"a pixel of the largest image takes {per_pixel:.0f} bytes")
table.round(2)

# %% [markdown]
# Twice the side is about four times the seconds: they grow with the pixels, and that is good news, for no
# loop over cells is hidden anywhere (notebook 05, section 9). Memory grows more slowly at first, since small
# images pay mostly for the network's own working space. For large ones the pixels count: five maps of four
# bytes each, the scaled image in one or three channels of four bytes, and as much again while cells are cut
# out. All this for a pixel that was *one* byte in the file.
#
# So it is memory that sets the limit, and it can be known beforehand.
#
# ### Exercise 07.1 · what fits into the budget? (easy)
#
# `budget` bytes may be used, `base` bytes of them are taken before the first pixel, and each pixel takes
# `per_pixel`. Return the side of the largest square image that fits, a whole number; 0 if nothing does.


# %%
def largest_side(budget, base, per_pixel):
    raise NotImplementedError


exercises.check("07.1", largest_side)

# %% [markdown]
# <details><summary>Solution</summary>
#
# What is left, divided by the price of a pixel, is a number of pixels; its root is a side. Round down,
# never up.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def largest_side_solution(budget, base, per_pixel):
    return int((max(budget - base, 0) / per_pixel) ** 0.5)


exercises.check("07.1", largest_side_solution)

# %%
base = current_memory()
for budget in ("2GiB", "4GiB", "16GiB", "64GiB"):
    side = int(np.sqrt(max(parse_bytes(budget) - base, 0) / per_pixel))
    hours = seconds_per_megapixel * side**2 / 1e6 / 3600
    print(f"{budget:>6}: {side:6d} × {side} pixels at once, {60 * hours:5.1f} minutes on this machine")

# %% [markdown]
# A slide scanner writes 100,000 × 100,000 pixels. No machine holds that at once, so we must cut.
#
# ## 2 · Windows, and why they overlap
#
# The network already sees an image in pieces: **windows** of 512 or 1024 pixels. A window knows nothing
# beyond its edge. Let us make windows of 128 pixels, so that there are many edges, and lay them side by side
# without any overlap. The picture is **real**: tissue of a colon, which comes with scikit-image, and of it
# the blue dye that binds to nuclei. **Predict, then run.** Where will the maps differ from those of one large
# window, and by how much?

# %%
dye = rgb2hed(immunohistochemistry()[200:392, 90:282])[..., 0]
picture = rescale(dye.astype(np.float32), 2)  # 384 × 384, nuclei at a size the network knows
reference = predict(model, picture).probabilities[1]  # one window holds it all
tried = {"128, side by side": (128, 0), "128, overlap 32": (128, 0.25), "256, overlap 64": (256, 0.25)}
fig, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="compressed")
figures.show_image(picture, axes[0], "real tissue, its blue dye")
wrong = {}
for ax, (name, (window, overlap)) in zip(axes[1:], tried.items(), strict=True):
    error = np.abs(predict(model, picture, window=window, overlap=overlap).probabilities[1] - reference)
    wrong[name] = float(error.mean())
    plan = plan_axis(384, window=window, overlap=int(window * overlap))
    lines = [(a.target.stop + b.target.start) / 2 for a, b in zip(plan, plan[1:], strict=False)]
    away = np.abs(np.arange(384) + 0.5 - np.array(lines)[:, None]).min(axis=0)  # from where windows meet
    away = np.minimum(away, away[:, None])
    print(f"windows of {name}: {error[away < 8].mean():.3f} beside the lines where they meet,", end=" ")
    print(f"{error[away > 32].mean():.3f} more than 32 pixels away, {wrong[name]:.3f} in the mean")
    ax.imshow(error, cmap="magma", vmin=0, vmax=0.3)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"windows of {name}", fontsize=9)
show(
    fig, alt="An image; errors by windows: lines side by side, patches with overlap, fewer in large.", dpi=120
)
record("mean error of P(interior) by windows", wrong)

# %% [markdown]
# Black is no difference, white a difference of 0.3 or more in P(interior). Side by side, errors are largest
# along the lines where windows meet: beside its edge a window guesses, above all about cells that the edge
# cuts. Overlap takes the lines away, for each pixel is trusted to the window in which it lies deepest. What
# is left is most of the error, and lies far from any line, too: a small window knows too little of what is
# *around* its cells, and only a larger one can tell it. So let windows overlap, and make them large. The kit
# blends: the weight of a window falls from 1 to 0 over what it shares, and at every pixel the weights of all
# windows sum to 1.

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 1.9), sharey=True, layout="compressed")
for ax, length, overlap in zip(axes, (1536, 1280), (0, 128), strict=True):
    plan = plan_axis(length, window=512, overlap=overlap)
    total = np.zeros(length)
    for part in plan:
        ax.fill_between(range(part.target.start, part.target.stop), part.weight, alpha=0.5, step="mid")
        total[part.target] += part.weight
    assert np.allclose(total, 1)
    starts = [part.source.start for part in plan]
    ax.set(xlabel=f"pixels; windows start at {starts}", xlim=(0, length))
    ax.set_title(f"overlap of at least {overlap}", fontsize=9)
axes[0].set_ylabel("weight")
show(fig, alt="Weights of windows along an axis: boxes without overlap, crossing ramps with it.", dpi=120)

# %% [markdown]
# Now blend by hand. The network sees one window at a time, of an image that was scaled *as a whole*; what it
# says is weighted and added up. The package blends before the softmax, so we blend the logarithms of the
# probabilities and take the softmax at the end. **Predict, then run.** How far will this loop be from
# `predict`?

# %%
planes = torch.from_numpy(normalize(picture)).permute(2, 0, 1)  # (3, 384, 384), scaled already
axis = plan_axis(384, window=128, overlap=32)  # the same for rows and columns
blended = 0 * predict(model, planes).probabilities
for row in axis:
    for column in axis:
        said = predict(model, planes[:, row.source, column.source]).probabilities  # of this window alone
        weight = np.outer(row.weight, column.weight)
        blended[:, row.target, column.target] += weight * np.log(said + 1e-30)
by_hand = softmax(blended, axis=0)
packaged = predict(model, picture, window=128, overlap=32 / 128).probabilities
assert np.allclose(by_hand, packaged, atol=0.01)
print(f"{len(axis)} × {len(axis)} windows; largest difference {np.abs(by_hand - packaged).max():.0e}")

# %% [markdown]
# The same, but for rounding. The package does nothing else; it sends several windows at a time to a GPU.
#
# ### Exercise 07.2 · windows that cover an axis (medium)
#
# Return where windows start on an axis of `length` pixels: as few of them as possible, the first at 0,
# neighbours sharing at least `overlap`, the last one ending exactly at the end. If one window is enough,
# it starts at 0.


# %%
def window_starts(length, window, overlap):
    raise NotImplementedError


exercises.check("07.2", window_starts)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Step by `window - overlap`; the last window is moved back to end where the image ends, and so shares
# more. The kit spreads the surplus over all of them (see the figure), and starts at multiples of the
# network's stride.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def window_starts_solution(length, window, overlap):
    last = max(length - window, 0)
    return [*range(0, last, window - overlap), last]


exercises.check("07.2", window_starts_solution)

# %% [markdown]
# Overlap has a price: pixels that are computed twice. Half a window on each side means four times the
# work. A *larger* window wastes less than a smaller one with the same overlap in pixels, which is why
# the kit uses 1024 where the network allows it. Networks with instance normalisation do not: for them a
# window's average is part of the answer, so a window must be what it was in training, 512.
#
# ## 3 · What a block must not decide for itself
#
# Windows solve the network's memory. The maps, 20 bytes per pixel for the whole image, are left. So we
# cut once more: into **blocks**, each with its own maps and its own cells. This time the danger lies
# elsewhere. Recall what is taken from the image *as a whole*:
#
# - `normalize` stretches intensities between two percentiles of all pixels (notebook 01),
# - the blur is as wide as the mean cell, and cells below a tenth of the mean area go (notebook 05),
# - some thresholds are relative to the largest value.
#
# **Predict, then run.** The slide has islands of cells and empty ground. Each block is stretched by its
# own percentiles: what becomes of the blocks without cells?

# %%
warnings.filterwarnings("ignore", "no cells were found")  # that is right for an empty block
grid = BlockGrid(slide.shape, BLOCK, halo=0)
own = np.zeros(slide.shape, dtype=np.float32)
ghosts = {"the network": 0, "Otsu's threshold": 0}
for block in grid.blocks:
    own[block.core] = normalize(slide[block.core])[..., 0]
    if not truth[block.core].any():
        ghosts["the network"] += int(segment(slide[block.core], model).max())
        ghosts["Otsu's threshold"] += int(otsu_watershed(slide[block.core]).labels.max())
shared = normalize(slide)[..., 0]

fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="compressed")
for ax, pixels, title in zip(
    axes, (slide, own, shared), ("as stored", "each block alone", "limits of the whole"), strict=True
):
    ax.imshow(pixels[::8, ::8], cmap="gray")
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
show(
    fig,
    alt="A slide; a patchwork of blocks, empty ones full of bright noise; the slide evenly scaled.",
    dpi=120,
)
record("cells found in blocks without any", ghosts)

# %% [markdown]
# Noise, stretched until it fills the range, looks like *something*. A threshold cannot but find cells in it;
# a network finds fewer, the more empty images it has been trained on. And two neighbours that are scaled
# differently disagree about every cell on their common edge.
#
# So before the first block is touched, the kit goes through the slide and settles what holds for all:
#
# - **Intensity limits** from all pixels. A histogram of 256 or 65,536 counts holds all there is to know
#   about 8 or 16 bits, however large the slide; nothing is approximated.
# - **The grid of windows** of the whole slide. A block uses the windows that touch it; two blocks that
#   overlap use the same windows and so see the same maps, to the last digit.
# - **A yardstick**: the mean width and area of cells and the largest distances, from a few windows
#   spread over the slide, or from all of it if it is small.
# - **What is empty.** A window where no patch of 8 × 8 pixels differs from another by more than 4 % of
#   the range is not shown to the network at all.
#
# ## 4 · Each cell once
#
# Now the joining. A slide in miniature, 10 × 16, is cut into two blocks; each sees a few columns (its
# **halo**) beyond what is its own (its **core**). Between the lines is what both see.

# %%
toy = np.zeros((10, 16), dtype=np.int32)
for k, (row, column, height, width) in enumerate(
    [(1, 1, 3, 3), (0, 6, 3, 4), (5, 5, 4, 2), (4, 9, 3, 3), (8, 8, 2, 5), (2, 13, 4, 2)], start=1
):
    toy[row : row + height, column : column + width] = k
SEAM, HALO = 8, 4
seen = [toy[:, : SEAM + HALO], toy[:, SEAM - HALO :]]
renumbered = [np.unique(part, return_inverse=True)[1].reshape(part.shape).astype(np.int32) for part in seen]

fig, axes = plt.subplots(1, 3, figsize=(8, 1.9), layout="compressed")
titles = ["the slide: 6 cells", *(f"block {k}: {part.max()} cells" for k, part in enumerate(renumbered))]
for ax, part, title, left in zip(axes, (toy, *renumbered), titles, (0, 0, SEAM - HALO), strict=True):
    ax.imshow(
        np.ma.masked_equal(part, 0), cmap="tab10", vmin=0, vmax=9, extent=(left, left + part.shape[1], 10, 0)
    )
    for column, style in ((SEAM, "-"), (SEAM - HALO, ":"), (SEAM + HALO, ":")):
        ax.axvline(column, color="0.3", lw=0.8, ls=style)
    ax.set(title=title, xlim=(-0.1, 16.1), yticks=[])
show(
    fig,
    alt="Six rectangles; the same in two blocks with other numbers, some of them in both blocks.",
    dpi=130,
)
print("counted twice:", sum(part.max() for part in renumbered), "cells")

# %% [markdown]
# Every block numbers its cells from 1, so numbers mean nothing. One could compare shapes in the zone
# that both see, and many programs do. But there is a simpler way: give every cell a **name that both
# blocks can work out on their own**. The position of its first pixel, in reading order, *on the slide*
# will do. No two cells share a pixel, so no two share a name.
#
# ### Exercise 07.3 · a name for every cell (medium)
#
# `labels` holds cells 1 … N of a block whose first pixel lies in row `top` and column `left` of a slide
# that is `width` pixels wide. Return an array with N names: row × width + column of each cell's first
# pixel, on the slide.


# %%
def names(labels, top, left, width):
    raise NotImplementedError


exercises.check("07.3", names)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `np.nonzero` goes through an array in reading order. Mind the width: it is the slide's, not the
# block's.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def names_solution(labels, top, left, width):
    found = []
    for k in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels == k)
        found.append((rows[0] + top) * width + columns[0] + left)
    return np.array(found)


exercises.check("07.3", names_solution)

# %% [markdown]
# With names the rest is short: each block writes the names of its *core*, once and for all; equal names
# are one cell; numbered in order they are the labels of the whole. **Predict, then run.** For which
# cells of the toy are both blocks needed? What if the halo were one column instead of four?


# %%
def first_pixels(labels, left, width):
    """Return the name of each cell, in the order of the ids: where its first pixel lies on the slide."""
    ids, first = np.unique(labels, return_index=True)  # an index in reading order, into the block
    rows, columns = np.divmod(first[ids > 0], labels.shape[1])
    return rows * width + columns + left


def join_by_names(labels, block, halo, segment_region):
    """Segment blocks of columns, each alone, and join them by names."""
    height, width = labels.shape
    named = np.zeros(labels.shape, dtype=np.int64)
    for start in range(0, width, block):
        left, right = max(start - halo, 0), min(start + block + halo, width)
        region = segment_region(labels[:, left:right])
        named_region = np.append(-1, first_pixels(region, left, width))[region]  # background: -1
        core = slice(start, min(start + block, width))
        named[:, core] = named_region[:, core.start - left : core.stop - left]
    return np.unique(named, return_inverse=True)[1].reshape(labels.shape)  # in the order of names


def renumber(part):
    return np.unique(part, return_inverse=True)[1].reshape(part.shape).astype(np.int32)


in_order = np.array([0, *np.argsort(np.argsort(first_pixels(toy, 0, 16))) + 1])[toy]
for halo in (4, 2, 1, 0):
    joined = join_by_names(toy, SEAM, halo, renumber)
    print(f"halo {halo}: {joined.max()} cells, equal to the slide: {np.array_equal(joined, in_order)}")
assert np.array_equal(join_by_names(toy, SEAM, 4, renumber), in_order)

# %% [markdown]
# Only the green cell at the top has pixels in both cores, so only it needs both blocks. Its first pixel lies
# two columns before the seam: with a halo of one, block 1 takes another pixel for the first, and one cell
# gets two names.
#
# A name is only right if the block sees the cell's *first* pixel; and the cell is only right if the
# block sees all of it, its neighbours (who have a claim on the border), and as much around them as the
# blur reaches. So the rule is: **a halo larger than the cells**. The kit measures large cells
# in its sample and chooses three times their size and a bit: half as much again, for there are larger ones
# elsewhere, and then twice, for the neighbours.
#
# And a cell larger than that, say a fold in the tissue? It is cut off at the edge of the region, and its
# block knows that. It then asks the neighbour, pixel by pixel along the seam, "what is this to you?",
# and takes the neighbour's name. So large cells are joined as well; only their border with others may
# differ near a seam.
#
# Now with real maps: the network's, from the slide. **Predict, then run.** Blocks of every size, halos
# from 0 to 96 pixels. From which halo on is every cell the same as in the whole, to the pixel?

# %%
from maunet_lite.postprocessing import Maps
from maunet_lite.scale import measure_sample

SIDE = min(SLIDE, 600)
maps = predict(model, square(SIDE))
config = PostprocessConfig()
yardstick = measure_sample([maps], config, whole=True).yardstick
whole = segment_maps(maps, config).labels


def by_blocks(block, halo, ask):
    blocks = BlockGrid(whole.shape, block, halo)
    parts = {}
    for one in blocks.blocks:
        rows, columns = one.region
        region = Maps(maps.probabilities[:, rows, columns], maps.distance[rows, columns])
        part = blocks.cut(segment_maps(region, config, yardstick=yardstick).labels, one)
        parts[one.index] = part if ask else part._replace(seams={})
    tables, _ = blocks.join(parts)
    joined = np.zeros(whole.shape, dtype=np.int32)
    for one in blocks.blocks:
        joined[one.core] = tables[one.index][parts[one.index].labels]
    return joined


# %%
halos = (0, 4, 8, 16, 24, 32, 48, 64, 96)
exactly = {"iou": 0.9999, "border": 0}  # the same cell to the pixel
differing = {}
for block in (100, 250):
    for ask, how in ((False, "names alone"), (True, "asking the neighbour, too")):
        matches = [ml.match_cells(whole, by_blocks(block, halo, ask), **exactly) for halo in halos]
        differing[f"blocks of {block}, {how}"] = [match.fn for match in matches]
differing = pd.DataFrame(differing, index=halos)
styles = {"color": ["#D55E00", "#D55E00", "#0072B2", "#0072B2"], "style": ["-", ":", "-", ":"]}
ax = differing.plot(marker="o", figsize=(8, 3), **styles)
ax.set(xlabel="halo in pixels", ylabel="cells lost or changed", xticks=halos)
ax.set_title("cells that differ from those of the whole image", fontsize=10)
ax.legend(fontsize=7)
show(ax, alt="Cells that differ, against the halo: many without one, none from about two cells on.", dpi=135)
assert differing.iloc[-1].max() <= 1
record("cells that differ at the largest halo", int(differing.iloc[-1].max()))
print(f"the mean cell is {yardstick.width:.0f} pixels wide; {whole.max()} cells in all")
for how, lost in differing.items():
    print(f"{how}: none from a halo of {differing.index[lost[::-1].cummax()[::-1] == 0].min()} pixels on")

# %% [markdown]
# Compare the four lines with the width of the mean cell. Names alone need a halo of more than that, for the
# large cells and the reach of the blur count, not the mean. Small blocks have more seams, so the few cells
# that need most are more likely to lie on one: where the two lines do not end at the same halo, this is why.
# Asking the neighbour, too (dotted), takes less: even most cells that no block sees as a whole come out
# right.
#
# ## 5 · A slide within a budget
#
# `segment_slide` does all this. It reads the slide by region, from a tiled TIFF or a Zarr, so the slide
# itself is never in memory; it takes a budget of memory and chooses the blocks; finished blocks go to
# the disk at once. Here the block's size is prescribed, for our small slide would fit into one.

# %%
path = FOLDER / "slide.tif"
tifffile.imwrite(path, slide, tile=(256, 256), compression="zlib")
view = SlideView(slide)  # for section 6: it takes a picture after each block
result = segment_slide(path, FOLDER / "cells.tif", model, memory="4GiB", watch=view.watch, **OPTIONS)
at_once = segment(slide, model, window=256)
found = tifffile.imread(result.labels)
print(f"{result.cells} cells in {result.blocks} blocks, {result.skipped} of them empty and skipped")
print(f"cells up to {result.overlap} pixels are safe, wherever a block ends")
print(f"pixels that differ from segmenting all at once: {(found != at_once).sum()}")

# %% [markdown]
# No seam, and even the ids are the same: cells are numbered in reading order of the slide, not of the
# blocks. (If a few pixels do differ here, they lie where `segment_slide` did not ask the network because
# nothing is there.)
#
# Long jobs get stopped: a lid is closed, a queue ends, a cable is pulled. We stop this one ourselves,
# after three blocks. **Predict, then run.** What lies on the disk then, and what will the second call
# do?


# %%
def stop_after_three(step):
    if step.done == 3:
        raise KeyboardInterrupt  # as Ctrl-C, or the stop button


out, advice = FOLDER / "again.tif", io.StringIO()
try:
    with contextlib.redirect_stderr(advice):
        segment_slide(path, out, model, watch=stop_after_three, **OPTIONS)
except KeyboardInterrupt:
    print(advice.getvalue().replace(f"{FOLDER}/", ""), end="")
    print("stopped;", *sorted(file.name for file in FOLDER.iterdir()))
    print("inside:", *sorted(file.name for file in (FOLDER / "again.tif.unfinished").iterdir()))

second = segment_slide(path, out, model, **OPTIONS)
print(f"went on after {second.resumed} of {second.blocks} blocks, and finished {out.name}")
again = tifffile.imread(out)
print("the same to the pixel:", np.array_equal(again, found))
assert ml.match_cells(found, again).f1 > 0.99

# %% [markdown]
# Four blocks, not three: while the third was reported, the fourth was being finished. Nothing was lost but
# the block at hand, and the result is the same (on a GPU, whose sums are not always added in the same order,
# a pixel may differ). A file appears under its name only when it is whole, for it is written under another
# one first: even `kill -9` leaves no half block. The journal holds all that was settled in section 3; that is
# why it matters that blocks decide nothing themselves.
#
# ## 6 · Watch it
#
# First as it was: four moments. Dim is what has not been looked at, coloured what is done.

# %%
last = len(view.frames) - 1
fig, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="compressed")
for ax, frame in zip(axes, (0, last // 3, 2 * last // 3, last), strict=True):
    done, canvas = view.frames[frame]
    figures.picture(canvas, ax, f"{done} blocks")
show(fig, alt="A dim slide that fills with coloured cells, block after block, in four pictures.", dpi=120)

# %% [markdown]
# Now live. In JupyterLab the picture below grows while the cell runs; a web page shows only the count, and
# the four moments above are what you would have seen. Watch the empty ground: blocks in which there is
# nothing take no time. Change `block` and run it again.

# %%
live = SlideView(slide)
display(live.box)
_ = segment_slide(path, FOLDER / "live.tif", model, watch=live.watch, **OPTIONS)
print(live.note.value)

# %% [markdown]
# ## 7 · Table 6, and many machines
#
# The paper (4.3, Table 6) reports what its container took for one image, on a GPU (RTX 3090), start-up
# included: two networks, each at three scales. But its published code looks at images above 25 megapixels at
# *one* scale only, so the last row is another workload.

# %%
table6 = pd.DataFrame(
    {"height": [640, 1024, 3000, 8415], "width": [480, 1024, 3000, 10496]},
    index=["640 × 480", "1024 × 1024", "3000 × 3000", "8415 × 10496"],
)
table6["megapixels"] = table6.height * table6.width / 1e6
table6["paper, seconds"] = [9.67, 10.35, 18.56, 74.16]
table6["paper, GPU MiB"] = [2884, 3024, 5886, 8592]
table6["scales"] = [3, 3, 3, 1]
table6["allowed seconds"] = 10 * np.maximum(1, table6.megapixels)
table6.drop(columns=["height", "width"]).round(1)

# %% [markdown]
# The challenge allowed 10 seconds per image up to a megapixel, and 10 per megapixel beyond. For its smallest
# image the paper's container needs nearly all of it; for its largest, a tenth. **Predict, then run.** Where
# do the first nine seconds go? And the last image has one scale instead of three, which is a fifth of the
# network's work: does it take a fifth of the seconds per megapixel?
#
# ### Exercise 07.4 · seconds at the start, and per megapixel (easy)
#
# Fit a straight line to seconds against megapixels. Return two numbers: the seconds at the start (for an
# image without pixels), and the seconds for each megapixel.


# %%
def start_and_slope(megapixels, seconds):
    raise NotImplementedError


exercises.check("07.4", start_and_slope)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `np.polyfit(x, y, 1)` gives slope and start, in this order.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def start_and_slope_solution(megapixels, seconds):
    slope, start = np.polyfit(megapixels, seconds, 1)
    return start, slope


exercises.check("07.4", start_and_slope_solution)

# %%
three = table6[table6["scales"] == 3]  # one workload, one line
slope, start = np.polyfit(three["megapixels"], three["paper, seconds"], 1)
one_scale = (table6["paper, seconds"].iloc[-1] - start) / table6["megapixels"].iloc[-1]
print(f"paper, on its GPU, three scales: {start:.1f} s to start, then {slope:.2f} s per megapixel")
print(f"one scale, after the same start: {one_scale:.2f} s per megapixel")
work = 1 + 1.25**2 + 1.5**2  # pixels the networks see at three scales, for each one of the image
network = (slope - one_scale) / (work - 1)  # the line grows by the network's share only
print(f"three scales are {work:.1f} times the pixels; of the {slope:.2f} s they account for", end=" ")
print(f"{work * network:.2f} s, all else for {slope - work * network:.2f} s")
own_slope, own_start = np.polyfit(table.megapixels, table.seconds, 1)
rest = f"{max(own_start, 0):.1f} s, then {own_slope:.2f} s per megapixel"
print("`lite`, on this machine, started already:", rest)
expected = max(own_start, 0) + own_slope * table6.megapixels

# %%
from maunet_lite.course.figures.ablation import results

stages = ["start", "read", "network", "postprocessing", "write", "total"]
kit = {
    "lite, two cores": pd.read_csv(results("scale.csv")).query("recipe == 'lite' and device == 'cpu'"),
    "the paper's recipe, one GPU": pd.read_csv(results("scale_gpu.csv")).query("recipe == 'paper'"),
}
on_gpu = kit["the paper's recipe, one GPU"]
on_gpu["total"] -= on_gpu["stand_in"].fillna(0)  # a trained network answered for two untrained ones
kit = pd.concat({name: rows.set_index("size")[stages] for name, rows in kit.items()})
large = kit.loc["lite, two cores"].reindex(table6.index.str.replace(" × ", "x"))["total"]
print(f"`lite`, {table6.index[-1]}: {expected.iloc[-1]:.0f} s to be expected here;", end=" ")
print(f"{large.iloc[-1]:.0f} s measured on two cores with nothing else to do")
last = kit.loc["the paper's recipe, one GPU"].iloc[-1]
print(f"the paper's recipe in this kit, on one GPU, {kit.index[-1][1]}: after the start", end=" ")
print(f"{last['network'] / (last['total'] - last['start']):.0%} of the seconds are the network's")
kit.round(2)

# %%
fig, ax = plt.subplots(figsize=(8, 3), layout="compressed")
ax.loglog(table6.megapixels, table6["allowed seconds"], color="0.6", ls="--", label="allowed")
ax.loglog(three.megapixels, three["paper, seconds"], "o-", color="#D55E00", label="paper, three scales")
ax.loglog(*table6.iloc[-1][["megapixels", "paper, seconds"]], "D", color="#D55E00", label="paper, one scale")
ax.loglog(table6.megapixels, expected, ":", color="#0072B2", label="lite here, expected")
ax.loglog(table.megapixels, table.seconds, "o", color="#0072B2", label="lite here, measured")
ax.loglog(table6.megapixels, large.to_numpy(), "s-", color="#009E73", label="lite, two cores, start included")
ax.set(xlabel="megapixels", ylabel="seconds", title="one image, on a GPU (paper) and on this machine (lite)")
ax.legend(fontsize=7)
show(
    fig,
    alt="Seconds against megapixels: the paper flat and then rising, lite here and on two cores, the limit.",
    dpi=120,
)
record("seconds expected for 8415 × 10496", float(expected.iloc[-1]))

# %% [markdown]
# The first nine seconds are start-up: Python, the libraries, two networks from the disk onto the GPU. If you
# have a thousand images, start once. And a fifth of the network's work is far from a fifth of the time: in
# the paper's container, by this estimate, most seconds of a large image go into reading, post-processing and
# writing. (Four points and two workloads: take it for an estimate.) A straight line through all four rows
# would have hidden both. It need not be so: in the kit most seconds after the start are the network's, on two
# cores as on a GPU. The table has them by stage; stages of an image in blocks overlap. Its last row
# took three times as long after the start while the image went in hundreds of small blocks, few windows at a
# time. In blocks as large as on a CPU it takes less than half of the paper's seconds, start left out.
#
# Your line and the paper's are not the same work (one small network at one scale here, two large ones there),
# so read the shapes, not the heights: a constant, then a straight line. Your line and the kit's squares *are*
# one network at one scale. If yours lies above them, the machine was busy or is slower; and your windows are
# small, to leave the memory to the maps, so that more pixels are computed twice. Memory grows as time does if
# the image is done at once, and stays within the budget in blocks: `python -m benchmarks.scale` measures both
# at the paper's four sizes on your machine.
#
# From here on no new idea is needed, only more hands. Blocks do not need each other, and neither do
# images, so they can be handed to processes, here or on a cluster. On the command line:
#
# ```
# maunet-lite segment FOLDER --out CELLS --memory 4GiB             # a folder; large images in blocks
# maunet-lite segment FOLDER --out CELLS --workers 2               # two processes on this machine
# maunet-lite segment SLIDE.tif --out CELLS --scheduler tcp://…    # the machines of a Dask cluster
# ```
#
# A line that was interrupted can be run again: what is done is skipped. In Python it is a `pool`:
# without workers it does one thing after another, right here.

# %%
from maunet_lite.scale import open_pool

try:
    with open_pool(workers=WORKERS or None) as pool:
        source = "lite"  # a name, not a network: each process loads it once
        many = segment_slide(path, FOLDER / "many.tif", source, pool=pool, **OPTIONS)
        print(f"{many.cells} cells by {pool.n_workers} at a time in {many.seconds:.1f} s")
    assert ml.match_cells(found, tifffile.imread(many.labels)).f1 > 0.99
except ImportError as error:  # without the extra [scale]
    print(error)

# %% [markdown]
# Set `WORKERS = 2` at the top to see processes at work. On a small slide they lose: each must start and
# load the network first. On two cores they hardly win on a large one either, because torch uses both
# cores already. They win where there are more cores, or more GPUs, or more machines, than one network
# can use.
#
# ## Quality control
#
# "No seam" is a claim, so test it. At a seam, cells would end too often: two neighbouring pixels with
# different labels. Count them along the lines where blocks meet, and along all other lines. **Predict,
# then run.** Which of the three, naive blocks, joined blocks, or the whole, shows a difference?


# %%
def changes(labels, lines):
    """Fraction of cell pixels beside these columns and rows whose neighbour across has another label."""
    pairs = [(labels[:, x - 1], labels[:, x]) for x in lines] + [(labels[y - 1], labels[y]) for y in lines]
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.mean((a != b)[(a > 0) & (b > 0)])) if ((a > 0) & (b > 0)).any() else 0.0


# %%
naive, total = np.zeros_like(found), 0
for block in grid.blocks:
    part = (
        segment(slide[block.core], model, window=256)
        if truth[block.core].any()
        else np.zeros((1, 1), np.int32)
    )
    naive[block.core] = np.where(part > 0, part + total, 0)
    total += part.max()
borders = range(BLOCK, SLIDE, BLOCK)
others = [x for x in range(8, SLIDE, 16) if x not in borders]
rows = {"naive blocks": naive, "joined blocks": found, "at once": at_once}
seam_test = pd.DataFrame(
    {
        name: {
            "label changes at seams": changes(labels, borders),
            "… elsewhere": changes(labels, others),
            "cells": labels.max(),
            "F1": ml.match_cells(truth, labels).f1,
        }
        for name, labels in rows.items()
    }
).T
record("label changes at seams, joined", seam_test.loc["joined blocks", "label changes at seams"])
seam_test.round(2)

# %% [markdown]
# Where one cell pixel follows another across a naive seam, the label always changes; elsewhere it rarely
# does (only where cells touch). Joined blocks cannot be told from the whole. Run this test on your own
# results: it needs no truth.
#
# ## Recap
#
# You have
#
# 1. measured that seconds and memory grow with the pixels, and computed what fits into a budget,
# 2. seen windows' seams, and blended them away by overlaps whose weights sum to 1, the package's maps to the
#    last digits; what small windows lack beyond that is context, which only larger ones have,
# 3. seen that limits of intensity, windows and yardsticks belong to the whole slide, and found cells in noise
#    where they do not,
# 4. joined cells by names that each block can work out alone, given a halo larger than the cells,
# 5. segmented a slide in blocks, stopped in the middle, and got the same result to the pixel,
# 6. watched the slide fill, block by block, empty ones at no cost,
# 7. split the paper's seconds into a start and a slope, one workload at a time, and handed blocks to a pool.
#
# ## On your own
#
# - *Easy.* Segment the slide with `out="cells.zarr"` and open the result: `zarr.open(path)["0"]` is the
#   full size, `["1"]` half of it. Why is the smaller level made of every second pixel, not of means?
# - *Medium.* `empty=0` asks the network everywhere. Which blocks change, how long does it take, and is
#   the result better or worse against the truth?
# - *Hard.* Make a slide with one giant cell across several blocks (`overlap=32`) and look at its border
#   near the seams. Then lay two giants side by side. When does the joining fail, and how could a block
#   know?
#
# <details><summary>Answers</summary>
#
# **Easy.** Labels are names: the mean of cell 4 and cell 8 is not cell 6. Every second pixel keeps real
# names; a smaller *image* may well be made of means.
#
# **Medium.** Blocks that were skipped are computed now; `result.skipped` falls to 0 and the time rises by
# their share. Where nothing lies, nothing should be found: compare the numbers of cells and F1 with those of
# `result`. What is found in addition lies on empty ground and is invented.
#
# **Hard.** One giant is joined, because each block asks its neighbour along the seam; only where it borders
# on other cells may it differ by some pixels. Two giants side by side, both larger than the halo, can be
# confused: a block sees neither's first pixel nor the whole of the border between them. A block does know
# that a cell touches the edge of its region, and could ask for a larger halo.
#
# </details>
#
# ## Further reading
#
# - Paper: 4.3 and Table 6 (cost against size), 3.2.2 (windows; how far they overlap it does not say).
# - `maunet_lite/scale/slides/blocks.py`: names, seams, joining, in 250 lines; `maps.py`: one grid of
#   windows; `intensity.py`: exact percentiles of an image nobody can hold.
# - `maunet_lite/scale/pool.py`: one pool for processes and clusters; `benchmarks/scale.py`: Table 6 on your
#   machine.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("07")
