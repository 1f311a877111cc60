"""Rendering: from a scene to what a pinhole and a parallel camera see."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
