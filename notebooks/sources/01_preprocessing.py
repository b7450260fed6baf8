# %% [markdown]
# # 01 · Preprocess images and labels
#
# Before a network learns anything, two things are settled: what it *sees* and what it is *told*. This
# notebook builds both by hand, finds out why they are built this way, and catches three bugs of published
# code.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import ndimage

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.preprocessing import class_map, distance_field, make_targets, normalize
from maunet_lite.data import MODALITIES
from maunet_lite.course import exercises, record, show

opening = ml.simulate("fluorescence", (256, 256), rng=np.random.default_rng(3))
targets = make_targets(opening.labels)
fig, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="compressed")
figures.show_image(opening.image, axes[0], "a simulated image …")
figures.show_labels(opening.labels, axes[1], "… and its label map")
figures.show_classes(targets.classes, axes[2], "class map", key=False)
figures.show_distance(targets.distance, axes[3], "distance field", bar=False)
show(fig, alt="A fluorescence image, its label map, and the class map and distance field made of it.")

# %% [markdown]
# *What you are looking at: a simulated image, its label map, and the two pictures that MAUNet is taught to
# paint when it sees the image. Blue is the interior of a cell, orange its boundary; the distance field is
# brightest at a cell's centre.*
#
# **You will**
#
# 1. bring four microscopes to one scale, and meet the images where that goes wrong,
# 2. measure what it costs if training and inference scale differently,
# 3. make a class map by hand on a 12 × 12 picture, then with NumPy, then with the package,
# 4. see why the thickness of the boundary follows the size of the cell,
# 5. build the distance field in two ways, and predict where each splits or merges cells,
# 6. turn all knobs live,
# 7. hunt three bugs of published code,
# 8. check label maps before they cost you a night of training.
#
# **You will learn** why a network is not taught label maps themselves, and how much is decided before the
# first training step.
#
# **You need** NumPy and notebook 00. No GPU, no data, no downloads.
#
# **Time** two lessons of an hour: what the network sees (sections 1 to 3), and what it is told (sections 4 to
# 11). Well under a minute to run, on a CPU as on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
SEED = 1
PICTURES = 3  # of each modality, where scores are measured

# %%
from maunet_lite.course.figures.targets import (
    discs,
    draw_targets,
    from_digits,
    markers,
    show_numbers,
    six_shapes,
)

ml.seed_everything(SEED)
GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}
LOOKS = {"brightfield": 6, "fluorescence": 6, "phase-contrast": 7, "dic": 3}  # seeds, chosen for their looks
shown = {m: ml.simulate(m, (256, 256), rng=np.random.default_rng(LOOKS[m])) for m in MODALITIES}

rng = np.random.default_rng(3)
sparse = ml.simulate("dic", (320, 320), rng=rng, n_cells=3, variant="round", cell_diameter=26)
hot = shown["fluorescence"].image.astype(np.uint16) * 40  # as from a 16-bit camera …
hot[tuple(rng.integers(0, 256, (2, 8)))] = 65_535  # … with eight hot pixels

# %% [markdown]
# ## 1 · Four microscopes, one range
#
# The same thing, a cell, looks different through each microscope. Here are four, simulated. **Predict, then
# run.** In which of the four is a cell *brighter* than its background, in which *darker*, in which neither?
# Can one threshold find the cells of all four?


# %%
def draw_histograms(axes, images, bins):
    """Draw how common each grey value is, in cells (blue) and in the background (grey)."""
    for ax, image, (modality, (_, labels)) in zip(axes, images, shown.items(), strict=True):
        grey = image if image.ndim == 2 else image.mean(axis=2)
        for mask, color, name in ((labels == 0, "0.6", "background"), (labels > 0, "#0072B2", "cells")):
            ax.hist(grey[mask], bins, density=True, color=color, alpha=0.7, label=name)
        ax.set_title(modality, fontsize=9)
        ax.set_yticks([])
        ax.xaxis.set_major_locator(plt.MaxNLocator(3))
        ax.tick_params(labelsize=8)


fig, axes = plt.subplots(2, 4, figsize=(10, 4.6), height_ratios=(2, 1), layout="compressed")
for ax, sample in zip(axes[0], shown.values(), strict=True):
    ax.imshow(sample.image, cmap="gray", vmin=0, vmax=255)  # as stored, nothing stretched
    ax.axis("off")
draw_histograms(axes[1], [sample.image for sample in shown.values()], np.linspace(0, 255, 52))
axes[1, 0].legend(fontsize=7)
show(
    fig,
    alt="Stained brightfield, dim fluorescence, phase contrast and DIC, each above its histograms: cells "
    "are darker, brighter, both, and no different from the background.",
)

# %% [markdown]
# Stained nuclei are darker than the tissue, fluorescent ones brighter than the black around them. In phase
# contrast a cell is dark with a bright halo. In DIC it is *on average* as bright as its background: one side
# is lit, the other in shade. No threshold can find them all; what tells a cell is structure, which is why we
# ask a network.
#
# What can be settled beforehand is the **range**. The fluorescence image above uses a quarter of its 256 grey
# values, a 16-bit camera has 65,536 of them, and stained tissue comes in three channels. Paper 2.1 copies a
# grey image into three channels and scales its values to [0.01, 0.99]:
#
# $$x' = 0.01 + 0.98 \cdot \frac{x - \mathrm{low}}{\mathrm{high} - \mathrm{low}}$$
#
# What are *low* and *high*? The text does not say. The natural reading is: the smallest and the largest
# value.
#
# ### Exercise 01.1 · scale from minimum to maximum (easy)
#
# Write a function that maps an array of any shape to [0.01, 0.99], its minimum to 0.01 and its maximum to
# 0.99. An image whose values are all equal shall become 0.01 everywhere.


