"""GQ-CNN and FC-GQ-CNN (Dex-Net 4.0, parallel jaw) with public weights as GraspPolicies.

Mahler et al., "Learning Ambidextrous Robot Grasping Policies", Science Robotics 2019. Satish et al., "On-Policy Dataset
Synthesis for Learning Robot Grasping Policies Using Fully Convolutional Deep Networks", RA-L 2019.

The weights are Berkeley's, free for educational, research and not-for-profit use, and are not shipped with this
project. ``weights_file`` takes the folders that their authors publish (``GQCNN-4.0-PJ``, ``FC-GQCNN-4.0-PJ``):
TensorFlow checkpoints, which are read without TensorFlow. No code of the original is used.

Both networks answer how likely a grasp succeeds whose *centre*, midway between the contacts, lies at a pixel and a
distance from the camera. Their angle runs from the image's columns to its rows, so it is the negative of plgp's.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
