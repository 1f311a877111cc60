"""Drivers of real devices; each needs an extra of the package, named in its module."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