# %%
def scale(image):
    raise NotImplementedError


exercises.check("01.1", scale)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Without the first two lines a constant image is 0 / 0, that is NaN, and one NaN pixel turns a
# network's loss into NaN. Black images are not rare: think of an empty well.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def scale_solution(image):
    low, high = float(image.min()), float(image.max())
    if high == low:
        return np.full(image.shape, 0.01)
    return 0.01 + 0.98 * (image - low) / (high - low)


exercises.check("01.1", scale_solution)

# %% [markdown]
# The published code (`data_preprocess.py` of github.com/Woof6/neurips22-cellseg_saltfish) does something
# else: for each channel by itself, *low* and *high* are the **1st and the 99th percentile of the pixels that
# are not zero**, and whatever lies beyond is clipped. The package has both, `normalize(image,
# method="paper")` and `method="authors"`. Its default, `"robust"`, is the authors' rule, mended where
# percentiles fail: an empty channel, few cells on a large field. By hand the rule is two lines.
#
# **Predict, then run.** What will the four histograms look like after scaling by percentiles? Will cells and
# background be better *separated* than before?


# %%
def scale_by_percentiles(channel):
    low, high = np.percentile(channel[channel > 0], (1, 99))
    return np.clip(0.01 + 0.98 * (channel - low) / (high - low), 0.01, 0.99)


grey = shown["dic"].image
np.testing.assert_allclose(normalize(grey)[..., 0], scale_by_percentiles(grey), atol=1e-5)
print(f"{grey.shape} {grey.dtype} → {normalize(grey).shape} {normalize(grey).dtype}")

fig, axes = plt.subplots(1, 4, figsize=(10, 2.1), layout="compressed")
draw_histograms(axes, [normalize(sample.image) for sample in shown.values()], np.linspace(0, 1, 52))
show(fig, alt="The histograms after scaling: each now fills the range from 0 to 1 and overlaps as before.")

# %% [markdown]
# Not a bit: stretching moves the axis, not the overlap. (The gaps in fluorescence are honest: 66 grey values
# do not become more by spreading them.) But all four now fill the same range, so that a step of 0.1 means
# about the same in each. The bars at both ends are the clipped pixels: the darkest and the brightest per
# cent, and all that were zero.
#
# ## 2 · Images where scaling goes wrong
#
# One per cent sounds harmless. Here are three images and two rules:
#
# - DIC with **three cells**, which cover less than two per cent of the picture;
# - fluorescence from a 16-bit camera with eight **hot pixels**, defects of the chip that always read 65,535;
# - **stained tissue**, in three channels: a real section of human colon, from scikit-image.
#
# **Predict, then run.** Which rule, minimum to maximum or percentiles, fails on which image, and why? And
# which pixels of the first image will percentiles clip? They are painted over.

# %%
from skimage.data import immunohistochemistry

cells, authors = sparse.labels > 0, normalize(sparse.image, "authors")
clipped = ((authors <= 0.01) | (authors >= 0.99)).all(axis=2)
panels = {"three cells, as stored": sparse.image / 255}
for name, image in {
    "three cells": sparse.image,
    "hot pixels": hot,
    "tissue": immunohistochemistry()[128:384, 64:320],
}.items():
    panels |= {f"{name}, {method}": normalize(image, method) for method in ("paper", "authors")}
    if name == "three cells":
        panels["clipped by percentiles"] = np.where(clipped[..., None], (0.9, 0.5, 0), authors)

fig, axes = plt.subplots(2, 4, figsize=(9, 5), layout="compressed")
for ax, (name, values) in zip(axes.flat, panels.items(), strict=True):
    ax.imshow(values, **GREY)
    ax.set_title(name, fontsize=9)
    ax.axis("off")
alt = (
    "Percentiles clip sparse cells; hot pixels blacken an image scaled by its maximum; a tissue's hue shifts."
)
show(fig, alt)

print(f"cells cover {np.mean(cells):.1%} of the first image; percentiles clip {np.mean(clipped[~cells]):.1%}")
print(f"of its background and {np.mean(clipped[cells]):.0%} of its cells")
record("cell pixels clipped, sparse DIC", round(float(np.mean(clipped[cells])), 2))

# %% [markdown]
# **Three cells: they themselves are clipped.** In DIC they hold the darkest and the brightest pixels, and
# where cells are rare, these *are* the outer two per cent. Texture becomes black and white; noise and uneven
# light are blown up to fill the range. This is no exotic case: in BBBC030, public DIC images in which cells
# cover two to three per cent, percentiles clip about four fifths of all cell pixels.
#
# **Hot pixels: eight of 65,536 decide** what the maximum is, and the cells drown. Percentiles do not even
# notice them. **Tissue:** one range for all channels keeps the hue, a range per channel shifts it, like the
# white balance of a camera: a loss, or a gain if stains vary.
#
# No rule is right for every image; the kit takes percentiles by default because they measured better over all
# modalities. And no error is raised, no NaN appears: you find it by *looking at what the network sees*, or by
# a number.
#
# ### Exercise 01.2 · share of clipped cell pixels (easy)
#
# Write a function that takes one scaled channel, (H, W) in [0.01, 0.99], and a label map, and returns which
# share of the *cells'* pixels lies at either end. The values are float32: compare with a little room.


