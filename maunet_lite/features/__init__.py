"""What the proxy does to features: mean features, planes through their space, the decision boundary.

Comes in: a network and samples. Goes out: tables of features, measures of separability, scatter diagrams.
Paper: section 4.2, figures 1, 6 and 7. Notebook: 03.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.modules[__name__].__class__ = Room
