# %% [markdown]
# # 02 · Build the model
#
# You build MAUNet from two blocks that fit on a blackboard, load the shipped weights into your own class, and
# train it with a loop that you wrote yourself.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.course import Slider, exercises, explorer, record, show
from maunet_lite.network import describe, draw

show(
    draw("lite"),
    alt="Diagram of the network: an encoder on the left, skip connections, two decoders, and their heads.",
    dpi=125,
)

# %% [markdown]
# *The `lite` network of this kit, drawn from the model itself. It has the parts of the paper's Fig. 2, and is
# smaller: an encoder of its own, fewer channels, decoders that stop at half resolution (section 1), and batch
# norm where the paper's skips and decoders have instance norm (section 3).*
#
# **You will**
#
# 1. follow a micrograph through the network and say the shape at each station,
# 2. build a residual block and an upsampling block and prove them equal to the package's and to MONAI's,
# 3. see what batch norm and instance norm cost,
# 4. assemble MAUNet, load the shipped weights into it and get the package's outputs,
# 5. account for the parameters and multiply-adds of the paper's Table 2,
# 6. move the proxy's logit and watch the gradient,
# 7. compute each loss by hand on 4×4 pixels, and find the floor of the published focal loss,
# 8. overfit one image, draw the augmentation, write the training loop, and follow its checkpoints.
#
# **You will learn** what an encoder, a decoder and a head are; what logits are; what the anti-ambiguity proxy
# changes in the arithmetic; how to tell a network that cannot learn from one that has not learned yet.
#
# **You need** notebook 01 (class map and distance field), a little PyTorch (`nn.Module`, a tensor's shape).
#
# **Time** 75 minutes to read and try; two minutes to run on two CPU cores, about one on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
RECIPE = "lite"  # of the trainings in sections 10 and 11; "paper-supervised" is the paper's Table 2 …
PRESET = "lite"  # … its network …
DATA = "simulated"  # … and its images, a dataset's name or folder
STEPS = 20
OVERFIT_STEPS = 60
LOOP_STEPS = 100  # of the loop that we write ourselves, with checkpoints
LOOKED_AT = 8  # validation images that each checkpoint is asked about
SEED = 0

# %%
from maunet_lite.training import seed_everything

rng = seed_everything(SEED)
model = ml.load_model("lite")  # the shipped weights, in evaluation mode

# %% [markdown]
# ## 1 · An image's journey
#
# The image below is a real micrograph: a section of human colon, stained brown for one protein and blue for
# nuclei. It comes with scikit-image; we enlarge a part of it to double size.
#
# The **encoder** looks at the image at ever coarser scales. Each stage halves height and width and finds more
# kinds of features. A pixel of the last stage has seen a large part of the image, but no longer knows where
# exactly things are (paper 2.2.1).
#
# **Predict, then run.** The cut-out has 256 × 384 pixels. The first stage halves the sides, and so does each
# of the four that follow. What is the shape of the last feature map?

# %%
from skimage.data import immunohistochemistry
from skimage.transform import rescale

micrograph = rescale(immunohistochemistry()[192:320, 160:352], 2, channel_axis=-1)  # nuclei: 20 pixels
scaled = ml.normalize(micrograph, model.config.intensity)  # as the network's training did
x = torch.from_numpy(scaled).permute(2, 0, 1)[None]  # (H, W, 3) → (1, 3, H, W)
with torch.no_grad():
    stages = model.encoder(x)

fig, axes = plt.subplots(2, 3, figsize=(9, 4.6), layout="compressed")
figures.show_image(micrograph, axes.flat[0], "image, (3, 256, 384)")
for ax, stride, features in zip(axes.flat[1:], model.encoder.strides, stages, strict=True):
    _, channels, height, width = features.shape
    activity = features[0].abs().mean(dim=0)  # over all channels, (H / stride, W / stride)
    figures.show_distance(activity, ax, f"stride {stride}, ({channels}, {height}, {width})", True, False)
show(
    fig,
    alt="A stained section, and the mean activity of each of the five encoder stages: the first shows edges, "
    "the last a few coarse squares.",
    dpi=120,
)

# %% [markdown]
# The last map is 192 × 8 × 12: a 32nd of each side, and 192 numbers where the image had three.
#
# The **decoders** go the other way. They enlarge by two, join what the encoder knew at that scale (the *skip
# connection*: where things are), refine, and repeat. MAUNet has two of them on the same skips. The
# **ambiguity-aware** decoder ends in class logits (paper 2.2.3), the **instance-aware** decoder in the
# distance field (paper 2.2.2).

# %%
from maunet_lite.postprocessing import Maps
from maunet_lite.postprocessing import segment as cells_from

with torch.no_grad():
    skips = model.skip_features(x)
    classes, distances = model.class_decoder(skips), model.distance_decoder(skips)
    logits, distance = model(x)
print("skips           ", [tuple(skip.shape[1:]) for skip in skips])
print("decoder features", tuple(classes.shape), tuple(distances.shape))
print("logits          ", tuple(logits.shape), "  distance", tuple(distance.shape))