# %%
def clipped_share(scaled, labels):
    raise NotImplementedError


exercises.check("01.2", clipped_share)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Index with the mask first; the mean of a boolean array is a share.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def clipped_share_solution(scaled, labels):
    values = scaled[labels > 0]
    return np.mean((values < 0.01 + 1e-4) | (values > 0.99 - 1e-4))


exercises.check("01.2", clipped_share_solution)

# %% [markdown]
# ## 3 · The same scaling in training and inference
#
# More important than the choice of a rule is keeping to it. A network knows numbers, not cells, and the
# shipped weights learned from images that `normalize` had scaled. **Predict, then run.** We simulate pictures
# of a 12-bit camera (0 to 4095, stored in 16 bits), a little underexposed and with one hot pixel each, and
# scale them in five ways that people really use. Which will the network forgive, and which not?


# %%
from maunet_lite.postprocessing import Maps, connected_interiors, segment

model = ml.load_model("lite")
camera = []
for k, modality in enumerate(MODALITIES * PICTURES):
    image, labels = ml.simulate(modality, (256, 256), rng=np.random.default_rng([SEED, k]), dtype="uint16")
    image = image // 3  # a short exposure of a 12-bit camera …
    image[128, 128] = 4095  # … with one hot pixel
    camera.append((image, labels))
scalings = {
    "normalize, as in training": normalize,
    "÷ the image's maximum": lambda image: image / image.max(),
    "not scaled at all": lambda image: image,
    "÷ 65,535, the type's maximum": lambda image: image / 65_535,
    "ImageNet's mean and spread": lambda image: (image / 4095 - 0.45) / 0.225,
}
for name, scaling in scalings.items():
    scores = []
    for image, labels in camera:
        x = torch.from_numpy(np.atleast_3d(scaling(image)).astype(np.float32)).permute(2, 0, 1)
        with torch.inference_mode():
            logits, distance = model(x.expand(3, -1, -1)[None])
        found = segment(Maps(logits.softmax(dim=1)[0].numpy(), distance[0, 0].numpy())).labels
        scores.append(ml.match_cells(labels, found).f1)
    record(f"F1, {name}", round(float(np.mean(scores)), 2))

# %% [markdown]
# The same network, the same pictures, the same cells. A 12-bit image divided by what its *type* could hold is
# nearly black, and next to nothing is found; the values that a network from another school expects are no
# better. The dangerous one is division by the maximum: it works in part, and costs cells *without any sign
# that something is wrong*. "The published weights do not work on my data" often means no more than this.
#
# It happens to experts. The published code scales from minimum to maximum when it trains (`train.py`) and
# divides by the maximum alone when it predicts (`predict.py`). Both start from percentiles, so that they
# agree on most images, and nobody noticed. The cure is structural: **one function, called by both**. In this
# kit training and inference import the same `normalize`.
#
# **Here ends the first lesson.** The second one builds what the network is told; it needs nothing from above
# but the set-up cells.
#
# ## 4 · A class map by hand
#
# Now to what the network is told. Why not the label map itself? Because ids mean nothing: cell 7 might as
# well be cell 12, and no pixel can know. So labels become **three classes**, 0 background, 1 interior, 2
# boundary: a question that each pixel can answer from its surroundings.
#
# Paper 2.1 asks for a boundary of thickness $t = \sqrt{S} / 20$ in a cell of S pixels. Below is a picture of
# 12 × 12 pixels with two cells that touch. The larger has 55 pixels, so t is little more than a third of a
# pixel; we add the rule that a boundary is never thinner than the outermost layer.
#
# The plain way: for each pixel of a cell, look at *all* pixels that are not of that cell, background or
# neighbour, and keep the distance to the nearest one. Call it the pixel's **depth**; the boundary is where
# depth ≤ t. **Predict, then run both cells:** which pixels become boundary? Mind the place where the cells
# touch.

# %%
labels = from_digits("""
    ............
    ....111.....
    ..111111....
    .11111111...
    .11111111...
    .111111112..
    .1111111222.
    .1111111222.
    ..11111.222.
    ...111...2..
    ............
    ............
""")


# %%
def depth_by_hand(labels):
    depth = np.zeros(labels.shape)
    for pixel in np.ndindex(labels.shape):
        if labels[pixel] > 0:
            outside = [other for other in np.ndindex(labels.shape) if labels[other] != labels[pixel]]
            depth[pixel] = min(math.dist(pixel, other) for other in outside)
    return depth


def classes_by_hand(labels):
    depth, classes = depth_by_hand(labels), np.zeros(labels.shape, dtype=np.uint8)
    for pixel in np.ndindex(labels.shape):
        if labels[pixel] > 0:
            size = np.sum(labels == labels[pixel])
            classes[pixel] = 2 if depth[pixel] <= max(math.sqrt(size) / 20, 1) else 1
    return classes


fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="compressed")
show_numbers(axes[0], labels, "labels", cmap="gray", vmax=4)
show_numbers(axes[1], depth_by_hand(labels), "depth", "{:.1f}", cmap="viridis")
figures.show_classes(classes_by_hand(labels), axes[2], "class map")
show(fig, alt="Two touching cells on 12 by 12 pixels: their labels, each pixel's depth, and their class map.")

