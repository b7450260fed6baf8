# %% [markdown]
# # 02 · Build the model
#
# You put MAUNet together from parts you can draw on a blackboard, account for every one of its parameters,
# and teach it to find cells.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.network import describe
from maunet_lite.network import draw
from maunet_lite.course import exercises, record, show

show(
    draw("lite"),
    alt="Diagram of the network: an encoder on the left, skip connections, two decoders, and their heads.",
)

# %% [markdown]
# *The `lite` network of this kit, drawn from the model itself. The paper's Fig. 2 shows the large one; the
# parts are the same.*
#
# **You will**
#
# 1. follow an image through the network and say the shape at each station,
# 2. build a residual block and an upsampling block and prove them equal to the package's,
# 3. account for the parameters and multiply-adds of the paper's Table 2,
# 4. compute the losses by hand on a 4×4 image, and see why the published focal loss never falls below 0.123,
# 5. overfit one image, the sanity check of every new network, and then train for real, briefly.
#
# **You will learn** what an encoder, a decoder and a head are; what logits are; what the anti-ambiguity proxy
# changes in the arithmetic; how to tell a network that cannot learn from one that has not learned yet.
#
# **You need** notebook 01 (class map and distance field), a little PyTorch (`nn.Module`, a tensor's shape).
#
# **Time** 45 minutes to read; one to two minutes to run on two CPU cores.

# %% tags=["parameters"]
PROFILE = "quick"
RECIPE = "lite"  # of the training in section 7; "paper-supervised" is the paper's Table 2 …
PRESET = "lite"  # … its network …
DATA = "simulated"  # … and its images, a dataset's name or folder
STEPS = 160
OVERFIT_STEPS = 60
SEED = 0

# %%
from maunet_lite.training import seed_everything

rng = seed_everything(SEED)
model = ml.build_model("lite").eval()

# %% [markdown]
# ## 1 · An image's journey
#
# The **encoder** looks at the image at ever coarser scales: each stage halves height and width and finds more
# kinds of features. A pixel of the last stage has seen a large part of the image, but no longer knows where
# exactly things are. (Paper 2.2.1.)
#
# **Predict, then run.** An image of 64 × 96 pixels enters. The first stage halves the sides, and so does each
# of the four that follow. What is the shape of the last feature map?

# %%
image = ml.simulate("fluorescence", (64, 96), cell_diameter=20, rng=rng).image
x = torch.from_numpy(ml.normalize(image)).permute(2, 0, 1)[None]  # (H, W, 3) → (1, 3, H, W)
print("image ", tuple(x.shape))

with torch.no_grad():
    for stride, features in zip(model.encoder.strides, model.encoder(x), strict=True):
        print(f"stride {stride:2d}", tuple(features.shape))

# %% [markdown]
# The **decoders** go the other way: enlarge by two, join what the encoder knew at that scale (the *skip
# connection*: where things are), refine, repeat. MAUNet has two of them on the same skips. The
# **ambiguity-aware** decoder ends in class logits (paper 2.2.3), the **instance-aware** decoder in the
# distance field (paper 2.2.2).

# %%
with torch.no_grad():
    skips = model.skip_features(x)
    classes, distances = model.class_decoder(skips), model.distance_decoder(skips)
    logits, distance = model(x)
print("skips           ", [tuple(skip.shape[1:]) for skip in skips])
print("decoder features", tuple(classes.shape), tuple(distances.shape))
print("logits          ", tuple(logits.shape), "  distance", tuple(distance.shape))

# %% [markdown]
# Why do `lite`'s decoders stop at half resolution although the logits have full resolution? Its heads predict
# the four pixels under each coarse pixel at once and unfold them (`SubpixelHead` in `blocks.py`, eight
# lines). Full resolution is where a CPU would spend most of its time. The paper's networks do go up to full
# resolution.
#
# The network insists on sides that are multiples of its largest stride, and says so:

# %%
try:
    model(torch.zeros(1, 3, 50, 70))
except ValueError as error:
    print(error)

# %% [markdown]
# ## 2 · The two blocks everything is made of
#
# A **residual block** adds what it computes to what it was given, so that doing nothing is easy. Here it is
# with plain functions, for a block whose number of channels does not change.

