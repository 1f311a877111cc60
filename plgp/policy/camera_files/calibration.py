"""The camera of an image: its intrinsics at the image's size, and its lens undone."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from plgp.policy.camera_files.intrinsics import Intrinsics, parse_intrinsics
from plgp.policy.camera_files.lenses import FISHEYE, RADIAL, known_model
from sim.camera import PinholeCamera
from sim.errors import InputError

_OFF_CENTRE = 0.1  # of the image's size; a principal point that is farther off is another image's


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A camera and what its files say besides.

    Attributes:
        camera: The camera of the rectified image; its pose is the identity.
        distortion: Coefficients of the lens, OpenCV's order; none for an image that is rectified.
        fisheye: Whether they are those of OpenCV's fisheye model, theta_d = theta (1 + k1 theta^2 + ...).
        unit: Metres of one unit of the depth image, or None.
        radius: Distance from the axis, on the plane z = 1, beyond which the lens was not measured.
    """

    camera: PinholeCamera
    distortion: tuple[float, ...] = ()
    fisheye: bool = False
    unit: float | None = None
    radius: float = np.inf

    def rectify(self, image: NDArray[Any], *, order: Literal[0, 1] = 0) -> NDArray[Any]:
        """Returns an image, (H, W) or (H, W, C), of any type, without the lens's distortion; 0 where nothing was seen.

        Args:
            image: The image as the camera saw it.
            order: 0 takes the nearest pixel (depth, masks), 1 is bilinear (colours).
        """
        if not self.distortion:
            return image
        rows, cols = self._seen_at()
        channels = [image] if image.ndim == 2 else [image[..., i] for i in range(image.shape[2])]
        kind = np.uint8 if image.dtype == bool else image.dtype
        undone = [
            map_coordinates(c.astype(kind), np.stack([rows, cols]), order=order, cval=0).astype(image.dtype)
            for c in channels
        ]
        return undone[0] if image.ndim == 2 else np.stack(undone, axis=-1)

    def _seen_at(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the (row, col), (H, W) each, of the camera's image for every pixel of the rectified one."""
        matrix = self.camera.intrinsics
        rows, cols = np.indices((self.camera.height, self.camera.width), dtype=np.float64)
        y = (rows - matrix[1, 2]) / matrix[1, 1]
        x = (cols - matrix[0, 2] - matrix[0, 1] * y) / matrix[0, 0]
        lens = _bent_by_fisheye if self.fisheye else _bent
        bent_x, bent_y = lens(x, y, self.distortion)
        limit = min(self.radius, _fold(self.distortion, float(np.hypot(x, y).max()), lens))
        bent_x[np.hypot(x, y) > limit] = 1e6  # outside, where the polynomial turns back
        return matrix[1, 1] * bent_y + matrix[1, 2], matrix[0, 0] * bent_x + matrix[0, 1] * bent_y + matrix[0, 2]


def _bent(
    x: NDArray[np.float64], y: NDArray[np.float64], lens: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns where a point on the plane z = 1 is seen: OpenCV's radial, tangential, rational and thin-prism model."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (*lens, *[0.0] * (12 - len(lens)))
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + r2 * s4),
    )