# %% [markdown]
# Where the cells touch, *both* give up a layer. The two interiors stay apart, and that is the point: what
# does not touch can be counted.
#
# Every pixel looked at every other: fine for 144 pixels, hopeless for a million. SciPy's Euclidean distance
# transform computes the depth of a whole mask at once, and the loop over pixels becomes one over cells. The
# package does the same in a small window around each cell. Are the three equal?


# %%
def classes_with_numpy(labels):
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in np.unique(labels[labels > 0]):
        cell = labels == k
        depth = ndimage.distance_transform_edt(cell)
        thickness = max(np.sqrt(cell.sum()) / 20, 1)
        classes[cell] = np.where(depth[cell] <= thickness, 2, 1)
    return classes


np.testing.assert_array_equal(classes_with_numpy(labels), classes_by_hand(labels))
np.testing.assert_array_equal(class_map(labels), classes_by_hand(labels))
for sample in shown.values():
    np.testing.assert_array_equal(class_map(sample.labels), classes_with_numpy(sample.labels))
print("by hand = NumPy = package on 12 × 12 pixels; NumPy = package on the four pictures of section 1")

# %% [markdown]
# ## 5 · Why the thickness adapts
#
# Datasets mix magnifications: the same nucleus may be 8 pixels wide in one image and 120 in the next.
# **Predict, then run.** If every boundary were 4 pixels thick, what would be left of a cell 14 pixels wide?
# And how would 1 pixel look on a cell of 120?

# %%
sizes = discs((130, 330), (65, 65, 120), (65, 170, 60), (65, 235, 28), (65, 280, 14), (65, 310, 8))
rules = {"1 pixel": lambda S: 1, "4 pixels": lambda S: 4, "√S / 20": lambda S: np.sqrt(S) / 20}

fig, axes = plt.subplots(3, 1, figsize=(9, 6.2), layout="compressed")
print("share of boundary in the cell, from large to small:")
for ax, (name, rule) in zip(axes, rules.items(), strict=True):
    classes = class_map(sizes, rule)
    figures.show_classes(classes[:66], ax, f"thickness {name}, upper halves of the discs", key=ax is axes[2])
    print(f"  {name:9s}", "  ".join(f"{np.mean(classes[sizes == k] == 2):4.0%}" for k in range(1, 6)))
show(
    fig,
    alt="Upper halves of five discs from 120 to 8 pixels wide with a boundary of one pixel, of four pixels, "
    "and of adaptive thickness. Four pixels fill the small discs; one pixel is a hair on the large one.",
)

# %% [markdown]
# A constant suits one size. Four pixels eat small cells, whose class then says nothing about their shape. One
# pixel is a hair around a large cell, a few per cent of its area that the loss hardly feels, and a single
# mistaken pixel joins two neighbours. With $t = \sqrt{S}/20$ a disc is boundary on about 15 % of
# its area *at any size*, once it is large enough (some 30 pixels wide) for t to be more than the one layer
# that every cell gets.
#
# ## 6 · A distance field by hand
#
# Classes have a weakness: miss a few boundary pixels, and two cells are one. So MAUNet learns a second
# target, a landscape with a hill on each cell. Blur the gap between two hills, and there are still two
# summits. Paper 2.1:
#
# $$d = \frac{1}{1 + \alpha \beta \gamma} \quad \mathrm{with} \quad \alpha = \frac{1}{\sqrt{S}}$$
#
# γ is a pixel's distance to the centre of its cell, β = 1 sets the slope, and in the background d is 0. For
# the *centre* we take the pixel of the cell that is nearest to its centre of mass, which itself may lie
# outside, in a crescent for example.
#
# **Predict, then run.** What is d at the edge of a disc of radius r? Put γ = r and S = π r². How does it
# depend on r?


# %%
def field_by_hand(labels, beta=1.0):
    field = np.zeros(labels.shape)
    for k in range(1, labels.max() + 1):
        pixels = [pixel for pixel in np.ndindex(labels.shape) if labels[pixel] == k]
        mean = np.mean(pixels, axis=0)
        centre = pixels[np.argmin([math.dist(pixel, mean) for pixel in pixels])]
        for pixel in pixels:
            field[pixel] = 1 / (1 + beta * math.dist(pixel, centre) / math.sqrt(len(pixels)))
    return field


def field_with_numpy(labels, beta=1.0):
    field = np.zeros(labels.shape)
    for k in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == k)  # (S, 2)
        to_mean = np.linalg.norm(pixels - pixels.mean(axis=0), axis=1)  # (S,)
        gamma = np.linalg.norm(pixels - pixels[np.argmin(to_mean)], axis=1)  # (S,)
        field[tuple(pixels.T)] = 1 / (1 + beta * gamma / np.sqrt(len(pixels)))
    return field


np.testing.assert_allclose(field_with_numpy(labels), field_by_hand(labels))
np.testing.assert_allclose(distance_field(labels), field_by_hand(labels), rtol=1e-6)

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="compressed")
show_numbers(axes[0], field_by_hand(labels), "distance field", "{:.2f}", cmap="magma", vmin=0, vmax=1)
for k, (column, diameter) in {1: (65, 120), 4: (280, 14)}.items():
    cut = distance_field(np.where(sizes == k, 1, 0))[65]  # the row through the disc's centre
    axes[1].plot((np.arange(330) - column) / (diameter / 2), cut, ".-", label=f"disc {diameter} pixels wide")
axes[1].set(xlim=(-1.6, 1.6), xlabel="distance from the centre / radius", ylabel="d")
axes[1].set_title("cuts through two discs")
axes[1].legend(fontsize=8)
show(
    fig,
    alt="Left: the field of the two small cells in numbers. Right: cuts through a large and a small disc, "
    "scaled to their radius, lie on one curve.",
)

