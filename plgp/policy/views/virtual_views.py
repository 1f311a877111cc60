"""One image through several views of its points: straight down at the main plane, and leaning to all sides.

A hand that comes in along a leaning view's axis reaches what it cannot from straight above. What the camera did not see
is not free: a leaning view takes it as full (``OverheadView.ceiling``), a hand that would leave the camera's image or
come through the main plane is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plgp.data.trained_view import TrainedView
from plgp.policy.settings import DecoderSettings, ViewSettings, VirtualViews
from plgp.policy.views.viewed import PlaneExtent, ViewedGrasps, bring_back, graspable_leaning
from sim.depth_image.main_plane import MainPlane
from sim.depth_image.overhead_view import OverheadView
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.view import Observation

BoolArray = NDArray[np.bool_]
Decode = Callable[[OverheadView, BoolArray], PixelGrasps]

_UPRIGHT = 0.1  # radians of tilt below which a camera stands to no side


def leaning_views(
    seen: Observation, plane: MainPlane, trained: TrainedView, *, settings: VirtualViews
) -> list[OverheadView]:
    """Returns the views of the ring; the first stands on the side on which the camera stands, and sees most.

    Args:
        seen: The image.
        plane: The plane that things stand on, in the camera's frame.
        trained: The network's world in training, whose camera the views take.
        settings: The settings.
    """
    number = settings.count - 1
    side = np.array([0.0, 0.0, plane.distance / plane.normal[2]])  # from where the camera looks to the camera
    right = np.array([1.0, 0.0, 0.0]) - plane.normal[0] * plane.normal
    first = 0.0
    if plane.tilt > _UPRIGHT:
        first = float(np.arctan2(np.cross(-plane.normal, right) @ side, right @ side))
    azimuths = [first + 2 * np.pi * k / number for k in range(number)]
    # What lies far beside the middle is left to the view from above: it would make every image larger.
    return trained.to_views(seen, plane, tilt=settings.tilt, azimuths=azimuths, largest=1)


def leaning_grasps(
    seen: Observation,
    view: OverheadView,
    allowed: BoolArray | None,
    *,
    decode: Decode,
    extent: PlaneExtent,
    gripper: GripperGeometry,
    decoder: DecoderSettings,
    settings: ViewSettings,
    views: VirtualViews,
) -> ViewedGrasps:
    """Returns the grasps of one leaning view that a hand can reach through what the camera saw to be free.

    Args:
        seen: The image.
        view: The leaning view.
        allowed: (H, W) bool, the workspace in the image; None is everywhere.
        decode: Function of a view and of the pixels at which its grasps may lie; it returns them, best first.
        extent: Where the main plane is seen.
        gripper: The gripper.
        decoder: The decoder's settings.
        settings: The settings of a single view.
        views: The settings of the views.
    """
    places = graspable_leaning(view, allowed, settings, extent=extent)
    shown = decode(view, places) if places.any() else PixelGrasps(*np.zeros((6, 0)))
    found = bring_back(shown, view, seen, gripper=gripper, decoder=decoder, approach="plane")
    free = hand_is_clear(found.poses, view.plane, seen, gripper=gripper, settings=views)
    return replace(found, pixels=found.pixels[free], poses=found.poses[free], shown=found.shown[free], allowed=places)


def hand_is_clear(
    poses: GraspPoses, plane: MainPlane, seen: Observation, *, gripper: GripperGeometry, settings: VirtualViews
) -> BoolArray:
    """Returns whether a hand stays above the main plane and inside what the camera looks at, (N,) bool.

    The corners of the fingers' tips and of the palm's front count. An approach that leans too much is refused as well.

    Args:
        poses: The grasps, N, in the camera's frame.
        plane: The plane, in the camera's frame.
        seen: The image.
        gripper: The gripper.
        settings: The settings; ``max_tilt`` and ``clearance`` count.
    """
    n, g = len(poses), gripper
    clear: BoolArray = -poses.rotation[:, :, 2] @ plane.normal >= np.cos(settings.max_tilt) - 1e-9
    for side in (-1.0, 1.0):
        for across in (-0.5, 0.5):
            inner, outer = poses.width / 2, poses.width / 2 + g.finger_thickness
            corners = [(outer, across * g.finger_width, 0.0), (inner, across * g.finger_width, 0.0)]
            corners.append((np.full(n, g.palm_width / 2), across * g.palm_thickness, -g.finger_length))
            for x, y, z in corners:
                local = np.stack([side * x, np.full(n, y), np.full(n, z)], axis=1)
                points = poses.translation + np.einsum("nij,nj->ni", poses.rotation, local)
                clear &= points @ plane.normal + plane.distance >= settings.clearance
                rows, cols, depth = seen.camera.project(points)
                clear &= (depth > 0) & (rows >= 0) & (rows < seen.camera.height)
                clear &= (cols >= 0) & (cols < seen.camera.width)
    return clear


def merged(
    middle: ViewedGrasps, ring: list[ViewedGrasps], count: int, *, settings: VirtualViews, decoder: DecoderSettings
) -> ViewedGrasps:
    """Returns the best grasps of all views, suppressed in space; without a ring, those of the middle view.

    The next grasp is always the one of the greatest score, after each chosen grasp has lowered those of other views
    near it, as the decoder does within a view: those as near as ``apart``, and once the first of each place.

    Args:
        middle: The grasps of the view from above; they are shown in its image, as those of the others are.
        ring: The grasps of each other view.
        count: Number of grasps wanted.
        settings: The settings.
        decoder: The decoder's settings; ``place`` and ``revisit`` count.
    """
    if not any(len(found.poses) for found in ring):
        return middle[:count]
    poses = _joined([middle.poses, *(found.poses for found in ring)])
    own = np.repeat(np.arange(1 + len(ring)), [len(found.poses) for found in (middle, *ring)])
    score = poses.quality * np.where(own > 0, settings.weight, 1.0)
    most, least = score.copy(), np.cos(settings.angle)
    chosen: list[int] = []
    first = np.concatenate([_first_at_places(found.poses, decoder.place) for found in (middle, *ring)])
    while len(chosen) < min(count, len(score)):
        best = int(most.argmax())
        score[best] = most[best]
        chosen.append(best)
        away = np.linalg.norm(poses.translation - poses.translation[best], axis=1)
        again = first & (away <= decoder.place) & (own != own[best])
        most[again] *= decoder.revisit
        first &= ~again
        near = away < settings.apart
        near &= np.abs(poses.rotation[:, :, 0] @ poses.rotation[best, :, 0]) > least
        most[near & (own != own[best])] *= settings.repeat
        most[best] = -1.0
    index = np.array(chosen, np.int64)
    pixels = _pixels([middle.pixels, *(found.pixels for found in ring)], score)[index]
    shown = [middle.shown, *(_in_middle(found, middle) for found in ring)]
    return replace(
        middle, pixels=pixels, poses=replace(poses[index], quality=score[index]), shown=_pixels(shown, score)[index]
    )


def _first_at_places(poses: GraspPoses, place: float) -> BoolArray:
    """Returns which grasps of one view are the first at their place, (N,) bool; the decoder has lowered the others."""
    apart = np.linalg.norm(poses.translation[:, None] - poses.translation[None], axis=2)
    return np.asarray(~np.tril(apart <= place, -1).any(axis=1), np.bool_)


def _joined(parts: list[GraspPoses]) -> GraspPoses:
    return GraspPoses(
        np.concatenate([p.translation for p in parts]),
        np.concatenate([p.rotation for p in parts]),
        np.concatenate([p.width for p in parts]),
        np.concatenate([p.quality for p in parts]),
        parts[0].frame,
    )


def _pixels(parts: list[PixelGrasps], quality: NDArray[np.float64]) -> PixelGrasps:
    return PixelGrasps(
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.col for p in parts]),
        np.concatenate([p.depth for p in parts]),
        np.concatenate([p.angle for p in parts]),
        np.concatenate([p.width for p in parts]),
        quality,
    )


def _in_middle(found: ViewedGrasps, middle: ViewedGrasps) -> PixelGrasps:
    """Returns a leaning view's grasps as the middle view's image shows them: place and closing direction."""
    if middle.view is None:
        return found.pixels
    to_view, camera = np.linalg.inv(middle.view.pose), middle.view.seen.camera
    surface = found.poses.translation - found.pixels.depth[:, None] * found.poses.rotation[:, :, 2]
    rows, cols, _ = camera.project(transform(to_view, surface))
    closing = found.poses.rotation[:, :, 0] @ to_view[:3, :3].T
    return PixelGrasps(
        np.clip(np.round(rows), 0, camera.height - 1),
        np.clip(np.round(cols), 0, camera.width - 1),
        found.pixels.depth,
        np.arctan2(-closing[:, 1], closing[:, 0]),
        found.pixels.width,
        found.pixels.quality,
    )
