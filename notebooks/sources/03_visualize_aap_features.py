# %% [markdown]
# # 03 · See what the proxy does to features
#
# The paper's boldest claim is a fourth class that no pixel ever belongs to. You try the idea on a blackboard,
# look inside two trained networks, one with and one without it, and judge the claim by measured tables.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import maunet_lite as ml
from maunet_lite import features as mf
from maunet_lite import figures
from maunet_lite.course import Choice, Slider, exercises, explorer, record, show
from maunet_lite.data import MODALITIES, Sample
from maunet_lite.features import margin_strip, measure_lines, scatter


def simulated(count, side, seed):
    """Return `count` new images per modality; none of them is in any training set."""
    rng = np.random.default_rng([seed, 2022])
    names = [(modality, k) for modality in MODALITIES for k in range(count)]
    return [Sample(f"{m} {k}", m, *ml.simulate(m, (side, side), rng=rng)) for m, k in names]


shipped = ml.load_model("lite")
opening = mf.pca(mf.mean_features(shipped, simulated(3, 160, seed=0)))
fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
scatter(opening, ax, "what a network makes of 12 simulated images", boundary=None)
show(
    fig,
    alt="Scatter diagram: for each image a cross for its background and a disc for its cells, coloured by "
    "modality. Stars mark the weights of the three classes.",
)

# %% [markdown]
# *Each image is two points: the mean feature of its background (×) and of its cells (●), as in the paper's
# Fig. 6(a). Stars are the weights of the three classes. The anti-ambiguity proxy is the weight that you do
# not see: section 5 says why it has no place in this plane.*
#
# **You will**
#
# 1. train one classifier for two domains on a blackboard, without and with a proxy,
# 2. compute the mean feature of a mask by hand and with the package,
# 3. see in which layer modalities blend and classes part,
# 4. draw the network's own decision boundary and ask which modality lies close to it,
# 5. find the proxy in all 16 dimensions: logits, cosines, distances, and follow it through a training,
# 6. turn "more discriminable" into six numbers, and test them against a shuffle,
# 7. judge the claim by measured trainings over seeds, on new modalities, and under a light leak,
# 8. explore all of it with the mouse.
#
# **You will learn** how to look inside a network with forward hooks; what PCA shows and hides; why class
# weights act as *proxies* of their classes; how to judge a claim that rests on one figure.
#
# **You need** notebooks 01 (class map) and 02 (decoders, softmax, the proxy's arithmetic).
#
# **Time** 75 minutes to read and try; about a minute to run on two CPU cores, the same on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
NETWORKS = {"without proxy": "lite-noproxy", "with proxy": "lite-plain"}  # names of weights, or your files
DATA = "simulated"  # images to look at, or a dataset's name or folder
IMAGES_PER_MODALITY = 5
SIDE = 160  # pixels of simulated images, a multiple of 32
STEPS = 80  # of the training that section 5 follows
SHUFFLES = 30

# %% [markdown]
# ## 1 · The idea on a blackboard
#
# Two microscopes, *domain A* and *domain B*. Each pixel is a point with two features. One classifier, a
# straight line, has to part background from cells in both domains at once. In A that is easy. In B the two
# lie close together, and close to the line (paper Fig. 1b).

# %%
rng = np.random.default_rng(0)
centres = {("A", 0): (-1.6, 1.2), ("A", 1): (1.6, 1.2), ("B", 0): (-0.1, -1.2), ("B", 1): (1.1, -1.2)}
start = np.concatenate([rng.normal(centre, 0.35, size=(25, 2)) for centre in centres.values()])  # (100, 2)
domains = np.repeat([domain for domain, _ in centres], 25)
classes = np.repeat([number for _, number in centres], 25)  # 0 background, 1 cell


def learn(proxy="none", bias=2.0, steps=600, rate=0.5, tie=0.05, decay=0.005):
    """Train the line and the points; return points (N, 2), weights (K, 2), biases (K,), mean proxy share."""
    points, outputs = start.copy(), 2 if proxy == "none" else 3
    weights, biases = 0.1 * np.random.default_rng(1).normal(size=(outputs, 2)), np.zeros(outputs)
    fixed = np.arange(outputs) == (2 if proxy == "held" else -1)
    weights[fixed], biases[fixed] = 0, bias
    shares = []
    for _ in range(steps):
        logits = points @ weights.T + biases  # (N, K)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)  # softmax over all K
        pull = p - np.eye(outputs)[classes]  # gradient of cross entropy: probability minus label
        shares.append(p[:, 2:].sum() / len(p))
        moves = pull.T @ points / len(p) + 2 * decay * weights, pull.mean(axis=0)
        points = points - rate * (pull @ weights + 2 * tie * (points - start))
        weights = weights - rate * np.where(fixed[:, None], 0, moves[0])
        biases = biases - rate * np.where(fixed, 0, moves[1])
        biases[:2] -= biases[:2].mean()  # or else both classes would simply rise above a held proxy
    return points, weights, biases, np.array(shares)


# %% [markdown]
# Read the loop once: it is all there is. The classifier learns, and so do the points, as features of a
# network do. `tie` holds each point near its start, because a network cannot do with an image what it likes.
# The proxy is a third output that is never right:
#
# - `"none"`: two outputs, background and cell.
# - `"held"`: the proxy's logit is the same number, `bias`, everywhere. It is fixed.
# - `"free"`: the proxy has weights and a bias of its own and learns them, as in MAUNet.
#
# **Predict, then run.** The proxy wins wherever its logit is the largest. Where will that be, if it is held
# at 2? And what will a free proxy do, which is never right?


