# %% [markdown]
# # 00 · Quickstart
#
# In the next twenty minutes you segment cells in four kinds of microscopy, read the result as numbers, and
# learn how the whole course runs by itself.

# %%
import matplotlib.pyplot as plt
import numpy as np

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.data import MODALITIES
from maunet_lite.course import exercises, record, show

opening = {
    m: ml.simulate(m, shape=(256, 256), cell_diameter=28, rng=np.random.default_rng(1)).image
    for m in MODALITIES
}
fig, axes = plt.subplots(1, 4, figsize=(10, 3.1), layout="compressed")
for ax, (modality, image) in zip(axes, opening.items(), strict=True):
    figures.overlay(image, ml.segment(image), ax=ax, title=f"simulated\n{modality}")
show(
    fig,
    alt="Four simulated microscopy images, brightfield, fluorescence, phase contrast and DIC, with a "
    "coloured outline around each cell that the network found.",
    dpi=120,
)

# %% [markdown]
# *What you are looking at: images of four simulated microscopes, and the cells that one and the same network
# finds in them (DIC is short for differential interference contrast). Compare paper Fig. 5. Simulated images
# come with the truth, so their results can be scored; section 1 has real ones.*
#
# **You will**
#
# 1. segment images in three lines, simulated and real ones,
# 2. read a label map: how many cells, how large (by a loop, NumPy and the package), and which is suspicious,
# 3. see the two maps that the network really predicts, and move a threshold on one of them,
# 4. score a result against the truth,
# 5. run the course, or a part of it, without touching it.
#
# **You will learn** what a label map is, what stands between an image and its cells, and where each of the
# other notebooks looks closer.
#
# **You need** a little Python and NumPy. No GPU, no data, no downloads.
#
# **Time** 20 minutes to read; well under a minute to run, on a CPU as on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
SEED = 1
SIDE = 320  # pixels

# %% [markdown]
# ## 1 · Three lines
#
# A microscope image goes in, a *label map* comes out: an array of the same height and width in which 0 is
# background and each cell has a number of its own.

# %%
truth = ml.simulate("fluorescence", (SIDE, SIDE), cell_diameter=28, rng=np.random.default_rng(SEED))

image = truth.image
labels = ml.segment(image)

print("image ", image.shape, image.dtype, "from", image.min(), "to", image.max())
print("labels", labels.shape, labels.dtype, "from", labels.min(), "to", labels.max())

# %% [markdown]
# `ml.read_image("cells.tif")` reads an image of yours: grey or colour, 8 or 16 bit, png, jpg, bmp or tif. You
# do not scale it, convert it or cut it: `ml.segment` does all that, in the same way for every image.
#
# **Predict, then run.** The largest number in `labels` is the number of cells. Some nuclei in this image
# touch. Will the network number more cells than there are, or fewer?

# %%
there, found = int(truth.labels.max()), int(labels.max())
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="compressed")
figures.show_image(image, ax=axes[0], title=f"image, {there} cells")
figures.show_labels(labels, ax=axes[1], title=f"label map, {found} cells")
figures.overlay(image, labels, ax=axes[2], title="outlines on the image")
show(fig, alt="An image, its label map with each cell in another colour, and outlines on the image.", dpi=120)
print(f"{there} cells are there, the network numbers {found}:", end=" ")
print(
    "fewer, since some that touch share a number"
    if found < there
    else "not fewer: some are invented or split"
)
record("cells found", found)
record("cells there", there)

# %% [markdown]
# Colours in a label map are names, not values: neighbours get different ones, that is all.
#
# Now two **real** images, which come with scikit-image: a single cell, and stained tissue. The line is the
# same. **Predict, then run.** The cell is as wide as five of the simulated ones. The tissue is stained brown
# for a protein and blue for nuclei, and its nuclei are a third as wide as the simulated cells. Will the
# network find the cell at either size? And the nuclei, with and without being told how wide they are?

# %%
from skimage import color, data, transform

cell, tissue = data.cell(), data.immunohistochemistry()[210:390, 90:350]
blue = color.rgb2hed(tissue)[..., 0]  # how much of the blue dye, which binds to nuclei, lies in each pixel
given = {
    "a real cell": cell,
    "a quarter as wide": transform.rescale(cell, 0.25),
    "real tissue": tissue,
    "told: 10 pixels": tissue,
    "its blue dye, told": blue,
}
seen = {name: ml.segment(image, diameter=10 if "told" in name else None) for name, image in given.items()}
fig, axes = plt.subplots(1, 5, figsize=(11, 2.8), layout="compressed")
for ax, (name, found_here) in zip(axes, seen.items(), strict=True):
    figures.overlay(given[name], found_here, ax=ax, title=f"{name}:\n{found_here.max()} found")
