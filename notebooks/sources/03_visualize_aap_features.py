# %% [markdown]
# # 03 · See what the proxy does to features
#
# The paper's boldest claim is a fourth class that no pixel ever belongs to. Here you look inside the
# network, draw what it sees, and find out whether that class earns its place.

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import maunet_lite as ml
from maunet_lite import features as mf
from maunet_lite.data import Sample
from maunet_lite.features import margin_strip, measure_lines, scatter
from maunet_lite.data import MODALITIES
from maunet_lite.course import exercises, record, show


def simulated(count, side, seed):
    """Return `count` new images per modality; none of them is in any training set."""
    rng = np.random.default_rng([seed, 2022])
    names = [(modality, k) for modality in MODALITIES for k in range(count)]
    return [Sample(f"{m} {k}", m, *ml.simulate(m, (side, side), rng=rng)) for m, k in names]


shipped = ml.load_model("lite")
opening = mf.pca(mf.mean_features(shipped, simulated(3, 160, seed=0)))
fig, ax = plt.subplots(figsize=(7.2, 3.9), layout="constrained")
scatter(opening, ax, "what a network makes of 12 images", boundary=None)
show(
    fig,
    alt="Scatter diagram: for each image a cross for its background and a disc for its cells, coloured by "
    "modality. Stars mark the weights of the four classes.",
)

# %% [markdown]
# *Each image is two points: the mean feature of its background (×) and of its cells (●), as in the paper's
# Fig. 6(a). Stars are the network's classes. The red one is the anti-ambiguity proxy.*
#
# **You will**
#
# 1. compute the mean feature of a mask by hand and with the package,
# 2. see in which layer modalities blend and classes part,
# 3. draw the network's own decision boundary and ask which modality lies close to it,
# 4. turn "more discriminable" into numbers and test them,
# 5. compare networks with and without the proxy at equal budget, over seeds, and under a light leak,
# 6. explore all of it with the mouse.
#
# **You will learn** how to look inside a network with forward hooks; what PCA shows and hides; why class
# weights act as *proxies* of their classes; how to judge a claim that rests on one figure.
#
# **You need** notebooks 01 (class map) and 02 (decoders, softmax, the proxy's arithmetic).
#
# **Time** 45 minutes to read and try; about a minute and a half to run on two CPU cores, the same on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
RECIPE = "lite"  # of the trainings in section 5; "paper-supervised" is the paper's Table 2
PRESET = "lite"  # network that is trained there, with and without the proxy
DATA = "simulated"  # what it is trained on
STEPS = 100  # of each training
SEEDS = 2  # trainings of each kind
BATCH = 4
PATCH = 96  # pixels
IMAGES_PER_MODALITY = 5  # images to look at
SIDE = 160  # pixels of simulated images, a multiple of 32

# %% [markdown]
# ## 1 · From a feature map to one vector
#
# Just before its classification head, the network holds a vector of numbers, a *feature*, for every pixel
# (or, in `lite`, for every 2 × 2 pixels). The head only takes weighted sums of it. So whatever the network
# knows about a pixel's class stands in that vector.
#
# The paper (section 4.2) condenses an image to two of them: the mean over the background, and the mean over
# the interiors of the cells. Boundary pixels count nowhere.
#
# **Predict, then run.** `lite` has 16 decoder channels at half resolution. What is the shape of the
# features of a 160 × 160 image, and how many numbers describe its background?

# %%
sample = simulated(1, SIDE, seed=1)[0]
x = torch.from_numpy(ml.normalize(sample.image)).permute(2, 0, 1)[None]  # (H, W, 3) → (1, 3, H, W)
with torch.no_grad():
    feature_map = shipped.class_decoder(shipped.skip_features(x))[0].numpy()  # (D, h, w)
print("image", sample.image.shape, "→ features", feature_map.shape)

