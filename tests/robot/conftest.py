"""A small station: boxes in the tray, and a policy that grasps whatever is highest."""

import numpy as np
import pytest

from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet

ON_ARM = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.2203], "rpy": [0, 0, 0]}})


class HighestPolicy:
    """Grasps the thing under the highest pixel across its narrow side; ``aside`` metres beside it where asked to."""

    name = "highest"

    def __init__(self, aside=0.0):
        self.aside = aside

    def __call__(self, observation, count):
        camera, depth = observation.camera, observation.depth
        rows, cols = np.nonzero(depth > 0)
        points = camera.deproject(rows, cols, depth[rows, cols])
        world = points @ camera.pose[:3, :3].T + camera.pose[:3, 3]
        inside = (np.abs(world[:, :2]) < 0.15).all(axis=1) & (world[:, 2] > 0.01)
        if inside.sum() < 20:
            return GraspPoses.empty("camera")
        points, world = points[inside], world[inside]
        near = np.linalg.norm(world[:, :2] - world[world[:, 2].argmax(), :2], axis=1) < 0.06
        chosen = points[near]
        middle = chosen.mean(axis=0)
        axes = np.linalg.svd(chosen[:, :2] - middle[:2], full_matrices=False)[2]
        closing = np.array([*axes[1], 0.0])
        rotation = np.stack([closing, np.cross([0.0, 0.0, 1.0], closing), [0.0, 0.0, 1.0]], axis=1)
        place = np.array([middle[0] + self.aside, middle[1], chosen[:, 2].min() + 0.025])
        return GraspPoses(place[None], rotation[None], np.array([0.08]), np.array([1.0]), "camera")


@pytest.fixture(scope="session")
def boxes(tmp_path_factory):
    """Three boxes of 30 x 60 x 40 mm and more."""
    folder = tmp_path_factory.mktemp("boxes")
    for i, size in enumerate([(0.03, 0.06, 0.04), (0.035, 0.07, 0.03), (0.025, 0.05, 0.05)]):
        shape = f'<geometry><box size="{size[0]} {size[1]} {size[2]}"/></geometry>'
        (folder / f"box{i}.urdf").write_text(
            f'<robot name="box{i}"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" '
            f'izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision>'
            "</link></robot>"
        )
    return ObjectSet.from_folder(folder)


@pytest.fixture(scope="session")
def station():
    """The Kinova's station with the defaults, boxes to be grasped by the default fingers."""
    pytest.importorskip("ruckig", reason="needs plgp[robot]")
    pytest.importorskip("toppra", reason="needs plgp[robot]")
    from robot.safety import SafetyLimits
    from robot.station import Station

    safety = SafetyLimits(box_low=(-0.3, -0.8, -0.17), box_high=(0.9, 0.8, 0.9), force=60.0)
    return Station(gripper=ON_ARM, safety=safety)


@pytest.fixture(scope="session")
def highest():
    """Makes the policy."""
    return HighestPolicy


@pytest.fixture(scope="session")
def lying(boxes):
    """Makes a scene with boxes flat on the floor at (x, y) places, metres."""
    from sim.scene import SceneState

    def make(*places):
        models = boxes.models[: len(places)]
        bottoms = [-m.mesh().vertices[:, 2].min() for m in models]
        poses = [make_pose(np.eye(3), (x, y, z)) for (x, y), z in zip(places, bottoms, strict=True)]
        return SceneState(tuple(models), np.array(poses))

    return make
