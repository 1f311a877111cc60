"""Your own grasp method in the benchmark: a hand-written policy beside random grasps, on published scenes.

Run it with ``python notebooks/own_policy.py``.
"""

import numpy as np

from sim import GraspPoses, RandomPolicy, load_scene_set, run_benchmark, summarise


class HighestPoint:
    """Grasps what stands highest in the tray, closing along the image's rows."""

    name = "highest-point"

    def __call__(self, observation, count):
        """Returns up to ``count`` grasps in the camera frame, best first; sees .rgb, .depth, .camera."""
        points, _ = observation.point_cloud()  # (N, 3) metres, camera frame: x right, y down, z forward
        points = points[np.abs(points[:, :2]).max(axis=1) < 0.15]  # the tray's middle, seen from straight above
        best = points[np.argsort(points[:, 2])][:: max(1, len(points) // 2000)][:count]
        tips = best + [0, 0, 0.02]  # between the finger tips, 20 mm below the surface
        rotation = np.tile(np.eye(3), (len(best), 1, 1))  # x: closing, z: approach
        return GraspPoses(tips, rotation, np.full(len(best), 0.08), np.linspace(1, 0, len(best)))


if __name__ == "__main__":
    scenes = load_scene_set("plgp-320-v2")["novel-5"][:2]
    for policy in (RandomPolicy(), HighestPoint()):
        attempts = run_benchmark(policy, scenes, frictions=[0.4], workers=2)
        print(summarise(attempts)[["policy", "category", "friction", "SR", "PC", "AP", "attempts"]])
