# %% [markdown]
# # 06 · Score cells, and doubt the difference
#
# A score is a decision about what counts as an error. You compute the challenge's F1 by hand, break it,
# and then ask of every "better" in a table: better than what, on which images, and would another seed say
# the same?

# %%
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from scipy import ndimage
from skimage.segmentation import find_boundaries

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.evaluation import dice, match_cells
from maunet_lite.course import record, show


def shrink(labels, pixels):
    """Take a rim away from every cell."""
    for _ in range(pixels):
        labels = np.where(find_boundaries(labels, mode="inner"), 0, labels)
    return labels


NUCLEI = {"variant": "nuclei", "cell_diameter": 30, "clustering": 0.6}
image, truth = ml.simulate("fluorescence", (256, 320), n_cells=40, rng=np.random.default_rng(3), **NUCLEI)
clumps = ndimage.label(truth, np.ones((3, 3)))[0]  # what touches is one cell
fig, axes = plt.subplots(1, 3, figsize=(8, 2.5), layout="compressed")
for ax, (name, labels) in zip(
    axes, {"truth": truth, "A": clumps, "B": shrink(truth, 2)}.items(), strict=True
):
    about = f": Dice {dice(truth, labels):.2f}, F1 {match_cells(truth, labels).f1:.2f}"
    figures.overlay(image, labels, ax, name + (about if name != "truth" else f": {truth.max()} nuclei"))
show(fig, alt="Nuclei that touch; A takes clumps of them for one; B finds each, a little too small.", dpi=120)

# %% [markdown]
# *Simulated nuclei, and two results. Who did better? Dice, which looks at pixels, says A. F1, which counts
# cells, says B. Neither is wrong. They answer different questions.*
#
# **You will**
#
# 1. compute F1 by hand on three cells, prove your number equal to the package's, and see on a real cell how
#    exact a truth is,
# 2. predict what the scorer does where rules are hard: borders, halves, empty images, seams,
# 3. see what each of seven metrics is blind to,
# 4. tell mean, median and pooled score apart, and begin every table with a baseline,
# 5. look at the worst cells instead of the best number,
# 6. measure the noise, of images and of seeds, and say how many seeds a claim needs,
# 7. run an ablation in miniature that could be repeated by a stranger,
# 8. read Tables 4, 5 and 7 in the kit's own numbers, beside the paper's.
#
# **You will learn** to read a results table: what was counted, over what it was averaged, what it cost,
# and whether the difference is one.
#
# **You need** NumPy, and notebook 00. For section 7 a look at notebook 02 helps. No GPU, no data, no
# downloads.
#
# **Time** an hour with the exercises for sections 1 to 7, a quarter of an hour for the tables of section 8;
# about a minute to run on two CPU cores, as long on a GPU. Sections 1 to 5 are about scores, 6 to 8 about
# differences: a good place for a break is between them.

# %% tags=["parameters"]
PROFILE = "quick"
DATA = ""  # a dataset's name or folder, for sections 4 to 7; empty: simulated here
RECIPE = "lite-plain"  # of section 7; "paper-supervised" is the paper's Table 2
PRESET = "lite"  # its network …
NETWORK = {"encoder": "lite:16-32-64", "widths": [0, 16, 32, 48]}  # … and what is changed of it: a small one
VARIANT = "AAP"  # a row of Table 4: "base", "w/o L_reg", "CR", "CR*" or "AAP"
AGAINST = "base"  # what it is compared with; "" trains VARIANT alone
SEED = 0  # of the first training
SEEDS = 3  # trainings of each
STEPS = 120  # of each
BATCH = 8
PATCH = 64  # pixels
LEARNING_RATE = 8e-3
TRAIN_IMAGES = 8  # simulated, of each modality
IMAGES = 5  # to score, of each modality

# %%
import contextlib
import io
import math
import tempfile
from pathlib import Path

import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment
from skimage.data import cell as real_cell
from skimage.filters import threshold_otsu
from skimage.metrics import contingency_table
from skimage.segmentation import clear_border, expand_labels

from maunet_lite.course import Slider, exercises, explorer
from maunet_lite.course.figures import ablation
from maunet_lite.course.figures.scores import draw_worst, learning_curve, plot_learning_curves, show_pair
from maunet_lite.data import MODALITIES, data_home, load_dataset, write_image, write_labels
from maunet_lite.evaluation import ap_curve, baseline, errors, evaluate, otsu_watershed, summary
from maunet_lite.training import recipe, train

rng = ml.seed_everything(SEED)

# %% [markdown]
# ## 1 · F1 on three cells
#
# Three true cells, three predictions. Blue is true, orange predicted, green is both; `t` and `p` stand
# before the ids of true and predicted cells. Who found whom? An id says nothing: prediction 1 need not mean
# cell 1.


# %%
def cells(*rows):
    """Read a label map from text: a dot is background, a digit a cell."""
    return np.array([[0 if letter == "." else int(letter) for letter in row] for row in rows])


three = cells("1111..22..", "1111..22..", "1111......", ".......333", ".......333")
found = cells(".3333.....", ".3333.11..", ".3333.11..", ".......222", "..........")
fig, ax = plt.subplots(figsize=(8, 3.4), layout="compressed")
show_pair(three, found, ax, "true t1 to t3, predicted p1 to p3")
show(fig, alt="Three true cells and three predictions that overlap them by different amounts.", dpi=120)

# %% [markdown]
# **Step 1: the IoU matrix.** How much do two cells agree? Divide the pixels they share by the pixels that
# at least one of them has: intersection over union, IoU, 0 for strangers and 1 for twins.
#
# **Predict, then run.** Cell 1 and prediction 3: twelve pixels each, nine of them shared. What is their
# IoU? And the other two pairs? Which of the three reaches 0.5?
#
# ### Exercise 06.1 · the IoU matrix (easy)
#
# Return an array with one row per true cell and one column per prediction, both in ascending order of ids.
# Ids may have gaps.


# %%
def iou_matrix(truth, prediction):
    raise NotImplementedError


exercises.check("06.1", iou_matrix)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Two loops. They look at the whole image for each pair, so this is for small maps only.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def iou_matrix_solution(truth, prediction):
    rows = np.unique(truth[truth > 0])
    columns = np.unique(prediction[prediction > 0])
    matrix = np.zeros((len(rows), len(columns)))
    for i, t in enumerate(rows):
        for j, p in enumerate(columns):
            both, either = (truth == t) & (prediction == p), (truth == t) | (prediction == p)
            matrix[i, j] = both.sum() / either.sum()
    return matrix


exercises.check("06.1", iou_matrix_solution)

