# %% [markdown]
# # 04 · Train on images without labels
#
# Two networks teach each other on images that nobody has annotated. You build the idea from three pixels,
# train it, and find out why it can make things worse, as it did in the paper.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.course import exercises, record, show
from maunet_lite.course.figures import consistency

show(
    consistency.draw_twins(),
    alt="An unlabelled image enters two networks. The most probable class of each is the label that the "
    "other learns from, by cross entropy; their distance fields are pulled together by an L2 loss.",
)

# %% [markdown]
# *Consistency regularization, CR for short: what happens to an image **without** labels. On images with
# labels both networks learn as in notebook 02. Afterwards network 2 is thrown away. Compare paper Fig. 3.*
#
# **You will**
#
# 1. make pseudo labels, and compute equation 3 by hand on three pixels,
# 2. watch two networks talk each other into an error,
# 3. train with CR, and look at the pseudo labels on images whose truth is hidden from the networks,
# 4. tell agreement from accuracy, and find the modality that a mean hides,
# 5. compare with supervised training at an equal budget, and see that "equal" has three meanings,
# 6. sweep the share of labelled images,
# 7. judge the paper's negative result, and say which number would convince you of the opposite.
#
# **You will learn** what a pseudo label is, what no loss on unlabelled images can know, why rare data
# may suffer first, and how to read a comparison of two training methods.
#
# **You need** notebook 02 (losses, the training loop). No GPU, no data, no downloads.
#
# **Time** an hour with the exercises; a minute and a half to run on two CPU cores, about as long on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
DATA = ""  # a dataset's name or folder; empty: simulated here, with a rare modality
RECIPE = "lite"  # "paper-supervised": optimiser, schedule and augmentation of the paper's Tables 2 and 3
PRESET = "lite"
STEPS = 60  # of each training with CR
FRACTION = 0.25  # share of the training images whose labels are used
SWEEP = [0.1]  # further shares, in section 10
SEEDS = 1  # trainings for each point of section 10
SEED = 0
LEARNING_RATE = 4e-3
BATCH = 6  # even: with CR, half of it has no labels
PATCH = 64  # pixels
IMAGES = 12  # simulated for training, of each common modality
RARE_IMAGES = 4  # and of the rare one
SIDE = 128  # of each image, in pixels

# %%
import math
import shutil
import tempfile
from pathlib import Path

import torch.nn.functional as F

from maunet_lite.training import Consistency, TwinNetworks, classification_consistency, pseudo_accuracy
from maunet_lite.data import data_home, load_dataset
from maunet_lite.evaluation import evaluate
from maunet_lite.data import write_image, write_labels
from maunet_lite.training import consistency_loss
from maunet_lite.network import Output
from maunet_lite.training import recipe
from maunet_lite.data import MODALITIES
from maunet_lite.training import seed_everything, train

seed_everything(SEED)
runs = tempfile.TemporaryDirectory()  # removed when the notebook is closed

# %% [markdown]
# ## 1 · Many images, few labels
#
# Drawing the outlines of all cells takes an expert minutes to hours per image. Taking the image takes a
# second. The paper's challenge offered 1,000 labelled images and more than 1,500 without labels. Can those
# be put to use?
#
# We simulate the situation on a small scale, with one twist: **DIC is rare**, as an unusual microscope is
# in any real collection. A dataset is a folder of images, label maps and a table, so making one takes few
# lines. Validation is the same for all modalities, rare or not.


# %%
def make_dataset(rare, folder):
    """Write a dataset folder in which one modality is rare; do nothing if it is there."""
    if (folder / "metadata.csv").exists():
        return folder
    rows = []
    for number, modality in enumerate(MODALITIES):
        count = RARE_IMAGES if modality == rare else IMAGES
        for split, k in [("train", k) for k in range(count)] + [("val", k) for k in range(4)]:
            rng = np.random.default_rng([number, k, split == "val"])
            image, labels = ml.simulate(modality, (SIDE, SIDE), cell_diameter=22, rng=rng)
            name = f"{modality}_{split}_{k:03d}"
            write_image(folder / "images" / f"{name}.png", image)
            write_labels(folder / "labels" / f"{name}_label.tiff", labels)
            rows.append({"image": f"{name}.png", "modality": modality, "split": split})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder


def folder_with_rare(modality):
    return make_dataset(modality, data_home() / f"rare-{modality}-{IMAGES}-{RARE_IMAGES}-{SIDE}")


data = load_dataset(DATA or folder_with_rare("dic"))

# %% [markdown]
# All trainings of this notebook share one recipe: that of the shipped weights, made short, with small
# patches. `labelled_fraction` uses the labels of a quarter of the training images. The method `"cr"` uses
# the other images too, **without their labels**; the method `"supervised"` never sees them.

