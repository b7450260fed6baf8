"""How well features tell background from cells, as numbers: what "more discriminable" (paper 4.2) can mean.

The paper judges a scatter diagram by eye. Each measure here answers one question about the same mean
features; they need not agree, and with few images or one seed none of them proves much (notebook 03 compares
many shuffles and pairs of seeds).
"""

import numpy as np

from maunet_lite.features.space import Features, margins

# measure: the question that it answers. Larger is better for all but the domain gap.
MEASURES = {
    "silhouette": "are rows closer to their own class than to the other? -1 to 1",
    "linear_probe": "share that a linear classifier, trained on other images, gets right; 0.5 is chance",
    "unseen_modality": "the same, trained on the other modalities only",
    "scatter_ratio": "scatter between the class means over scatter within classes (Fisher); 0 and up",
    "domain_gap": "share of the scatter within classes that is between modalities; 0 to 1, smaller is better",
    "head_accuracy": "share of mean features on the right side of the network's own boundary",
}


def discriminability(features: Features) -> dict[str, float]:
    """Measure how well the mean features of background and interior are told apart.

    Parameters
    ----------
    features : Features
        Rows of two classes.

    Returns
    -------
    dict of str → float
        The `MEASURES`:

        silhouette : mean over rows of (b - a) / max(a, b), where a is the mean Euclidean distance to the
            other rows of the same class, b that to the rows of the other class. In [-1, 1].
        linear_probe : accuracy of a logistic regression on standardised features, cross-validated in up to
            five folds; rows of one image are always in the same fold.
        unseen_modality : the same with one fold per modality, so that the classifier never saw the test's
            modality.
        scatter_ratio : trace of the between-class scatter over trace of the within-class scatter.
        domain_gap : trace of the scatter of the modality means within their class, over that of the
            within-class scatter.
        head_accuracy : share of positive `features.margins`.

        NaN where a measure is not defined: fewer than two images (probe), one modality (unseen_modality,
        domain_gap), no scatter within classes, or a layer other than the head's input (head_accuracy).

    Raises
    ------
    ValueError
        If only one class has rows.

    Examples
    --------
    >>> import pandas as pd
    >>> classes = ["background", "interior"] * 2
    >>> table = pd.DataFrame({"image": list("aabb"), "modality": "dic", "class": classes})
    >>> far_apart = Features(np.array([[0.0], [10], [1], [11]]), table, "class_decoder")
    >>> values = discriminability(far_apart)
    >>> round(values["silhouette"], 2), values["linear_probe"], values["scatter_ratio"]
    (0.9, 1.0, 100.0)
    """
    from sklearn.metrics import silhouette_score

    vectors = features.vectors.astype(np.float64)
    classes, modalities, images = features.table[["class", "modality", "image"]].to_numpy().T
    if len(set(classes)) < 2:
        raise ValueError(f"both classes are needed, got only {sorted(set(classes))}: give images with cells")
    within, between = _scatter(vectors, classes)
    cells = np.array([f"{c}/{m}" for c, m in zip(classes, modalities, strict=True)])
    gap = (within - _scatter(vectors, cells)[0]) / within if within and len(set(modalities)) > 1 else np.nan
    values = {
        "silhouette": silhouette_score(vectors, classes) if len(vectors) > len(set(classes)) else np.nan,
        "linear_probe": _probe(vectors, classes, images, folds=5),
        "unseen_modality": _probe(vectors, classes, modalities, folds=len(vectors)),
        "scatter_ratio": between / within if within else np.nan,
        "domain_gap": gap,
        "head_accuracy": np.mean(margins(features) > 0) if features.head is not None else np.nan,
    }
    return {name: float(value) for name, value in values.items()}


def _scatter(vectors: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Return the traces of the scatter within groups and between the group means (weighted by size)."""
    within, center = 0.0, vectors.mean(axis=0)
    for group in np.unique(groups):
        rows = vectors[groups == group]
        within += float(((rows - rows.mean(axis=0)) ** 2).sum())
    return within, float(((vectors - center) ** 2).sum()) - within


def _probe(vectors: np.ndarray, classes: np.ndarray, groups: np.ndarray, folds: int) -> float:
    """Return the share of rows that a linear classifier trained on other groups gets right, or NaN."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(folds, len(set(groups)))
    splits = list(GroupKFold(folds).split(vectors, classes, groups)) if folds > 1 else []
    if not splits or any(len(set(classes[train])) < 2 for train, _ in splits):
        return np.nan
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(np.mean(cross_val_predict(probe, vectors, classes, cv=splits) == classes))