maps = Maps(logits.softmax(dim=1)[0].numpy(), distance[0, 0].numpy())
fig, axes = plt.subplots(1, 3, figsize=(9, 2.3), layout="compressed")
figures.show_classes(logits[0, :3].argmax(0).numpy(), axes[0], "most probable class", key=False)
figures.show_distance(distance[0, 0], axes[1], "distance field", bar=False)
figures.overlay(micrograph, cells_from(maps).labels, axes[2], "cells made of both")
show(
    fig,
    alt="The two outputs for the stained section, class map and distance field, and the outlined cells.",
    dpi=120,
)

# %% [markdown]
# *Classes: black background, blue interior, orange boundary.* Compare the last panel with the image above:
# which blue nuclei are missed, and what is outlined that is none? A network is only as good as the images
# that it learned from; notebook 08 adapts it to others.
#
# `lite`'s decoders stop at half resolution, and yet the logits have full resolution. Its heads predict the
# four pixels under each coarse pixel at once and unfold them (*pixel shuffle*). Full resolution is where a
# CPU would spend most of its time. The paper's networks do go up to full resolution.
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
# A **residual block** adds what it computes to what it was given, so that doing nothing is easy. Where the
# number of channels changes, a 1×1 convolution adapts the input before the sum.


# %%
class Residual(nn.Module):
    def __init__(self, before, after, norm, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = norm(after)
        if adapt := before != after or stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), norm(after))
        self.adapt = adapt

    def forward(self, x):  # (B, before, H, W) → (B, after, H / stride, W / stride)
        out = F.leaky_relu(self.norm1(self.conv1(x)), 0.01)
        out = self.norm2(self.conv2(out))
        return F.leaky_relu(out + (self.shortcut(x) if self.adapt else x), 0.01)


# %% [markdown]
# Is it right? Give the package's block and MONAI's the same weights and compare. MONAI wrote the blocks that
# the authors used.

# %%
from monai.networks.blocks import UnetrBasicBlock
from maunet_lite.network import ResidualBlock


def with_weights_of(source, target):
    """Copy all weights in their order: the three blocks name them differently."""
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))
    return target


mine = Residual(3, 8, nn.InstanceNorm2d)
package = with_weights_of(mine, ResidualBlock(3, 8, norm="instance"))
monai = with_weights_of(
    mine, UnetrBasicBlock(2, 3, 8, kernel_size=3, stride=1, norm_name="instance", res_block=True)
)
with torch.no_grad():
    assert torch.allclose(mine(x), package(x), atol=1e-5)
    assert torch.allclose(mine(x), monai(x), atol=1e-5)
print("equal to maunet_lite.network.ResidualBlock and to monai.networks.blocks.UnetrBasicBlock")

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
def up_block_solution(x, skip, up, block):
    return block(torch.cat([up(x), skip], dim=1))


exercises.check("02.1", up_block_solution)

# %% [markdown]
# ## 3 · Batch norm beside instance norm
#
# Between convolution and activation stands a normalisation: subtract a mean, divide by a standard deviation.
# The two kinds differ in the pixels over which these are taken.

# %%
sample = 5 + 2 * torch.randn(4, 3, 16, 24)  # four images, three channels


