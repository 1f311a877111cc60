"""A camera's own files: colour and depth images, intrinsics, where to grasp. No data set, no simulator."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
