"""Checks of notebook 06: IoU matrix, border rule, three averages, bootstrap, and how many seeds."""

import numpy as np

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("06.1")
def iou_matrix():
    """Matrix of IoUs.

    1. Two loops, over the ids of the truth and over those of the prediction: np.unique lists them, 0 is none
       of them.
    2. For two masks a and b: (a & b).sum() pixels belong to both, (a | b).sum() to at least one.
    3. [[((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum() for p in …]
       for t in …]
    """
    truth, prediction = np.array([[1, 1, 1, 1, 0, 2, 2, 0]]), np.array([[1, 1, 1, 0, 0, 0, 2, 3]])
    case = "cells of 4 and 2 pixels, of which 3 and 1 are shared"
    yield Case(case, (truth, prediction), [[3 / 4, 0, 0], [0, 1 / 2, 0]])
    truth = np.array([[7, 7, 0, 0, 0, 40, 40, 0]])  # cell 7: 2 shared of 3; cell 40: 1 shared of 2
    yield Case("ids with gaps, 7 and 40", (truth, prediction), [[2 / 3, 0, 0], [0, 1 / 2, 0]])
    full = np.array([[5, 5, 6]]), np.array([[1, 2, 2]])
    yield Case("maps without background, 5 5 6 and 1 2 2", full, [[1 / 2, 1 / 3], [0, 1 / 2]])


@exercise("06.2", keeps_input=True)
def drop_border():
    """Border rule.

    1. Which ids occur in the frame? All their pixels go, also those far inside.
    2. labels[:width], labels[-width:], labels[:, :width] and labels[:, -width:] are the four sides of the
       frame; np.isin(labels, ids) is the mask of all pixels of these ids.
    3. np.where(np.isin(labels, np.concatenate([side.ravel() for side in sides])), 0, labels)
    """
    labels = np.zeros((10, 12), int)
    labels[1, 4:6] = 1  # in the second row
    labels[4:6, 0:5] = 2  # at the left edge, reaching far inside
    labels[3:5, 7:9] = 3  # inside
    labels[7, 9] = 4  # inside, one pixel, clear of a frame of 2
    labels[6:9, 4] = 5  # into the last row but one
    labels[2, 9:11] = 60  # into the last column but one
    labels[0, 11] = 70  # in the corner
    expected = labels * np.isin(labels, [3, 4])
    yield Case("10 × 12 pixels and a frame of 2; cells 3 and 4 keep clear of it", (labels, 2), expected)
    expected = labels * ~np.isin(labels, [2, 70])
    yield Case("the same and a frame of 1; only cells 2 and 70 are in it", (labels, 1), expected)


@exercise("06.3", parts=("mean", "median", "pooled"))
def three_averages():
    """Three averages.

    1. F1 = 2 tp / (2 tp + fp + fn), row by row. A row of three zeros has F1 1: nothing was to be found,
       nothing was invented.
    2. Pooled means: add the counts of all images first (counts.sum(axis=0)), then take one F1.
    3. tp, fp, fn = counts.T; total = 2 * tp + fp + fn;
       scores = np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)
    """
    counts = np.array([[90, 10, 10], [1, 1, 1], [0, 0, 4], [0, 0, 0]])  # 91 found, 11 invented, 15 missed
    expected = (0.6, 0.7, 182 / 208)
    yield Case("four images with F1 .9, .5, 0, and one without any cell", (counts,), expected)


@exercise("06.4", parts=("lower end", "upper end"))
def bootstrap():
    """Bootstrap.

    1. One resample: as many images as there are, drawn at random from them, some twice, some never:
       rng.choice(scores, len(scores)).
    2. Take the mean of each resample; the interval holds the middle 95 % of these means.
    3. means = rng.choice(scores, (repeats, len(scores))).mean(axis=1); np.percentile(means, [2.5, 97.5])
    """
    rng, near = np.random.default_rng(0), 0.012
    why = "The middle 95 % of the means, not of the images, with 2.5 % on either side."
    scores = np.repeat([0.0, 1.0], 50)
    yield Case("100 images, half of them 0 and half 1", (scores, rng, 20_000), (0.4, 0.6), why, near)
    why = "No mean of them is below 0: take the ends from the resampled means, not from a bell curve."
    scores = np.repeat([0.0, 1.0], [18, 2])
    yield Case("20 images, 18 of them 0 and two 1", (scores, rng, 20_000), (0, 0.25), why, near)


@exercise("06.5")
def seeds_needed():
    """Seeds that are needed.

    1. A mean of n runs has the error sd / √n. The difference of two such means has √2 times as much.
    2. You want gain ≥ 2 · sd · √(2 / n). Square it and solve for n.
    3. max(2, math.ceil(8 * (sd / gain) ** 2))
    """
    yield Case("a gain of .02 and a spread of .015", (0.02, 0.015), 5, "8 · .5625 = 4.5, rounded up.")
    yield Case("a gain of .01 and a spread of .02", (0.01, 0.02), 32)
    yield Case("a gain of .10 and a spread of .01", (0.10, 0.01), 2, "One run has no spread: at least 2.")
