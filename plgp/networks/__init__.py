"""Networks: (B, C, H, W) images in, three logit maps of the same size out."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