# %% [markdown]
# scikit-image counts the shared pixels of all pairs in one pass; the rest is arithmetic. **Step 2: a
# threshold.** A pair with IoU 0.5 or more is a candidate. **Step 3: a matching.** Nobody may have two
# partners; choose as many pairs as possible, and the best ones. **Step 4: count.** A pair is a true positive
# (tp), a prediction left over a false positive (fp), a true cell left over a false negative (fn). **Step 5:**
# F1 = 2 tp / (2 tp + fp + fn).


# %%
def ious(truth, prediction):
    """Return the IoU of each true cell (rows) with each prediction (columns)."""
    shared = contingency_table(truth, prediction).toarray()  # row and column 0: the background
    true_area, found_area = shared.sum(axis=1), shared.sum(axis=0)
    rows, columns = (np.flatnonzero(area[1:]) + 1 for area in (true_area, found_area))  # ids that occur
    both = shared[np.ix_(rows, columns)]
    return both / (true_area[rows, None] + found_area[columns] - both)


def count_by_hand(truth, prediction, threshold=0.5):
    """Return tp, fp, fn without the border rule (section 2)."""
    matrix = ious(truth, prediction)
    gain = np.where(matrix >= threshold, len(matrix) + 1 + matrix, 0)  # first many pairs, then good ones
    rows, columns = linear_sum_assignment(gain, maximize=True)
    tp = int((matrix[rows, columns] >= threshold).sum())
    return tp, matrix.shape[1] - tp, matrix.shape[0] - tp


tp, fp, fn = count_by_hand(three, found)
match = match_cells(three, found, border=0)
assert (tp, fp, fn) == (match.tp, match.fp, match.fn)
print(f"tp {tp}, fp {fp}, fn {fn}: F1 by hand {2 * tp / (2 * tp + fp + fn):.3f}, package {match.f1:.3f}")
pd.DataFrame(ious(three, found), ["cell 1", "cell 2", "cell 3"], [1, 2, 3]).round(2)

# %% [markdown]
# Cell 1 and prediction 3 share nine pixels of the fifteen that belong to one of them: 0.6. Cell 3 and
# prediction 2 reach exactly 0.5, which is enough. So there are two matches. Cell 2 and its prediction agree
# by a third, which is too little, so it is *two* errors: a cell missed **and** a cell invented. A bad outline
# costs twice what a plain miss does.
#
# Above 0.5, by the way, there is nothing to match: if two predictions each shared more than half of their
# union with one cell, they would overlap each other. Only at exactly 0.5 is there a choice.
#
# **How exact is a truth?** Here is a real cell, which comes with scikit-image. Its edge is a slope some
# pixels wide; one person draws along its inside, another along its outside. **Predict, then run.** What is
# the IoU of the two drawings? And what would it be if the cell were a tenth as wide, with an edge as soft as
# this one?

# %%
micrograph = real_cell()
drawn = (micrograph > threshold_otsu(micrograph)).astype(int)
drawn = np.where(ndimage.binary_opening(drawn, iterations=5), 1, 0)  # without specks
inside, outside = shrink(drawn, 3), expand_labels(drawn, 3)
width = 2 * np.sqrt(drawn.sum() / np.pi)
agree = {
    f"{w:.0f} px wide": max(0, w - 6) ** 2 / (w + 6) ** 2 for w in (width, width / 2, width / 5, width / 10)
}

fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), width_ratios=(1, 1.6), layout="compressed")
here = np.s_[280:470, 335:525]
figures.overlay(micrograph[here], outside[here], axes[0], "a real cell, drawn twice")
axes[0].contour(inside[here], [0.5], colors="#D55E00", linewidths=1)
axes[1].bar_label(axes[1].bar(agree.keys(), agree.values(), color="#0072B2"), fmt="%.2f")
axes[1].axhline(0.5, color="0.6", ls="--", lw=0.8)
axes[1].set(ylim=(0, 1), ylabel="IoU of two drawings", title="both 3 px beside the middle of the edge")
show(fig, alt="A round cell with two outlines; their IoU, high if it is large, near 0 if small.", dpi=120)
print(f"counted on the real cell: {ious(inside, outside)[0, 0]:.2f}")

# %% [markdown]
# The same hand, the same softness of edge: fine for a large cell, hopeless for a small one. On small cells an
# IoU of 0.5 asks for outlines within a pixel or two, and part of what a score calls an error is a
# disagreement about the edge. No method can beat the people who drew its truth.
#
# ## 2 · Where rules are hard
#
# The challenge's scorer has rules that no formula shows. Eight cases; the truth is blue, the prediction
# orange, green is both; a dashed line marks the frame, a full one the seam.
#
# **Predict, then run.** Write down tp, fp and fn for each of them before you look at the table below the
# pictures. The border rule: a cell that touches the outermost two pixels is left out, in truth and
# prediction *separately*. The seam: images of 25 megapixels and more are scored in squares of 2,000 pixels,
# each with a border of its own; here the squares are 6 pixels wide and the border is 1.

# %%
small, seam = {"border": 0}, {"border": 1, "block": 6, "blocks_from": 0}
rows = ("..11.....", ".111.....", ".11..22..33.")
inside, larger, two = (np.pad(cells(row, row), ((2, 2), (0, 0))) for row in rows)
cases = {
    "nothing, and nothing found": (cells("....."), cells("....."), small),
    "nothing found": (cells("11.22"), cells("....."), small),
    "one prediction, two cells": (cells("11112."), cells("77777."), small),
    "two halves: IoU 0.5": (cells("1111"), cells("1122"), small),
    "ids with gaps": (cells("11.22"), cells("99.44"), small),
    "one pixel into the frame": (inside, larger, {}),
    "a cell on a seam": (two, np.where(two == 3, 0, two), seam),
    "the same, challenge's quirk": (two, np.where(two == 3, 0, two), seam | {"challenge_compatible": True}),
}
fig, axes = plt.subplots(2, 4, figsize=(8, 2.4), height_ratios=(1, 2.6), layout="constrained")
for ax, (name, (a, b, options)) in zip(axes.flat, cases.items(), strict=True):
    show_pair(a, b, ax, name, options.get("block", 0), frame=0 if options else 2)
show(fig, alt="Eight tiny pairs of label maps, one for each of the cases in the table below.", dpi=120)

# %%
rows = {}
for name, (a, b, options) in cases.items():
    match = match_cells(a, b, **options)
    rows[name] = {"tp": match.tp, "fp": match.fp, "fn": match.fn, "F1": match.f1}
pd.DataFrame(rows).T.astype({"tp": int, "fp": int, "fn": int}).round(2)