# %%
def margin_of(points, weights, biases):
    """Distance of each point from the line of equal logits, positive on its own side, (N,)."""
    normal, offset = weights[1] - weights[0], biases[1] - biases[0]
    return np.where(classes == 1, 1, -1) * (points @ normal + offset) / np.linalg.norm(normal)


# %%
def board(ax, title, points, weights, biases):
    """Draw points, where each started, and where each output wins."""
    x, y = np.meshgrid(np.linspace(-4, 4, 200), np.linspace(-2.6, 2.6, 130))
    logits = np.stack([x, y], axis=-1) @ weights.T + biases  # (130, 200, K)
    levels, shades = [-0.5, 0.5, 1.5, 2.5], ["#EDEDED", "#FBEBD3", "#F0B4BC"]
    ax.contourf(x, y, logits.argmax(axis=-1), levels, colors=shades)
    ax.contour(x, y, logits[..., 1] - logits[..., 0], [0], colors="#222222", linestyles="--")
    for domain, color in {"A": "#0072B2", "B": "#D55E00"}.items():
        for number, marker in enumerate("Xo"):
            rows = (domains == domain) & (classes == number)
            ax.plot(*np.stack([start[rows], points[rows]]).transpose(2, 0, 1), color=color, lw=0.5, alpha=0.5)
            ax.scatter(*points[rows].T, marker=marker, s=26, color=color, edgecolor="white", linewidth=0.4)
    means = {d: margin_of(points, weights, biases)[domains == d].mean() for d in "AB"}
    ax.set(title=f"{title}\nmean distance A {means['A']:.2f}, B {means['B']:.2f}", xticks=[], yticks=[])


# %%
def two_boards(proxy="held", bias=2.0):
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.9), layout="compressed")
    board(axes[0], "without proxy", *learn()[:3])
    board(axes[1], f"proxy {proxy}" + (f" at {bias:g}" if proxy == "held" else ""), *learn(proxy, bias)[:3])
    return fig


explorer(
    two_boards,
    proxy=Choice("held", ("held", "free"), "proxy"),
    bias=Slider(2.0, -4.0, 4.0, 0.5, "logit of the held proxy"),
    alt="Two boards with the points of domain A (blue) and B (orange), crosses for background and discs for "
    "cells, and the dashed line between them. On the right a red band around the line: there the proxy wins.",
    dpi=115,
)

# %% [markdown]
# *Grey: background wins. Yellow: cell wins. Red: the proxy wins. Thin lines show how far each point has
# moved.*
#
# Held, the proxy is a band around the line: the paper's *confusion area* (Fig. 1c). A point inside it costs a
# lot, so points leave it, on both sides and in both domains. This is what the paper hopes for. Now let it go:

# %%
runs = {
    "without": learn(),
    "held at 2": learn("held", 2.0),
    "held at 4": learn("held", 4.0),
    "free": learn("free"),
}
rows = {}
for name, (points, weights, biases, shares) in runs.items():
    distance = margin_of(points, weights, biases)
    rows[name] = {f"mean distance, {d}": distance[domains == d].mean() for d in "AB"}
    rows[name] |= {"proxy's share, first step": shares[0], "last step": shares[-1]}
blackboard = pd.DataFrame(rows).T
print(blackboard.round(3).to_string())
gain = blackboard.iloc[:, :2].div(blackboard.iloc[0, :2]) - 1
print(
    f"\nheld at 4: distances grow by {gain.loc['held at 4'].min():.0%} to {gain.loc['held at 4'].max():.0%}"
)
print(f"free:      distances grow by {gain.loc['free'].min():.1%} to {gain.loc['free'].max():.1%}")
assert gain.loc["free"].max() < 0.05 < gain.loc["held at 4"].max()
assert blackboard.loc["free", "last step"] < 0.01

# %% [markdown]
# A free proxy is never right, so each step lowers its logit, and nothing raises it. It starts with a third of
# the probability and ends with next to none. Its band is gone, and the points stand where they would stand
# without it. **The idea works if the proxy stays. A proxy that learns may leave.** MAUNet's proxy learns. The
# rest of this notebook asks what it does in a real network.
#
# ## 2 · From a feature map to one vector
#
# Just before its classification head, the network holds a vector of numbers, a *feature*, for every pixel
# (or, in `lite`, for every 2 × 2 pixels). The head only takes weighted sums of it. So whatever the network
# knows about a pixel's class stands in that vector. Here are four of its channels for a real micrograph, a
# stained section of human colon.

# %%
from skimage.data import immunohistochemistry
from skimage.transform import rescale

micrograph = rescale(immunohistochemistry()[192:288, 224:320], 2, channel_axis=-1)  # nuclei: 20 pixels


def feature_map_of(image):
    scaled = ml.normalize(image, shipped.config.intensity)
    x = torch.from_numpy(scaled).permute(2, 0, 1)[None]  # (H, W, 3) → (1, 3, H, W)
    with torch.no_grad():
        return shipped.class_decoder(shipped.skip_features(x))[0].numpy()  # (D, h, w)


real = feature_map_of(micrograph)
print("image", micrograph.shape, "→ features", real.shape)

