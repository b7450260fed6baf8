# %% [markdown]
# # 08 · Bring your own images
#
# From a folder as a microscope leaves it to numbers you would put into a paper: choose channel and size, mend
# the data, score what needs no training, fine-tune the shipped network on a handful of images, find the bad
# results without knowing the truth, measure, and hand the cells over to Fiji, QuPath and napari.

# %%
import matplotlib.pyplot as plt
import numpy as np

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.evaluation import otsu_watershed
from maunet_lite.course import exercises, record, show
from maunet_lite.course.figures.own_images import photograph

image, truth = photograph(np.random.default_rng(5))
fig, axes = plt.subplots(1, 3, figsize=(8, 2.5), layout="compressed")
figures.show_image(image, axes[0], f"simulated membranes, {truth.max()} cells")
for ax, name, found in (
    (axes[1], "Otsu + watershed", otsu_watershed(image).labels),
    (axes[2], "shipped weights", ml.segment(image)),
):
    figures.overlay(image, found, ax, f"{name}: F1 {ml.match_cells(truth, found).f1:.2f}")
show(
    fig,
    alt="Cells with bright rims; what a threshold finds in them; what the shipped network finds.",
    dpi=120,
)

# %% [markdown]
# *What you are looking at: simulated cells whose membrane glows, and two methods that were not trained on
# this experiment. The threshold takes the light for the cell. The network has to tell what lies inside a rim
# from what lies between two cells. In section 4 a third attempt learns it from six pictures.*
#
# **You will**
#
# 1. ask a real image three questions, and turn a folder with everything wrong that can be wrong into a
#    checked dataset,
# 2. split it so that the score stays honest,
# 3. score what needs no training: a threshold, and the shipped weights,
# 4. fine-tune on one, two, six images, and see how many are enough and when to stop,
# 5. segment an experiment without labels, and find the pictures that went wrong,
# 6. measure cells, and compare two treatments without counting one well a hundred times,
# 7. write files for Fiji, QuPath and napari, and read them back.
#
# **You will learn** what a network needs from you (less than you fear, but correct), how to trust a
# result without truth, and what a replicate is.
#
# **You need** notebook 00; 05 and 06 help. No GPU, no download, no images of your own: the folder is
# simulated. To use yours, put their folders into `DATA` and `EXPERIMENT` below, and beside them what no
# picture tells: of several channels or planes the `CHANNEL` and `PLANE` with the cells, `PIXEL_SIZE`,
# `CAMERA_OFFSET`, where a name says its `WELL`, which wells got which `TREATMENT`, and later the pictures
# that you have `REJECTED`.
#
# **Time** 45 minutes with the exercises; a minute or two to run on two CPU cores, less on a GPU.

# %% tags=["parameters"]
PROFILE = "quick"
SEED = 0
DATA = ""  # a folder of yours with images/ and labels/; empty: a simulated one
EXPERIMENT = ""  # a folder of yours with images without labels; empty: simulated, and so the next seven
CHANNEL = None  # the channel with your experiment's cells, such as 2 or "DAPI"; it is measured, too
PLANE = None  # of a stack: its number, from 1
PIXEL_SIZE = None  # micrometres per pixel of your experiment
CAMERA_OFFSET = None  # counts of your camera in the dark; 0 if they have been taken off already
REJECTED = []  # names of pictures to leave out, such as "B2_s1.tif"; see Quality control
WELL = r"^([A-Z]\d+)"  # regular expression that finds the well in a picture's name
TREATMENT = {}  # patterns of wells, such as {"B*": "control", "C*": "drug"}; yours and empty: all alike
STEPS = 30  # of each fine-tuning
SHARES = [0.17, 0.34, 1.0]  # of the labelled training images that a fine-tuning may use
SITES = 2  # pictures per well of the experiment

# %%
import json
import tempfile
import time
from pathlib import Path

import pandas as pd
import seaborn as sns
import tifffile
from scipy import stats

from maunet_lite.scale import segment_files
from maunet_lite.data import check_folder, load_dataset
from maunet_lite.evaluation import baseline, evaluate
from maunet_lite.export import measure_cells
from maunet_lite.training import recipe
from maunet_lite.figures import SERIES
from maunet_lite.course.figures import ablation
from maunet_lite.course.figures.own_images import leave_folder, photograph_experiment
from maunet_lite.course.figures.plates import describe_plate

ml.seed_everything(SEED)
WORK = Path(tempfile.mkdtemp(prefix="own-images-"))
MESSY = leave_folder(WORK / "from the microscope", SEED, wells=5)
plate = describe_plate(  # your values are looked at now, not after the training
    EXPERIMENT or photograph_experiment(WORK / "experiment", SEED, SITES), simulated=not EXPERIMENT,
    pixel_size=PIXEL_SIZE, camera_offset=CAMERA_OFFSET, rejected=REJECTED, well=WELL, treatment=TREATMENT,
    reading={"channel": CHANNEL, "plane": PLANE},
)  # fmt: skip