# %% [markdown]
# The radius cancels: at its edge every disc has $d = 1/(1 + 1/\sqrt{\pi}) \approx 0.64$, and there it *drops
# to zero*. A hill with a cliff around it, the same for large and small cells.
#
# ## 7 · Two kinds of centre
#
# The published code (`dist_transform_preprocess.py`) measures something else than the text says. There, γ is
# **how much nearer to the outside a pixel is than the deepest pixel of its cell**: γ = max(depth) − depth.
# The package has both, `center="paper"` (the default) and `center="authors"`. On a disc they are the same.
#
# ### Exercise 01.3 · the authors' field (medium)
#
# Write a function that takes the boolean mask of *one* cell and returns its field with γ = max(depth) −
# depth. `ndimage.distance_transform_edt(cell)` is the depth; outside the cell the field is 0.


# %%
def authors_field(cell, beta=1.0):
    raise NotImplementedError


exercises.check("01.3", authors_field)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Outside, depth is 0, so γ is max(depth) and the formula gives a value above zero; multiplying
# by the mask makes it 0.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def authors_field_solution(cell, beta=1.0):
    depth = ndimage.distance_transform_edt(cell)
    gamma = depth.max() - depth
    return cell / (1 + beta * gamma / np.sqrt(cell.sum()))


exercises.check("01.3", authors_field_solution)

# %% [markdown]
# Post-processing (paper 2.3, notebook 05) starts a cell wherever the field exceeds 0.8. A good field has
# exactly one such **marker** in each cell. **Predict, then run.** Six pictures, two fields, a blue line at
# 0.8. Where will there be too many markers, where too few?

# %%
fig, axes = plt.subplots(2, 6, figsize=(10, 4.2), layout="compressed")
for column, (name, shape) in zip(axes.T, six_shapes().items(), strict=True):
    for ax, center in zip(column, ("paper", "authors"), strict=True):
        field = distance_field(shape, center=center)
        count = markers(field)[1]
        figures.show_distance(field, ax, f"{name}\n{count} marker{'s' * (count > 1)}", bar=False)
        ax.contour(field, [0.8], colors="#56B4E9", linewidths=1)
for ax, center in zip(axes[:, 0], ("paper", "authors"), strict=True):
    ax.text(-0.05, 0.5, center, rotation=90, va="center", ha="right", transform=ax.transAxes, fontsize=9)
show(
    fig,
    alt="Fields of a round, a long, a crescent, a U and a waisted cell, and of two long neighbours. Paper: "
    "round markers, two of them in the U. Authors: ridges; two markers in the waisted cell, one for the two "
    "neighbours.",
)

# %% [markdown]
# The paper's field is the same round hill for every shape, cut out by the cell's outline. It has **one summit
# per cell by construction**, wherever the waist is. Its *marker* is another matter: a disc of radius √S/4,
# cut out by the outline too. In the U it reaches across the gap and falls into two pieces. In a cell more
# than 16/π, about five, times as long as wide it reaches the long side, and touches the marker of a neighbour
# there. And the centre is nothing a pixel can see: to know where the middle is, the network must take in the
# whole cell. In a crescent the summit sits at the inner edge, from where any blur pulls it out of the cell.
#
# The authors' field follows the shape, and a pixel need not see much more than the nearest edge. The price: a
# waist makes two summits, and **the cell is split**. A thin cell is nowhere deep, γ stays small beside √S,
# the field stays near 0.8 up to the very edge, and **neighbours side by side are merged**, along their whole
# length. (In theory the limit is the same 16/π. The pair above is a little less long; its cells are merged
# because depth counts in pixels and is 1 at the edge, not 0.) Here the class map helps, whose boundary keeps
# the two apart: the targets are a team.
#
# Remember this figure when notebook 05 shows you errors.
#
# ## 8 · The slope β
#
# The paper sets β = 1, "to control the distribution" of d. **Predict, then run.** At which γ/√S does the
# field fall below 0.8? What does β = 4 do to the markers, and what β = ¼?

# %%
relative = np.linspace(0, 1, 200)
fig, ax = plt.subplots(figsize=(9, 3.4), layout="compressed")
for beta, color in ((0.25, "#009E73"), (1, "#0072B2"), (4, "#D55E00")):
    ax.plot(relative, 1 / (1 + beta * relative), color=color, label=f"β = {beta}")
    print(f"β = {beta:<4}  d > 0.8 up to γ = {0.25 / beta:.2f} · √S")
ax.axhline(0.8, color="0.5", linestyle="--", linewidth=1)
ax.axvline(1 / np.sqrt(np.pi), color="0.5", linestyle=":", linewidth=1)
ax.text(1 / np.sqrt(np.pi) + 0.01, 0.95, "edge of a disc", fontsize=8)
ax.set(xlabel="γ / √S", ylabel="d", ylim=(0.15, 1.02), title="three slopes; markers lie above 0.8")
ax.legend(fontsize=8)
show(
    fig, alt="d against relative distance: almost flat for a slope of a quarter, steep near the centre for 4."
)

