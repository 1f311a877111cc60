"""The one way in which commands start and fail."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
