"""The HDF5 shard format: write, read, and a folder of shards as one data set."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