# %%
import torch.nn.functional as F
from maunet_lite.network import ResidualBlock

block = ResidualBlock(8, 8, norm="instance").eval()


def residual_block(x, first, second):
    out = F.leaky_relu(F.instance_norm(F.conv2d(x, first, padding=1)), 0.01)
    out = F.instance_norm(F.conv2d(out, second, padding=1))
    return F.leaky_relu(out + x, 0.01)


sample = torch.randn(1, 8, 16, 24)
with torch.no_grad():
    by_hand = residual_block(sample, block.conv1.weight, block.conv2.weight)
    assert torch.allclose(by_hand, block(sample), atol=1e-5)
print("equal to maunet_lite.network.ResidualBlock")

# %% [markdown]
# ### Exercise 02.1 · the upsampling block (easy)
#
# `UpBlock(deep, fine)` enlarges by a transposed convolution (`up`), joins the skip connection along the
# channels, and applies a residual block (`block`). Write its `forward` as a function of the module's parts.


# %%
def up_block(x, skip, up, block):
    raise NotImplementedError


exercises.check("02.1", up_block)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Enlarge first: only then does `x` have the skip's height and width. The package puts the enlarged features
# before the skip.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def up_block(x, skip, up, block):
    return block(torch.cat([up(x), skip], dim=1))


exercises.check("02.1", up_block)

# %% [markdown]
# ## 3 · Every parameter accounted for
#
# A 3×3 convolution from 64 to 128 channels has 3·3·64·128 weights, and does as many multiply-adds *per output
# pixel*. That is all the arithmetic there is. Paper Table 2 says 39.40 million parameters for the ResNet50
# network and about 10 billion multiply-adds for an image of 224 × 224.
#
# **Predict, then run.** Where are most of the parameters, in the encoder or in the decoders? And most of the
# multiply-adds?

# %%
table = describe("paper-r50")
table.assign(  # in millions, and the shares of all
    parameters=(table["parameters"] / 1e6).round(2),
    multiply_adds=(table["multiply_adds"] / 1e6).round().astype(int),
    parameters_share=(100 * table["parameters"] / table["parameters"].iloc[-1]).round().astype(int),
    multiply_adds_share=(100 * table["multiply_adds"] / table["multiply_adds"].iloc[-1]).round().astype(int),
)

# %%
paper = ml.build_model("paper-r50")
parameters = sum(p.numel() for p in paper.parameters())
record("parameters of paper-r50", parameters)
assert parameters == 39_403_021

# %% [markdown]
# (In millions; shares in per cent.) The parameters are where channels are many and pixels few: in the encoder
# and in the deepest skips. The two decoders hold a tenth of them, and yet do a third of the multiply-adds:
# half of that work is done in their last blocks, at full resolution. Who wants a faster network looks there.
#
# ### Exercise 02.2 · the price of the proxy (easy)
#
# The anti-ambiguity proxy is one more output channel of the class head: a 1×1 convolution with bias on 24
# features. How many parameters does it cost in `paper-r50`?

# %%
answer = None