fig, axes = plt.subplots(1, 5, figsize=(8.5, 2.0))
axes[0].imshow(sample.image, cmap="gray")
axes[0].set_title(sample.name, fontsize=9)
for ax, k in zip(axes[1:], np.argsort(feature_map.std(axis=(1, 2)))[::-1], strict=False):
    ax.imshow(feature_map[k], cmap="viridis")
    ax.set_title(f"channel {k}", fontsize=9)
for ax in axes:
    ax.axis("off")
show(fig, alt="An image and four of the 16 channels of its features: some are bright in cells, some around.")

# %% [markdown]
# ### Exercise 03.1 · mean feature inside a mask (easy)
#
# Given features `(D, H, W)` and a boolean mask `(H, W)`, return the mean feature of the mask's pixels,
# `(D,)`.


# %%
def mean_in_mask(features, mask):
    raise NotImplementedError


exercises.check("03.1", mean_in_mask)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The next cell. A boolean mask of two axes picks pixels and joins both axes to one.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def mean_in_mask(features, mask):
    return features[:, mask].mean(axis=1)


exercises.check("03.1", mean_in_mask)

# %% [markdown]
# The features have half the resolution of the class map, so each counts as often as it has pixels in the
# mask. Enlarging the features does exactly that. `mean_features` does the same for any image size and
# layer; it reads the layer through a *forward hook*, a function that PyTorch calls with a module's output.

# %%
classes = ml.make_targets(sample.labels).classes  # 0 background, 1 interior, 2 boundary
ratio = SIDE // feature_map.shape[1]
enlarged = feature_map.repeat(ratio, axis=1).repeat(ratio, axis=2)
by_hand = np.stack([mean_in_mask(enlarged, classes == k) for k in (0, 1)])

package = mf.mean_features(shipped, [sample])
assert np.allclose(by_hand, package.vectors, atol=1e-4)
package.table

# %% [markdown]
# ## 2 · Many images, one plane
#
# Sixteen dimensions cannot be drawn. *Principal component analysis* finds the directions in which the
# points spread most: the eigenvectors of their covariance, which a singular value decomposition delivers.


# %%
def images_of(data):
    """Return new simulated images, or some of the validation images of another dataset."""
    if data == "simulated":
        return simulated(IMAGES_PER_MODALITY, SIDE, seed=1)
    val = ml.load_dataset(data).split("val").labelled()
    return list(val.select(list(val.table.groupby("modality").head(IMAGES_PER_MODALITY).index)))


images = images_of(DATA)
found = mf.mean_features(shipped, images)
centered = found.vectors - found.vectors.mean(axis=0)
_, strengths, directions = np.linalg.svd(centered, full_matrices=False)
by_hand = centered @ directions[:2].T

plane = mf.pca(found)
assert np.allclose(np.abs(by_hand), np.abs(plane.points), atol=1e-3)  # the sign of a direction is free
print("share of the variance:", (strengths**2 / (strengths**2).sum())[:4].round(2))

# %% [markdown]
# **Predict, then run.** Below are the same images in two layers: the deepest stage of the encoder, and the
# last block of the class decoder. In which of them do points of one *colour* (modality) flock together, in
# which points of one *shape* (class)?

# %%
table = mf.layers(shipped)
deepest = [name for name in table["layer"] if name.startswith("encoder.")][-1]
pair = mf.mean_features(shipped, images, [deepest, "class_decoder"])
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
for ax, (layer, values) in zip(axes, pair.items(), strict=True):
    scatter(mf.pca(values), ax, layer, boundary=None, proxies=False, legend=layer == "class_decoder")
show(
    fig,
    alt="Two scatter diagrams of the same images. In the encoder points of one modality lie together; in the "
    "class decoder background and cells lie apart.",
)