# %% [markdown]
# - **Nothing, and nothing found** is a perfect answer: F1 1. (The challenge's own scorer says 0.)
# - **One prediction over two cells** may still match the larger of them. A merge is not always punished.
# - **A cell in two exact halves** has two candidates. One wins, the other is invented. If both matched, F1
#   would be above 1; if none, a rounding error would decide.
# - **Gaps** mean nothing. But code that loops `range(1, labels.max() + 1)` stumbles over them: notebook 01
#   shows what it does to a distance field.
# - **One pixel into the frame**: the true cell keeps clear of it, the prediction does not. So the cell
#   counts as missed, although its prediction lies there. That is unfair to a single cell, and rare.
# - **On a seam** nobody counts. And the quirk: where a square is left without any prediction, the
#   challenge's scorer forgets its missed cells when it lists them; recall and F1 still count them.
#
# ### Exercise 06.2 · the border rule (medium)
#
# Return the label map without the cells that have a pixel in the outermost `width` pixels. All others stay
# as they are. Leave the input alone.


# %%
def drop_border(labels, width):
    raise NotImplementedError


exercises.check("06.2", drop_border)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Collect the ids of the frame, then remove all of their pixels. Erasing the frame instead would leave the
# rest of a border cell behind, as a cell that nobody drew.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def drop_border_solution(labels, width):
    frame = np.ones(labels.shape, bool)
    frame[width:-width, width:-width] = False
    return np.where(np.isin(labels, labels[frame]), 0, labels)


exercises.check("06.2", drop_border_solution)
assert count_by_hand(drop_border_solution(inside, 2), drop_border_solution(larger, 2)) == (0, 0, 1)

# %% [markdown]
# ## 3 · What is a metric blind to?
#
# Seven metrics, and a truth that we damage in six ways, one at a time. *Precision*: what share of the
# predictions is right. *Recall*: what share of the cells was found. *F1*: their harmonic mean. *AP*: tp / (tp
# + fp + fn), the same ranking on another scale; *AP .5–.95*: its mean over ten thresholds. *PQ*: F1 times
# the mean IoU of the matches. *Dice*: pixels, not cells.
#
# **Predict, then run.** Which column does not notice that neighbours were merged? Which damage do F1 and
# AP not see at all, and PQ does? Which one does Dice take most to heart?


# %%
def speckle(labels):
    """Invent as many small cells as there are cells."""
    result, top = labels.copy(), labels.max()
    free = np.argwhere(expand_labels(labels, 6) == 0)
    for k, (row, column) in enumerate(rng.choice(free, top, replace=False), start=1):
        result[row : row + 3, column : column + 3] = top + k
    return result


damage = {
    "nothing": truth,
    "neighbours merged": clumps,
    "outlines 3 px too tight": shrink(truth, 3),
    "outlines 3 px too wide": expand_labels(truth, 3),
    "every third cell missed": np.where(truth % 3 == 0, 0, truth),
    "specks invented": speckle(truth),
    "moved by 5 px": np.roll(truth, 5, axis=1),
}

# %%
scores = {}
for name, labels in damage.items():
    m, curve = match_cells(truth, labels), ap_curve(truth, labels)
    scores[name] = [m.precision, m.recall, m.f1, m.ap, curve.mean(), m.pq, dice(truth, labels)]
metrics = ["precision", "recall", "F1", "AP", "AP .5–.95", "PQ", "Dice"]
fig, ax = plt.subplots(figsize=(8, 2.6), layout="compressed")
sns.heatmap(pd.DataFrame(scores, metrics).T, annot=True, fmt=".2f", cmap="Blues", vmin=0, vmax=1, cbar=False)
ax.tick_params(length=0, rotation=0, top=False, labeltop=True, labelbottom=False)
ax.set_title("seven metrics (columns) of seven predictions (rows)", fontsize=10)
show(fig, alt="A shaded table: seven metrics in columns, seven predictions in rows.", dpi=120)
print("Dice minds most:", min(damage, key=lambda name: scores[name][-1]))

# %% [markdown]
# Read it by columns. **Dice** hardly notices merged cells or specks: it does not know what a cell is. What it
# takes most to heart are outlines that are too tight: they cost every cell a rim.
# **Precision** forgives what is missed, **recall** what is invented; neither means anything alone. **F1**
# at 0.5 forgives sloppy outlines entirely, until an outline is so far off that the cell falls below the
# threshold. Then it forgives nothing. **AP over many thresholds** and **PQ** see outlines.
#
# Now by rows: a damage is visible in one metric and hidden in another. So the choice of the metric is a
# choice of which errors hurt. To count cells, take F1. To measure areas, do not rely on it.
#
# The last row needs a second look: all cells are there, and still precision is below 1 while recall is
# perfect. That is the border rule. A true cell near the left edge touches the frame and is left out; its
# prediction, moved to the right, does not, and counts as invented. At the right edge it is the other way
# round: a prediction that moves into the frame leaves its true cell *missed*. Here no cell ends so close to
# that edge, so recall stays at 1.
#
# How much of this depends on the 0.5? Move the threshold. **Predict, then try.** Which damage falls first as
# the threshold rises, and which bars do not move at all?


# %%
def draw_threshold(threshold):
    values = [match_cells(truth, labels, iou=threshold).f1 for labels in damage.values()]
    fig, ax = plt.subplots(figsize=(8, 2.6), layout="compressed")
    ax.bar_label(ax.barh(list(damage), values, color="#0072B2"), fmt="%.2f", padding=3)
    ax.set(xlim=(0, 1.1), xlabel="F1", title=f"a cell is found at an IoU of {threshold:.2f} or more")
    ax.invert_yaxis()
    return fig


_ = explorer(
    draw_threshold,
    threshold=Slider(0.5, 0.05, 0.95, 0.05, "IoU"),
    alt="F1 of the seven predictions at an IoU of 0.5, as bars.",
    dpi=112,
)

# %% [markdown]
# Missed and invented cells do not move their bars: no threshold forgives them. What moves are the outlines;
# the tight ones and the moved ones fall first.
#
# ## 4 · A baseline, and three averages
#
# Now many images. A score by itself says little: 0.8 is poor where a threshold does as well. So every table
# begins with something that has learned nothing. Here it is Otsu's threshold with a watershed. Against it:
# the shipped `lite` weights.


