"""Policies that need no learning: random grasps, and antipodal ones on the depth's edges."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