# %%
base = recipe(RECIPE).override(
    data=str(data.folder), model=PRESET, steps=STEPS, batch_size=BATCH, patch=PATCH, seed=SEED
)
if RECIPE == "lite":  # made for hours; these are seconds
    base = base.override(zoom=(0.8, 1.25), balance=1.0, learning_rate=LEARNING_RATE, warmup=5)
base = base.override(labelled_fraction=FRACTION, log_every=max(1, STEPS // 20))
base = base.override(save_every=0, validate_every=0, validation_images=1)

plan = Consistency(base.override(method="cr"), data.split("train"))  # decides whose labels are used
groups = {"labelled": plan.labelled, "labels hidden": plan.rest, "validation": data.split("val").labelled()}
counts = {name: part.table["modality"].value_counts() for name, part in groups.items()}
pd.DataFrame(counts).fillna(0).astype(int)


# %%
def first_of(dataset, modality):
    return int(np.flatnonzero(dataset.table["modality"] == modality)[0])


fig, axes = plt.subplots(1, len(plan.labelled.modalities), figsize=(8, 2.3), layout="compressed")
for ax, modality in zip(axes, plan.labelled.modalities, strict=True):
    sample = plan.labelled[first_of(plan.labelled, modality)]
    figures.overlay(sample.image, sample.labels, ax, modality)
show(fig, alt="One labelled image of each modality with the true outlines of its cells.", dpi=64)

# %% [markdown]
# "Hidden" is not "unknown": we simulated these images, so we *have* their truth. The training never sees
# it. It only measures how good the pseudo labels are. With real unlabelled images nobody can do that, which
# is the reason for trying it here first.
#
# **Predict.** For which modality will the networks make the worst labels? Write it down; section 7 has the
# answer.
#
# ## 2 · A pseudo label is an argmax
#
# Network 1 looks at an unlabelled image and names the most probable class of each pixel. This class map is
# the label from which network 2 learns, and the other way round. Hence *pseudo* label: made by a student
# for a student.
#
# Two details matter. **No gradient flows through a label**: the teacher must not be changed to please the
# pupil. An argmax is a whole number, so it has no gradient to begin with. And **the proxy is never a
# label**. It is the fourth channel, the class to which no pixel belongs (notebook 02, section 4).
#
# ### Exercise 04.1 · pseudo labels (easy)
#
# Take logits of shape (B, 4, H, W) and return the labels, (B, H, W): 0 background, 1 interior, 2 boundary.
# Never 3.


# %%
def pseudo_labels(logits):
    raise NotImplementedError


exercises.check("04.1", pseudo_labels)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Cut the proxy off *before* the argmax. If you cut it off afterwards, say by replacing 3 with 0, every
# pixel that the proxy wins becomes background.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def pseudo_labels(logits):
    return logits[:, :3].argmax(dim=1)


exercises.check("04.1", pseudo_labels)

# %% [markdown]
# ## 3 · Equation 3, by hand
#
# $$L_{cr} = \frac{1}{N} \sum_{i=1}^{N} \left( CE(P_{cls,1}, \hat{P}_{cls,2}) + CE(P_{cls,2}, \hat{P}_{cls,1})
# + L_2(P_{reg,1}, P_{reg,2}) \right)$$
#
# In words: cross entropy of network 1 against the labels of network 2, cross entropy of network 2 against
# the labels of network 1, and the mean squared difference of their distance fields. Three pixels are
# enough. In the first the networks agree, in the second they do not, in the third they agree and are sure.

# %%
one = torch.tensor(
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 2.0], [0.0, 5.0, 0.0, 0.0]]
)  # 3 pixels × 4 channels
two = torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]])
distance_one, distance_two = torch.tensor([0.1, 0.6, 0.9]), torch.tensor([0.2, 0.4, 0.9])

label_one, label_two = [0, 1, 1], [0, 0, 1]  # in pixel 2 of network 1 the proxy is largest; the label is 1
p_one, p_two = one.softmax(dim=1), two.softmax(dim=1)
by_hand = pd.DataFrame(
    {
        "label of 1": label_one,
        "label of 2": label_two,
        "CE(1, label of 2)": [-float(p_one[k, c].log()) for k, c in enumerate(label_two)],
        "CE(2, label of 1)": [-float(p_two[k, c].log()) for k, c in enumerate(label_one)],
        "L2": ((distance_one - distance_two) ** 2).tolist(),
    },
    index=["agree, unsure", "differ", "agree, sure"],
)
by_hand.round(2)


# %%
def as_image(pixels):
    return pixels.T[None, :, None, :]  # (W, C) → (1, C, 1, W)