# %%
def make_dataset(folder):
    """Write a dataset folder: four modalities, cells of one typical size; do nothing if it is there."""
    if (folder / "metadata.csv").exists():
        return folder
    rows = []
    for number, modality in enumerate(MODALITIES):
        for split, count, side in (("train", TRAIN_IMAGES, 128), ("val", IMAGES, 192)):
            for k in range(count):
                own = np.random.default_rng([number, k, split == "val"])
                image, labels = ml.simulate(modality, (side, side), cell_diameter=22, rng=own)
                name = f"{modality}_{split}_{k:03d}"
                write_image(folder / "images" / f"{name}.png", image)
                write_labels(folder / "labels" / f"{name}_label.tiff", labels)
                rows.append({"image": f"{name}.png", "modality": modality, "split": split})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder


data = load_dataset(DATA or make_dataset(data_home() / f"ablation-{TRAIN_IMAGES}-{IMAGES}"))
methods = {
    "Otsu + watershed": baseline(data, "val", progress=False),
    "lite": evaluate("lite", data, "val", progress=False),
}
columns = {"images": "images", "mean_f1": "mean", "median_f1": "median", "pooled_f1": "pooled"}
sums = {name: summary(table)[list(columns)].rename(columns=columns) for name, table in methods.items()}
pd.concat(sums, axis=1).round(2)

# %% [markdown]
# Three numbers per method, all of them "the F1". The **mean** gives every image the same weight: an image
# with two cells counts as much as one with two hundred. The **median** does not care how bad the bad half
# is. **Pooled**, all cells of all images in one pot, is the score of the crowded images. The challenge
# ranked by the median, the paper's Table 7 has mean and median, many papers pool. They can differ by more
# than the methods do.
#
# **Predict, then run.** A hundred images with F1 0.9; ten of them get worse, to 0. What happens to the
# median?
#
# ### Exercise 06.3 · three averages (medium)
#
# `counts` has a row per image: tp, fp, fn. Return mean, median and pooled F1. An image without cells in
# which nothing was found scores 1.


# %%
def three_averages(counts):
    raise NotImplementedError


exercises.check("06.3", three_averages)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `pooled` is the F1 of the sums. Leaving the empty image out of the mean would be a fourth average: say so
# if you do it, for it changes the number.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def three_averages_solution(counts):
    def f1(tp, fp, fn):
        total = 2 * tp + fp + fn
        return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)

    each = f1(*counts.T)
    return each.mean(), np.median(each), float(f1(*counts.sum(axis=0)))


exercises.check("06.3", three_averages_solution)
by_hand = {n: three_averages_solution(t[["tp", "fp", "fn"]].to_numpy()) for n, t in methods.items()}
assert all(np.allclose(by_hand[n], sums[n].loc["all"].iloc[1:]) for n in methods)

# %%
print("median of 90 × 0.9 and 10 × 0:", np.median([0.9] * 90 + [0.0] * 10))
strip = figures.score_strip(methods)
strip.set_title("each image of the validation split", fontsize=10, pad=22)
strip.figure.set_size_inches(8, 4.6)
show(
    strip,
    alt="F1 of each image as a dot, by modality, for the baseline and the network, with mean and median.",
    dpi=120,
)

# %% [markdown]
# The median does not move. If your reader has a hundred images and ten of them fail completely, the median
# will not tell. Draw all the dots whenever you can: no average shows that a method has *two* kinds of
# images.
#
# ## 5 · Look at the worst cells
#
# Before any further number, look. Missed, split, merged, invented: the largest of each kind, at most one
# per image. Found cells are outlined in grey, white lines show the prediction inside of split and merged
# ones.
#
# **Predict, then run.** Which kind will be the most frequent one for the baseline, and which for the
# network?

# %%
val = data.split("val").labelled()
order = val.table.groupby("modality").cumcount().to_numpy()  # its first image 0, its second 1 …
pictures = {}
for k in np.argsort(order, kind="stable")[:40]:  # one of each modality, then the next
    sample = val[int(k)]
    pictures[f"{sample.modality} {k}"] = (sample.image, sample.labels, ml.segment(sample.image))
show(
    draw_worst(pictures),
    alt="Four rows of cut-outs: the largest missed, split, merged and invented cells, in colour.",
    dpi=140,
)
kinds = {"Otsu + watershed": {}, "lite": {}}
for name, (picture, labels, predicted) in pictures.items():
    modality = name.rpartition(" ")[0]
    for method, result in (("Otsu + watershed", otsu_watershed(picture).labels), ("lite", predicted)):
        counts = pd.Series(errors(labels, result, border=2).counts())
        kinds[method][modality] = kinds[method].get(modality, 0) + counts
kinds = {name: pd.DataFrame(table).T for name, table in kinds.items()}
for name, table in kinds.items():
    wrong = table.drop(columns="found").sum()
    print(f"{name}: most often {wrong.idxmax()}, {wrong.max()} of {wrong.sum()} errors")
pd.concat(kinds, axis=1)

# %% [markdown]
# This table tells you what to do next; F1 does not. Merged cells call for better boundaries or other
# markers (notebook 05), missed ones for training images of their kind (notebook 08), invented ones in empty
# regions for images that *are* empty. Two methods of equal F1 may need opposite cures.
#
# ## 6 · How large is the noise?
#
# "0.83 against 0.82." Is that a difference? It depends on two kinds of luck. **Which images** were scored:
# other images of the same kind would have given another mean. **Which seed**: another start would have
# given another network.
#
# The first can be measured without any new image. Pretend that your images *are* the world, and draw new
# samples from them: as many as you have, with replacement, so that some come twice and some not at all. The
# means of many such samples spread as the means of new images would. This is called the *bootstrap*.
#
# ### Exercise 06.4 · bootstrap (medium)
#
# Draw `repeats` such samples. Return the ends of the interval that holds the middle 95 % of their means.


# %%
def bootstrap(scores, rng, repeats=2000):
    raise NotImplementedError


exercises.check("06.4", bootstrap)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `rng.choice` draws with replacement by default, and takes a shape: all resamples at once. Mean ± 1.96
# standard errors comes to nearly the same where images are many; where they are few and most score 0, it
# ends below 0, where no mean can be.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def bootstrap_solution(scores, rng, repeats=2000):
    means = rng.choice(scores, (repeats, len(scores))).mean(axis=1)
    return tuple(np.percentile(means, [2.5, 97.5]))


exercises.check("06.4", bootstrap_solution)

# %% [markdown]
# **Predict, then run.** Twenty images, two methods. Here are the intervals of each method, and of their
# difference *image by image*. The first two are wide; is the third as wide as both together?

# %%
f1 = {name: table["f1"].to_numpy() for name, table in methods.items()}
f1["difference, image by image"] = f1["lite"] - f1["Otsu + watershed"]
widths = []
for name, values in f1.items():  # SciPy's bootstrap does the same as yours
    low, high = stats.bootstrap([values], np.mean, method="percentile", n_resamples=2000).confidence_interval
    widths.append(high - low)
    print(f"{name:27s} mean {values.mean():5.2f}   95 % interval {low:5.2f} to {high:5.2f}")