fig, axes = plt.subplots(1, 5, figsize=(10, 2.3), layout="compressed")
figures.show_image(micrograph, axes[0], "real micrograph")
for ax, k in zip(axes[1:], np.argsort(real.std(axis=(1, 2)))[::-1], strict=False):
    figures.show_distance(real[k], ax, f"channel {k}", stretch=True, bar=False)
show(
    fig,
    alt="A stained section and four of the 16 channels of its features, each with a pattern of its own.",
    dpi=120,
)

# %% [markdown]
# The paper (section 4.2) condenses an image to two vectors: the mean over the background, and the mean over
# the interiors of the cells. Boundary pixels count nowhere. That takes a label map, so from here on the
# images are simulated, of all four modalities, and their truth is known.
#
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
# A boolean mask of two axes picks pixels and joins both axes to one.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def mean_in_mask_solution(features, mask):
    return features[:, mask].mean(axis=1)


exercises.check("03.1", mean_in_mask_solution)

# %% [markdown]
# The features have half the resolution of the class map, so each counts as often as it has pixels in the
# mask. Enlarging the features does exactly that. `mean_features` does the same for any image size and
# layer; it reads the layer through a *forward hook*, a function that PyTorch calls with a module's output.

# %%
sample = simulated(1, SIDE, seed=1)[0]
masks = ml.make_targets(sample.labels).classes  # 0 background, 1 interior, 2 boundary
feature_map = feature_map_of(sample.image)
ratio = SIDE // feature_map.shape[1]
enlarged = feature_map.repeat(ratio, axis=1).repeat(ratio, axis=2)  # (D, h, w) → (D, H, W)
by_hand = np.stack([enlarged[:, masks == k].mean(axis=1) for k in (0, 1)])  # (2, D)

package = mf.mean_features(shipped, [sample])
assert np.allclose(by_hand, package.vectors, atol=1e-4)
package.table

# %% [markdown]
# ## 3 · Many images, one plane
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
order = [name for name in table["layer"] if name.startswith(("encoder", "class_decoder."))]
by_layer = mf.mean_features(shipped, images, [*order, "class_decoder"])
deepest = [name for name in order if name.startswith("encoder.")][-1]
fig, axes = plt.subplots(1, 2, figsize=(10, 4.0), layout="constrained")
for ax, layer in zip(axes, (deepest, "class_decoder"), strict=True):
    scatter(mf.pca(by_layer[layer]), ax, layer, boundary=None, proxies=False, legend=layer == "class_decoder")
show(
    fig,
    alt="Two scatter diagrams of the same images. In the encoder points of one modality lie together; in the "
    "class decoder background and cells lie apart.",
)

# %% [markdown]
# In the encoder colours flock, in the decoder shapes. The paper speaks of "multiple centroids", and the right
# diagram shows them: even in the last layer, one class of one modality may keep a place of its own. One
# classifier has to draw a border through all of them.
#
# How much of each kind of order a layer has can be counted: what share of all scatter lies between the
# classes, and what share between the modalities?
#
# **Predict, then run.** Draw your guess before you look: two curves from the first stage of the encoder to
# the last block of the decoder.


# %%
def share_between(vectors, groups):
    within = sum(((vectors[groups == g] - vectors[groups == g].mean(0)) ** 2).sum() for g in set(groups))
    return 1 - within / ((vectors - vectors.mean(0)) ** 2).sum()


shares = pd.DataFrame(
    {
        label: [
            share_between(by_layer[name].vectors, by_layer[name].table[column].to_numpy()) for name in order
        ]
        for label, column in {"between classes": "class", "between modalities": "modality"}.items()
    },
    index=[name.replace("_decoder", "").replace(".", " ") for name in order],
)
fig, ax = plt.subplots(figsize=(10, 3.2), layout="constrained")
figures.show_lines(shares, ax, title="along the network", ylabel="share of the scatter").set_ylim(0, 1)
show(
    fig,
    alt="Two curves over the layers from the encoder's first stage to the decoder's last block: the share of "
    "scatter between classes and between modalities.",
)
turn = shares.idxmax()
print(f"modality counts most in '{turn['between modalities']}', class in '{turn['between classes']}'")

# %% [markdown]
# On its way down a U-Net learns what kind of picture this is: each of the deepest features stands for 32 × 32
# pixels and hardly tells a cell from its surroundings. On its way up, skip connections bring back where
# things are, and the loss asks for classes only. What is left of the modality at the end is the gap that the
# proxy is meant to close.
#
# ## 4 · The head draws a line
#
# The head is a 1×1 convolution: `logits = weights @ feature + bias`, nothing more. Two facts follow.
#
# - The mean logit over a mask is the logit of the mean feature. Our points can be judged by the head
#   itself.
# - A feature scores high for the class whose weight vector points its way. That is why the paper takes each
#   row of `weights` for a *proxy* of its class, a stand-in for all its pixels.

# %%
head = mf.class_head(shipped)
x = torch.from_numpy(ml.normalize(sample.image, shipped.config.intensity)).permute(2, 0, 1)[None]
with torch.no_grad():
    logits = shipped(x).logits[0].numpy()  # (4, H, W)
print("mean logits of the interior ", logits[:, masks == 1].mean(axis=1).round(2))
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
# The logit difference grows with the length of the weights; a distance must not.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def margin_solution(feature, weights, bias):
    normal = weights[1] - weights[0]
    return (normal @ feature + bias[1] - bias[0]) / np.linalg.norm(normal)