# %% [markdown]
# At β = ¼ the hill is so flat that the whole disc lies above 0.8: markers fill their cells and flow into
# their neighbours. At β = 4 it is a needle, and a small cell's marker is a pixel or two: lost as soon as the
# prediction is a little low. β = 1 sits between; its marker is the inner fifth of a disc's area.
#
# ## 9 · All knobs at once
#
# Now play. The first figure is the starting state, the paper's values. In a live notebook the same figure
# stands below it, with controls. Three questions to answer with them:
#
# - With *centre* on paper: in which range of β does every cell have exactly one marker? What breaks first?
# - In the phase-contrast picture, switch to *authors*: how many markers are too many? Can any β mend it?
# - Make the boundary so thick that it takes half of all cell pixels. Which cells suffer first?

# %%
from maunet_lite.course import Choice, Slider, explorer

kinds = {
    "phase-contrast": ("spindle", 26, 0),
    "fluorescence": ("cells", 44, 0),
    "brightfield": ("stained", 26, 0),
}
pictures = {
    m: ml.simulate(m, (256, 256), rng=np.random.default_rng(seed), variant=v, cell_diameter=d, clustering=0.8)
    for m, (v, d, seed) in kinds.items()
}


def draw(picture, **knobs):
    return draw_targets(*pictures[picture], **knobs)


live = explorer(
    draw,
    picture=Choice("phase-contrast", list(pictures), "picture"),
    divisor=Slider(20, 2, 60, 2, "thickness = √S divided by"),
    beta=Slider(1.0, 0.25, 4.0, 0.25, "slope β"),
    center=Choice("paper", ("paper", "authors"), "centre"),
    alt="Outlined cells, their class map, their distance field with markers; below, the field along a row.",
    dpi=125,
)

# %% [markdown]
# <details><summary>What the sliders say</summary>
#
# - *One marker each.* From β = 1 up to 4 in all three pictures. Below, at 0.5, markers of neighbours flow
#   together: that breaks first. At 4 each cell still has its marker, but only because this field is perfect;
#   look how few pixels it has.
# - *Authors, phase contrast.* At β = 1 five markers too many, since waists split; at 0.5 half as many markers
#   as cells, since neighbours merge. At 2.25 each cell has exactly one, at 2 and at 2.5 no longer: a hit, not
#   a cure.
# - *Half of all cell pixels.* At √S/8 in phase contrast. The thickness follows the area, so it is not the
#   small cells that suffer but the *slender* ones: large S, yet nowhere deep.
#
# </details>
#
# A slider answers at once because each cell is measured in its own small window. You have written most of it
# yourself by now; compare `maunet_lite/course/figures/targets.py`.
#
# ## 10 · Bug hunt
#
# Code can have bugs and still be among the best. The three below are real. The functions restate the
# *ideas* of the published code (`data_preprocess.py`, `dist_transform_preprocess.py`) in our own words. Be
# the reviewer: **find the defect before you run the cell after it.**
#
# ### A class map, with two bugs
#
# For each cell in turn: take the outermost layer, make it thicker, draw it; draw what is left of the cell, if
# it is more than a speck.


# %%
def drawn_in_turn(labels):
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in range(1, labels.max() + 1):
        cell = labels == k
        layer = cell & (ndimage.distance_transform_edt(cell) == 1)
        thick = ndimage.distance_transform_edt(~layer) <= math.ceil(math.sqrt(cell.sum()) / 40)
        interior = cell & ~thick
        classes[thick] = 2
        if interior.sum() >= 16:  # no specks
            classes[interior] = 1
    return classes


# %% [markdown]
# **Predict, then run.** A large cell with small ones around it, numbered from the large one on, then in
# reverse: the same picture. Is it the same class map? And discs from 16 down to 4 pixels wide: which of them
# keep an interior?

# %%
around = [(t, width, 74 + width / 2) for t, width in ((-0.42, 26), (-0.12, 16), (0.09, 12), (0.26, 9))]
group = discs((160, 190), (80, 80, 150), *((80 + r * np.sin(t), 80 + r * np.cos(t), w) for t, w, r in around))
reverse = np.where(group > 0, group.max() + 1 - group, 0)
dots = discs((22, 100), *((11, 9 + 14 * k, width) for k, width in enumerate((16, 12, 10, 8, 7, 5, 4))))

first, last = drawn_in_turn(group), drawn_in_turn(reverse)
fig, axes = plt.subplot_mosaic("AABBCC;DDDEEE", figsize=(9.5, 5.4), height_ratios=(3, 1), layout="compressed")
zoom = np.s_[35:120, 110:185]
figures.show_classes(first[zoom], axes["A"], "large cell first", key=False)
figures.show_classes(last[zoom], axes["B"], "large cell last", key=False)
figures.show_distance(1.0 * (first != last)[zoom], axes["C"], "where they differ", bar=False)
figures.show_classes(drawn_in_turn(dots), axes["D"], "small cells, drawn in turn", key=False)
figures.show_classes(class_map(dots), axes["E"], "small cells, the package's", key=False)
show(
    fig,
    alt="Above, small cells lose a sickle of interior if the large one beside them is drawn last. Below, "
    "small discs have a black hole for an interior; the package's are blue inside.",
)
print(
    np.sum(first != last), "pixels differ; with the package", np.sum(class_map(group) != class_map(reverse))
)

# %% [markdown]
# <details><summary>What went wrong</summary>
#
# **The last one drawn wins.** `thick` is not confined to its cell. It spills over its neighbours, and whether
# the spill stays depends on who is drawn later, that is on numbers that mean nothing. The larger a cell, the
# wider its spill: next to large cells, small ones are eaten. Cure: a cell paints its own pixels only.
#
# **Small cells vanish.** Two layers off a disc 8 pixels wide leave fewer than 16 pixels; they are dropped as
# a speck and keep class 0: *the middle of a small cell is called background*. The network is taught to
# overlook small cells, and no score on large ones will show it. Cure: a cell too small for the rule keeps its
# deepest pixels as interior.
#
# </details>
#
# ### A distance field, with one bug
#
# **Predict, then run the cell after the next.** Someone looks at three cells, decides that the second is a
# piece of dust, and deletes it. The ids are now 1 and 3. How many pixels of the field will be wrong?


