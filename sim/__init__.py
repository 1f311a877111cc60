"""The world: cameras, gripper, objects, scenes, rendering, depth noise, benchmark.

First floor of the house: imports none of the other packages. Names below are loaded
on first use (PEP 562), so that ``import sim`` stays cheap.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "PinholeCamera": "sim.camera",
    "ParallelCamera": "sim.camera",
    "GripperGeometry": "sim.gripper",
    "PixelGrasps": "sim.grasp",
    "GraspPoses": "sim.grasp",
    "deepest_free_depth": "sim.grasp",
    "ObjectSet": "sim.objects",
    "Scene": "sim.scene",
    "SceneView": "sim.view",
    "render_view": "sim.render",
    "DepthNoise": "sim.depth_noise",
    "Observation": "sim.benchmark",
    "GraspPolicy": "sim.benchmark",
    "run_benchmark": "sim.benchmark",
    "summarise": "sim.results",
    "compare": "sim.results",
    "RandomPolicy": "sim.policies",
    "AntipodalPolicy": "sim.policies",
    "load_scene_set": "sim.scene_sets",
    "read_pose_scene": "sim.pose_scene",
    "write_scene_page": "sim.scene_page",
    "write_replays": "sim.replay",
}
__all__ = ["InputError", *_HOMES]


class InputError(ValueError):
    """Input that a user can mend: its message names the thing and the cure.

    Command lines print it as one sentence, without a traceback.
    """


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sim' has no attribute '{name}'")