exercises.check("03.2", margin_solution)

# %% [markdown]
# Now the paper's Fig. 6(b): two modalities only, the class weights as stars, and the boundary. It can be
# had in two ways. *Estimated from the proxies*, as the paper words it, it is the perpendicular bisector of
# two stars (perpendicular in feature space; the axes below have different scales). *Taken from the logits*,
# it also knows the bias and the lengths of the weights.
#
# **Predict, then run.** Will the two lines agree?

# %%
names = list(dict.fromkeys(found.table["modality"]))
two = mf.pca(found.select(found.table["modality"].isin(names[1:3])))
fig, axes = plt.subplots(1, 2, figsize=(10, 4.0), layout="constrained")
for ax, method in zip(axes, ("logits", "bisector"), strict=True):
    scatter(two, ax, f"boundary from the {method}", boundary=method, legend=method == "bisector")
show(
    fig,
    alt="Two scatter diagrams of two modalities, class weights as stars, a dashed line: once where the "
    "logits are equal, once the perpendicular bisector of two stars.",
)

# %% [markdown]
# They do not. A weight has a direction but no place: twice the weight is the same classifier, only surer. The
# stars are drawn at the typical length of the features, and a bisector of stars inherits that choice. The
# line from the logits does not. But beware of both: a plane shows two of sixteen dimensions, and a point's
# distance from the line leaves out what the others add. The exact distance, in all dimensions, needs no
# plane:

# %%
normal = head.weights[1] - head.weights[0]
distances = (found.vectors @ normal + head.bias[1] - head.bias[0]) / np.linalg.norm(normal)  # exercise 03.2
typical = np.linalg.norm(found.vectors, axis=1).mean()  # the package's unit of length
assert np.allclose(np.abs(distances) / typical, np.abs(mf.margins(found)))  # its sign: right side is positive

show(
    margin_strip({"shipped lite": found}),
    alt="For each modality and class a row of dots: the distance of each image from the decision boundary.",
)
per_image = pd.Series(mf.margins(found)).groupby([found.table["modality"], found.table["image"]]).mean()
closest = per_image.groupby("modality").agg(distance="mean", error="sem").sort_values("distance")
print(closest.round(2).to_string())
gap, noise = closest["distance"].diff().iloc[1], np.hypot(*closest["error"].iloc[:2])
print(f"\nclosest: {closest.index[0]}, by {gap:.2f} before the next; standard error of that {noise:.2f}:")
print("it stands out" if gap > 2 * noise else "no modality stands out")
print(f"dots left of the dashed line: {np.count_nonzero(mf.margins(found) < 0)}")

# %% [markdown]
# Fig. 1(b) of the paper warns of "domains close to the decision boundary". If one modality stood out, it
# would be such a domain; here none does. A dot left of the dashed line would be an image whose background, on
# average, looks like cells to this network, or the other way round; here there is none.
#
# ## 5 · Where is the proxy?
#
# **Predict, then run.** Below is a table of all four logits, mean by modality and class, beside the cosine of
# each mean feature with the proxy's weight. If the proxy held the middle between the classes, as on our
# blackboard, what would its logits be?


# %%
def logit_table(features):
    """Return mean logits by modality and class and, where there is a proxy, the cosine with its weight."""
    head, vectors = features.head, features.vectors
    table = pd.DataFrame(vectors @ head.weights.T + head.bias, columns=head.names)
    if "proxy" in head.names:
        weight = head.weights[head.names.index("proxy")]
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(weight)
        table["cosine with the proxy"] = vectors @ weight / lengths
    return table.groupby([features.table["modality"], features.table["class"]]).mean()


where = logit_table(found)
where.round(2)

# %%
others = where[list(head.names[:3])].max(axis=1)
behind = others - where["proxy"]
away = (where["cosine with the proxy"] < 0).sum()
print(f"proxy's mean logit: {where['proxy'].min():.1f} to {where['proxy'].max():.1f}")
print(f"behind the winning class by {behind.min():.1f} to {behind.max():.1f}:")
print(f"its share of the probability is at most about e^-{behind.min():.0f} = {np.exp(-behind.min()):.0e}")
print(f"cosines below zero: {away} of {len(where)} groups")
record("the proxy's mean logit lies behind the winner by at least", round(float(behind.min()), 1))

stars = head.weights / np.linalg.norm(head.weights, axis=1, keepdims=True) * typical
print("\ndistance from a star to the nearest mean feature")
for name, star in zip(head.names, stars, strict=True):
    everywhere = np.linalg.norm(found.vectors - star, axis=1).min()
    drawn = np.linalg.norm(plane.points - (star - plane.center) @ plane.components.T, axis=1).min()
    print(f"{name:11s} in the plane of section 3: {drawn:4.1f}   in all dimensions: {everywhere:4.1f}")

# %% [markdown]
# In the middle, its logit would stay close to those of the classes. It does not: in all sixteen dimensions
# the proxy is far from every feature, and its weight points away from them. In a plane it looks nearer,
# because a plane drops the directions in which it is far. A star drawn there would tell the opposite of the
# truth, so the figures draw the three classes only. **A plane can show that two things are apart. It cannot
# show that they are close.**
#
# So the proxy has left, as on the blackboard. When did it? We follow one short training: the loop of notebook
# 02, and in each step the share of probability that the proxy holds.

# %%
import warnings

