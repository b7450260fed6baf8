"""The space of mean features: a plane through it, class proxies, the boundary between classes (paper Fig. 6).

The head of the network is a 1×1 convolution, so its logits are linear in the features: the mean logit over
a mask *is* the logit of the mean feature. A mean feature can therefore be judged by the head itself, and
the border between two classes is a hyperplane, which is a line in any plane through feature space.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

PARTS = ("background", "interior")  # the two classes whose mean features paper 4.2 looks at


@dataclass(frozen=True)
class Head:
    """The classifier behind the class decoder: ``logits = weights @ feature + bias``.

    Attributes
    ----------
    weights : (K, D) float array
        One row per class: the class proxies of paper Fig. 6(b).
    bias : (K,) float array
    names : tuple of str
        Of the K classes: background, interior, and, if the network has them, boundary and proxy.
    """

    weights: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]

    def difference(self, first: str, second: str) -> tuple[np.ndarray, float]:
        """Return ``(w, b)`` such that ``w @ feature + b`` is the logit of `second` minus that of `first`."""
        if unknown := [name for name in (first, second) if name not in self.names]:
            raise ValueError(f"the head has no class {unknown[0]!r}; it has {', '.join(self.names)}")
        i, j = self.names.index(first), self.names.index(second)
        return self.weights[j] - self.weights[i], float(self.bias[j] - self.bias[i])


@dataclass(frozen=True)
class Features:
    """Mean features of a set of images, one row per image and class.

    Attributes
    ----------
    vectors : (N, D) float32 array
    table : pandas.DataFrame
        N rows: image, modality, class ("background" or "interior"), pixels (size of the mask) and mask
        ("truth", or "predicted" for an image without labels).
    layer : str
        Where in the network they were read.
    head : Head or None
        The classifier, if the features are its input; None for all other layers.
    """

    vectors: np.ndarray
    table: pd.DataFrame
    layer: str
    head: Head | None = None

    def classifier(self) -> Head:
        """Return the head, or raise a ValueError if it does not read these features."""
        if self.head is None:
            raise ValueError(f"layer {self.layer!r} is not the input of the head: use 'class_decoder'")
        return self.head

    def select(self, mask: np.ndarray | pd.Series) -> "Features":
        """Return the rows where `mask` is true."""
        mask = np.asarray(mask, dtype=bool)
        return replace(self, vectors=self.vectors[mask], table=self.table[mask].reset_index(drop=True))


@dataclass(frozen=True)
class Plane:
    """Principal components of features, and everything seen in them.

    Attributes
    ----------
    points : (N, n) float array
        Coordinates of the rows of `features`.
    components : (n, D) float array
        Orthonormal directions, the one of largest variance first.
    center : (D,) float array
        Mean feature: the origin of the coordinates.
    explained : (n,) float array
        Share of the variance along each component.
    proxies : (k, n) float array or None
        Weights of the k target classes in the same coordinates, see `pca`.
    features : Features
    """

    points: np.ndarray
    components: np.ndarray
    center: np.ndarray
    explained: np.ndarray
    proxies: np.ndarray | None
    features: Features

    def table(self) -> pd.DataFrame:
        """Return the table of the features with coordinates PC1, PC2, … added."""
        return self.features.table.assign(**{f"PC{k}": x for k, x in enumerate(self.points.T, start=1)})


@dataclass(frozen=True)
class Boundary:
    """A line ``normal @ point + offset = 0`` in a plane; positive on the side of the second class.

    Examples
    --------
    >>> Boundary(np.array([3.0, 0.0]), -6.0).ends(5.0).tolist()
    [[2.0, -5.0], [2.0, 5.0]]
    """

    normal: np.ndarray
    offset: float

    def side(self, points: np.ndarray) -> np.ndarray:
        """Return (N,) signed values: positive means the second class."""
        return np.asarray(points) @ self.normal + self.offset

    def ends(self, reach: float) -> np.ndarray:
        """Return two points of the line, (2, 2), `reach` to either side of the one nearest to the origin."""
        length = np.linalg.norm(self.normal)
        along = np.array([-self.normal[1], self.normal[0]]) / length
        return -self.offset / length**2 * self.normal + np.outer([-reach, reach], along)


def pca(features: Features, n: int = 2, fit_on: np.ndarray | pd.Series | None = None) -> Plane:
    """Project mean features onto their principal components (paper 4.2).

    Parameters
    ----------
    features : Features
    n : int, default 2
        Number of components, at most min(N, D).
    fit_on : (N,) bool array, optional
        Rows that define the components; all by default. Every row is projected.

    Returns
    -------
    Plane
        The largest entry of each component is positive, so that figures repeat.

    Raises
    ------
    ValueError
        If there are fewer rows or dimensions than components.

    Notes
    -----
    A class weight has a direction and a bias but no place in feature space: twice the weight is the same
    classifier, only surer. The proxies are therefore drawn at the mean length of the features, in the
    direction of the weights. The anti-ambiguity proxy is left out: training turns its weight away from all
    features, and what is far from them in D dimensions may fall among them in a plane of theirs.

    Examples
    --------
    >>> table = pd.DataFrame({"image": ["a", "b", "c"], "modality": "dic", "class": "interior"})
    >>> plane = pca(Features(np.array([[0.0, 0], [3, 4], [6, 8]]), table, "class_decoder"), n=1)
    >>> plane.points.round(1).ravel().tolist(), plane.explained.round(2).tolist()
    ([-5.0, 0.0, 5.0], [1.0])
    """
    from sklearn.decomposition import PCA

    rows = features.vectors if fit_on is None else features.vectors[np.asarray(fit_on, dtype=bool)]
    if n > min(rows.shape):
        wanted = f"{n} components need as many rows and dimensions"
        raise ValueError(f"{wanted}; the features are {rows.shape}: add images")
    model = PCA(n, svd_solver="full").fit(rows.astype(np.float64))

    def project(vectors: np.ndarray) -> np.ndarray:
        return (vectors - model.mean_) @ model.components_.T  # (M, D) → (M, n)

    proxies = None
    if features.head is not None:
        weights = features.head.weights[[name != "proxy" for name in features.head.names]]
        length = np.linalg.norm(rows, axis=1).mean()
        proxies = project(weights * (length / np.linalg.norm(weights, axis=1, keepdims=True)))
    shares = model.explained_variance_ratio_
    return Plane(project(features.vectors), model.components_, model.mean_, shares, proxies, features)


def decision_boundary(
    plane: Plane, first: str = "background", second: str = "interior", method: str = "logits",
    components: tuple[int, int] = (1, 2),
) -> Boundary:  # fmt: skip
    """Return where in the plane two classes are equally likely (paper Fig. 6b).

    Parameters
    ----------
    plane : Plane
        Of the layer ``"class_decoder"``.
    first, second : str
        Names of classes; `second` lies on the positive side.
    method : {"logits", "bisector"}
        ``"logits"`` is the network's own boundary: equal logits, bias included, in the plane through the mean
        feature. It is exact for features in the plane; others lie off it by what the left-out components add.
        ``"bisector"`` is the perpendicular bisector of the two drawn proxies: what one estimates from the
        proxies alone, without bias and lengths of the weights.
    components : (int, int)
        Numbers of the two components, counted from 1, that span the plane.

    Returns
    -------
    Boundary

    Raises
    ------
    ValueError
        If the features are not the head's input, or if a class, the method or a component is not known.
    """
    head = plane.features.classifier()
    axes = [number - 1 for number in components]
    if len(axes) != 2 or min(axes) < 0 or max(axes) >= len(plane.components):
        raise ValueError(
            f"components={components} are not two of the {len(plane.components)} that were computed; "
            "they count from 1: call pca(…, n=…) with more"
        )
    weight, bias = head.difference(first, second)
    if method == "logits":
        return Boundary(plane.components[axes] @ weight, float(weight @ plane.center + bias))
    if method == "bisector":
        a, b = (plane.proxies[head.names.index(name), axes] for name in (first, second))
        return Boundary(b - a, float(-(b - a) @ (a + b) / 2))
    raise ValueError(f"method={method!r} is not known; choose 'logits' or 'bisector'")


def margins(features: Features, first: str = "background", second: str = "interior") -> np.ndarray:
    """Return how far each mean feature lies from the head's boundary, on its own side or beyond it.

    Paper Fig. 1(b) speaks of modalities "close to the decision boundary": this is that distance, in all
    dimensions.

    Returns
    -------
    (N,) float array
        Distances in feature space, in units of the mean length of the features: positive for a background
        mean on the background's side and an interior mean on the interior's; negative where the mean is on
        the wrong side.

    Raises
    ------
    ValueError
        If the features are not the head's input.
    """
    weight, bias = features.classifier().difference(first, second)
    distance = (features.vectors @ weight + bias) / np.linalg.norm(weight)
    sign = np.where(features.table["class"] == second, 1.0, -1.0)
    return sign * distance / np.linalg.norm(features.vectors, axis=1).mean()