outputs = [
    Output(as_image(logits), as_image(distance[:, None]))
    for logits, distance in ((one, distance_one), (two, distance_two))
]
total = by_hand.iloc[:, 2:].to_numpy().mean(axis=0).sum()
print(f"by hand {total:.4f}   package {consistency_loss(*outputs):.4f}")
assert np.isclose(total, consistency_loss(*outputs))

# %% [markdown]
# Read the table row by row. Disagreement is expensive. So is being **unsure**, even in full agreement:
# cross entropy against a label asks for probability 1. Sure agreement costs nothing.
#
# ### Exercise 04.2 · mutual cross entropy (medium)
#
# Write the first two terms of equation 3 for logits of shape (B, 4, H, W). You have `pseudo_labels` and
# `F.cross_entropy(logits, labels)`.


# %%
def mutual_cross_entropy(one, two):
    raise NotImplementedError


exercises.check("04.2", mutual_cross_entropy)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The logits go in with all four channels: the proxy takes part in the softmax, so a pixel that it attracts
# costs more. `maunet_lite.training.consistency_loss` is these two lines and the L2 term.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def mutual_cross_entropy(one, two):
    return F.cross_entropy(one, pseudo_labels(two)) + F.cross_entropy(two, pseudo_labels(one))


exercises.check("04.2", mutual_cross_entropy)

# %% [markdown]
# What moves when this loss is minimised? The gradient of a cross entropy is *probability minus label*. Let
# us look at network 1 in the second pixel, where the labels differ.

# %%
student = as_image(one).clone().requires_grad_()
consistency_loss(Output(student, None), outputs[1]._replace(distance=None)).backward()
gradient = student.grad[0, :, 0, 1] * 3  # the loss is a mean over 3 pixels
label = torch.tensor([1.0, 0.0, 0.0, 0.0])  # network 2 says background
print("gradient           ", gradient.numpy().round(3))
print("probability - label", (p_one[1] - label).numpy().round(3))
assert torch.allclose(gradient, p_one[1] - label, atol=1e-6)

# %% [markdown]
# Network 1 is pushed to background, because network 2 said so, and to nothing else: network 1's own label,
# the one it hands to network 2, leaves no trace in this gradient.
#
# **Predict, then run.** One pixel, truly *interior*. Both networks follow equation 3 and nothing else.
# Three starts: both lean a little to the wrong side; one is sure and right, the other leans to the wrong
# side; one leans to the right side, the other is sure and wrong. In which of them do they end at the truth?


# %%
def follow(start_one, start_two, steps=120, rate=0.2):
    """Probability of 'interior' over the steps, (steps, 2), from logits of interior against background."""
    logits = torch.tensor([[0.0, start_one], [0.0, start_two]], requires_grad=True)
    history = []
    for _ in range(steps):
        history.append(logits.softmax(dim=1)[:, 1].tolist())
        a, b = (Output(row.reshape(1, 2, 1, 1), None) for row in logits)
        (gradient,) = torch.autograd.grad(consistency_loss(a, b, n_classes=2), logits)
        logits = (logits - rate * gradient).detach().requires_grad_()
    return np.array(history)


starts = {"both a little wrong": (-0.1, -0.2), "sure and right": (1.5, -0.1), "sure and wrong": (0.1, -1.5)}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.4), sharey=True, layout="compressed")
for ax, (name, start) in zip(axes, starts.items(), strict=True):
    pair = pd.DataFrame(follow(*start), columns=["network 1", "network 2"]).rename_axis("step")
    figures.show_lines(pair, ax, title=name, ylabel="probability of the truth" if ax is axes[0] else "")
    ax.set_ylim(-0.03, 1.03)
show(
    fig,
    alt="Three pairs of curves. Two networks that are both a little wrong end surely wrong. If one is sure, "
    "both end where that one stood, right or wrong.",
)

# %% [markdown]
# The surer network wins, be it right or wrong. Where both lean to the same wrong side, consistency turns a
# doubt into a certainty, and the loss falls to zero while it does so. This is **confirmation bias**. The
# only thing that can stop it is the other half of the batch: labelled pixels that look alike.
#
# ## 4 · Equation 4, and how much to trust a student
#
# $$L = L_{cls} + L_{reg} + \lambda \, L_{cr}$$
#
# On labelled images both networks learn as before; λ says how much the unlabelled ones count. The paper
# takes λ = 1.5 from the first step to the last. But in the first step both networks are noise, and so are
# their labels. A common remedy is to let λ grow, for instance along $\lambda(t) = \lambda_{top} \, e^{-5 (1
# - t)^2}$ while $t$ runs from 0 to 1, and to keep it there (Laine and Aila 2017).
#
# ### Exercise 04.3 · a ramp for λ (easy)
#
# Return λ at `step`, for a ramp of `length` steps that ends at `top`.


# %%
def ramp(step, length, top=1.5):
    raise NotImplementedError