from torch.utils.data import DataLoader
from maunet_lite.preprocessing import AugmentationConfig, PatchDataset
from maunet_lite.training import seed_everything, supervised_loss

seed_everything(0)
network = ml.build_model("lite")
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
training = ml.load_dataset("simulated").split("train")
patches = PatchDataset(training, 4 * STEPS, AugmentationConfig(patch=96, zoom=(0.7, 1.4)))
rows = []
for batch in DataLoader(patches, batch_size=4):
    output = network(batch["image"])
    parts = supervised_loss(output, batch["classes"], batch["distance"])
    optimizer.zero_grad()
    parts["loss"].backward()
    optimizer.step()
    shares = output.logits.detach().softmax(dim=1)[:, 3]  # (B, H, W): the proxy's probability
    rows.append({name: float(shares[batch["classes"] == k].mean()) for k, name in enumerate(head.names[:3])})
leaving = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="step"))

# %%
fig, ax = plt.subplots(figsize=(9, 3.0), layout="compressed")
figures.show_lines(leaving.rolling(3, min_periods=1).mean(), ax, title="probability that the proxy holds")
ax.axhline(0.25, color="0.6", lw=0.8, ls=":")
ax.set_ylim(0, None)
show(
    fig,
    alt="The proxy's probability on pixels of the three classes over the steps of a short training. It "
    "begins near a quarter, the dotted line, and falls.",
)
left = leaving.iloc[-5:].mean()
print(f"after {STEPS} steps: {left.min():.1%} to {left.max():.1%}, by class; at the start a quarter")
record("proxy's largest mean share at the end of the short training / %", round(100 * float(left.max()), 2))

# %% [markdown]
# It goes from pixels of all three classes alike, within a minute. Whatever the proxy does to features, it
# does early, while it still holds probability. Later three classes are left, which behave as if there had
# never been a fourth. Two long trainings, one with and one without it, compare what is left of a different
# start. Keep that in mind when you read the paper's Fig. 6.
#
# ## 6 · "More discriminable": six numbers
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
# Within plus between is the total scatter, which is a good check of your sums.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def scatter_ratio_solution(vectors, classes):
    within = between = 0.0
    for name in np.unique(classes):
        rows = vectors[classes == name]
        within += ((rows - rows.mean(0)) ** 2).sum()
        between += len(rows) * ((rows.mean(0) - vectors.mean(0)) ** 2).sum()
    return between / within


exercises.check("03.3", scatter_ratio_solution)
mine = scatter_ratio_solution(found.vectors, found.table["class"].to_numpy())
assert np.isclose(mine, mf.discriminability(found)["scatter_ratio"], rtol=1e-3)

# %% [markdown]
# Could such numbers come out of nothing? Swap the names *background* and *interior* of each image by the toss
# of a coin, and measure again. One such shuffle may be lucky, so we average many.
#
# **Predict, then run.** To which values will the two probes and `head_accuracy` fall?

# %%
from dataclasses import replace

rng = np.random.default_rng(0)
swap = {"background": "interior", "interior": "background"}
chance = []
for _ in range(SHUFFLES):
    tails = {name: rng.random() < 0.5 for name in found.table["image"].unique()}
    shuffled = found.table["class"].where(~found.table["image"].map(tails), found.table["class"].map(swap))
    chance.append(mf.discriminability(replace(found, table=found.table.assign(**{"class": shuffled}))))
chance = pd.DataFrame(chance)
against = pd.DataFrame(
    {"real": mf.discriminability(found), "shuffled": chance.mean(), "spread": chance.std()}
).astype(float)
against["spreads away"] = ((against["real"] - against["shuffled"]).abs() / against["spread"]).round(1)
against.round(2)

# %% [markdown]
# The probes and `head_accuracy` fall to a half, the toss of a coin; silhouette and scatter ratio fall to
# zero. The real values lie many spreads away from chance, so the order that they measure is there. One row
# needs care: `domain_gap`. Smaller is said to be better, and it falls when the names are shuffled! Shuffled
# classes have everything in them, so the scatter *within* each is no longer one between modalities. No
# measure is good by itself; that is why there are six.
#
# ## 7 · With and without the proxy
#
# Now two networks that differ in the proxy alone: `lite-plain` has it, `lite-noproxy` has three outputs.
# Both were trained on the same images by recipe `lite-plain`. First the six measures and what a user cares
# about, F1, on the same images. One trap is set here. The post-processing asks for an interior probability
# above 0.7, and a proxy that holds a tenth of all probability makes every network look less sure. That
# would compare thresholds, not features. So cells are the connected interiors of the *most probable* class
# (the paper's F1_ori), which a proxy cannot shift.


# %%
warnings.filterwarnings("ignore", "no cells were found|the cells found measure")  # answers here, too


def f1(network, labelled):
    return ml.match_cells(labelled.labels, ml.segment(labelled.image, network, postprocess="none")).f1


networks = {name: ml.load_model(weights) for name, weights in NETWORKS.items()}
pair = {name: mf.mean_features(network, images) for name, network in networks.items()}
compared = pd.DataFrame({name: mf.discriminability(values) for name, values in pair.items()})
compared.loc["F1_ori"] = [np.mean([f1(network, one) for one in images]) for network in networks.values()]
compared["with − without"] = compared["with proxy"] - compared["without proxy"]
better = compared["with − without"] * np.where(compared.index == "domain_gap", -1, 1)
print(f"better with the proxy: {(better > 0.005).sum()} of {len(better)}; worse: {(better < -0.005).sum()}")
compared.round(2)

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 4.0), layout="constrained")
for ax, (name, values) in zip(axes, pair.items(), strict=True):
    scatter(mf.pca(values), ax, name, legend=name == "with proxy")
