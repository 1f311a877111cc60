"""What the benchmark's camera sees of a scene: an observation with noise, or the noiseless view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.benchmark.protocol import BenchmarkSettings
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.depth_noise.model import noise_for_camera
from sim.render.view import render_depth, render_view
from sim.scene import SceneState
from sim.view import Observation, SceneView


def overhead_camera(settings: BenchmarkSettings) -> PinholeCamera:
    """Returns the benchmark's camera: straight above the tray's centre, eq. (2)."""
    c = settings.camera
    return PinholeCamera(c.width, c.height, c.intrinsics, overhead_pose(settings.camera_height))


def observe(state: SceneState, settings: BenchmarkSettings, seed: Sequence[int]) -> Observation:
    """Returns what the benchmark's camera sees.

    Args:
        state: The scene.
        settings: Camera, appearance and noise.
        seed: Seed of appearance and noise. The benchmark's is (its seed, the scene's number, the number of attempts
            of the clearing so far; 0 for the ranked grasps).
    """
    camera = overhead_camera(settings)
    colours = np.random.default_rng(np.random.SeedSequence(list(seed), spawn_key=(0,)))
    depth, _, rgb = render_depth(state, camera, settings.appearance.draw(colours, len(state.models)))
    if settings.depth_noise is not None:
        noise = noise_for_camera(settings.depth_noise, float(camera.intrinsics[0, 0]))
        depth = noise(depth, np.random.default_rng(list(seed)))
    return Observation(rgb, depth, camera)


def noiseless_view(state: SceneState, settings: BenchmarkSettings) -> SceneView:
    """Returns what a privileged policy is handed: the view of the same camera, without noise, with the masks."""
    parallel = ParallelCamera.covering(settings.pixels_per_metre, state.tray.view_side)
    return render_view(state, overhead_camera(settings), parallel)