def _bent_by_fisheye(
    x: NDArray[np.float64], y: NDArray[np.float64], lens: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns where a point on the plane z = 1 is seen: OpenCV's fisheye model."""
    k1, k2, k3, k4 = lens
    r = np.hypot(x, y)
    t = np.arctan(r)
    bent = t * (1 + t**2 * (k1 + t**2 * (k2 + t**2 * (k3 + t**2 * k4))))
    ratio = np.divide(bent, r, out=np.ones_like(r), where=r > 1e-12)
    return x * ratio, y * ratio


def _fold(lens: tuple[float, ...], farthest: float, bend: Any) -> float:
    """Returns the radius on the plane z = 1 up to which the lens's radial part grows."""
    radius = np.linspace(0, farthest, 1000)
    straight = lens if bend is _bent_by_fisheye else (*lens[:2], 0.0, 0.0, *lens[4:8])
    seen, _ = bend(radius, np.zeros_like(radius), straight)
    folded = np.flatnonzero(np.diff(seen) <= 0)
    return float(radius[folded[0]]) if len(folded) else np.inf


def read_calibration(text: str | Path, size: tuple[int, int], frame: str = "") -> Calibration:
    """Returns the camera of an image, its lens and its unit of depth.

    Args:
        text: "fx,fy,cx,cy" in pixels, or the path of a file; see ``read_intrinsics``.
        size: Height and width of the image, pixels. A file that states another size is scaled, pixel centres being
            at integers.
        frame: Name of the depth image, which chooses in a file of several images.

    Raises:
        InputError: They cannot be read, do not fit the image, or the lens's model is not known.
    """
    found, source = parse_intrinsics(text, frame, size), f"'{text}'"
    height, width = size
    matrix = _at_size(_windowed(found, size, source), size, source)
    _check_focal_length(matrix, size, source)
    _check_centre(matrix, size, source, stated=found.size is not None)
    lens, fisheye = _lens_of(found, source)
    camera = PinholeCamera(width, height, matrix)
    radius = np.inf if found.radius is None else found.radius
    return Calibration(camera=camera, distortion=lens, fisheye=fisheye, unit=found.unit, radius=radius)


def read_intrinsics(text: str | Path, size: tuple[int, int]) -> PinholeCamera:
    """Returns the camera of a rectified image; its pose is unknown and left at the identity.

    Args:
        text: "fx,fy,cx,cy" in pixels, or the path of a JSON, YAML, XML, .intr, text, mat, npy or npz file. A file
            holds the same four keys (or ppx, ppy), or a 3x3 matrix called intrinsics, intrinsic_matrix, camera_matrix,
            cam_K or K, as ROS, OpenCV, Open3D, BOP, GraspNet and RealSense write them.
        size: Height and width of the image, pixels.

    Raises:
        InputError: They cannot be read, do not fit the image, or a lens's distortion has to be undone first.
    """
    found = read_calibration(text, size)
    if found.distortion:
        raise InputError(f"intrinsics '{text}' have distortion; rectify the image, or read it with plgp.predict")
    return found.camera


def _windowed(found: Intrinsics, size: tuple[int, int], source: str) -> Intrinsics:
    """Returns the intrinsics of the part of the sensor that a camera delivers (ROS's roi), where that is the image."""
    if found.window is None or found.size == size:
        return found
    left, top, width, height = found.window
    across, down = found.binning or (1, 1)
    if size not in ((height, width), (height // down, width // across)):
        raise InputError(
            f"intrinsics {source} are for {width}x{height} pixels from ({left}, {top}) on, which is not the "
            f"{size[1]}x{size[0]} image; give the intrinsics of this image"
        )
    moved = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ found.matrix
    return replace(found, matrix=moved, size=(height, width))


def _at_size(found: Intrinsics, size: tuple[int, int], source: str) -> NDArray[np.float64]:
    """Returns the matrix at an image's size; pixel centres are at integers."""
    if found.size is None or found.size == size:
        return found.matrix
    (height, width), (own_height, own_width) = size, found.size
    across, down = width / own_width, height / own_height
    if abs(across * own_height - height) > 1 and abs(down * own_width - width) > 1:
        raise InputError(
            f"intrinsics {source} are for {own_width}x{own_height} pixels, which is not in proportion to the "
            f"{width}x{height} image; give the intrinsics of this resolution"
        )
    scaled = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]]) @ found.matrix
    return np.asarray(scaled, np.float64)