# %% [markdown]
# The paper speaks of "multiple centroids", and you can see what it means: even in the last layer, where
# all cells have come together, the background of fluorescence keeps a place of its own, while those of
# the three others mix. One classifier has to draw a border through all of them. How much of each kind of
# order is in a layer can be counted: what share of all scatter lies between the classes, and what share
# between the modalities?
#
# **Predict, then run.** Draw your guess before you look: two curves from the first stage of the encoder to
# the last block of the decoder.

# %%
order = [name for name in table["layer"] if name.startswith(("encoder", "class_decoder."))]
by_layer = mf.mean_features(shipped, images, order)


def share_between(vectors, groups):
    within = sum(((vectors[groups == g] - vectors[groups == g].mean(0)) ** 2).sum() for g in set(groups))
    return 1 - within / ((vectors - vectors.mean(0)) ** 2).sum()


fig, ax = plt.subplots(figsize=(8.5, 2.8), layout="constrained")
for column, label in (("class", "between classes"), ("modality", "between modalities")):
    shares = [share_between(f.vectors, f.table[column].to_numpy()) for f in by_layer.values()]
    ax.plot(range(len(order)), shares, marker="o", label=label)
ax.set_xticks(range(len(order)), [name.replace("_", "\n") for name in order], fontsize=7)
ax.set(ylim=(0, 1), ylabel="share of the scatter")
ax.legend(frameon=False)
show(
    fig,
    alt="Two curves over the layers from the encoder's first stage to the decoder's last block: the share of "
    "scatter between classes and between modalities.",
)

# %% [markdown]
# A U-Net turns twice. On its way down it learns what kind of picture this is; each of the deepest features
# stands for 32 × 32 pixels and hardly tells a cell from its surroundings. On its way up, skip connections
# bring back where things are, and the loss asks for classes only. What is left of the modality at the end
# is the gap that the proxy is meant to close.
#
# ## 3 · The head draws a line
#
# The head is a 1×1 convolution: `logits = weights @ feature + bias`, nothing more. Two facts follow.
#
# - The mean logit over a mask is the logit of the mean feature. Our points can be judged by the head
#   itself.
# - A feature scores high for the class whose weight vector points its way. That is why the paper takes each
#   row of `weights` for a *proxy* of its class, a stand-in for all its pixels.

# %%
head = mf.class_head(shipped)
with torch.no_grad():
    logits = shipped(x).logits[0].numpy()  # (4, H, W)
mean_logits = logits[:, classes == 1].mean(axis=1)
print("mean logits of the interior ", mean_logits.round(2))
print("logits of the mean feature  ", (head.weights @ package.vectors[1] + head.bias).round(2))
print("classes", head.names)

# %% [markdown]
# (In `lite` the two differ a little: its head has weights for each of the four pixels that share a feature,
# `class_head` averages them, and a mask's edge cuts through some groups of four. With the paper's head they
# are equal.)
#
# Where background and interior have equal logits, the network is undecided. That is a plane in feature
# space:
#
# $$(w_1 - w_0) \cdot f + (b_1 - b_0) = 0$$
#
# ### Exercise 03.2 · signed distance from the boundary (medium)
#
# Return the distance of a feature `(D,)` from that plane, positive on the interior's side. `weights` is
# `(K, D)`, `bias` is `(K,)`, background first, interior second.


# %%
def margin(feature, weights, bias):
    raise NotImplementedError


exercises.check("03.2", margin)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The next cell. The logit difference grows with the length of the weights; a distance must not.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def margin(feature, weights, bias):
    normal = weights[1] - weights[0]
    return (normal @ feature + bias[1] - bias[0]) / np.linalg.norm(normal)


exercises.check("03.2", margin)

# %% [markdown]
# Now the paper's Fig. 6(b): two modalities only, the class weights as stars, and the boundary. It can be
# had in two ways. *Estimated from the proxies*, as the paper words it, it is the perpendicular bisector of
# two stars (perpendicular in feature space; the axes below have different scales). *Taken from the logits*,
# it also knows the bias and the lengths of the weights.
#
# **Predict, then run.** Will the two lines agree?

