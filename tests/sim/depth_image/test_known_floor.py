"""A plane in place of its own noise: exact on the plane, nothing else touched."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.camera import PinholeCamera
from sim.depth_image.known_floor import with_known_floor
from sim.depth_image.main_plane import MainPlane

CAMERA = PinholeCamera(64, 48, [[60.0, 0, 31.5], [0, 62.0, 23.5], [0, 0, 1]])


def plane_of(tilt: float, side: float, distance: float, scatter: float) -> MainPlane:
    normal = -np.array([np.sin(tilt) * np.cos(side), np.sin(tilt) * np.sin(side), np.cos(tilt)])
    return MainPlane(normal, distance, scatter, 0.8)


def on_plane(plane: MainPlane, height: float) -> np.ndarray:
    """The depth image of a plane so far above another, pixel by pixel."""
    row, col = np.indices((CAMERA.height, CAMERA.width)).reshape(2, -1)
    rays = CAMERA.deproject(row, col, np.ones(len(row)))
    depth = (height - plane.distance) / (rays @ plane.normal)
    return depth.reshape(CAMERA.height, CAMERA.width).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0, 0.6),
    st.floats(0, 6.3),
    st.floats(0.3, 1.2),
    st.floats(0, 0.006),
    st.floats(0.0005, 0.005),
    st.integers(0, 9),
)
def test_noise_on_the_plane_goes_and_things_stay(
    tilt: float, side: float, distance: float, lowered: float, scatter: float, seed: int
) -> None:
    plane, rng = plane_of(tilt, side, distance, scatter), np.random.default_rng(seed)
    heights = rng.uniform(-2.4, 2.4, (CAMERA.height, CAMERA.width)) * min(scatter, 0.004)
    floor, step = on_plane(plane, 0.0), on_plane(plane, 1.0) - on_plane(plane, 0.0)
    depth = (floor + heights * step).astype(np.float32)
    thing, missing = np.s_[10:20, 15:30], np.s_[30:35, 40:50]
    depth[thing] = (floor + 0.02 * step)[thing]
    depth[missing] = 0
    result = with_known_floor(depth, CAMERA, plane, lowered=lowered)
    expected = on_plane(plane, -lowered)
    expected[thing], expected[missing] = depth[thing], 0
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)
    np.testing.assert_array_equal(result[thing], depth[thing])


def test_whatever_the_scatter_ten_millimetres_are_a_thing() -> None:
    plane = plane_of(0.0, 0.0, 0.6, 0.05)
    depth = on_plane(plane, 0.011)
    np.testing.assert_array_equal(with_known_floor(depth, CAMERA, plane), depth)


def test_a_still_camera_keeps_low_things() -> None:
    plane = plane_of(0.0, 0.0, 0.6, 0.001)
    depth = on_plane(plane, 0.003)
    np.testing.assert_array_equal(with_known_floor(depth, CAMERA, plane), depth)