show(
    fig,
    alt="Two scatter diagrams, one network without and one with the proxy: mean features of background and "
    "cells by modality, class weights as stars, boundary dashed.",
)
margins = {
    name: pd.Series(mf.margins(values)).groupby(values.table["modality"]).mean()
    for name, values in pair.items()
}
print("mean distance from the boundary, in mean feature lengths, all dimensions")
print(pd.DataFrame(margins).round(2).to_string())

# %% [markdown]
# This is a picture like the paper's Fig. 6, and the numbers beneath it. Could you tell from it which features
# are better? Each network is **one** training. Another seed would have given another picture.
#
# ### The verdict, over seeds
#
# `benchmarks/ablation.py` trained pairs on real images: same seed, same patches in the same order, 600 steps,
# with three outputs and with four. Here are its results for the proxy (AAP, the paper's Table 4), read from
# `benchmarks/results`.
#
# **Predict, then run.** Three seeds, four scores. In how many of the scores will the proxy win with every
# seed?

# %%
from maunet_lite.course.figures import ablation

measured = ablation.load()
rows = measured[(measured["table"] == "4") & measured["variant"].isin(["base", "AAP"])]
rows = rows.replace({"variant": {"base": "without", "AAP": "with"}}).rename(columns={"variant": "network"})
rows = rows.sort_values("network", ascending=False).rename(columns=ablation.NAMES)  # "without" comes first
everything = rows[rows["modality"] == "all"]
print(ablation.budget(measured, "4"))
measures = ["mean Dice", "F1_ori", "F1", "median F1"]
show(
    measure_lines(everything, measures=measures),
    alt="Four small diagrams, one per score: a line per seed from the network without to the one with the "
    "proxy. A black bar marks the mean.",
    dpi=120,
)
by_seed = everything.pivot_table(index="seed", columns="network", values=measures)
for measure in measures:
    won = (by_seed[measure, "with"] > by_seed[measure, "without"]).sum()
    print(f"{measure:9s} the proxy wins with {won} of {len(by_seed)} seeds")

# %% [markdown]
# In none of them. And what of the means? The gain of a seed is *with minus without*. Its mean over n seeds is
# uncertain by a standard error. With three seeds, a mean has to lie 4.3 standard errors away from zero before
# chance is an unlikely reason (Student's t, 95 %; two standard errors would do for many seeds).

# %%
from scipy.stats import t as student

confidence, gains = 0.95, []
for modality, group in rows.groupby("modality"):
    wide = group.pivot_table(index="seed", columns="network", values=["mean Dice", "F1_ori", "F1"])
    for score in ("mean Dice", "F1_ori", "F1"):
        gain = wide[score, "with"] - wide[score, "without"]
        factor = student.ppf((1 + confidence) / 2, len(gain) - 1)
        limit = factor * gain.sem()
        shown = "better" if gain.mean() > limit else "worse" if gain.mean() < -limit else "not shown"
        gains.append((modality, score, gain.mean(), limit, (gain > 0).sum(), shown))
columns = ["modality", "score", "mean gain", "limit", "seeds that win", "verdict"]
gains = pd.DataFrame(gains, columns=columns).set_index(["score", "modality"]).sort_index()
decided = gains["verdict"].value_counts()
print(f"{len(gains)} comparisons:", ", ".join(f"{count} {verdict}" for verdict, count in decided.items()))
print(f"beyond the limit by chance alone, on average: {(1 - confidence) * len(gains):.1f}")
print(f"limit: {factor:.1f} standard errors")
record("verdicts on the proxy over seeds", decided.to_dict())
gains.round(3)

# %% [markdown]
# How to read this: three seeds agree by pure chance once in four times, for one side or the other, and there
# are fifteen rows. So some rows always look convincing. A claim begins where the mean is larger than its
# limit, in a score that was named beforehand. The paper reports one training each: Dice 0.7499 → 0.7543 and
# F1 0.8309 → 0.8494 (Table 4).
#
# The proxy was made for what the network has *not* seen. Two ways to be new were measured. Pairs were
# trained on simulated pictures alone, three seeds each, and scored on the real images, all of which are
# new to them. And pairs were trained on real images of some sources, by the recipe of the shipped
# network, and scored on sources that had been left out, which is closer to the paper's case (notebook 06
# has the rest).

# %%
unseen = ablation.unseen(measured)
new = unseen.loc["all", "gain"]
wins = f"the proxy wins with {(new > 0).sum()} of {len(new)} seeds"
print(f"F1 on images unlike all training: {new.mean():+.3f}, {wins}; verdict: {ablation.verdict(new)}")
record("verdict on the proxy for what was never seen", ablation.verdict(new))