# %%
names = list(dict.fromkeys(found.table["modality"]))
two = found.select(found.table["modality"].isin(names[1:3]))
plane = mf.pca(two)
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
for ax, method in zip(axes, ("logits", "bisector"), strict=True):
    scatter(plane, ax, f"boundary from the {method}", boundary=method, legend=method == "bisector")
show(
    fig,
    alt="Two scatter diagrams of two modalities, class weights as stars, a dashed line: once where the "
    "logits are equal, once the perpendicular bisector of two stars.",
)

# %% [markdown]
# A weight has a direction but no place: twice the weight is the same classifier, only surer. So the stars
# are drawn at the typical distance of the features, and a bisector of stars inherits that choice. The line
# from the logits does not. But beware of both: a plane shows two of sixteen dimensions, and a point's
# distance from the line leaves out what the others add. The exact distance, in all dimensions, needs no
# plane:

# %%
typical = np.linalg.norm(found.vectors, axis=1).mean()  # the package's unit of length
mine = np.array([margin(f, head.weights, head.bias) for f in found.vectors]) / typical
assert np.allclose(np.abs(mine), np.abs(mf.margins(found)))  # its sign: positive on the right side

show(
    margin_strip({"shipped lite": found}),
    alt="For each modality and class a row of dots: the distance of each image from the decision boundary.",
)
per_image = pd.Series(mf.margins(found)).groupby([found.table["modality"], found.table["image"]]).mean()
closest = per_image.groupby("modality").agg(distance="mean", error="sem").sort_values("distance")
print(closest.round(2).to_string())

# %% [markdown]
# The modality on top of this list is the one that Fig. 1(b) of the paper warns of: "domains close to the
# decision boundary". But does it stand out? `error` is the standard error of each mean: where the first
# row and the next differ by less than two of them, these modalities lie equally close, as far as so few
# images can tell. A dot left of the dashed line is an image whose background, on average, looks like
# cells to this network, or the other way round.
#
# ## 4 · "More discriminable": six numbers
#
# The paper says that features with the proxy are "more distinguishable" and leaves the judgement to the
# eye. Here are six ways to count it. No single one is the truth.

# %%
for name, value in mf.discriminability(found).items():
    print(f"{name:16s} {value:5.2f}   {mf.MEASURES[name]}")

# %% [markdown]
# ### Exercise 03.3 · between-class over within-class scatter (medium)
#
# Fisher's idea: classes are well apart if their means are far from each other, *compared with* how far
# their points lie from their own mean. Given vectors `(N, D)` and class names `(N,)`, return the ratio of
# the two sums of squares. A class counts as often as it has rows.


# %%
def scatter_ratio(vectors, classes):
    raise NotImplementedError


exercises.check("03.3", scatter_ratio)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The next cell. Within plus between is the total scatter, which is a good check of your sums.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def scatter_ratio(vectors, classes):
    within = between = 0.0
    for name in np.unique(classes):
        rows = vectors[classes == name]
        within += ((rows - rows.mean(0)) ** 2).sum()
        between += len(rows) * ((rows.mean(0) - vectors.mean(0)) ** 2).sum()
    return between / within


exercises.check("03.3", scatter_ratio)
mine = scatter_ratio(found.vectors, found.table["class"].to_numpy())
assert np.isclose(mine, mf.discriminability(found)["scatter_ratio"], rtol=1e-3)

# %% [markdown]
# ## 5 · With and without the proxy
#
# The proxy takes part in every softmax and in no target (paper 2.2.3). For a pixel of class $c$ the focal
# or cross-entropy loss wants $p_c$ to grow, and the gradient on the proxy's logit $z_P$ is a positive
# multiple of its probability $p_P$: the proxy is pushed away from *every* pixel, of every class and
# modality. That is the "common reference for multi-domain features". But note the other side of it: as soon
# as $p_P$ is near zero, so is the push.
#
# A fair comparison changes one thing. Below, networks are trained in pairs: same seed, same patches in the
# same order, same number of steps; once with three class channels, once with four.

