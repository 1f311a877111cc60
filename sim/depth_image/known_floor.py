"""The floor that things stand on, known from all its pixels: together they say truer where it is than each alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.depth_image.main_plane import MainPlane, main_plane
from sim.depth_image.overhead_view import OverheadView
from sim.view import Observation

FLOOR_MARGIN = 0.003  # metres that all policies keep free over a known floor, unless their settings say otherwise

_LEAST_SHARE = 0.1  # of the pixels that are looked at, that a floor must hold
_SPREAD = 2.5  # times the plane's scatter, within which a pixel is taken for the plane's
_MOST = 0.010  # metres: what stands higher is a thing, whatever the noise


def with_known_floor(
    depth: NDArray[np.floating], camera: PinholeCamera, plane: MainPlane, *, lowered: float = 0.0
) -> NDArray[np.float32]:
    """Returns a depth image whose pixels on the main plane lie on it exactly.

    A pixel is on the plane if its point is within 2.5 times the plane's scatter, 10 mm at most. Things that are lower
    than that count as the plane: with a camera whose noise is 1 mm, those under 2.5 mm.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.
        plane: The main plane, in the camera's frame.
        lowered: Distance below the plane at which these pixels are put, metres.

    Returns:
        (H, W) float32, metres, 0 = missing. All other pixels stay what they were.
    """
    ray = plane.rays(camera)
    image = np.asarray(depth, np.float32)
    within = min(_SPREAD * plane.scatter, _MOST)
    on_plane = (image > 0) & (np.abs(ray * image + plane.distance) < within)
    return np.where(on_plane, -(plane.distance + lowered) / np.minimum(ray, -1e-6), image).astype(np.float32)


@dataclass(frozen=True)
class KnownFloor:
    """The plane that things stand on, and how much nearer to it than to anything else a hand may come.

    Attributes:
        plane: The plane, in the first camera's frame.
        nearer: By how much less than ``depth_margin`` is kept free over it, metres.
    """

    plane: MainPlane
    nearer: float

    def under(self, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.float32]:
        """Returns the first camera's depth image (H, W), metres, with the floor so much lower."""
        return with_known_floor(depth, camera, self.plane, lowered=self.nearer)

    def under_view(self, view: OverheadView) -> OverheadView:
        """Returns a view of the first camera's image whose ``ceiling`` has the floor so much lower."""
        own = view.in_view(self.plane)
        return replace(view, ceiling=with_known_floor(view.ceiling, view.seen.camera, own, lowered=self.nearer))


@dataclass(frozen=True)
class DepthMargins:
    """What the depth rule keeps free under a hand.

    Attributes:
        depth: Space kept free under fingers and palm, metres.
        floor: The same over the workspace's floor, metres; None, or from ``depth`` on: no floor is sought.
    """

    depth: float
    floor: float | None


def known_floor(seen: Observation, workspace: NDArray[np.bool_] | None, margins: DepthMargins) -> KnownFloor | None:
    """Returns the floor of an image, None where none is asked for, or seen, or where nobody says where to look.

    Without a workspace no floor is known: the main plane of a whole image may lie between a tray and the table around
    it, and a hand that trusts it would press on the tray.

    Args:
        seen: The image.
        workspace: (H, W) bool, where the floor is sought; None knows none.
        margins: What is kept free.
    """
    if workspace is None or margins.floor is None or margins.floor >= margins.depth:
        return None
    plane = main_plane(replace(seen, depth=np.where(workspace, seen.depth, np.float32(0))), _LEAST_SHARE)
    if plane is None or plane.share < _LEAST_SHARE:
        return None
    return KnownFloor(plane, margins.depth - margins.floor)


def floor_lowered(seen: Observation, workspace: NDArray[np.bool_] | None, margins: DepthMargins) -> NDArray[np.float32]:
    """Returns the depth image (H, W), metres, that the depth rule gets: where the floor is known it lies lower.

    With it ``sim.grasp.deepest_free_depth``, told to keep ``margins.depth`` free, keeps ``margins.floor`` free over
    the floor. The arguments are those of ``known_floor``.
    """
    floor = known_floor(seen, workspace, margins)
    return np.asarray(seen.depth, np.float32) if floor is None else floor.under(seen.depth, seen.camera)