def standardized(x, axes):
    variance, mean = torch.var_mean(x, dim=axes, keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt()


assert torch.allclose(standardized(sample, (2, 3)), nn.InstanceNorm2d(3)(sample), atol=1e-5)  # each image
assert torch.allclose(
    standardized(sample, (0, 2, 3)), nn.BatchNorm2d(3)(sample), atol=1e-5
)  # the whole batch

# %% [markdown]
# In training, batch norm couples the images of a batch: change one and the others change. At inference there
# is no batch. The layer uses running means that it kept from training, so its result for a pixel depends on
# that pixel alone. Instance norm always looks at the whole window.
#
# **Predict, then run.** We cut off the right half of the micrograph. For which norm do the leftmost ten
# columns of a block's output change?

# %%
left = x[..., : x.shape[-1] // 2]
for name, norm in {"instance norm": nn.InstanceNorm2d, "batch norm": nn.BatchNorm2d}.items():
    torch.manual_seed(SEED)
    block = Residual(3, 8, norm)
    block(x)  # one pass in training mode fills the running means
    block.eval()
    with torch.no_grad():
        change = (block(x)[..., :10] - block(left)[..., :10]).abs().max()
    print(f"{name}: {sum(p.numel() for p in block.parameters())} parameters, change {float(change):.4f}")

# %% [markdown]
# With instance norm they change, although nothing near them has. A network with instance norm therefore sees
# the same cell differently in windows of different content. With batch norm they stay.
#
# Batch norm pays with two learned numbers per channel. At inference it costs nothing: a fixed mean and a
# fixed factor can be multiplied into the convolution before it. `fold_batch_norm` does so; `ml.load_model`
# leaves the choice to you. Here is the price of each on this machine, and the F1 that each reached in a
# training of two and a half minutes on real images.

# %%
from copy import deepcopy
from timeit import repeat

from maunet_lite.course.figures.ablation import results
from maunet_lite.network import fold_batch_norm

variants = {"batch norm": ml.build_model("lite").eval()}
variants["batch norm, folded"] = fold_batch_norm(deepcopy(variants["batch norm"]))
variants["instance norm"] = ml.build_model("lite", norm="instance").eval()
wide = x.contiguous(memory_format=torch.channels_last)
rows = {}
for name, network in variants.items():
    network.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        seconds = min(repeat(lambda network=network: network(wide), number=1, repeat=3))
    parameters = sum(p.numel() for p in network.parameters())
    rows[name] = {"parameters": f"{parameters:,}", "ms for this image": round(1000 * seconds)}

measured = pd.read_csv(results("lite_candidates.csv")).set_index("candidate")
for name, candidate in (("batch norm", "lite"), ("instance norm", "instance-norm")):
    rows[name] |= {"F1 after 2.5 minutes": measured.loc[candidate, "f1_all"]}
ratio = rows["instance norm"]["ms for this image"] / rows["batch norm, folded"]["ms for this image"]
print(f"on this machine, now: instance norm takes {ratio:.2f} times as long as folded batch norm")
pd.DataFrame.from_dict(rows, orient="index", dtype=object).fillna("–")

# %% [markdown]
# (The F1 are from `benchmarks/candidates.py`, one seed.) In a training of minutes on a CPU batch norm learned
# faster, so `lite` has it. The paper trains for hours, with instance norm; this table does not speak of that.
#
# ## 4 · Assemble MAUNet
#
# You have all the parts. The encoder is a chain of residual blocks; each output is a *tap* that a skip block
# receives. A decoder climbs from the deepest skip to the finest. Two decoders, two heads, and one channel
# more for the proxy: that is MAUNet.


# %%
class Up(nn.Module):
    def __init__(self, deep, fine, norm):
        super().__init__()
        self.up = nn.ConvTranspose2d(deep, fine, 2, stride=2, bias=False)
        self.block = Residual(2 * fine, fine, norm)

    def forward(self, x, skip):
        return self.block(torch.cat([self.up(x), skip], dim=1))


class Encoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(channels[0]), nn.LeakyReLU(0.01))
        pairs = zip(channels[:-1], channels[1:], strict=True)
        self.stages = nn.ModuleList(nn.Sequential(Residual(*pair, nn.BatchNorm2d, 2)) for pair in pairs)

    def forward(self, x):
        taps = [self.stem(x)]  # half resolution
        for stage in self.stages:
            taps.append(stage(taps[-1]))  # half of the one before
        return taps


# %%
class Decoder(nn.Module):
    def __init__(self, widths, norm):
        super().__init__()
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.blocks = nn.ModuleList(Up(deep, fine, norm) for fine, deep in reversed(list(pairs)))

    def forward(self, skips):
        x = skips[-1]
        for block, skip in zip(self.blocks, skips[-2::-1], strict=True):
            x = block(x, skip)
        return x


class Head(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * outputs, 1)  # four pixels under each coarse one

    def forward(self, x):
        return F.pixel_shuffle(self.conv(x), 2)


# %%
class MyMAUNet(nn.Module):
    def __init__(self, channels=(24, 48, 96, 144, 192), widths=(16, 32, 64, 96, 128), norm=nn.BatchNorm2d):
        super().__init__()
        self.encoder = Encoder(channels)
        pairs = zip(channels, widths, strict=True)
        self.skips = nn.ModuleList(Residual(channel, width, norm) for channel, width in pairs)
        self.class_decoder, self.distance_decoder = Decoder(widths, norm), Decoder(widths, norm)
        self.class_head = Head(widths[0], 3 + 1)  # background, interior, boundary + the proxy
        self.distance_head = Head(widths[0], 1)

    def forward(self, x):
        skips = [skip(tap) for skip, tap in zip(self.skips, self.encoder(x), strict=True)]
        logits = self.class_head(self.class_decoder(skips))
        distance = self.distance_head(self.distance_decoder(skips))
        return logits, distance


# %% [markdown]
# Its parts bear the names that the package uses, so the shipped weights fit, each tensor in its place.
#
# **Predict, then run.** Will the outputs be equal?

# %%
mine = MyMAUNet().eval()
mine.load_state_dict(model.state_dict())  # strict: a missing or a spare weight would be an error
with torch.no_grad():
    my_logits, my_distance = mine(x)
assert torch.allclose(my_logits, logits, atol=1e-4)
assert torch.allclose(my_distance, distance, atol=1e-4)
difference = float((my_logits - logits).abs().max())
print(f"largest difference of a logit: {difference:.1e}")
record("parameters of lite", sum(p.numel() for p in mine.parameters()))

# %% [markdown]
# Equal: MAUNet is these five classes. The package's `maunet_lite/network/maunet.py` does the same from lists
# of channels and strides, so that any encoder fits, and has a switch for each part that the paper leaves out
# in its ablation.
#
# ## 5 · Every parameter accounted for
#
# A 3×3 convolution from 64 to 128 channels has 3·3·64·128 weights, and does as many multiply-adds *per output
# pixel*. That is nearly all the arithmetic there is. The paper's Table 2 gives 39.40 million parameters for
# the ResNet50 network.
#
# **Predict, then run.** Where are most of the parameters, in the encoder or in the decoders? And most of the
# multiply-adds?

# %%
table = describe("paper-r50")
table.assign(  # in millions, and the shares of all in per cent
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
ours, theirs = table["multiply_adds"].iloc[-1] / 1e9, 10.09
print(f"multiply-adds: {ours:.2f} G here, {theirs} G in Table 2, {theirs / ours - 1:.1%} more")

# %% [markdown]
# The parameters are where channels are many and pixels few: in the encoder and in the deepest skips. The two
# decoders hold a tenth of them and do a third of the multiply-adds. Half of that work is done in their last
# blocks, at full resolution. To make the network faster, begin there.
#
# Table 2 calls the multiply-adds *flops*, as its tool fvcore does, and names no image size. With 224 × 224,
# the usual size for this count, we come close to its number. What the rest is, the table does not tell.
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
answer_solution = parameters - sum(p.numel() for p in without.parameters())

exercises.check("02.2", answer_solution)

# %% [markdown]
# ## 6 · Logits, probabilities, and a class nobody belongs to
#
# The head returns **logits**: any real numbers. `softmax` turns them into probabilities. Losses take logits,
# because log(softmax(x)) can be computed without rounding trouble, and the log of a rounded probability
# cannot.
#
# The proxy takes part in the softmax and is never right. Look at one ambiguous pixel, an interior:

# %%
pixel = torch.tensor([1.0, 1.2, 0.1])  # background, interior, boundary
for proxy in (-3.0, 1.0, 3.0):
    p = torch.cat([pixel, torch.tensor([proxy])]).softmax(0)
    print(f"proxy logit {proxy:4.1f}: {np.round(p.numpy(), 2)}, interior : background {p[1] / p[0]:.2f}")

# %% [markdown]
# The ratio between the other classes stays: the proxy does not change which class wins. What does it change?
#
# **Predict, then move the slider.** A training step moves the logits against the gradient. Which of the four
# logits goes up? What happens to the size of the step as the proxy's logit grows?


# %%
def one_pixel(proxy=1.0):
    """Draw probabilities of a pixel, truly interior, and how cross entropy moves its logits."""
    z = torch.cat([pixel, torch.tensor([proxy])]).requires_grad_()
    loss = F.cross_entropy(z[None], torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, z)
    names, colors = ["background", "interior", "boundary", "proxy"], ["0.4", "0.4", "0.4", "#B00020"]
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="compressed")
    axes[0].bar(names, z.softmax(0).detach(), color=colors)
    axes[0].set(ylim=(0, 1), title=f"probabilities: the loss is {loss.item():.2f}")
    axes[1].bar(names, -gradient, color=colors)
    axes[1].axhline(0, color="black", lw=0.8)
    axes[1].set(ylim=(-1, 1), title="how the step moves each logit")
    return fig


explorer(
    one_pixel,
    proxy=Slider(1.0, -6.0, 6.0, 0.5, "logit of the proxy"),
    alt="Two bar charts for one pixel: the probabilities of four classes, and the step of each logit. Only "
    "the interior, the true class, goes up.",
    dpi=115,
)

# %% [markdown]
# Only the true class goes up. The higher the proxy's logit, the less probability is left for the truth: the
# pixel costs more and pulls harder. At −6 the proxy is gone, and the picture is that of three classes.
#
# There are two ways to lower the proxy's logit. Features can move away from the proxy's weight vector, in
# every modality alike; or the proxy's weights and bias can move away from the features. The first is the
# paper's idea (2.2.3, Fig. 1c). Notebook 03 measures what happens.
#
# ## 7 · The loss, by hand
#
# Equation 1 of the paper is the loss of the classes, a mean over images of Dice plus focal loss:
#
# $$L_{cls} = \frac{1}{N} \sum_{i=1}^{N} \left( L_{dice}(P_{cls}, Y_{cls}) + L_{focal}(P_{cls}, Y_{cls})
# \right)$$
#
# With $p_c$ the probability of class $c$ and $y_c$ its indicator, 1 where the class is true and 0 elsewhere,
#
# $$L_{dice} = \frac{1}{3} \sum_c \left( 1 - \frac{2 \sum p_c \, y_c + 1}{\sum p_c + \sum y_c + 1} \right),
# \qquad L_{focal} = \text{mean of } -(1 - p)^2 \log p \text{ of the true class.}$$
#
# **Dice** compares areas, so that a small class counts as much as a large one. The 1 above and below saves
# the image without a boundary: a prediction without one gives 1/1 there, and not 0/0. **Focal** loss is cross
# entropy with a factor $(1 - p)^2$. It switches off pixels that are right already.
#
# Equation 2 is the loss of the distance field, with the mask $M = 1$ inside cells:
#
# $$L_{reg} = \frac{1}{N} \sum_{i=1}^{N} \left( \frac{\| |Y - P| \cdot M \|_1}{\|M\|_1} + \frac{\| |Y - P|
# \cdot (1 - M) \|_1}{\|1 - M\|_1} \right)$$
#
# It is the mean error inside cells plus the mean error outside. Each half is averaged by itself, so that a
# few cells on a large background are not drowned. Four by four pixels are enough to compute all three by
# hand.

# %%
from monai.losses import DiceLoss, FocalLoss
from maunet_lite.training import losses

truth = torch.tensor([[0, 0, 2, 2], [0, 2, 1, 1], [0, 2, 1, 1], [0, 0, 2, 2]])[None]  # (1, 4, 4)
target = losses.one_hot(truth, 3)  # (1, 3, 4, 4)
guess = 2.0 * target  # logits: right everywhere, and rather sure
p_true = float(np.exp(2) / (np.exp(2) + 2))  # probability of the true class in each pixel
p_other = (1 - p_true) / 2
counts = np.array([6, 4, 6])  # pixels of each class
field = (truth == 1).float()[:, None]  # (1, 1, 4, 4): the distance field is 1 in four pixels, 0 in twelve …
field_guess = torch.full_like(field, 0.1)  # … and is said to be 0.1 everywhere

overlap, total = counts * p_true, counts * p_true + (16 - counts) * p_other + counts
by_hand = {
    "Dice": np.mean(1 - (2 * overlap + 1) / (total + 1)),
    "focal": (1 - p_true) ** 2 * -np.log(p_true),
    "distance": abs(1 - 0.1) + abs(0 - 0.1),
}

# %% [markdown]
# MONAI has Dice and focal loss. Its focal loss averages over the three channels as well, although only that
# of the true class counts: hence the factor. Equation 2 is two calls of PyTorch's L1.

# %%
inside, outside = field == 1, field == 0
library = {
    "Dice": DiceLoss(softmax=True, smooth_nr=1, smooth_dr=1)(guess, target),
    "focal": 3 * FocalLoss(gamma=2, use_softmax=True)(guess, target),
    "distance": F.l1_loss(field_guess[inside], field[inside])
    + F.l1_loss(field_guess[outside], field[outside]),
}
package = {
    "Dice": losses.dice_loss(guess, truth),
    "focal": losses.focal_loss(guess, truth),
    "distance": losses.distance_loss(field_guess, field),
}
table = pd.DataFrame({"by hand": by_hand, "MONAI, PyTorch": library, "package": package}).astype(float)
assert np.allclose(table.sub(table["by hand"], axis=0), 0, atol=1e-5)
table.round(4)

# %% [markdown]
# **Predict, then run.** The published code (`train.py` of github.com/Woof6/neurips22-cellseg_saltfish)
# computes the focal term in another way: softmax first, and the *probabilities* go into a focal loss that
# expects logits and applies a sigmoid. What is the smallest value this can reach, for a perfect prediction?

# %%
sureness = np.linspace(0, 12, 60)


def published_focal(logits, classes):
    return losses.authors_classification_loss(logits, classes) - losses.dice_loss(logits, classes)


terms = {"softmax focal (here)": losses.focal_loss, "published variant": published_focal}
fig, ax = plt.subplots(figsize=(9, 3.2), layout="compressed")
for name, term in terms.items():
    ax.plot(sureness, [float(term(s * target, truth)) for s in sureness], label=name)
ax.axhline(0.123, color="0.6", lw=0.8, ls=":")
ax.set(xlabel="logit of the true class (the others are 0)", ylabel="focal term", ylim=(0, 0.5))
ax.set_title("a prediction that becomes ever surer, and is right")
ax.legend(frameon=False)
floor = float(published_focal(50 * target, truth))
print(f"the published term at a perfect prediction: {floor:.3f}")
print("sigmoid of 0 and of 1:", torch.tensor([0.0, 1.0]).sigmoid().numpy().round(2))
assert round(floor, 3) == 0.123
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
pulls = {
    name: float(torch.autograd.grad(term(unsure, truth), unsure)[0].abs().max())
    for name, term in terms.items()
}
for name, pull in pulls.items():
    print(f"largest gradient of the {name}: {pull:.4f}")
ratio = pulls["softmax focal (here)"] / pulls["published variant"]
print(f"ratio: {ratio:.0f}")
assert round(ratio) == 13

# %% [markdown]
# A thirteenth: the published term teaches little where there is most to learn. Training works nevertheless,
# thanks to Dice. No score reveals such a bug. A test that asks for *zero at a perfect prediction* finds it in
# a second.
#
# ## 8 · Can it learn at all? Overfit one image
#
# Before any long training: can the network learn a *single* image by heart? If not, something is broken, and
# more data will not mend it. If yes, data, loss and optimiser fit together. It proves no more than that.

# %%
one = ml.simulate("fluorescence", (128, 128), cell_diameter=24, rng=np.random.default_rng(SEED))
targets = ml.make_targets(one.labels)
x1 = torch.from_numpy(ml.normalize(one.image)).permute(2, 0, 1)[None]
y1 = torch.from_numpy(targets.classes.astype(np.int64))[None]
d1 = torch.from_numpy(targets.distance)[None, None]

seed_everything(SEED)
learner = ml.build_model("lite")
optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
history = []
for _ in range(OVERFIT_STEPS):
    parts = losses.supervised_loss(learner(x1), y1, d1)
    optimizer.zero_grad()
    parts["loss"].backward()
    optimizer.step()
    history.append({name: float(value.detach()) for name, value in parts.items()})
record("loss after overfitting one image", history[-1]["loss"])

# %%
with torch.no_grad():
    shown = learner(x1).logits[0, :3].argmax(0).numpy()
fig, axes = plt.subplots(1, 4, figsize=(10.5, 2.8), width_ratios=(1.5, 1, 1, 1), layout="compressed")
curves = pd.DataFrame(history).rename_axis("step")[["dice", "focal", "distance"]]
figures.show_lines(curves, axes[0], title="loss on the one image")
figures.show_image(one.image, axes[1], "image (simulated)")
figures.show_classes(targets.classes, axes[2], "truth", key=False)
figures.show_classes(shown, axes[3], "learned by heart", key=False)
show(fig, alt="Loss parts falling over the steps; the image, its true class map and the learned one.")
last = curves.iloc[-1]
print(
    f"right class: {(shown == targets.classes).mean():.1%} of the pixels; Dice loss still {last['dice']:.2f}"
)

# %% [markdown]
# Nearly every pixel has the right class long before the Dice loss is near 0. Dice asks the network to be
# *sure* in each pixel, not only right, and certainty takes longer.
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
answer_solution = "b"

exercises.check("02.3", answer_solution)

# %% [markdown]
# ## 9 · What the network gets to see
#
# A network that always meets an image in the same form learns the form as well. **Augmentation** changes
# every patch at random: other sizes, other light, more noise. Labels follow the geometry and ignore the
# light. The recipe of the shipped weights is a MONAI `Compose`, and says what it does when it is printed.

# %%
from maunet_lite.preprocessing import PatchDataset, build_augmentation
from maunet_lite.training import recipe

data = ml.load_dataset("simulated").split("train")
augmentation = build_augmentation(recipe("lite").augmentation)
augmentation

# %% [markdown]
# Each step has a probability of its own, so most patches meet only a few of them. To see them all, we let
# each one act for certain, on the same patch of 128 pixels. Steps without a probability cut and convert. They
# lead to the first picture.


# %%
def always(step):
    """Return the step with its probability, if it has one, set to 1."""
    step = deepcopy(step)
    if hasattr(step, "prob"):
        step.prob = 1.0
    return step


def name_of(step):
    change = getattr(step, "change", None)
    kind = type(step).__name__.removeprefix("Rand").removesuffix("d").lower()  # RandTurnd: turn
    return getattr(change, "__name__", kind).replace("_", " ")


small = recipe("lite").override(patch=128).augmentation
patch = PatchDataset(data, 1, small, seed=SEED).images[0].open()
small = build_augmentation(small).set_random_state(SEED)
steps = small.transforms
chancy = [step for step in steps[1:] if hasattr(step, "prob")]  # the first cuts the patch out, always
for step in steps:
    patch = patch if step in chancy else step(dict(patch))
small.set_random_state(SEED + 1)
drawn = {"cut out": patch} | {name_of(step): always(step)(dict(patch)) for step in chancy}

# %%
columns = 5
rows = -(-len(drawn) // columns)
fig, axes = plt.subplots(rows, columns, figsize=(11, 2.5 * rows), layout="compressed", squeeze=False)
for ax in axes.flat:
    ax.axis("off")
for ax, (name, changed) in zip(axes.flat, drawn.items(), strict=False):
    pixels = np.clip(np.moveaxis(changed["image"], 0, -1), 0, 1)  # (C, H, W) → (H, W, C), grey or colour
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    ax.contour(changed["classes"][0] > 0, [0.5], colors="#E6007A", linewidths=0.8)
    ax.set_title(name, fontsize=9)
show(
    fig,
    alt="One simulated patch, and what each step of the augmentation makes of it. Outlines of the true cells "
    "follow flips and rotations and stay where only the light changes.",
)

# %% [markdown]
# *Magenta: the true cells. They move when the geometry changes and stay when the light does.*
#
# ## 10 · The training loop
#
# A training step has three parts: **sample** a batch, compute the **loss**, make a **step**. All else is
# book-keeping. We keep copies of the network on the way, for section 11.

# %%
import math
import tempfile
from pathlib import Path

from torch.utils.data import DataLoader
from maunet_lite.preprocessing import AugmentationConfig
from maunet_lite.training import build_network, train

folder = Path(tempfile.mkdtemp()) / "run"
config = recipe(RECIPE).override(data=DATA, out=str(folder), model=PRESET, steps=STEPS, seed=SEED)
if RECIPE == "lite":  # the recipe is made for hours; this takes a minute
    mild = AugmentationConfig(patch=128, zoom=(0.7, 1.4))
    config = config.override(augmentation=mild, warmup=10, learning_rate=4e-3)
config = config.override(log_every=1, validate_every=0, validation_images=8)

# %%
images = ml.load_dataset(config.data).split("train").labelled()
keep = {max(1, LOOP_STEPS * share // 100) for share in (5, 10, 20, 40, 70, 100)}
device = "cuda" if torch.cuda.is_available() else "cpu"
seed_everything(config.seed)
network = build_network(config).to(device)
optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
patches = PatchDataset(  # the same seed draws the same patches
    images, LOOP_STEPS * config.batch_size, config.augmentation, config.targets, config.seed, config.balance
)
history, snapshots = [], {}
for step, batch in enumerate(DataLoader(patches, config.batch_size), start=1):
    warm, done = min(1, step / max(1, config.warmup)), (step - 1) / LOOP_STEPS
    rate = config.learning_rate * warm * (1 + math.cos(math.pi * done)) / 2
    optimizer.param_groups[0]["lr"] = rate
    output = network(batch["image"].to(device))  # sample: images (B, 3, P, P) and their targets
    parts = losses.supervised_loss(output, batch["classes"].to(device), batch["distance"].to(device))
    optimizer.zero_grad()
    parts["loss"].backward()  # loss: how should each weight change?
    nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimizer.step()  # step: change it a little
    history.append(float(parts["loss"].detach()))
    if step in keep:
        snapshots[step] = deepcopy(network).cpu().eval()

# %% [markdown]
# `train` is the same loop with what a long training needs: a log, validation, checkpoints that survive
# Ctrl-C, several GPUs, mixed precision. It made the shipped weights. In a lesson it runs for a few steps;
# seed and patches are the same.
#
# **Predict, then run.** How far are its first losses from ours?

# %%
result = train(config, progress=False)
log = pd.read_csv(folder / "log.csv").set_index("step")
first = pd.DataFrame({"our loop": history[:3], "train": log["loss"].to_numpy()[:3]}, index=[1, 2, 3])
print(first.round(4).to_string())
assert np.allclose(first["our loop"], first["train"], rtol=0.03)

fig, ax = plt.subplots(figsize=(9, 3.0), layout="compressed")
ours = pd.Series(history, index=pd.RangeIndex(1, len(history) + 1, name="step"))
figures.show_lines({"our loop": ours, "train": log["loss"]}, ax, title="loss of each step", ylabel="loss")
show(fig, alt="The loss of our loop, falling over its steps, and that of train, on the same line at first.")
print(f"{log['images_per_second'].mean():.0f} images/s, {log['waiting_share'].mean():.0%} waiting for data")
print("files of the run:", ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file())))
record(f"F1 on validation images after {result.steps} steps of train", result.best_score)

# %% [markdown]
# Next to nothing: `train` keeps the channels of a tensor last in memory, which is faster on a CPU and rounds
# in another order; and its learning rate falls faster, since it has fewer steps to go.
#
# ## 11 · What is learned first?
#
# We follow **one** training. Its checkpoints look at the same validation images, so nothing differs between
# them but the number of steps. (Comparing two networks with different training images would not do: who could
# say whether the steps made the difference, or the images?)
#
# **Predict, then run.** Put in order of time: the network names most background pixels; most interior pixels;
# most boundary pixels; it finds cells, each separate from its neighbours.

# %%
from collections import Counter

from maunet_lite.evaluation import errors

validation = list(ml.load_dataset(config.data).split("val").labelled().select(range(LOOKED_AT)))
rows = {}
for step, network in snapshots.items():
    confusion, cells = np.zeros((3, 3)), Counter()
    for one in validation:
        true = ml.make_targets(one.labels).classes
        maps = ml.predict(network, one.image)
        named = maps.probabilities[:3].argmax(axis=0)
        np.add.at(confusion, (true.ravel(), named.ravel()), 1)
        cells.update(errors(one.labels, cells_from(maps).labels).counts())
    right = dict(zip(figures.CLASS_NAMES, confusion.diagonal() / confusion.sum(axis=1), strict=False))
    rows[step] = right | {kind: cells[kind] for kind in ("found", "merged", "split", "missed")}
course = pd.DataFrame(rows).T.rename_axis("step")
course.round(2)

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.1), layout="compressed")
parts = ["background", "interior", "boundary"]
figures.show_lines(course[parts], axes[0], title="pixels named rightly, by true class", ylabel="share")
total = course[["found", "merged", "split", "missed"]].sum(axis=1)
shares = course[["found", "merged", "split", "missed"]].div(total, axis=0)
figures.show_lines(shares, axes[1], title="what becomes of the true cells", ylabel="share", strong="found")
for ax in axes:
    ax.set_ylim(-0.02, 1.02)
