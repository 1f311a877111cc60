"""GraspNet-baseline with public weights as a GraspPolicy: 6-DOF grasps from the point cloud.

Fang et al., "GraspNet-1Billion: A Large-Scale Benchmark for General Object Grasping", CVPR 2020.

``weights_file`` takes the authors' ``checkpoint-rs.tar`` or ``checkpoint-kn.tar``, or a bare file of parameters under
the same names, whoever trained them. Code and data are for non-commercial use, and no weights are shipped with this
project. No code of the original is used: its CUDA kernels are written anew for the CPU.

The network's frame is the camera's.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
