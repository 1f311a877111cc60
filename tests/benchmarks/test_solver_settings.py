"""A table over solver settings: do held boxes slip, and how fast are attempts? Run by `make bench`."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from labeler.oracle import LabelOracle
from sim.benchmark.grasp_attempt import AttemptSettings, attempt
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.render import render_view
from sim.scene import SceneState

# Time steps a second, solver iterations, residual at which the solver stops.
SETTINGS = [(240, 150, 1e-4), (240, 150, 3e-4), (240, 150, 1e-3), (240, 50, 3e-4), (240, 50, 1e-4), (240, 10, 1e-4)]
SHAPE = '<geometry><box size="{0} {0} 0.06"/></geometry>'


def box_model(folder: Path, side: float):
    shape = SHAPE.format(side)
    (folder / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    return ObjectSet.from_folder(folder).models[0]


@pytest.mark.parametrize(("rate", "iterations", "residual"), SETTINGS)
def test_held_boxes_and_clutter(benchmark, tmp_path, rate, iterations, residual):
    """100 boxes of 100 g held in the middle; the oracle's first grasps in a 15-object scene for the speed."""
    world = World(
        PhysicsSettings(time_step=1 / rate, solver_iterations=iterations, solver_residual=residual), TraySettings()
    )
    rng = np.random.default_rng(0)
    slips = []
    for number, side in enumerate((0.03, 0.035, 0.04, 0.05)):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = box_model(folder, side)
        for friction, force, _ in itertools.product((0.2, 0.4, 0.6, 0.8, 1.0), (20.0, 30.0, 60.0), range(2)):
            pose = make_pose(Rotation.from_euler("z", rng.uniform(0, np.pi)).as_matrix(), (0, 0, 0.03))
            tip = np.array([[*rng.uniform(-0.004, 0.004, 2), 0.02]])
            rotation = (pose[:3, :3] @ np.diag([1.0, -1, -1]))[None]
            grasp = GraspPoses(tip, rotation, np.array([0.08]), np.ones(1), "world")
            state = SceneState((model,), pose[None])
            slips.append(attempt(world, state, grasp, GripperGeometry(), friction, AttemptSettings(force=force)).slip)
    scene = load_scene_set("plgp-320")["seen-15"][0]
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    grasps = LabelOracle()(render_view(scene, camera, ParallelCamera.covering(2500)), 8)
    grasps = grasps.transform(camera.pose, "world")

    def clutter():
        return [attempt(world, scene, grasps[i], GripperGeometry(), 0.4) for i in range(len(grasps))]

    results = benchmark.pedantic(clutter, rounds=1, iterations=1)
    world.close()
    slips = 1e3 * np.array(slips)
    benchmark.extra_info |= {
        "attempts_per_second": len(results) / benchmark.stats.stats.min,
        "boxes_lost": int(np.isnan(slips).sum()),
        "slip_median_mm": float(np.nanmedian(slips)),
        "slip_max_mm": float(np.nanmax(slips)) if np.isfinite(slips).any() else float("nan"),
        "share_over_2_mm": float(np.mean(slips > 2)),
    }
    assert len(results) == 8
