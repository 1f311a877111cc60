"""The world: cameras, gripper, objects, scenes, rendering, depth noise, benchmark.

First floor of the house: it imports none of the other packages.
"""

from sim.lazy import attach_names

_FORMER = {
    "appearance": "sim.render.appearance",
    "attempt": "sim.benchmark.grasp_attempt",
    "layouts": "sim.objects.collections",
    "meshes": "sim.objects.meshes",
    "parallel": "sim.jobs",
    "policies": "sim.benchmark.baselines",
    "results": "sim.benchmark.statistics",
    "scene_sets": "sim.benchmark.scene_sets",
}
__getattr__, __dir__, __all__ = attach_names(__name__, __file__, former=_FORMER)