# %% [markdown]
# ## 1 · What the microscope left
#
# First one **real** image, tissue of a colon that comes with scikit-image. Three questions decide what any
# network finds in an image of yours, and the file answers none of them:
#
# 1. *Which channel shows the cells?* This picture has three, red, green and blue, and two dyes that share
#    them: a blue one in the nuclei, a brown one around them. `rgb2hed` separates dyes.
# 2. *How many pixels is a cell wide?* A network knows cells of the sizes it was trained on.
# 3. *How many micrometres is a pixel?* The network does not care, but every reader of your areas does.
#
# **Predict, then try.** Four choices of a channel, any size. Which pair outlines the nuclei best? There is no
# truth to score against: be the judge.

# %%
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry
from skimage.transform import rescale

from maunet_lite.course import Choice, Slider, explorer

tissue = immunohistochemistry()[210:390, 90:350]
blue, brown = rgb2hed(tissue)[..., 0], rgb2hed(tissue)[..., 2]
channels = {"all colours": tissue, "grey": tissue.mean(axis=2), "blue dye": blue, "brown dye": brown}


def resized(channel, width):
    picture = channels[channel].astype(np.float32)
    return rescale(picture, (width, width, 1)[: picture.ndim])


def draw_channel(channel, width):
    picture = resized(channel, width)
    found = ml.segment(picture, scales=(1.0,))  # at this very size, without an estimate of the cells' own
    fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="compressed")
    figures.show_image(tissue, axes[0], "real tissue")
    figures.overlay(picture, found, axes[1], f"{channel}, {width:g} times as wide: {found.max()} found")
    return fig


_ = explorer(
    draw_channel,
    channel=Choice("blue dye", tuple(channels)),
    width=Slider(2.0, 0.5, 3.0, 0.25, "times as wide"),
    alt="Stained tissue; its blue dye, twice as wide, with outlines around what the network finds.",
    dpi=112,
)

# %%
pd.DataFrame(
    {
        f"{w} times as wide": {name: ml.segment(resized(name, w), scales=(1.0,)).max() for name in channels}
        for w in (1, 2)
    }
)

# %% [markdown]
# Eight numbers of cells for one image, and none of the choices is an error to the computer. What to look for:
# one outline around each dark blue oval, and none on the brown. To our eyes the blue dye comes closest, at
# twice the width or more, and only in the loose tissue: in the glands nobody should trust it. `ml.segment`
# estimates the width of the cells where it is not told; `diameter=` tells it, and `channel=` chooses. Decide
# with your eyes, once, and then treat all images of an experiment alike.
#
# ### Who measures the cells?
#
# The network itself, before it segments. It looks at parts of the image at several scales, an octave apart,
# and at each we ask two questions: how wide are the cells that come out, and how sure is it of them? It is
# sure where probabilities lie near 0 and 1 and the distance field is that of the cells found. Here nuclei of
# 28 pixels, enlarged four times.

# %%
from maunet_lite.inference import predict_sized

nuclei = ml.simulate("fluorescence", (256, 256), cell_diameter=28, rng=np.random.default_rng(SEED))
large = rescale(nuclei.image.astype(np.float32), 4)
size = predict_sized("lite", large).size
print(size.sentence())
looks = [(look.scale, look.diameter * look.scale, look.diameter, look.certainty) for look in size.looks]
pd.DataFrame(looks, columns=["scale", "width as seen", "width in the image", "certainty"]).round(2)

# %% [markdown]
# The surest look decides, and the image is shown so that cells have the width that the network segments best.
# The less sure it is of all looks, the less the image is changed. **Predict, then look.** What is that worth
# on real images? `benchmarks/size.py` took the validation images of the shipped weights as they are, and
# twenty pieces of them enlarged and reduced. How much F1 is lost at four times the size, and how much of it
# comes back?

# %%
measured = pd.read_csv(ablation.results("size.csv")).assign(group=lambda t: t["group"].astype(str))
as_they_are = measured[measured["what"] == "modality"].pivot(index="group", columns="way", values="f1")
zooms = (
    measured[measured["what"] == "zoom"]
    .astype({"group": float})
    .pivot(index="group", columns="way", values="f1")
)
fig, ax = plt.subplots(figsize=(6, 2.8), layout="compressed")
for way, marker in (("as it is", "o"), ("auto", "s")):
    ax.plot(zooms.index, zooms[way], marker=marker, label={"auto": "at the estimated size"}.get(way, way))
ax.set(xscale="log", xlabel="zoom", ylabel="mean F1", ylim=(0, 1), title="twenty pieces of real images")
ax.set_xticks([*zooms.index], [f"{zoom:g}" for zoom in zooms.index])
ax.minorticks_off()
ax.legend(frameon=False, fontsize=8)
show(
    fig,
    alt="Mean F1 against zoom from 0.25 to 4. As it is: a hill with its top at 1 that falls to both "
    "sides. At the estimated size: nearly level from 0.63 to 4, falling below.",
    dpi=120,
)
gained = zooms["auto"] - zooms["as it is"]
record("F1 gained by the estimate at zoom 4", round(float(gained.loc[4.0]), 2))
print("F1 gained by the estimate:", ", ".join(f"{g:+.2f} at {z:g}" for z, g in gained.items()))
as_they_are.round(3)

# %% [markdown]
# Where cells have the sizes of the training there is nothing to gain, and at 1.6 a little is lost. Far from
# them the estimate is what makes the network usable at all. Only at a quarter, where nuclei are a handful of
# pixels wide, enlarging does not bring back what the camera never recorded. Where the estimate goes wrong, as
# on the tissue above, tell the width.
#
# Now a whole experiment, simulated, so that there is a truth to score against. A colleague hands you a
# folder: five wells, two pictures each, and label maps that somebody drew by hand.

