"""Household-like objects without end: drawn from a seed, with their convex parts known by construction."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