print(f"width of the third: {widths[2]:.2f}; of both together {widths[0] + widths[1]:.2f};", end=" ")
print(f"of independent errors {np.hypot(*widths[:2]):.2f}")
record("half width of the interval of the difference", round((high - low) / 2, 3))

# %% [markdown]
# Twenty images leave a mean uncertain by several hundredths, often by a tenth. (Real images differ more from
# each other than simulated ones, so they leave more.) Errors that have nothing to do with each other do not
# add up: the third interval is narrower than both together, and about as wide as independent errors make it,
# the root of the sum of squares. Where both methods find the *same* images hard, it is narrower still,
# because that cancels. A threshold and a network fail on different images; two variants of one network are
# the better case.
#
# No bootstrap over images knows about seeds. For that you have to train again. Suppose that one training
# with another seed changes F1 by 0.015 (standard deviation), and a new idea truly gains 0.01. You train
# each **once**, as most tables do. How often does the worse method win?

# %%
seeds_tried = np.arange(1, 21)
wrong = {}
for gain in (0.005, 0.01, 0.02):
    luck = rng.normal(0, 0.015, (2, 4000, 20)).cumsum(axis=2) / seeds_tried  # → means of 1 … 20 runs
    wrong[f"true gain {gain}"] = (luck[0] + gain < luck[1]).mean(axis=0)
ax = pd.DataFrame(wrong, index=seeds_tried).plot(
    marker="o", ms=3, figsize=(8, 2.8), color=["#0072B2", "#D55E00", "#009E73"]
)
ax.set(xlabel="seeds of each method", ylabel="share", ylim=(0, 0.5), xticks=(1, 5, 10, 15, 20))
ax.set_title("how often the worse method wins, if single runs spread by 0.015")
alt = "Share of wrong verdicts against the number of seeds, for three true gains; all fall slowly."
show(ax, alt=alt, dpi=135)
print(f"true gain 0.01, one seed each: the worse method wins {wrong['true gain 0.01'][0]:.0%} of the time")

# %% [markdown]
# With one seed each, a true gain of 0.01 is still reported the wrong way round about one time in three. In
# the paper's Table 4 each row is, as far as the text says, one training, and neighbouring ranks differ by
# 0.003 to 0.02.
#
# ### Exercise 06.5 · how many seeds? (hard)
#
# Two methods, `n` seeds each. Single runs of either spread by `sd`. Return the smallest `n`, at least two,
# for which `gain` is at least twice the standard error of the difference of the two means.


# %%
def seeds_needed(gain, sd):
    raise NotImplementedError


exercises.check("06.5", seeds_needed)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each mean has the variance sd² / n, their difference the sum of both, 2 sd² / n. So gain ≥ 2 sd √(2 / n),
# and n ≥ 8 (sd / gain)². Half the gain needs four times the seeds.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def seeds_needed_solution(gain, sd):
    return max(2, math.ceil(round(8 * (sd / gain) ** 2, 9)))  # rounded: 2.0000000001 is 2


exercises.check("06.5", seeds_needed_solution)

# %%
gains, spreads = np.array([0.005, 0.01, 0.02, 0.05]), (0.005, 0.015, 0.05)
needed = {f"spread {sd}": np.ceil((8 * (sd / gains) ** 2).round(9)).clip(2).astype(int) for sd in spreads}
pd.DataFrame(needed, index=pd.Index(gains, name="gain"))

# %% [markdown]
# ## 7 · An ablation in miniature
#
# An ablation removes one part and asks what it was good for. To mean something it changes **one** thing,
# gives both sides the **same budget**, repeats over **seeds**, and names its metric and rule **before** the
# run. Ours: the anti-ambiguity proxy (AAP) against the base without it; equal steps, equal patches in equal
# order; F1 on the validation images; "better" if the mean gain over seeds is more standard errors above zero
# than Student's t allows for that many seeds (95 %). Half of the labels are hidden from every variant, so
# that CR, which wants images without labels, can be tried too.
#
# The network is small and trains for seconds. What it finds is true of small networks that train for
# seconds.

# %%
VARIANTS = {
    "base": {"proxy": False},
    "w/o L_reg": {"proxy": False, "distance": False},
    "CR": {"proxy": False, "method": "cr"},
    "CR*": {"proxy": False, "method": "cr*"},
    "AAP": {"proxy": True},
}
budget = recipe(RECIPE).override(
    data=str(data.folder), model=PRESET, network=NETWORK, steps=STEPS, batch_size=BATCH, patch=PATCH
)
if RECIPE == "lite-plain":  # made for hours; these are seconds
    budget = budget.override(learning_rate=LEARNING_RATE, warmup=5, zoom=(0.8, 1.25), balance=1.0)
budget = budget.override(labelled_fraction=0.5, save_every=0, validate_every=0, validation_images=1)


