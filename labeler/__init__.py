"""PDG-Generation: from a SceneView to grasp labels, and from scenes to HDF5 data sets.

Second floor of the house: it imports only sim.
"""

from sim.lazy import attach_names

_FORMER = {"generate": "labeler.dataset.generate", "recipe": "labeler.dataset.recipe"}
__getattr__, __dir__, __all__ = attach_names(__name__, __file__, former=_FORMER)
