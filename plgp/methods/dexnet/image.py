"""What Dex-Net's networks are shown of an observation: the depth image at the scale of their training."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from plgp.methods.dexnet.network import CROP
from plgp.policy.workspace import Workspace
from sim.camera import PinholeCamera
from sim.depth_image.edges import fill_nearest
from sim.view import Observation

FloatArray = NDArray[np.float64]

# The camera of the training: a Phoxi's focal length in pixels, and the distance of its table, metres.
TRAINED_FOCAL, TRAINED_TABLE = 552.5, 0.78
_SAME_SCALE = 0.1  # share by which the scale may differ before the image is resized


@dataclass(frozen=True)
class DexNetImage:
    """An observation's depth image as Dex-Net's networks see it.

    Attributes:
        depth: (H, W) float32, metres, holes filled.
        allowed: (H, W) bool, pixels at which a grasp's centre may lie.
        camera: Camera of the resized image.
        floor: Camera's z of the table, metres.
        observation: The observation itself.
        filled: Its depth image with holes filled, metres.
    """

    depth: NDArray[np.float32]
    allowed: NDArray[np.bool_]
    camera: PinholeCamera
    floor: float
    observation: Observation = field(repr=False)
    filled: NDArray[np.float32] = field(repr=False)


def see(observation: Observation, workspace: Workspace | None, *, min_height: float) -> DexNetImage | None:
    """Returns the image at the scale of the training, or None where nothing is seen on which a grasp may lie.

    A pixel of the training's camera sees 1.41 mm of its table. Images of another scale are resized: the networks know
    sizes only in pixels.

    Args:
        observation: The observation. The table is where its camera's pose says that the world's ground is; without a
            pose it is the farthest that is seen of the workspace.
        workspace: Box of the grasps; None for anywhere.
        min_height: Height over the table below which no centre may lie, metres. It stands in for the object masks of
            the original.
    """
    depth, camera = observation.depth, observation.camera
    if not (depth > 0).any():
        return None
    filled = fill_nearest(depth)
    inside = np.ones(depth.shape, np.bool_) if workspace is None else workspace.mask(filled, camera)
    if not inside.any():
        return None
    if np.array_equal(camera.pose, np.eye(4)):
        floor = float(np.percentile(filled[inside], 99))
        high = inside & (filled < floor - min_height)
    else:
        floor = float(np.linalg.inv(camera.pose)[2, 3])
        high = inside & Workspace((-np.inf, -np.inf, min_height), (np.inf, np.inf, np.inf)).mask(filled, camera)
    if not high.any() or floor <= 0:
        return None
    factor = TRAINED_FOCAL / TRAINED_TABLE * floor / float(camera.intrinsics[0, 0])
    if abs(factor - 1) <= _SAME_SCALE:
        return DexNetImage(filled, high, camera, floor, observation, filled)
    size = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
    # INTER_NEAREST looks at a pixel's corner, not at its centre: all would lie 0.7 mm to one side.
    small = np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    mask = cv2.resize(high.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return DexNetImage(small, mask, _resized(camera, size), floor, observation, filled)


def _resized(camera: PinholeCamera, size: tuple[int, int]) -> PinholeCamera:
    """Returns the camera of an image that was resized to (width, height); pixel centres are whole numbers."""
    corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    scale = np.diag([size[0] / camera.width, size[1] / camera.height, 1.0])
    intrinsics = np.linalg.inv(corner) @ scale @ corner @ camera.intrinsics
    return PinholeCamera(*size, intrinsics, camera.pose)


def aligned_crops(image: NDArray[np.float32], centre: ArrayLike, angle: ArrayLike) -> NDArray[np.float32]:
    """Returns the squares around grasps, each turned so that its axis lies along the rows; the nearest pixel counts.

    Args:
        image: (H, W) float32, metres. Beyond its border its outermost pixels go on.
        centre: (N, 2) rows and columns of the grasps' centres, pixels.
        angle: (N,) angles theta, radians, counter-clockwise as the image is seen.

    Returns:
        (N, 96, 96) float32, metres; the centre lies at pixel (48, 48).
    """
    centres, angles = np.asarray(centre, np.float64).reshape(-1, 2), np.atleast_1d(np.asarray(angle, np.float64))
    crops = np.empty((len(centres), CROP, CROP), np.float32)
    for crop, (y, x), theta in zip(crops, centres, angles, strict=True):
        turn = np.asarray(cv2.getRotationMatrix2D((float(x), float(y)), -np.degrees(theta), 1.0), np.float64)
        turn[:, 2] += CROP / 2 - np.array([x, y])
        cv2.warpAffine(image, turn, (CROP, CROP), dst=crop, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return crops
