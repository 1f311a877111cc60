"""A simulated cell: arm, hand, wrist camera, tray and receptacle in one PyBullet world with its own clock."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
