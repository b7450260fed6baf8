"""What the proxy does to features: mean features, planes through their space, the decision boundary.

Comes in: a network and samples. Goes out: tables of features, measures of separability, scatter diagrams.
Paper: section 4.2, figures 1, 6 and 7. Notebook: 03.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