def _check_focal_length(matrix: NDArray[np.float64], size: tuple[int, int], source: str) -> None:
    fx, fy, longer = matrix[0, 0], matrix[1, 1], max(size)
    head = f"the focal length ({fx:g}, {fy:g}) of intrinsics {source}"
    if not (fx > 0 and fy > 0):
        raise InputError(f"{head} is not a positive focal length; give fx and fy in pixels")
    if max(fx, fy) < 10 and max(matrix[0, 2], matrix[1, 2]) <= 2:
        raise InputError(
            f"{head} is no number of pixels: if it is normalised by the image's size, multiply fx, cx by the width and "
            "fy, cy by the height; if it is in millimetres, divide it by the size of a pixel"
        )
    if min(fx, fy) < 0.2 * longer:
        raise InputError(f"{head} is too small for pixels of a {size[1]}x{size[0]} image, as if in millimetres; "
                         "divide it by the size of a pixel")  # fmt: skip
    if max(fx, fy) > 20 * longer:
        raise InputError(f"{head} is too large for a {size[1]}x{size[0]} image; give fx and fy in pixels")
    if not 0.7 < fx / fy < 1.4:
        raise InputError(f"{head} differs between the axes; correct the one that is wrong")
    if abs(matrix[1, 0]) > 0 or abs(matrix[0, 1]) > 0.01 * fx:
        raise InputError(f"intrinsics {source} have a skew of {matrix[0, 1]:g}; rectify the image")


def _check_centre(matrix: NDArray[np.float64], size: tuple[int, int], source: str, *, stated: bool) -> None:
    (height, width), cx, cy = size, matrix[0, 2], matrix[1, 2]
    head = f"the principal point ({cx:g}, {cy:g}) of intrinsics {source}"

    def central(x: float, y: float) -> bool:
        return abs(x / width - 0.5) <= _OFF_CENTRE and abs(y / height - 0.5) <= _OFF_CENTRE

    if not central(cx, cy) and central(cy, cx) and width != height:
        raise InputError(f"{head} fits the {width}x{height} image only with cx and cy swapped; swap them")
    x, y = cx / width, cy / height
    if not (0 <= x < 1 and 0 <= y < 1):
        outside = f"{head} lies outside the {width}x{height} image"
        # Intrinsics of a larger image have both coordinates too large.
        cut = min(x, y) < 0 or min(abs(x - 0.5), abs(y - 0.5)) <= _OFF_CENTRE
        if not (stated and cut and max(abs(x - 0.5), abs(y - 0.5)) <= 1.5):
            raise InputError(
                f"{outside}; give the intrinsics of this resolution, for a crop in a file that states its width and "
                "height"
            )
        print(f"{outside}: it is taken for a crop from beside the camera's axis", file=sys.stderr)
    if not stated and not central(cx, cy):
        wrong = f"cx={cx:g}" if abs(cx / width - 0.5) > abs(cy / height - 0.5) else f"cy={cy:g}"
        raise InputError(
            f"{head} is far from the middle of the {width}x{height} image ({wrong} does not fit); give the intrinsics "
            "of this resolution, for a crop in a file that states its width and height"
        )


def _lens_of(found: Intrinsics, source: str) -> tuple[tuple[float, ...], bool]:
    """Returns the coefficients that count and whether they are a fisheye's."""
    lens = found.distortion
    if not lens and found.unread:
        raise InputError(
            f"intrinsics {source} have '{found.unread}', which is not read as a lens's distortion; call the "
            "coefficients distortion_coefficients, in OpenCV's order, or leave them out if the image is rectified"
        )
    if not any(lens):
        return (), False
    model = known_model(found.model)
    if model in FISHEYE:
        if len(lens) < 4 or any(lens[4:]):
            raise InputError(f"intrinsics {source} have {len(lens)} coefficients of a fisheye; give 4")
        return lens[:4], True
    if model not in RADIAL:
        raise InputError(f"the distortion model '{found.model}' of intrinsics {source} is not known; rectify the image")
    if len(lens) not in (4, 5, 8, 12) and (len(lens) != 14 or any(lens[12:])):
        raise InputError(f"intrinsics {source} have {len(lens)} distortion coefficients; give 4, 5, 8 or 12")
    return lens[:12], False