# %%
for path in sorted(MESSY.rglob("*")):
    about = "" if path.is_dir() else f"{path.stat().st_size / 1024:8.0f} KiB"
    print(f"{about:>13}  {path.relative_to(MESSY)}{'/' * path.is_dir()}")
print("\n" + (MESSY / "metadata.csv").read_text(encoding="utf-8-sig"))

# %% [markdown]
# **Predict, then run.** Find at least three things in this list that will make trouble. Then let the kit
# look: on the command line it is `maunet-lite data check FOLDER`.


# %%
def list_problems(folder):
    for file, problem in check_folder(folder):
        print(f"{Path(file).name}\n    {problem.replace(str(WORK), '…')}")


list_problems(MESSY)

# %% [markdown]
# One problem only? The check stops where it cannot go on. Three others stood in the list: a picture is twice
# as large as the rest, one half as large, and two have no row in the table. The kit's layout is that of the
# challenge: `images/NAME.tif` and `labels/NAME_label.tiff` (endings such as `_mask` are understood too), and
# a table `metadata.csv` if you have one. Work on a *copy*: what a microscope wrote is never changed.

# %%
import shutil

folder = WORK / "dataset"
for part, pattern in (("images", "*.TIF"), ("labels", "masks/*")):
    (folder / part).mkdir(parents=True)
    for path in MESSY.glob(pattern):
        shutil.copy(path, folder / part)
shutil.copy(MESSY / "metadata.csv", folder)
list_problems(folder)

# %% [markdown]
# Now the check reads every file. Mend one thing after another, the file with two planes last:
#
# - **Rows are missing** in the table. One image has simply been forgotten; the other one is called A9,
#   and there is no well A9 in the list.
# - **A mask is no label map.** 0 and 255 say where cells are, but not *which pixel belongs to which
#   cell*. Here a gap has been left between neighbours, so that pieces are cells: number them, and give
#   each the pixel back that the gap has cost.
# - **Axes are swapped.** Some programs store x first. A transposed map of a square image would not even
#   be noticed by its size: always look.
# - **Two planes** lie in one file, and nothing says what they are. We come to it below.

# %%
from skimage.measure import label
from skimage.segmentation import expand_labels

table = pd.read_csv(folder / "metadata.csv", sep=";", encoding="utf-8-sig")
for name in ("plate 7_A5_s2.TIF", "plate 7_A9_s1.TIF"):
    table.loc[len(table)] = [name, "Fluorescence", name[8:10], "20x"]
table.to_csv(folder / "metadata.csv", index=False)

masked, lying = (folder / "labels" / f"plate 7_{name}_mask.tif" for name in ("A1_s2", "A2_s1"))
ml.write_labels(masked, expand_labels(label(tifffile.imread(masked) == 255), 1))
ml.write_labels(lying, tifffile.imread(lying).T)
list_problems(folder)

# %% [markdown]
# A new one: behind the missing row hid a file that was cut off while it was copied. Nobody can mend that;
# fetch it again, or leave it out. And one thing no check can know: what the two planes are. Look at them.

# %%
(folder / "images" / "plate 7_A9_s1.TIF").unlink()
table[table["Image"] != "plate 7_A9_s1.TIF"].to_csv(folder / "metadata.csv", index=False)
(problem,) = check_folder(folder)  # one is left

odd = folder / problem.file
print(problem.problem)
light, dye = (ml.read_image(odd, plane=plane) for plane in (1, 2))
fig, axes = plt.subplots(1, 3, figsize=(8, 2.3), layout="compressed")
figures.show_image(light, axes[0], "plane 1")
figures.show_image(dye, axes[1], "plane 2")
axes[2].hist(light.ravel(), 60, color="0.6", label="plane 1")
axes[2].hist(dye.ravel(), 60, color="#0072B2", label="plane 2")
axes[2].set(xlabel="counts of the camera", yticks=[], title="how often each count occurs")
axes[2].legend(fontsize=8)
show(fig, alt="Transmitted light, and the dye; the counts of the first are far higher.", dpi=135)

# %% [markdown]
# One acquisition has two planes: transmitted light and the dye. The kit does not guess whether they are
# channels, depths or times; only you know that here the second is meant. `plane=2` says so to `read_image`,
# `--plane 2` to a command, and a column `plane` in `metadata.csv` to a dataset, as we do now. For pictures
# that are no dataset, as those of `EXPERIMENT`, it is `PLANE` and `CHANNEL` at the top.
#
# ```
# maunet-lite segment FOLDER --out cells --channel 2          # or its name, such as DAPI
# maunet-lite segment STACK.tif --out cells --plane 7         # or --project max
# maunet-lite segment FOLDER --out cells --diameter 30        # pixels; µm with --pixel-size
# ```
#
# The histogram shows a second thing: 16 bits do not mean 65,535. The dye uses a small part of the range,
# and the camera adds an offset of about a hundred counts. For the *network* this does not matter, since
# `normalize` stretches each image (notebook 01). For *measuring* it does: section 6.