exercises.check("02.2", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# 24 weights and one bias: 25. Compare `ml.build_model("paper-r50", proxy=False)`.
#
# </details>

# %% tags=["solution"] jupyter={"source_hidden": true}
without = ml.build_model("paper-r50", proxy=False)
answer = parameters - sum(p.numel() for p in without.parameters())

exercises.check("02.2", answer)

# %% [markdown]
# ## 4 · Logits, probabilities, and a class nobody belongs to
#
# The head returns **logits**: any real numbers. `softmax` turns them into probabilities. Losses take logits,
# because log(softmax(x)) can be computed without rounding trouble, and log of an already rounded probability
# cannot.
#
# Now the proxy. It takes part in the softmax and is never right. Look at one ambiguous pixel:

# %%
pixel = torch.tensor([1.0, 1.2, 0.1])  # background, interior, boundary
for proxy in (-3.0, 1.0, 3.0):
    p = torch.cat([pixel, torch.tensor([proxy])]).softmax(0)
    ratio = p[1] / p[0]
    print(
        f"proxy logit {proxy:4.1f}: probabilities {np.round(p.numpy(), 2)}, interior : background {ratio:.2f}"
    )

# %% [markdown]
# The proxy does not change which class wins: the ratio between the others stays. It changes the *loss*: where
# the proxy's logit is high, the true class has little probability, so the pixel costs more and pulls harder.
# There are two ways to lower that logit: features can move away from the proxy's weight vector, in every
# modality alike, or the proxy's own weights and bias can move away from the features. The first is the
# paper's idea (2.2.3, Fig. 1c); notebook 03 measures what happens.
#
# ## 5 · The loss, by hand
#
# Equation 1 is Dice plus focal loss. Four by four pixels are enough to compute both by hand.

# %%
from maunet_lite.training import losses

truth = torch.tensor([[0, 0, 2, 2], [0, 2, 1, 1], [0, 2, 1, 1], [0, 0, 2, 2]])[None]  # (1, 4, 4)
guess = 2.0 * losses.one_hot(truth, 3)  # right everywhere, and rather sure
p_true = float(np.exp(2) / (np.exp(2) + 2))  # probability of the true class in each pixel
p_other = (1 - p_true) / 2

focal = (1 - p_true) ** 2 * -np.log(p_true)
counts = np.array([6, 4, 6])  # pixels of each class
overlap, total = counts * p_true, counts * p_true + (16 - counts) * p_other + counts
dice = np.mean(1 - (2 * overlap + 1) / (total + 1))

print(f"by hand: focal {focal:.4f}, Dice {dice:.4f}")
print(f"package: focal {losses.focal_loss(guess, truth):.4f}, Dice {losses.dice_loss(guess, truth):.4f}")
assert np.isclose(focal, losses.focal_loss(guess, truth))
assert np.isclose(dice, losses.dice_loss(guess, truth))

# %% [markdown]
# Focal loss is cross entropy with a factor (1 − p)² that switches off pixels which are right already. Dice
# compares areas, so that a small class counts as much as a large one.
#
# **Predict, then run.** The published code computes the focal term in another way: softmax first, and the
# *probabilities* go into a focal loss that expects logits and applies a sigmoid. What is the smallest value
# this can reach, for a perfect prediction?

# %%
sureness = np.linspace(0, 12, 60)
curves = {"softmax focal (here)": losses.focal_loss, "published variant": losses.authors_classification_loss}
values = {
    name: [float(loss(s * losses.one_hot(truth, 3), truth)) for s in sureness]
    for name, loss in curves.items()
}
values["published variant"] -= np.array(
    [float(losses.dice_loss(s * losses.one_hot(truth, 3), truth)) for s in sureness]
)

fig, ax = plt.subplots(figsize=(6, 3))
for name, value in values.items():
    ax.plot(sureness, value, label=name)
ax.axhline(0.123, color="0.6", lw=0.8, ls=":")
ax.set(xlabel="logit of the true class (the others are 0)", ylabel="focal term", ylim=(0, 0.5))
ax.legend(frameon=False)
show(
    fig,
    alt="Focal loss against sureness: the softmax form falls to zero, the published one levels off at 0.123.",
)

# %% [markdown]
# sigmoid(0) is 0.5, not 0, and sigmoid(1) is 0.73, not 1. So a perfect prediction still costs 0.123. Worse,
# the whole curve is nearly flat. How strongly does each term pull where the network knows nothing yet, all
# logits 0?

# %%
unsure = torch.zeros(1, 3, 4, 4, requires_grad=True)
dice = losses.dice_loss(unsure, truth)
terms = {
    "softmax focal": losses.focal_loss(unsure, truth),
    "published variant": losses.authors_classification_loss(unsure, truth) - dice,  # its focal term alone
}
pulls = {
    name: float(torch.autograd.grad(term, unsure, retain_graph=True)[0].abs().max())
    for name, term in terms.items()
}
for name, pull in pulls.items():
    print(f"largest gradient of the {name}: {pull:.4f}")
print(f"ratio: {pulls['softmax focal'] / pulls['published variant']:.0f}")

# %% [markdown]
# A thirteenth: the published term teaches little where there is most to learn. Training works nevertheless,
# thanks to Dice. It is a good example of a bug that no score reveals; a test that asks for *zero at a perfect
# prediction* finds it in a second.
#
# The distance field has a loss of its own (equation 2): the mean absolute error inside cells plus that
# outside. Each half is averaged by itself, so that a few cells on a large background are not drowned.

# %%
target = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.8, 1.0, 0.0]])[None, None]
guess = torch.full_like(target, 0.1)
print(f"inside {(0.7 + 0.9) / 2:.2f} + outside {0.1:.2f} = {losses.distance_loss(guess, target):.2f}")

