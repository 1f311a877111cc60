"""GQ-CNN and FC-GQ-CNN trained on this project's data, under three supervisions that are kept apart.

The public weights answer another question than networks that learn from plgp's labels: they saw other objects, another
gripper and another camera. Here the same two networks learn from the same shards, so that architecture and data can be
told apart. What comes of a grasp is said in one of three ways (``ExampleSettings.supervision``):

- "all": a label succeeds, and everything else fails. plgp's own networks are told the same.
- "sure": a label succeeds. Only what finds no room for the fingers fails: about half of the grasps that the labeler
  turns down for its caution's sake lift all the same.
- "outcomes": what came of it when it was executed in simulation, label or not.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