# %%
table = pd.read_csv(folder / "metadata.csv", dtype=str)
table.assign(plane=np.where(table["Image"] == odd.name, "2", "")).to_csv(folder / "metadata.csv", index=False)
folder = Path(DATA) if DATA else folder
print(len(check_folder(folder)), "problems")
data = load_dataset(folder)
data.table[["image", "modality", "split", "labelled"]]

# %% [markdown]
# ## 2 · A split that stays honest
#
# Every fifth labelled image is for validation: that is what the kit does if nobody says anything else.
# Look at the names. Is it a good split?
#
# Two sites of one well share everything: the day, the dye, the dish, the mood of whoever pipetted. A
# network that has seen site 1 of a well has half seen site 2. What you want to know is how it does on a
# *new* well.
#
# ### Exercise 08.1 · split by well (easy)
#
# Write `split_by_well(wells, chosen)`: for a list of wells, one for each image, return a list of
# `"train"` and `"val"`. All images of the wells in `chosen`, and no others, are for validation.


# %%
def split_by_well(wells, chosen):
    raise NotImplementedError


exercises.check("08.1", split_by_well)

# %% [markdown]
# <details><summary>Solution</summary>
#
# One line; what counts is the question which images belong together. Wells, patients, animals, days:
# split by the largest unit that shares something.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def split_by_well_solution(wells, chosen):
    return ["val" if well in chosen else "train" for well in wells]


exercises.check("08.1", split_by_well_solution)

# %%
if not DATA:
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    table["split"] = np.where(table["Well"].isin(["A4", "A5"]), "val", "train")
    table.to_csv(folder / "metadata.csv", index=False)
    data = load_dataset(folder)
print(data.table.groupby("split")["image"].agg(["size", "first", "last"]))

# %% [markdown]
# ## 3 · Before any training
#
# Two numbers come first. Otsu's threshold with a watershed, which has learned nothing, and the shipped
# weights `lite`, which have not seen these wells. **Predict, then run.** You have seen both at the top of
# this page. Guess the mean F1 of each.

# %%
scores = {"Otsu + watershed": baseline(data, progress=False), "lite": evaluate("lite", data, progress=False)}
before = {name: table["f1"].mean() for name, table in scores.items()}
record("F1 of Otsu + watershed, on wells never trained on", round(before["Otsu + watershed"], 2))
record("F1 of lite as shipped", round(before["lite"], 2))
print("good enough for many questions" if before["lite"] > 0.8 else "not good enough: look why, then train")

# %% [markdown]
# Above 0.8 you may be done, and go to section 5. The table in the README says on which kinds of images that
# is likely. Below it, look *why* before you train: at the maps (notebook 05), not at the labels.

# %%
picture = data.split("val").image(0)
maps = ml.predict("lite", picture)
fig, axes = plt.subplots(1, 4, figsize=(8, 1.9), layout="compressed")
figures.show_image(picture, axes[0], "image")
for ax, k, name in ((axes[1], 1, "interior"), (axes[2], 2, "boundary")):
    figures.show_image((255 * maps.probabilities[k]).astype(np.uint8), ax, f"P({name})")
figures.show_distance(maps.distance, axes[3], "distance field", bar=False)
show(
    fig, alt="Cells with bright rims; the network's probability of interior and boundary; its field.", dpi=120
)

# %% [markdown]
# Look at what is dark and enclosed: some of it is a cell, some of it a gap between cells. Where the maps call
# both interior, no threshold can repair it, since the two look the same there (notebook 05 asks this question
# of every failure). A network has to be shown the difference.
#
# ## 4 · Fine-tune
#
# Fine-tuning is training that does not start from nothing. Rims, corners, "cells are closed": all that is
# in the weights already; new is only what a rim *means*. That takes few images and few steps.
#
# On the command line, and with more patience (ten minutes are a good start on a laptop):
#
# ```
# maunet-lite train --data FOLDER --from lite --minutes 10 --out runs/mine
# maunet-lite segment NEW_FOLDER --model runs/mine --out cells
# ```
#
# Here three short runs through the same code: on one image, on two, and on all six of the training wells.
# The last one is validated on its way. **Predict, then run.** How good is one labelled image? How much
# better are six?


# %%
def fine_tune(share, validate_every=0):
    config = recipe("lite-plain").override(
        data=str(folder), out=str(WORK / f"run {share}"), start_from="lite", labelled_fraction=share,
        steps=STEPS, batch_size=4, patch=128, zoom=[0.8, 1.25], learning_rate=2e-3, warmup=5,
        validate_every=validate_every, seed=SEED,
    )  # fmt: skip
    return ml.train(config, progress=False)