exercises.check("04.3", ramp)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The clamp is what is easily forgotten: without it λ falls again after the ramp.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def ramp(step, length, top=1.5):
    done = min(step / length, 1)
    return top * math.exp(-5 * (1 - done) ** 2)


exercises.check("04.3", ramp)

# %% [markdown]
# How long a ramp? Long enough that labels are better than noise when λ arrives. Keep the question for
# section 7, where you see when that is. The kit keeps the paper's constant λ; a ramp is the hard task *on
# your own*.
#
# ## 5 · Train
#
# Half of each batch is labelled, half is not, and both networks see all of it. We train twice with the same
# seed, so with the same initial weights and the same patches in the same order: once with the paper's λ =
# 1.5, once with λ = 0. The second run is the **control**: two networks that ignore the unlabelled images.
# Whatever differs between the two is the work of consistency, and of nothing else.


# %%
def run(name, keep=False, **changes):
    """Train; return the log, and the scores on validation images. Weights take space: most are dropped."""
    config = base.override(**{"out": str(Path(runs.name) / name)} | changes)
    train(config, progress=False)
    log = pd.read_csv(Path(config.out) / "log.csv").set_index("step")
    scores = evaluate(Path(config.out) / "last.safetensors", config.data, "val", progress=False)
    if not keep:
        shutil.rmtree(config.out)
    return log, scores


cr_log, cr = run("cr", keep=True, method="cr", consistency_weight=1.5)
control_log, control = run("control", keep=True, method="cr", consistency_weight=0.0)
cr_log[["dice", "focal", "distance", "consistency", "agreement"]].iloc[[0, len(cr_log) // 2, -1]].round(2)

# %% [markdown]
# The losses are means over both networks. `agreement` is the share of unlabelled pixels to which both give
# the same label. It has risen quickly. Success?
#
# ## 6 · Look at the pseudo labels
#
# Before trusting a number we look. Both networks are in the file from which an interrupted run is resumed.
# Here are their labels for one image of a common modality and one of the rare one, and the truth that they
# were never shown.


# %%
def load_twins(name):
    state = torch.load(Path(runs.name) / name / "state.pt", map_location="cpu", weights_only=True)
    twins = TwinNetworks(ml.build_model(PRESET), ml.build_model(PRESET))
    twins.load_state_dict(state["module"])
    return twins.eval()


def look(twins, dataset, index):
    """Return the classes by network 1, by network 2, and the true ones, each (H, W)."""
    image = dataset.image(index)
    maps = [ml.predict(network, image).probabilities[:3] for network in (twins.one, twins.two)]
    return *(m.argmax(axis=0) for m in maps), ml.make_targets(dataset.labels(index)).classes


twins, control_twins = load_twins("cr"), load_twins("control")
modalities = plan.rest.modalities
rare = plan.rest.table["modality"].value_counts().index[-1]
common = next((m for m in reversed(modalities) if m != rare), rare)

# %%
fig, axes = plt.subplots(2, 5, figsize=(8, 3.6), layout="compressed")
for row, modality in zip(axes, (common, rare), strict=True):
    index = first_of(plan.rest, modality)
    first, second, truth = look(twins, plan.rest, index)
    figures.show_image(plan.rest.image(index), row[0], modality)
    for ax, (name, classes) in zip(
        row[1:4], {"network 1": first, "network 2": second, "truth": truth}.items(), strict=True
    ):
        figures.show_classes(classes, ax, name, key=False)
    kinds = consistency.verdicts(first, second, truth)
    consistency.show_verdicts(kinds, row[4], f"{(kinds != 1).mean():.0%} agree")
show(
    fig,
    alt="For a common and a rare modality: image, class maps of both networks, true classes, and verdicts: "
    "grey where both are right, blue where they differ, red where both are wrong in the same way.",
    dpi=90,
)

# %% [markdown]
# *Classes: black background, blue interior, orange boundary. Verdicts: **grey** both are right, **blue**
# they differ, **red** both are wrong in the same way.*
#
# Blue is where the networks can learn from each other. Red is where they confirm each other, and no loss
# that knows only the two predictions can tell red from grey. Did you notice which colour is missing from
# the networks' maps? Section 8 comes back to it.
#
# **Predict, then run.** Of the pixels that network 1 gets wrong, what share does network 2 get wrong *in
# the same way*: a quarter, half, nine tenths? And in the control, whose networks never met?


# %%
def audit(looks):
    """Return means per modality over the images whose labels were hidden."""
    rows = []
    for modality, (first, second, truth) in zip(plan.rest.table["modality"], looks, strict=True):
        accuracy = float(pseudo_accuracy(torch.from_numpy(first), torch.from_numpy(truth)))
        shared = consistency.shared_errors(first, second, truth)
        rows.append((modality, (first == second).mean(), accuracy, shared))
    table = pd.DataFrame(rows, columns=["modality", "agreement", "accuracy", "errors shared"])
    return table.groupby("modality").mean()


seen = {
    name: [look(networks, plan.rest, k) for k in range(len(plan.rest))]
    for name, networks in (("CR", twins), ("control", control_twins))
}
audits = {name: audit(looks) for name, looks in seen.items()}
for name, table in audits.items():
    record(f"errors shared by both networks, {name}", round(float(table["errors shared"].mean()), 2))
pd.concat(audits, axis=1).swaplevel(axis=1)[["agreement", "accuracy", "errors shared"]].round(2)

# %% [markdown]
# `accuracy` is a mean over classes: of all true background pixels, how many are named rightly, and so for
# interior and boundary? Naming one class everywhere scores 1/3. Plain pixel accuracy would flatter: most of
# each image is background.
#
# Most errors are shared. Even the networks of the control, which never exchanged a word, make many of the
# same mistakes: they have seen the same few labels and lack the same knowledge. CR lives on networks that
# err *differently*; where they do not, it has nothing to offer, and makes them agree on the error.
#
# ## 7 · Agreement is not accuracy
#
# The same two quantities over the whole training, on the patches that it drew. Left agreement, right
# accuracy.
#
# **Predict, then run.** When does agreement reach 0.9, and how good are the labels at that time?

# %%
logs = {"CR, λ = 1.5": cr_log, "control, λ = 0": control_log}
accuracies = {name: consistency.pseudo_accuracies(log, smooth=5) for name, log in logs.items()}
means = {name: table.mean(axis=1) for name, table in accuracies.items()}
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="compressed")
figures.show_lines({k: log["agreement"] for k, log in logs.items()}, axes[0], title="agreement")
figures.show_lines(means, axes[1], title="accuracy of the pseudo labels")
axes[1].axhline(1 / 3, color="0.5", lw=1, ls=":")
for ax in axes:
    ax.set_ylim(0, 1)
show(
    fig,
    alt="Agreement of the two networks over the steps, with and without consistency, and the accuracy of "
    "their pseudo labels, mean over modalities. A dotted line at one third marks guessing.",
)
for name in logs:
    record(f"agreement at the end, {name}", round(float(logs[name]["agreement"].iloc[-1]), 2))
    record(f"pseudo-label accuracy at the end, {name}", round(float(means[name].iloc[-1]), 2))

# %% [markdown]
# Agreement arrives long before knowledge does. Two networks that say *background* everywhere agree on every
# pixel, at an accuracy of 1/3; that is about where both of ours came from. Whoever watches agreement alone
# sees a success from the first minute. Remember it when you have no hidden truth to look at.
#
# The curve on the right is a mean over modalities. **Predict, then run.** Which modality lies below it?
# Compare with what you wrote down in section 1.

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.0), sharey=True, layout="compressed")
for ax, (name, table) in zip(axes, accuracies.items(), strict=True):
    ax.plot(table.mean(axis=1), color="black", lw=4, alpha=0.2, label="mean")
    figures.show_lines(table, ax, title=name, ylabel="pseudo-label accuracy" if ax is axes[0] else "")
    ax.axhline(1 / 3, color="0.5", lw=1, ls=":")
    ax.set_ylim(0, 1)