show(
    fig,
    alt="A large round cell, the same small; stained tissue in colour, twice, and its blue dye as a grey "
    "image; outlines around what was found in each.",
    dpi=110,
)
counts = {name: int(found_here.max()) for name, found_here in seen.items()}
for name, count in counts.items():
    pixels = np.bincount(seen[name].ravel(), minlength=2)[1:]
    print(f"{name:18s} {count:3d} found, the largest {pixels.max() / given[name].size:.1%} of the picture")
record("found in real images", counts)

# %% [markdown]
# The cell is found at either size: `ml.segment` estimates how wide cells are and brings the image to a size
# that the network knows. Tissue is harder. Left to itself the network takes brown glands
# for cells. Told how wide nuclei are, some outlines follow blue nuclei, and in the blue dye alone more do;
# others still lie on glands. Nothing in the numbers says which is which. So look, and ask two questions of
# an image of your own: how wide are its cells in pixels (`diameter=`), and which channel shows them
# (`channel=`)? Both often do more than any training. Notebook 08 is about your own images.
#
# ## 2 · Reading a label map
#
# Most of what you may want to know about a cell is a line of NumPy away. `labels == 7` is the mask of cell 7,
# and its sum is the cell's area. A loop over the cells reads the whole image for each; `np.bincount` counts
# all of them at once; `measure_cells` gives a table with the area and much else. The three agree.

# %%
from maunet_lite.export import measure_cells

by_loop = [(labels == k).sum() for k in range(1, labels.max() + 1)]
areas = np.bincount(labels.ravel())[1:]  # entry 0 counts the background
np.testing.assert_array_equal(areas, by_loop)
np.testing.assert_array_equal(areas, measure_cells(labels)["area"])

largest = int(np.argmax(areas)) + 1
print(f"{len(areas)} cells, areas from {areas.min()} to {areas.max()} pixels, median {np.median(areas):.0f}")

below = np.bincount(truth.labels[labels == largest])  # pixels of true cells under the largest one
shares = np.sort(below[1:][below[1:] > 50])[::-1]
print(f"cell {largest}, the largest, covers true cells with {', '.join(map(str, shares))} pixels")

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="compressed")
axes[0].hist(areas, bins=15, color="0.4")
axes[0].set(xlabel="area / pixels", ylabel="cells", title="areas")
only = labels == largest
figures.overlay(image, np.where(only, labels, 0), ax=axes[1], title=f"cell {largest}, the largest")
figures.overlay(image, np.where(only, truth.labels, 0), ax=axes[2], title="the truth below it")
show(
    fig,
    alt="A histogram of cell areas; the image with the outline of its largest cell; the true cells under it.",
    dpi=120,
)

# %% [markdown]
# This is the first quality control of any segmentation, and it needs no truth: **look at the largest and at
# the smallest**. An object more than twice as large as the median is often several cells under one number; an
# object much smaller is often a piece of one, or a speck. A mean area would hide both.
#
# ### Exercise 00.1 · mean intensity per cell (easy)
#
# Write a function that takes a grey image and a label map and returns the mean intensity of each cell, as an
# array of length `labels.max()`: cell 1 first. A loop is fine.


# %%
def mean_intensities(image, labels):
    raise NotImplementedError


exercises.check("00.1", mean_intensities)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `np.bincount` also adds up *weights*: sums of intensity divided by numbers of pixels.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def mean_intensities_solution(image, labels):
    sums = np.bincount(labels.ravel(), weights=image.ravel().astype(float))
    return sums[1:] / np.bincount(labels.ravel())[1:]


exercises.check("00.1", mean_intensities_solution)

# %% [markdown]
# ## 3 · What the network really predicts
#
# The network knows nothing of cells. It gives each pixel three probabilities: to be **background**, the
# **interior** of a cell, or its **boundary**. And it says how far out in its cell the pixel lies: the
# **distance field**, 1 at a cell's centre and falling towards its edge. Cells are then made from these maps,
# by rules you can read, in *post-processing* (paper 2.3, notebook 05).
#
# There is a fourth class, the **proxy**: a class that no pixel ever belongs to. What it is good for is the
# question of notebook 03.

# %%
model = ml.load_model("lite")
maps = ml.predict(model, image)
print("probabilities", maps.probabilities.shape, "  distance", maps.distance.shape)
print("they add up to one:", np.allclose(maps.probabilities.sum(axis=0), 1, atol=1e-3))

