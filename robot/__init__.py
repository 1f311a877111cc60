"""A grasp policy on a real or simulated arm.

Fourth floor of the house: it may import sim, labeler and plgp.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