axes[1].get_legend().remove()
show(fig, alt="Pseudo-label accuracy of each modality and their mean over the steps, for CR and its control.")

# %% [markdown]
# The lines jump, because each point rests on a handful of patches, and on very few of the rare modality.
# But for most of the time they are far apart: a mean of them describes none. And the rare modality need not
# be the lowest; another one may simply be **hard**. Fluorescence here is dim and noisy. From these curves
# nobody can say how much is rarity.
#
# ## 8 · Rare or hard? Swap and see
#
# An experiment can. Train CR again on a second dataset, the same in all but one thing: now *brightfield* is
# rare and DIC is common. The validation images stay the same, so each of the two modalities is its own
# control.
#
# The score is the paper's *mean Dice*, the column `class_dice` of `evaluate`: the overlap of the most
# probable class with the truth, mean over interior and boundary. Why not F1? Section 9 shows what F1
# measures after a minute of training.

# %%
other = "brightfield" if rare == "dic" else common
cr_swapped = cr  # a dataset of your own has no swapped twin: both columns are then the same
if not DATA:
    _, cr_swapped = run("swapped", method="cr", data=str(folder_with_rare(other)))

by_modality = [scores.groupby("modality")["class_dice"].mean() for scores in (cr, cr_swapped)]
swap = pd.DataFrame(
    {
        "when rare": {rare: by_modality[0][rare], other: by_modality[1][other]},
        "when common": {rare: by_modality[1][rare], other: by_modality[0][other]},
    }
)
record("mean Dice lost by being rare", round(float((swap["when common"] - swap["when rare"]).mean()), 2))
swap.round(2)

