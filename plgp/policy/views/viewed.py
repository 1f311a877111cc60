"""From a camera's image to the view that a network was trained for, and back with the grasps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from plgp.data.trained_view import TrainedView
from plgp.policy.settings import DecoderSettings, ViewSettings
from sim.camera import PinholeCamera
from sim.depth_image.main_plane import ALONE, LEVEL, MainPlane, find_main_plane, main_plane
from sim.depth_image.overhead_view import OverheadView
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps, deepest_free_depth
from sim.gripper import GripperGeometry
from sim.view import Observation

_AS_IS = "the network is shown the image as it is"
_SQUARE = 0.02  # difference of a pixel's sides up to which an angle in the image is one in space, within 0.6 degrees
_PLANE = 0.006  # metres from the main plane within which a pixel shows it
_THING, _HOLES = 0.008, 0.02  # metres on or under a plane, and share of what is seen that lies so far under it
_TALL, _MUCH = 0.35, 0.1  # metres over a plane, and share of what is seen from which on so high: then it may be a wall
_BELOW = 0.02, 0.15, 0.25  # metres under a plane, from and to, and share of what is seen that is seldom there
_FINE = 0.01  # of the depth: what stands lower over the plane may be noise
_FEW = 20  # of the pixels that are looked at
_LOOKED_AT = 320  # columns of the image, about, that tell so
_TWICE = 2.0  # times as much as of a level plane may be seen of one that leans, before the pose is doubted
_PATCH = 0.03  # of the plane's largest patch: what smaller ones show is the side of a thing that crosses the plane
_BESIDE = 0.02  # metres beyond what is seen of the plane that still count as over it


@dataclass(frozen=True)
class ViewedGrasps:
    """Grasps that were found in a camera's image, perhaps through another view of it.

    Attributes:
        pixels: The grasps as the camera sees them: the pixel and the angle in its image. The depth is along the
            approach, and so is the width's plane across it: without a view, along the optical axis.
        poses: The grasps in the camera's frame.
        view: What the network was shown instead of the image; None where it was shown the image as it is.
        shown: The grasps in the image that the network was shown.
        allowed: (h, w) bool, where in the view's image grasps may lie; None without a view.
        note: Sentence about a view that was wanted and could not be had, or about a doubtful one, or "".
    """

    pixels: PixelGrasps
    poses: GraspPoses
    view: OverheadView | None
    shown: PixelGrasps
    allowed: NDArray[np.bool_] | None = None
    note: str = ""

    def __getitem__(self, some: slice) -> ViewedGrasps:
        """Returns some of the grasps."""
        pixels = self.pixels[some]
        shown = pixels if self.shown is self.pixels else self.shown[some]
        return replace(self, pixels=pixels, poses=self.poses[some], shown=shown)


def choose_view(
    seen: Observation, trained: TrainedView | None, settings: ViewSettings
) -> tuple[OverheadView | None, str]:
    """Returns the view that a network should be shown, or None for the image as it is; and a note of doubt, or "".

    Where the camera's pose is known (it is not the identity), the main plane lies across gravity, if one does; if none
    does, the largest is taken, and the note says so.

    Args:
        seen: The image.
        trained: The network's world in training; None where it is not known.
        settings: The settings.
    """
    if settings.mode == "as_is":
        return None, _doubt_about_pixels(seen)
    if trained is None:
        if settings.mode == "trained":
            return None, f"the network does not know its trained view: {_AS_IS}; train it again"
        return None, _doubt_about_pixels(seen)
    plane = main_plane(seen, settings.least_share)
    if plane is None or plane.share < settings.least_share:
        share = 0.0 if plane is None else plane.share
        return None, f"no plane holds more than {100 * share:.0f} % of what is seen: {_AS_IS}; show more of the table"
    leaning = _leaning(seen, plane)
    if plane.tilt > settings.steepest:
        lean = np.degrees(plane.tilt)
        steep = f"the main plane leans by {lean:.0f} degrees: {_AS_IS}; look at the table more from above"
        return None, leaning or steep
    if settings.mode == "auto" and not differs(plane, trained, settings) and not _doubt_about_pixels(seen):
        return None, leaning
    view = trained.to_view(seen, plane)
    if not (view.source >= 0).any():
        return None, f"nothing is seen of the main plane from {trained.camera_height:g} m above it: {_AS_IS}"
    return view, leaning or _doubt(seen, plane)


def _doubt_about_pixels(seen: Observation) -> str:
    """Returns a sentence where the camera's pixels are not square, or ""."""
    ratio = float(seen.camera.intrinsics[0, 0] / seen.camera.intrinsics[1, 1])
    if abs(ratio - 1) <= _SQUARE:
        return ""
    most = np.degrees(np.arcsin(abs(ratio - 1) / (ratio + 1)))  # the greatest of arctan(ratio tan a) - a
    return (
        f"the camera's pixels are not square (fx/fy {ratio:.2f}), so the hand's turn is wrong by up to {most:.0f} "
        "degrees; give view=trained, or images with square pixels"
    )