fig, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="compressed")
for ax, values, name in zip(
    axes, maps.probabilities[:3], ("background", "interior", "boundary"), strict=False
):
    ax.imshow(values, vmin=0, vmax=1, cmap="gray")
    ax.set_title(name)
axes[3].imshow(maps.distance, vmin=0, vmax=1, cmap="viridis")
axes[3].set_title("distance field")
for ax in axes:
    ax.axis("off")
show(
    fig,
    alt="Four maps: probability of background, of interior, of boundary, and the predicted distance field.",
    dpi=120,
)

# %% [markdown]
# **Predict, then run.** What if you skip the rules and take every connected piece of "interior" for a cell?
# Move the threshold: is there one that finds all cells?

# %%
from scipy import ndimage

from maunet_lite.course import Slider, explorer
from maunet_lite.postprocessing import connected_interiors, segment


def draw_pieces(threshold):
    pieces = ndimage.label(maps.probabilities[1] > threshold, np.ones((3, 3)))[0]
    score = ml.match_cells(truth.labels, pieces).f1
    fig, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="compressed")
    figures.overlay(image, pieces, ax=axes[0], title=f"{pieces.max()} pieces, F1 {score:.2f}")
    figures.overlay(image, truth.labels, ax=axes[1], title=f"truth: {truth.labels.max()} cells")
    return fig


_ = explorer(
    draw_pieces,
    threshold=Slider(0.5, 0.05, 0.95, 0.05, "P(interior) above"),
    alt="Pieces of the image in which the interior is more probable than the threshold; the true cells.",
)

# %%
pieces = connected_interiors(maps)  # the most probable class, no threshold to choose
cells = segment(maps).labels
print(f"connected interiors: {pieces.max()}   post-processing: {cells.max()}   truth: {truth.labels.max()}")
pairs = np.unique(np.stack([pieces[pieces > 0], truth.labels[pieces > 0]]), axis=1)[0]
print(f"pieces that reach into more than one true cell: {(np.bincount(pairs)[1:] > 1).sum()}")
tried = np.arange(0.05, 0.96, 0.05)
scores = [
    ml.match_cells(truth.labels, ndimage.label(maps.probabilities[1] > t, np.ones((3, 3)))[0]).f1
    for t in tried
]
print(f"best threshold {tried[np.argmax(scores)]:.2f}: F1 {max(scores):.2f};", end=" ")
print(f"post-processing: F1 {ml.match_cells(truth.labels, cells).f1:.2f}")

# %% [markdown]
# Low thresholds join neighbours, high ones shrink cells and lose faint ones, and the best one had to be
# chosen with the truth in hand. The paper calls the score of connected interiors F1_ori. Where cells touch,
# one piece holds several of them. Post-processing parts them.
#
# ## 4 · How good is it?
#
# This image is simulated, so we know the truth. A predicted cell counts as found if it overlaps a true cell
# by half or more: intersection over union of at least 0.5. **F1** is the balance of found, missed and
# invented cells, 1 if all are found and none invented (notebook 06 computes it by hand). Cells at the very
# edge of the image do not count, neither for nor against: that is a rule of the paper's challenge, and the
# reason why found and missed add up to fewer cells than there are.

# %%
score = ml.match_cells(truth.labels, cells)
plain = ml.match_cells(truth.labels, pieces)
print(f"found {score.tp}, invented {score.fp}, missed {score.fn}")
print(f"F1 {score.f1:.2f}, without post-processing {plain.f1:.2f}")
record("F1, one fluorescence image", score.f1)

from maunet_lite.evaluation import errors

fig, ax = plt.subplots(figsize=(8, 8), layout="compressed")
figures.errors(image, truth.labels, cells, errors(truth.labels, cells), ax=ax)
show(
    fig, alt="Right cells outlined in grey, wrong ones coloured: missed, split, merged or invented.", dpi=120
)

# %% [markdown]
# The picture shows all cells, those at the edge too: look there for the errors that F1 does not count.
# *Split* and *merged* say how a cell was missed: it was cut into pieces, or it shares its number with a
# neighbour.
#
# ### Exercise 00.2 · F1 from three numbers (easy)
#
# F1 is `2·tp / (2·tp + fp + fn)`. A method finds 8 of 10 cells and invents 4. What is its F1? Set `answer`.

# %%
answer = None

