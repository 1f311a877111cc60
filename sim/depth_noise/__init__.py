"""A camera's noise: the paper's, and that of real sensors, fitted to their frames."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
