"""Policies that need no learning: random grasps, antipodal ones on the depth's edges, and other programs'."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