exercises.check("00.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# tp = 8, fp = 4, fn = 2: 16 / (16 + 4 + 2) = 0.727.
#
# </details>

# %% tags=["solution"] jupyter={"source_hidden": true}
answer_solution = 2 * 8 / (2 * 8 + 4 + 2)

exercises.check("00.2", answer_solution)

# %% [markdown]
# ## 5 · The course runs itself
#
# Every notebook is also a program. In a terminal, at the top of the checkout:
#
# ```bash
# maunet-lite notebooks run                      # all, in the profile "quick"
# maunet-lite notebooks run 02 05 --profile smoke # two of them, as small as CI runs them
# maunet-lite notebooks run 00 -p SEED=7          # with another value of a parameter
# ```
#
# The cell tagged `parameters` near the top is where these values go. A misspelt name is refused; papermill
# alone would run happily with the old value. Executed notebooks, web pages and a report of minutes and memory
# go to a new folder under `out/notebooks`.
#
# The four profiles, from one readable place:

# %%
from maunet_lite.course import PROFILES

for name, profile in PROFILES.items():
    print(f"{name:6s} {profile.about}")

# %% [markdown]
# ## Quality control
#
# One image is an anecdote. Here is the score for each of the four simulated microscopes, two images each,
# beside a baseline: Otsu's threshold with a watershed, the method of choice before networks, and still the
# first thing to try.

# %%
import pandas as pd
from maunet_lite.evaluation import otsu_watershed

rows = []
for modality in MODALITIES:
    for seed in range(2):
        sample = ml.simulate(modality, (SIDE, SIDE), cell_diameter=28, rng=np.random.default_rng(seed))
        otsu = otsu_watershed(sample.image).labels
        methods = {"network": ml.segment(sample.image), "Otsu + watershed": otsu}
        f1 = {name: ml.match_cells(sample.labels, found).f1 for name, found in methods.items()}
        rows.append({"modality": modality} | f1)
table = pd.DataFrame(rows).groupby("modality", sort=False).mean()
record("F1 by modality", table["network"].round(2).to_dict())
table.round(2)

# %% [markdown]
# Simulated images show how a method works, not how well it does on yours. For that there is the card beside
# the shipped weights, `maunet_lite/weights/lite/README.md`: it lists the images they were trained on, and
# the scores on real images they never saw. How to say honestly how good a method is, is notebook 06's
# subject. (Why does the baseline fail in DIC? Notebook 01 shows it: there, cells are on average as bright as
# the background.)
#
# ## Recap
#
# You have
#
# 1. segmented images in three lines, and asked of real ones: how wide are the cells, which channel shows
#    them?
# 2. read a label map: 0 is background, `labels == k` is cell k, its sum the area by loop, NumPy and package
#    alike, and the largest object is the first suspect,
# 3. seen the maps behind it, class probabilities and a distance field, and moved a threshold that
#    post-processing makes unnecessary,
# 4. scored a result: found, missed, invented, F1,
# 5. learned to run the course without touching it.
#
# ## On your own
#
# - *Easy.* Change `SEED` and run all cells. How much does F1 vary from image to image?
# - *Medium.* Shrink the image to half its size with `skimage.transform.rescale` and segment it again. From
#   which size on does the network lose cells?
# - *Hard.* Add noise until F1 falls below 0.5. Then smooth the noisy image first. Does it help, and why?
#
# <details><summary>Answers</summary>
#
# **Easy.** By a tenth and more, since a few clumps decide. So a difference of some hundredths between two
# methods on *one* image says nothing; notebook 06 measures how many images it takes.
#
# **Medium.** Scale the truth as well, with `order=0` and `preserve_range=True`, and plot F1 against the
# scale: `for scale in (1, 0.7, 0.5, 0.35, 0.25)`. At the size of the training F1 is flat; then small cells go
# first, and at a few pixels per cell nothing is left that could be told from noise.
#
# **Hard.** `image + rng.normal(0, sigma, image.shape)`. Noise differs from pixel to pixel, a cell does not,
# so a mean over neighbours (`skimage.filters.gaussian`) keeps the cell and loses noise. With a sigma of two
# or three pixels F1 comes back to some 0.7 or 0.8, not to what it was; with four to less. A sigma of eight is
# as wide as the gaps between cells and closes them. Under still more noise nothing helps: what is gone is
# gone.
#
# </details>
#
# ## Further reading
#
# - Paper: abstract, Fig. 2 (the network), Fig. 5 (examples), section 2.3 (from maps to cells).
# - Notebook 01 builds the targets the network learns from; 05 turns maps into cells, step by step.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("00")
