"""The bin-picking benchmark of section III-E: any policy, measured by really grasping."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