# %% [markdown]
# ## 6 · Can it learn at all? Overfit one image
#
# Before any long training: can the network learn a *single* image by heart? If not, something is broken, and
# more data will not mend it. If yes, it proves that data, loss and optimiser fit together, and nothing more.

# %%
one = ml.simulate("fluorescence", (128, 128), cell_diameter=24, rng=np.random.default_rng(SEED))
targets = ml.make_targets(one.labels)
x = torch.from_numpy(ml.normalize(one.image)).permute(2, 0, 1)[None]
y = torch.from_numpy(targets.classes.astype(np.int64))[None]
d = torch.from_numpy(targets.distance)[None, None]

seed_everything(SEED)
learner = ml.build_model("lite")
optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
history = []
for _ in range(OVERFIT_STEPS):
    parts = losses.supervised_loss(learner(x), y, d)
    optimizer.zero_grad()
    parts["loss"].backward()
    optimizer.step()
    history.append({name: float(value.detach()) for name, value in parts.items()})
record("loss after overfitting one image", history[-1]["loss"])

# %%
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), width_ratios=(1.4, 1, 1))
for name in ("dice", "focal", "distance"):
    axes[0].plot([step[name] for step in history], label=name)
axes[0].set(xlabel="step", ylabel="loss")
axes[0].legend(frameon=False)
with torch.no_grad():
    shown = learner(x).logits[0, :3].argmax(0).numpy()
figures.show_classes(targets.classes, ax=axes[1], title="truth")
axes[1].get_legend().remove()
figures.show_classes(shown, ax=axes[2], title="learned by heart")
show(
    fig,
    alt="Loss parts falling over the steps; the true class map and the learned one.",
)

# %% [markdown]
# The class map on the right is nearly the truth, yet Dice is still falling. It asks the network to be *sure*
# in each pixel, not only right, and certainty takes longer.
#
# ### Exercise 02.3 · what the sanity check proves (easy)
#
# A network reaches a loss near 0 on one training image and F1 = 0.1 on new images. Which statement is right?
# Set `answer` to the letter. **a** The loss function is wrong. **b** Data, loss and optimiser fit together;
# it may simply have seen too little. **c** The network is too small.

# %%
answer = None

exercises.check("02.3", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# b. A network that can learn an image by heart is large enough for it, and its loss leads somewhere. What it
# knows about *other* images is another question. Perhaps it has seen too few; perhaps new images are scaled
# in another way than those it learned from (notebook 01, section 3).
#
# </details>

# %% tags=["solution"] jupyter={"source_hidden": true}
answer = "b"

exercises.check("02.3", answer)

# %% [markdown]
# ## 7 · A short training, through the real code
#
# `train` is the loop that also made the shipped weights: patches drawn at random from a dataset, augmented as
# in paper 3.2.2, AdamW, validation, checkpoints that survive Ctrl-C. Here it runs for a very short time on
# simulated images. Do not expect much: the shipped weights took thousands of steps.

# %%
import tempfile
from pathlib import Path

from maunet_lite.training import recipe
from maunet_lite.training import train

folder = Path(tempfile.mkdtemp()) / "run"
config = recipe(RECIPE).override(data=DATA, out=str(folder), model=PRESET, steps=STEPS, seed=SEED)
if RECIPE == "lite":  # made for hours; this is a minute
    config = config.override(patch=128, warmup=10)
config = config.override(log_every=5, validate_every=0, validation_images=8)
result = train(config, progress=False)
print(f"{result.steps} steps, F1 on 8 validation images {result.best_score:.2f}")
record("F1 after the short training", result.best_score)

# %%
import pandas as pd

log = pd.read_csv(folder / "log.csv")
fig, ax = plt.subplots(figsize=(6, 2.8))
for part in ("loss", "dice", "focal", "distance"):
    ax.plot(log["step"], log[part], label=part)
ax.set(xlabel="step", ylabel="loss")
ax.legend(frameon=False)
show(fig, alt="The loss and its three parts, falling over the steps of the short training.")
print(f"{log['images_per_second'].mean():.0f} images/s, {log['waiting_share'].mean():.0%} waiting for data")

# %% [markdown]
# **Predict, then run.** The network you just trained and the shipped one, on an image that neither has seen.
# Where will the short training fail first: at finding cells, or at separating those that touch?

# %%
new = ml.simulate("fluorescence", (192, 192), cell_diameter=26, rng=np.random.default_rng(SEED + 7))
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9))
figures.overlay(new.image, new.labels, ax=axes[0], title="truth")
for ax, (name, network) in zip(
    axes[1:], {"trained here": result.best, "shipped": "lite"}.items(), strict=True
):
    found = ml.segment(new.image, model=network)
    figures.overlay(new.image, found, ax=ax, title=f"{name}, F1 {ml.match_cells(new.labels, found).f1:.2f}")
