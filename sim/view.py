"""What one camera sees of a scene: arrays only, no simulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.camera import ParallelCamera, PinholeCamera
from sim.errors import InputError


@dataclass(frozen=True)
class ViewObject:
    """One object in a view.

    Attributes:
        name: Name of the object in its ObjectSet.
        scale: Factor on the mesh's lengths.
        mask_value: Value of the object in the masks, 1 ... 255.
        pose_camera: Pose T_camera_object, (4, 4) float64, metres.
        pose_world: Pose T_world_object, (4, 4) float64, metres.
        box: Box (row_min, col_min, row_max, col_max) of the visible pixels, inclusive; all -1 if hidden.
        mass: Mass, kg; None where only images are known.
        centre_of_mass: Centre of mass in the object's frame, (3,) float64, metres; None where only images are known.
    """

    name: str
    scale: float
    mask_value: int
    pose_camera: NDArray[np.float64]
    pose_world: NDArray[np.float64]
    box: tuple[int, int, int, int]
    mass: float | None = None
    centre_of_mass: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class SceneView:
    """RGB-D, masks and the parallel depth image of one view.

    Attributes:
        depth: Depth image, (H, W) float32, metres along the optical axis, 0 = missing.
        instance_mask: Mask, (H, W) integer, 0 = background, else an object's mask value.
        camera: Pinhole camera.
        parallel_depth: Image of eq. (11), (Hp, Wp) float32, metres, 0 = nothing there.
        parallel_mask: Mask of the parallel image, (Hp, Wp) integer, as ``instance_mask``.
        parallel_camera: Parallel camera, in the pinhole camera's frame.
        rgb: Colour picture, (H, W, 3) uint8, or None.
        parallel_back_depth: Farthest surface of the front object along the parallel ray, which shows
            undercuts, (Hp, Wp) float32, metres, 0 on the background; or None.
        objects: Objects, in the order of their mask values.
    """

    depth: NDArray[np.float32]
    instance_mask: NDArray[np.integer]
    camera: PinholeCamera
    parallel_depth: NDArray[np.float32]
    parallel_mask: NDArray[np.integer]
    parallel_camera: ParallelCamera
    rgb: NDArray[np.uint8] | None = None
    parallel_back_depth: NDArray[np.float32] | None = None
    objects: tuple[ViewObject, ...] = ()

    def __post_init__(self) -> None:
        """Checks shapes and values; raises InputError."""
        size = (self.camera.height, self.camera.width)
        parallel_size = (self.parallel_camera.height, self.parallel_camera.width)
        for name, array, shape in (
            ("depth", self.depth, size),
            ("instance_mask", self.instance_mask, size),
            ("parallel_depth", self.parallel_depth, parallel_size),
            ("parallel_mask", self.parallel_mask, parallel_size),
            ("rgb", self.rgb, (*size, 3)),
            ("parallel_back_depth", self.parallel_back_depth, parallel_size),
        ):
            if array is not None and array.shape != shape:
                raise InputError(f"SceneView.{name} has shape {array.shape}, its camera says {shape}")
        check_depth_image(self.depth, "SceneView.depth")
        check_depth_image(self.parallel_depth, "SceneView.parallel_depth")


@dataclass(frozen=True)
class Observation:
    """An image from a camera, a benchmark's or a real one: what a policy is shown.

    Attributes:
        rgb: (H, W, 3) uint8, red first; None where the camera gives no colours. The benchmark always gives them. Frames
            of cv2 and of ROS's bgr8 are blue first: ``frame[..., ::-1]``.
        depth: (H, W) float32, metres, with the sensor's noise, 0 = missing.
        camera: The camera; its pose in the world is the identity where it is unknown.
    """

    rgb: NDArray[np.uint8] | None
    depth: NDArray[np.float32]
    camera: PinholeCamera

    def __post_init__(self) -> None:
        """Checks shapes; raises InputError."""
        size = (self.camera.height, self.camera.width)
        if self.depth.shape != size:
            raise InputError(f"the depth image is {self.depth.shape}, its camera {size}; give (height, width) alike")
        if self.rgb is not None and (self.rgb.shape != (*size, 3) or self.rgb.dtype != np.uint8):
            raise InputError(f"the RGB image is {self.rgb.dtype} {self.rgb.shape}; give uint8 {(*size, 3)}, red first")

    def point_cloud(self) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
        """Returns the points that are seen.

        Returns:
            ``points`` (N, 3) float64, camera frame, metres, and ``colours`` (N, 3) uint8, or None without RGB.
        """
        rows, cols = np.nonzero(self.depth > 0)
        colours = None if self.rgb is None else self.rgb[rows, cols]
        return self.camera.deproject(rows, cols, self.depth[rows, cols]), colours


def check_depth_image(depth: NDArray[np.floating], name: str = "depth image") -> None:
    """Raises InputError unless ``depth`` is a 2-D image in metres with something in it.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        name: Name of the image in the message.
    """
    if depth.ndim != 2:
        raise InputError(f"{name} has shape {depth.shape}; give one (height, width) image")
    if not np.issubdtype(depth.dtype, np.floating):
        raise InputError(f"{name} has dtype {depth.dtype}; give metres as float32")
    if not np.isfinite(depth).all():
        raise InputError(f"{name} holds NaN or infinite values; mark missing pixels with 0")
    if depth.min() < 0:
        raise InputError(f"{name} holds negative depths; give metres, 0 = missing")
    if not depth.any():
        raise InputError(f"{name} is zero everywhere; nothing was seen")
