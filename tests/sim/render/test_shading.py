"""How bright the light makes a face, whichever way it is wound."""

import numpy as np
import pytest

from sim.camera import PinholeCamera, overhead_pose
from sim.render.shading import lambert

CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))
VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float64)


@pytest.mark.parametrize("winding", [(0, 1, 2), (0, 2, 1)])
@pytest.mark.parametrize("tilt", [0.0, 0.7, 1.5])
def test_brightness_is_the_cosine_of_the_lights_tilt(winding, tilt):
    light = 3 * np.array([np.sin(tilt), 0, np.cos(tilt)])
    found = lambert(VERTICES, np.array([winding], np.int32), CAMERA, light=light, ambient=0.25)
    assert found == pytest.approx([0.25 + 0.75 * np.cos(tilt)])


def test_a_face_turned_from_the_light_gets_the_ambient_share():
    found = lambert(VERTICES, np.array([[0, 1, 2]], np.int32), CAMERA, light=np.array([0, 0, -1.0]), ambient=0.25)
    assert found == pytest.approx([0.25])


def test_a_face_without_area_does_not_spoil_the_others():
    faces = np.array([[0, 0, 1], [0, 1, 2]], np.int32)
    found = lambert(VERTICES, faces, CAMERA, light=np.array([0, 0, 1.0]), ambient=0.25)
    assert found == pytest.approx([0.25, 1.0])
