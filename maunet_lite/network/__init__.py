"""MAUNet: an encoder, two decoders, the anti-ambiguity proxy; its checkpoints, and what it consists of.

Comes in: (B, 3, H, W). Goes out: logits (B, 4, H, W) and a distance (B, 1, H, W), in an `Output`.
Paper: sections 2.2.1 to 2.2.3, tables 1 and 2. Notebook: 02.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
