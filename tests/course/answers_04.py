"""Answers to the exercises of notebook 04: right ones in many styles, and plausible wrong ones."""

import math
import statistics

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats

from maunet_lite.training import classification_consistency


# --- 04.1
def without_proxy(logits):
    logits = logits.detach().clone()
    logits[:, 3] = -torch.inf
    return logits.argmax(1)


def step_by_step(logits):
    best = torch.zeros_like(logits[:, 0], dtype=torch.long)
    for k in (1, 2):
        best[logits[:, k] > logits.gather(1, best[:, None])[:, 0]] = k
    return best


def pixel_by_pixel(logits):
    b, _, h, w = logits.shape
    return [[[int(logits[i, :3, y, x].argmax()) for x in range(w)] for y in range(h)] for i in range(b)]


def cut_after(logits):
    labels = logits.argmax(dim=1)
    return torch.where(labels == 3, 0, labels)


# --- 04.2
def pseudo(logits):
    return logits[:, :3].argmax(dim=1)


def teach(student, teacher):
    return F.cross_entropy(student, pseudo(teacher))


def both(one, two):
    return teach(one, two) + teach(two, one)


def nll(student, teacher):
    return -student.log_softmax(1).gather(1, pseudo(teacher)[:, None]).mean()


def by_numpy(one, two):
    total = 0.0
    for student, teacher in ((one, two), (two, one)):
        x, labels = student.detach().numpy().astype(float), teacher.detach().numpy()[:, :3].argmax(1)
        log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        total -= np.take_along_axis(log_p, labels[:, None], 1).mean()
    return total


def by_loop(one, two):
    values = []
    for student, teacher in ((one, two), (two, one)):
        for z, t in zip(student.movedim(1, -1).reshape(-1, 4), pseudo(teacher).ravel(), strict=True):
            values.append((torch.logsumexp(z, 0) - z[t]).item())
    return 2 * sum(values) / len(values)


# --- 04.3
def ramp(step, length, top=1.5):
    return top * math.exp(-5 * (1 - min(step / length, 1)) ** 2)


def with_if(step, length, top=1.5):
    if step >= length:
        return top
    return top * math.e ** (-5 * (1 - step / length) ** 2)


# --- 04.4
def paired(cr, sup):
    gains = np.asarray(cr) - np.asarray(sup)
    return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))


def by_statistics(cr, sup):
    gains = [a - b for a, b in zip(cr, sup, strict=True)]
    return statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains))


def by_hand(cr, sup):
    n, gains = len(cr), (cr - sup).tolist()
    mean = sum(gains) / n
    return [mean, (sum((g - mean) ** 2 for g in gains) / (n - 1) / n) ** 0.5]


def by_t(cr, sup):
    test = stats.ttest_rel(cr, sup)
    return (cr - sup).mean(), (cr - sup).mean() / test.statistic


def by_covariance(cr, sup):
    covariance = np.cov(cr, sup)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return np.mean(cr) - np.mean(sup), math.sqrt(variance / len(cr))


def with_std(divide):
    return lambda cr, sup: ((cr - sup).mean(), divide(cr - sup))