ends = ["", "_other_start"]  # all but one of the pairs go on from the same simulated pictures
tables = [pd.read_csv(ablation.results(f"unseen{end}.csv")).assign(start=end) for end in ends]
runs = (
    pd.concat(tables)
    .groupby(["variant", "start", "seed"])
    .agg(
        **{"left out": ("f1", "mean"), "left out, size estimated": ("f1_auto", "mean")},
        there=("f1_val", lambda values: values.drop_duplicates().mean()),  # one per training
    )
)
pairs = (runs.loc["lite"] - runs.loc["lite-noproxy"]).dropna()
for what, gain in pairs.items():
    wins = f"the proxy wins with {(gain > 0).sum()} of {len(gain)}"
    print(f"F1 on sources that were {what}: {gain.mean():+.3f}, {wins}; {ablation.verdict(gain)}")
    record(f"verdict on the proxy, sources {what}", ablation.verdict(gain))
unseen.groupby(level="modality", sort=False).mean().round(3)

# %% [markdown]
# After simulated pictures alone the seeds differ among themselves by more than the proxy changes. On
# sources left out it is ahead, by two hundredths at the images' own size, and the pairs still do not show
# it. On sources that were there it is a little behind, and that they do. So the verdict stays open, with
# a leaning: look for the proxy's use where images are new, not where they are like the training's. The
# kit's networks keep it, because it costs almost nothing and belongs to the paper's network.
#
# ### A light leak
#
# The paper's Fig. 7 shows one image with "bright light pollution" on which the network without the proxy
# fails and the one with it does not. A single picture can be luck, in either direction. The simulator can
# spill light over *the same cells*, so we can compare image by image. Two questions are easily taken for one:
# which network finds more under the leak, and which loses less to it? A network that finds little in a clear
# picture has little to lose.


# %%
def clean_and_leaking(modality, seed):
    """Return the same dozen cells twice, without and with light spilling over them."""
    cells = {"n_cells": 12, "cell_diameter": SIDE / 8}
    seeds = [seed, MODALITIES.index(modality)]
    return [
        ml.simulate(modality, (SIDE, SIDE), rng=np.random.default_rng(seeds), light_leak=leak, **cells)
        for leak in (False, True)
    ]


rows = []
for modality in MODALITIES:
    for seed in range(max(2, IMAGES_PER_MODALITY - 2)):
        clean, leaking = clean_and_leaking(modality, seed)
        for name, network in networks.items():
            case = {"modality": modality, "seed": seed, "network": name}
            rows.append(case | {"clean": f1(network, clean), "leak": f1(network, leaking)})

# %%
leaks = pd.DataFrame(rows).assign(lost=lambda t: t["clean"] - t["leak"])
by_image = leaks.pivot_table(index=["modality", "seed"], columns="network", values=["clean", "leak", "lost"])
for part in ("clean", "leak", "lost"):
    without, with_proxy = by_image[part, "without proxy"], by_image[part, "with proxy"]
    gain = with_proxy - without
    limit = student.ppf(0.975, len(gain) - 1) * gain.sem()
    verdict = "more than chance" if abs(gain.mean()) > limit else "not more than chance"
    print(f"F1, {part:5s}: without the proxy {without.mean():.3f}, with it {with_proxy.mean():.3f}: ", end="")
    print(f"{gain.mean():+.3f}, limit {limit:.3f}, {verdict}")
gain = by_image["leak", "with proxy"] - by_image["leak", "without proxy"]
record("F1 under a light leak, with the proxy minus without", round(float(gain.mean()), 3))
leaks.groupby(["modality", "network"], sort=False)[["clean", "leak", "lost"]].mean().round(2)

# %% [markdown]
# *Lost* is what the leak costs; below zero, the leak has helped, which with a handful of images is chance as
# easily as not. The network with the proxy loses a little less, and had less to lose: it finds less in the
# clear pictures, and less under the leak. None of it is more than chance.
#
# What would a figure of **one** image show? We pick, on purpose, what is so easily picked by accident: the
# image on which the network with the proxy is farthest ahead under the leak, and the one on which it is
# farthest behind. Titles give F1 without → with the leak.

# %%
fig, axes = plt.subplots(2, 3, figsize=(9.5, 6.6), layout="compressed")
for row, (modality, seed) in zip(axes, (gain.idxmax(), gain.idxmin()), strict=True):
    clean, leaking = clean_and_leaking(modality, seed)
    title = f"{modality}, truth; with the proxy {gain[modality, seed]:+.2f}"
    figures.overlay(leaking.image, leaking.labels, row[0], title, fill=0.1)
    for ax, (name, network) in zip(row[1:], networks.items(), strict=True):
        cells = ml.segment(leaking.image, network, postprocess="none")
        title = f"{name}: F1 {f1(network, clean):.2f} → {f1(network, leaking):.2f}"
        figures.overlay(leaking.image, cells, ax, title)
show(
    fig,
    alt="Two simulated images with a light leak, the true cells and those of both networks: above the one "
    "on which the network with the proxy is farthest ahead, below the one on which it is farthest behind.",
    dpi=100,
)

# %% [markdown]
# Two pictures from the same two networks, and they tell two stories. The paper's Fig. 7 is one picture.
# Whoever shows one has chosen.
#
# ## 8 · Explore
#
# Everything above, under the mouse. The explorer needs an *atlas*: for each network its principal components,
# layer by layer, its cells, and their F1. You have computed each of these before.

# %%
from maunet_lite.course.figures.features import Atlas, View, static_view

