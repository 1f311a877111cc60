"""How near to the floor a hand may come: the floor is known better than the pixels under a finger."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plgp.policy.settings import DecoderSettings
from plgp.policy.views.viewed import main_plane
from sim.camera import PinholeCamera
from sim.depth_image.known_floor import with_known_floor
from sim.depth_image.main_plane import MainPlane
from sim.depth_image.overhead_view import OverheadView
from sim.view import Observation

_LEAST_SHARE = 0.1  # of the pixels that are looked at, that a floor must hold


@dataclass(frozen=True)
class KnownFloor:
    """The plane that things stand on, and how much nearer to it than to anything else the hand may come.

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


def known_floor(seen: Observation, allowed: NDArray[np.bool_] | None, settings: DecoderSettings) -> KnownFloor | None:
    """Returns the floor of an image, None where none is asked for or seen.

    Args:
        seen: The image.
        allowed: (H, W) bool, where the floor is sought: a tray's lies higher than the table around it; None is
            everywhere.
        settings: The decoder's; ``floor_margin`` and ``depth_margin`` count.
    """
    if settings.floor_margin is None or settings.floor_margin >= settings.depth_margin:
        return None
    inside = seen if allowed is None else replace(seen, depth=np.where(allowed, seen.depth, np.float32(0)))
    plane = main_plane(inside, _LEAST_SHARE)
    if plane is None or plane.share < _LEAST_SHARE:
        return None
    return KnownFloor(plane, settings.depth_margin - settings.floor_margin)