show(
    fig,
    alt="Truth, the result of the short training, and the result of the shipped weights on one new image.",
)

# %% [markdown]
# One image is not much to go by. Here are the cells of eight: *merged* ones share a prediction with their
# neighbours, *missed* ones have none, or none that fits.

# %%
from collections import Counter

from maunet_lite.evaluation import errors

seeds = [[SEED, 7, k] for k in range(8)]
crowds = [
    ml.simulate("fluorescence", (192, 192), cell_diameter=26, rng=np.random.default_rng(seed))
    for seed in seeds
]
for name, network in {"trained here": result.best, "shipped": "lite"}.items():
    kinds, network = Counter(), ml.load_model(network)
    for image, labels in crowds:
        kinds.update(errors(labels, ml.segment(image, model=network)).counts())
    print(f"{name:13s}", ", ".join(f"{count} {kind}" for kind, count in kinds.items()))

# %% [markdown]
# At separating: the short training merges many more cells than the shipped network, while the two miss about
# as many. To see cells is learned first, to tell where one ends takes longer.
#
# From here on the notebooks use the shipped weights, so that their figures say something about the method and
# not about a minute of training.
#
# ## Quality control
#
# Three questions to ask of any training, and where this kit answers them:
#
# | question | look at |
# |---|---|
# | Does the loss fall, each of its parts? | `log.csv`, `curve.png` in the run's folder |
# | Does the score on *other* images rise, in each modality? | `validation.csv`; a mean hides a bad modality |
# | What do the errors look like? | `samples.png`, then `maunet-lite evaluate` and notebook 06 |
#
# ## Recap
#
# You have
#
# 1. followed an image through encoder, skips, decoders and heads, and said each shape,
# 2. built the two blocks and proved them equal to the package's,
# 3. accounted for 39,403,021 parameters,
# 4. computed Dice, focal and distance loss by hand, and found the published focal term's floor at 0.123,
# 5. overfitted one image, trained briefly, and compared with the shipped weights.
#
# ## On your own
#
# - *Easy.* Build `lite` with `distance=False` and with `boundary=False`. How many parameters does each save?
# - *Medium.* Give MAUNet another encoder: `ml.build_model("paper-r50", encoder="resnet18")`. Describe it.
#   Where did the parameters go?
# - *Hard.* Overfit one image with `losses.authors_classification_loss` in place of Dice and softmax focal.
#   Does it take more steps to the same Dice? Repeat with three seeds before you answer.
#
# ## Further reading
#
# - Paper: 2.2 and Fig. 2 (the network), 2.2.5 with equations 1 and 2 (losses), Tables 1 and 2 (protocol).
# - `maunet_lite/network/maunet.py`, `blocks.py`, `losses.py`: what you have just rebuilt.
# - Notebook 03: what the proxy does to the features. Notebook 04: equations 3 and 4.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("02")