# %%
import contextlib
import io
import tempfile
from pathlib import Path

from maunet_lite.training import recipe
from maunet_lite.training import train

runs = Path(tempfile.mkdtemp(prefix="maunet-03-"))
budget = recipe(RECIPE).override(data=DATA, model=PRESET, steps=STEPS, batch_size=BATCH, patch=PATCH)
budget = budget.override(warmup=STEPS // 10, validate_every=0, save_every=0, validation_images=1)
trained = {}
for seed in range(SEEDS):
    for proxy in (False, True):
        config = budget.override(proxy=proxy, seed=seed, out=str(runs / f"{proxy}-{seed}"))
        with contextlib.redirect_stdout(io.StringIO()):  # the log is of no interest here
            result = train(config, progress=False)
        trained["with" if proxy else "without", seed] = ml.load_model(result.folder / "last.safetensors")
print(
    f"{len(trained)} networks ({PRESET}), {STEPS} steps of {BATCH} patches of {PATCH} × {PATCH} pixels each"
)

# %% [markdown]
# A training of this size is a demonstration, not an experiment: the paper's network (900 images, 1,000
# epochs, 512 × 512 pixels of each) sees some sixty thousand times as many pixels. If the kit ships a pair
# of networks, with and without the proxy, trained at one larger budget, the figures use that pair. The
# table over seeds always uses the networks trained above. The cell says which is which.

# %%
from maunet_lite.network import shipped_models

if {"lite", "lite-noproxy"} <= set(shipped_models()):
    networks = {"without proxy": ml.load_model("lite-noproxy"), "with proxy": ml.load_model("lite")}
    origin = "shipped weights, trained on real images"
else:
    networks = {"without proxy": trained["without", 0], "with proxy": trained["with", 0]}
    origin = f"trained above for {STEPS} steps on {DATA}, seed 0"
print("figures show:", origin)
record("figures of 03 show", origin)

pair = {name: mf.mean_features(network, images) for name, network in networks.items()}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
for ax, (name, values) in zip(axes, pair.items(), strict=True):
    scatter(mf.pca(values), ax, name, legend=name == "with proxy")
show(
    fig,
    alt="Two scatter diagrams, one network without and one with the proxy: mean features of background and "
    "cells by modality, class weights as stars, boundary dashed.",
)

# %% [markdown]
# The same features once more, without a plane in between: their exact distance from the boundary.

# %%
show(
    margin_strip(pair),
    alt="For each modality and class two rows of dots, one per network: distances from the boundary.",
)

# %% [markdown]
# The eye wants to see a difference; let us count before we believe it. Beside the six measures stands what
# a user cares about, F1, over the same images. One trap is set here: the post-processing asks for an
# interior probability above 0.7, and a proxy that holds a tenth of all probability makes every network look
# less sure. That would compare thresholds, not features. So cells are the connected interiors of the *most
# probable* class here (the paper's F1_ori), which a proxy cannot shift.
#
# **Predict, then run.** Of these seven, in how many will the proxy win in *every* seed? And if it did
# nothing at all: how often would it win a given one in both of two seeds by chance?


# %%
def f1(network, labelled):
    return ml.match_cells(labelled.labels, ml.segment(labelled.image, network, postprocess="none")).f1


rows = []
for (kind, seed), network in trained.items():
    values = mf.discriminability(mf.mean_features(network, images))
    score = np.mean([f1(network, one) for one in images])
    rows.append({"network": kind, "seed": seed} | values | {"f1": score})
results = pd.DataFrame(rows)
measures = [*mf.MEASURES, "f1"]
show(
    measure_lines(results, measures=measures),
    alt="Seven small diagrams, one per measure: a line per seed from the network without to the one with the "
    "proxy. A black bar marks the mean.",
)
differences = mf.paired_differences(results, "network", "without", "with", measures=measures)
differences.round(2)

# %% [markdown]
# Each row is *with minus without*, seed by seed. For `domain_gap` smaller is better, for all others larger.
# Here is the verdict in words, written by the numbers and not by us; *mixed* means that seeds disagree:

# %%
verdicts = []
for name, row in differences.dropna(subset="mean").iterrows():
    gain = row[["min", "max"]] * (-1 if name == "domain_gap" else 1)
    if gain.abs().max() < 0.005:
        verdicts.append("equal")
    else:
        verdicts.append("better" if gain.min() > 0 else "worse" if gain.max() < 0 else "mixed")
    spread = "" if np.isnan(row["sd"]) else f", spread {row['sd']:.2f}"
    print(f"{name:16s} {verdicts[-1]:7s} over {row['pairs']:.0f} seeds, by {row['mean']:+.2f}{spread}")
record("measures by verdict on the proxy", dict(Counter(verdicts)))

# %% [markdown]
# How to read this: with $n$ seeds, one measure agrees in all of them by pure chance once in $2^n$ times,
# for either side. With two seeds that is one in four, and there are seven measures: some will always look
# convincing. Five seeds (one in thirty-two) and a difference of several times its spread are where a claim
# begins. The paper reports one network each.
#
# ### Does the proxy still push?
#
# The mechanism can be checked directly: how much probability does the proxy hold, and where? Once for a
# network trained above, for moments, and once for the shipped `lite`, trained for much longer.

# %%
rows = []
for name, network in {"trained above": trained["with", 0], "shipped lite": shipped}.items():
    for one in images:
        percent = 100 * ml.predict(network, one.image).probabilities[-1]
        where = ml.make_targets(one.labels).classes
        means = {part: percent[where == k].mean() for k, part in enumerate(head.names[:3])}
        rows.append({"network": name, "modality": one.modality} | means)
masses = pd.DataFrame(rows).groupby(["network", "modality"], sort=False).mean()
for name in masses.index.unique("network"):
    record(f"largest mean proxy probability / %, {name}", round(float(masses.loc[name].max(axis=None)), 2))
masses.round(1)

# %% [markdown]
# A network that knows nothing gives the proxy a quarter of the probability. Where the table says a few
# percent or more, the proxy is alive and pushes. Where it says zero, it has been driven away: three classes
# are left, which behave as if there had never been a fourth. So whatever the proxy does to features, it
# does in the early part of training, and a comparison of two long trainings compares what is left of a
# different start. Keep that in mind when you read the paper's Fig. 6.
#
# ## 6 · A light leak
#
# The paper's Fig. 7 shows one image with "bright light pollution" on which the network without the proxy
# fails and the one with it does not. A single picture can be luck, in either direction. The simulator can
# spill light over *the same cells*, so we can ask for the loss in F1 image by image.


# %%
def clean_and_leaking(modality, seed):
    """Return the same dozen cells twice, without and with light spilling over them."""
    cells = {"n_cells": 12, "cell_diameter": SIDE / 8}
    seeds = [seed, MODALITIES.index(modality)]
    return [
        ml.simulate(modality, (SIDE, SIDE), rng=np.random.default_rng(seeds), light_leak=leak, **cells)
        for leak in (False, True)
    ]


contestants = networks if "shipped" in origin else networks | {"shipped lite": shipped}
rows = []
for modality in MODALITIES:
    for seed in range(max(1, IMAGES_PER_MODALITY // 2)):
        clean, leaking = clean_and_leaking(modality, seed)
        for name, network in contestants.items():
            case = {"modality": modality, "seed": seed, "network": name}
            rows.append(case | {"clean": f1(network, clean), "leak": f1(network, leaking)})
leaks = pd.DataFrame(rows).assign(lost=lambda t: t["clean"] - t["leak"])
groups = leaks.groupby(["modality", "network"], sort=False)
n_images = int(groups.size().max())
if n_images > 1:
    error = np.sqrt(groups["lost"].var().mean() / n_images)
    print(f"{n_images} images per row: standard error of a mean loss about {error:.2f}")
groups[["clean", "leak", "lost"]].mean().round(2)

# %% [markdown]
# *Lost* is what the leak costs; where it is negative, F1 has gained. Compare it with the standard error
# above the table: a loss or a gain of less than twice that size is noise. And a network with F1 near zero
# on clean images has nothing to lose.
#
# What would a figure of *one* image show? Let us do on purpose what happens so easily by accident, and pick
# the image on which the networks with and without the proxy differ most under the leak.
#
# **Predict, then run.** Light is added to cells and background alike. Which of the two means moves further,
# in which direction?

# %%
from maunet_lite import figures

leak = leaks.pivot_table(index=["modality", "seed"], columns="network", values="leak")
modality, seed = (leak["with proxy"] - leak["without proxy"]).abs().idxmax()
made = clean_and_leaking(modality, seed)
columns = 1 + len(contestants)
fig, axes = plt.subplots(2, columns, figsize=(8.5, 17.6 / columns), layout="constrained")
for row, title, one in zip(axes, ("clean", "light leak"), made, strict=True):
    figures.overlay(one.image, one.labels, ax=row[0], title=f"{title}: truth", fill=0.1)
    for ax, (name, network) in zip(row[1:], contestants.items(), strict=True):
        title = f"{name}, F1 {f1(network, one):.2f}"
        figures.overlay(one.image, ml.segment(one.image, network, postprocess="none"), ax=ax, title=title)
show(
    fig,
    alt="The same image without and with a light leak: true cells, and the cells that each network finds. Of "
    "all images tried, this is the one on which the networks differ most.",
    dpi=85,
)

# %%
samples = [Sample(title, modality, *one) for title, one in zip(("clean", "leak"), made, strict=True)]
rows = []
for name, network in contestants.items():
    values = mf.mean_features(network, samples)
    table = values.table.assign(distance=mf.margins(values))
    for part, both in table.groupby("class"):
        rows.append({"network": name, "what": part, **both.set_index("image")["distance"]})
    rows.append({"network": name, "what": "F1"} | {one.name: f1(network, one) for one in samples})
moved = pd.DataFrame(rows).set_index(["network", "what"])
moved["shift"] = moved["leak"] - moved["clean"]
print("higher F1 under the leak:", moved["leak"].xs("F1", level="what").idxmax())
moved.round(2)

# %% [markdown]
# The rows *background* and *interior* hold distances from the boundary, negative on the wrong side; a
# negative *shift* is a step towards it, and the larger of the two answers the question. The means move
# little even where F1 changes a lot: a mean over an image does not see the few cells under the light.
# Whichever network wins this image, we picked the most different of all. Does it also win the table
# above, by more than twice its standard error? If not, an image in which the other one wins could have been
# shown just as well.
#
# ## 7 · Explore
#
# Everything above, under the mouse. First the picture that the explorer starts with, for readers of the
# static page:

# %%
from maunet_lite.course.figures.features import describe, first_view, static_view, survey

atlas = survey(networks, images, postprocess="none")
view = first_view(atlas, network="with proxy")
show(static_view(atlas, view), alt=describe(atlas, view), dpi=100)

# %% [markdown]
# Below (in JupyterLab): **hover** over a point to see its image, truth and prediction. **Drag** a box to
# select images: their bars of F1 stand out, and both their points. **Click** a bar to find its points.
# Choose network, layer, components, modality, class; switch the class weights off; look in 3-D.
#
# Things to look for:
#
# - Select the bars with the lowest F1 one by one. Where are their points, near the boundary or far from it?
# - Choose the encoder's deepest stage. Which modality is split into several groups? (Look at its images.)
# - Choose components 3 and 4. Is there a third kind of order besides class and modality?

# %%
from maunet_lite.course.figures.features_explorer import FeatureExplorer

FeatureExplorer(atlas, view)

# %% [markdown]
# ## Quality control
#
# Are the networks that we compared any good, and could our measures have come out of nothing? A baseline
# and a shuffle answer. Otsu's threshold with a watershed needs no training at all; and if we shuffle the
# names of the classes, every measure should fall to its chance value.

# %%
from maunet_lite.evaluation import otsu_watershed

scores = atlas.scores.pivot_table(index="modality", columns="network", values="f1", sort=False)
otsu = [(s.modality, ml.match_cells(s.labels, otsu_watershed(s.image).labels).f1) for s in images]
scores.insert(0, "Otsu + watershed", pd.DataFrame(otsu).groupby(0)[1].mean())
scores.loc["all"] = scores.mean()
for name, value in scores.loc["all"].items():
    record(f"F1 {name}", round(float(value), 2))
scores.round(2)

# %%
rng = np.random.default_rng(0)
values = pair["with proxy"]
shuffled = values.table.assign(**{"class": rng.permutation(values.table["class"])})
chance = mf.discriminability(mf.Features(values.vectors, shuffled, "shuffled"))
pd.DataFrame({"with proxy": mf.discriminability(values), "classes shuffled": chance}).round(2)

# %% [markdown]
# One row needs care: `domain_gap` falls, too, and smaller is said to be better! Shuffled classes have
# everything in them, so that the scatter *within* each is no longer one between modalities. No measure is
# good by itself; that is why there are six.
#
# If a network scores below the baseline, its features answer questions about *training*, not about cells.
# The shipped pair learned from real images alone and meets these simulated ones for the first time; the
# networks that section 5 trained in a minute score far lower still (its F1 column), which is why its verdict
# is a lesson in method.
#
# ## Recap
#
# You have
#
# 1. averaged features over masks by hand, and with hooks for any layer and image size,
# 2. seen modalities blend and classes part along the network, in pictures and in shares of scatter,
# 3. drawn the boundary from the head's own weights, and asked whether any modality lies closer to it than the
#    others,
# 4. turned a word, "discriminable", into six numbers, and tested them against a shuffle,
# 5. compared pairs of networks that differ in nothing but the proxy, over seeds and under a light leak,
# 6. explored features, layers and images together.
#
# What the paper found: Dice 0.7499 → 0.7543 and F1 0.8309 → 0.8494 with the proxy (Table 4, one training
# each), and clouds that look better separated (Fig. 6). What you found stands in the verdict above. If it
# is "mixed", that is a finding.
#
# ## On your own
#
# - *Easy.* Run with `SEEDS = 5`. Which verdicts of section 5 survive?
# - *Medium.* Repeat section 5 for the layer before the last (`mf.layers` lists them). Is the proxy's
#   effect, if any, already there, or does it happen in the last block only?
# - *Hard.* Give the proxy a stronger push: add $-\log(1 - p_P)$, averaged over all pixels, to the loss
#   (`maunet_lite/training/losses.py`). Compare again, with seeds. Do features change, does F1?
#
# ## Further reading
#
# - Paper: Fig. 1(b, c) for the idea, 2.2.3 for the proxy, 4.2 with Figs. 6 and 7 for this notebook's
#   figures, Table 4 for the ablation.
# - `maunet_lite/features/mean_features.py`, `space.py` and `separability.py`: all that is used here.
# - R. A. Fisher, *The use of multiple measurements in taxonomic problems* (1936): scatter between and
#   within.
# - P. J. Rousseeuw, *Silhouettes* (1987), doi:10.1016/0377-0427(87)90125-7.
# - G. Alain and Y. Bengio, *Understanding intermediate layers using linear classifier probes* (2016),
#   arXiv:1610.01644.
# - Notebook 06 runs the ablation as a scored experiment; 04 asks what unlabelled images add.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("03")