decoder = [name for name in order if name.startswith("class_decoder.")][:-1]
planes, predictions, scores = {}, {}, []
for name, network in networks.items():
    read = mf.mean_features(network, images, [deepest, *decoder, "class_decoder", "distance_decoder"])
    planes[name] = {layer: mf.pca(values, min(6, *values.vectors.shape)) for layer, values in read.items()}
    predictions[name] = {one.name: ml.segment(one.image, network, postprocess="none") for one in images}
    for one in images:
        cells = predictions[name][one.name]
        score = ml.match_cells(one.labels, cells).f1
        counts = [np.count_nonzero(np.unique(labels)) for labels in (one.labels, cells)]
        scores.append((name, one.name, one.modality, score, *counts))
columns = ["network", "image", "modality", "f1", "cells", "cells_predicted"]
atlas = Atlas({one.name: one for one in images}, planes, predictions, pd.DataFrame(scores, columns=columns))

# %% [markdown]
# First the picture that it starts with, for readers of the static page: the image with the lowest F1 is
# ringed.

# %%
of_network = atlas.scores[atlas.scores["network"] == "with proxy"]
view = View(network="with proxy", image=of_network.loc[of_network["f1"].idxmin(), "image"])
about = (
    f"Scatter diagram of the mean features of {len(images)} images in layer {view.layer}, coloured by "
    f"modality; below, the F1 of each, {of_network['f1'].min():.2f} to {of_network['f1'].max():.2f}; on the "
    f"right, {view.image} with its cells."
)
show(static_view(atlas, view), alt=about, dpi=120)

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

print("The explorer appears here when the notebook runs in JupyterLab.")
FeatureExplorer(atlas, view)

# %% [markdown]
# Write down what you found, then let numbers answer the same three questions.

# %%
read = pair["with proxy"]
distance = pd.Series(mf.margins(read)).groupby(read.table["image"]).min()
of_image = of_network.set_index("image")["f1"]
print(f"rank correlation of F1 and distance from the boundary: {of_image.corr(distance, 'spearman'):+.2f}")

deep = planes["with proxy"][deepest]
groups = deep.table()["modality"].to_numpy()
spread = {m: deep.points[groups == m, :2].std(axis=0).sum() for m in dict.fromkeys(groups)}
print(f"most spread out in {deepest}: {max(spread, key=spread.get)}")

last = planes["with proxy"]["class_decoder"]
for column, groups in {"class": "classes", "modality": "modalities"}.items():
    share = share_between(last.points[:, 2:4], last.table()[column].to_numpy())
    print(f"components 3 and 4: {share:.0%} of the scatter lies between {groups}")
print("what neither explains is the third kind of order, or noise")

# %% [markdown]
# ## Quality control
#
# Are the networks that we compared any good? A baseline answers: Otsu's threshold with a watershed needs no
# training at all.

# %%
from maunet_lite.evaluation import otsu_watershed

table = atlas.scores.pivot_table(index="modality", columns="network", values="f1", sort=False)
otsu = [(one.modality, ml.match_cells(one.labels, otsu_watershed(one.image).labels).f1) for one in images]
table.insert(0, "Otsu + watershed", pd.DataFrame(otsu).groupby(0)[1].mean())
table.loc["all"] = table.mean()
for name, value in table.loc["all"].items():
    record(f"F1 {name}", round(float(value), 2))
for name in NETWORKS:
    below = table.index[table[name] <= table["Otsu + watershed"]]
    print(f"{name}: below the baseline in {', '.join(below) or 'no row'}")
table.round(2)

# %% [markdown]
# The mean over modalities hides the rows in which a threshold is the better method. Features of a network
# below the baseline say something about its *training*, and little about cells. (The scores here are F1_ori,
# without the post-processing, on simulated images.)
#
# ## Recap
#
# You have
#
# 1. seen on a blackboard that a held proxy pushes features apart, and that a free one leaves,
# 2. averaged features over masks by hand, and with hooks for any layer and image size,
# 3. seen modalities blend and classes part along the network, in pictures and in shares of scatter,
# 4. drawn the boundary from the head's own weights, and measured whether a modality lies closest to it,
# 5. found the proxy far behind every class, in all dimensions, and watched it go,
# 6. turned a word, "discriminable", into six numbers, and tested them against many shuffles,
# 7. judged the claim by pairs over seeds, on new modalities and under a light leak, with chance in view,
# 8. explored features, layers and images together.
#
# ## On your own
#
# - *Easy.* On the blackboard, give domain B the place of domain A, mirrored (exchange its two centres). Can
#   one line still part both? What does a held proxy do now?
# - *Medium.* Repeat section 6 for the layer before the last (`mf.layers` lists them). Are classes apart there
#   already, or does it happen in the last block only?
# - *Hard.* Hold the proxy in a real network: set its weights to zero and its bias to 2 after each step of the
#   loop in section 5, and train once with and once without it, with three seeds. Do features change, does F1?
#
# <details><summary>Answers</summary>
#
# **Easy.** No: background of one domain then lies where cells of the other do, so whatever part of the plane
# a line gives to cells holds background as well. A held proxy cannot repair it. It pushes points away from
# where they are ambiguous; it does not know which domain a point is from.
#
# **Medium.** Use the same numbers: distances, cosines and the probe on the layer before. What is told apart
# there is the work of the earlier blocks, which also mix more pixels around each; the last block mostly turns
# it towards the classifier.
#
# **Hard.** Change the weights under `torch.no_grad()` after the optimizer's step, start both runs from
# the same seed, and compare pair by pair. Report features *and* F1: a proxy may move features a long way
# without changing which class is the largest.
#
# </details>
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
