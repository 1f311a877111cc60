"""Table V: the paper's protocol of real grasping, in the simulated cell or on hardware."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