show(
    fig,
    alt="Two diagrams over the steps of one training. Left, the share of background, interior and boundary "
    "pixels that are named rightly. Right, the shares of cells found, merged, split and missed.",
    dpi=120,
)
end = course.iloc[-1]
order = sorted(parts, key=lambda part: course[part].to_numpy().sum(), reverse=True)
print("best known over the training:", ", then ".join(order))
print(f"at the end: {end['found']:.0f} cells found, {end['merged']:.0f} merged, {end['missed']:.0f} missed")

# %% [markdown]
# *Merged* cells share a prediction with a neighbour; *missed* ones have none, or none that fits. In the very
# first steps one class wins everywhere, by chance. Then background is known first: most pixels belong to it,
# so it pays at once. The thin boundary comes last, and it is what keeps neighbours apart.
#
# Now the last checkpoint and the shipped weights on the real micrograph, in the way of section 1: the maps at
# the image's own size, and the cells of these. (With the shipped weights `ml.segment` first estimates how
# wide cells are and scales the image; it finds others.) Ours has seen several hundred simulated patches and
# no real image.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.7), layout="compressed")
for ax, (name, network) in zip(
    axes, {"trained above": snapshots[LOOP_STEPS], "shipped": model}.items(), strict=True
):
    found = cells_from(ml.predict(network, micrograph)).labels
    figures.overlay(micrograph, found, ax, f"{name}: {len(np.unique(found)) - 1} cells")