runs, seconds, after = {}, {}, {}
for share in SHARES:
    start = time.perf_counter()
    runs[share] = fine_tune(share, validate_every=max(2, STEPS // 5) if share == SHARES[-1] else 0)
    seconds[share] = time.perf_counter() - start
    after[share] = evaluate(runs[share].folder / "last.safetensors", data, progress=False)
tuned = ml.load_model(runs[SHARES[-1]].folder / "last.safetensors")
few, many = (after[share]["f1"].mean() for share in (SHARES[0], SHARES[-1]))
print(f"mean F1 on new wells: {before['lite']:.2f} as shipped, {few:.2f} after the fewest images,", end=" ")
print(f"{many:.2f} after all of them: the others add {many - few:+.2f}")
record("F1 after fine-tuning on all training wells", round(many, 2))
record("one fine-tuning / s", round(seconds[SHARES[0]]))

# %%
n_train = int(data.split("train").table["labelled"].sum())
validation = pd.read_csv(runs[SHARES[-1]].folder / "validation.csv")
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True, layout="compressed")
axes[0].set_title("after fine-tuning", fontsize=9)
images = [max(1, round(share * n_train)) for share in SHARES]
axes[0].axhline(before["Otsu + watershed"], color="0.6", ls=":", label="Otsu + watershed")
axes[0].axhline(before["lite"], color="#D55E00", ls="--", label="lite as shipped")
for share, n in zip(SHARES, images, strict=True):
    axes[0].scatter([n] * len(after[share]), after[share]["f1"], s=14, color="0.7")
axes[0].plot(
    images, [after[share]["f1"].mean() for share in SHARES], "o-", color="#0072B2", label="fine-tuned"
)
axes[0].set(xlabel="labelled images", ylabel="F1 on new wells", ylim=(0, 1.02), xticks=images)
axes[0].legend(fontsize=8, loc="center right")
axes[1].plot([0, *validation["step"]], [before["lite"], *validation["f1"]], "o-", color="#0072B2")
axes[1].set(xlabel="step")
axes[1].set_title(f"on its way, with {images[-1]} images", fontsize=9)
show(
    fig,
    alt="F1 against labelled images, far above the two lines of before; and against steps, soon flat.",
    dpi=120,
)

# %% [markdown]
# Grey dots are single images. Read it like this:
#
# - **How many images?** Go on labelling while the left curve rises, and stop when it is flat. Even one
#   image holds some dozens of cells, and cells are what the network learns from; and simulated wells are all
#   alike. Yours are not: ten images of ten wells and days teach more than a hundred of one. Take the ugly
#   ones too.
# - **When to stop?** When the right curve is flat. If it falls while the loss goes on falling, the network
#   learns your images by heart; the kit keeps the best weights as `best.safetensors`. The seconds that one
#   fine-tuning took stand above the figure.
# - **Which number is honest?** None quite: whoever chooses the best of many runs by the validation wells
#   has used them up. For a paper, keep wells that nobody looks at until the end (`split` = `test`).
# - **What is lost?** The network is better at your cells and may be worse at others. Keep the shipped
#   weights for everything else.

# %%
sample = data.split("val").labelled()
shown, drawn = sample.image(0), sample.labels(0)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.4), layout="compressed")
figures.overlay(shown, drawn, axes[0], f"drawn by hand: {len(np.unique(drawn)) - 1}")
for ax, name, network in ((axes[1], "shipped", "lite"), (axes[2], "fine-tuned", tuned)):
    found = ml.segment(shown, network)
    figures.overlay(shown, found, ax, f"{name}: F1 {ml.match_cells(drawn, found).f1:.2f}")
show(fig, alt="Hand-drawn cells; what the shipped weights find; what the fine-tuned ones find.", dpi=120)

# %% [markdown]
# **Where do more labels come from?** From mending what the network finds, which is quicker than drawing.
# `correct` opens a folder in a tool, here the experiment of the next section: paint, erase, draw a line
# through two cells in one, drag across two halves, delete, draw a new cell, undo. *Save* writes image and
# label map into a dataset folder, *Fine-tune* learns from all that is saved, *Segment again* lets the new
# network have the rest and puts the images it doubts most first. A web page shows only how it begins;
# `docs/correcting.md` does the same with napari and QuPath.

# %%
from maunet_lite.course import correct

network = runs[SHARES[-1]].folder / "last.safetensors"
tool = correct(plate.folder, out=WORK / "corrected", model=network, **plate.reading)
opened = tool.session.picture
ax = figures.overlay(tool.session.pixels, opened.draft.labels, title=f"{opened.path.name}, to be corrected")
show(ax, alt="The first picture of the experiment, with outlines around what was found.", dpi=80)
tool

# %% [markdown]
# ## 5 · The experiment
#
# Now what all this was for: six wells without labels. Three are controls (B), three were given a drug
# (C), of which it is said that it makes cells swell. One call segments a folder, measures, and writes the
# files for other programs. While the network looks at one image, the next one is read and the one before
# is written:
#
# ```
# maunet-lite segment experiment --model runs/mine --out results \
#     --export tiff,rois,geojson,zarr --pixel-size 0.65            # and --channel 2, --plane 2
# ```

# %%
if bool(DATA) != bool(EXPERIMENT):
    print("DATA or EXPERIMENT is empty: the network was not fine-tuned on pictures like these; set both")
experiment, results, formats = plate.folder, WORK / "results", "tiff,rois,geojson,zarr"
outcomes = segment_files(
    [experiment], results, tuned, table=True, export=formats, pixel_size=plate.pixel_size, progress=False,
    **plate.reading,
)  # fmt: skip
print(*(f"{o.image.name} was left out: {o.reason}\n" for o in outcomes if o.status == "failed"), end="")
summary = pd.read_csv(results / "summary.csv", dtype={"image": str}).query("status != 'failed'")
assert summary["cells"].sum(), f"no cell in any picture of {experiment}: look at the fine-tuning (section 4)"
print(sorted(path.name for path in results.iterdir())[:8], "…")
summary[
    ["image", "status", "cells", "seconds_read", "seconds_network", "seconds_postprocess", "seconds_write"]
].head(4)

