"""Object sets: named meshes with a scale, their convex parts and their URDFs."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