show(
    fig,
    alt="The stained section with the cells of the short training, and with those of the shipped weights.",
    dpi=120,
)

# %% [markdown]
# Neither is good on this tissue: both miss blue nuclei, join neighbours, and outline pieces of brown gland.
# The two counts are close, and they decide nothing, since a count does not ask whether a cell is right. A
# score against the truth does; it stands at the end of the next section.
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
# And one before all of them: is the network better than a method that needs no training? **Predict, then
# run.** Where does ours stand, after a minute, between Otsu's threshold with a watershed and the shipped
# weights?

# %%
from maunet_lite.evaluation import otsu_watershed

methods = {
    "Otsu + watershed": lambda image: otsu_watershed(image).labels,
    "trained above": lambda image: cells_from(ml.predict(snapshots[LOOP_STEPS], image)).labels,
    "shipped": lambda image: cells_from(ml.predict(model, image)).labels,
}
f1 = {
    name: np.mean([ml.match_cells(one.labels, method(one.image)).f1 for one in validation])
    for name, method in methods.items()
}
for name, value in sorted(f1.items(), key=lambda item: item[1]):
    print(f"{name:17s} F1 {value:.2f} on the {len(validation)} validation images")

# %% [markdown]
# (The validation images are simulated, and the shipped weights have never seen them.) Below the baseline, a
# network has only shown that it can learn. Notebook 06 compares methods with more care.
#
# ## Recap
#
# You have
#
# 1. followed a micrograph through encoder, skips, decoders and heads, and said each shape,
# 2. built the two blocks and proved them equal to the package's and to MONAI's,
# 3. seen that instance norm depends on the whole window, and that batch norm can be folded away,
# 4. assembled MAUNet and got the outputs of the shipped weights from your own class,
# 5. accounted for 39,403,021 parameters,
# 6. moved the proxy's logit: it changes no winner, and makes unsure pixels pull harder,
# 7. computed Dice, focal and distance loss by hand, and found the published focal term's floor at 0.123,
# 8. overfitted one image, drawn the augmentation, written the training loop, and followed its checkpoints.
#
# ## On your own
#
# - *Easy.* Build `lite` with `distance=False` and with `boundary=False`. How many parameters does each save?
# - *Medium.* Give MAUNet another encoder: `ml.build_model("paper-r50", encoder="resnet18")`. Describe it.
#   Where did the parameters go?
# - *Hard.* Overfit one image with `losses.authors_classification_loss` in place of Dice and softmax focal.
#   Does it take more steps to the same Dice? Repeat with three seeds before you answer.
#
# <details><summary>Answers</summary>
#
# **Easy.** Without the distance field a whole decoder and its head go, some half a million parameters: it is
# a decoder of its own. Without the boundary it is one output channel of the head: a few dozen. A class costs
# nothing, a decoder does.
#
# **Medium.** `describe` shows them part by part. The deepest stage of ResNet18 has 512 channels where
# ResNet50 has 2,048. The encoder shrinks to about half, and the blocks that take its features in to a third,
# since they have fewer channels to read; the rest of the decoders stays as it is.
#
# **Hard.** Look at the gradient before you run: where the network knows nothing, the published term pulls
# with a fraction of the force (section 7). So expect it to need more steps. Whether it does with
# three seeds each, and to the *same* Dice, is a matter of the spread between seeds.
#
# </details>
#
# ## Further reading
#
# - Paper: 2.2 and Fig. 2 (the network), 2.2.5 with equations 1 and 2 (losses), Tables 1 and 2 (protocol).
# - `maunet_lite/network/maunet.py` and `blocks.py`, `maunet_lite/training/losses.py` and `loop.py`: what you
#   have just rebuilt.
# - Ulyanov and others, *Instance normalization* (2016), arXiv:1607.08022. Lin and others, *Focal loss for
#   dense object detection* (2017), arXiv:1708.02002.
# - Notebook 03: what the proxy does to the features. Notebook 04: equations 3 and 4.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("02")