# %% [markdown]
# Each row is one modality with itself, so its difficulty is taken out. But each number comes from one run of
# a minute, and two such runs differ by several hundredths when nothing but the seed changes (section 11). A
# price smaller than that is no price that one run can show. (With four seeds, 80 steps and batches of 8, both
# modalities lost in every one of them.)
#
# There is a reason to expect one. The labelled images of a rare modality are too few to learn from; and its
# unlabelled ones, which should have filled the gap, are labelled by networks trained on the others. The paper
# says the same: CR "will generate a large number of inaccurate labels, especially for some unusual domains".
# Whether CR makes rarity worse than supervised training does is a further question. It would take the same
# swap without CR.
#
# There is a second kind of rarity. The *boundary* is a thin line: few pixels in a hundred. How often do the
# pseudo labels name it?


# %%
def class_shares(maps):
    """Return the share of pixels of each class in a list of class maps."""
    return np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=3)[:3] / sum(m.size for m in maps)


shares = {
    "truth of the labelled images": class_shares([ml.make_targets(s.labels).classes for s in plan.labelled]),
    "pseudo labels, CR": class_shares([first for first, _, _ in seen["CR"]]),
    "pseudo labels, control": class_shares([first for first, _, _ in seen["control"]]),
}
shares = pd.DataFrame(shares, index=["background", "interior", "boundary"]).T
record("boundary pixels in the pseudo labels / %", round(100 * float(shares["boundary"].iloc[1]), 2))
shares.map("{:.1%}".format)

# %% [markdown]
# A rare class goes the way of a rare modality. An argmax names only winners; a class that is nowhere the
# most probable is never a label; and cross entropy against labels that never say *boundary* teaches never
# to say it. But look at the control: it hardly names the boundary either. A minute of training loses the thin
# class by itself; CR cannot bring it back, and in most runs removes the rest. (In some it runs to the other
# side and paints far too much of it.) In either case the shares drift away from those of the true labels, and
# *that* can be seen without any hidden truth.
#
# ## 9 · Equal to what?
#
# Is CR better than training on the labelled images alone? Give both the same budget, and compare. But what
# is the same budget?
#
# **Predict, then run.** One CR step with a batch of 6 passes 6 patches through 2 networks; 3 of the patches
# are labelled. One supervised step passes 6 labelled patches through 1 network. How many supervised steps
# are "as much" as 60 steps of CR, in steps, in labelled patches seen by a network, and in computation?

