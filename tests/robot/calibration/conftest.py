"""Rendered pictures of a board, by a homography of its print, and the pose that a robot claims."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot.calibration import Board, propose_poses, sample_picture
from robot.calibration.board import PIXELS_PER_MM
from sim.camera import PinholeCamera
from sim.geometry import make_pose

FINE = 3  # rays a pixel and axis
TRUE_CAMERA = make_pose(Rotation.from_euler("xyz", [4, -3, 91], degrees=True).as_matrix(), (0.031, -0.072, 0.045))
TRUE_BOARD = make_pose(Rotation.from_euler("xyz", [179, 2, 30], degrees=True).as_matrix(), (0.45, 0.05, 0.02))
LENS = PinholeCamera.from_fov(640, 480, np.radians(43))


def render(board, seen, camera, rng=None):
    """The board at T_camera_board on grey, with the noise of a colour camera."""
    printed = board.picture()
    metre = 1000 * PIXELS_PER_MM
    to_board = np.array([[1 / metre, 0, 0.5 / metre], [0, 1 / metre, 0.5 / metre], [0, 0, 1]])
    fine = np.array([[FINE, 0, (FINE - 1) / 2], [0, FINE, (FINE - 1) / 2], [0, 0, 1]])
    plane = fine @ camera.intrinsics @ np.column_stack([seen[:3, 0], seen[:3, 1], seen[:3, 3]]) @ to_board
    size = (FINE * camera.width, FINE * camera.height)
    small = cv2.GaussianBlur(printed, (0, 0), 3)  # the print has four times the picture's resolution
    large = cv2.warpPerspective(small, plane, size, flags=cv2.INTER_LINEAR, borderValue=140)
    grey = cv2.resize(large, (camera.width, camera.height), interpolation=cv2.INTER_AREA).astype(float)
    if rng is not None:
        grey = 20 + 0.8 * grey + rng.normal(0, 2, grey.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def noisy(pose, rng, *, metres, radians):
    """A robot's claim: rigid noise of the given size along and about each axis."""
    return pose @ make_pose(Rotation.from_rotvec(rng.normal(0, radians, 3)).as_matrix(), rng.normal(0, metres, 3))


def take_pictures(seed, *, count=20, metres=0.0005, radians=0.00105, mount="flange", board=None, **options):
    """Samples of rendered pictures, as a robot with errors would take them."""
    rng, board = np.random.default_rng(seed), board or Board()
    middle = make_pose(np.eye(3), board.corners.mean(0))
    samples = []
    for i, flange in enumerate(propose_poses(TRUE_BOARD @ middle, TRUE_CAMERA, rng, count=count, **options)):
        picture = render(board, np.linalg.inv(flange @ TRUE_CAMERA) @ TRUE_BOARD, LENS, rng)
        carrier = flange if mount == "flange" else np.linalg.inv(flange)
        claimed = noisy(carrier, rng, metres=metres, radians=radians)
        samples.append(sample_picture(picture, claimed, board, camera=LENS, name=f"{i:03d}.png"))
    return samples


@pytest.fixture(scope="session")
def camera_world():
    """The world behind the pictures: ``render``, ``noisy``, ``take_pictures``, the true poses and the lens."""
    return SimpleNamespace(
        **{f.__name__: f for f in (render, noisy, take_pictures)}, camera=TRUE_CAMERA, board=TRUE_BOARD, lens=LENS
    )


@pytest.fixture(scope="session")
def pictures():
    return take_pictures(0)