def run(variant, seed):
    """Train one row of the table with one seed, and score it on the validation images."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config = budget.override(**VARIANTS[variant], seed=seed, out=f"{folder}/run")
        result = train(config, progress=False)
        return evaluate(Path(result.folder) / "last.safetensors", data, "val", progress=False)


# %% [markdown]
# **Predict, then run.** Which variant wins, and in how many of the seeds? And how far apart will two seeds
# of the *same* variant be?

# %%
names = [name for name in (AGAINST, VARIANT) if name]
trained = {(name, seed): run(name, seed) for seed in range(SEED, SEED + SEEDS) for name in names}
means = {key: table[["f1", "f1_plain", "class_dice"]].mean() for key, table in trained.items()}
results = pd.DataFrame(means).T.rename_axis(["variant", "seed"]).unstack("variant")

first = trained[VARIANT, SEED]
for score in ("f1", "f1_plain", "dice", "class_dice"):
    record(score, round(float(first[score].mean()), 4))
for modality, value in first.groupby("modality")["f1"].mean().items():
    record(f"f1 {modality}", round(float(value), 4))

fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharex=True, layout="compressed")
for ax, (column, name) in zip(
    axes, {"class_dice": "mean Dice", "f1_plain": "F1_ori", "f1": "F1"}.items(), strict=True
):
    pairs = results[column][names].add_prefix("seed ", axis=0)
    ax.plot(names, pairs.mean(), color="black", lw=4, alpha=0.3, label="mean")
    figures.show_lines(pairs.T, ax, title=name)
    ax.set(xlabel="", xlim=(-0.3, len(names) - 0.7), ylim=(0, 1))
for ax in axes[:2]:
    ax.get_legend().remove()
show(fig, alt="Mean Dice, F1_ori and F1 of both variants, a line per seed; mean: thick and grey.", dpi=125)


# %%
def judge(gains):
    """Say what the gains of some seeds show, by the rule that was fixed above."""
    if len(gains) < 2:
        return "one seed"
    error = gains.std() / math.sqrt(len(gains))  # of their mean
    limit = stats.t.ppf(0.975, len(gains) - 1) * error  # with three seeds 4.3 errors, with many 1.96
    return "not shown" if abs(gains.mean()) <= limit else "better" if gains.mean() > 0 else "worse"


for column in ("class_dice", "f1_plain", "f1") if AGAINST else ():
    gains, spread = results[column][VARIANT] - results[column][AGAINST], results[column][AGAINST].std()
    verdict = judge(gains)
    assert verdict == ablation.verdict(gains)  # the package's rule is the same; section 8 uses it
    about = f"{gains.mean():+.3f}, above 0 in {(gains > 0).sum()} of {len(gains)} seeds"
    print(f"{column:10s} {VARIANT} − {AGAINST}: {about};")
    print(f"           spread of single runs of {AGAINST} {spread:.3f},", end=" ")
    print(f"of the gains {gains.std():.3f}: {verdict}")
    record(f"verdict on {VARIANT} by {column}", verdict)

# %% [markdown]
# So short a training does the proxy no good: when we ran it, AAP lost by Dice and by F1, by F1 about twice as
# much. And yet no loss was shown. The rule does not ask how large a loss is, nor how far single runs spread,
# but how far the *gains* spread, seed by seed, the last number of each score. A small loss that is alike in
# all seeds says more than a large one that is not.
#
# Three seeds are few: Student's limit is then 4.3 standard errors, not two. That all three fall on the same
# side happens one time in four if there is no difference at all. "Not shown" is the honest verdict of most
# small ablations, and it is a result: it says how large an effect you would have noticed.
#
# And beware of the metric once more. F1 passes through thresholds on probabilities (`interior=0.6`,
# `sure_interior=0.9`); a proxy that holds a share of all probability shifts what they mean. F1_ori takes
# the most probable class, which a proxy cannot shift. If the two disagree, you have learned something about
# thresholds.
#
# To repeat a row, nobody needs to open this notebook. A file `grid.yaml` and a command do it, on one core
# or on many machines, with a table of all that was recorded at the end:
#
# ```yaml
# VARIANT: [base, AAP]
# SEED: [0, 1, 2]
# SEEDS: 1
# AGAINST: ""
# ```
#
# ```bash
# maunet-lite sweep notebooks/06_evaluation_and_ablation.ipynb --grid grid.yaml --profile quick
# ```
#
# ## 8 · Tables 4, 5 and 7, in the kit's own numbers
#
# The same experiment at a larger budget, on real images, made once with `python -m benchmarks.ablation`. In
# Table 4, too, half of the labels are hidden from every row, so that CR has something to work on. Every
# number comes from one file, `benchmarks/results/ablation.csv`, which also has steps, minutes, commit and
# machine of each run. The paper's numbers stand beside them for orientation; they are of **other images, a
# larger network and a far larger budget**. Compare differences, not levels.
#
# **Predict, then run.** The paper's ranking in Table 4 is AAP, base, CR*, CR by F1. How much of it will
# survive?

# %%
frame = ablation.load()
print(ablation.budget(frame, "4"))
for variant, mean in ablation.spread(frame, "4")["mean"].items():
    record(f"table 4, F1, {variant}", round(float(mean), 4))
four = ablation.table4(frame)
four if len(four) else None

# %%
if len(four):
    print("Gain over the base, mean over seeds, and the verdict:")
    print(ablation.verdicts(frame, "4").to_string())
    fig, ax = plt.subplots(figsize=(8, 2.9), layout="compressed")
    runs, places = ablation.rows(frame, "4"), {"x": "mean_f1", "y": "variant", "order": four.index, "ax": ax}
    sns.swarmplot(runs, **places, alpha=0.7, color="#0072B2")
    bar = {"marker": "|", "markersize": 18, "markeredgewidth": 2.2, "color": "#0072B2"}
    sns.pointplot(runs, **places, errorbar=None, linestyle="none", **bar)
    ax.scatter(ablation.PAPER_4["mean_f1"][four.index], four.index, marker="D", color="#D55E00", zorder=3)
    ax.set(ylabel="", xlabel="F1 (dot: one run, bar: their mean, diamond: the paper, on other images)")
    ax.set_title("F1 of every training of Table 4", fontsize=10)
    ax.set_ylim(len(four) - 0.5, -0.5)
    figures.tidy(ax, "x")
    show(
        fig,
        alt="F1 of every training by variant: a dot per seed, a bar for the mean, the paper's a diamond.",
        dpi=120,
    )
ablation.by_modality(frame, "4").reindex(four.index).round(2) if len(four) else None

# %% [markdown]
# How to read it. First the spread: it says which differences deserve a second look. Then the verdicts, seed
# against seed, score by score. By F1 the order is the paper's, but of its gaps three seeds show one, that
# of CR to the base. Two more things they do show: without the distance loss F1_ori falls, and CR* costs
# mean Dice, as it loses the boundary (notebook 04 shows how); CR costs as much, but its seeds differ more.
# Then the modalities: the paper blames CR's loss on "unusual domains", which a mean over all images cannot
# show, and this table can. Here CR loses most on brightfield, mostly stained tissue, and gains on phase
# contrast, of which only seven images are validated.
#
# **Table 5** asks for two encoders, each alone and together, and for test-time augmentation: the image is
# also shown enlarged by 1.25 and 1.5. Encoder A is the one of `lite`; B has fewer and wider stages, as the
# paper's WideResNet50 without its last. **Predict, then run.** What helps more, a second network or more
# scales? What does each cost?

# %%
print(ablation.budget(frame, "5"))
for variant, mean in ablation.spread(frame, "5")["mean"].items():
    record(f"table 5, F1, {variant}", round(float(mean), 4))
five = ablation.table5(frame)
if len(five):
    mean = ablation.spread(frame, "5")["mean"]
    scales = [mean[f"{name}, three scales"] - mean[f"{name}, one scale"] for name in five.index]
    second = [
        mean[f"A + B, {n}"] - mean[[f"A, {n}", f"B, {n}"]].mean() for n in ("one scale", "three scales")
    ]
    print(f"three scales gain {np.mean(scales):+.3f}, a second network {np.mean(second):+.3f}")
five if len(five) else None

# %% [markdown]
# Both gain less than a hundredth here, three scales a little more than a second network. That one doubles the
# time; three scales multiply it by about five, since $1 + 1.25^2 + 1.5^2 = 4.8$. Whether either is worth it
# depends on whether the cells are smaller than those of the training: enlarging helps small cells and may cut
# large ones to pieces.
#
# **Table 7** is the paper's final test: mean and median by modality. Below it stands the paper's main claim,
# put to a test: does the proxy help on images of a kind that was **not** trained on? Networks were trained
# on simulated images only, with and without the proxy, three seeds each, and scored on real ones, where they
# had never been. The last table has the mean F1 of all that was scored, baseline included.

# %%
seven = ablation.table7(frame)
print(ablation.budget(frame, "7"))
for modality, mean in seven["mean F1"].items():
    record(f"table 7, F1, {modality}", round(float(mean), 4))
seven.round(2) if len(seven) else None

# %%
pairs = ablation.unseen(frame)
print("trained on simulated images, scored on real ones:")
for modality, part in pairs.groupby(level="modality", sort=False):
    print(f"{modality:15s} proxy {part['gain'].mean():+.3f}, {ablation.verdict(part['gain'])}")
means = ablation.spread(frame, "7")["mean"]
if {"simulated to real, proxy", "Otsu + watershed", "shipped lite"} <= {*means.index}:
    only = means["simulated to real, proxy"]
    print(f"trained on simulated images only: F1 {only:.2f};", end=" ")
    print(f"a threshold {means['Otsu + watershed']:.2f}, the shipped network {means['shipped lite']:.2f}")
if pairs.empty:
    print("No pairs of networks that saw no real image, with and without the proxy, here yet.")
ablation.by_modality(frame, "7").round(2) if (frame["table"] == "7").any() else None

# %% [markdown]
# Three pairs: enough to say that the proxy makes no large difference there, in either direction, not enough
# for a small one. (Simulated images alone do not lift so short a training above a threshold by much, if at
# all: the printed line. In the last table, one pair each was trained without a modality. Phase contrast is
# then lost almost altogether.)
#
# Two things in the paper's Table 7 deserve your eye. Fluorescence has a mean of 0.31 and a median of 0.24:
# most of those images failed, and the overall median of 0.75 does not let you guess it. And whoever sees
# mean above median, or far below it, should ask for the dots.
#
# **Sources that were left out.** A network for *any* microscope has to be scored on one it never saw.
# `python -m benchmarks.unseen` leaves out each of nine sources, trains on the others and scores on the one
# left out. Three ways to train, from the same start, 1,000 steps on simulated pictures: no further step; the
# paper's augmentation; domain randomization, that is the recipe `lite` with random sizes, colours and light.
#
# **Predict, then run.** Which of the three is best on sources left out, and which on validation images of the
# sources that were there? Which single change of domain randomization matters most? And the paper's proxy,
# made for images unlike the training's: does it pay here?

# %%
ends = ["", "_other_start"]  # of the file's name: a few trainings go on from another start
tables = [pd.read_csv(ablation.results(f"unseen{end}.csv")).assign(start=end) for end in ends]
unseen = pd.concat(tables, ignore_index=True)
ways = {"simulated": "simulated only", "paper": "the paper's augmentation", "lite": "domain randomization"}
runs = unseen.groupby(["variant", "start", "seed"]).agg(
    **{"left out": ("f1_auto", "mean"), "others": ("f1_val", lambda values: values.drop_duplicates().mean())}
)
means, luck = runs.groupby("variant").mean(), runs.loc["lite"].std()  # luck: the spread between seeds
for way, name in ways.items():
    print(f"{name:25s} F1 left out {means.loc[way, 'left out']:.2f}, others {means.loc[way, 'others']:.2f}")
    record(f"F1 on sources left out, {name}", round(float(means.loc[way, "left out"]), 4))
changes = [name for name in means.index if name.startswith("lite-") and not name.endswith("-noproxy")]
without = (means.loc[changes] - means.loc["lite"]).sort_values("left out")
without = without.rename(lambda name: name.removeprefix("lite-"))
for on, change in without.abs().idxmax().items():
    print(f"{on}: {len(runs.loc['lite'])} runs of domain randomization spread by {luck[on]:.3f};", end=" ")
    print(f"the change that matters most: without {change} {without.loc[change, on]:+.3f}")

# %%
fig, (by_source, by_change) = plt.subplots(1, 2, figsize=(9, 3.6), layout="compressed")
by_way = unseen[unseen["variant"].isin(ways)].replace({"variant": ways})
marks = {"errorbar": None, "linestyle": "none", "markers": ["o", "D", "s"]}
order = {"order": sorted(set(by_way["source"])), "hue_order": ways.values()}
sns.pointplot(by_way, x="f1_auto", y="source", hue="variant", **order, **marks, ax=by_source)
by_source.set(xlim=(-0.03, 1), xlabel="F1", ylabel="", title="F1 on each source, left out")
colors = {"left out": "#0072B2", "others": "#D55E00"}
by_change.axvspan(-luck["left out"], luck["left out"], color=colors["left out"], alpha=0.15, lw=0)
long = without.rename_axis("change").reset_index().melt("change", var_name="on", value_name="difference")
sns.stripplot(long, x="difference", y="change", hue="on", palette=colors, jitter=False, size=8, ax=by_change)
by_change.set(xlabel="F1 minus that with all", ylabel="", title="without one change (band: seeds, left out)")
for ax in (by_source, by_change):
    ax.title.set_size(10)
    figures.tidy(ax, "x")
    ax.legend(title=None, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
show(
    fig,
    alt="Left, F1 on nine sources that were left out, by three ways to train; right, what switching off one "
    "change of domain randomization does to F1 on sources left out, with the spread between seeds as a band, "
    "and on the others.",
    dpi=120,
)

# %%
for name, what in {"lite-noproxy": "no proxy", "lite+extra": "simulated pictures mixed in"}.items():
    gains = (runs.loc[name] - runs.loc["lite"]).dropna()  # run by run, from the same start and seed
    for on, gain in gains.items():
        print(f"{what}, {on}: {gain.mean():+.3f} in {len(gain)} pairs, {ablation.verdict(gain)}")
        record(f"{what}, {on}", round(float(gain.mean()), 4))

# %% [markdown]
# On the sources that were there the paper's augmentation wins, and on sources left out domain randomization
# does. Now the band. It is the spread between runs of domain randomization on sources left out, one standard
# deviation to either side, and belongs to the blue points alone; on the others runs differ far less (the
# printed lines have both). A blue point within it shows nothing, and one a little outside shows little, for
# each is one training. An orange point to the right of 0 is a change that costs something on sources that
# were there: the price of being ready for others.
#
# The last lines compare pairs. Simulated pictures mixed in help on sources left out and cost on the others;
# both are shown. Without the proxy a network is a little better on the sources that were there, which is
# shown, and a little worse on those left out, which is not: the paper's claim leans the right way here, and
# stays open. What can be seen without statistics is larger: simulated pictures alone are not enough, and
# single sources differ far more (left) than ways to train. Fluorescence gains by randomization whatever is
# switched off: when all networks agree, that is evidence where one difference is not. On tissue out of focus
# every network that has to estimate the size of cells does worse than the paper's, which no mean would have
# told you.
#
# **How many labels, how many minutes?** No table of the paper says, and everybody asks. The same network, for
# 600 steps with ever fewer labelled images of all kinds, and with all images for fewer or more steps.
#
# **Predict, then run.** What costs more: to have a fifth of the labels, or a quarter of the time?

# %%
for table, unit in (("curve", "images"), ("budget", "steps")):
    print(ablation.budget(frame, table))
    for amount, mean in learning_curve(frame, table)["mean"].items():
        record(f"F1 with {amount} {unit}", round(float(mean), 4))
curves = plot_learning_curves(frame)
for ax, title in zip(curves.axes, ("600 steps, more images", "all images, more steps"), strict=True):
    ax.set_title(title, fontsize=10)
show(
    curves,
    alt="F1 against labelled images and against minutes of training, a line per modality.",
    dpi=120,
)
for modality in sorted(frame["modality"].unique()):
    images, steps = (learning_curve(frame, table, modality)["mean"] for table in ("curve", "budget"))
    fifth, last = images.iloc[-2] - images.iloc[-1], steps.iloc[-1] - steps.iloc[-2]
    print(f"{modality:15s} a fifth of the labels {fifth:+.2f};", end=" ")
    print(f"a quarter of 600 steps {steps[150] - steps[600]:+.2f}, the last doubling of steps {last:+.2f}")

# %% [markdown]
# A fifth of the labels costs nothing here, and even twenty images, some of each kind, are enough: a training
# of three minutes does not exhaust them. Time is what is short: a quarter of the steps costs far more. Read
# such curves at their right end: if one still rises, the next label or minute pays; if it is flat, spend your
# effort elsewhere. And read them by modality. Phase contrast even falls with more labels; with seven images
# to validate on, all that says is that labels are not what it lacks. More steps help it most.
#
# ## Quality control
#
# Test a scorer before you trust it, your own as well as ours. Four things must hold for any label maps.

# %%
sample = val[0]
labels, predicted = sample.labels, ml.segment(sample.image)
forward, backward = match_cells(labels, predicted), match_cells(predicted, labels)
renamed = rng.permutation(np.arange(1, predicted.max() + 1)) * 3  # other ids, with gaps
counted = match_cells(labels, np.r_[0, renamed][predicted])
inner = len(np.unique(clear_border(labels, buffer_size=1))) - 1  # cells clear of a frame of two pixels
checks = {
    "a map agrees with itself": match_cells(labels, labels).f1 == 1,
    "swapped, precision and recall change places": forward.precision == backward.recall,
    "ids do not matter": (counted.tp, counted.fp, counted.fn) == (forward.tp, forward.fp, forward.fn),
    "found and missed are all cells": forward.tp + forward.fn == inner,
}
for name, holds in checks.items():
    print("holds" if holds else "FAILS", name)
assert all(checks.values())

# %% [markdown]
# ## Recap
#
# You have
#
# 1. computed F1 from an IoU matrix, a threshold and a matching, got the package's number, and seen that a
#    truth has an error of its own,
# 2. predicted eight hard cases: a rule you do not know can cost more than a bad network,
# 3. seen each metric overlook something: Dice merges, F1 outlines, precision what is missed,
# 4. told mean, median and pooled F1 apart, above a baseline that has learned nothing,
# 5. looked at the worst cells, and read from their kinds what to do next,
# 6. measured two kinds of luck, by a bootstrap over images and by counting the seeds that a gain needs,
# 7. run an ablation whose rule was fixed before the run, and which one command repeats,
# 8. read three tables with their budget and spread, differences first, levels last.
#
# ## On your own
#
# - *Easy.* Set `VARIANT = "w/o L_reg"`. Which of the three scores notices that the distance field is gone?
# - *Medium.* In section 3 move the truth by 1 to 15 pixels and draw F1, PQ and AP .5–.95 against the shift.
#   Where does F1 break down, and how does that depend on the size of the cells?
# - *Hard.* Score with `border=0` and `iou=0.7` in section 4. Does the ranking of the two methods change in
#   any modality? Find two predictions whose ranking does, and say which rule you would publish.
#
# <details><summary>Answers</summary>
#
# **Easy.** One would bet on F1 with post-processing, for it reads the field; F1_ori and mean Dice come from
# the classes alone and change only through the shared encoder. Table 4 says otherwise: F1_ori falls in all
# three seeds, and enough for the verdict "worse". F1 falls in all three as well, but by such different
# amounts that nothing is shown: the rules make a field of their own from P(interior) where there is none. In
# seconds, as in section 7, expect no verdict.
#
# **Medium.** `np.roll(truth, k, axis=1)` for k from 1 to 15, with `border=0`. F1 stays at 1 until the IoU of
# a typical cell passes 0.5, and then breaks down within a few pixels; PQ falls from the first pixel on, AP
# .5–.95 in steps. A disk of diameter d reaches an IoU of 0.5 when it is moved by about a quarter of d, so
# wide cells forgive more.
#
# **Hard.** A stricter IoU hurts the method with the worse outlines, a border of 0 the one that is unsure
# about cut cells. Two predictions that change places: one that finds all cells a little too small, and one
# that finds nine of ten exactly. At 0.5 the first is better, at 0.8 the second. Publish the rule before you
# see the numbers.
#
# </details>
#
# ## Further reading
#
# - Paper: 4.1 with Tables 4 and 5 (ablation, ensemble), 4.4 with Table 7 (final test), 4.2 (failures).
# - `maunet_lite/evaluation/matching.py` and `metrics.py`: overlaps counted at once, the assignment, the
#   blocks. `errors.py`: what split and merged mean here.
# - Maier-Hein and others, *Metrics reloaded*, Nature Methods 2024: which metric for which question.
# - Caicedo and others, *Evaluation of deep learning strategies for nucleus segmentation*, Cytometry A 2019:
#   errors by kind.
# - Bouthillier and others, *Accounting for variance in machine learning benchmarks*, MLSys 2021: seeds.
# - Notebook 04, section 10: three meanings of an equal budget. Notebook 07: the cost of an answer.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("06")
