"""Policies: from a camera's image through a network's maps to ranked grasps."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
