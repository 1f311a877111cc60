"""Contact-GraspNet with public weights as a GraspPolicy: a peer's 6-DOF grasps on the same scenes.

Sundermeyer et al., "Contact-GraspNet: Efficient 6-DoF Grasp Generation in Cluttered Scenes", ICRA 2021.

The weights are those of the PyPI wheel ``cgn-pytorch`` 0.4.3 (S. Peralta, after A. Sarmiento's port): a retraining
in PyTorch, not NVIDIA's checkpoint. The wheel's metadata says MIT, without a licence text. NVIDIA's own code and
checkpoint, which are not used here, are licensed for non-commercial use; the ACRONYM grasps that the weights were
trained on are CC BY-NC 4.0. Take the weights as for research only. They are not shipped with this project.

The wheel pins torch 2.1 and NumPy 1.26 and needs torch-cluster, so none of its code is imported: its checkpoint file
is read, and ``network`` is written anew. ``pip install --no-deps cgn-pytorch==0.4.3`` puts the file in its place.

The network's frame is the world's axes (z up) with the cloud's mean as origin, though its paper speaks of the camera's
frame. Of 100 grasps each, 66 lift where the cloud is given in the world's axes, and none where it is given in the
camera's.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
