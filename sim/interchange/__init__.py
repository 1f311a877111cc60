"""Grasps and observations as other programs read and write them: hands' frames, grasp files, observation folders."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