# %% [markdown]
# `summary.csv` has a row per image, `cells.csv` a row per cell. Run the call again and it is done at
# once: what is there is not done twice, and a damaged image is a row with a reason, not the end of the
# run.
#
# ## Quality control
#
# There is no truth here, and nobody looks at ten thousand images. But you can look at the *suspicious*
# ones first. Three numbers per image: how many cells, how large, and how sure the network is inside them
# (the probability of "not background", averaged over the cells' pixels).


# %%
def confidence(path):
    maps = ml.predict(tuned, ml.read_image(experiment / path, **plate.reading))
    labels = ml.read_labels(results / f"{Path(path).stem}_label.tiff")
    return float((1 - maps.probabilities[0])[labels > 0].mean()) if labels.any() else 0.0


cells = pd.read_csv(results / "cells.csv")
quality = pd.DataFrame({
    "cells": summary.set_index("image")["cells"],
    "area": cells.groupby("image")["area"].median(),
    "confidence": {name: confidence(name) for name in summary["image"]},
}).fillna(0)  # fmt: skip
quality.round(2)

# %% [markdown]
# Which of these are outliers? A mean and a standard deviation are themselves dragged along by the
# outliers they should find. The median is not.
#
# ### Exercise 08.2 · how suspicious? (medium)
#
# Write `suspicion(values)`: how far each value lies from the median, in units of 1.4826 × MAD, where MAD
# is the median of the distances from the median. (The factor makes the unit a standard deviation where
# values are normal.) All distances are positive. If MAD is 0, return zeros.


# %%
def suspicion(values):
    raise NotImplementedError


exercises.check("08.2", suspicion)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Two medians. With [10, 11, 9, 10, 60] the last value is some 34 units out; measured with mean and
# standard deviation it is 2, and nobody would look twice.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def suspicion_solution(values):
    values = np.asarray(values, dtype=float)
    distance = np.abs(values - np.median(values))
    unit = 1.4826 * np.median(distance)
    return distance / unit if unit else np.zeros_like(distance)


exercises.check("08.2", suspicion_solution)
values = np.array([10, 11, 9, 10, 60])
by_scipy = np.abs(values - np.median(values)) / stats.median_abs_deviation(values, scale="normal")
assert np.allclose(suspicion_solution(values), by_scipy)

# %% [markdown]
# **Predict, then run.** The next cell shows the three most suspicious pictures and, at the right, the least
# suspicious one, each with its suspicion. Which of the numbers in the table will stand out? Which pictures
# would you throw out, and which is only unlucky?

# %%
numbers = quality[["cells", "area", "confidence"]]
unit = numbers.apply(stats.median_abs_deviation, scale="normal")  # SciPy's 1.4826 × MAD
quality["suspicion"] = ((numbers - numbers.median()).abs() / unit.where(unit > 0)).fillna(0).max(axis=1)
worst = quality.sort_values("suspicion", ascending=False)
chosen = dict.fromkeys([*worst.index[:3], worst.index[-1]])
fig, axes = plt.subplots(1, len(chosen), figsize=(2 * len(chosen), 1.9), layout="compressed", squeeze=False)
for ax, name in zip(axes[0], chosen, strict=True):
    found = ml.read_labels(results / f"{Path(name).stem}_label.tiff")
    title = f"{Path(name).stem}: suspicion {worst.loc[name, 'suspicion']:.1f}"
    figures.overlay(ml.read_image(experiment / name, **plate.reading), found, ax, title)
show(
    fig,
    alt="The three most suspicious pictures, among them a blurred and an empty one, and a good one.",
    dpi=120,
)
worst.round(2).head(4)

# %% [markdown]
# Of the simulated pictures one is out of focus, one shows a nearly empty well. Both would have gone into
# the table without a word. Note *why* you exclude an image, and do it before you look at the result; a
# picture that is merely surprising stays. In an experiment of yours, write the names of such pictures into
# `REJECTED` at the top and run the notebook again.

# %%
rejected = plate.rejected
caught = f"{len(set(rejected) & set(worst.index[:3]))} of {len(rejected)}"
if rejected:
    record("rejected images among the three most suspicious", caught)
else:
    print("nothing is rejected yet: look at the pictures above, and set REJECTED at the top")

# %% [markdown]
# ## 6 · Measure
#
# `measure_cells(labels, image, pixel_size)` gives a table with one row per cell: area, shape, place,
# intensity. It reads the *raw* counts, never the normalised image, and knows nothing of the camera's
# offset: take it off yourself. Two traps:
#
# - **Cut cells.** What touches the border goes on outside: its area is too small. But if you drop these
#   cells, large ones go more often than small ones. For areas drop them and mind it; for counts keep
#   them.
# - **Units.** Pixels mean nothing to others. With `pixel_size` there are columns in micrometres.

# %%
cells = cells[~cells["image"].isin(rejected)].copy()
cells["well"] = cells["image"].map(plate.well_of)
cells["treatment"] = cells["well"].map(plate.treatment_of)
raw = cells.filter(regex="^intensity_mean").iloc[:, 0]  # of CHANNEL, or the first of several, in counts
assert raw.min() > 0.9 * plate.camera_offset, "a cell is darker than the dark: CAMERA_OFFSET is wrong"
cells["dye"] = raw - plate.camera_offset
good = cells[~cells["touches_border"]]
print(good.groupby("treatment")["well"].agg(wells="nunique", cells="size"))

fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="compressed")
treatments = sorted(set(good["treatment"]))
colors = {name: SERIES[k % len(SERIES)] for k, name in enumerate(treatments)}
sns.stripplot(good, x="well", y="area_um2", hue="treatment", palette=colors, size=2.5, alpha=0.6, ax=axes[0])
means = good.groupby(["treatment", "well"], as_index=False)["area_um2"].mean()
sns.scatterplot(means, x="well", y="area_um2", marker="_", s=500, color="k", ax=axes[0], legend=False)
axes[0].set(xlabel="well", ylabel="area / µm²", title="each cell, and the mean of each well")
sns.scatterplot(good, x="area_um2", y="dye", hue="treatment", palette=colors, s=9, alpha=0.7, ax=axes[1])
axes[1].set(xlabel="area / µm²", ylabel="mean dye / counts", title="each cell")
for ax in axes:
    ax.legend(fontsize=7)
show(fig, alt="Areas of cells by well with the mean of each: drug above control. Dye against area.", dpi=120)

# %% [markdown]
# The black bars are the wells' means. **Predict, then run.** Is the difference between the treatments
# "significant"? How many independent observations do you have: as many as cells, or as many as wells?
#
# The drug was given to *wells*. Two cells of one well are not two experiments; they share whatever went
# wrong there. If each cell counts as a replicate, p shrinks with every further cell, for any difference
# between wells, also between two controls.
#
# ### Exercise 08.3 · one well, one vote (medium)
#
# Write `treatment_means(cells)`: for a table with the columns `treatment`, `well`, `area` and
# `touches_border`, return a dictionary treatment → mean area, where each *well* counts once, however many
# cells it has, and cells that touch the border do not count.


# %%
def treatment_means(cells):
    raise NotImplementedError


exercises.check("08.3", treatment_means)

# %% [markdown]
# <details><summary>Solution</summary>
#
# First a mean per well, then a mean of these. A well with three hundred cells has no more to say about
# the drug than one with thirty.
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true}
def treatment_means_solution(cells):
    inside = cells[~cells["touches_border"]]
    wells = inside.groupby(["treatment", "well"])["area"].mean()
    return wells.groupby("treatment").mean().to_dict()


exercises.check("08.3", treatment_means_solution)


# %%
def by_treatment(table):
    """Return the mean area of each treatment: first a mean per well, then one of these."""
    wells = table[~table["touches_border"]].groupby(["treatment", "well"])["area"].mean()
    return wells.groupby("treatment").mean()


def p_value(table):
    groups = [group["area_um2"] for _, group in table.groupby("treatment")]
    return stats.ttest_ind(*groups, equal_var=False).pvalue


areas, wells = by_treatment(good), means.groupby("treatment").size()
for name, area in areas.items():
    print(f"{name}: mean area {area * plate.pixel_size**2:.0f} µm²")
if len(wells) == 2 and wells.min() > 1:
    print(f"p with {len(good)} cells: {p_value(good):.0e}; p with {len(means)} wells: {p_value(means):.2g}")
else:
    print("no p: it needs two treatments with two wells or more each; see TREATMENT at the top")

# %%
if not EXPERIMENT:  # only of a simulated one the truth is known
    truths = []
    for path in sorted((experiment / "truth").glob("*.tif")):
        well = plate.well_of(path.name)
        if path.name.replace("_label", "") not in rejected:
            table = measure_cells(tifffile.imread(path))
            truths.append(table.assign(treatment=plate.treatment_of(well), well=well))
    real = by_treatment(pd.concat(truths))
    record("areas, drug / control", round(areas["drug"] / areas["control"], 2))
    record("the same in truth", round(real["drug"] / real["control"], 2))

# %% [markdown]
# The network knows nothing of treatments. Compare its ratio with the true one: small errors that are alike in
# both groups cancel. The two p-values answer different questions; only the one with wells is about the drug.
#
# ## 7 · Hand over to Fiji, QuPath and napari
#
# The files are written already. What they hold, and how they are opened:
#
# | file | program | how |
# |---|---|---|
# | `NAME_label.tiff` | any | the label map, 16 bit: the format to keep |
# | `NAME_rois.zip` | Fiji | open the image, drop the zip on Fiji's window: the ROI Manager lists every cell |
# | `NAME.geojson` | QuPath | open the image, drop the file on it: detections with all measurements |
# | `NAME.ome.zarr` | napari | `pip install napari-ome-zarr`, drop the folder: image and labels as layers |
#
# Outlines follow the *edges* of the pixels, so that every program shows and measures exactly these
# pixels. Trust nobody: read each file back with a library that had no part in writing it. **Predict, then
# run.** A polygon in ImageJ has neither holes nor several pieces. What would happen to cells that do?

# %%
import roifile
import zarr

from maunet_lite.export import Polygon, fill

last = worst.index[worst["cells"] > 0][-1]  # the least suspicious picture with cells
name, picture = Path(last).stem, ml.read_image(experiment / last, **plate.reading)
labels = ml.read_labels(results / f"{name}_label.tiff")
features = json.loads((results / f"{name}.geojson").read_text())["features"]
rois = roifile.roiread(results / f"{name}_rois.zip")
pyramid = zarr.open_group(results / f"{name}.ome.zarr", mode="r")