def _leaning(seen: Observation, plane: MainPlane) -> str:
    """Returns a sentence where the pose is known, and what is seen most of leans against gravity by it, or ""."""
    pose = seen.camera.pose
    if np.allclose(pose, np.eye(4)):
        return ""
    if plane.share < ALONE:  # a wrong pose finds some level plane, too
        largest = find_main_plane(seen.depth, seen.camera)
        plane = largest if largest is not None and largest.share > _TWICE * plane.share else plane
    lean = np.degrees(np.arccos(np.clip(pose[2, :3] @ plane.normal, -1, 1)))
    if lean <= np.degrees(LEVEL):
        return ""
    return (
        f"by the camera's pose the plane that is seen most of leans by {lean:.0f} degrees against gravity; if it is "
        "the table, give T_world_camera, z up, or leave the pose out"
    )


def _looked_at(seen: Observation) -> tuple[int, NDArray[np.float32], PinholeCamera]:
    """Returns a step, every step-th pixel of the depth, and the camera of these."""
    step = max(1, seen.camera.width // _LOOKED_AT)
    some, scaled = seen.depth[::step, ::step], seen.camera.intrinsics.copy()
    scaled[:2] /= step
    return step, some, PinholeCamera(some.shape[1], some.shape[0], scaled)


def doubt_beside(seen: Observation, view: OverheadView, allowed: NDArray[np.bool_] | None) -> str:
    """Returns a sentence where much of what is seen over the main plane lies beside a view of it, or "".

    Args:
        seen: The image.
        view: The view, from straight above.
        allowed: (H, W) bool, the workspace in the image; None is everywhere.
    """
    step, some, camera = _looked_at(seen)
    heights = np.nan_to_num(view.plane.heights(some, camera))
    things = (heights > np.maximum(_THING, _FINE * some)) & (heights < _TALL)
    if allowed is not None:
        things &= allowed[::step, ::step]
    rows, cols = np.nonzero(things)
    above, to_view = view.seen.camera, np.linalg.inv(view.pose)
    r, c, depth = above.project(transform(to_view, camera.deproject(rows, cols, some[rows, cols])))
    beside = (depth > 0) & ~((r >= 0) & (r < above.height) & (c >= 0) & (c < above.width))
    if beside.sum() < max(_FEW, _MUCH * len(rows)):
        return ""
    return (
        f"{100 * beside.mean():.0f} % of what is seen on the main plane lies beside the trained view, where no grasp "
        "is looked for; give view=as_is, or point the camera at the things"
    )


def _doubt(seen: Observation, plane: MainPlane) -> str:
    """Returns a sentence where the main plane may be a wall or the tops of things, or depth may be inverse, or ""."""
    _, some, camera = _looked_at(seen)
    above = plane.heights(some, camera)
    heights = above[some > 0]
    if not len(heights):
        return ""
    under, over = (float((part > _THING).mean()) for part in (-heights, heights))
    if under > max(_HOLES, 10 * over):
        return (
            f"{100 * under:.0f} % of what is seen lies under the main plane and next to nothing on it: inverse depth "
            "and disparity look so; give metres in front of the camera, or camera_pose= if the things do lie lower"
        )
    if not np.allclose(seen.camera.pose, np.eye(4)):  # gravity is known
        return ""
    below = (above < -_BELOW[0]) & (above > -_BELOW[1])
    share = float(below.sum() / len(heights))
    regions = cv2.erode(below.astype(np.uint8), np.ones((3, 3), np.uint8))  # noise has none
    if regions.sum() > _BELOW[2] * len(heights):
        return (
            f"{100 * share:.0f} % of what is seen lies closely under the main plane: it may be the tops of things that "
            "stand close together, and lower ones are passed over; if it is, give camera_pose="
        )
    share = float((heights > _TALL).mean())
    if share < _MUCH:
        return ""
    return (
        f"{100 * share:.0f} % of what is seen stands {_TALL:g} m or more over the main plane: it may be a wall behind "
        "the things; if it is, give camera_pose=, or look at the table more from above"
    )


def differs(plane: MainPlane, trained: TrainedView, settings: ViewSettings) -> bool:
    """Returns whether a camera sees a plane otherwise than in training, by more than does no harm."""
    distance = plane.distance / -plane.normal[2] / trained.camera_height
    return not settings.nearer <= distance <= settings.farther or plane.tilt > settings.tilt


def graspable(view: OverheadView, allowed: NDArray[np.bool_] | None, settings: ViewSettings) -> NDArray[np.bool_]:
    """Returns the pixels of a view from straight above at which grasps may lie, (H, W) bool.

    Args:
        view: The view.
        allowed: (H, W) bool, the workspace in the first camera's image; None is everywhere.
        settings: The settings; ``least_height`` and ``on_plane`` count.
    """
    heights = view.heights()
    result = view.source >= 0
    if allowed is not None:
        result &= allowed.ravel()[view.source]
    result &= np.nan_to_num(heights, nan=-1.0) >= settings.least_height
    if settings.on_plane:
        result &= _over_plane(view, heights)
    return result


@dataclass(frozen=True)
class PlaneExtent:
    """Where the main plane is seen.

    Attributes:
        above: View from straight above.
        covered: (H, W) uint8, where in its image the plane is: 1 inside its patches' convex hull; None if unseen.
    """

    above: OverheadView
    covered: NDArray[np.uint8] | None

    @classmethod
    def of(cls, above: OverheadView) -> PlaneExtent:
        """Returns the extent of a view's plane; the view looks straight down."""
        return cls(above, _covered(above, above.heights()))

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns whether points (N, 3) of the first camera's frame lie over the plane, as far as it is seen, (N,)."""
        if self.covered is None:
            return np.ones(len(points), np.bool_)
        plane, camera = self.above.plane, self.above.seen.camera
        feet = points - (points @ plane.normal + plane.distance)[:, None] * plane.normal
        r, c, _ = camera.project(transform(np.linalg.inv(self.above.pose), feet))
        r, c = np.round(r).astype(np.int64), np.round(c).astype(np.int64)
        inside = (r >= 0) & (r < camera.height) & (c >= 0) & (c < camera.width)
        return np.asarray(inside & (self.covered[np.where(inside, r, 0), np.where(inside, c, 0)] > 0), np.bool_)


def graspable_leaning(
    view: OverheadView, allowed: NDArray[np.bool_] | None, settings: ViewSettings, *, extent: PlaneExtent
) -> NDArray[np.bool_]:
    """Returns the pixels of a leaning view at which grasps may lie, (H, W) bool: those that nothing unseen may hide.

    Args:
        view: The view.
        allowed: (H, W) bool, the workspace in the first camera's image; None is everywhere.
        settings: The settings; ``least_height`` and ``on_plane`` count.
        extent: Where the main plane is seen.
    """
    result = (view.source >= 0) & (view.ceiling >= view.seen.depth - np.float32(1e-4))
    if allowed is not None:
        result &= allowed.ravel()[view.source]
    rows, cols = np.nonzero(result)
    points = transform(view.pose, view.seen.camera.deproject(rows, cols, view.seen.depth[rows, cols]))
    good = points @ view.plane.normal + view.plane.distance >= settings.least_height
    if settings.on_plane:
        good[good] = extent.holds(points[good])
    result[rows, cols] = good
    return result


def _covered(view: OverheadView, heights: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Returns where in a view from straight above the plane is: 1 inside its patches' convex hull; None if unseen."""
    plain = (np.abs(np.nan_to_num(heights, nan=1.0)) < _PLANE).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(plain, connectivity=4)
    area = stats[1:, cv2.CC_STAT_AREA]  # the first is what is not plain
    large = np.concatenate([[False], area >= _PATCH * area.max(initial=1)])[labels]
    rows = np.flatnonzero(large.any(axis=1))
    if not len(rows):
        return None
    # The hull of each row's first and last pixel is that of all.
    first, last = large[rows].argmax(axis=1), large.shape[1] - 1 - large[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.concatenate([first, last]), np.concatenate([rows, rows])], axis=1)
    covered = np.zeros(plain.shape, np.uint8)
    cv2.fillConvexPoly(covered, cv2.convexHull(ends.astype(np.int32)), 1)
    above = view.plane.distance_from(view.pose[:3, 3])
    around = 2 * round(_BESIDE * view.seen.camera.intrinsics[0, 0] / above) + 1
    return np.asarray(cv2.dilate(covered, np.ones((around, around), np.uint8)), np.uint8)


def _over_plane(view: OverheadView, heights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns the pixels whose points lie over the plane, as far as it is seen: inside its patches' convex hull."""
    covered = _covered(view, heights)
    if covered is None:
        return np.ones(heights.shape, np.bool_)
    m, above = view.seen.camera.intrinsics, view.plane.distance_from(view.pose[:3, 3])
    # A point's foot is nearer to the image's middle than the point: the higher, the nearer.
    shrink = view.seen.depth / np.float32(above)
    height, width = heights.shape
    to_cols = (np.arange(width, dtype=np.float32)[None] - np.float32(m[0, 2])) * shrink + np.float32(m[0, 2])
    to_rows = (np.arange(height, dtype=np.float32)[:, None] - np.float32(m[1, 2])) * shrink + np.float32(m[1, 2])
    return np.asarray(cv2.remap(covered, to_cols, to_rows, cv2.INTER_NEAREST), np.uint8) > 0


def _fingers_seen(poses: GraspPoses, seen: Observation) -> NDArray[np.bool_]:
    """Returns whether both finger tips appear inside an image, (N,) bool; the grasps are in its camera's frame."""
    reach = poses.rotation[:, :, 0] * (poses.width / 2)[:, None]
    inside = np.ones(len(poses), np.bool_)
    for tips in (poses.translation - reach, poses.translation + reach):
        rows, cols, depth = seen.camera.project(tips)
        inside &= (depth > 0) & (rows >= 0) & (rows < seen.camera.height) & (cols >= 0) & (cols < seen.camera.width)
    return inside


def bring_back(
    shown: PixelGrasps,
    view: OverheadView,
    seen: Observation,
    *,
    gripper: GripperGeometry,
    decoder: DecoderSettings,
    approach: str,
) -> ViewedGrasps:
    """Returns a view's grasps as the first camera's, along the approach that is asked for.

    Grasps with a finger beyond the first image's border are dropped: nobody knows what is there. Along the optical
    axis, a grasp keeps its place and its closing direction as the camera sees it; how deep it goes
    is what the first image leaves free, and those that cannot go down so are dropped.

    Args:
        shown: The grasps in the view's image.
        view: The view.
        seen: The first camera's image.
        gripper: The gripper.
        decoder: The decoder's settings, whose margins count along the optical axis.
        approach: "plane" or "axis", as in ``ViewSettings``.
    """
    poses = shown.to_poses(view.seen.depth, view.seen.camera).transform(view.pose, "camera")
    known = _fingers_seen(poses, seen)
    shown, poses = shown[known], poses[known]
    row, col = np.divmod(view.source[shown.row, shown.col], seen.camera.width)
    closing = poses.rotation[:, :, 0]
    angle = np.arctan2(-closing[:, 1], closing[:, 0])
    pixels = PixelGrasps(row, col, shown.depth, angle, shown.width, shown.quality)
    if approach == "plane":
        return ViewedGrasps(pixels, poses, view, shown)
    margins = decoder.margin, decoder.depth_margin
    free = deepest_free_depth(seen.depth, seen.camera, gripper, row, col, pixels.angle, pixels.width, *margins)
    pixels = PixelGrasps(row, col, free, pixels.angle, pixels.width, shown.quality)
    down = np.nan_to_num(free, nan=-1.0) >= decoder.close_depth
    pixels, shown = pixels[down], shown[down]
    return ViewedGrasps(pixels, pixels.to_poses(seen.depth, seen.camera), view, shown)