RIGHT = {
    "04.1": {
        "argmax": lambda logits: logits[:, :3].argmax(dim=1),
        "of probabilities": lambda logits: logits.softmax(dim=1)[:, :3].detach().argmax(dim=1),
        "without gradients": lambda logits: logits.detach()[:, :-1].argmax(1),
        "max": lambda logits: logits[:, :3].max(dim=1).indices,
        "topk": lambda logits: logits[:, :3].topk(1, dim=1).indices[:, 0],
        "numpy": lambda logits: logits.detach().numpy()[:, :3].argmax(axis=1),
        "proxy at minus infinity": without_proxy,
        "step by step": step_by_step,
        "pixel by pixel": pixel_by_pixel,
        "permuted": lambda logits: logits.permute(0, 2, 3, 1)[..., :3].argmax(-1),
        "sort": lambda logits: logits[:, :3].sort(dim=1, stable=True, descending=True).indices[:, 0],
        "small integers": lambda logits: torch.argmax(logits.narrow(1, 0, 3), 1).to(torch.uint8),
        "unbind": lambda logits: torch.stack(logits.unbind(1)[:3]).argmax(0),
    },
    "04.2": {
        "both ways": both,
        "the package's": classification_consistency,
        "nll": lambda one, two: nll(one, two) + nll(two, one),
        "nll_loss": lambda one, two: sum(
            F.nll_loss(F.log_softmax(a, 1), pseudo(b)) for a, b in ((one, two), (two, one))
        ),
        "module": lambda one, two: torch.nn.CrossEntropyLoss()(one, pseudo(two)) + teach(two, one),
        "labels detached": lambda one, two: teach(one, two.detach()) + teach(two, one.detach()),
        "python float": lambda one, two: both(one, two).item(),
        "numpy": by_numpy,
        "loop": by_loop,
        "one element": lambda one, two: both(one, two)[None],
        "twice the mean": lambda one, two: 2 * torch.stack([teach(one, two), teach(two, one)]).mean(),
        "one-hot": lambda one, two: sum(
            F.cross_entropy(a, F.one_hot(pseudo(b), 4).movedim(-1, 1).float())
            for a, b in ((one, two), (two, one))
        ),
    },
    "04.3": {
        "formula": ramp,
        "if": with_if,
        "clip": lambda step, length, top=1.5: top * np.exp(-5 * (1 - np.clip(step / length, 0, 1)) ** 2),
        "minimum": lambda step, length, top=1.5: top * np.exp(-5 * (1 - np.minimum(step / length, 1)) ** 2),
        "step clamped": lambda s, n, top=1.5: top * math.exp(-5 * (1 - min(s, n) / n) ** 2),
        "lack": lambda s, n, top=1.5: top * math.exp(-5 * max(1 - s / n, 0) ** 2),
        "torch": lambda s, n, top=1.5: top * torch.exp(-5 * (1 - torch.tensor(s / n).clamp(max=1)) ** 2),
        "pow": lambda s, n, top=1.5: top * math.exp(-5 * pow(1 - min(s / n, 1.0), 2)),
        "divided": lambda s, n, top=1.5: top / math.exp(5 * (1 - min(s / n, 1)) ** 2),
        "array": lambda s, n, top=1.5: np.array([ramp(s, n, top)]),
        "product": lambda s, n, top=1.5: top * math.exp(-5 * (1 - min(s / n, 1)) * (1 - min(s / n, 1))),
        "conditional": lambda s, n, top=1.5: top if s >= n else top * math.exp(-5 * (1 - s / n) ** 2),
    },
    "04.4": {
        "paired": paired,
        "statistics": by_statistics,
        "by hand": by_hand,
        "t statistic": by_t,
        "covariance": by_covariance,
        "sem": lambda cr, sup: (np.mean(cr - sup), stats.sem(cr - sup)),
        "pandas": lambda cr, sup: pd.Series(cr - sup).agg(["mean", "sem"]),
        "array": lambda cr, sup: np.array(paired(cr, sup)),
        "var": lambda cr, sup: ((cr - sup).mean(), np.sqrt((cr - sup).var(ddof=1) / len(cr))),
        "torch": lambda cr, sup: torch.tensor(paired(cr, sup)),
        "python floats": lambda cr, sup: tuple(map(float, paired(cr, sup))),
        "corrected by hand": with_std(lambda g: g.std() / math.sqrt(len(g) - 1)),
        "iterator": lambda cr, sup: iter(paired(cr, sup)),
    },
}
WRONG = {
    "04.1": {
        "the proxy too": lambda logits: logits.argmax(dim=1),
        "without the background": lambda logits: logits[:, 1:].argmax(dim=1),
        "along the rows": lambda logits: logits[:, :3].argmax(dim=-1),
        "along the columns": lambda logits: logits[:, :3].argmax(dim=-2),
        "along the batch": lambda logits: logits[:, :3].argmax(dim=0),
        "values instead of classes": lambda logits: logits[:, :3].amax(dim=1),
        "cut off afterwards": cut_after,
        "clamped afterwards": lambda logits: logits.argmax(1).clamp(max=2),
        "proxy becomes interior": lambda logits: torch.where(logits.argmax(1) == 3, 1, logits.argmax(1)),
        "axis kept": lambda logits: logits[:, :3].argmax(dim=1, keepdim=True),
        "smallest": lambda logits: logits[:, :3].argmin(dim=1),
        "two classes": lambda logits: logits[:, :2].argmax(dim=1),
        "one-hot": lambda logits: F.one_hot(logits[:, :3].argmax(dim=1), 3),
        "probabilities": lambda logits: logits.softmax(dim=1)[:, :3],
        "flat": lambda logits: logits[:, :3].argmax(dim=1).ravel(),
    },
    "04.2": {
        "one way": teach,
        "each its own labels": lambda one, two: teach(one, one) + teach(two, two),
        "mean of both": lambda one, two: both(one, two) / 2,
        "proxy left out of the softmax": lambda a, b: teach(a[:, :3], b) + teach(b[:, :3], a),
        "probabilities as labels": lambda one, two: (
            F.cross_entropy(one, two.softmax(dim=1)) + F.cross_entropy(two, one.softmax(dim=1))
        ),
        "proxy as a label": lambda a, b: F.cross_entropy(a, b.argmax(1)) + F.cross_entropy(b, a.argmax(1)),
        "summed over pixels": lambda a, b: both(a, b) * a[:, 0].numel(),
        "softmax twice": lambda a, b: teach(a.softmax(1), b) + teach(b.softmax(1), a),
        "difference": lambda one, two: teach(one, two) - teach(two, one),
        "L2 in place of it": lambda one, two: F.mse_loss(one, two),
        "divergence": lambda a, b: F.kl_div(a.log_softmax(1), b.softmax(1), reduction="batchmean"),
        "one twice": lambda one, two: 2 * teach(one, two),
        "per pixel": lambda a, b: F.cross_entropy(a, pseudo(b), reduction="none"),
        "other sign": lambda one, two: -both(one, two),
        "only without gradients": lambda a, b: F.nll_loss(a, pseudo(b)) + F.nll_loss(b, pseudo(a)),
    },
    "04.3": {
        "falls again after the ramp": lambda s, n, top=1.5: top * math.exp(-5 * (1 - s / n) ** 2),
        "straight line": lambda step, length, top=1.5: top * min(step / length, 1),
        "always ends at 1": lambda step, length, top=1.5: ramp(step, length, 1.0),
        "always ends at 1.5": lambda step, length, top=1.5: ramp(step, length, 1.5),
        "no square": lambda s, n, top=1.5: top * math.exp(-5 * (1 - min(s / n, 1))),
        "no five": lambda s, n, top=1.5: top * math.exp(-((1 - min(s / n, 1)) ** 2)),
        "wrong sign": lambda s, n, top=1.5: top * math.exp(5 * (1 - min(s / n, 1)) ** 2),
        "falling": lambda s, n, top=1.5: top * math.exp(-5 * min(s / n, 1) ** 2),
        "max for min": lambda s, n, top=1.5: top * math.exp(-5 * (1 - max(s / n, 1)) ** 2),
        "zero after the ramp": lambda s, n, top=1.5: ramp(s, n, top) if s <= n else 0,
        "starts at zero": lambda s, n, top=1.5: 0 if s == 0 else ramp(s, n, top),
        "five inside": lambda s, n, top=1.5: top * math.exp(-((5 * (1 - min(s / n, 1))) ** 2)),
        "whole division": lambda s, n, top=1.5: top * math.exp(-5 * (1 - min(s // n, 1)) ** 2),
        "one length for all": lambda s, n, top=1.5: ramp(s, 40, top),
        "cut off at the top": lambda s, n, top=1.5: min(ramp(s, n, 1.5), top),
        "top outside": lambda s, n, top=1.5: top + math.exp(-5 * (1 - min(s / n, 1)) ** 2),
    },
    "04.4": {
        "pairs ignored": lambda cr, sup: (
            (cr - sup).mean(),
            np.sqrt((np.var(cr, ddof=1) + np.var(sup, ddof=1)) / len(cr)),
        ),
        "spread instead of error": with_std(lambda g: g.std(ddof=1)),
        "divided by n": with_std(lambda g: g.std() / np.sqrt(len(g))),
        "wrong way round": lambda cr, sup: paired(sup, cr),
        "no root of n": with_std(lambda g: g.std(ddof=1) / len(g)),
        "variance": with_std(lambda g: g.var(ddof=1) / len(g)),
        "twice the error": with_std(lambda g: 2 * g.std(ddof=1) / np.sqrt(len(g))),
        "error of one method": lambda cr, sup: ((cr - sup).mean(), stats.sem(cr)),
        "median": lambda cr, sup: (np.sort(cr - sup)[1], paired(cr, sup)[1]),
        "mean only": lambda cr, sup: (cr - sup).mean(),
        "error first": lambda cr, sup: paired(cr, sup)[::-1],
        "gains": lambda cr, sup: cr - sup,
        "sum": lambda cr, sup: ((cr - sup).sum(), paired(cr, sup)[1]),
        "divided by n - 1": with_std(lambda g: g.std(ddof=1) / math.sqrt(len(g) - 1)),
        "sorted first": lambda cr, sup: paired(np.sort(cr), np.sort(sup)),
        "three numbers": lambda cr, sup: (*paired(cr, sup), len(cr)),
    },
}