def pieces(geometry):
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [Polygon(np.array(rings[0]), tuple(np.array(ring) for ring in rings[1:])) for rings in parts]


drawn = {int(f["properties"]["name"]): pieces(f["geometry"]) for f in features}
assert np.array_equal(fill(drawn, labels.shape), labels)
assert np.array_equal(pyramid["labels/cells/0"][:], labels)
assert [int(roi.name) for roi in rois] == sorted(drawn)
assert np.array_equal(tifffile.imread(results / f"{name}_label.tiff"), labels)
print(len(features), "cells;", sum(roi.composite for roi in rois), "of them composite ROIs")
print({name: round(value, 2) for name, value in list(features[0]["properties"]["measurements"].items())[:5]})

# %% [markdown]
# Cells with holes or in pieces become *composite* ROIs: ImageJ's own way. (Pixels that touch at a corner
# only are two pieces to a polygon, so there are more such cells than you would think.) Now as these
# programs would draw it: QuPath's outlines on the whole image, one ROI enlarged so that you see single
# pixels, and a level of the pyramid that napari loads as you zoom.

# %%
fig, axes = plt.subplots(1, 3, figsize=(8, 2.4), width_ratios=(1.25, 1, 1.25), layout="compressed")
figures.show_image(picture, axes[0], "GeoJSON (QuPath)")
for parts in drawn.values():
    for part in parts:
        axes[0].fill(*(part.shell - 0.5).T, fill=False, ec="#E69F00", lw=0.8)  # pictures begin at -0.5
roi = max(rois, key=lambda roi: roi.n_coordinates)
figures.show_image(picture, axes[1], f"ROI {int(roi.name)} (Fiji)")
axes[1].fill(*(roi.coordinates() - 0.5).T, fill=False, ec="#56B4E9", lw=1.5)
axes[1].set(xlim=(roi.left - 4, roi.right + 4), ylim=(roi.bottom + 4, roi.top - 4))
levels = sorted(key for key in pyramid["labels/cells"].array_keys())
smallest = pyramid[f"labels/cells/{levels[-1]}"][:]
figures.show_labels(smallest, axes[2], f"OME-Zarr (napari): level {levels[-1]}")
show(fig, alt="Outlines on cells; one outline that runs along pixel edges; labels at half the size.", dpi=120)

# %% [markdown]
# Half a pixel is where exports go wrong most often: is (0, 0) the centre of the first pixel or its
# corner? ImageJ's and QuPath's outlines count from the corner, matplotlib's pictures from the centre,
# hence the `- 0.5`. If outlines in *your* program sit half a pixel beside the cells, this is why.
#
# ## Recap
#
# You have
#
# 1. asked a real image for its channel, its size and its calibration, and mended a folder one problem at a
#    time: layout, table, a mask, swapped axes, a second page, a broken file,
# 2. split by well, because sites of one well are half the same picture,
# 3. measured a threshold and the shipped weights first, and looked at the maps for the reason,
# 4. fine-tuned on a handful of images; the curves said how many are enough and when to stop,
# 5. found a blurred and an empty picture among an experiment, without any truth,
# 6. measured cells in micrometres, dropped cut ones, and let each well vote once,
# 7. written four formats, and read all of them back to the same pixels.
#
# ## On your own
#
# - *Easy.* Drop a zip of ROIs on Fiji, or a GeoJSON on QuPath, with the images of `WORK / "experiment"`.
#   Do the areas that the program measures agree with `cells.csv`?
# - *Medium.* Is it fine-tuning that helps, or just training? Train without `start_from` for the same
#   steps and compare. Then measure what the fine-tuned network has forgotten: evaluate both on
#   `simulated`.
# - *Hard.* Let the network help you label. Take the experiment's most suspicious images, correct their
#   label maps in napari, add them to the training wells, fine-tune again. Does the score on A4 and A5
#   rise more than with as many images chosen at random?
#
# <details><summary>Answers</summary>
#
# **Easy.** They do, to the pixel, once the program knows the pixel size: outlines follow the edges of pixels,
# so the area of a polygon is the number of pixels it holds. Set 0.65 µm per pixel in the program, or compare
# in pixels.
#
# **Medium.** `fine_tune` without `start_from` begins with random weights. In so few steps it learns to tell
# bright from dark and little else: what the shipped weights bring is worth more than the six images. The
# price is paid elsewhere: on `simulated`, which has four kinds of cells and none of these, the fine-tuned
# network scores lower than `lite`. Keep both.
#
# **Hard.** Take the same number of images, the same steps and several seeds for both ways, else luck decides.
# Suspicious images pay where they show what the training lacks (a blur, an empty field); if the training
# wells hold all there is, the two ways come to the same.
#
# </details>
#
# ## Further reading
#
# - Paper: 3.1 (the data), 3.2 (training), 4.3 (time and memory).
# - `maunet_lite/data/dataset/problems.py` (what is checked), `scale/batch/` (the pipeline),
#   `export/measure.py`, `polygons.py` (outlines along pixel edges), `files.py` (how to open each format).
# - Notebook 05 for rules instead of training, 06 for honest numbers, 07 for images larger than memory.

# %% [markdown]
# ## Quiz
#
# Five questions, each with one right answer.

# %%
exercises.quiz("08")
