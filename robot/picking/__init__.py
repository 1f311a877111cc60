"""The picking loop: from a picture to an object in the receptacle."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
