"""A leaderboard of kept results: one table for each set of scenes and frictions, whoever's method it is."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
