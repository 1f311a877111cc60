"""What a shard holds of one image, and how depth is stored.

A shard of N images holds ``rgb`` (N, H, W, 3) uint8, ``depth`` and ``depth_noisy`` (N, H, W) uint16 in 0.1 mm (0 =
missing), ``instance_mask`` (N, H, W) uint8 (0 = background, else ``objects/mask_value``), ``camera/intrinsics``
(N, 3, 3) and ``camera/pose`` (N, 4, 4), the camera in the world, ``scene`` and ``view`` (N,). Labels and objects are
flat arrays: those of image i are [offsets[i], offsets[i + 1]) of ``grasps/*`` and of ``objects/*``. Labels may have
their scores, ``grasps/score`` uint8 in 1/255.

Where images are of several sizes, H and W are the largest. Each image lies in the upper left corner, with 0 beyond it,
and ``camera/size`` (N, 2) uint16 holds its rows and columns.

A file that bears its final name is whole: everything is written under a temporary name, synced and renamed. Files are
opened on first use in each process, never before a fork or a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from labeler.labels import GraspLabels
from sim.view import ViewObject

DEPTH_UNIT = 1e-4  # metres per step of the stored depth
IMAGES = {  # type and colour channels
    "rgb": (np.uint8, 3),
    "depth": (np.uint16, 0),
    "depth_noisy": (np.uint16, 0),
    "instance_mask": (np.uint8, 0),
}
GRASPS = {"row": np.uint16, "col": np.uint16, "angle_bin": np.uint8, "depth": np.float32, "width": np.float32}
SIZE = "camera/size"  # of a shard whose images are of several sizes
SCORE = "grasps/score"  # optional: labels of data sets that are made without have score 0 when read
SCORE_STEPS = 255
TRAYS = "trays"  # note of a shard whose scenes have trays of their own


class Frame(TypedDict, total=False):
    """One image with everything that belongs to it.

    Keys: ``rgb`` (H, W, 3) uint8; ``depth``, ``depth_noisy`` (H, W) float32, metres, 0 = missing;
    ``instance_mask`` (H, W) uint8, 0 = background; ``grasps``; ``intrinsics`` (3, 3) float64, pixels;
    ``pose`` (4, 4) float64 T_world_camera, metres; ``objects``; ``scene``, ``view`` numbers; ``tray``, beside
    ``objects``, where scenes have their own. On reading, only the images and objects that were asked for are there.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    depth_noisy: NDArray[np.float32]
    instance_mask: NDArray[np.uint8]
    grasps: GraspLabels
    intrinsics: NDArray[np.float64]
    pose: NDArray[np.float64]
    objects: tuple[ViewObject, ...]
    scene: int
    view: int
    tray: Mapping[str, float]


def encode_depth(depth: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Returns depth (metres) as uint16 steps of 0.1 mm; 0 stays 0, the range ends at 6.55 m."""
    steps = np.rint(np.asarray(depth, np.float64) / DEPTH_UNIT)
    return np.where(depth > 0, np.clip(steps, 1, 65535), 0).astype(np.uint16)


def decode_depth(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Returns uint16 steps of 0.1 mm as float32 metres."""
    return steps.astype(np.float32) * np.float32(DEPTH_UNIT)
