"""Arms that come with the package, and arms with hand and camera as one body."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