# %%
def summed_fields(labels):
    field = np.zeros(labels.shape)
    for k in range(1, labels.max() + 1):
        cell = labels == k
        depth = ndimage.distance_transform_edt(cell)
        field += cell * (1 / (1 + (depth.max() - depth) / np.sqrt(cell.sum())))
    return field


# %%
three = discs((40, 100), (20, 20, 24), (20, 50, 24), (20, 80, 24))
cleaned = np.where(three == 2, 0, three)

with np.errstate(invalid="ignore", divide="ignore"):  # NumPy warns; in a long log nobody sees it
    fields = {"ids 1, 2, 3": summed_fields(three), "ids 1, 3": summed_fields(cleaned)}
fields["ids 1, 3, the package's"] = distance_field(cleaned, center="authors")

fig, axes = plt.subplots(1, 3, figsize=(10, 1.8), layout="compressed")
for ax, (name, field) in zip(axes, fields.items(), strict=True):
    figures.show_distance(field, ax, f"{name}: {np.isnan(field).mean():.0%} NaN", bar=False)
show(
    fig,
    alt="The field of three discs; with one deleted all is grey, not a number; the package's shows two.",
)

# %% [markdown]
# <details><summary>What went wrong</summary>
#
# There is no cell 2: depth is 0 everywhere, `cell.sum()` is 0, and 0 / 0 is NaN, *everywhere*. NaN times
# `False` is still NaN, and it is added to the whole picture. One deleted cell, and the target is NaN, then
# the loss, then every weight. Cure: go through the ids that exist, `np.unique(labels)`, and write into the
# cell's own pixels instead of adding to all.
#
# </details>
#
# A fourth defect shows in no picture: `labels == k` reads the *whole* image for each cell. Three thousand
# cells on three megapixels are nine billion reads for every line in the loop. The package works in a
# window around each cell: an image twice as large with twice as many cells costs twice the time, not four
# times.
#
# ### Exercise 01.4 · a class map without these defects (hard)
#
# Write `mended(labels)` with thickness $\max(\sqrt{S}/20, 1)$ as in section 4. Whatever the ids, their order
# and their gaps, the map must be the same; no cell paints outside itself; what lies outside the image is
# unknown, not background; and **every** cell has an interior: if nothing is left of it, its pixels of largest
# depth.


# %%
def mended(labels):
    raise NotImplementedError


exercises.check("01.4", mended)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `classes_with_numpy` and one more condition. So that function, too, was wrong, for very small
# cells. The four pictures it was compared on have none, and the assertion was silent. **A test knows only the
# cases you give it.**
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def mended_solution(labels):
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in np.unique(labels[labels > 0]):
        cell = labels == k
        depth = ndimage.distance_transform_edt(cell)[cell]
        thickness = max(np.sqrt(cell.sum()) / 20, 1)
        interior = depth > thickness if depth.max() > thickness else depth == depth.max()
        classes[cell] = np.where(interior, 1, 2)
    return classes


exercises.check("01.4", mended_solution)

# %% [markdown]
# ## 11 · The edge of the image
#
# A cell at the edge of the image goes on beyond it. **Predict, then run.** Should the class map have a
# boundary there? And is it the same to crop a class map or to map a crop?

# %%
image, labels = shown["phase-contrast"]
corner = labels[:110, :110]
padded = class_map(np.pad(corner, 1))[1:-1, 1:-1]  # as if background began beyond the edge

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="compressed")
figures.overlay(image[:110, :110], corner, axes[0], "image")
figures.show_classes(padded, axes[1], "the edge as a boundary", key=False)
figures.show_classes(class_map(corner), axes[2], "the edge as it is: unknown", key=False)
show(fig, alt="Cells cut by the image's edge; class maps with and without a boundary along the edge.")

whole, part = make_targets(labels), make_targets(corner)
moved = np.abs(whole.distance[:110, :110] - part.distance)
print(f"crop first or last: {np.mean(whole.classes[:110, :110] != part.classes):.1%} of classes differ,")
print(f"distances by up to {moved.max():.2f}")

# %% [markdown]
# No boundary: there is nothing to see at the edge, and a network that is told to draw lines there draws them
# around every *tile* of a large image. The numbers show a second trap. Training cuts random crops; a cut cell
# has another S and another centre, so its targets change if they are made *after* cropping. The kit makes
# targets once, from whole images, and cuts image and targets alike.
#
# ## Quality control
#
# Most trainings that fail do so before they start, in the labels. `validate_labels` stands in front of
# everything in this notebook. Here are eight label maps as they arrive in practice. **Predict, then run:**
# six are refused. Which two are fine, odd as they look?

# %%
import textwrap

from maunet_lite.data import LabelError, validate_labels