# %%
budgets = {
    "equal labelled patches": max(1, STEPS // 2),
    "equal steps": STEPS,
    "equal computation": 2 * STEPS,
}
supervised = {name: run(name, method="supervised", steps=steps)[1] for name, steps in budgets.items()}
table = {"CR": cr, "control, λ = 0": control} | {f"supervised, {k}": v for k, v in supervised.items()}
columns = {"class_dice": "mean Dice", "f1": "F1", "f1_plain": "F1_ori"}
table = pd.DataFrame({name: scores[list(columns)].mean() for name, scores in table.items()}).T
table = table.rename(columns=columns)
table.insert(0, "steps", [STEPS, STEPS, *budgets.values()])
table.insert(1, "labelled patches", table["steps"] * BATCH // np.array([2, 2, 1, 1, 1]))
table.insert(2, "network passes", table["steps"] * BATCH * np.array([2, 2, 1, 1, 1]))
for name, value in table["mean Dice"].items():
    record(f"mean Dice, {name}", round(float(value), 3))
table.round(2)

# %%
fig, ax = plt.subplots(figsize=(7, 2.4), layout="compressed")
colors = ["#0072B2", "0.75", *["#E69F00"] * 3]
ax.barh(table.index[::-1], table["mean Dice"][::-1], color=colors[::-1])
ax.axvline(table["mean Dice"]["CR"], color="#0072B2", lw=1, ls=":")
ax.set(xlabel="mean Dice on validation images")
ax.spines[["top", "right"]].set_visible(False)
show(
    fig,
    alt="Bars: mean Dice of CR, of its control, and of supervised training at equal labelled patches, equal "
    "steps, and equal computation. A dotted line marks CR.",
)

# %% [markdown]
# One method, three verdicts. At equal labelled patches CR may look like a gain; at equal computation it
# loses by far. Whoever compares two methods has chosen an answer with the word "equal", so say which one
# you mean, and why. When labels are dear and computers cheap, the first is fair. When you have one GPU for
# one day, the last is.
#
# The paper's Tables 2 and 3 are equal in none of the three: 1,000 epochs and 24 hours against 700 epochs
# and 36 hours, 16 labelled patches per step against 8.
#
# **Now look at F1.** Find two rows with about the same mean Dice: do they have the same F1? After a minute
# of training, F1 measures two things that mean Dice does not. How **sure** is the network? The default
# post-processing keeps a piece of interior only if its probability reaches 0.9 somewhere, and sure is not
# right, as section 3 showed. And are neighbours kept **apart**? Without a boundary they are not. So choose
# the metric *before* you look, and know what it measures.
#
# ## 10 · Fewer labels
#
# The promise of CR is greatest where labels are few. Here is the comparison at other labelled fractions, at
# equal computation, the same unlabelled pool otherwise.
#
# **Predict, then run.** With a tenth of the labels, which of the two loses more?

# %%
points = []
for fraction in sorted({FRACTION, *SWEEP}):
    for seed in range(SEED, SEED + SEEDS):
        known = seed == SEED and fraction == FRACTION
        for name, steps in (("cr", STEPS), ("supervised", 2 * STEPS)):
            scores = cr if name == "cr" else supervised["equal computation"]
            if not known:
                scores = run("sweep", method=name, steps=steps, labelled_fraction=fraction, seed=seed)[1]
            points.append((name, fraction, seed, scores["class_dice"].mean()))
points = pd.DataFrame(points, columns=["method", "labelled fraction", "seed", "mean Dice"])

fig, ax = plt.subplots(figsize=(5, 2.6), layout="compressed")
lines = points.pivot_table(index="labelled fraction", columns="method", values="mean Dice")
figures.show_lines(lines[["cr", "supervised"]], ax, ylabel="mean Dice")
ax.scatter(points["labelled fraction"], points["mean Dice"], s=10, color="0.4", zorder=3)
ax.set(xlim=(0, None), ylim=(0, 1))
show(
    fig,
    alt="Mean Dice against the labelled fraction, for CR and for supervised training at equal computation.",
)
lines.round(2)

# %% [markdown]
# Both lose a few hundredths, and which loses more by a hundredth is within the noise of single runs (section
# 11): one seed does not decide it.
#
# If the lines are nearly flat, you have found out something: at this budget *labels are not what is
# missing*. A network that has seen a few hundred patches is short of steps, and a third image of a kind
# would not have been news. Semi-supervised learning answers a scarcity of labels, so it can only be tried
# where labels are scarce **and** training is long. The profile `gpu` has more points; the profile `full`
# more steps and seeds.
#
# ## 11 · The paper's negative result
#
# Table 4 of the paper, 900 training and 100 validation images, ResNet50, one training each. CR* is
# described in half a sentence: CR "directly added to the classification loss". The kit reads it as: only
# the two cross entropies, without the L2 of the distances, on **every** image of the batch, labelled ones
# too.

# %%
paper = pd.DataFrame(
    {
        "mean Dice": [0.7499, 0.7443, 0.7403],
        "F1_ori": [0.7310, 0.7075, 0.7101],
        "F1": [0.8309, 0.8217, 0.8243],
    },
    index=["MAUNet-R50", "with CR", "with CR*"],
)
print(
    "CR* of our three pixels:",
    round(float(classification_consistency(outputs[0].logits, outputs[1].logits)), 3),
)
_, cr_star = run("cr-star", method="cr*")
record("mean Dice, CR*", round(float(cr_star["class_dice"].mean()), 3))
(paper - paper.loc["MAUNet-R50"]).round(4)

# %% [markdown]
# Six differences, all negative, and the authors draw the honest conclusion: they leave CR out. How strong
# is the evidence?
#
# - **One training each.** Another seed would have given other numbers. How other, the table does not say.
# - **Not at an equal budget**, in none of the three meanings. In hours CR had the larger budget and still
#   lost.
# - **No number for rare data**, although the text blames it. That would take a table by modality.
# - **A pattern.** Mean Dice loses half a point, F1_ori more than two points, F1 one. F1_ori counts
#   connected pieces of interior: it needs the boundary class to keep cells apart, while the full
#   post-processing can lean on the distance field. It would fit pseudo labels that neglect a thin class
#   (section 8). It fits, and is not proved by it.
#
# So what would convince you? Not a minute of training: **our runs say nothing about a run of 36 hours.**
# The networks here are barely past noise, whereas most of the paper's training happens with good labels.
# What carries over is the way to ask. Differences between two trainings mean something in comparison with
# the differences between two *seeds*.
#
# ### Exercise 04.4 · evidence (hard)
#
# Take the scores of two methods, arrays of equal length in which position k had the same seed. Return the
# mean gain of the first over the second, and its standard error.


# %%
def gain(cr, supervised):
    raise NotImplementedError


exercises.check("04.4", gain)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Subtract seed by seed first. Runs of one seed share initial weights and labelled images, so what they have
# in common cancels.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def gain(cr, supervised):
    gains = cr - supervised
    return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))


exercises.check("04.4", gain)

