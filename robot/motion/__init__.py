"""Motions of an arm: kept clear of things, within the joints' limits, or named unreachable."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