good = from_digits("..11..22 ..11..22 ........ 33...44.")
arrivals = {
    "a boolean mask": good > 0,
    "a mask saved as 0 and 255": np.where(good > 0, 255, 0),
    "a mask saved as 0 and 1": np.where(good > 0, 1, 0),
    "resized with interpolation": good / 2,
    "a colour picture": figures.random_colors(good),
    "unsure pixels marked with -1": np.where(good == 4, -1, good),
    "ids with gaps up to 70,000": np.where(good == 2, 70_000, good),
    "no cells at all": np.zeros_like(good),
}
for name, arrived in arrivals.items():
    try:
        validate_labels(arrived)
        print(f"✓ {name}\n")
    except LabelError as error:
        print(f"✗ {name}\n{textwrap.indent(textwrap.fill(str(error), 92), '  ')}\n")

# %% [markdown]
# Gaps and empty images are legal. After section 10 you know what that promises: no function behind this check
# may stumble over them. For a folder of your own, `maunet-lite data check FOLDER` lists everything at once
# (notebook 08).
#
# Labels may be valid and the *targets* still poor. So ask: **if the network were perfect, how good would the
# result be?** Hand the targets themselves to the post-processing, as if they were a prediction. **Predict,
# then run:** what F1 do you expect of a perfect network, if each connected piece of interior is taken for a
# cell (the paper's F1_ori)?

# %%
ceilings = {modality: shown[modality].labels for modality in MODALITIES}
for width in (10, 5):
    tiny = ml.simulate(
        "fluorescence", (256, 256), rng=np.random.default_rng(SEED), variant="nuclei", cell_diameter=width
    )
    ceilings[f"nuclei {width} pixels wide"] = tiny.labels

print("F1 of a perfect network           interiors alone (missed, invented)   post-processed")
for name, truth in ceilings.items():
    classes, distance = make_targets(truth)
    perfect = Maps(np.stack([classes == k for k in range(3)]).astype(np.float32), distance)
    alone, grown = (ml.match_cells(truth, x) for x in (connected_interiors(perfect), segment(perfect).labels))
    ceilings[name] = [round(match.f1, 2) for match in (alone, grown)]
    errors = f"({alone.fn:3d}, {alone.fp:3d})"
    print(f"{name:22s}{truth.max():4d} cells {alone.f1:15.2f} {errors:18s} {grown.f1:16.2f}")
record("ceiling of F1, nuclei 5 pixels wide", ceilings["nuclei 5 pixels wide"])

# %% [markdown]
# Cells of usual size lose little, and none of them is missed. Nearly all that is *invented* lies at the
# image's edge. The score leaves out cells within two pixels of it; the interior of such a cell may keep clear
# of these two pixels, and then it counts without a partner. In a tiny cell the interior is less than half of
# the pixels: it *cannot* overlap the truth by half, and even a perfect network fails. Post-processing grows
# interiors back to whole cells. This **ceiling** takes a second to compute and tells whether your cells are
# large enough for your targets. If not, enlarge the images.
#
# ## Recap
#
# You have
#
# 1. brought four microscopes to one scale, and seen percentiles clip rare cells and hot pixels blacken an
#    image,
# 2. measured that a network forgives hardly any scaling but its own,
# 3. made a class map by hand, with NumPy and with the package, all equal,
# 4. seen that a thickness of √S/20 gives each cell that is large enough the same share of boundary,
# 5. built two distance fields: one summit per cell, or ridges that split waists; both merge very thin
#    neighbours,
# 6. turned thickness and slope live,
# 7. found an order that should not matter, small cells that vanish, and a gap that poisons a picture,
# 8. read what is wrong with a label map, and computed the ceiling that targets put on F1.
#
# ## On your own
#
# - *Easy.* In the set-up cell, raise `n_cells` step by step to 30 and run section 2 again. At which cover do
#   percentiles stop clipping the cells?
# - *Medium.* Add a third rule to sections 2 and 3, percentiles 0.1 and 99.9. Which images does it save? Does
#   it score better, too? What would you have to do before you may say that a rule *is* better?
# - *Hard.* For an ellipse with half-axes a and b, derive the lowest value of the authors' field inside it.
#   From which a/b on does it stay above 0.8, so that neighbours side by side flow together? (The limit of the
#   paper's field, in another way.) Check it with `distance_field`.
#
# <details><summary>Answers</summary>
#
# **Easy.** The clipped share of the cells falls steeply at first: at a cover of two per cent percentiles clip
# three quarters of the cell pixels, at six per cent a third, at seventeen a tenth. It never reaches zero,
# since the darkest and the brightest hundredth of an image is always cut off somewhere; what changes is
# whether these are cells.
#
# **Medium.** Percentiles closer to the ends save images in which cells are rare, and give in to hot pixels
# sooner. Before you may say that one rule *is* better, train a network with each (training and inference must
# scale alike), score both on real images of all modalities, and use more than one seed.
#
# **Hard.** The depth is greatest in the middle, where it is b, the smaller half-axis, and zero at the edge.
# So γ is largest at the edge, b, and the lowest value is 1 / (1 + b / √(πab)) = 1 / (1 + √(b / (πa))). It
# exceeds 0.8 if √(b / (πa)) < 1/4, that is, if a/b > 16/π, about five. On pixels the depth at the edge is 1,
# so the limit is reached a little earlier.
#
# </details>
#
# ## Further reading
#
# - Paper: section 2.1 (all of this), 2.2.2 (who predicts the distance field), 2.3 with Fig. 4 (what it is
#   good for), Fig. 1 (the four modalities), Table 4 (what post-processing adds to F1_ori).
# - `maunet_lite/preprocessing/targets.py` and `intensity.py`: all of the code behind, in one sitting.
# - Notebook 02 builds the network that learns these targets; 05 turns them back into cells.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("01")