# %% [markdown]
# Mean Dice of five trainings of each kind, made beforehand with the cells of sections 5 and 9, 80 steps of CR
# with batches of 8, seeds 0 to 4. **Predict, then run.** Over which rival is the verdict clear?

# %%
seeds = pd.DataFrame(
    {
        "CR": [0.327, 0.341, 0.301, 0.319, 0.257],
        "control": [0.350, 0.298, 0.374, 0.325, 0.307],
        "supervised, equal computation": [0.533, 0.441, 0.497, 0.518, 0.464],
    }
).rename_axis("seed")
for rival in ("control", "supervised, equal computation"):
    mean, error = gain(seeds["CR"].to_numpy(), seeds[rival].to_numpy())
    print(f"CR against {rival}: {mean:+.3f} ± {error:.3f}, {abs(mean) / error:.1f} standard errors")
spread = seeds["CR"].std()
claim = paper.loc["MAUNet-R50", "mean Dice"] - paper.loc["with CR", "mean Dice"]
print(f"two single runs of CR differ by about {spread * np.sqrt(2):.3f} in mean Dice")
print(f"the paper's CR and base differ by     {claim:.3f} in mean Dice")
seeds

# %% [markdown]
# A rule of thumb: below two standard errors, nothing has been shown. (With five seeds rather ask for
# three.) Against supervised training at equal computation the verdict is clear, in this tiny setting.
# Against the control, which isolates consistency itself, it is open: one seed says one thing, the next
# another. The last two lines are the question to put to the paper: is its difference larger than what a new
# seed would do? For a training of 36 hours the spread is smaller than for one of a minute, and how small
# only repeated runs can tell.
#
# ## Quality control
#
# Four things to watch in any training on pseudo labels. None of them needs hidden truth but the second, and
# for that you can hide a few labels on purpose, as we did.
#
# | question | look at | alarm |
# |---|---|---|
# | Do the networks still differ? | `agreement` in `log.csv` | near 1 within a few steps |
# | Are the labels right, by modality? | `pseudo_accuracy_…` in `log.csv` | one modality stays behind |
# | Are classes lost? | class shares of pseudo labels and of true labels | a share halves or doubles |
# | Is it worth it? | supervised training at an equal budget, several seeds | gain below two standard errors |
#
# The third one, as a check that you can take to your own project:

# %%
ratio = shares.iloc[1] / shares.iloc[0]
for name, value in ratio.items():
    verdict = "fine" if 0.5 < value < 2 else "ALARM"
    print(f"{name:11s} {value:5.2f} times as frequent in the pseudo labels as in the true ones: {verdict}")

# %% [markdown]
# ## Recap
#
# You have
#
# 1. made pseudo labels, an argmax without the proxy and without gradient, and computed equation 3 by hand,
# 2. watched the surer network win, be it right or wrong: confirmation bias,
# 3. trained with CR, and seen that two networks share most of their errors,
# 4. told agreement from accuracy, and learned how a swap separates rare from hard,
# 5. compared at an equal budget, and seen three meanings of "equal" give different verdicts,
# 6. swept the labelled fraction, and learned when a flat line means "too short" and not "no effect",
# 7. judged the paper's negative result: one training each, no numbers by modality; what would convince is a
#    gain of several standard errors over seeds, at a budget named beforehand.
#
# ## On your own
#
# - *Easy.* Run the notebook with `RARE_IMAGES = 12`, so that nothing is rare. What is left of the table in
#   section 8?
# - *Medium.* Train with `consistency_weight=0.3`. Which of the alarms goes off, and which score gains? Use
#   three seeds.
# - *Hard.* Give `Consistency.loss` in `maunet_lite/training/consistency.py` your ramp of exercise 04.3. It
#   has to know the step: count its calls. From section 7, choose the length. Does the boundary survive?
#
# ## Further reading
#
# - Paper: 2.2.4 and Fig. 3 (CR), 2.2.5 with equations 3 and 4, Table 3 (protocol), Table 4 and the text
#   below it (the negative result), 4.5 (limitations).
# - `maunet_lite/training/consistency.py` and `loop.py`: what you have just trained with.
# - Chen and others, *Semi-supervised semantic segmentation with cross pseudo supervision*, CVPR 2021: the
#   method that the paper took over.
# - Laine and Aila, *Temporal ensembling for semi-supervised learning*, ICLR 2017: the ramp.
# - Arazo and others, *Pseudo-labeling and confirmation bias in deep semi-supervised learning*, IJCNN 2020.
# - Oliver and others, *Realistic evaluation of deep semi-supervised learning algorithms*, NeurIPS 2018:
#   equal budgets, spread over seeds, and how often gains vanish.
# - Notebook 06: how to score honestly. Notebook 03: modalities in feature space, where rare ones lie.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("04")
