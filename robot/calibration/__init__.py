"""Hand-eye calibration: the pose of the camera on the flange, or beside the arm, with its error."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
